//! Writes status where it differs from what it should be.
//!
//! Owns the pace. What is due is found by comparing digests, the three kinds' own objects before the many mappings and
//! fresh edits before old ones; so a burst that touches a hundred thousand objects is written over many minutes, while an
//! edit made meanwhile has its status in a second. Each write looks at the object first, leaves one alone that has moved
//! on, and is void when somebody else is faster: so a leader that has just lost its lease undoes nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::super::api::{Api, ApiError, collection_path};
use super::super::health::Health;
use super::super::store::{Due, Store};
use super::lease::{Claim, DURATION, LOOK, LeaseOptions, RENEWAL};
use super::{digest, wanted};
use crate::clock::now;
use crate::domain::api::Kind;
use crate::kubernetes::shutdown::ClusterShutdown;

/// Who owns the fields of a status (server-side apply).
const FIELD_MANAGER: &str = "certgate";

/// How often it is looked what is due, and how many objects are written then at most: 80 a second, with two requests each.
const TICK: Duration = Duration::from_millis(250);
const BATCH: usize = 20;

/// The pause after the API server could not be reached or asked for patience, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Until when the lease is held; `None` when it is not.
pub type LeaseDeadline = Rc<Cell<Option<Instant>>>;

/// How a write ended.
enum WriteOutcome {
    /// It says now what it should.
    Written,
    /// It did so before.
    Unchanged,
    /// The object has moved on or is gone: its next event brings it back.
    Superseded,
    /// Somebody wrote the object between the look at it and the write.
    Overtaken,
}

/// Writes status for as long as the lease is held. Never returns.
pub async fn write_status(api: Api, store: Rc<RefCell<Store>>, health: Arc<Health>, held: LeaseDeadline) -> ! {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pause = FIRST_PAUSE;
    let mut leading = false;
    loop {
        tick.tick().await;
        let leads = held.get().is_some_and(|until| Instant::now() < until);
        if leads != std::mem::replace(&mut leading, leads) {
            tracing::info!(leads, "the lease for writing status changed hands");
            health.leads(leads);
            // What others wrote was seen all along; what they left is due now.
            store.borrow_mut().look_at_status_again();
        }
        if !leads {
            continue;
        }
        let due = store.borrow_mut().due(BATCH, now());
        if due.is_empty() {
            continue;
        }
        let mut writes = JoinSet::new();
        for due in due {
            let api = api.clone();
            writes.spawn_local(async move { (write(&api, &due).await, due) });
        }
        let mut failed = None;
        while let Some(written) = writes.join_next().await {
            let (result, due) = match written {
                Ok(written) => written,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => continue,
            };
            match result {
                Ok(outcome) => {
                    health.status_written(match outcome {
                        WriteOutcome::Written => "written",
                        WriteOutcome::Unchanged => "unchanged",
                        WriteOutcome::Superseded | WriteOutcome::Overtaken => "superseded",
                    });
                    match outcome {
                        WriteOutcome::Overtaken => store.borrow_mut().look_at_status_again(),
                        _ => store.borrow_mut().note_written(&due),
                    }
                }
                Err(error) => {
                    health.status_written("failed");
                    failed = Some((error, due));
                }
            }
        }
        match failed {
            None => pause = FIRST_PAUSE,
            Some((error, due)) => {
                let wait = error.retry_after().unwrap_or(pause).min(LONGEST_PAUSE);
                let object = format_args!("{} {}/{}", due.kind, due.key.namespace, due.key.name);
                tracing::warn!(%object, "cannot write status: {error}");
                store.borrow_mut().look_at_status_again();
                tokio::time::sleep(wait).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Keeps the claim, and tells until when it holds.
pub async fn claim(api: Api, lease: LeaseOptions, held: LeaseDeadline, shutdown: ClusterShutdown) {
    let mut claim = Claim::new(lease.clone());
    let mut failing = false;
    loop {
        let began = Instant::now();
        match claim.renew(&api, now()).await {
            Ok(()) => {
                failing = false;
                held.set(claim.holds().then(|| began + DURATION));
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    let lease = format_args!("{}/{}", lease.namespace, lease.name);
                    tracing::warn!(%lease, "cannot hold the lease: {error}");
                }
            }
        }
        let pause = if claim.holds() { RENEWAL } else { LOOK };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => break,
        }
    }
    held.set(None);
    if let Err(error) = claim.release(&api, now()).await {
        tracing::warn!("cannot give the lease for writing status back; it runs out by itself: {error}");
    }
    shutdown.done();
}

async fn write(api: &Api, due: &Due) -> Result<WriteOutcome, ApiError> {
    let Due { kind, key, generation, status, .. } = due;
    let path = format!("{}/{}", collection_path(*kind, Some(&key.namespace)), key.name);
    let present = match api.call(Method::GET, &path, "application/json", Vec::new()).await {
        Ok(text) => serde_json::from_slice::<Value>(&text).map_err(|error| ApiError::Unreadable(error.to_string()))?,
        Err(error) if error.is_not_found() => return Ok(WriteOutcome::Superseded),
        Err(error) => return Err(error),
    };
    if present.pointer("/metadata/generation").and_then(Value::as_i64) != Some(*generation) {
        return Ok(WriteOutcome::Superseded);
    }
    let former = present.get("status").cloned().unwrap_or_default();
    if former.is_object() && digest(&former) == due.digest {
        return Ok(WriteOutcome::Unchanged);
    }
    let applied = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        // Of the version that was read. With its uid, an object of the same name that came after it is left alone.
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "uid": present.pointer("/metadata/uid"),
            "resourceVersion": present.pointer("/metadata/resourceVersion"),
        },
        "status": wanted::timed(status.clone(), &former, &now().to_string()),
    });
    let path = format!("{path}/status?fieldManager={FIELD_MANAGER}&force=true");
    let body = applied.to_string().into_bytes();
    match api.call(Method::PATCH, &path, "application/apply-patch+yaml", body).await {
        Ok(_) => Ok(WriteOutcome::Written),
        Err(error) if error.is_not_found() => Ok(WriteOutcome::Superseded),
        Err(error) if error.is_conflict() => Ok(WriteOutcome::Overtaken),
        Err(error) => Err(error),
    }
}

/// The kinds whose status is written.
pub const KINDS: [Kind; 3] = [Kind::TrustProfile, Kind::CertificatePolicy, Kind::CertificateMapping];
