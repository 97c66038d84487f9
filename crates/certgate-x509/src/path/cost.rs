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

/// What of an RSA public exponent decides what it costs.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exponent {
    /// Its length.
    pub(super) bits: u32,
    /// How many of them are ones.
    pub(super) ones: u32,
}

impl PublicKey<'_> {
    /// Refuses an RSA key whose verifications cost more than is spent on keys of that origin.
    pub fn check_cost(&self, origin: KeyOrigin) -> Result<(), SignatureError> {
        let exponent_bits = self.exponent().bits;
        match self.kind() {
            key @ KeyKind::Rsa(bits) if bits > origin.modulus_bits() || exponent_bits > origin.exponent_bits() => {
                Err(SignatureError::Oversized { key, exponent_bits, origin })
            }
            _ => Ok(()),
        }
    }

    /// About how many microseconds one verification of a message of `octets` takes on a current core; what budgets
    /// count. `tests/figures/flood.rs` prints the true figures beside these.
    pub fn cost(&self, octets: usize) -> u32 {
        let arithmetic = match self.kind() {
            KeyKind::Rsa(bits) => rsa(bits, self.exponent()),
            KeyKind::Ec(Curve::P256) => 50,
            KeyKind::Ec(Curve::P384) => 200,
            KeyKind::Ec(Curve::P521) => 350,
            KeyKind::Ed25519 => 40,
        };
        // Hashing, at half a gigabyte a second.
        arithmetic.saturating_add(u32::try_from(octets >> 9).unwrap_or(u32::MAX))
    }
}

/// A squaring for each bit of the exponent, a multiplication for each one of them (for each third bit of a long exponent,
/// which is taken by windows), and what prepares them, all quadratic in the words of the modulus.
fn rsa(bits: u32, exponent: Exponent) -> u32 {
    /// The length from which aws-lc takes windows of three bits.
    const WINDOWS: u32 = 24;
    let multiplications = if exponent.bits < WINDOWS { exponent.ones } else { (exponent.bits / 3).saturating_add(2) };
    // Microseconds with 128 words.
    let squarings = u64::from(exponent.bits).saturating_mul(10);
    let rounds = u64::from(multiplications).saturating_mul(15).saturating_add(squarings).saturating_add(28);
    let words = u64::from(bits.div_ceil(64));
    let microseconds = words.saturating_mul(words).saturating_mul(rounds) >> 14;
    u32::try_from(microseconds).unwrap_or(u32::MAX).saturating_add(5)
}
