//! Tests that cannot run because a prerequisite is missing.
//!
//! Prints one line for each missing prerequisite; in continuous integration (`CI=true`) the test fails.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

/// Reports that `what` is skipped, and why. Panics where `CI=true`: there, a skipped test proves nothing.
pub fn skip(what: &str, why: &str) {
    let why = why.trim();
    assert!(!is_ci(), "{what} cannot be skipped where CI=true: {why}");
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned()) {
        // The test harness captures the output of the macros, but not what is written to the stream itself.
        let _ = std::io::stderr().write_all(format!("\nSKIPPED: {what}: {why}\n").as_bytes());
    }
}

/// Whether this is continuous integration.
pub fn is_ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}
