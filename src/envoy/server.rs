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
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use super::grpc::{self, BODY_DEADLINE, GrpcBody, Unreceived};
use super::service::{Authorizer, Decide};
use crate::envoy::proto;
use crate::lifecycle::{Lifecycle, Phase};

/// The service's name in gRPC, under which its health is reported besides the process's.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Concurrent streams of a connection. Envoy assumes 1024 until it reads the server's limit and the surplus is reset, so
/// the limit must not be lower. Nor is it higher: each stream may hold [`grpc::MAX_MESSAGE`] octets of an unfinished body,
/// for [`BODY_DEADLINE`], and a client that finds no stream free waits or opens another connection.
const MAX_STREAMS: u32 = 1024;

/// Streams that the peer may reset before they were looked at. Envoy resets a call at its deadline; when certgate is slow,
/// hundreds at once are honest, and the default of 20 would close the connection on the rest.
const MAX_PENDING_RESETS: usize = 1024;

/// How often an idle connection is probed, and how long the answer may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

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
    options: ServerOptions,
) -> io::Result<Ended> {
    serve_within(listener, authorizer, lifecycle, options, BODY_DEADLINE).await
}

/// Serves with `body_deadline` as the time that a call's body may take.
async fn serve_within<D: Decide>(
    listener: TcpListener,
    authorizer: Arc<Authorizer<D>>,
    lifecycle: Lifecycle,
    options: ServerOptions,
    body_deadline: Duration,
) -> io::Result<Ended> {
    let routes = Routes::new(authorizer, &lifecycle, body_deadline);
    let workers = (0..options.workers.get())
        .map(|number| Worker::start(number, routes.clone(), lifecycle.clone()))
        .collect::<io::Result<Vec<_>>>()?;
    tokio::select! {
        () = accept(&listener, &workers) => {}
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

/// Accepts for ever.
async fn accept(listener: &TcpListener, workers: &[Worker]) {
    loop {
        let accepted = match listener.accept().await {
            Ok((stream, _)) => prepare(stream),
            Err(error) => Err(error),
        };
        match accepted {
            Ok(stream) => {
                if let Some(worker) = workers.iter().min_by_key(|worker| worker.connections.load(Ordering::Relaxed)) {
                    worker.take(stream);
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
    streams: mpsc::UnboundedSender<StdTcpStream>,
    connections: Arc<AtomicUsize>,
    finished: oneshot::Receiver<()>,
}

impl Worker {
    fn start<D: Decide>(number: usize, routes: Routes<D>, lifecycle: Lifecycle) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (streams, incoming) = mpsc::unbounded_channel();
        let (finish, finished) = oneshot::channel();
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(serve_connections(incoming, &count, &routes, &lifecycle));
            // Nobody waits any more when the deadline has passed.
            let _ = finish.send(());
        })?;
        Ok(Self { streams, connections, finished })
    }

    fn take(&self, stream: StdTcpStream) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // The worker's thread ends after its sender does, so somebody receives.
        let _ = self.streams.send(stream);
    }

    async fn finish(self) {
        drop(self.streams);
        let _ = self.finished.await;
    }
}

async fn serve_connections<D: Decide>(
    mut incoming: mpsc::UnboundedReceiver<StdTcpStream>,
    count: &Arc<AtomicUsize>,
    routes: &Routes<D>,
    lifecycle: &Lifecycle,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            stream = incoming.recv() => match stream {
                Some(stream) => {
                    open.spawn(serve_connection(stream, routes.clone(), lifecycle.clone(), Leave(count.clone())));
                }
                None => break,
            },
            Some(_) = open.join_next() => {}
        }
    }
    while open.join_next().await.is_some() {}
}

/// Counts a connection out when it is dropped.
struct Leave(Arc<AtomicUsize>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve_connection<D: Decide>(stream: StdTcpStream, routes: Routes<D>, lifecycle: Lifecycle, _leave: Leave) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
    };
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

/// The methods that are served.
struct Routes<D> {
    authorizer: Arc<Authorizer<D>>,
    body_deadline: Duration,
    others: Arc<[(&'static str, TonicService)]>,
}

impl<D> Clone for Routes<D> {
    fn clone(&self) -> Self {
        Self { authorizer: self.authorizer.clone(), body_deadline: self.body_deadline, others: self.others.clone() }
    }
}

impl<D: Decide> Routes<D> {
    /// Must be called within a runtime, where a task keeps the reported health in step with the process.
    fn new(authorizer: Arc<Authorizer<D>>, lifecycle: &Lifecycle, body_deadline: Duration) -> Self {
        let (reporter, health) = health_reporter();
        tokio::spawn(report_health(reporter, lifecycle.clone()));
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        const COMPILED: &str = "the build compiled these descriptors";
        let others = [
            ("/grpc.health.v1.Health/", boxed(health)),
            ("/grpc.reflection.v1.ServerReflection/", boxed(reflection().build_v1().expect(COMPILED))),
            ("/grpc.reflection.v1alpha.ServerReflection/", boxed(reflection().build_v1alpha().expect(COMPILED))),
        ];
        Self { authorizer, body_deadline, others: others.into() }
    }

    async fn call(&self, request: Request<Incoming>) -> Response<GrpcBody> {
        let path = request.uri().path();
        if path == CHECK_PATH && request.method() == Method::POST {
            return self.check(request.into_body()).await;
        }
        match self.others.iter().find(|(prefix, _)| path.starts_with(prefix)) {
            Some((_, service)) => match service.clone().oneshot(request).await {
                Ok(response) => response.map(GrpcBody::Tonic),
                Err(never) => match never {},
            },
            None => grpc::unimplemented(),
        }
    }

    async fn check(&self, body: Incoming) -> Response<GrpcBody> {
        let _in_flight = self.authorizer.metrics().request_in_flight();
        let reply = match grpc::receive(body, self.body_deadline).await {
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
