//! What strangers can do to certgate who only reach its ports: neither fill its memory nor keep proxies out.

mod at_once;

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use certgate::envoy::proto::auth::authorization_client::AuthorizationClient;
use certgate::envoy::proto::auth::{self, CheckRequest, check_response::HttpResponse};
use prost::Message as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use serde_json::json;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::run;
use certgate_harness::certgate::Certgate;
use certgate_harness::client::{Version, admin_post, tls_config};
use certgate_harness::pki::{Authority, Leaf, Pki};
use certgate_harness::policies::{PolicyDirectory, documents, policy, trust};
use certgate_harness::raw::{Answers, RawHttp2};
use certgate_harness::wait::{PATIENCE, until};

/// KiB of memory that one attack may take, above what an idle certgate has. 64 MiB are promised, whatever strangers do at
/// once.
const ALONE: u64 = 32 << 10;

/// The streams that a connection may have.
const STREAMS: usize = 1024;

/// certgate under attack, and an honest proxy.
struct Attacked {
    certgate: Certgate,
    idle: u64,
    honest: Vec<u8>,
    tls: Option<Arc<ClientConfig>>,
    _policies: PolicyDirectory,
}

impl Attacked {
    async fn start(pki: &Pki) -> Self {
        Self::start_trusting(pki, &pki.root).await
    }

    /// Another authority's clients are expected behind a proxy.
    async fn start_trusting(pki: &Pki, other: &Authority) -> Self {
        let clients = trust("clients", &[pki.root.pem(), pki.issuing.pem(), other.pem()], "");
        let open = policy(
            "open",
            "match: [{paths: [{prefix: /}]}]\ntrustRef: {name: clients}\nevidence: [{peerCertificate: {chainFrom: Xfcc}}]\n",
        );
        let policies = PolicyDirectory::with(&documents([clients.as_str(), open.as_str()]));
        let certgate = Certgate::start(policies.path()).await;
        Self { certgate, idle: 0, honest: honest(pki), tls: None, _policies: policies }.idle().await
    }

    /// Callers speak TLS, and show no certificate.
    async fn start_tls(pki: &Pki) -> Self {
        let clients = trust("clients", &[pki.root.pem()], "");
        let policies = PolicyDirectory::with(&documents([clients.as_str()]));
        let (certificate, key) = pki.server.write(policies.path(), "server");
        let [certificate, key] = [&certificate, &key].map(|path| path.to_str().expect("UTF-8"));
        let certgate = Certgate::start_with(policies.path(), &["--tls-cert", certificate, "--tls-key", key]).await;
        let tls = Some(tls_config(pki.server_root.der(), None, Version::Http2));
        Self { certgate, idle: 0, honest: honest(pki), tls, _policies: policies }.idle().await
    }

    async fn idle(mut self) -> Self {
        self.answers_proxies().await;
        self.idle = self.memory("VmRSS:");
        self
    }

    async fn connect(&self, answers: Answers) -> RawHttp2 {
        let connected = match &self.tls {
            None => RawHttp2::connect(self.address(), answers).await,
            Some(tls) => RawHttp2::connect_tls(self.address(), tls, Pki::SERVER_NAME, answers).await,
        };
        connected.expect("connected")
    }

    fn address(&self) -> SocketAddr {
        self.certgate.address()
    }

    /// KiB.
    fn memory(&mut self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.certgate.process().id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(field)).expect("the field is there");
        line.split_ascii_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
    }

    /// A proxy connects now, asks and is answered.
    async fn answers_proxies(&self) {
        if self.tls.is_some() {
            let asked = async {
                let mut connection = self.connect(Answers::Taken).await;
                connection.send(&self.honest).await.expect("the connection stays");
                connection.answers(1).await.expect("answered");
            };
            return tokio::time::timeout(PATIENCE, asked).await.expect("a proxy does not wait");
        }
        let request = CheckRequest::decode(self.honest.as_slice()).expect("it was encoded");
        let asked = async {
            let endpoint = Channel::from_shared(format!("http://{}", self.address())).expect("an address");
            let mut client = AuthorizationClient::new(endpoint.connect().await.expect("connected"));
            client.check(request).await.expect("answered").into_inner()
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.expect("a proxy does not wait");
        assert!(matches!(answer.http_response, Some(HttpResponse::OkResponse(_))), "{answer:?}");
    }

    /// The memory that was needed at most, so far, by one attack.
    fn peak(&mut self, what: &str) {
        self.peak_within(ALONE, what);
    }

    fn peak_within(&mut self, room: u64, what: &str) {
        let above = self.memory("VmHWM:").saturating_sub(self.idle);
        println!("{what}: {above} KiB above {} KiB", self.idle);
        assert!(above <= room, "{what}: {above} KiB above the {} KiB of an idle certgate; {room} may be", self.idle);
    }

    async fn counter(&self, name: &str) -> usize {
        let metrics = self.certgate.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
    }
}

/// What proxies ask.
fn honest(pki: &Pki) -> Vec<u8> {
    question(&pki.client("acme").pem()).encode_to_vec()
}

fn question(pem: &str) -> CheckRequest {
    let encoded = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("%{:02X}", u32::from(c)) };
    let certificate = pem.chars().map(encoded).collect();
    let http = auth::attribute_context::HttpRequest {
        method: "GET".to_owned(),
        host: "api.example.test".to_owned(),
        path: "/".to_owned(),
        ..Default::default()
    };
    CheckRequest {
        attributes: Some(auth::AttributeContext {
            source: Some(auth::attribute_context::Peer { certificate, ..Default::default() }),
            request: Some(auth::attribute_context::Request { http: Some(http) }),
            ..Default::default()
        }),
    }
}

/// As many files as may be open here, and in what is started from here.
fn most_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, ..limit };
    let current = if setrlimit(Resource::Nofile, most).is_ok() { most.current } else { limit.current };
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

#[test]
fn calls_without_a_message_fill_no_memory() {
    const CONNECTIONS: usize = 60;
    run(async {
        let mut attacked = Attacked::start(&Pki::new()).await;
        let mut held = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut connection = RawHttp2::connect(attacked.address(), Answers::Taken).await.expect("connected");
            held.spawn(async move {
                // The answers are read meanwhile.
                // It may have been closed.
                let _ = connection.begin(STREAMS).await;
                connection.drain().await;
            });
            attacked.answers_proxies().await;
        }
        until("calls give way, and connections that held too much", PATIENCE, async || {
            let given_up = attacked.counter("certgate_unreadable_requests_total").await;
            (given_up > 0 && attacked.counter("certgate_connections_evicted_total").await > 0).then_some(())
        })
        .await;
        attacked.answers_proxies().await;
        attacked.peak("calls without a message");
    });
}

#[test]
fn calls_with_short_heads_fill_no_memory() {
    // As many as each connection may have, and few on each of many.
    for (connections, calls) in [(60, STREAMS), (500, 33)] {
        run(async {
            let mut attacked = Attacked::start(&Pki::new()).await;
            let mut held = JoinSet::new();
            for _ in 0..connections {
                let mut connection = RawHttp2::connect(attacked.address(), Answers::Taken).await.expect("connected");
                held.spawn(async move {
                    // It may have been closed.
                    let _ = connection.begin_indexed(calls).await;
                    connection.drain().await;
                });
            }
            until("connections that held too much give way", PATIENCE, async || {
                (attacked.counter("certgate_connections_evicted_total").await > 0).then_some(())
            })
            .await;
            attacked.answers_proxies().await;
            attacked.peak(&format!("{calls} calls with short heads on each of {connections} connections"));
        });
    }
}

#[test]
fn answers_that_are_not_taken_fill_no_memory() {
    const CONNECTIONS: usize = 5;
    run(async {
        let pki = Pki::new();
        let mut attacked = Attacked::start(&pki).await;
        // The longest names that fit are answered with as little as others are.
        let long = pki.issuing.issue(Leaf::client(&"a".repeat(12_000)).expired());
        let message = question(&long.pem()).encode_to_vec();
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = RawHttp2::connect(attacked.address(), Answers::Refused).await.expect("connected");
            for _ in 0..STREAMS {
                // It may have been closed.
                if connection.send(&message).await.is_err() {
                    break;
                }
            }
            held.push(connection);
            attacked.answers_proxies().await;
        }
        attacked.peak("answers that are not taken");
    });
}

#[test]
fn idle_connections_keep_no_proxy_out() {
    run(async {
        // Half of the files that it may open is the limit of its connections, where they are few.
        let connections = (most_files() / 2).min(512);
        let mut attacked = Attacked::start(&Pki::new()).await;
        let mut held = Vec::new();
        for at in 0..connections + 64 {
            let mut connection = RawHttp2::connect(attacked.address(), Answers::Taken).await.expect("connected");
            // Some have asked something.
            if at % 4 > 0 {
                connection.send(b"").await.expect("the connection stays");
            }
            held.push(connection);
        }
        until("the port is full", PATIENCE, async || {
            (attacked.counter("certgate_connections_evicted_total").await > 0).then_some(())
        })
        .await;
        for _ in 0..4 {
            attacked.answers_proxies().await;
        }
        attacked.peak("idle connections");
    });
}

#[test]
fn frames_that_do_not_end_fill_no_memory() {
    run(async {
        let connections = (most_files() / 2).min(512);
        let mut attacked = Attacked::start(&Pki::new()).await;
        let mut held = Vec::new();
        for _ in 0..connections {
            let mut connection = RawHttp2::connect(attacked.address(), Answers::Taken).await.expect("connected");
            connection.stall().await.expect("the connection stays");
            held.push(connection);
        }
        attacked.answers_proxies().await;
        attacked.peak("frames that do not end");
    });
}

#[test]
fn tables_of_headers_fill_no_memory() {
    const CONNECTIONS: usize = 128;
    run(async {
        let mut attacked = Attacked::start(&Pki::new()).await;
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = RawHttp2::connect(attacked.address(), Answers::Taken).await.expect("connected");
            // It may have been closed.
            let _ = connection.fill_table(100).await;
            held.push(connection);
        }
        until("connections with the most are closed", PATIENCE, async || {
            (attacked.counter("certgate_connections_evicted_total").await > 0).then_some(())
        })
        .await;
        attacked.answers_proxies().await;
        attacked.peak("tables of headers");
    });
}

#[test]
fn calls_of_health_without_a_message_fill_no_memory() {
    run(async {
        let mut attacked = Attacked::start(&Pki::new()).await;
        let mut held = Vec::new();
        for _ in 0..64 {
            let mut connection = RawHttp2::connect(attacked.address(), Answers::Taken).await.expect("connected");
            connection.begin_health(31).await.expect("the connection stays");
            held.push(connection);
        }
        attacked.answers_proxies().await;
        attacked.peak("calls of health");
    });
}

#[test]
fn the_worst_explanation_is_bounded_and_probes_do_not_wait_for_it() {
    run(async {
        // Certificates of one name, each of which may have issued each, and one more that leads to an anchor and has expired:
        // every order of them is tried, and none is a path.
        let (name, anchor) = ("n".repeat(1_000), Authority::root("anchor"));
        let mut attacked = Attacked::start_trusting(&Pki::new(), &anchor).await;
        let all: Vec<Authority> = (0..8).map(|_| Authority::root(&name)).collect();
        let expired = anchor.intermediate_with(&name, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        });
        let leaf = all.first().expect("there are some").issue(Leaf::client("leaf"));
        let chain: String = all.iter().chain([&expired]).map(Authority::pem).collect();
        let question = json!({ "host": "api.example.test", "certificate": leaf.pem(), "chain": chain }).to_string();
        println!("a question of {} octets", question.len());
        let asked = || admin_post(attacked.certgate.admin(), "/explain", &question);
        let (first, second, probed) = tokio::join!(asked(), asked(), async {
            for _ in 0..10 {
                attacked.certgate.metrics().await;
            }
        });
        let () = probed;
        for (status, answer) in [first, second] {
            assert_eq!(status, 200, "{answer}");
            println!("an answer of {} octets", answer.len());
            assert!(answer.len() < 2 << 20, "{}", answer.len());
            assert!(answer.contains("further steps omitted"), "the question is not as bad as it was meant to be");
        }
        attacked.peak("explanations");
    });
}

/// A huge page would be resident as a whole for each piece of memory in it that is in use.
#[test]
fn no_memory_comes_in_huge_pages() {
    run(async {
        let mut attacked = Attacked::start(&Pki::new()).await;
        let status = fs::read_to_string(format!("/proc/{}/status", attacked.certgate.process().id()));
        let status = status.expect("it runs");
        // Kernels before 5.0 do not tell.
        if let Some(line) = status.lines().find(|line| line.starts_with("THP_enabled:")) {
            assert_eq!(line.split_ascii_whitespace().nth(1), Some("0"), "{status}");
        }
    });
}

#[test]
fn proxies_that_ask_much_at_once_are_answered() {
    run(async {
        let attacked = Attacked::start(&Pki::new()).await;
        let mut request = CheckRequest::decode(attacked.honest.as_slice()).expect("it was encoded");
        let attributes = request.attributes.as_mut().expect("it has some");
        let http = attributes.request.as_mut().and_then(|request| request.http.as_mut()).expect("it has some");
        let padding = 3_700 - attacked.honest.len();
        http.headers.insert("x-padding".to_owned(), "p".repeat(padding));
        let message = request.encode_to_vec();
        let proxy = async || attacked.connect(Answers::Taken).await.ask_at_once(&message, STREAMS).await;
        let answered = tokio::join!(proxy(), proxy(), proxy(), proxy());
        assert!(matches!(answered, (Ok(()), Ok(()), Ok(()), Ok(()))), "{answered:?}\n{}", attacked.certgate.log());
        assert_eq!(attacked.counter("certgate_connections_evicted_total").await, 0);
    });
}
