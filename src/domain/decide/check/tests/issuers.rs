//! Whose certificates a mapping by issuer and serial number means, where another CA has taken the issuer's name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use certgate_x509::Certificate;

/// A root; an issuing CA below it; and a CA of a partner that has certified another one under the issuing CA's name.
struct World {
    root: Vec<u8>,
    issuing: Vec<u8>,
    /// The issuing CA's key in another certificate.
    cross: Vec<u8>,
    /// And in one under another name.
    renamed: Vec<u8>,
    partner: Vec<u8>,
    impostor: Vec<u8>,
    /// By the issuing CA, and by its impostor, under one serial number.
    honest: Vec<u8>,
    forged: Vec<u8>,
    /// By the root, under the same serial number.
    direct: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let [root, issuing, partner, impostor] = [(); 4].map(|()| Key::new());
        let named = |cn| name(&[(O, "Acme"), (CN, cn)]);
        let ca = |subject, issuer, serial| Template {
            subject: named(subject),
            issuer: named(issuer),
            serial: vec![serial],
            ..Template::ca()
        };
        let leaf = |issuer| Template { issuer: named(issuer), ..Template::default() };
        Self {
            root: Template::ca().der(&root, &root),
            issuing: ca("Issuing", "Acme CA", 2).der(&issuing, &root),
            cross: ca("Issuing", "Acme CA", 3).der(&issuing, &root),
            renamed: ca("Former", "Acme CA", 6).der(&issuing, &root),
            partner: ca("Partner", "Acme CA", 4).der(&partner, &root),
            impostor: ca("Issuing", "Partner", 5).der(&impostor, &partner),
            honest: leaf("Issuing").der(&Key::new(), &issuing),
            forged: leaf("Issuing").der(&Key::new(), &impostor),
            direct: leaf("Acme CA").der(&Key::new(), &root),
        }
    }

    /// What the leaf and its chain come to under `trust`, added to the root, a mapping section and mapping objects.
    fn decide(
        &self,
        trust: &Value,
        mapping: &Value,
        objects: &[Value],
        leaf: &[u8],
        chain: &[&[u8]],
    ) -> Result<String, Reason> {
        let mut trust = trust.clone();
        trust["trustAnchors"] = json!([{"inline": pem(&self.root)}]);
        let spec = json!({
            "match": [{"hosts": ["api"]}], "trustRef": {"name": "partners"}, "mapping": mapping,
            "evidence": [{"header": {"format": "RFC9440", "chainName": "client-cert-chain"}}],
        });
        let object = |(at, spec): (usize, &Value)| Object::CertificateMapping {
            meta: meta(&format!("m{at}")),
            spec: serde_json::from_value(spec.clone()).unwrap(),
        };
        let mut all = vec![profile("partners", trust), policy("api", spec)];
        all.extend(objects.iter().enumerate().map(object));
        let line = |der: &[u8]| format!(":{}:", STANDARD.encode(der));
        let chain: Vec<_> = chain.iter().map(|der| line(der)).collect();
        let mut headers = BTreeMap::from([("client-cert", line(leaf).into_bytes())]);
        if !chain.is_empty() {
            headers.insert("client-cert-chain", chain.join(", ").into_bytes());
        }
        let headers = Fake(headers);
        let request = Request {
            named_policy: None,
            http: Some(Http { host: b"api", method: b"GET", path: b"/" }),
            peer_certificate: b"",
            headers: &headers,
            source_address: None,
        };
        let decision = snapshot(all).decide(&request, NOW, &mut NoTrace);
        outcome(&decision).map(|user| user.unwrap_or_default().to_owned())
    }
}

fn sha256(der: &[u8]) -> String {
    Sha256::of(der).to_string()
}

#[test]
fn the_issuer_of_a_mapping_is_a_key_and_not_a_name() {
    let world = World::new();
    let by = |issuer: &str, more: Value| {
        let mut spec = json!({"issuer": issuer, "serialNumber": "2a"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"certificate": {"issuerSerial": spec}, "identity": {"user": "acme"}})
    };
    let plain = by("CN=Issuing,O=Acme", json!({}));
    let key = Certificate::from_der(world.issuing.clone()).unwrap().public_key_sha256().to_string();
    let keyed = by("CN=Issuing,O=Acme", json!({"issuerPublicKeySha256": key}));
    let certified = by("CN=Issuing,O=Acme", json!({"issuerSha256": sha256(&world.issuing)}));
    let renamed = by("CN=Issuing,O=Acme", json!({"issuerSha256": sha256(&world.renamed)}));
    let root = by("CN=Acme CA,O=Acme", json!({}));
    let mut disabled = plain.clone();
    disabled["state"] = "Disabled".into();
    let off = |mapping: &Value| {
        let mut mapping = mapping.clone();
        mapping["state"] = "Disabled".into();
        mapping
    };
    let (keyed_off, certified_off) = (off(&keyed), off(&certified));
    let whole = |der: &[u8], user: &str| json!({"certificate": {"sha256": sha256(der)}, "identity": {"user": user}});

    let inline = |ders: &[&[u8]]| ders.iter().map(|der| json!({"inline": pem(der)})).collect::<Vec<_>>();
    let listed = |ders: &[&[u8]]| ders.iter().map(|der| json!({"sha256": sha256(der)})).collect::<Vec<_>>();
    let (issuing, impostor) = (world.issuing.as_slice(), world.impostor.as_slice());
    let nothing = json!({});
    let known = json!({"intermediates": inline(&[issuing])});
    let both = json!({"intermediates": inline(&[issuing, impostor])});
    let authority = json!({"issuingAuthorities": listed(&[issuing])});
    let authorities = json!({"issuingAuthorities": listed(&[issuing, impostor])});
    let one_of_both = json!({"intermediates": inline(&[issuing, impostor]), "issuingAuthorities": listed(&[issuing])});
    let all =
        json!({"intermediates": inline(&[issuing, impostor]), "issuingAuthorities": listed(&[issuing, impostor])});
    let former = json!({"intermediates": inline(&[issuing, impostor]), "disallowed": listed(&[impostor])});
    let peer = json!({"mode": "Peer", "trustedPeers": inline(&[&world.honest])});

    let select = json!({"selector": {}});
    let allow = json!({"name": "all", "action": "Allow", "where": [{"field": "Subject", "attribute": "CN", "value": "*"}], "identity": {"user": "all"}});
    let rules = json!({"selector": {}, "rules": [allow]});
    let entry = json!({"oneToOne": [plain.clone()]});
    let honest = (world.honest.as_slice(), vec![issuing]);
    let forged = (world.forged.as_slice(), vec![impostor, world.partner.as_slice()]);
    let crossed = (world.honest.as_slice(), vec![world.cross.as_slice()]);
    let crossed_and_named = (world.honest.as_slice(), vec![world.cross.as_slice(), issuing]);
    let renamed_too = (world.honest.as_slice(), vec![issuing, world.renamed.as_slice()]);
    let direct = (world.direct.as_slice(), vec![]);
    let weak = || Err(Reason::WeakMapping);
    type Chain<'a> = (&'a [u8], Vec<&'a [u8]>);
    type Row<'a> = (&'a str, &'a Value, &'a Value, Vec<Value>, &'a Chain<'a>, Result<&'a str, Reason>);
    let rows: Vec<Row<'_>> = vec![
        ("the profile knows the issuer", &known, &select, vec![plain.clone()], &honest, Ok("acme")),
        ("another CA of that name", &known, &select, vec![plain.clone()], &forged, weak()),
        ("an issuer that was sent along", &nothing, &select, vec![plain.clone()], &honest, weak()),
        ("an anchor", &nothing, &select, vec![root], &direct, Ok("acme")),
        ("two keys of that name", &both, &select, vec![plain.clone()], &honest, weak()),
        ("the only authority", &authority, &select, vec![plain.clone()], &honest, Ok("acme")),
        ("an authority among nameless ones", &authorities, &select, vec![plain.clone()], &honest, weak()),
        ("two authorities of that name", &all, &select, vec![plain.clone()], &honest, weak()),
        ("an authority beside a CA that is none", &one_of_both, &select, vec![plain.clone()], &honest, Ok("acme")),
        ("two of that name, one of them disallowed", &former, &select, vec![plain.clone()], &honest, Ok("acme")),
        ("its certificate has another name", &nothing, &select, vec![renamed], &renamed_too, Err(Reason::NoMapping)),
        ("a peer", &peer, &select, vec![plain.clone()], &honest, weak()),
        ("a key", &nothing, &select, vec![keyed.clone()], &honest, Ok("acme")),
        ("a key, two of that name", &both, &select, vec![keyed.clone()], &honest, Ok("acme")),
        ("a key, another CA", &nothing, &select, vec![keyed.clone()], &forged, Err(Reason::NoMapping)),
        ("a key, a peer", &peer, &select, vec![keyed], &honest, weak()),
        ("a certificate", &nothing, &select, vec![certified.clone()], &honest, Ok("acme")),
        ("a certificate, another CA", &known, &select, vec![certified.clone()], &forged, Err(Reason::NoMapping)),
        (
            "a certificate, another of its key",
            &nothing,
            &select,
            vec![certified.clone()],
            &crossed,
            Err(Reason::NoMapping),
        ),
        (
            "a certificate that was sent along",
            &nothing,
            &select,
            vec![certified.clone()],
            &crossed_and_named,
            Ok("acme"),
        ),
        ("a certificate that the profile has", &known, &select, vec![certified], &crossed, Ok("acme")),
        ("a name of a key with two certificates", &known, &select, vec![plain.clone()], &crossed, Ok("acme")),
        ("it does not fall through", &known, &rules, vec![plain.clone()], &forged, weak()),
        ("disabled, by whatever CA", &known, &rules, vec![disabled], &forged, Err(Reason::AccountDisabled)),
        ("disabled, a key", &nothing, &rules, vec![keyed_off.clone()], &crossed, Err(Reason::AccountDisabled)),
        ("disabled, a key, another CA", &nothing, &rules, vec![keyed_off], &forged, Ok("all")),
        (
            "disabled, a certificate instead of which another was sent along",
            &nothing,
            &rules,
            vec![certified_off.clone()],
            &crossed,
            Err(Reason::AccountDisabled),
        ),
        ("disabled, a certificate, another CA", &known, &rules, vec![certified_off], &forged, Ok("all")),
        (
            "a strong name beside it",
            &nothing,
            &select,
            vec![plain.clone(), whole(&world.honest, "acme")],
            &honest,
            Ok("acme"),
        ),
        (
            "a strong name that says otherwise",
            &nothing,
            &select,
            vec![plain, whole(&world.honest, "other")],
            &honest,
            Err(Reason::MappingAmbiguous),
        ),
        ("an entry of the policy", &known, &entry, vec![], &honest, Ok("acme")),
        ("an entry of the policy, another CA", &known, &entry, vec![], &forged, weak()),
    ];
    for (row, trust, mapping, objects, (leaf, chain), want) in rows {
        let got = world.decide(trust, mapping, &objects, leaf, chain);
        assert_eq!(got, want.map(str::to_owned), "{row}");
    }
}

#[test]
fn one_to_one_takes_every_form() {
    let pki = Pki::new();
    let template = Template {
        sans: vec![
            San::Uri("urn:a".into()),
            San::Dns("A.example".into()),
            San::Email("bob@Acme.example".into()),
            San::Upn("Bob@corp".into()),
        ],
        ..Template::default()
    };
    let client = pki.issue(&template);
    let parsed = Certificate::from_der(client.clone()).unwrap();
    for name in [
        json!({"sha256": sha256(&client)}),
        json!({"inline": pem(&client)}),
        json!({"publicKeySha256": parsed.public_key_sha256().to_string()}),
        json!({"issuerSerial": {"issuer": "CN=Acme CA,O=Acme", "serialNumber": "2a"}}),
        json!({"uri": "urn:a"}),
        json!({"dns": "a.example"}),
        json!({"email": "bob@acme.example"}),
        json!({"userPrincipalName": "bob@CORP"}),
        json!({"subject": "CN=client,O=Contoso,C=DE"}),
    ] {
        let entry = |state: &str| json!([{"certificate": name, "identity": {"user": "acme"}, "state": state}]);
        let outcome_of = |state: &str, peer: &[u8]| {
            let decision = decide(&with_policy(&pki, json!({"mapping": {"oneToOne": entry(state)}})), peer);
            outcome(&decision).map(|user| user.unwrap_or_default().to_owned())
        };
        assert_eq!(outcome_of("Enabled", &client), Ok("acme".to_owned()), "{name}");
        assert_eq!(outcome_of("Disabled", &client), Err(Reason::AccountDisabled), "{name}");
        let other = pki.issue(&Template {
            subject: certgate_testing::template::name(&[(CN, "other")]),
            serial: vec![7],
            ..Template::default()
        });
        assert_eq!(outcome_of("Enabled", &other), Err(Reason::NoMapping), "{name}");
    }
}

#[test]
fn a_name_in_reverse_order_is_told() {
    let pki = Pki::new();
    let told = |mapping: Value, objects: Vec<Object>| {
        let spec = json!({"trustRef": {"name": "partners"}, "match": [{"hosts": ["api"]}], "mapping": mapping});
        let anchors = json!({"trustAnchors": [{"inline": pem(&pki.ca_der)}]});
        let mut all = vec![profile("partners", anchors), policy("api", spec)];
        all.extend(objects);
        let mut recorder = Recorder::default();
        let decision = decide_traced(&snapshot(all), &pki.client, &mut recorder);
        assert_eq!(outcome(&decision), Err(Reason::NoMapping));
        let steps = recorder.steps().iter().map(|step| step.detail.clone());
        steps.filter(|detail| detail.contains("reverse")).collect::<Vec<_>>()
    };
    let object = |name: Value| Object::CertificateMapping {
        meta: meta("m"),
        spec: serde_json::from_value(json!({"certificate": name, "identity": {"user": "u"}})).unwrap(),
    };
    let subject = json!({"subject": "C=DE,O=Contoso,CN=client"});
    let issuer = json!({"issuerSerial": {"issuer": "O=Acme,CN=Acme CA", "serialNumber": "2a"}});
    let other = json!({"subject": "C=DE,O=Contoso,CN=other"});
    assert_eq!(
        told(json!({"selector": {}}), vec![object(subject.clone())]),
        ["CertificateMapping m by subject would match in reverse order: write \"CN=client,O=Contoso,C=DE\""]
    );
    assert_eq!(
        told(json!({"selector": {}}), vec![object(issuer)]),
        ["CertificateMapping m by issuerSerial would match in reverse order: write \"CN=Acme CA,O=Acme\""]
    );
    assert_eq!(
        told(json!({"oneToOne": [{"certificate": subject, "identity": {"user": "u"}}]}), vec![]),
        ["oneToOne[0] by subject would match in reverse order: write \"CN=client,O=Contoso,C=DE\""]
    );
    assert_eq!(told(json!({"selector": {}}), vec![object(other)]), [""; 0]);
}
