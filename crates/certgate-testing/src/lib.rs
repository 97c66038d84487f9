//! Shared code of the tests of this workspace. Not part of any program.

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, reason = "only tests use it")]

pub mod bars;
pub mod chain;
pub mod der;
pub mod mutate;
pub mod program;
pub mod skip;
pub mod status;
pub mod suites;
pub mod template;
