//! The text form of XFCC.
//!
//! Owns: the grammar, as strict as Envoy's writer is:
//!
//! ```text
//! line    = element *("," element)
//! element = pair *(";" pair)
//! pair    = ("By" / "Hash" / "URI" / "DNS") "=" raw
//!         / ("Cert" / "Chain" / "Subject" / "Issuer") "=" DQUOTE quoted DQUOTE
//! raw     = *(visible ASCII but , ; and DQUOTE)
//! quoted  = *("\" octet / octet but DQUOTE, "\" and controls)
//! ```
//!
//! The keys of an element are in the order By, Hash, Cert, Chain, Subject, URI, DNS, Issuer; By, URI and DNS may be
//! repeated, the others not. There are no blanks around separators. Backslashes in `Subject` and `Issuer` are RFC
//! 2253's own, which Envoy copies: they are skipped in pairs to find the closing quote and mean nothing here.
//!
//! One pass, left to right, without recursion.

use std::borrow::Cow;

use super::{Armoured, Element, MAX_ELEMENTS, XfccError, hash};

/// The keys, in the order in which Envoy writes them.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum XfccKey {
    By,
    Hash,
    Cert,
    Chain,
    Subject,
    Uri,
    Dns,
    Issuer,
}

impl XfccKey {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"By" => Self::By,
            b"Hash" => Self::Hash,
            b"Cert" => Self::Cert,
            b"Chain" => Self::Chain,
            b"Subject" => Self::Subject,
            b"URI" => Self::Uri,
            b"DNS" => Self::Dns,
            b"Issuer" => Self::Issuer,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::By => "By",
            Self::Hash => "Hash",
            Self::Cert => "Cert",
            Self::Chain => "Chain",
            Self::Subject => "Subject",
            Self::Uri => "URI",
            Self::Dns => "DNS",
            Self::Issuer => "Issuer",
        }
    }

    fn may_repeat(self) -> bool {
        matches!(self, Self::By | Self::Uri | Self::Dns)
    }

    fn is_quoted(self) -> bool {
        matches!(self, Self::Cert | Self::Chain | Self::Subject | Self::Issuer)
    }
}

/// Reads the elements of one line and appends them to `elements`.
pub fn parse<'a>(line: &'a [u8], elements: &mut Vec<Element<'a>>) -> Result<(), XfccError> {
    let mut rest = line;
    loop {
        if elements.len() >= MAX_ELEMENTS {
            return Err(XfccError::TooMany { limit: MAX_ELEMENTS });
        }
        let (element, after) = read_element(line, rest)?;
        elements.push(element);
        match after {
            None => return Ok(()),
            Some(next) => rest = next,
        }
    }
}

/// Reads the element at the start of `rest`; returns it with what follows its comma, `None` at the end of the line.
fn read_element<'a>(line: &'a [u8], mut rest: &'a [u8]) -> Result<(Element<'a>, Option<&'a [u8]>), XfccError> {
    let offset = |rest: &[u8]| line.len().saturating_sub(rest.len());
    let mut element = Element::default();
    let mut previous: Option<XfccKey> = None;
    loop {
        let at = offset(rest);
        let named = memchr::memchr(b'=', rest).and_then(|equals| rest.split_at_checked(equals));
        let Some((key, [_, text @ ..])) = named.and_then(|(name, text)| Some((XfccKey::named(name)?, text))) else {
            return Err(XfccError::Syntax { at, want: "a key and `=`" });
        };
        match previous {
            Some(previous) if previous == key && !key.may_repeat() => {
                return Err(XfccError::Duplicate { at, key: key.name() });
            }
            Some(previous) if previous > key => {
                return Err(XfccError::Order { at, key: key.name(), previous: previous.name() });
            }
            _ => previous = Some(key),
        }
        let (value, after) = if key.is_quoted() { quoted(text) } else { raw(text) }
            .map_err(|(rest, want)| XfccError::Syntax { at: offset(rest), want })?;
        match key {
            XfccKey::By => element.by.push(Cow::Borrowed(value)),
            XfccKey::Hash => element.hash = Some(hash(value, offset(text))?),
            XfccKey::Cert => element.cert = Some(Armoured::UrlEncoded(value)),
            XfccKey::Chain => element.chain = Some(Armoured::UrlEncoded(value)),
            XfccKey::Uri => element.uri.get_or_insert_default().push(Cow::Borrowed(value)),
            XfccKey::Dns => element.dns.get_or_insert_default().push(Cow::Borrowed(value)),
            XfccKey::Subject | XfccKey::Issuer => {}
        }
        match after {
            [] => return Ok((element, None)),
            [b',', next @ ..] => return Ok((element, Some(next))),
            [b';', next @ ..] => rest = next,
            _ => return Err(XfccError::Syntax { at: offset(after), want: "`;`, `,` or the end" }),
        }
    }
}

/// A value and what follows it, or the place of the fault and what is expected there.
type Scanned<'a> = Result<(&'a [u8], &'a [u8]), (&'a [u8], &'static str)>;

fn raw(text: &[u8]) -> Scanned<'_> {
    let end = memchr::memchr3(b',', b';', b'"', text).unwrap_or(text.len());
    let (value, after) = text.split_at_checked(end).unwrap_or((text, &[]));
    match value.iter().position(|octet| !octet.is_ascii_graphic()) {
        Some(at) => Err((text.get(at..).unwrap_or_default(), "visible ASCII")),
        None => Ok((value, after)),
    }
}

fn quoted(text: &[u8]) -> Scanned<'_> {
    let [b'"', inside @ ..] = text else {
        return Err((text, "`\"`"));
    };
    let mut rest = inside;
    loop {
        let stop = memchr::memchr2(b'"', b'\\', rest).and_then(|at| rest.get(at..));
        match stop {
            Some([b'\\', _, after @ ..]) => rest = after,
            Some([b'"', after @ ..]) => {
                let length = inside.len().saturating_sub(after.len()).saturating_sub(1);
                let value = inside.get(..length).unwrap_or_default();
                // A fold looks at every octet and so compiles to wide instructions: certificates are long.
                if value.iter().fold(false, |found, octet| found | octet.is_ascii_control())
                    && let Some(at) = value.iter().position(u8::is_ascii_control)
                {
                    return Err((text.get(at.saturating_add(1)..).unwrap_or_default(), "no control characters"));
                }
                return Ok((value, after));
            }
            _ => return Err((&[], "a closing `\"`")),
        }
    }
}
