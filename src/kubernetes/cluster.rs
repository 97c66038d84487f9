//! One cluster, followed on one thread: watches feed the index, the index gives snapshots.
//!
//! Owns the order of things: what is watched when, when a snapshot is published, and that the first one waits until
//! everything has been told once. Watching, compiling and publishing share a thread and so need no locks; decisions are
//! made on others and never wait for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet, LocalSet};

use super::admission::issuer::{IssuerOptions, ServedCertificate, manage_certificate, serve_certificate};
use super::admission::sources::{SourceQueries, answer};
use super::api::{Api, ApiError, Target};
use super::definitions::follow_definition;
use super::follow::follow;
use super::health::Health;
use super::lease::{LeaseDeadline, LeaseOptions, run_election};
use super::scope::{FILES_ARE_NOT_READ, Scope};
use super::selector::PolicySelector;
use super::shutdown::ClusterShutdown;
use super::status_writer::write_status;
use super::store::{SOURCE_GRACE_PERIOD, SetEventHandler, Store};
use crate::domain::api::Kind;
use crate::domain::decide::Snapshot;
use crate::domain::store::{ObjectProblem, View, WantedFiles};

/// How long changes are collected before they are published together. Far below what anybody waits for, and enough for
/// the objects of one `kubectl apply`.
const PUBLISH_DEBOUNCE: Duration = Duration::from_millis(10);

/// How long a list that is told again may hold back what else has changed. Decisions go on by the snapshot before.
const RELIST_MAX_WAIT: Duration = Duration::from_secs(5);

/// How often ages are reported and the log says what is waited for.
const REPORT_PERIOD: Duration = Duration::from_secs(1);
const NOT_READY_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Why a cluster cannot be followed at all.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// There is no telling where the API server is, or with what credentials.
    #[error("no cluster to follow: {0}")]
    Configuration(ApiError),
    /// The runtime.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// What is to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOptions {
    /// The namespaces.
    pub scope: Scope,
    /// Which policies there; `None` for all.
    pub selector: Option<PolicySelector>,
    /// Whether status is written, and by whom.
    pub status: StatusWriting,
    /// How the certificate of the admission webhook is kept, where certgate does so itself.
    pub issuer: Option<Box<IssuerOptions>>,
}

/// What the admission webhook gets from following the cluster.
#[derive(Clone, Debug)]
pub struct AdmissionFeed {
    /// What objects are judged by.
    pub views: watch::Sender<Option<Arc<View>>>,
    /// Where the certificate is served that certgate keeps itself.
    pub served: Option<ServedCertificate>,
    /// What reviews ask about the cluster.
    pub questions: SourceQueries,
}

/// Whether this process takes part in writing status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusWriting {
    /// It does while it holds this lease.
    Leased(LeaseOptions),
    /// It does not.
    Off,
}

/// What changed with the cluster.
#[derive(Debug)]
pub struct Update {
    /// What decides from now on; `None` when decisions stay as they are.
    pub snapshot: Option<Arc<Snapshot>>,
    /// All that is wrong with the objects.
    pub problems: Vec<ObjectProblem>,
    /// The trust profiles, as `namespace/name`, that are degraded.
    pub degraded: Vec<Arc<str>>,
    /// How long compiling took.
    pub took: Duration,
}

/// Follows a cluster on the calling thread and calls `publish` with every snapshot and every change of problems, for
/// ever; also after `shutdown`, which only ends the writing of status.
///
/// The first snapshot comes when all objects have been told once. What fails after that is tried again.
pub fn run(
    options: &ClusterOptions,
    health: &Arc<Health>,
    admission: Option<&AdmissionFeed>,
    shutdown: &ClusterShutdown,
    publish: &mut dyn FnMut(Update),
) -> Result<std::convert::Infallible, ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let api = Api::connect().await.map_err(ClusterError::Configuration)?;
        let notify = Rc::new(Notify::new());
        let (scope, selector) = (options.scope.clone(), options.selector.clone());
        let store = Rc::new(RefCell::new(Store::new(scope, selector, notify.clone(), health.clone())));
        let mut tasks = JoinSet::new();
        let held = LeaseDeadline::default();
        let lease = match &options.status {
            StatusWriting::Leased(lease) => Some(lease),
            StatusWriting::Off => options.issuer.as_ref().map(|issuer| &issuer.lease),
        };
        match lease {
            None => shutdown.done(),
            Some(lease) => {
                let (api, lease, held) = (api.clone(), lease.clone(), held.clone());
                tasks.spawn_local(run_election(api, lease, held, shutdown.clone()));
            }
        }
        if let StatusWriting::Leased(_) = &options.status {
            let (api, store, health, held) = (api.clone(), store.clone(), health.clone(), held.clone());
            tasks.spawn_local(async move {
                write_status(api, store, health, held).await;
            });
        }
        if let (Some(issuer), Some(served)) = (&options.issuer, admission.and_then(|feed| feed.served.clone())) {
            let (watching, kept) = ((api.clone(), (**issuer).clone()), (api.clone(), (**issuer).clone()));
            tasks.spawn_local(async move {
                serve_certificate(watching.0, watching.1, served).await;
            });
            tasks.spawn_local(async move {
                manage_certificate(kept.0, kept.1, held, crate::clock::now).await;
            });
        }
        if let Some(feed) = admission {
            let (api, questions) = (api.clone(), feed.questions.clone());
            tasks.spawn_local(async move {
                answer(api, questions).await;
            });
        }
        let (relist, definitions) = mpsc::unbounded_channel();
        for kind in Kind::OWN {
            tasks.spawn_local(follow_definition(api.clone(), kind, relist.clone()));
        }
        let views = admission.map(|feed| feed.views.clone());
        Cluster { api, store, notify, tasks, views, definitions, followers: BTreeMap::new(), problems: Vec::new() }
            .run(publish)
            .await
    })
}

struct Cluster {
    api: Api,
    store: Rc<RefCell<Store>>,
    notify: Rc<Notify>,
    tasks: JoinSet<()>,
    views: Option<watch::Sender<Option<Arc<View>>>>,
    /// The kinds whose definitions have changed.
    definitions: mpsc::UnboundedReceiver<Kind>,
    followers: BTreeMap<Target, AbortHandle>,
    /// What was wrong when it was last told.
    problems: Vec<ObjectProblem>,
}

impl Cluster {
    async fn run(mut self, publish: &mut dyn FnMut(Update)) -> Result<std::convert::Infallible, ClusterError> {
        self.follow_what_is_wanted();
        let mut tick = tokio::time::interval(REPORT_PERIOD);
        let (mut published, mut said) = (false, Instant::now());
        loop {
            tokio::select! {
                () = self.notify.notified() => tokio::time::sleep(PUBLISH_DEBOUNCE).await,
                _ = tick.tick() => self.store.borrow().report_ages(),
                Some(kind) = self.definitions.recv() => self.relist_kind(kind),
                Some(ended) = self.tasks.join_next() => {
                    // Followers end when they are told to, or by a panic: then what was told may be half done, and the
                    // caller begins anew.
                    if let Err(error) = ended && error.is_panic() {
                        std::panic::resume_unwind(error.into_panic());
                    }
                }
            }
            if self.store.borrow_mut().take_references_changed() {
                self.follow_what_is_wanted();
            }
            if self.store.borrow().is_due(Instant::now(), RELIST_MAX_WAIT, SOURCE_GRACE_PERIOD) {
                published |= self.publish(publish);
            } else if !published && said.elapsed() > NOT_READY_LOG_INTERVAL {
                said = Instant::now();
                let store = self.store.borrow();
                let waiting: Vec<_> = store.waiting_for().into_iter().take(10).map(ToString::to_string).collect();
                tracing::warn!(waiting_for = waiting.join(", "), "not ready: the initial lists are incomplete");
            }
        }
    }

    fn publish(&mut self, publish: &mut dyn FnMut(Update)) -> bool {
        let mut store = self.store.borrow_mut();
        let began = Instant::now();
        store.note_published();
        // Whoever may write a profile must not learn what lies in the pod's file system.
        let WantedFiles { certificates, crls } = store.index.wanted_files();
        certificates.iter().for_each(|path| store.index.set_certificate_file(path, Err(FILES_ARE_NOT_READ.to_owned())));
        crls.iter().for_each(|path| store.index.set_crl_file(path, Err(FILES_ARE_NOT_READ.to_owned())));
        let snapshot = store.index.publish();
        if let Some(views) = &self.views {
            views.send_replace(Some(Arc::new(store.index.view())));
        }
        let (problems, degraded) = (store.index.problems(), store.index.degraded());
        drop(store);
        let is_new = snapshot.is_some();
        if is_new || problems != self.problems {
            self.problems.clone_from(&problems);
            publish(Update { snapshot, problems, degraded, took: began.elapsed() });
        }
        is_new
    }

    /// Begins to follow what trust profiles have come to name, and ends what none names any more.
    fn follow_what_is_wanted(&mut self) {
        let wanted = self.store.borrow().wanted();
        self.followers.retain(|target, follower| {
            let keep = wanted.contains(target);
            if !keep {
                follower.abort();
                self.store.borrow_mut().remove(target);
            }
            keep
        });
        let mut added = false;
        for target in wanted {
            if self.followers.contains_key(&target) {
                continue;
            }
            self.store.borrow_mut().add(&target);
            self.begin(target);
            added = true;
        }
        if added {
            // Its end is looked at like any other task's: what waited for the lists waits no longer.
            self.tasks.spawn_local(tokio::time::sleep(SOURCE_GRACE_PERIOD));
        }
    }

    /// Lists and watches `target`.
    fn begin(&mut self, target: Target) {
        let (api, mut handler) =
            (self.api.clone(), SetEventHandler { store: self.store.clone(), target: target.clone() });
        let follower = self.tasks.spawn_local(async move {
            let target = handler.target.clone();
            follow(&api, &target, &mut handler).await;
        });
        if let Some(former) = self.followers.insert(target, follower) {
            former.abort();
        }
    }

    /// Lists the objects of a kind anew. What is known of them goes on deciding until the new list is there.
    fn relist_kind(&mut self, kind: Kind) {
        let of_kind: Vec<Target> = self.followers.keys().filter(|target| target.kind == kind).cloned().collect();
        for target in of_kind {
            self.begin(target);
        }
    }
}
