//! The text encodings in which certificates travel and are stored, read strictly.
//!
//! Owns: percent-encoding, base64, the strict PEM that proxies write ([`pem`]), the more forgiving PEM that people
//! keep in ConfigMaps and files ([`bundle`]), the other forms of certificates in files ([`container`]), and the quoting of untrusted bytes in messages ([`excerpt`]).
//! Deliberately not here: what a certificate means. These modules hand out DER that nobody has looked into.
//!
//! Strict means that an encoding has one reading and, but for the spelling of percent-escapes, one spelling: two
//! different texts do not stand for the same certificate, so a log line, a cache key and a decision agree.

pub mod base64;
pub mod bundle;
pub mod container;
pub mod excerpt;
pub mod pem;
pub mod percent;

/// The longest forwarded certificate that is decoded, in octets of DER.
///
/// Client certificates have one to four kilobytes; an ML-DSA-87 certificate (FIPS 204: a key of 2,592 and a signature
/// of 4,627 octets) has about eight. Twice that leaves room for many names and still fits one TLS record.
pub const MAX_CERTIFICATE: usize = 16 * 1024;
