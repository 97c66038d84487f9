//! The harness of the end-to-end tests and of the demo: a small PKI, the real Envoy, certgate itself, an upstream that
//! reports the requests that it received, a client that can behave like an attacker, and a stand-in for certgate.
//!
//! Everything listens on free ports of 127.0.0.1, lives in temporary directories and ends with the test, however the
//! test ends. Nothing sleeps for a fixed time: the harness waits for conditions, with a deadline.

#![allow(missing_docs, reason = "only tests use it")]

pub mod certgate;
pub mod client;
pub mod envoy;
pub mod envoy_config;
pub mod load;
pub mod pki;
pub mod policies;
pub mod ports;
pub mod process;
pub mod raw;
pub mod stand_in;
pub mod upstream;
pub mod wait;
pub mod wire;
pub mod world;
