//! The PEM that proxies write (RFC 7468, section 3, the strict form).
//!
//! Owns reading one or several `CERTIFICATE` blocks that fill a text entirely: lines of 64 characters except the last,
//! one LF after each line, no other text before, between or after the blocks. OpenSSL and BoringSSL write this form,
//! and so Envoy, nginx and the AWS load balancer send it. One certificate has one PEM, except for the LF at the end,
//! which may be missing. For files written by people, use [`super::bundle`]; for tools that accept any text,
//! [`raw_blocks`] extracts the blocks without checking the text around them.

use bytes::Bytes;
use thiserror::Error;

use super::base64::{self, Base64Error};
use super::percent::{self, PercentError};
use crate::limits::MAX_FORWARDED_CERTIFICATE;

/// The line that opens a block.
pub const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// The line that closes a block.
pub const END: &[u8] = b"-----END CERTIFICATE-----";
/// RFC 7468, section 2: generators wrap the base64 so that each line but the last has exactly 64 characters.
pub const LINE: usize = 64;

/// Why a text is not strict PEM. Blocks and lines count from 1; a block's first line is its `BEGIN` line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PemError {
    /// The text is not percent-encoded.
    #[error("not percent-encoded: {0}")]
    Percent(#[from] PercentError),
    /// A block does not begin where one must.
    #[error("certificate {block}: want `-----BEGIN CERTIFICATE-----` on a line of its own")]
    Begin {
        /// The block.
        block: usize,
    },
    /// A base64 line is empty, too long, or short without being the last.
    #[error("certificate {block}, line {line}: want 64 characters, or 1 to 64 on the last line; found {found}")]
    Line {
        /// The block.
        block: usize,
        /// The line.
        line: usize,
        /// The characters on the line.
        found: usize,
    },
    /// The text ends inside a block, or the base64 is followed by something that is not the `END` line.
    #[error("certificate {block}: want `-----END CERTIFICATE-----` on a line of its own after the base64")]
    End {
        /// The block.
        block: usize,
    },
    /// The text between the boundaries is not base64, or too long.
    #[error("certificate {block}: {cause}")]
    Body {
        /// The block.
        block: usize,
        /// What is wrong with it.
        cause: Base64Error,
    },
    /// There are more blocks than wanted.
    #[error("more than {limit} certificates")]
    TooMany {
        /// The cap.
        limit: usize,
    },
}

/// The DER of the certificates in percent-encoded PEM, at least one and at most `limit`.
pub fn url_encoded_certificates(text: &[u8], limit: usize) -> Result<Vec<Bytes>, PemError> {
    certificates(&percent::decode(text)?, limit)
}

/// The DER of the certificates in plain PEM, at least one and at most `limit`.
pub fn certificates(text: &[u8], limit: usize) -> Result<Vec<Bytes>, PemError> {
    let mut found = Vec::with_capacity(1);
    let mut rest = text;
    loop {
        let block = found.len().saturating_add(1);
        if block > limit {
            return Err(PemError::TooMany { limit });
        }
        let (der, after) = read_block(rest, block)?;
        found.push(der);
        if after.is_empty() {
            return Ok(found);
        }
        rest = after;
    }
}

/// A `CERTIFICATE` block as the text has it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RawBlock<'t> {
    /// What follows the `BEGIN` boundary, up to the `END` boundary where there is one.
    pub body: &'t [u8],
    /// Whether there is an `END` boundary before the next `BEGIN` and the end of the text.
    pub is_terminated: bool,
}

impl RawBlock<'_> {
    /// The DER in the block, of at most `limit` octets.
    pub fn der(&self, limit: usize) -> Result<Bytes, Base64Error> {
        base64::decode_lax(self.body, limit)
    }
}

/// The `CERTIFICATE` blocks of a text, in order, with any text between them.
pub fn raw_blocks(text: &[u8]) -> impl Iterator<Item = RawBlock<'_>> {
    let after_begin = |text| {
        let at = memchr::memmem::find(text, BEGIN)?;
        text.get(at.saturating_add(BEGIN.len())..)
    };
    let mut rest = after_begin(text);
    std::iter::from_fn(move || {
        let open = rest?;
        rest = after_begin(open);
        let next = rest.map_or(open.len(), |rest| open.len().saturating_sub(rest.len()).saturating_sub(BEGIN.len()));
        let own = open.get(..next).unwrap_or_default();
        let end = memchr::memmem::find(own, END);
        let body = own.get(..end.unwrap_or(own.len())).unwrap_or_default();
        Some(RawBlock { body, is_terminated: end.is_some() })
    })
}

/// Reads the block at the start of `text`; returns its DER and what follows its `END` line.
fn read_block(text: &[u8], block: usize) -> Result<(Bytes, &[u8]), PemError> {
    let Some((BEGIN, mut rest)) = split_line(text) else {
        return Err(PemError::Begin { block });
    };
    // Every certificate needs a little more than 4/3 of its length, but a long text does not justify a large buffer
    // yet.
    let mut body = Vec::with_capacity(rest.len().min(4096));
    let mut line = 1_usize;
    let mut full = true;
    loop {
        let Some((content, after)) = split_line(rest) else {
            return Err(PemError::End { block });
        };
        rest = after;
        line = line.saturating_add(1);
        if content.first() == Some(&b'-') {
            if content != END {
                return Err(PemError::End { block });
            }
            break;
        }
        if !full || content.is_empty() || content.len() > LINE {
            return Err(PemError::Line { block, line, found: content.len() });
        }
        full = content.len() == LINE;
        body.extend_from_slice(content);
        // More than any permitted certificate needs: stop copying.
        if body.len() > MAX_FORWARDED_CERTIFICATE.saturating_mul(2) {
            let cause = Base64Error::TooLong { characters: body.len(), limit: MAX_FORWARDED_CERTIFICATE };
            return Err(PemError::Body { block, cause });
        }
    }
    let der = base64::certificate(&body).map_err(|cause| PemError::Body { block, cause })?;
    Ok((der, rest))
}

/// Splits off the first line without its LF, which only the last line of the text may lack; `None` at the end.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    match memchr::memchr(b'\n', text) {
        Some(at) => text.split_at_checked(at).and_then(|(line, rest)| Some((line, rest.get(1..)?))),
        None if text.is_empty() => None,
        None => Some((text, &[])),
    }
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    /// An independent writer of the strict form.
    fn write(der: &[u8]) -> String {
        let base64 = STANDARD.encode(der);
        let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    fn read(text: &str) -> Result<Vec<Bytes>, PemError> {
        certificates(text.as_bytes(), 3)
    }

    #[test]
    fn reads_what_proxies_write() {
        let [short, full, long] = [vec![1; 10], vec![2; 48], vec![3; 100]];
        assert_eq!(read(&write(&short)), Ok(vec![short.clone().into()]), "one short line");
        assert_eq!(read(&write(&full)), Ok(vec![full.clone().into()]), "one full line");
        assert_eq!(read(write(&long).trim_end()), Ok(vec![long.clone().into()]), "no LF at the end");
        let three = [&short, &full, &long].map(|der| write(der)).concat();
        assert_eq!(read(&three), Ok(vec![short.into(), full.into(), long.into()]), "three blocks");
    }

    #[test]
    fn escapes_are_undone_first() {
        let der = vec![0xfb; 60];
        let pem = write(&der);
        assert!(pem.contains('+'), "the case needs a plus");
        let raw_plus = pem.replace('\n', "%0A").replace(' ', "%20").replace('=', "%3d");
        let escaped_plus = raw_plus.replace('+', "%2B");
        for text in [raw_plus, escaped_plus] {
            assert_eq!(url_encoded_certificates(text.as_bytes(), 1), Ok(vec![der.clone().into()]), "{text}");
        }
        let form_encoded = pem.replace('\n', "%0A").replace(' ', "+");
        assert_eq!(url_encoded_certificates(form_encoded.as_bytes(), 1), Err(PemError::Begin { block: 1 }));
        assert!(matches!(url_encoded_certificates(pem.as_bytes(), 1), Err(PemError::Percent(_))), "not escaped at all");
    }

    #[test]
    fn refuses_everything_else() {
        let good = write(&[9; 100]);
        let body = good.lines().nth(1).unwrap();
        let begin = PemError::Begin { block: 1 };
        let end = PemError::End { block: 1 };
        for (name, text, want) in [
            ("empty", String::new(), begin.clone()),
            ("only a line break", "\n".into(), begin.clone()),
            ("no armour", body.into(), begin.clone()),
            ("text before", format!("subject=CN\n{good}"), begin.clone()),
            ("blank line before", format!("\n{good}"), begin.clone()),
            ("blank before", format!(" {good}"), begin.clone()),
            ("text after", format!("{good}x"), PemError::Begin { block: 2 }),
            ("blank line after", format!("{good}\n"), PemError::Begin { block: 2 }),
            ("NUL after", format!("{good}\0"), PemError::Begin { block: 2 }),
            ("CRLF", good.replace('\n', "\r\n"), begin.clone()),
            ("spaces for line breaks", good.replace('\n', " "), begin.clone()),
            ("other label", good.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), begin.clone()),
            ("key", good.replace("CERTIFICATE", "PRIVATE KEY"), begin.clone()),
            ("lower case", good.replace("BEGIN", "begin"), begin),
            ("labels differ", good.replace("END CERTIFICATE", "END X509 CERTIFICATE"), end.clone()),
            ("no end", good.replace("-----END CERTIFICATE-----\n", ""), end.clone()),
            ("end cut short", good.trim_end().trim_end_matches('-').into(), end.clone()),
            ("more dashes", format!("{}-", good.trim_end()), end),
            (
                "line too long",
                good.replacen(&format!("{body}\n"), body, 1),
                PemError::Line { block: 1, line: 2, found: 128 },
            ),
            (
                "line too short",
                good.replacen(body, &format!("{}\n{}", &body[..60], &body[60..]), 1),
                PemError::Line { block: 1, line: 3, found: 4 },
            ),
            (
                "blank line inside",
                good.replacen(body, &format!("{body}\n"), 1),
                PemError::Line { block: 1, line: 3, found: 0 },
            ),
            (
                "no body",
                format!("{}\n{}", "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"),
                PemError::Body { block: 1, cause: Base64Error::Empty },
            ),
            ("one block too many", good.repeat(4), PemError::TooMany { limit: 3 }),
        ] {
            assert_eq!(read(&text), Err(want), "{name}");
        }
        let broken = good.replacen("CQ", "C*", 1);
        assert!(matches!(read(&broken), Err(PemError::Body { block: 1, .. })), "not base64");
        let second = format!("{good}{broken}");
        assert!(matches!(read(&second), Err(PemError::Body { block: 2, .. })), "the failing block is named");
    }

    #[test]
    fn blocks_are_cut_out_of_any_text() {
        let begin = "-----BEGIN CERTIFICATE-----";
        let end = "-----END CERTIFICATE-----";
        let text = format!("a {begin}\r\n QUJD\r\n{end} b {begin}x{begin}REVG");
        let found: Vec<_> = raw_blocks(text.as_bytes()).collect();
        let block = |body, is_terminated| RawBlock { body, is_terminated };
        assert_eq!(found, [block(b"\r\n QUJD\r\n", true), block(b"x", false), block(b"REVG", false)]);
        assert_eq!(found[0].der(3), Ok(Bytes::from_static(b"ABC")));
        assert!(found[0].der(2).is_err() && found[1].der(3).is_err());
        assert_eq!(raw_blocks(end.as_bytes()).count(), 0);
    }

    #[test]
    fn the_cap_on_a_certificate_holds() {
        assert_eq!(read(&write(&vec![1; MAX_FORWARDED_CERTIFICATE])).map(|v| v.len()), Ok(1));
        for over in [1, 100_000] {
            let got = read(&write(&vec![1; MAX_FORWARDED_CERTIFICATE + over]));
            assert!(matches!(got, Err(PemError::Body { cause: Base64Error::TooLong { .. }, .. })), "{over}");
        }
    }

    proptest! {
        /// One certificate has one PEM: whatever reads, writes back to the same text.
        #[test]
        fn reading_is_the_inverse_of_writing(ders in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 1..4)) {
            let text: String = ders.iter().map(|der| write(der)).collect();
            let want: Vec<Bytes> = ders.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(read(&text), Ok(want));
        }

        #[test]
        fn a_changed_octet_never_reads_as_the_same_certificate(der in proptest::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(), octet in any::<u8>()) {
            let text = write(&der);
            let mut changed = text.clone().into_bytes();
            let at = at.index(changed.len());
            prop_assume!(changed[at] != octet);
            changed[at] = octet;
            prop_assert_ne!(certificates(&changed, 1), Ok(vec![Bytes::from(der)]));
        }
    }
}
