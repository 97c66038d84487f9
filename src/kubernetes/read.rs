//! Reads a cluster once, for whoever wants to know what its policies come to and goes away again.
//!
//! Owns the order: the three kinds, then the sources that trust profiles name. What is not there, or not ours to read, is
//! told by the profile that names it, in the words of the server that follows the cluster. Nothing is watched or written.

use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;

use super::api::{Api, ApiError, Target};
use super::cluster::FILES_ARE_NOT_READ;
use super::follow::PAGE;
use super::store::{Scope, sources_of};
use super::wire;
use crate::domain::api::{Kind, Object};
use crate::domain::decide::Snapshot;
use crate::domain::store::{AbsentSources, Index, WantedFiles};

/// Why a cluster cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is no telling where the API server is, or with what credentials.
    #[error("no cluster to read: {0}")]
    Configuration(ApiError),
    /// One of the three kinds cannot be listed.
    #[error("cannot list {target}: {error}{hint}")]
    List {
        /// What was asked for.
        target: Box<Target>,
        /// What the API server answered.
        error: ApiError,
        /// What to do about it.
        hint: &'static str,
    },
    /// The runtime.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
}

/// What a cluster holds.
#[derive(Debug)]
pub struct ClusterContent {
    /// The objects, published once.
    pub index: Index,
    /// What they decide.
    pub snapshot: Arc<Snapshot>,
    /// How many objects of our kinds there are.
    pub objects: usize,
}

/// Reads the objects of `scope` and the sources that they name, with the account of the kubeconfig or of the pod.
pub fn read(scope: &Scope, absent: AbsentSources) -> Result<ClusterContent, ReadError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let api = Api::connect().await.map_err(ReadError::Configuration)?;
        read_from(&api, scope, absent).await
    })
}

async fn read_from(api: &Api, scope: &Scope, absent: AbsentSources) -> Result<ClusterContent, ReadError> {
    let mut index = Index::new();
    index.set_absent_sources(absent);
    let mut objects = 0;
    let mut sources = BTreeSet::new();
    for target in scope.targets(None) {
        let listed = list(api, &target, |object| {
            if let Object::TrustProfile { meta, spec } = &object {
                sources.extend(sources_of(scope, &meta.namespace, spec));
            }
            objects += 1;
            index.apply(object);
        });
        if let Err(error) = listed.await {
            let hint = if error.is_not_found() {
                "; are the custom resource definitions installed (`certgate crds`)?"
            } else if error.is_definite() {
                "; whoever asks must be allowed to list trustprofiles, certificatepolicies and certificatemappings there"
            } else {
                ""
            };
            return Err(ReadError::List { target: Box::new(target), error, hint });
        }
    }
    for target in sources {
        let Err(error) = list(api, &target, |object| index.apply(object)).await else { continue };
        // Without the labels of namespaces a profile would seem to forbid what it allows.
        if !error.is_definite() || (target.kind == Kind::Namespace && !error.is_not_found()) {
            let hint = "; a trust profile names it";
            return Err(ReadError::List { target: Box::new(target), error, hint });
        }
        if let (Kind::ConfigMap | Kind::Secret | Kind::ClusterTrustBundle, Some(name)) = (target.kind, &target.name) {
            let namespace = target.namespace.as_deref().unwrap_or_default();
            index.set_forbidden(target.kind, namespace, name, !error.is_not_found());
        }
    }
    let WantedFiles { certificates, crls } = index.wanted_files();
    certificates.iter().for_each(|path| index.set_certificate_file(path, Err(FILES_ARE_NOT_READ.to_owned())));
    crls.iter().for_each(|path| index.set_crl_file(path, Err(FILES_ARE_NOT_READ.to_owned())));
    let snapshot = index.publish().expect("the first publication is a snapshot");
    Ok(ClusterContent { index, snapshot, objects })
}

/// Every object of a set, page by page.
async fn list(api: &Api, target: &Target, mut take: impl FnMut(Object)) -> Result<(), ApiError> {
    let mut continued: Option<String> = None;
    loop {
        let text = api.list(target, PAGE, continued.as_deref()).await?;
        let page = wire::page(target, &text)?;
        page.objects.into_iter().for_each(|received| take(received.object));
        continued = page.continued;
        if continued.is_none() {
            return Ok(());
        }
    }
}
