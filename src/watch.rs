//! Watches directories for changes, for every part of the service that reads files again.
//!
//! Owns when to check for changes: kernel events (inotify), debounced until an edit is complete, and the caller's poll
//! as a fallback, because network file systems and some containers send no events. An event only says that a check is
//! worthwhile, so a lost or spurious one does no harm. The caller decides what to read and what a change means.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// The link that a kubelet swaps to change all files of a mounted ConfigMap or Secret at once.
pub const SWAPPED_LINK: &str = "..data";

/// How changes are noticed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// By kernel events, with the poll as a fallback.
    Events,
    /// By the poll alone.
    Poll,
}

/// When an edit counts as complete.
#[derive(Copy, Clone, Debug)]
pub struct Debounce {
    /// How long no event may have occurred.
    pub quiet: Duration,
    /// The longest sequence of events after which the edit counts as complete nevertheless.
    pub limit: Duration,
    /// The same limit while a file is open for writing.
    pub limit_while_written: Duration,
}

/// What an event concerns.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file's content.
    Content,
    /// The existence of a name, or the target of a link.
    Name,
}

/// Which names of a directory matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Interest {
    /// Every name that passes the watcher's filter.
    filtered: bool,
    /// These names.
    names: BTreeSet<OsString>,
}

/// The directories to watch and which of their names matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchSet(HashMap<PathBuf, Interest>);

impl WatchSet {
    /// Adds every name of `directory` that passes the watcher's filter.
    pub fn add_directory(&mut self, directory: PathBuf) {
        self.0.entry(directory).or_default().filtered = true;
    }

    /// Adds `path` itself: its name in its directory and, if it is a link, also that of its target. If the directory
    /// does not exist, adds the nearest existing one above it.
    pub fn add_path(&mut self, path: &Path) {
        let Ok(absolute) = std::path::absolute(path) else { return };
        let mut nearest = absolute.as_path();
        while !self.add_name(nearest) {
            let Some(parent) = nearest.parent() else { break };
            nearest = parent;
        }
        if let Ok(real) = fs::canonicalize(&absolute)
            && real != absolute
        {
            self.add_name(&real);
        }
    }

    /// Adds a file that may lie in a mounted ConfigMap or Secret, where it changes when [`SWAPPED_LINK`] does.
    pub fn add_mounted_path(&mut self, path: &Path) {
        self.add_path(path);
        if let Some(parent) = path.parent() {
            self.add_path(&parent.join(SWAPPED_LINK));
        }
    }

    /// Returns whether the directory of `path` exists, so that the name was added.
    fn add_name(&mut self, path: &Path) -> bool {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return true };
        match fs::canonicalize(parent) {
            Ok(parent) => {
                self.0.entry(parent).or_default().names.insert(name.to_owned());
                true
            }
            Err(_) => false,
        }
    }
}

/// Why [`DirectoryWatcher::wait`] returned.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// An edit is complete.
    Changed,
    /// The poll is due.
    Poll,
    /// A [`StopHandle`] was used.
    Stop,
}

/// The result of [`DirectoryWatcher::watch`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Every directory was already watched.
    Before,
    /// Some directories were not watched before; earlier changes in them went unnoticed.
    Newly,
}

/// Ends the wait of a [`DirectoryWatcher`].
#[derive(Clone, Debug)]
pub struct StopHandle(Arc<Shared>);

impl StopHandle {
    /// Makes the current and every later wait return [`Wake::Stop`].
    pub fn stop(&self) {
        self.0.lock().stop = true;
        self.0.wake.notify_all();
    }
}

/// Watches a set of directories.
#[derive(Debug)]
pub struct DirectoryWatcher {
    watcher: Option<RecommendedWatcher>,
    shared: Arc<Shared>,
    debounce: Debounce,
    /// Directories with device and inode: a directory that was created again needs a new watch.
    directories: HashMap<PathBuf, (u64, u64)>,
    complete: bool,
}

impl DirectoryWatcher {
    /// Watches nothing yet. In directories of [`WatchSet::add_directory`], the names that pass `filter` matter.
    pub fn new(mode: WatchMode, debounce: Debounce, filter: fn(&Path, Change) -> bool) -> Self {
        let shared = Arc::<Shared>::default();
        let watcher = match mode {
            WatchMode::Events => {
                let shared = Arc::clone(&shared);
                notify::recommended_watcher(move |event| shared.notice(event, filter)).ok()
            }
            WatchMode::Poll => None,
        };
        Self { watcher, shared, debounce, directories: HashMap::new(), complete: false }
    }

    /// A handle that ends [`DirectoryWatcher::wait`].
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(Arc::clone(&self.shared))
    }

    /// Whether every directory of the set is watched, so that the poll is only a fallback.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Watches `set`, and nothing else.
    pub fn watch(&mut self, set: WatchSet) -> Watched {
        let Some(watcher) = &mut self.watcher else { return Watched::Before };
        let lost = {
            let mut state = self.shared.lock();
            state.interest.clone_from(&set.0);
            std::mem::take(&mut state.lost)
        };
        for path in lost {
            if self.directories.remove(&path).is_some() {
                _ = watcher.unwatch(&path);
            }
        }
        let mut watched = Watched::Before;
        self.complete = true;
        for path in set.0.keys() {
            let Ok(metadata) = fs::metadata(path) else { continue };
            let identity = (metadata.dev(), metadata.ino());
            if self.directories.get(path) == Some(&identity) {
                continue;
            }
            if self.directories.remove(path).is_some() {
                _ = watcher.unwatch(path);
            }
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.directories.insert(path.clone(), identity);
                    watched = Watched::Newly;
                }
                // The directory may have vanished, or the kernel's limit of watches is reached: the poll remains.
                Err(_) => self.complete = false,
            }
        }
        self.directories.retain(|path, _| {
            let keep = set.0.contains_key(path);
            if !keep {
                _ = watcher.unwatch(path);
            }
            keep
        });
        watched
    }

    /// Waits for the end of an edit, at most for `poll`.
    pub fn wait(&self, poll: Duration) -> Wake {
        let start = Instant::now();
        let mut state = self.shared.lock();
        loop {
            if state.stop {
                return Wake::Stop;
            }
            let now = Instant::now();
            let Debounce { quiet, limit, limit_while_written } = self.debounce;
            let (due, wake) = match state.pending {
                Some((first, last)) if state.written.is_empty() => ((last + quiet).min(first + limit), Wake::Changed),
                Some((first, _)) => (first + limit_while_written, Wake::Changed),
                None => (start + poll, Wake::Poll),
            };
            if now >= due {
                state.pending = None;
                state.written.clear();
                return wake;
            }
            let waited = self.shared.wake.wait_timeout(state, due - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The state that the kernel's watcher and the waiting thread share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<WatchState>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct WatchState {
    stop: bool,
    interest: HashMap<PathBuf, Interest>,
    /// The first and the last event after the last wait.
    pending: Option<(Instant, Instant)>,
    /// Files that were written and have not been closed.
    written: HashSet<PathBuf>,
    /// Directories that were removed or moved. Their watches are gone, even if a directory of the same name and inode
    /// exists again.
    lost: HashSet<PathBuf>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, WatchState> {
        // The state is consistent after each statement that changes it, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an event of the kernel.
    fn notice(&self, event: notify::Result<Event>, filter: fn(&Path, Change) -> bool) {
        let mut state = self.lock();
        match event {
            Ok(event) if !event.need_rescan() => {
                if !state.notice(&event, filter) {
                    return;
                }
            }
            // A watch was lost or the queue overflowed: report a change, and watch every directory again.
            Ok(_) | Err(_) => {
                let WatchState { lost, interest, .. } = &mut *state;
                lost.extend(interest.keys().cloned());
            }
        }
        let now = Instant::now();
        state.pending = Some((state.pending.map_or(now, |(first, _)| first), now));
        drop(state);
        self.wake.notify_all();
    }
}

impl WatchState {
    /// Whether `event` concerns a relevant name.
    fn notice(&mut self, event: &Event, filter: fn(&Path, Change) -> bool) -> bool {
        let mut relevant = false;
        for path in &event.paths {
            if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
                // The watches below it are gone, too.
                self.lost.extend(self.interest.keys().filter(|watched| watched.starts_with(path)).cloned());
            }
            let change = match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => Change::Content,
                // Includes our own reads.
                EventKind::Access(_) => continue,
                EventKind::Modify(ModifyKind::Data(_)) => Change::Content,
                _ => Change::Name,
            };
            if !self.is_relevant(path, change, filter) {
                continue;
            }
            relevant = true;
            if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))) {
                self.written.insert(path.clone());
            } else {
                self.written.remove(path);
            }
        }
        relevant
    }

    fn is_relevant(&self, path: &Path, change: Change, filter: fn(&Path, Change) -> bool) -> bool {
        if change == Change::Name && self.interest.contains_key(path) {
            return true;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let Some(interest) = self.interest.get(parent) else { return false };
        let is_swap = change == Change::Name && name == OsStr::new(SWAPPED_LINK);
        interest.names.contains(name) || interest.filtered && (is_swap || filter(path, change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any event takes; no passing test waits this long.
    const NEVER: Duration = Duration::from_secs(60);

    fn watcher(mode: WatchMode) -> DirectoryWatcher {
        let limit = Duration::from_millis(50);
        let debounce = Debounce { quiet: Duration::from_millis(5), limit, limit_while_written: limit };
        DirectoryWatcher::new(mode, debounce, |path, _| path.extension().is_some_and(|extension| extension == "pem"))
    }

    fn set(directory: &Path) -> WatchSet {
        let mut set = WatchSet::default();
        set.add_directory(fs::canonicalize(directory).unwrap());
        set
    }

    #[test]
    fn relevant_names_wake_and_others_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut watcher = watcher(WatchMode::Events);
        let mut wanted = set(dir.path());
        wanted.add_mounted_path(&dir.path().join("list"));
        assert_eq!(watcher.watch(wanted.clone()), Watched::Newly);
        assert_eq!(watcher.watch(wanted), Watched::Before);
        assert!(watcher.is_complete());
        for name in ["a.pem", "list", SWAPPED_LINK] {
            fs::write(dir.path().join(name), "x").unwrap();
            assert_eq!(watcher.wait(NEVER), Wake::Changed, "{name}");
        }
        fs::write(dir.path().join("other"), "x").unwrap();
        fs::read(dir.path().join("a.pem")).unwrap();
        assert_eq!(watcher.wait(Duration::from_millis(100)), Wake::Poll);
    }

    #[test]
    fn a_directory_that_was_made_anew_is_watched_anew() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let mut watcher = watcher(WatchMode::Events);
        let wanted = set(&inner);
        watcher.watch(wanted.clone());
        fs::remove_dir(&inner).unwrap();
        assert_eq!(watcher.wait(NEVER), Wake::Changed);
        fs::create_dir(&inner).unwrap();
        assert_eq!(watcher.watch(wanted), Watched::Newly);
        fs::write(inner.join("a.pem"), "x").unwrap();
        assert_eq!(watcher.wait(NEVER), Wake::Changed);
    }

    #[test]
    fn without_events_there_is_the_poll_and_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut watcher = watcher(WatchMode::Poll);
        assert_eq!(watcher.watch(set(dir.path())), Watched::Before);
        assert!(!watcher.is_complete());
        fs::write(dir.path().join("a.pem"), "x").unwrap();
        assert_eq!(watcher.wait(Duration::ZERO), Wake::Poll);
        watcher.stop_handle().stop();
        assert_eq!(watcher.wait(NEVER), Wake::Stop);
    }

    #[test]
    fn a_path_below_a_missing_directory_is_watched_from_above() {
        let dir = tempfile::tempdir().unwrap();
        let mut watcher = watcher(WatchMode::Events);
        let mut wanted = WatchSet::default();
        wanted.add_path(&dir.path().join("later/tls.crt"));
        watcher.watch(wanted);
        fs::create_dir(dir.path().join("later")).unwrap();
        assert_eq!(watcher.wait(NEVER), Wake::Changed);
    }
}
