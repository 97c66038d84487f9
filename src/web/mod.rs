//! HTTP beside Envoy's port: what the commands ask a running server, and what the admin port and the admission webhook
//! share of their answers.
//!
//! The endpoints, and the time and memory that they may take, belong to their modules.

pub mod client;
pub mod server;
