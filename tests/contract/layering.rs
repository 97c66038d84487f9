//! The architecture as a test: the core is pure, adapters do not know one another, and only `app` joins them.
//!
//! The sources are read as text with comments and string literals blanked, so that prose may name what code may not.

use std::fs;
use std::path::{Path, PathBuf};

/// What `src/domain/` may not name: runtimes, wire frameworks, clusters, files, sockets, processes and clocks.
const IMPURE: &[&str] = &[
    "tokio",
    "tonic",
    "prost",
    "hyper",
    "tower",
    "kube",
    "k8s_openapi",
    "notify",
    "socket2",
    "rustix",
    "arc_swap",
    "tracing",
    "prometheus_client",
    "clap",
    // Pure, and only for describing certificates to people: what decides has one reader.
    "x509_parser",
    "std::fs",
    "std::io::Read",
    "std::env",
    "std::process",
    "std::thread",
    "std::path",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "SystemTime",
    "Instant",
    "thread_rng",
    "println!",
    "eprintln!",
];

/// The wings of the core: each may name those before it, and none after.
const WINGS: &[&str] = &["request", "api", "evidence", "decide", "policy", "store"];

/// The adapters: each may use the core, none may use another or what composes them.
const ADAPTERS: &[&str] = &["envoy", "file", "kubernetes", "admin"];

/// What adapters share: it may use the core, and none of them.
const SHARED: &[&str] = &["clock", "listeners", "places", "telemetry", "tls", "watch", "web"];

/// What composes: nothing that is composed may name these.
const COMPOSITION: &[&str] = &["app", "cli", "commands"];

#[test]
fn the_core_names_nothing_impure() {
    let mut found = Vec::new();
    for (path, code) in sources(&src().join("domain")) {
        for word in IMPURE {
            for line in lines_naming(&code, word) {
                found.push(format!("{}:{line}: names `{word}`", path.display()));
            }
        }
        for line in lines_naming(&code, "crate") {
            let text = code.lines().nth(line - 1).unwrap_or_default();
            if text.contains("crate::") && !text.contains("crate::domain") {
                found.push(format!("{}:{line}: reaches out of the core: {}", path.display(), text.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_wing_uses_those_before_it() {
    let mut found = Vec::new();
    for (at, wing) in WINGS.iter().enumerate() {
        let mut files = sources(&src().join("domain").join(wing));
        files.extend(sources(&src().join("domain").join(format!("{wing}.rs"))));
        assert!(!files.is_empty(), "the wing `{wing}` has no source: correct the list");
        // Tests may set a scene with whatever there is.
        for (path, code) in files.iter().filter(|(path, _)| !is_test(path)) {
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            for later in &WINGS[at + 1..] {
                for line in lines_naming(code, &format!("crate::domain::{later}")) {
                    found.push(format!("{}:{line}: `{wing}` names `{later}`", path.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

#[test]
fn adapters_do_not_name_one_another() {
    let mut found = Vec::new();
    for adapter in ADAPTERS.iter().chain(SHARED) {
        let mut files = sources(&src().join(adapter));
        files.extend(sources(&src().join(format!("{adapter}.rs"))));
        assert!(!files.is_empty(), "adapter `{adapter}` has no source: mend the list");
        for (path, code) in files {
            for other in ADAPTERS.iter().chain(COMPOSITION).filter(|other| *other != adapter) {
                for line in lines_naming(&code, &format!("crate::{other}")) {
                    found.push(format!("{}:{line}: `{adapter}` names `{other}`", path.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_check_can_fail() {
    let code =
        without_prose("//! tokio is fine here\nuse tokio::net; // and here\nlet s = \"SystemTime\"; let a = 'b';\n");
    assert_eq!(lines_naming(&code, "tokio"), [2]);
    assert!(lines_naming(&code, "SystemTime").is_empty());
    assert!(lines_naming("let kubernetes = 1;", "kube").is_empty());
    assert_eq!(lines_naming("use kube::Api;", "kube"), [1]);
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file at or below `path`, with prose blanked. Nothing when `path` does not exist.
fn sources(path: &Path) -> Vec<(PathBuf, String)> {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a readable directory");
        return entries.flat_map(|entry| sources(&entry.expect("a readable entry").path())).collect();
    }
    if path.extension().is_none_or(|ext| ext != "rs") || !path.exists() {
        return Vec::new();
    }
    vec![(path.to_owned(), without_prose(&fs::read_to_string(path).expect("a readable file")))]
}

/// Numbers of the lines that hold `word` as a whole path segment or identifier.
fn lines_naming(code: &str, word: &str) -> Vec<usize> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let names = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            before.is_none_or(|c| !is_name(c)) && (word.ends_with('!') || after.is_none_or(|c| !is_name(c)))
        })
    };
    code.lines().enumerate().filter(|(_, line)| names(line)).map(|(at, _)| at + 1).collect()
}

/// The source with comments and the contents of string literals blanked, lines kept.
fn without_prose(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if c == '"' {
            string_end(rest, 1)
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = 2 + hashes;
            rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len())
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") {
            rest.find("\"'").map_or(rest.len(), |at| at + 2)
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
        out.push(' ');
        rest = &rest[skipped..];
    }
    out
}

/// How many `#` open the raw string that starts here, if one does.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a string literal whose contents start at `from`.
fn string_end(text: &str, from: usize) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < from) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
