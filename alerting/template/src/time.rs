//! Go's `time.Time` and `time.Duration`: arithmetic, layouts, methods.

mod calendar;
mod duration;
mod layout;

use std::fmt;
use std::sync::Arc;

use calendar::{civil_from_days, days_from_civil};
use layout::{Parts, next_element};

use crate::value::Value;

pub use duration::GoDuration;

/// An instant with a fixed offset from UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoTime {
    /// Seconds since the Unix epoch.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
    /// Seconds east of UTC.
    pub offset_s: i32,
    /// Abbreviation of the zone, `UTC` for none.
    pub zone: Arc<str>,
}

const NANOS: i64 = 1_000_000_000;
/// 0001-01-01T00:00:00Z, Go's zero time.
const ZERO_SECONDS: i64 = -62_135_596_800;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Parts of a date and time of day.
struct Civil {
    year: i64,
    month: u32,
    day: u32,
    second_of_day: u32,
    weekday: usize,
    year_day: u32,
}

impl GoTime {
    /// An instant in UTC, from milliseconds since the epoch.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        let nanos = u32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
        Self { seconds: millis.div_euclid(1000), nanos, offset_s: 0, zone: Arc::from("UTC") }
    }

    /// Go's zero time, year 1.
    #[must_use]
    pub fn zero() -> Self {
        Self { seconds: ZERO_SECONDS, nanos: 0, offset_s: 0, zone: Arc::from("UTC") }
    }

    /// Whether this is Go's zero time.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.seconds == ZERO_SECONDS && self.nanos == 0
    }

    /// The same instant, shown in another zone.
    #[must_use]
    pub fn in_zone(&self, offset_s: i32, zone: &str) -> Self {
        Self { offset_s, zone: Arc::from(zone), ..self.clone() }
    }

    /// Time between two instants, saturating at the ends of what a duration holds.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> GoDuration {
        let nanos = (i128::from(self.seconds) - i128::from(earlier.seconds)) * i128::from(NANOS)
            + i128::from(self.nanos)
            - i128::from(earlier.nanos);
        let clamped = nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        GoDuration(i64::try_from(clamped).unwrap_or(i64::MAX))
    }

    fn plus(&self, span: GoDuration) -> Self {
        let nanos = i64::from(self.nanos) + span.0 % NANOS;
        Self {
            seconds: self
                .seconds
                .saturating_add(span.0 / NANOS)
                .saturating_add(nanos.div_euclid(NANOS)),
            nanos: u32::try_from(nanos.rem_euclid(NANOS)).unwrap_or(0),
            ..self.clone()
        }
    }

    fn civil(&self) -> Civil {
        let local = self.seconds.saturating_add(i64::from(self.offset_s));
        let days = local.div_euclid(86_400);
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            second_of_day: u32::try_from(local.rem_euclid(86_400)).unwrap_or(0),
            weekday: usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0),
            year_day: u32::try_from(days - days_from_civil(year, 1, 1) + 1).unwrap_or(0),
        }
    }

    /// The instant as RFC 3339 with as many fractional digits as needed.
    #[must_use]
    pub fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    /// Formats by a Go layout (`2006-01-02 15:04:05 MST`).
    #[must_use]
    pub fn format(&self, layout: &str) -> String {
        let civil = self.civil();
        let mut out = String::new();
        let mut rest = layout;
        while !rest.is_empty() {
            match next_element(rest) {
                Some(element) => {
                    self.format_element(element, &civil, &mut out);
                    rest = &rest[element.len()..];
                }
                None => {
                    let c = rest.chars().next().unwrap_or(' ');
                    out.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        out
    }

    fn format_element(&self, element: &str, civil: &Civil, out: &mut String) {
        let hour = civil.second_of_day / 3600;
        let hour12 = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
        let minute = civil.second_of_day / 60 % 60;
        let second = civil.second_of_day % 60;
        let month = MONTHS[(civil.month as usize + 11) % 12];
        let weekday = WEEKDAYS[civil.weekday];
        let text = match element {
            "2006" => format!("{:04}", civil.year),
            "06" => format!("{:02}", civil.year.rem_euclid(100)),
            "January" => month.to_owned(),
            "Jan" => month[..3].to_owned(),
            "01" => format!("{:02}", civil.month),
            "1" => civil.month.to_string(),
            "Monday" => weekday.to_owned(),
            "Mon" => weekday[..3].to_owned(),
            "02" => format!("{:02}", civil.day),
            "_2" => format!("{:2}", civil.day),
            "2" => civil.day.to_string(),
            "002" => format!("{:03}", civil.year_day),
            "__2" => format!("{:3}", civil.year_day),
            "15" => format!("{hour:02}"),
            "03" => format!("{hour12:02}"),
            "3" => hour12.to_string(),
            "04" => format!("{minute:02}"),
            "4" => minute.to_string(),
            "05" => format!("{second:02}"),
            "5" => second.to_string(),
            "PM" => if hour >= 12 { "PM" } else { "AM" }.to_owned(),
            "pm" => if hour >= 12 { "pm" } else { "am" }.to_owned(),
            "MST" => self.zone.to_string(),
            _ if element.starts_with(['.', ',']) => self.format_fraction(element),
            _ => self.format_offset(element),
        };
        out.push_str(&text);
    }

    fn format_fraction(&self, element: &str) -> String {
        let count = element.len() - 1;
        let digits = &format!("{:09}", self.nanos)[..count];
        if element.ends_with('0') {
            return format!("{}{digits}", &element[..1]);
        }
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() { String::new() } else { format!("{}{digits}", &element[..1]) }
    }

    fn format_offset(&self, element: &str) -> String {
        if element.starts_with('Z') && self.offset_s == 0 {
            return "Z".into();
        }
        let sign = if self.offset_s < 0 { '-' } else { '+' };
        let offset = self.offset_s.unsigned_abs();
        let (hours, minutes, seconds) = (offset / 3600, offset / 60 % 60, offset % 60);
        match &element[1..] {
            "07" => format!("{sign}{hours:02}"),
            "0700" => format!("{sign}{hours:02}{minutes:02}"),
            "07:00" => format!("{sign}{hours:02}:{minutes:02}"),
            "070000" => format!("{sign}{hours:02}{minutes:02}{seconds:02}"),
            _ => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
        }
    }

    /// Parses by a Go layout; parts the layout lacks are those of year 1 (year 0 in Go) and UTC. `None` when the text does not fit.
    #[must_use]
    pub fn parse(layout: &str, text: &str) -> Option<Self> {
        let mut parts = Parts::new();
        let (mut layout, mut text) = (layout, text);
        while !layout.is_empty() {
            match next_element(layout) {
                Some(element) => {
                    text = parts.take(element, text)?;
                    layout = &layout[element.len()..];
                }
                None => {
                    let c = layout.chars().next()?;
                    text = text.strip_prefix(c)?;
                    layout = &layout[c.len_utf8()..];
                }
            }
        }
        if text.is_empty() { parts.finish() } else { None }
    }

    pub(crate) fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let civil = self.civil();
        let int = |value: u32| Value::Int(i64::from(value));
        Some(Ok(match (name, arguments) {
            ("UTC" | "Local", []) => Value::Time(self.in_zone(0, "UTC")),
            ("Unix", []) => Value::Int(self.seconds),
            ("UnixMilli", []) => {
                Value::Int(self.seconds.saturating_mul(1000) + i64::from(self.nanos / 1_000_000))
            }
            ("UnixMicro", []) => {
                Value::Int(self.seconds.saturating_mul(1_000_000) + i64::from(self.nanos / 1_000))
            }
            ("UnixNano", []) => {
                Value::Int(self.seconds.wrapping_mul(NANOS).wrapping_add(i64::from(self.nanos)))
            }
            ("Year", []) => Value::Int(civil.year),
            ("Month", []) => Value::str(MONTHS[(civil.month as usize + 11) % 12]),
            ("Day", []) => int(civil.day),
            ("Hour", []) => int(civil.second_of_day / 3600),
            ("Minute", []) => int(civil.second_of_day / 60 % 60),
            ("Second", []) => int(civil.second_of_day % 60),
            ("Nanosecond", []) => int(self.nanos),
            ("YearDay", []) => int(civil.year_day),
            ("Weekday", []) => Value::str(WEEKDAYS[civil.weekday]),
            ("IsZero", []) => Value::Bool(self.is_zero()),
            ("String", []) => Value::str(self.to_string()),
            ("Format", [layout]) => match layout.to_text() {
                Ok(layout) => Value::str(self.format(layout)),
                Err(message) => return Some(Err(message)),
            },
            ("Add", [span]) => match span.to_int() {
                Ok(nanos) => Value::Time(self.plus(GoDuration(nanos))),
                Err(message) => return Some(Err(message)),
            },
            ("Sub", [Value::Time(other)]) => Value::Duration(self.since(other)),
            ("Before", [Value::Time(other)]) => Value::Bool(self.instant() < other.instant()),
            ("After", [Value::Time(other)]) => Value::Bool(self.instant() > other.instant()),
            ("Equal", [Value::Time(other)]) => Value::Bool(self.instant() == other.instant()),
            ("Sub" | "Before" | "After" | "Equal", _) => {
                return Some(Err(format!("wrong arguments for {name}: expected one time.Time")));
            }
            ("Format" | "Add", _) => {
                return Some(Err(format!(
                    "wrong number of args for {name}: want 1 got {}",
                    arguments.len()
                )));
            }
            _ => return None,
        }))
    }

    fn instant(&self) -> (i64, u32) {
        (self.seconds, self.nanos)
    }
}

impl fmt::Display for GoTime {
    /// As Go's `Time.String`: `2024-03-10 12:34:56.789 +0000 UTC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_format_as_in_go() {
        let time = GoTime::from_millis(1_710_074_096_789);
        for (layout, expected) in [
            ("2006-01-02 15:04:05", "2024-03-10 12:34:56"),
            ("2006/1/2 3:04 PM", "2024/3/10 12:34 PM"),
            ("Mon Jan _2 15:04:05.000 MST 2006", "Sun Mar 10 12:34:56.789 UTC 2024"),
            ("2006-01-02T15:04:05Z07:00", "2024-03-10T12:34:56Z"),
            ("January 02, 06 -0700 002", "March 10, 24 +0000 070"),
        ] {
            assert_eq!(time.format(layout), expected, "{layout}");
        }
        assert_eq!(GoTime::zero().to_string(), "0001-01-01 00:00:00 +0000 UTC");
        assert_eq!(
            time.in_zone(-14_400, "EDT").format("3:04pm (MST) -07:00"),
            "8:34am (EDT) -04:00"
        );
    }

    #[test]
    fn parsing_reverses_formatting() {
        for (layout, text) in [
            ("2006-01-02", "2024-02-29"),
            ("2006-01-02T15:04:05Z07:00", "2024-03-10T12:34:56+09:00"),
            ("Jan 2 2006 3:04PM", "Mar 5 1999 11:07PM"),
        ] {
            let time = GoTime::parse(layout, text).expect("the text fits the layout");
            assert_eq!(time.format(layout), text);
        }
        for (layout, text) in
            [("2006-01-02", "bad"), ("2006-01-02", "2023-02-29"), ("15:04", "24:00")]
        {
            assert_eq!(GoTime::parse(layout, text), None, "{text}");
        }
    }

    #[test]
    fn durations_print_as_in_go() {
        for (nanos, expected) in [
            (0, "0s"),
            (999, "999ns"),
            (1_500_000, "1.5ms"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(GoDuration(nanos).to_string(), expected);
        }
    }
}
