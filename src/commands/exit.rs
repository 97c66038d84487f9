//! How a command ends: its exit code, results on standard output, errors on standard error.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// How the process ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Allowed, or valid, or done.
    Success = 0,
    /// Denied, or invalid, or failed.
    Failure = 1,
    /// The command line does not make sense, or what `explain` needs for an answer cannot be had.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Writes a result. A reader that closes the pipe early, such as `head`, is not a failure.
pub fn print(text: &str) -> Exit {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Exit::Success,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
        Err(error) => complain(&format!("cannot write: {error}"), Exit::Failure),
    }
}

/// Writes an error message and returns `exit`.
pub fn complain(error: &str, exit: Exit) -> Exit {
    let _ = writeln!(io::stderr(), "certgate: {}", crate::terminal::plain_lines(error));
    exit
}
