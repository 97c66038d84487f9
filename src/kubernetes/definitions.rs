//! Notices when the definitions of the three kinds change, so that their objects are listed anew.
//!
//! An API server serves a watch by the definition that was there when the watch began, for minutes after the definition
//! has changed: a field that only the new definition knows is cut out of what that watch tells, without a word. A
//! policy that a new field narrows would go on deciding without it. So the definitions are watched as well, their
//! metadata only, and a change of one makes the followers of its kind begin anew, by the definition that holds then.

use std::time::Duration;

use http_body_util::BodyExt;
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedSender;

use super::api::{Api, ApiError};
use super::follow::Lines;
use crate::domain::api::{GROUP, Kind};

/// How long after a change the objects are listed anew: as soon as the server that told of it serves the new
/// definition, and once more when others, behind the same address, certainly do.
const RELIST_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// How long the server keeps a watch open, and how long it may be silent.
const WATCH_TIMEOUT: Duration = Duration::from_secs(240);
const WATCH_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The pause after a watch that ended by itself, after one that failed, and the longest that a server may ask for.
const REWATCH_DELAY: Duration = Duration::from_millis(200);
const FAILURE_BACKOFF: Duration = Duration::from_secs(5);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct DefinitionEvent {
    #[serde(rename = "type")]
    kind: String,
    object: Definition,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Definition {
    metadata: Metadata,
}

/// What tells one version of a definition from another. Status does not count.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Metadata {
    uid: String,
    generation: i64,
}

/// Watches the definition of `kind` for ever, and says when its objects must be listed anew. Without the permission to
/// watch definitions it says so once and goes on trying.
pub async fn follow_definition(api: Api, kind: Kind, relist: UnboundedSender<Kind>) {
    let mut known = None;
    let mut said = None;
    loop {
        let error = watch(&api, kind, &mut known, &relist).await;
        let pause = match error {
            None => REWATCH_DELAY,
            Some(error) => {
                if said != Some(error.class()) {
                    said = Some(error.class());
                    tracing::warn!(
                        %kind,
                        "cannot watch the definition: {error}; when it changes, objects are listed anew only once their watch \
                         has ended"
                    );
                }
                error.retry_after().unwrap_or(FAILURE_BACKOFF).min(MAX_RETRY_AFTER)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// One watch: it tells the definition as it is, then each change. Gives the failure that ended it, if one did.
async fn watch(
    api: &Api,
    kind: Kind,
    known: &mut Option<Metadata>,
    relist: &UnboundedSender<Kind>,
) -> Option<ApiError> {
    let mut body = match api.watch_definition(&format!("{}.{GROUP}", kind.plural()), WATCH_TIMEOUT).await {
        Ok(body) => body,
        Err(error) => return Some(error),
    };
    let mut lines = Lines::default();
    loop {
        let frame = match tokio::time::timeout(WATCH_IDLE_TIMEOUT, body.frame()).await {
            Err(_) => return Some(ApiError::Late(WATCH_IDLE_TIMEOUT)),
            // Connections end in many ways; all that matters is that the next one begins with the definition as it is.
            Ok(None | Some(Err(_))) => return None,
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if let Err(error) = lines.push(&data) {
            return Some(error);
        }
        while let Some(line) = lines.next() {
            let event: DefinitionEvent = match serde_json::from_slice(line) {
                Ok(event) => event,
                Err(error) => return Some(ApiError::Unreadable(error.to_string())),
            };
            if !matches!(event.kind.as_str(), "ADDED" | "MODIFIED") {
                continue;
            }
            let now = event.object.metadata;
            match known.replace(now.clone()) {
                Some(former) if former != now => {
                    tracing::info!(%kind, generation = now.generation, "the definition has changed");
                    schedule_relists(kind, relist.clone());
                }
                _ => {}
            }
        }
    }
}

/// Asks for lists now and then; must run where local tasks can be spawned.
fn schedule_relists(kind: Kind, relist: UnboundedSender<Kind>) {
    tokio::task::spawn_local(async move {
        let mut passed = Duration::ZERO;
        for after in RELIST_DELAYS {
            tokio::time::sleep(after.saturating_sub(passed)).await;
            passed = after;
            // Nobody listens any more when the cluster is followed no longer.
            let _ = relist.send(kind);
        }
    });
}
