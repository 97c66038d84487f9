//! Kinds of errors, for callers that map errors to their own codes.

/// Why a certificate is rejected, in few kinds, in the order in which the checks run.
///
/// Exhaustive on purpose: the compiler reports a new kind to code that maps kinds to codes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The certificate violates the profile of RFC 5280 section 4.
    Malformed,
    /// A certificate of the path is not valid yet.
    NotYetValid,
    /// A certificate of the path has expired.
    Expired,
    /// No path leads to a trust anchor, or a CA on it may not issue.
    Untrusted,
    /// A signature does not verify, or its key or algorithm is not allowed.
    Signature,
    /// A name is outside what a CA on the path may certify (RFC 5280 section 4.2.1.10).
    NameConstraint,
    /// The key may not be used for the purpose (RFC 5280 sections 4.2.1.3 and 4.2.1.12).
    KeyPurpose,
    /// A certificate is revoked.
    Revoked,
    /// No CRL or OCSP response determines whether a certificate is revoked.
    StatusUnknown,
    /// The CRLs and OCSP responses for a certificate are out of date.
    StatusStale,
    /// The caller's own check rejected a valid path, with its code ([`crate::path::Rejection`]).
    Rejected(u32),
}
