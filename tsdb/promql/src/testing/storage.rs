//! Where scripts load to and queries read from.

use std::collections::BTreeMap;
use std::sync::Arc;

use locked::Lock;
use swell_model::{
    Batch, FloatColumn, GroupedIter, Grouping, HistogramColumn, HistogramSample, Labels,
    LabelsIter, Matcher, NativeHistogram, Row, SampleSink, SampleValue, SelectError, SelectHints,
    SelectedGroups, SeriesData, SeriesIter, SeriesSource, Split, TimeRange, TimestampMs,
};

/// One sample of a `load`.
#[derive(Clone, Debug)]
pub struct LoadedSample {
    /// When.
    pub timestamp: TimestampMs,
    /// What.
    pub value: SampleValue,
    /// Start timestamp, 0 when there is none.
    pub start_ms: i64,
}

/// One series of a `load`.
#[derive(Clone, Debug)]
pub struct LoadedSeries {
    /// Full label set.
    pub labels: Labels,
    /// Samples, times rising.
    pub samples: Vec<LoadedSample>,
}

/// A storage that scripts can load to.
pub trait TestStorage {
    /// Appends all samples of a `load` together.
    ///
    /// # Errors
    /// What the storage refused, as text.
    fn append(&self, series: &[LoadedSeries]) -> Result<(), String>;

    /// What queries read.
    fn source(&self) -> &dyn SeriesSource;
}

/// Makes an empty storage.
pub type StorageFactory<'a> = &'a dyn Fn() -> Result<Box<dyn TestStorage>, String>;

/// Makes an empty storage in memory that keeps everything a script can load.
///
/// # Errors
/// None; the type is that of a [`StorageFactory`].
pub fn memory_storage() -> Result<Box<dyn TestStorage>, String> {
    Ok(Box::new(MemoryStorage::default()))
}

/// Appends a `load` through a [`SampleSink`]: what a factory over a real engine needs.
///
/// # Errors
/// What the sink refused, as text.
pub fn append_batch(sink: &dyn SampleSink, series: &[LoadedSeries]) -> Result<(), String> {
    let mut by_time: BTreeMap<TimestampMs, (Row, Vec<HistogramSample>)> = BTreeMap::new();
    let mut mixed = false;
    for one in series {
        let reference = sink.resolve(&one.labels).map_err(|error| error.to_string())?;
        let is_float = |sample: &LoadedSample| matches!(sample.value, SampleValue::Float(_));
        mixed |= one.samples.iter().any(is_float) && !one.samples.iter().all(is_float);
        for sample in &one.samples {
            let timestamp = sample.timestamp;
            let (row, histograms) = by_time.entry(timestamp).or_default();
            row.timestamp = timestamp;
            match &sample.value {
                SampleValue::Float(value) => {
                    row.series.push(reference);
                    row.values.push(*value);
                    row.starts.push(sample.start_ms);
                }
                SampleValue::Histogram(value) => histograms.push(HistogramSample {
                    series: reference,
                    timestamp,
                    value: Arc::clone(value),
                    start_ms: sample.start_ms,
                }),
            }
        }
    }
    // A sink takes the floats of a batch before its histograms: where one series has both, each time goes by itself.
    if mixed {
        return by_time.into_values().try_for_each(|(row, histograms)| {
            append_all(sink, Batch { rows: vec![row], histograms, ..Batch::default() })
        });
    }
    let mut batch = Batch::default();
    for (row, histograms) in by_time.into_values() {
        batch.rows.push(row);
        batch.histograms.extend(histograms);
    }
    append_all(sink, batch)
}

fn append_all(sink: &dyn SampleSink, mut batch: Batch) -> Result<(), String> {
    batch.rows.retain(|row| !row.series.is_empty());
    let wanted = batch.sample_count();
    let report = sink.append(&batch).map_err(|error| error.to_string())?;
    if report.stored + report.duplicates < wanted {
        return Err(format!("of {wanted} samples only {} were stored: {report:?}", report.stored));
    }
    Ok(())
}

/// Samples of one series by time.
type Samples = BTreeMap<i64, LoadedSample>;

#[derive(Default)]
struct MemoryStorage {
    series: Lock<BTreeMap<Labels, Samples>>,
}

impl TestStorage for MemoryStorage {
    fn append(&self, series: &[LoadedSeries]) -> Result<(), String> {
        self.series.with(|stored| {
            for one in series {
                let samples = stored.entry(one.labels.clone()).or_default();
                for sample in &one.samples {
                    samples.insert(sample.timestamp.0, sample.clone());
                }
            }
        });
        Ok(())
    }

    fn source(&self) -> &dyn SeriesSource {
        self
    }
}

fn matches(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or("")))
}

impl SeriesSource for MemoryStorage {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let selected = self.series.with(|stored| {
            stored
                .iter()
                .filter(|(labels, _)| matches(matchers, labels))
                .map(|(labels, samples)| columns(labels, samples, hints.range))
                .filter(|data| !data.floats.values.is_empty() || !data.histograms.values.is_empty())
                .map(Ok)
                .collect::<Vec<_>>()
        });
        Ok(Box::new(selected.into_iter()))
    }

    fn select_parts<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        split: Split,
    ) -> Result<Vec<SeriesIter<'a>>, SelectError> {
        let selected: Vec<_> = self.select(matchers, hints)?.collect::<Result<_, _>>()?;
        let part = |series: &[SeriesData]| -> SeriesIter<'a> {
            let series: Vec<SeriesData> = series.to_vec();
            Box::new(series.into_iter().map(Ok))
        };
        Ok(selected.chunks(split.part_len(selected.len())).map(part).collect())
    }

    fn select_grouped<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        grouping: Grouping<'_>,
        split: Split,
    ) -> Result<Option<SelectedGroups<'a>>, SelectError> {
        let mut groups: Vec<Labels> = Vec::new();
        let mut selected = Vec::new();
        for series in self.select(matchers, hints)? {
            let SeriesData { labels, floats, histograms, .. } = series?;
            let group = labels.filtered(|name| grouping.keeps(name));
            let known = groups.iter().position(|other| *other == group);
            let idx = known.unwrap_or(groups.len());
            if known.is_none() {
                groups.push(group);
            }
            let idx = u32::try_from(idx).expect("few groups");
            selected.push((idx, SeriesData { floats, histograms, ..SeriesData::default() }));
        }
        let part = |series: &[(u32, SeriesData)]| -> GroupedIter<'a> {
            let series: Vec<(u32, SeriesData)> = series.to_vec();
            Box::new(series.into_iter().map(Ok))
        };
        let parts = selected.chunks(split.part_len(selected.len())).map(part).collect();
        Ok(Some(SelectedGroups { groups: groups.into(), parts }))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        Ok(self.series.with(|stored| {
            let matching = stored.keys().filter(|labels| matches(matchers, labels));
            let names = matching.flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned()));
            names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
        }))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        Ok(self.series.with(|stored| {
            let matching = stored.keys().filter(|labels| matches(matchers, labels));
            let values = matching.filter_map(|labels| labels.get(name).map(str::to_owned));
            values.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
        }))
    }
}

/// The samples of a series inside a range. Histograms get the reset hint that a storage gives them, which depends on
/// the sample before.
fn columns(labels: &Labels, samples: &Samples, range: TimeRange) -> SeriesData {
    let mut data = SeriesData { labels: labels.clone(), ..SeriesData::default() };
    let (mut times, mut values, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    let mut histograms = HistogramColumn::default();
    let mut histogram_starts = Vec::new();
    let mut before: Option<Arc<NativeHistogram>> = None;
    for (at, sample) in samples {
        let inside = range.contains(TimestampMs(*at));
        match &sample.value {
            SampleValue::Float(value) => {
                before = None;
                if inside {
                    times.push(*at);
                    values.push(*value);
                    starts.push(sample.start_ms);
                }
            }
            SampleValue::Histogram(value) => {
                if inside {
                    let reset_hint = value.hint_after(before.as_deref());
                    histograms.timestamps.push(*at);
                    let stored = NativeHistogram { reset_hint, ..NativeHistogram::clone(value) };
                    histograms.values.push(Arc::new(stored));
                    histogram_starts.push(sample.start_ms);
                }
                before = Some(Arc::clone(value));
            }
        }
    }
    let any = |starts: &[i64]| starts.iter().any(|start| *start != 0);
    data.floats = FloatColumn {
        timestamps: times.into(),
        values: values.into(),
        starts: any(&starts).then(|| starts.into()),
    };
    histograms.starts = any(&histogram_starts).then_some(histogram_starts);
    data.histograms = histograms;
    data
}

mod locked {
    //! A mutex for the single-threaded test storage that outlives a panic of another test.

    use std::sync::{Mutex, PoisonError};

    #[derive(Default)]
    pub(super) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        pub(super) fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
            run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }
}
