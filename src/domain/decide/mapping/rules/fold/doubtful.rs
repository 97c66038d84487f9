//! Malformed names, in which software may read another name.
//!
//! A rule that denies matches each of them. None is legitimate: a host in a certificate has only letters, digits,
//! hyphens and dots (RFC 5280 section 4.2.1.6), and an address is a Mailbox, without comments.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::uri::unescaped;
use crate::domain::decide::mapping::rules::NameKind;

/// The most octets of a text outside ASCII that are folded: 4 KiB. A folded text can be eleven times as long, and
/// folding takes tens of nanoseconds per octet. Real names are far shorter: an organization has at most 64 characters
/// (ub-organization-name, RFC 5280 appendix A.1), a user principal name 1,024.
const MAX_FOLDED: usize = 4096;

/// Whether `text` is too long to be folded.
pub fn is_too_long(text: &str) -> bool {
    text.len() > MAX_FOLDED && !text.is_ascii()
}

/// Whether other software may read another name in `text`.
pub fn is_doubtful(source: &NameKind, text: &str) -> bool {
    match source {
        NameKind::Dns => !is_host(&unescaped(text)) && text.parse::<Ipv6Addr>().is_err(),
        NameKind::Uri => is_doubtful_uri(text),
        NameKind::Email => is_doubtful_address(text),
        NameKind::Subject(_) | NameKind::Issuer(_) | NameKind::UserPrincipalName => false,
    }
}

/// Whether `text` has only characters of hosts. A wildcard counts as one.
fn is_host(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b))
}

/// Backslashes that browsers read as slashes, hosts with escapes or two at signs, and web addresses whose host only the
/// WHATWG's URL standard finds, as in `https:host` and `https:///host`.
fn is_doubtful_uri(text: &str) -> bool {
    if text.contains('\\') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_web = ["http", "https", "ws", "wss", "ftp"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
    let Some(rest) = rest.strip_prefix("//") else { return is_web };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    user.contains('@') || (is_web && host.is_empty()) || unescaped(host).contains('%')
}

/// Comments, routes, lists, names beside the address, and unterminated quotes.
fn is_doubtful_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let domain = domain.trim();
    let is_literal = domain.starts_with('[') && domain.ends_with(']');
    let mut domain: Cow<'_, str> = domain.into();
    if domain.contains(' ') {
        domain = domain.replace(' ', "").into();
    }
    let (mut in_quotes, mut has_specials) = (false, false);
    let mut chars = local.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => in_quotes = !in_quotes,
            '\\' if in_quotes => _ = chars.next(),
            '(' | ')' | '<' | '>' | ',' | ';' | ':' | '\\' | '@' | '[' | ']' if !in_quotes => has_specials = true,
            _ => {}
        }
    }
    in_quotes || has_specials || !(is_literal || is_host(&domain))
}
