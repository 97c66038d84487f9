//! Logs CRLs when they expire.
//!
//! An expiry is no event of a file or the cluster: without this log, the first sign of it would be denied clients. Each
//! CRL is logged once when its expiry is near and once when it has expired, independently of requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::decide::resolved_profile::CrlStatus;
use crate::domain::policy::freshness::{CrlFreshness, expiring};
use crate::envoy::service::Authorizer;
use certgate_x509::UnixTime;

/// The interval of the checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Checks the CRLs of the current snapshot by `clock` for the lifetime of the process.
pub async fn watch(authorizer: Arc<Authorizer>, clock: fn() -> UnixTime) {
    let mut tick = tokio::time::interval(CHECK_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut logged, mut crls, mut generation) = (LoggedFreshness::default(), Vec::new(), None);
    loop {
        tick.tick().await;
        // Holds the snapshot only for a moment: the thread that replaces it waits to free it.
        if let Some(snapshot) = authorizer.current().filter(|snapshot| generation != Some(snapshot.generation())) {
            generation = Some(snapshot.generation());
            crls = snapshot.crls();
        }
        for (crl, warning) in logged.news(&crls, clock()) {
            let profile = &*crl.profile;
            tracing::warn!(profile, issuer = crl.issuer, kind = crl.kind.word(), scope = crl.scope, "{warning}");
        }
    }
}

/// The states that have been logged.
#[derive(Default)]
struct LoggedFreshness(BTreeMap<String, CrlFreshness>);

impl LoggedFreshness {
    /// The CRLs to log at `now` that have not been logged yet.
    fn news<'c>(&mut self, crls: &'c [CrlStatus], now: UnixTime) -> Vec<(&'c CrlStatus, String)> {
        let mut news = Vec::new();
        let mut states = BTreeMap::new();
        for (crl, state) in expiring(crls, now) {
            let list = format!("{} {crl} {} {:?}", crl.profile, crl.scope, crl.key);
            if self.0.get(&list).is_none_or(|logged| *logged < state) {
                news.extend(crl.expiry_warning(now).map(|warning| (crl, warning)));
            }
            states.insert(list, state);
        }
        self.0 = states;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decide::resolved_profile::CrlKind;
    use certgate_x509::RevocationPolicy;

    fn crl(profile: &str, this_update: i64, next_update: i64) -> CrlStatus {
        CrlStatus {
            profile: profile.into(),
            issuer: "CN=CA".to_owned(),
            kind: CrlKind::Complete,
            scope: String::new(),
            key: None,
            number: None,
            entries: 0,
            this_update: UnixTime::from_secs(this_update),
            next_update: Some(UnixTime::from_secs(next_update)),
            policy: RevocationPolicy::default(),
        }
    }

    #[test]
    fn a_list_is_told_of_when_it_nears_its_end_and_when_it_ends_and_no_more() {
        let mut told = LoggedFreshness::default();
        let lists = [crl("n/p", 0, 1000), crl("n/q", 0, 1000)];
        let mut said = Vec::new();
        for now in 0..3000 {
            let news = told.news(&lists, UnixTime::from_secs(now));
            said.extend(news.into_iter().map(|(crl, warning)| (now, crl.profile.to_string(), warning)));
        }
        let when: Vec<_> = said.iter().map(|(now, profile, _)| (*now, profile.as_str())).collect();
        // Clocks may differ by 300 seconds; the last quarter of 1300 begins at 975.
        assert_eq!(when, [(975, "n/p"), (975, "n/q"), (1301, "n/p"), (1301, "n/q")]);
        assert!(said[0].2.contains(" ends at ") && said[2].2.contains(" ended at "), "{said:?}");

        let renewed = [crl("n/p", 2900, 4000), lists[1].clone()];
        assert!(told.news(&renewed, UnixTime::from_secs(3000)).is_empty(), "the other one has been told of");
        assert_eq!(told.news(&renewed, UnixTime::from_secs(4301)).len(), 1, "the next list ends too");
    }
}
