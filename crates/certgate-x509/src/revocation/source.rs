//! The CRLs of a ConfigMap, a Secret, a file or an inline field: PEM, or one CRL in DER, parsed as its octets arrive.
//!
//! The reader buffers only the current line and element, so a list of a million entries costs only its table and the
//! records to build it from.

use std::sync::Arc;

use aws_lc_rs::digest;
use thiserror::Error;

use crate::encoding::bundle::{Blocks, BundleError, Part};
use crate::fingerprint::Sha256;

use super::crl::{Crl, CrlError, CrlParser};
use super::intern;

/// Octets that the parsers get at once.
const PIECE_OCTETS: usize = 64 << 10;

/// Why a text holds no CRLs that certgate can use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CrlSourceError {
    /// It is not PEM.
    #[error(transparent)]
    Pem(#[from] BundleError),
    /// A CRL is malformed.
    #[error("CRL {number}: {error}")]
    Crl {
        /// Which, counting from 1.
        number: usize,
        /// What is wrong with it.
        error: CrlError,
    },
}

/// Reads CRLs from a text that arrives in pieces.
#[derive(Debug, Default)]
pub struct CrlReader {
    form: SourceForm,
    found: CrlsRead,
}

/// How the text is encoded.
#[derive(Debug, Default)]
enum SourceForm {
    /// Not known yet; no octet has arrived.
    #[default]
    Unknown,
    /// The same, with the first octet.
    First(u8),
    /// One CRL.
    Der,
    /// Blocks.
    Pem(Box<Blocks>),
}

/// The CRLs that have been read, and the one that is being read.
#[derive(Debug, Default)]
struct CrlsRead {
    crls: Vec<Arc<Crl>>,
    open: Option<Box<OpenCrl>>,
}

struct OpenCrl {
    parser: CrlParser,
    sha256: digest::Context,
}

impl std::fmt::Debug for OpenCrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenCrl").field("parser", &self.parser).finish_non_exhaustive()
    }
}

impl CrlReader {
    /// The CRLs of a complete text, at least one, in order.
    pub fn read(text: &[u8]) -> Result<Vec<Arc<Crl>>, CrlSourceError> {
        let mut reader = Self::default();
        text.chunks(PIECE_OCTETS).try_for_each(|piece| reader.push(piece))?;
        reader.finish()
    }

    /// Parses the next octets. After an error every further call fails.
    pub fn push(&mut self, octets: &[u8]) -> Result<(), CrlSourceError> {
        let found = &mut self.found;
        match &mut self.form {
            SourceForm::Der => found.octets(octets),
            SourceForm::Pem(blocks) => blocks.push(octets, &mut |part| found.part(part)),
            SourceForm::Unknown => match octets {
                [] => Ok(()),
                [first] => {
                    self.form = SourceForm::First(*first);
                    Ok(())
                }
                [first, second, ..] => {
                    self.form = SourceForm::of(*first, *second);
                    self.push(octets)
                }
            },
            SourceForm::First(first) => {
                let (first, Some(second)) = (*first, octets.first()) else { return Ok(()) };
                self.form = SourceForm::of(first, *second);
                self.push(&[first])?;
                self.push(octets)
            }
        }
    }

    /// The CRLs of the text, which is complete: at least one, in order.
    pub fn finish(mut self) -> Result<Vec<Arc<Crl>>, CrlSourceError> {
        let found = &mut self.found;
        match self.form {
            SourceForm::Der => found.end()?,
            SourceForm::Pem(blocks) => blocks.finish(&mut |part| found.part(part))?,
            SourceForm::Unknown | SourceForm::First(_) => Blocks::of_crls().finish(&mut |part| found.part(part))?,
        }
        Ok(self.found.crls)
    }
}

impl SourceForm {
    /// The form of a text that begins with these octets. A CRL is a SEQUENCE whose length needs octets of its own, so
    /// its second octet is not ASCII and distinguishes it from PEM. A CRL of less than 128 octets, which cannot hold a
    /// usual signature, must be in PEM.
    fn of(first: u8, second: u8) -> Self {
        match (first, second) {
            (0x30, 0x81..=0x84) => Self::Der,
            _ => Self::Pem(Box::new(Blocks::of_crls())),
        }
    }
}

impl CrlsRead {
    fn part(&mut self, part: Part<'_>) -> Result<(), CrlSourceError> {
        match part {
            Part::Octets(octets) => self.octets(octets),
            Part::End(_) => self.end(),
            Part::Bad(place, cause) => Err(BundleError::Body { place, cause }.into()),
        }
    }

    fn octets(&mut self, octets: &[u8]) -> Result<(), CrlSourceError> {
        let number = self.crls.len().saturating_add(1);
        let open = self.open.get_or_insert_with(|| {
            Box::new(OpenCrl { parser: CrlParser::default(), sha256: digest::Context::new(&digest::SHA256) })
        });
        open.sha256.update(octets);
        open.parser.push(octets).map_err(|error| CrlSourceError::Crl { number, error })
    }

    fn end(&mut self) -> Result<(), CrlSourceError> {
        let number = self.crls.len().saturating_add(1);
        let Some(open) = self.open.take() else { return Ok(()) };
        let crl = open.parser.finish().map_err(|error| CrlSourceError::Crl { number, error })?;
        self.crls.push(intern::intern(Sha256::from(open.sha256.finish()), crl));
        Ok(())
    }
}
