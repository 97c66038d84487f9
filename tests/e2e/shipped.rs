//! `deploy/envoy/envoy.yaml` as it ships, and that of the demo as far as it says the same: only addresses, ports and the
//! folder of the certificates are replaced.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::with_envoy;
use certgate_harness::certgate::Certgate;
use certgate_harness::client::{Call, Client};
use certgate_harness::envoy::Envoy;
use certgate_harness::pki::{Identity, Leaf, Pki};
use certgate_harness::policies::{PolicyDirectory, documents, indent, policy, trust};
use certgate_harness::upstream::Upstream;
use certgate_harness::wait::{PATIENCE, until};

/// What makes Envoy speak HTTP/2 to the upstream, which then gets trailers.
const HTTP2: &str = "    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
";

/// Everything around the example.
struct Shipped {
    pki: Pki,
    acme: Identity,
    certgate: Certgate,
    _policies: PolicyDirectory,
    upstream: Upstream,
}

impl Shipped {
    async fn start(upstream: Upstream) -> Self {
        let pki = Pki::new();
        let known = format!("intermediates:\n- inline: |\n{}", indent(&pki.issuing.pem(), 4));
        let clients = trust("clients", &[pki.root.pem()], &known);
        let api = policy(
            "api",
            "match: [{hosts: [api.example.test]}]\ntrustRef: {name: clients}\nmapping: {rules: [{name: acme, action: Allow, \
             where: [{field: Subject, attribute: O, value: Acme}], identity: {user: acme, groups: [partners, acme]}}]}\n",
        );
        let policies = PolicyDirectory::with(&documents([clients.as_str(), api.as_str()]));
        let certgate = Certgate::start(policies.path()).await;
        let acme = pki.issuing.issue(Leaf::client("robot").organization("Acme"));
        Self { pki, acme, certgate, _policies: policies, upstream }
    }

    /// The example, which asks at `certgate`.
    fn example(&self, folder: &Path, certgate: SocketAddr) -> String {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/envoy/envoy.yaml");
        let address = |address: SocketAddr| format!("{}, port_value: {}", address.ip(), address.port());
        let replaced = [
            ("port_value: 9901", "port_value: 0".to_owned()),
            ("0.0.0.0, port_value: 8443", "127.0.0.1, port_value: 0".to_owned()),
            ("/etc/envoy/tls", folder.display().to_string()),
            ("upstream.example.internal, port_value: 8080", address(self.upstream.address())),
            ("certgate.example.internal, port_value: 9090", address(certgate)),
        ];
        replaced.iter().fold(fs::read_to_string(example).expect("the example is there"), |text, (from, to)| {
            assert!(text.contains(from), "the example has no {from}");
            text.replace(from, to)
        })
    }

    /// The demo's Envoy.
    fn demo(&self, folder: &Path) -> String {
        let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo/envoy.yaml");
        let pki = folder.join("pki");
        fs::create_dir(&pki).expect("the directory is writable");
        for (name, text) in [
            ("server.pem", self.pki.server.chain_pem()),
            ("server.key", self.pki.server.key_pem()),
            ("partners-root.pem", self.pki.root.pem()),
        ] {
            fs::write(pki.join(name), text).expect("the directory is writable");
        }
        let replaced = [
            ("@RUN@", folder.display().to_string()),
            ("@UPSTREAM_PORT@", self.upstream.address().port().to_string()),
            ("@CERTGATE_PORT@", self.certgate.address().port().to_string()),
        ];
        replaced.iter().fold(fs::read_to_string(demo).expect("the demo is there"), |text, (from, to)| {
            assert!(text.contains(from), "the demo has no {from}");
            text.replace(from, to)
        })
    }

    /// Starts the example, changed by `change`.
    async fn envoy(&self, folder: &TempDir, certgate: SocketAddr, change: impl Fn(String) -> String) -> Envoy {
        let folder = folder.path();
        for (name, text) in [
            ("tls.crt", self.pki.server.chain_pem()),
            ("tls.key", self.pki.server.key_pem()),
            ("clients-ca.crt", self.pki.root.pem()),
        ] {
            fs::write(folder.join(name), text).expect("the directory is writable");
        }
        let text = change(self.example(folder, certgate));
        // The example's access log goes to standard output.
        Envoy::launch("envoy", &text, "yaml", folder, folder.join("envoy.log")).await
    }

    fn client(&self, envoy: &Envoy, identity: &Identity) -> Client {
        Client::tls(envoy.address("https"), self.pki.server_root.der(), Some(identity))
    }
}

fn folder() -> TempDir {
    TempDir::with_prefix("certgate-shipped-").expect("a temporary directory can be made")
}

/// A way to certgate on which every octet of an answer takes its time.
struct Slow {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Slow {
    async fn start(certgate: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(certgate).await else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let (late, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
                tokio::spawn(async move {
                    let mut buffer = vec![0; 16 << 10];
                    while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                        let _ = late.send((Instant::now() + delay, buffer[..length].to_vec()));
                    }
                });
                tokio::spawn(async move {
                    while let Some((at, octets)) = due.recv().await {
                        tokio::time::sleep_until(at).await;
                        if to_client.write_all(&octets).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The time that certgate has is the filter's `timeout`, and nothing shorter.
#[test]
fn an_answer_within_the_timeout_counts() {
    with_envoy(async {
        let shipped = Shipped::start(Upstream::start().await).await;
        for delay in [100, 400].map(Duration::from_millis) {
            let slow = Slow::start(shipped.certgate.address(), delay).await;
            let folder = folder();
            let envoy = shipped.envoy(&folder, slow.address, |text| text).await;
            let client = shipped.client(&envoy, &shipped.acme);
            // On a busy machine one or the other answer is later than the timeout. With a time for each attempt that is
            // shorter than the delay, all are.
            until(&format!("a request passes with answers after {delay:?}"), PATIENCE, async || {
                let sent = Instant::now();
                let reply = client.send(Call::get("/v1")).await;
                let took = sent.elapsed();
                assert!(!reply.served() || took >= delay, "it was not asked about: {took:?}");
                reply.served().then_some(())
            })
            .await;
        }
    });
}

/// Nobody sees trailers but the upstream, so nobody but Envoy can take an identity out of them.
#[test]
fn trailers_carry_no_identity() {
    with_envoy(async {
        let shipped = Shipped::start(Upstream::start_http2().await).await;
        let http2 = |text: String, kind: &str| {
            let cluster = format!("  - name: upstream\n    type: {kind}\n");
            assert!(text.contains(&cluster));
            text.replace(&cluster, &format!("{cluster}{HTTP2}"))
        };
        let folders = [folder(), folder()];
        let example = shipped.envoy(&folders[0], shipped.certgate.address(), |text| http2(text, "STRICT_DNS")).await;
        let demo = http2(shipped.demo(folders[1].path()), "STATIC");
        let demo = Envoy::launch("demo", &demo, "yaml", folders[1].path(), folders[1].path().join("access.log")).await;
        for (listener, envoy) in [("https", &example), ("api", &demo)] {
            let address = envoy.address(listener);
            let client = Client::tls(address, shipped.pki.server_root.der(), Some(&shipped.acme)).http2();
            no_identity_passes(&shipped, &client).await;
        }
    });
}

/// Whatever the client calls its identity, the upstream hears of the one that certgate has found.
async fn no_identity_passes(shipped: &Shipped, client: &Client) {
    let call = Call::get("/v1")
        .method("POST")
        .trailer("x-certgate-user", "root")
        .trailer("x-certgate-groups", "admins")
        .trailer("x.certgate.user", "root")
        .trailer("x-certgate.groups", "admins")
        .trailer("x~certgate!user", "root")
        .trailer("x-checksum", "kept");
    let echo = client.send(call).await.echo();
    assert_eq!(echo.trailers, [("x-checksum".to_owned(), "kept".to_owned())]);
    assert_eq!(echo.header("x-certgate-user"), Some("acme"));

    // Nor do headers in the spellings that the authorizer does not remove.
    let methods = ["x-http-method-override", "x-http-method", "x-method-override"];
    let paths = ["x-original-url", "x-rewrite-url"];
    let call = Call::get("/v1")
        .header("x.certgate.user", "root")
        .header("x-certgate.groups", "admins")
        .header("x+certgate~user", "root");
    let call = methods.iter().fold(call, |call, name| call.header(name, "DELETE"));
    let call = paths.iter().fold(call, |call, name| call.header(name, "/admin"));
    let echo = client.send(call).await.echo();
    for name in methods.iter().chain(&paths) {
        assert_eq!(echo.header(name), None, "{name}");
    }
    let identities: Vec<&str> =
        echo.headers.iter().map(|(name, _)| name.as_str()).filter(|name| name.contains("certgate")).collect();
    assert_eq!(identities, ["x-certgate-user", "x-certgate-groups"]);
    let served = shipped.upstream.served();
    for call in [
        Call::get("/v1").header("x_certgate_user", "root"),
        Call::get("/v1").method("POST").trailer("x_certgate_user", "root"),
    ] {
        let answer = client.try_send(call).await;
        assert!(!answer.as_ref().is_ok_and(|reply| reply.served()), "{answer:?}");
    }
    assert!(shipped.upstream.served() <= served + 1, "a request whose trailers are refused may have arrived");
}

/// The access log says who came, with which certificate, and why somebody was refused.
#[test]
fn the_access_log_names_identity_and_certificate() {
    with_envoy(async {
        let shipped = Shipped::start(Upstream::start().await).await;
        let bolt = shipped.pki.issuing.issue(Leaf::client("robot").organization("Bolt"));
        let folder = folder();
        let envoy = shipped.envoy(&folder, shipped.certgate.address(), |text| text).await;
        for (identity, user, groups, reason, status) in [
            (&shipped.acme, json!("acme"), json!(["partners", "acme"]), Value::Null, 200),
            (&bolt, Value::Null, Value::Null, json!("NO_MAPPING"), 403),
        ] {
            let reply = shipped.client(&envoy, identity).send(Call::get("/v1?token=secret")).await;
            assert_eq!(reply.status.as_u16(), status, "{reply:?}");
            let line = until("the access log tells", PATIENCE, async || {
                let log = envoy.process().log();
                let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
                lines.into_iter().find(|line| line["certificate"] == identity.sha256().as_str())
            })
            .await;
            let told = ["user", "groups", "reason", "status", "path"].map(|key| line[key].clone());
            assert_eq!(told, [user, groups, reason, json!(status), json!("/v1")], "{line}");
            assert_eq!((&line["policy"], &line["host"]), (&json!("test/api"), &json!("api.example.test")), "{line}");
        }
    });
}
