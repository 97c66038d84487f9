//! Certificates, names, path building and validation, CRLs and OCSP responses: bytes and a time in, verdicts out.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "batch")]
pub mod batch;
pub mod certificate;
pub mod der;
pub mod encoding;
pub mod error_kind;
pub mod fingerprint;
pub mod general_name;
pub mod name;
pub mod oid;
pub mod path;
pub mod revocation;
pub mod time;
pub mod trace;
pub mod verify;
