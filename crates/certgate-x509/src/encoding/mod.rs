//! The text encodings in which certificates are sent and stored, read strictly.
//!
//! Here: percent-encoding, base64, the strict PEM that proxies write ([`pem`]), the more tolerant PEM that people keep
//! in ConfigMaps and files ([`bundle`]), the other forms of certificates in files ([`container`]), and the quoting of
//! untrusted bytes in messages ([`excerpt`]). These modules return DER that is not parsed yet.
//!
//! Strict means that an encoding has one reading and, but for the spelling of percent-escapes, one spelling: two texts
//! never encode the same certificate, so a log line, a cache key and a decision agree.

pub mod base64;
pub mod bundle;
pub mod container;
pub mod excerpt;
pub mod pem;
pub mod percent;
