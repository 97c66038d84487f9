//! The reason code of what the engine reports: the one place where its errors get one.

use certgate_x509::{ErrorKind, Rejection};

use super::Reason;

impl Reason {
    /// The refusal of a path that is valid, for [`certgate_x509::find_path`].
    pub fn reject(self, detail: String) -> Rejection {
        Rejection { kind: ErrorKind::Rejected(self as u32), detail }
    }
}

impl From<ErrorKind> for Reason {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Malformed => Self::CertMalformed,
            ErrorKind::NotYetValid => Self::CertNotYetValid,
            ErrorKind::Expired => Self::CertExpired,
            ErrorKind::Untrusted => Self::CertUntrusted,
            ErrorKind::Signature => Self::SignatureInvalid,
            ErrorKind::NameConstraint => Self::NameConstraint,
            ErrorKind::KeyPurpose => Self::EkuNotPermitted,
            ErrorKind::Revoked => Self::CertRevoked,
            ErrorKind::StatusUnknown => Self::RevocationUnknown,
            ErrorKind::StatusStale => Self::RevocationStale,
            ErrorKind::Rejected(code) => {
                let row = usize::try_from(code).ok().and_then(|at| Self::ALL.get(at));
                row.map_or(Self::Internal, |row| row.reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_gives_its_reason_back() {
        for row in Reason::ALL {
            assert_eq!(Reason::from(row.reason.reject("words".to_owned()).kind), row.reason);
        }
        assert_eq!(Reason::from(ErrorKind::Rejected(999)), Reason::Internal);
    }
}
