//! Turns a directory into snapshots and reads only what changed.
//!
//! The loader owns the record of each file: the hash of each chunk and the objects parsed from it. A reload lists the
//! directory, reads the files whose stamp changed, parses the chunks whose hash is new, updates the index and publishes
//! once. It publishes nothing while a document cannot be read or while files change during the read; the last snapshot
//! stays in use, and the index, which may already hold the readable part, is only the basis of the next attempt. The
//! loader does not watch (see [`super::watch`]) and does not compile (the index does).

mod problems;
mod reading;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use problems::{demote_consequential_errors, file_problem};
use reading::{Changes, release_freed_memory};

use super::loaded::{ChunkContent, Consistency, FileState};
use super::manifest::ForeignDocument;
use super::report::{FileProblem, ProblemClass};
use super::scan::Root;
use super::source::SourceFiles;
use crate::clock;
use crate::domain::api::{Kind, ObjectId};
use crate::domain::decide::Snapshot;
use crate::domain::store::{AbsentSources, Index};

/// How often a directory that changes during the read is read again before [`PATIENCE`] applies.
const MIN_ATTEMPTS: u32 = 2;

/// How long a directory that keeps changing is read again before the loader publishes files that are each consistent.
/// Well below the second within which an edit takes effect.
const PATIENCE: Duration = Duration::from_millis(300);

/// The pause before a directory that changed during the read is read again.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// The delay before freed memory is returned to the system: longer than the delay of allocators.
const RELEASE_DELAY: Duration = Duration::from_secs(1);

/// The most problems that a reload reports. Each costs a line in the log and, for its position, some parsing; `check`
/// has no such limit.
const MAX_PROBLEMS: usize = 1000;

/// The outcome of a reload.
#[derive(Clone, Debug)]
pub enum ReloadOutcome {
    /// A new snapshot.
    Published(Arc<Snapshot>),
    /// Everything is readable, and nothing changed that a decision could depend on.
    Unchanged,
    /// Something is unreadable; the problems say what. The last snapshot stays in use.
    Refused,
    /// Files were being written all the time. The last snapshot stays in use; the caller should retry soon.
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
    /// The outcome.
    pub outcome: ReloadOutcome,
    /// The problems: after a rejection, the unreadable documents; else compile errors and warnings. At most 1000.
    pub problems: Arc<[FileProblem]>,
    /// The trust profiles, as `namespace/name`, that are degraded.
    pub degraded: Arc<[Arc<str>]>,
    /// How much the directory holds.
    pub totals: Totals,
    /// How many chunks had to be parsed.
    pub parsed: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// Reads a directory repeatedly.
#[derive(Debug)]
pub struct Loader {
    root: Root,
    index: Index,
    /// The record of each file, sorted by name.
    files: Vec<(Arc<str>, FileState)>,
    certificate_files: SourceFiles,
    crl_files: SourceFiles,
    /// The directories that the last reload found.
    directories: BTreeSet<PathBuf>,
    problems: Arc<[FileProblem]>,
    degraded: Arc<[Arc<str>]>,
    /// Whether the last accepted state had any object.
    had_objects: bool,
    parsed: usize,
    /// Whether `problems` describe the current index.
    is_current: bool,
    /// How long a directory must stay unchanged before its content counts.
    settle_time: Duration,
    /// The most objects with problems that are reported.
    max_problems: usize,
    /// When the last reload that read a large source ended, unless its memory has been returned since.
    large_read_at: Option<Instant>,
}

impl Loader {
    /// A loader for the directory or file at `path`. Reads nothing yet.
    pub fn new(path: &Path) -> Self {
        Self::of(Root::new(path))
    }

    /// A loader for several directories and files as one set. Only for checks: it cannot be watched.
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
            settle_time: Duration::ZERO,
            max_problems: MAX_PROBLEMS,
            large_read_at: None,
        }
    }

    /// Sets how long a changed directory must stay unchanged before its content counts. Zero if events report when a
    /// writer is done.
    pub fn set_settle_time(&mut self, settle_time: Duration) {
        self.settle_time = settle_time;
    }

    /// Sets how absent ConfigMaps, Secrets and ClusterTrustBundles count.
    pub fn set_absent_sources(&mut self, absent: AbsentSources) {
        self.index.set_absent_sources(absent);
    }

    /// Makes the loader reject a directory without any object from the first reload on: a previous loader has read
    /// some.
    pub fn expect_objects(&mut self) {
        self.had_objects = true;
    }

    /// The directory or file.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The files of the directory, by name, that are not read: they are not named like policy files, and no trust
    /// profile refers to them.
    pub fn skipped(&self) -> Vec<String> {
        let sources: BTreeSet<PathBuf> = self.source_paths().collect();
        // The reload has already reported a directory that cannot be listed.
        let skipped = self.root.skipped().unwrap_or_default();
        skipped.into_iter().filter(|name| !sources.contains(&self.root.resolve(name))).collect()
    }

    /// The real paths of the directories that the last reload depended on.
    pub fn directories(&self) -> &BTreeSet<PathBuf> {
        &self.directories
    }

    /// The paths of the `file:` trust sources.
    pub fn source_paths(&self) -> impl Iterator<Item = PathBuf> {
        self.certificate_files.names().chain(self.crl_files.names()).map(|name| self.root.resolve_source(name))
    }

    /// The documents of kinds that are not read, with their files.
    pub fn foreign(&self) -> impl Iterator<Item = (&Arc<str>, &ForeignDocument)> {
        self.files.iter().flat_map(|(name, state)| {
            state.chunks.iter().flat_map(move |chunk| {
                let foreign = chunk.content.mixed().map(|mixed| mixed.foreign.as_slice()).unwrap_or_default();
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

    /// The path of a file of the directory, given as in [`FileProblem::file`], for messages.
    pub fn display(&self, file: &str) -> String {
        if file.is_empty() { self.path().display().to_string() } else { self.root.resolve(file).display().to_string() }
    }

    /// Reads the directory and returns all its problems, including compile errors of readable documents when others are
    /// unreadable.
    pub fn check(&mut self) -> (Totals, Vec<FileProblem>) {
        self.max_problems = usize::MAX;
        let reload = self.reload();
        let mut problems = reload.problems.to_vec();
        match reload.outcome {
            ReloadOutcome::Published(_) | ReloadOutcome::Unchanged => {}
            ReloadOutcome::Refused => {
                self.read_sources();
                self.index.publish();
                problems.extend(self.with_positions(self.index.problems()));
            }
            ReloadOutcome::Busy => {
                let message = format!("the files in {} change all the time", self.root);
                problems.push(file_problem("", message));
            }
        }
        // The clock is read here, at the edge: the lint of expiry dates depends on it.
        problems.extend(self.with_positions(self.index.lint(clock::now())));
        let is_whole = !problems.iter().any(|problem| problem.class == ProblemClass::Unreadable);
        let has_policies = self.objects().any(|id| id.kind == Kind::CertificatePolicy);
        demote_consequential_errors(&mut problems);
        if is_whole && !has_policies && self.root.has_directories() {
            let message = format!("{} holds no CertificatePolicy: every request is denied with NO_POLICY", self.root);
            problems.push(FileProblem { class: ProblemClass::Warning, ..file_problem("", message) });
        }
        problems.sort_by(|a, b| (&a.file, a.at, &a.field).cmp(&(&b.file, b.at, &b.field)));
        (reload.totals, problems)
    }

    /// Reads what changed and publishes it.
    pub fn reload(&mut self) -> Reload {
        let start = Instant::now();
        if self.large_read_at.take_if(|read| read.elapsed() > RELEASE_DELAY).is_some() {
            release_freed_memory();
        }
        self.parsed = 0;
        let (outcome, problems) = self.read_and_publish(start);
        if self.large_read_at.is_some_and(|read| read >= start) {
            // The data that was read has just been freed.
            self.large_read_at = Some(Instant::now());
        }
        if let Some(problems) = problems {
            self.problems = problems;
        }
        let problems = Arc::clone(&self.problems);
        let degraded = Arc::clone(&self.degraded);
        Reload { outcome, problems, degraded, totals: self.totals(), parsed: self.parsed, elapsed: start.elapsed() }
    }

    fn read_and_publish(&mut self, start: Instant) -> (ReloadOutcome, Option<Arc<[FileProblem]>>) {
        let mut attempts = 0;
        let listing = loop {
            let listing = match self.root.list() {
                Ok(listing) => listing,
                Err(error) => {
                    self.is_current = false;
                    let message = format!("cannot read the policy directory {}: {error}", self.root);
                    let problem = file_problem("", message);
                    return (ReloadOutcome::Refused, Some(Arc::from([problem])));
                }
            };
            attempts += 1;
            self.directories.clone_from(&listing.directories);
            let read = self.read_changes(&listing);
            self.is_current &= read.changes == Changes::None;
            let consistency = if listing.torn { Consistency::Torn } else { read.consistency };
            if read.changes == Changes::None && consistency == Consistency::Consistent {
                break listing;
            }
            // Something changed since the last listing, and may still be changing.
            thread::sleep(self.settle_time);
            let is_steady = match read.changes {
                // The listing was consistent, with the file before or after its edit.
                Changes::OneFile if self.settle_time.is_zero() => listing.is_before_swaps(),
                _ => self.root.list().is_ok_and(|again| again == listing),
            };
            if consistency == Consistency::Consistent && is_steady {
                break listing;
            }
            if attempts >= MIN_ATTEMPTS && start.elapsed() > PATIENCE {
                if consistency == Consistency::Torn || !listing.is_before_swaps() {
                    return (ReloadOutcome::Busy, None);
                }
                break listing;
            }
            thread::sleep(RETRY_PAUSE);
        };
        let unreadable = self.unreadable(&listing);
        if !unreadable.is_empty() {
            self.is_current = false;
            return (ReloadOutcome::Refused, Some(Arc::from(unreadable)));
        }
        let has_objects = self.has_objects();
        if self.had_objects && !has_objects {
            // Probably a missing volume, a checkout in progress or a failed script: operators do not delete all
            // policies in this way.
            self.is_current = false;
            let message = format!(
                "{:?} no longer holds any object, which is more likely an accident (a volume that is not mounted) \
                 than an edit. To remove all policies, restart certgate with the directory as it is",
                self.path()
            );
            return (ReloadOutcome::Refused, Some(Arc::from([file_problem("", message)])));
        }
        self.had_objects = has_objects;
        self.read_sources();
        let outcome = self.index.publish().map_or(ReloadOutcome::Unchanged, ReloadOutcome::Published);
        // Problems can change although no decision does, for example if a profile that no policy uses is fixed.
        let is_idle = self.is_current && matches!(outcome, ReloadOutcome::Unchanged);
        self.is_current = true;
        if !is_idle {
            self.degraded = self.index.degraded().into();
        }
        let problems = (!is_idle).then(|| Arc::from(self.with_positions(self.index.problems())));
        (outcome, problems)
    }

    fn has_objects(&self) -> bool {
        let chunks = self.files.iter().flat_map(|(_, state)| &state.chunks);
        chunks.into_iter().any(|chunk| match &chunk.content {
            ChunkContent::Empty => false,
            ChunkContent::One(_) => true,
            ChunkContent::Mixed(mixed) => !mixed.objects.is_empty(),
        })
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals { files: self.files.len(), ..Totals::default() };
        for chunk in self.files.iter().flat_map(|(_, state)| &state.chunks) {
            match &chunk.content {
                ChunkContent::Empty => {}
                ChunkContent::One(_) => totals.objects += 1,
                ChunkContent::Mixed(mixed) => {
                    totals.objects += mixed.objects.len();
                    totals.foreign += mixed.foreign.len();
                }
            }
        }
        totals
    }
}
