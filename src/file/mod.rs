//! The policy directory: the same YAML as in a cluster, without one.
//!
//! This adapter owns reading files ([`loader`]), noticing changes ([`watch`]) and naming everything that is wrong with
//! them ([`check`]). It gives documents that have the right shape to the index of the core, which alone judges what
//! they mean, and passes the index's snapshots on. It answers no requests.

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
