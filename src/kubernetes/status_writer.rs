//! Writes status where it differs from what it should be.
//!
//! Owns the pace. What is due is found by comparing digests, the three kinds' own objects before the many mappings and
//! fresh edits before old ones; so a burst that touches a hundred thousand objects is written over many minutes, while
//! an edit made meanwhile has its status in a second. Each write looks at the object first, leaves one alone that has
//! moved on, and is void when somebody else is faster: so a leader that has just lost its lease undoes nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::{GetParams, Patch, PatchParams};
use kube::core::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::api::{Api, ApiError, collection_path};
use super::health::Health;
use super::lease::LeaseDeadline;
use super::status::{digest, wanted};
use super::store::{Due, Store};
use crate::clock::now;

/// Who owns the fields of a status (server-side apply).
const FIELD_MANAGER: &str = "certgate";

/// How often it is looked what is due, and how many objects are written then at most: 80 a second, with two requests
/// each.
const WRITE_PERIOD: Duration = Duration::from_millis(250);
const WRITE_BATCH: usize = 20;

/// The pause after the API server could not be reached or asked for patience, doubled up to the longest.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

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
    let mut tick = tokio::time::interval(WRITE_PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut pause = INITIAL_BACKOFF;
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
        let due = store.borrow_mut().due(WRITE_BATCH, now());
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
            None => pause = INITIAL_BACKOFF,
            Some((error, due)) => {
                let wait = error.retry_after().unwrap_or(pause).min(MAX_BACKOFF);
                let object = format_args!("{} {}", due.kind, due.key);
                tracing::warn!(%object, "cannot write status: {error}");
                store.borrow_mut().look_at_status_again();
                tokio::time::sleep(wait).await;
                pause = (pause * 2).min(MAX_BACKOFF);
            }
        }
    }
}

async fn write(api: &Api, due: &Due) -> Result<WriteOutcome, ApiError> {
    let Due { kind, key, generation, status, .. } = due;
    let objects = Request::new(collection_path(*kind, Some(&key.namespace)));
    let present: Value = match api.call_json(objects.get(&key.name, &GetParams::default())).await {
        Ok(present) => present,
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
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.call(objects.patch_subresource("status", &key.name, &params, &Patch::Apply(&applied))).await {
        Ok(_) => Ok(WriteOutcome::Written),
        Err(error) if error.is_not_found() => Ok(WriteOutcome::Superseded),
        Err(error) if error.is_conflict() => Ok(WriteOutcome::Overtaken),
        Err(error) => Err(error),
    }
}
