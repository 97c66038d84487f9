//! How the TLS of the ports fares, as metrics tell it.
//!
//! Owns the numbers and their names. The end of a certificate is kept as a time, so that what is left of it falls by itself.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::accept::HandshakeOutcome;
use crate::clock;
use certgate_x509::UnixTime;

/// The health of every server with TLS.
#[derive(Debug, Default)]
pub struct TlsHealth {
    servers: Mutex<Vec<Arc<ServerHealth>>>,
}

impl TlsHealth {
    /// Adds a server under the name that its metrics carry.
    pub fn server(&self, name: &'static str) -> Arc<ServerHealth> {
        let health = Arc::new(ServerHealth::new(name));
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).push(health.clone());
        health
    }
}

/// The health of one server.
#[derive(Debug)]
pub struct ServerHealth {
    name: &'static str,
    /// In seconds.
    not_after: AtomicI64,
    applied: AtomicU64,
    refused: AtomicU64,
    stale: AtomicBool,
    handshakes: [AtomicU64; HandshakeOutcome::ALL.len()],
}

impl ServerHealth {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            not_after: AtomicI64::new(0),
            applied: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            stale: AtomicBool::new(false),
            handshakes: [const { AtomicU64::new(0) }; HandshakeOutcome::ALL.len()],
        }
    }

    /// The server's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Says until when the certificate that is presented is valid.
    pub(super) fn presents(&self, not_after: UnixTime) {
        self.not_after.store(not_after.as_secs(), Ordering::Relaxed);
    }

    /// Counts a change of the files that is served from now on.
    pub(super) fn applied(&self) {
        self.applied.fetch_add(1, Ordering::Relaxed);
        self.stale.store(false, Ordering::Relaxed);
    }

    /// Counts a change of the files that cannot be used; what was served before goes on.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.stale.store(true, Ordering::Relaxed);
    }

    /// Counts a handshake.
    pub(super) fn handshake(&self, outcome: HandshakeOutcome) {
        self.handshakes[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Says that the files are again as they were when they could last be used.
    pub(super) fn restored(&self) {
        self.stale.store(false, Ordering::Relaxed);
    }
}

/// The metrics over shared numbers.
#[derive(Clone, Debug)]
pub struct TlsMetrics(pub Arc<TlsHealth>);

impl Collector for TlsMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let servers = self.0.servers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if servers.is_empty() {
            return Ok(());
        }
        let now = clock::now();
        let mut gauge = |name: &str, help: &str, value: &dyn Fn(&ServerHealth) -> i64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for server in &servers {
                ConstGauge::new(value(server)).encode(family.encode_family(&[("server", server.name)])?)?;
            }
            Ok::<_, fmt::Error>(())
        };
        gauge(
            "tls_certificate_expiry_seconds",
            "Time until the certificate that a port presents expires; negative once it has",
            &|server| server.not_after.load(Ordering::Relaxed).saturating_sub(now.as_secs()),
        )?;
        gauge(
            "tls_files_stale",
            "Whether the files of a port's certificates cannot be used as they are now, so that what was read before goes on",
            &|server| i64::from(server.stale.load(Ordering::Relaxed)),
        )?;
        let mut handshakes =
            encoder.encode_descriptor("tls_handshakes", "TLS handshakes, by outcome", None, MetricType::Counter)?;
        for server in &servers {
            for (outcome, count) in HandshakeOutcome::ALL.iter().zip(&server.handshakes) {
                let outcome = format!("{outcome:?}");
                let labels = [("server", server.name), ("outcome", outcome.as_str())];
                ConstCounter::new(count.load(Ordering::Relaxed)).encode(handshakes.encode_family(&labels)?)?;
            }
        }
        let mut reloads = encoder.encode_descriptor(
            "tls_reloads",
            "Changes of the files of a port's certificates, by outcome",
            None,
            MetricType::Counter,
        )?;
        for server in &servers {
            for (outcome, count) in [("Applied", &server.applied), ("Refused", &server.refused)] {
                let labels = [("server", server.name), ("outcome", outcome)];
                ConstCounter::new(count.load(Ordering::Relaxed)).encode(reloads.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
