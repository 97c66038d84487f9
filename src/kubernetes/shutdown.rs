//! The end of the process, as far as the cluster is concerned.
//!
//! Owns the handshake between the thread that serves and the one that follows the cluster: whoever holds the lease for
//! writing status gives it back, and the process waits for that, but not for long.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long the end of the process waits. A lease that is not given back runs out by itself.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    Requested,
    Done,
}

/// One shutdown; clones are the same one.
#[derive(Clone, Debug)]
pub struct ClusterShutdown(Arc<watch::Sender<Stage>>);

impl Default for ClusterShutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::Running)))
    }
}

impl ClusterShutdown {
    /// Asks for it, and waits until it is done or has taken too long.
    pub async fn shut_down(&self) {
        self.advance(Stage::Requested);
        let _ = tokio::time::timeout(PATIENCE, self.reached(Stage::Done)).await;
    }

    /// Waits until it is asked for.
    pub async fn requested(&self) {
        self.reached(Stage::Requested).await;
    }

    /// Says that nothing is left to do.
    pub fn done(&self) {
        self.advance(Stage::Done);
    }

    async fn reached(&self, stage: Stage) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|reached| *reached >= stage).await;
    }

    fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|reached| {
            let former = *reached;
            *reached = stage.max(former);
            former < stage
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_done_when_the_one_who_was_asked_says_so() {
        let shutdown = ClusterShutdown::default();
        let other = shutdown.clone();
        let leaving = tokio::spawn(async move {
            other.requested().await;
            other.done();
        });
        let began = std::time::Instant::now();
        shutdown.shut_down().await;
        assert!(began.elapsed() < PATIENCE);
        leaving.await.unwrap();
        shutdown.requested().await;
    }
}
