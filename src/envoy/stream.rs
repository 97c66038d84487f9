//! A connection's octets: nothing is read from who does not read.
//!
//! Calls that are read while their answers cannot be written would pile up. So a connection whose last write has to wait is
//! not read from until it has been done.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::unread::Outbox;

/// A connection that is read from only while it can be written to.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    outbox: Arc<Outbox>,
    /// Whether a write waits.
    blocked: bool,
    /// Who wants to read meanwhile.
    reader: Option<Waker>,
}

impl<S> Paced<S> {
    /// Says to `outbox` when nothing can be written.
    pub fn new(stream: S, outbox: Arc<Outbox>) -> Self {
        Self { stream, outbox, blocked: false, reader: None }
    }

    fn written<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        if self.blocked != polled.is_pending() {
            self.blocked = polled.is_pending();
            self.outbox.blocked(self.blocked);
            if let Some(reader) = self.reader.take_if(|_| !self.blocked) {
                reader.wake();
            }
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.blocked {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
