//! The program around the decisions: its log, its metrics, `explain` and the demo.

use std::process::{Command, Output};

use crate::with_envoy;
use certgate_harness::certgate;
use certgate_harness::client::{Call, admin_get};
use certgate_harness::pki::{Leaf, Pki};
use certgate_harness::policies::{documents, indent, policy, trust};
use certgate_harness::wait::{PATIENCE, until};
use certgate_harness::world::World;
use certgate_testing::skip::skip;

fn policies(pki: &Pki) -> String {
    let known = format!("intermediates:\n- inline: |\n{}", indent(&pki.issuing.pem(), 4));
    let clients = trust("clients", &[pki.root.pem()], &known);
    let open = policy(
        "open",
        "match: [{hosts: [api.example.test], paths: [{prefix: /v1}]}]\ntrustRef: {name: clients}\n\
         mapping: {rules: [{name: all, action: Allow, where: [{field: Subject, attribute: CN, value: \"a*\"}], identity: {user: a}}]}\n",
    );
    documents([clients.as_str(), open.as_str()])
}

#[test]
fn one_line_a_denial_and_none_an_allow() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let zeta = pki.issuing.issue(Leaf::client("zeta\n{\"level\":\"forged\"}"));
        let texts = policies(&pki);
        let world = World::start(pki, &texts).await;
        let before = world.certgate.log().len();
        for _ in 0..5 {
            world.get(&acme, "/v1").await.allowed_as("a");
        }
        let mut denied = Vec::new();
        for _ in 0..3 {
            let outcome = world.get(&zeta, "/v1").await;
            outcome.denied(403, "NO_MAPPING");
            denied.push(outcome.reply.id);
        }
        let outcome = world.get(None, "/v1").await;
        outcome.denied(403, "CERT_REQUIRED");
        denied.push(outcome.reply.id);
        let lines = until("all denials are logged", PATIENCE, async || {
            let log = world.certgate.log();
            let lines: Vec<serde_json::Value> = log
                .get(before..)?
                .lines()
                .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
                .collect();
            (lines.len() >= denied.len()).then_some(lines)
        })
        .await;
        let told: Vec<_> =
            lines.iter().map(|line| line["request_id"].as_str().unwrap_or_default().to_owned()).collect();
        assert_eq!(told, denied, "{lines:#?}");
        assert_eq!(lines[0]["reason"], "NO_MAPPING");
        assert_eq!(lines[0]["policy"], "test/open");
        assert_eq!(lines[3]["reason"], "CERT_REQUIRED");
        assert!(lines[0].to_string().contains(&zeta.sha256()), "which certificate: {}", lines[0]);
        let log = world.certgate.log();
        use base64::Engine as _;
        let der = base64::engine::general_purpose::STANDARD.encode(zeta.der());
        assert!(!log.contains("BEGIN") && !log.contains(&der[..80]), "never a certificate's whole bytes");

        let metrics = world.certgate.metrics().await;
        let count = |outcome: &str, reason: &str| {
            let labels =
                [format!("outcome=\"{outcome}\""), format!("reason=\"{reason}\""), "policy=\"test/open\"".to_owned()];
            let line = metrics.lines().find(|line| {
                line.starts_with("certgate_decisions_total{")
                    && labels.iter().all(|label| line.contains(label.as_str()))
            });
            line.and_then(|line| line.rsplit_once(' ')).map(|(_, number)| number.to_owned())
        };
        assert_eq!(count("Denied", "NO_MAPPING").as_deref(), Some("3"), "{metrics}");
        assert_eq!(count("Denied", "CERT_REQUIRED").as_deref(), Some("1"), "{metrics}");
        assert_eq!(count("Allowed", "").as_deref(), Some("5"), "{metrics}");
        for path in ["/livez", "/readyz"] {
            assert_eq!(admin_get(world.certgate.admin(), path).await.map(|(status, _)| status), Some(200), "{path}");
        }
    });
}

/// `explain` decides as the server does, from the files and from the live server.
#[test]
fn explain_tells_what_the_server_does() {
    with_envoy(async {
        let pki = Pki::new();
        let rows = [
            ("allowed", pki.client("acme"), "/v1/x"),
            ("no mapping", pki.client("zeta"), "/v1/x"),
            ("expired", pki.issuing.issue(Leaf::client("acme").expired()), "/v1/x"),
            ("no policy", pki.client("acme"), "/v2"),
            ("ambiguous", pki.client("acme"), "/v1//x"),
        ];
        let texts = policies(&pki);
        let world = World::start(pki, &texts).await;
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        for (name, identity, path) in &rows {
            println!("{name}");
            let (certificate, _) = identity.leaf_only().write(directory.path(), &name.replace(' ', "-"));
            let outcome = world.call(identity, Call::get(path)).await;
            let sources = [
                ["--policies".to_owned(), world.policies.path().display().to_string()],
                ["--server".to_owned(), format!("http://{}", world.certgate.admin())],
            ];
            for source in sources {
                let output = explain(
                    &source,
                    &[
                        "--certificate",
                        certificate.to_str().expect("ASCII"),
                        "--host",
                        Pki::SERVER_NAME,
                        "--path",
                        path,
                    ],
                );
                let text = String::from_utf8_lossy(&output.stdout);
                let errors = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(i32::from(!outcome.reply.served())), "{text}{errors}");
                match outcome.access.told("/reason") {
                    Some(reason) => assert!(text.contains(reason), "{reason}: {text}"),
                    None => assert!(text.contains("x-certgate-user"), "the headers: {text}"),
                }
            }
        }
    });
}

fn explain(source: &[String], rest: &[&str]) -> Output {
    Command::new(certgate::binary()).arg("explain").args(source).args(rest).output().expect("certgate runs")
}

/// The demo's cases all go as it says.
#[test]
fn the_demo_goes_as_it_says() {
    with_envoy(async {
        let here = std::env::current_exe().expect("a running program has a path");
        let demo = here.ancestors().nth(2).expect("tests lie two levels down").join("examples/demo");
        if !demo.exists() {
            return skip("the demo", &format!("{} is not built; `cargo test` builds it", demo.display()));
        }
        let output =
            Command::new(demo).env("CERTGATE_BIN", certgate::binary()).env_remove("KEEP").output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("All 21 cases went as expected."), "{text}");
    });
}
