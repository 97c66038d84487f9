//! Connections and calls that take room from others: what gives way, and what is closed.

use super::*;

/// Whether the server closes a connection on which this has been sent.
async fn is_closed(address: SocketAddr, sent: &[u8]) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let closed = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(PATIENCE, closed).await.is_ok()
}

#[tokio::test]
async fn a_connection_that_is_not_http2_does_not_stay() {
    let limits = ServerLimits { preface: Duration::from_millis(50), ..ServerLimits::default() };
    let running = start_within(1, PATIENCE, Transport::Plaintext, limits).await;
    for sent in [&b""[..], b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
        assert!(is_closed(running.address, sent).await, "{sent:?}");
    }
}

#[tokio::test]
async fn connections_are_capped_and_the_idle_give_way() {
    let limits = ServerLimits { connections: Places::new(4), preface: PATIENCE * 9, ..ServerLimits::default() };
    let running = start_within(2, PATIENCE, Transport::Plaintext, limits).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    let mut callers = Vec::new();
    for _ in 0..3 {
        let mut caller = Raw::connect(running.address, &Raw::SETTINGS).await;
        caller.ask(1).await;
        callers.push(caller);
    }
    // A further call, so that the second one has been idle for longest.
    callers[0].ask(3).await;
    let mut newcomer = Raw::connect(running.address, &Raw::SETTINGS).await;
    newcomer.ask(1).await;
    callers.remove(1).is_closed().await;
    for caller in &mut callers {
        caller.ask(5).await;
    }
    // Silent connections evict one another, and of the active ones no more than their share.
    for _ in 0..20 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    newcomer.is_closed().await;
    assert!(is_closed(running.address, b"GET / HTTP/1.1\r\n\r\n").await, "the last of them was let in");
    gives_way(&mut silent[0]).await;
    for caller in &mut callers {
        caller.ask(7).await;
    }
}

/// Waits until the server has closed a connection.
async fn gives_way(stream: &mut TcpStream) {
    use tokio::io::AsyncReadExt;
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await;
    assert!(!read.expect("it gives way").is_ok_and(|read| read > 0));
}

/// A connection on which streams are opened by hand.
struct Raw(TcpStream);

impl Raw {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const CLOSED_WINDOW: [u8; 15] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];

    async fn connect(address: SocketAddr, settings: &[u8]) -> Self {
        use tokio::io::AsyncWriteExt;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], settings].concat()).await.unwrap();
        Self(stream)
    }

    /// A call to Check with this body, or with none for now. A connection that the server has closed meanwhile takes
    /// none: what a test asks of the connection tells.
    async fn call(&mut self, stream: u32, body: Option<&[u8]>) {
        use tokio::io::AsyncWriteExt;
        let literal = |name: &str, value: &str| {
            let text = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
            [&[0][..], &text(name), &text(value)].concat()
        };
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", CHECK_PATH), (":authority", "a")];
        let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
        let frame = |kind: u8, flags: u8, payload: &[u8]| {
            let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
            [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
        };
        let head = self.0.write_all(&frame(1, 4, &block)).await;
        if let (Ok(()), Some(body)) = (head, body) {
            let _ = self.0.write_all(&frame(0, 1, body)).await;
        }
    }

    /// A call with an empty message, and its answer.
    async fn ask(&mut self, id: u32) {
        use tokio::io::AsyncReadExt;
        self.call(id, Some(&[0; 5])).await;
        let answered = async {
            loop {
                let mut head = [0; 9];
                self.0.read_exact(&mut head).await.expect("the connection stays");
                let [a, b, c, kind, flags, stream @ ..] = head;
                let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]).try_into().unwrap()];
                self.0.read_exact(&mut payload).await.expect("the connection stays");
                if (kind, flags & 1, u32::from_be_bytes(stream)) == (1, 1, id) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.expect("an answer");
    }

    async fn is_closed(&mut self) {
        use tokio::io::AsyncReadExt;
        let closed = async { while self.0.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} };
        tokio::time::timeout(PATIENCE, closed).await.expect("the connection is closed");
    }
}

/// Entries of a header table would keep the buffers that they were read into.
#[tokio::test]
async fn no_table_of_headers_is_asked_for() {
    use tokio::io::AsyncReadExt;
    let running = start(1, PATIENCE).await;
    let mut connection = Raw::connect(running.address, &Raw::SETTINGS).await.0;
    let mut head = [0; 9];
    connection.read_exact(&mut head).await.unwrap();
    let [_, high, low, kind, ..] = head;
    assert_eq!(kind, 4, "SETTINGS come first (RFC 9113 section 3.4)");
    let mut settings = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    connection.read_exact(&mut settings).await.unwrap();
    assert!(settings.chunks(6).any(|setting| setting == [0, 1, 0, 0, 0, 0]), "{settings:?}");
}

#[tokio::test]
async fn a_connection_that_only_answers_pings_and_opens_calls_gives_way() {
    let limits = ServerLimits { connections: Places::new(1), ..ServerLimits::default() };
    let running = start_within(1, PATIENCE, Transport::Plaintext, limits).await;
    let mut held = Raw::connect(running.address, &Raw::SETTINGS).await;
    held.call(1, None).await;
    let metric = |name: &str| running.authorizer.metrics().render().contains(name);
    let open = async {
        while !metric("certgate_requests_in_flight 1\n") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, open).await.expect("the call is open");
    running.client().await.check(request("/", 0)).await.expect("a call without a message keeps no place");
    held.is_closed().await;
    assert!(metric("certgate_connections_evicted_total 1\n"));
}

#[tokio::test]
async fn a_connection_that_does_not_take_its_answers_is_closed() {
    let unread = Arc::new(Unread::new(MAX_UNREAD, Duration::from_millis(100)));
    let limits = ServerLimits { unread, ..ServerLimits::default() };
    let running = start_within(1, PATIENCE, Transport::Plaintext, limits).await;
    let mut held = Raw::connect(running.address, &Raw::CLOSED_WINDOW).await;
    held.call(1, Some(&[0; 5])).await;
    held.is_closed().await;
    running.client().await.check(request("/", 0)).await.unwrap();
}

#[tokio::test]
async fn unread_answers_of_all_connections_are_bounded() {
    let unread = Arc::new(Unread::new(200_000, PATIENCE * 9));
    let limits = ServerLimits { unread, ..ServerLimits::default() };
    let running = start_within(2, PATIENCE, Transport::Plaintext, limits).await;
    let mut few = Raw::connect(running.address, &Raw::CLOSED_WINDOW).await;
    let mut most = Raw::connect(running.address, &Raw::CLOSED_WINDOW).await;
    for stream in 0..10 {
        few.call(2 * stream + 1, Some(&[0; 5])).await;
    }
    for stream in 0..150 {
        most.call(2 * stream + 1, Some(&[0; 5])).await;
    }
    most.is_closed().await;
    running.client().await.check(request("/", 0)).await.unwrap();
    assert!(running.authorizer.metrics().render().contains("certgate_connections_evicted_total 1\n"), "and no other");
}

#[tokio::test]
async fn calls_without_a_message_give_way_to_later_ones() {
    let receiving = ReceiveLimits { waiting: Places::new(8), deadline: PATIENCE * 9, ..ReceiveLimits::default() };
    let running =
        start_within(1, PATIENCE, Transport::Plaintext, ServerLimits { receiving, ..ServerLimits::default() }).await;
    let mut channels = Vec::new();
    for _ in 0..2 {
        channels.push(running.channel().await);
    }
    let mut calls = JoinSet::new();
    for at in 0..20 {
        calls.spawn(check_without_end(channels[at % 2].clone(), 100));
    }
    for _ in 0..12 {
        let answer = tokio::time::timeout(PATIENCE, calls.join_next()).await.expect("an answer at once");
        assert_eq!(status(&answer.unwrap().unwrap()), 403);
    }
    assert_eq!(calls.len(), 8);
    let metrics = running.authorizer.metrics().render();
    assert!(metrics.contains("certgate_unreadable_requests_total 12\n"), "{metrics}");
    // One more of them is evicted if its message arrives a moment after its headers.
    running.client().await.check(request("/", 0)).await.unwrap();
}

#[tokio::test]
async fn handshakes_that_nobody_ends_keep_no_proxy_out() {
    use crate::tls::testing::{NAME, Pair, client};
    let pair = Pair::new("one");
    let identity =
        crate::tls::identity::ServerIdentity::from_pem(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap();
    let health = Arc::new(crate::tls::health::TlsHealth::default());
    let server = crate::tls::server::TlsServer::new(&identity, &[b"h2"], health.server("grpc"));
    let server = Arc::new(server);
    let acceptor = Arc::new(Acceptor::within(server.clone(), 8, PATIENCE * 9));
    // With one worker, connections are accepted in the order in which they were made.
    let running = start_within(1, PATIENCE, Transport::Tls(acceptor), ServerLimits::default()).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        for _ in 0..10 {
            silent.push(TcpStream::connect(running.address).await.unwrap());
        }
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client(&[&pair.der], &[&rustls::version::TLS13])));
        let stream = TcpStream::connect(running.address).await.unwrap();
        let shaken = connector.connect(rustls::pki_types::ServerName::try_from(NAME).unwrap(), stream);
        tokio::time::timeout(PATIENCE, shaken).await.expect("at once").expect("the oldest of the silent gives way");
    }
    // There cannot be more handshakes than connections either.
    let limits = ServerLimits { connections: Places::new(4), ..ServerLimits::default() };
    let acceptor = Transport::Tls(Arc::new(Acceptor::within(server, 8, PATIENCE * 9)));
    let running = start_within(2, PATIENCE, acceptor, limits).await;
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    gives_way(&mut silent[0]).await;
}

#[tokio::test]
async fn messages_to_other_methods_are_short() {
    let running = start(1, PATIENCE).await;
    let mut client = HealthClient::new(running.channel().await);
    let mut check = async |length: usize| {
        let request = HealthCheckRequest { service: "s".repeat(length) };
        client.check(request).await.unwrap_err().code()
    };
    assert_eq!(check(4000).await, tonic::Code::NotFound);
    assert_eq!(check(5000).await, tonic::Code::OutOfRange);
}

#[tokio::test]
async fn watches_are_capped_and_health_is_told_all_the_same() {
    let running = start(1, PATIENCE).await;
    let mut client = HealthClient::new(running.channel().await);
    let service = || HealthCheckRequest { service: SERVICE.to_owned() };
    let mut watches = Vec::new();
    for _ in 0..MAX_WATCHES {
        watches.push(client.watch(service()).await.unwrap().into_inner());
    }
    assert_eq!(client.watch(service()).await.unwrap_err().code(), tonic::Code::ResourceExhausted);
    client.check(service()).await.expect("a single question is no watch");
    watches.pop();
    let free = async {
        while client.watch(service()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("a watch that has ended counts no more");
}
