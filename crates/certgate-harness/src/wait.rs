//! Waits for conditions.

use std::time::{Duration, Instant};

/// The default deadline of a condition. Generous: a test that waits for an event must not fail on a busy machine with
/// two cores.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The interval of polls.
const INTERVAL: Duration = Duration::from_millis(10);

/// Polls until there is a value. Panics with `what` after `patience`.
pub async fn until<T>(what: &str, patience: Duration, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain: {what}");
        tokio::time::sleep(INTERVAL).await;
    }
}
