//! Leader election: which replica writes status and keeps the webhook's certificate.
//!
//! Owns the Lease. Other replicas' clocks are not trusted: a lease has expired when it has not changed for its duration
//! as this process measures it. Two leaders at a time would only do the work twice, so a leader that cannot reach the
//! API server stops when its lease may have passed to another replica, and needs no further care.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Resource as _;
use kube::api::{GetParams, PostParams};
use kube::core::Request;

use super::api::{Api, ApiError};
use super::shutdown::ClusterShutdown;
use crate::clock::now;
use crate::domain::api::NamespacedName;
use certgate_x509::UnixTime;

/// How long a lease is valid without renewal.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// How often the leader renews its lease.
pub const RENEW_PERIOD: Duration = Duration::from_secs(5);

/// How often candidates try to acquire the lease; also the takeover time after a release.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);

/// The Lease, and the identity of this replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// The Lease.
    pub lease: NamespacedName,
    /// The identity of this replica in it.
    pub holder: String,
}

/// Until when the lease is held; `None` when it is not.
pub type LeaseDeadline = Rc<Cell<Option<Instant>>>;

/// One replica's part in the election.
#[derive(Debug)]
struct LeaderElector {
    options: LeaseOptions,
    /// The version of another replica's lease, and when this process first saw it.
    observed: Option<(String, Instant)>,
    /// Until when this replica leads.
    held_until: Option<Instant>,
}

impl LeaderElector {
    fn new(options: LeaseOptions) -> Self {
        Self { options, observed: None, held_until: None }
    }

    /// Whether this replica leads.
    fn leads(&self) -> bool {
        self.held_until.is_some_and(|until| Instant::now() < until)
    }

    /// Renews the lease, or acquires it where it is free or expired.
    async fn renew_or_acquire(&mut self, api: &Api, now: UnixTime) -> Result<(), ApiError> {
        let began = Instant::now();
        let leases = self.leases();
        let request = match self.read(api).await? {
            None => leases.create(&PostParams::default(), encoded(&self.lease(None, now))?),
            Some(present) if self.may_acquire(&present) => {
                let lease = encoded(&self.lease(Some(&present), now))?;
                leases.replace(&self.options.lease.name, &PostParams::default(), lease)
            }
            Some(_) => {
                self.held_until = None;
                return Ok(());
            }
        };
        match api.call(request).await {
            Ok(_) => {
                self.held_until = Some(began + LEASE_DURATION);
                Ok(())
            }
            // Another replica was faster.
            Err(error) if error.is_conflict() => {
                self.held_until = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Releases the lease, so that another replica need not wait until it expires. Another replica's lease is left
    /// alone.
    async fn release(&mut self, api: &Api, now: UnixTime) -> Result<(), ApiError> {
        if self.held_until.take().is_none() {
            return Ok(());
        }
        let Some(present) = self.read(api).await? else { return Ok(()) };
        if holder(&present) != self.options.holder {
            return Ok(());
        }
        let lease = encoded(&self.released(&present, now))?;
        match api.call(self.leases().replace(&self.options.lease.name, &PostParams::default(), lease)).await {
            Err(error) if !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }

    fn leases(&self) -> Request {
        Request::new(Lease::url_path(&(), Some(&self.options.lease.namespace)))
    }

    /// The stored lease; `None` when there is none.
    async fn read(&self, api: &Api) -> Result<Option<Lease>, ApiError> {
        match api.call_json(self.leases().get(&self.options.lease.name, &GetParams::default())).await {
            Ok(lease) => Ok(Some(lease)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// This replica's lease without a holder. It keeps its count of transitions; its duration must be positive.
    fn released(&self, present: &Lease, now: UnixTime) -> Lease {
        let mut lease = self.lease(Some(present), now);
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        lease
    }

    /// Whether the lease is this replica's, has no holder, or has not changed for its duration.
    fn may_acquire(&mut self, present: &Lease) -> bool {
        let holder = holder(present);
        if holder.is_empty() || holder == self.options.holder {
            self.observed = None;
            return true;
        }
        let version = present.metadata.resource_version.as_deref().unwrap_or_default();
        let seconds = present.spec.as_ref().and_then(|spec| u64::try_from(spec.lease_duration_seconds?).ok());
        let duration = seconds.map_or(LEASE_DURATION, Duration::from_secs).min(4 * LEASE_DURATION);
        match &self.observed {
            Some((observed, since)) if observed == version => since.elapsed() > duration,
            _ => {
                self.observed = Some((version.to_owned(), Instant::now()));
                false
            }
        }
    }

    /// The lease with this replica as its holder, in place of `present`.
    fn lease(&self, present: Option<&Lease>, now: UnixTime) -> Lease {
        let NamespacedName { namespace, name } = &self.options.lease;
        let former = present.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let is_renewal = former.holder_identity.as_ref() == Some(&self.options.holder);
        let transitions = former.lease_transitions.unwrap_or(-1);
        let now = Timestamp::from_second(now.as_secs()).ok().map(MicroTime);
        Lease {
            metadata: ObjectMeta {
                name: Some(name.to_string()),
                namespace: Some(namespace.to_string()),
                resource_version: present.and_then(|lease| lease.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.options.holder.clone()),
                lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
                acquire_time: former.acquire_time.filter(|_| is_renewal).or_else(|| now.clone()),
                renew_time: now,
                lease_transitions: Some(if is_renewal { transitions } else { transitions.saturating_add(1) }),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn encoded(lease: &Lease) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(lease).map_err(|error| ApiError::InvalidRequest(error.to_string()))
}

/// Takes part in the election until the shutdown, and keeps `held` up to date.
pub async fn run_election(api: Api, options: LeaseOptions, held: LeaseDeadline, shutdown: ClusterShutdown) {
    let mut elector = LeaderElector::new(options.clone());
    let mut failing = false;
    loop {
        let began = Instant::now();
        match elector.renew_or_acquire(&api, now()).await {
            Ok(()) => {
                failing = false;
                held.set(elector.leads().then(|| began + LEASE_DURATION));
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(lease = %options.lease, "cannot hold the lease: {error}");
                }
            }
        }
        let pause = if elector.leads() { RENEW_PERIOD } else { RETRY_PERIOD };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => break,
        }
    }
    held.set(None);
    if let Err(error) = elector.release(&api, now()).await {
        tracing::warn!("cannot give the lease for writing status back; it runs out by itself: {error}");
    }
    shutdown.done();
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn elector() -> LeaderElector {
        LeaderElector::new(LeaseOptions { lease: NamespacedName::new("n", "l"), holder: "me".to_owned() })
    }

    fn held_by(holder: &str, version: &str) -> Lease {
        serde_json::from_value(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"resourceVersion": version},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 0, "leaseTransitions": 4},
        }))
        .unwrap()
    }

    fn json_of(lease: &Lease) -> Value {
        serde_json::from_slice(&encoded(lease).unwrap()).unwrap()
    }

    #[test]
    fn a_lease_is_acquired_when_it_is_free_ours_or_expired() {
        let mut elector = elector();
        assert!(elector.may_acquire(&held_by("", "1")));
        assert!(elector.may_acquire(&held_by("me", "1")));
        assert!(!elector.may_acquire(&held_by("other", "2")), "seen for the first time");
        std::thread::sleep(Duration::from_millis(2));
        assert!(elector.may_acquire(&held_by("other", "2")), "unchanged for longer than its duration");
        assert!(!elector.may_acquire(&held_by("other", "3")), "renewed");
    }

    #[test]
    fn taking_over_counts_a_transition_and_keeps_the_version() {
        let now = UnixTime::from_secs(0);
        let taken = json_of(&elector().lease(Some(&held_by("other", "2")), now));
        assert_eq!(taken["apiVersion"], "coordination.k8s.io/v1");
        assert_eq!(taken["kind"], "Lease");
        assert_eq!(taken["metadata"], json!({"name": "l", "namespace": "n", "resourceVersion": "2"}));
        assert_eq!(taken["spec"]["leaseTransitions"], 5);
        assert_eq!(taken["spec"]["renewTime"], "1970-01-01T00:00:00.000000Z");
        let transitions = |lease: Lease| lease.spec.unwrap().lease_transitions;
        assert_eq!(transitions(elector().lease(Some(&held_by("me", "2")), now)), Some(4));
        assert_eq!(transitions(elector().lease(None, now)), Some(0));
    }

    #[test]
    fn a_renewal_keeps_the_time_of_the_acquisition() {
        let at = UnixTime::from_secs;
        let taken = elector().lease(None, at(0));
        let renewed = json_of(&elector().lease(Some(&taken), at(5)));
        assert_eq!(renewed["spec"]["acquireTime"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(renewed["spec"]["renewTime"], "1970-01-01T00:00:05.000000Z");
    }

    #[test]
    fn a_released_lease_has_no_holder() {
        let released = elector().released(&held_by("me", "7"), UnixTime::from_secs(0));
        let lease = json_of(&released);
        assert_eq!(lease["spec"]["holderIdentity"], "");
        assert_eq!(lease["spec"]["leaseDurationSeconds"], 1);
        assert_eq!(lease["spec"]["leaseTransitions"], 4);
        assert_eq!(lease["metadata"]["resourceVersion"], "7", "a faster replica's lease is not overwritten");
        assert!(elector().may_acquire(&released), "another replica acquires it at first sight");
    }
}
