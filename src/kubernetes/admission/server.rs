//! The HTTPS server that the API server asks.
//!
//! Owns the bounds: connections, the bytes that wait to be judged, and how long anything may take. Nothing that cannot
//! be judged is answered with success, so with `failurePolicy: Fail` it is not admitted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use super::metrics::{AdmissionMetrics, ReviewOutcome};
use super::review::{Answer, Reviewer};
use crate::listeners::Listeners;
use crate::places::{Place, Places};
use crate::tls::accept::Acceptor;
use crate::tls::stream::Secured;
use crate::web::server::{ACCEPT_PAUSE, connections, is_json, respond, text};

/// Where reviews are taken.
pub const PATH: &str = "/validate";

/// The protocol that is offered (RFC 7301): each API server keeps a few connections, so one request at a time is
/// enough.
pub const ALPN: &[&[u8]] = &[b"http/1.1"];

/// The most connections; there are few API servers.
const MAX_CONNECTIONS: usize = 256;

/// The longest review: the object and its former version, of 3 MiB at most each (what an API server takes in one
/// request), in JSON.
const MAX_REVIEW_BYTES: usize = 8 * 1024 * 1024;

/// The most KiB of large reviews that are read or judged at a time.
const MAX_BUFFERED_KIB: usize = 24 * 1024;

/// Reviews of so many bytes at most are small: all connections together may hold one each, and none waits for large
/// ones.
const SMALL_REVIEW: usize = 64 * 1024;

/// How long the body of a review may take. API servers have it whole when they begin to send. What takes longer keeps
/// others from sending theirs.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the next request of a connection, and a whole exchange may take; a handshake has its own deadline. API
/// servers wait for 10 s by default, and close connections that nothing goes over for 90 s, which they should do first.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    reviewer: Reviewer,
    metrics: Arc<AdmissionMetrics>,
    buffered: Arc<Semaphore>,
}

impl Webhook {
    /// A webhook that answers by `reviewer`.
    pub fn new(reviewer: Reviewer, metrics: Arc<AdmissionMetrics>) -> Self {
        Self { reviewer, metrics, buffered: Arc::new(Semaphore::new(MAX_BUFFERED_KIB)) }
    }

    /// Serves on `listeners` for as long as the process lives. As long as there is no certificate, connections are
    /// closed.
    pub async fn serve(
        self,
        listeners: impl Into<Listeners>,
        tls: watch::Receiver<Option<Arc<Acceptor>>>,
    ) -> Infallible {
        let listeners = listeners.into();
        let places = Places::of_open_files(MAX_CONNECTIONS);
        loop {
            let (stream, peer) = match listeners.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of the admission webhook");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(acceptor) = tls.borrow().clone() else {
                tracing::debug!("an admission review came before there is a certificate; it is not answered");
                continue;
            };
            // One that waits for its next request gives way: its API server connects anew.
            let Some(place) = places.admit() else { continue };
            let webhook = self.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = async {
                        if let Some(stream) = acceptor.accept(stream, Some(peer)).await {
                            webhook.connection(stream, &place).await;
                        }
                    } => {}
                    () = place.evicted() => {}
                }
            });
        }
    }

    async fn connection(self, stream: Secured<TcpStream>, place: &Place) {
        let service = service_fn(|request: Request<Incoming>| {
            let webhook = self.clone();
            async move { Ok::<_, Infallible>(webhook.call(request, Some(place)).await) }
        });
        let connection = connections(HEADER_TIMEOUT).serve_connection(TokioIo::new(stream), service);
        // How a connection ends concerns nobody: a review without an answer is not admitted.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection of the admission webhook broke");
        }
    }

    /// Answers one request, which comes by a connection at `place` if it comes by any.
    pub async fn call<B>(&self, request: Request<B>, place: Option<&Place>) -> Response<Full<Bytes>>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match tokio::time::timeout(EXCHANGE_TIMEOUT, self.route(request, place)).await {
            Ok(response) => response,
            Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the review took too long\n"),
        }
    }

    async fn route<B>(&self, request: Request<B>, place: Option<&Place>) -> Response<Full<Bytes>>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.uri().path() != PATH {
            return text(StatusCode::NOT_FOUND, "reviews are taken at /validate\n");
        }
        if request.method() != Method::POST {
            return text(StatusCode::METHOD_NOT_ALLOWED, "want POST\n");
        }
        if !is_json(request.headers()) {
            return self.malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, "want application/json");
        }
        let Some(length) = content_length(request.headers()) else {
            return self.malformed(StatusCode::LENGTH_REQUIRED, "want Content-Length");
        };
        if length > MAX_REVIEW_BYTES {
            return self.malformed(StatusCode::PAYLOAD_TOO_LARGE, "the review is too long");
        }
        // Whoever has asked something has waited less long than who has not.
        if let Some(place) = place {
            place.request_started();
        }
        let _share = match length > SMALL_REVIEW {
            true => {
                let share = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
                Some(self.buffered.acquire_many(share).await.expect("the semaphore is never closed"))
            }
            false => None,
        };
        let body = Limited::new(request.into_body(), length).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => return self.malformed(StatusCode::BAD_REQUEST, "the review ended early, or late"),
            Err(_) => return self.malformed(StatusCode::REQUEST_TIMEOUT, "the review came too slowly"),
        };
        // Until here nothing has been asked but to wait.
        if place.is_some_and(|place| !place.serve()) {
            return text(StatusCode::SERVICE_UNAVAILABLE, "connection evicted: limit reached\n");
        }
        let response = self.answer(&body).await;
        if let Some(place) = place {
            place.served();
        }
        response
    }

    async fn answer(&self, body: &[u8]) -> Response<Full<Bytes>> {
        let began = Instant::now();
        match self.reviewer.answer(body).await {
            Ok(Answer { body, kind, outcome }) => {
                self.metrics.reviewed(kind, outcome, began.elapsed());
                respond(StatusCode::OK, "application/json", body.into())
            }
            Err(malformed) => {
                tracing::warn!("an admission review cannot be answered: {malformed}");
                self.malformed(StatusCode::BAD_REQUEST, &malformed.to_string())
            }
        }
    }

    fn malformed(&self, status: StatusCode, problem: &str) -> Response<Full<Bytes>> {
        self.metrics.reviewed(None, ReviewOutcome::Malformed, Duration::ZERO);
        text(status, &format!("{problem}\n"))
    }
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
