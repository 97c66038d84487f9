//! A client with mutual TLS, HTTP/1.1 and HTTP/2, which can violate the protocols if a test wants that.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pki::{Identity, Pki};
use super::upstream::{Echo, SERVED_BY};

/// The header by which a test finds its request in Envoy's access log.
pub const REQUEST_ID: &str = "x-request-id";

/// The deadline of an answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// The version of HTTP to speak.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

/// How to reach a listener, and as whom.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    version: Version,
}

impl Client {
    /// A client that encrypts, checks the server against `server_root` and presents `identity`, when it has one.
    pub fn tls(address: SocketAddr, server_root: &CertificateDer<'static>, identity: Option<&Identity>) -> Self {
        Self { address, tls: Some(tls_config(server_root, identity, Version::Http1)), version: Version::Http1 }
    }

    /// A client that does not encrypt.
    pub fn plaintext(address: SocketAddr) -> Self {
        Self { address, tls: None, version: Version::Http1 }
    }

    /// The same client, speaking HTTP/2.
    pub fn http2(mut self) -> Self {
        self.version = Version::Http2;
        self.tls = self.tls.map(|tls| {
            let mut tls = ClientConfig::clone(&tls);
            tls.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(tls)
        });
        self
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Connection {
        self.try_connect().await.expect("the listener accepts a connection")
    }

    /// Opens a connection, unless the server refuses.
    pub async fn try_connect(&self) -> Result<Connection, Failure> {
        let stream = self.tcp().await?;
        match &self.tls {
            None => Connection::over(stream, self.version).await,
            Some(tls) => {
                let stream = handshake(tls, stream).await?;
                let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
                let mut connection = Connection::over(stream, self.version).await?;
                connection.resumed = resumed;
                Ok(connection)
            }
        }
    }

    /// Sends one request over a connection of its own.
    pub async fn send(&self, call: Call) -> Reply {
        self.try_send(call).await.expect("the request is answered")
    }

    /// Sends one request over a connection of its own, unless that fails.
    pub async fn try_send(&self, call: Call) -> Result<Reply, Failure> {
        self.try_connect().await?.try_send(call).await
    }

    /// Sends `GET path`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Call::get(path)).await
    }

    /// Sends bytes as they are, and reads until the server closes. The bytes should ask it to.
    pub async fn raw(&self, bytes: &[u8]) -> RawResponse {
        let stream = self.tcp().await.expect("the listener accepts a connection");
        match &self.tls {
            None => exchange(stream, bytes).await,
            Some(tls) => exchange(handshake(tls, stream).await.expect("the handshake succeeds"), bytes).await,
        }
    }

    async fn tcp(&self) -> Result<TcpStream, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Why a request has no answer.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn handshake(
    tls: &Arc<ClientConfig>,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(Pki::SERVER_NAME).expect("a DNS name");
    Ok(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?)
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> RawResponse {
    let mut answer = Vec::new();
    let done = async {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        let read = stream.read_to_end(&mut answer).await;
        // Envoy closes without close_notify after an error; the answer before that counts.
        read.map(|_| ())
            .or_else(|error| if error.kind() == std::io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error) })
    };
    let done: std::io::Result<()> =
        tokio::time::timeout(DEADLINE, done).await.expect("the server answers and closes in time");
    RawResponse { bytes: answer, broken: done.is_err() }
}

/// Trusts this root, presents this certificate, and speaks this version inside.
pub fn tls_config(
    server_root: &CertificateDer<'static>,
    identity: Option<&Identity>,
    version: Version,
) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server_root.clone()).expect("the root is sound");
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(Arc::new(Always::new(identity, &provider))),
    };
    config.alpn_protocols = match version {
        Version::Http1 => vec![b"http/1.1".to_vec()],
        Version::Http2 => vec![b"h2".to_vec()],
    };
    Arc::new(config)
}

/// Presents its certificate whatever the server requests, even a malformed one.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl Always {
    fn new(identity: &Identity, provider: &CryptoProvider) -> Self {
        let key = provider.key_provider.load_private_key(identity.key()).expect("the key is sound");
        Self(Arc::new(CertifiedKey::new(identity.chain.clone(), key)))
    }
}

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// An open connection.
pub struct Connection {
    sender: Sender,
    /// Whether TLS resumed an earlier session.
    pub resumed: bool,
}

type ClientBody = BoxBody<Bytes, Infallible>;

enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<ClientBody>),
    Http2(hyper::client::conn::http2::SendRequest<ClientBody>),
}

impl Connection {
    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        version: Version,
    ) -> Result<Self, Failure> {
        let stream = TokioIo::new(stream);
        let sender = match version {
            Version::Http1 => {
                let (sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Version::Http2 => {
                let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Self { sender, resumed: false })
    }

    /// Sends a request.
    pub async fn send(&mut self, call: Call) -> Reply {
        self.try_send(call).await.expect("the request is answered")
    }

    /// Sends a request, unless the connection breaks.
    pub async fn try_send(&mut self, call: Call) -> Result<Reply, Failure> {
        let id = call.id.clone();
        let answer = async {
            let response = match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(call.request(Version::Http1)).await?
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(call.request(Version::Http2)).await?
                }
            };
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, Failure>(Reply { id, status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(DEADLINE, answer).await?
    }
}

/// A request to send.
#[derive(Debug)]
pub struct Call {
    id: String,
    method: Method,
    host: String,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    trailers: HeaderMap,
}

impl Call {
    /// `GET path` of the host in the server's certificate.
    pub fn get(path: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: format!("call-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            method: Method::GET,
            host: Pki::SERVER_NAME.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            trailers: HeaderMap::new(),
        }
    }

    /// Another method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.parse().expect("a method");
        self
    }

    /// Another host.
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// One more header line.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.push((name, HeaderValue::from_bytes(value.as_ref()).expect("a header value")));
        self
    }

    /// One more trailer, after a body. HTTP/2 alone sends it.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.body = Bytes::from_static(b"before the trailers");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.trailers.append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    fn request(self, version: Version) -> Request<ClientBody> {
        let mut builder = Request::builder().method(self.method);
        builder = match version {
            Version::Http1 => builder.uri(&self.path).header("host", &self.host),
            Version::Http2 => builder.uri(format!("https://{}{}", self.host, self.path)),
        };
        builder = builder.header(REQUEST_ID, &self.id);
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        let body = Full::from(self.body);
        let body = match self.trailers.is_empty() {
            true => body.boxed(),
            false => body.with_trailers(std::future::ready(Some(Ok(self.trailers)))).boxed(),
        };
        builder.body(body).expect("the parts are sound")
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The value of [`REQUEST_ID`] that the request carried.
    pub id: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// Whether the upstream answered.
    pub fn served(&self) -> bool {
        self.headers.contains_key(SERVED_BY)
    }

    /// What reached the upstream. Panics if nothing did.
    pub fn echo(&self) -> Echo {
        assert!(self.served(), "the request was to pass and did not: {self:?}");
        serde_json::from_slice(&self.body).expect("the upstream sends JSON")
    }

    /// A response header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }
}

/// The answer to raw bytes.
pub struct RawResponse {
    pub bytes: Vec<u8>,
    /// Whether the connection broke instead of ending.
    pub broken: bool,
}

impl RawResponse {
    /// The status line's code, if there was one.
    pub fn status(&self) -> Option<u16> {
        let text = std::str::from_utf8(self.bytes.get(..12)?).ok()?;
        text.strip_prefix("HTTP/1.1 ")?.parse().ok()
    }

    /// Everything as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// `GET` over plaintext, for admin ports. `None` if the port is closed.
pub async fn admin_get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let reply = Client::plaintext(address).try_send(Call::get(path)).await.ok()?;
    Some((reply.status.as_u16(), String::from_utf8_lossy(&reply.body).into_owned()))
}

/// `POST` of JSON over plaintext, to admin ports.
pub async fn admin_post(address: SocketAddr, path: &str, json: &str) -> (u16, String) {
    let call = Call::get(path).method("POST").host("localhost").header("content-type", "application/json");
    let reply = Client::plaintext(address).try_send(call.body(json.to_owned())).await.expect("the admin port answers");
    (reply.status.as_u16(), String::from_utf8_lossy(&reply.body).into_owned())
}
