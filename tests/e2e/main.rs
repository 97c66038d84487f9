//! End-to-end tests: a real Envoy, real mutual TLS, and certgate as it ships.
//!
//! One binary, because each costs a link; a module per subject. `facts` holds what certgate relies on in Envoy itself
//! and runs with a stand-in: when an Envoy update breaks one of those, the design has to be looked at, not the test.

#![allow(clippy::print_stdout, reason = "a test tells where it is and what it measured")]

mod answers;
mod facts;
mod failures;
mod forwarded;
mod harness;
mod kubernetes_start;
mod mapping;
mod program;
mod quick_start;
mod reload;
mod revocation;
mod selection;
mod shipped;
mod strangers;
mod tls;
mod trust;

use std::future::Future;
use std::time::Duration;

/// More than any test takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Runs a test that needs Envoy.
fn with_envoy(test: impl Future<Output = ()>) {
    if certgate_harness::envoy::binary().is_none() {
        return;
    }
    run(test);
}

/// Runs a test.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("the test ends in time") });
}
