//! The certificate extensions of RFC 5280 section 4.2, decoded once.

use bytes::Bytes;

use crate::der::{self, DerError, Reader, Span, tag};
use crate::general_name::GeneralName;
use crate::limits::{MAX_CERTIFICATE_EXTENSIONS, MAX_OIDS_IN_EXTENSION};
use crate::oid::Oid;

use super::error::{CertificateError, ExtensionProblem};
use super::name_constraints::NameConstraints;

/// The content octets of the extension types of `id-ce` and `id-pe` that are decoded or known.
#[expect(missing_docs, reason = "the names are those of RFC 5280")]
pub mod id {
    pub const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 14];
    pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
    pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
    pub const ISSUER_ALT_NAME: &[u8] = &[0x55, 0x1d, 18];
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
    pub const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
    pub const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 31];
    pub const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 32];
    pub const POLICY_MAPPINGS: &[u8] = &[0x55, 0x1d, 33];
    pub const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];
    pub const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];
    pub const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
    pub const FRESHEST_CRL: &[u8] = &[0x55, 0x1d, 46];
    pub const INHIBIT_ANY_POLICY: &[u8] = &[0x55, 0x1d, 54];
    pub const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
    pub const SUBJECT_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 11];
    /// Microsoft's application policies: key purposes, written like certificate policies.
    pub const APPLICATION_POLICIES: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 21, 10];
}

/// One extension as encoded in the certificate.
#[derive(Copy, Clone, Debug)]
pub struct Extension<'a> {
    /// The content octets of its type.
    pub oid: &'a [u8],
    /// Whether a verifier that does not process it must reject the certificate.
    pub critical: bool,
    /// The DER inside the OCTET STRING.
    pub value: &'a [u8],
}

/// basicConstraints (4.2.1.9).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// Whether the subject is a CA.
    pub is_ca: bool,
    /// How many intermediates may follow, not counting self-issued ones.
    pub path_len: Option<u32>,
}

/// keyUsage (4.2.1.3), as the named bits in the high bits of a word.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct KeyUsage(u32);

/// The bits of keyUsage in their order, as RFC 5280 names them.
const KEY_USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

impl KeyUsage {
    /// The names of the bits that are set, as RFC 5280 spells them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        (0..).zip(KEY_USAGES).filter(move |(n, _)| self.bit(*n)).map(|(_, name)| name)
    }

    /// Bit 0.
    pub fn digital_signature(self) -> bool {
        self.bit(0)
    }

    /// Bit 1, also called contentCommitment.
    pub fn non_repudiation(self) -> bool {
        self.bit(1)
    }

    /// Bit 4.
    pub fn key_agreement(self) -> bool {
        self.bit(4)
    }

    /// Bit 5: the key may sign certificates.
    pub fn key_cert_sign(self) -> bool {
        self.bit(5)
    }

    /// Bit 6: the key may sign CRLs.
    pub fn crl_sign(self) -> bool {
        self.bit(6)
    }

    fn bit(self, n: u32) -> bool {
        (self.0 << n) & 0x8000_0000 != 0
    }
}

/// policyConstraints (4.2.1.11).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyConstraints {
    /// After how many certificates an explicit policy is required.
    pub require_explicit_policy: Option<u32>,
    /// After how many certificates mapping is inhibited.
    pub inhibit_policy_mapping: Option<u32>,
}

/// authorityKeyIdentifier (4.2.1.1); it only orders candidates in path building.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct AuthorityKeyIdentifier {
    pub(super) key_identifier: Option<Span>,
}

/// The decoded extensions of a certificate.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) list: Vec<ExtensionSpan>,
    pub(super) subject_alt_names: Vec<GeneralName>,
    pub(super) basic_constraints: Option<BasicConstraints>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) extended_key_usage: Option<Vec<Oid>>,
    pub(super) name_constraints: Option<Box<NameConstraints>>,
    pub(super) certificate_policies: Option<Vec<Oid>>,
    pub(super) application_policies: Option<Vec<Oid>>,
    pub(super) policy_mappings: Option<Vec<(Oid, Oid)>>,
    pub(super) policy_constraints: Option<PolicyConstraints>,
    pub(super) inhibit_any_policy: Option<u32>,
    pub(super) subject_key_identifier: Option<Span>,
    pub(super) authority_key_identifier: Option<AuthorityKeyIdentifier>,
    pub(super) unknown_critical: Option<Span>,
}

#[derive(Copy, Clone, Debug)]
pub(super) struct ExtensionSpan {
    pub(super) oid: Span,
    pub(super) critical: bool,
    pub(super) value: Span,
}

impl Extensions {
    /// Parses `Extensions ::= SEQUENCE SIZE (1..MAX) OF Extension` from the content of its explicit tag.
    pub(super) fn parse(explicit: &[u8], der: &Bytes) -> Result<Self, CertificateError> {
        let sequence = der::exactly(explicit, tag::SEQUENCE).map_err(field)?;
        let mut reader = Reader::new(sequence.content);
        if reader.is_empty() {
            return Err(field(DerError::Empty));
        }
        let mut out = Self::default();
        let mut list: Vec<ExtensionSpan> = Vec::with_capacity(8);
        while !reader.is_empty() {
            let mut one = reader.nested(tag::SEQUENCE).map_err(field)?;
            let oid = one.checked_oid().map_err(field)?;
            let critical = match one.optional(tag::BOOLEAN).map_err(field)? {
                None => false,
                // X.690 11.5: the default value is not encoded.
                Some(tlv) if der::boolean(tlv.content).map_err(field)? => true,
                Some(_) => return Err(field(DerError::BadBoolean)),
            };
            let value = one.expect(tag::OCTET_STRING).map_err(field)?.content;
            one.finish().map_err(field)?;
            let name = || Oid::from_content(oid).to_string();
            if list.len() >= MAX_CERTIFICATE_EXTENSIONS {
                return Err(CertificateError::TooManyExtensions);
            }
            // RFC 5280 4.2: not more than one instance of an extension.
            if list.iter().any(|entry| entry.oid.get(der) == oid) {
                return Err(CertificateError::DuplicateExtension { oid: name() });
            }
            let entry = ExtensionSpan { oid: Span::of(der, oid), critical, value: Span::of(der, value) };
            match out.decode(oid, value, der) {
                Ok(Processed::Yes) => {}
                Ok(Processed::No) if critical => out.unknown_critical = out.unknown_critical.or(Some(entry.oid)),
                Ok(Processed::No) => {}
                Err(problem) => return Err(CertificateError::Extension { oid: name(), problem }),
            }
            list.push(entry);
        }
        out.list = list;
        Ok(out)
    }

    /// Decodes one extension, and returns whether path validation or revocation checking processes it: then it may be
    /// critical.
    fn decode(&mut self, oid: &[u8], value: &[u8], der: &Bytes) -> Result<Processed, ExtensionProblem> {
        match oid {
            id::SUBJECT_KEY_IDENTIFIER => {
                let tlv = der::exactly(value, tag::OCTET_STRING)?;
                self.subject_key_identifier = Some(Span::of(der, tlv.content));
            }
            id::AUTHORITY_KEY_IDENTIFIER => {
                self.authority_key_identifier = Some(authority_key_identifier(value, der)?);
            }
            id::KEY_USAGE => {
                let bits = der::named_bits(der::exactly(value, tag::BIT_STRING)?.content)?;
                // RFC 5280 4.2.1.3: at least one bit is set.
                if bits == 0 {
                    return Err(ExtensionProblem::Der(DerError::Empty));
                }
                self.key_usage = Some(KeyUsage(bits));
            }
            id::SUBJECT_ALT_NAME => {
                // Path validation, where names matter, rejects an empty list; old OCSP responders have one.
                let sequence = der::exactly(value, tag::SEQUENCE)?;
                if !sequence.content.is_empty() {
                    self.subject_alt_names = GeneralName::read_all(sequence.content, der)?;
                }
            }
            id::BASIC_CONSTRAINTS => self.basic_constraints = Some(basic_constraints(value)?),
            id::NAME_CONSTRAINTS => {
                der::check(value)?;
                self.name_constraints = Some(Box::new(NameConstraints::parse(value, der)?));
            }
            id::CERTIFICATE_POLICIES => {
                let (policies, qualifiers) = policy_information(value)?;
                self.certificate_policies = Some(policies);
                // RFC 5280 4.2.1.4: a verifier that cannot interpret a qualifier rejects the certificate if the
                // extension is critical.
                if qualifiers == Qualifiers::Unknown {
                    return Ok(Processed::No);
                }
            }
            id::APPLICATION_POLICIES => {
                let (policies, qualifiers) = policy_information(value)?;
                self.application_policies = Some(policies);
                if qualifiers == Qualifiers::Unknown {
                    return Ok(Processed::No);
                }
            }
            id::POLICY_MAPPINGS => self.policy_mappings = Some(policy_mappings(value)?),
            id::POLICY_CONSTRAINTS => self.policy_constraints = Some(policy_constraints(value)?),
            id::INHIBIT_ANY_POLICY => {
                let tlv = der::exactly(value, tag::INTEGER)?;
                self.inhibit_any_policy = Some(skip_certs(tlv.content)?);
            }
            id::EXTENDED_KEY_USAGE => self.extended_key_usage = Some(extended_key_usage(value)?),
            id::CRL_DISTRIBUTION_POINTS | id::FRESHEST_CRL => {
                der::check(value)?;
                der::exactly(value, tag::SEQUENCE)?;
            }
            id::ISSUER_ALT_NAME => {
                der::check(value)?;
                der::exactly(value, tag::SEQUENCE)?;
            }
            id::AUTHORITY_INFO_ACCESS | id::SUBJECT_INFO_ACCESS => {
                der::check(value)?;
                der::exactly(value, tag::SEQUENCE)?;
                // RFC 5280 4.2.2: these are never critical. A critical one requires processing that does not exist.
                return Ok(Processed::No);
            }
            _ => return Ok(Processed::No),
        }
        Ok(Processed::Yes)
    }
}

/// Whether a type of extension is processed, in certificates and in OCSP responses.
pub(crate) enum Processed {
    Yes,
    No,
}

fn field(source: DerError) -> CertificateError {
    CertificateError::Der { field: "extensions", source }
}

fn basic_constraints(value: &[u8]) -> Result<BasicConstraints, ExtensionProblem> {
    let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    // An encoded default (`cA FALSE`) is not DER, but so many CAs write it that it is accepted.
    let is_ca = match reader.optional(tag::BOOLEAN)? {
        Some(tlv) => der::boolean(tlv.content)?,
        None => false,
    };
    let path_len = match reader.optional(tag::INTEGER)? {
        Some(tlv) => Some(skip_certs(tlv.content)?),
        None => None,
    };
    reader.finish()?;
    // RFC 5280 4.2.1.9: no pathLenConstraint unless cA is asserted. Issuers write it all the same; it then has no
    // effect.
    Ok(BasicConstraints { is_ca, path_len: path_len.filter(|_| is_ca) })
}

/// The content of a number of certificates: a non-negative INTEGER; one beyond 32 bits counts as no limit.
fn skip_certs(content: &[u8]) -> Result<u32, DerError> {
    match der::small_unsigned(content) {
        Err(DerError::IntegerRange) if content.first().is_some_and(|first| *first < 0x80) => Ok(u32::MAX),
        number => number,
    }
}

fn authority_key_identifier(value: &[u8], der: &Bytes) -> Result<AuthorityKeyIdentifier, ExtensionProblem> {
    der::check(value)?;
    let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    let key_identifier = reader.optional(tag::context(0))?.map(|tlv| Span::of(der, tlv.content));
    let issuer = reader.optional(tag::context_constructed(1))?;
    let serial = reader.optional(tag::context(2))?;
    reader.finish()?;
    // RFC 5280 4.2.1.1 (and X.509): issuer and serial number are both present or both absent.
    if issuer.is_some() != serial.is_some() {
        return Err(ExtensionProblem::HalfIssuerSerial);
    }
    Ok(AuthorityKeyIdentifier { key_identifier })
}

fn extended_key_usage(value: &[u8]) -> Result<Vec<Oid>, ExtensionProblem> {
    let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    let mut purposes = Vec::with_capacity(2);
    while !reader.is_empty() {
        purposes.push(Oid::from_content(reader.oid()?));
        bounded(purposes.len())?;
    }
    if purposes.is_empty() { Err(DerError::Empty.into()) } else { Ok(purposes) }
}

/// Whether RFC 5280 defines the qualifiers of the policies.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Qualifiers {
    Processed,
    Unknown,
}

/// id-qt-cps and id-qt-unotice.
const KNOWN_QUALIFIERS: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 2, 1], &[0x2b, 6, 1, 5, 5, 7, 2, 2]];

/// The policies of a SEQUENCE OF PolicyInformation.
fn policy_information(value: &[u8]) -> Result<(Vec<Oid>, Qualifiers), ExtensionProblem> {
    der::check(value)?;
    let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    let mut policies = Vec::with_capacity(2);
    let mut known = Qualifiers::Processed;
    while !reader.is_empty() {
        let mut information = reader.nested(tag::SEQUENCE)?;
        policies.push(Oid::from_content(information.oid()?));
        bounded(policies.len())?;
        // Qualifiers that RFC 5280 defines are informational, and 6.1 ignores them.
        if let Some(qualifiers) = information.optional(tag::SEQUENCE)? {
            let mut qualifiers = Reader::new(qualifiers.content);
            if qualifiers.is_empty() {
                return Err(DerError::Empty.into());
            }
            while !qualifiers.is_empty() {
                let oid = qualifiers.nested(tag::SEQUENCE)?.oid()?;
                if !KNOWN_QUALIFIERS.contains(&oid) {
                    known = Qualifiers::Unknown;
                }
            }
        }
        information.finish()?;
    }
    if policies.is_empty() {
        return Err(DerError::Empty.into());
    }
    // RFC 5280 4.2.1.4: a policy appears once.
    let mut sorted: Vec<&Oid> = policies.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(ExtensionProblem::DuplicatePolicy);
    }
    Ok((policies, known))
}

fn policy_mappings(value: &[u8]) -> Result<Vec<(Oid, Oid)>, ExtensionProblem> {
    let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    let mut mappings = Vec::with_capacity(2);
    while !reader.is_empty() {
        let mut mapping = reader.nested(tag::SEQUENCE)?;
        let issuer = Oid::from_content(mapping.oid()?);
        let subject = Oid::from_content(mapping.oid()?);
        mapping.finish()?;
        mappings.push((issuer, subject));
        bounded(mappings.len())?;
    }
    if mappings.is_empty() { Err(DerError::Empty.into()) } else { Ok(mappings) }
}

fn policy_constraints(value: &[u8]) -> Result<PolicyConstraints, ExtensionProblem> {
    let mut reader = Reader::new(der::exactly(value, tag::SEQUENCE)?.content);
    let mut number = |n: u8| -> Result<Option<u32>, DerError> {
        reader.optional(tag::context(n))?.map(|tlv| skip_certs(tlv.content)).transpose()
    };
    let out = PolicyConstraints { require_explicit_policy: number(0)?, inhibit_policy_mapping: number(1)? };
    reader.finish()?;
    // RFC 5280 4.2.1.11: not an empty sequence.
    if out == PolicyConstraints::default() { Err(DerError::Empty.into()) } else { Ok(out) }
}

fn bounded(count: usize) -> Result<(), ExtensionProblem> {
    if count > MAX_OIDS_IN_EXTENSION { Err(ExtensionProblem::TooMany) } else { Ok(()) }
}
