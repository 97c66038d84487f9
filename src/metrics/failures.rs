//! Metrics of the failure memory.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::domain::decide::failures::Failures;

/// The metrics of one failure memory.
#[derive(Debug)]
pub struct FailureMetrics(pub Arc<Failures>);

impl Collector for FailureMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let recalled = ConstCounter::new(self.0.recalled());
        recalled.encode(encoder.encode_descriptor(
            "failures_recalled",
            "Denials that were repeated from memory, without verifying a signature",
            None,
            MetricType::Counter,
        )?)?;
        let remembered = ConstGauge::new(i64::try_from(self.0.len()).unwrap_or(i64::MAX));
        remembered.encode(encoder.encode_descriptor(
            "failures_remembered",
            "Failed certificate validations in memory",
            None,
            MetricType::Gauge,
        )?)
    }
}
