//! Complete lists of the issuer: entries, dates, numbers.

use certgate_x509::revocation::MaxAge;

use super::world::*;
use certgate_testing::der::{Draft, ext};
use certgate_testing::status::*;

#[test]
fn a_complete_list_by_the_issuer() {
    let rows: &[Row] = &[
        ("lists nobody", |w| w.by_ca(CrlDraft::new(CA)), Ok(())),
        ("lists the leaf", |w| w.by_ca(listing(None)), REVOKED),
        ("lists the leaf on hold", |w| w.by_ca(listing(Some(reason::HOLD))), REVOKED),
        ("lists others", |w| w.by_ca(CrlDraft::new(CA).lists(&[0x31, 0], None).lists(&[0x32], None)), Ok(())),
        ("is missing", |_| (), UNKNOWN),
        (
            "lists the CA",
            |w| {
                w.by_ca(CrlDraft::new(CA));
                w.by_root(CrlDraft::new(ROOT).lists(CA_SERIAL, None).with(number(11)));
            },
            REVOKED,
        ),
        ("of the root is missing", |w| w.crls = vec![CrlDraft::new(CA).der(&w.ca)], UNKNOWN),
        (
            "of the root lists the leaf's number",
            |w| {
                w.by_ca(CrlDraft::new(CA));
                w.by_root(CrlDraft::new(ROOT).lists(LEAF_SERIAL, None).with(number(11)));
            },
            Ok(()),
        ),
        ("is forged", |w| w.by_ca(CrlDraft { forged: true, ..CrlDraft::new(CA) }), UNKNOWN),
        ("is by another key", |w| w.crls.push(CrlDraft::new(CA).der(&w.other)), UNKNOWN),
        (
            "forged, beside a good one",
            |w| {
                w.by_ca(CrlDraft { forged: true, ..listing(None).with(number(99)).dated(-60, Some(DAY)) });
                w.by_ca(CrlDraft::new(CA));
            },
            Ok(()),
        ),
        (
            "by an issuer without cRLSign",
            |w| {
                w.ca_cert.set(ext::key_usage(&[5]));
                w.by_ca(CrlDraft::new(CA));
            },
            UNKNOWN,
        ),
        (
            "by an issuer without keyUsage",
            |w| {
                w.ca_cert.remove(ext::KEY_USAGE);
                w.by_ca(CrlDraft::new(CA));
            },
            Ok(()),
        ),
        (
            "under an anchor without cRLSign",
            |w| {
                w.root_cert.set(ext::key_usage(&[5]));
                w.by_ca(CrlDraft::new(CA));
            },
            UNKNOWN,
        ),
        ("spells the issuer otherwise", |w| w.by_ca(CrlDraft::new("cn=ca")), Ok(())),
    ];
    run(World::rooted, rows);
}

#[test]
fn dates() {
    let rows: &[Row] = &[
        ("until this second", |w| w.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(0))), Ok(())),
        ("until a second ago", |w| w.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(-1))), STALE),
        ("out of date, lists the leaf", |w| w.by_ca(listing(None).dated(-DAY, Some(-HOUR))), REVOKED),
        ("from a second ahead", |w| w.by_ca(CrlDraft::new(CA).dated(1, Some(DAY))), UNKNOWN),
        ("from ahead, lists the leaf", |w| w.by_ca(listing(None).dated(HOUR, Some(DAY))), UNKNOWN),
        (
            "clocks differ",
            |w| {
                w.policy.freshness.clock_skew = 60;
                w.by_ca(CrlDraft::new(CA).dated(60, Some(DAY)));
            },
            Ok(()),
        ),
        (
            "clocks differ by more",
            |w| {
                w.policy.freshness.clock_skew = 60;
                w.by_ca(CrlDraft::new(CA).dated(61, Some(DAY)));
            },
            UNKNOWN,
        ),
        (
            "late by the skew",
            |w| {
                w.policy.freshness.clock_skew = 60;
                w.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(-60)));
            },
            Ok(()),
        ),
        (
            "late by more",
            |w| {
                w.policy.freshness.clock_skew = 60;
                w.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(-61)));
            },
            STALE,
        ),
        ("no nextUpdate, seven days old", |w| w.by_ca(CrlDraft::new(CA).dated(-7 * DAY, None)), Ok(())),
        ("no nextUpdate, older", |w| w.by_ca(CrlDraft::new(CA).dated(-7 * DAY - 1, None)), STALE),
        (
            "no nextUpdate, greatest age set",
            |w| {
                w.policy.freshness.max_age = MaxAge::Seconds(HOUR);
                w.by_ca(CrlDraft::new(CA).dated(-HOUR - 1, None));
            },
            STALE,
        ),
        (
            "greatest age reached",
            |w| {
                w.policy.freshness.max_age = MaxAge::Seconds(HOUR);
                w.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(DAY)));
            },
            Ok(()),
        ),
        (
            "greatest age passed",
            |w| {
                w.policy.freshness.max_age = MaxAge::Seconds(HOUR);
                w.by_ca(CrlDraft::new(CA).dated(-HOUR - 1, Some(DAY)));
            },
            STALE,
        ),
        (
            "weekly, a week old",
            |w| {
                w.policy.freshness.max_age = MaxAge::Weekly;
                w.by_ca(CrlDraft::new(CA).dated(-7 * DAY, Some(90 * DAY)));
            },
            Ok(()),
        ),
        (
            "weekly, older",
            |w| {
                w.policy.freshness.max_age = MaxAge::Weekly;
                w.by_ca(CrlDraft::new(CA).dated(-7 * DAY - 1, Some(90 * DAY)));
            },
            STALE,
        ),
        (
            "weekly, of a CA that plans for years",
            |w| {
                w.policy.freshness.max_age = MaxAge::Weekly;
                w.by_ca(CrlDraft::new(CA).dated(-30 * DAY, Some(700 * DAY)));
            },
            Ok(()),
        ),
    ];
    run(World::rooted, rows);
}

#[test]
fn the_newest_wins() {
    let rows: &[Row] = &[
        (
            "a list by the certificate itself does not outdo its CA's",
            |w| {
                w.leaf = Draft::ca(CA, CA, &w.other);
                w.leaf.serial = LEAF_SERIAL.to_vec();
                w.crls.push(CrlDraft::new(CA).with(number(12)).der(&w.other));
                w.by_ca(listing(None));
            },
            REVOKED,
        ),
        (
            "of two lists by the certificate itself the higher number counts",
            |w| {
                w.leaf = Draft::ca(CA, CA, &w.other);
                w.leaf.serial = LEAF_SERIAL.to_vec();
                w.crls.push(CrlDraft::new(CA).dated(-2 * HOUR, Some(DAY)).with(number(12)).der(&w.other));
                w.crls.push(listing(None).with(number(11)).der(&w.other));
            },
            Ok(()),
        ),
        (
            "of two of one number the later one lists the leaf",
            |w| {
                w.by_ca(CrlDraft::new(CA).dated(-2 * HOUR, Some(DAY)).with(number(10)));
                w.by_ca(listing(None).dated(-HOUR, Some(DAY)).with(number(10)));
            },
            REVOKED,
        ),
        (
            "of two of one number the earlier one lists the leaf",
            |w| {
                w.by_ca(listing(None).dated(-2 * HOUR, Some(DAY)).with(number(10)));
                w.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(DAY)).with(number(10)));
            },
            Ok(()),
        ),
        (
            "newer list releases",
            |w| {
                w.by_ca(listing(Some(reason::HOLD)).dated(-2 * HOUR, Some(DAY)).with(number(9)));
                w.by_ca(CrlDraft::new(CA));
            },
            Ok(()),
        ),
        (
            "newer list revokes",
            |w| {
                w.by_ca(CrlDraft::new(CA).dated(-2 * HOUR, Some(DAY)).with(number(9)));
                w.by_ca(listing(None));
            },
            REVOKED,
        ),
        (
            "the higher number counts, not the date",
            |w| {
                w.by_ca(listing(None).dated(-2 * HOUR, Some(DAY)).with(number(11)));
                w.by_ca(CrlDraft::new(CA));
            },
            REVOKED,
        ),
        (
            "newer is out of date, older is not",
            |w| {
                w.by_ca(CrlDraft::new(CA).dated(-2 * HOUR, Some(DAY)).without(id::CRL_NUMBER));
                w.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(-60)).without(id::CRL_NUMBER));
            },
            Ok(()),
        ),
        (
            "newer is out of date and releases, older lists",
            |w| {
                w.by_ca(listing(None).dated(-2 * HOUR, Some(DAY)).without(id::CRL_NUMBER));
                w.by_ca(CrlDraft::new(CA).dated(-HOUR, Some(-60)).without(id::CRL_NUMBER));
            },
            REVOKED,
        ),
        (
            "of one moment, one lists",
            |w| {
                w.by_ca(listing(None).without(id::CRL_NUMBER));
                w.by_ca(CrlDraft::new(CA).without(id::CRL_NUMBER));
            },
            REVOKED,
        ),
    ];
    run(World::rooted, rows);
}
