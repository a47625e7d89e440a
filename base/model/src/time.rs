//! Time as values: milliseconds since the Unix epoch, spans of them, and half-open ranges.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// Milliseconds since the Unix epoch; may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimestampMs(pub i64);

/// A span of milliseconds; may be negative (a PromQL offset).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationMs(pub i64);

impl TimestampMs {
    /// The earliest time that can be expressed.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time that can be expressed.
    pub const MAX: Self = Self(i64::MAX);

    /// Time passed since `earlier`, saturating at the ends of the range.
    #[must_use]
    pub const fn since(self, earlier: Self) -> DurationMs {
        DurationMs(self.0.saturating_sub(earlier.0))
    }

    /// The time in seconds, as PromQL and the HTTP API show it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact for any date below the year 287396")]
    pub const fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl DurationMs {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1000)
    }

    /// The span in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 ms")]
    pub const fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The span for timers; a negative one is zero.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(if self.0 < 0 { 0 } else { self.0.unsigned_abs() })
    }

    /// Parses a Prometheus duration: `0`, or integers with units in the order `y w d h m s ms`, each
    /// at most once (`1h30m`; a year is 365 days, a week 7 days).
    ///
    /// # Errors
    /// [`DurationParseError`] names the text and what is wrong with it.
    pub fn parse_prometheus(text: &str) -> Result<Self, DurationParseError> {
        let fault = |why| DurationParseError { text: text.to_owned(), why };
        if text == "0" {
            return Ok(Self::ZERO);
        }
        if text.is_empty() {
            return Err(fault("it is empty"));
        }
        let mut rest = text;
        let mut next_unit_idx = 0;
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digit_count = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digit_count == 0 {
                return Err(fault("a number is missing before a unit"));
            }
            let count: i64 =
                rest[..digit_count].parse().map_err(|_| fault("it is out of range"))?;
            rest = &rest[digit_count..];
            let unit_len = rest.bytes().take_while(u8::is_ascii_lowercase).count();
            let unit = &rest[..unit_len];
            let unit_idx = UNITS
                .iter()
                .position(|(name, _)| *name == unit)
                .ok_or_else(|| fault("each number needs one of the units y, w, d, h, m, s, ms"))?;
            if unit_idx < next_unit_idx {
                return Err(fault("units must fall from y to ms, each at most once"));
            }
            next_unit_idx = unit_idx + 1;
            rest = &rest[unit_len..];
            total = count
                .checked_mul(UNITS[unit_idx].1)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| fault("it is out of range"))?;
        }
        Ok(Self(total))
    }
}

/// Prometheus' units with their length in milliseconds, longest first.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A text that is no Prometheus duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration such as 30s or 1h30m: {why}")]
pub struct DurationParseError {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for DurationMs {
    /// Prints as Prometheus does (`1h30m`, `90s` as `1m30s`): years, weeks and days only when the rest divides evenly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (unit, length) in UNITS {
            let length = length.unsigned_abs();
            let only_if_even = matches!(unit, "y" | "w" | "d");
            if only_if_even && !rest.is_multiple_of(length) {
                continue;
            }
            if rest >= length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl Add<DurationMs> for TimestampMs {
    type Output = Self;
    fn add(self, span: DurationMs) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<DurationMs> for TimestampMs {
    type Output = Self;
    fn sub(self, span: DurationMs) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl AddAssign<DurationMs> for TimestampMs {
    fn add_assign(&mut self, span: DurationMs) {
        *self = *self + span;
    }
}

impl Add for DurationMs {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for DurationMs {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// A closed range of time: both ends belong to it, as in Prometheus' storage interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First instant that belongs to the range.
    pub start_incl: TimestampMs,
    /// Last instant that belongs to the range.
    pub end_incl: TimestampMs,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start_incl: TimestampMs::MIN, end_incl: TimestampMs::MAX };

    /// Whether `at` lies inside.
    #[must_use]
    pub const fn contains(&self, at: TimestampMs) -> bool {
        self.start_incl.0 <= at.0 && at.0 <= self.end_incl.0
    }

    /// Whether the two ranges share an instant.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start_incl.0 <= other.end_incl.0 && other.start_incl.0 <= self.end_incl.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_as_in_prometheus() {
        for (text, expected) in [
            ("0", 0),
            ("1h30m", 5_400_000),
            ("90s", 90_000),
            ("1y", 31_536_000_000),
            ("1ms", 1),
            ("1w2d", 777_600_000),
        ] {
            assert_eq!(DurationMs::parse_prometheus(text), Ok(DurationMs(expected)), "{text}");
        }
        for text in ["", "5", "1m1h", "1s1s", "1x", "-5m", "1.5h", "99999999999y"] {
            assert!(DurationMs::parse_prometheus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_print_as_in_prometheus() {
        for (millis, expected) in [
            (0, "0s"),
            (90_000, "1m30s"),
            (5_400_000, "1h30m"),
            (86_400_000, "1d"),
            (90_000_000, "25h"),
            (604_800_000, "1w"),
            (-1500, "-1s500ms"),
        ] {
            assert_eq!(DurationMs(millis).to_string(), expected);
        }
    }
}
