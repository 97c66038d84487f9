//! Where a decision takes certificates from: the sources of a profile, and the evidence of a request.

use super::*;

#[test]
fn trust_sources_of_every_kind() {
    let pki = Pki::new();
    let ca = Bytes::from(pem(&pki.ca_der));
    let data = || BTreeMap::from([("ca.crt".to_owned(), ca.clone()), ("x".to_owned(), Bytes::from_static(b"x"))]);
    let bundle = Object::ClusterTrustBundle {
        meta: ObjectMeta { name: "acme:roots".into(), ..ObjectMeta::default() },
        signer_name: String::new(),
        trust_bundle: ca.clone(),
    };
    let labels = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
    let signed = Object::ClusterTrustBundle {
        meta: ObjectMeta { name: "acme.example:a:b".into(), labels, ..ObjectMeta::default() },
        signer_name: "acme.example/a".into(),
        trust_bundle: ca.clone(),
    };
    let signer = |signer: &str, labels: Value| json!({"clusterTrustBundle": {"signerName": signer, "labelSelector": {"matchLabels": labels}}});
    let api = || policy("api", json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "partners"}}));
    let from = |source: Value| profile("partners", json!({"trustAnchors": [source]}));
    let rows: Vec<(&str, Vec<Object>, bool)> = vec![
        (
            "ConfigMap",
            vec![from(json!({"configMap": {"name": "r"}})), Object::ConfigMap { meta: meta("r"), data: data() }],
            true,
        ),
        (
            "Secret",
            vec![
                from(json!({"secret": {"name": "r", "key": "ca.crt"}})),
                Object::Secret { meta: meta("r"), data: data() },
            ],
            true,
        ),
        (
            "a ConfigMap is no Secret",
            vec![from(json!({"secret": {"name": "r"}})), Object::ConfigMap { meta: meta("r"), data: data() }],
            false,
        ),
        (
            "another key",
            vec![
                from(json!({"configMap": {"name": "r", "key": "x"}})),
                Object::ConfigMap { meta: meta("r"), data: data() },
            ],
            false,
        ),
        (
            "a key that is not there",
            vec![
                from(json!({"configMap": {"name": "r", "key": "y"}})),
                Object::ConfigMap { meta: meta("r"), data: data() },
            ],
            false,
        ),
        ("ClusterTrustBundle", vec![from(json!({"clusterTrustBundle": {"name": "acme:roots"}})), bundle.clone()], true),
        ("a signer's", vec![from(signer("acme.example/a", json!({}))), signed.clone(), bundle.clone()], true),
        ("a signer's, by label", vec![from(signer("acme.example/a", json!({"tier": "gold"}))), signed.clone()], true),
        ("other labels", vec![from(signer("acme.example/a", json!({"tier": "tin"}))), signed.clone()], false),
        ("another signer", vec![from(signer("acme.example/b", json!({}))), signed, bundle.clone()], false),
        ("inline", vec![from(json!({"inline": pem(&pki.ca_der)}))], true),
    ];
    for (row, mut objects, found) in rows {
        objects.push(api());
        let decision = decide(&snapshot(objects), &pki.client);
        assert_eq!(outcome(&decision).is_ok(), found, "{row}: {:?}", decision.verdict());
    }
    let mut index = Index::new();
    index.apply(api());
    index.apply(from(json!({"file": "certs/ca.pem"})));
    assert_eq!(index.wanted_files().certificates.into_iter().collect::<Vec<_>>(), ["certs/ca.pem"]);
    index.set_certificate_file("certs/ca.pem", Ok(ca));
    assert!(outcome(&decide(&index.publish().unwrap(), &pki.client)).is_ok());
}

#[test]
fn forwarded_evidence() {
    let pki = Pki::new();
    let snapshot = with_policy(&pki, json!({"evidence": [{"header": {"format": "Nginx"}}, {"peerCertificate": {}}]}));
    let header = |value: &str| Fake(BTreeMap::from([("ssl-client-cert", value.as_bytes().to_vec())]));
    let peer = url_encoded_pem(&pki.client);
    let rows = [
        ("in the header", header(&peer), "", Ok(EvidenceSource::Header)),
        ("in the second place", Fake(BTreeMap::new()), &*peer, Ok(EvidenceSource::PeerCertificate)),
        ("a malformed header never falls through", header("%zz"), &*peer, Err(Reason::ForwardedInvalid)),
        ("nowhere", Fake(BTreeMap::new()), "", Err(Reason::CertRequired)),
    ];
    for (row, headers, peer, want) in rows {
        let request = Request {
            named_policy: Some(b"payments/api"),
            http: None,
            peer_certificate: peer.as_bytes(),
            headers: &headers,
            source_address: None,
        };
        let decision = snapshot.decide(&request, NOW, &mut NoTrace);
        let got = outcome(&decision).map(|_| decision.presented().unwrap().source);
        assert_eq!(got, want, "{row}");
    }
}
