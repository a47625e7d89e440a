//! Samples whose series are named by their labels: what a format makes of bytes, before a sink knows the series.

use std::sync::Arc;

use crate::{Exemplar, Labels, MetricDescription, NativeHistogram, TimestampMs};

/// Position in [`LabelledBatch::series`].
pub type LabelledNo = u32;

/// A float sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelledFloat {
    /// Whose.
    pub series: LabelledNo,
    /// When.
    pub timestamp: TimestampMs,
    /// What; may be the staleness marker.
    pub value: f64,
    /// Start timestamp in milliseconds, 0 for none.
    pub start_ms: i64,
}

/// A native histogram sample.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledHistogram {
    /// Whose.
    pub series: LabelledNo,
    /// When.
    pub timestamp: TimestampMs,
    /// What.
    pub value: Arc<NativeHistogram>,
    /// Start timestamp in milliseconds, 0 for none.
    pub start_ms: i64,
}

/// Samples by series. A label set may stand in more than one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelledBatch {
    /// Label sets, each with its metric's name.
    pub series: Vec<Labels>,
    /// Float samples, in any order.
    pub floats: Vec<LabelledFloat>,
    /// Native histograms, in any order.
    pub histograms: Vec<LabelledHistogram>,
    /// Exemplars, in any order.
    pub exemplars: Vec<(LabelledNo, Exemplar)>,
    /// What metric families are.
    pub descriptions: Vec<MetricDescription>,
}

impl LabelledBatch {
    /// Adds a series.
    ///
    /// # Panics
    /// With more than 2^32 of them: whoever reads bytes has a limit below.
    pub fn add_series(&mut self, labels: Labels) -> LabelledNo {
        let number = LabelledNo::try_from(self.series.len()).expect("readers have a limit below");
        self.series.push(labels);
        number
    }

    /// Number of samples.
    #[must_use]
    pub fn sample_count(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }
}
