//! `explain`: the same decision as the server's, with its steps.
//!
//! Owns the JSON form of the question and of the answer, which is stable, and the answer's form for people
//! ([`mod@render`]). The snapshot makes the decision, and [`crate::envoy::response`] makes Envoy's response; this
//! module decides nothing.

mod pem;
mod remote;
mod render;

use std::fmt::Write as _;
use std::iter;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

pub use pem::{PemError, to_pem};
pub use remote::{RemoteError, ask};
pub use render::{Length, PAINTED, render};

use crate::domain::decide::Snapshot;
use crate::domain::decide::decision::{Decision, Effect, Presented, PresentedNames, Reveal};
use crate::domain::evidence::xfcc::{HEADER as XFCC, MAX_ELEMENTS};
use crate::domain::evidence::{EvidenceRule, EvidenceSource};
use crate::domain::request::{Headers, Http, Request};
use crate::envoy::response::{Passage, REASON_HEADER, mode_word, source_word};
use certgate_x509::{Recorder, Sha256, UnixTime, Verdict};

/// Characters of the compared values that an explanation shows; the steps have their own limit.
const MAX_DETAIL: usize = 8192;

/// A request to explain. Absent `host`, `path` and `method` together mean a TCP connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Question {
    /// The policy that the route names, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// `:authority` or `Host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The raw request target. Absent with a host: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The method. Absent with a host: `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Request headers.
    pub headers: Vec<HeaderLine>,
    /// The client's certificate in PEM; further certificates in it count as `chain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Certificates that the client sends along, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The time to decide at, RFC 3339 in UTC. Absent: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The address of the TCP peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<IpAddr>,
}

/// A header line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderLine {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Why a question was not answered.
#[derive(Debug, Error)]
pub enum QuestionError {
    /// The time is in another form.
    #[error("the time {0:?} is not RFC 3339 in UTC with whole seconds, such as 2026-01-31T12:00:00Z")]
    Time(String),
    /// The certificate, or the chain, is not PEM.
    #[error("{what}: {error}")]
    Pem {
        /// `certificate` or `chain`.
        what: &'static str,
        /// What is wrong with it.
        error: PemError,
    },
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The time of the decision, RFC 3339.
    pub at: String,
    /// The generation of the policies that decided.
    pub generation: u64,
    /// Warnings about the policies that decided, for example that a later edit was rejected.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
    /// The request as it was decided.
    pub request: ExplainedRequest,
    /// The steps in order.
    pub steps: Vec<ExplainedStep>,
    /// The decision.
    pub decision: Decided,
    /// Changes of the request when it passes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub upstream: Option<Upstream>,
    /// The client's response when the request is denied.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<ClientResponse>,
}

/// The request in an [`Explanation`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExplainedRequest {
    /// The policy that the route names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The host, of an HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The raw path, of an HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The method, of an HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The names of the headers that were given.
    pub headers: Vec<String>,
    /// How many certificates were given: the client's own and those sent along.
    pub certificates: usize,
    /// The address of the TCP peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<IpAddr>,
}

/// How a step ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepResult {
    /// The check passed.
    Pass,
    /// The check failed and decides the denial.
    Fail,
    /// An alternative that did not apply.
    Skip,
    /// A finding without effect on the decision.
    Note,
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedStep {
    /// The stage, such as `select` or `mapping`.
    pub stage: String,
    /// How the step ended.
    pub result: StepResult,
    /// What was compared.
    pub detail: String,
}

/// Whether the request passes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExplainedOutcome {
    /// It passes.
    Allow,
    /// It passes although the policy denies it, because the policy is in mode Audit.
    AllowAudited,
    /// It is denied.
    Deny,
}

/// The decision in an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// Whether the request passes.
    pub outcome: ExplainedOutcome,
    /// The deciding policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
    /// `Enforce` or `Audit`.
    pub mode: String,
    /// Why it was denied.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<ExplainedReason>,
    /// The identity of the client.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identity: Option<ExplainedIdentity>,
    /// The certificate that was used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate: Option<ExplainedCertificate>,
    /// The certificate policies that its path is valid for, dotted; `anyPolicy` represents all others.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub certificate_policies: Vec<String>,
}

/// A row of the table of reasons, with the values of this decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedReason {
    /// The stable code.
    pub code: String,
    /// The IIS sub-status; empty when there is none.
    pub iis: String,
    /// What the code means.
    pub meaning: String,
    /// What to do about it.
    pub action: String,
    /// What was compared.
    pub detail: String,
}

impl ExplainedReason {
    /// The row of `reason`, with what was compared.
    pub fn new(reason: crate::domain::decide::reason::Reason, detail: &str) -> Self {
        let row = reason.row();
        Self {
            code: row.code.to_owned(),
            iis: row.iis.to_owned(),
            meaning: row.meaning.to_owned(),
            action: row.action.to_owned(),
            detail: crate::telemetry::clean(detail.as_bytes(), MAX_DETAIL),
        }
    }
}

/// An identity in an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedIdentity {
    /// The account's name.
    pub user: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its lasting identifier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<String>,
    /// Further attributes.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty", default)]
    pub extra: std::collections::BTreeMap<String, Vec<String>>,
}

/// A certificate in an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedCertificate {
    /// Where it was found, as policies write it.
    pub source: String,
    /// SHA-256 of its DER.
    pub sha256: String,
    /// Its subject, RFC 4514.
    pub subject: String,
    /// Its issuer, RFC 4514.
    pub issuer: String,
    /// Its serial number, lower-case hexadecimal. Earlier servers call it `serial`.
    #[serde(alias = "serial")]
    pub serial_number: String,
}

/// Changes of the request on its way to the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Headers that are set, in place of the client's.
    pub set: Vec<HeaderLine>,
    /// Headers that are removed.
    pub remove: Vec<String>,
}

/// The response to a denied client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers that certgate adds.
    pub headers: Vec<HeaderLine>,
}

impl Explanation {
    /// Whether the request passes.
    pub fn passes(&self) -> bool {
        self.decision.outcome != ExplainedOutcome::Deny
    }
}

/// Decides the question's request by `snapshot`, at the question's time or else `now`, and keeps the steps.
pub fn explain(question: &Question, snapshot: &Snapshot, now: UnixTime) -> Result<Explanation, QuestionError> {
    let at = match &question.at {
        Some(text) => UnixTime::parse_rfc3339(text).ok_or_else(|| QuestionError::Time(text.clone()))?,
        None => now,
    };
    let presented = QuestionCertificates::of(question)?;
    let given = HeaderLines(&question.headers, None);
    let (host, path, method) = (&question.host, &question.path, &question.method);
    let or = |text: &Option<String>, other: &str| text.clone().unwrap_or_else(|| other.to_owned());
    let http = (host.is_some() || path.is_some() || method.is_some())
        .then(|| (or(host, ""), or(path, "/"), or(method, "GET")));
    let request = Request {
        named_policy: question.policy.as_deref().map(str::as_bytes),
        http: http.as_ref().map(|(host, path, method)| Http {
            host: host.as_bytes(),
            method: method.as_bytes(),
            path: path.as_bytes(),
        }),
        peer_certificate: presented.leaf.as_bytes(),
        headers: &given,
        source_address: question.source_address,
    };
    let made = presented.xfcc(question, snapshot.evidence_of(&request));
    let headers = HeaderLines(&question.headers, made.as_ref().map(|made| made.value.as_str()));
    let request = Request { headers: &headers, ..request };
    let mut recorder = Recorder::default();
    let decision = snapshot.decide(&request, at, &mut recorder);
    let read = decision.presented().is_some_and(|presented| presented.source == EvidenceSource::Xfcc);
    let assumed = made.and_then(|made| made.assumed).filter(|_| read);
    let (host, path, method) = http.map_or((None, None, None), |(h, p, m)| (Some(h), Some(p), Some(m)));
    Ok(Explanation {
        at: at.to_string(),
        generation: snapshot.generation(),
        warnings: assumed.into_iter().collect(),
        request: ExplainedRequest {
            policy: question.policy.clone(),
            host,
            path,
            method,
            headers: question.headers.iter().map(|line| line.name.to_ascii_lowercase()).collect(),
            certificates: presented.count,
            source_address: question.source_address,
        },
        steps: recorder.steps().iter().map(explained_step).collect(),
        upstream: upstream(&decision, snapshot),
        answer: answer(&decision),
        decision: decided(&decision),
    })
}

/// A step as answers hold it.
pub fn explained_step(step: &certgate_x509::TraceStep) -> ExplainedStep {
    let result = match step.verdict {
        Verdict::Pass => StepResult::Pass,
        Verdict::Fail => StepResult::Fail,
        Verdict::Skip => StepResult::Skip,
        Verdict::Note => StepResult::Note,
    };
    ExplainedStep { stage: step.stage.to_owned(), result, detail: step.detail.clone() }
}

fn upstream(decision: &Decision, snapshot: &Snapshot) -> Option<Upstream> {
    let Effect::Pass(grant) = decision.effect() else { return None };
    let set = grant.map(|grant| grant.headers()).unwrap_or_default();
    let passage = Passage::new(set, snapshot.identity_headers()).ok()?;
    Some(Upstream {
        set: passage.set().iter().map(|(name, value)| line(name, value)).collect(),
        remove: passage.removed().map(str::to_owned).collect(),
    })
}

fn answer(decision: &Decision) -> Option<ClientResponse> {
    let Effect::Refuse(denial) = decision.effect() else { return None };
    let headers = match denial.reveal {
        Reveal::Nothing => Vec::new(),
        Reveal::Reason => vec![line(REASON_HEADER, denial.reason.code())],
    };
    Some(ClientResponse { status: denial.status, headers })
}

fn decided(decision: &Decision) -> Decided {
    let denial = decision.verdict().err();
    Decided {
        outcome: match (decision.verdict(), decision.effect()) {
            (Ok(_), Effect::Pass(_)) => ExplainedOutcome::Allow,
            (Err(_), Effect::Pass(_)) => ExplainedOutcome::AllowAudited,
            (_, Effect::Refuse(_)) => ExplainedOutcome::Deny,
        },
        policy: decision.policy().map(str::to_owned),
        mode: mode_word(decision.mode()).to_owned(),
        reason: denial.map(|denial| ExplainedReason::new(denial.reason, &denial.detail)),
        identity: decision.verdict().ok().and_then(|grant| grant.identity()).map(|identity| ExplainedIdentity {
            user: identity.user.clone(),
            groups: identity.groups.clone(),
            uid: identity.uid.clone(),
            extra: identity.extra.clone(),
        }),
        certificate_policies: decision.verdict().map(|grant| grant.policies().names()).unwrap_or_default(),
        certificate: decision.presented().map(|presented| ExplainedCertificate {
            source: source_word(presented.source).to_owned(),
            sha256: presented.sha256.to_string(),
            subject: name(presented, |names| &names.subject),
            issuer: name(presented, |names| &names.issuer),
            serial_number: name(presented, |names| &names.serial_number),
        }),
    }
}

fn name(presented: &Presented, which: fn(&PresentedNames) -> &String) -> String {
    presented.names.as_ref().map(which).cloned().unwrap_or_default()
}

fn line(name: &str, value: &str) -> HeaderLine {
    HeaderLine { name: name.to_owned(), value: value.to_owned() }
}

/// The question's certificates in the form in which Envoy forwards them.
struct QuestionCertificates {
    /// URL-encoded PEM of the leaf; empty when there is none.
    leaf: String,
    /// URL-encoded PEM of leaf and chain.
    chain: String,
    /// The PEM of each certificate.
    blocks: Vec<String>,
    sha256: Option<Sha256>,
    count: usize,
}

impl QuestionCertificates {
    fn of(question: &Question) -> Result<Self, QuestionError> {
        let blocks = |what, text: &Option<String>| match text {
            Some(text) => pem::certificates(text).map_err(|error| QuestionError::Pem { what, error }),
            None => Ok(Vec::new()),
        };
        let mut all = blocks("certificate", &question.certificate)?;
        all.extend(blocks("chain", &question.chain)?);
        let leaf = all.first().filter(|_| question.certificate.is_some());
        Ok(Self {
            leaf: leaf.map(|block| url_encode(&block.text)).unwrap_or_default(),
            sha256: leaf.and_then(|block| block.der.as_deref()).map(Sha256::of),
            chain: all.iter().map(|block| url_encode(&block.text)).collect(),
            count: all.len(),
            blocks: all.into_iter().map(|block| block.text).collect(),
        })
    }

    /// The header that a proxy forwards with `cert` and `chain` details, unless the question has one: so that policies
    /// with these `rules` of evidence can be explained, too. `None` without a rule that reads the header.
    fn xfcc(&self, question: &Question, rules: &[EvidenceRule]) -> Option<MadeHeader> {
        let given = question.headers.iter().any(|line| line.name.eq_ignore_ascii_case(XFCC));
        let sha256 = self.sha256.filter(|_| !given)?;
        let wanted = rules.iter().find_map(|rule| match rule {
            EvidenceRule::Xfcc { element, by } => Some((element.get(), by.as_deref())),
            EvidenceRule::PeerCertificate { .. } | EvidenceRule::Header { .. } => None,
        });
        let reads = |rule: &EvidenceRule| matches!(rule, EvidenceRule::PeerCertificate { .. });
        let (element, by) = wanted.or_else(|| rules.iter().any(reads).then_some((1, None)))?;
        let later = element.saturating_sub(1).min(MAX_ELEMENTS);
        let odd = by.filter(|by| by.contains([',', ';', '"']) || !by.bytes().all(|octet| octet.is_ascii_graphic()));
        let value = match odd {
            Some(by) => self.json(sha256, by, later),
            None => self.text(sha256, by, later),
        };
        let place = (element > 1).then(|| format!("as element {element} from the right"));
        let form = odd.map(|_| "in the JSON form, since the text form cannot carry this By".to_owned());
        let by = by.map(|by| format!("with By={by}"));
        let assumed: Vec<String> = place.into_iter().chain(by).chain(form).collect();
        let assumed = (!assumed.is_empty()).then(|| {
            format!(
                "no {XFCC} was given: the certificate is assumed to come in it {}, because the policy's evidence asks \
                 for that. Pass what your proxy sends with --header",
                assumed.join(", ")
            )
        });
        Some(MadeHeader { value, assumed })
    }

    /// The header in the text form, with `later` elements of further proxies.
    fn text(&self, sha256: Sha256, by: Option<&str>, later: usize) -> String {
        let own = by.map(|by| format!("By={by};")).unwrap_or_default();
        let later = ",By=".repeat(later);
        format!("{own}Hash={sha256};Cert=\"{}\";Chain=\"{}\"{later}", self.leaf, self.chain)
    }

    /// The same in the JSON form.
    fn json(&self, sha256: Sha256, by: &str, later: usize) -> String {
        let own = json!({"by": [by], "hash": sha256.to_string(), "cert": self.blocks.first(), "chain": self.blocks});
        let elements: Vec<_> = iter::once(own).chain(iter::repeat_n(json!({"by": [""]}), later)).collect();
        json!(elements).to_string()
    }
}

/// The XFCC header made from the question's certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MadeHeader {
    value: String,
    /// The note about the header where it holds more than the certificates.
    assumed: Option<String>,
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
    out
}

/// The question's headers, and the header that the proxy adds.
struct HeaderLines<'q>(&'q [HeaderLine], Option<&'q str>);

impl Headers for HeaderLines<'_> {
    fn lines<'h>(&'h self, name: &str, out: &mut Vec<&'h [u8]>) {
        out.extend(self.0.iter().filter(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value.as_bytes()));
        if let Some(xfcc) = self.1.filter(|_| name == XFCC) {
            out.push(xfcc.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
