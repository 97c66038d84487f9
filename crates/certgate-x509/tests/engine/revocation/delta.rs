//! Delta lists.

use super::world::*;
use certgate_testing::status::*;

pub fn delta(n: u8, from: u8) -> CrlDraft {
    CrlDraft::new(CA).with(number(n)).with(base(from)).dated(-60, Some(HOUR))
}

#[test]
fn delta_lists() {
    let rows: &[Row] = &[
        ("alone", |w| w.by_ca(delta(11, 10)), UNKNOWN),
        (
            "adds",
            |w| {
                w.by_ca(CrlDraft::new(CA));
                w.by_ca(delta(11, 10).lists(LEAF_SERIAL, None));
            },
            REVOKED,
        ),
        (
            "says nothing",
            |w| {
                w.by_ca(CrlDraft::new(CA));
                w.by_ca(delta(11, 10));
            },
            Ok(()),
        ),
        (
            "says nothing about what is listed",
            |w| {
                w.by_ca(listing(None));
                w.by_ca(delta(11, 10));
            },
            REVOKED,
        ),
        (
            "lifts a hold",
            |w| {
                w.by_ca(listing(Some(reason::HOLD)));
                w.by_ca(delta(11, 10).lists(LEAF_SERIAL, Some(reason::REMOVE)));
            },
            Ok(()),
        ),
        (
            "lifts no compromise",
            |w| {
                w.by_ca(listing(Some(reason::KEY_COMPROMISE)));
                w.by_ca(delta(11, 10).lists(LEAF_SERIAL, Some(reason::REMOVE)));
            },
            REVOKED,
        ),
        (
            "out of date, adds",
            |w| {
                w.by_ca(CrlDraft::new(CA));
                w.by_ca(delta(11, 10).lists(LEAF_SERIAL, None).dated(-60, Some(-1)));
            },
            REVOKED,
        ),
        (
            "out of date, lifts nothing",
            |w| {
                w.by_ca(listing(Some(reason::HOLD)));
                w.by_ca(delta(11, 10).lists(LEAF_SERIAL, Some(reason::REMOVE)).dated(-60, Some(-1)));
            },
            REVOKED,
        ),
        (
            "from ahead, adds nothing",
            |w| {
                w.by_ca(CrlDraft::new(CA));
                w.by_ca(delta(11, 10).lists(LEAF_SERIAL, None).dated(60, Some(HOUR)));
            },
            Ok(()),
        ),
        (
            "for a later base",
            |w| {
                w.by_ca(listing(Some(reason::HOLD)));
                w.by_ca(delta(12, 11).lists(LEAF_SERIAL, Some(reason::REMOVE)));
            },
            REVOKED,
        ),
        (
            "older than the complete list",
            |w| {
                w.by_ca(listing(Some(reason::HOLD)));
                w.by_ca(delta(10, 9).lists(LEAF_SERIAL, Some(reason::REMOVE)));
            },
            REVOKED,
        ),
        (
            "two, the newer counts",
            |w| {
                w.by_ca(CrlDraft::new(CA));
                w.by_ca(delta(11, 10).lists(LEAF_SERIAL, Some(reason::HOLD)));
                w.by_ca(delta(12, 10).lists(LEAF_SERIAL, Some(reason::REMOVE)).dated(-30, Some(HOUR)));
            },
            Ok(()),
        ),
        (
            "forged",
            |w| {
                w.by_ca(listing(Some(reason::HOLD)));
                w.by_ca(CrlDraft { forged: true, ..delta(11, 10).lists(LEAF_SERIAL, Some(reason::REMOVE)) });
            },
            REVOKED,
        ),
        (
            "of another scope",
            |w| {
                w.by_ca(listing(Some(reason::HOLD)));
                w.by_ca(delta(11, 10).with(idp(&[flag(1)])).lists(LEAF_SERIAL, Some(reason::REMOVE)));
            },
            REVOKED,
        ),
        (
            "the complete list is out of date",
            |w| {
                w.by_ca(CrlDraft::new(CA).dated(-DAY, Some(-HOUR)));
                w.by_ca(delta(11, 10));
            },
            STALE,
        ),
        (
            "the complete list has no number",
            |w| {
                w.by_ca(listing(Some(reason::HOLD)).without(id::CRL_NUMBER));
                w.by_ca(delta(11, 10).lists(LEAF_SERIAL, Some(reason::REMOVE)));
            },
            REVOKED,
        ),
    ];
    run(World::rooted, rows);
}

/// The list that has the entry is named: whoever looks it up has to find it there.
#[test]
fn the_list_that_revokes_is_named() {
    let told = |base: CrlDraft, delta: CrlDraft| {
        let mut world = World::rooted();
        world.by_ca(base);
        world.by_ca(delta);
        world.answer().unwrap_err().1
    };
    let by_delta = told(CrlDraft::new(CA), delta(11, 10).lists(LEAF_SERIAL, None));
    assert!(by_delta.contains("delta CRL of [CN=CA] number 11"), "{by_delta}");
    let by_base = told(listing(None), delta(11, 10));
    assert!(by_base.contains("CRL of [CN=CA] number 10") && !by_base.contains("delta"), "{by_base}");
}
