//! A trust profile whose sources are read: verifies certificates, revocation included.
//!
//! The verifier and the revocation data are separate because they change separately: a new CRL replaces the former one
//! and leaves the verifier, with everything that was built for path building, as it is.

use certgate_x509::{
    Budget, Certificate, Crl, CrlNumber, CrlReason, CrlSubjects, IssuingDistributionPoint, ReasonFlags, RevocationData,
    RevocationMode, RevocationPolicy, SignerCandidates, Trace, UnixTime, Unvouched, Verdict, check_revocation_within,
    der, der::Reader, der::tag, encoding::excerpt::shortened,
};
use std::sync::Arc;

use crate::domain::decide::decision::Denial;
use crate::domain::decide::reason::Reason;
use crate::domain::decide::unique::UniqueId;
use crate::domain::decide::verifier::{CertificateVerifier, Verified};
use crate::domain::evidence::Links;

/// A resolved trust profile, ready to verify certificates. Made by [`crate::domain::policy::compile`] alone.
#[derive(Debug)]
pub struct ResolvedProfile {
    id: UniqueId,
    /// When something that the profile holds begins or ends, sorted.
    changes: Box<[UnixTime]>,
    name: Arc<str>,
    verifier: Arc<CertificateVerifier>,
    policy: RevocationPolicy,
    data: Arc<RevocationData>,
}

/// A CRL that a profile relies on, as metrics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlSummary {
    /// The profile, as `namespace/name`.
    pub profile: Arc<str>,
    /// Who made it.
    pub issuer: String,
    /// Whether it is complete or a delta.
    pub kind: CrlKind,
    /// What part of its issuer's certificates it is about, in the words of RFC 5280; empty when it is about all.
    pub scope: String,
    /// The identifier of the key that signed it, in hexadecimal digits, as far as it names one.
    pub key: Option<String>,
    /// Its CRLNumber.
    pub number: Option<CrlNumber>,
    /// How many certificates it lists.
    pub entries: usize,
    /// When it was made.
    pub this_update: UnixTime,
    /// When the next one is there at the latest.
    pub next_update: Option<UnixTime>,
    /// By what the profile checks: how old the CRL may be, and what follows when it is older.
    pub policy: RevocationPolicy,
}

/// Whether a CRL is complete or a delta.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrlKind {
    /// It lists every revoked certificate in its scope.
    Complete,
    /// It updates a complete one.
    Delta,
}

impl CrlKind {
    /// The kind in one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Delta => "delta",
        }
    }
}

/// The trust anchors of a profile, as metrics show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorsSummary {
    /// The profile, as `namespace/name`.
    pub profile: Arc<str>,
    /// When the first of them ends.
    pub first_expiry: UnixTime,
}

impl ResolvedProfile {
    /// The profile `name`, with revocation checked by `policy` over `data`.
    pub fn new(
        name: Arc<str>,
        verifier: Arc<CertificateVerifier>,
        policy: RevocationPolicy,
        data: Arc<RevocationData>,
    ) -> Self {
        let changes = changes(&verifier, &policy, &data);
        Self { id: UniqueId::next(), changes, name, verifier, policy, data }
    }

    /// Identifies it to the decision cache.
    pub fn id(&self) -> UniqueId {
        self.id
    }

    /// The last second until which nothing that the profile holds begins or ends after `now`: until then the same
    /// certificates fail and pass alike, but for the ends that [`Verified::valid_until`] knows.
    pub fn constant_until(&self, now: UnixTime) -> UnixTime {
        let next = self.changes.partition_point(|change| *change <= now);
        self.changes.get(next).map_or(UnixTime::from_secs(i64::MAX), |change| change.minus(1))
    }

    /// What verifies certificates, revocation apart.
    pub fn verifier(&self) -> &Arc<CertificateVerifier> {
        &self.verifier
    }

    /// A CA with dNSName constraints among the anchors and intermediates, by its subject.
    pub fn dns_constrained(&self) -> Option<String> {
        self.verifier.dns_constrained().map(|authority| authority.subject().to_string())
    }

    /// The revocation data.
    pub fn revocation_data(&self) -> &Arc<RevocationData> {
        &self.data
    }

    /// What there is to know about each CRL.
    pub fn crls(&self) -> impl Iterator<Item = CrlSummary> {
        let status = |crl: &Arc<Crl>| CrlSummary {
            profile: Arc::clone(&self.name),
            issuer: shortened(crl.issuer().to_rfc4514()),
            kind: if crl.base_number().is_some() { CrlKind::Delta } else { CrlKind::Complete },
            key: crl.authority_key_identifier().and_then(key_identifier),
            scope: crl.issuing_distribution_point().map(scope).unwrap_or_default(),
            number: crl.number(),
            entries: crl.len(),
            this_update: crl.this_update(),
            next_update: crl.next_update(),
            policy: self.policy,
        };
        self.data.crls().iter().map(status)
    }

    /// The state of its trust anchors; `None` when the profile does not use them.
    pub fn anchors(&self) -> Option<AnchorsSummary> {
        let first_expiry = self.verifier.first_anchor_expiry()?;
        Some(AnchorsSummary { profile: Arc::clone(&self.name), first_expiry })
    }

    /// Verifies `leaf` at `now`, revocation included. When a path is revoked or its status unknown, the next path is
    /// tried. The cost is at most what is left of `budget`.
    ///
    /// With [`Links::Signed`], `presented` is a chain in which each has been found to be signed by the next, and a path
    /// counts only if it shows that all of it is one client's.
    pub fn verify<T: Trace>(
        &self,
        budget: &Budget,
        leaf: &Arc<Certificate>,
        presented: &[Arc<Certificate>],
        links: Links,
        now: UnixTime,
        trace: &mut T,
    ) -> Result<Verified, Denial> {
        let check_vouched = |path: &[Arc<Certificate>]| match links {
            Links::Free => Ok(()),
            Links::Signed => self.verifier.check_vouched(presented, path),
        };
        let joined = |error: Unvouched| format!("the header is not one client's chain: {error}");
        // The holder of a stolen, disallowed key could sign CRLs that clear what it has issued.
        let disallowed = self.verifier.disallowed();
        let mut fit: Option<Vec<Arc<Certificate>>> = None;
        let verified = self.verifier.verify_with(budget, leaf, presented, now, trace, |path, trace| {
            check_vouched(path.certificates()).map_err(|error| Reason::ForwardedInvalid.reject(joined(error)))?;
            if self.policy.mode == RevocationMode::NoCheck {
                trace.step("revocation", Verdict::Note, || {
                    "not checked: the profile has no `revocation`, or its mode is NoCheck".to_owned()
                });
                return Ok(None);
            }
            let presented = match disallowed.is_empty() {
                true => presented,
                false => fit.get_or_insert_with(|| {
                    presented.iter().filter(|certificate| disallowed.of(certificate).is_none()).cloned().collect()
                }),
            };
            let helpers = SignerCandidates { pool: self.verifier.signers(), presented };
            let (data, policy) = (&self.data, &self.policy);
            match check_revocation_within(budget, data, policy, path.certificates(), helpers, now, trace) {
                Ok(outcome) => Ok(outcome.valid_until),
                Err(failure) => Err(Reason::from(failure.status.kind()).reject(failure.to_string())),
            }
        })?;
        // A peer has no path that could show it.
        match check_vouched(verified.path()) {
            Ok(()) => Ok(verified),
            Err(error) => {
                let detail = joined(error);
                trace.step("evidence", Verdict::Fail, || format!("{}: {detail}", Reason::ForwardedInvalid));
                Err(Denial::new(Reason::ForwardedInvalid, detail))
            }
        }
    }
}

/// When certificates of the profile begin to be valid or no longer are, and when CRLs begin to count. When a CRL ends is
/// known where it is used.
fn changes(verifier: &CertificateVerifier, policy: &RevocationPolicy, data: &RevocationData) -> Box<[UnixTime]> {
    let certificates = verifier.anchors().iter().chain(verifier.intermediates());
    let ends = certificates.flat_map(|certificate| validity_changes(certificate));
    let begins = data.crls().iter().map(|crl| crl.this_update().minus(policy.freshness.clock_skew));
    let mut changes: Vec<UnixTime> = ends.chain(begins).collect();
    changes.sort_unstable();
    changes.dedup();
    changes.into()
}

/// The first second at which a certificate is valid, and the first at which it no longer is.
pub fn validity_changes(certificate: &Certificate) -> [UnixTime; 2] {
    [certificate.not_before(), certificate.not_after().plus(1)]
}

/// The scope of a CRL in words that are the same for the next CRL of that scope.
fn scope(point: &IssuingDistributionPoint) -> String {
    let subjects = match point.subjects() {
        CrlSubjects::All => None,
        CrlSubjects::EndEntities => Some("onlyContainsUserCerts".to_owned()),
        CrlSubjects::Cas => Some("onlyContainsCACerts".to_owned()),
        CrlSubjects::Attributes => Some("onlyContainsAttributeCerts".to_owned()),
    };
    let reasons = (point.reasons() != ReasonFlags::ALL).then(|| {
        // Those that the set can name: concern() answers for the others by whether there are any.
        let named = [1, 2, 3, 4, 5, 6, 9, 10].into_iter().filter_map(CrlReason::from_code);
        let named: Vec<_> = named.filter(|reason| point.reasons().concern(Some(*reason))).collect();
        let named: Vec<_> = named.iter().map(ToString::to_string).collect();
        format!("onlySomeReasons {}", named.join(" "))
    });
    let indirect = point.is_indirect().then(|| "indirectCRL".to_owned());
    let words: Vec<_> = point.point_names().chain([subjects, reasons, indirect].into_iter().flatten()).collect();
    shortened(words.join(", "))
}

/// keyIdentifier of an authorityKeyIdentifier (RFC 5280 section 4.2.1.1).
fn key_identifier(value: &[u8]) -> Option<String> {
    let mut fields = Reader::new(der::exactly(value, tag::SEQUENCE).ok()?.content);
    // An empty one names no key.
    let octets = fields.optional(tag::context(0)).ok()?.filter(|field| !field.content.is_empty())?.content;
    // RFC 5280 and RFC 7093 make 20 octets of a key; what is longer is cut.
    Some(octets.iter().take(20).map(|octet| format!("{octet:02x}")).collect())
}
