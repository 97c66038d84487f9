//! OCSP responses, one thing wrong at a time, requests, and responses beside CRLs.

mod beside;
mod requests;
mod responses;
mod world;
