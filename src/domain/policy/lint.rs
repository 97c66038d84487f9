//! What is legal but doubtful: warnings beside the errors of [`crate::domain::policy::compile`].
//!
//! Nothing here stops an object from working, and nothing that decides asks for it. Admission and `certgate check` show
//! it; what is so plainly odd that the compiler notes it itself stays in the compiler's report.

mod mapping;

use std::sync::Arc;

pub use mapping::{MappingFinding, MappingFindings, REVERSED, findings, repeatable, weak_issuers};

use crate::domain::api::{
    CertificatePolicySpec, FieldError, ModeSpec, OnUnknownSpec, RevocationModeSpec, TrustModeSpec, TrustProfileSpec,
    Values,
};
use crate::domain::api::{Field, Report};
use crate::domain::decide::compiled::CompiledPolicy;
use crate::domain::decide::mapping::key::{NameForm, distinguished_name};
use crate::domain::decide::mapping::rules::unreachable;
use crate::domain::decide::resolved_profile::CrlSummary;
use crate::domain::decide::verifier::lint_anchor;
use crate::domain::policy::compile::{CertificateSource, CompiledProfile};
use crate::domain::policy::freshness::expiring;
use certgate_x509::{Certificate, PathParameters, UnixTime, looks_reversed};

/// How long before an anchor's end it is warned of: 30 days.
pub const ANCHOR_WARNING_PERIOD: i64 = 30 * 24 * 3600;

/// The most anchors of one source that are spoken of.
const MAX_REPORTED_ANCHORS: usize = 16;

/// The most CRLs of one profile that are spoken of.
const MAX_REPORTED_CRLS: usize = 16;

/// What is doubtful about a policy by itself.
pub fn policy(spec: &CertificatePolicySpec, compiled: &CompiledPolicy) -> Vec<FieldError> {
    let mut report = Report::default();
    let root = Field::root("spec");
    if spec.mode == ModeSpec::Audit {
        report.warning(
            &root.child("mode"),
            "with mode Audit every request passes, denied or not: denials are only recorded",
        );
    }
    let evidence = root.child("evidence");
    for (at, source) in spec.evidence.iter().flatten().enumerate() {
        if source.xfcc.as_ref().is_some_and(|xfcc| xfcc.by.is_none()) {
            let message = "without `by` the element of any proxy counts: name the URI of the one that is trusted";
            report.warning(&evidence.at(at).child("xfcc"), message);
        }
    }
    let Some(mapping) = compiled.body.as_ref().and_then(|body| body.mapping.as_ref()) else { return report.warnings };
    let section = root.child("mapping");
    let list = section.child("oneToOne");
    for entry in mapping.one_to_one.entries() {
        let (field, form) = (list.at(entry.index), entry.key.form);
        let field = field.child("certificate");
        report.warnings.extend(certificate_name(&field, form));
        if distinguished_name(form, &entry.key.bytes).is_some_and(looks_reversed) {
            report.warning(&field.child(form.name()), REVERSED);
        }
    }
    let rules = section.child("rules");
    for (at, rule) in mapping.rules.iter().enumerate() {
        if rule.identity.is_some() && rule.takes_any() {
            let message = "the rule allows every certificate that has such a name, as one and the same identity";
            report.warning(&rules.at(at).child("where"), message);
        }
    }
    for (at, rule) in mapping.rules.iter().enumerate().filter(|(_, rule)| rule.identity.is_none()) {
        let field = rules.at(at);
        let parts = field.child("where");
        for (part_at, _) in rule.parts.iter().enumerate().filter(|(_, part)| part.values() == Values::Every) {
            let message = "a certificate with one value more is not denied: leave `values` out of a rule that denies";
            report.warning(&parts.at(part_at).child("values"), message);
        }
    }
    for (at, before) in unreachable(&mapping.rules, mapping.precedence) {
        let name = mapping.rules.get(before).map_or("", |rule| &rule.name);
        let message = format!("no certificate can reach this rule: rules[{before}] ({name:?}) decides before it");
        report.warning(&rules.at(at), message);
    }
    report.warnings
}

/// What is doubtful about a policy whose trust profile holds a CA with dNSName constraints, of the given name.
pub fn common_names(compiled: &CompiledPolicy, constrained: &str) -> Vec<FieldError> {
    let mut report = Report::default();
    let Some(body) = &compiled.body else { return report.warnings };
    let root = Field::root("spec");
    let section = root.child("mapping");
    let unbound = format!("dNSName constraints, such as those of CA {constrained}, do not bind the common name");
    let Some(mapping) = &body.mapping else {
        report.warning(&section, format_args!("without it the subject is the user, and {unbound}: map DNS names"));
        return report.warnings;
    };
    let rules = section.child("rules");
    for (at, _) in mapping.rules.iter().enumerate().filter(|(_, rule)| rule.allows_by_common_name()) {
        let message = format_args!("the rule allows by the subject's CN, and {unbound}: map the DNS name");
        report.warning(&rules.at(at).child("where"), message);
    }
    report.warnings
}

/// What is doubtful about the name, at `field`, by which a mapping means a certificate.
pub fn certificate_name(field: &Field<'_>, form: NameForm) -> Vec<FieldError> {
    let mut report = Report::default();
    match form {
        NameForm::UserPrincipalName | NameForm::Dns | NameForm::Email | NameForm::Subject => {
            let message = format_args!(
                "{} is a weak name: any CA that the trust profile trusts can issue another certificate with it; prefer \
                 sha256, issuerSerial or publicKeySha256, or narrow issuingAuthorities",
                form.name()
            );
            report.warning(&field.child(form.name()), message);
        }
        NameForm::Sha256 | NameForm::IssuerSerial | NameForm::PublicKeySha256 | NameForm::Uri => {}
    }
    report.warnings
}

/// What is doubtful about a trust profile at `now`. `content` gives the certificates of a source as far as they are
/// known.
pub fn profile(
    spec: &TrustProfileSpec,
    compiled: &CompiledProfile,
    content: impl Fn(&CertificateSource) -> Option<Arc<[Arc<Certificate>]>>,
    now: UnixTime,
) -> Vec<FieldError> {
    let mut report = Report::default();
    let root = Field::root("spec");
    let signatures = compiled.requirements.signatures;
    let parameters = PathParameters { signatures, ..PathParameters::default() };
    let anchors = root.child("trustAnchors");
    let in_use = compiled.mode != TrustModeSpec::Peer;
    for (at, source) in compiled.anchors.iter().enumerate().filter(|_| in_use) {
        for anchor in content(source).iter().flat_map(|found| found.iter()).take(MAX_REPORTED_ANCHORS) {
            for finding in lint_anchor(anchor, now, &parameters) {
                report.warning(&anchors.at(at), format_args!("anchor {}: {finding}", anchor.subject()));
            }
            if now <= anchor.not_after() && anchor.not_after() < now.plus(ANCHOR_WARNING_PERIOD) {
                let message =
                    format_args!("anchor {}: expires at {}, within 30 days", anchor.subject(), anchor.not_after());
                report.warning(&anchors.at(at), message);
            }
        }
    }
    if let Some(revocation) = &spec.revocation {
        let field = root.child("revocation");
        if revocation.mode == RevocationModeSpec::NoCheck {
            report.warning(&field.child("mode"), "with mode NoCheck revoked certificates pass");
        }
        if revocation.on_unknown == OnUnknownSpec::Allow {
            let message = "with Allow a certificate passes when nothing current says whether it has been revoked";
            report.warning(&field.child("onUnknown"), message);
        }
    }
    report.warnings
}

/// What is doubtful at `now` about the CRLs of a trust profile: those that have ended, or end soon.
pub fn crls(crls: &[CrlSummary], now: UnixTime) -> Vec<FieldError> {
    let mut report = Report::default();
    let root = Field::root("spec");
    let revocation = root.child("revocation");
    let field = revocation.child("crls");
    for (crl, _) in expiring(crls, now).into_iter().take(MAX_REPORTED_CRLS) {
        report.warning(&field, crl.expiry_warning(now).unwrap_or_default());
    }
    report.warnings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::api::ObjectMeta;
    use crate::domain::policy::compile::{SourceRef, trust_profile};
    use certgate_testing::template::{Key, NOW, Template, pem};

    fn found(anchor: &Template) -> Vec<String> {
        let key = Key::new();
        let anchors = json!([{"inline": pem(&anchor.der(&key, &key))}]);
        let spec = json!({"trustAnchors": anchors, "anchorExtensions": "Ignore"});
        let spec = serde_json::from_value(spec).unwrap();
        let meta = ObjectMeta { name: "p".into(), namespace: "n".into(), ..ObjectMeta::default() };
        let (compiled, _) = trust_profile(&meta, &spec);
        let content = |source: &CertificateSource| match &source.source {
            SourceRef::Inline(found) => Some(Arc::clone(found)),
            _ => None,
        };
        profile(&spec, &compiled.unwrap(), content, NOW).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_anchor_that_ends_soon_or_has_ended_is_told_of() {
        let until = |not_after: &'static str| found(&Template { not_after, ..Template::ca() });
        let field = "spec.trustAnchors[0]: anchor CN=Acme CA,O=Acme: ";
        assert_eq!(until("351231235959Z"), Vec::<String>::new());
        assert_eq!(until("261222043000Z"), Vec::<String>::new(), "30 days");
        assert_eq!(until("261222042959Z"), [format!("{field}expires at 2026-12-22T04:29:59Z, within 30 days")]);
        assert_eq!(
            until("261122042959Z"),
            [format!("{field}expired at 2026-11-22T04:29:59Z; it is trusted all the same")]
        );
        let client = found(&Template::default());
        assert!(client.iter().any(|warning| warning.contains("not a CA")), "{client:?}");
    }
}
