//! Who may sign a CRL about a certificate (RFC 5280 section 6.3.3 (f) and (g)).
//!
//! A signer has the CRL issuer's name, may sign CRLs (keyUsage, if present, has cRLSign; this also holds for an
//! anchor), and its key verifies the signature. It is a certificate of the path, or another one whose own path is
//! valid, ends at the same trust anchor, and is not revoked.
//!
//! Stricter than RFC 5280: another signer of a CA's own CRL (a separate key, or an older or newer one) must be
//! certified by that CA or by the CA that certified it, not by any CA below the anchor. Otherwise any sub-CA that
//! certifies the name could vouch for another CA's certificates. For an indirect CRL the distribution point names the
//! issuer, and that is sufficient.

use std::sync::Arc;

use crate::certificate::Certificate;
use crate::error_kind::ErrorKind;
use crate::path::signature::PublicKey;
use crate::path::{self, Account, KeyOrigin, LeafRule, PathParameters, Rejection, UsageRule};
use crate::trace::Trace;

use super::check::{Check, NotApplicable};
use super::crl::Crl;
use super::crl_with_signer::CrlWithSigner;
use super::{BadStatus, OnUnknown, RevocationScope};

/// Relationship of the CRL's signer to the certificate in question, the preferred one first.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SignerRelation {
    /// The signer does not depend on the certificate.
    Independent,
    /// The signer is the certificate or depends on it: a CRL issuer whose own status is in the CRL that it signs
    /// (PKITS 4.14.30). Such a CRL is used when there is no other.
    SelfVouched,
}

/// The certificates whose status is being determined. A CRL whose signer depends on one of them proves nothing about
/// it; searching for such a signer again would never end.
#[derive(Copy, Clone, Debug)]
pub(super) struct Pending<'a> {
    certificate: &'a Certificate,
    outer: Option<&'a Pending<'a>>,
}

impl Pending<'_> {
    fn holds(&self, certificate: &Certificate) -> bool {
        let mut next = Some(self);
        while let Some(pending) = next {
            if pending.certificate.is_same(certificate) {
                return true;
            }
            next = pending.outer;
        }
        false
    }

    fn depth(&self) -> usize {
        let mut depth = 0_usize;
        let mut next = Some(self);
        while let Some(pending) = next {
            depth = depth.saturating_add(1);
            next = pending.outer;
        }
        depth
    }
}

/// The depth to which signers of CRLs about CRL signers are followed.
const MAX_SIGNER_DEPTH: usize = 3;

impl<'a> Check<'a> {
    /// Finds the signer of a CRL, and the authority of its signature for the certificate at `position`; also returns
    /// the signer's DER SubjectPublicKeyInfo.
    pub(super) fn authority<'p, T: Trace>(
        &self,
        held: &CrlWithSigner,
        path: &'p [Arc<Certificate>],
        position: usize,
        pending: Option<&Pending<'_>>,
        trace: &mut T,
    ) -> Result<(SignerRelation, &'p [u8]), NotApplicable>
    where
        'a: 'p,
    {
        let crl = held.crl();
        let mut problem = NotApplicable::NoSigner;
        let anchor = path.len().saturating_sub(1);
        // Certificates above this one are tried first: the signer is nearly always its issuer.
        let above = path.iter().enumerate().skip(position.saturating_add(1));
        let below = path.iter().enumerate().take(position.saturating_add(1)).rev();
        for (at, candidate) in above.chain(below) {
            match self.signs(held, candidate) {
                Ok(()) if at > position || at == anchor => {
                    return Ok((SignerRelation::Independent, candidate.public_key()));
                }
                Ok(()) => return Ok((SignerRelation::SelfVouched, candidate.public_key())),
                Err(better) => problem = rank(problem, better),
            }
        }
        let pool = self.helpers.pool.named(crl.issuer());
        let presented = self.helpers.presented.iter().filter(|candidate| candidate.subject() == crl.issuer());
        for candidate in pool.chain(presented) {
            if path.iter().any(|certificate| certificate.is_same(candidate)) {
                continue;
            }
            let outcome = self
                .signs(held, candidate)
                .and_then(|()| self.off_path_signer(candidate, crl, path, position, pending, trace));
            match outcome {
                Ok(authority) => return Ok((authority, candidate.public_key())),
                Err(better) => problem = rank(problem, better),
            }
        }
        Err(problem)
    }

    /// Whether the candidate has the name, the right and the key.
    fn signs(&self, held: &CrlWithSigner, candidate: &Certificate) -> Result<(), NotApplicable> {
        if candidate.subject() != held.crl().issuer() {
            return Err(NotApplicable::NoSigner);
        }
        if candidate.key_usage().is_some_and(|usage| !usage.crl_sign()) {
            return Err(NotApplicable::MayNotSign);
        }
        let (key, policy) = (candidate.public_key(), &self.policy.signatures);
        if held.has_signer(key, policy) {
            return Ok(());
        }
        self.afford(held.crl(), key)?;
        held.crl().verify(key, policy).map_err(NotApplicable::Signature)
    }

    /// Charges the budget for trying one more key, unless it is configured or was tried: a client can send any number
    /// of other keys.
    fn afford(&self, crl: &Crl, spki: &[u8]) -> Result<(), NotApplicable> {
        if crl.has_tried(spki, &self.policy.signatures) || self.helpers.pool.has_key(spki) {
            return Ok(());
        }
        let key = PublicKey::parse(spki).and_then(|key| key.check_cost(KeyOrigin::Presented).map(|()| key));
        let key = key.map_err(NotApplicable::Signature)?;
        let paid = self.budget.signature(Account::Presented, key.cost(crl.signed_octets()));
        paid.map_err(|_| NotApplicable::Signer("too many keys to try".to_owned()))
    }

    /// Whether a signer that is not on the path may sign.
    fn off_path_signer<T: Trace>(
        &self,
        signer: &Arc<Certificate>,
        crl: &Crl,
        path: &[Arc<Certificate>],
        position: usize,
        pending: Option<&Pending<'_>>,
        trace: &mut T,
    ) -> Result<SignerRelation, NotApplicable> {
        let (Some(certificate), Some(anchor)) = (path.get(position), path.last()) else {
            return Err(NotApplicable::NoSigner);
        };
        if pending.is_some_and(|pending| pending.holds(signer)) {
            return Ok(SignerRelation::SelfVouched);
        }
        let is_own = crl.issuer() == certificate.issuer();
        let above = path.get(position.saturating_add(1)..).filter(|above| !above.is_empty());
        let certifiers = certifiers(above.unwrap_or(std::slice::from_ref(certificate)));
        if is_own && !certifiers.iter().any(|certifier| certifier.subject() == signer.issuer()) {
            return Err(NotApplicable::Signer(format!("it is certified by [{}]", signer.issuer())));
        }
        let pending = Pending { certificate, outer: pending };
        if pending.depth() > MAX_SIGNER_DEPTH {
            return Err(NotApplicable::Signer("too many signers to follow".to_owned()));
        }
        self.budget.search().map_err(|_| NotApplicable::Signer("too many signers to follow".to_owned()))?;

        let parameters = PathParameters {
            usage: UsageRule::Unchecked,
            leaf: LeafRule::AnyCertificate,
            signatures: self.policy.signatures,
            ..PathParameters::default()
        };
        let helpers = self.helpers;
        let (pool, presented) = (helpers.pool, helpers.presented);
        let found = path::find_path_within(
            self.budget,
            signer,
            presented,
            pool,
            &parameters,
            self.now,
            trace,
            |found, trace| {
                if !found.anchor().is_same(anchor) {
                    let detail =
                        format!("its path ends at [{}], not at [{}]", found.anchor().subject(), anchor.subject());
                    return Err(Rejection { kind: ErrorKind::Untrusted, detail });
                }
                // A name is not sufficient: any CA below the anchor can issue a certificate with the name of another.
                if is_own && !is_certified_by(certifiers, found.certificates()) {
                    let detail = format!("it is certified by another [{}]", signer.issuer());
                    return Err(Rejection { kind: ErrorKind::Untrusted, detail });
                }
                self.is_good(found.certificates(), &pending, trace)
            },
        );
        match found {
            Ok(_) => Ok(SignerRelation::Independent),
            Err(failure) => Err(NotApplicable::Signer(failure.to_string())),
        }
    }

    /// Whether the path of a signer is not revoked, as far as the profile requires a check.
    fn is_good<T: Trace>(
        &self,
        path: &[Arc<Certificate>],
        pending: &Pending<'_>,
        trace: &mut T,
    ) -> Result<(), Rejection> {
        if self.policy.scope == RevocationScope::EndEntity {
            return Ok(());
        }
        for position in 0..path.len().saturating_sub(1) {
            match self.certificate(path, position, Some(pending), trace) {
                Ok(_) => {}
                Err(BadStatus::Unknown { .. } | BadStatus::Stale { .. })
                    if self.policy.on_unknown == OnUnknown::Allow => {}
                Err(status) => return Err(Rejection { kind: status.kind(), detail: status.to_string() }),
            }
        }
        Ok(())
    }
}

/// The CAs that may certify the other keys of a CA, given the certificates `above` one that it issued: the CA, and the
/// CA that certified it. Each may occur with several keys, by certificates that it issued to itself.
fn certifiers(above: &[Arc<Certificate>]) -> &[Arc<Certificate>] {
    let mut ends = above.iter().enumerate().filter(|(_, certificate)| !certificate.is_self_issued());
    let last = ends.nth(1).map_or(above.len(), |(at, _)| at.saturating_add(1));
    above.get(..last).unwrap_or_default()
}

/// Whether one of the certifiers has certified the first of `path`, by its own key or by one that it issued to itself.
fn is_certified_by(certifiers: &[Arc<Certificate>], path: &[Arc<Certificate>]) -> bool {
    for certificate in path.iter().skip(1) {
        let same_key = |certifier: &Arc<Certificate>| {
            certifier.subject() == certificate.subject() && certifier.public_key() == certificate.public_key()
        };
        if certifiers.iter().any(same_key) {
            return true;
        }
        if !certificate.is_self_issued() {
            return false;
        }
    }
    false
}

/// The more informative of two problems.
fn rank(a: NotApplicable, b: NotApplicable) -> NotApplicable {
    let worth = |problem: &NotApplicable| match problem {
        NotApplicable::NoSigner => 0_u8,
        NotApplicable::MayNotSign => 1,
        NotApplicable::Signature(_) => 2,
        _ => 3,
    };
    if worth(&b) > worth(&a) { b } else { a }
}
