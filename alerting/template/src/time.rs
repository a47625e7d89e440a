//! Go's `time.Time` and `time.Duration`: arithmetic, layouts, methods.

use std::fmt;
use std::sync::Arc;

use crate::value::Value;

/// Nanoseconds, as `time.Duration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

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
        let mut parts = Parts { year: 0, month: 1, day: 1, ..Parts::default() };
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

/// Layout elements, longer ones before those they start with.
const ELEMENTS: [&str; 36] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "__2",
    "_2",
    "15",
    "PM",
    "pm",
    "-07:00:00",
    "-070000",
    "-07:00",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z070000",
    "Z07:00",
    "Z0700",
    "Z07",
    "1",
    "2",
    "3",
    "4",
    "5",
    ".000000000",
    ".000",
    ".0",
];

/// The layout element at the start of `layout`.
fn next_element(layout: &str) -> Option<&str> {
    if layout.starts_with(['.', ',']) {
        let digit = layout[1..].chars().next()?;
        if digit == '0' || digit == '9' {
            let count = layout[1..].bytes().take_while(|byte| *byte == digit as u8).count();
            let follows = layout[1 + count..].starts_with(|c: char| c.is_ascii_digit());
            if !follows && count <= 9 {
                return Some(&layout[..=count]);
            }
        }
        return None;
    }
    let element = ELEMENTS.iter().find(|element| layout.starts_with(**element))?;
    // "Jan" and "Mon" inside a longer lower-case word are plain text.
    let longer = layout[element.len()..].starts_with(|c: char| c.is_ascii_lowercase());
    if matches!(*element, "Jan" | "Mon") && longer {
        return None;
    }
    if *element == "_2" && layout.starts_with("_2006") {
        return None;
    }
    Some(&layout[..element.len()])
}

/// What a layout found in a text.
#[derive(Default)]
struct Parts {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: u32,
    afternoon: Option<bool>,
    offset_s: i32,
    zone: Option<String>,
}

impl Parts {
    /// Takes one element from the start of `text`; returns what is left.
    fn take<'a>(&mut self, element: &str, text: &'a str) -> Option<&'a str> {
        let (value, rest) = match element {
            "2006" => digits(text, 4, 4)?,
            "06" | "01" | "02" | "15" | "03" | "04" | "05" => digits(text, 2, 2)?,
            "1" | "2" | "3" | "4" | "5" => digits(text, 1, 2)?,
            "_2" => digits(text.trim_start_matches(' '), 1, 2)?,
            _ => return self.take_word(element, text),
        };
        match element {
            "2006" => self.year = value,
            "06" => self.year = if value >= 69 { 1900 + value } else { 2000 + value },
            "01" | "1" => self.month = value,
            "02" | "_2" | "2" => self.day = value,
            "15" | "03" | "3" => self.hour = value,
            "04" | "4" => self.minute = value,
            _ => {
                self.second = value;
                // A fraction in the text is taken even where the layout has none.
                if let Some(fraction) = rest.strip_prefix('.') {
                    return self.fraction(fraction);
                }
            }
        }
        Some(rest)
    }

    fn fraction<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let count = text.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return None;
        }
        let padded = format!("{:0<9}", &text[..count.min(9)]);
        self.nanos = padded.parse().ok()?;
        Some(&text[count..])
    }

    fn take_word<'a>(&mut self, element: &str, text: &'a str) -> Option<&'a str> {
        match element {
            "January" | "Jan" => {
                let len = if element == "Jan" { 3 } else { 0 };
                let (idx, name) = MONTHS.iter().enumerate().find_map(|(idx, name)| {
                    let name = if len == 3 { &name[..3] } else { *name };
                    text.starts_with(name).then_some((idx, name))
                })?;
                self.month = i64::try_from(idx).ok()? + 1;
                Some(&text[name.len()..])
            }
            "Monday" | "Mon" => {
                let name = WEEKDAYS.iter().find_map(|name| {
                    let name = if element == "Mon" { &name[..3] } else { *name };
                    text.starts_with(name).then_some(name)
                })?;
                Some(&text[name.len()..])
            }
            "PM" | "pm" => {
                self.afternoon = Some(text.get(..2)?.eq_ignore_ascii_case("pm"));
                let valid = ["am", "pm"].iter().any(|half| text[..2].eq_ignore_ascii_case(half));
                valid.then_some(&text[2..])
            }
            "MST" => {
                let len = text.bytes().take_while(u8::is_ascii_uppercase).count();
                self.zone = Some(text[..len].to_owned());
                (len >= 3).then_some(&text[len..])
            }
            _ if element.starts_with(['.', ',']) => match text.strip_prefix(['.', ',']) {
                Some(rest) => self.fraction(rest),
                None => Some(text),
            },
            _ => self.take_offset(element, text),
        }
    }

    fn take_offset<'a>(&mut self, element: &str, text: &'a str) -> Option<&'a str> {
        if element.starts_with('Z')
            && let Some(rest) = text.strip_prefix('Z')
        {
            return Some(rest);
        }
        let sign = match text.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let (hours, mut rest) = digits(&text[1..], 2, 2)?;
        let mut seconds = hours * 3600;
        if element.len() > 3 {
            rest = rest.strip_prefix(':').unwrap_or(rest);
            let (minutes, after) = digits(rest, 2, 2)?;
            seconds += minutes * 60;
            rest = after;
        }
        self.offset_s = i32::try_from(seconds).ok()? * sign;
        Some(rest)
    }

    fn finish(self) -> Option<GoTime> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let month = u32::try_from(self.month).ok()?;
        let day = u32::try_from(self.day).ok()?;
        let in_range = (1..=12).contains(&month)
            && day >= 1
            && day <= days_in_month(self.year, month)
            && hour < 24
            && self.minute < 60
            && self.second < 60;
        if !in_range {
            return None;
        }
        let seconds = days_from_civil(self.year, month, day) * 86_400
            + hour * 3600
            + self.minute * 60
            + self.second
            - i64::from(self.offset_s);
        let zone = match self.zone {
            Some(zone) => Arc::from(zone.as_str()),
            None if self.offset_s == 0 => Arc::from("UTC"),
            None => Arc::from(""),
        };
        Some(GoTime { seconds, nanos: self.nanos, offset_s: self.offset_s, zone })
    }
}

fn digits(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = i64::from((month + 9) % 12);
    let day_of_year = (153 * shifted + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of a day count since 1970-01-01; the reverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = u32::try_from(day_of_year - (153 * shifted + 2) / 5 + 1).unwrap_or(1);
    let month = u32::try_from(if shifted < 10 { shifted + 3 } else { shifted - 9 }).unwrap_or(1);
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
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
