//! What an `eval` expects.

use regex::Regex;
use swell_model::{DurationMs, TimestampMs, unquote};
use swell_promql_syntax::parse_number;

use super::script::{EvalCommand, range};
use super::values::{SeriesLine, series_line};

/// What a message must be.
#[derive(Debug)]
pub(super) enum Text {
    Any,
    Exact(String),
    Pattern(Regex),
}

impl Text {
    pub(super) fn accepts(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => text == message,
            Self::Pattern(pattern) => pattern.is_match(message),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            Ok(Self::Any)
        } else if let Some(message) = text.strip_prefix("msg:") {
            Ok(Self::Exact(message.trim().to_owned()))
        } else if let Some(pattern) = text.strip_prefix("regex:") {
            Self::pattern(pattern)
        } else {
            Err(format!("{text:?} is neither msg: nor regex:"))
        }
    }

    fn pattern(pattern: &str) -> Result<Self, String> {
        Regex::new(pattern.trim()).map(Self::Pattern).map_err(|error| error.to_string())
    }
}

/// What is expected of one class of annotation.
#[derive(Debug, Default)]
pub(super) struct Annotated {
    /// At least one must be there, and each must be accepted by one of these.
    pub(super) some: Vec<Text>,
    /// None may be there.
    pub(super) none: bool,
}

/// An expected series.
#[derive(Debug)]
pub(super) struct ExpectedSeries {
    pub(super) series: SeriesLine,
    /// Whether the line names reset hints.
    pub(super) with_hint: bool,
}

/// Times of an expected range vector.
#[derive(Clone, Copy, Debug)]
pub(super) struct RangeVector {
    pub(super) start: TimestampMs,
    pub(super) end: TimestampMs,
    pub(super) step: DurationMs,
}

#[derive(Debug, Default)]
pub(super) struct Expectation {
    pub(super) fail: Option<Text>,
    pub(super) warn: Annotated,
    pub(super) info: Annotated,
    pub(super) ordered: bool,
    pub(super) text: Option<String>,
    pub(super) range_vector: Option<RangeVector>,
    pub(super) scalar: Option<f64>,
    pub(super) series: Vec<ExpectedSeries>,
}

impl Expectation {
    pub(super) fn of(command: &EvalCommand<'_>) -> Result<Self, String> {
        let mut expected = Self::default();
        match command.suffix.as_str() {
            "" => {}
            "fail" => expected.fail = Some(Text::Any),
            "warn" => expected.warn.some.push(Text::Any),
            "info" => expected.info.some.push(Text::Any),
            "ordered" => expected.ordered = true,
            suffix => return Err(format!("unknown command eval_{suffix}")),
        }
        for line in &command.lines {
            if let Some(message) = line.strip_prefix("expected_fail_message") {
                expected.fail = Some(Text::Exact(message.trim().to_owned()));
                break;
            }
            if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
                expected.fail = Some(Text::pattern(pattern)?);
                break;
            }
            if let Some(rest) = line.strip_prefix("expect ") {
                expected.expect_line(rest.trim())?;
            } else if let Some(value) = parse_number(line) {
                expected.scalar = Some(value);
                break;
            } else {
                let series = series_line(line)?;
                expected.series.push(ExpectedSeries { series, with_hint: names_hint(line) });
            }
        }
        Ok(expected)
    }

    fn expect_line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            "fail" => self.fail = Some(Text::parse(rest)?),
            "warn" => self.warn.some.push(Text::parse(rest)?),
            "info" => self.info.some.push(Text::parse(rest)?),
            "no_warn" => self.warn.none = true,
            "no_info" => self.info.none = true,
            "ordered" => self.ordered = true,
            "string" => self.text = Some(unquote(rest.trim()).map_err(|fault| fault.to_string())?),
            "range" => {
                let mut rest = rest.trim().strip_prefix("vector").ok_or("expected \"vector\"")?;
                let (start, end, step) = range(&mut rest)?;
                self.range_vector = Some(RangeVector { start, end, step });
            }
            _ => return Err(format!("unknown expectation {line:?}")),
        }
        Ok(())
    }
}

/// Whether a literal names a reset hint, so that it is to be compared.
fn names_hint(text: &str) -> bool {
    text.contains("counter_reset_hint:")
}
