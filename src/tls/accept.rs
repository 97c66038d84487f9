//! Handshakes with those who connect.
//!
//! Owns their bounds and what becomes of them: a handshake has a deadline, so many are under way at once, and each end is
//! counted by what it was. What a stranger can cause is told in the log at a bounded rate.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{CertificateError, Error as TlsError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::clients::NotAllowed;
use super::server::TlsServer;
use super::stream::{Bounded, Secured};
use crate::places::Places;
use crate::telemetry::clean;
use crate::telemetry::limit::LogLimit;

/// How long a handshake may take. It has two round trips; Envoy gives a connection up after 5 s unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// Handshakes under way at once. A proxy opens one connection for each of its threads, so this many proxies may start
/// together; each handshake holds some tens of kilobytes. When there are more, the oldest gives way: one that a proxy does
/// takes milliseconds, one that somebody holds open takes as long as it may.
const MAX_HANDSHAKES: usize = 512;

/// Failed handshakes logged in a second at most.
const LOGGED: u32 = 10;

/// Characters of an error that a log line keeps.
const LOGGED_ERROR: usize = 1024;

/// How a handshake ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum HandshakeOutcome {
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
    /// It was the oldest of too many, and gave way to a newer one.
    GaveWay,
    /// The client went away.
    Aborted,
    /// Whatever else.
    Failed,
}

impl HandshakeOutcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Completed,
        Self::NoCertificate,
        Self::CertificateRefused,
        Self::CallerNotAllowed,
        Self::RefusedByClient,
        Self::NotTls,
        Self::TimedOut,
        Self::GaveWay,
        Self::Aborted,
        Self::Failed,
    ];

    fn of(error: &io::Error) -> Self {
        match tls_error(error) {
            None => Self::Aborted,
            Some(TlsError::NoCertificatesPresented) => Self::NoCertificate,
            Some(TlsError::InvalidCertificate(_)) if not_allowed(error).is_some() => Self::CallerNotAllowed,
            Some(TlsError::InvalidCertificate(_)) => Self::CertificateRefused,
            Some(TlsError::AlertReceived(_)) => Self::RefusedByClient,
            Some(TlsError::InvalidMessage(_)) => Self::NotTls,
            Some(_) => Self::Failed,
        }
    }
}

/// What rustls says, when it was not the connection that failed.
fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// That the client's names are not on the list, when it is that.
fn not_allowed(error: &io::Error) -> Option<&NotAllowed> {
    match tls_error(error)? {
        TlsError::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref(),
        _ => None,
    }
}

/// Does the handshakes of one server.
pub struct Acceptor {
    server: Arc<TlsServer>,
    under_way: Places,
    deadline: Duration,
    log: LogLimit,
}

impl Acceptor {
    /// The server whose handshakes these are.
    pub fn server(&self) -> &Arc<TlsServer> {
        &self.server
    }

    /// For a server, with the usual bounds.
    pub fn new(server: Arc<TlsServer>) -> Self {
        Self::within(server, MAX_HANDSHAKES, DEADLINE)
    }

    pub(crate) fn within(server: Arc<TlsServer>, at_once: usize, deadline: Duration) -> Self {
        Self { server, under_way: Places::new(at_once), deadline, log: LogLimit::new(LOGGED, Duration::from_secs(1)) }
    }

    /// Does the handshake of a connection that was accepted from `peer`. `None`: it failed, was counted, and the connection
    /// is closed.
    pub async fn accept<S>(&self, stream: S, peer: Option<SocketAddr>) -> Option<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // None of them is ever served, so that there is always one that gives way.
        let place = self.under_way.admit()?;
        let handshake = TlsAcceptor::from(self.server.config()).accept(Bounded::new(stream));
        let ended = tokio::select! {
            ended = tokio::time::timeout(self.deadline, handshake) => ended,
            () = place.evicted() => {
                self.failed(HandshakeOutcome::GaveWay, &"too many newer handshakes are under way", peer);
                return None;
            }
        };
        match ended {
            Ok(Ok(stream)) => {
                self.server.health().handshake(HandshakeOutcome::Completed);
                Some(Secured::new(stream))
            }
            Ok(Err(error)) => {
                let outcome = HandshakeOutcome::of(&error);
                match not_allowed(&error) {
                    Some(error) => self.failed(outcome, error, peer),
                    None => self.failed(outcome, &error, peer),
                }
                None
            }
            Err(late) => {
                self.failed(HandshakeOutcome::TimedOut, &late, peer);
                None
            }
        }
    }

    #[cold]
    fn failed(&self, outcome: HandshakeOutcome, error: &dyn fmt::Display, peer: Option<SocketAddr>) {
        self.server.health().handshake(outcome);
        let (server, peer) = (self.server.health().name(), peer.map(|peer| peer.to_string()));
        let error = clean(error.to_string().as_bytes(), LOGGED_ERROR);
        if matches!(outcome, HandshakeOutcome::Aborted | HandshakeOutcome::GaveWay) {
            // Probes of load balancers end early all day, and whoever holds handshakes open does not choose the log's length.
            return tracing::debug!(server, ?outcome, peer, "a TLS handshake was given up: {error}");
        }
        if let Some(left_out) = self.log.admit() {
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
