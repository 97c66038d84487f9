//! What a profile may ask, and what is answered.

use std::sync::Arc;

use certgate_x509::{Crl, MaxAge, OnUnknown, RevocationData, RevocationMode, RevocationPolicy, RevocationScope};

use super::delta::delta;
use super::indirect::{crl_authority, indirect};
use super::world::*;
use certgate_testing::der::{Draft, NOW, SigningKey, ext};
use certgate_testing::status::*;

#[test]
fn what_a_profile_may_ask() {
    let rows: &[Row] = &[
        (
            "no check",
            |w| {
                w.policy.mode = RevocationMode::NoCheck;
                w.by_ca(listing(None));
            },
            Ok(()),
        ),
        ("unknown passes", |w| w.policy.on_unknown = OnUnknown::Allow, Ok(())),
        (
            "out of date passes",
            |w| {
                w.policy.on_unknown = OnUnknown::Allow;
                w.by_ca(CrlDraft::new(CA).dated(-DAY, Some(-HOUR)));
            },
            Ok(()),
        ),
        (
            "revoked does not",
            |w| {
                w.policy.on_unknown = OnUnknown::Allow;
                w.by_ca(listing(None));
            },
            REVOKED,
        ),
        (
            "a revoked CA does not, though the leaf is unknown",
            |w| {
                w.policy.on_unknown = OnUnknown::Allow;
                w.by_root(CrlDraft::new(ROOT).lists(CA_SERIAL, None).with(number(11)));
            },
            REVOKED,
        ),
        (
            "the leaf alone",
            |w| {
                w.policy.scope = RevocationScope::EndEntity;
                w.by_ca(CrlDraft::new(CA));
                w.by_root(CrlDraft::new(ROOT).lists(CA_SERIAL, None).with(number(11)));
            },
            Ok(()),
        ),
        (
            "the leaf alone, listed",
            |w| {
                w.policy.scope = RevocationScope::EndEntity;
                w.by_ca(listing(None));
            },
            REVOKED,
        ),
        (
            "the root too",
            |w| {
                w.policy.scope = RevocationScope::EntireChain;
                w.by_ca(CrlDraft::new(CA));
            },
            Ok(()),
        ),
        (
            "the root too, listed by itself",
            |w| {
                w.policy.scope = RevocationScope::EntireChain;
                w.by_ca(CrlDraft::new(CA));
                w.by_root(CrlDraft::new(ROOT).lists(&[0x11, 0x22], None).with(number(11)));
            },
            REVOKED,
        ),
        (
            "revoked comes before unknown",
            |w| {
                w.by_root(CrlDraft::new(ROOT).lists(CA_SERIAL, None).with(number(11)));
            },
            REVOKED,
        ),
    ];
    run(World::rooted, rows);
}

#[test]
fn an_answer_holds_until_the_earliest_next_update() {
    let mut world = World::rooted();
    world.policy.freshness.clock_skew = 5;
    world.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(2 * HOUR)));
    assert_eq!(world.answer().unwrap().valid_until, NOW.plus(2 * HOUR + 5));
    world.by_ca(delta(11, 10));
    assert_eq!(world.answer().unwrap().valid_until, NOW.plus(HOUR + 5), "the delta list ends first");
    world.policy.freshness.max_age = MaxAge::Seconds(HOUR + 30 * 60);
    assert_eq!(world.answer().unwrap().valid_until, NOW.plus(30 * 60 + 5), "the greatest age of the complete list");

    let mut world = World::rooted();
    world.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(2 * HOUR)).without(id::CRL_NUMBER));
    world.by_ca(CrlDraft::new(CA).dated(-2 * HOUR, Some(HOUR)).without(id::CRL_NUMBER));
    assert_eq!(world.answer().unwrap().valid_until, NOW.plus(2 * HOUR), "an older list adds nothing");
}

#[test]
fn a_denial_says_when_why_and_by_what() {
    let mut world = World::rooted();
    world.by_ca(listing(Some(reason::KEY_COMPROMISE)));
    let (_, detail) = world.answer().unwrap_err();
    for part in [&NOW.minus(30 * DAY).to_string(), "keyCompromise", "CRL of [CN=CA] number 10"] {
        assert!(detail.contains(part), "{detail}");
    }
    let mut world = World::rooted();
    world.by_ca(CrlDraft::new(CA).dated(-DAY, Some(-HOUR)));
    let (_, detail) = world.answer().unwrap_err();
    assert!(detail.contains(&format!("is past its nextUpdate {}", NOW.minus(HOUR))), "{detail}");
    let mut world = World::rooted();
    world.policy.freshness.max_age = MaxAge::Seconds(HOUR / 2);
    world.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(0)));
    let (_, detail) = world.answer().unwrap_err();
    assert!(detail.contains("CRL of [CN=CA] number 10") && detail.contains("is too old: 3600 seconds"), "{detail}");
    let mut world = World::rooted();
    world.by_ca(delta(11, 10));
    let (_, detail) = world.answer().unwrap_err();
    assert!(detail.contains("is a delta CRL without a complete one that it updates"), "{detail}");
    let silences: [(&str, fn(&mut World)); 6] = [
        ("is not signed by its issuer", |w| w.by_ca(CrlDraft { forged: true, ..CrlDraft::new(CA) })),
        ("is of an issuer whose keyUsage does not have cRLSign", |w| {
            w.ca_cert.set(ext::key_usage(&[5]));
            w.by_ca(CrlDraft::new(CA));
        }),
        ("has a signer whose certificate is not at hand", |w| {
            crl_authority(w);
            w.presented.clear();
            w.crls.push(indirect(CA).der(&w.other));
        }),
        ("is about other certificates", |w| w.by_ca(CrlDraft::new(CA).with(idp(&[flag(2)])))),
        ("is not valid yet", |w| w.by_ca(CrlDraft::new(CA).dated(1, Some(DAY)))),
        ("does not cover all reasons", |w| w.by_ca(CrlDraft::new(CA).with(idp(&[reasons(3, &[1])])))),
    ];
    for (why, edit) in silences {
        let mut world = World::rooted();
        edit(&mut world);
        let (_, detail) = world.answer().unwrap_err();
        assert!(detail.contains(why), "{why}: {detail}");
    }
    let (_, detail) = World::rooted().answer().unwrap_err();
    assert!(detail.contains("no CRL for certificates of [CN=CA]"), "{detail}");
}

/// A list is believed once one key has verified it, whichever keys were tried before.
#[test]
fn lists_are_verified_ahead_of_requests() {
    let (key, other) = (SigningKey::ed25519(), SigningKey::ed25519());
    let policy = RevocationPolicy::default().signatures;
    let numbered = |n: u8| Arc::new(Crl::from_der(CrlDraft::new(CA).with(number(n)).der(&key)).unwrap());
    let certificates = [&other, &key].map(|key| Draft::ca(CA, ROOT, key).sign(&other));
    for (by, refused) in [(&certificates[..], 1), (&certificates[..1], 0), (&[], 0)] {
        let data = RevocationData::new([numbered(10)]);
        data.verify_by(by, &policy);
        assert_eq!(
            data.updated(RevocationData::new([numbered(9)]), &policy).1.len(),
            refused,
            "{} certificates",
            by.len()
        );
    }
}
