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

use bytes::Bytes;
use thiserror::Error;

use super::base64::{Base64Error, Decoder};
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

/// A line is held as a whole up to this length; of a longer one, what comes last.
const MAX_LINE: usize = 4096;

/// What is held of a longer line: where a boundary marker, of 10 octets at most, may begin.
const MARKER: usize = 10;

/// A kind of block, and its caps.
#[derive(Debug)]
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

/// What [`Blocks`] finds.
#[derive(Copy, Clone, Debug)]
pub enum Part<'a> {
    /// The next octets of the block that is open.
    Octets(&'a [u8]),
    /// The end of the block.
    End,
}

/// Finds the blocks of a text that comes in pieces. Of the text a line is held, and of a long one a part.
#[derive(Debug)]
pub struct Blocks {
    wanted: &'static Wanted,
    /// Octets of the text.
    length: usize,
    /// Blocks that were begun.
    begun: usize,
    /// The block that is open.
    open: Option<(Place, Box<Decoder>)>,
    /// The number of the line, counting from 1.
    line: usize,
    /// What has come of a line whose end has not.
    rest: Vec<u8>,
    /// Whether the line is longer than is held.
    long: Long,
}

/// How much of a line has been read before its end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Long {
    /// Nothing.
    No,
    /// The most.
    Yes,
    /// The most, and the last of it are blanks, which may only stand at the end; the first of them.
    Blank(u8),
}

/// The DER of every certificate in `text`, at least one, in order.
pub fn certificates(text: &[u8]) -> Result<Vec<Bytes>, BundleError> {
    // Before anything is decoded.
    check_length(text.len(), &CERTIFICATE)?;
    let mut found = Vec::new();
    let mut open = Vec::new();
    let mut take = |part: Part<'_>| {
        match part {
            Part::Octets(octets) => open.extend_from_slice(octets),
            Part::End => found.push(Bytes::from(std::mem::take(&mut open))),
        }
        Ok::<(), BundleError>(())
    };
    let mut blocks = Blocks::new(&CERTIFICATE);
    blocks.push(text, &mut take)?;
    blocks.finish(&mut take)?;
    Ok(found)
}

fn check_length(length: usize, wanted: &Wanted) -> Result<(), BundleError> {
    if length > wanted.text { Err(BundleError::TooLong { length, limit: wanted.text }) } else { Ok(()) }
}

impl Blocks {
    /// The CRLs of a text.
    pub fn of_crls() -> Self {
        Self::new(&CRL)
    }

    fn new(wanted: &'static Wanted) -> Self {
        Self { wanted, length: 0, begun: 0, open: None, line: 1, rest: Vec::new(), long: Long::No }
    }

    /// Looks through the next piece of the text. After an error, the text is not to be used.
    pub fn push<E: From<BundleError>>(
        &mut self,
        mut text: &[u8],
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.length = self.length.saturating_add(text.len());
        check_length(self.length, self.wanted)?;
        while let Some(end) = memchr::memchr(b'\n', text) {
            let (line, next) = text.split_at_checked(end).unwrap_or((text, &[]));
            text = next.get(1..).unwrap_or_default();
            if self.rest.is_empty() && self.long == Long::No {
                self.whole_line(line, take)?;
            } else {
                self.rest.extend_from_slice(line);
                self.last_of_line(take)?;
            }
            self.line = self.line.saturating_add(1);
        }
        for part in text.chunks(MAX_LINE) {
            self.rest.extend_from_slice(part);
            self.spill(take)?;
        }
        Ok(())
    }

    /// The text is at its end, at which no block may be open; and there must have been one.
    pub fn finish<E: From<BundleError>>(mut self, take: &mut impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        self.last_of_line(take)?;
        match self.open {
            Some((place, _)) => Err(BundleError::Unterminated { place }.into()),
            None if self.begun == 0 => Err(self.wanted.none.clone().into()),
            None => Ok(()),
        }
    }

    /// A line whose end has come, of which `rest` is what has not been read.
    fn last_of_line<E: From<BundleError>>(
        &mut self,
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rest = std::mem::take(&mut self.rest);
        if self.long == Long::No {
            return self.whole_line(&rest, take);
        }
        self.part_of_line(&rest, &rest, take)?;
        self.long = Long::No;
        Ok(())
    }

    fn whole_line<E: From<BundleError>>(
        &mut self,
        line: &[u8],
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // As where such a line comes in pieces.
        if line.len() > MAX_LINE && holds_marker(line) {
            return Err(BundleError::Boundary { line: self.line }.into());
        }
        let line = line.trim_ascii_end();
        match (classify(line), self.open.take()) {
            (Line::Begin(label), None) => {
                self.begun = self.begun.saturating_add(1);
                let place = Place { block: self.begun, line: self.line };
                if place.block > self.wanted.blocks {
                    return Err(BundleError::TooMany { limit: self.wanted.blocks }.into());
                }
                check_label(label, self.wanted, place)?;
                self.open = Some((place, Box::new(Decoder::new(self.wanted.der))));
                Ok(())
            }
            (Line::End(label), Some((place, body))) if label == self.wanted.label => {
                let last = body.finish().map_err(|cause| BundleError::Body { place, cause })?;
                take(Part::Octets(last.as_slice()))?;
                take(Part::End)
            }
            (Line::Other, Some((place, mut body))) => {
                body.push(line, &mut |octets| take(Part::Octets(octets)))?;
                self.open = Some((place, body));
                Ok(())
            }
            (Line::Other, None) => Ok(()),
            (Line::Begin(_) | Line::End(_), Some((place, _))) => Err(BundleError::Unterminated { place }.into()),
            (Line::End(_) | Line::Malformed, _) => Err(BundleError::Boundary { line: self.line }.into()),
        }
    }

    /// Reads most of a line that is longer than is held. It is no boundary, and must not look like one.
    fn spill<E: From<BundleError>>(&mut self, take: &mut impl FnMut(Part<'_>) -> Result<(), E>) -> Result<(), E> {
        let Some(most) = self.rest.len().checked_sub(MARKER).filter(|_| self.rest.len() > MAX_LINE) else {
            return Ok(());
        };
        let rest = std::mem::take(&mut self.rest);
        self.part_of_line(&rest, rest.get(..most).unwrap_or_default(), take)?;
        self.rest.extend_from_slice(rest.get(most..).unwrap_or_default());
        Ok(())
    }

    /// Reads a part of a long line, of which `seen` is what has come.
    fn part_of_line<E: From<BundleError>>(
        &mut self,
        seen: &[u8],
        part: &[u8],
        take: &mut impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if holds_marker(seen) {
            return Err(BundleError::Boundary { line: self.line }.into());
        }
        let written = part.trim_ascii_end();
        let blank = part.get(written.len()).copied();
        if let (Some((_, body)), false) = (&mut self.open, written.is_empty()) {
            let mut take = |octets: &[u8]| take(Part::Octets(octets));
            if let Long::Blank(blank) = self.long {
                // Amid a line it is not base64, which the body says.
                body.push(&[blank], &mut take)?;
            }
            body.push(written, &mut take)?;
        }
        self.long = match (blank, self.long) {
            (_, Long::Blank(first)) if written.is_empty() => Long::Blank(first),
            (Some(first), _) => Long::Blank(first),
            (None, _) => Long::Yes,
        };
        Ok(())
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
    if holds_marker(line) { Line::Malformed } else { Line::Other }
}

/// Whether text holds what begins a boundary.
fn holds_marker(text: &[u8]) -> bool {
    let holds = |marker| memchr::memmem::find(text, marker).is_some();
    holds(b"-----BEGIN".as_slice()) || holds(b"-----END")
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
    use proptest::prelude::*;

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
        assert_eq!(in_pieces(&CRL, list.as_bytes(), 1), Ok(vec![vec![1, 2, 3]]));
        assert_eq!(in_pieces(&CRL, b"hello", 2), Err(BundleError::NoCrl));
        let mixed = format!("{list}{ONE}");
        let label = BundleError::Label { place: place(2, 4), label: "CERTIFICATE".into() };
        assert_eq!(in_pieces(&CRL, mixed.as_bytes(), 3), Err(label));
    }

    /// What is found in a text that comes in pieces of `size` octets.
    fn in_pieces(wanted: &'static Wanted, text: &[u8], size: usize) -> Result<Vec<Vec<u8>>, BundleError> {
        let (mut found, mut open) = (Vec::new(), Vec::new());
        let mut take = |part: Part<'_>| {
            match part {
                Part::Octets(octets) => open.extend_from_slice(octets),
                Part::End => found.push(std::mem::take(&mut open)),
            }
            Ok::<(), BundleError>(())
        };
        let mut blocks = Blocks::new(wanted);
        text.chunks(size).try_for_each(|piece| blocks.push(piece, &mut take))?;
        assert!(blocks.rest.len() <= MAX_LINE, "{} octets are held", blocks.rest.len());
        blocks.finish(&mut take)?;
        Ok(found)
    }

    /// Lines as tools and mistakes write them, short ones and some that are longer than is held.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let body = (prop_oneof![0..30_usize, 1020..1030_usize, 3000..3200_usize], any::<u8>());
        let body = body.prop_map(|(triples, octet)| STANDARD.encode(vec![octet; triples * 3]));
        let fixed = |text: &'static str| Just(text.to_owned());
        let part = prop_oneof![
            8 => body,
            4 => fixed("-----BEGIN CERTIFICATE-----"),
            4 => fixed("-----END CERTIFICATE-----"),
            1 => fixed("-----BEGIN X509 CRL-----"),
            1 => fixed("----"),
            1 => (1..6000_usize, prop_oneof![Just(" "), Just("\t")]).prop_map(|(n, blank)| blank.repeat(n)),
            1 => fixed("Zm8="),
            1 => fixed("text, not base64"),
        ];
        let end = prop_oneof![8 => Just("\n"), 1 => Just("\r\n"), 2 => Just("")];
        proptest::collection::vec((part, end), 0..12).prop_map(|parts| {
            parts.into_iter().flat_map(|(part, end)| [part.into_bytes(), end.into()].concat()).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn in_pieces_is_the_same(text in lines(), size in prop_oneof![1..20_usize, 4000..5000_usize]) {
            let whole = certificates(&text).map(|found| found.into_iter().map(Vec::from).collect());
            prop_assert_eq!(in_pieces(&CERTIFICATE, &text, size), whole);
        }
    }

    #[test]
    fn a_line_of_any_length_may_hold_the_body() {
        let octets: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let (begin, end) = ("-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n");
        let body = STANDARD.encode(&octets);
        for size in [1, 100, 4096, 4097, 1 << 20] {
            let good = format!("{begin}{body}{}{end}", " ".repeat(9000));
            assert_eq!(in_pieces(&CERTIFICATE, good.as_bytes(), size), Ok(vec![octets.clone()]), "{size}");
            let blank = format!("{begin}{} {}{end}", &body[..60_000], &body[60_000..]);
            let got = in_pieces(&CERTIFICATE, blank.as_bytes(), size);
            assert!(matches!(got, Err(BundleError::Body { .. })), "{size}: {got:?}");
            for marker in ["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"] {
                let text = format!("{begin}{body}{marker}{end}");
                assert_eq!(in_pieces(&CERTIFICATE, text.as_bytes(), size), Err(BundleError::Boundary { line: 2 }));
                let text = format!("{}{marker}\n{ONE}", "x".repeat(10_000));
                assert_eq!(in_pieces(&CERTIFICATE, text.as_bytes(), size), Err(BundleError::Boundary { line: 1 }));
            }
        }
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
