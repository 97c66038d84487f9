//! Which CRL may replace one that is in use: an older list never reverts a revocation.
//!
//! RFC 5280 section 5.2.3 requires increasing numbers within one scope; lists from before it have none, and are ordered
//! by thisUpdate. The source of CRLs (a mirror, a job that copies files) is not trusted about their order. Only lists
//! with a verified signature take part: an unverified list replaces none, and is not kept. A list for which none is
//! offered any more has no effect on certificates, but is remembered. Otherwise two steps could do what one may not:
//! first offer no list, and then the older one. This memory ends with the process.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::crl::Crl;
use super::crl_with_signer::CrlWithSigner;

/// A CRL that stays in use although another one is offered in its place.
#[derive(Clone, Debug)]
pub struct Rollback {
    /// The CRL that stays.
    pub kept: Arc<Crl>,
    /// The CRL that is offered.
    pub offered: Arc<Crl>,
    /// Why the offered CRL does not replace it.
    pub because: RollbackReason,
}

/// Why one CRL does not replace another.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum RollbackReason {
    /// It has the same scope and is older; it is ignored.
    Older,
    /// It has another scope that overlaps, and is older or not verified; both apply.
    Overlaps,
    /// It is the complete CRL for a delta CRL that is newer; both apply.
    Delta,
}

impl Rollback {
    /// Whether the offered CRL is older than the kept one, and so may lack its entries.
    pub(super) fn is_behind(&self) -> bool {
        match self.because {
            RollbackReason::Older => true,
            RollbackReason::Overlaps => self.offered.this_update() < self.kept.this_update(),
            RollbackReason::Delta => self.offered.number() < self.kept.number(),
        }
    }
}

/// Both lists, for a log.
impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, offered, because } = self;
        match because {
            RollbackReason::Older => write!(f, "{offered} would replace the newer {kept}, which is kept"),
            RollbackReason::Overlaps => {
                write!(f, "{kept} is offered no more and is kept: {offered} overlaps it and is older")
            }
            RollbackReason::Delta => {
                write!(f, "{kept} is offered no more and is kept until a complete CRL replaces {offered}")
            }
        }
    }
}

/// The result for a CRL in use.
pub(super) enum Succession {
    /// A CRL that is as new or newer replaces it.
    Replaced,
    /// No CRL is offered for it any more.
    NotOffered,
    /// It stays in use, without the lists that [`RollbackReason::Older`] names.
    Kept(Vec<Rollback>),
}

/// Decides about a verified CRL in use. `is_verified` returns whether the signature of an offered one is valid.
pub(super) fn decide(
    kept: &Arc<Crl>,
    offered: &[Arc<CrlWithSigner>],
    is_verified: impl Fn(&CrlWithSigner) -> bool,
) -> Succession {
    let rolled_back = |held: &Arc<CrlWithSigner>, because| Rollback {
        kept: Arc::clone(kept),
        offered: Arc::clone(held.crl()),
        because,
    };
    let is_delta = kept.base_number().is_some();
    let same_issuer = || offered.iter().filter(move |held| held.crl().issuer() == kept.issuer());
    let of_kind = |delta: bool| same_issuer().filter(move |held| held.crl().base_number().is_some() == delta);
    let complete: Vec<_> = of_kind(false).filter(|held| held.crl().has_scope_of(kept)).collect();
    let reaches = |held: &CrlWithSigner| held.crl().number() >= kept.number();
    if is_delta && complete.iter().any(|held| reaches(held) && is_verified(held)) {
        return Succession::Replaced;
    }
    let rivals: Vec<_> = of_kind(is_delta).filter(|held| held.crl().has_scope_of(kept)).collect();
    if !rivals.is_empty() {
        // A CRL that is equally new keeps its place beside it, or is the same.
        let succeeds = |held: &CrlWithSigner| match age(held.crl(), kept) {
            Ordering::Greater => true,
            Ordering::Equal => held.crl().is_same(kept),
            Ordering::Less => false,
        };
        if rivals.iter().any(|held| succeeds(held) && is_verified(held)) {
            return Succession::Replaced;
        }
        let older = rivals.into_iter().filter(|held| age(held.crl(), kept) == Ordering::Less);
        return Succession::Kept(older.map(|held| rolled_back(held, RollbackReason::Older)).collect());
    }
    if is_delta {
        return match complete.is_empty() {
            true => Succession::NotOffered,
            false => {
                Succession::Kept(complete.into_iter().map(|held| rolled_back(held, RollbackReason::Delta)).collect())
            }
        };
    }
    let older: Vec<_> = of_kind(false)
        .filter(|held| held.crl().overlaps(kept))
        .filter(|held| held.crl().this_update() < kept.this_update() || !is_verified(held))
        .collect();
    match older.is_empty() {
        true => Succession::NotOffered,
        false => Succession::Kept(older.into_iter().map(|held| rolled_back(held, RollbackReason::Overlaps)).collect()),
    }
}

/// Compares the ages of two CRLs of one scope and kind.
fn age(one: &Crl, other: &Crl) -> Ordering {
    let by_time = one.this_update().cmp(&other.this_update());
    match (one.number(), other.number()) {
        (Some(one), Some(other)) => one.cmp(&other).then(by_time),
        _ => by_time,
    }
}
