//! Whether a list of certificates is one chain: each signed by the key of the next.
//!
//! Path building needs no such thing: it takes what came along in any order, and from anybody. This is for evidence in
//! which a proxy may have joined what two parties sent; names can be made to fit, signatures cannot.

use std::sync::Arc;

use thiserror::Error;

use crate::domain::certificate::Certificate;
use crate::domain::time::UnixTime;

use super::PathError;
use super::budget::{Budget, Pot};
use super::cost::KeyOrigin;
use super::pool::Pool;
use super::signature::{PublicKey, SignaturePolicy};

/// A certificate that is not signed by the next one of its list.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the signature of certificate {certificate} is not shown to be by the key of the next one: {error}")]
pub struct BrokenLink {
    /// Which one; the first is 1.
    pub certificate: usize,
    /// What is wrong with the signature, or that the budget has run out.
    pub error: PathError,
}

/// Verifies that each certificate of `chain` is signed by the next, by keys and algorithms that `policy` takes. The
/// client pays: whose key it is makes no difference but for how large it may be. A search within the same budget does not
/// verify these signatures again.
pub fn check_links(
    chain: &[&Arc<Certificate>],
    pool: &Pool,
    policy: &SignaturePolicy,
    budget: &Budget,
) -> Result<(), BrokenLink> {
    for (pair, certificate) in chain.windows(2).zip(1..) {
        let [child, issuer] = pair else { continue };
        let spki = issuer.public_key();
        let origin = if pool.has_key(spki) { KeyOrigin::Configured } else { KeyOrigin::SentAlong };
        let verify = || {
            let key = PublicKey::parse(spki)?;
            key.check_cost(origin)?;
            budget.signature(Pot::SentAlong, key.cost(child.tbs().len()))?;
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
