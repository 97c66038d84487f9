//! What one request may cost. A client chooses most of the certificates it is judged by; without limits it could choose
//! ones that are all each other's issuers, and keys of its own that cost a hundred times what honest ones do.
//!
//! There are two pots. What the *configuration* needs, each of its keys once, is the operator's decision, and its limit
//! is there for configurations that nobody has. What a *client* can multiply is limited to two milliseconds of
//! signatures and to three of everything, on a current core. One budget serves a whole request: the search for the
//! path, the searches for the signers of CRLs within it, and the keys that CRLs are tried by. Running out refuses, once
//! and for the rest of the request: it never accepts.

use std::cell::{Cell, RefCell};

use super::signature::SignaturePolicy;
use super::{KeyOrigin, PathError};
use crate::certificate::Certificate;
use crate::fingerprint::Sha256;
use crate::time::UnixTime;

/// Microseconds of verifying with keys that are configured, by [`super::signature::PublicKey::cost`]: 160 of P-256, 120
/// of RSA-4096. An honest path needs two or three.
const CONFIGURED_MICROSECONDS: u32 = 8_000;

/// Microseconds of verifying with keys that came along, and again with a configured one: 40 of P-256, 10 of P-384. An
/// honest client sends at most four intermediates, of which each costs one: with P-521, the dearest, 1.4 ms.
const SENT_ALONG_MICROSECONDS: u32 = 2_000;

/// Microseconds of everything that a client can multiply, signatures included.
const WORK_MICROSECONDS: u32 = 3_000;

/// Configured certificates looked at as issuers. An honest search looks at fewer than 20.
const CONFIGURED_STEPS: u32 = 20_000;

/// Certificates that came along looked at as issuers, and how many more for each that did. An honest search looks at
/// each once or twice.
const STEPS: u32 = 5_000;
const STEPS_EACH: u32 = 10;

/// Nanoseconds of one look, with the checks of the certificate.
const STEP_NANOSECONDS: u32 = 100;

/// Paths that reach an anchor and are validated as a whole.
const PATHS: u32 = 100;

/// Nanoseconds of validating one, apart from what is counted by itself.
const PATH_NANOSECONDS: u32 = 5_000;

/// Comparisons of a name with a subtree, each 32 octets of either counting as one more. Suites and the CAs of the web
/// have up to a hundred subtrees, and certificates up to a few hundred names.
const COMPARISONS: u32 = 100_000;

/// Nanoseconds of one.
const COMPARISON_NANOSECONDS: u32 = 15;

/// Policies, mappings and the nodes they make, over all paths. Real certificates have fewer than ten.
const POLICIES: u32 = 20_000;

/// Nanoseconds of one.
const POLICY_NANOSECONDS: u32 = 50;

/// Searches for the path of a CRL signer that is not on the path itself. An honest path needs one or two.
const SEARCHES: u32 = 8;

/// Which pot pays for a signature.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pot {
    /// The one of the configuration.
    Configured,
    /// The one of the client.
    SentAlong,
}

/// What a request has cost so far.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Signatures that were verified, well or not.
    pub signatures: u32,
    /// Microseconds, by the cost model: those of signatures, and of what else is counted.
    pub microseconds: u32,
}

/// What is left for one request, and what it has cost so far.
#[derive(Debug)]
pub struct Budget {
    configured: Cell<u32>,
    sent_along: Cell<u32>,
    /// Nanoseconds.
    work: Cell<u32>,
    configured_steps: Cell<u32>,
    steps: Cell<u32>,
    paths: Cell<u32>,
    comparisons: Cell<u32>,
    policies: Cell<u32>,
    searches: Cell<u32>,
    signatures: Cell<u32>,
    exhausted: Cell<Option<Pot>>,
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

/// All of it.
impl Default for Budget {
    fn default() -> Self {
        Self {
            configured: Cell::new(CONFIGURED_MICROSECONDS),
            sent_along: Cell::new(SENT_ALONG_MICROSECONDS),
            work: Cell::new(WORK_MICROSECONDS.saturating_mul(1000)),
            configured_steps: Cell::new(CONFIGURED_STEPS),
            steps: Cell::new(0),
            paths: Cell::new(PATHS),
            comparisons: Cell::new(COMPARISONS),
            policies: Cell::new(POLICIES),
            searches: Cell::new(SEARCHES),
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
        let work = used(WORK_MICROSECONDS.saturating_mul(1000), &self.work);
        Spent {
            signatures: self.signatures.get(),
            microseconds: used(CONFIGURED_MICROSECONDS, &self.configured).saturating_add(work.div_ceil(1000)),
        }
    }

    /// Whether something has run out: what was not looked at may matter, so nothing is good any more.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.get().is_some()
    }

    /// The last second at which the same certificates fail in the same way under the same profile, when the failure
    /// does not depend on anything else and is not cheaper to find again; `None` when it may be another one.
    pub fn fails_until(&self) -> Option<UnixTime> {
        // What the configuration costs is remembered by the pool, and may be less the next time.
        self.fails_until.get().filter(|_| self.exhausted.get() != Some(Pot::Configured))
    }

    /// Makes [`Budget::fails_until`] return `None`: the caller has gone on to another question.
    pub fn forget_failure(&self) {
        self.fails(None);
    }

    /// Notes what [`Budget::fails_until`] returns.
    pub(crate) fn fails(&self, until: Option<UnixTime>) {
        self.fails_until.set(until);
    }

    /// Pays for a signature of `microseconds`.
    pub(crate) fn signature(&self, pot: Pot, microseconds: u32) -> Result<(), PathError> {
        match pot {
            Pot::Configured => {
                let unit = "microseconds of signatures by configured keys";
                self.spend(pot, &self.configured, microseconds, unit, CONFIGURED_MICROSECONDS)?;
            }
            Pot::SentAlong => {
                let unit = "microseconds of signatures by keys that came along";
                self.spend(pot, &self.sent_along, microseconds, unit, SENT_ALONG_MICROSECONDS)?;
                self.work(microseconds.saturating_mul(1000))?;
            }
        }
        self.signatures.set(self.signatures.get().saturating_add(1));
        Ok(())
    }

    /// Pays for a look at a candidate, one of `presented` certificates that came along unless it is configured.
    pub(super) fn step(&self, origin: KeyOrigin, presented: usize) -> Result<(), PathError> {
        const UNIT: &str = "candidate issuers";
        match origin {
            KeyOrigin::Configured => self.spend(Pot::SentAlong, &self.configured_steps, 1, UNIT, CONFIGURED_STEPS)?,
            KeyOrigin::SentAlong => {
                let presented = u32::try_from(presented).unwrap_or(u32::MAX);
                let budget = STEPS_EACH.saturating_mul(presented).saturating_add(STEPS);
                if self.steps.get() >= budget {
                    return Err(self.run_out(Pot::SentAlong, UNIT, budget));
                }
                self.steps.set(self.steps.get().saturating_add(1));
            }
        }
        self.work(STEP_NANOSECONDS)
    }

    pub(super) fn path(&self) -> Result<(), PathError> {
        self.spend(Pot::SentAlong, &self.paths, 1, "paths", PATHS)?;
        self.work(PATH_NANOSECONDS)
    }

    pub(super) fn compare(&self, comparisons: usize) -> Result<(), PathError> {
        let comparisons = u32::try_from(comparisons).unwrap_or(u32::MAX);
        self.spend(Pot::SentAlong, &self.comparisons, comparisons, "name constraint comparisons", COMPARISONS)?;
        self.work(comparisons.saturating_mul(COMPARISON_NANOSECONDS))
    }

    pub(super) fn policies(&self, policies: usize) -> Result<(), PathError> {
        let policies = u32::try_from(policies).unwrap_or(u32::MAX);
        self.spend(Pot::SentAlong, &self.policies, policies, "certificate policies", POLICIES)?;
        self.work(policies.saturating_mul(POLICY_NANOSECONDS))
    }

    /// Pays for the search for one signer of CRLs.
    pub(crate) fn search(&self) -> Result<(), PathError> {
        self.spend(Pot::SentAlong, &self.searches, 1, "signers of CRLs to follow", SEARCHES)
    }

    /// How many looks have been paid for.
    pub(super) fn steps_taken(&self) -> u32 {
        self.steps.get().saturating_add(CONFIGURED_STEPS.saturating_sub(self.configured_steps.get()))
    }

    /// Takes down that the signature of `child` verifies by the key of `issuer` under `policy`.
    pub(super) fn learn_link(&self, child: &Certificate, issuer: &Certificate, policy: &SignaturePolicy) {
        let link = Link { child: child.sha256(), key: issuer.public_key_sha256(), policy: *policy };
        self.links.borrow_mut().push(link);
    }

    /// Whether [`Budget::learn_link`] has been told so.
    pub(super) fn knows_link(&self, child: &Certificate, issuer: &Certificate, policy: &SignaturePolicy) -> bool {
        let links = self.links.borrow();
        !links.is_empty()
            && links.contains(&Link { child: child.sha256(), key: issuer.public_key_sha256(), policy: *policy })
    }

    fn work(&self, nanoseconds: u32) -> Result<(), PathError> {
        self.spend(
            Pot::SentAlong,
            &self.work,
            nanoseconds,
            "nanoseconds of work",
            WORK_MICROSECONDS.saturating_mul(1000),
        )
    }

    fn spend(&self, pot: Pot, left: &Cell<u32>, cost: u32, unit: &'static str, budget: u32) -> Result<(), PathError> {
        match left.get().checked_sub(cost) {
            Some(rest) if !self.is_exhausted() => {
                left.set(rest);
                Ok(())
            }
            _ => Err(self.run_out(pot, unit, budget)),
        }
    }

    fn run_out(&self, pot: Pot, unit: &'static str, budget: u32) -> PathError {
        if !self.is_exhausted() {
            self.exhausted.set(Some(pot));
        }
        PathError::Budget { unit, budget }
    }
}
