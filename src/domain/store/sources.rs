//! Trust sources: the certificates and CRLs that profiles take from elsewhere, and the last good content of each.
//!
//! This is the one place where history counts, and on purpose: a ConfigMap that was deleted or broken by mistake must
//! not stop every client. A source keeps its last good content for as long as some profile refers to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::objects::{Lookup, Objects};
use crate::domain::api::{Kind, LabelSelector, NamespacesFrom, ObjectId};
use crate::domain::policy::compile::{
    BundleName, CertificateFilter, CertificateSource, LoadedSource, ProfileSources, SourceContent, SourceRef,
    UsableCertificates, pem_certificates,
};
use certgate_x509::{Certificate, Crl, CrlReader, Sha256};

/// What identifies a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKey {
    /// A key of a ConfigMap or Secret: kind, namespace, name, key.
    Key(Kind, String, String, String),
    /// ClusterTrustBundles.
    Bundle(BundleName),
    /// A file.
    File(String),
}

/// A source of certificates as it is read: what counts in it, and what was good last, hang on that.
pub type ReadSource = (SourceKey, CertificateFilter);

/// What identifies a source of certificates of a profile of `namespace`; `None` for what stands in the profile.
pub fn read_source(source: &CertificateSource, namespace: &str) -> Option<ReadSource> {
    Some((SourceKey::of(&source.source, namespace)?, source.filter))
}

impl SourceKey {
    /// The key of `source` in a profile of `namespace`; `None` for what stands in the profile.
    pub fn of<T>(source: &SourceRef<T>, namespace: &str) -> Option<Self> {
        match source {
            SourceRef::Key(kind, key) => {
                Some(Self::Key(*kind, namespace.to_owned(), key.name.clone(), key.key.clone()))
            }
            SourceRef::Bundle(name) => Some(Self::Bundle(name.clone())),
            SourceRef::File(path) => Some(Self::File(path.clone())),
            SourceRef::Inline(_) => None,
        }
    }
}

impl std::fmt::Display for SourceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(kind, namespace, name, key) => write!(f, "key {key} of {kind} {namespace}/{name}"),
            Self::Bundle(BundleName::Name(name)) => write!(f, "ClusterTrustBundle {name}"),
            Self::Bundle(BundleName::Signer(signer, _)) => write!(f, "ClusterTrustBundles of signer {signer}"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// Identifies one content of a source.
#[derive(Clone, Debug)]
enum Version {
    /// The octets themselves, which the store keeps anyway.
    Octets(Bytes),
    /// Their digest.
    Digest(Sha256),
}

impl Version {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Octets(left), Self::Octets(right)) => same_bytes(left, right),
            (Self::Digest(left), Self::Digest(right)) => left == right,
            _ => false,
        }
    }
}

/// A file of CRLs, which may be many times larger than all else: it is parsed as it is read, and not held.
#[derive(Clone, Debug)]
pub struct CrlFile {
    /// The digest of its octets.
    pub sha256: Sha256,
    /// The CRLs, or why it has none.
    pub crls: Result<Vec<Arc<Crl>>, String>,
}

/// The files that trust profiles name, as they are written there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedFiles {
    /// Those that hold certificates.
    pub certificates: BTreeSet<String>,
    /// Those that hold CRLs.
    pub crls: BTreeSet<String>,
}

/// A source that is read again when its content changes.
#[derive(Debug)]
struct Cached<T> {
    version: Option<Version>,
    state: LoadedSource<T>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self { version: None, state: LoadedSource::default() }
    }
}

impl<T> Cached<T> {
    /// A source that is assumed to be empty.
    fn empty() -> Self {
        Self { version: None, state: LoadedSource::empty() }
    }

    /// Applies the present content of the source. Unchanged content keeps its address, so that nothing built from it is
    /// rebuilt.
    fn read(
        &mut self,
        version: Result<Version, String>,
        parse: impl FnOnce() -> Result<(Vec<Arc<T>>, Vec<String>), String>,
        same: impl Fn(&Arc<T>, &Arc<T>) -> bool,
    ) {
        let state = &mut self.state;
        let version = match version {
            Ok(version) if self.version.as_ref().is_some_and(|former| former.is_same(&version)) => return,
            Ok(version) => version,
            Err(error) => {
                state.error = Some(error);
                self.version = None;
                return;
            }
        };
        match parse() {
            Ok((parsed, skipped)) => {
                state.error = None;
                state.skipped = skipped;
                let unchanged = |good: &SourceContent<T>| {
                    good.len() == parsed.len() && good.iter().zip(&parsed).all(|(left, right)| same(left, right))
                };
                if !state.good.as_ref().is_some_and(unchanged) {
                    state.good = Some(parsed.into());
                }
            }
            Err(error) => state.error = Some(error),
        }
        self.version = Some(version);
    }
}

/// The data of a ConfigMap or Secret.
pub type KeyedData = BTreeMap<String, Bytes>;

/// A ClusterTrustBundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    /// The signer; empty for a bundle without one.
    pub signer_name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The certificates in PEM.
    pub content: Bytes,
}

/// How a ConfigMap, Secret or ClusterTrustBundle that does not exist is treated.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum AbsentSources {
    /// An error of the profile that names it.
    #[default]
    Reported,
    /// It is taken to be there and to hold nothing: for manifests whose sources live elsewhere. Not for deciding.
    Assumed,
}

/// Everything that can hold certificates or CRLs.
#[derive(Debug, Default)]
pub struct Sources {
    absent: AbsentSources,
    config_maps: Objects<KeyedData>,
    secrets: Objects<KeyedData>,
    bundles: Objects<TrustBundle>,
    /// Objects that certgate is not permitted to read: kind, namespace, name.
    forbidden: BTreeSet<(Kind, String, String)>,
    /// Objects of which it is not known yet whether they exist.
    pending: BTreeSet<(Kind, String, String)>,
    certificate_files: BTreeMap<String, Result<Bytes, String>>,
    crl_files: BTreeMap<String, Result<CrlFile, String>>,
    certificates: BTreeMap<ReadSource, Cached<Certificate>>,
    crls: BTreeMap<SourceKey, Cached<Crl>>,
}

impl Sources {
    /// Stores the data of a ConfigMap or Secret and says whether that changed anything.
    pub fn apply_data(&mut self, id: ObjectId, data: KeyedData) -> bool {
        let objects = if id.kind == Kind::Secret { &mut self.secrets } else { &mut self.config_maps };
        let changed = objects.get(&id) != Some(&data);
        objects.insert(id, data);
        changed
    }

    /// Stores a ClusterTrustBundle and says whether that changed anything.
    pub fn apply_bundle(&mut self, id: ObjectId, bundle: TrustBundle) -> bool {
        let changed = self.bundles.get(&id) != Some(&bundle);
        self.bundles.insert(id, bundle);
        changed
    }

    /// Notes whether an object may be read, and says whether that is news.
    pub fn set_forbidden(&mut self, kind: Kind, namespace: &str, name: &str, forbidden: bool) -> bool {
        let object = (kind, namespace.to_owned(), name.to_owned());
        if forbidden { self.forbidden.insert(object) } else { self.forbidden.remove(&object) }
    }

    /// Sets how absent sources are treated.
    pub fn set_absent(&mut self, absent: AbsentSources) {
        self.absent = absent;
    }

    /// Whether a source is an object that is not there and is taken to be.
    pub fn is_assumed(&self, key: &SourceKey) -> bool {
        self.absent == AbsentSources::Assumed
            && match key {
                SourceKey::Key(Kind::Secret, namespace, name, _) => {
                    matches!(self.secrets.find(namespace, name), Lookup::None)
                }
                SourceKey::Key(_, namespace, name, _) => matches!(self.config_maps.find(namespace, name), Lookup::None),
                SourceKey::Bundle(BundleName::Name(name)) => matches!(self.bundles.find("", name), Lookup::None),
                SourceKey::Bundle(BundleName::Signer(signer, _)) => {
                    let mut bundles = self.bundles.iter(Kind::ClusterTrustBundle);
                    !bundles.any(|(_, bundle, _)| bundle.signer_name == *signer)
                }
                SourceKey::File(_) => false,
            }
    }

    /// Notes whether it is not known yet whether an object is there, and says whether that is news.
    pub fn set_pending(&mut self, kind: Kind, namespace: &str, name: &str, pending: bool) -> bool {
        let object = (kind, namespace.to_owned(), name.to_owned());
        if pending { self.pending.insert(object) } else { self.pending.remove(&object) }
    }

    /// Why nothing is known of an object.
    fn unknown(&self, kind: Kind, namespace: &str, name: &str) -> String {
        let place = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let object = (kind, namespace.to_owned(), name.to_owned());
        if self.pending.contains(&object) {
            return format!("{kind} {place} has not been read yet: the API server has not answered");
        }
        if self.forbidden.contains(&object) {
            return format!("{kind} {place} may not be read: the API server forbids it");
        }
        format!("{kind} {place} does not exist")
    }

    /// Stores the content of a file of certificates and says whether that changed anything.
    pub fn set_certificate_file(&mut self, path: &str, content: Result<Bytes, String>) -> bool {
        store(&mut self.certificate_files, path, content, same_bytes)
    }

    /// Stores what a file of CRLs holds and says whether that changed anything.
    pub fn set_crl_file(&mut self, path: &str, content: Result<CrlFile, String>) -> bool {
        store(&mut self.crl_files, path, content, |former, content| former.sha256 == content.sha256)
    }

    /// Removes an object and says whether it was there.
    pub fn delete(&mut self, id: &ObjectId) -> bool {
        match id.kind {
            Kind::ConfigMap => self.config_maps.remove(id),
            Kind::Secret => self.secrets.remove(id),
            _ => self.bundles.remove(id),
        }
    }

    /// The objects that share their name with another.
    pub fn duplicates(&self) -> Vec<(ObjectId, Vec<crate::domain::api::Origin>)> {
        let config_maps = self.config_maps.iter(Kind::ConfigMap).map(|(id, _, duplicates)| (id, duplicates));
        let secrets = self.secrets.iter(Kind::Secret).map(|(id, _, duplicates)| (id, duplicates));
        let bundles = self.bundles.iter(Kind::ClusterTrustBundle).map(|(id, _, duplicates)| (id, duplicates));
        config_maps.chain(secrets).chain(bundles).filter(|(_, duplicates)| !duplicates.is_empty()).collect()
    }

    /// Reads every wanted source of certificates and of CRLs again whose content has changed, and forgets the others.
    pub fn refresh(&mut self, certificates: &BTreeSet<ReadSource>, crls: &BTreeSet<SourceKey>) {
        self.certificates.retain(|source, _| certificates.contains(source));
        self.crls.retain(|key, _| crls.contains(key));
        for (key, filter) in certificates {
            if self.is_assumed(key) {
                self.certificates.insert((key.clone(), *filter), Cached::empty());
                continue;
            }
            let content = self.content(key);
            let version = content.clone().map(Version::Octets);
            let parse = || {
                let UsableCertificates { certificates, skipped } = pem_certificates(&content?, *filter)?;
                Ok((certificates, skipped))
            };
            let cached = self.certificates.entry((key.clone(), *filter)).or_default();
            cached.read(version, parse, |left, right| left.is_same(right));
        }
        for key in crls {
            if self.is_assumed(key) {
                self.crls.insert(key.clone(), Cached::empty());
                continue;
            }
            let mut cached = self.crls.remove(key).unwrap_or_default();
            if let SourceKey::File(path) = key {
                let file = self.crl_files.get(path).cloned().unwrap_or_else(|| Err(not_read(path)));
                let version = file.as_ref().map(|file| Version::Digest(file.sha256)).map_err(Clone::clone);
                cached.read(version, || Ok((file?.crls?, Vec::new())), Arc::ptr_eq);
            } else {
                let content = self.content(key);
                let version = content.clone().map(Version::Octets);
                let parse = || Ok((CrlReader::read(&content?).map_err(|error| error.to_string())?, Vec::new()));
                cached.read(version, parse, Arc::ptr_eq);
            }
            self.crls.insert(key.clone(), cached);
        }
        let files: BTreeSet<&SourceKey> = certificates.iter().map(|(key, _)| key).collect();
        self.certificate_files.retain(|path, _| files.contains(&SourceKey::File(path.clone())));
        self.crl_files.retain(|path, _| crls.contains(&SourceKey::File(path.clone())));
    }

    /// The state of a source of certificates after [`Sources::refresh`].
    pub fn certificates(&self, source: &ReadSource) -> Option<&LoadedSource<Certificate>> {
        self.certificates.get(source).map(|cached| &cached.state)
    }

    /// The last good content of each source of certificates, after [`Sources::refresh`].
    pub fn known(&self) -> BTreeMap<ReadSource, SourceContent<Certificate>> {
        let good = |(source, cached): (&ReadSource, &Cached<_>)| Some((source.clone(), cached.state.good.clone()?));
        self.certificates.iter().filter_map(good).collect()
    }

    /// The state of a source of CRLs after [`Sources::refresh`].
    pub fn crls(&self, key: &SourceKey) -> Option<&LoadedSource<Crl>> {
        self.crls.get(key).map(|cached| &cached.state)
    }

    fn content(&self, key: &SourceKey) -> Result<Bytes, String> {
        match key {
            SourceKey::Key(kind, namespace, name, data_key) => {
                let objects = if *kind == Kind::Secret { &self.secrets } else { &self.config_maps };
                match objects.find(namespace, name) {
                    Lookup::None => Err(self.unknown(*kind, namespace, name)),
                    Lookup::Duplicates => Err(format!("there is more than one {kind} {namespace}/{name}")),
                    Lookup::One(data) => {
                        let content = data.get(data_key).cloned();
                        content.ok_or_else(|| format!("{kind} {namespace}/{name} has no key {data_key:?}"))
                    }
                }
            }
            SourceKey::Bundle(BundleName::Signer(signer, labels)) => self.bundles_of(signer, labels),
            SourceKey::Bundle(BundleName::Name(name)) => match self.bundles.find("", name) {
                Lookup::None => Err(self.unknown(Kind::ClusterTrustBundle, "", name)),
                Lookup::Duplicates => Err(format!("there is more than one ClusterTrustBundle {name}")),
                Lookup::One(bundle) => Ok(bundle.content.clone()),
            },
            SourceKey::File(path) => self.certificate_files.get(path).cloned().unwrap_or_else(|| Err(not_read(path))),
        }
    }

    /// The bundles of a signer that `labels` selects, one behind the other in the order of their names.
    fn bundles_of(&self, signer: &str, labels: &LabelSelector) -> Result<Bytes, String> {
        let meant = |bundle: &TrustBundle| bundle.signer_name == signer && labels.selects(&bundle.labels);
        let mut content = Vec::new();
        for (id, bundle, duplicates) in self.bundles.iter(Kind::ClusterTrustBundle) {
            if !meant(bundle) {
                continue;
            }
            if !duplicates.is_empty() {
                return Err(format!("there is more than one ClusterTrustBundle {}", id.name));
            }
            content.extend_from_slice(&bundle.content);
            content.push(b'\n');
        }
        if content.is_empty() {
            return Err(format!("there is no ClusterTrustBundle of signer {signer} with the labels"));
        }
        Ok(content.into())
    }
}

/// The sources that a profile of one namespace refers to.
#[derive(Copy, Clone, Debug)]
pub struct SourcesOf<'a> {
    sources: &'a Sources,
    namespace: &'a str,
}

impl Sources {
    /// The sources as a profile of `namespace` refers to them.
    pub fn of<'a>(&'a self, namespace: &'a str) -> SourcesOf<'a> {
        SourcesOf { sources: self, namespace }
    }
}

impl ProfileSources for SourcesOf<'_> {
    fn certificates(&self, source: &CertificateSource) -> Option<&LoadedSource<Certificate>> {
        self.sources.certificates(&read_source(source, self.namespace)?)
    }

    fn crls(&self, source: &SourceRef<Crl>) -> Option<&LoadedSource<Crl>> {
        self.sources.crls(&SourceKey::of(source, self.namespace)?)
    }

    fn is_assumed(&self, source: &SourceRef) -> bool {
        SourceKey::of(source, self.namespace).is_some_and(|key| self.sources.is_assumed(&key))
    }
}

fn not_read(path: &str) -> String {
    format!("file {path} has not been read")
}

/// Stores what was read of a file and says whether that is another content.
fn store<T>(
    files: &mut BTreeMap<String, Result<T, String>>,
    path: &str,
    content: Result<T, String>,
    same: impl Fn(&T, &T) -> bool,
) -> bool {
    let is_same = match (files.get(path), &content) {
        (Some(Ok(former)), Ok(content)) => same(former, content),
        (Some(Err(former)), Err(error)) => former == error,
        _ => false,
    };
    if !is_same {
        files.insert(path.to_owned(), content);
    }
    !is_same
}

/// Whether both hold the same octets; what lies in one place need not be compared.
fn same_bytes(left: &Bytes, right: &Bytes) -> bool {
    left.len() == right.len() && (left.as_ptr() == right.as_ptr() || left == right)
}

/// The labels of namespaces.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    objects: Objects<BTreeMap<String, String>>,
}

impl Namespaces {
    /// Stores a namespace's labels and says whether that changed anything.
    pub fn apply(&mut self, id: ObjectId, labels: BTreeMap<String, String>) -> bool {
        let changed = self.objects.get(&id) != Some(&labels);
        self.objects.insert(id, labels);
        changed
    }

    /// Removes a namespace and says whether it was there.
    pub fn delete(&mut self, id: &ObjectId) -> bool {
        self.objects.remove(id)
    }

    /// The namespaces that share their name with another.
    pub fn duplicates(&self) -> impl Iterator<Item = (ObjectId, Vec<crate::domain::api::Origin>)> {
        self.objects
            .iter(Kind::Namespace)
            .map(|(id, _, duplicates)| (id, duplicates))
            .filter(|(_, duplicates)| !duplicates.is_empty())
    }

    /// Whether a profile of `profile` may be used from `user`.
    pub fn permit(&self, allowed: &crate::domain::api::AllowedNamespaces, profile: &str, user: &str) -> bool {
        match allowed.from {
            NamespacesFrom::All => true,
            NamespacesFrom::Same => profile == user,
            NamespacesFrom::Selector => {
                let mut labels = match self.objects.find("", user) {
                    Lookup::One(labels) => labels.clone(),
                    Lookup::None | Lookup::Duplicates => BTreeMap::new(),
                };
                // Kubernetes gives this label to every namespace, and nobody can take it away.
                labels.insert("kubernetes.io/metadata.name".to_owned(), user.to_owned());
                allowed.selector.as_ref().is_some_and(|selector| selector.selects(&labels))
            }
        }
    }
}
