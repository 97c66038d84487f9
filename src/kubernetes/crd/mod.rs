//! The custom resource definitions, assembled from the Rust types of the kinds.
//!
//! Owns what a cluster needs besides the shape that [`Kind::schema`] gives: names, printer columns, the status
//! subresource, and ([`limits`]) the bounds and rules that the API server checks for every write. The YAML in
//! `charts/certgate/files/crds` is printed from here (`certgate crds`) and never edited; a test compares.
//!
//! What the API server is told here is never stricter than the compiler, apart from sizes, and it is not relied upon:
//! an object that came past it is compiled like any other.

mod limits;

use serde_json::{Map, Value, json};

use super::status::{CertificateMappingStatus, CertificatePolicyStatus, TrustProfileStatus};
use super::yaml::to_yaml;
use crate::domain::api::{GROUP, Kind, VERSION, schema_of};

/// The short name of a kind, for `kubectl get`.
const fn short_name(kind: Kind) -> &'static str {
    match kind {
        Kind::TrustProfile => "trust",
        Kind::CertificatePolicy => "certpol",
        _ => "certmap",
    }
}

/// The definitions of all three kinds, in the order of [`Kind::OWN`].
pub fn definitions() -> Vec<Value> {
    Kind::OWN.into_iter().map(definition).collect()
}

/// The definitions as YAML documents.
pub fn yaml() -> String {
    definitions().iter().map(|definition| format!("---\n{}", to_yaml(definition))).collect()
}

/// The name of the file that holds the definition of a kind.
pub fn file_name(kind: Kind) -> String {
    format!("{GROUP}_{}.yaml", kind.plural())
}

/// The definition of one kind.
pub fn definition(kind: Kind) -> Value {
    let mut version = json!({
        "name": VERSION,
        "served": true,
        "storage": true,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns(kind),
    });
    let selectable = selectable_fields(kind);
    if selectable != json!([]) {
        version["selectableFields"] = selectable;
    }
    version["schema"] = json!({"openAPIV3Schema": schema(kind)});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{GROUP}", kind.plural())},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name(),
                "listKind": format!("{}List", kind.name()),
                "plural": kind.plural(),
                "singular": kind.name().to_ascii_lowercase(),
                "shortNames": [short_name(kind)],
                "categories": ["certgate"],
            },
            "versions": [version],
        },
    })
}

fn schema(kind: Kind) -> Value {
    let mut spec = kind.schema().cloned().unwrap_or_default();
    limits::apply(&mut spec, &limits::of(kind));
    let mut status = match kind {
        Kind::TrustProfile => schema_of::<TrustProfileStatus>(),
        Kind::CertificatePolicy => schema_of::<CertificatePolicyStatus>(),
        _ => schema_of::<CertificateMappingStatus>(),
    };
    limits::apply(&mut status, &limits::of_status(kind));
    let description = spec.get("description").cloned().unwrap_or_default();
    describe(&mut status, "What certgate found and does; written by certgate.");
    describe(&mut spec, "What its author wants.");
    json!({
        "description": description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": format!("The group and version of the kind: {GROUP}/{VERSION}.")},
            "kind": {"type": "string", "description": format!("The kind: {}.", kind.name())},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    })
}

fn describe(schema: &mut Value, description: &str) {
    if let Value::Object(fields) = schema {
        let mut described = Map::from_iter([("description".to_owned(), Value::from(description))]);
        described.extend(std::mem::take(fields).into_iter().filter(|(key, _)| key != "description"));
        *fields = described;
    }
}

fn columns(kind: Kind) -> Value {
    let column = |name: &str, path: &str, of: &str, description: &str| json!({"name": name, "type": of, "jsonPath": path, "description": description});
    let wide = |mut column: Value| {
        column["priority"] = Value::from(1);
        column
    };
    let condition = |name: &str, part: &str| format!(".status.conditions[?(@.type==\"{name}\")].{part}");
    let ready = column("Ready", &condition("Ready", "status"), "string", "Whether certgate serves this generation.");
    let reason = column("Reason", &condition("Ready", "reason"), "string", "Why, in a word.");
    let message = wide(column("Message", &condition("Ready", "message"), "string", "Why, in full."));
    let since = wide(column(
        "Since",
        &condition("Ready", "lastTransitionTime"),
        "date",
        "How long readiness has been as it is.",
    ));
    let age = column("Age", ".metadata.creationTimestamp", "date", "How old the object is.");
    match kind {
        Kind::TrustProfile => json!([
            column("Mode", ".spec.mode", "string", "How certificates are validated."),
            ready,
            reason,
            column("Anchors", ".status.trustAnchorCount", "integer", "How many trust anchors the profile holds."),
            column("Expires", ".status.nextExpiry", "string", "When the first of its certificates expires."),
            column(
                "CRLs fresh",
                &condition("RevocationFresh", "status"),
                "string",
                "Whether every CRL of it still counts; Unknown: it checks by none.",
            ),
            column("CRL due", ".status.nextCrlUpdate", "string", "When the first of its CRLs is out of date."),
            message,
            since,
            age,
        ]),
        Kind::CertificatePolicy => json!([
            column("Profile", ".spec.trustRef.name", "string", "The trust profile."),
            column("Mode", ".spec.mode", "string", "Whether denials bind."),
            ready,
            reason,
            column("Mappings", ".status.mappings", "integer", "How many CertificateMapping objects it selects."),
            message,
            since,
            age,
        ]),
        _ => json!([
            column("User", ".spec.identity.user", "string", "Who the certificate stands for."),
            column("State", ".spec.state", "string", "Whether the mapping is in force."),
            ready,
            reason,
            message,
            since,
            age,
        ]),
    }
}

fn selectable_fields(kind: Kind) -> Value {
    match kind {
        Kind::CertificatePolicy => json!([{"jsonPath": ".spec.trustRef.name"}]),
        Kind::CertificateMapping => json!([{"jsonPath": ".spec.identity.user"}, {"jsonPath": ".spec.state"}]),
        _ => json!([]),
    }
}

#[cfg(test)]
mod tests;
