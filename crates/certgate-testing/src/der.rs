//! Certificates made by hand, octet by octet, so that any one thing in them can be wrong.
//!
//! A [`Draft`] holds the fields of a certificate; [`Draft::sign`] encodes and signs it. Nothing is checked: the
//! encoding is exactly what the draft holds.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self as lc, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
pub use certgate_x509::der::tag;
use certgate_x509::{Certificate, Name, Oid, UnixTime, der};

/// The middle of every draft's validity period.
pub const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

const DAY: i64 = 86_400;

/// One element.
pub fn tlv(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    der::write(&mut out, tag, content.as_ref());
    out
}

/// A SEQUENCE of elements.
pub fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag::SEQUENCE, parts.concat())
}

/// An OBJECT IDENTIFIER.
pub fn oid(dotted: &str) -> Vec<u8> {
    tlv(tag::OID, dotted.parse::<Oid>().unwrap().as_bytes())
}

/// A small non-negative INTEGER.
pub fn int(n: u8) -> Vec<u8> {
    assert!(n < 0x80, "one octet without a sign");
    tlv(tag::INTEGER, [n])
}

/// BOOLEAN TRUE.
pub fn yes() -> Vec<u8> {
    tlv(tag::BOOLEAN, [0xff])
}

/// A BIT STRING of whole octets.
pub fn bits(octets: &[u8]) -> Vec<u8> {
    tlv(tag::BIT_STRING, [&[0], octets].concat())
}

/// `[n]` constructed.
pub fn context(n: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    tlv(tag::context_constructed(n), content)
}

/// `[n]` primitive.
pub fn implicit(n: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    tlv(tag::context(n), content)
}

/// A name from RFC 4514 text.
pub fn name(text: &str) -> Vec<u8> {
    Name::parse_rfc4514(text).unwrap().der().to_vec()
}

/// A time in the form that RFC 5280 wants for its year.
pub fn time(at: UnixTime) -> Vec<u8> {
    let digits: String = at.to_string().chars().filter(char::is_ascii_digit).collect();
    let year: u32 = digits[..4].parse().unwrap();
    if year < 2050 {
        tlv(tag::UTC_TIME, format!("{}Z", &digits[2..]))
    } else {
        tlv(tag::GENERALIZED_TIME, format!("{digits}Z"))
    }
}

/// A key pair with the algorithm identifier of its signatures.
pub struct SigningKey {
    pair: Pair,
    spki: Vec<u8>,
    algorithm: Vec<u8>,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(Arc<RsaKeyPair>, &'static dyn lc::RsaEncoding),
    /// A public key without its private key: the octets to use as signatures.
    Hollow(Vec<u8>),
}

impl SigningKey {
    /// A new Ed25519 key: the cheapest to make and sign with.
    pub fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let spki = seq(&[seq(&[oid("1.3.101.112")]), bits(pair.public_key().as_ref())]);
        Self { pair: Pair::Ed(pair), spki, algorithm: seq(&[oid("1.3.101.112")]) }
    }

    /// A new key on the curve of `signing`, whose signatures carry the algorithm `dotted`.
    pub fn ec(signing: &'static lc::EcdsaSigningAlgorithm, curve: &str, dotted: &str) -> Self {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let spki = seq(&[seq(&[oid("1.2.840.10045.2.1"), oid(curve)]), bits(pair.public_key().as_ref())]);
        Self { pair: Pair::Ec(pair), spki, algorithm: seq(&[oid(dotted)]) }
    }

    /// A new P-256 key signing with SHA-256.
    pub fn p256() -> Self {
        Self::ec(&lc::ECDSA_P256_SHA256_ASN1_SIGNING, "1.2.840.10045.3.1.7", "1.2.840.10045.4.3.2")
    }

    /// A new P-384 key signing with SHA-384.
    pub fn p384() -> Self {
        Self::ec(&lc::ECDSA_P384_SHA384_ASN1_SIGNING, "1.3.132.0.34", "1.2.840.10045.4.3.3")
    }

    /// A new P-521 key signing with SHA-512.
    pub fn p521() -> Self {
        Self::ec(&lc::ECDSA_P521_SHA512_ASN1_SIGNING, "1.3.132.0.35", "1.2.840.10045.4.3.4")
    }

    /// An RSA public key whose private key does not exist; `n` distinguishes keys of the same size. Its signatures cost
    /// as much to verify as real ones, and do not verify.
    pub fn hollow_rsa(size: usize, exponent: &[u8], n: u8) -> Self {
        let mut modulus = vec![0xff; size / 8];
        modulus[1] = n;
        let key = seq(&[tlv(tag::INTEGER, [&[0], &modulus[..]].concat()), tlv(tag::INTEGER, exponent)]);
        let null = tlv(tag::NULL, []);
        let spki = seq(&[seq(&[oid("1.2.840.113549.1.1.1"), null.clone()]), bits(&key)]);
        let algorithm = seq(&[oid("1.2.840.113549.1.1.11"), null]);
        Self { pair: Pair::Hollow(vec![0x5a; size / 8]), spki, algorithm }
    }

    /// The RSA-2048 key, one for the whole process, signing with PKCS #1 v1.5 and SHA-256.
    pub fn rsa() -> Self {
        let null = tlv(tag::NULL, []);
        Self::rsa_with(&lc::RSA_PKCS1_SHA256, seq(&[oid("1.2.840.113549.1.1.11"), null]))
    }

    /// The RSA-2048 key, signing with `encoding`.
    pub fn rsa_with(encoding: &'static dyn lc::RsaEncoding, algorithm: Vec<u8>) -> Self {
        static PAIR: OnceLock<Arc<RsaKeyPair>> = OnceLock::new();
        let pair = Arc::clone(PAIR.get_or_init(|| Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())));
        let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
        Self { pair: Pair::Rsa(pair, encoding), spki, algorithm }
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        self.spki.clone()
    }

    /// The DER AlgorithmIdentifier of the signatures.
    pub fn algorithm(&self) -> Vec<u8> {
        self.algorithm.clone()
    }

    /// A signature.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Hollow(octets) => octets.clone(),
            Pair::Rsa(pair, encoding) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut out).unwrap();
                out
            }
        }
    }
}

/// An extension: its type, whether it is critical, its value.
pub type Extension = (String, bool, Vec<u8>);

/// A certificate as fields.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Draft {
    /// The whole version field; empty for v1.
    pub version: Vec<u8>,
    /// Content octets.
    pub serial: Vec<u8>,
    /// DER Name.
    pub issuer: Vec<u8>,
    /// The whole Validity.
    pub validity: Vec<u8>,
    /// DER Name.
    pub subject: Vec<u8>,
    /// DER SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
    /// Elements between the key and the extensions.
    pub unique_ids: Vec<u8>,
    /// No extensions field when empty.
    pub extensions: Vec<Extension>,
    /// Appended to the signed part's content.
    pub trailer: Vec<u8>,
    /// The algorithm inside the signed part, when not the key's.
    pub inner_algorithm: Option<Vec<u8>>,
    /// The algorithm outside, when not the key's.
    pub outer_algorithm: Option<Vec<u8>>,
    /// Changes the signature when set.
    pub forged: bool,
}

impl Draft {
    /// A v3 certificate without extensions, valid a day around [`NOW`].
    pub fn new(subject: &str, issuer: &str, key: &SigningKey) -> Self {
        Self {
            version: context(0, int(2)),
            serial: vec![0x11, 0x22],
            issuer: name(issuer),
            validity: seq(&[time(NOW.minus(DAY)), time(NOW.plus(DAY))]),
            subject: name(subject),
            spki: key.spki(),
            unique_ids: Vec::new(),
            extensions: Vec::new(),
            trailer: Vec::new(),
            inner_algorithm: None,
            outer_algorithm: None,
            forged: false,
        }
    }

    /// A CA: basicConstraints and keyUsage.
    pub fn ca(subject: &str, issuer: &str, key: &SigningKey) -> Self {
        Self::new(subject, issuer, key).with(ext::ca(None)).with(ext::key_usage(&[5, 6]))
    }

    /// A TLS client: clientAuth and a DNS name.
    pub fn client(subject: &str, issuer: &str, key: &SigningKey) -> Self {
        Self::new(subject, issuer, key)
            .with(ext::purposes(&[ext::CLIENT_AUTH]))
            .with(ext::names(&[dns("client.example")]))
    }

    /// Sets an extension, in place of one of the same type.
    #[must_use]
    pub fn with(mut self, extension: Extension) -> Self {
        self.set(extension);
        self
    }

    /// Sets an extension, in place of one of the same type.
    pub fn set(&mut self, extension: Extension) {
        match self.extensions.iter_mut().find(|(oid, ..)| *oid == extension.0) {
            Some(slot) => *slot = extension,
            None => self.extensions.push(extension),
        }
    }

    /// Removes an extension.
    pub fn remove(&mut self, oid: &str) {
        self.extensions.retain(|(found, ..)| found != oid);
    }

    /// Sets both ends of the validity period.
    pub fn valid(&mut self, not_before: UnixTime, not_after: UnixTime) {
        self.validity = seq(&[time(not_before), time(not_after)]);
    }

    /// Encodes and signs.
    pub fn der(&self, signer: &SigningKey) -> Vec<u8> {
        let extensions: Vec<Vec<u8>> = self
            .extensions
            .iter()
            .map(|(dotted, critical, value)| {
                let critical = if *critical { yes() } else { Vec::new() };
                seq(&[oid(dotted), critical, tlv(tag::OCTET_STRING, value)])
            })
            .collect();
        let extensions = if extensions.is_empty() { Vec::new() } else { context(3, seq(&extensions)) };
        let tbs = seq(&[
            self.version.clone(),
            tlv(tag::INTEGER, &self.serial),
            self.inner_algorithm.clone().unwrap_or_else(|| signer.algorithm()),
            self.issuer.clone(),
            self.validity.clone(),
            self.subject.clone(),
            self.spki.clone(),
            self.unique_ids.clone(),
            extensions,
            self.trailer.clone(),
        ]);
        let mut signature = signer.sign(&tbs);
        if self.forged {
            *signature.last_mut().unwrap() ^= 1;
        }
        seq(&[tbs, self.outer_algorithm.clone().unwrap_or_else(|| signer.algorithm()), bits(&signature)])
    }

    /// Encodes, signs and parses.
    pub fn sign(&self, signer: &SigningKey) -> Arc<Certificate> {
        Arc::new(Certificate::from_der(self.der(signer)).unwrap())
    }
}

/// A dNSName.
pub fn dns(name: &str) -> Vec<u8> {
    implicit(2, name)
}

/// An rfc822Name.
pub fn email(name: &str) -> Vec<u8> {
    implicit(1, name)
}

/// A uniformResourceIdentifier.
pub fn uri(name: &str) -> Vec<u8> {
    implicit(6, name)
}

/// An iPAddress.
pub fn ip(octets: &[u8]) -> Vec<u8> {
    implicit(7, octets)
}

/// A directoryName.
pub fn directory(text: &str) -> Vec<u8> {
    context(4, name(text))
}

/// An otherName with any value.
pub fn other(dotted: &str, value: &[u8]) -> Vec<u8> {
    context(0, [oid(dotted), context(0, value)].concat())
}

/// A user principal name.
pub fn upn(text: &str) -> Vec<u8> {
    other("1.3.6.1.4.1.311.20.2.3", &tlv(tag::UTF8_STRING, text))
}

/// Extensions.
pub mod ext {
    use super::{Extension, context, implicit, int, oid, seq, tag, tlv, yes};

    pub const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";
    pub const KEY_USAGE: &str = "2.5.29.15";
    pub const SUBJECT_ALT_NAME: &str = "2.5.29.17";
    pub const BASIC_CONSTRAINTS: &str = "2.5.29.19";
    pub const NAME_CONSTRAINTS: &str = "2.5.29.30";
    pub const POLICIES: &str = "2.5.29.32";
    pub const POLICY_MAPPINGS: &str = "2.5.29.33";
    pub const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";
    pub const POLICY_CONSTRAINTS: &str = "2.5.29.36";
    pub const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
    pub const INHIBIT_ANY_POLICY: &str = "2.5.29.54";

    pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
    pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
    pub const ANY_PURPOSE: &str = "2.5.29.37.0";
    pub const ANY_POLICY: &str = "2.5.29.32.0";

    pub fn any(oid: &str, critical: bool, value: Vec<u8>) -> Extension {
        (oid.to_owned(), critical, value)
    }

    /// basicConstraints with cA.
    pub fn ca(path_len: Option<u8>) -> Extension {
        any(BASIC_CONSTRAINTS, true, seq(&[yes(), path_len.map(int).unwrap_or_default()]))
    }

    /// basicConstraints without cA.
    pub fn not_ca() -> Extension {
        any(BASIC_CONSTRAINTS, true, seq(&[]))
    }

    /// keyUsage with the named bits, all below 8.
    pub fn key_usage(named: &[u8]) -> Extension {
        let octet = named.iter().fold(0_u8, |octet, bit| octet | (0x80 >> bit));
        let unused = u8::try_from(octet.trailing_zeros().min(7)).unwrap();
        any(KEY_USAGE, true, tlv(tag::BIT_STRING, [unused, octet]))
    }

    pub fn purposes(dotted: &[&str]) -> Extension {
        any(EXTENDED_KEY_USAGE, false, seq(&dotted.iter().map(|purpose| oid(purpose)).collect::<Vec<_>>()))
    }

    pub fn names(names: &[Vec<u8>]) -> Extension {
        any(SUBJECT_ALT_NAME, false, seq(names))
    }

    /// nameConstraints from the bases of subtrees.
    pub fn constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Extension {
        let list = |n: u8, bases: &[Vec<u8>]| match bases {
            [] => Vec::new(),
            bases => context(n, bases.iter().map(|base| seq(std::slice::from_ref(base))).collect::<Vec<_>>().concat()),
        };
        any(NAME_CONSTRAINTS, true, seq(&[list(0, permitted), list(1, excluded)]))
    }

    pub fn policies(dotted: &[&str]) -> Extension {
        any(POLICIES, false, seq(&dotted.iter().map(|policy| seq(&[oid(policy)])).collect::<Vec<_>>()))
    }

    pub fn mappings(pairs: &[(&str, &str)]) -> Extension {
        let pairs: Vec<_> = pairs.iter().map(|(issuer, subject)| seq(&[oid(issuer), oid(subject)])).collect();
        any(POLICY_MAPPINGS, true, seq(&pairs))
    }

    pub fn policy_constraints(explicit: Option<u8>, inhibit_mapping: Option<u8>) -> Extension {
        let number = |n: u8, value: Option<u8>| value.map(|value| implicit(n, [value])).unwrap_or_default();
        any(POLICY_CONSTRAINTS, true, seq(&[number(0, explicit), number(1, inhibit_mapping)]))
    }

    pub fn inhibit_any_policy(after: u8) -> Extension {
        any(INHIBIT_ANY_POLICY, true, int(after))
    }

    pub fn subject_key(id: &[u8]) -> Extension {
        any(SUBJECT_KEY_IDENTIFIER, false, tlv(tag::OCTET_STRING, id))
    }

    pub fn authority_key(id: &[u8]) -> Extension {
        any(AUTHORITY_KEY_IDENTIFIER, false, seq(&[implicit(0, id)]))
    }
}
