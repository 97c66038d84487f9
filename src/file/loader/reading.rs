//! Reads what changed since the last listing: policy files into the index, and the files that trust profiles name.

use std::cell::Cell;
use std::fs::File;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::Loader;
use crate::file::bulk;
use crate::file::loaded::{Consistency, FileState, delete_objects};
use crate::file::scan::{Listed, Listing, Stamp};
use crate::file::source;
use crate::file::split::SplitError;
use certgate_x509::limits::MAX_CRL_TEXT;

/// The size of a source that makes [`release_freed_memory`] worthwhile.
const LARGE: usize = 16 << 20;

/// The difference between a listing and the loader's record.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Changes {
    /// Nothing.
    None,
    /// One file is new or changed; none was removed.
    OneFile,
    /// Any other difference.
    Several,
}

/// The result of reading what changed.
#[derive(Copy, Clone, Debug)]
pub(super) struct ReadChanges {
    pub changes: Changes,
    pub consistency: Consistency,
}

impl ReadChanges {
    /// Records a file that was read.
    fn note(&mut self, changed: bool, consistency: Consistency) {
        if changed {
            self.changes = if self.changes == Changes::None { Changes::OneFile } else { Changes::Several };
        }
        if consistency == Consistency::Torn {
            self.consistency = Consistency::Torn;
        }
    }
}

impl Loader {
    /// Reads the changes in `listing` into the index.
    pub(super) fn read_changes(&mut self, listing: &Listing) -> ReadChanges {
        let mut changes = ReadChanges { changes: Changes::None, consistency: Consistency::Consistent };
        let index = &mut self.index;
        let mut gone = self.files.len();
        let mut listed = listing.files.iter().peekable();
        self.files.retain(|(name, state)| {
            // Both are sorted by name.
            while listed.next_if(|listed| *listed.name < **name).is_some() {}
            let keep = listed.peek().is_some_and(|listed| *listed.name == **name);
            if !keep {
                state.chunks.iter().for_each(|chunk| delete_objects(index, name, chunk));
            }
            keep
        });
        gone -= self.files.len();
        if gone > 0 {
            changes.changes = Changes::Several;
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
            let (edited, consistency) = self.read_file(&name, &mut state, &listed.stamp);
            self.files.push((name, state));
            changes.note(restamped || edited, consistency);
        }
        self.read_small(&small, &mut changes);
        changes
    }

    /// Reads new small files, given with their indexes in `files`, into the index.
    fn read_small(&mut self, small: &[(usize, &Listed)], changes: &mut ReadChanges) {
        if small.len() < bulk::MIN_FILES {
            for (at, listed) in small {
                let mut state = FileState::new(listed.stamp);
                let (_, consistency) = self.read_file(&listed.name, &mut state, &listed.stamp);
                self.files[*at].1 = state;
                changes.note(true, consistency);
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
                chunks.into_iter().for_each(|chunk| state.apply_chunk(&mut self.index, name, chunk));
                stamp
            });
            let consistency = state.record_read(read, &listed[n].stamp, now);
            changes.note(true, consistency);
        });
    }

    /// Reads one file into the index. Returns whether its content changed, and whether the read was consistent.
    fn read_file(&mut self, name: &Arc<str>, state: &mut FileState, stamp: &Stamp) -> (bool, Consistency) {
        let path = self.root.resolve(name);
        let now = SystemTime::now();
        let mut edited = false;
        let read = File::open(&path).map_err(SplitError::from).and_then(|file| {
            let edit = state.update(&mut self.index, name, &file, stamp)?;
            self.parsed += edit.parsed;
            edited = edit.parsed > 0 || edit.forgotten > 0;
            Ok(Stamp::of(&file.metadata()?))
        });
        let consistency = state.record_read(read, stamp, now);
        (edited, consistency)
    }

    /// Reads the files that trust profiles name, if they changed.
    pub(super) fn read_sources(&mut self) {
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
            // The content would be rejected: reading it up to the limit each time would be wasted.
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
            self.large_read_at = Some(Instant::now());
        }
    }
}

/// Makes the allocator return memory that was freed some time ago to the system. mimalloc retains freed blocks for a
/// moment and releases them only when it frees another large one, which an idle server never does.
pub(super) fn release_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(2 * LARGE)));
}
