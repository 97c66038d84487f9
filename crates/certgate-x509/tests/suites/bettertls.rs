//! Netflix's BetterTLS suites, which `scripts/bettertls` makes anew: thousands of name constraints, and path building
//! among branches of which some are invalid.
//!
//! The suites judge servers by host name, which is not a path engine's affair. A case of the name constraints that is
//! to be refused therefore counts only when the host name stands in the certificate, so that nothing but a constraint
//! can refuse it. Every case that is to be accepted counts.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate_x509::{UnixTime, batch};
use serde_json::{Value, json};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Whether `host` is a subject alternative name of the certificate.
fn names(der: &[u8], host: &str) -> bool {
    let (_, certificate) = X509Certificate::from_der(der).unwrap();
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return false };
    let address = host.parse::<IpAddr>().ok().map(|address| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    });
    alternatives.value.general_names.iter().any(|name| match (name, &address) {
        (GeneralName::IPAddress(octets), Some(address)) => octets == address,
        (GeneralName::DNSName(dns), None) => *dns == host,
        _ => false,
    })
}

#[test]
#[ignore = "scripts/bettertls makes the cases and runs this"]
fn every_case_that_a_path_engine_can_decide_is_decided_right() {
    let file = std::env::var("CERTGATE_BETTERTLS").expect("CERTGATE_BETTERTLS names the exported suites");
    let exported: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut slowest = 0;
    for (suite, cases) in exported["suites"].as_object().unwrap() {
        for case in cases["testCases"].as_array().unwrap() {
            let chain = case["certificates"].as_array().unwrap();
            let leaf = STANDARD.decode(chain[0].as_str().unwrap()).unwrap();
            let accept = case["expected"] == "ACCEPT";
            let decidable = accept || names(&leaf, case["hostname"].as_str().unwrap());
            let line = json!({
                "id": format!("{suite} {}", case["id"]),
                "trust_anchors": [exported["trustRoot"]],
                "untrusted": chain[1..],
                "leaf": chain[0],
                "crls": [],
                "time": now,
                "usage": "server",
            });
            let began = Instant::now();
            let answer = batch::answer(line.to_string().as_bytes(), UnixTime::from_secs(0));
            slowest = slowest.max(began.elapsed().as_micros());
            *counts.entry((suite.as_str(), accept, decidable)).or_insert(0_u32) += 1;
            if decidable && answer.outcome.is_ok() != accept {
                wrong.push(format!("{suite} {}: expected {}, got {answer:?}", case["id"], case["expected"]));
            }
        }
    }
    for ((suite, accept, decidable), count) in &counts {
        println!("{suite}: {count} to {}, decidable: {decidable}", if *accept { "accept" } else { "refuse" });
    }
    println!("slowest: {slowest} us");
    assert!(counts.values().sum::<u32>() > 9_000, "the suites are there");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
