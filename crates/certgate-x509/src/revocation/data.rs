//! The CRLs of one set of trust anchors, by issuer, and OCSP responses: built when a source changes, read by every
//! request.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::certificate::Certificate;
use crate::limits::MAX_CRLS_IN_TEXT;
use crate::name::Name;
use crate::path::SignaturePolicy;

use super::crl::Crl;
use super::crl_with_signer::CrlWithSigner;
use super::ocsp::OcspResponse;
use super::succession::{self, Rollback, RollbackReason, Succession};

/// An immutable set of CRLs and OCSP responses. [`check_revocation`](crate::check_revocation) decides which of several
/// CRLs applies to a certificate, by scope and freshness; the order in which they were given has no effect.
#[derive(Debug, Default)]
pub struct RevocationData {
    crls: Vec<Arc<Crl>>,
    with_signers: Vec<Arc<CrlWithSigner>>,
    by_issuer: HashMap<Box<[u8]>, Vec<Arc<CrlWithSigner>>, RandomState>,
    has_deltas: bool,
    responses: Vec<Arc<OcspResponse>>,
    /// Verified CRLs that were in use and for which no CRL is offered any more, the last ones first. They apply to no
    /// certificate; they keep older CRLs from replacing them.
    retired: Vec<Arc<CrlWithSigner>>,
}

/// The most CRLs that are kept after no CRL is offered for them any more: as many as one text can hold.
const MAX_RETIRED: usize = MAX_CRLS_IN_TEXT;

impl RevocationData {
    /// A set of these CRLs.
    pub fn new(crls: impl IntoIterator<Item = Arc<Crl>>) -> Self {
        Self::of_crls(crls.into_iter().map(|crl| Arc::new(CrlWithSigner::new(crl))).collect())
    }

    fn of_crls(with_signers: Vec<Arc<CrlWithSigner>>) -> Self {
        let crls = with_signers.iter().map(|one| Arc::clone(one.crl())).collect();
        let has_deltas = with_signers.iter().any(|one| one.crl().base_number().is_some());
        let mut data = Self { crls, has_deltas, ..Self::default() };
        for one in &with_signers {
            let issuer = one.crl().issuer().canonical();
            match data.by_issuer.get_mut(issuer) {
                Some(list) => list.push(Arc::clone(one)),
                None => {
                    data.by_issuer.insert(issuer.into(), vec![Arc::clone(one)]);
                }
            }
        }
        data.with_signers = with_signers;
        data
    }

    /// The set that replaces this one after `offered` was read. It holds the offered CRLs, except those older than a
    /// CRL of this set that was verified under `policy`. It also holds the CRLs of this set that no newer one replaces
    /// (RFC 5280 section 5.2.3: CRL numbers increase). A CRL for which none is offered any more leaves the set, because
    /// the operator has removed it; it returns when an older one is offered in its place. The list names the offered
    /// CRLs that did not replace one of this set.
    pub fn updated(&self, offered: Self, policy: &SignaturePolicy) -> (Self, Vec<Rollback>) {
        let mut next: Vec<Arc<CrlWithSigner>> =
            offered.with_signers.iter().map(|newcomer| self.with_known_signer(newcomer)).collect();
        let newcomers = next.clone();
        let (mut refused, mut retired) = (Vec::new(), Vec::new());
        let in_use = self.with_signers.iter().map(|one| (one, true));
        let former = in_use.chain(self.retired.iter().map(|one| (one, false)));
        for (kept, is_in_use) in former.filter(|(one, _)| one.is_verified(policy)) {
            match succession::decide(kept.crl(), &newcomers, |one| one.is_verified(policy)) {
                Succession::Replaced => {}
                Succession::NotOffered => retired.push(Arc::clone(kept)),
                Succession::Kept(offered) if !is_in_use && !offered.iter().any(Rollback::is_behind) => {
                    retired.push(Arc::clone(kept));
                }
                Succession::Kept(offered) => {
                    let older = offered.iter().filter(|rolled_back| rolled_back.because == RollbackReason::Older);
                    let older: Vec<_> = older.map(|rolled_back| Arc::as_ptr(&rolled_back.offered)).collect();
                    next.retain(|one| !older.contains(&Arc::as_ptr(one.crl())));
                    next.push(Arc::clone(kept));
                    refused.extend(offered);
                }
            }
        }
        retired.truncate(MAX_RETIRED);
        let next = Self { retired, ..Self::of_crls(next) };
        (next.with_responses(self.responses.iter().cloned()), refused)
    }

    /// The set without the CRLs whose verified signer has a key, given as a DER SubjectPublicKeyInfo, that `keeps`
    /// rejects; they no longer keep other CRLs out either.
    #[must_use]
    pub fn retain_signers(&self, keeps: impl Fn(&[u8]) -> bool) -> Self {
        let is_kept = |one: &&Arc<CrlWithSigner>| one.signer_key().is_none_or(&keeps);
        let filtered = |list: &[Arc<CrlWithSigner>]| list.iter().filter(is_kept).cloned().collect::<Vec<_>>();
        let next = Self { retired: filtered(&self.retired), ..Self::of_crls(filtered(&self.with_signers)) };
        next.with_responses(self.responses.iter().cloned())
    }

    /// The newcomer, or the entry of this set with the same CRL, with what both know about its signer.
    fn with_known_signer(&self, newcomer: &Arc<CrlWithSigner>) -> Arc<CrlWithSigner> {
        let mut known = self.with_signers.iter().chain(&self.retired);
        let Some(former) = known.find(|one| Arc::ptr_eq(one.crl(), newcomer.crl())) else {
            return Arc::clone(newcomer);
        };
        former.adopt_signer(newcomer);
        Arc::clone(former)
    }

    /// Verifies each CRL by the certificates that may have signed it, so that requests find the outcome.
    pub fn verify_by(&self, certificates: &[Arc<Certificate>], policy: &SignaturePolicy) {
        let may_sign = |certificate: &&Arc<Certificate>| certificate.key_usage().is_none_or(|usage| usage.crl_sign());
        for certificate in certificates.iter().filter(may_sign) {
            for one in self.of(certificate.subject()) {
                // A failure here recurs, and is reported, where a certificate's status depends on it.
                if one.verify(certificate.public_key(), policy).is_ok() {
                    one.record_signer(certificate.public_key(), policy);
                }
            }
        }
    }

    /// The CRLs without a verified signer under `policy` so far.
    pub fn unverified(&self, policy: &SignaturePolicy) -> impl Iterator<Item = &Arc<Crl>> {
        self.with_signers.iter().filter(|one| !one.is_verified(policy)).map(|one| one.crl())
    }

    /// Every CRL.
    pub fn crls(&self) -> &[Arc<Crl>] {
        &self.crls
    }

    /// The set with OCSP responses added, which are used besides the CRLs.
    #[must_use]
    pub fn with_responses(mut self, responses: impl IntoIterator<Item = Arc<OcspResponse>>) -> Self {
        self.responses.extend(responses);
        self
    }

    /// Every OCSP response.
    pub fn responses(&self) -> &[Arc<OcspResponse>] {
        &self.responses
    }

    /// Whether there is a delta CRL.
    pub(super) fn has_deltas(&self) -> bool {
        self.has_deltas
    }

    /// Whether there are neither CRLs nor responses.
    pub fn is_empty(&self) -> bool {
        self.crls.is_empty() && self.responses.is_empty()
    }

    /// The CRLs whose issuer is `issuer`.
    pub(super) fn of(&self, issuer: &Name) -> &[Arc<CrlWithSigner>] {
        self.by_issuer.get(issuer.canonical()).map(Vec::as_slice).unwrap_or_default()
    }
}
