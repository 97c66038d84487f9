//! `requirements` of a trust profile, as its author sees them: what each setting refuses and lets pass, and in which words
//! a lowered bar is told.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use certgate_testing::der;
use certgate_testing::status;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate::domain::api::{Object, ObjectMeta};
use certgate::domain::decide::decision::Decision;
use certgate::domain::decide::reason::Reason;
use certgate::domain::request::{Http, NoHeaders, Request};
use certgate::domain::store::{Index, Severity};
use certgate_x509::{Recorder, TraceStep};
use serde_json::{Value, json};

use der::{Draft, NOW, SigningKey, ext};
use status::CrlDraft;

const SHA1_CA: &str = include_str!("../data/weak/sha1-ca.pem");
const SHA1_CLIENT: &str = include_str!("../data/weak/sha1-client.pem");
const SHA1_CRL: &str = include_str!("../data/weak/sha1.crl");
const RSA_CA: &str = include_str!("../data/weak/rsa1024-ca.pem");
const RSA_CLIENT: &str = include_str!("../data/weak/rsa1024-client.pem");

const GOLD: &str = "1.2.3.1";
const SILVER: &str = "1.2.3.2";
const FOREIGN: &str = "1.2.9.9";

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn meta(name: &str) -> ObjectMeta {
    ObjectMeta { name: name.to_owned(), namespace: "ns".to_owned(), ..ObjectMeta::default() }
}

/// A profile over an anchor, with intermediates and requirements, and a policy that uses it.
fn index(anchor: &str, intermediates: &[String], patch: &Value) -> Index {
    let inline = |pem: &String| json!({"inline": pem});
    let mut spec = json!({
        "trustAnchors": [{"inline": anchor}],
        "intermediates": intermediates.iter().map(inline).collect::<Vec<_>>(),
    });
    for (key, value) in patch.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let mut index = Index::new();
    index.apply(Object::TrustProfile { meta: meta("partners"), spec: serde_json::from_value(spec).unwrap() });
    let policy = json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "partners"}});
    index.apply(Object::CertificatePolicy { meta: meta("api"), spec: serde_json::from_value(policy).unwrap() });
    index
}

/// Decides about a client, and gives the steps.
fn decide(index: &mut Index, leaf: &str) -> (Decision, Vec<TraceStep>) {
    let escaped: String = leaf.bytes().map(|octet| format!("%{octet:02X}")).collect();
    let request = Request {
        named_policy: None,
        http: Some(Http { host: b"api", method: b"GET", path: b"/" }),
        peer_certificate: escaped.as_bytes(),
        headers: &NoHeaders,
        source_address: None,
    };
    let mut trace = Recorder::default();
    let decision = index.publish().unwrap().decide(&request, NOW, &mut trace);
    (decision, trace.steps().to_vec())
}

fn reason(decision: &Decision) -> Result<(), Reason> {
    decision.verdict().map(|_| ()).map_err(|denial| denial.reason)
}

fn detail(decision: &Decision) -> String {
    decision.verdict().err().map(|denial| denial.detail.clone()).unwrap_or_default()
}

/// Warnings of the index, with their fields.
fn warnings(index: &Index) -> Vec<String> {
    let problems = index.problems().into_iter().filter(|problem| problem.severity == Severity::Warning);
    problems.flat_map(|problem| problem.errors).map(|error| error.to_string()).collect()
}

fn wants(requirements: Value) -> Value {
    json!({"requirements": requirements})
}

/// A root, a CA and a client on P-256; `ca` and `leaf` change the certificates.
fn p256(ca: impl Fn(Draft) -> Draft, leaf: impl Fn(Draft) -> Draft) -> (String, String, String) {
    let (root, issuing, client) = (SigningKey::p256(), SigningKey::p256(), SigningKey::p256());
    let root_cert = Draft::ca("CN=Root", "CN=Root", &root).der(&root);
    let ca_cert = ca(Draft::ca("CN=CA", "CN=Root", &issuing)).der(&root);
    let leaf = leaf(Draft::client("CN=client", "CN=CA", &client)).der(&issuing);
    let certificate = |der: &[u8]| pem("CERTIFICATE", der);
    (certificate(&root_cert), certificate(&ca_cert), certificate(&leaf))
}

const WEAK: Result<(), Reason> = Err(Reason::SignatureInvalid);

#[test]
fn keys_and_algorithms_are_those_that_are_asked_for() {
    let (root, ca, leaf) = p256(|ca| ca, |leaf| leaf);
    let rows = [
        ("nothing asked", json!({}), Ok(()), ""),
        ("P-256", json!({"minimumEcdsaCurve": "P256"}), Ok(()), ""),
        ("P-384", json!({"minimumEcdsaCurve": "P384"}), WEAK, "P-256 key is below the minimum of 384 bits"),
        ("its algorithm", json!({"allowedSignatureAlgorithms": ["RsaPssSha256", "EcdsaSha256"]}), Ok(()), ""),
        (
            "others",
            json!({"allowedSignatureAlgorithms": ["RsaPssSha256", "EcdsaSha384", "Ed25519"]}),
            WEAK,
            "signature algorithm EcdsaSha256 is not one of those that are allowed",
        ),
        ("RSA of 4096", json!({"minimumRsaBits": 4096}), Ok(()), ""),
    ];
    for (row, requirements, want, words) in rows {
        let mut index = index(&root, std::slice::from_ref(&ca), &wants(requirements));
        let (decision, _) = decide(&mut index, &leaf);
        assert_eq!(reason(&decision), want, "{row}: {}", detail(&decision));
        assert!(detail(&decision).contains(words), "{row}: {}", detail(&decision));
        assert!(warnings(&index).is_empty(), "{row}: {:?}", warnings(&index));
    }
}

#[test]
fn a_lowered_bar_is_told_wherever_one_looks() {
    let sha1 = json!({"weakCryptography": ["AcceptSha1Signatures"]});
    let only = json!({"weakCryptography": ["AcceptSha1Signatures"], "allowedSignatureAlgorithms": ["EcdsaSha1"]});
    let short = json!({"weakCryptography": ["AcceptRsaBelow2048"], "minimumRsaBits": 1024});
    let longer = json!({"weakCryptography": ["AcceptRsaBelow2048"], "minimumRsaBits": 1536});
    let (sha1_words, rsa_words) = ("uses SHA-1", "RSA-1024 key is below the minimum of 2048 bits");
    let rows = [
        ("SHA-1", SHA1_CA, SHA1_CLIENT, json!({}), WEAK, sha1_words, None),
        ("SHA-1, lowered", SHA1_CA, SHA1_CLIENT, sha1.clone(), Ok(()), "", Some("SHA-1 signatures")),
        ("SHA-1, alone", SHA1_CA, SHA1_CLIENT, only, Ok(()), "", Some("SHA-1 signatures")),
        ("SHA-1, for RSA only", SHA1_CA, SHA1_CLIENT, short.clone(), WEAK, sha1_words, Some("RSA keys from 1024")),
        ("RSA-1024", RSA_CA, RSA_CLIENT, json!({}), WEAK, rsa_words, None),
        ("RSA-1024, lowered", RSA_CA, RSA_CLIENT, short, Ok(()), "", Some("RSA keys from 1024 bits")),
        ("RSA-1024, not so far", RSA_CA, RSA_CLIENT, longer, WEAK, "of 1536 bits", Some("RSA keys from 1536 bits")),
        ("RSA-1024, for SHA-1 only", RSA_CA, RSA_CLIENT, sha1, WEAK, rsa_words, Some("SHA-1 signatures")),
    ];
    for (row, anchor, client, requirements, want, words, told) in rows {
        let mut index = index(anchor, &[], &wants(requirements));
        let (decision, steps) = decide(&mut index, client);
        assert_eq!(reason(&decision), want, "{row}: {}", detail(&decision));
        assert!(detail(&decision).contains(words), "{row}: {}", detail(&decision));
        let note = steps.iter().find(|step| step.stage == "trust" && step.detail.starts_with("WEAK: "));
        let warnings = warnings(&index);
        match told {
            None => assert!(note.is_none() && warnings.is_empty(), "{row}: {note:?} {warnings:?}"),
            Some(words) => {
                assert!(note.unwrap().detail.contains(words), "{row}: {note:?}");
                let [warning] = &warnings[..] else { panic!("{row}: {warnings:?}") };
                assert!(warning.starts_with("spec.requirements.weakCryptography[0]: WEAK: "), "{row}: {warning}");
                let reports = index.profile_reports();
                assert_eq!(reports[0].warnings.len(), 1, "{row}: the status tells it too");
            }
        }
    }
}

#[test]
fn crls_follow_the_same_profile() {
    let revocation = json!({"mode": "Offline", "crls": [{"inline": SHA1_CRL}]});
    let strict = json!({"weakCryptography": ["AcceptSha1Signatures"]});
    let mut lowered = index(SHA1_CA, &[], &json!({"requirements": strict, "revocation": revocation}));
    let (decision, steps) = decide(&mut lowered, SHA1_CLIENT);
    assert_eq!(reason(&decision), Ok(()), "{}", detail(&decision));
    assert!(
        steps.iter().any(|step| step.detail.contains("is not listed in CRL of [CN=SHA-1 CA] number 1")),
        "{steps:#?}"
    );

    // P-256 throughout, and a CRL by the algorithm that the profile does not take.
    let (root, client) = (SigningKey::p256(), SigningKey::p256());
    let anchor = pem("CERTIFICATE", &Draft::ca("CN=Root", "CN=Root", &root).der(&root));
    let leaf = pem("CERTIFICATE", &Draft::client("CN=client", "CN=Root", &client).der(&root));
    let crl = pem("X509 CRL", &CrlDraft::new("CN=Root").der(&root));
    let revocation = json!({"mode": "Offline", "crls": [{"inline": crl}]});
    for (algorithms, want) in
        [(json!(["EcdsaSha256"]), Ok(())), (json!(["EcdsaSha384"]), Err(Reason::SignatureInvalid))]
    {
        let requirements = json!({"allowedSignatureAlgorithms": algorithms});
        let mut index = index(&anchor, &[], &json!({"requirements": requirements, "revocation": revocation}));
        let (decision, _) = decide(&mut index, &leaf);
        assert_eq!(reason(&decision), want, "{}", detail(&decision));
        let unsigned = warnings(&index).iter().any(|warning| warning.contains("is not signed by"));
        assert_eq!(unsigned, want.is_err(), "the CRL counts as the certificates do: {:?}", warnings(&index));
    }
}

/// What another profile takes does not make a CRL of this one: both name the same file, and it is parsed once.
#[test]
fn a_laxer_profile_vouches_for_no_crl() {
    let strict = json!({"revocation": {"mode": "Offline", "crls": [{"file": "sha1.crl"}]}});
    let mut index = index(SHA1_CA, &[], &strict);
    let lax = json!({
        "trustAnchors": [{"inline": SHA1_CA}],
        "requirements": {"weakCryptography": ["AcceptSha1Signatures"]},
        "revocation": strict["revocation"],
    });
    // Its name sorts first, so it is built first.
    index.apply(Object::TrustProfile { meta: meta("lax"), spec: serde_json::from_value(lax).unwrap() });
    index.set_crl_file("sha1.crl", certgate::file::source::crls(&mut SHA1_CRL.as_bytes()));
    index.publish().unwrap();
    let unsigned: Vec<_> = index
        .problems()
        .into_iter()
        .filter(|problem| problem.errors.iter().any(|error| error.message.contains("is not signed by")))
        .map(|problem| problem.id.name)
        .collect();
    assert_eq!(unsigned, ["partners"]);
}

/// A name, the certificates, what is asked, what comes of it, and the policies that the path is valid for.
type PolicyRow<'a> = (&'a str, &'a (String, String, String), Value, Result<(), Reason>, &'a [&'a str]);

#[test]
fn certificate_policies_are_those_that_are_asked_for() {
    const NONE: Result<(), Reason> = Err(Reason::CertUntrusted);
    let asserting = |policies: &'static [&'static str]| move |draft: Draft| draft.with(ext::policies(policies));
    let plain = p256(|ca| ca, |leaf| leaf);
    let gold = p256(asserting(&[GOLD]), asserting(&[GOLD]));
    let mapped =
        p256(|ca| ca.with(ext::policies(&[GOLD])).with(ext::mappings(&[(GOLD, FOREIGN)])), asserting(&[FOREIGN]));
    let any = p256(asserting(&[ext::ANY_POLICY]), asserting(&[GOLD]));
    let asks = p256(|ca| ca.with(ext::policy_constraints(Some(0), None)), |leaf| leaf);
    let set = |set: &[&str]| json!({"initialPolicySet": set});
    let with = |mut spec: Value, key: &str, word: &str| {
        spec[key] = json!(word);
        spec
    };
    let required = || json!({"explicitPolicy": "Required"});
    let rows: Vec<PolicyRow<'_>> = vec![
        ("nothing asked, nothing said", &plain, json!({}), Ok(()), &[]),
        ("nothing asked, gold said", &gold, json!({}), Ok(()), &[GOLD]),
        ("nothing asked, but the CA asks", &asks, json!({}), NONE, &[]),
        ("any is required, none said", &plain, required(), NONE, &[]),
        ("any is required, gold said", &gold, required(), Ok(()), &[GOLD]),
        ("gold", &gold, set(&[GOLD]), Ok(()), &[GOLD]),
        ("gold or silver", &gold, set(&[SILVER, GOLD]), Ok(()), &[GOLD]),
        ("silver", &gold, set(&[SILVER]), NONE, &[]),
        ("gold of nobody", &plain, set(&[GOLD]), NONE, &[]),
        ("silver, not required", &gold, with(set(&[SILVER]), "explicitPolicy", "NotRequired"), Ok(()), &[]),
        ("mapped", &mapped, set(&[GOLD]), Ok(()), &[GOLD]),
        ("mapped, by the other name", &mapped, set(&[FOREIGN]), NONE, &[]),
        ("mapped, inhibited", &mapped, with(set(&[GOLD]), "policyMapping", "Inhibited"), NONE, &[]),
        ("anyPolicy in the CA", &any, set(&[GOLD]), Ok(()), &[GOLD]),
        ("anyPolicy in the CA, inhibited", &any, with(set(&[GOLD]), "anyPolicy", "Inhibited"), NONE, &[]),
    ];
    for (row, (root, ca, leaf), policies, want, valid) in rows {
        let requirements = wants(json!({"certificatePolicies": policies}));
        let mut index = index(root, std::slice::from_ref(ca), &requirements);
        let (decision, steps) = decide(&mut index, leaf);
        assert_eq!(reason(&decision), want, "{row}: {}", detail(&decision));
        let found = decision.verdict().map(|grant| grant.policies().names()).unwrap_or_default();
        assert_eq!(found, valid, "{row}");
        let told =
            steps.iter().any(|step| step.detail == format!("valid for certificate policies {}", valid.join(", ")));
        assert_eq!(told, !valid.is_empty(), "{row}: {steps:#?}");
        if want == NONE {
            assert!(detail(&decision).contains("an explicit policy is required"), "{row}: {}", detail(&decision));
        }
    }
}

#[test]
fn settings_that_do_nothing_are_told() {
    let (root, ca, _) = p256(|ca| ca, |leaf| leaf);
    let rows = [
        (json!({"initialPolicySet": [GOLD], "explicitPolicy": "NotRequired"}), vec!["explicitPolicy"]),
        (json!({"anyPolicy": "Inhibited", "policyMapping": "Inhibited"}), vec!["policyMapping", "anyPolicy"]),
        (json!({"anyPolicy": "Inhibited", "explicitPolicy": "Required"}), vec![]),
        (json!({"anyPolicy": "Inhibited", "initialPolicySet": [GOLD]}), vec![]),
    ];
    for (policies, fields) in rows {
        let mut index = index(&root, std::slice::from_ref(&ca), &wants(json!({"certificatePolicies": policies})));
        index.publish();
        let warnings = warnings(&index);
        assert_eq!(warnings.len(), fields.len(), "{policies}: {warnings:?}");
        for (warning, field) in warnings.iter().zip(fields) {
            assert!(warning.starts_with(&format!("spec.requirements.certificatePolicies.{field}: ")), "{warning}");
        }
    }
}
