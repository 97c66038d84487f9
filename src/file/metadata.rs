//! The `metadata` of a document.
//!
//! This module owns names, namespaces and labels and their syntax (that of Kubernetes, so that what runs from a
//! directory can be applied to a cluster), and knows the fields that a cluster adds and that `kubectl get -o yaml`
//! prints; those are accepted and ignored.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use super::report::shown;
use super::schema::{Fault, Schema, locate, push_key};
use super::yaml::{Mark, Node};
use crate::domain::api::{DEFAULT_NAMESPACE, Kind, ObjectMeta};
use certgate_x509::UnixTime;

static METADATA: LazyLock<Schema> = LazyLock::new(|| {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "labels": texts,
            "annotations": texts,
            "creationTimestamp": {},
            "uid": {},
            "resourceVersion": {},
            "generation": {},
            "generateName": {},
            "managedFields": {},
            "ownerReferences": {},
            "finalizers": {},
            "selfLink": {},
            "deletionTimestamp": {},
            "deletionGracePeriodSeconds": {}
        }
    });
    Schema::new(&schema).expect("within the vocabulary, as a test shows")
});

/// Reads `metadata`, the node under that key, of an object of `kind`. The result is valid only without faults.
pub fn read(kind: Kind, metadata: &Node<'_>, faults: &mut Vec<Fault>) -> ObjectMeta {
    let json = METADATA.check(metadata, "metadata", faults);
    let text = |key: &str| json.get(key).and_then(Json::as_str);
    let at = |path: &str| locate(metadata, path);
    let mut fault = |mark: Mark, path: &str, message: String| {
        faults.push(Fault { at: mark, path: format!("metadata{path}"), message });
    };

    let name = text("name").unwrap_or_default().to_owned();
    if let Some(problem) = text("name").and_then(|name| name_problem(kind, name)) {
        fault(at("name"), ".name", format!("{}: {problem}", shown(&name)));
    }
    let namespace = match (kind.is_namespaced(), text("namespace")) {
        (true, namespace) => namespace.unwrap_or(DEFAULT_NAMESPACE).to_owned(),
        (false, None) => String::new(),
        (false, Some(_)) => {
            fault(at("namespace"), ".namespace", format!("a {kind} has no namespace"));
            String::new()
        }
    };
    if kind.is_namespaced()
        && let Some(problem) = label_problem(&namespace)
    {
        fault(at("namespace"), ".namespace", format!("{}: {problem}", shown(&namespace)));
    }
    let mut labels = BTreeMap::new();
    for (key, value) in json.get("labels").and_then(Json::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if let Some(problem) = label_key_problem(key).or_else(|| label_value_problem(value)) {
            let mut path = ".labels".to_owned();
            push_key(&mut path, key);
            fault(at(&path), &path, problem.to_owned());
        }
        labels.insert(key.clone(), value.to_owned());
    }
    let creation_timestamp = match metadata.get("creationTimestamp") {
        Some(node) if !node.is_null() => {
            let time = node.text().and_then(UnixTime::parse_rfc3339);
            if time.is_none() {
                let got = shown(node.text().unwrap_or_default());
                fault(node.at, ".creationTimestamp", format!("want a time such as 2026-01-01T00:00:00Z, got {got}"));
            }
            time
        }
        _ => None,
    };
    ObjectMeta { name, namespace, labels, creation_timestamp, ..ObjectMeta::default() }
}

/// RFC 1123 as Kubernetes reads it. The name of a ClusterTrustBundle may start with its signer and a colon.
fn name_problem(kind: Kind, name: &str) -> Option<&'static str> {
    let signed = matches!(kind, Kind::ClusterTrustBundle).then(|| name.rsplit_once(':')).flatten();
    let name = match signed {
        Some((signer, name)) if signer.split(':').all(is_subdomain) => name,
        Some(_) => return Some("the signer's name before the colon is not a DNS name in lower case"),
        None => name,
    };
    match kind {
        Kind::Namespace => label_problem(name),
        _ if name.is_empty() => Some("may not be empty"),
        _ if name.len() > 253 => Some("may have at most 253 characters"),
        _ if !is_subdomain(name) => {
            Some("want lower-case letters, digits, `-` and `.`, starting and ending with a letter or digit (RFC 1123)")
        }
        _ => None,
    }
}

/// RFC 1123: one label.
fn label_problem(label: &str) -> Option<&'static str> {
    match label {
        "" => Some("may not be empty"),
        _ if label.len() > 63 => Some("may have at most 63 characters"),
        _ if !is_label(label) => {
            Some("want lower-case letters, digits and `-`, starting and ending with a letter or digit (RFC 1123)")
        }
        _ => None,
    }
}

fn is_subdomain(name: &str) -> bool {
    name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = label.as_bytes().first().is_some_and(alphanumeric) && label.as_bytes().last().is_some_and(alphanumeric);
    ends && label.bytes().all(|b| alphanumeric(&b) || b == b'-')
}

/// An optional DNS name and a slash, then a name of at most 63 characters.
fn label_key_problem(key: &str) -> Option<&'static str> {
    let name = match key.split_once('/') {
        Some((prefix, _)) if prefix.len() > 253 || !is_subdomain(prefix) => {
            return Some("the part of a label's key before the slash must be a DNS name in lower case");
        }
        Some((_, name)) => name,
        None => key,
    };
    if name.is_empty() || !is_label_text(name) {
        return Some("a label's key has 1 to 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends");
    }
    None
}

fn label_value_problem(value: &str) -> Option<&'static str> {
    (!value.is_empty() && !is_label_text(value))
        .then_some("a label's value has at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends")
}

fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    bytes.len() <= 63 && end(bytes.first()) && end(bytes.last()) && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::yaml;

    fn read_as(kind: Kind, text: &str) -> (ObjectMeta, Vec<(u32, String, String)>) {
        let parsed = yaml::parse(text, 1);
        let mut faults = Vec::new();
        let meta = read(kind, &parsed.documents[0].root, &mut faults);
        (meta, faults.into_iter().map(|f| (f.at.line, f.path, f.message)).collect())
    }

    #[test]
    fn what_kubectl_prints_is_accepted() {
        let (meta, faults) = read_as(
            Kind::CertificateMapping,
            "name: acme-42\nlabels: {api: payments, example.com/x: \"\"}\nannotations: {a: b c}\nuid: 4-2\ngeneration: 1\n\
             resourceVersion: \"7\"\nmanagedFields: [{}]\ncreationTimestamp: 2026-01-01T00:00:00Z\n",
        );
        assert_eq!(faults, []);
        assert_eq!((meta.name.as_str(), meta.namespace.as_str()), ("acme-42", "default"));
        assert_eq!(meta.labels.get("api").map(String::as_str), Some("payments"));
        assert_eq!(meta.creation_timestamp, UnixTime::from_civil(2026, 1, 1, 0, 0, 0));
        let (meta, faults) = read_as(Kind::CertificatePolicy, "{name: a, namespace: b, creationTimestamp: null}");
        assert_eq!(faults, []);
        assert_eq!((meta.namespace.as_str(), meta.creation_timestamp), ("b", None));
        let (meta, faults) = read_as(Kind::ClusterTrustBundle, "name: example.com:mesh:roots");
        assert_eq!((faults, meta.namespace.as_str()), (vec![], ""));
    }

    #[test]
    fn names_and_labels_that_a_cluster_would_refuse_are_refused() {
        let policy = Kind::CertificatePolicy;
        for (name, kind, text, path, part) in [
            ("no name", policy, "namespace: a", "metadata.name", "is required"),
            ("upper case", policy, "name: Acme", "metadata.name", "lower-case"),
            ("underscore", policy, "name: a_b", "metadata.name", "lower-case"),
            ("slash", policy, "name: a/b", "metadata.name", "lower-case"),
            ("empty", policy, "name: \"\"", "metadata.name", "may not be empty"),
            ("dot at the end", policy, "name: a.", "metadata.name", "lower-case"),
            ("number", policy, "name: 42", "metadata.name", "quotes"),
            ("namespace with a dot", policy, "{name: a, namespace: b.c}", "metadata.namespace", "lower-case"),
            ("empty namespace", policy, "{name: a, namespace: \"\"}", "metadata.namespace", "may not be empty"),
            (
                "namespace of a bundle",
                Kind::ClusterTrustBundle,
                "{name: a, namespace: b}",
                "metadata.namespace",
                "no namespace",
            ),
            ("label typo", policy, "{name: a, label: {a: b}}", "metadata.label", "did you mean `labels`?"),
            ("label key", policy, "{name: a, labels: {-a: b}}", "metadata.labels.-a", "label's key"),
            ("label prefix", policy, "{name: a, labels: {A/a: b}}", "metadata.labels[\"A/a\"]", "before the slash"),
            ("label value", policy, "{name: a, labels: {a: b c}}", "metadata.labels.a", "label's value"),
            ("label number", policy, "{name: a, labels: {a: 1}}", "metadata.labels.a", "quotes"),
            (
                "time",
                policy,
                "{name: a, creationTimestamp: yesterday}",
                "metadata.creationTimestamp",
                "2026-01-01T00:00:00Z",
            ),
        ] {
            let (_, faults) = read_as(kind, text);
            assert_eq!(faults.len(), 1, "{name}: {faults:?}");
            assert_eq!(faults[0].1, path, "{name}");
            assert!(faults[0].2.contains(part), "{name}: {faults:?}");
        }
        assert_eq!(read_as(policy, &format!("name: {}", "a".repeat(254))).1.len(), 1);
        assert_eq!(read_as(policy, &format!("name: {}", "a".repeat(253))).1.len(), 0);
        assert_eq!(read_as(policy, &format!("{{name: a, namespace: {}}}", "a".repeat(64))).1.len(), 1);
    }
}
