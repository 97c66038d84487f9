//! Certificate revocation lists (RFC 5280 section 5): parsed once, strictly, into a compact value.
//!
//! A [`Crl`] is well-formed and holds nothing critical that certgate cannot process. It is not yet known who signed it,
//! whether it is current, or which certificates it covers; [`super::check`] decides that.
//!
//! The parser reads the list as a stream ([`CrlParser`]): the list arrives in pieces, every element is read once, and
//! the parser keeps only the table of serial numbers ([`super::serials`]) and the digest of the signed part. It is
//! strict where another parser could read a different list: DER, no trailing octets, no duplicate extension, v1 without
//! extensions, both algorithm fields equal. It accepts some deviations that RFC 5280 forbids issuers: a missing
//! nextUpdate (the profile's `maxAge` then applies), a missing CRLNumber in a list without authorityKeyIdentifier
//! (lists from before the profile have neither), GeneralizedTime before 2050, serial numbers that no certificate here
//! can have (negative, or longer than 20 octets; PKITS 4.4.14 requires it).

mod entries;
mod parser;

use std::fmt;

use thiserror::Error;

use crate::der::{self, DerError, Reader, Tlv, tag};
use crate::encoding::excerpt::shortened;
use crate::general_name::GeneralNameError;
use crate::limits::MAX_CRL;
use crate::name::{Name, NameError};
use crate::oid::Oid;
use crate::path::signature::{SignatureError, SignaturePolicy};
use crate::time::UnixTime;

use super::distribution::{self, IdpError, IssuingDistributionPoint};
use super::serials::RevocationEntry;
use super::signed::Signed;

use entries::Entries;

pub use parser::CrlParser;

/// Octets that the parser gets at once.
const PIECE_OCTETS: usize = 64 << 10;

/// RFC 5280 5.2.3: CRL numbers have at most 20 octets.
const MAX_CRL_NUMBER_OCTETS: usize = 20;

/// Extensions of one CRL. Real ones have up to six.
const MAX_CRL_EXTENSIONS: usize = 64;

/// Content octets of the extension types that are processed.
mod id {
    pub(super) const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
    pub(super) const DELTA_CRL_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
    pub(super) const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
    pub(super) const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];
    pub(super) const FRESHEST_CRL: &[u8] = &[0x55, 0x1d, 46];
}

/// A well-formed CRL.
#[derive(Debug)]
pub struct Crl {
    issuer: Name,
    this_update: UnixTime,
    next_update: Option<UnixTime>,
    extensions: CrlExtensions,
    entries: Entries,
    signed: Signed,
}

/// The extensions of a CRL.
#[derive(Debug, Default)]
struct CrlExtensions {
    number: Option<CrlNumber>,
    base: Option<CrlNumber>,
    issuing_point: Option<IssuingDistributionPoint>,
    /// The whole value; it is used only to compare a delta CRL with its base.
    authority_key_identifier: Option<Box<[u8]>>,
}

/// A CRL number: not negative, of at most 20 octets.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrlNumber([u8; MAX_CRL_NUMBER_OCTETS]);

/// Why bytes are not a CRL that certgate can use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CrlError {
    /// Longer than [`MAX_CRL`].
    #[error("CRL of {0} octets: at most {MAX_CRL} are parsed")]
    TooLong(usize),
    /// The encoding is not DER, or not of the expected type.
    #[error("{field}: {source}")]
    Der {
        /// The field of the CRL.
        field: &'static str,
        /// What is wrong with it.
        source: DerError,
    },
    /// A version other than 1 and 2, or an encoded v1.
    #[error("version {0} is not 1 (v2); v1 is not encoded")]
    Version(u32),
    /// Extensions in a v1 CRL.
    #[error("{0} in a CRL of version 1")]
    NotInVersion1(&'static str),
    /// The signature algorithms outside and inside the signed part differ.
    #[error("the signature algorithm outside the signed part is not the one inside")]
    AlgorithmMismatch,
    /// The issuer is malformed.
    #[error("issuer: {0}")]
    Issuer(NameError),
    /// RFC 5280 5.1.2.3: the issuer is not empty.
    #[error("the issuer is empty")]
    EmptyIssuer,
    /// nextUpdate is before thisUpdate.
    #[error("thisUpdate {this_update} is after nextUpdate {next_update}")]
    Updates {
        /// thisUpdate.
        this_update: UnixTime,
        /// nextUpdate.
        next_update: UnixTime,
    },
    /// RFC 5280 5.2: a critical extension that is not processed makes the CRL unusable.
    #[error("critical extension {0} is not supported")]
    UnknownCriticalExtension(Oid),
    /// RFC 5280 5.3: so does a critical extension of an entry.
    #[error("critical extension {oid} of the entry for serial number {serial} is not supported")]
    UnknownCriticalEntryExtension {
        /// Its type.
        oid: Oid,
        /// The entry, hexadecimal.
        serial: String,
    },
    /// RFC 5280 5.2: an extension appears twice.
    #[error("extension {0} appears twice")]
    DuplicateExtension(Oid),
    /// Too many extensions of a CRL or of an entry.
    #[error("more extensions than a CRL ({MAX_CRL_EXTENSIONS}) or an entry has")]
    TooManyExtensions,
    /// RFC 5280 5.2.1, 5.2.3, 5.2.6: these extensions are not critical.
    #[error("extension {0} is critical, which it may not be")]
    Critical(Oid),
    /// RFC 5280 5.2.3: a CRL number has at most 20 octets and is not negative.
    #[error("CRL number of {0} octets or negative: at most {MAX_CRL_NUMBER_OCTETS} octets")]
    Number(usize),
    /// RFC 5280 5.2.3: conforming CRLs have a number; without one, two CRLs cannot be ordered.
    #[error("no CRLNumber in a CRL with {0}")]
    NoNumber(&'static str),
    /// issuingDistributionPoint is malformed.
    #[error("issuingDistributionPoint: {0}")]
    IssuingDistributionPoint(#[from] IdpError),
    /// A certificateIssuer is malformed.
    #[error("certificateIssuer: {0}")]
    CertificateIssuer(GeneralNameError),
    /// RFC 5280 5.3.3: certificateIssuer appears in indirect CRLs only.
    #[error("certificateIssuer in a CRL that is not indirect (entry for serial number {0})")]
    NotIndirect(String),
    /// RFC 5280 5.3.1: a reason is one of the ten that are defined, and removeFromCRL appears in delta CRLs only.
    #[error("reason code {code} does not belong in the entry for serial number {serial}")]
    Reason {
        /// The code.
        code: u8,
        /// The entry, hexadecimal.
        serial: String,
    },
    /// Two entries are for one certificate, and RFC 5280 does not define which one applies.
    #[error("serial number {0} is listed twice")]
    DuplicateEntry(String),
}

impl Crl {
    /// Parses one CRL; rejects trailing octets.
    pub fn from_der(der: impl AsRef<[u8]>) -> Result<Self, CrlError> {
        let der = der.as_ref();
        if der.len() > MAX_CRL {
            return Err(CrlError::TooLong(der.len()));
        }
        let mut parser = CrlParser::default();
        der.chunks(PIECE_OCTETS).try_for_each(|piece| parser.push(piece))?;
        parser.finish()
    }

    /// The issuer.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// thisUpdate: when it was made.
    pub fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// nextUpdate: when the next CRL is issued at the latest.
    pub fn next_update(&self) -> Option<UnixTime> {
        self.next_update
    }

    /// CRLNumber.
    pub fn number(&self) -> Option<CrlNumber> {
        self.extensions.number
    }

    /// BaseCRLNumber: present exactly in delta CRLs.
    pub fn base_number(&self) -> Option<CrlNumber> {
        self.extensions.base
    }

    /// issuingDistributionPoint.
    pub fn issuing_distribution_point(&self) -> Option<&IssuingDistributionPoint> {
        self.extensions.issuing_point.as_ref()
    }

    /// The value of authorityKeyIdentifier.
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.extensions.authority_key_identifier.as_deref()
    }

    /// The number of entries, without those for serial numbers that no certificate can have.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry for the certificate with this `issuer` and serial number, a magnitude without leading zero octets.
    #[inline]
    pub fn entry(&self, issuer: &Name, serial: &[u8]) -> Option<RevocationEntry> {
        self.entries.get(&self.issuer, issuer, serial)
    }

    /// Verifies its signature by the key in the DER SubjectPublicKeyInfo `spki`. The CRL caches the outcome, so that a
    /// second call with the same key costs a comparison.
    pub fn verify(&self, spki: &[u8], policy: &SignaturePolicy) -> Result<(), SignatureError> {
        self.signed.verify(spki, policy)
    }

    /// Whether the outcome of verifying it by this key is cached.
    pub(super) fn has_tried(&self, spki: &[u8], policy: &SignaturePolicy) -> bool {
        self.signed.has_tried(spki, policy)
    }

    /// How many octets a verification hashes: none if the digest is kept.
    pub(super) fn signed_octets(&self) -> usize {
        self.signed.octets()
    }

    /// Whether both CRLs cover the same certificates and reasons: they have one issuer and key, and one issuing
    /// distribution point. A delta CRL has the scope of the CRL that it completes.
    pub fn has_scope_of(&self, other: &Crl) -> bool {
        self.issuer == other.issuer
            && self.extensions.authority_key_identifier == other.extensions.authority_key_identifier
            && self.extensions.issuing_point == other.extensions.issuing_point
    }

    /// Whether both are the same CRL: of one scope, time and signature.
    pub(super) fn is_same(&self, other: &Crl) -> bool {
        std::ptr::eq(self, other)
            || (self.has_scope_of(other)
                && self.this_update == other.this_update
                && self.signed.signature() == other.signed.signature())
    }

    /// Whether both CRLs, of one issuer, could apply to the same certificate, whichever keys signed them.
    pub(super) fn overlaps(&self, other: &Crl) -> bool {
        match (&self.extensions.issuing_point, &other.extensions.issuing_point) {
            (Some(one), Some(other)) => one.overlaps(other),
            _ => true,
        }
    }

    /// The octets of memory that it occupies, roughly.
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            .saturating_add(self.entries.memory())
            .saturating_add(self.signed.memory())
            .saturating_add(self.issuer.der().len().saturating_mul(3))
    }
}

/// Issuer, number and date, which distinguish CRLs in a log.
impl fmt::Display for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.base_number().is_some() { "delta CRL" } else { "CRL" };
        write!(f, "{kind} of [{}]", shortened(self.issuer.to_rfc4514()))?;
        if let Some(number) = self.number() {
            write!(f, " number {number}")?;
        }
        write!(f, " from {}", self.this_update)
    }
}

/// The version that a CRL declares.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum CrlVersion {
    V1,
    V2,
}

fn at(field: &'static str) -> impl FnOnce(DerError) -> CrlError {
    move |source| CrlError::Der { field, source }
}

/// One extension of a CRL or of an entry.
struct CrlExtension<'a> {
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> CrlExtension<'a> {
    fn read(list: &mut Reader<'a>) -> Result<Self, DerError> {
        let mut one = list.nested(tag::SEQUENCE)?;
        let oid = one.oid()?;
        let critical = match one.optional(tag::BOOLEAN)? {
            None => false,
            // X.690 11.5: the default value is not encoded.
            Some(tlv) if der::boolean(tlv.content)? => true,
            Some(_) => return Err(DerError::BadBoolean),
        };
        let value = one.expect(tag::OCTET_STRING)?.content;
        one.finish()?;
        Ok(Self { oid, critical, value })
    }

    fn name(&self) -> Oid {
        Oid::from_content(self.oid)
    }
}

impl CrlExtensions {
    fn parse(explicit: &[u8], issuer: &Name) -> Result<Self, CrlError> {
        let field = at("crlExtensions");
        let mut list = Reader::new(der::exactly(explicit, tag::SEQUENCE).map_err(field)?.content);
        if list.is_empty() {
            return Err(at("crlExtensions")(DerError::Empty));
        }
        let mut out = Self::default();
        let mut seen: Vec<&[u8]> = Vec::with_capacity(8);
        while !list.is_empty() {
            let extension = CrlExtension::read(&mut list).map_err(at("crlExtensions"))?;
            if seen.contains(&extension.oid) {
                return Err(CrlError::DuplicateExtension(extension.name()));
            }
            if seen.len() >= MAX_CRL_EXTENSIONS {
                return Err(CrlError::TooManyExtensions);
            }
            seen.push(extension.oid);
            out.take(&extension, issuer)?;
        }
        // 5.2.3: every CRL has a number. Lists from before the profile have neither a number nor a key identifier.
        match (out.number, out.base, &out.authority_key_identifier) {
            (None, Some(_), _) => Err(CrlError::NoNumber("deltaCRLIndicator")),
            (None, _, Some(_)) => Err(CrlError::NoNumber("authorityKeyIdentifier")),
            _ => Ok(out),
        }
    }

    fn take(&mut self, extension: &CrlExtension<'_>, issuer: &Name) -> Result<(), CrlError> {
        let never_critical = [id::CRL_NUMBER, id::AUTHORITY_KEY_IDENTIFIER, id::FRESHEST_CRL].contains(&extension.oid);
        if extension.critical && never_critical {
            return Err(CrlError::Critical(extension.name()));
        }
        match extension.oid {
            id::CRL_NUMBER => self.number = Some(CrlNumber::parse(extension.value, "CRLNumber")?),
            id::DELTA_CRL_INDICATOR => self.base = Some(CrlNumber::parse(extension.value, "deltaCRLIndicator")?),
            id::ISSUING_DISTRIBUTION_POINT => {
                self.issuing_point = Some(IssuingDistributionPoint::parse(extension.value, issuer)?);
            }
            id::AUTHORITY_KEY_IDENTIFIER => {
                let field = "authorityKeyIdentifier";
                der::check(extension.value).map_err(at(field))?;
                der::exactly(extension.value, tag::SEQUENCE).map_err(at(field))?;
                self.authority_key_identifier = Some(extension.value.into());
            }
            id::FRESHEST_CRL => {
                // Locations of newer delta CRLs; offline, only available CRLs are used.
                for point in distribution::points(extension.value).map_err(at("freshestCRL"))? {
                    point.map_err(at("freshestCRL"))?;
                }
            }
            _ if extension.critical => return Err(CrlError::UnknownCriticalExtension(extension.name())),
            _ => {}
        }
        Ok(())
    }
}

impl CrlNumber {
    fn parse(value: &[u8], field: &'static str) -> Result<Self, CrlError> {
        let Tlv { content, .. } = der::exactly(value, tag::INTEGER).map_err(at(field))?;
        Reader::new(value).integer().map_err(at(field))?;
        let magnitude = match content {
            [0, rest @ ..] => rest,
            other => other,
        };
        let mut number = [0; MAX_CRL_NUMBER_OCTETS];
        let start =
            MAX_CRL_NUMBER_OCTETS.checked_sub(magnitude.len()).filter(|_| content.first().is_none_or(|o| *o < 0x80));
        let slot = start.and_then(|start| number.get_mut(start..)).ok_or(CrlError::Number(content.len()))?;
        slot.copy_from_slice(magnitude);
        Ok(Self(number))
    }
}

/// Decimal up to 128 bits, as CAs count; hexadecimal beyond.
impl fmt::Display for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_first_chunk::<4>() {
            Some(([0, 0, 0, 0], low)) => {
                let value = low.iter().fold(0_u128, |n, octet| (n << 8) | u128::from(*octet));
                value.fmt(f)
            }
            _ => {
                f.write_str("0x")?;
                self.0.iter().skip_while(|octet| **octet == 0).try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }
    }
}

impl fmt::Debug for CrlNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CrlNumber({self})")
    }
}
