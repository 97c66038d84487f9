//! The examples in `deploy/` on the real things: istiod, Envoy Gateway and Contour, each with a kube-apiserver, read the example as
//! it is and configure a stock Envoy, which asks certgate.
//!
//! `scripts/kube-parts`, `scripts/chart-parts` and `scripts/mesh-parts` build what is needed. Where a part is missing, each
//! test says so in one loud line and counts as skipped; with `CI=true` it fails. No pods run here: the processes run
//! beside, on 127.0.0.1, and only addresses and ports of the examples are changed for that.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test tells where it is and what it measured")]

// What starts a cluster and certgate in it is used by these two targets alone, and each uses a part of it.
#[path = "../kubernetes/certgate.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod certgate;
#[path = "../kubernetes/cluster.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod cluster;
#[path = "../kubernetes/waits.rs"]
#[allow(dead_code, reason = "how long the edits here took is not judged")]
mod waits;

mod contour;
mod envoy_gateway;
mod istio;
mod journey;
mod stage;
