//! The names, types and help texts of [`super::MetricValues`], written at each scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::MetricValues;
use crate::clock::unix_millis;

/// Provides the registry with the current values at each scrape.
#[derive(Debug)]
pub(super) struct Scrape(pub(super) Arc<MetricValues>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let values = &*self.0;
        values.decisions.encode(&mut encoder)?;
        values.latency.encode(
            &mut encoder,
            "decision_duration_seconds",
            "Time from a complete CheckRequest to its encoded answer",
        )?;
        values.profiles.encode(&mut encoder)?;
        for (name, help, counter) in [
            ("panics", "Panics caught while deciding; each denied its request with INTERNAL", &values.panics),
            ("unreadable_requests", "Messages that are not a CheckRequest; each was denied", &values.unreadable),
            ("signatures_verified", "Signatures verified to decide requests", &values.signatures),
            ("denials_not_logged", "Denials left out of the log by its rate limit", &values.denials_not_logged),
            ("log_lines_dropped", "Log lines dropped because the sink did not keep up", &values.log_lines_dropped),
            (
                "connections_evicted",
                "gRPC connections closed because others needed their place or because their answers were not read",
                &values.connections_evicted,
            ),
            ("policy_loads", "Times the policies were read", &values.loads),
            (
                "policy_load_failures",
                "Times the policies could not be read and the last snapshot stayed in use",
                &values.load_failures,
            ),
        ] {
            let counter = ConstCounter::new(counter.load(Ordering::Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let [policies, invalid, unavailable, mappings] = &values.objects;
        for (name, help, gauge) in [
            ("requests_in_flight", "Requests received and not answered yet", &values.in_flight),
            ("connections", "Open gRPC connections", &values.connections),
            (
                "policy_load_errors",
                "Errors of the last reading of the policies; 0 when it succeeded",
                &values.load_errors,
            ),
            (
                "policy_problems",
                "Objects that were read but do not work, or work only in part",
                &values.object_problems,
            ),
            ("policies", "Policies in the current snapshot", policies),
            ("policies_invalid", "Policies in the current snapshot that do not compile and deny", invalid),
            (
                "policies_unavailable",
                "Policies in the current snapshot whose trust sources were never readable; they deny",
                unavailable,
            ),
            ("mappings", "CertificateMapping objects in the current snapshot", mappings),
        ] {
            let gauge = ConstGauge::new(gauge.load(Ordering::Relaxed));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let generation = ConstGauge::new(i64::try_from(values.generation.load(Ordering::Relaxed)).unwrap_or(i64::MAX));
        generation.encode(encoder.encode_descriptor(
            "snapshot_generation",
            "Counts the snapshots that were published; 0 before the first",
            None,
            MetricType::Gauge,
        )?)?;
        for (name, help, since) in [
            ("snapshot_age_seconds", "Time since the current snapshot was published", &values.published_at),
            ("policy_load_age_seconds", "Time since the policies were last read without errors", &values.loaded_at),
        ] {
            let since = since.load(Ordering::Relaxed);
            if since > 0 {
                let age = ConstGauge::new(Duration::from_millis(unix_millis().saturating_sub(since)).as_secs_f64());
                age.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
            }
        }
        let build = encoder.encode_descriptor("build", "The version that runs", None, MetricType::Info)?;
        prometheus_client::metrics::info::Info::new([("version", env!("CARGO_PKG_VERSION"))]).encode(build)
    }
}
