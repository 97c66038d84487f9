//! An API server with its etcd, and kubectl.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use certgate_harness::ports::PortLease;
use certgate_harness::process::{Process, sweep};
use certgate_testing::skip::skip;

/// Where the parts lie; `None` after saying that they are missing.
pub fn parts() -> Option<&'static Path> {
    static PARTS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kube-parts");
        let output = Command::new(script).arg("--check").output().expect("scripts/kube-parts runs");
        if output.status.success() {
            return Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        }
        let why = String::from_utf8_lossy(&output.stderr);
        skip("tests against a real Kubernetes", &why);
        None
    };
    PARTS.get_or_init(find).as_deref()
}

/// A cluster without nodes and controllers.
pub struct Cluster {
    etcd: Process,
    api: Process,
    etcd_client: PortLease,
    etcd_peer: PortLease,
    secure: PortLease,
    parts: &'static Path,
    directory: TempDir,
    namespaces: AtomicU32,
}

impl Cluster {
    /// The token of the user that may do everything.
    pub const ADMIN_TOKEN: &'static str = "admin-token-of-the-test-cluster";

    /// The cluster that tests share, with the definitions installed.
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: OnceLock<Option<Arc<Cluster>>> = OnceLock::new();
        let start = || {
            let cluster = Cluster::start()?;
            cluster.install_definitions();
            Some(Arc::new(cluster))
        };
        SHARED.get_or_init(start).clone()
    }

    /// A new cluster with nothing in it.
    pub fn start() -> Option<Self> {
        let parts = parts()?;
        let directory = TempDir::with_prefix("certgate-kube-").unwrap();
        // etcd takes 128 MiB there, and nobody drops the cluster that tests share.
        sweep(directory.path());
        let (etcd_client, etcd_peer, secure) = (PortLease::take(), PortLease::take(), PortLease::take());
        make_keys(directory.path());
        fs::write(directory.path().join("tokens.csv"), format!("{},admin,1,system:masters\n", Self::ADMIN_TOKEN))
            .unwrap();
        let etcd = start_etcd(parts, directory.path(), &etcd_client, &etcd_peer);
        let api = start_api(parts, directory.path(), &etcd_client, &secure);
        let cluster =
            Self { etcd, api, etcd_client, etcd_peer, secure, parts, directory, namespaces: AtomicU32::new(0) };
        cluster.write_kubeconfig("admin", Self::ADMIN_TOKEN);
        cluster.wait_until_ready();
        Some(cluster)
    }

    /// Stops the API server as a crash would.
    pub fn stop_api(&mut self) {
        self.api.kill();
    }

    /// Starts the API server again, at the same port.
    pub fn start_api(&mut self) {
        self.api = start_api(self.parts, self.directory.path(), &self.etcd_client, &self.secure);
        self.wait_until_ready();
    }

    /// Kills etcd and starts it again.
    pub fn restart_etcd(&mut self) {
        self.etcd.kill();
        self.etcd = start_etcd(self.parts, self.directory.path(), &self.etcd_client, &self.etcd_peer);
        self.wait_until_ready();
    }

    /// Throws away all versions of objects but the present ones, as etcd's owner does every five minutes.
    pub fn compact(&self) {
        let etcd = self.etcd_client.address();
        let post = |path: &str, body: &str| {
            let url = format!("http://{etcd}{path}");
            let output = Command::new("curl").args(["-sS", "--fail", "-X", "POST", "-d", body, &url]).output().unwrap();
            assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
            serde_json::from_slice::<Value>(&output.stdout).unwrap()
        };
        let status = post("/v3/maintenance/status", "{}");
        let revision = status["header"]["revision"].as_str().unwrap().to_owned();
        post("/v3/kv/compaction", &format!("{{\"revision\": {revision}, \"physical\": true}}"));
    }

    fn wait_until_ready(&self) {
        let began = Instant::now();
        while !self.try_kubectl(&["get", "--raw", "/readyz"]).status.success() {
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "the API server does not become ready:\n{}",
                self.api.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Applies the definitions that the program prints, and waits until they are served.
    pub fn install_definitions(&self) {
        let crds = Command::new(certgate_harness::certgate::binary()).arg("crds").output().unwrap();
        assert!(crds.status.success());
        self.apply_with(&["--server-side"], std::str::from_utf8(&crds.stdout).unwrap());
        self.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
        // Established is told before the first replica serves the kind.
        let began = Instant::now();
        for kind in ["trustprofiles", "certificatepolicies", "certificatemappings"] {
            // Of many objects one is enough.
            let path = format!("/apis/certgate.dev/v1alpha1/{kind}?limit=1");
            while !self.try_kubectl(&["get", "--raw", &path]).status.success() {
                assert!(began.elapsed() < Duration::from_secs(60), "{kind} are not served");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Writes a kubeconfig for the bearer of `token`, and gives its path.
    pub fn write_kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        self.write_kubeconfig_for(name, &format!("https://{}", self.secure.address()), token)
    }

    /// The same, for a server that stands before the API server.
    pub fn write_kubeconfig_for(&self, name: &str, server: &str, token: &str) -> PathBuf {
        let token_file = self.directory.path().join(format!("{name}.token"));
        fs::write(&token_file, token).unwrap();
        let path = self.directory.path().join(format!("{name}.kubeconfig"));
        let certs = self.directory.path().join("certs/apiserver.crt");
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": server, "certificate-authority": certs,
            }}],
            "users": [{"name": name, "user": {"tokenFile": token_file}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        });
        fs::write(&path, text.to_string()).unwrap();
        path
    }

    /// Where the API server listens.
    pub fn address(&self) -> SocketAddr {
        self.secure.address()
    }

    /// Where etcd listens.
    pub fn etcd_address(&self) -> SocketAddr {
        self.etcd_client.address()
    }

    /// The process ids of etcd and of the API server.
    pub fn processes(&self) -> [u32; 2] {
        [self.etcd.id(), self.api.id()]
    }

    /// Where the cluster's files lie.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The kubeconfig of the user that may do everything.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.directory.path().join("admin.kubeconfig")
    }

    /// A namespace of its own for a test.
    pub fn new_namespace(&self) -> String {
        let name = format!("test-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["create", "namespace", &name]);
        name
    }

    /// A service account that may do what `rules` (of a Role, in YAML's flow form) say, and its kubeconfig.
    pub fn service_account(&self, namespace: &str, name: &str, rules: &str) -> PathBuf {
        self.kubectl(&["create", "serviceaccount", name, "-n", namespace]);
        self.grant(namespace, name, rules);
        let token = self.kubectl(&["create", "token", name, "-n", namespace]);
        self.write_kubeconfig(&format!("{namespace}-{name}"), token.trim())
    }

    /// Gives a service account a Role with `rules`, in place of the one before.
    pub fn grant(&self, namespace: &str, name: &str, rules: &str) {
        self.apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: {name}, namespace: {namespace}}}\nrules: {rules}\n\
             ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}\n\
             subjects: [{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}]\n"
        ));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.parts.join("kubectl"));
        command.arg("--cache-dir").arg(self.directory.path().join("kubectl-cache")).args(args);
        command.env("KUBECONFIG", self.admin_kubeconfig()).env_remove("HTTPS_PROXY").env_remove("https_proxy");
        command
    }

    /// Runs kubectl and gives what came of it.
    pub fn try_kubectl(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs kubectl, which must succeed, and gives its output.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = self.try_kubectl(args);
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// An object or list as JSON.
    pub fn get(&self, args: &[&str]) -> Value {
        let text = self.kubectl(&[&["get", "-o", "json"], args].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// `kubectl apply` of a text.
    pub fn try_apply(&self, flags: &[&str], yaml: &str) -> Output {
        let mut child = self
            .command(&[&["apply", "-f", "-"], flags].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn apply_with(&self, flags: &[&str], yaml: &str) {
        let output = self.try_apply(flags, yaml);
        assert!(output.status.success(), "kubectl apply: {}\n{yaml}", String::from_utf8_lossy(&output.stderr));
    }

    /// `kubectl apply` of a text, which must succeed.
    pub fn apply(&self, yaml: &str) {
        self.apply_with(&[], yaml);
    }
}

/// The key that signs service account tokens.
fn make_keys(directory: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(directory.join("sa.key"), key.serialize_pem()).unwrap();
    fs::write(directory.join("sa.pub"), key.public_key_pem()).unwrap();
}

fn start_etcd(parts: &Path, directory: &Path, client: &PortLease, peer: &PortLease) -> Process {
    let (client, peer) = (format!("http://{}", client.address()), format!("http://{}", peer.address()));
    let mut command = Command::new(parts.join("etcd"));
    command.arg("--unsafe-no-fsync").arg("--data-dir").arg(directory.join("etcd"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--log-level", "warn"]);
    Process::spawn("etcd", command, directory)
}

fn start_api(parts: &Path, directory: &Path, etcd: &PortLease, secure: &PortLease) -> Process {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut command = Command::new(parts.join("kube-apiserver"));
    command.args([
        format!("--etcd-servers=http://{}", etcd.address()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", secure.address().port()),
        format!("--cert-dir={}", file("certs")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        "--feature-gates=ClusterTrustBundle=true".to_owned(),
        "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true".to_owned(),
    ]);
    Process::spawn("kube-apiserver", command, directory)
}
