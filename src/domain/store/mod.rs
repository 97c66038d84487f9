//! The mutable store: takes objects in any order, compiles each by itself, joins them, and publishes snapshots.
//!
//! What a snapshot decides depends on the objects that the store holds and never on the order in which they came; the
//! exceptions are the last good content of a trust source, and that the numbers of CRLs do not go back. Nothing is read
//! here: adapters hand objects in, and the contents of files too.

mod cross;
mod objects;
mod policies;
mod profiles;
mod report;
pub mod review;
mod sources;
mod view;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::domain::api::duplicate_error;
use crate::domain::api::{FieldError, Kind, Object, ObjectId};
use crate::domain::decide::Snapshot;
use crate::domain::decide::mapping::store::{EditOutcome, MappingStore};
use crate::domain::policy::compile::certificate_mapping;
use policies::Policies;
pub use policies::PolicyView;
use profiles::Profiles;
pub use profiles::ReferenceError;
pub use report::{MappingReport, PolicyReport, ProfileReport};
pub use sources::{AbsentSources, CrlFile, WantedFiles};
use sources::{Namespaces, Sources, TrustBundle};
use view::ViewContent;
pub use view::{RouteConflicts, View};

/// The mutable store behind the snapshots.
#[derive(Debug, Default)]
pub struct Index {
    policies: Policies,
    profiles: Profiles,
    sources: Sources,
    namespaces: Namespaces,
    mappings: MappingStore,
    stale: Stale,
    published: Option<Arc<Snapshot>>,
    /// What [`Index::view`] gave, while it holds.
    known: Option<Arc<ViewContent>>,
}

/// What has been edited since the last publication.
#[derive(Debug, Default)]
struct Stale {
    /// Profiles or the certificates they take from elsewhere.
    trust: bool,
    /// Policies, or what they refer to.
    policies: bool,
    /// CertificateMapping objects.
    mappings: bool,
    /// Whether mappings made policies invalid at the last publication.
    unreadable: bool,
}

impl Index {
    /// An index without objects. Its first [`Index::publish`] yields a snapshot that denies everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores an object, in place of the former one of the same [`ObjectId`].
    pub fn apply(&mut self, object: Object) {
        let stale = &mut self.stale;
        match object {
            // Of 100,000 mappings only the compact form is kept; the others are few.
            Object::CertificateMapping { meta, spec } => {
                let compiled = certificate_mapping(&meta, &spec);
                stale.mappings |= self.mappings.apply(meta, compiled) == EditOutcome::Changed;
            }
            Object::CertificatePolicy { meta, spec } => {
                stale.policies |= self.policies.apply(meta.id(Kind::CertificatePolicy), &meta, spec);
            }
            Object::TrustProfile { meta, spec } => {
                stale.trust |= self.profiles.apply(meta.id(Kind::TrustProfile), &meta, spec);
            }
            Object::ConfigMap { meta, data } => {
                stale.trust |= self.sources.apply_data(meta.id(Kind::ConfigMap), data);
            }
            Object::Secret { meta, data } => stale.trust |= self.sources.apply_data(meta.id(Kind::Secret), data),
            Object::ClusterTrustBundle { meta, signer_name, trust_bundle } => {
                let id = meta.id(Kind::ClusterTrustBundle);
                let bundle = TrustBundle { signer_name, labels: meta.labels, content: trust_bundle };
                stale.trust |= self.sources.apply_bundle(id, bundle);
            }
            Object::Namespace { meta } => {
                stale.policies |= self.namespaces.apply(meta.id(Kind::Namespace), meta.labels);
            }
        }
    }

    /// Removes an object; nothing happens when it is not there.
    pub fn delete(&mut self, id: &ObjectId) {
        let stale = &mut self.stale;
        match id.kind {
            Kind::CertificateMapping => stale.mappings |= self.mappings.delete(id) == EditOutcome::Changed,
            Kind::CertificatePolicy => stale.policies |= self.policies.delete(id),
            Kind::TrustProfile => stale.trust |= self.profiles.delete(id),
            Kind::ConfigMap | Kind::Secret | Kind::ClusterTrustBundle => stale.trust |= self.sources.delete(id),
            Kind::Namespace => stale.policies |= self.namespaces.delete(id),
        }
    }

    /// Notes whether a ConfigMap, Secret or ClusterTrustBundle may be read, and says whether that is news.
    pub fn set_forbidden(&mut self, kind: Kind, namespace: &str, name: &str, forbidden: bool) -> bool {
        let is_news = self.sources.set_forbidden(kind, namespace, name, forbidden);
        self.stale.trust |= is_news;
        is_news
    }

    /// Sets how absent sources are treated; before anything is published.
    pub fn set_absent_sources(&mut self, absent: AbsentSources) {
        self.sources.set_absent(absent);
    }

    /// Notes whether it is not known yet whether a ConfigMap, Secret or ClusterTrustBundle is there: then it is neither
    /// missing nor forbidden.
    pub fn set_pending(&mut self, kind: Kind, namespace: &str, name: &str, pending: bool) -> bool {
        let is_news = self.sources.set_pending(kind, namespace, name, pending);
        self.stale.trust |= is_news;
        is_news
    }

    /// Stores the content of a file of certificates that a trust profile names, or why it cannot be read.
    pub fn set_certificate_file(&mut self, path: &str, content: Result<Bytes, String>) {
        self.stale.trust |= self.sources.set_certificate_file(path, content);
    }

    /// Stores what a file of CRLs holds that a trust profile names, or why it cannot be read.
    pub fn set_crl_file(&mut self, path: &str, content: Result<CrlFile, String>) {
        self.stale.trust |= self.sources.set_crl_file(path, content);
    }

    /// The files that trust profiles name.
    pub fn wanted_files(&self) -> WantedFiles {
        self.profiles.wanted_files()
    }

    /// A new snapshot; `None` when nothing that a decision could depend on has changed since the last one.
    pub fn publish(&mut self) -> Option<Arc<Snapshot>> {
        let Stale { trust, policies, mappings, unreadable } = std::mem::take(&mut self.stale);
        self.stale.unreadable = self.mappings.has_unreadable();
        if trust || policies {
            self.known = None;
        }
        let next = match self.published.as_deref() {
            Some(_) if !(trust || policies || mappings) => return None,
            // By far the most frequent edit, and policies do not depend on it.
            Some(former) if !(trust || policies || unreadable || self.stale.unreadable) => {
                former.with_mappings(self.mappings.table())
            }
            former => {
                if trust || former.is_none() {
                    self.profiles.refresh(&mut self.sources);
                }
                let list = self.policies.assemble(&self.profiles, &self.namespaces, &self.mappings);
                match former {
                    Some(former) if former.has_policies(&list) => {
                        if !mappings {
                            return None;
                        }
                        former.with_mappings(self.mappings.table())
                    }
                    // A new CRL or anchor: which policy decides about a request stays as it is.
                    Some(former) if former.selects_alike(&list) => former.with_policies(list, self.mappings.table()),
                    _ => {
                        let generation = former.map_or(0, Snapshot::generation);
                        let next = Snapshot::new(generation, list, self.mappings.table());
                        self.policies.note_conflicts(&next);
                        next
                    }
                }
            }
        };
        let next = Arc::new(next);
        self.published = Some(Arc::clone(&next));
        Some(next)
    }

    /// What is wrong with the stored objects, as of the last [`Index::publish`], sorted by object.
    pub fn problems(&self) -> Vec<ObjectProblem> {
        let mut out = ObjectProblems::default();
        self.policies.problems(&mut out);
        self.profiles.problems(&mut out);
        for (id, errors) in self.mappings.problems() {
            out.add(id, Severity::Error, errors);
        }
        for (id, severity, error) in self.contradictions() {
            out.add(id, severity, [error]);
        }
        for (id, duplicates) in self.sources.duplicates().into_iter().chain(self.namespaces.duplicates()) {
            out.add(id, Severity::Error, [duplicate_error(duplicates.into_iter())]);
        }
        out.sorted()
    }
}

/// What is wrong with one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectProblem {
    /// The object.
    pub id: ObjectId,
    /// How bad it is.
    pub severity: Severity,
    /// Each thing that is wrong, with its field.
    pub errors: Vec<FieldError>,
}

/// How bad a problem is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The object, or a part of it, does not work.
    Error,
    /// The object works, but probably not as its author meant it.
    Warning,
    /// It does not work because of what is wrong with another object, which has errors of its own.
    Note,
}

/// Collects problems by object.
#[derive(Debug, Default)]
struct ObjectProblems(BTreeMap<(ObjectId, Severity), Vec<FieldError>>);

impl ObjectProblems {
    fn add(&mut self, id: ObjectId, severity: Severity, errors: impl IntoIterator<Item = FieldError>) {
        let mut errors = errors.into_iter().peekable();
        if errors.peek().is_some() {
            self.0.entry((id, severity)).or_default().extend(errors);
        }
    }

    fn sorted(self) -> Vec<ObjectProblem> {
        self.0.into_iter().map(|((id, severity), errors)| ObjectProblem { id, severity, errors }).collect()
    }
}
