//! The trust profiles: stored, resolved again when a source changes, and given to the policies that refer to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use certgate_x509::{RevocationData, UnixTime};
use thiserror::Error;

use super::objects::{Lookup, Objects};
use super::sources::{Namespaces, SourceKey, Sources, WantedFiles, read_source};
use super::{ObjectProblems, ProfileReport, Severity};
use crate::domain::api::duplicate_error;
use crate::domain::api::{AllowedNamespaces, FieldError, Kind, ObjectId, ObjectMeta, Report, TrustProfileSpec};
use crate::domain::decide::resolved_profile::ResolvedProfile;
use crate::domain::decide::verifier::CertificateVerifier;
use crate::domain::policy::compile::{
    CertificateSource, CompiledProfile, NOT_READ, ProfileSources, Resolution, SourceRef, trust_profile,
};
use crate::domain::policy::lint;

/// Why a policy cannot use the trust profile that it refers to, here as `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// There is no such profile.
    #[error("TrustProfile {0} does not exist")]
    NotFound(String),
    /// Several objects have this name.
    #[error("there is more than one TrustProfile {0}")]
    Duplicate(String),
    /// The profile does not compile.
    #[error("TrustProfile {0} does not compile")]
    Invalid(String),
    /// The profile does not allow policies of the namespace.
    #[error("TrustProfile {profile} does not allow policies of namespace {user} (allowedNamespaces)")]
    #[expect(missing_docs, reason = "the message says what they are")]
    Forbidden { profile: String, user: String },
    /// A source of the profile has never been readable.
    #[error("TrustProfile {profile}: {problem}")]
    #[expect(missing_docs, reason = "the message says what they are")]
    Unavailable { profile: String, problem: String },
}

/// A stored profile.
#[derive(Debug)]
struct StoredProfile {
    spec: Box<TrustProfileSpec>,
    unread: Vec<FieldError>,
    compiled: Option<CompiledProfile>,
    report: Report,
    /// As of the last [`Profiles::refresh`].
    resolution: Option<Resolution>,
}

/// A trust profile in a [`super::View`].
#[derive(Debug)]
pub struct ProfileView {
    /// The namespaces whose policies may refer to it.
    pub allowed: AllowedNamespaces,
    /// The resolved profile, or why no policy can use it.
    pub resolved: Result<Arc<ResolvedProfile>, ReferenceError>,
}

/// The trust profiles.
#[derive(Debug, Default)]
pub struct Profiles {
    objects: Objects<StoredProfile>,
    /// The revocation data that each profile has used so far, by namespace and name: no CRL replaces a newer one,
    /// however the profile is edited.
    used: BTreeMap<(String, String), Arc<RevocationData>>,
}

impl Profiles {
    /// Stores a profile and says whether that changed anything.
    pub fn apply(&mut self, id: ObjectId, meta: &ObjectMeta, spec: Box<TrustProfileSpec>) -> bool {
        if self.objects.get(&id).is_some_and(|stored| stored.spec == spec && stored.unread == meta.unread) {
            return false;
        }
        let (compiled, report) = trust_profile(meta, &spec);
        self.objects
            .insert(id, StoredProfile { spec, unread: meta.unread.clone(), compiled, report, resolution: None });
        true
    }

    /// Removes a profile and says whether it was there.
    pub fn delete(&mut self, id: &ObjectId) -> bool {
        self.objects.remove(id)
    }

    /// The files that profiles name.
    pub fn wanted_files(&self) -> WantedFiles {
        let mut files = WantedFiles::default();
        for profile in self.objects.iter(Kind::TrustProfile).filter_map(|(_, stored, _)| stored.compiled.as_ref()) {
            let certificates = profile.certificate_sources().into_iter().flat_map(|(_, sources)| sources);
            files.certificates.extend(certificates.filter_map(|source| file(&source.source)));
            files.crls.extend(profile.crl_sources().iter().filter_map(file));
        }
        files
    }

    /// Reads the sources again and builds the profiles whose certificates or CRLs have changed.
    pub fn refresh(&mut self, sources: &mut Sources) {
        let (mut certificates, mut crls) = (BTreeSet::new(), BTreeSet::new());
        for (id, stored, _) in self.objects.iter(Kind::TrustProfile) {
            let Some(profile) = &stored.compiled else { continue };
            let lists = profile.certificate_sources().into_iter().flat_map(|(_, sources)| sources);
            certificates.extend(lists.filter_map(|source| read_source(source, &id.namespace)));
            crls.extend(profile.crl_sources().iter().filter_map(|source| SourceKey::of(source, &id.namespace)));
        }
        sources.refresh(&certificates, &crls);
        let objects = &self.objects;
        self.used.retain(|(namespace, name), _| !matches!(objects.find(namespace, name), Lookup::None));
        for (id, stored) in self.objects.iter_mut(Kind::TrustProfile) {
            let Some(compiled) = &stored.compiled else { continue };
            let key = (id.namespace.clone(), id.name.clone());
            let used = self.used.get(&key).map(Arc::clone).unwrap_or_default();
            let resolution = compiled.resolve(&id, &sources.of(&id.namespace), stored.resolution.take(), &used);
            if let Ok(profile) = resolution.profile() {
                self.used.insert(key, Arc::clone(profile.revocation_data()));
            }
            stored.resolution = Some(resolution);
        }
    }

    /// The profile that a policy of the namespace `user` refers to.
    ///
    /// # Errors
    /// Why the policy cannot use it.
    pub fn resolve(
        &self,
        (namespace, name): &(String, String),
        user: &str,
        namespaces: &Namespaces,
    ) -> Result<&Arc<ResolvedProfile>, ReferenceError> {
        let profile = format!("{namespace}/{name}");
        let stored = match self.objects.find(namespace, name) {
            Lookup::None => return Err(ReferenceError::NotFound(profile)),
            Lookup::Duplicates => return Err(ReferenceError::Duplicate(profile)),
            Lookup::One(stored) => stored,
        };
        let Some(compiled) = &stored.compiled else { return Err(ReferenceError::Invalid(profile)) };
        if !namespaces.permit(&compiled.allowed_namespaces, namespace, user) {
            return Err(ReferenceError::Forbidden { profile, user: user.to_owned() });
        }
        let resolved = stored.resolution.as_ref().map_or(Err(NOT_READ), Resolution::profile);
        resolved.map_err(|problem| ReferenceError::Unavailable { profile, problem: problem.to_owned() })
    }

    /// What verifies the certificates of a policy of the namespace `user` that refers to a profile, if it can use it.
    pub fn verifier(
        &self,
        reference: &(String, String),
        user: &str,
        namespaces: &Namespaces,
    ) -> Option<Arc<CertificateVerifier>> {
        self.resolve(reference, user, namespaces).ok().map(|profile| Arc::clone(profile.verifier()))
    }

    /// A CA with dNSName constraints that a profile lists, by its subject.
    pub fn dns_constrained(&self, (namespace, name): &(String, String)) -> Option<String> {
        match self.objects.find(namespace, name) {
            Lookup::One(stored) => stored.dns_constrained(),
            Lookup::None | Lookup::Duplicates => None,
        }
    }

    /// What is known about each profile.
    pub fn reports(&self) -> Vec<ProfileReport> {
        let report = |(id, stored, duplicates): (ObjectId, &StoredProfile, Vec<_>)| {
            let duplicate = (!duplicates.is_empty()).then(|| duplicate_error(duplicates.into_iter()));
            let resolution = stored.resolution.as_ref();
            let resolved = stored.resolved();
            let inline_skipped = stored.compiled.iter().flat_map(|compiled| &compiled.skipped);
            let skipped = inline_skipped.chain(resolution.into_iter().flat_map(|resolution| &resolution.skipped));
            ProfileReport {
                errors: stored.report.errors.iter().cloned().chain(duplicate).collect(),
                warnings: stored.all_warnings().cloned().collect(),
                skipped: skipped.cloned().collect(),
                unresolved: resolution.map(|resolution| resolution.errors.clone()).unwrap_or_default(),
                trust: resolved.map(|profile| Arc::clone(profile.verifier())),
                crls: resolved.map(|profile| profile.crls().collect()).unwrap_or_default(),
                id,
            }
        };
        self.objects.iter(Kind::TrustProfile).map(report).collect()
    }

    /// The profiles by namespace and name.
    pub fn known(&self) -> BTreeMap<(String, String), ProfileView> {
        let known = |(id, stored, duplicates): (ObjectId, &StoredProfile, Vec<_>)| {
            let profile = || format!("{}/{}", id.namespace, id.name);
            let resolved = match (&stored.compiled, &stored.resolution) {
                _ if !duplicates.is_empty() => Err(ReferenceError::Duplicate(profile())),
                (None, _) => Err(ReferenceError::Invalid(profile())),
                (Some(_), resolution) => {
                    let resolved = resolution.as_ref().map_or(Err(NOT_READ), Resolution::profile);
                    resolved.map(Arc::clone).map_err(|problem| ReferenceError::Unavailable {
                        profile: profile(),
                        problem: problem.to_owned(),
                    })
                }
            };
            let allowed = stored.spec.allowed_namespaces.clone();
            ((id.namespace, id.name), ProfileView { allowed, resolved })
        };
        self.objects.iter(Kind::TrustProfile).map(known).collect()
    }

    /// What is doubtful about the profiles.
    pub fn lint(&self, sources: &Sources, now: UnixTime, out: &mut ObjectProblems) {
        for (id, stored, _) in self.objects.iter(Kind::TrustProfile) {
            let Some(compiled) = &stored.compiled else { continue };
            let content = |source: &CertificateSource| match &source.source {
                SourceRef::Inline(found) => Some(Arc::clone(found)),
                _ => sources.of(&id.namespace).certificates(source)?.good.clone(),
            };
            let mut warnings = lint::profile(&stored.spec, compiled, content, now);
            let crls: Vec<_> = stored.resolved().into_iter().flat_map(|profile| profile.crls()).collect();
            warnings.extend(lint::crls(&crls, now));
            out.add(id, Severity::Warning, warnings);
        }
    }

    /// What is wrong with the profiles.
    pub fn problems(&self, out: &mut ObjectProblems) {
        for (id, stored, duplicates) in self.objects.iter(Kind::TrustProfile) {
            let duplicate = (!duplicates.is_empty()).then(|| duplicate_error(duplicates.into_iter()));
            let own = stored.report.errors.iter().cloned().chain(duplicate);
            let unresolved = stored.resolution.iter().flat_map(|resolution| resolution.errors.iter().cloned());
            out.add(id.clone(), Severity::Error, own.chain(unresolved));
            out.add(id, Severity::Warning, stored.all_warnings().cloned());
        }
    }
}

impl StoredProfile {
    fn resolved(&self) -> Option<&Arc<ResolvedProfile>> {
        self.resolution.as_ref()?.profile().ok()
    }

    fn all_warnings(&self) -> impl Iterator<Item = &FieldError> {
        self.report.warnings.iter().chain(self.resolution.iter().flat_map(Resolution::all_warnings))
    }

    fn dns_constrained(&self) -> Option<String> {
        self.resolved()?.dns_constrained()
    }
}

fn file<T>(source: &SourceRef<T>) -> Option<String> {
    match source {
        SourceRef::File(path) => Some(path.clone()),
        _ => None,
    }
}
