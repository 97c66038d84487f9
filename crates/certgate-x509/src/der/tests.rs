use super::*;

fn check_of(bytes: &[u8]) -> Result<(), DerError> {
    check(bytes)
}

#[test]
fn the_walk_accepts_der_and_names_what_is_not() {
    let deep = |n: usize| {
        (0..n).fold(vec![tag::NULL, 0], |inner, _| {
            let mut out = Vec::new();
            write(&mut out, tag::SEQUENCE, &inner);
            out
        })
    };
    let long = {
        let mut out = Vec::new();
        write(&mut out, tag::OCTET_STRING, &[7; 300]);
        out
    };
    let rows: &[(&str, Vec<u8>, Result<(), DerError>)] = &[
        ("null", vec![5, 0], Ok(())),
        ("empty sequence", vec![0x30, 0], Ok(())),
        ("nested", deep(20), Ok(())),
        ("two-octet length", long, Ok(())),
        ("siblings", vec![0x30, 5, 5, 0, 1, 1, 0xff], Ok(())),
        ("nothing", vec![], Err(DerError::Truncated)),
        ("tag alone", vec![0x30], Err(DerError::Truncated)),
        ("child longer than parent", vec![0x30, 2, 4, 1, 0], Err(DerError::Truncated)),
        ("short", vec![0x30, 2, 5], Err(DerError::Truncated)),
        ("trailing after sequence", vec![0x30, 0, 0], Err(DerError::TrailingData(1))),
        ("trailing after primitive", vec![5, 0, 5, 0], Err(DerError::TrailingData(2))),
        ("indefinite", vec![0x30, 0x80, 0, 0], Err(DerError::IndefiniteLength)),
        ("indefinite inside", vec![0x30, 4, 0x30, 0x80, 0, 0], Err(DerError::IndefiniteLength)),
        ("long form of a short length", vec![4, 0x81, 1, 0], Err(DerError::NonMinimalLength)),
        ("leading zero in length", vec![4, 0x82, 0, 0x80], Err(DerError::NonMinimalLength)),
        ("five length octets", vec![4, 0x85, 1, 0, 0, 0, 0], Err(DerError::LengthTooLong)),
        ("high tag", vec![0x1f, 0x20, 0], Err(DerError::HighTagNumber)),
        ("end of contents", vec![0, 0], Err(DerError::ReservedTag(0))),
        ("primitive sequence", vec![0x10, 0], Err(DerError::WrongForm(0x10))),
        ("constructed string", vec![0x24, 3, 4, 1, 0], Err(DerError::WrongForm(0x24))),
        ("boolean 1", vec![1, 1, 1], Err(DerError::BadBoolean)),
        ("empty integer", vec![2, 0], Err(DerError::BadInteger)),
        ("padded integer", vec![2, 2, 0, 0x7f], Err(DerError::BadInteger)),
        ("padded negative integer", vec![2, 2, 0xff, 0x80], Err(DerError::BadInteger)),
        ("integer with sign octet", vec![2, 2, 0, 0x80], Ok(())),
        ("null with content", vec![5, 1, 0], Err(DerError::BadNull)),
        ("oid with padding", vec![6, 3, 0x2a, 0x80, 1], Err(DerError::BadOid)),
        ("oid that does not end", vec![6, 2, 0x2a, 0x81], Err(DerError::BadOid)),
        ("bit string padding", vec![3, 2, 1, 1], Err(DerError::BadBitString)),
        ("eight unused bits", vec![3, 2, 8, 0], Err(DerError::BadBitString)),
        ("empty bit string with unused bits", vec![3, 1, 1], Err(DerError::BadBitString)),
        ("as deep as is followed", deep(MAX_DEPTH), Ok(())),
        ("deeper by one", deep(MAX_DEPTH + 1), Err(DerError::TooDeep(MAX_DEPTH))),
        ("too deep", deep(30), Err(DerError::TooDeep(MAX_DEPTH))),
        ("empty oid", vec![6, 0], Err(DerError::BadOid)),
        ("negative integer", vec![2, 2, 0xff, 0x7f], Ok(())),
        ("padded enumerated", vec![10, 2, 0, 1], Err(DerError::BadInteger)),
        ("seven unused bits", vec![3, 2, 7, 0x80], Ok(())),
        ("no bits", vec![3, 1, 0], Ok(())),
        ("empty bit string", vec![3, 0], Err(DerError::BadBitString)),
    ];
    for (name, bytes, want) in rows {
        assert_eq!(&check_of(bytes), want, "{name}");
    }
}

#[test]
fn lengths_at_their_limits() {
    for n in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000] {
        let mut out = Vec::new();
        write(&mut out, tag::OCTET_STRING, &vec![7; n]);
        assert_eq!(check(&out), Ok(()), "{n}");
        assert_eq!(exactly(&out, tag::OCTET_STRING).unwrap().content.len(), n);
    }
    // In one octet more than is needed.
    let long: [(&[u8], usize); 4] = [
        (&[4, 0x81, 0x7f], 0x7f),
        (&[4, 0x82, 0, 0xff], 0xff),
        (&[4, 0x83, 0, 0xff, 0xff], 0xffff),
        (&[4, 0x84, 0, 0xff, 0xff, 0xff], 0xff_ffff),
    ];
    for (header, n) in long {
        assert_eq!(check(&[header, &vec![7; n]].concat()), Err(DerError::NonMinimalLength), "{n}");
    }
}

#[test]
fn small_numbers() {
    let rows: &[(&[u8], Result<u32, DerError>)] = &[
        (&[0], Ok(0)),
        (&[0x7f], Ok(0x7f)),
        (&[0, 0x80], Ok(0x80)),
        (&[1, 2], Ok(0x102)),
        (&[0x7f, 0xff, 0xff, 0xff], Ok(0x7fff_ffff)),
        (&[0, 0xff, 0xff, 0xff, 0xff], Ok(u32::MAX)),
        (&[1, 0, 0, 0, 0], Err(DerError::IntegerRange)),
        (&[0, 0xff, 0xff, 0xff, 0xff, 0xff], Err(DerError::IntegerRange)),
        (&[0x80], Err(DerError::IntegerRange)),
        (&[0xff, 0x7f], Err(DerError::IntegerRange)),
        (&[0, 0x7f], Err(DerError::BadInteger)),
        (&[], Err(DerError::BadInteger)),
    ];
    for (content, want) in rows {
        assert_eq!(&small_unsigned(content), want, "{content:?}");
    }
}

#[test]
fn spans_are_parts() {
    let whole = [1, 2, 3, 4];
    assert_eq!(Span::of(&whole, &whole[1..3]).get(&whole), [2, 3]);
    assert_eq!(Span::of(&whole, &whole).get(&whole), whole);
    assert!(Span::of(&whole[..2], &whole[1..3]).get(&whole).is_empty(), "its end lies outside");
    assert!(Span::of(&whole[2..], &whole[..1]).get(&whole).is_empty(), "it lies before");
    assert!(Span::of(&whole, &whole[1..3]).get(&whole[..2]).is_empty(), "of another slice");
}

#[test]
fn times() {
    let utc = |text: &'static str| time(Tlv { tag: tag::UTC_TIME, content: text.as_bytes(), whole: &[] });
    let general = |text: &'static str| time(Tlv { tag: tag::GENERALIZED_TIME, content: text.as_bytes(), whole: &[] });
    assert_eq!(utc("500101000000Z").unwrap().to_string(), "1950-01-01T00:00:00Z");
    assert_eq!(utc("491231235959Z").unwrap().to_string(), "2049-12-31T23:59:59Z");
    assert_eq!(general("20500101000000Z").unwrap().to_string(), "2050-01-01T00:00:00Z");
    assert_eq!(general("99991231235959Z").unwrap().to_string(), "9999-12-31T23:59:59Z");
    for text in [
        "2601010000Z",
        "260101000000",
        "2601010000000",
        "260101000000+0000",
        "260101000060Z",
        "261301000000Z",
        "260230000000Z",
        "26010100000 Z",
        "-10101000000Z",
        "",
    ] {
        assert_eq!(utc(text), Err(DerError::BadTime), "{text}");
    }
    for text in ["20260101000000.5Z", "20260101000000z", "202601010000Z", "260101000000Z"] {
        assert_eq!(general(text), Err(DerError::BadTime), "{text}");
    }
}

#[test]
fn named_bits_stand_at_the_front() {
    assert_eq!(named_bits(&[1, 0x06]), Ok(0x0600_0000));
    assert_eq!(named_bits(&[7, 0x00, 0x80]), Ok(0x0080_0000));
    assert_eq!(named_bits(&[0, 0x06, 0x00]), Ok(0x0600_0000));
    assert_eq!(named_bits(&[0]), Ok(0));
    assert_eq!(named_bits(&[2, 0x06]), Err(DerError::BadBitString));
    assert_eq!(named_bits(&[]), Err(DerError::BadBitString));
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read_back(content in proptest::collection::vec(0_u8.., 0..70_000)) {
        let mut out = Vec::new();
        write(&mut out, tag::OCTET_STRING, &content);
        proptest::prop_assert!(check(&out).is_ok());
        proptest::prop_assert_eq!(exactly(&out, tag::OCTET_STRING).unwrap().content, &content[..]);
    }

    #[test]
    fn no_input_panics(bytes in proptest::collection::vec(0_u8.., 0..64)) {
        let _ = check(&bytes);
    }
}
