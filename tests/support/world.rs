//! A whole installation: upstream, certgate and Envoy in front, over a PKI.

use std::future::Future;

use super::certgate::Certgate;
use super::client::{Call, Client, Reply};
use super::envoy::{AccessRecord, Envoy};
use super::envoy_config::{Config, Listener};
use super::pki::{Identity, Pki};
use super::policies::PolicyDirectory;
use super::upstream::Upstream;

/// The listener with mutual TLS.
pub const MTLS: &str = "mtls";

/// The listener without TLS.
pub const PLAINTEXT: &str = "plaintext";

/// Upstream, certgate and Envoy.
pub struct World {
    pub pki: Pki,
    pub policies: PolicyDirectory,
    pub upstream: Upstream,
    pub certgate: Certgate,
    pub envoy: Envoy,
}

impl World {
    /// Starts everything over policies written for the PKI, with a listener [`MTLS`] and a listener [`PLAINTEXT`].
    pub async fn start(pki: Pki, policies: &str) -> Self {
        Self::start_with(pki, policies, |listener| listener).await
    }

    /// The same, with both listeners changed first.
    pub async fn start_with(pki: Pki, policies: &str, change: impl Fn(Listener) -> Listener) -> Self {
        let listeners = Self::listeners(&pki).into_iter().map(change).collect();
        Self::start_listeners(pki, policies, listeners).await
    }

    /// The same, with listeners of the test's own.
    pub async fn start_listeners(pki: Pki, policies: &str, listeners: Vec<Listener>) -> Self {
        Self::start_over(pki, PolicyDirectory::with(policies), listeners).await
    }

    /// Starts everything over a directory that is there already.
    pub async fn start_over(pki: Pki, policies: PolicyDirectory, listeners: Vec<Listener>) -> Self {
        let upstream = Upstream::start().await;
        let certgate = Certgate::start(policies.path()).await;
        let mut config = Config::new(upstream.address(), [certgate.address()]);
        config.listeners = listeners;
        let envoy = Envoy::start(&config).await;
        Self { pki, policies, upstream, certgate, envoy }
    }

    /// The listeners [`MTLS`] and [`PLAINTEXT`].
    pub fn listeners(pki: &Pki) -> Vec<Listener> {
        vec![Listener::https(MTLS, &pki.server, &pki.root.pem()), Listener::http(PLAINTEXT)]
    }

    /// A client of the listener with mutual TLS.
    pub fn client<'a>(&self, identity: impl Into<Option<&'a Identity>>) -> Client {
        self.client_of(MTLS, identity)
    }

    /// A client of a TLS listener.
    pub fn client_of<'a>(&self, listener: &str, identity: impl Into<Option<&'a Identity>>) -> Client {
        Client::tls(self.envoy.address(listener), self.pki.server_root.der(), identity.into())
    }

    /// Sends a request as `identity` and collects what there is to know about it.
    pub async fn call<'a>(&self, identity: impl Into<Option<&'a Identity>>, call: Call) -> Outcome {
        self.outcome(self.client(identity).send(call)).await
    }

    /// Sends `GET path` as `identity`.
    pub async fn get<'a>(&self, identity: impl Into<Option<&'a Identity>>, path: &str) -> Outcome {
        self.call(identity, Call::get(path)).await
    }

    /// A reply together with its access record.
    pub async fn outcome(&self, reply: impl Future<Output = Reply>) -> Outcome {
        let reply = reply.await;
        let access = self.envoy.access(&reply.id).await;
        Outcome { reply, access }
    }
}

/// A request's end, seen from the client, the upstream and Envoy.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub reply: Reply,
    pub access: AccessRecord,
}

impl Outcome {
    /// The request passed, and the upstream was told of this user.
    #[track_caller]
    pub fn allowed_as(&self, user: &str) {
        assert_eq!(self.reply.echo().header("x-certgate-user"), Some(user), "{self:#?}");
        assert_eq!(self.access.told("/identity/user"), Some(user), "{self:#?}");
    }

    /// The request passed, and the upstream was told of nobody.
    #[track_caller]
    pub fn allowed_anonymously(&self) {
        let echo = self.reply.echo();
        let told: Vec<_> = echo.headers.iter().filter(|(name, _)| name.starts_with("x-certgate-")).collect();
        assert!(told.is_empty(), "{told:?} reached the upstream");
        assert_eq!(self.access.told("/identity/user"), None, "{self:#?}");
    }

    /// The request was refused with this status and for this reason, and never reached the upstream.
    #[track_caller]
    pub fn denied(&self, status: u16, reason: &str) {
        assert!(!self.reply.served(), "it was to be refused ({reason}) and passed: {self:#?}");
        let seen = (self.reply.status.as_u16(), self.access.told("/reason"));
        assert_eq!(seen, (status, Some(reason)), "{self:#?}");
    }
}
