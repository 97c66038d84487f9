//! `CertificatePolicy`.

use crate::domain::decide::compiled::{CompiledPolicy, PolicyBody};

use super::matches::{everything, matches, unreadable_hosts};
use super::metadata::{check_name, check_namespace, metadata};
use super::response::{denial, headers};
use super::{Field, Report, evidence::evidence, mapping::mapping};
use crate::domain::api::{CertificatePolicySpec, FieldError, Kind, MetadataSpec, ModeSpec, ObjectMeta};
use crate::domain::decide::decision::{MetadataLevel, Mode};
use crate::domain::decide::unique::UniqueId;

/// Compiles a `CertificatePolicy`.
pub fn certificate_policy(meta: &ObjectMeta, spec: &CertificatePolicySpec) -> CompiledPolicy {
    let mut report = Report::default();
    metadata(Kind::CertificatePolicy, meta, &mut report);
    let field = Field::root("spec");
    let match_field = field.child("match");
    let mut routes = matches(&match_field, &spec.matches, &mut report);
    // Nothing is left of these entries, so which requests they mean is unknown.
    if meta.unread.iter().any(|error| is_whole_match(&error.path)) {
        routes.push(everything());
    }
    let evidence = evidence(&field.child("evidence"), spec.evidence.as_deref(), &mut report);
    let trust_field = field.child("trustRef");
    check_name(&trust_field.child("name"), &spec.trust_ref.name, &mut report);
    if let Some(namespace) = &spec.trust_ref.namespace {
        check_namespace(&trust_field.child("namespace"), namespace, &mut report);
    }
    let mapping = spec.mapping.as_ref().map(|spec| mapping(&field.child("mapping"), spec, &mut report));
    let response = field.child("response");
    let headers = headers(&response.child("headers"), &spec.response.headers, &evidence, &mut report);
    let statuses = denial(&response.child("denial"), &spec.response.denial, &mut report);
    let identity_headers = headers.all().cloned().collect();
    let body = report.errors.is_empty().then(|| PolicyBody {
        id: UniqueId::next(),
        mode: match spec.mode {
            ModeSpec::Enforce => Mode::Enforce,
            ModeSpec::Audit => Mode::Audit,
        },
        evidence,
        trust: (
            spec.trust_ref.namespace.clone().unwrap_or_else(|| meta.namespace.clone()),
            spec.trust_ref.name.clone(),
        ),
        certificate: spec.certificate,
        mapping,
        headers,
        metadata: match spec.response.metadata {
            MetadataSpec::None => MetadataLevel::None,
            MetadataSpec::Summary => MetadataLevel::Summary,
            MetadataSpec::Full => MetadataLevel::Full,
        },
        statuses,
    });
    CompiledPolicy { routes, identity_headers, body, report }
}

/// Whether the field at `path` holds all of `match`, or all of one of its entries.
fn is_whole_match(path: &str) -> bool {
    match path.strip_prefix("spec") {
        Some("" | ".match") => true,
        Some(rest) => {
            let at = rest.strip_prefix(".match[").and_then(|rest| rest.strip_suffix(']'));
            at.is_some_and(|at| at.bytes().all(|b| b.is_ascii_digit()))
        }
        None => false,
    }
}

/// The hosts in a policy's `match` that cannot be read. Where an edit can be refused, one with any is: which requests
/// the policy means is not known, and it must not be left to a guess.
pub fn unreadable_match(spec: &CertificatePolicySpec) -> Vec<FieldError> {
    let field = Field::root("spec");
    unreadable_hosts(&field.child("match"), &spec.matches)
}
