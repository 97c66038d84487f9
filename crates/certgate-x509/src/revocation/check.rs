//! The status of the certificates of a path by CRLs (RFC 5280 section 6.3).
//!
//! The section's algorithm asks distribution point after distribution point and stops at the first answer, so its
//! outcome hangs on their order. Here every CRL at hand that may speak about a certificate is heard, the newest first:
//!
//! - scope decides which one speaks, and about which reasons ([`super::scope`]);
//! - a signature by somebody whom the path gives the right decides which one counts ([`super::signer`]);
//! - freshness decides which one wins: a newer CRL overrides an older one for the reasons that it covers;
//! - the certificate is good when current CRLs cover all reasons and none lists it; a listing in a CRL that is out of
//!   date still revokes, the absence from one proves nothing.
//!
//! A delta CRL speaks with the complete CRL that it updates: one of its scope and key, whose number is at least the
//! delta's base and below its own.

use std::fmt;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::path::{Budget, Pool, SignatureError};
use crate::time::UnixTime;
use crate::trace::{Trace, Verdict};

use super::crl::Crl;
use super::data::{Held, RevocationData};
use super::reason::{CrlReason, Reasons};
use super::scope::{Covered, Points};
use super::serials::Entry;
use super::signer::{Authority, Doubt};
use super::{
    BadStatus, DEFAULT_MAX_AGE, MaxAge, OnUnknown, RevocationFailure, RevocationMode, RevocationOutcome,
    RevocationPolicy, RevocationScope,
};

/// CRLs of one certificate that are named when none of them helps.
const MAX_NAMED: usize = 8;

/// Certificates among which the signers of CRLs are looked for.
#[derive(Copy, Clone, Debug)]
pub struct Helpers<'a> {
    /// The profile's anchors and intermediates.
    pub pool: &'a Pool,
    /// What the client presented.
    pub presented: &'a [Arc<Certificate>],
}

/// Checks a valid path, the leaf first and the trust anchor last.
///
/// A revoked certificate is reported before one whose status is unknown, and the lower of two before the higher.
pub fn check_path<T: Trace>(
    data: &RevocationData,
    policy: &RevocationPolicy,
    path: &[Arc<Certificate>],
    helpers: Helpers<'_>,
    now: UnixTime,
    trace: &mut T,
) -> Result<RevocationOutcome, RevocationFailure> {
    check_path_within(&Budget::default(), data, policy, path, helpers, now, trace)
}

/// [`check_path`] within what is left of a budget, which the search for the path shares.
pub fn check_path_within<T: Trace>(
    budget: &Budget,
    data: &RevocationData,
    policy: &RevocationPolicy,
    path: &[Arc<Certificate>],
    helpers: Helpers<'_>,
    now: UnixTime,
    trace: &mut T,
) -> Result<RevocationOutcome, RevocationFailure> {
    let mut outcome = RevocationOutcome { valid_until: None, warnings: Vec::new() };
    if policy.mode == RevocationMode::NoCheck {
        return Ok(outcome);
    }
    let below_anchor = path.len().saturating_sub(1);
    let count = match policy.scope {
        RevocationScope::EndEntity => below_anchor.min(1),
        RevocationScope::ExcludeRoot => below_anchor,
        RevocationScope::EntireChain => path.len(),
    };
    let check = Check { data, policy, helpers, now, budget };
    let mut unknown: Option<RevocationFailure> = None;
    for (position, certificate) in path.iter().enumerate().take(count) {
        match check.certificate(path, position, None, trace) {
            Ok(until) => outcome.valid_until = earliest(outcome.valid_until, until),
            Err(status) => {
                let denies = policy.on_unknown == OnUnknown::Deny || matches!(status, BadStatus::Revoked { .. });
                let verdict = if denies { Verdict::Fail } else { Verdict::Note };
                trace.step("revocation", verdict, || format!("[{}]: {status}", certificate.subject()));
                match status {
                    BadStatus::Revoked { .. } => return Err(RevocationFailure { position, status }),
                    _ if denies => {
                        unknown.get_or_insert(RevocationFailure { position, status });
                    }
                    _ => outcome.warnings.push(format!("[{}]: {status}", certificate.subject())),
                }
            }
        }
    }
    match unknown {
        Some(failure) => Err(failure),
        None => Ok(outcome),
    }
}

fn earliest(a: Option<UnixTime>, b: Option<UnixTime>) -> Option<UnixTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// One walk over a path.
pub(super) struct Check<'a> {
    pub(super) data: &'a RevocationData,
    pub(super) policy: &'a RevocationPolicy,
    pub(super) helpers: Helpers<'a>,
    pub(super) now: UnixTime,
    /// What searches for the signers of CRLs may cost, and keys that CRLs are tried by. When it has run out, a CRL may
    /// not have been heard, and nothing is good any more.
    pub(super) budget: &'a Budget,
}

/// Why a CRL does not speak about a certificate.
#[derive(Clone, Debug)]
pub(super) enum Silence {
    /// Other certificates are in its scope.
    Scope,
    /// thisUpdate lies ahead.
    NotYetValid,
    /// It is a delta CRL; those speak only beside their base.
    Delta,
    /// The signature does not verify by any key of the issuer's name, or the key may not sign CRLs.
    Signature(SignatureError),
    /// No certificate with the issuer's name is at hand.
    NoSigner,
    /// The issuer's certificate lacks cRLSign.
    MayNotSign,
    /// The signer's certificate does not lead to the path's anchor, or is revoked.
    Signer(String),
}

/// A CRL that may speak about the certificate, and what it says.
struct Speaker<'a> {
    crl: &'a Crl,
    /// The delta CRL that brings it up to date.
    delta: Option<&'a Crl>,
    /// Which of the two has the entry.
    listed_by: &'a Crl,
    reasons: Covered,
    authority: Authority,
    /// When it learnt what it says.
    time: UnixTime,
    /// Until when it is current; `None` when it no longer is.
    until: Option<UnixTime>,
    entry: Option<Entry>,
}

impl<'a> Check<'a> {
    /// The status of one certificate of a path: until when it is known to be good. Revoked by one source is revoked,
    /// whatever another says.
    pub(super) fn certificate<T: Trace>(
        &self,
        path: &[Arc<Certificate>],
        position: usize,
        doubt: Option<&Doubt<'_>>,
        trace: &mut T,
    ) -> Result<Option<UnixTime>, BadStatus> {
        let Some(by_ocsp) = self.by_ocsp(path, position, doubt, trace) else {
            return self.by_crls(path, position, doubt, trace);
        };
        if matches!(by_ocsp, Err(BadStatus::Revoked { .. })) {
            return by_ocsp;
        }
        match (self.by_crls(path, position, doubt, trace), by_ocsp) {
            (Err(status @ BadStatus::Revoked { .. }), _) => Err(status),
            (Ok(by_crls), Ok(by_ocsp)) => Ok(earliest(by_crls, by_ocsp)),
            (Ok(until), Err(_)) | (Err(_), Ok(until)) => Ok(until),
            (Err(BadStatus::Unknown { .. }), Err(status)) | (Err(status), Err(_)) => Err(status),
        }
    }

    /// The status by CRLs alone.
    pub(super) fn by_crls<T: Trace>(
        &self,
        path: &[Arc<Certificate>],
        position: usize,
        doubt: Option<&Doubt<'_>>,
        trace: &mut T,
    ) -> Result<Option<UnixTime>, BadStatus> {
        let Some(certificate) = path.get(position) else {
            return Err(BadStatus::Unknown { detail: "not on the path".to_owned() });
        };
        let points = Points::of(certificate);
        let mut lists = self.lists(&points, certificate);
        match (lists.next(), lists.next()) {
            // As nearly always: nothing to compare and to collect.
            (Some(held), None) => match self.listen(held, &points, path, position, doubt, trace) {
                Ok(speaker) => self.conclude(&points, &[&speaker], &[], trace),
                Err(silence) => self.conclude(&points, &[], &[(held.crl(), silence)], trace),
            },
            (first, second) => {
                let lists = first.into_iter().chain(second).chain(lists).collect();
                self.by_several(lists, &points, path, position, doubt, trace)
            }
        }
    }

    /// The status by any number of CRLs that could speak.
    fn by_several<T: Trace>(
        &self,
        mut lists: Vec<&'a Held>,
        points: &Points<'_>,
        path: &[Arc<Certificate>],
        position: usize,
        doubt: Option<&Doubt<'_>>,
        trace: &mut T,
    ) -> Result<Option<UnixTime>, BadStatus> {
        let mut silent: Vec<(&Crl, Silence)> = Vec::new();
        let mut speakers: Vec<Speaker<'_>> = Vec::new();
        lists.sort_by_key(|held| std::cmp::Reverse(held.crl().number()));
        for held in lists {
            let crl = held.crl();
            // What would be superseded below need not be verified.
            let outdone = |new: &Speaker<'_>| {
                new.authority == Authority::Independent
                    && new.crl.number() > crl.number()
                    && crl.number().is_some()
                    && new.crl.has_scope_of(crl)
            };
            if speakers.iter().any(outdone) {
                continue;
            }
            match self.listen(held, points, path, position, doubt, trace) {
                Ok(speaker) => speakers.push(speaker),
                Err(silence) => silent.push((crl, silence)),
            }
        }
        // CRLNumber never goes back: a CRL is no longer heard once one of its scope with a higher number is there.
        let superseded = |old: &Speaker<'_>| {
            speakers.iter().any(|new| {
                new.crl.number() > old.crl.number()
                    && old.crl.number().is_some()
                    && new.authority <= old.authority
                    && new.crl.has_scope_of(old.crl)
            })
        };
        let mut order: Vec<&Speaker<'_>> = speakers.iter().filter(|speaker| !superseded(speaker)).collect();
        order.sort_by_key(|speaker| (std::cmp::Reverse(speaker.time), speaker.entry.is_none()));
        self.conclude(points, &order, &silent, trace)
    }

    /// The status by the CRLs that speak about a certificate, in the order in which they are heard.
    fn conclude<T: Trace>(
        &self,
        points: &Points<'_>,
        order: &[&Speaker<'_>],
        silent: &[(&Crl, Silence)],
        trace: &mut T,
    ) -> Result<Option<UnixTime>, BadStatus> {
        let certificate = points.certificate;
        let independent = || order.iter().copied().filter(|speaker| speaker.authority == Authority::Independent);
        let mut verdict = self.judge(independent());
        if matches!(verdict, Err(Doubtful::Unknown)) && order.len() > independent().count() {
            verdict = self.judge(order.iter().copied());
        }
        match (verdict, &points.problem) {
            (Err(Doubtful::Revoked(entry, source)), _) => Err(BadStatus::Revoked { entry, source }),
            (_, Some(error)) => Err(BadStatus::Unknown { detail: format!("cRLDistributionPoints: {error}") }),
            _ if self.budget.is_exhausted() => {
                Err(BadStatus::Unknown { detail: "too many signers of CRLs to follow, or keys to try".to_owned() })
            }
            (Ok(until), None) => {
                trace.step("revocation", Verdict::Pass, || {
                    let heard = order.iter().flat_map(|speaker| [Some(speaker.crl), speaker.delta]);
                    let names: Vec<String> = heard.flatten().map(ToString::to_string).collect();
                    format!("[{}] is not listed in {}", certificate.subject(), names.join(", "))
                });
                Ok(until)
            }
            (Err(Doubtful::Stale), None) => {
                let stale: Vec<String> = order
                    .iter()
                    .filter(|speaker| speaker.until.is_none())
                    .map(|speaker| self.describe_age(speaker.crl))
                    .collect();
                Err(BadStatus::Stale { detail: stale.join("; ") })
            }
            (Err(Doubtful::Unknown), None) => {
                Err(BadStatus::Unknown { detail: self.explain(certificate, order, silent) })
            }
        }
    }

    /// The complete and delta CRLs that could speak about a certificate, by their issuers' names.
    fn lists(&self, points: &Points<'_>, certificate: &Certificate) -> impl Iterator<Item = &'a Held> {
        let data = self.data;
        let own = if points.own_issuer { data.of(certificate.issuer()) } else { &[] };
        let others = points.other_issuers.iter().filter(|name| !points.own_issuer || *name != certificate.issuer());
        let others: Vec<&'a [Arc<Held>]> = others.map(|name| data.of(name)).collect();
        own.iter().chain(others.into_iter().flatten()).map(|held| &**held)
    }

    /// Whether a CRL speaks about the certificate, and what it says.
    fn listen<T: Trace>(
        &self,
        held: &'a Held,
        points: &Points<'_>,
        path: &[Arc<Certificate>],
        position: usize,
        doubt: Option<&Doubt<'_>>,
        trace: &mut T,
    ) -> Result<Speaker<'a>, Silence> {
        let crl = held.crl();
        if crl.base_number().is_some() {
            return Err(Silence::Delta);
        }
        let reasons = points.reasons(crl);
        if reasons.listing.is_empty() {
            return Err(Silence::Scope);
        }
        if self.is_early(crl) {
            return Err(Silence::NotYetValid);
        }
        let certificate = points.certificate;
        let (authority, key) = self.authority(held, path, position, doubt, trace)?;
        held.is_by(key, &self.policy.signatures);
        let mut speaker = Speaker {
            crl,
            delta: None,
            listed_by: crl,
            reasons,
            authority,
            time: crl.this_update(),
            until: self.current_until(crl, certificate),
            entry: crl.entry(certificate.issuer(), certificate.serial_number()),
        };
        if crl.number().is_some() && self.data.has_deltas() {
            self.update(&mut speaker, certificate, key);
        }
        Ok(speaker)
    }

    /// Applies the newest delta CRL that completes a CRL (6.3.3 (c), (h), (i)).
    fn update(&self, speaker: &mut Speaker<'a>, certificate: &Certificate, key: &[u8]) {
        let base = speaker.crl;
        let completes = |delta: &Crl| {
            delta.base_number().is_some_and(|from| Some(from) <= base.number())
                && delta.number() > base.number()
                && delta.has_scope_of(base)
                && !self.is_early(delta)
        };
        let mut deltas: Vec<&Held> =
            self.data.of(base.issuer()).iter().map(|held| &**held).filter(|held| completes(held.crl())).collect();
        deltas.sort_by_key(|held| std::cmp::Reverse(held.crl().number()));
        for held in deltas {
            let delta = held.crl();
            if delta.verify(key, &self.policy.signatures).is_err() {
                continue;
            }
            held.is_by(key, &self.policy.signatures);
            let entry = delta.entry(certificate.issuer(), certificate.serial_number());
            let is_removal = entry.is_some_and(|entry| entry.reason == Some(CrlReason::RemoveFromCrl));
            let until = self.current_until(delta, certificate);
            if entry.is_some() && !is_removal {
                speaker.entry = entry;
                (speaker.delta, speaker.listed_by) = (Some(delta), delta);
                speaker.time = delta.this_update();
                return;
            }
            // What is out of date can add a revocation and not lift one.
            let Some(until) = until else { continue };
            let is_hold = |entry: &Entry| entry.reason == Some(CrlReason::CertificateHold);
            if is_removal {
                speaker.entry = speaker.entry.filter(|entry| !is_hold(entry));
            }
            speaker.delta = Some(delta);
            speaker.time = delta.this_update();
            speaker.until = speaker.until.map(|own| own.min(until));
            return;
        }
    }

    /// Hears the speakers, the newest first.
    fn judge<'s>(&self, speakers: impl Iterator<Item = &'s Speaker<'a>>) -> Result<Option<UnixTime>, Doubtful>
    where
        'a: 's,
    {
        let (mut covered, mut stale) = (Reasons::NONE, Reasons::NONE);
        let mut until = None;
        for speaker in speakers {
            let listing = speaker.reasons.listing.without(covered);
            if let Some(entry) = speaker.entry.filter(|entry| listing.concern(entry.reason)) {
                return Err(Doubtful::Revoked(entry, speaker.listed_by.to_string()));
            }
            match speaker.until {
                Some(end) if !speaker.reasons.absence.without(covered).is_empty() => {
                    covered = covered.or(speaker.reasons.absence);
                    until = earliest(until, Some(end));
                }
                Some(_) => {}
                None => stale = stale.or(speaker.reasons.absence),
            }
        }
        if covered == Reasons::ALL {
            Ok(until)
        } else if covered.or(stale) == Reasons::ALL {
            Err(Doubtful::Stale)
        } else {
            Err(Doubtful::Unknown)
        }
    }

    /// Whether thisUpdate lies ahead.
    fn is_early(&self, crl: &Crl) -> bool {
        crl.this_update() > self.now.plus(self.policy.freshness.clock_skew)
    }

    /// The last second at which a CRL counts as current, clock skew included; `None` when it has passed.
    fn current_until(&self, crl: &Crl, certificate: &Certificate) -> Option<UnixTime> {
        let freshness = &self.policy.freshness;
        let mut until = freshness.expiry(crl.this_update(), crl.next_update()).at;
        if freshness.max_age == MaxAge::Weekly && is_weekly(crl, certificate) {
            until = until.min(crl.this_update().plus(DEFAULT_MAX_AGE));
        }
        let until = until.plus(freshness.clock_skew);
        if until < self.now { None } else { Some(until) }
    }

    fn describe_age(&self, crl: &Crl) -> String {
        let age = self.now.since(crl.this_update());
        match crl.next_update() {
            Some(next) if next < self.now => format!("{crl} is past its nextUpdate {next}"),
            _ => format!("{crl} is too old: {age} seconds"),
        }
    }

    /// Why no CRL at hand determines the status.
    fn explain(&self, certificate: &Certificate, heard: &[&Speaker<'_>], silent: &[(&Crl, Silence)]) -> String {
        if heard.is_empty() && silent.is_empty() {
            return format!("no CRL for certificates of [{}] is at hand", certificate.issuer());
        }
        let heard = heard.iter().map(|speaker| match speaker.until {
            Some(_) => format!("{} does not cover all reasons", speaker.crl),
            None => self.describe_age(speaker.crl),
        });
        let silent = silent.iter().map(|(crl, silence)| format!("{crl} {silence}"));
        heard.chain(silent).take(MAX_NAMED).collect::<Vec<_>>().join("; ")
    }
}

/// Whether a CRL is one of those that the Baseline Requirements want weekly: about an end entity, and of a CA that
/// replaces it within the year.
fn is_weekly(crl: &Crl, certificate: &Certificate) -> bool {
    const YEAR: i64 = 366 * 24 * 3600;
    let is_ca = certificate.basic_constraints().is_some_and(|constraints| constraints.is_ca);
    !is_ca && crl.next_update().is_some_and(|next| next.since(crl.this_update()) <= YEAR)
}

/// Why a certificate is not good.
enum Doubtful {
    Revoked(Entry, String),
    Stale,
    Unknown,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope => f.write_str("is about other certificates"),
            Self::NotYetValid => f.write_str("is not valid yet"),
            Self::Delta => f.write_str("is a delta CRL without a complete one that it updates"),
            Self::Signature(error) => write!(f, "is not signed by its issuer: {error}"),
            Self::NoSigner => f.write_str("has a signer whose certificate is not at hand"),
            Self::MayNotSign => f.write_str("is of an issuer whose keyUsage does not have cRLSign"),
            Self::Signer(detail) => write!(f, "has a signer that does not count: {detail}"),
        }
    }
}
