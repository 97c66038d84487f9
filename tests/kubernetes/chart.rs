//! The chart: Helm renders and installs it, the server takes every object, and certgate runs as its Deployment says.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::certgate::{Answer, Follower};
use crate::cluster::{Cluster, parts};
use crate::edits::{allow, policy, profile, roots};
use crate::with_own_cluster;
use certgate_harness::pki::Pki;
use certgate_harness::wait::{PATIENCE, until};

pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/certgate");

/// The image that the chart must be told of.
const IMAGE: [&str; 2] = ["--set", "image.repository=registry.example/certgate"];

/// Runs Helm; whatever renders the chart gets an image.
pub fn helm(cluster: &Cluster, args: &[&str]) -> Output {
    let renders = matches!(args.first(), Some(&"install" | &"upgrade" | &"template" | &"lint"));
    bare_helm(cluster, &[args, if renders { &IMAGE } else { &[] }].concat())
}

/// Runs Helm with these arguments alone.
pub fn bare_helm(cluster: &Cluster, args: &[&str]) -> Output {
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
    ("hardened", &["--values", concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/values-hardened.yaml")]),
    (
        "scoped",
        &[
            "--set",
            "scope.namespaces={a,b}",
            "--set",
            "trustSources.secrets.a={s}",
            "--set",
            "trustSources.configMaps.a={c}",
        ],
    ),
    (
        "some policies",
        &["--set", "scope.policyLabels.gateway=edge", "--set", "scope.policyLabels.example\\.com/tier=one"],
    ),
    (
        "names, labels, users and addresses",
        &[
            "--set",
            "nameOverride=gatekeeper",
            "--set",
            "commonLabels.team=edge",
            "--set",
            "podSecurityContext.runAsUser=null",
            "--set",
            "podSecurityContext.fsGroup=2000",
            "--set",
            "podSecurityContext.fsGroupChangePolicy=OnRootMismatch",
            "--set",
            "service.ipFamilyPolicy=SingleStack",
            "--set",
            "service.ipFamilies={IPv4}",
            "--set",
            "service.trafficDistribution=PreferSameZone",
            "--set",
            "listenAddress=0.0.0.0",
            "--set",
            "extraArgs={--denial-log-rate=100}",
        ],
    ),
    (
        "other sources",
        &[
            "--set",
            "trustSources.configMapAccess=All",
            "--set",
            "trustSources.secrets.a={s}",
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
            "autoscaling.behavior.scaleDown.stabilizationWindowSeconds=60",
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
            "--set",
            "dashboard.enabled=true",
            "--set",
            "dashboard.annotations.grafana_folder=certgate",
        ],
    ),
];

/// Values with which the chart makes objects of the Prometheus Operator.
const MONITORING: &[&str] = &[
    "--set",
    "serviceMonitor.enabled=true",
    "--set",
    "serviceMonitor.labels.release=prometheus",
    "--set",
    "prometheusRule.enabled=true",
    "--set",
    "prometheusRule.runbookUrl=https://wiki.example/certgate",
    "--set",
    "serviceMonitor.relabelings[0].action=labeldrop",
    "--set",
    "serviceMonitor.relabelings[0].regex=pod",
    "--set",
    "serviceMonitor.metricRelabelings[0].action=keep",
];

/// The objects of a rendered chart, read by the server.
fn rendered(cluster: &Cluster, values: &[&str]) -> Vec<Value> {
    let rendered = must(helm(cluster, &[&["template", "certgate", CHART, "-n", "system"], values].concat()));
    let output = cluster.try_apply(&["--server-side", "--dry-run=server", "-o", "json"], &rendered);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind} was rendered"))
}

#[test]
fn pods_fit_the_restricted_level_and_services_leave_the_test_s_pod_alone() {
    with_own_cluster(async |cluster: Cluster| {
        cluster.kubectl(&["create", "namespace", "system"]);
        cluster.kubectl(&["label", "namespace", "system", "pod-security.kubernetes.io/enforce=restricted"]);
        let objects = rendered(&cluster, &["--set", "networkPolicy.enabled=true"]);
        let template = &of_kind(&objects, "Deployment")["spec"]["template"];
        let test = of_kind(&objects, "Pod");
        for (name, of) in [("certgate", template), ("certgate-test", test)] {
            let mut pod = serde_json::json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "system", "labels": of["metadata"]["labels"]},
                "spec": of["spec"],
            });
            let apply = |pod: &Value| {
                cluster.try_apply(&["--server-side", "--dry-run=server", "--validate=strict"], &pod.to_string())
            };
            let output = apply(&pod);
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            // The server would tell.
            pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
            let output = apply(&pod);
            assert!(String::from_utf8_lossy(&output.stderr).contains("violates PodSecurity"), "{output:?}");
            // What the level does not ask for.
            let container = &of["spec"]["containers"][0];
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
            assert!(container["resources"]["requests"].is_object(), "{name} reserves nothing");
        }
        let container = &template["spec"]["containers"][0];
        for (probe, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            assert_eq!(container[probe]["httpGet"]["path"], path);
        }
        // The pod of the test is none of those that the Services and the Deployment select, and the NetworkPolicy lets it in.
        let labels = test["metadata"]["labels"].as_object().unwrap();
        let selects =
            |selector: &Value| selector.as_object().unwrap().iter().all(|(key, value)| labels.get(key) == Some(value));
        for service in objects.iter().filter(|object| object["kind"] == "Service") {
            assert!(!selects(&service["spec"]["selector"]), "{}", service["metadata"]["name"]);
        }
        let policy = &of_kind(&objects, "NetworkPolicy")["spec"];
        assert!(!selects(&policy["podSelector"]["matchLabels"]));
        let rules = policy["ingress"].as_array().unwrap();
        let peers = rules.iter().filter_map(|rule| rule["from"].as_array()).flatten();
        assert!(peers.map(|peer| &peer["podSelector"]["matchLabels"]).any(selects));
    });
}

#[test]
fn objects_of_the_prometheus_operator_are_ones_that_the_server_takes() {
    with_own_cluster(async |cluster: Cluster| {
        cluster.kubectl(&["create", "namespace", "system"]);
        let Some(()) = crate::deploy::install_foreign_definitions(&cluster) else { return };
        let objects = rendered(&cluster, MONITORING);
        let monitor = of_kind(&objects, "ServiceMonitor");
        assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
        let endpoint = &monitor["spec"]["endpoints"][0];
        assert_eq!(endpoint["relabelings"], serde_json::json!([{"action": "labeldrop", "regex": "pod"}]));
        assert_eq!(endpoint["metricRelabelings"][0]["action"], "keep");
        let rules = of_kind(&objects, "PrometheusRule")["spec"]["groups"][0]["rules"].as_array().unwrap();
        for rule in rules {
            let section = rule["alert"].as_str().unwrap().to_ascii_lowercase();
            assert_eq!(rule["annotations"]["runbook_url"], format!("https://wiki.example/certgate#{section}"));
        }
        let count = |objects: &[Value]| {
            of_kind(objects, "PrometheusRule")["spec"]["groups"][0]["rules"].as_array().unwrap().len()
        };
        let off = rendered(&cluster, &[MONITORING, &["--set", "status.writing=off"]].concat());
        assert_eq!(count(&objects), count(&off) + 1, "nobody misses a writer that is turned off");
    });
}

/// Copies a folder.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn an_upgrade_brings_the_definitions_along_and_a_removal_keeps_them() {
    with_own_cluster(async |cluster: Cluster| {
        cluster.kubectl(&["create", "namespace", "system"]);
        // A former version: definitions without the short names.
        let former = cluster.directory().join("former");
        copy(std::path::Path::new(CHART), &former);
        for entry in std::fs::read_dir(former.join("files/crds")).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let start = text.find("    shortNames:").expect("a definition has short names");
            let rest = &text[start..];
            let after = rest
                .match_indices('\n')
                .map(|(at, _)| at + 1)
                .find(|at| !rest[*at..].starts_with("    - ") && !rest[*at..].starts_with("     "));
            std::fs::write(&path, format!("{}{}", &text[..start], &rest[after.unwrap()..])).unwrap();
        }
        let names = || cluster.get(&["crd", "trustprofiles.certgate.dev"])["spec"]["names"]["shortNames"].clone();
        must(helm(&cluster, &["install", "certgate", former.to_str().unwrap(), "-n", "system"]));
        assert!(names().is_null(), "{}", names());
        must(helm(&cluster, &["upgrade", "certgate", CHART, "-n", "system"]));
        assert!(names().as_array().is_some_and(|names| names.contains(&"trust".into())), "{}", names());
        must(helm(&cluster, &["rollback", "certgate", "1", "-n", "system"]));
        assert!(names().is_null(), "a rollback brings the former definitions back: {}", names());
        must(helm(&cluster, &["uninstall", "certgate", "-n", "system"]));
        assert!(cluster.get(&["crd"])["items"].as_array().unwrap().len() >= 3, "the definitions stay");
        must(helm(&cluster, &["install", "certgate", CHART, "-n", "system", "--set", "crds.install=false"]));
    });
}

#[test]
fn every_rendered_object_is_one_that_the_server_takes() {
    with_own_cluster(async |cluster: Cluster| {
        must(helm(&cluster, &["lint", "--strict", CHART]));
        for namespace in ["system", "a", "b", "payments"] {
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
            "grpcTls.enabled=true",
            "grpcTls.allowedCallers={envoy.example}",
            "resources.limit.memory=1Gi",
            "dashboard.label.a=b",
            "image.digest=sha256:1",
            "test.wait=long",
            "networkPolicy.caller={}",
            "webhook.certificates=Secret",
            "webhook.failurePolicy=Maybe",
            "listenAddress=localhost",
            "service.ipFamilies={IPv5}",
            "scope.policyLabels.a=b c",
            "extraArgs={listen}",
            "prometheusRule.enabled=true",
            "prometheusRule.runbookUrl=docs/operations.md",
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
                "trustSources.configMaps.payments={roots}",
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

        // What `helm test` would run says that it is ready. Names of Services are not resolved here.
        let hooks = must(helm(&cluster, &["get", "hooks", "certgate", "-n", "system"]));
        for (name, address) in [("--server=", follower.admin()), ("--grpc=", follower.address())] {
            let line = hooks.lines().find_map(|line| line.trim().strip_prefix("- ")?.strip_prefix(name));
            let url = line.unwrap_or_else(|| panic!("no {name} in\n{hooks}"));
            let port = if name == "--server=" { 9091 } else { 9090 };
            assert_eq!(url, format!("http://certgate.system.svc:{port}"), "{address}");
        }
        let health = Command::new(certgate_harness::certgate::binary())
            .args(["health", "--wait=60s"])
            .arg(format!("--server=http://{}", follower.admin()))
            .arg(format!("--grpc=http://{}", follower.address()))
            .output()
            .unwrap();
        assert_eq!(must(health), "ready\n");

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
            ("list", "configmaps", "payments", "no"),
            ("watch", "configmaps/roots", "payments", "yes"),
            ("get", "configmaps/other", "payments", "no"),
            ("get", "configmaps/roots", "elsewhere", "no"),
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
