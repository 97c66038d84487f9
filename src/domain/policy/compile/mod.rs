//! From what an operator wrote to what decides: every kind compiled, or all its errors at once with their fields.
//!
//! The file source, the watch, admission, `check` and `explain` all end here, so they cannot disagree. Compiling looks at
//! one object by itself. Where an object does not compile, the parts that still can be read are kept, because an invalid
//! policy denies the requests that it selects and an invalid mapping the certificate that it names.
//!
//! A trust profile has one step more, since its certificates and CRLs come from elsewhere:
//!
//! 1. [`TrustProfileSpec`](crate::domain::api::TrustProfileSpec), as written;
//! 2. [`CompiledProfile`], checked, with its sources named ([`trust_profile`]);
//! 3. [`ResolvedProfile`](crate::domain::decide::resolved_profile::ResolvedProfile), its sources joined
//!    ([`CompiledProfile::resolve`]), ready to verify certificates.
//!
//! Not owned here: whether what an object refers to exists, and reading sources; both are the wing `store`'s.

mod certificate_name;
mod evidence;
mod identity;
mod mapping;
mod matches;
mod metadata;
mod policy;
mod requirements;
mod resolve;
mod response;
mod revocation;
mod source;
mod trust;

#[cfg(test)]
mod tests;

use crate::domain::api::{Field, FieldError, Report};

pub use certificate_name::MAX_KEY;
pub use identity::MAX_IDENTITY_TEXT;
pub use mapping::{certificate_mapping, mapping as mapping_section};
pub use metadata::metadata;
pub use policy::{certificate_policy, unreadable_match};
pub use requirements::{MAXIMUM_RSA_BITS, MINIMUM_RSA_BITS, Requirements, WEAKEST_RSA_BITS};
pub use resolve::{LoadedSource, NOT_READ, ProfileSources, Resolution, SourceContent};
pub use revocation::CompiledRevocation;
pub use source::{
    BundleName, CertificateFilter, CertificateSource, Role, SourceRef, UsableCertificates,
    certificates as pem_certificates,
};
pub use trust::{CompiledProfile, trust_profile};

/// The most trust sources in one list. A union of more is better kept in one bundle.
pub const MAX_SOURCES: usize = 64;

/// The most fingerprints in one list: room for every CA of a large PKI, little enough for one object of Kubernetes.
pub const MAX_HASHES: usize = 10_000;

/// The most certificate policies that a profile may name.
pub const MAX_POLICIES: usize = 64;

/// The most entries in `match`, as Gateway API allows in a rule.
pub const MAX_MATCHES: usize = 64;

/// The most routes that `match` may expand to: hosts times paths, added up. Each takes about 100 bytes of a snapshot.
pub const MAX_ROUTES: usize = 4096;

/// The most places to look for a certificate; there are three kinds.
pub const MAX_EVIDENCE: usize = 8;

/// The most one-to-one entries of a policy: what fits into one object of Kubernetes. More belong into
/// CertificateMapping objects.
pub const MAX_ONE_TO_ONE: usize = 10_000;

/// The most rules of a policy. They are tried one after the other.
pub const MAX_RULES: usize = 1000;

/// The most parts of one rule.
pub const MAX_RULE_PARTS: usize = 32;

/// The longest text of an operator that is compared with a certificate: a pattern, a URI, a user principal name.
pub const MAX_TEXT: usize = 2048;
