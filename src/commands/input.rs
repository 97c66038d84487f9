//! The certificate argument that all commands share, and the forms in which it is read.
//!
//! Owns the difference between a wrong file (exit code 2: there is no answer) and a malformed certificate (exit code 1:
//! the answer is that it is rejected).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;

use certgate_x509::{
    Certificate, UnixTime, encoding::container, encoding::container::Form, encoding::container::Found,
    limits::MAX_CERTIFICATE_TEXT,
};

// The certificate, the same argument in `verify`, `explain` and `inspect`. Not a doc comment, because clap would print
// it as the help of the command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CertificateArgs {
    /// The certificate: PEM, DER, PKCS #7 or URL-encoded PEM; `-` reads standard input. Further certificates in it
    /// count as its chain.
    #[arg(value_name = "CERT")]
    cert: Option<PathBuf>,
    /// The same.
    #[arg(long, value_name = "CERT", conflicts_with = "cert")]
    certificate: Option<PathBuf>,
}

impl CertificateArgs {
    /// The path, if one was given.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.cert.as_deref().or(self.certificate.as_deref())
    }
}

/// Why a file gives no certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputError {
    /// It cannot be read, or does not hold certificates.
    WrongFile(String),
    /// It holds a malformed certificate.
    Malformed {
        /// The error.
        problem: String,
        /// The content of the file.
        content: Bytes,
    },
}

/// Parses the time of `--at`.
pub fn parse_time(text: &str) -> Result<UnixTime, String> {
    UnixTime::parse_rfc3339(text).ok_or_else(|| "want a time in UTC such as 2026-01-31T12:00:00Z".to_owned())
}

/// The content of a file, or of standard input for `-`.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(MAX_CERTIFICATE_TEXT).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    let outcome = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(limit).read_to_end(&mut content),
        false => File::open(path).and_then(|file| file.take(limit).read_to_end(&mut content)),
    };
    outcome.map(|_| content).map_err(|error| format!("{}: {error}", path.display()))
}

/// The certificates of a file, the one in question first.
pub fn certificates(path: &Path) -> Result<Found, InputError> {
    let content = read(path).map_err(InputError::WrongFile)?;
    match container::read(&content) {
        Ok(found) => Ok(leaf_first(found)),
        Err(error) => {
            let problem = format!("{}: {error}", path.display());
            if error.is_malformed() {
                Err(InputError::Malformed { problem, content: content.into() })
            } else {
                Err(InputError::WrongFile(problem))
            }
        }
    }
}

/// Puts the first certificate that issued no other one first, for forms whose order has no meaning.
fn leaf_first(mut found: Found) -> Found {
    if found.form == Form::Pkcs7
        && let Some((at, _)) = leaf(&found)
    {
        found.certificates[..=at].rotate_right(1);
    }
    found
}

/// Advice for a file whose first certificate, which counts as the client's, issued one behind it.
pub fn order_problem(path: &Path, found: &Found) -> Option<String> {
    let (_, leaf) = leaf(found).filter(|(at, _)| *at > 0)?;
    let first = Certificate::from_der(found.certificates.first()?.clone()).ok()?;
    Some(format!(
        "Put the client's certificate first in {} and its CA certificates after it: the first one, {}, is that of a \
         CA, and {} looks like the client's.",
        path.display(),
        first.subject(),
        leaf.subject()
    ))
}

/// The first certificate that issued no other one, with its position.
fn leaf(found: &Found) -> Option<(usize, Certificate)> {
    let parsed: Vec<_> = found.certificates.iter().map(|der| Certificate::from_der(der.clone()).ok()).collect();
    let issuers: std::collections::HashSet<_> = parsed
        .iter()
        .flatten()
        .filter(|certificate| !certificate.is_self_issued())
        .map(|certificate| certificate.issuer().canonical())
        .collect();
    let is_leaf = |certificate: &Option<Certificate>| {
        certificate.as_ref().is_some_and(|certificate| !issuers.contains(certificate.subject().canonical()))
    };
    let at = parsed.iter().position(is_leaf)?;
    Some((at, parsed.into_iter().nth(at)??))
}

/// The certificates of a file of anchors or intermediates: any error in them is a usage error.
pub fn parsed(path: &Path) -> Result<Vec<std::sync::Arc<Certificate>>, String> {
    let found = certificates(path).map_err(|error| match error {
        InputError::WrongFile(problem) | InputError::Malformed { problem, .. } => problem,
    })?;
    let parse = |(at, der): (usize, &Bytes)| {
        let parsed = Certificate::from_der(der.clone()).map(std::sync::Arc::new);
        parsed.map_err(|error| format!("{}: certificate {}: {error}", path.display(), at + 1))
    };
    found.certificates.iter().enumerate().map(parse).collect()
}
