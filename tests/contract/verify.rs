//! `certgate verify` as a process: what it prints, its exit codes, and batches on its standard streams.

use certgate_testing::der;
use certgate_testing::status;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use der::{Draft, NOW, SigningKey};
use status::*;

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// Files of a root, a CA, a leaf, CRLs and OCSP responses.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: TempDir::new().unwrap() };
        let (root, ca) = (SigningKey::p256(), SigningKey::p256());
        let root_cert = Draft::ca("CN=Root", "CN=Root", &root).sign(&root);
        let ca_cert = Draft::ca("CN=CA", "CN=Root", &ca).sign(&root);
        let leaf = Draft::client("CN=client", "CN=CA", &SigningKey::ed25519()).sign(&ca);
        files.write("root.pem", pem("CERTIFICATE", root_cert.der()));
        files.write("ca.pem", pem("CERTIFICATE", ca_cert.der()));
        files.write("ca.der", ca_cert.der());
        files.write("leaf.pem", pem("CERTIFICATE", leaf.der()));
        files.write("chain.pem", pem("CERTIFICATE", leaf.der()) + &pem("CERTIFICATE", ca_cert.der()));
        let clear = [CrlDraft::new("CN=Root").der(&root), CrlDraft::new("CN=CA").der(&ca)];
        files.write("clear.pem", pem("X509 CRL", &clear[0]) + &pem("X509 CRL", &clear[1]));
        let lists = CrlDraft::new("CN=CA").lists(leaf.serial_number(), Some(reason::KEY_COMPROMISE)).with(number(11));
        files.write("lists.crl", lists.der(&ca));
        let good = ResponseDraft::new(by_name(&ca_cert), vec![Single::good(&leaf, &ca_cert)]);
        files.write("good.ors", good.der(&ca));
        let bad = Single { status: revoked(None), ..good.singles[0].clone() };
        files.write("bad.ors", ResponseDraft { singles: vec![bad], ..good }.der(&ca));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Runs `certgate verify` in the folder, as of [`NOW`].
    fn verify(&self, words: &str) -> Output {
        run(self.folder.path(), &format!("--at {NOW} {words}"))
    }
}

fn run(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_certgate"));
    command.arg("verify").args(words.split_whitespace()).current_dir(folder).output().unwrap()
}

#[test]
fn one_certificate_in_plain_words() {
    let files = Files::new();
    let anchor = "--trust-anchor root.pem";
    let rows = [
        (format!("{anchor} --intermediate ca.pem leaf.pem"), 0, "VALID until"),
        (format!("{anchor} --intermediate ca.der leaf.pem"), 0, "VALID until"),
        (format!("{anchor} chain.pem"), 0, "issued by CN=CA CN=Root time"),
        (format!("{anchor} leaf.pem"), 1, "INVALID CERT_UNTRUSTED"),
        (format!("{anchor} --crl clear.pem chain.pem"), 0, "is not listed in CRL of [CN=CA] number 10"),
        (format!("{anchor} --crl clear.pem --crl lists.crl chain.pem"), 1, "INVALID CERT_REVOKED"),
        (format!("{anchor} --crl lists.crl --revocation none chain.pem"), 0, "VALID until"),
        (format!("{anchor} --revocation required chain.pem"), 1, "INVALID REVOCATION_UNKNOWN"),
        (format!("{anchor} --crl clear.pem --max-age 50m chain.pem"), 1, "INVALID REVOCATION_STALE"),
        (format!("{anchor} --ocsp-response good.ors --issuer ca.pem leaf.pem"), 0, "is good by an OCSP response"),
        (format!("{anchor} --ocsp-response bad.ors --issuer ca.pem leaf.pem"), 1, "INVALID CERT_REVOKED"),
        (format!("{anchor} --usage server chain.pem"), 1, "INVALID EKU_NOT_PERMITTED"),
        (format!("{anchor} --usage any ca.pem"), 0, "VALID until"),
        (format!("{anchor} --max-path-length 0 chain.pem"), 1, "INVALID CERT_UNTRUSTED"),
        (format!("{anchor} --minimum-ecdsa-curve p384 chain.pem"), 1, "Ed25519 key is below the minimum of 384 bits"),
        (format!("{anchor} --signature-algorithm ecdsasha256 chain.pem"), 0, "VALID until"),
        (format!("{anchor} --signature-algorithm Ed25519 chain.pem"), 1, "EcdsaSha256 is not one of those"),
        (format!("{anchor} --explicit-policy required chain.pem"), 1, "an explicit policy is required"),
        (format!("{anchor} --initial-policy 1.2.3 chain.pem"), 1, "an explicit policy is required"),
        (format!("{anchor} --initial-policy 1.2.3 --explicit-policy not-required chain.pem"), 0, "VALID until"),
        (format!("{anchor} --policy-mapping inhibited --any-policy inhibited chain.pem"), 0, "VALID until"),
    ];
    for (words, code, want) in rows {
        let output = files.verify(&words);
        let page = String::from_utf8(output.stdout).unwrap();
        // Where lines are broken is not the matter here.
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(code), "{words}\n{page}");
        assert!(page.contains(want), "{words}\n{page}");
        // The anchor's own key is too weak there, and that is told.
        assert_eq!(output.stderr.is_empty(), !words.contains("p384"), "{words}");
    }
}

#[test]
fn what_cannot_be_read_is_a_usage_error() {
    let files = Files::new();
    files.write("text.pem", "hello\n");
    for words in [
        "leaf.pem",
        "--trust-anchor root.pem",
        "--trust-anchor missing.pem leaf.pem",
        "--trust-anchor text.pem leaf.pem",
        "--trust-anchor root.pem --crl leaf.pem leaf.pem",
        "--trust-anchor root.pem --ocsp-response text.pem leaf.pem",
        "--trust-anchor root.pem --usage smime leaf.pem",
        "--trust-anchor root.pem --at yesterday leaf.pem",
        "--trust-anchor root.pem --signature-algorithm md5 leaf.pem",
        "--trust-anchor root.pem --initial-policy gold leaf.pem",
        "--trust-anchor root.pem --explicit-policy yes leaf.pem",
    ] {
        let output = run(files.folder.path(), words);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words}");
    }
}

/// Whoever calls `verify` has written arguments and no trust profile.
#[test]
fn advice_is_given_in_arguments() {
    let files = Files::new();
    let anchor = "--trust-anchor root.pem";
    for (words, advice) in [
        (format!("{anchor} leaf.pem"), "missing CA certificates with --intermediate"),
        (format!("{anchor} --minimum-ecdsa-curve p384 chain.pem"), "--minimum-ecdsa-curve"),
        (format!("{anchor} --usage server chain.pem"), "another --usage"),
        (format!("{anchor} --revocation required chain.pem"), "with --crl"),
        (format!("{anchor} --crl clear.pem --max-age 50m chain.pem"), "older than --max-age"),
    ] {
        let output = files.verify(&words);
        let page = String::from_utf8(output.stdout).unwrap();
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(1), "{words}\n{page}");
        assert!(page.contains(advice) && !page.contains('`') && !page.contains("profile"), "{words}\n{page}");
    }
}

/// The first certificate counts as the client's. Where it is the CA of another one, that is the advice.
#[test]
fn a_bundle_with_its_ca_first_is_told_of() {
    let files = Files::new();
    let read = |name: &str| std::fs::read_to_string(files.path(name)).unwrap();
    files.write("reversed.pem", read("root.pem") + &read("ca.pem") + &read("leaf.pem"));
    let output = files.verify("--trust-anchor root.pem reversed.pem --output json");
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let action = answer["reason"]["action"].as_str().unwrap();
    let want = "Put the client's certificate first in reversed.pem and its CA certificates after it: the first one, \
                CN=Root, is that of a CA, and CN=client looks like the client's.";
    assert_eq!(action, want);
    // A CA's certificate alone is no bundle in the wrong order, nor is a leaf with others.
    for words in ["--trust-anchor root.pem ca.pem", "--trust-anchor root.pem --usage server chain.pem"] {
        let output = files.verify(words);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(!String::from_utf8(output.stdout).unwrap().contains("certificate first"), "{words}");
    }
    let policies = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\nspec: {trustAnchors: \
                    [{file: root.pem}]}\n---\napiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: \
                    {name: p}\nspec: {match: [{hosts: [a.example]}], trustRef: {name: t}}\n";
    files.write("policies.yaml", policies);
    let explain = |host: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_certgate"));
        let at = NOW.to_string();
        command.args(["explain", "--policies", ".", "--at", &at, "--host", host, "reversed.pem", "--output", "json"]);
        let answer: Value =
            serde_json::from_slice(&command.current_dir(files.folder.path()).output().unwrap().stdout).unwrap();
        answer["decision"]["reason"]["action"].as_str().unwrap().to_owned()
    };
    assert_eq!(explain("a.example"), want);
    assert!(explain("b.example").starts_with("Add a CertificatePolicy"), "no policy has looked at it");
}

/// Who gives a client's certificate as an anchor is refused; and who wants it so is told of it.
#[test]
fn anchors_that_are_no_ca_and_what_is_odd_about_anchors() {
    let files = Files::new();
    let refused = files.verify("--trust-anchor leaf.pem leaf.pem");
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("leaf.pem: certificate 1 (CN=client) cannot be a trust anchor: not a CA"), "{message}");
    let taken = files.verify("--trust-anchor leaf.pem --anchor-extensions ignore --output json chain.pem");
    let (page, message): (Value, _) =
        (serde_json::from_slice(&taken.stdout).unwrap(), String::from_utf8(taken.stderr).unwrap());
    let want = "anchor CN=client: not a CA: it has no basicConstraints";
    assert!(message.contains(&format!("certgate: warning: {want}\n")), "{message}");
    assert!(page["anchorFindings"].as_array().unwrap().contains(&json!(want)), "{page}");
    let plain = files.verify("--trust-anchor root.pem --output json chain.pem");
    let page: Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!((page["anchorFindings"].clone(), plain.stderr.len()), (json!([]), 0));
}

#[test]
fn the_answer_for_programs() {
    let files = Files::new();
    let output = files.verify("--trust-anchor root.pem --crl clear.pem --crl lists.crl --output json chain.pem");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["valid"], &answer["reason"]["code"]), (&json!(false), &json!("CERT_REVOKED")));
    assert_eq!(answer["reason"]["iis"], "403.13");
    let results: Vec<&Value> = answer["steps"].as_array().unwrap().iter().map(|step| &step["result"]).collect();
    assert!(results.contains(&&json!("Note")) && results.contains(&&json!("Fail")), "{answer}");
    assert_eq!(answer["path"].as_array().unwrap().len(), 3);
    assert_eq!(answer["certificate"]["subject"], "CN=client");
    let output = files.verify("--trust-anchor root.pem --output json chain.pem");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["valid"], &answer["reason"], &answer["at"]),
        (&json!(true), &Value::Null, &json!(NOW.to_string()))
    );
    assert_eq!(output.status.code(), Some(0));
    let output = files.verify("--trust-anchor root.pem --chain ca.pem --output json --certificate leaf.pem");
    assert_eq!(output.status.code(), Some(0), "as `explain` calls them");
}

#[test]
fn batches_are_answered_line_by_line() {
    let key = SigningKey::p256();
    let root = Draft::ca("CN=Root", "CN=Root", &key).sign(&key);
    let leaf = Draft::client("CN=client", "CN=Root", &SigningKey::ed25519()).sign(&key);
    let base64 = |der: &[u8]| STANDARD.encode(der);
    let case = json!({
        "id": "a", "trust_anchors": [base64(root.der())], "leaf": base64(leaf.der()), "time": NOW.as_secs(),
    });
    let input = format!("{case}\nno case\n\n{}\n{case}", json!({"id": "b"}));
    let mut child = Command::new(env!("CARGO_BIN_EXE_certgate"))
        .args(["verify", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let answers: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<(&Value, &Value)> = answers.iter().map(|answer| (&answer["id"], &answer["reason"])).collect();
    let (a, b, malformed, ok) = (json!("a"), json!("b"), json!("CASE_MALFORMED"), json!("OK"));
    let null = Value::Null;
    assert_eq!(found, [(&a, &ok), (&null, &malformed), (&null, &malformed), (&b, &malformed), (&a, &ok)]);
    assert!(answers.iter().all(|answer| answer["micros"].is_u64() && answer["detail"].is_string()));
}
