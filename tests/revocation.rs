//! Which CRL speaks, which one counts, and which one wins (RFC 5280 section 6.3), rule by rule.

#[path = "support/der.rs"]
mod der;
#[path = "support/status.rs"]
mod status;

use std::sync::Arc;

use aws_lc_rs::signature as lc;
use certgate::domain::certificate::Certificate;
use certgate::domain::path::{LeafRule, PathParameters, Pool, SignaturePolicy, UsageRule};
use certgate::domain::reason::Reason;
use certgate::domain::revocation::{
    Crl, Freshness, MaxAge, OnUnknown, RevocationData, RevocationMode, RevocationPolicy, RevocationScope,
};
use certgate::domain::trace::NoTrace;
use certgate::domain::verify::{Question, Valid};

use der::{Draft, Key, NOW, directory, ext, uri};
use status::*;

const ROOT: &str = "CN=Root";
const CA: &str = "CN=CA";
const LEAF: &str = "CN=client";
const LEAF_SERIAL: &[u8] = &[0x31];
const CA_SERIAL: &[u8] = &[0x21];

/// A root, a CA and a leaf; further certificates; CRLs.
struct World {
    root: Key,
    ca: Key,
    /// For whatever a case needs a third key for.
    other: Key,
    root_cert: Draft,
    ca_cert: Draft,
    leaf: Draft,
    presented: Vec<Arc<Certificate>>,
    anchors: Vec<Arc<Certificate>>,
    crls: Vec<Vec<u8>>,
    policy: RevocationPolicy,
}

impl World {
    /// A valid path and no CRL; no clock skew.
    fn new() -> Self {
        let (root, ca, other) = (Key::ed25519(), Key::ed25519(), Key::ed25519());
        let mut ca_cert = Draft::ca(CA, ROOT, &ca);
        ca_cert.serial = CA_SERIAL.to_vec();
        let mut leaf = Draft::client(LEAF, CA, &other);
        leaf.serial = LEAF_SERIAL.to_vec();
        let policy = RevocationPolicy {
            freshness: Freshness { max_age: MaxAge::NextUpdate, clock_skew: 0 },
            ..RevocationPolicy::default()
        };
        Self {
            root_cert: Draft::ca(ROOT, ROOT, &root),
            root,
            ca,
            other,
            ca_cert,
            leaf,
            presented: vec![],
            anchors: vec![],
            crls: vec![],
            policy,
        }
    }

    /// The same with a CRL of the root that lists nothing.
    fn rooted() -> Self {
        let mut world = Self::new();
        world.by_root(CrlDraft::new(ROOT));
        world
    }

    fn by_root(&mut self, draft: CrlDraft) {
        self.crls.push(draft.der(&self.root));
    }

    fn by_ca(&mut self, draft: CrlDraft) {
        self.crls.push(draft.der(&self.ca));
    }

    fn answer(&self) -> Result<Valid, (Reason, String)> {
        let crls: Vec<Arc<Crl>> = self.crls.iter().map(|der| Arc::new(Crl::from_der(der.clone()).unwrap())).collect();
        let mut reversed = crls.clone();
        reversed.reverse();
        let ask = |crls: Vec<Arc<Crl>>| {
            let anchors = [vec![self.root_cert.sign(&self.root)], self.anchors.clone()].concat();
            let question = Question {
                leaf: self.leaf.sign(&self.ca),
                pool: Pool::new(anchors, [self.ca_cert.sign(&self.root)]),
                untrusted: self.presented.clone(),
                data: RevocationData::new(crls),
                path: PathParameters {
                    usage: UsageRule::Unchecked,
                    leaf: LeafRule::AnyCertificate,
                    ..PathParameters::default()
                },
                revocation: self.policy,
            };
            question.answer(NOW, &mut NoTrace).map_err(|invalid| (invalid.reason, invalid.detail))
        };
        let (one, two) = (ask(crls), ask(reversed));
        match (&one, &two) {
            (Ok(one), Ok(two)) => assert_eq!(one.valid_until, two.valid_until, "the order of files counts"),
            (Err(one), Err(two)) => assert_eq!(one.0, two.0, "the order of files counts"),
            _ => panic!("the order of files counts: {one:?}, {two:?}"),
        }
        one
    }
}

type Row = (&'static str, fn(&mut World), Result<(), Reason>);

fn run(make: fn() -> World, rows: &[Row]) {
    let mut problems = Vec::new();
    for (row, edit, want) in rows {
        let mut world = make();
        edit(&mut world);
        let got = world.answer();
        let code = got.as_ref().map(|_| ()).map_err(|(reason, _)| *reason);
        if code != *want {
            problems.push(format!("{row}: want {want:?}, got {got:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

const REVOKED: Result<(), Reason> = Err(Reason::CertRevoked);
const UNKNOWN: Result<(), Reason> = Err(Reason::RevocationUnknown);
const STALE: Result<(), Reason> = Err(Reason::RevocationStale);

fn listing(reason: Option<u8>) -> CrlDraft {
    CrlDraft::new(CA).lists(LEAF_SERIAL, reason)
}

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

#[test]
fn scopes() {
    let rows: &[Row] = &[
        ("end entities only", |w| w.by_ca(CrlDraft::new(CA).with(idp(&[flag(1)]))), Ok(())),
        ("CAs only", |w| w.by_ca(CrlDraft::new(CA).with(idp(&[flag(2)]))), UNKNOWN),
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

/// A CRL issuer beside the CA, certified by the root.
fn crl_authority(w: &mut World) -> Draft {
    let mut authority = Draft::new("CN=Lists", ROOT, &w.other).with(ext::key_usage(&[6]));
    authority.serial = vec![0x41];
    w.leaf.set(points(&[vec![crl_issuer("CN=Lists")]]));
    w.presented.push(authority.sign(&w.root));
    authority
}

/// A CRL issuer with a P-384 key, which the root has certified with a key of 256 bits. Only the leaf's status is asked.
fn weakly_certified(w: &mut World) {
    crl_authority(w);
    let key = Key::ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, "1.3.132.0.34", "1.2.840.10045.4.3.3");
    w.presented = vec![Draft::new("CN=Lists", ROOT, &key).with(ext::key_usage(&[6])).sign(&w.root)];
    w.crls.push(indirect("CN=CA 2").der(&key));
    w.policy.scope = RevocationScope::EndEntity;
}

/// So many CRL issuers beside the CA: the first one's list is about the leaf, each other one's about the one before, and
/// the root's, or that of another one, about the last.
fn signers(w: &mut World, count: usize, about_last: Option<usize>) {
    let name = |n: usize| format!("CN=Lists {n}");
    w.leaf.set(points(&[vec![crl_issuer(&name(0))]]));
    for n in 0..count {
        let key = Key::ed25519();
        let mut signer = Draft::new(&name(n), ROOT, &key).with(ext::key_usage(&[6]));
        signer.serial = vec![0x60, u8::try_from(n).unwrap()];
        if let Some(next) = Some(n + 1).filter(|next| *next < count).or(about_last) {
            signer.set(points(&[vec![crl_issuer(&name(next))]]));
        }
        w.presented.push(signer.sign(&w.root));
        w.crls.push(CrlDraft::new(&name(n)).with(idp(&[flag(4)])).der(&key));
    }
}

fn indirect(leaf_issuer: &str) -> CrlDraft {
    let mut draft = CrlDraft::new("CN=Lists").with(idp(&[flag(4)]));
    draft.entries.push(entry(&[0x01], &[]));
    draft.entries.push(entry(LEAF_SERIAL, &[certificate_issuer(leaf_issuer)]));
    draft
}

#[test]
fn indirect_lists() {
    let rows: &[Row] = &[
        (
            "lists the leaf",
            |w| {
                crl_authority(w);
                w.crls.push(indirect(CA).der(&w.other));
            },
            REVOKED,
        ),
        (
            "lists the number of another issuer",
            |w| {
                crl_authority(w);
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            Ok(()),
        ),
        (
            "lists its own",
            |w| {
                crl_authority(w);
                w.crls.push(CrlDraft::new("CN=Lists").with(idp(&[flag(4)])).lists(LEAF_SERIAL, None).der(&w.other));
            },
            Ok(()),
        ),
        (
            "is not marked as indirect",
            |w| {
                crl_authority(w);
                w.crls.push(CrlDraft::new("CN=Lists").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "is not marked as indirect, and named beside the CA itself",
            |w| {
                crl_authority(w);
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at], vec![crl_issuer("CN=Lists")]]));
                w.crls.push(CrlDraft::new("CN=Lists").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of an issuer that the certificate does not name",
            |w| {
                crl_authority(w);
                w.leaf.set(points(&[vec![crl_issuer("CN=Somebody")]]));
                w.crls.push(indirect(CA).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of an issuer that is named beside the CA itself",
            |w| {
                crl_authority(w);
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at], vec![crl_issuer("CN=Lists")]]));
                w.by_ca(CrlDraft::new(CA));
                w.crls.push(indirect(CA).der(&w.other));
            },
            REVOKED,
        ),
        (
            "the CA's own, when the point names the CA",
            |w| {
                w.leaf.set(points(&[vec![crl_issuer(CA)]]));
                w.by_ca(CrlDraft::new(CA));
            },
            Ok(()),
        ),
        (
            "the CA's own, when the point names the CA, lists the leaf",
            |w| {
                w.leaf.set(points(&[vec![crl_issuer(CA)]]));
                w.by_ca(listing(None));
            },
            REVOKED,
        ),
        (
            "the CA's own, when all points name another issuer",
            |w| {
                crl_authority(w);
                w.by_ca(CrlDraft::new(CA));
            },
            UNKNOWN,
        ),
        (
            "of a signer that is revoked",
            |w| {
                crl_authority(w);
                w.by_root(CrlDraft::new(ROOT).lists(&[0x41], None).with(number(11)));
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer without cRLSign",
            |w| {
                let draft = crl_authority(w).with(ext::key_usage(&[0]));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer that has expired",
            |w| {
                let mut draft = crl_authority(w);
                draft.valid(NOW.minus(DAY), NOW.minus(1));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer under another anchor",
            |w| {
                let (key, draft) = (Key::ed25519(), crl_authority(w));
                w.anchors = vec![Draft::ca("CN=Root 2", "CN=Root 2", &key).sign(&key)];
                let draft = Draft { issuer: der::name("CN=Root 2"), ..draft };
                w.presented = vec![draft.sign(&key)];
                w.crls.push(CrlDraft::new("CN=Root 2").der(&key));
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer whose status it holds itself",
            |w| {
                let draft = crl_authority(w).with(points(&[vec![crl_issuer("CN=Lists")]]));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            Ok(()),
        ),
        (
            "of a signer that lists itself",
            |w| {
                let draft = crl_authority(w).with(points(&[vec![crl_issuer("CN=Lists")]]));
                w.presented = vec![draft.sign(&w.root)];
                let mut list = indirect("CN=CA 2");
                list.entries.push(entry(&[0x41], &[certificate_issuer(ROOT)]));
                w.crls.push(list.der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer that a weak key has certified",
            |w| {
                weakly_certified(w);
                w.policy.signatures.minimum_ec_bits = 384;
            },
            UNKNOWN,
        ),
        ("of such a signer, where that key is strong enough", weakly_certified, Ok(())),
        (
            "of a signer whose status nobody knows",
            |w| {
                let draft = crl_authority(w).with(points(&[vec![crl_issuer("CN=Nobody")]]));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer whose status nobody knows, where that passes",
            |w| {
                let draft = crl_authority(w).with(points(&[vec![crl_issuer("CN=Nobody")]]));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect(CA).der(&w.other));
                w.policy.on_unknown = OnUnknown::Allow;
            },
            REVOKED,
        ),
        ("of a signer whose status the next one holds", |w| signers(w, 2, None), Ok(())),
        ("of three such signers", |w| signers(w, 3, None), Ok(())),
        ("of more such signers than are followed", |w| signers(w, 4, None), UNKNOWN),
        ("of two signers who hold each other's status", |w| signers(w, 2, Some(0)), Ok(())),
        (
            "of a signer whose status one holds that nobody certified",
            |w| {
                signers(w, 2, None);
                w.presented[1] = Draft::new("CN=Lists 1", ROOT, &w.other).with(ext::key_usage(&[6])).sign(&w.other);
                w.crls.pop();
                w.crls.push(CrlDraft::new("CN=Lists 1").with(idp(&[flag(4)])).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "an indirect list at a point without issuer proves nothing",
            |w| {
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at.clone()]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[at, flag(4)])));
            },
            UNKNOWN,
        ),
        (
            "and revokes what it lists",
            |w| {
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at.clone()]]));
                w.by_ca(listing(None).with(idp(&[at, flag(4)])));
                w.policy.on_unknown = OnUnknown::Allow;
            },
            REVOKED,
        ),
    ];
    run(World::rooted, rows);
}

#[test]
fn signers_beside_the_issuer() {
    let rows: &[Row] = &[
        (
            "a key for CRLs, certified as the CA is",
            |w| {
                w.presented = vec![Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6])).sign(&w.root)];
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            Ok(()),
        ),
        (
            "a key for CRLs, certified by the CA itself",
            |w| {
                w.presented = vec![Draft::new(CA, CA, &w.other).with(ext::key_usage(&[6])).sign(&w.ca)];
                // Its own status: by the CA's first key.
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[uri("http://ca.example/self.crl")])])));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            Ok(()),
        ),
        (
            "a namesake below another CA",
            |w| {
                let key = Key::ed25519();
                let mut between = Draft::ca("CN=CA 2", ROOT, &key);
                between.serial = vec![0x51];
                let namesake = Draft::new(CA, "CN=CA 2", &w.other).with(ext::key_usage(&[6]));
                w.presented = vec![between.sign(&w.root), namesake.sign(&key)];
                w.crls.push(CrlDraft::new("CN=CA 2").der(&key));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "a namesake, certified by a namesake of the root that another CA certified",
            |w| {
                let (evil, false_root) = (Key::ed25519(), Key::ed25519());
                w.presented = vec![
                    Draft::ca("CN=Evil", ROOT, &evil).sign(&w.root),
                    Draft::ca(ROOT, "CN=Evil", &false_root).sign(&evil),
                    Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6])).sign(&false_root),
                ];
                w.crls.push(CrlDraft::new("CN=Evil").der(&evil));
                w.by_ca(listing(None));
                w.crls.push(CrlDraft::new(CA).with(number(11)).der(&w.other));
            },
            REVOKED,
        ),
        (
            "a key for CRLs, certified by the root's next key",
            |w| {
                let next = Key::ed25519();
                w.presented = vec![
                    Draft::ca(ROOT, ROOT, &next).sign(&w.root),
                    Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6])).sign(&next),
                ];
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            Ok(()),
        ),
        (
            "a namesake that nobody certified",
            |w| {
                w.presented = vec![Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6])).sign(&w.other)];
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "a revoked key for CRLs",
            |w| {
                let mut signer = Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6]));
                signer.serial = vec![0x52];
                w.presented = vec![signer.sign(&w.root)];
                w.by_root(CrlDraft::new(ROOT).lists(&[0x52], None).with(number(11)));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "the next key, certified by the old one",
            |w| {
                w.presented = vec![next_key(w)];
                w.by_ca(CrlDraft::new(CA).with(idp(&[flag(2)])));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            Ok(()),
        ),
        (
            "the next key does not vouch for itself against the old one",
            |w| {
                w.presented = vec![next_key(w)];
                w.by_ca(CrlDraft::new(CA).with(idp(&[flag(2)])).lists(&[0x53], None).dated(-2 * HOUR, Some(DAY)));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            UNKNOWN,
        ),
    ];
    run(World::rooted, rows);
}

/// A certificate of the CA for its next key.
fn next_key(w: &World) -> Arc<Certificate> {
    let mut next = Draft::ca(CA, CA, &w.other);
    next.serial = vec![0x53];
    next.sign(&w.ca)
}

fn delta(n: u8, from: u8) -> CrlDraft {
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

#[test]
fn numbers_never_go_back() {
    let key = Key::ed25519();
    let policy = RevocationPolicy::default().signatures;
    let ca = [Draft::ca(CA, CA, &key).sign(&key)];
    let data = |drafts: Vec<CrlDraft>| {
        let crls = drafts.into_iter().map(|draft| Arc::new(Crl::from_der(draft.der(&key)).unwrap()));
        let data = RevocationData::new(crls);
        data.verify_by(&ca, &policy);
        data
    };
    let numbered = |n: u8| CrlDraft::new(CA).with(number(n));
    let numbers = |data: &RevocationData| {
        let mut numbers: Vec<String> = data.crls().iter().map(|crl| crl.number().unwrap().to_string()).collect();
        numbers.sort();
        numbers
    };
    let kept = data(vec![numbered(10)]);
    let (next, refused) = kept.updated(data(vec![numbered(11)]), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["11".to_owned()], 0), "forward");
    let (next, refused) = kept.updated(data(vec![numbered(10)]), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["10".to_owned()], 0), "the same again");
    let (next, refused) = kept.updated(data(vec![numbered(9)]), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["10".to_owned()], 1), "back");
    assert!(refused[0].to_string().contains("number 9"), "{}", refused[0]);
    let (next, _) = kept.updated(data(vec![]), &policy);
    assert!(next.is_empty(), "the operator removed it");
    let forged = CrlDraft { forged: true, ..CrlDraft::new(CA).with(number(99)) };
    let (next, _) = kept.updated(data(vec![forged]), &policy);
    assert_eq!(numbers(&next), ["10", "99"], "what is not verified replaces nothing");
    let scoped = CrlDraft::new(CA).with(number(5)).with(idp(&[flag(1)]));
    let (next, refused) = kept.updated(data(vec![numbered(11), scoped]), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["11".to_owned(), "5".to_owned()], 0), "another scope");
    let (next, _) = kept.updated(data(vec![numbered(11), CrlDraft::new(CA).with(number(3)).with(base(2))]), &policy);
    assert_eq!(numbers(&next), ["11", "3"], "a delta list counts by itself");
}

/// The same CRL stands in other profiles, whose authors may be others: what they make of it changes nothing here.
#[test]
fn what_other_profiles_make_of_a_crl_counts_for_nothing() {
    let (key, stranger) = (Key::p256(), Key::p256());
    let policy = RevocationPolicy::default().signatures;
    let (ca, false_ca) = ([Draft::ca(CA, CA, &key).sign(&key)], [Draft::ca(CA, CA, &stranger).sign(&stranger)]);
    let crl = |n: u8, key: &Key| Arc::new(Crl::from_der(CrlDraft::new(CA).with(number(n)).der(key)).unwrap());
    let verified = |crl: &Arc<Crl>, by: &[Arc<Certificate>]| {
        let data = RevocationData::new([Arc::clone(crl)]);
        data.verify_by(by, &policy);
        data
    };
    let numbers = |data: &RevocationData| {
        let mut numbers: Vec<String> = data.crls().iter().map(|crl| crl.number().unwrap().to_string()).collect();
        numbers.sort();
        numbers
    };
    // Another profile has an anchor of the same name, whose key has signed a list of a higher number.
    let forged = crl(99, &stranger);
    drop(verified(&forged, &false_ca));
    let (next, _) = verified(&crl(10, &key), &ca).updated(verified(&forged, &ca), &policy);
    assert_eq!(numbers(&next), ["10", "99"], "what is not verified here replaces nothing here");
    // Another profile has tried a good many keys and policies on the list.
    let good = crl(10, &key);
    for bits in 0..40 {
        let many = SignaturePolicy { minimum_rsa_bits: 2048 + bits, ..policy };
        RevocationData::new([Arc::clone(&good)]).verify_by(&false_ca, &many);
        RevocationData::new([Arc::clone(&good)]).verify_by(&ca, &many);
    }
    let (next, refused) = verified(&good, &ca).updated(verified(&crl(9, &key), &ca), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["10".to_owned()], 1), "no number goes back");
}

/// Where the issuer has garbled the points, nothing shows that a certificate is good; that it is revoked still counts.
#[test]
fn points_that_cannot_be_read_do_not_hide_a_revocation() {
    let garbled: [fn() -> der::Extension; 3] = [
        || points(&[]),
        || points(&[vec![reasons(1, &[1])]]),
        || {
            let issuers: Vec<_> = (0..700).map(|n| vec![crl_issuer(&format!("CN={n}"))]).collect();
            points(&[&[vec![crl_issuer(CA)]][..], &issuers].concat())
        },
    ];
    for extension in garbled {
        for on_unknown in [OnUnknown::Deny, OnUnknown::Allow] {
            let mut world = World::rooted();
            world.policy.on_unknown = on_unknown;
            world.leaf.set(extension());
            world.by_ca(CrlDraft::new(CA).lists(LEAF_SERIAL, None));
            assert_eq!(world.answer().map_err(|(reason, _)| reason).unwrap_err(), Reason::CertRevoked);
            world.crls.pop();
            world.by_ca(CrlDraft::new(CA));
            let outcome = world.answer().map(|_| ()).map_err(|(reason, _)| reason);
            let want = if on_unknown == OnUnknown::Deny { Err(Reason::RevocationUnknown) } else { Ok(()) };
            assert_eq!(outcome, want);
        }
    }
}

/// Whoever has a certificate can send others that it has made itself; a CRL is tried by so many of their keys.
#[test]
fn namesakes_that_come_along_have_a_budget() {
    let mut world = World::rooted();
    let unknown = Key::p256();
    for n in 20..120 {
        world.crls.push(CrlDraft::new(CA).with(number(n)).der(&unknown));
    }
    world.by_ca(CrlDraft::new(CA));
    world.answer().map_err(|(_, detail)| detail).unwrap();
    let namesakes: Vec<_> = (0..9).map(|_| Key::p256()).collect();
    let namesakes = namesakes.iter().map(|key| Draft::new(CA, ROOT, key).with(ext::key_usage(&[6])).sign(key));
    world.presented = namesakes.collect();
    let (_, detail) = world.answer().unwrap_err();
    assert!(detail.contains("keys to try"), "{detail}");
}

/// Of many lists by another key of the CA the newest is heard, wherever it stands.
#[test]
fn many_lists_of_another_signer_do_not_hide_the_newest() {
    for scope in [RevocationScope::EndEntity, RevocationScope::ExcludeRoot] {
        let mut world = World::rooted();
        world.policy.scope = scope;
        let signer = Key::ed25519();
        world.presented = vec![Draft::new(CA, ROOT, &signer).with(ext::key_usage(&[6])).sign(&world.root)];
        for n in 20..40 {
            world.crls.push(CrlDraft::new(CA).with(number(n)).der(&signer));
        }
        world.answer().map_err(|(_, detail)| detail).unwrap();
        world.crls.push(CrlDraft::new(CA).lists(LEAF_SERIAL, None).with(number(40)).der(&signer));
        assert_eq!(world.answer().map_err(|(reason, _)| reason).unwrap_err(), Reason::CertRevoked);
    }
}

/// Nor does a client that burns the searches: it gets no answer, rather than that of the lists that were heard.
#[test]
fn searches_that_run_out_leave_nothing_good() {
    let mut world = World::rooted();
    let signer = Key::ed25519();
    let genuine = Draft::new(CA, ROOT, &signer).with(ext::key_usage(&[6])).sign(&world.root);
    world.crls.push(CrlDraft::new(CA).with(number(20)).der(&signer));
    world.by_ca(CrlDraft::new(CA));
    let forged = |n: u8| {
        let mut draft = Draft::new(CA, ROOT, &signer).with(ext::key_usage(&[6]));
        draft.serial = vec![n];
        draft.sign(&world.other)
    };
    let forged: Vec<_> = (1..10).map(forged).collect();
    world.presented = [forged, vec![genuine]].concat();
    assert_eq!(world.answer().map_err(|(reason, _)| reason).unwrap_err(), Reason::RevocationUnknown);
}
