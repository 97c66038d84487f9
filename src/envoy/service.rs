//! One Check: from the bytes of a CheckRequest to the bytes of its answer.
//!
//! Owns the sequence around a decision: one load of the current policies, one reading of the clock, the decision, the
//! answer, the count and the log line. Any failure here denies in a successful call: Envoy turns a failed call into an
//! allow under `failure_mode_allow`, but never a denial.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::request::CheckRequest;
use super::response::{Reply, Sent, mode_word, source_word};
use crate::domain::decide::Snapshot;
use crate::domain::decide::cache::DecisionCache;
use crate::domain::decide::decision::{Decision, Denial, Mode};
use crate::domain::decide::reason::Reason;
use crate::domain::request::{Headers, Request};
use crate::metrics::Metrics;
use crate::panics::{self, Panic};
use crate::telemetry::clean;
use crate::telemetry::limit::LogLimit;
use certgate_x509::UnixTime;

/// Limit of characters of a foreign text in a log line.
const LOGGED: usize = 256;

/// Limit of characters of a denial's compared values in a log line.
const LOGGED_DETAIL: usize = 1024;

/// Decides a request by the current policies: [`Snapshot::decide_cached`], unless a test replaces it.
struct Decider(Box<DecideFn>);

type DecideFn = dyn Fn(&Snapshot, &Request<'_>, UnixTime, &DecisionCache) -> Decision + Send + Sync;

impl std::fmt::Debug for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decider")
    }
}

/// Answers CheckRequests by the current policies.
#[derive(Debug)]
pub struct Authorizer {
    current: ArcSwapOption<Snapshot>,
    metrics: Arc<Metrics>,
    clock: fn() -> UnixTime,
    denial_log: LogLimit,
    cache: Arc<DecisionCache>,
    decider: Decider,
}

impl Authorizer {
    /// An authorizer without policies, which denies everything until [`Authorizer::publish`]. It logs at most
    /// `denials_per_second` denials.
    pub fn new(metrics: Arc<Metrics>, clock: fn() -> UnixTime, denials_per_second: u32) -> Self {
        let (current, cache) = (ArcSwapOption::empty(), Arc::default());
        let decider = Decider(Box::new(Snapshot::decide_cached));
        Self {
            current,
            metrics,
            clock,
            denial_log: LogLimit::new(denials_per_second, Duration::from_secs(1)),
            cache,
            decider,
        }
    }

    /// The same, with `decide` in place of the decision by policies.
    #[cfg(test)]
    pub(super) fn deciding_by(self, decide: impl Fn(&Request<'_>) -> Decision + Send + Sync + 'static) -> Self {
        Self { decider: Decider(Box::new(move |_, request, _, _| decide(request))), ..self }
    }

    /// The same, with a cache that the caller shares.
    #[must_use]
    pub fn caching(self, cache: Arc<DecisionCache>) -> Self {
        Self { cache, ..self }
    }

    /// Makes `snapshot` current, and returns the one before it. Requests in flight keep theirs.
    pub fn publish(&self, snapshot: Arc<Snapshot>) -> Option<Arc<Snapshot>> {
        self.current.swap(Some(snapshot))
    }

    /// The current snapshot.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.load_full()
    }

    /// The metrics that count the decisions.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Answers the CheckRequest in `message`.
    pub fn check(&self, message: &[u8]) -> Reply {
        let started = Instant::now();
        let now = (self.clock)();
        let current = self.current.load();
        panics::guarded(|| {
            let snapshot = current.as_deref();
            let headers = snapshot.map(Snapshot::identity_headers).unwrap_or_default();
            let request = CheckRequest::parse(message);
            let decision = match (&request, snapshot) {
                (Ok(request), Some(snapshot)) => {
                    let decision = (self.decider.0)(snapshot, &request.request(), now, &self.cache);
                    request.headers_were_readable().map_or_else(|error| self.unreadable(&error), |()| decision)
                }
                (Ok(_), None) => Decision::refused(Reason::TrustUnavailable, "the policies are not loaded yet"),
                (Err(error), _) => self.unreadable(error),
            };
            let (reply, sent) = Reply::to(&decision, headers);
            if sent == Sent::RefusedInstead {
                tracing::error!(policy = decision.policy(), "a grant's headers cannot be sent, so it was refused");
            }
            self.record(&decision, request.as_ref().ok(), now, started);
            reply
        })
        .unwrap_or_else(|panic| self.answer_panic(&panic, message.len(), started))
    }

    /// Answers a call whose message was not received.
    pub fn refuse_unreceived(&self, why: &str) -> Reply {
        self.metrics.unreadable_request();
        let decision = Decision::refused(Reason::ForwardedInvalid, why);
        self.record(&decision, None, (self.clock)(), Instant::now());
        Reply::to(&decision, &[]).0
    }

    fn unreadable(&self, error: &dyn std::error::Error) -> Decision {
        self.metrics.unreadable_request();
        Decision::refused(Reason::ForwardedInvalid, error.to_string())
    }

    fn record(&self, decision: &Decision, request: Option<&CheckRequest<'_>>, now: UnixTime, started: Instant) {
        self.metrics.decided(decision, started.elapsed());
        let Err(denial) = decision.verdict() else { return };
        match self.denial_log.admit_at(Duration::from_secs(now.as_secs().unsigned_abs())) {
            None => self.metrics.denials_not_logged(1),
            Some(left_out) => {
                if left_out > 0 {
                    tracing::warn!(left_out, "denials were left out of the log by its rate limit");
                }
                log_denial(decision, denial, request);
            }
        }
    }

    #[cold]
    fn answer_panic(&self, panic: &Panic, message_len: usize, started: Instant) -> Reply {
        self.metrics.panicked();
        tracing::error!(
            place = panic.place,
            panic = clean(panic.message.as_bytes(), LOGGED),
            message_len,
            "panic while deciding; the request was denied"
        );
        let decision = Decision::refused(Reason::Internal, "panic");
        self.metrics.decided(&decision, started.elapsed());
        Reply::to(&decision, &[]).0
    }
}

/// One structured line about one denial. The query is left out, as it may hold secrets; so is the certificate itself.
fn log_denial(decision: &Decision, denial: &Denial, request: Option<&CheckRequest<'_>>) {
    let request = request.map(CheckRequest::request);
    let http = request.and_then(|request| request.http);
    let text = |bytes: &[u8]| clean(bytes, LOGGED);
    let presented = decision.presented();
    let names = presented.and_then(|presented| presented.names.as_ref());
    tracing::info!(
        target: "certgate::denial",
        reason = denial.reason.code(),
        iis = denial.reason.row().iis,
        policy = decision.policy(),
        mode = mode_word(decision.mode()),
        status = denial.status,
        detail = clean(denial.detail.as_bytes(), LOGGED_DETAIL),
        host = http.map(|http| text(http.host)),
        method = http.map(|http| text(http.method)),
        path = http.map(|http| text(http.path.split(|octet| *octet == b'?').next().unwrap_or_default())),
        request_id = request.and_then(|request| first_line(request.headers, "x-request-id")),
        source = request.and_then(|request| request.source_address).map(|address| address.to_string()),
        certificate.source = presented.map(|presented| source_word(presented.source)),
        certificate.sha256 = presented.map(|presented| presented.sha256.to_string()),
        certificate.subject = names.map(|names| text(names.subject.as_bytes())),
        certificate.issuer = names.map(|names| text(names.issuer.as_bytes())),
        certificate.serial = names.map(|names| text(names.serial_number.as_bytes())),
        "{}",
        match decision.mode() {
            Mode::Enforce => "denied",
            Mode::Audit => "would be denied, were the policy not in mode Audit",
        }
    );
}

fn first_line(headers: &dyn Headers, name: &str) -> Option<String> {
    let mut lines = Vec::new();
    headers.lines(name, &mut lines);
    lines.first().map(|line| clean(line, LOGGED))
}

#[cfg(test)]
mod tests;
