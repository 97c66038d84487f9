//! The fingerprints of a public key in each of its encodings in a SubjectPublicKeyInfo.
//!
//! A key is identified by the SHA-256 of its SubjectPublicKeyInfo, and one key has several encodings: RSA with NULL or
//! without parameters, or as a key for RSASSA-PSS (RFC 4055 section 1.2); a point of an elliptic curve uncompressed,
//! compressed or hybrid (SEC 1 section 2.3.3). The owner of the key can have any of them certified, so a list of
//! rejected keys must be searched for all. A key in an encoding from which the others cannot be derived has no
//! fingerprints: a compressed point, or explicit curve parameters (RFC 5480 section 2.1.1 forbids them). Path
//! validation rejects such a key. This module does not check the strength of keys.

use crate::der::{self, Reader, tag};
use crate::fingerprint::Sha256;

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSAES_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7];
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// id-ecDH and id-ecMQV: the same keys, for key agreement alone.
const EC_AGREEMENT: [&[u8]; 2] = [&[0x2b, 0x81, 0x04, 1, 12], &[0x2b, 0x81, 0x04, 1, 13]];
/// X25519, X448, Ed25519 and Ed448 (RFC 8410): the parameters are absent, and there is one encoding.
const EDWARDS: &[u8] = &[0x2b, 0x65];
/// The SHA-2 hashes of RSASSA-PSS, each with the length of its salt.
const HASHES: [(&[u8], u8); 3] = [
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], 32),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2], 48),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3], 64),
];
const NULL: &[u8] = &[tag::NULL, 0];

/// The SHA-256 of every encoding of the key in the DER SubjectPublicKeyInfo `spki`, its own first; `None` if they
/// cannot be derived. For RSASSA-PSS the encodings are those with accepted parameters.
pub(super) fn fingerprints(spki: &[u8]) -> Option<Box<[Sha256]>> {
    let mut fields = Reader::new(der::exactly(spki, tag::SEQUENCE).ok()?.content);
    let mut algorithm = fields.nested(tag::SEQUENCE).ok()?;
    let octets = fields.bit_string_octets().ok()?;
    let oid = algorithm.oid().ok()?;
    let parameters = algorithm.rest();
    let encodings = match oid {
        RSA_ENCRYPTION | RSASSA_PSS => rsa(octets)?,
        EC_PUBLIC_KEY => curve(parameters, octets)?,
        RSAES_OAEP => return None,
        _ if EC_AGREEMENT.contains(&oid) => return None,
        _ if oid.starts_with(EDWARDS) && !parameters.is_empty() => return None,
        _ => Vec::new(),
    };
    let own = Sha256::of(spki);
    let others = encodings.iter().map(|encoding| Sha256::of(encoding)).filter(|other| *other != own);
    Some(std::iter::once(own).chain(others).collect())
}

/// An RSAPublicKey of two minimal integers, under every algorithm identifier.
fn rsa(key: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut numbers = Reader::new(der::exactly(key, tag::SEQUENCE).ok()?.content);
    numbers.integer().ok()?;
    numbers.integer().ok()?;
    numbers.finish().ok()?;
    let mut out = vec![info(RSA_ENCRYPTION, NULL, key), info(RSA_ENCRYPTION, &[], key), info(RSASSA_PSS, &[], key)];
    for (hash, salt) in HASHES {
        // RFC 4055 2.1: the parameters of a hash are NULL; absent ones are accepted.
        for (of_hash, of_generator) in [(NULL, NULL), (NULL, &[][..]), (&[][..], NULL), (&[], &[])] {
            let hash = |parameters: &[u8]| element(tag::SEQUENCE, &[&element(tag::OID, hash), parameters].concat());
            let generator = [element(tag::OID, MGF1), hash(of_generator)].concat();
            let content = [
                element(tag::context_constructed(0), &hash(of_hash)),
                element(tag::context_constructed(1), &element(tag::SEQUENCE, &generator)),
                element(tag::context_constructed(2), &element(tag::INTEGER, &[salt])),
            ];
            out.push(info(RSASSA_PSS, &element(tag::SEQUENCE, &content.concat()), key));
        }
    }
    Some(out)
}

/// A point of a named curve over a prime field, from the coordinates.
fn curve(parameters: &[u8], point: &[u8]) -> Option<Vec<Vec<u8>>> {
    der::exactly(parameters, tag::OID).ok()?;
    let (form, coordinates) = point.split_first()?;
    let (x, y) = coordinates.split_at_checked(coordinates.len() >> 1)?;
    if !matches!(form, 4 | 6 | 7) || x.is_empty() || x.len() != y.len() {
        return None;
    }
    let odd = y.last()? & 1;
    let forms = [[&[4][..], x, y].concat(), [&[2 | odd][..], x].concat(), [&[6 | odd][..], x, y].concat()];
    Some(forms.iter().map(|point| info(EC_PUBLIC_KEY, parameters, point)).collect())
}

fn info(oid: &[u8], parameters: &[u8], key: &[u8]) -> Vec<u8> {
    let algorithm = element(tag::SEQUENCE, &[&element(tag::OID, oid), parameters].concat());
    let key = element(tag::BIT_STRING, &[&[0], key].concat());
    element(tag::SEQUENCE, &[algorithm, key].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len().saturating_add(8));
    der::write(&mut out, tag, content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

    /// Every encoding of a key has the found of every other.
    #[test]
    fn encodings_of_one_key_share_their_fingerprints() {
        let modulus = element(tag::INTEGER, &[&[0][..], &[0xc5; 256]].concat());
        let number = |octets: &[u8]| element(tag::INTEGER, octets);
        let rsa_key = element(tag::SEQUENCE, &[modulus, number(&[1, 0, 1])].concat());
        let named = element(tag::OID, P256);
        let (x, y) = ([7_u8; 32], [9_u8; 32]);
        let uncompressed = info(EC_PUBLIC_KEY, &named, &[&[4][..], &x, &y].concat());
        let hybrid = info(EC_PUBLIC_KEY, &named, &[&[7][..], &x, &y].concat());
        let compressed = Sha256::of(&info(EC_PUBLIC_KEY, &named, &[&[3][..], &x].concat()));
        let rsa: Vec<Vec<u8>> = rsa(&rsa_key).unwrap();
        assert_eq!(rsa.len(), 15);
        for group in [rsa, vec![uncompressed, hybrid]] {
            let sorted = |spki: &[u8]| {
                let mut found = fingerprints(spki).unwrap().to_vec();
                assert_eq!(found[0], Sha256::of(spki));
                found.sort();
                found
            };
            let wanted = sorted(&group[0]);
            for other in &group {
                assert_eq!(sorted(other), wanted);
            }
            assert!(group.len() > 2 || wanted.contains(&compressed));
        }
    }

    #[test]
    fn an_encoding_that_does_not_tell_the_others_has_no_fingerprints() {
        let named = element(tag::OID, P256);
        let point = [&[4][..], &[7; 64]].concat();
        for (row, spki) in [
            ("compressed", info(EC_PUBLIC_KEY, &named, &[&[2][..], &[7; 32]].concat())),
            ("a curve spelled out", info(EC_PUBLIC_KEY, &element(tag::SEQUENCE, &[]), &point)),
            ("an inherited curve", info(EC_PUBLIC_KEY, NULL, &point)),
            ("half a coordinate", info(EC_PUBLIC_KEY, &named, &point[..64])),
            ("ECDH", info(EC_AGREEMENT[0], &named, &point)),
            ("OAEP", info(RSAES_OAEP, &[], &element(tag::SEQUENCE, &[]))),
            ("RSA that is none", info(RSA_ENCRYPTION, NULL, &[1, 2, 3])),
            ("a padded modulus", info(RSA_ENCRYPTION, NULL, &[0x30, 7, 2, 2, 0, 3, 2, 1, 3])),
            ("Ed25519 with parameters", info(&[0x2b, 0x65, 0x70], NULL, &[7; 32])),
        ] {
            assert_eq!(fingerprints(&spki), None, "{row}");
        }
        let edwards = info(&[0x2b, 0x65, 0x70], &[], &[7; 32]);
        assert_eq!(fingerprints(&edwards).as_deref(), Some(&[Sha256::of(&edwards)][..]));
        let unknown = info(&[0x2a, 3], NULL, &[7; 32]);
        assert_eq!(fingerprints(&unknown).as_deref(), Some(&[Sha256::of(&unknown)][..]));
    }
}
