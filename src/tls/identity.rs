//! What a server presents: a certificate chain, and the key of its first certificate.
//!
//! An [`ServerIdentity`] can be made only of a chain and a key that fit each other. Whether clients will believe it is theirs to
//! judge: an expired certificate is one that a server can present.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;

use certgate_x509::{Certificate, CertificateError, Sha256, UnixTime, encoding::bundle, encoding::bundle::BundleError};

/// The longest text with a key that is read. A key of RSA with 16,384 bits has 13 KB.
pub const MAX_KEY_TEXT: usize = 64 * 1024;

/// A certificate chain and its key.
#[derive(Clone)]
pub struct ServerIdentity {
    key: Arc<CertifiedKey>,
    certificate: Arc<Certificate>,
}

/// Why a certificate and a key are not an [`ServerIdentity`].
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The chain is not PEM.
    #[error("{0}")]
    Chain(#[from] BundleError),
    /// One of its certificates is malformed.
    #[error("certificate {number}: {source}")]
    Certificate {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The text with the key is too long.
    #[error("{0} bytes are too many for a private key: at most {MAX_KEY_TEXT}")]
    LongKey(usize),
    /// The key is not PEM.
    #[error("not PEM: {0}")]
    KeyText(pem::Error),
    /// There is no key that can be read.
    #[error(
        "no `-----BEGIN PRIVATE KEY-----` (PKCS#8), `EC PRIVATE KEY` (SEC1) or `RSA PRIVATE KEY` (PKCS#1) block; \
         encrypted keys are not read"
    )]
    NoKey,
    /// There are several keys, so that it is not clear which one is meant.
    #[error("more than one private key")]
    ManyKeys,
    /// The key is of a kind or size that is not served, or malformed.
    #[error("the private key cannot be used: {0}")]
    Key(rustls::Error),
    /// The key is another one's.
    #[error("the private key does not belong to the certificate {subject} with SHA-256 {sha256}: {source}")]
    Mismatch {
        /// The certificate's subject.
        subject: String,
        /// The certificate's fingerprint.
        sha256: Sha256,
        /// What was found.
        source: rustls::Error,
    },
}

/// Which of the two texts an error is about.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The chain.
    Certificate,
    /// The key.
    Key,
    /// That they do not fit.
    Both,
}

impl IdentityError {
    /// Which of the two texts it is about.
    pub fn part(&self) -> Part {
        match self {
            Self::Chain(_) | Self::Certificate { .. } => Part::Certificate,
            Self::LongKey(_) | Self::KeyText(_) | Self::NoKey | Self::ManyKeys | Self::Key(_) => Part::Key,
            Self::Mismatch { .. } => Part::Both,
        }
    }
}

impl ServerIdentity {
    /// Reads PEM: a chain that begins with the server's own certificate, and its key in PKCS#8, SEC1 or PKCS#1.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = bundle::certificates(chain)?;
        let mut certificate = None;
        for (at, der) in chain.iter().enumerate() {
            let parsed = Certificate::from_der(der.clone())
                .map_err(|source| IdentityError::Certificate { number: at + 1, source })?;
            certificate.get_or_insert(parsed);
        }
        let certificate = certificate.ok_or(IdentityError::Chain(BundleError::NoCertificate))?;
        let key = provider().key_provider.load_private_key(read_key(key)?).map_err(IdentityError::Key)?;
        let chain = chain.into_iter().map(|der| CertificateDer::from(Vec::from(der))).collect();
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|source| IdentityError::Mismatch {
            subject: certificate.subject().to_string(),
            sha256: certificate.sha256(),
            source,
        })?;
        Ok(Self { key: Arc::new(key), certificate: Arc::new(certificate) })
    }

    /// The server's own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The last second in which clients accept it.
    pub fn not_after(&self) -> UnixTime {
        self.certificate.not_after()
    }

    /// Chain and key as rustls takes them.
    pub(super) fn certified_key(&self) -> Arc<CertifiedKey> {
        self.key.clone()
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerIdentity").field(&self.certificate.sha256()).finish()
    }
}

/// The one key in a text.
fn read_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    if text.len() > MAX_KEY_TEXT {
        return Err(IdentityError::LongKey(text.len()));
    }
    let mut keys = PrivateKeyDer::pem_slice_iter(text);
    match (keys.next(), keys.next()) {
        (None, _) => Err(IdentityError::NoKey),
        (Some(Err(error)), _) | (_, Some(Err(error))) => Err(IdentityError::KeyText(error)),
        (Some(Ok(key)), None) => Ok(key),
        (Some(Ok(_)), Some(Ok(_))) => Err(IdentityError::ManyKeys),
    }
}

/// The cryptography that is used: that of the process, whatever else is linked in.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
