//! Objects as the store receives them: metadata, kind, and where they were read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{CertificateMappingSpec, CertificatePolicySpec, FieldError, TrustProfileSpec};
use certgate_x509::UnixTime;

/// The namespace of an object that names none.
pub const DEFAULT_NAMESPACE: &str = "default";

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

impl ObjectMeta {
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

/// `Kind namespace/name`, or `Kind name` for kinds without namespaces.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
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
