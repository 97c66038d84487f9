//! Several replicas: they decide alike, and one after the other writes status, at a pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::certgate::{Answer, Follower};
use crate::chart::ready;
use crate::cluster::Cluster;
use crate::direct::{Etcd, Told, stored_mapping};
use crate::edits::{allow, policy, profile, roots};
use crate::with_cluster;
use certgate_harness::pki::Pki;
use certgate_harness::process::Signal;
use certgate_harness::wait::{PATIENCE, until};

/// A follower of one namespace that writes status there.
pub async fn writer(cluster: &Cluster, namespace: &str, name: &str) -> Follower {
    let lease = format!("--lease={namespace}/certgate");
    let namespace = format!("--namespace={namespace}");
    let args = ["serve", "--kubernetes", &namespace, &lease, "--drain-delay=0s"];
    Follower::start_as(&cluster.admin_kubeconfig(), &args, &[("POD_NAME", name)]).await
}

/// Whether it says that it writes status.
pub async fn leads(follower: &Follower) -> Option<()> {
    (follower.metric("certgate_kubernetes_leader").await == Some(1.0)).then_some(())
}

#[test]
fn a_leader_that_stops_hands_over_at_once() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        let mut first = writer(&cluster, &namespace, "first").await;
        until("the first leads", PATIENCE, async || leads(&first).await).await;
        let mut second = writer(&cluster, &namespace, "second").await;
        // The leader goes, another comes: as in a rollout, and back.
        first.process().signal(Signal::TERM);
        assert!(first.process().wait(PATIENCE).await.success(), "{}", first.log());
        let lease = cluster.get(&["lease", "certgate", "-n", &namespace]);
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        assert!(holder.is_empty() || holder.starts_with("second_"), "{lease}");
        // A lease that had to run out would take 15 s.
        until("the second leads", Duration::from_secs(5), async || leads(&second).await).await;
        cluster.apply(&policy(&namespace, "a", &format!("{namespace}.example"), "p", &allow("acme", "u")));
        until("the second writes", PATIENCE, async || ready(&cluster, "certpol", &namespace, "a")).await;
        let lease = cluster.get(&["lease", "certgate", "-n", &namespace]);
        assert_eq!(lease["spec"]["leaseTransitions"], 1, "{lease}");
        assert_eq!(lease["spec"]["leaseDurationSeconds"], 15, "{lease}");

        // One that does not lead takes nothing from the one that does.
        let mut third = writer(&cluster, &namespace, "third").await;
        third.process().signal(Signal::TERM);
        assert!(third.process().wait(PATIENCE).await.success(), "{}", third.log());
        let lease = cluster.get(&["lease", "certgate", "-n", &namespace]);
        assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with("second_"), "{lease}");
        assert_eq!(second.process().ended(), None);
    });
}

#[test]
fn status_is_written_at_a_pace_and_fresh_edits_do_not_wait() {
    /// How many objects' status is missing at first.
    const MAPPINGS: usize = 400;
    /// What the writer promises at most, a second.
    const PACE: f64 = 80.0;
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let mappings: Vec<_> = (0..MAPPINGS)
            .map(|n| stored_mapping(&namespace, &format!("m-{n}"), &format!("{n:064x}"), "u", 1, Told::Nothing))
            .collect();
        Etcd::connect(&cluster).await.put("certificatemappings", &mappings).await;
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        let host = format!("{namespace}.example");
        cluster.apply(&policy(&namespace, "a", &host, "p", "  mapping: {selector: {matchLabels: {api: payments}}}"));
        let began = Instant::now();
        let follower = writer(&cluster, &namespace, "one").await;
        let written = "certgate_kubernetes_status_writes_total{result=\"written\"}";
        let backlog = "certgate_kubernetes_status_backlog";
        until("there is a backlog", PATIENCE, async || follower.metric(backlog).await.filter(|left| *left > 0.0)).await;

        // An edit in the midst of it is told about as soon as any.
        let audit = "  mode: Audit\n  mapping: {selector: {matchLabels: {api: payments}}}";
        cluster.apply(&policy(&namespace, "a", &host, "p", audit));
        let applied = Instant::now();
        until("the edit's status is there", PATIENCE, async || ready(&cluster, "certpol", &namespace, "a")).await;
        let told = applied.elapsed();
        let left = follower.metric(backlog).await.unwrap();
        assert!(left > 0.0, "the status was told with {left} objects left");

        until("every mapping's status is written", PATIENCE, async || {
            let count = follower.metric(written).await.unwrap_or_default();
            let most = PACE * (began.elapsed().as_secs_f64() + 0.5);
            assert!(count <= most, "{count} written in {:?}", began.elapsed());
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            (count >= MAPPINGS as f64).then_some(())
        })
        .await;
        println!("{MAPPINGS} written in {:?}; an edit told after {told:?} with {left} left", began.elapsed());
        // Profile and policy are among those that were counted.
        until("the first mapping is ready", PATIENCE, async || ready(&cluster, "certmap", &namespace, "m-0")).await;
    });
}

#[test]
fn replicas_decide_alike_whatever_they_have_seen() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let clients = ["acme", "beta", "gamma"].map(|name| pki.client(name));
        let host = |name: &str| format!("{name}.{namespace}.example");
        let mapping = |name: &str, client: usize, user: &str| {
            format!(
                "---\napiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{api: a}}}}\n\
                 spec: {{certificate: {{sha256: \"{}\"}}, identity: {{user: {user}}}}}\n",
                clients[client].sha256()
            )
        };
        let by_mapping = "  mapping: {selector: {matchLabels: {api: a}}}";
        let follow = async || Follower::start(&cluster.admin_kubeconfig(), &[&namespace]).await;
        // The first has seen everything there ever was, in its order.
        let first = follow().await;
        cluster.apply(&policy(&namespace, "tie-b", &host("tie"), "p", &allow("acme", "of-b")));
        cluster.apply(&policy(&namespace, "tie-c", &host("tie"), "p", &allow("acme", "of-c")));
        cluster.apply(&policy(&namespace, "mapped", &host("mapped"), "p", by_mapping));
        cluster.apply(&mapping("m-z", 0, "one"));
        cluster.apply(&mapping("m-a", 0, "two"));
        cluster.apply(&mapping("m-b", 1, "beta"));
        let broken = "  mapping: {rules: [{name: r, action: Deny, where: [{field: DNS, value: 'a\\x'}]}]}";
        cluster.apply(&policy(&namespace, "broken", &host("broken"), "p", &allow("acme", "u")));
        cluster.apply(&policy(&namespace, "broken", &host("broken"), "p", broken));
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        // Of two policies of one second the name decides; deleted and made anew in another second, the older one does.
        cluster.apply(&policy(&namespace, "re-a", &host("again"), "p", &allow("acme", "of-a")));
        cluster.apply(&policy(&namespace, "re-b", &host("again"), "p", &allow("acme", "of-b")));
        let second = follow().await;
        let created = cluster.get(&["certpol", "re-b", "-n", &namespace])["metadata"]["creationTimestamp"].clone();
        until("the clock goes on", PATIENCE, async || {
            cluster.kubectl(&["delete", "certpol", "re-a", "-n", &namespace]);
            cluster.apply(&policy(&namespace, "re-a", &host("again"), "p", &allow("acme", "of-a")));
            let now = cluster.get(&["certpol", "re-a", "-n", &namespace])["metadata"]["creationTimestamp"].clone();
            (now != created).then_some(())
        })
        .await;
        cluster.kubectl(&["delete", "certmap", "m-b", "-n", &namespace]);
        cluster.apply(&policy(&namespace, "last", &host("last"), "p", &allow("acme", "seen")));
        let third = follow().await;

        let mut answers = Vec::new();
        for follower in [&first, &second, &third] {
            let mut asker = follower.asker().await;
            // Events of one kind come in order: who has the last policy has all before it.
            asker.until(&Answer::allowed("seen"), &host("last"), &clients[0], PATIENCE).await;
            asker.until(&Answer::Denied(403, "NO_MAPPING".to_owned()), &host("mapped"), &clients[1], PATIENCE).await;
            let mut table = Vec::new();
            for name in ["tie", "mapped", "broken", "again", "last", "nothing"] {
                for client in clients.iter().map(Some).chain([None]) {
                    table.push((name, asker.ask(&host(name), "/", client).await));
                }
            }
            answers.push(table);
        }
        println!("{:#?}", answers[0]);
        assert_eq!(answers[0], answers[1], "one that came in the middle");
        assert_eq!(answers[0], answers[2], "one that came at the end");
        let of = |name: &str| answers[0].iter().find(|(row, _)| *row == name).unwrap().1.clone();
        assert_eq!(of("again"), Answer::allowed("of-b"), "the older policy decides");
        assert_eq!(of("mapped"), Answer::Denied(403, "MAPPING_AMBIGUOUS".to_owned()));
        // It reveals nothing, because what it says about that does not count either.
        assert_eq!(of("broken"), Answer::Denied(403, String::new()));
    });
}
