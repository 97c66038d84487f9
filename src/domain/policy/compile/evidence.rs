//! Where a policy looks for the client certificate.

use std::num::NonZeroUsize;

use super::matches::is_token;
use super::metadata::shown;
use super::{Field, MAX_EVIDENCE, MAX_TEXT, Report};
use crate::domain::api::{ChainFrom, EvidenceSpec, HeaderEvidence, HeaderFormat, XfccEvidence};
use crate::domain::evidence::{ChainSource, EvidenceRule, HeaderChain};

/// The highest element of x-forwarded-client-cert that a policy may ask for: no request passes more proxies.
const MAX_ELEMENT: i64 = 32;

/// The longest name of a header.
const MAX_HEADER_NAME: usize = 128;

/// Compiles the section; `None` is the default.
pub fn evidence(field: &Field<'_>, spec: Option<&[EvidenceSpec]>, report: &mut Report) -> Vec<EvidenceRule> {
    let Some(spec) = spec else { return vec![EvidenceRule::PeerCertificate { chain_from: ChainSource::None }] };
    report.cap(field, spec.len(), MAX_EVIDENCE);
    if spec.is_empty() {
        report.error(field, "the list is empty: name a source, or leave evidence out for the proxy's own report");
    }
    spec.iter().enumerate().filter_map(|(at, spec)| source(&field.at(at), spec, report)).collect()
}

fn source(field: &Field<'_>, spec: &EvidenceSpec, report: &mut Report) -> Option<EvidenceRule> {
    match (&spec.peer_certificate, &spec.xfcc, &spec.header) {
        (Some(peer), None, None) => Some(EvidenceRule::PeerCertificate {
            chain_from: match peer.chain_from {
                ChainFrom::None => ChainSource::None,
                ChainFrom::Xfcc => ChainSource::Xfcc,
            },
        }),
        (None, Some(xfcc), None) => self::xfcc(&field.child("xfcc"), xfcc, report),
        (None, None, Some(header)) => self::header(&field.child("header"), header, report),
        _ => {
            report.error(field, "want exactly one of peerCertificate, xfcc, header");
            None
        }
    }
}

fn xfcc(field: &Field<'_>, spec: &XfccEvidence, report: &mut Report) -> Option<EvidenceRule> {
    let element = (1..=MAX_ELEMENT).contains(&spec.element).then_some(spec.element);
    let element = element.and_then(|n| usize::try_from(n).ok()).and_then(NonZeroUsize::new);
    if element.is_none() {
        report.error(
            &field.child("element"),
            format_args!("{} is no element: want 1 (the right-most) to {MAX_ELEMENT}", spec.element),
        );
    }
    if let Some(by) = &spec.by
        && (by.is_empty() || by.len() > MAX_TEXT || by.chars().any(|c| c.is_control() || c.is_whitespace()))
    {
        report.error(&field.child("by"), format_args!("{} is not a URI", shown(by)));
    }
    Some(EvidenceRule::Xfcc { element: element?, by: spec.by.clone() })
}

fn header(field: &Field<'_>, spec: &HeaderEvidence, report: &mut Report) -> Option<EvidenceRule> {
    let format = spec.format;
    let usual = match format {
        HeaderFormat::Rfc9440 => Some("client-cert"),
        HeaderFormat::Nginx => Some("ssl-client-cert"),
        HeaderFormat::Traefik => Some("x-forwarded-tls-client-cert"),
        HeaderFormat::HaProxy => None,
        HeaderFormat::Alb => Some("x-amzn-mtls-clientcert"),
    };
    let name_field = field.child("name");
    let name = match (&spec.name, usual) {
        (Some(name), _) => report.take(&name_field, header_name(name)),
        (None, Some(usual)) => Some(usual.to_owned()),
        (None, None) => {
            report.error(&name_field, "this format has no usual header: name it");
            None
        }
    };
    if name.as_deref() == Some("x-forwarded-client-cert") {
        report.error(&name_field, "x-forwarded-client-cert has a format of its own: use xfcc");
    }
    let chain_field = field.child("chainName");
    let chain_name = match &spec.chain_name {
        None => None,
        Some(_) if format.chain() != HeaderChain::OwnHeader => {
            report.error(&chain_field, "this format has no header for the chain");
            None
        }
        Some(chain) => report.take(&chain_field, header_name(chain)),
    };
    if chain_name.is_some() && chain_name == name {
        report.error(&chain_field, "the same header as name");
    }
    Some(EvidenceRule::Header { format, name: name?, chain_name })
}

/// The name of a request header in lower case.
pub fn header_name(name: &str) -> Result<String, String> {
    if name.is_empty() || name.len() > MAX_HEADER_NAME || !name.bytes().all(is_token) {
        return Err(format!("{} is not the name of a header", shown(name)));
    }
    Ok(name.to_ascii_lowercase())
}
