//! Which replica writes status: the holder of a Lease.
//!
//! Owns the claim. Others' clocks are not trusted: a lease has run out when it has not changed for its duration as this
//! process measures it. Two replicas that both write would do no harm but the work twice; so a holder that cannot reach
//! the API server needs no more care than to stop when its lease may have passed on.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::super::api::{Api, ApiError};
use certgate_x509::time::UnixTime;

/// How long a claim holds without renewal.
pub const DURATION: Duration = Duration::from_secs(15);

/// How often it is renewed.
pub const RENEWAL: Duration = Duration::from_secs(5);

/// How often it is looked at by those who wait: so soon is a lease taken over that its holder gave back.
pub const LOOK: Duration = Duration::from_secs(2);

/// The name of the Lease, of this replica, and where the Lease lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// What this replica is called in it.
    pub holder: String,
}

/// A claim on the Lease.
#[derive(Debug)]
pub struct Claim {
    options: LeaseOptions,
    /// The version of somebody else's lease, and when it was first seen.
    seen: Option<(String, Instant)>,
    /// Until when it is ours.
    held_until: Option<Instant>,
}

impl Claim {
    /// A claim that has not been made yet.
    pub fn new(options: LeaseOptions) -> Self {
        Self { options, seen: None, held_until: None }
    }

    /// Whether the lease is ours at present.
    pub fn holds(&self) -> bool {
        self.held_until.is_some_and(|until| Instant::now() < until)
    }

    /// Renews or makes the claim, or looks whether it can be made.
    pub async fn renew(&mut self, api: &Api, now: UnixTime) -> Result<(), ApiError> {
        let began = Instant::now();
        let collection = self.collection();
        let path = format!("{collection}/{}", self.options.name);
        let written = match present(api, &path).await? {
            None => {
                let lease = self.lease(None, now);
                api.call(Method::POST, &collection, "application/json", lease.to_string().into_bytes()).await
            }
            Some(present) if self.may_take(&present) => {
                let lease = self.lease(Some(&present), now);
                api.call(Method::PUT, &path, "application/json", lease.to_string().into_bytes()).await
            }
            Some(_) => {
                self.held_until = None;
                return Ok(());
            }
        };
        match written {
            Ok(_) => {
                self.held_until = Some(began + DURATION);
                Ok(())
            }
            // Somebody was faster.
            Err(error) if error.is_conflict() => {
                self.held_until = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the lease back, so that another replica need not wait until it runs out. The lease of somebody else is left
    /// alone.
    pub async fn release(&mut self, api: &Api, now: UnixTime) -> Result<(), ApiError> {
        if self.held_until.take().is_none() {
            return Ok(());
        }
        let path = format!("{}/{}", self.collection(), self.options.name);
        let Some(present) = present(api, &path).await? else { return Ok(()) };
        if holder(&present) != self.options.holder {
            return Ok(());
        }
        let lease = self.released(&present, now);
        match api.call(Method::PUT, &path, "application/json", lease.to_string().into_bytes()).await {
            Err(error) if !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.options.namespace)
    }

    /// Our lease with no holder. It keeps its count of transitions; its duration must be positive.
    fn released(&self, present: &Value, now: UnixTime) -> Value {
        let mut lease = self.lease(Some(present), now);
        lease["spec"]["holderIdentity"] = "".into();
        lease["spec"]["leaseDurationSeconds"] = 1.into();
        lease
    }

    /// Whether the lease is ours, nobody's, or has not changed for as long as it holds.
    fn may_take(&mut self, present: &Value) -> bool {
        let holder = holder(present);
        if holder.is_empty() || holder == self.options.holder {
            self.seen = None;
            return true;
        }
        let version = present.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let seconds = present.pointer("/spec/leaseDurationSeconds").and_then(Value::as_u64);
        let holds = seconds.map_or(DURATION, Duration::from_secs).min(4 * DURATION);
        match &self.seen {
            Some((seen, since)) if seen == version => since.elapsed() > holds,
            _ => {
                self.seen = Some((version.to_owned(), Instant::now()));
                false
            }
        }
    }

    fn lease(&self, present: Option<&Value>, now: UnixTime) -> Value {
        let now = now.to_string().replace('Z', ".000000Z");
        let spec = |key: &str| present.and_then(|lease| lease.pointer(&format!("/spec/{key}"))).cloned();
        let ours = spec("holderIdentity").is_some_and(|holder| holder == *self.options.holder);
        let transitions = spec("leaseTransitions").and_then(|count| count.as_i64()).unwrap_or(-1);
        let mut metadata = json!({"name": self.options.name, "namespace": self.options.namespace});
        if let Some(version) = present.and_then(|lease| lease.pointer("/metadata/resourceVersion")) {
            metadata["resourceVersion"] = version.clone();
        }
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.options.holder,
                "leaseDurationSeconds": DURATION.as_secs(),
                "acquireTime": spec("acquireTime").filter(|_| ours).unwrap_or_else(|| now.clone().into()),
                "renewTime": now,
                "leaseTransitions": if ours { transitions } else { transitions + 1 },
            },
        })
    }
}

fn holder(lease: &Value) -> &str {
    lease.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default()
}

/// The lease as it is; `None` when there is none.
async fn present(api: &Api, path: &str) -> Result<Option<Value>, ApiError> {
    match api.call(Method::GET, path, "application/json", Vec::new()).await {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| ApiError::Unreadable(error.to_string())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim::new(LeaseOptions { namespace: "n".to_owned(), name: "l".to_owned(), holder: "me".to_owned() })
    }

    fn held_by(holder: &str, version: &str) -> Value {
        json!({"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": holder, "leaseDurationSeconds": 0, "leaseTransitions": 4}})
    }

    #[test]
    fn a_lease_is_taken_when_it_is_free_ours_or_left_alone() {
        let mut claim = claim();
        assert!(claim.may_take(&held_by("", "1")));
        assert!(claim.may_take(&held_by("me", "1")));
        assert!(!claim.may_take(&held_by("other", "2")), "seen for the first time");
        std::thread::sleep(Duration::from_millis(2));
        assert!(claim.may_take(&held_by("other", "2")), "unchanged for longer than it holds");
        assert!(!claim.may_take(&held_by("other", "3")), "renewed");
    }

    #[test]
    fn taking_over_counts_a_transition_and_keeps_the_version() {
        let now = UnixTime::from_secs(0);
        let taken = claim().lease(Some(&held_by("other", "2")), now);
        assert_eq!(taken["spec"]["leaseTransitions"], 5);
        assert_eq!(taken["metadata"]["resourceVersion"], "2");
        assert_eq!(taken["spec"]["renewTime"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(claim().lease(Some(&held_by("me", "2")), now)["spec"]["leaseTransitions"], 4);
        assert_eq!(claim().lease(None, now)["spec"]["leaseTransitions"], 0);
    }

    #[test]
    fn a_lease_that_is_given_back_is_nobodys() {
        let lease = claim().released(&held_by("me", "7"), UnixTime::from_secs(0));
        assert_eq!(lease["spec"]["holderIdentity"], "");
        assert_eq!(lease["spec"]["leaseDurationSeconds"], 1);
        assert_eq!(lease["spec"]["leaseTransitions"], 4);
        assert_eq!(lease["metadata"]["resourceVersion"], "7", "somebody who was faster is not overwritten");
        assert!(claim().may_take(&lease), "another takes it at first sight");
    }
}
