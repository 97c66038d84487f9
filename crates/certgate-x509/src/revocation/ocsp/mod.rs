//! OCSP, offline (RFC 6960; RFC 5019 and 9654 where they narrow it): responses that were fetched or stapled elsewhere
//! are parsed ([`response`]) and judged ([`check()`]); requests are built ([`request()`]).
//!
//! Does not send or fetch.

pub mod cert_id;
pub mod check;
pub mod request;
pub mod response;

pub use cert_id::{CertIdHash, IssuerHashes};
pub use check::{Authority, Nonce, OcspGood, OcspPolicy, Responder, authority, check, is_about};
pub use request::request;
pub use response::{CertStatus, OcspError, OcspResponse, SingleResponse};

/// Content octets of object identifiers of RFC 6960 and 9654.
mod id {
    /// id-pkix-ocsp-basic.
    pub(super) const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
    /// id-pkix-ocsp-nonce.
    pub(super) const NONCE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 2];
    /// id-pkix-ocsp-nocheck.
    pub(super) const NO_CHECK: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 5];
    /// id-kp-OCSPSigning.
    pub(super) const OCSP_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 9];
}
