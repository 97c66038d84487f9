//! CertID (RFC 6960 section 4.1.1): by which hashes a response names an issuer.

use aws_lc_rs::digest;

use crate::certificate::Certificate;
use crate::der::{self, DerError, Reader, tag};

/// The hash of a CertID. Responders expect SHA-1 (RFC 5019 section 2.1.1); here it identifies an issuer and signs
/// nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the algorithms")]
pub enum CertIdHash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

const ALL: [(CertIdHash, &[u8]); 4] = [
    (CertIdHash::Sha1, &[0x2b, 0x0e, 3, 2, 26]),
    (CertIdHash::Sha256, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]),
    (CertIdHash::Sha384, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2]),
    (CertIdHash::Sha512, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3]),
];

impl CertIdHash {
    pub(super) fn of(self, octets: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, octets)
    }

    /// Content octets of the algorithm's identifier.
    pub(super) fn oid(self) -> &'static [u8] {
        ALL.iter().find(|(hash, _)| *hash == self).map(|(_, oid)| *oid).unwrap_or_default()
    }

    /// The hash of a DER AlgorithmIdentifier, whose parameters are NULL or absent; `None` for others.
    pub(super) fn parse(algorithm: &[u8]) -> Result<Option<Self>, DerError> {
        let mut reader = Reader::new(algorithm);
        let oid = reader.oid()?;
        let known = ALL.iter().find(|(_, known)| *known == oid).map(|(hash, _)| *hash);
        Ok(known.filter(|_| matches!(reader.rest(), [] | [tag::NULL, 0])))
    }
}

/// The two hashes that name an issuer in a CertID.
#[derive(Copy, Clone, Debug)]
pub struct IssuerHashes {
    /// Of the DER of its name.
    pub name: digest::Digest,
    /// Of its key: the octets of the BIT STRING.
    pub key: digest::Digest,
}

impl IssuerHashes {
    /// The hashes of `issuer`, whose name is encoded as `name`: as the certificate in question encodes it, which may
    /// differ from the issuer's own certificate.
    pub fn new(hash: CertIdHash, name: &[u8], issuer: &Certificate) -> Self {
        Self { name: hash.of(name), key: hash.of(key_octets(issuer)) }
    }
}

/// The octets of the BIT STRING in a certificate's SubjectPublicKeyInfo.
pub(super) fn key_octets(certificate: &Certificate) -> &[u8] {
    let parsed = || {
        let mut spki = Reader::new(der::exactly(certificate.public_key(), tag::SEQUENCE)?.content);
        spki.any()?;
        spki.bit_string_octets()
    };
    // The certificate was parsed, so this succeeds.
    parsed().unwrap_or_default()
}
