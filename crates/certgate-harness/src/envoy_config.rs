//! Envoy's configuration as types: what the tests vary, and nothing else.

mod render;

use std::net::SocketAddr;

use super::pki::Identity;

/// A whole Envoy.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub listeners: Vec<Listener>,
    pub clusters: Vec<Cluster>,
}

/// The name of the cluster that answers, unless a listener names another.
pub const UPSTREAM: &str = "upstream";

/// The name of the authorizers' cluster.
pub const AUTHZ: &str = "authz";

/// A place where Envoy listens.
#[derive(Clone, Debug)]
pub struct Listener {
    pub name: String,
    /// `None`: any free port.
    pub address: Option<SocketAddr>,
    pub tls: Option<DownstreamTls>,
    pub protocol: Protocol,
    pub authorization: Option<Authorization>,
}

/// What a listener does with a connection.
#[derive(Clone, Debug)]
pub enum Protocol {
    Http(Http),
    /// Connections are passed on as they are.
    Tcp,
}

/// A listener's HTTP side.
#[derive(Clone, Debug)]
pub struct Http {
    pub forward: ForwardClientCert,
    /// Which details a new XFCC element has.
    pub details: Details,
    pub format: Format,
    pub routes: Vec<Route>,
    /// Headers that a filter before the authorizer removes.
    pub strip: Vec<String>,
    pub paths: Paths,
    pub underscores: Underscores,
}

/// `forward_client_cert_details`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ForwardClientCert {
    Sanitize,
    SanitizeSet,
    AppendForward,
    ForwardOnly,
    AlwaysForwardOnly,
}

/// `set_current_client_cert_details`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Details {
    /// `cert` and `chain`.
    CertAndChain,
    /// `cert` alone, as Istio's gateway sends it.
    Cert,
    /// All there are.
    All,
    /// `subject`, `uri` and `dns`, as a sidecar sends them.
    Names,
}

/// `format` of a new XFCC element.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// Whether Envoy normalizes paths before the authorizer sees them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    AsSent,
    Normalized,
}

/// `headers_with_underscores_action`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Underscores {
    Allow,
    RejectRequest,
}

/// A route by prefix, the most specific first.
#[derive(Clone, Debug)]
pub struct Route {
    pub prefix: String,
    pub cluster: String,
    /// The authorizer's `context_extensions` for this route.
    pub context_extensions: Vec<(String, String)>,
}

/// A listener's side of TLS.
#[derive(Clone, Debug)]
pub struct DownstreamTls {
    pub server: Identity,
    pub clients: ClientCertificates,
    pub resumption: Resumption,
}

/// What Envoy requires of a client's certificate.
#[derive(Clone, Debug)]
pub enum ClientCertificates {
    /// Requests one and passes any certificate on, for the authorizer to validate.
    AcceptUntrusted { anchors: String },
    /// Demands one that leads to `anchors`.
    Require { anchors: String },
    /// `require_client_certificate` with no validation context.
    RequireUnvalidated,
}

/// Whether clients may resume TLS sessions.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Resumption {
    Allowed,
    Disabled,
}

/// The ext_authz filter.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// The cluster of authorizers.
    pub cluster: String,
    pub failure: FailureMode,
    pub peer_certificate: PeerCertificate,
    pub headers: RawHeaders,
    pub mutations: Mutations,
    pub timeout: &'static str,
    pub retries: u32,
}

/// `failure_mode_allow`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FailureMode {
    Deny,
    Allow,
}

/// `include_peer_certificate`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PeerCertificate {
    Included,
    LeftOut,
}

/// `encode_raw_headers`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RawHeaders {
    /// `header_map`: each line, as bytes.
    Lines,
    /// `headers`: a map, repeated lines joined.
    Joined,
}

/// `validate_mutations`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mutations {
    Validated,
    Trusted,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub name: String,
    pub addresses: Vec<SocketAddr>,
    pub http2: bool,
    pub health: HealthChecks,
    pub tls: Option<UpstreamTls>,
}

/// Whether Envoy asks the members of a cluster for their health.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum HealthChecks {
    None,
    /// By the gRPC health protocol, ten times a second.
    Grpc,
}

/// A cluster's side of TLS.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// What it presents, if anything.
    pub identity: Option<Identity>,
    pub anchors: String,
    pub sni: String,
}

impl Config {
    /// One with a cluster `upstream` and a cluster `authz`.
    pub fn new(upstream: SocketAddr, authz: impl IntoIterator<Item = SocketAddr>) -> Self {
        let upstream = Cluster {
            name: UPSTREAM.to_owned(),
            addresses: vec![upstream],
            http2: false,
            health: HealthChecks::None,
            tls: None,
        };
        let authz = Cluster {
            name: AUTHZ.to_owned(),
            addresses: authz.into_iter().collect(),
            http2: true,
            health: HealthChecks::None,
            tls: None,
        };
        Self { listeners: Vec::new(), clusters: vec![upstream, authz] }
    }

    /// Adds a listener.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// With health checks of the authorizers.
    pub fn checking_health(mut self) -> Self {
        for cluster in self.clusters.iter_mut().filter(|cluster| cluster.name == AUTHZ) {
            cluster.health = HealthChecks::Grpc;
        }
        self
    }

    /// Adds a cluster.
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.clusters.push(cluster);
        self
    }
}

impl Listener {
    /// An HTTP listener with mutual TLS that leaves validation to the authorizer, as certgate requires.
    pub fn https(name: &str, server: &Identity, anchors: &str) -> Self {
        let tls = DownstreamTls {
            server: server.clone(),
            clients: ClientCertificates::AcceptUntrusted { anchors: anchors.to_owned() },
            resumption: Resumption::Disabled,
        };
        Self { tls: Some(tls), ..Self::http(name) }
    }

    /// An HTTP listener without TLS.
    pub fn http(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: None,
            tls: None,
            protocol: Protocol::Http(Http::default()),
            authorization: Some(Authorization::default()),
        }
    }

    /// A TCP listener with mutual TLS.
    pub fn tcp(name: &str, server: &Identity, anchors: &str) -> Self {
        Self { protocol: Protocol::Tcp, ..Self::https(name, server, anchors) }
    }

    /// At this address.
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// With another treatment of clients' certificates.
    pub fn clients(mut self, clients: ClientCertificates) -> Self {
        self.tls.as_mut().expect("a TLS listener").clients = clients;
        self
    }

    /// With TLS session resumption.
    pub fn resumption(mut self, resumption: Resumption) -> Self {
        self.tls.as_mut().expect("a TLS listener").resumption = resumption;
        self
    }

    /// With its HTTP side changed.
    pub fn with_http(mut self, change: impl FnOnce(&mut Http)) -> Self {
        match &mut self.protocol {
            Protocol::Http(http) => change(http),
            Protocol::Tcp => panic!("{} is a TCP listener", self.name),
        }
        self
    }

    /// With an XFCC mode.
    pub fn forward(self, forward: ForwardClientCert) -> Self {
        self.with_http(|http| http.forward = forward)
    }

    /// With its authorizer changed.
    pub fn authorization(mut self, change: impl FnOnce(&mut Authorization)) -> Self {
        change(self.authorization.as_mut().expect("a listener with an authorizer"));
        self
    }

    /// Without an authorizer.
    pub fn unauthorized(mut self) -> Self {
        self.authorization = None;
        self
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            forward: ForwardClientCert::Sanitize,
            details: Details::CertAndChain,
            format: Format::Text,
            routes: vec![Route::new("/")],
            strip: Vec::new(),
            paths: Paths::AsSent,
            underscores: Underscores::Allow,
        }
    }
}

impl Http {}

impl ForwardClientCert {
    /// The name in Envoy's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sanitize => "SANITIZE",
            Self::SanitizeSet => "SANITIZE_SET",
            Self::AppendForward => "APPEND_FORWARD",
            Self::ForwardOnly => "FORWARD_ONLY",
            Self::AlwaysForwardOnly => "ALWAYS_FORWARD_ONLY",
        }
    }
}

impl Details {}

impl Underscores {}

impl Route {
    /// A route to the upstream.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), cluster: UPSTREAM.to_owned(), context_extensions: Vec::new() }
    }

    /// A route that names its policy.
    pub fn with_policy(prefix: &str, policy: &str) -> Self {
        let context_extensions = vec![("certgate.dev/policy".to_owned(), policy.to_owned())];
        Self { context_extensions, ..Self::new(prefix) }
    }

    /// To another cluster.
    pub fn to(mut self, cluster: &str) -> Self {
        self.cluster = cluster.to_owned();
        self
    }
}

impl DownstreamTls {}

impl Default for Authorization {
    fn default() -> Self {
        Self {
            cluster: AUTHZ.to_owned(),
            failure: FailureMode::Deny,
            peer_certificate: PeerCertificate::Included,
            headers: RawHeaders::Lines,
            mutations: Mutations::Validated,
            // Longer than a request takes on a busy test machine; the tests of deadlines set their own.
            timeout: "5s",
            retries: 0,
        }
    }
}

impl Authorization {}

impl Cluster {
    /// Authorizers behind TLS.
    pub fn authorizers(name: &str, address: SocketAddr, tls: UpstreamTls) -> Self {
        Self { http2: true, ..Self::next_proxy(name, address, tls) }
    }

    /// A cluster behind TLS at one address: the next proxy.
    pub fn next_proxy(name: &str, address: SocketAddr, tls: UpstreamTls) -> Self {
        Self {
            name: name.to_owned(),
            addresses: vec![address],
            http2: false,
            health: HealthChecks::None,
            tls: Some(tls),
        }
    }
}
