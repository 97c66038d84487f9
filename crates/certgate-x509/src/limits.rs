//! The largest inputs that the crate reads. Every parser rejects larger ones before it reads on.
//!
//! Lengths are in octets. [`Budget`](crate::Budget) bounds the work of a search for a path.

/// The longest certificate that [`Certificate::from_der`](crate::Certificate::from_der) parses, in octets of DER: 1
/// MiB. Certificates in use have one to three kilobytes; the longest of public test suites, with thousands of name
/// constraints, have a few hundred.
pub const MAX_CERTIFICATE: usize = 1 << 20;

/// The longest certificate that a proxy may forward in a header ([`encoding::pem`](crate::encoding::pem) and
/// [`encoding::base64`](crate::encoding::base64)), in octets of DER: 16 KiB.
///
/// Client certificates have one to four kilobytes; an ML-DSA-87 certificate (FIPS 204: a key of 2,592 and a signature
/// of 4,627 octets) has about eight. Twice that leaves room for many names and still fits one TLS record.
pub const MAX_FORWARDED_CERTIFICATE: usize = 16 * 1024;

/// The longest certificate in a configured PEM text ([`encoding::bundle`](crate::encoding::bundle)), in octets of DER:
/// 256 KiB. CA certificates of large public key infrastructures carry long lists of name constraints.
pub const MAX_CONFIGURED_CERTIFICATE: usize = 256 * 1024;

/// The longest configured text with certificates, in octets: 4 MiB, four times what a ConfigMap or Secret can hold.
pub const MAX_CERTIFICATE_TEXT: usize = 4 * 1024 * 1024;

/// The most certificates in one configured text. Public root programmes have about 150.
pub const MAX_CERTIFICATES_IN_TEXT: usize = 1_500;

/// The longest CRL, in octets of DER: 256 MiB. The largest public ones have some 40 MB and a million entries.
pub const MAX_CRL: usize = 256 << 20;

/// The longest text with CRLs, in octets: 384 MiB, the base64 of a CRL of [`MAX_CRL`] with its line breaks.
pub const MAX_CRL_TEXT: usize = 384 * 1024 * 1024;

/// The most CRLs in one text. The largest public CAs split theirs into some hundred.
pub const MAX_CRLS_IN_TEXT: usize = 4_096;

/// The longest OCSP response, in octets of DER: 1 MiB. Responses in use have one to five kilobytes.
pub const MAX_OCSP_RESPONSE: usize = 1 << 20;

/// The longest nonce in an OCSP request or response, in octets (RFC 9654 section 2.1; 32 random ones are recommended).
pub const MAX_OCSP_NONCE: usize = 128;

/// The most extensions in one certificate. Certificates in use have about ten.
pub const MAX_CERTIFICATE_EXTENSIONS: usize = 128;

/// The most policies, mappings or key purposes in one extension.
pub const MAX_OIDS_IN_EXTENSION: usize = 4096;

/// The most attributes in one distinguished name. RFC 5280 sets no limit; names in use have fewer than 20.
pub const MAX_NAME_ATTRIBUTES: usize = 256;

/// The most distribution points in one extension, and names in one of them. Certificates in use have up to five.
pub const MAX_DISTRIBUTION_POINTS: usize = 256;

/// The most octets of a certificate's serial number (RFC 5280 section 4.1.2.2), its sign octet included.
pub const MAX_SERIAL_NUMBER: usize = 20;
