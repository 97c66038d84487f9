//! One Check: from a request to a decision, over an immutable snapshot.
//!
//! The walk is: select the policy, find the certificate, parse it, verify it, map it, answer. Each step either hands
//! the next one what it needs or ends in a denial; there is no other way to a [`Grant`]. What the steps mean is decided
//! where they live; here is only their order, and what a policy says about denials.

use std::sync::Arc;

use super::{Policy, PolicyState, Snapshot};
use crate::domain::api::CertificateRequirement;
use crate::domain::decide::compiled::{HeaderNames, PolicyBody, Statuses};
use crate::domain::decide::decision::{Decision, Denial, Grant, Mode, Presented};
use crate::domain::decide::failures::{Failures, VerificationKey};
use crate::domain::decide::identity::Identity;
use crate::domain::decide::mapping::issuer::PathIssuer;
use crate::domain::decide::mapping::table::MappingTable;
use crate::domain::decide::mapping::{Unmapped, identify, identify_by_key, subject_identity};
use crate::domain::decide::reason::Reason;
use crate::domain::decide::resolved_profile::ResolvedProfile;
use crate::domain::decide::verifier::{TrustedBy, Verified};
use crate::domain::evidence::{self, ChainSource, Evidence, EvidenceRule, EvidenceSource, Links};
use crate::domain::request::Request;
use certgate_x509::{Budget, Certificate, NoTrace, Sha256, Trace, UnixTime, Verdict};

impl Snapshot {
    /// Decides one request, from nothing but the request and the time.
    pub fn decide<T: Trace>(&self, request: &Request<'_>, now: UnixTime, trace: &mut T) -> Decision {
        self.decide_by(request, now, None, trace)
    }

    /// [`Snapshot::decide`], with the same outcome, but for what has failed a short time ago and is remembered.
    pub fn decide_recalling(&self, request: &Request<'_>, now: UnixTime, failures: &Failures) -> Decision {
        self.decide_by(request, now, Some(failures), &mut NoTrace)
    }

    fn decide_by<T: Trace>(
        &self,
        request: &Request<'_>,
        now: UnixTime,
        failures: Option<&Failures>,
        trace: &mut T,
    ) -> Decision {
        let selected = self.selection.select(request, trace).map(|at| self.policies.get(at));
        let policy = match selected {
            Ok(Some(policy)) => policy,
            Ok(None) => return Decision::refused(Reason::Internal, "the selected policy is not in the snapshot"),
            Err(denial) => return Decision::new(None, Mode::Enforce, carried(request, trace), Err(denial)),
        };
        let refused =
            |denial, presented| Decision::new(Some(Arc::clone(&policy.name)), Mode::Enforce, presented, Err(denial));
        let body = match (&policy.state, &policy.compiled.body) {
            (PolicyState::Invalid(problem), _) => {
                let detail = format!("policy {} is in error: {problem}", policy.name);
                let denial = fail("select", Reason::PolicyInvalid, detail, trace);
                return refused(denial, carried(request, trace));
            }
            (_, None) => return refused(Denial::new(Reason::Internal, "a policy without body is not invalid"), None),
            (PolicyState::Ready(_) | PolicyState::Unavailable(_), Some(body)) => body,
        };
        let (mut presented, budget) = (None, Budget::default());
        let verdict = match &policy.state {
            PolicyState::Ready(profile) => {
                let mappings = &self.mappings;
                let check = Check { policy, body, profile, mappings, request, now, failures, budget: &budget };
                check.run(&mut presented, trace)
            }
            PolicyState::Unavailable(problem) | PolicyState::Invalid(problem) => {
                presented = carried(request, trace);
                Err(fail("trust", Reason::TrustUnavailable, problem.clone(), trace))
            }
        };
        let verdict = verdict.map_err(|denial| body.statuses.apply(denial));
        if let (Err(denial), Mode::Audit) = (&verdict, body.mode) {
            trace.step("answer", Verdict::Note, || format!("mode Audit: {} is recorded, not enforced", denial.reason));
        }
        Decision::new(Some(Arc::clone(&policy.name)), body.mode, presented, verdict).with_spent(budget.spent())
    }
}

impl Statuses {
    /// The denial with the status and openness that the policy wants.
    fn apply(&self, denial: Denial) -> Denial {
        let own = denial.reason.row().http_status;
        let status = match denial.reason {
            Reason::CertRequired => self.missing_certificate.or(self.denial).unwrap_or(own),
            // The client is not at fault, and should come again.
            _ if own >= 500 => own,
            _ => self.denial.unwrap_or(own),
        };
        Denial { status, reveal: self.reveal, ..denial }
    }
}

/// What one Check works with, once its policy is known.
struct Check<'a> {
    policy: &'a Policy,
    body: &'a PolicyBody,
    profile: &'a ResolvedProfile,
    mappings: &'a MappingTable,
    request: &'a Request<'a>,
    now: UnixTime,
    failures: Option<&'a Failures>,
    budget: &'a Budget,
}

impl Check<'_> {
    fn run<T: Trace>(&self, presented: &mut Option<Arc<Presented>>, trace: &mut T) -> Result<Grant, Denial> {
        let Some(evidence) = self.evidence(trace)? else { return self.anonymous(trace) };
        let leaf = self.parse(&evidence, presented, trace)?;
        let (verified, chain) = self.verify(&leaf, &evidence, trace)?;
        let (mapping, namespace) = (self.body.mapping.as_ref(), &self.policy.namespace);
        let identity = match (mapping, verified.trusted_by()) {
            (_, TrustedBy::PeerKey) => identify_by_key(mapping, namespace, self.mappings, &leaf, trace),
            (Some(mapping), _) => {
                let issuer = PathIssuer::new(verified.path(), &chain, self.profile.verifier());
                identify(mapping, namespace, self.mappings, &leaf, issuer, trace)
            }
            (None, _) => subject_identity(&leaf, trace),
        };
        let identity = identity.map_err(|Unmapped { reason, detail }| Denial::new(reason, detail))?;
        let headers = headers(&self.body.headers, &identity);
        trace.step("answer", Verdict::Pass, || {
            let shown: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            format!("allowed as {:?}, with {}", identity.user, shown.join(", "))
        });
        Ok(Grant::new(Some(identity), headers).with_policies(verified.into_policies()))
    }

    /// Verifies the certificate, unless the same was refused a short time ago; gives what came along with it too.
    fn verify<T: Trace>(
        &self,
        leaf: &Arc<Certificate>,
        evidence: &Evidence,
        trace: &mut T,
    ) -> Result<(Verified, Vec<Arc<Certificate>>), Denial> {
        let profile = self.profile.verifier().id();
        let asked = VerificationKey { profile, leaf: leaf.sha256(), chain: &evidence.chain, links: evidence.links };
        if let Some(denial) = self.failures.and_then(|failures| failures.recall(&asked, self.now)) {
            return Err(denial);
        }
        let verified = self.verify_anew(leaf, evidence, trace);
        if let (Err(denial), Some(failures), Some(until)) = (&verified, self.failures, self.budget.fails_until()) {
            failures.remember(&asked, self.now, until, self.budget.spent().microseconds, denial);
        }
        verified
    }

    fn verify_anew<T: Trace>(
        &self,
        leaf: &Arc<Certificate>,
        evidence: &Evidence,
        trace: &mut T,
    ) -> Result<(Verified, Vec<Arc<Certificate>>), Denial> {
        let chain = chain(evidence, trace);
        if evidence.links == Links::Signed && !chain.is_empty() {
            let whole: Vec<_> = std::iter::once(leaf).chain(&chain).collect();
            if let Err(error) = self.profile.verifier().check_links(&whole, self.budget) {
                let detail = format!("the header is not one client's chain: {error}");
                return Err(fail("evidence", Reason::ForwardedInvalid, detail, trace));
            }
        }
        let verified = self.profile.verify(self.budget, leaf, &chain, evidence.links, self.now, trace)?;
        Ok((verified, chain))
    }

    fn evidence<T: Trace>(&self, trace: &mut T) -> Result<Option<Evidence>, Denial> {
        match evidence::gather(&self.body.evidence, self.request) {
            Ok(Some(found)) => {
                trace.step("evidence", Verdict::Pass, || {
                    format!(
                        "{}: a certificate of {} bytes, with {} more",
                        source_name(found.source),
                        found.leaf.len(),
                        found.chain.len()
                    )
                });
                if T::KEEPS {
                    self.note_unused_chain(&found, trace);
                }
                Ok(Some(found))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(fail("evidence", Reason::ForwardedInvalid, error.to_string(), trace)),
        }
    }

    /// Tells of certificates that the proxy forwarded beside `source.certificate` and that the policy does not look at.
    fn note_unused_chain<T: Trace>(&self, found: &Evidence, trace: &mut T) {
        let is_peer = |rule: &&EvidenceRule| matches!(rule, EvidenceRule::PeerCertificate { .. });
        let leaf_alone = EvidenceRule::PeerCertificate { chain_from: ChainSource::None };
        let with_chain = EvidenceRule::PeerCertificate { chain_from: ChainSource::Xfcc };
        if found.source != EvidenceSource::PeerCertificate
            || self.body.evidence.iter().find(is_peer) != Some(&leaf_alone)
        {
            return;
        }
        let Ok(Some(whole)) = evidence::gather(&[with_chain], self.request) else { return };
        if !whole.chain.is_empty() {
            trace.step("evidence", Verdict::Note, || {
                format!(
                    "not used: {} more in x-forwarded-client-cert; to use them as intermediates, write \
                     evidence: [{{peerCertificate: {{chainFrom: Xfcc}}}}]",
                    whole.chain.len()
                )
            });
        }
    }

    fn anonymous<T: Trace>(&self, trace: &mut T) -> Result<Grant, Denial> {
        let places: Vec<_> = self.body.evidence.iter().map(ToString::to_string).collect();
        let detail = format!("no certificate in {}", places.join(", "));
        match self.body.certificate {
            CertificateRequirement::Required => {
                if T::KEEPS {
                    for place in evidence::not_named(&self.body.evidence, self.request) {
                        trace.step("evidence", Verdict::Note, || {
                            format!("{place} is present, but the policy's evidence does not name it")
                        });
                    }
                }
                Err(fail("evidence", Reason::CertRequired, detail, trace))
            }
            CertificateRequirement::Optional => {
                trace.step("evidence", Verdict::Note, || detail);
                trace.step("answer", Verdict::Pass, || {
                    "certificate is Optional: allowed without an identity".to_owned()
                });
                Ok(Grant::new(None, [].into()))
            }
        }
    }

    fn parse<T: Trace>(
        &self,
        evidence: &Evidence,
        presented: &mut Option<Arc<Presented>>,
        trace: &mut T,
    ) -> Result<Arc<Certificate>, Denial> {
        match Certificate::from_der(evidence.leaf.clone()) {
            Ok(leaf) => {
                let about = about(evidence.source, &leaf);
                trace.step("certificate", Verdict::Note, || {
                    format!(
                        "subject {:?}, issuer {:?}, serial number {}, valid {} to {} (now {}), sha256 {}",
                        about.subject,
                        about.issuer,
                        about.serial_number,
                        leaf.not_before(),
                        leaf.not_after(),
                        self.now,
                        about.sha256
                    )
                });
                *presented = Some(Arc::new(about));
                Ok(Arc::new(leaf))
            }
            Err(error) => {
                *presented = Some(Arc::new(unreadable(evidence.source, &evidence.leaf)));
                Err(fail("certificate", Reason::CertMalformed, error.to_string(), trace))
            }
        }
    }
}

/// The certificate of a request that is denied before any policy has looked for one: who came should be known all the
/// same.
fn carried<T: Trace>(request: &Request<'_>, trace: &mut T) -> Option<Arc<Presented>> {
    if T::KEEPS {
        for place in evidence::not_named(&[], request) {
            trace.step("evidence", Verdict::Note, || format!("{place} is present; no policy has looked at it"));
        }
    }
    let (source, der) = evidence::carried(request)?;
    let about = match Certificate::from_der(der.clone()) {
        Ok(leaf) => about(source, &leaf),
        Err(_) => unreadable(source, &der),
    };
    trace.step("certificate", Verdict::Note, || {
        let Presented { subject, issuer, serial_number, sha256, .. } = &about;
        format!(
            "{}: subject {subject:?}, issuer {issuer:?}, serial number {serial_number}, sha256 {sha256}; not validated",
            source_name(source)
        )
    });
    Some(Arc::new(about))
}

fn about(source: EvidenceSource, leaf: &Certificate) -> Presented {
    Presented {
        source,
        sha256: leaf.sha256(),
        subject: leaf.subject().to_rfc4514(),
        issuer: leaf.issuer().to_rfc4514(),
        serial_number: hexadecimal(leaf.serial_number()),
    }
}

/// The same of what is no certificate.
fn unreadable(source: EvidenceSource, der: &[u8]) -> Presented {
    let (subject, issuer, serial_number) = Default::default();
    Presented { source, sha256: Sha256::of(der), subject, issuer, serial_number }
}

/// What came along with the leaf, as far as it can be read. It is only help, so what cannot be read is left out.
fn chain<T: Trace>(evidence: &Evidence, trace: &mut T) -> Vec<Arc<Certificate>> {
    let mut chain = Vec::with_capacity(evidence.chain.len());
    for (at, der) in (1..).zip(&evidence.chain) {
        match Certificate::from_der(der.clone()) {
            Ok(certificate) => {
                trace.step("certificate", Verdict::Note, || {
                    format!(
                        "sent along: {:?}, issued by {:?}",
                        certificate.subject().to_rfc4514(),
                        certificate.issuer().to_rfc4514()
                    )
                });
                chain.push(Arc::new(certificate));
            }
            Err(error) => {
                trace
                    .step("certificate", Verdict::Skip, || format!("certificate {at} sent along is left out: {error}"));
            }
        }
    }
    chain
}

/// The headers that tell an identity to the upstream. Parts that the identity lacks are not sent.
fn headers(names: &HeaderNames, identity: &Identity) -> Arc<[(Arc<str>, Arc<str>)]> {
    let mut out = Vec::with_capacity(4);
    out.push((Arc::clone(&names.user), identity.user.as_str().into()));
    if !identity.groups.is_empty() {
        out.push((Arc::clone(&names.groups), identity.groups.join(",").into()));
    }
    if let (Some(name), Some(uid)) = (&names.uid, &identity.uid) {
        out.push((Arc::clone(name), uid.as_str().into()));
    }
    for (key, name) in &names.extra {
        if let Some(values) = identity.extra.get(key) {
            out.push((Arc::clone(name), values.join(",").into()));
        }
    }
    out.into()
}

fn source_name(source: EvidenceSource) -> &'static str {
    match source {
        EvidenceSource::PeerCertificate => "source.certificate",
        EvidenceSource::Xfcc => "x-forwarded-client-cert",
        EvidenceSource::Header => "a certificate header",
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn fail<T: Trace>(stage: &'static str, reason: Reason, detail: String, trace: &mut T) -> Denial {
    trace.step(stage, Verdict::Fail, || format!("{reason}: {detail}"));
    Denial::new(reason, detail)
}

#[cfg(test)]
mod tests;
