//! SHA-256 fingerprints, the only hash by which certgate names certificates and keys.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use thiserror::Error;

/// A SHA-256 value: of a certificate's DER, or of a DER SubjectPublicKeyInfo, as the field that holds it says.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

/// Why a text is not a SHA-256 fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a SHA-256 fingerprint: want 64 hexadecimal digits, colons allowed between bytes")]
pub struct FingerprintError;

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from(digest::digest(&digest::SHA256, bytes))
    }

    /// A fingerprint from its 32 octets.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 octets.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A digest that was made piece by piece, by SHA-256.
impl From<digest::Digest> for Sha256 {
    fn from(digest: digest::Digest) -> Self {
        let mut out = [0; 32];
        out.iter_mut().zip(digest.as_ref()).for_each(|(slot, octet)| *slot = *octet);
        Self(out)
    }
}

/// Accepts lower and upper case, and colons between bytes (`AB:CD:…`); nothing else.
impl FromStr for Sha256 {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut out = [0_u8; 32];
        let bytes = text.as_bytes();
        let colons = match bytes.len() {
            64 => false,
            95 => true,
            _ => return Err(FingerprintError),
        };
        let step = if colons { 3 } else { 2 };
        for (slot, group) in out.iter_mut().zip(bytes.chunks(step)) {
            let (high, low) = match group {
                [h, l] | [h, l, b':'] => (nibble(*h)?, nibble(*l)?),
                _ => return Err(FingerprintError),
            };
            *slot = (high << 4) | low;
        }
        Ok(Self(out))
    }
}

fn nibble(digit: u8) -> Result<u8, FingerprintError> {
    char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok()).ok_or(FingerprintError)
}

/// Lower-case hexadecimal without separators.
impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn accepts_the_usual_spellings() {
        let want = Sha256::of(b"");
        let colons = EMPTY.as_bytes().chunks(2).map(|p| std::str::from_utf8(p).unwrap()).collect::<Vec<_>>().join(":");
        for text in [EMPTY.to_owned(), EMPTY.to_uppercase(), colons.clone(), colons.to_uppercase()] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        assert_eq!(want.to_string(), EMPTY);
    }

    #[test]
    fn refuses_everything_else() {
        let with_colon_at_end = format!("{}:", &EMPTY[..94 - 31]);
        for text in [
            "",
            &EMPTY[1..],
            &format!("{EMPTY}0"),
            &EMPTY.replace('e', "g"),
            &EMPTY.replace("c4", ":4"),
            &with_colon_at_end,
        ] {
            assert_eq!(text.parse::<Sha256>(), Err(FingerprintError), "{text}");
        }
    }
}
