//! The policy directory: the same YAML as in a cluster, without one.
//!
//! This adapter owns reading files ([`loader`]), noticing changes ([`watch`]) and reporting all their problems
//! ([`check`]). It passes well-formed objects to the index of the core, which alone judges their meaning, and passes
//! the snapshots of the index on. It answers no requests.

mod bulk;
pub mod check;
mod loaded;
pub mod loader;
mod manifest;
mod metadata;
pub mod report;
mod scalar;
mod scan;
mod schema;
pub mod source;
mod split;
pub mod watch;
mod yaml;
