//! The cases of third-party suites: in the folder that `CERTGATE_CONFORMANCE` names, or packed in `tests/data` of the
//! engine.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

/// The cases of a suite.
pub fn cases(file: &str) -> Vec<Value> {
    text(file).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn text(file: &str) -> String {
    if let Some(folder) = std::env::var_os("CERTGATE_CONFORMANCE") {
        let path = Path::new(&folder).join(file);
        return std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../certgate-x509/tests/data").join(format!("{file}.gz"));
    let packed = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).expect("a suite packed with gzip");
    text
}
