//! The CheckRequest as it arrives.

use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose;

use super::Bench;
use crate::with_envoy;
use certgate_harness::client::Call;
use certgate_harness::envoy_config::{ClientCertificates, Listener, PeerCertificate, RawHeaders, Resumption, Route};
use certgate_harness::pki::{Authority, Identity, Leaf, Pki};
use certgate_harness::stand_in::StandIn;
use certgate_harness::wait::{PATIENCE, until};
use certgate_harness::wire::Peer;

const SPIFFE: &str = "spiffe://lab.test/acme";

#[test]
fn a_request_with_a_certificate() {
    with_envoy(async {
        let pki = Pki::new();
        let route = Route::with_policy("/", "test/named");
        let listener =
            Listener::https("mtls", &pki.server, &pki.root.pem()).with_http(|http| http.routes = vec![route]);
        let acme = pki.issuing.issue(Leaf::client("acme").uri(SPIFFE).dns("acme.test"));
        let bench = Bench::start(pki, StandIn::allowing().await, [listener]).await;

        let call = Call::get("/a/../b%2Fc?q=1&r=%20")
            .header("X-Mixed", "one")
            .header("x-mixed", "two")
            .header("x-bytes", b"\xff\xfe")
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-envoy-downstream-service-cluster", "i-am-the-bank");
        bench.client("mtls", &acme).send(call).await.echo();

        let asked = bench.authorizer.last();
        let attributes = asked.request.attributes.clone().expect("attributes");
        let source = asked.request.source();
        assert_eq!(decode(&source.certificate), acme.pem(), "URL-encoded PEM, the leaf alone");
        assert!(!source.certificate.contains(['+', '/', '=', ' ', '\n']), "{}", source.certificate);
        for escape in ["%0A", "%20"] {
            assert!(source.certificate.contains(escape), "{escape}: {}", source.certificate);
        }
        assert_eq!(source.principal, SPIFFE, "the first URI SAN");
        assert_eq!(source.service, "i-am-the-bank", "copied from what the client said");
        let address = source.address.as_ref().and_then(|a| a.socket_address.as_ref()).expect("an address");
        assert_eq!(address.address, "127.0.0.1", "the TCP peer, not X-Forwarded-For");

        let http = asked.request.http().expect("an HTTP request");
        assert_eq!(http.path, "/a/../b%2Fc?q=1&r=%20", "the raw path with its query");
        assert_eq!((http.query.as_str(), http.fragment.as_str()), ("", ""));
        assert_eq!((http.method.as_str(), http.host.as_str()), ("GET", Pki::SERVER_NAME));
        assert_eq!(http.protocol, "HTTP/1.1");
        assert!(http.id.parse::<u64>().is_ok(), "the stream's number, not x-request-id: {}", http.id);
        assert!(http.headers.is_empty(), "encode_raw_headers replaces the map");
        assert_eq!(http.raw_lines("x-mixed"), [b"one", b"two"], "each line, its name in lower case");
        assert_eq!(http.raw_lines("x-bytes"), [b"\xff\xfe"], "bytes as they are");
        assert_eq!(http.raw_lines(":authority"), [Pki::SERVER_NAME.as_bytes()], "pseudo-headers are there");

        assert_eq!(attributes.tls_session.map(|tls| tls.sni).as_deref(), Some(Pki::SERVER_NAME));
        let named = attributes.context_extensions.get("certgate.dev/policy").map(String::as_str);
        assert_eq!(named, Some("test/named"), "from the route");
        let deadline = asked.metadata.get("grpc-timeout").expect("the deadline travels").to_str().expect("ASCII");
        assert!(deadline.ends_with('m') && deadline.trim_end_matches('m').parse::<u64>().is_ok_and(|ms| ms <= 5000));
        assert!(!asked.metadata.contains_key("x-request-id"));
    });
}

#[test]
fn joined_headers_lose_bytes_and_lines() {
    with_envoy(async {
        let pki = Pki::new();
        let listener = Listener::http("plain").authorization(|a| a.headers = RawHeaders::Joined);
        let bench = Bench::start(pki, StandIn::allowing().await, [listener]).await;
        let call = Call::get("/").header("x-twice", "a").header("x-twice", "b").header("x-bytes", b"\xff");
        bench.plaintext("plain").send(call).await.echo();
        let asked = bench.authorizer.last();
        let http = asked.request.http().expect("an HTTP request");
        assert!(http.header_map.is_none());
        assert_eq!(http.headers.get("x-twice").map(String::as_str), Some("a,b"));
        assert_eq!(http.headers.get("x-bytes").map(String::as_str), Some("!"));
    });
}

#[test]
fn a_request_without_a_certificate_has_only_an_address() {
    with_envoy(async {
        let pki = Pki::new();
        let anchors = pki.root.pem();
        let left_out = Listener::https("left-out", &pki.server, &anchors)
            .authorization(|a| a.peer_certificate = PeerCertificate::LeftOut);
        let listeners = [Listener::https("mtls", &pki.server, &anchors), Listener::http("plain"), left_out];
        let acme = pki.issuing.issue(Leaf::client("acme").uri(SPIFFE));
        let bench = Bench::start(pki, StandIn::allowing().await, listeners).await;

        bench.client("mtls", None).get("/").await.echo();
        let source = bench.authorizer.last().request.source().clone();
        assert_eq!(source, Peer { address: source.address.clone(), ..Peer::default() }, "TLS without a certificate");

        bench.plaintext("plain").get("/").await.echo();
        let source = bench.authorizer.last().request.source().clone();
        assert_eq!(source, Peer { address: source.address.clone(), ..Peer::default() }, "plaintext");

        bench.client("left-out", &acme).get("/").await.echo();
        let source = bench.authorizer.last().request.source().clone();
        assert_eq!((source.certificate.as_str(), source.principal.as_str()), ("", SPIFFE), "no switch, no certificate");
    });
}

#[test]
fn the_principal_is_the_first_name_there_is() {
    with_envoy(async {
        let pki = Pki::new();
        let rows = [
            ("URI before DNS", Leaf::client("c").dns("d.test").uri("urn:a").uri("urn:b"), "urn:a"),
            ("DNS before the subject", Leaf::client("c").email("m@d.test").dns("d.test"), "d.test"),
            ("the subject at last", Leaf::client("c").organization("O, Inc."), "O=O\\, Inc.,CN=c"),
        ];
        let identities: Vec<_> =
            rows.into_iter().map(|(name, leaf, want)| (name, pki.issuing.issue(leaf), want)).collect();
        let listener = Listener::https("mtls", &pki.server, &pki.root.pem());
        let bench = Bench::start(pki, StandIn::allowing().await, [listener]).await;
        for (name, identity, want) in identities {
            bench.client("mtls", &identity).get("/").await.echo();
            assert_eq!(bench.authorizer.last().request.source().principal, want, "{name}");
        }
    });
}

#[test]
fn a_tcp_connection_has_no_http_part() {
    with_envoy(async {
        let pki = Pki::new();
        let listener = Listener::tcp("tcp", &pki.server, &pki.root.pem());
        let acme = pki.issuing.issue(Leaf::client("acme").uri(SPIFFE));
        let bench = Bench::start(pki, StandIn::allowing().await, [listener]).await;
        let raw = bench.client("tcp", &acme).raw(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert_eq!(raw.status(), Some(200), "{}", raw.text());
        let asked = bench.authorizer.last().request;
        assert!(asked.http().is_none());
        assert_eq!(decode(&asked.source().certificate), acme.pem());
        assert_eq!(asked.source().principal, SPIFFE);
        assert!(asked.attributes.expect("attributes").context_extensions.is_empty());
    });
}

/// Trap 4: whatever is wrong with a certificate, Envoy sends it on without a word.
#[test]
fn a_certificate_arrives_whatever_is_wrong_with_it() {
    with_envoy(async {
        let pki = Pki::new();
        let stranger = Authority::root("Stranger");
        let rows = [
            ("another root's", stranger.issue(Leaf::client("acme"))),
            ("self-signed", Identity::self_signed(Leaf::client("acme"))),
            ("expired", pki.issuing.issue(Leaf::client("acme").expired())),
            ("not yet valid", pki.issuing.issue(Leaf::client("acme").not_yet_valid())),
            ("for servers", pki.issuing.issue(Leaf::client("acme").usages([ExtendedKeyUsagePurpose::ServerAuth]))),
            ("without its issuer", pki.client("acme").leaf_only()),
        ];
        let listener = Listener::https("mtls", &pki.server, &pki.root.pem());
        let bench = Bench::start(pki, StandIn::allowing().await, [listener]).await;
        for (name, identity) in rows {
            bench.client("mtls", &identity).get("/").await.echo();
            assert_eq!(decode(&bench.authorizer.last().request.source().certificate), identity.pem(), "{name}");
        }
    });
}

/// Trap 4: an Envoy that does validate does so once a session, not once a request.
#[test]
fn an_expired_certificate_lives_on_in_connections_and_sessions() {
    with_envoy(async {
        let pki = Pki::new();
        let anchors = pki.root.pem();
        let listener = Listener::https("mtls", &pki.server, &anchors)
            .clients(ClientCertificates::Require { anchors })
            .resumption(Resumption::Allowed);
        let lifetime = Duration::from_secs(4);
        let identity = pki.issuing.issue(Leaf::client("brief").valid_for(lifetime));
        let bench = Bench::start(pki, StandIn::allowing().await, [listener]).await;
        let client = bench.client("mtls", &identity);
        let mut connection = client.connect().await;
        connection.send(Call::get("/")).await.echo();

        until("a new client is refused by Envoy itself", PATIENCE, async || {
            bench.client("mtls", &identity).try_send(Call::get("/")).await.is_err().then_some(())
        })
        .await;
        connection.send(Call::get("/kept")).await.echo();
        assert_eq!(bench.authorizer.last().request.http().expect("HTTP").path, "/kept");
        let mut resumed = client.connect().await;
        assert!(resumed.resumed, "the client has a session to resume");
        resumed.send(Call::get("/resumed")).await.echo();
        let last = bench.authorizer.last().request;
        assert_eq!(last.http().expect("HTTP").path, "/resumed");
        assert_eq!(decode(&last.source().certificate), identity.pem());
    });
}

/// Trap 5.
#[test]
fn requiring_a_certificate_without_a_validation_context_requires_nothing() {
    with_envoy(async {
        let pki = Pki::new();
        let listener =
            Listener::https("mtls", &pki.server, &pki.root.pem()).clients(ClientCertificates::RequireUnvalidated);
        let bench = Bench::start(pki, StandIn::allowing().await, [listener]).await;
        bench.client("mtls", None).get("/").await.echo();
        assert_eq!(bench.authorizer.last().request.source().certificate, "");
    });
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next(), rest.next()].map(|digit| digit.expect("two digits"));
            let digits = std::str::from_utf8(&digits).expect("ASCII").to_owned();
            bytes.push(u8::from_str_radix(&digits, 16).expect("hexadecimal"));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("PEM is ASCII")
}
