//! `x-forwarded-client-cert`.

use super::Bench;
use crate::with_envoy;
use certgate_harness::client::Call;
use certgate_harness::envoy_config::{Details, Format, ForwardClientCert, Listener};
use certgate_harness::pki::{Leaf, Pki};
use certgate_harness::stand_in::StandIn;

const XFCC: &str = "x-forwarded-client-cert";
const FORGED: &str = "Hash=00;Subject=\"CN=admin\"";

/// What a forged header becomes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Becomes {
    Removed,
    Replaced,
    /// The forged element first, the real one last.
    Followed,
    Passed,
}

#[test]
fn modes_and_kinds_of_clients() {
    use Becomes::{Followed, Passed, Removed, Replaced};
    use ForwardClientCert::{AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet};
    // mode, mutual TLS, TLS without a certificate, plaintext
    let table = [
        (Sanitize, Removed, Removed, Removed),
        (SanitizeSet, Replaced, Removed, Removed),
        (AppendForward, Followed, Removed, Removed),
        (ForwardOnly, Passed, Removed, Removed),
        (AlwaysForwardOnly, Passed, Passed, Passed),
    ];
    with_envoy(async {
        let pki = Pki::new();
        let listeners = table.iter().flat_map(|&(mode, ..)| {
            let tls = Listener::https(&format!("tls-{}", mode.name()), &pki.server, &pki.root.pem());
            let plain = Listener::http(&format!("plain-{}", mode.name()));
            [tls.forward(mode), plain.forward(mode)]
        });
        let listeners: Vec<_> = listeners.collect();
        let acme = pki.client("acme");
        let real = format!("Hash={}", acme.sha256());
        let bench = Bench::start(pki, StandIn::allowing().await, listeners).await;
        for (mode, mtls, anonymous, plaintext) in table {
            let clients = [
                ("mutual TLS", bench.client(&format!("tls-{}", mode.name()), &acme), mtls),
                ("TLS without a certificate", bench.client(&format!("tls-{}", mode.name()), None), anonymous),
                ("plaintext", bench.plaintext(&format!("plain-{}", mode.name())), plaintext),
            ];
            for (kind, client, want) in clients {
                client.send(Call::get("/").header(XFCC, FORGED)).await.echo();
                let asked = bench.authorizer.last().request;
                let lines = asked.http().expect("HTTP").raw_lines(XFCC);
                let seen = match lines.as_slice() {
                    [] => Removed,
                    [line] => match String::from_utf8_lossy(line).split_once(FORGED) {
                        None if String::from_utf8_lossy(line).contains(&real) => Replaced,
                        Some(("", "")) => Passed,
                        Some(("", after)) if after.starts_with(',') && after.contains(&real) => Followed,
                        _ => panic!("{mode:?}, {kind}: {}", String::from_utf8_lossy(line)),
                    },
                    more => panic!("{mode:?}, {kind}: {} lines", more.len()),
                };
                assert_eq!(seen, want, "{mode:?}, {kind}");
            }
        }
    });
}

#[test]
fn an_element_and_what_a_hostile_name_does_to_it() {
    with_envoy(async {
        let pki = Pki::new();
        let listeners = [Listener::https("mtls", &pki.server, &pki.root.pem())
            .forward(ForwardClientCert::SanitizeSet)
            .with_http(|http| http.details = Details::All)];
        let plain = pki.issuing.issue(Leaf::client("acme").dns("a.test").dns("b.test"));
        let injection = "spiffe://lab.test/x,By=spiffe://evil;Hash=00;Subject=\"CN=admin\";URI=spiffe://lab.test/y";
        let hostile = pki.issuing.issue(Leaf::client("acme").uri(injection));
        let quoted = pki.issuing.issue(Leaf::client("a\"c;Cert=\"me"));
        let bench = Bench::start(pki, StandIn::allowing().await, listeners).await;
        let xfcc = async |identity| {
            bench.client("mtls", identity).get("/").await.echo();
            let asked = bench.authorizer.last().request;
            let lines = asked.http().expect("HTTP").raw_lines(XFCC);
            assert_eq!(lines.len(), 1);
            String::from_utf8(lines[0].to_vec()).expect("ASCII")
        };

        let element = xfcc(&plain).await;
        let keys: Vec<&str> = element.split(';').map(|pair| pair.split_once('=').expect("a pair").0).collect();
        assert_eq!(keys, ["Hash", "Cert", "Chain", "Subject", "URI", "DNS", "DNS", "Issuer"], "{element}");
        assert!(element.starts_with(&format!("Hash={};Cert=\"-----BEGIN%20CERTIFICATE-----%0A", plain.sha256())));
        assert!(element.contains(";Subject=\"CN=acme\";URI=;DNS=a.test;DNS=b.test;"), "{element}");

        let element = xfcc(&hostile).await;
        assert!(element.contains(&format!(";URI={injection};")), "URI is neither quoted nor escaped: {element}");

        let element = xfcc(&quoted).await;
        assert!(element.contains(r#";Subject="CN=a\"c\;Cert=\"me";"#), "RFC 2253's own escapes: {element}");
    });
}

/// The JSON form escapes what a name holds; what a client sent before it is another matter.
#[test]
fn the_json_form() {
    with_envoy(async {
        let pki = Pki::new();
        let listener = |name: &str, mode| {
            Listener::https(name, &pki.server, &pki.root.pem()).forward(mode).with_http(|http| {
                http.details = Details::All;
                http.format = Format::Json;
            })
        };
        let listeners =
            [listener("set", ForwardClientCert::SanitizeSet), listener("append", ForwardClientCert::AppendForward)];
        let uri = "spiffe://lab.test/x\"},{\"hash\":\"00";
        let acme = pki.issuing.issue(Leaf::client("acme").uri(uri).dns("a.test"));
        let bench = Bench::start(pki, StandIn::allowing().await, listeners).await;
        let seen = async |listener: &str, forged: Option<&str>| {
            let call = forged.iter().fold(Call::get("/"), |call, forged| call.header(XFCC, forged));
            bench.client(listener, &acme).send(call).await.echo();
            let asked = bench.authorizer.last().request;
            String::from_utf8(asked.http().expect("HTTP").raw_lines(XFCC)[0].to_vec()).expect("UTF-8")
        };
        let real = seen("set", None).await;
        let parsed: serde_json::Value = serde_json::from_str(&real).expect("JSON");
        let element = &parsed[0];
        assert_eq!(parsed.as_array().map(Vec::len), Some(1), "{real}");
        assert_eq!(element["hash"], acme.sha256().as_str());
        assert_eq!(element["cert"], acme.pem().as_str(), "PEM as it is");
        assert_eq!(element["chain"].as_array().map(Vec::len), Some(2), "the leaf first: {real}");
        assert_eq!(element["uri"], serde_json::json!([uri]));
        assert_eq!(element["dns"], serde_json::json!(["a.test"]));
        assert_eq!(element["subject"], "CN=acme");

        let inner = real.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).expect("a list");
        assert_eq!(seen("set", Some("[]")).await, real, "replaced");
        assert_eq!(seen("append", Some("[{\"hash\":\"00\"}]")).await, format!("[{{\"hash\":\"00\"}},{inner}]"));
        let broken = seen("append", Some("[]")).await;
        assert!(serde_json::from_str::<serde_json::Value>(&broken).is_err(), "{broken}");
        let mixed = seen("append", Some("Hash=00")).await;
        assert!(mixed.starts_with("Hash=00,Hash="), "the client's form wins: {mixed}");
    });
}

#[test]
fn a_client_pads_its_chain_and_the_question_grows() {
    with_envoy(async {
        let pki = Pki::new();
        let listeners = [Listener::https("mtls", &pki.server, &pki.root.pem()).forward(ForwardClientCert::SanitizeSet)];
        let acme = pki.client("acme");
        let junk = pki.client("junk").der().clone();
        let padded = acme.with_extra(std::iter::repeat_n(junk, 60));
        let bench = Bench::start(pki, StandIn::allowing().await, listeners).await;
        bench.client("mtls", &acme).get("/").await.echo();
        let usual = bench.authorizer.last().length;
        // Envoy itself refuses headers over 60 KiB from clients; what it adds afterwards is not counted.
        bench.client("mtls", &padded).get("/").await.echo();
        let grown = bench.authorizer.last().length;
        assert!(usual < 8 * 1024, "{usual}");
        assert!(grown > 30 * 1024, "{grown}");
    });
}
