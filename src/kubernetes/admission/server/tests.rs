use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::super::certificate::{self, CertificateOptions, Data, RotationStep};
use super::*;
use crate::kubernetes::scope::Scope;
use crate::tls::health::{self, TlsHealth};
use crate::tls::server::TlsServer;
use certgate_x509::UnixTime;

/// A webhook that has not read the cluster: it refuses every review, with an answer.
struct Running {
    address: SocketAddr,
    connector: TlsConnector,
    health: Arc<TlsHealth>,
    // Kept, so that there is a certificate and (no) view.
    _kept: (watch::Sender<Option<Arc<Acceptor>>>, watch::Sender<Option<Arc<crate::domain::store::View>>>),
}

async fn start() -> Running {
    let terms = CertificateOptions { hosts: vec!["127.0.0.1".to_owned()], lifetime: Duration::from_secs(3600) };
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let now = UnixTime::from_secs(i64::try_from(since).unwrap());
    let data = certificate::take(RotationStep::Begin, Data::new(), &terms, now).unwrap();
    let health = Arc::new(TlsHealth::default());
    let server = TlsServer::new(&certificate::identity(&data).unwrap(), ALPN, health.server("admission"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&certificate::authorities(&data)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let (views, view) = watch::channel(None);
    let (shown, tls) = watch::channel(Some(Arc::new(Acceptor::new(Arc::new(server)))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let reviewer = Reviewer::new(view, Scope::Cluster, None, || UnixTime::from_secs(0));
    let webhook = Webhook::new(reviewer, Arc::new(AdmissionMetrics::default()));
    tokio::spawn(webhook.serve(listener, tls));
    Running { address, connector: TlsConnector::from(Arc::new(client)), health, _kept: (shown, views) }
}

impl Running {
    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.connector.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap()
    }

    /// The head of a review of so many bytes.
    async fn begin(&self, length: usize) -> TlsStream<TcpStream> {
        let mut stream = self.connect().await;
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// A review of `length` bytes and the status of its answer.
    async fn review(&self, length: usize) -> String {
        let mut stream = self.begin(length).await;
        let review = serde_json::json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "name": "p", "namespace": "n", "operation": "CREATE",
                "kind": {"group": "certgate.dev", "version": "v1alpha1", "kind": "TrustProfile"},
                "object": {"metadata": {"name": "p", "namespace": "n"}, "spec": {}},
            },
        });
        let mut review = review.to_string().into_bytes();
        review.resize(length, b' ');
        stream.write_all(&review).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// The webhook's handshakes that ended so, as the metrics tell it.
fn handshakes(running: &Running, outcome: &str) -> u64 {
    let mut metrics = crate::metrics::Metrics::new();
    metrics.register(Box::new(health::TlsMetrics(running.health.clone())));
    let series = format!(r#"certgate_tls_handshakes_total{{server="admission",outcome="{outcome}"}} "#);
    let text = metrics.render();
    text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test]
async fn handshakes_are_counted_as_those_of_every_port() {
    let running = start().await;
    assert_eq!(running.review(1000).await, OK);
    assert_eq!(handshakes(&running, "Completed"), 1);
    let mut plaintext = TcpStream::connect(running.address).await.unwrap();
    plaintext.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    while plaintext.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    assert_eq!(handshakes(&running, "NotTls"), 1);
}

const OK: &str = "HTTP/1.1 200";

/// Less than anything that is held open may take.
const SOON: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn those_who_only_hold_connections_keep_no_review_out() {
    let running = start().await;
    let (mut held, mut silent) = (Vec::new(), Vec::new());
    for at in 0..2 * MAX_CONNECTIONS {
        // Some do not even speak TLS, some ask nothing, some never end what they ask.
        match at % 8 {
            0 => held.push(running.begin(1000).await),
            1 => held.push(running.connect().await),
            _ => silent.push(TcpStream::connect(running.address).await.unwrap()),
        }
    }
    let answer = tokio::time::timeout(SOON, running.review(1000)).await.expect("a review does not wait for them");
    assert_eq!(answer, OK);
    let closed = tokio::time::timeout(SOON, silent[0].read(&mut [0; 1])).await;
    assert!(!closed.expect("the oldest has given way").is_ok_and(|read| read > 0));
}

#[tokio::test]
async fn large_reviews_that_do_not_end_keep_no_small_one_out_and_large_ones_not_for_long() {
    let running = start().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(running.begin(MAX_REVIEW_BYTES).await);
    }
    let answer = tokio::time::timeout(SOON, running.review(SMALL_REVIEW)).await.expect("a small review does not wait");
    assert_eq!(answer, OK);
    // The API server waits for 5 s, as the chart asks it to.
    let answer = tokio::time::timeout(Duration::from_secs(4), running.review(MAX_REVIEW_BYTES / 2)).await;
    assert_eq!(answer.expect("a large one waits until they are given up"), OK);
}

#[tokio::test]
async fn a_connection_takes_one_review_after_another() {
    let running = start().await;
    let mut stream = running.begin(2).await;
    for _ in 0..3 {
        stream.write_all(b"{}").await.unwrap();
        let mut answer = vec![0; 4096];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer.get(..read).unwrap().starts_with(b"HTTP/1.1 400"));
        let head =
            format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_refused_before_it_is_long() {
    let running = start().await;
    let mut stream = running.connect().await;
    let head = format!("POST {PATH} HTTP/1.1\r\nX: {}", "x".repeat(2 * crate::web::server::MAX_HEAD));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    tokio::time::timeout(SOON, stream.read_exact(&mut answer)).await.expect("nobody waits for its end").unwrap();
    assert_eq!(answer, b"HTTP/1.1 431");
}
