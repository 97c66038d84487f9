use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

const ONE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
const TWO: &str = "-----BEGIN CERTIFICATE-----\nBAUG\n-----END CERTIFICATE-----\n";

fn place(block: usize, line: usize) -> Place {
    Place { block, line }
}

#[test]
fn reads_what_tools_write() {
    let (one, two) = (Bytes::from_static(&[1, 2, 3]), Bytes::from_static(&[4, 5, 6]));
    for (name, text, want) in [
        ("one block", ONE.to_owned(), vec![one.clone()]),
        ("two blocks", format!("{ONE}{TWO}"), vec![one.clone(), two.clone()]),
        ("no line break at the end", ONE.trim_end().to_owned(), vec![one.clone()]),
        ("text around", format!("subject=CN = a\n{ONE}\n# second\n{TWO}bye"), vec![one.clone(), two]),
        ("CRLF", ONE.replace('\n', "\r\n"), vec![one.clone()]),
        ("blanks at line ends", ONE.replace('\n', " \t\n"), vec![one.clone()]),
        ("other line lengths", ONE.replace("AQID", "A\nQI\n\nD"), vec![one.clone()]),
        ("octets that are not text outside", format!("caf\u{e9}\0\n{ONE}"), vec![one]),
    ] {
        assert_eq!(certificates(text.as_bytes()), Ok(want), "{name}");
    }
}

#[test]
fn names_what_it_cannot_use() {
    let key = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";
    for (name, text, want) in [
        ("empty", String::new(), BundleError::NoCertificate),
        ("only text", "hello\n".into(), BundleError::NoCertificate),
        ("only base64", "AQID\n".into(), BundleError::NoCertificate),
        ("a key after a certificate", format!("{ONE}{key}"), BundleError::PrivateKey { place: place(2, 4) }),
        ("PKCS #8", key.replace("EC ", ""), BundleError::PrivateKey { place: place(1, 1) }),
        ("encrypted key", key.replace("EC", "ENCRYPTED"), BundleError::PrivateKey { place: place(1, 1) }),
        (
            "other label",
            ONE.replace("CERTIFICATE", "X509 CRL"),
            BundleError::Label { place: place(1, 1), label: "X509 CRL".into() },
        ),
        (
            "OpenSSL's trusted form",
            ONE.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            BundleError::Label { place: place(1, 1), label: "TRUSTED CERTIFICATE".into() },
        ),
        ("byte order mark", format!("\u{feff}{ONE}"), BundleError::Other(Form::MarkedPem)),
        ("PKCS #7", ONE.replace("CERTIFICATE", "PKCS7"), BundleError::Other(Form::Pkcs7)),
        ("URL-encoded", ONE.replace(' ', "%20").replace('\n', "%0A"), BundleError::Other(Form::UrlEncodedPem)),
        ("base64 alone", "MIIBAAAA\n".into(), BundleError::Other(Form::Base64)),
        ("indented", format!("{TWO} {ONE}"), BundleError::Boundary { line: 4 }),
        ("all on one line", ONE.replace('\n', " "), BundleError::Boundary { line: 1 }),
        ("four dashes", ONE.replacen("CERTIFICATE-----", "CERTIFICATE----", 1), BundleError::Boundary { line: 1 }),
        ("end without begin", "-----END CERTIFICATE-----\n".into(), BundleError::Boundary { line: 1 }),
        (
            "no end",
            format!("{TWO}{}", ONE.replace("-----END CERTIFICATE-----\n", "")),
            BundleError::Unterminated { place: place(2, 4) },
        ),
        (
            "begin inside",
            format!("-----BEGIN CERTIFICATE-----\nAQID\n{ONE}"),
            BundleError::Unterminated { place: place(1, 1) },
        ),
        (
            "end of another kind",
            ONE.replace("END CERTIFICATE", "END X509 CRL"),
            BundleError::Unterminated { place: place(1, 1) },
        ),
        ("empty block", ONE.replace("AQID\n", ""), BundleError::Body { place: place(1, 1), cause: Base64Error::Empty }),
    ] {
        let got = certificates(text.as_bytes()).unwrap_err();
        assert_eq!(got, want, "{name}");
        assert!(!got.to_string().contains("c2Vj"), "{name} quotes a key: {got}");
    }
    let got = certificates(format!("{ONE}{}", TWO.replace("BAUG", "BA*G")).as_bytes()).unwrap_err();
    assert!(got.to_string().starts_with("PEM block 2 (line 4): not canonical base64"), "{got}");
}

#[test]
fn a_block_that_is_not_base64_leaves_the_others_whole() {
    let text = format!("{ONE}{}{ONE}", ONE.replace("AQID", "AQ*D\nAQID"));
    let found = blocks(text.as_bytes()).unwrap();
    let good = Ok(Bytes::from_static(&[1, 2, 3]));
    assert_eq!(found.len(), 3);
    assert_eq!((&found[0].der, &found[2].der), (&good, &good));
    assert!(matches!(found[1].der, Err(Base64Error::Invalid(_))), "{found:?}");
    assert_eq!((found[1].place, found[2].place), (place(2, 4), place(3, 8)));
    assert!(matches!(certificates(text.as_bytes()), Err(BundleError::Body { place: Place { block: 2, .. }, .. })));
    let (begin, key) = ("-----BEGIN", ONE.replace("CERTIFICATE", "PRIVATE KEY"));
    for text in [format!("{ONE}{begin} CERTIFICATE-----\nAQID\n"), format!("{ONE}{key}")] {
        assert!(blocks(text.as_bytes()).is_err(), "blocks that cannot be told apart, or do not belong here");
    }
}

#[test]
fn lists_of_revoked_certificates_have_their_own_label() {
    let list = ONE.replace("CERTIFICATE", "X509 CRL");
    assert_eq!(in_pieces(&CRL, list.as_bytes(), 1), Ok(vec![vec![1, 2, 3]]));
    assert_eq!(in_pieces(&CRL, b"hello", 2), Err(BundleError::NoCrl));
    let mixed = format!("{list}{ONE}");
    let label = BundleError::Label { place: place(2, 4), label: "CERTIFICATE".into() };
    assert_eq!(in_pieces(&CRL, mixed.as_bytes(), 3), Err(label));
}

/// The blocks found in a text that arrives in pieces of `size` octets.
fn in_pieces(wanted: &'static Wanted, text: &[u8], size: usize) -> Result<Vec<Vec<u8>>, BundleError> {
    let (mut found, mut open) = (Vec::new(), Vec::new());
    let mut take = |part: Part<'_>| {
        match part {
            Part::Octets(octets) => open.extend_from_slice(octets),
            Part::End(_) => found.push(std::mem::take(&mut open)),
            Part::Bad(place, cause) => return Err(BundleError::Body { place, cause }),
        }
        Ok::<(), BundleError>(())
    };
    let mut blocks = Blocks::new(wanted);
    text.chunks(size).try_for_each(|piece| blocks.push(piece, &mut take))?;
    assert!(blocks.rest.len() <= MAX_LINE, "{} octets are held", blocks.rest.len());
    blocks.finish(&mut take)?;
    Ok(found)
}

/// Lines as tools and mistakes write them, short ones and some longer than the held part.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let body = (prop_oneof![0..30_usize, 1020..1030_usize, 3000..3200_usize], any::<u8>());
    let body = body.prop_map(|(triples, octet)| STANDARD.encode(vec![octet; triples * 3]));
    let fixed = |text: &'static str| Just(text.to_owned());
    let part = prop_oneof![
        8 => body,
        4 => fixed("-----BEGIN CERTIFICATE-----"),
        4 => fixed("-----END CERTIFICATE-----"),
        1 => fixed("-----BEGIN X509 CRL-----"),
        1 => fixed("----"),
        1 => (1..6000_usize, prop_oneof![Just(" "), Just("\t")]).prop_map(|(n, blank)| blank.repeat(n)),
        1 => fixed("Zm8="),
        1 => fixed("text, not base64"),
    ];
    let end = prop_oneof![8 => Just("\n"), 1 => Just("\r\n"), 2 => Just("")];
    proptest::collection::vec((part, end), 0..12)
        .prop_map(|parts| parts.into_iter().flat_map(|(part, end)| [part.into_bytes(), end.into()].concat()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn in_pieces_is_the_same(text in lines(), size in prop_oneof![1..20_usize, 4000..5000_usize]) {
        let whole = certificates(&text).map(|found| found.into_iter().map(Vec::from).collect());
        // The other form is recognised only in a whole text.
        prop_assert_eq!(in_pieces(&CERTIFICATE, &text, size).map_err(|error| named(error, &text)), whole);
    }
}

#[test]
fn a_line_of_any_length_may_hold_the_body() {
    let octets: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let (begin, end) = ("-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n");
    let body = STANDARD.encode(&octets);
    for size in [1, 100, 4096, 4097, 1 << 20] {
        let good = format!("{begin}{body}{}{end}", " ".repeat(9000));
        assert_eq!(in_pieces(&CERTIFICATE, good.as_bytes(), size), Ok(vec![octets.clone()]), "{size}");
        let blank = format!("{begin}{} {}{end}", &body[..60_000], &body[60_000..]);
        let got = in_pieces(&CERTIFICATE, blank.as_bytes(), size);
        assert!(matches!(got, Err(BundleError::Body { .. })), "{size}: {got:?}");
        for marker in ["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"] {
            let text = format!("{begin}{body}{marker}{end}");
            assert_eq!(in_pieces(&CERTIFICATE, text.as_bytes(), size), Err(BundleError::Boundary { line: 2 }));
            let text = format!("{}{marker}\n{ONE}", "x".repeat(10_000));
            assert_eq!(in_pieces(&CERTIFICATE, text.as_bytes(), size), Err(BundleError::Boundary { line: 1 }));
        }
    }
}

#[test]
fn a_key_in_disguise_is_not_quoted() {
    let begin = "-----BEGIN";
    for text in [
        format!("{begin} RSA PRIVATE KEY-----x\nc2VjcmV0\n"),
        format!("{begin} PRIVATE KEY -----\nc2VjcmV0\n-----END PRIVATE KEY -----\n"),
        format!("{begin} PRIVATE KEY----- c2VjcmV0 -----END PRIVATE KEYS-----\n"),
        format!("{begin} CERTIFICATE-----\nMC4CAQ*\n{begin} PRIVATE KEY-----\nc2VjcmV0\n"),
    ] {
        let got = certificates(text.as_bytes()).unwrap_err().to_string();
        assert!(!got.contains("c2Vj") && !got.contains("MC4C"), "{got}");
    }
}

#[test]
fn caps_hold() {
    assert_eq!(
        certificates(ONE.repeat(MAX_CERTIFICATES_IN_TEXT).as_bytes()).map(|v| v.len()),
        Ok(MAX_CERTIFICATES_IN_TEXT)
    );
    let over = certificates(ONE.repeat(MAX_CERTIFICATES_IN_TEXT + 1).as_bytes());
    assert_eq!(over, Err(BundleError::TooMany { limit: MAX_CERTIFICATES_IN_TEXT }));
    let block = |octets: usize| ONE.replace("AQID", &STANDARD.encode(vec![1; octets]));
    assert_eq!(certificates(block(MAX_CONFIGURED_CERTIFICATE).as_bytes()).map(|v| v.len()), Ok(1));
    let over = certificates(block(MAX_CONFIGURED_CERTIFICATE + 1).as_bytes());
    assert!(matches!(over, Err(BundleError::Body { cause: Base64Error::TooLong { .. }, .. })));
    let blanks = MAX_CERTIFICATE_TEXT - ONE.len();
    assert_eq!(certificates(format!("{ONE}{}", "\n".repeat(blanks)).as_bytes()).map(|v| v.len()), Ok(1));
    let long = vec![b'x'; MAX_CERTIFICATE_TEXT + 1];
    assert_eq!(
        certificates(&long),
        Err(BundleError::TooLong { length: MAX_CERTIFICATE_TEXT + 1, limit: MAX_CERTIFICATE_TEXT })
    );
}

/// A boundary may have blanks after it, as long as the line is held whole.
#[test]
fn a_boundary_may_be_as_long_as_a_line_is_held() {
    let text = |length: usize| ONE.lines().map(|line| format!("{line:<length$}")).collect::<Vec<_>>().join("\n");
    for size in [1, 4096, 4097, 1 << 20] {
        let read = |length: usize| in_pieces(&CERTIFICATE, text(length).as_bytes(), size);
        assert_eq!(read(MAX_LINE), Ok(vec![vec![1, 2, 3]]), "{size}");
        assert_eq!(read(MAX_LINE + 1), Err(BundleError::Boundary { line: 1 }), "{size}");
    }
}

#[test]
fn a_label_is_short_and_in_capitals() {
    let read = |label: &str| certificates(ONE.replace("CERTIFICATE", label).as_bytes()).unwrap_err();
    let longest = "A".repeat(32);
    assert_eq!(read(&longest), BundleError::Label { place: place(1, 1), label: longest.clone() });
    for label in [format!("{longest}A"), "certificate".to_owned(), "A-B".to_owned()] {
        assert_eq!(read(&label), BundleError::Boundary { line: 1 }, "{label}");
    }
}
