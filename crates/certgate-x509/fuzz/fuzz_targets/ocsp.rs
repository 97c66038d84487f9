//! OCSP responses: parsing, and that nothing a stranger writes is taken for an answer of the CA.
//!
//! The seeds are answers about the certificate of this issuer by a CA whose key is not at hand here, so whatever the
//! fuzzer makes of them must not verify.
#![no_main]

mod limit;

use std::sync::LazyLock;

use certgate_x509::{Certificate, ocsp::{self, Nonce, OcspPolicy, OcspResponse}};
use libfuzzer_sys::fuzz_target;

static ISSUER: LazyLock<Certificate> =
    LazyLock::new(|| Certificate::from_der(&include_bytes!("../seeds/ocsp_issuer.der")[..]).expect("the file parses"));

fuzz_target!(|der: &[u8]| limit::within_limit(|| run(der)));

fn run(der: &[u8]) {
    let Ok(response) = OcspResponse::from_der(der.to_vec()) else { return };
    let policy = OcspPolicy::default();
    let now = response.produced_at();
    assert!(ocsp::authority(&response, &ISSUER, &policy, now).is_err());
    assert!(ocsp::check(&response, &ISSUER, &ISSUER, Nonce::NotSent, &policy, now).is_err());
}
