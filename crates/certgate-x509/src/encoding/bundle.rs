//! PEM as people store it: the contents of a ConfigMap, a Secret, a file or an inline field.
//!
//! Owns finding every `CERTIFICATE` block of such a text, or every `X509 CRL` block, and naming the block and line that
//! fail. Text between blocks is allowed (RFC 7468, section 2: explanatory text), as are CRLF, blanks at the end of a
//! line and any line length (section 3, the lax form), because tools write all of these. It does not parse
//! certificates. For what a proxy forwards, use [`super::pem`].
//!
//! A text whose blocks cannot be separated is an error as a whole, never skipped: a trust source that silently lost a
//! certificate would trust, or distrust, something else than its author wrote. So any line that contains `-----BEGIN`
//! or `-----END` must be a well-formed boundary. Content of a block that is not base64 is an error of that block; the
//! caller decides whether the others are used. A private key is rejected, with a message that names the problem and
//! does not quote the key: it must not be where certgate reads certificates.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::base64::{Base64Error, Decoder};
use super::container::{self, Form};
use super::excerpt::excerpt;
use crate::limits::{
    MAX_CERTIFICATE_TEXT, MAX_CERTIFICATES_IN_TEXT, MAX_CONFIGURED_CERTIFICATE, MAX_CRL, MAX_CRL_TEXT, MAX_CRLS_IN_TEXT,
};

/// A line up to this length is held whole; of a longer one, its end is held.
const MAX_LINE: usize = 4096;

/// The held octets of a longer line: a boundary marker, of 10 octets at most, may begin there.
const MARKER: usize = 10;

/// A kind of block, and its caps.
#[derive(Debug)]
struct Wanted {
    label: &'static [u8],
    text: usize,
    der: usize,
    blocks: usize,
    none: BundleError,
}

const CERTIFICATE: Wanted = Wanted {
    label: b"CERTIFICATE",
    text: MAX_CERTIFICATE_TEXT,
    der: MAX_CONFIGURED_CERTIFICATE,
    blocks: MAX_CERTIFICATES_IN_TEXT,
    none: BundleError::NoCertificate,
};

/// RFC 7468, section 6.
const CRL: Wanted =
    Wanted { label: b"X509 CRL", text: MAX_CRL_TEXT, der: MAX_CRL, blocks: MAX_CRLS_IN_TEXT, none: BundleError::NoCrl };

/// The position of a block, as messages name it. Both count from 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The block, counting blocks of every label.
    pub block: usize,
    /// The line of its `BEGIN` boundary.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PEM block {} (line {})", self.block, self.line)
    }
}

/// Why a text is not a list of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// The text is longer than [`MAX_CERTIFICATE_TEXT`].
    #[error("{length} bytes of PEM, more than {limit}")]
    TooLong {
        /// The length of the text.
        length: usize,
        /// The cap.
        limit: usize,
    },
    /// There are more blocks than [`MAX_CERTIFICATES_IN_TEXT`].
    #[error("more than {limit} PEM blocks")]
    TooMany {
        /// The cap.
        limit: usize,
    },
    /// There is no block at all.
    #[error("no `-----BEGIN CERTIFICATE-----` block")]
    NoCertificate,
    /// The same for CRLs.
    #[error("no `-----BEGIN X509 CRL-----` block")]
    NoCrl,
    /// The text is another form of certificates, or another object.
    #[error("it is {0}, and PEM is wanted: {advice}", advice = .0.advice())]
    Other(Form),
    /// A private key.
    #[error("{place} is a private key; remove it: it does not belong here")]
    PrivateKey {
        /// The block.
        place: Place,
    },
    /// A block of another kind.
    #[error("{place} is `{label}`, which does not belong here")]
    Label {
        /// The block.
        place: Place,
        /// What it is, made printable.
        label: String,
    },
    /// A line with `-----BEGIN` or `-----END` that is not a boundary, or an `END` without its `BEGIN`.
    #[error("line {line}: a PEM boundary must stand alone on its line, and an END must follow its BEGIN")]
    Boundary {
        /// The line.
        line: usize,
    },
    /// The text ends, or another block begins, before a block's end.
    #[error("{place} has no END of its kind")]
    Unterminated {
        /// The block.
        place: Place,
    },
    /// The text between the boundaries is not base64, or too long.
    #[error("{place}: {cause}")]
    Body {
        /// The block.
        place: Place,
        /// What is wrong with it.
        cause: Base64Error,
    },
}

/// A line of the text, by its part in PEM.
enum Line<'a> {
    Begin(&'a [u8]),
    End(&'a [u8]),
    /// Contains a boundary marker and is not a boundary.
    Malformed,
    Other,
}

/// What [`Blocks`] finds.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    /// The next octets of the block that is open.
    Octets(&'a [u8]),
    /// The end of the block.
    End(Place),
    /// The end of a block that is not base64, or too long; its octets must not be used.
    Bad(Place, Base64Error),
}

/// A `CERTIFICATE` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its position.
    pub place: Place,
    /// What it holds.
    pub der: Result<Bytes, Base64Error>,
}

/// Finds the blocks of a text that arrives in pieces. Holds one line of the text, or a part of a long one.
#[derive(Debug)]
pub struct Blocks {
    wanted: &'static Wanted,
    /// Octets of the text.
    length: usize,
    /// Blocks that were begun.
    begun: usize,
    /// The open block.
    open: Option<(Place, Box<Decoder>)>,
    /// The number of the line, counting from 1.
    line: usize,
    /// The received part of an unfinished line.
    rest: Vec<u8>,
    /// Whether the line is longer than the held part.
    long: Long,
}

/// How much of a line was read before its end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Long {
    /// Nothing.
    No,
    /// Most of it.
    Yes,
    /// Most of it, and it ends in blanks, which are allowed only at the end of the line; the first of them.
    Blank(u8),
}

/// The DER of every certificate in `text`, at least one, in order.
pub fn certificates(text: &[u8]) -> Result<Vec<Bytes>, BundleError> {
    let mut found = Vec::new();
    read(text, |place, der| {
        found.push(der.map_err(|cause| BundleError::Body { place, cause })?);
        Ok(())
    })?;
    Ok(found)
}

/// Every `CERTIFICATE` block of `text`, at least one, in order.
pub fn blocks(text: &[u8]) -> Result<Vec<Block>, BundleError> {
    let mut found = Vec::new();
    read(text, |place, der| {
        found.push(Block { place, der });
        Ok(())
    })?;
    Ok(found)
}

fn read(
    text: &[u8],
    mut take: impl FnMut(Place, Result<Bytes, Base64Error>) -> Result<(), BundleError>,
) -> Result<(), BundleError> {
    // Before anything is decoded.
    check_length(text.len(), &CERTIFICATE)?;
    let mut open = Vec::new();
    let mut take = |part: Part<'_>| match part {
        Part::Octets(octets) => {
            open.extend_from_slice(octets);
            Ok(())
        }
        Part::End(place) => take(place, Ok(Bytes::from(std::mem::take(&mut open)))),
        Part::Bad(place, cause) => {
            open.clear();
            take(place, Err(cause))
        }
    };
    let mut blocks = Blocks::new(&CERTIFICATE);
    match blocks.push(text, &mut take).and_then(|()| blocks.finish(&mut take)) {
        Ok(()) => Ok(()),
        Err(error) => Err(named(error, text)),
    }
}

/// The error, or the form of the text if another form than PEM is recognised. A key in PEM already has its own error.
fn named(error: BundleError, text: &[u8]) -> BundleError {
    match (&error, container::recognise(text)) {
        (_, None | Some(Form::Pem)) => error,
        (BundleError::NoCertificate | BundleError::Boundary { .. }, Some(form)) => BundleError::Other(form),
        (BundleError::Label { .. }, Some(Form::Pkcs7)) => BundleError::Other(Form::Pkcs7),
        _ => error,
    }
}

fn check_length(length: usize, wanted: &Wanted) -> Result<(), BundleError> {
    if length > wanted.text { Err(BundleError::TooLong { length, limit: wanted.text }) } else { Ok(()) }
}

impl Blocks {
    /// The CRLs of a text.
    pub fn of_crls() -> Self {
        Self::new(&CRL)
    }

    fn new(wanted: &'static Wanted) -> Self {
        Self { wanted, length: 0, begun: 0, open: None, line: 1, rest: Vec::new(), long: Long::No }
    }

    /// Searches the next piece of the text. After an error, the text must not be used.
    pub fn push<E: From<BundleError>>(
        &mut self,
        mut text: &[u8],
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.length = self.length.saturating_add(text.len());
        check_length(self.length, self.wanted)?;
        while let Some(end) = memchr::memchr(b'\n', text) {
            let (line, next) = text.split_at_checked(end).unwrap_or((text, &[]));
            text = next.get(1..).unwrap_or_default();
            if self.rest.is_empty() && self.long == Long::No {
                self.whole_line(line, take)?;
            } else {
                self.rest.extend_from_slice(line);
                self.last_of_line(take)?;
            }
            self.line = self.line.saturating_add(1);
        }
        for part in text.chunks(MAX_LINE) {
            self.rest.extend_from_slice(part);
            self.spill(take)?;
        }
        Ok(())
    }

    /// Ends the text: no block may be open, and there must have been one.
    pub fn finish<E: From<BundleError>>(mut self, take: &mut impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        self.last_of_line(take)?;
        match self.open {
            Some((place, _)) => Err(BundleError::Unterminated { place }.into()),
            None if self.begun == 0 => Err(self.wanted.none.clone().into()),
            None => Ok(()),
        }
    }

    /// A line whose end has arrived; `rest` is the unread part.
    fn last_of_line<E: From<BundleError>>(
        &mut self,
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rest = std::mem::take(&mut self.rest);
        if self.long == Long::No {
            return self.whole_line(&rest, take);
        }
        self.part_of_line(&rest, &rest, take)?;
        self.long = Long::No;
        Ok(())
    }

    fn whole_line<E: From<BundleError>>(
        &mut self,
        line: &[u8],
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // As if such a line arrived in pieces.
        if line.len() > MAX_LINE && holds_marker(line) {
            return Err(BundleError::Boundary { line: self.line }.into());
        }
        let line = line.trim_ascii_end();
        match (classify(line), self.open.take()) {
            (Line::Begin(label), None) => {
                self.begun = self.begun.saturating_add(1);
                let place = Place { block: self.begun, line: self.line };
                if place.block > self.wanted.blocks {
                    return Err(BundleError::TooMany { limit: self.wanted.blocks }.into());
                }
                check_label(label, self.wanted, place)?;
                self.open = Some((place, Box::new(Decoder::new(self.wanted.der))));
                Ok(())
            }
            (Line::End(label), Some((place, body))) if label == self.wanted.label => match body.finish() {
                Ok(last) => {
                    take(Part::Octets(last.as_slice()))?;
                    take(Part::End(place))
                }
                Err(cause) => take(Part::Bad(place, cause)),
            },
            (Line::Other, Some((place, mut body))) => {
                body.push(line, &mut |octets| take(Part::Octets(octets)))?;
                self.open = Some((place, body));
                Ok(())
            }
            (Line::Other, None) => Ok(()),
            (Line::Begin(_) | Line::End(_), Some((place, _))) => Err(BundleError::Unterminated { place }.into()),
            (Line::End(_) | Line::Malformed, _) => Err(BundleError::Boundary { line: self.line }.into()),
        }
    }

    /// Reads most of a line that is longer than the held part. It is not a boundary, and must not look like one.
    fn spill<E: From<BundleError>>(&mut self, take: &mut impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        let Some(most) = self.rest.len().checked_sub(MARKER).filter(|_| self.rest.len() > MAX_LINE) else {
            return Ok(());
        };
        let rest = std::mem::take(&mut self.rest);
        self.part_of_line(&rest, rest.get(..most).unwrap_or_default(), take)?;
        self.rest.extend_from_slice(rest.get(most..).unwrap_or_default());
        Ok(())
    }

    /// Reads a part of a long line; `seen` is the received part.
    fn part_of_line<E: From<BundleError>>(
        &mut self,
        seen: &[u8],
        part: &[u8],
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if holds_marker(seen) {
            return Err(BundleError::Boundary { line: self.line }.into());
        }
        let written = part.trim_ascii_end();
        let blank = part.get(written.len()).copied();
        if let (Some((_, body)), false) = (&mut self.open, written.is_empty()) {
            let mut take = |octets: &[u8]| take(Part::Octets(octets));
            if let Long::Blank(blank) = self.long {
                // In the middle of a line blanks are not base64, which the body reports.
                body.push(&[blank], &mut take)?;
            }
            body.push(written, &mut take)?;
        }
        self.long = match (blank, self.long) {
            (_, Long::Blank(first)) if written.is_empty() => Long::Blank(first),
            (Some(first), _) => Long::Blank(first),
            (None, _) => Long::Yes,
        };
        Ok(())
    }
}

/// RFC 7468, section 3 allows more in a label, but no kind of PEM block uses it; and a label that a message quotes must
/// not be able to hold a key that lost its line breaks.
fn is_label(label: &[u8]) -> bool {
    label.len() <= 32 && label.iter().all(|octet| matches!(octet, b'A'..=b'Z' | b'0'..=b'9' | b' '))
}

fn classify(line: &[u8]) -> Line<'_> {
    // Nearly all lines: base64 has no such character.
    if memchr::memchr(b'-', line).is_none() {
        return Line::Other;
    }
    let label = |marker| {
        let label = line.strip_prefix(marker).and_then(|rest: &[u8]| rest.strip_suffix(b"-----"));
        label.filter(|label| is_label(label))
    };
    if let Some(label) = label(b"-----BEGIN ".as_slice()) {
        return Line::Begin(label);
    }
    if let Some(label) = label(b"-----END ".as_slice()) {
        return Line::End(label);
    }
    if holds_marker(line) { Line::Malformed } else { Line::Other }
}

/// Whether text contains the start of a boundary.
fn holds_marker(text: &[u8]) -> bool {
    let holds = |marker| memchr::memmem::find(text, marker).is_some();
    holds(b"-----BEGIN".as_slice()) || holds(b"-----END")
}

fn check_label(label: &[u8], wanted: &Wanted, place: Place) -> Result<(), BundleError> {
    if label == wanted.label {
        Ok(())
    } else if label.ends_with(b"PRIVATE KEY") {
        Err(BundleError::PrivateKey { place })
    } else {
        Err(BundleError::Label { place, label: excerpt(label) })
    }
}

#[cfg(test)]
mod tests;
