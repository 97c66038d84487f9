//! A strict DER reader: X.690 chapter 10 and 11 as far as certificates, CRLs and OCSP responses need it.
//!
//! Owns tags, lengths, and the primitive types whose encodings have only one legal form, but not the meaning of values.
//! BER is rejected wherever it differs from DER (indefinite and non-minimal lengths, constructed strings, lax
//! booleans), because two parsers that read one certificate differently enable forgeries.
//!
//! No function recurses on input, allocates, or panics.

use thiserror::Error;

use super::time::UnixTime;

/// Universal and context-specific tags by the names of X.680.
#[expect(missing_docs, reason = "the names are those of X.680")]
pub mod tag {
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OID: u8 = 0x06;
    pub const ENUMERATED: u8 = 0x0a;
    pub const UTF8_STRING: u8 = 0x0c;
    pub const NUMERIC_STRING: u8 = 0x12;
    pub const PRINTABLE_STRING: u8 = 0x13;
    pub const TELETEX_STRING: u8 = 0x14;
    pub const IA5_STRING: u8 = 0x16;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const VISIBLE_STRING: u8 = 0x1a;
    pub const UNIVERSAL_STRING: u8 = 0x1c;
    pub const BMP_STRING: u8 = 0x1e;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;

    /// A primitive context-specific tag, `[n] IMPLICIT` of a primitive type.
    pub const fn context(n: u8) -> u8 {
        0x80 | n
    }

    /// A constructed context-specific tag, `[n]` explicit or implicit of a constructed type.
    pub const fn context_constructed(n: u8) -> u8 {
        0xa0 | n
    }
}

/// Why bytes are not the expected DER.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DerError {
    #[error("the value ends before its length says")]
    Truncated,
    #[error("indefinite length")]
    IndefiniteLength,
    #[error("length is not minimal")]
    NonMinimalLength,
    #[error("length does not fit four octets")]
    LengthTooLong,
    #[error("high tag number form")]
    HighTagNumber,
    #[error("reserved tag 0x{0:02x}")]
    ReservedTag(u8),
    #[error("tag 0x{found:02x} where 0x{wanted:02x} was wanted")]
    UnexpectedTag { wanted: u8, found: u8 },
    #[error("{0} octets after the end of the value")]
    TrailingData(usize),
    #[error("type 0x{0:02x} is constructed where DER wants it primitive, or the reverse")]
    WrongForm(u8),
    #[error("BOOLEAN is not 0x00 or 0xFF")]
    BadBoolean,
    #[error("INTEGER is empty or not minimal")]
    BadInteger,
    #[error("INTEGER is negative or too large")]
    IntegerRange,
    #[error("NULL has content")]
    BadNull,
    #[error("OBJECT IDENTIFIER is malformed")]
    BadOid,
    #[error("BIT STRING has bad or non-zero padding")]
    BadBitString,
    #[error("time is malformed or impossible")]
    BadTime,
    #[error("nested more than {0} deep")]
    TooDeep(usize),
    #[error("a list that may not be empty is empty")]
    Empty,
}

/// Nesting that [`check`] follows. A certificate needs 6, a certificatePolicies extension 8.
const MAX_DEPTH: usize = 24;

/// One element: its tag, its content, and both with their header.
#[derive(Copy, Clone, Debug)]
pub struct Tlv<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The content octets.
    pub content: &'a [u8],
    /// Identifier, length and content.
    pub whole: &'a [u8],
}

/// A part of a longer slice, which the holder owns, stored as offsets.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The position of `part` in `whole`; empty if it is not inside.
    pub(crate) fn of(whole: &[u8], part: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize);
        let end = start.and_then(|start| start.checked_add(part.len())).filter(|end| *end <= whole.len());
        match (start.map(u32::try_from), end.map(u32::try_from)) {
            (Some(Ok(start)), Some(Ok(end))) => Self { start, end },
            _ => Self::default(),
        }
    }

    /// The part again.
    #[inline]
    pub(crate) fn get(self, whole: &[u8]) -> &[u8] {
        whole.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Reads elements from the front of a slice.
#[derive(Copy, Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The identifier octet of the next element.
    pub fn peek_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever its tag.
    #[inline]
    pub fn any(&mut self) -> Result<Tlv<'a>, DerError> {
        let (tag, header, length) = header(self.rest)?;
        let end = header.checked_add(length).ok_or(DerError::Truncated)?;
        let (whole, rest) = self.rest.split_at_checked(end).ok_or(DerError::Truncated)?;
        self.rest = rest;
        Ok(Tlv { tag, content: whole.get(header..).unwrap_or_default(), whole })
    }

    /// The next element, which must carry `wanted`.
    #[inline]
    pub fn expect(&mut self, wanted: u8) -> Result<Tlv<'a>, DerError> {
        match self.peek_tag() {
            Some(found) if found == wanted => self.any(),
            Some(found) => Err(DerError::UnexpectedTag { wanted, found }),
            None => Err(DerError::Truncated),
        }
    }

    /// The next element if it has the tag `wanted`; otherwise reads nothing.
    #[inline]
    pub fn optional(&mut self, wanted: u8) -> Result<Option<Tlv<'a>>, DerError> {
        if self.peek_tag() == Some(wanted) { self.any().map(Some) } else { Ok(None) }
    }

    /// A reader over the content of the next element, which must carry `wanted`.
    #[inline]
    pub fn nested(&mut self, wanted: u8) -> Result<Reader<'a>, DerError> {
        self.expect(wanted).map(|tlv| Reader::new(tlv.content))
    }

    /// Fails unless everything has been read.
    #[inline]
    pub fn finish(self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError::TrailingData(self.rest.len())) }
    }

    /// The content octets of an OBJECT IDENTIFIER.
    pub fn oid(&mut self) -> Result<&'a [u8], DerError> {
        let tlv = self.expect(tag::OID)?;
        check_oid(tlv.content)?;
        Ok(tlv.content)
    }

    /// [`Reader::oid`] for DER that [`check`] has walked.
    #[inline]
    pub(crate) fn checked_oid(&mut self) -> Result<&'a [u8], DerError> {
        self.expect(tag::OID).map(|tlv| tlv.content)
    }

    /// The content octets of an INTEGER, minimal, of any sign and size.
    pub fn integer(&mut self) -> Result<&'a [u8], DerError> {
        let tlv = self.expect(tag::INTEGER)?;
        check_integer(tlv.content)?;
        Ok(tlv.content)
    }

    /// The magnitude of a BIT STRING of whole octets.
    pub fn bit_string_octets(&mut self) -> Result<&'a [u8], DerError> {
        let tlv = self.expect(tag::BIT_STRING)?;
        match tlv.content.split_first() {
            Some((0, octets)) => Ok(octets),
            _ => Err(DerError::BadBitString),
        }
    }
}

/// The single element that `bytes` holds, which must carry `wanted`, with nothing after it.
pub fn exactly(bytes: &[u8], wanted: u8) -> Result<Tlv<'_>, DerError> {
    let mut reader = Reader::new(bytes);
    let tlv = reader.expect(wanted)?;
    reader.finish()?;
    Ok(tlv)
}

/// Identifier octet, header length and content length of the element at the front of `bytes`.
#[inline]
pub(crate) fn header(bytes: &[u8]) -> Result<(u8, usize, usize), DerError> {
    let (tag, first) = match bytes {
        [tag, first, ..] => (*tag, *first),
        _ => return Err(DerError::Truncated),
    };
    if tag & 0x1f == 0x1f {
        return Err(DerError::HighTagNumber);
    }
    if first < 0x80 {
        return Ok((tag, 2, usize::from(first)));
    }
    // X.690 10.1: the definite form, in the least number of octets.
    let (octets, minimum) = match first {
        0x80 => return Err(DerError::IndefiniteLength),
        0x81 => (1_usize, 0x80_usize),
        0x82 => (2, 0x100),
        0x83 => (3, 0x1_0000),
        0x84 => (4, 0x100_0000),
        _ => return Err(DerError::LengthTooLong),
    };
    let end = octets.saturating_add(2);
    let digits = bytes.get(2..end).ok_or(DerError::Truncated)?;
    let length = digits.iter().fold(0_usize, |n, octet| (n << 8) | usize::from(*octet));
    if length < minimum {
        return Err(DerError::NonMinimalLength);
    }
    Ok((tag, end, length))
}

/// Checks that `bytes` hold exactly one element and that everything in it, to any allowed depth, is well-formed DER:
/// lengths, forms, and the universal types that have only one legal encoding. Decoders check the contents of strings.
pub fn check(bytes: &[u8]) -> Result<(), DerError> {
    // The octets after each open constructed element, outermost first.
    let mut after: [&[u8]; MAX_DEPTH] = [&[]; MAX_DEPTH];
    let mut depth = 0_usize;
    let mut rest = bytes;
    loop {
        // Most elements have one octet of length.
        let (tag, body, length) = match rest {
            [tag, length @ ..0x80, body @ ..] if tag & 0x1f != 0x1f => (*tag, body, usize::from(*length)),
            _ => {
                let (tag, header, length) = header(rest)?;
                (tag, rest.get(header..).unwrap_or_default(), length)
            }
        };
        let (content, follows) = body.split_at_checked(length).ok_or(DerError::Truncated)?;
        check_form(tag, content)?;
        if tag & 0x20 != 0 {
            *after.get_mut(depth).ok_or(DerError::TooDeep(MAX_DEPTH))? = follows;
            depth = depth.saturating_add(1);
            rest = content;
        } else {
            rest = follows;
        }
        // The elements that end with this one.
        while depth > 0 && rest.is_empty() {
            depth = depth.saturating_sub(1);
            rest = after.get(depth).copied().unwrap_or_default();
        }
        if depth == 0 {
            return if rest.is_empty() { Ok(()) } else { Err(DerError::TrailingData(rest.len())) };
        }
    }
}

/// Checks the form and, where DER leaves one encoding only, the content of one element.
#[inline]
fn check_form(tag: u8, content: &[u8]) -> Result<(), DerError> {
    if tag & 0xc0 != 0 {
        return Ok(());
    }
    match tag {
        tag::SEQUENCE | tag::SET => Ok(()),
        // SEQUENCE and SET are always constructed.
        0x10 | 0x11 => Err(DerError::WrongForm(tag)),
        0x00 => Err(DerError::ReservedTag(tag)),
        // EXTERNAL, EMBEDDED PDV and CHARACTER STRING are constructed and do not occur in certificates; unknown
        // extensions may hold anything, but they are not checked.
        _ if tag & 0x20 != 0 => Err(DerError::WrongForm(tag)),
        tag::BOOLEAN => boolean(content).map(drop),
        tag::INTEGER | tag::ENUMERATED => check_integer(content),
        tag::NULL if !content.is_empty() => Err(DerError::BadNull),
        tag::OID => check_oid(content),
        tag::BIT_STRING => check_bit_string(content),
        _ => Ok(()),
    }
}

/// X.690 11.1: TRUE is 0xFF.
pub fn boolean(content: &[u8]) -> Result<bool, DerError> {
    match content {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(DerError::BadBoolean),
    }
}

/// X.690 8.3.2: the first nine bits are never all equal.
fn check_integer(content: &[u8]) -> Result<(), DerError> {
    match content {
        [] => Err(DerError::BadInteger),
        [0x00, second, ..] if *second < 0x80 => Err(DerError::BadInteger),
        [0xff, second, ..] if *second >= 0x80 => Err(DerError::BadInteger),
        _ => Ok(()),
    }
}

/// X.690 8.19: no sub-identifier begins with 0x80 and the last one ends.
#[inline]
fn check_oid(content: &[u8]) -> Result<(), DerError> {
    let mut starts = true;
    for octet in content {
        if starts && *octet == 0x80 {
            return Err(DerError::BadOid);
        }
        starts = octet & 0x80 == 0;
    }
    if content.is_empty() || !starts { Err(DerError::BadOid) } else { Ok(()) }
}

/// X.690 8.6.2 and 11.2.1: at most seven unused bits, all zero.
fn check_bit_string(content: &[u8]) -> Result<(), DerError> {
    let bad = match content {
        [] => true,
        [unused] => *unused != 0,
        [unused, .., last] => *unused > 7 || last & !(0xff_u8 << *unused) != 0,
    };
    if bad { Err(DerError::BadBitString) } else { Ok(()) }
}

/// The first 32 named bits of a BIT STRING's content as a word, bit 0 of the type being the highest bit. Trailing zero
/// bits, which X.690 11.2.2 forbids and some issuers write, have no meaning and are accepted.
pub fn named_bits(content: &[u8]) -> Result<u32, DerError> {
    check_bit_string(content)?;
    let octets = content.get(1..).unwrap_or_default();
    let mut word = [0_u8; 4];
    for (slot, octet) in word.iter_mut().zip(octets) {
        *slot = *octet;
    }
    Ok(u32::from_be_bytes(word))
}

/// A non-negative INTEGER as a number; rejects values above `u32::MAX`.
pub fn small_unsigned(content: &[u8]) -> Result<u32, DerError> {
    check_integer(content)?;
    if content.first().is_some_and(|first| *first >= 0x80) || content.len() > 5 {
        return Err(DerError::IntegerRange);
    }
    let value = content.iter().fold(0_u64, |n, octet| (n << 8) | u64::from(*octet));
    u32::try_from(value).map_err(|_| DerError::IntegerRange)
}

/// RFC 5280 4.1.2.5: UTCTime is `YYMMDDHHMMSSZ` with years 1950 to 2049, GeneralizedTime `YYYYMMDDHHMMSSZ`; seconds are
/// required, fractions and offsets are rejected.
///
/// Dates before 2050 SHALL be UTCTime; a GeneralizedTime is accepted for them all the same, as PKITS 4.2.4 requires.
pub fn time(tlv: Tlv<'_>) -> Result<UnixTime, DerError> {
    let (year, rest) = match (tlv.tag, tlv.content.len()) {
        (tag::UTC_TIME, 13) => {
            let (year, rest) = tlv.content.split_at_checked(2).ok_or(DerError::BadTime)?;
            let year = decimal(year)?;
            (year.saturating_add(if year < 50 { 2000 } else { 1900 }), rest)
        }
        (tag::GENERALIZED_TIME, 15) => {
            let (year, rest) = tlv.content.split_at_checked(4).ok_or(DerError::BadTime)?;
            (decimal(year)?, rest)
        }
        (tag::UTC_TIME | tag::GENERALIZED_TIME, _) => return Err(DerError::BadTime),
        (found, _) => return Err(DerError::UnexpectedTag { wanted: tag::UTC_TIME, found }),
    };
    let mut fields = [0_u8; 5];
    for (field, digits) in fields.iter_mut().zip(rest.chunks_exact(2)) {
        *field = u8::try_from(decimal(digits)?).map_err(|_| DerError::BadTime)?;
    }
    let [month, day, hour, minute, second] = fields;
    if rest.last() != Some(&b'Z') {
        return Err(DerError::BadTime);
    }
    UnixTime::from_civil(i64::from(year), month, day, hour, minute, second).ok_or(DerError::BadTime)
}

fn decimal(digits: &[u8]) -> Result<u16, DerError> {
    digits.iter().try_fold(0_u16, |n, digit| {
        if !digit.is_ascii_digit() {
            return Err(DerError::BadTime);
        }
        Ok(n.saturating_mul(10).saturating_add(u16::from(digit & 0x0f)))
    })
}

/// Appends an element to `out`: identifier, minimal length, content.
pub fn write(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = content.len();
    let octets = length.to_be_bytes();
    if length < 0x80 {
        out.extend(octets.last());
    } else {
        let digits = octets.iter().position(|octet| *octet != 0).and_then(|at| octets.get(at..)).unwrap_or_default();
        out.push(u8::try_from(digits.len()).unwrap_or(0x7f) | 0x80);
        out.extend_from_slice(digits);
    }
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests;
