//! Untrusted bytes and names in messages: safe to print, and short.

/// The most bytes of an excerpt; enough to recognize a name, too few to fill a log.
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

/// The most characters of a text that [`shortened`] keeps; enough for the names of most certificates.
pub const MAX_SHORTENED: usize = 256;

/// `text`, cut after [`MAX_SHORTENED`] characters, with an ellipsis where something is missing. For names from
/// certificates and CRLs, whose issuers can make them very long.
pub fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_SHORTENED) {
        text.truncate(end);
        text.push('…');
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

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("ä".repeat(MAX_SHORTENED)), "ä".repeat(MAX_SHORTENED));
        assert_eq!(shortened("ä".repeat(MAX_SHORTENED + 1)), format!("{}…", "ä".repeat(MAX_SHORTENED)));
    }
}
