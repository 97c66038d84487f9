//! The validating admission webhook: a wrong edit is refused when it is made.
//!
//! Owns the exchange with the API server ([`server`]), what an `AdmissionReview` says ([`review`]), the certificate
//! that the server shows ([`certificate`], [`issuer`]), what the cluster is asked meanwhile ([`sources`]) and the
//! metrics. What is wrong with an object is the core's business; nothing is stored here, and nothing that decides about
//! requests depends on it.

pub mod certificate;
pub mod issuer;
pub mod metrics;
pub mod review;
pub mod server;
pub mod sources;
mod wire;
