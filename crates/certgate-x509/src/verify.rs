//! One certificate against anchors, CRLs and OCSP responses: path validation and revocation checking together.

use std::fmt;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::error_kind::ErrorKind;
use crate::path::{self, Budget, PathParameters, Pool, Rejection, ValidPath};
use crate::revocation::{self, RevocationData, RevocationOutcome, RevocationPolicy, SignerCandidates};
use crate::time::UnixTime;
use crate::trace::Trace;

/// A certificate, and everything that it is verified with.
#[derive(Debug)]
pub struct Verification {
    /// The certificate.
    pub leaf: Arc<Certificate>,
    /// Trust anchors, and intermediates that are trusted to be what they seem.
    pub pool: Pool,
    /// Certificates that help to build the path and are trusted for nothing, such as those a TLS client presented.
    pub untrusted: Vec<Arc<Certificate>>,
    /// CRLs and OCSP responses.
    pub data: RevocationData,
    /// What a path must fulfil.
    pub path: PathParameters,
    /// Which certificates must be shown not to be revoked, and by data of what age.
    pub revocation: RevocationPolicy,
}

/// A verified certificate.
#[derive(Debug)]
pub struct Verified {
    /// The path from the certificate to a trust anchor.
    pub path: ValidPath,
    /// The last second at which the verification still holds, by the dates of certificates, CRLs and responses.
    pub valid_until: UnixTime,
    /// Unknown revocation statuses that [`OnUnknown::Allow`](crate::OnUnknown::Allow) let pass.
    pub warnings: Vec<String>,
}

/// Why a certificate is not verified.
#[derive(Clone, Debug)]
pub struct VerificationFailure {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The rule that is broken with the values compared, and the path.
    pub detail: String,
    /// The path that got farthest, as far as it was built, the leaf first.
    pub path: Vec<Arc<Certificate>>,
}

impl fmt::Display for VerificationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for VerificationFailure {}

impl Verification {
    /// Verifies the certificate at the time `now`: RFC 5280 section 6.1 with revocation by section 6.3 and RFC 6960.
    ///
    /// # Errors
    ///
    /// The failure of the path that got farthest; [`VerificationFailure::kind`] says which rule it broke.
    pub fn verify<T: Trace>(&self, now: UnixTime, trace: &mut T) -> Result<Verified, VerificationFailure> {
        let helpers = SignerCandidates { pool: &self.pool, presented: &self.untrusted };
        let budget = Budget::default();
        let check = |found: &ValidPath, trace: &mut T| -> Result<RevocationOutcome, Rejection> {
            let (data, policy, path) = (&self.data, &self.revocation, found.certificates());
            revocation::check_revocation_within(&budget, data, policy, path, helpers, now, trace)
                .map_err(|failure| Rejection { kind: failure.status.kind(), detail: failure.to_string() })
        };
        match path::find_path_within(&budget, &self.leaf, &self.untrusted, &self.pool, &self.path, now, trace, check) {
            Ok((path, outcome)) => {
                let until = path.valid_until();
                let valid_until = outcome.valid_until.map_or(until, |revocation| revocation.min(until));
                Ok(Verified { path, valid_until, warnings: outcome.warnings })
            }
            Err(failure) => {
                Err(VerificationFailure { kind: failure.kind(), detail: failure.explain(), path: failure.path })
            }
        }
    }
}
