//! Texts that look the same to people or to software: Unicode's compatibility forms (NFKC), case, and characters that
//! show nothing. Owns the form that such texts share; what it is compared for is the business of who asks.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization as _;

use super::spec::Case;

/// Default_Ignorable_Code_Point of Unicode 16, and of RFC 4518 section 2.2 what is mapped to nothing; control characters
/// are dealt with apart.
const INVISIBLE: &[RangeInclusive<char>] = &[
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{6dd}'..='\u{6dd}',
    '\u{70f}'..='\u{70f}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{1806}'..='\u{1806}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffc}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// Whether a character shows nothing.
pub fn is_invisible(c: char) -> bool {
    let is_control = c.is_control() && !c.is_whitespace();
    is_control || (c >= '\u{ad}' && INVISIBLE.iter().any(|range| range.contains(&c)))
}

/// Case, compatibility forms, and what nobody sees. White space at the ends stays.
pub fn fold(text: &str, case: Case) -> Cow<'_, str> {
    if text.is_ascii() && !text.contains(is_invisible) {
        return match case {
            Case::Insensitive if text.bytes().any(|b| b.is_ascii_uppercase()) => Cow::Owned(text.to_ascii_lowercase()),
            _ => Cow::Borrowed(text),
        };
    }
    let visible = |c: &char| !is_invisible(*c);
    // Twice, since what is taken out may have stood between characters that compose.
    let once: String = text.chars().filter(visible).nfkc().filter(visible).collect();
    let twice: String = match case {
        Case::Sensitive => once.nfkc().collect(),
        // Through upper case, as full case folding does: the sharp s is `ss`, the dotless i an `i`.
        Case::Insensitive => {
            once.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().filter(visible).collect()
        }
    };
    let mut out = String::with_capacity(twice.len());
    for c in twice.chars() {
        match c.is_whitespace() {
            true if out.ends_with(' ') => {}
            true => out.push(' '),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}
