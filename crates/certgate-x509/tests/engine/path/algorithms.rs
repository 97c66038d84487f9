//! Which algorithms and keys verify signatures, and which count only where the parameters accept them.

use super::*;

#[test]
#[rustfmt::skip]
fn signatures_and_keys() {
    const SHA1_RSA: &str = "1.2.840.113549.1.1.5";
    check(&[
        ("leaf forged", |c| c.leaf.forged = true, Err(ErrorKind::Signature)),
        ("intermediate forged", |c| c.ica.forged = true, Err(ErrorKind::Signature)),
        ("leaf by another key", |c| c.ica.spki = SigningKey::ed25519().spki(), Err(ErrorKind::Signature)),
        ("other issuer name", |c| c.leaf.issuer = name("CN=Other"), Err(ErrorKind::Untrusted)),
        ("RSA", |c| { c.set_ica_key(SigningKey::rsa()) }, Ok(())),
        ("RSA forged", |c| { c.set_ica_key(SigningKey::rsa()); c.leaf.forged = true }, Err(ErrorKind::Signature)),
        ("RSA without NULL", |c| { c.set_ica_key(SigningKey::rsa_with(&lc::RSA_PKCS1_SHA512, seq(&[oid("1.2.840.113549.1.1.13")]))) }, Ok(())),
        ("RSA-PSS", |c| { c.set_ica_key(pss(SHA256, 32)) }, Ok(())),
        ("RSA-PSS, short salt", |c| { c.set_ica_key(pss(SHA256, 20)) }, Err(ErrorKind::Signature)),
        ("RSA-PSS, other hash", |c| { c.set_ica_key(pss(SHA384, 48)) }, Err(ErrorKind::Signature)),
        ("RSA with SHA-1", |c| { c.set_ica_key(SigningKey::rsa_with(&lc::RSA_PKCS1_SHA256, seq(&[oid(SHA1_RSA), tlv(tag::NULL, [])]))) }, Err(ErrorKind::Signature)),
        ("P-256", |c| { c.set_ica_key(SigningKey::p256()) }, Ok(())),
        ("P-384 with SHA-384", |c| { c.set_ica_key(SigningKey::ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, "1.3.132.0.34", "1.2.840.10045.4.3.3")) }, Ok(())),
        ("P-521 with SHA-256", |c| { c.set_ica_key(SigningKey::ec(&lc::ECDSA_P521_SHA256_ASN1_SIGNING, "1.3.132.0.35", "1.2.840.10045.4.3.2")) }, Ok(())),
        ("P-521 with SHA-512", |c| { c.set_ica_key(SigningKey::ec(&lc::ECDSA_P521_SHA512_ASN1_SIGNING, "1.3.132.0.35", "1.2.840.10045.4.3.4")) }, Ok(())),
        ("secp256k1", |c| c.leaf.spki = ec_spki("1.3.132.0.10", 65), Err(ErrorKind::Signature)),
        ("P-256 for SHA-256 named Ed25519", |c| { c.ica_key = SigningKey::p256(); c.ica.spki = SigningKey::ed25519().spki() }, Err(ErrorKind::Signature)),
        ("unknown algorithm", |c| { c.leaf.inner_algorithm = Some(seq(&[oid("1.2.3")])); c.leaf.outer_algorithm = c.leaf.inner_algorithm.clone() }, Err(ErrorKind::Signature)),
        ("Ed25519 with NULL", |c| { c.leaf.inner_algorithm = Some(seq(&[oid("1.3.101.112"), tlv(5, [])])); c.leaf.outer_algorithm = c.leaf.inner_algorithm.clone() }, Err(ErrorKind::Signature)),
        ("leaf of RSA-1024", |c| c.leaf.spki = rsa_spki(1024), Err(ErrorKind::Signature)),
        ("leaf of RSA-1024, lowered", |c| { c.leaf.spki = rsa_spki(1024); c.parameters.signatures.minimum_rsa_bits = 1024 }, Ok(())),
        ("leaf of RSA-2040", |c| c.leaf.spki = rsa_spki(2040), Err(ErrorKind::Signature)),
        ("leaf of RSA-2048", |c| c.leaf.spki = rsa_spki(2048), Ok(())),
        ("RSA-2048 below the minimum", |c| { c.leaf.spki = rsa_spki(2048); c.parameters.signatures.minimum_rsa_bits = 3072 }, Err(ErrorKind::Signature)),
        ("P-256 below the minimum", |c| { c.leaf.spki = SigningKey::p256().spki(); c.parameters.signatures.minimum_ec_bits = 384 }, Err(ErrorKind::Signature)),
        ("Ed25519 key of 31 octets", |c| c.leaf.spki = seq(&[seq(&[oid("1.3.101.112")]), bits(&[1; 31])]), Err(ErrorKind::Signature)),
        ("RSA-PSS key", |c| { c.set_ica_key(pss(SHA256, 32)); c.ica.spki = pss_spki(None) }, Ok(())),
        ("RSA-PSS key bound to what is used", |c| { c.set_ica_key(pss(SHA256, 32)); c.ica.spki = pss_spki(Some((SHA256, 32))) }, Ok(())),
        ("RSA-PSS key bound to another hash", |c| { c.set_ica_key(pss(SHA256, 32)); c.ica.spki = pss_spki(Some((SHA384, 48))) }, Err(ErrorKind::Signature)),
        ("RSA-PSS key, PKCS #1 signature", |c| { c.set_ica_key(SigningKey::rsa()); c.ica.spki = pss_spki(None) }, Err(ErrorKind::Signature)),
        ("RSA-PSS key of 1024 bits", |c| c.leaf.spki = pss_key(&rsa_spki(1024), None), Err(ErrorKind::Signature)),
        ("RSA-PSS with SHA-384", |c| { c.set_ica_key(pss_with(&lc::RSA_PSS_SHA384, MGF1, SHA384, SHA384, 48)) }, Ok(())),
        ("RSA-PSS with SHA-512", |c| { c.set_ica_key(pss_with(&lc::RSA_PSS_SHA512, MGF1, SHA512, SHA512, 64)) }, Ok(())),
        ("RSA-PSS, SHA-256 and another in MGF1", |c| { c.set_ica_key(pss_with(&lc::RSA_PSS_SHA256, MGF1, SHA256, SHA384, 32)) }, Err(ErrorKind::Signature)),
        ("RSA-PSS, SHA-384 and another in MGF1", |c| { c.set_ica_key(pss_with(&lc::RSA_PSS_SHA384, MGF1, SHA384, SHA256, 48)) }, Err(ErrorKind::Signature)),
        ("RSA-PSS, SHA-512 and another in MGF1", |c| { c.set_ica_key(pss_with(&lc::RSA_PSS_SHA512, MGF1, SHA512, SHA256, 64)) }, Err(ErrorKind::Signature)),
        ("RSA-PSS with another generator", |c| { c.set_ica_key(pss_with(&lc::RSA_PSS_SHA256, "1.2.3", SHA256, SHA256, 32)) }, Err(ErrorKind::Signature)),
        ("RSA key with a negative modulus", |c| c.leaf.spki = rsa_parts(&[0x9f; 256], &[1, 0, 1]), Err(ErrorKind::Signature)),
        ("RSA key with a negative exponent", |c| c.leaf.spki = rsa_parts(&[&[0][..], &[0xff; 256]].concat(), &[0x81]), Err(ErrorKind::Signature)),
        ("RSA key without NULL", |c| c.leaf.spki = with_algorithm(&rsa_spki(2048), &seq(&[oid("1.2.840.113549.1.1.1")])), Ok(())),
        ("RSA key with parameters", |c| c.leaf.spki = with_algorithm(&rsa_spki(2048), &seq(&[oid("1.2.840.113549.1.1.1"), int(1)])), Err(ErrorKind::Signature)),
        ("compressed point", |c| c.leaf.spki = ec_spki("1.2.840.10045.3.1.7", 33), Err(ErrorKind::Signature)),
        ("unknown key", |c| c.leaf.spki = seq(&[seq(&[oid("1.3.101.110")]), bits(&[1; 32])]), Err(ErrorKind::Signature)),
    ]);
}

const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const SHA384: &str = "2.16.840.1.101.3.4.2.2";
const SHA512: &str = "2.16.840.1.101.3.4.2.3";
const MGF1: &str = "1.2.840.113549.1.1.8";
const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";

fn ec_spki(curve: &str, length: usize) -> Vec<u8> {
    seq(&[seq(&[oid("1.2.840.10045.2.1"), oid(curve)]), bits(&vec![4; length])])
}

/// RSASSA-PSS with this generator, hash, hash within the generator, and salt.
fn pss_algorithm(generator: &str, hash: &str, inner: &str, salt: u8) -> Vec<u8> {
    let [hash, inner] = [hash, inner].map(|dotted| seq(&[oid(dotted), tlv(tag::NULL, [])]));
    let generator = seq(&[oid(generator), inner]);
    seq(&[oid(RSASSA_PSS), seq(&[context(0, hash), context(1, generator), context(2, int(salt))])])
}

/// The RSA key, signing with PSS and SHA-256, whatever its algorithm identifier says.
fn pss(hash: &str, salt: u8) -> SigningKey {
    pss_with(&lc::RSA_PSS_SHA256, MGF1, hash, hash, salt)
}

fn pss_with(encoding: &'static dyn lc::RsaEncoding, generator: &str, hash: &str, inner: &str, salt: u8) -> SigningKey {
    SigningKey::rsa_with(encoding, pss_algorithm(generator, hash, inner, salt))
}

/// The RSA key as one for PSS alone, bound to a hash and salt if there are any.
fn pss_spki(bound: Option<(&str, u8)>) -> Vec<u8> {
    pss_key(&SigningKey::rsa().spki(), bound)
}

fn pss_key(spki: &[u8], bound: Option<(&str, u8)>) -> Vec<u8> {
    let algorithm = bound.map(|(hash, salt)| pss_algorithm(MGF1, hash, hash, salt));
    with_algorithm(spki, &algorithm.unwrap_or_else(|| seq(&[oid(RSASSA_PSS)])))
}

/// A key with another algorithm identifier.
fn with_algorithm(spki: &[u8], algorithm: &[u8]) -> Vec<u8> {
    let mut fields = Reader::new(der::exactly(spki, tag::SEQUENCE).unwrap().content);
    fields.any().unwrap();
    seq(&[algorithm.to_vec(), fields.any().unwrap().whole.to_vec()])
}

/// An RSA key by the content octets of modulus and exponent.
fn rsa_parts(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let key = seq(&[tlv(tag::INTEGER, modulus), tlv(tag::INTEGER, exponent)]);
    seq(&[seq(&[oid("1.2.840.113549.1.1.1"), tlv(tag::NULL, [])]), bits(&key)])
}

/// What a signature is refused for names key and algorithm.
#[test]
fn algorithms_of_other_keys_are_told_from_unknown_ones() {
    let verify = |dotted: &str| {
        let algorithm = seq(&[oid(dotted)]);
        certgate_x509::verify_signature(&SigningKey::rsa().spki(), &algorithm, b"", &[], &SignaturePolicy::default())
    };
    assert!(matches!(verify("1.3.101.112"), Err(SignatureError::KeyMismatch { .. })));
    assert!(matches!(verify("1.2.840.10045.4.3.2"), Err(SignatureError::KeyMismatch { .. })));
    assert!(matches!(verify("1.2.3"), Err(SignatureError::UnsupportedAlgorithm(_))));
}

/// Each algorithm counts where it is listed, and nowhere else; what is tried here reaches the arithmetic and fails
/// there.
#[test]
fn algorithms_are_those_that_are_listed() {
    use SignatureAlgorithm as Name;
    let pkcs1 = |last: u8| seq(&[oid(&format!("1.2.840.113549.1.1.{last}")), tlv(tag::NULL, [])]);
    let ecdsa = |dotted: &str| seq(&[oid(dotted)]);
    let pss = |hash: &str, salt| pss_algorithm(MGF1, hash, hash, salt);
    let algorithm = |name| match name {
        Name::RsaPkcs1Sha1 => pkcs1(5),
        Name::RsaPkcs1Sha256 => pkcs1(11),
        Name::RsaPkcs1Sha384 => pkcs1(12),
        Name::RsaPkcs1Sha512 => pkcs1(13),
        Name::RsaPssSha256 => pss("2.16.840.1.101.3.4.2.1", 32),
        Name::RsaPssSha384 => pss("2.16.840.1.101.3.4.2.2", 48),
        Name::RsaPssSha512 => pss("2.16.840.1.101.3.4.2.3", 64),
        Name::EcdsaSha1 => ecdsa("1.2.840.10045.4.1"),
        Name::EcdsaSha256 => ecdsa("1.2.840.10045.4.3.2"),
        Name::EcdsaSha384 => ecdsa("1.2.840.10045.4.3.3"),
        Name::EcdsaSha512 => ecdsa("1.2.840.10045.4.3.4"),
        Name::Ed25519 => ecdsa("1.3.101.112"),
    };
    let (rsa, p256, ed25519) = (SigningKey::rsa().spki(), SigningKey::p256().spki(), SigningKey::ed25519().spki());
    for name in SignatureAlgorithm::ALL {
        let spki = match algorithm(name) {
            ed if ed == algorithm(Name::Ed25519) => &ed25519,
            _ if name.name().starts_with("Rsa") => &rsa,
            _ => &p256,
        };
        let verify = |algorithms: &mut dyn Iterator<Item = SignatureAlgorithm>| {
            let policy =
                SignaturePolicy { sha1: Sha1::Allowed, algorithms: algorithms.collect(), ..Default::default() };
            certgate_x509::verify_signature(spki, &algorithm(name), b"m", &[0; 256], &policy).unwrap_err()
        };
        let alone = verify(&mut [name].into_iter());
        assert!(matches!(alone, SignatureError::Invalid(_)), "{name}: {alone}");
        let others = verify(&mut SignatureAlgorithm::ALL.into_iter().filter(|other| *other != name));
        assert_eq!(others, SignatureError::NotAllowed(name));
    }
}

#[test]
fn a_lowered_bar_is_named() {
    let named = |minimum_rsa_bits, sha1| {
        SignaturePolicy { minimum_rsa_bits, sha1, ..Default::default() }.weakness().unwrap_or_default()
    };
    assert_eq!(SignaturePolicy::default().weakness(), None);
    assert_eq!(named(2048, Sha1::Refused), "");
    assert_eq!(named(4096, Sha1::Refused), "");
    assert_eq!(named(2047, Sha1::Refused), "RSA keys from 2047 bits");
    assert_eq!(named(2048, Sha1::Allowed), "SHA-1 signatures");
    assert_eq!(named(1024, Sha1::Allowed), "SHA-1 signatures and RSA keys from 1024 bits");
}

/// aws-lc verifies SHA-384 and PSS with long keys only, whatever the policy says.
#[test]
fn short_keys_count_with_some_algorithms() {
    let policy = SignaturePolicy { minimum_rsa_bits: 1024, ..Default::default() };
    let verify = |bits, algorithm: &[u8]| {
        let spki = chain::rsa_spki(bits);
        certgate_x509::verify_signature(&spki, algorithm, b"m", &[0; 128], &policy).unwrap_err().to_string()
    };
    let sha384 = seq(&[oid("1.2.840.113549.1.1.12"), tlv(tag::NULL, [])]);
    let pss = pss_algorithm(MGF1, "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.1", 32);
    for algorithm in [&sha384, &pss] {
        for bits in [1024, 2040] {
            let error = verify(bits, algorithm);
            assert!(error.contains("below the minimum of 2048 bits"), "{error}");
        }
        assert!(verify(2048, algorithm).contains("does not verify"));
    }
    let sha256 = seq(&[oid("1.2.840.113549.1.1.11"), tlv(tag::NULL, [])]);
    assert!(verify(1024, &sha256).contains("does not verify"));
}

#[test]
fn sha1_counts_only_where_it_is_asked_for() {
    let allowed = SignaturePolicy { sha1: Sha1::Allowed, ..Default::default() };
    let key = SigningKey::rsa();
    let algorithm = seq(&[oid("1.2.840.113549.1.1.5"), tlv(tag::NULL, [])]);
    let verify =
        |policy: &SignaturePolicy| certgate_x509::verify_signature(&key.spki(), &algorithm, b"m", &[0; 256], policy);
    let refused = verify(&SignaturePolicy::default()).unwrap_err().to_string();
    assert!(refused.contains("uses SHA-1"), "{refused}");
    let invalid = verify(&allowed).unwrap_err().to_string();
    assert!(invalid.contains("does not verify"), "{invalid}");
}
