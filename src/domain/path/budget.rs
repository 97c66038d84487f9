//! What one search may cost. A client chooses most of the certificates it is judged by; without limits it could choose
//! thousands that are all each other's issuers.
//!
//! The limits bound one search to well under 20 ms on a current core. Running out refuses: it never accepts.

use super::PathError;

/// Microseconds of signature verification, by [`super::signature::PublicKey::cost`]: 160 of P-256, 44 of P-384. An
/// honest path needs three to five.
const SIGNATURE_MICROSECONDS: u32 = 8_000;

/// Candidate issuers looked at. An honest search looks at fewer than 20; one look takes about 100 ns.
const STEPS: u32 = 20_000;

/// Paths that reach an anchor and are validated as a whole.
const PATHS: u32 = 100;

/// Comparisons of a name with a subtree, each 32 octets of either counting as one more; rustls-webpki allows 250,000 as
/// well. One takes about 15 ns.
const COMPARISONS: u32 = 250_000;

/// Policies, mappings and the nodes they make, over all paths.
const POLICIES: u32 = 50_000;

/// What is left.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    signatures: u32,
    steps: u32,
    paths: u32,
    comparisons: u32,
    policies: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            signatures: SIGNATURE_MICROSECONDS,
            steps: STEPS,
            paths: PATHS,
            comparisons: COMPARISONS,
            policies: POLICIES,
        }
    }
}

impl Budget {
    pub(super) fn signature(&mut self, cost: u32) -> Result<(), PathError> {
        spend(&mut self.signatures, cost, "microseconds of signature verification", SIGNATURE_MICROSECONDS)
    }

    pub(super) fn step(&mut self) -> Result<(), PathError> {
        spend(&mut self.steps, 1, "candidate issuers", STEPS)
    }

    pub(super) fn path(&mut self) -> Result<(), PathError> {
        spend(&mut self.paths, 1, "paths", PATHS)
    }

    pub(super) fn compare(&mut self, comparisons: usize) -> Result<(), PathError> {
        let comparisons = u32::try_from(comparisons).unwrap_or(u32::MAX);
        spend(&mut self.comparisons, comparisons, "name constraint comparisons", COMPARISONS)
    }

    pub(super) fn policies(&mut self, policies: usize) -> Result<(), PathError> {
        spend(&mut self.policies, u32::try_from(policies).unwrap_or(u32::MAX), "certificate policies", POLICIES)
    }

    /// How many steps have been taken.
    pub(super) fn steps_taken(&self) -> u32 {
        STEPS.saturating_sub(self.steps)
    }
}

fn spend(left: &mut u32, cost: u32, unit: &'static str, budget: u32) -> Result<(), PathError> {
    *left = left.checked_sub(cost).ok_or(PathError::Budget { unit, budget })?;
    Ok(())
}
