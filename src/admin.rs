//! The admin port: health, readiness, metrics and `explain` over HTTP/1.1.
//!
//! Owns the endpoints and their limits. `explain` reveals which certificates are trusted and why a request was denied,
//! so the port serves it only where the operator enabled it. The other endpoints reveal no secret. No endpoint changes
//! the process. Explanations run on threads of their own, so that probes never wait for one.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, HOST, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::lifecycle::{Lifecycle, Phase};
use crate::listeners::Listeners;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::web::server::{ACCEPT_PAUSE, connections, is_json, respond, text};

/// Limit of concurrent connections: probes, one or two scrapers, an operator.
const MAX_CONNECTIONS: usize = 64;

/// The longest question body: a certificate chain, and headers of the size that a CheckRequest may hold.
const MAX_QUESTION: usize = 1 << 20;

/// Limits of concurrent questions (received or answered) and of concurrent explanations. An explanation may take as
/// long as the most expensive decision, and must not take the processors from the requests that Envoy waits for.
const MAX_QUESTIONS: usize = 8;
const MAX_EXPLANATIONS: usize = 2;

/// Niceness of the threads that explain, relative to the process.
const NICENESS: i32 = 10;

/// How long a client may take to send its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a whole exchange may take.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The lifetime of a connection, also of a busy one.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// Answers the questions of `POST /explain`: JSON in, JSON out.
pub type Explain = Arc<dyn Fn(&[u8]) -> Result<Vec<u8>, NoAnswer> + Send + Sync>;

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The question is invalid.
    BadQuestion(String),
    /// The server is not ready to answer.
    NotReady(String),
}

/// The admin port's endpoints and their limits.
#[derive(Clone)]
pub struct Admin {
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    explain: Option<Explain>,
    questions: Arc<Semaphore>,
    explanations: Arc<Semaphore>,
    names: AllowedHosts,
}

/// Host names that a request for an explanation may use.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum AllowedHosts {
    /// Any name: other machines reach the address under names that only the operator knows.
    Any,
    /// Names of this machine. A client on it has no reason to use another name. A web page could, by DNS rebinding: it
    /// points its own name at this address, and the browser then treats certgate as the page's own origin.
    Loopback,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("lifecycle", &self.lifecycle).finish_non_exhaustive()
    }
}

impl Admin {
    /// An admin port; without `explain` that endpoint does not exist.
    pub fn new(lifecycle: Lifecycle, metrics: Arc<Metrics>, explain: Option<Explain>) -> Self {
        Self {
            lifecycle,
            metrics,
            explain,
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
            explanations: Arc::new(Semaphore::new(MAX_EXPLANATIONS)),
            names: AllowedHosts::Any,
        }
    }

    /// Serves on `listeners` for the lifetime of the process: readiness must be reported during draining, too.
    pub async fn serve(mut self, listeners: impl Into<Listeners>) -> Infallible {
        let listeners = listeners.into();
        self.names = if listeners.are_loopback() { AllowedHosts::Loopback } else { AllowedHosts::Any };
        let places = Places::of_open_files(MAX_CONNECTIONS);
        loop {
            let stream = match listeners.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of the admin port");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Evicts the oldest connection, busy or idle: a probe takes a millisecond and must not wait for other
            // connections.
            let Some(place) = places.admit() else { continue };
            let admin = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let admin = admin.clone();
                    async move { Ok::<_, Infallible>(admin.call(request).await) }
                });
                let connection = connections(HEADER_TIMEOUT).serve_connection(TokioIo::new(stream), service);
                // Nothing uses the result of a connection.
                tokio::select! {
                    _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection) => {}
                    () = place.evicted() => {}
                }
            });
        }
    }

    /// Answers one request.
    pub async fn call<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut response = match tokio::time::timeout(EXCHANGE_TIMEOUT, self.route(request)).await {
            Ok(response) => response,
            Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the request took too long\n"),
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn route<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let get = [Method::GET, Method::HEAD].contains(request.method());
        match (request.uri().path(), get, request.method() == Method::POST) {
            ("/livez", true, _) => text(StatusCode::OK, "ok\n"),
            ("/readyz", true, _) => self.readyz(),
            ("/metrics", true, _) => self.metrics(),
            ("/explain", _, true) => match &self.explain {
                Some(_) if self.names == AllowedHosts::Loopback && !is_for_loopback(&request) => {
                    text(StatusCode::FORBIDDEN, "explain is served here to localhost and loopback addresses only\n")
                }
                Some(explain) => self.answer_question(explain, request).await,
                None => text(StatusCode::NOT_FOUND, "explain is not served on this address\n"),
            },
            ("/livez" | "/readyz" | "/metrics", false, _) => not_allowed("GET, HEAD"),
            ("/explain", _, false) => not_allowed("POST"),
            _ => text(StatusCode::NOT_FOUND, "served here: /livez /readyz /metrics /explain\n"),
        }
    }

    /// The content type must be JSON: a browser sends a preflight request before it sends JSON for a page of another
    /// origin.
    async fn answer_question<B>(&self, explain: &Explain, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !is_json(request.headers()) {
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the question must be application/json\n");
        }
        let Ok(_question) = self.questions.try_acquire() else { return busy() };
        let body = match Limited::new(request.into_body(), MAX_QUESTION).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return text(StatusCode::PAYLOAD_TOO_LARGE, "the question is too long\n");
            }
            Err(_) => return text(StatusCode::BAD_REQUEST, "the question ended early\n"),
        };
        let Ok(permit) = self.explanations.clone().try_acquire_owned() else { return busy() };
        match explain_on_thread(explain.clone(), body, permit).await {
            Ok(Some(Ok(json))) => respond(StatusCode::OK, "application/json", json.into()),
            Ok(Some(Err(NoAnswer::BadQuestion(error)))) => text(StatusCode::BAD_REQUEST, &format!("{error}\n")),
            Ok(Some(Err(NoAnswer::NotReady(error)))) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n")),
            Ok(None) => text(StatusCode::INTERNAL_SERVER_ERROR, "the explanation failed; see the log\n"),
            Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("cannot explain: {error}\n")),
        }
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        match self.lifecycle.phase() {
            Phase::Serving => text(StatusCode::OK, "ok\n"),
            Phase::Loading => text(StatusCode::SERVICE_UNAVAILABLE, "the policies are not loaded yet\n"),
            Phase::Draining | Phase::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        respond(StatusCode::OK, OPEN_METRICS, self.metrics.render().into())
    }
}

/// Runs an explanation on a thread of its own. `None`: the explanation panicked.
async fn explain_on_thread(
    explain: Explain,
    question: Bytes,
    permit: OwnedSemaphorePermit,
) -> io::Result<Option<Result<Vec<u8>, NoAnswer>>> {
    let (done, answer) = oneshot::channel();
    thread::Builder::new().name("explain".to_owned()).spawn(move || {
        // If the priority cannot be lowered, the explanation runs all the same.
        let _ = rustix::process::nice(NICENESS);
        let answer = explain(&question);
        // Released before the answer is sent, so that the client may send its next question at once.
        drop(permit);
        // The client may have closed the connection.
        let _ = done.send(answer);
    })?;
    Ok(answer.await.ok())
}

fn busy() -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "too many concurrent explanations; ask again later\n");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Whether the request has exactly one `Host` (RFC 9110 section 7.2), and whether that and the authority of the request
/// target, if present, are `localhost` or loopback addresses, with any port.
fn is_for_loopback<B>(request: &Request<B>) -> bool {
    let is_loopback = |authority: &Authority| {
        let host = authority.host();
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        !authority.as_str().contains('@')
            && (host.eq_ignore_ascii_case("localhost")
                || literal.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback()))
    };
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    Authority::try_from(host.as_bytes()).is_ok_and(|host| is_loopback(&host))
        && request.uri().authority().is_none_or(is_loopback)
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use tokio::net::TcpListener;

    use super::*;

    fn admin(phase: Phase) -> Admin {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(phase);
        let explain: Explain = Arc::new(|question| match question {
            b"yes?" => Ok(b"yes".to_vec()),
            b"now?" => Err(NoAnswer::NotReady("later".into())),
            _ => Err(NoAnswer::BadQuestion("what?".into())),
        });
        Admin::new(lifecycle, Arc::new(Metrics::new()), Some(explain))
    }

    async fn call(admin: &Admin, method: Method, path: &str, json: bool, body: &str) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if json {
            request = request.header(CONTENT_TYPE, "application/json; charset=utf-8");
        }
        let response = admin.call(request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_the_process_and_liveness_does_not() {
        for (phase, ready) in [
            (Phase::Loading, StatusCode::SERVICE_UNAVAILABLE),
            (Phase::Serving, StatusCode::OK),
            (Phase::Draining, StatusCode::SERVICE_UNAVAILABLE),
            (Phase::Stopping, StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let admin = admin(phase);
            assert_eq!(call(&admin, Method::GET, "/readyz", false, "").await.0, ready, "{phase:?}");
            assert_eq!(call(&admin, Method::GET, "/livez", false, "").await.0, StatusCode::OK, "{phase:?}");
        }
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let (status, body) = call(&admin(Phase::Serving), Method::GET, "/metrics", false, "").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("certgate_build_info{version=") && body.ends_with("# EOF\n"), "{body}");
    }

    #[tokio::test]
    async fn questions_are_answered_within_limits() {
        let long = "a".repeat(MAX_QUESTION + 1);
        for (name, method, json, body, want) in [
            ("a good question", Method::POST, true, "yes?", StatusCode::OK),
            ("a bad question", Method::POST, true, "no?", StatusCode::BAD_REQUEST),
            ("an early question", Method::POST, true, "now?", StatusCode::SERVICE_UNAVAILABLE),
            ("another media type", Method::POST, false, "yes?", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("too long", Method::POST, true, &long, StatusCode::PAYLOAD_TOO_LARGE),
            ("another method", Method::GET, true, "yes?", StatusCode::METHOD_NOT_ALLOWED),
        ] {
            assert_eq!(call(&admin(Phase::Serving), method, "/explain", json, body).await.0, want, "{name}");
        }
        assert_eq!(call(&admin(Phase::Serving), Method::POST, "/explain", true, "yes?").await.1, "yes");
    }

    /// Status of a question that is put to `address` with these lines of the request's head.
    async fn ask(address: std::net::SocketAddr, target: &str, lines: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {target} HTTP/1.1\r\n{lines}Content-Type: application/json\r\nContent-Length: 4\r\n\
             Connection: close\r\n\r\nyes?"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn on_loopback_questions_come_under_its_names_only() {
        let rows = [
            ("localhost", "/explain", "Host: localhost\r\n", "200"),
            ("with a port", "/explain", "Host: LocalHost:9091\r\n", "200"),
            ("an address", "/explain", "Host: 127.0.0.1:9091\r\n", "200"),
            ("another address", "/explain", "Host: 127.1.2.3\r\n", "200"),
            ("an IPv6 address", "/explain", "Host: [::1]:9091\r\n", "200"),
            ("a page's own name", "/explain", "Host: rebind.example:9091\r\n", "403"),
            ("a name that begins so", "/explain", "Host: localhost.rebind.example\r\n", "403"),
            ("a name that looks so", "/explain", "Host: 127.0.0.1.rebind.example\r\n", "403"),
            ("a user that looks so", "/explain", "Host: localhost@rebind.example\r\n", "403"),
            ("another machine's address", "/explain", "Host: 192.0.2.1\r\n", "403"),
            ("none", "/explain", "", "403"),
            ("two", "/explain", "Host: localhost\r\nHost: rebind.example\r\n", "403"),
            ("an absolute target", "http://rebind.example/explain", "Host: localhost\r\n", "403"),
        ];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(admin(Phase::Serving).serve(listener));
        for (name, target, lines, want) in rows {
            assert_eq!(ask(address, target, lines).await, want, "{name}");
        }
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = ([127, 0, 0, 1], listener.local_addr().unwrap().port()).into();
        tokio::spawn(admin(Phase::Serving).serve(listener));
        assert_eq!(ask(address, "/explain", "Host: certgate.internal\r\n").await, "200", "elsewhere by any name");
    }

    #[tokio::test]
    async fn explanations_are_made_apart_two_at_a_time() {
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let begun = Arc::new(Semaphore::new(0));
        let explain: Explain = {
            let begun = begun.clone();
            Arc::new(move |question| match question {
                b"panic?" => panic!("asked to"),
                _ => {
                    begun.add_permits(1);
                    gate.lock().unwrap().recv().unwrap();
                    Ok(b"yes".to_vec())
                }
            })
        };
        let admin = Admin { explain: Some(explain), ..admin(Phase::Serving) };
        let ask = |question: &'static str| {
            let admin = admin.clone();
            tokio::spawn(async move { call(&admin, Method::POST, "/explain", true, question).await })
        };
        let waiting = [ask("1?"), ask("2?")];
        // The test has one thread: an explanation that runs on it would block it for ever.
        let both = tokio::time::timeout(EXCHANGE_TIMEOUT, begun.acquire_many(2)).await;
        both.expect("two are made at once").unwrap().forget();
        let (status, body) = ask("3?").await.unwrap();
        assert_eq!((status, body.contains("ask again")), (StatusCode::SERVICE_UNAVAILABLE, true), "{body}");
        assert_eq!(call(&admin, Method::GET, "/livez", false, "").await.0, StatusCode::OK);
        assert_eq!(call(&admin, Method::GET, "/metrics", false, "").await.0, StatusCode::OK);
        for _ in 0..2 {
            open.send(()).unwrap();
        }
        for asked in waiting {
            assert_eq!(asked.await.unwrap().0, StatusCode::OK);
        }
        assert_eq!(ask("panic?").await.unwrap().0, StatusCode::INTERNAL_SERVER_ERROR);
        open.send(()).unwrap();
        assert_eq!(ask("4?").await.unwrap().0, StatusCode::OK, "the places are free again");
    }

    #[tokio::test]
    async fn few_questions_are_received_at_once() {
        use tokio::io::AsyncWriteExt;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(admin(Phase::Serving).serve(listener));
        let head = b"POST /explain HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                     Content-Length: 4\r\n\r\n";
        let mut held = Vec::new();
        for _ in 0..MAX_QUESTIONS {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(head).await.unwrap();
            held.push(stream);
        }
        // Rejected once the server has read the heads of all of them.
        let refused = async { while ask(address, "/explain", "Host: localhost\r\n").await != "503" {} };
        tokio::time::timeout(EXCHANGE_TIMEOUT / 2, refused).await.expect("one more is refused");
    }

    #[tokio::test]
    async fn explain_is_absent_where_it_is_not_meant_to_be() {
        let admin = Admin { explain: None, ..admin(Phase::Serving) };
        assert_eq!(call(&admin, Method::POST, "/explain", true, "{}").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn those_who_only_hold_connections_keep_nobody_out() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(admin(Phase::Serving).serve(listener));
        let mut held = Vec::new();
        for _ in 0..4 * MAX_CONNECTIONS {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
            held.push(stream);
        }
        let mut probe = tokio::net::TcpStream::connect(address).await.unwrap();
        probe.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        // Shorter than the timeout of the other connections.
        let answered = tokio::time::timeout(HEADER_TIMEOUT / 2, probe.read_to_string(&mut answer)).await;
        answered.expect("a probe does not wait").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let closed = tokio::time::timeout(HEADER_TIMEOUT / 2, held[0].read(&mut [0; 1])).await;
        assert!(!closed.expect("the oldest has given way").is_ok_and(|read| read > 0));
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_refused_before_it_is_long() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(admin(Phase::Serving).serve(listener));
        let head = format!("GET /livez HTTP/1.1\r\nX: {}", "x".repeat(2 * crate::web::server::MAX_HEAD));
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        let answered = tokio::time::timeout(HEADER_TIMEOUT / 2, stream.read_exact(&mut answer)).await;
        answered.expect("nobody waits for its end").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
}
