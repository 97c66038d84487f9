//! Wildcard patterns over whole values: `*` matches any characters, everything else only itself.
//!
//! A pattern is anchored at both ends, so `Contoso` does not match `Contoso Evil`. Matching takes time linear in the
//! value however many asterisks the pattern has: with nothing but asterisks, taking the left-most place for each piece
//! in turn never loses a match, so nothing is tried twice. Which values of a certificate are compared, and what a
//! match means, is the business of `mapping`.

use std::borrow::Cow;

use memchr::memmem;
use thiserror::Error;

use crate::domain::api::Case;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    literals: Literals,
    case: Case,
}

/// The literal pieces between the asterisks, folded when the pattern is insensitive to case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Literals {
    /// No asterisk: the whole value.
    Whole(Box<str>),
    /// The text before the first asterisk, between neighbouring ones (never empty), and after the last one.
    Pieces { first: Box<str>, middle: Box<[Box<str>]>, last: Box<str> },
}

/// The position of a piece of a pattern.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Whether a value that fits begins with it.
    pub start: bool,
    /// Whether a value that fits ends with it.
    pub end: bool,
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// There is nothing to compare with.
    #[error("the value is empty")]
    Empty,
    /// A backslash before a character that needs none.
    #[error("the escape `\\{0}` does not exist: only `\\*` and `\\\\` do")]
    Escape(char),
    /// The text ends within an escape.
    #[error("the value ends with a single backslash: write `\\\\`")]
    Unfinished,
}

impl Pattern {
    /// Compiles `text`.
    pub fn new(text: &str, case: Case) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let mut pieces = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let literal = match c {
                '*' => {
                    pieces.push(String::new());
                    continue;
                }
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '\\')) => escaped,
                    Some(other) => return Err(PatternError::Escape(other)),
                    None => return Err(PatternError::Unfinished),
                },
                other => other,
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(literal);
            }
        }
        let folded = |piece: String| -> Box<str> {
            match case {
                Case::Sensitive => piece.into_boxed_str(),
                Case::Insensitive => fold_case(&piece).into_owned().into_boxed_str(),
            }
        };
        let mut pieces = pieces.into_iter().map(folded);
        let first = pieces.next().unwrap_or_default();
        let literals = match pieces.next_back() {
            None => Literals::Whole(first),
            Some(last) => Literals::Pieces { first, middle: pieces.filter(|piece| !piece.is_empty()).collect(), last },
        };
        Ok(Self { literals, case })
    }

    /// The pattern with each piece between its asterisks changed by `change`.
    #[must_use]
    pub fn mapped(&self, change: impl Fn(&str, Ends) -> String) -> Self {
        let piece = |text: &str, start, end| change(text, Ends { start, end }).into_boxed_str();
        let literals = match &self.literals {
            Literals::Whole(whole) => Literals::Whole(piece(whole, true, true)),
            Literals::Pieces { first, middle, last } => Literals::Pieces {
                first: piece(first, true, false),
                middle: middle.iter().map(|text| piece(text, false, false)).filter(|text| !text.is_empty()).collect(),
                last: piece(last, false, true),
            },
        };
        Self { literals, case: self.case }
    }

    /// Whether every value that fits `other` is sure to fit this pattern too. `false` says nothing.
    ///
    /// An asterisk of `other` matches anything, so only an asterisk covers it. It is compared as NUL, which no
    /// pattern of an operator holds.
    pub fn covers(&self, other: &Self) -> bool {
        let case_covers = self.case == Case::Insensitive || other.case == Case::Sensitive;
        case_covers && self.matches(&other.literals.with_asterisks_as('\0'))
    }

    /// Whether the whole of `value` fits the pattern.
    pub fn matches(&self, value: &str) -> bool {
        match self.case {
            Case::Sensitive => self.literals.matches(value),
            Case::Insensitive => self.literals.matches(&fold_case(value)),
        }
    }
}

impl Literals {
    fn with_asterisks_as(&self, sign: char) -> Cow<'_, str> {
        match self {
            Self::Whole(whole) => Cow::Borrowed(whole),
            Self::Pieces { first, middle, last } => {
                let mut text = String::from(&**first);
                for piece in middle.iter().chain([last]) {
                    text.push(sign);
                    text.push_str(piece);
                }
                Cow::Owned(text)
            }
        }
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Whole(whole) => value == &**whole,
            Self::Pieces { first, middle, last } => {
                // `first` and `last` may not overlap, so `last` is taken off what `first` leaves.
                let Some(rest) = value.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
                    return false;
                };
                let mut rest = rest.as_bytes();
                for piece in middle {
                    let end = memmem::find(rest, piece.as_bytes()).and_then(|at| at.checked_add(piece.len()));
                    match end.and_then(|end| rest.get(end..)) {
                        Some(after) => rest = after,
                        None => return false,
                    }
                }
                true
            }
        }
    }
}

/// `text` with upper case made lower, character by character, for comparison only.
///
/// A character outside ASCII never becomes one within: U+212A, the Kelvin sign, is not taken for `k`.
pub fn fold_case(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| c.to_lowercase().eq([c])) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c.to_ascii_lowercase());
        } else if c.to_lowercase().all(|lower| lower.is_ascii()) {
            out.push(c);
        } else {
            out.extend(c.to_lowercase());
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_are_anchored_and_literal_but_for_the_asterisk() {
        let rows: &[(&str, &str, &str, bool)] = &[
            ("equal text", "Contoso", "Contoso", true),
            ("no prefix match", "Contoso", "Contoso Evil", false),
            ("no suffix match", "Contoso", "Evil Contoso", false),
            ("case differs", "Contoso", "contoso", false),
            ("asterisk at the end", "Cont*", "Contoso", true),
            ("asterisk is also nothing", "Contoso*", "Contoso", true),
            ("asterisk at the start", "*.example.com", "a.example.com", true),
            ("asterisk at the start is anchored behind", "*.example.com", "a.example.com.evil", false),
            ("asterisk in the middle", "a*z", "abcz", true),
            ("ends may not overlap", "aba*ba", "aba", false),
            ("ends may touch", "aba*ba", "ababa", true),
            ("middle piece", "a*b*c", "axxbxxc", true),
            ("middle pieces in order", "a*c*b*d", "abcd", false),
            ("middle pieces may not overlap", "*aa*aa*", "aaa", false),
            ("middle pieces may touch", "*aa*aa*", "aaaa", true),
            ("asterisk alone takes all", "*", "anything", true),
            ("asterisk alone takes nothing too", "*", "", true),
            ("asterisks in a row", "a***b", "ab", true),
            ("escaped asterisk", r"a\*b", "a*b", true),
            ("escaped asterisk is literal", r"a\*b", "axb", false),
            ("escaped backslash", r"a\\*", r"a\b", true),
            ("question mark is literal", "a?c", "abc", false),
            ("question mark matches itself", "a?c", "a?c", true),
            ("dot is literal", "a.c", "abc", false),
            ("brackets are literal", "[a]", "a", false),
            ("outside ASCII", "Mü*r", "Müller", true),
            ("newline is a character", "a*b", "a\nb", true),
        ];
        for (name, pattern, value, want) in rows {
            assert_eq!(Pattern::new(pattern, Case::Sensitive).unwrap().matches(value), *want, "{name}");
        }
    }

    #[test]
    fn case_is_folded_only_on_demand_and_never_into_ascii() {
        let rows: &[(&str, &str, &str, bool)] = &[
            ("ASCII", "CONT*", "contoso", true),
            ("the value is folded", "cont*", "CONTOSO", true),
            ("outside ASCII", "MÜLLER", "müller", true),
            ("Kelvin sign is no k", "k", "\u{212a}", false),
            ("Kelvin sign in the pattern is no k", "\u{212a}", "k", false),
        ];
        for (name, pattern, value, want) in rows {
            assert_eq!(Pattern::new(pattern, Case::Insensitive).unwrap().matches(value), *want, "{name}");
        }
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for (text, want) in [
            ("", PatternError::Empty),
            ("\\", PatternError::Unfinished),
            ("a\\", PatternError::Unfinished),
            ("a\\b", PatternError::Escape('b')),
            ("\\?", PatternError::Escape('?')),
        ] {
            assert_eq!(Pattern::new(text, Case::Sensitive), Err(want), "{text}");
        }
    }

    #[test]
    fn many_asterisks_stay_linear() {
        // Backtracking would not come back: it has some (2^16)^32 ways to place the pieces.
        let pattern = Pattern::new(&"*a".repeat(32).replacen("*a", "*b", 1), Case::Sensitive).unwrap();
        let value = "a".repeat(1 << 16);
        assert!(!pattern.matches(&value));
        let pattern = Pattern::new(&format!("{}*b", "*a".repeat(512)), Case::Sensitive).unwrap();
        assert!(!pattern.matches(&value));
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        use Case::{Insensitive, Sensitive};
        for (wide, wide_case, narrow, narrow_case, want) in [
            ("*", Sensitive, "a", Sensitive, true),
            ("*", Sensitive, "*", Sensitive, true),
            ("Conto*", Sensitive, "Contoso*", Sensitive, true),
            ("Contoso*", Sensitive, "Conto*", Sensitive, false),
            ("*b*", Sensitive, "a*b*c", Sensitive, true),
            ("a*", Sensitive, "*a", Sensitive, false),
            ("a", Sensitive, "a*", Sensitive, false),
            ("A", Insensitive, "a", Sensitive, true),
            ("a", Sensitive, "a", Insensitive, false),
            ("a\\*", Sensitive, "a*", Sensitive, false),
        ] {
            let covers = Pattern::new(wide, wide_case).unwrap().covers(&Pattern::new(narrow, narrow_case).unwrap());
            assert_eq!(covers, want, "{wide} {wide_case:?}, {narrow} {narrow_case:?}");
        }
    }

    /// The obvious definition, exponential and right.
    fn naive(pattern: &[char], value: &[char]) -> bool {
        match pattern {
            [] => value.is_empty(),
            ['*', rest @ ..] => (0..=value.len()).any(|skip| naive(rest, &value[skip..])),
            ['\\', c, rest @ ..] | [c, rest @ ..] => value.first() == Some(c) && naive(rest, &value[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_definition(pattern in "([ab*]|\\\\\\*|\\\\\\\\){1,8}", value in "[ab*\\\\]{0,8}") {
            let compiled = Pattern::new(&pattern, Case::Sensitive).unwrap();
            let (p, v): (Vec<_>, Vec<_>) = (pattern.chars().collect(), value.chars().collect());
            prop_assert_eq!(compiled.matches(&value), naive(&p, &v));
        }

        #[test]
        fn what_is_covered_matches_nothing_more(
            wide in "[ab*]{1,6}", narrow in "[ab*]{1,6}", values in proptest::collection::vec("[ab]{0,6}", 16)
        ) {
            let wide = Pattern::new(&wide, Case::Sensitive).unwrap();
            let narrow = Pattern::new(&narrow, Case::Sensitive).unwrap();
            if wide.covers(&narrow) {
                for value in values {
                    prop_assert!(!narrow.matches(&value) || wide.matches(&value), "{wide:?} {narrow:?} {value}");
                }
            }
        }
    }
}
