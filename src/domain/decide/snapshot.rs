//! What decisions read: the policies joined with what they refer to, and the mappings, immutable.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::domain::decide::compiled::{CompiledPolicy, DEFAULT_GROUPS_HEADER, DEFAULT_USER_HEADER};
use crate::domain::decide::mapping::table::MappingTable;
use crate::domain::decide::resolved_profile::{AnchorsSummary, CrlSummary, ResolvedProfile};
use crate::domain::decide::selection::{Candidate, Conflict, Selection};
use crate::domain::evidence::EvidenceRule;
use crate::domain::request::Request;
use certgate_x509::NoTrace;

/// Everything that decisions need, immutable; shared by the requests in flight.
#[derive(Clone, Debug)]
pub struct Snapshot {
    generation: u64,
    pub(super) policies: Arc<[Policy]>,
    pub(super) selection: Arc<Selection>,
    pub(super) mappings: MappingTable,
    identity_headers: Arc<[Arc<str>]>,
}

/// A policy, joined with what it refers to.
#[derive(Debug)]
pub struct Policy {
    pub(super) name: Arc<str>,
    pub(super) namespace: String,
    pub(super) compiled: Arc<CompiledPolicy>,
    pub(super) state: PolicyState,
}

/// Whether a policy can decide.
#[derive(Debug)]
pub enum PolicyState {
    /// It can, with this profile.
    Ready(Arc<ResolvedProfile>),
    /// Its trust profile is missing, or has never been readable.
    Unavailable(String),
    /// It is in error; here is the first thing that is wrong.
    Invalid(String),
}

/// The size of a snapshot.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Policies, with invalid ones.
    pub policies: usize,
    /// Policies that are in error and deny.
    pub invalid_policies: usize,
    /// Policies whose trust profile is missing or unreadable.
    pub unavailable_policies: usize,
    /// CertificateMapping objects, with invalid ones.
    pub mappings: usize,
}

impl Policy {
    /// A policy in its state.
    pub fn new(name: &Arc<str>, namespace: &str, compiled: Arc<CompiledPolicy>, state: PolicyState) -> Self {
        Self { name: Arc::clone(name), namespace: namespace.to_owned(), compiled, state }
    }

    /// `namespace/name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can decide.
    pub fn state(&self) -> &PolicyState {
        &self.state
    }

    fn candidate(&self) -> Candidate<'_> {
        Candidate { name: &self.name, routes: &self.compiled.routes }
    }

    /// Whether both decide alike because they are made of the same parts.
    fn is_same(&self, other: &Self) -> bool {
        let same_state = match (&self.state, &other.state) {
            (PolicyState::Ready(left), PolicyState::Ready(right)) => Arc::ptr_eq(left, right),
            (PolicyState::Unavailable(left), PolicyState::Unavailable(right))
            | (PolicyState::Invalid(left), PolicyState::Invalid(right)) => left == right,
            _ => false,
        };
        same_state && self.is_written_like(other)
    }

    /// Whether both are the same object in the same version, in whatever state.
    fn is_written_like(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.compiled, &other.compiled)
    }
}

impl Snapshot {
    /// A snapshot of `policies`, given in the order that breaks ties.
    pub fn new(former_generation: u64, policies: Vec<Policy>, mappings: MappingTable) -> Self {
        let candidates: Vec<_> = policies.iter().map(Policy::candidate).collect();
        let selection = Arc::new(Selection::new(&candidates));
        let named = policies.iter().flat_map(|policy| policy.compiled.identity_headers.iter().cloned());
        let headers: BTreeSet<Arc<str>> =
            named.chain([DEFAULT_USER_HEADER.into(), DEFAULT_GROUPS_HEADER.into()]).collect();
        Self {
            generation: former_generation.saturating_add(1),
            policies: policies.into(),
            selection,
            mappings,
            identity_headers: headers.into_iter().collect(),
        }
    }

    /// The next snapshot, with the same policies and other mappings.
    #[must_use]
    pub fn with_mappings(&self, mappings: MappingTable) -> Self {
        Self { generation: self.generation.saturating_add(1), mappings, ..self.clone() }
    }

    /// The next snapshot, with the same policies in other states. They must select alike.
    #[must_use]
    pub fn with_policies(&self, policies: Vec<Policy>, mappings: MappingTable) -> Self {
        let generation = self.generation.saturating_add(1);
        Self { generation, policies: policies.into(), mappings, ..self.clone() }
    }

    /// Whether these policies differ from the snapshot's in their states alone.
    pub fn selects_alike(&self, policies: &[Policy]) -> bool {
        self.policies.len() == policies.len()
            && self.policies.iter().zip(policies).all(|(left, right)| left.is_written_like(right))
    }

    /// The CRLs that decisions rely on, by profile.
    pub fn crls(&self) -> Vec<CrlSummary> {
        self.profiles().flat_map(|trusted| trusted.crls()).collect()
    }

    /// The trust anchors that decisions rely on, by profile.
    pub fn anchors(&self) -> Vec<AnchorsSummary> {
        self.profiles().filter_map(|trusted| trusted.anchors()).collect()
    }

    /// The profiles that policies decide by, each once.
    fn profiles(&self) -> impl Iterator<Item = &Arc<ResolvedProfile>> {
        fn ready(policy: &Policy) -> Option<&Arc<ResolvedProfile>> {
            match &policy.state {
                PolicyState::Ready(trusted) => Some(trusted),
                PolicyState::Unavailable(_) | PolicyState::Invalid(_) => None,
            }
        }
        let mut seen = BTreeSet::new();
        self.policies.iter().filter_map(ready).filter(move |trusted| seen.insert(Arc::as_ptr(trusted)))
    }

    /// Whether the snapshot is made of these policies.
    pub fn has_policies(&self, policies: &[Policy]) -> bool {
        self.policies.len() == policies.len()
            && self.policies.iter().zip(policies).all(|(left, right)| left.is_same(right))
    }

    /// The policies that no request reaches.
    pub fn conflicts(&self) -> Vec<Conflict> {
        let candidates: Vec<_> = self.policies.iter().map(Policy::candidate).collect();
        self.selection.conflicts(&candidates)
    }

    /// Every request header that any policy can set, lower case, sorted, without duplicates. An adapter removes from
    /// the client's request all of them that the decision does not set.
    pub fn identity_headers(&self) -> &[Arc<str>] {
        &self.identity_headers
    }

    /// Counts the snapshots of one index, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The policies in the order that breaks ties.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Where the policy that `request` selects looks for the certificate; nowhere when no policy is selected, or none
    /// that looks.
    pub fn evidence_of(&self, request: &Request<'_>) -> &[EvidenceRule] {
        let selected = self.selection.select(request, &mut NoTrace).ok().and_then(|at| self.policies.get(at));
        let looking = selected.filter(|policy| matches!(policy.state, PolicyState::Ready(_)));
        looking.and_then(|policy| policy.compiled.body.as_ref()).map(|body| &*body.evidence).unwrap_or_default()
    }

    /// How many objects the snapshot decides by.
    pub fn counts(&self) -> Counts {
        let count = |wanted: fn(&PolicyState) -> bool| self.policies.iter().filter(|p| wanted(&p.state)).count();
        Counts {
            policies: self.policies.len(),
            invalid_policies: count(|state| matches!(state, PolicyState::Invalid(_))),
            unavailable_policies: count(|state| matches!(state, PolicyState::Unavailable(_))),
            mappings: self.mappings.len(),
        }
    }
}
