//! One Check: from a request to a decision, over an immutable snapshot.
//!
//! The walk is: select the policy, find the certificate, parse it, verify it, map it, answer. Each step either hands
//! the next one what it needs or ends in a denial; there is no other way to a [`Grant`]. What the steps mean is decided
//! where they live; here is only their order, and what a policy says about denials.

mod remembered;

use std::sync::Arc;

use super::{Policy, PolicyState, Snapshot};
use crate::domain::api::CertificateRequirement;
use crate::domain::decide::cache::DecisionCache;
use crate::domain::decide::compiled::{HeaderNames, PolicyBody, Statuses};
use crate::domain::decide::decision::{Decision, Denial, Grant, MetadataLevel, Mode, Presented, PresentedNames};
use crate::domain::decide::identity::Identity;
use crate::domain::decide::mapping::issuer::PathIssuer;
use crate::domain::decide::mapping::table::MappingTable;
use crate::domain::decide::mapping::{Unmapped, identify, identify_by_key, subject_identity};
use crate::domain::decide::reason::Reason;
use crate::domain::decide::resolved_profile::{ResolvedProfile, validity_changes};
use crate::domain::decide::verifier::{TrustedBy, Verified};
use crate::domain::evidence::{self, ChainSource, Evidence, EvidenceRule, EvidenceSource, Links};
use crate::domain::request::Request;
use certgate_x509::{Budget, Certificate, NoTrace, Sha256, Trace, UnixTime, ValidPolicies, Verdict};
use remembered::is_worth_keeping;

impl Snapshot {
    /// Decides one request, from nothing but the request and the time.
    pub fn decide<T: Trace>(&self, request: &Request<'_>, now: UnixTime, trace: &mut T) -> Decision {
        self.decide_by(request, now, None, trace)
    }

    /// [`Snapshot::decide`], with the same outcome. What was decided a moment ago is taken from `cache`, as long as
    /// nothing that it rests on has changed.
    pub fn decide_cached(&self, request: &Request<'_>, now: UnixTime, cache: &DecisionCache) -> Decision {
        self.decide_by(request, now, Some(cache), &mut NoTrace)
    }

    fn decide_by<T: Trace>(
        &self,
        request: &Request<'_>,
        now: UnixTime,
        cache: Option<&DecisionCache>,
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
        match &policy.state {
            PolicyState::Ready(profile) => {
                let mappings = &self.mappings;
                let budget = Budget::default();
                Check { policy, body, profile, mappings, request, now, budget: &budget }.decide(cache, trace)
            }
            PolicyState::Unavailable(problem) | PolicyState::Invalid(problem) => {
                let presented = carried(request, trace);
                let denial = fail("trust", Reason::TrustUnavailable, problem.clone(), trace);
                body.decision(&policy.name, presented, Err(denial), trace)
            }
        }
    }
}

impl PolicyBody {
    /// The decision of this policy, called `name`, on a verdict.
    fn decision<T: Trace>(
        &self,
        name: &Arc<str>,
        presented: Option<Arc<Presented>>,
        verdict: Result<Grant, Denial>,
        trace: &mut T,
    ) -> Decision {
        let verdict = verdict.map_err(|denial| self.statuses.apply(denial));
        if let (Err(denial), Mode::Audit) = (&verdict, self.mode) {
            trace.step("answer", Verdict::Note, || format!("mode Audit: {} is recorded, not enforced", denial.reason));
        }
        Decision::new(Some(Arc::clone(name)), self.mode, presented, verdict).with_metadata(self.metadata)
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
    budget: &'a Budget,
}

/// What a Check found on its way to the verdict.
#[derive(Default)]
struct Findings {
    /// Where the certificate was, and the certificate.
    leaf: Option<(EvidenceSource, Leaf)>,
    /// The last second at which the verdict holds, the mappings apart; `None` when it may be another one any time.
    until: Option<UnixTime>,
    /// Whether mappings were looked up.
    is_mapped: bool,
}

/// A certificate that was presented.
enum Leaf {
    Parsed(Arc<Certificate>),
    /// SHA-256 of what is no certificate.
    Unreadable(Sha256),
}

impl Check<'_> {
    /// Takes the decision from `cache`, or makes it and leaves it there.
    fn decide<T: Trace>(&self, cache: Option<&DecisionCache>, trace: &mut T) -> Decision {
        let name = &self.policy.name;
        let cache = cache.and_then(|cache| Some((cache, self.key(cache)?)));
        if let Some((cache, key)) = cache
            && let Some(entry) = cache.recall(key, self.now, self.mappings)
            && let Some(verdict) = self.restore(&entry.outcome)
        {
            return self.body.decision(name, Some(Arc::clone(&entry.presented)), verdict, trace);
        }
        let mut findings = Findings::default();
        let verdict = self.run(&mut findings, trace);
        let names_are_read = T::KEEPS || verdict.is_err() || self.body.metadata == MetadataLevel::Full;
        let presented = findings.leaf.as_ref().map(|(source, leaf)| Arc::new(leaf.about(*source, names_are_read)));
        if let Some((cache, key)) = cache
            && let Some(entry) = self.entry(&verdict, presented.as_ref(), &findings)
        {
            cache.remember(key, entry);
        }
        self.body.decision(name, presented, verdict, trace).with_spent(self.budget.spent())
    }

    fn run<T: Trace>(&self, findings: &mut Findings, trace: &mut T) -> Result<Grant, Denial> {
        let Some(evidence) = self.evidence(trace)? else { return self.anonymous(trace) };
        let leaf = self.parse(&evidence, findings, trace)?;
        let (verified, chain) = self.verify(&leaf, &evidence, trace).inspect_err(|denial| {
            let cost = self.budget.spent().microseconds;
            findings.until = self.budget.fails_until().filter(|_| is_worth_keeping(denial, cost));
        })?;
        findings.until = Some(self.constant_until(&verified, &chain));
        findings.is_mapped = true;
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
        let grant = self.grant(identity, verified.into_policies());
        trace.step("answer", Verdict::Pass, || {
            let shown: Vec<_> = grant.headers().iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            let user = grant.identity().map(|identity| &identity.user);
            format!("allowed as {:?}, with {}", user.map_or("", |user| user), shown.join(", "))
        });
        Ok(grant)
    }

    fn grant(&self, identity: Arc<Identity>, policies: ValidPolicies) -> Grant {
        let headers = headers(&self.body.headers, &identity);
        Grant::new(Some(identity), headers).with_policies(policies)
    }

    /// The last second at which the same certificates verify alike.
    fn constant_until(&self, verified: &Verified, chain: &[Arc<Certificate>]) -> UnixTime {
        let changes = chain.iter().flat_map(|certificate| validity_changes(certificate));
        let next = changes.filter(|change| *change > self.now).map(|change| change.minus(1)).min();
        let until = verified.valid_until().min(self.profile.constant_until(self.now));
        next.map_or(until, |next| next.min(until))
    }

    /// Verifies the certificate, and gives what came along with it too.
    fn verify<T: Trace>(
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
        findings: &mut Findings,
        trace: &mut T,
    ) -> Result<Arc<Certificate>, Denial> {
        match Certificate::from_der(evidence.leaf.clone()) {
            Ok(leaf) => {
                trace.step("certificate", Verdict::Note, || {
                    let PresentedNames { subject, issuer, serial_number } = names(&leaf);
                    format!(
                        "subject {subject:?}, issuer {issuer:?}, serial number {serial_number}, valid {} to {} (now {}), \
                         sha256 {}",
                        leaf.not_before(),
                        leaf.not_after(),
                        self.now,
                        leaf.sha256()
                    )
                });
                let leaf = Arc::new(leaf);
                findings.leaf = Some((evidence.source, Leaf::Parsed(Arc::clone(&leaf))));
                Ok(leaf)
            }
            Err(error) => {
                findings.leaf = Some((evidence.source, Leaf::Unreadable(Sha256::of(&evidence.leaf))));
                Err(fail("certificate", Reason::CertMalformed, error.to_string(), trace))
            }
        }
    }
}

impl Leaf {
    fn about(&self, source: EvidenceSource, names_are_read: bool) -> Presented {
        match self {
            Self::Parsed(leaf) => {
                Presented { source, sha256: leaf.sha256(), names: names_are_read.then(|| names(leaf)) }
            }
            Self::Unreadable(sha256) => Presented { source, sha256: *sha256, names: Some(PresentedNames::default()) },
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
    let leaf = match Certificate::from_der(der.clone()) {
        Ok(leaf) => Leaf::Parsed(Arc::new(leaf)),
        Err(_) => Leaf::Unreadable(Sha256::of(&der)),
    };
    let about = leaf.about(source, true);
    trace.step("certificate", Verdict::Note, || {
        let PresentedNames { subject, issuer, serial_number } = about.names.clone().unwrap_or_default();
        format!(
            "{}: subject {subject:?}, issuer {issuer:?}, serial number {serial_number}, sha256 {}; not validated",
            source_name(source),
            about.sha256
        )
    });
    Some(Arc::new(about))
}

fn names(leaf: &Certificate) -> PresentedNames {
    PresentedNames {
        subject: leaf.subject().to_rfc4514(),
        issuer: leaf.issuer().to_rfc4514(),
        serial_number: hexadecimal(leaf.serial_number()),
    }
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
