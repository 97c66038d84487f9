//! Spellings of a path that one server treats as different paths and another server as the same.
//!
//! File systems and frameworks distinguish different things: upper and lower case, dots and blanks at the end of a name
//! (Windows drops them), a slash at the end of a path, a suffix after a colon (streams of NTFS), compatibility forms
//! and invisible characters (Unicode normalization). Owns the form that all such spellings share, and which spellings
//! policies distinguish by writing both out. The selection owns the consequences when spellings of a path select
//! different policies.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

use crate::domain::api::Case;
use crate::domain::decide::folding;

/// The form that a canonical path (see [`super::path::canonical`]) shares with all its spellings.
///
/// [`alike`] converts the characters. Then each segment loses a suffix after a colon, then dots and blanks at its end
/// and blanks at its beginning. Empty segments and a slash at the end are dropped. The form of a form is itself, and
/// the form of a prefix of whole segments is a prefix of the form.
pub fn fold(path: &[u8]) -> Cow<'_, [u8]> {
    if is_plain(path) {
        return Cow::Borrowed(path);
    }
    // A canonical path is UTF-8.
    let Ok(text) = std::str::from_utf8(path) else { return Cow::Borrowed(path) };
    let mut folded = String::with_capacity(path.len());
    for segment in alike(text).split('/').map(trimmed).filter(|segment| !segment.is_empty()) {
        folded.push('/');
        folded.push_str(segment);
    }
    if folded.is_empty() {
        folded.push('/');
    }
    Cow::Owned(folded.into_bytes())
}

/// The text with one character for all that some system treats as the same: case, compatibility forms and invisible
/// characters are folded, `+` is a blank (as in HTML forms), and a character that folds to a delimiter is one.
pub fn alike(text: &str) -> String {
    let blanks = text.replace('+', " ");
    // The dot remains of a capital I with a dot, which is an i in Turkish.
    let without_dot = |text: &str| -> String {
        folding::fold(text, Case::Insensitive).chars().filter(|c| *c != '\u{307}').nfc().collect()
    };
    // A second time, because dropping a dot can make two blanks adjacent, which count as one.
    let folded = without_dot(&without_dot(&blanks));
    let delimiter = |c: char| match c {
        // A canonical path does not contain these; they come from full-width forms and the like.
        '\\' => '/',
        ';' | '?' | '#' => ':',
        other => other,
    };
    folded.chars().map(delimiter).collect()
}

/// Whether a suffix after a colon distinguishes two paths of policies that are otherwise spellings of one path:
/// `/items` and `/items:export`.
///
/// An author who writes a suffix means it, and the request carries it as written; so one segment with different
/// suffixes is enough. One of the two suffixes may be missing. Both must be plain, since no verb or resource is named
/// `:$DATA`, and must differ in more than spelling.
pub fn told_apart(own: &[u8], other: &[u8]) -> bool {
    let (Ok(own), Ok(other)) = (std::str::from_utf8(own), std::str::from_utf8(other)) else { return false };
    let (own, other) = (alike(own), alike(other));
    let differ = |(own, other): (Option<&str>, Option<&str>)| own.is_some() && other.is_some() && own != other;
    suffixes(&own).zip(suffixes(&other)).any(differ)
}

/// The suffixes of the segments that [`fold`] keeps, empty if there is none; `None` for one that is not plain.
fn suffixes(alike: &str) -> impl Iterator<Item = Option<&str>> {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    alike.split('/').filter(|segment| !trimmed(segment).is_empty()).map(move |segment| {
        let Some(suffix) = colon(segment).and_then(|at| segment.get(at..)?.strip_prefix(':')) else { return Some("") };
        let suffix = trimmed_end(suffix);
        suffix.split(':').all(is_name).then_some(suffix)
    })
}

/// Whether folding certainly changes nothing: true of most paths, in one pass without allocation.
fn is_plain(path: &[u8]) -> bool {
    let mut before = b'/';
    for &byte in path {
        let is_folded = byte.is_ascii_uppercase() || matches!(byte, b':' | b'+' | b' ' | 0x80..);
        if is_folded || (byte == b'/' && before == b'.') {
            return false;
        }
        before = byte;
    }
    before != b'.' && (before != b'/' || path == b"/")
}

fn trimmed(segment: &str) -> &str {
    let name = colon(segment).and_then(|at| segment.get(..at)).unwrap_or(segment);
    trimmed_end(name).trim_start_matches(char::is_whitespace)
}

fn trimmed_end(text: &str) -> &str {
    text.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

/// The position of the colon that ends a segment's name.
fn colon(segment: &str) -> Option<usize> {
    segment.char_indices().skip(1).find(|(_, c)| *c == ':').map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::decide::selection::path::canonical;

    fn folded(path: &str) -> String {
        let canonical = canonical(path.as_bytes()).unwrap().into_owned();
        String::from_utf8(fold(&canonical).into_owned()).unwrap()
    }

    #[test]
    fn spellings_have_one_form() {
        for (path, want) in [
            ("/", "/"),
            ("/admin", "/admin"),
            ("/Admin", "/admin"),
            ("/ADMIN/Users", "/admin/users"),
            ("/admin/", "/admin"),
            ("/admin.", "/admin"),
            ("/admin...", "/admin"),
            ("/admin%20", "/admin"),
            ("/admin%20.%20", "/admin"),
            ("/admin%C2%A0", "/admin"),
            ("/admin%E3%80%80", "/admin"),
            ("/%20admin", "/admin"),
            ("/admin+", "/admin"),
            ("/admin::$DATA", "/admin"),
            ("/admin:$I30:$INDEX_ALLOCATION/x", "/admin/x"),
            ("/admin.%20:x", "/admin"),
            ("/admin./x", "/admin/x"),
            ("/admin%20/x.", "/admin/x"),
            ("/admin/...", "/admin"),
            ("/.../admin", "/admin"),
            ("/%20/admin", "/admin"),
            ("/...", "/"),
            ("/a%20b", "/a b"),
            ("/a.b/.c", "/a.b/.c"),
            ("/a+b", "/a b"),
            ("/a%2Bb", "/a b"),
            ("/a%C2%A0b", "/a b"),
            ("/%EF%BC%A1dmin", "/admin"),
            ("/admin%EF%BC%8E", "/admin"),
            ("/admin%EF%BC%8Fx", "/admin/x"),
            ("/admin%EF%BC%BCx", "/admin/x"),
            ("/admin%EF%BC%9Bx", "/admin"),
            ("/admin%EF%BC%9Fx", "/admin"),
            ("/ad%C2%ADmin", "/admin"),
            ("/admin%E2%80%8B", "/admin"),
            ("/admin%E2%80%8B.", "/admin"),
            ("/%EF%BB%BFadmin", "/admin"),
            ("/%E2%80%8B/admin", "/admin"),
            ("/adm%C4%B0n", "/admin"),
            ("/admI%CC%87n", "/admin"),
            ("/cafe%CC%81", "/caf\u{e9}"),
            ("/%F0%9D%90%9Admin", "/admin"),
            ("/:id", "/:id"),
            ("/caf%C3%89", "/caf\u{e9}"),
            ("/%C5%BFecret", "/secret"),
            ("/%E2%84%AAey", "/key"),
            ("/a+%CC%87%C2%A8", "/a \u{308}"),
            ("/a++b", "/a b"),
            ("/a%20%C2%A0b", "/a b"),
        ] {
            assert_eq!(folded(path), want, "{path}");
        }
    }

    #[test]
    fn suffixes_that_are_written_out_tell_paths_apart() {
        for (own, other, want) in [
            ("/items:export", "/items", true),
            ("/items", "/items:export", true),
            ("/items:export", "/items:import", true),
            ("/Items:export", "/items/", true),
            ("/v1/items:export/x", "/v1/items", true),
            ("/urn:isbn:123", "/urn:isbn:456", true),
            ("/svc:8080/proxy", "/svc:8081/proxy", true),
            ("/items", "/Items", false),
            ("/items:export", "/Items:export", false),
            ("/items:export", "/items:Export", false),
            ("/items:export", "/items:export. ", false),
            ("/items:export", "/items\u{ff1a}export", false),
            ("/admin", "/admin::$DATA", false),
            ("/admin::$DATA", "/admin", false),
            ("/admin:x:$DATA", "/admin", false),
            ("/admin:", "/admin", false),
            ("/admin:x:", "/admin", false),
            ("/admin:.x", "/admin", false),
            ("/admin: ", "/admin", false),
            ("/admin:caf\u{e9}", "/admin", false),
            ("/a/.../b:x", "/a/b", true),
            ("/a/b:x", "/a", false),
            ("", "/a:x", false),
            ("/:id", "/:id", false),
        ] {
            assert_eq!(told_apart(own.as_bytes(), other.as_bytes()), want, "{own:?} {other:?}");
            assert_eq!(told_apart(other.as_bytes(), own.as_bytes()), want, "{other:?} {own:?}");
        }
    }

    #[test]
    fn usual_paths_are_not_copied() {
        for path in ["/", "/v1/payments/42", "/a.b/c_d-e~f", "/.well-known/x", "/a,b=c&d!e"] {
            assert!(matches!(fold(path.as_bytes()), Cow::Borrowed(_)), "{path}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(segments in prop::collection::vec("[aA.:+ i\u{df}\u{e9}\u{130}\u{131}\u{149}\u{3c2}\u{390}\u{307}\u{301}\u{ad}\u{200b}\u{2025}\u{ff0f}\u{ff1b}\u{ff21}\u{a8}]{1,6}", 0..4), slash in prop::bool::ANY) {
            let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
            let path = format!("{path}{}", if slash || path.is_empty() { "/" } else { "" });
            let once = fold(path.as_bytes()).into_owned();
            prop_assert_eq!(fold(&once).into_owned(), once.clone());
            // The form of a prefix of whole segments is a prefix of the form.
            for (at, _) in path.match_indices('/').skip(1) {
                let prefix = fold(&path.as_bytes()[..at]).into_owned();
                prop_assert!(prefix == b"/" || once == prefix || once.starts_with(&[&prefix[..], b"/"].concat()));
            }
        }
    }
}
