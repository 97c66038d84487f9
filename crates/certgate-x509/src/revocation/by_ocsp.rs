//! The status of a certificate of a path by the available OCSP responses.

use std::sync::Arc;

use crate::certificate::Certificate;
use crate::time::UnixTime;
use crate::trace::{Trace, Verdict};

use super::BadStatus;
use super::check::Check;
use super::ocsp::{self, Authority, Nonce, OcspGood, OcspPolicy, Responder};
use super::signer::Pending;

impl Check<'_> {
    /// The status by OCSP responses; `None` if none covers the certificate.
    pub(super) fn by_ocsp<T: Trace>(
        &self,
        path: &[Arc<Certificate>],
        position: usize,
        pending: Option<&Pending<'_>>,
        trace: &mut T,
    ) -> Option<Result<Option<UnixTime>, BadStatus>> {
        let certificate = path.get(position)?;
        let above = path.get(position.saturating_add(1)..)?;
        let issuer = above.first()?;
        let policy = OcspPolicy {
            freshness: self.policy.freshness,
            signatures: self.policy.signatures,
            authority: Authority::OcspSigning,
        };
        let mut best: Option<Result<Option<UnixTime>, BadStatus>> = None;
        for response in self.data.responses() {
            if !ocsp::is_about(response, certificate, issuer) {
                continue;
            }
            let outcome = ocsp::check(response, certificate, issuer, Nonce::NotSent, &policy, self.now)
                .and_then(|good| self.trust_delegate(good, above, pending, trace));
            trace.step("revocation", if outcome.is_ok() { Verdict::Pass } else { Verdict::Skip }, || match &outcome {
                Ok(_) => format!("[{}] is good by an OCSP response", certificate.subject()),
                Err(status) => format!("[{}]: {status}", certificate.subject()),
            });
            match (&best, &outcome) {
                (_, Err(BadStatus::Revoked { .. })) => return Some(outcome),
                (Some(Ok(until)), Ok(other)) if other <= until => {}
                (Some(Ok(_)), Err(_)) => {}
                (Some(Err(BadStatus::Stale { .. })), Err(_)) => {}
                _ => best = Some(outcome),
            }
        }
        best
    }

    /// Rejects the answer of a delegate that is itself revoked. If its CA does not exempt it from this check and its
    /// status is unknown, the delegate is accepted: RFC 6960 4.2.2.2.1 leaves that to the relying party, and the CA can
    /// limit the validity of the delegate's certificate.
    fn trust_delegate<T: Trace>(
        &self,
        good: OcspGood,
        above: &[Arc<Certificate>],
        pending: Option<&Pending<'_>>,
        trace: &mut T,
    ) -> Result<Option<UnixTime>, BadStatus> {
        if let Responder::Delegate { certificate, no_check: false } = &good.responder {
            let path: Vec<Arc<Certificate>> = [certificate].into_iter().chain(above).cloned().collect();
            if let Err(BadStatus::Revoked { source, .. }) = self.by_crls(&path, 0, pending, trace) {
                let detail = format!("the OCSP responder [{}] is revoked by {source}", certificate.subject());
                return Err(BadStatus::Unknown { detail });
            }
        }
        Ok(Some(good.valid_until))
    }
}
