//! The system's clock: the one place where the service reads the time of day.
//!
//! A clock before 1970 gives a negative time and is never rounded up to the epoch. It fails closed: no certificate is
//! valid yet, and every CRL was issued in the future, so requests are denied. Durations are measured with
//! [`std::time::Instant`], and the stamps of files are compared as [`SystemTime`]; neither is read here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use certgate_x509::UnixTime;

/// The time of day in whole seconds, rounded down.
pub fn now() -> UnixTime {
    unix_time(SystemTime::now())
}

/// Milliseconds since 1970, for ages in metrics and for names; 0 while the clock is before 1970.
pub fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn unix_time(time: SystemTime) -> UnixTime {
    let secs = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    UnixTime::from_secs(match time.duration_since(UNIX_EPOCH) {
        Ok(since) => secs(since),
        Err(error) => {
            let before = error.duration();
            let begun = i64::from(before.subsec_nanos() > 0);
            secs(before).saturating_neg().saturating_sub(begun)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_is_negative_and_rounded_down() {
        let half = Duration::from_millis(500);
        for (time, want) in [
            (UNIX_EPOCH, 0),
            (UNIX_EPOCH + half, 0),
            (UNIX_EPOCH + Duration::from_secs(7), 7),
            (UNIX_EPOCH - half, -1),
            (UNIX_EPOCH - Duration::from_secs(7), -7),
            (UNIX_EPOCH - Duration::from_secs(7) - half, -8),
        ] {
            assert_eq!(unix_time(time), UnixTime::from_secs(want), "{time:?}");
        }
    }
}
