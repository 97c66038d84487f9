//! Whether the issuer that a mapping names is the CA that issued the certificate.
//!
//! A name alone does not prove that: any CA below a trust anchor may have certified another CA under the same name, and
//! may issue leaves with the same serial numbers. So the issuer is taken from the validated path. Its key must be known
//! by a hash in the mapping, or because the trust profile holds that key, and no other, under that name.

use std::sync::Arc;

use super::key::IssuerPin;
use crate::domain::decide::verifier::{CertificateVerifier, IssuerKey};
use certgate_x509::{Certificate, Sha256};

/// The issuer of a certificate, as path validation found it.
#[derive(Copy, Clone, Debug)]
pub struct PathIssuer<'a> {
    certificate: Option<&'a Arc<Certificate>>,
    presented: &'a [Arc<Certificate>],
    profile: &'a CertificateVerifier,
}

/// Whether an issuer's name in a mapping means the CA on the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It means the CA that issued the certificate.
    Bound,
    /// It means another CA of that name.
    Other,
    /// It names a CA certificate that is neither configured nor presented, so its key is unknown. It may be another
    /// certificate of the CA that issued the leaf.
    Unproven,
    /// Only the name matches, for this reason.
    Weak(String),
}

impl<'a> PathIssuer<'a> {
    /// The issuer on `path`, which `profile` has validated; `presented` are the certificates that the client sent
    /// along.
    pub fn new(
        path: &'a [Arc<Certificate>],
        presented: &'a [Arc<Certificate>],
        profile: &'a CertificateVerifier,
    ) -> Self {
        Self { certificate: path.get(1), presented, profile }
    }

    /// Whether a mapping with the issuer's name and this pin means the issuer on the path.
    pub fn binding(&self, pin: Option<IssuerPin>) -> Binding {
        let Some(issuer) = self.certificate else {
            return Binding::Weak("the certificate is a trusted peer: no path shows who issued it".to_owned());
        };
        let (name, key) = (issuer.subject(), issuer.public_key_sha256());
        match pin {
            Some(IssuerPin::PublicKey(sha256)) if sha256 == key => Binding::Bound,
            // The same key in another encoding is the same CA; some keys cannot be compared.
            Some(IssuerPin::PublicKey(sha256)) => match issuer.public_key_fingerprints() {
                Some(names) if names.contains(&sha256) => Binding::Bound,
                Some(_) => Binding::Other,
                None => Binding::Unproven,
            },
            Some(IssuerPin::Certificate(sha256)) => self.certified(issuer, sha256),
            None => match self.profile.issuer_key(issuer) {
                IssuerKey::Known => Binding::Bound,
                IssuerKey::Ambiguous => Binding::Weak(format!(
                    "the trust profile holds more than one key under the name {name}: give issuerPublicKeySha256 ({key})"
                )),
                IssuerKey::Unknown => Binding::Weak(format!(
                    "the trust profile does not hold the certificate of the issuing CA {name}: list it in intermediates, \
                     or give issuerPublicKeySha256 ({key})"
                )),
            },
        }
    }

    /// Resolves a pin to one certificate of a CA. A CA may have several certificates, and each path shows one: another
    /// known certificate with the issuer's name and key is accepted. The client chooses which one the path shows and
    /// which ones it presents, so an unknown certificate proves nothing.
    fn certified(&self, issuer: &Arc<Certificate>, wanted: Sha256) -> Binding {
        let mut known = self.profile.named(issuer.subject()).chain(self.presented).chain([issuer]);
        let Some(pinned) = known.find(|found| found.aliases().any(|sha256| sha256 == wanted)) else {
            return Binding::Unproven;
        };
        if pinned.subject() != issuer.subject() {
            return Binding::Other;
        }
        match (pinned.public_key_fingerprints(), issuer.public_key_fingerprints()) {
            _ if pinned.public_key() == issuer.public_key() => Binding::Bound,
            (Some(pinned), Some(issuer)) if pinned.iter().any(|name| issuer.contains(name)) => Binding::Bound,
            (Some(_), Some(_)) => Binding::Other,
            _ => Binding::Unproven,
        }
    }
}
