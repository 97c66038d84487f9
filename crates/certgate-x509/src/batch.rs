//! Cases of test suites, one JSON object each (feature `batch`).
//!
//! A case is a path case (`leaf`, `trust_anchors`, …) or, if it has a `response`, an OCSP case. Unknown fields are
//! ignored, since suites have titles and expectations. A case that cannot be read fails with [`Failure::Malformed`]. A
//! certificate in it that cannot be parsed is another failure: suites test its rejection.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::certificate::Certificate;
use crate::encoding::base64;
use crate::error_kind::ErrorKind;
use crate::limits::{MAX_CERTIFICATE, MAX_CRL, MAX_OCSP_RESPONSE};
use crate::oid::Oid;
use crate::path::{
    DEFAULT_MAX_PATH_LENGTH, KeyPurpose, LeafRule, PathParameters, PolicyParameters, Pool, RolloverRule,
    SignaturePolicy, UsageRule,
    signature::{self, Sha1},
};
use crate::revocation::ocsp::{self, Authority, Nonce, OcspPolicy, OcspResponse};
use crate::revocation::{
    Crl, Freshness, MaxAge, OnUnknown, RevocationData, RevocationMode, RevocationPolicy, RevocationScope,
};
use crate::time::UnixTime;
use crate::trace::NoTrace;
use crate::verify::{Verification, VerificationFailure};

/// The answer to one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The case's own, of any type; null if it has none or is not JSON.
    pub id: Value,
    /// What was compared, when the certificate or the response is valid.
    pub outcome: Result<String, Failure>,
}

/// A path case.
#[derive(Debug, Deserialize)]
struct PathCase {
    trust_anchors: Vec<String>,
    #[serde(default)]
    untrusted: Vec<String>,
    leaf: String,
    #[serde(default)]
    crls: Vec<String>,
    time: Option<i64>,
    #[serde(default)]
    usage: Usage,
    #[serde(default)]
    require_listed_usage: bool,
    max_path_length: Option<u32>,
    minimum_rsa_bits: Option<u32>,
    #[serde(default)]
    allow_sha1: bool,
    #[serde(default)]
    initial_policy_set: Vec<String>,
    #[serde(default)]
    initial_explicit_policy: bool,
    #[serde(default)]
    initial_policy_mapping_inhibit: bool,
    #[serde(default)]
    initial_inhibit_any_policy: bool,
    #[serde(default)]
    revocation: Revocation,
    /// The greatest age of a CRL in seconds.
    max_age: Option<u32>,
}

/// The extended key usage that must be permitted.
#[derive(Copy, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Usage {
    #[default]
    Client,
    Server,
    Any,
}

/// When CRLs are checked.
#[derive(Copy, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Revocation {
    /// If the case has some; an unknown status is then rejected.
    #[default]
    Auto,
    Required,
    None,
}

/// An OCSP case.
#[derive(Debug, Deserialize)]
struct OcspCase {
    response: String,
    issuer: String,
    leaf: Option<String>,
    time: Option<i64>,
    #[serde(default)]
    no_checks: bool,
    #[serde(default)]
    allow_legacy: bool,
    max_age: Option<u32>,
}

/// Why a case fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The case cannot be read.
    Malformed(String),
    /// The certificate, or the response, is not valid; with what was compared.
    Invalid(ErrorKind, String),
}

/// Answers one line; `now` is the time of cases that name none.
pub fn answer(line: &[u8], now: UnixTime) -> Answer {
    let mut id = Value::Null;
    let outcome = serde_json::from_slice::<Value>(line)
        .map_err(|error| Failure::Malformed(error.to_string()))
        .and_then(|mut case| {
            id = case.get_mut("id").map(Value::take).unwrap_or_default();
            if case.get("response").is_some() { ocsp_case(case, now) } else { path_case(case, now) }
        });
    Answer { id, outcome }
}

/// A case's fields in their JSON types.
fn read<T: for<'de> Deserialize<'de>>(case: Value) -> Result<T, Failure> {
    serde_json::from_value(case).map_err(|error| Failure::Malformed(error.to_string()))
}

/// The octets of a base64 field.
fn octets(field: &str, text: &str, limit: usize) -> Result<Bytes, Failure> {
    base64::decode(text.as_bytes(), limit).map_err(|error| Failure::Malformed(format!("{field}: {error}")))
}

fn all_octets(field: &str, texts: &[String], limit: usize) -> Result<Vec<Bytes>, Failure> {
    texts.iter().map(|text| octets(field, text, limit)).collect()
}

/// The certificate, or its parse error.
fn certificate(field: &str, der: Bytes) -> Result<Arc<Certificate>, Failure> {
    Certificate::from_der(der)
        .map(Arc::new)
        .map_err(|error| Failure::Invalid(ErrorKind::Malformed, format!("{field}: {error}")))
}

/// The list's certificates that parse; the others are noted.
fn parsed<T, E: std::fmt::Display>(
    field: &str,
    list: Vec<Bytes>,
    parse: impl Fn(Bytes) -> Result<T, E>,
    notes: &mut Vec<String>,
) -> Vec<Arc<T>> {
    let mut out = Vec::with_capacity(list.len());
    for (index, der) in list.into_iter().enumerate() {
        match parse(der) {
            Ok(value) => out.push(Arc::new(value)),
            Err(error) => notes.push(format!("{field}[{index}] is not used: {error}")),
        }
    }
    out
}

/// A time within the range of certificates' dates, so that arithmetic on it is meaningful.
fn time(seconds: Option<i64>, now: UnixTime) -> Result<UnixTime, Failure> {
    const LAST: i64 = 253_402_300_799;
    match seconds {
        None => Ok(now),
        Some(seconds) if (-LAST..=LAST).contains(&seconds) => Ok(UnixTime::from_secs(seconds)),
        Some(seconds) => Err(Failure::Malformed(format!("time: {seconds} is not within the years to 9999"))),
    }
}

/// Suites have CRLs that were current for a week when they were made, and use dates years apart: see
/// [`MaxAge::Weekly`]. No clock skew: their dates are exact to the second.
fn freshness(max_age: Option<u32>) -> Freshness {
    let max_age = max_age.map_or(MaxAge::Weekly, |seconds| MaxAge::Seconds(i64::from(seconds)));
    Freshness { max_age, clock_skew: 0 }
}

fn path_case(case: Value, now: UnixTime) -> Result<String, Failure> {
    let case: PathCase = read(case)?;
    let now = time(case.time, now)?;
    let anchors = all_octets("trust_anchors", &case.trust_anchors, MAX_CERTIFICATE)?;
    let untrusted = all_octets("untrusted", &case.untrusted, MAX_CERTIFICATE)?;
    let crls = all_octets("crls", &case.crls, MAX_CRL)?;
    let leaf = octets("leaf", &case.leaf, MAX_CERTIFICATE)?;
    let policies = case.policies()?;

    let mut notes = Vec::new();
    let signatures = case.signatures();
    let question = Verification {
        leaf: certificate("leaf", leaf)?,
        pool: Pool::new(parsed("trust_anchors", anchors, Certificate::from_der, &mut notes), []),
        untrusted: parsed("untrusted", untrusted, Certificate::from_der, &mut notes),
        revocation: case.revocation(signatures),
        data: RevocationData::new(parsed("crls", crls, Crl::from_der, &mut notes)),
        path: PathParameters {
            usage: case.usage(),
            leaf: LeafRule::AnyCertificate,
            signatures,
            max_path_length: case.max_path_length.unwrap_or(DEFAULT_MAX_PATH_LENGTH),
            policies,
            rollover: RolloverRule::KeyCertSign,
        },
    };
    match question.verify(now, &mut NoTrace) {
        Ok(valid) => {
            let count = valid.path.certificates().len();
            Ok(joined(format!("path of {count} certificates, valid until {}", valid.valid_until), notes))
        }
        Err(VerificationFailure { kind, detail, .. }) => Err(Failure::Invalid(kind, joined(detail, notes))),
    }
}

fn joined(first: String, notes: Vec<String>) -> String {
    std::iter::once(first).chain(notes).collect::<Vec<_>>().join("; ")
}

impl PathCase {
    /// An entry of `initial_policy_set` is one or more names, joined by commas: dotted identifiers, `anyPolicy`, or
    /// those of PKITS.
    fn policies(&self) -> Result<PolicyParameters, Failure> {
        let names = self.initial_policy_set.iter().flat_map(|entry| entry.split(',')).map(str::trim);
        let set: Vec<Oid> = names
            .map(|name| {
                let dotted = match name.strip_prefix("NIST-test-policy-") {
                    Some(number) => format!("2.16.840.1.101.3.2.1.48.{number}"),
                    None if name.eq_ignore_ascii_case("anyPolicy") => "2.5.29.32.0".to_owned(),
                    None => name.to_owned(),
                };
                dotted.parse().map_err(|error| Failure::Malformed(format!("initial_policy_set: {name:?}: {error}")))
            })
            .collect::<Result<_, _>>()?;
        // Any policy in the set makes it the set of all policies, which is empty here.
        let has_any = set.contains(&crate::path::ANY_POLICY);
        Ok(PolicyParameters {
            initial_policy_set: if has_any { Vec::new() } else { set },
            initial_explicit_policy: self.initial_explicit_policy,
            initial_policy_mapping_inhibit: self.initial_policy_mapping_inhibit,
            initial_inhibit_any_policy: self.initial_inhibit_any_policy,
        })
    }

    fn signatures(&self) -> SignaturePolicy {
        let defaults = SignaturePolicy::default();
        SignaturePolicy {
            minimum_rsa_bits: self.minimum_rsa_bits.unwrap_or(defaults.minimum_rsa_bits),
            sha1: if self.allow_sha1 { Sha1::Allowed } else { Sha1::Refused },
            ..defaults
        }
    }

    fn usage(&self) -> UsageRule {
        let rule = if self.require_listed_usage { UsageRule::Listed } else { UsageRule::PermittedOrAny };
        match self.usage {
            Usage::Client => rule(KeyPurpose::ClientAuth),
            Usage::Server => rule(KeyPurpose::ServerAuth),
            Usage::Any => UsageRule::Unchecked,
        }
    }

    fn revocation(&self, signatures: SignaturePolicy) -> RevocationPolicy {
        let mode = match self.revocation {
            Revocation::Auto if self.crls.is_empty() => RevocationMode::NoCheck,
            Revocation::None => RevocationMode::NoCheck,
            Revocation::Auto | Revocation::Required => RevocationMode::Offline,
        };
        RevocationPolicy {
            mode,
            scope: RevocationScope::ExcludeRoot,
            on_unknown: OnUnknown::Deny,
            freshness: freshness(self.max_age),
            signatures,
        }
    }
}

/// With a `leaf` the response must report it as good. Without one the response's signer must only be authorized to
/// answer for the issuer, at the time of signing unless the case names another.
fn ocsp_case(case: Value, now: UnixTime) -> Result<String, Failure> {
    let case: OcspCase = read(case)?;
    let response = octets("response", &case.response, MAX_OCSP_RESPONSE)?;
    let issuer = octets("issuer", &case.issuer, MAX_CERTIFICATE)?;
    let leaf = case.leaf.as_deref().map(|leaf| octets("leaf", leaf, MAX_CERTIFICATE)).transpose()?;
    let fixed = case.time.map(|seconds| time(Some(seconds), now)).transpose()?;

    let issuer = certificate("issuer", issuer)?;
    let unknown = |detail: String| Failure::Invalid(ErrorKind::StatusUnknown, detail);
    let response = OcspResponse::from_der(response).map_err(|error| unknown(format!("response: {error}")))?;
    let defaults = SignaturePolicy::default();
    let policy = OcspPolicy {
        freshness: freshness(case.max_age),
        signatures: if case.allow_legacy {
            SignaturePolicy { minimum_rsa_bits: 1024, sha1: Sha1::Allowed, ..defaults }
        } else {
            defaults
        },
        authority: if case.no_checks { Authority::AnyIssued } else { Authority::OcspSigning },
    };
    let failed = |status: crate::revocation::BadStatus| Failure::Invalid(status.kind(), status.to_string());
    let Some(leaf) = leaf else {
        let responder = ocsp::authority(&response, &issuer, &policy, fixed.unwrap_or(response.produced_at()));
        return responder.map(|_| "the signer of the response may answer for the issuer".to_owned()).map_err(failed);
    };
    let leaf = certificate("leaf", leaf)?;
    let signed = signature::verify_signature(
        issuer.public_key(),
        leaf.signature_algorithm(),
        leaf.tbs(),
        leaf.signature(),
        &policy.signatures,
    );
    if leaf.issuer() != issuer.subject() {
        return Err(unknown(format!("leaf: issued by [{}], not by [{}]", leaf.issuer(), issuer.subject())));
    }
    signed.map_err(|error| Failure::Invalid(ErrorKind::Signature, format!("leaf: {error}")))?;
    ocsp::check(&response, &leaf, &issuer, Nonce::NotSent, &policy, fixed.unwrap_or(now))
        .map(|good| format!("good, valid until {}", good.valid_until))
        .map_err(failed)
}
