//! Follows one set of objects for as long as the process lives: list, watch, and again.
//!
//! Owns versions, fall-backs and pauses. It begins with a streaming list (a watch that first tells everything there is)
//! and falls back to a paged list where the server has none. A connection that ends, for whatever reason, goes on from the
//! last version; when that version is too old, from the beginning. Nothing is kept of the objects: whoever listens does.

use std::time::Duration;

use http_body_util::BodyExt;
use kube::client::Body;

use super::api::{Api, ApiError, Begin, Target};
use super::wire::{self, Event, Received};

/// How long the server keeps a watch open. It ends the watch by itself then, and a new one shows that credentials and
/// permissions still hold.
const WATCH_LASTS: Duration = Duration::from_secs(240);

/// How long a watch may be silent. The server sends a bookmark every minute; without one for this long the connection is
/// taken for dead, as when a middlebox forgot it.
const SILENCE: Duration = Duration::from_secs(150);

/// The longest line: etcd takes objects of 1.5 MiB, JSON may escape.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Objects in a page of a list.
pub(super) const PAGE: usize = 500;

/// The first pause after a failure, doubled each time up to the longest. Missed edits must be live within 10 s of the
/// server's return.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The pause while the server fills the cache that it watches from. It refuses at once then, so that asking costs nothing.
const LOADING_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that the server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What listens to a follower. Calls come in the order of events, from one task.
pub trait Listener {
    /// Everything there is follows, until [`Listener::listed`]. An earlier list that did not come to its end is void.
    fn listing(&mut self);
    /// Everything that there is has been told; what was not is gone.
    fn listed(&mut self);
    /// An object is there, new or changed.
    fn changed(&mut self, received: Box<Received>);
    /// An object is gone.
    fn deleted(&mut self, key: &wire::Key);
    /// The server was heard just now: what has been told is what there is.
    fn heard(&mut self);
    /// Something failed; it will be tried again after `pause`.
    fn failed(&mut self, error: &ApiError, pause: Duration);
}

/// How a session with the server ended, when it did not fail.
enum Ended {
    /// The server ended it.
    ByServer,
}

/// How the beginning is asked for.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Listing {
    /// By a watch.
    Streamed,
    /// Page by page.
    Paged,
}

/// Follows `target`. Never returns; drop it to end it.
pub async fn follow(api: &Api, target: &Target, listener: &mut impl Listener) -> ! {
    let mut follower = Follower { api, target, version: None, listing: Listing::Streamed };
    let mut pause = FIRST_PAUSE;
    loop {
        let began = tokio::time::Instant::now();
        let error = match follower.session(listener).await {
            Ok(Ended::ByServer) if began.elapsed() > FIRST_PAUSE => {
                pause = FIRST_PAUSE;
                continue;
            }
            Ok(Ended::ByServer) => ApiError::Unreachable("the server ended the watch at once".to_owned()),
            Err(error) => error,
        };
        if error.is_gone() && follower.version.take().is_some() {
            tracing::info!(%target, "the watch is too far behind and begins anew");
            continue;
        }
        if error.refuses_streaming_lists() && follower.listing == Listing::Streamed {
            tracing::info!(%target, "the server has no streaming lists; it is asked for pages");
            follower.listing = Listing::Paged;
            continue;
        }
        // A session that lasted was no failure in a row.
        if began.elapsed() > SILENCE {
            pause = FIRST_PAUSE;
        }
        let wait = match error.retry_after() {
            _ if error.is_loading() => jittered(LOADING_PAUSE),
            Some(after) => after.min(LONGEST_WAIT),
            None => jittered(pause),
        };
        listener.failed(&error, wait);
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
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
    listing: Listing,
}

impl Follower<'_> {
    async fn session(&mut self, listener: &mut impl Listener) -> Result<Ended, ApiError> {
        if self.version.is_none() && self.listing == Listing::Paged {
            self.pages(listener).await?;
        }
        let from = self.version.as_deref().map_or(Begin::Everything, Begin::Version);
        let begins = matches!(from, Begin::Everything);
        let body = self.api.watch(self.target, from, WATCH_LASTS).await?;
        if begins {
            listener.listing();
        }
        self.stream(body, begins, listener).await
    }

    async fn pages(&mut self, listener: &mut impl Listener) -> Result<(), ApiError> {
        listener.listing();
        let mut continued: Option<String> = None;
        loop {
            let text = self.api.list(self.target, PAGE, continued.as_deref()).await?;
            let page = wire::page(self.target, &text)?;
            for received in page.objects {
                listener.changed(Box::new(received));
            }
            continued = page.continued;
            if continued.is_none() {
                self.version = Some(page.version);
                listener.listed();
                listener.heard();
                return Ok(());
            }
        }
    }

    async fn stream(
        &mut self,
        mut body: Body,
        mut listing: bool,
        listener: &mut impl Listener,
    ) -> Result<Ended, ApiError> {
        let mut lines = Lines::default();
        loop {
            let frame = tokio::time::timeout(SILENCE, body.frame()).await.map_err(|_| ApiError::Late(SILENCE))?;
            let frame = match frame {
                None => return Ok(Ended::ByServer),
                Some(Ok(frame)) => frame,
                // Proxies and old servers end a watch without the last chunk.
                Some(Err(error)) => return Err(ApiError::Unreachable(super::api::chain(&error))),
            };
            let Ok(data) = frame.into_data() else { continue };
            lines.push(&data)?;
            while let Some(line) = lines.next() {
                let (event, version) = wire::event(self.target, line)?;
                match event {
                    Event::Changed(received) => listener.changed(received),
                    Event::Deleted(key) => listener.deleted(&key),
                    Event::Bookmark => {}
                    Event::InitialEventsEnd => {
                        listing = false;
                        listener.listed();
                    }
                }
                // In a list that is not at its end, versions are those of the objects and say nothing about the whole.
                if !listing {
                    self.version = Some(version);
                }
            }
            if !listing {
                listener.heard();
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
        if self.buffer.len() + data.len() > MAX_LINE {
            return Err(ApiError::Unreadable(format!("a line of more than {MAX_LINE} bytes")));
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
        let chunk = vec![b'x'; MAX_LINE / 2 + 1];
        lines.push(&chunk).unwrap();
        assert!(lines.push(&chunk).is_err());
    }
}
