//! Where the certificates of a `TrustProfile` come from, and what becomes of those among them that cannot be used.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::metadata::{check_name, shown};
use super::{Field, FieldError, MAX_SOURCES, Report};
use crate::domain::api::{BundleRef, KeyRef, Kind, LabelSelector, OnBadCertificateSpec, TrustSource};
use crate::domain::decide::verifier::check_anchor;
use certgate_x509::{Certificate, encoding::bundle};

/// The longest name of a signer: a host name of 253 octets, a slash, and a path (Kubernetes' limit for
/// CertificateSigningRequests is 571).
const MAX_SIGNER_NAME: usize = 571;

/// The longest path of a file.
const MAX_FILE_PATH: usize = 4096;

/// The most bad certificates of one text that are reported one by one.
const MAX_REPORTED: usize = 16;

/// Where certificates come from, or other things that are signed.
#[derive(Clone, Debug)]
pub enum SourceRef<T = Certificate> {
    /// A key of a ConfigMap or Secret of the profile's namespace.
    Key(Kind, KeyRef),
    /// ClusterTrustBundles.
    Bundle(BundleName),
    /// A file.
    File(String),
    /// The profile itself.
    Inline(Arc<[Arc<T>]>),
}

/// A source of certificates, and how it is read.
#[derive(Debug)]
pub struct CertificateSource {
    /// Where they come from.
    pub source: SourceRef,
    /// Which of them count.
    pub filter: CertificateFilter,
}

/// Which certificates of a text count.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateFilter {
    /// What each must be.
    pub role: Role,
    /// What one that is not does to the others.
    pub on_bad: OnBadCertificateSpec,
}

/// What a certificate is wanted for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Anything.
    Any,
    /// A trust anchor that its own extensions let be one.
    Anchor,
}

/// What a text holds.
#[derive(Clone, Debug, Default)]
pub struct UsableCertificates {
    /// The certificates that count, each once.
    pub certificates: Vec<Arc<Certificate>>,
    /// What is wrong with the others.
    pub skipped: Vec<String>,
}

/// Which ClusterTrustBundles a source means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BundleName {
    /// The one of this name.
    Name(String),
    /// Those of this signer with these labels.
    Signer(String, LabelSelector),
}

/// Compiles a list of sources, given with their places in it. The certificates that do not count go to `skipped` and
/// are warned of.
pub(super) fn sources<'s>(
    field: &Field<'_>,
    specs: impl ExactSizeIterator<Item = (usize, &'s TrustSource)>,
    role: Role,
    skipped: &mut Vec<FieldError>,
    report: &mut Report,
) -> Vec<CertificateSource> {
    report.cap(field, specs.len(), MAX_SOURCES);
    specs.filter_map(|(at, spec)| source(&field.at(at), spec, role, skipped, report)).collect()
}

fn source(
    field: &Field<'_>,
    spec: &TrustSource,
    role: Role,
    skipped: &mut Vec<FieldError>,
    report: &mut Report,
) -> Option<CertificateSource> {
    let TrustSource { config_map, secret, cluster_trust_bundle, inline, file, on_bad_certificate } = spec;
    // The author of the profile writes inline certificates; others often make the bundles.
    let default = if inline.is_some() { OnBadCertificateSpec::Refuse } else { OnBadCertificateSpec::Skip };
    let filter = CertificateFilter { role, on_bad: on_bad_certificate.unwrap_or(default) };
    let source = match (config_map, secret, cluster_trust_bundle, inline, file) {
        (Some(key), None, None, None, None) => {
            key_ref(&field.child("configMap"), key, report);
            SourceRef::Key(Kind::ConfigMap, key.clone())
        }
        (None, Some(key), None, None, None) => {
            key_ref(&field.child("secret"), key, report);
            SourceRef::Key(Kind::Secret, key.clone())
        }
        (None, None, Some(bundle), None, None) => {
            SourceRef::Bundle(bundle_name(&field.child("clusterTrustBundle"), bundle, report)?)
        }
        (None, None, None, Some(pem), None) => {
            SourceRef::Inline(inline_certificates(&field.child("inline"), pem, filter, skipped, report)?)
        }
        (None, None, None, None, Some(path)) => file_ref(&field.child("file"), path, report),
        _ => {
            report.error(field, "want exactly one of configMap, secret, clusterTrustBundle, inline, file");
            return None;
        }
    };
    Some(CertificateSource { source, filter })
}

fn inline_certificates(
    field: &Field<'_>,
    pem: &str,
    filter: CertificateFilter,
    skipped: &mut Vec<FieldError>,
    report: &mut Report,
) -> Option<Arc<[Arc<Certificate>]>> {
    let UsableCertificates { certificates, skipped: bad } =
        report.take(field, certificates(&Bytes::copy_from_slice(pem.as_bytes()), filter))?;
    if certificates.is_empty() {
        // The author can correct an inline certificate at once: it is an error, not a source to wait for.
        bad.iter().for_each(|problem| report.error(field, problem));
        return None;
    }
    let bad = bad.iter().map(|problem| FieldError::new(field.to_string(), problem));
    let bad: Vec<FieldError> = bad.collect();
    report.warnings.extend(bad.iter().cloned());
    skipped.extend(bad);
    Some(certificates.into())
}

fn bundle_name(field: &Field<'_>, spec: &BundleRef, report: &mut Report) -> Option<BundleName> {
    let BundleRef { name, signer_name, label_selector } = spec;
    let labels = field.child("labelSelector");
    match (name, signer_name) {
        (Some(name), None) => {
            // Names of bundles may hold colons after a signer's name; they are only looked up.
            if name.is_empty() {
                report.error(&field.child("name"), "the name is empty");
            }
            if label_selector.is_some() {
                report.error(&labels, "a labelSelector is given with signerName only");
            }
            Some(BundleName::Name(name.clone()))
        }
        (None, Some(signer)) => {
            // As the API server takes them: a domain, a slash, and a path.
            let parts = signer.split_once('/');
            let sound = parts.is_some_and(|(domain, path)| domain.contains('.') && !path.is_empty());
            if !sound || signer.len() > MAX_SIGNER_NAME || !signer.bytes().all(is_signer_byte) {
                let message = format_args!("{} is not the name of a signer: want domain/path", shown(signer));
                report.error(&field.child("signerName"), message);
            }
            let Some(selector) = label_selector else {
                report.error(&labels, "signerName needs a labelSelector; `{}` selects all bundles of the signer");
                return None;
            };
            Some(BundleName::Signer(signer.clone(), selector.clone()))
        }
        _ => {
            report.error(field, "want exactly one of name, signerName");
            None
        }
    }
}

const fn is_signer_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b'_')
}

pub(super) fn file_ref<T>(field: &Field<'_>, path: &str, report: &mut Report) -> SourceRef<T> {
    if path.is_empty() || path.len() > MAX_FILE_PATH || path.chars().any(char::is_control) {
        report.error(field, format_args!("{} is not the path of a file", shown(path)));
    }
    SourceRef::File(path.to_owned())
}

pub(super) fn key_ref(field: &Field<'_>, spec: &KeyRef, report: &mut Report) {
    check_name(&field.child("name"), &spec.name, report);
    if spec.key.is_empty() {
        report.error(&field.child("key"), "the key is empty");
    }
}

/// The certificates in a PEM text that count, each once. There may be none when all that can be read are of no use.
///
/// # Errors
/// The text is no PEM, or none of its certificates can be read; with [`OnBadCertificateSpec::Refuse`] also when one
/// cannot be read or is of no use.
pub fn certificates(pem: &Bytes, filter: CertificateFilter) -> Result<UsableCertificates, String> {
    let mut seen = BTreeSet::new();
    let mut found = UsableCertificates::default();
    let (mut is_readable, mut bad) = (false, 0_usize);
    for (at, block) in (1_usize..).zip(bundle::blocks(pem).map_err(|error| error.to_string())?) {
        let parsed = block.der.map_err(|error| error.to_string());
        let parsed = parsed.and_then(|der| Certificate::from_der(der).map_err(|error| error.to_string()));
        is_readable |= parsed.is_ok();
        match parsed.and_then(|certificate| fit(certificate, filter.role)) {
            Ok(certificate) if seen.insert(certificate.sha256()) => found.certificates.push(Arc::new(certificate)),
            Ok(_) => {}
            Err(problem) => {
                bad = bad.saturating_add(1);
                if bad <= MAX_REPORTED {
                    found.skipped.push(format!("certificate {at} (line {}): {problem}", block.place.line));
                }
            }
        }
    }
    if filter.on_bad == OnBadCertificateSpec::Refuse || !is_readable {
        return match bad.checked_sub(1) {
            None => Ok(found),
            Some(0) => Err(found.skipped.concat()),
            Some(more) => Err(format!("{} (and {more} more)", found.skipped.first().map_or("", String::as_str))),
        };
    }
    if let Some(more) = bad.checked_sub(MAX_REPORTED).filter(|more| *more > 0) {
        found.skipped.push(format!("{more} more certificates cannot be used"));
    }
    for problem in &mut found.skipped {
        problem.push_str("; it is skipped, the others are used (onBadCertificate: Skip)");
    }
    Ok(found)
}

/// The certificate, if it is of use.
fn fit(certificate: Certificate, role: Role) -> Result<Certificate, String> {
    match role {
        Role::Any => Ok(certificate),
        Role::Anchor => match check_anchor(&certificate) {
            Ok(()) => Ok(certificate),
            Err(problem) => Err(format!(
                "{} cannot be a trust anchor: {problem} (anchorExtensions: Ignore would take it)",
                certificate.subject()
            )),
        },
    }
}
