//! A signature that is verified once a key is known, with cached outcomes.
//!
//! A CRL is parsed long before a path shows who may have signed it. If the algorithm signs a digest, only the digest of
//! the signed part is kept until then; a CRL of a million entries then needs 64 octets for it. Ed25519 signs the
//! message, so there the signed part stays in memory.

use std::sync::{PoisonError, RwLock};

use aws_lc_rs::digest::{Context, Digest};

use crate::path::signature::{self, PublicKey, SignatureError, SignaturePolicy};

/// The most cached outcomes. One CRL has one signer. Other keys of the same name come from key roll-over and from
/// clients, which present certificates; policies come from the profiles that name the CRL. A lost outcome costs only
/// time: an outcome is used only for a caller that supplies the key.
const MAX_REMEMBERED_OUTCOMES: usize = 16;

/// A signature and what it is over.
pub(super) struct Signed {
    algorithm: Box<[u8]>,
    signature: Box<[u8]>,
    message: SignedPart,
    known: RwLock<Vec<RememberedOutcome>>,
}

/// The kept form of the signed part.
pub(super) enum SignedPart {
    /// Its digest, which is what the algorithm signs.
    Digest(Digest),
    /// All of it.
    Whole(Box<[u8]>),
}

/// A signed part that arrives in pieces.
pub(super) enum SignedPieces {
    /// Its algorithm signs a digest.
    Digest(Context),
    /// Its algorithm signs all of it.
    Whole(Vec<u8>),
}

impl std::fmt::Debug for SignedPieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedPieces").finish_non_exhaustive()
    }
}

impl SignedPieces {
    /// `algorithm` is the DER AlgorithmIdentifier.
    pub(super) fn new(algorithm: &[u8]) -> Self {
        signature::digest_algorithm(algorithm)
            .map_or_else(|| Self::Whole(Vec::new()), |hash| Self::Digest(Context::new(hash)))
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, octets: &[u8]) {
        match self {
            Self::Digest(context) => context.update(octets),
            Self::Whole(whole) => whole.extend_from_slice(octets),
        }
    }

    /// Ends the signed part.
    pub(super) fn finish(self) -> SignedPart {
        match self {
            Self::Digest(context) => SignedPart::Digest(context.finish()),
            Self::Whole(whole) => SignedPart::Whole(whole.into()),
        }
    }
}

struct RememberedOutcome {
    spki: Box<[u8]>,
    policy: SignaturePolicy,
    outcome: Result<(), SignatureError>,
}

impl Signed {
    /// The signature.
    pub(super) fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// `algorithm` is the DER AlgorithmIdentifier.
    pub(super) fn new(algorithm: &[u8], signature: &[u8], message: SignedPart) -> Self {
        Self { algorithm: algorithm.into(), signature: signature.into(), message, known: RwLock::default() }
    }

    /// Verifies the signature by the key in the DER SubjectPublicKeyInfo `spki`, once for each key.
    pub(super) fn verify(&self, spki: &[u8], policy: &SignaturePolicy) -> Result<(), SignatureError> {
        // A poisoned lock holds the outcomes cached before the panic; none is partially written.
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| *known.spki == *spki && known.policy == *policy) {
            return known.outcome.clone();
        }
        drop(known);
        let outcome = PublicKey::parse(spki).and_then(|key| match &self.message {
            SignedPart::Digest(digest) => key.verify_digest(&self.algorithm, digest, &self.signature, policy),
            SignedPart::Whole(message) => key.verify(&self.algorithm, message, &self.signature, policy),
        });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|k| *k.spki == *spki && k.policy == *policy) {
            return outcome;
        }
        if known.len() >= MAX_REMEMBERED_OUTCOMES {
            // Clients that present certificates, and authors of profiles, can make any number of keys that fail. Such
            // keys never displace one that verifies, and one that verifies always gets a place.
            match known.iter().position(|known| known.outcome.is_err()) {
                Some(failed) => drop(known.remove(failed)),
                None if outcome.is_ok() => drop(known.remove(0)),
                None => return outcome,
            }
        }
        known.push(RememberedOutcome { spki: spki.into(), policy: *policy, outcome: outcome.clone() });
        outcome
    }

    /// Whether the outcome of this key is cached.
    pub(super) fn has_tried(&self, spki: &[u8], policy: &SignaturePolicy) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|known| *known.spki == *spki && known.policy == *policy)
    }

    /// Octets that are still to be hashed.
    pub(super) fn octets(&self) -> usize {
        match &self.message {
            SignedPart::Digest(_) => 0,
            SignedPart::Whole(message) => message.len(),
        }
    }

    /// Octets kept for the signature.
    pub(super) fn memory(&self) -> usize {
        let message = match &self.message {
            SignedPart::Digest(_) => 0,
            SignedPart::Whole(message) => message.len(),
        };
        self.algorithm.len().saturating_add(self.signature.len()).saturating_add(message)
    }
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{self as lc, KeyPair as _};

    use super::*;

    #[test]
    fn a_bounded_number_of_keys_is_remembered_each_once_a_policy() {
        let signed = Signed::new(&[1, 2], &[3], SignedPart::Whole(b"text".as_slice().into()));
        let policy = SignaturePolicy::default();
        let other = SignaturePolicy { minimum_rsa_bits: policy.minimum_rsa_bits + 1, ..policy };
        let keys = || signed.known.read().unwrap().iter().map(|known| known.spki[0]).collect::<Vec<_>>();
        for (key, policy) in [(0, &policy), (0, &policy), (0, &other), (0, &other), (1, &policy)] {
            assert!(signed.verify(&[key], policy).is_err());
        }
        assert_eq!(keys(), [0, 0, 1]);
        (0..100).for_each(|key| drop(signed.verify(&[key], &policy)));
        assert_eq!(keys().len(), MAX_REMEMBERED_OUTCOMES);
        assert_eq!(signed.memory(), 2 + 1 + 4);
    }

    #[test]
    fn keys_that_fail_displace_none_that_verifies() {
        let pair = lc::Ed25519KeyPair::generate().unwrap();
        let prefix = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
        let spki = [&prefix, pair.public_key().as_ref()].concat();
        let message = SignedPart::Whole(b"text".as_slice().into());
        let signed = Signed::new(&[0x30, 5, 6, 3, 0x2b, 0x65, 0x70], pair.sign(b"text").as_ref(), message);
        let policy = |n| SignaturePolicy { minimum_rsa_bits: 2048 + n, ..SignaturePolicy::default() };
        let length = || signed.known.read().unwrap().len();
        let most = MAX_REMEMBERED_OUTCOMES as u32;
        for n in 0..most {
            assert!(!signed.has_tried(&spki, &policy(n)));
            assert_eq!(signed.verify(&spki, &policy(n)), Ok(()));
            assert!(signed.has_tried(&spki, &policy(n)));
        }
        assert!(signed.verify(&[0], &policy(0)).is_err());
        assert!(!signed.has_tried(&[0], &policy(0)), "there is no place for it");
        assert!((0..most).all(|n| signed.has_tried(&spki, &policy(n))));
        assert_eq!(signed.verify(&spki, &policy(most)), Ok(()));
        assert!(signed.has_tried(&spki, &policy(most)) && !signed.has_tried(&spki, &policy(0)));
        assert_eq!(length(), MAX_REMEMBERED_OUTCOMES);
    }
}
