//! Third-party suites; a divergence is listed with its reason, and a listed one that no longer occurs fails.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

mod bettertls;
mod limbo;
mod path;
mod whole;
