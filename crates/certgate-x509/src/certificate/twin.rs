//! The other encoding of an ECDSA signature: if (r, s) verifies, so does (r, n − s).
//!
//! Anyone can replace one by the other in a certificate without a key. The signed part stays the same, but the SHA-256
//! of the certificate changes. A look-up by that hash must treat both forms as the same certificate, in particular a
//! look-up for rejection. The other signature algorithms have one signature for a message and key, or need the key to
//! make a second one. This module does not verify signatures.

use std::cmp::Ordering;

use crate::der::{self, Reader, tag};

/// 1.2.840.10045.4: everything below it is ECDSA.
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4];

/// The orders of the groups of P-256, P-384 and P-521 (FIPS 186-4 D.1.2), big-endian.
const ORDERS: [&[u8]; 3] = [
    &[
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
        0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ],
    &[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a, 0x0d, 0xb2,
        0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
    ],
    &[
        0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa, 0x51, 0x86,
        0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b, 0xb5, 0xc9, 0xb8,
        0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
    ],
];

/// The DER of the certificate with these parts and the other signature; `None` if there is no other.
///
/// The curve is unknown, because it belongs to the issuer's key: the smallest one whose order is greater than r and s
/// is used. A signature of a larger curve fits a smaller one in one of 2^128 cases.
pub(super) fn twin(tbs: &[u8], algorithm: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let oid = Reader::new(der::exactly(algorithm, tag::SEQUENCE).ok()?.content).oid().ok()?;
    if !oid.starts_with(ECDSA) {
        return None;
    }
    let mut pair = Reader::new(der::exactly(signature, tag::SEQUENCE).ok()?.content);
    let (r, s) = (magnitude(pair.integer().ok()?)?, magnitude(pair.integer().ok()?)?);
    pair.finish().ok()?;
    let order = ORDERS.into_iter().find(|order| below(r, order) && below(s, order))?;
    let other = difference(order, s);
    let pair = [integer(r), integer(&other)].concat();
    let signature = [&[0][..], &element(tag::SEQUENCE, &pair)].concat();
    let content = [tbs, algorithm, &element(tag::BIT_STRING, &signature)].concat();
    Some(element(tag::SEQUENCE, &content))
}

/// The octets of a positive integer without leading zero.
fn magnitude(content: &[u8]) -> Option<&[u8]> {
    match content {
        [0, magnitude @ ..] if !magnitude.is_empty() => Some(magnitude),
        [1..=0x7f, ..] => Some(content),
        _ => None,
    }
}

/// Whether one number is less than another; neither has leading zeros.
fn below(left: &[u8], right: &[u8]) -> bool {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right)) == Ordering::Less
}

/// `left` − `right`, which is not the greater, without leading zeros.
fn difference(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut borrow = false;
    let mut out: Vec<u8> = (left.iter().rev().zip(right.iter().rev().copied().chain(std::iter::repeat(0))))
        .map(|(left, right)| {
            let (partial, first) = left.overflowing_sub(right);
            let (digit, second) = partial.overflowing_sub(u8::from(borrow));
            borrow = first || second;
            digit
        })
        .collect();
    while out.last() == Some(&0) {
        out.pop();
    }
    out.reverse();
    out
}

fn integer(magnitude: &[u8]) -> Vec<u8> {
    match magnitude.first() {
        Some(0..=0x7f) => element(tag::INTEGER, magnitude),
        _ => element(tag::INTEGER, &[&[0], magnitude].concat()),
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len().saturating_add(8));
    der::write(&mut out, tag, content);
    out
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    };

    use super::*;

    const ALGORITHM: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

    #[test]
    fn the_twin_verifies_and_has_the_first_as_its_twin() {
        let tbs = element(tag::SEQUENCE, &[7; 300]);
        for (signing, verifying) in [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1),
            (&ECDSA_P521_SHA512_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1),
        ] {
            let key = EcdsaKeyPair::generate(signing).unwrap();
            for _ in 0..16 {
                let signature = key.sign(&SystemRandom::new(), &tbs).unwrap();
                let der = twin(&tbs, ALGORITHM, signature.as_ref()).unwrap();
                let mut outer = Reader::new(der::exactly(&der, tag::SEQUENCE).unwrap().content);
                assert_eq!(outer.expect(tag::SEQUENCE).unwrap().whole, tbs);
                assert_eq!(outer.expect(tag::SEQUENCE).unwrap().whole, ALGORITHM);
                let other = outer.bit_string_octets().unwrap();
                outer.finish().unwrap();
                assert_ne!(other, signature.as_ref());
                UnparsedPublicKey::new(verifying, key.public_key().as_ref()).verify(&tbs, other).unwrap();
                let first = [&[0][..], signature.as_ref()].concat();
                let first = [&tbs[..], ALGORITHM, &element(tag::BIT_STRING, &first)].concat();
                assert_eq!(twin(&tbs, ALGORITHM, other).unwrap(), element(tag::SEQUENCE, &first));
            }
        }
    }

    #[test]
    fn what_is_no_ecdsa_signature_has_no_twin() {
        let pair = |r: &[u8], s: &[u8]| element(tag::SEQUENCE, &[integer(r), integer(s)].concat());
        let rsa: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0];
        for (row, algorithm, signature) in [
            ("RSA", rsa, pair(&[1], &[1])),
            ("not DER", ALGORITHM, vec![1, 2, 3]),
            ("zero", ALGORITHM, pair(&[1], &[0])),
            ("too large", ALGORITHM, pair(&[1], &[0xff; 66])),
            ("three numbers", ALGORITHM, element(tag::SEQUENCE, &[2, 1, 1, 2, 1, 1, 2, 1, 1])),
        ] {
            assert_eq!(twin(&[0x30, 0], algorithm, &signature), None, "{row}");
        }
        assert!(twin(&[0x30, 0], ALGORITHM, &pair(&[1], &[1])).is_some());
    }
}
