//! Paths of requests and of policies, and which of them are unambiguous.
//!
//! A proxy, certgate and the service behind both may each normalize a path differently. Where a policy is selected by
//! path, certgate rejects a path that they could read differently instead of interpreting it. All other paths are
//! compared after percent-decoding, so that `%21` and `!` cannot name one path to the service and two to certgate.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use super::spelling::alike;

/// What makes a path ambiguous.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
pub enum Ambiguity {
    /// It does not begin with a slash: `*`, an absolute URI, or empty.
    #[error("it does not begin with `/`")]
    NotAbsolute,
    /// A segment is `.` or `..`, or becomes so when blanks are trimmed, compatibility forms folded or invisible
    /// characters dropped.
    #[error("it has a dot segment")]
    DotSegment,
    /// Two adjacent slashes.
    #[error("it has an empty segment")]
    EmptySegment,
    /// An escaped slash or backslash.
    #[error("it escapes a slash or backslash")]
    EscapedSlash,
    /// A raw backslash.
    #[error("it has a backslash")]
    Backslash,
    /// A semicolon, raw or escaped, which some servers read as the start of parameters.
    #[error("it has a `;`")]
    Parameters,
    /// A raw number sign.
    #[error("it has a `#`")]
    Fragment,
    /// An escaped question mark or number sign: the end of the path to software that decodes first.
    #[error("it escapes a `?` or `#`")]
    EscapedDelimiter,
    /// Its decoded octets are not UTF-8. Overlong forms are not UTF-8 (RFC 3629 section 3); some decoders read them as
    /// the characters that they encode, for example a slash, and replace or drop invalid octets.
    #[error("it is not UTF-8 when decoded")]
    NotUtf8,
    /// A percent sign without two hexadecimal digits.
    #[error("it has a `%` without two hexadecimal digits")]
    InvalidEscape,
    /// An escaped letter, digit, `-`, `.`, `_` or `~` (RFC 3986 section 2.3: these should not be escaped).
    #[error("it escapes a character that needs no escape")]
    NeedlessEscape,
    /// An escaped percent sign before two hexadecimal digits: an escape to software that decodes twice.
    #[error("it is escaped twice")]
    DoubleEscape,
    /// A control character, raw or escaped, or a raw blank or character outside ASCII.
    #[error("it has a control character, a raw blank or a raw character outside ASCII")]
    IllegalCharacter,
}

/// The path of a request target: everything before the first `?`.
pub fn without_query(target: &[u8]) -> &[u8] {
    target.split(|b| *b == b'?').next().unwrap_or_default()
}

/// The decoded form of a path (without query) that all software reads the same, or why there is none.
///
/// A trailing slash is not an empty segment.
pub fn canonical(path: &[u8]) -> Result<Cow<'_, [u8]>, Ambiguity> {
    let Some(segments) = path.strip_prefix(b"/") else { return Err(Ambiguity::NotAbsolute) };
    let mut escaped = false;
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (value, after) = escape(after)?;
                check_escaped(value, after)?;
                escaped = true;
                rest = after;
            }
            b'\\' => return Err(Ambiguity::Backslash),
            b';' => return Err(Ambiguity::Parameters),
            b'#' => return Err(Ambiguity::Fragment),
            0..=b' ' | 0x7f.. => return Err(Ambiguity::IllegalCharacter),
            _ => {}
        }
    }
    let mut segments = segments.split(|b| *b == b'/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            _ if is_dots(segment) => return Err(Ambiguity::DotSegment),
            b"" if segments.peek().is_some() => return Err(Ambiguity::EmptySegment),
            _ => {}
        }
    }
    if !escaped {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path);
    let text = std::str::from_utf8(&decoded).map_err(|_| Ambiguity::NotUtf8)?;
    // Windows drops blanks at the end of names, and other systems trim both ends or normalize.
    if alike(text).split('/').any(|segment| matches!(segment.trim(), "." | "..")) {
        return Err(Ambiguity::DotSegment);
    }
    Ok(Cow::Owned(decoded))
}

/// Whether a segment without escapes is one or two dots, with or without blanks (written `+`).
fn is_dots(segment: &[u8]) -> bool {
    let mut rest = segment.iter().filter(|b| **b != b'+');
    matches!((rest.next(), rest.next(), rest.next()), (Some(b'.'), None | Some(b'.'), None))
}

/// The value of an escape whose percent sign has been read, and what follows it.
fn escape(after: &[u8]) -> Result<(u8, &[u8]), Ambiguity> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match after {
        [high, low, rest @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Ok(((high << 4) | low, rest)),
            _ => Err(Ambiguity::InvalidEscape),
        },
        _ => Err(Ambiguity::InvalidEscape),
    }
}

fn check_escaped(value: u8, after: &[u8]) -> Result<(), Ambiguity> {
    match value {
        b'/' | b'\\' => Err(Ambiguity::EscapedSlash),
        b';' => Err(Ambiguity::Parameters),
        b'?' | b'#' => Err(Ambiguity::EscapedDelimiter),
        b'-' | b'.' | b'_' | b'~' => Err(Ambiguity::NeedlessEscape),
        byte if byte.is_ascii_alphanumeric() => Err(Ambiguity::NeedlessEscape),
        byte if byte.is_ascii_control() => Err(Ambiguity::IllegalCharacter),
        b'%' if escape(after).is_ok() => Err(Ambiguity::DoubleEscape),
        _ => Ok(()),
    }
}

/// Decodes a path whose escapes have been checked.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, escape(after)) {
            (b'%', Ok((value, after))) => {
                out.push(value);
                rest = after;
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// The paths that a policy names, in canonical form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPattern {
    /// This path.
    Exact(Vec<u8>),
    /// This path and those below it; without a trailing slash, so empty for all paths.
    Prefix(Vec<u8>),
    /// Any path.
    Any,
    /// An unreadable path or method. It might be any, so it matches every request of the host before all others.
    Unreadable,
}

impl PathPattern {
    /// The path `text` alone.
    pub fn exact(text: &str) -> Result<Self, PathError> {
        Ok(Self::Exact(readable(text)?))
    }

    /// The path `text` and those below it. A trailing slash makes no difference.
    pub fn prefix(text: &str) -> Result<Self, PathError> {
        let mut path = readable(text)?;
        if path.last() == Some(&b'/') {
            path.pop();
        }
        Ok(Self::Prefix(path))
    }
}

/// Why a text is not a path of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// It has a query.
    #[error("a path has no query here: what follows `?` is not compared")]
    Query,
    /// Requests with this path are always rejected.
    #[error("no request can have this path: {0}")]
    Ambiguous(#[from] Ambiguity),
}

fn readable(text: &str) -> Result<Vec<u8>, PathError> {
    if text.contains('?') {
        return Err(PathError::Query);
    }
    Ok(canonical(text.as_bytes())?.into_owned())
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "path {}", String::from_utf8_lossy(path)),
            Self::Prefix(path) if path.is_empty() => f.write_str("paths below /"),
            Self::Prefix(path) => write!(f, "paths below {}", String::from_utf8_lossy(path)),
            Self::Any => f.write_str("any path"),
            Self::Unreadable => f.write_str("an unreadable path or method, which stands for all"),
        }
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathPattern({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_paths_are_decoded() {
        for (path, want) in [
            ("/", "/"),
            ("/v1/payments", "/v1/payments"),
            ("/v1/payments/", "/v1/payments/"),
            ("/a%20b", "/a b"),
            ("/a%21b", "/a!b"),
            ("/a!b", "/a!b"),
            ("/50%25", "/50%"),
            ("/50%25x", "/50%x"),
            ("/caf%C3%A9", "/caf\u{e9}"),
            ("/caf%c3%a9", "/caf\u{e9}"),
            ("/%F0%9F%94%91", "/\u{1f511}"),
            ("/%20a%20", "/ a "),
            ("/a%20.b", "/a .b"),
            ("/..a/.b/c.", "/..a/.b/c."),
            ("/...", "/..."),
            ("/.+.x/+", "/.+.x/+"),
            ("/%E4%BB%80%EF%BC%9F", "/\u{4ec0}\u{ff1f}"),
            ("/a:b@c,d=e&f+g", "/a:b@c,d=e&f+g"),
        ] {
            assert_eq!(canonical(path.as_bytes()).as_deref(), Ok(want.as_bytes()), "{path}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        use Ambiguity::*;
        for (path, want) in [
            ("", NotAbsolute),
            ("*", NotAbsolute),
            ("http://a/b", NotAbsolute),
            ("/a/./b", DotSegment),
            ("/a/../b", DotSegment),
            ("/..", DotSegment),
            ("/a/.", DotSegment),
            ("//a", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a//", EmptySegment),
            ("//", EmptySegment),
            ("/a%2fb", EscapedSlash),
            ("/a%2Fb", EscapedSlash),
            ("/a%5cb", EscapedSlash),
            ("/a%5Cb", EscapedSlash),
            ("/a\\b", Backslash),
            ("/a;x=1", Parameters),
            ("/a/;/b", Parameters),
            ("/a%3bx", Parameters),
            ("/a#b", Fragment),
            ("/a%", InvalidEscape),
            ("/a%2", InvalidEscape),
            ("/a%zz", InvalidEscape),
            ("/a%u002f", InvalidEscape),
            ("/%61dmin", NeedlessEscape),
            ("/%2e%2e/a", NeedlessEscape),
            ("/a%7Eb", NeedlessEscape),
            ("/a%2D", NeedlessEscape),
            ("/a%5f", NeedlessEscape),
            ("/a%30", NeedlessEscape),
            ("/a%252e", DoubleEscape),
            ("/a%3fb", EscapedDelimiter),
            ("/a%3F", EscapedDelimiter),
            ("/a%23b", EscapedDelimiter),
            ("/a%c0%afb", NotUtf8),
            ("/%c0%ae%c0%ae/a", NotUtf8),
            ("/%e0%80%ae", NotUtf8),
            ("/a%ff", NotUtf8),
            ("/a%c3", NotUtf8),
            ("/a%c3/%a9", NotUtf8),
            ("/%ed%a0%80", NotUtf8),
            ("/a/..%20/b", DotSegment),
            ("/a/%20../b", DotSegment),
            ("/a/.%20", DotSegment),
            ("/..%C2%A0", DotSegment),
            ("/%E3%80%80.%20/b", DotSegment),
            ("/a/..+/b", DotSegment),
            ("/a/+./b", DotSegment),
            ("/a/%2B../b", DotSegment),
            ("/a/..%E2%80%8B/b", DotSegment),
            ("/a/.%C2%AD./b", DotSegment),
            ("/a/%EF%BC%8E%EF%BC%8E/b", DotSegment),
            ("/a/%E2%80%A5/b", DotSegment),
            ("/a%EF%BC%8F..%EF%BC%8Fb", DotSegment),
            ("/a%EF%BC%BC%E2%80%A4.%EF%BC%BCb", DotSegment),
            ("/a%00", IllegalCharacter),
            ("/a%0a", IllegalCharacter),
            ("/a%7f", IllegalCharacter),
            ("/a b", IllegalCharacter),
            ("/a\tb", IllegalCharacter),
            ("/a\0b", IllegalCharacter),
            ("/caf\u{e9}", IllegalCharacter),
        ] {
            assert_eq!(canonical(path.as_bytes()), Err(want), "{path:?}");
        }
    }

    #[test]
    fn the_query_is_not_looked_at() {
        for (target, want) in [("/a?b=/../c#;%zz", "/a"), ("/a", "/a"), ("?x", ""), ("/a??", "/a")] {
            assert_eq!(without_query(target.as_bytes()), want.as_bytes(), "{target}");
        }
    }

    #[test]
    fn patterns_are_canonical() {
        assert_eq!(PathPattern::prefix("/"), Ok(PathPattern::Prefix(Vec::new())));
        assert_eq!(PathPattern::prefix("/a/"), PathPattern::prefix("/a"));
        assert_ne!(PathPattern::exact("/a/"), PathPattern::exact("/a"));
        assert_eq!(PathPattern::exact("/a%21"), PathPattern::exact("/a!"));
        assert_eq!(PathPattern::exact("/a?b"), Err(PathError::Query));
        assert_eq!(PathPattern::prefix("a"), Err(PathError::Ambiguous(Ambiguity::NotAbsolute)));
        assert_eq!(PathPattern::prefix("/a/../b"), Err(PathError::Ambiguous(Ambiguity::DotSegment)));
    }
}
