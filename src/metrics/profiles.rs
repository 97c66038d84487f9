//! What trust profiles rely on, as gauges.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::millis_now;
use crate::domain::trusted::CrlStatus;

/// The CRLs of the current snapshot.
#[derive(Default)]
pub(super) struct Profiles {
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

impl Profiles {
    /// Takes the place of what was relied on before.
    pub(super) fn set(&self, crls: impl IntoIterator<Item = CrlStatus>) {
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
        self.crls.store(Arc::new(gauges.into_values().collect()));
    }

    /// Encodes the gauges.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
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
}
