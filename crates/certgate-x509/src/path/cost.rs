//! The cost of a signature verification, and which keys are too expensive for their origin.
//!
//! The owner of an RSA key chooses its modulus and exponent, which determine every verifier's cost: an RSA-8192 key
//! with an exponent of 33 bits costs as much as thirty P-256 keys.

use super::key_kind::{Curve, KeyKind, KeyOrigin};

/// The properties of an RSA public exponent that determine its cost.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exponent {
    /// Its length.
    pub(super) bits: u32,
    /// How many of them are ones.
    pub(super) ones: u32,
}

/// Whether an RSA key's verifications cost no more than keys of that origin may.
pub(super) fn is_allowed(kind: KeyKind, exponent: Exponent, origin: KeyOrigin) -> bool {
    match kind {
        KeyKind::Rsa(bits) => bits <= origin.modulus_bits() && exponent.bits <= origin.exponent_bits(),
        _ => true,
    }
}

/// About how many microseconds one verification of a message of `octets` takes on a current core.
/// `tests/figures/flood.rs` of the service prints measured figures beside these.
pub(super) fn microseconds(kind: KeyKind, exponent: Exponent, octets: usize) -> u32 {
    let arithmetic = match kind {
        KeyKind::Rsa(bits) => rsa(bits, exponent),
        KeyKind::Ec(Curve::P256) => 50,
        KeyKind::Ec(Curve::P384) => 200,
        KeyKind::Ec(Curve::P521) => 350,
        KeyKind::Ed25519 => 40,
    };
    // Hashing, at half a gigabyte a second.
    arithmetic.saturating_add(u32::try_from(octets >> 9).unwrap_or(u32::MAX))
}

/// A squaring for each bit of the exponent, a multiplication for each one of them (for each third bit of a long
/// exponent, which is taken by windows), and their preparation, all quadratic in the words of the modulus.
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
