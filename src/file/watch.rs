//! Reloads the policy directory when it changes.
//!
//! This module owns when to reload and which reloads to report. [`crate::watch`] notices changes; the loader decides
//! what to read.
//!
//! It runs on a thread of its own at low priority: compiling must not take processor time from decisions.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::loader::{Loader, Reload, ReloadOutcome};
use super::report::FileProblem;
use super::scan;
use crate::watch::{Change, Debounce, DirectoryWatcher, Wake, WatchSet, Watched};
pub use crate::watch::{StopHandle, WatchMode};

/// When an edit is read. Together with the read, this must stay well below the second within which an edit takes
/// effect.
const DEBOUNCE: Debounce = Debounce {
    quiet: Duration::from_millis(50),
    limit: Duration::from_millis(300),
    limit_while_written: Duration::from_millis(600),
};

/// The delay of the next attempt after files were being written all the time.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The interval of listings without events.
const POLL_WITHOUT_EVENTS: Duration = Duration::from_millis(500);

/// The share of a processor, as a divisor, that reloads without changes may use, with events
const LISTING_SHARE: u32 = 20;

/// and without events.
const LISTING_SHARE_WITHOUT_EVENTS: u32 = 4;

/// The most consecutive reloads for directories that appear during a reload.
const MAX_ROUNDS: u32 = 8;

/// How the directory is watched.
#[derive(Copy, Clone, Debug)]
pub struct WatchOptions {
    /// How changes are noticed.
    pub mode: WatchMode,
    /// The interval of listings without an event.
    pub poll: Duration,
    /// Niceness of the thread, 0 to 19.
    pub niceness: i32,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { mode: WatchMode::Events, poll: Duration::from_secs(2), niceness: 10 }
    }
}

/// Watches a loader's directory.
#[derive(Debug)]
pub struct PolicyWatcher {
    loader: Loader,
    options: WatchOptions,
    watcher: DirectoryWatcher,
}

impl PolicyWatcher {
    /// Watches the directory of `loader`, which usually has made its first reload.
    pub fn new(loader: Loader, options: WatchOptions) -> Self {
        Self { loader, options, watcher: DirectoryWatcher::new(options.mode, DEBOUNCE, is_relevant) }
    }

    /// A handle that ends [`PolicyWatcher::run`], after a reload that is under way.
    pub fn stop_handle(&self) -> StopHandle {
        self.watcher.stop_handle()
    }

    /// Runs on a new thread of low priority.
    pub fn spawn(self, on_reload: impl FnMut(Reload) + Send + 'static) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("policies".to_owned()).spawn(move || {
            // On Linux `nice` applies to the calling thread alone. If it fails, decisions are a little slower during a
            // reload.
            _ = rustix::process::nice(self.options.niceness);
            self.run(on_reload);
        })
    }

    /// Watches until stopped. Passes each reload with news to `on_reload`: a new snapshot, other problems, or the start
    /// or end of a rejection (the end as `Unchanged` if it leaves the last snapshot in use). The callback runs on this
    /// thread and may take its time.
    pub fn run(mut self, mut on_reload: impl FnMut(Reload)) {
        let mut reported = Reported { refused: false, problems: None };
        let mut rounds = 0;
        // Watches before it reads: a later change causes an event, and the reload sees an earlier one.
        self.watcher.watch(watch_set(&self.loader));
        loop {
            let has_events = self.watcher.is_complete();
            self.loader.set_settle_time(if has_events { Duration::ZERO } else { DEBOUNCE.quiet });
            let reload = self.loader.reload();
            let busy = matches!(reload.outcome, ReloadOutcome::Busy);
            let idle = matches!(reload.outcome, ReloadOutcome::Unchanged).then_some(reload.elapsed).unwrap_or_default();
            if reported.is_news(&reload) {
                on_reload(reload);
            }
            rounds += 1;
            if self.watcher.watch(watch_set(&self.loader)) == Watched::Newly && rounds < MAX_ROUNDS {
                // The reload found directories that were not watched while it read them.
                continue;
            }
            rounds = 0;
            let (longest, share) = match self.watcher.is_complete() {
                true => (self.options.poll, LISTING_SHARE),
                false => (self.options.poll.min(POLL_WITHOUT_EVENTS), LISTING_SHARE_WITHOUT_EVENTS),
            };
            let pause = if busy { RETRY_DELAY } else { longest.max(idle.saturating_mul(share)) };
            if self.watcher.wait(pause) == Wake::Stop {
                return;
            }
        }
    }
}

/// The last reload that `on_reload` received.
struct Reported {
    refused: bool,
    problems: Option<Arc<[FileProblem]>>,
}

impl Reported {
    fn is_news(&mut self, reload: &Reload) -> bool {
        let refused = match &reload.outcome {
            ReloadOutcome::Busy => return false,
            ReloadOutcome::Refused => true,
            ReloadOutcome::Published(_) | ReloadOutcome::Unchanged => false,
        };
        // The problems of the first reload, before the watch, are not news.
        let problems = self.problems.replace(Arc::clone(&reload.problems));
        let differ = problems.is_some_and(|problems| problems != reload.problems);
        let turned = std::mem::replace(&mut self.refused, refused) != refused;
        turned || differ || matches!(reload.outcome, ReloadOutcome::Published(_))
    }
}

/// Whether the loader would list the path.
fn is_relevant(path: &Path, change: Change) -> bool {
    match change {
        Change::Content => scan::is_policy_file(path),
        Change::Name => path.file_name().is_some_and(scan::is_visible),
    }
}

/// The paths that the last reload depended on.
fn watch_set(loader: &Loader) -> WatchSet {
    let mut set = WatchSet::default();
    loader.directories().iter().cloned().for_each(|directory| set.add_directory(directory));
    set.add_path(loader.path());
    loader.source_paths().for_each(|path| set.add_mounted_path(&path));
    set
}
