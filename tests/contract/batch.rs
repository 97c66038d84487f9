//! The form of batch cases: what is read, what is answered, and that a bad line harms nobody else.

use certgate_testing::der;
use certgate_testing::status;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate::commands::verify::batch::{self, CaseAnswer};
use certgate_x509::UnixTime;
use serde_json::{Value, json};

use der::{Draft, NOW, SigningKey, ext};
use status::*;

fn base64(der: &[u8]) -> Value {
    json!(STANDARD.encode(der))
}

/// A case of root, CA and leaf that is valid, without CRLs.
fn case() -> (Value, SigningKey, SigningKey) {
    let (root, ca) = (SigningKey::p256(), SigningKey::p256());
    let mut leaf = Draft::client("CN=client", "CN=CA", &SigningKey::ed25519());
    leaf.serial = vec![0x31];
    let case = json!({
        "id": "one",
        "title": "fields that are not known are left alone",
        "trust_anchors": [base64(&Draft::ca("CN=Root", "CN=Root", &root).der(&root))],
        "untrusted": [base64(&Draft::ca("CN=CA", "CN=Root", &ca).der(&root))],
        "leaf": base64(&leaf.der(&ca)),
        "crls": [],
        "time": NOW.as_secs(),
    });
    (case, root, ca)
}

fn answer(case: &Value) -> CaseAnswer {
    batch::answer(case.to_string().as_bytes(), UnixTime::from_secs(0))
}

fn code(case: &Value) -> &'static str {
    let answer = answer(case);
    assert_eq!(answer.ok, answer.reason == batch::OK, "{answer:?}");
    answer.reason
}

#[test]
fn a_valid_case_is_answered() {
    let (mut case, ..) = case();
    let found = answer(&case);
    assert_eq!((found.id, found.ok, found.reason), (json!("one"), true, "OK"));
    assert!(found.detail.contains("path of 3 certificates"), "{}", found.detail);
    for id in [json!(106), json!(null), json!({"a": [1]})] {
        case["id"] = id.clone();
        assert_eq!(answer(&case).id, id);
    }
    case["time"] = Value::Null;
    assert_eq!(code(&case), "CERT_NOT_YET_VALID", "the time of the run counts");
}

#[test]
fn a_line_that_cannot_be_read_says_so() {
    let good = case().0;
    type Edit = Box<dyn Fn(&mut Value)>;
    let edits: Vec<(&str, Edit)> = vec![
        ("no leaf", Box::new(|c| drop(c.as_object_mut().unwrap().remove("leaf")))),
        ("no anchors", Box::new(|c| drop(c.as_object_mut().unwrap().remove("trust_anchors")))),
        ("anchors no list", Box::new(|c| c["trust_anchors"] = json!("AA=="))),
        ("leaf no base64", Box::new(|c| c["leaf"] = json!("*"))),
        ("leaf empty", Box::new(|c| c["leaf"] = json!(""))),
        ("CRL no base64", Box::new(|c| c["crls"] = json!(["-"]))),
        ("time no number", Box::new(|c| c["time"] = json!("now"))),
        ("time beyond all years", Box::new(|c| c["time"] = json!(i64::MAX))),
        ("unknown usage", Box::new(|c| c["usage"] = json!("smime"))),
        ("unknown revocation", Box::new(|c| c["revocation"] = json!("maybe"))),
        ("policy no identifier", Box::new(|c| c["initial_policy_set"] = json!(["gold"]))),
        ("negative path length", Box::new(|c| c["max_path_length"] = json!(-1))),
        ("OCSP without issuer", Box::new(|c| c["response"] = json!("AA=="))),
    ];
    for (name, edit) in edits {
        let mut case = good.clone();
        edit(&mut case);
        let found = answer(&case);
        assert_eq!((found.reason, &found.id), (batch::CASE_MALFORMED, &good["id"]), "{name}: {}", found.detail);
    }
    for line in [&b"{"[..], b"", b"[]", b"null", b"\"x\"", b"{\"id\": \"a\"} {}", b"\xff", b"{\"id\": 1}"] {
        assert_eq!(batch::answer(line, NOW).reason, batch::CASE_MALFORMED, "{line:?}");
    }
}

#[test]
fn certificates_that_do_not_parse_are_no_malformed_case() {
    let (mut case, ..) = case();
    case["trust_anchors"].as_array_mut().unwrap().push(json!("AAAA"));
    case["untrusted"].as_array_mut().unwrap().push(json!("AAAA"));
    let found = answer(&case);
    assert!(found.ok && found.detail.contains("untrusted[1] is not used"), "{found:?}");
    case["leaf"] = json!("AAAA");
    assert_eq!(code(&case), "CERT_MALFORMED");
}

#[test]
fn switches() {
    let (good, root, ca) = case();
    let lists = |serial: u8| base64(&CrlDraft::new("CN=CA").lists(&[serial], None).der(&ca));
    let by_root = base64(&CrlDraft::new("CN=Root").der(&root));
    let small = {
        let mut leaf = Draft::client("CN=client", "CN=CA", &SigningKey::ed25519());
        leaf.remove(ext::EXTENDED_KEY_USAGE);
        base64(&leaf.der(&ca))
    };
    let rows: Vec<(&str, Value, &str)> = vec![
        ("revoked", json!({"crls": [lists(0x31), by_root]}), "CERT_REVOKED"),
        ("not revoked", json!({"crls": [lists(0x32), by_root]}), "OK"),
        ("CRLs for a part of the path", json!({"crls": [lists(0x32)]}), "REVOCATION_UNKNOWN"),
        ("revocation none", json!({"crls": [lists(0x31)], "revocation": "none"}), "OK"),
        ("revocation required", json!({"revocation": "required"}), "REVOCATION_UNKNOWN"),
        ("revocation auto", json!({"revocation": "auto"}), "OK"),
        ("CRLs that do not parse", json!({"crls": ["AAAA"]}), "REVOCATION_UNKNOWN"),
        ("CRLs older than asked", json!({"crls": [lists(0x32), by_root], "max_age": 3599}), "REVOCATION_STALE"),
        ("CRLs as old as asked", json!({"crls": [lists(0x32), by_root], "max_age": 3600}), "OK"),
        ("server", json!({"usage": "server"}), "EKU_NOT_PERMITTED"),
        ("any usage", json!({"usage": "any"}), "OK"),
        ("usage absent", json!({"leaf": small}), "OK"),
        ("usage absent and wanted", json!({"leaf": small, "require_listed_usage": true}), "EKU_NOT_PERMITTED"),
        ("usage listed and wanted", json!({"require_listed_usage": true}), "OK"),
        ("path length reached", json!({"max_path_length": 1}), "OK"),
        ("path length passed", json!({"max_path_length": 0}), "CERT_UNTRUSTED"),
        ("explicit policy", json!({"initial_explicit_policy": true}), "CERT_UNTRUSTED"),
        ("policies that are not wanted", json!({"initial_policy_set": ["1.2.3"]}), "OK"),
        ("any policy", json!({"initial_policy_set": ["1.2.3,anyPolicy"]}), "OK"),
        ("policies of PKITS", json!({"initial_policy_set": ["NIST-test-policy-1,NIST-test-policy-2"]}), "OK"),
        ("no anchors", json!({"trust_anchors": []}), "CERT_UNTRUSTED"),
        ("nulls count as absent", json!({"max_age": null, "max_path_length": null, "time": NOW.as_secs()}), "OK"),
    ];
    for (name, change, want) in rows {
        let mut case = good.clone();
        case.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let found = answer(&case);
        assert_eq!(found.reason, want, "{name}: {}", found.detail);
    }
}

/// The DER in a file of PEM, as cases have it.
fn body(pem: &str) -> Value {
    json!(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>())
}

#[test]
fn weak_cryptography_counts_where_the_case_says_so() {
    let [sha1_ca, sha1_client, rsa_ca, rsa_client] = [
        include_str!("../data/weak/sha1-ca.pem"),
        include_str!("../data/weak/sha1-client.pem"),
        include_str!("../data/weak/rsa1024-ca.pem"),
        include_str!("../data/weak/rsa1024-client.pem"),
    ]
    .map(body);
    let (good, ..) = case();
    let sha1 = json!({"trust_anchors": [sha1_ca], "untrusted": [], "leaf": sha1_client});
    let short = json!({"trust_anchors": [rsa_ca], "untrusted": [], "leaf": rsa_client});
    for (name, paths, change, ok) in [
        ("SHA-1", &sha1, json!({}), false),
        ("SHA-1 allowed", &sha1, json!({"allow_sha1": true}), true),
        ("SHA-1, short keys allowed", &sha1, json!({"minimum_rsa_bits": 1024}), false),
        ("RSA-1024", &short, json!({}), false),
        ("RSA-1024 allowed", &short, json!({"minimum_rsa_bits": 1024}), true),
        ("RSA-1024, SHA-1 allowed", &short, json!({"allow_sha1": true}), false),
    ] {
        let mut case = good.clone();
        case.as_object_mut().unwrap().extend(paths.as_object().unwrap().clone());
        case.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let found = answer(&case);
        assert_eq!(found.ok, ok, "{name}: {} {}", found.reason, found.detail);
    }
    // The leaf's signature comes before what is said about it.
    let key = SigningKey::p256();
    let other = Draft::ca("CN=CA", "CN=CA", &key).sign(&key);
    let response = ResponseDraft::new(by_name(&other), vec![Single::good(&other, &other)]).der(&key);
    for (issuer, leaf) in [(&rsa_ca, &rsa_client), (&sha1_ca, &sha1_client)] {
        let case =
            json!({"id": 1, "response": base64(&response), "issuer": issuer, "leaf": leaf, "time": NOW.as_secs()});
        assert_eq!(code(&case), "SIGNATURE_INVALID");
        let mut case = case;
        case["allow_legacy"] = json!(true);
        assert_eq!(code(&case), "REVOCATION_UNKNOWN");
    }
}

#[test]
fn ocsp_cases() {
    let (root, key) = (SigningKey::p256(), SigningKey::p256());
    let ca = Draft::ca("CN=CA", "CN=Root", &key).sign(&root);
    let leaf = Draft::client("CN=client", "CN=CA", &SigningKey::ed25519()).sign(&key);
    let draft = ResponseDraft::new(by_name(&ca), vec![Single::good(&leaf, &ca)]);
    let bad =
        ResponseDraft { singles: vec![Single { status: revoked(None), ..draft.singles[0].clone() }], ..draft.clone() };
    let good = json!({"id": 1, "response": base64(&draft.der(&key)), "issuer": base64(ca.der())});
    let rows: Vec<(&str, Value, &str)> = vec![
        ("no leaf", json!({}), "OK"),
        ("no leaf, years later", json!({"time": NOW.as_secs() + 900 * DAY}), "OK"),
        ("leaf", json!({"leaf": base64(leaf.der()), "time": NOW.as_secs()}), "OK"),
        ("leaf, later", json!({"leaf": base64(leaf.der()), "time": NOW.as_secs() + 2 * DAY}), "REVOCATION_STALE"),
        ("leaf of another", json!({"leaf": base64(ca.der()), "time": NOW.as_secs()}), "REVOCATION_UNKNOWN"),
        (
            "revoked",
            json!({"leaf": base64(leaf.der()), "time": NOW.as_secs(), "response": base64(&bad.der(&key))}),
            "CERT_REVOKED",
        ),
        (
            "forged",
            json!({"response": base64(&ResponseDraft { forged: true, ..draft.clone() }.der(&key))}),
            "REVOCATION_UNKNOWN",
        ),
        ("no response", json!({"response": "AAAA"}), "REVOCATION_UNKNOWN"),
        ("no issuer", json!({"issuer": "AAAA"}), "CERT_MALFORMED"),
        ("response no base64", json!({"response": "*"}), "CASE_MALFORMED"),
    ];
    for (name, change, want) in rows {
        let mut case = good.clone();
        case.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let found = answer(&case);
        assert_eq!(found.reason, want, "{name}: {}", found.detail);
    }
}
