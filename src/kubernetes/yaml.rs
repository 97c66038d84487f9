//! Writes a JSON value as block-style YAML, for people and `kubectl`.
//!
//! Owns the style alone: lists at the depth of their keys, as kubectl writes them, and every text on one line, in quotes
//! where some version of YAML could read it as something else. YAML is read elsewhere.

use serde_json::Value;

/// `value` as one YAML document, without the `---` before it.
pub fn to_yaml(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(value, options).expect("a JSON value has a YAML form")
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
        let want = "kind: A\nlist:\n- name: x\n  inner:\n    deep:\n    - 1\n    - 2\n- \"text: with colon\"\n- - true\n\
                    empty: {}\nnone: []\n\"yes\": \"no\"\nnumber: \"1\"\nquote: \"a \\\"b\\\"\\nc\"\n\"null\": null\n";
        assert_eq!(to_yaml(&value), want);
        assert_eq!(to_yaml(&json!("a")), "a\n");
    }
}
