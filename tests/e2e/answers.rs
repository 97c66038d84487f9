//! What upstream and client are told.

use crate::with_envoy;
use certgate_harness::client::{Call, Client};
use certgate_harness::envoy_config::{FailureMode, Listener, RawHeaders, Route};
use certgate_harness::pki::{Leaf, Pki};
use certgate_harness::policies::{documents, indent, mapping, policy, trust};
use certgate_harness::world::{MTLS, PLAINTEXT, World};

fn profile(pki: &Pki) -> String {
    trust("clients", &[pki.root.pem()], &format!("intermediates:\n- inline: |\n{}", indent(&pki.issuing.pem(), 4)))
}

/// A policy for all paths below `/NAME` with further lines of its spec.
fn at(name: &str, rest: &str) -> String {
    policy(name, &format!("match: [{{paths: [{{prefix: /{name}}}]}}]\ntrustRef: {{name: clients}}\n{rest}"))
}

/// Every header that the policies of these tests can set, in spellings that HTTP treats alike.
const CLAIMS: [(&str, &str); 8] = [
    ("x-certgate-user", "admin"),
    ("X-Certgate-User", "root"),
    ("x-certgate-groups", "admins"),
    ("x-account", "admin"),
    ("x-account-groups", "admins"),
    ("x-account-uid", "0"),
    ("x-tier", "platinum"),
    ("x-regions", "all"),
];

fn claiming(call: Call) -> Call {
    CLAIMS.iter().fold(call, |call, (name, value)| call.header(name, value))
}

/// Policies with every kind of outcome and two sets of header names.
fn outcomes(pki: &Pki) -> String {
    let full = "mapping: {selector: {matchLabels: {api: test}}}\n\
                response: {metadata: Full, headers: {user: X-Account, groups: x-account-groups, uid: x-account-uid, extra: {tier: x-tier, region: x-regions}}}\n";
    let texts = [
        profile(pki),
        at("full", full),
        at("subject", ""),
        at("optional", "certificate: Optional\n"),
        at(
            "audit",
            "mode: Audit\nmapping: {rules: [{name: none, action: Deny, where: [{field: Subject, attribute: CN, value: \"*\"}]}]}\n",
        ),
        at("audit-allow", "mode: Audit\n"),
        mapping(
            "acme",
            "certificate: {dns: acme.test}\n\
             identity: {user: svc-acme, groups: [partners, \"two words\"], uid: \"42\", extra: {tier: [gold], region: [eu, us], secret: [s]}}\n",
        ),
    ];
    documents(texts.iter().map(String::as_str))
}

/// The identity headers that reached the upstream, `x-certgate-*` and those of the policy `full`.
fn identity_headers(headers: &[(String, String)]) -> Vec<(&str, &str)> {
    let ours = |name: &str| CLAIMS.iter().any(|(claim, _)| claim.eq_ignore_ascii_case(name));
    let mut found: Vec<_> =
        headers.iter().filter(|(name, _)| ours(name)).map(|(name, value)| (name.as_str(), value.as_str())).collect();
    found.sort_unstable();
    found
}

/// Whatever the decision, nothing that the client claims about itself reaches the upstream.
#[test]
fn claims_of_the_client_are_replaced_or_removed() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.issuing.issue(Leaf::client("acme").dns("acme.test"));
        let texts = outcomes(&pki);
        let full: &[(&str, &str)] = &[
            ("x-account", "svc-acme"),
            ("x-account-groups", "partners,two words"),
            ("x-account-uid", "42"),
            ("x-regions", "eu,us"),
            ("x-tier", "gold"),
        ];
        type Row<'a> = (&'a str, &'a str, bool, &'a [(&'a str, &'a str)]);
        let rows: [Row<'_>; 6] = [
            ("all headers", "/full", true, full),
            ("the subject", "/subject", true, &[("x-certgate-user", "CN=acme")]),
            ("anonymous", "/optional", false, &[]),
            ("optional, with a certificate", "/optional", true, &[("x-certgate-user", "CN=acme")]),
            ("audited denial", "/audit", true, &[]),
            ("audited, no certificate", "/audit", false, &[]),
        ];
        let mut listeners = World::listeners(&pki);
        let joined = Listener::https("joined", &pki.server, &pki.root.pem());
        listeners.push(joined.authorization(|authorization| authorization.headers = RawHeaders::Joined));
        let world = World::start_listeners(pki, &texts, listeners).await;
        for listener in [MTLS, "joined"] {
            for (name, path, with_certificate, want) in &rows {
                let identity = with_certificate.then_some(&acme);
                let client = world.client_of(listener, identity);
                for client in [client.clone(), client.http2()] {
                    println!("{name}, {listener}");
                    let outcome = world.outcome(client.send(claiming(Call::get(path)))).await;
                    let echo = outcome.reply.echo();
                    assert_eq!(identity_headers(&echo.headers), *want, "{name}: {outcome:#?}");
                }
            }
        }
        let plaintext = Client::plaintext(world.envoy.address(PLAINTEXT));
        let echo = plaintext.send(claiming(Call::get("/optional"))).await.echo();
        assert_eq!(identity_headers(&echo.headers), [], "plaintext");
    });
}

#[test]
fn what_a_refused_client_sees() {
    let deny =
        "mapping: {rules: [{name: none, action: Deny, where: [{field: Subject, attribute: CN, value: \"*\"}]}]}\n";
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let late = pki.issuing.issue(Leaf::client("late").expired());
        let texts = [
            profile(&pki),
            at("plain", deny),
            at("reveal", &format!("{deny}response: {{denial: {{reveal: Reason}}}}\n")),
            at("hidden", &format!("{deny}response: {{denial: {{status: 404, missingCertificateStatus: 401}}}}\n")),
            at(
                "shown",
                &format!(
                    "{deny}response: {{denial: {{status: 404, missingCertificateStatus: 401, reveal: Reason}}}}\n"
                ),
            ),
        ];
        let world = World::start(pki, &documents(texts.iter().map(String::as_str))).await;
        // path, certificate, status, reason, revealed
        let rows = [
            ("/plain", Some(&acme), 403, "MAPPING_DENIED", false),
            ("/plain", None, 403, "CERT_REQUIRED", false),
            ("/reveal", Some(&acme), 403, "MAPPING_DENIED", true),
            ("/reveal", Some(&late), 403, "CERT_EXPIRED", true),
            ("/hidden", Some(&acme), 404, "MAPPING_DENIED", false),
            ("/hidden", None, 401, "CERT_REQUIRED", false),
            ("/shown", Some(&acme), 404, "MAPPING_DENIED", true),
            ("/shown", None, 401, "CERT_REQUIRED", true),
        ];
        for (path, identity, status, reason, revealed) in rows {
            println!("{path} {reason}");
            let outcome = world.get(identity, path).await;
            outcome.denied(status, reason);
            let reply = &outcome.reply;
            let body = String::from_utf8_lossy(&reply.body);
            if revealed {
                assert_eq!(reply.header("x-certgate-reason"), Some(reason));
                assert_eq!(body.trim_end(), reason);
                assert_eq!(reply.header("content-type"), Some("text/plain"));
            } else {
                let told = format!("{reply:?}");
                assert!(!told.contains(reason) && body.is_empty(), "{told}");
            }
            let told = format!("{reply:?}");
            assert!(!told.contains("CN=") && !told.contains("Clients"), "details stay inside: {told}");
        }
        // A client that claims a reason is not believed by anybody downstream.
        let outcome = world.call(&acme, Call::get("/plain").header("x-certgate-reason", "NONE")).await;
        outcome.denied(403, "MAPPING_DENIED");
        assert_eq!(outcome.reply.header("x-certgate-reason"), None);
    });
}

#[test]
fn what_a_refused_grpc_client_sees() {
    with_envoy(async {
        let pki = Pki::new();
        let reveal = "response: {denial: {missingCertificateStatus: 401, reveal: Reason}}\n";
        let texts = [profile(&pki), at("grpc", reveal), at("quiet", "")];
        let late = pki.issuing.issue(Leaf::client("late").expired());
        let world = World::start(pki, &documents(texts.iter().map(String::as_str))).await;
        let call = |path: &str| Call::get(path).method("POST").header("content-type", "application/grpc");
        let rows = [
            ("no certificate", None, "/grpc", "16", "CERT_REQUIRED"),
            ("expired", Some(&late), "/grpc", "7", "CERT_EXPIRED"),
            ("expired, quiet", Some(&late), "/quiet", "7", ""),
        ];
        for (name, identity, path, status, message) in rows {
            let reply = world.client(identity).http2().send(call(path)).await;
            assert!(!reply.served());
            assert_eq!(reply.header("grpc-status"), Some(status), "{name}");
            let told = reply.header("grpc-message").unwrap_or_default();
            assert_eq!(told.trim_end_matches("%0A"), message, "{name}");
        }
    });
}

#[test]
fn metadata_for_access_logs_and_later_filters() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.issuing.issue(Leaf::client("acme").dns("acme.test").serial(&[0x0a, 0xbc]));
        let texts = outcomes(&pki);
        let world = World::start(pki, &texts).await;

        let allowed = world.get(&acme, "/full").await.access;
        let told = |pointer| allowed.told(pointer);
        assert_eq!(told("/policy"), Some("test/full"));
        assert_eq!(told("/mode"), Some("Enforce"));
        assert_eq!(told("/reason"), None);
        assert_eq!(told("/identity/user"), Some("svc-acme"));
        assert_eq!(told("/identity/groups/0"), Some("partners"));
        assert_eq!(told("/identity/uid"), Some("42"));
        assert_eq!(told("/certificate/sha256"), Some(acme.sha256().as_str()));
        assert_eq!(told("/certificate/subject"), Some("CN=acme"));
        assert_eq!(told("/certificate/issuer"), Some("CN=Clients Issuing,O=Certgate Test"));
        assert_eq!(told("/certificate/serial"), Some("0abc"));

        let summary = world.get(&acme, "/subject").await.access;
        assert_eq!((summary.told("/policy"), summary.told("/identity/user")), (Some("test/subject"), Some("CN=acme")));
        assert_eq!(summary.told("/certificate/sha256"), Some(acme.sha256().as_str()));
        assert_eq!((summary.told("/mode"), summary.told("/certificate/subject")), (None, None));

        let denied = world.get(None, "/full").await.access;
        assert_eq!(denied.told("/policy"), Some("test/full"));
        assert_eq!((denied.told("/reason"), denied.told("/iis")), (Some("CERT_REQUIRED"), Some("403.7")));
        assert_eq!(denied.details.as_deref(), Some("ext_authz_denied"));

        let audited = world.get(&acme, "/audit").await;
        assert!(audited.reply.served());
        assert_eq!(audited.access.told("/mode"), Some("Audit"));
        assert_eq!(audited.access.told("/reason"), Some("MAPPING_DENIED"), "what would have happened");
        let passed = world.get(&acme, "/audit-allow").await;
        passed.allowed_as("CN=acme");
        assert_eq!(passed.access.told("/mode"), Some("Audit"));
    });
}

#[test]
fn optional_means_absent_not_wrong() {
    with_envoy(async {
        let pki = Pki::new();
        let late = pki.issuing.issue(Leaf::client("late").expired());
        let texts = outcomes(&pki);
        let world = World::start(pki, &texts).await;
        world.get(None, "/optional").await.allowed_anonymously();
        world.get(&late, "/optional").await.denied(403, "CERT_EXPIRED");
    });
}

/// Failures of certgate's surroundings are denials too: no switch of the proxy turns them into an allow.
#[test]
fn failure_mode_allow_allows_no_denial() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let nowhere = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: nowhere, namespace: test}\n\
                       spec:\n  trustAnchors:\n  - secret: {name: nowhere}\n";
        let lost = policy("lost", "match: [{paths: [{prefix: /lost}]}]\ntrustRef: {name: nowhere}\n");
        let broken =
            policy("broken", "match: [{paths: [{prefix: /broken}]}]\ntrustRef: {name: clients}\nevidence: []\n");
        let texts = [profile(&pki), at("ok", ""), nowhere.to_owned(), lost, broken];
        let open = |listener: Listener| {
            listener.authorization(|authorization| authorization.failure = FailureMode::Allow).with_http(|http| {
                http.routes = vec![Route::with_policy("/unknown", "test/unknown"), Route::new("/")];
            })
        };
        let world = World::start_with(pki, &documents(texts.iter().map(String::as_str)), open).await;
        world.get(&acme, "/ok").await.allowed_as("CN=acme");
        world.get(None, "/ok").await.denied(403, "CERT_REQUIRED");
        world.get(&acme, "/ok//x").await.denied(400, "PATH_AMBIGUOUS");
        world.get(&acme, "/lost").await.denied(503, "TRUST_UNAVAILABLE");
        world.get(&acme, "/broken").await.denied(403, "POLICY_INVALID");
        world.get(&acme, "/unknown").await.denied(403, "NO_POLICY");
        world.get(&acme, "/else").await.denied(403, "NO_POLICY");
        assert_eq!(world.envoy.counter("http.mtls.ext_authz.failure_mode_allowed").await, 0);
        assert_eq!(world.envoy.counter("http.mtls.ext_authz.error").await, 0);
    });
}
