//! Checks of an OCSP response: who signed it, for which issuer it may answer, and the status of one certificate
//! (RFC 6960 sections 3.2 and 4.2.2.2).
//!
//! A response is accepted if it is signed by the CA that issued the certificate, or by a delegate: a certificate issued
//! directly by that CA's key, within its validity, with OCSPSigning in extendedKeyUsage. A responder trusted by
//! configuration alone (the RFC's third way) is not supported.
//!
//! If several of its answers cover the certificate, the worst one applies.

use std::sync::Arc;

use crate::certificate::Certificate;
use crate::oid::Oid;
use crate::path::signature::{self, PublicKey, Sha1, SignatureError, SignaturePolicy};
use crate::path::{self, KeyOrigin};
use crate::revocation::serials::magnitude;
use crate::revocation::{BadStatus, Freshness, MAX_AGE_WITHOUT_NEXT_UPDATE, MaxAge, RevocationEntry};
use crate::time::UnixTime;

use super::cert_id::{CertIdHash, IssuerHashes, key_octets};
use super::id;
use super::response::{CertStatus, OcspResponse, ResponderId, SingleResponse};

/// The requirements on responses.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct OcspPolicy {
    /// How old they may be.
    pub freshness: Freshness,
    /// Keys and algorithms that may sign them.
    pub signatures: SignaturePolicy,
    /// Which delegates are accepted.
    pub authority: Authority,
}

/// Which delegates are accepted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Delegates to which the CA has given OCSPSigning.
    OcspSigning,
    /// Every certificate that the CA has issued. For test suites that do not check the authority.
    AnyIssued,
}

/// The effect of the request's nonce on the response (RFC 9654).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Nonce<'a> {
    /// None was sent; the response's nonce is ignored.
    NotSent,
    /// A response with another nonce is rejected; one without is accepted, since responders may omit it.
    Sent(&'a [u8]),
    /// A response without this nonce is rejected.
    Required(&'a [u8]),
}

/// Who signed a response.
#[derive(Debug)]
pub enum Responder {
    /// The CA itself.
    Issuer,
    /// A delegate.
    Delegate {
        /// Its certificate.
        certificate: Arc<Certificate>,
        /// Whether the CA exempts it from a revocation check (id-pkix-ocsp-nocheck). If not, the caller must check it.
        no_check: bool,
    },
}

/// A certificate that a response calls good.
#[derive(Debug)]
pub struct OcspGood {
    /// The last second at which the response is current.
    pub valid_until: UnixTime,
    /// Who signed it.
    pub responder: Responder,
}

/// SHA-1 and RSA below 2048 bits are rejected; nextUpdate decides.
impl Default for OcspPolicy {
    fn default() -> Self {
        Self {
            freshness: Freshness::default(),
            signatures: SignaturePolicy::default(),
            authority: Authority::OcspSigning,
        }
    }
}

/// Evaluates `response` for `certificate`. The caller must know that `issuer` issued it.
pub fn check(
    response: &OcspResponse,
    certificate: &Certificate,
    issuer: &Certificate,
    nonce: Nonce<'_>,
    policy: &OcspPolicy,
    now: UnixTime,
) -> Result<OcspGood, BadStatus> {
    let unknown = |detail: String| BadStatus::Unknown { detail };
    let about: Vec<&SingleResponse> = answers(response, certificate, issuer).collect();
    if about.is_empty() {
        return Err(unknown("the OCSP response is not about the certificate".to_owned()));
    }
    let responder = signer(response, issuer, policy, now).map_err(unknown)?;
    match (nonce, response.nonce()) {
        (Nonce::NotSent, _) | (Nonce::Sent(_), None) => {}
        (Nonce::Sent(sent) | Nonce::Required(sent), Some(found)) if sent == found => {}
        (Nonce::Required(_), None) => return Err(unknown("the OCSP response does not repeat the nonce".to_owned())),
        (Nonce::Sent(_) | Nonce::Required(_), Some(_)) => {
            return Err(unknown("the OCSP response repeats another nonce".to_owned()));
        }
    }
    let skew = policy.freshness.clock_skew;
    if response.produced_at() > now.plus(skew) {
        return Err(unknown(format!("the OCSP response is from {}, which is in the future", response.produced_at())));
    }
    let source = || format!("the OCSP response from {}", response.produced_at());
    for single in &about {
        if let CertStatus::Revoked { date, reason } = single.status() {
            return Err(BadStatus::Revoked { entry: RevocationEntry { date, reason }, source: source() });
        }
    }
    if about.iter().any(|single| single.status() == CertStatus::Unknown) {
        return Err(unknown(format!("{} says unknown", source())));
    }
    let mut best: Option<UnixTime> = None;
    for single in &about {
        if single.this_update() > now.plus(skew) {
            return Err(unknown(format!(
                "{} has thisUpdate {}, which is in the future",
                source(),
                single.this_update()
            )));
        }
        let until = until(single, &policy.freshness);
        best = Some(best.map_or(until, |best| best.min(until)));
    }
    match best {
        Some(valid_until) if valid_until >= now => Ok(OcspGood { valid_until, responder }),
        _ => Err(BadStatus::Stale { detail: format!("{} is out of date", source()) }),
    }
}

/// Whether some answer of `response` covers `certificate`.
pub fn is_about(response: &OcspResponse, certificate: &Certificate, issuer: &Certificate) -> bool {
    answers(response, certificate, issuer).next().is_some()
}

/// The answers for `certificate`.
fn answers<'a>(
    response: &'a OcspResponse,
    certificate: &Certificate,
    issuer: &Certificate,
) -> impl Iterator<Item = &'a SingleResponse> {
    response.responses().iter().filter(move |single| {
        magnitude(&single.serial) == Some(certificate.serial_number())
            && is_by(single, &[certificate.issuer().der(), issuer.subject().der()], issuer)
    })
}

/// Whether `response` may answer for `issuer`: all its answers name the issuer, and the issuer or a delegate signed it.
/// Its age and its answers are not checked.
pub fn authority(
    response: &OcspResponse,
    issuer: &Certificate,
    policy: &OcspPolicy,
    now: UnixTime,
) -> Result<Responder, BadStatus> {
    let unknown = |detail: String| BadStatus::Unknown { detail };
    let names = [issuer.subject().der()];
    if response.responses().is_empty() || !response.responses().iter().all(|single| is_by(single, &names, issuer)) {
        return Err(unknown("the OCSP response is about certificates of another issuer".to_owned()));
    }
    signer(response, issuer, policy, now).map_err(unknown)
}

/// Whether a CertID names the issuer, under one of the encodings of its name.
fn is_by(single: &SingleResponse, names: &[&[u8]], issuer: &Certificate) -> bool {
    let Some(hash) = single.hash else { return false };
    names.iter().any(|name| {
        let hashes = IssuerHashes::new(hash, name, issuer);
        *hashes.name.as_ref() == *single.issuer_name_hash && *hashes.key.as_ref() == *single.issuer_key_hash
    })
}

/// The last second at which an answer is current, clock skew included.
fn until(single: &SingleResponse, freshness: &Freshness) -> UnixTime {
    let by_age = match freshness.max_age {
        MaxAge::Seconds(seconds) => Some(seconds),
        MaxAge::NextUpdate | MaxAge::Weekly if single.next_update().is_none() => Some(MAX_AGE_WITHOUT_NEXT_UPDATE),
        MaxAge::NextUpdate | MaxAge::Weekly => None,
    };
    let by_age = by_age.map(|seconds| single.this_update().plus(seconds));
    let until = match (by_age, single.next_update()) {
        (Some(a), Some(b)) => a.min(b),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => single.this_update(),
    };
    until.plus(freshness.clock_skew)
}

/// The signer of the response, by the identifier in it (4.2.2.2).
fn signer(
    response: &OcspResponse,
    issuer: &Certificate,
    policy: &OcspPolicy,
    now: UnixTime,
) -> Result<Responder, String> {
    let mut problem = "the responder's certificate was not found".to_owned();
    if is_named(response, issuer) {
        match verify(response, issuer, policy) {
            Ok(()) => return Ok(Responder::Issuer),
            Err(error) => problem = format!("the OCSP response is not signed by the CA: {error}"),
        }
    }
    for der in response.certificates() {
        // A certificate that does not parse cannot be the signer; the others still can.
        let Ok(delegate) = Certificate::from_der(der.clone()).map(Arc::new) else { continue };
        if !is_named(response, &delegate) {
            continue;
        }
        match is_delegate(&delegate, issuer, policy, now) {
            Ok(()) => match verify(response, &delegate, policy) {
                Ok(()) => {
                    let no_check = delegate.extension(id::NO_CHECK).is_some();
                    return Ok(Responder::Delegate { certificate: delegate, no_check });
                }
                Err(error) => problem = format!("the OCSP response is not signed by its responder: {error}"),
            },
            Err(detail) => problem = format!("responder [{}]: {detail}", delegate.subject()),
        }
    }
    Err(problem)
}

/// Whether the response names the certificate's subject as the responder.
fn is_named(response: &OcspResponse, certificate: &Certificate) -> bool {
    match response.responder() {
        ResponderId::Name(name) => name == certificate.subject(),
        // KeyHash is always SHA-1 (4.2.1).
        ResponderId::Key(hash) => **hash == *CertIdHash::Sha1.of(key_octets(certificate)).as_ref(),
    }
}

fn verify(response: &OcspResponse, signer: &Certificate, policy: &OcspPolicy) -> Result<(), SignatureError> {
    let (algorithm, data) = (response.algorithm(), response.data());
    signature::verify_signature(signer.public_key(), algorithm, data, response.signature(), &policy.signatures)
}

/// Whether the CA has made the certificate its responder (4.2.2.2): it issued the certificate directly, for signing
/// OCSP responses.
fn is_delegate(
    delegate: &Arc<Certificate>,
    issuer: &Certificate,
    policy: &OcspPolicy,
    now: UnixTime,
) -> Result<(), String> {
    if delegate.issuer() != issuer.subject() {
        return Err(format!("it is certified by [{}], not by the CA itself", delegate.issuer()));
    }
    PublicKey::parse(delegate.public_key())
        .and_then(|key| key.check_cost(KeyOrigin::Presented))
        .map_err(|error| error.to_string())?;
    signature::verify_signature(
        issuer.public_key(),
        delegate.signature_algorithm(),
        delegate.tbs(),
        delegate.signature(),
        &policy.signatures,
    )
    .map_err(|error| format!("its certificate is not signed by the CA: {error}"))?;
    path::check_validity(delegate, now).map_err(|failure| failure.error.to_string())?;
    if let Some(oid) = delegate.unknown_critical_extension() {
        return Err(format!("critical extension {oid} is not supported"));
    }
    // A policy that allows SHA-1 allows the certificates of that era.
    if delegate.has_empty_subject_alt_name() && policy.signatures.sha1 == Sha1::Refused {
        return Err("its subjectAltName is empty".to_owned());
    }
    if policy.authority == Authority::AnyIssued {
        return Ok(());
    }
    let lists = |listed: &[Oid]| listed.iter().any(|purpose| *purpose == *id::OCSP_SIGNING);
    if !delegate.extended_key_usage().is_some_and(lists) || !delegate.application_policies().is_none_or(lists) {
        return Err("its extendedKeyUsage does not list OCSPSigning".to_owned());
    }
    // 4.2.1.12 of RFC 5280: consistent with digitalSignature and nonRepudiation.
    if delegate.key_usage().is_some_and(|usage| !usage.digital_signature() && !usage.non_repudiation()) {
        return Err("its keyUsage has neither digitalSignature nor nonRepudiation".to_owned());
    }
    Ok(())
}
