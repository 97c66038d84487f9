//! The gRPC server: connections, threads and their end.
//!
//! Owns the sockets and the HTTP/2 settings; knows nothing of decisions beyond calling the service. Each worker is a thread
//! with a runtime of its own, and a connection stays with one worker: no request ever crosses threads. One task accepts
//! and hands each connection to the worker that has the fewest, because a proxy keeps few, long connections and the
//! kernel's hashing over several listeners would spread them unevenly.

use std::convert::Infallible;
use std::io;
use std::net::TcpStream as StdTcpStream;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use super::grpc::{self, BODY_DEADLINE, Budget, GrpcBody, MAX_UNFINISHED, Unreceived};
use super::preface::Prefaced;
use super::service::{Authorizer, Decide};
use crate::connections::{Connections, Place};
use crate::envoy::proto;
use crate::lifecycle::{Lifecycle, Phase};
use crate::tls::accept::Acceptor;

/// The service's name in gRPC, under which its health is reported besides the process's.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Concurrent streams of a connection. Envoy assumes 1024 until it reads the server's limit and the surplus is reset, so
/// the limit must not be lower. Nor is it higher: a client that finds no stream free waits or opens another connection. What
/// the unfinished bodies of all streams may hold together is [`MAX_UNFINISHED`].
const MAX_STREAMS: u32 = 1024;

/// Streams that the peer may reset before they were looked at. Envoy resets a call at its deadline; when certgate is slow,
/// hundreds at once are honest, and the default of 20 would close the connection on the rest.
const MAX_PENDING_RESETS: usize = 1024;

/// How often an idle connection is probed, and how long the answer may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections at once, if the process may open that many files: those of 256 proxies with 16 threads each.
const MAX_CONNECTIONS: usize = 4096;

/// How long the preface of a connection may take to arrive; what follows it is bounded by the probes.
const PREFACE_DEADLINE: Duration = Duration::from_secs(5);

/// Calls of reflection at once, and of watched health. Each may hold an answer that its caller does not take.
const MAX_REFLECTIONS: usize = 16;
const MAX_WATCHES: usize = 256;

/// The largest message of those methods. They take a name, and are read by a generic stack, which would hold 4 MiB of each
/// unfinished message and knows no [`MAX_UNFINISHED`].
const MAX_NAME: usize = 4096;

/// How often it is told that connections are refused.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// How long accepting pauses after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the server runs.
#[derive(Copy, Clone, Debug)]
pub struct ServerOptions {
    /// Threads that decide.
    pub workers: NonZeroUsize,
    /// How long requests in flight may take once the process is stopping.
    pub drain_deadline: Duration,
}

/// How callers speak with the server.
#[derive(Clone, Debug)]
pub enum Transport {
    /// HTTP/2 with prior knowledge.
    Plaintext,
    /// The same, over TLS.
    Tls(Arc<Acceptor>),
}

/// What callers may cost.
#[derive(Clone, Debug)]
struct Limits {
    /// Their connections.
    connections: Connections,
    /// How long the preface of a connection may take.
    preface: Duration,
    /// How long the body of a call may take.
    body: Duration,
    /// What all unfinished bodies may hold together.
    budget: Arc<Budget>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Connections::of_open_files(MAX_CONNECTIONS),
            preface: PREFACE_DEADLINE,
            body: BODY_DEADLINE,
            budget: Arc::new(Budget::new(MAX_UNFINISHED)),
        }
    }
}

/// How the server ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every request was answered and every connection closed.
    Drained,
    /// The deadline came first.
    DeadlineExceeded,
}

/// Serves on `listener` until the process is stopping and its connections are drained.
pub async fn serve<D: Decide>(
    listener: TcpListener,
    authorizer: Arc<Authorizer<D>>,
    lifecycle: Lifecycle,
    transport: Transport,
    options: ServerOptions,
) -> io::Result<Ended> {
    serve_within(listener, authorizer, lifecycle, transport, options, Limits::default()).await
}

/// Serves with other limits.
async fn serve_within<D: Decide>(
    listener: TcpListener,
    authorizer: Arc<Authorizer<D>>,
    lifecycle: Lifecycle,
    transport: Transport,
    options: ServerOptions,
    limits: Limits,
) -> io::Result<Ended> {
    let connections = limits.connections.clone();
    let routes = Routes::new(authorizer, &lifecycle, limits);
    let workers = (0..options.workers.get())
        .map(|number| Worker::start(number, routes.clone(), lifecycle.clone(), transport.clone()))
        .collect::<io::Result<Vec<_>>>()?;
    tokio::select! {
        () = accept(&listener, &workers, &connections) => {}
        () = lifecycle.reached(Phase::Stopping) => {}
    }
    drop(listener);
    let drained = async {
        for worker in workers {
            worker.finish().await;
        }
    };
    Ok(match tokio::time::timeout(options.drain_deadline, drained).await {
        Ok(()) => Ended::Drained,
        Err(_) => Ended::DeadlineExceeded,
    })
}

/// Accepts for ever. One connection too many is closed at once: its proxy knows then, and may have a way elsewhere.
async fn accept(listener: &TcpListener, workers: &[Worker], connections: &Connections) {
    let mut refused: Option<Instant> = None;
    loop {
        let accepted = match listener.accept().await {
            Ok((stream, _)) => prepare(stream),
            Err(error) => Err(error),
        };
        match accepted {
            Ok(stream) => {
                let Some(place) = connections.admit() else {
                    if refused.is_none_or(|at| at.elapsed() > LOG_AGAIN) {
                        refused = Some(Instant::now());
                        tracing::warn!(limit = connections.limit(), "all connections are in use; others are closed");
                    }
                    continue;
                };
                if let Some(worker) = workers.iter().min_by_key(|worker| worker.connections.load(Ordering::Relaxed)) {
                    worker.take(stream, place);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Sets what must be set on each accepted stream. Without TCP_NODELAY small answers wait for acknowledgements, 40 ms each.
fn prepare(stream: TcpStream) -> io::Result<StdTcpStream> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE_INTERVAL))?;
    stream.into_std()
}

/// One thread that serves connections.
struct Worker {
    streams: mpsc::UnboundedSender<(StdTcpStream, Place)>,
    connections: Arc<AtomicUsize>,
    finished: oneshot::Receiver<()>,
}

impl Worker {
    fn start<D: Decide>(
        number: usize,
        routes: Routes<D>,
        lifecycle: Lifecycle,
        transport: Transport,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (streams, incoming) = mpsc::unbounded_channel();
        let (finish, finished) = oneshot::channel();
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(serve_connections(incoming, &count, &routes, &lifecycle, &transport));
            // Nobody waits any more when the deadline has passed.
            let _ = finish.send(());
        })?;
        Ok(Self { streams, connections, finished })
    }

    fn take(&self, stream: StdTcpStream, place: Place) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // The worker's thread ends after its sender does, so somebody receives.
        let _ = self.streams.send((stream, place));
    }

    async fn finish(self) {
        drop(self.streams);
        let _ = self.finished.await;
    }
}

async fn serve_connections<D: Decide>(
    mut incoming: mpsc::UnboundedReceiver<(StdTcpStream, Place)>,
    count: &Arc<AtomicUsize>,
    routes: &Routes<D>,
    lifecycle: &Lifecycle,
    transport: &Transport,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            stream = incoming.recv() => match stream {
                Some((stream, place)) => {
                    let seat = Seat { place, count: count.clone() };
                    open.spawn(serve_stream(stream, routes.clone(), lifecycle.clone(), transport.clone(), seat));
                }
                None => break,
            },
            Some(_) = open.join_next() => {}
        }
    }
    while open.join_next().await.is_some() {}
}

/// A connection's place, and the count of its worker's connections, of which it is taken when it is dropped.
struct Seat {
    place: Place,
    count: Arc<AtomicUsize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve_stream<D: Decide>(
    stream: StdTcpStream,
    routes: Routes<D>,
    lifecycle: Lifecycle,
    transport: Transport,
    seat: Seat,
) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
    };
    let acceptor = match transport {
        Transport::Plaintext => return serve_prefaced(stream, routes, lifecycle, &seat.place).await,
        Transport::Tls(acceptor) => acceptor,
    };
    let peer = stream.peer_addr().ok();
    let accepted = tokio::select! {
        accepted = acceptor.accept(stream, peer) => accepted,
        () = seat.place.lost() => None,
        () = lifecycle.reached(Phase::Stopping) => None,
    };
    if let Some(stream) = accepted {
        serve_prefaced(stream, routes, lifecycle, &seat.place).await;
    }
}

/// Serves a connection once it turns out to be one of HTTP/2. Until then it has to give way to others.
async fn serve_prefaced<D, S>(stream: S, routes: Routes<D>, lifecycle: Lifecycle, place: &Place)
where
    D: Decide,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let prefaced = tokio::select! {
        prefaced = tokio::time::timeout(routes.limits.preface, Prefaced::read(stream)) => prefaced,
        () = place.lost() => return,
        () = lifecycle.reached(Phase::Stopping) => return,
    };
    match prefaced {
        Ok(Ok(stream)) if place.serve() => serve_connection(stream, routes, lifecycle).await,
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended before its preface"),
        Err(late) => tracing::debug!(%late, "a connection brought no preface in time"),
    }
}

async fn serve_connection<D, S>(stream: S, routes: Routes<D>, lifecycle: Lifecycle)
where
    D: Decide,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _open = routes.authorizer.metrics().connection_open();
    let service = service_fn(move |request| {
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.call(request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = lifecycle.reached(Phase::Stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

type TonicService = BoxCloneSyncService<Request<Incoming>, Response<tonic::body::Body>, Infallible>;

/// Methods that a generic stack serves.
struct Other {
    /// How their paths begin.
    prefix: &'static str,
    service: TonicService,
    /// How many calls there may be at once, where that matters.
    calls: Option<Arc<Semaphore>>,
}

/// The methods that are served.
struct Routes<D> {
    authorizer: Arc<Authorizer<D>>,
    limits: Limits,
    others: Arc<[Other]>,
}

impl<D> Clone for Routes<D> {
    fn clone(&self) -> Self {
        Self { authorizer: self.authorizer.clone(), limits: self.limits.clone(), others: self.others.clone() }
    }
}

impl<D: Decide> Routes<D> {
    /// Must be called within a runtime, where a task keeps the reported health in step with the process.
    fn new(authorizer: Arc<Authorizer<D>>, lifecycle: &Lifecycle, limits: Limits) -> Self {
        let (reporter, health) = health_reporter();
        tokio::spawn(report_health(reporter, lifecycle.clone()));
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        const COMPILED: &str = "the build compiled these descriptors";
        let health = boxed(health.max_decoding_message_size(MAX_NAME));
        let v1 = boxed(reflection().build_v1().expect(COMPILED).max_decoding_message_size(MAX_NAME));
        let v1alpha = boxed(reflection().build_v1alpha().expect(COMPILED).max_decoding_message_size(MAX_NAME));
        let (watches, reflections) = (Semaphore::new(MAX_WATCHES), Arc::new(Semaphore::new(MAX_REFLECTIONS)));
        let other = |prefix, service, calls| Other { prefix, service, calls };
        let others = [
            other("/grpc.health.v1.Health/Watch", health.clone(), Some(Arc::new(watches))),
            other("/grpc.health.v1.Health/", health, None),
            other("/grpc.reflection.v1.ServerReflection/", v1, Some(reflections.clone())),
            other("/grpc.reflection.v1alpha.ServerReflection/", v1alpha, Some(reflections)),
        ];
        Self { authorizer, limits, others: others.into() }
    }

    async fn call(&self, request: Request<Incoming>) -> Response<GrpcBody> {
        let path = request.uri().path();
        if path == CHECK_PATH && request.method() == Method::POST {
            return self.check(request.into_body()).await;
        }
        let Some(other) = self.others.iter().find(|other| path.starts_with(other.prefix)) else {
            return grpc::unimplemented();
        };
        let call = match other.calls.clone().map(Semaphore::try_acquire_owned).transpose() {
            Ok(call) => call,
            Err(_) => return grpc::exhausted(),
        };
        match other.service.clone().oneshot(request).await {
            Ok(response) => response.map(|body| GrpcBody::Tonic { body, _call: call }),
            Err(never) => match never {},
        }
    }

    async fn check(&self, body: Incoming) -> Response<GrpcBody> {
        let _in_flight = self.authorizer.metrics().request_in_flight();
        let reply = match grpc::receive(body, self.limits.body, &self.limits.budget).await {
            Ok(message) => self.authorizer.check(&message),
            // The caller has gone, so nothing was decided, and what is sent reaches nobody.
            Err(error @ Unreceived::Stream(_)) => {
                tracing::debug!(%error, "a call ended early");
                return grpc::cancelled();
            }
            Err(error) => self.authorizer.refuse_unreceived(&error.to_string()),
        };
        grpc::answer(reply.into_frame())
    }
}

fn boxed<S>(service: S) -> TonicService
where
    S: Service<Request<Incoming>, Response = Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(service)
}

/// Reports SERVING exactly while the process serves. At the end the statuses are taken away, which ends calls that watch
/// them and would hold their connections open.
async fn report_health(mut reporter: HealthReporter, lifecycle: Lifecycle) {
    let mut phases = lifecycle.subscribe();
    loop {
        let phase = *phases.borrow_and_update();
        for name in ["", SERVICE] {
            match phase {
                Phase::Serving => reporter.set_service_status(name, ServingStatus::Serving).await,
                Phase::Loading | Phase::Draining => reporter.set_service_status(name, ServingStatus::NotServing).await,
                Phase::Stopping => reporter.clear_service_status(name).await,
            }
        }
        if phase == Phase::Stopping || phases.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
