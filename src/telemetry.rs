//! Logs: structured lines on standard error.
//!
//! Owns the format and the path to the sink, not the messages. Lines pass through a bounded queue to a thread of their
//! own. A slow sink must not slow decisions down, so a line is dropped and counted when the queue is full.

pub mod limit;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How many lines may wait for the sink: 4 MiB at half a kilobyte each.
const QUEUE: usize = 8192;

/// The client of the API server logs each failed attempt as an error. certgate logs the same once a minute for each
/// watch, and its metrics count the failures. A filter that names this target enables it again.
const QUIET: &str = "kube_client::client::builder=off";

/// The form of log lines.
#[derive(Copy, Clone, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Why logging cannot start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("the log filter {0:?} is not valid: {1}")]
    Filter(String, tracing_subscriber::filter::ParseError),
    /// The filter has a directive that is neither a level nor `target=level`. It would be read as a target, and all
    /// other targets would be silent.
    #[error("the log filter {0:?} is not valid: {1:?} is not a level; want one of {levels}, or target=level", levels = LEVELS.join(", "))]
    Level(String, String),
    /// Another subscriber is installed already.
    #[error(transparent)]
    Installed(#[from] TryInitError),
    /// The writer's thread does not start.
    #[error("cannot start the log's thread: {0}")]
    Thread(#[from] io::Error),
}

/// Keeps the log thread alive; dropping it writes the queued lines.
#[derive(Debug)]
pub struct LogGuard {
    queue: Queue,
    thread: Option<JoinHandle<()>>,
}

/// Sends all log lines to standard error from now on. `dropped` counts the dropped lines.
pub fn init(format: LogFormat, filter: &str, dropped: Arc<AtomicU64>) -> Result<LogGuard, TelemetryError> {
    if let Some(word) = stray_directive(filter) {
        return Err(TelemetryError::Level(filter.to_owned(), word.to_owned()));
    }
    // An empty filter has its own meaning.
    let whole = if filter.is_empty() { String::new() } else { format!("{QUIET},{filter}") };
    let filter = EnvFilter::try_new(whole).map_err(|error| TelemetryError::Filter(filter.to_owned(), error))?;
    let (queue, thread) = Queue::start(io::stderr(), dropped)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue.clone());
    match format {
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()?
        }
        LogFormat::Text => lines.with_ansi(false).finish().try_init()?,
    }
    Ok(LogGuard { queue, thread: Some(thread) })
}

/// The levels of a filter, from silence to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The first directive of `filter` that is not a level and sets no target's level. The library checks span directives,
/// except for a missing level at their end. A filter of commas alone is stray as a whole.
fn stray_directive(filter: &str) -> Option<&str> {
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let is_number = |word: &str| matches!(word.as_bytes(), [b'0'..=b'5']);
    let is_stray = |directive: &&str| match directive.rsplit_once('=') {
        _ if directive.is_empty() => false,
        Some((target, level)) if !directive.contains(['[', ']', '{', '}', '"']) => {
            target.is_empty() || target.contains('=') || !(is_level(level) || is_number(level))
        }
        Some((_, level)) => level.is_empty(),
        None => !directive.contains(['[', ']', '{', '}', '"']) && !is_level(directive),
    };
    let mut directives = filter.split(',').map(str::trim);
    let is_blank = !filter.is_empty() && directives.clone().all(str::is_empty);
    if is_blank { Some(filter) } else { directives.find(is_stray) }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // An empty message ends the thread after all lines before it.
        if self.queue.lines.send(Vec::new()).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// The sending end of the queue.
#[derive(Clone, Debug)]
struct Queue {
    lines: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    fn start(sink: impl Write + Send + 'static, dropped: Arc<AtomicU64>) -> io::Result<(Self, JoinHandle<()>)> {
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || drain(&receiver, sink))?;
        Ok((Self { lines: sender, dropped }, thread))
    }
}

/// Writes lines until an empty one arrives. After a sink error it tries again with the next line: there is no other
/// place to report the error.
fn drain(lines: &Receiver<Vec<u8>>, mut sink: impl Write) {
    while let Ok(line) = lines.recv() {
        if line.is_empty() {
            break;
        }
        let _ = sink.write_all(&line);
    }
    let _ = sink.flush();
}

impl<'w> MakeWriter<'w> for Queue {
    type Writer = Line<'w>;

    fn make_writer(&'w self) -> Line<'w> {
        Line { queue: self, text: Vec::new() }
    }
}

/// A line being written; dropping it queues it.
struct Line<'q> {
    queue: &'q Queue,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let line = std::mem::take(&mut self.text);
        if line.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.queue.lines.try_send(line) {
            self.queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Text from outside, safe for a log line: replaces control characters and bytes that are not UTF-8, and keeps at most
/// `max` characters.
pub fn clean(bytes: &[u8], max: usize) -> String {
    // A UTF-8 character has at most four octets, so the rest does not matter.
    let head = bytes.get(..max.saturating_mul(4)).unwrap_or(bytes);
    let text = String::from_utf8_lossy(head);
    let mut out = String::with_capacity(text.len().min(max));
    for (kept, c) in text.chars().enumerate() {
        if kept == max {
            let _ = write!(out, "… ({} octets)", bytes.len());
            break;
        }
        out.push(if c.is_control() || is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c });
    }
    out
}

/// Characters that change how the text around them is shown: line separators, and the controls of bidirectional text.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn foreign_text_is_cleaned() {
        for (name, bytes, want) in [
            ("plain", &b"/v1/pay"[..], "/v1/pay"),
            ("line break", b"a\r\nb", "a\u{fffd}\u{fffd}b"),
            ("escape sequence", b"\x1b[31m", "\u{fffd}[31m"),
            ("not UTF-8", b"a\xffb", "a\u{fffd}b"),
            ("C1 control", "a\u{9b}b".as_bytes(), "a\u{fffd}b"),
            ("direction override", "a\u{202e}b".as_bytes(), "a\u{fffd}b"),
            ("as long as allowed", b"0123456789", "0123456789"),
            ("too long", b"0123456789x", "0123456789… (11 octets)"),
        ] {
            assert_eq!(clean(bytes, 10), want, "{name}");
        }
    }

    #[test]
    fn each_directive_of_the_filter_has_a_level() {
        for (filter, stray) in [
            ("info", None),
            ("WARN", None),
            ("off", None),
            ("", None),
            ("info,certgate::denial=off", None),
            ("info, certgate=debug", None),
            ("warning", Some("warning")),
            ("info,verbose", Some("verbose")),
            ("certgate", Some("certgate")),
            ("certgate=debug,inf", Some("inf")),
            ("bogus=", Some("bogus=")),
            ("info,certgate=", Some("certgate=")),
            ("=info", Some("=info")),
            ("certgate=loud", Some("certgate=loud")),
            ("certgate=debug=info", Some("certgate=debug=info")),
            ("certgate=3", None),
            ("certgate[span]", None),
            ("certgate[span{field=1}]=debug", None),
            ("certgate[span]=", Some("certgate[span]=")),
            (",", Some(",")),
            (" ", Some(" ")),
            ("info,", None),
        ] {
            assert_eq!(stray_directive(filter), stray, "{filter:?}");
        }
    }

    /// A sink that waits for permission before every write.
    struct Gate(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_that_hangs_costs_lines_and_no_time() {
        let (open, gate) = std::sync::mpsc::channel();
        let written = Arc::default();
        let dropped = Arc::new(AtomicU64::new(0));
        let (queue, thread) = Queue::start(Gate(gate, Arc::clone(&written)), dropped.clone()).unwrap();
        for _ in 0..QUEUE + 10 {
            queue.make_writer().write_all(b"line\n").unwrap();
        }
        // The thread may already have taken one line.
        assert!((9..=10).contains(&dropped.load(Ordering::Relaxed)), "{dropped:?}");
        drop(open);
        drop(LogGuard { queue, thread: Some(thread) });
        assert!(written.lock().unwrap().len() >= QUEUE * 5);
    }
}
