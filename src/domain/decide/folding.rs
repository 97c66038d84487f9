//! Texts that look the same to people or to software: Unicode's compatibility forms (NFKC), case, and characters that
//! show nothing. Owns the form that such texts share; what it is compared for is the business of who asks.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization as _;

use crate::domain::api::Case;

/// Default_Ignorable_Code_Point of Unicode 16, and of RFC 4518 section 2.2 what is mapped to nothing; control
/// characters are dealt with apart.
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

/// Folds case, compatibility forms and invisible characters; a run of white space becomes one blank, also at the ends.
pub fn fold(text: &str, case: Case) -> Cow<'_, str> {
    if text.is_ascii() && !text.contains(is_invisible) && !has_blanks_to_fold(text) {
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
        // Through upper case, as full case folding does: the sharp s is `ss`, the dotless i an `i`. Lower case first,
        // for the capital sharp s, which is its own upper case.
        Case::Insensitive => {
            let lower = once.chars().flat_map(char::to_lowercase);
            lower.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().filter(visible).collect()
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

/// Whether white space is anything but single blanks.
fn has_blanks_to_fold(text: &str) -> bool {
    let is_other = |c: char| c != ' ' && c.is_whitespace();
    text.contains("  ") || text.contains(is_other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sharp_s_is_two() {
        for text in ["SS", "\u{df}", "\u{1e9e}"] {
            assert_eq!(fold(text, Case::Insensitive), "ss", "{text}");
        }
    }

    #[test]
    fn ascii_folds_as_it_does_beside_other_characters() {
        for text in ["a  b", "a\tb", " a\n b  ", "A B", "a b"] {
            let beside = fold(&format!("{text}\u{e9}"), Case::Insensitive).into_owned();
            assert_eq!(format!("{}\u{e9}", fold(text, Case::Insensitive)), beside, "{text:?}");
        }
    }
}
