//! The configuration that the next handshake uses.
//!
//! A [`TlsServer`] holds one configuration, replaced as a whole: a handshake sees the old one or the new one, and
//! connections keep what they were made with.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;

use super::health::ServerHealth;
use super::identity::{Identity, provider};

/// A server's side of TLS 1.2 and 1.3.
pub struct TlsServer {
    current: ArcSwap<ServerConfig>,
    alpn: Vec<Vec<u8>>,
    health: Arc<ServerHealth>,
}

impl TlsServer {
    /// A server that presents `identity` and speaks the application protocols `alpn`, the preferred one first. A client
    /// that offers none of them is refused; one that offers nothing is not.
    pub fn new(identity: &Identity, alpn: &[&[u8]], health: Arc<ServerHealth>) -> Self {
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        health.presents(identity.not_after());
        Self { current: ArcSwap::new(config(identity, &alpn)), alpn, health }
    }

    /// Presents `identity` from the next handshake on.
    pub fn replace(&self, identity: &Identity) {
        self.current.store(config(identity, &self.alpn));
        self.health.presents(identity.not_after());
    }

    /// What the next handshake uses.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// What is told about this server.
    pub fn health(&self) -> &Arc<ServerHealth> {
        &self.health
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("health", &self.health).finish_non_exhaustive()
    }
}

fn config(identity: &Identity, alpn: &[Vec<u8>]) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key())));
    config.alpn_protocols = alpn.to_vec();
    // A resumed session would not verify the client's certificate again. Callers keep their connections, so that little is
    // lost.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}
