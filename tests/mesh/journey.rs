//! What clients meet with at a gateway that an example configures; the same for every example.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::stage::Stage;
use certgate_harness::client::{Call, Client, Connection, Failure, Reply};
use certgate_harness::pki::{Identity, Leaf, Pki};
use certgate_harness::wait::until;

/// How long a control plane may take to bring an edit to Envoy on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway, and who asks it.
pub struct Gateway<'a> {
    stage: &'a Stage,
    address: SocketAddr,
    acme: Identity,
    /// Not allowed by the example; an edit will allow it for a moment.
    bolt: Identity,
    /// Never allowed.
    crow: Identity,
}

impl<'a> Gateway<'a> {
    /// The one at `address`.
    pub fn at(stage: &'a Stage, address: SocketAddr) -> Self {
        Self { stage, address, acme: stage.client("Acme"), bolt: stage.client("Bolt"), crow: stage.client("Crow") }
    }

    fn client(&self, identity: Option<&Identity>) -> Client {
        Client::tls(self.address, self.stage.pki.server_root.der(), identity)
    }

    /// Lets a client that no policy allows ask all the time.
    pub fn besiege(&self) -> Siege {
        let client = self.client(Some(&self.crow));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut answers = 0;
            while !*stopped.borrow() {
                match client.try_send(Call::get("/v1")).await {
                    Ok(reply) => {
                        assert!(!reply.served(), "{reply:?}");
                        answers += 1;
                    }
                    // Nobody listens yet. This client never stops for long.
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            answers
        });
        Siege { stop, task }
    }

    /// Connections of a client that no policy allows, each refused once, by whatever means.
    pub async fn hold(&self) -> Held {
        let client = self.client(Some(&self.crow));
        let mut held = Held(Vec::new());
        for client in [client.clone(), client.http2()] {
            // A handshake that fails is a refusal, and known as such only now.
            let Ok(mut connection) = client.try_connect().await else { continue };
            let Ok(reply) = connection.try_send(Call::get("/v1")).await else { continue };
            assert!(!reply.served(), "{reply:?}");
            held.0.push(connection);
        }
        held
    }

    /// Asks, over new connections, until what comes is as wanted.
    async fn until(&self, what: &str, identity: Option<&Identity>, wanted: impl Fn(&Result<Reply, Failure>) -> bool) {
        let (client, began) = (self.client(identity), Instant::now());
        until(what, 2 * PATIENCE, async || {
            let answer = client.try_send(Call::get("/v1")).await;
            let done = wanted(&answer);
            assert!(done || began.elapsed() < PATIENCE, "{what}: in vain; at last: {answer:?}");
            done.then_some(())
        })
        .await;
    }

    /// Waits until Acme passes.
    pub async fn until_acme_passes(&self) {
        self.until("Acme passes", Some(&self.acme), |answer| answer.as_ref().is_ok_and(Reply::served)).await;
    }

    /// Waits until Acme does not pass.
    pub async fn until_acme_is_refused(&self) {
        let refused = |answer: &Result<Reply, Failure>| !answer.as_ref().is_ok_and(Reply::served);
        self.until("Acme does not pass", Some(&self.acme), refused).await;
    }

    /// Waits until a client that no policy allows is refused.
    pub async fn until_crow_is_refused(&self) {
        let refused = |answer: &Result<Reply, Failure>| answer.as_ref().is_ok_and(|reply| !reply.served());
        self.until("Crow is refused", Some(&self.crow), refused).await;
    }

    /// Waits until a client that no policy allows passes, and sees that the upstream is not told who it says it is.
    pub async fn passes_without_identity(&self) {
        self.until("Crow passes", Some(&self.crow), |answer| answer.as_ref().is_ok_and(Reply::served)).await;
        let call = Call::get("/v1").header("x-certgate-user", "root").header("x-certgate-groups", "admins");
        let echo = self.client(Some(&self.crow)).send(call).await.echo();
        assert_eq!((echo.header("x-certgate-user"), echo.header("x-certgate-groups")), (None, None));
    }

    /// Waits until a client is refused for `reason`, and sees that it is not believed to be Acme, whatever it says.
    pub async fn until_refused_for(&self, reason: &str, identity: Option<&Identity>) {
        let told = |answer: &Result<Reply, Failure>| {
            answer.as_ref().is_ok_and(|reply| !reply.served() && reply.header("x-certgate-reason") == Some(reason))
        };
        self.until(reason, identity, told).await;
        let served = self.stage.upstream.served();
        for _ in 0..2 {
            let call = Call::get("/v1").header("x-forwarded-client-cert", xfcc_of(&self.acme));
            let reply = self.client(identity).send(call).await;
            assert_eq!(reply.header("x-certgate-reason"), Some(reason), "{reply:?}");
        }
        assert_eq!(self.stage.upstream.served(), served);
    }

    /// Somebody who names himself like Acme.
    pub fn stranger() -> Identity {
        Identity::self_signed(Leaf::client("robot").organization("Acme"))
    }

    /// A certificate that the policy allows passes, as the identity that the policy says, and nothing that the client
    /// writes changes that.
    async fn allows_whom_the_policy_allows(&self) {
        self.until_acme_passes().await;
        let plain = self.client(Some(&self.acme)).get("/v1").await.echo();
        assert_eq!(plain.header("x-certgate-user"), Some("acme"));
        assert_eq!(plain.header("x-certgate-groups"), Some("partners"));

        for client in [self.client(Some(&self.acme)), self.client(Some(&self.acme)).http2()] {
            let call = Call::get("/v1")
                .header("x-certgate-user", "root")
                .header("X-Certgate-User", "root")
                .header("x-certgate-groups", "admins")
                .header("x-forwarded-client-cert", xfcc_of(&self.bolt));
            let echo = client.send(call).await.echo();
            assert_eq!(echo.header("x-certgate-user"), Some("acme"));
            assert_eq!(echo.header("x-certgate-groups"), Some("partners"));
            let xfcc = echo.header("x-forwarded-client-cert").unwrap_or_default();
            assert!(xfcc.contains(&self.acme.sha256()) && xfcc.matches("Hash=").count() == 1, "{xfcc}");
        }

        // To an upstream that speaks HTTP/1.1 no proxy passes trailers; to others, not these.
        let mut call = Call::get("/v1").method("POST");
        for name in ["x-certgate-user", "x-certgate-groups", "x.certgate.user"] {
            call = call.trailer(name, "root");
        }
        let echo = self.client(Some(&self.acme)).http2().send(call).await.echo();
        assert!(echo.trailers.iter().all(|(name, _)| !name.contains("certgate")), "{:?}", echo.trailers);
        assert_eq!(echo.header("x-certgate-user"), Some("acme"));
    }

    /// What some upstreams read as an identity header is not let through.
    async fn closes_other_spellings(&self) {
        let client = self.client(Some(&self.acme));
        let reply = client.send(Call::get("/v1").header("x_certgate_user", "root")).await;
        assert!(!reply.served() && reply.status == StatusCode::BAD_REQUEST, "{reply:?}");
        let call = Call::get("/v1").header("x.certgate.user", "root").header("x.certgate.groups", "admins");
        let echo = client.send(call).await.echo();
        assert_eq!((echo.header("x.certgate.user"), echo.header("x.certgate.groups")), (None, None));
        assert_eq!(echo.header("x-certgate-user"), Some("acme"));
    }

    /// Another certificate of the same CA is refused, however the request is written.
    async fn refuses_whom_the_policy_does_not_allow(&self) {
        let (bolt, served) = (self.client(Some(&self.bolt)), self.stage.upstream.served());
        let reply = bolt.get("/v1").await;
        assert_eq!((reply.status, reply.served()), (StatusCode::FORBIDDEN, false), "{reply:?}");
        for client in [bolt.clone(), bolt.clone().http2()] {
            let reply = client.send(Call::get("/v1").header("x-forwarded-client-cert", xfcc_of(&self.acme))).await;
            assert_eq!((reply.status, reply.served()), (StatusCode::FORBIDDEN, false), "{reply:?}");
        }

        let own = Pki::SERVER_NAME;
        let hosts = [
            own.to_owned(),
            format!("{own}:443"),
            format!("{own}:{}", self.address.port()),
            own.to_uppercase(),
            format!("{own}:"),
            format!("{own}."),
            format!("{own}.:443"),
            "other.example".to_owned(),
            self.address.to_string(),
        ];
        for host in &hosts {
            for path in ["/", "/v1", "//v1", "/v1/..%2fv1", "/%76%31", "/v1;x", "/v1?x=%0d%0a", "/.", "/x/../v1"] {
                let reply = bolt.send(Call::get(path).host(host)).await;
                assert!(!reply.served(), "{host} {path}: {reply:?}");
            }
            if let Ok(reply) = bolt.clone().http2().try_send(Call::get("/v1").host(host)).await {
                assert!(!reply.served(), "{host} by HTTP/2: {reply:?}");
            }
        }
        for method in ["POST", "OPTIONS", "TRACE", "PROPFIND", "HEAD"] {
            let reply = bolt.send(Call::get("/v1").method(method)).await;
            assert!(!reply.served(), "{method}: {reply:?}");
        }
        for request in [
            format!("GET https://{own}/v1 HTTP/1.1\r\nHost: other.example\r\n"),
            format!("GET http://other.example/v1 HTTP/1.1\r\nHost: {own}\r\n"),
            format!("GET /v1 HTTP/1.1\r\nHost: {own}\r\nHost: other.example\r\n"),
            format!("GET /v1 HTTP/1.1\r\nHost: other.example\r\nHost: {own}\r\n"),
            format!("GET /v1 HTTP/1.1\r\nHost: user@{own}\r\n"),
            format!("GET /v1 HTTP/1.1\r\nHost: {own}\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n"),
            format!("GET /v1 HTTP/1.1\r\nHost: {own}\r\nConnection: x-forwarded-client-cert, close\r\n"),
            format!("CONNECT {own}:443 HTTP/1.1\r\nHost: {own}:443\r\n"),
            format!("GET /v1 HTTP/1.0\r\nHost: {own}\r\n"),
            "GET /v1 HTTP/1.0\r\n".to_owned(),
        ] {
            let close = if request.contains("Connection") { "" } else { "Connection: close\r\n" };
            let answer = bolt.raw(format!("{request}{close}\r\n").as_bytes()).await.text();
            assert!(answer.starts_with("HTTP/1."), "{request}: {answer}");
            assert!(!answer.contains("x-served-by"), "{request}: {answer}");
        }
        assert_eq!(self.stage.upstream.served(), served);
    }

    /// Whom the gateway's CA file does not cover, and who has no certificate, does not get past the handshake.
    async fn refuses_strangers(&self) {
        let expired = self.stage.pki.issuing.issue(Leaf::client("robot").organization("Acme").expired());
        let served = self.stage.upstream.served();
        for identity in [None, Some(&Self::stranger()), Some(&expired)] {
            let answer = self.client(identity).try_send(Call::get("/v1")).await;
            assert!(answer.is_err(), "{identity:?}: {answer:?}");
        }
        assert_eq!(self.stage.upstream.served(), served);
    }

    /// An edit by kubectl changes decisions: here the reason is revealed, and who Acme is.
    async fn follows_edits(&self) {
        let edit = |patch: &str| {
            let what = ["patch", "certpol", "payments-api", "--namespace", "payments", "--type=json", "-p", patch];
            self.stage.cluster.kubectl(&what);
        };
        edit(r#"[{"op": "add", "path": "/spec/response", "value": {"denial": {"reveal": "Reason"}}}]"#);
        self.until_refused_for("NO_MAPPING", Some(&self.bolt)).await;

        let is = |user: &'static str| {
            move |answer: &Result<Reply, Failure>| {
                answer
                    .as_ref()
                    .is_ok_and(|reply| reply.served() && reply.echo().header("x-certgate-user") == Some(user))
            }
        };
        edit(r#"[{"op": "replace", "path": "/spec/mapping/rules/0/identity/user", "value": "acme-2"}]"#);
        self.until("Acme has another name", Some(&self.acme), is("acme-2")).await;
        edit(r#"[{"op": "replace", "path": "/spec/mapping/rules/0/where/0/value", "value": "Bolt"}]"#);
        self.until("Bolt takes its place", Some(&self.bolt), is("acme-2")).await;
        self.until_refused_for("NO_MAPPING", Some(&self.acme)).await;
        edit(r#"[{"op": "replace", "path": "/spec/mapping/rules/0/where/0/value", "value": "Acme"}]"#);
        self.until("Acme is back", Some(&self.acme), is("acme-2")).await;
    }

    /// With nobody to ask, nobody passes.
    pub async fn denies_without_certgate(&self, status: StatusCode) {
        let served = self.stage.upstream.served();
        for _ in 0..5 {
            let reply = self.client(Some(&self.acme)).get("/v1").await;
            assert_eq!((reply.status, reply.served()), (status, false), "{reply:?}");
        }
        assert_eq!(self.stage.upstream.served(), served);
    }

    /// Everything that needs certgate. After it, policies reveal reasons.
    pub async fn play(&self, spellings: Spellings) {
        self.allows_whom_the_policy_allows().await;
        self.refuses_whom_the_policy_does_not_allow().await;
        self.refuses_strangers().await;
        if spellings == Spellings::Closed {
            self.closes_other_spellings().await;
        }
        self.follows_edits().await;
    }
}

/// What the gateway makes of identity headers with underscores or dots in the place of hyphens.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Spellings {
    /// The request is refused, or the header removed.
    Closed,
    /// It cannot be told to.
    Passed,
}

/// A client that asks all the time.
pub struct Siege {
    stop: watch::Sender<bool>,
    task: JoinHandle<usize>,
}

impl Siege {
    /// Ends it. It must have been answered, and always with a refusal.
    pub async fn lift(self) {
        self.stop.send(true).unwrap();
        let answers = self.task.await.unwrap();
        println!("{answers} refusals in the meantime");
        assert!(answers > 0);
    }
}

/// Open connections.
pub struct Held(Vec<Connection>);

impl Held {
    /// They may be closed; what is asked over them is refused.
    pub async fn are_refused(mut self) {
        for connection in &mut self.0 {
            for _ in 0..20 {
                let call = Call::get("/v1").header("x-certgate-user", "root");
                if let Ok(reply) = connection.try_send(call).await {
                    assert!(!reply.served(), "{reply:?}");
                }
            }
        }
    }
}

/// What an honest proxy would write about a client. Certificates are no secret: anybody can write it.
fn xfcc_of(identity: &Identity) -> String {
    let pem = identity.pem().replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B").replace('/', "%2F");
    format!("Hash={};Cert=\"{}\"", identity.sha256(), pem.replace('=', "%3D"))
}
