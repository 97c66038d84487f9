//! Tests against a real kube-apiserver with etcd, RBAC on, edited with the real kubectl.
//!
//! `scripts/kube-parts` builds or finds the parts. Where they are missing, each test says so in one loud line and counts
//! as skipped; with `CI=true` it fails. Nothing runs the pods of a Deployment here; certgate runs as a process beside.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test tells where it is and what it measured")]

mod admission;
mod alike;
mod certgate;
mod chart;
mod cluster;
mod definitions;
mod deploy;
mod direct;
mod disturbances;
mod edits;
mod envoy;
mod front;
mod leaders;
mod once;
mod replicas;
mod revocation;
mod rotation;
mod scale;
mod selector;
mod status;
mod strain;
mod values;
mod versions;
mod waits;
mod wrong;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cluster::Cluster;

/// More than any test takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(240);

/// Runs a test in a cluster that is shared by those that disturb nobody: each keeps to a namespace of its own.
fn with_cluster<F: Future<Output = ()>>(test: impl FnOnce(Arc<Cluster>) -> F) {
    let Some(cluster) = Cluster::shared() else { return };
    run(test(cluster));
}

/// Runs a test in a cluster of its own, which it may stop and starve.
fn with_own_cluster<F: Future<Output = ()>>(test: impl FnOnce(Cluster) -> F) {
    let Some(cluster) = Cluster::start() else { return };
    run(test(cluster));
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await.expect("the test ends in time") });
}
