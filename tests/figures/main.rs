//! What things cost: memory, processor time, and how long until a change decides.
//!
//! Most of it is ignored, needs an optimized build (`make figures`) and runs one test at a time. What judges memory
//! measures a process of its own.

mod crl;
mod crl_serve;
mod directory;
mod flood;
mod index;

use std::process::Command;

/// Names the test that a child process runs.
const TEST: &str = "CERTGATE_FIGURE";

/// Runs `measure` in a process of its own, so that memory is of nothing else.
fn in_own_process(test: &str, measure: impl FnOnce()) {
    if std::env::var(TEST).is_ok_and(|name| name == test) {
        return measure();
    }
    let status = Command::new(std::env::current_exe().expect("a running program has a path"))
        .args(["--ignored", "--exact", test, "--nocapture", "--test-threads=1"])
        .env(TEST, test)
        .status()
        .expect("a test can be run");
    assert!(status.success(), "{test}: {status}");
}
