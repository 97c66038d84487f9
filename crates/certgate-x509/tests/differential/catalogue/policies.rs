//! Certificate policies: sets, mappings, constraints, inputs.

use super::{Row, row};
use crate::der::{Draft, ext, int, oid, seq, tag, tlv, uri};
use crate::mutate::Random;
use crate::scene::Scene;

const P1: &str = "1.2.3.1";
const P2: &str = "1.2.3.2";
const P3: &str = "1.2.3.3";

/// Sets certificatePolicies of every certificate below the anchor.
fn all(s: &mut Scene, policies: &[&str]) {
    for draft in s.upper.iter_mut().chain([&mut s.ica, &mut s.leaf]) {
        draft.set(ext::policies(policies));
    }
}

fn explicit(s: &mut Scene, set: &[&str]) {
    s.policies.initial_explicit_policy = true;
    s.policies.initial_policy_set = set.iter().map(|policy| policy.parse().unwrap()).collect();
}

fn subset<'a>(random: &mut Random, of: &[&'a str]) -> Vec<&'a str> {
    let mut chosen: Vec<&str> = of.iter().filter(|_| random.below(2) == 0).copied().collect();
    if chosen.is_empty() {
        chosen.push(of[random.below(of.len())]);
    }
    chosen
}

/// Policies, mappings and constraints at random, on one certificate.
fn draw(draft: &mut Draft, is_ca: bool, random: &mut Random) {
    const ALL: [&str; 4] = [P1, P2, P3, ext::ANY_POLICY];
    draft.remove(ext::POLICIES);
    if random.below(8) != 0 {
        draft.set(ext::policies(&subset(random, &ALL)));
    }
    if !is_ca {
        return;
    }
    if random.below(3) == 0 {
        draft.set(ext::mappings(&[(ALL[random.below(3)], ALL[random.below(3)])]));
    }
    let small = |random: &mut Random| u8::try_from(random.below(3)).unwrap();
    match random.below(6) {
        0 => draft.set(ext::policy_constraints(Some(small(random)), None)),
        1 => draft.set(ext::policy_constraints(None, Some(small(random)))),
        _ => {}
    }
    if random.below(6) == 0 {
        draft.set(ext::inhibit_any_policy(small(random)));
    }
}

fn randomly(s: &mut Scene) {
    for ca in s.upper.iter_mut().chain([&mut s.ica]) {
        draw(ca, true, &mut s.random);
    }
    draw(&mut s.leaf, false, &mut s.random);
    if s.random.below(2) == 0 {
        let set = subset(&mut s.random, &[P1, P2, P3]);
        s.policies.initial_policy_set = set.iter().map(|policy| policy.parse().unwrap()).collect();
    }
    s.policies.initial_explicit_policy = s.random.below(2) == 0;
    s.policies.initial_policy_mapping_inhibit = s.random.below(5) == 0;
    s.policies.initial_inhibit_any_policy = s.random.below(5) == 0;
}

pub fn rows() -> Vec<Row> {
    let with_qualifier = || {
        let qualifier = seq(&[oid("1.3.6.1.5.5.7.2.1"), tlv(tag::IA5_STRING, "http://a.example/cps")]);
        ext::any(ext::POLICIES, false, seq(&[seq(&[oid(P1), seq(&[qualifier])])]))
    };
    let mut rows = vec![
        row("policies everywhere", |s| all(s, &[P1])),
        row("policies everywhere, wanted", |s| {
            all(s, &[P1]);
            explicit(s, &[P1]);
        }),
        row("policies everywhere, another wanted", |s| {
            all(s, &[P1]);
            explicit(s, &[P2]);
        }),
        row("policies everywhere, another in the initial set", |s| {
            all(s, &[P1]);
            s.policies.initial_policy_set = vec![P2.parse().unwrap()];
        }),
        row("policies missing in the leaf", |s| {
            all(s, &[P1]);
            s.leaf.remove(ext::POLICIES);
            explicit(s, &[]);
        }),
        row("policies missing in a CA", |s| {
            all(s, &[P1]);
            s.ca().remove(ext::POLICIES);
            explicit(s, &[]);
        }),
        row("another policy in the leaf", |s| {
            all(s, &[P1]);
            s.leaf.set(ext::policies(&[P2]));
            explicit(s, &[]);
        }),
        row("anyPolicy in the CAs", |s| {
            all(s, &[ext::ANY_POLICY]);
            s.leaf.set(ext::policies(&[P1]));
            explicit(s, &[P1]);
        }),
        row("anyPolicy in the CAs, inhibited by the input", |s| {
            all(s, &[ext::ANY_POLICY]);
            explicit(s, &[P1]);
            s.policies.initial_inhibit_any_policy = true;
        }),
        row("anyPolicy inhibited by a CA", |s| {
            all(s, &[ext::ANY_POLICY]);
            s.ica.set(ext::inhibit_any_policy(0));
            explicit(s, &[]);
        }),
        row("anyPolicy inhibited after one", |s| {
            all(s, &[ext::ANY_POLICY]);
            s.ica.set(ext::inhibit_any_policy(1));
            explicit(s, &[]);
        }),
        row("explicit policy wanted by a CA, none there", |s| {
            s.leaf.remove(ext::POLICIES);
            s.ica.set(ext::policy_constraints(Some(0), None));
        }),
        row("explicit policy wanted by a CA, there", |s| {
            all(s, &[P1]);
            s.ca().set(ext::policy_constraints(Some(0), None));
        }),
        row("explicit policy wanted later than the leaf", |s| {
            s.leaf.remove(ext::POLICIES);
            s.ica.set(ext::policy_constraints(Some(2), None));
        }),
        row("mapped policy", |s| {
            all(s, &[P1]);
            s.ica.set(ext::mappings(&[(P1, P2)]));
            s.leaf.set(ext::policies(&[P2]));
            explicit(s, &[P1]);
        }),
        row("mapped policy, the other side wanted", |s| {
            all(s, &[P1]);
            s.ica.set(ext::mappings(&[(P1, P2)]));
            s.leaf.set(ext::policies(&[P2]));
            explicit(s, &[P2]);
        }),
        row("mapped policy, mapping inhibited by the input", |s| {
            all(s, &[P1]);
            s.ica.set(ext::mappings(&[(P1, P2)]));
            s.leaf.set(ext::policies(&[P2]));
            explicit(s, &[]);
            s.policies.initial_policy_mapping_inhibit = true;
        }),
        row("mapped policy, only an inhibited anyPolicy there", |s| {
            all(s, &[P1]);
            s.ica.set(ext::policies(&[ext::ANY_POLICY]));
            s.ica.set(ext::mappings(&[(P1, P2)]));
            s.leaf.set(ext::policies(&[P2]));
            explicit(s, &[P1]);
            s.policies.initial_inhibit_any_policy = true;
        }),
        row("mapping from anyPolicy", |s| {
            all(s, &[P1]);
            s.ica.set(ext::mappings(&[(ext::ANY_POLICY, P2)]));
        }),
        row("mapping to anyPolicy", |s| {
            all(s, &[P1]);
            s.ica.set(ext::mappings(&[(P1, ext::ANY_POLICY)]));
        }),
        row("mappings empty", |s| s.ica.set(ext::any(ext::POLICY_MAPPINGS, true, seq(&[])))),
        row("a policy twice", |s| s.leaf.set(ext::policies(&[P1, P1]))),
        row("a policy twice, one wanted", |s| {
            all(s, &[P1]);
            s.leaf.set(ext::policies(&[P1, P1]));
            explicit(s, &[P1]);
        }),
        row("policies empty", |s| s.leaf.set(ext::policies(&[]))),
        row("policies malformed", |s| s.leaf.set(ext::any(ext::POLICIES, false, int(1)))),
        row("policies malformed in a CA", |s| s.ca().set(ext::any(ext::POLICIES, false, int(1)))),
        row("policies critical", |s| {
            let (oid, _, value) = ext::policies(&[P1]);
            s.leaf.set((oid, true, value));
        }),
        row("policies with a qualifier", move |s| s.leaf.set(with_qualifier())),
        row("policies with an unknown qualifier, critical", |s| {
            let qualifier = seq(&[oid("1.2.3.4"), uri("x")]);
            s.leaf.set(ext::any(ext::POLICIES, true, seq(&[seq(&[oid(P1), seq(&[qualifier])])])));
        }),
        row("policy constraints empty", |s| s.ica.set(ext::policy_constraints(None, None))),
        row("policy constraints not critical", |s| {
            let (oid, _, value) = ext::policy_constraints(Some(0), None);
            s.leaf.remove(ext::POLICIES);
            s.ica.set((oid, false, value));
        }),
        row("policy constraints malformed", |s| s.ica.set(ext::any(ext::POLICY_CONSTRAINTS, true, int(1)))),
        row("policy constraints in the leaf", |s| {
            s.leaf.remove(ext::POLICIES);
            s.leaf.set(ext::policy_constraints(Some(0), None));
        }),
        row("inhibitAnyPolicy negative", |s| {
            s.ica.set(ext::any(ext::INHIBIT_ANY_POLICY, true, tlv(tag::INTEGER, [0xff])));
        }),
        row("policies of a self-issued CA", |s| {
            all(s, &[ext::ANY_POLICY]);
            s.ica.set(ext::inhibit_any_policy(0));
            s.roll_over();
            s.leaf.set(ext::policies(&[P1]));
            explicit(s, &[P1]);
        }),
    ];
    rows.extend((0..12).map(|_| row("policies at random", randomly)));
    rows
}
