//! Where the cases of third-party suites are: in the folder that `CERTGATE_CONFORMANCE` names, beside the project, or, for
//! PKITS, in the project itself.

use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;

/// The cases of a suite; `None`, with a loud line, where they are not to be had.
pub fn cases(file: &str) -> Option<Vec<Value>> {
    let Some(text) = text(file) else {
        eprintln!("SKIPPED: no conformance suites at ../shared/conformance; {file} was not run");
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
}

fn text(file: &str) -> Option<String> {
    let named = std::env::var_os("CERTGATE_CONFORMANCE").map(PathBuf::from);
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let beside = ["../shared/conformance", "../../shared/conformance"].map(|place| here.join(place));
    if let Some(found) = named.into_iter().chain(beside).map(|folder| folder.join(file)).find(|path| path.is_file()) {
        return Some(std::fs::read_to_string(found).expect("a readable suite"));
    }
    let packed = std::fs::File::open(here.join("tests/data").join(format!("{file}.gz"))).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).expect("a suite packed with gzip");
    Some(text)
}
