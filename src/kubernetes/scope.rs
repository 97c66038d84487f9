//! Which objects of a cluster are read: the namespaces, and the sources that trust profiles name.

use std::collections::BTreeSet;

use super::api::Target;
use super::selector::PolicySelector;
use crate::domain::api::{Kind, NamespacesFrom, PeerSource, TrustProfileSpec, TrustSource};

/// The error of a source that is a file: who can write a profile must not learn what is in the pod's file system.
pub(super) const FILES_ARE_NOT_READ: &str =
    "files are not read in a cluster: use configMap, secret, clusterTrustBundle or inline";

/// Which namespaces are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Cluster,
    /// These.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// The sets of objects that are followed from the start; of the policies, those that `selector` selects.
    pub fn targets(&self, selector: Option<&PolicySelector>) -> Vec<Target> {
        let target = |kind: Kind, namespace: Option<&str>| Target {
            labels: selector.filter(|_| kind == Kind::CertificatePolicy).map(ToString::to_string),
            ..Target::all(kind, namespace)
        };
        match self {
            Self::Cluster => Kind::OWN.map(|kind| target(kind, None)).to_vec(),
            Self::Namespaces(names) => {
                names.iter().flat_map(|name| Kind::OWN.map(|kind| target(kind, Some(name)))).collect()
            }
        }
    }

    /// The namespaces themselves, for their labels.
    fn namespaces(&self) -> Vec<Target> {
        match self {
            Self::Cluster => vec![Target::all(Kind::Namespace, None)],
            Self::Namespaces(names) => {
                let one = |name: &String| Target { name: Some(name.clone()), ..Target::all(Kind::Namespace, None) };
                names.iter().map(one).collect()
            }
        }
    }
}

/// What has to be read for a trust profile.
pub(super) fn sources_of(scope: &Scope, namespace: &str, spec: &TrustProfileSpec) -> BTreeSet<Target> {
    let peers: Vec<TrustSource> = spec.trusted_peers.iter().map(PeerSource::source).collect();
    let lists = [&spec.trust_anchors, &spec.intermediates, &peers];
    let named = |kind: Kind, name: &str| Target {
        kind,
        namespace: kind.is_namespaced().then(|| namespace.to_owned()),
        name: Some(name.to_owned()),
        ..Target::all(kind, None)
    };
    let signed =
        |signer: &String| Target { signer: Some(signer.clone()), ..Target::all(Kind::ClusterTrustBundle, None) };
    let mut targets = BTreeSet::new();
    for source in lists.into_iter().flatten() {
        targets.extend(source.config_map.iter().map(|key| named(Kind::ConfigMap, &key.name)));
        targets.extend(source.secret.iter().map(|key| named(Kind::Secret, &key.name)));
        if let Some(bundle) = &source.cluster_trust_bundle {
            targets.extend(bundle.name.iter().map(|name| named(Kind::ClusterTrustBundle, name)));
            targets.extend(bundle.signer_name.iter().map(signed));
        }
    }
    for source in spec.revocation.iter().flat_map(|revocation| &revocation.crls) {
        targets.extend(source.config_map.iter().map(|key| named(Kind::ConfigMap, &key.name)));
        targets.extend(source.secret.iter().map(|key| named(Kind::Secret, &key.name)));
    }
    // A name that no object can have would only spoil the request.
    targets.retain(|target| target.name.as_deref().is_none_or(is_name));
    if spec.allowed_namespaces.from == NamespacesFrom::Selector {
        targets.extend(scope.namespaces());
    }
    targets
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':');
    !name.is_empty() && name.len() <= 253 && name.bytes().all(allowed)
}
