//! The methods that are served, and what a call holds while it is open.
//!
//! Owns which method a call reaches, and the limits of calls: calls that wait for their message can be evicted, answers
//! count until they are written, and each completed call resets the eviction age of its connection.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::{Method, Request, Response, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use super::answer::{self, GrpcBody};
use super::grpc::{self, ReceiveError, ReceiveLimits};
use super::server::SERVICE;
use super::service::Authorizer;
use super::unread::{OpenCall, Outbox};
use crate::envoy::proto;
use crate::lifecycle::{Lifecycle, Phase};
use crate::places::Place;

pub(super) const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Concurrent calls of reflection, and of watched health. Each may hold an answer that its caller does not read.
const MAX_REFLECTIONS: usize = 16;
pub(super) const MAX_WATCHES: usize = 256;

/// The largest message of those methods. Their argument is a name.
const MAX_NAME: usize = 4096;

/// The future of a call's answer. Boxed, so that only the answer of a decided call stays in memory.
pub(super) struct Answering(Pin<Box<dyn Future<Output = Response<GrpcBody>> + Send>>);

impl Future for Answering {
    type Output = Result<Response<GrpcBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

type TonicService = BoxCloneSyncService<Request<tonic::body::Body>, Response<tonic::body::Body>, Infallible>;

/// A method that a generic stack serves.
struct Other {
    path: &'static str,
    /// Whether the method takes one message. It is received before the stack gets the call.
    is_unary: bool,
    service: TonicService,
    /// Limit of concurrent calls, if the method has one.
    calls: Option<Arc<Semaphore>>,
}

/// The methods that are served.
pub(super) struct Routes {
    pub authorizer: Arc<Authorizer>,
    receiving: ReceiveLimits,
    others: [Arc<Other>; 4],
}

impl Routes {
    /// Must be called within a runtime, where a task keeps the reported health in step with the process.
    pub fn new(authorizer: Arc<Authorizer>, lifecycle: &Lifecycle, receiving: ReceiveLimits) -> Self {
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
        let unary = |path, service, calls| Arc::new(Other { path, is_unary: true, service, calls });
        let stream = |path, service, calls| Arc::new(Other { path, is_unary: false, service, calls });
        let others = [
            unary("/grpc.health.v1.Health/Watch", health.clone(), Some(Arc::new(watches))),
            unary("/grpc.health.v1.Health/Check", health, None),
            stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", v1, Some(reflections.clone())),
            stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", v1alpha, Some(reflections)),
        ];
        Self { authorizer, receiving, others }
    }

    /// Answers a call of such a method. `None`: the call was evicted, or its client has gone.
    async fn answer(
        &self,
        other: &Other,
        body: Incoming,
        outbox: &Arc<Outbox>,
        open: OpenCall,
    ) -> Option<Response<GrpcBody>> {
        // The generic stack allocates 8 KiB for each message that it waits for.
        let body = match other.is_unary {
            true => match grpc::receive(body, &self.receiving, &open).await {
                Ok(message) => tonic::body::Body::new(Full::new(grpc::framed(&message))),
                Err(ReceiveError::NotOneMessage { .. } | ReceiveError::Compressed | ReceiveError::TooLarge) => {
                    return Some(answer::malformed());
                }
                Err(_) => return None,
            },
            false => tonic::body::Body::new(body),
        };
        let call = match other.calls.clone().map(Semaphore::try_acquire_owned).transpose() {
            Ok(call) => call,
            Err(_) => return Some(answer::exhausted()),
        };
        let answered = other.service.clone().oneshot(asked(other.path, body));
        match self.receiving.wait(answered).await.ok()? {
            Ok(response) => {
                Some(response.map(|body| GrpcBody::Tonic { body, outbox: outbox.clone(), _call: call, _open: open }))
            }
            Err(never) => match never {},
        }
    }
}

/// The calls of one connection.
pub(super) struct Caller {
    pub routes: Arc<Routes>,
    pub seat: Seat,
    pub outbox: Arc<Outbox>,
}

/// A connection's place, and what else ends with it.
pub(super) struct Seat {
    pub place: Place,
    /// The connection count of its worker; dropping this subtracts one.
    pub count: Arc<std::sync::atomic::AtomicUsize>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.count.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Caller {
    /// Answers one call. Every waiting call holds what its future holds, so the future starts with the body alone.
    pub fn call(self: Arc<Self>, request: Request<Incoming>) -> Answering {
        let open = self.outbox.begin();
        let is_post = request.method() == Method::POST;
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if path == CHECK_PATH && is_post {
            drop(head);
            return Answering(Box::pin(async move { self.check(body, open).await }));
        }
        let Some(other) = self.routes.others.iter().find(|other| other.path == path).cloned() else {
            return Answering(Box::pin(ready(answer::unimplemented())));
        };
        // A waiting call keeps only the method of its head.
        drop(head);
        Answering(Box::pin(async move {
            let answer = self.routes.answer(&other, body, &self.outbox, open).await;
            if answer.is_some() {
                self.seat.place.served();
            }
            answer.unwrap_or_else(answer::exhausted)
        }))
    }

    async fn check(&self, body: Incoming, open: OpenCall) -> Response<GrpcBody> {
        let authorizer = &self.routes.authorizer;
        let _in_flight = authorizer.metrics().request_in_flight();
        let reply = match grpc::receive(body, &self.routes.receiving, &open).await {
            Ok(message) => {
                let reply = authorizer.check(&message);
                // A connection that was evicted just now closes; the answer may be lost.
                self.seat.place.served();
                reply
            }
            // The client has gone, so nothing was decided, and no client receives the answer.
            Err(error @ ReceiveError::Stream(_)) => {
                tracing::debug!(%error, "a call ended early");
                return answer::cancelled();
            }
            Err(error) => authorizer.refuse_unreceived(&error.to_string()),
        };
        answer::answer(self.outbox.put(reply.into_frame(), Some(open)))
    }
}

/// The request for the generic stack, without the caller's headers. The stack rejects compressed messages.
fn asked(path: &'static str, body: tonic::body::Body) -> Request<tonic::body::Body> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = Uri::from_static(path);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    request
}

fn boxed<S>(service: S) -> TonicService
where
    S: Service<Request<tonic::body::Body>, Response = Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(service)
}

/// Reports SERVING exactly while the process serves. At the end it removes the statuses, which ends the calls that
/// watch them and would hold their connections open.
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
