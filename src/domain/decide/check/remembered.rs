//! What a Check leaves in the cache, and what it takes from there.

use std::sync::Arc;

use super::{Check, Findings, Leaf};
use crate::domain::decide::cache::{CacheKey, DecisionCache, Entry, KeptIdentity, Outcome};
use crate::domain::decide::decision::{Denial, Grant, Presented};
use crate::domain::decide::mapping::changes::MappingsRead;
use crate::domain::evidence;

/// Seconds for which a denial is remembered: long enough that a flood of one question costs one answer in thousands,
/// short enough to go unnoticed.
const DENIAL_LIFETIME: i64 = 5;

/// Microseconds by the cost model that a failed verification must have cost to be remembered: a signature. What is
/// cheaper is as quickly found again.
const MIN_COST: u32 = 20;

/// Octets of the text of a denial; longer ones are not remembered, and the engine makes none.
const MAX_DETAIL_BYTES: usize = 8 * 1024;

/// Whether a denial that cost so many microseconds is remembered.
pub fn is_worth_keeping(denial: &Denial, microseconds: u32) -> bool {
    microseconds >= MIN_COST && denial.detail.len() <= MAX_DETAIL_BYTES
}

impl Check<'_> {
    /// The key of everything that the decision reads; `None` when the request has no evidence, so that there is nothing
    /// to verify.
    pub(super) fn key(&self, cache: &DecisionCache) -> Option<CacheKey> {
        let mut key = cache.keys().begin(&[self.body.id, self.profile.id(), self.mappings.changes().epoch()]);
        evidence::inputs(&self.body.evidence, self.request, |place, text| key.text(place, text)).then(|| key.finish())
    }

    /// The decision to remember, if it is one.
    pub(super) fn entry(
        &self,
        verdict: &Result<Grant, Denial>,
        presented: Option<&Arc<Presented>>,
        findings: &Findings,
    ) -> Option<Entry> {
        let until = findings.until?;
        let (until, outcome) = match verdict {
            Ok(grant) => {
                let policies = grant.policies();
                let outcome = Outcome::Granted {
                    identity: KeptIdentity::new(grant.shared_identity()?),
                    policies: (!policies.is_empty()).then(|| Box::new(policies.clone())),
                };
                (until, outcome)
            }
            Err(denial) => (until.min(self.now.plus(DENIAL_LIFETIME)), Outcome::Denied(Box::new(denial.clone()))),
        };
        let (mappings, presented) = (self.mappings_read(findings)?, Arc::clone(presented?));
        Some(Entry { from: self.now, until, mappings, presented, outcome })
    }

    /// What [`Check::run`] would return.
    pub(super) fn restore(&self, outcome: &Outcome) -> Option<Result<Grant, Denial>> {
        match outcome {
            Outcome::Granted { identity, policies } => {
                Some(Ok(self.grant(identity.restore()?, policies.as_deref().cloned().unwrap_or_default())))
            }
            Outcome::Denied(denial) => Some(Err(Denial::clone(denial))),
        }
    }

    /// The mappings that the decision rests on; `None` when they are too many to record.
    fn mappings_read(&self, findings: &Findings) -> Option<MappingsRead> {
        let selects = self.body.mapping.as_ref().is_some_and(|mapping| mapping.selector.is_some());
        match &findings.leaf {
            Some((_, Leaf::Parsed(leaf))) if selects && findings.is_mapped => {
                self.mappings.read_for(&self.policy.namespace, leaf)
            }
            _ => Some(MappingsRead::default()),
        }
    }
}
