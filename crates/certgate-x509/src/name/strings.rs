//! The string types of ASN.1 that names use, and the folding of RFC 5280 section 7.1.

use crate::der::{Tlv, tag};

use super::StringError;

/// How a string type is encoded.
pub(super) enum StringForm {
    /// As UTF-8, or a subset of it.
    Utf8,
    /// Otherwise.
    Transcoded,
    /// Not a string type.
    NotAString,
}

/// The encoding of a type, as [`decode`] takes it.
pub(super) fn form(tag: u8) -> StringForm {
    match tag {
        tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING | tag::NUMERIC_STRING | tag::VISIBLE_STRING => {
            StringForm::Utf8
        }
        tag::TELETEX_STRING | tag::BMP_STRING | tag::UNIVERSAL_STRING => StringForm::Transcoded,
        _ => StringForm::NotAString,
    }
}

/// A decoded value.
pub(super) enum Decoded<'a> {
    /// Text that is UTF-8 already.
    Utf8(&'a str),
    /// Text of another encoding.
    Transcoded(String),
    /// Not a string type.
    NotAString,
}

/// Decodes a value by its string type. NUL is rejected in every type: it ends strings in C, which allows deceptions.
pub(super) fn decode(value: Tlv<'_>) -> Result<Decoded<'_>, StringError> {
    let octets = value.content;
    let ascii = |ok: fn(u8) -> bool, problem| match octets.iter().find(|b| !ok(**b)) {
        None => std::str::from_utf8(octets).map(Decoded::Utf8).map_err(|_| problem),
        Some(0) => Err(StringError::Nul),
        Some(_) => Err(problem),
    };
    match value.tag {
        tag::UTF8_STRING => match std::str::from_utf8(octets) {
            Err(_) => Err(StringError::NotUtf8),
            Ok(text) if text.contains('\0') => Err(StringError::Nul),
            Ok(text) => Ok(Decoded::Utf8(text)),
        },
        tag::PRINTABLE_STRING => ascii(is_printable, StringError::NotPrintable),
        tag::IA5_STRING => ascii(|b| b != 0 && b < 0x80, StringError::NotAscii),
        tag::NUMERIC_STRING => ascii(|b| b == b' ' || b.is_ascii_digit(), StringError::NotNumeric),
        tag::VISIBLE_STRING => ascii(|b| (0x20..0x7f).contains(&b), StringError::NotVisible),
        // T.61 is read as ISO 8859-1, as every issuer of the last decades has meant it.
        tag::TELETEX_STRING => transcoded(octets.iter().map(|b| Some(char::from(*b)))),
        tag::BMP_STRING => {
            let units = octets.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).ok().map(u16::from_be_bytes));
            transcoded(units.map(|unit| unit.and_then(|unit| char::from_u32(u32::from(unit)))))
        }
        tag::UNIVERSAL_STRING => {
            let units = octets.chunks(4).map(|quad| <[u8; 4]>::try_from(quad).ok().map(u32::from_be_bytes));
            transcoded(units.map(|unit| unit.and_then(char::from_u32)))
        }
        _ => Ok(Decoded::NotAString),
    }
}

/// Whether other software may read another text than `text` in a value with this tag. T.61 encodes accented letters in
/// ways that ISO 8859-1 reads as two letters, and has escape sequences that change its alphabet. Any character that it
/// does not share with ASCII makes the text doubtful.
pub(super) fn is_doubtful(tag: u8, text: &str) -> bool {
    tag == tag::TELETEX_STRING
        && !text
            .bytes()
            .all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'#' | b'$' | b'\\' | b'^' | b'`' | b'{' | b'}' | b'~'))
}

fn transcoded<'a>(chars: impl Iterator<Item = Option<char>>) -> Result<Decoded<'a>, StringError> {
    let mut text = String::new();
    for c in chars {
        match c {
            Some('\0') => return Err(StringError::Nul),
            Some(c) => text.push(c),
            None => return Err(StringError::NotUnicode),
        }
    }
    Ok(Decoded::Transcoded(text))
}

/// Which octets [`is_listed`] names: a look-up takes less than the comparisons.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, within 256")]
static PRINTABLE: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0_u8;
    while octet < 0x80 {
        table[octet as usize] = is_listed(octet);
        octet = octet.wrapping_add(1);
    }
    table
};

fn is_printable(b: u8) -> bool {
    PRINTABLE.get(usize::from(b)).copied().unwrap_or(false)
}

/// X.680 41.4: the characters of PrintableString.
const fn is_listed(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b' ' | b'\'' | b'(' | b')' | b'+' | b',' | b'-' | b'.' | b'/' | b':' | b'=' | b'?')
}

/// Appends `text` folded: lower case, no white space at the ends, one space for each inner run of it.
pub(super) fn fold(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() {
        fold_ascii(out, text.as_bytes());
        return;
    }
    let start = out.len();
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            space = true;
            continue;
        }
        if std::mem::take(&mut space) && out.len() > start {
            out.push(b' ');
        }
        fold_char(c, |folded| out.extend_from_slice(folded.encode_utf8(&mut [0; 4]).as_bytes()));
    }
}

/// Upper then lower: ς and σ fold to the same character, as in Unicode's full case folding. Folding never maps a
/// character outside ASCII to ASCII, nor to a text with ASCII: U+0131, U+017F, U+212A and U+FB01 only look like `i`,
/// `s`, `k` and `fi`.
fn fold_char(c: char, push: impl FnMut(char)) {
    let foreign = |folded: char| !folded.is_ascii();
    if c.is_ascii() {
        std::iter::once(c.to_ascii_lowercase()).for_each(push);
    } else if c.to_uppercase().flat_map(char::to_lowercase).all(foreign) {
        c.to_uppercase().flat_map(char::to_lowercase).for_each(push);
    } else if c.to_lowercase().all(foreign) {
        c.to_lowercase().for_each(push);
    } else {
        std::iter::once(c).for_each(push);
    }
}

fn fold_ascii(out: &mut Vec<u8>, text: &[u8]) {
    if is_spaced_once(text) {
        let start = out.len();
        out.extend_from_slice(text);
        out.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
        return;
    }
    for (at, word) in text.split(is_blank).filter(|word| !word.is_empty()).enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend(word.iter().map(u8::to_ascii_lowercase));
    }
}

/// Whether the only white space of a text is single spaces between words, as in nearly all names.
fn is_spaced_once(text: &[u8]) -> bool {
    let mut after_blank = true;
    for octet in text {
        let blank = is_blank(octet);
        if blank && (after_blank || *octet != b' ') {
            return false;
        }
        after_blank = blank;
    }
    !after_blank
}

/// The white space of `char::is_whitespace` below U+0080.
fn is_blank(b: &u8) -> bool {
    matches!(b, b' ' | 0x09..=0x0d)
}
