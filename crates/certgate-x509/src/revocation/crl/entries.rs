//! revokedCertificates (RFC 5280 sections 5.1.2.6 and 5.3): each entry is read once, as it arrives, and added to the
//! table. Rules that depend on the extensions of the CRL, which come last, are checked at the end.

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::der::{self, DerError, Reader, Tlv, tag};
use crate::general_name::GeneralNameError;
use crate::name::Name;
use crate::revocation::reason::CrlReason;
use crate::revocation::serials::{Duplicate, Records, RevocationEntry, Serials, magnitude};
use crate::time::UnixTime;

use super::{CrlError, CrlExtension, CrlVersion, at};

/// The name of the list in messages.
pub(super) const FIELD: &str = "revokedCertificates";

/// Extensions of one entry. Three are defined.
const MAX_ENTRY_EXTENSIONS: usize = 8;

/// RFC 5280 5.3.1.
const REMOVE_FROM_CRL: u8 = 8;

/// Content octets of the entry extension types that are processed.
mod id {
    pub(super) const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
    pub(super) const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
    pub(super) const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];
}

/// Properties of the entries from the extensions of the CRL, which come after the entries.
#[derive(Copy, Clone, Debug)]
pub(super) struct Kind {
    pub(super) indirect: bool,
    pub(super) delta: bool,
}

/// Numbers of certificate issuers by their canonical names.
type Issuing = hashbrown::HashMap<Box<[u8]>, u32, RandomState>;

/// The entries of one CRL.
#[derive(Debug)]
pub(super) struct Entries {
    /// Empty when all certificates are the CRL issuer's, which has the number 0.
    issuers: Issuing,
    serials: Serials,
}

/// The entries that have been read.
#[derive(Debug, Default)]
pub(super) struct Collected {
    issuers: Issuing,
    /// The number of the certificate issuer of the next entry.
    issuer: u32,
    records: Records,
    /// The serial number of an entry with certificateIssuer.
    of_another: Option<Box<[u8]>>,
    /// The serial number of an entry with removeFromCRL.
    removing: Option<Box<[u8]>>,
}

/// An entry as encoded in the list.
struct Parsed<'a> {
    /// Content octets of the INTEGER.
    serial: &'a [u8],
    date: UnixTime,
    reason: Option<CrlReason>,
    certificate_issuer: Option<&'a [u8]>,
}

impl Collected {
    /// Reads the next entry of the CRL that `issuer` made.
    pub(super) fn take(&mut self, entry: &Tlv<'_>, issuer: &Name, version: CrlVersion) -> Result<(), CrlError> {
        let entry = Parsed::read(entry, version)?;
        if let Some(names) = entry.certificate_issuer {
            let name = certificate_issuer(names)?;
            if self.issuers.is_empty() {
                self.issuers.insert(issuer.canonical().into(), 0);
            }
            let fresh = u32::try_from(self.issuers.len()).unwrap_or(u32::MAX);
            self.issuer = *self.issuers.entry(name.canonical().into()).or_insert(fresh);
            self.of_another.get_or_insert_with(|| entry.serial.into());
        }
        if entry.reason == Some(CrlReason::RemoveFromCrl) {
            self.removing.get_or_insert_with(|| entry.serial.into());
        }
        // Serial numbers that no certificate can have are not kept.
        if let Some(magnitude) = magnitude(entry.serial) {
            self.records.push(self.issuer, magnitude, RevocationEntry { date: entry.date, reason: entry.reason });
        }
        Ok(())
    }

    /// The entries, in a CRL of this kind.
    pub(super) fn finish(self, kind: Kind) -> Result<Entries, CrlError> {
        if let (Some(serial), false) = (&self.of_another, kind.indirect) {
            return Err(CrlError::NotIndirect(hexadecimal(serial)));
        }
        if let (Some(serial), false) = (&self.removing, kind.delta) {
            return Err(CrlError::Reason { code: REMOVE_FROM_CRL, serial: hexadecimal(serial) });
        }
        let serials =
            self.records.into_table().map_err(|Duplicate(serial)| CrlError::DuplicateEntry(hexadecimal(&serial)))?;
        Ok(Entries { issuers: self.issuers, serials })
    }
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.serials.len()
    }

    pub(super) fn memory(&self) -> usize {
        let names: usize = self.issuers.keys().map(|name| name.len().saturating_add(32)).sum();
        self.serials.memory().saturating_add(names)
    }

    #[inline]
    pub(super) fn get(&self, crl_issuer: &Name, issuer: &Name, serial: &[u8]) -> Option<RevocationEntry> {
        let number = if self.issuers.is_empty() {
            if crl_issuer != issuer {
                return None;
            }
            0
        } else {
            *self.issuers.get(issuer.canonical())?
        };
        self.serials.get(number, serial)
    }
}

impl<'a> Parsed<'a> {
    fn read(whole: &Tlv<'a>, version: CrlVersion) -> Result<Self, CrlError> {
        let mut fields = Reader::new(whole.content);
        let serial = fields.integer().map_err(at(FIELD))?;
        let date = fields.any().and_then(der::time).map_err(at("revocationDate"))?;
        let mut entry = Self { serial, date, reason: None, certificate_issuer: None };
        if !fields.is_empty() {
            let mut extensions = fields.nested(tag::SEQUENCE).map_err(at("crlEntryExtensions"))?;
            fields.finish().map_err(at(FIELD))?;
            // 5.1.2.6: entry extensions only in v2.
            if version == CrlVersion::V1 {
                return Err(CrlError::NotInVersion1("crlEntryExtensions"));
            }
            if extensions.is_empty() {
                return Err(at("crlEntryExtensions")(DerError::Empty));
            }
            entry.extensions(&mut extensions)?;
        }
        Ok(entry)
    }

    fn extensions(&mut self, list: &mut Reader<'a>) -> Result<(), CrlError> {
        // An entry has one to three; the types met are compared pairwise.
        let mut seen: [&[u8]; MAX_ENTRY_EXTENSIONS] = [&[]; MAX_ENTRY_EXTENSIONS];
        let mut count = 0_usize;
        while !list.is_empty() {
            let extension = CrlExtension::read(list).map_err(at("crlEntryExtensions"))?;
            if seen.iter().take(count).any(|oid| *oid == extension.oid) {
                return Err(CrlError::DuplicateExtension(extension.name()));
            }
            *seen.get_mut(count).ok_or(CrlError::TooManyExtensions)? = extension.oid;
            count = count.saturating_add(1);
            match extension.oid {
                id::REASON_CODE => self.reason = Some(self.reason(extension.value)?),
                id::INVALIDITY_DATE => {
                    // 5.3.2: informational; checked and not kept.
                    der::exactly(extension.value, tag::GENERALIZED_TIME)
                        .and_then(der::time)
                        .map_err(at("invalidityDate"))?;
                }
                id::CERTIFICATE_ISSUER => self.certificate_issuer = Some(extension.value),
                _ if extension.critical => {
                    let oid = extension.name();
                    return Err(CrlError::UnknownCriticalEntryExtension { oid, serial: self.name() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn reason(&self, value: &[u8]) -> Result<CrlReason, CrlError> {
        let code = match der::exactly(value, tag::ENUMERATED).map_err(at("reasonCode"))?.content {
            [code] => *code,
            [] => return Err(at("reasonCode")(DerError::BadInteger)),
            _ => u8::MAX,
        };
        CrlReason::from_code(code).ok_or_else(|| CrlError::Reason { code, serial: self.name() })
    }

    fn name(&self) -> String {
        hexadecimal(self.serial)
    }
}

/// 5.3.3: the issuer field of the certificate, a directory name.
fn certificate_issuer(value: &[u8]) -> Result<Name, CrlError> {
    let malformed = |source: DerError| CrlError::CertificateIssuer(GeneralNameError::Der(source));
    let mut names = Reader::new(der::exactly(value, tag::SEQUENCE).map_err(malformed)?.content);
    let name = names.expect(tag::context_constructed(4)).map_err(malformed)?;
    names.finish().map_err(malformed)?;
    Name::from_der(Bytes::copy_from_slice(name.content))
        .map_err(|source| CrlError::CertificateIssuer(GeneralNameError::Name(source)))
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().take(64).map(|octet| format!("{octet:02x}")).collect()
}
