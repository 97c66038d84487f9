//! HTTP/2 by hand: calls without an end, answers that are not read, connections that do nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The largest frame that a peer accepts by default, and the window of a connection (RFC 9113, section 6.5.2).
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

/// The transport of a connection.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// A connection.
pub struct RawHttp2 {
    stream: Box<dyn Duplex>,
    next: u32,
    /// What may still be sent.
    window: i64,
    /// The calls that were answered to the end.
    answered: usize,
    /// The transport below TLS.
    below: Option<TcpStream>,
}

impl RawHttp2 {
    /// Connects and sends preface and settings.
    pub async fn connect(address: SocketAddr, answers: Answers) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Self::over(Box::new(stream), None, answers).await
    }

    /// The same over TLS, with a server of this name.
    pub async fn connect_tls(
        address: SocketAddr,
        tls: &Arc<ClientConfig>,
        name: &'static str,
        answers: Answers,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let below = TcpStream::from_std(stream.try_clone()?)?;
        let name = ServerName::try_from(name).expect("a DNS name");
        let stream = TlsConnector::from(tls.clone()).connect(name, TcpStream::from_std(stream)?).await?;
        Self::over(Box::new(stream), Some(below), answers).await
    }

    async fn over(mut stream: Box<dyn Duplex>, below: Option<TcpStream>, answers: Answers) -> io::Result<Self> {
        let initial_window = match answers {
            Answers::Taken => &[][..],
            Answers::Refused => &[0, 4, 0, 0, 0, 0],
        };
        let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, initial_window)].concat();
        stream.write_all(&hello).await?;
        stream.flush().await?;
        Ok(Self { stream, next: 1, window: WINDOW, answered: 0, below })
    }

    /// Begins so many calls whose messages never arrive.
    pub async fn begin(&mut self, calls: usize) -> io::Result<()> {
        let opened: Vec<u8> = (0..calls).flat_map(|_| self.head()).collect();
        self.write(&opened).await
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
        self.write(&opened).await
    }

    /// Begins so many health calls whose messages never arrive and whose heads have the maximum size.
    pub async fn begin_health(&mut self, calls: usize) -> io::Result<()> {
        let media_type = format!("application/grpc;{}", "x".repeat(14_000));
        for _ in 0..calls {
            let fields = [(":path", "/grpc.health.v1.Health/Check"), ("content-type", media_type.as_str())];
            let begun = self.head_of(&fields);
            self.write(&begun).await?;
        }
        Ok(())
    }

    /// Adds paths to the table of headers; the peer reads each into a buffer of other octets.
    pub async fn fill_table(&mut self, paths: u8) -> io::Result<()> {
        for path in 0..paths {
            let name = [b'/', b'a' + path % 16, b'a' + path / 16];
            // `:method: POST`, `:scheme: http`, and `:path` with indexing (RFC 7541, section 6.2.1).
            let block = [&[0x83, 0x86, 0x44, 3][..], &name].concat();
            let (id, filler) = (self.next, vec![0; 8_000]);
            self.next += 2;
            // Peers discard frames of an unknown type.
            let all = [frame(1, 5, id, &block), frame(0xfa, 0, 0, &filler), frame(0xfa, 0, 0, &filler)];
            self.write(&all.concat()).await?;
        }
        Ok(())
    }

    /// Sends so many calls with empty messages, and does not wait for their answers.
    pub async fn begin_whole(&mut self, calls: usize) -> io::Result<()> {
        for _ in 0..calls {
            self.send(b"").await?;
        }
        Ok(())
    }

    /// Begins so many calls, and half a message of each.
    pub async fn begin_messages(&mut self, calls: usize) -> io::Result<()> {
        for _ in 0..calls {
            let id = self.next;
            // A message of 60,000 octets.
            let begun =
                [self.head(), frame(0, 0, id, &[0, 0, 0, 0xea, 0x60]), frame(0, 0, id, &vec![0; FRAME])].concat();
            self.write(&begun).await?;
        }
        Ok(())
    }

    /// Sends a whole call and does not wait for its answer.
    pub async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let (whole, body) = self.whole(message);
        while self.window < body {
            self.read_frame().await?;
        }
        self.window -= body;
        self.write(&whole).await
    }

    /// Sends so many calls as fast as it can, reads meanwhile, and waits until all are answered.
    pub async fn ask_at_once(mut self, message: &[u8], calls: usize) -> io::Result<()> {
        let whole: Vec<_> = (0..calls).map(|_| self.whole(message)).collect();
        let (mut read, mut write) = tokio::io::split(self.stream);
        let (opened, mut opens) = tokio::sync::mpsc::unbounded_channel();
        let send = async {
            let mut window = self.window;
            // Room for all answers.
            write.write_all(&frame(8, 0, 0, &(1_u32 << 30).to_be_bytes())).await?;
            for (whole, body) in whole {
                while window < body {
                    window += opens.recv().await.ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                window -= body;
                write.write_all(&whole).await?;
            }
            write.flush().await
        };
        let receive = async {
            let mut answered = 0;
            while answered < calls {
                let got = Frame::read(&mut read).await?;
                answered += usize::from(got.ends_a_call());
                let _ = opened.send(got.opens());
            }
            Ok(())
        };
        tokio::try_join!(send, receive).map(|_| ())
    }

    /// Sends half a record of TLS behind what was sent before.
    pub async fn stall_record(&mut self) -> io::Result<()> {
        let half = [&[23, 3, 3, 0x40, 0x11][..], &[0; 16_000]].concat();
        self.below.as_mut().expect("a connection over TLS").write_all(&half).await
    }

    /// Sends all of a frame but its last octet.
    pub async fn stall(&mut self) -> io::Result<()> {
        let whole = frame(1, 4, 1, &vec![0; FRAME]);
        self.write(whole.get(..whole.len() - 1).expect("a frame has a head")).await
    }

    /// Reads until so many calls have been answered.
    pub async fn answers(&mut self, calls: usize) -> io::Result<()> {
        while self.answered < calls {
            self.read_frame().await?;
        }
        Ok(())
    }

    /// Reads and discards data until the connection ends.
    pub async fn drain(&mut self) {
        let mut some = vec![0; 65_536];
        while self.stream.read(&mut some).await.is_ok_and(|read| read > 0) {}
    }

    /// Headers of the next call.
    fn head(&mut self) -> Vec<u8> {
        self.head_of(&[(":path", CHECK)])
    }

    async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
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

    /// The octets of the next call, and how long its body is.
    fn whole(&mut self, message: &[u8]) -> (Vec<u8>, i64) {
        let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
        let body = [&[0][..], &length, message].concat();
        let id = self.next;
        let mut whole = self.head();
        let pieces = body.chunks(FRAME);
        let last = pieces.len() - 1;
        for (at, piece) in pieces.enumerate() {
            whole.extend(frame(0, u8::from(at == last), id, piece));
        }
        (whole, i64::try_from(body.len()).expect("a short message"))
    }

    async fn read_frame(&mut self) -> io::Result<()> {
        let got = Frame::read(&mut self.stream).await?;
        self.answered += usize::from(got.ends_a_call());
        self.window += got.opens();
        Ok(())
    }
}

/// A frame that has come.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        from.read_exact(&mut payload).await?;
        Ok(Self { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Whether it is the trailers of an answer.
    fn ends_a_call(&self) -> bool {
        self.kind == 1 && self.flags & 1 != 0
    }

    /// By how much it opens the window of the connection.
    fn opens(&self) -> i64 {
        match <[u8; 4]>::try_from(self.payload.as_slice()) {
            Ok(more) if self.kind == 8 && self.stream == 0 => u32::from_be_bytes(more).into(),
            _ => 0,
        }
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
