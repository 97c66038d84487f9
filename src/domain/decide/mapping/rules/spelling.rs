//! One spelling for names that differ in spelling alone, for every kind of rule.

use std::borrow::Cow;
use std::ops::Range;

use super::NameKind;

/// Normalizes differences of spelling that do not distinguish names of this kind: white space of attribute values (RFC
/// 5280 section 7.1), case of a URI's scheme and host (RFC 3986 section 6.2.2.1), case of an e-mail address's domain
/// (RFC 5321 section 2.4). Otherwise another spelling of the name would evade a rule that denies. Patterns are
/// normalized, too. An asterisk in them can hide the borders of such a part; there everything that could belong to the
/// part is folded.
pub fn normal<'a>(source: &NameKind, text: &'a str) -> Cow<'a, str> {
    match source {
        NameKind::Subject(_) | NameKind::Issuer(_) => collapse(text),
        NameKind::Uri => lower(text, case_of_uri(text)),
        NameKind::Email => lower(text, [0..0, case_of_email(text)]),
        NameKind::Dns | NameKind::UserPrincipalName => Cow::Borrowed(text),
    }
}

/// Without white space at the ends, and with one space for each inner run of it.
fn collapse(text: &str) -> Cow<'_, str> {
    let other = |c: char| c.is_whitespace() && c != ' ';
    if text.trim() == text && !text.contains("  ") && !text.contains(other) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Scheme and host. If the scheme contains an asterisk, everything before the path.
fn case_of_uri(text: &str) -> [Range<usize>; 2] {
    let scheme = text.find(':').unwrap_or(0);
    let authority = scheme.saturating_add("://".len());
    let before_path = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        from.saturating_add(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
    };
    if text.get(scheme..authority) == Some("://") {
        let end = before_path(authority);
        let user = text.get(authority..end).and_then(|text| text.rfind('@')).unwrap_or(0);
        [0..scheme, authority.saturating_add(user)..end]
    } else if text.get(..scheme).is_none_or(|scheme| scheme.is_empty() || scheme.contains('*')) {
        [0..0, 0..before_path(0)]
    } else {
        [0..0, 0..scheme]
    }
}

/// The domain. Without an at sign, everything after an asterisk that may match one.
fn case_of_email(text: &str) -> Range<usize> {
    text.rfind('@').or_else(|| text.find('*')).unwrap_or(text.len())..text.len()
}

/// `text` with these parts in lower case.
fn lower(text: &str, parts: [Range<usize>; 2]) -> Cow<'_, str> {
    let upper = |part: &Range<usize>| {
        text.get(part.clone()).is_some_and(|part| part.bytes().any(|byte| byte.is_ascii_uppercase()))
    };
    if !parts.iter().any(upper) {
        return Cow::Borrowed(text);
    }
    let mut out = text.to_owned();
    for part in parts {
        if let Some(part) = out.get_mut(part) {
            part.make_ascii_lowercase();
        }
    }
    Cow::Owned(out)
}
