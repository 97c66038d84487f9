//! What happens while the world around breaks: no decision changes but by an edit, and no edit is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::certgate::{Answer, Follower};
use crate::cluster::Cluster;
use crate::edits::{allow, policy, profile, roots};
use crate::{with_cluster, with_own_cluster};
use certgate_harness::pki::Pki;
use certgate_harness::wait::{PATIENCE, until};

/// How soon missed edits must decide once the API server is back.
const AFTER_RETURN: Duration = Duration::from_secs(10);

const OURS: &str = "{apiGroups: [certgate.dev], resources: [trustprofiles, certificatepolicies, certificatemappings], verbs: [get, list, watch]}";

#[test]
fn decisions_outlive_the_api_server() {
    with_own_cluster(async |mut cluster: Cluster| {
        let kubeconfig = cluster.admin_kubeconfig();
        // Started before anything is there, it waits, and says for what.
        let mut follower = Follower::spawn(&kubeconfig, &[]);
        until("certgate says what it misses", PATIENCE, async || {
            follower.log().contains("are the custom resource definitions installed").then_some(())
        })
        .await;
        assert!(!follower.is_ready().await);
        cluster.install_definitions();
        follower.ready().await;

        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        let mut asker = follower.asker().await;
        let (before, after) = (Answer::allowed("before"), Answer::allowed("after"));
        cluster.apply(&roots(&namespace, &pki));
        cluster.apply(&profile(&namespace, "p", "[{configMap: {name: roots}}]"));
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "before")));
        asker.until(&before, &host, &client, PATIENCE).await;
        let gone = policy(&namespace, "gone", "gone.example", "p", &allow("acme", "before"));
        cluster.apply(&gone);
        asker.until(&before, "gone.example", &client, PATIENCE).await;

        // The API server is away: nothing changes, the age of what is known rises, readiness stays.
        let said = follower.log().lines().count();
        cluster.stop_api();
        let age = "certgate_kubernetes_watch_age_seconds{kind=\"CertificatePolicy\"}";
        until("the age rises", PATIENCE, async || {
            assert_eq!(asker.ask(&host, "/", Some(&client)).await, before);
            follower.metric(age).await.filter(|age| *age > 5.0)
        })
        .await;
        assert!(follower.is_ready().await);
        let failed = "certgate_kubernetes_watch_errors_total{kind=\"CertificatePolicy\",error=\"unreachable\"}";
        assert!(follower.metric(failed).await.is_some_and(|count| count > 0.0));
        // The log says it once for each watch (three kinds, their definitions, a ConfigMap), whatever is tried meanwhile.
        let log = follower.log();
        let said: Vec<_> = log.lines().skip(said).collect();
        assert!(said.iter().any(|line| line.contains("cannot watch")), "{said:#?}");
        assert!(said.len() <= 10, "{said:#?}");

        // It comes back, and with it what had been missed: here an edit and a deletion.
        cluster.start_api();
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "after")));
        cluster.kubectl(&["delete", "certpol", "gone", "-n", &namespace]);
        let took = asker.until(&after, &host, &client, AFTER_RETURN).await;
        println!("live {took:?} after the API server's return");
        asker.until(&Answer::Denied(403, String::new()), "gone.example", &client, AFTER_RETURN).await;
        assert!(follower.metric(age).await.is_some_and(|age| age < 60.0));

        // etcd dies and comes back.
        cluster.restart_etcd();
        assert_eq!(asker.ask(&host, "/", Some(&client)).await, after);
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "third")));
        asker.until(&Answer::allowed("third"), &host, &client, PATIENCE).await;
    });
}

#[test]
fn a_watch_that_fell_too_far_behind_begins_anew() {
    use certgate_harness::process::Signal;
    with_own_cluster(async |mut cluster: Cluster| {
        cluster.install_definitions();
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "before")));
        cluster.apply(&policy(&namespace, "gone", "gone.example", "p", &allow("acme", "before")));
        cluster.apply(&policy(&namespace, "anew", "anew.example", "p", &allow("acme", "before")));
        let mut follower = Follower::start(&cluster.admin_kubeconfig(), &[]).await;
        let mut asker = follower.asker().await;
        asker.until(&Answer::allowed("before"), &host, &client, PATIENCE).await;

        // While certgate sleeps, objects change and come and go, and history is thrown away.
        follower.process().signal(Signal::STOP);
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "after")));
        cluster.kubectl(&["delete", "certpol", "gone", "anew", "-n", &namespace]);
        // Of the same name and generation, and yet another object.
        cluster.apply(&policy(&namespace, "anew", "anew.example", "p", &allow("acme", "anew")));
        cluster.compact();
        cluster.stop_api();
        cluster.start_api();
        follower.process().signal(Signal::CONT);
        asker.until(&Answer::allowed("after"), &host, &client, AFTER_RETURN).await;
        asker.until(&Answer::Denied(403, String::new()), "gone.example", &client, AFTER_RETURN).await;
        asker.until(&Answer::allowed("anew"), "anew.example", &client, AFTER_RETURN).await;
    });
}

#[test]
fn permissions_may_be_as_small_as_the_roles_say_and_may_be_taken_away() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        let named = "{apiGroups: [\"\"], resources: [configmaps], resourceNames: [roots], verbs: [get, list, watch]}";
        let rules = format!("[{OURS}, {named}]");
        let kubeconfig = cluster.service_account(&namespace, "certgate", &rules);
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));
        let follower = Follower::start(&kubeconfig, &[&namespace]).await;
        let mut asker = follower.asker().await;
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;

        // A source that the role does not name cannot be read, and the others go on.
        cluster.kubectl(&[
            "create",
            "secret",
            "generic",
            "secret",
            "-n",
            &namespace,
            &format!("--from-literal=ca.crt={}", pki.root.pem()),
        ]);
        cluster.apply(&profile(&namespace, "q", "[{secret: {name: secret}}]"));
        cluster.apply(&policy(&namespace, "b", "secret.example", "q", &allow("acme", "v")));
        asker.until(&Answer::Denied(503, "TRUST_UNAVAILABLE".to_owned()), "secret.example", &client, PATIENCE).await;
        assert_eq!(asker.ask(&host, "/", Some(&client)).await, Answer::allowed("u"));
        // It says that it is forbidden, which is not the same as missing.
        until("the log says what is forbidden", PATIENCE, async || {
            follower.log().contains("may not be read: the API server forbids it").then_some(())
        })
        .await;

        // Permission given, it is read without a restart.
        let secrets = "{apiGroups: [\"\"], resources: [secrets], resourceNames: [secret], verbs: [get, list, watch]}";
        cluster.grant(&namespace, "certgate", &format!("[{OURS}, {named}, {secrets}]"));
        asker.until(&Answer::allowed("v"), "secret.example", &client, AFTER_RETURN).await;

        // All permissions taken away, decisions go on by what is known; a second replica does not become ready.
        cluster.grant(&namespace, "certgate", "[]");
        let second = Follower::spawn(&kubeconfig, &[&namespace]);
        until("the second replica says what it may not", PATIENCE, async || {
            second.log().contains("Forbidden").then_some(())
        })
        .await;
        assert!(!second.is_ready().await);
        assert_eq!(asker.ask(&host, "/", Some(&client)).await, Answer::allowed("u"));

        // Given back, both go on.
        cluster.grant(&namespace, "certgate", &format!("[{OURS}, {named}, {secrets}]"));
        until("the second replica is ready", PATIENCE, async || second.is_ready().await.then_some(())).await;
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "w")));
        let began = Instant::now();
        asker.until(&Answer::allowed("w"), &host, &client, AFTER_RETURN).await;
        println!("live {:?} after permissions were given back", began.elapsed());
        second.asker().await.until(&Answer::allowed("w"), &host, &client, AFTER_RETURN).await;
    });
}

#[test]
fn an_expired_token_is_read_anew() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        let all = "{apiGroups: [\"\"], resources: [configmaps], verbs: [get, list, watch]}";
        let kubeconfig = cluster.service_account(&namespace, "certgate", &format!("[{OURS}, {all}]"));
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));
        // The token is no good at first, as one that has expired.
        let good = cluster.kubectl(&["create", "token", "certgate", "-n", &namespace]);
        cluster.write_kubeconfig(&format!("{namespace}-certgate"), "expired");
        let mut follower = Follower::spawn(&kubeconfig, &[&namespace]);
        until("the token is refused", PATIENCE, async || follower.log().contains("Unauthorized").then_some(())).await;
        assert!(!follower.is_ready().await);
        cluster.write_kubeconfig(&format!("{namespace}-certgate"), good.trim());
        until("the new token is used", Duration::from_secs(90), async || follower.is_ready().await.then_some(())).await;
        follower.ready().await;
        follower.asker().await.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
    });
}
