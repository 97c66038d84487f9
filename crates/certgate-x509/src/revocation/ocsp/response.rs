//! Parsing of OCSPResponse (RFC 6960 section 4.2.1), strictly: DER, no trailing octets, no unknown critical extension.
//!
//! One deviation from DER is accepted: an encoded default version, which responders write and which has no effect.

use bytes::Bytes;
use thiserror::Error;

use crate::certificate::Processed;
use crate::der::{self, DerError, Reader, Span, tag};
use crate::limits::{MAX_OCSP_NONCE, MAX_OCSP_RESPONSE};
use crate::name::{Name, NameError};
use crate::oid::Oid;
use crate::revocation::reason::CrlReason;
use crate::time::UnixTime;

use super::cert_id::CertIdHash;
use super::id;

/// The most certificates in one response that are examined. Real responses have one.
const MAX_RESPONSE_CERTIFICATES: usize = 16;

/// Extensions in one list. Real ones have up to two.
const MAX_RESPONSE_EXTENSIONS: usize = 64;

/// A well-formed, successful basic response. [`super::check()`] judges it.
#[derive(Debug)]
pub struct OcspResponse {
    der: Bytes,
    data: Span,
    algorithm: Span,
    signature: Span,
    certificates: Vec<Bytes>,
    responder: ResponderId,
    produced_at: UnixTime,
    nonce: Option<Bytes>,
    responses: Vec<SingleResponse>,
}

/// ResponderID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponderId {
    /// byName.
    Name(Name),
    /// byKey: SHA-1 of the responder's key.
    Key(Bytes),
}

/// SingleResponse: the status of one certificate.
#[derive(Clone, Debug)]
pub struct SingleResponse {
    /// The hash of the CertID; `None` when it is not supported, and then the response matches no certificate.
    pub(super) hash: Option<CertIdHash>,
    pub(super) issuer_name_hash: Bytes,
    pub(super) issuer_key_hash: Bytes,
    /// Content octets of the INTEGER.
    pub(super) serial: Bytes,
    status: CertStatus,
    this_update: UnixTime,
    next_update: Option<UnixTime>,
}

/// CertStatus.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// Not revoked.
    Good,
    /// Revoked, or on hold.
    Revoked {
        /// When.
        date: UnixTime,
        /// The reason, if given.
        reason: Option<CrlReason>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

/// Why bytes are not an OCSP response that certgate can use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OcspError {
    /// Longer than [`MAX_OCSP_RESPONSE`].
    #[error("OCSP response of {0} octets: at most {MAX_OCSP_RESPONSE} are parsed")]
    TooLong(usize),
    /// The encoding is not DER, or not of the expected type.
    #[error("{field}: {source}")]
    Der {
        /// The field of the response.
        field: &'static str,
        /// What is wrong with it.
        source: DerError,
    },
    /// RFC 6960 4.2.2.3: the responder could not answer.
    #[error("the responder answers {name} ({code})", name = status_name(*.0), code = .0)]
    Status(u8),
    /// The response is not a basic one.
    #[error("response type {0} is not supported")]
    Type(Oid),
    /// A version that is not known.
    #[error("version {0} is not 0 (v1)")]
    Version(u32),
    /// The responder's name is malformed.
    #[error("responderID: {0}")]
    Responder(NameError),
    /// A critical extension that is not processed.
    #[error("critical extension {0} is not supported")]
    UnknownCriticalExtension(Oid),
    /// An extension appears twice.
    #[error("extension {0} appears twice")]
    DuplicateExtension(Oid),
    /// Too many elements of this kind.
    #[error("more than {0}")]
    TooMany(&'static str),
    /// RFC 9654 2.1: a nonce has 1 to 128 octets.
    #[error("nonce of {0} octets: want 1 to 128")]
    Nonce(usize),
    /// RFC 5280 5.3.1: a reason that is not defined.
    #[error("revocation reason {0} is not defined")]
    Reason(u8),
    /// nextUpdate is before thisUpdate.
    #[error("thisUpdate {this_update} is after nextUpdate {next_update}")]
    Updates {
        /// thisUpdate.
        this_update: UnixTime,
        /// nextUpdate.
        next_update: UnixTime,
    },
}

fn status_name(code: u8) -> &'static str {
    match code {
        1 => "malformedRequest",
        2 => "internalError",
        3 => "tryLater",
        5 => "sigRequired",
        6 => "unauthorized",
        _ => "an undefined status",
    }
}

fn at(field: &'static str) -> impl FnOnce(DerError) -> OcspError {
    move |source| OcspError::Der { field, source }
}

impl OcspResponse {
    /// Parses one response; rejects trailing octets. An error status of the responder is an error.
    pub fn from_der(der: impl Into<Bytes>) -> Result<Self, OcspError> {
        let der = der.into();
        if der.len() > MAX_OCSP_RESPONSE {
            return Err(OcspError::TooLong(der.len()));
        }
        der::check(&der).map_err(at("OCSPResponse"))?;
        let mut outer = Reader::new(der::exactly(&der, tag::SEQUENCE).map_err(at("OCSPResponse"))?.content);
        let status = enumerated(&mut outer).map_err(at("responseStatus"))?;
        if status != 0 {
            return Err(OcspError::Status(status));
        }
        let explicit = outer.expect(tag::context_constructed(0)).map_err(at("responseBytes"))?;
        outer.finish().map_err(at("OCSPResponse"))?;
        let mut bytes =
            Reader::new(der::exactly(explicit.content, tag::SEQUENCE).map_err(at("responseBytes"))?.content);
        let kind = bytes.oid().map_err(at("responseType"))?;
        if kind != id::BASIC {
            return Err(OcspError::Type(Oid::from_content(kind)));
        }
        let basic = bytes.expect(tag::OCTET_STRING).map_err(at("response"))?.content;
        bytes.finish().map_err(at("responseBytes"))?;
        der::check(basic).map_err(at("BasicOCSPResponse"))?;
        Self::basic(&der, basic)
    }

    fn basic(der: &Bytes, basic: &[u8]) -> Result<Self, OcspError> {
        let mut fields = Reader::new(der::exactly(basic, tag::SEQUENCE).map_err(at("BasicOCSPResponse"))?.content);
        let data = fields.expect(tag::SEQUENCE).map_err(at("tbsResponseData"))?;
        let algorithm = fields.expect(tag::SEQUENCE).map_err(at("signatureAlgorithm"))?;
        let signature = fields.bit_string_octets().map_err(at("signature"))?;
        let mut certificates = Vec::new();
        if let Some(explicit) = fields.optional(tag::context_constructed(0)).map_err(at("certs"))? {
            let mut list = Reader::new(der::exactly(explicit.content, tag::SEQUENCE).map_err(at("certs"))?.content);
            while !list.is_empty() {
                let certificate = list.expect(tag::SEQUENCE).map_err(at("certs"))?;
                if certificates.len() >= MAX_RESPONSE_CERTIFICATES {
                    return Err(OcspError::TooMany("certificates"));
                }
                certificates.push(der.slice_ref(certificate.whole));
            }
        }
        fields.finish().map_err(at("BasicOCSPResponse"))?;

        let mut fields = Reader::new(data.content);
        if let Some(explicit) = fields.optional(tag::context_constructed(0)).map_err(at("version"))? {
            let version = der::exactly(explicit.content, tag::INTEGER)
                .and_then(|tlv| der::small_unsigned(tlv.content))
                .map_err(at("version"))?;
            if version != 0 {
                return Err(OcspError::Version(version));
            }
        }
        let responder = responder(&mut fields, der)?;
        let produced_at = fields.expect(tag::GENERALIZED_TIME).and_then(der::time).map_err(at("producedAt"))?;
        let mut list = fields.nested(tag::SEQUENCE).map_err(at("responses"))?;
        let mut responses = Vec::with_capacity(1);
        while !list.is_empty() {
            responses.push(SingleResponse::read(&mut list, der)?);
        }
        let mut nonce = None;
        if let Some(explicit) = fields.optional(tag::context_constructed(1)).map_err(at("responseExtensions"))? {
            extensions(explicit.content, "responseExtensions", |oid, value| {
                if oid != id::NONCE {
                    return Ok(Processed::No);
                }
                let octets = der::exactly(value, tag::OCTET_STRING).map_err(at("nonce"))?.content;
                if octets.is_empty() || octets.len() > MAX_OCSP_NONCE {
                    return Err(OcspError::Nonce(octets.len()));
                }
                nonce = Some(der.slice_ref(octets));
                Ok(Processed::Yes)
            })?;
        }
        fields.finish().map_err(at("tbsResponseData"))?;
        Ok(Self {
            data: Span::of(der, data.whole),
            algorithm: Span::of(der, algorithm.whole),
            signature: Span::of(der, signature),
            certificates,
            responder,
            produced_at,
            nonce,
            responses,
            der: der.clone(),
        })
    }

    /// tbsResponseData, as signed.
    pub fn data(&self) -> &[u8] {
        self.data.get(&self.der)
    }

    /// The DER AlgorithmIdentifier of the signature.
    pub fn algorithm(&self) -> &[u8] {
        self.algorithm.get(&self.der)
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        self.signature.get(&self.der)
    }

    /// The DER of the certificates that came with it.
    pub fn certificates(&self) -> &[Bytes] {
        &self.certificates
    }

    /// The responder that it names.
    pub fn responder(&self) -> &ResponderId {
        &self.responder
    }

    /// When it was signed.
    pub fn produced_at(&self) -> UnixTime {
        self.produced_at
    }

    /// The nonce that it repeats.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }

    /// The answers for each certificate.
    pub fn responses(&self) -> &[SingleResponse] {
        &self.responses
    }
}

impl SingleResponse {
    fn read(list: &mut Reader<'_>, der: &Bytes) -> Result<Self, OcspError> {
        let mut fields = list.nested(tag::SEQUENCE).map_err(at("responses"))?;
        let mut cert_id = fields.nested(tag::SEQUENCE).map_err(at("certID"))?;
        let algorithm = cert_id.expect(tag::SEQUENCE).map_err(at("hashAlgorithm"))?;
        let hash = CertIdHash::parse(algorithm.content).map_err(at("hashAlgorithm"))?;
        let issuer_name_hash = cert_id.expect(tag::OCTET_STRING).map_err(at("issuerNameHash"))?.content;
        let issuer_key_hash = cert_id.expect(tag::OCTET_STRING).map_err(at("issuerKeyHash"))?.content;
        let serial = cert_id.integer().map_err(at("serialNumber"))?;
        cert_id.finish().map_err(at("certID"))?;

        let status = status(&mut fields)?;
        let this_update = fields.expect(tag::GENERALIZED_TIME).and_then(der::time).map_err(at("thisUpdate"))?;
        let next_update = match fields.optional(tag::context_constructed(0)).map_err(at("nextUpdate"))? {
            None => None,
            Some(explicit) => Some(
                der::exactly(explicit.content, tag::GENERALIZED_TIME).and_then(der::time).map_err(at("nextUpdate"))?,
            ),
        };
        if let Some(next_update) = next_update.filter(|next_update| *next_update < this_update) {
            return Err(OcspError::Updates { this_update, next_update });
        }
        if let Some(explicit) = fields.optional(tag::context_constructed(1)).map_err(at("singleExtensions"))? {
            extensions(explicit.content, "singleExtensions", |_, _| Ok(Processed::No))?;
        }
        fields.finish().map_err(at("responses"))?;
        Ok(Self {
            hash,
            issuer_name_hash: der.slice_ref(issuer_name_hash),
            issuer_key_hash: der.slice_ref(issuer_key_hash),
            serial: der.slice_ref(serial),
            status,
            this_update,
            next_update,
        })
    }

    /// The status.
    pub fn status(&self) -> CertStatus {
        self.status
    }

    /// The last time at which the status is known to be correct.
    pub fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// When newer information is available.
    pub fn next_update(&self) -> Option<UnixTime> {
        self.next_update
    }
}

fn enumerated(reader: &mut Reader<'_>) -> Result<u8, DerError> {
    match reader.expect(tag::ENUMERATED)?.content {
        [code] if *code < 0x80 => Ok(*code),
        _ => Err(DerError::IntegerRange),
    }
}

fn responder(fields: &mut Reader<'_>, der: &Bytes) -> Result<ResponderId, OcspError> {
    let choice = fields.any().map_err(at("responderID"))?;
    match choice.tag {
        0xa1 => Name::from_der(der.slice_ref(choice.content)).map(ResponderId::Name).map_err(OcspError::Responder),
        0xa2 => {
            let key = der::exactly(choice.content, tag::OCTET_STRING).map_err(at("responderID"))?;
            Ok(ResponderId::Key(der.slice_ref(key.content)))
        }
        found => Err(at("responderID")(DerError::UnexpectedTag { wanted: 0xa1, found })),
    }
}

fn status(fields: &mut Reader<'_>) -> Result<CertStatus, OcspError> {
    let choice = fields.any().map_err(at("certStatus"))?;
    match choice.tag {
        0x80 if choice.content.is_empty() => Ok(CertStatus::Good),
        0x82 if choice.content.is_empty() => Ok(CertStatus::Unknown),
        0xa1 => {
            let mut info = Reader::new(choice.content);
            let date = info.expect(tag::GENERALIZED_TIME).and_then(der::time).map_err(at("revocationTime"))?;
            let reason = match info.optional(tag::context_constructed(0)).map_err(at("revocationReason"))? {
                None => None,
                Some(explicit) => {
                    let mut reader = Reader::new(explicit.content);
                    let code = enumerated(&mut reader).map_err(at("revocationReason"))?;
                    reader.finish().map_err(at("revocationReason"))?;
                    Some(CrlReason::from_code(code).ok_or(OcspError::Reason(code))?)
                }
            };
            info.finish().map_err(at("certStatus"))?;
            Ok(CertStatus::Revoked { date, reason })
        }
        found => Err(at("certStatus")(DerError::UnexpectedTag { wanted: 0x80, found })),
    }
}

/// Walks Extensions; `take` returns which types it processes.
fn extensions(
    explicit: &[u8],
    field: &'static str,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<Processed, OcspError>,
) -> Result<(), OcspError> {
    let mut list = Reader::new(der::exactly(explicit, tag::SEQUENCE).map_err(at(field))?.content);
    if list.is_empty() {
        return Err(at(field)(DerError::Empty));
    }
    let mut seen: Vec<&[u8]> = Vec::with_capacity(4);
    while !list.is_empty() {
        let mut one = list.nested(tag::SEQUENCE).map_err(at(field))?;
        let oid = one.oid().map_err(at(field))?;
        let critical = match one.optional(tag::BOOLEAN).map_err(at(field))? {
            None => false,
            Some(tlv) => der::boolean(tlv.content).map_err(at(field))?,
        };
        let value = one.expect(tag::OCTET_STRING).map_err(at(field))?.content;
        one.finish().map_err(at(field))?;
        if seen.contains(&oid) {
            return Err(OcspError::DuplicateExtension(Oid::from_content(oid)));
        }
        if seen.len() >= MAX_RESPONSE_EXTENSIONS {
            return Err(OcspError::TooMany("extensions"));
        }
        seen.push(oid);
        match take(oid, value)? {
            Processed::No if critical => return Err(OcspError::UnknownCriticalExtension(Oid::from_content(oid))),
            Processed::No | Processed::Yes => {}
        }
    }
    Ok(())
}
