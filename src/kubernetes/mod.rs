//! Policies from a Kubernetes cluster: custom resource definitions, watches, status and admission.
//!
//! Owns everything that speaks to an API server. It turns what the cluster holds into the core's objects and the core's
//! findings into status; it compiles nothing itself, and it does not know how decisions are served.

pub mod admission;
pub mod api;
pub mod cluster;
pub mod crd;
mod definitions;
mod follow;
pub mod health;
pub mod read;
pub mod selector;
pub mod shutdown;
pub mod status;
pub mod store;
mod unfit;
mod wire;
pub mod yaml;
