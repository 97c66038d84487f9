//! Revocation, offline: which CRLs and OCSP responses apply to a certificate, and the status that they give it.
//!
//! CRLs are parsed ([`crl`]) into an immutable [`RevocationData`]; [`check`] walks a valid path over it by RFC 5280
//! section 6.3. OCSP responses are parsed and judged by [`ocsp`].
//!
//! Not here: where CRLs come from and when they are read again.

mod by_ocsp;
pub mod check;
pub mod crl;
mod crl_with_signer;
mod data;
mod distribution;
mod intern;
pub mod ocsp;
pub mod reason;
mod scope;
mod serials;
mod signed;
mod signer;
mod source;
mod succession;

use std::fmt;

use super::error_kind::ErrorKind;
use super::path::SignaturePolicy;
use super::time::UnixTime;

pub use check::{SignerCandidates, check_revocation, check_revocation_within};
pub use crl::{Crl, CrlError, CrlNumber};
pub use data::RevocationData;
pub use distribution::{CrlSubjects, IdpError, IssuingDistributionPoint};
pub use reason::{CrlReason, ReasonFlags};
pub use serials::RevocationEntry;
pub use source::{CrlReader, CrlSourceError};
pub use succession::{Rollback, RollbackReason};

/// How revocation is checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RevocationPolicy {
    /// Whether it is checked.
    pub mode: RevocationMode,
    /// Which certificates of a path.
    pub scope: RevocationScope,
    /// The action when a status is unknown.
    pub on_unknown: OnUnknown,
    /// How old data may be.
    pub freshness: Freshness,
    /// Keys and algorithms that may sign CRLs.
    pub signatures: SignaturePolicy,
}

/// Whether revocation is checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RevocationMode {
    /// By the available data.
    Offline,
    /// Not at all.
    NoCheck,
}

/// Which certificates of a path are checked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RevocationScope {
    /// The leaf alone.
    EndEntity,
    /// Every certificate below the trust anchor.
    ExcludeRoot,
    /// The trust anchor too, by its own CRL.
    EntireChain,
}

/// The action when the status of a certificate cannot be determined.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// The path is rejected.
    Deny,
    /// The path passes, with a warning.
    Allow,
}

/// How old a CRL may be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The greatest age, counted from thisUpdate, regardless of nextUpdate.
    pub max_age: MaxAge,
    /// Seconds that clocks may differ.
    pub clock_skew: i64,
}

/// The greatest age of a CRL.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum MaxAge {
    /// nextUpdate alone decides; without one, [`MAX_AGE_WITHOUT_NEXT_UPDATE`].
    NextUpdate,
    /// So many seconds.
    Seconds(i64),
    /// As [`MaxAge::NextUpdate`], but a CRL that its CA replaces within the year, and that applies to an end entity, is
    /// too old after seven days. The Baseline Requirements of the CA/Browser Forum (4.9.7) require weekly CRLs: an
    /// older one was replaced, or its CA has stopped working.
    Weekly,
}

/// The limit by which a CRL is out of date.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FreshnessLimit {
    /// Its nextUpdate.
    NextUpdate,
    /// It may not be older than so many seconds, by [`MaxAge::Seconds`].
    MaxAge(i64),
    /// It has no nextUpdate, and may then not be older than so many seconds ([`MAX_AGE_WITHOUT_NEXT_UPDATE`]).
    NoNextUpdate(i64),
}

/// When a CRL is out of date, without clock skew, and by which limit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The last second at which it is current.
    pub at: UnixTime,
    /// The earliest limit.
    pub by: FreshnessLimit,
}

impl Freshness {
    /// When a CRL with these dates is out of date. [`MaxAge::Weekly`] counts as [`MaxAge::NextUpdate`],
    /// because it depends on the certificate too.
    pub fn expiry(&self, this_update: UnixTime, next_update: Option<UnixTime>) -> Expiry {
        let by_age = |seconds, by| Expiry { at: this_update.plus(seconds), by };
        let by_next = next_update.map(|at| Expiry { at, by: FreshnessLimit::NextUpdate });
        match (self.max_age, by_next) {
            (MaxAge::Seconds(seconds), next) => {
                let age = by_age(seconds, FreshnessLimit::MaxAge(seconds));
                next.filter(|next| next.at <= age.at).unwrap_or(age)
            }
            (MaxAge::Weekly | MaxAge::NextUpdate, Some(next)) => next,
            (MaxAge::Weekly | MaxAge::NextUpdate, None) => {
                by_age(MAX_AGE_WITHOUT_NEXT_UPDATE, FreshnessLimit::NoNextUpdate(MAX_AGE_WITHOUT_NEXT_UPDATE))
            }
        }
    }
}

/// How old a CRL without nextUpdate may be, in seconds: seven days.
pub const MAX_AGE_WITHOUT_NEXT_UPDATE: i64 = 7 * 24 * 3600;

/// Rejects unknown statuses, for every certificate below the anchor.
impl Default for RevocationPolicy {
    fn default() -> Self {
        Self {
            mode: RevocationMode::Offline,
            scope: RevocationScope::ExcludeRoot,
            on_unknown: OnUnknown::Deny,
            freshness: Freshness::default(),
            signatures: SignaturePolicy::default(),
        }
    }
}

/// nextUpdate decides; clocks differ by up to five minutes.
impl Default for Freshness {
    fn default() -> Self {
        Self { max_age: MaxAge::NextUpdate, clock_skew: 300 }
    }
}

/// The outcome for a path of which no certificate is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationOutcome {
    /// The last second at which the used CRLs and responses are current; `None` if none was used.
    pub valid_until: Option<UnixTime>,
    /// Unknown statuses that [`OnUnknown::Allow`] accepted.
    pub warnings: Vec<String>,
}

/// Why a path is rejected: the status of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationFailure {
    /// Position of the certificate in the path; 0 is the leaf.
    pub position: usize,
    /// Its status.
    pub status: BadStatus,
}

/// A status that rejects a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadStatus {
    /// Revoked.
    Revoked {
        /// When and why.
        entry: RevocationEntry,
        /// The CRL or response that lists it.
        source: String,
    },
    /// The CRLs or responses that apply to it are out of date.
    Stale {
        /// Which data, and how old.
        detail: String,
    },
    /// No CRL or response determines it.
    Unknown {
        /// What was examined, and why it does not apply.
        detail: String,
    },
}

impl BadStatus {
    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Revoked { .. } => ErrorKind::Revoked,
            Self::Stale { .. } => ErrorKind::StatusStale,
            Self::Unknown { .. } => ErrorKind::StatusUnknown,
        }
    }
}

impl fmt::Display for BadStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked { entry, source } => {
                write!(f, "revoked at {}", entry.date)?;
                if let Some(reason) = entry.reason {
                    write!(f, " for {reason}")?;
                }
                write!(f, " by {source}")
            }
            Self::Stale { detail } | Self::Unknown { detail } => f.write_str(detail),
        }
    }
}

impl fmt::Display for RevocationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}
