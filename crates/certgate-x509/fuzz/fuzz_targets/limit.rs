//! The time that one input may take. libFuzzer's `-timeout` counts whole seconds of the wall clock; this counts the
//! thread's own processor time, so that a busy machine is no finding.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What an input may cost. The fuzzing build carries AddressSanitizer, coverage counters and debug assertions, so what
/// passes here takes a fraction of it in a release.
const LIMIT: Duration = Duration::from_millis(50);

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Runs what one input asks for and panics when it is too slow four times: the first run may have paid for something
/// that is made once, and neighbours that share the caches make a run slower, never quicker.
pub fn within_limit<R>(run: impl Fn() -> R) -> R {
    let once = || {
        let start = processor_time();
        let result = run();
        (processor_time().saturating_sub(start), result)
    };
    let (first, result) = once();
    if first > LIMIT {
        let best = (0..3).map(|_| once().0).min().unwrap_or(first);
        assert!(best <= LIMIT, "one input takes {first:?}, and {best:?} at best: more than {LIMIT:?}");
    }
    result
}
