//! How long the CRLs of a profile stay valid, and the warnings for the operator who replaces them.
//!
//! Owned here: when a CRL is out of date under its profile's policy, from when that is worth a warning, and what
//! follows from it. Whether a certificate is denied for it is decided by [`certgate_x509::check_revocation`], by the same
//! [`Expiry`].

use std::fmt;

use crate::domain::decide::resolved_profile::{CrlKind, CrlSummary};
use certgate_x509::{Expiry, FreshnessLimit, OnUnknown, UnixTime};

const DAY: i64 = 24 * 3600;

/// The state of a CRL at some time, ordered by how urgently an operator must act.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrlFreshness {
    /// The CRL is used.
    Current,
    /// The CRL is used, and its end is near.
    EndsSoon,
    /// thisUpdate is in the future: the CRL is not used yet.
    NotYetValid,
    /// The CRL is too old to be used.
    Ended,
}

impl CrlSummary {
    /// When it is out of date by the letter, and by what.
    pub fn expiry(&self) -> Expiry {
        self.policy.freshness.expiry(self.this_update, self.next_update)
    }

    /// The last second at which it counts, clock skew included.
    pub fn usable_until(&self) -> UnixTime {
        self.expiry().at.plus(self.policy.freshness.clock_skew)
    }

    /// From when the end is worth a warning: a day ahead, or a tenth of its life where that is longer, but never more
    /// than a quarter of it, so that a list that is replaced in time is not warned of.
    fn warned_from(&self) -> UnixTime {
        let until = self.usable_until();
        let life = until.since(self.this_update);
        until.minus(DAY.max(life / 10).min(life / 4))
    }

    /// The first second at which it counts.
    fn usable_from(&self) -> UnixTime {
        self.this_update.minus(self.policy.freshness.clock_skew)
    }

    /// Its state at `now`.
    pub fn freshness_at(&self, now: UnixTime) -> CrlFreshness {
        if now > self.usable_until() {
            CrlFreshness::Ended
        } else if now < self.usable_from() {
            CrlFreshness::NotYetValid
        } else if now >= self.warned_from() {
            CrlFreshness::EndsSoon
        } else {
            CrlFreshness::Current
        }
    }

    /// The first time after `now` at which its state changes; `None` once it has ended.
    pub fn next_change(&self, now: UnixTime) -> Option<UnixTime> {
        let turns = [self.usable_from(), self.warned_from(), self.usable_until().plus(1)];
        turns.into_iter().filter(|turn| *turn > now).min()
    }

    /// What is the matter with it at `now`, and what follows; `None` while it is current.
    pub fn expiry_warning(&self, now: UnixTime) -> Option<String> {
        let Expiry { at, by } = self.expiry();
        let limit = match by {
            FreshnessLimit::NextUpdate => "its nextUpdate".to_owned(),
            FreshnessLimit::MaxAge(seconds) => format!("the profile's maxAge of {}", duration(seconds)),
            FreshnessLimit::NoNextUpdate(seconds) => format!("the {} of a CRL without nextUpdate", duration(seconds)),
        };
        let effect = match (self.kind, self.policy.on_unknown) {
            (CrlKind::Delta, _) => "the complete CRL decides without it",
            (CrlKind::Complete, OnUnknown::Deny) => "certificates that it covers are denied with REVOCATION_STALE",
            (CrlKind::Complete, OnUnknown::Allow) => {
                "certificates that it does not list pass unchecked (onUnknown: Allow)"
            }
        };
        match self.freshness_at(now) {
            CrlFreshness::Current => None,
            CrlFreshness::EndsSoon => Some(format!("{self} ends at {at}, by {limit}: then {effect}")),
            CrlFreshness::NotYetValid => Some(format!("{self} is not used before its thisUpdate")),
            CrlFreshness::Ended => Some(format!("{self} ended at {at}, by {limit}: {effect}")),
        }
    }
}

/// The CRLs that an operator must act on at `now`, the worst first. A CRL is left out when another one for the same
/// place is valid for longer: the other one decides.
pub fn expiring(crls: &[CrlSummary], now: UnixTime) -> Vec<(&CrlSummary, CrlFreshness)> {
    let is_outlived = |crl: &CrlSummary| {
        crls.iter().any(|other| other.has_same_place(crl) && other.usable_until() > crl.usable_until())
    };
    let freshness = crls.iter().map(|crl| (crl, crl.freshness_at(now)));
    let mut found: Vec<_> =
        freshness.filter(|(crl, freshness)| *freshness != CrlFreshness::Current && !is_outlived(crl)).collect();
    found.sort_by_key(|(crl, freshness)| (crl.kind, std::cmp::Reverse(*freshness), crl.usable_until()));
    found
}

impl CrlSummary {
    /// Whether both are for the same place, so that one replaces the other.
    fn has_same_place(&self, other: &Self) -> bool {
        self.profile == other.profile
            && self.issuer == other.issuer
            && self.kind == other.kind
            && self.scope == other.scope
            && self.key == other.key
    }
}

/// As a CRL itself is named in reasons and steps.
impl fmt::Display for CrlSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == CrlKind::Delta { "delta CRL" } else { "CRL" };
        write!(f, "{kind} of [{}]", self.issuer)?;
        if let Some(number) = self.number {
            write!(f, " number {number}")?;
        }
        write!(f, " from {}", self.this_update)
    }
}

/// Seconds as operators write them.
fn duration(seconds: i64) -> String {
    match (seconds % 3600, seconds % 60) {
        (0, _) => format!("{}h", seconds / 3600),
        (_, 0) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use certgate_testing::template::NOW;
    use certgate_x509::{Freshness, MaxAge, RevocationPolicy};

    const HOUR: i64 = 3600;

    /// A list of the profile n/p, made `age` seconds ago, with nextUpdate `next` seconds ahead; no clock skew.
    fn crl(age: i64, next: Option<i64>, max_age: MaxAge) -> CrlSummary {
        let freshness = Freshness { max_age, clock_skew: 0 };
        CrlSummary {
            profile: "n/p".into(),
            issuer: "CN=CA".to_owned(),
            kind: CrlKind::Complete,
            scope: String::new(),
            key: None,
            number: None,
            entries: 0,
            this_update: NOW.minus(age),
            next_update: next.map(|next| NOW.plus(next)),
            policy: RevocationPolicy { freshness, ..RevocationPolicy::default() },
        }
    }

    #[test]
    fn the_end_of_a_list_is_warned_of_ahead_and_told_once_it_is_there() {
        let by_next = |age, next| crl(age, Some(next), MaxAge::NextUpdate);
        let rows = [
            ("a week, a day and a second left", by_next(6 * DAY - 1, DAY + 1), CrlFreshness::Current),
            ("a week, a day left", by_next(6 * DAY, DAY), CrlFreshness::EndsSoon),
            ("a day, renewed twice in it", by_next(12 * HOUR, 12 * HOUR), CrlFreshness::Current),
            ("a day, six hours left", by_next(18 * HOUR, 6 * HOUR), CrlFreshness::EndsSoon),
            ("a year, 36 days left", by_next(329 * DAY, 36 * DAY), CrlFreshness::EndsSoon),
            ("the last second", by_next(DAY, 0), CrlFreshness::EndsSoon),
            ("a second too late", by_next(DAY, -1), CrlFreshness::Ended),
            ("not yet", by_next(-1, DAY), CrlFreshness::NotYetValid),
            ("older than maxAge", crl(HOUR + 1, Some(DAY), MaxAge::Seconds(HOUR)), CrlFreshness::Ended),
            ("nearly as old", crl(50 * 60, Some(DAY), MaxAge::Seconds(HOUR)), CrlFreshness::EndsSoon),
            ("no nextUpdate, a week old", crl(7 * DAY + 1, None, MaxAge::NextUpdate), CrlFreshness::Ended),
        ];
        for (name, crl, want) in rows {
            assert_eq!(crl.freshness_at(NOW), want, "{name}");
            assert_eq!(crl.expiry_warning(NOW).is_some(), want != CrlFreshness::Current, "{name}");
        }
        let skewed = |skew| {
            let mut crl = by_next(DAY, -100);
            crl.policy.freshness.clock_skew = skew;
            crl.freshness_at(NOW)
        };
        assert_eq!((skewed(99), skewed(100)), (CrlFreshness::Ended, CrlFreshness::EndsSoon), "clocks may differ");
    }

    #[test]
    fn what_follows_is_said_with_the_limit_that_was_passed() {
        let said = |crl: &CrlSummary| crl.expiry_warning(NOW).unwrap();
        let expired = crl(DAY, Some(-HOUR), MaxAge::NextUpdate);
        let name = format!("CRL of [CN=CA] from {}", NOW.minus(DAY));
        let denied = "certificates that it covers are denied with REVOCATION_STALE";
        assert_eq!(said(&expired), format!("{name} ended at {}, by its nextUpdate: {denied}", NOW.minus(HOUR)));
        let mut lenient = expired.clone();
        lenient.policy.on_unknown = OnUnknown::Allow;
        assert!(said(&lenient).ends_with("pass unchecked (onUnknown: Allow)"), "{}", said(&lenient));
        let delta = CrlSummary { kind: CrlKind::Delta, ..expired };
        assert!(said(&delta).starts_with("delta CRL of") && said(&delta).ends_with("decides without it"));
        let old = crl(2 * HOUR, Some(DAY), MaxAge::Seconds(HOUR + HOUR / 2));
        assert!(said(&old).contains("by the profile's maxAge of 90m"), "{}", said(&old));
        let endless = crl(8 * DAY, None, MaxAge::NextUpdate);
        assert!(said(&endless).contains("by the 168h of a CRL without nextUpdate"), "{}", said(&endless));
    }

    #[test]
    fn turns_come_one_after_another() {
        let list = crl(-HOUR, Some(5 * HOUR), MaxAge::NextUpdate);
        let mut turns = Vec::new();
        let mut now = NOW;
        while let Some(turn) = list.next_change(now) {
            assert_ne!(list.freshness_at(turn), list.freshness_at(turn.minus(1)), "{turn}");
            turns.push(turn.since(NOW));
            now = turn;
        }
        assert_eq!(turns, [HOUR, 4 * HOUR, 5 * HOUR + 1]);
    }

    #[test]
    fn a_list_that_another_outlives_needs_nobody() {
        let old = crl(DAY, Some(-HOUR), MaxAge::NextUpdate);
        let new = crl(HOUR, Some(DAY), MaxAge::NextUpdate);
        let count = |crls: &[CrlSummary]| expiring(crls, NOW).len();
        assert_eq!(count(std::slice::from_ref(&old)), 1);
        assert_eq!(count(&[old.clone(), new.clone()]), 0);
        let elsewhere = CrlSummary { scope: "onlyContainsCACerts".to_owned(), ..new.clone() };
        assert_eq!(count(&[old.clone(), elsewhere]), 1, "of another scope");
        let of_key = CrlSummary { key: Some("0a".to_owned()), ..new };
        assert_eq!(count(&[old, of_key]), 1, "of another key");
    }
}
