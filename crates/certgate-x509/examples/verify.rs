//! Verifies a client certificate with the CRLs of its CAs:
//!
//! ```text
//! cargo run --example verify -- CHAIN.pem ROOTS.pem CRLS.pem TIME
//!
//! cd examples/data
//! cargo run --example verify -- client.pem root.pem crls.pem 2026-06-16T12:00:00Z
//! ```
//!
//! `CHAIN.pem` holds the client's certificate first, then its intermediates. The steps of the search are printed.

#![allow(clippy::print_stdout, reason = "a command prints")]

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use certgate_x509::encoding::bundle;
use certgate_x509::{
    Certificate, CrlReader, PathParameters, Pool, Recorder, RevocationData, RevocationPolicy, UnixTime, Verification,
};

fn certificates(file: &str) -> Result<Vec<Arc<Certificate>>, Box<dyn Error>> {
    let found = bundle::certificates(&std::fs::read(file)?)?;
    found.into_iter().map(|der| Ok(Arc::new(Certificate::from_der(der)?))).collect()
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [chain, roots, crls, time] = arguments.as_slice() else {
        return Err("usage: verify CHAIN.pem ROOTS.pem CRLS.pem TIME".into());
    };
    let now = UnixTime::parse_rfc3339(time).ok_or("TIME is not like 2026-06-16T12:00:00Z")?;
    let mut presented = certificates(chain)?;
    // A bundle holds at least one certificate.
    let leaf = presented.remove(0);
    let verification = Verification {
        leaf,
        untrusted: presented,
        pool: Pool::new(certificates(roots)?, []),
        data: RevocationData::new(CrlReader::read(&std::fs::read(crls)?)?),
        path: PathParameters::default(),
        revocation: RevocationPolicy::default(),
    };
    let mut steps = Recorder::default();
    let outcome = verification.verify(now, &mut steps);
    for step in steps.steps() {
        println!("{:?} {}: {}", step.verdict, step.stage, step.detail);
    }
    match outcome {
        Ok(verified) => {
            println!("valid until {}", verified.valid_until);
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            println!("{:?}: {failure}", failure.kind);
            Ok(ExitCode::FAILURE)
        }
    }
}
