//! An object that is about to be stored, judged by itself and by what is known already.
//!
//! Owns what admission refuses and what it warns of. The compiler's errors are the compiler's; this module adds what
//! only other objects show: a trust profile that does not let the policy in, another identity for the same certificate.
//! What may come later, such as the trust profile itself, is no reason to refuse: objects are applied in any order.

use crate::domain::api::{
    CertificateMappingSpec, CertificatePolicySpec, FieldError, MappingState, Object, ObjectMeta, TrustProfileSpec,
};
use crate::domain::api::{Field, Report};
use crate::domain::decide::compiled::CompiledPolicy;
use crate::domain::decide::identity::Identity;
use crate::domain::decide::mapping::compiled::CompiledMapping;
use crate::domain::decide::mapping::key::{NameForm, NameKey, lookup, may_coincide};
use crate::domain::decide::mapping::rules::MappingSection;
use crate::domain::decide::mapping::table::{MappingStatus, ObjectEntry};
use crate::domain::policy::compile::{certificate_mapping, certificate_policy, trust_profile};
use crate::domain::policy::lint;
use crate::domain::store::{PolicyView, ReferenceError, RouteConflicts, View};
use certgate_x509::UnixTime;

/// The most one-to-one entries that are compared with mappings: as many as a policy may have.
const MAX_COMPARED_ENTRIES: usize = crate::domain::policy::compile::MAX_ONE_TO_ONE;

/// The most policies that one warning names.
const MAX_NAMED_POLICIES: usize = 8;

/// The most mappings of one certificate that a new one is compared with, for each policy.
const MAX_COMPARED_MAPPINGS: usize = 100;

/// The result of a review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReviewFindings {
    /// What is wrong with the object by itself.
    pub errors: Vec<FieldError>,
    /// What contradicts other objects as they are known now.
    pub contradictions: Vec<FieldError>,
    /// What is legal but doubtful.
    pub warnings: Vec<FieldError>,
    /// Whether a warning is about a trust profile that may be on its way.
    pub is_pending: bool,
}

impl ReviewFindings {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.errors.is_empty() && self.contradictions.is_empty()
    }

    /// Everything that is wrong.
    pub fn wrong(&self) -> impl Iterator<Item = &FieldError> {
        self.errors.iter().chain(&self.contradictions)
    }
}

/// Judges an object. One of another kind than the three is good.
pub fn review(view: &View, object: &Object, now: UnixTime) -> ReviewFindings {
    match object {
        Object::TrustProfile { meta, spec } => profile(view, meta, spec, now),
        Object::CertificatePolicy { meta, spec } => policy(view, meta, spec),
        Object::CertificateMapping { meta, spec } => mapping(view, meta, spec),
        Object::ConfigMap { .. }
        | Object::Secret { .. }
        | Object::ClusterTrustBundle { .. }
        | Object::Namespace { .. } => ReviewFindings::default(),
    }
}

fn profile(view: &View, meta: &ObjectMeta, spec: &TrustProfileSpec, now: UnixTime) -> ReviewFindings {
    let (compiled, Report { errors, mut warnings }) = trust_profile(meta, spec);
    if let Some(compiled) = &compiled {
        warnings.extend(lint::profile(spec, compiled, |source| view.content(source, &meta.namespace), now));
    }
    ReviewFindings { errors, warnings, ..ReviewFindings::default() }
}

fn policy(view: &View, meta: &ObjectMeta, spec: &CertificatePolicySpec) -> ReviewFindings {
    let compiled = certificate_policy(meta, spec);
    let mut linted = lint::policy(spec, &compiled);
    let trust = compiled.body.as_ref().map(|body| &body.trust);
    if let Some(constrained) = trust.and_then(|trust| view.dns_constrained(trust)) {
        linted.extend(lint::common_names(&compiled, &constrained));
    }
    let CompiledPolicy { body, routes, report: Report { errors, warnings }, .. } = compiled;
    let mut verdict = ReviewFindings { errors, warnings, ..ReviewFindings::default() };
    verdict.warnings.extend(linted);
    let Some(body) = body else { return verdict };
    let root = Field::root("spec");
    let RouteConflicts { winners, losers } = view.rivals(meta, &routes);
    let match_field = root.child("match").to_string();
    if !winners.is_empty() {
        let message = format!("Conflicted: every request that it names is decided by {}", named(&winners));
        verdict.warnings.push(FieldError::new(match_field.clone(), message));
    }
    if !losers.is_empty() {
        let message = format!("with this policy in place no request is decided by {}", named(&losers));
        verdict.warnings.push(FieldError::new(match_field, message));
    }
    let field = root.child("trustRef");
    match view.resolve(&body.trust, &meta.namespace) {
        Ok(_) => {}
        Err(problem @ ReferenceError::Forbidden { .. }) => {
            verdict.contradictions.push(FieldError::new(field.to_string(), problem.to_string()));
        }
        Err(problem) => {
            let message = format!("{problem}; requests are denied until that changes");
            verdict.warnings.push(FieldError::new(field.to_string(), message));
            verdict.is_pending = true;
        }
    }
    if let Some(mapping) = &body.mapping {
        one_to_one(view, meta, mapping, &mut verdict);
        if let Some(profile) = view.verifier(&body.trust, &meta.namespace) {
            verdict.warnings.extend(lint::weak_issuers(mapping, profile));
            verdict.warnings.extend(lint::repeatable(mapping, profile));
        }
    }
    verdict
}

/// What the deletion of a trust profile causes.
pub fn profile_deletion(view: &View, namespace: &str, name: &str) -> Vec<FieldError> {
    let users: Vec<String> = view.users(namespace, name).iter().map(|user| user.to_string()).collect();
    if users.is_empty() {
        return Vec::new();
    }
    let message = format!(
        "TrustProfile {namespace}/{name} is in use: without it requests are denied with TRUST_UNAVAILABLE by {}",
        named(&users)
    );
    vec![FieldError::new("metadata.name", message)]
}

/// Names in a row, at most [`MAX_NAMED_POLICIES`].
fn named(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(MAX_NAMED_POLICIES).map(String::as_str).collect();
    match names.len().saturating_sub(MAX_NAMED_POLICIES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Compares a policy's entries with the mappings that it selects.
fn one_to_one(view: &View, meta: &ObjectMeta, mapping: &MappingSection, verdict: &mut ReviewFindings) {
    let Some(selector) = &mapping.selector else { return };
    let root = Field::root("spec");
    let section = root.child("mapping");
    let list = section.child("oneToOne");
    for entry in mapping.one_to_one.entries().iter().take(MAX_COMPARED_ENTRIES) {
        let field = list.at(entry.index);
        let NameKey { form, bytes } = &entry.key;
        let others = view.mappings().find(&meta.namespace, selector, *form, lookup(*form, bytes));
        for found in others.filter(|found| found.may_be(bytes)).take(MAX_COMPARED_MAPPINGS) {
            compare(&field, entry.state, &entry.identity, &found, "this policy", verdict);
        }
    }
}

fn mapping(view: &View, meta: &ObjectMeta, spec: &CertificateMappingSpec) -> ReviewFindings {
    let CompiledMapping { key, public_key, identity, state, errors } = certificate_mapping(meta, spec);
    let mut verdict = ReviewFindings { errors, ..ReviewFindings::default() };
    let Some(NameKey { form, bytes }) = key.filter(|_| verdict.errors.is_empty()) else { return verdict };
    let root = Field::root("spec");
    verdict.warnings = lint::certificate_name(&root.child("certificate"), form);
    let selects =
        |policy: &&PolicyView| policy.selector.as_ref().is_some_and(|selector| selector.selects(&meta.labels));
    let selecting = || view.policies(&meta.namespace).iter().filter(selects);
    let profiles = selecting().map(|policy| {
        let body = policy.compiled.body.as_ref()?;
        view.verifier(&body.trust, &meta.namespace)
    });
    verdict.warnings.extend(lint::findings(form, &bytes, state, profiles).warnings());
    let field = root.child("identity");
    for policy in selecting() {
        let mapping = policy.compiled.body.as_ref().and_then(|body| body.mapping.as_ref());
        let Some((mapping, selector)) = mapping.and_then(|mapping| Some((mapping, mapping.selector.as_ref()?))) else {
            continue;
        };
        let who = format!("policy {}", policy.name);
        let key = lookup(form, &bytes);
        let others = view.mappings().find(&meta.namespace, selector, form, key);
        for found in
            others.filter(|found| found.name() != meta.name && found.may_be(&bytes)).take(MAX_COMPARED_MAPPINGS)
        {
            compare(&field, state, &identity, &found, &who, &mut verdict);
        }
        if let Some(public_key) = public_key {
            let others =
                view.mappings().find(&meta.namespace, selector, NameForm::PublicKeySha256, public_key.as_bytes());
            for found in others.filter(|found| found.name() != meta.name).take(MAX_COMPARED_MAPPINGS) {
                compare(&field, state, &identity, &found, &who, &mut verdict);
            }
        }
        let mut entries = mapping.one_to_one.find(form, key);
        if let Some(entry) = entries.find(|entry| may_coincide(form, &entry.key.bytes, &bytes)) {
            let other = format!("oneToOne[{}] of {who}", entry.index);
            let message = contradiction(&field, &other, entry.state, state, *entry.identity == identity, &who);
            take(message, &mut verdict);
        }
    }
    verdict
}

/// Compares what one object says about a certificate with what a stored mapping says.
fn compare(
    field: &Field<'_>,
    state: MappingState,
    identity: &Identity,
    found: &ObjectEntry<'_>,
    who: &str,
    verdict: &mut ReviewFindings,
) {
    let other_state = match found.status() {
        MappingStatus::Enabled => MappingState::Enabled,
        MappingStatus::Disabled | MappingStatus::InvalidDisabled => MappingState::Disabled,
        // Its own status reports it, and it denies.
        MappingStatus::Invalid => return,
    };
    let other = format!("CertificateMapping {}", found.name());
    take(contradiction(field, &other, other_state, state, found.stands_for(identity), who), verdict);
}

/// What follows from two objects that mean the same certificate.
enum MappingConflict {
    None,
    Refused(FieldError),
    Doubtful(FieldError),
}

fn contradiction(
    field: &Field<'_>,
    other: &str,
    other_state: MappingState,
    state: MappingState,
    same_identity: bool,
    who: &str,
) -> MappingConflict {
    match (state, other_state) {
        (MappingState::Enabled, MappingState::Enabled) if same_identity => MappingConflict::None,
        (MappingState::Enabled, MappingState::Enabled) => {
            let message = format!(
                "{other} maps the same certificate to another identity, and {who} selects both: the certificate would be \
                 denied with MAPPING_AMBIGUOUS"
            );
            MappingConflict::Refused(FieldError::new(field.to_string(), message))
        }
        (MappingState::Disabled, MappingState::Disabled) => MappingConflict::None,
        (MappingState::Enabled, MappingState::Disabled) => {
            let message =
                format!("{other} disables the same certificate for {who}: it is denied with ACCOUNT_DISABLED");
            MappingConflict::Doubtful(FieldError::new(field.to_string(), message))
        }
        (MappingState::Disabled, MappingState::Enabled) => {
            let message = format!(
                "{other} maps the same certificate for {who}, and is outweighed: it is denied with ACCOUNT_DISABLED"
            );
            MappingConflict::Doubtful(FieldError::new(field.to_string(), message))
        }
    }
}

fn take(rivalry: MappingConflict, verdict: &mut ReviewFindings) {
    match rivalry {
        MappingConflict::None => {}
        MappingConflict::Refused(error) => verdict.contradictions.push(error),
        MappingConflict::Doubtful(warning) => verdict.warnings.push(warning),
    }
}
