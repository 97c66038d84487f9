use serde_json::json;

use super::*;
use crate::domain::api::Kind;
use crate::file::yaml;

fn rule_schema() -> Schema {
    Schema::new(&json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "action"],
        "properties": {
            "name": {"type": "string"},
            "action": {"type": "string", "enum": ["Allow", "Deny", "Off"]},
            "count": {"type": "integer"},
            "flag": {"type": "boolean"},
            "where": {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}},
            "free": {}
        }
    }))
    .unwrap()
}

fn check(text: &str) -> (Json, Vec<(u32, u32, String, String)>) {
    let parsed = yaml::parse(text, 1);
    assert_eq!(parsed.error, None);
    let mut faults = Vec::new();
    let json = rule_schema().check(&parsed.documents[0].root, "spec", &mut faults);
    (json, faults.into_iter().map(|f| (f.at.line, f.at.column, f.path, f.message)).collect())
}

#[test]
fn what_fits_becomes_json() {
    let (json, faults) = check(
        "name: a\naction: Deny\ncount: 3\nflag: true\nwhere:\n- {a: b, \"1\": '2'}\n- {}\nfree: [~, {x: !!y z}]\n",
    );
    assert_eq!(faults, []);
    let want = json!({"name": "a", "action": "Deny", "count": 3, "flag": true, "where": [{"a": "b", "1": "2"}, {}], "free": null});
    assert_eq!(json, want);
}

#[test]
fn each_error_has_its_path_and_place() {
    for (name, text, want) in [
        ("missing", "name: a\n", (1, 1, "spec.action", "is required")),
        (
            "unknown field",
            "name: a\naction: Deny\nnmae: b\n",
            (3, 1, "spec.nmae", "unknown field; did you mean `name`?"),
        ),
        (
            "unknown field, far",
            "name: a\naction: Deny\nzzz: b\n",
            (3, 1, "spec.zzz", "unknown field; the fields here are name, action, count, flag, where, free"),
        ),
        (
            "case of a field",
            "name: a\naction: Deny\nWhere: []\n",
            (3, 1, "spec.Where", "unknown field; did you mean `where`?"),
        ),
        ("unknown word", "name: a\naction: Dney\n", (2, 9, "spec.action", "unknown word `Dney`; did you mean `Deny`?")),
        (
            "unknown word, far",
            "name: a\naction: Whatever\n",
            (2, 9, "spec.action", "unknown word `Whatever`; want one of Allow, Deny, Off"),
        ),
        (
            "word that is a boolean elsewhere",
            "name: a\naction: Off\n",
            (2, 9, "spec.action", "`Off` is a boolean to some YAML readers; put it in quotes"),
        ),
        (
            "number for text",
            "name: 42\naction: Deny\n",
            (1, 7, "spec.name", "`42` is a number to some YAML readers; put it in quotes"),
        ),
        (
            "boolean for text",
            "name: yes\naction: Deny\n",
            (1, 7, "spec.name", "`yes` is a boolean to some YAML readers; put it in quotes"),
        ),
        ("nothing for text", "name:\naction: Deny\n", (1, 1, "spec.name", "has no value; give it text or remove it")),
        (
            "nothing for a list",
            "name: a\naction: Deny\nwhere:\n",
            (3, 1, "spec.where", "has no value; give it a list or remove it"),
        ),
        (
            "null item",
            "name: a\naction: Deny\nwhere: [null]\n",
            (3, 9, "spec.where[0]", "has no value; give it a mapping or remove it"),
        ),
        ("text for a list", "name: a\naction: Deny\nwhere: x\n", (3, 8, "spec.where", "want a list, got `x`")),
        ("list for text", "name: [a]\naction: Deny\n", (1, 7, "spec.name", "want text, got a list")),
        (
            "mapping for a list",
            "name: a\naction: Deny\nwhere: {}\n",
            (3, 8, "spec.where", "want a list, got a mapping"),
        ),
        (
            "text for a number",
            "name: a\naction: Deny\ncount: \"3\"\n",
            (3, 8, "spec.count", "want a whole number, got text; write 3 without quotes"),
        ),
        (
            "octal",
            "name: a\naction: Deny\ncount: 0403\n",
            (3, 8, "spec.count", "want a whole number in plain decimal digits, got `0403`"),
        ),
        (
            "fraction",
            "name: a\naction: Deny\ncount: 1.5\n",
            (3, 8, "spec.count", "want a whole number in plain decimal digits, got `1.5`"),
        ),
        (
            "word for a boolean",
            "name: a\naction: Deny\nflag: yes\n",
            (3, 7, "spec.flag", "want true or false, without quotes; got `yes`"),
        ),
        (
            "free key",
            "name: a\naction: Deny\nwhere:\n- on: x\n",
            (4, 3, "spec.where[0]", "the key `on` is a boolean to some YAML readers; put it in quotes"),
        ),
        (
            "free key with dots",
            "name: a\naction: Deny\nwhere:\n- {a.b/c: 1}\n",
            (4, 11, "spec.where[0][\"a.b/c\"]", "`1` is a number to some YAML readers; put it in quotes"),
        ),
    ] {
        let (line, column, path, message) = want;
        assert_eq!(check(text).1, [(line, column, path.to_owned(), message.to_owned())], "{name}");
    }
}

#[test]
fn all_errors_are_named_at_once() {
    let (_, faults) = check("nmae: 1\naction: No\ncount: x\nwhere: [a, {b: 2}]\n");
    let paths: Vec<_> = faults.iter().map(|(_, _, path, _)| path.as_str()).collect();
    assert_eq!(paths, ["spec.nmae", "spec.action", "spec.count", "spec.where[0]", "spec.where[1].b", "spec.name"]);
}

#[test]
fn the_schemas_of_all_kinds_are_within_the_vocabulary() {
    for kind in Kind::ALL {
        if let Some(json) = kind.schema() {
            Schema::new(json).unwrap();
        }
    }
    let beyond = Schema::new(&json!({"type": "string", "pattern": "a+"}));
    assert_eq!(beyond.unwrap_err().to_string(), "JSON schema at #: unknown keyword pattern");
}

#[test]
fn paths_lead_to_places() {
    let text =
        "spec:\n  rules:\n  - name: a\n    where: [{v: 1}, {v: 2}]\n  labels:\n    a: x\n    a.b: y\n    a.b/c: z\n";
    let parsed = yaml::parse(text, 1);
    let root = &parsed.documents[0].root;
    for (path, line, column) in [
        ("", 1, 1),
        ("spec", 1, 1),
        ("spec.rules[0].name", 3, 11),
        ("spec.rules[0].where[1].v", 4, 25),
        ("spec.rules[0].where[7].v", 4, 5),
        ("spec.rules[0].missing", 3, 5),
        ("spec.labels.a", 6, 8),
        ("spec.labels.a.b", 7, 10),
        ("spec.labels[\"a.b/c\"]", 8, 12),
        ("spec.labels[a.b]", 7, 10),
        ("spec.nothing", 1, 1),
        ("other", 1, 1),
    ] {
        let at = locate(root, path);
        assert_eq!((at.line, at.column), (line, column), "{path}");
    }
}
