//! From an `AdmissionReview` to its answer.
//!
//! Owns which reviews are judged at all, and how a verdict is worded. Only what changes a spec can be refused: an object
//! that is wrong already must still take a status, lose its finalizers and go. The deletion of a trust profile that is in use
//! is warned of, and never refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::sync::watch;

use super::super::api::ApiError;
use super::super::cluster::FILES_ARE_NOT_READ;
use super::super::selector::PolicySelector;
use super::super::store::Scope;
use super::super::wire;
use super::metrics::ReviewOutcome;
use super::sources::Asker;
use super::wire::{API_VERSION, CauseOut, DetailsOut, RequestIn, ResponseOut, ReviewIn, ReviewOut, StatusOut};
use crate::domain::api::{FieldError, Kind, Object, PeerSource, TrustSource};
use crate::domain::store::View;
use crate::domain::store::review::{ReviewFindings, profile_deletion, review};
use crate::panics;
use certgate_x509::UnixTime;

/// The group of the kinds.
const GROUP: &str = "certgate.dev";

/// How long a refusal or a warning for the sake of other objects waits for them: one that was written just before, in the same
/// `kubectl apply`, may not have been seen yet.
const SETTLING: Duration = Duration::from_millis(400);

/// The pause before a source is asked for again that was not there.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The most causes of one refusal, and the longest message in bytes.
const MAX_CAUSES: usize = 200;
const MAX_MESSAGE: usize = 30_000;

/// The most warnings, and how long one may be; the API server cuts what is longer (KEP-1693).
const MAX_WARNINGS: usize = 15;
const MAX_WARNING: usize = 250;

/// Values of an object that is judged. Ten thousand entries in each list of a profile are some 80,000; the shortest values take
/// two octets in a review, and hundreds once they are read.
const MAX_VALUES: usize = 300_000;

/// Why a request is no review that can be answered.
#[derive(Debug, Error)]
pub enum Malformed {
    /// It is not what it should be.
    #[error("not an AdmissionReview: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It is something else.
    #[error("want AdmissionReview of {API_VERSION}, found {0}")]
    Other(String),
    /// It asks for something that is not judged here.
    #[error("{0}")]
    Unasked(String),
    /// The object cannot be read.
    #[error("the object cannot be read: {0}")]
    Object(ApiError),
}

/// An answer, and what metrics say of it.
#[derive(Debug)]
pub struct Answer {
    /// The `AdmissionReview` as JSON.
    pub body: Vec<u8>,
    /// What was judged.
    pub kind: Option<Kind>,
    /// What came of it.
    pub outcome: ReviewOutcome,
}

/// Judges reviews by the latest view.
#[derive(Clone, Debug)]
pub struct Reviewer {
    view: watch::Receiver<Option<Arc<View>>>,
    scope: Scope,
    selector: Option<PolicySelector>,
    clock: fn() -> UnixTime,
    /// Where it is asked what there is of the sources of a profile.
    asker: Option<Asker>,
}

impl Reviewer {
    /// A reviewer over the views of a cluster that is followed within `scope`, its policies by `selector`; `None` as long
    /// as there is none.
    pub fn new(
        view: watch::Receiver<Option<Arc<View>>>,
        scope: Scope,
        selector: Option<PolicySelector>,
        clock: fn() -> UnixTime,
    ) -> Self {
        Self { view, scope, selector, clock, asker: None }
    }

    /// The same, which asks the cluster for the sources of trust profiles.
    #[must_use]
    pub fn asking(self, asker: Asker) -> Self {
        Self { asker: Some(asker), ..self }
    }

    /// Answers one review.
    pub async fn answer(&self, body: &[u8]) -> Result<Answer, Malformed> {
        let asked = match panics::guarded(|| Asked::read(body)) {
            Ok(asked) => asked?,
            Err(panic) => {
                tracing::error!(place = panic.place, panic = panic.message, "panic while reading an admission review");
                return Err(Malformed::Unasked("certgate failed on this review".to_owned()));
            }
        };
        let (kind, outcome, response) = match &asked.spec {
            Spec::Unchanged => (asked.kind, ReviewOutcome::Allowed, allowed(&asked.uid, Vec::new())),
            Spec::Deleted => {
                let view = self.view.borrow().clone();
                let found = view.map(|view| profile_deletion(&view, &asked.namespace, &asked.name)).unwrap_or_default();
                let outcome = if found.is_empty() { ReviewOutcome::Allowed } else { ReviewOutcome::Warned };
                (asked.kind, outcome, allowed(&asked.uid, warnings(&found)))
            }
            Spec::Written { object, only_labels } => {
                let (outcome, response) = self.judge(&asked, object, *only_labels).await;
                (asked.kind, outcome, response)
            }
        };
        let review = ReviewOut { api_version: API_VERSION, kind: "AdmissionReview", response };
        Ok(Answer { body: serde_json::to_vec(&review)?, kind: Some(kind), outcome })
    }

    async fn judge<'a>(
        &self,
        asked: &'a Asked,
        object: &Object,
        only_labels: bool,
    ) -> (ReviewOutcome, ResponseOut<'a>) {
        let began = Instant::now();
        let mut views = self.view.clone();
        loop {
            let current = views.borrow_and_update().clone();
            let Some(view) = current else {
                let message = "certgate has not read the cluster yet; try again in a moment";
                return (ReviewOutcome::NotReady, refused(&asked.uid, unavailable(message.to_owned())));
            };
            let now = (self.clock)();
            let judged = panics::guarded(|| review(&view, object, now));
            let mut verdict = match judged {
                Ok(verdict) => verdict,
                Err(panic) => {
                    tracing::error!(place = panic.place, panic = panic.message, "panic while reviewing an object");
                    let message = "certgate failed on this object (a defect: its log has the place); nothing is admitted unjudged";
                    return (ReviewOutcome::Failed, refused(&asked.uid, internal(message.to_owned())));
                }
            };
            // Refused or warned of only for the sake of others: they may be on their way.
            let left = SETTLING.saturating_sub(began.elapsed());
            let is_about_others = !verdict.contradictions.is_empty() || verdict.is_pending;
            let may_pass_yet = verdict.errors.is_empty() && is_about_others && !only_labels;
            if may_pass_yet
                && !left.is_zero()
                && let Ok(Ok(())) = tokio::time::timeout(left, views.changed()).await
            {
                continue;
            }
            if verdict.is_good() && !only_labels {
                verdict.warnings.extend(self.unreadable_sources(object, began + SETTLING).await);
            }
            return self.settle(asked, verdict, only_labels);
        }
    }

    /// What is not there of the sources of a profile. It may be on its way, so it is asked for until the time is over.
    async fn unreadable_sources(&self, object: &Object, until: Instant) -> Vec<FieldError> {
        let (Some(asker), Object::TrustProfile { meta, spec }) = (&self.asker, object) else { return Vec::new() };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let problems = asker.problems(&meta.namespace, spec, left.max(ASK_AGAIN)).await;
            if problems.is_empty() || until.saturating_duration_since(Instant::now()) < ASK_AGAIN {
                return problems;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    fn settle<'a>(
        &self,
        asked: &'a Asked,
        mut verdict: ReviewFindings,
        only_labels: bool,
    ) -> (ReviewOutcome, ResponseOut<'a>) {
        if only_labels {
            // The spec is as it was: nothing may hold this up, but what the labels cause should be known.
            let ReviewFindings { errors, contradictions, .. } = std::mem::take(&mut verdict);
            verdict.warnings = errors.into_iter().chain(contradictions).collect();
        }
        if !verdict.is_good() {
            return (ReviewOutcome::Refused, refused(&asked.uid, invalid(asked, &verdict)));
        }
        verdict.warnings.extend(files(asked));
        let mut warnings = warnings(&verdict.warnings);
        if let Scope::Namespaces(names) = &self.scope
            && !names.contains(&asked.namespace)
        {
            warnings.push(format!("certgate does not follow namespace {}: the object has no effect", asked.namespace));
        }
        if let (Some(selector), Spec::Written { object, .. }) = (&self.selector, &asked.spec)
            && asked.kind == Kind::CertificatePolicy
            && !selector.selects(&object.meta().labels)
        {
            warnings.push(format!("certgate follows the policies with labels {selector}: this one has no effect here"));
        }
        let outcome = if warnings.is_empty() { ReviewOutcome::Allowed } else { ReviewOutcome::Warned };
        (outcome, allowed(&asked.uid, warnings))
    }
}

/// What a review asks.
struct Asked {
    uid: String,
    kind: Kind,
    name: String,
    namespace: String,
    spec: Spec,
}

enum Spec {
    /// An update that leaves spec and labels as they are, or only the spec of an object that is on its way out.
    Unchanged,
    /// The deletion of a trust profile, which passes in any case.
    Deleted,
    /// Anything else.
    Written { object: Box<Object>, only_labels: bool },
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let review: ReviewIn<'_> = serde_json::from_slice(body)?;
        if review.api_version != API_VERSION || review.kind != "AdmissionReview" {
            return Err(Malformed::Other(format!("{} {}", short(&review.api_version), short(&review.kind))));
        }
        let request = review.request.ok_or_else(|| Malformed::Unasked("the review has no request".to_owned()))?;
        let kinds = [Kind::TrustProfile, Kind::CertificatePolicy, Kind::CertificateMapping];
        let kind = kinds.into_iter().find(|kind| is_of(&request, *kind)).ok_or_else(|| {
            Malformed::Unasked(format!(
                "{} of {} is not judged here",
                short(&request.kind.kind),
                short(&request.kind.group)
            ))
        })?;
        if !request.sub_resource.is_empty() {
            return Err(Malformed::Unasked(format!(
                "sub-resource {} is not judged here",
                short(&request.sub_resource)
            )));
        }
        let update = match request.operation.as_str() {
            "CREATE" => false,
            "UPDATE" => true,
            "DELETE" if kind == Kind::TrustProfile => {
                let RequestIn { uid, name, namespace, .. } = request;
                return Ok(Self { uid, kind, name, namespace, spec: Spec::Deleted });
            }
            other => return Err(Malformed::Unasked(format!("operation {} is not judged here", short(other)))),
        };
        let raw = request.object.ok_or_else(|| Malformed::Unasked("the review has no object".to_owned()))?;
        if values(raw.get()) > MAX_VALUES {
            return Err(Malformed::Unasked(format!("the object has more than {MAX_VALUES} values")));
        }
        let changed = match request.old_object.filter(|_| update) {
            Some(old) => Changed::between(old, raw)?,
            None => Changed::Spec,
        };
        let (name, namespace) = (request.name, request.namespace);
        let spec = match changed {
            Changed::Nothing => Spec::Unchanged,
            Changed::Labels | Changed::Spec => {
                let (received, _) = wire::object(kind, raw.get()).map_err(Malformed::Object)?;
                let mut object = received.object;
                if object.meta().name.is_empty() {
                    // A name that the API server is about to generate.
                    object.meta_mut().name = if name.is_empty() { "generated".to_owned() } else { name.clone() };
                }
                Spec::Written { object: Box::new(object), only_labels: matches!(changed, Changed::Labels) }
            }
        };
        Ok(Self { uid: request.uid, kind, name, namespace, spec })
    }
}

fn is_of(request: &RequestIn<'_>, kind: Kind) -> bool {
    request.kind.group == GROUP
        && request.kind.kind == kind.name()
        && kind.api_version().strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/')) == Some(&request.kind.version)
}

/// What an update changes, as far as it matters here.
enum Changed {
    Nothing,
    Labels,
    Spec,
}

impl Changed {
    fn between(old: &RawValue, new: &RawValue) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            metadata: PartMeta,
            #[serde(default)]
            spec: Value,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct PartMeta {
            labels: Option<Value>,
            deletion_timestamp: Option<String>,
        }
        let (old, new): (Part, Part) = (serde_json::from_str(old.get())?, serde_json::from_str(new.get())?);
        // An object that waits for its finalizers decides until it is gone, so its spec is judged as any.
        Ok(if old.spec != new.spec {
            Self::Spec
        } else if old.metadata.labels != new.metadata.labels && new.metadata.deletion_timestamp.is_none() {
            Self::Labels
        } else {
            Self::Nothing
        })
    }
}

/// A warning for each source of a profile that is a file: it works in a directory only.
fn files(asked: &Asked) -> Vec<FieldError> {
    let Spec::Written { object, .. } = &asked.spec else { return Vec::new() };
    let Object::TrustProfile { spec, .. } = object.as_ref() else { return Vec::new() };
    let peers: Vec<TrustSource> = spec.trusted_peers.iter().map(PeerSource::source).collect();
    let lists =
        [("trustAnchors", &spec.trust_anchors), ("intermediates", &spec.intermediates), ("trustedPeers", &peers)];
    let certificates = lists.into_iter().flat_map(|(name, list)| {
        list.iter()
            .enumerate()
            .filter(|(_, source)| source.file.is_some())
            .map(move |(at, _)| format!("spec.{name}[{at}].file"))
    });
    let crls = spec.revocation.iter().flat_map(|revocation| &revocation.crls).enumerate();
    let crls =
        crls.filter(|(_, source)| source.file.is_some()).map(|(at, _)| format!("spec.revocation.crls[{at}].file"));
    certificates.chain(crls).map(|field| FieldError::new(field, FILES_ARE_NOT_READ)).collect()
}

fn allowed(uid: &str, warnings: Vec<String>) -> ResponseOut<'_> {
    ResponseOut { uid, allowed: true, status: None, warnings }
}

fn refused(uid: &str, status: StatusOut) -> ResponseOut<'_> {
    ResponseOut { uid, allowed: false, status: Some(status), warnings: Vec::new() }
}

fn unavailable(message: String) -> StatusOut {
    StatusOut { status: "Failure", code: 503, reason: "ServiceUnavailable", message, details: None }
}

fn internal(message: String) -> StatusOut {
    StatusOut { status: "Failure", code: 500, reason: "InternalError", message, details: None }
}

fn invalid(asked: &Asked, verdict: &ReviewFindings) -> StatusOut {
    let (mut causes, mut message) = (Vec::new(), String::new());
    let mut left_out = 0_usize;
    for FieldError { path, message: problem } in verdict.wrong() {
        if causes.len() == MAX_CAUSES || message.len() + path.len() + problem.len() > MAX_MESSAGE {
            left_out += 1;
            continue;
        }
        if !message.is_empty() {
            message.push_str("; ");
        }
        message.push_str(&format!("{path}: {problem}"));
        causes.push(CauseOut { reason: "FieldValueInvalid", field: path.clone(), message: problem.clone() });
    }
    if left_out > 0 {
        message.push_str(&format!("; and {left_out} more"));
        let message = format!("and {left_out} errors more");
        causes.push(CauseOut { reason: "FieldValueInvalid", field: "spec".to_owned(), message });
    }
    let (name, kind) = (asked.name.clone(), asked.kind.name().to_owned());
    StatusOut {
        status: "Failure",
        code: 422,
        reason: "Invalid",
        message,
        details: Some(DetailsOut { name, group: GROUP.to_owned(), kind, causes }),
    }
}

fn warnings(found: &[FieldError]) -> Vec<String> {
    let mut out: Vec<String> = found.iter().take(MAX_WARNINGS).map(|warning| cut(warning.to_string())).collect();
    if let Some(more @ 1..) = found.len().checked_sub(MAX_WARNINGS) {
        out.push(format!("and {more} warnings more; `certgate check` names all"));
    }
    out
}

/// At most [`MAX_WARNING`] bytes, without characters that a header could not carry.
fn cut(text: String) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.len() <= MAX_WARNING {
        return plain;
    }
    let end = (0..MAX_WARNING - 3).rev().find(|at| plain.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &plain[..end])
}

fn short(text: &str) -> String {
    text.chars().take(60).filter(|c| !c.is_control()).collect()
}

/// Values in JSON text, in lists and objects of any depth: what stands between brackets and commas outside of strings.
fn values(json: &str) -> usize {
    let (mut count, mut quoted, mut escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' | b',' if !quoted => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests;
