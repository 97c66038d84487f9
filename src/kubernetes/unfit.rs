//! Objects that do not fit the schema that this certgate knows.
//!
//! The API server keeps what its definition allows, and that may be newer than the process: fields that are not known
//! here, words that did not exist. Such an object must not count as if the rest were all. [`fit`] gives what can be read
//! and every error; the errors make the object invalid, and what can be read says what it denies.

use serde_json::{Map, Value};

use crate::domain::api::{FieldError, Schema};

/// The most errors that are told. One is enough to make the object invalid, and a hostile one may have a million.
const MAX_ERRORS: usize = 1000;

/// `value` brought to `schema`, and all that had to be changed for it, with field paths that begin with `spec`.
///
/// Something unreadable never disappears where its absence would mean something: a required field and an element of a
/// list are replaced by an empty value that compiles to an error of its own.
pub fn fit(schema: &Schema, value: Value) -> (Value, Vec<FieldError>) {
    let mut errors = Vec::new();
    let fitted = brought(schema, value, "spec", &mut errors).unwrap_or_else(|| blank(schema));
    (fitted, errors)
}

/// The value as the schema has it; `None` after noting that it is of another type.
fn brought(schema: &Schema, value: Value, path: &str, errors: &mut Vec<FieldError>) -> Option<Value> {
    let value = match (schema, value) {
        (Schema::Fields { .. } | Schema::Map(_), Value::Object(fields)) => {
            Value::Object(object(schema, fields, path, errors))
        }
        (Schema::List(inner), Value::Array(items)) => {
            let element =
                |(at, item)| brought(inner, item, &format!("{path}[{at}]"), errors).unwrap_or_else(|| blank(inner));
            Value::Array(items.into_iter().enumerate().map(element).collect())
        }
        (Schema::Words(words), Value::String(text)) => {
            if !words.iter().any(|word| **word == *text) {
                let message = format!("{text:?} is not known to this version: want one of {}", words.join(", "));
                note(errors, FieldError::new(path, message));
                return None;
            }
            Value::String(text)
        }
        (Schema::Text, value @ Value::String(_)) | (Schema::Boolean, value @ Value::Bool(_)) => value,
        (Schema::Integer, Value::Number(number)) if number.is_i64() => Value::Number(number),
        (schema, other) => {
            let message = format!("want {}, found {}", wanted_type(schema), type_of(&other));
            note(errors, FieldError::new(path, message));
            return None;
        }
    };
    Some(value)
}

fn object(schema: &Schema, given: Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) -> Map<String, Value> {
    let before = errors.len();
    let mut fitted = Map::new();
    for (name, value) in given {
        let path = format!("{path}.{name}");
        let Some(inner) = field(schema, &name) else {
            note(errors, FieldError::new(path, "not known to this version"));
            continue;
        };
        // One text for a list of texts tells what is meant, and may tell which requests a policy has to deny.
        let is_listed = value.is_string() && matches!(inner, Schema::List(items) if matches!(**items, Schema::Text));
        let listed = is_listed.then(|| Value::Array(vec![value.clone()]));
        if let Some(value) = brought(inner, value, &path, errors) {
            fitted.insert(name, value);
        } else if let Some(list) = listed {
            fitted.insert(name, list);
        } else if let Schema::List(items) = inner {
            // An empty list often means `any`; a list with one unreadable element does not.
            fitted.insert(name, Value::Array(vec![blank(items)]));
        }
    }
    for name in required(schema) {
        if !fitted.contains_key(&**name) {
            let missing = FieldError::new(format!("{path}.{name}"), "missing");
            // Only what this object has brought: all errors would make the work quadratic.
            if !errors.iter().skip(before).any(|error| error.path == missing.path) {
                note(errors, missing);
            }
            fitted.insert(name.to_string(), field(schema, name).map_or(Value::Null, blank));
        }
    }
    fitted
}

fn note(errors: &mut Vec<FieldError>, error: FieldError) {
    match errors.len() {
        ..MAX_ERRORS => errors.push(error),
        MAX_ERRORS => errors.push(FieldError::new("spec", "further errors omitted")),
        _ => {}
    }
}

fn required(schema: &Schema) -> &[Box<str>] {
    if let Schema::Fields { required, .. } = schema { required } else { &[] }
}

/// The schema of a field, or of a map's values.
fn field<'s>(schema: &'s Schema, name: &str) -> Option<&'s Schema> {
    match schema {
        Schema::Fields { fields, .. } => fields.iter().find(|(field, _)| **field == *name).map(|(_, inner)| inner),
        Schema::Map(inner) => Some(inner),
        _ => None,
    }
}

/// The emptiest value of a schema.
fn blank(schema: &Schema) -> Value {
    match schema {
        Schema::Fields { required, .. } => {
            let inner = |name: &str| field(schema, name).map_or(Value::Null, blank);
            Value::Object(required.iter().map(|name| (name.to_string(), inner(name))).collect())
        }
        Schema::Map(_) => Value::Object(Map::new()),
        Schema::List(_) => Value::Array(Vec::new()),
        Schema::Integer => Value::from(0),
        Schema::Boolean => Value::from(false),
        Schema::Words(words) => Value::from(words.first().map_or("", |word| &**word)),
        Schema::Text | Schema::Ignored => Value::from(""),
    }
}

/// The type that a schema asks for, as the API server's own messages name it.
const fn wanted_type(schema: &Schema) -> &'static str {
    match schema {
        Schema::Fields { .. } | Schema::Map(_) => "object",
        Schema::List(_) => "array",
        Schema::Text | Schema::Words(_) => "string",
        Schema::Integer => "integer",
        Schema::Boolean => "boolean",
        Schema::Ignored => "nothing",
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::api::{CertificateMappingSpec, CertificatePolicySpec, Kind};

    fn fitted(kind: Kind, value: Value) -> (Value, Vec<String>) {
        let (fitted, errors) = fit(kind.shape().expect("one of ours"), value);
        (fitted, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_fits_is_left_alone() {
        let value = json!({"certificate": {"uri": "a:b"}, "identity": {"user": "u", "extra": {"k": ["v"]}}});
        assert_eq!(fitted(Kind::CertificateMapping, value.clone()), (value, Vec::new()));
    }

    #[test]
    fn everything_unknown_is_named_and_the_rest_is_kept() {
        let value = json!({
            "match": [{"hosts": "a.example", "headers": [], "paths": [{"regex": "x"}], "methods": "GET"}, 7],
            "mode": "Perhaps", "later": true, "certificate": null,
        });
        let (value, errors) = fitted(Kind::CertificatePolicy, value);
        assert_eq!(
            errors,
            [
                "spec.match[0].hosts: want array, found string",
                "spec.match[0].headers: not known to this version",
                "spec.match[0].paths[0].regex: not known to this version",
                "spec.match[0].methods: want array, found string",
                "spec.match[1]: want object, found number",
                "spec.mode: \"Perhaps\" is not known to this version: want one of Enforce, Audit",
                "spec.later: not known to this version",
                "spec.certificate: want string, found null",
                "spec.trustRef: missing",
            ]
        );
        let spec: CertificatePolicySpec = serde_json::from_value(value).expect("fits by now");
        assert_eq!(spec.matches[0].hosts, ["a.example"]);
        assert_eq!(spec.matches[0].methods, ["GET"], "an unreadable list is not an empty one");
        assert_eq!(spec.trust_ref.name, "");
        let (value, _) = fitted(Kind::CertificatePolicy, json!({"match": [{"hosts": 7}]}));
        assert_eq!(value["match"][0]["hosts"], json!([""]), "nor is one of which nothing can be read");
    }

    #[test]
    fn a_required_field_of_another_type_is_told_once() {
        let (value, errors) = fitted(Kind::CertificateMapping, json!({"certificate": [], "identity": {"user": 1}}));
        assert_eq!(
            errors,
            ["spec.certificate: want object, found array", "spec.identity.user: want string, found number"]
        );
        let spec: CertificateMappingSpec = serde_json::from_value(value).expect("fits by now");
        assert_eq!(spec.certificate, Default::default());
    }

    #[test]
    fn nothing_at_all_is_an_error_too() {
        let (value, errors) = fitted(Kind::CertificatePolicy, json!("text"));
        assert_eq!(errors, ["spec: want object, found string"]);
        assert!(serde_json::from_value::<CertificatePolicySpec>(value).is_ok());
    }

    #[test]
    fn the_work_and_the_errors_have_a_bound() {
        let entries = vec![json!({}); 100_000];
        let began = std::time::Instant::now();
        let (value, errors) = fitted(Kind::CertificatePolicy, json!({"mapping": {"oneToOne": entries}}));
        // With each entry compared with the errors of all before it, these are ten thousand million comparisons.
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(errors.len(), MAX_ERRORS + 1);
        assert_eq!(value["mapping"]["oneToOne"].as_array().unwrap().len(), 100_000, "nothing disappears");
    }
}
