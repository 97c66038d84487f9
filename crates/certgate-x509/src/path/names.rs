//! How names compare with the subtrees of name constraints, form by form (RFC 5280 section 4.2.1.10).
//!
//! Every comparison has one of three results: inside, outside, or not comparable. A malformed name or subtree is not
//! comparable, and then the caller rejects the name, for permitted and excluded subtrees.

use std::net::IpAddr;

/// The answer of a comparison.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// The name lies in the subtree.
    Inside,
    /// It does not.
    Outside,
    /// Name or subtree is malformed, for this reason.
    Unsupported(&'static str),
}

/// The kind of constraint. If a name covers many (a wildcard), inside means *all* of them for a permitted subtree and
/// *any* of them for an excluded one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Permitted,
    Excluded,
}

fn answer(inside: bool) -> Comparison {
    if inside { Comparison::Inside } else { Comparison::Outside }
}

/// A DNS name: the base, or anything with more labels before it. A base with a leading period, which RFC 5280 does not
/// have here, holds the names with more labels alone, as OpenSSL, Go and webpki read it.
pub(super) fn dns(name: &str, base: &str, direction: Direction) -> Comparison {
    let (wildcard, host) = match name.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    if !is_host(host) {
        return Comparison::Unsupported("it is not a DNS name");
    }
    // An empty base holds every name.
    if base.is_empty() {
        return Comparison::Inside;
    }
    let domain = base.strip_prefix('.');
    if !is_host(domain.unwrap_or(base)) {
        return Comparison::Unsupported("the subtree is not a DNS name");
    }
    if let Some(domain) = domain {
        // Every name that a wildcard matches is below the part after it.
        return answer(is_below_or_at(host, domain) && (wildcard || !host.eq_ignore_ascii_case(domain)));
    }
    if is_below_or_at(host, base) {
        return Comparison::Inside;
    }
    // `*.example.com` matches `bar.example.com` too.
    let touches = wildcard
        && direction == Direction::Excluded
        && base.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(host));
    answer(touches)
}

/// An empty subtree of mail addresses or URIs. RFC 5280 gives it no meaning: by its words it is the host without a
/// name, which no name is at, and so OpenSSL reads it; NSS and Go take it for every name. Excluded it holds every name,
/// permitted none.
fn empty(direction: Direction) -> Comparison {
    answer(direction == Direction::Excluded)
}

/// A mail address: one mailbox, the mailboxes of a host, or those of every host below a domain.
pub(super) fn email(name: &str, base: &str, direction: Direction) -> Comparison {
    mailbox(name, base, direction, str::eq)
}

/// A user principal name. Microsoft, whose form it is, writes subtrees as a host, `@host`, or `.domain`; names compare
/// without regard to case. It is undefined whether a bare host holds what is below it: it does when excluded only.
pub(super) fn user_principal_name(name: &str, base: &str, direction: Direction) -> Comparison {
    let host_only = base.strip_prefix('@').unwrap_or(base);
    match mailbox(name, host_only, direction, str::eq_ignore_ascii_case) {
        Comparison::Outside if direction == Direction::Excluded && !base.contains('@') && !base.starts_with('.') => {
            let host = name.rsplit_once('@').map_or("", |(_, host)| host);
            answer(is_below_or_at(host, host_only))
        }
        other => other,
    }
}

fn mailbox(name: &str, base: &str, direction: Direction, same_local: fn(&str, &str) -> bool) -> Comparison {
    // Local parts with a quoted `@` are legal and unused; distinguishing them from forgeries is not worth the effort.
    let Some((local, host)) = split_mailbox(name) else {
        return Comparison::Unsupported("it is not a mail address");
    };
    if base.is_empty() {
        return empty(direction);
    }
    if base.contains('@') {
        return match split_mailbox(base) {
            // RFC 5280 7.5: the local part is compared exactly, the host without regard to case.
            Some((base_local, base_host)) => {
                answer(same_local(local, base_local) && host.eq_ignore_ascii_case(base_host))
            }
            None => Comparison::Unsupported("the subtree is not a mail address"),
        };
    }
    host_within(host, base)
}

fn split_mailbox(text: &str) -> Option<(&str, &str)> {
    let (local, host) = text.split_once('@')?;
    (!local.is_empty() && is_host(host)).then_some((local, host))
}

/// A URI, by the host of its authority: one host, or every host below a domain.
pub(super) fn uri(name: &str, base: &str, direction: Direction) -> Comparison {
    // RFC 5280 4.2.1.10: a URI without an authority that has a fully qualified domain name is rejected.
    let Some(host) = uri_host(name) else {
        return Comparison::Unsupported("the URI has no host name");
    };
    if base.is_empty() { empty(direction) } else { host_within(host, base) }
}

/// The host name in a URI's authority; `None` where there is none or it is an address.
fn uri_host(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let authority = rest.strip_prefix("//")?;
    let authority = authority.split(['/', '?', '#']).next()?;
    let (user, host) = authority.split_once('@').unwrap_or(("", authority));
    // RFC 3986 3.2.1. Anything else there (a backslash, a second `@`) is where URI readers part ways.
    let user_is_plain = user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:%".contains(&b));
    let host = match host.split_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) => return None,
        None => host,
    };
    (is_scheme && user_is_plain && is_host(host) && host.parse::<IpAddr>().is_err()).then_some(host)
}

/// A base with a leading period holds every host below it, any other base the one host.
fn host_within(host: &str, base: &str) -> Comparison {
    match base.strip_prefix('.') {
        Some(domain) if is_host(domain) => answer(is_below_or_at(host, domain) && !host.eq_ignore_ascii_case(domain)),
        None if is_host(base) => answer(host.eq_ignore_ascii_case(base)),
        _ => Comparison::Unsupported("the subtree is not a host or domain"),
    }
}

/// An address, by the leading bits of a range of its own family.
pub(super) fn address(name: IpAddr, base: IpAddr, prefix: u8) -> Comparison {
    let (name, base, width) = match (name, base) {
        (IpAddr::V4(name), IpAddr::V4(base)) => (u128::from(name.to_bits()), u128::from(base.to_bits()), 32_u32),
        (IpAddr::V6(name), IpAddr::V6(base)) => (name.to_bits(), base.to_bits(), 128),
        _ => return Comparison::Outside,
    };
    let host_bits = width.saturating_sub(u32::from(prefix));
    let differing = (name ^ base).checked_shr(host_bits).unwrap_or(0);
    answer(differing == 0)
}

/// Whether the labels of `base` are the last ones of `host`.
fn is_below_or_at(host: &str, base: &str) -> bool {
    let Some(split) = host.len().checked_sub(base.len()) else { return false };
    match (host.get(..split), host.get(split..)) {
        (Some(front), Some(end)) => end.eq_ignore_ascii_case(base) && (front.is_empty() || front.ends_with('.')),
        _ => false,
    }
}

/// A host name in the preferred syntax of RFC 1034, underscores allowed as in practice, without a trailing period.
fn is_host(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

#[cfg(test)]
mod tests {
    use super::Comparison::{Inside, Outside, Unsupported};
    use super::Direction::{Excluded, Permitted};
    use super::*;

    /// Unsupported answers compare by being one.
    fn same(found: Comparison, want: Comparison) -> bool {
        found == want || matches!((found, want), (Unsupported(_), Unsupported(_)))
    }

    const MALFORMED: Comparison = Unsupported("");

    #[test]
    fn dns_names() {
        for (name, base, permitted, excluded) in [
            ("example.com", "example.com", Inside, Inside),
            ("a.b.Example.COM", "eXample.com", Inside, Inside),
            ("notexample.com", "example.com", Outside, Outside),
            ("com", "example.com", Outside, Outside),
            ("anything.test", "", Inside, Inside),
            ("*.example.com", "example.com", Inside, Inside),
            ("*.example.com", "bar.example.com", Outside, Inside),
            ("*.example.com", "a.bar.example.com", Outside, Outside),
            ("*.com", "example.com", Outside, Inside),
            ("a_b.example.com", "example.com", Inside, Inside),
            (".example.com", "example.com", MALFORMED, MALFORMED),
            ("example.com.", "example.com", MALFORMED, MALFORMED),
            ("a..example.com", "example.com", MALFORMED, MALFORMED),
            ("foo.*.example.com", "example.com", MALFORMED, MALFORMED),
            ("ba*.example.com", "example.com", MALFORMED, MALFORMED),
            ("foo.example.com", ".example.com", Inside, Inside),
            ("a.foo.EXAMPLE.com", ".example.COM", Inside, Inside),
            ("example.com", ".example.com", Outside, Outside),
            ("notexample.com", ".example.com", Outside, Outside),
            ("*.example.com", ".example.com", Inside, Inside),
            ("*.com", ".example.com", Outside, Outside),
            ("foo.example.com", "..example.com", MALFORMED, MALFORMED),
            ("foo.example.com", ".", MALFORMED, MALFORMED),
            ("foo.example.com", "*.example.com", MALFORMED, MALFORMED),
        ] {
            assert!(same(dns(name, base, Permitted), permitted), "{name} permitted {base}");
            assert!(same(dns(name, base, Excluded), excluded), "{name} excluded {base}");
        }
    }

    #[test]
    fn mail_addresses() {
        for (name, base, want) in [
            ("a@example.com", "a@example.com", Inside),
            ("A@example.com", "a@example.com", Outside),
            ("a@EXAMPLE.com", "a@example.com", Inside),
            ("a@example.com", "example.com", Inside),
            ("a@sub.example.com", "example.com", Outside),
            ("a@sub.example.com", ".example.com", Inside),
            ("a@example.com", ".example.com", Outside),
            ("a@notexample.com", ".example.com", Outside),
            ("a@b@example.com", "example.com", MALFORMED),
            ("\"a@b\"@example.com", "example.com", MALFORMED),
            ("example.com", "example.com", MALFORMED),
            ("@example.com", "example.com", MALFORMED),
            ("a@example.com", "x@y@example.com", MALFORMED),
            ("a@example.com", "*.example.com", MALFORMED),
        ] {
            for direction in [Permitted, Excluded] {
                assert!(same(email(name, base, direction), want), "{name} in {base}");
            }
        }
    }

    #[test]
    fn user_principal_names() {
        for (name, base, permitted, excluded) in [
            ("a@corp.example", "corp.example", Inside, Inside),
            ("a@corp.example", "@corp.example", Inside, Inside),
            ("a@CORP.example", "A@corp.EXAMPLE", Inside, Inside),
            ("a@eu.corp.example", "corp.example", Outside, Inside),
            ("a@eu.corp.example", "@corp.example", Outside, Outside),
            ("a@eu.corp.example", ".corp.example", Inside, Inside),
            ("b@corp.example", "a@corp.example", Outside, Outside),
            ("a@evilcorp.example", "corp.example", Outside, Outside),
            ("corp.example", "corp.example", MALFORMED, MALFORMED),
        ] {
            assert!(same(user_principal_name(name, base, Permitted), permitted), "{name} permitted {base}");
            assert!(same(user_principal_name(name, base, Excluded), excluded), "{name} excluded {base}");
        }
    }

    #[test]
    fn uris() {
        for (name, base, want) in [
            ("https://host.example/x", "host.example", Inside),
            ("https://HOST.example:8443/x?y#z", "host.example", Inside),
            ("https://user:pw@host.example/", "host.example", Inside),
            ("spiffe://trust.domain/ns/a", "trust.domain", Inside),
            ("https://a.host.example", "host.example", Outside),
            ("https://a.host.example", ".host.example", Inside),
            ("https://host.example", ".host.example", Outside),
            ("https://evil.example/@host.example", "host.example", Outside),
            ("https://evil.example?@host.example", "host.example", Outside),
            ("https://host.example@evil.example/", "host.example", Outside),
            ("https://evil.example\\@host.example/", "host.example", MALFORMED),
            ("https://a@evil.example@host.example/", "host.example", MALFORMED),
            ("urn:uuid:1", "host.example", MALFORMED),
            ("https://192.0.2.1/", "host.example", MALFORMED),
            ("https://[2001:db8::1]/", "host.example", MALFORMED),
            ("https:///path", "host.example", MALFORMED),
            ("https://host.example:x/", "host.example", MALFORMED),
            ("https://h%6fst.example/", "host.example", MALFORMED),
            ("https://host.example/", "https://host.example", MALFORMED),
            ("1s://host.example/", "host.example", MALFORMED),
            ("a_b://host.example/", "host.example", MALFORMED),
            ("https://host.example/", ".", MALFORMED),
            ("https://host.example/", ".-example", MALFORMED),
        ] {
            for direction in [Permitted, Excluded] {
                assert!(same(uri(name, base, direction), want), "{name} in {base}");
            }
        }
    }

    #[test]
    fn an_empty_subtree_permits_nothing_and_excludes_everything() {
        for (direction, want) in [(Permitted, Outside), (Excluded, Inside)] {
            assert_eq!(email("a@example.com", "", direction), want);
            assert_eq!(user_principal_name("a@example.com", "", direction), want);
            assert_eq!(user_principal_name("a@example.com", "@", direction), want);
            assert_eq!(uri("https://example.com/", "", direction), want);
        }
        assert_eq!(dns("example.com", "", Permitted), Inside, "any labels in front of none");
    }

    #[test]
    fn addresses() {
        for (name, base, prefix, want) in [
            ("192.0.2.1", "192.0.2.0", 24, Inside),
            ("192.0.3.1", "192.0.2.0", 24, Outside),
            ("192.0.2.129", "192.0.2.128", 25, Inside),
            ("192.0.2.127", "192.0.2.128", 25, Outside),
            ("203.0.113.9", "0.0.0.0", 0, Inside),
            ("192.0.2.1", "192.0.2.1", 32, Inside),
            ("192.0.2.2", "192.0.2.1", 32, Outside),
            ("2001:db8::1", "2001:db8::", 32, Inside),
            ("2001:db9::1", "2001:db8::", 32, Outside),
            ("2001:db9::1", "::", 0, Inside),
            ("192.0.2.1", "::", 0, Outside),
            ("::ffff:192.0.2.1", "192.0.2.0", 24, Outside),
        ] {
            assert_eq!(
                address(name.parse().unwrap(), base.parse().unwrap(), prefix),
                want,
                "{name} in {base}/{prefix}"
            );
        }
    }
}
