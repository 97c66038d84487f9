//! Metrics of the decision cache.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::domain::decide::cache::{DecisionCache, TableCounts};

/// The metrics of one cache.
#[derive(Debug)]
pub struct CacheMetrics(pub Arc<DecisionCache>);

/// A number of each table.
type Of = fn(&TableCounts) -> u64;

impl Collector for CacheMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.0.counts();
        let tables = [("Allow", counts.grants), ("Deny", counts.denials)];
        let families: [(&str, &str, MetricType, Of); 4] = [
            ("hits", "Decisions that were taken from memory", MetricType::Counter, |table| table.hits),
            ("evictions", "Decisions that gave way to others in memory", MetricType::Counter, |table| table.evicted),
            ("entries", "Decisions in memory", MetricType::Gauge, |table| table.entries),
            ("bytes", "Memory of these decisions, in octets", MetricType::Gauge, |table| table.bytes),
        ];
        for (name, help, kind, value) in families {
            let name = format!("decision_cache_{name}");
            let mut family = encoder.encode_descriptor(&name, help, None, kind)?;
            for (verdict, table) in &tables {
                let labels = [("verdict", *verdict)];
                let sample = family.encode_family(&labels)?;
                match kind {
                    MetricType::Counter => ConstCounter::new(value(table)).encode(sample)?,
                    _ => ConstGauge::new(i64::try_from(value(table)).unwrap_or(i64::MAX)).encode(sample)?,
                }
            }
        }
        ConstCounter::new(counts.misses).encode(encoder.encode_descriptor(
            "decision_cache_misses",
            "Decisions about certificates that were not in memory",
            None,
            MetricType::Counter,
        )?)
    }
}
