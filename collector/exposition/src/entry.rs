//! What a body says, entry by entry.

use std::borrow::Cow;
use std::sync::Arc;

use swell_model::{MetricKind, NativeHistogram, TimestampMs};

use crate::series::{Pairs, SeriesText};

/// Which of the two text formats a body is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4 and its successor 1.0.0: blanks anywhere, timestamps in milliseconds.
    Text,
    /// OpenMetrics: single spaces, timestamps in seconds, exemplars, `# EOF` at the end.
    OpenMetrics,
}

impl Format {
    /// The format that a `Content-Type` names; `None` for any other.
    #[must_use]
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or("").trim();
        if media_type.eq_ignore_ascii_case("text/plain") {
            Some(Self::Text)
        } else if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
            Some(Self::OpenMetrics)
        } else {
            None
        }
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A sample.
    Sample(Sample<'a>),
    /// A native histogram (protobuf).
    Histogram(HistogramSample<'a>),
    /// `# TYPE`
    Type {
        /// The metric family.
        family: Cow<'a, str>,
        /// Its kind.
        kind: MetricKind,
        /// The kind as written: `untyped` and `unknown` are the same kind.
        word: &'a str,
    },
    /// `# HELP`
    Help {
        /// The metric family.
        family: Cow<'a, str>,
        /// One sentence, escapes resolved.
        text: Cow<'a, str>,
    },
    /// `# UNIT` (OpenMetrics).
    Unit {
        /// The metric family.
        family: Cow<'a, str>,
        /// Base unit; may be empty.
        unit: &'a str,
    },
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Whose it is.
    pub series: SeriesText<'a>,
    /// Its value; never the staleness marker.
    pub value: f64,
    /// Its time, if the line has one.
    pub timestamp: Option<TimestampMs>,
    /// Since when it counts, where the format says so at the sample (protobuf).
    pub start: Option<TimestampMs>,
    /// An example of what was counted (OpenMetrics, protobuf).
    pub exemplar: Option<Exemplar<'a>>,
}

/// One native histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample<'a> {
    /// Whose it is.
    pub series: SeriesText<'a>,
    /// Its value, checked.
    pub value: Arc<NativeHistogram>,
    /// Its time, if it has one.
    pub timestamp: Option<TimestampMs>,
    /// Since when it counts, if said.
    pub start: Option<TimestampMs>,
    /// Examples of what was counted.
    pub exemplars: Vec<Exemplar<'a>>,
}

/// An example of what a sample counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// In braces.
    labels: &'a str,
    /// Value of the example.
    pub value: f64,
    /// When it was observed, if said.
    pub timestamp: Option<TimestampMs>,
}

impl<'a> Exemplar<'a> {
    /// `labels` stand in braces.
    pub(crate) const fn new(labels: &'a str, value: f64, timestamp: Option<TimestampMs>) -> Self {
        Self { labels, value, timestamp }
    }

    /// Labels in the input's order.
    #[must_use]
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs::in_braces(self.labels)
    }
}
