//! Time as the core sees it: whole seconds since the Unix epoch, always a parameter, never read from a clock.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z, ignoring leap seconds. May be negative.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

/// Seconds in a civil day.
const DAY: i64 = 86_400;

impl UnixTime {
    /// A time from whole seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs)
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> i64 {
        self.0
    }

    /// This time moved later by `secs`, saturating.
    #[must_use]
    pub const fn plus(self, secs: i64) -> Self {
        Self(self.0.saturating_add(secs))
    }

    /// This time moved earlier by `secs`, saturating.
    #[must_use]
    pub const fn minus(self, secs: i64) -> Self {
        Self(self.0.saturating_sub(secs))
    }

    /// Seconds from `earlier` to `self`, negative when `earlier` is later, saturating.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// A time from a civil date and time of day in UTC; `None` when a field is out of its range.
    ///
    /// Leap seconds are not represented: `second` is 0 to 59.
    pub fn from_civil(year: i64, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<Self> {
        if !(0..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = i64::from(hour)
            .saturating_mul(3600)
            .saturating_add(i64::from(minute).saturating_mul(60))
            .saturating_add(i64::from(second));
        Some(Self(days_from_civil(year, month, day).saturating_mul(DAY).saturating_add(seconds)))
    }

    /// Parses RFC 3339 in UTC with whole seconds, such as `2026-01-01T00:00:00Z`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        let digits = |range: std::ops::Range<usize>| -> Option<i64> {
            let part = b.get(range)?;
            part.iter().try_fold(0_i64, |n, d| {
                d.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(i64::from(d.saturating_sub(b'0'))))
            })
        };
        let fixed = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
        if b.len() != 20 || fixed.iter().any(|(at, want)| b.get(*at) != Some(want)) {
            return None;
        }
        let small = |range| digits(range).and_then(|n| u8::try_from(n).ok());
        Self::from_civil(digits(0..4)?, small(5..7)?, small(8..10)?, small(11..13)?, small(14..16)?, small(17..19)?)
    }
}

/// RFC 3339 in UTC, such as `2026-01-01T00:00:00Z`.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(DAY));
        let rest = self.0.rem_euclid(DAY);
        let (hour, minute, second) = (rest.div_euclid(3600), rest.rem_euclid(3600).div_euclid(60), rest.rem_euclid(60));
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn days_in_month(year: i64, month: u8) -> u8 {
    let leap = (year.rem_euclid(4) == 0 && year.rem_euclid(100) != 0) || year.rem_euclid(400) == 0;
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since the epoch of a civil date in the proleptic Gregorian calendar. The year is taken to begin in March, so
/// that the leap day is its last; an era is 400 such years, 146,097 days.
#[expect(clippy::arithmetic_side_effects, reason = "the caller bounds year to 0..=9999, month and day to the calendar")]
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let march_year = if month <= 2 { year - 1 } else { year };
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`], for any number of days.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    #[expect(clippy::arithmetic_side_effects, reason = "day_of_era is 0..146_097, so every term stays small")]
    let (year_of_era, month, day) = {
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        (year_of_era, (month_from_march + 2) % 12 + 1, day)
    };
    let year = era.saturating_mul(400).saturating_add(year_of_era).saturating_add(i64::from(month <= 2));
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::UnixTime;

    #[test]
    fn known_instants_round_trip() {
        for (text, secs) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-22T04:30:00Z", 1_795_321_800),
            ("1950-01-01T00:00:00Z", -631_152_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(UnixTime::parse_rfc3339(text), Some(UnixTime::from_secs(secs)), "{text}");
            assert_eq!(UnixTime::from_secs(secs).to_string(), text);
        }
    }

    #[test]
    fn impossible_dates_are_refused() {
        for text in [
            "2025-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00Z",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(UnixTime::parse_rfc3339(text), None, "{text}");
        }
    }

    /// The days of ten thousand years, against a calendar that does nothing but count.
    #[test]
    fn every_day_has_its_date() {
        let civil = |year, month, day| UnixTime::from_civil(year, month, day, 0, 0, 0);
        // 0000-01-01.
        let mut days = -719_528_i64;
        for year in 0..=9999_i64 {
            let leap = if year % 100 == 0 { year % 400 == 0 } else { year % 4 == 0 };
            let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1_u8..).zip(lengths) {
                for day in 1..=length {
                    let near = (1896..2104).contains(&year) || day == 1 || day == length;
                    if near {
                        let at = UnixTime::from_secs(days * 86_400);
                        assert_eq!(civil(year, month, day), Some(at), "{year} {month} {day}");
                        assert_eq!(at.to_string(), format!("{year:04}-{month:02}-{day:02}T00:00:00Z"));
                    }
                    days += 1;
                }
                assert_eq!((civil(year, month, 0), civil(year, month, length + 1)), (None, None), "{year} {month}");
            }
            assert_eq!((civil(year, 0, 1), civil(year, 13, 1)), (None, None), "{year}");
        }
        assert_eq!((civil(-1, 1, 1), civil(10_000, 1, 1)), (None, None));
    }

    #[test]
    fn every_second_of_a_day_has_its_time() {
        for second in 0..86_400_i64 {
            let part = |n: i64| u8::try_from(n).unwrap();
            let (hour, minute, rest) = (part(second / 3600), part(second / 60 % 60), part(second % 60));
            let at = UnixTime::from_secs(second);
            assert_eq!(UnixTime::from_civil(1970, 1, 1, hour, minute, rest), Some(at));
            assert_eq!(at.to_string(), format!("1970-01-01T{hour:02}:{minute:02}:{rest:02}Z"));
        }
        for (hour, minute, second) in [(24, 0, 0), (23, 60, 0), (23, 59, 60)] {
            assert_eq!(UnixTime::from_civil(1970, 1, 1, hour, minute, second), None);
        }
    }

    #[test]
    fn sums_and_differences_saturate() {
        let (at, last) = (UnixTime::from_secs(100), UnixTime::from_secs(i64::MAX));
        assert_eq!((at.plus(7).as_secs(), at.minus(7).as_secs(), at.since(UnixTime::from_secs(30))), (107, 93, 70));
        assert_eq!((last.plus(1), UnixTime::from_secs(i64::MIN).minus(1).as_secs()), (last, i64::MIN));
    }
}
