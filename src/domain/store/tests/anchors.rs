//! Certificates of trust sources that cannot be used: what becomes of them, of the others, and of who relies on them.

use super::*;

/// A CA and a client of it whose own key has issued a certificate.
struct Minted {
    ca: Vec<u8>,
    client: Vec<u8>,
    minted: Vec<u8>,
}

fn minted() -> Minted {
    let (ca_key, key) = (Key::new(), Key::new());
    let client = Template::default();
    let below = Template { issuer: client.subject.clone(), subject: Template::ca().subject, ..Template::default() };
    Minted {
        ca: Template::ca().der(&ca_key, &ca_key),
        client: client.der(&key, &ca_key),
        minted: below.der(&Key::new(), &key),
    }
}

fn index(trust: Value) -> Index {
    let mut index = Index::new();
    index.apply(policy("p", json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}})));
    index.apply(profile(trust));
    index
}

const ROOTS: &str = "spec.trustAnchors[0].configMap";

#[test]
fn an_inline_anchor_that_is_no_ca_is_an_error() {
    let Minted { ca, client, minted } = minted();
    for pem in [pem(&client), pem(&ca) + &pem(&client)] {
        let mut index = index(json!({"trustAnchors": [{"inline": pem}]}));
        assert_eq!(decide(&index.publish().unwrap(), "api", &minted), Err(Reason::PolicyInvalid));
        let problems = lines(&index);
        let want = "spec.trustAnchors[0].inline: certificate";
        assert!(problems[0].contains(want) && problems[0].contains("not a CA"), "{problems:?}");
    }
    let skip = json!([{"inline": pem(&ca) + &pem(&client), "onBadCertificate": "Skip"}]);
    let mut index = self::index(json!({"trustAnchors": skip}));
    let snapshot = index.publish().unwrap();
    assert_eq!(decide(&snapshot, "api", &minted), Err(Reason::CertUntrusted));
    assert!(decide(&snapshot, "api", &client).is_ok(), "the others count");
    let problems = lines(&index);
    assert!(problems[0].starts_with("Warning TrustProfile ns/t: spec.trustAnchors[0].inline: "), "{problems:?}");
    assert_eq!(index.profile_reports()[0].skipped.len(), 1);
    let skip = json!([{"inline": pem(&client), "onBadCertificate": "Skip"}]);
    let mut index = self::index(json!({"trustAnchors": skip}));
    assert_eq!(decide(&index.publish().unwrap(), "api", &minted), Err(Reason::PolicyInvalid), "none is left");
}

#[test]
fn who_wants_an_anchor_that_is_no_ca_is_warned() {
    let Minted { client, minted, .. } = minted();
    for anchors in [json!([{"inline": pem(&client)}]), json!([{"configMap": {"name": "roots"}}])] {
        let mut index = index(json!({"trustAnchors": anchors, "anchorExtensions": "Ignore"}));
        index.apply(config_map(&pem(&client)));
        assert!(decide(&index.publish().unwrap(), "api", &minted).is_ok());
        let problems = lines(&index);
        assert!(problems[0].contains("spec.anchorExtensions: WEAK: with Ignore"), "{problems:?}");
    }
    let mut index = index(json!({"mode": "Peer", "trustAnchors": [{"inline": pem(&client)}]}));
    assert_eq!(decide(&index.publish().unwrap(), "api", &minted), Err(Reason::CertUntrusted), "not used, no error");
}

#[test]
fn one_bad_certificate_of_a_bundle_leaves_the_others() {
    let Minted { ca, client, minted } = minted();
    let mut index = index(json!({"trustAnchors": [{"configMap": {"name": "roots"}}]}));
    let broken = pem(&client[..client.len() - 1]);
    let rows = [
        ("no CA", pem(&client), "certificate 2 (line "),
        ("malformed", broken, "certificate 2 (line "),
        (
            "not base64",
            "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n".to_owned(),
            "not canonical base64",
        ),
    ];
    for (row, bad, want) in rows {
        index.apply(config_map(&(pem(&ca) + &bad)));
        if let Some(snapshot) = index.publish() {
            assert!(decide(&snapshot, "api", &client).is_ok(), "{row}");
            assert_eq!(decide(&snapshot, "api", &minted), Err(Reason::CertUntrusted), "{row}");
        }
        let [problem] = &lines(&index)[..] else { panic!("{row}: {:?}", lines(&index)) };
        assert!(problem.starts_with(&format!("Warning TrustProfile ns/t: {ROOTS}: ")), "{row}: {problem}");
        assert!(problem.contains(want) && problem.contains("the others are used"), "{row}: {problem}");
        let report = &index.profile_reports()[0];
        assert_eq!((report.skipped.len(), report.unresolved.len()), (1, 0), "{row}");
    }
    index.apply(config_map(&pem(&ca)));
    index.publish();
    assert_eq!(lines(&index), [""; 0], "mended");
    assert_eq!(index.profile_reports()[0].skipped, []);
}

/// What is left when nothing of a source can be used hangs on whether anything of it could be read.
#[test]
fn a_profile_without_any_usable_anchor_denies() {
    let Minted { ca, client, minted } = minted();
    let mut index = index(json!({"trustAnchors": [{"configMap": {"name": "roots"}}]}));
    index.apply(config_map(&pem(&client)));
    assert_eq!(decide(&index.publish().unwrap(), "api", &minted), Err(Reason::TrustUnavailable));
    assert!(lines(&index).iter().any(|line| line.contains("spec.trustAnchors: no certificate")), "{:?}", lines(&index));
    index.apply(config_map(&pem(&ca)));
    assert!(decide(&index.publish().unwrap(), "api", &client).is_ok());
    index.apply(config_map(&pem(&client)));
    let snapshot = index.publish().unwrap();
    assert_eq!(decide(&snapshot, "api", &client), Err(Reason::TrustUnavailable), "the CA was taken out");
    index.apply(config_map(&pem(&ca)));
    index.publish().unwrap();
    index.apply(config_map(&pem(&ca[..ca.len() - 1])));
    if let Some(snapshot) = index.publish() {
        assert!(decide(&snapshot, "api", &client).is_ok(), "nobody can tell what was meant");
    }
    assert!(lines(&index)[0].ends_with("; its last good content stays in use"), "{:?}", lines(&index));
}

#[test]
fn a_bundle_may_be_refused_for_one_bad_certificate() {
    let Minted { ca, client, .. } = minted();
    let source = json!({"configMap": {"name": "roots"}, "onBadCertificate": "Refuse"});
    let mut index = index(json!({"trustAnchors": [source]}));
    index.apply(config_map(&(pem(&ca) + &pem(&client))));
    assert_eq!(decide(&index.publish().unwrap(), "api", &client), Err(Reason::TrustUnavailable));
    index.apply(config_map(&pem(&ca)));
    assert!(decide(&index.publish().unwrap(), "api", &client).is_ok());
    index.apply(config_map(&(pem(&ca) + &pem(&client))));
    index.publish();
    let [problem] = &lines(&index)[..] else { panic!("{:?}", lines(&index)) };
    assert!(problem.starts_with(&format!("Error TrustProfile ns/t: {ROOTS}: certificate 2 ")), "{problem}");
    assert!(problem.ends_with("; its last good content stays in use"), "{problem}");
}

/// Any certificate may help to build a path, or be a peer.
#[test]
fn only_anchors_must_be_of_a_ca() {
    let Minted { ca, client, .. } = minted();
    let inline = json!([{"inline": pem(&client)}]);
    let trust = json!({"mode": "PeerOrChain", "trustAnchors": [{"inline": pem(&ca)}], "intermediates": inline,
                       "trustedPeers": inline});
    let mut index = index(trust);
    assert!(decide(&index.publish().unwrap(), "api", &client).is_ok());
    assert_eq!(lines(&index), [""; 0]);
}

/// Whoever has the key writes the names: they map nothing, and refuse what they name.
#[test]
fn a_peer_by_its_key_is_mapped_by_its_key() {
    let key = Key::new();
    let sans = vec![San::Dns("admin.example".into())];
    let [own, renewed] = [Template::default(), Template { sans, serial: vec![9], ..Template::default() }]
        .map(|template| template.der(&key, &Key::new()));
    let hash = |der: &[u8]| certgate_x509::Certificate::from_der(der.to_vec()).unwrap();
    let (sha256, key_sha256) = (hash(&own).sha256().to_string(), hash(&own).public_key_sha256().to_string());
    let other = Template::default().der(&Key::new(), &Key::new());
    let mut index = Index::new();
    index.apply(profile(json!({"mode": "Peer", "trustedPeers": [{"publicKeySha256": key_sha256}]})));
    let match_on = |host: &str| json!([{"hosts": [host]}]);
    index.apply(policy("all", json!({"match": match_on("all"), "trustRef": {"name": "t"}})));
    let rule = |action: Value| json!([{"name": "r", "where": [{"field": "DNS", "value": "*"}], "action": action}]);
    let mut allow = rule(json!("Allow"));
    allow[0]["identity"] = json!({"user": "by rule"});
    for (name, mapping) in [
        ("rules", json!({"rules": allow})),
        ("objects", json!({"selector": {}, "rules": allow})),
        ("deny", json!({"precedence": "DenyFirst", "selector": {}, "rules": rule(json!("Deny"))})),
        ("single", json!({"oneToOne": [{"certificate": {"sha256": sha256}, "identity": {"user": "own"}}]})),
    ] {
        index.apply(policy(name, json!({"match": match_on(name), "trustRef": {"name": "t"}, "mapping": mapping})));
    }
    let maps = |name: &str, certificate: Value, user: &str, state: &str| {
        mapping(name, "x", json!({"certificate": certificate, "identity": {"user": user}, "state": state}))
    };
    index.apply(maps("dns", json!({"dns": "admin.example"}), "admin", "Enabled"));
    let snapshot = index.publish().unwrap();
    let rows = [
        ("all", &own, Err(Reason::NoMapping)),
        ("rules", &renewed, Err(Reason::NoMapping)),
        ("objects", &renewed, Err(Reason::NoMapping)),
        ("single", &own, Ok("own".to_owned())),
        ("single", &renewed, Err(Reason::NoMapping)),
        ("all", &other, Err(Reason::CertUntrusted)),
    ];
    for (host, certificate, want) in rows {
        assert_eq!(decide(&snapshot, host, certificate), want, "{host}");
    }
    index.apply(maps("key", json!({"publicKeySha256": key_sha256}), "peer", "Enabled"));
    let snapshot = index.publish().unwrap();
    let rows = [
        ("objects", &own, Ok("peer".to_owned())),
        ("objects", &renewed, Ok("peer".to_owned())),
        ("deny", &own, Ok("peer".to_owned())),
        ("deny", &renewed, Err(Reason::MappingDenied)),
    ];
    for (host, certificate, want) in rows {
        assert_eq!(decide(&snapshot, host, certificate), want, "{host} with a mapping of the key");
    }
    index.apply(maps("dns", json!({"dns": "admin.example"}), "admin", "Disabled"));
    assert_eq!(decide(&index.publish().unwrap(), "objects", &renewed), Err(Reason::AccountDisabled));
}

/// dNSName constraints leave the common name free, so a rule that allows by it trusts the CA with all of them.
#[test]
fn rules_by_common_name_under_a_constrained_ca_are_warned_of() {
    let key = Key::new();
    let constrained = Template { dns_constraint: Some("partner.example"), ..Template::ca() }.der(&key, &key);
    let free = Template::ca().der(&key, &key);
    let rule = |attribute: &str, action: &str, state: &str| {
        let mut rule = json!({"name": attribute, "action": action, "state": state,
                              "where": [{"field": "Subject", "attribute": attribute, "value": "a"}]});
        if action == "Allow" {
            rule["identity"] = json!({"user": "u"});
        }
        json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}, "mapping": {"rules": [rule]}})
    };
    let bare = json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}});
    let rows = [
        (&constrained, rule("CN", "Allow", "Enabled"), Some("spec.mapping.rules[0].where: the rule allows by")),
        (&constrained, rule("2.5.4.3", "Allow", "Enabled"), Some("spec.mapping.rules[0].where: the rule allows by")),
        (&constrained, rule("O", "Allow", "Enabled"), None),
        (&constrained, rule("CN", "Deny", "Enabled"), None),
        (&constrained, rule("CN", "Allow", "Disabled"), None),
        (&constrained, bare, Some("spec.mapping: without it the subject is the user")),
        (&free, rule("CN", "Allow", "Enabled"), None),
    ];
    for (ca, spec, want) in rows {
        for list in ["trustAnchors", "intermediates"] {
            let mut index = Index::new();
            index.apply(profile(json!({list: [{"inline": pem(ca)}]})));
            index.apply(policy("p", spec.clone()));
            index.publish();
            let told = |warnings: &[FieldError]| {
                let told: Vec<_> = warnings.iter().map(ToString::to_string).collect();
                told.into_iter().filter(|warning| warning.contains("do not bind the common name")).collect::<Vec<_>>()
            };
            let checked: Vec<FieldError> = index.lint(NOW).into_iter().flat_map(|problem| problem.errors).collect();
            let reviewed = crate::domain::store::review::review(&index.view(), &policy("p", spec.clone()), NOW);
            for found in [told(&checked), told(&reviewed.warnings)] {
                assert_eq!(found.len(), usize::from(want.is_some()), "{spec} {found:?}");
                assert!(found.iter().all(|found| found.starts_with(want.unwrap_or_default())), "{found:?}");
            }
        }
    }
}
