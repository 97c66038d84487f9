//! Objects that do not fit the schema that this certgate knows.
//!
//! The API server keeps what its definition allows, and that may be newer than the process: fields that are not known
//! here, words that did not exist. Such an object must not count as if the rest were all. [`fit`] gives what can be read
//! and every error; the errors make the object invalid, and what can be read says what it denies.

use serde_json::{Map, Value};

use crate::domain::api::FieldError;

/// The deepest nesting that is followed; the kinds' schemas are less deep.
const MAX_DEPTH: usize = 32;

/// The most errors that are told. One is enough to make the object invalid, and a hostile one may have a million.
const MAX_ERRORS: usize = 1000;

/// `value` brought to `schema`, and all that had to be changed for it, with field paths that begin with `spec`.
///
/// Something unreadable never disappears where its absence would mean something: a required field and an element of a
/// list are replaced by an empty value that compiles to an error of its own.
pub fn fit(schema: &Value, value: Value) -> (Value, Vec<FieldError>) {
    let mut errors = Vec::new();
    let fitted = brought(schema, value, "spec", MAX_DEPTH, &mut errors).unwrap_or_else(|| blank(schema, MAX_DEPTH));
    (fitted, errors)
}

/// The value as the schema has it; `None` after noting that it is of another type.
fn brought(schema: &Value, value: Value, path: &str, depth: usize, errors: &mut Vec<FieldError>) -> Option<Value> {
    if depth == 0 {
        note(errors, FieldError::new(path, "nested too deeply"));
        return None;
    }
    let wanted = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let value = match (wanted, value) {
        ("object", Value::Object(fields)) => Value::Object(object(schema, fields, path, depth, errors)),
        ("array", Value::Array(items)) => {
            let inner = schema.get("items").unwrap_or(&Value::Null);
            let element = |(at, item)| {
                let path = format!("{path}[{at}]");
                brought(inner, item, &path, depth - 1, errors).unwrap_or_else(|| blank(inner, depth - 1))
            };
            Value::Array(items.into_iter().enumerate().map(element).collect())
        }
        ("string", Value::String(text)) => match schema.get("enum").and_then(Value::as_array) {
            Some(words) if !words.iter().any(|word| word.as_str() == Some(&text)) => {
                let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
                let message = format!("{text:?} is not known to this version: want one of {}", words.join(", "));
                note(errors, FieldError::new(path, message));
                return None;
            }
            _ => Value::String(text),
        },
        ("integer", Value::Number(number)) if number.is_i64() => Value::Number(number),
        (wanted, other) => {
            note(errors, FieldError::new(path, format!("want {wanted}, found {}", type_of(&other))));
            return None;
        }
    };
    Some(value)
}

fn object(
    schema: &Value,
    fields: Map<String, Value>,
    path: &str,
    depth: usize,
    errors: &mut Vec<FieldError>,
) -> Map<String, Value> {
    let before = errors.len();
    let properties = schema.get("properties").and_then(Value::as_object);
    let values = schema.get("additionalProperties").filter(|values| values.is_object());
    let mut fitted = Map::new();
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        let Some(inner) = properties.and_then(|properties| properties.get(&name)).or(values) else {
            note(errors, FieldError::new(path, "not known to this version"));
            continue;
        };
        // One text for a list of texts tells what is meant, and may tell which requests a policy has to deny.
        let is_text = |items: &Value| items["type"] == "string" && items.get("enum").is_none();
        let is_listed = value.is_string() && inner.get("items").is_some_and(is_text);
        let listed = is_listed.then(|| Value::Array(vec![value.clone()]));
        if let Some(value) = brought(inner, value, &path, depth - 1, errors) {
            fitted.insert(name, value);
        } else if let Some(list) = listed {
            fitted.insert(name, list);
        } else if inner.get("type").and_then(Value::as_str) == Some("array") {
            // An empty list often means `any`; a list with one unreadable element does not.
            let element = inner.get("items").map(|items| blank(items, depth - 1));
            fitted.insert(name, Value::Array(element.into_iter().collect()));
        }
    }
    for name in required(schema) {
        if !fitted.contains_key(name) {
            let missing = FieldError::new(format!("{path}.{name}"), "missing");
            // Only what this object has brought: all errors would make the work quadratic.
            if !errors.iter().skip(before).any(|error| error.path == missing.path) {
                note(errors, missing);
            }
            let inner = properties.and_then(|properties| properties.get(name)).unwrap_or(&Value::Null);
            fitted.insert(name.to_owned(), blank(inner, depth - 1));
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

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The emptiest value of a schema.
fn blank(schema: &Value, depth: usize) -> Value {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") if depth > 0 => {
            let inner = |name: &str| schema.get("properties").and_then(|all| all.get(name)).unwrap_or(&Value::Null);
            Value::Object(required(schema).map(|name| (name.to_owned(), blank(inner(name), depth - 1))).collect())
        }
        Some("object") => Value::Object(Map::new()),
        Some("array") => Value::Array(Vec::new()),
        Some("integer") => Value::from(0),
        _ => schema.get("enum").and_then(|words| words.get(0)).cloned().unwrap_or_else(|| Value::from("")),
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
        let (fitted, errors) = fit(kind.schema().expect("one of ours"), value);
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
