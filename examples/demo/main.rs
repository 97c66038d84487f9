//! `make demo`: a real Envoy with mutual TLS asks certgate, and a table shows who passed as whom and who was refused
//! and why. `KEEP=1` leaves everything up until it is interrupted.
//!
//! The policies and Envoy's configuration are the files in `deploy/demo/`; only keys, hashes and ports are filled in.

#![allow(clippy::print_stdout, reason = "showing a table is what a demonstration is for")]

mod cases;
mod stage;
mod table;

use std::process::ExitCode;

use stage::Stage;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        tokio::select! {
            biased;
            code = demonstrate() => code,
            () = interrupted() => ExitCode::from(130),
        }
    })
}

async fn demonstrate() -> ExitCode {
    if certgate_harness::envoy::binary().is_none() {
        return ExitCode::FAILURE;
    }
    println!("Starting an upstream, certgate and Envoy 1.40 with mutual TLS ...\n");
    let stage = Stage::set().await;
    let wrong = cases::play(&stage).await;
    if std::env::var_os("KEEP").is_some_and(|keep| !keep.is_empty() && keep != "0") {
        stage.print_commands();
        interrupted().await;
    }
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends when somebody wants the demo to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("a signal can be awaited");
    let mut hang_up = signal(SignalKind::hangup()).expect("a signal can be awaited");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminate.recv() => (),
        _ = hang_up.recv() => (),
    }
}
