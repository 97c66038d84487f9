//! What the examples share: a cluster with certgate from its chart, the partners' CA, the API behind the gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::certgate::Follower;
use crate::cluster::Cluster;
use certgate_harness::client::admin_get;
use certgate_harness::envoy::Envoy;
use certgate_harness::pki::{Identity, Leaf, Pki};
use certgate_harness::policies::indent;
use certgate_harness::upstream::Upstream;
use certgate_testing::skip::skip;

/// The host of the examples. The certificates of the harness have another.
const EXAMPLE_HOST: &str = "api.example.com";

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Prints what a script of ours prints, or says loudly that the part is missing.
fn part(script: &str, args: &[&str]) -> Option<PathBuf> {
    let output = Command::new(Path::new(ROOT).join("scripts").join(script)).args(args).arg("--check").output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    skip("tests with real control planes", &String::from_utf8_lossy(&output.stderr));
    None
}

/// The stage on which an example is played.
pub struct Stage {
    pub cluster: Cluster,
    pub pki: Pki,
    pub upstream: Upstream,
    pub certgate: Follower,
    /// The folder with the control plane.
    pub part: PathBuf,
    /// For the files of the processes. Dropped last.
    pub directory: TempDir,
}

impl Stage {
    /// Sets everything up for a control plane; `None` after saying what is missing.
    pub async fn set(control_plane: &str) -> Option<Self> {
        let folder = part("mesh-parts", &[control_plane])?;
        let definitions = part("chart-parts", &["crds"])?;
        certgate_harness::envoy::binary()?;
        let cluster = Cluster::start()?;
        cluster.kubectl(&["apply", "--server-side", "-f", definitions.to_str().unwrap()]);
        cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
        for namespace in ["payments", "certgate-system"] {
            cluster.kubectl(&["create", "namespace", namespace]);
        }
        let directory = TempDir::with_prefix("certgate-mesh-").unwrap();
        let pki = Pki::new();
        must(helm(
            &cluster,
            &["install", "certgate", &format!("{ROOT}/charts/certgate"), "--namespace", "certgate-system"],
            // No pod answers the API server's reviews here.
            &[
                "--set",
                "image.repository=registry.example/certgate",
                "--set",
                "webhook.enabled=false",
                "--set",
                "trustSources.configMaps.payments={partner-roots,partner-issuers}",
            ],
        ));
        cluster.install_definitions();
        // As the README says, from files.
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        for (name, pem) in [("partner-roots", pki.root.pem()), ("partner-issuers", pki.issuing.pem())] {
            let from = format!("--from-file=ca.crt={}", file(&format!("{name}.pem"), &pem));
            cluster.kubectl(&["create", "configmap", name, "--namespace", "payments", &from]);
        }
        let token = cluster.kubectl(&["create", "token", "certgate", "--namespace", "certgate-system"]);
        let kubeconfig = cluster.write_kubeconfig("certgate", token.trim());
        let certgate =
            Follower::start_as(&kubeconfig, &["serve", "--kubernetes"], &[("POD_NAMESPACE", "certgate-system")]).await;
        let upstream = Upstream::start().await;
        Some(Self { cluster, pki, upstream, certgate, part: folder, directory })
    }

    /// A file of an example, its host replaced by the one in the certificates of the harness.
    pub fn example(&self, name: &str) -> String {
        let text = fs::read_to_string(Path::new(ROOT).join("deploy").join(name)).unwrap();
        text.replace(EXAMPLE_HOST, Pki::SERVER_NAME)
    }

    /// Applies a text, and sees that neither the server nor admission warns.
    pub fn apply(&self, text: &str) {
        let output = self.cluster.try_apply(&["--validate=strict"], text);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("Warning"), "{said}\n{text}");
    }

    /// Writes a file for a process.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A partner's client of this organization.
    pub fn client(&self, organization: &str) -> Identity {
        self.pki.issuing.issue(Leaf::client("robot").organization(organization))
    }

    /// The Secret with the gateway's certificate, of type `kubernetes.io/tls` or with a CA file for clients as well.
    pub fn gateway_secret(&self, namespace: &str, clients: Option<&str>) -> String {
        let kind = if clients.is_some() { "Opaque" } else { "kubernetes.io/tls" };
        let mut files = vec![("tls.crt", self.pki.server.chain_pem()), ("tls.key", self.pki.server.key_pem())];
        files.extend(clients.map(|pem| ("ca.crt", pem.to_owned())));
        let data: String = files.iter().map(|(name, pem)| format!("  {name}: |\n{}\n", indent(pem, 4))).collect();
        format!(
            "apiVersion: v1\nkind: Secret\ntype: {kind}\nmetadata: {{name: api-tls, namespace: {namespace}}}\nstringData:\n{data}"
        )
    }
}

/// Runs Helm, with nothing kept outside the cluster's folder.
pub fn helm(cluster: &Cluster, args: &[&str], values: &[&str]) -> Output {
    let mut command = Command::new(crate::cluster::parts().unwrap().join("helm"));
    command.args(args).args(values).env("KUBECONFIG", cluster.admin_kubeconfig());
    for (variable, name) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")] {
        command.env(variable, cluster.directory().join(format!("helm-{name}")));
    }
    command.output().unwrap()
}

/// What a command that must succeed has printed.
pub fn must(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a test to its end, which must come in time.
pub fn run(test: impl Future<Output = ()>) {
    const DEADLINE: std::time::Duration = std::time::Duration::from_secs(400);
    // kubectl blocks the test's own thread; clients and the upstream go on.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("the test ends in time") });
}

/// Writes what the control plane has told Envoy to the file that CERTGATE_DUMP names, for who wants to read it.
pub async fn dump(envoy: &Envoy) {
    if let Ok(path) = std::env::var("CERTGATE_DUMP") {
        let (_, text) = admin_get(envoy.admin(), "/config_dump?include_eds").await.unwrap();
        fs::write(path, text).unwrap();
    }
}
