//! What the webhook did, as metrics tell it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::histogram::Histogram;

use crate::domain::api::Kind;

/// What came of a review.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReviewOutcome {
    /// Nothing to say.
    Allowed,
    /// Allowed, with warnings.
    Warned,
    /// The object is wrong.
    Refused,
    /// The cluster has not been read yet.
    NotReady,
    /// The request was no review.
    Malformed,
    /// Something broke.
    Failed,
}

impl ReviewOutcome {
    const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Refused => "refused",
            Self::NotReady => "not_ready",
            Self::Malformed => "malformed",
            Self::Failed => "failed",
        }
    }
}

/// The numbers of the webhook.
#[derive(Debug)]
pub struct AdmissionMetrics {
    reviews: Mutex<BTreeMap<(Option<Kind>, ReviewOutcome), u64>>,
    duration: Histogram,
}

impl Default for AdmissionMetrics {
    /// All counters at zero: Prometheus sees no increase in a counter that appears with the first event.
    fn default() -> Self {
        let bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
        let outcomes = [
            ReviewOutcome::Allowed,
            ReviewOutcome::Warned,
            ReviewOutcome::Refused,
            ReviewOutcome::NotReady,
            ReviewOutcome::Failed,
        ];
        let of_kind = Kind::OWN.into_iter().flat_map(|kind| outcomes.map(|outcome| ((Some(kind), outcome), 0)));
        let reviews = of_kind.chain([((None, ReviewOutcome::Malformed), 0)]).collect();
        Self { reviews: Mutex::new(reviews), duration: Histogram::new(bounds) }
    }
}

impl AdmissionMetrics {
    /// Counts a review.
    pub fn reviewed(&self, kind: Option<Kind>, outcome: ReviewOutcome, took: Duration) {
        *self.reviews.lock().unwrap_or_else(PoisonError::into_inner).entry((kind, outcome)).or_default() += 1;
        self.duration.observe(took.as_secs_f64());
    }
}

/// The metrics over shared numbers.
#[derive(Clone, Debug)]
pub struct ReviewMetrics(pub Arc<AdmissionMetrics>);

impl Collector for ReviewMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut reviews = encoder.encode_descriptor(
            "admission_reviews",
            "Reviews of the admission webhook, by kind of the object and result",
            None,
            MetricType::Counter,
        )?;
        for ((kind, outcome), count) in &*self.0.reviews.lock().unwrap_or_else(PoisonError::into_inner) {
            let labels = [("kind", kind.map_or("unknown", Kind::name)), ("result", outcome.word())];
            ConstCounter::new(*count).encode(reviews.encode_family(&labels)?)?;
        }
        let duration = encoder.encode_descriptor(
            "admission_review_duration_seconds",
            "Time that reviews took, without reading the request",
            None,
            MetricType::Histogram,
        )?;
        self.0.duration.encode(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn counters_are_there_before_the_first_review() {
        let reviews = Arc::new(AdmissionMetrics::default());
        let mut metrics = Metrics::new();
        metrics.register(Box::new(ReviewMetrics(reviews.clone())));
        let has = |line: &str| metrics.render().lines().any(|found| found == line);
        assert!(
            has(r#"certgate_admission_reviews_total{kind="TrustProfile",result="failed"} 0"#),
            "{}",
            metrics.render()
        );
        reviews.reviewed(Some(Kind::TrustProfile), ReviewOutcome::Failed, Duration::ZERO);
        assert!(
            has(r#"certgate_admission_reviews_total{kind="TrustProfile",result="failed"} 1"#),
            "{}",
            metrics.render()
        );
    }
}
