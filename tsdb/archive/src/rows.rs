//! Rows of decoded columns, and the series that they become.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use swell_model::{FloatColumn, HistogramColumn, Labels, NativeHistogram, SeriesData};

use crate::columns::{HISTOGRAM, START, TIMESTAMP, VALUE};
use crate::decode::{DecodeError, Wanted, form, missing};
use crate::histograms;

/// Collects samples of series in the order of the files.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    series: HashMap<Labels, Columns>,
    pub(crate) sample_count: usize,
}

/// Samples, each with its start or 0.
#[derive(Debug, Default)]
struct Columns {
    times: Vec<i64>,
    values: Vec<(f64, i64)>,
    histogram_times: Vec<i64>,
    histograms: Vec<(Arc<NativeHistogram>, i64)>,
}

/// The columns of samples of a batch.
pub(crate) struct Rows<'a> {
    times: &'a [i64],
    starts: Option<&'a TimestampMillisecondArray>,
    values: Option<&'a Float64Array>,
    histograms: Option<histograms::Reader<'a>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(batch: &'a RecordBatch) -> Result<Self, DecodeError> {
        let times = |name: &str| {
            batch
                .column_by_name(name)
                .map(|it| {
                    it.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(|| missing(name))
                })
                .transpose()
        };
        let histograms = batch.column_by_name(HISTOGRAM);
        let reader = |column: &'a ArrayRef| {
            column
                .as_struct_opt()
                .and_then(histograms::Reader::new)
                .ok_or_else(|| missing(HISTOGRAM))
        };
        Ok(Self {
            times: times(TIMESTAMP)?.ok_or_else(|| missing(TIMESTAMP))?.values(),
            starts: times(START)?,
            values: batch
                .column_by_name(VALUE)
                .map(|it| it.as_primitive_opt().ok_or_else(|| missing(VALUE)))
                .transpose()?,
            histograms: histograms.map(reader).transpose()?,
        })
    }

    /// Adds the rows of one series that lie in the range.
    pub(crate) fn add(
        &self,
        rows: std::ops::Range<usize>,
        wanted: Wanted<'_>,
        labels: &Labels,
        into: &mut Collected,
    ) -> Result<(), DecodeError> {
        let (from_ms, to_ms) = (wanted.range.start_incl.0, wanted.range.end_incl.0);
        let is_wanted = |row: &usize| (from_ms..=to_ms).contains(&self.times[*row]);
        if wanted.labels_only {
            if rows.clone().any(|row| is_wanted(&row)) {
                into.note(labels.clone());
            }
            return Ok(());
        }
        let start = |row: usize| {
            self.starts.filter(|starts| starts.is_valid(row)).map_or(0, |starts| starts.value(row))
        };
        let mut found = Columns::default();
        for row in rows.filter(is_wanted) {
            if let Some(values) = self.values.filter(|values| values.is_valid(row)) {
                found.times.push(self.times[row]);
                found.values.push((values.value(row), start(row)));
            } else if let Some(histograms) = self.histograms.as_ref().filter(|it| it.has(row)) {
                let histogram = histograms.get(row).ok_or_else(|| {
                    form(format!("the histogram of {labels} at {} is not whole", self.times[row]))
                })?;
                found.histogram_times.push(self.times[row]);
                found.histograms.push((Arc::new(histogram), start(row)));
            }
        }
        let count = found.times.len() + found.histogram_times.len();
        if count > 0 {
            into.sample_count += count;
            match into.series.get_mut(labels) {
                Some(columns) => columns.append(found),
                None => drop(into.series.insert(labels.clone(), found)),
            }
        }
        Ok(())
    }
}

/// A column of label values.
pub(crate) enum Text<'a> {
    Dictionary(&'a arrow_array::Int32Array, &'a StringArray),
    Plain(&'a StringArray),
}

impl<'a> Text<'a> {
    pub(crate) fn new(column: &'a dyn Array) -> Option<Self> {
        if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
            let values = dictionary.values().as_string_opt()?;
            return Some(Self::Dictionary(dictionary.keys(), values));
        }
        column.as_string_opt().map(Self::Plain)
    }

    /// The value of a row; NULL and the empty text are both "no label".
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Dictionary(keys, values) => {
                let key = keys.is_valid(row).then(|| keys.value(row))?;
                Some(values.value(usize::try_from(key).ok()?))
            }
            Self::Plain(values) => values.is_valid(row).then(|| values.value(row)),
        }
    }

    /// Marks the rows that differ from the row before.
    fn mark_changes(&self, changes: &mut [bool]) {
        let differs = |row: usize| match self {
            Self::Dictionary(keys, _) => {
                let (now, before) = (keys.is_valid(row), keys.is_valid(row - 1));
                now != before || (now && keys.value(row) != keys.value(row - 1))
            }
            Self::Plain(_) => self.get(row) != self.get(row - 1),
        };
        for (row, change) in changes.iter_mut().enumerate().skip(1) {
            *change |= differs(row);
        }
    }
}

/// First row, and the one after the last, of each run of rows with the same labels.
pub(crate) fn runs(columns: &[Text<'_>], row_count: usize) -> Vec<(usize, usize)> {
    let mut changes = vec![false; row_count];
    columns.iter().for_each(|text| text.mark_changes(&mut changes));
    let mut runs = Vec::new();
    let mut first = 0;
    for (row, changed) in changes.iter().enumerate() {
        if *changed {
            runs.push((first, row));
            first = row;
        }
    }
    if row_count > 0 {
        runs.push((first, row_count));
    }
    runs
}

impl Columns {
    fn append(&mut self, mut more: Self) {
        self.times.append(&mut more.times);
        self.values.append(&mut more.values);
        self.histogram_times.append(&mut more.histogram_times);
        self.histograms.append(&mut more.histograms);
    }
}

impl Collected {
    /// A series that is there, whatever its samples.
    pub(crate) fn note(&mut self, labels: Labels) {
        self.series.entry(labels).or_default();
    }

    /// The series, sorted by labels, their times rising; of several samples at one time the last counts.
    pub(crate) fn into_series(self) -> Vec<SeriesData> {
        let mut series: Vec<SeriesData> = self
            .series
            .into_iter()
            .map(|(labels, columns)| {
                let (times, values, starts) = rising(columns.times, columns.values);
                let (timestamps, histograms, histogram_starts) =
                    rising(columns.histogram_times, columns.histograms);
                SeriesData {
                    labels,
                    floats: FloatColumn {
                        timestamps: times.into(),
                        values: values.into(),
                        starts: starts.map(Into::into),
                    },
                    histograms: HistogramColumn {
                        timestamps,
                        values: histograms,
                        starts: histogram_starts,
                    },
                    ..SeriesData::default()
                }
            })
            .collect();
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        series
    }
}

/// Times that rise, values, and starts if any sample has one.
fn rising<T>(times: Vec<i64>, samples: Vec<(T, i64)>) -> (Vec<i64>, Vec<T>, Option<Vec<i64>>) {
    let (times, samples) = if times.is_sorted_by(|a, b| a < b) {
        (times, samples)
    } else {
        let by_time: std::collections::BTreeMap<i64, (T, i64)> =
            times.into_iter().zip(samples).collect();
        by_time.into_iter().unzip()
    };
    let (values, starts): (Vec<T>, Vec<i64>) = samples.into_iter().unzip();
    let has_starts = starts.iter().any(|start| *start != 0);
    (times, values, has_starts.then_some(starts))
}
