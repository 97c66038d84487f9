//! The pure core: bytes and time in, decisions out.
//!
//! Nothing below this module names a runtime, a socket, a file, a cluster or a clock; `tests/layering.rs` enforces
//! that. Everything here is deterministic: the same snapshot, request and time give the same decision.

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod certificate_header;
pub mod client_cert;
pub mod compile;
pub mod decide;
pub mod decision;
pub mod duration;
pub mod evidence;
pub mod failures;
pub mod folding;
pub mod freshness;
pub mod identity;
pub mod index;
pub mod lint;
pub mod mapping;
pub mod matcher;
pub mod reason;
pub mod request;
pub mod review;
pub mod selection;
pub mod spec;
pub mod trust;
pub mod trusted;
pub mod xfcc;
