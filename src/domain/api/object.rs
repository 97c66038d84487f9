//! Objects as the store receives them: metadata, kind, and where they were read.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::{CertificateMappingSpec, CertificatePolicySpec, FieldError, TrustProfileSpec};
use certgate_x509::UnixTime;

/// The namespace of an object that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The API group of certgate's own kinds.
pub const GROUP: &str = "certgate.dev";

/// The version of certgate's own kinds.
pub const VERSION: &str = "v1alpha1";

/// The kinds of objects that the core knows.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// How a client certificate is validated.
    TrustProfile,
    /// Which requests, on what evidence, who is allowed as whom.
    CertificatePolicy,
    /// One certificate name and its identity.
    CertificateMapping,
    /// A source of PEM.
    ConfigMap,
    /// A source of PEM.
    Secret,
    /// A source of PEM without a namespace.
    ClusterTrustBundle,
    /// A namespace, for its labels.
    Namespace,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::TrustProfile,
        Self::CertificatePolicy,
        Self::CertificateMapping,
        Self::ConfigMap,
        Self::Secret,
        Self::ClusterTrustBundle,
        Self::Namespace,
    ];

    /// certgate's own kinds: the custom resources of [`GROUP`].
    pub const OWN: [Self; 3] = [Self::TrustProfile, Self::CertificatePolicy, Self::CertificateMapping];

    /// Whether this is one of [`Kind::OWN`].
    pub const fn is_own(self) -> bool {
        matches!(self, Self::TrustProfile | Self::CertificatePolicy | Self::CertificateMapping)
    }

    /// The plural, as it stands in paths of the API server.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::TrustProfile => "trustprofiles",
            Self::CertificatePolicy => "certificatepolicies",
            Self::CertificateMapping => "certificatemappings",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
            Self::ClusterTrustBundle => "clustertrustbundles",
            Self::Namespace => "namespaces",
        }
    }

    /// The kind as it stands in YAML.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TrustProfile => "TrustProfile",
            Self::CertificatePolicy => "CertificatePolicy",
            Self::CertificateMapping => "CertificateMapping",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::ClusterTrustBundle => "ClusterTrustBundle",
            Self::Namespace => "Namespace",
        }
    }

    /// The `apiVersion` as it stands in YAML.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::TrustProfile | Self::CertificatePolicy | Self::CertificateMapping => "certgate.dev/v1alpha1",
            Self::ConfigMap | Self::Secret | Self::Namespace => "v1",
            Self::ClusterTrustBundle => "certificates.k8s.io/v1beta1",
        }
    }

    /// Whether objects of this kind live in a namespace.
    pub const fn is_namespaced(self) -> bool {
        !matches!(self, Self::ClusterTrustBundle | Self::Namespace)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where an object was read. Two objects of one kind and name with different origins exist side by side and are both in
/// error; the same origin means the same object, so a new version replaces the old one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The file; empty for objects of a cluster.
    pub file: Arc<str>,
    /// A number that the source gives to the document within the file. Only its equality counts here.
    pub document: u32,
}

/// The error of an object that shares its name with others of its kind.
pub fn duplicate_error(others: impl Iterator<Item = Origin>) -> FieldError {
    let mut places: Vec<String> = others
        .map(|origin| match &*origin.file {
            "" => "the cluster".to_owned(),
            file => file.to_owned(),
        })
        .collect();
    places.sort();
    places.dedup();
    FieldError::new("metadata.name", format!("another object of this kind has the same name, in {}", places.join(", ")))
}

/// What the core reads of an object's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The name.
    pub name: String,
    /// The namespace; [`DEFAULT_NAMESPACE`] unless the document says otherwise, empty for kinds without one.
    pub namespace: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// When the object was created, where the source knows.
    pub creation_timestamp: Option<UnixTime>,
    /// Where it was read.
    pub origin: Origin,
    /// What of the object could not be read and is missing from its spec. An object with any of it does not work.
    pub unread: Vec<FieldError>,
}

/// The namespace and name of an object. Its text form is `namespace/name`, or `name` for kinds without namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// The namespace; empty for kinds without one.
    pub namespace: Box<str>,
    /// The name.
    pub name: Box<str>,
}

impl NamespacedName {
    /// The name of an object in `namespace`.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// Why a text is no [`NamespacedName`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
#[error("want NAMESPACE/NAME")]
pub struct NotNamespacedName;

/// Reads `namespace/name`; both parts are required.
impl FromStr for NamespacedName {
    type Err = NotNamespacedName;

    fn from_str(text: &str) -> Result<Self, NotNamespacedName> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::new(namespace, name))
            }
            _ => Err(NotNamespacedName),
        }
    }
}

impl ObjectMeta {
    /// Namespace and name.
    pub fn namespaced_name(&self) -> NamespacedName {
        NamespacedName::new(&self.namespace, &self.name)
    }

    /// What tells an object of `kind` with this metadata from others.
    pub fn id(&self, kind: Kind) -> ObjectId {
        ObjectId { kind, namespace: self.namespace.clone(), name: self.name.clone(), origin: self.origin.clone() }
    }
}

/// What tells one stored object from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The kind.
    pub kind: Kind,
    /// The namespace; empty for kinds without one.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Where it was read.
    pub origin: Origin,
}

impl ObjectId {
    /// Namespace and name.
    pub fn namespaced_name(&self) -> NamespacedName {
        NamespacedName::new(&self.namespace, &self.name)
    }
}

/// `Kind namespace/name`, or `Kind name` for kinds without namespaces.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.namespaced_name())
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "meta and the content of a kind say themselves what they are")]
pub enum Object {
    TrustProfile { meta: ObjectMeta, spec: Box<TrustProfileSpec> },
    CertificatePolicy { meta: ObjectMeta, spec: Box<CertificatePolicySpec> },
    CertificateMapping { meta: ObjectMeta, spec: Box<CertificateMappingSpec> },
    ConfigMap { meta: ObjectMeta, data: BTreeMap<String, Bytes> },
    Secret { meta: ObjectMeta, data: BTreeMap<String, Bytes> },
    ClusterTrustBundle { meta: ObjectMeta, signer_name: String, trust_bundle: Bytes },
    Namespace { meta: ObjectMeta },
}

impl Object {
    /// The kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::TrustProfile { .. } => Kind::TrustProfile,
            Self::CertificatePolicy { .. } => Kind::CertificatePolicy,
            Self::CertificateMapping { .. } => Kind::CertificateMapping,
            Self::ConfigMap { .. } => Kind::ConfigMap,
            Self::Secret { .. } => Kind::Secret,
            Self::ClusterTrustBundle { .. } => Kind::ClusterTrustBundle,
            Self::Namespace { .. } => Kind::Namespace,
        }
    }

    /// The metadata.
    pub const fn meta(&self) -> &ObjectMeta {
        match self {
            Self::TrustProfile { meta, .. }
            | Self::CertificatePolicy { meta, .. }
            | Self::CertificateMapping { meta, .. }
            | Self::ConfigMap { meta, .. }
            | Self::Secret { meta, .. }
            | Self::ClusterTrustBundle { meta, .. }
            | Self::Namespace { meta } => meta,
        }
    }

    /// The metadata, to be changed.
    pub const fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::TrustProfile { meta, .. }
            | Self::CertificatePolicy { meta, .. }
            | Self::CertificateMapping { meta, .. }
            | Self::ConfigMap { meta, .. }
            | Self::Secret { meta, .. }
            | Self::ClusterTrustBundle { meta, .. }
            | Self::Namespace { meta } => meta,
        }
    }

    /// What tells this object from others.
    pub fn id(&self) -> ObjectId {
        self.meta().id(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_namespaces_are_read_as_they_are_written() {
        let name = NamespacedName::new("payments", "partners");
        assert_eq!((name.to_string().as_str(), "payments/partners".parse()), ("payments/partners", Ok(name)));
        assert_eq!(NamespacedName::new("", "roots").to_string(), "roots");
        for wrong in ["", "a", "/a", "a/", "a/b/c", "/"] {
            assert_eq!(wrong.parse::<NamespacedName>(), Err(NotNamespacedName), "{wrong:?}");
        }
    }

    #[test]
    fn own_kinds_are_those_of_the_group() {
        for kind in Kind::ALL {
            let is_of_group = kind.api_version() == format!("{GROUP}/{VERSION}");
            assert_eq!((kind.is_own(), Kind::OWN.contains(&kind)), (is_of_group, is_of_group), "{kind}");
        }
    }
}
