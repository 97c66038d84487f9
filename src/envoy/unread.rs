//! What is stuck on connections: answers that their callers do not take, and frames that do not end.
//!
//! An answer is in memory until it has been written. A caller that opens no window for it (RFC 9113, section 5.2), or does
//! not read, has certgate keep it, and its stream. So each connection knows the answers that it has not written
//! ([`Outbox`]); what is left of them when it can write no more is stuck, and what is stuck on all connections together is
//! bounded ([`Unread`]): beyond that the connection with the most is closed. So is one on which an answer stays for too long.
//! Whatever else a caller can have certgate keep for him counts as stuck, too: what has come of a message, of a frame or of a
//! block of headers that has not ended; what TLS has encrypted and cannot send; the slots of streams that the HTTP/2 stack
//! keeps for as long as a connection lives, once it has needed them; what its table of headers may hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::sync::Notify;

/// How long an answer may wait to be written. Envoy gives up a call after a fraction of a second unless told otherwise, and
/// resets its stream then.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// The octets that may be stuck, those of all connections together: some thousand answers of the usual size, where honest
/// connections have none for longer than a moment, or, beside those that are free, the slots of two connections that have had
/// all their streams open.
pub const MAX_UNREAD: usize = 16 << 20;

/// What an answer holds beside its octets: headers, trailers, what is left of the call.
const STREAM: usize = 2048;

/// What a stream that is open for the first time adds to the memory of the process, as it was measured: about 2 KiB that the
/// HTTP/2 stack keeps of it, and for the next one once it has gone, and what its growing tables leave behind.
const SLOT: usize = 8 << 10;

/// So many slots of all connections together do not count: a proxy that is busy has some dozen calls open on each.
const FREE_SLOTS: usize = 1024;

/// Calls that a connection may have had open at once and still be closed in peace.
const FEW: usize = 64;

/// What those connections may hold, all together, that were closed and have a moment to end in peace: some forty that are
/// idle. The others end at once.
const MAX_LINGERING: usize = 4 << 20;

/// What a connection holds that has no calls: the buffers and the state of the HTTP/2 stack.
const CONNECTION: usize = 32 << 10;

/// Streams that may come on a connection that ends in peace.
const LATE: usize = 8;

/// What is stuck on all connections of a port.
#[derive(Debug)]
pub struct Unread {
    limit: usize,
    deadline: Duration,
    stuck: Mutex<Stuck>,
    /// The number of connections that have to close and have not begun to.
    closing: AtomicUsize,
    /// Whether a quarter of what may be stuck is.
    pressed: AtomicBool,
}

#[derive(Debug, Default)]
struct Stuck {
    /// Numbers the connections.
    next: u64,
    total: Amount,
    /// The connections on which something is stuck: how much, and what closes them.
    outboxes: BTreeMap<u64, (Amount, Arc<Notify>)>,
    /// Those that have to close and have not begun to.
    closing: BTreeSet<u64>,
    /// What those hold that end in peace.
    lingering: usize,
}

/// How much is stuck: octets, and slots of streams.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
struct Amount {
    octets: usize,
    slots: usize,
}

impl Amount {
    /// The octets of both, but for so many slots.
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

    /// The answers of one more connection.
    pub fn outbox(self: &Arc<Self>) -> Outbox {
        let mut stuck = self.stuck();
        let number = stuck.next;
        stuck.next += 1;
        Outbox { unread: self.clone(), number, close: Arc::default(), state: Mutex::default(), turn: AtomicU64::new(0) }
    }

    /// Says how much is stuck on a connection now, and closes those with the most while there is too much.
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

    /// A connection begins to close, or has ended.
    fn closes(&self, number: u64) {
        let mut stuck = self.stuck();
        if let Some((held, _)) = stuck.outboxes.remove(&number) {
            stuck.total.take(held);
        }
        stuck.closing.remove(&number);
        self.closing.store(stuck.closing.len(), Ordering::Relaxed);
        self.pressed.store(stuck.total.beyond(FREE_SLOTS) > self.limit / 4, Ordering::Relaxed);
    }

    /// Whether a connection that holds so much may end in peace. It must give that back.
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

/// The answers of one connection that it has not written.
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
    /// Since when each has waited.
    waiting: BTreeMap<u64, Instant>,
    /// What they hold, and their streams.
    held: usize,
    /// What was told as stuck.
    told: Amount,
    /// Since when nothing can be written, and what was encrypted in vain.
    blocked: Option<Instant>,
    unsent: usize,
    /// What has come of messages that have not ended.
    unfinished: usize,
    /// The octets of a frame that has not ended, and since when it has begun.
    partial: usize,
    partial_since: Option<Instant>,
    /// What a table of headers may hold.
    tabled: usize,
    /// Streams that have come and were not looked at yet, those that are open, and the most at once so far.
    arrived: usize,
    open: usize,
    most: usize,
    /// The connection closes, and counts no more.
    closes: bool,
    /// What it may hold while it ends in peace.
    lingers: Option<usize>,
}

impl Answers {
    fn stuck(&self) -> Amount {
        let octets = [self.held, self.unsent, self.unfinished, self.partial, self.tabled];
        Amount { octets: octets.into_iter().fold(0, usize::saturating_add), slots: self.most }
    }
}

impl Outbox {
    /// Counts turns of the connection: each is over when it can do no more at once.
    pub fn begin_turn(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of this turn.
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Whether connections have to close that have not begun to. Until they do, nothing more is read from any: what they hold
    /// is not free yet.
    pub fn must_wait(&self) -> bool {
        self.unread.closing.load(Ordering::Relaxed) > 0
    }

    /// Whether so much is stuck on all connections that little should be read at once.
    pub fn is_pressed(&self) -> bool {
        self.unread.pressed.load(Ordering::Relaxed)
    }

    /// Must be called when the connection begins to close.
    pub fn closes(&self) {
        self.answers().closes = true;
        self.unread.closes(self.number);
    }

    /// Says that so many streams have come.
    pub fn arrived(&self, streams: usize) {
        let mut answers = self.answers();
        answers.arrived = answers.arrived.saturating_add(streams);
        answers.most = answers.most.max(answers.arrived.saturating_add(answers.open));
    }

    /// One of them is looked at. It is open until what is returned is dropped.
    pub fn begin(self: &Arc<Self>) -> Open {
        let mut answers = self.answers();
        answers.arrived = answers.arrived.saturating_sub(1);
        answers.open = answers.open.saturating_add(1);
        answers.most = answers.most.max(answers.open);
        drop(answers);
        Open(self.clone())
    }

    /// Whether nothing waits and no call is open, or few ever were.
    fn is_light(&self) -> bool {
        let answers = self.answers();
        (answers.open == 0 || answers.most <= FEW) && answers.held == 0 && answers.unsent == 0 && answers.partial == 0
    }

    /// Whether there is time to end a connection in peace that closes: while it holds little, and those that do together.
    /// Until what is returned is dropped, [`Self::overflows`] tells when it holds more.
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

    /// An answer to write, of the call that is open until then.
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

    /// Must be called when the connection has written what it could: what is left is stuck.
    pub fn settle(&self) {
        let mut answers = self.answers();
        // Everything that has come was looked at.
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

    /// Says that the connection cannot write, and what it may have encrypted since it could.
    pub fn blocked(&self, unsent: usize) {
        let mut answers = self.answers();
        answers.blocked.get_or_insert_with(Instant::now);
        answers.unsent = unsent;
    }

    /// Says that everything has been written.
    pub fn flushed(&self) {
        let mut answers = self.answers();
        (answers.blocked, answers.unsent) = (None, 0);
    }

    /// Says how much has come of a frame that has not ended; it is another one than before if `begun`.
    pub fn partial(&self, octets: usize, begun: bool) {
        let mut answers = self.answers();
        answers.partial = octets;
        if octets == 0 {
            answers.partial_since = None;
        } else if begun || answers.partial_since.is_none() {
            answers.partial_since = Some(Instant::now());
        }
    }

    /// Says how much a table of headers may hold.
    pub fn tabled(&self, octets: usize) {
        self.answers().tabled = octets;
    }

    /// When the connection must be closed, because of the answers that are stuck on it.
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

/// The octets of an answer, counted until they have been written.
#[derive(Debug)]
pub struct Answer {
    octets: Bytes,
    _held: Held,
    _call: Option<Open>,
}

/// What a connection that ends in peace may hold.
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

/// A call that is open.
#[derive(Debug)]
pub struct Open(Arc<Outbox>);

impl Open {
    /// Says that so much more has come of its message.
    pub fn holds(&self, octets: usize) {
        let mut answers = self.0.answers();
        answers.unfinished = answers.unfinished.saturating_add(octets);
    }

    /// Says that so much of it is kept no more.
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
