//! The stable reason codes of a denial: one enum, one table.
//!
//! Codes are part of the interface: they appear in dynamic metadata, logs and metrics, and operators alert on them.
//! `docs/reasons.md` is printed from [`Reason::ALL`] and a test fails when it drifts.

mod engine;

use std::fmt;

/// Why a request was denied. The variants are in the order in which the checks run.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the table below is the documentation of each code, and the only one")]
pub enum Reason {
    NoPolicy,
    PolicyInvalid,
    PathAmbiguous,
    TrustUnavailable,
    CertRequired,
    ForwardedInvalid,
    CertMalformed,
    CertNotYetValid,
    CertExpired,
    CertDisallowed,
    CertUntrusted,
    SignatureInvalid,
    NameConstraint,
    EkuNotPermitted,
    IssuerNotAuthorized,
    IssuerNotInTrustList,
    CertRevoked,
    RevocationUnknown,
    RevocationStale,
    NoMapping,
    MappingDenied,
    MappingAmbiguous,
    WeakMapping,
    AccountDisabled,
    Internal,
}

/// One row of the table of reasons.
#[derive(Copy, Clone, Debug)]
pub struct ReasonRow {
    /// The reason that the row describes.
    pub reason: Reason,
    /// The stable code, upper snake case.
    pub code: &'static str,
    /// The IIS sub-status that says the same, such as `403.16`; empty when IIS has none.
    pub iis: &'static str,
    /// The HTTP status of the denial unless the policy sets another.
    pub http_status: u16,
    /// What happened, one sentence.
    pub meaning: &'static str,
    /// What the operator does about it, one sentence.
    pub action: &'static str,
}

const fn row(
    reason: Reason,
    code: &'static str,
    iis: &'static str,
    http_status: u16,
    meaning: &'static str,
    action: &'static str,
) -> ReasonRow {
    ReasonRow { reason, code, iis, http_status, meaning, action }
}

#[rustfmt::skip]
const TABLE: [ReasonRow; 25] = [
    row(Reason::NoPolicy, "NO_POLICY", "", 403, "No policy selects the request, or the route names a policy that does not exist; a method such as `post`, which is POST in another case, is selected by none where a policy of the host names methods.", "Add a CertificatePolicy whose match covers the host, path and method, correct the name in the route's context extensions, or correct the client's method."),
    row(Reason::PolicyInvalid, "POLICY_INVALID", "", 403, "The policy or mapping entry that applies to the request does not compile.", "Run `certgate check`, or read the object's status, and correct the fields it names."),
    row(Reason::PathAmbiguous, "PATH_AMBIGUOUS", "404.11", 400, "The request's path can be read in more than one way and a policy of the host selects by path; or another spelling of it (case, dots or blanks at the end of a segment, a slash at the end, what follows a colon, compatibility forms of Unicode) would select another policy.", "Normalize paths at the proxy (Envoy: normalize_path, merge_slashes, escaped slashes rejected) or correct the client; where the upstream tells the spellings apart, write `case: Sensitive` at the path of the other policy."),
    row(Reason::TrustUnavailable, "TRUST_UNAVAILABLE", "", 503, "The trust profile does not exist, or a source of its certificates or CRLs has never been readable in this process.", "Create the TrustProfile, or the ConfigMap, Secret or file that it names, or correct its content."),
    row(Reason::CertRequired, "CERT_REQUIRED", "403.7", 403, "The request carries no client certificate and the policy requires one.", "Send a certificate; check that the proxy requests one and forwards it (include_peer_certificate or XFCC)."),
    row(Reason::ForwardedInvalid, "FORWARDED_INVALID", "400.10", 403, "The forwarded certificate evidence is malformed, contradictory or over its size limit.", "Check which proxy writes the header that the policy's evidence names, and that it replaces what clients send."),
    row(Reason::CertMalformed, "CERT_MALFORMED", "403.16", 403, "The certificate is not acceptable DER or violates the X.509 v3 profile.", "Reissue the certificate with a conforming CA."),
    row(Reason::CertNotYetValid, "CERT_NOT_YET_VALID", "403.17", 403, "The certificate, or a CA certificate of its only path, is not valid yet.", "Wait for notBefore, or correct the clocks of the issuer or of this machine."),
    row(Reason::CertExpired, "CERT_EXPIRED", "403.17", 403, "The certificate, or a CA certificate of its only path, has expired.", "Renew the certificate."),
    row(Reason::CertDisallowed, "CERT_DISALLOWED", "403.16", 403, "The certificate, or a CA certificate of its only path, is on the profile's disallowed list.", "Remove it from `disallowed` if that was not meant."),
    row(Reason::CertUntrusted, "CERT_UNTRUSTED", "403.16", 403, "No path leads from the certificate to a trust anchor, or a CA on the path may not issue it.", "Add the issuing CA's root to `trustAnchors`, missing CA certificates to `intermediates`; see the profile's `requirements` where the detail names a policy or a length; or refuse the client."),
    row(Reason::SignatureInvalid, "SIGNATURE_INVALID", "403.16", 403, "A signature on the path does not verify, or its algorithm or key size is not allowed.", "Where the detail names a key or an algorithm, reissue the certificate with a stronger one, or change the profile's `requirements`; else treat it as forged."),
    row(Reason::NameConstraint, "NAME_CONSTRAINT", "403.16", 403, "A name in the certificate lies outside what a CA on the path may certify.", "Reissue the certificate under a CA whose name constraints permit its names."),
    row(Reason::EkuNotPermitted, "EKU_NOT_PERMITTED", "403.16", 403, "The certificate, or a CA above it, does not list the extended key usage clientAuth.", "Reissue with clientAuth, or relax `requirements.extendedKeyUsage`."),
    row(Reason::IssuerNotAuthorized, "ISSUER_NOT_AUTHORIZED", "403.16", 403, "The CA that issued the certificate is not one of the profile's issuing authorities.", "Add the SHA-256 of the issuing CA's certificate to `issuingAuthorities`."),
    row(Reason::IssuerNotInTrustList, "ISSUER_NOT_IN_TRUST_LIST", "403.16", 403, "No CA of the path is on the profile's trust list.", "Add the SHA-256 of a CA certificate of the path to `trustList`."),
    row(Reason::CertRevoked, "CERT_REVOKED", "403.13", 403, "The certificate, or a CA certificate of its only path, has been revoked.", "Issue a new certificate."),
    row(Reason::RevocationUnknown, "REVOCATION_UNKNOWN", "403.13", 403, "No revocation data covers a certificate of the path.", "Provide the CRL of its issuer, or set `revocation.onUnknown: Allow`."),
    row(Reason::RevocationStale, "REVOCATION_STALE", "403.13", 403, "The revocation data that covers a certificate is past its nextUpdate or older than `maxAge`.", "Refresh the CRL."),
    row(Reason::NoMapping, "NO_MAPPING", "401.1", 403, "The certificate is valid, but nothing maps it to an identity.", "Add a one-to-one entry, a CertificateMapping or a rule for it."),
    row(Reason::MappingDenied, "MAPPING_DENIED", "403.12", 403, "A rule with action Deny is the first that matches the certificate.", "Change the rule, or its place in the order, if that was not meant."),
    row(Reason::MappingAmbiguous, "MAPPING_AMBIGUOUS", "401.2", 403, "More than one identity claims the certificate.", "Leave one entry for the certificate."),
    row(Reason::WeakMapping, "WEAK_MAPPING", "401.2", 403, "The certificate is mapped by `issuerSerial` alone, and nothing but its name says that the mapping's issuer is the CA on the validated path.", "List the issuing CA's certificate in the profile's `intermediates`, name its key in the mapping (`issuerPublicKeySha256`), or map by key or fingerprint; where another CA uses the name, find out why."),
    row(Reason::AccountDisabled, "ACCOUNT_DISABLED", "403.12", 403, "The account that the certificate maps to is disabled.", "Set the mapping's `state` to Enabled."),
    row(Reason::Internal, "INTERNAL", "", 503, "certgate failed while deciding; the failure was logged and counted.", "Report the logged place as a bug."),
];

impl Reason {
    /// Every row of the table, in the order of the checks.
    pub const ALL: &'static [ReasonRow] = &TABLE;

    /// The row that describes this reason.
    #[expect(clippy::indexing_slicing, reason = "the table has a row for each variant, in order; a test compares them")]
    pub fn row(self) -> &'static ReasonRow {
        &TABLE[self as usize]
    }

    /// The stable code.
    pub fn code(self) -> &'static str {
        self.row().code
    }
}

/// The page `docs/reasons.md`, made from the table.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Reasons for a denial\n\n\
         Every denial has one of these codes. It appears in the dynamic metadata, in the log and in the metrics; the \
         client sees it only where a policy says `reveal: Reason`. When several checks would fail, the first in the \
         order of this table is reported. The HTTP status is what the client gets unless the policy sets another \
         (`response.denial`); 503 cannot be changed. IIS is the sub-status by which IIS reports the same.\n\n\
         This page is made from the table in `src/domain/decide/reason.rs` by `certgate reasons`; do not edit it.\n\n\
         | code | HTTP | IIS | what happened | what to do |\n|---|---|---|---|---|\n",
    );
    for row in Reason::ALL {
        let iis = if row.iis.is_empty() { "-" } else { row.iis };
        let cells = [row.meaning, row.action].map(|text| text.replace('|', "\\|"));
        let [meaning, action] = cells;
        page.push_str(&format!("| `{}` | {} | {iis} | {meaning} | {action} |\n", row.code, row.http_status));
    }
    page
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_at_its_own_row() {
        for (at, row) in Reason::ALL.iter().enumerate() {
            assert_eq!(row.reason as usize, at, "{}", row.code);
            assert_eq!(row.reason.row().code, row.code);
            assert!((400..=599).contains(&row.http_status), "{}", row.code);
        }
        assert_eq!(Reason::Internal as usize + 1, Reason::ALL.len());
    }
}
