//! What `kubectl apply` and `kubectl delete` do to decisions, and how soon.

use std::sync::Arc;
use std::time::Duration;

use crate::certgate::{Answer, Follower};
use crate::cluster::Cluster;
use crate::with_cluster;
use certgate_harness::pki::Pki;
use certgate_harness::policies::indent;
use certgate_harness::wait::{PATIENCE, until};

/// How soon most edits must decide.
pub const SOON: Duration = Duration::from_secs(1);

/// A policy for `host` that reveals reasons; `mapping` is the section's content.
pub fn policy(namespace: &str, name: &str, host: &str, profile: &str, mapping: &str) -> String {
    format!(
        "---\napiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  match: [{{hosts: [{host}]}}]\n  trustRef: {{name: {profile}}}\n  response: {{denial: {{reveal: Reason}}}}\n{mapping}\n"
    )
}

/// A trust profile; `sources` are the trust anchors in YAML's flow form.
pub fn profile(namespace: &str, name: &str, sources: &str) -> String {
    format!(
        "---\napiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  trustAnchors: {sources}\n  intermediates: [{{configMap: {{name: roots, key: issuing.crt}}}}]\n"
    )
}

/// A ConfigMap with the authorities.
pub fn roots(namespace: &str, pki: &Pki) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: roots, namespace: {namespace}}}\ndata:\n  ca.crt: |\n{}\n  issuing.crt: |\n{}\n",
        indent(&pki.root.pem(), 4),
        indent(&pki.issuing.pem(), 4)
    )
}

/// A rule that allows a common name as a user.
pub fn allow(common_name: &str, user: &str) -> String {
    format!(
        "  mapping: {{rules: [{{name: r, action: Allow, where: [{{field: Subject, attribute: CN, value: {common_name}}}], identity: {{user: {user}}}}}]}}"
    )
}

async fn following(cluster: &Cluster, namespace: &str) -> Follower {
    Follower::start(&cluster.admin_kubeconfig(), &[namespace]).await
}

#[test]
fn edits_are_live_within_a_second() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        let follower = following(&cluster, &namespace).await;
        let mut asker = follower.asker().await;
        assert_eq!(
            asker.ask(&host, "/", Some(&client)).await,
            Answer::Denied(403, String::new()),
            "nothing is allowed yet"
        );

        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "first")));
        asker.until(&Answer::allowed("first"), &host, &client, PATIENCE).await;

        for round in 0..10 {
            let user = format!("user-{round}");
            cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", &user)));
            asker.until(&Answer::allowed(&user), &host, &client, PATIENCE).await;
        }

        cluster.kubectl(&["delete", "certpol", "a", "-n", &namespace]);
        asker.until(&Answer::Denied(403, String::new()), &host, &client, PATIENCE).await;

        // An object of the same name is another object.
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "again")));
        asker.until(&Answer::allowed("again"), &host, &client, PATIENCE).await;
        asker.waits.mostly_below(SOON);
    });
}

#[test]
fn mappings_come_and_go() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        let follower = following(&cluster, &namespace).await;
        let mut asker = follower.asker().await;
        cluster.apply(
            &[
                roots(&namespace, &pki),
                profile(&namespace, "p", "[{configMap: {name: roots}}]"),
                policy(&namespace, "a", &host, "p", "  mapping: {selector: {matchLabels: {api: a}}}"),
            ]
            .concat(),
        );
        asker.until(&Answer::Denied(403, "NO_MAPPING".to_owned()), &host, &client, PATIENCE).await;

        let mapping = |label: &str, user: &str, state: &str| {
            format!(
                "apiVersion: certgate.dev/v1alpha1\nkind: CertificateMapping\nmetadata: {{name: m, namespace: {namespace}, labels: {{api: {label}}}}}\n\
             spec: {{certificate: {{sha256: \"{}\"}}, identity: {{user: {user}}}, state: {state}}}\n",
                client.sha256()
            )
        };
        cluster.apply(&mapping("a", "mapped", "Enabled"));
        asker.until(&Answer::allowed("mapped"), &host, &client, PATIENCE).await;
        cluster.apply(&mapping("a", "mapped", "Disabled"));
        asker.until(&Answer::Denied(403, "ACCOUNT_DISABLED".to_owned()), &host, &client, PATIENCE).await;
        cluster.apply(&mapping("b", "mapped", "Enabled"));
        asker.until(&Answer::Denied(403, "NO_MAPPING".to_owned()), &host, &client, PATIENCE).await;
        cluster.apply(&mapping("a", "other", "Enabled"));
        asker.until(&Answer::allowed("other"), &host, &client, PATIENCE).await;
        cluster.kubectl(&["delete", "certmap", "m", "-n", &namespace]);
        asker.until(&Answer::Denied(403, "NO_MAPPING".to_owned()), &host, &client, PATIENCE).await;
        asker.waits.mostly_below(SOON);
    });
}

/// A ConfigMap that comes with the profile that names it is there from the start; nobody is told otherwise.
#[test]
fn a_source_that_comes_with_its_profile_is_never_called_missing() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let client = pki.client("acme");
        let follower = following(&cluster, &namespace).await;
        let mut asker = follower.asker().await;
        for round in 0..5 {
            let (name, host) = (format!("p{round}"), format!("{round}.{namespace}.example"));
            let source = format!("roots-{round}");
            let roots = roots(&namespace, &pki).replace("{name: roots,", &format!("{{name: {source},"));
            let profile = profile(&namespace, &name, &format!("[{{configMap: {{name: {source}}}}}]"));
            let profile = profile.replace("{name: roots, key", &format!("{{name: {source}, key"));
            let policy = policy(&namespace, &name, &host, &name, &allow("acme", "u"));
            cluster.apply(&[roots, profile, policy].concat());
            asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
        }
        assert!(!follower.log().contains("does not exist"), "{}", follower.log());
        cluster.apply(&profile(&namespace, "missing", "[{configMap: {name: nowhere}}]"));
        until("what is missing is told", PATIENCE, async || {
            follower.log().contains("nowhere does not exist").then_some(())
        })
        .await;
    });
}

#[test]
fn trust_sources_are_followed_and_their_last_good_content_is_kept() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki, others) = (cluster.new_namespace(), Pki::new(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        let stranger = others.client("acme");
        let follower = following(&cluster, &namespace).await;
        let mut asker = follower.asker().await;
        let allowed = Answer::allowed("u");
        // The policy comes first, then its profile, then what that refers to: the order does not matter.
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));
        asker.until(&Answer::Denied(503, "TRUST_UNAVAILABLE".to_owned()), &host, &client, PATIENCE).await;
        cluster.apply(&profile(&namespace, "p", "[{configMap: {name: roots}}]"));
        cluster.apply(&roots(&namespace, &pki));
        asker.until(&allowed, &host, &client, PATIENCE).await;
        assert_ne!(asker.ask(&host, "/", Some(&stranger)).await, allowed);

        // Deleted or broken, the source keeps its last good content.
        cluster.kubectl(&["delete", "configmap", "roots", "-n", &namespace]);
        let broken = roots(&namespace, &pki).replace("BEGIN CERTIFICATE", "BEGIN NONSENSE");
        cluster.apply(&broken);
        // Something that is seen to arrive after it.
        cluster.apply(&policy(&namespace, "b", "arrived.example", "p", &allow("acme", "seen")));
        asker.until(&Answer::allowed("seen"), "arrived.example", &client, PATIENCE).await;
        assert_eq!(asker.ask(&host, "/", Some(&client)).await, allowed);

        // Replaced, it takes effect.
        cluster.apply(&roots(&namespace, &others));
        asker.until(&allowed, &host, &stranger, PATIENCE).await;
        assert_ne!(asker.ask(&host, "/", Some(&client)).await, allowed);

        // The profile turns to a Secret that it has not named before.
        cluster.kubectl(&[
            "create",
            "secret",
            "generic",
            "s",
            "-n",
            &namespace,
            &format!("--from-literal=tls.ca={}", pki.root.pem()),
        ]);
        cluster.apply(&roots(&namespace, &pki));
        cluster.apply(&profile(&namespace, "p", "[{secret: {name: s, key: tls.ca}}]"));
        asker.until(&allowed, &host, &client, PATIENCE).await;
        assert_ne!(asker.ask(&host, "/", Some(&stranger)).await, allowed);
        asker.waits.mostly_below(SOON);
    });
}

#[test]
fn cluster_trust_bundles_are_trust_sources() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        let follower = following(&cluster, &namespace).await;
        let mut asker = follower.asker().await;
        cluster.apply(&[
            roots(&namespace, &pki),
            profile(&namespace, "p", &format!("[{{clusterTrustBundle: {{name: bundle-{namespace}}}}}]")),
            policy(&namespace, "a", &host, "p", &allow("acme", "u")),
            format!("---\napiVersion: certificates.k8s.io/v1beta1\nkind: ClusterTrustBundle\nmetadata: {{name: bundle-{namespace}}}\n\
                     spec:\n  trustBundle: |\n{}\n", indent(&pki.root.pem(), 4)),
        ].concat());
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
    });
}

#[test]
fn trust_bundles_of_a_signer_are_a_union_by_their_labels() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki, others) = (cluster.new_namespace(), Pki::new(), Pki::new());
        let (host, client, other) = (format!("{namespace}.example"), pki.client("acme"), others.client("acme"));
        let follower = following(&cluster, &namespace).await;
        let mut asker = follower.asker().await;
        let bundle = |name: &str, signer: &str, live: &str, pki: &Pki| {
            format!(
                "---\napiVersion: certificates.k8s.io/v1beta1\nkind: ClusterTrustBundle\nmetadata: {{name: \"{signer}:{namespace}:{name}\", labels: {{live: \"{live}\"}}}}\n\
                 spec:\n  signerName: {signer}/{namespace}\n  trustBundle: |\n{}{}\n",
                indent(&pki.root.pem(), 4),
                indent(&pki.issuing.pem(), 4)
            )
        };
        let source = format!(
            "[{{clusterTrustBundle: {{signerName: acme.example/{namespace}, labelSelector: {{matchLabels: {{live: \"yes\"}}}}}}}}]"
        );
        cluster.apply(
            &[
                roots(&namespace, &pki),
                profile(&namespace, "p", &source),
                policy(&namespace, "a", &host, "p", &allow("acme", "u")),
                bundle("one", "other.example", "yes", &others),
            ]
            .concat(),
        );
        asker.until(&Answer::Denied(503, "TRUST_UNAVAILABLE".to_owned()), &host, &client, PATIENCE).await;
        // The roots have one name and different keys.
        let untrusted = Answer::Denied(403, "SIGNATURE_INVALID".to_owned());
        cluster.apply(
            &[bundle("one", "acme.example", "yes", &pki), bundle("two", "acme.example", "no", &others)].concat(),
        );
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
        assert_eq!(asker.ask(&host, "/", Some(&other)).await, untrusted);

        // Another of the signer's bundles is made live; named besides, the first one stays when the signer's goes.
        cluster.apply(&bundle("two", "acme.example", "yes", &others));
        asker.until(&Answer::allowed("u"), &host, &other, PATIENCE).await;
        let named = format!("[{{clusterTrustBundle: {{name: \"acme.example:{namespace}:one\"}}}}]");
        cluster.apply(&profile(&namespace, "p", &named));
        asker.until(&untrusted, &host, &other, PATIENCE).await;
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
        asker.waits.mostly_below(SOON);
    });
}

#[test]
fn profiles_are_shared_with_the_namespaces_that_they_allow() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (home, guest, pki) = (cluster.new_namespace(), cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{guest}.example"), pki.client("acme"));
        let follower = Follower::start(&cluster.admin_kubeconfig(), &[&home, &guest]).await;
        let mut asker = follower.asker().await;
        let shared = |rest: &str| {
            format!("{}  allowedNamespaces: {rest}\n", profile(&home, "p", "[{configMap: {name: roots}}]"))
        };
        let guest_policy = policy(&guest, "a", &host, "p", &allow("acme", "u"))
            .replace("trustRef: {name: p}", &format!("trustRef: {{name: p, namespace: {home}}}"));
        cluster.apply(&[roots(&home, &pki), shared("{from: Same}"), guest_policy].concat());
        let answer = asker.ask(&host, "/", Some(&client)).await;
        assert!(!matches!(answer, Answer::Allowed(_)), "{answer:?}");
        cluster.apply(&shared("{from: All}"));
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
        cluster.apply(&shared("{from: Selector, selector: {matchLabels: {team: pay}}}"));
        let until_denied = async |asker: &mut crate::certgate::Asker| {
            certgate_harness::wait::until("the guest is denied", PATIENCE, async || {
                (!matches!(asker.ask(&host, "/", Some(&client)).await, Answer::Allowed(_))).then_some(())
            })
            .await;
        };
        until_denied(&mut asker).await;
        cluster.kubectl(&["label", "namespace", &guest, "team=pay"]);
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;
        cluster.kubectl(&["label", "namespace", &guest, "team-"]);
        until_denied(&mut asker).await;
    });
}
