//! The engine's verdict, with the settings that the other verifiers have too.

use std::sync::Arc;

use certgate_x509::{
    Certificate, Crl, ErrorKind, Freshness, KeyPurpose, MaxAge, NoTrace, OnUnknown, PathParameters, Pool,
    RevocationData, RevocationMode, RevocationPolicy, RevocationScope, SignaturePolicy, UsageRule, Verification,
};

use crate::der::NOW;
use crate::scene::Inputs;

/// What cannot be parsed is not used, as by `certgate verify --batch`; a leaf that cannot be is refused.
pub fn judge(inputs: &Inputs, leaf: &[u8]) -> Result<(), (ErrorKind, String)> {
    let leaf = Certificate::from_der(leaf.to_vec()).map_err(|error| (ErrorKind::Malformed, error.to_string()))?;
    let certificates = |list: &[Vec<u8>]| -> Vec<Arc<Certificate>> {
        list.iter().filter_map(|der| Certificate::from_der(der.clone()).ok()).map(Arc::new).collect()
    };
    let crls = inputs.crls.iter().filter_map(|der| Crl::from_der(der.clone()).ok()).map(Arc::new);
    let question = Verification {
        leaf: Arc::new(leaf),
        pool: Pool::new(certificates(&inputs.anchors), []),
        untrusted: certificates(&inputs.untrusted),
        data: RevocationData::new(crls),
        path: PathParameters {
            usage: UsageRule::Permitted(KeyPurpose::ClientAuth),
            policies: inputs.policies(),
            ..PathParameters::default()
        },
        revocation: RevocationPolicy {
            mode: if inputs.crls.is_empty() { RevocationMode::NoCheck } else { RevocationMode::Offline },
            scope: RevocationScope::ExcludeRoot,
            on_unknown: OnUnknown::Deny,
            freshness: Freshness { max_age: MaxAge::NextUpdate, clock_skew: 0 },
            signatures: SignaturePolicy::default(),
        },
    };
    question.verify(NOW, &mut NoTrace).map(|_| ()).map_err(|invalid| (invalid.kind, invalid.detail))
}

/// What a refusal is about, as far as verifiers can be compared on it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Time,
    Signature,
    NameConstraints,
    Usage,
    Revoked,
    /// The status is not known.
    Status,
    /// Trust and form, which verifiers cut up in ways of their own.
    Other,
}

/// The class of a reason code.
pub fn class(reason: ErrorKind) -> Class {
    match reason {
        ErrorKind::Expired | ErrorKind::NotYetValid => Class::Time,
        ErrorKind::Signature => Class::Signature,
        ErrorKind::NameConstraint => Class::NameConstraints,
        ErrorKind::KeyPurpose => Class::Usage,
        ErrorKind::Revoked => Class::Revoked,
        ErrorKind::StatusUnknown | ErrorKind::StatusStale => Class::Status,
        _ => Class::Other,
    }
}
