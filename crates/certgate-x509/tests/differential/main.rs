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
use certgate_testing::chain;
mod compare;
use certgate_testing::der;
mod divergences;
mod engine;
mod keys;
use certgate_testing::mutate;
mod openssl;
mod scene;
use certgate_testing::skip;
use certgate_testing::status;
mod tampering;
mod webpki;

use der as support;
