//! From a directory to snapshots, reading again only what changed.
//!
//! The loader owns what was read of each file: the hash of each chunk and the objects that came of it. A reload lists
//! the directory, reads the files whose stamp changed, parses the chunks whose hash is new, brings the index up to date
//! and publishes once. Nothing is published while a document cannot be read or while files change under the reader; the
//! last snapshot goes on, and the index, which may already hold the readable part, is only the basis of the next try.
//! It does not watch (see [`super::watch`]) and does not compile (the index does).

mod problems;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use problems::{note_what_follows, whole_file};

use super::bulk;
use super::loaded::{Content, FileState, Whole, forget};
use super::manifest::Foreign;
use super::report::{Class, Problem};
use super::scan::{Listed, Listing, Root, Stamp};
use super::source::{self, SourceFiles};
use super::split::SplitError;
use crate::domain::api::{Kind, ObjectId};
use crate::domain::decide::Snapshot;
use crate::domain::store::{AbsentSources, Index};
use certgate_x509::{UnixTime, limits::MAX_CRL_TEXT};

/// How often a directory that changes while it is read is read again before [`PATIENCE`] counts.
const MIN_ATTEMPTS: u32 = 2;

/// How long a directory that keeps changing is read again before files that are each whole are taken together. Well
/// below the second within which an edit is live.
const PATIENCE: Duration = Duration::from_millis(300);

/// The pause before a directory that changed while it was read is read again.
const PAUSE: Duration = Duration::from_millis(5);

/// A source from which on [`give_back`] is worth it.
const LARGE: usize = 16 << 20;

/// After what time memory that was freed is given back: more than allocators wait.
const FREED_FOR: Duration = Duration::from_secs(1);

/// How many problems a reload tells of. Each costs a line in the log and, for its place, some parsing; `check` has no
/// such bound.
const MAX_PROBLEMS: usize = 1000;

/// What came of a reload.
#[derive(Clone, Debug)]
pub enum ReloadOutcome {
    /// A new snapshot.
    Published(Arc<Snapshot>),
    /// All is readable, and nothing that a decision could depend on has changed.
    Unchanged,
    /// Something is unreadable; see the problems. The last snapshot goes on.
    Refused,
    /// Files were being written all the time. The last snapshot goes on; try again soon.
    Busy,
}

/// How much was read.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files.
    pub files: usize,
    /// Objects.
    pub objects: usize,
    /// Documents of other kinds.
    pub foreign: usize,
}

/// One reload.
#[derive(Clone, Debug)]
pub struct Reload {
    /// What came of it.
    pub outcome: ReloadOutcome,
    /// What is wrong: when refused, what is unreadable; else what does not compile, and warnings. At most 1000.
    pub problems: Arc<[Problem]>,
    /// The trust profiles, as `namespace/name`, that are degraded.
    pub degraded: Arc<[Arc<str>]>,
    /// How much the directory holds.
    pub totals: Totals,
    /// How many chunks had to be parsed.
    pub parsed: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// What a listing differed in from what was known.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Changes {
    /// Nothing.
    None,
    /// One file is new or has changed; none is gone.
    OneFile,
    /// More than that.
    Several,
}

/// What came of reading what changed.
#[derive(Copy, Clone, Debug)]
struct Absorbed {
    changes: Changes,
    whole: Whole,
}

impl Absorbed {
    /// Takes note of a file that was read.
    fn note(&mut self, changed: bool, whole: Whole) {
        if changed {
            self.changes = if self.changes == Changes::None { Changes::OneFile } else { Changes::Several };
        }
        if whole == Whole::Torn {
            self.whole = Whole::Torn;
        }
    }
}

/// Reads a directory, again and again.
#[derive(Debug)]
pub struct Loader {
    root: Root,
    index: Index,
    /// What was read, by name, sorted.
    files: Vec<(Arc<str>, FileState)>,
    certificate_files: SourceFiles,
    crl_files: SourceFiles,
    /// What the last reload found in the directory.
    directories: BTreeSet<PathBuf>,
    problems: Arc<[Problem]>,
    degraded: Arc<[Arc<str>]>,
    /// Whether what was read last and taken over held any object.
    had_objects: bool,
    parsed: usize,
    /// Whether the problems at hand are those of the index as it is.
    is_current: bool,
    /// How long a directory must stay as it is before what was read of it counts.
    calm: Duration,
    /// How many objects with problems are told of.
    max_problems: usize,
    /// When a reload that read a large source was done last, unless the memory has been given back since.
    large: Option<Instant>,
}

impl Loader {
    /// A loader for the directory or file at `path`. Nothing is read yet.
    pub fn new(path: &Path) -> Self {
        Self::of(Root::new(path))
    }

    /// A loader for several directories and files, together one set. Only for checking: it cannot be watched.
    pub fn several(paths: Vec<PathBuf>) -> Self {
        Self::of(Root::several(paths))
    }

    fn of(root: Root) -> Self {
        Self {
            root,
            index: Index::new(),
            files: Vec::new(),
            certificate_files: SourceFiles::default(),
            crl_files: SourceFiles::default(),
            directories: BTreeSet::new(),
            problems: Arc::from([]),
            degraded: Arc::from([]),
            had_objects: false,
            parsed: 0,
            is_current: false,
            calm: Duration::ZERO,
            max_problems: MAX_PROBLEMS,
            large: None,
        }
    }

    /// Sets how long a directory that has changed must stay as it is before what was read of it counts. Events tell when
    /// a writer is done, so it is zero unless there are none.
    pub fn set_calm(&mut self, calm: Duration) {
        self.calm = calm;
    }

    /// Sets what ConfigMaps, Secrets and ClusterTrustBundles come to that are not there.
    pub fn set_absent_sources(&mut self, absent: AbsentSources) {
        self.index.set_absent_sources(absent);
    }

    /// Makes a directory without any object one that is refused from the first reload on: there were some, as a former
    /// loader has read them.
    pub fn expect_objects(&mut self) {
        self.had_objects = true;
    }

    /// The directory or file.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The files of the directory, by name, that are not read: their names are not those of policy files, and no trust
    /// profile names them.
    pub fn skipped(&self) -> Vec<String> {
        let sources: BTreeSet<PathBuf> = self.source_paths().collect();
        // A directory that cannot be listed has been complained of already.
        let skipped = self.root.skipped().unwrap_or_default();
        skipped.into_iter().filter(|name| !sources.contains(&self.root.resolve(name))).collect()
    }

    /// The directories, as real paths, that the last reload saw and in which a change concerns it.
    pub fn directories(&self) -> &BTreeSet<PathBuf> {
        &self.directories
    }

    /// The paths of the `file:` trust sources.
    pub fn source_paths(&self) -> impl Iterator<Item = PathBuf> {
        self.certificate_files.names().chain(self.crl_files.names()).map(|name| self.root.resolve_source(name))
    }

    /// The documents of kinds that are not read, with their files.
    pub fn foreign(&self) -> impl Iterator<Item = (&Arc<str>, &Foreign)> {
        self.files.iter().flat_map(|(name, state)| {
            state.chunks.iter().flat_map(move |chunk| {
                let foreign = chunk.content.more().map(|more| more.foreign.as_slice()).unwrap_or_default();
                foreign.iter().map(move |f| (name, f))
            })
        })
    }

    /// The objects that were read, by file.
    pub fn objects(&self) -> impl Iterator<Item = ObjectId> {
        self.files.iter().flat_map(|(name, state)| {
            let keys = state.chunks.iter().flat_map(|chunk| chunk.content.objects());
            keys.map(move |(key, _)| key.id(name))
        })
    }

    /// The path of a file of the directory, as [`Problem::file`] names it, for people.
    pub fn display(&self, file: &str) -> String {
        if file.is_empty() { self.path().display().to_string() } else { self.root.resolve(file).display().to_string() }
    }

    /// Reads the directory and gives everything that is wrong with it, also what does not compile among that which can
    /// be read while something else cannot.
    pub fn check(&mut self) -> (Totals, Vec<Problem>) {
        self.max_problems = usize::MAX;
        let reload = self.reload();
        let mut problems = reload.problems.to_vec();
        match reload.outcome {
            ReloadOutcome::Published(_) | ReloadOutcome::Unchanged => {}
            ReloadOutcome::Refused => {
                self.read_sources();
                self.index.publish();
                problems.extend(self.placed(self.index.problems()));
            }
            ReloadOutcome::Busy => {
                let message = format!("the files in {} change all the time", self.root);
                problems.push(whole_file("", message));
            }
        }
        // The clock is read here, at the edge: what expires soon depends on it.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::from_secs(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        problems.extend(self.placed(self.index.lint(now)));
        let is_whole = !problems.iter().any(|problem| problem.class == Class::Unreadable);
        let has_policies = self.objects().any(|id| id.kind == Kind::CertificatePolicy);
        note_what_follows(&mut problems);
        if is_whole && !has_policies && self.root.has_directories() {
            let message = format!("{} holds no CertificatePolicy: every request is denied with NO_POLICY", self.root);
            problems.push(Problem { class: Class::Warning, ..whole_file("", message) });
        }
        problems.sort_by(|a, b| (&a.file, a.at, &a.field).cmp(&(&b.file, b.at, &b.field)));
        (reload.totals, problems)
    }

    /// Brings everything up to date with the directory.
    pub fn reload(&mut self) -> Reload {
        let start = Instant::now();
        if self.large.take_if(|read| read.elapsed() > FREED_FOR).is_some() {
            give_back();
        }
        self.parsed = 0;
        let (outcome, problems) = self.bring_up_to_date(start);
        if self.large.is_some_and(|read| read >= start) {
            // What was read is freed by now, and not much earlier.
            self.large = Some(Instant::now());
        }
        if let Some(problems) = problems {
            self.problems = problems;
        }
        let problems = Arc::clone(&self.problems);
        let degraded = Arc::clone(&self.degraded);
        Reload { outcome, problems, degraded, totals: self.totals(), parsed: self.parsed, elapsed: start.elapsed() }
    }

    fn bring_up_to_date(&mut self, start: Instant) -> (ReloadOutcome, Option<Arc<[Problem]>>) {
        let mut attempts = 0;
        let listing = loop {
            let listing = match self.root.list() {
                Ok(listing) => listing,
                Err(error) => {
                    self.is_current = false;
                    let message = format!("cannot read the policy directory {}: {error}", self.root);
                    let problem = whole_file("", message);
                    return (ReloadOutcome::Refused, Some(Arc::from([problem])));
                }
            };
            attempts += 1;
            self.directories.clone_from(&listing.directories);
            let absorbed = self.absorb(&listing);
            self.is_current &= absorbed.changes == Changes::None;
            let whole = if listing.torn { Whole::Torn } else { absorbed.whole };
            if absorbed.changes == Changes::None && whole == Whole::Whole {
                break listing;
            }
            // Something changed since the last listing: it may still be changing.
            thread::sleep(self.calm);
            let is_steady = match absorbed.changes {
                // The directory was as listed, with the file before or after its edit.
                Changes::OneFile if self.calm.is_zero() => listing.is_before_swaps(),
                _ => self.root.list().is_ok_and(|again| again == listing),
            };
            if whole == Whole::Whole && is_steady {
                break listing;
            }
            if attempts >= MIN_ATTEMPTS && start.elapsed() > PATIENCE {
                if whole == Whole::Torn || !listing.is_before_swaps() {
                    return (ReloadOutcome::Busy, None);
                }
                break listing;
            }
            thread::sleep(PAUSE);
        };
        let unreadable = self.unreadable(&listing);
        if !unreadable.is_empty() {
            self.is_current = false;
            return (ReloadOutcome::Refused, Some(Arc::from(unreadable)));
        }
        let has_objects = self.has_objects();
        if self.had_objects && !has_objects {
            // A volume that is gone, a checkout under way, a script that failed: nobody takes every policy away like that.
            self.is_current = false;
            let message = format!(
                "{:?} no longer holds a single object, which is more likely an accident (a volume that is not mounted) \
                 than an edit. To remove all policies, restart certgate with the directory as it is",
                self.path()
            );
            return (ReloadOutcome::Refused, Some(Arc::from([whole_file("", message)])));
        }
        self.had_objects = has_objects;
        self.read_sources();
        let outcome = self.index.publish().map_or(ReloadOutcome::Unchanged, ReloadOutcome::Published);
        // Problems can change although no decision does: a profile that no policy uses is mended.
        let is_idle = self.is_current && matches!(outcome, ReloadOutcome::Unchanged);
        self.is_current = true;
        if !is_idle {
            self.degraded = self.index.degraded().into();
        }
        let problems = (!is_idle).then(|| Arc::from(self.placed(self.index.problems())));
        (outcome, problems)
    }

    /// Reads what changed against `listing` into the index.
    fn absorb(&mut self, listing: &Listing) -> Absorbed {
        let mut absorbed = Absorbed { changes: Changes::None, whole: Whole::Whole };
        let index = &mut self.index;
        let mut gone = self.files.len();
        let mut listed = listing.files.iter().peekable();
        self.files.retain(|(name, state)| {
            // Both are sorted by name.
            while listed.next_if(|listed| *listed.name < **name).is_some() {}
            let keep = listed.peek().is_some_and(|listed| *listed.name == **name);
            if !keep {
                state.chunks.iter().for_each(|chunk| forget(index, name, chunk));
            }
            keep
        });
        gone -= self.files.len();
        if gone > 0 {
            absorbed.changes = Changes::Several;
        }
        let mut known = std::mem::take(&mut self.files).into_iter().peekable();
        self.files.reserve_exact(listing.files.len());
        let mut small = Vec::new();
        for listed in &listing.files {
            let (name, mut state, restamped) = match known.next_if(|(name, _)| *name == listed.name) {
                Some((name, state)) if state.settled && state.stamp == listed.stamp && state.error.is_none() => {
                    self.files.push((name, state));
                    continue;
                }
                Some((name, state)) => {
                    let restamped = state.stamp != listed.stamp;
                    (name, state, restamped)
                }
                None => {
                    let state = FileState::new(listed.stamp);
                    if listed.stamp.size_or(bulk::MAX_SMALL) < bulk::MAX_SMALL {
                        small.push((self.files.len(), listed));
                        self.files.push((Arc::clone(&listed.name), state));
                        continue;
                    }
                    (Arc::clone(&listed.name), state, true)
                }
            };
            let (edited, whole) = self.read_file(&name, &mut state, &listed.stamp);
            self.files.push((name, state));
            absorbed.note(restamped || edited, whole);
        }
        self.read_small(&small, &mut absorbed);
        absorbed
    }

    /// Reads new small files, by their numbers in `files`, into the index.
    fn read_small(&mut self, small: &[(usize, &Listed)], absorbed: &mut Absorbed) {
        if small.len() < bulk::MIN_FILES {
            for (at, listed) in small {
                let mut state = FileState::new(listed.stamp);
                let (_, whole) = self.read_file(&listed.name, &mut state, &listed.stamp);
                self.files[*at].1 = state;
                absorbed.note(true, whole);
            }
            return;
        }
        let listed: Vec<&Listed> = small.iter().map(|(_, listed)| *listed).collect();
        let now = SystemTime::now();
        bulk::read(&self.root, &listed, |n, read| {
            let (name, state) = &mut self.files[small[n].0];
            let read = read.map(|(chunks, stamp)| {
                state.chunks.reserve_exact(chunks.len());
                self.parsed += chunks.len();
                chunks.into_iter().for_each(|chunk| state.adopt(&mut self.index, name, chunk));
                stamp
            });
            let whole = state.note_read(read, &listed[n].stamp, now);
            absorbed.note(true, whole);
        });
    }

    /// Reads one file into the index. Tells whether its content is another one than before, and whether it was whole.
    fn read_file(&mut self, name: &Arc<str>, state: &mut FileState, stamp: &Stamp) -> (bool, Whole) {
        let path = self.root.resolve(name);
        let now = SystemTime::now();
        let mut edited = false;
        let read = File::open(&path).map_err(SplitError::from).and_then(|file| {
            let edit = state.update(&mut self.index, name, &file, stamp)?;
            self.parsed += edit.parsed;
            edited = edit.parsed > 0 || edit.forgotten > 0;
            Ok(Stamp::of(&file.metadata()?))
        });
        let whole = state.note_read(read, stamp, now);
        (edited, whole)
    }

    /// Reads the files that trust profiles name where they changed.
    fn read_sources(&mut self) {
        let wanted = self.index.wanted_files();
        let resolve = |name: &str| self.root.resolve_source(name);
        let mut is_current = self.is_current;
        let certificates = |file: &mut File, _| source::certificates(file);
        self.certificate_files.refresh(&wanted.certificates, resolve, certificates, |name, content| {
            is_current = false;
            self.index.set_certificate_file(name, content);
        });
        let large = Cell::new(false);
        let crls = |file: &mut File, length| {
            large.set(large.get() || length >= LARGE as u64);
            // Nothing of it would be used: it need not be read to its cap each time.
            if length > MAX_CRL_TEXT as u64 {
                return Err(source::too_long(MAX_CRL_TEXT));
            }
            source::crls(file)
        };
        self.crl_files.refresh(&wanted.crls, resolve, crls, |name, content| {
            is_current = false;
            self.index.set_crl_file(name, content);
        });
        self.is_current = is_current;
        if large.get() {
            self.large = Some(Instant::now());
        }
    }

    fn has_objects(&self) -> bool {
        let chunks = self.files.iter().flat_map(|(_, state)| &state.chunks);
        chunks.into_iter().any(|chunk| match &chunk.content {
            Content::Nothing => false,
            Content::One(_) => true,
            Content::More(more) => !more.objects.is_empty(),
        })
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals { files: self.files.len(), ..Totals::default() };
        for chunk in self.files.iter().flat_map(|(_, state)| &state.chunks) {
            match &chunk.content {
                Content::Nothing => {}
                Content::One(_) => totals.objects += 1,
                Content::More(more) => {
                    totals.objects += more.objects.len();
                    totals.foreign += more.foreign.len();
                }
            }
        }
        totals
    }
}

/// Lets the allocator return to the system what was freed some time ago. mimalloc keeps freed blocks for a moment and
/// looks after them only when it frees another large one, which in a server at rest never comes.
fn give_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(2 * LARGE)));
}
