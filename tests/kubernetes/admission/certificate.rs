//! The webhook's certificate: made and renewed by certgate, mounted, and installed by the chart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate::domain::api::Kind;
use hyper::Method;
use serde_json::json;

use crate::certgate::Follower;
use crate::chart::{CHART, helm, must};
use crate::cluster::Cluster;
use crate::direct::{self, Direct};
use crate::{with_cluster, with_own_cluster};
use certgate_harness::pki::{Authority, Leaf};
use certgate_harness::ports::PortLease;
use certgate_harness::wait::{PATIENCE, until};

use super::{Webhook, configuration, named, until_reviewed, words};

#[test]
fn the_certificate_is_renewed_while_reviews_go_on() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let namespace = cluster.new_namespace();
        // What a Role and a ClusterRole of the chart give, and nothing else.
        let rules = "[{apiGroups: [certgate.dev], resources: [trustprofiles, certificatepolicies, certificatemappings], verbs: [get, list, watch]},\
             {apiGroups: [certgate.dev], resources: [trustprofiles/status, certificatepolicies/status, certificatemappings/status], verbs: [patch]},\
             {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, update]},\
             {apiGroups: [\"\"], resources: [secrets], resourceNames: [certgate-admission], verbs: [get, list, watch, patch]}]";
        cluster.kubectl(&["create", "secret", "generic", "certgate-admission", "-n", &namespace]);
        let kubeconfig = cluster.service_account(&namespace, "certgate", rules);
        let configuration = format!("certgate-{namespace}");
        cluster.apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {configuration}}}\nrules:\n\
             - {{apiGroups: [admissionregistration.k8s.io], resources: [validatingwebhookconfigurations], resourceNames: [{configuration}], verbs: [get, patch]}}\n\
             ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {configuration}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {configuration}}}\n\
             subjects: [{{kind: ServiceAccount, name: certgate, namespace: {namespace}}}]\n"
        ));
        let webhook = Webhook::start_with(&cluster, &namespace, &kubeconfig, &["--admission-lifetime=30s"]).await;
        // Not by kubectl: hundreds of its processes would take the other tests' processors.
        let direct = Direct::connect(&cluster).await;
        let certificate = async || {
            let secret = direct.get(&format!("/api/v1/namespaces/{namespace}/secrets/certgate-admission")).await;
            secret["data"]["tls.crt"].as_str().unwrap().to_owned()
        };
        let all = direct::collection("certificatemappings", &namespace);
        let good = json!({
            "apiVersion": "certgate.dev/v1alpha1", "kind": "CertificateMapping", "metadata": {"name": "m"},
            "spec": {"certificate": {"uri": "a:b"}, "identity": {"user": "u"}},
        });
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        let (began, mut seen, mut reviews) = (Instant::now(), vec![certificate().await], 0);
        // The second one outlives the first: reviews would fail if the webhook went on showing that.
        while seen.len() < 3 || began.elapsed() < Duration::from_secs(45) {
            assert!(began.elapsed() < 4 * PATIENCE, "no new certificate: {}", webhook.follower().log());
            beat.tick().await;
            let path = format!("{all}?dryRun=All");
            let (status, body) = direct.send(Method::POST, &path, "application/json", good.to_string()).await;
            assert_eq!(status, 201, "{}\n{}", String::from_utf8_lossy(&body), webhook.follower().log());
            reviews += 1;
            let now = certificate().await;
            if seen.last() != Some(&now) {
                seen.push(now);
            }
        }
        println!("{reviews} reviews under {} certificates in {:?}", seen.len(), began.elapsed());
        // What somebody takes away from the configuration comes back.
        let patch = "[{\"op\": \"remove\", \"path\": \"/webhooks/0/clientConfig/caBundle\"}]";
        cluster.kubectl(&["patch", "validatingwebhookconfiguration", &configuration, "--type=json", "-p", patch]);
        until("the caBundle is back", PATIENCE, async || {
            let found = cluster.get(&["validatingwebhookconfiguration", &configuration]);
            found["webhooks"][0]["clientConfig"]["caBundle"].is_string().then_some(())
        })
        .await;
        cluster.kubectl(&["delete", "validatingwebhookconfiguration", &configuration]);
    });
}

#[test]
fn a_mounted_certificate_is_served_and_followed() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, port) = (cluster.new_namespace(), PortLease::take());
        let (first, second) = (Authority::root("first"), Authority::root("second"));
        let mounted = tempfile::tempdir().unwrap();
        let write = |authority: &Authority| {
            let server = authority.issue(Leaf::server("localhost"));
            for (name, text) in [("tls.crt", server.pem()), ("tls.key", server.key_pem())] {
                std::fs::write(mounted.path().join(name), text).unwrap();
            }
        };
        let believe = |authority: &Authority| {
            let bundle = STANDARD.encode(authority.pem());
            let url = format!("https://localhost:{}/validate", port.address().port());
            let yaml = configuration(&format!("certgate-{namespace}"), port.address(), &namespace);
            let given = format!("clientConfig: {{url: '{url}', caBundle: {bundle}}}");
            let named = format!("clientConfig: {{url: 'https://{}/validate'}}", port.address());
            assert!(yaml.contains(&named));
            cluster.apply(&yaml.replace(&named, &given));
        };
        write(&first);
        believe(&first);
        let path = |name: &str| mounted.path().join(name).display().to_string();
        let args = [
            "serve".to_owned(),
            "--kubernetes".to_owned(),
            "--status=off".to_owned(),
            format!("--namespace={namespace}"),
            format!("--admission-listen={}", port.address()),
            format!("--admission-certificate={}", path("tls.crt")),
            format!("--admission-key={}", path("tls.key")),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let _follower = Follower::start_as(&cluster.admin_kubeconfig(), &args, &[]).await;
        until_reviewed(&cluster, &namespace).await;
        // The new one is believed by the new authority alone.
        write(&second);
        believe(&second);
        let good =
            named(Kind::CertificateMapping, &namespace, "m", "{certificate: {uri: \"a:b\"}, identity: {user: u}}");
        until("the new certificate is shown", PATIENCE, async || {
            cluster.try_apply(&["--dry-run=server"], &good).status.success().then_some(())
        })
        .await;
        until_reviewed(&cluster, &namespace).await;
        cluster.kubectl(&["delete", "validatingwebhookconfiguration", &format!("certgate-{namespace}")]);
    });
}

#[test]
fn the_chart_installs_a_webhook_that_works_with_its_permissions() {
    with_own_cluster(async |cluster: Cluster| {
        cluster.kubectl(&["create", "namespace", "system"]);
        must(helm(&cluster, &["install", "certgate", CHART, "-n", "system"]));
        cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
        // Before any pod is there, edits are refused, and it is said why.
        let good =
            named(Kind::CertificateMapping, "default", "m", "{certificate: {uri: \"a:b\"}, identity: {user: u}}");
        until("an edit is refused because nobody reviews it", PATIENCE, async || {
            let said = words(&cluster.try_apply(&["--dry-run=server"], &good));
            said.contains("failed calling webhook \"review.certgate.dev\"").then_some(())
        })
        .await;

        // The container's arguments, with a port that is free here, and the ServiceAccount's token.
        let deployment = cluster.get(&["deployment", "certgate", "-n", "system"]);
        let pod = &deployment["spec"]["template"]["spec"];
        let token = cluster.kubectl(&["create", "token", pod["serviceAccountName"].as_str().unwrap(), "-n", "system"]);
        let kubeconfig = cluster.write_kubeconfig("release", token.trim());
        let port = PortLease::take();
        let args: Vec<String> = pod["containers"][0]["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap().replace("[::]:9443", &port.address().to_string()))
            .chain(["--admission-host=127.0.0.1".to_owned()])
            .collect();
        assert!(args.contains(&"--admission-host=certgate-webhook.system.svc".to_owned()), "{args:?}");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let follower = Follower::start_as(&kubeconfig, &args, &[("POD_NAME", "certgate-0")]).await;
        // An upgrade leaves certificate and caBundle as they are.
        let held = || {
            let secret = cluster.get(&["secret", "certgate-webhook", "-n", "system"]);
            let configuration = cluster.get(&["validatingwebhookconfiguration", "system-certgate"]);
            assert_eq!(secret["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm");
            (secret["data"].clone(), configuration["webhooks"][0]["clientConfig"]["caBundle"].clone())
        };
        let before = until("certificate and caBundle are there", PATIENCE, async || {
            let (data, bundle) = held();
            (data["tls.crt"].is_string() && bundle.is_string()).then_some((data, bundle))
        })
        .await;
        must(helm(&cluster, &["upgrade", "certgate", CHART, "-n", "system", "--set", "webhook.timeoutSeconds=6"]));
        assert_eq!(held(), before);
        // Here the API server cannot reach a Service; all else of the configuration is the chart's.
        let patch = format!(
            "[{{\"op\": \"remove\", \"path\": \"/webhooks/0/clientConfig/service\"}}, \
             {{\"op\": \"add\", \"path\": \"/webhooks/0/clientConfig/url\", \"value\": \"https://{}/validate\"}}]",
            port.address()
        );
        cluster.kubectl(&["patch", "validatingwebhookconfiguration", "system-certgate", "--type=json", "-p", &patch]);
        until_reviewed(&cluster, "default").await;
        cluster.apply(&good);

        for (verb, resource, name, namespace, want) in [
            ("get", "secrets", "certgate-webhook", "system", "yes"),
            ("patch", "secrets", "certgate-webhook", "system", "yes"),
            ("get", "secrets", "other", "system", "no"),
            ("create", "secrets", "other", "system", "no"),
            ("patch", "validatingwebhookconfigurations", "system-certgate", "default", "yes"),
            ("patch", "validatingwebhookconfigurations", "other", "default", "no"),
        ] {
            let what = format!("{resource}/{name}");
            let output = cluster.try_kubectl(&[
                "auth",
                "can-i",
                verb,
                &what,
                "-n",
                namespace,
                "--as",
                "system:serviceaccount:system:certgate",
            ]);
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), want, "{verb} {what}");
        }
        drop(follower);
        cluster.kubectl(&["delete", "certmap", "m"]);
        must(helm(&cluster, &["uninstall", "certgate", "-n", "system"]));
        cluster.apply(&good);
    });
}
