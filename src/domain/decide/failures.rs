//! Failures of the last seconds, so that a stranger who asks again and again costs what is looked up and no signature.
//!
//! Owned here: a bounded table, and what makes two questions the same one. What is remembered is a denial and never a
//! grant; and of denials those alone that follow from the certificates, the profile and nothing else: not from the time
//! of day as far as it can change while they are remembered, not from revocation, not from a budget that others use.
//! Whoever asks decides that ([`Budget::fails_until`]). A profile that is compiled again has another [`VerifierId`], so
//! nothing outlives an edit.
//!
//! The key is the whole question, by SHA-256: a client that could make two questions with one key could have another
//! client denied.
//!
//! [`Budget::fails_until`]: certgate_x509::Budget::fails_until

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

use crate::domain::decide::decision::Denial;
use crate::domain::decide::reason::Reason;
use crate::domain::decide::verifier::VerifierId;
use crate::domain::evidence::Links;
use certgate_x509::{Sha256, UnixTime};

/// Seconds for which a failure is remembered: long enough that a flood of one question costs one answer in thousands,
/// short enough to go unnoticed.
const FAILURE_LIFETIME: i64 = 5;

/// Microseconds by the cost model that a failure must have cost to be remembered: a signature. What is cheaper is as
/// quickly found again.
const MIN_COST: u32 = 20;

/// Octets of the text of a denial; longer ones are not remembered, and the engine makes none.
const MAX_DETAIL_BYTES: usize = 8 * 1024;

/// Parts of the table, each with a lock of its own. A lock is held for a look at one part.
const SHARDS: usize = 16;

/// Failures in one part. With [`MAX_DETAIL_BYTES`] the whole table holds 4 MiB at most, and half of one as failures
/// are.
const MAX_FAILURES_PER_SHARD: usize = 32;

/// Identifies one verification.
#[derive(Copy, Clone, Debug)]
pub struct VerificationKey<'a> {
    /// The profile that was asked.
    pub profile: VerifierId,
    /// SHA-256 of the leaf.
    pub leaf: Sha256,
    /// The DER of what came along, in its order.
    pub chain: &'a [Bytes],
    /// What must hold between them.
    pub links: Links,
}

impl VerificationKey<'_> {
    /// SHA-256 of everything but the leaf.
    fn rest(&self) -> Sha256 {
        let mut context = Context::new(&SHA256);
        context.update(&[u8::from(self.links == Links::Signed)]);
        for der in self.chain {
            context.update(&u64::try_from(der.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(der);
        }
        Sha256::from(context.finish())
    }
}

/// The failures of the last seconds. Shared by whatever decides at the same time.
#[derive(Debug)]
pub struct Failures {
    shards: [Mutex<Vec<Failure>>; SHARDS],
    /// The last second at which any failure holds: past it nothing need be looked for.
    until: AtomicI64,
    recalled: AtomicU64,
}

/// One failure, and when it holds.
#[derive(Debug)]
struct Failure {
    profile: VerifierId,
    leaf: Sha256,
    rest: Sha256,
    from: UnixTime,
    until: UnixTime,
    reason: Reason,
    detail: Box<str>,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            until: AtomicI64::new(i64::MIN),
            recalled: AtomicU64::new(0),
        }
    }
}

impl Failures {
    /// The denial of the same question a short time ago.
    pub fn recall(&self, asked: &VerificationKey<'_>, now: UnixTime) -> Option<Denial> {
        if now.as_secs() > self.until.load(Ordering::Relaxed) {
            return None;
        }
        let shard = self.shard(asked.leaf);
        let mut rest = None;
        let found = shard.iter().find(|failure| {
            failure.leaf == asked.leaf
                && failure.profile == asked.profile
                && failure.holds(now)
                && failure.rest == *rest.get_or_insert_with(|| asked.rest())
        })?;
        let denial = Denial::new(found.reason, &*found.detail);
        self.recalled.fetch_add(1, Ordering::Relaxed);
        Some(denial)
    }

    /// Remembers a denial that cost `microseconds`, for a short time and no longer than until `until`.
    pub fn remember(
        &self,
        asked: &VerificationKey<'_>,
        now: UnixTime,
        until: UnixTime,
        microseconds: u32,
        denial: &Denial,
    ) {
        if microseconds < MIN_COST || denial.detail.len() > MAX_DETAIL_BYTES {
            return;
        }
        let failure = Failure {
            profile: asked.profile,
            leaf: asked.leaf,
            rest: asked.rest(),
            from: now,
            until: until.min(now.plus(FAILURE_LIFETIME)),
            reason: denial.reason,
            detail: denial.detail.as_str().into(),
        };
        let last = failure.until.as_secs();
        let mut shard = self.shard(asked.leaf);
        // One place for one question, then one that no longer holds, then the oldest.
        let place = shard
            .iter()
            .position(|known| known.is_same(&failure) || !known.holds(now))
            .or_else(|| (shard.len() >= MAX_FAILURES_PER_SHARD).then_some(0));
        if let Some(place) = place {
            shard.remove(place);
        }
        shard.push(failure);
        drop(shard);
        self.until.fetch_max(last, Ordering::Relaxed);
    }

    /// How many failures are remembered, those that no longer hold included until their place is needed.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many questions were answered from here.
    pub fn recalled(&self) -> u64 {
        self.recalled.load(Ordering::Relaxed)
    }

    fn shard(&self, leaf: Sha256) -> MutexGuard<'_, Vec<Failure>> {
        let [first, ..] = leaf.as_bytes();
        let at = usize::from(*first) % SHARDS;
        lock(self.shards.get(at).expect("the remainder is below their number"))
    }
}

impl Failure {
    fn holds(&self, now: UnixTime) -> bool {
        (self.from..=self.until).contains(&now)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.leaf == other.leaf && self.profile == other.profile && self.rest == other.rest
    }
}

/// A poisoned lock holds whole failures: nothing panics between two changes.
fn lock(shard: &Mutex<Vec<Failure>>) -> MutexGuard<'_, Vec<Failure>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
