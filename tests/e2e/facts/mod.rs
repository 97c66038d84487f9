//! Facts about Envoy that certgate's design rests on, each seen in the Envoy that these tests run.

mod answers;
mod questions;
mod xfcc;

use certgate_harness::client::Client;
use certgate_harness::envoy::Envoy;
use certgate_harness::envoy_config::{Config, Listener};
use certgate_harness::pki::{Identity, Pki};
use certgate_harness::stand_in::StandIn;
use certgate_harness::upstream::Upstream;

/// Envoy in front of an upstream, asking a stand-in.
struct Bench {
    pki: Pki,
    upstream: Upstream,
    authorizer: StandIn,
    envoy: Envoy,
}

impl Bench {
    async fn start(pki: Pki, authorizer: StandIn, listeners: impl IntoIterator<Item = Listener>) -> Self {
        let upstream = Upstream::start().await;
        let mut config = Config::new(upstream.address(), [authorizer.address()]);
        config.listeners = listeners.into_iter().collect();
        let envoy = Envoy::start(&config).await;
        Self { pki, upstream, authorizer, envoy }
    }

    /// A client of a TLS listener.
    fn client<'a>(&self, listener: &str, identity: impl Into<Option<&'a Identity>>) -> Client {
        Client::tls(self.envoy.address(listener), self.pki.server_root.der(), identity.into())
    }

    /// A client of a listener without TLS.
    fn plaintext(&self, listener: &str) -> Client {
        Client::plaintext(self.envoy.address(listener))
    }
}
