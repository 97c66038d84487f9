//! A connection's octets: reading stops while writes are blocked, and unfinished frames are counted.
//!
//! Calls that are read while their answers cannot be written would accumulate. So a connection whose last write is
//! blocked is not read from until that write completes. The HTTP/2 stack buffers a frame (RFC 9113, section 4.1) and a
//! block of headers until its end, on each of thousands of connections; this module reports the buffered octets to the
//! outbox.
//!
//! It also reports what the header table (RFC 7541, section 2.3.2) may hold: an entry for a path of three octets keeps
//! the whole buffer that it was read into. certgate offers a table size of 0, but a caller can ignore that, and the
//! stack does not enforce it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::unread::Outbox;

/// Octets that are read in a turn. The server processes what it has read before it reads more. So few streams are open
/// at once on a connection whose calls come with their messages, however many arrive together, and other connections
/// get their turn.
const TURN: usize = 16 << 10;

/// A turn also ends after this many streams: with indexed headers (RFC 7541) eleven octets open one.
const STREAMS: usize = 32;

/// The most encrypted data that a connection keeps while it cannot be sent.
const MAX_UNSENT: usize = crate::tls::stream::MAX_UNSENT;

/// Octets per read while much is stuck: 150 streams at most.
const PIECE: usize = 2 << 10;

/// A connection that is read only while it can be written.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    outbox: Arc<Outbox>,
    /// Whether a write is blocked, and the octets accepted since everything was written.
    blocked: bool,
    unsent: usize,
    /// The reader that waits meanwhile.
    reader: Option<Waker>,
    frames: Frames,
    /// The number of the turn, and the octets left in it.
    turn: u64,
    left: usize,
}

impl<S> Paced<S> {
    /// Reports blocked writes to `outbox`.
    pub fn new(stream: S, outbox: Arc<Outbox>) -> Self {
        Self { stream, outbox, blocked: false, unsent: 0, reader: None, frames: Frames::default(), turn: 0, left: TURN }
    }

    /// Records that the kernel or TLS took octets, or that the write is blocked.
    fn wrote(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Ready(Ok(octets)) => self.unsent = self.unsent.saturating_add(*octets),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.waits(),
        }
        polled
    }

    fn waits(&mut self) {
        self.blocked = true;
        self.outbox.blocked(self.unsent.min(MAX_UNSENT));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.blocked {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let turn = self.outbox.turn();
        if self.turn != turn {
            (self.turn, self.left) = (turn, TURN);
        }
        if self.left == 0 || self.outbox.must_wait() {
            // Reading continues in the next turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        // Only a short piece needs initialized memory; an idle connection would otherwise initialize its whole buffer.
        let polled = if self.outbox.is_pressed() {
            let room = buf.remaining().min(PIECE);
            let mut piece = ReadBuf::new(buf.initialize_unfilled_to(room));
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut piece);
            let came = piece.filled().len();
            buf.advance(came);
            polled
        } else {
            Pin::new(&mut self.stream).poll_read(cx, buf)
        };
        let came = buf.filled().get(before..).unwrap_or_default();
        let tabled = self.frames.table.held();
        let (held, ended) = (self.frames.held, self.frames.ended);
        let streams = self.frames.feed(came);
        self.left = if streams < STREAMS { self.left.saturating_sub(came.len()) } else { 0 };
        if streams > 0 {
            self.outbox.arrived(streams);
        }
        if self.frames.table.held() != tabled {
            self.outbox.tabled(self.frames.table.held());
        }
        // Another frame of the same length is reported, too.
        if self.frames.held != held || (held > 0 && self.frames.ended != ended) {
            self.outbox.partial(self.frames.held, self.frames.ended != ended);
        }
        polled
    }
}

/// The octets of an HTTP/2 preface.
const PREFACE: usize = 24;

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// The most entries of a table: each takes 32 octets of the initial 4,096.
const MAX_ENTRIES: usize = 128;

/// The buffer that an entry may keep: as long as the largest frame.
const BUFFER: usize = 16 << 10;

/// The first octet of a block of headers that begins with a table size update to 0 (RFC 7541, section 6.3).
const NO_TABLE: u8 = 0x20;

/// The upper bound of what a connection's header table holds, from the octets so far.
#[derive(Debug, Default)]
struct HeaderTable {
    /// All octets, and the blocks of headers among them.
    octets: usize,
    blocks: usize,
    /// Whether the caller knows the table size of 0. Before that it may change the size several times.
    told: bool,
    /// Whether the caller has set the table size to 0; after that the table stays empty.
    given_up: bool,
}

impl HeaderTable {
    fn held(&self) -> usize {
        match self.given_up {
            true => 0,
            // Each block keeps one buffer, and the total is no more than what has arrived.
            false => self.octets.min(self.blocks.min(MAX_ENTRIES).saturating_mul(BUFFER)),
        }
    }
}

/// The position of a connection in its frames.
#[derive(Debug)]
struct Frames {
    /// The octets before the next frame header: of the preface, or of a payload.
    rest: usize,
    head: [u8; 9],
    /// How much of the next frame header has arrived.
    headed: usize,
    /// Whether a block of headers continues in the next frame.
    goes_on: bool,
    /// The octets that the stack keeps.
    held: usize,
    /// How many times the stack could free them.
    ended: u64,
    table: HeaderTable,
    /// Octets of a payload before its block of headers; used for the first block.
    block_in: Option<usize>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            rest: PREFACE,
            head: [0; 9],
            headed: 0,
            goes_on: false,
            held: 0,
            ended: 0,
            table: HeaderTable::default(),
            block_in: None,
        }
    }
}

impl Frames {
    /// Processes the octets that have arrived; returns the number of streams that they open.
    fn feed(&mut self, mut octets: &[u8]) -> usize {
        let mut streams = 0;
        self.table.octets = self.table.octets.saturating_add(octets.len());
        while let Some((first, others)) = octets.split_first() {
            if self.rest > 0 {
                let now = self.rest.min(octets.len());
                self.look(octets.get(..now).unwrap_or_default());
                self.rest -= now;
                self.held = self.held.saturating_add(now);
                octets = octets.get(now..).unwrap_or_default();
            } else {
                if let Some(slot) = self.head.get_mut(self.headed) {
                    *slot = *first;
                }
                self.headed += 1;
                self.held = self.held.saturating_add(1);
                octets = others;
                if self.headed < self.head.len() {
                    continue;
                }
                let [a, b, c, kind, flags, ..] = self.head;
                self.headed = 0;
                self.rest = u32::from_be_bytes([0, a, b, c]) as usize;
                if matches!(kind, HEADERS | CONTINUATION) {
                    self.goes_on = flags & END_HEADERS == 0;
                }
                streams += usize::from(kind == HEADERS);
                self.table.blocks = self.table.blocks.saturating_add(usize::from(kind == HEADERS));
                self.table.told |= kind == SETTINGS && flags & ACK != 0;
                let before = usize::from(flags & PADDED != 0) + if flags & PRIORITY == 0 { 0 } else { 5 };
                self.block_in = (kind == HEADERS && self.rest > before).then_some(before);
            }
            if self.rest == 0 && self.headed == 0 && !self.goes_on {
                self.held = 0;
                self.ended = self.ended.wrapping_add(1);
            }
        }
        streams
    }
}

impl Frames {
    /// Checks whether a block of headers begins in this piece of a payload with a table size update to 0.
    fn look(&mut self, piece: &[u8]) {
        let Some(before) = self.block_in else { return };
        match piece.get(before) {
            Some(first) => {
                self.block_in = None;
                self.table.given_up |= self.table.told && *first == NO_TABLE;
            }
            None => self.block_in = Some(before.saturating_sub(piece.len())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        match polled {
            Poll::Pending => self.waits(),
            // What TLS has taken was written, too.
            Poll::Ready(_) => {
                self.unsent = 0;
                if std::mem::take(&mut self.blocked) {
                    self.outbox.flushed();
                    if let Some(reader) = self.reader.take() {
                        reader.wake();
                    }
                }
            }
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], &vec![0; payload]].concat()
    }

    #[test]
    fn what_the_stack_keeps_is_what_has_not_ended() {
        let preface = vec![0; PREFACE];
        let whole = [preface.clone(), frame(4, 0, 6), frame(HEADERS, END_HEADERS, 50), frame(0, 1, 0)].concat();
        let block = [whole.clone(), frame(HEADERS, 0, 100), frame(CONTINUATION, 0, 200)].concat();
        let rows = [
            ("nothing", vec![], 0),
            ("half a preface", vec![0; 12], 12),
            ("a preface", preface, 0),
            ("whole frames", whole.clone(), 0),
            ("half a head", [whole.clone(), vec![0; 4]].concat(), 4),
            ("half a payload", [whole, frame(0, 0, 1000)[..500].to_vec()].concat(), 500),
            ("a block of headers that goes on", block.clone(), 318),
            ("its end", [block, frame(CONTINUATION, END_HEADERS, 1)].concat(), 0),
        ];
        for (name, octets, held) in rows {
            for size in [1, 7, octets.len().max(1)] {
                let mut frames = Frames::default();
                let streams: usize = octets.chunks(size).map(|octets| frames.feed(octets)).sum();
                assert_eq!(frames.held, held, "{name} in pieces of {size}");
                assert!(streams <= 2, "{name} in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_a_table_may_hold_is_counted_until_it_is_given_up() {
        let block = |flags: u8, payload: &[u8]| {
            let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
            [&length[1..], &[HEADERS, END_HEADERS | flags, 0, 0, 0, 1], payload].concat()
        };
        let (ack, plain, gives_up) = (frame(SETTINGS, ACK, 0), block(0, &[0x83]), block(0, &[NO_TABLE, 0x83]));
        let start = [vec![0; PREFACE], frame(SETTINGS, 0, 0)].concat();
        let padded = block(PADDED | PRIORITY, &[1, 0, 0, 0, 0, 0, NO_TABLE, 0x83, 0]);
        let not_padded = block(PRIORITY, &[NO_TABLE, 0, 0, 0, 0, 0x83]);
        let rows = [
            ("no block", vec![ack.clone()], false),
            ("a block", vec![ack.clone(), plain.clone()], true),
            ("given up before it was asked for", vec![gives_up.clone(), ack.clone(), plain.clone()], true),
            ("given up", vec![plain.clone(), ack.clone(), gives_up], false),
            ("given up behind other fields", vec![plain, ack.clone(), padded], false),
            ("other fields that look like it", vec![ack, not_padded], true),
        ];
        for (name, frames, holds) in rows {
            let octets = [start.clone(), frames.concat()].concat();
            for size in [1, 3, octets.len()] {
                let mut read = Frames::default();
                octets.chunks(size).for_each(|piece| {
                    read.feed(piece);
                });
                let held = if holds { octets.len() } else { 0 };
                assert_eq!(read.table.held(), held, "{name} in pieces of {size}");
            }
        }
        let mut many = Frames::default();
        many.feed(&[start, frame(HEADERS, END_HEADERS, 5), frame(0xfa, 0, 1 << 20)].concat());
        assert_eq!(many.table.held(), BUFFER, "one block keeps one buffer");
    }
}
