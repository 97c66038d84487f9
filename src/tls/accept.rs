//! Handshakes with those who connect.
//!
//! Owns their bounds and what becomes of them: a handshake has a deadline, so many are under way at once, and each end is
//! counted by what it was. What a stranger can cause is told in the log at a bounded rate.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::{CertificateError, Error as TlsError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::clients::NotAllowed;
use super::server::TlsServer;
use crate::telemetry::clean;

/// How long a handshake may take. It has two round trips; Envoy gives a connection up after 5 s unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// Handshakes under way at once. A proxy opens one connection for each of its threads, so this many proxies may start
/// together; each handshake holds some tens of kilobytes.
const MAX_HANDSHAKES: usize = 512;

/// Failed handshakes logged in a second at most.
const LOGGED: u32 = 10;

/// Characters of an error that a log line keeps.
const LOGGED_ERROR: usize = 1024;

/// How a handshake ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection serves.
    Completed,
    /// The client presented no certificate, and one is required.
    NoCertificate,
    /// The client's certificate is not valid or of no known authority.
    CertificateRefused,
    /// The client's certificate is valid, but none of its names is on the list.
    CallerNotAllowed,
    /// The client refuses what this server presents or speaks.
    RefusedByClient,
    /// What came is not TLS.
    NotTls,
    /// It did not end in time.
    TimedOut,
    /// Too many others were under way.
    TooMany,
    /// The client went away.
    Aborted,
    /// Whatever else.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Completed,
        Self::NoCertificate,
        Self::CertificateRefused,
        Self::CallerNotAllowed,
        Self::RefusedByClient,
        Self::NotTls,
        Self::TimedOut,
        Self::TooMany,
        Self::Aborted,
        Self::Failed,
    ];

    fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>()) else {
            return Self::Aborted;
        };
        match error {
            TlsError::NoCertificatesPresented => Self::NoCertificate,
            TlsError::InvalidCertificate(CertificateError::Other(other)) if other.0.is::<NotAllowed>() => {
                Self::CallerNotAllowed
            }
            TlsError::InvalidCertificate(_) => Self::CertificateRefused,
            TlsError::AlertReceived(_) => Self::RefusedByClient,
            TlsError::InvalidMessage(_) => Self::NotTls,
            _ => Self::Failed,
        }
    }
}

/// Does the handshakes of one server.
pub struct Acceptor {
    server: Arc<TlsServer>,
    under_way: Semaphore,
    deadline: Duration,
    log: Mutex<LogLimit>,
}

impl Acceptor {
    /// For a server, with the usual bounds.
    pub fn new(server: Arc<TlsServer>) -> Self {
        Self::within(server, MAX_HANDSHAKES, DEADLINE)
    }

    pub(crate) fn within(server: Arc<TlsServer>, at_once: usize, deadline: Duration) -> Self {
        Self { server, under_way: Semaphore::new(at_once), deadline, log: Mutex::default() }
    }

    /// Does the handshake of a connection that was accepted from `peer`. `None`: it failed, was counted, and the connection
    /// is closed.
    pub async fn accept<S>(&self, stream: S, peer: Option<SocketAddr>) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Ok(_permit) = self.under_way.try_acquire() else {
            self.failed(Outcome::TooMany, &"too many handshakes are under way", peer);
            return None;
        };
        let handshake = TlsAcceptor::from(self.server.config()).accept(stream);
        match tokio::time::timeout(self.deadline, handshake).await {
            Ok(Ok(stream)) => {
                self.server.health().handshake(Outcome::Completed);
                Some(stream)
            }
            Ok(Err(error)) => {
                self.failed(Outcome::of(&error), &error, peer);
                None
            }
            Err(late) => {
                self.failed(Outcome::TimedOut, &late, peer);
                None
            }
        }
    }

    #[cold]
    fn failed(&self, outcome: Outcome, error: &dyn fmt::Display, peer: Option<SocketAddr>) {
        self.server.health().handshake(outcome);
        let (server, peer) = (self.server.health().name(), peer.map(|peer| peer.to_string()));
        let error = clean(error.to_string().as_bytes(), LOGGED_ERROR);
        if outcome == Outcome::Aborted {
            // Probes of load balancers do that all day.
            return tracing::debug!(server, ?outcome, peer, "a TLS handshake ended early: {error}");
        }
        let admitted = self.log.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        if let Some(left_out) = admitted {
            if left_out > 0 {
                tracing::warn!(
                    server,
                    left_out,
                    "TLS handshakes that failed were left out of the log by its rate limit"
                );
            }
            tracing::warn!(server, ?outcome, peer, "a TLS handshake failed: {error}");
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("server", &self.server).finish_non_exhaustive()
    }
}

/// At most [`LOGGED`] in each second.
#[derive(Debug, Default)]
struct LogLimit {
    second: Option<Instant>,
    asked: u32,
}

impl LogLimit {
    /// Whether one more may be logged, and how many were left out in the second before, told once.
    fn admit(&mut self, now: Instant) -> Option<u32> {
        let fresh = self.second.is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1));
        let left_out = if fresh { self.asked.saturating_sub(LOGGED) } else { 0 };
        if fresh {
            (self.second, self.asked) = (Some(now), 0);
        }
        self.asked = self.asked.saturating_add(1);
        (self.asked <= LOGGED).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_limited_and_tells_what_is_left_out() {
        let (mut limit, start) = (LogLimit::default(), Instant::now());
        let admitted = (0..LOGGED + 3).filter(|_| limit.admit(start).is_some()).count();
        assert_eq!(admitted, LOGGED as usize);
        assert_eq!(limit.admit(start + Duration::from_secs(1)), Some(3));
        assert_eq!(limit.admit(start + Duration::from_secs(1)), Some(0));
    }
}
