//! The quick start on Kubernetes, without a kubelet: the Envoy of deploy/kubernetes, its policy, and the requests.

use std::fs;
use std::path::Path;

use crate::with_envoy;
use certgate_harness::certgate::Certgate;
use certgate_harness::client::{Call, Client};
use certgate_harness::envoy::Envoy;
use certgate_harness::pki::{Leaf, Pki};
use certgate_harness::policies::{PolicyDirectory, indent};
use certgate_harness::ports::PortLease;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Envoy's configuration in the ConfigMap of the example.
fn configuration() -> String {
    let text = example("gateway.yaml");
    let (_, rest) = text.split_once("  envoy.yaml: |\n").expect("the ConfigMap has the file");
    let (block, _) = rest.split_once("\n---").expect("further objects follow");
    block.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect()
}

#[test]
fn the_quick_start_ends_with_a_request() {
    with_envoy(async {
        let pki = Pki::new();
        let roots = format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: partner-roots, namespace: payments}}\ndata:\n  ca.crt: |\n{}",
            indent(&pki.root.pem(), 4)
        );
        let policy = example("policy.yaml").replace("api.example.com", Pki::SERVER_NAME);
        let directory = PolicyDirectory::with(&format!("{policy}{roots}"));
        let certgate = Certgate::start(directory.path()).await;

        let files = tempfile::tempdir().expect("a temporary directory can be made");
        for folder in ["tls", "partners"] {
            fs::create_dir(files.path().join(folder)).expect("the directory is writable");
        }
        let write =
            |name: &str, text: &str| fs::write(files.path().join(name), text).expect("the directory is writable");
        write("tls/tls.crt", &pki.server.chain_pem());
        write("tls/tls.key", &pki.server.key_pem());
        write("partners/ca.crt", &pki.root.pem());
        let upstream = PortLease::take();
        let mut bootstrap = configuration();
        let port = |port: u16| format!("port_value: {port}");
        for (from, to) in [
            ("address: \"::\", port_value: 8443, ipv4_compat: true", "address: 127.0.0.1, port_value: 0".to_owned()),
            (&port(9901), port(0)),
            (&port(8080), port(upstream.address().port())),
            ("/etc/envoy", files.path().display().to_string()),
            ("address: certgate-headless.certgate-system.svc.cluster.local", "address: 127.0.0.1".to_owned()),
            (&port(9090), port(certgate.address().port())),
        ] {
            assert!(bootstrap.contains(from), "the example has no `{from}`");
            bootstrap = bootstrap.replace(from, &to);
        }
        let log = files.path().join("access.log");
        let envoy = Envoy::launch("gateway", &bootstrap, "yaml", files.path(), log).await;

        let contoso = pki.root.issue(Leaf::client("robot").organization("Contoso"));
        let fabrikam = pki.root.issue(Leaf::client("robot").organization("Fabrikam"));
        let stranger = Pki::new().root.issue(Leaf::client("robot").organization("Contoso"));
        let client = |identity| Client::tls(envoy.address("gateway"), pki.server_root.der(), identity);
        let call = || Call::get("/").host(Pki::SERVER_NAME).header("x-certgate-user", "root");
        let reply = client(Some(&contoso)).send(call()).await;
        assert_eq!((reply.status.as_u16(), reply.header("x-you-are")), (200, Some("contoso")), "{reply:?}");
        for (identity, status, reason) in [
            (Some(&fabrikam), 403, "NO_MAPPING"),
            (Some(&stranger), 403, "SIGNATURE_INVALID"),
            (None, 403, "CERT_REQUIRED"),
        ] {
            let reply = client(identity).send(call()).await;
            assert_eq!((reply.status.as_u16(), reply.header("x-certgate-reason")), (status, Some(reason)), "{reply:?}");
        }
    });
}
