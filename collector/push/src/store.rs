//! From labelled samples to the storage: series resolved, one batch appended.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use swell_model::{
    AppendError, AppendReport, Batch, ExemplarSample, HistogramSample, LabelledBatch,
    MetricDescription, Row, SampleSink, SeriesRef, TimestampMs,
};
use swell_otlp::Refused;

/// A series is forgotten between being found and being written to only when it had no sample for hours; so often
/// in a row something else is wrong.
const ATTEMPTS_MAX: usize = 3;
/// Descriptions of metric families that are known to be stored.
const DESCRIBED_MAX: usize = 100_000;

/// What became of a push.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Samples that are stored, exact repeats of what is there included.
    pub(crate) samples: usize,
    /// What is not.
    pub(crate) refused: Refused,
    /// Series of the batch that the storage takes no samples of, by their places.
    pub(crate) refused_series: Vec<u32>,
}

impl Stored {
    /// Counts another batch in; places of series are those of one batch and are left out.
    pub(crate) fn add(&mut self, other: Self) {
        self.samples += other.samples;
        let points = other.refused.points();
        if !other.refused.is_empty() {
            let text = other.refused.text();
            self.refused.add(points, || text);
        }
    }
}

/// The way into the storage.
pub(crate) struct Store {
    sink: Arc<dyn SampleSink>,
    /// Hashes of descriptions that are stored: senders repeat them with each request, and the log need not.
    described: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

impl Store {
    pub(crate) fn new(sink: Arc<dyn SampleSink>) -> Self {
        Self { sink, described: Mutex::default(), hasher: RandomState::new() }
    }

    /// Stores a batch; samples that the storage refuses are counted, the others stay.
    ///
    /// # Errors
    /// When nothing could be stored now: the sender shall try again.
    pub(crate) fn store(&self, batch: &LabelledBatch) -> Result<Stored, AppendError> {
        let mut attempt = 1;
        loop {
            match self.attempt(batch) {
                Err(AppendError::UnknownSeries(_)) if attempt < ATTEMPTS_MAX => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    fn attempt(&self, labelled: &LabelledBatch) -> Result<Stored, AppendError> {
        let mut stored = Stored::default();
        let series = resolve(&*self.sink, labelled, &mut stored.refused)?;
        let lost = (0..).zip(&series).filter(|(_, found)| found.is_none());
        stored.refused_series = lost.map(|(number, _)| number).collect();
        let reference = |number: u32| series[number as usize];
        let mut histograms: Vec<HistogramSample> = labelled
            .histograms
            .iter()
            .filter_map(|it| {
                let (timestamp, value, start_ms) = (it.timestamp, it.value.clone(), it.start_ms);
                Some(HistogramSample { series: reference(it.series)?, timestamp, value, start_ms })
            })
            .collect();
        histograms.sort_by_key(|histogram| histogram.timestamp);
        let exemplars = labelled.exemplars.iter().filter_map(|(series, exemplar)| {
            Some(ExemplarSample { series: reference(*series)?, exemplar: exemplar.clone() })
        });
        let batch = Batch {
            rows: rows(labelled, reference),
            histograms,
            exemplars: exemplars.collect(),
            descriptions: self.not_described(&labelled.descriptions),
            is_whole: false,
            in_order_only: false,
        };
        if batch.is_empty() {
            return Ok(stored);
        }
        let report = self.sink.append(&batch)?;
        self.remember(&batch.descriptions);
        stored.samples = batch.sample_count() - report.dropped();
        refuse_dropped(labelled, &series, &report, &mut stored.refused);
        Ok(stored)
    }

    fn key_of(&self, description: &MetricDescription) -> u64 {
        let MetricDescription { metric_name, metadata } = description;
        self.hasher.hash_one((metric_name, metadata.kind, &metadata.help, &metadata.unit))
    }

    fn not_described(&self, descriptions: &[MetricDescription]) -> Vec<MetricDescription> {
        let described = self.described.lock();
        let mut seen = HashSet::new();
        let is_new = |it: &&MetricDescription| {
            let key = self.key_of(it);
            !described.contains(&key) && seen.insert(key)
        };
        descriptions.iter().filter(is_new).cloned().collect()
    }

    fn remember(&self, descriptions: &[MetricDescription]) {
        let mut described = self.described.lock();
        if described.len() + descriptions.len() > DESCRIBED_MAX {
            described.clear();
        }
        described.extend(descriptions.iter().map(|it| self.key_of(it)));
    }
}

/// The storage's reference of each series; none for those that are refused.
fn resolve(
    sink: &dyn SampleSink,
    labelled: &LabelledBatch,
    refused: &mut Refused,
) -> Result<Vec<Option<SeriesRef>>, AppendError> {
    let mut series = Vec::with_capacity(labelled.series.len());
    let mut reasons = Vec::new();
    for labels in &labelled.series {
        series.push(match sink.resolve(labels) {
            Ok(found) => Some(found),
            Err(
                AppendError::Refused { series, reason }
                | AppendError::TooManySeries { series, reason },
            ) => {
                reasons.push(format!("{series}: {reason}"));
                None
            }
            Err(error) => return Err(error),
        });
    }
    if !reasons.is_empty() {
        let is_lost = |number: u32| series[number as usize].is_none();
        let lost = labelled.floats.iter().filter(|it| is_lost(it.series)).count()
            + labelled.histograms.iter().filter(|it| is_lost(it.series)).count();
        let first = reasons.swap_remove(0);
        refused.add(lost, || first);
    }
    Ok(series)
}

/// Float samples by time; of a series that has two at one time each stands in a row of its own.
fn rows(labelled: &LabelledBatch, reference: impl Fn(u32) -> Option<SeriesRef>) -> Vec<Row> {
    let mut samples: Vec<(TimestampMs, SeriesRef, f64, i64)> = labelled
        .floats
        .iter()
        .filter_map(|it| Some((it.timestamp, reference(it.series)?, it.value, it.start_ms)))
        .collect();
    // Stable, so that of two at one time the first stays the first.
    samples.sort_by_key(|(timestamp, series, ..)| (*timestamp, *series));
    let mut rows: Vec<Row> = Vec::new();
    let mut again: Vec<Row> = Vec::new();
    for (timestamp, series, value, start_ms) in samples {
        let is_again = rows
            .last()
            .is_some_and(|row| row.timestamp == timestamp && row.series.last() == Some(&series));
        let place = if is_again { &mut again } else { &mut rows };
        if is_again || place.last().is_none_or(|row| row.timestamp != timestamp) {
            place.push(Row { timestamp, ..Row::default() });
        }
        let row = place.last_mut().expect("there is one");
        if start_ms != 0 || !row.starts.is_empty() {
            row.starts.resize(row.series.len(), 0);
            row.starts.push(start_ms);
        }
        row.series.push(series);
        row.values.push(value);
    }
    rows.extend(again);
    rows
}

/// Adds what the storage dropped, in the words that clients of Prometheus know.
fn refuse_dropped(
    labelled: &LabelledBatch,
    series: &[Option<SeriesRef>],
    report: &AppendReport,
    refused: &mut Refused,
) {
    if report.dropped() == 0 {
        return;
    }
    let kinds = [
        ("out of order sample", report.out_of_order),
        ("duplicate sample for timestamp", report.conflicts),
        ("out of bounds: too old sample", report.too_old),
        ("out of bounds: sample too far in the future", report.too_new),
    ];
    let kinds: Vec<String> = kinds
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(words, count)| format!("{words} ({count} of them)"))
        .collect();
    let example = report.example.and_then(|dropped| {
        let found = series.iter().position(|it| *it == Some(dropped.series))?;
        Some(format!(", such as {} at {}", labelled.series[found], dropped.timestamp.0))
    });
    refused.add(report.dropped(), || kinds.join(", ") + &example.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use swell_model::{LabelledFloat, Labels};

    use super::*;

    #[test]
    fn each_row_has_a_series_once() {
        let mut labelled = LabelledBatch::default();
        for name in ["a", "b", "c"] {
            labelled.add_series(Labels::from_pairs([("__name__", name)]));
        }
        for (series, at, value, start_ms) in [
            (1, 20, 1.0, 0),
            (0, 10, 2.0, 5),
            (0, 20, 3.0, 0),
            (1, 20, 4.0, 0),
            (1, 20, 5.0, 0),
            (2, 20, 6.0, 0),
        ] {
            let timestamp = TimestampMs(at);
            labelled.floats.push(LabelledFloat { series, timestamp, value, start_ms });
        }
        // The last series is refused.
        let rows = rows(&labelled, |number| (number < 2).then_some(SeriesRef(u64::from(number))));
        let (a, b) = (SeriesRef(0), SeriesRef(1));
        let row = |at, series: &[SeriesRef], values: &[f64]| {
            Row::new(TimestampMs(at), series.to_vec(), values.to_vec())
        };
        let expected = [
            Row { starts: vec![5], ..row(10, &[a], &[2.0]) },
            row(20, &[a, b], &[3.0, 1.0]),
            row(20, &[b], &[4.0]),
            row(20, &[b], &[5.0]),
        ];
        assert_eq!(rows, expected);
    }
}
