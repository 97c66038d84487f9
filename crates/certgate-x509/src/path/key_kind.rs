//! The kinds of public keys, and where keys come from.

use std::fmt;

/// The kind and size of a public key.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with the bits of its modulus.
    Rsa(u32),
    /// An elliptic curve.
    Ec(Curve),
    /// Ed25519.
    Ed25519,
}

/// The named curves of RFC 5480 that are supported.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the curves")]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA-{bits}"),
            Self::Ec(Curve::P256) => f.write_str("P-256"),
            Self::Ec(Curve::P384) => f.write_str("P-384"),
            Self::Ec(Curve::P521) => f.write_str("P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// Where a key came from.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyOrigin {
    /// The configuration: the key of an anchor or a configured intermediate.
    Configured,
    /// The client, or other data that is not verified yet.
    Presented,
}

impl KeyOrigin {
    /// The largest RSA modulus. Configured: what aws-lc verifies with. Presented: no public CA has larger keys (the
    /// CA/Browser Forum asks for 2048), and the cost grows with the square.
    pub const fn modulus_bits(self) -> u32 {
        match self {
            Self::Configured => 8192,
            Self::Presented => 4096,
        }
    }

    /// The longest RSA public exponent. Configured: what aws-lc verifies with. Presented: that of 65537, which nearly
    /// all keys have and the Baseline Requirements (6.1.6) recommend; the cost grows with the bits.
    pub const fn exponent_bits(self) -> u32 {
        match self {
            Self::Configured => 33,
            Self::Presented => 17,
        }
    }
}

impl fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "an anchor or configured intermediate",
            Self::Presented => "a certificate that is neither an anchor's nor configured",
        })
    }
}
