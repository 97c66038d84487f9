//! Base64 (RFC 4648, section 4), canonical only.
//!
//! Owns: decoding with the size cap. Padding must be there and the unused bits of the last character must be zero
//! (RFC 4648, sections 3.2 and 3.5), so each octet string has exactly one spelling; line breaks and blanks are refused
//! (section 3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use thiserror::Error;

use super::MAX_CERTIFICATE;

/// Why a text is not base64.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Base64Error {
    /// The text would decode to more octets than wanted. Found before anything is decoded.
    #[error("{characters} base64 characters hold more than {limit} octets")]
    TooLong {
        /// The length of the text.
        characters: usize,
        /// The cap in octets.
        limit: usize,
    },
    /// The text is not canonical base64.
    #[error("not canonical base64: {0}")]
    Invalid(#[from] base64::DecodeError),
    /// There is nothing to decode.
    #[error("no base64 characters")]
    Empty,
}

/// Decodes one certificate's DER.
pub fn certificate(text: &[u8]) -> Result<Bytes, Base64Error> {
    decode(text, MAX_CERTIFICATE)
}

/// Decodes `text` to at least one and at most `limit` octets.
pub fn decode(text: &[u8], limit: usize) -> Result<Bytes, Base64Error> {
    if text.is_empty() {
        return Err(Base64Error::Empty);
    }
    // Three octets take four characters, and canonical text has no others.
    if text.len() > limit.div_ceil(3).saturating_mul(4) {
        return Err(Base64Error::TooLong { characters: text.len(), limit });
    }
    let octets = STANDARD.decode(text)?;
    if octets.len() > limit {
        return Err(Base64Error::TooLong { characters: text.len(), limit });
    }
    Ok(Bytes::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_canonical_text() {
        for (text, want) in [("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("+/+/", "\u{fb}\u{ff}\u{bf}")] {
            let want: Vec<u8> = want.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
            assert_eq!(decode(text.as_bytes(), 8).as_deref(), Ok(want.as_slice()), "{text}");
        }
    }

    #[test]
    fn refuses_every_other_spelling() {
        for (name, text) in [
            ("empty", ""),
            ("padding missing", "Zg"),
            ("padding short", "Zg="),
            ("padding long", "Zm9v===="),
            ("padding inside", "Zg==Zm9v"),
            ("unused bits set", "Zh=="),
            ("unused bits set, one pad", "Zm9="),
            ("URL alphabet", "-_-_"),
            ("blank", "Zm 9v"),
            ("line break", "Zm9v\n"),
            ("one character over", "Zm9vZ"),
            ("a plus that became a space", " /+/"),
        ] {
            assert!(decode(text.as_bytes(), 64).is_err(), "{name}");
        }
    }

    #[test]
    fn the_cap_is_exact() {
        for octets in [1_usize, 2, 3, 4, 5, 6] {
            let text = STANDARD.encode(vec![7; octets]);
            assert_eq!(decode(text.as_bytes(), octets).map(|d| d.len()), Ok(octets));
            let over = Base64Error::TooLong { characters: text.len(), limit: octets - 1 };
            assert_eq!(decode(text.as_bytes(), octets - 1), Err(over));
        }
    }
}
