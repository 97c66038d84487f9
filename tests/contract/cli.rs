//! The program as a user meets it: exit codes, and which stream gets what.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

mod serving;

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
        &["serve", "--policies", "x", "--log", "warning"],
        &["serve", "--policies", "x", "--log", "info,certgate=loud"],
        &["serve", "--policies", "x", "--log", "bogus="],
        &["serve", "--policies", "x", "--log", ","],
        &["serve", "--policies", "x", "--tls-cert", "a"],
        &["serve", "--policies", "x", "--tls-key", "a"],
        &["serve", "--policies", "x", "--tls-client-ca", "a"],
        &["serve", "--policies", "x", "--tls-cert", "a", "--tls-key", "a", "--tls-allowed-caller", "a.example"],
        &["serve", "--policies", "x", "--tls-cert", "a", "--tls-key", "a", "--tls-allowed-callers-file", "a"],
        &[
            "serve",
            "--policies",
            "x",
            "--tls-cert",
            "a",
            "--tls-key",
            "a",
            "--tls-client-ca",
            "a",
            "--tls-allowed-caller",
            "urn:*",
        ],
        &["serve", "--policies", "x", "--policy-selector", "a=1"],
        &["serve", "--kubernetes", "--policy-selector", "a"],
        &["serve", "--kubernetes", "--policy-selector", "a b=1"],
        &["serve", "--kubernetes", "--policy-selector", "a=1", "--policy-selector", "a=2"],
        &["serve", "--policies", "x", "--admission-listen", "127.0.0.1:0"],
        &["serve", "--kubernetes", "--admission-listen", "127.0.0.1:0"],
        &["serve", "--kubernetes", "--admission-listen", "127.0.0.1:0", "--admission-secret", "a/b"],
        &["serve", "--kubernetes", "--admission-listen", "127.0.0.1:0", "--admission-certificate", "a"],
        &["explain", "--host", "a"],
        &["explain", "--policies", "x", "--header", "no-colon"],
        &["explain", "--policies", "x", "--certificate", "/does/not/exist"],
        &["explain", "--server", "https://a", "--host", "a"],
        &["explain", "--server", "http://a", "--policies", "x", "--host", "a"],
        &["explain", "--policies", "/does/not/exist", "--host", "a"],
        &["explain", "--kubernetes", "--policies", "x", "--host", "a"],
        &["explain", "--policies", "x", "--namespace", "a"],
        &["explain", "--policies", "."],
        &["explain", "--policies", ".", "--path", "/v1"],
        &["explain", "--policies", "x", "a.pem", "--certificate", "b.pem"],
        &["check"],
        &["check", "/does/not/exist"],
        &["check", ".", "/does/not/exist"],
        &["check", "--kubernetes", "."],
        &["check", ".", "--namespace", "a"],
        &["check", ".", "--sources", "some"],
        &["inspect"],
        &["inspect", "/does/not/exist"],
        &["health", "--server", "https://a"],
        &["health", "--server", "http://a/readyz"],
        &["health", "--grpc", "a:9090"],
        &["health", "--wait", "long"],
    ] {
        let output = certgate(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert!(out(&output).is_empty() && !err(&output).is_empty(), "{args:?}");
    }
}

#[test]
fn both_places_of_policies_are_named_where_none_is_given() {
    for (args, other) in [
        (&["serve"][..], "--kubernetes"),
        (&["explain", "--host", "a"], "--server <URL>"),
        (&["explain", "--host", "a"], "--kubernetes"),
    ] {
        let output = certgate(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(err(&output).contains("--policies <DIR>") && err(&output).contains(other), "{}", err(&output));
    }
}

#[test]
fn what_is_wrong_with_a_command_line_is_named() {
    for (args, words) in [
        (&["serve", "--policies", "x", "--log", "info,bogus="][..], "\"bogus=\" is not a level"),
        (&["explain", "--policies", "."], "--host is needed"),
        (&["explain", "--policies", ".", "--path", "/v1"], "--host is needed"),
    ] {
        let output = certgate(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(err(&output).contains(words), "{args:?}: {}", err(&output));
    }
    let directory = tempfile::tempdir().unwrap();
    let output = certgate(&["explain", "--policies", directory.path().to_str().unwrap(), "--policy", "a/b"]);
    assert!(out(&output).contains("NO_POLICY"), "a TCP connection by the route's policy: {}", err(&output));
}

#[test]
fn exit_codes_are_in_the_help() {
    for args in [["check", "--help"], ["check", "-h"], ["verify", "--help"], ["explain", "--help"]] {
        let output = certgate(&args);
        let help = out(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        let codes = ["Exit code 0: ", " 1: ", " 2: "];
        assert!(codes.iter().all(|code| help.contains(code)), "{args:?}: {help}");
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
    assert!(out(&output).contains("| `CERT_EXPIRED` | 403 | 403.17 |"));
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
fn serve_names_the_tls_file_that_it_cannot_use_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(path("tls.crt"), certificate.pem()).unwrap();
    fs::write(path("tls.key"), key.serialize_pem()).unwrap();
    fs::write(path("other.key"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    fs::write(path("empty"), "").unwrap();
    for (certificate, key, authorities, callers, want) in [
        ("absent.crt", "tls.key", "tls.crt", "empty", "absent.crt: No such file"),
        ("tls.crt", "absent.key", "tls.crt", "empty", "absent.key: No such file"),
        ("tls.crt", "other.key", "tls.crt", "empty", "the private key does not belong to the certificate"),
        ("tls.crt", "tls.key", "empty", "tls.crt", "tls.crt: line 1: "),
        ("tls.crt", "tls.key", "tls.crt", "empty", "empty: the file lists no allowed caller"),
        ("tls.crt", "tls.key", "tls.key", "absent.list", "absent.list: No such file"),
    ] {
        let files = [path(certificate), path(key), path(authorities), path(callers)];
        let [certificate, key, authorities, callers] = files.each_ref().map(String::as_str);
        let output = certgate(
            &[
                &["serve", "--policies", directory.path().to_str().unwrap(), "--listen", "127.0.0.1:0"][..],
                &["--admin-listen", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key],
                &["--tls-client-ca", authorities, "--tls-allowed-callers-file", callers],
            ]
            .concat(),
        );
        assert_eq!(output.status.code(), Some(1), "{want}: {}", err(&output));
        assert!(err(&output).contains(want), "{want}: {}", err(&output));
    }
}

/// Nobody has an address of the documentation's, so that the program ends before it serves anyone.
#[test]
fn serve_warns_of_plaintext_beyond_loopback() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
    let made = rcgen::generate_simple_self_signed(["certgate.example".to_owned()]).unwrap();
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let serve = |rest: &[&str]| {
        let policies = directory.path().to_str().unwrap();
        let both = ["serve", "--policies", policies, "--admin-listen", "127.0.0.1:0", "--listen", "192.0.2.1:9090"];
        let output = certgate(&[&both, rest].concat());
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        assert!(err(&output).contains("cannot listen on 192.0.2.1:9090"), "{}", err(&output));
        err(&output).to_owned()
    };
    assert!(serve(&[]).contains("\"WARN\"") && serve(&[]).contains("in plaintext"), "{}", serve(&[]));
    let over_tls = serve(&["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()]);
    assert!(!over_tls.contains("plaintext"), "{over_tls}");
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
    assert_eq!(output.status.code(), Some(2), "1 would say that the request is denied");
    assert!(err(&output).contains("127.0.0.1:1"), "{}", err(&output));
}

#[test]
fn check_reports_on_standard_output() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let output = certgate(&["check", path]);
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""), "{}", out(&output));
    assert!(out(&output).contains("every request is denied with NO_POLICY"), "{}", out(&output));
    fs::write(directory.path().join("a.yaml"), "a: [\n").unwrap();
    let output = certgate(&["check", path]);
    assert_eq!((output.status.code(), err(&output)), (Some(1), ""));
    assert!(out(&output).contains("a.yaml:"), "{}", out(&output));
    let output = certgate(&["check", path, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(json["valid"], false);
}

/// Standard input is a file among the others.
#[test]
fn check_reads_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let policy = "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: p}\nspec: {match: [{hosts: \
                  [a.example]}], trustRef: {name: t}}\n";
    let profile = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\nspec:\n  trustAnchors: \
                   [{configMap: {name: roots}}]\n";
    fs::write(directory.path().join("policy.yaml"), policy).unwrap();
    let check = |args: &[&str], input: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_certgate"))
            .arg("check")
            .args(args)
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = check(&["policy.yaml", "-"], profile);
    assert_eq!((output.status.code(), err(&output)), (Some(1), ""));
    let want = "standard input:5:19: TrustProfile default/t: spec.trustAnchors[0].configMap: ConfigMap default/roots does not \
                exist\n";
    assert!(out(&output).contains(want), "{}", out(&output));
    let output = check(&["policy.yaml", "-", "--sources=skip"], profile);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    assert!(out(&output).contains("ok: 2 objects in 2 files"), "{}", out(&output));
    let output = check(&["-", "policy.yaml", "-"], policy);
    let twins = out(&output);
    assert!(twins.contains("standard input") && twins.contains("policy.yaml"), "{twins}");
    assert!(!twins.contains("/proc/self"), "{twins}");
    let output = check(&["-"], "kind: [\n");
    assert!(out(&output).starts_with("standard input:"), "{}", out(&output));
    let output = check(&["-"], "");
    let want = "certgate: there is nothing to check: standard input is empty\n";
    assert_eq!((output.status.code(), err(&output)), (Some(2), want), "what prints policies may have failed");
    fs::write(directory.path().join("empty.yaml"), " \n").unwrap();
    let output = check(&["empty.yaml"], "");
    let want = "certgate: there is nothing to check: empty.yaml is empty\n";
    assert_eq!((output.status.code(), err(&output)), (Some(2), want), "a file is judged like standard input");
    assert_eq!(check(&["empty.yaml", "-"], "").status.code(), Some(2), "both are empty");
    for (args, name) in [
        (["policy.yaml", "empty.yaml", "--sources=skip"], "empty.yaml"),
        (["policy.yaml", "-", "--sources=skip"], "standard input"),
    ] {
        let text = out(&check(&args, "")).to_owned();
        assert!(text.contains(&format!("{name}: warning: the file is empty\n")), "{args:?}: {text}");
        assert!(!text.contains("nothing to check"), "{args:?}: {text}");
    }
    let hostile = "\u{1b}[2J.pem";
    for output in [
        check(&[hostile], ""),
        certgate(&["inspect", hostile]),
        certgate(&["verify", "--trust-anchor", hostile, hostile]),
    ] {
        let told = err(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("\\u{1b}[2J.pem") && !told.contains('\u{1b}'), "{told:?}");
    }
    // Its relative paths begin where the process is.
    fs::write(directory.path().join("roots.der"), [0x30, 0x82, 1, 0, 0x30, 0x82, 0, 0xc0]).unwrap();
    let output = check(&["-"], &profile.replace("configMap: {name: roots}", "file: roots.der"));
    assert!(out(&output).contains("it is DER, and PEM is wanted"), "{}", out(&output));
}

#[test]
fn check_can_be_strict() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    assert_eq!(certgate(&["check", path]).status.code(), Some(0), "an empty directory is doubtful");
    let output = certgate(&["check", path, "--strict", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!((&json["valid"], &json["errors"], &json["warnings"]), (&false.into(), &0.into(), &1.into()));
}

#[test]
fn explain_can_be_brief() {
    let directory = tempfile::tempdir().unwrap();
    let policies = directory.path().to_str().unwrap();
    let output = certgate(&["explain", "--policies", policies, "--host", "api.example.com", "--brief"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(out(&output).starts_with("  DENY  NO_POLICY\n"), "{}", out(&output));
    assert!(!out(&output).contains("Steps") && out(&output).contains("  to do     "), "{}", out(&output));
}

/// Pipes get no colours, and `COLUMNS` counts in every command that breaks lines.
#[test]
fn pages_are_as_wide_as_columns_say() {
    let directory = tempfile::tempdir().unwrap();
    let (path, file) = (directory.path().to_str().unwrap(), directory.path().join("a.pem"));
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    fs::write(&file, made.cert.pem()).unwrap();
    let file = file.to_str().unwrap();
    for args in [
        &["explain", "--policies", path, "--host", "a.example"][..],
        &["inspect", file],
        &["verify", "--anchor-extensions", "ignore", "--trust-anchor", file, file],
    ] {
        let page = |columns: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_certgate"));
            let output = command.args(args).env("COLUMNS", columns).output().unwrap();
            let page = out(&output).to_owned();
            assert!(!page.contains('\u{1b}'), "{args:?}: {page}");
            page
        };
        let (narrow, wide) = (page("60"), page("160"));
        assert!(narrow.lines().count() > wide.lines().count(), "{args:?}: {narrow}{wide}");
    }
}

#[test]
fn check_warns_of_a_lowered_bar() {
    let directory = tempfile::tempdir().unwrap();
    let profile = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: old}\nspec:\n  requirements:\n    \
                   minimumRsaBits: 1024\n    weakCryptography: [AcceptSha1Signatures, AcceptRsaBelow2048]\n";
    fs::write(directory.path().join("a.yaml"), profile).unwrap();
    let path = directory.path().to_str().unwrap();
    let output = certgate(&["check", path]);
    assert_eq!(output.status.code(), Some(0), "a reviewer is told, and decides: {}", out(&output));
    for words in [
        "warning: TrustProfile default/old: spec.requirements.weakCryptography[0]: WEAK: signatures with SHA-1",
        "spec.requirements.weakCryptography[1]: WEAK: RSA keys from 1024 bits are accepted; they can be broken",
    ] {
        assert!(out(&output).contains(words), "{words}: {}", out(&output));
    }
    let output = certgate(&["check", path, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    let weak = |problem: &&serde_json::Value| problem["message"].as_str().unwrap().starts_with("WEAK: ");
    let classes: Vec<_> =
        json["problems"].as_array().unwrap().iter().filter(weak).map(|problem| &problem["class"]).collect();
    assert_eq!(classes, ["warning", "warning"], "{json}");
}
