//! Where the engine and others differ on a row of the catalogue, and why: `divergences.txt`.

use std::fs;

/// What the other verifier does where they differ. In the first two cases the engine does the opposite, for one chain
/// at least.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Other {
    Accepts,
    Refuses,
    /// As the engine, and for a reason of another class.
    RefusesOtherwise,
}

/// One reason for differing, and the rows that it explains.
pub struct Divergence {
    pub verifier: String,
    pub other: Other,
    pub why: String,
    pub rows: Vec<Listed>,
}

/// A row, and the round in which the difference first occurs: rare ones come late.
pub struct Listed {
    pub row: String,
    pub from: usize,
}

impl Listed {
    /// Reads `row` or `row (from round N)`.
    fn read(text: &str) -> Self {
        let rare = text.strip_suffix(')').and_then(|text| text.split_once(" (from round "));
        match rare {
            Some((row, from)) => Self { row: row.to_owned(), from: from.parse().expect("a round") },
            None => Self { row: text.to_owned(), from: 0 },
        }
    }
}

/// Reads the list. A line `openssl accepts: why` opens a divergence, indented lines are its rows, `#` begins a comment.
/// A row that differs for the first time in a round beyond those of the plain run says so: `row (from round 12)`.
pub fn listed(verifier: &str) -> Vec<Divergence> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/divergences.txt");
    let mut list: Vec<Divergence> = Vec::new();
    for line in fs::read_to_string(path).expect("the list").lines() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(row) = line.strip_prefix("  ") {
            list.last_mut().expect("a divergence before its rows").rows.push(Listed::read(row));
            continue;
        }
        let (head, why) = line.split_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
        let (verifier, does) = head.split_once(' ').unwrap_or_else(|| panic!("no verdict: {line}"));
        let other = match does {
            "accepts" => Other::Accepts,
            "refuses" => Other::Refuses,
            "refuses otherwise" => Other::RefusesOtherwise,
            _ => panic!("unknown verdict: {line}"),
        };
        list.push(Divergence { verifier: verifier.to_owned(), other, why: why.to_owned(), rows: Vec::new() });
    }
    assert!(list.iter().all(|one| !one.rows.is_empty() && !one.why.is_empty()), "a divergence without rows");
    list.retain(|one| one.verifier == verifier);
    list
}
