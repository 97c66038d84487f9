//! The files that a server's TLS is made of.
//!
//! Owns reading them and naming the one that is at fault. They are read as they are at one moment as far as a file system
//! allows it: what does not fit together is an error, which [`super::watch`] looks at a second time before it believes it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use thiserror::Error;

use super::clients::{CallerName, Clients, read_callers};
use super::identity::{MAX_KEY_TEXT, Part, ServerIdentity};
use super::server::Material;
use certgate_x509::limits::MAX_CERTIFICATE_TEXT;

/// Which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
    /// Which clients are accepted; `None`: all.
    pub clients: Option<ClientFiles>,
}

/// What says which clients are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The authorities of their certificates.
    pub authorities: PathBuf,
    /// Names of which a client must have one. Without any, and without a list, the name does not matter.
    pub allowed: Vec<CallerName>,
    /// A list of more such names.
    pub list: Option<PathBuf>,
}

/// Why files cannot be used.
#[derive(Debug, Error)]
pub enum FilesError {
    /// One cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// One does not hold what it should.
    #[error("{}: {source}", .path.display())]
    Unfit {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two do not fit each other.
    #[error("{} and {}: {source}", .certificate.display(), .key.display())]
    Apart {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// SHA-256 of what was found, readable or not.
pub(super) type Digest = [u8; 32];

/// What was found in the files, and what could be made of it.
pub(super) struct Found {
    pub digest: Digest,
    pub result: Result<Material, FilesError>,
}

impl TlsFiles {
    /// Reads them.
    pub fn load(&self) -> Result<Material, FilesError> {
        self.make(&self.read()?)
    }

    /// Every file.
    pub(super) fn paths(&self) -> Vec<&Path> {
        let clients = self.clients.iter().flat_map(|clients| [Some(&clients.authorities), clients.list.as_ref()]);
        [&self.certificate, &self.key].into_iter().chain(clients.flatten()).map(PathBuf::as_path).collect()
    }

    /// Reads them; `None` when what is found is what was `judged` before.
    pub(super) fn look(&self, judged: Option<Digest>) -> Option<Found> {
        let read = self.read();
        let mut context = Context::new(&SHA256);
        match &read {
            Ok(texts) => {
                for text in texts {
                    context.update(&text.len().to_be_bytes());
                    context.update(text);
                }
            }
            Err(error) => context.update(error.to_string().as_bytes()),
        }
        let mut digest = Digest::default();
        digest.copy_from_slice(context.finish().as_ref());
        if judged == Some(digest) {
            return None;
        }
        Some(Found { digest, result: read.and_then(|texts| self.make(&texts)) })
    }

    /// Their contents, in the order of [`Self::paths`].
    fn read(&self) -> Result<Vec<Vec<u8>>, FilesError> {
        let read =
            |path: &Path| read_capped(path).map_err(|source| FilesError::Unreadable { path: path.to_owned(), source });
        self.paths().into_iter().map(read).collect()
    }

    fn make(&self, texts: &[Vec<u8>]) -> Result<Material, FilesError> {
        let text = |at: usize| texts.get(at).map(Vec::as_slice).unwrap_or_default();
        let identity = ServerIdentity::from_pem(text(0), text(1)).map_err(|source| match source.part() {
            Part::Certificate => unfit(&self.certificate, source),
            Part::Key => unfit(&self.key, source),
            Part::Both => FilesError::Apart {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
                source: Box::new(source),
            },
        })?;
        let clients = self.clients.as_ref().map(|clients| clients.make(text(2), text(3))).transpose()?;
        Ok(Material { identity, clients })
    }
}

impl ClientFiles {
    fn make(&self, authorities: &[u8], list: &[u8]) -> Result<Clients, FilesError> {
        let mut allowed = self.allowed.clone();
        if let Some(path) = &self.list {
            allowed.extend(read_callers(list).map_err(|source| unfit(path, source))?);
        }
        let allowed = (!allowed.is_empty()).then_some(allowed);
        Clients::from_pem(authorities, allowed).map_err(|source| unfit(&self.authorities, source))
    }
}

fn unfit(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> FilesError {
    FilesError::Unfit { path: path.to_owned(), source: Box::new(source) }
}

/// The longest file that is read: what is longer is refused by whoever parses it.
const MAX_FILE: u64 =
    if MAX_CERTIFICATE_TEXT > MAX_KEY_TEXT { MAX_CERTIFICATE_TEXT as u64 + 1 } else { MAX_KEY_TEXT as u64 + 1 };

fn read_capped(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}
