//! Path building and validation by RFC 5280 section 6: from a leaf, over intermediates, to a trust anchor.
//!
//! [`find_path`] tries every candidate path within a [`Budget`] and passes each valid one to the caller's `accept`,
//! which may reject it (an issuer that is not listed, a revoked certificate); the first accepted path wins. If none is
//! accepted, the failure that got farthest is kept, with its path.
//!
//! A trust anchor is a name and a key, and the operator's decision: its validity, version, basicConstraints, keyUsage,
//! path length and policies are ignored (RFC 5280 section 6.1 takes none of them as input). Its name constraints apply:
//! they can only narrow the operator's decision (RFC 5937).
//!
//! Does not check revocation or lists of issuers, and does not choose trust anchors.

mod algorithms;
mod budget;
mod build;
mod constraints;
mod cost;
mod error;
mod key_kind;
mod links;
mod names;
mod nodes;
mod policies;
mod pool;
pub mod signature;
mod validate;

use std::sync::Arc;

use super::certificate::Certificate;
use super::error_kind::ErrorKind;
use super::time::UnixTime;

pub use algorithms::{SignatureAlgorithm, SignatureAlgorithms};
pub(crate) use budget::Account;
pub use budget::{Budget, Spent};
pub use build::{find_path, find_path_within};
pub use error::{PathError, PathFailure};
pub use key_kind::{Curve, KeyKind, KeyOrigin};
pub use links::{BrokenLink, Unvouched, check_links, check_vouched};
pub use policies::{ANY_POLICY, PolicyParameters, ValidPolicies};
pub use pool::Pool;
pub use signature::{SignatureError, SignaturePolicy};

/// The requirements on a path.
#[derive(Clone, Debug)]
pub struct PathParameters {
    /// What extendedKeyUsage must say.
    pub usage: UsageRule,
    /// What the leaf may be.
    pub leaf: LeafRule,
    /// Accepted keys and algorithms.
    pub signatures: SignaturePolicy,
    /// The most intermediates, self-issued ones included.
    pub max_path_length: u32,
    /// The policy inputs of RFC 5280 section 6.1.1.
    pub policies: PolicyParameters,
    /// What an anchor's certificate for its own next key must say.
    pub rollover: RolloverRule,
}

/// What a certificate must say that a trust anchor has issued to its own name, for its next key.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RolloverRule {
    /// That it is a CA's, as every other CA certificate (RFC 5280 6.1.4 (k)).
    BasicConstraints,
    /// That its key signs certificates (keyUsage with keyCertSign); basicConstraints may be absent. For suites that
    /// were made so; the anchor has given the key its own name and that right, so no other party gains by it.
    KeyCertSign,
}

/// The most intermediates unless a profile says otherwise. Corporate and bridge PKIs have up to six.
pub const DEFAULT_MAX_PATH_LENGTH: u32 = 10;

/// For a TLS client: `clientAuth` listed, not a CA, RSA 2048 or P-256 and up, SHA-2.
impl Default for PathParameters {
    fn default() -> Self {
        Self {
            usage: UsageRule::Listed(KeyPurpose::ClientAuth),
            leaf: LeafRule::EndEntity,
            signatures: SignaturePolicy::default(),
            max_path_length: DEFAULT_MAX_PATH_LENGTH,
            policies: PolicyParameters::default(),
            rollover: RolloverRule::BasicConstraints,
        }
    }
}

/// What a key is to be used for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum KeyPurpose {
    /// id-kp-clientAuth.
    ClientAuth,
    /// id-kp-serverAuth.
    ServerAuth,
}

/// What extendedKeyUsage of the leaf must say. A CA above it that has the extension must list the purpose, or
/// anyExtendedKeyUsage, under every rule but [`UsageRule::Unchecked`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum UsageRule {
    /// The purpose is listed.
    Listed(KeyPurpose),
    /// The purpose is listed, or the extension is absent.
    Permitted(KeyPurpose),
    /// The purpose or anyExtendedKeyUsage is listed, or the extension is absent.
    PermittedOrAny(KeyPurpose),
    /// Nothing: any key purpose will do.
    Unchecked,
}

/// What the leaf of a path may be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LeafRule {
    /// Not a CA.
    EndEntity,
    /// Any certificate, a CA's included, as RFC 5280 allows for the last certificate of a path; for the signers of
    /// CRLs and for test suites.
    AnyCertificate,
}

/// A path that passed every check of RFC 5280 section 6.1. Only [`find_path`] makes one.
#[derive(Clone, Debug)]
pub struct ValidPath {
    certificates: Vec<Arc<Certificate>>,
    policies: ValidPolicies,
}

impl ValidPath {
    /// The certificates, the leaf first, the trust anchor last.
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// The certificates below the anchor, the leaf first: those that the path's validity depends on.
    pub fn below_anchor(&self) -> &[Arc<Certificate>] {
        self.certificates.split_last().map(|(_, below)| below).unwrap_or_default()
    }

    /// The trust anchor.
    pub fn anchor(&self) -> &Arc<Certificate> {
        self.certificates.last().expect("a path holds at least the leaf and an anchor")
    }

    /// Certificate policies that the path is valid for.
    pub fn policies(&self) -> &ValidPolicies {
        &self.policies
    }

    /// The last second at which every certificate below the anchor is valid.
    pub fn valid_until(&self) -> UnixTime {
        let ends = self.below_anchor().iter().map(|certificate| certificate.not_after());
        ends.min().unwrap_or(UnixTime::from_secs(i64::MIN))
    }
}

/// Why a caller's `accept` rejects a valid path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason: one of the engine's kinds, or the caller's own number ([`ErrorKind::Rejected`]). Of several
    /// rejections the one with the greatest kind is kept.
    pub kind: ErrorKind,
    /// What was compared.
    pub detail: String,
}

/// Whether `certificate` is within its validity period at `now`, both ends included (RFC 5280 section 4.1.2.5); the
/// whole of what is asked of a trusted peer.
pub fn check_validity(certificate: &Arc<Certificate>, now: UnixTime) -> Result<(), PathFailure> {
    validate::time(certificate, now).map_err(|error| PathFailure {
        error,
        position: 0,
        path: vec![Arc::clone(certificate)],
    })
}
