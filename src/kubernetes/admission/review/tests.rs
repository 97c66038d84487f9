//! Reviews as the API server sends them, over an index that is filled by hand.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::json;

use super::super::metrics::AdmissionMetrics;
use super::super::server::{PATH, Webhook};
use super::*;
use crate::domain::store::Index;
use certgate_testing::template::NOW;

const SHA: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn object(kind: &str, name: &str, labels: Value, spec: Value) -> Value {
    json!({
        "apiVersion": "certgate.dev/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "n", "labels": labels},
        "spec": spec,
    })
}

fn policy(spec: Value) -> Value {
    let mut all = json!({"trustRef": {"name": "p"}});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    object("CertificatePolicy", "a", json!({}), all)
}

fn mapping(name: &str, label: &str, certificate: Value, user: &str) -> Value {
    let spec = json!({"certificate": certificate, "identity": {"user": user}});
    object("CertificateMapping", name, json!({"api": label}), spec)
}

fn asking(operation: &str, object: &Value, old: Option<&Value>) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": operation, "name": object["metadata"]["name"], "namespace": "n",
            "kind": {"group": "certgate.dev", "version": "v1alpha1", "kind": object["kind"]},
            "object": object, "oldObject": old, "dryRun": false, "options": {}, "userInfo": {},
        },
    })
}

struct World {
    index: Index,
    views: watch::Sender<Option<Arc<View>>>,
}

impl World {
    fn new(objects: &[Value]) -> Self {
        let mut world = Self { index: Index::new(), views: watch::channel(None).0 };
        world.put(objects);
        world
    }

    fn put(&mut self, objects: &[Value]) {
        let kinds = [Kind::TrustProfile, Kind::CertificatePolicy, Kind::CertificateMapping];
        for object in objects {
            let kind = kinds.into_iter().find(|kind| object["kind"] == kind.name()).unwrap();
            self.index.apply(wire::object(kind, &object.to_string()).unwrap().0.object);
        }
        self.index.publish();
        self.views.send_replace(Some(Arc::new(self.index.view())));
    }

    fn reviewer(&self) -> Reviewer {
        Reviewer::new(self.views.subscribe(), Scope::Cluster, None, || NOW)
    }

    async fn ask(&self, review: &Value) -> Value {
        let answer = self.reviewer().answer(review.to_string().as_bytes()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["response"]["uid"], "u-1");
        answer["response"].clone()
    }

    async fn created(&self, object: &Value) -> Value {
        self.ask(&asking("CREATE", object, None)).await
    }
}

fn profile(name: &str, spec: Value) -> Value {
    object("TrustProfile", name, json!({}), spec)
}

fn warned(response: &Value, words: &str) -> bool {
    response["warnings"].as_array().is_some_and(|all| all.iter().any(|one| one.as_str().unwrap().contains(words)))
}

#[tokio::test]
async fn a_policy_that_is_not_followed_is_warned_of() {
    let world = World::new(&[]);
    let selector = PolicySelector::new(["gateway=edge".parse().unwrap()]).unwrap();
    let reviewer = Reviewer::new(world.views.subscribe(), Scope::Cluster, selector, || NOW);
    let words = "certgate follows the policies with labels gateway=edge: this one has no effect here";
    let with_labels = |labels: Value| {
        let mut policy = policy(json!({"match": [{"hosts": ["a.example"]}], "trustRef": {"name": "p"}}));
        policy["metadata"]["labels"] = labels;
        policy
    };
    let profile = profile("p", json!({"trustAnchors": [{"configMap": {"name": "c"}}]}));
    for (object, is_warned) in [
        (with_labels(json!({"gateway": "edge", "team": "a"})), false),
        (with_labels(json!({"gateway": "inner"})), true),
        (with_labels(json!({})), true),
        (profile, false),
    ] {
        let answer = reviewer.answer(asking("CREATE", &object, None).to_string().as_bytes()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["response"]["allowed"], true, "{answer}");
        assert_eq!(warned(&answer["response"], words), is_warned, "{answer}");
    }
}

#[tokio::test]
async fn a_wrong_object_is_refused_with_every_field() {
    let world = World::new(&[]);
    let rule = |name: &str, value: &str| json!({"name": name, "action": "Deny", "where": [{"field": "Subject", "attribute": "NOPE", "value": value}]});
    let wrong = policy(
        json!({"match": [{"paths": [{"prefix": "/a/../b"}]}], "mapping": {"rules": [rule("r", "a\\b"), rule("r", "b")]}}),
    );
    let response = world.created(&wrong).await;
    assert_eq!(response["allowed"], false);
    let status = &response["status"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(422), &json!("Invalid")));
    let causes = status["details"]["causes"].as_array().unwrap();
    let fields: Vec<_> = causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    for field in [
        "spec.match[0].paths[0].prefix",
        "spec.mapping.rules[0].where[0].attribute",
        "spec.mapping.rules[0].where[0].value",
        "spec.mapping.rules[1].name",
        "spec.mapping.rules[1].where[0].attribute",
    ] {
        assert!(fields.contains(&field), "{field}: {status}");
        assert!(status["message"].as_str().unwrap().contains(&format!("{field}: ")), "{status}");
    }
    assert_eq!(status["details"]["kind"], "CertificatePolicy");
    assert_eq!(status["details"]["name"], "a");
}

#[tokio::test]
async fn what_does_not_change_the_spec_is_never_refused() {
    let world = World::new(&[]);
    let wrong = policy(json!({"match": [{"hosts": ["a b"]}]}));
    let mut annotated = wrong.clone();
    annotated["metadata"]["annotations"] = json!({"a": "b"});
    annotated["metadata"]["finalizers"] = json!([]);
    annotated["status"] = json!({"observedGeneration": 1});
    assert_eq!(world.ask(&asking("UPDATE", &annotated, Some(&wrong))).await["allowed"], true);
    let mut labelled = wrong.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let response = world.ask(&asking("UPDATE", &labelled, Some(&wrong))).await;
    assert_eq!(response["allowed"], true);
    assert!(warned(&response, "spec.match[0].hosts[0]"), "{response}");
    let mut other = wrong.clone();
    other["spec"]["match"][0]["hosts"][0] = "c d".into();
    assert_eq!(world.ask(&asking("UPDATE", &other, Some(&wrong))).await["allowed"], false);

    // On its way out it loses its finalizers whatever its spec, and takes no other wrong spec.
    let going = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        object["metadata"]["finalizers"] = json!(["test.certgate.dev/held"]);
        object
    };
    let (held, mut freed) = (going(&wrong), going(&wrong));
    freed["metadata"]["finalizers"] = json!([]);
    assert_eq!(world.ask(&asking("UPDATE", &freed, Some(&held))).await["allowed"], true);
    freed["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(world.ask(&asking("UPDATE", &freed, Some(&held))).await["allowed"], true);
    assert_eq!(world.ask(&asking("UPDATE", &going(&other), Some(&held))).await["allowed"], false);
}

#[tokio::test]
async fn what_is_doubtful_is_warned_of() {
    let world = World::new(&[]);
    let dns = |value: &str, action: &str, name: &str| {
        let mut rule = json!({"name": name, "action": action, "where": [{"field": "DNS", "value": value}]});
        if action == "Allow" {
            rule["identity"] = json!({"user": "u"});
        }
        rule
    };
    let rows = [
        (policy(json!({})), "spec.trustRef: TrustProfile n/p does not exist"),
        (policy(json!({"mode": "Audit"})), "spec.mode: with mode Audit"),
        (
            policy(json!({"evidence": [{"peerCertificate": {}}, {"xfcc": {"element": 1}}]})),
            "spec.evidence[1].xfcc: without `by`",
        ),
        (
            policy(
                json!({"mapping": {"rules": [dns("*.example", "Allow", "wide"), dns("a.example", "Deny", "never")]}}),
            ),
            "spec.mapping.rules[1]: no certificate can reach this rule: rules[0] (\"wide\")",
        ),
        (
            policy(json!({"mapping": {"rules": [dns("*", "Allow", "all")]}})),
            "spec.mapping.rules[0].where: the rule allows every",
        ),
        (
            profile("q", json!({"revocation": {"mode": "Offline", "onUnknown": "Allow"}})),
            "spec.revocation.onUnknown: with Allow",
        ),
        (profile("q", json!({"revocation": {"mode": "NoCheck"}})), "spec.revocation.mode: with mode NoCheck"),
        (profile("q", json!({})), "spec.trustAnchors: there are no trust anchors"),
        (
            profile("q", json!({"trustAnchors": [{"configMap": {"name": "c"}}, {"file": "a.pem"}]})),
            "spec.trustAnchors[1].file: files are not read in a cluster",
        ),
        (
            profile("q", json!({"revocation": {"mode": "Offline", "crls": [{"file": "a.crl"}]}})),
            "spec.revocation.crls[0].file: files are not read in a cluster",
        ),
        (mapping("m", "x", json!({"subject": "CN=a"}), "u"), "spec.certificate.subject: subject is a weak name"),
        (mapping("m", "x", json!({"email": "a@example.com"}), "u"), "spec.certificate.email: email is a weak name"),
    ];
    for (object, words) in rows {
        let response = world.created(&object).await;
        assert_eq!(response["allowed"], true, "{words}: {response}");
        assert!(warned(&response, words), "{words}: {response}");
    }
    let selecting = World::new(&[policy(json!({"mapping": {"selector": {}}}))]);
    let strong = selecting.created(&mapping("m", "x", json!({"sha256": SHA}), "u")).await;
    assert_eq!(strong.get("warnings"), None, "{strong}");
}

#[tokio::test]
async fn references_are_judged_by_what_is_known() {
    let allowing = |from: &str| {
        profile("p", json!({"allowedNamespaces": {"from": from}, "trustAnchors": [{"configMap": {"name": "absent"}}]}))
    };
    let mut world = World::new(&[allowing("Same")]);
    let mut guest = policy(json!({"trustRef": {"name": "p", "namespace": "n"}}));
    guest["metadata"]["namespace"] = "elsewhere".into();
    let response = world.created(&guest).await;
    assert_eq!(response["allowed"], false, "{response}");
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("spec.trustRef: TrustProfile n/p does not allow policies of namespace elsewhere"),
        "{message}"
    );
    world.put(&[allowing("All")]);
    let response = world.created(&guest).await;
    assert!(response["allowed"] == true && warned(&response, "ConfigMap n/absent does not exist"), "{response}");
}

#[tokio::test]
async fn what_is_on_its_way_is_waited_for() {
    let allowing = |from: &str| profile("p", json!({"allowedNamespaces": {"from": from}}));
    let mut world = World::new(&[allowing("Same")]);
    let mut guest = policy(json!({"trustRef": {"name": "p", "namespace": "n"}}));
    guest["metadata"]["namespace"] = "elsewhere".into();
    let reviewer = world.reviewer();
    let review = asking("CREATE", &guest, None).to_string();
    let asked = tokio::spawn(async move { reviewer.answer(review.as_bytes()).await.unwrap() });
    tokio::task::yield_now().await;
    world.put(&[allowing("All")]);
    assert_eq!(asked.await.unwrap().outcome, ReviewOutcome::Allowed);
}

#[tokio::test]
async fn a_profile_that_was_applied_just_before_its_policy_is_not_missed() {
    let mut world = World::new(&[]);
    let reviewer = world.reviewer();
    let review = asking("CREATE", &policy(json!({})), None).to_string();
    let asked = tokio::spawn(async move { reviewer.answer(review.as_bytes()).await.unwrap() });
    tokio::task::yield_now().await;
    world.put(&[profile("p", json!({}))]);
    assert_eq!(asked.await.unwrap().outcome, ReviewOutcome::Allowed);
}

#[tokio::test]
async fn two_identities_for_one_certificate_are_refused_where_one_policy_selects_both() {
    let selecting = policy(json!({"mapping": {
        "selector": {"matchLabels": {"api": "x"}},
        "oneToOne": [{"certificate": {"sha256": SHA}, "identity": {"user": "inline"}}],
    }}));
    let world = World::new(&[selecting.clone(), mapping("first", "x", json!({"uri": "a:b"}), "u")]);
    let refused = "CertificateMapping first maps the same certificate to another identity";
    for (name, object, want) in [
        ("another identity", mapping("second", "x", json!({"uri": "a:b"}), "v"), Some(refused)),
        ("the same identity", mapping("second", "x", json!({"uri": "a:b"}), "u"), None),
        ("another certificate", mapping("second", "x", json!({"uri": "a:c"}), "v"), None),
        ("not selected", mapping("second", "y", json!({"uri": "a:b"}), "v"), None),
        ("itself", mapping("first", "x", json!({"uri": "a:b"}), "v"), None),
        (
            "against an entry",
            mapping("second", "x", json!({"sha256": SHA}), "v"),
            Some("oneToOne[0] of policy n/a maps"),
        ),
        ("as the entry", mapping("second", "x", json!({"sha256": SHA}), "inline"), None),
    ] {
        let response = world.created(&object).await;
        assert_eq!(response["allowed"], want.is_none(), "{name}: {response}");
        if let Some(want) = want {
            let message = response["status"]["message"].as_str().unwrap();
            assert!(message.contains(want) && message.starts_with("spec.identity: "), "{name}: {message}");
        }
    }
    let mut disabled = mapping("second", "x", json!({"uri": "a:b"}), "v");
    disabled["spec"]["state"] = "Disabled".into();
    assert!(
        warned(&world.created(&disabled).await, "CertificateMapping first maps the same certificate"),
        "outweighed"
    );
    // The same from the policy's side.
    let world = World::new(&[mapping("first", "x", json!({"sha256": SHA}), "u")]);
    let response = world.created(&selecting).await;
    assert!(
        response["status"]["message"]
            .as_str()
            .unwrap()
            .starts_with("spec.mapping.oneToOne[0]: CertificateMapping first"),
        "{response}"
    );
}

#[tokio::test]
async fn an_entry_whose_issuer_nobody_knows_is_warned_of() {
    let name = json!({"issuerSerial": {"issuer": "CN=CA,O=A", "serialNumber": "1"}});
    let entries = json!({"oneToOne": [{"certificate": name, "identity": {"user": "u"}}]});
    let response = World::new(&[profile("p", json!({}))]).created(&policy(json!({"mapping": entries}))).await;
    assert_eq!(response["allowed"], true, "{response}");
    assert!(warned(&response, "spec.mapping.oneToOne[0].certificate.issuerSerial: weak: "), "{response}");
}

#[tokio::test]
async fn a_mapping_that_does_nothing_is_warned_of() {
    let selecting = policy(json!({"mapping": {
        "selector": {"matchLabels": {"api": "x"}},
        "oneToOne": [{"certificate": {"uri": "a:b"}, "identity": {"user": "inline"}}],
    }}));
    let world = World::new(&[profile("p", json!({})), selecting]);
    let serial = |issuer: &str| json!({"issuerSerial": {"issuer": issuer, "serialNumber": "1"}});
    let lost = "metadata.labels: no CertificatePolicy of this namespace selects the mapping";
    let weak = "spec.certificate.issuerSerial: weak: ";
    let reversed = "spec.certificate: the distinguished name looks reversed";
    for (name, object, want) in [
        ("selected", mapping("m", "x", json!({"uri": "a:c"}), "u"), &[][..]),
        ("not selected", mapping("m", "y", json!({"uri": "a:c"}), "u"), &[lost]),
        ("an issuer that nobody knows", mapping("m", "x", serial("CN=CA,O=A"), "u"), &[weak]),
        ("a name in reverse order", mapping("m", "x", serial("O=A,CN=CA"), "u"), &[weak, reversed]),
    ] {
        let response = world.created(&object).await;
        assert_eq!(response["allowed"], true, "{name}: {response}");
        assert_eq!(response["warnings"].as_array().map_or(0, Vec::len), want.len(), "{name}: {response}");
        assert!(want.iter().all(|words| warned(&response, words)), "{name}: {response}");
    }
    let against = world.created(&mapping("m", "x", json!({"uri": "a:b"}), "u")).await;
    assert!(against["status"]["message"].as_str().unwrap().contains("oneToOne[0] of policy n/a maps"), "{against}");
}

#[tokio::test]
async fn nothing_is_admitted_before_the_cluster_is_read() {
    let (_sender, view) = watch::channel(None);
    let reviewer = Reviewer::new(view, Scope::Cluster, None, || NOW);
    let answer = reviewer.answer(asking("CREATE", &policy(json!({})), None).to_string().as_bytes()).await.unwrap();
    let response: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(response["response"]["allowed"], false);
    assert_eq!(response["response"]["status"]["code"], 503);
}

#[tokio::test]
async fn requests_that_are_no_reviews_are_bad_requests() {
    let world = World::new(&[]);
    let webhook = Webhook::new(world.reviewer(), Arc::new(AdmissionMetrics::default()));
    let good = asking("CREATE", &policy(json!({})), None);
    let changed = |pointer: &str, value: Value| {
        let mut review = good.clone();
        *review.pointer_mut(pointer).unwrap() = value;
        review.to_string()
    };
    let rows = [
        ("good", good.to_string(), 200),
        ("nothing", String::new(), 400),
        ("no JSON", "{".to_owned(), 400),
        ("another version", changed("/apiVersion", json!("admission.k8s.io/v1beta1")), 400),
        ("another kind", changed("/kind", json!("Review")), 400),
        ("no request", changed("/request", Value::Null), 400),
        ("no object", changed("/request/object", Value::Null), 400),
        ("an object of another type", changed("/request/object", json!("text")), 400),
        ("another kind of object", changed("/request/kind/kind", json!("Pod")), 400),
        ("another group", changed("/request/kind/group", json!("apps")), 400),
        ("another version of the object", changed("/request/kind/version", json!("v1")), 400),
        ("another operation", changed("/request/operation", json!("DELETE")), 400),
        ("nested without end", "[".repeat(100_000), 400),
        (
            "more values than there is memory for",
            changed("/request/object/spec", json!({"list": vec![json!({}); 200_000]})),
            400,
        ),
        ("too long", " ".repeat(9 * 1024 * 1024), 413),
    ];
    for (name, body, want) in rows {
        let request = Request::post(PATH)
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let response = webhook.call(request, None).await;
        assert_eq!(response.status(), want, "{name}");
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text.starts_with(b"{\"apiVersion\""), want == 200, "{name}");
    }
    for (path, method, media_type, want) in [
        ("/", "POST", "application/json", 404),
        (PATH, "GET", "application/json", 405),
        (PATH, "POST", "text/plain", 415),
        (PATH, "POST", "application/json", 411),
    ] {
        let request = Request::builder().method(method).uri(path).header("content-type", media_type);
        let response = webhook.call(request.body(Full::new(Bytes::new())).unwrap(), None).await;
        assert_eq!(response.status(), want, "{method} {path} {media_type}");
    }
}

#[tokio::test]
async fn a_review_takes_no_longer_with_many_mappings() {
    let world = {
        let mut world = World::new(&[policy(json!({"mapping": {"selector": {"matchLabels": {"api": "x"}}}}))]);
        for n in 0..100_000 {
            let spec = json!({"certificate": {"sha256": format!("{n:064x}")}, "identity": {"user": format!("u{n}")}});
            let meta = crate::domain::api::ObjectMeta {
                name: format!("m{n}"),
                namespace: "n".to_owned(),
                labels: [("api".to_owned(), "x".to_owned())].into(),
                ..Default::default()
            };
            world.index.apply(Object::CertificateMapping { meta, spec: serde_json::from_value(spec).unwrap() });
        }
        world.put(&[]);
        world
    };
    let reviewer = world.reviewer();
    let mut slowest = Duration::ZERO;
    for n in 0..200 {
        let certificate = json!({"sha256": format!("{n:064x}")});
        let review = asking("CREATE", &mapping("new", "x", certificate, &format!("u{n}")), None).to_string();
        let began = Instant::now();
        let answer = reviewer.answer(review.as_bytes()).await.unwrap();
        slowest = slowest.max(began.elapsed());
        assert_eq!(answer.outcome, ReviewOutcome::Allowed);
    }
    #[allow(clippy::print_stdout, reason = "the figure is what the test is for")]
    {
        println!("slowest of 200 reviews beside 100,000 mappings: {slowest:?}");
    }
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
}

#[tokio::test]
async fn who_loses_everything_is_told() {
    let at = |name: &str, created: &str, hosts: Value| {
        let mut policy = policy(json!({"match": [{"hosts": hosts}]}));
        policy["metadata"]["name"] = name.into();
        policy["metadata"]["creationTimestamp"] = created.into();
        policy
    };
    let world = World::new(&[profile("p", json!({})), at("old", "2026-01-01T00:00:00Z", json!(["a", "b"]))]);
    let young = |hosts: Value| at("young", "2026-02-01T00:00:00Z", hosts);
    let overruled = world.created(&young(json!(["a"]))).await;
    let words = "spec.match: Conflicted: every request that it names is decided by n/old";
    assert!(overruled["allowed"] == true && warned(&overruled, words), "{overruled}");
    let partly = world.created(&young(json!(["a", "c"]))).await;
    assert!(!warned(&partly, "decided by"), "{partly}");
    // An older one that comes to name the same: the other loses.
    let older = at("older", "2025-01-01T00:00:00Z", json!(["b", "a"]));
    let world = World::new(&[profile("p", json!({})), at("old", "2026-01-01T00:00:00Z", json!(["a"])), {
        at("older", "2025-01-01T00:00:00Z", json!(["x"]))
    }]);
    let response = world.ask(&asking("UPDATE", &older, Some(&at("older", "2025-01-01T00:00:00Z", json!(["x"]))))).await;
    assert!(warned(&response, "spec.match: with this policy in place no request is decided by n/old"), "{response}");
    assert!(!warned(&response, "Conflicted"), "{response}");
    // By itself it is no rival.
    let same = world.ask(&asking("UPDATE", &at("old", "2026-01-01T00:00:00Z", json!(["a"])), None)).await;
    assert!(!warned(&same, "decided by"), "{same}");
}

#[tokio::test]
async fn the_deletion_of_a_profile_in_use_passes_with_a_warning() {
    let deletion = |name: &str| {
        let mut review = asking("DELETE", &profile(name, json!({})), None);
        let request = &mut review["request"];
        request["oldObject"] = request["object"].take();
        review
    };
    let world = World::new(&[profile("p", json!({})), profile("q", json!({})), policy(json!({}))]);
    let used = world.ask(&deletion("p")).await;
    let words =
        "metadata.name: TrustProfile n/p is in use: without it requests are denied with TRUST_UNAVAILABLE by n/a";
    assert!(used["allowed"] == true && warned(&used, words), "{used}");
    let unused = world.ask(&deletion("q")).await;
    assert!(unused["allowed"] == true && unused.get("warnings").is_none(), "{unused}");
    // Nobody holds a deletion up, not even before anything is known.
    let (_views, view) = watch::channel(None);
    let reviewer = Reviewer::new(view, Scope::Cluster, None, || NOW);
    let answer = reviewer.answer(deletion("p").to_string().as_bytes()).await.unwrap();
    assert_eq!(answer.outcome, ReviewOutcome::Allowed);
}

#[tokio::test]
async fn the_sources_of_a_profile_are_looked_for() {
    use super::super::sources;
    let (asker, questions) = sources::channel();
    let cluster = sources::answer_from(
        questions,
        &[("ConfigMap n/there", &["ca.crt"]), ("Secret n/crl", &["ca.crl"]), ("ClusterTrustBundle b", &[])],
        &["Secret n/hidden"],
    );
    let world = World::new(&[]);
    let reviewer = world.reviewer().asking(asker);
    let spec = json!({
        "trustAnchors": [{"configMap": {"name": "there"}}, {"clusterTrustBundle": {"name": "b"}}],
        "intermediates": [{"configMap": {"name": "there", "key": "other"}}, {"configMap": {"name": "absent"}}],
        "revocation": {"mode": "Offline", "crls": [{"secret": {"name": "crl"}}, {"secret": {"name": "hidden"}}]},
    });
    let review = asking("CREATE", &profile("q", spec), None).to_string();
    let answer = tokio::select! {
        answer = reviewer.answer(review.as_bytes()) => answer.unwrap(),
        () = cluster => unreachable!("it answers for ever"),
    };
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let response = &answer["response"];
    assert_eq!(response["allowed"], true);
    for words in [
        "spec.intermediates[0].configMap: ConfigMap n/there has no key \"other\"",
        "spec.intermediates[1].configMap: ConfigMap n/absent does not exist",
        "spec.revocation.crls[1].secret: Secret n/hidden may not be read by certgate",
    ] {
        assert!(warned(response, words), "{words}: {response}");
    }
    assert_eq!(response["warnings"].as_array().unwrap().len(), 3, "{response}");
}
