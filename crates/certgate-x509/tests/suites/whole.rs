//! Third-party suites whole, revocation included, through the code of `certgate verify --batch`.
//!
//! Divergences are listed with their reasons; a listed one that no longer occurs fails.

use certgate_testing::suites;

use certgate_x509::{UnixTime, batch, batch::Failure};
use serde_json::{Value, json};

/// Nothing depends on it: every case has its own time, or takes the response's.
const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

/// Runs a suite; `adapt` sets the switches that its README names.
pub fn run(file: &str, count: usize, adapt: impl Fn(&mut Value), divergences: &[(&str, &str)]) {
    let cases = suites::cases(file);
    assert_eq!(cases.len(), count, "{file} is not the suite that the figures are about");
    let mut problems = Vec::new();
    let mut right = 0;
    let mut names = Vec::new();
    for (index, mut case) in cases.into_iter().enumerate() {
        let expected = case["expected"].as_bool().unwrap();
        let id = case["id"].clone();
        let name = id.as_str().map_or_else(|| format!("case {index}"), str::to_owned);
        adapt(&mut case);
        let answer = batch::answer(case.to_string().as_bytes(), NOW);
        assert_eq!(answer.id, id);
        assert!(!matches!(answer.outcome, Err(Failure::Malformed(_))), "{name}: {answer:?}");
        let known = divergences.iter().find(|(part, _)| name.contains(part)).map(|(_, reason)| *reason);
        names.push(name.clone());
        match (answer.outcome.is_ok() == expected, known) {
            (true, None) => right += 1,
            (false, Some(_)) => {}
            (true, Some(reason)) => problems.push(format!("{name}: listed ({reason}), and there is no divergence")),
            (false, None) => problems.push(format!("{name}: expected {expected}, found {answer:?}")),
        }
    }
    for (part, _) in divergences.iter().filter(|(part, _)| !names.iter().any(|name| name.contains(part))) {
        problems.push(format!("{part} is listed and is no case"));
    }
    println!("{file}: {right} of {count}");
    assert!(problems.is_empty(), "{} of {count}:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn pkits_with_revocation() {
    let dsa = "DSA is not supported";
    let divergences = [("pkits::4.1.4::", dsa), ("pkits::4.1.5::", dsa)];
    run("pkits.jsonl", 249, |_| {}, &divergences);
}

#[test]
fn certificate_revocation_lists() {
    // RSA-1024 keys, as the README says.
    run("crl.jsonl", 66, |case| case["minimum_rsa_bits"] = json!(1024), &[]);
}

#[test]
fn ocsp_responses() {
    // SHA-1 signatures and a fixed time, as the README says.
    run(
        "ocsp.jsonl",
        49,
        |case| {
            case["allow_legacy"] = json!(true);
            case["time"] = json!(1_355_875_200);
        },
        &[],
    );
}

#[test]
fn ocsp_responses_at_the_time_that_they_were_made() {
    run("ocsp.jsonl", 49, |case| case["allow_legacy"] = json!(true), &[]);
}
