//! Ten thousand mutated CheckRequests: none crashes, and none is allowed that does not ask the original question with the
//! original certificate.
//!
//! The request that is mutated is allowed, so every mutation that passes has to be justified: an independent decoder
//! (prost, and a naive reading of the PEM) must find the same certificate, host and path in it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use certgate::envoy::proto::auth::attribute_context::{HttpRequest, Peer, Request};
use certgate::envoy::proto::auth::check_response::HttpResponse;
use certgate::envoy::proto::auth::{AttributeContext, CheckRequest, CheckResponse};
use certgate::envoy::service::Authorizer;
use certgate::file::loader::{Loader, ReloadOutcome};
use certgate::metrics::Metrics;
use certgate_x509::UnixTime;
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use certgate_testing::mutate;

use mutate::{Random, mutate};

const MUTATIONS: usize = 10_000;
const HOST: &str = "api.example.com";

/// A directory with one policy, and the PEM and DER of a client that it allows.
fn scene(dir: &Path) -> (String, Vec<u8>) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.distinguished_name.push(DnType::CommonName, "Root");
    let root_key = KeyPair::generate().expect("a key");
    let root_certificate = root.self_signed(&root_key).expect("a root");
    let mut leaf = CertificateParams::new(vec!["acme.test".to_owned()]).expect("a DNS name");
    leaf.distinguished_name.push(DnType::CommonName, "acme");
    leaf.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    let leaf_key = KeyPair::generate().expect("a key");
    let leaf = leaf.signed_by(&leaf_key, &Issuer::from_params(&root, &root_key)).expect("a leaf");

    fs::write(dir.join("root.pem"), root_certificate.pem()).expect("a writable directory");
    let policy = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: t}\nspec: {trustAnchors: [{file: root.pem}]}\n\
                  ---\napiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: p}\nspec:\n  \
                  match: [{hosts: [api.example.com], paths: [{prefix: /v1}], methods: [GET]}]\n  trustRef: {name: t}\n";
    fs::write(dir.join("policy.yaml"), policy).expect("a writable directory");
    (leaf.pem(), leaf.der().to_vec())
}

fn url_encoded(pem: &str) -> String {
    pem.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D").replace(' ', "%20").replace('\n', "%0A")
}

fn request(certificate: String) -> Vec<u8> {
    let http = HttpRequest {
        method: "GET".to_owned(),
        path: "/v1/payments".to_owned(),
        host: HOST.to_owned(),
        headers: Default::default(),
        header_map: None,
    };
    let attributes = AttributeContext {
        source: Some(Peer { address: None, certificate }),
        request: Some(Request { http: Some(http) }),
        context_extensions: Default::default(),
    };
    CheckRequest { attributes: Some(attributes) }.encode_to_vec()
}

fn allows(authorizer: &Authorizer, message: &[u8]) -> bool {
    let response =
        CheckResponse::decode(Bytes::copy_from_slice(authorizer.check(message).message())).expect("a response");
    match (response.status.map(|status| status.code), response.http_response) {
        (Some(0), Some(HttpResponse::OkResponse(_))) => true,
        (Some(1..), Some(HttpResponse::DeniedResponse(_))) => false,
        other => panic!("neither an allow nor a denial: {other:?}"),
    }
}

/// The octets between the armour of a URL-encoded PEM, read without any strictness.
fn naive_der(certificate: &str) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut rest = certificate.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
        text.push(if byte == b'%' { (hex(rest.next())? << 4 | hex(rest.next())?) as u8 } else { byte });
    }
    let text = String::from_utf8(text).ok()?;
    let (_, after) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = after.split_once("-----END CERTIFICATE-----")?;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

/// Whether `message` asks the original question.
fn is_the_original(message: &[u8], der: &[u8]) -> bool {
    let Ok(CheckRequest { attributes: Some(attributes) }) = CheckRequest::decode(message) else { return false };
    let http = attributes.request.and_then(|request| request.http).unwrap_or_default();
    let host = http.host.split(':').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let path = http.path.split('?').next().unwrap_or_default();
    let certificate = attributes.source.unwrap_or_default().certificate;
    host == HOST
        && (path == "/v1" || path.starts_with("/v1/"))
        && http.method == "GET"
        && naive_der(&certificate).is_some_and(|found| found == der)
}

#[test]
fn no_mutated_request_is_allowed_unless_it_is_the_original_in_other_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let (pem, der) = scene(dir.path());
    let ReloadOutcome::Published(snapshot) = Loader::new(dir.path()).reload().outcome else {
        panic!("the policy compiles")
    };
    let now = || UnixTime::from_secs(1_800_000_000);
    let authorizer: Authorizer = Authorizer::new(Arc::new(Metrics::new()), now, 0);
    authorizer.publish(snapshot);

    let original = request(url_encoded(&pem));
    assert!(allows(&authorizer, &original), "the original is allowed");
    assert!(is_the_original(&original, &der));

    let mut random = Random(0x6d75_7461_7465);
    let mut passed = 0;
    for at in 0..MUTATIONS {
        // Half of the mutations hit the message's frame, half the certificate inside an intact frame.
        let mutated = match at % 2 {
            0 => mutate(&original, &mut random),
            _ => request(String::from_utf8_lossy(&mutate(url_encoded(&pem).as_bytes(), &mut random)).into_owned()),
        };
        if allows(&authorizer, &mutated) {
            passed += 1;
            assert!(is_the_original(&mutated, &der), "mutation {at} is allowed: {}", mutated.escape_ascii());
        }
    }
    // Some mutations are harmless (a longer path, nothing at all); most are not.
    assert!(passed < MUTATIONS / 10, "{passed} of {MUTATIONS} passed");
}
