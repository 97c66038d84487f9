//! API servers that refuse: under strain, and of a make that has no streaming lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;

use crate::certgate::{Answer, Follower};
use crate::chart::ready;
use crate::cluster::Cluster;
use crate::direct::{Etcd, Told, stored_mapping};
use crate::edits::{allow, policy, profile, roots};
use crate::front::{Front, Refusal};
use crate::with_cluster;
use certgate_harness::pki::Pki;
use certgate_harness::wait::{PATIENCE, until};

#[test]
fn without_streaming_lists_it_reads_page_by_page() {
    /// More than two pages.
    const MAPPINGS: usize = 1_100;
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let clients = [pki.client("first"), pki.client("last")];
        let sha256 = |n: usize| match n {
            0 => clients[0].sha256(),
            n if n == MAPPINGS - 1 => clients[1].sha256(),
            n => format!("{n:064x}"),
        };
        // Names sort as they are numbered, so that the last lies on the last page.
        let mapping =
            |n: usize| stored_mapping(&namespace, &format!("m-{n:05}"), &sha256(n), &format!("u-{n}"), 1, Told::Ready);
        Etcd::connect(&cluster).await.put("certificatemappings", &(0..MAPPINGS).map(mapping).collect::<Vec<_>>()).await;
        let host = format!("{namespace}.example");
        let by_mapping = "  mapping: {selector: {matchLabels: {api: payments}}}";
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", by_mapping));

        let front = Front::start(&cluster, |_, path| {
            path.contains("sendInitialEvents").then_some(Refusal {
                code: 422,
                reason: "Invalid",
                message: "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
                retry_after: None,
            })
        })
        .await;
        let follower = Follower::start(front.kubeconfig(), &[&namespace]).await;
        let mut asker = follower.asker().await;
        asker.until(&Answer::allowed("u-0"), &host, &clients[0], PATIENCE).await;
        assert_eq!(asker.ask(&host, "/", Some(&clients[1])).await, Answer::allowed(&format!("u-{}", MAPPINGS - 1)));
        let passed = front.passed();
        let is_page = |asked: &&String| asked.contains("certificatemappings?") && asked.contains("limit=");
        let pages = passed.iter().filter(is_page).count();
        assert_eq!(pages, 3, "{passed:#?}");
        assert!(passed.iter().any(|asked| asked.contains("watch=true") && asked.contains("resourceVersion=")));
        assert!(!passed.iter().any(|asked| asked.contains("sendInitialEvents")));

        // From there on it watches.
        cluster.kubectl(&["delete", "certmap", "m-00000", "-n", &namespace]);
        asker.until(&Answer::Denied(403, "NO_MAPPING".to_owned()), &host, &clients[0], PATIENCE).await;
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("last", "by-rule")));
        asker.until(&Answer::allowed("by-rule"), &host, &clients[1], PATIENCE).await;
    });
}

#[test]
fn a_throttling_server_is_given_the_time_that_it_asks_for() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let (host, client) = (format!("{namespace}.example"), pki.client("acme"));
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "u")));

        let (reads, writes, refused) =
            (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let front = {
            let (reads, writes, refused) = (reads.clone(), writes.clone(), refused.clone());
            Front::start(&cluster, move |method, path| {
                let throttles = match *method {
                    Method::GET => reads.load(Ordering::Relaxed) && !path.contains("/leases/"),
                    Method::PATCH => writes.load(Ordering::Relaxed),
                    _ => false,
                };
                throttles.then(|| {
                    refused.fetch_add(1, Ordering::Relaxed);
                    let message = "the server has received too many requests and has asked us to try again later";
                    Refusal { code: 429, reason: "TooManyRequests", message, retry_after: Some(2) }
                })
            })
            .await
        };

        // Throttled from the start, it waits and says so; each of the three watches, and of those of
        // their definitions, asks once in the two seconds.
        let began = Instant::now();
        let (lease, scope) = (format!("--lease={namespace}/certgate"), format!("--namespace={namespace}"));
        let mut follower =
            Follower::spawn_as(front.kubeconfig(), &["serve", "--kubernetes", &scope, &lease], &[("POD_NAME", "one")]);
        let throttled = "certgate_kubernetes_watch_errors_total{kind=\"CertificatePolicy\",error=\"throttled\"}";
        until("it was throttled twice", PATIENCE, async || {
            follower.metric(throttled).await.filter(|count| *count > 1.0)
        })
        .await;
        let most = 6 * (1 + began.elapsed().as_secs() / 2);
        let asked = refused.load(Ordering::Relaxed);
        assert!(asked as u64 <= most, "asked {asked} times in {:?}", began.elapsed());
        assert!(follower.log().contains("429"), "{}", follower.log());
        assert!(!follower.is_ready().await);
        reads.store(false, Ordering::Relaxed);
        follower.ready().await;
        let mut asker = follower.asker().await;
        asker.until(&Answer::allowed("u"), &host, &client, PATIENCE).await;

        // Decisions follow edits while writing is throttled.
        let failed = "certgate_kubernetes_status_writes_total{result=\"failed\"}";
        until("a write was refused", PATIENCE, async || follower.metric(failed).await).await;
        cluster.apply(&policy(&namespace, "a", &host, "p", &allow("acme", "v")));
        asker.until(&Answer::allowed("v"), &host, &client, PATIENCE).await;
        assert_eq!(ready(&cluster, "certpol", &namespace, "a"), None);
        writes.store(false, Ordering::Relaxed);
        until("the status is written", PATIENCE, async || ready(&cluster, "certpol", &namespace, "a")).await;
    });
}

#[test]
fn a_server_that_fills_its_cache_is_asked_again_soon() {
    /// What the server asks for, and half of it.
    const PAUSE: u64 = 30;
    const SOON: Duration = Duration::from_secs(PAUSE / 2);
    with_cluster(async |cluster: Arc<Cluster>| {
        let namespace = cluster.new_namespace();
        let fills = Arc::new(AtomicBool::new(true));
        let front = {
            let fills = fills.clone();
            Front::start(&cluster, move |_, path| {
                (path.contains("watch=true") && fills.load(Ordering::Relaxed)).then_some(Refusal {
                    code: 429,
                    reason: "TooManyRequests",
                    message: "storage is (re)initializing",
                    retry_after: Some(PAUSE),
                })
            })
            .await
        };
        let follower = Follower::spawn(front.kubeconfig(), &[&namespace]);
        let throttled = "certgate_kubernetes_watch_errors_total{kind=\"CertificateMapping\",error=\"throttled\"}";
        until("it was refused", PATIENCE, async || follower.metric(throttled).await.filter(|count| *count > 0.0)).await;
        fills.store(false, Ordering::Relaxed);
        until("it is ready", SOON, async || follower.is_ready().await.then_some(())).await;
    });
}
