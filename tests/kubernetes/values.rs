//! Values of the chart that depend on one another, and a change of values that restarts nothing.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rcgen::ExtendedKeyUsagePurpose::ClientAuth;
use serde_json::Value;

use crate::certgate::Follower;
use crate::chart::{CHART, bare_helm, helm, must};
use crate::cluster::Cluster;
use crate::with_cluster;
use certgate_harness::client::{Call, Client};
use certgate_harness::pki::{Identity, Leaf, Pki};
use certgate_harness::wait::{PATIENCE, until};

const GATEWAY: &str = "spiffe://mesh.test/ns/istio-system/sa/gateway";
const OTHER: &str = "spiffe://mesh.test/ns/default/sa/other";

#[test]
fn a_grace_period_that_the_drain_does_not_fit_into_is_refused() {
    with_cluster(async |cluster: Arc<Cluster>| {
        for (grace, delay, deadline, fits) in [
            ("30", "5s", "10s", true),
            ("15", "5s", "10s", false),
            ("16", "5s", "10s", true),
            ("16", "5500ms", "10500ms", false),
            ("30", "0s", "1m", false),
            ("90", "1m5s", "24s", true),
            ("90", "1m5s", "25s", false),
        ] {
            let set = |name: &str, value: &str| ["--set".to_owned(), format!("{name}={value}")];
            let values = [
                set("terminationGracePeriodSeconds", grace),
                set("drain.delay", delay),
                set("drain.deadline", deadline),
            ]
            .concat();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let output = helm(&cluster, &[&["template", "certgate", CHART], &values[..]].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), fits, "{values:?}: {said}");
            let words = format!(
                "terminationGracePeriodSeconds ({grace}) must be longer than drain.delay ({delay}) and drain.deadline ({deadline}) together"
            );
            assert!(fits || said.contains(&words), "{said}");
        }
    });
}

/// The objects of a release with TLS whose gRPC port these may ask.
fn with_callers(cluster: &Cluster, namespace: &str, callers: &str) -> Vec<Value> {
    let callers = format!("grpcTls.allowedCallers={{{callers}}}");
    let values = [
        "crds.install=false",
        "grpcTls.enabled=true",
        "grpcTls.secretName=served",
        "grpcTls.clientCaKey=ca.crt",
        &callers,
    ];
    let values: Vec<&str> = values.into_iter().flat_map(|value| ["--set", value]).collect();
    let rendered = must(helm(cluster, &[&["template", "certgate", CHART, "-n", namespace], &values[..]].concat()));
    let list = must(cluster.try_apply(&["--dry-run=client", "-o", "json"], &rendered));
    let list: Value = serde_json::from_str(&list).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name).unwrap()
}

/// Mounts the volume of the certificate as the kubelet does: each name links into `..data`, which links to a version.
fn mount(at: &Path, objects: &[Value], secret: &Value, version: &str) {
    std::fs::create_dir(at.join(version)).unwrap();
    let pod = &find(objects, "Deployment", "certgate")["spec"]["template"]["spec"];
    let volume = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "grpc-tls").unwrap();
    for source in volume["projected"]["sources"].as_array().unwrap() {
        let (from, data) = match source.get("secret") {
            Some(from) => (from, secret),
            None => (&source["configMap"], {
                let name = source["configMap"]["name"].as_str().unwrap();
                &find(objects, "ConfigMap", name)["data"]
            }),
        };
        for item in from["items"].as_array().unwrap() {
            let (key, path) = (item["key"].as_str().unwrap(), item["path"].as_str().unwrap());
            std::fs::write(at.join(version).join(path), data[key].as_str().unwrap()).unwrap();
            if !at.join(path).is_symlink() {
                symlink(Path::new("..data").join(path), at.join(path)).unwrap();
            }
        }
    }
    symlink(version, at.join("..data_tmp")).unwrap();
    std::fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
}

#[test]
fn callers_change_without_a_restart() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let caller = |uri: &str| pki.root.issue(Leaf::nameless().uri(uri).usages([ClientAuth]));
        let (gateway, other) = (caller(GATEWAY), caller(OTHER));
        let secret = serde_json::json!({
            "tls.crt": pki.server.chain_pem(), "tls.key": pki.server.key_pem(), "ca.crt": pki.root.pem(),
        });
        let mounted = tempfile::tempdir().unwrap();
        let one = with_callers(&cluster, &namespace, GATEWAY);
        mount(mounted.path(), &one, &secret, "..one");

        let deployment = find(&one, "Deployment", "certgate");
        let args = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
        let tls = args.iter().filter_map(|arg| arg.as_str().unwrap().strip_prefix("--tls-"));
        let here = mounted.path().display().to_string();
        let tls = tls.map(|arg| format!("--tls-{}", arg.replace("/etc/certgate/tls", &here)));
        let scope = format!("--namespace={namespace}");
        let args: Vec<String> =
            ["serve", "--kubernetes", "--status=off", &scope].map(str::to_owned).into_iter().chain(tls).collect();
        assert!(args.iter().any(|arg| arg.starts_with("--tls-allowed-callers-file=")), "{args:?}");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let follower = Follower::start_as(&cluster.admin_kubeconfig(), &args, &[]).await;

        let accepted = async |identity: &Identity| {
            let client = Client::tls(follower.address(), pki.server_root.der(), Some(identity)).http2();
            client.try_send(Call::get("/")).await.is_ok()
        };
        assert!(accepted(&gateway).await, "{}", follower.log());
        assert!(!accepted(&other).await, "{}", follower.log());

        let both = with_callers(&cluster, &namespace, &format!("{GATEWAY},{OTHER}"));
        let template = |objects: &[Value]| find(objects, "Deployment", "certgate")["spec"]["template"].clone();
        assert_eq!(template(&one), template(&both), "nothing restarts");
        mount(mounted.path(), &both, &secret, "..two");
        until("the other caller may ask", PATIENCE, async || accepted(&other).await.then_some(())).await;
        assert!(accepted(&gateway).await);

        // And back: a name that was taken away asks no more.
        mount(mounted.path(), &with_callers(&cluster, &namespace, OTHER), &secret, "..three");
        until("the gateway may not ask", PATIENCE, async || (!accepted(&gateway).await).then_some(())).await;
        assert!(accepted(&other).await, "{}", follower.log());
    });
}

#[test]
fn an_image_must_be_named() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let output = bare_helm(&cluster, &["template", "certgate", CHART]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("image.repository is required: there is no public image"),
            "{said}"
        );
    });
}

/// The objects that these values make, read by kubectl.
fn rendered(cluster: &Cluster, values: &[&str]) -> Vec<Value> {
    let values: Vec<&str> =
        values.iter().flat_map(|value| ["--set", *value]).chain(["--set", "crds.install=false"]).collect();
    let rendered = must(helm(cluster, &[&["template", "certgate", CHART, "-n", "system"], &values[..]].concat()));
    let list: Value =
        serde_json::from_str(&must(cluster.try_apply(&["--dry-run=client", "-o", "json"], &rendered))).unwrap();
    list["items"].as_array().unwrap().clone()
}

#[test]
fn what_is_overridden_reaches_every_object() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let container = "/spec/template/spec/containers/0";
        let arg = |objects: &[Value], arg: &str| {
            let args = find(objects, "Deployment", "certgate").pointer(&format!("{container}/args")).unwrap().clone();
            args.as_array().unwrap().iter().any(|found| found == arg)
        };
        let stock = rendered(&cluster, &[]);
        for address in ["--listen=[::]:9090", "--admin-listen=[::]:9091", "--admission-listen=[::]:9443"] {
            assert!(arg(&stock, address), "{address}");
        }
        let pod = "/spec/template/spec/securityContext";
        // Values, the kind that shows them, where, and what.
        let rows: [(&[&str], &str, String, Value); 8] = [
            (
                &["podSecurityContext.runAsUser=1000680000"],
                "Deployment",
                format!("{pod}/runAsUser"),
                1_000_680_000.into(),
            ),
            (&["podSecurityContext.fsGroup=2000"], "Deployment", format!("{pod}/fsGroup"), 2000.into()),
            (&["podSecurityContext.runAsUser=null"], "Deployment", format!("{pod}/runAsNonRoot"), true.into()),
            (
                &["securityContext.readOnlyRootFilesystem=false"],
                "Deployment",
                format!("{container}/securityContext/readOnlyRootFilesystem"),
                false.into(),
            ),
            (
                &["service.ipFamilyPolicy=PreferDualStack"],
                "Service",
                "/spec/ipFamilyPolicy".into(),
                "PreferDualStack".into(),
            ),
            (&["service.ipFamilies={IPv6,IPv4}"], "Service", "/spec/ipFamilies/0".into(), "IPv6".into()),
            (
                &["service.trafficDistribution=PreferSameZone"],
                "Service",
                "/spec/trafficDistribution".into(),
                "PreferSameZone".into(),
            ),
            (
                &["autoscaling.enabled=true", "autoscaling.behavior.scaleDown.stabilizationWindowSeconds=60"],
                "HorizontalPodAutoscaler",
                "/spec/behavior/scaleDown/stabilizationWindowSeconds".into(),
                60.into(),
            ),
        ];
        for (values, kind, path, want) in rows {
            let objects = rendered(&cluster, values);
            assert_eq!(find(&objects, kind, "certgate").pointer(&path), Some(&want), "{values:?}");
        }
        let without_user = rendered(&cluster, &["podSecurityContext.runAsUser=null"]);
        assert_eq!(find(&without_user, "Deployment", "certgate").pointer(&format!("{pod}/runAsUser")), None);
        assert!(arg(&rendered(&cluster, &["extraArgs={--denial-log-rate=100}"]), "--denial-log-rate=100"));

        let labelled =
            rendered(&cluster, &["commonLabels.team=edge", "commonLabels.app\\.kubernetes\\.io/instance=mine"]);
        for object in &labelled {
            let labels = &object["metadata"]["labels"];
            assert_eq!(
                (&labels["team"], &labels["app.kubernetes.io/instance"]),
                (&"edge".into(), &"certgate".into()),
                "{object}"
            );
        }
        let template = &find(&labelled, "Deployment", "certgate")["spec"]["template"]["metadata"]["labels"];
        assert_eq!(template["team"], "edge");
        let service = find(&labelled, "Service", "certgate");
        assert!(service["spec"]["selector"]["team"].is_null(), "labels that may change select nothing: {service}");

        let renamed = rendered(&cluster, &["nameOverride=gatekeeper"]);
        let service = find(&renamed, "Service", "certgate-gatekeeper");
        let deployment = find(&renamed, "Deployment", "certgate-gatekeeper");
        assert_eq!(service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]);
        assert_eq!(service["spec"]["selector"]["app.kubernetes.io/name"], "gatekeeper");
    });
}

#[test]
fn a_release_reviews_the_policies_that_it_follows() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let reviewed = |values: &[&str]| {
            let objects = rendered(&cluster, values);
            let webhooks = find(&objects, "ValidatingWebhookConfiguration", "system-certgate")["webhooks"].clone();
            let of = |resource: &str| {
                // Deletions are another webhook's: they are warned of and never refused.
                let edits =
                    webhooks.as_array().unwrap().iter().filter(|one| one["rules"].to_string().contains("UPDATE"));
                let mut found = edits.filter(|one| one["rules"].to_string().contains(resource));
                let first = found.next().unwrap().clone();
                assert!(found.next().is_none(), "{resource} is reviewed once: {webhooks}");
                first["objectSelector"]["matchLabels"].clone()
            };
            (of("\"certificatepolicies\""), of("\"trustprofiles\""), of("\"certificatemappings\""))
        };
        assert_eq!(reviewed(&[]), (Value::Null, Value::Null, Value::Null));
        let labels = serde_json::json!({"gateway": "edge"});
        assert_eq!(reviewed(&["scope.policyLabels.gateway=edge"]), (labels, Value::Null, Value::Null));
        let objects = rendered(&cluster, &["scope.policyLabels.gateway=edge"]);
        let args =
            find(&objects, "Deployment", "certgate")["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        assert!(args.as_array().unwrap().contains(&"--policy-selector=gateway=edge".into()), "{args}");
    });
}
