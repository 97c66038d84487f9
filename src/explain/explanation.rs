//! The answer of `explain` in its stable JSON form, and how a decision becomes one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::question::HeaderLine;
use crate::domain::decide::Snapshot;
use crate::domain::decide::decision::{Decision, Effect, Presented, PresentedNames, Reveal};
use crate::domain::decide::reason::Reason;
use crate::envoy::response::{PassResponse, REASON_HEADER, mode_word, source_word};
use crate::telemetry::clean;
use certgate_x509::{TraceStep, Verdict};

/// The most characters of the compared values in an explanation; the steps have their own limit.
const MAX_DETAIL: usize = 8192;

/// The answer to a [`Question`](super::Question).
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
    pub decision: ExplainedDecision,
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
pub struct ExplainedDecision {
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
    pub fn new(reason: Reason, detail: &str) -> Self {
        let row = reason.row();
        Self {
            code: row.code.to_owned(),
            iis: row.iis.to_owned(),
            meaning: row.meaning.to_owned(),
            action: row.action.to_owned(),
            detail: clean(detail.as_bytes(), MAX_DETAIL),
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
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub extra: BTreeMap<String, Vec<String>>,
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

/// The form of a step in an explanation.
pub fn explained_step(step: &TraceStep) -> ExplainedStep {
    let result = match step.verdict {
        Verdict::Pass => StepResult::Pass,
        Verdict::Fail => StepResult::Fail,
        Verdict::Skip => StepResult::Skip,
        Verdict::Note => StepResult::Note,
    };
    ExplainedStep { stage: step.stage.to_owned(), result, detail: step.detail.clone() }
}

pub(super) fn upstream(decision: &Decision, snapshot: &Snapshot) -> Option<Upstream> {
    let Effect::Pass(grant) = decision.effect() else { return None };
    let set = grant.map(|grant| grant.headers()).unwrap_or_default();
    let passage = PassResponse::new(set, snapshot.identity_headers()).ok()?;
    Some(Upstream {
        set: passage.set().iter().map(|(name, value)| line(name, value)).collect(),
        remove: passage.removed().map(str::to_owned).collect(),
    })
}

pub(super) fn answer(decision: &Decision) -> Option<ClientResponse> {
    let Effect::Refuse(denial) = decision.effect() else { return None };
    let headers = match denial.reveal {
        Reveal::Nothing => Vec::new(),
        Reveal::Reason => vec![line(REASON_HEADER, denial.reason.code())],
    };
    Some(ClientResponse { status: denial.status, headers })
}

pub(super) fn explained_decision(decision: &Decision) -> ExplainedDecision {
    let denial = decision.verdict().err();
    ExplainedDecision {
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

pub(super) fn line(name: &str, value: &str) -> HeaderLine {
    HeaderLine { name: name.to_owned(), value: value.to_owned() }
}

fn name(presented: &Presented, which: fn(&PresentedNames) -> &String) -> String {
    presented.names.as_ref().map(which).cloned().unwrap_or_default()
}
