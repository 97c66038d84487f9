//! TLS between Envoy and certgate: who may ask, and what happens when certificates are replaced.

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::with_envoy;
use certgate_harness::certgate::Certgate;
use certgate_harness::client::{Call, Client, Reply};
use certgate_harness::envoy::Envoy;
use certgate_harness::envoy_config::{Cluster, Config, Listener, UpstreamTls};
use certgate_harness::pki::{Authority, Identity, Leaf, Pki};
use certgate_harness::policies::{PolicyDirectory, documents, indent, policy, trust};
use certgate_harness::upstream::Upstream;
use certgate_harness::wait::{PATIENCE, until};

/// The name in certgate's certificate.
const NAME: &str = "certgate.mesh.test";

const GATEWAY: &str = "spiffe://mesh.test/ns/istio-system/sa/gateway";
const OTHER: &str = "spiffe://mesh.test/ns/default/sa/other";

fn policies(pki: &Pki) -> String {
    let known = format!("intermediates:\n- inline: |\n{}", indent(&pki.issuing.pem(), 4));
    let clients = trust("clients", &[pki.root.pem()], &known);
    let open = policy("open", "match: [{paths: [{prefix: /}]}]\ntrustRef: {name: clients}\n");
    documents([clients.as_str(), open.as_str()])
}

fn caller(uri: &str) -> Leaf {
    Leaf::nameless().uri(uri).usages([ServerAuth, ClientAuth])
}

/// What the kubelet mounts for a Secret: names that link into `..data`, which links to the directory of a version.
struct Mount {
    directory: TempDir,
    version: u32,
}

impl Mount {
    fn new(server: &Identity, key: &Identity, callers: &Authority) -> Self {
        let directory = TempDir::with_prefix("certgate-tls-").expect("a temporary directory can be made");
        let mut mount = Self { directory, version: 0 };
        mount.swap(server, key, callers);
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(Path::new("..data").join(name), mount.path(name)).expect("a link can be made");
        }
        mount
    }

    /// Replaces everything at once.
    fn swap(&mut self, server: &Identity, key: &Identity, callers: &Authority) {
        self.version += 1;
        let version = format!("..version_{}", self.version);
        std::fs::create_dir(self.path(&version)).expect("a directory can be made");
        for (name, text) in [("tls.crt", server.chain_pem()), ("tls.key", key.key_pem()), ("ca.crt", callers.pem())] {
            std::fs::write(self.path(&version).join(name), text).expect("the directory is writable");
        }
        symlink(&version, self.path("..data_tmp")).expect("a link can be made");
        std::fs::rename(self.path("..data_tmp"), self.path("..data")).expect("a link can be replaced");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// certgate with TLS, and an Envoy with a listener for each caller, which asks as that caller.
struct World {
    pki: Pki,
    mount: Mount,
    certgate: Certgate,
    envoy: Envoy,
    _upstream: Upstream,
    _policies: PolicyDirectory,
}

impl World {
    /// Callers with `None` speak no TLS, those with `Some(None)` present no certificate.
    async fn start(
        server: &Identity,
        server_roots: &[&Authority],
        callers_root: &Authority,
        callers: &[(&str, Option<Option<&Identity>>)],
    ) -> Self {
        let pki = Pki::new();
        let policies = PolicyDirectory::with(&policies(&pki));
        let mount = Mount::new(server, server, callers_root);
        let path = |name: &str| mount.path(name).to_str().expect("UTF-8").to_owned();
        let (certificate, key, authorities) = (path("tls.crt"), path("tls.key"), path("ca.crt"));
        let options = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-client-ca", &authorities];
        let allowed = ["--tls-allowed-caller", GATEWAY, "--tls-allowed-caller", "gateway.mesh.test"];
        let certgate = Certgate::start_with(policies.path(), &[&options[..], &allowed].concat()).await;
        let upstream = Upstream::start().await;
        let mut config = Config::new(upstream.address(), [certgate.address()]);
        for (name, caller) in callers {
            let mut listener = Listener::https(name, &pki.server, &pki.root.pem());
            if let Some(identity) = caller {
                let anchors = server_roots.iter().map(|root| root.pem()).collect();
                let tls = UpstreamTls { identity: identity.cloned(), anchors, sni: NAME.to_owned() };
                config = config.cluster(Cluster::authorizers(&format!("as-{name}"), certgate.address(), tls));
                listener = listener.authorization(|authorization| authorization.cluster = format!("as-{name}"));
            }
            config = config.listener(listener);
        }
        let envoy = Envoy::start(&config).await;
        Self { pki, mount, certgate, envoy, _upstream: upstream, _policies: policies }
    }

    /// Asks through the Envoy that asks certgate as this caller.
    async fn get(&self, caller: &str) -> Reply {
        let client = self.pki.client("acme");
        Client::tls(self.envoy.address(caller), self.pki.server_root.der(), Some(&client)).send(Call::get("/")).await
    }

    /// The request passes.
    async fn allowed(&self, caller: &str) {
        let reply = self.get(caller).await;
        assert!(reply.served(), "{caller}: {reply:#?}\n{}", self.certgate.log());
    }

    /// The request is denied because Envoy gets no answer.
    async fn unanswered(&self, caller: &str) {
        let reply = self.get(caller).await;
        assert!(!reply.served() && reply.status.as_u16() == 403, "{caller}: {reply:#?}");
        let access = self.envoy.access(&reply.id).await;
        assert_eq!(access.details.as_deref(), Some("ext_authz_error"), "{caller}");
    }

    async fn metric(&self, series: &str) -> u64 {
        let metrics = self.certgate.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{metrics}"));
        line.trim().parse().expect("a number")
    }

    async fn handshakes(&self, outcome: &str) -> u64 {
        self.metric(&format!("certgate_tls_handshakes_total{{server=\"grpc\",outcome=\"{outcome}\"}}")).await
    }

    /// Awaits so many reloads of an outcome.
    async fn reloaded(&self, outcome: &str, times: u64) {
        let series = format!("certgate_tls_reloads_total{{server=\"grpc\",outcome=\"{outcome}\"}}");
        until(&format!("{times} reloads {outcome}"), PATIENCE, async || {
            (self.metric(&series).await == times).then_some(())
        })
        .await;
    }
}

/// The certificate that a new handshake is shown, if it succeeds.
async fn shown(address: SocketAddr, roots: &[&Authority], identity: &Identity) -> Option<Vec<u8>> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.der().clone()).expect("an authority");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has both")
        .with_root_certificates(store)
        .with_client_auth_cert(identity.chain.clone(), identity.key())
        .expect("certificate and key fit");
    let stream = TcpStream::connect(address).await.expect("certgate listens");
    let name = ServerName::try_from(NAME).expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    // In TLS 1.3 the client is done before the server has judged it; HTTP/2's first words tell.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.ok()?;
    stream.read_exact(&mut [0; 9]).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.to_vec())
}

#[test]
fn only_allowed_callers_may_ask() {
    with_envoy(async {
        let (mesh, elsewhere) = (Authority::root("Mesh"), Authority::root("Mesh"));
        let server = mesh.issue(Leaf::server(NAME));
        let gateway = mesh.issue(caller(GATEWAY));
        let by_dns = mesh.issue(Leaf::proxy("gateway.mesh.test"));
        let other = mesh.issue(caller(OTHER));
        let as_dns = mesh.issue(Leaf::client("gateway.mesh.test").uri("urn:gateway.mesh.test"));
        let stranger = elsewhere.issue(caller(GATEWAY));
        let expired = mesh.issue(caller(GATEWAY).expired());
        let servers_only = mesh.issue(caller(GATEWAY).usages([ServerAuth]));
        let refused = [
            ("other", Some(Some(&other)), "CallerNotAllowed"),
            ("asdns", Some(Some(&as_dns)), "CallerNotAllowed"),
            ("stranger", Some(Some(&stranger)), "CertificateRefused"),
            ("expired", Some(Some(&expired)), "CertificateRefused"),
            ("serversonly", Some(Some(&servers_only)), "CertificateRefused"),
            ("nobody", Some(None), "NoCertificate"),
            ("plaintext", None, "NotTls"),
        ];
        let mut callers = vec![("gateway", Some(Some(&gateway))), ("bydns", Some(Some(&by_dns)))];
        callers.extend(refused.iter().map(|(name, caller, _)| (*name, *caller)));
        let world = World::start(&server, &[&mesh], &mesh, &callers).await;
        world.allowed("gateway").await;
        world.allowed("bydns").await;
        for (name, _, outcome) in refused {
            let before = world.handshakes(outcome).await;
            world.unanswered(name).await;
            assert!(world.handshakes(outcome).await > before, "{name}: {}", world.certgate.metrics().await);
        }
        assert_eq!(world.handshakes("Completed").await, 2);
        world.allowed("gateway").await;
        let log = world.certgate.log();
        assert!(log.contains("none of the certificate's names may ask") && log.contains(OTHER), "{log}");
    });
}

#[test]
fn certificates_are_replaced_while_connections_go_on() {
    with_envoy(async {
        let (mesh, next, old_callers) = (Authority::root("Mesh"), Authority::root("Next"), Authority::root("Callers"));
        let (first, second) = (mesh.issue(Leaf::server(NAME)), next.issue(Leaf::server(NAME)));
        let gateway = old_callers.issue(caller(GATEWAY));
        let callers = [("early", Some(Some(&gateway))), ("late", Some(Some(&gateway)))];
        let mut world = World::start(&first, &[&mesh], &old_callers, &callers).await;
        let address = world.certgate.address();
        world.allowed("early").await;
        assert_eq!(world.handshakes("Completed").await, 1);
        let roots = [&mesh, &next];
        assert_eq!(shown(address, &roots, &gateway).await.as_deref(), Some(&**first.der()));

        // Envoy does not believe in the second certificate's authority: were it not for the old connection, it would not ask.
        world.mount.swap(&second, &second, &old_callers);
        world.reloaded("Applied", 1).await;
        world.allowed("early").await;
        assert_eq!(shown(address, &roots, &gateway).await.as_deref(), Some(&**second.der()));
        world.unanswered("late").await;
        assert!(world.handshakes("RefusedByClient").await > 0, "{}", world.certgate.metrics().await);

        // A key that does not fit.
        world.mount.swap(&first, &second, &old_callers);
        world.reloaded("Refused", 1).await;
        assert_eq!(world.metric("certgate_tls_files_stale{server=\"grpc\"}").await, 1);
        assert_eq!(shown(address, &roots, &gateway).await.as_deref(), Some(&**second.der()));
        world.allowed("early").await;
        assert!(world.certgate.log().contains("the private key does not belong to the certificate"));

        // The callers' authority is another one: who is connected stays, who comes is refused.
        world.mount.swap(&first, &first, &mesh);
        world.reloaded("Applied", 2).await;
        assert_eq!(world.metric("certgate_tls_files_stale{server=\"grpc\"}").await, 0);
        world.allowed("early").await;
        assert_eq!(shown(address, &roots, &gateway).await, None);
        world.unanswered("late").await;
        assert!(world.handshakes("CertificateRefused").await >= 2);

        world.mount.swap(&first, &first, &old_callers);
        world.reloaded("Applied", 3).await;
        until("the late caller is accepted again", PATIENCE, async || world.get("late").await.served().then_some(()))
            .await;
        let expiry = world.metric("certgate_tls_certificate_expiry_seconds{server=\"grpc\"}").await;
        assert!((80_000..=86_400).contains(&expiry), "{expiry}");
        assert_eq!(world.envoy.counter("cluster.as-early.upstream_cx_total").await, 1, "one connection all the time");
    });
}
