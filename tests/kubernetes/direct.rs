//! The API server and its etcd without kubectl: for edits at a pace that one process an edit cannot keep, and for objects
//! in numbers.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cluster::Cluster;

/// One connection to the API server; clones share it.
#[derive(Clone)]
pub struct Direct {
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    server: SocketAddr,
    token: &'static str,
}

impl Direct {
    /// Connects as the user that may do everything.
    pub async fn connect(cluster: &Cluster) -> Self {
        let server = cluster.address();
        let mut roots = rustls::RootCertStore::empty();
        let bundle = cluster.directory().join("certs/apiserver.crt");
        for certificate in CertificateDer::pem_file_iter(bundle).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::from(server.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        Self { sender, server, token: Cluster::ADMIN_TOKEN }
    }

    /// Sends a request on somebody else's behalf.
    pub async fn forward(&self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = format!("https://{}{path}", self.server).parse().unwrap();
        for name in ["host", "connection", "transfer-encoding", "content-length"] {
            head.headers.remove(name);
        }
        head.version = hyper::Version::HTTP_2;
        let mut sender = self.sender.clone();
        sender.ready().await?;
        sender.send_request(Request::from_parts(head, body)).await
    }

    /// Sends a request, and gives the answer whatever it is.
    pub async fn send(&self, method: Method, path: &str, content_type: &str, body: String) -> (StatusCode, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", content_type)
            .header("accept", "application/json")
            .body(Full::from(body))
            .unwrap();
        let response = self.forward(request).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    }

    /// Merges `patch` into an object, which must succeed, and gives its new generation.
    pub async fn merge(&self, path: &str, patch: &Value) -> i64 {
        let (status, body) = self.send(Method::PATCH, path, "application/merge-patch+json", patch.to_string()).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        let object: Value = serde_json::from_slice(&body).unwrap();
        object["metadata"]["generation"].as_i64().unwrap()
    }

    /// The status of an answer, whatever it is, as soon as it begins.
    pub async fn try_get(&self, path: &str) -> StatusCode {
        let request = Request::get(path).header("authorization", format!("Bearer {}", self.token));
        let request = request.header("accept", "application/json").body(Full::default()).unwrap();
        self.forward(request).await.unwrap().status()
    }

    /// The body of an answer that goes on, as a watch's does.
    pub async fn stream(&self, path: &str) -> Incoming {
        let request = Request::get(path).header("authorization", format!("Bearer {}", self.token));
        let request = request.header("accept", "application/json").body(Full::default()).unwrap();
        let response = self.forward(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.into_body()
    }

    /// An object.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, "application/json", String::new()).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }
}

/// The path of a kind of our objects in a namespace.
pub fn collection(plural: &str, namespace: &str) -> String {
    format!("/apis/certgate.dev/v1alpha1/namespaces/{namespace}/{plural}")
}

/// The path of one of our objects.
pub fn path(plural: &str, namespace: &str, name: &str) -> String {
    format!("{}/{name}", collection(plural, namespace))
}

/// A connection to etcd, by its gateway from JSON.
pub struct Etcd {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
}

/// How many objects one transaction may write; etcd's own limit is 128.
const TRANSACTION: usize = 100;

impl Etcd {
    /// Connects.
    pub async fn connect(cluster: &Cluster) -> Self {
        let stream = TcpStream::connect(cluster.etcd_address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    /// Writes objects of ours as the API server would store them.
    pub async fn put(&mut self, plural: &str, objects: &[Value]) {
        for objects in objects.chunks(TRANSACTION) {
            let put = |object: &Value| {
                let part = |name: &str| object["metadata"][name].as_str().unwrap();
                let key = format!("/registry/certgate.dev/{plural}/{}/{}", part("namespace"), part("name"));
                json!({"requestPut": {"key": STANDARD.encode(key), "value": STANDARD.encode(object.to_string())}})
            };
            let body = json!({"success": objects.iter().map(put).collect::<Vec<_>>()}).to_string();
            let request = Request::post("/v3/kv/txn").header("host", "etcd").body(Full::from(body)).unwrap();
            self.sender.ready().await.unwrap();
            let response = self.sender.send_request(request).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        }
    }
}

/// A `CertificateMapping` as it is stored: of generation `generation`, with or without the status that certgate gives it.
pub fn stored_mapping(namespace: &str, name: &str, sha256: &str, user: &str, generation: i64, told: Told) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "observedGeneration": generation, "reason": reason, "message": message,
               "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let mut object = json!({
        "apiVersion": "certgate.dev/v1alpha1",
        "kind": "CertificateMapping",
        "metadata": {
            "name": name, "namespace": namespace, "labels": {"api": "payments"}, "generation": generation,
            "uid": uid(name), "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "certificate": {"sha256": sha256},
            "identity": {"user": user, "groups": ["partners"], "uid": name}, "state": "Enabled",
        },
    });
    if told == Told::Ready {
        object["status"] = json!({"observedGeneration": generation, "conditions": [
            condition("Accepted", "Accepted", "valid"),
            condition("Ready", "Ready", "certificates are mapped by this object"),
        ]});
    }
    object
}

/// Whether a stored object has a status.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Told {
    Nothing,
    Ready,
}

/// A version 4 UUID that is a name's own.
fn uid(name: &str) -> String {
    let hex = certgate_harness::pki::sha256(name.as_bytes());
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}
