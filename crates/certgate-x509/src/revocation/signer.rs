//! Who may sign a CRL about a certificate (RFC 5280 section 6.3.3 (f) and (g)).
//!
//! A signer bears the CRL issuer's name, may sign CRLs (keyUsage, where there is one, has cRLSign; an anchor's is
//! looked at too), and its key verifies the signature. It is a certificate of the path, or another one whose own path
//! is valid, ends at the same trust anchor, and is not revoked.
//!
//! Stricter than RFC 5280: the other signer of a CA's own CRL (a separate key, or an older or newer one) is certified
//! by that CA or by whoever certified it, not by just anybody below the anchor; else any sub-CA that certifies the
//! name could vouch for another's certificates. For an indirect CRL the distribution point names the issuer, and that
//! is enough.

use std::sync::Arc;

use crate::certificate::Certificate;
use crate::error_kind::ErrorKind;
use crate::path::signature::PublicKey;
use crate::path::{self, KeyOrigin, LeafRule, PathParameters, Pot, Rejection, UsageRule};
use crate::trace::Trace;

use super::check::{Check, Silence};
use super::crl::Crl;
use super::data::Held;
use super::{BadStatus, OnUnknown, RevocationScope};

/// How a CRL's signer stands to the certificate in question; the better one first.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Authority {
    /// The signer does not depend on the certificate.
    Independent,
    /// The signer is the certificate, or hangs on it: a CRL issuer whose own status stands in the CRL that it signs
    /// (PKITS 4.14.30). Such a CRL is heard when there is no other.
    SelfVouched,
}

/// The certificates whose status is being determined: what hangs on them vouches for itself.
#[derive(Copy, Clone, Debug)]
pub(super) struct Doubt<'a> {
    certificate: &'a Certificate,
    outer: Option<&'a Doubt<'a>>,
}

impl Doubt<'_> {
    fn holds(&self, certificate: &Certificate) -> bool {
        let mut next = Some(self);
        while let Some(doubt) = next {
            if doubt.certificate.is_same(certificate) {
                return true;
            }
            next = doubt.outer;
        }
        false
    }

    fn depth(&self) -> usize {
        let mut depth = 0_usize;
        let mut next = Some(self);
        while let Some(doubt) = next {
            depth = depth.saturating_add(1);
            next = doubt.outer;
        }
        depth
    }
}

/// How deep signers of CRLs about signers of CRLs are followed.
const MAX_DEPTH: usize = 3;

impl<'a> Check<'a> {
    /// Finds who signed a CRL, and what the signature is worth for the certificate at `position`; with the signer's
    /// DER SubjectPublicKeyInfo.
    pub(super) fn authority<'p, T: Trace>(
        &self,
        held: &Held,
        path: &'p [Arc<Certificate>],
        position: usize,
        doubt: Option<&Doubt<'_>>,
        trace: &mut T,
    ) -> Result<(Authority, &'p [u8]), Silence>
    where
        'a: 'p,
    {
        let crl = held.crl();
        let mut silence = Silence::NoSigner;
        let anchor = path.len().saturating_sub(1);
        // Above the certificate first: its issuer is nearly always the one.
        let above = path.iter().enumerate().skip(position.saturating_add(1));
        let below = path.iter().enumerate().take(position.saturating_add(1)).rev();
        for (at, candidate) in above.chain(below) {
            match self.signs(held, candidate) {
                Ok(()) if at > position || at == anchor => return Ok((Authority::Independent, candidate.public_key())),
                Ok(()) => return Ok((Authority::SelfVouched, candidate.public_key())),
                Err(better) => silence = rank(silence, better),
            }
        }
        let pool = self.helpers.pool.named(crl.issuer());
        let presented = self.helpers.presented.iter().filter(|candidate| candidate.subject() == crl.issuer());
        for candidate in pool.chain(presented) {
            if path.iter().any(|certificate| certificate.is_same(candidate)) {
                continue;
            }
            let outcome =
                self.signs(held, candidate).and_then(|()| self.elsewhere(candidate, crl, path, position, doubt, trace));
            match outcome {
                Ok(authority) => return Ok((authority, candidate.public_key())),
                Err(better) => silence = rank(silence, better),
            }
        }
        Err(silence)
    }

    /// Whether the candidate has the name, the right and the key.
    fn signs(&self, held: &Held, candidate: &Certificate) -> Result<(), Silence> {
        if candidate.subject() != held.crl().issuer() {
            return Err(Silence::NoSigner);
        }
        if candidate.key_usage().is_some_and(|usage| !usage.crl_sign()) {
            return Err(Silence::MayNotSign);
        }
        let (key, policy) = (candidate.public_key(), &self.policy.signatures);
        if held.is_known_by(key, policy) {
            return Ok(());
        }
        self.afford(held.crl(), key)?;
        held.crl().verify(key, policy).map_err(Silence::Signature)
    }

    /// Pays for trying one more key, unless it is configured or has been tried: whoever has a certificate can send others
    /// that it has made itself.
    fn afford(&self, crl: &Crl, spki: &[u8]) -> Result<(), Silence> {
        if crl.has_tried(spki, &self.policy.signatures) || self.helpers.pool.has_key(spki) {
            return Ok(());
        }
        let key = PublicKey::parse(spki).and_then(|key| key.check_cost(KeyOrigin::SentAlong).map(|()| key));
        let key = key.map_err(Silence::Signature)?;
        let paid = self.budget.signature(Pot::SentAlong, key.cost(crl.signed_octets()));
        paid.map_err(|_| Silence::Signer("too many keys to try".to_owned()))
    }

    /// Whether a signer that is not on the path may sign.
    fn elsewhere<T: Trace>(
        &self,
        signer: &Arc<Certificate>,
        crl: &Crl,
        path: &[Arc<Certificate>],
        position: usize,
        doubt: Option<&Doubt<'_>>,
        trace: &mut T,
    ) -> Result<Authority, Silence> {
        let (Some(certificate), Some(anchor)) = (path.get(position), path.last()) else {
            return Err(Silence::NoSigner);
        };
        if doubt.is_some_and(|doubt| doubt.holds(signer)) {
            return Ok(Authority::SelfVouched);
        }
        let is_own = crl.issuer() == certificate.issuer();
        let above = path.get(position.saturating_add(1)..).filter(|above| !above.is_empty());
        let masters = masters(above.unwrap_or(std::slice::from_ref(certificate)));
        if is_own && !masters.iter().any(|master| master.subject() == signer.issuer()) {
            return Err(Silence::Signer(format!("it is certified by [{}]", signer.issuer())));
        }
        let doubt = Doubt { certificate, outer: doubt };
        if doubt.depth() > MAX_DEPTH {
            return Err(Silence::Signer("too many signers to follow".to_owned()));
        }
        self.budget.search().map_err(|_| Silence::Signer("too many signers to follow".to_owned()))?;

        let parameters = PathParameters {
            usage: UsageRule::Unchecked,
            leaf: LeafRule::AnyCertificate,
            signatures: self.policy.signatures,
            ..PathParameters::default()
        };
        let helpers = self.helpers;
        let (pool, presented) = (helpers.pool, helpers.presented);
        let found =
            path::find_within(self.budget, signer, presented, pool, &parameters, self.now, trace, |found, trace| {
                if !found.anchor().is_same(anchor) {
                    let detail =
                        format!("its path ends at [{}], not at [{}]", found.anchor().subject(), anchor.subject());
                    return Err(Rejection { kind: ErrorKind::Untrusted, detail });
                }
                // A name is not enough: whoever is a CA below the anchor can give the names of others.
                if is_own && !is_certified_by(masters, found.certificates()) {
                    let detail = format!("it is certified by another [{}]", signer.issuer());
                    return Err(Rejection { kind: ErrorKind::Untrusted, detail });
                }
                self.is_good(found.certificates(), &doubt, trace)
            });
        match found {
            Ok(_) => Ok(Authority::Independent),
            Err(failure) => Err(Silence::Signer(failure.to_string())),
        }
    }

    /// Whether the path of a signer is not revoked, as far as the profile wants to know.
    fn is_good<T: Trace>(&self, path: &[Arc<Certificate>], doubt: &Doubt<'_>, trace: &mut T) -> Result<(), Rejection> {
        if self.policy.scope == RevocationScope::EndEntity {
            return Ok(());
        }
        for position in 0..path.len().saturating_sub(1) {
            match self.certificate(path, position, Some(doubt), trace) {
                Ok(_) => {}
                Err(BadStatus::Unknown { .. } | BadStatus::Stale { .. })
                    if self.policy.on_unknown == OnUnknown::Allow => {}
                Err(status) => return Err(Rejection { kind: status.kind(), detail: status.to_string() }),
            }
        }
        Ok(())
    }
}

/// Who may certify the other keys of a CA, of what is `above` a certificate that it issued: the CA, and whoever
/// certified it. Each may stand there with more than one key, by certificates that it issued to itself.
fn masters(above: &[Arc<Certificate>]) -> &[Arc<Certificate>] {
    let mut ends = above.iter().enumerate().filter(|(_, certificate)| !certificate.is_self_issued());
    let last = ends.nth(1).map_or(above.len(), |(at, _)| at.saturating_add(1));
    above.get(..last).unwrap_or_default()
}

/// Whether one of the masters has certified the first of `path`, by its own key or by one that it issued to itself.
fn is_certified_by(masters: &[Arc<Certificate>], path: &[Arc<Certificate>]) -> bool {
    for certificate in path.iter().skip(1) {
        let same_key = |master: &Arc<Certificate>| {
            master.subject() == certificate.subject() && master.public_key() == certificate.public_key()
        };
        if masters.iter().any(same_key) {
            return true;
        }
        if !certificate.is_self_issued() {
            return false;
        }
    }
    false
}

/// The silence that tells more.
fn rank(a: Silence, b: Silence) -> Silence {
    let worth = |silence: &Silence| match silence {
        Silence::NoSigner => 0_u8,
        Silence::MayNotSign => 1,
        Silence::Signature(_) => 2,
        _ => 3,
    };
    if worth(&b) > worth(&a) { b } else { a }
}
