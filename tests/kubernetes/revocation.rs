//! CRLs from ConfigMaps and Secrets of a real API server: replaced with kubectl, decided by, told in the status.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::certgate::{Answer, Follower};
use crate::chart::{STATUS, condition};
use crate::cluster::Cluster;
use crate::edits::{allow, policy, profile, roots};
use crate::with_cluster;
use certgate_harness::pki::{Leaf, Pki};
use certgate_harness::wait::{PATIENCE, until};

/// How soon a changed CRL must decide after kubectl has returned.
const SOON: Duration = Duration::from_secs(1);

const SERIAL: &[u8] = &[0x31];
const OTHER: &[u8] = &[0x32];

/// Puts a CRL in DER into a ConfigMap (its binaryData) or Secret, with kubectl.
fn put(cluster: &Cluster, namespace: &str, kind: &str, crl: &[u8]) {
    let file = cluster.directory().join(format!("{namespace}-{kind}.crl"));
    fs::write(&file, crl).unwrap();
    let from = format!("--from-file=ca.crl={}", file.display());
    let create: &[&str] = if kind == "secret" { &["create", "secret", "generic"] } else { &["create", "configmap"] };
    let made = cluster.kubectl(&[create, &["crl", "-n", namespace, &from, "--dry-run=client", "-o", "json"]].concat());
    if kind == "configmap" {
        let made: Value = serde_json::from_str(&made).unwrap();
        assert!(made["binaryData"]["ca.crl"].is_string() && made["data"].is_null(), "DER is no text: {made}");
    }
    cluster.apply(&made);
}

#[test]
fn crls_of_config_maps_and_secrets_are_followed_and_told() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let host = format!("{namespace}.example");
        let client = pki.issuing.issue(Leaf::client("acme").serial(SERIAL));
        let lease = format!("--lease={namespace}/certgate");
        let scope = format!("--namespace={namespace}");
        let args = ["serve", "--kubernetes", &scope, &lease];
        let follower = Follower::start_as(&cluster.admin_kubeconfig(), &args, &[("POD_NAME", "one")]).await;
        let mut asker = follower.asker().await;
        let denied = |reason: &str| Answer::Denied(403, reason.to_owned());
        let revocation = "  revocation: {mode: Offline, crls: [{configMap: {name: crl}}, {secret: {name: crl}}]}\n";
        let checked = profile(&namespace, "p", "[{configMap: {name: roots}}]") + revocation;
        // The issuing authority's CRL is in the ConfigMap, the root's in the Secret.
        put(&cluster, &namespace, "configmap", &pki.issuing.crl(1, &[]));
        put(&cluster, &namespace, "secret", &pki.root.crl(1, &[]));
        cluster.apply(&[roots(&namespace, &pki), checked].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;

        // Replaced, each decides.
        let mut times = Vec::new();
        for round in 1..=5 {
            put(&cluster, &namespace, "configmap", &pki.issuing.crl(2 * round, &[OTHER, SERIAL]));
            times.push(asker.until(&denied("CERT_REVOKED"), &host, &client, PATIENCE).await);
            put(&cluster, &namespace, "configmap", &pki.issuing.crl(2 * round + 1, &[OTHER]));
            times.push(asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await);
        }
        times.sort_unstable();
        println!("10 changed CRLs in a ConfigMap, after kubectl had returned: {times:?}");
        // The cluster is followed at low priority: on a machine that is busy with something else, one or the other waits.
        assert!(times[times.len() / 2] < SOON, "{times:?}");
        put(&cluster, &namespace, "secret", &pki.root.stale_crl(2));
        let took = asker.until(&denied("REVOCATION_STALE"), &host, &client, PATIENCE).await;
        println!("a changed CRL in a Secret, after kubectl had returned: {took:?}");
        put(&cluster, &namespace, "secret", &pki.root.crl(3, &[]));
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;

        // The status tells both, the one that is out of date first before the other.
        let object = until("the status tells the CRLs", 3 * STATUS, async || {
            let object = cluster.get(&["trust", "p", "-n", &namespace]);
            let numbers = |wanted: [&str; 2]| {
                let mut found: Vec<_> = object["status"]["crls"].as_array()?.iter().map(|crl| &crl["number"]).collect();
                found.sort_by_key(|number| number.as_str().map(str::to_owned));
                (found == wanted).then_some(())
            };
            numbers(["11", "3"]).map(|()| object.clone())
        })
        .await;
        let status = &object["status"];
        assert_eq!(status["crlCount"], 2, "{status}");
        let crls = status["crls"].as_array().unwrap();
        let of = |issuer: &str| crls.iter().find(|crl| crl["issuer"].as_str().unwrap().contains(issuer)).unwrap();
        assert_eq!((&of("Issuing")["entries"], &of("Root")["entries"]), (&Value::from(1), &Value::from(0)));
        for crl in crls {
            let (this, next) = (crl["thisUpdate"].as_str().unwrap(), crl["nextUpdate"].as_str().unwrap());
            assert!(this < next && this.ends_with('Z'), "{crl}");
        }
        assert_eq!(status["nextCrlUpdate"], crls[0]["nextUpdate"]);
        assert_eq!(condition(&object, "Ready").unwrap()["status"], "True");
        let label = format!(
            "certgate_crl_entries{{profile=\"{namespace}/p\",issuer=\"CN=Clients Issuing,O=Certgate Test\",kind=\"complete\"}}"
        );
        assert_eq!(follower.metric(&label).await, Some(1.0));

        // A bar that is lowered is told in the status, for as long as it is.
        let lowered = profile(&namespace, "p", "[{configMap: {name: roots}}]")
            + revocation
            + "  requirements: {weakCryptography: [AcceptSha1Signatures]}\n";
        cluster.apply(&lowered);
        until("the status warns", 3 * STATUS, async || {
            let object = cluster.get(&["trust", "p", "-n", &namespace]);
            let accepted = condition(&object, "Accepted")?;
            let warned = accepted["reason"] == "AcceptedWithWarnings"
                && accepted["message"].as_str()?.contains("spec.requirements.weakCryptography[0]: WEAK: ");
            warned.then_some(())
        })
        .await;
    });
}

/// Nobody edits anything: a list ends, and the status says so, by itself.
#[test]
fn the_end_of_a_crl_shows_in_the_status() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let lease = format!("--lease={namespace}/certgate");
        let scope = format!("--namespace={namespace}");
        let args = ["serve", "--kubernetes", &scope, &lease];
        let follower = Follower::start_as(&cluster.admin_kubeconfig(), &args, &[("POD_NAME", "one")]).await;
        let ends_in = |seconds| std::time::SystemTime::now() + Duration::from_secs(seconds);
        // Made an hour ago, so that its last quarter has begun.
        put(&cluster, &namespace, "configmap", &pki.issuing.crl_until(1, ends_in(900)));
        put(&cluster, &namespace, "secret", &pki.root.crl(1, &[]));
        let revocation =
            "  revocation: {mode: Offline, clockSkew: 0s, crls: [{configMap: {name: crl}}, {secret: {name: crl}}]}\n";
        let checked = profile(&namespace, "p", "[{configMap: {name: roots}}]") + revocation;
        cluster.apply(&[roots(&namespace, &pki), checked].concat());
        let until_fresh = async |status: &str, reason: &str| {
            until(&format!("RevocationFresh is {status} for {reason}"), PATIENCE, async || {
                let object = cluster.get(&["trust", "p", "-n", &namespace]);
                let fresh = condition(&object, "RevocationFresh")?.clone();
                (fresh["status"] == status && fresh["reason"] == reason).then_some((object, fresh))
            })
            .await
        };
        until_fresh("True", "EndsSoon").await;
        put(&cluster, &namespace, "configmap", &pki.issuing.crl_until(2, ends_in(4)));
        let (object, fresh) = until_fresh("False", "Expired").await;
        let message = fresh["message"].as_str().unwrap();
        assert!(message.contains("CRL of [CN=Clients Issuing,O=Certgate Test] number 2"), "{message}");
        assert!(message.contains("denied with REVOCATION_STALE"), "{message}");
        assert_eq!(object["status"]["nextCrlUpdate"], object["status"]["crls"][0]["endsAt"]);
        let table = cluster.kubectl(&["get", "trust", "p", "-n", &namespace]);
        let due = object["status"]["nextCrlUpdate"].as_str().unwrap();
        assert!(table.contains("CRLS FRESH") && table.contains("CRL DUE") && table.contains(due), "{table}");
        assert!(table.contains("False"), "{table}");
        put(&cluster, &namespace, "configmap", &pki.issuing.crl(3, &[]));
        until_fresh("True", "Current").await;
        drop(follower);
    });
}
