//! One certificate against anchors, CRLs and OCSP responses: path validation and revocation put together.

use std::sync::Arc;

use crate::certificate::Certificate;
use crate::error_kind::ErrorKind;
use crate::path::{self, Budget, PathParameters, Pool, Rejection, ValidPath};
use crate::revocation::{self, Helpers, RevocationData, RevocationOutcome, RevocationPolicy};
use crate::time::UnixTime;
use crate::trace::Trace;

/// What is asked about a certificate.
#[derive(Debug)]
pub struct Question {
    /// The certificate.
    pub leaf: Arc<Certificate>,
    /// Anchors and trusted helpers.
    pub pool: Pool,
    /// Certificates that help to build the path.
    pub untrusted: Vec<Arc<Certificate>>,
    /// CRLs and OCSP responses.
    pub data: RevocationData,
    /// What a path must fulfil.
    pub path: PathParameters,
    /// What revocation must show.
    pub revocation: RevocationPolicy,
}

/// A certificate that fulfils what was asked.
#[derive(Debug)]
pub struct Valid {
    /// The path.
    pub path: ValidPath,
    /// The last second at which that holds, as far as certificates and revocation data tell.
    pub valid_until: UnixTime,
    /// What is not known about revocation and was let pass.
    pub warnings: Vec<String>,
}

/// Why it does not.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// What was compared, and the path it belongs to.
    pub detail: String,
    /// The path that got farthest, the leaf first; what is known of it.
    pub path: Vec<Arc<Certificate>>,
}

impl Question {
    /// Answers the question for the time `now`.
    pub fn answer<T: Trace>(&self, now: UnixTime, trace: &mut T) -> Result<Valid, Invalid> {
        let helpers = Helpers { pool: &self.pool, presented: &self.untrusted };
        let budget = Budget::default();
        let check = |found: &ValidPath, trace: &mut T| -> Result<RevocationOutcome, Rejection> {
            let (data, policy, path) = (&self.data, &self.revocation, found.certificates());
            revocation::check_path_within(&budget, data, policy, path, helpers, now, trace)
                .map_err(|failure| Rejection { kind: failure.status.kind(), detail: failure.to_string() })
        };
        match path::find_within(&budget, &self.leaf, &self.untrusted, &self.pool, &self.path, now, trace, check) {
            Ok((path, outcome)) => {
                let until = path.valid_until();
                let valid_until = outcome.valid_until.map_or(until, |revocation| revocation.min(until));
                Ok(Valid { path, valid_until, warnings: outcome.warnings })
            }
            Err(failure) => Err(Invalid { kind: failure.kind(), detail: failure.explain(), path: failure.path }),
        }
    }
}
