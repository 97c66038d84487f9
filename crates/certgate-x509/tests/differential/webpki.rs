//! The engine beside rustls-webpki: the same chains, good and with one or two things wrong, judged by both.
//!
//! Where the two differ for one change, the change is listed with the reason. A listed difference that is none any
//! more fails the test; so does one that is not listed. With two changes at once, only listed ones may differ.

use certgate_x509::{Certificate, KeyPurpose, NoTrace, PathParameters, Pool, UsageRule, find_path};
use std::sync::Arc;
use std::time::Duration;

use crate::chain::{Chain, bmp_name, critical_access, critical_names, rsa_spki};
use crate::support::{
    self, NOW, SigningKey, context, directory, dns, email, ext, int, ip, name, oid, seq, tlv, upn, uri,
};
use rustls_pki_types::{CertificateDer, UnixTime};

/// A change to the good chain.
type Change = (&'static str, fn(&mut Chain));

/// Both agree on these.
#[rustfmt::skip]
const AGREED: &[Change] = &[
    ("nothing", |_| ()),
    ("leaf expired", |c| c.leaf.valid(NOW.minus(9), NOW.minus(1))),
    ("leaf not yet valid", |c| c.leaf.valid(NOW.plus(1), NOW.plus(9))),
    ("leaf at its last second", |c| c.leaf.valid(NOW.minus(9), NOW)),
    ("intermediate expired", |c| c.ica.valid(NOW.minus(9), NOW.minus(1))),
    ("anchor expired", |c| c.root.valid(NOW.minus(9), NOW.minus(1))),
    ("leaf forged", |c| c.leaf.forged = true),
    ("intermediate forged", |c| c.ica.forged = true),
    ("leaf by another key", |c| c.ica.spki = SigningKey::ed25519().spki()),
    ("other issuer name", |c| c.leaf.issuer = name("CN=Other")),
    ("anchor of another name", |c| c.root.subject = name("CN=Other")),
    ("anchor of another key", |c| c.root.spki = SigningKey::ed25519().spki()),
    ("unknown critical extension in the leaf", |c| c.leaf.set(ext::any("1.2.3", true, vec![]))),
    ("unknown critical extension in the intermediate", |c| c.ica.set(ext::any("1.2.3", true, vec![]))),
    ("unknown extension", |c| c.leaf.set(ext::any("1.2.3", false, vec![]))),
    ("extension twice", |c| { let again = c.leaf.extensions[0].clone(); c.leaf.extensions.push(again) }),
    ("critical authorityInfoAccess", |c| c.leaf.set(critical_access())),
    ("v1 leaf", |c| (c.leaf.version, c.leaf.extensions) = (vec![], vec![])),
    ("CA as leaf", |c| c.leaf.set(ext::ca(None))),
    ("intermediate is no CA", |c| c.ica.set(ext::not_ca())),
    ("intermediate without basicConstraints", |c| c.ica.remove(ext::BASIC_CONSTRAINTS)),
    ("path length 0", |c| c.ica.set(ext::ca(Some(0)))),
    ("no keyUsage", |c| c.ica.remove(ext::KEY_USAGE)),
    ("server only", |c| c.leaf.set(ext::purposes(&[ext::SERVER_AUTH]))),
    ("intermediate for servers only", |c| c.ica.set(ext::purposes(&[ext::SERVER_AUTH]))),
    ("intermediate for clients", |c| c.ica.set(ext::purposes(&[ext::CLIENT_AUTH]))),
    ("anyExtendedKeyUsage", |c| c.leaf.set(ext::purposes(&[ext::ANY_PURPOSE]))),
    ("no extendedKeyUsage", |c| c.leaf.remove(ext::EXTENDED_KEY_USAGE)),
    ("trailing element", |c| c.leaf.trailer = int(1)),
    ("algorithms differ", |c| c.leaf.outer_algorithm = Some(seq(&[oid("1.2.840.10045.4.3.2")]))),
    ("DNS permitted", |c| c.ica.set(ext::constraints(&[dns("example")], &[]))),
    ("DNS not permitted", |c| c.ica.set(ext::constraints(&[dns("other.example")], &[]))),
    ("DNS excluded", |c| c.ica.set(ext::constraints(&[], &[dns("client.example")]))),
    ("address not permitted", |c| { c.leaf.set(ext::names(&[ip(&[192, 0, 3, 1])])); c.ica.set(ext::constraints(&[ip(&[192, 0, 2, 0, 255, 255, 255, 0])], &[])) }),
    ("address permitted", |c| { c.leaf.set(ext::names(&[ip(&[192, 0, 2, 1])])); c.ica.set(ext::constraints(&[ip(&[192, 0, 2, 0, 255, 255, 255, 0])], &[])) }),
    ("constraints of the anchor", |c| c.root.set(ext::constraints(&[dns("other.example")], &[]))),
    ("no names", |c| c.leaf.remove(ext::SUBJECT_ALT_NAME)),
    ("RSA", |c| c.set_ica_key(SigningKey::rsa())),
    ("P-256", |c| c.set_ica_key(SigningKey::p256())),
    ("dates reversed", |c| c.ica.valid(NOW.plus(1), NOW.minus(1))),
    ("empty subject, names critical", |c| { c.leaf.subject = name(""); c.leaf.set(critical_names()) }),
    ("explicit policy wanted", |c| c.ica.set(ext::policy_constraints(Some(0), None))),
    ("wildcard over an excluded host", |c| { c.leaf.set(ext::names(&[dns("*.a.example")])); c.ica.set(ext::constraints(&[], &[dns("x.a.example")])) }),
    ("subtrees for a registeredID", |c| { c.leaf.set(ext::names(&[support::implicit(8, [42])])); c.ica.set(ext::constraints(&[], &[support::implicit(8, [43])])) }),
    ("leading period in a DNS subtree", |c| c.ica.set(ext::constraints(&[dns(".example")], &[]))),
    ("v1 intermediate", |c| (c.ica.version, c.ica.extensions) = (vec![], vec![])),
    ("x400Address", |c| c.leaf.set(ext::names(&[context(3, [])]))),
    ("self-issued leaf", |c| { let issuer = name("CN=ICA,O=Contoso"); c.leaf.subject = issuer.clone(); c.leaf.issuer = issuer }),
    ("policies", |c| { c.ica.set(ext::policies(&["1.2.3"])); c.leaf.set(ext::policies(&["1.2.3"])) }),
];

/// They differ on these, for the reason given.
#[rustfmt::skip]
const DIFFERENT: &[(&str, fn(&mut Chain), &str)] = &[
    // webpki refuses what is right.
    ("anchor's name in other case and type", |c| c.root.subject = bmp_name("rOOT"), "webpki compares names by octets"),
    ("DN permitted", |c| c.ica.set(ext::constraints(&[directory("O=contoso")], &[])), "webpki has no DN constraints"),
    ("mail permitted", |c| { c.leaf.set(ext::names(&[email("a@b.example")])); c.ica.set(ext::constraints(&[email("b.example")], &[])) }, "webpki has no mail constraints"),
    ("URI permitted", |c| { c.leaf.set(ext::names(&[uri("spiffe://a.example/x")])); c.ica.set(ext::constraints(&[uri("a.example")], &[])) }, "webpki has no URI constraints"),
    ("UPN permitted", |c| { c.leaf.set(ext::names(&[upn("a@b.example")])); c.ica.set(ext::constraints(&[upn("@b.example")], &[])) }, "webpki has no otherName constraints"),
    ("policy constraints", |c| c.ica.set(ext::policy_constraints(None, Some(0))), "webpki does not process policies"),
    ("critical policies", |c| { let (oid, _, value) = ext::policies(&["1.2.3"]); c.leaf.set((oid, true, value)) }, "webpki does not process policies"),
    ("inhibitAnyPolicy", |c| c.ica.set(ext::inhibit_any_policy(0)), "webpki does not process policies"),
    // webpki accepts what is wrong.
    ("no keyCertSign", |c| c.ica.set(ext::key_usage(&[0, 6])), "webpki does not read keyUsage"),
    ("keyCertSign without cA", |c| c.leaf.set(ext::key_usage(&[0, 5])), "webpki does not read keyUsage"),
    ("leaf of RSA-1024", |c| c.leaf.spki = rsa_spki(1024), "webpki does not look at the leaf's key"),
    ("serial zero", |c| c.leaf.serial = vec![0], "webpki takes a serial of zero"),
    ("serial too long", |c| c.leaf.serial = vec![1; 21], "webpki does not look at the form of serials"),
    ("padded serial", |c| c.leaf.serial = vec![0, 1], "webpki does not look at the form of serials"),
    ("NUL in the subject", |c| c.leaf.subject = seq(&[tlv(0x31, seq(&[oid("2.5.4.3"), tlv(0x0c, b"a\0b")]))]), "webpki does not read subjects"),
    ("no name at all", |c| { c.leaf.subject = name(""); c.leaf.remove(ext::SUBJECT_ALT_NAME) }, "RFC 5280 4.1.2.6 wants a name"),
    ("empty subject, names not critical", |c| c.leaf.subject = name(""), "RFC 5280 4.1.2.6 wants subjectAltName critical"),
    ("name constraints in the leaf", |c| c.leaf.set(ext::constraints(&[dns("a")], &[])), "RFC 5280 4.2.1.10: CA certificates only"),
];

/// Changes of [`AGREED`] that together make a difference.
const TOGETHER: &[(&str, &str, &str)] = &[
    ("explicit policy wanted", "policies", "webpki does not process policies"),
    ("empty subject, names critical", "x400Address", "the names of the second are not critical: RFC 5280 4.1.2.6"),
];

/// The verdict on a leaf.
pub fn verify(anchors: &[Vec<u8>], intermediates: &[Vec<u8>], leaf: &[u8]) -> Result<(), String> {
    let say = |err: webpki::Error| format!("{err:?}");
    let certificates = |ders: &[Vec<u8>]| -> Vec<CertificateDer<'static>> {
        ders.iter().map(|der| CertificateDer::from(der.clone())).collect()
    };
    let (anchors, intermediates) = (certificates(anchors), certificates(intermediates));
    let anchors: Vec<_> =
        anchors.iter().map(webpki::anchor_from_trusted_cert).collect::<Result<_, _>>().map_err(say)?;
    let leaf = CertificateDer::from(leaf);
    let leaf = webpki::EndEntityCert::try_from(&leaf).map_err(say)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(NOW.as_secs()).unwrap()));
    let usage = webpki::KeyUsage::client_auth();
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let verified = leaf.verify_for_usage(algorithms, &anchors, &intermediates, now, usage, None, None);
    verified.map(|_| ()).map_err(say)
}

fn theirs([leaf, ica, root]: &[Vec<u8>; 3]) -> Result<(), String> {
    verify(std::slice::from_ref(root), std::slice::from_ref(ica), leaf)
}

fn ours(chain: &[Vec<u8>; 3]) -> Result<(), String> {
    let parse = |der: &Vec<u8>| Certificate::from_der(der.clone()).map(Arc::new).map_err(|err| err.to_string());
    let [leaf, ica, root] = chain.each_ref().map(parse);
    let parameters =
        PathParameters { usage: UsageRule::Permitted(KeyPurpose::ClientAuth), ..PathParameters::default() };
    let pool = Pool::new([root?], []);
    let found = find_path(&leaf?, &[ica?], &pool, &parameters, NOW, &mut NoTrace, |_, _| Ok(()));
    found.map(drop).map_err(|failure| failure.explain())
}

#[test]
fn one_change() {
    let mut problems = Vec::new();
    let agreed = AGREED.iter().map(|(row, change)| (row, change, None));
    for (row, change, reason) in agreed.chain(DIFFERENT.iter().map(|(row, change, why)| (row, change, Some(why)))) {
        let mut chain = Chain::new();
        change(&mut chain);
        let der = chain.der();
        let (theirs, ours) = (theirs(&der), ours(&der));
        if (theirs.is_ok() == ours.is_ok()) != reason.is_none() {
            problems.push(format!("{row} (listed: {reason:?}): webpki {theirs:?}, certgate {ours:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn two_changes() {
    let mut problems = Vec::new();
    let mut compared = 0;
    for (at, (first, one)) in AGREED.iter().enumerate() {
        for (second, other) in AGREED.iter().skip(at + 1) {
            let mut chain = Chain::new();
            one(&mut chain);
            other(&mut chain);
            let der = chain.der();
            let (theirs, ours) = (theirs(&der), ours(&der));
            compared += 1;
            let listed = TOGETHER.iter().find(|(a, b, _)| (a, b) == (first, second)).map(|(.., why)| why);
            if (theirs.is_ok() == ours.is_ok()) != listed.is_none() {
                problems.push(format!("{first} and {second} ({listed:?}): webpki {theirs:?}, certgate {ours:?}"));
            }
        }
    }
    assert!(compared > 800);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
