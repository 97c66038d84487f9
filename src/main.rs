//! The `certgate` program: the command line of the library.

use std::process::ExitCode;

/// Decisions allocate little and often; mimalloc is a fifth faster at that than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    certgate::cli::run(std::env::args_os()).into()
}
