//! Whether a list of certificates is one chain: each signed by the key of the next.
//!
//! Path building does not need this check: it accepts presented certificates in any order and from any source. The
//! check is for evidence in which a proxy may have joined what two parties sent. Matching names prove nothing, and
//! signatures alone do not either: an attacker can have the public key of a foreign CA certified under their own key.
//! The foreign leaf is then signed by that CA's key, and the certificate for that key by the attacker's. So each
//! certificate must also be on the valid path, or be configured, or be signed by a configured key.

use std::sync::Arc;

use thiserror::Error;

use crate::certificate::Certificate;
use crate::time::UnixTime;

use super::PathError;
use super::budget::{Account, Budget};
use super::key_kind::KeyOrigin;
use super::pool::Pool;
use super::signature::{PublicKey, SignaturePolicy};

/// A certificate that is not signed by the next one of its list.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the signature of certificate {certificate} is not verified by the key of the next one: {error}")]
pub struct BrokenLink {
    /// Which one; the first is 1.
    pub certificate: usize,
    /// What is wrong with the signature, or that the budget has run out.
    pub error: PathError,
}

/// A certificate that only the next one of its list certifies.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Error)]
#[error("certificate {certificate} is neither of the valid path nor configured: anybody can have joined what follows")]
pub struct Unvouched {
    /// Which one; the leaf is 1.
    pub certificate: usize,
}

/// Whether a list, in which each certificate is signed by the next, is one client's, now that its first has turned out
/// valid by `path`. `chain` is what follows the leaf.
///
/// An attacker who joined two lists has the private key of one of `chain`. That is excluded when each key is a CA's:
/// the first, which has signed the leaf; one that has signed a certificate of the path below the anchor, or one that
/// `pool` holds; and a key of the pool itself.
pub fn check_vouched(chain: &[Arc<Certificate>], path: &[Arc<Certificate>], pool: &Pool) -> Result<(), Unvouched> {
    let below_anchor = path.split_last().map(|(_, below)| below).unwrap_or_default();
    for (at, pair) in (1..).zip(chain.windows(2)) {
        let [certificate, issuer] = pair else { continue };
        let on_path = below_anchor.get(at).is_some_and(|one| one.is_same(certificate));
        let is_vouched_for = on_path
            || pool.has_key(issuer.public_key())
            || pool.named(certificate.subject()).any(|configured| configured.is_same(certificate));
        if !is_vouched_for {
            return Err(Unvouched { certificate: at.saturating_add(1) });
        }
    }
    Ok(())
}

/// Verifies that each certificate of `chain` is signed by the next, by keys and algorithms that `policy` accepts. The
/// cost is charged to the client; the origin of a key matters only for its permitted size. A search within the same
/// budget does not verify these signatures again.
pub fn check_links(
    chain: &[&Arc<Certificate>],
    pool: &Pool,
    policy: &SignaturePolicy,
    budget: &Budget,
) -> Result<(), BrokenLink> {
    for (pair, certificate) in chain.windows(2).zip(1..) {
        let [child, issuer] = pair else { continue };
        let spki = issuer.public_key();
        let origin = if pool.has_key(spki) { KeyOrigin::Configured } else { KeyOrigin::Presented };
        let verify = || {
            let key = PublicKey::parse(spki)?;
            key.check_cost(origin)?;
            budget.signature(Account::Presented, key.cost(child.tbs().len()))?;
            key.verify(child.signature_algorithm(), child.tbs(), child.signature(), policy)?;
            Ok(())
        };
        verify().map_err(|error: PathError| {
            budget.fails(Some(UnixTime::from_secs(i64::MAX)));
            BrokenLink { certificate, error }
        })?;
        budget.learn_link(child, issuer, policy);
    }
    Ok(())
}
