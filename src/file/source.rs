//! Reads the files that trust profiles name: certificates as a whole, and CRLs in pieces, parsed while they are read.
//!
//! Owns when a file is read again, and the size limits. The domain interprets the content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest;
use bytes::Bytes;

use super::scan::Stamp;
use crate::domain::store::CrlFile;
use certgate_x509::{CrlReader, Sha256, limits::MAX_CERTIFICATE_TEXT, limits::MAX_CRL_TEXT};

/// Octets of one read.
const READ_SIZE: usize = 64 << 10;

/// The record of the files of one kind.
#[derive(Debug, Default)]
pub struct SourceFiles {
    known: BTreeMap<String, SourceFileState>,
}

#[derive(Debug, PartialEq, Eq)]
enum SourceFileState {
    Read {
        stamp: Stamp,
        /// Whether every later change is certain to change the stamp.
        settled: bool,
    },
    Failed(String),
}

impl SourceFiles {
    /// The names of the files.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.known.keys()
    }

    /// Reads each wanted file that may have changed by `read`, passes new content to `found`, and forgets files that
    /// are not wanted.
    ///
    /// A file that changes during the read may be incomplete. The previous content stays, and the next reload, which
    /// the writer's event causes, reads the file again. The first read of a file accepts the content, because there is
    /// no previous one.
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
            let (state, content) = match read_one(&path, known, &read) {
                Ok(FileRead::Unchanged) => continue,
                Ok(FileRead::Torn(..)) if matches!(known, Some(SourceFileState::Read { .. })) => continue,
                Ok(FileRead::Torn(state, content) | FileRead::Complete(state, content)) => (state, Ok(content)),
                Err(error) => (SourceFileState::Failed(error.clone()), Err(format!("cannot read {path:?}: {error}"))),
            };
            if content.is_ok() || known != Some(&state) {
                self.known.insert(name.clone(), state);
                found(name, content);
            }
        }
    }
}

/// The result of reading a file.
enum FileRead<T> {
    /// Unchanged.
    Unchanged,
    /// The file changed during the read.
    Torn(SourceFileState, T),
    /// A consistent read.
    Complete(SourceFileState, T),
}

fn read_one<T>(
    path: &Path,
    known: Option<&SourceFileState>,
    read: impl Fn(&mut File, u64) -> Result<T, String>,
) -> Result<FileRead<T>, String> {
    let say = |error: io::Error| error.to_string();
    if let Some(SourceFileState::Read { stamp, settled: true }) = known
        && Stamp::of(&std::fs::metadata(path).map_err(say)?) == *stamp
    {
        return Ok(FileRead::Unchanged);
    }
    // Opening a FIFO without a writer must not block.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(say)?;
    let metadata = file.metadata().map_err(say)?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let stamp = Stamp::of(&metadata);
    let settled = stamp.is_settled(SystemTime::now());
    let content = read(&mut file, metadata.len())?;
    let state = SourceFileState::Read { stamp, settled };
    let is_same = Stamp::of(&file.metadata().map_err(say)?) == stamp;
    Ok(if is_same { FileRead::Complete(state, content) } else { FileRead::Torn(state, content) })
}

/// The error for a file of more octets.
pub fn too_long(limit: usize) -> String {
    format!("larger than {limit} bytes")
}

/// The octets of a file of certificates.
pub fn certificates(file: &mut impl Read) -> Result<Bytes, String> {
    let mut content = Vec::new();
    let cap = MAX_CERTIFICATE_TEXT.saturating_add(1);
    file.take(cap as u64).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() >= cap {
        return Err(too_long(MAX_CERTIFICATE_TEXT));
    }
    Ok(Bytes::from(content))
}

/// The CRLs of a file. An error is returned only if the file cannot be read or is too long; the result of parsing is
/// part of the value.
pub fn crls(file: &mut impl Read) -> Result<CrlFile, String> {
    let mut sha256 = digest::Context::new(&digest::SHA256);
    let mut reader = Ok(CrlReader::default());
    let mut buffer = vec![0; READ_SIZE];
    let mut length = 0_usize;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => &buffer[..read],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.to_string()),
        };
        length += read.len();
        if length > MAX_CRL_TEXT {
            return Err(too_long(MAX_CRL_TEXT));
        }
        sha256.update(read);
        // A file that is not a CRL is read to its end, too: its digest identifies the content.
        reader = reader.and_then(|mut reader: CrlReader| reader.push(read).map(|()| reader));
    }
    let crls = reader.and_then(CrlReader::finish).map_err(|error| error.to_string());
    Ok(CrlFile { sha256: Sha256::from(sha256.finish()), crls })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content of a file that `meanwhile` changes during the read; `None` if the previous content stays.
    fn text(files: &mut SourceFiles, path: &Path, meanwhile: impl Fn()) -> Option<Result<String, String>> {
        let name = path.to_str().unwrap().to_owned();
        let read = |file: &mut File, _| {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(|error| error.to_string())?;
            meanwhile();
            Ok(text)
        };
        let mut found = None;
        files.refresh(&BTreeSet::from([name]), |name: &str| PathBuf::from(name), read, |_, text| found = Some(text));
        found
    }

    #[test]
    fn what_is_written_while_it_is_read_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        let mut files = SourceFiles::default();
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("half");
        assert_eq!(text(&mut files, &path, || write("whole")), Some(Ok("half".to_owned())), "there is nothing better");
        assert_eq!(text(&mut files, &path, || ()), Some(Ok("whole".to_owned())));
        write("ha");
        assert_eq!(text(&mut files, &path, || write("next")), None, "it stays as it was");
        assert_eq!(text(&mut files, &path, || ()), Some(Ok("next".to_owned())));
        let aside = directory.path().join("aside");
        let replace = |text: &str| {
            std::fs::write(&aside, text).unwrap();
            std::fs::rename(&aside, &path).unwrap();
        };
        replace("before");
        assert_eq!(text(&mut files, &path, || replace("after")), None, "replaced as a whole");
        assert_eq!(text(&mut files, &path, || ()), Some(Ok("after".to_owned())));
        std::fs::remove_file(&path).unwrap();
        assert!(text(&mut files, &path, || ()).unwrap().unwrap_err().contains("cannot read"));
        assert_eq!(text(&mut files, &path, || ()), None, "it is told once");
    }
}
