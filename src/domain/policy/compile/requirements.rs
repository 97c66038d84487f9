//! `requirements` of a `TrustProfile`.
//!
//! What lowers the bar below today's must say so twice: the setting itself, and the word in `weakCryptography` that
//! permits it. One without the other is an error, so that neither is overlooked in a review.

use std::collections::BTreeSet;
use std::fmt;

use super::metadata::shown;
use super::{Field, MAX_POLICIES, Report};
use crate::domain::api::{
    CertificatePoliciesSpec, EcdsaCurveSpec, ExplicitPolicySpec, ExtendedKeyUsageSpec, PermissionSpec,
    RequirementsSpec, SignatureAlgorithmSpec, WeakCryptographySpec,
};
use certgate_x509::{
    ANY_POLICY, Oid, PolicyParameters, Sha1, SignatureAlgorithm, SignatureAlgorithms, SignaturePolicy,
};

/// The smallest RSA modulus, in bits (NIST SP 800-57 part 1, table 2: less gives under 112 bits of security).
pub const MINIMUM_RSA_BITS: i64 = 2048;

/// The smallest that a profile may permit by `AcceptRsaBelow2048`; nothing shorter is verified.
pub const WEAKEST_RSA_BITS: i64 = 1024;

/// The largest RSA modulus that a profile may ask for.
pub const MAXIMUM_RSA_BITS: i64 = 16_384;

/// The longest path that a profile may allow; path building has a budget of its own.
const MAX_PATH_LENGTH: i64 = 32;

/// What a path must fulfil besides being valid.
#[derive(Clone, Debug)]
pub struct Requirements {
    /// How clientAuth must be permitted.
    pub extended_key_usage: ExtendedKeyUsageSpec,
    /// Which keys and signatures count, for CRLs as well.
    pub signatures: SignaturePolicy,
    /// Which certificate policies are asked for.
    pub policies: PolicyParameters,
    /// The largest number of intermediates.
    pub max_path_length: Option<u32>,
}

/// Compiles `requirements`.
pub(super) fn requirements(field: &Field<'_>, spec: &RequirementsSpec, report: &mut Report) -> Requirements {
    let max_path_length =
        spec.max_path_length.map(|value| number(&field.child("maxPathLength"), value, 0, MAX_PATH_LENGTH, report));
    Requirements {
        extended_key_usage: spec.extended_key_usage,
        signatures: signatures(field, spec, report),
        policies: match &spec.certificate_policies {
            Some(policies) => certificate_policies(&field.child("certificatePolicies"), policies, report),
            None => PolicyParameters::default(),
        },
        max_path_length,
    }
}

fn number(field: &Field<'_>, value: i64, from: i64, to: i64, report: &mut Report) -> u32 {
    if !(from..=to).contains(&value) {
        report.error(field, format_args!("{value} is out of range: want {from} to {to}"));
    }
    u32::try_from(value).unwrap_or_default()
}

fn signatures(field: &Field<'_>, spec: &RequirementsSpec, report: &mut Report) -> SignaturePolicy {
    let weak = weak_cryptography(&field.child("weakCryptography"), spec, report);
    let sha1 = if weak.contains(&Weak::Sha1) { Sha1::Allowed } else { Sha1::Refused };
    let default = SignaturePolicy::default();
    SignaturePolicy {
        minimum_rsa_bits: match spec.minimum_rsa_bits {
            None => default.minimum_rsa_bits,
            Some(bits) => rsa_bits(&field.child("minimumRsaBits"), bits, weak.contains(&Weak::Rsa), report),
        },
        minimum_ec_bits: match spec.minimum_ecdsa_curve {
            None | Some(EcdsaCurveSpec::P256) => 256,
            Some(EcdsaCurveSpec::P384) => 384,
            Some(EcdsaCurveSpec::P521) => 521,
        },
        sha1,
        algorithms: match &spec.allowed_signature_algorithms {
            None => default.algorithms,
            Some(list) => algorithms(&field.child("allowedSignatureAlgorithms"), list, sha1, report),
        },
    }
}

/// A word of `weakCryptography`, ordered.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weak {
    Sha1,
    Rsa,
}

fn weak_cryptography(field: &Field<'_>, spec: &RequirementsSpec, report: &mut Report) -> BTreeSet<Weak> {
    let mut words = BTreeSet::new();
    for (at, word) in spec.weak_cryptography.iter().enumerate() {
        let field = field.at(at);
        let weak = match word {
            WeakCryptographySpec::AcceptSha1Signatures => Weak::Sha1,
            WeakCryptographySpec::AcceptRsaBelow2048 => Weak::Rsa,
        };
        if !words.insert(weak) {
            report.error(&field, format_args!("{word:?} is listed twice"));
            continue;
        }
        match (weak, spec.minimum_rsa_bits) {
            (Weak::Rsa, None) => {
                report.error(&field, "AcceptRsaBelow2048 needs minimumRsaBits, from 1024 to 2047: say how short");
            }
            (Weak::Rsa, Some(bits)) if bits >= MINIMUM_RSA_BITS => report.error(
                &field,
                format_args!("AcceptRsaBelow2048 contradicts minimumRsaBits {bits}, which accepts nothing below 2048"),
            ),
            (Weak::Rsa, Some(bits)) => {
                report
                    .warning(&field, format_args!("WEAK: RSA keys from {bits} bits are accepted; they can be broken"));
            }
            (Weak::Sha1, _) => report.warning(&field, "WEAK: signatures with SHA-1 are accepted; they can be forged"),
        }
    }
    words
}

fn rsa_bits(field: &Field<'_>, bits: i64, may_be_short: bool, report: &mut Report) -> u32 {
    if (WEAKEST_RSA_BITS..MINIMUM_RSA_BITS).contains(&bits) && !may_be_short {
        let message = format!(
            "{bits} is out of range: want {MINIMUM_RSA_BITS} to {MAXIMUM_RSA_BITS}; less needs weakCryptography: \
             [AcceptRsaBelow2048]"
        );
        report.error(field, message);
    }
    let from = if may_be_short || bits >= WEAKEST_RSA_BITS { WEAKEST_RSA_BITS } else { MINIMUM_RSA_BITS };
    number(field, bits, from, MAXIMUM_RSA_BITS, report)
}

fn algorithms(
    field: &Field<'_>,
    list: &[SignatureAlgorithmSpec],
    sha1: Sha1,
    report: &mut Report,
) -> SignatureAlgorithms {
    if list.is_empty() {
        report.error(field, "the list is empty: no signature could count; name an algorithm, or leave it out");
    }
    let mut seen = BTreeSet::new();
    for (at, algorithm) in list.iter().map(|spec| algorithm(*spec)).enumerate() {
        if !seen.insert(algorithm) {
            report.error(&field.at(at), format_args!("{algorithm} is listed twice"));
        } else if algorithm.uses_sha1() && sha1 == Sha1::Refused {
            report.error(
                &field.at(at),
                format_args!("{algorithm} uses SHA-1 and needs weakCryptography: [AcceptSha1Signatures]"),
            );
        }
    }
    if sha1 == Sha1::Allowed && !list.is_empty() && !seen.iter().any(|algorithm| algorithm.uses_sha1()) {
        report.error(field, "weakCryptography has AcceptSha1Signatures, but no algorithm with SHA-1 is listed here");
    }
    seen.into_iter().collect()
}

fn algorithm(spec: SignatureAlgorithmSpec) -> SignatureAlgorithm {
    use SignatureAlgorithmSpec as Spec;
    match spec {
        Spec::RsaPkcs1Sha1 => SignatureAlgorithm::RsaPkcs1Sha1,
        Spec::RsaPkcs1Sha256 => SignatureAlgorithm::RsaPkcs1Sha256,
        Spec::RsaPkcs1Sha384 => SignatureAlgorithm::RsaPkcs1Sha384,
        Spec::RsaPkcs1Sha512 => SignatureAlgorithm::RsaPkcs1Sha512,
        Spec::RsaPssSha256 => SignatureAlgorithm::RsaPssSha256,
        Spec::RsaPssSha384 => SignatureAlgorithm::RsaPssSha384,
        Spec::RsaPssSha512 => SignatureAlgorithm::RsaPssSha512,
        Spec::EcdsaSha1 => SignatureAlgorithm::EcdsaSha1,
        Spec::EcdsaSha256 => SignatureAlgorithm::EcdsaSha256,
        Spec::EcdsaSha384 => SignatureAlgorithm::EcdsaSha384,
        Spec::EcdsaSha512 => SignatureAlgorithm::EcdsaSha512,
        Spec::Ed25519 => SignatureAlgorithm::Ed25519,
    }
}

fn certificate_policies(field: &Field<'_>, spec: &CertificatePoliciesSpec, report: &mut Report) -> PolicyParameters {
    let set_field = field.child("initialPolicySet");
    let initial_policy_set =
        spec.initial_policy_set.as_deref().map(|set| policy_set(&set_field, set, report)).unwrap_or_default();
    let is_set = spec.initial_policy_set.is_some();
    let explicit = spec.explicit_policy.unwrap_or(match is_set {
        true => ExplicitPolicySpec::Required,
        false => ExplicitPolicySpec::NotRequired,
    });
    let inhibits = [("policyMapping", spec.policy_mapping), ("anyPolicy", spec.any_policy)];
    if explicit == ExplicitPolicySpec::NotRequired {
        if is_set {
            report.warning(
                &field.child("explicitPolicy"),
                "with NotRequired a path passes without any policy of initialPolicySet, unless a CA of it asks for one",
            );
        }
        for (name, _) in inhibits.into_iter().filter(|(_, permission)| *permission == PermissionSpec::Inhibited) {
            report.warning(
                &field.child(name),
                "refuses nothing while explicitPolicy is NotRequired, unless a CA of the path asks for a policy",
            );
        }
    }
    PolicyParameters {
        initial_policy_set,
        initial_explicit_policy: explicit == ExplicitPolicySpec::Required,
        initial_policy_mapping_inhibit: spec.policy_mapping == PermissionSpec::Inhibited,
        initial_inhibit_any_policy: spec.any_policy == PermissionSpec::Inhibited,
    }
}

fn policy_set(field: &Field<'_>, set: &[String], report: &mut Report) -> Vec<Oid> {
    if set.is_empty() {
        report.error(field, "the list is empty: name a policy, or leave it out to have any count");
    }
    report.cap(field, set.len(), MAX_POLICIES);
    let mut policies = Vec::with_capacity(set.len().min(MAX_POLICIES));
    for (at, text) in set.iter().enumerate() {
        let field = field.at(at);
        let quote = |error: &dyn fmt::Display| format!("{}: {error}", shown(text));
        let Some(policy) = report.take(&field, text.parse::<Oid>().map_err(|error| quote(&error))) else { continue };
        if policy == ANY_POLICY {
            report.error(&field, quote(&"anyPolicy makes every policy count: leave initialPolicySet out instead"));
        } else if policies.contains(&policy) {
            report.error(&field, quote(&"listed twice"));
        } else {
            policies.push(policy);
        }
    }
    policies
}
