//! Requests that are answered without a verdict, and how long a review takes.

use super::*;

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
