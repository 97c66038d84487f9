//! Envoy's `x-forwarded-client-cert` (XFCC).
//!
//! Owns: reading the header in its text ([`text`]) and JSON ([`json`]) form, choosing an element, and refusing what
//! contradicts itself. Deliberately not here: whether to trust the header at all. A policy names it as a
//! source only where the proxy in front replaces or appends to what clients send, and says which element counts.
//!
//! The header is a list to which each proxy may append one element about the client certificate that it saw, so the
//! newest element is the last and elements are counted from the right. The element must carry the certificate itself
//! (`Cert`); `Subject`, `URI` and `DNS` are only somebody's summary of it and are never used as an identity.
//!
//! # Injection through names
//!
//! Envoy writes `URI=` and `DNS=` raw. A client whose certificate has the URI name
//! `x,By=…;Hash=…;Cert="…";URI=y` therefore adds a whole element behind the one that tells of its own certificate, with
//! somebody else's certificate (which is public) and its right hash; and where Envoy does not validate, anyone can
//! make such a certificate. The forged element is flawless in itself. What gives it away is the element before it: it
//! was written by the proxy, it has the client's real certificate in `Cert`, and its last name ends where the
//! injection begins. So whenever a header has more than one element, every element that has both `Cert` and names
//! must have exactly the names of its certificate. An unquoted value never contains `,`, `;` or `"`, and no name that
//! does can be equal to one, so an injection cannot pass. A header of one element needs no such check: nothing was
//! added to it.
//!
//! An element other than the right-most is as good as the proxies to the right of it: who may connect to the last proxy
//! past the one before it can send everything that proxy would have written, `By` included. Such a proxy must accept
//! its known peers only.
//!
//! A client can also send a header that ends inside a quoted value, to swallow what the proxy appends. The next `"` is
//! then the one that opens the proxy's `Cert`, and what follows it is no separator: the header is refused.

pub mod json;
pub mod text;

use std::borrow::Cow;
use std::num::NonZeroUsize;

use bytes::Bytes;
use thiserror::Error;

use crate::domain::evidence::limits::MAX_CHAIN;
use certgate_x509::{
    Certificate, GeneralName, Sha256, encoding::excerpt::excerpt, encoding::pem, encoding::pem::PemError,
};

/// The header's name.
pub const HEADER: &str = "x-forwarded-client-cert";

/// The most elements of a header: one for each proxy on the way. No sensible path has a quarter as many.
pub const MAX_ELEMENTS: usize = 16;

/// One element: what one proxy says about one certificate. `Subject` and `Issuer` are read past and not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element<'a> {
    /// The URI names of the proxy's own certificate.
    pub by: Vec<Cow<'a, [u8]>>,
    /// SHA-256 of the certificate.
    pub hash: Option<Sha256>,
    /// The certificate.
    pub cert: Option<Armoured<'a>>,
    /// What the client sent, leaf first. Not a verified path.
    pub chain: Option<Armoured<'a>>,
    /// The certificate's URI names; `None` when the proxy does not send them.
    pub uri: Option<Vec<Cow<'a, [u8]>>>,
    /// The certificate's DNS names; `None` when the proxy does not send them, or when there are none.
    pub dns: Option<Vec<Cow<'a, [u8]>>>,
}

/// Certificates as an element carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Armoured<'a> {
    /// URL-encoded PEM, of the text form.
    UrlEncoded(&'a [u8]),
    /// PEM, of the JSON form: one string for each certificate.
    Plain(Vec<String>),
}

/// Why a header is not XFCC, or not acceptable. Bytes count from 0 at the start of the line; elements count from 1 at
/// the right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum XfccError {
    /// The text does not follow the grammar.
    #[error("byte {at}: want {want}")]
    Syntax {
        /// Where.
        at: usize,
        /// What is expected there.
        want: &'static str,
    },
    /// A key that may occur only once occurs twice in an element.
    #[error("byte {at}: {key} occurs twice in one element")]
    Duplicate {
        /// Where the second one is.
        at: usize,
        /// The key.
        key: &'static str,
    },
    /// The keys of an element are not in Envoy's order.
    #[error("byte {at}: {key} after {previous}, which is not the order in which Envoy writes them")]
    Order {
        /// Where.
        at: usize,
        /// The key.
        key: &'static str,
        /// The key before it.
        previous: &'static str,
    },
    /// The JSON cannot be read as a list of elements.
    #[error("not the JSON form: {0}")]
    Json(String),
    /// JSON and text, or JSON over several lines.
    #[error("{lines} lines, of which one or more are JSON")]
    Mixed {
        /// The lines.
        lines: usize,
    },
    /// More than [`MAX_ELEMENTS`].
    #[error("more than {limit} elements")]
    TooMany {
        /// The cap.
        limit: usize,
    },
    /// The element that the policy names is not there.
    #[error("want element {want} from the right, found {have}")]
    Missing {
        /// The element that the policy names.
        want: usize,
        /// How many there are.
        have: usize,
    },
    /// The element was written by another proxy.
    #[error("element {element}: want By={want}, found {found}")]
    By {
        /// The element.
        element: usize,
        /// What the policy names.
        want: String,
        /// What is there, made printable.
        found: String,
    },
    /// The element has no certificate.
    #[error("element {element}: no Cert; let the proxy send it (Envoy: set_current_client_cert_details.cert)")]
    NoCert {
        /// The element.
        element: usize,
    },
    /// `Hash` is not a SHA-256 in lower-case hexadecimal.
    #[error("byte {at}: Hash is not 64 lower-case hexadecimal digits")]
    HashForm {
        /// Where; 0 in JSON.
        at: usize,
    },
    /// `Hash` is not that of `Cert`.
    #[error("element {element}: Hash={given}, but the SHA-256 of Cert is {actual}")]
    Hash {
        /// The element.
        element: usize,
        /// What the element says.
        given: Sha256,
        /// What its certificate has.
        actual: Sha256,
    },
    /// `Cert` cannot be decoded.
    #[error("element {element}, Cert: {cause}")]
    Cert {
        /// The element.
        element: usize,
        /// What is wrong with it.
        cause: PemError,
    },
    /// `Chain` cannot be decoded.
    #[error("element {element}, Chain: {cause}")]
    Chain {
        /// The element.
        element: usize,
        /// What is wrong with it.
        cause: PemError,
    },
    /// `Chain` does not begin with the leaf.
    #[error("element {element}: Chain does not begin with the certificate itself")]
    ChainStart {
        /// The element.
        element: usize,
    },
    /// `Cert` cannot be parsed, so its names cannot be compared.
    #[error("element {element}: Cert is not a certificate, so that its names cannot be compared")]
    Unreadable {
        /// The element.
        element: usize,
    },
    /// The names beside a certificate are not the certificate's: one of them was cut in two by an injection.
    #[error("element {element}: {key} is [{given}], but the certificate has [{actual}]")]
    Names {
        /// The element.
        element: usize,
        /// `URI` or `DNS`.
        key: &'static str,
        /// What the element says, made printable.
        given: String,
        /// What its certificate has, made printable.
        actual: String,
    },
}

/// The leaf of the element that is `element`-th from the right, and the certificates that came with it.
pub fn certificate(lines: &[&[u8]], element: NonZeroUsize, by: Option<&str>) -> Result<(Bytes, Vec<Bytes>), XfccError> {
    let elements = parse(lines)?;
    let want = element.get();
    let chosen = elements.iter().nth_back(want.saturating_sub(1));
    let Some(chosen) = chosen else {
        return Err(XfccError::Missing { want, have: elements.len() });
    };
    if let Some(by) = by
        && !chosen.by.iter().any(|found| found.as_ref() == by.as_bytes())
    {
        return Err(XfccError::By { element: want, want: excerpt(by.as_bytes()), found: listed(&chosen.by) });
    }
    let leaf = chosen.leaf(want)?.ok_or(XfccError::NoCert { element: want })?;
    let chain = chosen.chain_after(&leaf, want)?;
    if elements.len() > 1 {
        for (place, other) in (1_usize..).zip(elements.iter().rev()) {
            let der = if place == want { Some(leaf.clone()) } else { other.leaf(place)? };
            if let Some(der) = der {
                other.check_names(&der, place)?;
            }
        }
    }
    Ok((leaf, chain))
}

/// The certificates that came with `leaf`, from the right-most element that names it; none when no element does.
/// They only help path building, so the element need not be one that the policy trusts.
pub fn chain_of(lines: &[&[u8]], leaf: &Bytes) -> Result<Vec<Bytes>, XfccError> {
    let elements = parse(lines)?;
    let hash = Some(Sha256::of(leaf));
    match (1_usize..).zip(elements.iter().rev()).find(|(_, element)| element.hash == hash) {
        Some((place, element)) => element.chain_after(leaf, place),
        None => Ok(Vec::new()),
    }
}

/// Reads all elements, left to right. Each line must be complete in itself.
pub fn parse<'a>(lines: &[&'a [u8]]) -> Result<Vec<Element<'a>>, XfccError> {
    let is_json = |line: &[u8]| line.first() == Some(&b'[');
    if let [line] = lines
        && is_json(line)
    {
        return json::parse(line);
    }
    if lines.iter().any(|line| is_json(line)) {
        return Err(XfccError::Mixed { lines: lines.len() });
    }
    let mut elements = Vec::with_capacity(1);
    for line in lines {
        text::parse(line, &mut elements)?;
    }
    Ok(elements)
}

impl Element<'_> {
    /// The DER of `Cert`, `None` without one. A `Hash` that is there must be its own.
    fn leaf(&self, element: usize) -> Result<Option<Bytes>, XfccError> {
        let Some(cert) = &self.cert else {
            return Ok(None);
        };
        let leaf = cert.certificates(1).map_err(|cause| XfccError::Cert { element, cause })?.pop();
        if let (Some(leaf), Some(given)) = (&leaf, self.hash) {
            let actual = Sha256::of(leaf);
            if given != actual {
                return Err(XfccError::Hash { element, given, actual });
            }
        }
        Ok(leaf)
    }

    /// The certificates of `Chain` after the leaf, with which it must begin.
    fn chain_after(&self, leaf: &Bytes, element: usize) -> Result<Vec<Bytes>, XfccError> {
        let Some(chain) = &self.chain else {
            return Ok(Vec::new());
        };
        let limit = MAX_CHAIN.saturating_add(1);
        let mut chain = chain.certificates(limit).map_err(|cause| XfccError::Chain { element, cause })?;
        if chain.first() != Some(leaf) {
            return Err(XfccError::ChainStart { element });
        }
        chain.remove(0);
        Ok(chain)
    }

    /// The names that the element gives must be those of its certificate, all of them and in order.
    fn check_names(&self, der: &Bytes, element: usize) -> Result<(), XfccError> {
        if self.uri.is_none() && self.dns.is_none() {
            return Ok(());
        }
        let certificate = Certificate::from_der(der.clone()).map_err(|_| XfccError::Unreadable { element })?;
        let names = certificate.subject_alt_names();
        let uris =
            names.iter().filter_map(|name| if let GeneralName::Uri(uri) = name { Some(uri.as_str()) } else { None });
        let dns =
            names.iter().filter_map(|name| if let GeneralName::Dns(dns) = name { Some(dns.as_str()) } else { None });
        check_list(element, "URI", self.uri.as_deref(), &uris.collect::<Vec<_>>())?;
        check_list(element, "DNS", self.dns.as_deref(), &dns.collect::<Vec<_>>())
    }
}

fn check_list(
    element: usize,
    key: &'static str,
    given: Option<&[Cow<'_, [u8]>]>,
    actual: &[&str],
) -> Result<(), XfccError> {
    let Some(given) = given else {
        return Ok(());
    };
    // Envoy writes an empty `URI=` for a certificate without URI names.
    let none: &[Cow<'_, [u8]>] = &[];
    let given = if given.len() == 1 && given.iter().all(|name| name.is_empty()) { none } else { given };
    if given.iter().map(AsRef::as_ref).eq(actual.iter().map(|name| name.as_bytes())) {
        return Ok(());
    }
    Err(XfccError::Names { element, key, given: listed(given), actual: excerpt(actual.join(" ").as_bytes()) })
}

/// Values as a message shows them.
fn listed(values: &[Cow<'_, [u8]>]) -> String {
    excerpt(&values.join(&b" "[..]))
}

impl Armoured<'_> {
    /// The DER of the certificates, at most `limit`.
    fn certificates(&self, limit: usize) -> Result<Vec<Bytes>, PemError> {
        match self {
            Self::UrlEncoded(text) => pem::url_encoded_certificates(text, limit),
            Self::Plain(texts) if texts.len() > limit => Err(PemError::TooMany { limit }),
            Self::Plain(texts) => {
                let mut found = Vec::with_capacity(texts.len());
                for text in texts {
                    found.append(&mut pem::certificates(text.as_bytes(), 1)?);
                }
                Ok(found)
            }
        }
    }
}

/// Reads a `Hash`.
fn hash(value: &[u8], at: usize) -> Result<Sha256, XfccError> {
    let exact = value.len() == 64 && value.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let text = std::str::from_utf8(value).ok().filter(|_| exact);
    text.and_then(|text| text.parse().ok()).ok_or(XfccError::HashForm { at })
}

#[cfg(test)]
mod tests;
