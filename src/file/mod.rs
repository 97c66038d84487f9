//! The policy directory.
mod report;
mod scalar;
mod split;
mod yaml;
