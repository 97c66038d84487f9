//! What a rule that denies matches besides the exact name: texts that look the same to people, or name the same host to
//! software.
//!
//! A rule that allows compares exactly, so that no look-alike gets access. A look-alike would evade a rule that denies,
//! so for such a rule both the pattern and the names of the certificate are folded: Unicode's compatibility forms
//! (NFKC), invisible characters (RFC 4518 section 2.2, and Default_Ignorable_Code_Point), dots at the end of a host,
//! needless escapes (RFC 3986 section 6.2.2.2), white space around the parts of an address. The user and dot segments
//! of a URI do not hide its target ([`uri`]). Names in which other software may read another name match every rule that
//! denies ([`doubtful`]). Letters of other scripts that look like Latin ones are not folded: no table of them is
//! complete.

pub(super) mod doubtful;
mod uri;

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::NameKind;
use super::spelling::normal;
use crate::domain::api::Case;
use crate::domain::decide::folding::{fold, is_invisible};
use crate::domain::decide::matcher::{Pattern, PatternError};

/// The folded names of one certificate during one decision: many rules test the same names.
#[derive(Debug, Default)]
pub struct Folds(RefCell<HashMap<(usize, usize, Case), Rc<Folded>, RandomState>>);

/// One name, folded.
#[derive(Debug)]
struct Folded {
    /// Whether other software may read another name in it ([`doubtful::is_doubtful`]).
    is_doubtful: bool,
    /// Its folded form, if it differs.
    text: Option<Box<str>>,
    /// Further texts that mean the same.
    others: Vec<Box<str>>,
}

impl Folds {
    /// Whether the folded form of `text`, a name of the certificate of this decision, matches `pattern` or is doubtful.
    pub(super) fn matches(&self, pattern: &Pattern, source: &NameKind, text: &str, case: Case) -> bool {
        // A text of the certificate does not move during the decision, and is of one kind.
        let key = (text.as_ptr().addr(), text.len(), case);
        let known = self.0.borrow().get(&key).cloned();
        let folded = known.unwrap_or_else(|| {
            let folded = Rc::new(Folded::new(source, text, case));
            self.0.borrow_mut().insert(key, Rc::clone(&folded));
            folded
        });
        folded.is_doubtful
            || pattern.matches(folded.text.as_deref().unwrap_or(text))
            || folded.others.iter().any(|other| pattern.matches(other))
    }
}

impl Folded {
    fn new(source: &NameKind, text: &str, case: Case) -> Self {
        if doubtful::is_too_long(text) {
            return Self { is_doubtful: true, text: None, others: Vec::new() };
        }
        let folded = name(source, text, case);
        let others = match source {
            NameKind::Uri => uri::same(&folded),
            _ => Vec::new(),
        };
        let folded = match folded {
            Cow::Borrowed(folded) if folded.len() == text.len() => None,
            folded => Some(folded.into()),
        };
        Self { is_doubtful: doubtful::is_doubtful(source, text), text: folded, others }
    }
}

/// The side of the comparison whose text is folded.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Side {
    /// A name of a certificate.
    Name,
    /// A pattern, in which asterisks and backslashes are special.
    Pattern,
}

/// A name of a certificate, folded.
fn name<'a>(source: &NameKind, text: &'a str, case: Case) -> Cow<'a, str> {
    then(by_source(source, text, Side::Name), |text| match fold(text, case) {
        Cow::Borrowed(text) => Cow::Borrowed(text),
        Cow::Owned(text) => Cow::Owned(trimmed(source, &text, true, true).to_owned()),
    })
}

/// The pattern for folded names.
pub(super) fn pattern(source: &NameKind, written: &str, case: Case) -> Result<Pattern, PatternError> {
    let spelled = by_source(source, written, Side::Pattern);
    let pattern = Pattern::new(&spelled, Case::Sensitive).or_else(|_| Pattern::new(written, Case::Sensitive))?;
    // Piece by piece, so that a look-alike of the asterisk does not become one.
    Ok(pattern.mapped(|piece, at| trimmed(source, &fold(piece, case), at.start, at.end).to_owned()))
}

/// Removes insignificant characters at the ends of a name of this kind.
fn trimmed<'a>(source: &NameKind, mut text: &'a str, start: bool, end: bool) -> &'a str {
    match source {
        NameKind::Subject(_) | NameKind::Issuer(_) => {
            text = if start { text.trim_start() } else { text };
            if end { text.trim_end() } else { text }
        }
        NameKind::UserPrincipalName => {
            text = if start { text.trim_start() } else { text };
            if end { text.trim_end_matches(|c: char| c == '.' || c.is_whitespace()) } else { text }
        }
        _ => text,
    }
}

/// The spelling of a name by its kind.
fn by_source<'a>(source: &NameKind, text: &'a str, side: Side) -> Cow<'a, str> {
    match source {
        NameKind::Subject(_) | NameKind::Issuer(_) => normal(source, text),
        NameKind::Uri => then(then(uri::unescaped(text), |text| normal(source, text)), uri::authority),
        NameKind::Dns => then(uri::unescaped(text), |text| Cow::Borrowed(text.trim_end_matches('.'))),
        NameKind::Email => {
            let text =
                then(then(squeezed(text), |text| text.trim_end_matches('.').into()), |text| normal(source, text));
            then(text, |text| unquoted(text, side))
        }
        NameKind::UserPrincipalName => {
            let ends = |c: char| c == '.' || c.is_whitespace();
            match text.is_ascii() {
                true => then(squeezed(text), |text| text.trim_end_matches(ends).into()),
                false => {
                    // The full stops of IDNA, and characters that NFKC maps to an at sign.
                    let visible = text.chars().filter(|c| !is_invisible(*c)).map(|c| match c {
                        '\u{3002}' | '\u{ff61}' | '\u{ff0e}' => '.',
                        '\u{ff20}' | '\u{fe6b}' => '@',
                        c => c,
                    });
                    let text: String = visible.collect();
                    Cow::Owned(squeezed(&text).trim_end_matches(ends).to_owned())
                }
            }
        }
    }
}

/// An address without white space at its ends, around its at sign, and in its domain, where none is allowed.
fn squeezed(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_whitespace) {
        return Cow::Borrowed(text);
    }
    match text.rsplit_once('@') {
        Some((local, domain)) => {
            let domain: String = domain.chars().filter(|c| !c.is_whitespace()).collect();
            Cow::Owned([local.trim(), "@", &domain].concat())
        }
        None => Cow::Borrowed(text.trim()),
    }
}

/// Applies `next` to `text`.
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

/// An e-mail address without the quotes of its local part, or of a piece of that, which may be needless (RFC 5321
/// section 4.1.2).
fn unquoted(text: &str, side: Side) -> Cow<'_, str> {
    let Some((local, domain)) = text.rsplit_once('@') else { return Cow::Borrowed(text) };
    if !local.contains('"') || (side == Side::Pattern && local.contains('\\')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = local.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {}
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
    use certgate_x509::AttributeType;

    #[test]
    fn look_alikes_fold_into_one() {
        let attribute = NameKind::Subject("O".parse::<AttributeType>().unwrap());
        let (sensitive, insensitive) = (Case::Sensitive, Case::Insensitive);
        let rows: &[(&str, &NameKind, Case, &str, &str)] = &[
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
            ("URI host", &NameKind::Uri, sensitive, "HTTPS://u@Evil.Example.:443/A", "https://u@evil.example/A"),
            (
                "URI escapes",
                &NameKind::Uri,
                sensitive,
                "https://evil%2Eexamp%6ce./%2f%zz%",
                "https://evil.example/%2F%zz%",
            ),
            ("URI of another port", &NameKind::Uri, sensitive, "https://a.:080", "https://a:80"),
            ("URI of an address", &NameKind::Uri, sensitive, "https://[::1]:/", "https://[::1]/"),
            ("URI without authority", &NameKind::Uri, sensitive, "urn:a.", "urn:a."),
            ("DNS", &NameKind::Dns, insensitive, "Evil%2eexample..", "evil.example"),
            ("mail", &NameKind::Email, sensitive, "Bob@Evil.Example.", "Bob@evil.example"),
            ("quoted mail", &NameKind::Email, sensitive, "\"b\\ob\"@evil.example", "bob@evil.example"),
            ("mail with blanks", &NameKind::Email, sensitive, " Bob @ Evil.example. ", "Bob@evil.example"),
            (
                "principal",
                &NameKind::UserPrincipalName,
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
        let attribute = NameKind::Subject("O".parse::<AttributeType>().unwrap());
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
        let (source, case) = (NameKind::Subject("O".parse().unwrap()), Case::Sensitive);
        for (written, want) in [("Sales", true), ("Sales", true), ("Legal", false)] {
            let pattern = pattern(&source, written, case).unwrap();
            assert_eq!(folds.matches(&pattern, &source, &text, case), want, "{written}");
        }
        assert_eq!(folds.0.borrow().len(), 1);
        let dots = pattern(&NameKind::Dns, "evil.example", Case::Insensitive).unwrap();
        assert!(folds.matches(&dots, &NameKind::Dns, "evil.example..", Case::Insensitive), "a part of the text itself");
    }

    proptest::proptest! {
        #[test]
        fn folding_is_stable(text in "\\PC{0,12}", insensitive: bool) {
            let case = if insensitive { Case::Insensitive } else { Case::Sensitive };
            let source = NameKind::Subject("O".parse().unwrap());
            let once = name(&source, &text, case).into_owned();
            proptest::prop_assert_eq!(name(&source, &once, case), once.as_str());
        }
    }
}
