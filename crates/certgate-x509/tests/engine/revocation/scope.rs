//! Distribution points and the scope of a list.

use super::world::*;
use certgate_testing::der::{context, directory, uri};
use certgate_testing::status::*;

#[test]
fn scopes() {
    let rows: &[Row] = &[
        ("end entities only", |w| w.by_ca(CrlDraft::new(CA).with(idp(&[flag(1)]))), Ok(())),
        ("CAs only", |w| w.by_ca(CrlDraft::new(CA).with(idp(&[flag(2)]))), UNKNOWN),
        (
            "a point with an empty cRLIssuer beside a good one",
            |w| {
                let point = || full_name(&[uri("http://a.example/1")]);
                w.leaf.set(points(&[vec![point(), context(2, [])], vec![point()]]));
                w.by_ca(CrlDraft::new(CA));
            },
            UNKNOWN,
        ),
        ("attribute certificates only", |w| w.by_ca(CrlDraft::new(CA).with(idp(&[flag(5)]))), UNKNOWN),
        (
            "CAs only, lists the leaf's number",
            |w| {
                w.by_ca(listing(None).with(idp(&[flag(2)])));
                w.by_ca(CrlDraft::new(CA).with(idp(&[flag(1)])));
            },
            Ok(()),
        ),
        (
            "end entities only, about a CA",
            |w| {
                w.crls = vec![CrlDraft::new(ROOT).with(idp(&[flag(1)])).der(&w.root), CrlDraft::new(CA).der(&w.ca)];
            },
            UNKNOWN,
        ),
        (
            "CAs only, about a CA",
            |w| {
                w.crls = vec![CrlDraft::new(ROOT).with(idp(&[flag(2)])).der(&w.root), CrlDraft::new(CA).der(&w.ca)];
            },
            Ok(()),
        ),
        (
            "point by URI",
            |w| {
                w.leaf.set(points(&[vec![full_name(&[uri("http://ca.example/1.crl")])]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[uri("http://ca.example/1.crl")])])));
            },
            Ok(()),
        ),
        (
            "another point",
            |w| {
                w.leaf.set(points(&[vec![full_name(&[uri("http://ca.example/1.crl")])]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[uri("http://ca.example/2.crl")])])));
            },
            UNKNOWN,
        ),
        (
            "another point lists the number",
            |w| {
                w.leaf.set(points(&[vec![full_name(&[uri("http://ca.example/1.crl")])]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[uri("http://ca.example/1.crl")])])));
                w.by_ca(listing(None).with(idp(&[full_name(&[uri("http://ca.example/2.crl")])])));
            },
            Ok(()),
        ),
        (
            "one of several names",
            |w| {
                let names = [uri("ldap://ca.example/x"), uri("http://ca.example/1.crl")];
                w.leaf.set(points(&[vec![full_name(&names)]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[uri("http://a.example"), names[1].clone()])])));
            },
            Ok(()),
        ),
        (
            "URI spelt otherwise",
            |w| {
                w.leaf.set(points(&[vec![full_name(&[uri("http://ca.example/%31.crl")])]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[uri("http://ca.example/1.crl")])])));
            },
            UNKNOWN,
        ),
        (
            "certificate without points, list bound to one",
            |w| {
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[uri("http://ca.example/1.crl")])])));
            },
            UNKNOWN,
        ),
        (
            "list bound to its issuer's name",
            |w| {
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[directory(CA)])])));
            },
            Ok(()),
        ),
        (
            "points, and a list bound to none",
            |w| {
                w.leaf.set(points(&[vec![full_name(&[uri("http://ca.example/1.crl")])]]));
                w.by_ca(CrlDraft::new(CA));
            },
            Ok(()),
        ),
        (
            "relative to the issuer",
            |w| {
                w.leaf.set(points(&[vec![relative_name("part 1")]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[directory("CN=Part  1,CN=CA")])])));
            },
            Ok(()),
        ),
        (
            "relative on both sides",
            |w| {
                w.leaf.set(points(&[vec![relative_name("part 1")]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[relative_name("part 1")])));
            },
            Ok(()),
        ),
        (
            "relative to something else",
            |w| {
                w.leaf.set(points(&[vec![relative_name("part 1")]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[relative_name("part 2")])));
            },
            UNKNOWN,
        ),
        ("some reasons", |w| w.by_ca(CrlDraft::new(CA).with(idp(&[reasons(3, &[1, 2])]))), UNKNOWN),
        (
            "some reasons, listed",
            |w| {
                w.by_ca(listing(Some(reason::KEY_COMPROMISE)).with(idp(&[reasons(3, &[1, 2])])));
            },
            REVOKED,
        ),
        (
            "reasons in two parts",
            |w| {
                w.by_ca(CrlDraft::new(CA).with(idp(&[reasons(3, &[1, 2])])));
                w.by_ca(CrlDraft::new(CA).with(idp(&[reasons_but(3, &[1, 2])])));
            },
            Ok(()),
        ),
        (
            "reasons in two parts, one out of date",
            |w| {
                w.by_ca(CrlDraft::new(CA).with(idp(&[reasons(3, &[1, 2])])).dated(-DAY, Some(-HOUR)));
                w.by_ca(CrlDraft::new(CA).with(idp(&[reasons_but(3, &[1, 2])])));
            },
            STALE,
        ),
        (
            "a point for some reasons, the list for all",
            |w| {
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at.clone(), reasons(1, &[1, 2])]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[at])));
            },
            UNKNOWN,
        ),
        (
            "two points for all reasons",
            |w| {
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at.clone(), reasons(1, &[1, 2])], vec![at.clone(), reasons_but(1, &[1, 2])]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[at])));
            },
            Ok(()),
        ),
        (
            "newer list of other reasons does not release",
            |w| {
                w.by_ca(listing(Some(reason::SUPERSEDED)).dated(-2 * HOUR, Some(DAY)));
                w.by_ca(CrlDraft::new(CA).with(idp(&[reasons(3, &[1, 2])])));
            },
            REVOKED,
        ),
        (
            "newer list of its reason releases",
            |w| {
                w.by_ca(listing(Some(reason::HOLD)).dated(-2 * HOUR, Some(DAY)));
                w.by_ca(CrlDraft::new(CA).with(idp(&[reasons(3, &[6])])));
            },
            Ok(()),
        ),
        (
            "malformed points",
            |w| {
                w.leaf.set(points(&[vec![reasons(1, &[1])]]));
                w.by_ca(CrlDraft::new(CA));
            },
            UNKNOWN,
        ),
    ];
    run(World::rooted, rows);
}
