//! The rules, their order, presence against malformation, and the caps.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::domain::request::{Headers, NoHeaders};
use certgate_x509::fingerprint::Sha256;

/// Headers as lines, in order.
#[derive(Clone, Debug, Default)]
struct Lines(Vec<(&'static str, String)>);

impl Headers for Lines {
    fn lines<'h>(&'h self, name: &str, out: &mut Vec<&'h [u8]>) {
        out.extend(self.0.iter().filter(|(key, _)| *key == name).map(|(_, value)| value.as_bytes()));
    }
}

fn request<'a>(peer_certificate: &'a str, headers: &'a dyn Headers) -> Request<'a> {
    Request {
        named_policy: None,
        http: None,
        peer_certificate: peer_certificate.as_bytes(),
        headers,
        source_address: None,
    }
}

fn gather_from(rule: &EvidenceRule, headers: &[(&'static str, &str)]) -> Result<Option<Evidence>, EvidenceError> {
    let headers = Lines(headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
    gather(std::slice::from_ref(rule), &request("", &headers))
}

fn problem(got: Result<Option<Evidence>, EvidenceError>) -> EvidenceProblem {
    got.expect_err("malformed evidence is an error").problem
}

fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Percent-encodes as Envoy and nginx do: everything but unreserved characters.
fn url_encoded(der: &[u8]) -> String {
    escape(&pem(der), |c| c.is_ascii_alphanumeric() || "-._~".contains(c))
}

fn escape(text: &str, is_raw: impl Fn(char) -> bool) -> String {
    text.chars().map(|c| if is_raw(c) { c.to_string() } else { format!("%{:02X}", u32::from(c)) }).collect()
}

fn peer(chain_from: ChainSource) -> EvidenceRule {
    EvidenceRule::PeerCertificate { chain_from }
}

fn xfcc_rule() -> EvidenceRule {
    EvidenceRule::Xfcc { element: NonZeroUsize::MIN, by: None }
}

fn header_rule(format: HeaderFormat) -> EvidenceRule {
    EvidenceRule::Header { format, name: "x-leaf".into(), chain_name: Some("x-chain".into()) }
}

const FORMATS: [HeaderFormat; 5] =
    [HeaderFormat::Rfc9440, HeaderFormat::Nginx, HeaderFormat::Traefik, HeaderFormat::HaProxy, HeaderFormat::Alb];

/// The leaf's header and the chain's, as the proxy of the format writes them.
fn write(format: HeaderFormat, leaf: &[u8], chain: &[Vec<u8>]) -> (String, Option<String>) {
    let item = |der: &[u8]| format!(":{}:", STANDARD.encode(der));
    let all = || std::iter::once(leaf).chain(chain.iter().map(Vec::as_slice));
    match format {
        HeaderFormat::Rfc9440 => {
            let list = chain.iter().map(|der| item(der)).collect::<Vec<_>>().join(", ");
            (item(leaf), Some(list).filter(|_| !chain.is_empty()))
        }
        HeaderFormat::Nginx => (url_encoded(leaf), None),
        HeaderFormat::Traefik => (all().map(|der| STANDARD.encode(der)).collect::<Vec<_>>().join(","), None),
        HeaderFormat::HaProxy => {
            (STANDARD.encode(leaf), Some(STANDARD.encode(chain.concat())).filter(|_| !chain.is_empty()))
        }
        HeaderFormat::Alb => {
            let text: String = all().map(pem).collect();
            (escape(&text, |c| c.is_ascii_alphanumeric() || "-._~+=/".contains(c)), None)
        }
    }
}

#[test]
fn absent_evidence_is_no_error() {
    for rule in [peer(ChainSource::None), peer(ChainSource::Xfcc), xfcc_rule(), header_rule(HeaderFormat::Nginx)] {
        assert_eq!(gather(std::slice::from_ref(&rule), &request("", &NoHeaders)), Ok(None), "{rule}");
    }
    assert_eq!(gather(&[], &request(&url_encoded(b"leaf"), &NoHeaders)), Ok(None), "no rule");
    for format in FORMATS {
        let rule = header_rule(format);
        assert_eq!(gather_from(&rule, &[("x-other", "junk")]), Ok(None), "{format}: another header");
        assert_eq!(gather_from(&rule, &[("x-leaf", ""), ("x-chain", "")]), Ok(None), "{format}: sent empty");
    }
    assert_eq!(gather_from(&xfcc_rule(), &[(xfcc::HEADER, "")]), Ok(None));
}

#[test]
fn the_first_present_source_decides() {
    let rules = [header_rule(HeaderFormat::HaProxy), xfcc_rule(), peer(ChainSource::None)];
    let (one, two, three) =
        (STANDARD.encode("one"), format!("Cert=\"{}\"", url_encoded(b"two")), url_encoded(b"three"));
    let all = Lines(vec![(xfcc::HEADER, two), ("x-leaf", one)]);
    let without_header = Lines(all.0[..1].to_vec());
    for (headers, source, leaf) in [
        (&all as &dyn Headers, EvidenceSource::Header, "one"),
        (&without_header, EvidenceSource::Xfcc, "two"),
        (&NoHeaders, EvidenceSource::PeerCertificate, "three"),
    ] {
        let want = Evidence { source, leaf: Bytes::from(leaf), chain: vec![], links: Links::Free };
        assert_eq!(gather(&rules, &request(&three, headers)), Ok(Some(want)));
    }
}

#[test]
fn malformed_evidence_never_falls_through() {
    let good = url_encoded(b"leaf");
    for (name, header, value) in [
        ("XFCC that is no XFCC", xfcc::HEADER, "junk"),
        ("XFCC of one blank", xfcc::HEADER, " "),
        ("XFCC without a certificate", xfcc::HEADER, "By=urn:a"),
        ("an empty JSON list", xfcc::HEADER, "[]"),
        ("a header that is no base64", "x-leaf", "*"),
        ("a header of one blank", "x-leaf", " "),
    ] {
        let rule = if header == xfcc::HEADER { xfcc_rule() } else { header_rule(HeaderFormat::HaProxy) };
        let headers = Lines(vec![(header, value.to_owned())]);
        let got = gather(&[rule, peer(ChainSource::None)], &request(&good, &headers));
        assert_eq!(got.expect_err(name).place, header, "{name}");
    }
    let headers = Lines(vec![("x-leaf", STANDARD.encode("leaf"))]);
    let got = gather(&[peer(ChainSource::None), header_rule(HeaderFormat::HaProxy)], &request("junk", &headers));
    assert_eq!(got.unwrap_err().place, "source.certificate");
}

#[test]
fn the_peer_certificate_is_one_url_encoded_pem() {
    let good = url_encoded(&[0xfb; 100]);
    let read = |text: &str| gather(&[peer(ChainSource::None)], &request(text, &NoHeaders));
    let want = Evidence {
        source: EvidenceSource::PeerCertificate,
        leaf: Bytes::from(vec![0xfb; 100]),
        chain: vec![],
        links: Links::Free,
    };
    assert!(good.contains("%2B"), "the case needs a plus");
    assert_eq!(read(&good), Ok(Some(want.clone())));
    assert_eq!(read(&good.replace("%2B", "+")), Ok(Some(want)), "a raw plus stays a plus");
    for (name, text) in [
        ("plain PEM", pem(&[1; 10])),
        ("form-encoded", good.replace("%20", "+")),
        ("two certificates", good.repeat(2)),
        ("text behind", format!("{good}x")),
        ("NUL behind", format!("{good}%00")),
        ("cut short", good[..good.len() / 2].to_owned()),
        ("encoded twice", good.replace('%', "%25")),
    ] {
        assert!(matches!(problem(read(&text)), EvidenceProblem::Pem(_)), "{name}");
    }
}

#[test]
fn the_chain_of_the_peer_certificate_can_come_from_xfcc() {
    let (leaf, other, intermediate) = (b"leaf", b"other", b"intermediate");
    let element = |der: &[u8]| {
        let chain = format!("{}{}", url_encoded(der), url_encoded(intermediate));
        format!("Hash={};Chain=\"{chain}\";URI=", Sha256::of(der))
    };
    let read = |chain_from, header: Option<String>| {
        let headers = Lines(header.into_iter().map(|value| (xfcc::HEADER, value)).collect());
        gather(&[peer(chain_from)], &request(&url_encoded(leaf), &headers)).map(|found| found.unwrap().chain)
    };
    let with_chain = Ok(vec![Bytes::from_static(intermediate)]);
    assert_eq!(read(ChainSource::Xfcc, Some(element(leaf))), with_chain, "without Cert, too");
    assert_eq!(read(ChainSource::Xfcc, Some(format!("{},{}", element(leaf), element(other)))), with_chain);
    assert_eq!(read(ChainSource::Xfcc, Some(element(other))), Ok(vec![]), "somebody else's");
    assert_eq!(read(ChainSource::Xfcc, None), Ok(vec![]));
    assert_eq!(read(ChainSource::None, Some("junk".into())), Ok(vec![]), "not asked for, not read");
    assert_eq!(read(ChainSource::Xfcc, Some("junk".into())).unwrap_err().place, xfcc::HEADER);
    let swapped = element(leaf).replace(&url_encoded(leaf), &url_encoded(other));
    assert!(read(ChainSource::Xfcc, Some(swapped)).is_err(), "a chain that does not begin with the leaf");
}

#[test]
fn a_certificate_header_has_one_line() {
    for format in FORMATS {
        let rule = header_rule(format);
        let (value, _) = write(format, b"leaf", &[]);
        let twice = gather_from(&rule, &[("x-leaf", &value), ("x-leaf", &value)]);
        assert_eq!(problem(twice), EvidenceProblem::Lines { lines: 2 }, "{format}: the same line twice");
        let with_empty = gather_from(&rule, &[("x-leaf", ""), ("x-leaf", &value)]);
        assert_eq!(problem(with_empty), EvidenceProblem::Lines { lines: 2 }, "{format}: an empty line first");
        // A proxy that joins repeated lines makes one of them, the client's own first.
        let joined = gather_from(&rule, &[("x-leaf", &format!("{value}, {value}"))]);
        assert!(joined.is_err(), "{format}: joined with a blank");
        let joined = gather_from(&rule, &[("x-leaf", &format!("{value},{value}"))]);
        assert!(joined.is_err(), "{format}: joined");
    }
}

#[test]
fn a_chain_comes_with_a_certificate_only() {
    for format in FORMATS {
        let (_, chain) = write(format, b"leaf", &[vec![0x30, 0]]);
        let got = gather_from(&header_rule(format), &[("x-chain", chain.as_deref().unwrap_or("junk"))]);
        match format.chain() {
            HeaderChain::OwnHeader => {
                let error = got.unwrap_err();
                assert_eq!(error.problem, EvidenceProblem::ChainAlone { leaf: "x-leaf".into() }, "{format}");
                assert_eq!(error.place, "x-chain");
            }
            HeaderChain::SameHeader | HeaderChain::Never => assert_eq!(got, Ok(None), "{format} reads no such header"),
        }
    }
    let (leaf, _) = write(HeaderFormat::Rfc9440, b"leaf", &[]);
    for format in [HeaderFormat::Rfc9440, HeaderFormat::HaProxy] {
        let (leaf, _) = write(format, b"leaf", &[]);
        let broken = gather_from(&header_rule(format), &[("x-leaf", &leaf), ("x-chain", "junk")]);
        assert_eq!(broken.unwrap_err().place, "x-chain", "{format}");
    }
    let unnamed = EvidenceRule::Header { format: HeaderFormat::Rfc9440, name: "x-leaf".into(), chain_name: None };
    assert!(gather_from(&unnamed, &[("x-leaf", &leaf), ("x-chain", "junk")]).is_ok(), "a header that no rule names");
}

#[test]
fn caps_come_before_decoding() {
    let long = "A".repeat(MAX_HEADER + 1);
    let half = "A".repeat(MAX_HEADER / 2 + 1);
    let want = EvidenceProblem::TooLong { length: MAX_HEADER + 1, limit: MAX_HEADER };
    assert_eq!(problem(gather(&[peer(ChainSource::None)], &request(&long, &NoHeaders))), want);
    assert_eq!(problem(gather_from(&xfcc_rule(), &[(xfcc::HEADER, &long)])), want);
    for format in FORMATS {
        assert_eq!(problem(gather_from(&header_rule(format), &[("x-leaf", &long)])), want, "{format}");
    }
    for headers in [[(xfcc::HEADER, half.as_str()), (xfcc::HEADER, &half)], [("x-leaf", ":AQ==:"), ("x-chain", &long)]]
    {
        let rule = if headers[0].0 == xfcc::HEADER { xfcc_rule() } else { header_rule(HeaderFormat::Rfc9440) };
        assert!(matches!(problem(gather_from(&rule, &headers)), EvidenceProblem::TooLong { .. }), "over all lines");
    }
    let nested = "[".repeat(MAX_HEADER);
    assert!(matches!(problem(gather_from(&xfcc_rule(), &[(xfcc::HEADER, &nested)])), EvidenceProblem::Xfcc(_)));
}

#[test]
fn rules_and_errors_can_be_read() {
    let by = EvidenceRule::Xfcc { element: NonZeroUsize::new(2).unwrap(), by: Some("urn:gw".into()) };
    for (rule, want) in [
        (peer(ChainSource::None), "source.certificate"),
        (peer(ChainSource::Xfcc), "source.certificate, with the chain of x-forwarded-client-cert"),
        (xfcc_rule(), "x-forwarded-client-cert, element 1 from the right"),
        (by, "x-forwarded-client-cert, element 2 from the right, by urn:gw"),
        (header_rule(HeaderFormat::HaProxy), "headers x-leaf and x-chain (HAProxy)"),
    ] {
        assert_eq!(rule.to_string(), want);
    }
    let error = gather_from(&header_rule(HeaderFormat::Rfc9440), &[("x-leaf", "AQ==")]).unwrap_err();
    assert_eq!(error.to_string(), "x-leaf: member 1: want a byte sequence, `:base64:`");
}

/// DER-shaped octets: HAProxy's chain is told apart by lengths.
fn der() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..127).prop_map(|content| {
        let mut der = vec![0x30, content.len() as u8];
        der.extend(content);
        der
    })
}

proptest! {
    #[test]
    fn what_a_proxy_writes_is_read_back(leaf in der(), chain in proptest::collection::vec(der(), 0..4)) {
        for format in FORMATS {
            // Traefik's chain must be one: another test has real certificates for it.
            let chain = if format == HeaderFormat::Traefik { vec![] } else { chain.clone() };
            let (value, chain_value) = write(format, &leaf, &chain);
            let mut headers = vec![("x-leaf", value.as_str())];
            headers.extend(chain_value.as_deref().map(|value| ("x-chain", value)));
            let want_chain = if format.chain() == HeaderChain::Never { vec![] } else { chain.clone() };
            let want = Evidence {
                source: EvidenceSource::Header,
                leaf: Bytes::from(leaf.clone()),
                chain: want_chain.into_iter().map(Bytes::from).collect(),
                links: if format == HeaderFormat::Traefik { Links::Signed } else { Links::Free },
            };
            prop_assert_eq!(gather_from(&header_rule(format), &headers), Ok(Some(want)), "{}", format);
        }
    }

    #[test]
    fn nothing_makes_it_panic_or_talk_in_control_characters(value in any::<Vec<u8>>(), peer_certificate in "[%A-Za-z0-9+/=-]{0,40}") {
        struct Raw(Vec<u8>);
        impl Headers for Raw {
            fn lines<'h>(&'h self, _: &str, out: &mut Vec<&'h [u8]>) {
                out.push(&self.0);
            }
        }
        let headers = Raw(value);
        for rule in FORMATS.map(header_rule).into_iter().chain([xfcc_rule(), peer(ChainSource::Xfcc)]) {
            if let Err(error) = gather(&[rule], &request(&peer_certificate, &headers)) {
                let text = error.to_string();
                prop_assert!(text.len() < 400 && text.chars().all(|c| matches!(c, ' '..='~')), "{}", text);
            }
        }
    }
}
