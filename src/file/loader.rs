//! From a directory to snapshots, reading again only what changed.
//!
//! The loader owns what was read of each file: the hash of each chunk and the objects that came of it. A reload lists
//! the directory, reads the files whose stamp changed, parses the chunks whose hash is new, brings the index up to date
//! and publishes once. Nothing is published while a document cannot be read or while files change under the reader; the
//! last snapshot goes on, and the index, which may already hold the readable part, is only the basis of the next try.
//! It does not watch (see [`super::watch`]) and does not compile (the index does).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::manifest::{self, DocumentFault, Foreign, Reading, Wanted};
use super::report::{Class, Problem};
use super::scan::{Listing, Root, Stamp};
use super::split::{Chunks, SplitError};
use super::yaml::Mark;
use crate::domain::decide::Snapshot;
use crate::domain::fingerprint::Sha256;
use crate::domain::index::{self, Index, Severity};
use crate::domain::spec::{Kind, ObjectId, Origin};

/// The largest document. A `List` of 100,000 objects from `kubectl get -o yaml` has about 60 MB.
const MAX_DOCUMENT: usize = 128 << 20;

/// The largest `file:` trust source. The Web's whole set of CAs has 0.3 MB.
const MAX_SOURCE: u64 = 16 << 20;

/// How often a directory that changes while it is read is read again before [`PATIENCE`] counts.
const MIN_ATTEMPTS: u32 = 2;

/// How long a directory that keeps changing is read again before files that are each whole are taken together. Well
/// below the second within which an edit is live.
const PATIENCE: Duration = Duration::from_millis(300);

/// The pause before a directory that changed while it was read is read again.
const PAUSE: Duration = Duration::from_millis(5);

/// The buffer for reading files. Larger ones were not faster.
const BUFFER: usize = 64 << 10;

/// What came of a reload.
#[derive(Clone, Debug)]
pub enum Outcome {
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
    pub outcome: Outcome,
    /// What is wrong: when refused, all that is unreadable; else what does not compile, and warnings.
    pub problems: Arc<[Problem]>,
    /// How much the directory holds.
    pub totals: Totals,
    /// How many chunks had to be parsed.
    pub parsed: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// The first 128 bits of a chunk's SHA-256.
type ChunkHash = [u8; 16];

/// An object as the loader remembers it; small, there may be 100,000 and more.
#[derive(Debug)]
struct ObjectKey {
    kind: Kind,
    document: u32,
    /// `namespace/name`
    name: Box<str>,
}

impl ObjectKey {
    fn parts(&self) -> (&str, &str) {
        self.name.split_once('/').unwrap_or(("", &self.name))
    }

    fn id(&self, file: &Arc<str>) -> ObjectId {
        let (namespace, name) = self.parts();
        let origin = Origin { file: Arc::clone(file), document: self.document };
        ObjectId { kind: self.kind, namespace: namespace.to_owned(), name: name.to_owned(), origin }
    }
}

#[derive(Debug)]
struct ChunkState {
    hash: ChunkHash,
    line: u32,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Nothing but comments.
    Nothing,
    /// One object, as in nearly all chunks.
    One(ObjectKey),
    /// Anything else.
    More(Box<More>),
}

/// Objects with the lines on which their documents start.
#[derive(Debug)]
struct More {
    objects: Vec<(ObjectKey, u32)>,
    foreign: Vec<Foreign>,
    faults: Vec<DocumentFault>,
}

impl Content {
    fn objects(&self) -> impl Iterator<Item = (&ObjectKey, Option<u32>)> {
        let (one, more) = match self {
            Self::Nothing => (None, None),
            Self::One(key) => (Some((key, None)), None),
            Self::More(more) => (None, Some(more.objects.iter().map(|(key, line)| (key, Some(*line))))),
        };
        one.into_iter().chain(more.into_iter().flatten())
    }

    fn more(&self) -> Option<&More> {
        match self {
            Self::More(more) => Some(more),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct FileState {
    stamp: Stamp,
    /// Whether the stamp is certain to show the next change.
    settled: bool,
    /// The number of the next object that is read from this file.
    next_document: u32,
    chunks: Vec<ChunkState>,
    /// Why the file could not be read to its end.
    error: Option<(Option<Mark>, String)>,
}

#[derive(Debug, PartialEq, Eq)]
enum SourceState {
    Read { stamp: Stamp, settled: bool },
    Failed(String),
}

/// Whether a file was whole while it was read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Whole {
    Whole,
    Torn,
}

/// Reads a directory, again and again.
#[derive(Debug)]
pub struct Loader {
    root: Root,
    index: Index,
    files: BTreeMap<Arc<str>, FileState>,
    sources: BTreeMap<String, SourceState>,
    /// What the last reload found in the directory.
    directories: BTreeSet<PathBuf>,
    problems: Arc<[Problem]>,
    parsed: usize,
    /// Whether the problems at hand are those of the index as it is.
    is_current: bool,
    /// How long a directory must stay as it is before what was read of it counts.
    calm: Duration,
}

impl Loader {
    /// A loader for the directory or file at `path`. Nothing is read yet.
    pub fn new(path: &Path) -> Self {
        Self {
            root: Root::new(path),
            index: Index::new(),
            files: BTreeMap::new(),
            sources: BTreeMap::new(),
            directories: BTreeSet::new(),
            problems: Arc::from([]),
            parsed: 0,
            is_current: false,
            calm: Duration::ZERO,
        }
    }

    /// Sets how long a directory that has changed must stay as it is before what was read of it counts. Events tell when
    /// a writer is done, so it is zero unless there are none.
    pub fn set_calm(&mut self, calm: Duration) {
        self.calm = calm;
    }

    /// The directory or file.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The directories, as real paths, that the last reload saw and in which a change concerns it.
    pub fn directories(&self) -> &BTreeSet<PathBuf> {
        &self.directories
    }

    /// The paths of the `file:` trust sources.
    pub fn source_paths(&self) -> impl Iterator<Item = PathBuf> {
        self.sources.keys().map(|name| self.root.resolve(name))
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
        let reload = self.reload();
        let mut problems = reload.problems.to_vec();
        match reload.outcome {
            Outcome::Published(_) | Outcome::Unchanged => {}
            Outcome::Refused => {
                self.read_sources();
                self.index.publish();
                problems.extend(self.placed(self.index.problems()));
            }
            Outcome::Busy => problems.push(whole_file("", "the files change all the time".to_owned())),
        }
        problems.sort_by(|a, b| (&a.file, a.at, &a.field).cmp(&(&b.file, b.at, &b.field)));
        (reload.totals, problems)
    }

    /// Brings everything up to date with the directory.
    pub fn reload(&mut self) -> Reload {
        let start = Instant::now();
        self.parsed = 0;
        let (outcome, problems) = self.bring_up_to_date(start);
        if let Some(problems) = problems {
            self.problems = problems;
        }
        let problems = Arc::clone(&self.problems);
        Reload { outcome, problems, totals: self.totals(), parsed: self.parsed, elapsed: start.elapsed() }
    }

    fn bring_up_to_date(&mut self, start: Instant) -> (Outcome, Option<Arc<[Problem]>>) {
        let mut attempts = 0;
        let listing = loop {
            let listing = match self.root.list() {
                Ok(listing) => listing,
                Err(error) => {
                    self.is_current = false;
                    let problem = whole_file("", error.to_string());
                    return (Outcome::Refused, Some(Arc::from([problem])));
                }
            };
            attempts += 1;
            self.directories.clone_from(&listing.directories);
            let (changed, mut whole) = self.absorb(&listing);
            self.is_current &= !changed;
            if listing.torn {
                whole = Whole::Torn;
            }
            if !changed && whole == Whole::Whole {
                break listing;
            }
            // Something changed since the last listing: it may still be changing.
            thread::sleep(self.calm);
            let again = self.root.list().ok();
            if whole == Whole::Whole && again.as_ref() == Some(&listing) {
                break listing;
            }
            if attempts >= MIN_ATTEMPTS && start.elapsed() > PATIENCE {
                let swapped = again.as_ref().is_none_or(|again| again.swaps != listing.swaps);
                if whole == Whole::Torn || swapped {
                    return (Outcome::Busy, None);
                }
                break listing;
            }
            thread::sleep(PAUSE);
        };
        let unreadable = self.unreadable(&listing);
        if !unreadable.is_empty() {
            self.is_current = false;
            return (Outcome::Refused, Some(Arc::from(unreadable)));
        }
        self.read_sources();
        let outcome = self.index.publish().map_or(Outcome::Unchanged, Outcome::Published);
        // Problems can change although no decision does: a profile that no policy uses is mended.
        let is_idle = self.is_current && matches!(outcome, Outcome::Unchanged);
        self.is_current = true;
        let problems = (!is_idle).then(|| Arc::from(self.placed(self.index.problems())));
        (outcome, problems)
    }

    /// Reads what changed against `listing` into the index; tells whether something did.
    fn absorb(&mut self, listing: &Listing) -> (bool, Whole) {
        let mut changed = false;
        let mut whole = Whole::Whole;
        let is_listed = |name: &Arc<str>| listing.files.binary_search_by(|listed| (*listed.name).cmp(&**name)).is_ok();
        let index = &mut self.index;
        self.files.retain(|name, state| {
            let keep = is_listed(name);
            if !keep {
                changed = true;
                state.chunks.iter().for_each(|chunk| forget(index, name, chunk));
            }
            keep
        });
        for listed in &listing.files {
            let known = self.files.get(&listed.name);
            if known.is_some_and(|state| state.settled && state.stamp == listed.stamp && state.error.is_none()) {
                continue;
            }
            changed |= known.is_none_or(|state| state.stamp != listed.stamp);
            if self.read_file(&listed.name, &listed.stamp) == Whole::Torn {
                whole = Whole::Torn;
            }
        }
        (changed, whole)
    }

    fn read_file(&mut self, name: &Arc<str>, stamp: &Stamp) -> Whole {
        let path = self.root.resolve(name);
        let mut state = self.files.remove(name).unwrap_or_else(|| FileState::new(*stamp));
        state.settled = stamp.is_settled(SystemTime::now());
        state.error = None;
        let read = File::open(&path).map_err(SplitError::from).and_then(|file| {
            if Stamp::of(&file.metadata()?) != *stamp {
                return Ok(Whole::Torn);
            }
            self.parsed += state.update(&mut self.index, name, &file)?;
            Ok(if Stamp::of(&file.metadata()?) == *stamp { Whole::Whole } else { Whole::Torn })
        });
        let whole = match read {
            Ok(whole) => whole,
            Err(SplitError::Read(error)) if error.kind() == io::ErrorKind::NotFound => Whole::Torn,
            Err(error) => {
                let at = match error {
                    SplitError::TooLarge { line, .. } => Some(Mark { line, column: 1 }),
                    SplitError::Read(_) => None,
                };
                state.error = Some((at, error.to_string()));
                Whole::Whole
            }
        };
        match whole {
            Whole::Whole => state.stamp = *stamp,
            // The next listing may show the same stamp; what was read must be read again all the same.
            Whole::Torn => state.settled = false,
        }
        self.files.insert(Arc::clone(name), state);
        whole
    }

    /// Reads the `file:` trust sources that changed.
    fn read_sources(&mut self) {
        let wanted = self.index.wanted_files();
        self.sources.retain(|name, _| wanted.contains(name));
        for name in wanted {
            let known = self.sources.get(&name);
            let (state, content) = match read_source(&self.root.resolve(&name), known) {
                Ok(None) => continue,
                Ok(Some((state, bytes))) => (state, Ok(bytes)),
                Err(message) => (SourceState::Failed(message.clone()), Err(message)),
            };
            if known != Some(&state) || content.is_ok() {
                self.is_current = false;
                self.index.set_file(&name, content);
                self.sources.insert(name, state);
            }
        }
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals { files: self.files.len(), ..Totals::default() };
        for chunk in self.files.values().flat_map(|state| &state.chunks) {
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

    /// Everything for which a reload is refused.
    fn unreadable(&self, listing: &Listing) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            listing.problems.iter().map(|(name, message)| whole_file(name, message.clone())).collect();
        for (name, state) in &self.files {
            for fault in state.chunks.iter().filter_map(|chunk| chunk.content.more()).flat_map(|more| &more.faults) {
                problems.push(Problem {
                    file: Arc::clone(name),
                    at: Some(fault.fault.at),
                    object: fault.object.as_deref().map(str::to_owned),
                    field: fault.fault.path.clone(),
                    message: fault.fault.message.clone(),
                    class: Class::Unreadable,
                });
            }
            if let Some((at, message)) = &state.error {
                problems.push(Problem { at: *at, ..whole_file(name, message.clone()) });
            }
        }
        problems.sort_by(|a, b| (&a.file, a.at, &a.field).cmp(&(&b.file, b.at, &b.field)));
        problems
    }

    /// The problems of the index at their places. Each file that has any is read once more.
    fn placed(&self, found: Vec<index::Problem>) -> Vec<Problem> {
        let mut by_file: BTreeMap<Arc<str>, Vec<index::Problem>> = BTreeMap::new();
        for problem in found {
            by_file.entry(Arc::clone(&problem.id.origin.file)).or_default().push(problem);
        }
        let mut placed = Vec::new();
        for (file, problems) in by_file {
            let places = self.places(&file, &problems);
            for (n, problem) in problems.iter().enumerate() {
                let class = match problem.severity {
                    Severity::Error => Class::Invalid,
                    Severity::Warning => Class::Warning,
                };
                for (m, error) in problem.errors.iter().enumerate() {
                    placed.push(Problem {
                        file: Arc::clone(&file),
                        at: places.get(&(n, m)).copied(),
                        object: Some(problem.id.to_string()),
                        field: error.path.clone(),
                        message: error.message.clone(),
                        class,
                    });
                }
            }
        }
        placed.sort_by(|a, b| (&a.file, a.at, &a.field).cmp(&(&b.file, b.at, &b.field)));
        placed
    }

    /// The places of the errors of `problems`, all of one file, by the numbers of problem and error.
    fn places(&self, file: &Arc<str>, problems: &[index::Problem]) -> HashMap<(usize, usize), Mark> {
        let mut places = HashMap::new();
        let Some(state) = self.files.get(file) else { return places };
        let wanted: HashMap<u32, usize> =
            problems.iter().enumerate().map(|(n, problem)| (problem.id.origin.document, n)).collect();
        let mut in_chunk: HashMap<usize, Vec<(usize, Option<u32>)>> = HashMap::new();
        for (at, chunk) in state.chunks.iter().enumerate() {
            for (key, line) in chunk.content.objects() {
                if let Some(n) = wanted.get(&key.document) {
                    in_chunk.entry(at).or_default().push((*n, line));
                }
            }
        }
        let Ok(opened) = File::open(self.root.resolve(file)) else { return places };
        let mut chunks = Chunks::new(BufReader::new(opened), MAX_DOCUMENT);
        let mut at = 0;
        while let Ok(Some(chunk)) = chunks.next_chunk() {
            for (n, line) in in_chunk.remove(&at).unwrap_or_default() {
                let id = &problems[n].id;
                let wanted = Wanted { kind: id.kind, namespace: &id.namespace, name: &id.name, line };
                for (m, error) in problems[n].errors.iter().enumerate() {
                    if let Some(mark) = manifest::locate_field(chunk.bytes, chunk.line, wanted, &error.path) {
                        places.insert((n, m), mark);
                    }
                }
            }
            if in_chunk.is_empty() {
                break;
            }
            at += 1;
        }
        places
    }
}

fn whole_file(name: &str, message: String) -> Problem {
    Problem { file: Arc::from(name), at: None, object: None, field: String::new(), message, class: Class::Unreadable }
}

/// The content of a `file:` source, or `None` when it is `known` already.
fn read_source(path: &Path, known: Option<&SourceState>) -> Result<Option<(SourceState, Bytes)>, String> {
    let say = |error: io::Error| error.to_string();
    let metadata = std::fs::metadata(path).map_err(say)?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let stamp = Stamp::of(&metadata);
    if matches!(known, Some(SourceState::Read { stamp: before, settled: true }) if *before == stamp) {
        return Ok(None);
    }
    let settled = stamp.is_settled(SystemTime::now());
    let mut file = File::open(path).map_err(say)?;
    let mut content = Vec::new();
    (&mut file).take(MAX_SOURCE + 1).read_to_end(&mut content).map_err(say)?;
    if content.len() as u64 > MAX_SOURCE {
        return Err(format!("larger than {MAX_SOURCE} bytes"));
    }
    // A file that changed meanwhile is read again by the next reload, for its stamp will differ.
    Ok(Some((SourceState::Read { stamp, settled }, Bytes::from(content))))
}

fn hash_of(bytes: &[u8]) -> ChunkHash {
    let mut hash = ChunkHash::default();
    hash.copy_from_slice(&Sha256::of(bytes).as_bytes()[..16]);
    hash
}

fn forget(index: &mut Index, file: &Arc<str>, chunk: &ChunkState) {
    for (key, _) in chunk.content.objects() {
        index.delete(&key.id(file));
    }
}

impl FileState {
    const fn new(stamp: Stamp) -> Self {
        Self { stamp, settled: false, next_document: 0, chunks: Vec::new(), error: None }
    }

    /// Brings the index from the former content of the file to that of `file`; gives how many chunks were parsed.
    ///
    /// What is gone is deleted before what is new is applied, so that the index never holds both. That takes a first
    /// pass that only hashes; a file that is new does without.
    fn update(&mut self, index: &mut Index, name: &Arc<str>, file: &File) -> Result<usize, SplitError> {
        let mut old: Vec<Option<ChunkState>> = std::mem::take(&mut self.chunks).into_iter().map(Some).collect();
        let result = self.update_from(&mut old, index, name, file);
        match &result {
            Ok(_) => old.iter().flatten().for_each(|chunk| forget(index, name, chunk)),
            // The rest was not seen: it may or may not be there still.
            Err(_) => self.chunks.extend(old.into_iter().flatten()),
        }
        result
    }

    fn update_from(
        &mut self,
        old: &mut [Option<ChunkState>],
        index: &mut Index,
        name: &Arc<str>,
        mut file: &File,
    ) -> Result<usize, SplitError> {
        if !old.is_empty() {
            let mut there: HashMap<ChunkHash, u32> = HashMap::with_capacity(old.len());
            let mut chunks = Chunks::new(BufReader::with_capacity(BUFFER, file), MAX_DOCUMENT);
            while let Some(chunk) = chunks.next_chunk()? {
                *there.entry(hash_of(chunk.bytes)).or_default() += 1;
            }
            for slot in old.iter_mut() {
                let Some(chunk) = slot else { continue };
                match there.get_mut(&chunk.hash) {
                    Some(count) if *count > 0 => *count -= 1,
                    _ => {
                        forget(index, name, chunk);
                        *slot = None;
                    }
                }
            }
            file.rewind()?;
        }
        // From the end, so that equal chunks are taken in their order.
        let mut places: HashMap<ChunkHash, Vec<usize>> = HashMap::with_capacity(old.len());
        for (at, chunk) in old.iter().enumerate().rev() {
            if let Some(chunk) = chunk {
                places.entry(chunk.hash).or_default().push(at);
            }
        }
        let mut parsed = 0;
        let mut chunks = Chunks::new(BufReader::with_capacity(BUFFER, file), MAX_DOCUMENT);
        while let Some(chunk) = chunks.next_chunk()? {
            let hash = hash_of(chunk.bytes);
            let known = places.get_mut(&hash).and_then(Vec::pop).and_then(|at| old.get_mut(at)).and_then(Option::take);
            if let Some(mut known) = known {
                if known.moves_to(chunk.line) {
                    self.chunks.push(known);
                    continue;
                }
                forget(index, name, &known);
            }
            parsed += 1;
            let reading = manifest::read(chunk.bytes, chunk.line);
            let content = self.apply(reading, index, name);
            self.chunks.push(ChunkState { hash, line: chunk.line, content });
        }
        self.chunks.shrink_to_fit();
        Ok(parsed)
    }

    fn apply(&mut self, reading: Reading, index: &mut Index, file: &Arc<str>) -> Content {
        let mut objects: Vec<(ObjectKey, u32)> = Vec::with_capacity(reading.objects.len());
        for (mut object, at) in reading.objects {
            let document = self.next_document;
            self.next_document = document.wrapping_add(1);
            object.meta_mut().origin = Origin { file: Arc::clone(file), document };
            let meta = object.meta();
            let name = format!("{}/{}", meta.namespace, meta.name).into_boxed_str();
            objects.push((ObjectKey { kind: object.kind(), document, name }, at.line));
            index.apply(object);
        }
        let plain = reading.foreign.is_empty() && reading.faults.is_empty();
        match objects.len() {
            0 if plain => Content::Nothing,
            1 if plain => objects.pop().map_or(Content::Nothing, |(key, _)| Content::One(key)),
            _ => Content::More(Box::new(More { objects, foreign: reading.foreign, faults: reading.faults })),
        }
    }
}

impl ChunkState {
    /// Notes that the chunk now stands at `line`; false when its messages name lines and it must be read again.
    fn moves_to(&mut self, line: u32) -> bool {
        let from = std::mem::replace(&mut self.line, line);
        if from == line {
            return true;
        }
        let Content::More(more) = &mut self.content else { return true };
        let shift = |at: &mut u32| *at = at.saturating_sub(from).saturating_add(line);
        more.objects.iter_mut().for_each(|(_, at)| shift(at));
        more.foreign.iter_mut().for_each(|foreign| shift(&mut foreign.line));
        more.faults.is_empty()
    }
}
