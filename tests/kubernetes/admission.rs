//! The admission webhook, asked by the real API server at every `kubectl apply`.
//!
//! No Service leads to it here, so it is registered by its URL. Each test has a namespace of its own, to which its webhook
//! configuration is limited.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate::domain::api::Kind;
use hyper::Method;
use serde_json::json;

use crate::certgate::{Answer, Follower};
use crate::chart::{CHART, helm, must};
use crate::cluster::Cluster;
use crate::direct::{self, Direct};
use crate::edits::{allow, policy, profile, roots};
use crate::{with_cluster, with_own_cluster};
use certgate_harness::pki::{Authority, Leaf, Pki};
use certgate_harness::policies::indent;
use certgate_harness::ports::PortLease;
use certgate_harness::wait::{PATIENCE, until};

/// A webhook over one namespace.
pub struct Webhook {
    follower: Option<Follower>,
    configuration: String,
    /// Kept, so that nobody else answers at its address.
    _port: PortLease,
}

/// The configuration of a webhook at `address` for `namespace`, as the chart makes it but for the address.
pub fn configuration(name: &str, address: SocketAddr, namespace: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {{name: {name}}}\n\
         webhooks:\n- name: review.certgate.dev\n  admissionReviewVersions: [v1]\n  sideEffects: None\n  failurePolicy: Fail\n\
         \x20 matchPolicy: Equivalent\n  timeoutSeconds: 5\n  clientConfig: {{url: 'https://{address}/validate'}}\n\
         \x20 namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}\n\
         \x20 rules:\n  - apiGroups: [certgate.dev]\n    apiVersions: [v1alpha1]\n    operations: [CREATE, UPDATE]\n\
         \x20   resources: [trustprofiles, certificatepolicies, certificatemappings]\n    scope: Namespaced\n\
         - name: deletion.certgate.dev\n  admissionReviewVersions: [v1]\n  sideEffects: None\n  failurePolicy: Ignore\n\
         \x20 matchPolicy: Equivalent\n  timeoutSeconds: 2\n  clientConfig: {{url: 'https://{address}/validate'}}\n\
         \x20 namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}\n\
         \x20 rules:\n  - apiGroups: [certgate.dev]\n    apiVersions: [v1alpha1]\n    operations: [DELETE]\n\
         \x20   resources: [trustprofiles]\n    scope: Namespaced\n"
    )
}

impl Webhook {
    /// Starts certgate with a certificate that it makes itself, valid for `lifetime`, and waits until edits are reviewed.
    pub async fn start(cluster: &Cluster, namespace: &str, lifetime: &str) -> Self {
        Self::start_with(
            cluster,
            namespace,
            &cluster.admin_kubeconfig(),
            &[&format!("--admission-lifetime={lifetime}")],
        )
        .await
    }

    /// Starts certgate with further arguments.
    pub async fn start_also(cluster: &Cluster, namespace: &str, more: &[&str]) -> Self {
        Self::start_with(cluster, namespace, &cluster.admin_kubeconfig(), more).await
    }

    async fn start_with(cluster: &Cluster, namespace: &str, kubeconfig: &Path, more: &[&str]) -> Self {
        let port = PortLease::take();
        let (address, configuration_name) = (port.address(), format!("certgate-{namespace}"));
        cluster.apply(&configuration(&configuration_name, address, namespace));
        let mut args = vec![
            "serve".to_owned(),
            "--kubernetes".to_owned(),
            format!("--namespace={namespace}"),
            format!("--lease={namespace}/certgate"),
            format!("--admission-listen={address}"),
            format!("--admission-secret={namespace}/certgate-admission"),
            format!("--admission-configuration={configuration_name}"),
            "--admission-host=127.0.0.1".to_owned(),
        ];
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let follower = Follower::start_as(kubeconfig, &args, &[]).await;
        until_reviewed(cluster, namespace).await;
        Self { follower: Some(follower), configuration: configuration_name, _port: port }
    }

    pub fn follower(&self) -> &Follower {
        self.follower.as_ref().unwrap()
    }
}

/// Awaits that the API server asks, and believes the certificate: something that only the webhook refuses is refused.
pub async fn until_reviewed(cluster: &Cluster, namespace: &str) {
    let wrong =
        named(Kind::CertificateMapping, namespace, "probe", "{certificate: {dns: \"*.a\"}, identity: {user: u}}");
    until("edits are reviewed", PATIENCE, async || {
        let said = words(&cluster.try_apply(&["--dry-run=server"], &wrong));
        said.contains("a mapping names one host").then_some(())
    })
    .await;
}

/// An object of a kind with a spec in YAML's flow form.
pub fn named(kind: Kind, namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: certgate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// What kubectl wrote to standard error.
pub fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A policy that schema and rules of the definition take, and that is wrong in two places.
const WRONG: &str = "{match: [{hosts: [a.example], paths: [{prefix: /a/../b}]}], trustRef: {name: p}, mapping: {rules: [\
     {name: r, action: Deny, where: [{field: DNS, value: 'a\\b'}]}]}}";

/// A certificate authority of years ago, in PEM.
fn expired() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "old");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn wrong_edits_are_refused_and_doubtful_ones_warned_of() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let webhook = Webhook::start(&cluster, &namespace, "2160h").await;
        let said = words(&cluster.try_apply(&[], &named(Kind::CertificatePolicy, &namespace, "wrong", WRONG)));
        println!("a refusal, as kubectl prints it:\n{said}");
        for part in ["spec.match[0].paths[0].prefix: ", "spec.mapping.rules[0].where[0].value: "] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!cluster.try_kubectl(&["get", "certpol", "wrong", "-n", &namespace]).status.success());

        // In one go, as people do it: a policy, its profile, what that refers to, in an order that does not help.
        let host = format!("{namespace}.example");
        let all = [
            policy(&namespace, "a", &host, "p", &allow("acme", "u")),
            profile(&namespace, "p", "[{configMap: {name: roots}}]"),
            roots(&namespace, &pki),
        ];
        let output = cluster.try_apply(&[], &all.concat());
        assert!(output.status.success(), "{}", words(&output));
        assert!(
            words(&output).contains(&format!("Warning: spec.trustRef: TrustProfile {namespace}/p does not exist")),
            "{}",
            words(&output)
        );
        let mut asker = webhook.follower().asker().await;
        asker.until(&Answer::allowed("u"), &host, &pki.client("acme"), PATIENCE).await;

        let audit = format!(
            "{{trustRef: {{name: p}}, match: [{{hosts: [audit.{host}]}}], mode: Audit, evidence: [{{xfcc: {{element: 1}}}}]}}"
        );
        let output = cluster.try_apply(&[], &named(Kind::CertificatePolicy, &namespace, "audit", &audit));
        let said = words(&output);
        println!("warnings, as kubectl prints them:\n{said}");
        assert!(output.status.success() && said.contains("Warning: spec.mode: with mode Audit"), "{said}");
        assert!(said.contains("Warning: spec.evidence[0].xfcc: without `by`"), "{said}");

        // An anchor whose time is over.
        let output =
            cluster.try_apply(&[], &profile(&namespace, "old", &format!("\n  - inline: |\n{}", indent(&expired(), 6))));
        let said = words(&output);
        assert!(
            output.status.success()
                && said.contains("Warning: spec.trustAnchors[0]: anchor CN=old: expired at 2021-01-01"),
            "{said}"
        );

        let refused = webhook
            .follower()
            .metric("certgate_admission_reviews_total{kind=\"CertificatePolicy\",result=\"refused\"}")
            .await;
        assert_eq!(refused, Some(1.0));

        // Deleting is not reviewed, and with nobody to review nothing else passes.
        let Webhook { follower, configuration, _port } = webhook;
        drop(follower);
        let said = words(&cluster.try_apply(&[], &all[0].replace("user: u}", "user: v}")));
        assert!(said.contains("failed calling webhook \"review.certgate.dev\""), "{said}");
        cluster.kubectl(&["delete", "certpol", "a", "-n", &namespace]);
        cluster.kubectl(&["delete", "validatingwebhookconfiguration", &configuration]);
    });
}

/// What only the rest of the cluster tells.
#[test]
fn what_an_edit_breaks_or_misses_is_warned_of() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        // Secrets are not to be read but the webhook's own.
        let rules = "[{apiGroups: [certgate.dev], resources: [trustprofiles, certificatepolicies, certificatemappings], verbs: [get, list, watch]},\
             {apiGroups: [certgate.dev], resources: [trustprofiles/status, certificatepolicies/status, certificatemappings/status], verbs: [patch]},\
             {apiGroups: [\"\"], resources: [configmaps], verbs: [get, list, watch]},\
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
        let webhook = Webhook::start_with(&cluster, &namespace, &kubeconfig, &[]).await;
        let said = |output: Output| {
            assert!(output.status.success(), "{}", words(&output));
            words(&output)
        };
        let spec = "{trustAnchors: [{configMap: {name: absent}}, {configMap: {name: roots}}, {configMap: {name: roots, key: other}}, \
            {secret: {name: hidden}}]}";
        cluster.apply(&roots(&namespace, &pki));
        let warned = said(cluster.try_apply(&[], &named(Kind::TrustProfile, &namespace, "wide", spec)));
        for part in [
            format!("spec.trustAnchors[0].configMap: ConfigMap {namespace}/absent does not exist"),
            format!("spec.trustAnchors[2].configMap: ConfigMap {namespace}/roots has no key \"other\""),
            format!("spec.trustAnchors[3].secret: Secret {namespace}/hidden may not be read by certgate"),
        ] {
            assert!(warned.contains(&part), "{part}: {warned}");
        }
        assert!(!warned.contains("trustAnchors[1]"), "{warned}");
        let good = profile(&namespace, "p", "[{configMap: {name: roots}}]");
        let warned = said(cluster.try_apply(&[], &good));
        assert!(!warned.contains("Warning"), "{warned}");

        let host = format!("{namespace}.example");
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));
        webhook.follower().asker().await.until(&Answer::allowed("u"), &host, &pki.client("acme"), PATIENCE).await;
        let warned = said(cluster.try_apply(&[], &policy(&namespace, "b", &host, "p", &allow("acme", "v"))));
        assert!(
            warned.contains(&format!("Conflicted: every request that it names is decided by {namespace}/a")),
            "{warned}"
        );

        let gone = said(cluster.try_kubectl(&["delete", "trust", "p", "-n", &namespace]));
        assert!(gone.contains(&format!("TrustProfile {namespace}/p is in use")) && gone.contains("/a"), "{gone}");
        let gone = said(cluster.try_kubectl(&["delete", "trust", "wide", "-n", &namespace]));
        assert!(!gone.contains("Warning"), "{gone}");
        // Nobody needs to answer for a deletion.
        cluster.apply(&good);
        let Webhook { follower, configuration, _port } = webhook;
        drop(follower);
        cluster.kubectl(&["delete", "trust", "p", "-n", &namespace]);
        cluster.kubectl(&["delete", "validatingwebhookconfiguration", &configuration]);
    });
}

#[test]
fn what_came_past_the_webhook_denies_and_can_be_mended_and_removed() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        // Before there is a webhook.
        let wrong = WRONG
            .replace("a.example", &format!("{namespace}.example"))
            .replace("mapping:", "response: {denial: {reveal: Reason}}, mapping:");
        let wrong = named(Kind::CertificatePolicy, &namespace, "wrong", &wrong);
        cluster.apply(&wrong);
        let doomed =
            named(Kind::CertificateMapping, &namespace, "doomed", "{certificate: {dns: \"*.a\"}, identity: {user: u}}")
                .replace("namespace:", "finalizers: [test.certgate.dev/held], namespace:");
        cluster.apply(&doomed);
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        let webhook = Webhook::start(&cluster, &namespace, "2160h").await;
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        let answer = webhook.follower().asker().await.ask(&host, "/", Some(&client)).await;
        assert!(matches!(&answer, Answer::Denied(..)), "{answer:?}");

        // Status and metadata of what is wrong are nobody's to block.
        let until_told = async |kind: &str, name: &str| {
            until("the status tells that it is invalid", PATIENCE, async || {
                let object = cluster.get(&[kind, name, "-n", &namespace]);
                object["status"]["conditions"].to_string().contains("Invalid").then_some(())
            })
            .await;
        };
        until_told("certpol", "wrong").await;
        cluster.kubectl(&["annotate", "certpol", "wrong", "-n", &namespace, "seen=yes"]);
        cluster.kubectl(&["label", "certpol", "wrong", "-n", &namespace, "team=pay"]);
        let patch = "{\"status\": {\"mappings\": 7}}";
        cluster.kubectl(&[
            "patch",
            "certpol",
            "wrong",
            "-n",
            &namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            patch,
        ]);
        // Its spec is reviewed again when it is changed.
        let said = words(&cluster.try_apply(&[], &wrong.replace("a\\b", "a\\c")));
        assert!(said.contains("spec.mapping.rules[0].where[0].value: "), "{said}");
        cluster.kubectl(&["delete", "certmap", "doomed", "-n", &namespace, "--wait=false"]);
        // So is that of an object which only waits for its finalizers: it decides until it is gone.
        let patch = "{\"spec\": {\"certificate\": {\"dns\": \"*.b\"}}}";
        let said =
            words(&cluster.try_kubectl(&["patch", "certmap", "doomed", "-n", &namespace, "--type=merge", "-p", patch]));
        assert!(said.contains("a mapping names one host"), "{said}");
        cluster.kubectl(&[
            "patch",
            "certmap",
            "doomed",
            "-n",
            &namespace,
            "--type=merge",
            "-p",
            "{\"metadata\": {\"finalizers\": []}}",
        ]);
        cluster.kubectl(&["wait", "--for=delete", "certmap/doomed", "-n", &namespace, "--timeout=20s"]);
        cluster.apply(&policy(&namespace, "wrong", &host, "p", &allow("acme", "u")));
        webhook.follower().asker().await.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
        cluster.kubectl(&["delete", "validatingwebhookconfiguration", &webhook.configuration]);
    });
}

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
