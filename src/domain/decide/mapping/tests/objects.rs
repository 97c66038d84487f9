//! The meaning of CertificateMapping objects, alone and together.

use serde_json::{Value, json};

use super::*;

fn object(certificate: Value, user: &str) -> Value {
    json!({"certificate": certificate, "identity": {"user": user}})
}

#[test]
fn mapping_objects_name_certificates_in_nine_forms() {
    let template = Template {
        subject: name(&[(C, "DE"), (O, "Contoso"), (CN, "client")]),
        serial: vec![0x00, 0xa1, 0x02],
        sans: vec![
            San::Uri("spiffe://acme.example/a".into()),
            San::Uri("urn:second".into()),
            San::Dns("Client.Acme.Example".into()),
            San::Email("Bob@Acme.Example".into()),
            San::Upn("Bob@Corp.Example".into()),
        ],
        ..Template::default()
    };
    let (key, ca) = (Key::new(), Key::new());
    let der = template.der(&key, &ca);
    let certificate = Certificate::from_der(der.clone()).unwrap();
    let issuer_serial =
        |issuer: &str, serial: &str| json!({"issuerSerial": {"issuer": issuer, "serialNumber": serial}});
    let rows: Vec<(&str, Value, bool)> = vec![
        ("sha256", json!({"sha256": certificate.sha256().to_string()}), true),
        ("another sha256", json!({"sha256": Sha256::of(b"").to_string()}), false),
        ("inline", json!({"inline": pem(&der)}), true),
        ("key", json!({"publicKeySha256": certificate.public_key_sha256().to_string()}), true),
        (
            "the certificate's hash is not the key's",
            json!({"publicKeySha256": certificate.sha256().to_string()}),
            false,
        ),
        ("issuer and serial", issuer_serial("CN=Acme CA,O=Acme", "a102"), true),
        ("issuer in other case and white space", issuer_serial("cn=ACME  ca , o=acme", "A1:02"), true),
        ("serial with leading zeros", issuer_serial("CN=Acme CA,O=Acme", "0000a102"), true),
        ("serial padded behind", issuer_serial("CN=Acme CA,O=Acme", "a10200"), false),
        ("another issuer", issuer_serial("CN=Acme CA,O=Acne", "a102"), false),
        ("issuer in the wrong order", issuer_serial("O=Acme,CN=Acme CA", "a102"), false),
        ("URI", json!({"uri": "spiffe://acme.example/a"}), true),
        ("second URI", json!({"uri": "urn:second"}), true),
        ("URI in other case", json!({"uri": "spiffe://acme.example/A"}), false),
        ("prefix of a URI", json!({"uri": "spiffe://acme.example/"}), false),
        ("DNS", json!({"dns": "client.acme.example"}), true),
        ("DNS with a trailing dot", json!({"dns": "CLIENT.acme.example."}), true),
        ("parent of the DNS name", json!({"dns": "acme.example"}), false),
        ("e-mail", json!({"email": "Bob@ACME.example"}), true),
        ("e-mail with another local part", json!({"email": "bob@acme.example"}), false),
        ("UPN", json!({"userPrincipalName": "bob@corp.example"}), true),
        ("UPN is not the e-mail", json!({"userPrincipalName": "Bob@Acme.Example"}), false),
        ("subject", json!({"subject": "CN=client,O=Contoso,C=DE"}), true),
        ("subject in other case and white space", json!({"subject": "cn=CLIENT, o=contoso , c=de"}), true),
        ("subject in the wrong order", json!({"subject": "C=DE,O=Contoso,CN=client"}), false),
        ("part of the subject", json!({"subject": "CN=client"}), false),
    ];
    let mapping = json!({"selector": {"matchLabels": {"api": "x"}}});
    for (row, name, matches) in rows {
        let want = if matches { Ok("acme".to_owned()) } else { Err(Reason::NoMapping) };
        assert_eq!(run(&mapping, &[("m", "x", object(name, "acme"))], &certificate), want, "{row}");
    }
}

#[test]
fn mapping_objects_together() {
    let key = Key::new();
    let template = sans(&[San::Dns("a.example".into()), San::Dns("b.example".into()), San::Uri("urn:a".into())]);
    let der = template.der(&key, &key);
    let certificate = Certificate::from_der(der.clone()).unwrap();
    let hash = json!({"sha256": Sha256::of(&der).to_string()});
    let dns = |name: &str| json!({"dns": name});
    let disabled =
        |certificate: Value| json!({"certificate": certificate, "identity": {"user": "x"}, "state": "Disabled"});
    let broken = |certificate: Value| json!({"certificate": certificate, "identity": {"user": ""}});
    let selector = json!({"selector": {"matchLabels": {"api": "x"}}});
    let everything = json!({"selector": {}});
    let rules = json!([rule("rule", "Allow", &[("Subject", "O", "*")])]);
    let with_rules = json!({"selector": {"matchLabels": {"api": "x"}}, "rules": rules});
    let with_one = |user: &str| json!({"oneToOne": [{"certificate": hash, "identity": {"user": user}}], "selector": {"matchLabels": {"api": "x"}}});
    type Objects = Vec<(&'static str, &'static str, Value)>;
    let rows: Vec<(&str, Value, Objects, Result<&str, Reason>)> = vec![
        ("one form", selector.clone(), vec![("m", "x", object(dns("a.example"), "a"))], Ok("a")),
        ("labels differ", selector.clone(), vec![("m", "y", object(dns("a.example"), "a"))], Err(Reason::NoMapping)),
        ("an empty selector takes all", everything, vec![("m", "y", object(dns("a.example"), "a"))], Ok("a")),
        (
            "no selector takes none",
            json!({"rules": rules}),
            vec![("m", "x", object(dns("a.example"), "a"))],
            Ok("rule"),
        ),
        ("beats a rule", with_rules.clone(), vec![("m", "x", object(dns("a.example"), "a"))], Ok("a")),
        (
            "two forms, one identity",
            selector.clone(),
            vec![("m", "x", object(dns("a.example"), "a")), ("n", "x", object(hash.clone(), "a"))],
            Ok("a"),
        ),
        (
            "two forms, two identities",
            selector.clone(),
            vec![("m", "x", object(dns("a.example"), "a")), ("n", "x", object(hash.clone(), "b"))],
            Err(Reason::MappingAmbiguous),
        ),
        (
            "two names of one form, two identities",
            selector.clone(),
            vec![("m", "x", object(dns("a.example"), "a")), ("n", "x", object(dns("b.example"), "b"))],
            Err(Reason::MappingAmbiguous),
        ),
        (
            "one name, two identities",
            selector.clone(),
            vec![("m", "x", object(dns("a.example"), "a")), ("n", "x", object(dns("A.example"), "b"))],
            Err(Reason::MappingAmbiguous),
        ),
        (
            "one name, two identities, one not selected",
            selector.clone(),
            vec![("m", "x", object(dns("a.example"), "a")), ("n", "y", object(dns("a.example"), "b"))],
            Ok("a"),
        ),
        (
            "identities differ by groups alone",
            selector.clone(),
            vec![
                ("m", "x", object(dns("a.example"), "a")),
                ("n", "x", json!({"certificate": hash, "identity": {"user": "a", "groups": ["g"]}})),
            ],
            Err(Reason::MappingAmbiguous),
        ),
        (
            "identities differ by uid alone",
            selector.clone(),
            vec![
                ("m", "x", object(dns("a.example"), "a")),
                ("n", "x", json!({"certificate": hash, "identity": {"user": "a", "uid": "1"}})),
            ],
            Err(Reason::MappingAmbiguous),
        ),
        ("one-to-one and object agree", with_one("a"), vec![("m", "x", object(dns("a.example"), "a"))], Ok("a")),
        (
            "one-to-one and object disagree",
            with_one("b"),
            vec![("m", "x", object(dns("a.example"), "a"))],
            Err(Reason::MappingAmbiguous),
        ),
        (
            "disabled denies",
            with_rules.clone(),
            vec![("m", "x", disabled(dns("a.example")))],
            Err(Reason::AccountDisabled),
        ),
        (
            "disabled outweighs another form",
            selector.clone(),
            vec![("m", "x", disabled(dns("a.example"))), ("n", "x", object(hash.clone(), "a"))],
            Err(Reason::AccountDisabled),
        ),
        (
            "disabled outweighs ambiguity",
            selector.clone(),
            vec![
                ("l", "x", object(dns("a.example"), "a")),
                ("m", "x", disabled(json!({"uri": "urn:a"}))),
                ("n", "x", object(hash.clone(), "b")),
            ],
            Err(Reason::AccountDisabled),
        ),
        (
            "disabled elsewhere does not concern us",
            with_rules.clone(),
            vec![("m", "y", disabled(dns("a.example")))],
            Ok("rule"),
        ),
        (
            "a broken object denies its certificate",
            with_rules.clone(),
            vec![("m", "x", broken(dns("a.example")))],
            Err(Reason::PolicyInvalid),
        ),
        (
            "a broken object of which nobody can tell the certificate grants nothing",
            with_rules.clone(),
            vec![("m", "x", object(dns("*.example"), "a"))],
            Ok("rule"),
        ),
        (
            "two objects of one name deny what they name",
            with_rules.clone(),
            vec![("m", "x", object(dns("a.example"), "a")), ("m", "x", object(dns("z.example"), "z"))],
            Err(Reason::PolicyInvalid),
        ),
        (
            "two objects of one name, one disabled",
            with_rules,
            vec![("m", "x", disabled(dns("a.example"))), ("m", "x", object(dns("z.example"), "z"))],
            Err(Reason::AccountDisabled),
        ),
    ];
    for (row, mapping, objects, want) in rows {
        assert_eq!(run(&mapping, &objects, &certificate), want.map(str::to_owned), "{row}");
    }
}

#[test]
fn identities_come_out_whole() {
    let certificate = sans(&[San::Dns("a.example".into())]).parsed();
    let spec = json!({"certificate": {"dns": "a.example"}, "identity": {
        "user": "svc", "groups": ["b", "a", "b"], "uid": "42", "extra": {"tier": ["gold", "silver"], "zone": ["z"]}}});
    let mapping = compiled(&json!({"selector": {}}));
    let table = store(&[("m", "x", spec)]).table();
    let (profile, path) = trust();
    let issuer = PathIssuer::new(&path, &[], &profile);
    let identity = identify(&mapping, NAMESPACE, &table, &certificate, issuer, &mut NoTrace).unwrap();
    assert_eq!(identity.user, "svc");
    assert_eq!(identity.groups, ["b", "a"]);
    assert_eq!(identity.uid.as_deref(), Some("42"));
    assert_eq!(identity.extra["tier"], ["gold", "silver"]);
    assert_eq!(identity.extra["zone"], ["z"]);
    let other = identify(&mapping, "other", &table, &certificate, issuer, &mut NoTrace);
    assert_eq!(other.unwrap_err().reason, Reason::NoMapping, "mappings of another namespace do not count");
}
