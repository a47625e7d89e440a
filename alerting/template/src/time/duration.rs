//! `time.Duration`.

use std::fmt;

use super::NANOS;
use crate::value::Value;

/// Nanoseconds, as `time.Duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

impl GoDuration {
    /// Length in seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "as in Go's Duration.Seconds")]
    pub fn as_seconds(self) -> f64 {
        (self.0 / NANOS) as f64 + (self.0 % NANOS) as f64 / 1e9
    }

    #[expect(clippy::cast_precision_loss, reason = "as in Go's Duration.Hours")]
    fn in_units(self, unit: i64) -> f64 {
        (self.0 / unit) as f64 + (self.0 % unit) as f64 / unit as f64
    }

    pub(crate) fn method(self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        Some(Ok(match (name, arguments) {
            ("Hours", []) => Value::Float(self.in_units(3600 * NANOS)),
            ("Minutes", []) => Value::Float(self.in_units(60 * NANOS)),
            ("Seconds", []) => Value::Float(self.as_seconds()),
            ("Milliseconds", []) => Value::Int(self.0 / 1_000_000),
            ("Microseconds", []) => Value::Int(self.0 / 1_000),
            ("Nanoseconds", []) => Value::Int(self.0),
            ("Abs", []) => Value::Duration(Self(self.0.saturating_abs())),
            ("String", []) => Value::str(self.to_string()),
            ("Truncate" | "Round", [unit]) => {
                let unit = match unit.to_int() {
                    Ok(unit) => unit,
                    Err(message) => return Some(Err(message)),
                };
                if unit <= 0 {
                    return Some(Ok(Value::Duration(self)));
                }
                let rest = self.0 % unit;
                let up = name == "Round" && rest.unsigned_abs() * 2 >= unit.unsigned_abs();
                let step = if up { rest.signum() * unit } else { 0 };
                Value::Duration(Self((self.0 - rest).saturating_add(step)))
            }
            _ => return None,
        }))
    }
}

impl fmt::Display for GoDuration {
    /// `1h2m3.5s`, `1.5ms`, `0s`, as Go prints durations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        let fraction = |value: u64, unit: u64| {
            let digits = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
            let digits = digits.trim_end_matches('0');
            if unit == 1 || digits.is_empty() {
                (value / unit).to_string()
            } else {
                format!("{}.{digits}", value / unit)
            }
        };
        if nanos < 1_000 {
            return write!(f, "{nanos}ns");
        }
        if nanos < 1_000_000 {
            return write!(f, "{}µs", fraction(nanos, 1_000));
        }
        if nanos < 1_000_000_000 {
            return write!(f, "{}ms", fraction(nanos, 1_000_000));
        }
        let seconds = nanos / 1_000_000_000;
        if seconds >= 3600 {
            write!(f, "{}h", seconds / 3600)?;
        }
        if seconds >= 60 {
            write!(f, "{}m", seconds / 60 % 60)?;
        }
        write!(f, "{}s", fraction(nanos % 60_000_000_000, 1_000_000_000))
    }
}
