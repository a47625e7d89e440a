//! Values of one series at all steps.

use std::sync::Arc;

use swell_model::{Labels, NativeHistogram, is_stale_nan, label_order, stale_nan};

/// Times at which a node is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) start_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) count: usize,
}

impl Grid {
    /// Time of a step.
    pub(crate) fn at(&self, step: usize) -> i64 {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(self.step_ms.saturating_mul(step))
    }

    /// Time of the last step.
    pub(crate) fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    /// The first step only.
    pub(crate) fn first_only(&self) -> Self {
        Self { count: 1, ..*self }
    }
}

/// One value.
#[derive(Clone, Debug)]
pub(crate) enum Point {
    Float(f64),
    Histogram(Arc<NativeHistogram>),
}

/// One value, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PointRef<'a> {
    Float(f64),
    Histogram(&'a Arc<NativeHistogram>),
}

impl PointRef<'_> {
    pub(crate) fn to_owned(self) -> Point {
        match self {
            Self::Float(value) => Point::Float(value),
            Self::Histogram(value) => Point::Histogram(Arc::clone(value)),
        }
    }
}

/// Values at all steps of a grid: a float, a histogram or nothing at each.
///
/// Invariant: a step without a float holds the staleness marker in `floats` (which never is a result); a step has a
/// histogram or a float, not both; `histograms` is empty when there are none.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    floats: Vec<f64>,
    histograms: Vec<Option<Arc<NativeHistogram>>>,
}

impl Column {
    pub(crate) fn absent(count: usize) -> Self {
        Self { floats: vec![stale_nan(); count], histograms: Vec::new() }
    }

    pub(crate) fn constant(value: f64, count: usize) -> Self {
        Self { floats: vec![value; count], histograms: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.floats.len()
    }

    #[inline]
    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        let value = self.floats[step];
        if is_stale_nan(value) { None } else { Some(value) }
    }

    #[inline]
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<NativeHistogram>> {
        self.histograms.get(step)?.as_ref()
    }

    #[inline]
    pub(crate) fn get(&self, step: usize) -> Option<PointRef<'_>> {
        match self.float(step) {
            Some(value) => Some(PointRef::Float(value)),
            None => self.histogram(step).map(PointRef::Histogram),
        }
    }

    #[inline]
    pub(crate) fn is_present(&self, step: usize) -> bool {
        !is_stale_nan(self.floats[step]) || self.histogram(step).is_some()
    }

    #[inline]
    pub(crate) fn set_float(&mut self, step: usize, value: f64) {
        self.floats[step] = value;
        if let Some(slot) = self.histograms.get_mut(step) {
            *slot = None;
        }
    }

    pub(crate) fn set_histogram(&mut self, step: usize, value: Arc<NativeHistogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.floats.len(), None);
        }
        self.floats[step] = stale_nan();
        self.histograms[step] = Some(value);
    }

    pub(crate) fn set(&mut self, step: usize, point: Point) {
        match point {
            Point::Float(value) => self.set_float(step, value),
            Point::Histogram(value) => self.set_histogram(step, value),
        }
    }

    pub(crate) fn clear(&mut self, step: usize) {
        self.set_float(step, stale_nan());
    }

    /// Makes it a column of that many steps without anything.
    pub(crate) fn reset(&mut self, count: usize) {
        self.histograms.clear();
        self.floats.clear();
        self.floats.resize(count, stale_nan());
    }

    /// The floats of a column without histograms, to be set in place; the staleness marker stands for none.
    pub(crate) fn floats_mut(&mut self) -> &mut [f64] {
        debug_assert!(self.histograms.is_empty(), "the column has no histograms");
        &mut self.floats
    }

    /// The floats, the staleness marker where there is none.
    pub(crate) fn raw_floats(&self) -> &[f64] {
        &self.floats
    }

    /// Whether there is a float at any step.
    pub(crate) fn has_floats(&self) -> bool {
        self.floats.iter().any(|value| !is_stale_nan(*value))
    }

    pub(crate) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Whether nothing is present at any step.
    pub(crate) fn is_empty(&self) -> bool {
        (0..self.len()).all(|step| !self.is_present(step))
    }

    /// Applies a function to the floats and drops the histograms.
    pub(crate) fn map_floats(&mut self, map: impl Fn(f64) -> f64) {
        self.histograms = Vec::new();
        for value in &mut self.floats {
            if !is_stale_nan(*value) {
                *value = map(*value);
            }
        }
    }

    /// What the samples weigh against the budget: a float 1, a histogram its size in units of a float sample.
    pub(crate) fn weight(&self) -> usize {
        self.float_count()
            + self
                .histograms
                .iter()
                .flatten()
                .map(|histogram| histogram_weight(histogram))
                .sum::<usize>()
    }

    /// What the value at a step weighs.
    pub(crate) fn weight_at(&self, step: usize) -> usize {
        match self.get(step) {
            None => 0,
            Some(PointRef::Float(_)) => 1,
            Some(PointRef::Histogram(histogram)) => histogram_weight(histogram),
        }
    }

    /// At how many steps there is a float.
    pub(crate) fn float_count(&self) -> usize {
        self.floats.iter().filter(|value| !is_stale_nan(**value)).count()
    }

    /// The value at the first step, at all steps of a grid.
    pub(crate) fn broadcast(&self, count: usize) -> Self {
        match self.get(0) {
            None => Self::absent(count),
            Some(PointRef::Float(value)) => Self::constant(value, count),
            Some(PointRef::Histogram(value)) => Self {
                floats: vec![stale_nan(); count],
                histograms: vec![Some(Arc::clone(value)); count],
            },
        }
    }
}

/// Weight of one histogram sample.
pub(crate) fn histogram_weight(histogram: &NativeHistogram) -> usize {
    let buckets = histogram.positive_buckets.len() + histogram.negative_buckets.len();
    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    (176 + 8 * (buckets + spans + histogram.custom_bounds.len())) / 16
}

/// A series with its values at all steps.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// Whether the name is to be dropped at the end of the evaluation.
    pub(crate) drop_name: bool,
    pub(crate) column: Column,
}

/// Parts one behind the other.
pub(crate) fn concat(parts: Vec<Vec<Series>>) -> Vec<Series> {
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or_default();
    parts.for_each(|part| all.extend(part));
    all
}

/// Sorts series by their labels.
pub(crate) fn sort_by_labels(series: &mut Vec<Series>) {
    if series.is_sorted_by(|one, two| one.labels <= two.labels) {
        return;
    }
    let labels: Vec<&Labels> = series.iter().map(|one| &one.labels).collect();
    let order = label_order(&labels);
    let mut unsorted: Vec<Option<Series>> = std::mem::take(series).into_iter().map(Some).collect();
    series.extend(order.into_iter().filter_map(|idx| unsorted[idx as usize].take()));
}

/// Value of a node at all steps.
#[derive(Debug)]
pub(crate) enum Value {
    Scalar(Vec<f64>),
    Vector(Vec<Series>),
    Text(Vec<u8>),
}
