//! Trust profiles, joined with the certificates of their sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::{Found, Objects};
use super::sources::{Certificates, Namespaces, SourceKey, Sources};
use super::{Problems, ProfileReport, Severity};
use crate::domain::certificate::Certificate;
use crate::domain::compile::{CompiledProfile, Field, Report, SourceRef, trust_profile};
use crate::domain::mapping::table::twin_error;
use crate::domain::path::signature::SignaturePolicy;
use crate::domain::path::{DEFAULT_MAX_PATH_LENGTH, KeyPurpose, PathParameters, UsageRule};
use crate::domain::spec::{
    ExtendedKeyUsageSpec, FieldError, Kind, ObjectId, ObjectMeta, TrustModeSpec, TrustProfileSpec,
};
use crate::domain::trust::{TrustMode, TrustParameters, TrustProfile};

/// What a reference to a profile comes to.
#[derive(Debug)]
pub enum Trust {
    /// The profile.
    Ready(Arc<TrustProfile>),
    /// There is none, or its certificates have never been readable.
    Unavailable(String),
    /// It does not compile, or may not be referred to.
    Invalid(String),
}

/// A stored profile.
#[derive(Debug)]
struct Stored {
    spec: Box<TrustProfileSpec>,
    unread: Vec<FieldError>,
    compiled: Option<CompiledProfile>,
    report: Report,
    built: Option<Built>,
}

/// A profile joined with the certificates that its sources held.
#[derive(Debug)]
struct Built {
    inputs: [Vec<Certificates>; 3],
    profile: Arc<TrustProfile>,
}

/// The trust profiles.
#[derive(Debug, Default)]
pub struct Profiles {
    objects: Objects<Stored>,
    /// What is wrong with sources, by profile, as of the last [`Profiles::refresh`].
    unresolved: BTreeMap<ObjectId, Unresolved>,
}

#[derive(Debug, Default)]
struct Unresolved {
    errors: Vec<FieldError>,
    /// Whether a source has never been readable.
    unavailable: Option<String>,
}

impl Profiles {
    /// Stores a profile and says whether that changed anything.
    pub fn apply(&mut self, id: ObjectId, meta: &ObjectMeta, spec: Box<TrustProfileSpec>) -> bool {
        if self.objects.get(&id).is_some_and(|stored| stored.spec == spec && stored.unread == meta.unread) {
            return false;
        }
        let (compiled, report) = trust_profile(meta, &spec);
        self.objects.insert(id, Stored { spec, unread: meta.unread.clone(), compiled, report, built: None });
        true
    }

    /// The identifiers of all of them.
    pub fn ids(&self) -> impl Iterator<Item = ObjectId> {
        self.objects.iter(Kind::TrustProfile).map(|(id, _, _)| id)
    }

    /// Removes a profile and says whether it was there.
    pub fn delete(&mut self, id: &ObjectId) -> bool {
        self.unresolved.remove(id);
        self.objects.remove(id)
    }

    /// The files that profiles name.
    pub fn wanted_files(&self) -> BTreeSet<String> {
        let wanted = self.objects.iter(Kind::TrustProfile).filter_map(|(_, stored, _)| stored.compiled.as_ref());
        wanted
            .flat_map(|profile| lists(profile).into_iter().flat_map(|(_, sources)| sources))
            .filter_map(|source| match source {
                SourceRef::File(path) => Some(path.clone()),
                _ => None,
            })
            .collect()
    }

    /// Reads the sources again and builds the profiles whose certificates have changed.
    pub fn refresh(&mut self, sources: &mut Sources) {
        let wanted = self.objects.iter(Kind::TrustProfile).filter_map(|(id, stored, _)| {
            let profile = stored.compiled.as_ref()?;
            let keys = lists(profile).into_iter().flat_map(|(_, sources)| sources);
            Some(keys.filter_map(|source| SourceKey::of(source, &id.namespace)).collect::<Vec<_>>())
        });
        sources.refresh(&wanted.flatten().collect());
        self.unresolved.clear();
        for (id, stored) in self.objects.iter_mut(Kind::TrustProfile) {
            let Some(compiled) = &stored.compiled else { continue };
            let mut unresolved = Unresolved::default();
            let inputs = lists(compiled).map(|(name, list)| gather(name, list, &id, sources, &mut unresolved));
            let unchanged = stored.built.as_ref().is_some_and(|built| same(&built.inputs, &inputs));
            if unresolved.unavailable.is_some() {
                stored.built = None;
            } else if !unchanged {
                let profile = Arc::new(TrustProfile::new(parameters(compiled, &inputs)));
                stored.built = Some(Built { inputs, profile });
            }
            self.unresolved.insert(id, unresolved);
        }
    }

    /// What a policy of `user` gets when it refers to a profile; the error is one of its `trustRef`.
    pub fn resolve(
        &self,
        (namespace, name): &(String, String),
        user: &str,
        namespaces: &Namespaces,
    ) -> (Trust, Option<String>) {
        let who = format!("TrustProfile {namespace}/{name}");
        let invalid = |problem: String| (Trust::Invalid(problem.clone()), Some(problem));
        let unavailable = |problem: String| (Trust::Unavailable(problem.clone()), Some(problem));
        let stored = match self.objects.find(namespace, name) {
            Found::None => return unavailable(format!("{who} does not exist")),
            Found::Twins => return invalid(format!("there is more than one {who}")),
            Found::One(stored) => stored,
        };
        let Some(compiled) = &stored.compiled else { return invalid(format!("{who} does not compile")) };
        if !namespaces.permit(&compiled.allowed_namespaces, namespace, user) {
            return invalid(format!("{who} does not allow policies of namespace {user} (allowedNamespaces)"));
        }
        match &stored.built {
            Some(built) => (Trust::Ready(Arc::clone(&built.profile)), None),
            None => {
                let unresolved = self.unresolved.iter().find(|(id, _)| id.namespace == *namespace && id.name == *name);
                let problem = unresolved.and_then(|(_, unresolved)| unresolved.unavailable.as_deref());
                unavailable(format!("{who}: {}", problem.unwrap_or("its certificates have not been read")))
            }
        }
    }

    /// What is known about each profile.
    pub fn reports(&self) -> Vec<ProfileReport> {
        let report = |(id, stored, twins): (ObjectId, &Stored, Vec<_>)| {
            let twin = (!twins.is_empty()).then(|| twin_error(twins.into_iter()));
            ProfileReport {
                errors: stored.report.errors.iter().cloned().chain(twin).collect(),
                warnings: stored.report.warnings.clone(),
                unresolved: self.unresolved.get(&id).map(|unresolved| unresolved.errors.clone()).unwrap_or_default(),
                trust: stored.built.as_ref().map(|built| Arc::clone(&built.profile)),
                id,
            }
        };
        self.objects.iter(Kind::TrustProfile).map(report).collect()
    }

    /// What is wrong with the profiles.
    pub fn problems(&self, out: &mut Problems) {
        for (id, stored, twins) in self.objects.iter(Kind::TrustProfile) {
            let unresolved = self.unresolved.get(&id).map(|unresolved| unresolved.errors.clone());
            let twin = (!twins.is_empty()).then(|| twin_error(twins.into_iter()));
            let errors = stored.report.errors.iter().cloned().chain(twin).chain(unresolved.unwrap_or_default());
            out.add(id.clone(), Severity::Error, errors);
            out.add(id, Severity::Warning, stored.report.warnings.iter().cloned());
        }
    }
}

fn lists(profile: &CompiledProfile) -> [(&'static str, &[SourceRef]); 3] {
    [("trustAnchors", &profile.anchors), ("intermediates", &profile.intermediates), ("trustedPeers", &profile.peers)]
}

/// The certificates of a list of sources. One that has never been readable makes the whole profile unavailable: a
/// replica must not decide by half of what its author wrote.
fn gather(
    name: &str,
    list: &[SourceRef],
    id: &ObjectId,
    sources: &Sources,
    unresolved: &mut Unresolved,
) -> Vec<Certificates> {
    let spec = Field::root("spec");
    let field = spec.child(name);
    let mut out = Vec::with_capacity(list.len());
    for (at, source) in list.iter().enumerate() {
        let Some(key) = SourceKey::of(source, &id.namespace) else {
            if let SourceRef::Inline(certificates) = source {
                out.push(Arc::clone(certificates));
            }
            continue;
        };
        let Some(state) = sources.state(&key) else { continue };
        let error = state.error.as_deref();
        let kept = if state.good.is_some() { "; its last good content stays in use" } else { "" };
        if let Some(error) = error {
            let field = field.at(at);
            let field = match source {
                SourceRef::Key(Kind::Secret, _) => field.child("secret"),
                SourceRef::Key(..) => field.child("configMap"),
                SourceRef::Bundle(_) => field.child("clusterTrustBundle"),
                SourceRef::File(_) | SourceRef::Inline(_) => field.child("file"),
            };
            unresolved.errors.push(FieldError::new(field.to_string(), format!("{error}{kept}")));
        }
        match &state.good {
            Some(good) => out.push(Arc::clone(good)),
            None => {
                let problem = error.unwrap_or("not read").to_owned();
                unresolved.unavailable.get_or_insert(problem);
            }
        }
    }
    out
}

fn same(left: &[Vec<Certificates>; 3], right: &[Vec<Certificates>; 3]) -> bool {
    left.iter().zip(right).all(|(left, right)| {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| Arc::ptr_eq(left, right))
    })
}

fn parameters(compiled: &CompiledProfile, [anchors, intermediates, peers]: &[Vec<Certificates>; 3]) -> TrustParameters {
    TrustParameters {
        mode: match compiled.mode {
            TrustModeSpec::Chain => TrustMode::Chain,
            TrustModeSpec::Peer => TrustMode::Peer,
            TrustModeSpec::PeerOrChain => TrustMode::PeerOrChain,
        },
        anchors: union(anchors),
        intermediates: union(intermediates),
        peers: union(peers),
        issuing_authorities: compiled.issuing_authorities.as_ref().map(|set| set.iter().copied().collect()),
        trust_list: compiled.trust_list.as_ref().map(|set| set.iter().copied().collect()),
        disallowed: compiled.disallowed.iter().copied().collect(),
        requirements: PathParameters {
            usage: match compiled.requirements.extended_key_usage {
                ExtendedKeyUsageSpec::Listed => UsageRule::Listed(KeyPurpose::ClientAuth),
                ExtendedKeyUsageSpec::Permitted => UsageRule::Permitted(KeyPurpose::ClientAuth),
                ExtendedKeyUsageSpec::PermittedOrAny => UsageRule::PermittedOrAny(KeyPurpose::ClientAuth),
            },
            signatures: SignaturePolicy {
                minimum_rsa_bits: compiled.requirements.minimum_rsa_bits,
                ..SignaturePolicy::default()
            },
            max_path_length: compiled.requirements.max_path_length.unwrap_or(DEFAULT_MAX_PATH_LENGTH),
            ..PathParameters::default()
        },
    }
}

/// Each certificate once, in the order of the sources.
fn union(lists: &[Certificates]) -> Vec<Arc<Certificate>> {
    let mut seen = BTreeSet::new();
    lists.iter().flat_map(|list| list.iter()).filter(|certificate| seen.insert(certificate.sha256())).cloned().collect()
}
