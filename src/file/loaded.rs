//! The loader's record of one file, and how an edit of the file becomes edits of the index.
//!
//! This module owns the chunks of a file with their hashes and the objects parsed from them. It reads an open file; the
//! loader decides when to read it and whether the read was consistent.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::sync::Arc;
use std::time::SystemTime;

use super::manifest::{self, DocumentFault, ForeignDocument, ParsedChunk};
use super::scan::Stamp;
use super::split::{Chunk, Chunks, SplitError};
use super::yaml::Mark;
use crate::domain::api::{Kind, ObjectId, Origin};
use crate::domain::store::Index;
use certgate_x509::Sha256;

/// The largest document. A `List` of 100,000 objects from `kubectl get -o yaml` has about 60 MB.
pub const MAX_DOCUMENT: usize = 128 << 20;

/// How many bytes of new chunks are buffered while the rest of a changed file is compared. Further new chunks are read
/// a second time.
const MAX_BUFFERED: usize = 4 << 20;

/// The buffer for reading files. Larger ones were not faster.
const BUFFER: usize = 64 << 10;

/// The first 128 bits of a chunk's SHA-256.
type ChunkHash = [u8; 16];

/// The loader's record of an object; small, because there may be 100,000 and more.
#[derive(Debug)]
pub struct ObjectKey {
    pub kind: Kind,
    pub document: u32,
    /// `namespace/name`
    name: Box<str>,
}

impl ObjectKey {
    fn parts(&self) -> (&str, &str) {
        self.name.split_once('/').unwrap_or(("", &self.name))
    }

    pub fn id(&self, file: &Arc<str>) -> ObjectId {
        let (namespace, name) = self.parts();
        let origin = Origin { file: Arc::clone(file), document: self.document };
        ObjectId { kind: self.kind, namespace: namespace.to_owned(), name: name.to_owned(), origin }
    }
}

#[derive(Debug)]
pub struct ChunkState {
    hash: ChunkHash,
    line: u32,
    pub content: ChunkContent,
}

#[derive(Debug)]
pub enum ChunkContent {
    /// Only comments.
    Empty,
    /// One object, as in nearly all chunks.
    One(ObjectKey),
    /// Any other content.
    Mixed(Box<MixedChunk>),
}

/// Objects with the lines on which their documents start.
#[derive(Debug)]
pub struct MixedChunk {
    pub objects: Vec<(ObjectKey, u32)>,
    pub foreign: Vec<ForeignDocument>,
    pub faults: Vec<DocumentFault>,
}

impl ChunkContent {
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectKey, Option<u32>)> {
        let (one, more) = match self {
            Self::Empty => (None, None),
            Self::One(key) => (Some((key, None)), None),
            Self::Mixed(mixed) => (None, Some(mixed.objects.iter().map(|(key, line)| (key, Some(*line))))),
        };
        one.into_iter().chain(more.into_iter().flatten())
    }

    pub fn mixed(&self) -> Option<&MixedChunk> {
        match self {
            Self::Mixed(mixed) => Some(mixed),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub struct FileState {
    pub stamp: Stamp,
    /// Whether every later change is certain to change the stamp.
    pub settled: bool,
    /// The number of the next object that is read from this file.
    next_document: u32,
    pub chunks: Vec<ChunkState>,
    /// The error that ended reading the file.
    pub error: Option<(Option<Mark>, String)>,
}

/// The changes of a file's chunks.
#[derive(Copy, Clone, Debug, Default)]
pub struct Edit {
    pub parsed: usize,
    pub forgotten: usize,
}

/// A chunk of a file that is read again.
enum ChunkStep {
    /// Unchanged.
    Known(ChunkState),
    /// New, and buffered.
    New { line: u32, bytes: Box<[u8]> },
    /// New, and to be read a second time.
    Later,
}

fn hash_of(bytes: &[u8]) -> ChunkHash {
    let mut hash = ChunkHash::default();
    hash.copy_from_slice(&Sha256::of(bytes).as_bytes()[..16]);
    hash
}

/// A chunk that is parsed and not applied yet.
#[derive(Debug)]
pub struct NewChunk {
    hash: ChunkHash,
    line: u32,
    parsed: ParsedChunk,
}

impl NewChunk {
    /// Parses a chunk.
    pub fn parse(chunk: &Chunk<'_>) -> Self {
        let parsed = manifest::read(chunk.bytes, chunk.line);
        Self { hash: hash_of(chunk.bytes), line: chunk.line, parsed }
    }
}

/// Deletes the objects of a chunk.
pub fn delete_objects(index: &mut Index, file: &Arc<str>, chunk: &ChunkState) {
    for (key, _) in chunk.content.objects() {
        index.delete(&key.id(file));
    }
}

/// Whether a read saw one state of the file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// The file was the one that was listed, and did not change.
    Consistent,
    /// The file changed or vanished.
    Torn,
}

impl FileState {
    /// A file with this stamp that has not been read yet.
    pub const fn new(stamp: Stamp) -> Self {
        Self { stamp, settled: false, next_document: 0, chunks: Vec::new(), error: None }
    }

    /// Records the result of reading the file that was listed with `stamp`: its stamp afterwards, or the error. The
    /// read began at `now`.
    pub fn record_read(&mut self, read: Result<Stamp, SplitError>, stamp: &Stamp, now: SystemTime) -> Consistency {
        self.error = None;
        let consistency = match read {
            // An equal stamp means the file that was listed, unchanged since.
            Ok(after) if after == *stamp => Consistency::Consistent,
            Ok(_) => Consistency::Torn,
            Err(SplitError::Read(error)) if error.kind() == io::ErrorKind::NotFound => Consistency::Torn,
            Err(error) => {
                let at = match error {
                    SplitError::TooLarge { line, .. } => Some(Mark { line, column: 1 }),
                    SplitError::Read(_) => None,
                };
                self.error = Some((at, error.to_string()));
                Consistency::Consistent
            }
        };
        self.settled = consistency == Consistency::Consistent && stamp.is_settled(now);
        if consistency == Consistency::Consistent {
            self.stamp = *stamp;
        }
        consistency
    }

    /// Updates the index from the previous content of the file to that of `file`.
    ///
    /// Deletes removed objects before it applies new ones, so that the index never holds both.
    pub fn update(
        &mut self,
        index: &mut Index,
        name: &Arc<str>,
        file: &File,
        stamp: &Stamp,
    ) -> Result<Edit, SplitError> {
        let buffer = stamp.size_or(BUFFER);
        if self.chunks.is_empty() {
            let mut chunks = Chunks::new(BufReader::with_capacity(buffer, file), MAX_DOCUMENT);
            while let Some(chunk) = chunks.next_chunk()? {
                self.apply_chunk(index, name, NewChunk::parse(&chunk));
            }
            self.chunks.shrink_to_fit();
            return Ok(Edit { parsed: self.chunks.len(), forgotten: 0 });
        }
        let mut old: Vec<Option<ChunkState>> = std::mem::take(&mut self.chunks).into_iter().map(Some).collect();
        let result = self.update_from(&mut old, index, name, file, buffer);
        if result.is_err() {
            // Chunks behind the error may still exist.
            self.chunks.extend(old.into_iter().flatten());
        }
        result
    }

    fn update_from(
        &mut self,
        old: &mut [Option<ChunkState>],
        index: &mut Index,
        name: &Arc<str>,
        mut file: &File,
        buffer: usize,
    ) -> Result<Edit, SplitError> {
        let mut places: HashMap<ChunkHash, Vec<usize>> = HashMap::with_capacity(old.len());
        // In reverse, so that `pop` takes equal chunks in file order.
        for (at, chunk) in old.iter().enumerate().rev() {
            if let Some(chunk) = chunk {
                places.entry(chunk.hash).or_default().push(at);
            }
        }
        let mut steps = Vec::with_capacity(old.len());
        let mut room = MAX_BUFFERED;
        let mut chunks = Chunks::new(BufReader::with_capacity(buffer, file), MAX_DOCUMENT);
        let mut read = || -> Result<bool, SplitError> {
            let Some(chunk) = chunks.next_chunk()? else { return Ok(false) };
            let hash = hash_of(chunk.bytes);
            let place = places.get_mut(&hash).and_then(Vec::pop).and_then(|at| old.get_mut(at));
            let moves = |known: &mut ChunkState| known.move_to(chunk.line);
            steps.push(match place.and_then(|slot| slot.take_if(moves)) {
                Some(known) => ChunkStep::Known(known),
                None if chunk.bytes.len() <= room => {
                    room -= chunk.bytes.len();
                    ChunkStep::New { line: chunk.line, bytes: Box::from(chunk.bytes) }
                }
                None => ChunkStep::Later,
            });
            Ok(true)
        };
        let read = loop {
            match read() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = read {
            self.chunks.extend(steps.into_iter().filter_map(|step| match step {
                ChunkStep::Known(chunk) => Some(chunk),
                ChunkStep::New { .. } | ChunkStep::Later => None,
            }));
            return Err(error);
        }
        let mut edit = Edit::default();
        for gone in old.iter_mut().filter_map(Option::take) {
            delete_objects(index, name, &gone);
            edit.forgotten += 1;
        }
        // A second pass is needed only if the new chunks exceed the buffer. If the file changes in between, its stamp
        // shows it.
        let mut again = if steps.iter().any(|step| matches!(step, ChunkStep::Later)) {
            file.rewind()?;
            Some(Chunks::new(BufReader::with_capacity(buffer, file), MAX_DOCUMENT))
        } else {
            None
        };
        for step in steps {
            let chunk = match &mut again {
                Some(chunks) => chunks.next_chunk()?,
                None => None,
            };
            match step {
                ChunkStep::Known(known) => self.chunks.push(known),
                ChunkStep::New { line, bytes } => {
                    self.apply_chunk(index, name, NewChunk::parse(&Chunk { line, bytes: &bytes }));
                    edit.parsed += 1;
                }
                ChunkStep::Later => {
                    if let Some(chunk) = chunk {
                        self.apply_chunk(index, name, NewChunk::parse(&chunk));
                        edit.parsed += 1;
                    }
                }
            }
        }
        self.chunks.shrink_to_fit();
        Ok(edit)
    }

    /// Applies the next chunk of the file to the index.
    pub fn apply_chunk(&mut self, index: &mut Index, name: &Arc<str>, new: NewChunk) {
        let content = self.apply(new.parsed, index, name);
        self.chunks.push(ChunkState { hash: new.hash, line: new.line, content });
    }

    fn apply(&mut self, parsed: ParsedChunk, index: &mut Index, file: &Arc<str>) -> ChunkContent {
        let mut objects: Vec<(ObjectKey, u32)> = Vec::with_capacity(parsed.objects.len());
        for (mut object, at) in parsed.objects {
            let document = self.next_document;
            self.next_document = document.wrapping_add(1);
            object.meta_mut().origin = Origin { file: Arc::clone(file), document };
            let meta = object.meta();
            let name = meta.namespaced_name().to_string().into_boxed_str();
            objects.push((ObjectKey { kind: object.kind(), document, name }, at.line));
            index.apply(object);
        }
        let plain = parsed.foreign.is_empty() && parsed.faults.is_empty();
        match objects.len() {
            0 if plain => ChunkContent::Empty,
            1 if plain => objects.pop().map_or(ChunkContent::Empty, |(key, _)| ChunkContent::One(key)),
            _ => ChunkContent::Mixed(Box::new(MixedChunk { objects, foreign: parsed.foreign, faults: parsed.faults })),
        }
    }
}

impl ChunkState {
    /// Records that the chunk now starts at `line`; false if its messages name lines, so that it must be parsed again.
    fn move_to(&mut self, line: u32) -> bool {
        let from = std::mem::replace(&mut self.line, line);
        if from == line {
            return true;
        }
        let ChunkContent::Mixed(mixed) = &mut self.content else { return true };
        let shift = |at: &mut u32| *at = at.saturating_sub(from).saturating_add(line);
        mixed.objects.iter_mut().for_each(|(_, at)| shift(at));
        mixed.foreign.iter_mut().for_each(|foreign| shift(&mut foreign.line));
        mixed.faults.is_empty()
    }
}
