//! Chains that are joined out of several headers and lines.

use super::*;

/// What a client joins before the proxy's own line, with names that fit.
#[test]
fn joined_lines_are_one_chain_by_signature() {
    let [root, ca, client, thief] = [(); 4].map(|()| SigningKey::p256());
    let anchor = Draft::ca("CN=Root", "CN=Root", &root).sign(&root);
    let issuing = Draft::ca("CN=CA", "CN=Root", &ca).sign(&root);
    let victim = Draft::client("CN=victim", "CN=CA", &client).sign(&ca);
    // The thief's own certificates bear the names that fit.
    let own_ca = Draft::ca("CN=CA", "CN=CA", &thief).sign(&thief);
    let own_root = Draft::client("CN=Root", "CN=Root", &thief).sign(&thief);
    let snapshot = snapshot(&anchor);
    let cache = DecisionCache::default();
    for (row, list, want) in [
        ("alone", vec![&victim], Err(Reason::CertUntrusted)),
        ("with its CA", vec![&victim, &issuing], Ok(())),
        ("with the root", vec![&victim, &issuing, &anchor], Ok(())),
        ("before the thief's", vec![&victim, &own_ca], Err(Reason::ForwardedInvalid)),
        ("with its CA, before the thief's", vec![&victim, &issuing, &own_root], Err(Reason::ForwardedInvalid)),
        ("with all, before the thief's", vec![&victim, &issuing, &anchor, &own_root], Err(Reason::ForwardedInvalid)),
        ("out of order", vec![&victim, &anchor, &issuing], Err(Reason::ForwardedInvalid)),
    ] {
        let headers = joined(&list);
        for _ in 0..2 {
            let decision = snapshot.decide_cached(&request("traefik", &headers), NOW, &cache);
            assert_eq!(outcome(&decision).map_err(|(reason, _)| reason), want, "{row}: {:?}", decision.verdict());
        }
    }
    // Where the CA is the anchor, its own issuer is not on the path.
    let by_ca = self::snapshot(&issuing);
    let whole = joined(&[&victim, &issuing, &anchor]);
    assert_eq!(outcome(&by_ca.decide(&request("traefik", &whole), NOW, &mut NoTrace)), Ok(()));
    let spent = snapshot.decide(&request("traefik", &whole), NOW, &mut NoTrace).spent();
    assert_eq!(spent.signatures, 2, "the path's are not verified twice");
}

/// Signatures can be made to fit as well: the thief certifies the key of a CA, and by that key the victim's certificate is
/// signed. No path of the victim leads over it.
#[test]
fn a_certificate_for_the_key_of_a_ca_joins_nothing() {
    let [root, ca, client, thief, own] = [(); 5].map(|()| SigningKey::p256());
    let anchor = Draft::ca("CN=Root", "CN=Root", &root).sign(&root);
    let issuing = Draft::ca("CN=CA", "CN=Root", &ca).sign(&root);
    let victim = Draft::client("CN=victim", "CN=CA", &client).sign(&ca);
    let of_root = Draft::client("CN=victim", "CN=Root", &client).sign(&root);
    // What the proxy has seen the thief prove: a certificate that nobody knows, or one that the CA has issued.
    let unknown = Draft::ca("CN=thief", "CN=thief", &thief).sign(&thief);
    let known = Draft::client("CN=thief", "CN=CA", &own).sign(&ca);
    let bridge = |name: &str, key: &SigningKey, by: &SigningKey| Draft::ca(name, "CN=thief", key).sign(by);
    let (ca_by_unknown, ca_by_known) = (bridge("CN=CA", &ca, &thief), bridge("CN=CA", &ca, &own));
    let (root_by_unknown, root_by_known) = (bridge("CN=Root", &root, &thief), bridge("CN=Root", &root, &own));
    let by_root = snapshot(&anchor);
    let by_ca = snapshot(&issuing);
    let peers = peers(&[&victim, &of_root]);
    for (row, list, forged) in [
        ("a root", vec![&of_root, &root_by_unknown, &unknown], true),
        ("a root, by a client", vec![&of_root, &root_by_known, &known], true),
        ("a root, by a client of a CA", vec![&of_root, &root_by_known, &known, &issuing, &anchor], true),
        ("a root above a CA", vec![&victim, &issuing, &root_by_unknown, &unknown], true),
        ("a root above a CA, by a client", vec![&victim, &issuing, &root_by_known, &known, &issuing], true),
        ("a CA", vec![&victim, &ca_by_unknown, &unknown], true),
        ("a CA, by a client", vec![&victim, &ca_by_known, &known, &issuing], true),
        ("nobody's", vec![&victim, &issuing], false),
    ] {
        let headers = joined(&list);
        for (profile, snapshot) in [("root", &by_root), ("CA", &by_ca), ("peers", &peers)] {
            let got = outcome(&snapshot.decide(&request("traefik", &headers), NOW, &mut NoTrace));
            assert_eq!(got.is_err(), forged, "{row}, {profile}: {got:?}");
            // Where the profile has no path at all, it says that first.
            let refused = [Reason::ForwardedInvalid, Reason::CertUntrusted];
            assert!(got.is_ok() || got.is_err_and(|(reason, _)| refused.contains(&reason)), "{row}, {profile}");
        }
    }
    let (reason, detail) = outcome(&by_root.decide(
        &request("traefik", &joined(&[&of_root, &root_by_unknown, &unknown])),
        NOW,
        &mut NoTrace,
    ))
    .unwrap_err();
    assert_eq!(reason, Reason::ForwardedInvalid);
    assert!(detail.contains("certificate 2 is neither of the valid path nor configured"), "{detail}");
}

/// Who has stolen the key of a CA that is still listed, and disallowed since, joins nothing with it.
#[test]
fn a_disallowed_ca_joins_nothing() {
    let [root, ca, client, stolen] = [(); 4].map(|()| SigningKey::p256());
    let anchor = Draft::ca("CN=Root", "CN=Root", &root).sign(&root);
    let issuing = Draft::ca("CN=CA", "CN=Root", &ca).sign(&root);
    let former = Draft::ca("CN=Former", "CN=Root", &stolen).sign(&root);
    let victim = Draft::client("CN=victim", "CN=CA", &client).sign(&ca);
    let bridge = Draft::ca("CN=CA", "CN=Former", &ca).sign(&stolen);
    let headers = joined(&[&victim, &bridge, &former]);
    let spki = former.public_key_sha256().to_string();
    for (disallowed, passes) in [
        (json!([]), true),
        (json!([{"publicKeySha256": spki}]), false),
        (json!([{"sha256": former.sha256().to_string()}]), false),
    ] {
        let inline = |certificate: &Certificate| json!({"inline": pem(certificate.der())});
        let snapshot = snapshot_of(json!({
            "trustAnchors": [inline(&anchor)],
            "intermediates": [inline(&issuing), inline(&former)],
            "disallowed": disallowed,
        }));
        let got = outcome(&snapshot.decide(&request("traefik", &headers), NOW, &mut NoTrace));
        assert_eq!(got.is_ok(), passes, "{disallowed}: {got:?}");
    }
}

/// Three intermediates with P-384, all sent along, in one header and in two.
#[test]
fn an_honest_chain_in_one_header_passes() {
    let root = SigningKey::p256();
    let keys = [(); 3].map(|()| SigningKey::p384());
    let anchor = Draft::ca("CN=Root", "CN=Root", &root).sign(&root);
    let chain = [
        Draft::ca("CN=CA 0", "CN=CA 1", &keys[0]).sign(&keys[1]),
        Draft::ca("CN=CA 1", "CN=CA 2", &keys[1]).sign(&keys[2]),
        Draft::ca("CN=CA 2", "CN=Root", &keys[2]).sign(&root),
    ];
    let leaf = Draft::client("CN=client", "CN=CA 0", &SigningKey::p384()).sign(&keys[0]);
    let snapshot = snapshot(&anchor);
    for with_root in [false, true] {
        let list: Vec<_> = [&leaf].into_iter().chain(&chain).chain(with_root.then_some(&anchor)).collect();
        let headers = joined(&list);
        assert_eq!(outcome(&snapshot.decide(&request("traefik", &headers), NOW, &mut NoTrace)), Ok(()));
        let headers = forwarded(&leaf, &list[1..].iter().map(|one| Arc::clone(one)).collect::<Vec<_>>());
        assert_eq!(outcome(&snapshot.decide(&request("api", &headers), NOW, &mut NoTrace)), Ok(()));
    }
}

/// Nor can links be multiplied.
#[test]
fn links_have_the_same_budget() {
    let root = SigningKey::p256();
    let keys: Vec<SigningKey> = (0..10).map(|_| SigningKey::p521()).collect();
    let anchor = Draft::ca("CN=Root", "CN=Root", &root).sign(&root);
    let name = |n: usize| format!("CN=CA {n}");
    let chain: Vec<_> =
        (0..10).map(|n| Draft::ca(&name(n), &name(n + 1), &keys[n]).sign(keys.get(n + 1).unwrap_or(&root))).collect();
    let leaf = Draft::client("CN=leaf", &name(0), &root).sign(&keys[0]);
    let headers = joined(&[&[&leaf][..], &chain.iter().collect::<Vec<_>>()].concat());
    let snapshot = snapshot(&anchor);
    let cache = DecisionCache::default();
    let first = snapshot.decide_cached(&request("traefik", &headers), NOW, &cache);
    assert_eq!(first.verdict().unwrap_err().reason, Reason::ForwardedInvalid);
    assert!(first.spent().microseconds <= WORK, "{:?}", first.spent());
    let again = snapshot.decide_cached(&request("traefik", &headers), NOW, &cache);
    assert_eq!((outcome(&again), again.spent().signatures), (outcome(&first), 0));
}
