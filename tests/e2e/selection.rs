//! Which policy decides a request.

use crate::with_envoy;
use certgate_harness::client::Call;
use certgate_harness::envoy_config::{Listener, Paths, Route};
use certgate_harness::pki::{Identity, Pki};
use certgate_harness::policies::{documents, indent, policy, trust};
use certgate_harness::world::{MTLS, Rows, World};

fn profile(pki: &Pki) -> String {
    trust("clients", &[pki.root.pem()], &format!("intermediates:\n- inline: |\n{}", indent(&pki.issuing.pem(), 4)))
}

/// A policy whose only account is named as the policy, so that the user tells who decided.
fn named(name: &str, matches: &str, acme: &Identity) -> String {
    policy(
        name,
        &format!(
            "{matches}\ntrustRef: {{name: clients}}\n\
             mapping: {{oneToOne: [{{certificate: {{sha256: \"{}\"}}, identity: {{user: {name}}}}}]}}\n",
            acme.sha256()
        ),
    )
}

fn policies(pki: &Pki, acme: &Identity, matches: &[(&str, &str)]) -> String {
    let mut texts = vec![profile(pki)];
    texts.extend(matches.iter().map(|(name, matches)| named(name, matches, acme)));
    documents(texts.iter().map(String::as_str))
}

#[test]
fn hosts_paths_and_methods() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(
            &pki,
            &acme,
            &[
                ("exact-host", "match: [{hosts: [api.example.test]}]"),
                ("wild-long", "match: [{hosts: [\"*.a.example.test\"]}]"),
                ("wild-short", "match: [{hosts: [\"*.example.test\"]}]"),
                ("any-host", "match: [{paths: [{prefix: /}]}]"),
                ("exact-path", "match: [{hosts: [paths.test], paths: [{exact: /v1/pay}]}]"),
                ("long-prefix", "match: [{hosts: [paths.test], paths: [{prefix: /v1/pay}]}]"),
                ("short-prefix", "match: [{hosts: [paths.test], paths: [{prefix: /v1}]}]"),
                ("get-only", "match: [{hosts: [methods.test], methods: [GET, HEAD]}]"),
                ("all-methods", "match: [{hosts: [methods.test]}]"),
                ("two-matches", "match: [{hosts: [one.test]}, {hosts: [two.test], methods: [PUT]}]"),
            ],
        );
        let world = World::start(pki, &texts).await;
        let call = |host: &str, path: &str| Call::get(path).host(host);
        let rows = [
            ("an exact host", call("api.example.test", "/"), "exact-host"),
            ("with a port", call("api.example.test:8443", "/"), "exact-host"),
            ("in capitals", call("API.Example.TEST", "/"), "exact-host"),
            ("with a trailing dot", call("api.example.test.", "/"), "exact-host"),
            ("with both", call("api.example.test.:443", "/"), "exact-host"),
            ("the longest wildcard", call("x.a.example.test", "/"), "wild-long"),
            ("a wildcard over two labels", call("x.y.a.example.test", "/"), "wild-long"),
            ("a shorter wildcard", call("b.example.test", "/"), "wild-short"),
            ("a wildcard does not hold its own suffix", call("example.test", "/"), "any-host"),
            ("nor a name that ends alike", call("evilexample.test", "/"), "any-host"),
            ("any host", call("whatever.test", "/"), "any-host"),
            ("an exact path", call("paths.test", "/v1/pay?x=/v2"), "exact-path"),
            ("the longest prefix", call("paths.test", "/v1/pay/42"), "long-prefix"),
            ("whole segments", call("paths.test", "/v1/payments"), "short-prefix"),
            ("the prefix itself", call("paths.test", "/v1"), "short-prefix"),
            ("with a slash", call("paths.test", "/v1/"), "short-prefix"),
            ("methods named", call("methods.test", "/"), "get-only"),
            ("another method", call("methods.test", "/").method("POST"), "all-methods"),
            ("the first of two matches", call("one.test", "/"), "two-matches"),
            ("the second of two matches", call("two.test", "/").method("PUT"), "two-matches"),
            ("neither of two matches", call("two.test", "/"), "any-host"),
        ];
        let mut checked = Rows::default();
        for (name, call, want) in rows {
            let outcome = world.call(&acme, call).await;
            checked.row(name, &outcome, Ok(want));
        }
        checked.end();
        // HTTP/1.1 knows no method in small letters, HTTP/2 knows it as another one; an upstream may not. It must not slip
        // past the policy that names GET.
        let client = world.client(&acme).http2();
        let small = client.send(call("methods.test", "/").method("get"));
        world.outcome(small).await.denied(403, "NO_POLICY");
        // What no policy of the host itself covers falls to those of any host.
        world.call(&acme, call("paths.test", "/v2")).await.allowed_as("any-host");
    });
}

#[test]
fn nothing_selects() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(
            &pki,
            &acme,
            &[
                ("one", "match: [{hosts: [api.example.test], paths: [{prefix: /v1}], methods: [GET]}]"),
                ("hidden", "match: []"),
            ],
        );
        let world = World::start(pki, &texts).await;
        let rows = [
            ("another host", Call::get("/v1").host("other.test")),
            ("another path", Call::get("/v2")),
            ("another method", Call::get("/v1").method("POST")),
            ("an upper-case path", Call::get("/V1")),
        ];
        world.get(&acme, "/v1").await.allowed_as("one");
        let mut checked = Rows::default();
        for (name, call) in rows {
            checked.row(name, &world.call(&acme, call).await, Err("NO_POLICY"));
        }
        checked.end();
    });
}

/// What proxy, certgate and upstream could read differently.
#[test]
fn ambiguous_paths_are_refused() {
    let ambiguous = [
        "/v1/pay/../admin",
        "/v1/pay/./x",
        "/v1/pay/..",
        "/v1//pay",
        "//v1/pay",
        "/v1/pay%2fadmin",
        "/v1/pay%2Fadmin",
        "/v1/pay%5cadmin",
        "/v1/pay\\admin",
        "/v1/pay/..;/admin",
        "/v1/pay;x=1",
        "/v1/pay/%2e%2e/admin",
        "/v1/p%61y",
        "/v1/pay%",
        "/v1/pay%zz",
        "/v1/pay/%2",
        "/v1/pay%00",
    ];
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(
            &pki,
            &acme,
            &[
                ("by-path", "match: [{hosts: [api.example.test], paths: [{prefix: /v1/pay}]}]"),
                ("rest", "match: [{hosts: [api.example.test]}]"),
                ("by-host", "match: [{hosts: [free.test]}]"),
            ],
        );
        let normalized = Listener::https("normalized", &pki.server, &pki.root.pem())
            .with_http(|http| http.paths = Paths::Normalized);
        let mut listeners = World::listeners(&pki);
        listeners.push(normalized);
        let world = World::start_listeners(pki, &texts, listeners).await;
        for (at, path) in ambiguous.iter().enumerate() {
            let raw = raw_get(&world, MTLS, &acme, "api.example.test", path, &format!("amb-{at}")).await;
            let access = world.envoy.access(&format!("amb-{at}")).await;
            let seen = (raw, access.told("/reason"));
            assert_eq!(seen, ((Some(400), false), Some("PATH_AMBIGUOUS")), "{path}: {access:?}");
            // Where no policy selects by path there is nothing to be ambiguous about.
            let raw = raw_get(&world, MTLS, &acme, "free.test", path, &format!("free-{at}")).await;
            assert_eq!(raw, (Some(200), true), "{path}");
        }
        // The query is not the path.
        world.get(&acme, "/v1/pay?next=/../%2f;//").await.allowed_as("by-path");
        world.get(&acme, "/v1/pay%20x").await.allowed_as("rest");
        // A proxy that normalizes shows certgate and the upstream the same path.
        let raw = raw_get(&world, "normalized", &acme, "api.example.test", "/v1/pay/../admin", "norm-1").await;
        assert!(raw.1, "{raw:?}");
        let access = world.envoy.access("norm-1").await;
        assert_eq!(access.told("/policy"), Some("test/rest"));
        let raw = raw_get(&world, "normalized", &acme, "api.example.test", "/x/../v1//pay", "norm-2").await;
        assert!(raw.1, "{raw:?}");
        assert_eq!(world.envoy.access("norm-2").await.told("/policy"), Some("test/by-path"));
        // A fragment never belongs into a request.
        let raw = raw_get(&world, MTLS, &acme, "api.example.test", "/v1/pay#x", "frag").await;
        assert!(!raw.1, "{raw:?}");
        // The absolute form decides by its own host.
        let request = "GET http://free.test/v1/pay HTTP/1.1\r\nhost: api.example.test\r\nx-request-id: abs\r\nconnection: close\r\n\r\n";
        world.client(&acme).raw(request.as_bytes()).await;
        let access = world.envoy.access("abs").await;
        assert_eq!(access.told("/policy"), Some("test/by-host"), "{access:?}");
    });
}

/// What careless servers take for a protected path must not reach them by a laxer policy.
#[test]
fn another_spelling_of_a_path_is_no_way_around_its_policy() {
    let spellings = [
        "/Admin",
        "/ADMIN/users",
        "/admin.",
        "/admin./users",
        "/admin%20",
        "/admin%20/users",
        "/admin+",
        "/admin::$DATA",
        "/admin:x/users",
    ];
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(
            &pki,
            &acme,
            &[
                ("lax", "match: [{hosts: [api.example.test, apart.test, one.test]}]"),
                ("strict", "match: [{hosts: [api.example.test], paths: [{prefix: /admin}]}]"),
                ("exact", "match: [{hosts: [one.test], paths: [{exact: /admin}]}]"),
                ("apart", "match: [{hosts: [apart.test], paths: [{prefix: /admin, case: Sensitive}]}]"),
                ("lax-methods", "match: [{hosts: [methods.test]}]"),
                ("get", "match: [{hosts: [methods.test], methods: [GET]}]"),
            ],
        );
        let world = World::start(pki, &texts).await;
        for (at, path) in spellings.iter().enumerate() {
            let raw = raw_get(&world, MTLS, &acme, "api.example.test", path, &format!("spelt-{at}")).await;
            let access = world.envoy.access(&format!("spelt-{at}")).await;
            assert_eq!(
                (raw, access.told("/reason")),
                ((Some(400), false), Some("PATH_AMBIGUOUS")),
                "{path}: {access:?}"
            );
            assert_eq!(access.told("/certificate/sha256"), Some(acme.sha256().as_str()), "{access:?}");
            let raw = raw_get(&world, MTLS, &acme, "apart.test", path, &format!("apart-{at}")).await;
            assert_eq!(raw, (Some(200), true), "{path} is another path where the policy says so");
            assert_eq!(world.envoy.access(&format!("apart-{at}")).await.told("/policy"), Some("test/lax"), "{path}");
        }
        let call = |host: &str, path: &str| Call::get(path).host(host);
        world.get(&acme, "/admin").await.allowed_as("strict");
        world.get(&acme, "/admin/Users").await.allowed_as("strict");
        world.get(&acme, "/administrators").await.allowed_as("lax");
        world.call(&acme, call("one.test", "/admin")).await.allowed_as("exact");
        world.call(&acme, call("one.test", "/admin/")).await.denied(400, "PATH_AMBIGUOUS");
        world.call(&acme, call("one.test", "/admin/x")).await.allowed_as("lax");
        // HEAD is GET without content.
        let head = "HEAD / HTTP/1.1\r\nhost: methods.test\r\nx-request-id: head\r\nconnection: close\r\n\r\n";
        world.client(&acme).raw(head.as_bytes()).await;
        let access = world.envoy.access("head").await;
        assert_eq!(access.told("/policy"), Some("test/get"), "{access:?}");
        world.call(&acme, call("methods.test", "/").method("POST")).await.allowed_as("lax-methods");
    });
}

/// Sends a request whose path no HTTP library would send; the status and whether the upstream answered.
async fn raw_get(
    world: &World,
    listener: &str,
    identity: &Identity,
    host: &str,
    path: &str,
    id: &str,
) -> (Option<u16>, bool) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n");
    let raw = world.client_of(listener, identity).raw(request.as_bytes()).await;
    (raw.status(), raw.text().contains("x-served-by"))
}

#[test]
fn a_route_names_its_policy() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(
            &pki,
            &acme,
            &[
                ("by-host", "match: [{hosts: [api.example.test]}]"),
                ("by-path", "match: [{paths: [{prefix: /x}]}]"),
                ("hidden", ""),
            ],
        );
        let listeners = World::listeners(&pki)
            .into_iter()
            .map(|listener| {
                listener.with_http(|http| {
                    http.routes = vec![
                        Route::with_policy("/named", "test/hidden"),
                        Route::with_policy("/wrong", "test/nowhere"),
                        Route::with_policy("/other", "elsewhere/hidden"),
                        Route::with_policy("/blank", ""),
                        Route::with_policy("/bare", "hidden"),
                        Route::new("/"),
                    ];
                })
            })
            .collect();
        let world = World::start_listeners(pki, &texts, listeners).await;
        world.get(&acme, "/named").await.allowed_as("hidden");
        world.get(&acme, "/named/../x").await.allowed_as("hidden");
        world.get(&acme, "/").await.allowed_as("by-host");
        let mut checked = Rows::default();
        for path in ["/wrong", "/other", "/blank", "/bare"] {
            checked.row(path, &world.get(&acme, path).await, Err("NO_POLICY"));
        }
        checked.end();
        // The client cannot name one.
        let call = Call::get("/").header("certgate.dev/policy".replace('/', "-").as_str(), "test/hidden");
        world.call(&acme, call).await.allowed_as("by-host");
        let call = Call::get("/").header("x-certgate-policy", "test/hidden");
        world.call(&acme, call).await.allowed_as("by-host");
    });
}

/// A network filter has no route that could name a policy, and no host: nothing selects.
#[test]
fn a_tcp_connection_is_refused() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let texts = policies(&pki, &acme, &[("all", "match: [{paths: [{prefix: /}]}]"), ("any", "match: [{}]")]);
        let listeners = vec![Listener::tcp("tcp", &pki.server, &pki.root.pem())];
        let world = World::start_listeners(pki, &texts, listeners).await;
        let raw = world.client_of("tcp", &acme).raw(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(raw.bytes.is_empty(), "{}", raw.text());
        assert_eq!(world.upstream.served(), 0);
        assert_eq!(world.envoy.counter("ext_authz.tcp.denied").await, 1);
        assert!(world.certgate.metrics().await.contains("NO_POLICY"));
    });
}

/// A broken policy denies what it selects, and nothing else takes its place.
#[test]
fn an_invalid_policy_denies_what_it_selects() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let mut texts = policies(
            &pki,
            &acme,
            &[
                ("wide", "match: [{hosts: [api.example.test, other.test]}]"),
                ("path-broken", "match: [{hosts: [other.test], paths: [{prefix: no-slash}]}]"),
            ],
        );
        let broken = policy(
            "broken",
            "match: [{hosts: [api.example.test], paths: [{prefix: /v1}]}]\ntrustRef: {name: clients}\n\
             mapping: {rules: [{name: empty, action: Allow, where: [], identity: {user: x}}]}\n",
        );
        texts.push_str(&documents([broken.as_str()]));
        let world = World::start(pki, &texts).await;
        world.get(&acme, "/v1").await.denied(403, "POLICY_INVALID");
        world.get(&acme, "/v2").await.allowed_as("wide");
        let outcome = world.call(&acme, Call::get("/anything").host("other.test")).await;
        outcome.denied(403, "POLICY_INVALID");
        let (status, _) =
            certgate_harness::client::admin_get(world.certgate.admin(), "/readyz").await.expect("it answers");
        assert_eq!(status, 200, "a broken policy does not take the rest down");
    });
}
