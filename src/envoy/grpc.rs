//! gRPC over HTTP/2 for one unary method: taking the message out of a request's body.
//!
//! Owns the framing (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). A generic stack fails the call
//! when a message is too large or badly framed. Envoy turns a failed call into an allow under `failure_mode_allow`.
//! Here such a message is an [`Unreceived`], which the service denies like any other.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use thiserror::Error;

use super::unread::Open;
use crate::places::Places;

/// The largest CheckRequest that is read: a client's padded chain makes 94 KB, Envoy's default limit of request headers
/// 60 KB, and a policy reads no body. Larger ones are drained and denied.
pub const MAX_MESSAGE: usize = 1 << 20;

/// The deadline for a call's body. Envoy has the whole message when it begins to send, and by default its own deadline
/// is a fraction of a second. A slower body serves only to fill memory.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The octets that unfinished messages of all connections together may hold. Only messages that have begun and not
/// ended count. Messages from a proxy stay in that state for a moment. The limit has room for more than a hundred
/// messages with the longest chain that a proxy forwards.
pub const MAX_UNFINISHED: usize = 16 << 20;

/// The calls of all connections together that may wait for their message. A proxy sends the message with its call, so
/// its calls wait only where a frame was split or a window is full. Each waiting call holds a few kilobytes. The limit
/// covers all streams of two connections.
pub const MAX_WAITING: usize = 2048;

/// Octets before a message: the compression flag and the length.
const PREFIX: usize = 5;

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
    /// The body did not end before the deadline.
    #[error("the CheckRequest did not arrive within {} ms", .deadline.as_millis())]
    TooSlow {
        /// The deadline.
        deadline: Duration,
    },
    /// The budget of unfinished messages is used up.
    #[error("unfinished CheckRequests hold {limit} octets already")]
    Exhausted {
        /// The budget in octets.
        limit: usize,
    },
    /// The call was evicted: it had waited longest, and a new call needed its place.
    #[error("the CheckRequest had not arrived when {limit} later calls waited for theirs")]
    GaveWay {
        /// How many calls may wait.
        limit: usize,
    },
    /// The stream failed; no client waits for the answer.
    #[error("the stream ended early: {0}")]
    Stream(E),
}

/// Octets that the unfinished messages of all connections hold.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    held: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` octets.
    pub fn new(limit: usize) -> Self {
        Self { limit, held: AtomicUsize::new(0) }
    }

    /// The octets in use.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn take(&self, octets: usize) -> bool {
        let taken = |held: usize| held.checked_add(octets).filter(|held| *held <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    fn give_back(&self, octets: usize) {
        self.held.fetch_sub(octets, Ordering::Relaxed);
    }
}

/// Limits of calls that wait for their message.
#[derive(Clone, Debug)]
pub struct Receiving {
    /// Deadline of a message.
    pub deadline: Duration,
    /// Budget of all unfinished messages.
    pub budget: Arc<Budget>,
    /// The places of waiting calls.
    pub waiting: Places,
}

impl Default for Receiving {
    fn default() -> Self {
        Self {
            deadline: BODY_DEADLINE,
            budget: Arc::new(Budget::new(MAX_UNFINISHED)),
            waiting: Places::new(MAX_WAITING),
        }
    }
}

/// Receives the one message of a unary call within the deadline. An unfinished message holds no more than the budget
/// allows. Discards what has arrived when the deadline passes or the call is evicted. Reads a message that is too large
/// or exceeds the budget to its end and discards it, so that the caller gets an answer instead of a reset.
pub async fn receive<B>(body: B, limits: &Receiving, call: &Open) -> Result<Bytes, Unreceived<B::Error>>
where
    B: Body<Data = Bytes>,
{
    let mut whole = std::pin::pin!(receive_whole(body, &limits.budget, call));
    // A message that arrived with its call takes no place.
    if let Poll::Ready(received) = poll_fn(|cx| Poll::Ready(whole.as_mut().poll(cx))).await {
        return received;
    }
    match limits.until_lost(whole).await {
        Ok(received) => received,
        Err(Given::Up) => Err(Unreceived::TooSlow { deadline: limits.deadline }),
        Err(Given::Away) => Err(Unreceived::GaveWay { limit: limits.waiting.limit() }),
    }
}

/// A message with its gRPC prefix.
pub fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX.saturating_add(message.len()));
    framed.put_u8(0);
    // No message longer than `MAX_MESSAGE` is received.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(message);
    framed.freeze()
}

/// Why a call stopped waiting.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The deadline has passed.
    Up,
    /// The call was evicted.
    Away,
}

impl Receiving {
    /// Waits for `done` until the deadline or the eviction of the call.
    pub async fn until_lost<F: Future>(&self, done: F) -> Result<F::Output, Given> {
        let place = self.waiting.admit().ok_or(Given::Away)?;
        tokio::select! {
            biased;
            output = done => Ok(output),
            () = place.evicted() => Err(Given::Away),
            () = tokio::time::sleep(self.deadline) => Err(Given::Up),
        }
    }
}

async fn receive_whole<B>(body: B, budget: &Budget, call: &Open) -> Result<Bytes, Unreceived<B::Error>>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut whole = Whole::new(budget, call);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Unreceived::Stream)?.into_data() {
            whole.add(data, body.is_end_stream());
        }
    }
    whole.message()
}

/// A body as it arrives. It is nearly always one piece, which is neither copied nor counted.
struct Whole<'b> {
    budget: &'b Budget,
    /// The call that the body belongs to.
    call: &'b Open,
    /// The octets that this body has taken of the budget.
    taken: usize,
    state: Held,
    received: usize,
}

/// What is kept of a body.
enum Held {
    /// The only piece, and the last.
    One(Bytes),
    /// All pieces so far, copied: a small piece would keep the whole buffer that it was read into.
    Pieces(BytesMut),
    /// The body was discarded: it exceeded a limit.
    Nothing,
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<'b> Whole<'b> {
    fn new(budget: &'b Budget, call: &'b Open) -> Self {
        Self { budget, call, taken: 0, state: Held::Pieces(BytesMut::new()), received: 0 }
    }

    fn add(&mut self, data: Bytes, last: bool) {
        let first = self.received == 0;
        self.received = self.received.saturating_add(data.len());
        if self.received > MAX_MESSAGE + PREFIX {
            // The message is rejected whatever follows.
            self.state = Held::Nothing;
            return self.release();
        }
        if first && last {
            self.state = Held::One(data);
            return;
        }
        let Held::Pieces(pieces) = &mut self.state else { return };
        pieces.extend_from_slice(&data);
        // Counts the capacity and not the length.
        let more = pieces.capacity().saturating_sub(self.taken);
        if more > 0 {
            if self.budget.take(more) {
                self.taken += more;
                self.call.holds(more);
            } else {
                self.state = Held::Nothing;
                self.release();
            }
        }
    }

    fn release(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        self.budget.give_back(taken);
        self.call.gives_back(taken);
    }

    fn message<E>(mut self) -> Result<Bytes, Unreceived<E>> {
        let received = self.received;
        if received > MAX_MESSAGE + PREFIX {
            return Err(Unreceived::TooLarge);
        }
        let mut whole = match std::mem::replace(&mut self.state, Held::Nothing) {
            Held::One(piece) => piece,
            Held::Pieces(pieces) => pieces.freeze(),
            Held::Nothing => return Err(Unreceived::Exhausted { limit: self.budget.limit }),
        };
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::Context;

    use hyper::body::Frame;

    use super::super::unread::Unread;
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

    fn receiving(deadline: Duration, budget: usize) -> Receiving {
        Receiving { deadline, budget: Arc::new(Budget::new(budget)), ..Receiving::default() }
    }

    /// Receives as a call of a test connection.
    async fn receive<B: Body<Data = Bytes>>(body: B, limits: &Receiving) -> Result<Bytes, Unreceived<B::Error>> {
        let unread = Arc::new(Unread::new(usize::MAX, BODY_DEADLINE));
        let call = Arc::new(unread.outbox()).begin();
        super::receive(body, limits, &call).await
    }

    async fn receive_pieces(pieces: Vec<Vec<u8>>) -> Result<Bytes, Unreceived<Infallible>> {
        let limits = Receiving::default();
        let received = receive(Pieces(pieces.into()), &limits).await;
        assert_eq!(limits.budget.held(), 0, "everything was given back");
        received
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

    /// A body that never ends after its pieces.
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
            let limits = receiving(deadline, MAX_UNFINISHED);
            let error = receive(Unfinished(Pieces(pieces.into())), &limits).await.unwrap_err();
            assert_eq!(limits.budget.held(), 0, "everything was given back");
            assert_eq!(error.to_string(), "the CheckRequest did not arrive within 5 ms");
        }
    }

    #[tokio::test]
    async fn unfinished_messages_share_a_budget() {
        let whole = frame(&[7; 100_000]);
        let half = || vec![whole[..50_000].to_vec()];
        let forever = Duration::from_secs(3600);
        let limits = receiving(forever, 200_000);
        let budget = limits.budget.clone();
        // Polled once, so that this much has arrived.
        let mut first = Box::pin(receive(Unfinished(Pieces(half().into())), &limits));
        let mut second = Box::pin(receive(Unfinished(Pieces(half().into())), &limits));
        for waiting in [&mut first, &mut second] {
            assert!(futures_now(waiting.as_mut()).is_none());
        }
        let held = budget.held();
        assert!((100_000..=200_000).contains(&held), "{held}");

        let pieces = || Pieces(whole.chunks(40_000).map(<[u8]>::to_vec).collect());
        let error = receive(pieces(), &receiving(forever, 99_999)).await.unwrap_err().to_string();
        assert_eq!(error, "unfinished CheckRequests hold 99999 octets already");
        let full = receiving(forever, held);
        full.budget.held.store(held, Ordering::Relaxed);
        assert!(receive(pieces(), &full).await.is_err());
        let one = receive(Pieces([whole.clone()].into()), &full).await;
        assert!(one.is_err(), "this body does not say that its first piece is its last");
        assert_eq!(full.budget.held(), held, "what others hold is theirs");

        drop(first);
        assert_eq!(budget.held(), held / 2);
        drop(second);
        assert_eq!(budget.held(), 0);
        assert_eq!(receive(pieces(), &limits).await.unwrap(), vec![7; 100_000]);
    }

    #[tokio::test]
    async fn what_comes_in_one_piece_needs_no_room() {
        let whole = Bytes::from(frame(b"whole"));
        let body = http_body_util::Full::new(whole);
        assert_eq!(receive(body, &receiving(BODY_DEADLINE, 0)).await.unwrap(), "whole");
    }

    #[tokio::test]
    async fn the_call_that_has_waited_longest_gives_way() {
        let limits = Receiving { waiting: Places::new(2), ..receiving(Duration::from_secs(3600), MAX_UNFINISHED) };
        let wait = || Box::pin(receive(Unfinished(Pieces(VecDeque::new())), &limits));
        let (mut first, mut second, mut third) = (wait(), wait(), wait());
        for waiting in [&mut first, &mut second, &mut third] {
            assert!(futures_now(waiting.as_mut()).is_none());
        }
        let error = first.await.unwrap_err().to_string();
        assert_eq!(error, "the CheckRequest had not arrived when 2 later calls waited for theirs");
        let whole = receive(http_body_util::Full::new(Bytes::from(frame(b"whole"))), &limits).await;
        assert_eq!(whole.unwrap(), "whole");
        assert!(futures_now(second.as_mut()).is_none(), "a message that came with its call took no place");
    }

    /// The output of a future that is ready at once.
    fn futures_now<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
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
