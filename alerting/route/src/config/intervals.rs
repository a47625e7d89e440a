//! `time_intervals:` and the older `mute_time_intervals:`.

use serde::Deserialize;

use crate::interval::{IntervalTexts, TimeInterval};

/// An interval with its name, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNamedInterval {
    pub(super) name: Option<String>,
    pub(super) time_intervals: Option<Vec<RawInterval>>,
}

/// One interval, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawInterval {
    times: Option<Vec<RawTimes>>,
    weekdays: Option<Vec<Word>>,
    days_of_month: Option<Vec<Word>>,
    months: Option<Vec<Word>>,
    years: Option<Vec<Word>>,
    location: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTimes {
    start_time: Option<String>,
    end_time: Option<String>,
}

/// A text, or a number that stands for its text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Word {
    Number(i64),
    Text(String),
}

impl Word {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl RawInterval {
    /// The checked interval.
    pub(crate) fn check(&self) -> Result<TimeInterval, String> {
        let texts = |words: &Option<Vec<Word>>| -> Vec<String> {
            words.iter().flatten().map(Word::text).collect()
        };
        let times = self.times.iter().flatten();
        TimeInterval::parse(&IntervalTexts {
            times: times.map(|it| (it.start_time.clone(), it.end_time.clone())).collect(),
            weekdays: texts(&self.weekdays),
            days_of_month: texts(&self.days_of_month),
            months: texts(&self.months),
            years: texts(&self.years),
            location: self.location.clone(),
        })
    }
}
