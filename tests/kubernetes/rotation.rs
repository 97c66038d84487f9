//! The webhook's certificate while several replicas answer: all are believed by one `caBundle`, and a leader may go in the
//! midst of a rotation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use rcgen::SanType;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::admission::until_reviewed;
use crate::certgate::Follower;
use crate::cluster::Cluster;
use crate::direct::{Direct, collection};
use crate::replicas::leads;
use crate::with_cluster;
use certgate_harness::pki::{Authority, Leaf, sha256};
use certgate_harness::ports::PortLease;
use certgate_harness::process::Signal;
use certgate_harness::wait::{PATIENCE, until};

/// A replica whose webhook every edit of the namespace is shown to, beside those of the others.
struct Replica {
    name: &'static str,
    follower: Follower,
    port: PortLease,
}

impl Replica {
    async fn start(cluster: &Cluster, namespace: &str, name: &'static str) -> Self {
        let port = PortLease::take();
        let args = [
            format!("--namespace={namespace}"),
            format!("--lease={namespace}/certgate"),
            format!("--admission-listen={}", port.address()),
            format!("--admission-secret={namespace}/certgate-admission"),
            format!("--admission-configuration=certgate-{namespace}"),
            "--admission-host=127.0.0.1".to_owned(),
        ];
        let args: Vec<&str> = ["serve", "--kubernetes"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let follower = Follower::start_as(&cluster.admin_kubeconfig(), &args, &[("POD_NAME", name)]).await;
        Self { name, follower, port }
    }

    /// Its webhook; `bundle` is what the API server believes already.
    fn webhook(&self, namespace: &str, bundle: &Value) -> Value {
        let mut client = json!({"url": format!("https://{}/validate", self.port.address())});
        if bundle.is_string() {
            client["caBundle"] = bundle.clone();
        }
        json!({
            "name": format!("{}.certgate.dev", self.name), "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 5, "clientConfig": client,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": ["certgate.dev"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"],
                       "resources": ["certificatemappings"], "scope": "Namespaced"}],
        })
    }

    /// Awaits that it shows the certificate of this digest.
    async fn shows(&self, sha256: &str) {
        until(&format!("{} shows {sha256}", self.name), 2 * PATIENCE, async || {
            self.follower.log().contains(sha256).then_some(())
        })
        .await;
    }
}

/// Has edits shown to these replicas, and to no others.
async fn ask(direct: &Direct, namespace: &str, replicas: &[&Replica]) {
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let name = format!("certgate-{namespace}");
    let (status, body) = direct.send(Method::GET, &format!("{path}/{name}"), "application/json", String::new()).await;
    let present: Value = serde_json::from_slice(&body).unwrap();
    let bundle = present["webhooks"][0]["clientConfig"]["caBundle"].clone();
    let webhooks: Vec<_> = replicas.iter().map(|replica| replica.webhook(namespace, &bundle)).collect();
    let mut configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": webhooks,
    });
    let (status, body) = if status == 404 {
        direct.send(Method::POST, path, "application/json", configuration.to_string()).await
    } else {
        configuration["metadata"] = present["metadata"].clone();
        direct.send(Method::PUT, &format!("{path}/{name}"), "application/json", configuration.to_string()).await
    };
    assert!(status.is_success(), "{}", String::from_utf8_lossy(&body));
}

/// What the API server believes of each webhook.
async fn bundles(direct: &Direct, namespace: &str) -> Vec<String> {
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let configuration = direct.get(&format!("{path}/certgate-{namespace}")).await;
    let webhooks = configuration["webhooks"].as_array().unwrap().iter();
    let bundles =
        webhooks.map(|webhook| STANDARD.decode(webhook["clientConfig"]["caBundle"].as_str().unwrap()).unwrap());
    bundles.map(|pem| String::from_utf8(pem).unwrap()).collect()
}

async fn secret(direct: &Direct, namespace: &str) -> Value {
    direct.get(&format!("/api/v1/namespaces/{namespace}/secrets/certgate-admission")).await
}

/// The digest of the certificate under a key of the Secret, while there is one.
fn digest(secret: &Value, key: &str) -> Option<String> {
    let pem = STANDARD.decode(secret["data"][key].as_str()?).unwrap();
    Some(sha256(&CertificateDer::from_pem_slice(&pem).unwrap()))
}

#[test]
fn a_leader_that_goes_in_the_midst_of_a_rotation_leaves_no_review_unanswered() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let namespace = cluster.new_namespace();
        let direct = Direct::connect(&cluster).await;
        // A certificate of which less than a third is left: the next one is announced as soon as somebody leads.
        let authority = Authority::root("former");
        let address = |params: &mut rcgen::CertificateParams| {
            params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        };
        let former = authority.issue(Leaf::server("localhost").with(address));
        cluster.apply(
            &json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "certgate-admission", "namespace": namespace},
                "stringData": {"tls.crt": former.pem(), "tls.key": former.key_pem(), "ca.crt": authority.pem()},
            })
            .to_string(),
        );
        let mut first = Replica::start(&cluster, &namespace, "first").await;
        until("the first leads", PATIENCE, async || leads(&first.follower).await).await;
        let second = Replica::start(&cluster, &namespace, "second").await;
        for replica in [&first, &second] {
            replica.shows(&former.sha256()).await;
        }
        ask(&direct, &namespace, &[&first, &second]).await;
        until_reviewed(&cluster, &namespace).await;
        let good = json!({
            "apiVersion": "certgate.dev/v1alpha1", "kind": "CertificateMapping", "metadata": {"name": "m"},
            "spec": {"certificate": {"uri": "a:b"}, "identity": {"user": "u"}},
        });
        let path = format!("{}?dryRun=All", collection("certificatemappings", &namespace));
        until("both are believed", PATIENCE, async || {
            let (status, _) = direct.send(Method::POST, &path, "application/json", good.to_string()).await;
            (status == 201).then_some(())
        })
        .await;

        // From here on every edit is shown to all that are asked, and none may fail.
        let (stop, reviewed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count, asks) = (stop.clone(), reviewed.clone(), direct.clone());
        let reviews = tokio::spawn(async move {
            let mut beat = tokio::time::interval(std::time::Duration::from_millis(50));
            while !stopped.load(Ordering::Relaxed) {
                beat.tick().await;
                let (status, body) = asks.send(Method::POST, &path, "application/json", good.to_string()).await;
                assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let more_reviews = async |more: usize| {
            let goal = reviewed.load(Ordering::Relaxed) + more;
            until("edits are reviewed", PATIENCE, async || {
                (reviewed.load(Ordering::Relaxed) >= goal || reviews.is_finished()).then_some(())
            })
            .await;
        };
        let announced = until("the next certificate is announced", PATIENCE, async || {
            digest(&secret(&direct, &namespace).await, "next.crt")
        })
        .await;
        // It is believed before anybody shows it.
        until("its authority is believed", PATIENCE, async || {
            let next = STANDARD.decode(secret(&direct, &namespace).await["data"]["next-ca.crt"].as_str()?).unwrap();
            let next = String::from_utf8(next).unwrap();
            let found = bundles(&direct, &namespace).await;
            found.iter().all(|bundle| bundle.contains(next.trim())).then_some(())
        })
        .await;
        assert_eq!(digest(&secret(&direct, &namespace).await, "tls.crt"), Some(former.sha256()));
        more_reviews(20).await;

        // A pod that ends is taken out of the Service before it closes its port.
        assert!(leads(&first.follower).await.is_some(), "{}", first.follower.log());
        ask(&direct, &namespace, &[&second]).await;
        more_reviews(20).await;
        first.follower.process().signal(Signal::TERM);
        assert!(first.follower.process().wait(PATIENCE).await.success(), "{}", first.follower.log());
        until("the second leads", PATIENCE, async || leads(&second.follower).await).await;
        let third = Replica::start(&cluster, &namespace, "third").await;
        third.shows(&former.sha256()).await;
        ask(&direct, &namespace, &[&second, &third]).await;

        // The one that was announced takes over, no other; both show it.
        for replica in [&second, &third] {
            replica.shows(&announced).await;
        }
        let held = secret(&direct, &namespace).await;
        assert_eq!(digest(&held, "tls.crt").as_ref(), Some(&announced));
        assert_eq!(digest(&held, "next.crt"), None);
        more_reviews(40).await;
        assert!(leads(&third.follower).await.is_none());
        stop.store(true, Ordering::Relaxed);
        reviews.await.expect("every edit was reviewed");
        println!("{} edits reviewed by every replica", reviewed.load(Ordering::Relaxed));
        cluster.kubectl(&["delete", "validatingwebhookconfiguration", &format!("certgate-{namespace}")]);
    });
}
