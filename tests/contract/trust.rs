//! Trust profiles: modes, lists, what is told of a verified certificate and of a denied one.

#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    reason = "a test may panic and print; tables of cases are types"
)]

use certgate_testing::chain;
use certgate_testing::der as support;

use std::collections::HashSet;
use std::sync::Arc;

use certgate::domain::decide::reason::Reason;
use certgate::domain::decide::verifier::{CertificateVerifier, TrustMode, TrustedBy, VerifierParameters, lint_anchor};
use certgate_x509::{Budget, Certificate, NoTrace, Oid, PathParameters, Recorder, Sha256, Verdict, der};
use chain::{Chain, DAY, rsa_spki};
use support::{Draft, NOW, SigningKey, dns, ext, name, oid, seq, tag, tlv};

#[test]
#[rustfmt::skip]
fn lists_narrow_and_veto() {
    let chain = Chain::new();
    let [leaf, ica, root] = chain.signed();
    let set = |certificates: &[&Arc<Certificate>]| certificates.iter().map(|c| c.sha256()).collect::<HashSet<_>>();
    let base = || VerifierParameters { anchors: vec![Arc::clone(&root)], ..VerifierParameters::default() };
    let rows = [
        ("issuing authority listed", VerifierParameters { issuing_authorities: Some(set(&[&ica])), ..base() }, Ok(())),
        ("only the root listed", VerifierParameters { issuing_authorities: Some(set(&[&root])), ..base() }, Err(Reason::IssuerNotAuthorized)),
        ("nobody listed", VerifierParameters { issuing_authorities: Some(set(&[])), ..base() }, Err(Reason::IssuerNotAuthorized)),
        ("trust list names the root", VerifierParameters { trust_list: Some(set(&[&root])), ..base() }, Ok(())),
        ("trust list names the intermediate", VerifierParameters { trust_list: Some(set(&[&ica])), ..base() }, Ok(())),
        ("trust list names the leaf", VerifierParameters { trust_list: Some(set(&[&leaf])), ..base() }, Err(Reason::IssuerNotInTrustList)),
        ("others disallowed", VerifierParameters { disallowed: set(&[&Chain::new().signed()[0]]), ..base() }, Ok(())),
        ("leaf disallowed", VerifierParameters { disallowed: set(&[&leaf]), ..base() }, Err(Reason::CertDisallowed)),
        ("intermediate disallowed", VerifierParameters { disallowed: set(&[&ica]), ..base() }, Err(Reason::CertDisallowed)),
        ("root disallowed", VerifierParameters { disallowed: set(&[&root]), ..base() }, Err(Reason::CertDisallowed)),
        ("no anchors", VerifierParameters::default(), Err(Reason::CertUntrusted)),
        ("peer listed", VerifierParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&leaf)], ..base() }, Ok(())),
        ("peer not listed", VerifierParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&ica)], ..base() }, Err(Reason::CertUntrusted)),
        ("peer disallowed", VerifierParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&leaf)], disallowed: set(&[&leaf]), ..base() }, Err(Reason::CertDisallowed)),
        ("peer with issuing authorities", VerifierParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&leaf)], issuing_authorities: Some(set(&[&ica])), ..base() }, Err(Reason::IssuerNotAuthorized)),
        ("peer or chain, chain", VerifierParameters { mode: TrustMode::PeerOrChain, ..base() }, Ok(())),
        ("peer or chain, peer", VerifierParameters { mode: TrustMode::PeerOrChain, anchors: vec![], peers: vec![Arc::clone(&leaf)], ..base() }, Ok(())),
        ("peer or chain, chain with its authority", VerifierParameters { mode: TrustMode::PeerOrChain, peers: vec![Arc::clone(&leaf)], issuing_authorities: Some(set(&[&ica])), ..base() }, Ok(())),
        ("peers count in chain mode for nothing", VerifierParameters { anchors: vec![], peers: vec![Arc::clone(&leaf)], ..base() }, Err(Reason::CertUntrusted)),
    ];
    for (row, parameters, want) in rows {
        let found = CertificateVerifier::new(parameters).verify(&leaf, &[Arc::clone(&ica)], NOW, &mut NoTrace);
        assert_eq!(found.map(|_| ()).map_err(|denial| denial.reason), want, "{row}");
    }
}

/// A stolen key is refused wherever it stands, under any certificate and in any encoding; and a peer's key is a peer.
#[test]
#[rustfmt::skip]
fn keys_are_vetoed_and_pinned() {
    let rsa = SigningKey::rsa();
    let set = |hashes: &[Sha256]| hashes.iter().copied().collect::<HashSet<_>>();
    let mut chain = Chain::new();
    chain.set_ica_key(SigningKey::rsa());
    let [leaf, ica, root] = chain.signed();
    let absent = spki_of(&rsa, &oid("1.2.840.113549.1.1.1"));
    let mut again = Chain { root: chain.root.clone(), ica: chain.ica.clone(), leaf: chain.leaf.clone(), ..Chain::new() };
    (again.root_key, again.ica_key) = (SigningKey::ed25519(), SigningKey::rsa());
    again.root.spki = again.root_key.spki();
    (again.ica.serial, again.ica.spki) = (vec![0x77], absent.clone());
    let [other_leaf, other_ica, other_root] = again.signed();
    assert_ne!(ica.public_key_sha256(), other_ica.public_key_sha256());
    let [key_of_leaf, key_of_ica, key_of_root] = [&leaf, &ica, &root].map(|c| c.public_key_sha256());
    let base = || VerifierParameters { anchors: vec![Arc::clone(&root)], ..VerifierParameters::default() };
    let other = || VerifierParameters { anchors: vec![Arc::clone(&other_root)], ..VerifierParameters::default() };
    let peer = || VerifierParameters { mode: TrustMode::Peer, ..base() };
    let either = || VerifierParameters { mode: TrustMode::PeerOrChain, ..base() };
    let listed = || vec![Arc::clone(&leaf)];
    const VETOED: Result<TrustedBy, Reason> = Err(Reason::CertDisallowed);
    let (one, two) = ((&leaf, &ica), (&other_leaf, &other_ica));
    let rows = [
        ("nothing of it", one, VerifierParameters { disallowed_keys: set(&[Sha256::of(b"x")]), ..base() }, Ok(TrustedBy::Chain)),
        ("the leaf's", one, VerifierParameters { disallowed_keys: set(&[key_of_leaf]), ..base() }, VETOED),
        ("the intermediate's", one, VerifierParameters { disallowed_keys: set(&[key_of_ica]), ..base() }, VETOED),
        ("the anchor's", one, VerifierParameters { disallowed_keys: set(&[key_of_root]), ..base() }, VETOED),
        ("certified again elsewhere", two, other(), Ok(TrustedBy::Chain)),
        ("certified again elsewhere, vetoed", two, VerifierParameters { disallowed_keys: set(&[key_of_ica]), ..other() }, VETOED),
        ("named by its other encoding", one, VerifierParameters { disallowed_keys: set(&[Sha256::of(&absent)]), ..base() }, VETOED),
        ("a listed peer's", one, VerifierParameters { peers: listed(), disallowed_keys: set(&[key_of_leaf]), ..peer() }, VETOED),
        ("a peer's key", one, VerifierParameters { peer_keys: set(&[key_of_leaf]), ..peer() }, Ok(TrustedBy::PeerKey)),
        ("a peer's key, vetoed", one, VerifierParameters { peer_keys: set(&[key_of_leaf]), disallowed_keys: set(&[key_of_leaf]), ..peer() }, VETOED),
        ("a peer's key, its certificate vetoed", one, VerifierParameters { peer_keys: set(&[key_of_leaf]), disallowed: set(&[leaf.sha256()]), ..peer() }, VETOED),
        ("a peer and its key", one, VerifierParameters { peers: listed(), peer_keys: set(&[key_of_leaf]), ..peer() }, Ok(TrustedBy::Peer)),
        ("another's key", one, VerifierParameters { peer_keys: set(&[key_of_ica]), ..peer() }, Err(Reason::CertUntrusted)),
        ("in chain mode for nothing", one, VerifierParameters { anchors: vec![], peer_keys: set(&[key_of_leaf]), ..base() }, Err(Reason::CertUntrusted)),
        ("either: a chain vouches for more", one, VerifierParameters { peer_keys: set(&[key_of_leaf]), ..either() }, Ok(TrustedBy::Chain)),
        ("either: the key, without a chain", one, VerifierParameters { anchors: vec![], peer_keys: set(&[key_of_leaf]), ..either() }, Ok(TrustedBy::PeerKey)),
        ("either: issuing authorities are wanted", one, VerifierParameters { anchors: vec![], peer_keys: set(&[key_of_leaf]), issuing_authorities: Some(set(&[ica.sha256()])), ..either() }, Err(Reason::CertUntrusted)),
    ];
    for (row, (leaf, ica), parameters, want) in rows {
        let found = CertificateVerifier::new(parameters).verify(leaf, &[Arc::clone(ica)], NOW, &mut NoTrace);
        assert_eq!(found.map(|verified| verified.trusted_by()).map_err(|denial| denial.reason), want, "{row}");
    }
    let revoked = CertificateVerifier::new(VerifierParameters { peer_keys: set(&[key_of_leaf]), ..either() });
    let refuse = |_: &_, _: &mut _| Err(Reason::CertRevoked.reject(String::new()));
    let denial = revoked.verify_with(&Budget::default(), &leaf, &[ica], NOW, &mut NoTrace, refuse).unwrap_err();
    assert_eq!(denial.reason, Reason::CertRevoked, "its CA has taken it back");
}

/// A peer is not looked at beyond its dates, so its key may be written as no path would have it.
#[test]
fn a_key_that_cannot_be_compared_is_refused_where_keys_are() {
    let key = SigningKey::p256();
    let mut draft = Draft::client("CN=peer", "CN=Nobody", &key);
    let point = tlv(tag::BIT_STRING, [&[0, 2][..], &[7; 32]].concat());
    draft.spki = seq(&[seq(&[oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")]), point]);
    let leaf = draft.sign(&key);
    for (disallowed, want) in [(vec![], Ok(())), (vec![Sha256::of(b"x")], Err(Reason::CertDisallowed))] {
        let profile = CertificateVerifier::new(VerifierParameters {
            mode: TrustMode::Peer,
            peers: vec![Arc::clone(&leaf)],
            disallowed_keys: disallowed.into_iter().collect(),
            ..VerifierParameters::default()
        });
        let found = profile.verify(&leaf, &[], NOW, &mut NoTrace);
        assert_eq!(found.map(drop).map_err(|denial| denial.reason), want);
    }
    let chain =
        VerifierParameters { disallowed_keys: HashSet::from([Sha256::of(b"x")]), ..VerifierParameters::default() };
    let denial = CertificateVerifier::new(chain).verify(&leaf, &[], NOW, &mut NoTrace).unwrap_err();
    assert_eq!(denial.reason, Reason::CertUntrusted, "no path has such a key");
}

/// The RSA key under an algorithm identifier of these elements.
fn spki_of(key: &SigningKey, algorithm: &[u8]) -> Vec<u8> {
    let spki = key.spki();
    let mut reader = der::Reader::new(der::exactly(&spki, tag::SEQUENCE).unwrap().content);
    reader.any().unwrap();
    seq(&[seq(&[algorithm.to_vec()]), reader.rest().to_vec()])
}

#[test]
fn a_peer_needs_its_dates_and_nothing_else() {
    let mut chain = Chain::new();
    chain.leaf.set(ext::purposes(&[ext::SERVER_AUTH]));
    chain.leaf.forged = true;
    let [leaf, ..] = chain.signed();
    let parameters =
        VerifierParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&leaf)], ..VerifierParameters::default() };
    let profile = CertificateVerifier::new(parameters);
    let verified = profile.verify(&leaf, &[], NOW, &mut NoTrace).unwrap();
    assert_eq!((verified.trusted_by(), verified.path().len()), (TrustedBy::Peer, 1));
    assert!(verified.issuer().is_none());
    assert_eq!(verified.valid_until(), leaf.not_after());
    let late = profile.verify(&leaf, &[], NOW.plus(2 * DAY), &mut NoTrace).unwrap_err();
    assert_eq!(late.reason, Reason::CertExpired);
}

#[test]
fn what_was_verified_is_told() {
    let mut chain = Chain::new();
    chain.ica.valid(NOW.minus(DAY), NOW.plus(10));
    chain.ica.set(ext::policies(&["1.2.3"]));
    chain.leaf.set(ext::policies(&["1.2.3"]));
    let [leaf, ica, root] = chain.signed();
    let profile =
        CertificateVerifier::new(VerifierParameters { anchors: vec![root.clone()], ..VerifierParameters::default() });
    let mut recorder = Recorder::default();
    let presented = [Arc::clone(&root), Arc::clone(&leaf), Arc::clone(&ica)];
    let verified = profile.verify(&leaf, &presented, NOW, &mut recorder).unwrap();
    assert!(verified.path().iter().zip([&leaf, &ica, &root]).all(|(found, want)| Arc::ptr_eq(found, want)));
    assert!(Arc::ptr_eq(verified.leaf(), &leaf) && Arc::ptr_eq(verified.issuer().unwrap(), &ica));
    assert_eq!((verified.trusted_by(), verified.valid_until()), (TrustedBy::Chain, NOW.plus(10)));
    assert_eq!(verified.policies().policies, ["1.2.3".parse::<Oid>().unwrap()]);
    let [.., pass, note] = recorder.steps() else { panic!("too few steps") };
    assert_eq!((pass.verdict, note.verdict), (Verdict::Pass, Verdict::Note));
    assert!(note.detail.contains("valid for certificate policies 1.2.3"), "{}", note.detail);
    let sooner = profile
        .verify_with(&Budget::default(), &leaf, &presented, NOW, &mut NoTrace, |_, _| Ok(Some(NOW.plus(3))))
        .unwrap();
    assert_eq!(sooner.valid_until(), NOW.plus(3));
}

#[test]
fn the_policies_that_a_path_is_valid_for() {
    for (listed, names) in [
        (&["1.2.3", "1.2.4"][..], &["1.2.3", "1.2.4"][..]),
        (&[ext::ANY_POLICY], &["anyPolicy"]),
        (&["1.2.3", ext::ANY_POLICY], &["1.2.3", "anyPolicy"]),
        (&[], &[]),
    ] {
        let mut chain = Chain::new();
        if !listed.is_empty() {
            chain.ica.set(ext::policies(listed));
            chain.leaf.set(ext::policies(listed));
        }
        let [leaf, ica, root] = chain.signed();
        let profile =
            CertificateVerifier::new(VerifierParameters { anchors: vec![root], ..VerifierParameters::default() });
        let mut recorder = Recorder::default();
        let verified = profile.verify(&leaf, &[ica], NOW, &mut recorder).unwrap();
        assert_eq!(verified.policies().names(), names);
        assert_eq!(verified.policies().is_empty(), names.is_empty());
        let last = recorder.steps().last().unwrap();
        assert_eq!(last.verdict == Verdict::Note, !names.is_empty(), "{last:?}");
        assert_eq!(verified.into_policies().names(), names);
    }
}

#[test]
fn a_self_signed_leaf_has_no_issuing_authority() {
    let key = SigningKey::ed25519();
    let leaf = Draft::client("CN=self", "CN=self", &key).sign(&key);
    let anchors = vec![Arc::clone(&leaf)];
    let plain = VerifierParameters { anchors: anchors.clone(), ..VerifierParameters::default() };
    assert!(CertificateVerifier::new(plain).verify(&leaf, &[], NOW, &mut NoTrace).is_ok());
    let listed = HashSet::from([leaf.sha256()]);
    let listed = VerifierParameters { anchors, issuing_authorities: Some(listed), ..VerifierParameters::default() };
    let denial = CertificateVerifier::new(listed).verify(&leaf, &[], NOW, &mut NoTrace).unwrap_err();
    assert_eq!(denial.reason, Reason::IssuerNotAuthorized);
}

#[test]
#[rustfmt::skip]
fn denials_say_what_was_compared() {
    let rows: &[(&str, fn(&mut Chain), &[&str])] = &[
        ("expired leaf", |c| c.leaf.valid(NOW.minus(DAY), NOW.minus(1)), &["client certificate: expired at 2027-01-15T07:59:59Z, now 2027-01-15T08:00:00Z"]),
        ("expired CA", |c| c.ica.valid(NOW.minus(DAY), NOW.minus(1)), &["CA certificate CN=ICA,O=Contoso: expired at", "path: [CN=client,O=Contoso] issued by [CN=ICA,O=Contoso]"]),
        ("unknown issuer", |c| c.leaf.issuer = name("CN=Other"), &["issuer not found: CN=Other"]),
        ("usage", |c| c.leaf.set(ext::purposes(&[ext::SERVER_AUTH])), &["clientAuth: it lists serverAuth"]),
        ("name", |c| c.ica.set(ext::constraints(&[dns("a.example")], &[])), &["dNSName client.example is not within a permitted subtree of CN=ICA,O=Contoso"]),
        ("weak key", |c| c.leaf.spki = rsa_spki(1024), &["RSA-1024 key is below the minimum of 2048 bits"]),
        ("path length", |c| c.parameters.max_path_length = 0, &["more than 0 intermediate"]),
    ];
    for (row, change, wanted) in rows {
        let mut chain = Chain::new();
        change(&mut chain);
        let [leaf, ica, root] = chain.signed();
        let profile = CertificateVerifier::new(VerifierParameters {
            anchors: vec![root],
            requirements: chain.parameters,
            ..VerifierParameters::default()
        });
        let denial = profile.verify(&leaf, &[ica], NOW, &mut NoTrace).unwrap_err();
        for want in *wanted {
            assert!(denial.detail.contains(want), "{row}: {}", denial.detail);
        }
    }
}

#[test]
fn odd_anchors_are_pointed_out() {
    let requirements = PathParameters::default();
    let lint = |change: fn(&mut Draft)| {
        let key = SigningKey::ed25519();
        let mut draft = Draft::ca("CN=Root", "CN=Root", &key);
        change(&mut draft);
        lint_anchor(&draft.sign(&key), NOW, &requirements).join("; ")
    };
    assert_eq!(lint(|_| ()), "");
    assert_eq!(lint(|d| d.valid(NOW, NOW)), "", "both dates are within");
    for (change, want) in [
        ((|d| d.valid(NOW.minus(2), NOW.minus(1))) as fn(&mut Draft), "expired at"),
        (|d| d.valid(NOW.plus(1), NOW.plus(2)), "not valid before"),
        (|d| d.set(ext::not_ca()), "not a CA"),
        (|d| d.remove(ext::BASIC_CONSTRAINTS), "not a CA"),
        (|d| d.set(ext::key_usage(&[0])), "keyCertSign"),
        (|d| (d.version, d.extensions) = (vec![], vec![]), "of version V1"),
        (|d| d.set(ext::ca(Some(3))), "pathLenConstraint"),
        (|d| d.issuer = name("CN=Other"), "issued by CN=Other"),
        (|d| d.spki = rsa_spki(1024), "RSA-1024"),
        (|d| d.set(ext::any("1.2.3", true, vec![])), "1.2.3"),
    ] {
        let found = lint(change);
        assert!(found.contains(want), "{want}: {found}");
    }
}
