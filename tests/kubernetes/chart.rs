//! The chart: Helm renders and installs it, the server takes every object, and certgate runs as its Deployment says.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::certgate::{Answer, Follower};
use crate::cluster::{Cluster, parts};
use crate::edits::{allow, policy, profile, roots};
use crate::support::pki::Pki;
use crate::support::wait::{PATIENCE, until};
use crate::with_own_cluster;

pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/certgate");

pub fn helm(cluster: &Cluster, args: &[&str]) -> Output {
    let mut command = Command::new(parts().unwrap().join("helm"));
    command.args(args).env("KUBECONFIG", cluster.admin_kubeconfig());
    for (variable, name) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")] {
        command.env(variable, cluster.directory().join(format!("helm-{name}")));
    }
    command.output().unwrap()
}

pub fn must(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Values that turn everything on, with what each set is about.
const VARIANTS: &[(&str, &[&str])] = &[
    ("as it comes", &[]),
    ("scoped", &["--set", "scope.namespaces={a,b}", "--set", "trustSources.secrets.a={s}"]),
    (
        "listed sources",
        &[
            "--set",
            "trustSources.configMapAccess=Listed",
            "--set",
            "trustSources.configMaps.a={c}",
            "--set",
            "trustSources.clusterTrustBundles=None",
        ],
    ),
    (
        "a webhook with a certificate of its own",
        &[
            "--set",
            "webhook.certificates=Secret",
            "--set",
            "webhook.secretName=s",
            "--set-string",
            "webhook.caBundle=-----BEGIN CERTIFICATE-----",
            "--set",
            "status.writing=off",
        ],
    ),
    (
        "TLS with callers",
        &[
            "--set",
            "grpcTls.enabled=true",
            "--set",
            "grpcTls.secretName=certgate-tls",
            "--set",
            "grpcTls.clientCaSecret=mesh-ca",
            "--set",
            "grpcTls.clientCaKey=ca.crt",
            "--set",
            "grpcTls.allowedCallers={spiffe://cluster.local/ns/istio-system/sa/gateway,envoy.example}",
        ],
    ),
    (
        "everything",
        &[
            "--set",
            "autoscaling.enabled=true",
            "--set",
            "networkPolicy.enabled=true",
            "--set",
            "threads=2",
            "--set",
            "trustSources.secretsWhenUnlisted=All",
            "--set",
            "status.writing=off",
            "--set",
            "priorityClassName=system-cluster-critical",
        ],
    ),
];

#[test]
fn every_rendered_object_is_one_that_the_server_takes() {
    with_own_cluster(async |cluster: Cluster| {
        must(helm(&cluster, &["lint", "--strict", CHART]));
        for namespace in ["system", "a", "b"] {
            cluster.kubectl(&["create", "namespace", namespace]);
        }
        for (name, values) in VARIANTS {
            let rendered = must(helm(&cluster, &[&["template", "certgate", CHART, "-n", "system"], *values].concat()));
            let output = cluster.try_apply(&["--server-side", "--dry-run=server", "--validate=strict"], &rendered);
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(!String::from_utf8_lossy(&output.stderr).contains("Warning"), "{name}: {output:?}");
            let dry = [&["install", "certgate", CHART, "-n", "system", "--dry-run=server"], *values].concat();
            must(helm(&cluster, &dry));
        }
        for wrong in [
            "replicas=0",
            "relpicas=2",
            "drain.delay=soon",
            "status.writing=true",
            "scope.namespaces={A}",
            "webhook.certificates=Secret",
            "webhook.failurePolicy=Maybe",
            "grpcTls.enabled=true",
            "grpcTls.allowedCallers={envoy.example}",
        ] {
            let output = helm(&cluster, &["template", "certgate", CHART, "--set", wrong]);
            assert!(!output.status.success(), "{wrong} was taken");
        }
    });
}

#[test]
fn an_installed_release_works_with_its_own_permissions() {
    with_own_cluster(async |cluster: Cluster| {
        for namespace in ["system", "payments", "elsewhere"] {
            cluster.kubectl(&["create", "namespace", namespace]);
        }
        let install = |verb: &str| {
            // No Service leads to a webhook here; `admission` installs one.
            let scope = [
                "--set",
                "scope.namespaces={payments}",
                "--set",
                "trustSources.secrets.payments={roots}",
                "--set",
                "webhook.enabled=false",
            ];
            must(helm(&cluster, &[&[verb, "certgate", CHART, "-n", "system"][..], &scope].concat()));
        };
        install("install");
        cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);

        // The container's arguments and environment, with ports that are free here and the ServiceAccount's token.
        let deployment = cluster.get(&["deployment", "certgate", "-n", "system"]);
        let pod = &deployment["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let account = pod["serviceAccountName"].as_str().unwrap();
        let token = cluster.kubectl(&["create", "token", account, "-n", "system"]);
        let kubeconfig = cluster.write_kubeconfig("release", token.trim());
        let args: Vec<&str> = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let env: Vec<&str> =
            container["env"].as_array().unwrap().iter().filter_map(|env| env["name"].as_str()).collect();
        assert_eq!(env, ["POD_NAME"]);
        let follower = Follower::start_as(&kubeconfig, &args, &[("POD_NAME", "certgate-0")]).await;

        let pki = Pki::new();
        let client = pki.client("acme");
        let mut asker = follower.asker().await;
        let secret = profile("payments", "p", "[{secret: {name: roots}}]");
        cluster.kubectl(&[
            "create",
            "secret",
            "generic",
            "roots",
            "-n",
            "payments",
            &format!("--from-literal=ca.crt={}", pki.root.pem()),
        ]);
        cluster.apply(
            &[roots("payments", &pki), secret, policy("payments", "a", "a.example", "p", &allow("acme", "u"))].concat(),
        );
        asker.until(&Answer::allowed("u"), "a.example", &client, PATIENCE).await;

        // It writes status, and holds the Lease, with these permissions.
        until("the policy is ready", PATIENCE, async || ready(&cluster, "certpol", "payments", "a")).await;
        let lease = cluster.get(&["lease", "certgate", "-n", "system"]);
        assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("certgate-0_"), "{lease}");

        // What lies outside the scope is neither followed nor read.
        cluster.apply(&policy("elsewhere", "a", "b.example", "p", &allow("acme", "u")));
        for (verb, what, namespace, want) in [
            ("list", "certificatepolicies", "elsewhere", "no"),
            ("list", "secrets", "payments", "no"),
            ("get", "secrets/roots", "payments", "yes"),
            ("get", "secrets/other", "payments", "no"),
            ("update", "certificatepolicies", "payments", "no"),
            ("delete", "certificatepolicies", "payments", "no"),
            ("patch", "certificatepolicies/status", "payments", "yes"),
            ("create", "pods", "system", "no"),
        ] {
            let subject = format!("system:serviceaccount:system:{account}");
            let (resource, sub) = match what.split_once('/') {
                Some((resource, "status")) => (resource.to_owned(), "--subresource=status".to_owned()),
                _ => (what.to_owned(), "--quiet=false".to_owned()),
            };
            let output =
                cluster.try_kubectl(&["auth", "can-i", verb, &resource, "-n", namespace, "--as", &subject, &sub]);
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), want, "{verb} {what} in {namespace}");
        }

        // An upgrade keeps what there is; a removal keeps the definitions and the policies.
        install("upgrade");
        assert_eq!(asker.ask("a.example", "/", Some(&client)).await, Answer::allowed("u"));
        must(helm(&cluster, &["uninstall", "certgate", "-n", "system"]));
        assert_eq!(cluster.get(&["certpol", "a", "-n", "payments"])["metadata"]["name"], "a");
        install("install");
    });
}

/// Whether an object says that it is ready, at its present generation.
pub fn ready(cluster: &Cluster, kind: &str, namespace: &str, name: &str) -> Option<()> {
    let object = cluster.get(&[kind, name, "-n", namespace]);
    let condition = condition(&object, "Ready")?;
    (condition["status"] == "True" && condition["observedGeneration"] == object["metadata"]["generation"]).then_some(())
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// How soon a status must tell the truth.
pub const STATUS: Duration = Duration::from_secs(3);
