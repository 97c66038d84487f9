//! An authorizer that answers as a test specifies and records its requests: for the facts about Envoy that certgate
//! relies on. It uses no gRPC library, so that it can send even bytes that certgate would never send.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::wire::{CheckRequest, CheckResponse};

type Answer = dyn Fn(&CheckRequest) -> Result<CheckResponse, u32> + Send + Sync;

/// One question: the message and how it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub request: CheckRequest,
    /// Its length on the wire.
    pub length: usize,
    /// The gRPC call's metadata.
    pub metadata: HeaderMap,
}

/// A running stand-in; ends when dropped.
pub struct StandIn {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl StandIn {
    /// Starts one. `answer` gives the response, or the number of a gRPC error.
    pub async fn start(answer: impl Fn(&CheckRequest) -> Result<CheckResponse, u32> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Answer> = Arc::new(answer);
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    let service = service_fn(|request| check(request, Arc::clone(&answer), Arc::clone(&log)));
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, asked, task }
    }

    /// One that allows everything.
    pub async fn allowing() -> Self {
        Self::start(|_| Ok(CheckResponse::ok(Vec::new(), &[]))).await
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no thread panics with it").clone()
    }

    /// The latest request.
    pub fn last(&self) -> Asked {
        self.asked().pop().expect("the authorizer was asked")
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type GrpcBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

async fn check(
    request: Request<Incoming>,
    answer: Arc<Answer>,
    log: Arc<Mutex<Vec<Asked>>>,
) -> Result<Response<GrpcBody>, Infallible> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    // One uncompressed message: a flag, four bytes of length, the message.
    let message = bytes.get(5..).unwrap_or_default();
    let (reply, status) = match CheckRequest::decode(message) {
        Err(_) => (None, 3),
        Ok(request) => {
            let reply = answer(&request);
            let asked = Asked { request, length: message.len(), metadata: head.headers };
            log.lock().expect("no thread panics with it").push(asked);
            match reply {
                Ok(reply) => (Some(reply), 0),
                Err(code) => (None, code),
            }
        }
    };
    let mut frames = BytesMut::new();
    if let Some(reply) = reply {
        frames.put_u8(0);
        frames.put_u32(u32::try_from(reply.encoded_len()).expect("a small message"));
        reply.encode(&mut frames).expect("the buffer grows");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(status));
    let body = Full::new(frames.freeze())
        .with_trailers(std::future::ready(Some(Ok::<_, Infallible>(trailers))))
        .boxed_unsync();
    let response = Response::builder().header("content-type", "application/grpc").body(body);
    Ok(response.expect("the parts are sound"))
}
