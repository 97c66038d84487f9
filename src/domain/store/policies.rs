//! Certificate policies, joined with their trust profiles and put into the order that breaks ties.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::objects::Objects;
use super::profiles::{Profiles, ReferenceError};
use super::sources::Namespaces;
use super::{ObjectProblems, PolicyReport, Severity};
use crate::domain::api::Field;
use crate::domain::api::duplicate_error;
use crate::domain::api::{CertificatePolicySpec, FieldError, Kind, LabelSelector, MappingState, ObjectId, ObjectMeta};
use crate::domain::decide::compiled::CompiledPolicy;
use crate::domain::decide::mapping::rules::MappingSection;
use crate::domain::decide::mapping::store::MappingStore;
use crate::domain::decide::selection::Conflict;
use crate::domain::decide::verifier::CertificateVerifier;
use crate::domain::decide::{Policy, PolicyState, Snapshot};
use crate::domain::policy::compile::certificate_policy;
use crate::domain::policy::lint;
use certgate_x509::UnixTime;

/// A stored policy.
#[derive(Debug)]
struct StoredPolicy {
    spec: Box<CertificatePolicySpec>,
    unread: Vec<FieldError>,
    created: Option<UnixTime>,
    name: Arc<str>,
    compiled: Arc<CompiledPolicy>,
}

impl StoredPolicy {
    fn selector(&self) -> Option<&LabelSelector> {
        self.spec.mapping.as_ref()?.selector.as_ref()
    }
}

/// A policy that selects mappings.
#[derive(Debug)]
pub struct MappingSelection<'a> {
    /// The policy.
    pub id: ObjectId,
    /// `namespace/name`.
    pub name: Arc<str>,
    /// What it selects.
    pub selector: &'a LabelSelector,
    /// Its mapping section, when it compiles.
    pub mapping: Option<&'a MappingSection>,
    /// Its trust profile, when it compiles.
    pub trust: Option<&'a (String, String)>,
}

/// A policy in a [`super::View`].
#[derive(Clone, Debug)]
pub struct PolicyView {
    /// `namespace/name`.
    pub name: Arc<str>,
    /// When it was created, where that is known.
    pub created: Option<UnixTime>,
    /// The policy as far as it compiles.
    pub compiled: Arc<CompiledPolicy>,
    /// The mappings that it selects, whether it compiles or not.
    pub selector: Option<LabelSelector>,
}

/// What is wrong with a policy besides itself.
#[derive(Clone, Debug, Default)]
struct AssemblyProblems {
    /// With what it refers to.
    errors: Vec<FieldError>,
    /// With an object that it refers to, which has errors of its own.
    notes: Vec<FieldError>,
}

/// The certificate policies.
#[derive(Debug, Default)]
pub struct Policies {
    objects: Objects<StoredPolicy>,
    /// The identifiers in the order of the last [`Policies::assemble`], with what was wrong besides themselves.
    joined: Vec<(ObjectId, AssemblyProblems)>,
    /// The policies that lose everything to others.
    conflicts: Vec<(ObjectId, FieldError)>,
}

impl Policies {
    /// Stores a policy and says whether that changed anything.
    pub fn apply(&mut self, id: ObjectId, meta: &ObjectMeta, spec: Box<CertificatePolicySpec>) -> bool {
        let same = |stored: &StoredPolicy| {
            stored.spec == spec && stored.unread == meta.unread && stored.created == meta.creation_timestamp
        };
        if self.objects.get(&id).is_some_and(same) {
            return false;
        }
        let compiled = Arc::new(certificate_policy(meta, &spec));
        let name = id.namespaced_name().to_string().into();
        self.objects.insert(
            id,
            StoredPolicy { spec, unread: meta.unread.clone(), created: meta.creation_timestamp, name, compiled },
        );
        true
    }

    /// Removes a policy and says whether it was there.
    pub fn delete(&mut self, id: &ObjectId) -> bool {
        self.objects.remove(id)
    }

    /// The policies in the order that breaks ties, each joined with its trust profile.
    pub fn assemble(&mut self, profiles: &Profiles, namespaces: &Namespaces, mappings: &MappingStore) -> Vec<Policy> {
        let mut list: Vec<_> = self.objects.iter(Kind::CertificatePolicy).collect();
        list.sort_by(|(left_id, left, _), (right_id, right, _)| {
            older(left.created, right.created).then_with(|| left_id.cmp(right_id))
        });
        let mut out = Vec::with_capacity(list.len());
        let mut joined = Vec::with_capacity(list.len());
        for (id, stored, duplicates) in list {
            let mut found = AssemblyProblems::default();
            if !duplicates.is_empty() {
                found.errors.push(duplicate_error(duplicates.into_iter()));
            }
            let state = state(&id, stored, profiles, namespaces, mappings, &mut found);
            out.push(Policy::new(&stored.name, &id.namespace, Arc::clone(&stored.compiled), state));
            joined.push((id, found));
        }
        self.joined = joined;
        out
    }

    /// Notes which policies lose everything to others in a snapshot of what [`Policies::assemble`] gave.
    pub fn note_conflicts(&mut self, snapshot: &Snapshot) {
        let conflict = |conflict: Conflict| {
            let (loser, _) = self.joined.get(conflict.loser)?;
            // That there are two of one name is an error of its own.
            let is_other = |(id, _): &&(ObjectId, _)| (&id.namespace, &id.name) != (&loser.namespace, &loser.name);
            let winner = |(id, _): &(ObjectId, _)| id.namespaced_name().to_string();
            let winners = conflict.winners.iter().filter_map(|at| self.joined.get(*at));
            let winners: Vec<_> = winners.filter(is_other).map(winner).collect();
            if winners.is_empty() {
                return None;
            }
            let message = format!("Conflicted: every request that it names is decided by {}", winners.join(", "));
            Some((loser.clone(), FieldError::new("spec.match", message)))
        };
        self.conflicts = snapshot.conflicts().into_iter().filter_map(conflict).collect();
    }

    /// The policies that select mappings, whether they compile or not.
    pub fn selections(&self) -> Vec<MappingSelection<'_>> {
        let all = self.objects.iter(Kind::CertificatePolicy);
        all.filter_map(|(id, stored, _)| {
            let body = stored.compiled.body.as_ref();
            Some(MappingSelection {
                id,
                name: Arc::clone(&stored.name),
                selector: stored.selector()?,
                mapping: body.and_then(|body| body.mapping.as_ref()),
                trust: body.map(|body| &body.trust),
            })
        })
        .collect()
    }

    /// The policies that compile and have a mapping section, each with its trust profile.
    pub fn mappings(&self) -> impl Iterator<Item = (ObjectId, &MappingSection, &(String, String))> {
        self.objects.iter(Kind::CertificatePolicy).filter_map(|(id, stored, _)| {
            let body = stored.compiled.body.as_ref()?;
            Some((id, body.mapping.as_ref()?, &body.trust))
        })
    }

    /// What is known about each policy. `trust` gives a trust profile to policies of a namespace, where it works.
    pub fn reports(
        &self,
        mappings: &MappingStore,
        trust: impl Fn(&(String, String), &str) -> Option<Arc<CertificateVerifier>>,
    ) -> Vec<PolicyReport> {
        let joined: BTreeMap<&ObjectId, &AssemblyProblems> =
            self.joined.iter().map(|(id, found)| (id, found)).collect();
        let conflicts: BTreeMap<&ObjectId, &FieldError> =
            self.conflicts.iter().map(|(id, error)| (id, error)).collect();
        let report = |(id, stored, _): (ObjectId, &StoredPolicy, Vec<_>)| {
            let selector = stored.selector();
            let mut warnings = stored.compiled.report.warnings.clone();
            if let Some(body) = &stored.compiled.body
                && let Some(mapping) = &body.mapping
                && let Some(profile) = trust(&body.trust, &id.namespace)
            {
                warnings.extend(lint::weak_issuers(mapping, &profile));
            }
            PolicyReport {
                errors: stored.compiled.report.errors.clone(),
                warnings,
                unresolved: joined
                    .get(&id)
                    .map(|found| found.errors.iter().chain(&found.notes).cloned().collect())
                    .unwrap_or_default(),
                conflict: conflicts.get(&id).map(|error| (*error).clone()),
                mappings: selector.map_or(0, |selector| mappings.selected_by(&id.namespace, selector)),
                id,
            }
        };
        self.objects.iter(Kind::CertificatePolicy).map(report).collect()
    }

    /// The policies by namespace. One that shares its name with another is among them: it will decide again.
    pub fn known(&self) -> BTreeMap<String, Vec<PolicyView>> {
        let mut out: BTreeMap<String, Vec<PolicyView>> = BTreeMap::new();
        for (id, stored, _) in self.objects.iter(Kind::CertificatePolicy) {
            let known = PolicyView {
                name: Arc::clone(&stored.name),
                created: stored.created,
                compiled: Arc::clone(&stored.compiled),
                selector: stored.selector().cloned(),
            };
            out.entry(id.namespace).or_default().push(known);
        }
        out
    }

    /// What is doubtful about the policies.
    pub fn lint(&self, profiles: &Profiles, out: &mut ObjectProblems) {
        for (id, stored, _) in self.objects.iter(Kind::CertificatePolicy) {
            let mut warnings = lint::policy(&stored.spec, &stored.compiled);
            let trust = stored.compiled.body.as_ref().map(|body| &body.trust);
            if let Some(constrained) = trust.and_then(|trust| profiles.dns_constrained(trust)) {
                warnings.extend(lint::common_names(&stored.compiled, &constrained));
            }
            out.add(id, Severity::Warning, warnings);
        }
    }

    /// What is wrong with the policies.
    pub fn problems(&self, out: &mut ObjectProblems) {
        for (id, stored, _) in self.objects.iter(Kind::CertificatePolicy) {
            out.add(id.clone(), Severity::Error, stored.compiled.report.errors.iter().cloned());
            out.add(id, Severity::Warning, stored.compiled.report.warnings.iter().cloned());
        }
        for (id, found) in &self.joined {
            out.add(id.clone(), Severity::Error, found.errors.iter().cloned());
            out.add(id.clone(), Severity::Note, found.notes.iter().cloned());
        }
        for (id, warning) in &self.conflicts {
            out.add(id.clone(), Severity::Warning, [warning.clone()]);
        }
    }
}

/// Those with a time of creation first, the older the sooner.
pub(super) fn older(left: Option<UnixTime>, right: Option<UnixTime>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

fn state(
    id: &ObjectId,
    stored: &StoredPolicy,
    profiles: &Profiles,
    namespaces: &Namespaces,
    mappings: &MappingStore,
    found: &mut AssemblyProblems,
) -> PolicyState {
    let spec = Field::root("spec");
    let mut invalid = found.errors.first().map(ToString::to_string);
    let Some(body) = &stored.compiled.body else {
        let own = &stored.compiled.report.errors;
        let first = own.first().map_or_else(String::new, ToString::to_string);
        let more = match own.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        return PolicyState::Invalid(format!("{first}{more}"));
    };
    let trust = profiles.resolve(&body.trust, &id.namespace, namespaces);
    if let Err(problem) = &trust {
        let field = spec.child("trustRef").to_string();
        match problem {
            ReferenceError::NotFound(_) => found.errors.push(FieldError::new(field, problem.to_string())),
            ReferenceError::Forbidden { .. } => {
                let error = FieldError::new(field, problem.to_string());
                invalid.get_or_insert(error.to_string());
                found.errors.push(error);
            }
            ReferenceError::Duplicate(_) | ReferenceError::Invalid(_) => {
                let note = FieldError::new(field, problem.to_string());
                invalid.get_or_insert(note.to_string());
                found.notes.push(note);
            }
            // The profile's own error says which source; a denial of the policy repeats it, this note does not.
            ReferenceError::Unavailable { profile, .. } => {
                let message = format!("TrustProfile {profile} is not available: a source of it cannot be read");
                found.notes.push(FieldError::new(field, message));
            }
        }
    }
    if let Some(mapping) = &body.mapping
        && let Some(selector) = &mapping.selector
    {
        for (object, object_state) in mappings.unreadable(&id.namespace, selector) {
            let field = spec.child("mapping");
            let message = match object_state {
                MappingState::Disabled => {
                    format!("{object} is disabled, but the certificate that it names cannot be read")
                }
                // Its certificate would fall through to a rule that may grant more.
                MappingState::Enabled if mapping.has_rules_that_allow() => format!(
                    "the certificate that {object} names cannot be read, and the policy has rules that might allow it"
                ),
                MappingState::Enabled => continue,
            };
            let error = FieldError::new(field.child("selector").to_string(), message);
            invalid.get_or_insert(error.to_string());
            found.errors.push(error);
        }
    }
    match (invalid, trust) {
        (Some(problem), _) => PolicyState::Invalid(problem),
        (None, Err(problem)) => PolicyState::Unavailable(problem.to_string()),
        (None, Ok(profile)) => PolicyState::Ready(Arc::clone(profile)),
    }
}
