//! The whole way of an edit: kubectl, the API server, certgate, and the real Envoy that clients talk to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::certgate::Follower;
use crate::cluster::Cluster;
use crate::edits::{SOON, allow, policy, profile, roots};
use crate::waits::Waits;
use crate::with_cluster;
use certgate_harness::client::{Call, Client, Connection};
use certgate_harness::envoy::{Envoy, binary};
use certgate_harness::envoy_config::{Config, Listener};
use certgate_harness::pki::{Identity, Pki};
use certgate_harness::upstream::Upstream;
use certgate_harness::wait::PATIENCE;

const MTLS: &str = "mtls";

/// An Envoy that asks certgate, and an upstream behind it.
pub struct Edge {
    envoy: Envoy,
    upstream: Upstream,
}

/// What a client of Envoy meets with: the upstream, which was told of this user, or a refusal.
pub type Met = Result<String, u16>;

impl Edge {
    /// Starts them; `None`, said loudly, when there is no Envoy.
    pub async fn start(pki: &Pki, certgate: SocketAddr) -> Option<Self> {
        binary()?;
        let upstream = Upstream::start().await;
        let mut config = Config::new(upstream.address(), [certgate]);
        config.listeners = vec![Listener::https(MTLS, &pki.server, &pki.root.pem())];
        Some(Self { envoy: Envoy::start(&config).await, upstream })
    }

    /// A client with mutual TLS.
    pub fn client(&self, pki: &Pki, identity: &Identity) -> Client {
        Client::tls(self.envoy.address(MTLS), pki.server_root.der(), Some(identity))
    }

    /// How many requests reached the upstream.
    pub fn served(&self) -> usize {
        self.upstream.served()
    }
}

/// Asks once.
pub async fn meet(connection: &mut Connection, call: Call) -> Met {
    let reply = connection.send(call).await;
    if reply.served() {
        return Ok(reply.echo().header("x-certgate-user").unwrap_or_default().to_owned());
    }
    Err(reply.status.as_u16())
}

/// Asks until `want` is met with, and gives how long that took.
pub async fn until_met(
    connection: &mut Connection,
    call: impl Fn() -> Call,
    want: &Met,
    patience: Duration,
) -> Duration {
    let began = Instant::now();
    loop {
        let met = meet(connection, call()).await;
        if met == *want {
            return began.elapsed();
        }
        assert!(began.elapsed() < patience, "waited {patience:?} for {want:?}, met with {met:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn what_kubectl_applies_decides_in_envoy() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let client = pki.client("acme");
        let follower = Follower::start(&cluster.admin_kubeconfig(), &[&namespace]).await;
        let Some(edge) = Edge::start(&pki, follower.address()).await else { return };
        let mut connection = edge.client(&pki, &client).connect().await;
        let host = format!("{namespace}.example");
        let call = || Call::get("/v1").host(&host);
        assert_eq!(meet(&mut connection, call()).await, Err(403), "nothing is allowed yet");
        assert_eq!(edge.served(), 0);

        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        let mut waits = Waits::default();
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "first")));
        waits.add(until_met(&mut connection, call, &Ok("first".to_owned()), PATIENCE).await);
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "second")));
        waits.add(until_met(&mut connection, call, &Ok("second".to_owned()), PATIENCE).await);

        // The same certificate over the same connection is refused as soon as the policy says so.
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("somebody-else", "second")));
        waits.add(until_met(&mut connection, call, &Err(403), PATIENCE).await);
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "third")));
        waits.add(until_met(&mut connection, call, &Ok("third".to_owned()), PATIENCE).await);
        cluster.kubectl(&["delete", "certpol", "a", "-n", &namespace]);
        waits.add(until_met(&mut connection, call, &Err(403), PATIENCE).await);
        waits.mostly_below(SOON);
    });
}
