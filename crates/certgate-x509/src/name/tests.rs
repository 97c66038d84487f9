use super::*;

/// A name of one RDN a row: type, string tag, content.
fn name(rdns: &[&[(&str, u8, &[u8])]]) -> Result<Name, NameError> {
    let mut content = Vec::new();
    for rdn in rdns {
        let mut set = Vec::new();
        for (ty, tag, value) in *rdn {
            let mut member = Vec::new();
            der::write(&mut member, tag::OID, ty.parse::<AttributeType>().unwrap().oid().as_bytes());
            der::write(&mut member, *tag, value);
            der::write(&mut set, tag::SEQUENCE, &member);
        }
        der::write(&mut content, tag::SET, &set);
    }
    let mut out = Vec::new();
    der::write(&mut out, tag::SEQUENCE, &content);
    Name::from_der(out)
}

fn cn(tag: u8, value: &[u8]) -> Result<Name, NameError> {
    name(&[&[("CN", tag, value)]])
}

#[test]
fn names_equal_by_rfc_5280_7_1() {
    let plain = cn(tag::PRINTABLE_STRING, b"Good CA").unwrap();
    for (row, other) in [
        ("case", cn(tag::PRINTABLE_STRING, b"gOOD cA")),
        ("outer blanks", cn(tag::PRINTABLE_STRING, b"  Good CA ")),
        ("inner blanks", cn(tag::PRINTABLE_STRING, b"Good    CA")),
        ("tab", cn(tag::UTF8_STRING, b"Good\tCA")),
        ("UTF8String", cn(tag::UTF8_STRING, b"Good CA")),
        ("IA5String", cn(tag::IA5_STRING, b"Good CA")),
        ("TeletexString", cn(tag::TELETEX_STRING, b"Good CA")),
        ("BMPString", cn(tag::BMP_STRING, b"\0G\0o\0o\0d\0 \0C\0A")),
        ("UniversalString", cn(tag::UNIVERSAL_STRING, b"\0\0\0G\0\0\0o\0\0\0o\0\0\0d\0\0\0 \0\0\0C\0\0\0A")),
    ] {
        assert_eq!(plain, other.unwrap(), "{row}");
    }
    for (row, other) in [
        ("no blank", cn(tag::PRINTABLE_STRING, b"GoodCA")),
        ("look-alike", cn(tag::UTF8_STRING, "Gооd CA".as_bytes())),
        ("other type", name(&[&[("O", tag::PRINTABLE_STRING, b"Good CA")]])),
        ("octet string", cn(tag::OCTET_STRING, b"Good CA")),
        ("empty", cn(tag::PRINTABLE_STRING, b"")),
        ("prefix", cn(tag::PRINTABLE_STRING, b"Good")),
    ] {
        assert_ne!(plain, other.unwrap(), "{row}");
    }
    assert_eq!(cn(tag::UTF8_STRING, "É".as_bytes()), cn(tag::TELETEX_STRING, b"\xe9"));
    let text = |text: &str| cn(tag::UTF8_STRING, text.as_bytes()).unwrap();
    for same in ["  Ü  b ", "\u{a0}ü\u{2003}\tB\u{3000}"] {
        assert_eq!(text(same), text("Ü b"), "{same:?}");
    }
    assert_ne!(text("Üb"), text("Ü b"));
    assert_eq!(text(" \u{a0} "), text(""));
}

#[test]
fn case_folds_outside_ascii_and_never_into_it() {
    let text = |text: &str| cn(tag::UTF8_STRING, text.as_bytes()).unwrap();
    for (left, right) in [("MÜLLER", "müller"), ("STRAẞE", "straße"), ("ΣΑΣ", "σας"), ("ЖУК", "жук")] {
        assert_eq!(text(left), text(right), "{left}");
    }
    for (row, left, right) in [
        ("dotless i", "adm\u{131}n", "admin"),
        ("I with dot", "ADM\u{130}N", "admin"),
        ("long s", "\u{17f}ales", "sales"),
        ("Kelvin sign", "\u{212a}", "k"),
        ("ligature", "\u{fb01}nance", "finance"),
        ("sharp s", "straße", "STRASSE"),
        ("n with apostrophe", "\u{149}", "\u{2bc}n"),
        ("j with caron", "\u{1f0}", "j\u{30c}"),
    ] {
        assert_ne!(text(left), text(right), "{row}");
    }
    for c in (char::from_u32(0x80).unwrap()..=char::MAX).filter(|c| !c.is_whitespace()) {
        let mut folded = Vec::new();
        strings::fold(&mut folded, c.encode_utf8(&mut [0; 4]));
        assert!(folded.iter().all(|octet| !octet.is_ascii()), "{c:?} folds into ASCII");
    }
}

#[test]
fn structure_counts() {
    let a: (&str, u8, &[u8]) = ("O", tag::UTF8_STRING, b"a");
    let b: (&str, u8, &[u8]) = ("OU", tag::UTF8_STRING, b"b");
    assert_eq!(name(&[&[a, b]]).unwrap(), name(&[&[b, a]]).unwrap(), "a SET has no order");
    assert_ne!(name(&[&[a], &[b]]).unwrap(), name(&[&[b], &[a]]).unwrap(), "a SEQUENCE has");
    assert_ne!(name(&[&[a], &[b]]).unwrap(), name(&[&[a, b]]).unwrap(), "one RDN is not two");
    assert!(name(&[]).unwrap().is_empty());
    let long = name(&[&[a], &[b]]).unwrap();
    assert!(long.is_within(&name(&[&[a]]).unwrap()) && long.is_within(&name(&[]).unwrap()) && long.is_within(&long));
    assert!(!long.is_within(&name(&[&[b]]).unwrap()));
    assert!(!name(&[&[a]]).unwrap().is_within(&long));
    assert!(!name(&[&[("O", tag::UTF8_STRING, b"ab")]]).unwrap().is_within(&name(&[&[a]]).unwrap()));
}

#[test]
fn values_that_are_no_strings_count_octet_by_octet() {
    let a = cn(tag::OCTET_STRING, b"a").unwrap();
    assert_eq!(a, cn(tag::OCTET_STRING, b"a").unwrap());
    assert_ne!(a, cn(tag::OCTET_STRING, b"A").unwrap());
    assert_ne!(a, cn(tag::OCTET_STRING, b"b").unwrap());
    assert_ne!(a, cn(tag::INTEGER, b"a").unwrap());
    assert_ne!(a, cn(tag::OCTET_STRING, b"").unwrap());
    assert_ne!(a, name(&[]).unwrap());
    assert!(!a.is_within(&cn(tag::OCTET_STRING, b"b").unwrap()));
}

#[test]
fn a_name_has_a_bounded_number_of_attributes() {
    let a: (&str, u8, &[u8]) = ("O", tag::UTF8_STRING, b"a");
    let (most, more) = (vec![a; MAX_NAME_ATTRIBUTES], vec![a; MAX_NAME_ATTRIBUTES + 1]);
    assert!(name(&[&most]).is_ok() && name(&most.chunks(1).collect::<Vec<_>>()).is_ok());
    assert!(matches!(name(&[&more]), Err(NameError::TooManyAttributes)));
    assert!(matches!(name(&more.chunks(1).collect::<Vec<_>>()), Err(NameError::TooManyAttributes)));
}

#[test]
fn string_types_keep_to_their_characters() {
    for (row, tag, value, want) in [
        ("NUL in UTF8String", tag::UTF8_STRING, &b"a\0b"[..], StringError::Nul),
        ("NUL in PrintableString", tag::PRINTABLE_STRING, b"a\0b", StringError::Nul),
        ("NUL in IA5String", tag::IA5_STRING, b"a\0b", StringError::Nul),
        ("NUL in TeletexString", tag::TELETEX_STRING, b"a\0b", StringError::Nul),
        ("NUL in BMPString", tag::BMP_STRING, b"\0a\0\0\0b", StringError::Nul),
        ("NUL in UniversalString", tag::UNIVERSAL_STRING, b"\0\0\0\0", StringError::Nul),
        ("NUL in NumericString", tag::NUMERIC_STRING, b"1\0", StringError::Nul),
        ("NUL in VisibleString", tag::VISIBLE_STRING, b"\0", StringError::Nul),
        ("star in PrintableString", tag::PRINTABLE_STRING, b"*", StringError::NotPrintable),
        ("at sign in PrintableString", tag::PRINTABLE_STRING, b"a@b", StringError::NotPrintable),
        ("letter in NumericString", tag::NUMERIC_STRING, b"1a", StringError::NotNumeric),
        ("tab in VisibleString", tag::VISIBLE_STRING, b"\t", StringError::NotVisible),
        ("Latin-1 in IA5String", tag::IA5_STRING, b"\xe9", StringError::NotAscii),
        ("Latin-1 in UTF8String", tag::UTF8_STRING, b"\xe9", StringError::NotUtf8),
        ("overlong UTF-8", tag::UTF8_STRING, b"\xc0\x80", StringError::NotUtf8),
        ("half a BMP character", tag::BMP_STRING, b"\0a\0", StringError::NotUnicode),
        ("surrogates in BMPString", tag::BMP_STRING, b"\xd8\x3d\xde\x00", StringError::NotUnicode),
        ("beyond Unicode", tag::UNIVERSAL_STRING, b"\0\x11\0\0", StringError::NotUnicode),
    ] {
        match cn(tag, value) {
            Err(NameError::Value { attribute, problem }) => assert_eq!((&*attribute, problem), ("CN", want), "{row}"),
            other => panic!("{row}: {other:?}"),
        }
    }
}

#[test]
fn malformed_names_are_refused() {
    for (row, bytes) in [
        ("empty set", &[0x30, 2, 0x31, 0][..]),
        ("a sequence for a set", &[0x30, 2, 0x30, 0]),
        ("trailing", &[0x30, 0, 0]),
        ("value missing", &[0x30, 9, 0x31, 7, 0x30, 5, 6, 3, 0x55, 4, 3]),
        ("not a sequence", &[0x31, 0]),
    ] {
        assert!(Name::from_der(bytes.to_vec()).is_err(), "{row}");
    }
}

#[test]
fn prints_rfc_4514() {
    let utf8 = tag::UTF8_STRING;
    for (want, name) in [
        ("CN=a,O=b", name(&[&[("O", utf8, b"b")], &[("CN", utf8, b"a")]])),
        ("CN=a+OU=c,O=b", name(&[&[("O", utf8, b"b")], &[("CN", utf8, b"a"), ("OU", utf8, b"c")]])),
        ("CN=\\ a\\,b\\+c\\;d\\<e\\>f\\\\g\\\"h\\ ", cn(utf8, b" a,b+c;d<e>f\\g\"h ")),
        (r"CN=\#a#\C3\A9\0A", cn(utf8, "#a#é\n".as_bytes())),
        (r"CN=\E2\80\AE", cn(utf8, "\u{202e}".as_bytes())),
        ("CN=a  b", cn(utf8, b"a  b")),
        ("CN=#040161", cn(tag::OCTET_STRING, b"a")),
        ("1.2.3.4=#0c0161", name(&[&[("1.2.3.4", utf8, b"a")]])),
        ("emailAddress=a@b", name(&[&[("E", tag::IA5_STRING, b"a@b")]])),
        ("", name(&[])),
    ] {
        assert_eq!(name.unwrap().to_rfc4514(), want);
    }
}

#[test]
fn parses_what_operators_write() {
    let utf8 = tag::UTF8_STRING;
    let want = name(&[&[("C", utf8, b"US")], &[("O", utf8, b"Contoso, Ltd")], &[("CN", utf8, b"a b")]]).unwrap();
    for text in [
        r"CN=a b,O=Contoso\, Ltd,C=US",
        r"cn=A B, o=contoso\2C  ltd, c=us",
        " CN = a b , O = Contoso\\, Ltd , C = US ",
        "2.5.4.3=a b,2.5.4.10=Contoso\\, Ltd,2.5.4.6=US",
        "CN=#0c03612062,O=Contoso\\, Ltd,C=#13025553",
    ] {
        assert_eq!(Name::parse_rfc4514(text).unwrap(), want, "{text}");
    }
    assert_eq!(Name::parse_rfc4514("S=x").unwrap(), Name::parse_rfc4514("ST=x").unwrap());
    assert!(Name::parse_rfc4514("").unwrap().is_empty());
    assert_eq!(Name::parse_rfc4514("CN=").unwrap(), cn(utf8, b"").unwrap());
    for text in [
        "CN",
        "CN=a,",
        ",CN=a",
        "CN=a;O=b",
        "CN=\"a\"",
        "FOO=a",
        "CN=a\\",
        "CN=a\\0",
        "CN=a\\00",
        "CN=a\\zz",
        "CN=#1",
        "CN=#0c0261",
        "CN=\\ff",
        "CN=a<b",
        "CN=a\0b",
        "1.2.=a",
        "=a",
        "CN=a++O=b",
        "CN=#0c0100",
        "CN\u{a0}=a",
        "\tCN=a",
        "C,N=a",
    ] {
        assert!(Name::parse_rfc4514(text).is_err(), "{text}");
    }
}

#[test]
fn text_has_a_greatest_length() {
    let text = |length: usize| Name::parse_rfc4514(&format!("CN={}", "a".repeat(length - 3)));
    assert!(text(64 * 1024).is_ok());
    assert!(text(64 * 1024 + 1).unwrap_err().to_string().contains("longer than 65536 octets"));
}

#[test]
fn values_come_from_every_rdn() {
    let utf8 = tag::UTF8_STRING;
    let name =
        name(&[&[("OU", utf8, b"a"), ("CN", utf8, b"x")], &[("OU", tag::BMP_STRING, b"\0b")], &[("OU", 4, b"c")]]);
    let name = name.unwrap();
    assert_eq!(name.values(&"OU".parse().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(name.values(&"2.5.4.3".parse().unwrap()).collect::<Vec<_>>(), ["x"]);
    assert_eq!(name.values(&"L".parse().unwrap()).count(), 0);
    let all: Vec<_> = name.attributes().map(|(ty, text)| (ty.to_string(), text)).collect();
    let [ou, cn] = ["OU", "CN"].map(str::to_owned);
    assert_eq!(all, [(ou.clone(), Some("a")), (cn, Some("x")), (ou.clone(), Some("b")), (ou, None)]);
}

proptest::proptest! {
    #[test]
    fn text_form_round_trips(values in proptest::collection::vec((0..4_usize, "[^\0]{0,12}"), 0..5)) {
        let types = ["CN", "OU", "E", "1.2.3"];
        let rdns: Vec<Vec<(&str, u8, &[u8])>> =
            values.iter().map(|(ty, value)| vec![(types[*ty], tag::UTF8_STRING, value.as_bytes())]).collect();
        let rdns: Vec<&[(&str, u8, &[u8])]> = rdns.iter().map(Vec::as_slice).collect();
        let name = name(&rdns).unwrap();
        let text = name.to_rfc4514();
        proptest::prop_assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
        proptest::prop_assert_eq!(Name::parse_rfc4514(&text).unwrap(), name);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        let _ = Name::parse_rfc4514(&text);
    }
}
