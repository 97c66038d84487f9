//! One and the same wherever the objects lie: what a cluster holds decides as it would from a directory, and is told with the
//! same words.

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::certgate::{Answer, Asker, Follower};
use crate::chart::condition;
use crate::cluster::Cluster;
use crate::edits::{allow, policy, profile, roots};
use crate::with_cluster;
use certgate_harness::certgate::{Certgate, binary};
use certgate_harness::pki::Pki;
use certgate_harness::policies::PolicyDirectory;
use certgate_harness::wait::{PATIENCE, until};

/// A policy with two errors that the definitions cannot tell.
const WRONG: &str = "  mapping: {rules: [{name: r, action: Deny, where: [{field: DNS, value: 'a\\x'}]}, {name: r, action: Deny, where: [{field: DNS, value: a}]}]}";

#[test]
fn what_a_cluster_holds_decides_alike_from_a_directory() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (client, stranger) = (pki.client("acme"), Pki::new().client("acme"));
        let host = |name: &str| format!("{name}.{namespace}.example");
        let (lease, scope) = (format!("--lease={namespace}/certgate"), format!("--namespace={namespace}"));
        let args = ["serve", "--kubernetes", &scope, &lease];
        let follower = Follower::start_as(&cluster.admin_kubeconfig(), &args, &[("POD_NAME", "one")]).await;
        let mapping = format!(
            "---\napiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {{name: m, namespace: {namespace}, labels: {{api: a}}}}\n\
             spec: {{certificate: {{sha256: \"{}\"}}, identity: {{user: mapped, groups: [g]}}}}\n",
            client.sha256()
        );
        cluster.apply(
            &[
                roots(&namespace, &pki),
                profile(&namespace, "p", "[{configMap: {name: roots}}]"),
                policy(&namespace, "ruled", &host("ruled"), "p", &allow("acme", "u")),
                policy(&namespace, "mapped", &host("mapped"), "p", "  mapping: {selector: {matchLabels: {api: a}}}"),
                policy(&namespace, "dangling", &host("dangling"), "nothing", &allow("acme", "u")),
                policy(&namespace, "wrong", &host("wrong"), "p", WRONG),
                mapping,
            ]
            .concat(),
        );
        let object = until("the wrong policy's status is there", PATIENCE, async || {
            let object = cluster.get(&["certpol", "wrong", "-n", &namespace]);
            condition(&object, "Accepted").is_some().then_some(object)
        })
        .await;

        // What kubectl gives, status and all, is a directory's file.
        let text = cluster.kubectl(&["get", "trust,certpol,certmap,configmap", "-n", &namespace, "-o", "yaml"]);
        let directory = PolicyDirectory::with(&text);
        let server = Certgate::start(directory.path()).await;
        let (mut there, mut here) = (follower.asker().await, Asker::at(server.address()).await);
        there.until(&Answer::allowed("mapped"), &host("mapped"), &client, PATIENCE).await;
        for name in ["ruled", "mapped", "dangling", "wrong", "nothing"] {
            for client in [Some(&client), Some(&stranger), None] {
                let (there, here) =
                    (there.ask(&host(name), "/", client).await, here.ask(&host(name), "/", client).await);
                println!("{name}: {there:?}");
                assert_eq!(there, here, "{name}");
            }
        }

        // The same words about what is wrong.
        let output = Command::new(binary()).arg("check").arg(directory.path()).output().unwrap();
        let checked = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{checked}");
        let message = told(&object);
        assert_eq!(message.lines().count(), 2, "{message}");
        for line in message.lines() {
            assert!(checked.contains(line), "{line}\nis not in\n{checked}");
        }
    });
}

fn told(object: &Value) -> &str {
    condition(object, "Accepted").unwrap()["message"].as_str().unwrap()
}

#[test]
fn a_replica_that_starts_without_a_trust_source_denies_and_the_others_go_on() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));
        let first = Follower::start(&cluster.admin_kubeconfig(), &[&namespace]).await;
        let mut old = first.asker().await;
        old.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
        cluster.kubectl(&["delete", "configmap", "roots", "-n", &namespace]);
        let second = Follower::start(&cluster.admin_kubeconfig(), &[&namespace]).await;
        let mut new = second.asker().await;
        let unavailable = Answer::Denied(503, "TRUST_UNAVAILABLE".to_owned());
        assert_eq!(new.ask(&host, "/", Some(&client)).await, unavailable);
        assert_eq!(old.ask(&host, "/", Some(&client)).await, Answer::allowed("u"));
        cluster.apply(&roots(&namespace, &pki));
        new.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
    });
}
