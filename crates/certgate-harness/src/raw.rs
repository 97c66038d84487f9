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

    /// The same, with heads of four octets each: all fields are in the table of headers (RFC 7541, section 6.1).
    pub async fn begin_indexed(&mut self, calls: usize) -> io::Result<()> {
        let path = b"/envoy.service.auth.v3.Authorization/Check";
        // `:method: POST`, `:scheme: http`, and `:path` and `:authority` with indexing.
        let first = [&[0x83, 0x86, 0x44, 42][..], path, &[0x41, 1, b'a']].concat();
        let mut opened = Vec::new();
        for call in 0..calls {
            let block: &[u8] = if call == 0 { &first } else { &[0x83, 0x86, 0xbf, 0xbe] };
            opened.extend(frame(1, 4, self.next, block));
            self.next += 2;
        }
        self.stream.write_all(&opened).await
    }

    /// Begins so many calls of health, whose messages never come and whose heads are as long as may be.
    pub async fn begin_health(&mut self, calls: usize) -> io::Result<()> {
        let media_type = format!("application/grpc;{}", "x".repeat(14_000));
        for _ in 0..calls {
            let fields = [(":path", "/grpc.health.v1.Health/Check"), ("content-type", media_type.as_str())];
            let begun = self.head_of(&fields);
            self.stream.write_all(&begun).await?;
        }
        Ok(())
    }

    /// Has paths put into the table of headers, each of which is read with a buffer of other octets.
    pub async fn fill_table(&mut self, paths: u8) -> io::Result<()> {
        for path in 0..paths {
            let name = [b'/', b'a' + path % 16, b'a' + path / 16];
            // `:method: POST`, `:scheme: http`, and `:path` with indexing (RFC 7541, section 6.2.1).
            let block = [&[0x83, 0x86, 0x44, 3][..], &name].concat();
            let (id, filler) = (self.next, vec![0; 8_000]);
            self.next += 2;
            // Frames of a kind that nobody knows are thrown away.
            let all = [frame(1, 5, id, &block), frame(0xfa, 0, 0, &filler), frame(0xfa, 0, 0, &filler)];
            self.stream.write_all(&all.concat()).await?;
        }
        Ok(())
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
        self.head_of(&[(":path", CHECK)])
    }

    fn head_of(&mut self, more: &[(&str, &str)]) -> Vec<u8> {
        let id = self.next;
        self.next += 2;
        let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "a")];
        // Literals that enter no table (RFC 7541, section 6.2.2).
        let literal = |(name, value): &(&str, &str)| [&[0][..], &string(name), &string(value)].concat();
        let block: Vec<u8> = fields.iter().chain(more).chain(&[("te", "trailers")]).flat_map(literal).collect();
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

/// A string literal (RFC 7541, section 5.2).
fn string(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    match text.len().checked_sub(127) {
        None => octets.push(u8::try_from(text.len()).expect("a short text")),
        Some(mut more) => {
            octets.push(127);
            while more > 127 {
                octets.push(u8::try_from(more % 128 + 128).expect("an octet"));
                more /= 128;
            }
            octets.push(u8::try_from(more).expect("an octet"));
        }
    }
    octets.extend(text.as_bytes());
    octets
}
