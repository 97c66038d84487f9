use std::num::NonZeroUsize;

use super::explanation::line;
use super::*;
use crate::domain::decide::decision::{Decision, Denial, Mode, Reveal};
use crate::domain::decide::identity::Identity;
use crate::domain::decide::reason::Reason;
use crate::domain::evidence::{ChainSource, EvidenceRule, gather};
use crate::domain::store::Index;
use crate::terminal::Terminal;
use certgate_x509::Sha256;

fn certificate(name: &str) -> rcgen::Certificate {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap()
}

/// The question's request under `rule`: the evidence that a policy finds.
fn found(question: &Question, rule: EvidenceRule) -> Option<crate::domain::evidence::Evidence> {
    let presented = QuestionCertificates::of(question).unwrap();
    let rules = [rule];
    let made = presented.xfcc(question, &rules);
    let headers = HeaderLines(&question.headers, made.as_ref().map(|made| made.value.as_str()));
    let request = Request {
        named_policy: None,
        http: None,
        peer_certificate: presented.leaf.as_bytes(),
        headers: &headers,
        source_address: None,
    };
    gather(&rules, &request).unwrap()
}

#[test]
fn certificates_are_presented_as_envoy_presents_them() {
    let (leaf, issuer) = (certificate("leaf"), certificate("issuer"));
    let question = Question {
        certificate: Some(format!("Bag Attributes\r\n{}", leaf.pem())),
        chain: Some(issuer.pem()),
        ..Question::default()
    };
    let peer = found(&question, EvidenceRule::PeerCertificate { chain_from: ChainSource::None }).unwrap();
    assert_eq!(peer.leaf, leaf.der().to_vec());
    let rule = EvidenceRule::Xfcc { element: NonZeroUsize::MIN, by: None };
    let xfcc = found(&question, rule.clone()).unwrap();
    assert_eq!(xfcc.leaf, leaf.der().to_vec());
    assert!(xfcc.chain.iter().any(|der| *der == issuer.der().to_vec()), "{:?}", xfcc.chain.len());

    let own = Question { headers: vec![line("X-Forwarded-Client-Cert", "Hash=00")], ..question };
    let presented = QuestionCertificates::of(&own).unwrap();
    assert_eq!(presented.xfcc(&own, std::slice::from_ref(&rule)), None, "a header that is given is not added to");
    assert!(found(&Question::default(), rule).is_none());
}

#[test]
fn the_made_header_is_what_the_evidence_asks_for() {
    let leaf = certificate("leaf");
    let question = Question { certificate: Some(leaf.pem()), ..Question::default() };
    let presented = QuestionCertificates::of(&question).unwrap();
    let xfcc = |element: usize, by: Option<&str>| EvidenceRule::Xfcc {
        element: NonZeroUsize::new(element).unwrap(),
        by: by.map(str::to_owned),
    };
    for (element, by, assumed) in [
        (1, None, None),
        (1, Some("spiffe://a/gw"), Some("with By=spiffe://a/gw,")),
        (3, None, Some("as element 3 from the right,")),
        (2, Some("spiffe://a/gw"), Some("as element 2 from the right, with By=spiffe://a/gw,")),
        (1, Some("spiffe://a/b,c;d"), Some("with By=spiffe://a/b,c;d, in the JSON form, since the text form cannot")),
        (3, Some("spiffe://a/\"b\\"), Some("in the JSON form,")),
        (2, Some("spiffe://a/b\u{e9}"), Some("in the JSON form,")),
    ] {
        let rule = xfcc(element, by);
        let evidence = found(&question, rule.clone()).unwrap();
        assert_eq!(evidence.leaf, leaf.der().to_vec(), "{rule}");
        let told = presented.xfcc(&question, std::slice::from_ref(&rule)).unwrap().assumed;
        assert_eq!(told.is_some(), assumed.is_some(), "{rule}: {told:?}");
        assert!(assumed.is_none_or(|words| told.unwrap().contains(words)), "{rule}");
    }
    let header = EvidenceRule::Header {
        format: crate::domain::evidence::HeaderFormat::Nginx,
        name: "ssl-client-cert".to_owned(),
        chain_name: None,
    };
    assert_eq!(presented.xfcc(&question, &[header]), None, "a header that nobody reads is not made");
    assert_eq!(presented.xfcc(&question, &[]), None);
}

#[test]
fn a_file_with_a_chain_has_the_leaf_first() {
    let (leaf, issuer) = (certificate("leaf"), certificate("issuer"));
    let question = Question { certificate: Some(leaf.pem() + &issuer.pem()), ..Question::default() };
    let presented = QuestionCertificates::of(&question).unwrap();
    assert_eq!(presented.count, 2);
    assert_eq!(presented.sha256, Some(Sha256::of(leaf.der())));
}

fn explanation(decision: &Decision) -> Explanation {
    Explanation {
        warnings: Vec::new(),
        at: "2026-11-22T05:00:00Z".into(),
        generation: 1,
        request: ExplainedRequest {
            host: Some("api.example.com".into()),
            path: Some("/v1/payments".into()),
            method: Some("GET".into()),
            certificates: 1,
            ..ExplainedRequest::default()
        },
        steps: vec![
            ExplainedStep {
                stage: "select".into(),
                result: StepResult::Pass,
                detail: "host api.example.com = api.example.com".into(),
            },
            ExplainedStep {
                stage: "path".into(),
                result: StepResult::Note,
                detail: format!("leaf {} of CN=acme,O=Acme Corporation,C=DE issued by CN=Partner CA", "0f".repeat(32)),
            },
            ExplainedStep {
                stage: "path".into(),
                result: StepResult::Fail,
                detail: "notAfter\u{1b}[31m 2026-01-01T00:00:00Z < now".into(),
            },
        ],
        upstream: None,
        answer: answer(decision),
        decision: explained_decision(decision),
    }
}

#[test]
fn the_page_leads_from_the_request_to_what_to_do() {
    let mut denial = Denial::new(Reason::CertExpired, "notAfter 2026-01-01T00:00:00Z < now 2026-11-22T05:00:00Z");
    denial.reveal = Reveal::Reason;
    let decision = Decision::unchecked("payments/payments-api", Mode::Enforce, None, Err(denial));
    let page = render(&explanation(&decision), Length::Full, Terminal { width: 80, ..Terminal::default() });
    let want = "\
Request
  line      GET /v1/payments
  host      api.example.com
  policy    chosen by host, path and method
  client    one certificate
  time      2026-11-22T05:00:00Z

Steps
    ok  select  host api.example.com = api.example.com
     ·  path    leaf
                0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
                of CN=acme,O=Acme Corporation,C=DE issued by CN=Partner CA
  FAIL          notAfter [31m 2026-01-01T00:00:00Z < now

Decision
  DENY  CERT_EXPIRED (IIS 403.17)

  policy    payments/payments-api
  meaning   The certificate, or a CA certificate of its only path, has expired.
  found     notAfter 2026-01-01T00:00:00Z < now 2026-11-22T05:00:00Z
  to do     Renew the certificate.

The client's answer
  status    403
  header    x-certgate-reason: CERT_EXPIRED
";
    assert_eq!(page, want, "got:\n{page}");
}

#[test]
fn a_brief_page_is_the_decision_and_what_to_do() {
    let denial = Denial::new(Reason::CertExpired, "notAfter 2026-01-01T00:00:00Z < now 2026-11-22T05:00:00Z");
    let decision = Decision::unchecked("payments/payments-api", Mode::Enforce, None, Err(denial));
    let mut explanation = explanation(&decision);
    let page = render(&explanation, Length::Brief, Terminal { width: 80, ..Terminal::default() });
    let want = "  DENY  CERT_EXPIRED (IIS 403.17)

  policy    payments/payments-api
  meaning   The certificate, or a CA certificate of its only path, has expired.
  found     notAfter 2026-01-01T00:00:00Z < now 2026-11-22T05:00:00Z
  to do     Renew the certificate.
";
    assert_eq!(page, want, "got:\n{page}");
    explanation.warnings.push("the last edit was refused".into());
    let page = render(&explanation, Length::Brief, Terminal::default());
    assert!(page.ends_with("\nWarning\n  the last edit was refused\n"), "{page}");
}

#[test]
fn what_a_text_holds_cannot_deceive_the_terminal() {
    let denial = Denial::new(Reason::CertExpired, "a\u{202e}b");
    let decision = Decision::unchecked("ns/api", Mode::Enforce, None, Err(denial));
    let mut explanation = explanation(&decision);
    explanation.steps[0].detail = "\u{202e}gpj.exe \u{200b}\u{9b}2J".into();
    let page = render(&explanation, Length::Full, Terminal::default());
    assert!(page.chars().all(|c| c == '\n' || c == '·' || (' '..='~').contains(&c) || c == '\u{fffd}'), "{page}");
}

#[test]
fn no_line_is_wider_than_the_terminal_unless_a_word_is() {
    let decision = Decision::unchecked("ns/api", Mode::Enforce, None, Err(Denial::new(Reason::CertRequired, "")));
    for width in [50, 80, 100, 160] {
        let terminal = Terminal { width, ..Terminal::default() };
        for line in render(&explanation(&decision), Length::Full, terminal).lines() {
            let words = line.split_whitespace().count();
            assert!(line.chars().count() <= width || words == 1, "{width}: {line}");
            assert_eq!(line.trim_end(), line, "no blanks at the end");
        }
    }
}

#[test]
fn json_comes_back_as_it_went() {
    let identity = Identity { user: "svc".into(), groups: vec!["g".into()], uid: None, extra: Default::default() };
    for decision in [
        Decision::unchecked("ns/api", Mode::Enforce, None, Ok((Some(identity), &[]))),
        Decision::unchecked("ns/api", Mode::Audit, None, Err(Denial::new(Reason::NoMapping, "x"))),
    ] {
        let explanation = explanation(&decision);
        assert!(explanation.passes());
        let json = serde_json::to_string(&explanation).unwrap();
        assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), explanation);
    }
}

#[test]
fn a_question_without_a_request_line_is_a_connection() {
    let snapshot = Index::new().publish().unwrap();
    let now = UnixTime::from_secs(0);
    let tcp = Question { policy: Some("ns/tcp".into()), ..Question::default() };
    assert_eq!(explain(&tcp, &snapshot, now).unwrap().request.method, None);
    let http = Question { host: Some("a".into()), ..Question::default() };
    let asked = explain(&http, &snapshot, now).unwrap().request;
    assert_eq!((asked.method.as_deref(), asked.path.as_deref()), (Some("GET"), Some("/")));
}
