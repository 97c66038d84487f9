//! Certificates that a proxy forwarded: untrusted bytes, with where they came from.
//!
//! Owns: the rules that say where a policy looks ([`EvidenceRule`]), the walk over them ([`gather`]) and the caps that
//! apply before anything is decoded. The formats are read by [`xfcc`], [`client_cert`] and [`certificate_header`].
//! Deliberately not here: any statement about the certificate; it is not even parsed, except where XFCC must be
//! compared with it. Path validation decides whether to trust it; the operator decides whether to trust the *header*,
//! by naming it as a source and knowing which proxy writes it.
//!
//! The first rule whose source is present decides. Evidence that is present but malformed is an error and never falls
//! through to the next rule: else a client could choose the rule by damaging a header.

pub mod certificate_header;
pub mod client_cert;
mod elsewhere;
mod limits;
pub mod xfcc;

use std::fmt;
use std::num::NonZeroUsize;

use bytes::Bytes;
use thiserror::Error;

pub use crate::domain::api::HeaderFormat;
use crate::domain::request::Request;
use certgate_x509::{encoding::pem, encoding::pem::PemError};
use certificate_header::HeaderCertError;
use client_cert::ClientCertError;
pub use elsewhere::{carried, not_named};
pub use limits::{MAX_CHAIN, MAX_FORWARDED_CERTIFICATE, MAX_HEADER, MAX_KEYED_LINES};
use xfcc::XfccError;

/// Where a forwarded certificate was found.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum EvidenceSource {
    /// `source.certificate` of the CheckRequest.
    PeerCertificate,
    /// The `x-forwarded-client-cert` header.
    Xfcc,
    /// A header in one of the formats of other proxies.
    Header,
}

/// A forwarded certificate and what came with it. Nothing in it has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Where it was found.
    pub source: EvidenceSource,
    /// The DER of the leaf, not parsed yet.
    pub leaf: Bytes,
    /// DER of further certificates that came along, at most [`MAX_CHAIN`]; they help path building and nothing else.
    pub chain: Vec<Bytes>,
    /// What must hold between them before any of them is looked at further.
    pub links: Links,
}

/// What must hold between the leaf and the certificates that came along.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Links {
    /// Nothing: they come in any order, and some may be of no use.
    Free,
    /// Each is signed by the next one, the leaf first. By name it has been found so.
    Signed,
}

/// One place where a policy looks for the client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvidenceRule {
    /// `source.certificate`: what the proxy that asks saw on its own connection.
    PeerCertificate {
        /// Where further certificates are taken from; `source.certificate` has the leaf alone.
        chain_from: ChainSource,
    },
    /// Envoy's `x-forwarded-client-cert`.
    Xfcc {
        /// Which element: 1 is the right-most, the one that the last proxy added.
        element: NonZeroUsize,
        /// The URI that the element's `By` must name, exactly: the proxy that saw the certificate.
        by: Option<String>,
    },
    /// A header of another proxy.
    Header {
        /// How the certificate is written.
        format: HeaderFormat,
        /// The header, lower case.
        name: String,
        /// The header with the rest of the chain, lower case; read only where [`HeaderFormat::chain`] says
        /// [`HeaderChain::OwnHeader`].
        chain_name: Option<String>,
    },
}

/// Where [`EvidenceRule::PeerCertificate`] finds certificates beyond the leaf.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ChainSource {
    /// Nowhere: intermediates come from the trust profile.
    None,
    /// `Chain` of the XFCC element whose `Hash` is the leaf's.
    Xfcc,
}

/// How a header format carries the chain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum HeaderChain {
    /// Not at all.
    Never,
    /// After the leaf, in the same header.
    SameHeader,
    /// In a header of its own.
    OwnHeader,
}

impl HeaderFormat {
    /// How this format carries the chain.
    pub fn chain(self) -> HeaderChain {
        match self {
            Self::Nginx => HeaderChain::Never,
            Self::Traefik | Self::Alb => HeaderChain::SameHeader,
            Self::Rfc9440 | Self::HaProxy => HeaderChain::OwnHeader,
        }
    }
}

impl fmt::Display for HeaderFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rfc9440 => "RFC 9440",
            Self::Nginx => "nginx",
            Self::Traefik => "Traefik",
            Self::HaProxy => "HAProxy",
            Self::Alb => "AWS ALB",
        })
    }
}

/// The rule in words, for `explain` and logs.
impl fmt::Display for EvidenceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerCertificate { chain_from: ChainSource::None } => f.write_str("source.certificate"),
            Self::PeerCertificate { chain_from: ChainSource::Xfcc } => {
                write!(f, "source.certificate, with the chain of {}", xfcc::HEADER)
            }
            Self::Xfcc { element, by: None } => write!(f, "{}, element {element} from the right", xfcc::HEADER),
            Self::Xfcc { element, by: Some(by) } => {
                write!(f, "{}, element {element} from the right, by {by}", xfcc::HEADER)
            }
            Self::Header { format, name, chain_name: None } => write!(f, "header {name} ({format})"),
            Self::Header { format, name, chain_name: Some(chain) } => {
                write!(f, "headers {name} and {chain} ({format})")
            }
        }
    }
}

/// Why evidence that is present cannot be used. Its text is short, printable ASCII, whatever the client sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {problem}")]
pub struct EvidenceError {
    /// The header, or `source.certificate`.
    pub place: String,
    /// What is wrong with it.
    pub problem: EvidenceProblem,
}

/// What is wrong with a piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvidenceProblem {
    /// Longer than [`MAX_HEADER`].
    #[error("{length} bytes, more than {limit}")]
    TooLong {
        /// The bytes of all lines.
        length: usize,
        /// The cap.
        limit: usize,
    },
    /// More than one line of a header that has one: the proxy added its own to what the client sent.
    #[error("{lines} lines, want one")]
    Lines {
        /// How many.
        lines: usize,
    },
    /// A chain without a certificate (RFC 9440, section 2.3: the proxy must not send one).
    #[error("a chain, but no certificate in {leaf}")]
    ChainAlone {
        /// The header that should have the certificate.
        leaf: String,
    },
    /// Not the PEM that `source.certificate` holds.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Not XFCC, or not acceptable XFCC.
    #[error(transparent)]
    Xfcc(#[from] XfccError),
    /// Not RFC 9440.
    #[error(transparent)]
    ClientCert(#[from] ClientCertError),
    /// Not in the format of its proxy.
    #[error(transparent)]
    Header(#[from] HeaderCertError),
}

/// Finds the client's certificate. `Ok(None)`: no rule's source is present.
pub fn gather(rules: &[EvidenceRule], request: &Request<'_>) -> Result<Option<Evidence>, EvidenceError> {
    for rule in rules {
        let found = match rule {
            EvidenceRule::PeerCertificate { chain_from } => peer_certificate(*chain_from, request)?,
            EvidenceRule::Xfcc { element, by } => forwarded_by_envoy(*element, by.as_deref(), request)?,
            EvidenceRule::Header { format, name, chain_name } => header(*format, name, chain_name.as_deref(), request)?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Calls `visit` with each text of `request` that [`gather`] reads under `rules`, in their order. Places number what a
/// text is: requests with the same texts at the same places have the same evidence.
///
/// Returns whether such a request is worth remembering: there is evidence, and no more of it than [`MAX_HEADER`] octets
/// and [`MAX_KEYED_LINES`] lines of one header. What is beyond these limits is not visited.
pub fn inputs(rules: &[EvidenceRule], request: &Request<'_>, mut visit: impl FnMut(u8, &[u8])) -> bool {
    for (rule, place) in rules.iter().zip((0_u8..).step_by(2)) {
        let next = place.saturating_add(1);
        let presence = match rule {
            EvidenceRule::PeerCertificate { .. } if request.peer_certificate.is_empty() => Presence::Absent,
            EvidenceRule::PeerCertificate { .. } if request.peer_certificate.len() > MAX_HEADER => Presence::TooMuch,
            EvidenceRule::PeerCertificate { chain_from } => {
                visit(place, request.peer_certificate);
                match chain_from {
                    ChainSource::None => Presence::Present,
                    ChainSource::Xfcc => visit_lines(next, xfcc::HEADER, request, &mut visit).max(Presence::Present),
                }
            }
            EvidenceRule::Xfcc { .. } => visit_lines(place, xfcc::HEADER, request, &mut visit),
            EvidenceRule::Header { name, chain_name, .. } => {
                let leaf = visit_lines(place, name, request, &mut visit);
                let chain = chain_name.as_ref().map(|name| visit_lines(next, name, request, &mut visit));
                leaf.max(chain.unwrap_or(Presence::Absent))
            }
        };
        match presence {
            Presence::Absent => {}
            // Neither does `gather` look further: what is present is evidence or an error.
            Presence::Present => return true,
            Presence::TooMuch => return false,
        }
    }
    false
}

/// Whether a rule finds something in a request.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Presence {
    Absent,
    Present,
    /// More than is worth remembering.
    TooMuch,
}

fn visit_lines(place: u8, name: &str, request: &Request<'_>, visit: &mut impl FnMut(u8, &[u8])) -> Presence {
    let mut lines = Vec::new();
    request.headers.lines(name, &mut lines);
    let length = lines.iter().fold(0, |sum: usize, line| sum.saturating_add(line.len()));
    if lines.len() > MAX_KEYED_LINES || length > MAX_HEADER {
        return Presence::TooMuch;
    }
    lines.iter().for_each(|line| visit(place, line));
    match lines.as_slice() {
        [] | [[]] => Presence::Absent,
        _ => Presence::Present,
    }
}

/// Names the place of a problem.
fn at<P: Into<EvidenceProblem>>(place: &str) -> impl FnOnce(P) -> EvidenceError {
    move |problem| EvidenceError { place: place.to_owned(), problem: problem.into() }
}

fn check_length(place: &str, length: usize) -> Result<(), EvidenceError> {
    if length > MAX_HEADER {
        return Err(at(place)(EvidenceProblem::TooLong { length, limit: MAX_HEADER }));
    }
    Ok(())
}

/// The lines of a header, `None` when it is absent. One empty line counts as absent: some proxies send that for a
/// connection without a certificate (HAProxy, Google's load balancer), and a client that sends it might as well send
/// nothing.
fn lines<'r>(name: &str, request: &Request<'r>) -> Result<Option<Vec<&'r [u8]>>, EvidenceError> {
    let mut lines = Vec::new();
    request.headers.lines(name, &mut lines);
    match lines.as_slice() {
        [] | [[]] => Ok(None),
        _ => {
            check_length(name, lines.iter().fold(0, |sum, line| sum.saturating_add(line.len())))?;
            Ok(Some(lines))
        }
    }
}

/// The only line of a header, `None` when it is absent.
fn line<'r>(name: &str, request: &Request<'r>) -> Result<Option<&'r [u8]>, EvidenceError> {
    match lines(name, request)?.as_deref() {
        None => Ok(None),
        Some([line]) => Ok(Some(line)),
        Some(lines) => Err(at(name)(EvidenceProblem::Lines { lines: lines.len() })),
    }
}

/// The leaf and the rest of a list that begins with it.
fn leaf_first(source: EvidenceSource, mut certificates: Vec<Bytes>) -> Option<Evidence> {
    if certificates.is_empty() {
        return None;
    }
    let leaf = certificates.remove(0);
    Some(Evidence { source, leaf, chain: certificates, links: Links::Free })
}

fn peer_certificate(chain_from: ChainSource, request: &Request<'_>) -> Result<Option<Evidence>, EvidenceError> {
    const PLACE: &str = "source.certificate";
    if request.peer_certificate.is_empty() {
        return Ok(None);
    }
    check_length(PLACE, request.peer_certificate.len())?;
    let found = pem::url_encoded_certificates(request.peer_certificate, 1).map_err(at(PLACE))?;
    let Some(mut evidence) = leaf_first(EvidenceSource::PeerCertificate, found) else {
        return Ok(None);
    };
    if chain_from == ChainSource::Xfcc
        && let Some(lines) = lines(xfcc::HEADER, request)?
    {
        evidence.chain = xfcc::chain_of(&lines, &evidence.leaf).map_err(at(xfcc::HEADER))?;
    }
    Ok(Some(evidence))
}

fn forwarded_by_envoy(
    element: NonZeroUsize,
    by: Option<&str>,
    request: &Request<'_>,
) -> Result<Option<Evidence>, EvidenceError> {
    let Some(lines) = lines(xfcc::HEADER, request)? else {
        return Ok(None);
    };
    let (leaf, chain) = xfcc::certificate(&lines, element, by).map_err(at(xfcc::HEADER))?;
    Ok(Some(Evidence { source: EvidenceSource::Xfcc, leaf, chain, links: Links::Free }))
}

fn header(
    format: HeaderFormat,
    name: &str,
    chain_name: Option<&str>,
    request: &Request<'_>,
) -> Result<Option<Evidence>, EvidenceError> {
    let chain_name = chain_name.filter(|_| format.chain() == HeaderChain::OwnHeader);
    let Some(value) = line(name, request)? else {
        return match chain_name {
            Some(chain) if lines(chain, request)?.is_some() => {
                Err(at(chain)(EvidenceProblem::ChainAlone { leaf: name.to_owned() }))
            }
            _ => Ok(None),
        };
    };
    let source = EvidenceSource::Header;
    match format {
        HeaderFormat::Nginx => Ok(leaf_first(source, certificate_header::url_encoded_pem(value, 1).map_err(at(name))?)),
        HeaderFormat::Alb => {
            let limit = MAX_CHAIN.saturating_add(1);
            Ok(leaf_first(source, certificate_header::url_encoded_pem(value, limit).map_err(at(name))?))
        }
        HeaderFormat::Traefik => {
            let found = leaf_first(source, certificate_header::traefik(value).map_err(at(name))?);
            Ok(found.map(|evidence| Evidence { links: Links::Signed, ..evidence }))
        }
        HeaderFormat::HaProxy => {
            let leaf = certificate_header::haproxy(value).map_err(at(name))?;
            let chain = match chain_name {
                Some(chain) => match line(chain, request)? {
                    Some(value) => certificate_header::haproxy_chain(value).map_err(at(chain))?,
                    None => Vec::new(),
                },
                None => Vec::new(),
            };
            Ok(Some(Evidence { source, leaf, chain, links: Links::Free }))
        }
        HeaderFormat::Rfc9440 => {
            let leaf = client_cert::certificate(value).map_err(at(name))?;
            let chain = match chain_name {
                Some(chain) => match lines(chain, request)? {
                    Some(lines) => client_cert::chain(&lines).map_err(at(chain))?,
                    None => Vec::new(),
                },
                None => Vec::new(),
            };
            Ok(Some(Evidence { source, leaf, chain, links: Links::Free }))
        }
    }
}

#[cfg(test)]
mod tests;
