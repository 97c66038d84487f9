//! Builds OCSPRequest (RFC 6960 section 4.1.1): unsigned, without a requestor's name, as RFC 5019 section 2.1 requires.

use crate::certificate::Certificate;
use crate::der::{self, tag};
use crate::limits::MAX_OCSP_NONCE;

use super::cert_id::{CertIdHash, IssuerHashes};
use super::id;

/// The DER of a request for the status of each certificate, given with its issuer. Omits `nonce` if it does not have 1
/// to 128 octets.
///
/// RFC 5019 requires one certificate, SHA-1 and no nonce for responses from a cache.
pub fn request(certificates: &[(&Certificate, &Certificate)], hash: CertIdHash, nonce: Option<&[u8]>) -> Vec<u8> {
    let list: Vec<u8> = certificates
        .iter()
        .flat_map(|(certificate, issuer)| wrap(tag::SEQUENCE, &cert_id(certificate, issuer, hash)))
        .collect();
    let mut tbs = wrap(tag::SEQUENCE, &list);
    if let Some(nonce) = nonce.filter(|nonce| !nonce.is_empty() && nonce.len() <= MAX_OCSP_NONCE) {
        let value = wrap(tag::OCTET_STRING, &wrap(tag::OCTET_STRING, nonce));
        let extension = wrap(tag::SEQUENCE, &[wrap(tag::OID, id::NONCE), value].concat());
        tbs.extend(wrap(tag::context_constructed(2), &wrap(tag::SEQUENCE, &extension)));
    }
    wrap(tag::SEQUENCE, &wrap(tag::SEQUENCE, &tbs))
}

/// The DER of a CertID.
fn cert_id(certificate: &Certificate, issuer: &Certificate, hash: CertIdHash) -> Vec<u8> {
    let hashes = IssuerHashes::new(hash, certificate.issuer().der(), issuer);
    let algorithm = [wrap(tag::OID, hash.oid()), wrap(tag::NULL, &[])].concat();
    // The magnitude gets its sign octet back; zero is one octet.
    let serial = match certificate.serial_number() {
        [] => vec![0],
        magnitude @ [first, ..] if *first >= 0x80 => [&[0], magnitude].concat(),
        magnitude => magnitude.to_vec(),
    };
    let parts = [
        wrap(tag::SEQUENCE, &algorithm),
        wrap(tag::OCTET_STRING, hashes.name.as_ref()),
        wrap(tag::OCTET_STRING, hashes.key.as_ref()),
        wrap(tag::INTEGER, &serial),
    ];
    wrap(tag::SEQUENCE, &parts.concat())
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len().saturating_add(6));
    der::write(&mut out, tag, content);
    out
}
