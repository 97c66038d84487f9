//! What is stuck on connections: answers that callers do not read, and frames that do not end.
//!
//! An answer stays in memory until it is written. A caller that opens no flow-control window for it (RFC 9113, section
//! 5.2), or does not read, makes certgate keep the answer and its stream. So each connection records its unwritten
//! answers ([`Outbox`]). Answers that remain when the connection can write no more are stuck. [`Unread`] bounds what is
//! stuck on all connections together: above the limit it closes the connection with the most. It also closes a
//! connection on which an answer stays for too long.
//!
//! Other memory that a caller can occupy counts as stuck, too: the received part of an unfinished message, frame or
//! block of headers; encrypted octets that TLS cannot send; stream slots, which the HTTP/2 stack keeps for the lifetime
//! of a connection once it has needed them; the possible content of the header table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::sync::Notify;

/// The write deadline of an answer. By default Envoy gives up a call after a fraction of a second, and then resets its
/// stream.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// The octets that may be stuck on all connections together. That is some thousand answers of the usual size, of which
/// well-behaved connections have none for longer than a moment. It is also, beyond the free slots, the slots of two
/// connections that have had all their streams open.
pub const MAX_UNREAD: usize = 16 << 20;

/// What an answer holds besides its octets: headers, trailers, the rest of the call.
const STREAM: usize = 2048;

/// Measured memory of the process for each stream that is open for the first time: about 2 KiB of stream state, which
/// the HTTP/2 stack keeps for reuse, and what its growing tables leave behind.
const SLOT: usize = 8 << 10;

/// Slots of all connections together that do not count: a busy proxy has a few dozen calls open on each connection.
const FREE_SLOTS: usize = 1024;

/// A connection that never had more open calls than this may be closed gracefully while calls are open.
const FEW: usize = 64;

/// What all connections that close gracefully may hold together: about forty idle ones. The others are closed at once.
const MAX_LINGERING: usize = 4 << 20;

/// What a connection without calls holds: the buffers and the state of the HTTP/2 stack.
const CONNECTION: usize = 32 << 10;

/// Streams that may arrive on a connection that closes gracefully.
const LATE: usize = 8;

/// What is stuck on all connections of a port.
#[derive(Debug)]
pub struct Unread {
    limit: usize,
    deadline: Duration,
    stuck: Mutex<Stuck>,
    /// The number of connections that must close and have not begun to.
    closing: AtomicUsize,
    /// Whether more than a quarter of the limit is stuck.
    pressed: AtomicBool,
}

#[derive(Debug, Default)]
struct Stuck {
    /// Numbers the connections.
    next: u64,
    total: Amount,
    /// The connections on which something is stuck: the amount, and the signal that closes them.
    outboxes: BTreeMap<u64, (Amount, Arc<Notify>)>,
    /// Connections that must close and have not begun to.
    closing: BTreeSet<u64>,
    /// What the gracefully closing connections hold.
    lingering: usize,
}

/// How much is stuck: octets, and slots of streams.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Amount {
    octets: usize,
    slots: usize,
}

impl Amount {
    /// The octets of both, without the first `free` slots.
    fn beyond(self, free: usize) -> usize {
        self.octets.saturating_add(self.slots.saturating_sub(free).saturating_mul(SLOT))
    }

    fn add(&mut self, other: Self) {
        self.octets = self.octets.saturating_add(other.octets);
        self.slots = self.slots.saturating_add(other.slots);
    }

    fn take(&mut self, other: Self) {
        self.octets = self.octets.saturating_sub(other.octets);
        self.slots = self.slots.saturating_sub(other.slots);
    }
}

impl Unread {
    /// At most `limit` octets may be stuck, and no answer for longer than `deadline`.
    pub fn new(limit: usize, deadline: Duration) -> Self {
        Self { limit, deadline, stuck: Mutex::default(), closing: AtomicUsize::new(0), pressed: AtomicBool::new(false) }
    }

    /// The outbox of a new connection.
    pub fn outbox(self: &Arc<Self>) -> Outbox {
        let mut stuck = self.stuck();
        let number = stuck.next;
        stuck.next += 1;
        Outbox { unread: self.clone(), number, close: Arc::default(), state: Mutex::default(), turn: AtomicU64::new(0) }
    }

    /// Records what is stuck on a connection now, and closes those with the most while the total exceeds the limit.
    fn settle(&self, number: u64, held: Amount, close: &Arc<Notify>) {
        let mut stuck = self.stuck();
        if stuck.closing.contains(&number) {
            return;
        }
        let before = match held == Amount::default() {
            true => stuck.outboxes.remove(&number),
            false => stuck.outboxes.insert(number, (held, close.clone())),
        };
        stuck.total.add(held);
        stuck.total.take(before.map_or(Amount::default(), |(held, _)| held));
        while stuck.total.beyond(FREE_SLOTS) > self.limit {
            let worst = stuck.outboxes.iter().max_by_key(|(_, (held, _))| held.beyond(0)).map(|(number, _)| *number);
            let Some(worst) = worst else { return };
            let Some((held, close)) = stuck.outboxes.remove(&worst) else { return };
            stuck.total.take(held);
            stuck.closing.insert(worst);
            self.closing.store(stuck.closing.len(), Ordering::Relaxed);
            close.notify_one();
        }
        self.pressed.store(stuck.total.beyond(FREE_SLOTS) > self.limit / 4, Ordering::Relaxed);
    }

    /// Records that a connection begins to close, or has ended.
    fn closes(&self, number: u64) {
        let mut stuck = self.stuck();
        if let Some((held, _)) = stuck.outboxes.remove(&number) {
            stuck.total.take(held);
        }
        stuck.closing.remove(&number);
        self.closing.store(stuck.closing.len(), Ordering::Relaxed);
        self.pressed.store(stuck.total.beyond(FREE_SLOTS) > self.limit / 4, Ordering::Relaxed);
    }

    /// Whether a connection that holds this much may close gracefully. If so, the caller must release the amount later.
    fn lingers(&self, octets: usize) -> bool {
        let lingering = &mut self.stuck().lingering;
        let fits = lingering.saturating_add(octets) <= MAX_LINGERING;
        if fits {
            *lingering += octets;
        }
        fits
    }

    fn stuck(&self) -> MutexGuard<'_, Stuck> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The unwritten answers of one connection.
#[derive(Debug)]
pub struct Outbox {
    unread: Arc<Unread>,
    number: u64,
    close: Arc<Notify>,
    state: Mutex<Answers>,
    turn: AtomicU64,
}

#[derive(Debug, Default)]
struct Answers {
    /// Numbers the answers.
    next: u64,
    /// The time since which each has waited.
    waiting: BTreeMap<u64, Instant>,
    /// What the answers and their streams hold.
    held: usize,
    /// The amount last reported as stuck.
    told: Amount,
    /// The time since which writes are blocked, and the octets encrypted meanwhile.
    blocked: Option<Instant>,
    unsent: usize,
    /// The received part of unfinished messages.
    unfinished: usize,
    /// The received part of an unfinished frame, and when it began.
    partial: usize,
    partial_since: Option<Instant>,
    /// What a header table may hold.
    tabled: usize,
    /// Streams that arrived and have not begun, open streams, and the highest number at once so far.
    arrived: usize,
    open: usize,
    most: usize,
    /// The connection closes, and no longer counts.
    closes: bool,
    /// What the connection may hold while it closes gracefully.
    lingers: Option<usize>,
}

impl Answers {
    fn stuck(&self) -> Amount {
        let octets = [self.held, self.unsent, self.unfinished, self.partial, self.tabled];
        Amount { octets: octets.into_iter().fold(0, usize::saturating_add), slots: self.most }
    }
}

impl Outbox {
    /// Begins a turn of the connection. A turn ends when the connection can make no more progress.
    pub fn begin_turn(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of this turn.
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Whether some connection must close and has not begun to. Until then no connection reads: the memory is not free
    /// yet.
    pub fn must_wait(&self) -> bool {
        self.unread.closing.load(Ordering::Relaxed) > 0
    }

    /// Whether so much is stuck on all connections that reads should be small.
    pub fn is_pressed(&self) -> bool {
        self.unread.pressed.load(Ordering::Relaxed)
    }

    /// Must be called when the connection begins to close.
    pub fn closes(&self) {
        self.answers().closes = true;
        self.unread.closes(self.number);
    }

    /// Records that this many streams have arrived.
    pub fn arrived(&self, streams: usize) {
        let mut answers = self.answers();
        answers.arrived = answers.arrived.saturating_add(streams);
        answers.most = answers.most.max(answers.arrived.saturating_add(answers.open));
    }

    /// Begins one of the arrived streams. It is open until the returned value is dropped.
    pub fn begin(self: &Arc<Self>) -> Open {
        let mut answers = self.answers();
        answers.arrived = answers.arrived.saturating_sub(1);
        answers.open = answers.open.saturating_add(1);
        answers.most = answers.most.max(answers.open);
        drop(answers);
        Open(self.clone())
    }

    /// Whether no answer waits, and no call is open or few ever were.
    fn is_light(&self) -> bool {
        let answers = self.answers();
        (answers.open == 0 || answers.most <= FEW) && answers.held == 0 && answers.unsent == 0 && answers.partial == 0
    }

    /// Whether a connection that closes may do so gracefully: it holds little, and so do all such connections together.
    /// Until the returned value is dropped, [`Self::overflows`] reports when the connection holds more.
    pub fn linger(&self) -> Option<Linger<'_>> {
        if !self.is_light() {
            return None;
        }
        let mut answers = self.answers();
        let late = Amount { octets: 0, slots: LATE };
        let most = answers.stuck().beyond(0).saturating_add(late.beyond(0));
        let held = most.saturating_add(CONNECTION);
        self.unread.lingers(held).then(|| {
            answers.lingers = Some(most);
            Linger { unread: &self.unread, held }
        })
    }

    /// An answer to write. Its call stays open until it is written.
    pub fn put(self: &Arc<Self>, octets: Bytes, call: Option<Open>) -> Answer {
        let size = octets.len().saturating_add(STREAM);
        let mut answers = self.answers();
        let number = answers.next;
        answers.next += 1;
        answers.waiting.insert(number, Instant::now());
        answers.held = answers.held.saturating_add(size);
        drop(answers);
        Answer { octets, _held: Held { outbox: self.clone(), number, size }, _call: call }
    }

    /// Must be called when the connection has written what it could: the rest is stuck.
    pub fn settle(&self) {
        let mut answers = self.answers();
        // All arrived streams have begun.
        answers.arrived = 0;
        let held = answers.stuck();
        if answers.lingers.is_some_and(|most| held.beyond(0) > most) {
            self.close.notify_one();
        }
        if held == answers.told || answers.closes {
            return;
        }
        answers.told = held;
        drop(answers);
        self.unread.settle(self.number, held, &self.close);
    }

    /// Records that writes are blocked, and the octets encrypted since they were not.
    pub fn blocked(&self, unsent: usize) {
        let mut answers = self.answers();
        answers.blocked.get_or_insert_with(Instant::now);
        answers.unsent = unsent;
    }

    /// Records that everything was written.
    pub fn flushed(&self) {
        let mut answers = self.answers();
        (answers.blocked, answers.unsent) = (None, 0);
    }

    /// Records the received part of an unfinished frame; `begun`: it is another frame than before.
    pub fn partial(&self, octets: usize, begun: bool) {
        let mut answers = self.answers();
        answers.partial = octets;
        if octets == 0 {
            answers.partial_since = None;
        } else if begun || answers.partial_since.is_none() {
            answers.partial_since = Some(Instant::now());
        }
    }

    /// Records how much a header table may hold.
    pub fn tabled(&self, octets: usize) {
        self.answers().tabled = octets;
    }

    /// Completes when the connection must be closed because of what is stuck on it.
    pub async fn overflows(&self) {
        tokio::select! {
            () = self.close.notified() => {}
            () = self.overdue() => {}
        }
    }

    async fn overdue(&self) {
        let deadline = self.unread.deadline;
        loop {
            tokio::time::sleep(deadline / 4).await;
            let answers = self.answers();
            let first = answers.waiting.first_key_value().map(|(_, since)| *since);
            if [first, answers.blocked, answers.partial_since]
                .into_iter()
                .flatten()
                .any(|since| since.elapsed() >= deadline)
            {
                return;
            }
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.unread.closes(self.number);
    }
}

/// The octets of an answer, counted until they are written.
#[derive(Debug)]
pub struct Answer {
    octets: Bytes,
    _held: Held,
    _call: Option<Open>,
}

/// The share of a gracefully closing connection.
#[derive(Debug)]
pub struct Linger<'o> {
    unread: &'o Unread,
    held: usize,
}

impl Drop for Linger<'_> {
    fn drop(&mut self) {
        let mut stuck = self.unread.stuck();
        stuck.lingering = stuck.lingering.saturating_sub(self.held);
    }
}

/// An open call.
#[derive(Debug)]
pub struct Open(Arc<Outbox>);

impl Open {
    /// Records that this many more octets of its message were received.
    pub fn holds(&self, octets: usize) {
        let mut answers = self.0.answers();
        answers.unfinished = answers.unfinished.saturating_add(octets);
    }

    /// Records that this many octets of its message were released.
    pub fn gives_back(&self, octets: usize) {
        let mut answers = self.0.answers();
        answers.unfinished = answers.unfinished.saturating_sub(octets);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut answers = self.0.answers();
        answers.open = answers.open.saturating_sub(1);
    }
}

#[derive(Debug)]
struct Held {
    outbox: Arc<Outbox>,
    number: u64,
    size: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut answers = self.outbox.answers();
        answers.waiting.remove(&self.number);
        answers.held = answers.held.saturating_sub(self.size);
    }
}

impl Buf for Answer {
    fn remaining(&self) -> usize {
        self.octets.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.octets.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.octets.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.octets.copy_to_bytes(length)
    }
}

#[cfg(test)]
mod tests;
