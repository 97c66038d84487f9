mod limits;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};
use std::thread::ThreadId;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::super::grpc::{MAX_UNFINISHED, MessageBudget};
use super::super::routes::{CHECK_PATH, MAX_WATCHES};
use super::*;
use crate::domain::decide::decision::Decision;
use crate::domain::decide::reason::Reason;
use crate::domain::request::Request as Asked;
use crate::domain::store::Index;
use crate::envoy::proto::auth::attribute_context::{HttpRequest, Request as RequestMessage};
use crate::envoy::proto::auth::authorization_client::AuthorizationClient;
use crate::envoy::proto::auth::check_response::HttpResponse;
use crate::envoy::proto::auth::{AttributeContext, CheckRequest, CheckResponse};
use crate::metrics::Metrics;
use certgate_x509::UnixTime;

/// Denies, but `/wait` only while the gate is open; panics on `/panic`. Records the calling threads.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: tokio::sync::Notify,
    threads: Mutex<HashSet<ThreadId>>,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Gate {
    fn decide(&self, request: &Asked<'_>) -> Decision {
        self.threads.lock().unwrap().insert(thread::current().id());
        match request.http.map(|http| http.path) {
            Some(b"/wait") => {
                self.waiting.notify_one();
                drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
            }
            Some(b"/panic") => panic!("asked to"),
            _ => {}
        }
        Decision::refused(Reason::NoPolicy, "")
    }
}

struct Running {
    address: SocketAddr,
    gate: Arc<Gate>,
    authorizer: Arc<Authorizer>,
    lifecycle: Lifecycle,
    ended: JoinHandle<io::Result<Ended>>,
}

async fn start(workers: usize, drain_deadline: Duration) -> Running {
    start_within(workers, drain_deadline, Transport::Plaintext, bodies(MAX_UNFINISHED)).await
}

fn bodies(unfinished: usize) -> ServerLimits {
    let receiving = ReceiveLimits { budget: Arc::new(MessageBudget::new(unfinished)), ..ReceiveLimits::default() };
    ServerLimits { receiving, ..ServerLimits::default() }
}

async fn start_within(workers: usize, drain_deadline: Duration, transport: Transport, bodies: ServerLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gate = Arc::<Gate>::default();
    let decider = gate.clone();
    let authorizer = Authorizer::new(Arc::new(Metrics::new()), || UnixTime::from_secs(0), 0);
    let authorizer = Arc::new(authorizer.deciding_by(move |request| decider.decide(request)));
    authorizer.publish(Index::new().publish().unwrap());
    let lifecycle = Lifecycle::new();
    let options = ServerOptions { workers: NonZeroUsize::new(workers).unwrap(), drain_deadline };
    let ended = tokio::spawn(serve_within(listener, authorizer.clone(), lifecycle.clone(), transport, options, bodies));
    Running { address, gate, authorizer, lifecycle, ended }
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Running {
    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    async fn client(&self) -> AuthorizationClient<Channel> {
        AuthorizationClient::new(self.channel().await)
    }

    async fn ended(self) -> Ended {
        tokio::time::timeout(PATIENCE, self.ended).await.expect("the server ends").unwrap().unwrap()
    }
}

fn request(path: &str, padding: usize) -> CheckRequest {
    let http = HttpRequest {
        path: path.into(),
        headers: [("x-padding".to_owned(), "p".repeat(padding))].into(),
        ..HttpRequest::default()
    };
    let attributes = AttributeContext { request: Some(RequestMessage { http: Some(http) }), ..Default::default() };
    CheckRequest { attributes: Some(attributes) }
}

fn status(response: &CheckResponse) -> i32 {
    match &response.http_response {
        Some(HttpResponse::DeniedResponse(answer)) => answer.status.as_ref().unwrap().code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn answers_a_tonic_client() {
    let running = start(1, PATIENCE).await;
    let mut client = running.client().await;
    let response = client.check(request("/", 0)).await.unwrap().into_inner();
    assert_eq!((response.status.as_ref().unwrap().code, status(&response)), (7, 403));
}

#[tokio::test]
async fn messages_of_every_size_get_an_answer() {
    let running = start(1, PATIENCE).await;
    let mut client = running.client().await;
    for (padding, unreadable) in [(20_000, 0), (100_000, 0), (1_000_000, 0), (1_100_000, 1), (5_000_000, 2)] {
        let response = client.check(request("/", padding)).await.expect("an answer, not a failed call").into_inner();
        assert_eq!(status(&response), 403, "{padding}");
        let metrics = running.authorizer.metrics().render();
        assert!(metrics.contains(&format!("certgate_unreadable_requests_total {unreadable}\n")), "{padding}");
    }
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let running = start(1, PATIENCE).await;
    let mut client = running.client().await;
    assert_eq!(status(client.check(request("/panic", 0)).await.unwrap().get_ref()), 503);
    assert_eq!(status(client.check(request("/", 0)).await.unwrap().get_ref()), 403);
    assert_eq!(running.authorizer.metrics().panics(), 1);
}

#[tokio::test]
async fn a_burst_on_one_connection_is_answered() {
    let running = start(1, PATIENCE).await;
    let client = running.client().await;
    let mut calls = JoinSet::new();
    for _ in 0..2000 {
        let mut client = client.clone();
        calls.spawn(async move { client.check(request("/", 0)).await.unwrap() });
    }
    assert!(calls.join_all().await.iter().all(|response| status(response.get_ref()) == 403));
}

#[tokio::test]
async fn a_body_that_never_ends_is_denied_at_its_deadline() {
    let mut bodies = bodies(MAX_UNFINISHED);
    bodies.receiving.deadline = Duration::from_millis(20);
    let running = start_within(1, PATIENCE, Transport::Plaintext, bodies).await;
    let call = check_without_end(running.channel().await, 100_000);
    let response = tokio::time::timeout(PATIENCE, call).await.expect("an end");
    assert_eq!(status(&response), 403);
    let metrics = running.authorizer.metrics().render();
    assert!(metrics.contains("certgate_unreadable_requests_total 1\n"), "{metrics}");
}

/// Sends a message of about this size, and never ends the call's body.
async fn check_without_end(channel: Channel, padding: usize) -> CheckResponse {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<CheckRequest, CheckResponse>::default();
    let whole = tonic::codegen::tokio_stream::once(request("/", padding));
    let unfinished = tonic::codegen::tokio_stream::StreamExt::chain(whole, tonic::codegen::tokio_stream::pending());
    let path = http::uri::PathAndQuery::from_static(CHECK_PATH);
    let call = client.client_streaming(tonic::Request::new(unfinished), path, codec);
    call.await.expect("an answer, not a failed call").into_inner()
}

#[tokio::test]
async fn unfinished_messages_of_all_connections_share_their_room() {
    // Room for one of these including the growth of its buffer, and not for two.
    let mut bodies = bodies(1_750_000);
    bodies.receiving.deadline = PATIENCE;
    let budget = bodies.receiving.budget.clone();
    let running = start_within(2, PATIENCE, Transport::Plaintext, bodies).await;
    let held = tokio::spawn(check_without_end(running.channel().await, 900_000));
    let arrived = async {
        while budget.held() < 900_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.expect("the first message arrives but for its end");
    for (padding, unreadable) in [(900_000, 1), (100, 1), (900_000, 2)] {
        let answer = running.client().await.check(request("/", padding)).await.expect("an answer, not a failed call");
        assert_eq!(status(answer.get_ref()), 403);
        let metrics = running.authorizer.metrics().render();
        assert!(metrics.contains(&format!("certgate_unreadable_requests_total {unreadable}\n")), "{padding}");
    }
    held.abort();
    let given_back = async {
        while budget.held() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, given_back).await.expect("what a caller held that has gone is free");
    running.client().await.check(request("/", 900_000)).await.unwrap();
    let metrics = running.authorizer.metrics().render();
    assert!(metrics.contains("certgate_unreadable_requests_total 2\n"), "{metrics}");
}

#[tokio::test]
async fn connections_spread_over_the_workers() {
    let running = start(3, PATIENCE).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = running.client().await;
        client.check(request("/", 0)).await.unwrap();
        clients.push(client);
    }
    assert_eq!(running.gate.threads.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight() {
    let running = start(1, PATIENCE).await;
    let mut client = running.client().await;
    let call = tokio::spawn(async move { client.check(request("/wait", 0)).await });
    running.gate.waiting.notified().await;
    running.lifecycle.advance(Phase::Stopping);
    running.gate.open();
    assert_eq!(status(call.await.unwrap().expect("answered, not reset").get_ref()), 403);
    let address = running.address;
    assert_eq!(running.ended().await, Ended::Drained);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn draining_closes_idle_connections() {
    let running = start(2, PATIENCE).await;
    let mut client = running.client().await;
    client.check(request("/", 0)).await.unwrap();
    running.lifecycle.advance(Phase::Stopping);
    assert_eq!(running.ended().await, Ended::Drained);
}

#[tokio::test]
async fn draining_ends_at_its_deadline() {
    let running = start(1, Duration::from_millis(50)).await;
    let mut client = running.client().await;
    let gate = running.gate.clone();
    let call = tokio::spawn(async move { client.check(request("/wait", 0)).await });
    gate.waiting.notified().await;
    running.lifecycle.advance(Phase::Stopping);
    assert_eq!(running.ended().await, Ended::DeadlineExceeded);
    gate.open();
    let _ = call.await;
}

#[tokio::test]
async fn requests_are_still_answered_while_draining() {
    let running = start(1, PATIENCE).await;
    running.lifecycle.advance(Phase::Draining);
    let mut client = running.client().await;
    assert_eq!(status(client.check(request("/", 0)).await.unwrap().get_ref()), 403);
}

#[tokio::test]
async fn health_follows_the_process() {
    let running = start(1, PATIENCE).await;
    let mut client = HealthClient::new(running.channel().await);
    let service = || HealthCheckRequest { service: SERVICE.to_owned() };
    let mut watch = client.watch(service()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, ServingStatus::NotServing as i32);
    running.lifecycle.advance(Phase::Serving);
    assert_eq!(watch.message().await.unwrap().unwrap().status, ServingStatus::Serving as i32);
    let whole = client.check(HealthCheckRequest { service: String::new() }).await.unwrap();
    assert_eq!(whole.get_ref().status, ServingStatus::Serving as i32);
    running.lifecycle.advance(Phase::Draining);
    assert_eq!(watch.message().await.unwrap().unwrap().status, ServingStatus::NotServing as i32);
    running.lifecycle.advance(Phase::Stopping);
    assert!(watch.message().await.unwrap().is_none(), "a watch does not hold the connection open");
    assert_eq!(running.ended().await, Ended::Drained);
}

#[tokio::test]
async fn reflection_lists_what_is_served() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let running = start(1, PATIENCE).await;
    let mut client = ServerReflectionClient::new(running.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = tonic::codegen::tokio_stream::once(request);
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&SERVICE) && names.contains(&"grpc.health.v1.Health"), "{names:?}");
}

#[tokio::test]
async fn other_methods_are_unimplemented() {
    let running = start(1, PATIENCE).await;
    let mut client = tonic::client::Grpc::new(running.channel().await);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<CheckRequest, CheckResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/envoy.service.auth.v2.Authorization/Check");
    let error = client.unary(tonic::Request::new(request("/", 0)), path, codec).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unimplemented);
}
