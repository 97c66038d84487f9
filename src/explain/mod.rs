//! `explain`: the same decision as the server's, with its steps.
//!
//! Owns the JSON form of the question and of the answer, which is stable, and the answer's form for people
//! ([`mod@render`]). The snapshot makes the decision, and [`crate::envoy::response`] makes Envoy's response; this
//! module decides nothing.

mod explanation;
mod pem;
mod presented;
mod question;
mod remote;
mod render;

pub use explanation::{
    ClientResponse, ExplainedCertificate, ExplainedDecision, ExplainedIdentity, ExplainedOutcome, ExplainedReason,
    ExplainedRequest, ExplainedStep, Explanation, StepResult, Upstream, explained_step,
};
pub use pem::{PemError, to_pem};
pub use question::{HeaderLine, Question, QuestionError};
pub use remote::{RemoteError, ask};
pub use render::{Length, PAINTED, render};

use explanation::{answer, explained_decision, upstream};
use presented::{HeaderLines, QuestionCertificates};

use crate::domain::decide::Snapshot;
use crate::domain::evidence::EvidenceSource;
use crate::domain::request::{Http, Request};
use certgate_x509::{Recorder, UnixTime};

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
        decision: explained_decision(&decision),
    })
}

#[cfg(test)]
mod tests;
