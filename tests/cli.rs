//! The program as a user meets it: exit codes, and which stream gets what.

use std::fs;
use std::process::{Command, Output};

fn certgate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_certgate")).args(args).env_remove("CERTGATE_POLICIES").output().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    for args in [
        &[][..],
        &["sreve"],
        &["serve"],
        &["serve", "--policies", "x", "--threads", "0"],
        &["serve", "--policies", "x", "--listen", "nowhere"],
        &["serve", "--policies", "x", "--drain-delay", "soon"],
        &["explain", "--host", "a"],
        &["explain", "--policies", "x", "--header", "no-colon"],
        &["explain", "--policies", "x", "--certificate", "/does/not/exist"],
        &["explain", "--server", "https://a", "--host", "a"],
    ] {
        let output = certgate(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert!(out(&output).is_empty() && !err(&output).is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_results() {
    for args in [&["--help"][..], &["--version"], &["serve", "--help"], &["explain", "-h"]] {
        let output = certgate(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(err(&output).is_empty() && !out(&output).is_empty(), "{args:?}");
    }
}

#[test]
fn reasons_prints_the_table() {
    let output = certgate(&["reasons"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(out(&output).contains("| `CERT_EXPIRED` | 403.17 | 403 |"));
}

#[test]
fn explain_denies_with_code_1_in_both_forms() {
    let directory = tempfile::tempdir().unwrap();
    let policies = directory.path().to_str().unwrap();
    let question = ["explain", "--policies", policies, "--host", "api.example.com", "--path", "/v1"];
    let output = certgate(&question);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(out(&output).contains("DENY  NO_POLICY"), "{}", out(&output));
    let output = certgate(&[&question[..], &["--output", "json", "--at", "2026-01-31T12:00:00Z"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(json["decision"]["reason"]["code"], "NO_POLICY");
    assert_eq!(json["at"], "2026-01-31T12:00:00Z");
}

#[test]
fn flags_can_come_from_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_certgate"))
        .args(["explain", "--host", "a"])
        .env("CERTGATE_POLICIES", directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(out(&output).contains("NO_POLICY"));
}

#[test]
fn serve_lists_what_it_cannot_read_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), "a: [\n").unwrap();
    fs::write(directory.path().join("b.yaml"), "kind: CertificatePolicy\napiVersion: certgate.dev/v1alpha1\nx: 1\n")
        .unwrap();
    let policies = directory.path().to_str().unwrap();
    let output =
        certgate(&["serve", "--policies", policies, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("a.yaml:") && err(&output).contains("b.yaml:"), "{}", err(&output));
}

#[test]
fn a_server_that_is_not_there_is_a_failure() {
    let output = certgate(&["explain", "--server", "http://127.0.0.1:1", "--host", "a"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("127.0.0.1:1"), "{}", err(&output));
}

#[test]
fn check_reports_on_standard_output() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let output = certgate(&["check", path]);
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""), "{}", out(&output));
    fs::write(directory.path().join("a.yaml"), "a: [\n").unwrap();
    let output = certgate(&["check", path]);
    assert_eq!((output.status.code(), err(&output)), (Some(1), ""));
    assert!(out(&output).contains("a.yaml:"), "{}", out(&output));
    let output = certgate(&["check", path, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(json["valid"], false);
}
