//! The `disallowed` list of a profile: certificates and keys that are rejected wherever they appear on a path.

use std::collections::HashSet;

use certgate_x509::{Certificate, Sha256, public_key_fingerprints};

/// The certificates and keys that are refused.
#[derive(Debug, Default)]
pub struct Disallowed {
    certificates: HashSet<Sha256>,
    keys: HashSet<Sha256>,
}

impl Disallowed {
    /// Refuses certificates by the SHA-256 of their DER, and keys by that of their DER SubjectPublicKeyInfo.
    pub fn new(certificates: HashSet<Sha256>, keys: HashSet<Sha256>) -> Self {
        Self { certificates, keys }
    }

    /// Whether nothing is refused.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.keys.is_empty()
    }

    /// Whether a key is refused, given as a DER SubjectPublicKeyInfo.
    pub(super) fn holds_key(&self, spki: &[u8]) -> bool {
        !self.keys.is_empty()
            && public_key_fingerprints(spki).is_none_or(|names| names.iter().any(|name| self.keys.contains(name)))
    }

    /// What of a certificate is refused, in words; `None` when nothing is.
    ///
    /// A certificate counts by either form of its signature, a key in every encoding: whoever has the one can make the
    /// other. A key whose other encodings cannot be told is refused where any key is; no path is valid with one.
    pub fn of(&self, certificate: &Certificate) -> Option<String> {
        if !self.certificates.is_empty() && certificate.aliases().any(|sha256| self.certificates.contains(&sha256)) {
            return Some(format!("SHA-256 {} is disallowed", certificate.sha256()));
        }
        if self.keys.is_empty() {
            return None;
        }
        match certificate.public_key_fingerprints() {
            Some(names) => names
                .iter()
                .any(|name| self.keys.contains(name))
                .then(|| format!("its public key is disallowed (publicKeySha256 {})", certificate.public_key_sha256())),
            None => Some("its public key is encoded so that it cannot be compared with disallowed ones".to_owned()),
        }
    }
}
