//! The words of `certgate verify` in place of the fields of a TrustProfile: its own arguments.
//!
//! The table of reasons addresses the author of a policy and a profile. The user of `verify` has written neither.

use crate::domain::decide::reason::Reason;
use crate::explain::ExplainedReason;

/// The row of `reason` for the command line, with what was compared.
pub(super) fn explained(reason: Reason, detail: &str) -> ExplainedReason {
    let mut row = ExplainedReason::new(reason, detail);
    let (meaning, action) = in_arguments(reason);
    if let Some(meaning) = meaning {
        row.meaning = meaning.to_owned();
    }
    if let Some(action) = action {
        row.action = action.to_owned();
    }
    row
}

/// What happened and what to do, for reasons whose row refers to fields.
fn in_arguments(reason: Reason) -> (Option<&'static str>, Option<&'static str>) {
    match reason {
        Reason::CertUntrusted => (
            None,
            Some(
                "Give the issuing CA's root with --trust-anchor and missing CA certificates with --intermediate; see \
                 --max-path-length, --initial-policy and --explicit-policy where the detail names a length or a \
                 policy.",
            ),
        ),
        Reason::SignatureInvalid => (
            None,
            Some(
                "Where the detail names a key or an algorithm, reissue the certificate with a stronger one, or change \
                 --minimum-rsa-bits, --minimum-ecdsa-curve, --signature-algorithm or --sha1; else treat it as forged.",
            ),
        ),
        Reason::EkuNotPermitted => (
            Some("The certificate, or a CA above it, is not for the usage that --usage names."),
            Some("Reissue it for that usage, or give another --usage."),
        ),
        Reason::RevocationUnknown => (
            None,
            Some(
                "Give the CRL of its issuer with --crl, or an OCSP response with --ocsp-response; --revocation none \
                 checks no revocation.",
            ),
        ),
        Reason::RevocationStale => (
            Some("The revocation data that covers a certificate is past its nextUpdate or older than --max-age."),
            Some("Give a newer CRL or OCSP response."),
        ),
        _ => (None, None),
    }
}

/// A finding about a trust anchor.
pub(super) fn finding(text: &str) -> String {
    text.replace("use maxPathLength", "use --max-path-length")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons that a path or revocation can have.
    const OF_VERIFY: [Reason; 10] = [
        Reason::CertMalformed,
        Reason::CertNotYetValid,
        Reason::CertExpired,
        Reason::CertUntrusted,
        Reason::SignatureInvalid,
        Reason::NameConstraint,
        Reason::EkuNotPermitted,
        Reason::CertRevoked,
        Reason::RevocationUnknown,
        Reason::RevocationStale,
    ];

    #[test]
    fn no_answer_names_a_field() {
        for reason in OF_VERIFY {
            let ExplainedReason { meaning, action, .. } = explained(reason, "");
            for text in [meaning, action] {
                assert!(!text.contains('`') && !text.contains("the profile's"), "{reason}: {text}");
            }
        }
    }
}
