//! Responses to calls, as HTTP/2 carries them.
//!
//! Owns the headers and trailers of gRPC responses and the body between them. The body's octets count as unread until
//! they are written.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::unread::{OpenCall, Outbox, PendingResponse};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// A successful call with one message, already framed.
pub fn answer(frame: PendingResponse) -> Response<GrpcBody> {
    respond(HeaderMap::with_capacity(1), GrpcBody::Message(Some(frame)))
}

/// A call of a method that is not served: gRPC's status 12, UNIMPLEMENTED.
pub fn unimplemented() -> Response<GrpcBody> {
    failed("12", "certgate does not serve this method")
}

/// A call that the client has ended: gRPC's status 1, CANCELLED.
pub fn cancelled() -> Response<GrpcBody> {
    failed("1", "the call ended early")
}

/// A call above the limit of its method: gRPC's status 8, RESOURCE_EXHAUSTED.
pub fn exhausted() -> Response<GrpcBody> {
    failed("8", "too many calls of this method are under way")
}

/// A call whose body is not one message: gRPC's status 3, INVALID_ARGUMENT.
pub fn malformed() -> Response<GrpcBody> {
    failed("3", "the call's body is not one message")
}

fn failed(status: &'static str, message: &'static str) -> Response<GrpcBody> {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(GRPC_STATUS, HeaderValue::from_static(status));
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(message));
    respond(headers, GrpcBody::Nothing)
}

fn respond(mut headers: HeaderMap, body: GrpcBody) -> Response<GrpcBody> {
    headers.insert(CONTENT_TYPE, GRPC);
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    *response.headers_mut() = headers;
    response
}

/// The body of a response.
#[derive(Debug)]
pub enum GrpcBody {
    /// A framed message, then the trailers of a successful call; `None` when the message has been sent.
    Message(Option<PendingResponse>),
    /// No message, or none left.
    Nothing,
    /// The body of a service that tonic implements.
    Tonic {
        /// The body.
        body: tonic::body::Body,
        /// Counts the body's octets until they are written.
        outbox: Arc<Outbox>,
        /// Keeps the call open while the body exists.
        _open: OpenCall,
        /// The call's permit, if its method limits concurrent calls; released with the body.
        _call: Option<OwnedSemaphorePermit>,
    },
}

impl Body for GrpcBody {
    type Data = PendingResponse;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<PendingResponse>, tonic::Status>>> {
        match &mut *self {
            Self::Message(message) => Poll::Ready(Some(Ok(match message.take() {
                Some(frame) => Frame::data(frame),
                None => {
                    *self = Self::Nothing;
                    let mut trailers = HeaderMap::with_capacity(1);
                    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
                    Frame::trailers(trailers)
                }
            }))),
            Self::Nothing => Poll::Ready(None),
            Self::Tonic { body, outbox, .. } => Pin::new(body).poll_frame(cx).map(|frame| {
                frame.map(|frame| frame.map(|frame| frame.map_data(|octets: Bytes| outbox.put(octets, None))))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Message(_) => false,
            Self::Nothing => true,
            Self::Tonic { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Message(_) => SizeHint::new(),
            Self::Nothing => SizeHint::with_exact(0),
            Self::Tonic { body, .. } => body.size_hint(),
        }
    }
}
