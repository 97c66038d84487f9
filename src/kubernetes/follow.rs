//! Follows one set of objects for as long as the process lives: list, watch, and again.
//!
//! Owns versions, fall-backs and pauses. It begins with a streaming list (a watch that first tells everything there is)
//! and falls back to a paged list where the server has none. A connection that ends, for whatever reason, goes on from
//! the last version; when that version is too old, from the beginning. Nothing is kept of the objects: whoever listens
//! does.

use std::time::Duration;

use http_body_util::BodyExt;
use kube::client::Body;

use super::api::{Api, ApiError, Target, WatchStart};
use super::wire::{self, Received, WatchEvent};
use crate::domain::api::NamespacedName;

/// How long the server keeps a watch open. It ends the watch by itself then, and a new one shows that credentials and
/// permissions still hold.
const WATCH_TIMEOUT: Duration = Duration::from_secs(240);

/// How long a watch may be silent. The server sends a bookmark every minute; without one for this long the connection
/// is taken for dead, as when a middlebox forgot it.
const WATCH_IDLE_TIMEOUT: Duration = Duration::from_secs(150);

/// The longest line: etcd takes objects of 1.5 MiB, JSON may escape.
const MAX_EVENT_LEN: usize = 16 * 1024 * 1024;

/// Objects in a page of a list.
pub(super) const PAGE_SIZE: u32 = 500;

/// The first pause after a failure, doubled each time up to the longest. Missed edits must be live within 10 s of the
/// server's return.
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The pause while the server fills the cache that it watches from. It refuses at once then, so that asking costs
/// nothing.
const CACHE_LOADING_BACKOFF: Duration = Duration::from_millis(500);

/// The longest pause that the server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Receives what a follower reads. Calls come in the order of events, from one task.
pub trait EventHandler {
    /// A list begins; [`EventHandler::listed`] ends it. An earlier list that was not completed is void.
    fn listing(&mut self);
    /// The list is complete; objects not in it were deleted.
    fn listed(&mut self);
    /// An object was added or modified.
    fn changed(&mut self, received: Box<Received>);
    /// An object was deleted.
    fn deleted(&mut self, key: &NamespacedName);
    /// The server has just sent data: the handler has seen every event until now.
    fn heard(&mut self);
    /// A list or watch failed; the follower retries after `pause`.
    fn failed(&mut self, error: &ApiError, pause: Duration);
}

/// How a session with the server ended, when it did not fail.
enum SessionEnd {
    /// The server ended it.
    ByServer,
}

/// How the beginning is asked for.
#[derive(Copy, Clone, PartialEq, Eq)]
enum ListMode {
    /// By a watch.
    Streamed,
    /// Page by page.
    Paged,
}

/// Follows `target`. Never returns; drop it to end it.
pub async fn follow(api: &Api, target: &Target, handler: &mut impl EventHandler) -> ! {
    let mut follower = Follower { api, target, version: None, listing: ListMode::Streamed };
    let mut pause = INITIAL_BACKOFF;
    loop {
        let began = tokio::time::Instant::now();
        let error = match follower.session(handler).await {
            Ok(SessionEnd::ByServer) if began.elapsed() > INITIAL_BACKOFF => {
                pause = INITIAL_BACKOFF;
                continue;
            }
            Ok(SessionEnd::ByServer) => ApiError::Unreachable("the server ended the watch at once".to_owned()),
            Err(error) => error,
        };
        if error.is_gone() && follower.version.take().is_some() {
            tracing::info!(%target, "the watch is too far behind and begins anew");
            continue;
        }
        if error.refuses_streaming_lists() && follower.listing == ListMode::Streamed {
            tracing::info!(%target, "the server has no streaming lists; it is asked for pages");
            follower.listing = ListMode::Paged;
            continue;
        }
        // A session that lasted was no failure in a row.
        if began.elapsed() > WATCH_IDLE_TIMEOUT {
            pause = INITIAL_BACKOFF;
        }
        let wait = match error.retry_after() {
            _ if error.is_loading() => jittered(CACHE_LOADING_BACKOFF),
            Some(after) => after.min(MAX_RETRY_AFTER),
            None => jittered(pause),
        };
        handler.failed(&error, wait);
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(MAX_BACKOFF);
    }
}

/// Between three quarters of a pause and all of it, so that many followers do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let random = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    pause.mul_f64(0.75 + f64::from(random % 1024) / 4096.0)
}

struct Follower<'a> {
    api: &'a Api,
    target: &'a Target,
    version: Option<String>,
    listing: ListMode,
}

impl Follower<'_> {
    async fn session(&mut self, handler: &mut impl EventHandler) -> Result<SessionEnd, ApiError> {
        if self.version.is_none() && self.listing == ListMode::Paged {
            self.pages(handler).await?;
        }
        let from = self.version.as_deref().map_or(WatchStart::Everything, WatchStart::Version);
        let begins = matches!(from, WatchStart::Everything);
        let body = self.api.watch(self.target, from, WATCH_TIMEOUT).await?;
        if begins {
            handler.listing();
        }
        self.stream(body, begins, handler).await
    }

    async fn pages(&mut self, handler: &mut impl EventHandler) -> Result<(), ApiError> {
        handler.listing();
        let mut continued: Option<String> = None;
        loop {
            let text = self.api.list(self.target, PAGE_SIZE, continued.as_deref()).await?;
            let page = wire::page(self.target, &text)?;
            for received in page.objects {
                handler.changed(Box::new(received));
            }
            continued = page.continued;
            if continued.is_none() {
                self.version = Some(page.version);
                handler.listed();
                handler.heard();
                return Ok(());
            }
        }
    }

    async fn stream(
        &mut self,
        mut body: Body,
        mut listing: bool,
        handler: &mut impl EventHandler,
    ) -> Result<SessionEnd, ApiError> {
        let mut lines = Lines::default();
        loop {
            let frame = tokio::time::timeout(WATCH_IDLE_TIMEOUT, body.frame())
                .await
                .map_err(|_| ApiError::Late(WATCH_IDLE_TIMEOUT))?;
            let frame = match frame {
                None => return Ok(SessionEnd::ByServer),
                Some(Ok(frame)) => frame,
                // Proxies and old servers end a watch without the last chunk.
                Some(Err(error)) => return Err(ApiError::Unreachable(super::api::chain(&error))),
            };
            let Ok(data) = frame.into_data() else { continue };
            lines.push(&data)?;
            while let Some(line) = lines.next() {
                let (event, version) = wire::event(self.target, line)?;
                match event {
                    WatchEvent::Changed(received) => handler.changed(received),
                    WatchEvent::Deleted(key) => handler.deleted(&key),
                    WatchEvent::Bookmark => {}
                    WatchEvent::InitialEventsEnd => {
                        listing = false;
                        handler.listed();
                    }
                }
                // In a list that is not at its end, versions are those of the objects and say nothing about the whole.
                if !listing {
                    self.version = Some(version);
                }
            }
            if !listing {
                handler.heard();
            }
        }
    }
}

/// Cuts a stream into lines.
#[derive(Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// How much of the buffer has been handed out.
    read: usize,
    /// How much has been searched for an end of line.
    searched: usize,
}

impl Lines {
    /// Takes the next piece.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<(), ApiError> {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.searched -= self.read;
            self.read = 0;
        }
        if self.buffer.len() + data.len() > MAX_EVENT_LEN {
            return Err(ApiError::Unreadable(format!("a line of more than {MAX_EVENT_LEN} bytes")));
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    /// The next line that is whole.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
                self.searched = self.buffer.len();
                return None;
            };
            let (start, end) = (self.read, self.searched + at);
            self.read = end + 1;
            self.searched = self.read;
            if start != end {
                return Some(&self.buffer[start..end]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_the_chunks_end() {
        let text = b"one\n\ntwo two\nthree\nfo";
        for size in 1..=text.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for chunk in text.chunks(size) {
                lines.push(chunk).unwrap();
                while let Some(line) = lines.next() {
                    found.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            assert_eq!(found, ["one", "two two", "three"], "chunks of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; MAX_EVENT_LEN / 2 + 1];
        lines.push(&chunk).unwrap();
        assert!(lines.push(&chunk).is_err());
    }
}
