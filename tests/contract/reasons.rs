//! The page about reasons says what the program says.

use std::path::Path;

use certgate::domain::decide::reason;

#[test]
fn the_page_is_made_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reasons.md");
    let want = reason::markdown();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &want).expect("docs can be written");
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(have == want, "docs/reasons.md is stale: run `UPDATE=1 cargo test --test contract reasons`");
}
