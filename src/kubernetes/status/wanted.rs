//! The status that an object should have, from what the core knows about it.
//!
//! Owns the types, reasons and messages of the conditions. `Accepted`: the object makes sense by itself.
//! `ResolvedRefs`: what it refers to is there and readable. `Ready`: requests are decided by this generation of it.

use serde_json::{Value, json};

use super::types::{AnchorStatus, ConditionStatus, CrlStatus};
use crate::domain::api::FieldError;
use crate::domain::decide::resolved_profile::{self, CrlKind};
use crate::domain::policy::freshness::{CrlFreshness, expiring};
use crate::domain::policy::lint::MappingFinding;
use crate::domain::store::{MappingReport, PolicyReport, ProfileReport};
use certgate_x509::{FreshnessLimit, UnixTime};

/// The longest message; the definitions allow 32,768 characters.
const MAX_MESSAGE: usize = 30_000;

/// The most anchors that a status lists.
const MAX_ANCHORS: usize = 64;

/// The most CRLs that a status lists.
const MAX_CRLS: usize = 64;

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ConditionContent {
    kind: &'static str,
    status: ConditionStatus,
    reason: &'static str,
    message: String,
}

fn condition(
    kind: &'static str,
    status: ConditionStatus,
    reason: &'static str,
    message: impl Into<String>,
) -> ConditionContent {
    ConditionContent { kind, status, reason, message: message.into() }
}

/// A status, its conditions without times.
fn status(generation: i64, conditions: Vec<ConditionContent>) -> Value {
    let condition = |condition: ConditionContent| {
        json!({
            "type": condition.kind, "status": condition.status, "observedGeneration": generation,
            "reason": condition.reason, "message": condition.message,
        })
    };
    json!({
        "observedGeneration": generation,
        "conditions": conditions.into_iter().map(condition).collect::<Vec<_>>(),
    })
}

/// All errors, one a line.
fn lines<'a>(errors: impl IntoIterator<Item = &'a FieldError>) -> String {
    let mut out = String::new();
    let mut left_out = 0_usize;
    for error in errors {
        let line = error.to_string();
        if out.len() + line.len() > MAX_MESSAGE {
            left_out += 1;
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&line);
    }
    if left_out > 0 {
        out.push_str(&format!("\n… and {left_out} more"));
    }
    out
}

fn accepted(errors: &[FieldError], warnings: &[FieldError]) -> ConditionContent {
    use ConditionStatus::{False, True};
    match (errors, warnings) {
        ([], []) => condition("Accepted", True, "Accepted", "valid"),
        ([], warnings) => condition("Accepted", True, "AcceptedWithWarnings", lines(warnings)),
        (errors, _) => condition("Accepted", False, "Invalid", lines(errors)),
    }
}

/// Whether the CRLs of a profile still count: the condition by which an operator learns before the clients do.
fn fresh(crls: &[resolved_profile::CrlSummary], now: UnixTime) -> ConditionContent {
    use ConditionStatus::{False, True, Unknown};
    if crls.is_empty() {
        return condition("RevocationFresh", Unknown, "NotChecked", "the profile checks revocation by no CRL");
    }
    let expiring = expiring(crls, now);
    let mut message = String::new();
    for (crl, _) in expiring.iter().take(MAX_CRLS) {
        let line = crl.expiry_warning(now).unwrap_or_default();
        message.push_str(if message.is_empty() { "" } else { "\n" });
        message.push_str(&line);
    }
    match expiring.first() {
        None => condition("RevocationFresh", True, "Current", "every CRL is current"),
        Some((crl, CrlFreshness::Ended)) if crl.kind == CrlKind::Delta => {
            condition("RevocationFresh", True, "DeltaEnded", message)
        }
        Some((crl, CrlFreshness::Ended)) if matches!(crl.expiry().by, FreshnessLimit::NextUpdate) => {
            condition("RevocationFresh", False, "Expired", message)
        }
        Some((_, CrlFreshness::Ended)) => condition("RevocationFresh", False, "TooOld", message),
        Some((_, CrlFreshness::NotYetValid)) => condition("RevocationFresh", False, "NotYetValid", message),
        Some((_, CrlFreshness::EndsSoon | CrlFreshness::Current)) => {
            condition("RevocationFresh", True, "EndsSoon", message)
        }
    }
}

/// The status of a trust profile at `now`.
pub fn profile(report: &ProfileReport, generation: i64, now: UnixTime) -> Value {
    use ConditionStatus::{False, True, Unknown};
    let ProfileReport { errors, warnings, skipped, unresolved, trust, crls, .. } = report;
    let resolved = match (errors.is_empty(), unresolved.is_empty()) {
        (false, _) => condition("ResolvedRefs", Unknown, "Invalid", "the profile is not valid"),
        (true, true) => condition("ResolvedRefs", True, "ResolvedRefs", "every source can be read"),
        (true, false) => condition("ResolvedRefs", False, "SourceUnavailable", lines(unresolved)),
    };
    let ready = match (errors.is_empty(), trust) {
        (false, _) => condition("Ready", False, "Invalid", lines(errors)),
        (true, None) => condition("Ready", False, "SourceUnavailable", lines(unresolved)),
        (true, Some(_)) if unresolved.is_empty() && skipped.is_empty() => {
            condition("Ready", True, "Ready", "certificates are validated by this profile")
        }
        (true, Some(_)) if unresolved.is_empty() => {
            condition("Ready", True, "Degraded", "certificates are validated without those that cannot be used")
        }
        (true, Some(_)) => {
            condition("Ready", True, "Degraded", "certificates are validated by the last good content of the sources")
        }
    };
    let degraded = match (report.is_degraded(), unresolved.is_empty()) {
        (true, false) => condition("Degraded", True, "SourceUnavailable", lines(unresolved)),
        (true, true) => condition("Degraded", True, "CertificateSkipped", lines(skipped)),
        (false, _) => condition("Degraded", False, "AsWritten", "no source has been lost"),
    };
    let conditions = vec![accepted(errors, warnings), resolved, ready, degraded, fresh(crls, now)];
    let mut status = status(generation, conditions);
    let Some(trust) = trust.as_ref().filter(|_| errors.is_empty()) else { return status };
    let mut anchors: Vec<_> = trust.anchors().iter().collect();
    anchors.sort_by_key(|anchor| (anchor.not_after(), anchor.sha256()));
    let listed = anchors.iter().take(MAX_ANCHORS).map(|anchor| AnchorStatus {
        sha256: anchor.sha256().to_string(),
        subject: anchor.subject().to_rfc4514(),
        not_after: anchor.not_after().to_string(),
    });
    status["trustAnchorCount"] = anchors.len().into();
    status["trustAnchors"] = json!(listed.collect::<Vec<_>>());
    if let Some(first) = anchors.first() {
        status["nextExpiry"] = first.not_after().to_string().into();
    }
    if crls.is_empty() {
        return status;
    }
    let mut crls: Vec<_> = crls.iter().collect();
    crls.sort_by_key(|crl| (crl.expiry().at, &crl.issuer, crl.this_update));
    let listed = crls.iter().take(MAX_CRLS).map(|crl| CrlStatus {
        issuer: crl.issuer.clone(),
        number: crl.number.map(|number| number.to_string()),
        this_update: crl.this_update.to_string(),
        next_update: crl.next_update.map(|next| next.to_string()),
        ends_at: Some(crl.expiry().at.to_string()),
        entries: i64::try_from(crl.entries).unwrap_or(i64::MAX),
    });
    status["crlCount"] = crls.len().into();
    status["crls"] = json!(listed.collect::<Vec<_>>());
    if let Some(first) = crls.first() {
        status["nextCrlUpdate"] = first.expiry().at.to_string().into();
    }
    status
}

/// The status of a policy.
pub fn policy(report: &PolicyReport, generation: i64) -> Value {
    use ConditionStatus::{False, True};
    let PolicyReport { errors, warnings, unresolved, conflict, mappings, .. } = report;
    let resolved = match unresolved.is_empty() {
        true => condition("ResolvedRefs", True, "ResolvedRefs", "everything that the policy refers to is there"),
        false => condition("ResolvedRefs", False, "InvalidRef", lines(unresolved)),
    };
    let conflicted = match conflict {
        None => condition("Conflicted", False, "NoConflict", "no other policy takes all of its requests"),
        Some(error) => condition("Conflicted", True, "Overruled", error.to_string()),
    };
    let ready = match (errors.is_empty(), unresolved.is_empty()) {
        (false, _) => condition("Ready", False, "Invalid", lines(errors)),
        (true, false) => condition("Ready", False, "InvalidRef", lines(unresolved)),
        (true, true) if conflict.is_some() => {
            condition("Ready", False, "Conflicted", "other policies decide all of its requests")
        }
        (true, true) => condition("Ready", True, "Ready", "requests are decided by this policy"),
    };
    let mut status = status(generation, vec![accepted(errors, warnings), resolved, ready, conflicted]);
    status["mappings"] = (*mappings).into();
    status
}

/// The status of a mapping. The condition `Conflicted` is there only where it is true: of 100,000 mappings nearly all
/// have no use for it.
pub fn mapping(report: &MappingReport, generation: i64) -> Value {
    use ConditionStatus::{False, True};
    let MappingReport { errors, conflicts, findings } = report;
    let has = |one| findings.contains(one);
    let ready = match (errors.as_slice(), conflicts.as_slice()) {
        ([], []) if has(MappingFinding::NotSelected) => {
            condition("Ready", False, "NotSelected", lines(&findings.warnings()))
        }
        ([], []) if has(MappingFinding::WeakIssuer) => {
            condition("Ready", False, "WeakIssuer", lines(&findings.warnings()))
        }
        ([], []) if has(MappingFinding::Disabled) => {
            condition("Ready", True, "Disabled", "certificates are denied by this object with ACCOUNT_DISABLED")
        }
        ([], []) => condition("Ready", True, "Ready", "certificates are mapped by this object"),
        ([], conflicts) => condition("Ready", False, "Conflicted", lines(conflicts)),
        (errors, _) => condition("Ready", False, "Invalid", lines(errors)),
    };
    let mut conditions = vec![accepted(errors, &findings.warnings()), ready];
    if !conflicts.is_empty() {
        conditions.push(condition("Conflicted", True, "Contradicted", lines(conflicts)));
    }
    status(generation, conditions)
}

/// `wanted` with the times of its conditions: those of `present` where the condition's status is the same, else `now`.
pub fn timed(mut wanted: Value, present: &Value, now: &str) -> Value {
    let former = present.get("conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for condition in wanted.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let same =
            former.iter().find(|former| former["type"] == condition["type"] && former["status"] == condition["status"]);
        let since = same.and_then(|former| former["lastTransitionTime"].as_str()).unwrap_or(now);
        condition["lastTransitionTime"] = since.into();
    }
    wanted
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::api::Kind;
    use crate::domain::api::{ObjectId, Origin};
    use crate::domain::decide::verifier::{CertificateVerifier, VerifierParameters};
    use crate::domain::policy::lint::MappingFindings;
    use certgate_x509::{Freshness, MaxAge, RevocationPolicy};

    fn id(kind: Kind) -> ObjectId {
        ObjectId { kind, namespace: "n".to_owned(), name: "x".to_owned(), origin: Origin::default() }
    }

    fn condition<'a>(status: &'a Value, kind: &str) -> (&'a str, &'a str) {
        let conditions = status["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|condition| condition["type"] == kind).unwrap();
        (found["status"].as_str().unwrap(), found["reason"].as_str().unwrap())
    }

    #[test]
    fn readiness_follows_the_worst_of_a_policy() {
        let error = || vec![FieldError::new("spec.x", "wrong")];
        let good = PolicyReport {
            id: id(Kind::CertificatePolicy),
            errors: Vec::new(),
            warnings: Vec::new(),
            unresolved: Vec::new(),
            conflict: None,
            mappings: 3,
        };
        let rows = [
            ("good", good.clone(), ("True", "Ready"), ("True", "Accepted")),
            (
                "warned",
                PolicyReport { warnings: error(), ..good.clone() },
                ("True", "Ready"),
                ("True", "AcceptedWithWarnings"),
            ),
            (
                "dangling",
                PolicyReport { unresolved: error(), ..good.clone() },
                ("False", "InvalidRef"),
                ("True", "Accepted"),
            ),
            (
                "wrong",
                PolicyReport { errors: error(), unresolved: error(), ..good.clone() },
                ("False", "Invalid"),
                ("False", "Invalid"),
            ),
            (
                "overruled",
                PolicyReport { conflict: error().pop(), ..good.clone() },
                ("False", "Conflicted"),
                ("True", "Accepted"),
            ),
        ];
        for (name, report, ready, accepted) in rows {
            let status = policy(&report, 7);
            assert_eq!(condition(&status, "Ready"), ready, "{name}");
            assert_eq!(condition(&status, "Accepted"), accepted, "{name}");
            assert_eq!(status["observedGeneration"], 7);
            assert_eq!(status["mappings"], 3);
        }
    }

    #[test]
    fn a_profile_without_its_sources_is_not_ready() {
        let error = || vec![FieldError::new("spec.trustAnchors[0].configMap", "gone")];
        let report = ProfileReport {
            id: id(Kind::TrustProfile),
            errors: Vec::new(),
            warnings: Vec::new(),
            skipped: Vec::new(),
            unresolved: error(),
            trust: None,
            crls: Vec::new(),
        };
        let status = profile(&report, 1, UnixTime::from_secs(0));
        assert_eq!(condition(&status, "RevocationFresh"), ("Unknown", "NotChecked"));
        assert_eq!(condition(&status, "Ready"), ("False", "SourceUnavailable"));
        assert_eq!(condition(&status, "ResolvedRefs"), ("False", "SourceUnavailable"));
        assert_eq!(condition(&status, "Degraded"), ("False", "AsWritten"));
    }

    #[test]
    fn a_certificate_that_does_not_count_degrades_its_profile() {
        let skipped = vec![FieldError::new("spec.trustAnchors[0].configMap", "certificate 2 (line 20): not a CA")];
        let report = ProfileReport {
            id: id(Kind::TrustProfile),
            errors: Vec::new(),
            warnings: skipped.clone(),
            skipped,
            unresolved: Vec::new(),
            trust: Some(Arc::new(CertificateVerifier::new(VerifierParameters::default()))),
            crls: Vec::new(),
        };
        let status = profile(&report, 1, UnixTime::from_secs(0));
        assert_eq!(condition(&status, "Accepted"), ("True", "AcceptedWithWarnings"));
        assert_eq!(condition(&status, "Ready"), ("True", "Degraded"));
        assert_eq!(condition(&status, "Degraded"), ("True", "CertificateSkipped"));
    }

    #[test]
    fn crls_are_told_and_those_that_are_due_come_first() {
        let crl = |issuer: &str, next: Option<i64>| crate::domain::decide::resolved_profile::CrlSummary {
            profile: "n/x".into(),
            issuer: issuer.to_owned(),
            kind: crate::domain::decide::resolved_profile::CrlKind::Complete,
            scope: String::new(),
            key: None,
            number: None,
            entries: 3,
            this_update: UnixTime::from_secs(0),
            next_update: next.map(UnixTime::from_secs),
            policy: RevocationPolicy {
                freshness: Freshness { clock_skew: 0, ..Freshness::default() },
                ..RevocationPolicy::default()
            },
        };
        let report = ProfileReport {
            id: id(Kind::TrustProfile),
            errors: Vec::new(),
            warnings: Vec::new(),
            skipped: Vec::new(),
            unresolved: Vec::new(),
            trust: Some(Arc::new(CertificateVerifier::new(VerifierParameters::default()))),
            crls: vec![crl("CN=Never", None), crl("CN=Late", Some(9)), crl("CN=Soon", Some(5))],
        };
        let status = profile(&report, 1, UnixTime::from_secs(1));
        let crls = status["crls"].as_array().unwrap();
        let issuers: Vec<_> = crls.iter().map(|crl| crl["issuer"].as_str().unwrap()).collect();
        assert_eq!(issuers, ["CN=Soon", "CN=Late", "CN=Never"]);
        assert_eq!((&status["crlCount"], &crls[0]["entries"]), (&3.into(), &3.into()));
        assert_eq!(status["nextCrlUpdate"], "1970-01-01T00:00:05Z");
        assert!(crls[2].get("nextUpdate").is_none(), "{status}");
        assert_eq!(crls[2]["endsAt"], "1970-01-08T00:00:00Z", "without one a CRL counts for a week");

        // As time passes, nothing else changing: the first list ends, with its name and what follows.
        let fresh = |now| {
            let status = profile(&report, 1, UnixTime::from_secs(now));
            let (is, why) = condition(&status, "RevocationFresh");
            let conditions = status["conditions"].as_array().unwrap();
            let message = &conditions.iter().find(|c| c["type"] == "RevocationFresh").unwrap()["message"];
            (is.to_owned(), why.to_owned(), message.as_str().unwrap().to_owned())
        };
        assert_eq!((fresh(1).0, fresh(1).1), ("True".to_owned(), "Current".to_owned()));
        assert_eq!((fresh(4).0, fresh(4).1), ("True".to_owned(), "EndsSoon".to_owned()));
        let (is, why, message) = fresh(6);
        assert_eq!((is.as_str(), why.as_str()), ("False", "Expired"));
        assert!(message.contains("CRL of [CN=Soon]") && message.contains("REVOCATION_STALE"), "{message}");
    }

    #[test]
    fn the_first_reason_is_the_worst() {
        let crl = |kind, age: i64, next: i64, max_age| crate::domain::decide::resolved_profile::CrlSummary {
            profile: "n/x".into(),
            issuer: format!("CN={age}"),
            kind,
            scope: String::new(),
            key: None,
            number: None,
            entries: 0,
            this_update: UnixTime::from_secs(100_000 - age),
            next_update: Some(UnixTime::from_secs(100_000 + next)),
            policy: RevocationPolicy { freshness: Freshness { clock_skew: 0, max_age }, ..RevocationPolicy::default() },
        };
        let (complete, delta, next) = (CrlKind::Complete, CrlKind::Delta, MaxAge::NextUpdate);
        let current = crl(complete, 100, 90_000, next);
        let old = crl(complete, 101, 90_000, MaxAge::Seconds(60));
        let expired = crl(complete, 102, -1, next);
        let early = crl(complete, -10, 90_000, next);
        let ended_delta = crl(delta, 103, -1, next);
        let rows = [
            (vec![current.clone()], ("True", "Current")),
            (vec![current.clone(), ended_delta.clone()], ("True", "DeltaEnded")),
            (vec![ended_delta, current.clone(), early.clone()], ("False", "NotYetValid")),
            (vec![early, old.clone()], ("False", "TooOld")),
            (vec![current, expired], ("False", "Expired")),
        ];
        for (crls, (status, reason)) in rows {
            let condition = fresh(&crls, UnixTime::from_secs(100_000));
            assert_eq!((json!(condition.status), condition.reason), (json!(status), reason), "{}", condition.message);
        }
    }

    #[test]
    fn a_mapping_is_ready_when_it_maps_or_denies_somebody() {
        let findings =
            |list: &[MappingFinding]| list.iter().copied().fold(MappingFindings::default(), MappingFindings::with);
        let status_of = |list: &[MappingFinding], conflicts: &[FieldError]| {
            let report = MappingReport { errors: vec![], conflicts: conflicts.to_vec(), findings: findings(list) };
            mapping(&report, 1)
        };
        use MappingFinding::{Disabled, NotSelected, Reversed, WeakIssuer};
        for (list, ready, accepted) in [
            (&[][..], ("True", "Ready"), "Accepted"),
            (&[Disabled], ("True", "Disabled"), "Accepted"),
            (&[NotSelected], ("False", "NotSelected"), "AcceptedWithWarnings"),
            (&[Disabled, NotSelected], ("False", "NotSelected"), "AcceptedWithWarnings"),
            (&[WeakIssuer], ("False", "WeakIssuer"), "AcceptedWithWarnings"),
            (&[Reversed], ("True", "Ready"), "AcceptedWithWarnings"),
        ] {
            let status = status_of(list, &[]);
            assert_eq!(condition(&status, "Ready"), ready, "{list:?}");
            assert_eq!(condition(&status, "Accepted").1, accepted, "{list:?}");
        }
        assert!(status_of(&[Disabled, NotSelected], &[]).to_string().contains("may still be allowed"));
        let conflicted = status_of(&[], &[FieldError::new("spec.identity", "CertificateMapping b")]);
        assert_eq!(condition(&conflicted, "Ready"), ("False", "Conflicted"));
        assert_eq!(condition(&conflicted, "Conflicted"), ("True", "Contradicted"));
    }

    #[test]
    fn times_change_with_the_status_of_a_condition_only() {
        let good = MappingReport::default();
        let before = timed(mapping(&good, 1), &Value::Null, "then");
        let same = timed(mapping(&good, 2), &before, "now");
        assert!(same["conditions"].as_array().unwrap().iter().all(|c| c["lastTransitionTime"] == "then"));
        let wrong = MappingReport { errors: vec![FieldError::new("spec", "wrong")], ..good };
        let other = timed(mapping(&wrong, 2), &before, "now");
        assert!(other["conditions"].as_array().unwrap().iter().all(|c| c["lastTransitionTime"] == "now"));
    }

    #[test]
    fn messages_have_a_bound() {
        let errors: Vec<_> = (0..2000).map(|n| FieldError::new(format!("spec.a[{n}]"), "x".repeat(50))).collect();
        let message = lines(&errors);
        assert!(message.len() < MAX_MESSAGE + 100 && message.contains("… and 1"), "{}", message.len());
    }
}
