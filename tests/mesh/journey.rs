//! What clients meet with at a gateway that an example configures; the same for every example.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;

use crate::stage::Stage;
use crate::support::client::{Call, Client, Reply};
use crate::support::pki::{Identity, Leaf, Pki};
use crate::support::wait::until;

/// How long a control plane may take to bring an edit to Envoy on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that listens.
struct Gateway<'a> {
    stage: &'a Stage,
    address: SocketAddr,
}

impl Gateway<'_> {
    fn client(&self, identity: Option<&Identity>) -> Client {
        Client::tls(self.address, self.stage.pki.server_root.der(), identity)
    }

    /// Asks, over new connections, until an answer is as wanted.
    async fn until(&self, what: &str, identity: &Identity, wanted: impl Fn(&Reply) -> bool) -> Reply {
        let client = self.client(Some(identity));
        let mut last = String::new();
        let asked = tokio::time::timeout(PATIENCE, until(what, 2 * PATIENCE, async || {
            match client.try_send(Call::get("/v1")).await {
                Ok(reply) if wanted(&reply) => Some(reply),
                Ok(reply) => {
                    last = format!("{reply:?}");
                    None
                }
                Err(error) => {
                    last = error.to_string();
                    None
                }
            }
        }))
        .await;
        asked.unwrap_or_else(|_| panic!("{what}: in vain; at last: {last}"))
    }

    /// A certificate that the policy allows passes, as the identity that the policy says, and nothing that the client
    /// writes changes that.
    async fn allows_whom_the_policy_allows(&self) {
        let acme = self.stage.client("Acme");
        let reply = self.until("Acme passes", &acme, Reply::served).await;
        assert_eq!(reply.echo().header("x-certgate-user"), Some("acme"));
        assert_eq!(reply.echo().header("x-certgate-groups"), Some("partners"));

        let forged = format!("By=x;Hash={};Cert=\"x\";Subject=\"O=Root\"", "0".repeat(64));
        let call = || {
            Call::get("/v1")
                .header("x-certgate-user", "root")
                .header("x-certgate-groups", "admins")
                .header("x-forwarded-client-cert", &forged)
        };
        for client in [self.client(Some(&acme)), self.client(Some(&acme)).http2()] {
            let echo = client.send(call()).await.echo();
            assert_eq!(echo.header("x-certgate-user"), Some("acme"));
            assert_eq!(echo.header("x-certgate-groups"), Some("partners"));
            let xfcc = echo.header("x-forwarded-client-cert").unwrap_or_default();
            assert!(!xfcc.contains("O=Root") && xfcc.matches("Hash=").count() == 1, "{xfcc}");
        }
        let reply = self.client(Some(&acme)).send(Call::get("/v1").header("x_certgate_user", "root")).await;
        assert!(!reply.served() && reply.status == StatusCode::BAD_REQUEST, "{reply:?}");
    }

    /// Another certificate of the same CA is refused, however the request is written.
    async fn refuses_whom_the_policy_does_not_allow(&self) {
        let (bolt, served) = (self.stage.client("Bolt"), self.stage.upstream.served());
        let reply = self.client(Some(&bolt)).get("/v1").await;
        assert_eq!((reply.status, reply.served()), (StatusCode::FORBIDDEN, false), "{reply:?}");

        let own = Pki::SERVER_NAME;
        let hosts = [
            own.to_owned(),
            format!("{own}:443"),
            format!("{own}:{}", self.address.port()),
            own.to_uppercase(),
            format!("{own}:"),
            format!("{own}."),
            format!("{own}.:443"),
            format!("user@{own}"),
            "other.example".to_owned(),
            self.address.to_string(),
        ];
        for host in &hosts {
            for path in ["/", "/v1", "//v1", "/v1/..%2fv1", "/%76%31", "/v1;x", "/v1?x=%0d%0a", "/.", "/x/../v1"] {
                let reply = self.client(Some(&bolt)).send(Call::get(path).host(host)).await;
                assert!(!reply.served(), "{host} {path}: {reply:?}");
            }
            if !host.contains('@') {
                let call = Call::get("/v1").host(host);
                if let Ok(reply) = self.client(Some(&bolt)).http2().try_send(call).await {
                    assert!(!reply.served(), "{host} by HTTP/2: {reply:?}");
                }
            }
        }
        for method in ["POST", "OPTIONS", "TRACE", "PROPFIND", "HEAD"] {
            let reply = self.client(Some(&bolt)).send(Call::get("/v1").method(method)).await;
            assert!(!reply.served(), "{method}: {reply:?}");
        }
        assert_eq!(self.stage.upstream.served(), served);
    }

    /// Whom the gateway's CA file does not cover, and who has no certificate, does not get past the handshake.
    async fn refuses_strangers(&self) {
        let stranger = Identity::self_signed(Leaf::client("robot").organization("Acme"));
        let expired = self.stage.pki.issuing.issue(Leaf::client("robot").organization("Acme").expired());
        let served = self.stage.upstream.served();
        for identity in [None, Some(&stranger), Some(&expired)] {
            let answer = self.client(identity).try_send(Call::get("/v1")).await;
            assert!(answer.is_err(), "{identity:?}: {answer:?}");
        }
        assert_eq!(self.stage.upstream.served(), served);
    }

    /// An edit by kubectl changes decisions: here the reason is revealed, and who Acme is.
    async fn follows_edits(&self) {
        let edit = |patch: &str| {
            self.stage.cluster.kubectl(&[
                "patch", "certpol", "payments-api", "--namespace", "payments", "--type=json", "-p", patch,
            ]);
        };
        edit(r#"[{"op": "add", "path": "/spec/response", "value": {"denial": {"reveal": "Reason"}}}]"#);
        let bolt = self.stage.client("Bolt");
        let refused = self.until("the reason is told", &bolt, |reply| !reply.body.is_empty()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(refused.header("x-certgate-reason"), Some("NO_MAPPING"));

        edit(r#"[{"op": "replace", "path": "/spec/mapping/rules/0/identity/user", "value": "acme-2"}]"#);
        let is = |user: &'static str| {
            move |reply: &Reply| reply.served() && reply.echo().header("x-certgate-user") == Some(user)
        };
        let acme = self.stage.client("Acme");
        self.until("Acme has another name", &acme, is("acme-2")).await;
        edit(r#"[{"op": "replace", "path": "/spec/mapping/rules/0/where/0/value", "value": "Bolt"}]"#);
        self.until("Bolt takes its place", &bolt, is("acme-2")).await;
        self.until("Acme is refused", &acme, |reply| reply.status == StatusCode::FORBIDDEN).await;
        edit(r#"[{"op": "replace", "path": "/spec/mapping/rules/0/where/0/value", "value": "Acme"}]"#);
        self.until("Acme is back", &acme, is("acme-2")).await;
    }

    /// With nobody to ask, nobody passes.
    async fn denies_without_certgate(&self) {
        let acme = self.stage.client("Acme");
        let served = self.stage.upstream.served();
        for _ in 0..5 {
            let reply = self.client(Some(&acme)).get("/v1").await;
            assert_eq!((reply.status, reply.served()), (StatusCode::SERVICE_UNAVAILABLE, false), "{reply:?}");
        }
        assert_eq!(self.stage.upstream.served(), served);
    }
}

/// The whole journey; the last to go is certgate.
pub async fn play(mut stage: Stage, address: SocketAddr) {
    let gateway = Gateway { stage: &stage, address };
    gateway.allows_whom_the_policy_allows().await;
    gateway.refuses_whom_the_policy_does_not_allow().await;
    gateway.refuses_strangers().await;
    gateway.follows_edits().await;
    stage.certgate.process().kill();
    Gateway { stage: &stage, address }.denies_without_certgate().await;
}
