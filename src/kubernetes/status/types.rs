//! The status of the three kinds, as it stands in YAML. Its schema is part of the custom resource definitions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The status of a `TrustProfile`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustProfileStatus {
    /// The generation that the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted: the profile makes sense. ResolvedRefs: every source can be read. Ready: certgate validates by this
    /// generation. Degraded: a source cannot be read any more and its last good content goes on. RevocationFresh: every
    /// CRL still counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// How many trust anchors the profile holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_anchor_count: Option<i64>,
    /// When the first of the profile's certificates expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_expiry: Option<String>,
    /// The trust anchors, those that expire first before the others; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trust_anchors: Vec<AnchorStatus>,
    /// How many CRLs the profile checks by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl_count: Option<i64>,
    /// When the first of the profile's CRLs is out of date, by its nextUpdate or the profile's maxAge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_crl_update: Option<String>,
    /// The CRLs, those that are out of date first before the others; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<CrlStatus>,
}

/// A CRL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrlStatus {
    /// Who made it, in RFC 4514 form.
    pub issuer: String,
    /// Its CRLNumber, decimal or hexadecimal after 0x.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// When it was made.
    pub this_update: String,
    /// When the next one is there at the latest. Absent: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<String>,
    /// When it is out of date: by its nextUpdate, or by the profile's maxAge where that comes first; 168h after
    /// thisUpdate where there is neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<String>,
    /// How many certificates it lists.
    pub entries: i64,
}

/// A trust anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnchorStatus {
    /// SHA-256 of the certificate's DER.
    pub sha256: String,
    /// The subject in RFC 4514 form.
    pub subject: String,
    /// When the certificate expires. An anchor stays trusted beyond that.
    pub not_after: String,
}

/// The status of a `CertificatePolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificatePolicyStatus {
    /// The generation that the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted: the policy makes sense. ResolvedRefs: its trust profile exists, permits it and works. Conflicted:
    /// another policy decides everything that this one matches. Ready: certgate decides by this generation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// How many CertificateMapping objects the policy selects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mappings: Option<i64>,
}

/// The status of a `CertificateMapping`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateMappingStatus {
    /// The generation that the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted: the mapping makes sense. Ready: certgate decides by this generation, and some policy selects it.
    /// Conflicted, only where it is so: another mapping or entry gives the certificate another identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One aspect of an object's state, after the conventions of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// The generation that the condition is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    pub last_transition_time: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, in full: every error with its field.
    pub message: String,
}

/// Whether a condition holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}
