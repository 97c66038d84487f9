//! Decisions, counted by policy, outcome and reason.
//!
//! Counting takes no lock: one pointer leads to the counters of a policy, and it changes only when a policy decides for
//! the first time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::domain::decide::decision::{Decision, Mode};
use crate::domain::decide::reason::Reason;

/// How many reasons there are.
const REASONS: usize = Reason::ALL.len();

type PolicyTable = hashbrown::HashMap<Arc<str>, Arc<PolicyCounters>, foldhash::fast::RandomState>;

/// The decisions of the process.
#[derive(Default)]
pub(super) struct Decisions {
    policies: ArcSwap<PolicyTable>,
    /// Held while `policies` is replaced.
    adding: Mutex<()>,
    /// Decisions that no policy made.
    without_policy: PolicyCounters,
}

/// The decisions of one policy.
struct PolicyCounters {
    identified: AtomicU64,
    anonymous: AtomicU64,
    denied: [AtomicU64; REASONS],
    audited: [AtomicU64; REASONS],
}

impl Default for PolicyCounters {
    fn default() -> Self {
        Self {
            identified: AtomicU64::new(0),
            anonymous: AtomicU64::new(0),
            denied: [const { AtomicU64::new(0) }; REASONS],
            audited: [const { AtomicU64::new(0) }; REASONS],
        }
    }
}

impl PolicyCounters {
    fn count(&self, decision: &Decision) {
        let counter = match (decision.verdict(), decision.mode()) {
            (Ok(grant), _) if grant.identity().is_some() => &self.identified,
            (Ok(_), _) => &self.anonymous,
            (Err(denial), Mode::Enforce) => &self.denied[denial.reason as usize],
            (Err(denial), Mode::Audit) => &self.audited[denial.reason as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Decisions {
    /// Counts a decision.
    pub(super) fn count(&self, decision: &Decision) {
        match decision.policy() {
            None => self.without_policy.count(decision),
            Some(policy) => match self.policies.load().get(policy) {
                Some(counters) => counters.count(decision),
                None => self.add_policy(policy).count(decision),
            },
        }
    }

    /// The counters of a policy that may be new. Policies come from the operator, so the table only grows with the
    /// policies ever configured.
    #[cold]
    fn add_policy(&self, policy: &str) -> Arc<PolicyCounters> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.policies.load();
        if let Some(counters) = table.get(policy) {
            return counters.clone();
        }
        let counters = Arc::<PolicyCounters>::default();
        let mut table = PolicyTable::clone(&table);
        table.insert(policy.into(), counters.clone());
        self.policies.store(Arc::new(table));
        counters
    }

    /// Encodes the decisions; omits series without a count.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "decisions",
            "Requests decided, by policy, outcome and reason; Audited were allowed although the policy denies them",
            None,
            MetricType::Counter,
        )?;
        let policies = self.policies.load();
        let mut all: Vec<(&str, &PolicyCounters)> =
            policies.iter().map(|(name, counters)| (&**name, &**counters)).collect();
        all.push(("", &self.without_policy));
        all.sort_by_key(|(name, _)| *name);
        for (policy, counters) in all {
            let mut count = |outcome: &str, reason: &str, counter: &AtomicU64| match counter.load(Ordering::Relaxed) {
                0 => Ok(()),
                value => ConstCounter::new(value).encode(family.encode_family(&[
                    ("policy", policy),
                    ("outcome", outcome),
                    ("reason", reason),
                ])?),
            };
            count("Allowed", "", &counters.identified)?;
            count("AllowedAnonymous", "", &counters.anonymous)?;
            for row in Reason::ALL {
                count("Denied", row.code, &counters.denied[row.reason as usize])?;
                count("Audited", row.code, &counters.audited[row.reason as usize])?;
            }
        }
        Ok(())
    }
}
