//! Points that count from the one before on, summed up: what each series has so far is kept, within bounds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use swell_model::{DurationMs, LabelledBatch, Labels, NativeHistogram, TimestampMs, is_stale_nan};

use crate::refused::Refused;

/// Numbers that are kept: a series has one, a histogram one more for each bucket, bound and span.
const NUMBERS_MAX: usize = 1 << 20;
/// Bytes of the labels of the series that are kept.
const LABEL_BYTES_MAX: usize = 256 << 20;
/// A series that came so long ago is forgotten; should it come again, it starts anew.
const STALE_AFTER: DurationMs = DurationMs::from_secs(300);
/// What is stale is looked for this often.
const SWEEP_INTERVAL: DurationMs = DurationMs::from_secs(60);

/// What each series has so far.
#[derive(Debug, Default)]
pub struct Accumulator {
    series: HashMap<Labels, Total>,
    numbers: usize,
    label_bytes: usize,
    swept: Option<TimestampMs>,
}

#[derive(Clone, Debug)]
struct Total {
    value: Value,
    start_ms: i64,
    last: TimestampMs,
    seen: TimestampMs,
}

#[derive(Clone, Debug)]
enum Value {
    Float(f64),
    Histogram(Arc<NativeHistogram>),
}

impl Value {
    fn numbers(&self) -> usize {
        match self {
            Self::Float(_) => 1,
            Self::Histogram(it) => {
                let buckets = it.positive_buckets.len() + it.negative_buckets.len();
                let spans = it.positive_spans.len() + it.negative_spans.len();
                1 + buckets + spans + it.custom_bounds.len()
            }
        }
    }
}

/// What was there before, to be put back when the sums are not stored: the sender then sends the same points again.
#[derive(Debug, Default)]
#[must_use = "what is not stored must be undone"]
pub struct Undo(Vec<(Labels, Option<Total>)>);

impl Accumulator {
    /// Puts the sum so far in the place of each value. Points that are not newer than the last one of their series
    /// are taken out and counted: they may be in the sum already.
    pub fn sum_up(
        &mut self,
        batch: &mut LabelledBatch,
        now: TimestampMs,
        refused: &mut Refused,
    ) -> Undo {
        self.sweep(now);
        let mut undo = Undo::default();
        let LabelledBatch { series, floats, histograms, .. } = batch;
        floats.sort_by_key(|sample| sample.timestamp);
        floats.retain_mut(|sample| {
            let labels = &series[sample.series as usize];
            if is_stale_nan(sample.value) {
                self.forget(labels, &mut undo);
                return true;
            }
            let point = Total {
                value: Value::Float(sample.value),
                start_ms: sample.start_ms,
                last: sample.timestamp,
                seen: now,
            };
            match self.add(labels, point, &mut undo) {
                Ok(Total { value: Value::Float(value), start_ms, .. }) => {
                    (sample.value, sample.start_ms) = (*value, *start_ms);
                    true
                }
                Ok(_) => unreachable!("what is added keeps its kind"),
                Err(why) => {
                    refused.add(1, || format!("{labels}: {why}"));
                    false
                }
            }
        });
        histograms.sort_by_key(|sample| sample.timestamp);
        histograms.retain_mut(|sample| {
            let labels = &series[sample.series as usize];
            if is_stale_nan(sample.value.sum) {
                self.forget(labels, &mut undo);
                return true;
            }
            let point = Total {
                value: Value::Histogram(sample.value.clone()),
                start_ms: sample.start_ms,
                last: sample.timestamp,
                seen: now,
            };
            match self.add(labels, point, &mut undo) {
                Ok(Total { value: Value::Histogram(value), start_ms, .. }) => {
                    (sample.value, sample.start_ms) = (value.clone(), *start_ms);
                    true
                }
                Ok(_) => unreachable!("what is added keeps its kind"),
                Err(why) => {
                    refused.add(1, || format!("{labels}: {why}"));
                    false
                }
            }
        });
        undo
    }

    /// Puts back what was there before.
    pub fn undo(&mut self, undo: Undo) {
        for (labels, before) in undo.0.into_iter().rev() {
            self.put(labels, before);
        }
    }

    /// Puts back what was there before for these series only: those that the storage does not take would fill the room
    /// of others.
    pub fn undo_series(&mut self, undo: Undo, series: &HashSet<&Labels>) {
        let refused = undo.0.into_iter().filter(|(labels, _)| series.contains(labels));
        self.undo(Undo(refused.collect()));
    }

    /// Number of series whose sums are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether none are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Sets what a series has; gives what it had.
    fn put(&mut self, labels: Labels, total: Option<Total>) -> Option<Total> {
        self.numbers += total.as_ref().map_or(0, |total| total.value.numbers());
        let (label_bytes, is_kept) = (labels.text_bytes(), total.is_some());
        let before = match total {
            Some(total) => self.series.insert(labels, total),
            None => self.series.remove(&labels),
        };
        self.numbers -= before.as_ref().map_or(0, |total| total.value.numbers());
        match (before.is_some(), is_kept) {
            (false, true) => self.label_bytes += label_bytes,
            (true, false) => self.label_bytes -= label_bytes,
            _ => {}
        }
        before
    }

    fn forget(&mut self, labels: &Labels, undo: &mut Undo) {
        let before = self.put(labels.clone(), None);
        undo.0.push((labels.clone(), before));
    }

    fn add(
        &mut self,
        labels: &Labels,
        point: Total,
        undo: &mut Undo,
    ) -> Result<&Total, &'static str> {
        let before = self.series.get(labels);
        let summed = match before {
            Some(before) if point.last <= before.last => {
                return Err("a delta point is not newer than the last one of its series");
            }
            Some(before) => Total { start_ms: before.start_ms, ..point.behind(&before.value) },
            None => point,
        };
        let room = NUMBERS_MAX - self.numbers + before.map_or(0, |it| it.value.numbers());
        let has_label_room =
            before.is_some() || labels.text_bytes() <= LABEL_BYTES_MAX - self.label_bytes;
        if summed.value.numbers() > room || !has_label_room {
            return Err(
                "too many series of delta temporality are summed up here: send cumulative points",
            );
        }
        let before = self.put(labels.clone(), Some(summed));
        undo.0.push((labels.clone(), before));
        Ok(&self.series[labels])
    }

    fn sweep(&mut self, now: TimestampMs) {
        let is_due =
            self.swept.is_none_or(|swept| now.0 - swept.0 >= SWEEP_INTERVAL.0 || now < swept);
        if !is_due {
            return;
        }
        self.swept = Some(now);
        self.series.retain(|_, total| now.0 - total.seen.0 < STALE_AFTER.0);
        self.numbers = self.series.values().map(|total| total.value.numbers()).sum();
        self.label_bytes = self.series.keys().map(Labels::text_bytes).sum();
    }
}

impl Total {
    /// With what was counted before. What cannot be added, since buckets do not line up or the kind is another, starts
    /// anew.
    fn behind(self, before: &Value) -> Self {
        let value = match (before, self.value) {
            (Value::Float(before), Value::Float(point)) => Value::Float(before + point),
            (Value::Histogram(before), Value::Histogram(point)) => {
                let is_same_kind = before.uses_custom_buckets() == point.uses_custom_buckets()
                    && before.custom_bounds == point.custom_bounds;
                match before.added(&point) {
                    Ok((sum, _)) if is_same_kind => Value::Histogram(Arc::new(sum)),
                    _ => Value::Histogram(point),
                }
            }
            (_, value) => value,
        };
        Self { value, ..self }
    }
}

#[cfg(test)]
mod tests {
    use swell_model::{LabelledFloat, LabelledHistogram, Span, stale_nan};

    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    fn floats(points: &[(i64, f64)]) -> LabelledBatch {
        let mut batch = LabelledBatch::default();
        let series = batch.add_series(labels("m"));
        batch.floats = points
            .iter()
            .map(|(at, value)| LabelledFloat {
                series,
                timestamp: TimestampMs(*at),
                value: *value,
                start_ms: at - 10,
            })
            .collect();
        batch
    }

    fn step(
        sums: &mut Accumulator,
        points: &[(i64, f64)],
        now: i64,
    ) -> (Vec<(i64, f64, i64)>, usize) {
        let (mut batch, mut refused) = (floats(points), Refused::default());
        drop(sums.sum_up(&mut batch, TimestampMs(now), &mut refused));
        let left = batch.floats.iter().map(|it| (it.timestamp.0, it.value, it.start_ms));
        (left.collect(), refused.points())
    }

    #[test]
    fn points_are_summed_in_the_order_of_time_and_once() {
        let mut sums = Accumulator::default();
        assert_eq!(
            step(&mut sums, &[(30, 2.0), (20, 1.0)], 30),
            (vec![(20, 1.0, 10), (30, 3.0, 10)], 0)
        );
        assert_eq!(step(&mut sums, &[(30, 5.0), (40, 4.0)], 40), (vec![(40, 7.0, 10)], 1));
        // What has ended starts anew.
        let (ended, _) = step(&mut sums, &[(50, stale_nan())], 50);
        assert!(ended[0].1.is_nan() && sums.is_empty());
        assert_eq!(step(&mut sums, &[(60, 1.0)], 60).0, [(60, 1.0, 50)]);
    }

    #[test]
    fn what_was_not_stored_is_undone() {
        let mut sums = Accumulator::default();
        step(&mut sums, &[(20, 1.0)], 20);
        let (mut batch, mut refused) = (floats(&[(30, 2.0), (40, 3.0)]), Refused::default());
        let undo = sums.sum_up(&mut batch, TimestampMs(40), &mut refused);
        sums.undo(undo);
        assert_eq!(step(&mut sums, &[(30, 2.0), (40, 3.0)], 40).0, [(30, 3.0, 10), (40, 6.0, 10)]);
        assert_eq!(sums.numbers, 1);
    }

    #[test]
    fn series_are_forgotten_when_they_do_not_come() {
        let mut sums = Accumulator::default();
        step(&mut sums, &[(1000, 1.0)], 1000);
        step(&mut sums, &[(2000, 1.0)], 400_000);
        assert_eq!(step(&mut sums, &[(3000, 1.0)], 400_001).0[0].1, 2.0, "seen again in time");
        let later = 400_001 + STALE_AFTER.0;
        assert_eq!(step(&mut sums, &[(4000, 1.0)], later).0[0].1, 1.0);
    }

    #[test]
    fn more_numbers_than_are_kept_are_refused() {
        let mut sums = Accumulator { numbers: NUMBERS_MAX - 1, ..Accumulator::default() };
        sums.swept = Some(TimestampMs(0));
        assert_eq!(step(&mut sums, &[(10, 1.0)], 0).1, 0);
        let mut batch = floats(&[(10, 1.0)]);
        batch.series[0] = labels("another");
        let mut refused = Refused::default();
        drop(sums.sum_up(&mut batch, TimestampMs(0), &mut refused));
        assert!(
            batch.floats.is_empty() && refused.text().contains("too many series"),
            "{refused:?}"
        );
    }

    #[test]
    fn labels_take_room_too() {
        let len = labels("m").text_bytes();
        let mut sums = Accumulator { label_bytes: LABEL_BYTES_MAX - len, ..Accumulator::default() };
        sums.swept = Some(TimestampMs(0));
        assert_eq!(step(&mut sums, &[(10, 1.0)], 0).1, 0);
        assert_eq!(step(&mut sums, &[(20, 1.0)], 0).1, 0, "it has its room");
        let mut batch = floats(&[(10, 1.0)]);
        batch.series[0] = labels("n");
        let mut refused = Refused::default();
        drop(sums.sum_up(&mut batch, TimestampMs(0), &mut refused));
        assert!(
            batch.floats.is_empty() && refused.text().contains("too many series"),
            "{refused:?}"
        );
        step(&mut sums, &[(30, stale_nan())], 0);
        assert_eq!(sums.label_bytes, LABEL_BYTES_MAX - len, "what has ended gives its room back");
    }

    #[test]
    fn refused_series_are_taken_back_and_others_stay() {
        let mut sums = Accumulator::default();
        let mut batch = floats(&[(10, 1.0), (20, 2.0)]);
        let lost = batch.add_series(labels("lost"));
        batch.floats.extend([10, 20].map(|at| LabelledFloat {
            series: lost,
            timestamp: TimestampMs(at),
            value: 1.0,
            start_ms: 0,
        }));
        let undo = sums.sum_up(&mut batch, TimestampMs(20), &mut Refused::default());
        assert_eq!(sums.len(), 2);
        sums.undo_series(undo, &HashSet::from([&labels("lost")]));
        assert_eq!((sums.len(), sums.numbers, sums.label_bytes), (1, 1, labels("m").text_bytes()));
        assert_eq!(step(&mut sums, &[(30, 4.0)], 30).0[0].1, 7.0);
    }

    #[test]
    fn histograms_are_summed_bucket_by_bucket() {
        let histogram = |index: i32, count: f64| {
            Arc::new(NativeHistogram {
                count,
                sum: count,
                positive_spans: vec![Span { offset: index, length: 1 }],
                positive_buckets: vec![count],
                ..NativeHistogram::default()
            })
        };
        let mut sums = Accumulator::default();
        let mut batch = LabelledBatch::default();
        let series = batch.add_series(labels("h"));
        for (at, value) in [(10, histogram(1, 2.0)), (20, histogram(5, 3.0))] {
            let timestamp = TimestampMs(at);
            batch.histograms.push(LabelledHistogram { series, timestamp, value, start_ms: 5 });
        }
        drop(sums.sum_up(&mut batch, TimestampMs(20), &mut Refused::default()));
        let last = &batch.histograms[1].value;
        assert_eq!((last.count, last.positive_buckets.len()), (5.0, 2));
        assert_eq!(sums.numbers, 5, "itself, two buckets, two spans");
    }
}
