//! The CRLs of a trust profile, by issuer, and OCSP responses: built when a source changes, read by every request.

use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::certificate::Certificate;
use crate::encoding::bundle::MAX_CRLS;
use crate::name::Name;
use crate::path::{SignatureError, SignaturePolicy};

use super::crl::Crl;
use super::ocsp::OcspResponse;
use super::succession::{self, Because, Fate, RolledBack};

/// An immutable set of CRLs and responses. Which of several speaks about a certificate is decided when one is checked, by scope and
/// freshness; the order in which they were given means nothing.
#[derive(Debug, Default)]
pub struct RevocationData {
    crls: Vec<Arc<Crl>>,
    held: Vec<Arc<Held>>,
    by_issuer: HashMap<Box<[u8]>, Vec<Arc<Held>>, RandomState>,
    has_deltas: bool,
    responses: Vec<Arc<OcspResponse>>,
    /// Verified CRLs that were in use and for which nothing is offered any more, the last ones first. They speak about
    /// nothing; no older CRL comes in their place.
    retired: Vec<Arc<Held>>,
}

/// CRLs that are remembered after nothing is offered for them any more: as many as one text can hold.
const MAX_RETIRED: usize = MAX_CRLS;

/// A CRL, and whose it has turned out to be here. The CRL itself may be shared with other profiles, whose anchors are
/// others and prove nothing in this one.
#[derive(Debug)]
pub(super) struct Held {
    crl: Arc<Crl>,
    signer: OnceLock<Signer>,
}

/// A key that verifies a CRL, of somebody who may sign it.
#[derive(Debug)]
struct Signer {
    /// The DER SubjectPublicKeyInfo.
    spki: Box<[u8]>,
    /// Under which it has verified.
    policy: SignaturePolicy,
}

impl Held {
    fn new(crl: Arc<Crl>) -> Self {
        Self { crl, signer: OnceLock::new() }
    }

    pub(super) fn crl(&self) -> &Crl {
        &self.crl
    }

    pub(super) fn shared(&self) -> &Arc<Crl> {
        &self.crl
    }

    /// Takes down that the key in `spki`, of somebody who may sign the CRL, verifies it under `policy`.
    pub(super) fn is_by(&self, spki: &[u8], policy: &SignaturePolicy) {
        self.signer.get_or_init(|| Signer { spki: spki.into(), policy: *policy });
    }

    /// Whether the key in `spki` is the one that has been taken down: a comparison, without a lock.
    pub(super) fn is_known_by(&self, spki: &[u8], policy: &SignaturePolicy) -> bool {
        self.signer.get().is_some_and(|signer| *signer.spki == *spki && signer.policy == *policy)
    }

    /// Verifies the CRL by the key in `spki`.
    pub(super) fn verify(&self, spki: &[u8], policy: &SignaturePolicy) -> Result<(), SignatureError> {
        if self.is_known_by(spki, policy) { Ok(()) } else { self.crl.verify(spki, policy) }
    }

    /// Whether a signer is known whose signature counts under `policy`, which may have changed since.
    fn is_verified(&self, policy: &SignaturePolicy) -> bool {
        self.signer.get().is_some_and(|signer| self.verify(&signer.spki, policy).is_ok())
    }
}

impl RevocationData {
    /// The given CRLs.
    pub fn new(crls: impl IntoIterator<Item = Arc<Crl>>) -> Self {
        Self::of_held(crls.into_iter().map(|crl| Arc::new(Held::new(crl))).collect())
    }

    fn of_held(held: Vec<Arc<Held>>) -> Self {
        let crls = held.iter().map(|held| Arc::clone(&held.crl)).collect();
        let has_deltas = held.iter().any(|held| held.crl.base_number().is_some());
        let mut data = Self { crls, has_deltas, ..Self::default() };
        for one in &held {
            match data.by_issuer.get_mut(one.crl.issuer().canonical()) {
                Some(list) => list.push(Arc::clone(one)),
                None => {
                    data.by_issuer.insert(one.crl.issuer().canonical().into(), vec![Arc::clone(one)]);
                }
            }
        }
        data.held = held;
        data
    }

    /// The CRLs that follow on these: those that are offered, but for what is older than a CRL of this set that has been
    /// verified here and is under `policy`; and such CRLs of this set as nothing newer replaces ([`succession`]). What
    /// nothing is offered for any more is not in use any more: the operator has removed it. It comes back when something
    /// older is offered in its place.
    pub fn updated(&self, offered: Self, policy: &SignaturePolicy) -> (Self, Vec<RolledBack>) {
        let mut held: Vec<Arc<Held>> = offered.held.iter().map(|newcomer| self.recognized(newcomer)).collect();
        let newcomers = held.clone();
        let (mut refused, mut retired) = (Vec::new(), Vec::new());
        let in_use = self.held.iter().map(|held| (held, true));
        let former = in_use.chain(self.retired.iter().map(|held| (held, false)));
        for (kept, is_in_use) in former.filter(|(held, _)| held.is_verified(policy)) {
            match succession::fate(&kept.crl, &newcomers, |held| held.is_verified(policy)) {
                Fate::Replaced => {}
                Fate::NotOffered => retired.push(Arc::clone(kept)),
                Fate::Kept(offered) if !is_in_use && !offered.iter().any(RolledBack::is_behind) => {
                    retired.push(Arc::clone(kept));
                }
                Fate::Kept(offered) => {
                    let older = offered.iter().filter(|rolled_back| rolled_back.because == Because::Older);
                    let older: Vec<_> = older.map(|rolled_back| Arc::as_ptr(&rolled_back.offered)).collect();
                    held.retain(|held| !older.contains(&Arc::as_ptr(&held.crl)));
                    held.push(Arc::clone(kept));
                    refused.extend(offered);
                }
            }
        }
        retired.truncate(MAX_RETIRED);
        let next = Self { retired, ..Self::of_held(held) };
        (next.with_responses(self.responses.iter().cloned()), refused)
    }

    /// The same without what has turned out to be signed by a key that `hears` does not name: no such CRL keeps another
    /// one out.
    #[must_use]
    pub fn heard(&self, hears: impl Fn(&[u8]) -> bool) -> Self {
        let is_heard = |held: &&Arc<Held>| held.signer.get().is_none_or(|signer| hears(&signer.spki));
        let filtered = |list: &[Arc<Held>]| list.iter().filter(is_heard).cloned().collect::<Vec<_>>();
        let next = Self { retired: filtered(&self.retired), ..Self::of_held(filtered(&self.held)) };
        next.with_responses(self.responses.iter().cloned())
    }

    /// What is known of the same CRL so far, and of the newcomer.
    fn recognized(&self, newcomer: &Arc<Held>) -> Arc<Held> {
        let mut known = self.held.iter().chain(&self.retired);
        let Some(former) = known.find(|held| Arc::ptr_eq(&held.crl, &newcomer.crl)) else {
            return Arc::clone(newcomer);
        };
        if let Some(signer) = newcomer.signer.get() {
            former.is_by(&signer.spki, &signer.policy);
        }
        Arc::clone(former)
    }

    /// Verifies each CRL by the certificates that could have signed it, so that requests find the outcome ready.
    pub fn verify_by(&self, certificates: &[Arc<Certificate>], policy: &SignaturePolicy) {
        let may_sign = |certificate: &&Arc<Certificate>| certificate.key_usage().is_none_or(|usage| usage.crl_sign());
        for certificate in certificates.iter().filter(may_sign) {
            for held in self.of(certificate.subject()) {
                // What fails here fails again where it matters, and is reported there.
                if held.verify(certificate.public_key(), policy).is_ok() {
                    held.is_by(certificate.public_key(), policy);
                }
            }
        }
    }

    /// The CRLs that nobody known here has signed, so far and under `policy`.
    pub fn unverified(&self, policy: &SignaturePolicy) -> impl Iterator<Item = &Arc<Crl>> {
        self.held.iter().filter(|held| !held.is_verified(policy)).map(|held| &held.crl)
    }

    /// Every CRL.
    pub fn crls(&self) -> &[Arc<Crl>] {
        &self.crls
    }

    /// The same with OCSP responses, which speak beside the CRLs.
    #[must_use]
    pub fn with_responses(mut self, responses: impl IntoIterator<Item = Arc<OcspResponse>>) -> Self {
        self.responses.extend(responses);
        self
    }

    /// Every OCSP response.
    pub fn responses(&self) -> &[Arc<OcspResponse>] {
        &self.responses
    }

    /// Whether a delta CRL is among them.
    pub(super) fn has_deltas(&self) -> bool {
        self.has_deltas
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.crls.is_empty() && self.responses.is_empty()
    }

    /// The CRLs that `issuer` made.
    pub(super) fn of(&self, issuer: &Name) -> &[Arc<Held>] {
        self.by_issuer.get(issuer.canonical()).map(Vec::as_slice).unwrap_or_default()
    }
}
