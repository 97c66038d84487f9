//! What is remembered, for how long, and how much of it.

use super::*;
use crate::domain::decide::verifier::{CertificateVerifier, VerifierParameters};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const FAR: UnixTime = UnixTime::from_secs(i64::MAX);

fn profile() -> VerifierId {
    CertificateVerifier::new(VerifierParameters::default()).id()
}

fn leaf(n: usize) -> Sha256 {
    Sha256::of(&n.to_be_bytes())
}

fn denial(detail: &str) -> Denial {
    Denial::new(Reason::SignatureInvalid, detail)
}

#[test]
fn a_question_is_all_of_it() {
    let failures = Failures::default();
    let (one, two) = (profile(), profile());
    let parts = [Bytes::from_static(b"ab"), Bytes::from_static(b"c")];
    let other = [Bytes::from_static(b"a"), Bytes::from_static(b"bc")];
    let asked = VerificationKey { profile: one, leaf: leaf(1), chain: &parts, links: Links::Free };
    failures.remember(&asked, NOW, FAR, MIN_COST, &denial("why"));
    assert_eq!(failures.recall(&asked, NOW), Some(denial("why")));
    for (what, other) in [
        ("profile", VerificationKey { profile: two, ..asked }),
        ("leaf", VerificationKey { leaf: leaf(2), ..asked }),
        ("chain", VerificationKey { chain: &other, ..asked }),
        ("fewer", VerificationKey { chain: &parts[..1], ..asked }),
        ("links", VerificationKey { links: Links::Signed, ..asked }),
    ] {
        assert_eq!(failures.recall(&other, NOW), None, "{what}");
    }
    assert_eq!(failures.recalled(), 1);
}

#[test]
fn nothing_is_remembered_for_long() {
    let asked = VerificationKey { profile: profile(), leaf: leaf(1), chain: &[], links: Links::Free };
    for (until, last) in [(FAR, FAILURE_LIFETIME), (NOW.plus(2), 2), (NOW, 0)] {
        let failures = Failures::default();
        failures.remember(&asked, NOW, until, MIN_COST, &denial(""));
        for (after, want) in [(-1, false), (0, true), (last, true), (last + 1, false)] {
            assert_eq!(failures.recall(&asked, NOW.plus(after)).is_some(), want, "until {until}: {after} seconds");
        }
    }
}

#[test]
fn cheap_failures_and_long_texts_are_not_worth_it() {
    let failures = Failures::default();
    let asked = VerificationKey { profile: profile(), leaf: leaf(1), chain: &[], links: Links::Free };
    failures.remember(&asked, NOW, FAR, MIN_COST - 1, &denial(""));
    failures.remember(&asked, NOW, FAR, MIN_COST, &denial(&"x".repeat(MAX_DETAIL_BYTES + 1)));
    assert!(failures.is_empty() && failures.recall(&asked, NOW).is_none());
    failures.remember(&asked, NOW, FAR, MIN_COST, &denial(&"x".repeat(MAX_DETAIL_BYTES)));
    failures.remember(&asked, NOW, FAR, MIN_COST, &denial("again"));
    assert_eq!(
        (failures.len(), failures.recall(&asked, NOW)),
        (1, Some(denial("again"))),
        "one place for one question"
    );
}

#[test]
fn the_table_is_bounded_and_the_newest_stay() {
    let failures = Failures::default();
    let profile = profile();
    let asked = |n| VerificationKey { profile, leaf: leaf(n), chain: &[], links: Links::Free };
    let most = SHARDS * MAX_FAILURES_PER_SHARD;
    for n in 0..most * 4 {
        failures.remember(&asked(n), NOW, FAR, MIN_COST, &denial(""));
        assert!(failures.recall(&asked(n), NOW).is_some(), "{n}");
    }
    assert_eq!(failures.len(), most);
    assert!(failures.recall(&asked(0), NOW).is_none());
    // What no longer holds gives way first.
    let (old, new) = (Failures::default(), NOW.plus(FAILURE_LIFETIME + 1));
    for n in 0..most * 4 {
        old.remember(&asked(n), NOW, FAR, MIN_COST, &denial(""));
    }
    for n in 0..SHARDS {
        old.remember(&asked(most * 8 + n), new, FAR, MIN_COST, &denial(""));
    }
    assert!((0..SHARDS).all(|n| old.recall(&asked(most * 8 + n), new).is_some()));
    assert_eq!(old.len(), most);
}
