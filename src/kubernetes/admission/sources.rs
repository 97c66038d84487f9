//! Whether what a trust profile takes its certificates and CRLs from is there, asked while the profile is reviewed.
//!
//! certgate follows a source only from when a stored profile names it, so at that time nothing is known of it. It is
//! asked for once, as it will be followed, by the thread that talks to the API server. What comes of it is a warning at
//! most.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use super::super::api::{Api, ApiError, Target};
use super::super::wire;
use crate::domain::api::{FieldError, Kind, Object, PeerSource, TrustProfileSpec, TrustSource};

/// The most objects that are asked for in one review.
const MAX_SOURCES: usize = 32;

/// The most questions that wait, and that are before the API server at a time.
const MAX_PENDING_QUERIES: usize = 256;

/// How long the API server may take for one answer; nobody waits for it that long.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// What there is of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// The object, with the keys of its data.
    Present(Vec<String>),
    /// There is none.
    Missing,
    /// It may not be read.
    Forbidden,
}

/// A question for the API server.
#[derive(Debug)]
pub struct SourceQuery {
    target: Target,
    answer: oneshot::Sender<SourceState>,
}

/// Where reviews ask.
#[derive(Clone, Debug)]
pub struct SourceClient(mpsc::Sender<SourceQuery>);

/// Where their questions come out. Held by whoever answers them now.
pub type SourceQueries = Arc<Mutex<mpsc::Receiver<SourceQuery>>>;

/// Both ends.
pub fn channel() -> (SourceClient, SourceQueries) {
    let (sender, receiver) = mpsc::channel(MAX_PENDING_QUERIES);
    (SourceClient(sender), Arc::new(Mutex::new(receiver)))
}

/// Answers questions. Never returns.
pub async fn answer(api: Api, questions: SourceQueries) {
    let mut questions = questions.lock().await;
    let mut tasks = JoinSet::new();
    while let Some(SourceQuery { target, answer }) = questions.recv().await {
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= MAX_PENDING_QUERIES {
            continue;
        }
        let api = api.clone();
        tasks.spawn_local(async move {
            // Without an answer there is no warning.
            if let Ok(Ok(found)) = tokio::time::timeout(QUERY_TIMEOUT, look(&api, &target)).await {
                let _ = answer.send(found);
            }
        });
    }
}

async fn look(api: &Api, target: &Target) -> Result<SourceState, ApiError> {
    match api.list(target, 1, None).await {
        Ok(text) => {
            let page = wire::page(target, &text)?;
            Ok(match page.objects.into_iter().next().map(|received| received.object) {
                Some(Object::ConfigMap { data, .. } | Object::Secret { data, .. }) => {
                    SourceState::Present(data.into_keys().collect())
                }
                Some(_) => SourceState::Present(Vec::new()),
                None => SourceState::Missing,
            })
        }
        Err(error) if error.class() == "forbidden" => Ok(SourceState::Forbidden),
        Err(error) if error.is_not_found() => Ok(SourceState::Missing),
        Err(error) => Err(error),
    }
}

/// A source of a profile: its field, the object, and the key in its data.
type NamedSource = (String, Target, Option<String>);

/// The objects that a profile of `namespace` names.
fn wanted(namespace: &str, spec: &TrustProfileSpec) -> Vec<NamedSource> {
    let mut wanted = Vec::new();
    let mut add = |field: String, kind: Kind, name: &str, key: Option<&str>| {
        let namespace = kind.is_namespaced().then_some(namespace);
        let target = Target { name: Some(name.to_owned()), ..Target::all(kind, namespace) };
        wanted.push((field, target, key.map(str::to_owned)));
    };
    let peers: Vec<TrustSource> = spec.trusted_peers.iter().map(PeerSource::source).collect();
    let lists =
        [("trustAnchors", &spec.trust_anchors), ("intermediates", &spec.intermediates), ("trustedPeers", &peers)];
    for (list, sources) in lists {
        for (at, source) in sources.iter().enumerate() {
            let field = |name: &str| format!("spec.{list}[{at}].{name}");
            if let Some(it) = &source.config_map {
                add(field("configMap"), Kind::ConfigMap, &it.name, Some(&it.key));
            }
            if let Some(it) = &source.secret {
                add(field("secret"), Kind::Secret, &it.name, Some(&it.key));
            }
            if let Some(name) = source.cluster_trust_bundle.as_ref().and_then(|bundle| bundle.name.as_ref()) {
                add(field("clusterTrustBundle"), Kind::ClusterTrustBundle, name, None);
            }
        }
    }
    for (at, source) in spec.revocation.iter().flat_map(|revocation| &revocation.crls).enumerate() {
        let field = |name: &str| format!("spec.revocation.crls[{at}].{name}");
        if let Some(it) = &source.config_map {
            add(field("configMap"), Kind::ConfigMap, &it.name, Some(&it.key));
        }
        if let Some(it) = &source.secret {
            add(field("secret"), Kind::Secret, &it.name, Some(&it.key));
        }
    }
    wanted
}

impl SourceClient {
    /// What of a profile's sources is not there, has not the key, or may not be read; told within `patience`.
    pub async fn problems(&self, namespace: &str, spec: &TrustProfileSpec, patience: Duration) -> Vec<FieldError> {
        let wanted = wanted(namespace, spec);
        let until = tokio::time::Instant::now() + patience;
        let mut asked = BTreeMap::new();
        for (_, target, _) in &wanted {
            if asked.len() < MAX_SOURCES && !asked.contains_key(target) {
                let (answer, found) = oneshot::channel();
                if self.0.try_send(SourceQuery { target: target.clone(), answer }).is_ok() {
                    asked.insert(target.clone(), found);
                }
            }
        }
        let mut found = BTreeMap::new();
        for (target, answer) in asked {
            if let Ok(Ok(answer)) = tokio::time::timeout_at(until, answer).await {
                found.insert(target, answer);
            }
        }
        let problem = |(field, target, key): &NamedSource| {
            Some(FieldError::new(field, problem(target, key, found.get(target)?)?))
        };
        wanted.iter().filter_map(problem).collect()
    }
}

fn problem(target: &Target, key: &Option<String>, found: &SourceState) -> Option<String> {
    let then = "requests are denied with TRUST_UNAVAILABLE until that changes, unless its last good content is known";
    match (found, key) {
        (SourceState::Missing, _) => Some(format!("{target} does not exist; {then}")),
        (SourceState::Forbidden, _) => Some(format!(
            "{target} may not be read by certgate: the API server forbids it (Helm: trustSources); {then}"
        )),
        (SourceState::Present(keys), Some(key)) if !keys.contains(key) => {
            Some(format!("{target} has no key {key:?}; {then}"))
        }
        (SourceState::Present(_), _) => None,
    }
}

/// Answers of a cluster that holds `objects` and forbids `forbidden`, for tests without one.
#[cfg(test)]
pub async fn answer_from(questions: SourceQueries, objects: &[(&str, &[&str])], forbidden: &[&str]) {
    let mut questions = questions.lock().await;
    while let Some(SourceQuery { target, answer }) = questions.recv().await {
        let name = target.to_string();
        let keys = objects.iter().find(|(object, _)| *object == name);
        let _ = answer.send(match keys {
            _ if forbidden.contains(&&*name) => SourceState::Forbidden,
            Some((_, keys)) => SourceState::Present(keys.iter().map(|key| (*key).to_owned()).collect()),
            None => SourceState::Missing,
        });
    }
}
