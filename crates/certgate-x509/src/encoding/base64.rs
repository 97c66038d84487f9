//! Base64 (RFC 4648, section 4), canonical only.
//!
//! Owns decoding with the size cap. Padding is required and the unused bits of the last character must be zero (RFC
//! 4648, sections 3.2 and 3.5), so each octet string has exactly one spelling; line breaks and blanks are rejected
//! (section 3.1). [`Decoder`] does the same piece by piece, for texts too long to be held.

use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use base64::{DecodeError, DecodeSliceError, Engine as _};
use bytes::Bytes;
use thiserror::Error;

use crate::limits::MAX_FORWARDED_CERTIFICATE;

/// Why a text is not base64.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Base64Error {
    /// The text would decode to more octets than the cap. Detected before decoding.
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
    /// The text is empty.
    #[error("no base64 characters")]
    Empty,
}

/// Decodes one certificate's DER.
pub fn certificate(text: &[u8]) -> Result<Bytes, Base64Error> {
    decode(text, MAX_FORWARDED_CERTIFICATE)
}

/// Decodes `text`, ignoring white space, to at least one and at most `limit` octets.
pub fn decode_lax(text: &[u8], limit: usize) -> Result<Bytes, Base64Error> {
    let digits: Vec<u8> = text.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    decode(&digits, limit)
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

/// Characters that are decoded at once; four to three octets.
const CHUNK: usize = 4096;

/// Octets of a chunk.
const DECODED: usize = CHUNK / 4 * 3;

/// Decodes a text that arrives in pieces, such as its lines. The outcome equals that of [`decode`] for the joined
/// pieces.
#[derive(Debug)]
pub(super) struct Decoder {
    limit: usize,
    /// Octets that were decoded.
    octets: usize,
    /// Characters that are not decoded yet.
    chunk: [u8; CHUNK],
    filled: usize,
    /// Characters of all pieces.
    characters: usize,
    error: Option<DecodeError>,
}

impl Decoder {
    /// A decoder of at most `limit` octets.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, octets: 0, chunk: [0; CHUNK], filled: 0, characters: 0, error: None }
    }

    /// Decodes the next piece of the text, and passes octets to `take` as they come; returns only errors of `take`.
    pub(super) fn push<E>(&mut self, mut piece: &[u8], take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.characters = self.characters.saturating_add(piece.len());
        while !piece.is_empty() && self.error.is_none() && !self.is_too_long() {
            if self.filled == CHUNK {
                self.flush(Padding::None, take)?;
            }
            let room = self.chunk.get_mut(self.filled..).unwrap_or_default();
            let (now, later) = piece.split_at_checked(room.len()).unwrap_or((piece, &[]));
            room.iter_mut().zip(now).for_each(|(slot, octet)| *slot = *octet);
            self.filled = self.filled.saturating_add(now.len());
            piece = later;
        }
        Ok(())
    }

    /// The last octets of the text, which has ended. Returns whether the text was base64.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Base64Error> {
        let too_long = Base64Error::TooLong { characters: self.characters, limit: self.limit };
        if self.characters == 0 {
            return Err(Base64Error::Empty);
        }
        if self.is_too_long() {
            return Err(too_long);
        }
        let mut last = Vec::new();
        if self.error.is_none() {
            self.flush(Padding::Last, &mut |octets| {
                last.extend_from_slice(octets);
                Ok::<(), Base64Error>(())
            })?;
        }
        match self.error {
            Some(error) => Err(Base64Error::Invalid(error)),
            None if self.octets > self.limit => Err(too_long),
            None => Ok(last),
        }
    }

    /// Three octets take four characters, and canonical text has no others.
    fn is_too_long(&self) -> bool {
        self.characters > self.limit.div_ceil(3).saturating_mul(4)
    }

    fn flush<E>(&mut self, padding: Padding, take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let chunk = self.chunk.get(..self.filled).unwrap_or_default();
        let mut output = [0_u8; DECODED];
        let decoded = match padding {
            Padding::None => STANDARD_NO_PAD.decode_slice(chunk, &mut output),
            Padding::Last => STANDARD.decode_slice(chunk, &mut output),
        };
        // The position of the chunk in the whole.
        let base = self.octets.div_euclid(3).saturating_mul(4);
        self.filled = 0;
        match decoded {
            Ok(count) => {
                self.octets = self.octets.saturating_add(count);
                take(output.get(..count).unwrap_or_default())
            }
            Err(error) => {
                self.error = Some(shifted(error, base, chunk));
                Ok(())
            }
        }
    }
}

/// Where padding may be in a chunk.
#[derive(Copy, Clone)]
enum Padding {
    None,
    Last,
}

/// An error in a chunk as one of the text in which `base` characters precede it.
fn shifted(error: DecodeSliceError, base: usize, chunk: &[u8]) -> DecodeError {
    match error {
        DecodeSliceError::DecodeError(DecodeError::InvalidByte(at, octet)) => {
            DecodeError::InvalidByte(at.saturating_add(base), octet)
        }
        DecodeSliceError::DecodeError(DecodeError::InvalidLastSymbol { offset, symbol, symbol_value }) => {
            DecodeError::InvalidLastSymbol { offset: offset.saturating_add(base), symbol, symbol_value }
        }
        DecodeSliceError::DecodeError(DecodeError::InvalidLength(length)) => {
            DecodeError::InvalidLength(length.saturating_add(base))
        }
        DecodeSliceError::DecodeError(DecodeError::InvalidPadding) if chunk.len() < CHUNK => {
            DecodeError::InvalidPadding
        }
        // A full chunk that is not the last: characters follow the padding.
        DecodeSliceError::DecodeError(DecodeError::InvalidPadding) | DecodeSliceError::OutputSliceTooSmall => {
            let at = memchr::memchr(b'=', chunk).unwrap_or(chunk.len());
            DecodeError::InvalidByte(at.saturating_add(base), b'=')
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// Canonical text of any length around a chunk's, in pieces, sometimes with one changed character.
    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let octets = prop_oneof![0..200_usize, 3060..3090_usize, 6130..6160_usize];
        let other = proptest::option::of((any::<proptest::sample::Index>(), prop_oneof![Just(b'='), any::<u8>()]));
        (octets, any::<u64>(), other, 1..100_usize, 0..4_usize).prop_map(|(octets, seed, other, line, cut)| {
            let octets: Vec<u8> = (0..octets as u64).map(|n| (seed.wrapping_mul(n | 1) >> 56) as u8).collect();
            let mut text = STANDARD.encode(octets).into_bytes();
            text.truncate(text.len().saturating_sub(cut.saturating_sub(2)));
            if let (Some((at, octet)), false) = (other, text.is_empty()) {
                let at = at.index(text.len());
                text[at] = octet;
            }
            text.chunks(line).map(<[u8]>::to_vec).collect()
        })
    }

    proptest! {
        #[test]
        fn in_pieces_is_the_same(pieces in pieces(), limit in 3000..9000_usize) {
            let mut octets = Vec::new();
            let mut take = |part: &[u8]| {
                octets.extend_from_slice(part);
                Ok::<(), Base64Error>(())
            };
            let mut decoder = Decoder::new(limit);
            pieces.iter().for_each(|piece| decoder.push(piece, &mut take).unwrap());
            let got = decoder.finish();
            match (got, decode(&pieces.concat(), limit)) {
                (Ok(last), want) => prop_assert_eq!(Ok(Bytes::from([octets, last].concat())), want),
                (Err(got @ (Base64Error::TooLong { .. } | Base64Error::Empty)), want) => prop_assert_eq!(Err(got), want),
                (Err(_), want) => prop_assert!(matches!(want, Err(Base64Error::Invalid(_))), "{:?}", want),
            }
        }
    }

    #[test]
    fn errors_in_pieces_say_where() {
        let mut text = STANDARD.encode([7; 3 * CHUNK]).into_bytes();
        let at = CHUNK + 7;
        text[at] = b'*';
        let mut decoder = Decoder::new(3 * CHUNK);
        decoder.push(&text, &mut |_| Ok::<(), Base64Error>(())).unwrap();
        let want = Err(Base64Error::Invalid(DecodeError::InvalidByte(at, b'*')));
        assert_eq!(decoder.finish(), want);
        let good = "A".repeat(CHUNK);
        for (text, want) in [
            (format!("{good}Zg"), DecodeError::InvalidPadding),
            (format!("{good}Zg="), DecodeError::InvalidPadding),
            (format!("{}={good}", &good[1..]), DecodeError::InvalidByte(CHUNK - 1, b'=')),
            (format!("{}=={good}", &good[2..]), DecodeError::InvalidByte(CHUNK - 2, b'=')),
        ] {
            let mut decoder = Decoder::new(3 * CHUNK);
            decoder.push(text.as_bytes(), &mut |_| Ok::<(), Base64Error>(())).unwrap();
            assert_eq!(decoder.finish(), Err(Base64Error::Invalid(want)));
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
