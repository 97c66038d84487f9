//! The store as of one publication, frozen, for reviews of objects that are not stored yet.
//!
//! Owns what an object may be judged by: trust profiles, policies, labels of namespaces, mappings. It is shared, cheap
//! to make after an edit of a mapping, and never changes, so judging needs no lock and disturbs nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::policies::{PolicyView, older};
use super::profiles::{ProfileView, ReferenceError};
use super::sources::{Namespaces, ReadSource, read_source};
use super::{Index, ObjectProblem, ObjectProblems, Severity};
use crate::domain::api::{Field, ObjectMeta};
use crate::domain::decide::mapping::table::MappingTable;
use crate::domain::decide::resolved_profile::ResolvedProfile;
use crate::domain::decide::selection::{Candidate, Conflict, Route, Selection};
use crate::domain::decide::verifier::CertificateVerifier;
use crate::domain::policy::compile::{CertificateSource, SourceContent, SourceRef};
use crate::domain::policy::lint;
use certgate_x509::{Certificate, UnixTime};

/// The store as of one publication.
#[derive(Clone, Debug)]
pub struct View {
    known: Arc<ViewContent>,
    mappings: MappingTable,
}

/// All but the mappings.
#[derive(Debug, Default)]
pub(super) struct ViewContent {
    /// By namespace and name.
    pub profiles: BTreeMap<(String, String), ProfileView>,
    /// By namespace.
    pub policies: BTreeMap<String, Vec<PolicyView>>,
    pub namespaces: Namespaces,
    pub sources: BTreeMap<ReadSource, SourceContent<Certificate>>,
}

/// The policies that one takes everything from, and those that take everything from it, as `namespace/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteConflicts {
    /// Every request that it names is decided by these; empty when it decides any.
    pub winners: Vec<String>,
    /// These decide nothing any more, and would without it or without others.
    pub losers: Vec<String>,
}

impl View {
    /// The profile that a policy of the namespace `user` refers to.
    ///
    /// # Errors
    /// Why the policy cannot use it.
    pub fn resolve(&self, reference: &(String, String), user: &str) -> Result<&Arc<ResolvedProfile>, ReferenceError> {
        let (namespace, name) = reference;
        let Some(known) = self.known.profiles.get(reference) else {
            return Err(ReferenceError::NotFound(format!("{namespace}/{name}")));
        };
        if !self.known.namespaces.permit(&known.allowed, namespace, user) {
            return Err(ReferenceError::Forbidden { profile: format!("{namespace}/{name}"), user: user.to_owned() });
        }
        known.resolved.as_ref().map_err(Clone::clone)
    }

    /// What verifies the certificates of a policy of the namespace `user` that refers to a profile, if it can use it.
    pub fn verifier(&self, reference: &(String, String), user: &str) -> Option<&CertificateVerifier> {
        self.resolve(reference, user).ok().map(|profile| &**profile.verifier())
    }

    /// A CA with dNSName constraints that a profile lists, by its subject.
    pub fn dns_constrained(&self, profile: &(String, String)) -> Option<String> {
        self.known.profiles.get(profile)?.resolved.as_ref().ok()?.dns_constrained()
    }

    /// The policies of a namespace.
    pub fn policies(&self, namespace: &str) -> &[PolicyView] {
        self.known.policies.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// Who decides in place of whom once a policy of this name has these routes.
    pub fn rivals(&self, meta: &ObjectMeta, routes: &[Route]) -> RouteConflicts {
        let name = meta.namespaced_name().to_string();
        let known = self.known.policies.values().flatten().filter(|policy| *policy.name != *name);
        let known = known.map(|policy| (policy.created, &*policy.name, policy.compiled.routes.as_slice()));
        let mut all: Vec<_> = known.chain([(meta.creation_timestamp, &*name, routes)]).collect();
        all.sort_by(|(left_time, left, _), (right_time, right, _)| {
            older(*left_time, *right_time).then_with(|| left.split_once('/').cmp(&right.split_once('/')))
        });
        let candidates: Vec<_> = all.iter().map(|&(_, name, routes)| Candidate { name, routes }).collect();
        let name_of = |at: &usize| candidates.get(*at).map_or("", |candidate| candidate.name);
        let mut rivals = RouteConflicts::default();
        for Conflict { loser, winners } in Selection::new(&candidates).conflicts(&candidates) {
            if name_of(&loser) == name {
                rivals.winners = winners.iter().map(|at| name_of(at).to_owned()).collect();
            } else if winners.iter().any(|at| name_of(at) == name) {
                rivals.losers.push(name_of(&loser).to_owned());
            }
        }
        rivals
    }

    /// The policies that refer to a trust profile, as `namespace/name`.
    pub fn users(&self, namespace: &str, name: &str) -> Vec<Arc<str>> {
        let uses = |policy: &&PolicyView| {
            let body = policy.compiled.body.as_ref();
            body.is_some_and(|body| body.trust.0 == namespace && body.trust.1 == name)
        };
        self.known.policies.values().flatten().filter(uses).map(|policy| Arc::clone(&policy.name)).collect()
    }

    /// The mappings.
    pub fn mappings(&self) -> &MappingTable {
        &self.mappings
    }

    /// The certificates of a source of a profile of `namespace`, when some profile uses it already.
    pub fn content(&self, source: &CertificateSource, namespace: &str) -> Option<SourceContent<Certificate>> {
        match &source.source {
            SourceRef::Inline(found) => Some(Arc::clone(found)),
            _ => self.known.sources.get(&read_source(source, namespace)?).cloned(),
        }
    }
}

impl Index {
    /// The store as of the last [`Index::publish`].
    pub fn view(&mut self) -> View {
        let (profiles, policies) = (&self.profiles, &self.policies);
        let (namespaces, sources) = (&self.namespaces, &self.sources);
        let known = self.known.get_or_insert_with(|| {
            Arc::new(ViewContent {
                profiles: profiles.known(),
                policies: policies.known(),
                namespaces: namespaces.clone(),
                sources: sources.known(),
            })
        });
        View { known: Arc::clone(known), mappings: self.mappings.table() }
    }

    /// What is legal but doubtful about the stored objects at `now`, as of the last [`Index::publish`], sorted by
    /// object.
    pub fn lint(&self, now: UnixTime) -> Vec<ObjectProblem> {
        let mut out = ObjectProblems::default();
        self.policies.lint(&self.profiles, &mut out);
        self.profiles.lint(&self.sources, now, &mut out);
        for mapping in self.mappings.working() {
            let field = Field::root("spec");
            let warnings = mapping.name().map(|(form, _)| lint::certificate_name(&field.child("certificate"), form));
            out.add(mapping.id(), Severity::Warning, warnings.unwrap_or_default());
        }
        for (id, findings) in self.findings() {
            out.add(id, Severity::Warning, findings.warnings());
        }
        for (id, mapping, trust) in self.policies.mappings() {
            if let Some(profile) = self.profiles.verifier(trust, &id.namespace, &self.namespaces) {
                let mut warnings = lint::weak_issuers(mapping, &profile);
                warnings.extend(lint::repeatable(mapping, &profile));
                out.add(id, Severity::Warning, warnings);
            }
        }
        out.sorted()
    }
}
