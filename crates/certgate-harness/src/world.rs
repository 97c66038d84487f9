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

    /// Starts everything over an existing directory.
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

    /// Sends a request as `identity` and collects the results of all parts.
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

/// The expected outcome of a request.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Want<'a> {
    /// It passes, with any identity.
    Pass,
    /// It passes, with this user in the upstream's headers.
    User(&'a str),
    /// It is denied with this status and for this reason.
    Refusal(u16, &'a str),
}

/// A user, or the reason of a denial with status 403.
impl<'a> From<Result<&'a str, &'a str>> for Want<'a> {
    fn from(want: Result<&'a str, &'a str>) -> Self {
        want.map_or_else(|reason| Self::Refusal(403, reason), Self::User)
    }
}

/// The reason of a denial with status 403, or none.
impl<'a> From<Option<&'a str>> for Want<'a> {
    fn from(reason: Option<&'a str>) -> Self {
        reason.map_or(Self::Pass, |reason| Self::Refusal(403, reason))
    }
}

impl Outcome {
    /// Compares with the expected outcome.
    pub fn compare(&self, want: Want<'_>) -> Result<(), String> {
        let reason = self.access.told("/reason");
        let told = self.access.told("/identity/user");
        let seen = match (self.reply.served(), want) {
            (true, Want::Pass) => return Ok(()),
            (true, Want::User(user)) => {
                let reached = self.reply.echo().header("x-certgate-user").map(str::to_owned);
                if reached.as_deref() == Some(user) && told == Some(user) {
                    return Ok(());
                }
                format!("passed, upstream told of {reached:?}, metadata of {told:?}")
            }
            (false, Want::Refusal(status, why)) if self.reply.status.as_u16() == status && reason == Some(why) => {
                return Ok(());
            }
            (true, Want::Refusal(..)) => format!("passed as {told:?}"),
            (false, _) => {
                format!("refused with {} {reason:?} ({:?})", self.reply.status, self.access.details.as_deref())
            }
        };
        Err(format!("wanted {want:?}; {seen}"))
    }

    /// Asserts that the request passed with this user in the upstream's headers.
    #[track_caller]
    pub fn allowed_as(&self, user: &str) {
        self.check(Want::User(user));
    }

    /// Asserts that the request was denied with this status and for this reason, and never reached the upstream.
    #[track_caller]
    pub fn denied(&self, status: u16, reason: &str) {
        self.check(Want::Refusal(status, reason));
    }

    #[track_caller]
    fn check(&self, want: Want<'_>) {
        if let Err(difference) = self.compare(want) {
            panic!("{difference}\n{self:#?}");
        }
    }

    /// Asserts that the request passed without a user in the upstream's headers.
    #[track_caller]
    pub fn allowed_anonymously(&self) {
        let echo = self.reply.echo();
        let told: Vec<_> = echo.headers.iter().filter(|(name, _)| name.starts_with("x-certgate-")).collect();
        assert!(told.is_empty(), "{told:?} reached the upstream");
        assert_eq!(self.access.told("/identity/user"), None, "{self:#?}");
    }
}

/// The rows of a table: all are run, and the failures are reported together.
#[derive(Default)]
pub struct Rows {
    wrong: Vec<String>,
}

impl Rows {
    /// Compares a row with its expected outcome.
    pub fn row<'a>(&mut self, name: impl std::fmt::Display, outcome: &Outcome, want: impl Into<Want<'a>>) {
        if let Err(difference) = outcome.compare(want.into()) {
            self.wrong.push(format!("{name}: {difference}"));
        }
    }

    /// Fails if a row failed.
    #[track_caller]
    pub fn end(self) {
        assert!(self.wrong.is_empty(), "{} rows went wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}
