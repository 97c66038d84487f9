//! Certificates that a proxy forwarded: untrusted bytes, with where they came from.

use bytes::Bytes;

/// Where a forwarded certificate was found.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum EvidenceSource {
    /// `source.certificate` of the CheckRequest.
    PeerCertificate,
    /// The `x-forwarded-client-cert` header.
    Xfcc,
    /// A header in one of the formats of other proxies.
    Header,
}

/// A forwarded certificate and what came with it. Nothing in it has been verified.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Where it was found.
    pub source: EvidenceSource,
    /// The DER of the leaf, not parsed yet.
    pub leaf: Bytes,
    /// DER of further certificates that came along, at most [`MAX_CHAIN`]; they help path building and nothing else.
    pub chain: Vec<Bytes>,
}
