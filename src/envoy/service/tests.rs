use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::clock;
use crate::domain::decide::decision::{Presented, PresentedNames};
use crate::domain::decide::identity::Identity;
use crate::domain::evidence::EvidenceSource;
use crate::domain::store::Index;
use crate::envoy::proto::auth::attribute_context::{HttpRequest, Peer, Request as RequestMessage};
use crate::envoy::proto::auth::check_response::HttpResponse;
use crate::envoy::proto::auth::{AttributeContext, CheckRequest as CheckMessage, CheckResponse};
use certgate_x509::Sha256;

/// An authorizer with a snapshot that decides by `decide`.
fn authorizer(decide: impl Fn(&Request<'_>) -> Decision + Send + Sync + 'static) -> Authorizer {
    let authorizer = Authorizer::new(Arc::new(Metrics::new()), || UnixTime::from_secs(1_800_000_000), 10);
    authorizer.publish(Index::new().publish().unwrap());
    authorizer.deciding_by(decide)
}

fn allow() -> Decision {
    let identity = Identity { user: "u".into(), groups: Vec::new(), uid: None, extra: Default::default() };
    Decision::unchecked("ns/api", Mode::Enforce, None, Ok((Some(identity), &[("x-certgate-user", "u")])))
}

fn message() -> Vec<u8> {
    let http = HttpRequest {
        method: "GET".into(),
        path: "/v1/a\u{1b}b?token=secret".into(),
        host: "api.example.com".into(),
        headers: [("x-request-id".into(), "id-7".into())].into(),
        header_map: None,
    };
    CheckMessage {
        attributes: Some(AttributeContext {
            source: Some(Peer { address: None, certificate: "PEM-BYTES".into() }),
            request: Some(RequestMessage { http: Some(http) }),
            context_extensions: Default::default(),
        }),
    }
    .encode_to_vec()
}

/// The HTTP status that Envoy answers with; `None` when it lets the request pass.
fn refused_with(reply: &Reply) -> Option<i32> {
    let response = CheckResponse::decode(reply.message()).unwrap();
    match (response.status.unwrap().code, response.http_response.unwrap()) {
        (0, HttpResponse::OkResponse(_)) => None,
        (1.., HttpResponse::DeniedResponse(answer)) => Some(answer.status.unwrap().code),
        other => panic!("{other:?}"),
    }
}

/// The lines that `work` logs at the default level.
fn logged(work: impl FnOnce()) -> Vec<serde_json::Value> {
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl MakeWriter<'_> for Sink {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }
    let sink = Sink::default();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(sink.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_grant_passes_and_is_not_logged() {
    let authorizer = authorizer(|_| allow());
    let lines = logged(|| assert_eq!(refused_with(&authorizer.check(&message())), None));
    assert!(lines.is_empty(), "{lines:?}");
    let text = authorizer.metrics().render();
    assert!(text.contains(r#"certgate_decisions_total{policy="ns/api",outcome="Allowed",reason=""} 1"#), "{text}");
}

#[test]
fn a_denial_is_one_line_without_secrets() {
    let authorizer = authorizer(|_| {
        let presented = Presented {
            source: EvidenceSource::PeerCertificate,
            sha256: Sha256::of(b""),
            names: Some(PresentedNames {
                subject: "CN=acme".into(),
                issuer: "CN=ca".into(),
                serial_number: "0a".into(),
            }),
        };
        let denial = Denial::new(Reason::CertExpired, "notAfter 1\nnow 2");
        Decision::unchecked("ns/api", Mode::Enforce, Some(presented), Err(denial))
    });
    let lines = logged(|| assert_eq!(refused_with(&authorizer.check(&message())), Some(403)));
    let [line] = &lines[..] else { panic!("{lines:?}") };
    for (field, want) in [
        ("reason", "CERT_EXPIRED"),
        ("iis", "403.17"),
        ("policy", "ns/api"),
        ("mode", "Enforce"),
        ("detail", "notAfter 1\u{fffd}now 2"),
        ("host", "api.example.com"),
        ("path", "/v1/a\u{fffd}b"),
        ("method", "GET"),
        ("request_id", "id-7"),
        ("certificate.subject", "CN=acme"),
    ] {
        assert_eq!(line[field], want, "{field} of {line}");
    }
    let text = line.to_string();
    assert!(!text.contains("secret") && !text.contains("PEM-BYTES"), "{text}");
}

#[test]
fn what_a_client_chose_is_cut_in_the_log() {
    let long = "n".repeat(100_000);
    let authorizer = authorizer(move |_| {
        let [subject, issuer, serial_number] = [(); 3].map(|()| long.clone());
        let (source, sha256) = (EvidenceSource::PeerCertificate, Sha256::of(b""));
        let names = Some(PresentedNames { subject, issuer, serial_number });
        let presented = Presented { source, sha256, names };
        let denial = Denial::new(Reason::CertUntrusted, long.clone());
        Decision::unchecked("ns/api", Mode::Enforce, Some(presented), Err(denial))
    });
    let lines = logged(|| assert_eq!(refused_with(&authorizer.check(&message())), Some(403)));
    let [line] = &lines[..] else { panic!("{} lines", lines.len()) };
    let length = line.to_string().len();
    assert!(length < 3 * LOGGED + LOGGED_DETAIL + 1024, "{length}");
}

#[test]
fn denials_beyond_the_rate_are_counted_and_told_later() {
    static NOW: AtomicU64 = AtomicU64::new(1_800_000_000);
    let mut authorizer = authorizer(|_| Decision::refused(Reason::NoPolicy, ""));
    authorizer.clock = || UnixTime::from_secs(NOW.load(Ordering::Relaxed).try_into().unwrap());
    let lines = logged(|| (0..25).for_each(|_| drop(authorizer.check(&message()))));
    assert_eq!(lines.len(), 10);
    assert!(authorizer.metrics().render().contains("certgate_denials_not_logged_total 15"));
    NOW.fetch_add(1, Ordering::Relaxed);
    let lines = logged(|| (0..2).for_each(|_| drop(authorizer.check(&message()))));
    assert_eq!(lines.iter().map(|line| line["left_out"].as_u64()).collect::<Vec<_>>(), [Some(15), None, None]);
}

#[test]
fn a_panic_is_a_denial_and_leaves_the_service_usable() {
    let authorizer = authorizer(|request| {
        let mut lines = Vec::new();
        request.headers.lines("x-request-id", &mut lines);
        match lines.first().copied() {
            Some(b"id-7") => panic!("index out of bounds\nforged line"),
            _ => allow(),
        }
    });
    let lines = logged(|| assert_eq!(refused_with(&authorizer.check(&message())), Some(503)));
    assert_eq!(authorizer.metrics().panics(), 1);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line["place"].as_str().unwrap().contains("tests.rs:"), "{line}");
    assert_eq!(line["panic"], "index out of bounds\u{fffd}forged line");
    assert_eq!(refused_with(&authorizer.check(&CheckMessage::default().encode_to_vec())), None);
    assert!(authorizer.metrics().render().contains(r#"outcome="Denied",reason="INTERNAL"} 1"#));
}

#[test]
fn before_the_first_policies_everything_is_denied() {
    let authorizer = Authorizer::new(Arc::new(Metrics::new()), clock::now, 10);
    assert_eq!(refused_with(&authorizer.check(&message())), Some(503));
}

#[test]
fn what_is_not_a_check_request_is_denied() {
    let authorizer = authorizer(|_| allow());
    assert_eq!(refused_with(&authorizer.check(&[0x0a, 0x09, 0x00])), Some(403));
    assert_eq!(refused_with(&authorizer.refuse_unreceived("too large")), Some(403));
    assert!(authorizer.metrics().render().contains("certgate_unreadable_requests_total 2"));
}

#[test]
fn a_decision_on_headers_that_cannot_be_read_is_void() {
    let authorizer = authorizer(|request| {
        request.headers.lines("x-any", &mut Vec::new());
        allow()
    });
    // attributes { request { http { headers: an entry whose key is cut short } } }
    let broken = [0x0a, 8, 0x22, 6, 0x12, 4, 0x1a, 2, 0x0a, 9];
    assert_eq!(refused_with(&authorizer.check(&broken)), Some(403));
}

#[test]
fn mutated_requests_neither_pass_nor_panic() {
    // Without a policy that allows, no content of a message may let it pass.
    let authorizer = Authorizer::new(Arc::new(Metrics::new()), clock::now, 0);
    authorizer.publish(Index::new().publish().unwrap());
    let original = message();
    for at in 0..original.len() {
        for octet in [0, 1, 0x7f, 0x80, 0xff, original[at] ^ 1, original[at] ^ 8] {
            let mut mutated = original.clone();
            mutated[at] = octet;
            assert!(refused_with(&authorizer.check(&mutated)).is_some(), "octet {at} = {octet}");
            assert!(refused_with(&authorizer.check(&mutated[..at])).is_some(), "cut at {at}");
        }
    }
    assert_eq!(authorizer.metrics().panics(), 0);
}
