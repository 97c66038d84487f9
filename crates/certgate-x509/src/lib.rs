//! Strict validation of X.509 client certificates: bytes and a time in, a verified path or a precise error out.
//!
//! The crate reads certificates, CRLs and OCSP responses, builds and validates certification paths, and checks
//! revocation. It opens no socket or file, reads no clock and starts no thread: the caller brings the octets and says
//! what time it is, so the same inputs always give the same result.
//!
//! # Example
//!
//! Two clients present a certificate and its intermediate. The issuing CA has revoked the second one.
//!
//! ```
//! use std::error::Error;
//! use std::sync::Arc;
//!
//! use certgate_x509::encoding::bundle;
//! use certgate_x509::{
//!     Certificate, CrlReader, ErrorKind, NoTrace, PathParameters, Pool, RevocationData, RevocationPolicy, UnixTime,
//!     Verification,
//! };
//!
//! fn certificates(pem: &[u8]) -> Result<Vec<Arc<Certificate>>, Box<dyn Error>> {
//!     bundle::certificates(pem)?.into_iter().map(|der| Ok(Arc::new(Certificate::from_der(der)?))).collect()
//! }
//!
//! fn verification(chain: &[u8]) -> Result<Verification, Box<dyn Error>> {
//!     let roots = certificates(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/root.pem")))?;
//!     let crls = CrlReader::read(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/crls.pem")))?;
//!     let mut presented = certificates(chain)?;
//!     Ok(Verification {
//!         leaf: presented.remove(0),
//!         untrusted: presented,
//!         pool: Pool::new(roots, []),
//!         data: RevocationData::new(crls),
//!         path: PathParameters::default(),
//!         revocation: RevocationPolicy::default(),
//!     })
//! }
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let now = UnixTime::parse_rfc3339("2026-06-16T12:00:00Z").ok_or("not a time")?;
//!
//! let client = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/client.pem"));
//! let verified = verification(client)?.verify(now, &mut NoTrace)?;
//! assert_eq!(verified.path.certificates()[0].subject().to_string(), "CN=payments,O=Example,C=DE");
//! assert_eq!(verified.path.anchor().subject().to_string(), "CN=Example Root CA,O=Example,C=DE");
//! // Until the issuing CA's CRL is out of date, and five minutes of clock skew.
//! assert_eq!(verified.valid_until.to_string(), "2026-06-22T00:05:00Z");
//!
//! let revoked = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/revoked.pem"));
//! let failure = verification(revoked)?.verify(now, &mut NoTrace).unwrap_err();
//! assert_eq!(failure.kind, ErrorKind::Revoked);
//! assert!(failure.detail.starts_with("revoked at 2026-06-10T08:00:00Z for keyCompromise"), "{}", failure.detail);
//!
//! // A week later the CRL is out of date, and an unknown status is rejected.
//! let failure = verification(client)?.verify(now.plus(7 * 24 * 3600), &mut NoTrace).unwrap_err();
//! assert_eq!(failure.kind, ErrorKind::StatusStale);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/verify.rs` does the same for files. A server keeps one [`Pool`] and one [`RevocationData`] for each set of
//! trust anchors and calls [`find_path_within`] and [`check_revocation_within`] with one [`Budget`] for each request:
//! the pool and the CRLs remember signatures that they have verified.
//!
//! # Standards
//!
//! | what | standard | where |
//! |---|---|---|
//! | DER | X.690 | [`der`] |
//! | certificates and extensions | RFC 5280 section 4 | [`Certificate`] |
//! | names and their comparison | RFC 5280 section 7.1, RFC 4514 | [`Name`], [`GeneralName`] |
//! | path building | RFC 4158 | [`find_path`] |
//! | path validation, policies, name constraints | RFC 5280 section 6.1, RFC 5937 | [`find_path`], [`PathParameters`] |
//! | signatures | RFC 4055, 5480, 5758, 8017, 8410 | [`PublicKey`], [`SignaturePolicy`] |
//! | CRLs: complete, delta, indirect, partitioned | RFC 5280 section 5 | [`Crl`], [`CrlReader`] |
//! | revocation by CRLs | RFC 5280 section 6.3 | [`check_revocation`], [`RevocationData`] |
//! | OCSP requests and responses, offline | RFC 6960, 5019, 9654 | [`ocsp`] |
//! | PEM, base64, percent-encoding | RFC 7468, 4648, 3986 | [`encoding`] |
//!
//! Algorithms: RSA PKCS #1 v1.5 and PSS with SHA-2, ECDSA on P-256, P-384 and P-521 with SHA-2, Ed25519; with SHA-1
//! only where [`SignaturePolicy::sha1`] allows it. Not supported: DSA, Ed448, compressed points, explicit curve
//! parameters. A key or signature of another algorithm is rejected by name.
//!
//! Not in the crate: host names of servers (RFC 9525), fetching of CRLs and OCSP responses, attribute certificates.
//!
//! # Limits
//!
//! [`limits`] has the largest inputs. A [`Budget`] bounds the work for one request, hostile certificates included: two
//! milliseconds of signatures by presented keys and three of all work that a client can multiply, on a current core;
//! path length is bounded by [`PathParameters::max_path_length`]. Larger inputs are rejected, never truncated. Nothing
//! recurses on input.
//!
//! # Errors
//!
//! Every error type has a message with the rule and the compared values. [`ErrorKind`] sorts them for callers that map
//! errors to codes of their own. A failed search reports the path that got farthest.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]
#![warn(clippy::print_stdout, clippy::print_stderr)]
#![deny(missing_docs)]

#[cfg(feature = "batch")]
pub mod batch;
mod certificate;
pub mod der;
pub mod encoding;
mod error_kind;
mod fingerprint;
mod general_name;
pub mod limits;
mod name;
mod oid;
mod path;
mod revocation;
mod time;
mod trace;
mod verify;

pub use certificate::{
    BasicConstraints, Certificate, CertificateError, Extension, ExtensionProblem, KeyUsage, NameConstraints,
    PolicyConstraints, Subtree, Version, id as extension_id, public_key_fingerprints,
};
pub use error_kind::ErrorKind;
pub use fingerprint::{FingerprintError, Sha256};
pub use general_name::{GeneralName, GeneralNameError, SMTP_UTF8_MAILBOX, UPN};
pub use name::{AttributeType, AttributeTypeError, AttributeValue, Name, NameError, StringError, looks_reversed};
pub use oid::{Oid, OidError};
pub use path::signature::{PublicKey, Sha1, digest_algorithm, verify_signature};
pub use path::{
    ANY_POLICY, BrokenLink, Budget, Curve, DEFAULT_MAX_PATH_LENGTH, KeyKind, KeyOrigin, KeyPurpose, LeafRule,
    PathError, PathFailure, PathParameters, PolicyParameters, Pool, Rejection, RolloverRule, SignatureAlgorithm,
    SignatureAlgorithms, SignatureError, SignaturePolicy, Spent, Unvouched, UsageRule, ValidPath, ValidPolicies,
    check_links, check_validity, check_vouched, find_path, find_path_within,
};
pub use revocation::crl::CrlParser;
pub use revocation::ocsp;
pub use revocation::{
    BadStatus, Crl, CrlError, CrlNumber, CrlReader, CrlReason, CrlSourceError, CrlSubjects, Expiry, Freshness,
    FreshnessLimit, IdpError, IssuingDistributionPoint, MAX_AGE_WITHOUT_NEXT_UPDATE, MaxAge, OnUnknown, ReasonFlags,
    RevocationData, RevocationEntry, RevocationFailure, RevocationMode, RevocationOutcome, RevocationPolicy,
    RevocationScope, Rollback, RollbackReason, SignerCandidates, check_revocation, check_revocation_within,
};
pub use time::UnixTime;
pub use trace::{NoTrace, Recorder, Trace, TraceStep, Verdict};
pub use verify::{Verification, VerificationFailure, Verified};
