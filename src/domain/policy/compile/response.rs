//! `response`: the headers that the upstream receives, and the answers that denied clients get.

use crate::domain::decide::compiled::{DEFAULT_GROUPS_HEADER, DEFAULT_USER_HEADER, HeaderNames, Statuses};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::evidence::header_name;
use super::metadata::shown;
use super::{Field, Report};
use crate::domain::api::{DenialSpec, ResponseHeaders, RevealSpec};
use crate::domain::decide::decision::Reveal;
use crate::domain::evidence::EvidenceRule;

/// Headers with a meaning of their own. To set one would change the request, or to some frameworks its path, method or
/// sender, or be believed as another proxy's certificate; and because a header that any policy can
/// set is removed from every client's request, to name one would break the requests of others.
const RESERVED: [&str; 48] = [
    "authorization",
    "baggage",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "pragma",
    "range",
    "referer",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method",
    "x-method-override",
    "x-original-host",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
];

/// The beginnings of more such names. Those of certificates are those that proxies write ([`EvidenceRule::Header`]).
const RESERVED_PREFIXES: [&str; 12] = [
    "accept",
    "access-control-",
    "client-cert",
    "content-",
    "grpc-",
    "if-",
    "proxy-",
    "sec-",
    "ssl-client-",
    "x-amzn-mtls-",
    "x-envoy-",
    "x-forwarded-tls-client-cert",
];

/// The most headers for extra attributes.
const MAX_EXTRA_HEADERS: usize = 32;

/// Compiles the header names. A name that cannot be read is replaced by the default; the error is noted.
pub fn headers(
    field: &Field<'_>,
    spec: &ResponseHeaders,
    evidence: &[EvidenceRule],
    report: &mut Report,
) -> HeaderNames {
    let mut taken = BTreeSet::new();
    let mut header = |field: &Field<'_>, written: Option<&str>, usual: Option<&str>, report: &mut Report| {
        let name = match written {
            Some(text) => report.take(field, identity_header(text, evidence)),
            None => usual.map(str::to_owned),
        }?;
        if !taken.insert(name.clone()) {
            report.error(field, format_args!("{} carries something else already", shown(&name)));
        }
        Some(Arc::<str>::from(name))
    };
    let user = header(&field.child("user"), spec.user.as_deref(), Some(DEFAULT_USER_HEADER), report);
    let groups = header(&field.child("groups"), spec.groups.as_deref(), Some(DEFAULT_GROUPS_HEADER), report);
    let uid = header(&field.child("uid"), spec.uid.as_deref(), None, report);
    let extra_field = field.child("extra");
    report.cap(&extra_field, spec.extra.len(), MAX_EXTRA_HEADERS);
    let extra = spec.extra.iter().filter_map(|(key, name)| {
        let header = header(&extra_field.key(key), Some(name), None, report)?;
        Some((key.clone(), header))
    });
    let extra = extra.collect();
    HeaderNames {
        user: user.unwrap_or_else(|| DEFAULT_USER_HEADER.into()),
        groups: groups.unwrap_or_else(|| DEFAULT_GROUPS_HEADER.into()),
        uid,
        extra,
    }
}

fn identity_header(text: &str, evidence: &[EvidenceRule]) -> Result<String, String> {
    if text.starts_with(':') {
        return Err(format!("{} is a pseudo-header", shown(text)));
    }
    let name = header_name(text)?;
    let read = evidence.iter().any(|rule| match rule {
        EvidenceRule::Header { name: cert, chain_name, .. } => name == *cert || Some(&name) == chain_name.as_ref(),
        EvidenceRule::PeerCertificate { .. } | EvidenceRule::Xfcc { .. } => false,
    });
    if read {
        Err(format!("{} is where this policy reads the certificate", shown(text)))
    } else if RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        Err(format!("{} is reserved: requests use it for something else", shown(text)))
    } else {
        Ok(name)
    }
}

/// Compiles how denials are answered.
pub fn denial(field: &Field<'_>, spec: &DenialSpec, report: &mut Report) -> Statuses {
    let status = |name: &str, value: Option<i64>, report: &mut Report| {
        let value = value?;
        let status = u16::try_from(value).ok().filter(|status| (400..=599).contains(status));
        if status.is_none() {
            report.error(&field.child(name), format_args!("{value} is no status of a denial: want 400 to 599"));
        }
        status
    };
    Statuses {
        denial: status("status", spec.status, report),
        missing_certificate: status("missingCertificateStatus", spec.missing_certificate_status, report),
        reveal: match spec.reveal {
            RevealSpec::Nothing => Reveal::Nothing,
            RevealSpec::Reason => Reveal::Reason,
        },
    }
}
