//! Publishes the snapshots of the policy directory.
//!
//! Owns the handling of each reload: publishing, metrics, log, and freeing the previous snapshot. [`crate::file`]
//! notices changes and reads files. All of it runs on one thread of low priority, so that compiling and freeing large
//! policies takes no processor time from requests.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use thiserror::Error;

use crate::domain::decide::Snapshot;
use crate::envoy::service::Authorizer;
use crate::file::loader::{Loader, Reload, ReloadOutcome};
use crate::file::report::{FileProblem, ProblemClass};
use crate::file::watch::{PolicyWatcher, WatchOptions};
use crate::metrics::{Load, Metrics};
use crate::panics;

/// How often the start reads a directory that is being written all the time before it reports an error.
const MAX_FIRST_READS: u32 = 20;

/// Niceness of the directory's thread: the maximum. While 20,000 requests a second run, rebuilding a large policy costs
/// their 99.9th percentile 0.6 ms at this priority, and 10 ms at the normal one.
pub const NICENESS: i32 = 19;

/// The pause after a panic, which may occur again at the next reload.
pub const RESTART_PAUSE: Duration = Duration::from_secs(5);

/// The most problems of one reload in the log; `certgate check` reports all.
pub const MAX_LOGGED_PROBLEMS: usize = 100;

/// How long a request may keep the previous snapshot alive before this thread stops waiting for it. Decisions take
/// microseconds, an explanation little more.
const RETIREMENT_TIMEOUT: Duration = Duration::from_secs(2);

/// The interval of checks whether a snapshot is still in use.
const RETIREMENT_POLL: Duration = Duration::from_millis(5);

/// Why a directory gives no policies to start with.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Documents cannot be read.
    #[error("{}", list(.0))]
    Unreadable(Arc<[FileProblem]>),
    /// Files were being written all the time.
    #[error("the files change all the time; no consistent state could be read")]
    Busy,
}

fn list(problems: &[FileProblem]) -> String {
    let mut text = match problems.len() {
        1 => "the policies cannot be read".to_owned(),
        n => format!("the policies cannot be read, with {n} errors"),
    };
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}

/// A directory that has been read once.
#[derive(Debug)]
pub struct Loaded {
    /// The loader, for further reloads.
    pub loader: Loader,
    /// The first reload.
    pub first: Reload,
    /// The snapshot of the first reload.
    pub snapshot: Arc<Snapshot>,
}

/// Reads the directory or file at `path` for the first time.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let mut loader = Loader::new(path);
    for _ in 0..MAX_FIRST_READS {
        let first = loader.reload();
        match &first.outcome {
            ReloadOutcome::Published(snapshot) => {
                let snapshot = snapshot.clone();
                return Ok(Loaded { loader, first, snapshot });
            }
            ReloadOutcome::Refused => return Err(LoadError::Unreadable(first.problems)),
            // Nothing has been published before, so the next reload of unchanging files publishes something.
            ReloadOutcome::Busy | ReloadOutcome::Unchanged => {}
        }
    }
    Err(LoadError::Busy)
}

/// Watches the directory on a thread of its own, of low priority, for the lifetime of the process.
///
/// After a panic, the thread counts a failed load, pauses and reads the whole directory again.
pub fn watch(
    loader: Loader,
    authorizer: Arc<Authorizer>,
    metrics: Arc<Metrics>,
    last_error: Arc<LastLoadError>,
) -> io::Result<()> {
    thread::Builder::new().name("policies".to_owned()).spawn(move || {
        // On Linux `nice` applies to the calling thread alone. If it fails, decisions are a little slower during a
        // reload.
        let _ = rustix::process::nice(NICENESS);
        let path = loader.path().to_owned();
        let mut source = PolicyWatcher::new(loader, WatchOptions::default());
        loop {
            let ended =
                panics::guarded(|| source.run(|reload| apply_reload(&reload, &authorizer, &metrics, &last_error)));
            if let Err(panic) = ended {
                metrics.loaded(Load::Refused { errors: 1 });
                tracing::error!(
                    place = panic.place,
                    panic = panic.message,
                    "panic while reading the policies; the last ones stay in use"
                );
            }
            thread::sleep(RESTART_PAUSE);
            let mut loader = Loader::new(&path);
            if authorizer.current().is_some_and(|snapshot| snapshot.counts().policies > 0) {
                loader.expect_objects();
            }
            source = PolicyWatcher::new(loader, WatchOptions::default());
        }
    })?;
    Ok(())
}

/// The error for which the last reload rejected the directory as a whole, if it did. Explanations report it.
#[derive(Debug, Default)]
pub struct LastLoadError(Mutex<Option<String>>);

impl LastLoadError {
    fn set(&self, why: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// The error message.
    pub fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Handles one reload; the snapshot that it published decides from now on.
pub fn apply_reload(reload: &Reload, authorizer: &Authorizer, metrics: &Metrics, last_error: &LastLoadError) {
    let problems = &*reload.problems;
    let generation = authorizer.current().map(|snapshot| snapshot.generation());
    metrics.degraded(reload.degraded.iter().cloned());
    match &reload.outcome {
        ReloadOutcome::Published(snapshot) => {
            last_error.set(None);
            let former = authorizer.publish(snapshot.clone());
            let counts = snapshot.counts();
            metrics.loaded(Load::Applied { problems: problems.len() });
            metrics.published(snapshot.generation(), counts);
            metrics.set_profiles(snapshot.crls(), snapshot.anchors());
            tracing::info!(
                generation = snapshot.generation(),
                policies = counts.policies,
                invalid_policies = counts.invalid_policies,
                unavailable_policies = counts.unavailable_policies,
                mappings = counts.mappings,
                problems = problems.len(),
                took_ms = millis(reload.elapsed),
                "policies published"
            );
            if counts.policies == 0 {
                tracing::warn!("there is no CertificatePolicy: every request is denied with NO_POLICY");
            }
            log_problems(problems);
            former.into_iter().for_each(retire);
        }
        ReloadOutcome::Unchanged => {
            metrics.loaded(Load::Applied { problems: problems.len() });
            last_error.set(None);
            match problems.iter().filter(|problem| problem.class == ProblemClass::Invalid).count() {
                0 => {
                    tracing::info!(generation, "no decision changed; the policies of this generation stay in use")
                }
                errors => tracing::warn!(
                    generation,
                    errors,
                    "edit not applied, or without effect: there are errors; the policies of this generation stay \
                     in use"
                ),
            }
            log_problems(problems);
        }
        ReloadOutcome::Refused => {
            metrics.loaded(Load::Refused { errors: problems.len() });
            last_error
                .set(problems.first().filter(|problem| problem.file.is_empty()).map(|problem| problem.message.clone()));
            tracing::error!(
                generation,
                errors = problems.len(),
                "edit rejected: the policies cannot be read; the policies of this generation stay in use"
            );
            log_problems(problems);
        }
        ReloadOutcome::Busy => {}
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn log_problems(problems: &[FileProblem]) {
    for problem in problems.iter().take(MAX_LOGGED_PROBLEMS) {
        match problem.class {
            ProblemClass::Unreadable => tracing::error!("{problem}"),
            ProblemClass::Invalid | ProblemClass::Warning | ProblemClass::Note => tracing::warn!("{problem}"),
        }
    }
    if let Some(more) = problems.len().checked_sub(MAX_LOGGED_PROBLEMS).filter(|more| *more > 0) {
        tracing::warn!(more, "further problems; `certgate check` names all");
    }
}

/// Frees a snapshot on this thread rather than on one that decides, which may hold its last reference for a moment.
fn retire(mut former: Arc<Snapshot>) {
    let polls = RETIREMENT_TIMEOUT.as_millis() / RETIREMENT_POLL.as_millis();
    for _ in 0..polls {
        match Arc::try_unwrap(former) {
            Ok(snapshot) => return drop(snapshot),
            Err(still_used) => former = still_used,
        }
        thread::sleep(RETIREMENT_POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn authorizer(metrics: &Arc<Metrics>) -> Authorizer {
        Authorizer::new(metrics.clone(), clock::now, 0)
    }

    #[test]
    fn an_empty_directory_is_a_snapshot_that_denies() {
        let directory = tempfile::tempdir().unwrap();
        let loaded = load(directory.path()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let authorizer = authorizer(&metrics);
        apply_reload(&loaded.first, &authorizer, &metrics, &LastLoadError::default());
        assert!(authorizer.current().is_some());
        assert!(metrics.render().contains("certgate_policy_load_errors 0"));
    }

    #[test]
    fn what_cannot_be_read_at_the_start_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), "a: [").unwrap();
        let error = load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("a.yaml:"), "{error}");
        assert!(load(&directory.path().join("absent")).is_err());
    }

    #[test]
    fn a_refused_reading_keeps_the_snapshot() {
        let directory = tempfile::tempdir().unwrap();
        let mut loaded = load(directory.path()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let authorizer = authorizer(&metrics);
        let last_error = LastLoadError::default();
        apply_reload(&loaded.first, &authorizer, &metrics, &last_error);
        drop(loaded.first);
        std::fs::write(directory.path().join("a.yaml"), "a: [").unwrap();
        apply_reload(&loaded.loader.reload(), &authorizer, &metrics, &last_error);
        assert!(Arc::ptr_eq(&authorizer.current().unwrap(), &loaded.snapshot));
        let text = metrics.render();
        assert!(
            text.contains("certgate_policy_load_errors 1") && text.contains("certgate_policy_load_failures_total 1")
        );
    }
}
