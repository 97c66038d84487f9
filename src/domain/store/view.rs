//! What the store knows, frozen, for whoever judges an object that is not in it yet.
//!
//! Owns what an object may be judged by: trust profiles, policies, labels of namespaces, mappings. It is shared, cheap to
//! make after an edit of a mapping, and never changes, so judging needs no lock and disturbs nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::policies::older;
use super::profiles::ProfileState;
use super::sources::{Namespaces, Parsed, ReadSource, read_source};
use super::{Index, Problem, Problems, Severity};
use crate::domain::api::Field;
use crate::domain::api::{AllowedNamespaces, LabelSelector, ObjectMeta};
use crate::domain::decide::compiled::CompiledPolicy;
use crate::domain::decide::mapping::table::MappingTable;
use crate::domain::decide::selection::{Candidate, Conflict, Route, Selection};
use crate::domain::decide::trust::TrustProfile;
use crate::domain::policy::compile::{CertificateSource, SourceRef};
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
    pub sources: BTreeMap<ReadSource, Parsed<Certificate>>,
}

/// A trust profile.
#[derive(Debug)]
pub(super) struct ProfileView {
    pub allowed: AllowedNamespaces,
    pub state: ProfileState,
    /// What validates by it, when it works.
    pub trust: Option<Arc<TrustProfile>>,
    /// A CA with dNSName constraints that it lists, by its subject.
    pub dns_constrained: Option<String>,
}

/// A policy.
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

/// The policies that one takes everything from, and those that take everything from it, as `namespace/name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rivals {
    /// Every request that it names is decided by these; empty when it decides any.
    pub winners: Vec<String>,
    /// These decide nothing any more, and would without it or without others.
    pub losers: Vec<String>,
}

/// What a reference to a trust profile comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The profile works.
    Ready,
    /// There is none, or none that works: requests are denied until it comes or is mended.
    Pending(String),
    /// The profile is there, and may not be referred to.
    Forbidden(String),
}

impl View {
    /// What a reference to a profile comes to in a policy of the namespace `user`.
    pub fn trust(&self, (namespace, name): &(String, String), user: &str) -> Reference {
        let who = format!("TrustProfile {namespace}/{name}");
        let Some(profile) = self.known.profiles.get(&(namespace.clone(), name.clone())) else {
            return Reference::Pending(format!("{who} does not exist"));
        };
        if !self.known.namespaces.permit(&profile.allowed, namespace, user) {
            return Reference::Forbidden(format!(
                "{who} does not allow policies of namespace {user} (allowedNamespaces)"
            ));
        }
        match &profile.state {
            ProfileState::Ready => Reference::Ready,
            ProfileState::Invalid => Reference::Pending(format!("{who} does not compile")),
            ProfileState::Unavailable(problem) => Reference::Pending(format!("{who}: {problem}")),
        }
    }

    /// What validates for policies of the namespace `user` that refer to a profile, where that works.
    pub fn profile(&self, reference: &(String, String), user: &str) -> Option<&TrustProfile> {
        let profile = self.known.profiles.get(reference)?;
        let permitted = self.known.namespaces.permit(&profile.allowed, &reference.0, user);
        profile.trust.as_deref().filter(|_| permitted)
    }

    /// A CA with dNSName constraints that a profile lists, by its subject.
    pub fn dns_constrained(&self, profile: &(String, String)) -> Option<&str> {
        self.known.profiles.get(profile)?.dns_constrained.as_deref()
    }

    /// The policies of a namespace.
    pub fn policies(&self, namespace: &str) -> &[PolicyView] {
        self.known.policies.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// Who decides in place of whom once a policy of this name has these routes.
    pub fn rivals(&self, meta: &ObjectMeta, routes: &[Route]) -> Rivals {
        let name = format!("{}/{}", meta.namespace, meta.name);
        let known = self.known.policies.values().flatten().filter(|policy| *policy.name != *name);
        let known = known.map(|policy| (policy.created, &*policy.name, policy.compiled.routes.as_slice()));
        let mut all: Vec<_> = known.chain([(meta.creation_timestamp, &*name, routes)]).collect();
        all.sort_by(|(left_time, left, _), (right_time, right, _)| {
            older(*left_time, *right_time).then_with(|| left.split_once('/').cmp(&right.split_once('/')))
        });
        let candidates: Vec<_> = all.iter().map(|&(_, name, routes)| Candidate { name, routes }).collect();
        let name_of = |at: &usize| candidates.get(*at).map_or("", |candidate| candidate.name);
        let mut rivals = Rivals::default();
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
    pub fn content(&self, source: &CertificateSource, namespace: &str) -> Option<Parsed<Certificate>> {
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

    /// What is legal but doubtful about the stored objects at `now`, as of the last [`Index::publish`], sorted by object.
    pub fn lint(&self, now: UnixTime) -> Vec<Problem> {
        let mut out = Problems::default();
        self.policies.lint(&self.profiles, &mut out);
        self.profiles.lint(&self.sources, now, &mut out);
        for mapping in self.mappings.working() {
            let field = Field::root("spec");
            let warnings = mapping.name().map(|(form, _)| lint::certificate_name(&field.child("certificate"), form));
            out.add(mapping.id(), Severity::Warning, warnings.unwrap_or_default());
        }
        for (id, traits) in self.traits() {
            out.add(id, Severity::Warning, traits.warnings());
        }
        for (id, mapping, trust) in self.policies.mappings() {
            if let Some(profile) = self.profiles.trust(trust, &id.namespace, &self.namespaces) {
                let mut warnings = lint::weak_issuers(mapping, &profile);
                warnings.extend(lint::repeatable(mapping, &profile));
                out.add(id, Severity::Warning, warnings);
            }
        }
        out.sorted()
    }
}
