//! Certificates that a proxy reports in a header.

use base64::Engine as _;

use crate::with_envoy;
use certgate_harness::client::{Call, Client};
use certgate_harness::envoy::Envoy;
use certgate_harness::envoy_config::{
    ClientCertificates, Cluster, Config, Details, Format, ForwardClientCert, Listener, PeerCertificate, RawHeaders,
    Route, UpstreamTls,
};
use certgate_harness::pki::{Authority, Identity, Leaf, Pki};
use certgate_harness::policies::{documents, indent, policy, trust};
use certgate_harness::world::{Outcome, PLAINTEXT, Rows, Want, World};

const XFCC: &str = "x-forwarded-client-cert";

fn profiles(pki: &Pki) -> [String; 2] {
    let known = format!("intermediates:\n- inline: |\n{}", indent(&pki.issuing.pem(), 4));
    [trust("clients", &[pki.root.pem()], &known), trust("root-only", &[pki.root.pem()], "")]
}

/// A policy for all paths below `/NAME` that finds its certificate by `evidence`.
fn by(name: &str, evidence: &str, profile: &str) -> String {
    policy(
        name,
        &format!("match: [{{paths: [{{prefix: /{name}}}]}}]\ntrustRef: {{name: {profile}}}\nevidence: {evidence}\n"),
    )
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// URL-encodes as nginx and Envoy do; `raw` are further characters that stay.
fn url_encode(text: &str, raw: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c) || raw.contains(c);
    text.chars().map(|c| if keep(c) { c.to_string() } else { format!("%{:02X}", u32::from(c)) }).collect()
}

/// An element as Envoy would write it.
fn element(identity: &Identity) -> String {
    format!("Hash={};Cert=\"{}\"", identity.sha256(), url_encode(&identity.pem(), ""))
}

/// What decides where a client forges the header of somebody else's certificate.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Decides {
    /// The client's own certificate.
    Own,
    /// Nothing: there is no certificate.
    Nothing,
    /// The forged one. The operator has told certgate to believe a header that this proxy lets clients write.
    Forged,
}

/// The table of modes and kinds of clients, with a policy that reads the header and with one that does not.
#[test]
fn modes_of_the_proxy_and_forged_headers() {
    use Decides::{Forged, Nothing, Own};
    use ForwardClientCert::{AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet};
    // mode; mutual TLS, TLS without a certificate, plaintext
    let table = [
        (Sanitize, Nothing, Nothing, Nothing),
        (SanitizeSet, Own, Nothing, Nothing),
        (AppendForward, Own, Nothing, Nothing),
        (ForwardOnly, Forged, Nothing, Nothing),
        (AlwaysForwardOnly, Forged, Forged, Forged),
    ];
    with_envoy(async {
        let pki = Pki::new();
        let (acme, victim) = (pki.client("acme"), pki.client("victim"));
        let listeners = table.iter().flat_map(|&(mode, ..)| {
            let tls = Listener::https(&format!("tls-{}", mode.name()), &pki.server, &pki.root.pem());
            [tls.forward(mode), Listener::http(&format!("plain-{}", mode.name())).forward(mode)]
        });
        let listeners = listeners.collect();
        let [clients, _] = profiles(&pki);
        let texts = [
            clients,
            by("xfcc", "[{xfcc: {element: 1}}]", "clients"),
            by("peer", "[{peerCertificate: {}}]", "clients"),
        ];
        let world = World::start_listeners(pki, &documents(texts.iter().map(String::as_str)), listeners).await;
        let mut rows = Rows::default();
        for (mode, mtls, anonymous, plaintext) in table {
            let clients = [
                ("mutual TLS", world.client_of(&format!("tls-{}", mode.name()), &acme), mtls, Own),
                (
                    "TLS without a certificate",
                    world.client_of(&format!("tls-{}", mode.name()), None),
                    anonymous,
                    Nothing,
                ),
                (
                    "plaintext",
                    Client::plaintext(world.envoy.address(&format!("plain-{}", mode.name()))),
                    plaintext,
                    Nothing,
                ),
            ];
            for (kind, client, by_header, by_peer) in clients {
                for (path, decides) in [("/xfcc", by_header), ("/peer", by_peer)] {
                    let call = Call::get(path).header(XFCC, element(&victim));
                    let outcome = world.outcome(client.send(call)).await;
                    let want = match decides {
                        Own => Ok("CN=acme"),
                        Nothing => Err("CERT_REQUIRED"),
                        Forged => Ok("CN=victim"),
                    };
                    rows.row(format!("{mode:?}, {kind}, {path}"), &outcome, want);
                }
            }
        }
        rows.end();
    });
}

/// What Istio's gateway sends: no peer certificate, XFCC with `Cert` and without `Chain`.
#[test]
fn xfcc_alone_with_and_without_a_chain() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.issuing.issue(Leaf::client("acme").dns("a.test").uri("spiffe://lab.test/acme"));
        let late = pki.issuing.issue(Leaf::client("late").expired());
        let listener = |name: &str, details| {
            Listener::https(name, &pki.server, &pki.root.pem())
                .forward(ForwardClientCert::SanitizeSet)
                .with_http(|http| http.details = details)
                .authorization(|authorization| {
                    authorization.peer_certificate = PeerCertificate::LeftOut;
                    authorization.headers = RawHeaders::Joined;
                })
        };
        let listeners = vec![
            listener("cert", Details::Cert),
            listener("chain", Details::CertAndChain),
            listener("all", Details::All),
            listener("names", Details::Names),
        ];
        let [clients, root_only] = profiles(&pki);
        let texts = [
            clients,
            root_only,
            by("known", "[{xfcc: {element: 1}}]", "clients"),
            by("unknown", "[{xfcc: {element: 1}}]", "root-only"),
            by("peer", "[{peerCertificate: {}}]", "clients"),
        ];
        let world = World::start_listeners(pki, &documents(texts.iter().map(String::as_str)), listeners).await;
        let get = async |listener: &str, identity: &Identity, path: &str| -> Outcome {
            println!("{listener} {path}");
            world.outcome(world.client_of(listener, identity).get(path)).await
        };
        let subject = "CN=acme";
        get("cert", &acme, "/known").await.allowed_as(subject);
        get("cert", &acme, "/unknown").await.denied(403, "CERT_UNTRUSTED");
        get("chain", &acme, "/unknown").await.allowed_as(subject);
        get("all", &acme, "/unknown").await.allowed_as(subject);
        get("all", &late, "/unknown").await.denied(403, "CERT_EXPIRED");
        get("names", &acme, "/known").await.denied(403, "FORWARDED_INVALID");
        get("cert", &acme, "/peer").await.denied(403, "CERT_REQUIRED");
    });
}

/// The peer's certificate from the proxy's report, its chain from the header beside it.
#[test]
fn the_chain_beside_a_peer_certificate() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let junk = pki.client("junk").der().clone();
        let padded = acme.with_extra(std::iter::repeat_n(junk, 60));
        let listeners =
            vec![Listener::https("mtls", &pki.server, &pki.root.pem()).forward(ForwardClientCert::SanitizeSet)];
        let [_, root_only] = profiles(&pki);
        let texts = [
            root_only,
            by("none", "[{peerCertificate: {}}]", "root-only"),
            by("xfcc", "[{peerCertificate: {chainFrom: Xfcc}}]", "root-only"),
            by("element", "[{xfcc: {element: 1}}]", "root-only"),
        ];
        let world = World::start_listeners(pki, &documents(texts.iter().map(String::as_str)), listeners).await;
        world.get(&acme, "/none").await.denied(403, "CERT_UNTRUSTED");
        world.get(&acme, "/xfcc").await.allowed_as("CN=acme");
        world.get(&acme.leaf_only(), "/xfcc").await.denied(403, "CERT_UNTRUSTED");
        // A client that pads its chain buys nothing.
        world.get(&padded, "/xfcc").await.denied(403, "FORWARDED_INVALID");
        world.get(&padded, "/element").await.denied(403, "FORWARDED_INVALID");
    });
}

/// What a client can do to the header by what it sends or by the names in its certificate.
#[test]
fn desynchronized_and_injected_elements() {
    with_envoy(async {
        let pki = Pki::new();
        let victim = pki.client("victim");
        let acme = pki.client("acme");
        let named = |uri: &str| pki.issuing.issue(Leaf::client("mallory").uri(uri));
        let fragment =
            named("spiffe://lab.test/x,By=spiffe://evil;Hash=00;Subject=\"CN=admin\";URI=spiffe://lab.test/y");
        let whole = named(&format!("spiffe://lab.test/x,{}", element(&victim)));
        let inside = named(&format!("spiffe://lab.test/x;{}", element(&victim)));
        let quoted = pki.issuing.issue(Leaf::client(&format!("m\";{};Subject=\"", element(&victim))));
        let listener = |name: &str, mode| {
            Listener::https(name, &pki.server, &pki.root.pem())
                .forward(mode)
                .with_http(|http| http.details = Details::All)
        };
        let listeners =
            vec![listener("set", ForwardClientCert::SanitizeSet), listener("append", ForwardClientCert::AppendForward)];
        let [clients, _] = profiles(&pki);
        let texts = [
            clients,
            by("xfcc", "[{xfcc: {element: 1}}]", "clients"),
            by("peer", "[{peerCertificate: {}}]", "clients"),
        ];
        let world = World::start_listeners(pki, &documents(texts.iter().map(String::as_str)), listeners).await;

        let forged = [
            ("an open quote", "Subject=\"abc".to_owned()),
            ("an open quote around a victim", format!("{};Subject=\"", element(&victim))),
            ("a JSON list", "[]".to_owned()),
            ("a JSON element", format!("[{{\"hash\":\"{}\",\"cert\":\"x\"}}]", victim.sha256())),
            ("broken JSON", "[{".to_owned()),
            ("a trailing comma", format!("{},", element(&victim))),
            ("a trailing semicolon", format!("{};", element(&victim))),
            ("no grammar at all", "hello".to_owned()),
        ];
        let mut rows = Rows::default();
        for (name, header) in &forged {
            let call = |path| Call::get(path).header(XFCC, header);
            let client = world.client_of("append", &acme);
            rows.row(name, &world.outcome(client.send(call("/xfcc"))).await, Err("FORWARDED_INVALID"));
            rows.row(name, &world.outcome(client.send(call("/peer"))).await, Ok("CN=acme"));
        }
        // What the names of a certificate wrote into the header gives itself away: the real element before it lacks them.
        let hostile = [
            ("a fragment", &fragment, Some("FORWARDED_INVALID")),
            ("a whole element", &whole, Some("FORWARDED_INVALID")),
            ("keys of the same element", &inside, Some("FORWARDED_INVALID")),
            ("a quote in the subject, which is escaped", &quoted, None),
        ];
        for (name, identity, want) in hostile {
            let client = world.client_of("set", identity);
            let outcome = world.outcome(client.get("/xfcc")).await;
            rows.row(name, &outcome, want);
            if want.is_none() {
                assert_eq!(outcome.access.told("/certificate/sha256"), Some(identity.sha256().as_str()), "{name}");
            }
            rows.row(name, &world.outcome(client.get("/peer")).await, Want::Pass);
        }
        rows.end();
    });
}

/// The JSON form of the header, and what clients can put before it.
#[test]
fn the_json_form() {
    with_envoy(async {
        let pki = Pki::new();
        let victim = pki.client("victim");
        let acme = pki.issuing.issue(Leaf::client("acme").dns("a.test").uri("spiffe://lab.test/a,b;\"c\""));
        let late = pki.issuing.issue(Leaf::client("late").expired());
        let forged_element = format!("{{\"hash\":\"{}\",\"cert\":{:?}}}", victim.sha256(), victim.pem());
        let whole =
            Leaf::client("mallory").uri(&format!("spiffe://lab.test/x\"]}},{forged_element}").replace('\n', ""));
        let whole = pki.issuing.issue(whole);
        let hostile =
            pki.issuing.issue(Leaf::client("mallory").uri("spiffe://lab.test/x\"]},{\"hash\":\"00\"},{\"uri\":[\"x"));
        let listener = |name: &str, mode, details| {
            Listener::https(name, &pki.server, &pki.root.pem()).forward(mode).with_http(|http| {
                http.details = details;
                http.format = Format::Json;
            })
        };
        let listeners = vec![
            listener("set", ForwardClientCert::SanitizeSet, Details::All),
            listener("chain", ForwardClientCert::SanitizeSet, Details::CertAndChain),
            listener("names", ForwardClientCert::SanitizeSet, Details::Names),
            listener("append", ForwardClientCert::AppendForward, Details::CertAndChain),
        ];
        let [_, root_only] = profiles(&pki);
        let texts = [root_only, by("xfcc", "[{xfcc: {element: 1}}]", "root-only")];
        let world = World::start_listeners(pki, &documents(texts.iter().map(String::as_str)), listeners).await;
        let mut rows = Rows::default();
        let table = [
            ("all details", "set", &acme, Ok("CN=acme")),
            ("certificate and chain", "chain", &acme, Ok("CN=acme")),
            ("expired", "set", &late, Err("CERT_EXPIRED")),
            ("no certificate in it", "names", &acme, Err("FORWARDED_INVALID")),
            ("a name that looks like elements", "set", &hostile, Ok("CN=mallory")),
            ("a name with blanks, as PEM has them", "set", &whole, Err("CERT_MALFORMED")),
        ];
        for (name, listener, identity, want) in table {
            let outcome = world.outcome(world.client_of(listener, identity).get("/xfcc")).await;
            rows.row(name, &outcome, want);
        }
        let forged = [
            ("a whole element before", format!("[{forged_element}]").replace('\n', "\\n"), Ok("CN=acme")),
            ("an empty list before", "[]".to_owned(), Err("FORWARDED_INVALID")),
            ("broken JSON before", "[{\"hash\":".to_owned(), Err("FORWARDED_INVALID")),
            ("an open string before", "[{\"subject\":\"".to_owned(), Err("FORWARDED_INVALID")),
            (
                "the end of the list inside",
                format!("[{{}}],[{forged_element}").replace('\n', "\\n"),
                Err("FORWARDED_INVALID"),
            ),
            ("duplicate keys", "[{\"hash\":\"00\",\"hash\":\"00\"}]".to_owned(), Err("FORWARDED_INVALID")),
        ];
        for (name, header, want) in &forged {
            let call = Call::get("/xfcc").header(XFCC, header);
            rows.row(name, &world.outcome(world.client_of("append", &acme).send(call)).await, *want);
        }
        // The client's form wins: a text element makes the proxy append text.
        let call = Call::get("/xfcc").header(XFCC, element(&victim));
        rows.row(
            "a text element before",
            &world.outcome(world.client_of("append", &acme).send(call)).await,
            Ok("CN=acme"),
        );
        rows.end();
    });
}

/// An Envoy behind an Envoy: the first forwards, the second asks.
#[test]
fn a_second_proxy_behind_the_first() {
    with_envoy(async {
        let pki = Pki::new();
        let mesh = Authority::root("Mesh");
        let edge_inside = mesh.issue(Leaf::proxy("edge.mesh.test").uri("spiffe://mesh.test/edge"));
        let edge_outside = pki.server_root.issue(Leaf::server(Pki::SERVER_NAME).uri("spiffe://mesh.test/edge"));
        let inner_server = mesh.issue(Leaf::proxy("inner.mesh.test").uri("spiffe://mesh.test/inner"));
        let acme = pki.client("acme");
        let victim = pki.client("victim");
        let late = pki.issuing.issue(Leaf::client("late").expired());

        let inner = |name: &str, mode| {
            Listener::https(name, &inner_server, &mesh.pem())
                .clients(ClientCertificates::Require { anchors: mesh.pem() })
                .forward(mode)
        };
        let listeners =
            vec![inner("append", ForwardClientCert::AppendForward), inner("forward", ForwardClientCert::ForwardOnly)];
        let [clients, _] = profiles(&pki);
        let texts = [
            clients,
            trust("mesh", &[mesh.pem()], ""),
            by("append/client", "[{xfcc: {element: 2, by: \"spiffe://mesh.test/edge\"}}]", "clients")
                .replace("name: append/client", "name: append-client"),
            by("append/edge", "[{xfcc: {element: 1, by: \"spiffe://mesh.test/inner\"}}]", "mesh")
                .replace("name: append/edge", "name: append-edge"),
            by("append/wrong-by", "[{xfcc: {element: 2, by: \"spiffe://mesh.test/other\"}}]", "clients")
                .replace("name: append/wrong-by", "name: append-wrong"),
            by("append/third", "[{xfcc: {element: 3}}]", "clients").replace("name: append/third", "name: append-third"),
            by("append/peer", "[{peerCertificate: {}}]", "mesh").replace("name: append/peer", "name: append-peer"),
            by("forward/client", "[{xfcc: {element: 1, by: \"spiffe://mesh.test/edge\"}}]", "clients")
                .replace("name: forward/client", "name: forward-client"),
        ];
        let world = World::start_listeners(pki, &documents(texts.iter().map(String::as_str)), listeners).await;

        let next = |name: &str| {
            let tls = UpstreamTls {
                identity: Some(edge_inside.clone()),
                anchors: mesh.pem(),
                sni: "inner.mesh.test".to_owned(),
            };
            Cluster::next_proxy(name, world.envoy.address(name), tls)
        };
        let outside = Listener::https("outside", &edge_outside, &world.pki.root.pem())
            .forward(ForwardClientCert::SanitizeSet)
            .unauthorized()
            .with_http(|http| {
                http.routes = vec![Route::new("/append").to("append"), Route::new("/forward").to("forward")];
            });
        let config = Config::new(world.upstream.address(), [world.certgate.address()])
            .listener(outside)
            .cluster(next("append"))
            .cluster(next("forward"));
        let edge = Envoy::start(&config).await;
        let client =
            |identity: Option<&Identity>| Client::tls(edge.address("outside"), world.pki.server_root.der(), identity);

        // Without a certificate the header has only the edge's element, or is not there at all.
        for (path, anonymous) in [("/append/client", "FORWARDED_INVALID"), ("/forward/client", "CERT_REQUIRED")] {
            println!("{path}");
            let forged = || Call::get(path).header(XFCC, format!("By=spiffe://mesh.test/edge;{}", element(&victim)));
            world.outcome(client(Some(&acme)).get(path)).await.allowed_as("CN=acme");
            world.outcome(client(Some(&acme)).send(forged())).await.allowed_as("CN=acme");
            world.outcome(client(Some(&late)).get(path)).await.denied(403, "CERT_EXPIRED");
            world.outcome(client(None).get(path)).await.denied(403, anonymous);
            world.outcome(client(None).send(forged())).await.denied(403, anonymous);
        }
        world.outcome(client(Some(&acme)).get("/append/edge")).await.allowed_as("CN=edge.mesh.test");
        world.outcome(client(Some(&acme)).get("/append/peer")).await.allowed_as("CN=edge.mesh.test");
        world.outcome(client(Some(&acme)).get("/append/wrong-by")).await.denied(403, "FORWARDED_INVALID");
        world.outcome(client(Some(&acme)).get("/append/third")).await.denied(403, "FORWARDED_INVALID");
        // Past the edge nobody gets.
        let direct = Client::tls(world.envoy.address("append"), mesh.der(), Some(&acme));
        assert!(direct.try_send(Call::get("/append/client")).await.is_err());
    });
}

/// Headers that another proxy in front writes. The test is that proxy.
#[test]
fn header_formats_of_other_proxies() {
    with_envoy(async {
        let pki = Pki::new();
        let acme = pki.client("acme");
        let issuing = pki.issuing.der().clone();
        let late = pki.issuing.issue(Leaf::client("late").expired());
        let [clients, root_only] = profiles(&pki);
        let texts = [
            clients,
            root_only,
            by("rfc9440", "[{header: {format: RFC9440}}]", "clients"),
            by("chain", "[{header: {format: RFC9440, chainName: client-cert-chain}}]", "root-only"),
            by("nginx", "[{header: {format: Nginx}}]", "clients"),
            by("traefik", "[{header: {format: Traefik}}]", "root-only"),
            by("haproxy", "[{header: {format: HAProxy, name: x-ssl-der, chainName: x-ssl-chain}}]", "root-only"),
            by("alb", "[{header: {format: ALB}}]", "root-only"),
            by("gcp", "[{header: {format: RFC9440, name: X-Client-Cert-Leaf}}]", "clients"),
            by("peer", "[{peerCertificate: {}}]", "clients"),
            by("either", "[{header: {format: RFC9440}}, {peerCertificate: {}}]", "clients"),
        ];
        let world = World::start(pki, &documents(texts.iter().map(String::as_str))).await;
        let rfc = |identity: &Identity| format!(":{}:", base64(identity.der()));
        let certificate = rfc(&acme);
        let chain = format!(":{}:", base64(&issuing));
        let der_chain = format!("{},{}", base64(acme.der()), base64(&issuing));
        let (pem, chain_pem) = (acme.pem(), acme.chain_pem());
        let (nginx, alb) = (url_encode(&pem, ""), url_encode(&chain_pem, "+=/"));
        assert!(alb.contains(['+', '/']), "the test has what a form decoder would break");
        let plain_base64 = base64(acme.der());
        let late_header = rfc(&late);
        let issuing_base64 = base64(&issuing);
        let with_spaces = nginx.replace("%0A", "\t");

        type Row<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, Result<&'a str, &'a str>);
        let rows: Vec<Row<'_>> = vec![
            ("RFC 9440", "/rfc9440", vec![("client-cert", &certificate)], Ok("CN=acme")),
            ("expired", "/rfc9440", vec![("client-cert", &late_header)], Err("CERT_EXPIRED")),
            ("no header", "/rfc9440", vec![], Err("CERT_REQUIRED")),
            ("no colons", "/rfc9440", vec![("client-cert", &plain_base64)], Err("FORWARDED_INVALID")),
            ("an empty item", "/rfc9440", vec![("client-cert", "::")], Err("FORWARDED_INVALID")),
            (
                "two lines",
                "/rfc9440",
                vec![("client-cert", &certificate), ("client-cert", &certificate)],
                Err("FORWARDED_INVALID"),
            ),
            ("PEM in it", "/rfc9440", vec![("client-cert", &nginx)], Err("FORWARDED_INVALID")),
            ("with chain", "/chain", vec![("client-cert", &certificate), ("client-cert-chain", &chain)], Ok("CN=acme")),
            ("without chain", "/chain", vec![("client-cert", &certificate)], Err("CERT_UNTRUSTED")),
            (
                "broken chain",
                "/chain",
                vec![("client-cert", &certificate), ("client-cert-chain", ":x")],
                Err("FORWARDED_INVALID"),
            ),
            ("chain alone", "/chain", vec![("client-cert-chain", &chain)], Err("FORWARDED_INVALID")),
            ("nginx", "/nginx", vec![("ssl-client-cert", &nginx)], Ok("CN=acme")),
            ("nginx, tabs for line ends", "/nginx", vec![("ssl-client-cert", &with_spaces)], Err("FORWARDED_INVALID")),
            ("Traefik", "/traefik", vec![("x-forwarded-tls-client-cert", &der_chain)], Ok("CN=acme")),
            (
                "HAProxy",
                "/haproxy",
                vec![("x-ssl-der", &plain_base64), ("x-ssl-chain", &issuing_base64)],
                Ok("CN=acme"),
            ),
            ("ALB", "/alb", vec![("x-amzn-mtls-clientcert", &alb)], Ok("CN=acme")),
            ("a name of the operator's", "/gcp", vec![("X-Client-Cert-Leaf", &certificate)], Ok("CN=acme")),
            ("not where the policy does not look", "/peer", vec![("client-cert", &certificate)], Err("CERT_REQUIRED")),
            ("the first source", "/either", vec![("client-cert", &certificate)], Ok("CN=acme")),
            (
                "a malformed source does not fall through",
                "/either",
                vec![("client-cert", "x")],
                Err("FORWARDED_INVALID"),
            ),
        ];
        let client = Client::plaintext(world.envoy.address(PLAINTEXT));
        let mut checked = Rows::default();
        for (name, path, headers, want) in rows {
            let call = headers.iter().fold(Call::get(path), |call, (name, value)| call.header(name, value));
            let outcome = world.outcome(client.send(call)).await;
            checked.row(name, &outcome, want);
        }
        checked.end();
        // The malformed first source is not passed over for a good second one either.
        world.get(&acme, "/either").await.allowed_as("CN=acme");
        world.call(&acme, Call::get("/either").header("client-cert", "x")).await.denied(403, "FORWARDED_INVALID");
    });
}
