//! A whole Check without Envoy: a policy directory, a CheckRequest as Envoy encodes it, and the answer as Envoy decodes
//! it. The same request is explained, so that the two cannot tell different stories.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use certgate::app::policies;
use certgate::envoy::proto::auth::attribute_context::{HttpRequest, Peer, Request};
use certgate::envoy::proto::auth::check_response::HttpResponse;
use certgate::envoy::proto::auth::{AttributeContext, CheckRequest, CheckResponse};
use certgate::envoy::service::Authorizer;
use certgate::explain::{Explanation, HeaderLine, Question, StepResult, explain};
use certgate::metrics::Metrics;
use certgate_x509::UnixTime;
use prost::Message;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// 2026-06-01T00:00:00Z, within the validity of what [`World`] issues.
const NOW: i64 = 1_780_272_000;

struct World {
    authorizer: Authorizer,
    issuer: Issuer<'static, KeyPair>,
}

impl World {
    fn new() -> Self {
        Self::by(POLICIES)
    }

    fn by(policies: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::default();
        root.distinguished_name.push(DnType::CommonName, "Partner CA");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        validity(&mut root);
        let pem = root.self_signed(&key).unwrap().pem();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("roots.pem"), pem).unwrap();
        fs::write(directory.path().join("policies.yaml"), policies).unwrap();
        let loaded = policies::load(directory.path()).unwrap();
        assert!(loaded.first.problems.is_empty(), "{:?}", loaded.first.problems);
        let authorizer = Authorizer::new(Arc::new(Metrics::new()), || UnixTime::from_secs(NOW), 0);
        authorizer.publish(loaded.snapshot);
        Self { authorizer, issuer: Issuer::new(root, key) }
    }

    fn client(&self, organization: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let mut client = CertificateParams::default();
        client.distinguished_name.push(DnType::OrganizationName, organization);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        client.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        validity(&mut client);
        client.signed_by(&key, &self.issuer).unwrap().pem()
    }

    fn check(&self, request: &CheckRequest) -> CheckResponse {
        CheckResponse::decode(self.authorizer.check(&request.encode_to_vec()).message()).unwrap()
    }

    fn explain(&self, pem: &str, path: &str) -> Explanation {
        let question = Question {
            host: Some("api.example.com".into()),
            path: Some(path.into()),
            certificate: (!pem.is_empty()).then(|| pem.into()),
            ..Question::default()
        };
        explain(&question, &self.authorizer.current().unwrap(), UnixTime::from_secs(NOW)).unwrap()
    }
}

fn validity(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
}

const POLICIES: &str = r#"
apiVersion: certgate.dev/v1alpha1
kind: TrustProfile
metadata: {name: partners, namespace: payments}
spec:
  trustAnchors: [{file: roots.pem}]
---
apiVersion: certgate.dev/v1alpha1
kind: CertificatePolicy
metadata: {name: payments-api, namespace: payments}
spec:
  match: [{hosts: [api.example.com], paths: [{prefix: /v1}]}]
  trustRef: {name: partners}
  mapping:
    rules:
    - {name: no-evil, action: Deny, where: [{field: Subject, attribute: O, value: "*Evil*"}]}
    - {name: contoso, action: Allow, where: [{field: Subject, attribute: O, value: "Conto*"}], identity: {user: contoso, groups: [partners]}}
---
apiVersion: certgate.dev/v1alpha1
kind: CertificatePolicy
metadata: {name: other, namespace: payments}
spec:
  match: [{hosts: [other.example.com]}]
  trustRef: {name: partners}
  response: {headers: {user: x-other-user}}
"#;

fn url_encoded(pem: &str) -> String {
    pem.bytes()
        .map(|c| if c.is_ascii_alphanumeric() || c == b'-' { char::from(c).to_string() } else { format!("%{c:02X}") })
        .collect()
}

fn request(pem: &str, path: &str) -> CheckRequest {
    let http = HttpRequest {
        method: "GET".into(),
        path: path.into(),
        host: "api.example.com".into(),
        headers: HashMap::from([("x-certgate-user".into(), "root".into())]),
        header_map: None,
    };
    let source = Peer { address: None, certificate: url_encoded(pem) };
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(source),
            request: Some(Request { http: Some(http) }),
            context_extensions: HashMap::new(),
        }),
    }
}

#[test]
fn a_rule_lets_its_certificates_pass_with_an_identity() {
    let world = World::new();
    let pem = world.client("Contoso");
    let response = world.check(&request(&pem, "/v1/payments"));
    assert_eq!(response.status.unwrap().code, 0);
    let Some(HttpResponse::OkResponse(ok)) = response.http_response else { panic!("refused") };
    let mut set: Vec<HeaderLine> = ok
        .headers
        .into_iter()
        .map(|option| option.header.unwrap())
        .map(|header| HeaderLine { name: header.key, value: header.value })
        .collect();
    set.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(
        set.iter().map(|line| (&*line.name, &*line.value)).collect::<Vec<_>>(),
        [("x-certgate-groups", "partners"), ("x-certgate-user", "contoso")]
    );
    assert_eq!(ok.headers_to_remove, ["x-other-user"]);

    let explanation = world.explain(&pem, "/v1/payments");
    let mut upstream = explanation.upstream.unwrap();
    upstream.set.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!((upstream.set, upstream.remove), (set, ok.headers_to_remove));
    assert_eq!(explanation.decision.identity.unwrap().user, "contoso");
}

#[test]
fn refusals_are_explained_with_the_reason_that_the_log_has() {
    let world = World::new();
    let stranger = World::new();
    for (name, pem, path, reason, status) in [
        ("denied by rule", world.client("Contoso Evil"), "/v1", "MAPPING_DENIED", 403),
        ("no rule", world.client("Fabrikam"), "/v1", "NO_MAPPING", 403),
        ("another CA of the same name", stranger.client("Contoso"), "/v1", "SIGNATURE_INVALID", 403),
        ("no certificate", String::new(), "/v1", "CERT_REQUIRED", 403),
        ("a path without policy", world.client("Contoso"), "/v2", "NO_POLICY", 403),
        ("an ambiguous path", world.client("Contoso"), "/v2/../v1", "PATH_AMBIGUOUS", 400),
    ] {
        let response = world.check(&request(&pem, path));
        assert_ne!(response.status.unwrap().code, 0, "{name}");
        let Some(HttpResponse::DeniedResponse(answer)) = response.http_response else { panic!("{name} passed") };
        assert_eq!(answer.status.unwrap().code, status, "{name}");
        let metadata = format!("{:?}", response.dynamic_metadata.unwrap().fields["reason"]);
        let explained = world.explain(&pem, path).decision.reason.unwrap().code;
        assert!(metadata.contains(&explained), "{name}: {metadata} is not {explained}");
        assert_eq!(explained, reason, "{name}");
    }
}

#[test]
fn explain_notes_what_does_not_count() {
    let world = World::new();
    let (client, other) = (world.client("Contoso"), world.client("Fabrikam"));
    let (host, path) = (Some("api.example.com".to_owned()), Some("/v1".to_owned()));
    let question = Question { host, path, certificate: Some(client.clone()), ..Question::default() };
    let with_chain = Question { certificate: Some(client + &other), ..question.clone() };
    let named = |name: &str| Question { policy: Some(name.to_owned()), ..question.clone() };
    let chain = "not used: 1 more in x-forwarded-client-cert; to use them as intermediates, write evidence: \
                 [{peerCertificate: {chainFrom: Xfcc}}]";
    let route = "the policy's match would not select this request; what the route names overrides match";
    for (name, question, want) in [
        ("the certificate alone", &question, None),
        ("with another", &with_chain, Some(chain)),
        ("a route that names the policy that matches", &named("payments/payments-api"), None),
        ("a route that names another", &named("payments/other"), Some(route)),
    ] {
        let explanation = explain(question, &world.authorizer.current().unwrap(), UnixTime::from_secs(NOW)).unwrap();
        let notes = explanation.steps.iter().filter(|step| step.result == StepResult::Note);
        let notes: Vec<&str> = notes.map(|step| &*step.detail).filter(|text| [chain, route].contains(text)).collect();
        assert_eq!(notes, Vec::from_iter(want), "{name}: {:#?}", explanation.steps);
    }
}

/// Whatever is changed in the certificate, it is not let pass: not by a panic, not by a lenient reading.
#[test]
fn mutated_certificates_do_not_pass() {
    let world = World::new();
    let pem = world.client("Contoso");
    let good = request(&pem, "/v1").encode_to_vec();
    let source = url_encoded(&pem);
    let start = good.windows(source.len()).position(|window| window == source.as_bytes()).unwrap();
    let (mut refused, mut same) = (0, 0);
    for at in start..start + source.len() {
        for octet in [b'A', b'%', b'+', b'=', 0, b'0', b'\n', 0x7f, 0xff, good[at] ^ 1, good[at] ^ 0x20] {
            let mut bytes = good.clone();
            bytes[at] = octet;
            let response = CheckResponse::decode(world.authorizer.check(&bytes).message()).unwrap();
            match response.status.unwrap().code {
                // The same certificate, written otherwise, such as %2b for %2B.
                0 => {
                    same += 1;
                    let text = String::from_utf8_lossy(&bytes[start..start + source.len()]).into_owned();
                    assert_eq!(certificate_text(&text), certificate_text(&source), "octet {at} = {octet}");
                }
                _ => refused += 1,
            }
        }
    }
    assert!(refused > 5_000, "{refused}");
    assert!(same < source.len(), "{same}");
    assert_eq!(world.authorizer.metrics().panics(), 0);
}

/// The base64 text of an URL-encoded PEM.
fn certificate_text(encoded: &str) -> String {
    let mut out = Vec::new();
    let mut octets = encoded.bytes();
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'%' => {
                let digits = [octets.next().unwrap(), octets.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(out).unwrap().split_whitespace().collect()
}

/// A policy that wants the proxy's name in XFCC is explained with it, and explain says that it is assumed.
#[test]
fn evidence_by_a_named_proxy_can_be_explained() {
    let wanting = |section: &str| World::by(&POLICIES.replacen("  mapping:\n", &format!("{section}  mapping:\n"), 1));
    let by = "  evidence: [{xfcc: {element: 2, by: \"spiffe://example.com/gateway\"}}]\n";
    let world = wanting(by);
    let pem = world.client("Contoso");
    let explanation = world.explain(&pem, "/v1/payments");
    assert!(explanation.passes(), "{explanation:#?}");
    let [assumed] = &explanation.warnings[..] else { panic!("{:?}", explanation.warnings) };
    let words = "assumed to come in it as element 2 from the right, with By=spiffe://example.com/gateway, because";
    assert!(assumed.contains(words) && assumed.contains("--header"), "{assumed}");
    let given = Question {
        host: Some("api.example.com".into()),
        path: Some("/v1".into()),
        headers: vec![HeaderLine {
            name: "X-Forwarded-Client-Cert".into(),
            value: "By=spiffe://example.com/other".into(),
        }],
        certificate: Some(pem.clone()),
        ..Question::default()
    };
    let explanation = explain(&given, &world.authorizer.current().unwrap(), UnixTime::from_secs(NOW)).unwrap();
    assert_eq!(explanation.decision.reason.unwrap().code, "FORWARDED_INVALID", "what is given counts");
    assert!(explanation.warnings.is_empty(), "{:?}", explanation.warnings);
    let explanation = wanting("").explain(&pem, "/v1/payments");
    assert!(explanation.warnings.is_empty(), "nothing is assumed of source.certificate: {:?}", explanation.warnings);
}

/// A header that the user has not given is not spoken of where no policy would have read it.
#[test]
fn without_a_policy_no_header_is_made_up() {
    let world = World::new();
    let explanation = world.explain(&world.client("Contoso"), "/v2");
    assert_eq!(explanation.decision.reason.as_ref().unwrap().code, "NO_POLICY");
    let text = serde_json::to_string(&explanation).unwrap();
    assert!(!text.contains("x-forwarded-client-cert"), "{text}");
    let evidence = "  evidence: [{header: {format: Nginx}}]\n";
    let world = World::by(&POLICIES.replacen("  mapping:\n", &format!("{evidence}  mapping:\n"), 1));
    let explanation = world.explain(&world.client("Contoso"), "/v1");
    assert_eq!(explanation.decision.reason.as_ref().unwrap().code, "CERT_REQUIRED");
    let told: Vec<&str> = explanation.steps.iter().map(|step| step.detail.as_str()).collect();
    assert!(!told.iter().any(|step| step.contains("x-forwarded-client-cert")), "{told:#?}");
}

#[test]
fn another_spelling_that_a_policy_would_take_is_told() {
    let world = World::new();
    let told = |path: &str| {
        let explanation = world.explain("", path);
        assert_eq!(explanation.decision.reason.unwrap().code, "NO_POLICY", "{path}");
        let steps = explanation.steps.into_iter().map(|step| step.detail);
        steps.filter(|step| step.starts_with("another spelling")).collect::<Vec<_>>()
    };
    for path in ["/V1/payments", "/v1./payments", "/%20v1"] {
        let words = "would be selected by policy payments/payments-api (host api.example.com, paths below /v1)";
        assert!(matches!(&told(path)[..], [step] if step.contains(words)), "{path}: {:?}", told(path));
    }
    assert_eq!(told("/v2/payments"), [""; 0]);
}
