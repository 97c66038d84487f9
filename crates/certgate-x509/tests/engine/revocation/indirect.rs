//! Indirect lists, and signers beside the issuer.

use std::sync::Arc;

use aws_lc_rs::signature as lc;
use certgate_x509::{Certificate, OnUnknown, RevocationScope};

use super::world::*;
use certgate_testing::der::{Draft, NOW, SigningKey, ext, name, uri};
use certgate_testing::status::*;

/// A CRL issuer beside the CA, certified by the root.
pub fn crl_authority(w: &mut World) -> Draft {
    let mut authority = Draft::new("CN=Lists", ROOT, &w.other).with(ext::key_usage(&[6]));
    authority.serial = vec![0x41];
    w.leaf.set(points(&[vec![crl_issuer("CN=Lists")]]));
    w.presented.push(authority.sign(&w.root));
    authority
}

/// A CRL issuer with a P-384 key, which the root has certified with a key of 256 bits. Only the leaf's status is asked.
fn weakly_certified(w: &mut World) {
    crl_authority(w);
    let key = SigningKey::ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, "1.3.132.0.34", "1.2.840.10045.4.3.3");
    w.presented = vec![Draft::new("CN=Lists", ROOT, &key).with(ext::key_usage(&[6])).sign(&w.root)];
    w.crls.push(indirect("CN=CA 2").der(&key));
    w.policy.scope = RevocationScope::EndEntity;
}

/// So many CRL issuers beside the CA: the first one's list is about the leaf, each other one's about the one before,
/// and the root's, or that of another one, about the last.
fn signers(w: &mut World, count: usize, about_last: Option<usize>) {
    let name = |n: usize| format!("CN=Lists {n}");
    w.leaf.set(points(&[vec![crl_issuer(&name(0))]]));
    for n in 0..count {
        let key = SigningKey::ed25519();
        let mut signer = Draft::new(&name(n), ROOT, &key).with(ext::key_usage(&[6]));
        signer.serial = vec![0x60, u8::try_from(n).unwrap()];
        if let Some(next) = Some(n + 1).filter(|next| *next < count).or(about_last) {
            signer.set(points(&[vec![crl_issuer(&name(next))]]));
        }
        w.presented.push(signer.sign(&w.root));
        w.crls.push(CrlDraft::new(&name(n)).with(idp(&[flag(4)])).der(&key));
    }
}

pub fn indirect(leaf_issuer: &str) -> CrlDraft {
    let mut draft = CrlDraft::new("CN=Lists").with(idp(&[flag(4)]));
    draft.entries.push(entry(&[0x01], &[]));
    draft.entries.push(entry(LEAF_SERIAL, &[certificate_issuer(leaf_issuer)]));
    draft
}

#[test]
fn indirect_lists() {
    let rows: &[Row] = &[
        (
            "lists the leaf",
            |w| {
                crl_authority(w);
                w.crls.push(indirect(CA).der(&w.other));
            },
            REVOKED,
        ),
        (
            "lists the number of another issuer",
            |w| {
                crl_authority(w);
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            Ok(()),
        ),
        (
            "lists its own",
            |w| {
                crl_authority(w);
                w.crls.push(CrlDraft::new("CN=Lists").with(idp(&[flag(4)])).lists(LEAF_SERIAL, None).der(&w.other));
            },
            Ok(()),
        ),
        (
            "is not marked as indirect",
            |w| {
                crl_authority(w);
                w.crls.push(CrlDraft::new("CN=Lists").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "is not marked as indirect, and named beside the CA itself",
            |w| {
                crl_authority(w);
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at], vec![crl_issuer("CN=Lists")]]));
                w.crls.push(CrlDraft::new("CN=Lists").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of an issuer that the certificate does not name",
            |w| {
                crl_authority(w);
                w.leaf.set(points(&[vec![crl_issuer("CN=Somebody")]]));
                w.crls.push(indirect(CA).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of an issuer that is named beside the CA itself",
            |w| {
                crl_authority(w);
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at], vec![crl_issuer("CN=Lists")]]));
                w.by_ca(CrlDraft::new(CA));
                w.crls.push(indirect(CA).der(&w.other));
            },
            REVOKED,
        ),
        (
            "the CA's own, when the point names the CA",
            |w| {
                w.leaf.set(points(&[vec![crl_issuer(CA)]]));
                w.by_ca(CrlDraft::new(CA));
            },
            Ok(()),
        ),
        (
            "the CA's own, when the point names the CA, lists the leaf",
            |w| {
                w.leaf.set(points(&[vec![crl_issuer(CA)]]));
                w.by_ca(listing(None));
            },
            REVOKED,
        ),
        (
            "the CA's own, when all points name another issuer",
            |w| {
                crl_authority(w);
                w.by_ca(CrlDraft::new(CA));
            },
            UNKNOWN,
        ),
        (
            "of a signer that is revoked",
            |w| {
                crl_authority(w);
                w.by_root(CrlDraft::new(ROOT).lists(&[0x41], None).with(number(11)));
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer without cRLSign",
            |w| {
                let draft = crl_authority(w).with(ext::key_usage(&[0]));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer that has expired",
            |w| {
                let mut draft = crl_authority(w);
                draft.valid(NOW.minus(DAY), NOW.minus(1));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer under another anchor",
            |w| {
                let (key, draft) = (SigningKey::ed25519(), crl_authority(w));
                w.anchors = vec![Draft::ca("CN=Root 2", "CN=Root 2", &key).sign(&key)];
                let draft = Draft { issuer: certgate_testing::der::name("CN=Root 2"), ..draft };
                w.presented = vec![draft.sign(&key)];
                w.crls.push(CrlDraft::new("CN=Root 2").der(&key));
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer whose status it holds itself",
            |w| {
                let draft = crl_authority(w).with(points(&[vec![crl_issuer("CN=Lists")]]));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            Ok(()),
        ),
        (
            "of a signer that lists itself",
            |w| {
                let draft = crl_authority(w).with(points(&[vec![crl_issuer("CN=Lists")]]));
                w.presented = vec![draft.sign(&w.root)];
                let mut list = indirect("CN=CA 2");
                list.entries.push(entry(&[0x41], &[certificate_issuer(ROOT)]));
                w.crls.push(list.der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer that a weak key has certified",
            |w| {
                weakly_certified(w);
                w.policy.signatures.minimum_ec_bits = 384;
            },
            UNKNOWN,
        ),
        ("of such a signer, where that key is strong enough", weakly_certified, Ok(())),
        (
            "of a signer whose status nobody knows",
            |w| {
                let draft = crl_authority(w).with(points(&[vec![crl_issuer("CN=Nobody")]]));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect("CN=CA 2").der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "of a signer whose status nobody knows, where that passes",
            |w| {
                let draft = crl_authority(w).with(points(&[vec![crl_issuer("CN=Nobody")]]));
                w.presented = vec![draft.sign(&w.root)];
                w.crls.push(indirect(CA).der(&w.other));
                w.policy.on_unknown = OnUnknown::Allow;
            },
            REVOKED,
        ),
        ("of a signer whose status the next one holds", |w| signers(w, 2, None), Ok(())),
        ("of three such signers", |w| signers(w, 3, None), Ok(())),
        ("of more such signers than are followed", |w| signers(w, 4, None), UNKNOWN),
        ("of two signers who hold each other's status", |w| signers(w, 2, Some(0)), Ok(())),
        (
            "of a signer whose status one holds that nobody certified",
            |w| {
                signers(w, 2, None);
                w.presented[1] = Draft::new("CN=Lists 1", ROOT, &w.other).with(ext::key_usage(&[6])).sign(&w.other);
                w.crls.pop();
                w.crls.push(CrlDraft::new("CN=Lists 1").with(idp(&[flag(4)])).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "an indirect list at a point without issuer proves nothing",
            |w| {
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at.clone()]]));
                w.by_ca(CrlDraft::new(CA).with(idp(&[at, flag(4)])));
            },
            UNKNOWN,
        ),
        (
            "and revokes what it lists",
            |w| {
                let at = full_name(&[uri("http://ca.example/1.crl")]);
                w.leaf.set(points(&[vec![at.clone()]]));
                w.by_ca(listing(None).with(idp(&[at, flag(4)])));
                w.policy.on_unknown = OnUnknown::Allow;
            },
            REVOKED,
        ),
    ];
    run(World::rooted, rows);
}

/// A certificate of the CA for its next key.
fn next_key(w: &World) -> Arc<Certificate> {
    let mut next = Draft::ca(CA, CA, &w.other);
    next.serial = vec![0x53];
    next.sign(&w.ca)
}

#[test]
fn signers_beside_the_issuer() {
    let rows: &[Row] = &[
        (
            "a key for CRLs, certified as the CA is",
            |w| {
                w.presented = vec![Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6])).sign(&w.root)];
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            Ok(()),
        ),
        (
            "a key for CRLs, certified by the CA itself",
            |w| {
                w.presented = vec![Draft::new(CA, CA, &w.other).with(ext::key_usage(&[6])).sign(&w.ca)];
                // Its own status: by the CA's first key.
                w.by_ca(CrlDraft::new(CA).with(idp(&[full_name(&[uri("http://ca.example/self.crl")])])));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            Ok(()),
        ),
        (
            "a namesake below another CA",
            |w| {
                let key = SigningKey::ed25519();
                let mut between = Draft::ca("CN=CA 2", ROOT, &key);
                between.serial = vec![0x51];
                let namesake = Draft::new(CA, "CN=CA 2", &w.other).with(ext::key_usage(&[6]));
                w.presented = vec![between.sign(&w.root), namesake.sign(&key)];
                w.crls.push(CrlDraft::new("CN=CA 2").der(&key));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "a namesake, certified by a namesake of the root that another CA certified",
            |w| {
                let (evil, false_root) = (SigningKey::ed25519(), SigningKey::ed25519());
                w.presented = vec![
                    Draft::ca("CN=Evil", ROOT, &evil).sign(&w.root),
                    Draft::ca(ROOT, "CN=Evil", &false_root).sign(&evil),
                    Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6])).sign(&false_root),
                ];
                w.crls.push(CrlDraft::new("CN=Evil").der(&evil));
                w.by_ca(listing(None));
                w.crls.push(CrlDraft::new(CA).with(number(11)).der(&w.other));
            },
            REVOKED,
        ),
        (
            "a key for CRLs, certified by the root's next key",
            |w| {
                let next = SigningKey::ed25519();
                w.presented = vec![
                    Draft::ca(ROOT, ROOT, &next).sign(&w.root),
                    Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6])).sign(&next),
                ];
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            Ok(()),
        ),
        (
            "a namesake that nobody certified",
            |w| {
                w.presented = vec![Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6])).sign(&w.other)];
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "a revoked key for CRLs",
            |w| {
                let mut signer = Draft::new(CA, ROOT, &w.other).with(ext::key_usage(&[6]));
                signer.serial = vec![0x52];
                w.presented = vec![signer.sign(&w.root)];
                w.by_root(CrlDraft::new(ROOT).lists(&[0x52], None).with(number(11)));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            UNKNOWN,
        ),
        (
            "the next key, certified by the old one",
            |w| {
                w.presented = vec![next_key(w)];
                w.by_ca(CrlDraft::new(CA).with(idp(&[flag(2)])));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            Ok(()),
        ),
        (
            "the next key does not vouch for itself against the old one",
            |w| {
                w.presented = vec![next_key(w)];
                w.by_ca(CrlDraft::new(CA).with(idp(&[flag(2)])).lists(&[0x53], None).dated(-2 * HOUR, Some(DAY)));
                w.crls.push(CrlDraft::new(CA).der(&w.other));
            },
            UNKNOWN,
        ),
    ];
    run(World::rooted, rows);
}

/// Above a certificate are its CA, the one that certified that, and others; those vouch for no other key of the CA.
#[test]
fn a_ca_above_the_next_one_vouches_for_no_key() {
    let (upper, next) = (SigningKey::ed25519(), SigningKey::ed25519());
    let signed_by = |certifier: &str| {
        let mut world = World::rooted();
        let mut between = Draft::ca("CN=Upper", ROOT, &upper);
        between.serial = vec![0x61];
        world.ca_cert.issuer = name("CN=Upper");
        world.presented = vec![between.sign(&world.root), world.ca_cert.sign(&upper)];
        world.crls.push(CrlDraft::new("CN=Upper").der(&upper));
        let signer = Draft::new(CA, certifier, &next).with(ext::key_usage(&[6]));
        world.presented.push(signer.sign(if certifier == ROOT { &world.root } else { &upper }));
        world.crls.push(CrlDraft::new(CA).der(&next));
        world.answer().map(|_| ()).map_err(|(reason, _)| reason)
    };
    assert_eq!(signed_by("CN=Upper"), Ok(()));
    assert_eq!(signed_by(ROOT), UNKNOWN);
}
