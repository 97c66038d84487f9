//! The gRPC server: connections, threads and shutdown.
//!
//! Owns the sockets and the HTTP/2 settings; of decisions it knows only the service that it calls. Each worker is a
//! thread with a runtime of its own, and a connection stays with one worker: no request crosses threads. One task
//! accepts connections and hands each to the worker with the fewest. The kernel would spread them unevenly over several
//! listeners, because a proxy opens few, long connections.

use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpStream as StdTcpStream;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::grpc::Receiving;
use super::preface::Prefaced;
use super::routes::{Caller, Routes, Seat};
use super::service::Authorizer;
use super::stream::Paced;
use super::unread::{MAX_UNREAD, Outbox, Unread, WRITE_DEADLINE};
use crate::lifecycle::{Lifecycle, Phase};
use crate::listeners::Listeners;
use crate::places::{Place, Places};
use crate::telemetry::limit::LogLimit;
use crate::tls::accept::Acceptor;
use crate::web::server::ACCEPT_PAUSE;

/// The service's name in gRPC, under which its health is reported besides the process's.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

/// Concurrent streams of a connection. Envoy assumes 1024 until it reads the server's limit, and the server resets the
/// excess, so the limit must not be lower. It is not higher either: a client without a free stream waits or opens
/// another connection. [`Receiving`] and [`Unread`] bound what the streams of all connections hold together.
const MAX_STREAMS: u32 = 1024;

/// Streams that the peer may reset before the server has accepted them. Envoy resets a call at its deadline; when
/// certgate is slow, hundreds at once are legitimate. The default of 20 would close the connection with all its other
/// calls.
const MAX_PENDING_RESETS: usize = 1024;

/// How often an idle connection is probed, and how long the answer may take.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Limit of connections, if the process may open that many files: those of 256 proxies with 16 threads each, where
/// callers need a certificate. Without client certificates any caller may open connections, and each takes about 30
/// KiB: those of 32 proxies.
const MAX_CONNECTIONS: usize = 4096;
const MAX_ANONYMOUS: usize = 512;

/// How long an evicted connection that holds little may take to end.
const GRACE: Duration = Duration::from_millis(100);

/// The deadline of a connection's preface; probes bound what follows it.
const PREFACE_DEADLINE: Duration = Duration::from_secs(5);

/// Log interval of refused connections.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// How the server runs.
#[derive(Copy, Clone, Debug)]
pub struct ServerOptions {
    /// Threads that decide.
    pub workers: NonZeroUsize,
    /// How long requests in flight may take once the process is stopping.
    pub drain_deadline: Duration,
}

/// The transport of callers.
#[derive(Clone, Debug)]
pub enum Transport {
    /// HTTP/2 with prior knowledge.
    Plaintext,
    /// The same, over TLS.
    Tls(Arc<Acceptor>),
}

/// Limits of callers.
#[derive(Clone, Debug)]
struct Limits {
    /// Their connections.
    connections: Places,
    /// How long the preface of a connection may take.
    preface: Duration,
    /// Limits of calls that wait for their message.
    receiving: Receiving,
    /// Limits of answers that are not read.
    unread: Arc<Unread>,
}

impl Limits {
    /// The default limits.
    fn of(transport: &Transport) -> Self {
        let connections = match transport {
            Transport::Tls(acceptor) if acceptor.server().asks_clients() => MAX_CONNECTIONS,
            Transport::Tls(_) | Transport::Plaintext => MAX_ANONYMOUS,
        };
        Self { connections: Places::of_open_files(connections), ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Places::of_open_files(MAX_ANONYMOUS),
            preface: PREFACE_DEADLINE,
            receiving: Receiving::default(),
            unread: Arc::new(Unread::new(MAX_UNREAD, WRITE_DEADLINE)),
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

/// Serves on `listeners` until the process is stopping and its connections are drained.
pub async fn serve(
    listeners: impl Into<Listeners>,
    authorizer: Arc<Authorizer>,
    lifecycle: Lifecycle,
    transport: Transport,
    options: ServerOptions,
) -> io::Result<Ended> {
    let limits = Limits::of(&transport);
    serve_within(listeners, authorizer, lifecycle, transport, options, limits).await
}

/// Serves with other limits.
async fn serve_within(
    listeners: impl Into<Listeners>,
    authorizer: Arc<Authorizer>,
    lifecycle: Lifecycle,
    transport: Transport,
    options: ServerOptions,
    limits: Limits,
) -> io::Result<Ended> {
    let listeners = listeners.into();
    let connections = limits.connections.clone();
    let port = Port {
        routes: Arc::new(Routes::new(authorizer, &lifecycle, limits.receiving)),
        unread: limits.unread,
        preface: limits.preface,
        lifecycle: lifecycle.clone(),
        transport,
    };
    let port = Arc::new(port);
    let workers =
        (0..options.workers.get()).map(|number| Worker::start(number, port.clone())).collect::<io::Result<Vec<_>>>()?;
    tokio::select! {
        () = accept(&listeners, &workers, &connections) => {}
        () = lifecycle.reached(Phase::Stopping) => {}
    }
    drop(listeners);
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

/// Accepts connections for ever. Closes a connection above the limit at once: its proxy notices that and can try
/// another server.
async fn accept(listeners: &Listeners, workers: &[Worker], connections: &Places) {
    let refusals = LogLimit::every(LOG_AGAIN);
    loop {
        connections.wait_for_evicted().await;
        let accepted = match listeners.accept().await {
            Ok((stream, _)) => prepare(stream),
            Err(error) => Err(error),
        };
        match accepted {
            Ok(stream) => {
                let Some(place) = connections.admit() else {
                    if refusals.admit().is_some() {
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

/// Sets the options of an accepted stream. Without TCP_NODELAY small answers wait 40 ms for acknowledgements.
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
    fn start(number: usize, port: Arc<Port>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (streams, incoming) = mpsc::unbounded_channel();
        let (finish, finished) = oneshot::channel();
        let connections = Arc::<AtomicUsize>::default();
        let count = connections.clone();
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(serve_connections(incoming, &count, &port));
            // After the deadline no receiver waits.
            let _ = finish.send(());
        })?;
        Ok(Self { streams, connections, finished })
    }

    fn take(&self, stream: StdTcpStream, place: Place) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // The worker's thread ends after its sender, so the receiver exists.
        let _ = self.streams.send((stream, place));
    }

    async fn finish(self) {
        drop(self.streams);
        let _ = self.finished.await;
    }
}

/// What serves a connection needs.
struct Port {
    routes: Arc<Routes>,
    unread: Arc<Unread>,
    preface: Duration,
    lifecycle: Lifecycle,
    transport: Transport,
}

async fn serve_connections(
    mut incoming: mpsc::UnboundedReceiver<(StdTcpStream, Place)>,
    count: &Arc<AtomicUsize>,
    port: &Arc<Port>,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            stream = incoming.recv() => match stream {
                Some((stream, place)) => {
                    let seat = Seat { place, count: count.clone() };
                    let port = port.clone();
                    open.spawn(port.serve_stream(stream, seat));
                }
                None => break,
            },
            Some(_) = open.join_next() => {}
        }
    }
    while open.join_next().await.is_some() {}
}

impl Port {
    async fn serve_stream(self: Arc<Self>, stream: StdTcpStream, seat: Seat) {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "cannot serve a connection"),
        };
        let acceptor = match self.transport.clone() {
            Transport::Plaintext => return self.serve_prefaced(stream, seat).await,
            Transport::Tls(acceptor) => acceptor,
        };
        let peer = stream.peer_addr().ok();
        let accepted = tokio::select! {
            accepted = acceptor.accept(stream, peer) => accepted,
            () = seat.place.evicted() => None,
            () = self.lifecycle.reached(Phase::Stopping) => None,
        };
        if let Some(stream) = accepted {
            self.serve_prefaced(stream, seat).await;
        }
    }

    /// Serves a connection after its HTTP/2 preface has arrived.
    async fn serve_prefaced<S>(self: Arc<Self>, stream: S, seat: Seat)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let prefaced = tokio::select! {
            prefaced = tokio::time::timeout(self.preface, Prefaced::read(stream)) => prefaced,
            () = seat.place.evicted() => return,
            () = self.lifecycle.reached(Phase::Stopping) => return,
        };
        match prefaced {
            Ok(Ok(stream)) => self.serve_connection(stream, seat).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended before its preface"),
            Err(late) => tracing::debug!(%late, "a connection brought no preface in time"),
        }
    }

    async fn serve_connection<S>(self: Arc<Self>, stream: S, seat: Seat)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let metrics = self.routes.authorizer.metrics().clone();
        let _open = metrics.connection_open();
        let outbox = Arc::new(self.unread.outbox());
        let caller = Arc::new(Caller { routes: self.routes.clone(), seat, outbox: outbox.clone() });
        let service = {
            let caller = caller.clone();
            service_fn(move |request| caller.clone().call(request))
        };
        let connection = http2::Builder::new(AtOnce)
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            // Entries of a header table would keep the buffers that they were read into (see `stream`).
            .header_table_size(0)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(Paced::new(stream, outbox.clone())), service);
        let mut connection = std::pin::pin!(connection);
        // Closing the connection closes its streams.
        let closed = async {
            tokio::select! {
                () = caller.seat.place.evicted() => "others needed its place",
                () = outbox.overflows() => "it held too much",
            }
        };
        let mut closed = std::pin::pin!(closed);
        let ended = tokio::select! {
            ended = run(connection.as_mut(), &outbox) => Ok(ended),
            why = closed.as_mut() => Err(why),
            () = self.lifecycle.reached(Phase::Stopping) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = run(connection.as_mut(), &outbox) => Ok(ended),
                    why = closed.as_mut() => Err(why),
                }
            }
        };
        outbox.closes();
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
            Err(why) => {
                metrics.connection_evicted();
                if let Some(_lingers) = outbox.linger() {
                    // The proxy then sends no more calls on it, and loses none.
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        _ = tokio::time::timeout(GRACE, run(connection.as_mut(), &outbox)) => {}
                        () = outbox.overflows() => {}
                    }
                }
                tracing::debug!(why, "a connection was closed");
            }
        }
    }
}

/// Runs a connection, and notifies its outbox after each poll, when all possible writes are done.
async fn run<C: Future>(mut connection: Pin<&mut C>, outbox: &Outbox) -> C::Output {
    poll_fn(|cx| {
        outbox.begin_turn();
        let polled = connection.as_mut().poll(cx);
        outbox.settle();
        polled
    })
    .await
}

/// Polls a call as soon as it has arrived, before the next one is read: thousands of calls that arrive together are
/// never in memory together. Spawns a task only for a call that has to wait.
#[derive(Copy, Clone, Debug)]
struct AtOnce;

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for AtOnce {
    fn execute(&self, work: F) {
        let mut work = Box::pin(work);
        // The task polls again, with a waker of its own.
        if work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            tokio::spawn(work);
        }
    }
}

#[cfg(test)]
mod tests;
