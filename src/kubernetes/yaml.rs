//! Writes a JSON value as block-style YAML, for people and `kubectl`.
//!
//! Owns the writing alone; YAML is read elsewhere. Every text that could be taken for something else is quoted, in the
//! form that JSON and YAML share.

use std::fmt::Write as _;

use serde_json::Value;

/// `value` as one YAML document, without the `---` before it.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(_) | Value::Array(_) => block(&mut out, value, 0),
        scalar => {
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
    out
}

fn block(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                indent(out, depth);
                out.push_str(&text(key));
                out.push(':');
                nested(out, value, depth);
            }
        }
        Value::Array(items) => {
            for item in items {
                indent(out, depth);
                out.push('-');
                element(out, item, depth);
            }
        }
        _ => {}
    }
}

/// The value of a key: on the same line when it is a scalar or empty, else below it.
fn nested(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            block(out, value, depth + 1);
        }
        // Lists stand at the depth of their key, as kubectl writes them.
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, depth);
        }
        scalar => {
            out.push(' ');
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
}

/// An element of a list: its first key on the line of the dash.
fn element(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let mut inner = String::new();
            block(&mut inner, value, depth + 1);
            out.push(' ');
            out.push_str(inner.trim_start_matches(' '));
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, depth + 1);
        }
        scalar => {
            out.push(' ');
            out.push_str(&inline(scalar));
            out.push('\n');
        }
    }
}

fn indent(out: &mut String, depth: usize) {
    let _ = write!(out, "{:width$}", "", width = depth * 2);
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        // Empty lists and maps, numbers, true, false and null are written alike in JSON and YAML.
        other => other.to_string(),
    }
}

/// A text plain where nothing can misread it, else in double quotes with JSON's escapes.
fn text(string: &str) -> String {
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'/' | b'.' | b'-' | b' ' | b'(' | b')' | b',' | b';');
    let word = string.starts_with(|c: char| c.is_ascii_alphabetic())
        && !string.ends_with(' ')
        && string.bytes().all(plain)
        && !is_special(string);
    if word { string.to_owned() } else { Value::from(string).to_string() }
}

/// Words that some version of YAML reads as a boolean, null or number.
fn is_special(word: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"]
        .iter()
        .any(|special| word.eq_ignore_ascii_case(special))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_in_block_style() {
        let value = json!({
            "kind": "A", "list": [{"name": "x", "inner": {"deep": [1, 2]}}, "text: with colon", [true]],
            "empty": {}, "none": [], "yes": "no", "number": "1", "quote": "a \"b\"\nc", "null": null,
        });
        let want = "kind: A\nlist:\n- name: x\n  inner:\n    deep:\n    - 1\n    - 2\n- \"text: with colon\"\n-\n  - true\n\
                    empty: {}\nnone: []\n\"yes\": \"no\"\nnumber: \"1\"\nquote: \"a \\\"b\\\"\\nc\"\n\"null\": null\n";
        assert_eq!(to_yaml(&value), want);
        assert_eq!(to_yaml(&json!("a")), "a\n");
    }
}
