//! Every mistake has its field and its message, and all of them come at once.

mod mistakes;

use serde_json::{Value, json};

use super::*;
use crate::domain::api::{Kind, ObjectMeta};
use certgate_testing::template::{Key, Template, pem};

fn meta() -> ObjectMeta {
    ObjectMeta { name: "it".into(), namespace: "payments".into(), ..ObjectMeta::default() }
}

fn report(kind: Kind, meta: &ObjectMeta, spec: &Value) -> Report {
    fn read<T: serde::de::DeserializeOwned>(spec: &Value) -> T {
        serde_json::from_value(spec.clone()).unwrap_or_else(|error| panic!("{error}: {spec}"))
    }
    match kind {
        Kind::TrustProfile => trust_profile(meta, &read(spec)).1,
        Kind::CertificatePolicy => certificate_policy(meta, &read(spec)).report,
        _ => Report { errors: certificate_mapping(meta, &read(spec)).errors, warnings: vec![] },
    }
}

fn merged(mut base: Value, patch: &Value) -> Value {
    for (key, value) in patch.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

fn policy(patch: Value) -> Value {
    merged(json!({"trustRef": {"name": "partners"}}), &patch)
}

fn rule(patch: Value) -> Value {
    let rule = json!({"name": "r", "action": "Allow", "where": [{"field": "Subject", "attribute": "O", "value": "A"}], "identity": {"user": "u"}});
    policy(json!({"mapping": {"rules": [merged(rule, &patch)]}}))
}

fn part(patch: Value) -> Value {
    rule(json!({"where": [merged(json!({"field": "Subject", "attribute": "O", "value": "A"}), &patch)]}))
}

fn matched(patch: Value) -> Value {
    policy(json!({"match": [{"hosts": ["a.example"]}, merged(json!({"hosts": ["b.example"]}), &patch)]}))
}

fn identity(patch: Value) -> Value {
    json!({"certificate": {"dns": "a.example"}, "identity": merged(json!({"user": "u"}), &patch)})
}

fn named(certificate: Value) -> Value {
    json!({"certificate": certificate, "identity": {"user": "u"}})
}

fn wants(requirements: Value) -> Value {
    json!({"requirements": requirements})
}

fn weak_rsa(patch: Value) -> Value {
    wants(merged(json!({"weakCryptography": ["AcceptRsaBelow2048"]}), &patch))
}

fn policies(policies: Value) -> Value {
    wants(json!({"certificatePolicies": policies}))
}

fn offline(patch: Value) -> Value {
    json!({"revocation": merged(json!({"mode": "Offline"}), &patch)})
}

#[test]
fn odd_but_legal_specs_compile() {
    use Kind::{CertificateMapping as M, CertificatePolicy as P, TrustProfile as T};
    let rows: Vec<(Kind, Value)> = vec![
        (P, policy(json!({}))),
        (P, policy(json!({"match": []}))),
        (P, policy(json!({"match": [{}]}))),
        (
            P,
            policy(
                json!({"match": [{"hosts": ["*", "A.Example."], "paths": [{"prefix": "/"}], "methods": ["M-SEARCH"]}]}),
            ),
        ),
        (P, policy(json!({"mapping": {"selector": {}}}))),
        (P, policy(json!({"evidence": [{"peerCertificate": {}}, {"peerCertificate": {"chainFrom": "Xfcc"}}]}))),
        (P, policy(json!({"response": {"headers": {"user": "X-User", "extra": {"a": "x-a", "b": "x-b"}}}}))),
        (T, json!({"trustAnchors": [{"clusterTrustBundle": {"name": "acme.example:mtls:v1"}}]})),
        (T, json!({"mode": "Peer"})),
        (M, named(json!({"issuerSerial": {"issuer": "CN=a", "serialNumber": "abc"}}))),
        (M, named(json!({"userPrincipalName": "bob"}))),
        (M, identity(json!({"user": "M\u{fc}ller und S\u{f6}hne"}))),
    ];
    for (kind, spec) in rows {
        assert_eq!(report(kind, &meta(), &spec).errors, [], "{spec}");
    }
}

#[test]
fn a_star_in_a_path_is_doubted() {
    let spec = matched(json!({"paths": [{"prefix": "/v1/*"}, {"exact": "/*/a"}, {"prefix": "/v1"}]}));
    let report = report(Kind::CertificatePolicy, &meta(), &spec);
    assert_eq!(report.errors, []);
    let paths: Vec<&str> = report.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(paths, ["spec.match[1].paths[0].prefix", "spec.match[1].paths[1].exact"]);
    assert!(report.warnings[0].message.contains("`*` is no wildcard"), "{report:?}");
}

#[test]
fn warnings_name_what_was_probably_not_meant() {
    let rows: Vec<(Value, &[&str])> = vec![
        (json!({}), &["spec.trustAnchors"]),
        (json!({"mode": "Peer", "trustAnchors": [{"file": "a"}]}), &["spec.trustAnchors", "spec.trustedPeers"]),
        (json!({"trustAnchors": [{"file": "a"}], "trustedPeers": [{"file": "b"}]}), &["spec.trustedPeers"]),
        (json!({"mode": "PeerOrChain", "trustAnchors": [{"file": "a"}], "trustedPeers": [{"file": "b"}]}), &[]),
        (
            json!({"mode": "Peer", "trustedPeers": [{"file": "b"}], "issuingAuthorities": [{"sha256": "00".repeat(32)}]}),
            &["spec.issuingAuthorities"],
        ),
    ];
    for (spec, want) in rows {
        let report = report(Kind::TrustProfile, &meta(), &spec);
        assert_eq!(report.errors, [], "{spec}");
        assert_eq!(report.warnings.iter().map(|warning| warning.path.as_str()).collect::<Vec<_>>(), want, "{spec}");
    }
}

#[test]
fn what_can_be_read_of_a_broken_policy_is_kept() {
    use crate::domain::decide::selection::path::PathPattern;
    let compile = |spec: Value| certificate_policy(&meta(), &serde_json::from_value(spec).unwrap());
    let routes = |spec: Value| -> Vec<String> {
        compile(spec).routes.iter().map(|route| format!("{} {} {:?}", route.host, route.path, route.methods)).collect()
    };
    let whole = PathPattern::Unreadable.to_string();
    assert_eq!(
        routes(matched(json!({"hosts": ["https://b.example:8443", "c.example"], "methods": ["GET"]}))),
        [
            "a.example any path []",
            "c.example any path [\"GET\"]",
            "b.example, recognised in an unreadable text any path [\"GET\"]"
        ]
    );
    assert_eq!(
        routes(matched(json!({"hosts": ["b.example/v1"], "paths": [{"exact": "/a"}], "methods": ["GET"]}))),
        ["a.example any path []".to_owned(), format!("b.example, recognised in an unreadable text {whole} []")],
        "which paths are meant cannot be told"
    );
    assert_eq!(
        routes(policy(json!({"match": [{"hosts": ["*b.example"], "paths": [{"exact": "/a"}]}]}))),
        ["all like *b.example, recognised in an unreadable text path /a []"]
    );
    let every = "every host, because none can be recognised in an unreadable text";
    assert_eq!(routes(policy(json!({"match": [{"hosts": ["{}"]}]}))), [format!("{every} any path []")]);
    let many: Vec<String> = (0..65).map(|n| format!("*h{n}.example")).collect();
    assert_eq!(routes(policy(json!({"match": [{"hosts": many}]}))), [format!("{every} {whole} []")]);
    for (unread, want) in [
        ("spec", 1),
        ("spec.match", 1),
        ("spec.match[2]", 1),
        ("spec.match[2].hosts", 0),
        ("spec.matches", 0),
        ("spec.mode", 0),
    ] {
        let unread = vec![FieldError::new(unread, "another type")];
        let spec = serde_json::from_value(policy(json!({}))).unwrap();
        let compiled = certificate_policy(&ObjectMeta { unread, ..meta() }, &spec);
        assert_eq!(compiled.routes.len(), want, "{:?}", compiled.report);
    }
    assert_eq!(
        routes(matched(json!({"paths": [{"exact": "/a"}, {"exact": "a"}], "methods": ["GET"]}))),
        ["a.example any path []".to_owned(), format!("b.example {whole} []")]
    );
    assert_eq!(
        routes(matched(json!({"paths": [{"exact": "/a"}], "methods": ["get"]}))),
        ["a.example any path []".to_owned(), format!("b.example {whole} []")]
    );
    let hosts: Vec<String> = (0..100).map(|n| format!("h{n}.example")).collect();
    let paths: Vec<Value> = (0..100).map(|n| json!({"exact": format!("/{n}")})).collect();
    let too_many = compile(policy(json!({"match": [{"hosts": hosts, "paths": paths}]})));
    assert_eq!(too_many.routes.len(), 100);
    assert!(too_many.body.is_none() && too_many.routes.iter().all(|route| route.path == PathPattern::Unreadable));

    let headers = compile(policy(json!({"response": {"headers": {"user": "X-User", "groups": "te", "uid": "x-uid"}}})));
    let headers: Vec<&str> = headers.identity_headers.iter().map(|header| &**header).collect();
    assert_eq!(headers, ["x-user", "x-certgate-groups", "x-uid"]);
}

#[test]
fn identity_headers_cannot_shape_the_request() {
    for name in [
        "X-Original-URL",
        "x-rewrite-url",
        "x-http-method-override",
        "x-method-override",
        "x-real-ip",
        "x-forwarded-port",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "ssl-client-cert",
        "ssl-client-verify",
        "ssl-client-subject-dn",
        "x-forwarded-tls-client-cert",
        "x-forwarded-tls-client-cert-info",
        "X-Amzn-Mtls-Clientcert",
        "x-amzn-mtls-clientcert-leaf",
        "x-amzn-mtls-clientcert-subject",
        "client-cert",
        "client-cert-chain",
    ] {
        for (field, headers) in [("user", json!({"user": name})), ("extra.tier", json!({"extra": {"tier": name}}))] {
            let spec = policy(json!({"response": {"headers": headers}}));
            let found = report(Kind::CertificatePolicy, &meta(), &spec).errors;
            let [error] = found.as_slice() else { panic!("{name}: {found:?}") };
            assert_eq!(error.path, format!("spec.response.headers.{field}"), "{name}");
            assert!(error.message.contains("reserved"), "{name}: {}", error.message);
        }
    }
    let usual = json!({"user": "x-forwarded-user", "groups": "x-remote-groups", "uid": "x-client-id"});
    let spec = policy(json!({"response": {"headers": usual}}));
    assert_eq!(report(Kind::CertificatePolicy, &meta(), &spec).errors, []);
}
