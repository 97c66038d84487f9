//! Scripts that tests write and run.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes an executable script.
///
/// A child process writes it. If this process wrote it, a child that another test starts at the same time would hold
/// the file open until it executes another program, and the script could not be run: `ETXTBSY`.
pub fn write(path: &Path, script: &str) {
    let mut command = Command::new("install");
    command.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut child = command.spawn().expect("install is one of the core utilities");
    child.stdin.take().expect("it is piped").write_all(script.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it was started").success(), "{}", path.display());
}
