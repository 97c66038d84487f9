//! Follows the files of a server's TLS.
//!
//! Owns what a change does: what can be used is served from the next handshake on; what cannot is logged and counted, and
//! the server keeps what it had. [`crate::watch`] notices changes in the directories of the files (a mounted Secret
//! changes by the exchange of its `..data` link); whether anything changed is decided by the contents.
//!
//! It runs on a thread of its own, which sleeps nearly always.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::files::{Digest, FilesError, Found, TlsFiles};
use super::health::ServerHealth;
use super::identity::ServerIdentity;
use super::server::TlsServer;
use crate::clock;
use crate::telemetry::limit::LogLimit;
pub use crate::watch::WatchMode;
use crate::watch::{Debounce, DirectoryWatcher, WatchSet};
use certgate_x509::UnixTime;

/// When an edit of the files is read.
const DEBOUNCE: Debounce = Debounce {
    quiet: Duration::from_millis(50),
    limit: Duration::from_millis(500),
    limit_while_written: Duration::from_millis(500),
};

/// How long unusable files must stay as they are before they are refused: certificate and key may be written one after
/// the other.
const RETRY_DELAY: Duration = Duration::from_millis(300);

/// How often the files are read where no events come, because a directory could not be watched.
const POLL_WITHOUT_EVENTS: Duration = Duration::from_millis(500);

/// How often the log repeats that the certificate expires soon or has expired.
const REMINDER_PERIOD: Duration = Duration::from_secs(24 * 3600);

/// A certificate expires soon when less than one part in this many of its life is left. What renews certificates does so
/// with a third (cert-manager) or half (Istio) of it left.
const EXPIRES_SOON_SHARE: i64 = 5;

/// How files are followed.
#[derive(Copy, Clone, Debug)]
pub struct TlsWatchOptions {
    /// How changes are noticed.
    pub mode: WatchMode,
    /// How often the files are read though no event came.
    pub poll: Duration,
}

impl Default for TlsWatchOptions {
    fn default() -> Self {
        Self { mode: WatchMode::Events, poll: Duration::from_secs(5) }
    }
}

/// A server that presents what is in `files`, now and after each change, for as long as it lives.
pub fn follow(
    files: TlsFiles,
    alpn: &[&[u8]],
    health: Arc<ServerHealth>,
    options: TlsWatchOptions,
) -> Result<Arc<TlsServer>, FollowError> {
    let Found { digest, result } = files.look(None).expect("nothing is judged yet, so all is news");
    let material = result?;
    let server = Arc::new(TlsServer::new(&material, alpn, health));
    log_identity(&server, &material.identity, "serving TLS");
    let follower = FileFollower {
        files,
        server: Arc::downgrade(&server),
        watcher: DirectoryWatcher::new(options.mode, DEBOUNCE, |_, _| true),
        options,
        serves: digest,
        refused: None,
        validity: Validity::of(&material.identity),
    };
    thread::Builder::new().name("tls-files".to_owned()).spawn(move || follower.run())?;
    Ok(server)
}

/// Why a server with TLS cannot start.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The files.
    #[error("TLS: {0}")]
    Files(#[from] FilesError),
    /// The thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}

struct FileFollower {
    files: TlsFiles,
    server: Weak<TlsServer>,
    options: TlsWatchOptions,
    watcher: DirectoryWatcher,
    /// What is served.
    serves: Digest,
    /// What was found last and cannot be used.
    refused: Option<Digest>,
    validity: Validity,
}

impl FileFollower {
    fn run(mut self) {
        loop {
            // Watches first: a change after them is an event, a change before them is seen by the look.
            self.watcher.watch(watch_set(&self.files));
            {
                let Some(server) = self.server.upgrade() else { return };
                self.look(&server);
                self.validity.remind(clock::now(), server.health());
            }
            self.watcher.wait(self.poll());
        }
    }

    fn poll(&self) -> Duration {
        let lacks_events = self.options.mode == WatchMode::Events && !self.watcher.is_complete();
        if lacks_events { self.options.poll.min(POLL_WITHOUT_EVENTS) } else { self.options.poll }
    }

    fn look(&mut self, server: &TlsServer) {
        let judged = self.refused.unwrap_or(self.serves);
        let Some(mut found) = self.files.look(Some(judged)) else { return };
        if found.result.is_err() {
            // It may be half of a change. What the files hold after the delay counts.
            thread::sleep(RETRY_DELAY);
            match self.files.look(Some(judged)) {
                Some(later) => found = later,
                None => return,
            }
        }
        match found.result {
            _ if found.digest == self.serves => {
                if self.refused.take().is_some() {
                    server.health().restored();
                    tracing::info!(server = server.health().name(), "the TLS files are again those that are served");
                }
            }
            Ok(material) => {
                server.replace(&material);
                server.health().applied();
                (self.serves, self.refused) = (found.digest, None);
                self.validity = Validity::of(&material.identity);
                log_identity(
                    server,
                    &material.identity,
                    "the TLS files changed and are used from the next handshake on",
                );
            }
            Err(error) => {
                server.health().refused();
                self.refused = Some(found.digest);
                tracing::error!(
                    server = server.health().name(),
                    "the TLS files changed and cannot be used; what was served before goes on: {error}"
                );
            }
        }
    }
}

fn log_identity(server: &TlsServer, identity: &ServerIdentity, message: &str) {
    let certificate = identity.certificate();
    tracing::info!(
        server = server.health().name(),
        subject = %certificate.subject(),
        sha256 = %certificate.sha256(),
        not_after = %certificate.not_after(),
        "{message}"
    );
}

/// The directories of the files: those of their names and those that links lead to. The poll notices when a missing one
/// appears.
fn watch_set(files: &TlsFiles) -> WatchSet {
    let mut set = WatchSet::default();
    for path in files.paths() {
        let (named, real) = (std::path::absolute(path).ok(), std::fs::canonicalize(path).ok());
        let directories = [named, real].into_iter().flatten().filter_map(|file| file.parent().map(ToOwned::to_owned));
        directories.filter(|directory| directory.exists()).for_each(|directory| set.add_directory(directory));
    }
    set
}

/// How long the certificate that is served is valid, and what the log said of it.
struct Validity {
    not_before: UnixTime,
    not_after: UnixTime,
    reported: Option<Remaining>,
    reminders: LogLimit,
}

/// How much is left of a certificate's life.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Remaining {
    Enough,
    Little,
    Nothing,
}

impl Validity {
    fn of(identity: &ServerIdentity) -> Self {
        let certificate = identity.certificate();
        Self::between(certificate.not_before(), certificate.not_after())
    }

    fn between(not_before: UnixTime, not_after: UnixTime) -> Self {
        Self { not_before, not_after, reported: None, reminders: LogLimit::every(REMINDER_PERIOD) }
    }

    fn remaining(&self, now: UnixTime) -> Remaining {
        let (life, left) = (self.not_after.since(self.not_before), self.not_after.since(now));
        match left {
            ..0 => Remaining::Nothing,
            _ if left < life / EXPIRES_SOON_SHARE => Remaining::Little,
            _ => Remaining::Enough,
        }
    }

    fn remind(&mut self, now: UnixTime, health: &ServerHealth) {
        let remaining = self.remaining(now);
        if self.reported.replace(remaining) != Some(remaining) {
            self.reminders.reset();
        }
        if self.reminders.admit().is_none() {
            return;
        }
        let (server, not_after) = (health.name(), self.not_after);
        match remaining {
            Remaining::Enough => {}
            Remaining::Little => tracing::warn!(server, %not_after, "the TLS certificate expires soon"),
            Remaining::Nothing => {
                tracing::error!(server, %not_after, "the TLS certificate has expired; clients refuse it");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_left_in_the_last_fifth_of_a_life() {
        let validity = Validity::between(UnixTime::from_secs(0), UnixTime::from_secs(1000));
        for (now, want) in [
            (0, Remaining::Enough),
            (800, Remaining::Enough),
            (801, Remaining::Little),
            (1000, Remaining::Little),
            (1001, Remaining::Nothing),
        ] {
            assert_eq!(validity.remaining(UnixTime::from_secs(now)), want, "{now}");
        }
    }
}
