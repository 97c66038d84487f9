//! Notices changes of the policy directory and reloads it.
//!
//! This module owns when to look: inotify tells of changes, a slow poll is the net below it (network file systems and
//! some containers tell nothing), and a short pause joins the events of one edit. What to read is the loader's part. An
//! event never says what changed, only that it is worth to look; so a lost or a false one does no harm.
//!
//! It runs on a thread of its own at low priority: compiling must not take processor time from decisions.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::loader::{Loader, Reload, ReloadOutcome};
use super::report::Problem;

/// How long after the last event of an edit the directory is read.
const QUIET: Duration = Duration::from_millis(50);

/// How long events may go on before the directory is read all the same. With the reading itself it must stay well below
/// the second within which an edit is live.
const PATIENCE: Duration = Duration::from_millis(300);

/// The same while somebody has a file open for writing and has not closed it yet.
const PATIENCE_WITH_WRITERS: Duration = Duration::from_millis(600);

/// How long after files were being written all the time the next try is made.
const RETRY: Duration = Duration::from_millis(50);

/// How often the directory is listed where no events come.
const POLL_ALONE: Duration = Duration::from_millis(500);

/// Looking without reason takes at most one part in this many of a processor: where events come,
const LISTING_SHARE: u32 = 20;

/// and where they do not.
const LISTING_SHARE_ALONE: u32 = 4;

/// How changes are noticed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// By the kernel's events, with the poll as a net.
    Events,
    /// By the poll alone.
    Poll,
}

/// How the directory is watched.
#[derive(Copy, Clone, Debug)]
pub struct WatchOptions {
    /// How changes are noticed.
    pub notice: Notice,
    /// How often the directory is listed though no event came.
    pub poll: Duration,
    /// How much the thread's priority is lowered, 0 to 19.
    pub niceness: i32,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { notice: Notice::Events, poll: Duration::from_secs(2), niceness: 10 }
    }
}

/// Watches a loader's directory.
#[derive(Debug)]
pub struct Source {
    loader: Loader,
    options: WatchOptions,
    shared: Arc<Shared>,
}

/// Ends a [`Source`].
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Asks the source to end; it does so after a reload that is under way.
    pub fn stop(&self) {
        self.0.lock().stop = true;
        self.0.wake.notify_all();
    }
}

impl Source {
    /// Watches the directory of `loader`, which usually has made its first reload.
    pub fn new(loader: Loader, options: WatchOptions) -> Self {
        Self { loader, options, shared: Arc::default() }
    }

    /// A handle that ends [`Source::run`].
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Runs on a new thread of low priority.
    pub fn spawn(self, on_reload: impl FnMut(Reload) + Send + 'static) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("policies".to_owned()).spawn(move || {
            // On Linux this concerns the calling thread alone. Without it decisions are a little slower during a reload.
            _ = rustix::process::nice(self.options.niceness);
            self.run(on_reload);
        })
    }

    /// Watches until stopped. `on_reload` gets each reload that is news: a new snapshot, other problems, the beginning or the
    /// end of a refusal (the latter as `Unchanged` when it leaves the last snapshot as it was). It is called on this
    /// thread and may take its time.
    pub fn run(mut self, mut on_reload: impl FnMut(Reload)) {
        let mut watches = Watches::new(&self.shared, self.options.notice);
        let mut told = LastReload { refused: false, problems: None };
        let mut rounds = 0;
        // Watches first: a change after them is an event, a change before them is seen by the reload.
        watches.arm(&self.loader);
        loop {
            self.loader.set_calm(if watches.complete { Duration::ZERO } else { QUIET });
            let reload = self.loader.reload();
            let busy = matches!(reload.outcome, ReloadOutcome::Busy);
            let idle = matches!(reload.outcome, ReloadOutcome::Unchanged).then_some(reload.elapsed).unwrap_or_default();
            if told.is_news(&reload) {
                on_reload(reload);
            }
            rounds += 1;
            if watches.arm(&self.loader) == Armed::Newly && rounds < MAX_ROUNDS {
                // The reload found directories that were not watched while it read them.
                continue;
            }
            rounds = 0;
            let pause = match (busy, watches.complete) {
                (true, _) => RETRY,
                (false, true) => self.options.poll.max(idle.saturating_mul(LISTING_SHARE)),
                (false, false) => self.options.poll.min(POLL_ALONE).max(idle.saturating_mul(LISTING_SHARE_ALONE)),
            };
            if self.shared.wait(pause) == Wake::Stop {
                return;
            }
        }
    }
}

/// What `on_reload` knows.
struct LastReload {
    refused: bool,
    problems: Option<Arc<[Problem]>>,
}

impl LastReload {
    fn is_news(&mut self, reload: &Reload) -> bool {
        let refused = match &reload.outcome {
            ReloadOutcome::Busy => return false,
            ReloadOutcome::Refused => true,
            ReloadOutcome::Published(_) | ReloadOutcome::Unchanged => false,
        };
        // What the first reload, before the watching, found is not news.
        let problems = self.problems.replace(Arc::clone(&reload.problems));
        let differ = problems.is_some_and(|problems| problems != reload.problems);
        let turned = std::mem::replace(&mut self.refused, refused) != refused;
        turned || differ || matches!(reload.outcome, ReloadOutcome::Published(_))
    }
}

/// Why [`Shared::wait`] came back.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Wake {
    Changed,
    Poll,
    Stop,
}

/// What the watcher's thread and the source's thread share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stop: bool,
    /// Of which directories which names matter.
    interest: HashMap<PathBuf, Interest>,
    /// The first and the last event that no reload has answered yet.
    pending: Option<(Instant, Instant)>,
    /// Files that somebody writes and has not closed.
    writing: HashSet<PathBuf>,
    /// Directories that went away or were moved, and their watches with them, even if something of the same name and
    /// inode is there again.
    lost: HashSet<PathBuf>,
}

/// Which names of a directory matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Interest {
    /// Every name that the loader would list.
    listed: bool,
    /// These names.
    names: BTreeSet<OsString>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after each statement that changes it, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of an edit, for `poll` at most.
    fn wait(&self, poll: Duration) -> Wake {
        let start = Instant::now();
        let mut state = self.lock();
        loop {
            if state.stop {
                return Wake::Stop;
            }
            let now = Instant::now();
            let (due, wake) = match state.pending {
                Some((first, last)) if state.writing.is_empty() => {
                    ((last + QUIET).min(first + PATIENCE), Wake::Changed)
                }
                Some((first, _)) => (first + PATIENCE_WITH_WRITERS, Wake::Changed),
                None => (start + poll, Wake::Poll),
            };
            if now >= due {
                state.pending = None;
                state.writing.clear();
                return wake;
            }
            let waited = self.wake.wait_timeout(state, due - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes note of an event of the kernel.
    fn notice(&self, event: notify::Result<Event>) {
        let mut state = self.lock();
        match event {
            Ok(event) if !event.need_rescan() => {
                if !state.notice(&event) {
                    return;
                }
            }
            // A watch was lost or the queue broke: look, and watch all anew.
            Ok(_) | Err(_) => {
                let State { lost, interest, .. } = &mut *state;
                lost.extend(interest.keys().cloned());
            }
        }
        let now = Instant::now();
        state.pending = Some((state.pending.map_or(now, |(first, _)| first), now));
        drop(state);
        self.wake.notify_all();
    }
}

impl State {
    /// Whether `event` is worth a look.
    fn notice(&mut self, event: &Event) -> bool {
        let mut matters = false;
        for path in &event.paths {
            if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
                // Watches below it are gone too.
                self.lost.extend(self.interest.keys().filter(|watched| watched.starts_with(path)).cloned());
            }
            let matters_here = match event.kind {
                // Our own reading among others.
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => self.is_relevant(path, Change::Content),
                EventKind::Access(_) => false,
                EventKind::Modify(ModifyKind::Data(_)) => self.is_relevant(path, Change::Content),
                _ => self.is_relevant(path, Change::Name),
            };
            if !matters_here {
                continue;
            }
            matters = true;
            if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))) {
                self.writing.insert(path.clone());
            } else {
                self.writing.remove(path);
            }
        }
        matters
    }

    fn is_relevant(&self, path: &Path, change: Change) -> bool {
        if change == Change::Name && self.interest.contains_key(path) {
            return true;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let Some(interest) = self.interest.get(parent) else { return false };
        interest.names.contains(name)
            || interest.listed
                && match change {
                    Change::Content => super::scan::is_policy_file(path),
                    Change::Name => super::scan::is_visible(name) || name == OsStr::new(super::scan::SWAPPED_LINK),
                }
    }
}

/// What an event is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Change {
    /// A file's content.
    Content,
    /// That a name is there, or what it leads to.
    Name,
}

/// Whether [`Watches::arm`] had to add watches.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Armed {
    AsBefore,
    Newly,
}

/// How often directories that appear while others are read are waited for.
const MAX_ROUNDS: u32 = 8;

/// The watches in place.
struct Watches {
    watcher: Option<RecommendedWatcher>,
    shared: Arc<Shared>,
    /// Directories by real path, with device and inode: one that was made anew needs a new watch.
    watched: HashMap<PathBuf, (u64, u64)>,
    /// Whether everything that should be watched is.
    complete: bool,
}

impl Watches {
    fn new(shared: &Arc<Shared>, notice: Notice) -> Self {
        let watcher = match notice {
            Notice::Events => {
                let shared = Arc::clone(shared);
                notify::recommended_watcher(move |event| shared.notice(event)).ok()
            }
            Notice::Poll => None,
        };
        Self { watcher, shared: Arc::clone(shared), watched: HashMap::new(), complete: false }
    }

    /// Watches what the loader's last reload showed to matter, and nothing else.
    fn arm(&mut self, loader: &Loader) -> Armed {
        let Some(watcher) = &mut self.watcher else { return Armed::AsBefore };
        let wanted = wanted(loader);
        let lost = {
            let mut state = self.shared.lock();
            state.interest.clone_from(&wanted);
            std::mem::take(&mut state.lost)
        };
        for path in lost {
            if self.watched.remove(&path).is_some() {
                _ = watcher.unwatch(&path);
            }
        }
        let mut armed = Armed::AsBefore;
        self.complete = true;
        for path in wanted.keys() {
            let Ok(metadata) = fs::metadata(path) else { continue };
            let identity = (metadata.dev(), metadata.ino());
            if self.watched.get(path) == Some(&identity) {
                continue;
            }
            if self.watched.remove(path).is_some() {
                _ = watcher.unwatch(path);
            }
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path.clone(), identity);
                    armed = Armed::Newly;
                }
                // It may have vanished, or the kernel's number of watches is used up: the poll remains.
                Err(_) => self.complete = false,
            }
        }
        self.watched.retain(|path, _| {
            let keep = wanted.contains_key(path);
            if !keep {
                _ = watcher.unwatch(path);
            }
            keep
        });
        armed
    }
}

/// The directories to watch, as real paths, and which of their names matter.
fn wanted(loader: &Loader) -> HashMap<PathBuf, Interest> {
    let mut wanted: HashMap<PathBuf, Interest> = HashMap::new();
    for directory in loader.directories() {
        wanted.entry(directory.clone()).or_default().listed = true;
    }
    want_name(&mut wanted, loader.path());
    for path in loader.source_paths() {
        want_name(&mut wanted, &path);
        // A source in a mounted Secret changes when this link does.
        if let Some(parent) = path.parent() {
            want_name(&mut wanted, &parent.join(super::scan::SWAPPED_LINK));
        }
    }
    wanted
}

/// Watches for `path` itself: its name in its directory, and where it is a link, also that of its target. Where the
/// directory is not there, watches for that instead.
fn want_name(wanted: &mut HashMap<PathBuf, Interest>, path: &Path) {
    let Ok(absolute) = std::path::absolute(path) else { return };
    let mut want = |path: &Path| -> bool {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return true };
        match fs::canonicalize(parent) {
            Ok(parent) => {
                wanted.entry(parent).or_default().names.insert(name.to_owned());
                true
            }
            Err(_) => false,
        }
    };
    let mut there = absolute.as_path();
    while !want(there) {
        let Some(parent) = there.parent() else { break };
        there = parent;
    }
    if let Ok(real) = fs::canonicalize(&absolute)
        && real != absolute
    {
        want(&real);
    }
}
