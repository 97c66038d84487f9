//! The grammar, the choice of an element and the attacks on it.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519, SanType};

use super::*;

/// A certificate with these URI and DNS names, in this order.
fn certificate_for(common_name: &str, uris: &[&str], dns: &[&str]) -> Bytes {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
    let dns = dns.iter().map(|dns| SanType::DnsName((*dns).try_into().unwrap()));
    params.subject_alt_names = uris.chain(dns).collect();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    Bytes::from(params.self_signed(&key).unwrap().der().to_vec())
}

fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn url_encoded(der: &[u8]) -> String {
    let escape =
        |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_string() } else { format!("%{:02X}", u32::from(c)) };
    pem(der).chars().map(escape).collect()
}

/// An element as Envoy writes it, names raw.
fn element(by: &str, der: &[u8], uris: &[&str], dns: &[&str]) -> String {
    let mut pairs =
        vec![format!("By={by}"), format!("Hash={}", Sha256::of(der)), format!("Cert=\"{}\"", url_encoded(der))];
    pairs.push(format!("Chain=\"{}\"", url_encoded(der)));
    pairs.push(r#"Subject="CN=it\, \"quoted\"\\,O=x""#.to_owned());
    pairs.extend(if uris.is_empty() {
        vec!["URI=".to_owned()]
    } else {
        uris.iter().map(|uri| format!("URI={uri}")).collect()
    });
    pairs.extend(dns.iter().map(|dns| format!("DNS={dns}")));
    pairs.push("Issuer=\"CN=ca\"".to_owned());
    pairs.join(";")
}

fn nth(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

fn leaf(line: &str, number: usize) -> Result<Bytes, XfccError> {
    certificate(&[line.as_bytes()], nth(number), None).map(|(leaf, _)| leaf)
}

const GATEWAY: &str = "spiffe://lab.test/gateway";

#[test]
fn reads_what_envoy_writes() {
    let der = certificate_for("client", &["spiffe://lab.test/a", "urn:b"], &["a.test", "*.b.test"]);
    let intermediate = certificate_for("ca", &[], &[]);
    let hash = Sha256::of(&der);
    let cert = url_encoded(&der);
    let full = element(GATEWAY, &der, &["spiffe://lab.test/a", "urn:b"], &["a.test", "*.b.test"]);
    for (name, line) in [
        ("everything", full.clone()),
        ("certificate alone", format!("Cert=\"{cert}\"")),
        ("no By", format!("Hash={hash};Cert=\"{cert}\";URI=")),
        ("By twice", format!("By=urn:a;By=urn:b;Hash={hash};Cert=\"{cert}\"")),
        ("no URI name", format!("By={GATEWAY};Hash={hash};Cert=\"{cert}\";Subject=\"\";URI=")),
        (
            "as Istio's gateway sends it",
            format!("By={GATEWAY};Hash={hash};Cert=\"{cert}\";Subject=\"CN=a\";URI=urn:a;DNS=a"),
        ),
        ("equals signs in a name", format!("Cert=\"{cert}\";URI=urn:a?b=c=d;DNS=")),
        ("separators inside quotes", format!(r#"Cert="{cert}";Subject="a,b;Hash=00,By=x";Issuer="\\\"""#)),
        ("lower-case escapes", format!("Cert=\"{}\"", cert.replace("%2F", "%2f").replace("%0A", "%0a"))),
    ] {
        assert_eq!(leaf(&line, 1), Ok(der.clone()), "{name}");
    }
    let chained = full.replace(&format!("Chain=\"{cert}"), &format!("Chain=\"{cert}{}", url_encoded(&intermediate)));
    let got = certificate(&[chained.as_bytes()], nth(1), Some(GATEWAY));
    assert_eq!(got, Ok((der.clone(), vec![intermediate.clone()])));
    assert_eq!(chain_of(&[chained.as_bytes()], &der), Ok(vec![intermediate]));
}

#[test]
fn elements_are_counted_from_the_right() {
    let [a, b, c] = ["a", "b", "c"].map(|name| certificate_for(name, &[], &[]));
    let line = [&a, &b, &c].map(|der| element(GATEWAY, der, &[], &[])).join(",");
    assert_eq!(leaf(&line, 1), Ok(c.clone()));
    assert_eq!(leaf(&line, 2), Ok(b.clone()));
    assert_eq!(leaf(&line, 3), Ok(a.clone()));
    assert_eq!(leaf(&line, 4), Err(XfccError::Missing { want: 4, have: 3 }));
    assert_eq!(leaf(&line, usize::MAX), Err(XfccError::Missing { want: usize::MAX, have: 3 }));

    let lines: Vec<String> = [&a, &b].map(|der| element(GATEWAY, der, &[], &[])).into();
    let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
    assert_eq!(certificate(&lines, nth(1), None).map(|(leaf, _)| leaf), Ok(b.clone()), "the last line is the newest");
    assert_eq!(chain_of(&lines, &a), Ok(vec![]), "any element may help");
    assert_eq!(chain_of(&lines, &c), Ok(vec![]), "no element tells of it");
}

#[test]
fn the_proxy_can_be_named() {
    let der = certificate_for("client", &[], &[]);
    let line = element("urn:one;By=urn:two", &der, &[], &[]);
    for by in ["urn:one", "urn:two"] {
        assert!(certificate(&[line.as_bytes()], nth(1), Some(by)).is_ok(), "{by}");
    }
    for (name, line, by, found) in [
        ("another proxy", line.as_str(), "urn:three", "urn:one urn:two"),
        ("a prefix is not enough", &line, "urn:on", "urn:one urn:two"),
        ("case matters", &line, "URN:one", "urn:one urn:two"),
        ("no By", line.trim_start_matches("By=urn:one;By=urn:two;"), "urn:one", ""),
    ] {
        let want = XfccError::By { element: 1, want: by.into(), found: found.into() };
        assert_eq!(certificate(&[line.as_bytes()], nth(1), Some(by)), Err(want), "{name}");
    }
}

#[test]
fn a_hash_must_be_the_certificates() {
    let der = certificate_for("client", &[], &[]);
    let line = element(GATEWAY, &der, &[], &[]);
    let hash = Sha256::of(&der).to_string();
    let other = Sha256::of(b"other");
    let wrong = XfccError::Hash { element: 1, given: other, actual: Sha256::of(&der) };
    assert_eq!(leaf(&line.replace(&hash, &other.to_string()), 1), Err(wrong));
    for form in [hash.to_uppercase(), hash[1..].to_owned(), format!("{hash}0"), String::new(), "g".repeat(64)] {
        assert!(matches!(leaf(&line.replace(&hash, &form), 1), Err(XfccError::HashForm { at: 34 })), "{form}");
    }
}

#[test]
fn refuses_what_envoy_does_not_write() {
    let der = certificate_for("client", &[], &[]);
    let good = element(GATEWAY, &der, &[], &[]);
    let cert = format!("Cert=\"{}\"", url_encoded(&der));
    let (key, end) = ("a key and `=`", "`;`, `,` or the end");
    for (name, line, want) in [
        ("empty", String::new(), key),
        ("no key", "abc".into(), key),
        ("unknown key", format!("{cert};Foo=1"), key),
        ("other case", good.replace("Cert=", "cert="), key),
        ("comma at the end", format!("{good},"), key),
        ("comma at the start", format!(",{good}"), key),
        ("two commas", format!("{good},,{good}"), key),
        ("semicolon at the end", format!("{good};"), key),
        ("two semicolons", good.replacen(';', ";;", 1), key),
        ("blank before an element", format!("{good}, {good}"), key),
        ("blank before a pair", good.replacen(';', "; ", 1), key),
        ("blank before the line", format!(" {good}"), key),
        ("blank after the line", format!("{good} "), end),
        ("text after a quoted value", good.replace("CN=ca\"", "CN=ca\"x"), end),
        ("quoted value not quoted", good.replace("\"CN=ca\"", "CN=ca"), "`\"`"),
        ("quote never closed", good.trim_end_matches('"').into(), "a closing `\"`"),
        ("escaped quote at the end", format!("{}\\\"", good.trim_end_matches('"')), "a closing `\"`"),
        ("backslash at the end", format!("{}\\", good.trim_end_matches('"')), "a closing `\"`"),
        ("raw value quoted", good.replace("URI=", "URI=\"urn:a\""), end),
        ("quote inside a raw value", good.replace("URI=", "URI=a\"b"), end),
        ("blank inside a raw value", good.replace("URI=", "URI=a b"), "visible ASCII"),
        ("control inside a raw value", good.replace("URI=", "URI=a\nb"), "visible ASCII"),
        ("UTF-8 inside a raw value", good.replace("URI=", "URI=\u{e9}"), "visible ASCII"),
        ("control inside a quoted value", good.replace("CN=ca", "CN=\nca"), "no control characters"),
        ("NUL inside a quoted value", good.replace("CN=ca", "CN=\0ca"), "no control characters"),
        ("JSON behind text", format!("{good},[{{}}]"), key),
        // A client sends an open quote and the proxy appends its element (observed with Envoy's APPEND_FORWARD).
        ("client leaves a quote open", format!("Subject=\"abc,{good}"), end),
        ("client ends with a backslash", format!("Subject=\"abc\\,{good}"), end),
    ] {
        let got = leaf(&line, 1);
        assert!(matches!(got, Err(XfccError::Syntax { want: found, .. }) if found == want), "{name}: {got:?}");
    }
}

#[test]
fn keys_stand_once_and_in_order() {
    let der = certificate_for("client", &[], &[]);
    let good = element(GATEWAY, &der, &[], &[]);
    let pairs: Vec<&str> = good.split(';').collect();
    assert_eq!(pairs.len(), 7);
    for (at, pair) in pairs.iter().enumerate() {
        let key = pair.split('=').next().unwrap();
        let twice = [&pairs[..=at], &pairs[at..]].concat().join(";");
        match key {
            "By" | "URI" => assert!(leaf(&twice, 1).is_ok(), "{key} may be repeated"),
            _ => assert!(matches!(leaf(&twice, 1), Err(XfccError::Duplicate { key: k, .. }) if k == key), "{key}"),
        }
        if at > 0 {
            let mut swapped = pairs.clone();
            swapped.swap(at, at - 1);
            assert!(
                matches!(leaf(&swapped.join(";"), 1), Err(XfccError::Order { .. })),
                "{key} before its predecessor"
            );
            let mut late = pairs.clone();
            late.push(pairs[at - 1]);
            assert!(matches!(leaf(&late.join(";"), 1), Err(XfccError::Order { .. })), "{} at the end", pairs[at - 1]);
        }
    }
}

#[test]
fn the_certificate_itself_must_be_there() {
    let der = certificate_for("client", &[], &[]);
    let other = certificate_for("other", &[], &[]);
    let (cert, rest) = (url_encoded(&der), url_encoded(&other));
    assert_eq!(
        leaf("By=urn:a;Hash=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 1),
        Err(XfccError::NoCert { element: 1 })
    );
    let chain_only = format!("Chain=\"{cert}\"");
    assert_eq!(leaf(&chain_only, 1), Err(XfccError::NoCert { element: 1 }));
    assert_eq!(leaf(&format!("Cert=\"{cert}\";Chain=\"{rest}{cert}\""), 1), Err(XfccError::ChainStart { element: 1 }));
    for (name, line) in [
        ("empty", "Cert=\"\"".to_owned()),
        ("not escaped", format!("Cert=\"{}\"", cert.replace("%20", " "))),
        ("form-encoded", format!("Cert=\"{}\"", cert.replace("%20", "+"))),
        ("two certificates", format!("Cert=\"{cert}{rest}\"")),
        ("backslash inside", format!("Cert=\"\\{cert}\"")),
    ] {
        assert!(matches!(leaf(&line, 1), Err(XfccError::Cert { element: 1, .. })), "{name}");
    }
    let long = format!("Cert=\"{cert}\";Chain=\"{cert}{}\"", rest.repeat(MAX_CHAIN));
    assert_eq!(certificate(&[long.as_bytes()], nth(1), None).map(|(_, chain)| chain.len()), Ok(MAX_CHAIN));
    let longer = long.replace(";Chain=\"", &format!(";Chain=\"{cert}"));
    let too_many = PemError::TooMany { limit: MAX_CHAIN + 1 };
    assert_eq!(leaf(&longer, 1), Err(XfccError::Chain { element: 1, cause: too_many }));
}

#[test]
fn elements_are_capped() {
    let der = certificate_for("client", &[], &[]);
    let line = |count| {
        [vec!["URI=".to_owned(); count - 1], vec![format!("Cert=\"{}\"", url_encoded(&der))]].concat().join(",")
    };
    assert_eq!(leaf(&line(MAX_ELEMENTS), 1), Ok(der.clone()));
    assert_eq!(leaf(&line(MAX_ELEMENTS + 1), 1), Err(XfccError::TooMany { limit: MAX_ELEMENTS }));
    let half = line(MAX_ELEMENTS / 2 + 1);
    let both = certificate(&[half.as_bytes(), half.as_bytes()], nth(1), None);
    assert_eq!(both, Err(XfccError::TooMany { limit: MAX_ELEMENTS }), "over all lines");
}

/// A client's certificate whose name, written raw by the proxy, forges a whole element that tells of a victim.
#[test]
fn an_element_injected_through_a_name_is_refused() {
    let victim = certificate_for("victim", &["spiffe://lab.test/admin"], &["admin.test"]);
    let gateway = certificate_for("gateway", &[], &[]);
    let forged = |tail: &str| {
        format!(
            "By={GATEWAY};Hash={};Cert=\"{}\";Subject=\"CN=victim\"{tail}",
            Sha256::of(&victim),
            url_encoded(&victim)
        )
    };
    for (name, uris, dns) in [
        (
            "in the only URI",
            vec![format!("urn:x,{}", forged(";URI=spiffe://lab.test/admin"))],
            vec!["admin.test".to_owned()],
        ),
        (
            "in the second URI",
            vec!["urn:a".into(), format!("urn:x,{}", forged(";URI=spiffe://lab.test/admin"))],
            vec!["admin.test".to_owned()],
        ),
        ("in a DNS name", vec![], vec![format!("x,{};DNS=admin.test", forged(";URI=spiffe://lab.test/admin"))]),
        (
            "with an empty name before it",
            vec![format!(",{}", forged(";URI=spiffe://lab.test/admin"))],
            vec!["admin.test".to_owned()],
        ),
        (
            "through a forged element between",
            vec![format!("urn:x,By={GATEWAY},{}", forged(";URI=spiffe://lab.test/admin"))],
            vec!["admin.test".to_owned()],
        ),
        (
            "leaving the element by a forged Issuer",
            vec!["urn:x;Issuer=\"".into()],
            vec![format!("\",{};URI=spiffe://lab.test/admin;DNS=admin.test", forged(""))],
        ),
        ("with names left out", vec![format!("urn:x,{}", forged(""))], vec![]),
    ] {
        let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
        let dns: Vec<&str> = dns.iter().map(String::as_str).collect();
        let attacker = certificate_for("attacker", &uris, &dns);
        let line = element(GATEWAY, &attacker, &uris, &dns);
        let last = parse(&[line.as_bytes()]).unwrap().pop().unwrap();
        assert_eq!(last.leaf(1), Ok(Some(victim.clone())), "{name}: the forged element is flawless in itself");
        assert_eq!(last.check_names(&victim, 1), Ok(()), "{name}");

        let got = leaf(&line, 1);
        let told = matches!(got, Err(XfccError::Names { element: 2 | 3, .. }));
        assert!(told, "{name}: the element before the forged one gives it away: {got:?}");
        assert_ne!(leaf(&line, 2), Ok(victim.clone()), "{name}");
        let further = format!("{line},{}", element("urn:next", &gateway, &[], &[]));
        assert!(matches!(leaf(&further, 2), Err(XfccError::Names { .. })), "{name}, one proxy further on");
    }
}

/// Names inside one element cannot make it tell of another certificate, whatever they hold.
#[test]
fn pairs_injected_through_a_name_change_nothing() {
    let victim = certificate_for("victim", &[], &[]);
    for uri in [
        format!("urn:x;Cert=\"{}\"", url_encoded(&victim)),
        format!("urn:x;Hash={}", Sha256::of(&victim)),
        "urn:x;By=urn:proxy".to_owned(),
        "urn:x;DNS=admin.test;URI=urn:y".to_owned(),
        "urn:x;Subject=\"CN=admin\"".to_owned(),
        "urn:x\"".to_owned(),
    ] {
        let attacker = certificate_for("attacker", &[&uri], &[]);
        let got = leaf(&element(GATEWAY, &attacker, &[&uri], &[]), 1);
        assert!(matches!(got, Err(XfccError::Order { .. } | XfccError::Syntax { .. })), "{uri}: {got:?}");
    }
    let uri = "urn:x;DNS=admin.test";
    let attacker = certificate_for("attacker", &[uri], &[]);
    assert_eq!(leaf(&element(GATEWAY, &attacker, &[uri], &[]), 1), Ok(attacker), "its own certificate, not admin's");
}

#[test]
fn names_of_honest_elements_agree() {
    let (uris, dns) = (["spiffe://lab.test/a", "urn:b"], ["a.test", "b.test"]);
    let client = certificate_for("client", &uris, &dns);
    let gateway = certificate_for("gateway", &[GATEWAY], &[]);
    let first = element("urn:one", &client, &uris, &dns);
    let line = format!("{first},{}", element("urn:two", &gateway, &[GATEWAY], &[]));
    assert_eq!(leaf(&line, 1), Ok(gateway.clone()));
    assert_eq!(leaf(&line, 2), Ok(client.clone()));
    let without = |what: &str| line.replace(what, "");
    assert_eq!(leaf(&without(";DNS=a.test;DNS=b.test"), 2), Ok(client.clone()), "a proxy that sends no DNS");
    assert_eq!(
        leaf(&without(";URI=spiffe://lab.test/a;URI=urn:b"), 2),
        Ok(client.clone()),
        "a proxy that sends no URI"
    );
    for (name, line) in [
        ("one missing", without(";URI=urn:b")),
        ("one more", line.replace(";DNS=b.test", ";DNS=b.test;DNS=c.test")),
        ("other order", line.replace("URI=spiffe://lab.test/a;URI=urn:b", "URI=urn:b;URI=spiffe://lab.test/a")),
        ("none", line.replace(";URI=spiffe://lab.test/a;URI=urn:b", ";URI=")),
        ("not readable", line.replace(&url_encoded(&client), &url_encoded(&client[..client.len() - 1]))),
    ] {
        assert!(leaf(&line, 1).is_err(), "{name}");
    }
    // Without a certificate there is nothing to compare with: a proxy that does not send it comes before one that does.
    let bare =
        "By=urn:one;Hash=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;Subject=\"CN=a\";URI=urn:a";
    assert_eq!(leaf(&format!("{bare},{}", element("urn:two", &gateway, &[GATEWAY], &[])), 1), Ok(gateway));
}

fn json_element(der: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "by": [GATEWAY], "hash": Sha256::of(der).to_string(), "cert": pem(der), "chain": [pem(der)],
        "subject": "CN=a", "uri": [], "dns": [],
    })
}

#[test]
fn reads_the_json_form() {
    let [a, b] = ["a", "b"].map(|name| certificate_for(name, &[], &[]));
    let line = serde_json::json!([json_element(&a), json_element(&b)]).to_string();
    assert_eq!(leaf(&line, 1), Ok(b.clone()));
    assert_eq!(leaf(&line, 2), Ok(a.clone()));
    assert_eq!(leaf(&line, 3), Err(XfccError::Missing { want: 3, have: 2 }));
    let chained =
        line.replace(&serde_json::json!([pem(&a)]).to_string(), &serde_json::json!([pem(&a), pem(&b)]).to_string());
    assert_eq!(certificate(&[chained.as_bytes()], nth(2), Some(GATEWAY)), Ok((a, vec![b])));
    assert_eq!(leaf("[]", 1), Err(XfccError::Missing { want: 1, have: 0 }));
    assert_eq!(leaf("[{}]", 1), Err(XfccError::NoCert { element: 1 }));
}

#[test]
fn refuses_every_other_json() {
    let der = certificate_for("a", &[], &[]);
    let good = json_element(&der).to_string();
    let list = format!("[{good}]");
    assert_eq!(leaf(&list, 1), Ok(der.clone()));
    let without_brace = good.trim_end_matches('}');
    let cut = |key: &str, value: &str| {
        let mut object = json_element(&der);
        object[key] = serde_json::from_str(value).unwrap();
        format!("[{object}]")
    };
    for (name, line) in [
        ("an empty list before (observed under APPEND_FORWARD)", format!("[,{good}]")),
        ("a broken element before", format!("[{{\"by\",{good}]")),
        ("text behind", format!("{list},By=urn:a")),
        ("text behind an empty list", format!("[],{}", element(GATEWAY, &der, &[], &[]))),
        ("a list behind", format!("{list},{list}")),
        ("comma at the end", format!("[{good},]")),
        ("not closed", format!("[{good}")),
        ("unknown key", format!("[{without_brace},\"foo\":1}}]")),
        ("key twice", format!("[{without_brace},\"hash\":\"{}\"}}]", Sha256::of(&der))),
        ("key of other case", list.replace("\"cert\"", "\"Cert\"")),
        ("null", cut("cert", "null")),
        ("null list", cut("uri", "null")),
        ("by as a text", cut("by", "\"urn:a\"")),
        ("cert as a list", cut("cert", "[\"x\"]")),
        ("number in a list", cut("uri", "[1]")),
        ("object in a list", cut("chain", "[{}]")),
        ("element as a list", "[[[],\"\",\"\",[],\"\",[],[],\"\"]]".to_owned()),
        ("deep nesting", "[".repeat(60_000)),
        ("URL-encoded", list.replace(&serde_json::json!(pem(&der)).to_string(), &format!("\"{}\"", url_encoded(&der)))),
        ("upper-case hash", list.replace(&Sha256::of(&der).to_string(), &Sha256::of(&der).to_string().to_uppercase())),
        ("empty chain", cut("chain", "[]")),
        ("not UTF-8 escapes", cut("cert", "\"\\u0000\"")),
        ("too many", format!("[{}]", vec!["{}"; MAX_ELEMENTS + 1].join(","))),
    ] {
        let got = leaf(&line, 1);
        assert!(got.is_err(), "{name}: {got:?}");
        let text = got.unwrap_err().to_string();
        assert!(text.len() < 300 && text.chars().all(|c| matches!(c, ' '..='~')), "{name}: {text}");
    }
    for lines in [[list.as_bytes(), list.as_bytes()], [b"By=urn:a", list.as_bytes()], [list.as_bytes(), b"By=urn:a"]] {
        assert_eq!(certificate(&lines, nth(1), None), Err(XfccError::Mixed { lines: 2 }));
    }
    let invalid = [b"[{\"subject\":\"".as_slice(), &[0xff], b"\"}]"].concat();
    assert!(matches!(certificate(&[&invalid], nth(1), None), Err(XfccError::Json(_))), "not UTF-8");
}
