//! The leader changes while objects are edited: every status comes true, and writers do not undo each other's work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::certgate::Follower;
use crate::chart::ready;
use crate::cluster::Cluster;
use crate::direct::{Direct, collection, path};
use crate::edits::{allow, policy, profile, roots};
use crate::front::Front;
use crate::replicas::{leads, writer};
use crate::with_cluster;
use certgate_harness::pki::Pki;
use certgate_harness::process::Signal;
use certgate_harness::wait::{PATIENCE, until};

const PLURAL: &str = "certificatepolicies";

/// Objects that are edited in turn.
const OBJECTS: usize = 24;

/// Between two edits.
const BEAT: Duration = Duration::from_millis(20);

/// How long nothing may be written when there is nothing to tell.
const QUIET: Duration = Duration::from_secs(2);

fn name(n: usize) -> String {
    format!("a-{n}")
}

/// The `n`th edit: every third is one that the definitions take and certgate does not.
fn edit(n: usize) -> Value {
    let value = if is_good(n) { format!("user-{n}") } else { format!("a\\b-{n}") };
    json!({"spec": {"mapping": {"rules": [
        {"name": "r", "action": "Allow", "where": [{"field": "DNS", "value": value}], "identity": {"user": "u"}},
    ]}}})
}

fn is_good(n: usize) -> bool {
    !n.is_multiple_of(3)
}

/// Edits one object after the other until it is stopped; what it has done stays.
struct Editor {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Editor {
    fn start(direct: &Direct, namespace: &str, done: &Arc<AtomicUsize>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), done.clone());
        let (direct, namespace) = (direct.clone(), namespace.to_owned());
        let (stopped, count) = (stop.clone(), done.clone());
        let task = tokio::spawn(async move {
            let mut beat = tokio::time::interval(BEAT);
            while !stopped.load(Ordering::Relaxed) {
                beat.tick().await;
                let n = count.load(Ordering::Relaxed);
                direct.merge(&path(PLURAL, &namespace, &name(n % OBJECTS)), &edit(n)).await;
                count.store(n + 1, Ordering::Relaxed);
            }
        });
        Self { stop, done, task }
    }

    /// Awaits so many more edits.
    async fn edits(&self, more: usize) {
        let goal = self.done.load(Ordering::Relaxed) + more;
        until("objects are edited", PATIENCE, async || (self.done.load(Ordering::Relaxed) >= goal).then_some(())).await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

/// The objects, in the order of their names' numbers.
async fn objects(direct: &Direct, namespace: &str) -> Vec<Value> {
    let list = direct.get(&collection(PLURAL, namespace)).await;
    let find = |n: usize| list["items"].as_array().unwrap().iter().find(|one| one["metadata"]["name"] == name(n));
    (0..OBJECTS).map(|n| find(n).unwrap().clone()).collect()
}

/// The first object whose status does not tell its generation as the last of `edits` left it.
async fn untold(direct: &Direct, namespace: &str, edits: usize) -> Option<Value> {
    let last = |object: usize| (0..edits).rev().find(|n| n % OBJECTS == object).unwrap();
    let tells = |(n, object): &(usize, Value)| {
        let generation = &object["metadata"]["generation"];
        let want = if is_good(last(*n)) { "True" } else { "False" };
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        object["status"]["observedGeneration"] == *generation
            && ready.is_some_and(|ready| ready["status"] == want && ready["observedGeneration"] == *generation)
    };
    let all = objects(direct, namespace).await;
    all.into_iter().enumerate().find(|one| !tells(one)).map(|(_, object)| object)
}

/// Awaits that every status is true, then sees that nobody writes any more.
async fn all_told(direct: &Direct, namespace: &str, edits: usize) {
    let began = std::time::Instant::now();
    while let Some(object) = untold(direct, namespace, edits).await {
        assert!(began.elapsed() < PATIENCE, "not told: {object:#}");
        tokio::time::sleep(BEAT).await;
    }
    println!("every status of {edits} edits is true after {:?}", began.elapsed());
    let versions = async || {
        let all = objects(direct, namespace).await;
        all.iter().map(|object| object["metadata"]["resourceVersion"].clone()).collect::<Vec<_>>()
    };
    let before = versions().await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(versions().await, before, "somebody writes what is true already");
}

#[test]
fn a_status_that_somebody_overtook_is_not_written() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let host = |name: &str| format!("{name}.{namespace}.example");
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(
            &["noted", "edited"].map(|name| policy(&namespace, name, &host(name), "p", &allow("acme", "u"))).concat(),
        );
        // Between certgate's look at an object and its write, somebody changes the object: once each.
        let overtaken = AtomicUsize::new(0);
        let (ahead, namespaced) = (cluster.clone(), namespace.clone());
        let front = Front::start(&cluster, move |method, path| {
            let is_about = |name: &str| *method == Method::PATCH && path.contains(&format!("/{name}/status"));
            if is_about("noted") && overtaken.fetch_or(1, Ordering::Relaxed) & 1 == 0 {
                ahead.kubectl(&["annotate", "certpol", "noted", "-n", &namespaced, "seen=yes"]);
            }
            if is_about("edited") && overtaken.fetch_or(2, Ordering::Relaxed) & 2 == 0 {
                let patch = edit(1).to_string();
                ahead.kubectl(&["patch", "certpol", "edited", "-n", &namespaced, "--type=merge", "-p", &patch]);
            }
            None
        })
        .await;
        let (lease, scope) = (format!("--lease={namespace}/certgate"), format!("--namespace={namespace}"));
        let args = ["serve", "--kubernetes", &scope, &lease];
        let follower = Follower::start_as(front.kubeconfig(), &args, &[("POD_NAME", "one")]).await;
        for name in ["noted", "edited"] {
            until(&format!("the status of {name} is true"), PATIENCE, async || {
                ready(&cluster, "certpol", &namespace, name)
            })
            .await;
        }
        let writes = async |result: &str| {
            follower.metric(&format!("certgate_kubernetes_status_writes_total{{result=\"{result}\"}}")).await
        };
        // More than once each where certgate tries again before its watch has told it of the change.
        assert!(writes("superseded").await >= Some(2.0));
        // The profile's is the third.
        until("each status is written once", PATIENCE, async || (writes("written").await == Some(3.0)).then_some(()))
            .await;
    });
}

#[test]
fn a_change_of_leaders_loses_no_status_and_undoes_none() {
    with_cluster(async |cluster: Arc<Cluster>| {
        let (namespace, pki) = (cluster.new_namespace(), Pki::new());
        let host = |n: usize| format!("{n}.{namespace}.example");
        let all: Vec<_> =
            (0..OBJECTS).map(|n| policy(&namespace, &name(n), &host(n), "p", &allow("acme", "u"))).collect();
        cluster.apply(&[roots(&namespace, &pki), profile(&namespace, "p", "[{configMap: {name: roots}}]")].concat());
        cluster.apply(&all.concat());
        let first = writer(&cluster, &namespace, "first").await;
        until("the first leads", PATIENCE, async || leads(&first).await).await;
        let mut second = writer(&cluster, &namespace, "second").await;
        let direct = Direct::connect(&cluster).await;
        let done = Arc::new(AtomicUsize::new(0));

        // The leader stops short, in the midst of writing, and the other one's turn comes when the lease has run out.
        let editor = Editor::start(&direct, &namespace, &done);
        editor.edits(2 * OBJECTS).await;
        let written = "certgate_kubernetes_status_writes_total{result=\"written\"}";
        until("the first writes", PATIENCE, async || first.metric(written).await).await;
        first.signal(Signal::STOP);
        until("the second leads", 2 * PATIENCE, async || leads(&second).await).await;
        editor.edits(OBJECTS).await;
        editor.stop().await;
        all_told(&direct, &namespace, done.load(Ordering::Relaxed)).await;

        // The former leader wakes up with writes under way that are about the past.
        first.signal(Signal::CONT);
        until("the first knows that it leads no more", PATIENCE, async || {
            (first.metric("certgate_kubernetes_leader").await == Some(0.0)).then_some(())
        })
        .await;
        all_told(&direct, &namespace, done.load(Ordering::Relaxed)).await;
        assert!(leads(&second).await.is_some());

        // A leader that is told to stop hands over while edits go on.
        let editor = Editor::start(&direct, &namespace, &done);
        editor.edits(OBJECTS).await;
        second.process().signal(Signal::TERM);
        until("the first leads again", PATIENCE, async || leads(&first).await).await;
        assert!(second.process().wait(PATIENCE).await.success(), "{}", second.log());
        editor.edits(OBJECTS).await;
        editor.stop().await;
        all_told(&direct, &namespace, done.load(Ordering::Relaxed)).await;
        // One field manager, whoever leads.
        for object in objects(&direct, &namespace).await {
            let fields = object["metadata"]["managedFields"].as_array().unwrap();
            let of_status = fields.iter().filter(|fields| fields["subresource"] == "status").count();
            assert_eq!(of_status, 1, "{object:#?}");
        }
    });
}
