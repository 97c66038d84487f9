//! A CRL with the signer that was verified under one set of trust anchors.

use std::sync::{Arc, OnceLock};

use crate::path::{SignatureError, SignaturePolicy};

use super::crl::Crl;

/// A CRL with the signer that was verified here, if any. Other sets of trust anchors may share the CRL itself; a signer
/// verified under their anchors proves nothing under these.
#[derive(Debug)]
pub(super) struct CrlWithSigner {
    crl: Arc<Crl>,
    signer: OnceLock<Signer>,
}

/// A key that verifies a CRL, of a certificate that may sign it.
#[derive(Debug)]
struct Signer {
    /// The DER SubjectPublicKeyInfo.
    spki: Box<[u8]>,
    /// The policy under which the signature was verified.
    policy: SignaturePolicy,
}

impl CrlWithSigner {
    pub(super) fn new(crl: Arc<Crl>) -> Self {
        Self { crl, signer: OnceLock::new() }
    }

    pub(super) fn crl(&self) -> &Arc<Crl> {
        &self.crl
    }

    /// Records that the key in `spki`, of a certificate that may sign the CRL, verifies it under `policy`. The first
    /// record stays.
    pub(super) fn record_signer(&self, spki: &[u8], policy: &SignaturePolicy) {
        self.signer.get_or_init(|| Signer { spki: spki.into(), policy: *policy });
    }

    /// Records the signer that `other`, the same CRL, has.
    pub(super) fn adopt_signer(&self, other: &Self) {
        if let Some(signer) = other.signer.get() {
            self.record_signer(&signer.spki, &signer.policy);
        }
    }

    /// Whether the key in `spki` is the recorded signer: a comparison, without a lock.
    pub(super) fn has_signer(&self, spki: &[u8], policy: &SignaturePolicy) -> bool {
        self.signer.get().is_some_and(|signer| *signer.spki == *spki && signer.policy == *policy)
    }

    /// The DER SubjectPublicKeyInfo of the recorded signer.
    pub(super) fn signer_key(&self) -> Option<&[u8]> {
        self.signer.get().map(|signer| &*signer.spki)
    }

    /// Verifies the CRL by the key in `spki`.
    pub(super) fn verify(&self, spki: &[u8], policy: &SignaturePolicy) -> Result<(), SignatureError> {
        if self.has_signer(spki, policy) { Ok(()) } else { self.crl.verify(spki, policy) }
    }

    /// Whether a signer is recorded and its signature is valid under `policy`, which may have changed since.
    pub(super) fn is_verified(&self, policy: &SignaturePolicy) -> bool {
        self.signer_key().is_some_and(|spki| self.verify(spki, policy).is_ok())
    }
}
