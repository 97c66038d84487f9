//! Gauges of trust profiles: CRLs and trust anchors of the profiles in the current snapshot, and which of all profiles
//! are degraded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::clock::unix_millis;
use crate::domain::decide::resolved_profile::{AnchorsStatus, CrlKind, CrlStatus};

/// The gauges of all profiles.
#[derive(Default)]
pub(super) struct ProfileMetrics {
    gauges: ArcSwap<Gauges>,
    degraded: ArcSwap<BTreeSet<Arc<str>>>,
}

#[derive(Default)]
struct Gauges {
    crls: BTreeMap<CrlLabels, CrlGauge>,
    /// When the first trust anchor of a profile expires.
    anchors: BTreeMap<Arc<str>, i64>,
}

/// Labels that distinguish a CRL from the others, and stay the same for its successor.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CrlLabels {
    profile: Arc<str>,
    issuer: String,
    kind: CrlKind,
    scope: String,
    /// The signer's key, if CRLs of several keys have the same labels up to here.
    key: Option<String>,
    /// Numbers CRLs whose other labels are equal, from 1.
    ordinal: usize,
}

/// The values of a CRL.
struct CrlGauge {
    entries: usize,
    this_update: i64,
    next_update: Option<i64>,
    usable_until: i64,
}

impl ProfileMetrics {
    /// Replaces the recorded CRLs and anchors. CRLs with the same labels are distinguished by their keys, and numbered
    /// in their order if the keys are the same.
    pub(super) fn set(
        &self,
        crls: impl IntoIterator<Item = CrlStatus>,
        anchors: impl IntoIterator<Item = AnchorsStatus>,
    ) {
        let mut gauges = Gauges::default();
        let mut alike: BTreeMap<CrlLabels, usize> = BTreeMap::new();
        let crls: Vec<CrlStatus> = crls.into_iter().collect();
        let without_key = |crl: &CrlStatus| CrlLabels {
            profile: crl.profile.clone(),
            issuer: crl.issuer.clone(),
            kind: crl.kind,
            scope: crl.scope.clone(),
            key: None,
            ordinal: 0,
        };
        let mut keys: BTreeMap<CrlLabels, BTreeSet<Option<&str>>> = BTreeMap::new();
        for crl in &crls {
            keys.entry(without_key(crl)).or_default().insert(crl.key.as_deref());
        }
        for crl in &crls {
            let mut labels = without_key(crl);
            if keys.get(&labels).is_some_and(|keys| keys.len() > 1) {
                labels.key.clone_from(&crl.key);
            }
            let count = alike.entry(labels.clone()).or_default();
            *count = count.saturating_add(1);
            labels.ordinal = *count;
            let gauge = CrlGauge {
                entries: crl.entries,
                this_update: crl.this_update.as_secs(),
                next_update: crl.next_update.map(|next| next.as_secs()),
                usable_until: crl.usable_until().as_secs(),
            };
            gauges.crls.insert(labels, gauge);
        }
        for AnchorsStatus { profile, first_expiry } in anchors {
            let first = gauges.anchors.entry(profile).or_insert(i64::MAX);
            *first = first_expiry.as_secs().min(*first);
        }
        self.gauges.store(Arc::new(gauges));
    }

    /// Records the degraded profiles.
    pub(super) fn set_degraded(&self, profiles: impl IntoIterator<Item = Arc<str>>) {
        self.degraded.store(Arc::new(profiles.into_iter().collect()));
    }

    /// Encodes the gauges.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let now = i64::try_from(unix_millis() / 1000).unwrap_or(i64::MAX);
        let gauges = self.gauges.load();
        let mut family = |name: &str, help: &str, value: &dyn Fn(&CrlGauge) -> Option<i64>| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, crl) in &gauges.crls {
                let Some(value) = value(crl) else { continue };
                let ordinal = labels.ordinal.to_string();
                let labels = [
                    ("profile", &*labels.profile),
                    ("issuer", &*labels.issuer),
                    ("kind", labels.kind.word()),
                    ("scope", &*labels.scope),
                    ("key", labels.key.as_deref().unwrap_or_default()),
                    ("ordinal", if labels.ordinal > 1 { &*ordinal } else { "" }),
                ];
                // Prometheus treats an empty label as absent.
                let told: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
                ConstGauge::new(value).encode(family.encode_family(&told)?)?;
            }
            Ok(())
        };
        family("crl_entries", "Certificates that a CRL lists", &|crl| i64::try_from(crl.entries).ok())?;
        family("crl_age_seconds", "Time since thisUpdate of a CRL", &|crl| Some(now.saturating_sub(crl.this_update)))?;
        family("crl_next_update_seconds", "Time until nextUpdate of a CRL; negative once it has passed", &|crl| {
            crl.next_update.map(|next| next.saturating_sub(now))
        })?;
        family(
            "crl_usable_seconds",
            "Time for which a CRL still counts, by its nextUpdate and the profile's maxAge and clockSkew; negative once it \
             does not",
            &|crl| Some(crl.usable_until.saturating_sub(now)),
        )?;
        let mut family = encoder.encode_descriptor(
            "trust_profile_degraded",
            "1 for a profile that uses the last good content of a lost source, or does without skipped certificates",
            None,
            MetricType::Gauge,
        )?;
        for profile in self.degraded.load().iter() {
            ConstGauge::new(1).encode(family.encode_family(&[("profile", &**profile)])?)?;
        }
        let mut family = encoder.encode_descriptor(
            "trust_anchor_expiry_seconds",
            "Time until the first trust anchor of a profile expires; negative afterwards, which denies no client",
            None,
            MetricType::Gauge,
        )?;
        for (profile, first) in &gauges.anchors {
            let left = ConstGauge::new(first.saturating_sub(now));
            left.encode(family.encode_family(&[("profile", &**profile)])?)?;
        }
        Ok(())
    }
}
