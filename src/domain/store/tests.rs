//! The index driven by hand: what is published, what is reported, and that history does not matter.

mod anchors;
mod history;
mod mappings;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::api::{ObjectMeta, Origin};
use crate::domain::decide::reason::Reason;
use crate::domain::request::{Http, NoHeaders, Request};
use certgate_testing::template::{Key, NOW, San, Template, pem, url_encoded_pem};
use certgate_x509::{NoTrace, UnixTime};

fn meta(name: &str, document: u32) -> ObjectMeta {
    ObjectMeta {
        name: name.to_owned(),
        namespace: "ns".to_owned(),
        origin: Origin { file: "a.yaml".into(), document },
        ..ObjectMeta::default()
    }
}

fn policy(name: &str, spec: Value) -> Object {
    Object::CertificatePolicy { meta: meta(name, 0), spec: serde_json::from_value(spec).unwrap() }
}

fn profile(spec: Value) -> Object {
    Object::TrustProfile { meta: meta("t", 0), spec: serde_json::from_value(spec).unwrap() }
}

fn mapping(name: &str, label: &str, spec: Value) -> Object {
    let labels = [("api".to_owned(), label.to_owned())].into();
    let meta = ObjectMeta { labels, ..meta(name, 0) };
    Object::CertificateMapping { meta, spec: serde_json::from_value(spec).unwrap() }
}

fn config_map(pem: &str) -> Object {
    Object::ConfigMap {
        meta: meta("roots", 0),
        data: [("ca.crt".to_owned(), Bytes::copy_from_slice(pem.as_bytes()))].into(),
    }
}

/// The outcome of a request to `host` with a certificate: user or reason.
fn decide(snapshot: &Snapshot, host: &str, certificate: &[u8]) -> Result<String, Reason> {
    let peer = url_encoded_pem(certificate);
    let request = Request {
        named_policy: None,
        http: Some(Http { host: host.as_bytes(), method: b"GET", path: b"/" }),
        peer_certificate: peer.as_bytes(),
        headers: &NoHeaders,
        source_address: None,
    };
    let decision = snapshot.decide(&request, NOW, &mut NoTrace);
    decision.verdict().map(|grant| grant.identity().unwrap().user.clone()).map_err(|denial| denial.reason)
}

fn lines(index: &Index) -> Vec<String> {
    let line = |problem: &ObjectProblem, error: &FieldError| format!("{:?} {}: {error}", problem.severity, problem.id);
    index.problems().iter().flat_map(|p| p.errors.iter().map(|e| line(p, e)).collect::<Vec<_>>()).collect()
}

struct Pki {
    ca: Vec<u8>,
    client: Vec<u8>,
}

fn pki() -> Pki {
    let key = Key::new();
    let template = Template { sans: vec![San::Dns("c.example".into())], ..Template::default() };
    Pki { ca: Template::ca().der(&key, &key), client: template.der(&Key::new(), &key) }
}

#[test]
fn publishing_is_quiet_when_nothing_changed() {
    let pki = pki();
    let objects = || {
        vec![
            profile(json!({"trustAnchors": [{"configMap": {"name": "roots"}}]})),
            config_map(&pem(&pki.ca)),
            policy("p", json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}, "mapping": {"selector": {}}})),
            mapping("m", "x", json!({"certificate": {"dns": "c.example"}, "identity": {"user": "svc"}})),
        ]
    };
    let mut index = Index::new();
    let empty = index.publish().expect("the first is always published");
    assert_eq!((empty.generation(), decide(&empty, "api", &pki.client)), (1, Err(Reason::NoPolicy)));
    objects().into_iter().for_each(|object| index.apply(object));
    let snapshot = index.publish().expect("there are objects now");
    assert_eq!((snapshot.generation(), decide(&snapshot, "api", &pki.client)), (2, Ok("svc".to_owned())));
    assert!(index.publish().is_none());
    objects().into_iter().for_each(|object| index.apply(object));
    assert!(index.publish().is_none(), "a relist of the same objects");
    index.delete(&mapping("absent", "x", json!({"certificate": {}, "identity": {"user": ""}})).id());
    assert!(index.publish().is_none(), "nothing was deleted");
    index.apply(Object::Secret { meta: meta("unrelated", 0), data: [].into() });
    assert!(index.publish().is_none(), "nobody refers to it");

    index.apply(mapping("m", "x", json!({"certificate": {"dns": "c.example"}, "identity": {"user": "other"}})));
    let edited = index.publish().expect("a mapping changed");
    assert_eq!(decide(&edited, "api", &pki.client), Ok("other".to_owned()));
    assert_eq!(decide(&snapshot, "api", &pki.client), Ok("svc".to_owned()), "requests in flight keep their snapshot");
    index.apply(mapping("m", "y", json!({"certificate": {"dns": "c.example"}, "identity": {"user": "other"}})));
    assert!(index.publish().is_some(), "labels changed");
    index.delete(&objects()[3].id());
    assert_eq!(decide(&index.publish().unwrap(), "api", &pki.client), Err(Reason::NoMapping));
    index.delete(&objects()[2].id());
    assert_eq!(decide(&index.publish().unwrap(), "api", &pki.client), Err(Reason::NoPolicy));
    assert_eq!(lines(&index), [""; 0]);
}

#[test]
fn several_edits_are_one_publication() {
    let pki = pki();
    let m = |name: &str, user: &str| {
        mapping(name, "x", json!({"certificate": {"dns": "c.example"}, "identity": {"user": user}}))
    };
    let mut index = Index::new();
    index.apply(profile(json!({"trustAnchors": [{"inline": pem(&pki.ca)}]})));
    index.apply(policy(
        "p",
        json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}, "mapping": {"selector": {}}}),
    ));
    for object in [m("a", "old"), m("b", "old")] {
        index.apply(object);
    }
    assert_eq!(decide(&index.publish().unwrap(), "api", &pki.client), Ok("old".to_owned()));
    for object in [m("b", "old"), m("a", "old")] {
        index.apply(object);
    }
    assert!(index.publish().is_none(), "the same objects in another order");
    for object in [m("b", "new"), m("c", "new")] {
        index.apply(object);
    }
    index.delete(&m("a", "old").id());
    assert_eq!(decide(&index.publish().unwrap(), "api", &pki.client), Ok("new".to_owned()), "a is gone");
    index.delete(&m("b", "new").id());
    index.delete(&policy("p", json!({"match": [], "trustRef": {"name": "t"}})).id());
    assert_eq!(decide(&index.publish().unwrap(), "api", &pki.client), Err(Reason::NoPolicy));
}

#[test]
fn a_trust_source_keeps_its_last_good_content() {
    let (pki, other) = (pki(), self::pki());
    let trust = || profile(json!({"trustAnchors": [{"configMap": {"name": "roots"}}]}));
    let mut index = Index::new();
    index.apply(policy(
        "p",
        json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}, "mapping": {"rules": [
        {"name": "r", "action": "Allow", "where": [{"field": "DNS", "value": "*"}], "identity": {"user": "svc"}}]}}),
    ));
    index.apply(trust());
    let snapshot = index.publish().unwrap();
    assert_eq!(decide(&snapshot, "api", &pki.client), Err(Reason::TrustUnavailable), "never readable");
    assert_eq!(
        lines(&index),
        [
            "Error TrustProfile ns/t: spec.trustAnchors[0].configMap: ConfigMap ns/roots does not exist",
            "Note CertificatePolicy ns/p: spec.trustRef: TrustProfile ns/t is not available: a source of it cannot be read",
        ]
    );
    let user = Ok("svc".to_owned());
    index.apply(config_map(&pem(&pki.ca)));
    assert_eq!(decide(&index.publish().unwrap(), "api", &pki.client), user);
    assert_eq!(lines(&index), [""; 0]);

    index.apply(config_map("-----BEGIN CERTIFICATE-----\nbroken"));
    if let Some(snapshot) = index.publish() {
        assert_eq!(decide(&snapshot, "api", &pki.client), user, "broken");
    }
    let [problem] = &lines(&index)[..] else { panic!("{:?}", lines(&index)) };
    assert!(problem.ends_with("; its last good content stays in use"), "{problem}");

    index.delete(&config_map("").id());
    assert!(index.publish().is_none(), "deleted: decisions stay as they are");
    assert_eq!(
        lines(&index),
        ["Error TrustProfile ns/t: spec.trustAnchors[0].configMap: ConfigMap ns/roots does not exist; its last good \
          content stays in use"]
    );
    index.apply(config_map(&pem(&other.ca)));
    let snapshot = index.publish().unwrap();
    assert_eq!(decide(&snapshot, "api", &pki.client), Err(Reason::SignatureInvalid), "replaced");
    assert_eq!(decide(&snapshot, "api", &other.client), user);

    index.delete(&trust().id());
    index.publish().unwrap();
    index.delete(&config_map("").id());
    index.publish();
    index.apply(trust());
    let snapshot = index.publish().unwrap();
    assert_eq!(decide(&snapshot, "api", &other.client), Err(Reason::TrustUnavailable), "forgotten with its profile");
}

#[test]
fn files_are_trust_sources_too() {
    let pki = pki();
    let mut index = Index::new();
    index.apply(profile(json!({"trustAnchors": [{"file": "ca.pem"}], "intermediates": [{"file": "more.pem"}]})));
    assert_eq!(index.wanted_files().certificates.into_iter().collect::<Vec<_>>(), ["ca.pem", "more.pem"]);
    index.set_certificate_file("ca.pem", Ok(Bytes::from(pem(&pki.ca))));
    index.set_certificate_file("more.pem", Err("permission denied".to_owned()));
    index.publish();
    assert_eq!(lines(&index), ["Error TrustProfile ns/t: spec.intermediates[0].file: permission denied"]);
    index.set_certificate_file("more.pem", Ok(Bytes::from(pem(&pki.ca))));
    index.publish();
    assert_eq!(lines(&index), [""; 0]);
    index.set_certificate_file("more.pem", Ok(Bytes::from(pem(&pki.ca))));
    assert!(index.publish().is_none());
}

#[test]
fn duplicates_are_in_error_until_one_goes() {
    let pki = pki();
    let spec = |user: &str| json!({"certificate": {"dns": "c.example"}, "identity": {"user": user}});
    let duplicate = |mut object: Object| {
        match &mut object {
            Object::CertificateMapping { meta, .. } | Object::CertificatePolicy { meta, .. } => {
                meta.origin = Origin { file: "b.yaml".into(), document: 3 };
            }
            _ => {}
        }
        object
    };
    let mut index = Index::new();
    index.apply(profile(json!({"trustAnchors": [{"inline": pem(&pki.ca)}]})));
    let p =
        || policy("p", json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}, "mapping": {"selector": {}}}));
    index.apply(p());
    let m = || mapping("m", "x", spec("svc"));
    index.apply(m());
    index.apply(duplicate(mapping("m", "x", spec("svc"))));
    let decide = |index: &mut Index| self::decide(&index.publish().unwrap(), "api", &pki.client);
    assert_eq!(decide(&mut index), Err(Reason::PolicyInvalid));
    assert_eq!(
        lines(&index),
        [
            "Error CertificateMapping ns/m: metadata.name: another object of this kind has the same name, in b.yaml",
            "Error CertificateMapping ns/m: metadata.name: another object of this kind has the same name, in a.yaml",
        ]
    );
    index.apply(m());
    index.apply(duplicate(m()));
    assert!(index.publish().is_none(), "the same duplicates again");
    index.delete(&duplicate(m()).id());
    assert_eq!(decide(&mut index), Ok("svc".to_owned()));
    assert_eq!(lines(&index), [""; 0]);

    index.apply(duplicate(p()));
    assert_eq!(decide(&mut index), Err(Reason::PolicyInvalid));
    assert_eq!(lines(&index).len(), 2, "not that one loses to the other as well: {:?}", lines(&index));
    index.delete(&p().id());
    assert_eq!(decide(&mut index), Ok("svc".to_owned()));
    assert_eq!(lines(&index), [""; 0]);
}

#[test]
fn a_policy_with_a_host_that_nobody_can_read_denies_what_it_may_mean() {
    let pki = pki();
    let p = |name: &str, hosts: Value| {
        let map = json!({"rules": [{"name": "r", "action": "Allow", "where": [{"field": "DNS", "value": "c.example"}],
            "identity": {"user": name}}]});
        policy(name, json!({"match": [{"hosts": hosts}], "trustRef": {"name": "t"}, "mapping": map}))
    };
    let mut index = Index::new();
    index.apply(profile(json!({"trustAnchors": [{"inline": pem(&pki.ca)}]})));
    index.apply(p("lax", json!(["*", "own.admin.example"])));
    for (text, denied, other) in [
        ("admin.example:8443", &["admin.example"][..], &["own.admin.example", "b.example"][..]),
        ("https://admin.example/x", &["admin.example"], &["own.admin.example", "b.example"]),
        ("*admin.example", &["admin.example", "own.admin.example", "xadmin.example"], &["b.example"]),
        ("b\u{fc}cher.example", &["xn--bcher-kva.example"], &["own.admin.example", "b.other"]),
        ("{{host}}", &["admin.example", "own.admin.example"], &[]),
        ("", &["admin.example", "own.admin.example"], &[]),
    ] {
        index.apply(p("strict", json!([text])));
        let snapshot = index.publish().unwrap();
        for host in denied {
            assert_eq!(decide(&snapshot, host, &pki.client), Err(Reason::PolicyInvalid), "{text:?}: {host}");
        }
        for host in other {
            assert_eq!(decide(&snapshot, host, &pki.client), Ok("lax".to_owned()), "{text:?}: {host}");
        }
    }
}

#[test]
fn a_disabled_mapping_that_nobody_can_read_stops_its_policies() {
    let pki = pki();
    let p = |name: &str, host: &str, label: &str| {
        let selector = json!({"matchLabels": {"api": label}});
        policy(
            name,
            json!({"match": [{"hosts": [host]}], "trustRef": {"name": "t"}, "mapping": {"selector": selector}}),
        )
    };
    let unreadable = |state: &str| {
        mapping("u", "x", json!({"certificate": {"dns": "*.example"}, "identity": {"user": "u"}, "state": state}))
    };
    let mut index = Index::new();
    index.apply(profile(json!({"trustAnchors": [{"inline": pem(&pki.ca)}]})));
    index.apply(p("p", "x.api", "x"));
    index.apply(p("q", "y.api", "y"));
    for label in ["x", "y"] {
        index.apply(mapping(label, label, json!({"certificate": {"dns": "c.example"}, "identity": {"user": label}})));
    }
    let decide = |index: &mut Index| {
        let snapshot = index.publish().unwrap();
        ["x.api", "y.api"].map(|host| self::decide(&snapshot, host, &pki.client))
    };
    let fine = [Ok("x".to_owned()), Ok("y".to_owned())];
    assert_eq!(decide(&mut index), fine);
    index.apply(unreadable("Enabled"));
    assert_eq!(decide(&mut index), fine, "it only would have granted something");
    index.apply(unreadable("Disabled"));
    assert_eq!(decide(&mut index), [Err(Reason::PolicyInvalid), Ok("y".to_owned())]);
    let problems = lines(&index);
    assert!(problems.iter().any(|line| line.starts_with("Error CertificatePolicy ns/p: spec.mapping.selector:")));
    index.delete(&unreadable("Disabled").id());
    assert_eq!(decide(&mut index), fine);
}

#[test]
fn an_enabled_mapping_that_nobody_can_read_stops_policies_whose_rules_might_allow_its_certificate() {
    let pki = pki();
    let rule = |action: &str, state: &str| {
        let parts = json!([{"field": "DNS", "value": "*"}]);
        let mut rule = json!({"name": "r", "action": action, "where": parts, "state": state});
        if action == "Allow" {
            rule["identity"] = json!({"user": "anybody"});
        }
        rule
    };
    let unreadable =
        || mapping("u", "x", json!({"certificate": {"sha256": "mistyped"}, "identity": {"user": "little"}}));
    for (row, rules, stopped) in [
        ("a rule that allows", json!([rule("Allow", "Enabled")]), Some(Ok("anybody".to_owned()))),
        ("a rule that allows, disabled", json!([rule("Allow", "Disabled")]), None),
        ("a rule that denies", json!([rule("Deny", "Enabled")]), None),
        ("no rules", json!([]), None),
    ] {
        let selector = json!({"matchLabels": {"api": "x"}});
        let mut index = Index::new();
        index.apply(profile(json!({"trustAnchors": [{"inline": pem(&pki.ca)}]})));
        index.apply(policy(
            "p",
            json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}, "mapping": {"selector": selector, "rules": rules}}),
        ));
        let before = decide(&index.publish().unwrap(), "api", &pki.client);
        index.apply(unreadable());
        let with = decide(&index.publish().unwrap(), "api", &pki.client);
        let problems = lines(&index);
        let told = problems.iter().any(|line| line.starts_with("Error CertificatePolicy ns/p: spec.mapping.selector:"));
        match stopped {
            Some(granted) => assert_eq!((before, with, told), (granted, Err(Reason::PolicyInvalid), true), "{row}"),
            None => assert_eq!((with, told), (before, false), "{row}"),
        }
        index.delete(&unreadable().id());
        assert!(index.publish().is_some_and(|next| next.counts().invalid_policies == 0), "{row}");
    }
}

#[test]
fn conflicts_and_age() {
    let pki = pki();
    let p = |name: &str, created: Option<i64>, user: &str| Object::CertificatePolicy {
        meta: ObjectMeta { creation_timestamp: created.map(UnixTime::from_secs), ..meta(name, 0) },
        spec: serde_json::from_value(
            json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}, "mapping": {"rules": [
            {"name": "r", "action": "Allow", "where": [{"field": "DNS", "value": "*"}], "identity": {"user": user}}]}}),
        )
        .unwrap(),
    };
    type Row<'a> = (&'a str, [(Option<i64>, &'a str); 2], &'a str);
    let rows: [Row<'_>; 4] = [
        ("the older wins", [(Some(2), "a"), (Some(1), "b")], "b"),
        ("a known age wins", [(None, "a"), (Some(9), "b")], "b"),
        ("by name otherwise", [(None, "a"), (None, "b")], "a"),
        ("by name at the same age", [(Some(1), "a"), (Some(1), "b")], "a"),
    ];
    for (row, policies, winner) in rows {
        let mut index = Index::new();
        index.apply(profile(json!({"trustAnchors": [{"inline": pem(&pki.ca)}]})));
        for (created, name) in policies {
            index.apply(p(name, created, name));
        }
        assert_eq!(decide(&index.publish().unwrap(), "api", &pki.client), Ok(winner.to_owned()), "{row}");
        let loser = if winner == "a" { "b" } else { "a" };
        let want = format!(
            "Warning CertificatePolicy ns/{loser}: spec.match: Conflicted: every request that it names is decided by \
             ns/{winner}"
        );
        assert_eq!(lines(&index), [want], "{row}");
    }
}
