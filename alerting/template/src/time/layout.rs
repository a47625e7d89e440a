//! Elements of Go layouts, and reading a text by them.

use std::sync::Arc;

use super::calendar::{days_from_civil, days_in_month};
use super::{GoTime, MONTHS, WEEKDAYS};

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
pub(super) fn next_element(layout: &str) -> Option<&str> {
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
pub(super) struct Parts {
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
    /// The first of January of Go's year 0, for what the layout lacks.
    pub(super) fn new() -> Self {
        Self { month: 1, day: 1, ..Self::default() }
    }

    /// Takes one element from the start of `text`; returns what is left.
    pub(super) fn take<'a>(&mut self, element: &str, text: &'a str) -> Option<&'a str> {
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

    pub(super) fn finish(self) -> Option<GoTime> {
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
