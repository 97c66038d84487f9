//! What the harness itself promises: nothing outlives a test process.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use certgate_harness::process::{Process, sweep};
use certgate_harness::wait::{PATIENCE, until};

/// Where the child names the process that it leaves.
const LEFT: &str = "left behind: ";

#[test]
#[ignore = "nothing_is_left_behind runs it"]
fn a_static_holds_a_process_and_its_folder() {
    let folder = TempDir::with_prefix("certgate-left-").expect("a temporary directory can be made");
    sweep(folder.path());
    let mut command = Command::new("sleep");
    command.arg("1000");
    let process = Process::spawn("sleep", command, folder.path());
    println!("{LEFT}{}", process.id());
    std::mem::forget((folder, process));
}

#[test]
fn nothing_is_left_behind() {
    let temporary = tempfile::tempdir().expect("a temporary directory can be made");
    let output = Command::new(std::env::current_exe().expect("a running program has a path"))
        .args(["--ignored", "--exact", "--nocapture", "harness::a_static_holds_a_process_and_its_folder"])
        .env("TMPDIR", temporary.path())
        .output()
        .expect("a test can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    let left = text.split_once(LEFT).and_then(|(_, rest)| rest.lines().next()).expect("the child ran");
    let is_running = || {
        let stat = fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
        // Whoever adopts orphans need not collect them.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(until("process and folder are gone", PATIENCE, async || {
        let is_empty = fs::read_dir(temporary.path()).expect("the directory is there").next().is_none();
        (is_empty && !is_running()).then_some(())
    }));
}
