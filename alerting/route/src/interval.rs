//! Time intervals: whether a time is inside of one (Alertmanager 0.34, `timeinterval`).

use std::ops::RangeInclusive;

use jiff::civil::{DateTime, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use swell_model::TimestampMs;

/// Days of the longest month.
const MONTH_DAYS_MAX: i32 = 31;
const HOUR_MINUTES: u16 = 60;
const DAY_MINUTES: u16 = 24 * HOUR_MINUTES;
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("sunday", Weekday::Sunday),
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Where days begin.
#[derive(Clone, Debug, Default, PartialEq)]
enum Place {
    #[default]
    Utc,
    /// Where the server is.
    Local,
    Zone(TimeZone),
}

/// Times for which all that is said of minutes, days, months and years holds; what is not said holds always.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeInterval {
    /// Minutes of the day; the end does not belong to them.
    minutes: Vec<std::ops::Range<u16>>,
    /// Days of the week, Sunday being 0.
    weekdays: Vec<RangeInclusive<i32>>,
    /// Days of the month from its first day, or from its last one backwards when below 0.
    days: Vec<RangeInclusive<i32>>,
    months: Vec<RangeInclusive<i32>>,
    years: Vec<RangeInclusive<i32>>,
    place: Place,
}

/// The texts of an interval.
#[derive(Clone, Debug, Default)]
pub(crate) struct IntervalTexts {
    pub(crate) times: Vec<(Option<String>, Option<String>)>,
    pub(crate) weekdays: Vec<String>,
    pub(crate) days_of_month: Vec<String>,
    pub(crate) months: Vec<String>,
    pub(crate) years: Vec<String>,
    pub(crate) location: Option<String>,
}

impl TimeInterval {
    /// The interval that the texts describe.
    ///
    /// # Errors
    /// What is wrong, with the key.
    pub(crate) fn parse(texts: &IntervalTexts) -> Result<Self, String> {
        let under = |key: &'static str| move |fault: String| format!("{key}: {fault}");
        let ranges = |key,
                      texts: &[String],
                      parse: fn(&str) -> Result<RangeInclusive<i32>, String>| {
            texts.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>().map_err(under(key))
        };
        let minutes = texts.times.iter().map(minutes).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            minutes: minutes.map_err(under("times"))?,
            weekdays: ranges("weekdays", &texts.weekdays, weekdays)?,
            days: ranges("days_of_month", &texts.days_of_month, days)?,
            months: ranges("months", &texts.months, months)?,
            years: ranges("years", &texts.years, years)?,
            place: texts
                .location
                .as_deref()
                .map_or(Ok(Place::Utc), place)
                .map_err(under("location"))?,
        })
    }

    /// Whether a time is inside; `local` is where the server is.
    #[must_use]
    pub fn contains(&self, at: TimestampMs, local: &TimeZone) -> bool {
        let Ok(at) = Timestamp::from_millisecond(at.0) else { return false };
        let zone = match &self.place {
            Place::Utc => TimeZone::UTC,
            Place::Local => local.clone(),
            Place::Zone(zone) => zone.clone(),
        };
        self.contains_civil(Zoned::new(at, zone).datetime())
    }

    fn contains_civil(&self, at: DateTime) -> bool {
        let minute = u16::try_from(at.hour()).unwrap_or(0) * HOUR_MINUTES
            + u16::try_from(at.minute()).unwrap_or(0);
        let any = |ranges: &[RangeInclusive<i32>], value: i32| {
            ranges.is_empty() || ranges.iter().any(|range| range.contains(&value))
        };
        let weekday = i32::from(at.weekday().to_sunday_zero_offset());
        (self.minutes.is_empty() || self.minutes.iter().any(|range| range.contains(&minute)))
            && any(&self.weekdays, weekday)
            && self.contains_day(i32::from(at.day()), i32::from(at.date().days_in_month()))
            && any(&self.months, i32::from(at.month()))
            && any(&self.years, i32::from(at.year()))
    }

    fn contains_day(&self, day: i32, month_len: i32) -> bool {
        let from_front = |day: i32| if day < 0 { month_len + day + 1 } else { day };
        self.days.is_empty()
            || self.days.iter().any(|range| {
                let (first, last) = (from_front(*range.start()), from_front(*range.end()));
                first <= month_len && (first..=last.min(month_len)).contains(&day)
            })
    }
}

/// Whether a time is inside of any of these.
#[must_use]
pub fn is_inside(intervals: &[TimeInterval], at: TimestampMs, local: &TimeZone) -> bool {
    intervals.iter().any(|interval| interval.contains(at, local))
}

fn minutes(
    (start, end): &(Option<String>, Option<String>),
) -> Result<std::ops::Range<u16>, String> {
    let (Some(start), Some(end)) = (start, end) else {
        return Err("both start and end times must be provided".to_owned());
    };
    let (start, end) = (minute(start)?, minute(end)?);
    if start >= end {
        return Err("start time cannot be equal or greater than end time".to_owned());
    }
    Ok(start..end)
}

/// `09:30`; `24:00` is the end of a day.
fn minute(text: &str) -> Result<u16, String> {
    let fault = || format!("couldn't parse timestamp {text}, invalid format: write it as 09:30");
    let two = |digits: &str| -> Option<u16> {
        (digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok())
            .flatten()
    };
    let (hour, minute) = text.split_once(':').ok_or_else(fault)?;
    let (hour, minute) = (two(hour).ok_or_else(fault)?, two(minute).ok_or_else(fault)?);
    let minutes = hour * HOUR_MINUTES + minute;
    (minute < HOUR_MINUTES && minutes <= DAY_MINUTES).then_some(minutes).ok_or_else(fault)
}

/// Both ends of `a:b`, or of `a` alone.
fn ends(
    text: &str,
    parse: impl Fn(&str) -> Result<i32, String>,
) -> Result<RangeInclusive<i32>, String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [one] => parse(one).map(|at| at..=at),
        [first, last] => Ok(parse(first)?..=parse(last)?),
        _ => Err(format!("couldn't parse range {text}, invalid format")),
    }
}

fn weekdays(text: &str) -> Result<RangeInclusive<i32>, String> {
    let range = ends(text, |name| {
        let known = WEEKDAYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        known
            .map(|(_, weekday)| i32::from(weekday.to_sunday_zero_offset()))
            .ok_or_else(|| format!("{name} is not a valid weekday"))
    })?;
    if range.is_empty() {
        return Err("start day cannot be before end day: the week begins on Sunday".to_owned());
    }
    Ok(range)
}

fn number(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

fn days(text: &str) -> Result<RangeInclusive<i32>, String> {
    let range = ends(text, number)?;
    let (first, last) = (*range.start(), *range.end());
    for day in [first, last] {
        if day == 0 || day.abs() > MONTH_DAYS_MAX {
            return Err(format!("{day} is not a valid day of the month: out of range"));
        }
    }
    if first < 0 && last > 0 {
        return Err("end day must be negative if start day is negative".to_owned());
    }
    let in_longest = |day: i32| if day < 0 { MONTH_DAYS_MAX + day + 1 } else { day };
    if in_longest(first) > in_longest(last) {
        return Err(format!("end day {last} is always before start day {first}"));
    }
    Ok(range)
}

fn months(text: &str) -> Result<RangeInclusive<i32>, String> {
    let range = ends(text, |text| {
        let named = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(idx) => i32::try_from(idx).unwrap_or(0) + 1,
            None => number(text).map_err(|_| format!("{text} is not a valid month"))?,
        };
        let known = (1..=12).contains(&number);
        known.then_some(number).ok_or_else(|| format!("{text}: month out of range"))
    })?;
    in_order("month", range)
}

fn years(text: &str) -> Result<RangeInclusive<i32>, String> {
    in_order("year", ends(text, number)?)
}

fn in_order(what: &str, range: RangeInclusive<i32>) -> Result<RangeInclusive<i32>, String> {
    if range.is_empty() {
        let (first, last) = range.into_inner();
        return Err(format!("end {what} {last} is before start {what} {first}"));
    }
    Ok(range)
}

/// Places of the database that is built in: what the system's says may differ from machine to machine.
fn place(name: &str) -> Result<Place, String> {
    match name {
        "" | "UTC" => Ok(Place::Utc),
        "Local" => Ok(Place::Local),
        name => {
            let zone = TimeZoneDatabase::bundled().get(name);
            zone.map(Place::Zone).map_err(|_| format!("unknown time zone {name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(texts: &IntervalTexts, at: &str, expected: bool) {
        let interval = TimeInterval::parse(texts).expect("valid");
        let at: Timestamp = at.parse().expect("a time");
        let local = TimeZone::fixed(jiff::tz::offset(2));
        let inside = interval.contains(TimestampMs(at.as_millisecond()), &local);
        assert_eq!(inside, expected, "{at} in {texts:?}");
    }

    fn texts(set: impl FnOnce(&mut IntervalTexts)) -> IntervalTexts {
        let mut texts = IntervalTexts::default();
        set(&mut texts);
        texts
    }

    #[test]
    fn days_from_the_end_follow_the_length_of_the_month() {
        let last = texts(|it| it.days_of_month = vec!["-1".into()]);
        check(&last, "2024-02-29T00:00:00Z", true);
        check(&last, "2023-02-28T23:59:59Z", true);
        check(&last, "2024-02-28T12:00:00Z", false);
        let late = texts(|it| it.days_of_month = vec!["30:31".into()]);
        check(&late, "2024-02-29T12:00:00Z", false);
        check(&late, "2024-04-30T12:00:00Z", true);
    }

    #[test]
    fn the_servers_place_counts_where_it_is_named() {
        let midnight = |location: &str| {
            texts(|it| {
                it.times = vec![(Some("00:00".into()), Some("01:00".into()))];
                it.location = Some(location.into());
            })
        };
        check(&midnight("Local"), "2024-03-08T22:30:00Z", true);
        check(&midnight("UTC"), "2024-03-08T22:30:00Z", false);
        check(&midnight("Asia/Tokyo"), "2024-03-08T15:30:00Z", true);
        check(&IntervalTexts::default(), "2024-03-08T15:30:00Z", true);
    }

    #[test]
    fn what_is_wrong_is_told_under_its_key() {
        type Change = fn(&mut IntervalTexts);
        let cases: [(Change, &str); 6] = [
            (|it| it.weekdays = vec!["saturday:monday".into()], "weekdays: start day"),
            (
                |it| it.times = vec![(Some("9:00".into()), Some("10:00".into()))],
                "times: couldn't parse",
            ),
            (
                |it| it.times = vec![(Some("23:00".into()), Some("24:01".into()))],
                "times: couldn't parse",
            ),
            (|it| it.months = vec!["june:may".into()], "months: end month 5"),
            (|it| it.years = vec!["20x4".into()], "years: \"20x4\""),
            (|it| it.location = Some("Mars/Base".into()), "location: unknown time zone Mars/Base"),
        ];
        for (set, expected) in cases {
            let fault = TimeInterval::parse(&texts(set)).expect_err("refused");
            assert!(fault.starts_with(expected), "{fault}");
        }
    }
}
