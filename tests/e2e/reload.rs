//! The directory is edited while requests go on.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::with_envoy;
use certgate_harness::certgate::Certgate;
use certgate_harness::client::Call;
use certgate_harness::load::{Load, Sample, Seen};
use certgate_harness::pki::{Identity, Pki};
use certgate_harness::policies::{PolicyDirectory, documents, indent, mapping, policy, trust};
use certgate_harness::process::Process;
use certgate_harness::wait::{PATIENCE, until};
use certgate_harness::world::World;

/// An edit is live within this time.
const LIVE: Duration = Duration::from_secs(1);

fn clients(pki: &Pki) -> String {
    trust("clients", &[pki.root.pem()], &format!("intermediates:\n- inline: |\n{}", indent(&pki.issuing.pem(), 4)))
}

/// Profile and policy over mapping objects with a label.
fn base(pki: &Pki, label: &str) -> String {
    let open = policy(
        "open",
        &format!(
            "match: [{{paths: [{{prefix: /}}]}}]\ntrustRef: {{name: clients}}\n\
             mapping: {{selector: {{matchLabels: {{api: {label}}}}}}}\n"
        ),
    );
    documents([clients(pki).as_str(), open.as_str()])
}

/// A mapping object that says its number twice.
fn account(identity: &Identity, number: usize) -> String {
    mapping(
        "account",
        &format!(
            "certificate: {{sha256: \"{}\"}}\nidentity: {{user: user-{number}, groups: [group-{number}]}}\n",
            identity.sha256()
        ),
    )
}

fn served(number: usize) -> Seen {
    Seen::Served { user: Some(format!("user-{number}")), groups: Some(format!("group-{number}")) }
}

/// How long after `edited` the first answer of the new kind came; panics unless all later ones are of that kind.
fn latency(samples: &[Sample], edited: Instant, until: Instant, old: &Seen, new: &Seen) -> Duration {
    let during: Vec<_> = samples.iter().filter(|s| s.answered >= edited && s.answered < until).collect();
    let first = during.iter().position(|s| s.seen == *new).unwrap_or_else(|| panic!("{new:?} was never seen"));
    let live = during[first].answered;
    for sample in &during {
        // Requests in flight may end in either way, later ones in one way.
        let fine = if sample.sent > live { sample.seen == *new } else { sample.seen == *old || sample.seen == *new };
        assert!(fine, "{sample:?} between {old:?} and {new:?}");
    }
    live - edited
}

/// Checks that the edits at these moments (the last is the end) went live cleanly, and most of them within [`LIVE`].
/// Policies are compiled at low priority: on a machine that is busy with something else, one or the other edit waits.
fn live(samples: &[Sample], edits: &[Instant]) {
    let span = |(at, pair): (usize, &[Instant])| latency(samples, pair[0], pair[1], &served(at), &served(at + 1));
    let mut took: Vec<_> = edits.windows(2).enumerate().map(span).collect();
    println!("live after {:?} ms", took.iter().map(Duration::as_millis).collect::<Vec<_>>());
    took.sort_unstable();
    assert!(took[took.len() / 2] < LIVE, "{took:?}");
}

/// Every way in which editors and Kubernetes change a file.
#[test]
fn edits_under_load() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let base = base(&pki, "test");
        let directory = PolicyDirectory::with(&base);
        directory.write("account.yaml", &account(&acme, 0));
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        let load = Load::start(vec![world.client(&acme); 8], "/");
        load.answers(100).await;
        let mut edits = Vec::new();
        for number in 1..=12 {
            let text = account(&acme, number);
            edits.push(Instant::now());
            if number % 2 == 0 {
                world.policies.replace("account.yaml", &text)
            } else {
                drop(world.policies.write("account.yaml", &text))
            }
            until("the edit is live", PATIENCE, async || {
                (world.get(&acme, "/").await.reply.echo().header("x-certgate-user") == Some(&format!("user-{number}")))
                    .then_some(())
            })
            .await;
            load.answers(50).await;
        }
        let samples = load.stop().await;
        edits.push(Instant::now());
        live(&samples, &edits);
        println!("{} requests", samples.len());
    });
}

/// A file that cannot be read as what it is may hide a stricter policy: the whole reload is refused.
#[test]
fn a_broken_file_keeps_the_last_snapshot() {
    let broken = [
        ("no YAML", "kind: [unclosed\n"),
        (
            "an unknown field",
            "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: x}\nspec: {trustRef: {name: clients}, conditions: []}\n",
        ),
        (
            "an unknown word",
            "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: x}\nspec: {trustRef: {name: clients}, mode: Maybe}\n",
        ),
        (
            "an unknown kind of our group",
            "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolice\nmetadata: {name: x}\nspec: {}\n",
        ),
        (
            "an unknown version of our group",
            "apiVersion: certgate.dev/v9\nkind: CertificatePolicy\nmetadata: {name: x}\nspec: {trustRef: {name: clients}}\n",
        ),
        (
            "a duplicate key",
            "apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nkind: TrustProfile\nmetadata: {name: x}\nspec: {}\n",
        ),
    ];
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let base = base(&pki, "test");
        let directory = PolicyDirectory::with(&base);
        directory.write("account.yaml", &account(&acme, 0));
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        let load = Load::start(vec![world.client(&acme); 2], "/");
        for (number, (name, text)) in broken.iter().enumerate() {
            println!("{name}");
            let before = world.certgate.log().len();
            world.policies.replace("broken.yaml", text);
            until("the log tells of the broken file", PATIENCE, async || {
                world.certgate.log().get(before..).is_some_and(|log| log.contains("broken.yaml")).then_some(())
            })
            .await;
            // An edit elsewhere is not taken over while the directory cannot be read whole.
            world.policies.replace("account.yaml", account(&acme, number + 1));
            load.answers(20).await;
            world.get(&acme, "/").await.allowed_as(&format!("user-{number}"));
            world.policies.remove("broken.yaml");
            until("the mended directory is live", PATIENCE, async || {
                (world.get(&acme, "/").await.reply.echo().header("x-certgate-user")
                    == Some(&format!("user-{}", number + 1)))
                .then_some(())
            })
            .await;
        }
        let metrics = world.certgate.metrics().await;
        assert!(metrics.lines().any(|l| l.contains("error") && l.contains("load") && !l.starts_with('#')), "{metrics}");
        let samples = load.stop().await;
        assert!(samples.iter().all(|s| matches!(s.seen, Seen::Served { .. })), "no request noticed");
    });
}

/// What fits its kind and does not compile denies what it selects, and nothing else.
#[test]
fn an_edit_that_does_not_compile_denies() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let good = policy("narrow", "match: [{paths: [{prefix: /narrow}]}]\ntrustRef: {name: clients}\n");
        let bad = policy(
            "narrow",
            "match: [{paths: [{prefix: /narrow}]}]\ntrustRef: {name: clients}\nresponse: {denial: {status: 200}}\n",
        );
        let wide = policy("wide", "match: [{paths: [{prefix: /}]}]\ntrustRef: {name: clients}\n");
        let texts = documents([clients(&pki).as_str(), wide.as_str()]);
        let directory = PolicyDirectory::with(&texts);
        directory.write("narrow.yaml", &good);
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        world.get(&acme, "/narrow").await.allowed_as("CN=acme");
        world.policies.replace("narrow.yaml", &bad);
        until("the edit is live", PATIENCE, async || (!world.get(&acme, "/narrow").await.reply.served()).then_some(()))
            .await;
        world.get(&acme, "/narrow").await.denied(403, "POLICY_INVALID");
        world.get(&acme, "/").await.allowed_as("CN=acme");
        // Two objects of one name are an error of both, wherever they stand.
        world.policies.replace("narrow.yaml", &good);
        until("the edit is live", PATIENCE, async || world.get(&acme, "/narrow").await.reply.served().then_some(()))
            .await;
        world.policies.write("sub/again.yaml", &good);
        until("the duplicate is live", PATIENCE, async || {
            (!world.get(&acme, "/narrow").await.reply.served()).then_some(())
        })
        .await;
        world.get(&acme, "/narrow").await.denied(403, "POLICY_INVALID");
        world.policies.remove("sub/again.yaml");
        until("the duplicate is gone", PATIENCE, async || {
            world.get(&acme, "/narrow").await.reply.served().then_some(())
        })
        .await;
        // A policy that is removed protects nothing any more, and what it selected falls to the next.
        world.policies.remove("narrow.yaml");
        until("the policy is gone", PATIENCE, async || {
            (world.get(&acme, "/narrow").await.access.told("/policy") == Some("test/wide")).then_some(())
        })
        .await;
    });
}

/// A mounted ConfigMap: all files change at once, by one rename of a symbolic link.
#[test]
fn a_mounted_config_map_is_swapped() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        // Policy and mapping agree on a label: a state between two versions would map nobody.
        let labelled = |number: usize| base(&pki, &format!("test-{number}"));
        let versions: Vec<String> = (0..=5).map(labelled).collect();
        let directory = PolicyDirectory::with("");
        directory.remove("policies.yaml");
        let write_version = |directory: &PolicyDirectory, number: usize| {
            let version = format!("..2026_11_{number}");
            directory.write(&format!("{version}/policies.yaml"), &versions[number]);
            let account = account(&acme, number).replace("api: test", &format!("api: test-{number}"));
            directory.write(&format!("{version}/account.yaml"), &account);
            symlink(&version, directory.path().join("..data_tmp")).expect("a link can be made");
            fs::rename(directory.path().join("..data_tmp"), directory.path().join("..data"))
                .expect("a link can be renamed");
        };
        write_version(&directory, 0);
        for name in ["policies.yaml", "account.yaml"] {
            symlink(format!("..data/{name}"), directory.path().join(name)).expect("a link can be made");
        }
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        world.get(&acme, "/").await.allowed_as("user-0");
        let load = Load::start(vec![world.client(&acme); 4], "/");
        load.answers(50).await;
        let mut edits = Vec::new();
        for number in 1..=5 {
            edits.push(Instant::now());
            write_version(&world.policies, number);
            until("the swap is live", PATIENCE, async || {
                (world.get(&acme, "/").await.reply.echo().header("x-certgate-user") == Some(&format!("user-{number}")))
                    .then_some(())
            })
            .await;
            fs::remove_dir_all(world.policies.path().join(format!("..2026_11_{}", number - 1)))
                .expect("kubelet tidies up");
            load.answers(50).await;
        }
        let samples = load.stop().await;
        edits.push(Instant::now());
        live(&samples, &edits);
    });
}

/// A trust source keeps its last good content while the process lives.
#[test]
fn trust_sources_change_and_break() {
    with_envoy(async {
        let pki = Pki::new();
        let (acme, second) = (pki.client("acme"), Pki::new());
        let other = second.client("other");
        let profile = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: clients, namespace: test}\n\
                       spec:\n  trustAnchors: [{file: ca/root.pem}]\n  intermediates: [{file: ca/issuing.pem}]\n";
        let open = policy("open", "match: [{paths: [{prefix: /}]}]\ntrustRef: {name: clients}\n");
        let directory = PolicyDirectory::with(&documents([profile, open.as_str()]));
        directory.write("ca/root.pem", &pki.root.pem());
        directory.write("ca/issuing.pem", &format!("{}{}", pki.issuing.pem(), second.issuing.pem()));
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        world.get(&acme, "/").await.allowed_as("CN=acme");
        // The two authorities have one name: what tells them apart is the key.
        world.get(&other, "/").await.denied(403, "SIGNATURE_INVALID");

        world.policies.write("ca/root.pem", &second.root.pem());
        until("the new anchor is live", PATIENCE, async || world.get(&other, "/").await.reply.served().then_some(()))
            .await;
        world.get(&acme, "/").await.denied(403, "SIGNATURE_INVALID");

        let before = world.certgate.log().len();
        world.policies.write("ca/root.pem", "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n");
        until("the log tells of the broken anchor", PATIENCE, async || {
            world
                .certgate
                .log()
                .get(before..)
                .is_some_and(|log| log.contains("spec.trustAnchors[0].file") && log.contains("last good"))
                .then_some(())
        })
        .await;
        world.get(&other, "/").await.allowed_as("CN=other");
        let degraded = "certgate_trust_profile_degraded{profile=\"test/clients\"} 1";
        assert!(
            world.certgate.metrics().await.contains(degraded),
            "metrics tell what goes on by its last good content"
        );
        world.policies.write("ca/root.pem", &second.root.pem());
        until("the profile is as written", PATIENCE, async || {
            (!world.certgate.metrics().await.contains(degraded)).then_some(())
        })
        .await;
        world.policies.remove("ca/root.pem");
        until("its source is gone", PATIENCE, async || world.certgate.metrics().await.contains(degraded).then_some(()))
            .await;
        world.policies.write("touch.yaml", "");
        let call = || world.call(&other, Call::get("/"));
        for _ in 0..20 {
            call().await.allowed_as("CN=other");
        }
    });
}

/// As when a volume is unmounted or a checkout fails: those who were let in are let in.
#[test]
fn an_emptied_directory_keeps_the_last_snapshot() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let open = policy("open", "match: [{paths: [{prefix: /}]}]\ntrustRef: {name: clients}\n");
        let directory = PolicyDirectory::with(&documents([clients(&pki).as_str(), open.as_str()]));
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        world.get(&acme, "/").await.allowed_as("CN=acme");
        let file = world.policies.path().join("policies.yaml");
        let text = fs::read_to_string(&file).expect("the file is there");
        world.policies.remove("policies.yaml");
        until("the log tells of it", PATIENCE, async || {
            world.certgate.log().contains("no longer holds any object").then_some(())
        })
        .await;
        world.get(&acme, "/").await.allowed_as("CN=acme");
        let metrics = world.certgate.metrics().await;
        for line in ["certgate_policy_load_errors 1", "certgate_policies 1"] {
            assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
        }
        world.policies.replace("policies.yaml", &text);
        until("the directory is taken over again", PATIENCE, async || {
            world.certgate.metrics().await.lines().any(|line| line == "certgate_policy_load_errors 0").then_some(())
        })
        .await;
        world.get(&acme, "/").await.allowed_as("CN=acme");
    });
}

/// At start there is no last snapshot: all errors are listed, and certgate ends.
#[test]
fn a_broken_directory_at_start() {
    with_envoy(async {
        let pki = Pki::new();
        let directory = PolicyDirectory::with(&base(&pki, "test"));
        directory.write(
            "one.yaml",
            "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: x}\nspec:\n  trustAnchor: []\n",
        );
        directory.write("deep/two.yaml", "a: b\nc: [\n");
        let mut certgate = Certgate::spawn(directory.path());
        let status = Process::wait(certgate.process(), PATIENCE).await;
        assert!(!status.success());
        let log = certgate.log();
        assert!(log.contains("one.yaml:5") && log.contains("spec.trustAnchor"), "{log}");
        assert!(log.contains("two.yaml:"), "all errors at once: {log}");
    });
}
