//! URIs with the same target.

use std::borrow::Cow;

/// Decodes escapes of characters that need none (RFC 3986 section 2.3); writes the digits of the others in upper case.
pub(super) fn unescaped(text: &str) -> Cow<'_, str> {
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

/// A URI with its scheme in lower case, without dots at the end of the host, and without a port that is empty or the
/// scheme's default (RFC 3986 section 6.2.3).
pub(super) fn authority(text: &str) -> Cow<'_, str> {
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

/// Further spellings of a folded URI: without dot segments (RFC 3986 section 6.2.2.3), with and without the slash of an
/// empty path (section 6.2.3), each with and without its user, which does not distinguish hosts.
pub(super) fn same(text: &str) -> Vec<Box<str>> {
    let Some((scheme, rest)) = text.split_once("://") else { return Vec::new() };
    let split = |text: &'_ str, at: &[char]| text.find(at).unwrap_or(text.len());
    let (authority, rest) = rest.split_at_checked(split(rest, &['/', '?', '#'])).unwrap_or((rest, ""));
    let (path, query) = rest.split_at_checked(split(rest, &['?', '#'])).unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = without_dots(path);
    let empty_too = if &*path == "/" { Some("") } else { None };
    let mut found = Vec::new();
    for authority in [authority, host] {
        for path in [Some(&*path), empty_too].into_iter().flatten() {
            let spelling = [scheme, "://", authority, path, query].concat().into_boxed_str();
            if &*spelling != text && !found.contains(&spelling) {
                found.push(spelling);
            }
        }
    }
    found
}

/// RFC 3986 section 5.2.4; a slash for an empty path.
fn without_dots(path: &str) -> Cow<'_, str> {
    if path.is_empty() {
        return Cow::Borrowed("/");
    }
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            segment => kept.push(segment),
        }
        if matches!(segment, "." | "..") && segments.peek().is_none() {
            kept.push("");
        }
    }
    Cow::Owned(["/", &kept.join("/")].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_further_spellings() {
        for (text, want) in [
            ("https://a/x", &[][..]),
            ("urn:a/../b", &[]),
            ("https://a", &["https://a/"]),
            ("https://a?x", &["https://a/?x"]),
            ("https://a/", &["https://a"]),
            ("https://u@a/x", &["https://a/x"]),
            ("spiffe://a/b/../c/./d", &["spiffe://a/c/d"]),
            ("spiffe://a/../../b/..", &["spiffe://a/", "spiffe://a"]),
            ("spiffe://a/b/.?../x", &["spiffe://a/b/?../x"]),
            ("spiffe://u@a/./b", &["spiffe://u@a/b", "spiffe://a/b"]),
        ] {
            assert_eq!(same(text).iter().map(|text| &**text).collect::<Vec<_>>(), want, "{text}");
        }
    }

    #[test]
    fn dot_segments_of_any_number_are_looked_at_once() {
        let path = "/a/..".repeat(10_000);
        assert_eq!(without_dots(&path), "/");
        assert_eq!(without_dots(&"/..".repeat(10_000)), "/");
    }
}
