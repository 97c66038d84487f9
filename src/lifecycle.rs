//! The life of the process: loading, serving, draining, stopping.
//!
//! Owns the one piece of state that readiness, health and connections follow, and the signals that change it. Phases
//! only advance: a process that drains does not become ready again.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The phase of the process.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No policies have been compiled yet; every request is denied.
    Loading,
    /// Requests are decided.
    Serving,
    /// Requests are still decided, but readiness reports that callers should use another replica.
    Draining,
    /// No connection is accepted any more; requests in flight are finished.
    Stopping,
}

/// The shared phase of the process.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A process that is loading.
    pub fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Loading) }
    }

    /// The current phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Advances to `phase`; has no effect if the process is already past it.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }

    /// A view that can be awaited.
    pub fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Waits until the process has reached `phase`.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.subscribe().wait_for(|current| *current >= phase).await;
    }
}

/// The signals that end the process: SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Installs the signal handlers.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_go_forward() {
        let lifecycle = Lifecycle::new();
        assert_eq!(lifecycle.phase(), Phase::Loading);
        lifecycle.advance(Phase::Draining);
        lifecycle.advance(Phase::Serving);
        assert_eq!(lifecycle.phase(), Phase::Draining);
        lifecycle.advance(Phase::Stopping);
        assert_eq!(lifecycle.phase(), Phase::Stopping);
    }

    #[tokio::test]
    async fn a_phase_that_was_skipped_counts_as_reached() {
        let lifecycle = Lifecycle::new();
        let waiting = {
            let lifecycle = lifecycle.clone();
            tokio::spawn(async move { lifecycle.reached(Phase::Serving).await })
        };
        lifecycle.advance(Phase::Stopping);
        waiting.await.unwrap();
    }
}
