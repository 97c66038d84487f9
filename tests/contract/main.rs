//! What the service promises: its library and its program without Envoy and without a cluster.
//!
//! One binary, because each costs a link; a module per subject. Tests here run side by side in one process: none of them
//! sets environment variables, the current directory or any other state of the process.

mod batch;
mod check;
mod cli;
mod crl_source;
mod decision_cache;
mod directory;
mod docs;
mod inspect;
mod layering;
mod mistakes;
mod monitoring;
mod mutated_requests;
mod mutation;
mod once;
mod policies;
mod reasons;
mod recipes;
mod requirements;
mod revocation_policy;
mod trust;
mod verify;
