//! What the process counts and measures, in OpenMetrics text.
//!
//! Owns the names and meanings of all metrics. The path of a request takes no lock: counters are atomics, found through
//! one pointer that changes only when a policy decides for the first time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::domain::decide::Counts;
use crate::domain::decision::{Decision, Mode};
use crate::domain::reason::Reason;
use crate::domain::trusted::CrlStatus;

/// Upper bounds of the latency buckets, in nanoseconds: from a denial that checks nothing (half a microsecond) past Envoy's default
/// deadline of 200 ms.
const LATENCY_BOUNDS: [u64; 16] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    200_000_000,
    1_000_000_000,
];

/// How many reasons there are.
const REASONS: usize = Reason::ALL.len();

type PolicyTable = hashbrown::HashMap<Arc<str>, Arc<PolicyCounters>, foldhash::fast::RandomState>;

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    values: Arc<Values>,
}

/// The values behind the metrics.
struct Values {
    policies: ArcSwap<PolicyTable>,
    /// Held while `policies` is replaced.
    adding: Mutex<()>,
    /// Decisions that no policy made.
    without_policy: PolicyCounters,
    latency: Histogram,
    in_flight: AtomicI64,
    connections: AtomicI64,
    panics: AtomicU64,
    unreadable: AtomicU64,
    denials_not_logged: AtomicU64,
    log_lines_dropped: Arc<AtomicU64>,
    loads: AtomicU64,
    load_failures: AtomicU64,
    load_errors: AtomicI64,
    object_problems: AtomicI64,
    generation: AtomicU64,
    published_at: AtomicU64,
    loaded_at: AtomicU64,
    objects: [AtomicI64; 4],
    crls: ArcSwap<Vec<CrlGauge>>,
}

/// The CRLs of one profile and issuer.
struct CrlGauge {
    profile: Arc<str>,
    issuer: String,
    entries: usize,
    /// Of the oldest.
    this_update: i64,
    /// The earliest.
    next_update: Option<i64>,
}

/// The decisions of one policy.
struct PolicyCounters {
    identified: AtomicU64,
    anonymous: AtomicU64,
    denied: [AtomicU64; REASONS],
    audited: [AtomicU64; REASONS],
}

impl Default for PolicyCounters {
    fn default() -> Self {
        Self {
            identified: AtomicU64::new(0),
            anonymous: AtomicU64::new(0),
            denied: [const { AtomicU64::new(0) }; REASONS],
            audited: [const { AtomicU64::new(0) }; REASONS],
        }
    }
}

impl PolicyCounters {
    fn count(&self, decision: &Decision) {
        let counter = match (decision.verdict(), decision.mode()) {
            (Ok(grant), _) if grant.identity().is_some() => &self.identified,
            (Ok(_), _) => &self.anonymous,
            (Err(denial), Mode::Enforce) => &self.denied[denial.reason as usize],
            (Err(denial), Mode::Audit) => &self.audited[denial.reason as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A histogram of durations with fixed buckets.
#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let at = LATENCY_BOUNDS.partition_point(|bound| *bound < nanoseconds);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// A gauge that counts while the guard lives.
#[derive(Debug)]
pub struct Held {
    values: Arc<Values>,
    gauge: fn(&Values) -> &AtomicI64,
}

impl Drop for Held {
    fn drop(&mut self) {
        (self.gauge)(&self.values).fetch_sub(1, Ordering::Relaxed);
    }
}

/// The outcome of reading the policies.
#[derive(Copy, Clone, Debug)]
pub enum Load {
    /// Everything could be read; so many objects or parts of objects do not work.
    Applied {
        /// Problems of objects that were read but do not compile.
        problems: usize,
    },
    /// Something could not be read; the last snapshot goes on.
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
        let values = Arc::new(Values {
            policies: ArcSwap::default(),
            adding: Mutex::new(()),
            without_policy: PolicyCounters::default(),
            latency: Histogram::default(),
            in_flight: AtomicI64::new(0),
            connections: AtomicI64::new(0),
            panics: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            denials_not_logged: AtomicU64::new(0),
            log_lines_dropped: Arc::default(),
            loads: AtomicU64::new(0),
            load_failures: AtomicU64::new(0),
            load_errors: AtomicI64::new(0),
            object_problems: AtomicI64::new(0),
            generation: AtomicU64::new(0),
            published_at: AtomicU64::new(0),
            loaded_at: AtomicU64::new(0),
            objects: Default::default(),
            crls: ArcSwap::default(),
        });
        let mut registry = Registry::with_prefix("certgate");
        registry.register_collector(Box::new(Scrape(values.clone())));
        Self { registry, values }
    }

    /// Adds what another part of the process tells about itself. Names get the prefix `certgate_`.
    pub fn register(&mut self, collector: Box<dyn Collector>) {
        self.registry.register_collector(collector);
    }

    /// Counts a decision and the time that it took.
    pub fn decided(&self, decision: &Decision, took: Duration) {
        self.values.latency.observe(took);
        match decision.policy() {
            None => self.values.without_policy.count(decision),
            Some(policy) => match self.values.policies.load().get(policy) {
                Some(counters) => counters.count(decision),
                None => self.values.add_policy(policy).count(decision),
            },
        }
    }

    /// Counts a request until the guard is dropped.
    pub fn request_in_flight(&self) -> Held {
        self.hold(|values| &values.in_flight)
    }

    /// Counts a connection until the guard is dropped.
    pub fn connection_open(&self) -> Held {
        self.hold(|values| &values.connections)
    }

    fn hold(&self, gauge: fn(&Values) -> &AtomicI64) -> Held {
        gauge(&self.values).fetch_add(1, Ordering::Relaxed);
        Held { values: self.values.clone(), gauge }
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

    /// The counter of log lines that were dropped because the sink did not keep up; the log's writer counts here.
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
                self.values.loaded_at.store(millis_now(), Ordering::Relaxed);
            }
            Load::Refused { errors } => {
                self.values.load_failures.fetch_add(1, Ordering::Relaxed);
                set(&self.values.load_errors, errors);
            }
        }
    }

    /// How many errors made the last reading of the policies a refused one; 0 when it was taken over.
    pub fn load_errors(&self) -> i64 {
        self.values.load_errors.load(Ordering::Relaxed)
    }

    /// Records that a snapshot was published.
    pub fn published(&self, generation: u64, counts: Counts) {
        self.values.generation.store(generation, Ordering::Relaxed);
        self.values.published_at.store(millis_now(), Ordering::Relaxed);
        let counts = [counts.policies, counts.invalid_policies, counts.unavailable_policies, counts.mappings];
        for (gauge, count) in self.values.objects.iter().zip(counts) {
            gauge.store(i64::try_from(count).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    /// Records the CRLs of a snapshot. Those of one profile and issuer, such as a complete and a delta CRL, share their
    /// series: the entries of all, the age of the oldest, the first nextUpdate.
    pub fn relies_on(&self, crls: impl IntoIterator<Item = CrlStatus>) {
        let mut gauges: BTreeMap<(Arc<str>, String), CrlGauge> = BTreeMap::new();
        for crl in crls {
            let (this_update, next_update) = (crl.this_update.as_secs(), crl.next_update.map(|next| next.as_secs()));
            let key = (crl.profile.clone(), crl.issuer.clone());
            let gauge = gauges.entry(key).or_insert(CrlGauge {
                profile: crl.profile,
                issuer: crl.issuer,
                entries: 0,
                this_update,
                next_update,
            });
            gauge.entries = gauge.entries.saturating_add(crl.entries);
            gauge.this_update = gauge.this_update.min(this_update);
            gauge.next_update = gauge.next_update.into_iter().chain(next_update).min();
        }
        self.values.crls.store(Arc::new(gauges.into_values().collect()));
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

impl Values {
    /// The counters of a policy that may be new. Policies come from the operator, so the table stays as small as what
    /// was ever configured.
    #[cold]
    fn add_policy(&self, policy: &str) -> Arc<PolicyCounters> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.policies.load();
        if let Some(counters) = table.get(policy) {
            return counters.clone();
        }
        let counters = Arc::<PolicyCounters>::default();
        let mut table = PolicyTable::clone(&table);
        table.insert(policy.into(), counters.clone());
        self.policies.store(Arc::new(table));
        counters
    }

    fn encode_decisions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "decisions",
            "Requests decided, by policy, outcome and reason; Audited were allowed although the policy denies them",
            None,
            MetricType::Counter,
        )?;
        let policies = self.policies.load();
        let mut all: Vec<(&str, &PolicyCounters)> =
            policies.iter().map(|(name, counters)| (&**name, &**counters)).collect();
        all.push(("", &self.without_policy));
        all.sort_by_key(|(name, _)| *name);
        for (policy, counters) in all {
            let mut count = |outcome: &str, reason: &str, counter: &AtomicU64| match counter.load(Ordering::Relaxed) {
                0 => Ok(()),
                value => ConstCounter::new(value).encode(family.encode_family(&[
                    ("policy", policy),
                    ("outcome", outcome),
                    ("reason", reason),
                ])?),
            };
            count("Allowed", "", &counters.identified)?;
            count("AllowedAnonymous", "", &counters.anonymous)?;
            for row in Reason::ALL {
                count("Denied", row.code, &counters.denied[row.reason as usize])?;
                count("Audited", row.code, &counters.audited[row.reason as usize])?;
            }
        }
        Ok(())
    }

    fn encode_crls(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let now = i64::try_from(millis_now() / 1000).unwrap_or(i64::MAX);
        let crls = self.crls.load();
        let mut family = |name: &str, help: &str, value: &dyn Fn(&CrlGauge) -> Option<i64>| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for crl in crls.iter() {
                let Some(value) = value(crl) else { continue };
                let labels = [("profile", &*crl.profile), ("issuer", &*crl.issuer)];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        };
        family("crl_entries", "Certificates that the CRLs of an issuer list", &|crl| i64::try_from(crl.entries).ok())?;
        family("crl_age_seconds", "Time since thisUpdate of the oldest CRL of an issuer", &|crl| {
            Some(now.saturating_sub(crl.this_update))
        })?;
        family(
            "crl_next_update_seconds",
            "Time until the first nextUpdate of the CRLs of an issuer; negative once it has passed",
            &|crl| crl.next_update.map(|next| next.saturating_sub(now)),
        )
    }

    fn encode_latency(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let seconds = |nanoseconds: u64| Duration::from_nanos(nanoseconds).as_secs_f64();
        let buckets: Vec<(f64, u64)> = LATENCY_BOUNDS
            .iter()
            .map(|bound| seconds(*bound))
            .chain([f64::INFINITY])
            .zip(self.latency.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder
            .encode_descriptor(
                "decision_duration_seconds",
                "Time from a complete CheckRequest to its encoded answer",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(
                seconds(self.latency.nanoseconds.load(Ordering::Relaxed)),
                count,
                &buckets,
                None,
            )
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

/// Milliseconds since the epoch.
fn millis_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Gives the registry the values as they are at each scrape.
#[derive(Debug)]
struct Scrape(Arc<Values>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let values = &*self.0;
        values.encode_decisions(&mut encoder)?;
        values.encode_latency(&mut encoder)?;
        values.encode_crls(&mut encoder)?;
        for (name, help, counter) in [
            ("panics", "Panics caught while deciding; each denied its request with INTERNAL", &values.panics),
            ("unreadable_requests", "Messages that are not a CheckRequest; each was denied", &values.unreadable),
            ("denials_not_logged", "Denials left out of the log by its rate limit", &values.denials_not_logged),
            ("log_lines_dropped", "Log lines dropped because the sink did not keep up", &values.log_lines_dropped),
            ("policy_loads", "Times the policies were read", &values.loads),
            (
                "policy_load_failures",
                "Times the policies could not be read and the last snapshot went on",
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
                let age = ConstGauge::new(Duration::from_millis(millis_now().saturating_sub(since)).as_secs_f64());
                age.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
            }
        }
        let build = encoder.encode_descriptor("build", "The version that runs", None, MetricType::Info)?;
        prometheus_client::metrics::info::Info::new([("version", env!("CARGO_PKG_VERSION"))]).encode(build)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::UnixTime;

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
    fn crls_are_shown_by_profile_and_issuer() {
        let now = i64::try_from(millis_now() / 1000).unwrap();
        let crl = |profile: &str, issuer: &str, entries, age, next: Option<i64>| CrlStatus {
            profile: profile.into(),
            issuer: issuer.into(),
            number: None,
            entries,
            this_update: UnixTime::from_secs(now - age),
            next_update: next.map(|next| UnixTime::from_secs(now + next)),
        };
        let metrics = Metrics::new();
        metrics.relies_on([
            crl("a/p", "CN=One", 3, 1000, Some(9000)),
            crl("a/p", "CN=One", 4, 5000, Some(-500)),
            crl("a/p", "CN=Two", 1, 7000, None),
        ]);
        let text = metrics.render();
        let value = |start: &str| line(&text, start).rsplit(' ').next().unwrap().parse::<i64>().unwrap();
        assert_eq!(value(r#"certgate_crl_entries{profile="a/p",issuer="CN=One"}"#), 7);
        assert!((5000..5060).contains(&value(r#"certgate_crl_age_seconds{profile="a/p",issuer="CN=One"}"#)));
        assert!((-560..=-500).contains(&value(r#"certgate_crl_next_update_seconds{profile="a/p",issuer="CN=One"}"#)));
        assert!(!text.contains(r#"certgate_crl_next_update_seconds{profile="a/p",issuer="CN=Two"}"#));
        metrics.relies_on([]);
        assert!(!metrics.render().contains("CN=One"), "what is gone is not shown");
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
