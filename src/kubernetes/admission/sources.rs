//! Whether what a trust profile takes its certificates and CRLs from is there, asked while the profile is reviewed.
//!
//! certgate follows a source only from when a stored profile names it, so at that time nothing is known of it. It is asked
//! for once, as it will be followed, by the thread that talks to the API server. What comes of it is a warning at most.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use super::super::api::{Api, ApiError, Target};
use super::super::wire;
use crate::domain::api::{FieldError, Kind, Object, PeerSource, TrustProfileSpec, TrustSource};

/// The most objects that are asked for in one review.
const MAX_ASKED: usize = 32;

/// The most questions that wait, and that are before the API server at a time.
const MAX_WAITING: usize = 256;

/// How long the API server may take for one answer; nobody waits for it that long.
const DEADLINE: Duration = Duration::from_secs(5);

/// What there is of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The object, with the keys of its data.
    Present(Vec<String>),
    /// There is none.
    Missing,
    /// It may not be read.
    Forbidden,
}

/// A question for the API server.
#[derive(Debug)]
pub struct Question {
    target: Target,
    answer: oneshot::Sender<Found>,
}

/// Where reviews ask.
#[derive(Clone, Debug)]
pub struct Asker(mpsc::Sender<Question>);

/// Where their questions come out. Held by whoever answers them now.
pub type Questions = Arc<Mutex<mpsc::Receiver<Question>>>;

/// Both ends.
pub fn channel() -> (Asker, Questions) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    (Asker(sender), Arc::new(Mutex::new(receiver)))
}

/// Answers questions. Never returns.
pub async fn answer(api: Api, questions: Questions) {
    let mut questions = questions.lock().await;
    let mut tasks = JoinSet::new();
    while let Some(Question { target, answer }) = questions.recv().await {
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= MAX_WAITING {
            continue;
        }
        let api = api.clone();
        tasks.spawn_local(async move {
            // Without an answer there is no warning.
            if let Ok(Ok(found)) = tokio::time::timeout(DEADLINE, look(&api, &target)).await {
                let _ = answer.send(found);
            }
        });
    }
}

async fn look(api: &Api, target: &Target) -> Result<Found, ApiError> {
    match api.list(target, 1, None).await {
        Ok(text) => {
            let page = wire::page(target, &text)?;
            Ok(match page.objects.into_iter().next().map(|received| received.object) {
                Some(Object::ConfigMap { data, .. } | Object::Secret { data, .. }) => {
                    Found::Present(data.into_keys().collect())
                }
                Some(_) => Found::Present(Vec::new()),
                None => Found::Missing,
            })
        }
        Err(error) if error.class() == "forbidden" => Ok(Found::Forbidden),
        Err(error) if error.is_not_found() => Ok(Found::Missing),
        Err(error) => Err(error),
    }
}

/// A source of a profile: its field, the object, and the key in its data.
type Wanted = (String, Target, Option<String>);

/// The objects that a profile of `namespace` names.
fn wanted(namespace: &str, spec: &TrustProfileSpec) -> Vec<Wanted> {
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

impl Asker {
    /// What of a profile's sources is not there, has not the key, or may not be read; told within `patience`.
    pub async fn problems(&self, namespace: &str, spec: &TrustProfileSpec, patience: Duration) -> Vec<FieldError> {
        let wanted = wanted(namespace, spec);
        let until = tokio::time::Instant::now() + patience;
        let mut asked = BTreeMap::new();
        for (_, target, _) in &wanted {
            if asked.len() < MAX_ASKED && !asked.contains_key(target) {
                let (answer, found) = oneshot::channel();
                if self.0.try_send(Question { target: target.clone(), answer }).is_ok() {
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
        let problem =
            |(field, target, key): &Wanted| Some(FieldError::new(field, problem(target, key, found.get(target)?)?));
        wanted.iter().filter_map(problem).collect()
    }
}

fn problem(target: &Target, key: &Option<String>, found: &Found) -> Option<String> {
    let then = "requests are denied with TRUST_UNAVAILABLE until that changes, unless its last good content is known";
    match (found, key) {
        (Found::Missing, _) => Some(format!("{target} does not exist; {then}")),
        (Found::Forbidden, _) => Some(format!(
            "{target} may not be read by certgate: the API server forbids it (Helm: trustSources); {then}"
        )),
        (Found::Present(keys), Some(key)) if !keys.contains(key) => {
            Some(format!("{target} has no key {key:?}; {then}"))
        }
        (Found::Present(_), _) => None,
    }
}

/// Answers of a cluster that holds `objects` and forbids `forbidden`, for tests without one.
#[cfg(test)]
pub async fn answer_from(questions: Questions, objects: &[(&str, &[&str])], forbidden: &[&str]) {
    let mut questions = questions.lock().await;
    while let Some(Question { target, answer }) = questions.recv().await {
        let name = target.to_string();
        let keys = objects.iter().find(|(object, _)| *object == name);
        let _ = answer.send(match keys {
            _ if forbidden.contains(&&*name) => Found::Forbidden,
            Some((_, keys)) => Found::Present(keys.iter().map(|key| (*key).to_owned()).collect()),
            None => Found::Missing,
        });
    }
}
