use super::*;

fn errors(text: &str) -> Vec<(u32, u32, String)> {
    let parsed = parse(text, 1);
    let soft = parsed.documents.into_iter().flat_map(|d| d.errors);
    soft.chain(parsed.error).map(|e| (e.at.line, e.at.column, e.message)).collect()
}

#[test]
fn what_readers_disagree_about_is_refused_with_its_place() {
    for (name, text, line, column, message) in [
        ("duplicate key", "a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key `a`: first at line 1, column 1"),
        (
            "two documents without a line between them",
            "apiVersion: v1\nkind: a\napiVersion: v1\n",
            3,
            1,
            "duplicate key `apiVersion`: first at line 1, column 1; is `---` missing between two documents?",
        ),
        ("duplicate key, quoted", "a: 1\n\"a\": 3\n", 2, 1, "duplicate key `a`: first at line 1, column 1"),
        ("nested duplicate key", "x:\n  - {k: 1, k: 2}\n", 2, 12, "duplicate key `k`: first at line 2, column 6"),
        ("anchor", "a: &x 1\n", 1, 4, "anchors are not supported; write the value out"),
        ("anchor on a list", "a: &x [1]\n", 1, 4, "anchors are not supported; write the value out"),
        ("tag", "a: !!str 1\n", 1, 4, "tags are not supported; quote the value when it is text"),
        ("merge key", "a: {<<: {b: 1}}\n", 1, 5, "merge keys are not supported; write the fields out"),
        ("list as key", "? [a]\n: 1\n", 1, 3, "a key must be text"),
        ("map as key", "{{a: 1}: 1}\n", 1, 2, "a key must be text"),
        ("bell", "a: \"x\u{7}\"\n", 1, 6, "character U+0007 is not allowed; write it as an escape in double quotes"),
        (
            "lone carriage return",
            "a: 1\n# c\rb: 2\n",
            2,
            4,
            "character U+000D is not allowed; write it as an escape in double quotes",
        ),
        (
            "next line",
            "\u{e4}: 1\u{85}b: 2\n",
            1,
            5,
            "character U+0085 is not allowed; write it as an escape in double quotes",
        ),
    ] {
        assert_eq!(errors(text), vec![(line, column, message.to_owned())], "{name}");
    }
    let alias = errors("a: &x 1\nb: *x\n");
    assert_eq!(alias.len(), 2);
    assert_eq!((alias[1].0, alias[1].1), (2, 4));
}

#[test]
fn syntax_errors_have_their_place() {
    for (name, text, line) in [
        ("unclosed bracket", "a: [1, 2\nb: 3\n", 2),
        ("bad indentation", "a:\n  b: 1\n c: 2\n", 3),
        ("tab indentation", "a:\n\tb: 1\n", 2),
        ("unclosed quote", "a: \"x\nb: 1\n", 1),
        ("two values", "a: b: c\n", 1),
        ("unknown alias", "a: *nobody\n", 1),
        ("host pattern", "a: *.example.com\n", 1),
        ("lone star", "a: [*]\n", 1),
    ] {
        let parsed = parse(text, 100);
        let error = parsed.error.unwrap_or_else(|| panic!("{name}: no error"));
        assert!((100 + line - 1..=101 + line).contains(&error.at.line), "{name}: {error:?}");
        assert!(error.message.starts_with("not valid YAML: "), "{name}: {error:?}");
        assert_eq!(error.message.contains("must be quoted"), text.contains('*'), "{name}: {error:?}");
    }
}

#[test]
fn duplicates_are_found_among_many_keys() {
    let mut text: String = (0..100).map(|n| format!("k{n}: 1\n")).collect();
    text.push_str("k3: 2\nk99: 2\n");
    let found: Vec<_> = errors(&text).into_iter().map(|(line, _, _)| line).collect();
    assert_eq!(found, [101, 102]);
}

#[test]
fn marks_and_styles_are_kept() {
    let text = "# c\nspec:\n  name: \"42\"\n  empty:\n  port: 42\n  list:\n  - a\n  - |\n    b\n";
    let parsed = parse(text, 1);
    assert_eq!(parsed.error, None);
    let root = &parsed.documents[0].root;
    let spec = root.get("spec").unwrap();
    let at = |key: &str| {
        let node = spec.get(key).unwrap();
        (node.at.line, node.at.column)
    };
    assert_eq!(at("name"), (3, 9));
    assert_eq!(at("empty"), (4, 3), "a value that is not there is placed at its key");
    assert_eq!(at("port"), (5, 9));
    assert_eq!(at("list").0, 7);
    let style = |key: &str| match &spec.get(key).unwrap().value {
        NodeValue::Scalar(scalar) => scalar.style,
        _ => panic!("{key}"),
    };
    assert_eq!(style("name"), Style::Text);
    assert_eq!(style("port"), Style::Plain);
    assert!(spec.get("empty").unwrap().is_null());
    let NodeValue::Sequence(items) = &spec.get("list").unwrap().value else { panic!("list") };
    assert_eq!(items[1].text(), Some("b\n"));
    assert_eq!(items[1].at.line, 9, "a block scalar is placed at its first line of content");
}

#[test]
fn json_is_yaml() {
    let text = "{\n\t\"a\": [1, \"x\", null, true],\n\t\"b\": {\"c\": \"\\u00e4\\n\"}\n}\n";
    let parsed = parse(text, 1);
    assert_eq!(parsed.error, None);
    let root = &parsed.documents[0].root;
    assert_eq!(root.get("b").and_then(|b| b.get("c")).and_then(Node::text), Some("\u{e4}\n"));
    let Some(Node { value: NodeValue::Sequence(items), .. }) = root.get("a") else { panic!("a") };
    assert_eq!(items.len(), 4);
}

#[test]
fn several_documents_and_empty_ones() {
    let parsed = parse("---\n---\na: 1\n---\n# nothing\n...\n", 1);
    assert_eq!(parsed.error, None);
    assert_eq!(parsed.documents.len(), 1);
}

#[test]
fn depth_is_bounded() {
    let text = "[".repeat(MAX_DEPTH + 1);
    assert!(parse(&text, 1).error.unwrap().message.starts_with("nested more than"));
    let fits = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert_eq!(parse(&fits, 1).error, None);
}

/// All documents of `text`, cut into chunks first or not; `None` on any syntax error.
fn documents(text: &str, cut: bool) -> Option<Vec<String>> {
    let whole = [(1, text.to_owned())];
    let parts = if cut {
        let mut chunks = crate::file::split::Chunks::new(text.as_bytes(), 1 << 20);
        let mut parts = Vec::new();
        while let Some(chunk) = chunks.next_chunk().unwrap() {
            parts.push((chunk.line, String::from_utf8(chunk.bytes.to_vec()).unwrap()));
        }
        parts
    } else {
        whole.to_vec()
    };
    let mut out = Vec::new();
    for (line, text) in &parts {
        let parsed = parse(text, *line);
        if parsed.error.is_some() {
            return None;
        }
        out.extend(parsed.documents.iter().map(|document| format!("{document:?}")));
    }
    Some(out)
}

proptest::proptest! {
    /// Parsing chunk by chunk gives the same result as parsing the whole file, positions included. Excluded from the
    /// lines: a block scalar as a root (`--- |`), in which saphyr-parser 0.3.3 reads a following `---` as text, and
    /// aliases, which it resolves across documents.
    #[test]
    fn chunks_mean_what_the_file_means(lines in proptest::collection::vec(
        proptest::sample::select(vec![
            "---", "a: 1", "b: |\n  text", "  ---", "# c", "...", "%YAML 1.2", "- x", "--- {k: v}", "k: 'q", "  q'",
            "---x: 1", "", "c:", "  d: \"e", "  f\"", "--- # c", "-- -", "[1,", " 2]", "h: &i j",
        ]), 0..12)) {
        let text = lines.join("\n");
        if let Some(whole) = documents(&text, false) {
            proptest::prop_assert_eq!(documents(&text, true), Some(whole), "{}", text);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-\\[\\]{},:?!&*|>'\"%@` \n\ta-c0#\\\\~<.\u{e9}\u{2028}]{0,60}") {
        let _ = parse(&text, 1);
    }
}
