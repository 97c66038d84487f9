//! What a signature verification costs, and which keys are too costly for where they come from.
//!
//! The modulus and exponent of an RSA key are chosen by whoever makes it, and decide what everybody else pays for its
//! signatures: an RSA-8192 key with an exponent of 33 bits costs as much as thirty P-256 keys.

use std::fmt;

use super::signature::{Curve, KeyKind, PublicKey, SignatureError};

/// Who answers for a key.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyOrigin {
    /// The operator: the key stands in an anchor or a configured intermediate.
    Configured,
    /// Whoever sent the request, or made other data that is yet to be verified.
    SentAlong,
}

impl KeyOrigin {
    /// The largest RSA modulus. Configured: what aws-lc verifies with. Sent along: no public CA has larger keys (the
    /// CA/Browser Forum asks for 2048), and the cost grows with the square.
    pub const fn modulus_bits(self) -> u32 {
        match self {
            Self::Configured => 8192,
            Self::SentAlong => 4096,
        }
    }

    /// The longest RSA public exponent. Configured: what aws-lc verifies with. Sent along: that of 65537, which nearly
    /// all keys have and the Baseline Requirements (6.1.6) recommend; the cost grows with the bits.
    pub const fn exponent_bits(self) -> u32 {
        match self {
            Self::Configured => 33,
            Self::SentAlong => 17,
        }
    }
}

impl fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "an anchor or configured intermediate",
            Self::SentAlong => "a certificate that is neither an anchor's nor configured",
        })
    }
}

impl PublicKey<'_> {
    /// Refuses an RSA key whose verifications cost more than is spent on keys of that origin.
    pub fn check_cost(&self, origin: KeyOrigin) -> Result<(), SignatureError> {
        let exponent_bits = self.exponent_bits();
        match self.kind() {
            key @ KeyKind::Rsa(bits) if bits > origin.modulus_bits() || exponent_bits > origin.exponent_bits() => {
                Err(SignatureError::Oversized { key, exponent_bits, origin })
            }
            _ => Ok(()),
        }
    }

    /// About how many microseconds one verification of a message of `octets` takes on a current core; what budgets
    /// count. `tests/path_cost.rs` prints the true figures beside these.
    pub fn cost(&self, octets: usize) -> u32 {
        let arithmetic = match self.kind() {
            KeyKind::Rsa(bits) => rsa(bits, self.exponent_bits()),
            KeyKind::Ec(Curve::P256) => 50,
            KeyKind::Ec(Curve::P384) => 180,
            KeyKind::Ec(Curve::P521) => 400,
            KeyKind::Ed25519 => 40,
        };
        // Hashing, at half a gigabyte a second.
        arithmetic.saturating_add(u32::try_from(octets >> 9).unwrap_or(u32::MAX))
    }
}

/// A squaring for each bit of the exponent and at most half as many multiplications, each of them quadratic in the
/// words of the modulus; and about as much as eight of them to prepare.
fn rsa(bits: u32, exponent_bits: u32) -> u32 {
    let words = u64::from(bits.div_ceil(64));
    let rounds = 8_u64.saturating_add(u64::from(exponent_bits));
    // Nanoseconds of a multiplication of words, times eight.
    let nanoseconds = words.saturating_mul(words).saturating_mul(rounds).saturating_mul(5) >> 3;
    u32::try_from(nanoseconds >> 10).unwrap_or(u32::MAX).saturating_add(5)
}
