//! gRPC over HTTP/2 for one unary method: taking the message out of a request's body, and the answer into a response.
//!
//! Owns the framing (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). A generic stack answers a message that
//! is too large or not well framed with a failed call, which Envoy turns into an allow under `failure_mode_allow`; here such
//! a message is an [`Unreceived`] that the service denies like any other.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;

/// The largest CheckRequest that is read: a client's padded chain makes 94 KB, Envoy's default limit of request headers
/// 60 KB, and a policy reads no body. Larger ones are drained and denied.
pub const MAX_MESSAGE: usize = 1 << 20;

/// How long a call's body may take to arrive. Envoy has the whole message when it begins to send, and gives up on the answer
/// after a fraction of a second unless told otherwise; a body that takes longer is held open to fill memory, which is
/// bounded by [`MAX_MESSAGE`] for each stream.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Octets before a message: a flag for compression, and the length.
const PREFIX: usize = 5;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Why no message was received.
#[derive(Debug, Error)]
pub enum Unreceived<E> {
    /// The message is longer than [`MAX_MESSAGE`].
    #[error("the CheckRequest has more than {MAX_MESSAGE} octets")]
    TooLarge,
    /// The message is compressed, and no compression was offered.
    #[error("the CheckRequest is compressed")]
    Compressed,
    /// The body is not exactly one message.
    #[error("the call's body of {received} octets is not one message")]
    NotOneMessage {
        /// The body's length.
        received: usize,
    },
    /// The body did not end in time.
    #[error("the CheckRequest did not arrive within {} ms", .deadline.as_millis())]
    TooSlow {
        /// How long it could take.
        deadline: Duration,
    },
    /// The stream failed; nobody waits for an answer.
    #[error("the stream ended early: {0}")]
    Stream(E),
}

/// Receives the one message of a unary call within `deadline`; what has come by then is thrown away. What is too large is read to its end and thrown away, so that the caller
/// gets an answer and not a reset.
pub async fn receive<B>(body: B, deadline: Duration) -> Result<Bytes, Unreceived<B::Error>>
where
    B: Body<Data = Bytes>,
{
    match tokio::time::timeout(deadline, receive_whole(body)).await {
        Ok(received) => received,
        Err(_) => Err(Unreceived::TooSlow { deadline }),
    }
}

async fn receive_whole<B>(body: B) -> Result<Bytes, Unreceived<B::Error>>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut whole = Whole::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Unreceived::Stream)?.into_data() {
            whole.add(data);
        }
    }
    whole.message()
}

/// A body as it arrives. Nearly always it is one piece, which is then not copied.
#[derive(Default)]
struct Whole {
    first: Bytes,
    more: BytesMut,
    received: usize,
}

impl Whole {
    fn add(&mut self, data: Bytes) {
        let empty = self.received == 0;
        self.received = self.received.saturating_add(data.len());
        if empty {
            self.first = data;
        } else if self.received <= MAX_MESSAGE + PREFIX {
            if self.more.is_empty() {
                self.more.extend_from_slice(&self.first);
            }
            self.more.extend_from_slice(&data);
        }
    }

    fn message<E>(self) -> Result<Bytes, Unreceived<E>> {
        let received = self.received;
        if received > MAX_MESSAGE + PREFIX {
            return Err(Unreceived::TooLarge);
        }
        let mut whole = if self.more.is_empty() { self.first } else { self.more.freeze() };
        if received < PREFIX {
            return Err(Unreceived::NotOneMessage { received });
        }
        match (whole.get_u8(), whole.get_u32()) {
            (0, len) if usize::try_from(len) == Ok(whole.len()) => Ok(whole),
            (0, _) => Err(Unreceived::NotOneMessage { received }),
            _ => Err(Unreceived::Compressed),
        }
    }
}

/// A successful call with one message, already framed.
pub fn answer(frame: Bytes) -> Response<GrpcBody> {
    respond(HeaderMap::new(), GrpcBody::Message(Some(frame)))
}

/// A call of a method that is not served: gRPC's status 12, UNIMPLEMENTED.
pub fn unimplemented() -> Response<GrpcBody> {
    failed("12", "certgate does not serve this method")
}

/// A call whose caller has gone: gRPC's status 1, CANCELLED.
pub fn cancelled() -> Response<GrpcBody> {
    failed("1", "the call ended early")
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
    Message(Option<Bytes>),
    /// Nothing (more).
    Nothing,
    /// The body of a service that tonic implements.
    Tonic(tonic::body::Body),
}

impl Body for GrpcBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
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
            Self::Tonic(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Message(_) => false,
            Self::Nothing => true,
            Self::Tonic(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Message(_) => SizeHint::new(),
            Self::Nothing => SizeHint::with_exact(0),
            Self::Tonic(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let len = u32::try_from(message.len()).unwrap();
        [&[0][..], &len.to_be_bytes(), message].concat()
    }

    /// A body that arrives in pieces.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece.into()))))
        }
    }

    async fn receive_pieces(pieces: Vec<Vec<u8>>) -> Result<Bytes, Unreceived<Infallible>> {
        receive(Pieces(pieces.into()), BODY_DEADLINE).await
    }

    #[tokio::test]
    async fn a_message_arrives_in_any_number_of_pieces() {
        let whole = frame(&[7; 1000]);
        for size in [1, 2, 4, 5, 6, 500, 1004, 1005, 5000] {
            let pieces = whole.chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(receive_pieces(pieces).await.unwrap(), vec![7; 1000], "{size}");
        }
        assert_eq!(receive_pieces(vec![vec![], whole.clone(), vec![]]).await.unwrap(), vec![7; 1000]);
        assert_eq!(receive_pieces(vec![frame(b"")]).await.unwrap(), "");
    }

    /// A body that goes on after its pieces, with nothing.
    struct Unfinished(Pieces);

    impl Body for Unfinished {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match Pin::new(&mut self.0).poll_frame(cx) {
                Poll::Ready(None) => Poll::Pending,
                other => other,
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let deadline = Duration::from_millis(5);
        for pieces in [vec![], vec![vec![0, 0]], vec![frame(b"whole")], vec![frame(&[0; MAX_MESSAGE + 1])]] {
            let error = receive(Unfinished(Pieces(pieces.into())), deadline).await.unwrap_err();
            assert_eq!(error.to_string(), "the CheckRequest did not arrive within 5 ms");
        }
    }

    #[tokio::test]
    async fn what_is_not_one_message_is_refused() {
        let largest = frame(&vec![0; MAX_MESSAGE]);
        assert_eq!(receive_pieces(vec![largest]).await.unwrap().len(), MAX_MESSAGE);
        let too_large = frame(&vec![0; MAX_MESSAGE + 1]);
        let split = vec![too_large[..900_000].to_vec(), too_large[900_000..].to_vec(), vec![0; 3_000_000]];
        for (name, pieces, want) in [
            ("nothing", vec![], "not one message"),
            ("a prefix cut short", vec![vec![0, 0, 0, 0]], "not one message"),
            ("a message cut short", vec![vec![0, 0, 0, 0, 2, 1]], "not one message"),
            ("two messages", vec![[frame(b"a"), frame(b"b")].concat()], "not one message"),
            ("compressed", vec![vec![1, 0, 0, 0, 1, 0]], "compressed"),
            ("too large", vec![too_large], "more than"),
            ("too large in pieces", split, "more than"),
        ] {
            let error = receive_pieces(pieces).await.unwrap_err().to_string();
            assert!(error.contains(want), "{name}: {error}");
        }
    }
}
