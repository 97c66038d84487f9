//! One request over an immutable snapshot: selects the policy, verifies the certificate, maps it to an identity.
//!
//! - [`snapshot`]: what decisions read, and where a decision begins;
//! - [`check`]: the order of the steps of one decision;
//! - [`selection`]: which policy decides a request, by route, host, path and method;
//! - [`verifier`], [`resolved_profile`]: verifying certificates under a trust profile, without and with revocation;
//! - [`mapping`]: from a verified certificate to an identity;
//! - [`cache`]: decisions that are remembered, so that a certificate in use costs no signature;
//! - [`compiled`]: policies in the form that is made of what an operator wrote;
//! - [`decision`], [`reason`], [`identity`]: what comes out;
//! - [`matcher`], [`folding`]: comparing texts.
//!
//! Not owned here: reading and checking what an operator wrote, which is the wing `policy`, and which objects there
//! are, which is the wing `store`.

pub mod cache;
mod check;
pub mod compiled;
pub mod decision;
pub mod folding;
pub mod identity;
pub mod mapping;
pub mod matcher;
pub mod reason;
pub mod resolved_profile;
pub mod selection;
pub mod snapshot;
pub mod unique;
pub mod verifier;

pub use snapshot::{Counts, Policy, PolicyState, Snapshot};
