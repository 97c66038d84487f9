//! The checks of RFC 5280 section 6.1 on one certificate: as the leaf of a path, and as an issuer within it.
//!
//! Signatures, names that chain, policies and name constraints are checked where the path is put together
//! ([`super::build`]).

use crate::certificate::{Certificate, Version, id};
use crate::oid::Oid;
use crate::time::UnixTime;

use super::signature::PublicKey;
use super::{KeyPurpose, LeafRule, PathError, PathParameters, UsageRule};

const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37, 0];
/// szOID_ANY_APPLICATION_POLICY: among Microsoft's application policies, what anyExtendedKeyUsage is among key
/// purposes.
const ANY_APPLICATION_POLICY: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 12, 1];

/// Why a certificate is unfit as a leaf, independent of its issuer. First its permanent defects, then the time, then
/// its key.
pub(super) fn leaf(certificate: &Certificate, parameters: &PathParameters, now: UnixTime) -> Result<(), PathError> {
    form(certificate)?;
    let is_ca = certificate.basic_constraints().is_some_and(|constraints| constraints.is_ca);
    // 4.1.2.6: an empty subject makes subjectAltName the only name, and so critical.
    let named = || certificate.extension(id::SUBJECT_ALT_NAME).is_some_and(|names| names.critical);
    if certificate.subject().is_empty() && !named() {
        return Err(PathError::Nameless);
    }
    if !is_ca {
        // 4.2.1.9: without cA, keyCertSign is not asserted. 4.2.1.10: only CAs have name constraints.
        if certificate.key_usage().is_some_and(|usage| usage.key_cert_sign()) {
            return Err(PathError::CaExtensionInEndEntity("keyUsage keyCertSign"));
        }
        if certificate.name_constraints().is_some() {
            return Err(PathError::CaExtensionInEndEntity("nameConstraints"));
        }
    } else if parameters.leaf == LeafRule::EndEntity {
        return Err(PathError::CaAsEndEntity);
    }
    time(certificate, now)?;
    PublicKey::parse(certificate.public_key())?.check_strength(&parameters.signatures)?;
    Ok(())
}

/// Why a certificate is unfit as an intermediate (6.1.4); `below` is the number of intermediates between it and the
/// leaf, not counting self-issued ones.
pub(super) fn issuer(certificate: &Certificate, below: u32, now: UnixTime) -> Result<(), PathError> {
    form(certificate)?;
    time(certificate, now)?;
    capacity(certificate, below)
}

/// The same for the next key of an anchor, where [`super::RolloverRule::KeyCertSign`] holds.
pub(super) fn next_key(certificate: &Certificate, below: u32, now: UnixTime) -> Result<(), PathError> {
    form(certificate)?;
    time(certificate, now)?;
    match (certificate.basic_constraints(), certificate.key_usage()) {
        (None, Some(usage)) if usage.key_cert_sign() => Ok(()),
        _ => capacity(certificate, below),
    }
}

/// Whether a certificate is that of a CA that may have this many intermediates below it.
fn capacity(certificate: &Certificate, below: u32) -> Result<(), PathError> {
    // 6.1.4 (k). A certificate without extensions could be let in by other means; there are none here.
    let constraints = certificate.basic_constraints().filter(|constraints| constraints.is_ca);
    let constraints = constraints.ok_or(PathError::NotCa)?;
    // 6.1.4 (n).
    if certificate.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(PathError::MayNotSign);
    }
    // 6.1.4 (l), (m), seen from below.
    match constraints.path_len {
        Some(limit) if below > limit => Err(PathError::PathLength { limit, found: below }),
        _ => Ok(()),
    }
}

/// The requirements on every certificate below the anchor.
fn form(certificate: &Certificate) -> Result<(), PathError> {
    if certificate.version() != Version::V3 {
        return Err(PathError::OldVersion(certificate.version()));
    }
    if certificate.serial_number().is_empty() {
        return Err(PathError::ZeroSerial);
    }
    if certificate.has_empty_subject_alt_name() {
        return Err(PathError::EmptyNames);
    }
    match certificate.unknown_critical_extension() {
        Some(oid) => Err(PathError::UnknownCriticalExtension(oid)),
        None => Ok(()),
    }
}

/// 6.1.3 (a) (2). Both ends belong to the period (4.1.2.5).
pub(super) fn time(certificate: &Certificate, now: UnixTime) -> Result<(), PathError> {
    if now < certificate.not_before() {
        return Err(PathError::NotYetValid { not_before: certificate.not_before(), now });
    }
    if now > certificate.not_after() {
        return Err(PathError::Expired { not_after: certificate.not_after(), now });
    }
    Ok(())
}

/// Whether the leaf's key may be used for the purpose (4.2.1.12). keyUsage and extendedKeyUsage must both allow it, and
/// the absence of keyUsage allows everything (4.2.1.3).
pub(super) fn leaf_usage(certificate: &Certificate, parameters: &PathParameters) -> Result<(), PathError> {
    let rule = parameters.usage;
    let (purpose, absence_permits, any_counts) = match rule {
        UsageRule::Unchecked => return Ok(()),
        UsageRule::Listed(purpose) => (purpose, false, false),
        UsageRule::Permitted(purpose) => (purpose, true, false),
        UsageRule::PermittedOrAny(purpose) => (purpose, true, true),
    };
    let mut permitted = absence_permits;
    for listed in purposes(certificate) {
        permitted = lists(listed, purpose.oid()) || (any_counts && lists_any(listed));
        if !permitted {
            break;
        }
    }
    if !permitted {
        return Err(not_permitted(certificate, purpose));
    }
    // A TLS client signs the handshake; before TLS 1.3 it could agree on a key with a fixed one instead.
    match certificate.key_usage() {
        Some(usage)
            if purpose == KeyPurpose::ClientAuth
                && parameters.leaf == LeafRule::EndEntity
                && !usage.digital_signature()
                && !usage.key_agreement() =>
        {
            Err(PathError::KeyUsage { wanted: purpose.name() })
        }
        _ => Ok(()),
    }
}

/// Whether a CA of the path may issue for the purpose. RFC 5280 leaves extendedKeyUsage in CA certificates open; every
/// verifier in use takes it as a limit on what lies below. anyExtendedKeyUsage is no limit.
pub(super) fn issuer_usage(certificate: &Certificate, rule: UsageRule) -> Result<(), PathError> {
    let purpose = match rule {
        UsageRule::Unchecked => return Ok(()),
        UsageRule::Listed(purpose) | UsageRule::Permitted(purpose) | UsageRule::PermittedOrAny(purpose) => purpose,
    };
    match purposes(certificate).all(|listed| lists(listed, purpose.oid()) || lists_any(listed)) {
        true => Ok(()),
        false => Err(not_permitted(certificate, purpose)),
    }
}

/// The lists of key purposes in a certificate: extendedKeyUsage, and Microsoft's application policies, which its CAs
/// write beside it or in its place. Each holds by itself, so that none lifts what another limits.
fn purposes(certificate: &Certificate) -> impl Iterator<Item = &[Oid]> {
    [certificate.extended_key_usage(), certificate.application_policies()].into_iter().flatten()
}

fn lists_any(listed: &[Oid]) -> bool {
    lists(listed, ANY_EXTENDED_KEY_USAGE) || lists(listed, ANY_APPLICATION_POLICY)
}

fn lists(listed: &[Oid], purpose: &[u8]) -> bool {
    listed.iter().any(|oid| oid == purpose)
}

fn not_permitted(certificate: &Certificate, purpose: KeyPurpose) -> PathError {
    let names = |listed: &[Oid]| listed.iter().take(16).map(purpose_name).collect::<Vec<_>>().join(", ");
    let own = certificate.extended_key_usage().map(|listed| format!("it lists {}", names(listed)));
    let other = certificate.application_policies().map(|listed| format!("application policies list {}", names(listed)));
    let found: Vec<String> = own.into_iter().chain(other).collect();
    let found = if found.is_empty() { "the extension is absent".to_owned() } else { found.join("; ") };
    PathError::KeyPurpose { wanted: purpose.name(), found }
}

fn purpose_name(oid: &Oid) -> String {
    let known: &[(&[u8], &str)] = &[
        (SERVER_AUTH, "serverAuth"),
        (CLIENT_AUTH, "clientAuth"),
        (ANY_EXTENDED_KEY_USAGE, "anyExtendedKeyUsage"),
        (&[0x2b, 6, 1, 5, 5, 7, 3, 3], "codeSigning"),
        (&[0x2b, 6, 1, 5, 5, 7, 3, 4], "emailProtection"),
        (&[0x2b, 6, 1, 5, 5, 7, 3, 8], "timeStamping"),
        (&[0x2b, 6, 1, 5, 5, 7, 3, 9], "OCSPSigning"),
    ];
    known.iter().find(|(known, _)| oid == *known).map_or_else(|| oid.to_string(), |(_, name)| (*name).to_owned())
}

impl KeyPurpose {
    fn oid(self) -> &'static [u8] {
        match self {
            Self::ClientAuth => CLIENT_AUTH,
            Self::ServerAuth => SERVER_AUTH,
        }
    }

    /// The name of RFC 5280.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientAuth => "clientAuth",
            Self::ServerAuth => "serverAuth",
        }
    }
}
