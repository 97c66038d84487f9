//! What `kubectl get` tells, and who writes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::certgate::Follower;
use crate::chart::{STATUS, condition, ready};
use crate::cluster::Cluster;
use crate::edits::{allow, policy, profile, roots};
use crate::waits::Waits;
use crate::with_cluster;
use certgate_harness::pki::Pki;
use certgate_harness::wait::{PATIENCE, until};

/// A follower of one namespace that writes status there.
async fn writer(cluster: &Cluster, namespace: &str, name: &str) -> Follower {
    let lease = format!("--lease={namespace}/certgate");
    let namespace = format!("--namespace={namespace}");
    let args = ["serve", "--kubernetes", &namespace, &lease];
    Follower::start_as(&cluster.admin_kubeconfig(), &args, &[("POD_NAME", name)]).await
}

/// Status and reason of a condition.
fn told<'a>(object: &'a Value, kind: &str) -> (&'a str, &'a str) {
    let found = condition(object, kind);
    let part = |name: &str| found.and_then(|condition| condition[name].as_str()).unwrap_or_default();
    (part("status"), part("reason"))
}

/// Awaits the status of objects of a namespace.
struct Teller<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    waits: Waits,
}

impl<'a> Teller<'a> {
    fn new(cluster: &'a Cluster, namespace: &'a str) -> Self {
        Self { cluster, namespace, waits: Waits::default() }
    }

    /// Awaits status and reason of a condition, at the object's present generation.
    async fn until(&mut self, kind: &str, name: &str, about: &str, want: (&str, &str)) -> Value {
        let began = Instant::now();
        let object = until(&format!("{kind} {name} has {about} {want:?}"), PATIENCE, async || {
            let object = self.cluster.get(&[kind, name, "-n", self.namespace]);
            let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            (current && told(&object, about) == want).then_some(object)
        })
        .await;
        self.waits.add(began.elapsed());
        object
    }
}

#[test]
fn conditions_tell_the_truth_soon() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let _follower = writer(&cluster, &namespace, "one").await;
        let mut status = Teller::new(&cluster, &namespace);
        let host = format!("{namespace}.example");

        // A policy without its profile, a profile without its source.
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));
        let object = status.until("certpol", "a", "Ready", ("False", "InvalidRef")).await;
        assert_eq!(told(&object, "Accepted"), ("True", "Accepted"));
        let message = condition(&object, "ResolvedRefs").unwrap()["message"].as_str().unwrap();
        assert!(message.contains(&format!("spec.trustRef: TrustProfile {namespace}/p does not exist")), "{message}");
        cluster.apply(&profile(&namespace, "p", "[{configMap: {name: roots}}]"));
        let object = status.until("trust", "p", "Ready", ("False", "SourceUnavailable")).await;
        let message = condition(&object, "ResolvedRefs").unwrap()["message"].as_str().unwrap();
        assert!(message.contains("spec.trustAnchors[0].configMap: ConfigMap"), "{message}");

        // All of it there.
        cluster.apply(&roots(&namespace, &pki));
        let object = status.until("trust", "p", "Ready", ("True", "Ready")).await;
        assert_eq!(object["status"]["trustAnchorCount"], 1);
        assert_eq!(object["status"]["trustAnchors"][0]["sha256"], pki.root.sha256());
        assert_eq!(object["status"]["trustAnchors"][0]["notAfter"], object["status"]["nextExpiry"]);
        status.until("certpol", "a", "Ready", ("True", "Ready")).await;
        let table = cluster.kubectl(&["get", "certpol,trust", "-n", &namespace]);
        assert!(table.contains("READY") && table.matches("True").count() == 2, "{table}");

        // A wrong edit that the definitions cannot tell: each error with its field.
        let twice = "  mapping: {rules: [{name: r, action: Deny, where: [{field: DNS, value: 'a\\x'}]}, {name: r, action: Deny, where: [{field: DNS, value: a}]}]}";
        cluster.apply(&policy(&namespace, "a", &host, "p", twice));
        let object = status.until("certpol", "a", "Accepted", ("False", "Invalid")).await;
        let message = condition(&object, "Accepted").unwrap()["message"].as_str().unwrap();
        assert!(message.contains("spec.mapping.rules[0].where[0].value:"), "{message}");
        assert!(message.contains("spec.mapping.rules[1].name: rules[0] has the same name"), "{message}");
        assert_eq!(told(&object, "Ready"), ("False", "Invalid"));
        let since = condition(&object, "ResolvedRefs").unwrap()["lastTransitionTime"].clone();

        // Mended; what did not change keeps its time.
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "v")));
        let object = status.until("certpol", "a", "Ready", ("True", "Ready")).await;
        assert_eq!(condition(&object, "ResolvedRefs").unwrap()["lastTransitionTime"], since);
        assert_eq!(condition(&object, "Ready").unwrap()["observedGeneration"], object["metadata"]["generation"]);

        // The source is lost: the profile goes on and says so.
        cluster.kubectl(&["delete", "configmap", "roots", "-n", &namespace]);
        let object = status.until("trust", "p", "Degraded", ("True", "SourceUnavailable")).await;
        assert_eq!(told(&object, "Ready"), ("True", "Degraded"));
        assert_eq!(told(&object, "ResolvedRefs"), ("False", "SourceUnavailable"));
        status.waits.mostly_below(STATUS);
    });
}

#[test]
fn conflicts_name_the_winner_and_mappings_are_counted() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let _follower = writer(&cluster, &namespace, "one").await;
        let mut status = Teller::new(&cluster, &namespace);
        let host = format!("{namespace}.example");
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "winner", &host, "p", "  mapping: {selector: {matchLabels: {api: a}}}"));
        // Creation times have whole seconds: of two in one second, the name decides.
        cluster.apply(&policy(&namespace, "zloser", &host, "p", &allow("acme", "u")));
        let object = status.until("certpol", "zloser", "Conflicted", ("True", "Overruled")).await;
        let message = condition(&object, "Conflicted").unwrap()["message"].as_str().unwrap();
        assert!(message.contains(&format!("{namespace}/winner")), "{message}");

        let mapping = |name: &str, certificate: &str| {
            format!(
                "---\napiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{api: a}}}}\n\
             spec: {{certificate: {{{certificate}}}, identity: {{user: u}}}}\n"
            )
        };
        cluster.apply(&[mapping("good", "dns: a.example"), mapping("bad", "subject: 'CN'")].concat());
        status.until("certmap", "good", "Ready", ("True", "Ready")).await;
        let object = status.until("certmap", "bad", "Ready", ("False", "Invalid")).await;
        assert!(
            condition(&object, "Accepted").unwrap()["message"].as_str().unwrap().contains("spec.certificate.subject:")
        );
        until("the policy counts its mappings", PATIENCE, async || {
            (cluster.get(&["certpol", "winner", "-n", &namespace])["status"]["mappings"] == 2).then_some(())
        })
        .await;

        // Applied together, they pass the webhook; their status tells of each other.
        let other = mapping("other", "dns: A.example").replace("user: u", "user: v");
        let lost = mapping("lost", "dns: b.example").replace("api: a", "api: b");
        cluster.apply(&[other, lost].concat());
        for (name, rival) in [("good", "CertificateMapping other"), ("other", "CertificateMapping good")] {
            let object = status.until("certmap", name, "Conflicted", ("True", "Contradicted")).await;
            let message = condition(&object, "Conflicted").unwrap()["message"].as_str().unwrap();
            assert!(message.contains(rival), "{message}");
            assert_eq!(told(&object, "Ready"), ("False", "Conflicted"));
        }
        status.until("certmap", "lost", "Ready", ("False", "NotSelected")).await;
        cluster.kubectl(&["delete", "certmap", "other", "-n", &namespace]);
        status.until("certmap", "good", "Ready", ("True", "Ready")).await;
        status.waits.mostly_below(STATUS);
    });
}

#[test]
fn one_replica_writes_once_and_another_takes_over() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let host = format!("{namespace}.example");
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));
        let mut first = writer(&cluster, &namespace, "first").await;
        until("the policy is ready", PATIENCE, async || ready(&cluster, "certpol", &namespace, "a")).await;
        let second = writer(&cluster, &namespace, "second").await;
        let written = "certgate_kubernetes_status_writes_total{result=\"written\"}";
        let before = first.metric(written).await;
        assert_eq!(before, Some(2.0), "a profile and a policy, each once");

        // An edit is written by the one that leads, once.
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "v")));
        until("the edit's status is there", PATIENCE, async || ready(&cluster, "certpol", &namespace, "a")).await;
        // Something that is known to come later, so that anything too much would have been written before it.
        cluster.apply(&policy(&namespace, "b", &format!("b.{host}"), "p", &allow("acme", "v")));
        until("the later object's status is there", PATIENCE, async || ready(&cluster, "certpol", &namespace, "b"))
            .await;
        // A write is counted when its answer is there, which is a moment after others can see what it wrote.
        until("each edit is written once", PATIENCE, async || (first.metric(written).await == Some(4.0)).then_some(()))
            .await;
        assert_eq!(second.metric(written).await, None);
        assert_eq!(
            (first.metric("certgate_kubernetes_leader").await, second.metric("certgate_kubernetes_leader").await),
            (Some(1.0), Some(0.0))
        );

        // Somebody else's hands in a status do not start a fight.
        cluster.kubectl(&[
            "patch",
            "certpol",
            "a",
            "-n",
            &namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            "{\"status\":{\"mappings\":99}}",
        ]);

        // The leader dies; the other takes over when the lease has run out.
        first.process().kill();
        until("the second leads", Duration::from_secs(40), async || {
            (second.metric("certgate_kubernetes_leader").await == Some(1.0)).then_some(())
        })
        .await;
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "w")));
        until("the new leader writes", PATIENCE, async || ready(&cluster, "certpol", &namespace, "a")).await;
        let lease = cluster.get(&["lease", "certgate", "-n", &namespace]);
        assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("second_"), "{lease}");
        assert_eq!(lease["spec"]["leaseTransitions"], 1);
    });
}
