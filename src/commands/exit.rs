//! How commands end: exit codes, results on standard output, errors on standard error.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// The exit code of the process.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Allowed, valid or done.
    Success = 0,
    /// Denied, invalid or failed.
    Failure = 1,
    /// The command line is wrong, or an input of `explain` is not available.
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
        Err(error) => fail(&format!("cannot write: {error}"), Exit::Failure),
    }
}

/// Writes an error message and returns `exit`.
pub fn fail(error: &str, exit: Exit) -> Exit {
    let _ = writeln!(io::stderr(), "certgate: {}", crate::terminal::plain_lines(error));
    exit
}
