//! The JSON schemas of the three kinds, made from their Rust types.
//!
//! The schemas are inlined (no `$ref`), closed (`additionalProperties: false`), and never admit `null`: a field that
//! somebody emptied must not mean the same as a field that somebody left out.

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::{CertificateMappingSpec, CertificatePolicySpec, Kind, TrustProfileSpec};

static TRUST_PROFILE: LazyLock<Value> = LazyLock::new(schema_of::<TrustProfileSpec>);
static CERTIFICATE_POLICY: LazyLock<Value> = LazyLock::new(schema_of::<CertificatePolicySpec>);
static CERTIFICATE_MAPPING: LazyLock<Value> = LazyLock::new(schema_of::<CertificateMappingSpec>);

impl Kind {
    /// The schema of the kind's `spec`; `None` for kinds that are not certgate's own.
    ///
    /// It uses `type`, `properties`, `required`, `additionalProperties` (`false`, or the schema of a map's values),
    /// `items`, `enum`, `default` and `description`, and nothing else.
    pub fn schema(self) -> Option<&'static Value> {
        match self {
            Self::TrustProfile => Some(&TRUST_PROFILE),
            Self::CertificatePolicy => Some(&CERTIFICATE_POLICY),
            Self::CertificateMapping => Some(&CERTIFICATE_MAPPING),
            Self::ConfigMap | Self::Secret | Self::ClusterTrustBundle | Self::Namespace => None,
        }
    }
}

/// The schema of `T` in the small vocabulary of [`Kind::schema`].
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut value = settings.into_generator().into_root_schema_for::<T>().to_value();
    simplify(&mut value);
    value
}

/// Brings a schema to the small vocabulary that [`Kind::schema`] promises.
fn simplify(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(object) => {
            unwrap_nullable(object);
            fold_words(object);
            for key in ["title", "format", "$schema"] {
                // `title` is also a legal property name, but then its value is a schema, not a text.
                if object.get(key).is_some_and(Value::is_string) {
                    object.remove(key);
                }
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(simplify);
        }
        _ => {}
    }
}

/// `type: [T, null]` becomes `type: T`, a word `null` goes, and `anyOf: [S, {type: null}]` becomes `S`.
fn unwrap_nullable(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get("type") {
        let mut rest = types.iter().filter(|word| word.as_str() != Some("null"));
        if let (Some(only), None) = (rest.next().cloned(), rest.next()) {
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let Some(Value::Array(options)) = object.get("anyOf") else { return };
    let mut rest = options.iter().filter(|option| option.get("type").and_then(Value::as_str) != Some("null"));
    if let (Some(Value::Object(inner)), None) = (rest.next().cloned(), rest.next()) {
        object.remove("anyOf");
        for (key, value) in inner {
            // The field's own description stands before that of its type.
            object.entry(key).or_insert(value);
        }
    }
}

/// `oneOf: [{const: A}, {const: B}]` becomes `type: string, enum: [A, B]`.
fn fold_words(object: &mut Map<String, Value>) {
    let Some(Value::Array(options)) = object.get("oneOf") else { return };
    let Some(words) = options.iter().map(|option| option.get("const").cloned()).collect::<Option<Vec<_>>>() else {
        return;
    };
    object.remove("oneOf");
    object.insert("type".to_owned(), Value::from("string"));
    object.insert("enum".to_owned(), Value::Array(words));
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: [&str; 8] =
        ["type", "properties", "required", "additionalProperties", "items", "enum", "default", "description"];

    fn check(path: &str, schema: &Value) {
        let object = schema.as_object().unwrap_or_else(|| panic!("{path}: not an object: {schema}"));
        for key in object.keys() {
            assert!(VOCABULARY.contains(&key.as_str()), "{path}: unexpected keyword {key}: {schema}");
        }
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_else(|| panic!("{path}: no single type"));
        match kind {
            "object" => {
                let closed = object.get("additionalProperties");
                match object.get("properties").and_then(Value::as_object) {
                    Some(properties) => {
                        assert_eq!(closed, Some(&Value::Bool(false)), "{path}: must be closed");
                        for (name, inner) in properties {
                            assert!(
                                inner.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty()),
                                "{path}.{name}: no description"
                            );
                            check(&format!("{path}.{name}"), inner);
                        }
                    }
                    None => check(&format!("{path}{{}}"), closed.unwrap_or_else(|| panic!("{path}: open"))),
                }
            }
            "array" => check(&format!("{path}[]"), object.get("items").expect("items")),
            "string" | "integer" => {}
            other => panic!("{path}: unexpected type {other}"),
        }
    }

    #[test]
    fn schemas_are_closed_described_and_free_of_null() {
        for kind in Kind::OWN {
            check(kind.name(), kind.schema().expect("one of ours"));
        }
        assert!(Kind::Secret.schema().is_none());
    }

    #[test]
    fn words_and_maps_come_out_as_such() {
        let policy = Kind::CertificatePolicy.schema().expect("one of ours");
        let at = |pointer: &str| policy.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).clone();
        assert_eq!(at("/properties/mode/enum"), serde_json::json!(["Enforce", "Audit"]));
        assert_eq!(
            at("/properties/evidence/items/properties/header/properties/format/enum"),
            serde_json::json!(["RFC9440", "Nginx", "Traefik", "HAProxy", "ALB"])
        );
        assert_eq!(at("/properties/response/properties/headers/properties/extra/additionalProperties/type"), "string");
        assert_eq!(
            at("/properties/mapping/properties/rules/items/required"),
            serde_json::json!(["name", "action", "where"])
        );
        assert_eq!(at("/required"), serde_json::json!(["trustRef"]));
    }
}
