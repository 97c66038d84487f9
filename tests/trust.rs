//! Trust profiles: modes, lists, what is told of a verified certificate and of a denied one.

#![allow(
    clippy::unwrap_used,
    clippy::type_complexity,
    reason = "a test may panic and print; tables of cases are types"
)]

#[path = "support/chain.rs"]
mod chain;
#[path = "support/der.rs"]
mod support;

use std::collections::HashSet;
use std::sync::Arc;

use certgate::domain::certificate::Certificate;
use certgate::domain::oid::Oid;
use certgate::domain::path::{Budget, PathParameters};
use certgate::domain::reason::Reason;
use certgate::domain::trace::{NoTrace, Recorder, Verdict};
use certgate::domain::trust::{Believed, TrustMode, TrustParameters, TrustProfile, lint_anchor};
use chain::{Chain, DAY, rsa_spki};
use support::{Draft, Key, NOW, dns, ext, name};

#[test]
#[rustfmt::skip]
fn lists_narrow_and_veto() {
    let chain = Chain::new();
    let [leaf, ica, root] = chain.signed();
    let set = |certificates: &[&Arc<Certificate>]| certificates.iter().map(|c| c.sha256()).collect::<HashSet<_>>();
    let base = || TrustParameters { anchors: vec![Arc::clone(&root)], ..TrustParameters::default() };
    let rows = [
        ("issuing authority listed", TrustParameters { issuing_authorities: Some(set(&[&ica])), ..base() }, Ok(())),
        ("only the root listed", TrustParameters { issuing_authorities: Some(set(&[&root])), ..base() }, Err(Reason::IssuerNotAuthorized)),
        ("nobody listed", TrustParameters { issuing_authorities: Some(set(&[])), ..base() }, Err(Reason::IssuerNotAuthorized)),
        ("trust list names the root", TrustParameters { trust_list: Some(set(&[&root])), ..base() }, Ok(())),
        ("trust list names the intermediate", TrustParameters { trust_list: Some(set(&[&ica])), ..base() }, Ok(())),
        ("trust list names the leaf", TrustParameters { trust_list: Some(set(&[&leaf])), ..base() }, Err(Reason::IssuerNotInTrustList)),
        ("others disallowed", TrustParameters { disallowed: set(&[&Chain::new().signed()[0]]), ..base() }, Ok(())),
        ("leaf disallowed", TrustParameters { disallowed: set(&[&leaf]), ..base() }, Err(Reason::CertDisallowed)),
        ("intermediate disallowed", TrustParameters { disallowed: set(&[&ica]), ..base() }, Err(Reason::CertDisallowed)),
        ("root disallowed", TrustParameters { disallowed: set(&[&root]), ..base() }, Err(Reason::CertDisallowed)),
        ("no anchors", TrustParameters::default(), Err(Reason::CertUntrusted)),
        ("peer listed", TrustParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&leaf)], ..base() }, Ok(())),
        ("peer not listed", TrustParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&ica)], ..base() }, Err(Reason::CertUntrusted)),
        ("peer disallowed", TrustParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&leaf)], disallowed: set(&[&leaf]), ..base() }, Err(Reason::CertDisallowed)),
        ("peer with issuing authorities", TrustParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&leaf)], issuing_authorities: Some(set(&[&ica])), ..base() }, Err(Reason::IssuerNotAuthorized)),
        ("peer or chain, chain", TrustParameters { mode: TrustMode::PeerOrChain, ..base() }, Ok(())),
        ("peer or chain, peer", TrustParameters { mode: TrustMode::PeerOrChain, anchors: vec![], peers: vec![Arc::clone(&leaf)], ..base() }, Ok(())),
        ("peer or chain, chain with its authority", TrustParameters { mode: TrustMode::PeerOrChain, peers: vec![Arc::clone(&leaf)], issuing_authorities: Some(set(&[&ica])), ..base() }, Ok(())),
        ("peers count in chain mode for nothing", TrustParameters { anchors: vec![], peers: vec![Arc::clone(&leaf)], ..base() }, Err(Reason::CertUntrusted)),
    ];
    for (row, parameters, want) in rows {
        let found = TrustProfile::new(parameters).verify(&leaf, &[Arc::clone(&ica)], NOW, &mut NoTrace);
        assert_eq!(found.map(|_| ()).map_err(|denial| denial.reason), want, "{row}");
    }
}

#[test]
fn a_peer_needs_its_dates_and_nothing_else() {
    let mut chain = Chain::new();
    chain.leaf.set(ext::purposes(&[ext::SERVER_AUTH]));
    chain.leaf.forged = true;
    let [leaf, ..] = chain.signed();
    let parameters =
        TrustParameters { mode: TrustMode::Peer, peers: vec![Arc::clone(&leaf)], ..TrustParameters::default() };
    let profile = TrustProfile::new(parameters);
    let verified = profile.verify(&leaf, &[], NOW, &mut NoTrace).unwrap();
    assert_eq!((verified.believed(), verified.path().len()), (Believed::Peer, 1));
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
    let profile = TrustProfile::new(TrustParameters { anchors: vec![root.clone()], ..TrustParameters::default() });
    let mut recorder = Recorder::default();
    let presented = [Arc::clone(&root), Arc::clone(&leaf), Arc::clone(&ica)];
    let verified = profile.verify(&leaf, &presented, NOW, &mut recorder).unwrap();
    assert!(verified.path().iter().zip([&leaf, &ica, &root]).all(|(found, want)| Arc::ptr_eq(found, want)));
    assert!(Arc::ptr_eq(verified.leaf(), &leaf) && Arc::ptr_eq(verified.issuer().unwrap(), &ica));
    assert_eq!((verified.believed(), verified.valid_until()), (Believed::Chain, NOW.plus(10)));
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
        let profile = TrustProfile::new(TrustParameters { anchors: vec![root], ..TrustParameters::default() });
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
    let key = Key::ed25519();
    let leaf = Draft::client("CN=self", "CN=self", &key).sign(&key);
    let anchors = vec![Arc::clone(&leaf)];
    let plain = TrustParameters { anchors: anchors.clone(), ..TrustParameters::default() };
    assert!(TrustProfile::new(plain).verify(&leaf, &[], NOW, &mut NoTrace).is_ok());
    let listed = HashSet::from([leaf.sha256()]);
    let listed = TrustParameters { anchors, issuing_authorities: Some(listed), ..TrustParameters::default() };
    let denial = TrustProfile::new(listed).verify(&leaf, &[], NOW, &mut NoTrace).unwrap_err();
    assert_eq!(denial.reason, Reason::IssuerNotAuthorized);
}

#[test]
#[rustfmt::skip]
fn denials_say_what_was_compared() {
    let rows: &[(&str, fn(&mut Chain), &[&str])] = &[
        ("expired leaf", |c| c.leaf.valid(NOW.minus(DAY), NOW.minus(1)), &["client certificate: expired at 2027-01-15T07:59:59Z, now 2027-01-15T08:00:00Z"]),
        ("expired CA", |c| c.ica.valid(NOW.minus(DAY), NOW.minus(1)), &["CA certificate CN=ICA,O=Contoso: expired at", "path: [CN=client,O=Contoso] issued by [CN=ICA,O=Contoso]"]),
        ("unknown issuer", |c| c.leaf.issuer = name("CN=Other"), &["its issuer's name (CN=Other)"]),
        ("usage", |c| c.leaf.set(ext::purposes(&[ext::SERVER_AUTH])), &["clientAuth: it lists serverAuth"]),
        ("name", |c| c.ica.set(ext::constraints(&[dns("a.example")], &[])), &["dNSName client.example is not within a permitted subtree of CN=ICA,O=Contoso"]),
        ("weak key", |c| c.leaf.spki = rsa_spki(1024), &["RSA-1024 key is below the minimum of 2048 bits"]),
        ("path length", |c| c.profile.requirements.max_path_length = 0, &["more than 0 intermediate"]),
    ];
    for (row, change, wanted) in rows {
        let mut chain = Chain::new();
        change(&mut chain);
        let [leaf, ica, root] = chain.signed();
        let profile = TrustProfile::new(TrustParameters { anchors: vec![root], ..chain.profile });
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
        let key = Key::ed25519();
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
        (|d| d.set(ext::ca(Some(3))), "pathLenConstraint"),
        (|d| d.issuer = name("CN=Other"), "issued by CN=Other"),
        (|d| d.spki = rsa_spki(1024), "RSA-1024"),
        (|d| d.set(ext::any("1.2.3", true, vec![])), "1.2.3"),
    ] {
        let found = lint(change);
        assert!(found.contains(want), "{want}: {found}");
    }
}
