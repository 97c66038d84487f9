//! The hosts that an invalid host pattern might mean.
//!
//! A policy with such a host is invalid and denies. The requests that it was meant to decide are unknown, and none of
//! them may fall to a laxer policy, so this module errs on the side of more hosts. It is not a second grammar of hosts:
//! a guess never allows a request.
//!
//! A scheme, a user, a port and a path are removed. `*` matches any characters. A label with letters outside ASCII
//! matches any one label (it is some A-label, and the tables of UTS 46 are not worth their size here). A label with
//! characters that no host has matches any labels. A list in one text means each of its parts, and also the text with
//! its separators read as parts of a host. The same holds for every other part of the text that looks like a host: the
//! characters between may have another meaning. A text without a single readable label means every host.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::host::HostPattern;

/// The longest text that is analysed; a host has 253 characters.
const MAX_TEXT: usize = 1024;

/// The most guesses about one text. A text with more of them means every host.
const MAX_PIECES: usize = 16;

/// The schemes before hosts.
const SCHEMES: [&str; 8] = ["http", "https", "ws", "wss", "grpc", "grpcs", "tcp", "tls"];

/// Hosts, by a text in which `*` matches any characters including dots, and `?` matches one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostGuess(String);

/// A possible meaning of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognized {
    /// The hosts.
    pub host: HostPattern,
    /// Whether the text has a path after the host: the intended paths are then unknown.
    pub has_path: bool,
}

impl Recognized {
    /// Every host.
    pub fn everything() -> Self {
        Self { host: HostPattern::Guess(HostGuess("*".to_owned())), has_path: false }
    }
}

/// The possible meanings of `text`: hosts with precedence over all others. Their union contains every host that the
/// author can have meant.
pub fn recognize(text: &str) -> Vec<Recognized> {
    let is_separator = |c: char| c.is_whitespace() || matches!(c, ',' | ';');
    let is_around = |c: char| is_separator(c) || matches!(c, '"' | '\'' | '`' | '<' | '>');
    let text = text.trim_matches(is_around);
    if text.is_empty() || text.len() > MAX_TEXT {
        return vec![Recognized::everything()];
    }
    let mut pieces: Vec<&str> =
        text.split(is_separator).map(|piece| piece.trim_matches(is_around)).filter(|piece| !piece.is_empty()).collect();
    let joined = pieces.join("*");
    if pieces.len() > 1 {
        pieces.push(&joined);
    }
    if pieces.len() > MAX_PIECES {
        return vec![Recognized::everything()];
    }
    let mut found: Vec<Recognized> = pieces.into_iter().map(recognize_one).collect();
    for word in words(text) {
        let Some(host) = of_host(word, "").map(before_all) else { continue };
        let is_known = |known: &Recognized| match &known.host {
            HostPattern::Guess(guess) => known.host == host || guess.covers(&word.to_ascii_lowercase()),
            _ => false,
        };
        if found.iter().any(is_known) {
            continue;
        }
        // The intended paths are unknown.
        found.push(Recognized { host, has_path: true });
        if found.len() > MAX_PIECES {
            return vec![Recognized::everything()];
        }
    }
    found
}

/// The parts of a text that might be hosts of several labels, whatever surrounds them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '*');
    let words = text.split(move |c| !is_inner(c));
    // A word that begins or ends with a dot is a part of something longer.
    words.filter(|word| word.contains('.') && !word.starts_with('.') && !word.ends_with('.'))
}

/// The same hosts, with precedence over all other policies. What made the text unreadable, for example a port, may have
/// distinguished the policy from another one for the same host.
fn before_all(host: HostPattern) -> HostPattern {
    HostPattern::Guess(match host {
        HostPattern::Exact(name) => HostGuess(name),
        HostPattern::Below(suffix) => HostGuess(format!("*{suffix}")),
        HostPattern::Any => HostGuess("*".to_owned()),
        HostPattern::Guess(guess) => guess,
    })
}

fn recognize_one(text: &str) -> Recognized {
    let is_scheme = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-'));
    let scheme = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
    let text = scheme.map_or(text, |(_, rest)| rest).trim_start_matches('/');
    let (authority, path) = text.split_once('/').unwrap_or((text, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match of_host(host, path) {
        Some(host) => Recognized { host: before_all(host), has_path: !path.is_empty() },
        None => Recognized::everything(),
    }
}

/// The hosts that `host` might mean; `None` if no part of it can be read.
fn of_host(host: &str, path: &str) -> Option<HostPattern> {
    let literal = |text: &str| {
        let address: Ipv6Addr = text.split('%').next()?.parse().ok()?;
        HostPattern::new(&format!("[{address}]")).ok()
    };
    let is_number = !path.is_empty() && path.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        return literal(rest.split(']').next()?).filter(|_| !is_number);
    }
    if let Some(address) = literal(host) {
        return Some(address).filter(|_| !is_number);
    }
    // The host may follow the scheme: `https:/admin`, `https//admin`, `https:admin`.
    let is_scheme = |text: &str| SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(text));
    let host = match host.split_once(':') {
        Some((_, port)) if port.contains(['.', ':']) => return None,
        Some((host, port)) if is_scheme(host) || (port.is_empty() && !path.is_empty()) => return None,
        None if is_scheme(host) && !path.is_empty() => return None,
        Some((host, _)) => host,
        None => host,
    };
    // A range of addresses.
    if is_number && host.parse::<Ipv4Addr>().is_ok() {
        return Some(HostPattern::Guess(HostGuess("?.?.?.?".to_owned())));
    }
    if let Ok(pattern) = HostPattern::new(host) {
        return Some(pattern);
    }
    // The full stops of IDNA (RFC 3490 section 3.1).
    let host = host.to_ascii_lowercase().replace(['\u{3002}', '\u{ff0e}', '\u{ff61}'], ".");
    let (mut guess, mut is_readable, mut wants_dot) = (String::new(), false, false);
    for label in host.trim_end_matches('.').split('.') {
        if wants_dot {
            guess.push('.');
        }
        // A label is missing here: any label, or none.
        wants_dot = !label.is_empty();
        let is_legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'*');
        if label.is_empty() {
            guess.push('*');
        } else if label.bytes().all(is_legal) {
            is_readable |= label.bytes().any(|b| b != b'*');
            guess.push_str(label);
        } else {
            // Letters outside ASCII make an A-label; other characters may represent a dot.
            let is_one = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
            guess.push(if !label.is_ascii() && label.chars().all(is_one) { '?' } else { '*' });
        }
    }
    if !guess.contains(['*', '?']) {
        return HostPattern::new(&guess).ok();
    }
    // A label outside ASCII shows at least the number of labels.
    (is_readable || !guess.contains('*')).then_some(HostPattern::Guess(HostGuess(guess)))
}

impl HostGuess {
    /// The text, with its `*` and `?`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a normalized host might be meant. The time is proportional to the product of both lengths.
    pub fn covers(&self, host: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_bytes(), host.as_bytes());
        // The pattern after the last `*`, and the part of the host that it has not matched yet.
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern.split_first(), rest.split_first()) {
                (Some((b'*', after)), _) => {
                    (pattern, retry) = (after, Some((after, rest)));
                    continue;
                }
                (Some((b'?', after)), Some((first, _))) if *first != b'.' => {
                    let label = rest.iter().position(|b| *b == b'.').unwrap_or(rest.len());
                    (pattern, rest) = (after, rest.get(label..).unwrap_or_default());
                    continue;
                }
                (Some((wanted, after)), Some((found, further))) if wanted == found => {
                    (pattern, rest) = (after, further);
                    continue;
                }
                (None, None) => return true,
                _ => {}
            }
            let Some((after, taken)) = retry else { return false };
            let Some((_, further)) = taken.split_first() else { return false };
            (pattern, rest, retry) = (after, further, Some((after, further)));
        }
    }
}

impl fmt::Display for HostGuess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == "*" {
            return f.write_str("every host, because none can be recognised in an unreadable text");
        }
        let like = if self.0.contains(['*', '?']) { "all like " } else { "" };
        write!(f, "{like}{}, recognised in an unreadable text", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let one = |found: Recognized| {
            let host = match &found.host {
                HostPattern::Guess(guess) => guess.as_str().to_owned(),
                readable => readable.to_string(),
            };
            if found.has_path { format!("{host} with a path") } else { host }
        };
        recognize(text).into_iter().map(one).collect()
    }

    #[test]
    fn the_host_in_a_text_is_recognised() {
        let rows: &[(&str, &[&str])] = &[
            ("admin.example.com:8443", &["admin.example.com"]),
            ("admin.example.com:*", &["admin.example.com"]),
            ("https://admin.example.com", &["admin.example.com"]),
            ("https://admin.example.com/", &["admin.example.com"]),
            ("https://u:p@Admin.Example.com:8443/x?y", &["admin.example.com with a path"]),
            ("//admin.example.com/x", &["admin.example.com with a path"]),
            ("admin.example.com/x", &["admin.example.com with a path"]),
            (" admin.example.com\n", &["admin.example.com"]),
            ("\"admin.example.com\"", &["admin.example.com"]),
            ("admin.example.com..", &["admin.example.com"]),
            ("*.admin.example.com:443", &["*.admin.example.com"]),
            ("https://*.admin.example.com", &["*.admin.example.com"]),
            ("https://*", &["*"]),
            ("*admin.example.com", &["*admin.example.com"]),
            ("a.*.example.com", &["a.*.example.com"]),
            ("*.*.example.com", &["*.*.example.com"]),
            ("admin*.example.com:8443", &["admin*.example.com"]),
            (".admin.example.com", &["*admin.example.com"]),
            ("admin..example.com", &["admin.*example.com"]),
            ("b\u{fc}cher.example.com", &["?.example.com"]),
            ("admin.b\u{fc}cher.example", &["admin.?.example"]),
            ("\u{43f}\u{440}\u{438}\u{43c}\u{435}\u{440}.\u{440}\u{444}", &["?.?"]),
            ("\u{ff41}dmin\u{3002}example\u{ff0e}com", &["?.example.com"]),
            ("*b\u{fc}cher.example", &["*.example"]),
            ("${HOST}.example.com", &["*.example.com"]),
            ("(admin|api).example.com", &["*.example.com"]),
            (
                "admin.example.com, api.example.com",
                &["admin.example.com", "api.example.com", "admin.example.com*api.example.com"],
            ),
            ("admin example.com", &["admin", "example.com", "admin*example.com"]),
            ("[2001:db8::1]:443", &["[2001:db8::1]"]),
            ("2001:DB8::1", &["[2001:db8::1]"]),
            ("[fe80::1%25eth0]", &["[fe80::1]"]),
            ("10.0.0.0/8", &["?.?.?.? with a path"]),
            ("fd00::/8", &["*"]),
            ("[fd00::]/8", &["*"]),
            ("", &["*"]),
            ("https://", &["*"]),
            (":8443", &["*"]),
            ("{{host}}", &["*"]),
            ("^admin\\.example\\.com$", &["*"]),
            ("localhost:admin.example.com", &["*"]),
            ("https:/admin", &["*"]),
            ("https:admin", &["*"]),
            ("HTTPS//admin", &["*"]),
            ("https:/admin.example.com", &["*"]),
            ("http://https://admin.example.com", &["*"]),
            ("localhost:8443/x", &["localhost with a path"]),
            ("https\u{ff1a}//admin.example.com", &["*"]),
            (
                "admin.example.com|api.example.com",
                &["admin.example.*.example.com", "admin.example.com with a path", "api.example.com with a path"],
            ),
            ("admin.example.com/api.example.com", &["admin.example.com with a path", "api.example.com with a path"]),
            ("admin.example.com?v=1.0", &["admin.example.*.0", "admin.example.com with a path", "1.0 with a path"]),
            ("admin.example.com#a.b", &["admin.example.*.b", "admin.example.com with a path", "a.b with a path"]),
            ("admin.example.com/?u=https://x", &["admin.example.com with a path"]),
            ("admin?.example.com", &["*.example.com"]),
            ("admin\u{2024}example.com", &["*.com"]),
            ("admin.example.com\u{200b}", &["admin.example.*"]),
            ("[nonsense]", &["*"]),
        ];
        for (text, want) in rows {
            assert_eq!(shown(text), *want, "{text:?}");
        }
        assert_eq!(shown(&"a.".repeat(600)), ["*"]);
        assert_eq!(shown(&format!("{}.example.com:1", "a".repeat(64))), ["*"], "no host has such a label");
        assert_eq!(shown(&"a.example ".repeat(20)), ["*"]);
    }

    #[test]
    fn guesses_cover_hosts() {
        for (guess, covered, other) in [
            ("*", &["a", "a.b", "[::1]"][..], &[][..]),
            (
                "*admin.example.com",
                &["admin.example.com", "xadmin.example.com", "a.b.admin.example.com"],
                &["example.com", "admin.example.com.evil"],
            ),
            ("?.example.com", &["a.example.com", "xn--bcher-kva.example.com"], &["example.com", "a.b.example.com"]),
            ("admin.?.example", &["admin.x.example"], &["admin.example", "admin.x.y.example", "admin..example"]),
            ("?.?", &["a.b"], &["a", "a.b.c"]),
            ("a.*.example.com", &["a.b.example.com", "a.b.c.example.com"], &["a.example.com", "b.a.b.example.com"]),
            ("admin.*example.com", &["admin.example.com", "admin.x.example.com"], &["example.com"]),
            ("*.?.com", &["a.b.com", "c.a.b.com"], &["b.com"]),
        ] {
            let guess = HostGuess(guess.to_owned());
            covered.iter().for_each(|host| assert!(guess.covers(host), "{guess} {host}"));
            other.iter().for_each(|host| assert!(!guess.covers(host), "{guess} {host}"));
        }
    }

    fn naive(pattern: &[u8], host: &[u8]) -> bool {
        match pattern {
            [] => host.is_empty(),
            [b'*', rest @ ..] => (0..=host.len()).any(|at| naive(rest, &host[at..])),
            [b'?', rest @ ..] => {
                let end = host.iter().position(|b| *b == b'.').unwrap_or(host.len());
                end > 0 && naive(rest, &host[end..])
            }
            [c, rest @ ..] => host.first() == Some(c) && naive(rest, &host[1..]),
        }
    }

    proptest! {
        #[test]
        fn covering_agrees_with_the_naive_model(pattern in "[ab.*?]{0,8}", host in "[ab.]{0,10}") {
            prop_assert_eq!(HostGuess(pattern.clone()).covers(&host), naive(pattern.as_bytes(), host.as_bytes()));
        }

        #[test]
        fn the_host_is_covered_whatever_stands_around_it(
            host in "[a-z]{1,5}(\\.[a-z0-9]{1,4}){1,3}",
            before in prop::sample::select(vec!["", "https://", "*", "u@", " ", ".", "//"]),
            after in prop::sample::select(vec!["", ":8443", "/", "/x", "..", " ", ":443/x"]),
            more in prop::sample::select(vec!["", ",other.example", " b"]),
        ) {
            let text = format!("{before}{host}{after}{more}");
            prop_assume!(HostPattern::new(&text).is_err());
            let covers = |found: &Recognized| match &found.host {
                HostPattern::Exact(name) => *name == host,
                HostPattern::Below(suffix) => host.ends_with(suffix.as_str()),
                HostPattern::Any => true,
                HostPattern::Guess(guess) => guess.covers(&host),
            };
            prop_assert!(recognize(&text).iter().any(covers), "{:?}", recognize(&text));
        }
    }
}
