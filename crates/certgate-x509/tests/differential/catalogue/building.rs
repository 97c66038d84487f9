//! Which certificate issued which: names, key identifiers, cross-signing, decoys, loops, anchors.

use super::{Row, row};
use crate::der::{NOW, ext, implicit, name, oid, seq, tag, tlv};
use crate::scene::{C, CN, O, Scene, typed_name};

/// Gives the intermediate a subject and the leaf an issuer.
fn named(ica: &[(&str, u8, &[u8])], issuer: &[(&str, u8, &[u8])]) -> impl Fn(&mut Scene) + Send + Sync + use<> {
    let (ica, issuer) = (typed_name(ica), typed_name(issuer));
    move |s| (s.ica.subject, s.leaf.issuer) = (ica.clone(), issuer.clone())
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn utf32(text: &str) -> Vec<u8> {
    text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect()
}

#[rustfmt::skip]
fn names() -> Vec<Row> {
    const U: u8 = tag::UTF8_STRING;
    const P: u8 = tag::PRINTABLE_STRING;
    let mut rows = vec![
        row("leaf of another issuer", |s| s.leaf.issuer = name("CN=Other")),
        row("CA of another issuer", |s| s.ica.issuer = name("CN=Other")),
        row("anchor of another name", |s| s.root.subject = name("CN=Other")),
    ];
    let pairs: Vec<(&str, Vec<u8>, u8, Vec<u8>, u8)> = vec![
        ("the same", b"Issuing CA".into(), U, b"Issuing CA".into(), U),
        ("in other case", b"Issuing CA".into(), U, b"iSSUING ca".into(), U),
        ("in another string type", b"Issuing CA".into(), U, b"Issuing CA".into(), P),
        ("in other case and type", b"Issuing CA".into(), P, b"ISSUING CA".into(), U),
        ("with inner white space doubled", b"Issuing CA".into(), U, b"Issuing  CA".into(), U),
        ("with white space around", b"Issuing CA".into(), U, b" Issuing CA ".into(), U),
        ("with a tab for a blank", b"Issuing CA".into(), U, b"Issuing\tCA".into(), U),
        ("without the blank", b"Issuing CA".into(), U, b"IssuingCA".into(), U),
        ("in BMPString", b"Issuing CA".into(), U, utf16("Issuing CA"), tag::BMP_STRING),
        ("in BMPString and other case", b"Issuing CA".into(), U, utf16("ISSUING CA"), tag::BMP_STRING),
        ("in UniversalString", b"Issuing CA".into(), U, utf32("Issuing CA"), tag::UNIVERSAL_STRING),
        ("in TeletexString", b"Issuing CA".into(), U, b"Issuing CA".into(), tag::TELETEX_STRING),
        ("in IA5String", b"Issuing CA".into(), U, b"Issuing CA".into(), tag::IA5_STRING),
        ("of umlauts", "Prüf".into(), U, "Prüf".into(), U),
        ("of umlauts in other case", "Prüf Ä".into(), U, "prüf ä".into(), U),
        ("of umlauts decomposed", "Prüf".into(), U, "Pru\u{308}f".into(), U),
        ("of umlauts in BMPString", "Prüf".into(), U, utf16("Prüf"), tag::BMP_STRING),
        ("of umlauts in TeletexString", "Prüf".into(), U, b"Pr\xfcf".into(), tag::TELETEX_STRING),
        ("with a soft hyphen", b"Issuing CA".into(), U, "Issuing\u{ad} CA".into(), U),
        ("with a no-break space", b"Issuing CA".into(), U, "Issuing\u{a0}CA".into(), U),
        ("longer by one", b"Issuing CA".into(), U, b"Issuing CA1".into(), U),
        ("shorter by one", b"Issuing CA1".into(), U, b"Issuing CA".into(), U),
    ];
    for (what, ica, ica_type, issuer, issuer_type) in pairs {
        rows.push(row(format!("issuer's name {what}"), named(&[(O, U, b"Contoso"), (CN, ica_type, &ica)], &[(O, U, b"Contoso"), (CN, issuer_type, &issuer)])));
    }
    rows.extend([
        row("issuer's name with its RDNs swapped", named(&[(O, U, b"a"), (CN, U, b"b")], &[(CN, U, b"b"), (O, U, b"a")])),
        row("issuer's name with an RDN less", named(&[(O, U, b"a"), (CN, U, b"b")], &[(O, U, b"a")])),
        row("issuer's name with an RDN more", named(&[(O, U, b"a")], &[(O, U, b"a"), (CN, U, b"b")])),
        row("issuer's name with another attribute", named(&[(O, U, b"a")], &[(CN, U, b"a")])),
        row("issuer's country in lower case", named(&[(C, P, b"DE"), (CN, U, b"b")], &[(C, P, b"de"), (CN, U, b"b")])),
        row("issuer's multi-valued RDN in another order", |s| {
            let a = seq(&[oid(CN), tlv(U, b"a")]);
            let b = seq(&[oid(O), tlv(U, b"b")]);
            s.ica.subject = seq(&[tlv(tag::SET, [a.clone(), b.clone()].concat())]);
            s.leaf.issuer = seq(&[tlv(tag::SET, [b, a].concat())]);
        }),
    ]);
    rows
}

fn key_identifiers() -> Vec<Row> {
    let with_issuer = |s: &mut Scene, serial: Vec<u8>| {
        let issuer = tlv(0xa1, tlv(0xa4, &s.ica.issuer));
        let value = seq(&[implicit(0, s.ica_key.identifier()), issuer, implicit(2, serial)]);
        s.leaf.set(ext::any(ext::AUTHORITY_KEY_IDENTIFIER, false, value));
    };
    vec![
        row("leaf with another authority key", |s| s.leaf.set(ext::authority_key(&[9; 20]))),
        row("CA with another authority key", |s| s.ca().set(ext::authority_key(&[9; 20]))),
        row("leaf without an authority key", |s| s.leaf.remove(ext::AUTHORITY_KEY_IDENTIFIER)),
        row("CA without an authority key", |s| s.ca().remove(ext::AUTHORITY_KEY_IDENTIFIER)),
        row("CA without a subject key", |s| s.ica.remove(ext::SUBJECT_KEY_IDENTIFIER)),
        row("anchor without a subject key", |s| s.root.remove(ext::SUBJECT_KEY_IDENTIFIER)),
        row("critical authority key", |s| {
            let (oid, _, value) = ext::authority_key(&s.ica_key.identifier());
            s.leaf.set((oid, true, value));
        }),
        row("authority's serial number", move |s| with_issuer(s, s.ica.serial.clone())),
        row("another authority's serial number", move |s| with_issuer(s, vec![0x55])),
        row("malformed authority key", |s| s.leaf.set(ext::any(ext::AUTHORITY_KEY_IDENTIFIER, false, vec![4, 1, 1]))),
        row("malformed subject key", |s| s.ica.set(ext::any(ext::SUBJECT_KEY_IDENTIFIER, false, vec![5, 0]))),
    ]
}

fn anchors_and_helpers() -> Vec<Row> {
    vec![
        row("no intermediate sent", |s| s.sends_ica = false),
        row("root sent too", |s| s.more.push((s.root.clone(), s.root_key))),
        row("leaf sent twice", |s| s.more.push((s.leaf.clone(), s.ica_key))),
        row("cross-signed by a stranger too", |s| {
            let (stranger, key) = s.other_root("Stranger", 0);
            s.more.push(s.cross_sign(&stranger.subject, key));
            s.more.reverse();
        }),
        row("cross-signed by another anchor only", |s| {
            let (other, key) = s.other_root("Other", 0);
            s.more.push(s.cross_sign(&other.subject, key));
            s.more_anchors.push((other, key));
            s.sends_ica = false;
        }),
        row("intermediate expired, its cross-signed twin not", |s| {
            let (other, key) = s.other_root("Other", 0);
            s.more.push(s.cross_sign(&other.subject, key));
            s.more_anchors.push((other, key));
            s.ica.valid(NOW.minus(9), NOW.minus(1));
        }),
        row("cross-signed twin expired", |s| {
            let (other, key) = s.other_root("Other", 0);
            let mut cross = s.cross_sign(&other.subject, key);
            cross.0.valid(NOW.minus(9), NOW.minus(1));
            s.more.push(cross);
            s.more_anchors.push((other, key));
        }),
        row("cross-signed twin for servers", |s| {
            let (other, key) = s.other_root("Other", 0);
            let mut cross = s.cross_sign(&other.subject, key);
            cross.0.set(ext::purposes(&[ext::SERVER_AUTH]));
            s.more.push(cross);
            s.more_anchors.push((other, key));
        }),
        row("intermediate reissued, one expired", |s| {
            let mut old = s.ica.clone();
            old.valid(NOW.minus(9), NOW.minus(1));
            old.serial = vec![0x44];
            s.more.push((old, s.ica_signer()));
        }),
        row("decoy of the issuer's name", |s| {
            let mut decoy = s.ica.clone();
            decoy.spki = s.spare(1).key().spki();
            decoy.set(ext::subject_key(&s.spare(1).identifier()));
            decoy.serial = vec![0x45];
            s.more.push((decoy, s.ica_signer()));
        }),
        row("decoy of the issuer's name and key identifier", |s| {
            let mut decoy = s.ica.clone();
            decoy.spki = s.spare(1).key().spki();
            decoy.serial = vec![0x45];
            s.more.push((decoy, s.ica_signer()));
        }),
        row("decoy anchor of the root's name", |s| {
            let (mut decoy, key) = s.other_root("x", 1);
            decoy.subject = s.root.subject.clone();
            decoy.issuer = s.root.subject.clone();
            s.more_anchors.push((decoy, key));
        }),
        row("loop of two CAs", |s| {
            let (mut other, key) = s.other_root("Loop", 2);
            other.issuer = s.ica.subject.clone();
            other.set(ext::authority_key(&s.ica_key.identifier()));
            let back = s.cross_sign(&other.subject, key);
            s.more.extend([(other, s.ica_key), back]);
        }),
        row("loop without an anchor", |s| {
            let (mut other, key) = s.other_root("Loop", 2);
            other.issuer = s.ica.subject.clone();
            other.set(ext::authority_key(&s.ica_key.identifier()));
            let back = s.cross_sign(&other.subject, key);
            s.more.extend([(other, s.ica_key), back]);
            s.sends_ica = false;
        }),
        row("self-signed leaf", |s| {
            s.leaf.issuer = s.leaf.subject.clone();
            s.ica_key = s.leaf_key;
        }),
        row("self-signed leaf as an anchor", |s| {
            s.leaf.issuer = s.leaf.subject.clone();
            s.ica_key = s.leaf_key;
            s.leaf.set(ext::authority_key(&s.leaf_key.identifier()));
            s.leaf.set(ext::subject_key(&s.leaf_key.identifier()));
            s.more_anchors.push((s.leaf.clone(), s.leaf_key));
        }),
        row("leaf as an anchor", |s| s.more_anchors.push((s.leaf.clone(), s.ica_key))),
        row("intermediate as an anchor", |s| s.more_anchors.push((s.ica.clone(), s.ica_signer()))),
        row("intermediate as the only anchor", |s| {
            (s.root, s.root_key) = (s.ica.clone(), s.ica_signer());
            s.upper.clear();
            s.upper_keys.clear();
            s.sends_ica = false;
        }),
        row("self-issued leaf", |s| {
            s.leaf.subject = s.ica.subject.clone();
            s.leaf.issuer = s.ica.subject.clone();
        }),
        row("self-issued CA with a new key", Scene::roll_over),
    ]
}

pub fn rows() -> Vec<Row> {
    [names(), key_identifiers(), anchors_and_helpers()].into_iter().flatten().collect()
}
