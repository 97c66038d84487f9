//! What strangers and other tenants may try: namesakes, searches that are burnt, CRLs that are shared.

use std::sync::Arc;

use certgate_x509::{
    Certificate, Crl, ErrorKind, NoTrace, OnUnknown, Pool, RevocationData, RevocationPolicy, RevocationScope,
    SignaturePolicy, SignerCandidates, check_revocation,
};

use super::world::*;
use certgate_testing::der::{self, Draft, SigningKey, ext, uri};
use certgate_testing::status::*;

/// The same CRL stands in other profiles, whose authors may be others: what they make of it changes nothing here.
#[test]
fn what_other_profiles_make_of_a_crl_counts_for_nothing() {
    let (key, stranger) = (SigningKey::p256(), SigningKey::p256());
    let policy = RevocationPolicy::default().signatures;
    let (ca, false_ca) = ([Draft::ca(CA, CA, &key).sign(&key)], [Draft::ca(CA, CA, &stranger).sign(&stranger)]);
    let crl = |n: u8, key: &SigningKey| Arc::new(Crl::from_der(CrlDraft::new(CA).with(number(n)).der(key)).unwrap());
    let verified = |crl: &Arc<Crl>, by: &[Arc<Certificate>]| {
        let data = RevocationData::new([Arc::clone(crl)]);
        data.verify_by(by, &policy);
        data
    };
    let numbers = |data: &RevocationData| {
        let mut numbers: Vec<String> = data.crls().iter().map(|crl| crl.number().unwrap().to_string()).collect();
        numbers.sort();
        numbers
    };
    // Another profile has an anchor of the same name, whose key has signed a list of a higher number.
    let forged = crl(99, &stranger);
    drop(verified(&forged, &false_ca));
    let (next, _) = verified(&crl(10, &key), &ca).updated(verified(&forged, &ca), &policy);
    assert_eq!(numbers(&next), ["10", "99"], "what is not verified here replaces nothing here");
    // Another profile has tried a good many keys and policies on the list.
    let good = crl(10, &key);
    for bits in 0..40 {
        let many = SignaturePolicy { minimum_rsa_bits: 2048 + bits, ..policy };
        RevocationData::new([Arc::clone(&good)]).verify_by(&false_ca, &many);
        RevocationData::new([Arc::clone(&good)]).verify_by(&ca, &many);
    }
    let (next, refused) = verified(&good, &ca).updated(verified(&crl(9, &key), &ca), &policy);
    assert_eq!((numbers(&next), refused.len()), (vec!["10".to_owned()], 1), "no number goes back");
}

/// A point with so many names.
fn named(count: usize) -> Vec<Vec<u8>> {
    vec![full_name(&(0..count).map(|n| uri(&format!("http://ca.example/{n}.crl"))).collect::<Vec<_>>())]
}

#[test]
fn points_have_as_many_names_as_are_read() {
    let mut world = World::rooted();
    world.leaf.set(points(&[named(40), named(24)]));
    world.by_ca(CrlDraft::new(CA));
    assert_eq!(world.answer().map(|_| ()), Ok(()));
}

/// Where the issuer has garbled the points, nothing shows that a certificate is good; that it is revoked still counts.
#[test]
fn points_that_cannot_be_read_do_not_hide_a_revocation() {
    let garbled: [fn() -> der::Extension; 4] = [
        || points(&[]),
        || points(&[vec![reasons(1, &[1])]]),
        || {
            let issuers: Vec<_> = (0..700).map(|n| vec![crl_issuer(&format!("CN={n}"))]).collect();
            points(&[&[vec![crl_issuer(CA)]][..], &issuers].concat())
        },
        || points(&[named(40), named(25)]),
    ];
    for extension in garbled {
        for on_unknown in [OnUnknown::Deny, OnUnknown::Allow] {
            let mut world = World::rooted();
            world.policy.on_unknown = on_unknown;
            world.leaf.set(extension());
            world.by_ca(CrlDraft::new(CA).lists(LEAF_SERIAL, None));
            assert_eq!(world.answer().map_err(|(reason, _)| reason).unwrap_err(), ErrorKind::Revoked);
            world.crls.pop();
            world.by_ca(CrlDraft::new(CA));
            let outcome = world.answer().map(|_| ()).map_err(|(reason, _)| reason);
            let want = if on_unknown == OnUnknown::Deny { Err(ErrorKind::StatusUnknown) } else { Ok(()) };
            assert_eq!(outcome, want);
        }
    }
}

/// Whoever has a certificate can send others that it has made itself; a CRL is tried by so many of their keys.
#[test]
fn namesakes_that_come_along_have_a_budget() {
    let mut world = World::rooted();
    let unknown = SigningKey::p256();
    for n in 20..120 {
        world.crls.push(CrlDraft::new(CA).with(number(n)).der(&unknown));
    }
    world.by_ca(CrlDraft::new(CA));
    world.answer().map_err(|(_, detail)| detail).unwrap();
    let namesakes: Vec<_> = (0..9).map(|_| SigningKey::p256()).collect();
    let namesakes = namesakes.iter().map(|key| Draft::new(CA, ROOT, key).with(ext::key_usage(&[6])).sign(key));
    world.presented = namesakes.collect();
    let (_, detail) = world.answer().unwrap_err();
    assert!(detail.contains("keys to try"), "{detail}");
}

/// Of many lists by another key of the CA the newest is heard, wherever it stands.
#[test]
fn many_lists_of_another_signer_do_not_hide_the_newest() {
    for scope in [RevocationScope::EndEntity, RevocationScope::ExcludeRoot] {
        let mut world = World::rooted();
        world.policy.scope = scope;
        let signer = SigningKey::ed25519();
        world.presented = vec![Draft::new(CA, ROOT, &signer).with(ext::key_usage(&[6])).sign(&world.root)];
        for n in 20..40 {
            world.crls.push(CrlDraft::new(CA).with(number(n)).der(&signer));
        }
        world.answer().map_err(|(_, detail)| detail).unwrap();
        world.crls.push(CrlDraft::new(CA).lists(LEAF_SERIAL, None).with(number(40)).der(&signer));
        assert_eq!(world.answer().map_err(|(reason, _)| reason).unwrap_err(), ErrorKind::Revoked);
    }
}

/// Nor does a client that burns the searches: it gets no answer, rather than that of the lists that were heard.
#[test]
fn searches_that_run_out_leave_nothing_good() {
    let mut world = World::rooted();
    let signer = SigningKey::ed25519();
    let genuine = Draft::new(CA, ROOT, &signer).with(ext::key_usage(&[6])).sign(&world.root);
    world.crls.push(CrlDraft::new(CA).with(number(20)).der(&signer));
    world.by_ca(CrlDraft::new(CA));
    let forged = |n: u8| {
        let mut draft = Draft::new(CA, ROOT, &signer).with(ext::key_usage(&[6]));
        draft.serial = vec![n];
        draft.sign(&world.other)
    };
    let forged: Vec<_> = (1..10).map(forged).collect();
    world.presented = [forged, vec![genuine]].concat();
    assert_eq!(world.answer().map_err(|(reason, _)| reason).unwrap_err(), ErrorKind::StatusUnknown);
}

/// Nor does one that burns what a search may cost: the list that revokes it has not been heard.
#[test]
fn a_search_that_is_too_dear_leaves_nothing_good() {
    let mut world = World::rooted();
    let signer = SigningKey::p256();
    let genuine = Draft::new(CA, ROOT, &signer).with(ext::key_usage(&[6])).with(ext::authority_key(b"root"));
    world.crls.push(CrlDraft::new(CA).lists(LEAF_SERIAL, None).with(number(20)).der(&signer));
    world.by_ca(CrlDraft::new(CA));
    world.presented = vec![genuine.sign(&world.root)];
    assert_eq!(world.answer().map_err(|(reason, _)| reason).unwrap_err(), ErrorKind::Revoked);
    let namesakes = (0..9).map(|_| SigningKey::p521());
    world.presented.extend(namesakes.map(|key| Draft::ca(ROOT, ROOT, &key).with(ext::subject_key(b"root")).sign(&key)));
    assert_eq!(world.answer().map_err(|(reason, _)| reason).unwrap_err(), ErrorKind::StatusUnknown);
}

/// The key that has verified a list says nothing of another key, nor of itself under another policy.
#[test]
fn a_list_is_verified_for_one_key_and_policy() {
    let policy = RevocationPolicy { scope: RevocationScope::EndEntity, ..RevocationPolicy::default() };
    let signatures = policy.signatures;
    let strict = SignaturePolicy { minimum_ec_bits: 384, ..signatures };
    let (root, key, other) = (SigningKey::p256(), SigningKey::p256(), SigningKey::p256());
    let ask = |by: &SigningKey, signatures: SignaturePolicy| {
        let data = RevocationData::new([Arc::new(Crl::from_der(CrlDraft::new(CA).der(by)).unwrap())]);
        data.verify_by(&[Draft::ca(CA, ROOT, by).sign(by)], &policy.signatures);
        assert_eq!(data.unverified(&policy.signatures).count(), 0);
        assert_eq!(data.unverified(&signatures).count(), usize::from(signatures != policy.signatures));
        let ca = Draft::ca(CA, ROOT, &key).sign(&root);
        let anchor = Draft::ca(ROOT, ROOT, &root).sign(&root);
        let path = [Draft::client(LEAF, CA, &other).sign(&key), Arc::clone(&ca), Arc::clone(&anchor)];
        let helpers = SignerCandidates { pool: &Pool::new([anchor], [ca]), presented: &[] };
        let policy = RevocationPolicy { signatures, ..policy };
        check_revocation(&data, &policy, &path, helpers, der::NOW, &mut NoTrace)
            .map(|_| ())
            .map_err(|f| f.status.kind())
    };
    assert_eq!(ask(&key, signatures), Ok(()));
    assert_eq!(ask(&other, signatures), UNKNOWN);
    assert_eq!(ask(&key, strict), UNKNOWN);
}
