//! Follows the files of a server's TLS.
//!
//! Owns when to look, and what a change does: what can be used is served from the next handshake on; what cannot is told
//! and counted, and what was served before goes on. Inotify tells of changes in the directories of the files (a mounted
//! Secret changes by the exchange of its `..data` link), and a slow poll is the net below it. An event never says what
//! changed, only that it is worth to look; whether anything changed is told by the contents.
//!
//! It runs on a thread of its own, which sleeps nearly always.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::files::{Digest, FilesError, Found, TlsFiles};
use super::health::{ServerHealth, now};
use super::identity::Identity;
use super::server::TlsServer;
use certgate_x509::time::UnixTime;

/// How long after the last event of an edit the files are read.
const QUIET: Duration = Duration::from_millis(50);

/// How long events may go on before the files are read all the same.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long what cannot be used must stay as it is before it is believed: certificate and key may be written one after
/// the other.
const DOUBT: Duration = Duration::from_millis(300);

/// How often the files are read where no events come, because a directory could not be watched.
const POLL_ALONE: Duration = Duration::from_millis(500);

/// How often it is told in the log that the certificate expires soon or has expired.
const REMIND: Duration = Duration::from_secs(24 * 3600);

/// A certificate expires soon when less than one part in this many of its life is left. What renews certificates does so
/// with a third (cert-manager) or half (Istio) of it left.
const SOON: i64 = 5;

/// How changes are noticed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// By the kernel's events, with the poll as a net.
    Events,
    /// By the poll alone.
    Poll,
}

/// How files are followed.
#[derive(Copy, Clone, Debug)]
pub struct WatchOptions {
    /// How changes are noticed.
    pub notice: Notice,
    /// How often the files are read though no event came.
    pub poll: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { notice: Notice::Events, poll: Duration::from_secs(5) }
    }
}

/// A server that presents what is in `files`, now and after each change, for as long as it lives.
pub fn follow(
    files: TlsFiles,
    alpn: &[&[u8]],
    health: Arc<ServerHealth>,
    options: WatchOptions,
) -> Result<Arc<TlsServer>, FollowError> {
    let Found { digest, result } = files.look(None).expect("nothing is judged yet, so all is news");
    let material = result?;
    let server = Arc::new(TlsServer::new(&material, alpn, health));
    tell(&server, &material.identity, "serving TLS");
    let follower = Follower {
        files,
        server: Arc::downgrade(&server),
        watched: Watched::new(options.notice),
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

struct Follower {
    files: TlsFiles,
    server: Weak<TlsServer>,
    options: WatchOptions,
    watched: Watched,
    /// What is served.
    serves: Digest,
    /// What was found last and cannot be used.
    refused: Option<Digest>,
    validity: Validity,
}

impl Follower {
    fn run(mut self) {
        loop {
            // Watches first: a change after them is an event, a change before them is seen by the look.
            self.watched.arm(&self.files);
            {
                let Some(server) = self.server.upgrade() else { return };
                self.look(&server);
                self.validity.remind(now(), Instant::now(), server.health());
            }
            self.watched.wait(self.options.poll);
        }
    }

    fn look(&mut self, server: &TlsServer) {
        let judged = self.refused.unwrap_or(self.serves);
        let Some(mut found) = self.files.look(Some(judged)) else { return };
        if found.result.is_err() {
            // It may be half of a change. The other half is not waited for, but what is there then is judged.
            thread::sleep(DOUBT);
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
                tell(server, &material.identity, "the TLS files changed and are used from the next handshake on");
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

fn tell(server: &TlsServer, identity: &Identity, what: &str) {
    let certificate = identity.certificate();
    tracing::info!(
        server = server.health().name(),
        subject = %certificate.subject(),
        sha256 = %certificate.sha256(),
        not_after = %certificate.not_after(),
        "{what}"
    );
}

/// How long the certificate that is served is valid, and when that was last told.
struct Validity {
    not_before: UnixTime,
    not_after: UnixTime,
    told: Option<(Remains, Instant)>,
}

/// How much is left of a certificate's life.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Remains {
    Enough,
    Little,
    Nothing,
}

impl Validity {
    fn of(identity: &Identity) -> Self {
        let certificate = identity.certificate();
        Self { not_before: certificate.not_before(), not_after: certificate.not_after(), told: None }
    }

    fn remains(&self, now: UnixTime) -> Remains {
        let (life, left) = (self.not_after.since(self.not_before), self.not_after.since(now));
        match left {
            ..0 => Remains::Nothing,
            _ if left < life / SOON => Remains::Little,
            _ => Remains::Enough,
        }
    }

    fn remind(&mut self, now: UnixTime, clock: Instant, health: &ServerHealth) {
        let remains = self.remains(now);
        if self.told.is_some_and(|(told, at)| told == remains && clock.saturating_duration_since(at) < REMIND) {
            return;
        }
        self.told = Some((remains, clock));
        let (server, not_after) = (health.name(), self.not_after);
        match remains {
            Remains::Enough => {}
            Remains::Little => tracing::warn!(server, %not_after, "the TLS certificate expires soon"),
            Remains::Nothing => {
                tracing::error!(server, %not_after, "the TLS certificate has expired; clients refuse it");
            }
        }
    }
}

/// The watches in place.
struct Watched {
    notice: Notice,
    watcher: Option<RecommendedWatcher>,
    /// Whether everything that should be watched is.
    complete: bool,
    /// Directories with device and inode: one that was made anew needs a new watch.
    directories: BTreeMap<PathBuf, (u64, u64)>,
    wake: SyncSender<()>,
    woken: Receiver<()>,
}

impl Watched {
    fn new(notice: Notice) -> Self {
        // One token says as much as many.
        let (wake, woken) = sync_channel(1);
        Self { notice, watcher: None, complete: false, directories: BTreeMap::new(), wake, woken }
    }

    /// Watches the directories of the files, those of their names and those that links lead to. Where one is missing, the
    /// poll sees it come.
    fn arm(&mut self, files: &TlsFiles) {
        if self.notice == Notice::Poll {
            return;
        }
        let mut directories = BTreeMap::new();
        for path in files.paths() {
            let named = std::path::absolute(path).ok();
            let real = std::fs::canonicalize(path).ok();
            for file in [named, real].into_iter().flatten() {
                let Some(directory) = file.parent() else { continue };
                let Ok(metadata) = std::fs::metadata(directory) else { continue };
                directories.insert(directory.to_owned(), (metadata.dev(), metadata.ino()));
            }
        }
        if self.complete && directories == self.directories {
            return;
        }
        let wake = self.wake.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_own_reading(&event)) {
                return;
            }
            // Full: somebody is being woken already.
            _ = wake.try_send(());
        });
        self.watcher = watcher.ok();
        // A directory may have vanished since it was seen, as the former version of a mounted Secret does.
        self.complete = self.watcher.is_some();
        for path in directories.keys() {
            let watch = |watcher: &mut RecommendedWatcher| watcher.watch(path, RecursiveMode::NonRecursive).is_ok();
            self.complete &= self.watcher.as_mut().is_some_and(watch);
        }
        self.directories = directories;
    }

    /// Waits for the end of an edit, for `poll` at most.
    fn wait(&self, poll: Duration) {
        let alone = self.notice == Notice::Events && !self.complete;
        if self.woken.recv_timeout(if alone { poll.min(POLL_ALONE) } else { poll }) != Ok(()) {
            return;
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.woken.recv_timeout(QUIET) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Whether an event tells of no change.
fn is_own_reading(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_left_in_the_last_fifth_of_a_life() {
        let (not_before, not_after) = (UnixTime::from_secs(0), UnixTime::from_secs(1000));
        let validity = Validity { not_before, not_after, told: None };
        for (now, remains) in [
            (0, Remains::Enough),
            (800, Remains::Enough),
            (801, Remains::Little),
            (1000, Remains::Little),
            (1001, Remains::Nothing),
        ] {
            assert_eq!(validity.remains(UnixTime::from_secs(now)), remains, "{now}");
        }
    }
}
