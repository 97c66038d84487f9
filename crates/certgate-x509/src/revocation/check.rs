//! The status of the certificates of a path by CRLs (RFC 5280 section 6.3).
//!
//! The section's algorithm processes one distribution point after another and stops at the first answer, so its outcome
//! depends on their order. This module uses every available CRL that may apply to a certificate, the newest first:
//!
//! - its scope decides whether a CRL applies, and to which reasons ([`super::scope`]);
//! - its signer decides whether it is valid: the path must authorize the signer ([`super::signer`]);
//! - its date decides between two CRLs: a newer one overrides an older one for the reasons that it covers;
//! - the certificate is good when current CRLs cover all reasons and none lists it. A listing in a CRL that is out of
//!   date still revokes; the absence from one proves nothing.
//!
//! A delta CRL applies with the complete CRL that it updates: one of its scope and key, whose number is at least the
//! delta's base and below its own.
//!
//! This file and [`super::signer`] call each other: the signer of a CRL has a path, whose certificates have a status.

use std::fmt;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::path::{Budget, Pool, SignatureError};
use crate::time::UnixTime;
use crate::trace::{Trace, Verdict};

use super::crl::Crl;
use super::crl_with_signer::CrlWithSigner;
use super::data::RevocationData;
use super::reason::{CrlReason, ReasonFlags};
use super::scope::{CoveredReasons, StatusPoints};
use super::serials::RevocationEntry;
use super::signer::{Pending, SignerRelation};
use super::{
    BadStatus, MAX_AGE_WITHOUT_NEXT_UPDATE, MaxAge, OnUnknown, RevocationFailure, RevocationMode, RevocationOutcome,
    RevocationPolicy, RevocationScope,
};

/// The most CRLs of one certificate that an error names.
const MAX_EXPLAINED_CRLS: usize = 8;

/// Certificates among which the signers of CRLs are searched.
#[derive(Copy, Clone, Debug)]
pub struct SignerCandidates<'a> {
    /// The profile's anchors and intermediates.
    pub pool: &'a Pool,
    /// What the client presented.
    pub presented: &'a [Arc<Certificate>],
}

/// Checks a valid path, the leaf first and the trust anchor last.
///
/// A revoked certificate is reported before one whose status is unknown, and the lower of two before the higher.
pub fn check_revocation<T: Trace>(
    data: &RevocationData,
    policy: &RevocationPolicy,
    path: &[Arc<Certificate>],
    helpers: SignerCandidates<'_>,
    now: UnixTime,
    trace: &mut T,
) -> Result<RevocationOutcome, RevocationFailure> {
    check_revocation_within(&Budget::default(), data, policy, path, helpers, now, trace)
}

/// [`check_revocation`] within the rest of a budget, which the search for the path shares.
pub fn check_revocation_within<T: Trace>(
    budget: &Budget,
    data: &RevocationData,
    policy: &RevocationPolicy,
    path: &[Arc<Certificate>],
    helpers: SignerCandidates<'_>,
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
    pub(super) helpers: SignerCandidates<'a>,
    pub(super) now: UnixTime,
    /// The budget of searches for CRL signers and of keys tried on CRLs. When it is exhausted, a CRL may be
    /// unevaluated, and no status is good any more.
    pub(super) budget: &'a Budget,
}

/// Why a CRL does not apply to a certificate.
#[derive(Clone, Debug)]
pub(super) enum NotApplicable {
    /// Other certificates are in its scope.
    Scope,
    /// thisUpdate is in the future.
    NotYetValid,
    /// It is a delta CRL; those apply only with their base.
    Delta,
    /// The signature does not verify by any key of the issuer's name, or the key may not sign CRLs.
    Signature(SignatureError),
    /// No certificate with the issuer's name is available.
    NoSigner,
    /// The issuer's certificate lacks cRLSign.
    MayNotSign,
    /// The signer's certificate does not lead to the path's anchor, or is revoked.
    Signer(String),
}

/// A CRL that applies to the certificate, and its entry for it.
struct ApplicableCrl<'a> {
    crl: &'a Crl,
    /// The delta CRL that brings it up to date.
    delta: Option<&'a Crl>,
    /// The one of the two that has the entry.
    listed_by: &'a Crl,
    reasons: CoveredReasons,
    authority: SignerRelation,
    /// The date of its information: thisUpdate of the CRL, or of its delta CRL.
    time: UnixTime,
    /// Until when it is current; `None` when it no longer is.
    until: Option<UnixTime>,
    entry: Option<RevocationEntry>,
}

impl<'a> Check<'a> {
    /// The status of one certificate of a path, and how long it is known to be good. A certificate that one source
    /// reports as revoked is revoked, regardless of other sources.
    pub(super) fn certificate<T: Trace>(
        &self,
        path: &[Arc<Certificate>],
        position: usize,
        pending: Option<&Pending<'_>>,
        trace: &mut T,
    ) -> Result<Option<UnixTime>, BadStatus> {
        let Some(by_ocsp) = self.by_ocsp(path, position, pending, trace) else {
            return self.by_crls(path, position, pending, trace);
        };
        if matches!(by_ocsp, Err(BadStatus::Revoked { .. })) {
            return by_ocsp;
        }
        match (self.by_crls(path, position, pending, trace), by_ocsp) {
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
        pending: Option<&Pending<'_>>,
        trace: &mut T,
    ) -> Result<Option<UnixTime>, BadStatus> {
        let Some(certificate) = path.get(position) else {
            return Err(BadStatus::Unknown { detail: "not on the path".to_owned() });
        };
        let points = StatusPoints::of(certificate);
        let mut lists = self.lists(&points, certificate);
        match (lists.next(), lists.next()) {
            // The usual case: nothing to compare or collect.
            (Some(held), None) => match self.evaluate(held, &points, path, position, pending, trace) {
                Ok(applied) => self.conclude(&points, &[&applied], &[], trace),
                Err(problem) => self.conclude(&points, &[], &[(held.crl(), problem)], trace),
            },
            (first, second) => {
                let lists = first.into_iter().chain(second).chain(lists).collect();
                self.by_several(lists, &points, path, position, pending, trace)
            }
        }
    }

    /// The status by any number of CRLs that could apply.
    fn by_several<T: Trace>(
        &self,
        mut lists: Vec<&'a CrlWithSigner>,
        points: &StatusPoints<'_>,
        path: &[Arc<Certificate>],
        position: usize,
        pending: Option<&Pending<'_>>,
        trace: &mut T,
    ) -> Result<Option<UnixTime>, BadStatus> {
        let mut not_applicable: Vec<(&Crl, NotApplicable)> = Vec::new();
        let mut applicable: Vec<ApplicableCrl<'_>> = Vec::new();
        lists.sort_by_key(|held| std::cmp::Reverse(held.crl().number()));
        for held in lists {
            let crl = held.crl();
            // A CRL that is superseded below need not be verified.
            let superseded_by = |new: &ApplicableCrl<'_>| {
                new.authority == SignerRelation::Independent
                    && new.crl.number() > crl.number()
                    && crl.number().is_some()
                    && new.crl.has_scope_of(crl)
            };
            if applicable.iter().any(superseded_by) {
                continue;
            }
            match self.evaluate(held, points, path, position, pending, trace) {
                Ok(applied) => applicable.push(applied),
                Err(problem) => not_applicable.push((crl, problem)),
            }
        }
        // CRLNumber never decreases: a CRL no longer applies if one of its scope has a higher number.
        let superseded = |old: &ApplicableCrl<'_>| {
            applicable.iter().any(|new| {
                new.crl.number() > old.crl.number()
                    && old.crl.number().is_some()
                    && new.authority <= old.authority
                    && new.crl.has_scope_of(old.crl)
            })
        };
        let mut order: Vec<&ApplicableCrl<'_>> = applicable.iter().filter(|applied| !superseded(applied)).collect();
        order.sort_by_key(|applied| (std::cmp::Reverse(applied.time), applied.entry.is_none()));
        self.conclude(points, &order, &not_applicable, trace)
    }

    /// The status by the CRLs that apply to a certificate, in order of precedence.
    fn conclude<T: Trace>(
        &self,
        points: &StatusPoints<'_>,
        order: &[&ApplicableCrl<'_>],
        not_applicable: &[(&Crl, NotApplicable)],
        trace: &mut T,
    ) -> Result<Option<UnixTime>, BadStatus> {
        let certificate = points.certificate;
        let independent = || order.iter().copied().filter(|applied| applied.authority == SignerRelation::Independent);
        let mut verdict = self.judge(independent());
        if matches!(verdict, Err(NotGood::Unknown)) && order.len() > independent().count() {
            verdict = self.judge(order.iter().copied());
        }
        match (verdict, &points.problem) {
            (Err(NotGood::Revoked(entry, source)), _) => Err(BadStatus::Revoked { entry, source }),
            (_, Some(error)) => Err(BadStatus::Unknown { detail: format!("cRLDistributionPoints: {error}") }),
            _ if self.budget.is_exhausted() => {
                Err(BadStatus::Unknown { detail: "too many signers of CRLs to follow, or keys to try".to_owned() })
            }
            (Ok(until), None) => {
                trace.step("revocation", Verdict::Pass, || {
                    let used = order.iter().flat_map(|applied| [Some(applied.crl), applied.delta]);
                    let names: Vec<String> = used.flatten().map(ToString::to_string).collect();
                    format!("[{}] is not listed in {}", certificate.subject(), names.join(", "))
                });
                Ok(until)
            }
            (Err(NotGood::Stale), None) => {
                let stale: Vec<String> = order
                    .iter()
                    .filter(|applied| applied.until.is_none())
                    .map(|applied| self.describe_age(applied.crl))
                    .collect();
                Err(BadStatus::Stale { detail: stale.join("; ") })
            }
            (Err(NotGood::Unknown), None) => {
                Err(BadStatus::Unknown { detail: self.explain(certificate, order, not_applicable) })
            }
        }
    }

    /// The complete and delta CRLs that could apply to a certificate, by their issuers' names.
    fn lists(&self, points: &StatusPoints<'_>, certificate: &Certificate) -> impl Iterator<Item = &'a CrlWithSigner> {
        let data = self.data;
        let own = if points.own_issuer { data.of(certificate.issuer()) } else { &[] };
        let others = points.other_issuers.iter().filter(|name| !points.own_issuer || *name != certificate.issuer());
        let others: Vec<&'a [Arc<CrlWithSigner>]> = others.map(|name| data.of(name)).collect();
        own.iter().chain(others.into_iter().flatten()).map(|held| &**held)
    }

    /// Whether a CRL applies to the certificate, and its entry for it.
    fn evaluate<T: Trace>(
        &self,
        held: &'a CrlWithSigner,
        points: &StatusPoints<'_>,
        path: &[Arc<Certificate>],
        position: usize,
        pending: Option<&Pending<'_>>,
        trace: &mut T,
    ) -> Result<ApplicableCrl<'a>, NotApplicable> {
        let crl = held.crl();
        if crl.base_number().is_some() {
            return Err(NotApplicable::Delta);
        }
        let reasons = points.reasons(crl);
        if reasons.listing.is_empty() {
            return Err(NotApplicable::Scope);
        }
        if self.is_early(crl) {
            return Err(NotApplicable::NotYetValid);
        }
        let certificate = points.certificate;
        let (authority, key) = self.authority(held, path, position, pending, trace)?;
        held.record_signer(key, &self.policy.signatures);
        let mut applied = ApplicableCrl {
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
            self.update(&mut applied, certificate, key);
        }
        Ok(applied)
    }

    /// Applies the newest delta CRL that completes a CRL (6.3.3 (c), (h), (i)).
    fn update(&self, applied: &mut ApplicableCrl<'a>, certificate: &Certificate, key: &[u8]) {
        let base = applied.crl;
        let completes = |delta: &Crl| {
            delta.base_number().is_some_and(|from| Some(from) <= base.number())
                && delta.number() > base.number()
                && delta.has_scope_of(base)
                && !self.is_early(delta)
        };
        let mut deltas: Vec<&CrlWithSigner> =
            self.data.of(base.issuer()).iter().map(|held| &**held).filter(|held| completes(held.crl())).collect();
        deltas.sort_by_key(|held| std::cmp::Reverse(held.crl().number()));
        for held in deltas {
            let delta: &'a Crl = held.crl();
            if delta.verify(key, &self.policy.signatures).is_err() {
                continue;
            }
            held.record_signer(key, &self.policy.signatures);
            let entry = delta.entry(certificate.issuer(), certificate.serial_number());
            let is_removal = entry.is_some_and(|entry| entry.reason == Some(CrlReason::RemoveFromCrl));
            let until = self.current_until(delta, certificate);
            if entry.is_some() && !is_removal {
                applied.entry = entry;
                (applied.delta, applied.listed_by) = (Some(delta), delta);
                applied.time = delta.this_update();
                return;
            }
            // An outdated CRL can add a revocation but not remove one.
            let Some(until) = until else { continue };
            let is_hold = |entry: &RevocationEntry| entry.reason == Some(CrlReason::CertificateHold);
            if is_removal {
                applied.entry = applied.entry.filter(|entry| !is_hold(entry));
            }
            applied.delta = Some(delta);
            applied.time = delta.this_update();
            applied.until = applied.until.map(|own| own.min(until));
            return;
        }
    }

    /// Combines the CRLs, the newest first.
    fn judge<'s>(&self, applicable: impl Iterator<Item = &'s ApplicableCrl<'a>>) -> Result<Option<UnixTime>, NotGood>
    where
        'a: 's,
    {
        let (mut covered, mut stale) = (ReasonFlags::NONE, ReasonFlags::NONE);
        let mut until = None;
        for applied in applicable {
            let listing = applied.reasons.listing.without(covered);
            if let Some(entry) = applied.entry.filter(|entry| listing.concern(entry.reason)) {
                return Err(NotGood::Revoked(entry, applied.listed_by.to_string()));
            }
            match applied.until {
                Some(end) if !applied.reasons.absence.without(covered).is_empty() => {
                    covered = covered.or(applied.reasons.absence);
                    until = earliest(until, Some(end));
                }
                Some(_) => {}
                None => stale = stale.or(applied.reasons.absence),
            }
        }
        if covered == ReasonFlags::ALL {
            Ok(until)
        } else if covered.or(stale) == ReasonFlags::ALL {
            Err(NotGood::Stale)
        } else {
            Err(NotGood::Unknown)
        }
    }

    /// Whether thisUpdate is in the future.
    fn is_early(&self, crl: &Crl) -> bool {
        crl.this_update() > self.now.plus(self.policy.freshness.clock_skew)
    }

    /// The last second at which a CRL counts as current, clock skew included; `None` if it has passed.
    fn current_until(&self, crl: &Crl, certificate: &Certificate) -> Option<UnixTime> {
        let freshness = &self.policy.freshness;
        let mut until = freshness.expiry(crl.this_update(), crl.next_update()).at;
        if freshness.max_age == MaxAge::Weekly && is_weekly(crl, certificate) {
            until = until.min(crl.this_update().plus(MAX_AGE_WITHOUT_NEXT_UPDATE));
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

    /// Why no available CRL determines the status.
    fn explain(
        &self,
        certificate: &Certificate,
        applied: &[&ApplicableCrl<'_>],
        not_applicable: &[(&Crl, NotApplicable)],
    ) -> String {
        if applied.is_empty() && not_applicable.is_empty() {
            return format!("no CRL for certificates of [{}] is at hand", certificate.issuer());
        }
        let applied = applied.iter().map(|one| match one.until {
            Some(_) => format!("{} does not cover all reasons", one.crl),
            None => self.describe_age(one.crl),
        });
        let not_applicable = not_applicable.iter().map(|(crl, problem)| format!("{crl} {problem}"));
        applied.chain(not_applicable).take(MAX_EXPLAINED_CRLS).collect::<Vec<_>>().join("; ")
    }
}

/// Whether the Baseline Requirements require a weekly update of a CRL: it applies to an end entity, and its CA replaces
/// it within the year.
fn is_weekly(crl: &Crl, certificate: &Certificate) -> bool {
    const YEAR: i64 = 366 * 24 * 3600;
    let is_ca = certificate.basic_constraints().is_some_and(|constraints| constraints.is_ca);
    !is_ca && crl.next_update().is_some_and(|next| next.since(crl.this_update()) <= YEAR)
}

/// Why a certificate is not good.
enum NotGood {
    Revoked(RevocationEntry, String),
    Stale,
    Unknown,
}

impl fmt::Display for NotApplicable {
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
