//! The policy directory.
mod manifest;
mod metadata;
mod report;
mod scalar;
mod schema;
mod split;
mod yaml;
