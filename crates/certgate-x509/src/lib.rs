//! Strict validation of client certificates: bytes and a time in, a verdict out.
//!
//! The crate reads certificates, CRLs and OCSP responses, builds and validates paths (RFC 5280 section 6) and checks
//! revocation (RFC 5280 section 6.3, RFC 6960). It names no socket, file, clock or runtime: the caller brings the
//! octets and says what time it is, so the same inputs always give the same verdict.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test"))]
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[cfg(feature = "batch")]
pub mod batch;
mod certificate;
pub mod der;
pub mod encoding;
mod error_kind;
mod fingerprint;
mod general_name;
mod name;
mod oid;
mod path;
mod revocation;
mod time;
mod trace;
mod verify;

pub use certificate::{
    BasicConstraints, Certificate, CertificateError, Extension, ExtensionProblem, KeyUsage, MAX_CERTIFICATE,
    MAX_EXTENSIONS, MAX_OIDS, PolicyConstraints, Version, id as extension_id, public_key_names,
};
pub use error_kind::ErrorKind;
pub use fingerprint::{FingerprintError, Sha256};
pub use general_name::{GeneralName, GeneralNameError, SMTP_UTF8_MAILBOX, UPN};
pub use name::{
    AttributeType, AttributeTypeError, AttributeValue, MAX_ATTRIBUTES, Name, NameError, StringError, looks_reversed,
};
pub use oid::{Oid, OidError};
pub use path::constraints::{NameConstraints, Subtree};
pub use path::signature::{Curve, KeyKind, PublicKey, Sha1, digest_algorithm, verify_signature};
pub use path::{
    ANY_POLICY, BrokenLink, Budget, DEFAULT_MAX_PATH_LENGTH, KeyOrigin, KeyPurpose, LeafRule, PathError, PathFailure,
    PathParameters, PolicyParameters, Pool, Rejection, RolloverRule, SignatureAlgorithm, SignatureAlgorithms,
    SignatureError, SignaturePolicy, Spent, Unvouched, UsageRule, ValidPath, ValidPolicies, check_links,
    check_validity, check_vouched, find_path, find_path_within,
};
pub use revocation::crl::{CrlParser, MAX_CRL, shortened};
pub use revocation::ocsp;
pub use revocation::{
    BadStatus, Crl, CrlError, CrlNumber, CrlReader, CrlReason, CrlSourceError, CrlSubjects, DEFAULT_MAX_AGE, Entry,
    Expiry, Freshness, FreshnessLimit, IdpError, IssuingDistributionPoint, MAX_POINTS, MaxAge, OnUnknown, ReasonFlags,
    RevocationData, RevocationFailure, RevocationMode, RevocationOutcome, RevocationPolicy, RevocationScope, Rollback,
    RollbackReason, SignerCandidates, check_revocation, check_revocation_within,
};
pub use time::UnixTime;
pub use trace::{NoTrace, Recorder, Step, Trace, Verdict};
pub use verify::{Verification, VerificationFailure, Verified};
