//! Samples that came after a newer one of their series, or for a time that is in blocks: few, sorted by time, each
//! with its place in the log, so that those in a block can be told from those that came later.
//!
//! Of several samples of one series and time one counts, whatever the order they came in: a histogram before a
//! float; a number before a NaN, the staleness marker among these; the greater before the smaller. The same rule holds
//! where columns are merged, so replicas, restarts and compactions agree.

use std::cmp::Ordering;

use swell_model::{CounterResetHint, NativeHistogram};

use super::{HistogramPoint, HistogramSamples};
use crate::wal::Position;

#[derive(Clone, Copy, Debug)]
pub(crate) struct LateFloat {
    pub(crate) at_ms: i64,
    pub(crate) value: f64,
    pub(crate) start_ms: i64,
    pub(crate) position: Position,
}

#[derive(Clone, Debug)]
pub(crate) struct LateHistogram {
    pub(crate) at_ms: i64,
    pub(crate) point: HistogramPoint,
    pub(crate) position: Position,
}

/// What became of a late sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    New,
    Duplicate,
    /// Another one of that time was there; the one that wins is kept.
    Conflict,
}

/// Late samples of one series, each kind sorted by time.
#[derive(Debug, Default)]
pub(crate) struct LateSamples {
    floats: Vec<LateFloat>,
    histograms: Vec<LateHistogram>,
}

impl LateSamples {
    pub(crate) fn insert_float(&mut self, sample: LateFloat) -> Inserted {
        match self.floats.binary_search_by_key(&sample.at_ms, |known| known.at_ms) {
            Err(at) => {
                self.floats.insert(at, sample);
                Inserted::New
            }
            Ok(at) if self.floats[at].value.to_bits() == sample.value.to_bits() => {
                Inserted::Duplicate
            }
            Ok(at) => {
                if float_wins(sample.value, self.floats[at].value) {
                    self.floats[at] = sample;
                }
                Inserted::Conflict
            }
        }
    }

    pub(crate) fn insert_histogram(&mut self, sample: LateHistogram) -> Inserted {
        match self.histograms.binary_search_by_key(&sample.at_ms, |known| known.at_ms) {
            Err(at) => {
                self.histograms.insert(at, sample);
                Inserted::New
            }
            Ok(at) if same_histogram(&self.histograms[at].point.value, &sample.point.value) => {
                Inserted::Duplicate
            }
            Ok(at) => {
                if histogram_wins(&sample.point.value, &self.histograms[at].point.value) {
                    self.histograms[at] = sample;
                }
                Inserted::Conflict
            }
        }
    }

    /// Samples whose times rise.
    pub(crate) const fn of_sorted(floats: Vec<LateFloat>, histograms: Vec<LateHistogram>) -> Self {
        Self { floats, histograms }
    }

    pub(crate) fn floats(&self) -> &[LateFloat] {
        &self.floats
    }

    pub(crate) fn histograms(&self) -> &[LateHistogram] {
        &self.histograms
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    pub(crate) const fn count(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    pub(crate) const fn heap_bytes(&self) -> usize {
        self.floats.capacity() * size_of::<LateFloat>()
            + self.histograms.capacity() * size_of::<LateHistogram>()
    }

    /// Floats in the range, both ends included, as time, value, start timestamp.
    pub(crate) fn floats_in(&self, (from_ms, to_ms): (i64, i64)) -> Vec<(i64, f64, i64)> {
        let from = self.floats.partition_point(|sample| sample.at_ms < from_ms);
        let until = self.floats.partition_point(|sample| sample.at_ms <= to_ms);
        let inside = self.floats.get(from..until).unwrap_or_default();
        inside.iter().map(|sample| (sample.at_ms, sample.value, sample.start_ms)).collect()
    }

    /// Histograms in the range, both ends included.
    pub(crate) fn histograms_in(&self, (from_ms, to_ms): (i64, i64)) -> HistogramSamples {
        let from = self.histograms.partition_point(|sample| sample.at_ms < from_ms);
        let until = self.histograms.partition_point(|sample| sample.at_ms <= to_ms);
        let inside = self.histograms.get(from..until).unwrap_or_default();
        inside.iter().map(|sample| (sample.at_ms, sample.point.clone())).collect()
    }

    /// First and last time.
    pub(crate) fn span_ms(&self) -> Option<(i64, i64)> {
        let firsts = [
            self.floats.first().map(|sample| sample.at_ms),
            self.histograms.first().map(|sample| sample.at_ms),
        ];
        let lasts = [
            self.floats.last().map(|sample| sample.at_ms),
            self.histograms.last().map(|sample| sample.at_ms),
        ];
        Some((firsts.into_iter().flatten().min()?, lasts.into_iter().flatten().max()?))
    }

    /// The time of the first that is not before `from_ms`.
    pub(crate) fn first_from_ms(&self, from_ms: i64) -> Option<i64> {
        let float = self.floats.get(self.floats.partition_point(|known| known.at_ms < from_ms));
        let histogram = self.histograms.partition_point(|known| known.at_ms < from_ms);
        let histogram = self.histograms.get(histogram).map(|known| known.at_ms);
        float.map(|known| known.at_ms).into_iter().chain(histogram).min()
    }

    /// The place in the log of the oldest.
    pub(crate) fn oldest(&self) -> Option<Position> {
        let floats = self.floats.iter().map(|known| known.position);
        floats.chain(self.histograms.iter().map(|known| known.position)).min()
    }

    /// Forgets those of the times `[from_ms, below_ms)` that were logged up to `upto`; gives how many.
    pub(crate) fn forget(&mut self, (from_ms, below_ms): (i64, i64), upto: Position) -> usize {
        let before = self.count();
        let is_done = |at_ms: i64, position: Position| {
            (from_ms..below_ms).contains(&at_ms) && position <= upto
        };
        self.floats.retain(|sample| !is_done(sample.at_ms, sample.position));
        self.histograms.retain(|sample| !is_done(sample.at_ms, sample.position));
        if self.is_empty() {
            *self = Self::default();
        }
        before - self.count()
    }
}

/// Whether `new` counts before `known` for the same time.
pub(crate) fn float_wins(new: f64, known: f64) -> bool {
    let key = |value: f64| (!value.is_nan(), value);
    match key(new).0.cmp(&key(known).0) {
        Ordering::Equal => new.total_cmp(&known) == Ordering::Greater,
        other => other == Ordering::Greater,
    }
}

/// The same for histograms: the greater count, then sum, then buckets.
pub(crate) fn histogram_wins(new: &NativeHistogram, known: &NativeHistogram) -> bool {
    let scalars = |h: &NativeHistogram| [h.count, h.sum, h.zero_count, h.zero_threshold];
    let lists = |h: &NativeHistogram| {
        [h.positive_buckets.clone(), h.negative_buckets.clone(), h.custom_bounds.clone()].concat()
    };
    let spans = |h: &NativeHistogram| -> Vec<(i32, u32)> {
        let all = h.positive_spans.iter().chain(&h.negative_spans);
        all.map(|span| (span.offset, span.length)).collect()
    };
    let is_gauge = |h: &NativeHistogram| h.reset_hint == CounterResetHint::Gauge;
    // Staleness comes as a sum that is no number.
    let order = new.sum.is_nan().cmp(&known.sum.is_nan()).reverse();
    let order = order.then_with(|| cmp_floats(&scalars(new), &scalars(known)));
    let order = order.then_with(|| cmp_floats(&lists(new), &lists(known)));
    let order = order.then_with(|| spans(new).cmp(&spans(known)));
    let order = order.then_with(|| new.schema.cmp(&known.schema));
    let order = order.then_with(|| is_gauge(new).cmp(&is_gauge(known)));
    order == Ordering::Greater
}

fn cmp_floats(a: &[f64], b: &[f64]) -> Ordering {
    let differing = a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne());
    differing.unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// Equal bit for bit, so that a NaN equals itself; what a storage knows of resets does not count.
pub(crate) fn same_histogram(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    let lists_equal = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
    };
    let scalars =
        |h: &NativeHistogram| [h.zero_threshold, h.zero_count, h.count, h.sum].map(f64::to_bits);
    let is_gauge = |h: &NativeHistogram| h.reset_hint == CounterResetHint::Gauge;
    (a.schema, is_gauge(a), scalars(a)) == (b.schema, is_gauge(b), scalars(b))
        && (&a.positive_spans, &a.negative_spans) == (&b.positive_spans, &b.negative_spans)
        && lists_equal(&a.positive_buckets, &b.positive_buckets)
        && lists_equal(&a.negative_buckets, &b.negative_buckets)
        && lists_equal(&a.custom_bounds, &b.custom_bounds)
}

#[cfg(test)]
mod tests {
    use swell_model::stale_nan;

    use super::*;

    #[test]
    fn the_rule_for_one_time_is_a_total_order() {
        let rising = [stale_nan(), f64::NEG_INFINITY, -1.0, -0.0, 0.0, 1.0, f64::INFINITY];
        for (a_idx, a) in rising.iter().enumerate() {
            for (b_idx, b) in rising.iter().enumerate() {
                assert_eq!(float_wins(*a, *b), a_idx > b_idx, "{a} against {b}");
            }
        }
        let histogram =
            |count: f64, sum: f64| NativeHistogram { count, sum, ..NativeHistogram::default() };
        assert!(histogram_wins(&histogram(2.0, 1.0), &histogram(1.0, 5.0)));
        assert!(histogram_wins(&histogram(2.0, 3.0), &histogram(2.0, 1.0)));
        assert!(histogram_wins(&histogram(0.0, 1.0), &histogram(9.0, stale_nan())));
        let same = histogram(2.0, stale_nan());
        assert!(!histogram_wins(&same, &same) && same_histogram(&same, &same));
    }

    #[test]
    fn what_is_in_a_block_is_told_from_what_came_later() {
        let at = |record_nr| Position { segment_nr: 1, record_nr };
        let sample = |at_ms, value, record_nr| LateFloat {
            at_ms,
            value,
            start_ms: 0,
            position: at(record_nr),
        };
        let mut late = LateSamples::default();
        assert_eq!(late.insert_float(sample(5, 1.0, 1)), Inserted::New);
        assert_eq!(late.insert_float(sample(5, 1.0, 2)), Inserted::Duplicate);
        assert_eq!(late.insert_float(sample(3, 1.0, 3)), Inserted::New);
        assert_eq!(late.insert_float(sample(3, 2.0, 4)), Inserted::Conflict);
        assert_eq!(late.floats_in((0, 9)), [(3, 2.0, 0), (5, 1.0, 0)]);
        assert_eq!(late.forget((0, 9), at(3)), 1);
        assert_eq!(late.floats_in((0, 9)), [(3, 2.0, 0)]);
        assert_eq!(late.forget((4, 9), at(9)), 0);
        assert_eq!(late.span_ms(), Some((3, 3)));
    }
}
