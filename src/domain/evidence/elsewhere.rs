//! Places in a request that hold a certificate and that no rule names as evidence.
//!
//! For logs and `explain` only: nothing is decided by what is found here.

use super::{ChainSource, EvidenceRule, EvidenceSource, gather, lines, xfcc};
use crate::domain::request::Request;

/// The headers by which proxies usually forward a certificate.
const USUAL_HEADERS: [&str; 5] =
    [xfcc::HEADER, "client-cert", "ssl-client-cert", "x-forwarded-tls-client-cert", "x-amzn-mtls-clientcert"];

/// The places of `request` that hold something and that no rule names.
pub fn not_named(rules: &[EvidenceRule], request: &Request<'_>) -> Vec<&'static str> {
    let names = |place: &str| {
        rules.iter().any(|rule| match rule {
            EvidenceRule::PeerCertificate { .. } => false,
            EvidenceRule::Xfcc { .. } => place == xfcc::HEADER,
            EvidenceRule::Header { name, .. } => place == name,
        })
    };
    let names_peer = rules.iter().any(|rule| matches!(rule, EvidenceRule::PeerCertificate { .. }));
    let peer = (!names_peer && !request.peer_certificate.is_empty()).then_some("source.certificate");
    let is_present = |place: &&str| !matches!(lines(place, request), Ok(None));
    peer.into_iter().chain(USUAL_HEADERS.into_iter().filter(|place| !names(place)).filter(is_present)).collect()
}

/// The DER of the certificate that the proxy reports, or else of the last element of the x-forwarded-client-cert
/// header, with its place. The header is untrusted: no rule names it.
pub fn carried(request: &Request<'_>) -> Option<(EvidenceSource, bytes::Bytes)> {
    let peer = EvidenceRule::PeerCertificate { chain_from: ChainSource::None };
    let forwarded = EvidenceRule::Xfcc { element: std::num::NonZeroUsize::MIN, by: None };
    let found = [peer, forwarded].iter().find_map(|rule| gather(std::slice::from_ref(rule), request).ok().flatten());
    found.map(|evidence| (evidence.source, evidence.leaf))
}
