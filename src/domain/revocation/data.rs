//! The CRLs of a trust profile, by issuer, and OCSP responses: built when a source changes, read by every request.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::domain::certificate::Certificate;
use crate::domain::name::Name;
use crate::domain::path::SignaturePolicy;

use super::crl::Crl;
use super::ocsp::OcspResponse;

/// An immutable set of CRLs and responses. Which of several speaks about a certificate is decided when one is checked, by scope and
/// freshness; the order in which they were given means nothing.
#[derive(Debug, Default)]
pub struct RevocationData {
    crls: Vec<Arc<Crl>>,
    by_issuer: HashMap<Box<[u8]>, Vec<Arc<Crl>>, RandomState>,
    responses: Vec<Arc<OcspResponse>>,
}

/// A CRL that was not taken because its number is lower than that of the one it would replace.
#[derive(Clone, Debug)]
pub struct RolledBack {
    /// The CRL that stays.
    pub kept: Arc<Crl>,
    /// The older one that was offered.
    pub refused: Arc<Crl>,
}

/// Both numbers, for a log.
impl std::fmt::Display for RolledBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} would replace the newer {}, which is kept", self.refused, self.kept)
    }
}

impl RevocationData {
    /// The given CRLs.
    pub fn new(crls: impl IntoIterator<Item = Arc<Crl>>) -> Self {
        let mut data = Self::default();
        for crl in crls {
            match data.by_issuer.get_mut(crl.issuer().canonical()) {
                Some(list) => list.push(Arc::clone(&crl)),
                None => {
                    data.by_issuer.insert(crl.issuer().canonical().into(), vec![Arc::clone(&crl)]);
                }
            }
            data.crls.push(crl);
        }
        data
    }

    /// The CRLs that follow on these, with no number going back (RFC 5280 5.2.3: numbers of one scope increase).
    ///
    /// A CRL of this set whose signature has been verified under `policy` stays when what would replace it, by scope, has
    /// lower numbers only; newcomers that are not verified under it replace nothing. A scope that nothing is offered for any more is given up:
    /// the operator has removed it.
    pub fn updated(
        &self,
        crls: impl IntoIterator<Item = Arc<Crl>>,
        policy: &SignaturePolicy,
    ) -> (Self, Vec<RolledBack>) {
        let mut crls: Vec<Arc<Crl>> = crls.into_iter().collect();
        let mut refused = Vec::new();
        for kept in self.crls.iter().filter(|crl| crl.is_verified(policy)) {
            let Some(number) = kept.number() else { continue };
            let offered =
                |crl: &&Arc<Crl>| crl.has_scope_of(kept) && crl.base_number().is_some() == kept.base_number().is_some();
            let is_newer = |crl: &Arc<Crl>| crl.number().is_some_and(|offered| offered >= number);
            let mut rivals = crls.iter().filter(offered).peekable();
            if rivals.peek().is_none() || rivals.any(|crl| is_newer(crl) && crl.is_verified(policy)) {
                continue;
            }
            let older = crls.iter().filter(offered).filter(|crl| !is_newer(crl));
            refused.extend(older.map(|crl| RolledBack { kept: Arc::clone(kept), refused: Arc::clone(crl) }));
            crls.retain(|crl| !offered(&crl) || is_newer(crl));
            crls.push(Arc::clone(kept));
        }
        (Self::new(crls).with_responses(self.responses.iter().cloned()), refused)
    }

    /// Verifies each CRL by the certificates that could have signed it, so that requests find the outcome ready.
    pub fn verify_by(&self, certificates: &[Arc<Certificate>], policy: &SignaturePolicy) {
        for certificate in certificates {
            for crl in self.of(certificate.subject()) {
                // What fails here fails again where it matters, and is reported there.
                drop(crl.verify(certificate.public_key(), policy));
            }
        }
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

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.crls.is_empty() && self.responses.is_empty()
    }

    /// The CRLs that `issuer` made.
    pub(super) fn of(&self, issuer: &Name) -> &[Arc<Crl>] {
        self.by_issuer.get(issuer.canonical()).map(Vec::as_slice).unwrap_or_default()
    }
}
