//! Ten thousand mutations of each kind of forwarded certificate: nothing panics, and nothing that is not a spelling of
//! the original stands for the original.
//!
//! The mutations are the same in every run. Each kind has its own judge of what is a spelling of the original: simple,
//! slow and written without the code under test. A mutation may well decode to *other* octets (base64 with one
//! character changed is base64): those are another certificate, which path validation refuses. But where `Hash`
//! stands beside the certificate, not even that may happen.

use std::num::NonZeroUsize;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate::domain::evidence::{ChainSource, EvidenceRule, HeaderFormat, gather};
use certgate::domain::request::{Headers, Request};
use certgate_x509::{Sha256, encoding::bundle};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair, PKCS_ED25519, SanType};
use rustls::pki_types::PrivatePkcs8KeyDer;

use certgate_testing::mutate;

use mutate::{Random, mutate};

const MUTATIONS: usize = 10_000;
const SEED: u64 = 0x6365_7274_6761_7465;
const XFCC: &str = "x-forwarded-client-cert";
const LEAF: &str = "x-leaf";
const CHAIN: &str = "x-chain";

struct Fixture {
    leaf: Vec<u8>,
    intermediate: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let subject = |name: &str, seed: u8| {
            // PKCS #8 of an Ed25519 key (RFC 8410, section 7): the same key, and so the same certificate, in every run.
            let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
            let pkcs8 = PrivatePkcs8KeyDer::from([&prefix[..], &[seed; 32]].concat());
            let key = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519).expect("a key");
            let mut params = CertificateParams::new(vec!["a.test".to_owned()]).expect("a DNS name");
            params.subject_alt_names.push(SanType::URI("spiffe://lab.test/a".try_into().expect("ASCII")));
            params.distinguished_name.push(DnType::CommonName, name);
            (params, key)
        };
        let (leaf, leaf_key) = subject("leaf", 1);
        let (intermediate, key) = subject("intermediate", 2);
        let issuer = Issuer::from_params(&intermediate, &key);
        Self {
            leaf: leaf.signed_by(&leaf_key, &issuer).expect("a certificate").der().to_vec(),
            intermediate: intermediate.self_signed(&key).expect("a certificate").der().to_vec(),
        }
    }
}

fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, c) in STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text + "\n-----END CERTIFICATE-----\n"
}

fn url_encoded(der: &[u8], raw: &str) -> String {
    let escape = |c: char| {
        let raw = c.is_ascii_alphanumeric() || raw.contains(c);
        if raw { c.to_string() } else { format!("%{:02X}", u32::from(c)) }
    };
    pem(der).chars().map(escape).collect()
}

/// Percent-decoding in its most naive form; `None` for what is not percent-encoded.
fn naive_percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![];
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'%' {
            let digits = std::str::from_utf8(text.get(at + 1..at + 3)?).ok()?;
            digits.chars().all(|c| c.is_ascii_hexdigit()).then_some(())?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            (text[at] > b' ' && text[at] < 0x7f).then_some(())?;
            out.push(text[at]);
            at += 1;
        }
    }
    Some(out)
}

/// Whether `text` is the one PEM of `der`; the last line break may be missing.
fn is_pem_of(text: &[u8], der: &[u8]) -> bool {
    let want = pem(der);
    text == want.as_bytes() || text == want.trim_end().as_bytes()
}

fn is_url_encoded(text: &[u8], der: &[u8]) -> bool {
    naive_percent_decode(text).is_some_and(|text| is_pem_of(&text, der))
}

fn find_all<'a>(text: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    (0..text.len()).filter_map(move |at| text[at..].strip_prefix(what))
}

/// Tells what a text is.
type Judge<'a> = Box<dyn Fn(&[u8]) -> bool + 'a>;

/// A value that stands in one header, or in `source.certificate` when `header` is empty.
struct Kind<'a> {
    name: &'static str,
    rule: EvidenceRule,
    header: &'static str,
    original: String,
    /// Whether a text that was read as the original leaf is a spelling of it.
    is_spelling: Judge<'a>,
    /// Whether a text that was read as another leaf may be.
    may_be_other: Judge<'a>,
    /// Headers that are not mutated.
    others: Vec<(&'static str, String)>,
}

struct Lines<'a>(Vec<(&'a str, &'a [u8])>);

impl Headers for Lines<'_> {
    fn lines<'h>(&'h self, name: &str, out: &mut Vec<&'h [u8]>) {
        out.extend(self.0.iter().filter(|(key, _)| *key == name).map(|(_, value)| *value));
    }
}

impl Kind<'_> {
    fn leaf(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut lines: Vec<(&str, &[u8])> = self.others.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        lines.push((self.header, text));
        let request = Request {
            named_policy: None,
            http: None,
            peer_certificate: if self.header.is_empty() { text } else { b"" },
            headers: &Lines(lines),
            source_address: None,
        };
        match gather(std::slice::from_ref(&self.rule), &request) {
            Ok(found) => found.map(|evidence| evidence.leaf.to_vec()),
            Err(error) => {
                let text = error.to_string();
                assert!(text.len() < 400 && text.chars().all(|c| matches!(c, ' '..='~')), "{}: {text}", self.name);
                None
            }
        }
    }

    /// Runs the mutations; returns how many were refused.
    fn run(&self, fixture: &Fixture) -> usize {
        assert_eq!(self.leaf(self.original.as_bytes()).as_ref(), Some(&fixture.leaf), "{}: the original", self.name);
        assert!((self.is_spelling)(self.original.as_bytes()), "{}: the judge knows the original", self.name);
        let mut random = Random(SEED);
        let mut refused = 0;
        for number in 0..MUTATIONS {
            let text = mutate(self.original.as_bytes(), &mut random);
            let shown = || format!("{}, mutation {number}: {:?}", self.name, String::from_utf8_lossy(&text));
            match self.leaf(&text) {
                None => refused += 1,
                Some(leaf) if leaf == fixture.leaf => assert!((self.is_spelling)(&text), "{}", shown()),
                Some(_) => assert!((self.may_be_other)(&text), "{}", shown()),
            }
        }
        refused
    }
}

fn header(format: HeaderFormat, chain: bool) -> EvidenceRule {
    EvidenceRule::Header { format, name: LEAF.into(), chain_name: chain.then(|| CHAIN.into()) }
}

fn xfcc() -> EvidenceRule {
    EvidenceRule::Xfcc { element: NonZeroUsize::MIN, by: None }
}

/// An element as Envoy writes it.
fn element(by: &str, der: &[u8], chain: &[&[u8]]) -> String {
    let chain: String = chain.iter().map(|der| url_encoded(der, "-")).collect();
    format!(
        "By={by};Hash={};Cert=\"{}\";Chain=\"{chain}\";Subject=\"CN=it\\, \\\"quoted\\\"\";\
         URI=spiffe://lab.test/a;DNS=a.test;Issuer=\"CN=ca\"",
        Sha256::of(der),
        url_encoded(der, "-"),
    )
}

fn json_element(der: &[u8], chain: &[&[u8]]) -> serde_json::Value {
    serde_json::json!({
        "by": ["spiffe://lab.test/gw"], "hash": Sha256::of(der).to_string(), "cert": pem(der),
        "chain": chain.iter().map(|der| pem(der)).collect::<Vec<_>>(), "subject": "CN=it",
        "uri": ["spiffe://lab.test/a"], "dns": ["a.test"], "issuer": "CN=ca",
    })
}

/// Whether some `Cert` of the text form holds the leaf.
fn has_cert(text: &[u8], der: &[u8]) -> bool {
    find_all(text, b"Cert=\"").any(|rest| {
        let end = rest.iter().position(|c| *c == b'"').unwrap_or(rest.len());
        is_url_encoded(&rest[..end], der)
    })
}

/// The last element, read by a general JSON reader.
fn last_of(text: &[u8]) -> Option<serde_json::Value> {
    serde_json::from_slice::<serde_json::Value>(text).ok()?.as_array()?.last().cloned()
}

fn kinds(fixture: &Fixture) -> Vec<Kind<'_>> {
    let Fixture { leaf, intermediate } = fixture;
    let both: [&[u8]; 2] = [leaf, intermediate];
    let anything = || Box::new(|_: &[u8]| true);
    // Where an element has a Hash, its Cert is that certificate or the header is refused.
    let no_hash = |text: &[u8]| find_all(text, b"Hash=").next().is_none();
    let first_part = |text: &[u8]| text.split(|c| *c == b',').next().map(<[u8]>::to_vec).unwrap_or_default();
    let kind = |name, rule, header, original: String, is_spelling, may_be_other| Kind {
        name,
        rule,
        header,
        original,
        is_spelling,
        may_be_other,
        others: vec![],
    };
    vec![
        kind(
            "source.certificate",
            EvidenceRule::PeerCertificate { chain_from: ChainSource::Xfcc },
            "",
            url_encoded(leaf, "-"),
            Box::new(move |text| is_url_encoded(text, leaf)),
            anything(),
        ),
        kind(
            "XFCC text",
            xfcc(),
            XFCC,
            element("spiffe://lab.test/gw", leaf, &both),
            Box::new(move |text| has_cert(text, leaf)),
            Box::new(no_hash),
        ),
        kind(
            "XFCC text, two elements",
            xfcc(),
            XFCC,
            format!(
                "{},{}",
                element("urn:one", intermediate, &[]).replace("Chain=\"\";", ""),
                element("urn:two", leaf, &both)
            ),
            Box::new(move |text| has_cert(text, leaf)),
            // The other element may be what is left; nothing else has a Hash that fits.
            Box::new(move |text| has_cert(text, intermediate) || no_hash(text)),
        ),
        kind(
            "XFCC JSON",
            xfcc(),
            XFCC,
            serde_json::json!([json_element(intermediate, &[]), json_element(leaf, &both)])
                .to_string()
                .replace("\"chain\":[],", ""),
            Box::new(move |text| {
                last_of(text).is_some_and(|last| is_pem_of(last["cert"].as_str().unwrap_or("").as_bytes(), leaf))
            }),
            Box::new(move |text| {
                last_of(text).is_some_and(|last| {
                    last["hash"].is_null() || is_pem_of(last["cert"].as_str().unwrap_or("").as_bytes(), intermediate)
                })
            }),
        ),
        kind(
            "RFC 9440",
            header(HeaderFormat::Rfc9440, false),
            LEAF,
            format!(":{}:", STANDARD.encode(leaf)),
            Box::new(move |text| {
                String::from_utf8_lossy(text).trim_matches(' ') == format!(":{}:", STANDARD.encode(leaf))
            }),
            anything(),
        ),
        kind(
            "nginx",
            header(HeaderFormat::Nginx, false),
            LEAF,
            url_encoded(leaf, "-._~"),
            Box::new(move |text| is_url_encoded(text, leaf)),
            anything(),
        ),
        kind(
            "ALB",
            header(HeaderFormat::Alb, false),
            LEAF,
            url_encoded(leaf, "-._~+=/"),
            Box::new(move |text| {
                naive_percent_decode(text).is_some_and(|text| text.starts_with(pem(leaf).trim_end().as_bytes()))
            }),
            anything(),
        ),
        kind(
            "Traefik",
            header(HeaderFormat::Traefik, false),
            LEAF,
            format!("{},{}", STANDARD.encode(leaf), STANDARD.encode(intermediate)),
            Box::new(move |text| first_part(text) == STANDARD.encode(leaf).as_bytes()),
            anything(),
        ),
        kind(
            "HAProxy",
            header(HeaderFormat::HaProxy, false),
            LEAF,
            STANDARD.encode(leaf),
            Box::new(move |text| text == STANDARD.encode(leaf).as_bytes()),
            anything(),
        ),
    ]
}

#[test]
fn no_mutation_of_a_forwarded_certificate_stands_for_it() {
    let fixture = Fixture::new();
    for kind in kinds(&fixture) {
        let refused = kind.run(&fixture);
        // Base64 tolerates many single changes as other certificates; the structured forms tolerate next to none.
        assert!(refused > MUTATIONS / 2, "{}: {refused} refused, too few to tell anything", kind.name);
    }
}

/// A chain is untrusted help: whatever it is, the leaf stays what its own header says, or there is none.
#[test]
fn a_mutated_chain_changes_no_leaf() {
    let fixture = Fixture::new();
    let Fixture { leaf, intermediate } = &fixture;
    let list = format!(":{0}:, :{0}:", STANDARD.encode(intermediate));
    let concatenated = STANDARD.encode([intermediate.as_slice(), intermediate].concat());
    for (format, value, chain) in [
        (HeaderFormat::Rfc9440, format!(":{}:", STANDARD.encode(leaf)), list),
        (HeaderFormat::HaProxy, STANDARD.encode(leaf), concatenated),
    ] {
        let kind = Kind {
            name: "chain",
            rule: header(format, true),
            header: CHAIN,
            original: chain,
            is_spelling: Box::new(|_| true),
            may_be_other: Box::new(|_| false),
            others: vec![(LEAF, value)],
        };
        assert!(kind.run(&fixture) > MUTATIONS / 4, "{format}: too few are refused");
    }
}

/// PEM as operators keep it: a certificate is read only where its base64 stands.
#[test]
fn mutated_trust_pem_yields_no_certificate_that_it_does_not_hold() {
    let fixture = Fixture::new();
    let original = format!("# roots\n{}\nsecond\n{}", pem(&fixture.leaf), pem(&fixture.intermediate));
    let mut random = Random(SEED);
    let mut refused = 0;
    for number in 0..MUTATIONS {
        let text = mutate(original.as_bytes(), &mut random);
        let Ok(found) = bundle::certificates(&text) else {
            refused += 1;
            continue;
        };
        let shown = String::from_utf8_lossy(&text);
        let joined: String = shown.lines().map(str::trim_ascii_end).collect();
        for der in &found {
            assert!(joined.contains(&STANDARD.encode(der)), "mutation {number}: {shown:?}");
        }
        // No block is lost in silence: as many BEGIN lines as certificates.
        assert_eq!(shown.matches("-----BEGIN").count(), found.len(), "mutation {number}: {shown:?}");
    }
    assert!(refused > MUTATIONS / 4, "{refused} refused, too few to tell anything");
}
