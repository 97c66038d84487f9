//! One Check from end to end, over an index filled as an adapter would fill it.

mod denials;
mod issuers;
mod sources;
mod steps;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::domain::api::{Object, ObjectMeta};
use crate::domain::decide::decision::{Effect, Reveal};
use crate::domain::request::{Headers, Http};
use crate::domain::store::Index;
use certgate_testing::template::{CN, Key, NOW, O, San, Template, Text, Usage, name, pem, url_encoded_pem};
use certgate_x509::{NoTrace, Recorder};

/// A CA, a client that it certified, and a client of another CA.
struct Pki {
    ca: Key,
    ca_der: Vec<u8>,
    client: Vec<u8>,
    stranger: Vec<u8>,
}

impl Pki {
    fn new() -> Self {
        let (ca, other) = (Key::new(), Key::new());
        let ca_der = Template::ca().der(&ca, &ca);
        let client = Template::default().der(&Key::new(), &ca);
        let stranger = Template::default().der(&Key::new(), &other);
        Self { ca, ca_der, client, stranger }
    }

    fn issue(&self, template: &Template) -> Vec<u8> {
        template.der(&Key::new(), &self.ca)
    }
}

fn meta(name: &str) -> ObjectMeta {
    ObjectMeta { name: name.to_owned(), namespace: "payments".to_owned(), ..ObjectMeta::default() }
}

fn policy(name: &str, spec: Value) -> Object {
    Object::CertificatePolicy { meta: meta(name), spec: serde_json::from_value(spec).unwrap() }
}

fn profile(name: &str, spec: Value) -> Object {
    Object::TrustProfile { meta: meta(name), spec: serde_json::from_value(spec).unwrap() }
}

fn snapshot(objects: impl IntoIterator<Item = Object>) -> Arc<Snapshot> {
    let mut index = Index::new();
    objects.into_iter().for_each(|object| index.apply(object));
    index.publish().expect("the first snapshot is always new")
}

/// A snapshot of the profile `partners`, which trusts the CA, and one policy for host `api`.
fn with_policy(pki: &Pki, mut spec: Value) -> Arc<Snapshot> {
    spec["trustRef"] = json!({"name": "partners"});
    if spec.get("match").is_none() {
        spec["match"] = json!([{"hosts": ["api"]}]);
    }
    snapshot([profile("partners", json!({"trustAnchors": [{"inline": pem(&pki.ca_der)}]})), policy("api", spec)])
}

struct Fake(BTreeMap<&'static str, Vec<u8>>);

impl Headers for Fake {
    fn lines<'h>(&'h self, name: &str, out: &mut Vec<&'h [u8]>) {
        out.extend(self.0.get(name).map(Vec::as_slice));
    }
}

fn decide_traced<T: Trace>(snapshot: &Snapshot, peer: &[u8], trace: &mut T) -> Decision {
    let peer = if peer.is_empty() { String::new() } else { url_encoded_pem(peer) };
    let headers = Fake(BTreeMap::new());
    let request = Request {
        named_policy: None,
        http: Some(Http { host: b"api:443", method: b"GET", path: b"/v1?x" }),
        peer_certificate: peer.as_bytes(),
        headers: &headers,
        source_address: None,
    };
    snapshot.decide(&request, NOW, trace)
}

fn decide(snapshot: &Snapshot, peer: &[u8]) -> Decision {
    decide_traced(snapshot, peer, &mut NoTrace)
}

/// The user, or the reason.
fn outcome(decision: &Decision) -> Result<Option<&str>, Reason> {
    decision.verdict().map(|grant| grant.identity().map(|identity| &*identity.user)).map_err(|denial| denial.reason)
}

fn headers_of(decision: &Decision) -> Vec<(&str, &str)> {
    decision.verdict().unwrap().headers().iter().map(|(name, value)| (&**name, &**value)).collect()
}

#[test]
fn who_gets_in() {
    let pki = Pki::new();
    let expired = pki.issue(&Template { not_after: "210101000000Z", ..Template::default() });
    let server = pki.issue(&Template { usage: Usage::Server, ..Template::default() });
    let look_alike = pki.issue(&Template { subject: name(&[(O, "Contoso Evil"), (CN, "x")]), ..Template::default() });
    let rules = json!({"mapping": {"rules": [
        {"name": "contoso", "action": "Allow", "where": [{"field": "Subject", "attribute": "O", "value": "Contoso"}], "identity": {"user": "contoso"}}]}});
    let mut damaged = pki.client.clone();
    damaged.truncate(60);
    damaged[1..4].copy_from_slice(&[0x81, 57, 0x30]);
    let rows: Vec<(&str, Value, &[u8], Result<Option<&str>, Reason>)> = vec![
        ("no mapping: the subject", json!({}), &pki.client, Ok(Some("CN=client,O=Contoso,C=DE"))),
        ("mapped by a rule", rules.clone(), &pki.client, Ok(Some("contoso"))),
        ("valid, but not mapped", rules, &look_alike, Err(Reason::NoMapping)),
        ("another CA of the same name", json!({}), &pki.stranger, Err(Reason::SignatureInvalid)),
        ("expired", json!({}), &expired, Err(Reason::CertExpired)),
        ("a server's certificate", json!({}), &server, Err(Reason::EkuNotPermitted)),
        ("not a certificate", json!({}), &damaged, Err(Reason::CertMalformed)),
        ("no certificate", json!({}), b"", Err(Reason::CertRequired)),
        ("no certificate, and none is needed", json!({"certificate": "Optional"}), b"", Ok(None)),
        (
            "a bad certificate where none is needed",
            json!({"certificate": "Optional"}),
            &expired,
            Err(Reason::CertExpired),
        ),
        (
            "no mapping where none is needed",
            json!({"certificate": "Optional", "mapping": {"selector": {}}}),
            &pki.client,
            Err(Reason::NoMapping),
        ),
    ];
    for (row, spec, peer, want) in rows {
        let decision = decide(&with_policy(&pki, spec), peer);
        assert_eq!(outcome(&decision), want, "{row}: {:?}", decision.verdict());
        assert_eq!(decision.policy(), Some("payments/api"), "{row}");
        assert_eq!(decision.presented().is_some(), !peer.is_empty(), "{row}");
        assert_eq!(matches!(decision.effect(), Effect::Pass(Some(_))), want.is_ok(), "{row}");
    }
}

#[test]
fn a_decision_tells_about_the_certificate() {
    let pki = Pki::new();
    for (level, has_names) in [("None", false), ("Summary", false), ("Full", true)] {
        let decision = decide(&with_policy(&pki, json!({"response": {"metadata": level}})), &pki.client);
        let presented = decision.presented().unwrap();
        assert_eq!(presented.sha256, Sha256::of(&pki.client));
        assert_eq!(presented.source, EvidenceSource::PeerCertificate);
        let names = presented.names.as_ref().map(|names| [&*names.subject, &*names.issuer, &*names.serial_number]);
        assert_eq!(names, has_names.then_some(["CN=client,O=Contoso,C=DE", "CN=Acme CA,O=Acme", "2a"]), "{level}");
    }
}

#[test]
fn headers_carry_the_identity_and_nothing_else() {
    let pki = Pki::new();
    let identity = |mut identity: Value| {
        identity["user"] = json!("svc");
        json!([{"certificate": {"sha256": Sha256::of(&pki.client).to_string()}, "identity": identity}])
    };
    let whole = json!({"groups": ["a", "b"], "uid": "42", "extra": {"tier": ["gold", "silver"], "zone": ["z"]}});
    type Row<'a> = (&'a str, Value, Value, &'a [(&'a str, &'a str)]);
    let rows: Vec<Row<'_>> = vec![
        ("defaults", identity(whole.clone()), json!({}), &[("x-certgate-user", "svc"), ("x-certgate-groups", "a,b")]),
        ("no groups, no header", identity(json!({})), json!({}), &[("x-certgate-user", "svc")]),
        (
            "all named",
            identity(whole),
            json!({"user": "X-User", "groups": "X-Groups", "uid": "X-Uid", "extra": {"tier": "X-Tier", "absent": "X-Absent"}}),
            &[("x-user", "svc"), ("x-groups", "a,b"), ("x-uid", "42"), ("x-tier", "gold,silver")],
        ),
        ("uid named, not there", identity(json!({})), json!({"uid": "x-uid"}), &[("x-certgate-user", "svc")]),
    ];
    for (row, one_to_one, headers, want) in rows {
        let spec = json!({"mapping": {"oneToOne": one_to_one}, "response": {"headers": headers}});
        let snapshot = with_policy(&pki, spec);
        let decision = decide(&snapshot, &pki.client);
        assert_eq!(headers_of(&decision), want, "{row}");
        for (name, _) in want {
            assert!(snapshot.identity_headers().iter().any(|known| **known == **name), "{row}: {name} is not removed");
        }
    }
    let anonymous = decide(&with_policy(&pki, json!({"certificate": "Optional"})), b"");
    assert_eq!(headers_of(&anonymous), []);
}

#[test]
fn every_header_that_any_policy_can_set_is_known() {
    let broken =
        json!({"trustRef": {"name": "Bad Name"}, "response": {"headers": {"user": "X-Broken", "groups": "te"}}});
    let snapshot = snapshot([
        policy(
            "one",
            json!({"trustRef": {"name": "t"}, "response": {"headers": {"uid": "X-Uid", "extra": {"a": "x-a"}}}}),
        ),
        policy("two", json!({"trustRef": {"name": "t"}, "response": {"headers": {"user": "x-user"}}})),
        policy("broken", broken),
    ]);
    let names: Vec<&str> = snapshot.identity_headers().iter().map(|name| &**name).collect();
    assert_eq!(names, ["x-a", "x-broken", "x-certgate-groups", "x-certgate-user", "x-uid", "x-user"]);
    let empty: Vec<Arc<str>> = self::snapshot([]).identity_headers().to_vec();
    assert_eq!(empty, ["x-certgate-groups".into(), "x-certgate-user".into()]);
}

#[test]
fn statuses_and_openness_of_denials() {
    let pki = Pki::new();
    let denial = |spec: Value| json!({"response": {"denial": spec}});
    let rows: Vec<(&str, Value, &[u8], (Reason, u16, Reveal))> = vec![
        ("by default", json!({}), &pki.stranger, (Reason::SignatureInvalid, 403, Reveal::Nothing)),
        ("by default, missing", json!({}), b"", (Reason::CertRequired, 403, Reveal::Nothing)),
        ("status", denial(json!({"status": 404})), &pki.stranger, (Reason::SignatureInvalid, 404, Reveal::Nothing)),
        ("status, missing", denial(json!({"status": 404})), b"", (Reason::CertRequired, 404, Reveal::Nothing)),
        (
            "missing alone",
            denial(json!({"missingCertificateStatus": 401})),
            b"",
            (Reason::CertRequired, 401, Reveal::Nothing),
        ),
        (
            "missing alone, not missing",
            denial(json!({"missingCertificateStatus": 401})),
            &pki.stranger,
            (Reason::SignatureInvalid, 403, Reveal::Nothing),
        ),
        (
            "both",
            denial(json!({"status": 400, "missingCertificateStatus": 401})),
            b"",
            (Reason::CertRequired, 401, Reveal::Nothing),
        ),
        ("revealed", denial(json!({"reveal": "Reason"})), b"", (Reason::CertRequired, 403, Reveal::Reason)),
    ];
    for (row, spec, peer, want) in rows {
        let decision = decide(&with_policy(&pki, spec), peer);
        let denial = decision.verdict().unwrap_err();
        assert_eq!((denial.reason, denial.status, denial.reveal), want, "{row}");
    }
    let unavailable = json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "gone"}, "response": {"denial": {"status": 404, "reveal": "Reason"}}});
    let decision = decide(&snapshot([policy("api", unavailable)]), &pki.client);
    let denial = decision.verdict().unwrap_err();
    assert_eq!((denial.reason, denial.status, denial.reveal), (Reason::TrustUnavailable, 503, Reveal::Reason));
}

#[test]
fn audit_records_and_lets_pass() {
    let pki = Pki::new();
    let rows: Vec<(&str, Value, &[u8], Result<Option<&str>, Reason>, bool)> = vec![
        ("denied", json!({"mode": "Audit"}), &pki.stranger, Err(Reason::SignatureInvalid), true),
        ("missing", json!({"mode": "Audit"}), b"", Err(Reason::CertRequired), true),
        ("allowed", json!({"mode": "Audit"}), &pki.client, Ok(Some("CN=client,O=Contoso,C=DE")), true),
        ("enforced", json!({"mode": "Enforce"}), &pki.stranger, Err(Reason::SignatureInvalid), false),
        (
            "a policy in error denies even so",
            json!({"mode": "Audit", "mapping": {}}),
            &pki.client,
            Err(Reason::PolicyInvalid),
            false,
        ),
        (
            "a request that no policy selects is denied even so",
            json!({"mode": "Audit", "match": [{"hosts": ["api"], "paths": [{"exact": "/a"}]}]}),
            &pki.client,
            Err(Reason::NoPolicy),
            false,
        ),
    ];
    for (row, spec, peer, want, passes) in rows {
        let decision = decide(&with_policy(&pki, spec), peer);
        assert_eq!(outcome(&decision), want, "{row}");
        assert_eq!(matches!(decision.effect(), Effect::Pass(_)), passes, "{row}");
        if want.is_err() && passes {
            assert!(matches!(decision.effect(), Effect::Pass(None)), "{row}: no identity goes along");
            assert_eq!(decision.mode(), Mode::Audit, "{row}");
        }
    }
}

#[test]
fn policies_that_cannot_decide_deny_with_their_own_reason() {
    let pki = Pki::new();
    let anchors = json!([{"inline": pem(&pki.ca_der)}]);
    let api = |trust: Value| policy("api", json!({"match": [{"hosts": ["api"]}], "trustRef": trust}));
    let elsewhere = |spec: Value| Object::TrustProfile {
        meta: ObjectMeta { namespace: "trust".into(), ..meta("partners") },
        spec: serde_json::from_value(spec).unwrap(),
    };
    let twin = |mut object: Object| {
        if let Object::CertificatePolicy { meta, .. } | Object::TrustProfile { meta, .. } = &mut object {
            meta.origin.document = 7;
        }
        object
    };
    let here = || api(json!({"name": "partners"}));
    let there = || api(json!({"name": "partners", "namespace": "trust"}));
    let good = || profile("partners", json!({"trustAnchors": anchors}));
    let shared = |allowed: Value| elsewhere(json!({"trustAnchors": anchors, "allowedNamespaces": allowed}));
    let namespace = Object::Namespace {
        meta: ObjectMeta {
            name: "payments".into(),
            labels: [("team".to_owned(), "pay".to_owned())].into(),
            ..Default::default()
        },
    };
    let by_label = json!({"from": "Selector", "selector": {"matchLabels": {"team": "pay"}}});
    let by_name = json!({"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "payments"}}});
    let user = Ok(Some("CN=client,O=Contoso,C=DE"));
    let invalid = Err(Reason::PolicyInvalid);
    let unavailable = Err(Reason::TrustUnavailable);
    let rows: Vec<(&str, Vec<Object>, Result<Option<&str>, Reason>)> = vec![
        ("good", vec![good(), here()], user),
        ("no policy", vec![good()], Err(Reason::NoPolicy)),
        ("dangling reference", vec![here()], unavailable),
        ("two profiles of one name", vec![good(), twin(good()), here()], invalid),
        ("two policies of one name", vec![good(), here(), twin(here())], invalid),
        ("a profile in error", vec![profile("partners", json!({"trustAnchors": [{"inline": "x"}]})), here()], invalid),
        ("no anchors", vec![profile("partners", json!({})), here()], Err(Reason::CertUntrusted)),
        (
            "a source that is not there",
            vec![
                profile("partners", json!({"trustAnchors": [{"inline": pem(&pki.ca_der)}, {"secret": {"name": "s"}}]})),
                here(),
            ],
            unavailable,
        ),
        (
            "a file that was not read",
            vec![profile("partners", json!({"trustAnchors": [{"file": "/ca.pem"}]})), here()],
            unavailable,
        ),
        ("namespace: the same by default", vec![shared(json!({})), there()], invalid),
        ("namespace: all", vec![shared(json!({"from": "All"})), there()], user),
        ("namespace: by label", vec![shared(by_label.clone()), there(), namespace], user),
        ("namespace: by label, not labelled", vec![shared(by_label), there()], invalid),
        ("namespace: by its own name", vec![shared(by_name), there()], user),
        ("namespace: the profile of another is not ours", vec![shared(json!({"from": "All"})), here()], unavailable),
    ];
    for (row, objects, want) in rows {
        let decision = decide(&snapshot(objects), &pki.client);
        assert_eq!(outcome(&decision), want, "{row}: {:?}", decision.verdict());
    }
}
