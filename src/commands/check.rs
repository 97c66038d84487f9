//! `certgate check`: the flags, the input, and printing. [`crate::file::check`] finds the problems.

use std::fs::File;
use std::io::{self, BufRead as _, Read, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Output;
use super::exit::{Exit, fail, print};
use super::explain::scope;
use crate::app;
use crate::domain::store::AbsentSources;
use crate::file::check::{self, CheckOptions, Warnings};
use crate::terminal::{self, Paint, Terminal};

/// The longest standard input: the size of a very large directory.
const MAX_INPUT: u64 = 256 << 20;

/// The name of standard input in reports.
const STANDARD_INPUT: &str = "standard input";

/// Read policies and report all their problems. Exit code 0: there are no errors, 1: there are errors, 2: the policies
/// cannot be found, or nothing was given to check.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Directories of policies and files, together one set; `-` reads standard input.
    #[arg(value_name = "PATH", env = "CERTGATE_POLICIES", required_unless_present = "kubernetes")]
    paths: Vec<PathBuf>,
    /// Read the policies of a Kubernetes cluster instead: the one that the process runs in, or that of the kubeconfig.
    #[arg(long)]
    kubernetes: bool,
    /// A namespace to read; may be repeated [default: all].
    #[arg(long = "namespace", value_name = "NAME", value_delimiter = ',', requires = "kubernetes")]
    namespaces: Vec<String>,
    /// Count warnings as errors.
    #[arg(long)]
    strict: bool,
    /// How absent ConfigMaps, Secrets and ClusterTrustBundles that profiles name count.
    #[arg(long, value_name = "WHAT", default_value = "read")]
    sources: SourceMode,
    /// The form of the report.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Output,
}

/// How absent trust sources count.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum SourceMode {
    /// As errors.
    Read,
    /// As present: for manifests whose ConfigMaps and Secrets live in the cluster.
    Skip,
}

/// Runs the command; `typed` says whether paths came from the command line and not from the environment.
pub fn run(args: &CheckArgs, typed: bool) -> Exit {
    let options = CheckOptions {
        sources: match args.sources {
            SourceMode::Read => AbsentSources::Reported,
            SourceMode::Skip => AbsentSources::Assumed,
        },
        warnings: if args.strict { Warnings::Errors } else { Warnings::Reported },
    };
    let found = if args.kubernetes {
        if typed {
            return fail("--kubernetes and paths exclude each other", Exit::Usage);
        }
        match app::check_cluster(&scope(&args.namespaces), options) {
            Ok(found) => found,
            Err(error) => return fail(&error.to_string(), Exit::Usage),
        }
    } else {
        let input = match Input::of(&args.paths) {
            Ok(input) => input,
            Err(error) => return fail(&error, Exit::Usage),
        };
        let mut found = check::check_all(&input.paths, options);
        found.note_empty(&input.empty);
        found
    };
    let report = match args.output {
        Output::Text => {
            let paint = if found.is_valid() { Paint::Good } else { Paint::Bad };
            Terminal::of_stdout().painted(found.to_text(), &[(&found.summary_lead(), paint)])
        }
        Output::Json => terminal::json(&found.to_json()),
    };
    match print(&report) {
        Exit::Success if found.exit_code() != 0 => Exit::Failure,
        exit => exit,
    }
}

/// The paths, with standard input as a file in memory.
struct Input {
    paths: Vec<check::CheckedPath>,
    /// The names of the empty files.
    empty: Vec<String>,
    /// Kept open: the path of the file in memory leads through its descriptor.
    _memory: Option<OwnedFd>,
}

impl Input {
    fn of(paths: &[PathBuf]) -> Result<Self, String> {
        let mut memory = None;
        let mut named = Vec::with_capacity(paths.len());
        let mut empty = Vec::new();
        for path in paths {
            if path.as_os_str() != "-" {
                // The check reports a directory that cannot be read; a path that does not exist is a usage error.
                std::fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                if is_blank(path) {
                    empty.push(path.display().to_string());
                }
                named.push(check::CheckedPath { path: path.clone(), shown: None });
            } else if memory.is_none() {
                let file = standard_input().map_err(|error| format!("cannot read standard input: {error}"))?;
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                if is_blank(Path::new(&path)) {
                    empty.push(STANDARD_INPUT.to_owned());
                }
                named.push(check::CheckedPath { path: Path::new(&path).to_owned(), shown: Some(STANDARD_INPUT) });
                memory = Some(file);
            }
        }
        // The command that writes the policies to standard input may have failed: empty input does not count as valid.
        if !named.is_empty() && empty.len() == named.len() {
            return Err(format!("there is nothing to check: {} is empty", empty.join(", ")));
        }
        Ok(Self { paths: named, empty, _memory: memory })
    }
}

/// Whether the file at `path` has nothing but white space in it. The check reports a file that cannot be read, and a
/// pipe can be read only once.
fn is_blank(path: &Path) -> bool {
    let is_file = std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let blank = |file: File| {
        let mut reader = io::BufReader::new(file);
        loop {
            let chunk = reader.fill_buf()?;
            if chunk.is_empty() {
                return Ok(true);
            }
            if !chunk.trim_ascii().is_empty() {
                return Ok::<_, io::Error>(false);
            }
            let read = chunk.len();
            reader.consume(read);
        }
    };
    is_file && File::open(path).and_then(blank).unwrap_or(false)
}

/// Standard input as a file that can be read repeatedly: the check reads files again to find the places of problems.
fn standard_input() -> io::Result<OwnedFd> {
    let memory = rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    let copied = io::copy(&mut io::stdin().lock().take(MAX_INPUT + 1), &mut file)?;
    if copied > MAX_INPUT {
        return Err(io::Error::other(format!("more than {MAX_INPUT} bytes")));
    }
    file.flush()?;
    Ok(file.into())
}
