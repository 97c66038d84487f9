//! Public keys and signatures: which algorithms are accepted, how strong a key must be, and the verification itself.
//!
//! aws-lc does the arithmetic. This module owns its inputs: the algorithm identifiers of RFC 4055, 5758, 8410 and 5480
//! with exactly the parameters those allow, and key sizes. Everything else is rejected by name. [`super::cost`] owns
//! the cost of a verification, and which keys are too expensive.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self as lc, RsaPublicKeyComponents};
use thiserror::Error;

use super::algorithms::{SignatureAlgorithm, SignatureAlgorithms};
use super::cost::{self, Exponent};
use super::key_kind::{Curve, KeyKind, KeyOrigin};
use crate::der::{self, DerError, Reader, tag};
use crate::oid::Oid;

/// The signatures and keys that a caller accepts.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignaturePolicy {
    /// The least size of an RSA modulus, in bits. Keys below 1024 are always rejected.
    pub minimum_rsa_bits: u32,
    /// The least size of an elliptic curve's field, in bits. Ed25519 counts as 256.
    pub minimum_ec_bits: u32,
    /// Whether SHA-1 signatures are accepted.
    pub sha1: Sha1,
    /// The algorithms whose signatures count, the above permitting.
    pub algorithms: SignatureAlgorithms,
}

/// Whether SHA-1 signatures are accepted. Collisions are practical: a forger can obtain one signature for two contents.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Sha1 {
    Refused,
    Allowed,
}

/// RSA of 2048 bits, P-256, no SHA-1: the requirements of NIST SP 800-57 and the CA/Browser Forum.
impl Default for SignaturePolicy {
    fn default() -> Self {
        Self { minimum_rsa_bits: 2048, minimum_ec_bits: 256, sha1: Sha1::Refused, algorithms: SignatureAlgorithms::ALL }
    }
}

impl SignaturePolicy {
    /// What this policy accepts beyond the default, in words; `None` if nothing.
    pub fn weakness(&self) -> Option<String> {
        let default = Self::default();
        let sha1 = (self.sha1 == Sha1::Allowed).then(|| "SHA-1 signatures".to_owned());
        let short = (self.minimum_rsa_bits < default.minimum_rsa_bits)
            .then(|| format!("RSA keys from {} bits", self.minimum_rsa_bits));
        let words: Vec<_> = sha1.into_iter().chain(short).collect();
        (!words.is_empty()).then(|| words.join(" and "))
    }
}

/// Why a key or signature is rejected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The signature algorithm is unknown.
    #[error("signature algorithm {0} is not supported")]
    UnsupportedAlgorithm(Oid),
    /// The parameters of the algorithm are not those of its standard.
    #[error("the parameters of signature algorithm {0} are not supported")]
    UnsupportedParameters(Oid),
    /// A SHA-1 signature where none is allowed.
    #[error("signature algorithm {0} uses SHA-1")]
    Sha1(Oid),
    /// A supported algorithm that the caller does not accept.
    #[error("signature algorithm {0} is not one of those that are allowed")]
    NotAllowed(SignatureAlgorithm),
    /// The public key's algorithm or curve is not known.
    #[error("public key algorithm {0} is not supported")]
    UnsupportedKey(Oid),
    /// The public key is malformed.
    #[error("public key: {0}")]
    Key(DerError),
    /// The key is not of the kind that the signature algorithm requires.
    #[error("a {key} key cannot have made a signature with algorithm {algorithm}")]
    KeyMismatch {
        /// The key's kind.
        key: KeyKind,
        /// The signature's algorithm.
        algorithm: Oid,
    },
    /// The key is too short.
    #[error("{key} key is below the minimum of {minimum} bits")]
    WeakKey {
        /// The key's kind and size.
        key: KeyKind,
        /// The least size that is accepted.
        minimum: u32,
    },
    /// An invalid RSA public exponent (RFC 8017 section 3.1).
    #[error("the RSA public exponent is even or below 3")]
    BadExponent,
    /// A key whose verifications cost more than its origin permits.
    #[error(
        "{key} key with a public exponent of {exponent_bits} bits: {origin} may have {} and {} bits",
        origin.modulus_bits(),
        origin.exponent_bits()
    )]
    Oversized {
        /// The key's kind and size.
        key: KeyKind,
        /// The bits of its exponent.
        exponent_bits: u32,
        /// Where it came from.
        origin: KeyOrigin,
    },
    /// The signature does not verify for the message and key.
    #[error("the signature does not verify with the {0} key")]
    Invalid(KeyKind),
}

const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const RSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const RSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const RSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const ECDSA_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0, 34];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0, 35];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
const NULL: &[u8] = &[tag::NULL, 0];

/// A public key taken apart from its SubjectPublicKeyInfo.
#[derive(Copy, Clone, Debug)]
pub struct PublicKey<'a> {
    kind: KeyKind,
    /// The size of an RSA key's public exponent; 0 for every other key.
    exponent: Exponent,
    /// Modulus and public exponent of an RSA key, without leading zero octets; empty for every other key.
    rsa: RsaPublicKeyComponents<&'a [u8]>,
    /// What aws-lc reads: RSAPublicKey, the uncompressed point, or the 32 octets.
    octets: &'a [u8],
    /// The parameters of an id-RSASSA-PSS key, which bind its signatures; `None` for every other key.
    pss: Option<&'a [u8]>,
}

/// aws-lc's algorithm to verify with, by how it takes its key.
#[derive(Copy, Clone)]
enum VerificationMethod {
    Rsa(&'static lc::RsaParameters),
    Other(&'static dyn lc::VerificationAlgorithm),
}

impl VerificationMethod {
    fn algorithm(self) -> &'static dyn lc::VerificationAlgorithm {
        match self {
            Self::Rsa(parameters) => parameters,
            Self::Other(algorithm) => algorithm,
        }
    }
}

impl<'a> PublicKey<'a> {
    /// Takes a DER SubjectPublicKeyInfo apart.
    pub fn parse(spki: &'a [u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(der::exactly(spki, tag::SEQUENCE).map_err(SignatureError::Key)?.content);
        let mut algorithm = reader.nested(tag::SEQUENCE).map_err(SignatureError::Key)?;
        let octets = reader.bit_string_octets().map_err(SignatureError::Key)?;
        reader.finish().map_err(SignatureError::Key)?;
        let oid = algorithm.oid().map_err(SignatureError::Key)?;
        let parameters = algorithm.rest();
        let unsupported = || SignatureError::UnsupportedKey(Oid::from_content(oid));
        match (oid, parameters) {
            // RFC 3279 2.3.1: NULL; its absence is accepted, as RFC 4055 requires for signatures.
            (RSA_ENCRYPTION, NULL | []) => {
                let (kind, exponent, rsa) = rsa(octets)?;
                Ok(Self { kind, exponent, rsa, octets, pss: None })
            }
            (RSASSA_PSS, parameters) => {
                let (kind, exponent, rsa) = rsa(octets)?;
                Ok(Self { kind, exponent, rsa, octets, pss: Some(parameters) })
            }
            (EC_PUBLIC_KEY, parameters) => {
                let named = der::exactly(parameters, tag::OID).map_err(SignatureError::Key)?.content;
                // SEC 1 2.3.4, uncompressed; nothing issues the other forms.
                let (curve, length) = match named {
                    P256 => (Curve::P256, 65),
                    P384 => (Curve::P384, 97),
                    P521 => (Curve::P521, 133),
                    other => return Err(SignatureError::UnsupportedKey(Oid::from_content(other))),
                };
                if octets.len() != length || octets.first() != Some(&4) {
                    return Err(SignatureError::Key(DerError::BadBitString));
                }
                Ok(Self::without_exponent(KeyKind::Ec(curve), octets))
            }
            (ED25519, []) if octets.len() == 32 => Ok(Self::without_exponent(KeyKind::Ed25519, octets)),
            _ => Err(unsupported()),
        }
    }

    fn without_exponent(kind: KeyKind, octets: &'a [u8]) -> Self {
        Self { kind, exponent: Exponent::default(), rsa: RsaPublicKeyComponents { n: &[], e: &[] }, octets, pss: None }
    }

    /// The kind and size.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Rejects a key that is shorter than `policy` requires.
    pub fn check_strength(&self, policy: &SignaturePolicy) -> Result<(), SignatureError> {
        let (bits, minimum) = match self.kind {
            KeyKind::Rsa(bits) => (bits, policy.minimum_rsa_bits),
            KeyKind::Ec(Curve::P256) | KeyKind::Ed25519 => (256, policy.minimum_ec_bits),
            KeyKind::Ec(Curve::P384) => (384, policy.minimum_ec_bits),
            KeyKind::Ec(Curve::P521) => (521, policy.minimum_ec_bits),
        };
        if bits < minimum { Err(SignatureError::WeakKey { key: self.kind, minimum }) } else { Ok(()) }
    }

    /// Rejects an RSA key whose verifications cost more than its origin permits.
    pub fn check_cost(&self, origin: KeyOrigin) -> Result<(), SignatureError> {
        if cost::is_allowed(self.kind, self.exponent, origin) {
            return Ok(());
        }
        Err(SignatureError::Oversized { key: self.kind, exponent_bits: self.exponent.bits, origin })
    }

    /// About how many microseconds one verification of a message of `octets` takes on a current core: what a
    /// [`Budget`](crate::Budget) counts.
    pub fn cost(&self, octets: usize) -> u32 {
        cost::microseconds(self.kind, self.exponent, octets)
    }

    /// Verifies a signature by this key, whose strength is checked as well.
    ///
    /// `algorithm` is a DER AlgorithmIdentifier.
    pub fn verify(
        &self,
        algorithm: &[u8],
        message: &[u8],
        signature: &[u8],
        policy: &SignaturePolicy,
    ) -> Result<(), SignatureError> {
        let outcome = match self.verification(algorithm, policy)? {
            // From its two numbers the key is made without a second parse, and without the attempts to read it as a
            // SubjectPublicKeyInfo that aws-lc-rs makes of every RSAPublicKey.
            VerificationMethod::Rsa(parameters) => self.rsa.verify(parameters, message, signature),
            VerificationMethod::Other(algorithm) => {
                lc::UnparsedPublicKey::new(algorithm, self.octets).verify(message, signature)
            }
        };
        outcome.map_err(|_| SignatureError::Invalid(self.kind))
    }

    /// The same for a message of which only the digest is available, made by [`digest`] for this algorithm.
    pub fn verify_digest(
        &self,
        algorithm: &[u8],
        digest: &digest::Digest,
        signature: &[u8],
        policy: &SignaturePolicy,
    ) -> Result<(), SignatureError> {
        lc::UnparsedPublicKey::new(self.verification(algorithm, policy)?.algorithm(), self.octets)
            .verify_digest(digest, signature)
            .map_err(|_| SignatureError::Invalid(self.kind))
    }

    /// aws-lc's algorithm for a DER AlgorithmIdentifier and this key, once both count.
    fn verification(&self, algorithm: &[u8], policy: &SignaturePolicy) -> Result<VerificationMethod, SignatureError> {
        self.check_strength(policy)?;
        self.check_cost(KeyOrigin::Configured)?;
        let mut reader = Reader::new(der::exactly(algorithm, tag::SEQUENCE).map_err(SignatureError::Key)?.content);
        let oid = reader.oid().map_err(SignatureError::Key)?;
        let found = self.algorithm(oid, reader.rest(), policy)?;
        match named(oid, reader.rest()) {
            Some(name) if policy.algorithms.contains(name) => Ok(found),
            Some(name) => Err(SignatureError::NotAllowed(name)),
            // An algorithm without a name is on no list.
            None => Err(SignatureError::UnsupportedAlgorithm(Oid::from_content(oid))),
        }
    }

    /// aws-lc's algorithm for a signature algorithm and this key.
    fn algorithm(
        &self,
        oid: &[u8],
        parameters: &[u8],
        policy: &SignaturePolicy,
    ) -> Result<VerificationMethod, SignatureError> {
        let name = || Oid::from_content(oid);
        let mismatch = || SignatureError::KeyMismatch { key: self.kind, algorithm: name() };
        // Regardless of the policy: aws-lc verifies PSS, and SHA-384, with keys of that length only.
        let needs_2048 = || match self.kind {
            KeyKind::Rsa(..2048) => Err(SignatureError::WeakKey { key: self.kind, minimum: 2048 }),
            _ => Ok(()),
        };
        let wants = |parameters_fit: bool| {
            if parameters_fit { Ok(()) } else { Err(SignatureError::UnsupportedParameters(name())) }
        };
        // RFC 4055 5: NULL, and implementations accept its absence. RFC 5758 3.2, RFC 8410 3: absent.
        let null_or_absent = matches!(parameters, NULL | []);
        Ok(match (oid, self.kind) {
            (RSA_SHA1 | ECDSA_SHA1, _) if policy.sha1 == Sha1::Refused => return Err(SignatureError::Sha1(name())),
            (RSA_SHA1 | RSA_SHA256 | RSA_SHA384 | RSA_SHA512, KeyKind::Rsa(bits)) => {
                wants(null_or_absent)?;
                if self.pss.is_some() {
                    return Err(mismatch());
                }
                VerificationMethod::Rsa(match (oid, bits) {
                    (RSA_SHA1, _) => &lc::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
                    (RSA_SHA256, 2048..) => &lc::RSA_PKCS1_2048_8192_SHA256,
                    (RSA_SHA256, _) => &lc::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
                    (RSA_SHA384, _) => {
                        needs_2048()?;
                        &lc::RSA_PKCS1_2048_8192_SHA384
                    }
                    (_, 2048..) => &lc::RSA_PKCS1_2048_8192_SHA512,
                    (_, _) => &lc::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
                })
            }
            (RSASSA_PSS, KeyKind::Rsa(_)) => {
                // RFC 4055 1.2: a key with parameters makes signatures with those only.
                if self.pss.is_some_and(|bound| !bound.is_empty() && bound != parameters) {
                    return Err(mismatch());
                }
                let (_, found) = pss(parameters).ok_or_else(|| SignatureError::UnsupportedParameters(name()))?;
                needs_2048()?;
                VerificationMethod::Rsa(found)
            }
            (ECDSA_SHA1 | ECDSA_SHA256 | ECDSA_SHA384 | ECDSA_SHA512, KeyKind::Ec(curve)) => {
                wants(parameters.is_empty())?;
                VerificationMethod::Other(match (curve, oid) {
                    (Curve::P256, ECDSA_SHA1) => &lc::ECDSA_P256_SHA1_ASN1,
                    (Curve::P256, ECDSA_SHA256) => &lc::ECDSA_P256_SHA256_ASN1,
                    (Curve::P256, ECDSA_SHA384) => &lc::ECDSA_P256_SHA384_ASN1,
                    (Curve::P256, _) => &lc::ECDSA_P256_SHA512_ASN1,
                    (Curve::P384, ECDSA_SHA1) => return Err(SignatureError::UnsupportedAlgorithm(name())),
                    (Curve::P384, ECDSA_SHA256) => &lc::ECDSA_P384_SHA256_ASN1,
                    (Curve::P384, ECDSA_SHA384) => &lc::ECDSA_P384_SHA384_ASN1,
                    (Curve::P384, _) => &lc::ECDSA_P384_SHA512_ASN1,
                    (Curve::P521, ECDSA_SHA1) => &lc::ECDSA_P521_SHA1_ASN1,
                    (Curve::P521, ECDSA_SHA256) => &lc::ECDSA_P521_SHA256_ASN1,
                    (Curve::P521, ECDSA_SHA384) => &lc::ECDSA_P521_SHA384_ASN1,
                    (Curve::P521, _) => &lc::ECDSA_P521_SHA512_ASN1,
                })
            }
            (ED25519, KeyKind::Ed25519) => {
                wants(parameters.is_empty())?;
                VerificationMethod::Other(&lc::ED25519)
            }
            (
                RSA_SHA1 | RSA_SHA256 | RSA_SHA384 | RSA_SHA512 | RSASSA_PSS | ECDSA_SHA1 | ECDSA_SHA256 | ECDSA_SHA384
                | ECDSA_SHA512 | ED25519,
                _,
            ) => return Err(mismatch()),
            _ => return Err(SignatureError::UnsupportedAlgorithm(name())),
        })
    }
}

/// The name of a signature algorithm whose parameters have been found to be right.
fn named(oid: &[u8], parameters: &[u8]) -> Option<SignatureAlgorithm> {
    use SignatureAlgorithm as Name;
    Some(match oid {
        RSA_SHA1 => Name::RsaPkcs1Sha1,
        RSA_SHA256 => Name::RsaPkcs1Sha256,
        RSA_SHA384 => Name::RsaPkcs1Sha384,
        RSA_SHA512 => Name::RsaPkcs1Sha512,
        RSASSA_PSS => return pss(parameters).map(|(name, _)| name),
        ECDSA_SHA1 => Name::EcdsaSha1,
        ECDSA_SHA256 => Name::EcdsaSha256,
        ECDSA_SHA384 => Name::EcdsaSha384,
        ECDSA_SHA512 => Name::EcdsaSha512,
        ED25519 => Name::Ed25519,
        _ => return None,
    })
}

/// Verifies `signature` of `message`, made with the DER AlgorithmIdentifier `algorithm`, by the key in the DER
/// SubjectPublicKeyInfo `spki`.
pub fn verify_signature(
    spki: &[u8],
    algorithm: &[u8],
    message: &[u8],
    signature: &[u8],
    policy: &SignaturePolicy,
) -> Result<(), SignatureError> {
    PublicKey::parse(spki)?.verify(algorithm, message, signature, policy)
}

/// The digest that signatures with the DER AlgorithmIdentifier `algorithm` are over; `None` for algorithms that sign
/// the message itself, and for unknown ones.
pub fn digest_algorithm(algorithm: &[u8]) -> Option<&'static digest::Algorithm> {
    let mut reader = Reader::new(der::exactly(algorithm, tag::SEQUENCE).ok()?.content);
    Some(match reader.oid().ok()? {
        RSA_SHA1 | ECDSA_SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        RSA_SHA256 | ECDSA_SHA256 => &digest::SHA256,
        RSA_SHA384 | ECDSA_SHA384 => &digest::SHA384,
        RSA_SHA512 | ECDSA_SHA512 => &digest::SHA512,
        RSASSA_PSS => {
            let mut parameters = Reader::new(der::exactly(reader.rest(), tag::SEQUENCE).ok()?.content);
            match hash_identifier(parameters.expect(tag::context_constructed(0)).ok()?.content).ok()? {
                SHA256 => &digest::SHA256,
                SHA384 => &digest::SHA384,
                SHA512 => &digest::SHA512,
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// The size of an RSAPublicKey's modulus and of its exponent (RFC 8017 section 3.1: odd, 3 at least), and both numbers.
fn rsa(octets: &[u8]) -> Result<(KeyKind, Exponent, RsaPublicKeyComponents<&[u8]>), SignatureError> {
    let magnitudes = || {
        let mut reader = Reader::new(der::exactly(octets, tag::SEQUENCE)?.content);
        let modulus = reader.integer()?;
        let exponent = reader.integer()?;
        reader.finish()?;
        Ok((magnitude(modulus)?, magnitude(exponent)?))
    };
    let (modulus, exponent) = magnitudes().map_err(SignatureError::Key)?;
    let length = bits(exponent);
    if length < 2 || exponent.last().is_none_or(|last| last & 1 == 0) {
        return Err(SignatureError::BadExponent);
    }
    let ones = exponent.iter().fold(0_u32, |ones, octet| ones.saturating_add(octet.count_ones()));
    let numbers = RsaPublicKeyComponents { n: modulus, e: exponent };
    Ok((KeyKind::Rsa(bits(modulus)), Exponent { bits: length, ones }, numbers))
}

/// The octets of a positive INTEGER without its sign.
fn magnitude(integer: &[u8]) -> Result<&[u8], DerError> {
    match integer {
        [first, ..] if *first >= 0x80 => Err(DerError::IntegerRange),
        [0, rest @ ..] => Ok(rest),
        rest => Ok(rest),
    }
}

/// How many bits a magnitude has.
fn bits(magnitude: &[u8]) -> u32 {
    let zeros = magnitude.first().map_or(0, |first| first.leading_zeros());
    u32::try_from(magnitude.len()).unwrap_or(u32::MAX).saturating_mul(8).saturating_sub(zeros)
}

/// RFC 4055 3.1: RSASSA-PSS-params with a SHA-2 hash, MGF1 with the same hash, and a salt as long as the hash. The
/// defaults of the structure mean SHA-1 and are rejected; other combinations are legal and not in use.
fn pss(parameters: &[u8]) -> Option<(SignatureAlgorithm, &'static lc::RsaParameters)> {
    let parsed = || -> Result<Option<(SignatureAlgorithm, &'static lc::RsaParameters)>, DerError> {
        let mut reader = Reader::new(der::exactly(parameters, tag::SEQUENCE)?.content);
        let hash = hash_identifier(reader.expect(tag::context_constructed(0))?.content)?;
        let generator = der::exactly(reader.expect(tag::context_constructed(1))?.content, tag::SEQUENCE)?;
        let salt = reader.expect(tag::context_constructed(2))?;
        let salt = der::small_unsigned(der::exactly(salt.content, tag::INTEGER)?.content)?;
        reader.finish()?;
        let mut generator = Reader::new(generator.content);
        let same = generator.oid()? == MGF1 && hash_identifier(generator.rest())? == hash;
        Ok(match (hash, salt) {
            (SHA256, 32) if same => Some((SignatureAlgorithm::RsaPssSha256, &lc::RSA_PSS_2048_8192_SHA256)),
            (SHA384, 48) if same => Some((SignatureAlgorithm::RsaPssSha384, &lc::RSA_PSS_2048_8192_SHA384)),
            (SHA512, 64) if same => Some((SignatureAlgorithm::RsaPssSha512, &lc::RSA_PSS_2048_8192_SHA512)),
            _ => None,
        })
    };
    parsed().ok().flatten()
}

/// The type in a hash's AlgorithmIdentifier, whose parameters are NULL or absent (RFC 4055 2.1).
fn hash_identifier(identifier: &[u8]) -> Result<&[u8], DerError> {
    let mut reader = Reader::new(der::exactly(identifier, tag::SEQUENCE)?.content);
    let oid = reader.oid()?;
    match reader.rest() {
        NULL | [] => Ok(oid),
        other => Err(DerError::TrailingData(other.len())),
    }
}
