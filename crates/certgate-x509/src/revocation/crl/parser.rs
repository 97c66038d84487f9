//! CertificateList (RFC 5280 section 5.1), parsed element by element as its octets arrive.
//!
//! The parser buffers only an element whose end has not arrived yet. Elements that occur once are read whole; the list
//! of revoked certificates is read entry by entry.

use bytes::Bytes;

use crate::der::{self, DerError, Reader, Tlv, tag};
use crate::name::Name;
use crate::revocation::distribution::IssuingDistributionPoint;
use crate::revocation::signed::{Signed, SignedPieces};
use crate::time::UnixTime;

use super::entries::{self, Collected};
use super::{Crl, CrlError, CrlExtensions, CrlVersion, MAX_CRL, at};

/// The name of the whole in messages.
const WHOLE: &str = "certificateList";

/// The name of the signed part in messages.
const SIGNED: &str = "tbsCertList";

/// Parses a CRL that arrives in pieces.
#[derive(Debug, Default)]
pub struct CrlParser {
    stage: Stage,
    /// Octets that have arrived and are not parsed yet.
    rest: Vec<u8>,
    /// Octets before `rest`.
    read: usize,
    /// Octets of the whole, up to its end, the signed part's, and that of the list of revoked certificates.
    end: usize,
    signed_end: usize,
    entries_end: usize,
    /// Where the signed part begins.
    signed_start: usize,
    /// Octets after the end.
    trailing: usize,
    /// Octets of the signed part before its algorithm is known.
    unhashed: Vec<u8>,
    pieces: Option<SignedPieces>,
    version: Option<CrlVersion>,
    algorithm: Vec<u8>,
    issuer: Option<Name>,
    this_update: Option<UnixTime>,
    next_update: Option<UnixTime>,
    collected: Collected,
    extensions: CrlExtensions,
    signature: Vec<u8>,
}

/// The next element to read. Optional elements may be absent.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    CertificateList,
    TbsCertList,
    Version,
    Signature,
    Issuer,
    ThisUpdate,
    NextUpdate,
    RevokedCertificates,
    Entry,
    CrlExtensions,
    SignatureAlgorithm,
    SignatureValue,
    /// Everything has been read.
    Nothing,
    /// The octets are no CRL.
    Failed,
}

/// What one step has read.
enum Progress {
    /// This many octets were read.
    Read(usize),
    /// The next element has not arrived whole.
    Wait,
}

impl CrlParser {
    /// Parses the next octets. After an error every further call fails.
    pub fn push(&mut self, octets: &[u8]) -> Result<(), CrlError> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(octets);
        let read = self.read_from(&rest).inspect_err(|_| self.stage = Stage::Failed)?;
        // The octets from the start of the signed part up to its end.
        let from = self.signed_start.saturating_sub(self.read);
        let to = self.signed_end.saturating_sub(self.read).min(read);
        self.hash(rest.get(from..to).unwrap_or_default());
        rest.drain(..read);
        self.read = self.read.saturating_add(read);
        if self.stage == Stage::Nothing {
            self.trailing = self.trailing.saturating_add(rest.len());
            rest.clear();
        }
        self.rest = rest;
        Ok(())
    }

    /// The CRL; an error if octets are missing or follow its end.
    pub fn finish(self) -> Result<Crl, CrlError> {
        if self.stage != Stage::Nothing {
            return Err(at(WHOLE)(DerError::Truncated));
        }
        if self.trailing > 0 {
            return Err(at(WHOLE)(DerError::TrailingData(self.trailing)));
        }
        let (Some(issuer), Some(this_update), Some(pieces)) = (self.issuer, self.this_update, self.pieces) else {
            return Err(at(WHOLE)(DerError::Truncated));
        };
        let point = self.extensions.issuing_point.as_ref();
        let kind = entries::Kind {
            indirect: point.is_some_and(IssuingDistributionPoint::is_indirect),
            delta: self.extensions.base.is_some(),
        };
        let entries = self.collected.finish(kind)?;
        let signed = Signed::new(&self.algorithm, &self.signature, pieces.finish());
        Ok(Crl { issuer, this_update, next_update: self.next_update, extensions: self.extensions, entries, signed })
    }

    /// Reads the elements that `rest` holds whole, and returns how many octets they have.
    fn read_from(&mut self, rest: &[u8]) -> Result<usize, CrlError> {
        let mut read = 0_usize;
        while self.stage != Stage::Nothing {
            let octets = rest.get(read..).unwrap_or_default();
            let position = self.read.saturating_add(read);
            match self.step(Window { octets, position, room: usize::MAX })? {
                Progress::Read(octets) => read = read.saturating_add(octets),
                Progress::Wait => break,
            }
        }
        Ok(read)
    }

    fn step(&mut self, here: Window<'_>) -> Result<Progress, CrlError> {
        match self.stage {
            Stage::CertificateList => {
                let Some((header, length)) = here.open().map_err(at(WHOLE))? else { return Ok(Progress::Wait) };
                self.end = header.saturating_add(length);
                if self.end > MAX_CRL {
                    return Err(CrlError::TooLong(self.end));
                }
                Ok(self.then(Stage::TbsCertList, header))
            }
            Stage::TbsCertList => {
                let opened = here.until(self.end).open().map_err(at(SIGNED))?;
                let Some((header, length)) = opened else { return Ok(Progress::Wait) };
                self.signed_start = here.position;
                self.signed_end = here.position.saturating_add(header).saturating_add(length);
                Ok(self.then(Stage::Version, header))
            }
            Stage::Version => self.optional(here, &[tag::INTEGER], "version", Stage::Signature, |parser, tlv| {
                parser.version = Some(match tlv {
                    None => CrlVersion::V1,
                    Some(tlv) => match der::small_unsigned(tlv.content).map_err(at("version"))? {
                        1 => CrlVersion::V2,
                        other => return Err(CrlError::Version(other)),
                    },
                });
                Ok(())
            }),
            Stage::Signature => self.element(here, Some(tag::SEQUENCE), "signature", Stage::Issuer, |parser, tlv| {
                der::check(tlv.whole).map_err(at("signature"))?;
                parser.algorithm = tlv.whole.to_vec();
                parser.pieces = Some(SignedPieces::new(tlv.whole));
                Ok(())
            }),
            Stage::Issuer => self.element(here, Some(tag::SEQUENCE), "issuer", Stage::ThisUpdate, |parser, tlv| {
                let issuer = Name::from_der(Bytes::copy_from_slice(tlv.whole)).map_err(CrlError::Issuer)?;
                if issuer.is_empty() {
                    return Err(CrlError::EmptyIssuer);
                }
                parser.issuer = Some(issuer);
                Ok(())
            }),
            Stage::ThisUpdate => self.element(here, None, "thisUpdate", Stage::NextUpdate, |parser, tlv| {
                parser.this_update = Some(der::time(tlv).map_err(at("thisUpdate"))?);
                Ok(())
            }),
            Stage::NextUpdate => {
                let times = [tag::UTC_TIME, tag::GENERALIZED_TIME];
                self.optional(here, &times, "nextUpdate", Stage::RevokedCertificates, |parser, tlv| {
                    parser.next_update = tlv.map(der::time).transpose().map_err(at("nextUpdate"))?;
                    match (parser.this_update, parser.next_update) {
                        (Some(this_update), Some(next_update)) if next_update < this_update => {
                            Err(CrlError::Updates { this_update, next_update })
                        }
                        _ => Ok(()),
                    }
                })
            }
            Stage::RevokedCertificates => {
                let here = here.until(self.signed_end);
                match here.octets.first() {
                    None if here.room > 0 => return Ok(Progress::Wait),
                    Some(&tag::SEQUENCE) => {}
                    _ => return Ok(self.then(Stage::CrlExtensions, 0)),
                }
                let opened = here.open().map_err(at(entries::FIELD))?;
                let Some((header, length)) = opened else { return Ok(Progress::Wait) };
                // 5.1.2.6: without revoked certificates the list is absent.
                if length == 0 {
                    return Err(at(entries::FIELD)(DerError::Empty));
                }
                self.entries_end = here.position.saturating_add(header).saturating_add(length);
                Ok(self.then(Stage::Entry, header))
            }
            Stage::Entry => self.entries(here),
            Stage::CrlExtensions => {
                let explicit = [tag::context_constructed(0)];
                self.optional(here, &explicit, "crlExtensions", Stage::SignatureAlgorithm, |parser, tlv| {
                    match (tlv, parser.version, &parser.issuer) {
                        (None, ..) => Ok(()),
                        (Some(tlv), Some(CrlVersion::V2), Some(issuer)) => {
                            parser.extensions = CrlExtensions::parse(tlv.content, issuer)?;
                            Ok(())
                        }
                        (Some(_), ..) => Err(CrlError::NotInVersion1("crlExtensions")),
                    }
                })
            }
            Stage::SignatureAlgorithm => {
                if let Some(trailing @ 1..) = self.signed_end.checked_sub(here.position) {
                    return Err(at(SIGNED)(DerError::TrailingData(trailing)));
                }
                let field = "signatureAlgorithm";
                self.element(here, Some(tag::SEQUENCE), field, Stage::SignatureValue, |parser, tlv| {
                    // RFC 5280 5.1.1.2 and 5.1.2.2: both fields hold the same algorithm identifier.
                    if parser.algorithm == tlv.whole { Ok(()) } else { Err(CrlError::AlgorithmMismatch) }
                })
            }
            Stage::SignatureValue => {
                let field = "signatureValue";
                let step = self.element(here, Some(tag::BIT_STRING), field, Stage::Nothing, |parser, tlv| {
                    parser.signature = Reader::new(tlv.whole).bit_string_octets().map_err(at(field))?.to_vec();
                    Ok(())
                })?;
                if let Progress::Read(octets) = step
                    && let Some(trailing @ 1..) = self.end.checked_sub(here.position.saturating_add(octets))
                {
                    return Err(at(WHOLE)(DerError::TrailingData(trailing)));
                }
                Ok(step)
            }
            Stage::Nothing => Ok(Progress::Wait),
            Stage::Failed => Err(at(WHOLE)(DerError::Truncated)),
        }
    }

    /// Reads the entries that have arrived.
    fn entries(&mut self, here: Window<'_>) -> Result<Progress, CrlError> {
        let mut read = 0_usize;
        loop {
            let position = here.position.saturating_add(read);
            if position == self.entries_end {
                return Ok(self.then(Stage::CrlExtensions, read));
            }
            let window = Window { octets: here.octets.get(read..).unwrap_or_default(), position, ..here };
            let element = window.until(self.entries_end).element().map_err(at(entries::FIELD))?;
            let Some(tlv) = element else { return Ok(if read == 0 { Progress::Wait } else { Progress::Read(read) }) };
            if tlv.tag != tag::SEQUENCE {
                return Err(at(entries::FIELD)(DerError::UnexpectedTag { wanted: tag::SEQUENCE, found: tlv.tag }));
            }
            if let (Some(issuer), Some(version)) = (&self.issuer, self.version) {
                self.collected.take(&tlv, issuer, version)?;
            }
            read = read.saturating_add(tlv.whole.len());
        }
    }

    /// Reads a required element, of the tag `wanted` if there is one.
    fn element(
        &mut self,
        here: Window<'_>,
        wanted: Option<u8>,
        field: &'static str,
        next: Stage,
        take: impl FnOnce(&mut Self, Tlv<'_>) -> Result<(), CrlError>,
    ) -> Result<Progress, CrlError> {
        let is_signed = !matches!(self.stage, Stage::SignatureAlgorithm | Stage::SignatureValue);
        let here = here.until(if is_signed { self.signed_end } else { self.end });
        if let (Some(found), Some(wanted)) = (here.octets.first(), wanted)
            && *found != wanted
        {
            return Err(at(field)(DerError::UnexpectedTag { wanted, found: *found }));
        }
        let Some(tlv) = here.element().map_err(at(field))? else { return Ok(Progress::Wait) };
        take(self, tlv)?;
        Ok(self.then(next, tlv.whole.len()))
    }

    /// Reads an element of the signed part if it has one of the tags.
    fn optional(
        &mut self,
        here: Window<'_>,
        tags: &[u8],
        field: &'static str,
        next: Stage,
        take: impl FnOnce(&mut Self, Option<Tlv<'_>>) -> Result<(), CrlError>,
    ) -> Result<Progress, CrlError> {
        let window = here.until(self.signed_end);
        let is_there = match window.octets.first() {
            None if window.room > 0 => return Ok(Progress::Wait),
            None => false,
            Some(found) => tags.contains(found),
        };
        if is_there {
            return self.element(here, None, field, next, |parser, tlv| take(parser, Some(tlv)));
        }
        take(self, None)?;
        Ok(self.then(next, 0))
    }

    fn then(&mut self, next: Stage, octets: usize) -> Progress {
        self.stage = next;
        Progress::Read(octets)
    }

    /// Adds octets of the signed part to its digest.
    fn hash(&mut self, octets: &[u8]) {
        match &mut self.pieces {
            None => self.unhashed.extend_from_slice(octets),
            Some(pieces) => {
                pieces.push(&std::mem::take(&mut self.unhashed));
                pieces.push(octets);
            }
        }
    }
}

/// Octets that have arrived and are not parsed yet.
#[derive(Copy, Clone)]
struct Window<'a> {
    octets: &'a [u8],
    /// Octets before them.
    position: usize,
    /// Octets up to the end of the enclosing element, including those that have not arrived.
    room: usize,
}

impl<'a> Window<'a> {
    /// The window limited to the element that ends at position `end`.
    fn until(self, end: usize) -> Self {
        let room = end.saturating_sub(self.position);
        Self { octets: self.octets.get(..room).unwrap_or(self.octets), room, ..self }
    }

    /// The next element, if it has arrived whole.
    fn element(self) -> Result<Option<Tlv<'a>>, DerError> {
        match Reader::new(self.octets).any() {
            Ok(tlv) => Ok(Some(tlv)),
            Err(DerError::Truncated) if self.octets.len() < self.room => match der::header(self.octets) {
                Ok((_, header, length)) if header.saturating_add(length) > self.room => Err(DerError::Truncated),
                _ => Ok(None),
            },
            Err(error) => Err(error),
        }
    }

    /// Lengths of the header and the content of a SEQUENCE that is read element by element, if its header has arrived.
    fn open(self) -> Result<Option<(usize, usize)>, DerError> {
        if let Some(found) = self.octets.first().filter(|found| **found != tag::SEQUENCE) {
            return Err(DerError::UnexpectedTag { wanted: tag::SEQUENCE, found: *found });
        }
        match der::header(self.octets) {
            Ok((_, header, length)) if header.saturating_add(length) > self.room => Err(DerError::Truncated),
            Ok((_, header, length)) => Ok(Some((header, length))),
            Err(DerError::Truncated) if self.octets.len() < self.room => Ok(None),
            Err(error) => Err(error),
        }
    }
}
