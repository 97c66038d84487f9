//! The `certgate` program: the command line of the library.

use std::process::ExitCode;

/// Decisions make many small allocations; mimalloc is a fifth faster at these than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Disables huge pages for the allocator. Each one stays resident as a whole as long as anything in its 2 MiB is in
    // use: clients could make the process hold four times the memory that is allocated. A failure on a kernel without
    // huge pages does not matter.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    certgate::cli::run(std::env::args_os()).into()
}
