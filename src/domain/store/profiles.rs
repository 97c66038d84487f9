//! Trust profiles, joined with the certificates and CRLs of their sources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::objects::{Found, Objects};
use super::sources::{Namespaces, Parsed, SourceKey, SourceState, Sources, WantedFiles, read_source};
use super::view::ProfileView;
use super::{Problems, ProfileReport, Severity};
use crate::domain::api::{
    ExtendedKeyUsageSpec, FieldError, Kind, ObjectId, ObjectMeta, TrustModeSpec, TrustProfileSpec,
};
use crate::domain::api::{Field, Report};
use crate::domain::decide::mapping::store::twin_error;
use crate::domain::decide::trust::{TrustMode, TrustParameters, TrustProfile};
use crate::domain::decide::trusted::Trusted;
use crate::domain::policy::compile::{
    CertificateSource, CompiledProfile, CompiledRevocation, SourceRef, trust_profile,
};
use crate::domain::policy::lint;
use certgate_x509::{
    Certificate, Crl, DEFAULT_MAX_PATH_LENGTH, KeyPurpose, PathParameters, RevocationData, RevocationMode,
    RevocationPolicy, SignaturePolicy, UnixTime, UsageRule,
};

/// What a reference to a profile comes to.
#[derive(Debug)]
pub enum Trust {
    /// The profile.
    Ready(Arc<Trusted>),
    /// There is none, or its certificates or CRLs have never been readable.
    Unavailable(String),
    /// It does not compile, or may not be referred to.
    Invalid(String),
}

/// Why a reference to a profile does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The reference is wrong.
    Reference(String),
    /// The profile is, and its own errors say how.
    Profile(String),
}

/// How a profile stands by itself, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileState {
    /// It works.
    Ready,
    /// It does not compile, or there is more than one of its name.
    Invalid,
    /// Its sources have never been readable.
    Unavailable(String),
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

/// A profile joined with what its sources held.
#[derive(Debug)]
struct Built {
    certificates: [Vec<Parsed<Certificate>>; 3],
    crls: Vec<Parsed<Crl>>,
    trusted: Arc<Trusted>,
    /// What is to be told about the CRLs.
    refused: Vec<FieldError>,
    unsigned: Vec<FieldError>,
}

/// The trust profiles.
#[derive(Debug, Default)]
pub struct Profiles {
    objects: Objects<Stored>,
    /// By what each profile has judged so far, by namespace and name: no CRL goes back behind it, however the profile is
    /// edited.
    revocation: BTreeMap<(String, String), Arc<RevocationData>>,
    /// What is wrong with sources, by profile, as of the last [`Profiles::refresh`].
    unresolved: BTreeMap<ObjectId, Unresolved>,
}

#[derive(Debug, Default)]
struct Unresolved {
    errors: Vec<FieldError>,
    warnings: Vec<FieldError>,
    /// The certificates that do not count; they are to be warned of too.
    skipped: Vec<FieldError>,
    /// Whether a source has never been readable.
    unavailable: Option<String>,
}

impl Unresolved {
    fn all_warnings(&self) -> impl Iterator<Item = &FieldError> {
        self.warnings.iter().chain(&self.skipped)
    }
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
    pub fn wanted_files(&self) -> WantedFiles {
        let mut files = WantedFiles::default();
        for profile in self.objects.iter(Kind::TrustProfile).filter_map(|(_, stored, _)| stored.compiled.as_ref()) {
            let certificates = lists(profile).into_iter().flat_map(|(_, sources)| sources);
            files.certificates.extend(certificates.filter_map(|source| file(&source.source)));
            files.crls.extend(crl_sources(profile).iter().filter_map(file));
        }
        files
    }

    /// Reads the sources again and builds the profiles whose certificates or CRLs have changed.
    pub fn refresh(&mut self, sources: &mut Sources) {
        let (mut certificates, mut crls) = (BTreeSet::new(), BTreeSet::new());
        for (id, stored, _) in self.objects.iter(Kind::TrustProfile) {
            let Some(profile) = &stored.compiled else { continue };
            let lists = lists(profile).into_iter().flat_map(|(_, sources)| sources);
            certificates.extend(lists.filter_map(|source| read_source(source, &id.namespace)));
            crls.extend(crl_sources(profile).iter().filter_map(|source| SourceKey::of(source, &id.namespace)));
        }
        sources.refresh(&certificates, &crls);
        self.unresolved.clear();
        let objects = &self.objects;
        self.revocation.retain(|(namespace, name), _| !matches!(objects.find(namespace, name), Found::None));
        let spec = Field::root("spec");
        for (id, stored) in self.objects.iter_mut(Kind::TrustProfile) {
            let Some(compiled) = &stored.compiled else { continue };
            let mut unresolved = Unresolved::default();
            let inputs = lists(compiled).map(|(name, list)| {
                let state = |source| sources.certificates(&read_source(source, &id.namespace)?);
                let list = list.iter().map(|source| (&source.source, state(source)));
                gather(&spec.child(name), list, &mut unresolved)
            });
            let [anchors, ..] = &inputs;
            if unresolved.unavailable.is_none()
                && compiled.mode != TrustModeSpec::Peer
                && !compiled.anchors.is_empty()
                && anchors.iter().all(|list| list.is_empty())
                && !has_assumed(compiled, sources, &id.namespace)
            {
                // Its author wanted some: what is left is not what was meant, and not for a client to mend.
                let problem = "no certificate of trustAnchors can be used".to_owned();
                unresolved.errors.push(FieldError::new(spec.child("trustAnchors").to_string(), problem.clone()));
                unresolved.unavailable = Some(problem);
            }
            let field = spec.child("revocation");
            let list = crl_sources(compiled);
            let state = |source| sources.crls(&SourceKey::of(source, &id.namespace)?);
            let list = list.iter().map(|source| (source, state(source)));
            let crls = gather(&field.child("crls"), list, &mut unresolved);
            if unresolved.unavailable.is_some() {
                stored.built = None;
            } else {
                let former = stored.built.take();
                let so_far = self.revocation.entry((id.namespace.clone(), id.name.clone())).or_default();
                let built = Built::from(former, &id, compiled, inputs, crls, so_far);
                *so_far = Arc::clone(built.trusted.data());
                unresolved.errors.extend(built.refused.iter().cloned());
                unresolved.warnings.extend(built.unsigned.iter().cloned());
                stored.built = Some(built);
            }
            self.unresolved.insert(id, unresolved);
        }
    }

    /// What a policy of `user` gets when it refers to a profile, and what its `trustRef` is told.
    pub fn resolve(
        &self,
        (namespace, name): &(String, String),
        user: &str,
        namespaces: &Namespaces,
    ) -> (Trust, Option<Unmet>) {
        let who = format!("TrustProfile {namespace}/{name}");
        let invalid = |problem: String| (Trust::Invalid(problem.clone()), Some(Unmet::Reference(problem)));
        let unavailable = |problem: String| (Trust::Unavailable(problem.clone()), Some(Unmet::Reference(problem)));
        let unfit = |problem: String| (Trust::Invalid(problem.clone()), Some(Unmet::Profile(problem)));
        let stored = match self.objects.find(namespace, name) {
            Found::None => return unavailable(format!("{who} does not exist")),
            Found::Twins => return unfit(format!("there is more than one {who}")),
            Found::One(stored) => stored,
        };
        let Some(compiled) = &stored.compiled else { return unfit(format!("{who} does not compile")) };
        if !namespaces.permit(&compiled.allowed_namespaces, namespace, user) {
            return invalid(format!("{who} does not allow policies of namespace {user} (allowedNamespaces)"));
        }
        match &stored.built {
            Some(built) => (Trust::Ready(Arc::clone(&built.trusted)), None),
            None => {
                let unresolved = self.unresolved.iter().find(|(id, _)| id.namespace == *namespace && id.name == *name);
                let problem = unresolved.and_then(|(_, unresolved)| unresolved.unavailable.as_deref());
                let denial = format!("{who}: {}", problem.unwrap_or("its sources have not been read"));
                // The profile's own error says what is wrong; a policy's denial says it too, its error need not.
                let problem = format!("{who} is not available: a source of it cannot be read");
                (Trust::Unavailable(denial), Some(Unmet::Profile(problem)))
            }
        }
    }

    /// The profile that a policy of `user` gets when it refers to one, where it does.
    pub fn trust(
        &self,
        (namespace, name): &(String, String),
        user: &str,
        namespaces: &Namespaces,
    ) -> Option<Arc<TrustProfile>> {
        let Found::One(stored) = self.objects.find(namespace, name) else { return None };
        let compiled = stored.compiled.as_ref()?;
        let built = stored.built.as_ref().filter(|_| namespaces.permit(&compiled.allowed_namespaces, namespace, user));
        built.map(|built| Arc::clone(built.trusted.profile()))
    }

    /// A CA with dNSName constraints that a profile lists, by its subject.
    pub fn dns_constrained(&self, (namespace, name): &(String, String)) -> Option<String> {
        match self.objects.find(namespace, name) {
            Found::One(stored) => stored.dns_constrained(),
            Found::None | Found::Twins => None,
        }
    }

    /// What is known about each profile.
    pub fn reports(&self) -> Vec<ProfileReport> {
        let report = |(id, stored, twins): (ObjectId, &Stored, Vec<_>)| {
            let twin = (!twins.is_empty()).then(|| twin_error(twins.into_iter()));
            ProfileReport {
                errors: stored.report.errors.iter().cloned().chain(twin).collect(),
                warnings: stored
                    .report
                    .warnings
                    .iter()
                    .chain(self.unresolved.get(&id).into_iter().flat_map(Unresolved::all_warnings))
                    .cloned()
                    .collect(),
                skipped: stored
                    .compiled
                    .iter()
                    .flat_map(|compiled| &compiled.skipped)
                    .chain(self.unresolved.get(&id).into_iter().flat_map(|unresolved| &unresolved.skipped))
                    .cloned()
                    .collect(),
                unresolved: self.unresolved.get(&id).map(|unresolved| unresolved.errors.clone()).unwrap_or_default(),
                trust: stored.built.as_ref().map(|built| Arc::clone(built.trusted.profile())),
                crls: stored.built.as_ref().map(|built| built.trusted.crls().collect()).unwrap_or_default(),
                id,
            }
        };
        self.objects.iter(Kind::TrustProfile).map(report).collect()
    }

    /// The profiles by namespace and name.
    pub fn known(&self) -> BTreeMap<(String, String), ProfileView> {
        let known = |(id, stored, twins): (ObjectId, &Stored, Vec<_>)| {
            let state = match (&stored.compiled, &stored.built) {
                (Some(_), Some(_)) if twins.is_empty() => ProfileState::Ready,
                (Some(_), None) if twins.is_empty() => {
                    let problem = self.unresolved.get(&id).and_then(|unresolved| unresolved.unavailable.as_deref());
                    ProfileState::Unavailable(problem.unwrap_or("its sources have not been read").to_owned())
                }
                _ => ProfileState::Invalid,
            };
            let allowed = stored.spec.allowed_namespaces.clone();
            let built = stored.built.as_ref().filter(|_| state == ProfileState::Ready);
            let trust = built.map(|built| Arc::clone(built.trusted.profile()));
            let dns_constrained = stored.dns_constrained();
            ((id.namespace, id.name), ProfileView { allowed, state, trust, dns_constrained })
        };
        self.objects.iter(Kind::TrustProfile).map(known).collect()
    }

    /// What is doubtful about the profiles.
    pub fn lint(&self, sources: &Sources, now: UnixTime, out: &mut Problems) {
        for (id, stored, _) in self.objects.iter(Kind::TrustProfile) {
            let Some(compiled) = &stored.compiled else { continue };
            let content = |source: &CertificateSource| match &source.source {
                SourceRef::Inline(found) => Some(Arc::clone(found)),
                _ => sources.certificates(&read_source(source, &id.namespace)?)?.good.clone(),
            };
            let mut warnings = lint::profile(&stored.spec, compiled, content, now);
            let crls: Vec<_> = stored.built.iter().flat_map(|built| built.trusted.crls()).collect();
            warnings.extend(lint::crls(&crls, now));
            out.add(id, Severity::Warning, warnings);
        }
    }

    /// What is wrong with the profiles.
    pub fn problems(&self, out: &mut Problems) {
        for (id, stored, twins) in self.objects.iter(Kind::TrustProfile) {
            let unresolved = self.unresolved.get(&id);
            let twin = (!twins.is_empty()).then(|| twin_error(twins.into_iter()));
            let own = stored.report.errors.iter().cloned().chain(twin);
            out.add(id.clone(), Severity::Error, own.chain(unresolved.into_iter().flat_map(|u| u.errors.clone())));
            let own = stored.report.warnings.iter().cloned();
            let others = unresolved.into_iter().flat_map(Unresolved::all_warnings).cloned();
            out.add(id.clone(), Severity::Warning, own.chain(others));
        }
    }
}

impl Stored {
    fn dns_constrained(&self) -> Option<String> {
        let built = self.built.as_ref()?;
        built.trusted.profile().dns_constrained().map(|authority| authority.subject().to_string())
    }
}

impl Built {
    /// Joins a profile with what its sources hold, and takes over of the former whatever has not changed.
    fn from(
        former: Option<Self>,
        id: &ObjectId,
        compiled: &CompiledProfile,
        certificates: [Vec<Parsed<Certificate>>; 3],
        crls: Vec<Parsed<Crl>>,
        so_far: &RevocationData,
    ) -> Self {
        let kept = match former {
            Some(former) if certificates.iter().zip(&former.certificates).all(|(now, then)| same(now, then)) => {
                if same(&crls, &former.crls) {
                    return former;
                }
                Some(Arc::clone(former.trusted.profile()))
            }
            _ => None,
        };
        let profile = kept.unwrap_or_else(|| Arc::new(TrustProfile::new(parameters(compiled, &certificates))));
        let signatures = compiled.requirements.signatures;
        let policy = revocation_policy(compiled.revocation.as_ref(), signatures);
        let mut seen = BTreeSet::new();
        let offered = crls.iter().flat_map(|list| list.iter()).filter(|crl| seen.insert(Arc::as_ptr(crl))).cloned();
        let offered = RevocationData::new(offered);
        // A CRL replaces another only once its signature is verified.
        offered.verify_by(profile.signers().anchors(), &signatures);
        offered.verify_by(profile.signers().intermediates(), &signatures);
        let spec = Field::root("spec");
        let revocation = spec.child("revocation");
        let field = revocation.child("crls").to_string();
        let problem = |message: String| FieldError::new(field.clone(), message);
        let unsigned = offered.unverified(&signatures).map(|crl| {
            problem(format!(
                "{crl} is not signed by an anchor or intermediate of this profile: it will probably be ignored"
            ))
        });
        let unsigned = unsigned.collect();
        let (data, refused) = so_far.heard(|spki| profile.hears(spki)).updated(offered, &signatures);
        let name = format!("{}/{}", id.namespace, id.name).into();
        Self {
            certificates,
            crls,
            trusted: Arc::new(Trusted::new(name, profile, policy, Arc::new(data))),
            refused: refused.iter().map(|rolled_back| problem(rolled_back.to_string())).collect(),
            unsigned,
        }
    }
}

fn file<T>(source: &SourceRef<T>) -> Option<String> {
    match source {
        SourceRef::File(path) => Some(path.clone()),
        _ => None,
    }
}

fn crl_sources(profile: &CompiledProfile) -> &[SourceRef<Crl>] {
    profile.revocation.as_ref().map(|revocation| &*revocation.crls).unwrap_or_default()
}

fn revocation_policy(compiled: Option<&CompiledRevocation>, signatures: SignaturePolicy) -> RevocationPolicy {
    match compiled {
        None => RevocationPolicy { mode: RevocationMode::NoCheck, signatures, ..RevocationPolicy::default() },
        Some(compiled) => RevocationPolicy {
            mode: RevocationMode::Offline,
            scope: compiled.scope,
            on_unknown: compiled.on_unknown,
            freshness: compiled.freshness,
            signatures,
        },
    }
}

fn lists(profile: &CompiledProfile) -> [(&'static str, &[CertificateSource]); 3] {
    [("trustAnchors", &profile.anchors), ("intermediates", &profile.intermediates), ("trustedPeers", &profile.peers)]
}

/// Whether a source of anchors is taken to be there although nobody has seen it.
fn has_assumed(profile: &CompiledProfile, sources: &Sources, namespace: &str) -> bool {
    let mut keys = profile.anchors.iter().filter_map(|source| SourceKey::of(&source.source, namespace));
    keys.any(|key| sources.is_assumed(&key))
}

/// What a list of sources holds. One that has never been readable makes the whole profile unavailable: a
/// replica must not decide by half of what its author wrote.
fn gather<'s, T: 's>(
    field: &Field<'_>,
    list: impl Iterator<Item = (&'s SourceRef<T>, Option<&'s SourceState<T>>)>,
    unresolved: &mut Unresolved,
) -> Vec<Parsed<T>> {
    let mut out = Vec::new();
    for (at, (source, state)) in list.enumerate() {
        if let SourceRef::Inline(parsed) = source {
            out.push(Arc::clone(parsed));
        }
        let Some(state) = state else { continue };
        let field = field.at(at);
        let field = match source {
            SourceRef::Key(Kind::Secret, _) => field.child("secret"),
            SourceRef::Key(..) => field.child("configMap"),
            SourceRef::Bundle(_) => field.child("clusterTrustBundle"),
            SourceRef::File(_) | SourceRef::Inline(_) => field.child("file"),
        };
        let problem = |problem: &dyn std::fmt::Display| FieldError::new(field.to_string(), problem.to_string());
        unresolved.skipped.extend(state.skipped.iter().map(|skipped| problem(skipped)));
        let error = state.error.as_deref();
        let kept = if state.good.is_some() { "; its last good content stays in use" } else { "" };
        if let Some(error) = error {
            unresolved.errors.push(problem(&format_args!("{error}{kept}")));
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

fn same<T>(left: &[Parsed<T>], right: &[Parsed<T>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| Arc::ptr_eq(left, right))
}

fn parameters(
    compiled: &CompiledProfile,
    [anchors, intermediates, peers]: &[Vec<Parsed<Certificate>>; 3],
) -> TrustParameters {
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
        peer_keys: compiled.peer_keys.iter().copied().collect(),
        disallowed: compiled.disallowed.iter().copied().collect(),
        disallowed_keys: compiled.disallowed_keys.iter().copied().collect(),
        requirements: PathParameters {
            usage: match compiled.requirements.extended_key_usage {
                ExtendedKeyUsageSpec::Listed => UsageRule::Listed(KeyPurpose::ClientAuth),
                ExtendedKeyUsageSpec::Permitted => UsageRule::Permitted(KeyPurpose::ClientAuth),
                ExtendedKeyUsageSpec::PermittedOrAny => UsageRule::PermittedOrAny(KeyPurpose::ClientAuth),
            },
            signatures: compiled.requirements.signatures,
            policies: compiled.requirements.policies.clone(),
            max_path_length: compiled.requirements.max_path_length.unwrap_or(DEFAULT_MAX_PATH_LENGTH),
            ..PathParameters::default()
        },
    }
}

/// Each certificate once, in the order of the sources.
fn union(lists: &[Parsed<Certificate>]) -> Vec<Arc<Certificate>> {
    let mut seen = BTreeSet::new();
    lists.iter().flat_map(|list| list.iter()).filter(|certificate| seen.insert(certificate.sha256())).cloned().collect()
}
