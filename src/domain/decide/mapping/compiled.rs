//! A mapping object as decisions use it.

use super::key::NameKey;
use crate::domain::api::{FieldError, MappingState};
use crate::domain::decide::identity::Identity;
use certgate_x509::Sha256;

/// A compiled `CertificateMapping`, or the readable part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledMapping {
    /// The name of the certificate, if it can be read.
    pub key: Option<NameKey>,
    /// SHA-256 of the key of an inline certificate.
    pub public_key: Option<Sha256>,
    /// The identity of the certificate; empty when there are errors.
    pub identity: Identity,
    /// Whether the mapping is in force.
    pub state: MappingState,
    /// All errors.
    pub errors: Vec<FieldError>,
}
