//! Awaiting conditions.

use std::time::{Duration, Instant};

/// How long a condition that must come true may take, unless a test knows better. Generous: a busy machine with two
/// cores must not fail a test that only asks for an event.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks at `poll` until it gives a value. Panics with `what` when `patience` runs out.
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
