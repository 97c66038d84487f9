//! What is told of mappings that work by themselves and not together with what is around them.

use super::*;
use crate::domain::policy::lint::MappingFinding;
use crate::domain::store::review::review;
use certgate_x509::Certificate;

fn uri(name: &str, label: &str, uri: &str, user: &str) -> Object {
    mapping(name, label, json!({"certificate": {"uri": uri}, "identity": {"user": user}}))
}

fn selecting(name: &str, label: &str, more: Value) -> Object {
    let mut section = json!({"selector": {"matchLabels": {"api": label}}});
    section.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    policy(name, json!({"match": [{"hosts": ["api"]}], "trustRef": {"name": "t"}, "mapping": section}))
}

fn index(objects: impl IntoIterator<Item = Object>) -> Index {
    let mut index = Index::new();
    index.apply(profile(json!({"trustAnchors": [{"inline": pem(&pki().ca)}]})));
    objects.into_iter().for_each(|object| index.apply(object));
    index.publish();
    index
}

/// The contradictions that are told, each with its object.
fn conflicts(index: &Index) -> Vec<String> {
    lines(index).into_iter().filter(|line| line.contains("Conflicted: ")).collect()
}

fn conflict(object: &str, other: &str) -> String {
    format!(
        "Error CertificateMapping ns/{object}: spec.identity: Conflicted: CertificateMapping {other} maps the same \
         certificate to another identity, and policy ns/p selects both: the certificate is denied with MAPPING_AMBIGUOUS"
    )
}

#[test]
fn mappings_that_contradict_each_other_are_both_told() {
    let both = || vec![conflict("a", "b"), conflict("b", "a")];
    let pinned = |name: &str, user: &str, pin: Value| {
        let mut spec = json!({"issuer": "CN=CA", "serialNumber": "1"});
        spec.as_object_mut().unwrap().extend(pin.as_object().unwrap().clone());
        mapping(name, "x", json!({"certificate": {"issuerSerial": spec}, "identity": {"user": user}}))
    };
    let hash = |text: &[u8]| certgate_x509::Sha256::of(text).to_string();
    let pin = |text: &[u8]| json!({"issuerPublicKeySha256": hash(text)});
    let mut off = uri("b", "x", "a:b", "v");
    if let Object::CertificateMapping { spec, .. } = &mut off {
        spec.state = crate::domain::api::MappingState::Disabled;
    }
    let elsewhere = Object::CertificateMapping {
        meta: ObjectMeta { namespace: "other".to_owned(), ..uri("b", "x", "a:b", "v").meta().clone() },
        spec: serde_json::from_value(json!({"certificate": {"uri": "a:b"}, "identity": {"user": "v"}})).unwrap(),
    };
    let pki = pki();
    let inline = |user: &str| {
        mapping("a", "x", json!({"certificate": {"inline": pem(&pki.client)}, "identity": {"user": user}}))
    };
    let key = Certificate::from_der(pki.client.clone()).unwrap().public_key_sha256().to_string();
    let by_key = mapping("b", "x", json!({"certificate": {"publicKeySha256": key}, "identity": {"user": "v"}}));
    let by_hash = mapping("b", "x", json!({"certificate": {"sha256": hash(&pki.client)}, "identity": {"user": "v"}}));
    let a = || uri("a", "x", "a:b", "u");
    for (row, objects, want) in [
        ("another identity", vec![a(), uri("b", "x", "a:b", "v")], both()),
        ("the same identity", vec![a(), uri("b", "x", "a:b", "u")], vec![]),
        ("another certificate", vec![a(), uri("b", "x", "a:c", "v")], vec![]),
        ("no policy selects both", vec![a(), uri("b", "y", "a:b", "v")], vec![]),
        ("another namespace", vec![a(), elsewhere], vec![]),
        ("disabled", vec![a(), off], vec![]),
        ("one hash and one PEM", vec![inline("u"), by_hash], both()),
        ("one key and one PEM", vec![inline("u"), by_key.clone()], both()),
        ("one key and one PEM, the same identity", vec![inline("v"), by_key], vec![]),
        ("with and without pin", vec![pinned("a", "u", json!({})), pinned("b", "v", pin(b"1"))], both()),
        ("one pin", vec![pinned("a", "u", pin(b"1")), pinned("b", "v", pin(b"1"))], both()),
        ("two pins", vec![pinned("a", "u", pin(b"1")), pinned("b", "v", pin(b"2"))], vec![]),
    ] {
        let mut index = index(objects.into_iter().chain([selecting("p", "x", json!({}))]));
        assert_eq!(conflicts(&index), want, "{row}");
        let told: Vec<_> =
            index.mapping_reports().into_iter().filter(|(_, report)| !report.conflicts.is_empty()).collect();
        assert_eq!(told.len(), want.len(), "{row}");
        index.delete(&a().id());
        index.publish();
        assert_eq!(conflicts(&index), [""; 0], "{row}: one is gone");
    }
}

#[test]
fn a_third_mapping_of_one_name_leaves_the_other_two_in_conflict() {
    let (a, b, c) = (uri("a", "x", "a:b", "u"), uri("b", "x", "a:b", "v"), uri("c", "x", "a:b", "u"));
    let mut index = index([a.clone(), b, c.clone(), selecting("p", "x", json!({}))]);
    assert_eq!(conflicts(&index), [conflict("a", "b"), conflict("b", "a"), conflict("c", "b")]);
    index.delete(&a.id());
    assert_eq!(conflicts(&index), [conflict("b", "c"), conflict("c", "b")]);
    index.apply(uri("b", "x", "a:b", "u"));
    assert_eq!(conflicts(&index), [""; 0]);
    index.apply(uri("b", "x", "a:d", "v"));
    index.apply(a);
    assert_eq!(conflicts(&index), [""; 0], "none is left of what was");
    index.delete(&c.id());
    index.apply(uri("b", "x", "a:b", "v"));
    assert_eq!(conflicts(&index).len(), 2);
}

#[test]
fn an_entry_of_the_policy_contradicts_as_a_mapping_does() {
    let entries = json!({"oneToOne": [{"certificate": {"uri": "a:b"}, "identity": {"user": "v"}}]});
    let index = index([uri("a", "x", "a:b", "u"), uri("b", "x", "a:b", "v"), selecting("p", "x", entries)]);
    let told = conflicts(&index);
    assert!(
        told.iter().any(|line| line.contains("CertificateMapping ns/a: spec.identity: Conflicted: oneToOne[0] of"))
    );
    let own = "Warning CertificatePolicy ns/p: spec.mapping.oneToOne[0]: Conflicted: CertificateMapping a maps";
    assert!(told.iter().any(|line| line.starts_with(own)), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("ns/b: spec.identity: Conflicted: oneToOne")), "{told:#?}");
}

/// The warnings of `check`, without those of weak forms.
fn warnings(index: &Index) -> Vec<String> {
    let line = |problem: &ObjectProblem, error: &FieldError| format!("{}: {error}", problem.id);
    let all = index.lint(NOW);
    all.iter().flat_map(|p| p.errors.iter().map(|e| line(p, e)).collect::<Vec<_>>()).collect()
}

#[test]
fn a_mapping_that_no_policy_selects_is_told() {
    let mut off = uri("off", "y", "a:c", "u");
    if let Object::CertificateMapping { spec, .. } = &mut off {
        spec.state = crate::domain::api::MappingState::Disabled;
    }
    let broken = policy(
        "q",
        json!({"trustRef": {"name": "Not A Name"}, "mapping": {"selector": {"matchLabels": {"api": "z"}}}}),
    );
    let index = index([
        uri("a", "x", "a:b", "u"),
        uri("lost", "y", "a:b", "u"),
        uri("broken", "z", "a:b", "u"),
        off,
        selecting("p", "x", json!({})),
        broken,
    ]);
    let told = warnings(&index);
    let about = |name: &str| {
        told.iter().filter(|line| line.starts_with(&format!("CertificateMapping ns/{name}: "))).collect::<Vec<_>>()
    };
    assert_eq!(about("a"), [""; 0]);
    assert_eq!(about("broken"), [""; 0], "a policy that does not compile selects all the same");
    let unselected = "metadata.labels: no CertificatePolicy of this namespace selects the mapping: it ";
    assert!(about("lost")[0].ends_with(&format!("{unselected}maps nothing")), "{told:#?}");
    assert!(about("off")[0].contains(&format!("{unselected}denies nothing, and its certificate may")), "{told:#?}");
    let reports = index.mapping_reports();
    let findings: Vec<_> = reports
        .iter()
        .map(|(id, report)| {
            (
                id.name.as_str(),
                report.findings.contains(MappingFinding::NotSelected),
                report.findings.contains(MappingFinding::Disabled),
            )
        })
        .collect();
    assert_eq!(findings, [("lost", true, false), ("off", true, true)]);
}

#[test]
fn an_issuer_that_no_key_is_known_of_is_told() {
    let serial = |name: &str, issuer: &str, pin: Option<&str>| {
        let pin = pin.map(|pin| pin.repeat(64));
        mapping(
            name,
            "x",
            json!({
                "certificate": {"issuerSerial": {"issuer": issuer, "serialNumber": "1", "issuerPublicKeySha256": pin}},
                "identity": {"user": "u"},
            }),
        )
    };
    let all = || {
        vec![
            serial("known", "CN=Acme CA,O=Acme", None),
            serial("unknown", "CN=Nobody,O=Acme", None),
            serial("pinned", "CN=Nobody,O=Acme", Some("a")),
            serial("reversed", "O=Acme,CN=Acme CA", Some("b")),
            mapping("subject", "x", json!({"certificate": {"subject": "C=DE,CN=a"}, "identity": {"user": "u"}})),
            selecting("p", "x", json!({})),
        ]
    };
    let told = |index: &Index, one: MappingFinding| {
        let reports = index.mapping_reports().into_iter().filter(|(_, report)| report.findings.contains(one));
        reports.map(|(id, _)| id.name).collect::<Vec<_>>()
    };
    let mut index = index(all());
    assert_eq!(told(&index, MappingFinding::WeakIssuer), ["unknown"]);
    assert_eq!(told(&index, MappingFinding::Reversed), ["reversed", "subject"]);
    let lines = warnings(&index);
    assert!(lines.iter().any(|line| line.contains("ns/unknown: spec.certificate.issuerSerial: weak: ")), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.contains("ns/reversed: spec.certificate: ") && line.contains("reversed")),
        "{lines:#?}"
    );
    let two = [pki().ca, pki().ca].map(|ca| json!({"inline": pem(&ca)}));
    index.apply(profile(json!({"trustAnchors": two})));
    index.publish();
    assert_eq!(told(&index, MappingFinding::WeakIssuer), ["known", "unknown"], "two keys of one name");
    index.apply(profile(json!({"trustAnchors": [], "issuingAuthorities": [{"sha256": "a".repeat(64)}]})));
    index.publish();
    assert_eq!(told(&index, MappingFinding::WeakIssuer), [""; 0], "an authority without a name may be the one");
}

/// The same of entries of a policy: in `check`, in the webhook and in the policy's status.
#[test]
fn an_entry_whose_issuer_no_key_is_known_of_is_told() {
    let entry = |issuer: &str, serial: &str, pin: Option<&str>, state: &str| {
        let pin = pin.map(|pin| pin.repeat(64));
        json!({
            "certificate": {"issuerSerial": {"issuer": issuer, "serialNumber": serial, "issuerPublicKeySha256": pin}},
            "identity": {"user": "u"},
            "state": state,
        })
    };
    let entries = json!([
        entry("CN=Acme CA,O=Acme", "1", None, "Enabled"),
        entry("CN=Nobody,O=Acme", "2", None, "Enabled"),
        entry("CN=Nobody,O=Acme", "3", Some("a"), "Enabled"),
        entry("CN=Nobody,O=Acme", "4", None, "Disabled"),
        {"certificate": {"sha256": "b".repeat(64)}, "identity": {"user": "u"}},
    ]);
    let object = policy("p", json!({"trustRef": {"name": "t"}, "mapping": {"oneToOne": entries}}));
    let mut index = index([object.clone()]);
    let weak = |told: Vec<String>| told.into_iter().filter(|line| line.contains("weak: ")).collect::<Vec<_>>();
    let field = "spec.mapping.oneToOne[1].certificate.issuerSerial: weak: ";
    let checked = weak(warnings(&index));
    assert!(
        matches!(&checked[..], [line] if line.starts_with(&format!("CertificatePolicy ns/p: {field}"))),
        "{checked:#?}"
    );
    let status = index.policy_reports().remove(0).warnings;
    let status = weak(status.iter().map(ToString::to_string).collect());
    assert!(matches!(&status[..], [line] if line.starts_with(field)), "{status:#?}");
    let verdict = review(&index.view(), &object, NOW);
    let reviewed = weak(verdict.warnings.iter().map(ToString::to_string).collect());
    assert_eq!(reviewed, status);
    index.apply(profile(json!({"trustAnchors": [{"configMap": {"name": "absent"}}]})));
    index.publish();
    assert_eq!(weak(warnings(&index)), [""; 0], "without a profile nothing is known");
}

/// A distinguished name that looks reversed is told in the same words wherever it stands.
#[test]
fn reversed_names_are_told_in_one_text() {
    let subject = json!({"certificate": {"subject": "C=DE,O=Acme,CN=a"}, "identity": {"user": "u"}});
    let index = index([mapping("m", "x", subject.clone()), selecting("p", "x", json!({"oneToOne": [subject]}))]);
    let told: Vec<String> = warnings(&index).into_iter().filter(|line| line.contains("looks reversed")).collect();
    let texts: std::collections::BTreeSet<&str> =
        told.iter().filter_map(|line| Some(line.split_once(": the ")?.1)).collect();
    assert_eq!((told.len(), texts.len()), (2, 1), "{told:#?}");
}

/// A CA for names below `O=Partner`, in PEM.
fn constrained_ca() -> String {
    let mut base = rcgen::DistinguishedName::new();
    base.push(rcgen::DnType::OrganizationName, "Partner");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.name_constraints = Some(rcgen::NameConstraints {
        permitted_subtrees: vec![rcgen::GeneralSubtree::DirectoryName(base)],
        excluded_subtrees: vec![],
    });
    params.self_signed(&key).unwrap().pem()
}

#[test]
fn a_rule_that_rests_on_a_second_value_is_told() {
    let rule = |action: &str, attribute: &str, value: &str, values: &str| {
        let mut rule = json!({"name": "r", "action": action, "where": [{"field": "Subject", "attribute": attribute, "value": value, "values": values}]});
        if action == "Allow" {
            rule["identity"] = json!({"user": "u"});
        }
        policy("p", json!({"trustRef": {"name": "t"}, "mapping": {"rules": [rule]}}))
    };
    for (row, rule, told) in [
        ("another value than the CA's", rule("Allow", "O", "Contoso", "Any"), true),
        ("every value", rule("Allow", "O", "Contoso", "Every"), false),
        ("the CA's own value", rule("Allow", "O", "Part*", "Any"), false),
        ("an attribute that the CA is not bound in", rule("Allow", "OU", "Sales", "Any"), false),
        ("a rule that denies", rule("Deny", "O", "Contoso", "Any"), false),
    ] {
        let mut index = Index::new();
        index.apply(profile(json!({"trustAnchors": [{"inline": constrained_ca()}]})));
        index.publish();
        let reviewed = review(&index.view(), &rule, NOW).warnings;
        index.apply(rule);
        index.publish();
        let found: Vec<_> = warnings(&index).into_iter().filter(|line| line.contains("values: Every")).collect();
        let reviewed = reviewed.iter().filter(|warning| warning.message.contains("values: Every")).count();
        assert_eq!(reviewed, usize::from(told), "{row}: before it is stored");
        assert_eq!(found.len(), usize::from(told), "{row}: {found:?}");
        let field = "CertificatePolicy ns/p: spec.mapping.rules[0].where[0]: CA ";
        assert!(found.iter().all(|line| line.starts_with(field) && line.contains("below O=Partner")), "{found:?}");
    }
}

#[test]
fn a_denial_that_one_more_value_evades_is_told() {
    let rule = json!({"name": "r", "action": "Deny", "where": [{"field": "Subject", "attribute": "O", "value": "A", "values": "Every"}]});
    let index = index([policy("p", json!({"trustRef": {"name": "t"}, "mapping": {"rules": [rule]}}))]);
    let field = "CertificatePolicy ns/p: spec.mapping.rules[0].where[0].values: a certificate with one value more";
    assert!(warnings(&index).iter().any(|line| line.starts_with(field)), "{:#?}", warnings(&index));
}
