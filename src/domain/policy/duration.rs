//! Durations as operators write them, on the command line and in policies.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// A duration as Go and Kubernetes write it: `1h30m`, `10s`, `250ms`, `0`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a duration such as 10s, 250ms or 1h30m")]
pub struct DurationError;

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if text.is_empty() {
            return Err(DurationError);
        }
        let (mut total, mut rest) = (Duration::ZERO, text);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError)?;
            let (number, tail) = rest.split_at(digits);
            let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let millis: u64 = match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(DurationError),
            };
            let number: u64 = number.parse().map_err(|_| DurationError)?;
            let part = number.checked_mul(millis).map(Duration::from_millis).ok_or(DurationError)?;
            total = total.checked_add(part).ok_or(DurationError)?;
            rest = tail;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in
            [("0", 0), ("0s", 0), ("250ms", 250), ("10s", 10_000), ("1m30s", 90_000), ("2h", 7_200_000)]
        {
            assert_eq!(text.parse(), Ok(GoDuration(Duration::from_millis(millis))), "{text}");
        }
        for text in ["", "10", "s", "10 s", "-1s", "1.5s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(text.parse::<GoDuration>(), Err(DurationError), "{text}");
        }
    }
}
