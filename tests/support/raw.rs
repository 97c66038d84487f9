//! HTTP/2 by hand: calls without an end, answers that are not taken, connections that do nothing.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The largest frame that a peer takes unless it says otherwise, and the window of a connection (RFC 9113, section 6.5.2).
const FRAME: usize = 16_384;
const WINDOW: i64 = 65_535;

/// The window that the client has for each answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// As usual.
    Taken,
    /// None at all.
    Refused,
}

/// A connection.
pub struct Raw {
    stream: TcpStream,
    next: u32,
    /// What may be sent yet.
    window: i64,
}

impl Raw {
    /// Connects and sends preface and settings.
    pub async fn connect(address: SocketAddr, answers: Answers) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let initial_window = match answers {
            Answers::Taken => &[][..],
            Answers::Refused => &[0, 4, 0, 0, 0, 0],
        };
        let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, initial_window)].concat();
        stream.write_all(&hello).await?;
        Ok(Self { stream, next: 1, window: WINDOW })
    }

    /// Begins so many calls, whose messages never come.
    pub async fn begin(&mut self, calls: usize) -> io::Result<()> {
        let opened: Vec<u8> = (0..calls).flat_map(|_| self.head()).collect();
        self.stream.write_all(&opened).await
    }

    /// Sends a whole call and does not wait for its answer.
    pub async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
        let body = [&[0][..], &length, message].concat();
        let id = self.next;
        let mut whole = self.head();
        let pieces = body.chunks(FRAME);
        let last = pieces.len() - 1;
        for (at, piece) in pieces.enumerate() {
            whole.extend(frame(0, u8::from(at == last), id, piece));
        }
        while self.window < i64::try_from(body.len()).expect("a short message") {
            self.read_frame().await?;
        }
        self.window -= i64::try_from(body.len()).expect("a short message");
        self.stream.write_all(&whole).await
    }

    /// Sends all of a frame but its last octet.
    pub async fn stall(&mut self) -> io::Result<()> {
        let whole = frame(1, 4, 1, &vec![0; FRAME]);
        self.stream.write_all(whole.get(..whole.len() - 1).expect("a frame has a head")).await
    }

    /// Reads, and throws away, what comes, until the connection ends.
    pub async fn drain(&mut self) {
        let mut some = vec![0; 65_536];
        while self.stream.read(&mut some).await.is_ok_and(|read| read > 0) {}
    }

    /// Headers of the next call.
    fn head(&mut self) -> Vec<u8> {
        let id = self.next;
        self.next += 2;
        let text = |text: &str| [&[u8::try_from(text.len()).expect("a short text")][..], text.as_bytes()].concat();
        let fields =
            [(":method", "POST"), (":scheme", "http"), (":path", CHECK), (":authority", "a"), ("te", "trailers")];
        // Literals that enter no table (RFC 7541, section 6.2.2).
        let block: Vec<u8> =
            fields.iter().flat_map(|(name, value)| [&[0][..], &text(name), &text(value)].concat()).collect();
        frame(1, 4, id, &block)
    }

    async fn read_frame(&mut self) -> io::Result<()> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await?;
        let [a, b, c, kind, _, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).await?;
        if let (8, 0, Ok(more)) = (kind, u32::from_be_bytes(id), <[u8; 4]>::try_from(payload)) {
            self.window += i64::from(u32::from_be_bytes(more));
        }
        Ok(())
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
