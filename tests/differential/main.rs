//! The engine beside other verifiers, over thousands of generated chains: valid, and with one thing changed.
//!
//! [`catalogue`] holds the changes, [`scene`] the chains, [`divergences`] where the verdicts differ, and why. A listed
//! difference that is none any more fails the tests; so does one that is not listed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::type_complexity,
    reason = "a test may panic and print; tables of cases are types"
)]

mod catalogue;
#[path = "../support/chain.rs"]
mod chain;
mod compare;
#[path = "../support/der.rs"]
mod der;
mod divergences;
mod engine;
mod keys;
#[path = "../support/mutate.rs"]
mod mutate;
mod openssl;
mod scene;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/status.rs"]
mod status;
mod tampering;
mod webpki;

use der as support;
