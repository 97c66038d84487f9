//! What an operator writes: the three kinds, as they stand in YAML, and the objects that carry them.
//!
//! These types say how a document is shaped and nothing about whether it makes sense: that is `compile`'s part. The
//! JSON schema that the file source and the custom resource definitions use is made from them ([`Kind::schema`]), and
//! their documentation comments are what `kubectl explain` prints. Numbers are wide and texts are plain strings on
//! purpose: a value out of range must become an error of one object with a field path, not an unreadable document.

mod field;
mod mapping;
mod object;
mod policy;
mod schema;
mod shape;
mod trust_profile;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use field::{Field, Report};
pub use mapping::{CertificateMappingSpec, CertificateName, IdentitySpec, IssuerSerial, MappingState};
pub use object::{
    DEFAULT_NAMESPACE, GROUP, Kind, NamespacedName, NotNamespacedName, Object, ObjectId, ObjectMeta, Origin, VERSION,
    duplicate_error,
};
pub use policy::{
    Case, CertificatePolicySpec, CertificateRequirement, ChainFrom, DenialSpec, EvidenceSpec, HeaderEvidence,
    HeaderFormat, MappingSpec, MetadataSpec, ModeSpec, OneToOne, PathCase, PathMatch, PeerCertificateEvidence,
    Precedence, RequestMatch, ResponseHeaders, ResponseSpec, RevealSpec, Rule, RuleAction, RuleField, RulePart,
    TrustRef, Values, XfccEvidence,
};
pub use schema::schema_of;
pub use shape::{Schema, SchemaError};
pub use trust_profile::{
    AllowedNamespaces, AnchorExtensionsSpec, BundleRef, CertificateHash, CertificatePoliciesSpec, CrlKeyRef, CrlSource,
    DisallowedHash, EcdsaCurveSpec, ExplicitPolicySpec, ExtendedKeyUsageSpec, KeyRef, NamespacesFrom,
    OnBadCertificateSpec, OnUnknownSpec, PeerSource, PermissionSpec, RequirementsSpec, RevocationModeSpec,
    RevocationScopeSpec, RevocationSpec, SignatureAlgorithmSpec, TrustModeSpec, TrustProfileSpec, TrustSource,
    WeakCryptographySpec,
};

/// What is wrong with one field of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// The field, such as `spec.mapping.rules[1].where[0].value`; `metadata.name` and the like for metadata.
    pub path: String,
    /// What is wrong and what would be right, without the path.
    pub message: String,
}

impl FieldError {
    /// An error of the field at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Selects objects by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that an object must carry, all of them, with these values. Empty: every object.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub match_labels: std::collections::BTreeMap<String, String>,
}

impl LabelSelector {
    /// Whether `labels` carry everything that the selector asks for.
    pub fn selects(&self, labels: &std::collections::BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}
