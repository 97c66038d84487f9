//! The definitions have every bound, and the chart carries them as they are.

use std::fs;
use std::path::Path;

use super::*;

/// Calls `visit` with every schema below `schema` and its path.
fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{path}.{name}"), inner, visit);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get(key) {
            walk(&format!("{path}{mark}"), inner, visit);
        }
    }
}

#[test]
fn everything_is_described_and_bounded() {
    for names in &KINDS {
        let schema = schema(names.kind);
        walk(names.kind.name(), &schema, &mut |path, schema| {
            let has = |key: &str| schema.get(key).is_some();
            let metadata = path.ends_with(".metadata");
            let element = path.ends_with("[]") || path.ends_with("{}");
            assert!(metadata || element || has("description"), "{path}: no description");
            match schema.get("type").and_then(Value::as_str) {
                Some("string") if path.matches('.').count() > 1 => {
                    assert!(has("maxLength") || has("enum") || has("format"), "{path}: a text without a bound");
                }
                Some("array") => {
                    assert!(has("maxItems"), "{path}: a list without a bound");
                    assert!(has("x-kubernetes-list-type"), "{path}: a list without a type");
                }
                Some("object") if has("additionalProperties") => {
                    assert!(has("maxProperties"), "{path}: a map without a bound");
                }
                Some("string" | "object" | "integer") => {}
                other => panic!("{path}: type {other:?}"),
            }
            assert_ne!(schema.get("additionalProperties"), Some(&Value::Bool(false)), "{path}: not structural");
        });
    }
}

#[test]
fn choices_are_rules() {
    let mut rules = Vec::new();
    for names in &KINDS {
        walk(names.kind.name(), &schema(names.kind), &mut |path, schema| {
            for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                rules.push(format!("{path}: {}", rule["message"].as_str().unwrap_or_default()));
            }
            let said = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            if said.contains("exactly one of the fields") {
                let rules = schema.get("x-kubernetes-validations").map(Value::to_string).unwrap_or_default();
                assert!(rules.contains("exists_one"), "{path}: says exactly one, but no rule does");
            }
        });
    }
    assert!(
        rules.iter().any(|rule| rule.starts_with("TrustProfile.spec.trustAnchors[]: want exactly one of")),
        "{rules:#?}"
    );
}

/// Where the API server shows a raw pattern, because a rule with words would cost it too much.
#[test]
fn patterns_are_left_only_where_rules_cost_too_much() {
    let mut left = Vec::new();
    for names in &KINDS {
        walk(names.kind.name(), &schema(names.kind), &mut |path, schema| {
            assert!(schema.get("x-form").is_none(), "{path}");
            if schema.get("pattern").is_some() {
                left.push(path.to_owned());
            }
        });
    }
    left.sort();
    assert_eq!(
        left,
        [
            "CertificatePolicy.spec.mapping.oneToOne[].certificate.inline",
            "CertificatePolicy.spec.mapping.oneToOne[].certificate.uri",
            "CertificatePolicy.spec.mapping.oneToOne[].identity.extra{}[]",
            "CertificatePolicy.spec.mapping.oneToOne[].identity.groups[]",
            "CertificatePolicy.spec.mapping.oneToOne[].identity.uid",
            "CertificatePolicy.spec.mapping.oneToOne[].identity.user",
            "CertificatePolicy.spec.mapping.rules[].identity.extra{}[]",
            "CertificatePolicy.spec.mapping.rules[].identity.groups[]",
            "TrustProfile.spec.intermediates[].inline",
            "TrustProfile.spec.revocation.crls[].inline",
            "TrustProfile.spec.trustAnchors[].inline",
            "TrustProfile.spec.trustedPeers[].inline",
        ]
    );
}

#[test]
#[should_panic(expected = "the schema has no field gone.with[]")]
fn a_stale_limit_is_noticed() {
    limits::apply(
        &mut json!({"properties": {"gone": {"properties": {}}}}),
        &vec![("gone.with[]".to_owned(), json!({}))],
    );
}

/// Run with `CERTGATE_BLESS=1` to write the files anew.
#[test]
fn the_chart_carries_the_definitions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/certgate/files/crds");
    let bless = std::env::var_os("CERTGATE_BLESS").is_some();
    if bless {
        fs::create_dir_all(&folder).unwrap();
    }
    for names in &KINDS {
        let path = folder.join(file_name(names));
        let want = format!("# Printed by `certgate crds`; do not edit.\n{}", to_yaml(&definition(names)));
        if bless {
            fs::write(&path, &want).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == want, "{} is stale: run `make crds`", path.display());
    }
}
