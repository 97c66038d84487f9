//! A follower of some policies, by their labels: what decides, what is told, and what it means to take a label away.

use std::sync::Arc;

use crate::certgate::{Answer, Follower};
use crate::chart::ready;
use crate::cluster::Cluster;
use crate::edits::{allow, policy, profile, roots};
use crate::with_cluster;
use certgate_harness::pki::Pki;
use certgate_harness::wait::{PATIENCE, until};

#[test]
fn policies_are_followed_by_their_labels() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let client = pki.client("acme");
        let labelled = |name: &str, labels: &str, user: &str| {
            let text = policy(&namespace, name, &format!("{name}.{namespace}.example"), "p", &allow("acme", user));
            text.replace("metadata: {", &format!("metadata: {{labels: {{{labels}}}, "))
        };
        let host = |name: &str| format!("{name}.{namespace}.example");
        cluster.apply(
            &[
                roots(&namespace, &pki),
                profile(&namespace, "p", "[{configMap: {name: roots}}]"),
                labelled("edge", "gateway: edge, tier: one", "edge"),
                labelled("inner", "gateway: inner, tier: one", "inner"),
                policy(&namespace, "none", &host("none"), "p", &allow("acme", "none")),
            ]
            .concat(),
        );
        let (scope, lease) = (format!("--namespace={namespace}"), format!("--lease={namespace}/certgate"));
        let args =
            ["serve", "--kubernetes", &scope, &lease, "--policy-selector=gateway=edge", "--policy-selector=tier=one"];
        let follower = Follower::start_as(&cluster.admin_kubeconfig(), &args, &[("POD_NAME", "one")]).await;
        let mut asker = follower.asker().await;
        let no_policy = Answer::Denied(403, String::new());
        assert_eq!(asker.ask(&host("edge"), "/", Some(&client)).await, Answer::allowed("edge"));
        for name in ["inner", "none"] {
            assert_eq!(asker.ask(&host(name), "/", Some(&client)).await, no_policy, "{name}");
        }
        assert_eq!(follower.metric("certgate_policies").await, Some(1.0));

        // A label that is given brings a policy in, one that is taken away takes it out.
        cluster.kubectl(&["label", "certpol", "inner", "-n", &namespace, "--overwrite", "gateway=edge"]);
        asker.until(&Answer::allowed("inner"), &host("inner"), &client, PATIENCE).await;
        cluster.kubectl(&["label", "certpol", "edge", "-n", &namespace, "tier-"]);
        asker.until(&no_policy, &host("edge"), &client, PATIENCE).await;

        // Profiles have their status whatever their labels; a policy that nobody follows has none.
        until("the followed policy has its status", PATIENCE, async || ready(&cluster, "certpol", &namespace, "inner"))
            .await;
        until("the profile has its status", PATIENCE, async || ready(&cluster, "trust", &namespace, "p")).await;
        let none = cluster.get(&["certpol", "none", "-n", &namespace]);
        assert!(none["status"].is_null(), "{none}");
    });
}
