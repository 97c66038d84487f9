//! What the demo plays on: certificates, processes and the files of `deploy/demo/`.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::ExtendedKeyUsagePurpose;
use tempfile::TempDir;

use certgate_harness::certgate::{self, Certgate};
use certgate_harness::client::{Client, Reply};
use certgate_harness::envoy::{AccessRecord, Envoy};
use certgate_harness::pki::{Authority, Identity, Leaf, Pki};
use certgate_harness::upstream::Upstream;

const TEMPLATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo");

/// The clients' certificates.
pub struct Clients {
    pub acme: Identity,
    pub acme_renewed: Identity,
    pub contoso: Identity,
    pub contoso_sales: Identity,
    pub contoso_old: Identity,
    pub contoso_evil: Identity,
    pub fabrikam: Identity,
    pub stranger: Identity,
    pub impostor: Identity,
    pub expired: Identity,
    pub server_only: Identity,
    pub lab: Identity,
}

/// Everything that runs, and where it lies.
pub struct Stage {
    pub clients: Clients,
    pub server_root: Authority,
    pub envoy: Envoy,
    pub certgate: Certgate,
    _upstream: Upstream,
    run: PathBuf,
    // Dropped last, and with it all files.
    _directory: TempDir,
}

impl Stage {
    /// Makes the certificates and starts everything.
    pub async fn set() -> Self {
        let directory = TempDir::with_prefix("certgate-demo-").expect("a temporary directory can be made");
        let run = directory.path().to_owned();
        let pki = run.join("pki");
        fs::create_dir(&pki).expect("the directory is writable");

        let root = Authority::root("Partners Root");
        let issuing = root.intermediate("Partners Issuing");
        let lab = root.intermediate("Partners Lab");
        let clients = Clients::new(&issuing, &lab);
        let server_root = Authority::root("Example Servers");
        let authorities = [
            ("partners-root", &root),
            ("partners-issuing", &issuing),
            ("partners-lab", &lab),
            ("server-root", &server_root),
        ];
        for (name, authority) in authorities {
            fs::write(pki.join(name).with_extension("pem"), authority.pem()).expect("the directory is writable");
        }
        server_root.issue(Leaf::server(Pki::SERVER_NAME)).write(&pki, "server");
        for (name, identity) in clients.all() {
            identity.write(&pki, name);
        }

        let words = [
            ("PARTNERS_ISSUING_SHA256", issuing.sha256()),
            ("SVC_ACME_SHA256", clients.acme.sha256()),
            ("RUN", run.display().to_string()),
        ];
        let policies = run.join("policies");
        fs::create_dir(&policies).expect("the directory is writable");
        for name in ["trust.yaml", "payments.yaml", "mappings.yaml"] {
            let text = fill_in(&Path::new(TEMPLATES).join("policies").join(name), &words);
            fs::write(policies.join(name), text).expect("the directory is writable");
        }

        let upstream = Upstream::start().await;
        let certgate = Certgate::start(&policies).await;
        let ports = [
            ("UPSTREAM_PORT", upstream.address().port().to_string()),
            ("CERTGATE_PORT", certgate.address().port().to_string()),
        ];
        let words: Vec<_> = words.into_iter().chain(ports).collect();
        let bootstrap = fill_in(&Path::new(TEMPLATES).join("envoy.yaml"), &words);
        let envoy = Envoy::launch("envoy", &bootstrap, "yaml", &run, run.join("access.log")).await;
        Self { clients, server_root, envoy, certgate, _upstream: upstream, run, _directory: directory }
    }

    /// A client of the API.
    pub fn client<'a>(&self, identity: impl Into<Option<&'a Identity>>) -> Client {
        Client::tls(self.envoy.address("api"), self.server_root.der(), identity.into())
    }

    /// What Envoy's access log says of a request.
    pub async fn access(&self, reply: &Reply) -> AccessRecord {
        self.envoy.access(&reply.id).await
    }

    /// A file of the policy directory.
    pub fn policy_file(&self, name: &str) -> PathBuf {
        self.run.join("policies").join(name)
    }

    /// Tells how to go on by hand.
    pub fn print_commands(&self) {
        let port = self.envoy.address("api").port();
        let run = self.run.display();
        let curl = format!(
            "curl -sS -i --resolve {name}:{port}:127.0.0.1 --cacert {run}/pki/server-root.pem",
            name = Pki::SERVER_NAME
        );
        let url = format!("https://{}:{port}", Pki::SERVER_NAME);
        println!("\nEverything is up. Try, in another terminal:\n");
        println!("# allowed as svc-acme; the body shows what reached the upstream");
        println!("{curl} --cert {run}/pki/acme.pem --key {run}/pki/acme.key {url}/v1/payments\n");
        println!("# allowed as contoso, by a rule");
        println!("{curl} --cert {run}/pki/contoso.pem --key {run}/pki/contoso.key {url}/v1/payments\n");
        println!("# refused: CERT_EXPIRED");
        println!("{curl} --cert {run}/pki/expired.pem --key {run}/pki/expired.key {url}/v1/payments\n");
        println!("# refused: CERT_REQUIRED");
        println!("{curl} {url}/v1/payments\n");
        println!("# the same decision, step by step");
        println!(
            "{} explain --policies {run}/policies --certificate {run}/pki/expired.pem --host {} --path /v1/payments\n",
            certgate::binary().display(),
            Pki::SERVER_NAME
        );
        println!("# edit a policy, and the next request is decided by it");
        println!("$EDITOR {run}/policies/payments.yaml\n");
        println!("Other certificates:  ls {run}/pki");
        println!("Envoy's access log:  tail -f {run}/access.log");
        println!("certgate's metrics:  curl http://{}/metrics", self.certgate.admin());
        println!("Envoy's admin port:  http://{}", self.envoy.admin());
        println!("\nCtrl-C stops everything and removes {run}.");
    }
}

impl Clients {
    fn new(issuing: &Authority, lab: &Authority) -> Self {
        let acme = || Leaf::client("acme-payments").organization("Acme");
        let contoso =
            |host: &str| Leaf::client("contoso-client").organization("Contoso").dns(&format!("{host}.contoso.test"));
        Self {
            acme: issuing.issue(acme()),
            acme_renewed: issuing.issue(acme()),
            contoso: issuing.issue(contoso("pay")),
            contoso_sales: issuing.issue(contoso("pay").unit("Sales")),
            contoso_old: issuing.issue(contoso("old")),
            contoso_evil: issuing
                .issue(Leaf::client("Contoso Evil").organization("Contoso Evil").dns("pay.contoso.test")),
            fabrikam: issuing
                .issue(Leaf::client("billing").organization("Fabrikam").uri("spiffe://fabrikam.test/billing")),
            stranger: Authority::root("Strangers Root").issue(contoso("pay")),
            impostor: Authority::root("Partners Root").issue(contoso("pay")),
            expired: issuing.issue(contoso("pay").expired()),
            server_only: issuing.issue(contoso("pay").usages([ExtendedKeyUsagePurpose::ServerAuth])),
            lab: lab.issue(contoso("pay")),
        }
    }

    fn all(&self) -> [(&'static str, &Identity); 12] {
        [
            ("acme", &self.acme),
            ("acme-renewed", &self.acme_renewed),
            ("contoso", &self.contoso),
            ("contoso-sales", &self.contoso_sales),
            ("contoso-old", &self.contoso_old),
            ("contoso-evil", &self.contoso_evil),
            ("fabrikam", &self.fabrikam),
            ("stranger", &self.stranger),
            ("impostor", &self.impostor),
            ("expired", &self.expired),
            ("server-only", &self.server_only),
            ("lab", &self.lab),
        ]
    }
}

/// Reads a template and fills in its words.
fn fill_in(template: &Path, words: &[(&str, String)]) -> String {
    let text = fs::read_to_string(template).unwrap_or_else(|error| panic!("{}: {error}", template.display()));
    words.iter().fold(text, |text, (word, value)| text.replace(&format!("@{word}@"), value))
}
