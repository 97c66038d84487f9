//! Trust sources: the certificates and CRLs that profiles take from elsewhere, and the last good content of each.
//!
//! This is the one place where history counts, and on purpose: a ConfigMap that was deleted or broken by mistake must
//! not stop every client. A source keeps its last good content for as long as some profile refers to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::objects::{Found, Objects};
use crate::domain::certificate::Certificate;
use crate::domain::compile::{BundleName, SourceRef, crl_ders, parse_crls, pem_certificates};
use crate::domain::fingerprint::Sha256;
use crate::domain::revocation::{Crl, CrlError};
use crate::domain::spec::{Kind, LabelSelector, NamespacesFrom, ObjectId};

/// What a source holds, parsed.
pub type Parsed<T> = Arc<[Arc<T>]>;

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

/// A source as it was last read.
#[derive(Debug)]
pub struct SourceState<T> {
    content: Option<Bytes>,
    /// The last good content.
    pub good: Option<Parsed<T>>,
    /// Why the present content is not good.
    pub error: Option<String>,
}

impl<T> Default for SourceState<T> {
    fn default() -> Self {
        Self { content: None, good: None, error: None }
    }
}

impl<T> SourceState<T> {
    /// Takes over what the source holds now. What has not changed keeps its place in memory, so that nothing built from
    /// it is rebuilt.
    fn read(
        &mut self,
        content: Result<Bytes, String>,
        parse: impl FnOnce(&Bytes) -> Result<Vec<Arc<T>>, String>,
        same: impl Fn(&Arc<T>, &Arc<T>) -> bool,
    ) {
        let content = match content {
            Ok(content) if self.content.as_ref().is_some_and(|former| same_bytes(former, &content)) => return,
            Ok(content) => content,
            Err(error) => {
                self.error = Some(error);
                self.content = None;
                return;
            }
        };
        match parse(&content) {
            Ok(parsed) => {
                self.error = None;
                let unchanged = |good: &Parsed<T>| {
                    good.len() == parsed.len() && good.iter().zip(&parsed).all(|(left, right)| same(left, right))
                };
                if !self.good.as_ref().is_some_and(unchanged) {
                    self.good = Some(parsed.into());
                }
            }
            Err(error) => self.error = Some(error),
        }
        self.content = Some(content);
    }
}

/// The CRLs that are in use, by the digest of their DER: one that is read again, or from two places, is parsed once.
#[derive(Debug, Default)]
struct KnownCrls(BTreeMap<Sha256, Weak<Crl>>);

impl KnownCrls {
    fn get(&mut self, der: Bytes) -> Result<Arc<Crl>, CrlError> {
        let sha256 = Sha256::of(&der);
        if let Some(known) = self.0.get(&sha256).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let crl = Arc::new(Crl::from_der(der)?);
        self.0.insert(sha256, Arc::downgrade(&crl));
        Ok(crl)
    }

    fn forget_unused(&mut self) {
        self.0.retain(|_, crl| crl.strong_count() > 0);
    }
}

/// The data of a ConfigMap or Secret.
pub type Data = BTreeMap<String, Bytes>;

/// A ClusterTrustBundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The signer; empty for a bundle without one.
    pub signer_name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The certificates in PEM.
    pub content: Bytes,
}

/// Everything that can hold certificates or CRLs.
#[derive(Debug, Default)]
pub struct Sources {
    config_maps: Objects<Data>,
    secrets: Objects<Data>,
    bundles: Objects<Bundle>,
    files: BTreeMap<String, Result<Bytes, String>>,
    certificates: BTreeMap<SourceKey, SourceState<Certificate>>,
    crls: BTreeMap<SourceKey, SourceState<Crl>>,
    known_crls: KnownCrls,
}

impl Sources {
    /// Stores the data of a ConfigMap or Secret and says whether that changed anything.
    pub fn apply_data(&mut self, id: ObjectId, data: Data) -> bool {
        let objects = if id.kind == Kind::Secret { &mut self.secrets } else { &mut self.config_maps };
        let changed = objects.get(&id) != Some(&data);
        objects.insert(id, data);
        changed
    }

    /// Stores a ClusterTrustBundle and says whether that changed anything.
    pub fn apply_bundle(&mut self, id: ObjectId, bundle: Bundle) -> bool {
        let changed = self.bundles.get(&id) != Some(&bundle);
        self.bundles.insert(id, bundle);
        changed
    }

    /// Stores the content of a file and says whether that changed anything.
    pub fn set_file(&mut self, path: &str, content: Result<Bytes, String>) -> bool {
        if self.files.get(path) == Some(&content) {
            return false;
        }
        self.files.insert(path.to_owned(), content);
        true
    }

    /// Removes an object and says whether it was there.
    pub fn delete(&mut self, id: &ObjectId) -> bool {
        match id.kind {
            Kind::ConfigMap => self.config_maps.remove(id),
            Kind::Secret => self.secrets.remove(id),
            _ => self.bundles.remove(id),
        }
    }

    /// The identifiers of all objects of a kind.
    pub fn ids(&self, kind: Kind) -> Vec<ObjectId> {
        match kind {
            Kind::ConfigMap => self.config_maps.iter(kind).map(|(id, _, _)| id).collect(),
            Kind::Secret => self.secrets.iter(kind).map(|(id, _, _)| id).collect(),
            _ => self.bundles.iter(kind).map(|(id, _, _)| id).collect(),
        }
    }

    /// The objects that share their name with another.
    pub fn twins(&self) -> Vec<(ObjectId, Vec<crate::domain::spec::Origin>)> {
        let config_maps = self.config_maps.iter(Kind::ConfigMap).map(|(id, _, twins)| (id, twins));
        let secrets = self.secrets.iter(Kind::Secret).map(|(id, _, twins)| (id, twins));
        let bundles = self.bundles.iter(Kind::ClusterTrustBundle).map(|(id, _, twins)| (id, twins));
        config_maps.chain(secrets).chain(bundles).filter(|(_, twins)| !twins.is_empty()).collect()
    }

    /// Reads every wanted source of certificates and of CRLs again whose content has changed, and forgets the others.
    pub fn refresh(&mut self, certificates: &BTreeSet<SourceKey>, crls: &BTreeSet<SourceKey>) {
        self.certificates.retain(|key, _| certificates.contains(key));
        self.crls.retain(|key, _| crls.contains(key));
        for key in certificates {
            let content = self.content(key);
            let state = self.certificates.entry(key.clone()).or_default();
            state.read(content, pem_certificates, |left, right| left.is_same(right));
        }
        for key in crls {
            let content = self.content(key);
            let (state, known) = (self.crls.entry(key.clone()).or_default(), &mut self.known_crls);
            state.read(content, |content| parse_crls(crl_ders(content)?, |der| known.get(der)), Arc::ptr_eq);
        }
        self.known_crls.forget_unused();
    }

    /// The state of a source of certificates after [`Sources::refresh`].
    pub fn certificates(&self, key: &SourceKey) -> Option<&SourceState<Certificate>> {
        self.certificates.get(key)
    }

    /// The state of a source of CRLs after [`Sources::refresh`].
    pub fn crls(&self, key: &SourceKey) -> Option<&SourceState<Crl>> {
        self.crls.get(key)
    }

    fn content(&self, key: &SourceKey) -> Result<Bytes, String> {
        match key {
            SourceKey::Key(kind, namespace, name, data_key) => {
                let objects = if *kind == Kind::Secret { &self.secrets } else { &self.config_maps };
                match objects.find(namespace, name) {
                    Found::None => Err(format!("{kind} {namespace}/{name} does not exist")),
                    Found::Twins => Err(format!("there is more than one {kind} {namespace}/{name}")),
                    Found::One(data) => {
                        let content = data.get(data_key).cloned();
                        content.ok_or_else(|| format!("{kind} {namespace}/{name} has no key {data_key:?}"))
                    }
                }
            }
            SourceKey::Bundle(BundleName::Signer(signer, labels)) => self.bundles_of(signer, labels),
            SourceKey::Bundle(BundleName::Name(name)) => match self.bundles.find("", name) {
                Found::None => Err(format!("ClusterTrustBundle {name} does not exist")),
                Found::Twins => Err(format!("there is more than one ClusterTrustBundle {name}")),
                Found::One(bundle) => Ok(bundle.content.clone()),
            },
            SourceKey::File(path) => match self.files.get(path) {
                None => Err(format!("file {path} has not been read")),
                Some(content) => content.clone(),
            },
        }
    }

    /// The bundles of a signer that `labels` selects, one behind the other in the order of their names.
    fn bundles_of(&self, signer: &str, labels: &LabelSelector) -> Result<Bytes, String> {
        let meant = |bundle: &Bundle| bundle.signer_name == signer && labels.selects(&bundle.labels);
        let mut content = Vec::new();
        for (id, bundle, twins) in self.bundles.iter(Kind::ClusterTrustBundle) {
            if !meant(bundle) {
                continue;
            }
            if !twins.is_empty() {
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

/// Whether both hold the same octets; what lies in one place need not be compared.
fn same_bytes(left: &Bytes, right: &Bytes) -> bool {
    left.len() == right.len() && (left.as_ptr() == right.as_ptr() || left == right)
}

/// The labels of namespaces.
#[derive(Debug, Default)]
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

    /// The identifiers of all of them.
    pub fn ids(&self) -> impl Iterator<Item = ObjectId> {
        self.objects.iter(Kind::Namespace).map(|(id, _, _)| id)
    }

    /// The namespaces that share their name with another.
    pub fn twins(&self) -> impl Iterator<Item = (ObjectId, Vec<crate::domain::spec::Origin>)> {
        self.objects.iter(Kind::Namespace).map(|(id, _, twins)| (id, twins)).filter(|(_, twins)| !twins.is_empty())
    }

    /// Whether a profile of `profile` may be used from `user`.
    pub fn permit(&self, allowed: &crate::domain::spec::AllowedNamespaces, profile: &str, user: &str) -> bool {
        match allowed.from {
            NamespacesFrom::All => true,
            NamespacesFrom::Same => profile == user,
            NamespacesFrom::Selector => {
                let mut labels = match self.objects.find("", user) {
                    Found::One(labels) => labels.clone(),
                    Found::None | Found::Twins => BTreeMap::new(),
                };
                // Kubernetes gives this label to every namespace, and nobody can take it away.
                labels.insert("kubernetes.io/metadata.name".to_owned(), user.to_owned());
                allowed.selector.as_ref().is_some_and(|selector| selector.selects(&labels))
            }
        }
    }
}
