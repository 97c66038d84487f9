//! The pure core: bytes and time in, decisions out.
//!
//! Nothing below this module names a runtime, a socket, a file, a cluster or a clock; `tests/contract/layering.rs` enforces
//! that. Everything here is deterministic: the same snapshot, request and time give the same decision.
//!
//! Each wing may use those above it in this list, and none below:
//!
//! 1. [`request`]: what a proxy asks about, as borrowed text.
//! 2. [`api`]: the three kinds as an operator writes them, and errors with the paths of fields.
//! 3. [`evidence`]: where in a request a certificate is; untrusted bytes out.
//! 4. [`decide`]: selection, trust, mapping, and the decision of one request over an immutable snapshot.
//! 5. [`policy`]: from what an operator wrote to what decides; warnings about what is legal and doubtful.
//! 6. [`store`]: the objects that there are, joined into snapshots; reviews of edits against them.
//!
//! Certificates, paths, CRLs and OCSP are the engine's, the crate [`certgate_x509`].

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod api;
pub mod decide;
pub mod evidence;
pub mod policy;
pub mod request;
pub mod store;
