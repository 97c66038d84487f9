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
        let counters: [(&str, &str, Of); 2] = [
            ("decision_cache_hits", "Decisions that were taken from memory", |table| table.hits),
            ("decision_cache_evictions", "Decisions that gave way to others in memory", |table| table.evicted),
        ];
        for (name, help, value) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (verdict, table) in &tables {
                ConstCounter::new(value(table)).encode(family.encode_family(&[("verdict", *verdict)])?)?;
            }
        }
        let gauges: [(&str, &str, Of); 2] = [
            ("decision_cache_entries", "Decisions in memory", |table| table.entries),
            ("decision_cache_bytes", "Memory of these decisions, in octets", |table| table.bytes),
        ];
        for (name, help, value) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (verdict, table) in &tables {
                let value = i64::try_from(value(table)).unwrap_or(i64::MAX);
                ConstGauge::new(value).encode(family.encode_family(&[("verdict", *verdict)])?)?;
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
