//! PEM as people keep it: the contents of a ConfigMap, a Secret, a file or an inline field.
//!
//! Owns: finding every `CERTIFICATE` block of such a text, or every `X509 CRL` block, and naming the block and line that fail. Text between blocks
//! is allowed (RFC 7468, section 2: explanatory text), as are CRLF, blanks at the end of a line and any line length
//! (section 3, the lax form), because tools write all of these. It does not parse certificates, and it is not used for
//! what a proxy forwards: [`super::pem`] is.
//!
//! A block that cannot be used is an error of the whole text, never skipped: a trust source that silently lost a
//! certificate would trust, or distrust, something else than its author wrote. So any line that contains `-----BEGIN`
//! or `-----END` must be a well-formed boundary. A private key is refused, with a message that says so and does not
//! quote it: it has no business where certgate reads certificates.

use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::base64::{Base64Error, InPlace};
use super::excerpt::excerpt;
use crate::domain::revocation::crl::MAX_CRL;

/// The longest text that is read: four times what a ConfigMap or Secret can hold (1 MiB), for files.
pub const MAX_TEXT: usize = 4 * 1024 * 1024;

/// The longest certificate, in octets of DER. CA certificates of large public key infrastructures carry long lists of
/// name constraints; what a client may send is capped lower ([`super::MAX_CERTIFICATE`]).
pub const MAX_DER: usize = 256 * 1024;

/// The most certificates of one text. Public root programmes have about 150; ten times that is no trust decision any
/// more, and path building would have to search it.
pub const MAX_BLOCKS: usize = 1_500;

/// The longest text with CRLs that is read: what the base64 of one of [`MAX_CRL`] takes, and its line breaks.
pub const MAX_CRL_TEXT: usize = 384 * 1024 * 1024;

/// The most CRLs of one text. The largest public CAs split theirs into some hundred.
pub const MAX_CRLS: usize = 4_096;

/// A kind of block, and its caps.
struct Wanted {
    label: &'static [u8],
    text: usize,
    der: usize,
    blocks: usize,
    none: BundleError,
}

const CERTIFICATE: Wanted = Wanted {
    label: b"CERTIFICATE",
    text: MAX_TEXT,
    der: MAX_DER,
    blocks: MAX_BLOCKS,
    none: BundleError::NoCertificate,
};

/// RFC 7468, section 6.
const CRL: Wanted =
    Wanted { label: b"X509 CRL", text: MAX_CRL_TEXT, der: MAX_CRL, blocks: MAX_CRLS, none: BundleError::NoCrl };

/// Where a block stands, as messages name it. Both count from 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The block, counting blocks of every label.
    pub block: usize,
    /// The line of its `BEGIN` boundary.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PEM block {} (line {})", self.block, self.line)
    }
}

/// Why a text is not a list of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// The text is longer than [`MAX_TEXT`].
    #[error("{length} bytes of PEM, more than {limit}")]
    TooLong {
        /// The length of the text.
        length: usize,
        /// The cap.
        limit: usize,
    },
    /// There are more blocks than [`MAX_BLOCKS`].
    #[error("more than {limit} PEM blocks")]
    TooMany {
        /// The cap.
        limit: usize,
    },
    /// There is no block at all.
    #[error("no `-----BEGIN CERTIFICATE-----` block")]
    NoCertificate,
    /// The same for CRLs.
    #[error("no `-----BEGIN X509 CRL-----` block")]
    NoCrl,
    /// A private key.
    #[error("{place} is a private key; remove it: it does not belong here")]
    PrivateKey {
        /// The block.
        place: Place,
    },
    /// A block of another kind.
    #[error("{place} is `{label}`, which does not belong here")]
    Label {
        /// The block.
        place: Place,
        /// What it is, made printable.
        label: String,
    },
    /// A line with `-----BEGIN` or `-----END` that is not a boundary, or an `END` without its `BEGIN`.
    #[error("line {line}: a PEM boundary must stand alone on its line, and an END must follow its BEGIN")]
    Boundary {
        /// The line.
        line: usize,
    },
    /// The text ends, or another block begins, before a block's end.
    #[error("{place} has no END of its kind")]
    Unterminated {
        /// The block.
        place: Place,
    },
    /// What stands between the boundaries is not base64, or too long.
    #[error("{place}: {cause}")]
    Body {
        /// The block.
        place: Place,
        /// What is wrong with it.
        cause: Base64Error,
    },
}

/// A line of the text, by its part in PEM.
enum Line<'a> {
    Begin(&'a [u8]),
    End(&'a [u8]),
    /// Holds a boundary marker and is none.
    Malformed,
    Other,
}

/// The DER of every certificate in `text`, at least one, in order.
pub fn certificates(text: &[u8]) -> Result<Vec<Bytes>, BundleError> {
    check_length(text.len(), &CERTIFICATE)?;
    let mut text = text.to_vec();
    let found = blocks(&mut text, &CERTIFICATE)?;
    // Each on its own: one that is kept should not keep the others.
    Ok(found.into_iter().map(|range| Bytes::copy_from_slice(text.get(range).unwrap_or_default())).collect())
}

/// The DER of every CRL in `text`, at least one, in order. Nothing is copied when `text` is held nowhere else: the DER
/// then lies where the text lay, which for a CRL of a million entries is 65 MB.
pub fn crls(text: Bytes) -> Result<Vec<Bytes>, BundleError> {
    check_length(text.len(), &CRL)?;
    let mut text = text.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    let found = blocks(&mut text, &CRL)?;
    let text = text.freeze();
    Ok(found.into_iter().map(|range| text.slice(range)).collect())
}

fn check_length(length: usize, wanted: &Wanted) -> Result<(), BundleError> {
    if length > wanted.text { Err(BundleError::TooLong { length, limit: wanted.text }) } else { Ok(()) }
}

/// Decodes each block where it lies, and gives where its octets lie.
fn blocks(text: &mut [u8], wanted: &Wanted) -> Result<Vec<Range<usize>>, BundleError> {
    let mut found = Vec::new();
    // The block that is open.
    let mut open: Option<(Place, Box<InPlace>)> = None;
    let (mut line, mut next) = (0_usize, 0_usize);
    while let Some(rest) = text.get(next..).filter(|rest| !rest.is_empty()) {
        line = line.saturating_add(1);
        let start = next;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let raw = rest.get(..length).unwrap_or_default().trim_ascii_end();
        let end = start.saturating_add(raw.len());
        next = start.saturating_add(length).saturating_add(1);
        match (classify(raw), open.take()) {
            (Line::Begin(label), None) => {
                let place = Place { block: found.len().saturating_add(1), line };
                if place.block > wanted.blocks {
                    return Err(BundleError::TooMany { limit: wanted.blocks });
                }
                check_label(label, wanted, place)?;
                open = Some((place, Box::new(InPlace::new(start, wanted.der))));
            }
            (Line::End(label), Some((place, body))) if label == wanted.label => {
                found.push(body.finish(text).map_err(|cause| BundleError::Body { place, cause })?);
            }
            (Line::Other, Some((place, mut body))) => {
                body.push(text, start..end);
                open = Some((place, body));
            }
            (Line::Other, None) => {}
            (Line::Begin(_) | Line::End(_), Some((place, _))) => return Err(BundleError::Unterminated { place }),
            (Line::End(_) | Line::Malformed, _) => return Err(BundleError::Boundary { line }),
        }
    }
    match open {
        Some((place, _)) => Err(BundleError::Unterminated { place }),
        None if found.is_empty() => Err(wanted.none.clone()),
        None => Ok(found),
    }
}

/// RFC 7468, section 3 allows more in a label, but no kind of PEM block uses it; and a label that is quoted in a message
/// must not be able to hold a key that lost its line breaks.
fn is_label(label: &[u8]) -> bool {
    label.len() <= 32 && label.iter().all(|octet| matches!(octet, b'A'..=b'Z' | b'0'..=b'9' | b' '))
}

fn classify(line: &[u8]) -> Line<'_> {
    // Nearly all lines: base64 has no such character.
    if memchr::memchr(b'-', line).is_none() {
        return Line::Other;
    }
    let label = |marker| {
        let label = line.strip_prefix(marker).and_then(|rest: &[u8]| rest.strip_suffix(b"-----"));
        label.filter(|label| is_label(label))
    };
    if let Some(label) = label(b"-----BEGIN ".as_slice()) {
        return Line::Begin(label);
    }
    if let Some(label) = label(b"-----END ".as_slice()) {
        return Line::End(label);
    }
    let holds = |marker| memchr::memmem::find(line, marker).is_some();
    if holds(b"-----BEGIN") || holds(b"-----END") { Line::Malformed } else { Line::Other }
}

fn check_label(label: &[u8], wanted: &Wanted, place: Place) -> Result<(), BundleError> {
    if label == wanted.label {
        Ok(())
    } else if label.ends_with(b"PRIVATE KEY") {
        Err(BundleError::PrivateKey { place })
    } else {
        Err(BundleError::Label { place, label: excerpt(label) })
    }
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;

    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    const TWO: &str = "-----BEGIN CERTIFICATE-----\nBAUG\n-----END CERTIFICATE-----\n";

    fn place(block: usize, line: usize) -> Place {
        Place { block, line }
    }

    #[test]
    fn reads_what_tools_write() {
        let (one, two) = (Bytes::from_static(&[1, 2, 3]), Bytes::from_static(&[4, 5, 6]));
        for (name, text, want) in [
            ("one block", ONE.to_owned(), vec![one.clone()]),
            ("two blocks", format!("{ONE}{TWO}"), vec![one.clone(), two.clone()]),
            ("no line break at the end", ONE.trim_end().to_owned(), vec![one.clone()]),
            ("text around", format!("subject=CN = a\n{ONE}\n# second\n{TWO}bye"), vec![one.clone(), two]),
            ("CRLF", ONE.replace('\n', "\r\n"), vec![one.clone()]),
            ("blanks at line ends", ONE.replace('\n', " \t\n"), vec![one.clone()]),
            ("other line lengths", ONE.replace("AQID", "A\nQI\n\nD"), vec![one.clone()]),
            ("octets that are not text outside", format!("caf\u{e9}\0\n{ONE}"), vec![one]),
        ] {
            assert_eq!(certificates(text.as_bytes()), Ok(want), "{name}");
        }
    }

    #[test]
    fn names_what_it_cannot_use() {
        let key = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n";
        for (name, text, want) in [
            ("empty", String::new(), BundleError::NoCertificate),
            ("only text", "hello\n".into(), BundleError::NoCertificate),
            ("only base64", "AQID\n".into(), BundleError::NoCertificate),
            ("a key after a certificate", format!("{ONE}{key}"), BundleError::PrivateKey { place: place(2, 4) }),
            ("PKCS #8", key.replace("EC ", ""), BundleError::PrivateKey { place: place(1, 1) }),
            ("encrypted key", key.replace("EC", "ENCRYPTED"), BundleError::PrivateKey { place: place(1, 1) }),
            (
                "other label",
                ONE.replace("CERTIFICATE", "X509 CRL"),
                BundleError::Label { place: place(1, 1), label: "X509 CRL".into() },
            ),
            (
                "OpenSSL's trusted form",
                ONE.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
                BundleError::Label { place: place(1, 1), label: "TRUSTED CERTIFICATE".into() },
            ),
            ("byte order mark", format!("\u{feff}{ONE}"), BundleError::Boundary { line: 1 }),
            ("indented", format!("{TWO} {ONE}"), BundleError::Boundary { line: 4 }),
            ("all on one line", ONE.replace('\n', " "), BundleError::Boundary { line: 1 }),
            ("four dashes", ONE.replacen("CERTIFICATE-----", "CERTIFICATE----", 1), BundleError::Boundary { line: 1 }),
            ("end without begin", "-----END CERTIFICATE-----\n".into(), BundleError::Boundary { line: 1 }),
            (
                "no end",
                format!("{TWO}{}", ONE.replace("-----END CERTIFICATE-----\n", "")),
                BundleError::Unterminated { place: place(2, 4) },
            ),
            (
                "begin inside",
                format!("-----BEGIN CERTIFICATE-----\nAQID\n{ONE}"),
                BundleError::Unterminated { place: place(1, 1) },
            ),
            (
                "end of another kind",
                ONE.replace("END CERTIFICATE", "END X509 CRL"),
                BundleError::Unterminated { place: place(1, 1) },
            ),
            (
                "empty block",
                ONE.replace("AQID\n", ""),
                BundleError::Body { place: place(1, 1), cause: Base64Error::Empty },
            ),
        ] {
            let got = certificates(text.as_bytes()).unwrap_err();
            assert_eq!(got, want, "{name}");
            assert!(!got.to_string().contains("c2Vj"), "{name} quotes a key: {got}");
        }
        let got = certificates(format!("{ONE}{}", TWO.replace("BAUG", "BA*G")).as_bytes()).unwrap_err();
        assert!(got.to_string().starts_with("PEM block 2 (line 4): not canonical base64"), "{got}");
    }

    #[test]
    fn lists_of_revoked_certificates_have_their_own_label() {
        let list = ONE.replace("CERTIFICATE", "X509 CRL");
        assert_eq!(crls(Bytes::from(list.clone())), Ok(vec![Bytes::from_static(&[1, 2, 3])]));
        assert_eq!(crls(Bytes::from_static(b"hello")), Err(BundleError::NoCrl));
        let mixed = format!("{list}{ONE}");
        let label = BundleError::Label { place: place(2, 4), label: "CERTIFICATE".into() };
        assert_eq!(crls(mixed.into()), Err(label));
    }

    #[test]
    fn a_key_in_disguise_is_not_quoted() {
        let begin = "-----BEGIN";
        for text in [
            format!("{begin} RSA PRIVATE KEY-----x\nc2VjcmV0\n"),
            format!("{begin} PRIVATE KEY -----\nc2VjcmV0\n-----END PRIVATE KEY -----\n"),
            format!("{begin} PRIVATE KEY----- c2VjcmV0 -----END PRIVATE KEYS-----\n"),
            format!("{begin} CERTIFICATE-----\nMC4CAQ*\n{begin} PRIVATE KEY-----\nc2VjcmV0\n"),
        ] {
            let got = certificates(text.as_bytes()).unwrap_err().to_string();
            assert!(!got.contains("c2Vj") && !got.contains("MC4C"), "{got}");
        }
    }

    #[test]
    fn caps_hold() {
        assert_eq!(certificates(ONE.repeat(MAX_BLOCKS).as_bytes()).map(|v| v.len()), Ok(MAX_BLOCKS));
        let over = certificates(ONE.repeat(MAX_BLOCKS + 1).as_bytes());
        assert_eq!(over, Err(BundleError::TooMany { limit: MAX_BLOCKS }));
        let block = |octets: usize| ONE.replace("AQID", &STANDARD.encode(vec![1; octets]));
        assert_eq!(certificates(block(MAX_DER).as_bytes()).map(|v| v.len()), Ok(1));
        let over = certificates(block(MAX_DER + 1).as_bytes());
        assert!(matches!(over, Err(BundleError::Body { cause: Base64Error::TooLong { .. }, .. })));
        let long = vec![b'x'; MAX_TEXT + 1];
        assert_eq!(certificates(&long), Err(BundleError::TooLong { length: MAX_TEXT + 1, limit: MAX_TEXT }));
    }
}
