//! The upstream behind the proxy: it answers each request with the request that it received, as JSON, and counts
//! requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::client::Version;

/// The response header that only the upstream sets.
pub const SERVED_BY: &str = "x-served-by";

/// A request as the upstream received it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Echo {
    pub method: String,
    /// The request target as it came.
    pub target: String,
    /// Each header line, in order; bytes outside ASCII appear as the characters of the same number.
    pub headers: Vec<(String, String)>,
    /// The trailers, likewise.
    pub trailers: Vec<(String, String)>,
}

impl Echo {
    /// Every line of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A header that must not be there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} reached the upstream more than once: {all:?}");
        all.first().copied()
    }
}

/// A running upstream; ends when dropped.
pub struct Upstream {
    address: SocketAddr,
    served: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Starts it. It speaks HTTP/1.1.
    pub async fn start() -> Self {
        Self::start_speaking(Version::Http1).await
    }

    /// Starts one that speaks HTTP/2 without TLS, which has trailers.
    pub async fn start_http2() -> Self {
        Self::start_speaking(Version::Http2).await
    }

    async fn start_speaking(version: Version) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let served = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&served);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Without it the answer waits for the peer's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        counter.fetch_add(1, Ordering::Relaxed);
                        async move { Ok::<_, Infallible>(echo(request).await) }
                    });
                    let stream = TokioIo::new(stream);
                    // The proxy handles a connection that breaks.
                    let _ = match version {
                        Version::Http1 => {
                            hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
                        }
                        Version::Http2 => {
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                                .serve_connection(stream, service)
                                .await
                        }
                    };
                });
            }
        });
        Self { address, served, task }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of requests that reached it.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    // A body that breaks off has no trailers.
    let body = body.collect().await.ok();
    let trailers = body.as_ref().and_then(|body| body.trailers()).cloned().unwrap_or_default();
    let told = Echo {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: lines(&head.headers),
        trailers: lines(&trailers),
    };
    let mut body = serde_json::to_vec(&told).expect("it is plain data");
    body.push(b'\n');
    Response::builder()
        .header(SERVED_BY, "upstream")
        .header("content-type", "application/json")
        .body(Full::from(body))
        .expect("the parts are sound")
}

fn lines(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|&byte| char::from(byte)).collect();
    headers.iter().map(|(key, value)| (key.to_string(), text(value))).collect()
}
