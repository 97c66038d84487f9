//! What is known of the cluster, and the index that it feeds.
//!
//! Owns which objects exist, which list they were told in, and which trust sources have to be watched. Objects
//! themselves go straight into the core's index; here a hundred thousand of them are a name and a few numbers each.

mod due;
#[cfg(test)]
mod tests;

pub use due::Due;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tokio::sync::Notify;

use self::due::WantedStatuses;
use super::api::{ApiError, Target};
use super::follow::EventHandler;
use super::health::Health;
use super::scope::{Scope, sources_of};
use super::selector::PolicySelector;
use super::status;
use super::wire::Received;
use crate::domain::api::{Kind, NamespacedName, Object, ObjectId, Origin};
use crate::domain::store::Index;
use crate::telemetry::limit::LogLimit;

/// How long what has changed waits for the first list of a source that it names. A ConfigMap that comes with its
/// profile is not missing.
pub const SOURCE_GRACE_PERIOD: Duration = Duration::from_millis(300);

/// The interval between log lines about an unchanging failure of one watch.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How far a set of objects is known.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing has been told yet.
    Waiting,
    /// A list is being told for the first time.
    First,
    /// A list is being told again, since then.
    Again(Instant),
    /// All of it.
    Current,
    /// The server says that there is nothing for us.
    Denied,
}

/// A followed set of objects.
#[derive(Debug)]
struct Set {
    progress: Progress,
    objects: HashMap<NamespacedName, TrackedObject>,
    /// Counts the lists.
    epoch: u32,
    heard: u64,
    /// The last failure's class.
    failure: Option<&'static str>,
    /// How often it is logged.
    failure_log: LogLimit,
}

/// What is kept of an object.
#[derive(Copy, Clone, Debug)]
struct TrackedObject {
    /// The list that told it last.
    epoch: u32,
    /// Identity, generation and labels: while these are the same, nothing that decides has changed.
    content: u64,
    generation: i64,
    /// The digest of its status; 0 for none.
    status: u64,
    /// When `content` changed, in seconds of the process's life; 0 for what the first list told.
    changed: u32,
    /// The digest of the status that was last written, and when.
    written: u64,
    written_at: u32,
}

/// The state of one cluster.
#[derive(Debug)]
pub struct Store {
    /// What the objects compile to.
    pub index: Index,
    scope: Scope,
    selector: Option<PolicySelector>,
    sets: BTreeMap<Target, Set>,
    /// The sources of each trust profile, and whether it asks for labels of namespaces.
    references: BTreeMap<NamespacedName, BTreeSet<Target>>,
    references_changed: bool,
    wanted: WantedStatuses,
    /// Since when something has changed that is not published.
    dirty: Option<Instant>,
    published: bool,
    notify: Rc<Notify>,
    health: Arc<Health>,
}

impl Store {
    /// A store that knows nothing; `notify` is told of every change.
    pub fn new(scope: Scope, selector: Option<PolicySelector>, notify: Rc<Notify>, health: Arc<Health>) -> Self {
        Self {
            index: Index::new(),
            scope,
            selector,
            sets: BTreeMap::new(),
            references: BTreeMap::new(),
            references_changed: false,
            wanted: WantedStatuses::default(),
            dirty: None,
            published: false,
            notify,
            health,
        }
    }

    /// The sets that are to be followed now: those of the scope, and the sources that trust profiles name.
    pub fn wanted(&self) -> BTreeSet<Target> {
        self.scope
            .targets(self.selector.as_ref())
            .into_iter()
            .chain(self.references.values().flatten().cloned())
            .collect()
    }

    /// Whether [`Store::wanted`] may give something else than last time; told once.
    pub fn take_references_changed(&mut self) -> bool {
        std::mem::take(&mut self.references_changed)
    }

    /// Begins to know about a set.
    pub fn add(&mut self, target: &Target) {
        let heard = self.health.now();
        let set = Set {
            progress: Progress::Waiting,
            objects: HashMap::new(),
            epoch: 0,
            heard,
            failure: None,
            failure_log: LogLimit::every(LOG_INTERVAL),
        };
        self.sets.insert(target.clone(), set);
        self.pending(target, true);
    }

    /// Forgets a set that nobody refers to any more.
    pub fn remove(&mut self, target: &Target) {
        let Some(set) = self.sets.remove(target) else { return };
        self.permitted(target, true);
        self.pending(target, false);
        for key in set.objects.into_keys() {
            if !self.knows(target.kind, &key) {
                self.index.delete(&id(target.kind, &key));
            }
        }
        self.note_change(true);
    }

    /// Whether any set holds the object: a trust bundle may be followed by its name and by its signer.
    fn knows(&self, kind: Kind, key: &NamespacedName) -> bool {
        self.sets.iter().any(|(target, set)| target.kind == kind && set.objects.contains_key(key))
    }

    /// Whether there is something to publish at `now`, and nothing that it should wait for: lists that are told again, for
    /// `patience` at most, and the first lists of sources that profiles have come to name, for `grace` at most. However many
    /// of these come, one after the other, nothing waits longer for them.
    pub fn is_due(&self, now: Instant, patience: Duration, grace: Duration) -> bool {
        let waits_still = |since: Instant, limit| now.saturating_duration_since(since) < limit;
        let settled = |set: &Set| match set.progress {
            Progress::Current | Progress::Denied => true,
            Progress::Again(since) => !waits_still(since, patience),
            Progress::Waiting | Progress::First => {
                self.published && self.dirty.is_some_and(|since| !waits_still(since, grace))
            }
        };
        (self.dirty.is_some() || !self.published) && self.sets.values().all(settled)
    }

    /// Notes that there may be something to publish.
    fn note_change(&mut self, is_news: bool) {
        if is_news {
            self.dirty.get_or_insert_with(Instant::now);
        }
    }

    /// Notes whether a source is still waited for, so that nobody takes it for missing.
    fn pending(&mut self, target: &Target, pending: bool) {
        if let (Kind::ConfigMap | Kind::Secret | Kind::ClusterTrustBundle, Some(name)) = (target.kind, &target.name) {
            let namespace = target.namespace.as_deref().unwrap_or_default();
            let is_news = self.index.set_pending(target.kind, namespace, name, pending);
            self.note_change(is_news);
        }
    }

    /// Notes whether a source may be read, so that its profile can say which it is: forbidden, or not there.
    fn permitted(&mut self, target: &Target, permitted: bool) {
        if let (Kind::ConfigMap | Kind::Secret | Kind::ClusterTrustBundle, Some(name)) = (target.kind, &target.name) {
            let namespace = target.namespace.as_deref().unwrap_or_default();
            let is_news = self.index.set_forbidden(target.kind, namespace, name, !permitted);
            self.note_change(is_news);
        }
    }

    /// Notes that everything known has been published.
    pub fn note_published(&mut self) {
        self.dirty = None;
        self.published = true;
        self.wanted.outdate();
    }

    /// The sets that the first publication waits for.
    pub fn waiting_for(&self) -> Vec<&Target> {
        let waits = |set: &Set| matches!(set.progress, Progress::Waiting | Progress::First);
        self.sets.iter().filter(|(_, set)| waits(set)).map(|(target, _)| target).collect()
    }

    /// Brings the ages of the watches to the metrics.
    pub fn report_ages(&self) {
        for kind in Kind::ALL {
            let oldest = self.sets.iter().filter(|(target, _)| target.kind == kind).map(|(_, set)| set.heard).min();
            self.health.heard(kind, oldest);
        }
    }

    fn change(&mut self, target: &Target, received: Received) {
        let Received { key, generation, uid, spec, object, status } = received;
        let now = if self.published { self.seconds() } else { 0 };
        let Some(set) = self.sets.get_mut(target) else { return };
        let content = content(&uid, generation, spec, &object);
        let read = |raw: &RawValue| serde_json::from_str(raw.get()).map_or(1, |status| status::digest(&status));
        let status = status.as_deref().map_or(0, read);
        let epoch = set.epoch;
        let known = TrackedObject { epoch, content, generation, status, changed: now, written: 0, written_at: 0 };
        match set.objects.get_mut(&key) {
            Some(former) if former.content == content => {
                former.epoch = epoch;
                if std::mem::replace(&mut former.status, status) != status {
                    self.wanted.look_again();
                }
                return;
            }
            Some(former) => *former = known,
            None => {
                set.objects.insert(key.clone(), known);
            }
        }
        if let Object::TrustProfile { meta, spec } = &object {
            let sources = sources_of(&self.scope, &meta.namespace, spec);
            if self.references.insert(key, sources.clone()) != Some(sources) {
                self.references_changed = true;
            }
        }
        for error in &object.meta().unread {
            tracing::warn!("{}: {error}", object.id());
        }
        self.index.apply(object);
        self.note_change(true);
        self.notify.notify_one();
    }

    fn delete(&mut self, target: &Target, key: &NamespacedName) {
        let Some(set) = self.sets.get_mut(target) else { return };
        if set.objects.remove(key).is_some() {
            self.gone(target.kind, key);
        }
    }

    fn gone(&mut self, kind: Kind, key: &NamespacedName) {
        if self.knows(kind, key) {
            return;
        }
        self.index.delete(&id(kind, key));
        if kind == Kind::TrustProfile && self.references.remove(key).is_some() {
            self.references_changed = true;
        }
        self.note_change(true);
        self.notify.notify_one();
    }
}

fn id(kind: Kind, key: &NamespacedName) -> ObjectId {
    ObjectId { kind, namespace: key.namespace.to_string(), name: key.name.to_string(), origin: Origin::default() }
}

/// What tells a version of an object that matters from another. The API server counts generations for our kinds only;
/// for the others the content itself does.
fn content(uid: &str, generation: i64, spec: u64, object: &Object) -> u64 {
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    (generation, spec).hash(&mut hasher);
    object.meta().labels.hash(&mut hasher);
    match object {
        Object::ConfigMap { data, .. } | Object::Secret { data, .. } => data.hash(&mut hasher),
        Object::ClusterTrustBundle { trust_bundle, .. } => trust_bundle.hash(&mut hasher),
        _ => {}
    }
    hasher.finish()
}

/// Applies the watch events of one target to the store.
#[derive(Debug)]
pub struct SetEventHandler {
    /// The store.
    pub store: Rc<std::cell::RefCell<Store>>,
    /// The set.
    pub target: Target,
}

impl SetEventHandler {
    fn with_set(&self, act: impl FnOnce(&mut Set)) {
        if let Some(set) = self.store.borrow_mut().sets.get_mut(&self.target) {
            act(set);
        }
    }
}

impl EventHandler for SetEventHandler {
    fn listing(&mut self) {
        self.with_set(|set| {
            set.epoch = set.epoch.wrapping_add(1);
            set.progress = match set.progress {
                Progress::Waiting | Progress::First => Progress::First,
                Progress::Denied | Progress::Current => Progress::Again(Instant::now()),
                again @ Progress::Again(_) => again,
            };
        });
    }

    fn listed(&mut self) {
        let mut store = self.store.borrow_mut();
        store.permitted(&self.target, true);
        store.pending(&self.target, false);
        let Some(set) = store.sets.get_mut(&self.target) else { return };
        set.progress = Progress::Current;
        if set.failure.take().is_some() {
            tracing::info!(watch = %self.target, "watched again");
        }
        let epoch = set.epoch;
        let gone: Vec<NamespacedName> =
            set.objects.extract_if(|_, known| known.epoch != epoch).map(|(key, _)| key).collect();
        for key in &gone {
            store.gone(self.target.kind, key);
        }
        tracing::debug!(watch = %self.target, gone = gone.len(), "listed");
        store.notify.notify_one();
    }

    fn changed(&mut self, received: Box<Received>) {
        self.store.borrow_mut().change(&self.target, *received);
    }

    fn deleted(&mut self, key: &NamespacedName) {
        self.store.borrow_mut().delete(&self.target, key);
    }

    fn heard(&mut self) {
        let now = self.store.borrow().health.now();
        self.with_set(|set| {
            set.heard = now;
            if set.progress == Progress::Current && set.failure.take().is_some() {
                tracing::info!(watch = %self.target, "watched again");
            }
        });
    }

    fn failed(&mut self, error: &ApiError, pause: Duration) {
        let mut store = self.store.borrow_mut();
        store.health.failed(self.target.kind, error.class());
        let notify = store.notify.clone();
        let Some(set) = store.sets.get_mut(&self.target) else { return };
        // The three kinds are waited for: without them there is nothing to decide by. A source that is not there, or
        // not ours to read, is a fact that its profile reports.
        let ours = self.target.kind.is_own();
        if !ours && error.is_definite() && matches!(set.progress, Progress::Waiting | Progress::First) {
            set.progress = Progress::Denied;
            notify.notify_one();
        }
        if error.is_definite() && set.progress == Progress::Denied {
            store.pending(&self.target, false);
            store.permitted(&self.target, error.is_not_found());
        }
        let Some(set) = store.sets.get_mut(&self.target) else { return };
        let class = error.class();
        if set.failure.replace(class) != Some(class) {
            set.failure_log.reset();
        }
        if set.failure_log.admit().is_none() {
            return;
        }
        let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let hint = if ours && error.is_not_found() {
            "; are the custom resource definitions installed (`certgate crds`)?"
        } else {
            ""
        };
        tracing::warn!(watch = %self.target, retry_ms, "cannot watch: {error}{hint}");
    }
}
