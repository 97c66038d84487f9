//! Why a path is not valid, and which of several failures is reported.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::certificate::{Certificate, Version};
use crate::encoding::excerpt::shortened;
use crate::error_kind::ErrorKind;
use crate::name::Name;
use crate::oid::Oid;
use crate::time::UnixTime;

use super::signature::SignatureError;

/// One rule that a certificate of a path breaks, with the values compared.
///
/// [`PathError::kind`] sorts them for callers that need few cases.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// RFC 5280 4.1.2.2: a serial number is positive.
    #[error("the serial number is zero")]
    ZeroSerial,
    /// RFC 5280 4.2.1.6: subjectAltName names at least one name.
    #[error("subjectAltName is empty")]
    EmptyNames,
    /// Only v3 certificates carry the extensions that the checks need.
    #[error("the certificate is of version {0:?}, not V3")]
    OldVersion(Version),
    /// RFC 5280 4.2: a critical extension that is not processed requires rejection.
    #[error("critical extension {0} is not supported")]
    UnknownCriticalExtension(Oid),
    /// RFC 5280 4.1.2.6: without a subject, subjectAltName is there and critical.
    #[error("the subject is empty and subjectAltName is absent or not critical")]
    Nameless,
    /// RFC 5280 4.2.1.3, 4.2.1.9, 4.2.1.10: what only CA certificates carry.
    #[error("{0} in a certificate that is not a CA's")]
    CaExtensionInEndEntity(&'static str),
    /// The end entity is a CA.
    #[error("a CA certificate is used as an end entity's (basicConstraints has cA)")]
    CaAsEndEntity,
    /// The validity period has not begun.
    #[error("valid from {not_before}, now {now}")]
    NotYetValid {
        /// When it begins.
        not_before: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The validity period is over.
    #[error("expired at {not_after}, now {now}")]
    Expired {
        /// Its last second.
        not_after: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// No candidate has the issuer's name.
    #[error("issuer not found: {0}")]
    UnknownIssuer(String),
    /// RFC 5280 6.1.4 (k): not a CA.
    #[error("not a CA: basicConstraints is absent or has no cA")]
    NotCa,
    /// RFC 5280 6.1.4 (l), (m).
    #[error("pathLenConstraint {limit}, but {found} intermediate certificates follow")]
    PathLength {
        /// The constraint.
        limit: u32,
        /// Intermediates below it, self-issued ones apart.
        found: u32,
    },
    /// RFC 5280 6.1.4 (n).
    #[error("keyUsage does not have keyCertSign")]
    MayNotSign,
    /// The profile's own limit.
    #[error("the path would have more than {0} intermediate certificates")]
    TooLong(u32),
    /// A key or signature.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// A name lies outside what the CA may certify.
    #[error("{name} is not within a permitted subtree of {constrainer}")]
    NotPermitted {
        /// The name.
        name: String,
        /// The subject of the certificate with the constraint.
        constrainer: String,
    },
    /// A name lies inside what the CA may not certify.
    #[error("{name} is within an excluded subtree of {constrainer}")]
    Excluded {
        /// The name.
        name: String,
        /// The subject of the certificate with the constraint.
        constrainer: String,
    },
    /// A name of a form that is constrained cannot be compared.
    #[error("{name} is constrained by {constrainer}, but {problem}")]
    ConstraintUnsupported {
        /// The name.
        name: String,
        /// The subject of the certificate with the constraint.
        constrainer: String,
        /// Why it cannot be compared.
        problem: &'static str,
    },
    /// RFC 5280 6.1.3 (f), 6.1.5.
    #[error("an explicit policy is required and none is valid for the path")]
    NoValidPolicy,
    /// RFC 5280 6.1.4 (a).
    #[error("policyMappings maps to or from anyPolicy")]
    AnyPolicyMapped,
    /// The key may not be used for the purpose.
    #[error("extendedKeyUsage does not permit {wanted}: {found}")]
    KeyPurpose {
        /// The purpose.
        wanted: &'static str,
        /// What the certificate lists.
        found: String,
    },
    /// RFC 5280 4.2.1.3: the key may not sign what the purpose needs signed.
    #[error("keyUsage has neither digitalSignature nor keyAgreement, and {wanted} needs one of them")]
    KeyUsage {
        /// The purpose.
        wanted: &'static str,
    },
    /// The budget is exhausted: hostile or absurdly tangled certificates.
    #[error("gave up after the budget of {budget} {unit}")]
    Budget {
        /// What was counted.
        unit: &'static str,
        /// The limit.
        budget: u32,
    },
    /// The caller's own check of a path that is otherwise valid.
    #[error("{detail}")]
    Rejected {
        /// The caller's kind.
        kind: ErrorKind,
        /// The caller's words.
        detail: String,
    },
}

/// How far a path got; of several failures the one that got farthest is reported.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The chain ends without an anchor.
    DeadEnd,
    /// A signature does not verify: most likely another CA of the same name.
    Signature,
    /// There is an issuer, but it may not issue.
    Issuer,
    /// There is an issuer, but it has expired or is not valid yet.
    Time,
    /// The budget is exhausted.
    Budget,
    /// Signatures lead to an anchor, and a rule over the whole path fails.
    Path,
    /// The caller's check failed on a path that is valid.
    Rejected(ErrorKind),
}

impl PathError {
    pub(super) fn rank(&self) -> Rank {
        match self {
            Self::UnknownIssuer(_) | Self::TooLong(_) => Rank::DeadEnd,
            Self::Signature(_) => Rank::Signature,
            Self::ZeroSerial
            | Self::EmptyNames
            | Self::OldVersion(_)
            | Self::UnknownCriticalExtension(_)
            | Self::Nameless
            | Self::CaExtensionInEndEntity(_)
            | Self::CaAsEndEntity
            | Self::NotCa
            | Self::PathLength { .. }
            | Self::MayNotSign => Rank::Issuer,
            Self::NotYetValid { .. } | Self::Expired { .. } => Rank::Time,
            Self::Budget { .. } => Rank::Budget,
            Self::NotPermitted { .. }
            | Self::Excluded { .. }
            | Self::ConstraintUnsupported { .. }
            | Self::NoValidPolicy
            | Self::AnyPolicyMapped
            | Self::KeyPurpose { .. }
            | Self::KeyUsage { .. } => Rank::Path,
            Self::Rejected { kind, .. } => Rank::Rejected(*kind),
        }
    }

    /// The kind; `position` is that of the certificate in the path, the leaf being 0. A leaf that breaks the
    /// certificate profile is malformed; a CA certificate that does is not trusted.
    pub fn kind(&self, position: usize) -> ErrorKind {
        match self {
            Self::ZeroSerial
            | Self::EmptyNames
            | Self::OldVersion(_)
            | Self::UnknownCriticalExtension(_)
            | Self::Nameless
                if position == 0 =>
            {
                ErrorKind::Malformed
            }
            Self::CaExtensionInEndEntity(_) => ErrorKind::Malformed,
            Self::ZeroSerial
            | Self::EmptyNames
            | Self::OldVersion(_)
            | Self::UnknownCriticalExtension(_)
            | Self::Nameless
            | Self::CaAsEndEntity
            | Self::UnknownIssuer(_)
            | Self::NotCa
            | Self::PathLength { .. }
            | Self::MayNotSign
            | Self::TooLong(_)
            | Self::NoValidPolicy
            | Self::AnyPolicyMapped
            | Self::Budget { .. } => ErrorKind::Untrusted,
            Self::NotYetValid { .. } => ErrorKind::NotYetValid,
            Self::Expired { .. } => ErrorKind::Expired,
            Self::Signature(_) => ErrorKind::Signature,
            Self::NotPermitted { .. } | Self::Excluded { .. } | Self::ConstraintUnsupported { .. } => {
                ErrorKind::NameConstraint
            }
            Self::KeyPurpose { .. } | Self::KeyUsage { .. } => ErrorKind::KeyPurpose,
            Self::Rejected { kind, .. } => *kind,
        }
    }
}

/// The failure kept of a search, with the path it belongs to.
#[derive(Clone, Debug)]
pub struct PathFailure {
    /// What is wrong.
    pub error: PathError,
    /// Which certificate of `path` it is about; the leaf is 0.
    pub position: usize,
    /// The certificates of the path as far as it was built, the leaf first.
    pub path: Vec<Arc<Certificate>>,
}

impl PathFailure {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind(self.position)
    }
}

/// A name as messages show it: a client can send names of thousands of characters.
pub(super) fn shown(name: &Name) -> String {
    shortened(name.to_rfc4514())
}

/// The certificate that the failure is about, and the rule it breaks.
impl fmt::Display for PathFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self.error, PathError::Rejected { .. }) {
            return self.error.fmt(f);
        }
        match (self.position, self.path.get(self.position)) {
            (0, _) | (_, None) => write!(f, "client certificate: {}", self.error),
            (_, Some(certificate)) => write!(f, "CA certificate {}: {}", shown(certificate.subject()), self.error),
        }
    }
}

impl std::error::Error for PathFailure {}
