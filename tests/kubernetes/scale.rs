//! The figures with 100,000 mappings, against the real API server and through the real Envoy.
//!
//! `make figures-kubernetes` runs it with an optimized certgate. Edits go to the API server directly, because a kubectl
//! for each would measure kubectl; what kubectl adds is measured too. Times are those of a whole machine that does
//! everything: API server, etcd, Envoy, upstream, clients and certgate.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::admission::{configuration, until_reviewed};
use crate::certgate::{Answer, Follower};
use crate::cluster::Cluster;
use crate::direct::{Direct, Etcd, Told, collection, path, stored_mapping};
use crate::edits::{allow, policy, profile, roots};
use crate::envoy::{Edge, until_met};
use certgate_harness::bars::Bars;
use certgate_harness::client::{Call, Connection};
use certgate_harness::load::{Load, Seen};
use certgate_harness::pki::{Identity, Pki};
use certgate_harness::ports::PortLease;
use certgate_harness::wait::{PATIENCE, until};

const MAPPINGS: usize = 100_000;

/// Edits of one object after the other.
const EDITS: usize = 200;

/// The burst: so many edits in so much time.
const BURST: usize = 5_000;
const BURST_TIME: Duration = Duration::from_secs(10);

const NAMESPACE: &str = "payments";
const WEBHOOK: &str = "certgate-scale";
const PLURAL: &str = "certificatemappings";

/// Reviews of the admission webhook.
const REVIEWS: usize = 300;

/// How often each of the clients asks while the API server is away. They leave the processors to it when it starts again.
const BEAT: Duration = Duration::from_millis(20);

/// How long the API server is away, in seconds.
const OUTAGE: &str = "CERTGATE_OUTAGE_SECONDS";
const OUTAGE_DEFAULT: u64 = 20;

#[test]
#[ignore = "a measurement, for optimized builds"]
fn the_figures_with_a_hundred_thousand_mappings() {
    let Some(cluster) = Cluster::start() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(cluster));
}

async fn measure(mut cluster: Cluster) {
    let whole = Instant::now();
    let mut bars = Bars::new();
    cluster.kubectl(&["create", "namespace", NAMESPACE]);
    let pki = Arc::new(Pki::new());
    let clients: Arc<[Identity]> = (0..BURST).map(|n| pki.client(&format!("partner-{n}"))).collect();
    seed(&cluster, &clients).await;
    cluster.install_definitions();
    cluster.apply(&[roots(NAMESPACE, &pki), profile(NAMESPACE, "p", "[{configMap: {name: roots}}]")].concat());
    let by_mapping = "  mapping: {selector: {matchLabels: {api: payments}}}";
    cluster.apply(&policy(NAMESPACE, "mapped", Pki::SERVER_NAME, "p", by_mapping));
    cluster.apply(&policy(NAMESPACE, "ruled", "ruled.example", "p", &allow("partner-0", "first")));

    // From the start to ready.
    let kubeconfig = cluster.admin_kubeconfig();
    let webhook = PortLease::take();
    // Registered for nobody yet.
    cluster.apply(&configuration(WEBHOOK, webhook.address(), "nobody"));
    let listen = format!("--admission-listen={}", webhook.address());
    let args = [
        "serve",
        "--kubernetes",
        "--lease=default/certgate",
        &listen,
        "--admission-secret=default/certgate-admission",
        &format!("--admission-configuration={WEBHOOK}"),
        "--admission-host=127.0.0.1",
    ];
    println!("the API server refused watches for {:.1?}", served_by_watch(&cluster).await);
    let began = Instant::now();
    let mut follower = Follower::spawn_as(&kubeconfig, &args, &[("POD_NAME", "one")]);
    until("certgate is ready", 4 * PATIENCE, async || follower.is_ready().await.then_some(())).await;
    bars.time("start to ready", began.elapsed(), Duration::from_secs(15));
    let memory = Memory::of(&mut follower);
    bars.count("memory when ready, peak (MiB)", memory.peak, 160);
    println!("memory when ready, settled: {} MiB", memory.now);
    until("the leader leads", PATIENCE, async || {
        (follower.metric("certgate_kubernetes_leader").await == Some(1.0)).then_some(())
    })
    .await;
    let mut asker = follower.asker().await;
    asker.until(&Answer::allowed("user-0"), Pki::SERVER_NAME, &clients[0], PATIENCE).await;

    let edge = Edge::start(&pki, follower.address()).await.expect("the figures need an Envoy");
    let mut connection = edge.client(&pki, &clients[0]).connect().await;
    edits(&cluster, &mut connection, &mut bars).await;
    with_kubectl(&cluster, &mut connection, &mut bars).await;
    reviews(&cluster, webhook.address(), &mut bars).await;
    burst(&cluster, &mut follower, &clients, &mut bars).await;
    let memory = Memory::of(&mut follower);
    println!("memory after the burst: {} MiB, peak {} MiB", memory.now, memory.peak);
    outage(&mut cluster, &edge, &pki, &clients, &mut bars).await;
    // A relist of everything lies behind it.
    let memory = Memory::of(&mut follower);
    bars.count("memory after it all, peak (MiB)", memory.peak, 160);
    bars.count("memory after it all, settled (MiB)", memory.now, 96);
    println!("the whole took {:.0?}", whole.elapsed());
    bars.end();
}

/// Resident memory in MiB.
struct Memory {
    now: u64,
    peak: u64,
}

impl Memory {
    fn of(follower: &mut Follower) -> Self {
        let status = fs::read_to_string(format!("/proc/{}/status", follower.process().id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
        };
        Self { now: field("VmRSS:"), peak: field("VmHWM:") }
    }
}

/// Writes the mappings into etcd; the first of them are those of `clients`.
async fn seed(cluster: &Cluster, clients: &[Identity]) {
    let began = Instant::now();
    let mut etcd = Etcd::connect(cluster).await;
    let sha256 = |n: usize| clients.get(n).map_or_else(|| format!("{n:064x}"), Identity::sha256);
    for from in (0..MAPPINGS).step_by(5_000) {
        let object = |n: usize| stored_mapping(NAMESPACE, &name(n), &sha256(n), &format!("user-{n}"), 1, Told::Ready);
        let objects: Vec<Value> = (from..MAPPINGS.min(from + 5_000)).map(object).collect();
        etcd.put(PLURAL, &objects).await;
    }
    println!("{MAPPINGS} mappings written into etcd in {:.1?}", began.elapsed());
}

/// Awaits that the API server has filled the cache that it watches from. In earnest it has done so long before certgate
/// starts; when it starts itself, that is the greater part of the time until certgate can read anything.
async fn served_by_watch(cluster: &Cluster) -> Duration {
    let began = Instant::now();
    let query = "watch=true&timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name%3Dnobody";
    let path = format!("{}?{query}", collection(PLURAL, NAMESPACE));
    let direct = Direct::connect(cluster).await;
    until("the API server serves watches", 4 * PATIENCE, async || (direct.try_get(&path).await == 200).then_some(()))
        .await;
    began.elapsed()
}

/// Reads all mappings as certgate does, to the end of the list, and gives how long that took and the count of octets. The
/// API server may end the watch before, as certgate's; then it is begun anew.
async fn read_everything(cluster: &Cluster) -> (Duration, usize) {
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let path = format!("{}?{query}&timeoutSeconds=60", collection(PLURAL, NAMESPACE));
    let direct = Direct::connect(cluster).await;
    let end = memchr::memmem::Finder::new("k8s.io/initial-events-end");
    until("a bare client reads everything", 4 * PATIENCE, async || {
        let (began, mut octets, mut tail) = (Instant::now(), 0, Vec::new());
        let mut body = direct.stream(&path).await;
        while end.find(&tail).is_none() {
            let Ok(data) = body.frame().await?.ok()?.into_data() else { continue };
            octets += data.len();
            // The mark may lie across two frames.
            tail.drain(..tail.len().saturating_sub(64));
            tail.extend_from_slice(&data);
        }
        Some((began.elapsed(), octets))
    })
    .await
}

fn name(n: usize) -> String {
    format!("partner-{n:06}")
}

fn user(user: &str) -> Value {
    json!({"spec": {"identity": {"user": user}}})
}

/// The `part`th hundredth of `times`.
fn percentile(times: &mut [Duration], part: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * part / 100).min(times.len() - 1)]
}

/// One edit after the other: of a mapping and of a policy in turn. The time is from the API server's answer to Envoy's first
/// one that differs, and that of the status from the same moment.
async fn edits(cluster: &Cluster, connection: &mut Connection, bars: &mut Bars) {
    let direct = Direct::connect(cluster).await;
    let (mapping, ruled) = (path(PLURAL, NAMESPACE, &name(0)), path("certificatepolicies", NAMESPACE, "ruled"));
    let (mut whole, mut after, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..EDITS {
        let want = format!("edit-{n}");
        let (path, host, patch) = if n % 2 == 0 {
            (&mapping, Pki::SERVER_NAME, user(&want))
        } else {
            let field = json!([{"field": "Subject", "attribute": "CN", "value": "partner-0"}]);
            let rule = json!([{"name": "r", "action": "Allow", "where": field, "identity": {"user": want}}]);
            (&ruled, "ruled.example", json!({"spec": {"mapping": {"rules": rule}}}))
        };
        let sent = Instant::now();
        let generation = direct.merge(path, &patch).await;
        let applied = Instant::now();
        let live = until_met(connection, || Call::get("/").host(host), &Ok(want.clone()), PATIENCE).await;
        after.push(live);
        whole.push(sent.elapsed());
        if n % 5 < 2 {
            until("the status is of this generation", PATIENCE, async || {
                let object = direct.get(path).await;
                (object["status"]["observedGeneration"] == generation).then_some(())
            })
            .await;
            told.push(applied.elapsed());
        }
    }
    for (what, times) in [("edit sent to live in Envoy", &mut whole), ("edit applied to live in Envoy", &mut after)] {
        println!("{what}: p50 {:.1?}, slowest {:.1?}", percentile(times, 50), percentile(times, 100));
        bars.time(&format!("{what}, p99"), percentile(times, 99), Duration::from_secs(1));
    }
    println!("status: p50 {:.1?}", percentile(&mut told, 50));
    bars.time("edit applied to status, slowest", percentile(&mut told, 100), Duration::from_secs(3));
}

/// The same with kubectl's process, from its start.
async fn with_kubectl(cluster: &Cluster, connection: &mut Connection, bars: &mut Bars) {
    let (mut whole, mut after) = (Vec::new(), Vec::new());
    for n in 0..20 {
        let want = format!("kubectl-{n}");
        let began = Instant::now();
        cluster.apply(&policy(NAMESPACE, "ruled", "ruled.example", "p", &allow("partner-0", &want)));
        let live = until_met(connection, || Call::get("/").host("ruled.example"), &Ok(want.clone()), PATIENCE).await;
        after.push(live);
        whole.push(began.elapsed());
    }
    println!("kubectl's end to live in Envoy: p50 {:.1?}", percentile(&mut after, 50));
    bars.time("kubectl's end to live in Envoy, slowest of 20", percentile(&mut after, 100), Duration::from_secs(1));
    bars.time("kubectl's start to live in Envoy, slowest of 20", percentile(&mut whole, 100), Duration::from_secs(1));
}

/// Dry runs of an edit by the API server, without and with the webhook's review.
async fn reviews(cluster: &Cluster, webhook: SocketAddr, bars: &mut Bars) {
    let direct = Direct::connect(cluster).await;
    let mut without = dry_runs(&direct).await;
    cluster.apply(&configuration(WEBHOOK, webhook, NAMESPACE));
    until_reviewed(cluster, NAMESPACE).await;
    let mut with = dry_runs(&direct).await;
    cluster.apply(&configuration(WEBHOOK, webhook, "nobody"));
    println!(
        "dry run of an edit: p50 {:.1?} and p99 {:.1?} without the webhook, p50 {:.1?} with it",
        percentile(&mut without, 50),
        percentile(&mut without, 99),
        percentile(&mut with, 50)
    );
    bars.time("dry run of an edit with the webhook, p99", percentile(&mut with, 99), Duration::from_millis(50));
}

async fn dry_runs(direct: &Direct) -> Vec<Duration> {
    let mut times = Vec::with_capacity(REVIEWS);
    for n in 0..REVIEWS {
        let (path, patch) = (format!("{}?dryRun=All", path(PLURAL, NAMESPACE, &name(n))), user(&format!("dry-{n}")));
        let began = Instant::now();
        let merge = "application/merge-patch+json";
        let (status, body) = direct.send(Method::PATCH, &path, merge, patch.to_string()).await;
        times.push(began.elapsed());
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    times
}

/// What a round of the burst saw.
struct Round {
    /// The whole time of sending.
    took: Duration,
    /// From each edit's answer to the first decision by it.
    lags: Vec<Duration>,
    /// How long decisions took meanwhile.
    decisions: Vec<Duration>,
}

/// Thousands of edits, twice. First the cluster has every processor and sends them in their time, and each is live soon. Then
/// certgate has one processor to itself and the cluster the others, because in earnest a cluster's API server has machines of
/// its own: decisions are compared with those of the same rounds without edits.
async fn burst(cluster: &Cluster, follower: &mut Follower, clients: &Arc<[Identity]>, bars: &mut Bars) {
    let mut whole = round(cluster, follower, clients, Doing::Edits, "first").await;
    println!("{BURST} edits sent in {:.1?}; live: p50 {:.1?}", whole.took, percentile(&mut whole.lags, 50));
    bars.time("burst: time to send it", whole.took, BURST_TIME.mul_f64(1.1));
    bars.time("burst: edit applied to live, slowest", percentile(&mut whole.lags, 100), Duration::from_secs(2));

    let processors = std::thread::available_parallelism().unwrap().get();
    let others = format!("1-{}", processors - 1);
    if processors > 1 {
        pin(follower.process().id(), "0");
        cluster.processes().into_iter().for_each(|process| pin(process, &others));
    }
    let mut quiet = round(cluster, follower, clients, Doing::Nothing, "first").await;
    let mut busy = round(cluster, follower, clients, Doing::Edits, "burst").await;
    let mut after = round(cluster, follower, clients, Doing::Nothing, "burst").await;
    if processors > 1 {
        let all = format!("0-{}", processors - 1);
        pin(follower.process().id(), &all);
        cluster.processes().into_iter().for_each(|process| pin(process, &all));
    }
    println!("the same with processors apart, sent in {:.1?}", busy.took);
    let slowest = percentile(&mut busy.lags, 100);
    bars.time("burst, processors apart: edit applied to live, slowest", slowest, Duration::from_secs(2));
    let (before, during, later) = (
        percentile(&mut quiet.decisions, 99),
        percentile(&mut busy.decisions, 99),
        percentile(&mut after.decisions, 99),
    );
    println!(
        "decisions p99: quiet {before:.1?} of {}, burst {during:.1?} of {}, quiet again {later:.1?}",
        quiet.decisions.len(),
        busy.decisions.len()
    );
    let quiet = (before + later).as_secs_f64() / 2.0;
    bars.loose_ratio("burst: decision p99 by the mean of the quiet ones", during.as_secs_f64() / quiet, 1.5);
}

/// Gives a process' threads to these processors.
fn pin(process: u32, processors: &str) {
    let output = Command::new("taskset").args(["-acp", processors, &process.to_string()]).output();
    assert!(output.is_ok_and(|output| output.status.success()), "taskset (util-linux) pins processes");
}

/// What a round does beside asking.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Doing {
    Edits,
    Nothing,
}

/// Edits every client's mapping to a user that begins with `prefix`, evenly over the burst's time, or finds it so, and asks
/// about each until it is live. Decisions about one client are timed all the while.
async fn round(
    cluster: &Cluster,
    follower: &Follower,
    clients: &Arc<[Identity]>,
    doing: Doing,
    prefix: &'static str,
) -> Round {
    let want = move |n: usize| format!("{prefix}-{n}");
    let stop = Arc::new(AtomicBool::new(false));
    let timed = time_decisions(follower, clients.clone(), stop.clone());

    // Who asks about edits: the oldest first, again and again until it decides.
    let (edits, mut applied) = mpsc::unbounded_channel::<(usize, Instant)>();
    let mut asker = follower.asker().await;
    let known = clients.clone();
    let watched = tokio::spawn(async move {
        let mut lags = Vec::with_capacity(BURST);
        while let Some((n, at)) = applied.recv().await {
            asker.until(&Answer::allowed(&want(n)), Pki::SERVER_NAME, &known[n], PATIENCE).await;
            lags.push(at.elapsed());
        }
        lags
    });

    let direct = Direct::connect(cluster).await;
    let began = tokio::time::Instant::now();
    let mut editors = tokio::task::JoinSet::new();
    for editor in 0..EDITORS {
        let (direct, edits) = (direct.clone(), edits.clone());
        editors.spawn(async move {
            for n in (editor..BURST).step_by(EDITORS) {
                let due = BURST_TIME.mul_f64(n as f64 / BURST as f64);
                tokio::time::sleep_until(began + due).await;
                if doing == Doing::Edits {
                    direct.merge(&path(PLURAL, NAMESPACE, &name(n)), &user(&want(n))).await;
                }
                edits.send((n, Instant::now())).unwrap();
            }
        });
    }
    drop(edits);
    while let Some(editor) = editors.join_next().await {
        editor.unwrap();
    }
    let took = began.elapsed();
    let lags = watched.await.unwrap();
    stop.store(true, Ordering::Relaxed);
    Round { took, lags, decisions: timed.join().unwrap() }
}

/// How many edits are on their way at once.
const EDITORS: usize = 16;

/// Times decisions until told to stop, on a thread of its own, at some hundreds a second.
fn time_decisions(
    follower: &Follower,
    clients: Arc<[Identity]>,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<Vec<Duration>> {
    let connect = follower.asker_of();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut asker = connect.await;
            let mut times = Vec::new();
            let mut beat = tokio::time::interval(Duration::from_millis(2));
            while !stop.load(Ordering::Relaxed) {
                beat.tick().await;
                let began = Instant::now();
                let answer = asker.ask("ruled.example", "/", Some(&clients[0])).await;
                times.push(began.elapsed());
                assert!(matches!(answer, Answer::Allowed(_)), "{answer:?}");
            }
            times
        })
    })
}

/// The API server goes away under load and comes back; edits made in between are live soon. With its own start it first
/// reads every object from etcd, at some ten thousand a second, and answers no watch until then: nobody can see an edit
/// sooner but by reading objects one by one, or in pages that take it as long again. So time runs from its first answer.
async fn outage(cluster: &mut Cluster, edge: &Edge, pki: &Pki, clients: &[Identity], bars: &mut Bars) {
    let seconds = std::env::var(OUTAGE).map_or(OUTAGE_DEFAULT, |text| text.parse().unwrap());
    let connect = |n: usize| edge.client(pki, &clients[n]);
    let load = Load::start_paced((1..5).map(connect), "/", BEAT);
    load.answers(100).await;
    cluster.stop_api();
    let away = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    // Somebody else's API server, say: edits are in etcd that certgate has not been told of. They are of the first mapping
    // that a list tells, and of the last, which becomes another client's.
    let late = pki.client("late");
    let edit = |n: usize, client: &Identity, user: &str| {
        stored_mapping(NAMESPACE, &name(n), &client.sha256(), user, 1_000_000, Told::Ready)
    };
    let edits = [edit(0, &clients[0], "missed"), edit(MAPPINGS - 1, &late, "late")];
    Etcd::connect(cluster).await.put(PLURAL, &edits).await;
    tokio::task::block_in_place(|| cluster.start_api());
    let returned = Instant::now();
    let serves = served_by_watch(cluster).await;
    for (client, user) in [(&clients[0], "missed"), (&late, "late")] {
        let mut connection = edge.client(pki, client).connect().await;
        until_met(&mut connection, || Call::get("/"), &Ok(user.to_owned()), 4 * PATIENCE).await;
    }
    let live = returned.elapsed();
    // The same without certgate: a bare client that reads everything and looks at nothing.
    let (bare, octets) = read_everything(cluster).await;
    let samples = load.stop().await;
    println!("the API server was away for {:.1?}; {} decisions meanwhile", returned - away, samples.len());
    println!(
        "readyz to the missed edits live: {live:.1?}. The API server refused watches for {serves:.1?} of it, and a bare client \
         reads its {} MiB in {bare:.1?}",
        octets >> 20
    );
    let since = live.saturating_sub(serves);
    bars.time("missed edits live after the API server serves watches", since, Duration::from_secs(10));
    // Told and not judged: on a busy machine the two do not meet the same API server.
    println!("of this, longer than a bare client: {:.1?}", since.saturating_sub(bare));
    let served = |seen: &Seen| matches!(seen, Seen::Served { user: Some(user), .. } if user.starts_with("burst-"));
    let other: Vec<_> = samples.iter().map(|sample| &sample.seen).filter(|&seen| !served(seen)).collect();
    bars.count("decisions that failed or changed", other.len(), 0);
    if let Some(first) = other.first() {
        println!("the first of them: {first:?}");
    }
}
