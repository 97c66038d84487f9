//! CRLs and OCSP responses made by hand, octet by octet, so that any one thing in them can be wrong.

use aws_lc_rs::digest;
use certgate_x509::{Certificate, UnixTime, der, der::Reader, der::tag};

use super::der::{Extension, NOW, SigningKey, bits, context, implicit, int, name, oid, seq, time, tlv, yes};

pub const HOUR: i64 = 3600;
pub const DAY: i64 = 24 * HOUR;

/// Extension types of CRLs and their entries.
pub mod id {
    pub const CRL_NUMBER: &str = "2.5.29.20";
    pub const REASON_CODE: &str = "2.5.29.21";
    pub const INVALIDITY_DATE: &str = "2.5.29.24";
    pub const DELTA_CRL_INDICATOR: &str = "2.5.29.27";
    pub const ISSUING_DISTRIBUTION_POINT: &str = "2.5.29.28";
    pub const CERTIFICATE_ISSUER: &str = "2.5.29.29";
    pub const CRL_DISTRIBUTION_POINTS: &str = "2.5.29.31";
    pub const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";
    pub const FRESHEST_CRL: &str = "2.5.29.46";
}

/// Reason codes.
pub mod reason {
    pub const KEY_COMPROMISE: u8 = 1;
    pub const SUPERSEDED: u8 = 4;
    pub const HOLD: u8 = 6;
    pub const REMOVE: u8 = 8;
}

/// A CRL as fields.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CrlDraft {
    /// The whole version field; empty for v1.
    pub version: Vec<u8>,
    /// DER Name.
    pub issuer: Vec<u8>,
    pub this_update: Vec<u8>,
    /// Empty when absent.
    pub next_update: Vec<u8>,
    /// No list when empty.
    pub entries: Vec<Vec<u8>>,
    /// No extensions field when empty.
    pub extensions: Vec<Extension>,
    /// Appended to the signed part's content.
    pub trailer: Vec<u8>,
    /// Appended to the whole.
    pub after: Vec<u8>,
    /// The algorithm outside, when not the key's.
    pub outer_algorithm: Option<Vec<u8>>,
    /// Changes the signature when set.
    pub forged: bool,
}

impl CrlDraft {
    /// A complete CRL with number 10, made an hour before [`NOW`] and current for a day.
    pub fn new(issuer: &str) -> Self {
        Self {
            version: int(1),
            issuer: name(issuer),
            this_update: time(NOW.minus(HOUR)),
            next_update: time(NOW.plus(DAY)),
            entries: Vec::new(),
            extensions: vec![number(10)],
            trailer: Vec::new(),
            after: Vec::new(),
            outer_algorithm: None,
            forged: false,
        }
    }

    #[must_use]
    pub fn with(mut self, extension: Extension) -> Self {
        self.extensions.retain(|(dotted, ..)| *dotted != extension.0);
        self.extensions.push(extension);
        self
    }

    #[must_use]
    pub fn without(mut self, dotted: &str) -> Self {
        self.extensions.retain(|(found, ..)| found != dotted);
        self
    }

    /// Lists a serial number, for a reason.
    #[must_use]
    pub fn lists(mut self, serial: &[u8], reason: Option<u8>) -> Self {
        let extensions = reason.map(|code| vec![reason_code(code)]).unwrap_or_default();
        self.entries.push(entry(serial, &extensions));
        self
    }

    /// Sets when it was made and when the next one comes, in seconds after [`NOW`].
    #[must_use]
    pub fn dated(mut self, this_update: i64, next_update: Option<i64>) -> Self {
        self.this_update = time(NOW.plus(this_update));
        self.next_update = next_update.map(|after| time(NOW.plus(after))).unwrap_or_default();
        self
    }

    /// Encodes and signs.
    pub fn der(&self, signer: &SigningKey) -> Vec<u8> {
        let entries = if self.entries.is_empty() { Vec::new() } else { seq(&self.entries) };
        let extensions = if self.extensions.is_empty() { Vec::new() } else { context(0, encode(&self.extensions)) };
        let tbs = seq(&[
            self.version.clone(),
            signer.algorithm(),
            self.issuer.clone(),
            self.this_update.clone(),
            self.next_update.clone(),
            entries,
            extensions,
            self.trailer.clone(),
        ]);
        let mut signature = signer.sign(&tbs);
        if self.forged {
            *signature.last_mut().unwrap() ^= 1;
        }
        let algorithm = self.outer_algorithm.clone().unwrap_or_else(|| signer.algorithm());
        [seq(&[tbs, algorithm, bits(&signature)]), self.after.clone()].concat()
    }
}

/// Extensions.
pub fn encode(extensions: &[Extension]) -> Vec<u8> {
    let list: Vec<Vec<u8>> = extensions
        .iter()
        .map(|(dotted, critical, value)| {
            let critical = if *critical { yes() } else { Vec::new() };
            seq(&[oid(dotted), critical, tlv(tag::OCTET_STRING, value)])
        })
        .collect();
    seq(&list)
}

/// An entry of a CRL: content octets of the serial number.
pub fn entry(serial: &[u8], extensions: &[Extension]) -> Vec<u8> {
    let extensions = if extensions.is_empty() { Vec::new() } else { encode(extensions) };
    seq(&[tlv(tag::INTEGER, serial), time(NOW.minus(30 * DAY)), extensions])
}

pub fn reason_code(code: u8) -> Extension {
    (id::REASON_CODE.to_owned(), false, tlv(tag::ENUMERATED, [code]))
}

pub fn certificate_issuer(text: &str) -> Extension {
    (id::CERTIFICATE_ISSUER.to_owned(), true, seq(&[context(4, name(text))]))
}

pub fn number(n: u8) -> Extension {
    (id::CRL_NUMBER.to_owned(), false, int(n))
}

pub fn base(n: u8) -> Extension {
    (id::DELTA_CRL_INDICATOR.to_owned(), true, int(n))
}

/// issuingDistributionPoint from its fields; functions such as `idp_uri` make them.
pub fn idp(fields: &[Vec<u8>]) -> Extension {
    (id::ISSUING_DISTRIBUTION_POINT.to_owned(), true, seq(fields))
}

/// distributionPoint with fullName.
pub fn full_name(names: &[Vec<u8>]) -> Vec<u8> {
    context(0, context(0, names.concat()))
}

/// distributionPoint with nameRelativeToCRLIssuer, one RDN of a common name.
pub fn relative_name(common_name: &str) -> Vec<u8> {
    context(0, context(1, seq(&[oid("2.5.4.3"), tlv(tag::UTF8_STRING, common_name)])))
}

/// `onlyContainsUserCerts [1]`, `onlyContainsCACerts [2]`, `indirectCRL [4]`, `onlyContainsAttributeCerts [5]`.
pub fn flag(n: u8) -> Vec<u8> {
    implicit(n, [0xff])
}

/// ReasonFlags with the named bits, below 8, under `[n]`.
pub fn reasons(n: u8, named: &[u8]) -> Vec<u8> {
    let octet = named.iter().fold(0_u8, |octet, bit| octet | (0x80 >> bit));
    implicit(n, [u8::try_from(octet.trailing_zeros().min(7)).unwrap(), octet])
}

/// ReasonFlags of every bit from 1 to 8 but `missing`.
pub fn reasons_but(n: u8, missing: &[u8]) -> Vec<u8> {
    let octet = (1..8_u8).filter(|bit| !missing.contains(bit)).fold(0_u8, |octet, bit| octet | (0x80 >> bit));
    implicit(n, [7, octet, 0x80])
}

/// cRLDistributionPoints from the fields of each point.
pub fn points(points: &[Vec<Vec<u8>>]) -> Extension {
    let points: Vec<Vec<u8>> = points.iter().map(|fields| seq(fields)).collect();
    (id::CRL_DISTRIBUTION_POINTS.to_owned(), false, seq(&points))
}

/// cRLIssuer of a point.
pub fn crl_issuer(text: &str) -> Vec<u8> {
    context(2, context(4, name(text)))
}

/// What an OCSP response says about a certificate.
#[derive(Clone)]
pub struct Single {
    pub algorithm: &'static str,
    pub name_hash: Vec<u8>,
    pub key_hash: Vec<u8>,
    pub serial: Vec<u8>,
    pub status: Vec<u8>,
    pub this_update: UnixTime,
    pub next_update: Option<UnixTime>,
    pub extensions: Vec<Extension>,
}

pub const SHA1: &str = "1.3.14.3.2.26";
pub const SHA256: &str = "2.16.840.1.101.3.4.2.1";

pub fn good() -> Vec<u8> {
    implicit(0, [])
}

pub fn unknown() -> Vec<u8> {
    implicit(2, [])
}

pub fn revoked(code: Option<u8>) -> Vec<u8> {
    let reason = code.map(|code| context(0, tlv(tag::ENUMERATED, [code]))).unwrap_or_default();
    context(1, [generalized(NOW.minus(DAY)), reason].concat())
}

/// A GeneralizedTime.
pub fn generalized(at: UnixTime) -> Vec<u8> {
    let digits: String = at.to_string().chars().filter(char::is_ascii_digit).collect();
    tlv(tag::GENERALIZED_TIME, format!("{digits}Z"))
}

/// The octets of the BIT STRING in a certificate's key.
pub fn key_octets(certificate: &Certificate) -> Vec<u8> {
    let mut spki = Reader::new(der::exactly(certificate.public_key(), tag::SEQUENCE).unwrap().content);
    spki.any().unwrap();
    spki.bit_string_octets().unwrap().to_vec()
}

pub fn sha1(octets: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref().to_vec()
}

impl Single {
    /// `certificate` of `issuer` is good, since an hour and for a day.
    pub fn good(certificate: &Certificate, issuer: &Certificate) -> Self {
        let serial = match certificate.serial_number() {
            magnitude @ [first, ..] if *first >= 0x80 => [&[0], magnitude].concat(),
            magnitude => magnitude.to_vec(),
        };
        Self {
            algorithm: SHA1,
            name_hash: sha1(issuer.subject().der()),
            key_hash: sha1(&key_octets(issuer)),
            serial,
            status: good(),
            this_update: NOW.minus(HOUR),
            next_update: Some(NOW.plus(DAY)),
            extensions: Vec::new(),
        }
    }

    fn der(&self) -> Vec<u8> {
        let cert_id = seq(&[
            seq(&[oid(self.algorithm), tlv(tag::NULL, [])]),
            tlv(tag::OCTET_STRING, &self.name_hash),
            tlv(tag::OCTET_STRING, &self.key_hash),
            tlv(tag::INTEGER, &self.serial),
        ]);
        let next = self.next_update.map(|at| context(0, generalized(at))).unwrap_or_default();
        let extensions = if self.extensions.is_empty() { Vec::new() } else { context(1, encode(&self.extensions)) };
        seq(&[cert_id, self.status.clone(), generalized(self.this_update), next, extensions])
    }
}

/// An OCSP response as fields.
#[derive(Clone)]
pub struct ResponseDraft {
    pub status: u8,
    /// The whole version field; empty for v1.
    pub version: Vec<u8>,
    /// The whole ResponderID.
    pub responder: Vec<u8>,
    pub produced_at: UnixTime,
    pub singles: Vec<Single>,
    pub extensions: Vec<Extension>,
    /// DER of the certificates that come with it.
    pub certificates: Vec<Vec<u8>>,
    pub response_type: &'static str,
    pub trailer: Vec<u8>,
    pub after: Vec<u8>,
    pub forged: bool,
}

/// byName.
pub fn by_name(certificate: &Certificate) -> Vec<u8> {
    context(1, certificate.subject().der())
}

/// byKey.
pub fn by_key(certificate: &Certificate) -> Vec<u8> {
    context(2, tlv(tag::OCTET_STRING, sha1(&key_octets(certificate))))
}

/// The nonce extension.
pub fn nonce(octets: &[u8]) -> Extension {
    ("1.3.6.1.5.5.7.48.1.2".to_owned(), false, tlv(tag::OCTET_STRING, octets))
}

impl ResponseDraft {
    pub fn new(responder: Vec<u8>, singles: Vec<Single>) -> Self {
        Self {
            status: 0,
            version: Vec::new(),
            responder,
            produced_at: NOW.minus(HOUR),
            singles,
            extensions: Vec::new(),
            certificates: Vec::new(),
            response_type: "1.3.6.1.5.5.7.48.1.1",
            trailer: Vec::new(),
            after: Vec::new(),
            forged: false,
        }
    }

    /// Encodes and signs.
    pub fn der(&self, signer: &SigningKey) -> Vec<u8> {
        if self.status != 0 {
            return seq(&[tlv(tag::ENUMERATED, [self.status])]);
        }
        let extensions = if self.extensions.is_empty() { Vec::new() } else { context(1, encode(&self.extensions)) };
        let singles: Vec<Vec<u8>> = self.singles.iter().map(Single::der).collect();
        let data = seq(&[
            self.version.clone(),
            self.responder.clone(),
            generalized(self.produced_at),
            seq(&singles),
            extensions,
            self.trailer.clone(),
        ]);
        let mut signature = signer.sign(&data);
        if self.forged {
            *signature.last_mut().unwrap() ^= 1;
        }
        let certificates = if self.certificates.is_empty() { Vec::new() } else { context(0, seq(&self.certificates)) };
        let basic = seq(&[data, signer.algorithm(), bits(&signature), certificates]);
        let bytes = seq(&[oid(self.response_type), tlv(tag::OCTET_STRING, basic)]);
        [seq(&[tlv(tag::ENUMERATED, [0]), context(0, bytes)]), self.after.clone()].concat()
    }
}
