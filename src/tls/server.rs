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

use super::clients::Clients;
use super::health::ServerHealth;
use super::identity::{ServerIdentity, provider};

/// What a server presents and whom it accepts.
#[derive(Clone, Debug)]
pub struct Material {
    /// What it presents.
    pub identity: ServerIdentity,
    /// Whom it accepts; `None`: anybody, without asking for a certificate.
    pub clients: Option<Clients>,
}

impl From<&ServerIdentity> for Material {
    fn from(identity: &ServerIdentity) -> Self {
        Self { identity: identity.clone(), clients: None }
    }
}

impl From<&Self> for Material {
    fn from(material: &Self) -> Self {
        material.clone()
    }
}

/// A server's side of TLS 1.2 and 1.3.
pub struct TlsServer {
    current: ArcSwap<ServerConfig>,
    alpn: Vec<Vec<u8>>,
    asks_clients: bool,
    health: Arc<ServerHealth>,
}

impl TlsServer {
    /// A server of `material` that speaks the application protocols `alpn`, the preferred one first. A client that offers
    /// only others is refused; one that offers nothing is not.
    pub fn new(material: impl Into<Material>, alpn: &[&[u8]], health: Arc<ServerHealth>) -> Self {
        let material = material.into();
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        health.presents(material.identity.not_after());
        Self { asks_clients: material.clients.is_some(), current: ArcSwap::new(config(&material, &alpn)), alpn, health }
    }

    /// Uses `material` from the next handshake on.
    pub fn replace(&self, material: impl Into<Material>) {
        let material = material.into();
        self.current.store(config(&material, &self.alpn));
        self.health.presents(material.identity.not_after());
    }

    /// What the next handshake uses.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Whether a client needs a certificate; that does not change.
    pub fn asks_clients(&self) -> bool {
        self.asks_clients
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

fn config(material: &Material, alpn: &[Vec<u8>]) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites for TLS 1.2 and 1.3");
    let builder = match &material.clients {
        Some(clients) => builder.with_client_cert_verifier(clients.verifier()),
        None => builder.with_no_client_auth(),
    };
    let identity = material.identity.certified_key();
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    config.alpn_protocols = alpn.to_vec();
    // A resumed session would not verify the client's certificate again. Callers keep their connections, so that little is
    // lost.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}
