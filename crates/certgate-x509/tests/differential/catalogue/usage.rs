//! What a certificate may be used for: basicConstraints, path lengths, keyUsage, extendedKeyUsage.

use super::{Row, row};
use crate::der::{Extension, dns, ext, int, oid, seq, tag, tlv, yes};

fn not_critical((oid, _, value): Extension) -> Extension {
    (oid, false, value)
}

fn critical((oid, _, value): Extension) -> Extension {
    (oid, true, value)
}

fn basic_constraints() -> Vec<Row> {
    vec![
        row("CA without basicConstraints", |s| s.ca().remove(ext::BASIC_CONSTRAINTS)),
        row("CA without cA", |s| s.ca().set(ext::not_ca())),
        row("CA with cA FALSE encoded", |s| {
            s.ca().set(ext::any(ext::BASIC_CONSTRAINTS, true, seq(&[tlv(tag::BOOLEAN, [0])])));
        }),
        row("CA with cA of another octet", |s| {
            s.ca().set(ext::any(ext::BASIC_CONSTRAINTS, true, seq(&[tlv(tag::BOOLEAN, [1])])));
        }),
        row("basicConstraints not critical", |s| s.ca().set(not_critical(ext::ca(None)))),
        row("basicConstraints malformed", |s| s.ca().set(ext::any(ext::BASIC_CONSTRAINTS, true, int(1)))),
        row("path length without cA", |s| s.ca().set(ext::any(ext::BASIC_CONSTRAINTS, true, seq(&[int(0)])))),
        row("path length negative", |s| {
            s.ca().set(ext::any(ext::BASIC_CONSTRAINTS, true, seq(&[yes(), tlv(tag::INTEGER, [0xff])])));
        }),
        row("path length 0 right above the leaf", |s| s.ica.set(ext::ca(Some(0)))),
        row("path length one too short", |s| {
            let below = u8::try_from(s.upper.len()).unwrap();
            match s.upper.first_mut() {
                Some(top) => top.set(ext::ca(Some(below - 1))),
                None => s.ica.set(ext::not_ca()),
            }
        }),
        row("path length just right", |s| {
            let below = u8::try_from(s.upper.len()).unwrap();
            match s.upper.first_mut() {
                Some(top) => top.set(ext::ca(Some(below))),
                None => s.ica.set(ext::ca(Some(0))),
            }
        }),
        row("path length huge", |s| {
            s.ca().set(ext::any(ext::BASIC_CONSTRAINTS, true, seq(&[yes(), tlv(tag::INTEGER, [0x7f; 9])])));
        }),
        row("path length of the anchor just right", |s| {
            let below = u8::try_from(s.upper.len() + 1).unwrap();
            s.root.set(ext::ca(Some(below)));
        }),
        row("path length of the anchor too short", |s| s.root.set(ext::ca(Some(0)))),
        row("path length 0 and a self-issued CA below", |s| {
            s.ica.set(ext::ca(Some(0)));
            s.roll_over();
        }),
        row("anchor without cA", |s| s.root.set(ext::not_ca())),
        row("anchor without basicConstraints", |s| s.root.remove(ext::BASIC_CONSTRAINTS)),
        row("version 1 anchor", |s| (s.root.version, s.root.extensions) = (vec![], vec![])),
        row("CA as leaf", |s| s.leaf.set(ext::ca(None))),
        row("CA as leaf, with a subject key", |s| {
            let key = s.leaf_key.identifier();
            s.leaf.set(ext::ca(None));
            s.leaf.set(ext::key_usage(&[0]));
            s.leaf.set(ext::subject_key(&key));
        }),
        row("leaf that is explicitly none of a CA", |s| s.leaf.set(ext::not_ca())),
        row("leaf that is none of a CA, with a path length", |s| {
            s.leaf.set(ext::any(ext::BASIC_CONSTRAINTS, true, seq(&[int(0)])));
        }),
    ]
}

fn key_usage() -> Vec<Row> {
    let raw = |value: Vec<u8>| ext::any(ext::KEY_USAGE, true, value);
    vec![
        row("CA without keyCertSign", |s| s.ca().set(ext::key_usage(&[0, 6]))),
        row("CA without keyUsage", |s| s.ca().remove(ext::KEY_USAGE)),
        row("CA's keyUsage not critical", |s| s.ca().set(not_critical(ext::key_usage(&[5, 6])))),
        row("CA with keyCertSign alone", |s| s.ca().set(ext::key_usage(&[5]))),
        row("CA with an empty keyUsage", move |s| s.ca().set(raw(tlv(tag::BIT_STRING, [0])))),
        row("CA's keyUsage malformed", move |s| s.ca().set(raw(int(1)))),
        row("CA's keyUsage padded", move |s| s.ca().set(raw(tlv(tag::BIT_STRING, [0, 0x06])))),
        row("anchor without keyCertSign", |s| s.root.set(ext::key_usage(&[0]))),
        row("leaf for signatures", |s| s.leaf.set(ext::key_usage(&[0]))),
        row("leaf for key agreement", |s| s.leaf.set(ext::key_usage(&[4]))),
        row("leaf for key encipherment", |s| s.leaf.set(ext::key_usage(&[2]))),
        row("leaf for non-repudiation", |s| s.leaf.set(ext::key_usage(&[1]))),
        row("leaf with an empty keyUsage", move |s| s.leaf.set(raw(tlv(tag::BIT_STRING, [0])))),
        row("leaf with keyCertSign", |s| s.leaf.set(ext::key_usage(&[0, 5]))),
        row("leaf with keyCertSign alone", |s| s.leaf.set(ext::key_usage(&[5]))),
        row("leaf with cRLSign", |s| s.leaf.set(ext::key_usage(&[0, 6]))),
    ]
}

fn extended_key_usage() -> Vec<Row> {
    const MAIL: &str = "1.3.6.1.5.5.7.3.4";
    const OCSP: &str = "1.3.6.1.5.5.7.3.9";
    let lists: [(&str, &[&str]); 8] = [
        ("clientAuth", &[ext::CLIENT_AUTH]),
        ("serverAuth", &[ext::SERVER_AUTH]),
        ("both", &[ext::SERVER_AUTH, ext::CLIENT_AUTH]),
        ("anyExtendedKeyUsage", &[ext::ANY_PURPOSE]),
        ("clientAuth and any", &[ext::CLIENT_AUTH, ext::ANY_PURPOSE]),
        ("emailProtection", &[MAIL]),
        ("OCSPSigning", &[OCSP]),
        ("an unknown purpose", &["1.2.3.4"]),
    ];
    let mut rows = vec![
        row("leaf without extendedKeyUsage", |s| s.leaf.remove(ext::EXTENDED_KEY_USAGE)),
        row("leaf with an empty extendedKeyUsage", |s| s.leaf.set(ext::purposes(&[]))),
        row("CA with an empty extendedKeyUsage", |s| s.ca().set(ext::purposes(&[]))),
        row("malformed extendedKeyUsage", |s| s.leaf.set(ext::any(ext::EXTENDED_KEY_USAGE, false, int(1)))),
        row("anchor for serverAuth", |s| s.root.set(ext::purposes(&[ext::SERVER_AUTH]))),
        row("leaf with critical application policies", |s| {
            let policies = seq(&[seq(&[oid(ext::CLIENT_AUTH)])]);
            s.leaf.set(ext::any("1.3.6.1.4.1.311.21.10", true, policies));
        }),
        row("CA with application policies for serverAuth", |s| {
            let policies = seq(&[seq(&[oid(ext::SERVER_AUTH)])]);
            s.ca().set(ext::any("1.3.6.1.4.1.311.21.10", false, policies));
        }),
        row("name constraints in the leaf", |s| s.leaf.set(ext::constraints(&[dns("example")], &[]))),
    ];
    for (what, list) in lists {
        rows.push(row(format!("leaf for {what}"), move |s| s.leaf.set(ext::purposes(list))));
        rows.push(row(format!("leaf for {what}, critical"), move |s| s.leaf.set(critical(ext::purposes(list)))));
        rows.push(row(format!("CA for {what}"), move |s| s.ca().set(ext::purposes(list))));
        rows.push(row(format!("CA for {what}, critical"), move |s| s.ca().set(critical(ext::purposes(list)))));
    }
    rows
}

pub fn rows() -> Vec<Row> {
    [basic_constraints(), key_usage(), extended_key_usage()].into_iter().flatten().collect()
}
