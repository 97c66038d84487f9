//! Rate limit of repeated log messages.
//!
//! One type for every message that a stranger or a lasting fault could repeat without end. It counts omitted lines, so
//! that the next line can report their number.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The lower bits of the state count the lines of the period; the upper ones hold when it began, in milliseconds.
const COUNT_BITS: u32 = 24;
const MAX_COUNT: u64 = (1 << COUNT_BITS) - 1;
const MAX_TIME: u64 = u64::MAX >> COUNT_BITS;

/// Admits a number of log lines in each period, without a lock. A period begins with its first line.
#[derive(Debug)]
pub struct LogLimit {
    lines: u64,
    period_ms: u64,
    /// Zero until the first line.
    state: AtomicU64,
}

impl LogLimit {
    /// At most `lines` in each `period`.
    pub fn new(lines: u32, period: Duration) -> Self {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(MAX_TIME);
        Self { lines: u64::from(lines).min(MAX_COUNT), period_ms, state: AtomicU64::new(0) }
    }

    /// One line in each `period`.
    pub fn every(period: Duration) -> Self {
        Self::new(1, period)
    }

    /// Requests one line now. `None`: omit it. `Some`: write it; the value is the number omitted in the period before,
    /// reported once.
    pub fn admit(&self) -> Option<u32> {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        self.admit_at(START.elapsed())
    }

    /// The same by the caller's clock, which has any origin. Setting the clock back begins a period.
    pub fn admit_at(&self, now: Duration) -> Option<u32> {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX) & MAX_TIME;
        let count = |state: u64| match (state >> COUNT_BITS, state & MAX_COUNT) {
            (began, asked) if asked > 0 && now.abs_diff(began) < self.period_ms => {
                (began, (asked + 1).min(MAX_COUNT), 0)
            }
            (_, asked) => (now, 1, asked.saturating_sub(self.lines)),
        };
        let next = |state| {
            let (began, asked, _) = count(state);
            Some(began << COUNT_BITS | asked)
        };
        let before = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_else(|same| same);
        let (_, asked, omitted) = count(before);
        (asked <= self.lines).then(|| u32::try_from(omitted).unwrap_or(u32::MAX))
    }

    /// Starts over: the logged condition has ended, and the next line concerns another one.
    pub fn reset(&self) {
        self.state.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_has_its_lines_and_omitted_ones_are_reported_once() {
        let (limit, period) = (LogLimit::new(3, Duration::from_secs(1)), Duration::from_secs(1));
        // A wall clock: its milliseconds have more bits than the state keeps.
        let start = Duration::from_secs(1_800_000_000);
        let admitted = |at| limit.admit_at(at);
        assert_eq!([0; 5].map(|_| admitted(start)), [Some(0), Some(0), Some(0), None, None]);
        assert_eq!(admitted(start + period / 2), None, "the period lasts from its first line on");
        assert_eq!([0; 4].map(|_| admitted(start + period)), [Some(3), Some(0), Some(0), None]);
        assert_eq!(admitted(start), Some(1), "a clock that was set back");
        limit.reset();
        assert_eq!([0; 4].map(|_| admitted(start)), [Some(0), Some(0), Some(0), None]);
        assert_eq!(LogLimit::new(0, period).admit_at(start), None);
        let daily = LogLimit::every(Duration::from_secs(86_400));
        assert_eq!([daily.admit(), daily.admit()], [Some(0), None]);
    }

    #[test]
    fn a_flood_is_counted_to_the_last_line_that_fits() {
        let limit = LogLimit::new(1, Duration::from_secs(1));
        limit.state.store(7_000 << COUNT_BITS | (MAX_COUNT - 1), Ordering::Relaxed);
        assert_eq!([0; 3].map(|_| limit.admit_at(Duration::from_secs(7))), [None; 3]);
        assert_eq!(limit.admit_at(Duration::from_secs(8)), Some(u32::try_from(MAX_COUNT - 1).unwrap()));
    }
}
