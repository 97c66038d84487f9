//! Third-party suites against the path engine.
//!
//! Divergences are listed with their reasons, and a listed divergence that no longer occurs fails the test.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

use certgate_testing::suites;
use certgate_x509::{
    Certificate, LeafRule, NoTrace, Oid, PathParameters, PolicyParameters, Pool, UnixTime, UsageRule, find_path,
};

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

fn certificates(case: &Value, field: &str) -> Result<Vec<Arc<Certificate>>, String> {
    let list = case[field].as_array().unwrap();
    list.iter().map(certificate).collect()
}

fn certificate(value: &Value) -> Result<Arc<Certificate>, String> {
    let der = STANDARD.decode(value.as_str().unwrap()).unwrap();
    Certificate::from_der(der).map(Arc::new).map_err(|err| err.to_string())
}

/// `NIST-test-policy-N` is 2.16.840.1.101.3.2.1.48.N; an entry may hold several, joined by commas.
fn policies(case: &Value) -> Vec<Oid> {
    let entries = case["initial_policy_set"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap());
    entries
        .flat_map(|entry| entry.split(','))
        .map(|name| format!("2.16.840.1.101.3.2.1.48.{}", name.strip_prefix("NIST-test-policy-").unwrap()))
        .map(|dotted| dotted.parse().unwrap())
        .collect()
}

/// The path part of one case: everything but revocation.
fn validate(case: &Value) -> Result<(), String> {
    let flag = |name: &str| case[name].as_bool().unwrap();
    let leaf = certificate(&case["leaf"])?;
    let untrusted = certificates(case, "untrusted")?;
    let pool = Pool::new(certificates(case, "trust_anchors")?, []);
    let parameters = PathParameters {
        usage: UsageRule::Unchecked,
        leaf: LeafRule::AnyCertificate,
        policies: PolicyParameters {
            initial_policy_set: policies(case),
            initial_explicit_policy: flag("initial_explicit_policy"),
            initial_policy_mapping_inhibit: flag("initial_policy_mapping_inhibit"),
            initial_inhibit_any_policy: flag("initial_inhibit_any_policy"),
        },
        ..PathParameters::default()
    };
    let now = UnixTime::from_secs(case["time"].as_i64().unwrap());
    let found = find_path(&leaf, &untrusted, &pool, &parameters, now, &mut NoTrace, |_, _| Ok(()));
    found.map(|_| ()).map_err(|failure| failure.explain())
}

/// Cases of PKITS that end otherwise than it says, and why.
fn known_divergences() -> BTreeMap<&'static str, &'static str> {
    let dsa = ["4.1.4", "4.1.5"].map(|number| (number, "DSA is not supported"));
    dsa.into_iter().chain(REVOKED_ONLY.map(|number| (number, "its only fault is one of revocation"))).collect()
}

/// Invalid cases whose certificates form a path that is valid but for revocation.
#[rustfmt::skip]
const REVOKED_ONLY: [&str; 45] = [
    "4.4.1", "4.4.2", "4.4.3", "4.4.4", "4.4.5", "4.4.6", "4.4.8", "4.4.9", "4.4.10", "4.4.11", "4.4.12", "4.4.18",
    "4.4.20", "4.4.21", "4.5.2", "4.5.5", "4.5.7", "4.7.4", "4.7.5", "4.14.2", "4.14.3", "4.14.6", "4.14.8", "4.14.9",
    "4.14.11", "4.14.12", "4.14.14", "4.14.15", "4.14.16", "4.14.17", "4.14.20", "4.14.21", "4.14.23", "4.14.26",
    "4.14.27", "4.14.31", "4.14.32", "4.14.34", "4.14.35", "4.15.1", "4.15.3", "4.15.4", "4.15.6", "4.15.9", "4.15.10",
];

#[test]
fn pkits_path_validation() {
    let cases = suites::cases("pkits.jsonl");
    let known = known_divergences();
    let mut problems = Vec::new();
    let mut right = 0;
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let number = id.split("::").nth(1).unwrap();
        let expected = case["expected"].as_bool().unwrap();
        let outcome = validate(case);
        match (outcome.is_ok() == expected, known.get(number)) {
            (true, None) => right += 1,
            (false, Some(_)) => {}
            (true, Some(reason)) => problems.push(format!("{id}: listed ({reason}), and there is no divergence")),
            (false, None) => problems.push(format!("{id}: expected {expected}, found {outcome:?}")),
        }
    }
    println!("PKITS without revocation: {right} of {}", cases.len());
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), cases.len(), problems.join("\n"));
}
