//! OCSP responses, one thing wrong at a time, requests, and responses beside CRLs.

#[path = "../support/der.rs"]
mod der;
#[path = "../support/status.rs"]
mod status;

mod beside;
mod requests;
mod responses;
mod world;
