//! What a profile knows about issuers by their names.

use std::sync::Arc;

use super::{CertificateVerifier, TrustMode};
use certgate_x509::{Certificate, Name};

/// What a profile itself knows about the key of an issuer, going by the issuer's name.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum IssuerKey {
    /// The name has this key and no other.
    Known,
    /// Nothing: a client sent the issuer's certificate along.
    Unknown,
    /// The name has other keys as well.
    Ambiguous,
}

impl CertificateVerifier {
    /// The anchors and intermediates.
    pub fn authorities(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.pool.anchors().iter().chain(self.pool.intermediates())
    }

    /// Those of them with this subject.
    pub fn named<'a>(&'a self, name: &Name) -> impl Iterator<Item = &'a Arc<Certificate>> + use<'a> {
        self.pool.named(name)
    }

    /// What the profile knows about the key of `issuer`, the CA above the leaf on a path that it has validated. Only
    /// certificates that an operator has listed and not disallowed count, and of these, where there are issuing
    /// authorities, only them.
    pub fn issuer_key(&self, issuer: &Certificate) -> IssuerKey {
        let (mut is_known, mut has_others) = (false, false);
        for key in self.issuer_keys(issuer.subject().canonical()) {
            match key == issuer.public_key() {
                true => is_known = true,
                false => has_others = true,
            }
        }
        // An issuing authority that is known by its hash alone might have the same name.
        let is_only_authority = self.issuing_authorities.is_some()
            && self.nameless_authorities.iter().all(|nameless| *nameless == issuer.sha256());
        match (has_others, is_known || is_only_authority) {
            (true, _) => IssuerKey::Ambiguous,
            (false, true) => IssuerKey::Known,
            (false, false) => IssuerKey::Unknown,
        }
    }

    /// The keys that [`CertificateVerifier::issuer_key`] knows under a name, given in its canonical form; with doubles.
    pub fn issuer_keys<'a>(&'a self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let listed = self.issuing_authorities.as_ref();
        let counts = move |found: &&Arc<Certificate>| listed.is_none_or(|listed| listed.contains(&found.sha256()));
        self.signers().named_canonical(name).filter(counts).map(|found| found.public_key())
    }

    /// Whether an issuer may be known by its hash alone, so that [`CertificateVerifier::issuer_keys`] cannot find it by
    /// name.
    pub fn has_nameless_authorities(&self) -> bool {
        !self.nameless_authorities.is_empty()
    }

    /// Whether the profile accepts certificates by their paths, and not as peers alone.
    pub fn accepts_chains(&self) -> bool {
        self.mode != TrustMode::Peer
    }
}
