//! Host names of requests and of policies.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use thiserror::Error;

use super::guess::HostGuess;

/// RFC 1035 section 2.3.4: a name has at most 253 characters when written without its last dot.
const MAX_HOST: usize = 253;

/// RFC 1035 section 2.3.4: a label has at most 63.
const MAX_LABEL: usize = 63;

/// The hosts that a policy names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// All names below this one, which is stored with a leading dot.
    Below(String),
    /// Any host.
    Any,
    /// Hosts that an unreadable text might mean. Only policies that deny have this.
    Guess(HostGuess),
}

/// Why a text is not a host pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    /// The name has a port.
    #[error("a host has no port here: the request's port is ignored")]
    Port,
    /// It is a URL, or has a path or a user.
    #[error("a host has no scheme, path or user here: write the name alone")]
    Url,
    /// It has characters outside ASCII. Requests carry internationalized names as A-labels (RFC 5890 section 2.3.2.1).
    #[error("not ASCII: write the name as requests carry it, with labels that begin with `xn--`")]
    NotAscii,
    /// An asterisk is not the whole first label.
    #[error("`*` must be the whole first label, as in `*.example.com`, or the whole host")]
    Wildcard,
    /// Anything else.
    #[error(
        "not a host name: want labels of letters, digits, `-` and `_`, at most {MAX_LABEL} characters each and \
         {MAX_HOST} in all, or an IPv6 address in brackets"
    )]
    Malformed,
}

impl HostPattern {
    /// Compiles `text`: a host, `*.` and a host, or `*`.
    pub fn new(text: &str) -> Result<Self, HostError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains(['/', '@']) {
            return Err(HostError::Url);
        }
        if name.contains('*') {
            return Err(HostError::Wildcard);
        }
        if !name.is_ascii() {
            return Err(HostError::NotAscii);
        }
        if split_port(name.as_bytes()).is_some_and(|(_, port)| port.is_some()) {
            return Err(HostError::Port);
        }
        let name = normalize(name.as_bytes()).ok_or(HostError::Malformed)?;
        match (wildcard, name.starts_with('[')) {
            (false, _) => Ok(Self::Exact(name.into_owned())),
            (true, false) => Ok(Self::Below(format!(".{name}"))),
            (true, true) => Err(HostError::Wildcard),
        }
    }
}

/// As an operator writes it.
impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
            Self::Guess(guess) => guess.fmt(f),
        }
    }
}

/// The host of an `:authority`: port and one trailing dot dropped, lower case; `None` when it names no host.
pub fn normalize(authority: &[u8]) -> Option<Cow<'_, str>> {
    let (host, _) = split_port(authority)?;
    if let Some(literal) = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        // RFC 3986 section 3.2.2. Zone identifiers have no meaning on another machine.
        let address: Ipv6Addr = std::str::from_utf8(literal).ok()?.parse().ok()?;
        return Some(Cow::Owned(format!("[{address}]")));
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    let legal = |label: &[u8]| {
        (1..=MAX_LABEL).contains(&label.len())
            && label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if host.len() > MAX_HOST || !host.split(|b| *b == b'.').all(legal) {
        return None;
    }
    let host = std::str::from_utf8(host).ok()?;
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        Some(Cow::Owned(host.to_ascii_lowercase()))
    } else {
        Some(Cow::Borrowed(host))
    }
}

/// Splits a port off. The port is digits, or empty (RFC 3986 section 3.2.3).
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let after = match authority.iter().rposition(|b| *b == b']') {
        Some(end) if authority.first() == Some(&b'[') => end,
        Some(_) => return None,
        None => 0,
    };
    let Some(colon) = authority.iter().skip(after).position(|b| *b == b':').and_then(|at| at.checked_add(after)) else {
        return Some((authority, None));
    };
    let (host, port) = authority.split_at_checked(colon)?;
    let port = port.strip_prefix(b":")?;
    (port.len() <= 5 && port.iter().all(u8::is_ascii_digit)).then_some((host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_requests_are_normalized() {
        let rows: &[(&str, Option<&str>)] = &[
            ("api.example.com", Some("api.example.com")),
            ("API.Example.COM", Some("api.example.com")),
            ("api.example.com:8443", Some("api.example.com")),
            ("api.example.com:", Some("api.example.com")),
            ("api.example.com.", Some("api.example.com")),
            ("api.example.com.:443", Some("api.example.com")),
            ("a_b.example.com", Some("a_b.example.com")),
            ("10.0.0.1:80", Some("10.0.0.1")),
            ("[2001:DB8:0::1]:443", Some("[2001:db8::1]")),
            ("[::1]", Some("[::1]")),
            ("", None),
            (".", None),
            (":443", None),
            ("api.example.com..", None),
            (".example.com", None),
            ("a..b", None),
            ("api.example.com:44x", None),
            ("api.example.com:123456", None),
            ("a:b:1", None),
            ("user@api.example.com", None),
            ("api.example.com/x", None),
            ("api.example.com ", None),
            ("api.example.com\0", None),
            ("*.example.com", None),
            ("b\u{fc}cher.example", None),
            ("api%2eexample.com", None),
            ("::1", None),
            ("[::1", None),
            ("::1]", None),
            ("[::1%25eth0]", None),
            ("[::1]x", None),
            ("x[::1]", None),
        ];
        for (authority, want) in rows {
            assert_eq!(normalize(authority.as_bytes()).as_deref(), *want, "{authority:?}");
        }
        assert_eq!(normalize(format!("{}.de", "a".repeat(64)).as_bytes()), None);
        assert_eq!(normalize("a.".repeat(127).as_bytes()).map(|host| host.len()), Some(253));
        assert_eq!(normalize("a.".repeat(128).as_bytes()), None);
    }

    #[test]
    fn patterns() {
        for (text, want) in [
            ("api.example.com", Ok(HostPattern::Exact("api.example.com".into()))),
            ("API.example.com.", Ok(HostPattern::Exact("api.example.com".into()))),
            ("*.Example.com", Ok(HostPattern::Below(".example.com".into()))),
            ("[::1]", Ok(HostPattern::Exact("[::1]".into()))),
            ("*", Ok(HostPattern::Any)),
            ("*.", Err(HostError::Malformed)),
            ("*example.com", Err(HostError::Wildcard)),
            ("a.*.example.com", Err(HostError::Wildcard)),
            ("*.*.example.com", Err(HostError::Wildcard)),
            ("*.[::1]", Err(HostError::Wildcard)),
            ("api.example.com:443", Err(HostError::Port)),
            ("", Err(HostError::Malformed)),
            ("https://api.example.com", Err(HostError::Url)),
            ("https://api.example.com:8443", Err(HostError::Url)),
            ("api.example.com/v1", Err(HostError::Url)),
            ("user@api.example.com", Err(HostError::Url)),
            ("b\u{fc}cher.example", Err(HostError::NotAscii)),
            ("api.example.com..", Err(HostError::Malformed)),
            ("::1", Err(HostError::Malformed)),
        ] {
            assert_eq!(HostPattern::new(text), want, "{text:?}");
        }
    }
}
