//! Revocation through the real Envoy: what denies and in which words, how soon a changed CRL decides, and what readiness and
//! metrics tell of CRLs.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::with_envoy;
use certgate_harness::certgate::{Certgate, binary};
use certgate_harness::pki::{Identity, Leaf, Pki, crl_pem};
use certgate_harness::policies::{PolicyDirectory, documents, indent, policy, trust};
use certgate_harness::wait::{PATIENCE, until};
use certgate_harness::world::{Rows, World};

/// A changed CRL decides within this time.
const LIVE: Duration = Duration::from_secs(1);

/// How the CRLs of the issuing authority are labelled in metrics.
const ISSUER: &str = "CN=Clients Issuing,O=Certgate Test";

const ACME: &[u8] = &[0x31];
const MALLORY: &[u8] = &[0x32];

fn client(pki: &Pki, name: &str, serial: &[u8]) -> Identity {
    pki.issuing.issue(Leaf::client(name).serial(serial))
}

/// A profile and a policy for all paths below `/NAME`; `revocation` are the lines below `revocation:`.
fn checked(pki: &Pki, name: &str, revocation: &str) -> String {
    let rest = format!(
        "intermediates:\n- inline: |\n{}revocation:\n  mode: Offline\n{}",
        indent(&pki.issuing.pem(), 4),
        indent(revocation, 2)
    );
    let by_path = policy(name, &format!("match: [{{paths: [{{prefix: /{name}}}]}}]\ntrustRef: {{name: {name}}}\n"));
    documents([trust(name, &[pki.root.pem()], &rest).as_str(), by_path.as_str()])
}

/// `crls:` with these lists inline.
fn inline(crls: &[Vec<u8>]) -> String {
    let one = |der: &Vec<u8>| format!("- inline: |\n{}", indent(&crl_pem(der), 4));
    format!("crls:\n{}", crls.iter().map(one).collect::<String>())
}

/// Runs `certgate explain` about a client's request for `path`; gives the exit code and the page with its white space
/// collapsed.
fn explain(identity: &Identity, path: &str, words: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let (certificate, _) = identity.write(directory.path(), "client");
    let mut command = Command::new(binary());
    command.env_remove("CERTGATE_POLICIES").env_remove("CERTGATE_SERVER").arg("explain");
    command.args(["--host", Pki::SERVER_NAME, "--path", path, "--certificate"]).arg(certificate).args(words);
    let output = command.output().expect("certgate runs");
    let page = String::from_utf8(output.stdout).expect("a page is text");
    (output.status.code(), page.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn each_status_denies_with_its_reason() {
    with_envoy(async {
        let pki = Pki::new();
        let (acme, mallory) = (client(&pki, "acme", ACME), client(&pki, "mallory", MALLORY));
        let of_root = || pki.root.crl(1, &[]);
        let lists = || pki.issuing.crl(7, &[MALLORY]);
        let stale = || pki.issuing.stale_crl(6);
        let profiles = [
            checked(&pki, "good", &inline(&[lists(), of_root()])),
            checked(&pki, "unknown", &inline(&[of_root()])),
            checked(&pki, "lenient", &format!("onUnknown: Allow\n{}", inline(&[of_root()]))),
            checked(&pki, "stale", &inline(&[stale(), of_root()])),
            checked(&pki, "old", &format!("maxAge: 30m\n{}", inline(&[lists(), of_root()]))),
        ];
        let world = World::start(pki, &profiles.concat()).await;
        let table = [
            ("not listed", "/good", &acme, Ok("CN=acme")),
            ("listed", "/good", &mallory, Err("CERT_REVOKED")),
            ("no CRL", "/unknown", &acme, Err("REVOCATION_UNKNOWN")),
            ("no CRL, but Allow", "/lenient", &acme, Ok("CN=acme")),
            ("past nextUpdate", "/stale", &acme, Err("REVOCATION_STALE")),
            ("past maxAge", "/old", &acme, Err("REVOCATION_STALE")),
            ("past maxAge, but listed", "/old", &mallory, Err("CERT_REVOKED")),
        ];
        let mut rows = Rows::default();
        for (name, path, identity, want) in table {
            rows.row(name, &world.get(identity, path).await, want);
        }
        rows.end();

        // Explained: by the directory and by the live server, for people and for programs.
        let policies = world.policies.path().display().to_string();
        let server = format!("http://{}", world.certgate.admin());
        let when_and_why = "revoked at 2026-01-02T00:00:00Z for keyCompromise";
        let by_which = format!("by CRL of [{ISSUER}] number 7");
        for asked in [["--policies", &policies], ["--server", &server]] {
            let (code, page) = explain(&mallory, "/good", &asked);
            assert_eq!(code, Some(1), "{page}");
            for words in ["DENY CERT_REVOKED (IIS 403.13)", when_and_why, &by_which] {
                assert!(page.contains(words), "{words}: {page}");
            }
            let (code, page) = explain(&mallory, "/good", &[&asked[..], &["--output", "json"]].concat());
            let json: Value = serde_json::from_str(&page).expect("JSON");
            let reason = &json["decision"]["reason"];
            assert_eq!((code, &reason["code"]), (Some(1), &Value::from("CERT_REVOKED")), "{page}");
            assert!(reason["detail"].as_str().is_some_and(|detail| detail.contains(when_and_why)), "{page}");
            let steps = json["steps"].as_array().expect("steps");
            let step = |step: &Value| step["stage"] == "revocation" && step["detail"].to_string().contains(&by_which);
            assert!(steps.iter().any(step), "{page}");
            let (code, page) = explain(&acme, "/good", &asked);
            assert_eq!(code, Some(0), "{page}");
            assert!(page.contains(&format!("is not listed in CRL of [{ISSUER}] number 7")), "{page}");
            let (_, page) = explain(&acme, "/unknown", &asked);
            assert!(page.contains("DENY REVOCATION_UNKNOWN"), "{page}");
            let (_, page) = explain(&acme, "/stale", &asked);
            assert!(page.contains("DENY REVOCATION_STALE") && page.contains("number 6"), "{page}");
        }
    });
}

/// A text document with the CRL under `ca.crl`.
fn document(kind: &str, crl: &[u8]) -> String {
    let data = if kind == "ConfigMap" { "binaryData" } else { "data" };
    format!(
        "apiVersion: v1\nkind: {kind}\nmetadata: {{name: crl, namespace: test}}\n{data}: {{ca.crl: {}}}\n",
        STANDARD.encode(crl)
    )
}

/// A path whose profile takes its CRL from a file, and what that file holds for a CRL.
type Source<'a> = (&'a str, &'a str, &'a dyn Fn(&Pki, &[u8]) -> Vec<u8>);

#[test]
fn a_changed_crl_is_live_within_a_second() {
    const ROUNDS: u64 = 6;
    with_envoy(async {
        let pki = Pki::new();
        let acme = client(&pki, "acme", ACME);
        let clear = pki.issuing.crl(1, &[]);
        let leaf_only = |crls: &str| format!("scope: EndEntity\ncrls: [{crls}]\n");
        let in_line =
            |pki: &Pki, crl: &[u8]| checked(pki, "inline", &format!("scope: EndEntity\n{}", inline(&[crl.to_vec()])));
        let directory = PolicyDirectory::with(
            &[
                checked(&pki, "file", &leaf_only("{file: file.crl}")),
                checked(&pki, "map", &leaf_only("{configMap: {name: crl}}")),
                checked(&pki, "secret", &leaf_only("{secret: {name: crl}}")),
            ]
            .concat(),
        );
        // What is replaced, and by which bytes: a DER file, documents of a ConfigMap and a Secret, the profile itself.
        let sources: [Source<'_>; 4] = [
            ("/file", "file.crl", &|_, crl| crl.to_vec()),
            ("/map", "map.yaml", &|_, crl| document("ConfigMap", crl).into_bytes()),
            ("/secret", "secret.yaml", &|_, crl| document("Secret", crl).into_bytes()),
            ("/inline", "inline.yaml", &|pki, crl| in_line(pki, crl).into_bytes()),
        ];
        for (_, file, content) in &sources {
            directory.replace(file, content(&pki, &clear));
        }
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        for (path, file, content) in &sources {
            let mut times = Vec::new();
            world.get(&acme, path).await.allowed_as("CN=acme");
            for round in 1..=ROUNDS {
                let revoked = round % 2 == 1;
                let serials: &[&[u8]] = if revoked { &[ACME] } else { &[] };
                let bytes = content(&world.pki, &world.pki.issuing.crl(round + 1, serials));
                let edited = Instant::now();
                world.policies.replace(file, bytes);
                until("the CRL decides", PATIENCE, async || {
                    (world.get(&acme, path).await.reply.served() != revoked).then_some(())
                })
                .await;
                times.push(edited.elapsed());
                if revoked {
                    world.get(&acme, path).await.denied(403, "CERT_REVOKED");
                }
            }
            times.sort();
            println!("{path}: a changed CRL decides through Envoy after {times:?}");
            assert!(times.iter().all(|time| *time < LIVE), "{path}: {times:?}");
        }
    });
}

/// The value of the metric that `line` begins.
fn metric(text: &str, line: &str) -> Option<i64> {
    text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[test]
fn ready_means_that_crls_are_loaded_and_metrics_tell_them() {
    with_envoy(async {
        let pki = Pki::new();
        let (acme, mallory) = (client(&pki, "acme", ACME), client(&pki, "mallory", MALLORY));
        let many: Vec<[u8; 4]> = (0..50_000_u32).map(|n| (0x4000_0000 + n).to_be_bytes()).collect();
        let mut serials: Vec<&[u8]> = many.iter().map(|serial| &serial[..]).collect();
        serials.push(MALLORY);
        let revocation = "crls: [{file: ca.crl}, {file: root.crl}]\n";
        let directory = PolicyDirectory::with(&checked(&pki, "large", revocation));
        directory.replace("ca.crl", pki.issuing.crl(1, &serials));
        directory.replace("root.crl", pki.root.crl(1, &[]));
        let listeners = World::listeners(&pki);
        // Nothing but readiness is awaited before the first request.
        let world = World::start_over(pki, directory, listeners).await;
        world.get(&mallory, "/large").await.denied(403, "CERT_REVOKED");
        world.get(&acme, "/large").await.allowed_as("CN=acme");

        let label = |issuer: &str| format!("{{profile=\"test/large\",issuer=\"{issuer}\",kind=\"complete\"}}");
        let root = "CN=Clients Root,O=Certgate Test";
        let text = world.certgate.metrics().await;
        let value = |name: &str, issuer: &str| metric(&text, &format!("certgate_crl_{name}{}", label(issuer)));
        assert_eq!((value("entries", ISSUER), value("entries", root)), (Some(50_001), Some(0)));
        for issuer in [ISSUER, root] {
            let age = value("age_seconds", issuer).expect("an age");
            assert!((3600..3900).contains(&age), "made an hour ago: {age}");
            let left = value("next_update_seconds", issuer).expect("a time to nextUpdate");
            assert!((86_100..=86_400).contains(&left), "current for a day: {left}");
        }

        world.policies.replace("ca.crl", world.pki.issuing.crl(2, &[MALLORY, ACME]));
        until("the new CRL is told", PATIENCE, async || {
            let text = world.certgate.metrics().await;
            (metric(&text, &format!("certgate_crl_entries{}", label(ISSUER))) == Some(2)).then_some(())
        })
        .await;
        world.get(&acme, "/large").await.denied(403, "CERT_REVOKED");
    });
}

/// A CRL that is broken or missing at the start does not hold readiness back: its profile denies, the others work.
#[test]
fn a_broken_crl_at_the_start_denies_its_profile_alone() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = client(&pki, "acme", ACME);
        let of = |file: &str| format!("scope: EndEntity\nonUnknown: Allow\ncrls: [{{file: {file}}}]\n");
        let directory = PolicyDirectory::with(
            &[
                checked(&pki, "broken", &of("broken.crl")),
                checked(&pki, "missing", &of("missing.crl")),
                checked(&pki, "works", &of("works.crl")),
            ]
            .concat(),
        );
        let good = pki.issuing.crl(1, &[]);
        directory.replace("broken.crl", &good[..good.len() / 2]);
        directory.replace("works.crl", &good);
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        // 503: the client is not at fault; and not even onUnknown: Allow lets it pass.
        world.get(&acme, "/broken").await.denied(503, "TRUST_UNAVAILABLE");
        world.get(&acme, "/missing").await.denied(503, "TRUST_UNAVAILABLE");
        world.get(&acme, "/works").await.allowed_as("CN=acme");
        assert_eq!(metric(&world.certgate.metrics().await, "certgate_policies_unavailable"), Some(2));
        let log = world.certgate.log();
        assert!(log.contains("spec.revocation.crls[0].file"), "{log}");
        for (path, file) in [("/broken", "broken.crl"), ("/missing", "missing.crl")] {
            world.policies.replace(file, &good);
            until("the mended CRL decides", PATIENCE, async || {
                world.get(&acme, path).await.reply.served().then_some(())
            })
            .await;
        }
    });
}

/// Nobody edits anything: a list ends, and the log says so, once; of another it says ahead that it will.
#[test]
fn the_end_of_a_crl_is_logged_when_it_comes() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = client(&pki, "acme", ACME);
        let revocation = "clockSkew: 0s\ncrls: [{file: ca.crl}, {file: root.crl}]\n";
        let directory = PolicyDirectory::with(&checked(&pki, "short", revocation));
        // Both were made an hour ago; the last quarter of the root's has begun.
        directory.replace("root.crl", pki.root.crl_until(1, SystemTime::now() + Duration::from_secs(900)));
        directory.replace("ca.crl", pki.issuing.crl_until(1, SystemTime::now() + Duration::from_secs(4)));
        let listeners = World::listeners(&pki);
        let world = World::start_over(pki, directory, listeners).await;
        let log = || world.certgate.log();
        let usable =
            format!("certgate_crl_usable_seconds{{profile=\"test/short\",issuer=\"{ISSUER}\",kind=\"complete\"}}");
        until("it has been of no use for three seconds", PATIENCE, async || {
            metric(&world.certgate.metrics().await, &usable).filter(|left| *left <= -3)
        })
        .await;
        world.get(&acme, "/short").await.denied(403, "REVOCATION_STALE");
        let told = |issuer: &str, words: &str| {
            let list = format!("CRL of [{issuer}] number 1");
            let log = log();
            let lines = log.lines().filter(|line| line.contains(&list) && line.contains(words));
            lines.inspect(|line| assert!(line.contains("WARN"), "{line}")).count()
        };
        // It is looked at once a second.
        until("the log tells of the end", PATIENCE, async || (told(ISSUER, " ended at ") > 0).then_some(())).await;
        let root = "CN=Clients Root,O=Certgate Test";
        assert_eq!(
            (told(ISSUER, " ended at "), told(root, " ends at "), told(root, " ended at ")),
            (1, 1, 0),
            "{}",
            log()
        );
        assert!(told(ISSUER, " ends at ") <= 1, "{}", log());
        world.policies.replace("ca.crl", world.pki.issuing.crl(2, &[]));
        until("the next list decides", PATIENCE, async || {
            world.get(&acme, "/short").await.reply.served().then_some(())
        })
        .await;
        assert_eq!((told(ISSUER, " ended at "), told(root, " ends at ")), (1, 1), "{}", log());
    });
}

#[test]
fn a_live_server_says_that_an_edit_was_refused() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = client(&pki, "acme", ACME);
        let directory =
            PolicyDirectory::with(&checked(&pki, "good", &inline(&[pki.issuing.crl(1, &[]), pki.root.crl(1, &[])])));
        let certgate = Certgate::start(directory.path()).await;
        let server = format!("http://{}", certgate.admin());
        let refused = "the last edit of the policies was rejected, with 1 error: the previous policies stay in use.";
        let (code, page) = explain(&acme, "/good", &["--server", &server]);
        assert_eq!((code, page.contains("refused")), (Some(0), false), "{page}");
        directory.replace("broken.yaml", "kind: [\n");
        until("the edit is refused", PATIENCE, async || {
            explain(&acme, "/good", &["--server", &server]).1.contains(refused).then_some(())
        })
        .await;
        let (code, page) = explain(&acme, "/good", &["--server", &server, "--output", "json"]);
        let json: Value = serde_json::from_str(&page).expect("JSON");
        assert_eq!(code, Some(0));
        assert!(json["warnings"][0].as_str().is_some_and(|warning| warning.starts_with(refused)), "{page}");
        directory.remove("broken.yaml");
        until("the edit is taken back", PATIENCE, async || {
            (!explain(&acme, "/good", &["--server", &server]).1.contains("refused")).then_some(())
        })
        .await;
    });
}
