//! A connection over TLS, bounded in what it keeps for its peer.
//!
//! TLS keeps the pieces of a record, and of a handshake message, until the last one is there (RFC 8446, section 5.1), and
//! what it has encrypted until it has been sent. The stack would take 64 KiB of either on each connection, and a peer need
//! say nothing inside for it. Here it has [`MAX_UNREAD`] and [`MAX_UNSENT`].

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Error as TlsError;
use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// Octets that may come before the handshake is done, and later before something can be read that was said inside. The
/// largest record has 16 KiB; a client with a chain of five certificates with RSA-4096 sends 11 KiB.
pub const MAX_UNREAD: usize = 24 << 10;

/// Octets that are encrypted before they can be sent.
pub const MAX_UNSENT: usize = 16 << 10;

/// What lies below TLS.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    /// What may come yet.
    left: usize,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, left: MAX_UNREAD }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining().min(self.left);
        if room == 0 {
            let error = TlsError::General(format!("{MAX_UNREAD} octets have come and nothing can be read of them"));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        // TLS reads into memory that was written to before.
        let mut piece = ReadBuf::new(buf.initialize_unfilled_to(room));
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut piece);
        let came = piece.filled().len();
        buf.advance(came);
        self.left = self.left.saturating_sub(came);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Secured<S>(TlsStream<Bounded<S>>);

impl<S> Secured<S> {
    pub(super) fn new(mut stream: TlsStream<Bounded<S>>) -> Self {
        let (below, session) = stream.get_mut();
        below.left = MAX_UNREAD;
        session.set_buffer_limit(Some(MAX_UNSENT));
        Self(stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // One record at a time: what follows has its own room.
        let said = ready!(Pin::new(&mut self.0).poll_fill_buf(cx))?;
        let octets = said.len().min(buf.remaining());
        buf.put_slice(said.get(..octets).unwrap_or_default());
        Pin::new(&mut self.0).consume(octets);
        if octets > 0 {
            self.0.get_mut().0.left = MAX_UNREAD;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::version::{TLS12, TLS13};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio_rustls::{TlsConnector, client::TlsStream as ClientStream};

    use super::super::accept::Acceptor;
    use super::super::health::TlsHealth;
    use super::super::identity::ServerIdentity;
    use super::super::server::TlsServer;
    use super::super::testing::{NAME, Pair, client};
    use super::*;

    /// The near and the far end, with room for so many octets between them.
    async fn shaken(
        room: usize,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> (ClientStream<DuplexStream>, Secured<DuplexStream>) {
        let pair = Pair::new("server");
        let identity = ServerIdentity::from_pem(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap();
        let health = Arc::new(TlsHealth::default());
        let acceptor = Acceptor::new(Arc::new(TlsServer::new(&identity, &[b"h2"], health.server("test"))));
        let (near, far) = tokio::io::duplex(room);
        let connector = TlsConnector::from(Arc::new(client(&[&pair.der], &[version])));
        let connect = connector.connect(ServerName::try_from(NAME).unwrap(), near);
        let (near, far) = tokio::join!(connect, acceptor.accept(far, None));
        (near.unwrap(), far.unwrap())
    }

    #[tokio::test]
    async fn nothing_is_read_for_ever_of_which_nothing_comes() {
        let (mut near, far) = tokio::io::duplex(2 * MAX_UNREAD);
        near.write_all(&[0; MAX_UNREAD + 1]).await.unwrap();
        let mut far = Bounded::new(far);
        far.read_exact(&mut [0; MAX_UNREAD]).await.unwrap();
        let error = far.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn what_is_read_makes_room_for_more() {
        for version in [&TLS12, &TLS13] {
            let (mut near, mut far) = shaken(1 << 20, version).await;
            let much = vec![7; 40 * MAX_UNREAD];
            let write = async {
                near.write_all(&much).await.unwrap();
                near.flush().await.unwrap();
            };
            let mut found = vec![0; much.len()];
            let (read, ()) = tokio::join!(far.read_exact(&mut found), write);
            read.unwrap();
            assert!(found == much);
        }
    }

    #[tokio::test]
    async fn little_is_encrypted_for_who_does_not_read() {
        const BETWEEN: usize = 4096;
        for version in [&TLS12, &TLS13] {
            let (_near, mut far) = shaken(BETWEEN, version).await;
            let taken = std::future::poll_fn(|cx| {
                let mut taken = 0;
                while let Poll::Ready(octets) = Pin::new(&mut far).poll_write(cx, &[0; 8192]) {
                    taken += octets.unwrap();
                }
                Poll::Ready(taken)
            });
            let taken = taken.await;
            assert!((BETWEEN..=BETWEEN + MAX_UNSENT).contains(&taken), "{taken}");
        }
    }
}
