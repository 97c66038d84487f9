//! HTTP apart from Envoy's port: the client of the commands, and the answers of the admin port and the admission
//! webhook.
//!
//! The endpoints, and their limits of time and memory, belong to their modules.

pub mod client;
pub mod server;
