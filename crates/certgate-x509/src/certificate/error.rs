//! Why bytes are not a certificate.

use thiserror::Error;

use crate::der::DerError;
use crate::general_name::GeneralNameError;
use crate::limits::{MAX_CERTIFICATE, MAX_CERTIFICATE_EXTENSIONS, MAX_OIDS_IN_EXTENSION, MAX_SERIAL_NUMBER};
use crate::name::NameError;
use crate::time::UnixTime;

/// The version field (RFC 5280 section 4.1.2.1).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the versions")]
pub enum Version {
    V1,
    V2,
    V3,
}

/// Why bytes are not a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Longer than [`MAX_CERTIFICATE`].
    #[error("certificate of {length} octets: at most {MAX_CERTIFICATE} are parsed")]
    TooLong {
        /// The length found.
        length: usize,
    },
    /// The encoding is not DER, or not of the expected type.
    #[error("{field}: {source}")]
    Der {
        /// The field of the certificate.
        field: &'static str,
        /// What is wrong with it.
        source: DerError,
    },
    /// A version other than 1, 2 and 3, or an encoded default.
    #[error("version {0} is not 2 (v2) or 3 (v3); v1 is not encoded")]
    Version(u32),
    /// A field that the certificate's version does not have.
    #[error("{field} in a certificate of version {version:?}")]
    NotInVersion {
        /// The field.
        field: &'static str,
        /// The version.
        version: Version,
    },
    /// A serial number is negative.
    #[error("serial number is negative (first octet 0x{first:02x})")]
    NegativeSerial {
        /// The first content octet.
        first: u8,
    },
    /// A serial number has more octets than RFC 5280 allows.
    #[error("serial number of {0} octets: at most {MAX_SERIAL_NUMBER}")]
    LongSerial(usize),
    /// The signature algorithms outside and inside the signed part differ.
    #[error("signature algorithm {outer} outside the signed part, {inner} inside")]
    AlgorithmMismatch {
        /// Of the outer field, hexadecimal DER.
        outer: String,
        /// Of the inner field, hexadecimal DER.
        inner: String,
    },
    /// The validity ends before it begins.
    #[error("notBefore {not_before} is after notAfter {not_after}")]
    Validity {
        /// The first valid second.
        not_before: UnixTime,
        /// The last valid second.
        not_after: UnixTime,
    },
    /// Subject or issuer is malformed.
    #[error("{field}: {source}")]
    Name {
        /// `subject` or `issuer`.
        field: &'static str,
        /// What is wrong with it.
        source: NameError,
    },
    /// RFC 5280 4.1.2.4: the issuer is not empty.
    #[error("the issuer is empty")]
    EmptyIssuer,
    /// RFC 5280 4.2: an extension appears twice.
    #[error("extension {oid} appears twice")]
    DuplicateExtension {
        /// Its dotted type.
        oid: String,
    },
    /// More than [`MAX_CERTIFICATE_EXTENSIONS`].
    #[error("more than {MAX_CERTIFICATE_EXTENSIONS} extensions")]
    TooManyExtensions,
    /// A decoded extension is malformed.
    #[error("extension {oid}: {problem}")]
    Extension {
        /// Its dotted type.
        oid: String,
        /// What is wrong with it.
        problem: ExtensionProblem,
    },
}

/// What is wrong with an extension.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ExtensionProblem {
    #[error("{0}")]
    Der(#[from] DerError),
    #[error("{0}")]
    GeneralName(#[from] GeneralNameError),
    #[error("an issuer without a serial number, or the reverse")]
    HalfIssuerSerial,
    #[error("a policy appears twice")]
    DuplicatePolicy,
    #[error("more than {MAX_OIDS_IN_EXTENSION} entries")]
    TooMany,
    #[error("a subtree with a minimum or maximum")]
    SubtreeDistance,
    #[error("an address range of {0} octets: want 8 or 32")]
    AddressRange(usize),
    #[error("an address mask whose ones are not all at its front")]
    AddressMask,
}
