//! CRLs, one defect at a time, and what is kept of a good one.

use certgate_testing::der;
use certgate_testing::status;

use aws_lc_rs::signature as lc;
use certgate_x509::{Crl, CrlError, CrlParser, CrlReason, Name, SignaturePolicy, der::Reader, der::tag};

use der::{NOW, SigningKey, context, implicit, int, name, oid, seq, tlv, uri};
use status::*;

const CA: &str = "CN=CA";

fn parse(draft: &CrlDraft, key: &SigningKey) -> Result<Crl, String> {
    let der = draft.der(key);
    for size in [1, 100] {
        assert_alike(&Crl::from_der(&der), &in_pieces(&der, size));
    }
    in_pieces(&der, 7).map_err(|error| error.to_string())
}

/// The same CRL when it comes in pieces of `size` octets.
fn in_pieces(der: &[u8], size: usize) -> Result<Crl, CrlError> {
    let mut parser = CrlParser::default();
    der.chunks(size).try_for_each(|piece| parser.push(piece))?;
    parser.finish()
}

fn assert_alike(whole: &Result<Crl, CrlError>, pieces: &Result<Crl, CrlError>) {
    let say = |crl: &Crl| format!("{crl}, {:?}, {} entries, {} octets", crl.next_update(), crl.len(), crl.memory());
    assert_eq!(whole.as_ref().map(say), pieces.as_ref().map(say));
}

#[test]
fn what_a_crl_says_is_kept() {
    let key = SigningKey::p256();
    let big = [&[0x00, 0xff][..], &[7; 18]].concat();
    let crl = CrlDraft::new(CA).lists(&[5], None).lists(&big, Some(reason::HOLD)).lists(&[0x80, 1], None);
    let crl = parse(&crl.lists(&[1; 21], Some(reason::KEY_COMPROMISE)), &key).unwrap();
    let issuer = Name::parse_rfc4514(CA).unwrap();
    assert_eq!(crl.issuer(), &issuer);
    assert_eq!(crl.this_update(), NOW.minus(HOUR));
    assert_eq!(crl.next_update(), Some(NOW.plus(DAY)));
    assert_eq!(crl.number().unwrap().to_string(), "10");
    assert_eq!(crl.len(), 2, "negative and over-long serial numbers are no certificate's");
    let entry = crl.entry(&issuer, &[5]).unwrap();
    assert_eq!((entry.date, entry.reason), (NOW.minus(30 * DAY), None));
    assert_eq!(crl.entry(&issuer, &big[1..]).unwrap().reason, Some(CrlReason::CertificateHold));
    for other in [&[][..], &[0], &[6], &[5, 0], &[0x80, 1], &[1; 21], &[1; 40]] {
        assert_eq!(crl.entry(&issuer, other), None, "{other:?}");
    }
    assert_eq!(crl.entry(&Name::parse_rfc4514("CN=Other").unwrap(), &[5]), None, "another CA's number");
}

#[test]
fn signatures_of_every_kind_are_verified_and_remembered() {
    for key in [SigningKey::p256(), SigningKey::rsa(), SigningKey::ed25519()] {
        let policy = SignaturePolicy::default();
        let crl = parse(&CrlDraft::new(CA), &key).unwrap();
        assert!(crl.verify(&SigningKey::p256().spki(), &policy).is_err());
        for _ in 0..2 {
            crl.verify(&key.spki(), &policy).unwrap();
        }
        let forged = CrlDraft { forged: true, ..CrlDraft::new(CA) };
        assert!(parse(&forged, &key).unwrap().verify(&key.spki(), &policy).is_err());
        // Another policy is another question.
        let strong = SignaturePolicy { minimum_rsa_bits: 4096, minimum_ec_bits: 384, ..policy };
        assert!(crl.verify(&key.spki(), &strong).is_err());
    }
}

/// Where the signature is over a digest, that is all that is kept of the signed part, and it verifies.
#[test]
fn the_signed_part_is_not_kept_where_its_digest_will_do() {
    let sha2 = |n: u8| format!("2.16.840.1.101.3.4.2.{n}");
    let null = || tlv(tag::NULL, []);
    let pss = |encoding: &'static dyn lc::RsaEncoding, n: u8, salt: u8| {
        let hash = seq(&[oid(&sha2(n)), null()]);
        let generator = seq(&[oid("1.2.840.113549.1.1.8"), hash.clone()]);
        let parameters = seq(&[context(0, hash), context(1, generator), context(2, int(salt))]);
        SigningKey::rsa_with(encoding, seq(&[oid("1.2.840.113549.1.1.10"), parameters]))
    };
    let pkcs1 = |encoding: &'static dyn lc::RsaEncoding, n: u8| {
        SigningKey::rsa_with(encoding, seq(&[oid(&format!("1.2.840.113549.1.1.{n}")), null()]))
    };
    let rows = [
        ("ECDSA, SHA-256", SigningKey::p256(), true),
        (
            "ECDSA, SHA-384",
            SigningKey::ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, "1.3.132.0.34", "1.2.840.10045.4.3.3"),
            true,
        ),
        (
            "ECDSA, SHA-512",
            SigningKey::ec(&lc::ECDSA_P521_SHA512_ASN1_SIGNING, "1.3.132.0.35", "1.2.840.10045.4.3.4"),
            true,
        ),
        ("RSA, SHA-256", pkcs1(&lc::RSA_PKCS1_SHA256, 11), true),
        ("RSA, SHA-384", pkcs1(&lc::RSA_PKCS1_SHA384, 12), true),
        ("RSA, SHA-512", pkcs1(&lc::RSA_PKCS1_SHA512, 13), true),
        ("RSA, SHA-1 by its name", pkcs1(&lc::RSA_PKCS1_SHA256, 5), false),
        ("RSA-PSS, SHA-256", pss(&lc::RSA_PSS_SHA256, 1, 32), true),
        ("RSA-PSS, SHA-384", pss(&lc::RSA_PSS_SHA384, 2, 48), true),
        ("RSA-PSS, SHA-512", pss(&lc::RSA_PSS_SHA512, 3, 64), true),
    ];
    let mut draft = CrlDraft::new(CA);
    draft.entries = (0..2000_u16).map(|n| entry(&[&[1; 18][..], &n.to_be_bytes()].concat(), &[])).collect();
    for (row, key, verifies) in rows {
        let der = draft.der(&key);
        let crl = Crl::from_der(der.clone()).unwrap();
        let octets = 2000 * 20..der.len();
        assert!(octets.contains(&crl.memory()), "{row}: {} octets, want {octets:?}", crl.memory());
        assert_eq!(crl.verify(&key.spki(), &SignaturePolicy::default()).is_ok(), verifies, "{row}");
    }
}

#[test]
fn malformed_lists_are_refused() {
    let name_of_ca = || context(4, name(CA));
    let unknown = |critical| ("1.2.3.4".to_owned(), critical, vec![5, 0]);
    type Edit = Box<dyn Fn(&mut CrlDraft)>;
    let rows: Vec<(&str, Edit, &str)> = vec![
        ("version 1 encoded", Box::new(|d| d.version = int(0)), "version 0"),
        ("version 3", Box::new(|d| d.version = int(2)), "version 2"),
        ("v1 with extensions", Box::new(|d| d.version = vec![]), "crlExtensions in a CRL of version 1"),
        ("empty issuer", Box::new(|d| d.issuer = name("")), "the issuer is empty"),
        ("no dates", Box::new(|d| (d.this_update, d.next_update) = (vec![], vec![])), "thisUpdate"),
        ("dates reversed", Box::new(|d| *d = d.clone().dated(0, Some(-1))), "is after nextUpdate"),
        ("offset in a time", Box::new(|d| d.this_update = tlv(tag::UTC_TIME, "260101000000+0000")), "thisUpdate: time"),
        ("empty list", Box::new(|d| d.next_update = [d.next_update.clone(), seq(&[])].concat()), "may not be empty"),
        ("algorithms differ", Box::new(|d| d.outer_algorithm = Some(seq(&[oid("1.2.3")]))), "outside the signed part"),
        ("after the signed part's fields", Box::new(|d| d.trailer = int(1)), "tbsCertList"),
        ("after the whole", Box::new(|d| d.after = vec![0]), "octets after the end"),
        ("number twice", Box::new(|d| d.extensions.push(number(11))), "2.5.29.20 appears twice"),
        ("number negative", Box::new(|d| d.extensions[0].2 = tlv(tag::INTEGER, [0x80])), "or negative"),
        ("number long", Box::new(|d| d.extensions[0].2 = tlv(tag::INTEGER, [1; 21])), "CRL number of 21"),
        ("number critical", Box::new(|d| d.extensions[0].1 = true), "2.5.29.20 is critical"),
        ("unknown critical", Box::new(move |d| d.extensions.push(unknown(true))), "critical extension 1.2.3.4"),
        ("delta without number", Box::new(|d| d.extensions = vec![base(1)]), "no CRLNumber"),
        (
            "key identifier without number",
            Box::new(|d| {
                let value = seq(&[implicit(0, [1])]);
                d.extensions = vec![(id::AUTHORITY_KEY_IDENTIFIER.to_owned(), false, value)];
            }),
            "no CRLNumber",
        ),
        ("scope empty", Box::new(|d| d.extensions.push(idp(&[]))), "issuingDistributionPoint"),
        ("scope of users and CAs", Box::new(|d| d.extensions.push(idp(&[flag(1), flag(2)]))), "more than one of"),
        ("scope with encoded FALSE", Box::new(|d| d.extensions.push(idp(&[implicit(1, [0])]))), "BOOLEAN"),
        ("scope with empty names", Box::new(|d| d.extensions.push(idp(&[full_name(&[])]))), "may not be empty"),
        ("scope in the wrong order", Box::new(|d| d.extensions.push(idp(&[flag(4), flag(1)]))), "after the end"),
        (
            "fresher list nowhere",
            Box::new(|d| d.extensions.push((id::FRESHEST_CRL.into(), false, seq(&[])))),
            "freshestCRL",
        ),
        ("listed twice", Box::new(|d| *d = d.clone().lists(&[7], None).lists(&[7], Some(1))), "07 is listed twice"),
        ("removed in a complete list", Box::new(|d| *d = d.clone().lists(&[7], Some(reason::REMOVE))), "reason code 8"),
        ("undefined reason", Box::new(|d| *d = d.clone().lists(&[7], Some(7))), "reason code 7"),
        ("serial padded", Box::new(|d| *d = d.clone().lists(&[0, 7], None)), "not minimal"),
        ("entry empty", Box::new(|d| d.entries.push(seq(&[]))), "revokedCertificates"),
        ("entry without date", Box::new(|d| d.entries.push(seq(&[int(7)]))), "revocationDate"),
        (
            "entry extensions empty",
            Box::new(|d| d.entries.push(seq(&[int(7), der::time(NOW), seq(&[])]))),
            "crlEntryExtensions",
        ),
        (
            "entry's unknown critical",
            Box::new(move |d| d.entries.push(entry(&[7], &[unknown(true)]))),
            "1.2.3.4 of the entry for serial number 07",
        ),
        (
            "entry's reason twice",
            Box::new(|d| d.entries.push(entry(&[7], &[reason_code(1), reason_code(1)]))),
            "2.5.29.21 appears twice",
        ),
        (
            "critical FALSE written out",
            Box::new(|d| {
                let (dotted, _, value) = number(10);
                d.extensions.clear();
                let extension = seq(&[oid(&dotted), tlv(tag::BOOLEAN, [0]), tlv(tag::OCTET_STRING, value)]);
                d.trailer = context(0, seq(&[extension]));
            }),
            "BOOLEAN",
        ),
        (
            "reason without octets",
            Box::new(|d| d.entries.push(entry(&[7], &[(id::REASON_CODE.to_owned(), false, tlv(tag::ENUMERATED, []))]))),
            "reasonCode",
        ),
        (
            "reason of two octets",
            Box::new(|d| {
                d.entries.push(entry(&[7], &[(id::REASON_CODE.to_owned(), false, tlv(tag::ENUMERATED, [0, 1]))]));
            }),
            "reason code 255",
        ),
        (
            "certificate issuer in a direct list",
            Box::new(|d| d.entries.push(entry(&[7], &[certificate_issuer(CA)]))),
            "not indirect",
        ),
        (
            "invalidity date of another type",
            Box::new(|d| {
                let date = tlv(tag::UTC_TIME, "260101000000Z");
                d.entries.push(entry(&[7], &[(id::INVALIDITY_DATE.to_owned(), false, date)]));
            }),
            "invalidityDate",
        ),
        (
            "certificate issuer with two names",
            Box::new(move |d| {
                let value = seq(&[name_of_ca(), name_of_ca()]);
                *d = d.clone().with(idp(&[flag(4)]));
                d.entries.push(entry(&[7], &[(id::CERTIFICATE_ISSUER.to_owned(), true, value)]));
            }),
            "certificateIssuer",
        ),
        (
            "certificate issuer that is no directory name",
            Box::new(|d| {
                let value = seq(&[uri("http://ca.example")]);
                *d = d.clone().with(idp(&[flag(4)]));
                d.entries.push(entry(&[7], &[(id::CERTIFICATE_ISSUER.to_owned(), true, value)]));
            }),
            "certificateIssuer",
        ),
    ];
    let key = SigningKey::ed25519();
    assert!(parse(&CrlDraft::new(CA), &key).is_ok());
    let mut problems = Vec::new();
    for (row, edit, want) in rows {
        let mut draft = CrlDraft::new(CA);
        edit(&mut draft);
        match parse(&draft, &key) {
            Err(error) if error.contains(want) => {}
            other => problems.push(format!("{row}: want {want:?}, got {:?}", other.map(|crl| crl.to_string()))),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn what_other_tools_write_is_taken() {
    type Edit = fn(&mut CrlDraft);
    let rows: &[(&str, Edit)] = &[
        ("no nextUpdate", |d| d.next_update = vec![]),
        ("replaced at once", |d| *d = d.clone().dated(0, Some(0))),
        ("v1", |d| {
            d.version = vec![];
            d.extensions = vec![];
        }),
        ("v2 without extensions", |d| d.extensions = vec![]),
        ("unknown extension", |d| d.extensions.push(("1.2.3.4".to_owned(), false, vec![5, 0]))),
        ("GeneralizedTime before 2050", |d| d.this_update = generalized(NOW.minus(HOUR))),
        ("scope not critical", |d| {
            d.extensions.push((id::ISSUING_DISTRIBUTION_POINT.to_owned(), false, seq(&[flag(1)])))
        }),
        ("entry's unknown extension", |d| d.entries.push(entry(&[7], &[("1.2.3.4".to_owned(), false, vec![5, 0])]))),
        ("reason unspecified", |d| *d = d.clone().lists(&[7], Some(0))),
        ("removal in a delta list", |d| *d = d.clone().with(base(9)).lists(&[7], Some(reason::REMOVE))),
        ("issuers in an indirect list", |d| {
            *d = d.clone().with(idp(&[flag(4)]));
            d.entries.push(entry(&[7], &[certificate_issuer("CN=Other")]));
            d.entries.push(entry(&[8], &[]));
        }),
    ];
    let key = SigningKey::ed25519();
    for (row, edit) in rows {
        let mut draft = CrlDraft::new(CA);
        edit(&mut draft);
        if let Err(error) = parse(&draft, &key) {
            panic!("{row}: {error}");
        }
    }
}

#[test]
fn indirect_entries_belong_to_the_issuer_named_last() {
    let mut draft = CrlDraft::new(CA).with(idp(&[flag(4)]));
    draft.entries = vec![
        entry(&[1], &[]),
        entry(&[0x80], &[certificate_issuer("CN=A")]),
        entry(&[1], &[]),
        entry(&[2], &[certificate_issuer("CN=B")]),
        entry(&[3], &[]),
        entry(&[1], &[certificate_issuer("cn=b")]),
        entry(&[9], &[certificate_issuer(CA)]),
    ];
    let crl = parse(&draft, &SigningKey::ed25519()).unwrap();
    let listed = |issuer: &str, serial: u8| crl.entry(&Name::parse_rfc4514(issuer).unwrap(), &[serial]).is_some();
    for (issuer, serials) in [(CA, vec![1, 9]), ("CN=A", vec![1]), ("CN=B", vec![1, 2, 3]), ("CN=C", vec![])] {
        for serial in 1..10 {
            assert_eq!(listed(issuer, serial), serials.contains(&serial), "{issuer} {serial}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_input_panics(edits in proptest::collection::vec((0_usize..600, 0_u8..), 1..6)) {
        let mut draft = CrlDraft::new(CA).with(idp(&[full_name(&[uri("http://a.example")]), flag(4)]));
        draft.entries = vec![entry(&[1], &[reason_code(1), certificate_issuer("CN=A")]), entry(&[2], &[])];
        thread_local!(static KEY: SigningKey = SigningKey::ed25519());
        let mut der = KEY.with(|key| draft.der(key));
        for (at, octet) in edits {
            let at = at % der.len();
            der[at] = octet;
        }
        assert_alike(&Crl::from_der(&der), &in_pieces(&der, 1));
    }
}

#[test]
fn numbers_are_shown_as_cas_count() {
    let key = SigningKey::ed25519();
    for (octets, want) in [
        (vec![0], "0".to_owned()),
        (vec![1, 2], "258".to_owned()),
        (vec![0, 0xff], "255".to_owned()),
        ([&[0][..], &[0xff; 16]].concat(), u128::MAX.to_string()),
        ([&[1][..], &[0; 16]].concat(), format!("0x01{}", "00".repeat(16))),
        (vec![0x7f; 20], format!("0x{}", "7f".repeat(20))),
    ] {
        let draft = CrlDraft::new(CA).with((id::CRL_NUMBER.to_owned(), false, tlv(tag::INTEGER, &octets)));
        assert_eq!(parse(&draft, &key).unwrap().number().unwrap().to_string(), want);
    }
}

/// Where the elements in `content` begin that come one after the other from `start` on.
fn starts(der: &[u8], start: usize, end: usize) -> Vec<usize> {
    let mut reader = Reader::new(&der[start..end]);
    let mut found = Vec::new();
    while !reader.is_empty() {
        found.push(end - reader.rest().len());
        reader.any().unwrap();
    }
    found
}

/// Where the content of the element at `at` begins and ends.
fn content(der: &[u8], at: usize) -> (usize, usize) {
    let element = Reader::new(&der[at..]).any().unwrap();
    let end = at + element.whole.len();
    (end - element.content.len(), end)
}

/// A header with this length, in the least octets.
fn header(tag: u8, length: usize) -> Vec<u8> {
    let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
    if length < 0x80 { vec![tag, length as u8] } else { [&[tag, 0x80 | digits.len() as u8], &*digits].concat() }
}

/// What would end after what holds it is refused when its header has come; nothing more is waited for.
#[test]
fn an_element_ends_within_what_holds_it() {
    let draft = CrlDraft::new(CA).lists(&[5], Some(reason::HOLD)).lists(&[6], None);
    let der = draft.der(&SigningKey::ed25519());
    let (from, end) = content(&der, 0);
    let outer = starts(&der, from, end);
    let (from, signed_end) = content(&der, outer[0]);
    let signed = starts(&der, from, signed_end);
    let list = signed[5];
    let (from, list_end) = content(&der, list);
    let entries = starts(&der, from, list_end);
    let held = |all: &[usize], end: usize| all.iter().map(move |at| (*at, end)).collect::<Vec<_>>();
    let elements = [held(&outer, end), held(&signed, signed_end), held(&entries, list_end)].concat();
    assert_eq!(elements.len(), 3 + 7 + 2);
    for (at, end) in elements {
        for (more, fits) in [(0, true), (1, false), (1 << 20, false)] {
            // As long as there is room, or longer; the length of the header counts too.
            let room = end - at;
            let octets = (2..7).find(|octets| header(0x30, room + more - octets).len() == *octets).unwrap();
            let mut parser = CrlParser::default();
            parser.push(&der[..at]).unwrap();
            let told = parser.push(&header(der[at], room + more - octets));
            assert_eq!(told.is_ok(), fits, "octet 0x{:02x} at {at} with {more} more than fit: {told:?}", der[at]);
        }
    }
    // So is a header that does not fit itself.
    for (from, octets) in [(0, [0x30, 1, 0x30]), (list, [0x30, 1, 0x30])] {
        let mut parser = CrlParser::default();
        parser.push(&der[..from]).unwrap();
        parser.push(&octets[..2]).unwrap();
        assert!(parser.push(&octets[2..]).is_err(), "at {from}");
    }
    for (length, fits) in [((256 << 20) - 6, true), ((256 << 20) - 5, false)] {
        let told = CrlParser::default().push(&header(0x30, length));
        assert_eq!(told.is_ok(), fits, "{told:?}");
        assert!(fits || matches!(told, Err(CrlError::TooLong(_))));
    }
}

/// Whichever optional fields are there, the signed part may end after them.
#[test]
fn the_signed_part_may_end_after_any_optional_field() {
    let key = SigningKey::ed25519();
    for row in 0..8_u8 {
        let mut draft = CrlDraft::new(CA).lists(&[5], None);
        if row & 1 != 0 {
            draft.next_update = Vec::new();
        }
        if row & 2 != 0 {
            draft.entries.clear();
        }
        if row & 4 != 0 {
            (draft.version, draft.extensions) = (Vec::new(), Vec::new());
        }
        let crl = parse(&draft, &key).unwrap_or_else(|error| panic!("{row}: {error}"));
        assert_eq!((crl.next_update().is_none(), crl.is_empty()), (row & 1 != 0, row & 2 != 0));
        crl.verify(&key.spki(), &SignaturePolicy::default()).unwrap();
    }
}

/// What was not a CRL does not become one by what follows, and nothing is read after the end.
#[test]
fn what_has_failed_stays_so() {
    let der = CrlDraft::new(CA).der(&SigningKey::ed25519());
    let mut parser = CrlParser::default();
    assert!(parser.push(&[0x31]).is_err());
    assert!(parser.push(&der).is_err());
    assert!(parser.finish().is_err());
    let mut parser = CrlParser::default();
    [&der, &der].iter().for_each(|der| parser.push(der).unwrap());
    assert_eq!(
        parser.finish().unwrap_err().to_string(),
        Crl::from_der([&*der, &der].concat()).unwrap_err().to_string()
    );
    for end in 0..der.len() {
        assert!(Crl::from_der(&der[..end]).is_err(), "{end} octets of {}", der.len());
    }
}

#[test]
fn a_long_name_is_told_in_part() {
    let long = parse(&CrlDraft::new(&format!("CN={}", "a".repeat(10_000))), &SigningKey::ed25519()).unwrap();
    let shown = long.to_string();
    assert!(shown.starts_with("CRL of [CN=aa") && shown.contains("a…] number 10"), "{shown}");
    assert!(shown.chars().count() < 400, "{shown}");
}

#[test]
fn lists_have_a_size() {
    let key = SigningKey::ed25519();
    let list = parse(&CrlDraft::new(CA), &key).unwrap();
    assert!(list.is_empty());
    let list = parse(&CrlDraft::new(CA).lists(&[7], None), &key).unwrap();
    assert!(!list.is_empty() && list.len() == 1);
    assert!(matches!(Crl::from_der(vec![0; 256 << 20]), Err(CrlError::Der { .. })));
    assert!(matches!(Crl::from_der(vec![0; (256 << 20) + 1]), Err(CrlError::TooLong(_))));
}
