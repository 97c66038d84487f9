//! Limits of the work for one request. A client chooses most of the certificates that are verified. Without limits it
//! could send certificates that are all each other's issuers, and keys that cost a hundred times what usual ones do.
//!
//! There are two accounts. Each *configured* key may be used once; the operator chose it, and the limit only stops
//! absurd configurations. The work that a *client* can multiply is limited to two milliseconds of signatures and to
//! three milliseconds altogether, on a current core. One budget serves a whole request: the search for the path, the
//! searches for the signers of CRLs, and the keys that CRLs are tried with. An exhausted budget rejects the request; it
//! never accepts one.

use std::cell::{Cell, RefCell};

use super::signature::SignaturePolicy;
use super::{KeyOrigin, PathError};
use crate::certificate::Certificate;
use crate::fingerprint::Sha256;
use crate::time::UnixTime;

/// Microseconds of signatures by configured keys, by [`super::signature::PublicKey::cost`]: 160 of P-256, or 120 of
/// RSA-4096. An honest path needs two or three.
const MAX_CONFIGURED_MICROSECONDS: u32 = 8_000;

/// Microseconds of signatures by presented keys, and of further signatures by a configured key: 40 of P-256, or 10 of
/// P-384. An honest client presents at most four intermediates, each with one signature: 1.4 ms with P-521, the most
/// expensive.
const MAX_PRESENTED_MICROSECONDS: u32 = 2_000;

/// Microseconds of all work that a client can multiply, signatures included.
const MAX_WORK_MICROSECONDS: u32 = 3_000;

/// Configured certificates tried as issuers. An honest search tries fewer than 20.
const MAX_CONFIGURED_STEPS: u32 = 20_000;

/// Presented certificates looked at as issuers, and how many more for each presented certificate. An honest search
/// looks at each once or twice.
const MAX_PRESENTED_STEPS: u32 = 5_000;
const MORE_STEPS_PER_PRESENTED: u32 = 10;

/// Nanoseconds of one look, with the checks of the certificate.
const STEP_NANOSECONDS: u32 = 100;

/// Paths that reach an anchor and are validated as a whole.
const MAX_PATHS: u32 = 100;

/// Nanoseconds of validating one, apart from what is counted by itself.
const PATH_NANOSECONDS: u32 = 5_000;

/// Comparisons of a name with a subtree, each 32 octets of either counting as one more. Suites and the CAs of the web
/// have up to a hundred subtrees, and certificates up to a few hundred names.
const MAX_COMPARISONS: u32 = 100_000;

/// Nanoseconds of one.
const COMPARISON_NANOSECONDS: u32 = 15;

/// Policies, mappings and the nodes they make, over all paths. Real certificates have fewer than ten.
const MAX_POLICIES: u32 = 20_000;

/// Nanoseconds of one.
const POLICY_NANOSECONDS: u32 = 50;

/// Searches for the path of a CRL signer that is not on the path itself. An honest path needs one or two.
const MAX_SEARCHES: u32 = 8;

/// Which account pays for a signature.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// That of configured keys.
    Configured,
    /// That of presented keys, and of further uses of configured ones.
    Presented,
}

/// What a request has cost so far.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Signatures that were verified, valid or not.
    pub signatures: u32,
    /// Microseconds of signatures and other counted work, by the cost model.
    pub microseconds: u32,
}

/// The limits of the work for one request, and the work done so far.
#[derive(Debug)]
pub struct Budget {
    configured: Cell<u32>,
    presented: Cell<u32>,
    /// Nanoseconds.
    work: Cell<u32>,
    configured_steps: Cell<u32>,
    steps: Cell<u32>,
    paths: Cell<u32>,
    comparisons: Cell<u32>,
    policies: Cell<u32>,
    searches: Cell<u32>,
    signatures: Cell<u32>,
    exhausted: Cell<Option<Account>>,
    links: RefCell<Vec<Link>>,
    fails_until: Cell<Option<UnixTime>>,
}

/// A signature that has been verified already.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    child: Sha256,
    key: Sha256,
    policy: SignaturePolicy,
}

/// A full budget.
impl Default for Budget {
    fn default() -> Self {
        Self {
            configured: Cell::new(MAX_CONFIGURED_MICROSECONDS),
            presented: Cell::new(MAX_PRESENTED_MICROSECONDS),
            work: Cell::new(MAX_WORK_MICROSECONDS.saturating_mul(1000)),
            configured_steps: Cell::new(MAX_CONFIGURED_STEPS),
            steps: Cell::new(0),
            paths: Cell::new(MAX_PATHS),
            comparisons: Cell::new(MAX_COMPARISONS),
            policies: Cell::new(MAX_POLICIES),
            searches: Cell::new(MAX_SEARCHES),
            signatures: Cell::new(0),
            exhausted: Cell::new(None),
            links: RefCell::default(),
            fails_until: Cell::new(None),
        }
    }
}

impl Budget {
    /// What has been spent.
    pub fn spent(&self) -> Spent {
        let used = |whole: u32, left: &Cell<u32>| whole.saturating_sub(left.get());
        let work = used(MAX_WORK_MICROSECONDS.saturating_mul(1000), &self.work);
        Spent {
            signatures: self.signatures.get(),
            microseconds: used(MAX_CONFIGURED_MICROSECONDS, &self.configured).saturating_add(work.div_ceil(1000)),
        }
    }

    /// Whether a limit was reached. Then something relevant may be unexamined, and no result may be accepted.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.get().is_some()
    }

    /// The last second at which the same certificates fail in the same way under the same profile, when the failure
    /// does not depend on anything else and is not cheaper to find again; `None` when it may be another one.
    pub fn fails_until(&self) -> Option<UnixTime> {
        // The pool caches the results that the configuration pays for, so their cost may be less the next time.
        self.fails_until.get().filter(|_| self.exhausted.get() != Some(Account::Configured))
    }

    /// Makes [`Budget::fails_until`] return `None`: the caller has continued with another question.
    pub fn forget_failure(&self) {
        self.fails(None);
    }

    /// Notes what [`Budget::fails_until`] returns.
    pub(crate) fn fails(&self, until: Option<UnixTime>) {
        self.fails_until.set(until);
    }

    /// Pays for a signature of `microseconds`.
    pub(crate) fn signature(&self, account: Account, microseconds: u32) -> Result<(), PathError> {
        match account {
            Account::Configured => {
                let unit = "microseconds of signatures by configured keys";
                self.spend(account, &self.configured, microseconds, unit, MAX_CONFIGURED_MICROSECONDS)?;
            }
            Account::Presented => {
                let unit = "microseconds of signatures by presented keys";
                self.spend(account, &self.presented, microseconds, unit, MAX_PRESENTED_MICROSECONDS)?;
                self.work(microseconds.saturating_mul(1000))?;
            }
        }
        self.signatures.set(self.signatures.get().saturating_add(1));
        Ok(())
    }

    /// Pays for a look at a candidate, one of `presented` certificates unless it is configured.
    pub(super) fn step(&self, origin: KeyOrigin, presented: usize) -> Result<(), PathError> {
        const UNIT: &str = "candidate issuers";
        match origin {
            KeyOrigin::Configured => {
                self.spend(Account::Presented, &self.configured_steps, 1, UNIT, MAX_CONFIGURED_STEPS)?
            }
            KeyOrigin::Presented => {
                let presented = u32::try_from(presented).unwrap_or(u32::MAX);
                let budget = MORE_STEPS_PER_PRESENTED.saturating_mul(presented).saturating_add(MAX_PRESENTED_STEPS);
                if self.steps.get() >= budget {
                    return Err(self.run_out(Account::Presented, UNIT, budget));
                }
                self.steps.set(self.steps.get().saturating_add(1));
            }
        }
        self.work(STEP_NANOSECONDS)
    }

    pub(super) fn path(&self) -> Result<(), PathError> {
        self.spend(Account::Presented, &self.paths, 1, "paths", MAX_PATHS)?;
        self.work(PATH_NANOSECONDS)
    }

    pub(super) fn compare(&self, comparisons: usize) -> Result<(), PathError> {
        let comparisons = u32::try_from(comparisons).unwrap_or(u32::MAX);
        self.spend(Account::Presented, &self.comparisons, comparisons, "name constraint comparisons", MAX_COMPARISONS)?;
        self.work(comparisons.saturating_mul(COMPARISON_NANOSECONDS))
    }

    pub(super) fn policies(&self, policies: usize) -> Result<(), PathError> {
        let policies = u32::try_from(policies).unwrap_or(u32::MAX);
        self.spend(Account::Presented, &self.policies, policies, "certificate policies", MAX_POLICIES)?;
        self.work(policies.saturating_mul(POLICY_NANOSECONDS))
    }

    /// Pays for the search for one signer of CRLs.
    pub(crate) fn search(&self) -> Result<(), PathError> {
        self.spend(Account::Presented, &self.searches, 1, "signers of CRLs to follow", MAX_SEARCHES)
    }

    /// How many looks have been paid for.
    pub(super) fn steps_taken(&self) -> u32 {
        self.steps.get().saturating_add(MAX_CONFIGURED_STEPS.saturating_sub(self.configured_steps.get()))
    }

    /// Records that the signature of `child` verifies by the key of `issuer` under `policy`.
    pub(super) fn learn_link(&self, child: &Certificate, issuer: &Certificate, policy: &SignaturePolicy) {
        let link = Link { child: child.sha256(), key: issuer.public_key_sha256(), policy: *policy };
        self.links.borrow_mut().push(link);
    }

    /// Whether [`Budget::learn_link`] recorded this signature.
    pub(super) fn knows_link(&self, child: &Certificate, issuer: &Certificate, policy: &SignaturePolicy) -> bool {
        let links = self.links.borrow();
        !links.is_empty()
            && links.contains(&Link { child: child.sha256(), key: issuer.public_key_sha256(), policy: *policy })
    }

    fn work(&self, nanoseconds: u32) -> Result<(), PathError> {
        self.spend(
            Account::Presented,
            &self.work,
            nanoseconds,
            "nanoseconds of work",
            MAX_WORK_MICROSECONDS.saturating_mul(1000),
        )
    }

    fn spend(
        &self,
        account: Account,
        left: &Cell<u32>,
        cost: u32,
        unit: &'static str,
        budget: u32,
    ) -> Result<(), PathError> {
        match left.get().checked_sub(cost) {
            Some(rest) if !self.is_exhausted() => {
                left.set(rest);
                Ok(())
            }
            _ => Err(self.run_out(account, unit, budget)),
        }
    }

    fn run_out(&self, account: Account, unit: &'static str, budget: u32) -> PathError {
        if !self.is_exhausted() {
            self.exhausted.set(Some(account));
        }
        PathError::Budget { unit, budget }
    }
}
