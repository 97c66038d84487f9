//! Reads many small files at once, on several threads.
//!
//! Opening and parsing bound the first load of a directory with a file for each of 100,000 objects; this module does
//! both in parallel. It applies nothing: the caller receives the results one after another, in no particular order.

use std::fs::File;
use std::io::BufReader;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::loaded::{MAX_DOCUMENT, NewChunk};
use super::scan::{Listed, Root, Stamp};
use super::split::{Chunks, SplitError};

/// The largest file that is read here. Together with [`BATCH`] it bounds the memory of chunks that are parsed and not
/// yet applied.
pub const MAX_SMALL: usize = 16 << 10;

/// With fewer files, starting threads costs more than it saves.
pub const MIN_FILES: usize = 256;

/// How many files a thread takes at a time.
const BATCH: usize = 16;

/// More threads than this only wait for the one that applies.
const MAX_THREADS: usize = 4;

/// The result of reading a new file: its chunks, and its stamp afterwards.
pub type ReadFile = Result<(Vec<NewChunk>, Stamp), SplitError>;

/// Reads `files` and passes each result, with its index in `files`, to `take`.
pub fn read(root: &Root, files: &[&Listed], mut take: impl FnMut(usize, ReadFile)) {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, results) = mpsc::sync_channel(threads * 2);
        for _ in 0..threads {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let start = next.fetch_add(BATCH, Ordering::Relaxed);
                    let batch: Vec<(usize, ReadFile)> = files
                        .iter()
                        .enumerate()
                        .skip(start)
                        .take(BATCH)
                        .map(|(n, listed)| (n, read_one(root, listed)))
                        .collect();
                    if batch.is_empty() || sender.send(batch).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        results.into_iter().flatten().for_each(|(n, file)| take(n, file));
    });
}

fn read_one(root: &Root, listed: &Listed) -> ReadFile {
    let file = File::open(root.resolve(&listed.name))?;
    let mut chunks = Chunks::new(BufReader::with_capacity(listed.stamp.size_or(MAX_SMALL), &file), MAX_DOCUMENT);
    let mut read = Vec::new();
    while let Some(chunk) = chunks.next_chunk()? {
        read.push(NewChunk::parse(&chunk));
    }
    Ok((read, Stamp::of(&file.metadata()?)))
}
