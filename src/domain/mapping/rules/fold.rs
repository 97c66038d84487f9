//! What a rule that denies understands besides the spelling of a name: texts that look the same to people, or name the
//! same host to software.
//!
//! A rule that allows compares exactly, so that a look-alike gets in nowhere. A rule that denies would be evaded by a
//! look-alike, so for it both the pattern and the names of the certificate are folded: Unicode's compatibility forms
//! (NFKC), characters that show nothing (RFC 4518 section 2.2, and Default_Ignorable_Code_Point), dots at the end of a
//! host, escapes that need not be (RFC 3986 section 6.2.2.2). Letters of other scripts that look like Latin ones are not
//! folded: no table of them is complete.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::Source;
use super::spelling::normal;
use crate::domain::folding::fold;
use crate::domain::matcher::{Pattern, PatternError};
use crate::domain::spec::Case;

/// The names of one certificate as they were folded for one decision: many rules look at the same ones.
#[derive(Debug, Default)]
pub struct Folds(RefCell<HashMap<(usize, usize, Case), Option<Rc<str>>, RandomState>>);

impl Folds {
    /// Whether the folded form of `text`, a name of the certificate that this decision is about, fits `pattern`.
    pub(super) fn matches(&self, pattern: &Pattern, source: &Source, text: &str, case: Case) -> bool {
        // A text of the certificate stays where it is for the whole decision, and is of one kind.
        let key = (text.as_ptr().addr(), text.len(), case);
        let known = self.0.borrow().get(&key).cloned();
        let folded = known.unwrap_or_else(|| {
            let folded = match name(source, text, case) {
                Cow::Borrowed(folded) if folded.len() == text.len() => None,
                folded => Some(Rc::from(&*folded)),
            };
            self.0.borrow_mut().insert(key, folded.clone());
            folded
        });
        pattern.matches(folded.as_deref().unwrap_or(text))
    }
}

/// Whose text is folded.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Side {
    /// A name of a certificate.
    Name,
    /// A pattern, in which asterisks and backslashes mean something.
    Pattern,
}

/// A name of a certificate, folded.
fn name<'a>(source: &Source, text: &'a str, case: Case) -> Cow<'a, str> {
    then(by_source(source, text, Side::Name), |text| match fold(text, case) {
        Cow::Borrowed(text) => Cow::Borrowed(text),
        Cow::Owned(text) => Cow::Owned(trimmed(source, &text, true, true).to_owned()),
    })
}

/// The pattern that folded names are to fit.
pub(super) fn pattern(source: &Source, written: &str, case: Case) -> Result<Pattern, PatternError> {
    let spelled = by_source(source, written, Side::Pattern);
    let pattern = Pattern::new(&spelled, Case::Sensitive).or_else(|_| Pattern::new(written, Case::Sensitive))?;
    // Piece by piece, so that a character that only looks like an asterisk does not become one.
    Ok(pattern.mapped(|piece, at| trimmed(source, &fold(piece, case), at.start, at.end).to_owned()))
}

/// Without what does not count at the ends of a name of this kind.
fn trimmed<'a>(source: &Source, mut text: &'a str, start: bool, end: bool) -> &'a str {
    match source {
        Source::Subject(_) | Source::Issuer(_) => {
            text = if start { text.trim_start() } else { text };
            if end { text.trim_end() } else { text }
        }
        Source::UserPrincipalName if end => text.trim_end_matches('.'),
        _ => text,
    }
}

/// The spelling of a name by its kind.
fn by_source<'a>(source: &Source, text: &'a str, side: Side) -> Cow<'a, str> {
    match source {
        Source::Subject(_) | Source::Issuer(_) => normal(source, text),
        Source::Uri => then(then(unescaped(text), |text| normal(source, text)), authority),
        Source::Dns => then(unescaped(text), |text| Cow::Borrowed(text.trim_end_matches('.'))),
        Source::Email => then(then(Cow::Borrowed(text.trim_end_matches('.')), |text| normal(source, text)), |text| {
            unquoted(text, side)
        }),
        Source::UserPrincipalName => {
            // The full stops of IDNA.
            let dots = |text: &str| text.replace(['\u{3002}', '\u{ff61}'], ".");
            let text = if text.contains(['\u{3002}', '\u{ff61}']) { Cow::Owned(dots(text)) } else { text.into() };
            then(text, |text| Cow::Borrowed(text.trim_end_matches('.')))
        }
    }
}

/// `next` of `text`.
fn then<'a>(text: Cow<'a, str>, next: impl for<'b> Fn(&'b str) -> Cow<'b, str>) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => next(text),
        Cow::Owned(text) => {
            let changed = match next(&text) {
                Cow::Borrowed(same) if same.len() == text.len() => None,
                changed => Some(changed.into_owned()),
            };
            Cow::Owned(changed.unwrap_or(text))
        }
    }
}

/// Without the escapes of characters that need none (RFC 3986 section 2.3); the digits of the others in upper case.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        rest = after;
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok().map(|octet| (digits, octet))) {
            Some((digits, octet)) => {
                rest = after.get(2..).unwrap_or_default();
                match octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
                    true => out.push(char::from(octet)),
                    false => {
                        out.push('%');
                        out.push_str(&digits.to_ascii_uppercase());
                    }
                }
            }
            None => out.push('%'),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A URI, its scheme in lower case, without dots at the end of the host, and without a port that is empty or the scheme's
/// own (RFC 3986 section 6.2.3).
fn authority(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Cow::Borrowed(text) };
    let (authority, path) =
        rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or((rest, ""));
    let user = authority.rfind('@').map_or(0, |at| at.saturating_add(1));
    let (user, host) = authority.split_at_checked(user).unwrap_or(("", authority));
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, port),
        _ => (host, ""),
    };
    let (host, port) = (host.trim_end_matches('.'), port.trim_start_matches('0'));
    let colon = match (scheme, port) {
        (_, "") | ("http" | "ws", "80") | ("https" | "wss", "443") => {
            return Cow::Owned([scheme, "://", user, host, path].concat());
        }
        _ => ":",
    };
    Cow::Owned([scheme, "://", user, host, colon, port, path].concat())
}

/// A mail address whose local part stands in quotes that it may not need (RFC 5321 section 4.1.2).
fn unquoted(text: &str, side: Side) -> Cow<'_, str> {
    let Some((local, domain)) = text.rsplit_once('@') else { return Cow::Borrowed(text) };
    let inner = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner.filter(|inner| side == Side::Name || !inner.contains('\\')) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            other => out.push(other),
        }
    }
    out.push('@');
    out.push_str(domain);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::AttributeType;

    #[test]
    fn look_alikes_fold_into_one() {
        let attribute = Source::Subject("O".parse::<AttributeType>().unwrap());
        let (sensitive, insensitive) = (Case::Sensitive, Case::Insensitive);
        let rows: &[(&str, &Source, Case, &str, &str)] = &[
            ("soft hyphen", &attribute, sensitive, "Sa\u{ad}les", "Sales"),
            ("zero width", &attribute, sensitive, "\u{200b}Sal\u{2060}es\u{feff}", "Sales"),
            ("variation selector and tag", &attribute, sensitive, "Sales\u{fe0f}\u{e0041}", "Sales"),
            ("control characters", &attribute, sensitive, "Sal\u{8}\u{7f}es", "Sales"),
            ("full width", &attribute, sensitive, "\u{ff33}ales", "Sales"),
            ("ligature", &attribute, sensitive, "O\u{fb03}ce", "Office"),
            ("Kelvin sign", &attribute, sensitive, "\u{212a}ing", "King"),
            ("no-break and double spaces", &attribute, sensitive, " A\u{a0}\u{200d} B\u{3000}", "A B"),
            ("decomposed", &attribute, sensitive, "Mu\u{ad}\u{308}ller", "M\u{fc}ller"),
            ("Hangul filler", &attribute, sensitive, "A\u{3164}", "A"),
            ("case stays", &attribute, sensitive, "SALE\u{ad}S", "SALES"),
            ("case", &attribute, insensitive, "SALES", "sales"),
            ("sharp s", &attribute, insensitive, "Stra\u{df}e", "strasse"),
            ("dotless i", &attribute, insensitive, "adm\u{131}n", "admin"),
            ("another script stays", &attribute, sensitive, "S\u{430}les", "S\u{430}les"),
            ("URI host", &Source::Uri, sensitive, "HTTPS://u@Evil.Example.:443/A", "https://u@evil.example/A"),
            (
                "URI escapes",
                &Source::Uri,
                sensitive,
                "https://evil%2Eexamp%6ce./%2f%zz%",
                "https://evil.example/%2F%zz%",
            ),
            ("URI of another port", &Source::Uri, sensitive, "https://a.:080", "https://a:80"),
            ("URI of an address", &Source::Uri, sensitive, "https://[::1]:/", "https://[::1]/"),
            ("URI without authority", &Source::Uri, sensitive, "urn:a.", "urn:a."),
            ("DNS", &Source::Dns, insensitive, "Evil%2eexample..", "evil.example"),
            ("mail", &Source::Email, sensitive, "Bob@Evil.Example.", "Bob@evil.example"),
            ("quoted mail", &Source::Email, sensitive, "\"b\\ob\"@evil.example", "bob@evil.example"),
            (
                "principal",
                &Source::UserPrincipalName,
                insensitive,
                "BOB@corp\u{3002}example\u{ff0e}",
                "bob@corp.example",
            ),
        ];
        for (row, source, case, text, want) in rows {
            assert_eq!(name(source, text, *case), *want, "{row}");
            assert!(pattern(source, want, *case).unwrap().matches(want), "{row}: as a pattern");
        }
    }

    #[test]
    fn patterns_fold_by_the_piece() {
        let attribute = Source::Subject("O".parse::<AttributeType>().unwrap());
        for (row, written, text, want) in [
            ("look-alike in the pattern", "\u{ff33}ales*", "Sales Ltd", true),
            ("full width asterisk is none", "Sa\u{ff0a}", "Sales", false),
            ("full width asterisk is itself", "Sa\u{ff0a}", "Sa*", true),
            ("escaped asterisk", "Sa\\*\u{ad}", "Sa*", true),
            ("invisible between asterisks", "a*\u{ad}*b", "ab", true),
            ("blank at the end", "Sales\u{a0}", "Sales", true),
            ("blank before an asterisk", "Sales\u{a0}*", "Sales x", true),
        ] {
            assert_eq!(pattern(&attribute, written, Case::Sensitive).unwrap().matches(text), want, "{row}");
        }
    }

    #[test]
    fn one_decision_folds_a_name_once() {
        let folds = Folds::default();
        let text = "Sal\u{ad}es".to_owned();
        let (source, case) = (Source::Subject("O".parse().unwrap()), Case::Sensitive);
        for (written, want) in [("Sales", true), ("Sales", true), ("Legal", false)] {
            let pattern = pattern(&source, written, case).unwrap();
            assert_eq!(folds.matches(&pattern, &source, &text, case), want, "{written}");
        }
        assert_eq!(folds.0.borrow().len(), 1);
        let dots = pattern(&Source::Dns, "evil.example", Case::Insensitive).unwrap();
        assert!(folds.matches(&dots, &Source::Dns, "evil.example..", Case::Insensitive), "a part of the text itself");
    }

    proptest::proptest! {
        #[test]
        fn folding_is_stable(text in "\\PC{0,12}", insensitive: bool) {
            let case = if insensitive { Case::Insensitive } else { Case::Sensitive };
            let source = Source::Subject("O".parse().unwrap());
            let once = name(&source, &text, case).into_owned();
            proptest::prop_assert_eq!(name(&source, &once, case), once.as_str());
        }
    }
}
