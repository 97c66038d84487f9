//! `certgate inspect`: a certificate in words, and every name that a policy can use for it.
//!
//! Owns the answer's JSON form, which is stable, and the form for people ([`mod@render`]). The code that compiles
//! policies defines what a name means to a policy ([`names`]). The engine describes the certificate. `x509-parser`
//! describes what the engine need not read ([`describe`]), and also certificates that the engine rejects.

pub mod describe;
pub mod directory;
pub mod names;
mod render;
mod unusual;

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value as Json;
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub use render::{PAINTED, render};

use crate::domain::decide::reason::Reason;
use crate::explain::ExplainedReason;
use crate::panics;
use crate::terminal::clipped;
use certgate_x509::{Certificate, PublicKey, Sha256, UnixTime, Version, der::Reader, encoding::container::Form};
use directory::AltSecurityIdentity;
use names::PolicyName;

/// The most names of one form that are examined.
pub const MAX_NAMES: usize = 100;

/// The most certificates behind the first that are described.
pub const MAX_CHAIN: usize = 32;

/// The most findings that are reported for one certificate.
const MAX_FINDINGS: usize = 40;

/// The longest description of an extension, in characters.
const MAX_DESCRIPTION: usize = 1_000;

/// The longest name that is shown without use in a policy, in characters.
const MAX_TEXT: usize = 4_096;

/// Whether another trusted CA can issue a certificate with this name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Strength {
    Strong,
    Weak,
}

/// An object identifier with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedOid {
    /// Dotted.
    pub oid: String,
    /// Its name in standards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The name, else the dotted form.
impl fmt::Display for NamedOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_ref().unwrap_or(&self.oid))
    }
}

/// What a file of certificates holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The reference time for validity, RFC 3339.
    pub at: String,
    /// The form of the file, such as `PEM`; absent where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Whether the engine accepts all certificates of the file.
    pub well_formed: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<ExplainedReason>,
    /// The first certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Box<CertificateReport>>,
    /// Those behind it, at most [`MAX_CHAIN`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<CertificateReport>,
    /// How many were left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A certificate in words. For one that the engine rejects, this is what `x509-parser` reads, as far as it can.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateReport {
    /// The subject, RFC 4514: the order in which policies take it.
    pub subject: String,
    /// The issuer, RFC 4514.
    pub issuer: String,
    /// The serial number, lower-case hexadecimal.
    pub serial_number: String,
    /// SHA-256 of the DER.
    pub sha256: String,
    /// SHA-256 of the DER SubjectPublicKeyInfo.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub public_key_sha256: String,
    /// The first valid second, RFC 3339.
    pub not_before: String,
    /// The last valid second.
    pub not_after: String,
    /// 1, 2 or 3.
    pub version: u32,
    /// Kind and size of the key, or why they are unknown.
    pub public_key: String,
    /// The algorithm of the signature.
    pub signature_algorithm: NamedOid,
    /// Whether it may issue certificates (basicConstraints).
    pub is_ca: bool,
    /// keyUsage; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_usage: Option<Vec<&'static str>>,
    /// extendedKeyUsage; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended_key_usage: Option<Vec<NamedOid>>,
    /// certificatePolicies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_policies: Vec<NamedOid>,
    /// subjectAltName, each with its form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<String>,
    /// The account's SID (1.3.6.1.4.1.311.25.2, or the URI of KB5014754).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The names that policies can use for it.
    pub names: Vec<PolicyName>,
    /// How many names were left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub names_omitted: usize,
    /// The strings by which Active Directory can map it.
    pub alt_security_identities: Vec<AltSecurityIdentity>,
    /// A whole `CertificateMapping`; absent for a certificate that the engine rejects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Json>,
    /// Every extension in order.
    pub extensions: Vec<ExtensionReport>,
    /// Unusual properties.
    pub unusual: Vec<String>,
    /// Why the engine rejects it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// An extension in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExtensionReport {
    /// Its type.
    #[serde(flatten)]
    pub oid: NamedOid,
    /// Whether a reader that does not know the extension must reject the certificate.
    pub critical: bool,
    /// Its value.
    pub description: String,
}

impl Default for NamedOid {
    fn default() -> Self {
        Self { oid: "unknown".to_owned(), name: None }
    }
}

/// Describes the certificates of a file, as of `now`.
pub fn inspect(form: Form, certificates: &[Bytes], now: UnixTime) -> Inspection {
    let mut reports = certificates.iter().take(MAX_CHAIN + 1).map(|der| report(der, now));
    let certificate = reports.next().map(Box::new);
    let chain: Vec<_> = reports.collect();
    let refused = certificate.iter().map(|first| &**first).chain(&chain).find_map(|report| report.refused.clone());
    Inspection {
        at: now.to_string(),
        form: Some(form.to_string()),
        well_formed: refused.is_none(),
        reason: refused.map(|detail| ExplainedReason::new(Reason::CertMalformed, &detail)),
        certificate,
        chain,
        omitted: certificates.len().saturating_sub(MAX_CHAIN + 1),
    }
}

/// The answer for a file from which no certificate can be extracted.
pub fn unreadable(detail: &str, now: UnixTime) -> Inspection {
    Inspection {
        at: now.to_string(),
        form: None,
        well_formed: false,
        reason: Some(ExplainedReason::new(Reason::CertMalformed, detail)),
        certificate: None,
        chain: Vec::new(),
        omitted: 0,
    }
}

fn report(der: &Bytes, now: UnixTime) -> CertificateReport {
    // A defect of `x509-parser` must not suppress what the engine has read.
    let other = panics::guarded(|| other_reading(der));
    let other = other.unwrap_or_else(|panic| Err(format!("x509-parser failed at {}", panic.place)));
    match Certificate::from_der(der.clone()) {
        Ok(certificate) => accepted(&certificate, other, now),
        Err(error) => {
            let (mut report, problem) = match other {
                Ok(report) => (report, None),
                Err(problem) => (CertificateReport::default(), Some(problem)),
            };
            report.sha256 = Sha256::of(der).to_string();
            report.unusual = vec!["every policy rejects it; x509-parser reads it as shown".to_owned()];
            if let Some(problem) = problem {
                report.unusual =
                    vec![format!("every policy rejects it, and x509-parser cannot read it either: {problem}")];
            }
            report.refused = Some(error.to_string());
            report
        }
    }
}

fn accepted(certificate: &Certificate, other: Result<CertificateReport, String>, now: UnixTime) -> CertificateReport {
    let (names, names_omitted) = names::policy_names(certificate);
    let key = PublicKey::parse(certificate.public_key());
    let algorithm = Reader::new(certificate.signature_algorithm())
        .nested(certgate_x509::der::tag::SEQUENCE)
        .and_then(|mut algorithm| algorithm.oid().map(describe::named));
    let own_extensions = || {
        let own = certificate.extensions().map(|extension| ExtensionReport {
            oid: describe::named(extension.oid),
            critical: extension.critical,
            description: describe::octets(extension.value),
        });
        own.collect()
    };
    let problem = other.as_ref().err().map(|problem| format!("x509-parser cannot read it: {problem}"));
    let listed = |oids: &[certgate_x509::Oid]| {
        oids.iter().take(MAX_NAMES).map(|oid| describe::named(oid.as_bytes())).collect::<Vec<_>>()
    };
    let mut report = CertificateReport {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial_number: hexadecimal(certificate.serial_number()),
        sha256: certificate.sha256().to_string(),
        public_key_sha256: certificate.public_key_sha256().to_string(),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
        version: match certificate.version() {
            Version::V1 => 1,
            Version::V2 => 2,
            Version::V3 => 3,
        },
        public_key: key.map_or_else(|error| error.to_string(), |key| key.kind().to_string()),
        signature_algorithm: algorithm.unwrap_or_default(),
        is_ca: certificate.basic_constraints().is_some_and(|constraints| constraints.is_ca),
        key_usage: certificate.key_usage().map(|usage| usage.names().collect()),
        extended_key_usage: certificate.extended_key_usage().map(listed),
        certificate_policies: certificate.certificate_policies().map(listed).unwrap_or_default(),
        subject_alt_names: certificate
            .subject_alt_names()
            .iter()
            .take(MAX_NAMES)
            .map(|name| clipped(&name.to_string(), MAX_TEXT))
            .collect(),
        sid: directory::sids(certificate).into_iter().next(),
        names,
        names_omitted,
        alt_security_identities: directory::alt_security_identities(certificate),
        mapping: Some(names::mapping(certificate)),
        extensions: other.map_or_else(|_| own_extensions(), |other| other.extensions),
        unusual: Vec::new(),
        refused: None,
    };
    report.unusual = unusual::findings(certificate, &report, now);
    if let Some(more @ 1..) = report.unusual.len().checked_sub(MAX_FINDINGS) {
        report.unusual.truncate(MAX_FINDINGS);
        report.unusual.push(format!("and {more} more findings"));
    }
    report.unusual.extend(problem);
    report
}

/// What `x509-parser` reads.
fn other_reading(der: &[u8]) -> Result<CertificateReport, String> {
    let (rest, other) = X509Certificate::from_der(der).map_err(|error| clipped(&error.to_string(), 200))?;
    let extensions = other.extensions().iter().map(|extension| ExtensionReport {
        oid: describe::named(extension.oid.as_bytes()),
        critical: extension.critical,
        description: clipped(&describe::extension(extension), MAX_DESCRIPTION),
    });
    let alternatives = other.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    let time = |time: &x509_parser::time::ASN1Time| UnixTime::from_secs(time.timestamp()).to_string();
    let mut report = CertificateReport {
        subject: clipped(&other.subject().to_string(), MAX_TEXT),
        issuer: clipped(&other.issuer().to_string(), MAX_TEXT),
        serial_number: hexadecimal(other.raw_serial()),
        public_key_sha256: Sha256::of(other.public_key().raw).to_string(),
        not_before: time(&other.validity().not_before),
        not_after: time(&other.validity().not_after),
        version: other.version().0.saturating_add(1),
        public_key: describe::named(other.public_key().algorithm.algorithm.as_bytes()).to_string(),
        signature_algorithm: describe::named(other.signature_algorithm.algorithm.as_bytes()),
        is_ca: other.is_ca(),
        subject_alt_names: alternatives
            .into_iter()
            .flatten()
            .take(MAX_NAMES)
            .map(|name| clipped(&describe::general_name(name), MAX_TEXT))
            .collect(),
        extensions: extensions.take(certgate_x509::limits::MAX_CERTIFICATE_EXTENSIONS).collect(),
        ..CertificateReport::default()
    };
    if !rest.is_empty() {
        report.unusual.push(format!("{} octets follow it", rest.len()));
    }
    Ok(report)
}

/// Lower-case hexadecimal; `00` for no octets, which represent zero.
pub fn hexadecimal(octets: &[u8]) -> String {
    if octets.is_empty() {
        return "00".to_owned();
    }
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
