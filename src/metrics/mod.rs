//! The process's counters and gauges, in OpenMetrics text.
//!
//! Owns what is counted and when; `encode` has the names and help of plain numbers. The request path takes no lock.

pub mod cache;
mod decisions;
mod encode;
mod histogram;
mod profiles;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::registry::Registry;

use self::decisions::Decisions;
use self::encode::Scrape;
use self::histogram::Histogram;
use self::profiles::ProfileMetrics;
use crate::clock::unix_millis;
use crate::domain::decide::Counts;
use crate::domain::decide::decision::Decision;
use crate::domain::decide::resolved_profile::{AnchorsSummary, CrlSummary};

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    values: Arc<MetricValues>,
}

/// The values behind the metrics.
struct MetricValues {
    decisions: Decisions,
    latency: Histogram,
    in_flight: AtomicI64,
    connections: AtomicI64,
    connections_evicted: AtomicU64,
    panics: AtomicU64,
    unreadable: AtomicU64,
    denials_not_logged: AtomicU64,
    signatures: AtomicU64,
    log_lines_dropped: Arc<AtomicU64>,
    loads: AtomicU64,
    load_failures: AtomicU64,
    load_errors: AtomicI64,
    object_problems: AtomicI64,
    generation: AtomicU64,
    published_at: AtomicU64,
    loaded_at: AtomicU64,
    objects: [AtomicI64; 4],
    profiles: ProfileMetrics,
}

/// A gauge that counts while the guard lives.
#[derive(Debug)]
pub struct GaugeGuard {
    values: Arc<MetricValues>,
    gauge: fn(&MetricValues) -> &AtomicI64,
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        (self.gauge)(&self.values).fetch_sub(1, Ordering::Relaxed);
    }
}

/// The outcome of reading the policies.
#[derive(Copy, Clone, Debug)]
pub enum Load {
    /// Everything was read; `problems` objects or parts of objects do not compile.
    Applied {
        /// Problems of objects that were read but do not compile.
        problems: usize,
    },
    /// Something could not be read; the last snapshot stays in use.
    Refused {
        /// How many errors were found.
        errors: usize,
    },
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All counters at zero.
    pub fn new() -> Self {
        let values = Arc::new(MetricValues {
            decisions: Decisions::default(),
            latency: Histogram::default(),
            in_flight: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            connections_evicted: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            denials_not_logged: AtomicU64::new(0),
            signatures: AtomicU64::new(0),
            log_lines_dropped: Arc::default(),
            loads: AtomicU64::new(0),
            load_failures: AtomicU64::new(0),
            load_errors: AtomicI64::new(0),
            object_problems: AtomicI64::new(0),
            generation: AtomicU64::new(0),
            published_at: AtomicU64::new(0),
            loaded_at: AtomicU64::new(0),
            objects: Default::default(),
            profiles: ProfileMetrics::default(),
        });
        let mut registry = Registry::with_prefix("certgate");
        registry.register_collector(Box::new(Scrape(values.clone())));
        Self { registry, values }
    }

    /// Adds a collector of another part of the process. Names get the prefix `certgate_`.
    pub fn register(&mut self, collector: Box<dyn Collector>) {
        self.registry.register_collector(collector);
    }

    /// Counts a decision and the time that it took.
    pub fn decided(&self, decision: &Decision, took: Duration) {
        self.values.latency.observe(took);
        self.values.decisions.count(decision);
        self.values.signatures.fetch_add(u64::from(decision.spent().signatures), Ordering::Relaxed);
    }

    /// Counts a request until the guard is dropped.
    pub fn request_in_flight(&self) -> GaugeGuard {
        self.hold(|values| &values.in_flight)
    }

    /// Counts a connection until the guard is dropped.
    pub fn connection_open(&self) -> GaugeGuard {
        self.hold(|values| &values.connections)
    }

    /// Counts an evicted connection: it was closed because another one needed its place, or because its answers were
    /// not read.
    pub fn connection_evicted(&self) {
        self.values.connections_evicted.fetch_add(1, Ordering::Relaxed);
    }

    fn hold(&self, gauge: fn(&MetricValues) -> &AtomicI64) -> GaugeGuard {
        gauge(&self.values).fetch_add(1, Ordering::Relaxed);
        GaugeGuard { values: self.values.clone(), gauge }
    }

    /// Counts a panic that was caught while deciding.
    pub fn panicked(&self) {
        self.values.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// How many panics were caught while deciding.
    pub fn panics(&self) -> u64 {
        self.values.panics.load(Ordering::Relaxed)
    }

    /// Counts a message that is not a CheckRequest.
    pub fn unreadable_request(&self) {
        self.values.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts denials that the log left out because there were too many.
    pub fn denials_not_logged(&self, count: u64) {
        self.values.denials_not_logged.fetch_add(count, Ordering::Relaxed);
    }

    /// The counter of log lines that were dropped because the sink was too slow; the log writer increments it.
    pub fn log_lines_dropped(&self) -> Arc<AtomicU64> {
        self.values.log_lines_dropped.clone()
    }

    /// Records that the policies were read.
    pub fn loaded(&self, load: Load) {
        let set =
            |gauge: &AtomicI64, value: usize| gauge.store(i64::try_from(value).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.values.loads.fetch_add(1, Ordering::Relaxed);
        match load {
            Load::Applied { problems } => {
                set(&self.values.load_errors, 0);
                set(&self.values.object_problems, problems);
                self.values.loaded_at.store(unix_millis(), Ordering::Relaxed);
            }
            Load::Refused { errors } => {
                self.values.load_failures.fetch_add(1, Ordering::Relaxed);
                set(&self.values.load_errors, errors);
            }
        }
    }

    /// How many errors caused the last load of the policies to be rejected; 0 when it was applied.
    pub fn load_errors(&self) -> i64 {
        self.values.load_errors.load(Ordering::Relaxed)
    }

    /// Records that a snapshot was published.
    pub fn published(&self, generation: u64, counts: Counts) {
        self.values.generation.store(generation, Ordering::Relaxed);
        self.values.published_at.store(unix_millis(), Ordering::Relaxed);
        let counts = [counts.policies, counts.invalid_policies, counts.unavailable_policies, counts.mappings];
        for (gauge, count) in self.values.objects.iter().zip(counts) {
            gauge.store(i64::try_from(count).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    /// Records the CRLs and trust anchors of a snapshot, with series for each CRL.
    pub fn set_profiles(
        &self,
        crls: impl IntoIterator<Item = CrlSummary>,
        anchors: impl IntoIterator<Item = AnchorsSummary>,
    ) {
        self.values.profiles.set(crls, anchors);
    }

    /// Records the profiles, as `namespace/name`, that are degraded.
    pub fn degraded(&self, profiles: impl IntoIterator<Item = Arc<str>>) {
        self.values.profiles.set_degraded(profiles);
    }

    /// Everything in OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl fmt::Debug for MetricValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decide::reason::Reason;
    use crate::domain::decide::resolved_profile::CrlKind;
    use certgate_x509::{Freshness, MaxAge, RevocationPolicy, UnixTime};

    fn line<'t>(text: &'t str, start: &str) -> &'t str {
        text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in\n{text}"))
    }

    #[test]
    fn decisions_are_counted_by_policy_and_reason() {
        let metrics = Metrics::new();
        for (reason, times) in [(Reason::NoPolicy, 2), (Reason::Internal, 1)] {
            for _ in 0..times {
                metrics.decided(&Decision::refused(reason, ""), Duration::from_micros(7));
            }
        }
        let text = metrics.render();
        assert!(
            line(&text, r#"certgate_decisions_total{policy="",outcome="Denied",reason="NO_POLICY"}"#).ends_with(" 2")
        );
        assert!(
            line(&text, r#"certgate_decisions_total{policy="",outcome="Denied",reason="INTERNAL"}"#).ends_with(" 1")
        );
        assert!(!text.contains("CERT_EXPIRED"), "series without a count are left out");
        assert!(line(&text, "certgate_decision_duration_seconds_count").ends_with(" 3"));
        assert!(line(&text, r#"certgate_decision_duration_seconds_bucket{le="0.000005"}"#).ends_with(" 0"), "{text}");
        assert!(line(&text, r#"certgate_decision_duration_seconds_bucket{le="+Inf"}"#).ends_with(" 3"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn gauges_fall_when_their_guard_is_dropped() {
        let metrics = Metrics::new();
        let (one, two) = (metrics.request_in_flight(), metrics.connection_open());
        let text = metrics.render();
        assert_eq!(line(&text, "certgate_requests_in_flight "), "certgate_requests_in_flight 1");
        assert_eq!(line(&text, "certgate_connections "), "certgate_connections 1");
        drop((one, two));
        assert_eq!(line(&metrics.render(), "certgate_requests_in_flight "), "certgate_requests_in_flight 0");
    }

    #[test]
    fn each_crl_has_series_of_its_own() {
        let now = i64::try_from(unix_millis() / 1000).unwrap();
        let max_age = MaxAge::NextUpdate;
        let crl = |issuer: &str, kind, scope: &str, entries, age, next: Option<i64>| CrlSummary {
            profile: "a/p".into(),
            issuer: issuer.into(),
            kind,
            scope: scope.into(),
            key: None,
            number: None,
            entries,
            this_update: UnixTime::from_secs(now - age),
            next_update: next.map(|next| UnixTime::from_secs(now + next)),
            policy: RevocationPolicy {
                freshness: Freshness { max_age, clock_skew: 100 },
                ..RevocationPolicy::default()
            },
        };
        let usable = |max_age, next| {
            let metrics = Metrics::new();
            let mut one = crl("CN=One", CrlKind::Complete, "", 0, 1000, next);
            one.policy.freshness.max_age = max_age;
            metrics.set_profiles([one], []);
            let text = metrics.render();
            line(&text, "certgate_crl_usable_seconds{").rsplit(' ').next().unwrap().parse::<i64>().unwrap()
        };
        for (name, max_age, next, want) in [
            ("by nextUpdate", MaxAge::NextUpdate, Some(9000), 9100),
            ("by maxAge", MaxAge::Seconds(1500), Some(9000), 600),
            ("past maxAge", MaxAge::Seconds(500), Some(9000), -400),
            ("without nextUpdate", MaxAge::NextUpdate, None, 7 * 24 * 3600 - 900),
        ] {
            let found = usable(max_age, next);
            assert!((want - 60..=want).contains(&found), "{name}: {found}");
        }
        let (complete, delta) = (CrlKind::Complete, CrlKind::Delta);
        let metrics = Metrics::new();
        metrics.set_profiles(
            [
                crl("CN=One", complete, "", 3, 1000, Some(9000)),
                crl("CN=One", delta, "", 4, 5000, Some(-500)),
                crl("CN=One", complete, "indirectCRL", 5, 6000, Some(7000)),
                crl("CN=One", complete, "indirectCRL", 6, 6000, Some(7000)),
                crl("CN=One", delta, "", 7, 6000, Some(7000)),
                CrlSummary { key: Some("0a".into()), ..crl("CN=Three", complete, "", 8, 1000, Some(9000)) },
                CrlSummary { key: Some("0b".into()), ..crl("CN=Three", complete, "", 9, 1000, Some(9000)) },
                crl("CN=Two\"", complete, "", 1, 7000, None),
            ],
            [],
        );
        let text = metrics.render();
        let value = |name: &str, labels: &str| {
            let start = format!("certgate_crl_{name}{{profile=\"a/p\",{labels}}} ");
            line(&text, &start).rsplit(' ').next().unwrap().parse::<i64>().unwrap()
        };
        for (labels, entries, age, next) in [
            (r#"issuer="CN=One",kind="complete""#, 3, 1000, 9000),
            (r#"issuer="CN=One",kind="delta""#, 4, 5000, -500),
            (r#"issuer="CN=One",kind="complete",scope="indirectCRL""#, 5, 6000, 7000),
            (r#"issuer="CN=One",kind="complete",scope="indirectCRL",ordinal="2""#, 6, 6000, 7000),
            (r#"issuer="CN=One",kind="delta",ordinal="2""#, 7, 6000, 7000),
            (r#"issuer="CN=Three",kind="complete",key="0a""#, 8, 1000, 9000),
            (r#"issuer="CN=Three",kind="complete",key="0b""#, 9, 1000, 9000),
        ] {
            assert_eq!(value("entries", labels), entries, "{labels}");
            assert!((age..age + 60).contains(&value("age_seconds", labels)), "{labels}: {text}");
            assert!((next - 60..=next).contains(&value("next_update_seconds", labels)), "{labels}: {text}");
        }
        let two = r#"issuer="CN=Two\"",kind="complete""#;
        assert_eq!(value("entries", two), 1);
        assert!(!text.contains(&format!("certgate_crl_next_update_seconds{{profile=\"a/p\",{two}")), "it has none");
        assert_eq!(text.matches("certgate_crl_entries{").count(), 8);
        metrics.set_profiles([], []);
        assert!(!metrics.render().contains("CN=One"), "what is gone is not shown");
    }

    #[test]
    fn the_first_anchor_of_a_profile_to_end_is_told() {
        let now = i64::try_from(unix_millis() / 1000).unwrap();
        let ends = |profile: &str, left| AnchorsSummary {
            profile: profile.into(),
            first_expiry: UnixTime::from_secs(now + left),
        };
        let metrics = Metrics::new();
        metrics.set_profiles([], [ends("a/p", 5000), ends("a/q", -500), ends("a/p", 9000)]);
        let text = metrics.render();
        for (profile, left) in [("a/p", 5000), ("a/q", -500)] {
            let start = format!("certgate_trust_anchor_expiry_seconds{{profile=\"{profile}\"}} ");
            let found: i64 = line(&text, &start).rsplit(' ').next().unwrap().parse().unwrap();
            assert!((left - 60..=left).contains(&found), "{profile}: {found}");
        }
    }

    #[test]
    fn profiles_that_go_on_by_what_was_are_told_while_they_do() {
        let metrics = Metrics::new();
        metrics.degraded(["a/p".into(), "a/q".into()]);
        assert!(metrics.render().contains("certgate_trust_profile_degraded{profile=\"a/q\"} 1"));
        metrics.degraded([]);
        assert!(!metrics.render().contains("certgate_trust_profile_degraded{"));
    }

    #[test]
    fn a_refused_load_keeps_the_age_of_the_last_good_one() {
        let metrics = Metrics::new();
        assert!(!metrics.render().contains("snapshot_age_seconds "), "no age before the first snapshot");
        metrics.loaded(Load::Applied { problems: 3 });
        metrics.published(7, Counts { policies: 4, invalid_policies: 1, ..Counts::default() });
        metrics.loaded(Load::Refused { errors: 2 });
        let text = metrics.render();
        for want in [
            "certgate_policy_load_errors 2",
            "certgate_policy_load_failures_total 1",
            "certgate_policy_problems 3",
            "certgate_snapshot_generation 7",
            "certgate_policies 4",
            "certgate_policies_invalid 1",
        ] {
            assert_eq!(line(&text, want), want);
        }
        assert!(
            line(&text, "certgate_policy_load_age_seconds ").split(' ').next_back().unwrap().parse::<f64>().unwrap()
                < 60.0
        );
    }
}
