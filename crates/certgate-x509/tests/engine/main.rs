//! What the engine promises: certificates read, paths built and judged, CRLs and OCSP responses.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

mod certificate;
mod crl;
mod ocsp;
mod path;
mod path_building;
mod path_failures;
mod revocation;
