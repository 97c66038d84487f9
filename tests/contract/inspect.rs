//! `certgate inspect`: what it says of a certificate holds when a policy is written with it, whatever the certificate; and
//! both readers of certificates see the same.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use certgate_testing::der;
use certgate_testing::mutate;
use certgate_testing::suites;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use certgate::app::policies;
use certgate::domain::api::ObjectMeta;
use certgate::domain::decide::mapping::key::{NameForms, keys_of};
use certgate::domain::policy::compile::certificate_mapping;
use certgate::explain::{ExplainedOutcome, Question, explain, to_pem};
use certgate::file::check::check;
use certgate::inspect::names::{PolicyName, mapping_yaml, name_yaml};
use certgate::inspect::{Inspection, inspect, render};
use certgate::terminal::{Terminal, json};
use certgate_x509::{Certificate, GeneralName, Name, encoding::container::Form};
use serde_json::Value;
use x509_parser::extensions::{GeneralName as OtherName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use der::*;

mod hostile;
mod readers;

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn run(folder: &Path, words: &str, input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_certgate"))
        .args(words.split_whitespace())
        .current_dir(folder)
        .env_remove("CERTGATE_POLICIES")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn inspected(der: &[u8]) -> Inspection {
    inspect(Form::Der, &[Bytes::copy_from_slice(der)], NOW)
}

/// Every certificate of the suites, each once.
fn certificates() -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    for file in ["pkits.jsonl", "crl.jsonl", "ocsp.jsonl"] {
        for case in suites::cases(file) {
            let texts = |key: &str| match &case[key] {
                Value::String(text) => vec![text.clone()],
                Value::Array(list) => list.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect(),
                _ => Vec::new(),
            };
            let all = ["trust_anchors", "untrusted", "leaf", "issuer"].into_iter().flat_map(texts);
            found.extend(all.filter_map(|text| STANDARD.decode(text).ok()));
        }
    }
    found
}

/// A whole mapping object for one of the names that are offered.
fn document(name: &PolicyName, number: usize) -> String {
    format!(
        "---\napiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {{name: m{number}}}\nspec:\n  \
         certificate:\n    {}\n  identity: {{user: u}}\n",
        name_yaml(&name.certificate)
    )
}

#[test]
fn every_name_and_mapping_that_is_offered_means_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (mut file, mut number, mut offered) = (String::new(), 0, 0);
    for der in certificates() {
        let Ok(certificate) = Certificate::from_der(der.clone()) else { continue };
        let report = inspected(&der).certificate.unwrap();
        let mapping = report.mapping.clone().expect("one that the engine takes can be mapped");
        let spec = serde_json::from_value(mapping["spec"].clone()).unwrap();
        let meta = ObjectMeta {
            name: mapping["metadata"]["name"].as_str().unwrap().to_owned(),
            namespace: "default".to_owned(),
            ..ObjectMeta::default()
        };
        let compiled = certificate_mapping(&meta, &spec);
        assert_eq!(compiled.errors, [], "{mapping}");
        let key = compiled.key.unwrap();
        let mut means = false;
        keys_of(&certificate, NameForms::default().with(key.form), |_, bytes| means |= bytes == key.bytes);
        assert!(means, "{mapping}");
        number += 1;
        // Two certificates of the suites may have one subject and so one proposed name but for the fingerprint.
        file.push_str("---\n");
        file.push_str(&mapping_yaml(&mapping));
        for name in report.names.iter().filter(|name| name.problem.is_none()) {
            number += 1;
            offered += 1;
            file.push_str(&document(name, number));
        }
    }
    let path = folder.path().join("mappings.yaml");
    fs::write(&path, file).unwrap();
    let found = check(&path);
    assert_eq!(found.errors(), 0, "{}", found.to_text());
    assert_eq!(found.totals.objects, number);
    println!("{offered} names of the suites' certificates, each taken by `certgate check`");
    assert!(offered > 1200, "{offered}");
}

/// A CA, and a client with a name of every form.
struct Clients {
    root: Vec<u8>,
    client: Vec<u8>,
}

impl Clients {
    fn new() -> Self {
        let (ca, key) = (SigningKey::p256(), SigningKey::ed25519());
        let sid = other("1.3.6.1.4.1.311.25.2.1", &tlv(tag::OCTET_STRING, "S-1-5-21-1-2-3-1105"));
        let draft =
            Draft::client("CN=Müller\\, Ann+OU=x,ST=Bavaria,DC=corp,DC=example", "CN=Root,DC=corp,DC=example", &key)
                .with(ext::names(&[
                    upn("müller\u{1f600}@corp.example"),
                    dns("a.example"),
                    dns("*.b.example"),
                    uri("spiffe://corp.example/ns/a"),
                    email("Ann.M@corp.example"),
                    ip(&[192, 0, 2, 1]),
                ]))
                .with(ext::any("1.3.6.1.4.1.311.25.2", false, seq(&[sid])))
                .with(ext::subject_key(&[0xab; 20]))
                .with(ext::authority_key(&[0xcd; 20]));
        let client = Draft { serial: vec![0x10, 0xe8, 0xbd, 3, 0, 0, 0, 0, 0, 0x32], ..draft }.der(&ca);
        let root = Draft::ca("CN=Root,DC=corp,DC=example", "CN=Root,DC=corp,DC=example", &ca).der(&ca);
        Self { root, client }
    }

    /// A folder with the client in a file and a directory of policies that take mappings.
    fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("policies")).unwrap();
        fs::write(folder.path().join("policies/roots.pem"), pem("CERTIFICATE", &self.root)).unwrap();
        fs::write(folder.path().join("policies/policy.yaml"), POLICY).unwrap();
        fs::write(folder.path().join("roots.pem"), pem("CERTIFICATE", &self.root)).unwrap();
        fs::write(folder.path().join("client.pem"), pem("CERTIFICATE", &self.client)).unwrap();
        folder
    }
}

const POLICY: &str = "
apiVersion: certgate.dev/v1alpha1
kind: TrustProfile
metadata: {name: t}
spec: {trustAnchors: [{file: roots.pem}]}
---
apiVersion: certgate.dev/v1alpha1
kind: CertificatePolicy
metadata: {name: p}
spec: {match: [{hosts: [a.example]}], trustRef: {name: t}, mapping: {selector: {}}}
";

#[test]
fn what_is_pasted_lets_the_certificate_pass() {
    let clients = Clients::new();
    let folder = clients.folder();
    let page = run(folder.path(), &format!("inspect --at {NOW} client.pem"), b"");
    assert_eq!(page.status.code(), Some(0), "{}", out(&page));
    let page = out(&page);
    let start = page.find("apiVersion:").unwrap();
    let mapping = page[start..].split("\n\n").next().unwrap();
    fs::write(folder.path().join("policies/mapping.yaml"), mapping).unwrap();
    let checked = run(folder.path(), "check policies", b"");
    assert_eq!(checked.status.code(), Some(0), "{}", out(&checked));
    let asked = format!("explain --policies policies --at {NOW} --host a.example --output json client.pem");
    let explained = run(folder.path(), &asked, b"");
    assert_eq!(explained.status.code(), Some(0), "{}", out(&explained));
    let answer: Value = serde_json::from_str(&out(&explained)).unwrap();
    // The first of the texts that can be written in a header without doubt.
    assert_eq!(answer["decision"]["identity"]["user"], "a.example");
}

#[test]
fn every_name_that_is_offered_lets_the_certificate_pass() {
    let clients = Clients::new();
    let report = inspected(&clients.client).certificate.unwrap();
    let fields: Vec<_> = report.names.iter().filter(|name| name.problem.is_none()).map(|name| name.field).collect();
    let want = ["sha256", "publicKeySha256", "issuerSerial", "userPrincipalName", "dns", "uri", "email", "subject"];
    assert_eq!(fields, want);
    let refused: Vec<_> = report.names.iter().filter(|name| name.problem.is_some()).map(|name| name.field).collect();
    assert_eq!(refused, ["dns"], "a wildcard names no host");
    for name in report.names.iter().filter(|name| name.problem.is_none()) {
        let folder = clients.folder();
        fs::write(folder.path().join("policies/mapping.yaml"), document(name, 1)).unwrap();
        let loaded = policies::load(&folder.path().join("policies")).unwrap();
        assert!(loaded.first.problems.is_empty(), "{:?}", loaded.first.problems);
        let question = Question {
            host: Some("a.example".to_owned()),
            certificate: Some(to_pem(&[&clients.client])),
            ..Question::default()
        };
        let explanation = explain(&question, &loaded.snapshot, NOW).unwrap();
        assert_eq!(explanation.decision.outcome, ExplainedOutcome::Allow, "{name:?}: {:#?}", explanation.steps);
    }
}

#[test]
fn the_names_of_active_directory() {
    let clients = Clients::new();
    let report = inspected(&clients.client).certificate.unwrap();
    let issuer = "X509:<I>DC=example,DC=corp,CN=Root";
    let subject = "DC=example,DC=corp,S=Bavaria,OU=x + CN=\"Müller, Ann\"";
    let want = [
        ("X509IssuerSerialNumber", format!("{issuer}<SR>32000000000003bde810")),
        ("X509SKI", format!("X509:<SKI>{}", "ab".repeat(20))),
        ("X509SHA1PublicKey", String::new()),
        ("X509IssuerSID", format!("{issuer}<SID>S-1-5-21-1-2-3-1105")),
        ("X509IssuerSubject", format!("{issuer}<S>{subject}")),
        ("X509SubjectOnly", format!("X509:<S>{subject}")),
        ("X509RFC822", "X509:<RFC822>Ann.M@corp.example".to_owned()),
    ];
    assert_eq!(report.alt_security_identities.len(), want.len());
    for (found, (form, value)) in report.alt_security_identities.iter().zip(want) {
        assert_eq!(found.form, form);
        assert!(value.is_empty() || found.value == value, "{} is not {value}", found.value);
    }
    assert_eq!(report.sid.as_deref(), Some("S-1-5-21-1-2-3-1105"));
    let sid = report.extensions.iter().find(|extension| extension.oid.oid == "1.3.6.1.4.1.311.25.2").unwrap();
    assert_eq!(
        (sid.description.as_str(), sid.oid.name.as_deref()),
        ("S-1-5-21-1-2-3-1105", Some("msSecurityIdentifier"))
    );
}

#[test]
fn every_form_is_read_and_every_command_calls_the_same_things_the_same() {
    let clients = Clients::new();
    let folder = clients.folder();
    let text = pem("CERTIFICATE", &clients.client);
    let data = seq(&[oid("1.2.840.113549.1.7.1")]);
    let both = [clients.root.clone(), clients.client.clone()].concat();
    let signed = seq(&[int(1), tlv(tag::SET, []), data, context(0, both), tlv(tag::SET, [])]);
    let pkcs7 = seq(&[oid("1.2.840.113549.1.7.2"), context(0, signed)]);
    let files = [
        ("PEM", text.clone().into_bytes()),
        ("DER", clients.client.clone()),
        ("PEM behind a byte order mark", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("URL-encoded PEM", text.replace(' ', "%20").replace('\n', "%0A").into_bytes()),
        // A set has no order: the one that issued the other is not the client.
        ("PKCS #7", pkcs7.clone()),
        ("PKCS #7", pem("PKCS7", &pkcs7).into_bytes()),
    ];
    for (form, content) in files {
        let json = |words: &str| -> Value {
            let output = run(folder.path(), words, &content);
            let text = out(&output);
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{form}: {words}: {error}: {text}{output:?}"))
        };
        let inspected = json(&format!("inspect --at {NOW} --output json -"));
        assert_eq!(inspected["form"], form);
        let verified = json(&format!("verify --at {NOW} --trust-anchor roots.pem --output json -"));
        assert_eq!((&verified["valid"], &verified["reason"]), (&Value::Bool(true), &Value::Null), "{form}: {verified}");
        let named = json(&format!("verify --at {NOW} --trust-anchor roots.pem --output json --certificate -"));
        assert_eq!(named, verified, "both ways to name it");
        let explained = json(&format!("explain --policies policies --at {NOW} --host a.example --output json -"));
        for key in ["subject", "issuer", "serialNumber", "sha256"] {
            let value = &inspected["certificate"][key];
            assert!(value.is_string(), "{form}: {key}");
            assert_eq!(&verified["certificate"][key], value, "{form}: verify: {key}");
            assert_eq!(&explained["decision"]["certificate"][key], value, "{form}: explain: {key}");
        }
        for key in ["notBefore", "notAfter"] {
            assert_eq!(verified["certificate"][key], inspected["certificate"][key], "{form}: {key}");
        }
        assert_eq!(inspected["at"], verified["at"], "{form}");
        assert_eq!(inspected["at"], explained["at"], "{form}");
        let (one, two) = (&verified["steps"][0], &explained["steps"][0]);
        let keys = |step: &Value| step.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(one), keys(two), "{form}");
    }
}

#[test]
fn a_broken_certificate_is_an_answer_and_a_wrong_file_is_not() {
    let clients = Clients::new();
    let folder = clients.folder();
    let text = pem("CERTIFICATE", &clients.client);
    // keyUsage with nothing set: well-formed ASN.1 that the engine refuses.
    let key = SigningKey::p256();
    let odd = Draft::client("CN=odd", "CN=Root", &key).with(ext::any(ext::KEY_USAGE, true, bits(&[]))).der(&key);
    let commands = [
        format!("inspect --at {NOW}"),
        format!("verify --at {NOW} --trust-anchor roots.pem"),
        format!("explain --policies policies --at {NOW} --host a.example"),
    ];
    for (name, content) in [
        ("refused by the engine", odd.clone()),
        ("refused by the engine, in PEM", pem("CERTIFICATE", &odd).into_bytes()),
        ("cut short", clients.client[..200].to_vec()),
        ("not base64", text.replacen("MII", "M*I", 1).into_bytes()),
        ("no end", text.replace("-----END CERTIFICATE-----", "").into_bytes()),
        ("not a certificate at all", pem("CERTIFICATE", b"hello").into_bytes()),
    ] {
        for command in &commands {
            let output = run(folder.path(), &format!("{command} --output json -"), &content);
            assert_eq!(output.status.code(), Some(1), "{name}: {command}: {output:?}");
            let answer: Value = serde_json::from_str(&out(&output)).unwrap();
            let reason = if command.starts_with("explain") { &answer["decision"]["reason"] } else { &answer["reason"] };
            // What a proxy could not have forwarded is told as such.
            let is_forwarded = command.starts_with("explain") && ["not base64", "no end"].contains(&name);
            let code = if is_forwarded { "FORWARDED_INVALID" } else { "CERT_MALFORMED" };
            assert_eq!(reason["code"], code, "{name}: {command}: {answer}");
            assert!(reason["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{name}: {command}");
            let output = run(folder.path(), &format!("{command} -"), &content);
            assert_eq!(output.status.code(), Some(1), "{name}: {command}");
            assert!(out(&output).contains(code), "{name}: {command}: {}", out(&output));
        }
    }
    // What the other reader makes of it is shown.
    let output = run(folder.path(), "inspect --output json -", &odd);
    let answer: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!((&answer["wellFormed"], &answer["certificate"]["subject"]), (&Value::Bool(false), &"CN=odd".into()));
    assert!(answer["certificate"]["refused"].as_str().unwrap().contains("2.5.29.15"), "{answer}");
    assert!(answer["certificate"].get("mapping").is_none(), "what can never match is not offered");

    let store = [&[0x30, 0x80, 2, 1, 3, 0x30, 0x80][..], &oid("1.2.840.113549.1.7.1")].concat();
    for (name, content, told) in [
        ("nothing", Vec::new(), "it is empty"),
        ("a text", b"hello\n".to_vec(), "neither PEM nor DER"),
        ("PKCS #12", store, "a PKCS #12 store: take the certificate out: openssl pkcs12"),
        ("a key", pem("PRIVATE KEY", b"secret").into_bytes(), "it is a private key"),
        ("a request", pem("CERTIFICATE REQUEST", b"x").into_bytes(), "have a CA sign it"),
    ] {
        for command in &commands {
            let output = run(folder.path(), &format!("{command} --output json -"), &content);
            assert_eq!(output.status.code(), Some(2), "{name}: {command}: {output:?}");
            let told_of = String::from_utf8_lossy(&output.stderr);
            assert!(output.stdout.is_empty() && told_of.contains(told), "{name}: {command}: {told_of}");
            assert!(!told_of.contains("secret"), "{told_of}");
        }
    }
    for command in &commands {
        let output = run(folder.path(), &format!("{command} missing.pem"), b"");
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("missing.pem"), "{command}");
    }
    assert_eq!(run(folder.path(), "inspect", b"").status.code(), Some(2), "a certificate is needed");
}

#[test]
fn what_is_unusual_is_told() {
    let (ca, key) = (SigningKey::p256(), SigningKey::p256());
    let client = || Draft::client("CN=a", "CN=Root", &key).with(ext::authority_key(&[1; 20]));
    let long = |draft: Draft| Draft { serial: vec![0x11; 16], ..draft };
    let rows: [(&str, Draft, Option<&str>); 12] = [
        ("nothing", long(client()), None),
        ("a short serial number", client(), Some("its serial number has 2 octets")),
        (
            "no purpose",
            {
                let mut d = long(client());
                d.remove(ext::EXTENDED_KEY_USAGE);
                d
            },
            Some("EKU_NOT_PERMITTED"),
        ),
        ("a server", long(client().with(ext::purposes(&[ext::SERVER_AUTH]))), Some("does not list clientAuth")),
        ("a CA", long(client().with(ext::ca(None))), Some("it is a CA certificate")),
        (
            "a critical extension",
            long(client().with(ext::any("1.2.3.4", true, vec![]))),
            Some("1.2.3.4 is not processed"),
        ),
        ("two common names", long(Draft { subject: name("CN=a,CN=b"), ..client() }), Some("has 2 CN")),
        (
            "a name that is not shown as it is",
            long(Draft { subject: name("CN=a\\E2\\80\\AEb"), ..client() }),
            Some("not shown as they are: a\\u{202e}b"),
        ),
        ("a wildcard", long(client().with(ext::names(&[dns("*.a.example")]))), Some("stands for many hosts")),
        (
            "two SPIFFE identities",
            long(client().with(ext::names(&[uri("spiffe://a/b"), uri("spiffe://a/c")]))),
            Some("2 SPIFFE identities"),
        ),
        (
            "no issuer's key",
            {
                let mut d = long(client());
                d.remove(ext::AUTHORITY_KEY_IDENTIFIER);
                d
            },
            Some("authorityKeyIdentifier"),
        ),
        (
            "long validity",
            {
                let mut d = long(client());
                d.valid(NOW.minus(1), NOW.plus(900 * 86_400));
                d
            },
            Some("valid for 900 days"),
        ),
    ];
    for (row, draft, want) in rows {
        let report = inspected(&draft.der(&ca)).certificate.unwrap();
        // All of these end within a day, but for the one whose validity is long.
        let unusual: Vec<_> = report.unusual.iter().filter(|finding| !finding.starts_with("it ends soon")).collect();
        match want {
            None => assert!(unusual.is_empty(), "{row}: {unusual:?}"),
            Some(want) => assert!(unusual.iter().any(|finding| finding.contains(want)), "{row}: {unusual:?}"),
        }
    }
    let draft = client();
    let at = |time| inspect(Form::Der, &[draft.der(&ca).into()], time).certificate.unwrap().unusual.join("\n");
    assert!(at(NOW.plus(2 * 86_400)).contains("it expired at"));
    assert!(at(NOW.minus(2 * 86_400)).contains("it is not valid before"));
}

#[test]
fn the_page_is_laid_out_for_people() {
    let clients = Clients::new();
    let folder = clients.folder();
    let output = run(folder.path(), &format!("inspect --at {NOW} client.pem"), b"");
    let page = out(&output);
    let lines: Vec<&str> = page.lines().collect();
    for want in [
        "Certificate",
        "  subject     OU=x+CN=M\\C3\\BCller\\, Ann,ST=Bavaria,DC=corp,DC=example",
        "  serial      10e8bd03000000000032",
        "  key         Ed25519",
        "  extended    clientAuth",
        "  SID         S-1-5-21-1-2-3-1105",
        "  uri: \"spiffe://corp.example/ns/a\"",
        "  userPrincipalName: \"m\\u00FCller\\U0001F600@corp.example\"   # weak",
        "  issuerSerial: {issuer: \"CN=Root,DC=corp,DC=example\", serialNumber: \"10e8bd03000000000032\"}   # weak",
        "  strong  X509:<I>DC=example,DC=corp,CN=Root<SR>32000000000003bde810",
        "  weak    X509:<RFC822>Ann.M@corp.example",
        "apiVersion: certgate.dev/v1alpha1",
        "kind: CertificateMapping",
        "Unusual",
    ] {
        assert!(lines.contains(&want), "{want}\n{page}");
    }
    assert!(output.stderr.is_empty());
}
