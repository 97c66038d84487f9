//! The steps that `explain` shows of a decision.

use super::*;

#[test]
fn the_trace_tells_every_stage() {
    let pki = Pki::new();
    let stages = |spec: Value, peer: &[u8]| {
        let mut recorder = Recorder::default();
        decide_traced(&with_policy(&pki, spec), peer, &mut recorder);
        let mut stages: Vec<_> = recorder.steps().iter().map(|step| (step.stage, step.verdict)).collect();
        stages.dedup_by_key(|(stage, _)| *stage);
        stages.into_iter().map(|(stage, _)| stage).collect::<Vec<_>>()
    };
    let allowed = stages(json!({}), &pki.client);
    assert_eq!(allowed.first(), Some(&"select"));
    assert_eq!(allowed.last(), Some(&"answer"));
    for stage in ["evidence", "certificate", "mapping"] {
        assert!(allowed.contains(&stage), "{stage} is missing: {allowed:?}");
    }
    assert_eq!(stages(json!({}), b""), ["select", "evidence"]);
    assert_eq!(stages(json!({"mode": "Audit"}), b""), ["select", "evidence", "answer"]);
    assert_eq!(stages(json!({"mapping": {}}), b""), ["select"]);
    assert_eq!(stages(json!({"mapping": {}}), &pki.client), ["select", "evidence", "certificate"]);
}

#[test]
fn a_denial_before_any_evidence_tells_who_came() {
    let pki = Pki::new();
    let anchored = profile("partners", json!({"trustAnchors": [{"inline": pem(&pki.ca_der)}]}));
    let spec = |more: Value| {
        let mut spec =
            json!({"trustRef": {"name": "partners"}, "match": [{"hosts": ["api"], "paths": [{"prefix": "/v2"}]}]});
        more.as_object().unwrap().iter().for_each(|(key, value)| spec[key] = value.clone());
        policy("api", spec)
    };
    let here = json!([{"hosts": ["api"]}]);
    let by_path = json!([{"hosts": ["api"], "paths": [{"exact": "/V1"}]}]);
    let rows = [
        (spec(json!({})), Reason::NoPolicy),
        (spec(json!({"match": here, "evidence": []})), Reason::PolicyInvalid),
        (spec(json!({"match": here, "trustRef": {"name": "absent"}})), Reason::TrustUnavailable),
    ];
    for (object, reason) in rows {
        let snapshot = snapshot([anchored.clone(), object]);
        let mut recorder = Recorder::default();
        let decision = decide_traced(&snapshot, &pki.client, &mut recorder);
        assert_eq!(outcome(&decision), Err(reason));
        let names = decision.presented().and_then(|found| found.names.as_ref());
        assert_eq!(names.map(|names| &*names.subject), Some("CN=client,O=Contoso,C=DE"), "{reason}");
        assert_eq!(decide(&snapshot, &pki.client).presented(), decision.presented(), "{reason}, without a trace");
        let told: Vec<_> = recorder.steps().iter().map(|step| &*step.detail).collect();
        assert!(told.contains(&"source.certificate is present; no policy has looked at it"), "{reason}: {told:#?}");
        assert_eq!(decide(&snapshot, b"").presented(), None, "{reason}");
    }
    // By two policies, so that the path can be ambiguous.
    let other = Object::CertificatePolicy {
        meta: meta("other"),
        spec: serde_json::from_value(json!({"trustRef": {"name": "partners"}, "match": by_path})).unwrap(),
    };
    let both = snapshot([anchored.clone(), spec(json!({"match": here})), other]);
    let decision = decide(&both, &pki.client);
    assert_eq!(outcome(&decision), Err(Reason::PathAmbiguous));
    assert!(decision.presented().is_some());

    // What is not named is told of where a certificate is missed.
    let named = snapshot([anchored, spec(json!({"match": here, "evidence": [{"header": {"format": "RFC9440"}}]}))]);
    let mut recorder = Recorder::default();
    assert_eq!(outcome(&decide_traced(&named, &pki.client, &mut recorder)), Err(Reason::CertRequired));
    let told = "source.certificate is present, but the policy's evidence does not name it";
    assert!(recorder.steps().iter().any(|step| step.detail == told), "{:#?}", recorder.steps());
}

#[test]
fn evidence_that_is_present_and_not_named() {
    let headers = Fake(
        [
            ("x-forwarded-client-cert", b"Hash=ab".to_vec()),
            ("client-cert", b":AA==:".to_vec()),
            ("ssl-client-cert", vec![]),
        ]
        .into(),
    );
    let request =
        Request { named_policy: None, http: None, peer_certificate: b"x", headers: &headers, source_address: None };
    let header = EvidenceRule::Header {
        format: evidence::HeaderFormat::Rfc9440,
        name: "client-cert".to_owned(),
        chain_name: None,
    };
    let all = ["source.certificate", "x-forwarded-client-cert", "client-cert"];
    assert_eq!(evidence::not_named(&[], &request), all);
    assert_eq!(evidence::not_named(&[header], &request), all[..2]);
    let peer = EvidenceRule::PeerCertificate { chain_from: ChainSource::None };
    assert_eq!(evidence::not_named(&[peer], &request), all[1..]);
}
