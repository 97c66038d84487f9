//! revokedCertificates (RFC 5280 sections 5.1.2.6 and 5.3): validated in one pass, put into the table in a second.

use bytes::Bytes;
use foldhash::fast::RandomState;

use crate::domain::der::{self, DerError, Reader, tag};
use crate::domain::general_name::GeneralNameError;
use crate::domain::name::Name;
use crate::domain::revocation::reason::CrlReason;
use crate::domain::revocation::serials::{Duplicate, Entry, Issuers, Serials, magnitude};
use crate::domain::time::UnixTime;

use super::{CrlError, Extension, Version, at};

const FIELD: &str = "revokedCertificates";

/// Extensions of one entry. Three are defined.
const MAX_ENTRY_EXTENSIONS: usize = 8;

/// Content octets of the entry extension types that are processed.
mod id {
    pub(super) const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
    pub(super) const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];
    pub(super) const CERTIFICATE_ISSUER: &[u8] = &[0x55, 0x1d, 29];
}

/// What the rest of the CRL says about its entries.
#[derive(Copy, Clone, Debug)]
pub(super) struct Kind {
    pub(super) version: Version,
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
    serials: Option<Serials>,
}

/// An entry as it stands in the list.
struct Parsed<'a> {
    /// Content octets of the INTEGER.
    serial: &'a [u8],
    date: UnixTime,
    reason: Option<CrlReason>,
    certificate_issuer: Option<&'a [u8]>,
}

impl Entries {
    pub(super) fn none() -> Self {
        Self { issuers: Issuing::default(), serials: None }
    }

    /// Reads the content of revokedCertificates.
    pub(super) fn parse(list: &[u8], issuer: &Name, kind: Kind) -> Result<Self, CrlError> {
        // 5.1.2.6: without revoked certificates the list is absent.
        if list.is_empty() {
            return Err(at(FIELD)(DerError::Empty));
        }
        // The shortest entry, a serial number of one octet and a UTCTime, has 20 octets.
        let mut starts: Vec<u32> = Vec::with_capacity(list.len().checked_div(36).unwrap_or(0));
        let mut issuers: Issuing = Issuing::default();
        // Where the certificate issuer changes: index of the entry, number of the issuer.
        let mut changes: Vec<(u32, u32)> = Vec::new();
        let mut longest = 0_usize;
        let mut reader = Reader::new(list);
        while !reader.is_empty() {
            let start = list.len().saturating_sub(reader.rest().len());
            let entry = Parsed::read(&mut reader, kind)?;
            if let Some(names) = entry.certificate_issuer {
                let name = certificate_issuer(names)?;
                if issuers.is_empty() {
                    issuers.insert(issuer.canonical().into(), 0);
                }
                let fresh = u32::try_from(issuers.len()).unwrap_or(u32::MAX);
                let number = *issuers.entry(name.canonical().into()).or_insert(fresh);
                changes.push((u32::try_from(starts.len()).unwrap_or(u32::MAX), number));
            }
            // What no certificate can have is not kept.
            if let Some(magnitude) = magnitude(entry.serial) {
                longest = longest.max(magnitude.len());
                starts.push(u32::try_from(start).unwrap_or(u32::MAX));
            }
        }
        let issuer_of = |n: u32| {
            let before = changes.partition_point(|(from, _)| *from <= n);
            before.checked_sub(1).and_then(|last| changes.get(last)).map_or(0, |(_, number)| *number)
        };
        let reader_at = |n: u32| {
            let start = *starts.get(usize::try_from(n).ok()?)?;
            Some(Reader::new(list.get(usize::try_from(start).ok()?..)?))
        };
        let key_at = |n: u32| {
            let serial = reader_at(n)?.nested(tag::SEQUENCE).ok()?.any().ok()?.content;
            Some((issuer_of(n), magnitude(serial)?))
        };
        let entry_at = |n: u32| {
            let entry = Parsed::read(&mut reader_at(n)?, kind).ok()?;
            Some(Entry { date: entry.date, reason: entry.reason })
        };
        let count = u32::try_from(starts.len()).unwrap_or(u32::MAX);
        let many = if issuers.is_empty() { Issuers::One } else { Issuers::Many };
        let serials = Serials::build(count, longest, many, key_at, entry_at)
            .map_err(|Duplicate(serial)| CrlError::DuplicateEntry(hexadecimal(&serial)))?;
        Ok(Self { issuers, serials: Some(serials) })
    }

    pub(super) fn len(&self) -> usize {
        self.serials.as_ref().map_or(0, Serials::len)
    }

    pub(super) fn memory(&self) -> usize {
        let names: usize = self.issuers.keys().map(|name| name.len().saturating_add(32)).sum();
        self.serials.as_ref().map_or(0, Serials::memory).saturating_add(names)
    }

    #[inline]
    pub(super) fn get(&self, crl_issuer: &Name, issuer: &Name, serial: &[u8]) -> Option<Entry> {
        let serials = self.serials.as_ref()?;
        let number = if self.issuers.is_empty() {
            if crl_issuer != issuer {
                return None;
            }
            0
        } else {
            *self.issuers.get(issuer.canonical())?
        };
        serials.get(number, serial)
    }
}

impl<'a> Parsed<'a> {
    fn read(list: &mut Reader<'a>, kind: Kind) -> Result<Self, CrlError> {
        let mut fields = list.nested(tag::SEQUENCE).map_err(at(FIELD))?;
        let serial = fields.integer().map_err(at(FIELD))?;
        let date = fields.any().and_then(der::time).map_err(at("revocationDate"))?;
        let mut entry = Self { serial, date, reason: None, certificate_issuer: None };
        if !fields.is_empty() {
            let mut extensions = fields.nested(tag::SEQUENCE).map_err(at("crlEntryExtensions"))?;
            fields.finish().map_err(at(FIELD))?;
            // 5.1.2.6: entry extensions only in v2.
            if kind.version == Version::V1 {
                return Err(CrlError::NotInVersion1("crlEntryExtensions"));
            }
            if extensions.is_empty() {
                return Err(at("crlEntryExtensions")(DerError::Empty));
            }
            entry.extensions(&mut extensions, kind)?;
        }
        Ok(entry)
    }

    fn extensions(&mut self, list: &mut Reader<'a>, kind: Kind) -> Result<(), CrlError> {
        // An entry has one to three; the types met are compared pairwise.
        let mut seen: [&[u8]; MAX_ENTRY_EXTENSIONS] = [&[]; MAX_ENTRY_EXTENSIONS];
        let mut count = 0_usize;
        while !list.is_empty() {
            let extension = Extension::read(list).map_err(at("crlEntryExtensions"))?;
            if seen.iter().take(count).any(|oid| *oid == extension.oid) {
                return Err(CrlError::DuplicateExtension(extension.name()));
            }
            *seen.get_mut(count).ok_or(CrlError::TooManyExtensions)? = extension.oid;
            count = count.saturating_add(1);
            match extension.oid {
                id::REASON_CODE => self.reason = Some(self.reason(extension.value, kind)?),
                id::INVALIDITY_DATE => {
                    // 5.3.2: informs people; checked and not kept.
                    der::exactly(extension.value, tag::GENERALIZED_TIME)
                        .and_then(der::time)
                        .map_err(at("invalidityDate"))?;
                }
                id::CERTIFICATE_ISSUER if kind.indirect => self.certificate_issuer = Some(extension.value),
                id::CERTIFICATE_ISSUER => return Err(CrlError::NotIndirect(self.name())),
                _ if extension.critical => {
                    let oid = extension.name();
                    return Err(CrlError::UnknownCriticalEntryExtension { oid, serial: self.name() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn reason(&self, value: &[u8], kind: Kind) -> Result<CrlReason, CrlError> {
        let code = match der::exactly(value, tag::ENUMERATED).map_err(at("reasonCode"))?.content {
            [code] => *code,
            [] => return Err(at("reasonCode")(DerError::BadInteger)),
            _ => u8::MAX,
        };
        CrlReason::from_code(code)
            .filter(|reason| *reason != CrlReason::RemoveFromCrl || kind.delta)
            .ok_or_else(|| CrlError::Reason { code, serial: self.name() })
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
