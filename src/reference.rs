//! The reference of the three kinds as the page `docs/reference.md`, printed from their schemas.

use std::fmt::Write as _;

use serde_json::Value;

use crate::domain::api::Kind;

/// The page, in Markdown.
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Reference of the resources\n\n\
         Printed by `certgate reference`; a test fails when this page differs. [policies.md](policies.md) explains the same \
         with examples.\n\n\
         All kinds: `apiVersion: certgate.dev/v1alpha1`, namespaced. `[]` marks the entries of a list, `{}` the values of a \
         map. Unknown fields are errors.\n",
    );
    for kind in Kind::OWN {
        let Some(schema) = kind.schema() else { continue };
        let _ = writeln!(page, "\n## {}\n\n{}\n", kind.name(), text(schema, "description"));
        page.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
        fields(&mut page, "spec", schema);
    }
    page
}

/// A row for each property of `schema`, and then the rows of that property's own.
fn fields(page: &mut String, path: &str, schema: &Value) {
    let Some(Value::Object(properties)) = schema.get("properties") else { return };
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in properties {
        let path = format!("{path}.{name}");
        let default = match property.get("default") {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            // An object's default is that of its own fields, which have rows.
            None | Some(Value::Object(_) | Value::Array(_)) => String::new(),
            Some(Value::String(word)) => format!("`{word}`"),
            Some(other) => format!("`{other}`"),
        };
        let (kind, suffix, inner) = shape(property);
        let _ = writeln!(page, "| `{path}` | {kind} | {default} | {} |", text(property, "description"));
        fields(page, &format!("{path}{suffix}"), inner);
    }
}

/// A property's type for people, what its inner fields' paths continue with, and the schema that holds those.
fn shape(schema: &Value) -> (String, &'static str, &Value) {
    let items = schema.get("items");
    let values = schema.get("additionalProperties").filter(|values| values.is_object());
    match (items, values, schema.get("enum").and_then(Value::as_array)) {
        (Some(items), ..) => (format!("list of {}", shape(items).0), "[]", items),
        (_, Some(values), _) => (format!("map of {}", shape(values).0), "{}", values),
        (.., Some(words)) => {
            let words: Vec<String> = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
            (words.join(", "), "", schema)
        }
        _ => (text(schema, "type"), "", schema),
    }
}

/// A text of a schema, fit for a table's cell.
fn text(schema: &Value, key: &str) -> String {
    schema.get(key).and_then(Value::as_str).unwrap_or_default().replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_this_one() {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md"));
        assert!(page == reference_page(), "docs/reference.md is stale: cargo run -- reference > docs/reference.md");
    }
}
