//! Percent-decoding (RFC 3986, section 2.1), never form-decoding: `+` stays `+`.
//!
//! Owns the strict conversion of `%HH` into octets. It does not interpret the octets.
//!
//! Form-decoding (`application/x-www-form-urlencoded`) turns `+` into a space, which breaks base64 and is a known way
//! for two parsers to disagree. Proxies that write certificates either escape `+` or leave it raw; both read the same
//! here.

use std::borrow::Cow;

use thiserror::Error;

/// Why a text is not percent-encoded.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum PercentError {
    /// A `%` without two hexadecimal digits after it.
    #[error("byte {at}: `%` is not followed by two hexadecimal digits")]
    Escape {
        /// Offset of the `%`.
        at: usize,
    },
    /// RFC 3986, section 2: a URI is made of visible ASCII characters; everything else must be escaped.
    #[error("byte {at}: the octet 0x{octet:02x} must be escaped")]
    Raw {
        /// Offset of the octet.
        at: usize,
        /// The octet itself.
        octet: u8,
    },
}

/// Decodes `text`. Hexadecimal digits may have either case. Borrows when nothing is escaped.
pub fn decode(text: &[u8]) -> Result<Cow<'_, [u8]>, PercentError> {
    // A fold looks at every octet and so compiles to wide instructions; only a faulty text is searched again.
    if text.iter().fold(false, |faulty, octet| faulty | !octet.is_ascii_graphic())
        && let Some((at, octet)) = text.iter().enumerate().find(|(_, octet)| !octet.is_ascii_graphic())
    {
        return Err(PercentError::Raw { at, octet: *octet });
    }
    let Some(first) = memchr::memchr(b'%', text) else {
        return Ok(Cow::Borrowed(text));
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut next = Some(first);
    while let Some((raw, escaped)) = next.and_then(|at| rest.split_at_checked(at)) {
        let Some((octet, after)) = escape(escaped) else {
            return Err(PercentError::Escape { at: text.len().saturating_sub(escaped.len()) });
        };
        out.extend_from_slice(raw);
        out.push(octet);
        rest = after;
        next = memchr::memchr(b'%', rest);
    }
    out.extend_from_slice(rest);
    Ok(Cow::Owned(out))
}

/// Reads one `%HH` and returns its octet and what follows.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'%', high, low, after @ ..] => Some(((nibble(*high)? << 4) | nibble(*low)?, after)),
        _ => None,
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_escapes_and_nothing_else() {
        for (name, text, want) in [
            ("nothing to decode", &b"abc"[..], &b"abc"[..]),
            ("empty", b"", b""),
            ("plus stays plus", b"a+b", b"a+b"),
            ("escaped plus", b"a%2Bb", b"a+b"),
            ("either case of digits", b"%2b%2B%0a", b"++\n"),
            ("decoded once only", b"%252B", b"%2B"),
            ("an escaped NUL is an octet like any other", b"%00", b"\0"),
            ("escapes at both ends", b"%41bc%44", b"AbcD"),
        ] {
            assert_eq!(decode(text).as_deref(), Ok(want), "{name}");
        }
    }

    #[test]
    fn refuses_what_is_not_percent_encoded() {
        for (name, text, want) in [
            ("lone percent", &b"a%"[..], PercentError::Escape { at: 1 }),
            ("one digit", b"ab%4", PercentError::Escape { at: 2 }),
            ("not a digit", b"%4g", PercentError::Escape { at: 0 }),
            ("a sign is not a digit", b"%+1", PercentError::Escape { at: 0 }),
            ("second escape broken", b"%41%4", PercentError::Escape { at: 3 }),
            ("raw space", b"a b", PercentError::Raw { at: 1, octet: b' ' }),
            ("raw newline", b"a\nb", PercentError::Raw { at: 1, octet: b'\n' }),
            ("raw NUL", b"\0", PercentError::Raw { at: 0, octet: 0 }),
            ("raw UTF-8", "\u{e9}".as_bytes(), PercentError::Raw { at: 0, octet: 0xc3 }),
        ] {
            assert_eq!(decode(text), Err(want), "{name}");
        }
    }

    proptest! {
        #[test]
        fn encoding_round_trips(octets in proptest::collection::vec(any::<u8>(), 0..200), keep in any::<u64>()) {
            let text: String = octets.iter().enumerate().map(|(i, o)| {
                let raw = o.is_ascii_graphic() && *o != b'%' && keep >> (i % 64) & 1 == 1;
                if raw { char::from(*o).to_string() } else { format!("%{o:02X}") }
            }).collect();
            let decoded = decode(text.as_bytes()).unwrap();
            prop_assert_eq!(decoded.as_ref(), octets.as_slice());
        }
    }
}
