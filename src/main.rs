//! The `certgate` program: the command line of the library.

use std::process::ExitCode;

/// Decisions allocate little and often; mimalloc is a fifth faster at that than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages, each of which stays resident as a whole for as long as anything in its 2 MiB is in
    // use: strangers could have the process hold four times what is allocated. A kernel that has none needs no telling.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    certgate::cli::run(std::env::args_os()).into()
}
