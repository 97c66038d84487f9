//! Which certificates may become trust anchors, and what an operator should know about one that is.

use certgate_x509::{Certificate, KeyOrigin, PathParameters, PublicKey, UnixTime, Version};
use thiserror::Error;

/// Why the extensions of a certificate do not let it be a trust anchor.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum UnfitAnchor {
    /// Of version 3, without basicConstraints.
    #[error("not a CA: it has no basicConstraints")]
    NoBasicConstraints,
    /// basicConstraints without cA.
    #[error("not a CA: basicConstraints has no cA")]
    NotCa,
    /// keyUsage without keyCertSign.
    #[error("keyUsage does not have keyCertSign")]
    MayNotSign,
}

/// Whether the extensions of a certificate let it be a trust anchor.
///
/// RFC 5280 section 6.1.1 (d) takes an anchor for a name and a key, so path building asks nobody this. It is asked
/// where certificates become anchors: whoever lists a client's certificate, to pin it, would let its key issue every
/// identity (RFC 5280 section 4.2.1.9: without cA, the key must not verify signatures on certificates). Certificates of
/// versions 1 and 2 have no extensions.
pub fn check_anchor(certificate: &Certificate) -> Result<(), UnfitAnchor> {
    match (certificate.version(), certificate.basic_constraints()) {
        (Version::V3, None) => return Err(UnfitAnchor::NoBasicConstraints),
        (_, Some(constraints)) if !constraints.is_ca => return Err(UnfitAnchor::NotCa),
        _ => {}
    }
    match certificate.key_usage() {
        Some(usage) if !usage.key_cert_sign() => Err(UnfitAnchor::MayNotSign),
        _ => Ok(()),
    }
}

/// What an operator should know about a certificate that is a trust anchor, or is to be one. Nothing of it stops path
/// building from trusting the anchor; what [`check_anchor`] finds stops it from becoming one, unless a profile says
/// otherwise.
pub fn lint_anchor(anchor: &Certificate, now: UnixTime, requirements: &PathParameters) -> Vec<String> {
    let mut findings = Vec::new();
    if now > anchor.not_after() {
        findings.push(format!("expired at {}; it is trusted all the same", anchor.not_after()));
    } else if now < anchor.not_before() {
        findings.push(format!("not valid before {}; it is trusted all the same", anchor.not_before()));
    }
    if let Err(problem) = check_anchor(anchor) {
        findings.push(problem.to_string());
    }
    if anchor.version() != Version::V3 {
        findings.push(format!("of version {:?}: nothing in it says whether it is a CA's", anchor.version()));
    }
    if anchor.basic_constraints().is_some_and(|constraints| constraints.path_len.is_some()) {
        findings.push("its pathLenConstraint is not applied; use maxPathLength".to_owned());
    }
    if let Some(oid) = anchor.unknown_critical_extension() {
        findings.push(format!("critical extension {oid} is not known and not applied"));
    }
    if !anchor.is_self_issued() {
        findings.push(format!("not a root: issued by {}", anchor.issuer()));
    }
    let key = PublicKey::parse(anchor.public_key());
    let check = |key: PublicKey<'_>| {
        key.check_strength(&requirements.signatures)?;
        key.check_cost(KeyOrigin::Configured)
    };
    match key.and_then(check) {
        Ok(()) => {}
        Err(error) => findings.push(format!("nothing it signs is accepted: {error}")),
    }
    findings
}
