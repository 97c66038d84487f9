//! Definitions that change beneath a running certgate, and are of another version than it.

use crate::certgate::{Answer, Follower};
use crate::chart::condition;
use crate::cluster::Cluster;
use crate::edits::{allow, policy, profile, roots};
use crate::with_own_cluster;
use certgate_harness::pki::Pki;
use certgate_harness::wait::{PATIENCE, until};

const DEFINITION: &str = "certificatepolicies.certgate.dev";

/// Where a policy's spec has a field that this certgate does not know.
const FIELD: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/later";

#[test]
fn definitions_may_be_rolled_and_be_newer_than_certgate() {
    with_own_cluster(async |cluster: Cluster| {
        cluster.install_definitions();
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        let other = format!("other.{host}");
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));
        cluster.apply(&policy(&namespace, "other", &other, "p", &allow("acme", "u")));
        let args = ["serve", "--kubernetes", "--lease", "default/certgate"];
        let follower = Follower::start_as(&cluster.admin_kubeconfig(), &args, &[("POD_NAME", "one")]).await;
        let mut asker = follower.asker().await;
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;

        // A newer version of the definitions, with a field that this certgate does not know.
        let later = policy(&namespace, "a", &host, "p", &format!("{}\n  later: strict", allow("acme", "u")));
        assert!(!cluster.try_apply(&[], &later).status.success(), "the present definitions do not know the field");
        let field = r#"{"type": "string", "description": "From a later version."}"#;
        let add = format!(r#"[{{"op": "add", "path": "{FIELD}", "value": {field}}}]"#);
        cluster.kubectl(&["patch", "crd", DEFINITION, "--type=json", "-p", &add]);
        assert_eq!(asker.ask(&host, "/", Some(&client)).await, Answer::allowed("u"));
        until("the server takes the field", PATIENCE, async || {
            assert_eq!(asker.ask(&other, "/", Some(&client)).await, Answer::allowed("u"));
            cluster.try_apply(&[], &later).status.success().then_some(())
        })
        .await;

        // The field may narrow what the policy allows: nothing is allowed by guessing, and the status names it.
        asker.until(&Answer::Denied(403, String::new()), &host, &client, PATIENCE).await;
        assert_eq!(asker.ask(&other, "/", Some(&client)).await, Answer::allowed("u"));
        let object = until("the status names the field", PATIENCE, async || {
            let object = cluster.get(&["certpol", "a", "-n", &namespace]);
            (condition(&object, "Accepted")?["status"] == "False").then_some(object)
        })
        .await;
        let message = condition(&object, "Accepted").unwrap()["message"].as_str().unwrap();
        assert!(message.contains("spec.later: not known to this version"), "{message}");
        assert!(follower.log().contains("spec.later: not known to this version"), "{}", follower.log());

        // Rolled back: the server drops the field as soon as the object is written, and edits go on being live.
        cluster.kubectl(&[
            "patch",
            "crd",
            DEFINITION,
            "--type=json",
            "-p",
            &format!(r#"[{{"op": "remove", "path": "{FIELD}"}}]"#),
        ]);
        assert_eq!(asker.ask(&other, "/", Some(&client)).await, Answer::allowed("u"));
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "v")));
        asker.until(&Answer::allowed("v"), &host, &client, PATIENCE).await;
        cluster.apply(&policy(&namespace, "other", &other, "p", &allow("acme", "w")));
        asker.until(&Answer::allowed("w"), &other, &client, PATIENCE).await;
    });
}
