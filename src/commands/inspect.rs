//! `certgate inspect`: the flags, and printing. [`crate::inspect`] makes the report.

use std::io::Write;

use clap::Args;

use super::Output;
use super::exit::Exit;
use super::input::{self, CertificateArgs, InputError, parse_time};
use crate::clock;
use crate::inspect::{self, Inspection};
use crate::terminal::{self, Terminal};
use certgate_x509::UnixTime;

/// Show a certificate in words, and every name that a policy can mean it by. Exit code 0: it is well-formed, 1: it is
/// not, 2: there is no certificate.
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    certificate: CertificateArgs,
    /// Check its dates as of this time, such as 2026-01-31T12:00:00Z [default: now].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<UnixTime>,
    /// The form of the answer.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Output,
}

/// Runs the command.
pub fn run(args: &InspectArgs, output: impl Write, mut errors: impl Write) -> Exit {
    let now = args.at.unwrap_or_else(clock::now);
    let Some(path) = args.certificate.path() else {
        let _ = writeln!(errors, "certgate: a certificate is needed: certgate inspect CERT");
        return Exit::Usage;
    };
    let inspection = match input::certificates(path) {
        Ok(found) => inspect::inspect(found.form, &found.certificates, now),
        Err(InputError::Malformed { problem, .. }) => inspect::unreadable(&problem, now),
        Err(InputError::WrongFile(problem)) => {
            let _ = writeln!(errors, "certgate: {}", terminal::plain_lines(&problem));
            return Exit::Usage;
        }
    };
    print(&inspection, args.output, output)
}

fn print(inspection: &Inspection, form: Output, mut output: impl Write) -> Exit {
    let page = match form {
        Output::Json => terminal::json(inspection),
        Output::Text => {
            let terminal = Terminal::of_stdout();
            terminal.painted(inspect::render(inspection, terminal), inspect::PAINTED)
        }
    };
    match output.write_all(page.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Failure,
        _ if inspection.well_formed => Exit::Success,
        _ => Exit::Failure,
    }
}
