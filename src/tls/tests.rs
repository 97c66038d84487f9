use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::accept::Acceptor;
use super::clients::Clients;
use super::files::ClientFiles;
use super::health::{TlsHealth, TlsMetrics};
use super::identity::{Part, ServerIdentity};
use super::server::{Material, TlsServer};
use super::testing::{Mount, Pair, client, shake, until};
use super::watch::{TlsWatchOptions, WatchMode, follow};
use certgate_x509::{der::Reader, der::tag};

fn identity(pair: &Pair) -> ServerIdentity {
    ServerIdentity::from_pem(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap()
}

fn server(pair: &Pair) -> TlsServer {
    TlsServer::new(&identity(pair), &[b"h2"], TlsHealth::default().server("test"))
}

/// The key inside of PKCS#8: PKCS#1 or SEC1 (RFC 5958, section 2).
fn inner(key: &KeyPair) -> Vec<u8> {
    let der = key.serialize_der();
    let mut fields = Reader::new(&der).nested(tag::SEQUENCE).unwrap();
    fields.any().unwrap();
    fields.any().unwrap();
    fields.any().unwrap().content.to_vec()
}

fn armour(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn keys_of_every_kind_and_form_are_read() {
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let p256 = KeyPair::generate().unwrap();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    for (name, key, text) in [
        ("RSA, PKCS#8", &rsa, rsa.serialize_pem()),
        ("RSA, PKCS#1", &rsa, armour("RSA PRIVATE KEY", &inner(&rsa))),
        ("P-256, PKCS#8", &p256, p256.serialize_pem()),
        ("P-256, SEC1", &p256, armour("EC PRIVATE KEY", &inner(&p256))),
        ("P-256, after its parameters", &p256, armour("EC PARAMETERS", b"\x06\x01\x01") + &p256.serialize_pem()),
        ("P-384, PKCS#8", &p384, p384.serialize_pem()),
        ("Ed25519, PKCS#8", &ed25519, ed25519.serialize_pem()),
    ] {
        let pair = Pair::of("server", key);
        let read = ServerIdentity::from_pem(pair.certificate.as_bytes(), text.as_bytes());
        let read = read.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read.certificate().der(), &*pair.der, "{name}");
    }
}

#[test]
fn what_is_no_certificate_with_its_key_is_refused() {
    let (one, other) = (Pair::new("one"), Pair::new("other"));
    let cut = one.certificate.replace("-----END CERTIFICATE-----", "");
    let odd = armour("CERTIFICATE", b"\x30\x00");
    let encrypted = armour("ENCRYPTED PRIVATE KEY", b"\x30\x00");
    let unreadable = armour("PRIVATE KEY", b"\x30\x00");
    let two = one.key.clone() + &other.key;
    let long = " ".repeat(64 * 1024) + &one.key;
    for (name, certificate, key, part, want) in [
        ("no certificate", "", &*one.key, Part::Certificate, "no `-----BEGIN CERTIFICATE-----`"),
        ("a certificate cut short", &cut, &one.key, Part::Certificate, "has no END"),
        ("not DER", &odd, &one.key, Part::Certificate, "certificate 1: "),
        ("the key in the certificate's place", &one.key, &one.key, Part::Certificate, "private key"),
        ("no key", &one.certificate, "", Part::Key, "no `-----BEGIN PRIVATE KEY-----`"),
        ("the certificate in the key's place", &one.certificate, &one.certificate, Part::Key, "no `-----BEGIN"),
        ("an encrypted key", &one.certificate, &encrypted, Part::Key, "encrypted keys are not read"),
        ("a key that is none", &one.certificate, &unreadable, Part::Key, "cannot be used"),
        ("two keys", &one.certificate, &two, Part::Key, "more than one"),
        ("a long text", &one.certificate, &long, Part::Key, "too many"),
        ("another one's key", &one.certificate, &other.key, Part::Both, "CN=one"),
    ] {
        let error = ServerIdentity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error.part(), part, "{name}: {error}");
        assert!(error.to_string().contains(want), "{name}: {error}");
        assert!(!error.to_string().contains(&one.key[40..60]), "{name} quotes the key: {error}");
    }
}

#[tokio::test]
async fn both_versions_are_spoken_and_the_protocol_is_agreed() {
    let pair = Pair::new("one");
    let server = server(&pair);
    for version in [&TLS12, &TLS13] {
        let mut client = client(&[&pair.der], &[version]);
        for (offered, agreed) in [(&[b"h2".to_vec()][..], Some(&b"h2"[..])), (&[][..], None)] {
            client.alpn_protocols = offered.to_vec();
            let (near, far) = shake(&client, &server).await;
            let (near, far) = (near.unwrap(), far.unwrap());
            assert_eq!(far.get_ref().1.protocol_version(), Some(version.version));
            assert_eq!(near.get_ref().1.alpn_protocol(), agreed, "{version:?}");
        }
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (near, far) = shake(&client, &server).await;
        assert!(near.is_err() && far.is_err(), "{version:?}");
    }
}

#[tokio::test]
async fn a_replaced_certificate_serves_the_next_handshake_and_connections_go_on() {
    let (old, new) = (Pair::new("old"), Pair::new("new"));
    let server = server(&old);
    let client = client(&[&old.der, &new.der], &[&TLS13]);
    let presented = |stream: &tokio_rustls::client::TlsStream<_>| {
        stream.get_ref().1.peer_certificates().unwrap().first().unwrap().clone().into_owned()
    };
    let (near, far) = shake(&client, &server).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert_eq!(presented(&near), old.der);
    server.replace(&identity(&new));
    // The client has spoken with this server before: it must not be able to resume that.
    let (again, _) = shake(&client, &server).await;
    assert_eq!(presented(&again.unwrap()), new.der);
    near.write_all(b"still here").await.unwrap();
    near.flush().await.unwrap();
    let mut read = [0; 10];
    far.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"still here");
}

fn metrics(health: Arc<TlsHealth>) -> String {
    let mut registry = Registry::with_prefix("certgate");
    registry.register_collector(Box::new(TlsMetrics(health)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}

fn value(health: &Arc<TlsHealth>, series: &str) -> i64 {
    let text = metrics(health.clone());
    let line = text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{series}: {text}"));
    line.trim().parse().unwrap()
}

const APPLIED: &str = r#"certgate_tls_reloads_total{server="test",outcome="Applied"}"#;
const REFUSED: &str = r#"certgate_tls_reloads_total{server="test",outcome="Refused"}"#;
const STALE: &str = r#"certgate_tls_files_stale{server="test"}"#;
const EXPIRY: &str = r#"certgate_tls_certificate_expiry_seconds{server="test"}"#;

/// What a client that believes in all of `pairs` is shown.
fn shown(server: &TlsServer, pairs: &[&Pair]) -> Vec<u8> {
    let anchors: Vec<_> = pairs.iter().map(|pair| &pair.der).collect();
    let client = client(&anchors, &[&TLS13]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (near, _) = runtime.block_on(shake(&client, server));
    near.unwrap().get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn a_mounted_secret_is_followed(options: TlsWatchOptions) {
    let (one, two, three) = (Pair::new("one"), Pair::new("two"), Pair::new("three"));
    let all = [&one, &two, &three];
    let both = |pair: &Pair| [("tls.crt", pair.certificate.clone()), ("tls.key", pair.key.clone())];
    let swap = |mount: &mut Mount, files: &[(&str, String)]| {
        mount.swap(&files.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>());
    };
    let mut mount = Mount::new(&[("tls.crt", &one.certificate), ("tls.key", &one.key)]);
    let health = Arc::new(TlsHealth::default());
    let server = follow(mount.files(), &[b"h2"], health.server("test"), options).unwrap();
    assert_eq!(shown(&server, &all), &*one.der);
    assert!(value(&health, EXPIRY) > 0);

    swap(&mut mount, &both(&two));
    until("the second certificate", || value(&health, APPLIED) == 1);
    assert_eq!(shown(&server, &all), &*two.der);

    swap(&mut mount, &[("tls.crt", three.certificate.clone()), ("tls.key", two.key.clone())]);
    until("what does not fit is refused", || value(&health, REFUSED) == 1);
    assert_eq!((shown(&server, &all), value(&health, STALE)), (two.der.to_vec(), 1));

    swap(&mut mount, &both(&two));
    until("what was there before is there again", || value(&health, STALE) == 0);
    assert_eq!((value(&health, APPLIED), value(&health, REFUSED)), (1, 1));

    swap(&mut mount, &[("tls.crt", String::new())]);
    until("a missing file is refused", || value(&health, REFUSED) == 2);
    assert_eq!(shown(&server, &all), &*two.der);

    swap(&mut mount, &both(&three));
    until("the third certificate", || value(&health, APPLIED) == 2);
    assert_eq!((shown(&server, &all), value(&health, STALE)), (three.der.to_vec(), 0));
}

#[test]
fn a_mounted_secret_is_followed_by_events() {
    a_mounted_secret_is_followed(TlsWatchOptions { mode: WatchMode::Events, poll: Duration::from_secs(3600) });
}

#[test]
fn a_mounted_secret_is_followed_without_events() {
    a_mounted_secret_is_followed(TlsWatchOptions { mode: WatchMode::Poll, poll: Duration::from_millis(20) });
}

#[test]
fn certificate_and_key_may_be_written_one_after_the_other() {
    let (one, two) = (Pair::new("one"), Pair::new("two"));
    let directory = tempfile::TempDir::new().unwrap();
    let mount = Mount::new(&[("tls.crt", &one.certificate), ("tls.key", &one.key)]);
    let mut files = mount.files();
    files.certificate = directory.path().join("server.pem");
    files.key = directory.path().join("server.key");
    std::fs::write(&files.certificate, &one.certificate).unwrap();
    std::fs::write(&files.key, &one.key).unwrap();
    let health = Arc::new(TlsHealth::default());
    let options = TlsWatchOptions { mode: WatchMode::Events, poll: Duration::from_secs(3600) };
    let server = follow(files.clone(), &[b"h2"], health.server("test"), options).unwrap();
    std::fs::write(&files.certificate, &two.certificate).unwrap();
    std::fs::write(&files.key, &two.key).unwrap();
    until("the second certificate", || value(&health, APPLIED) == 1);
    assert_eq!(shown(&server, &[&one, &two]), &*two.der);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (one, other) = (Pair::new("one"), Pair::new("other"));
    let mut mount = Mount::new(&[("tls.crt", &one.certificate), ("tls.key", &one.key)]);
    let load = |files: super::files::TlsFiles| {
        let health = TlsHealth::default().server("test");
        follow(files, &[], health, TlsWatchOptions::default()).unwrap_err().to_string()
    };
    let mut files = mount.files();
    files.key = mount.path("absent.key");
    assert!(load(files).contains("absent.key: No such file"));
    let mut files = mount.files();
    files.certificate = mount.path(".");
    assert!(load(files).contains("not a regular file"));
    mount.swap(&[("tls.crt", &one.certificate), ("tls.key", &other.key)]);
    let error = load(mount.files());
    assert!(error.contains("tls.crt and ") && error.contains("does not belong"), "{error}");
    mount.swap(&[("tls.crt", &one.certificate), ("tls.key", "nonsense")]);
    let error = load(mount.files());
    assert!(error.contains("tls.key: no `-----BEGIN"), "{error}");
}

fn handshakes(health: &Arc<TlsHealth>, outcome: &str) -> i64 {
    value(health, &format!(r#"certgate_tls_handshakes_total{{server="test",outcome="{outcome}"}}"#))
}

#[tokio::test]
async fn handshakes_have_a_deadline_and_a_bound() {
    let pair = Pair::new("one");
    let health = Arc::new(TlsHealth::default());
    let server = Arc::new(TlsServer::new(&identity(&pair), &[b"h2"], health.server("test")));
    let acceptor = Arc::new(Acceptor::within(server, 1, Duration::from_millis(200)));
    let begin = |far| {
        let acceptor = acceptor.clone();
        tokio::spawn(async move { acceptor.accept(far, None).await.is_some() })
    };
    let (mut oldest, far) = tokio::io::duplex(1024);
    let gives_way = begin(far);
    let (_silent, far) = tokio::io::duplex(1024);
    let stalled = begin(far);
    assert!(!gives_way.await.unwrap(), "the newer one is let in");
    assert_eq!(oldest.read(&mut [0; 1]).await.unwrap(), 0, "it is closed");
    assert_eq!((handshakes(&health, "GaveWay"), handshakes(&health, "TimedOut")), (1, 0));
    assert!(!stalled.await.unwrap());
    assert_eq!(handshakes(&health, "TimedOut"), 1);

    let (mut plaintext, far) = tokio::io::duplex(1024);
    plaintext.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    assert!(acceptor.accept(far, None).await.is_none());
    assert_eq!(handshakes(&health, "NotTls"), 1);
    let (gone, far) = tokio::io::duplex(1024);
    drop(gone);
    assert!(acceptor.accept(far, None).await.is_none());
    assert_eq!(handshakes(&health, "Aborted"), 1);
    // The pieces of a message of 60,000 octets.
    let (mut endless, far) = tokio::io::duplex(64 * 1024);
    let piece = |start: &[u8]| [&[22, 3, 1, 0x40, 0][..], start, &vec![0; 0x4000 - start.len()]].concat();
    endless.write_all(&[piece(&[1, 0, 0xea, 0x60]), piece(&[])].concat()).await.unwrap();
    assert!(acceptor.accept(far, None).await.is_none());
    assert_eq!((handshakes(&health, "Failed"), handshakes(&health, "TimedOut")), (1, 1));
    assert_eq!(handshakes(&health, "Completed"), 0);
}

#[tokio::test]
async fn a_client_needs_a_certificate_with_a_name_on_the_list() {
    let (own, caller, stranger) = (Pair::new("server"), Pair::new("caller"), Pair::new("stranger"));
    let health = Arc::new(TlsHealth::default());
    // Every pair has the same DNS name, and is its own authority.
    let accepting = |allowed: Option<&str>| {
        let allowed = allowed.map(|name| vec![name.parse().unwrap()]);
        let clients = Clients::from_pem(caller.certificate.as_bytes(), allowed).unwrap();
        Material { identity: identity(&own), clients: Some(clients) }
    };
    let server = Arc::new(TlsServer::new(accepting(None), &[b"h2"], health.server("test")));
    let acceptor = Acceptor::new(server.clone());
    let shake = async |pair: Option<&Pair>, version| {
        let client = super::testing::client_as(&own.der, pair, version);
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = rustls::pki_types::ServerName::try_from(super::testing::NAME).unwrap();
        let connect = async {
            // In TLS 1.3 the client is done before the server has judged it: the first octet tells.
            let mut near = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, near).await?;
            near.read(&mut [0; 1]).await
        };
        let accept = async {
            match acceptor.accept(far, None).await {
                Some(mut far) => far.write_all(b"!").await.is_ok(),
                None => false,
            }
        };
        let (connected, accepted) = tokio::join!(connect, accept);
        assert_eq!(matches!(connected, Ok(1)), accepted, "{connected:?}");
        accepted
    };
    for (round, version) in [&TLS12, &TLS13].into_iter().enumerate() {
        let count = |outcome| handshakes(&health, outcome) - i64::try_from(round).unwrap();
        server.replace(accepting(None));
        assert!(shake(Some(&caller), version).await);
        assert!(!shake(None, version).await);
        assert_eq!(count("NoCertificate"), 1);
        assert!(!shake(Some(&stranger), version).await);
        assert_eq!(count("CertificateRefused"), 1);
        server.replace(accepting(Some("other.example.test")));
        assert!(!shake(Some(&caller), version).await);
        assert_eq!(count("CallerNotAllowed"), 1);
        server.replace(accepting(Some(super::testing::NAME)));
        assert!(shake(Some(&caller), version).await);
    }
    assert_eq!(handshakes(&health, "Completed"), 4);
}

#[test]
fn authorities_and_lists_are_followed_too() {
    let (own, caller) = (Pair::new("server"), Pair::new("caller"));
    let files = |authority: &str, list: &str| {
        [("tls.crt", own.certificate.clone()), ("tls.key", own.key.clone())]
            .into_iter()
            .chain([("ca.crt", authority.to_owned()), ("callers", list.to_owned())])
            .collect::<Vec<_>>()
    };
    let swap = |mount: &mut Mount, files: Vec<(&'static str, String)>| {
        mount.swap(&files.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>());
    };
    let first = files(&caller.certificate, "a.example\n");
    let mut mount = Mount::new(&first.iter().map(|(name, text)| (*name, text.as_str())).collect::<Vec<_>>());
    let mut tls = mount.files();
    tls.clients =
        Some(ClientFiles { authorities: mount.path("ca.crt"), allowed: Vec::new(), list: Some(mount.path("callers")) });
    let health = Arc::new(TlsHealth::default());
    let options = TlsWatchOptions { mode: WatchMode::Events, poll: Duration::from_secs(3600) };
    let _server = follow(tls, &[b"h2"], health.server("test"), options).unwrap();
    swap(&mut mount, files(&caller.certificate, "a.example\nb.example\n"));
    until("the longer list", || value(&health, APPLIED) == 1);
    swap(&mut mount, files(&own.certificate, "a.example\nb.example\n"));
    until("the other authority", || value(&health, APPLIED) == 2);
    swap(&mut mount, files(&own.certificate, "# nobody\n"));
    until("an empty list would lock everybody out by mistake", || value(&health, REFUSED) == 1);
    swap(&mut mount, files("", "a.example\n"));
    until("no authority", || value(&health, REFUSED) == 2);
    assert_eq!(value(&health, STALE), 1);
}
