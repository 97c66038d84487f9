//! Dates, signatures, algorithms, keys, encodings, serial numbers, versions, critical extensions.

use super::{Row, row};
use crate::chain::rsa_spki;
use crate::der::{NOW, bits, context, dns, ext, int, name, oid, seq, tag, time, tlv, uri};
use crate::mutate::Random;
use crate::scene::{CN, DAY, Place, typed_name};

/// Flips a bit of the last octets, which are the signature's.
fn flip(der: &mut [u8], random: &mut Random) {
    let at = der.len() - 1 - random.below(60);
    der[at] ^= 1 << random.below(8);
}

/// Flips a bit anywhere but in the header.
fn flip_anywhere(der: &mut [u8], random: &mut Random) {
    let at = 4 + random.below(der.len() - 4);
    der[at] ^= 1 << random.below(8);
}

fn utc(text: &str) -> Vec<u8> {
    tlv(tag::UTC_TIME, text)
}

fn generalized(text: &str) -> Vec<u8> {
    tlv(tag::GENERALIZED_TIME, text)
}

fn dates() -> Vec<Row> {
    let past = || time(NOW.minus(DAY));
    let future = || time(NOW.plus(DAY));
    let from = |text: Vec<u8>| seq(&[text, time(NOW.plus(DAY))]);
    let until = |text: Vec<u8>| seq(&[time(NOW.minus(DAY)), text]);
    let mut rows: Vec<Row> = Vec::new();
    let periods: [(&str, Vec<u8>); 16] = [
        ("in its last second", seq(&[past(), time(NOW)])),
        ("expired a second ago", seq(&[past(), time(NOW.minus(1))])),
        ("in its first second", seq(&[time(NOW), future()])),
        ("valid in a second", seq(&[time(NOW.plus(1)), future()])),
        ("valid for this second", seq(&[time(NOW), time(NOW)])),
        ("with its dates reversed", seq(&[future(), past()])),
        ("without an end", until(generalized("99991231235959Z"))),
        ("with GeneralizedTime before 2050", until(generalized("20400101000000Z"))),
        ("with UTCTime of 1950", from(utc("500101000000Z"))),
        ("with UTCTime of 2049", until(utc("491231235959Z"))),
        ("with a time without seconds", until(utc("4001010000Z"))),
        ("with a time zone", until(utc("400101000000+0100"))),
        ("with fractions of a second", until(generalized("20400101000000.5Z"))),
        ("with a time that is no date", until(utc("400231000000Z"))),
        ("with a leap second", until(utc("401231235960Z"))),
        ("with an empty time", until(utc(""))),
    ];
    for (what, period) in periods {
        let (leaf, ca) = (period.clone(), period);
        rows.push(row(format!("leaf {what}"), move |s| s.leaf.validity = leaf.clone()));
        rows.push(row(format!("CA {what}"), move |s| s.ca().validity = ca.clone()));
    }
    rows.push(row("anchor expired", |s| s.root.valid(NOW.minus(9), NOW.minus(1))));
    rows.push(row("anchor not yet valid", |s| s.root.valid(NOW.plus(1), NOW.plus(9))));
    rows.push(row("leaf outlives its CA", |s| s.leaf.valid(NOW, NOW.plus(20_000 * DAY))));
    rows
}

fn signatures() -> Vec<Row> {
    let mut rows = vec![
        row("a bit of the leaf's signature", |s| s.edit = Some((Place::Leaf, |der, random| flip(der, random)))),
        row("a bit of a CA's signature", |s| s.edit = Some((Place::Ica, |der, random| flip(der, random)))),
        row("a bit of the leaf", |s| s.edit = Some((Place::Leaf, |der, random| flip_anywhere(der, random)))),
        row("a bit of a CA", |s| s.edit = Some((Place::Ica, |der, random| flip_anywhere(der, random)))),
        row("leaf forged", |s| s.leaf.forged = true),
        row("CA forged", |s| s.ca().forged = true),
        row("anchor forged", |s| s.root.forged = true),
        row("leaf signed by another key", |s| s.ica.spki = s.spare(0).key().spki()),
        row("CA signed by another key", |s| {
            let other = s.spare(0).key().spki();
            match s.upper.last_mut() {
                Some(above) => above.spki = other,
                None => s.root.spki = other,
            }
        }),
        row("anchor of another key", |s| s.root.spki = s.spare(1).key().spki()),
        row("leaf signed by itself", |s| s.ica_key = s.leaf_key),
        row("trailing element in the leaf", |s| s.leaf.trailer = int(1)),
        row("trailing octet after the leaf", |s| s.edit = Some((Place::Leaf, |der, _| der.push(0)))),
        row("leaf truncated", |s| s.edit = Some((Place::Leaf, |der, _| der.truncate(der.len() - 1)))),
    ];
    let null = || tlv(tag::NULL, []);
    let algorithms: [(&str, Vec<u8>); 6] = [
        ("SHA-1 with RSA", seq(&[oid("1.2.840.113549.1.1.5"), null()])),
        ("MD5 with RSA", seq(&[oid("1.2.840.113549.1.1.4"), null()])),
        ("ECDSA with SHA-1", seq(&[oid("1.2.840.10045.4.1")])),
        ("ECDSA with SHA-256 and NULL", seq(&[oid("1.2.840.10045.4.3.2"), null()])),
        ("Ed25519 and NULL", seq(&[oid("1.3.101.112"), null()])),
        ("an unknown algorithm", seq(&[oid("1.2.3")])),
    ];
    for (what, algorithm) in algorithms {
        let both = algorithm.clone();
        rows.push(row(format!("leaf said to be signed by {what}"), move |s| {
            (s.leaf.inner_algorithm, s.leaf.outer_algorithm) = (Some(both.clone()), Some(both.clone()));
        }));
        let outer = algorithm.clone();
        rows.push(row(format!("leaf with {what} outside only"), move |s| s.leaf.outer_algorithm = Some(outer.clone())));
        rows.push(row(format!("CA with {what} inside only"), move |s| {
            s.ca().inner_algorithm = Some(algorithm.clone())
        }));
    }
    rows
}

fn keys() -> Vec<Row> {
    let ec = |curve: &str, length: usize| {
        seq(&[seq(&[oid("1.2.840.10045.2.1"), oid(curve)]), bits(&[&[4_u8][..], &vec![7; length - 1]].concat())])
    };
    let (not_a_point, weak_curve, unknown) =
        (ec("1.2.840.10045.3.1.7", 65), ec("1.2.840.10045.3.1.1", 49), seq(&[seq(&[oid("1.2.3.9")]), bits(&[1; 32])]));
    vec![
        row("leaf of RSA-512", |s| s.leaf.spki = rsa_spki(512)),
        row("leaf of RSA-1024", |s| s.leaf.spki = rsa_spki(1024)),
        row("leaf of RSA-2040", |s| s.leaf.spki = rsa_spki(2040)),
        row("leaf of RSA-2048", |s| s.leaf.spki = rsa_spki(2048)),
        row("leaf of RSA-4096", |s| s.leaf.spki = rsa_spki(4096)),
        row("CA of RSA-1024", |s| s.ica.spki = rsa_spki(1024)),
        row("leaf's key off its curve", move |s| s.leaf.spki = not_a_point.clone()),
        row("leaf's key on P-192", move |s| s.leaf.spki = weak_curve.clone()),
        row("leaf's key of an unknown type", move |s| s.leaf.spki = unknown.clone()),
        row("leaf's key empty", |s| s.leaf.spki = seq(&[seq(&[oid("1.3.101.112")]), bits(&[])])),
    ]
}

fn fields() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let serials: [(&str, Vec<u8>); 8] = [
        ("zero", vec![0]),
        ("one", vec![1]),
        ("negative", vec![0xff, 1]),
        ("empty", vec![]),
        ("padded", vec![0, 1]),
        ("of 20 octets", vec![0x7f; 20]),
        ("of 20 octets and a sign", [&[0][..], &[0xff; 20]].concat()),
        ("of 21 octets", vec![0x7f; 21]),
    ];
    for (what, serial) in serials {
        let (leaf, ca) = (serial.clone(), serial);
        rows.push(row(format!("leaf's serial number {what}"), move |s| s.leaf.serial = leaf.clone()));
        rows.push(row(format!("CA's serial number {what}"), move |s| s.ca().serial = ca.clone()));
    }
    let unknown = |critical| ext::any("1.2.3.4", critical, vec![5, 0]);
    let access = || ("1.3.6.1.5.5.7.1.1", seq(&[seq(&[oid("1.3.6.1.5.5.7.48.2"), uri("http://a.example/")])]));
    rows.extend([
        row("version 1 leaf without extensions", |s| (s.leaf.version, s.leaf.extensions) = (vec![], vec![])),
        row("version 1 leaf with extensions", |s| s.leaf.version = vec![]),
        row("version 2 leaf with extensions", |s| s.leaf.version = context(0, int(1))),
        row("version 4 leaf", |s| s.leaf.version = context(0, int(3))),
        row("version 1 leaf, encoded", |s| s.leaf.version = context(0, int(0))),
        row("version 1 CA without extensions", |s| (s.ica.version, s.ica.extensions) = (vec![], vec![])),
        row("version 1 CA with extensions", |s| s.ca().version = vec![]),
        row("version 3 leaf without extensions", |s| s.leaf.extensions = vec![]),
        row("unique identifiers in the leaf", |s| s.leaf.unique_ids = tlv(0x81, [0, 1])),
        row("unknown critical extension in the leaf", move |s| s.leaf.set(unknown(true))),
        row("unknown critical extension in a CA", move |s| s.ca().set(unknown(true))),
        row("unknown critical extension in the anchor", move |s| s.root.set(unknown(true))),
        row("unknown extension in the leaf", move |s| s.leaf.set(unknown(false))),
        row("unknown extension in a CA", move |s| s.ca().set(unknown(false))),
        row("critical authorityInfoAccess", move |s| s.leaf.set(ext::any(access().0, true, access().1))),
        row("an extension of the leaf twice", |s| {
            let again = s.leaf.extensions[0].clone();
            s.leaf.extensions.push(again);
        }),
        row("an extension of a CA twice", |s| {
            let ca = s.ca();
            let again = ca.extensions[0].clone();
            ca.extensions.push(again);
        }),
        row("an unknown extension of the leaf twice", move |s| {
            s.leaf.extensions.extend([unknown(false), unknown(false)]);
        }),
        row("critical subjectAltName", |s| {
            let (oid, _, value) = ext::names(&[dns("client.example")]);
            s.leaf.set((oid, true, value));
        }),
        row("empty subject, names critical", |s| {
            s.leaf.subject = name("");
            let (oid, _, value) = ext::names(&[dns("client.example")]);
            s.leaf.set((oid, true, value));
        }),
        row("empty subject, names not critical", |s| s.leaf.subject = name("")),
        row("empty subject, no names", |s| {
            s.leaf.subject = name("");
            s.leaf.remove(ext::SUBJECT_ALT_NAME);
        }),
        row("no subjectAltName", |s| s.leaf.remove(ext::SUBJECT_ALT_NAME)),
        row("empty subjectAltName", |s| s.leaf.set(ext::names(&[]))),
        row("empty issuer in the leaf", |s| s.leaf.issuer = name("")),
        row("CA of an empty name", |s| {
            s.ica.subject = name("");
            s.leaf.issuer = name("");
        }),
        row("NUL in the subject", |s| s.leaf.subject = typed_name(&[(CN, tag::UTF8_STRING, b"a\0b")])),
        row("PrintableString with other characters", |s| s.leaf.subject = typed_name(&[(CN, 0x13, b"a@b")])),
        row("UTF8String that is not UTF-8", |s| s.leaf.subject = typed_name(&[(CN, tag::UTF8_STRING, &[0xff, 0xfe])])),
        row("BMPString of odd length", |s| s.leaf.subject = typed_name(&[(CN, tag::BMP_STRING, &[0, 65, 0])])),
        row("IA5String beyond ASCII", |s| s.leaf.subject = typed_name(&[(CN, 0x16, &[0xe4])])),
        row("TeletexString in the subject", |s| s.leaf.subject = typed_name(&[(CN, 0x14, &[0xe4])])),
        row("empty value in the subject", |s| s.leaf.subject = typed_name(&[(CN, tag::UTF8_STRING, b"")])),
        row("NUL in a DNS name", |s| s.leaf.set(ext::names(&[dns("a\0.example")]))),
        row("DNS name beyond ASCII", |s| s.leaf.set(ext::names(&[tlv(0x82, "ä.example")]))),
        row("iPAddress of five octets", |s| s.leaf.set(ext::names(&[tlv(0x87, [1, 2, 3, 4, 5])]))),
        row("names that are no names", |s| s.leaf.set(ext::names(&[int(1)]))),
    ]);
    rows
}

pub fn rows() -> Vec<Row> {
    [dates(), signatures(), keys(), fields()].into_iter().flatten().collect()
}
