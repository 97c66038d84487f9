//! X.509 certificates: parsed once, strictly, into an owned immutable value.
//!
//! A [`Certificate`] is well-formed; its issuer is not yet verified. [`super::path`] checks signatures, dates, names
//! and usages.
//!
//! Strict means: DER, not BER (the whole tree is checked first); no trailing octets; the profile of RFC 5280 section
//! 4.1 wherever two lenient parsers could read two different certificates. Some deviations are accepted on purpose,
//! because issuers write them and no check depends on them: an encoded `cA FALSE`, a path length without cA, trailing
//! zero bits in keyUsage, GeneralizedTime before 2050, an unsorted multi-valued RDN. Path validation rejects two more
//! below the anchor: a serial number of zero, which old roots have, and an empty subjectAltName, which old OCSP
//! responders have.

mod error;
mod extensions;
mod key_fingerprints;
mod name_constraints;
mod twin;

use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

use super::der::{self, DerError, Reader, Span, tag};
use super::fingerprint::Sha256;
use super::general_name::GeneralName;
use super::limits::{MAX_CERTIFICATE, MAX_SERIAL_NUMBER};
use super::name::Name;
use super::oid::Oid;
use super::time::UnixTime;

use extensions::Extensions;
pub(crate) use extensions::Processed;

pub use error::{CertificateError, ExtensionProblem, Version};
pub use extensions::{BasicConstraints, Extension, KeyUsage, PolicyConstraints, id};
pub(crate) use name_constraints::octets_in_comparisons;
pub use name_constraints::{NameConstraints, Subtree};

/// A well-formed certificate. Cheap to share in an `Arc`; fingerprints are computed once, on first use.
pub struct Certificate {
    der: Bytes,
    tbs: Span,
    signature_algorithm: Span,
    signature: Span,
    version: Version,
    serial: Span,
    issuer: Name,
    subject: Name,
    not_before: UnixTime,
    not_after: UnixTime,
    public_key: Span,
    extensions: Extensions,
    sha256: OnceLock<Sha256>,
    twin_sha256: OnceLock<Option<Sha256>>,
    public_key_sha256: OnceLock<Sha256>,
    public_key_fingerprints: OnceLock<Option<Box<[Sha256]>>>,
}

/// [`Certificate::public_key_fingerprints`] of a DER SubjectPublicKeyInfo.
pub fn public_key_fingerprints(spki: &[u8]) -> Option<Box<[Sha256]>> {
    key_fingerprints::fingerprints(spki)
}

impl Certificate {
    /// Parses one certificate; rejects trailing octets.
    pub fn from_der(der: impl Into<Bytes>) -> Result<Self, CertificateError> {
        let der = der.into();
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateError::TooLong { length: der.len() });
        }
        der::check(&der).map_err(at("certificate"))?;
        let mut outer = Reader::new(der::exactly(&der, tag::SEQUENCE).map_err(at("certificate"))?.content);
        let tbs = outer.expect(tag::SEQUENCE).map_err(at("tbsCertificate"))?;
        let algorithm = outer.expect(tag::SEQUENCE).map_err(at("signatureAlgorithm"))?;
        let signature = outer.bit_string_octets().map_err(at("signatureValue"))?;
        outer.finish().map_err(at("certificate"))?;

        let mut fields = Reader::new(tbs.content);
        let version = version(&mut fields)?;
        let serial = serial(&mut fields)?;
        let inner = fields.expect(tag::SEQUENCE).map_err(at("signature"))?;
        // RFC 5280 4.1.1.2 and 4.1.2.3: both fields hold the same algorithm identifier; octet by octet, parameters
        // included, as only the inner one is signed.
        if inner.whole != algorithm.whole {
            let hex = |octets: &[u8]| octets.iter().take(48).map(|octet| format!("{octet:02x}")).collect();
            return Err(CertificateError::AlgorithmMismatch { outer: hex(algorithm.whole), inner: hex(inner.whole) });
        }
        let issuer = fields.expect(tag::SEQUENCE).map_err(at("issuer"))?;
        let issuer = name("issuer", issuer, &der)?;
        if issuer.is_empty() {
            return Err(CertificateError::EmptyIssuer);
        }
        let mut validity = fields.nested(tag::SEQUENCE).map_err(at("validity"))?;
        let not_before = validity.any().and_then(der::time).map_err(at("notBefore"))?;
        let not_after = validity.any().and_then(der::time).map_err(at("notAfter"))?;
        validity.finish().map_err(at("validity"))?;
        if not_before > not_after {
            return Err(CertificateError::Validity { not_before, not_after });
        }
        let subject = fields.expect(tag::SEQUENCE).map_err(at("subject"))?;
        // A self-issued certificate reuses the parsed issuer.
        let subject = if subject.whole == issuer.der() { issuer.clone() } else { name("subject", subject, &der)? };
        let public_key = fields.expect(tag::SEQUENCE).map_err(at("subjectPublicKeyInfo"))?;
        let mut spki = Reader::new(public_key.content);
        let key_algorithm = spki.expect(tag::SEQUENCE).map_err(at("subjectPublicKeyInfo"))?;
        Reader::new(key_algorithm.content).oid().map_err(at("subjectPublicKeyInfo"))?;
        spki.bit_string_octets().map_err(at("subjectPublicKeyInfo"))?;
        spki.finish().map_err(at("subjectPublicKeyInfo"))?;

        // RFC 5280 4.1.2.8: unique identifiers only in v2 and v3; they are not used. 4.1.2.9: extensions only in v3.
        for (n, field) in [(1, "issuerUniqueID"), (2, "subjectUniqueID")] {
            if fields.optional(tag::context(n)).map_err(at(field))?.is_some() && version == Version::V1 {
                return Err(CertificateError::NotInVersion { field, version });
            }
        }
        let extensions = match fields.optional(tag::context_constructed(3)).map_err(at("extensions"))? {
            None => Extensions::default(),
            Some(_) if version != Version::V3 => {
                return Err(CertificateError::NotInVersion { field: "extensions", version });
            }
            Some(explicit) => Extensions::parse(explicit.content, &der)?,
        };
        fields.finish().map_err(at("tbsCertificate"))?;

        Ok(Self {
            tbs: Span::of(&der, tbs.whole),
            signature_algorithm: Span::of(&der, algorithm.whole),
            signature: Span::of(&der, signature),
            version,
            serial: Span::of(&der, serial),
            issuer,
            subject,
            not_before,
            not_after,
            public_key: Span::of(&der, public_key.whole),
            extensions,
            sha256: OnceLock::new(),
            twin_sha256: OnceLock::new(),
            public_key_sha256: OnceLock::new(),
            public_key_fingerprints: OnceLock::new(),
            der,
        })
    }

    /// The whole certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER, computed on first use.
    pub fn sha256(&self) -> Sha256 {
        *self.sha256.get_or_init(|| Sha256::of(&self.der))
    }

    /// The SHA-256 values under which this certificate can be looked up: [`Certificate::sha256`], and for one that is
    /// signed with ECDSA also that of [`Certificate::ecdsa_twin`]. Anyone can make the twin: (r, n − s) verifies if (r,
    /// s) does. A list of single certificates must be searched for both. Computed on first use.
    pub fn aliases(&self) -> impl Iterator<Item = Sha256> {
        let twin = || twin::twin(self.tbs(), self.signature_algorithm(), self.signature());
        let own = std::iter::once_with(|| self.sha256());
        let other = std::iter::once_with(move || *self.twin_sha256.get_or_init(|| twin().map(|der| Sha256::of(&der))));
        own.chain(other.flatten())
    }

    /// The certificate with the other form of its ECDSA signature; `None` when it is signed with another algorithm.
    pub fn ecdsa_twin(&self) -> Option<Self> {
        let der = twin::twin(self.tbs(), self.signature_algorithm(), self.signature())?;
        Self::from_der(der).ok()
    }

    /// The signed part, as signed.
    pub fn tbs(&self) -> &[u8] {
        self.tbs.get(&self.der)
    }

    /// The DER AlgorithmIdentifier of the signature.
    pub fn signature_algorithm(&self) -> &[u8] {
        self.signature_algorithm.get(&self.der)
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        self.signature.get(&self.der)
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The serial number's magnitude: no leading zero octet; empty for zero, which only old roots have.
    pub fn serial_number(&self) -> &[u8] {
        self.serial.get(&self.der)
    }

    /// The issuer.
    pub fn issuer(&self) -> &Name {
        &self.issuer
    }

    /// The subject; may be empty.
    pub fn subject(&self) -> &Name {
        &self.subject
    }

    /// Whether subject and issuer are the same name (RFC 5280 section 6.1). A self-signed certificate is self-issued;
    /// so is one that a CA issues to its own next key.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// The first second of the validity period.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// The last second of the validity period.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> &[u8] {
        self.public_key.get(&self.der)
    }

    /// SHA-256 of the DER SubjectPublicKeyInfo, computed on first use.
    pub fn public_key_sha256(&self) -> Sha256 {
        *self.public_key_sha256.get_or_init(|| Sha256::of(self.public_key()))
    }

    /// The SHA-256 values of the DER SubjectPublicKeyInfo in each encoding in which path validation accepts the key,
    /// its own first. A list of rejected keys must be searched for all of them. `None` for an encoding from which the
    /// others cannot be derived; path validation rejects such a key. Computed on first use.
    pub fn public_key_fingerprints(&self) -> Option<&[Sha256]> {
        self.public_key_fingerprints.get_or_init(|| key_fingerprints::fingerprints(self.public_key())).as_deref()
    }

    /// Every extension in order, as encoded in the certificate.
    pub fn extensions(&self) -> impl Iterator<Item = Extension<'_>> {
        self.extensions.list.iter().map(|entry| Extension {
            oid: entry.oid.get(&self.der),
            critical: entry.critical,
            value: entry.value.get(&self.der),
        })
    }

    /// The extension of the type with these content octets; [`id`] has the known ones.
    pub fn extension(&self, oid: &[u8]) -> Option<Extension<'_>> {
        self.extensions().find(|extension| extension.oid == oid)
    }

    /// The first critical extension that the crate does not process.
    pub fn unknown_critical_extension(&self) -> Option<Oid> {
        self.extensions.unknown_critical.map(|oid| Oid::from_content(oid.get(&self.der)))
    }

    /// subjectAltName; empty when there is none.
    pub fn subject_alt_names(&self) -> &[GeneralName] {
        &self.extensions.subject_alt_names
    }

    /// Whether subjectAltName is present and empty, which RFC 5280 4.2.1.6 forbids.
    pub fn has_empty_subject_alt_name(&self) -> bool {
        self.subject_alt_names().is_empty() && self.extension(id::SUBJECT_ALT_NAME).is_some()
    }

    /// basicConstraints.
    pub fn basic_constraints(&self) -> Option<BasicConstraints> {
        self.extensions.basic_constraints
    }

    /// keyUsage.
    pub fn key_usage(&self) -> Option<KeyUsage> {
        self.extensions.key_usage
    }

    /// extendedKeyUsage: at least one purpose when present.
    pub fn extended_key_usage(&self) -> Option<&[Oid]> {
        self.extensions.extended_key_usage.as_deref()
    }

    /// nameConstraints.
    pub fn name_constraints(&self) -> Option<&NameConstraints> {
        self.extensions.name_constraints.as_deref()
    }

    /// certificatePolicies: at least one policy when present.
    pub fn certificate_policies(&self) -> Option<&[Oid]> {
        self.extensions.certificate_policies.as_deref()
    }

    /// Microsoft's application policies, which are key purposes: at least one when present.
    pub fn application_policies(&self) -> Option<&[Oid]> {
        self.extensions.application_policies.as_deref()
    }

    /// policyMappings, issuer's domain first; at least one when present.
    pub fn policy_mappings(&self) -> Option<&[(Oid, Oid)]> {
        self.extensions.policy_mappings.as_deref()
    }

    /// policyConstraints.
    pub fn policy_constraints(&self) -> Option<PolicyConstraints> {
        self.extensions.policy_constraints
    }

    /// inhibitAnyPolicy.
    pub fn inhibit_any_policy(&self) -> Option<u32> {
        self.extensions.inhibit_any_policy
    }

    /// The octets of subjectKeyIdentifier.
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        self.extensions.subject_key_identifier.map(|span| span.get(&self.der))
    }

    /// The keyIdentifier of authorityKeyIdentifier.
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.extensions.authority_key_identifier?.key_identifier.map(|span| span.get(&self.der))
    }

    /// Whether `other` is the same certificate, octet by octet.
    pub fn is_same(&self, other: &Certificate) -> bool {
        self.der == other.der
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {})", self.subject, self.sha256())
    }
}

fn at(field: &'static str) -> impl FnOnce(DerError) -> CertificateError {
    move |source| CertificateError::Der { field, source }
}

fn version(fields: &mut Reader<'_>) -> Result<Version, CertificateError> {
    let Some(explicit) = fields.optional(tag::context_constructed(0)).map_err(at("version"))? else {
        return Ok(Version::V1);
    };
    let number = der::exactly(explicit.content, tag::INTEGER)
        .and_then(|tlv| der::small_unsigned(tlv.content))
        .map_err(at("version"))?;
    match number {
        1 => Ok(Version::V2),
        2 => Ok(Version::V3),
        other => Err(CertificateError::Version(other.saturating_add(1))),
    }
}

/// RFC 5280 4.1.2.2: a positive integer of at most 20 octets. The limit applies to the content octets of the encoding,
/// including a sign octet. Returns the magnitude.
fn serial<'a>(fields: &mut Reader<'a>) -> Result<&'a [u8], CertificateError> {
    let content = fields.integer().map_err(at("serialNumber"))?;
    if content.len() > MAX_SERIAL_NUMBER {
        return Err(CertificateError::LongSerial(content.len()));
    }
    match content {
        [first, ..] if *first >= 0x80 => Err(CertificateError::NegativeSerial { first: *first }),
        [0, magnitude @ ..] => Ok(magnitude),
        magnitude => Ok(magnitude),
    }
}

fn name(field: &'static str, tlv: der::Tlv<'_>, der: &Bytes) -> Result<Name, CertificateError> {
    Name::from_checked(der.slice_ref(tlv.whole)).map_err(|source| CertificateError::Name { field, source })
}
