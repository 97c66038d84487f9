//! The pure core: bytes and time in, decisions out.
//!
//! Nothing below this module names a runtime, a socket, a file, a cluster or a clock; `tests/layering.rs` enforces
//! that. Everything here is deterministic: the same snapshot, request and time give the same decision.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod certificate;
pub mod certificate_header;
pub mod client_cert;
pub mod compile;
pub mod decide;
pub mod decision;
pub mod der;
pub mod duration;
pub mod encoding;
pub mod evidence;
pub mod failures;
pub mod fingerprint;
pub mod folding;
pub mod freshness;
pub mod general_name;
pub mod identity;
pub mod index;
pub mod lint;
pub mod mapping;
pub mod matcher;
pub mod name;
pub mod oid;
pub mod path;
pub mod reason;
pub mod request;
pub mod review;
pub mod revocation;
pub mod selection;
pub mod spec;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod trace;
pub mod trust;
pub mod trusted;
pub mod verify;
pub mod xfcc;
