//! A trust profile together with its revocation data: what a policy asks about a certificate.
//!
//! The two are kept apart because they change apart: a new CRL takes the place of the former one and leaves the profile,
//! with everything that was built for path building, as it is.

use std::sync::Arc;

use super::certificate::Certificate;
use super::decision::Denial;
use super::path::Rejection;
use super::revocation::{self, Crl, CrlNumber, Helpers, RevocationData, RevocationMode, RevocationPolicy};
use super::time::UnixTime;
use super::trace::{Trace, Verdict};
use super::trust::{TrustProfile, Verified};

/// A profile, and by what revocation is checked under it.
#[derive(Debug)]
pub struct Trusted {
    name: Arc<str>,
    profile: Arc<TrustProfile>,
    policy: RevocationPolicy,
    data: Arc<RevocationData>,
}

/// A CRL that a profile relies on, as metrics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlStatus {
    /// The profile, as `namespace/name`.
    pub profile: Arc<str>,
    /// Who made it.
    pub issuer: String,
    /// Its CRLNumber.
    pub number: Option<CrlNumber>,
    /// How many certificates it lists.
    pub entries: usize,
    /// When it was made.
    pub this_update: UnixTime,
    /// When the next one is there at the latest.
    pub next_update: Option<UnixTime>,
}

impl Trusted {
    /// The profile `name`, with revocation checked by `policy` over `data`.
    pub fn new(
        name: Arc<str>,
        profile: Arc<TrustProfile>,
        policy: RevocationPolicy,
        data: Arc<RevocationData>,
    ) -> Self {
        Self { name, profile, policy, data }
    }

    /// The profile.
    pub fn profile(&self) -> &Arc<TrustProfile> {
        &self.profile
    }

    /// The revocation data.
    pub fn data(&self) -> &Arc<RevocationData> {
        &self.data
    }

    /// What there is to know about each CRL.
    pub fn crls(&self) -> impl Iterator<Item = CrlStatus> {
        let status = |crl: &Arc<Crl>| CrlStatus {
            profile: Arc::clone(&self.name),
            issuer: crl.issuer().to_rfc4514(),
            number: crl.number(),
            entries: crl.len(),
            this_update: crl.this_update(),
            next_update: crl.next_update(),
        };
        self.data.crls().iter().map(status)
    }

    /// Decides whether `leaf` is believed at `now`, and not revoked. A path that is revoked or unknown is given up for
    /// the next one.
    pub fn verify<T: Trace>(
        &self,
        leaf: &Arc<Certificate>,
        presented: &[Arc<Certificate>],
        now: UnixTime,
        trace: &mut T,
    ) -> Result<Verified, Denial> {
        let helpers = Helpers { pool: self.profile.pool(), presented };
        self.profile.verify_with(leaf, presented, now, trace, |path, trace| {
            if self.policy.mode == RevocationMode::NoCheck {
                trace.step("revocation", Verdict::Note, || "not checked: the profile says so".to_owned());
                return Ok(None);
            }
            match revocation::check_path(&self.data, &self.policy, path.certificates(), helpers, now, trace) {
                Ok(outcome) => Ok(outcome.valid_until),
                Err(failure) => Err(Rejection { reason: failure.status.reason(), detail: failure.to_string() }),
            }
        })
    }
}
