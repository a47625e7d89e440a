//! A storage in memory that is strict about its contract.

use std::collections::{BTreeMap, HashSet};

use parking_lot::Mutex;
use swell_model::{
    AppendError, AppendReport, Batch, Exemplar, HistogramSample, Labels, MetricMetadata,
    SampleSink, SeriesRef, is_stale_nan,
};

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    series: Vec<Series>,
    resolved: usize,
    described: BTreeMap<String, MetricMetadata>,
    exemplars: Vec<(String, Exemplar)>,
    histograms: Vec<(String, HistogramSample)>,
    /// Series that may be known; 0 for any number.
    series_max: usize,
    read_only: bool,
}

#[derive(Debug)]
struct Series {
    labels: Labels,
    samples: Vec<(i64, f64)>,
    forgotten: bool,
}

impl Memory {
    /// Samples of the series printed as `labels`, in order.
    pub(super) fn samples(&self, labels: &str) -> Vec<(i64, f64)> {
        let inner = self.0.lock();
        let found = inner.series.iter().filter(|series| series.labels.to_string() == labels);
        found.flat_map(|series| series.samples.clone()).collect()
    }

    /// Its values as text, markers as `stale`.
    pub(super) fn values(&self, labels: &str) -> Vec<String> {
        let shown =
            |value: f64| if is_stale_nan(value) { "stale".into() } else { value.to_string() };
        self.samples(labels).into_iter().map(|(_, value)| shown(value)).collect()
    }

    /// The newest value as text.
    pub(super) fn last(&self, labels: &str) -> Option<String> {
        self.values(labels).pop()
    }

    /// All series that have samples, printed.
    pub(super) fn names(&self) -> Vec<String> {
        let inner = self.0.lock();
        let stored = inner.series.iter().filter(|series| !series.samples.is_empty());
        let mut names: Vec<_> = stored.map(|series| series.labels.to_string()).collect();
        names.sort();
        names
    }

    /// How often labels were resolved.
    pub(super) fn resolved(&self) -> usize {
        self.0.lock().resolved
    }

    /// Exemplars by the printed labels of their series.
    pub(super) fn exemplars(&self) -> Vec<(String, Exemplar)> {
        self.0.lock().exemplars.clone()
    }

    /// Histograms by the printed labels of their series.
    pub(super) fn histograms(&self) -> Vec<(String, HistogramSample)> {
        self.0.lock().histograms.clone()
    }

    /// Refuses new series beyond so many from now on; 0 for any number.
    pub(super) fn limit_series(&self, series_max: usize) {
        self.0.lock().series_max = series_max;
    }

    pub(super) fn described(&self, family: &str) -> Option<MetricMetadata> {
        self.0.lock().described.get(family).cloned()
    }

    /// References given so far become unknown, as after a clean-up of the storage.
    pub(super) fn forget(&self) {
        for series in &mut self.0.lock().series {
            series.forgotten = true;
        }
    }

    /// The same of the series of one metric.
    pub(super) fn forget_named(&self, name: &str) {
        for series in &mut self.0.lock().series {
            series.forgotten |= series.labels.metric_name() == Some(name);
        }
    }

    pub(super) fn read_only(&self) {
        self.0.lock().read_only = true;
    }
}

impl SampleSink for Memory {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        let mut inner = self.0.lock();
        inner.resolved += 1;
        let known = |series: &Series| !series.forgotten && series.labels == *labels;
        let is_full = inner.series_max > 0 && inner.series.len() >= inner.series_max;
        if is_full && !inner.series.iter().any(known) {
            let (series, reason) = (labels.to_string(), "there is no room".to_owned());
            return Err(AppendError::TooManySeries { series, reason });
        }
        let idx = inner.series.iter().position(known).unwrap_or_else(|| {
            let labels = labels.clone();
            inner.series.push(Series { labels, samples: Vec::new(), forgotten: false });
            inner.series.len() - 1
        });
        Ok(SeriesRef(idx as u64))
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        let mut inner = self.0.lock();
        if inner.read_only {
            return Err(AppendError::ReadOnly { reason: "no space".to_owned() });
        }
        let mut seen = HashSet::new();
        for row in &batch.rows {
            assert_eq!(row.series.len(), row.values.len());
            for series in &row.series {
                assert!(seen.insert((row.timestamp, *series)), "a series twice in a row");
                let idx = usize::try_from(series.0).expect("made by resolve");
                if inner.series[idx].forgotten {
                    return Err(AppendError::UnknownSeries(*series));
                }
            }
        }
        for description in &batch.descriptions {
            let (name, metadata) = (description.metric_name.clone(), description.metadata.clone());
            inner.described.insert(name, metadata);
        }
        for sample in &batch.exemplars {
            let idx = usize::try_from(sample.series.0).expect("made by resolve");
            let series = inner.series[idx].labels.to_string();
            inner.exemplars.push((series, sample.exemplar.clone()));
        }
        let mut report = AppendReport::default();
        for sample in &batch.histograms {
            let idx = usize::try_from(sample.series.0).expect("made by resolve");
            let series = inner.series[idx].labels.to_string();
            inner.histograms.push((series, sample.clone()));
            report.stored += 1;
        }
        for row in &batch.rows {
            for (series, value) in row.series.iter().zip(&row.values) {
                let idx = usize::try_from(series.0).expect("made by resolve");
                let samples = &mut inner.series[idx].samples;
                let at = row.timestamp.0;
                let place = samples.partition_point(|(time, _)| *time < at);
                let after = samples.get(place).map(|(time, _)| *time);
                if after == Some(at) || (after.is_some() && batch.in_order_only) {
                    report.out_of_order += 1;
                } else {
                    samples.insert(place, (at, *value));
                    report.stored += 1;
                }
            }
        }
        Ok(report)
    }
}
