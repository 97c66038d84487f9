//! Publishes the snapshots of the cluster.
//!
//! Owns the thread that follows the cluster, and the handling of each snapshot: publishing, metrics, log.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;

use super::policies::{MAX_LOGGED_PROBLEMS, RESTART_PAUSE};
use crate::domain::decide::Snapshot;
use crate::domain::store::{Problem, Severity};
use crate::envoy::service::Authorizer;
use crate::kubernetes::cluster::{AdmissionFeed, ClusterError, ClusterOptions, Update, run};
use crate::kubernetes::health::Health;
use crate::kubernetes::shutdown::ClusterShutdown;
use crate::metrics::{Load, Metrics};
use crate::panics;

/// Niceness of the thread, relative to the worker threads. At 19 it got one part in seventy of a busy processor: edits
/// took seconds, and the lease for writing status was lost. At 10 it gets one part in ten.
const NICENESS: i32 = 10;

/// Follows a cluster on a thread of its own for the lifetime of the process, at low priority once there is a snapshot.
/// The receiver gets the first snapshot, or the error that prevents it.
///
/// After a panic, the thread counts a failed load, pauses and lists everything again. Until then the last snapshot
/// decides.
pub fn follow(
    options: ClusterOptions,
    authorizer: Arc<Authorizer>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    admission: Option<AdmissionFeed>,
    shutdown: ClusterShutdown,
) -> io::Result<oneshot::Receiver<Result<(), ClusterError>>> {
    let (first, loaded) = oneshot::channel();
    let mut first = Some(first);
    thread::Builder::new().name("cluster".to_owned()).spawn(move || {
        let (mut former, mut logged) = (Vec::new(), LoggedProblems::default());
        loop {
            let ended = panics::guarded(|| {
                run(&options, &health, admission.as_ref(), &shutdown, &mut |update| {
                    // This thread frees the snapshot once no request uses it, so that no request thread has to.
                    former.retain(|snapshot| Arc::strong_count(snapshot) > 1);
                    former.extend(apply_update(update, &authorizer, &metrics, &mut logged));
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(()));
                        // Until now there was no request that this thread could slow down, and the start must not be
                        // slow on a busy machine. On Linux `nice` applies to the calling thread alone. If it fails,
                        // decisions are a little slower while this thread works.
                        let _ = rustix::process::nice(NICENESS);
                    }
                })
            });
            match ended {
                Ok(Ok(never)) => match never {},
                Ok(Err(error)) => match first.take() {
                    Some(first) => {
                        let _ = first.send(Err(error));
                        return;
                    }
                    None => tracing::error!("{error}"),
                },
                Err(panic) => {
                    metrics.loaded(Load::Refused { errors: 1 });
                    tracing::error!(
                        place = panic.place,
                        panic = panic.message,
                        "panic while following the cluster; the last policies stay in use"
                    );
                }
            }
            thread::sleep(RESTART_PAUSE);
        }
    })?;
    Ok(loaded)
}

/// The problems of the cluster that the log reports: a limited number, each once while it lasts.
#[derive(Default)]
struct LoggedProblems(BTreeSet<String>);

impl LoggedProblems {
    fn log_new(&mut self, problems: &[Problem]) {
        let lines = problems.iter().flat_map(|problem| problem.errors.iter().map(move |error| (problem, error)));
        let now: BTreeSet<String> =
            lines.take(MAX_LOGGED_PROBLEMS).map(|(problem, error)| format!("{}: {error}", problem.id)).collect();
        now.difference(&self.0).for_each(|line| tracing::warn!("{line}"));
        self.0 = now;
    }
}

/// Publishes an update and returns the previous snapshot.
fn apply_update(
    update: Update,
    authorizer: &Authorizer,
    metrics: &Metrics,
    logged: &mut LoggedProblems,
) -> Option<Arc<Snapshot>> {
    let Update { snapshot, problems, degraded, took } = update;
    metrics.degraded(degraded);
    metrics.loaded(Load::Applied { problems: problems.len() });
    let Some(snapshot) = snapshot else {
        let generation = authorizer.current().map(|snapshot| snapshot.generation());
        match problems.iter().filter(|problem| problem.severity == Severity::Error).count() {
            0 => tracing::info!(generation, "no decision changed; the policies of this generation stay in use"),
            errors => tracing::warn!(
                generation,
                errors,
                "objects are in error, and no decision changed; the policies of this generation stay in use"
            ),
        }
        logged.log_new(&problems);
        return None;
    };
    let (generation, counts) = (snapshot.generation(), snapshot.counts());
    let (crls, anchors) = (snapshot.crls(), snapshot.anchors());
    let former = authorizer.publish(snapshot);
    metrics.published(generation, counts);
    metrics.set_profiles(crls, anchors);
    tracing::info!(
        generation,
        policies = counts.policies,
        invalid_policies = counts.invalid_policies,
        unavailable_policies = counts.unavailable_policies,
        mappings = counts.mappings,
        problems = problems.len(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "policies published"
    );
    if counts.policies == 0 {
        tracing::warn!("there is no CertificatePolicy: every request is denied with NO_POLICY");
    }
    logged.log_new(&problems);
    former
}
