use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct as ProstStruct, Value};

use super::*;
use crate::domain::decide::decision::{MetadataLevel, Mode, Presented, PresentedNames};
use crate::domain::decide::identity::Identity;
use crate::envoy::proto::auth::check_response::HttpResponse;
use crate::envoy::proto::auth::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use crate::envoy::proto::core::HeaderValueOption;
use certgate_x509::Sha256;

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn identity() -> Identity {
    Identity {
        user: "svc-acme".into(),
        groups: vec!["partners".into(), "gold".into()],
        uid: Some("42".into()),
        extra: BTreeMap::from([("tier".into(), vec!["a".into(), "b".into()])]),
    }
}

fn presented() -> Presented {
    Presented {
        source: EvidenceSource::PeerCertificate,
        sha256: Sha256::of(b""),
        names: Some(PresentedNames { subject: "CN=acme".into(), issuer: "CN=ca".into(), serial_number: "0a".into() }),
    }
}

fn granted(headers: &[(&str, &str)]) -> Decision {
    Decision::unchecked("ns/api", Mode::Enforce, Some(presented()), Ok((Some(identity()), headers)))
}

fn denied(mode: Mode, status: u16, reveal: Reveal) -> Decision {
    let denial = Denial { reason: Reason::CertExpired, detail: "notAfter 1 < now 2".into(), status, reveal };
    Decision::unchecked("ns/api", mode, None, Err(denial))
}

/// The response as Envoy decodes it, and whether it was sent as decided.
fn decode(decision: &Decision, identity_headers: &[&str]) -> (CheckResponse, Sent) {
    let (reply, sent) = Reply::to(decision, &names(identity_headers));
    let response = CheckResponse::decode(reply.message()).unwrap();
    let frame = reply.into_frame();
    assert_eq!(frame[0], 0);
    assert_eq!(u32::from_be_bytes(frame[1..5].try_into().unwrap()) as usize, frame.len() - 5);
    (response, sent)
}

/// Envoy's rule: it lets a response with code 0 pass, and one without a denied response.
fn envoy_lets_pass(response: &CheckResponse) -> bool {
    response.status.as_ref().is_none_or(|status| status.code == 0)
        || !matches!(response.http_response, Some(HttpResponse::DeniedResponse(_)))
}

fn ok(response: &CheckResponse) -> &OkHttpResponse {
    assert_eq!(response.status.as_ref().unwrap().code, 0);
    match response.http_response.as_ref() {
        Some(HttpResponse::OkResponse(ok)) => ok,
        other => panic!("{other:?}"),
    }
}

fn refused(response: &CheckResponse) -> (i32, &DeniedHttpResponse) {
    match response.http_response.as_ref() {
        Some(HttpResponse::DeniedResponse(refused)) => (response.status.as_ref().unwrap().code, refused),
        other => panic!("{other:?}"),
    }
}

fn pairs(headers: &[HeaderValueOption]) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|option| {
            assert_eq!(option.append, Some(false), "the deprecated switch is present and false");
            assert_eq!(option.append_action, 2, "OVERWRITE_IF_EXISTS_OR_ADD");
            let header = option.header.as_ref().unwrap();
            assert!(header.raw_value.is_empty(), "Envoy ignores raw_value");
            (&*header.key, &*header.value)
        })
        .collect()
}

fn text<'s>(metadata: &'s ProstStruct, path: &[&str]) -> Option<&'s str> {
    let (last, parents) = path.split_last().unwrap();
    let inner = parents.iter().try_fold(metadata, |at, key| match at.fields.get(*key)?.kind.as_ref()? {
        Kind::StructValue(inner) => Some(inner),
        _ => None,
    })?;
    match inner.fields.get(*last)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

#[test]
fn a_grant_sets_its_headers_and_removes_the_others() {
    let decision = granted(&[("x-certgate-user", "svc-acme"), ("x-certgate-groups", "partners,gold")]);
    let (response, sent) = decode(&decision, &["x-certgate-groups", "x-certgate-user", "x-other-user"]);
    assert_eq!(sent, Sent::AsDecided);
    assert_eq!(
        pairs(&ok(&response).headers),
        [("x-certgate-user", "svc-acme"), ("x-certgate-groups", "partners,gold")]
    );
    assert_eq!(ok(&response).headers_to_remove, ["x-other-user"], "a name in both lists would vanish");
}

#[test]
fn an_audited_denial_passes_without_identity() {
    let (response, _) = decode(&denied(Mode::Audit, 403, Reveal::Reason), &["x-certgate-groups", "x-certgate-user"]);
    assert!(ok(&response).headers.is_empty());
    assert_eq!(ok(&response).headers_to_remove, ["x-certgate-groups", "x-certgate-user"]);
    let metadata = response.dynamic_metadata.unwrap();
    assert_eq!(text(&metadata, &["mode"]), Some("Audit"));
    assert_eq!(text(&metadata, &["reason"]), Some("CERT_EXPIRED"));
}

#[test]
fn a_denial_reveals_what_the_policy_lets_it() {
    let (response, _) = decode(&denied(Mode::Enforce, 403, Reveal::Nothing), &[]);
    let (code, answer) = refused(&response);
    assert_eq!((code, answer.status.as_ref().unwrap().code), (7, 403));
    assert!(answer.headers.is_empty() && answer.body.is_empty());

    let (response, _) = decode(&denied(Mode::Enforce, 401, Reveal::Reason), &[]);
    let (code, answer) = refused(&response);
    assert_eq!((code, answer.status.as_ref().unwrap().code), (16, 401));
    assert_eq!(pairs(&answer.headers), [(REASON_HEADER, "CERT_EXPIRED"), ("content-type", "text/plain")]);
    assert_eq!(answer.body, "CERT_EXPIRED\n");
}

#[test]
fn a_status_that_envoy_would_pass_through_becomes_403() {
    for status in [0, 100, 200, 302, 399, 600, u16::MAX] {
        let (response, _) = decode(&denied(Mode::Enforce, status, Reveal::Nothing), &[]);
        assert_eq!(refused(&response).1.status.as_ref().unwrap().code, 403, "{status}");
    }
}

#[test]
fn full_metadata_has_identity_and_certificate() {
    let (response, _) = decode(&granted(&[]).with_metadata(MetadataLevel::Full), &[]);
    let metadata = response.dynamic_metadata.unwrap();
    for (path, want) in [
        (&["policy"][..], Some("ns/api")),
        (&["mode"], Some("Enforce")),
        (&["verdict"], Some("Allow")),
        (&["reason"], None),
        (&["identity", "user"], Some("svc-acme")),
        (&["identity", "uid"], Some("42")),
        (&["certificate", "source"], Some("peerCertificate")),
        (&["certificate", "sha256"], Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
        (&["certificate", "subject"], Some("CN=acme")),
        (&["certificate", "issuer"], Some("CN=ca")),
        (&["certificate", "serial"], Some("0a")),
    ] {
        assert_eq!(text(&metadata, path), want, "{path:?}");
    }
    let Some(Kind::StructValue(identity)) = metadata.fields["identity"].kind.as_ref() else { panic!() };
    let list = |value: &Value| match value.kind.as_ref() {
        Some(Kind::ListValue(list)) => list.values.iter().map(|v| v.kind.clone().unwrap()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let strings = |words: &[&str]| words.iter().map(|word| Kind::StringValue((*word).into())).collect::<Vec<_>>();
    assert_eq!(list(&identity.fields["groups"]), strings(&["partners", "gold"]));
    let Some(Kind::StructValue(extra)) = identity.fields["extra"].kind.as_ref() else { panic!() };
    assert_eq!(list(&extra.fields["tier"]), strings(&["a", "b"]));
}

#[test]
fn metadata_of_a_denial_has_the_reason_and_not_the_compared_values() {
    for (level, iis) in [(MetadataLevel::Summary, None), (MetadataLevel::Full, Some("403.17"))] {
        let (response, _) = decode(&denied(Mode::Enforce, 403, Reveal::Nothing).with_metadata(level), &[]);
        let metadata = response.dynamic_metadata.unwrap();
        assert_eq!(text(&metadata, &["reason"]), Some("CERT_EXPIRED"));
        assert_eq!(text(&metadata, &["iis"]), iis);
        assert!(!format!("{metadata:?}").contains("notAfter"));
    }
}

#[test]
fn a_policy_chooses_how_much_metadata_there_is() {
    let (response, full) = decode(&granted(&[]).with_metadata(MetadataLevel::Full), &[]);
    assert!(response.dynamic_metadata.is_some());
    let (response, summary) = decode(&granted(&[]), &[]);
    let metadata = response.dynamic_metadata.unwrap();
    for (path, want) in [
        (&["policy"][..], Some("ns/api")),
        (&["mode"], None),
        (&["verdict"], None),
        (&["identity", "user"], Some("svc-acme")),
        (&["identity", "uid"], None),
        (&["certificate", "sha256"], Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
        (&["certificate", "subject"], None),
    ] {
        assert_eq!(text(&metadata, path), want, "{path:?}");
    }
    let (response, none) = decode(&granted(&[]).with_metadata(MetadataLevel::None), &[]);
    assert!(response.dynamic_metadata.is_none());
    assert_eq!((full, summary, none), (Sent::AsDecided, Sent::AsDecided, Sent::AsDecided));
}

#[test]
fn a_grant_that_cannot_be_sent_is_refused() {
    for (name, headers) in [
        ("line feed in a value", &[("x-user", "a\nb")][..]),
        ("NUL in a value", &[("x-user", "a\0b")]),
        ("DEL in a value", &[("x-user", "a\u{7f}b")]),
        ("C1 control in a value", &[("x-user", "a\u{9b}b")]),
        ("upper case in a name", &[("X-User", "a")]),
        ("pseudo-header", &[(":path", "/admin")]),
        ("blank in a name", &[("x user", "a")]),
        ("empty name", &[("", "a")]),
        ("one name twice", &[("x-user", "a"), ("x-groups", "g"), ("x-user", "b")]),
    ] {
        let (response, sent) = decode(&granted(headers), &["x-user"]);
        assert_eq!(sent, Sent::RefusedInstead, "{name}");
        let (code, answer) = refused(&response);
        assert_eq!((code, answer.status.as_ref().unwrap().code), (7, 503), "{name}");
        assert!(!envoy_lets_pass(&response), "{name}");
    }
}

/// Names the only file that may write a CheckResponse: a structure with defaults would allow by default.
#[test]
fn no_other_code_of_the_adapter_makes_a_response() {
    for (file, source) in [
        ("service.rs", include_str!("../service.rs")),
        ("server.rs", include_str!("../server.rs")),
        ("grpc.rs", include_str!("../grpc.rs")),
    ] {
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        assert_eq!(code.filter(|line| line.contains("CheckResponse")).count(), 0, "{file}");
    }
}

fn reasons() -> impl Strategy<Value = Reason> {
    (0..Reason::ALL.len()).prop_map(|at| Reason::ALL[at].reason)
}

proptest! {
    #[test]
    fn a_denial_never_lets_pass(
        reason in reasons(),
        detail in ".*",
        status in any::<u16>(),
        reveal in prop::bool::ANY,
        remove in prop::collection::vec("[a-z-]{1,12}", 0..5),
    ) {
        let reveal = if reveal { Reveal::Reason } else { Reveal::Nothing };
        let denial = Denial { reason, detail, status, reveal };
        let decision = Decision::unchecked("ns/api", Mode::Enforce, Some(presented()), Err(denial));
        let remove: Vec<&str> = remove.iter().map(String::as_str).collect();
        let (response, _) = decode(&decision, &remove);
        prop_assert!(!envoy_lets_pass(&response));
        let (code, answer) = refused(&response);
        prop_assert!(code != 0);
        prop_assert!((400..=599).contains(&answer.status.as_ref().unwrap().code));
    }

    #[test]
    fn no_control_character_reaches_a_header(
        headers in prop::collection::vec(("[a-z-]{1,8}", "\\PC*|.*|[\\x00-\\x1f]"), 0..4),
    ) {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let (response, _) = decode(&granted(&headers), &[]);
        if let Some(HttpResponse::OkResponse(ok)) = &response.http_response {
            for (_, value) in pairs(&ok.headers) {
                prop_assert!(!value.chars().any(char::is_control));
            }
        }
    }
}

#[test]
fn texts_of_a_certificate_are_cut_in_the_metadata() {
    let long = "CN=".to_owned() + &"a".repeat(60_000);
    let names = PresentedNames { subject: long.clone(), issuer: long.clone(), serial_number: long };
    let presented = Presented { names: Some(names), ..presented() };
    let denial = Denial::new(crate::domain::decide::reason::Reason::CertExpired, "");
    let decision = Decision::unchecked("ns/api", Mode::Enforce, Some(presented), Err(denial));
    let (reply, _) = Reply::to(&decision.with_metadata(MetadataLevel::Full), &[]);
    assert!(reply.message().len() < 2_500, "{}", reply.message().len());
    assert!(String::from_utf8_lossy(reply.message()).contains("aaa…"));
}
