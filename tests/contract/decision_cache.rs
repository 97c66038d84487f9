//! The decision cache changes no decision: whatever is edited, revoked, asked and waited for, a cached decision is the
//! one that would be made anew. And it is of use: a certificate in use costs no signature, an edit of one mapping leaves
//! the others, and bad certificates push out no good ones.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use certgate::domain::api::{Object, ObjectMeta, Origin};
use certgate::domain::decide::Snapshot;
use certgate::domain::decide::cache::DecisionCache;
use certgate::domain::decide::decision::Decision;
use certgate::domain::request::{Headers, Http, Request};
use certgate::domain::store::Index;
use certgate::file::source;
use certgate_testing::der::{self, Draft, NOW, SigningKey, ext};
use certgate_testing::status::{CrlDraft, number};
use certgate_testing::template::{pem, url_encoded_pem};
use certgate_x509::{NoTrace, UnixTime};
use proptest::prelude::*;
use serde_json::{Value, json};

/// How many clients there are.
const CLIENTS: u8 = 5;

/// The hosts, each of one policy.
const HOSTS: [&str; 6] = ["mapped", "ruled", "listed", "plain", "forwarded", "audited"];

/// What exists beside the policies: keys, certificates, and the CRLs' issuer.
struct Pki {
    ca: SigningKey,
    root: Vec<u8>,
    /// Certificates of one CA, with different dates.
    cas: [Vec<u8>; 2],
    leaves: Vec<Vec<u8>>,
    /// How many CRLs the CA has made.
    crls: Cell<u8>,
}

impl Pki {
    fn new() -> Self {
        let (root_key, ca, other) = (SigningKey::ed25519(), SigningKey::ed25519(), SigningKey::ed25519());
        let mut early = Draft::ca("CN=CA", "CN=Root", &ca);
        early.valid(NOW.minus(100), NOW.plus(40));
        let mut late = Draft::ca("CN=CA", "CN=Root", &ca);
        late.valid(NOW.plus(20), NOW.plus(5000));
        late.serial = vec![0x77];
        let leaf = |n: u8| {
            let names = [der::dns(&format!("c{n}.example")), der::uri(&format!("spiffe://x/c{n}"))];
            let mut leaf = Draft::client(&format!("CN=c{n},OU=o{}", n % 2), "CN=CA", &SigningKey::ed25519());
            leaf.set(ext::names(&names));
            leaf.serial = vec![0x31 + n];
            if n == 2 {
                leaf.valid(NOW.minus(50), NOW.plus(30));
            }
            // One was issued by nobody.
            leaf.der(if n == 4 { &other } else { &ca })
        };
        Self {
            root: Draft::ca("CN=Root", "CN=Root", &root_key).der(&root_key),
            cas: [early.der(&root_key), late.der(&root_key)],
            leaves: (0..CLIENTS).map(leaf).collect(),
            crls: Cell::new(0),
            ca,
        }
    }

    fn profile(&self, variant: u8) -> Object {
        let cas = match variant % 3 {
            0 => &self.cas[..1],
            1 => &self.cas[1..],
            _ => &self.cas[..],
        };
        let inline = |der: &Vec<u8>| json!({"inline": pem(der)});
        let mut spec = json!({
            "trustAnchors": [inline(&self.root)],
            "intermediates": cas.iter().map(inline).collect::<Vec<_>>(),
        });
        if variant < 12 {
            let on_unknown = if variant.is_multiple_of(2) { "Deny" } else { "Allow" };
            spec["revocation"] = json!({
                "mode": "Offline", "crls": [{"file": "ca.crl"}], "scope": "EndEntity", "onUnknown": on_unknown,
            });
        }
        Object::TrustProfile { meta: meta("t", 0, ""), spec: serde_json::from_value(spec).unwrap() }
    }

    /// The CRL file, with some clients on it. Clocks may differ by 300 s: it begins to count, or is out of date, within
    /// a minute or two of [`NOW`], or is good for a day.
    fn crl(&self, index: &mut Index, some: u16) {
        let [_, low] = some.to_be_bytes();
        let soon = i64::from(low / 4 % 8) * 15;
        let nth = self.crls.get().saturating_add(1);
        self.crls.set(nth);
        let (begins, ends) = match low % 4 {
            0 | 1 => (i64::from(nth) - 3600, 86_400),
            2 => (i64::from(nth) - 3600, soon - 300),
            _ => (300 + soon, 86_400),
        };
        let mut crl = CrlDraft::new("CN=CA").with(number(nth)).dated(begins, Some(ends));
        for client in 0..CLIENTS {
            if some >> (8 + client) & 1 == 1 {
                crl = crl.lists(&[0x31 + client], None);
            }
        }
        index.set_crl_file("ca.crl", source::crls(&mut &crl.der(&self.ca)[..]));
    }
}

fn meta(name: &str, document: u32, label: &str) -> ObjectMeta {
    ObjectMeta {
        name: name.to_owned(),
        namespace: "ns".to_owned(),
        labels: BTreeMap::from([("for".to_owned(), label.to_owned())]),
        origin: Origin { file: "a.yaml".into(), document },
        ..ObjectMeta::default()
    }
}

/// A mapping that names a client in one of several forms.
fn mapping(pki: &Pki, some: u16) -> Object {
    let [slot, variant] = some.to_be_bytes();
    let (slot, client) = (slot % 6, usize::from(variant % CLIENTS));
    let certificate = match slot % 4 {
        0 => json!({"dns": format!("c{client}.example")}),
        1 => json!({"uri": format!("spiffe://x/c{client}")}),
        2 => json!({"sha256": certgate_x509::Sha256::of(&pki.leaves[client]).to_string()}),
        _ => json!({"subject": format!("CN=c{client},OU=o{}", client % 2)}),
    };
    let mut spec = json!({
        "certificate": certificate,
        "identity": {"user": format!("u{}", variant / 64), "groups": ["g", "h"]},
    });
    if variant % 16 == 15 {
        spec["state"] = json!("Disabled");
    }
    let label = if variant & 32 == 0 { "x" } else { "y" };
    // Some have the name of another object.
    let (name, document) = (format!("m{}", slot % 4), u32::from(slot));
    Object::CertificateMapping { meta: meta(&name, document, label), spec: serde_json::from_value(spec).unwrap() }
}

fn policy(host: &str, variant: u8) -> Object {
    let rules = json!([
        {"name": "deny", "action": "Deny", "where": [{"field": "DNS", "value": format!("c{}.*", variant % 7)}]},
        {"name": "allow", "action": "Allow", "where": [{"field": "Subject", "attribute": "OU", "value": "o*"}],
            "identity": {"user": format!("rule{}", variant % 2), "groups": ["r"]}},
    ]);
    let mut spec = json!({"match": [{"hosts": [host]}], "trustRef": {"name": "t"}});
    let level = ["None", "Summary", "Full"][usize::from(variant % 3)];
    spec["response"] = json!({"metadata": level});
    match host {
        "mapped" | "audited" => spec["mapping"] = json!({"selector": {"matchLabels": {"for": "x"}}}),
        "ruled" => spec["mapping"] = json!({"selector": {}, "rules": rules}),
        "listed" => {
            let entry = json!({"certificate": {"dns": "c1.example"}, "identity": {"user": format!("one{variant}")}});
            spec["mapping"] = json!({"oneToOne": [entry], "rules": rules});
        }
        "forwarded" => {
            spec["evidence"] = json!([{"header": {"format": "HAProxy", "name": "x-leaf", "chainName": "x-chain"}}])
        }
        _ => {}
    }
    if host == "audited" {
        spec["mode"] = json!("Audit");
    }
    Object::CertificatePolicy { meta: meta(host, 0, ""), spec: serde_json::from_value(spec).unwrap() }
}

/// Headers by name.
struct Lines(Vec<(&'static str, String)>);

impl Headers for Lines {
    fn lines<'h>(&'h self, name: &str, out: &mut Vec<&'h [u8]>) {
        out.extend(self.0.iter().filter(|(own, _)| *own == name).map(|(_, value)| value.as_bytes()));
    }
}

/// Asks `ask` with a client's request to a host. A forwarded one has a chain, or none.
fn with_request<R>(pki: &Pki, host: &str, client: u8, chain: u8, ask: impl FnOnce(&Request<'_>) -> R) -> R {
    use base64::Engine as _;
    let encode = |der: &[u8]| base64::engine::general_purpose::STANDARD.encode(der);
    let leaf = &pki.leaves[usize::from(client % CLIENTS)];
    let mut headers = vec![("x-leaf", encode(leaf))];
    match chain % 4 {
        0 => {}
        3 => headers.push(("x-chain", encode(&pki.cas.concat()))),
        n => headers.push(("x-chain", encode(&pki.cas[usize::from(n) - 1]))),
    }
    let peer = url_encoded_pem(leaf);
    ask(&Request {
        named_policy: None,
        http: Some(Http { host: host.as_bytes(), method: b"GET", path: b"/" }),
        peer_certificate: peer.as_bytes(),
        headers: &Lines(headers),
        source_address: None,
    })
}

/// Everything of a decision but what it has cost.
fn told(decision: &Decision) -> String {
    let verdict = decision.verdict().map(|grant| (grant.identity(), grant.headers(), grant.policies().names()));
    format!(
        "{:?} {:?} {:?} {verdict:?} {:?}",
        decision.policy(),
        decision.mode(),
        decision.presented(),
        decision.metadata()
    )
}

#[derive(Clone, Debug)]
enum Step {
    Mapping(u16),
    NoMapping(u16),
    Policy(u8, u8),
    Profile(u8),
    Crl(u16),
    Later(i64),
    Earlier(i64),
    Ask(u8, u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let host = 0..u8::try_from(HOSTS.len()).unwrap();
    let step = prop_oneof![
        3 => any::<u16>().prop_map(Step::Mapping),
        1 => any::<u16>().prop_map(Step::NoMapping),
        1 => (host.clone(), any::<u8>()).prop_map(|(host, variant)| Step::Policy(host, variant)),
        1 => (0_u8..16).prop_map(Step::Profile),
        1 => any::<u16>().prop_map(Step::Crl),
        2 => (0_i64..40).prop_map(Step::Later),
        1 => (0_i64..15).prop_map(Step::Earlier),
        12 => (host, 0..CLIENTS, 0_u8..4).prop_map(|(host, client, chain)| Step::Ask(host, client, chain)),
    ];
    prop::collection::vec(step, 1..80)
}

/// An index with every policy, and what it has published.
struct World {
    pki: Pki,
    index: Index,
    snapshots: Vec<Arc<Snapshot>>,
}

impl World {
    fn new() -> Self {
        let mut world = Self { pki: Pki::new(), index: Index::new(), snapshots: Vec::new() };
        world.index.apply(world.pki.profile(2));
        world.pki.crl(&mut world.index, 0);
        HOSTS.iter().for_each(|host| world.index.apply(policy(host, 0)));
        world.publish();
        let problems: Vec<_> = world.index.problems().iter().flat_map(|problem| problem.errors.clone()).collect();
        assert_eq!(problems, [], "the policies work");
        world
    }

    fn publish(&mut self) {
        self.snapshots.extend(self.index.publish());
    }

    fn now(&self) -> &Arc<Snapshot> {
        self.snapshots.last().unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_cached_decision_is_the_decision(steps in steps()) {
        let mut world = World::new();
        let cache = DecisionCache::default();
        let mut now: UnixTime = NOW;
        for step in steps {
            match step {
                Step::Mapping(some) => world.index.apply(mapping(&world.pki, some)),
                Step::NoMapping(some) => world.index.delete(&mapping(&world.pki, some).id()),
                Step::Policy(host, variant) => world.index.apply(policy(HOSTS[usize::from(host)], variant)),
                Step::Profile(variant) => world.index.apply(world.pki.profile(variant)),
                Step::Crl(some) => world.pki.crl(&mut world.index, some),
                Step::Later(seconds) => now = now.plus(seconds),
                Step::Earlier(seconds) => now = now.minus(seconds),
                Step::Ask(host, client, chain) => {
                    // A request in flight decides by the snapshot before.
                    for snapshot in world.snapshots.iter().rev().take(2) {
                        with_request(&world.pki, HOSTS[usize::from(host)], client, chain, |request| {
                            let plain = snapshot.decide(request, now, &mut NoTrace);
                            let cached = snapshot.decide_cached(request, now, &cache);
                            prop_assert_eq!(told(&cached), told(&plain));
                            Ok(())
                        })?;
                    }
                    continue;
                }
            }
            world.publish();
        }
    }
}

/// Asked every second, so that no beginning or end of a certificate or a CRL is passed over.
#[test]
fn a_cached_decision_is_the_decision_at_every_second() {
    let (mut seen, cache) = (BTreeSet::new(), DecisionCache::default());
    for profile in 0..6 {
        for crl in [0x0100, 0x0102, 0x0006, 0x0106, 0x0107, 0x0107 | 8] {
            let mut world = World::new();
            world.index.apply(world.pki.profile(profile));
            world.pki.crl(&mut world.index, crl);
            world.publish();
            for (host, client, chain) in [("plain", 0, 0), ("plain", 2, 0), ("forwarded", 0, 3)] {
                for now in (-5..65).map(|second| NOW.plus(second)) {
                    with_request(&world.pki, host, client, chain, |request| {
                        let plain = world.now().decide(request, now, &mut NoTrace);
                        let cached = world.now().decide_cached(request, now, &cache);
                        assert_eq!(told(&cached), told(&plain), "{profile} {crl:x} {host} {client} {now}");
                        seen.insert(plain.verdict().map_or_else(|denial| denial.reason.code(), |_| "allowed"));
                    });
                }
            }
        }
    }
    for reason in ["allowed", "CERT_EXPIRED", "CERT_REVOKED", "REVOCATION_STALE", "REVOCATION_UNKNOWN"] {
        assert!(seen.contains(reason), "{reason} is not among {seen:?}");
    }
}

#[test]
fn a_request_with_very_many_lines_is_decided_and_not_remembered() {
    let (world, cache) = (World::new(), DecisionCache::default());
    for (lines, misses) in [(16, 1), (17, 1), (50_000, 1)] {
        let request = Request {
            named_policy: None,
            http: Some(Http { host: b"forwarded", method: b"GET", path: b"/" }),
            peer_certificate: b"",
            headers: &Lines(vec![("x-leaf", String::new()); lines]),
            source_address: None,
        };
        let decision = world.now().decide_cached(&request, NOW, &cache);
        let reason = decision.verdict().map_err(|denial| denial.reason.code()).unwrap_err();
        assert_eq!((reason, cache.counts().misses), ("FORWARDED_INVALID", misses), "{lines} lines");
    }
}

/// Whether a client is allowed, and whether that took a signature.
fn ask(world: &World, cache: &DecisionCache, host: &str, client: u8, now: UnixTime) -> (bool, bool) {
    with_request(&world.pki, host, client, 0, |request| {
        let decision = world.now().decide_cached(request, now, cache);
        (decision.verdict().is_ok(), decision.spent().signatures > 0)
    })
}

#[test]
fn an_edit_of_one_mapping_leaves_the_decisions_about_others() {
    let mut world = World::new();
    let cache = DecisionCache::default();
    let named = |client: u8, user: &str| {
        let spec: Value = json!({"certificate": {"dns": format!("c{client}.example")}, "identity": {"user": user}});
        let meta = meta(&format!("of-{client}"), 0, "x");
        Object::CertificateMapping { meta, spec: serde_json::from_value(spec).unwrap() }
    };
    for client in [0, 1] {
        world.index.apply(named(client, "before"));
    }
    world.publish();
    for (asked, want) in [("first", (true, true)), ("again", (true, false))] {
        assert_eq!(
            (ask(&world, &cache, "mapped", 0, NOW), ask(&world, &cache, "mapped", 1, NOW)),
            (want, want),
            "{asked}"
        );
    }
    world.index.apply(named(0, "after"));
    world.publish();
    assert_eq!(ask(&world, &cache, "mapped", 0, NOW), (true, true), "its mapping was edited");
    assert_eq!(ask(&world, &cache, "mapped", 1, NOW), (true, false), "another's was");
    world.index.apply(policy("mapped", 1));
    world.publish();
    assert_eq!(ask(&world, &cache, "mapped", 1, NOW), (true, true), "the policy was edited");
    world.index.apply(policy("ruled", 1));
    world.publish();
    assert_eq!(ask(&world, &cache, "mapped", 1, NOW), (true, false), "another policy was");
    world.pki.crl(&mut world.index, 0x0203);
    world.publish();
    assert_eq!(ask(&world, &cache, "mapped", 0, NOW), (true, true), "there is another CRL");
    let counts = cache.counts();
    assert_eq!((counts.grants.hits, counts.misses), (4, 5));
}

#[test]
fn denials_are_remembered_for_seconds_and_grants_for_longer() {
    let world = World::new();
    let cache = DecisionCache::default();
    assert_eq!(ask(&world, &cache, "plain", 0, NOW), (true, true));
    assert_eq!(ask(&world, &cache, "mapped", 0, NOW), (false, true), "nothing maps it");
    for (later, denied, granted) in [(5, (false, false), (true, false)), (6, (false, true), (true, false))] {
        let now = NOW.plus(later);
        assert_eq!((ask(&world, &cache, "mapped", 0, now), ask(&world, &cache, "plain", 0, now)), (denied, granted));
    }
    assert_eq!(ask(&world, &cache, "plain", 0, NOW.minus(1)), (true, true), "the clock was set back");
}

#[test]
fn a_crl_that_begins_to_count_ends_the_decisions_before_it() {
    let mut world = World::new();
    let cache = DecisionCache::default();
    world.index.apply(world.pki.profile(5));
    world.pki.crl(&mut world.index, 0x0107);
    world.publish();
    assert_eq!(ask(&world, &cache, "plain", 0, NOW), (true, true), "the profile allows what is unknown");
    assert_eq!(ask(&world, &cache, "plain", 0, NOW.plus(14)), (true, false));
    assert!(!ask(&world, &cache, "plain", 0, NOW.plus(15)).0, "revoked by a CRL of that second");
}

#[test]
fn what_is_not_decided_by_the_certificate_is_not_remembered() {
    let mut world = World::new();
    let cache = DecisionCache::default();
    world.pki.crl(&mut world.index, 0x0002);
    world.publish();
    let later = || ask(&world, &cache, "plain", 0, NOW.plus(10));
    assert_eq!((later(), later()), ((false, true), (false, true)), "the CRL is out of date");
}

#[test]
fn bad_certificates_push_out_no_good_ones() {
    let world = World::new();
    let cache = DecisionCache::with_limits(1 << 16, 1 << 14);
    assert_eq!(ask(&world, &cache, "plain", 0, NOW), (true, true));
    for serial in 0..2000_u16 {
        let mut leaf = Draft::client("CN=stranger", "CN=CA", &SigningKey::ed25519());
        leaf.serial = [&[0x01][..], &serial.to_be_bytes()].concat();
        let peer = url_encoded_pem(&leaf.der(&SigningKey::ed25519()));
        let request = Request {
            named_policy: None,
            http: Some(Http { host: b"plain", method: b"GET", path: b"/" }),
            peer_certificate: peer.as_bytes(),
            headers: &Lines(Vec::new()),
            source_address: None,
        };
        assert!(world.now().decide_cached(&request, NOW, &cache).verdict().is_err());
    }
    let counts = cache.counts();
    assert!(counts.denials.bytes <= 1 << 14 && counts.denials.evicted > 1000, "{counts:?}");
    assert_eq!(ask(&world, &cache, "plain", 0, NOW), (true, false), "the good one is still there");
}
