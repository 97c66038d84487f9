//! How well the cluster is followed, as metrics tell it.
//!
//! Owns the numbers and their names. They are absolute times and plain counts, so that an age rises by itself when the
//! thread that follows the cluster is stuck.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::domain::api::Kind;

/// No watch of a kind.
const UNWATCHED: u64 = u64::MAX;

/// What is told about following a cluster.
#[derive(Debug)]
pub struct Health {
    began: Instant,
    /// By kind, milliseconds from `began` to when all of its watches had last been heard.
    heard: [AtomicU64; Kind::ALL.len()],
    errors: Mutex<BTreeMap<(Kind, &'static str), u64>>,
    status_writes: Mutex<BTreeMap<&'static str, u64>>,
    status_backlog: AtomicU64,
    leader: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Nothing watched, nothing failed.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            heard: [const { AtomicU64::new(UNWATCHED) }; Kind::ALL.len()],
            errors: Mutex::default(),
            status_writes: Mutex::default(),
            status_backlog: AtomicU64::new(0),
            leader: AtomicBool::new(false),
        }
    }

    /// Milliseconds since the start.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(UNWATCHED - 1)
    }

    /// Says when the watches of a kind had all been heard; `None` when there is none.
    pub fn heard(&self, kind: Kind, at: Option<u64>) {
        self.heard[kind as usize].store(at.unwrap_or(UNWATCHED), Ordering::Relaxed);
    }

    /// Counts an error of a watch.
    pub fn failed(&self, kind: Kind, class: &'static str) {
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry((kind, class)).or_default() += 1;
    }

    /// Counts a status that was written, or not.
    pub fn status_written(&self, result: &'static str) {
        *self.status_writes.lock().unwrap_or_else(PoisonError::into_inner).entry(result).or_default() += 1;
    }

    /// Says how many objects' status waits to be written.
    pub fn status_backlog(&self, waiting: usize) {
        self.status_backlog.store(waiting as u64, Ordering::Relaxed);
    }

    /// Says whether this process writes status.
    pub fn leads(&self, leads: bool) {
        self.leader.store(leads, Ordering::Relaxed);
    }

    /// Seconds since the watches of `kind` had all been heard; `None` when there is none.
    pub fn age(&self, kind: Kind) -> Option<f64> {
        let heard = self.heard[kind as usize].load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a process's life")]
        (heard != UNWATCHED).then(|| self.now().saturating_sub(heard) as f64 / 1000.0)
    }
}

/// The metrics over shared numbers.
#[derive(Clone, Debug)]
pub struct WatchMetrics(pub std::sync::Arc<Health>);

impl Collector for WatchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let health = &self.0;
        let mut ages = encoder.encode_descriptor(
            "kubernetes_watch_age_seconds",
            "Time since all watches of a kind were last heard. Up to 60 s is usual: the API server speaks once a minute",
            None,
            MetricType::Gauge,
        )?;
        for kind in Kind::ALL {
            if let Some(age) = health.age(kind) {
                ConstGauge::new(age).encode(ages.encode_family(&[("kind", kind.name())])?)?;
            }
        }
        let mut errors = encoder.encode_descriptor(
            "kubernetes_watch_errors",
            "Lists and watches that failed, by what went wrong",
            None,
            MetricType::Counter,
        )?;
        for ((kind, class), count) in &*health.errors.lock().unwrap_or_else(PoisonError::into_inner) {
            let labels = [("kind", kind.name()), ("error", *class)];
            ConstCounter::new(*count).encode(errors.encode_family(&labels)?)?;
        }
        let mut writes = encoder.encode_descriptor(
            "kubernetes_status_writes",
            "Status of objects written to the API server, by result",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in &*health.status_writes.lock().unwrap_or_else(PoisonError::into_inner) {
            ConstCounter::new(*count).encode(writes.encode_family(&[("result", *result)])?)?;
        }
        let gauges = [
            (
                "kubernetes_status_backlog",
                "Objects whose status waits to be written",
                &health.status_backlog.load(Ordering::Relaxed),
            ),
            (
                "kubernetes_leader",
                "Whether this process writes status",
                &u64::from(health.leader.load(Ordering::Relaxed)),
            ),
        ];
        for (name, help, value) in gauges {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(*value).encode(encoder)?;
        }
        Ok(())
    }
}
