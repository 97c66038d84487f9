//! Hostile and large certificates are described within bounds.

use super::*;

/// Both forms of the answer: bounded by the size of the certificate, and without anything that deceives a terminal.
fn check_answers(der: &[u8], what: &str) {
    let inspection = inspected(der);
    let (page, program) = (render(&inspection, Terminal::default()), json(&inspection));
    assert!(program.bytes().all(|octet| octet == b'\n' || (b' '..=b'~').contains(&octet)), "{what}");
    serde_json::from_str::<Value>(&program).unwrap();
    for c in page.chars().filter(|c| !(' '..='~').contains(c) && *c != '\n') {
        assert_eq!(c.escape_debug().count(), 1, "{what}: {c:?}");
    }
    let most = 64 * der.len() + 64 * 1024;
    assert!(page.len() < most && program.len() < most, "{what}: {} and {} of {}", page.len(), program.len(), der.len());
}

#[test]
fn hostile_certificates_are_described_within_bounds() {
    let clients = Clients::new();
    let mut random = mutate::Random(8);
    let suites: Vec<Vec<u8>> = certificates().into_iter().collect();
    for n in 0..3_000 {
        let original = suites.get(random.below(suites.len() + 40)).unwrap_or(&clients.client);
        let mut der = original.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(der.len());
            der[at] = match random.below(3) {
                0 => der[at] ^ (1 << random.below(8)),
                1 => random.number() as u8,
                _ => [0, 0x30, 0x80, 0xff, 0x1b, 0x7f][random.below(6)],
            };
        }
        check_answers(&der, &format!("mutation {n}"));
    }
    for n in 0..500 {
        check_answers(&mutate::mutate(&clients.client, &mut random), &format!("other mutation {n}"));
    }
}

#[test]
fn large_certificates_are_described_within_bounds() {
    let key = SigningKey::ed25519();
    let names: Vec<Vec<u8>> = (0..20_000).map(|n| dns(&format!("h{n}.example"))).collect();
    let uris: Vec<Vec<u8>> = (0..50).map(|n| uri(&format!("urn:{n}:{}", "x".repeat(4_000)))).collect();
    let parts: Vec<String> = (0..250).map(|n| format!("OU={n}{}", "\u{202e}".repeat(60))).collect();
    let subject = Name::parse_rfc4514(&parts.join(",")).unwrap().der().to_vec();
    let purposes: Vec<String> = (0..4_000).map(|n| format!("1.3.6.1.4.1.99999.{n}")).collect();
    let purposes: Vec<&str> = purposes.iter().map(String::as_str).collect();
    let client = || Draft::client("CN=a", "CN=Root", &key);
    for (what, draft) in [
        ("many names", client().with(ext::names(&names))),
        ("long names", client().with(ext::names(&uris))),
        ("a long subject", Draft { subject, ..client() }),
        ("many purposes", client().with(ext::purposes(&purposes))),
        ("a large unknown extension", client().with(ext::any("1.2.3.4", false, vec![0xff; 200_000]))),
    ] {
        let der = draft.der(&key);
        assert!(Certificate::from_der(der.clone()).is_ok(), "{what}");
        check_answers(&der, what);
        let page = render(&inspected(&der), Terminal::default());
        assert!(page.len() < 300_000, "{what}: a page of {} bytes", page.len());
    }
    let many = vec![Bytes::from(client().der(&key)); 1_000];
    let inspection = inspect(Form::Pem, &many, NOW);
    assert_eq!((inspection.chain.len(), inspection.omitted), (32, 967));
}
