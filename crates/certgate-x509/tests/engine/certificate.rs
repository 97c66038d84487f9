//! What counts as a certificate: one good one, and one thing wrong at a time.

#![allow(clippy::unwrap_used, reason = "a test may panic and print")]

use certgate_testing::der as support;

use certgate_x509::{Certificate, CertificateError, GeneralName, Sha256, der::tag};
use support::{
    Draft, NOW, SigningKey, bits, context, dns, email, ext, implicit, int, ip, name, oid, seq, tlv, upn, uri, yes,
};

fn draft(key: &SigningKey) -> Draft {
    Draft::client("CN=client,O=Contoso", "CN=CA,O=Contoso", key)
}

#[test]
fn the_fields_are_read() {
    let key = SigningKey::p256();
    let names = [
        dns("a.example"),
        email("a@b.example"),
        uri("spiffe://a/b"),
        ip(&[192, 0, 2, 1]),
        ip(&[0; 16]),
        support::directory("CN=x"),
        upn("bärbel@corp.example"),
        support::other("1.2.3", &int(1)),
        implicit(8, [0x2a, 3]),
        context(3, []),
    ];
    let der = draft(&key).with(ext::names(&names)).with(ext::key_usage(&[0])).der(&key);
    let certificate = Certificate::from_der(der.clone()).unwrap();
    assert_eq!(certificate.der(), der);
    assert_eq!(certificate.sha256(), Sha256::of(&der));
    assert_eq!(certificate.public_key(), key.spki());
    assert_eq!(certificate.public_key_sha256(), Sha256::of(&key.spki()));
    assert_eq!(certificate.subject().to_string(), "CN=client,O=Contoso");
    assert_eq!(certificate.issuer().to_string(), "CN=CA,O=Contoso");
    assert_eq!(certificate.serial_number(), [0x11, 0x22]);
    assert_eq!((certificate.not_before(), certificate.not_after()), (NOW.minus(86_400), NOW.plus(86_400)));
    assert!(!certificate.is_self_issued());
    assert!(certificate.key_usage().unwrap().digital_signature());
    assert!(!certificate.key_usage().unwrap().key_cert_sign());
    let found: Vec<String> = certificate.subject_alt_names().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "dNSName a.example",
            "rfc822Name a@b.example",
            "uniformResourceIdentifier spiffe://a/b",
            "iPAddress 192.0.2.1",
            "iPAddress ::",
            "directoryName CN=x",
            "userPrincipalName bärbel@corp.example",
            "otherName of type 1.2.3",
            "registeredID 1.2.3",
            "x400Address ",
        ]
    );
    assert!(
        matches!(&certificate.subject_alt_names()[6], GeneralName::UserPrincipalName(name) if name.starts_with('b'))
    );
}

/// What is done to the good draft, and a part of the message it must be refused with.
type Row = (&'static str, fn(&mut Draft), &'static str);

#[test]
fn one_thing_wrong_is_enough() {
    let rows: &[Row] = &[
        ("negative serial", |d| d.serial = vec![0x80], "serial number is negative"),
        ("serial of 21 octets", |d| d.serial = vec![1; 21], "serial number of 21 octets"),
        ("serial of 21 octets with its sign", |d| d.serial = [&[0][..], &[0x80; 20]].concat(), "of 21 octets"),
        ("padded serial", |d| d.serial = vec![0, 1], "INTEGER is empty or not minimal"),
        ("empty serial", |d| d.serial = vec![], "INTEGER is empty"),
        ("v1 written out", |d| d.version = context(0, int(0)), "version 1"),
        ("v4", |d| d.version = context(0, int(3)), "version 4"),
        ("two versions", |d| d.version = context(0, [int(2), int(2)].concat()), "version: 3 octets after"),
        ("extensions in v1", |d| d.version = vec![], "extensions in a certificate of version V1"),
        ("extensions in v2", |d| d.version = context(0, int(1)), "extensions in a certificate of version V2"),
        (
            "outer algorithm",
            |d| d.outer_algorithm = Some(seq(&[oid("1.2.840.10045.4.3.3")])),
            "outside the signed part",
        ),
        (
            "inner algorithm",
            |d| d.inner_algorithm = Some(seq(&[oid("1.2.840.10045.4.3.3")])),
            "outside the signed part",
        ),
        ("empty issuer", |d| d.issuer = name(""), "issuer is empty"),
        (
            "NUL in subject",
            |d| d.subject = common_name(tag::UTF8_STRING, b"a\0b"),
            "subject: attribute CN: holds a NUL",
        ),
        ("bad issuer", |d| d.issuer = common_name(tag::PRINTABLE_STRING, b"a*b"), "issuer: attribute CN"),
        ("dates reversed", |d| d.valid(NOW, NOW.minus(1)), "is after notAfter"),
        ("no seconds", |d| d.validity = dates(tag::UTC_TIME, b"2601010000Z"), "notBefore: time"),
        ("offset", |d| d.validity = dates(tag::UTC_TIME, b"260101000000+0000"), "notBefore: time"),
        ("fraction", |d| d.validity = dates(tag::GENERALIZED_TIME, b"20260101000000.1Z"), "notBefore: time"),
        ("February 30", |d| d.validity = dates(tag::UTC_TIME, b"260230000000Z"), "notBefore: time"),
        ("integer date", |d| d.validity = dates(tag::INTEGER, b"\x01"), "notBefore: tag 0x02"),
        ("three dates", |d| d.validity = seq(&vec![support::time(NOW); 3]), "validity: 15 octets after"),
        ("element after extensions", |d| d.trailer = int(1), "tbsCertificate: 3 octets after"),
        ("key without key", |d| d.spki = seq(&[seq(&[oid("1.3.101.112")])]), "subjectPublicKeyInfo"),
        ("no extensions", |d| d.extensions.clear(), ""),
        (
            "extension twice",
            |d| d.extensions.push(ext::names(&[dns("b.example")])),
            "extension 2.5.29.17 appears twice",
        ),
        ("unknown extension twice", |d| (0..2).for_each(|_| d.extensions.push(unknown())), "1.2.3.4 appears twice"),
        ("NUL in a DNS name", |d| d.set(ext::names(&[dns("a\0.example")])), "dNSName: holds a NUL"),
        ("Latin-1 in a DNS name", |d| d.set(ext::names(&[implicit(2, [0xe9])])), "IA5String is not ASCII"),
        ("blank in a DNS name", |d| d.set(ext::names(&[dns("a b")])), "holds a blank"),
        ("blank in a URI", |d| d.set(ext::names(&[uri("http://a.example/ b")])), "holds a blank"),
        ("empty DNS name", |d| d.set(ext::names(&[dns("")])), "is empty"),
        ("NUL in a UPN", |d| d.set(ext::names(&[upn("a\0@b")])), "userPrincipalName: holds a NUL"),
        ("address range as a name", |d| d.set(ext::names(&[ip(&[192, 0, 2, 0, 255, 255, 255, 0])])), "of 8 octets"),
        ("names not a sequence", |d| d.set(ext::any(ext::SUBJECT_ALT_NAME, false, dns("a"))), "2.5.29.17: tag 0x82"),
        ("octet after names", |d| d.set(after(ext::names(&[dns("a")]))), "2.5.29.17: 1 octets after"),
        ("octet after usage", |d| d.set(after(ext::key_usage(&[0]))), "2.5.29.15: 1 octets after"),
        ("octet after purposes", |d| d.set(after(ext::purposes(&[ext::CLIENT_AUTH]))), "2.5.29.37: 1 octets after"),
        ("empty usage", |d| d.set(ext::any(ext::KEY_USAGE, true, bits(&[]))), "2.5.29.15: a list"),
        ("empty purposes", |d| d.set(ext::purposes(&[])), "2.5.29.37: a list"),
        ("path length without cA", |d| d.set(constraints(seq(&[int(1)]))), ""),
        (
            "negative path length without cA",
            |d| d.set(constraints(seq(&[tlv(2, [0xff])]))),
            "2.5.29.19: INTEGER is neg",
        ),
        ("negative path length", |d| d.set(constraints(seq(&[yes(), tlv(2, [0xff])]))), "2.5.29.19: INTEGER is neg"),
        ("path length of -128", |d| d.set(constraints(seq(&[yes(), tlv(2, [0x80])]))), "2.5.29.19: INTEGER is neg"),
        ("padded path length", |d| d.set(constraints(seq(&[yes(), tlv(2, [0, 1])]))), "2.5.29.19: INTEGER is empty or"),
        ("empty path length", |d| d.set(constraints(seq(&[yes(), tlv(2, [])]))), "2.5.29.19: INTEGER is empty or"),
        ("padded inhibitAnyPolicy", |d| d.set(inhibit(tlv(2, [0, 0x7f]))), "2.5.29.54: INTEGER is empty or"),
        ("negative inhibitAnyPolicy", |d| d.set(inhibit(tlv(2, [0x80]))), "2.5.29.54: INTEGER is neg"),
        ("padded policy constraint", |d| d.set(policy_constraint(&[0, 0x7f])), "2.5.29.36: INTEGER is empty or"),
        ("empty policy constraint", |d| d.set(policy_constraint(&[])), "2.5.29.36: INTEGER is empty or"),
        ("negative policy constraint", |d| d.set(policy_constraint(&[0x80])), "2.5.29.36: INTEGER is neg"),
        ("distribution points not a sequence", |d| d.set(ext::any("2.5.29.31", false, int(1))), "2.5.29.31: tag 0x02"),
        ("freshest CRL not a sequence", |d| d.set(ext::any("2.5.29.46", false, int(1))), "2.5.29.46: tag 0x02"),
        ("issuer's names not a sequence", |d| d.set(ext::any("2.5.29.18", false, int(1))), "2.5.29.18: tag 0x02"),
        ("access not a sequence", |d| d.set(ext::any(AUTHORITY_INFO, false, int(1))), "5.5.7.1.1: tag 0x02"),
        ("subject's access not a sequence", |d| d.set(ext::any(SUBJECT_INFO, false, int(1))), "5.5.7.1.11: tag 0x02"),
        ("more policies than are read", |d| d.set(policies(4097)), "2.5.29.32: "),
        ("more mappings than are read", |d| d.set(mappings(4097)), "2.5.29.33: "),
        ("more purposes than are read", |d| d.set(purposes(4097)), "2.5.29.37: "),
        ("cA of 1", |d| d.set(constraints(seq(&[tlv(1, [1])]))), "2.5.29.19: BOOLEAN"),
        ("subtrees absent", |d| d.set(ext::constraints(&[], &[])), "2.5.29.30: a list"),
        (
            "subtrees empty",
            |d| d.set(ext::any(ext::NAME_CONSTRAINTS, true, seq(&[context(0, [])]))),
            "2.5.29.30: a list",
        ),
        ("subtree with minimum", |d| d.set(subtree(&[dns("a"), implicit(0, [1])])), "minimum or maximum"),
        ("address subtree without mask", |d| d.set(ext::constraints(&[ip(&[192, 0, 2, 1])], &[])), "range of 4 octets"),
        ("mask with a hole", |d| d.set(ext::constraints(&[ip(&[10, 0, 0, 0, 255, 0, 255, 0])], &[])), "mask"),
        ("NUL in a subtree", |d| d.set(ext::constraints(&[dns("a\0b")], &[])), "2.5.29.30: dNSName: holds a NUL"),
        ("Latin-1 in a subtree", |d| d.set(ext::constraints(&[implicit(2, [0xc3, 0xa9])], &[])), "not ASCII"),
        ("NUL in a UPN subtree", |d| d.set(ext::constraints(&[upn("a\0b")], &[])), "userPrincipalName: holds a NUL"),
        ("policy twice", |d| d.set(ext::policies(&["1.2.3", "1.2.4", "1.2.3"])), "a policy appears twice"),
        ("no policies", |d| d.set(ext::policies(&[])), "2.5.29.32: a list"),
        ("no mappings", |d| d.set(ext::mappings(&[])), "2.5.29.33: a list"),
        ("no policy constraints", |d| d.set(ext::policy_constraints(None, None)), "2.5.29.36: a list"),
        ("issuer without serial", |d| d.set(half_authority_key()), "an issuer without a serial number"),
        (
            "key identifier not octets",
            |d| d.set(ext::any(ext::SUBJECT_KEY_IDENTIFIER, false, int(1))),
            "2.5.29.14: tag",
        ),
    ];
    let key = SigningKey::p256();
    let mut problems = Vec::new();
    for (row, change, want) in rows {
        let mut draft = draft(&key);
        change(&mut draft);
        match (Certificate::from_der(draft.der(&key)), *want) {
            (Ok(_), "") => {}
            (Err(err), want) if !want.is_empty() && err.to_string().contains(want) => {}
            (outcome, _) => problems.push(format!("{row}: {:?}", outcome.map_err(|err| err.to_string()))),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn common_name(tag: u8, value: &[u8]) -> Vec<u8> {
    seq(&[tlv(tag::SET, seq(&[oid("2.5.4.3"), tlv(tag, value)]))])
}

fn dates(tag: u8, content: &[u8]) -> Vec<u8> {
    seq(&[tlv(tag, content), tlv(tag, content)])
}

fn unknown() -> support::Extension {
    ext::any("1.2.3.4", false, vec![])
}

fn after(mut extension: support::Extension) -> support::Extension {
    extension.2.push(0);
    extension
}

fn constraints(value: Vec<u8>) -> support::Extension {
    ext::any(ext::BASIC_CONSTRAINTS, true, value)
}

const AUTHORITY_INFO: &str = "1.3.6.1.5.5.7.1.1";
const SUBJECT_INFO: &str = "1.3.6.1.5.5.7.1.11";

fn inhibit(value: Vec<u8>) -> support::Extension {
    ext::any(ext::INHIBIT_ANY_POLICY, true, value)
}

/// requireExplicitPolicy of these octets.
fn policy_constraint(octets: &[u8]) -> support::Extension {
    ext::any("2.5.29.36", true, seq(&[implicit(0, octets)]))
}

fn oids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("1.2.3.{n}")).collect()
}

fn policies(count: usize) -> support::Extension {
    ext::policies(&oids(count).iter().map(String::as_str).collect::<Vec<_>>())
}

fn purposes(count: usize) -> support::Extension {
    ext::purposes(&oids(count).iter().map(String::as_str).collect::<Vec<_>>())
}

fn mappings(count: usize) -> support::Extension {
    ext::mappings(&oids(count).iter().map(|policy| (policy.as_str(), "1.2.4")).collect::<Vec<_>>())
}

fn subtree(parts: &[Vec<u8>]) -> support::Extension {
    ext::any(ext::NAME_CONSTRAINTS, true, seq(&[context(0, seq(parts))]))
}

fn half_authority_key() -> support::Extension {
    ext::any(ext::AUTHORITY_KEY_IDENTIFIER, false, seq(&[context(1, support::directory("CN=x"))]))
}

#[test]
fn tolerated_on_purpose() {
    let key = SigningKey::p256();
    let rows: &[Row] = &[
        ("cA FALSE written out", |d| d.set(constraints(seq(&[tlv(1, [0])]))), ""),
        ("GeneralizedTime before 2050", |d| d.validity = dates(tag::GENERALIZED_TIME, b"20260101000000Z"), ""),
        ("serial of zero", |d| d.serial = vec![0], ""),
        ("empty names", |d| d.set(ext::names(&[])), ""),
        ("serial of 20 octets", |d| d.serial = vec![0x7f; 20], ""),
        ("unique identifiers", |d| d.unique_ids = [implicit(1, [0, 1]), implicit(2, [0, 1])].concat(), ""),
        ("unknown critical extension", |d| d.set(ext::any("1.2.3.4", true, vec![])), ""),
        ("keyUsage with trailing zero bits", |d| d.set(ext::any(ext::KEY_USAGE, true, bits(&[0x80, 0]))), ""),
        ("dates of one second", |d| d.valid(NOW, NOW), ""),
        ("as many policies as are read", |d| d.set(policies(4096)), ""),
        ("as many mappings as are read", |d| d.set(mappings(4096)), ""),
        ("as many purposes as are read", |d| d.set(purposes(4096)), ""),
        ("blank in a mailbox", |d| d.set(ext::names(&[email("\"a b\"@c.example")])), ""),
        ("huge path length", |d| d.set(constraints(seq(&[yes(), tlv(2, [0x7f; 9])]))), ""),
    ];
    for (row, change, _) in rows {
        let mut draft = draft(&key);
        change(&mut draft);
        assert!(Certificate::from_der(draft.der(&key)).is_ok(), "{row}");
    }
}

#[test]
fn numbers_of_certificates() {
    let key = SigningKey::p256();
    let read = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft(&key);
        change(&mut draft);
        Certificate::from_der(draft.der(&key)).unwrap()
    };
    for (octets, want) in [
        (&[0][..], 0),
        (&[0x7f], 127),
        (&[0, 0x80], 128),
        (&[0x7f, 0xff, 0xff, 0xff], 0x7fff_ffff),
        (&[0, 0xff, 0xff, 0xff, 0xff], u32::MAX),
        (&[1, 0, 0, 0, 0], u32::MAX),
        (&[1, 0, 0, 0, 0, 1], u32::MAX),
    ] {
        let length = read(&|d| d.set(constraints(seq(&[yes(), tlv(2, octets)]))));
        assert_eq!(length.basic_constraints().unwrap().path_len, Some(want), "{octets:02x?}");
        let any = read(&|d| d.set(inhibit(tlv(2, octets))));
        assert_eq!(any.inhibit_any_policy(), Some(want), "{octets:02x?}");
        let explicit = read(&|d| d.set(policy_constraint(octets))).policy_constraints().unwrap();
        let found = (explicit.require_explicit_policy, explicit.inhibit_policy_mapping);
        assert_eq!(found, (Some(want), None), "{octets:02x?}");
    }
}

/// What may be critical: extensions that path validation or revocation processes, and no others.
#[test]
fn critical_extensions_that_are_known() {
    let key = SigningKey::p256();
    for (oid, known) in [
        ("2.5.29.31", true),
        ("2.5.29.46", true),
        ("2.5.29.18", true),
        (AUTHORITY_INFO, false),
        (SUBJECT_INFO, false),
        ("1.2.3.4", false),
    ] {
        for critical in [true, false] {
            let draft = draft(&key).with(ext::any(oid, critical, seq(&[])));
            let found = Certificate::from_der(draft.der(&key)).unwrap().unknown_critical_extension();
            let want = (critical && !known).then(|| oid.to_owned());
            assert_eq!(found.map(|oid| oid.to_string()), want, "{oid} {critical}");
        }
    }
}

#[test]
fn encodings_that_are_ber_only_are_refused() {
    let key = SigningKey::p256();
    let good = draft(&key).der(&key);
    assert!(Certificate::from_der(good.clone()).is_ok());
    let trailing = [&good[..], &[0]].concat();
    let truncated = good[..good.len() - 1].to_vec();
    let indefinite = [&[0x30, 0x80], &good[4..], &[0, 0]].concat();
    let long_length = [&[0x30, 0x83, 0], &good[2..]].concat();
    let explicit_default = {
        let mut draft = draft(&key);
        draft.extensions.clear();
        let extension = seq(&[oid("1.2.3.4"), tlv(1, [0]), tlv(tag::OCTET_STRING, [])]);
        draft.trailer = context(3, seq(&[extension]));
        draft.der(&key)
    };
    for (row, der) in [
        ("trailing octet", trailing),
        ("truncated", truncated),
        ("indefinite length", indefinite),
        ("non-minimal length", long_length),
        ("critical FALSE written out", explicit_default),
        ("empty", vec![]),
    ] {
        let outcome = Certificate::from_der(der);
        assert!(matches!(outcome, Err(CertificateError::Der { .. })), "{row}: {outcome:?}");
    }
    assert!(matches!(Certificate::from_der(vec![0; 1 << 20]), Err(CertificateError::Der { .. })));
    assert!(matches!(Certificate::from_der(vec![0; (1 << 20) + 1]), Err(CertificateError::TooLong { .. })));
}

proptest::proptest! {
    /// A certificate with some octets changed is refused or is read as the same octets; reading never panics.
    #[test]
    fn mutations_do_not_panic(changes in proptest::collection::vec((0_usize..800, 0_u8..), 1..4)) {
        use std::sync::OnceLock;
        static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
        let good = GOOD.get_or_init(|| {
            let key = SigningKey::p256();
            draft(&key)
                .with(ext::ca(Some(1)))
                .with(ext::constraints(&[dns("a"), ip(&[10, 0, 0, 0, 255, 0, 0, 0])], &[upn("@x")]))
                .with(ext::policies(&["1.2.3", "1.2.4"]))
                .with(ext::mappings(&[("1.2.3", "1.2.5")]))
                .with(ext::policy_constraints(Some(1), Some(2)))
                .with(ext::inhibit_any_policy(1))
                .with(ext::authority_key(&[1; 20]))
                .der(&key)
        });
        let mut der = good.clone();
        for (at, value) in changes {
            let at = at % der.len();
            der[at] = value;
        }
        if let Ok(certificate) = Certificate::from_der(der.clone()) {
            proptest::prop_assert_eq!(certificate.der(), &der[..]);
            let _ = format!("{certificate:?} {:?}", certificate.subject_alt_names());
        }
    }
}
