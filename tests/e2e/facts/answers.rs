//! What a CheckResponse does.

use super::Bench;
use crate::with_envoy;
use certgate_harness::client::{Call, Client};
use certgate_harness::envoy_config::{FailureMode, Listener, Underscores};
use certgate_harness::pki::Pki;
use certgate_harness::stand_in::StandIn;
use certgate_harness::wire::{
    CheckResponse, DeniedResponse, HeaderValueOption, HttpResponse, HttpStatus, OVERWRITE_IF_EXISTS_OR_ADD,
    PERMISSION_DENIED, Status,
};

const USER: &str = "x-certgate-user";

/// A listener that denies when the authorizer fails, and one that allows.
fn both() -> [Listener; 2] {
    [Listener::http("closed"), Listener::http("open").authorization(|a| a.failure = FailureMode::Allow)]
}

/// A stand-in that always gives one answer.
async fn always(answer: Result<CheckResponse, u32>) -> StandIn {
    StandIn::start(move |_| answer.clone()).await
}

/// Trap 1: what Rust's `Default` gives is an allow.
#[test]
fn an_empty_response_allows() {
    with_envoy(async {
        let denied = DeniedResponse { status: Some(HttpStatus { code: 403 }), ..DeniedResponse::default() };
        let rows = [
            ("empty", CheckResponse::default()),
            ("status 0", CheckResponse { status: Some(Status::default()), http_response: None }),
            (
                "denied, status 0",
                CheckResponse {
                    status: Some(Status::default()),
                    http_response: Some(HttpResponse::Denied(denied.clone())),
                },
            ),
            (
                "denied, no status",
                CheckResponse { status: None, http_response: Some(HttpResponse::Denied(denied.clone())) },
            ),
            ("error, no status", CheckResponse { status: None, http_response: Some(HttpResponse::Error(denied)) }),
        ];
        let answers: Vec<_> = rows.iter().map(|(_, answer)| answer.clone()).collect();
        let bench = numbered(answers).await;
        for (at, (name, _)) in rows.iter().enumerate() {
            assert!(nth(&bench.plaintext("closed"), at).await.served(), "{name}");
        }
    });
}

#[test]
fn statuses_of_a_denial() {
    with_envoy(async {
        let rows = [(0, 403), (200, 200), (302, 302), (401, 401), (503, 503)];
        let answers = rows.iter().map(|&(sent, _)| CheckResponse::denied(sent, Vec::new(), "body")).collect();
        let bench = numbered(answers).await;
        for (at, (sent, want)) in rows.into_iter().enumerate() {
            let reply = nth(&bench.plaintext("closed"), at).await;
            assert!(!reply.served(), "{sent}");
            assert_eq!(reply.status.as_u16(), want, "{sent}");
            assert_eq!(reply.body, "body", "{sent}");
            let told = format!("{reply:?}");
            assert!(!told.contains("the status message"), "status.message stays inside: {told}");
        }
    });
}

#[test]
fn a_denial_as_a_grpc_client_sees_it() {
    with_envoy(async {
        let rows = [(401, "16"), (403, "7"), (503, "14")];
        let answers = rows.iter().map(|&(sent, _)| CheckResponse::denied(sent, Vec::new(), "why")).collect();
        let bench = numbered(answers).await;
        let client = bench.plaintext("closed").http2();
        for (at, (sent, want)) in rows.into_iter().enumerate() {
            let call = Call::get(&format!("/{at}")).method("POST").header("content-type", "application/grpc");
            let reply = client.send(call).await;
            assert_eq!(reply.status, 200, "{sent}");
            assert_eq!(reply.header("grpc-status"), Some(want), "{sent}");
            assert_eq!(reply.header("grpc-message"), Some("why"), "{sent}");
        }
    });
}

#[test]
fn failures_and_what_failure_mode_allow_makes_of_them() {
    with_envoy(async {
        let denial = || CheckResponse::denied(403, Vec::new(), "");
        let error = CheckResponse {
            status: Some(Status { code: 14, message: String::new() }),
            http_response: Some(HttpResponse::Error(DeniedResponse {
                status: Some(HttpStatus { code: 503 }),
                ..DeniedResponse::default()
            })),
        };
        let bare = CheckResponse {
            status: Some(Status { code: PERMISSION_DENIED, message: String::new() }),
            http_response: None,
        };
        // name, answer, status when closed, whether failure_mode_allow lets it pass
        let rows = [
            ("a denial", Ok(denial()), 403, false),
            ("a bare status", Ok(bare), 403, false),
            ("an error response", Ok(error), 503, true),
            ("a gRPC error", Err(14), 403, true),
        ];
        for (name, answer, closed, passes) in rows {
            let bench = Bench::start(Pki::new(), always(answer).await, both()).await;
            let reply = bench.plaintext("closed").get("/").await;
            assert_eq!((reply.served(), reply.status.as_u16()), (false, closed), "{name}");
            let reply = bench.plaintext("open").get("/").await;
            assert_eq!(reply.served(), passes, "{name}");
            assert_eq!(bench.upstream.served(), usize::from(passes), "{name}");
        }
    });
}

/// Trap 6, and its mending: a filter before the authorizer.
#[test]
fn failure_mode_allow_passes_what_the_client_claims() {
    with_envoy(async {
        let open = |name| Listener::http(name).authorization(|a| a.failure = FailureMode::Allow);
        let stripped = open("stripped").with_http(|http| http.strip = vec![USER.to_owned()]);
        let bench = Bench::start(Pki::new(), always(Err(14)).await, [open("open"), stripped]).await;
        let call = || Call::get("/").header(USER, "admin");
        let echo = bench.plaintext("open").send(call()).await.echo();
        assert_eq!(echo.header(USER), Some("admin"));
        let echo = bench.plaintext("stripped").send(call()).await.echo();
        assert_eq!(echo.header(USER), None);
    });
}

#[test]
fn ways_to_set_an_upstream_header() {
    let set = |append, action| vec![HeaderValueOption::new(USER, "acme", append, action)];
    let raw = {
        let mut option = HeaderValueOption::new(USER, "", Some(false), OVERWRITE_IF_EXISTS_OR_ADD);
        option.header.as_mut().expect("it has one").raw_value = b"acme".to_vec();
        vec![option]
    };
    let twice = ["first", "second"]
        .map(|value| HeaderValueOption::new(USER, value, Some(false), OVERWRITE_IF_EXISTS_OR_ADD))
        .to_vec();
    with_envoy(async {
        // name, answer, what the upstream sees when the client claims to be admin
        let rows = [
            ("both words", CheckResponse::ok(set(Some(false), OVERWRITE_IF_EXISTS_OR_ADD), &[]), Some("acme")),
            ("append absent", CheckResponse::ok(set(None, OVERWRITE_IF_EXISTS_OR_ADD), &[]), Some("acme")),
            ("append wins", CheckResponse::ok(set(Some(true), OVERWRITE_IF_EXISTS_OR_ADD), &[]), Some("admin,acme")),
            ("append_action ignored", CheckResponse::ok(set(Some(false), 0), &[]), Some("acme")),
            ("raw_value ignored", CheckResponse::ok(raw, &[]), Some("")),
            ("set twice", CheckResponse::ok(twice, &[]), Some("second")),
            ("removed", CheckResponse::ok(Vec::new(), &[USER]), None),
            // Trap 7.
            ("removed after set", CheckResponse::ok(set(Some(false), OVERWRITE_IF_EXISTS_OR_ADD), &[USER]), None),
        ];
        let bench = numbered(rows.iter().map(|(_, answer, _)| answer.clone()).collect()).await;
        for (at, (name, _, want)) in rows.into_iter().enumerate() {
            let call = Call::get(&format!("/{at}")).header(USER, "admin");
            let echo = bench.plaintext("closed").send(call).await.echo();
            assert_eq!(echo.header(USER), want, "{name}");
        }
    });
}

#[test]
fn an_underscore_is_another_name_unless_refused() {
    with_envoy(async {
        let strict = Listener::http("strict").with_http(|http| http.underscores = Underscores::RejectRequest);
        let answer = CheckResponse::ok(Vec::new(), &[USER]);
        let bench = Bench::start(Pki::new(), always(Ok(answer)).await, [Listener::http("lax"), strict]).await;
        let call = || Call::get("/").header("x_certgate_user", "admin");
        let echo = bench.plaintext("lax").send(call()).await.echo();
        assert_eq!(echo.header("x_certgate_user"), Some("admin"));
        let reply = bench.plaintext("strict").send(call()).await;
        assert_eq!((reply.served(), reply.status.as_u16()), (false, 400));
    });
}

/// Why no control byte may stand in a header value.
#[test]
fn control_characters_in_headers() {
    let header = |value| vec![HeaderValueOption::new("x-note", value, Some(false), OVERWRITE_IF_EXISTS_OR_ADD)];
    with_envoy(async {
        let answers = vec![
            CheckResponse::ok(header("a\nx-certgate-user: admin"), &[]),
            CheckResponse::denied(403, header("a\nset-cookie: split=1"), ""),
        ];
        let bench = numbered(answers).await;
        let validated = nth(&bench.plaintext("closed"), 0).await;
        assert!(!validated.served(), "{validated:?}");
        let request = |at| format!("GET /{at} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes();
        let allowed = bench.plaintext("trusted").raw(&request(0)).await;
        assert_eq!(allowed.status(), Some(503), "{}", allowed.text());
        let denied = bench.plaintext("trusted").raw(&request(1)).await;
        assert!(denied.text().contains("\nset-cookie: split=1"), "the response is split: {}", denied.text());
    });
}

/// A bench whose answer is chosen by the request's path: `/0`, `/1` and so on.
async fn numbered(answers: Vec<CheckResponse>) -> Bench {
    let authorizer = StandIn::start(move |request| {
        let path = &request.http().expect("HTTP").path;
        Ok(answers[path.trim_start_matches('/').parse::<usize>().expect("a number")].clone())
    })
    .await;
    let trusted =
        Listener::http("trusted").authorization(|a| a.mutations = certgate_harness::envoy_config::Mutations::Trusted);
    Bench::start(Pki::new(), authorizer, [Listener::http("closed"), trusted]).await
}

async fn nth(client: &Client, at: usize) -> certgate_harness::client::Reply {
    client.get(&format!("/{at}")).await
}
