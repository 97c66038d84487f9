//! The signature algorithms by name, and sets of them.

use std::fmt;

/// A signature algorithm that is supported.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the algorithms'")]
#[repr(u8)]
pub enum SignatureAlgorithm {
    RsaPkcs1Sha1,
    RsaPkcs1Sha256,
    RsaPkcs1Sha384,
    RsaPkcs1Sha512,
    RsaPssSha256,
    RsaPssSha384,
    RsaPssSha512,
    EcdsaSha1,
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
    Ed25519,
}

impl SignatureAlgorithm {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::RsaPkcs1Sha1,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::EcdsaSha1,
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::Ed25519,
    ];

    /// Whether it signs a SHA-1 digest.
    pub const fn uses_sha1(self) -> bool {
        matches!(self, Self::RsaPkcs1Sha1 | Self::EcdsaSha1)
    }

    /// The name, as profiles and the command line write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaPkcs1Sha1 => "RsaPkcs1Sha1",
            Self::RsaPkcs1Sha256 => "RsaPkcs1Sha256",
            Self::RsaPkcs1Sha384 => "RsaPkcs1Sha384",
            Self::RsaPkcs1Sha512 => "RsaPkcs1Sha512",
            Self::RsaPssSha256 => "RsaPssSha256",
            Self::RsaPssSha384 => "RsaPssSha384",
            Self::RsaPssSha512 => "RsaPssSha512",
            Self::EcdsaSha1 => "EcdsaSha1",
            Self::EcdsaSha256 => "EcdsaSha256",
            Self::EcdsaSha384 => "EcdsaSha384",
            Self::EcdsaSha512 => "EcdsaSha512",
            Self::Ed25519 => "Ed25519",
        }
    }

    const fn bit(self) -> u16 {
        1 << (self as u8)
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of signature algorithms.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct SignatureAlgorithms(u16);

impl SignatureAlgorithms {
    /// Every algorithm that is supported.
    pub const ALL: Self = Self(u16::MAX);

    /// Whether `algorithm` is one of them.
    pub const fn contains(self, algorithm: SignatureAlgorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }
}

impl FromIterator<SignatureAlgorithm> for SignatureAlgorithms {
    fn from_iter<I: IntoIterator<Item = SignatureAlgorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().fold(0, |set, algorithm| set | algorithm.bit()))
    }
}

impl fmt::Debug for SignatureAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(SignatureAlgorithm::ALL.into_iter().filter(|algorithm| self.contains(*algorithm)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        for one in SignatureAlgorithm::ALL {
            let set: SignatureAlgorithms = [one].into_iter().collect();
            let held: Vec<_> = SignatureAlgorithm::ALL.into_iter().filter(|other| set.contains(*other)).collect();
            assert_eq!(held, [one]);
            assert!(SignatureAlgorithms::ALL.contains(one));
            assert_eq!([one, one].into_iter().collect::<SignatureAlgorithms>(), set, "named twice");
            assert_eq!((format!("{one}"), format!("{set:?}")), (one.name().to_owned(), format!("{{{one:?}}}")));
            assert_eq!(format!("{one:?}"), one.name());
        }
    }
}
