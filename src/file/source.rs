//! The files that trust profiles name: certificates, read as a whole, and CRLs, parsed as they are read.
//!
//! Owned here: when a file is read again, and its caps. What is in it is for the domain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest;
use bytes::Bytes;

use super::scan::Stamp;
use crate::domain::encoding::bundle::{MAX_CRL_TEXT, MAX_TEXT};
use crate::domain::fingerprint::Sha256;
use crate::domain::index::CrlFile;
use crate::domain::revocation::CrlReader;

/// Octets that are read at once.
const PIECE: usize = 64 << 10;

/// Files of one kind, as they were last read.
#[derive(Debug, Default)]
pub struct SourceFiles {
    known: BTreeMap<String, State>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Read {
        stamp: Stamp,
        /// Whether the stamp is certain to show the next change.
        settled: bool,
    },
    Failed(String),
}

impl SourceFiles {
    /// The names of the files.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.known.keys()
    }

    /// Reads by `read` each wanted file that may have changed, and forgets the others. Gives what is new to `found`.
    pub fn refresh<T>(
        &mut self,
        wanted: &BTreeSet<String>,
        resolve: impl Fn(&str) -> PathBuf,
        read: impl Fn(&mut File, u64) -> Result<T, String>,
        mut found: impl FnMut(&str, Result<T, String>),
    ) {
        self.known.retain(|name, _| wanted.contains(name));
        for name in wanted {
            let known = self.known.get(name);
            let path = resolve(name);
            let (state, content) = match open(&path, known) {
                Ok(None) => continue,
                Ok(Some((mut file, length, state))) => match read(&mut file, length) {
                    Ok(content) => (state, Ok(content)),
                    Err(error) => (State::Failed(error.clone()), Err(error)),
                },
                Err(error) => (State::Failed(error.to_string()), Err(error.to_string())),
            };
            if content.is_ok() || known != Some(&state) {
                self.known.insert(name.clone(), state);
                found(name, content.map_err(|error| format!("cannot read {path:?}: {error}")));
            }
        }
    }
}

/// Opens a file, with its length, unless it is as it was.
fn open(path: &Path, known: Option<&State>) -> io::Result<Option<(File, u64, State)>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    // A file that changes while it is read is read again by the next reload, for its stamp will differ.
    let stamp = Stamp::of(&metadata);
    if matches!(known, Some(State::Read { stamp: before, settled: true }) if *before == stamp) {
        return Ok(None);
    }
    let settled = stamp.is_settled(SystemTime::now());
    Ok(Some((File::open(path)?, metadata.len(), State::Read { stamp, settled })))
}

/// The octets of a file of certificates.
pub fn certificates(file: &mut impl Read) -> Result<Bytes, String> {
    let mut content = Vec::new();
    let cap = MAX_TEXT.saturating_add(1);
    file.take(cap as u64).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() >= cap {
        return Err(format!("larger than {MAX_TEXT} bytes"));
    }
    Ok(Bytes::from(content))
}

/// The CRLs of a file. An error is only what no edit of the CRLs mends: the file cannot be read, or is too long.
pub fn crls(file: &mut impl Read) -> Result<CrlFile, String> {
    let mut sha256 = digest::Context::new(&digest::SHA256);
    let mut reader = Ok(CrlReader::default());
    let mut piece = vec![0; PIECE];
    let mut length = 0_usize;
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => &piece[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.to_string()),
        };
        length += read.len();
        if length > MAX_CRL_TEXT {
            return Err(format!("larger than {MAX_CRL_TEXT} bytes"));
        }
        sha256.update(read);
        // What is no CRL is read to its end all the same: only its digest tells it from the next content.
        reader = reader.and_then(|mut reader: CrlReader| reader.push(read).map(|()| reader));
    }
    let crls = reader.and_then(CrlReader::finish).map_err(|error| error.to_string());
    Ok(CrlFile { sha256: Sha256::from(sha256.finish()), crls })
}
