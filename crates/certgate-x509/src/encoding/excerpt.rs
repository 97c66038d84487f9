//! Quoting untrusted bytes in messages.
//!
//! Owns: making any bytes safe to print, short and on one line. It does not decide what may be printed at all.

/// The most characters of an excerpt; enough to recognize a name, too few to fill a log.
pub const MAX_EXCERPT: usize = 120;

/// `bytes` as one line of printable ASCII: anything else becomes `?`, and what is longer than [`MAX_EXCERPT`] is cut
/// and ends in `...`.
pub fn excerpt(bytes: &[u8]) -> String {
    let printable = |byte: &u8| if matches!(byte, 0x20..=0x7e) { char::from(*byte) } else { '?' };
    let mut text: String = bytes.iter().take(MAX_EXCERPT).map(printable).collect();
    if bytes.len() > MAX_EXCERPT {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_printable_ascii() {
        for (input, want) in [
            (&b"spiffe://lab.test/gw"[..], "spiffe://lab.test/gw"),
            (b"", ""),
            (b"a\r\nset-cookie: x\x1b[31m", "a??set-cookie: x?[31m"),
            ("n\u{e9}e".as_bytes(), "n??e"),
        ] {
            assert_eq!(excerpt(input), want);
        }
        let long = excerpt(&[b'x'; 5000]);
        assert_eq!(long.len(), MAX_EXCERPT + 3);
        assert!(long.ends_with("x..."));
    }
}
