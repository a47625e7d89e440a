//! From series to record batches: one row a sample, one dictionary column a label.
//!
//! | column | type | holds |
//! | --- | --- | --- |
//! | `metric` | dictionary of strings | the metric's name, NULL where the series has none |
//! | a label's name | dictionary of strings | its value, NULL where the series has no such label |
//! | `timestamp` | timestamp, milliseconds, UTC | |
//! | `start_timestamp` | timestamp, milliseconds, UTC | when the counter or histogram began, NULL where that is not known; only where there are such |
//! | `value` | double | the float, bit for bit; NULL where the sample is a native histogram |
//! | `histogram` | struct, see `histograms.rs` | only where there are native histograms |
//!
//! A staleness marker is a NaN with bits of its own: every reader sees a NaN, and one that looks at the bits sees
//! [`swell_model::STALE_NAN_BITS`].

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use swell_model::{Labels, METRIC_NAME, SeriesData};

use crate::histograms;

/// Column of the times.
pub(crate) const TIMESTAMP: &str = "timestamp";
/// Column of the times at which counters began.
pub(crate) const START: &str = "start_timestamp";
/// Column of the floats.
pub(crate) const VALUE: &str = "value";
/// Column of the native histograms.
pub(crate) const HISTOGRAM: &str = "histogram";
/// Column of the metric's name; in files of format 1 it is in the path.
pub(crate) const METRIC: &str = "metric";
/// Column of the day, in a file's path.
const DATE: &str = "date";
/// Zone of the times.
const UTC: &str = "UTC";

/// A label and the column it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelColumn {
    pub(crate) label: String,
    pub(crate) column: String,
}

/// The columns of a file or stream.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    labels: Vec<LabelColumn>,
    samples: Samples,
    schema: SchemaRef,
}

/// Which columns of samples there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Samples {
    pub(crate) floats: bool,
    pub(crate) histograms: bool,
    pub(crate) starts: bool,
}

impl Samples {
    /// What these series need, floats in any case.
    pub(crate) fn of(series: &[SeriesData]) -> Self {
        Self {
            floats: true,
            histograms: series.iter().any(|it| !it.histograms.timestamps.is_empty()),
            starts: series
                .iter()
                .any(|it| it.floats.starts.is_some() || it.histograms.starts.is_some()),
        }
    }

    /// Whether there is a column for all that the other needs.
    pub(crate) const fn have(self, other: Self) -> bool {
        (self.floats || !other.floats)
            && (self.histograms || !other.histograms)
            && (self.starts || !other.starts)
    }
}

impl Columns {
    /// Columns for series that have no other labels than these; `__name__` among them gives a column `metric`.
    pub(crate) fn new(labels: &BTreeSet<&str>, samples: Samples) -> Self {
        let labels = name_columns(labels);
        let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let mut fields: Vec<Field> =
            labels.iter().map(|it| Field::new(&it.column, text.clone(), true)).collect();
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into()));
        fields.push(Field::new(TIMESTAMP, time.clone(), false));
        if samples.starts {
            fields.push(Field::new(START, time, true));
        }
        if samples.floats {
            fields.push(Field::new(VALUE, DataType::Float64, true));
        }
        if samples.histograms {
            fields.push(Field::new(HISTOGRAM, histograms::data_type(), true));
        }
        Self { labels, samples, schema: Arc::new(Schema::new(fields)) }
    }

    pub(crate) const fn samples(&self) -> Samples {
        self.samples
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn labels(&self) -> &[LabelColumn] {
        &self.labels
    }

    /// Whether every label of the series has a column.
    pub(crate) fn have(&self, labels: &Labels) -> bool {
        labels.iter().all(|(name, _)| self.labels.iter().any(|it| it.label == name))
    }

    /// All samples of the series, in this order; of each series first the floats, then the histograms.
    pub(crate) fn batch(&self, series: &[SeriesData]) -> Result<RecordBatch, ArrowError> {
        let floats = |series: &SeriesData| {
            if self.samples.floats { series.floats.timestamps.len() } else { 0 }
        };
        let histograms = |series: &SeriesData| {
            if self.samples.histograms { series.histograms.timestamps.len() } else { 0 }
        };
        let counts: Vec<(usize, usize)> =
            series.iter().map(|it| (floats(it), histograms(it))).collect();
        let row_count: usize = counts.iter().map(|(floats, histograms)| floats + histograms).sum();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for column in &self.labels {
            let value = |series: &SeriesData| series.labels.get(&column.label).map(str::to_owned);
            arrays.push(label_array(series.iter().map(value).zip(&counts), row_count)?);
        }
        let mut times = Vec::with_capacity(row_count);
        for (series, (floats, histograms)) in series.iter().zip(&counts) {
            times.extend_from_slice(&series.floats.timestamps[..*floats]);
            times.extend_from_slice(&series.histograms.timestamps[..*histograms]);
        }
        arrays.push(Arc::new(TimestampMillisecondArray::from(times).with_timezone(UTC)));
        if self.samples.starts {
            arrays.push(Arc::new(start_array(series, &counts, row_count)));
        }
        if self.samples.floats {
            arrays.push(Arc::new(float_array(series, &counts, row_count)));
        }
        if self.samples.histograms {
            let rows = series.iter().zip(&counts).flat_map(|(series, (floats, histograms))| {
                let missing = std::iter::repeat_n(None, *floats);
                missing.chain(series.histograms.values[..*histograms].iter().map(Some))
            });
            arrays.push(Arc::new(histograms::array(rows, row_count)?));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

/// A column for each label. Names of our own columns are taken, and so are names that differ only in case, which SQL
/// engines take for the same: those get `label_` in front, and a number behind where that is taken too.
fn name_columns(labels: &BTreeSet<&str>) -> Vec<LabelColumn> {
    let mut taken: BTreeSet<String> =
        [TIMESTAMP, START, VALUE, HISTOGRAM, METRIC, DATE].map(str::to_owned).into();
    let mut columns = Vec::with_capacity(labels.len());
    for label in labels {
        if *label == METRIC_NAME {
            columns.push(LabelColumn { label: (*label).to_owned(), column: METRIC.to_owned() });
            continue;
        }
        let numbered = (2_usize..).map(|nr| format!("label_{label}_{nr}"));
        let column = [(*label).to_owned(), format!("label_{label}")]
            .into_iter()
            .chain(numbered)
            .find(|name| !taken.contains(&name.to_ascii_lowercase()));
        let Some(column) = column else { continue };
        taken.insert(column.to_ascii_lowercase());
        columns.push(LabelColumn { label: (*label).to_owned(), column });
    }
    columns
}

fn label_array<'c>(
    series: impl Iterator<Item = (Option<String>, &'c (usize, usize))>,
    row_count: usize,
) -> Result<ArrayRef, ArrowError> {
    let mut values: Vec<String> = Vec::new();
    let mut known: std::collections::HashMap<String, i32> = std::collections::HashMap::new();
    let mut keys: Vec<i32> = Vec::with_capacity(row_count);
    let mut present: Vec<bool> = Vec::with_capacity(row_count);
    for (value, (floats, histograms)) in series {
        let rows = keys.len() + floats + histograms;
        present.resize(rows, value.is_some());
        let key = match value {
            None => 0,
            Some(value) => match known.get(&value) {
                Some(key) => *key,
                None => {
                    let key = i32::try_from(values.len())
                        .map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
                    known.insert(value.clone(), key);
                    values.push(value);
                    key
                }
            },
        };
        keys.resize(rows, key);
    }
    let keys = Int32Array::new(keys.into(), Some(NullBuffer::from(present)));
    let values = Arc::new(StringArray::from_iter_values(values));
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values)?))
}

/// 0 stands for "none" in a column of starts.
fn start_array(
    series: &[SeriesData],
    counts: &[(usize, usize)],
    row_count: usize,
) -> TimestampMillisecondArray {
    let mut starts: Vec<i64> = Vec::with_capacity(row_count);
    for (series, (floats, histograms)) in series.iter().zip(counts) {
        let columns = [
            (series.floats.starts.as_deref(), *floats),
            (series.histograms.starts.as_deref(), *histograms),
        ];
        for (column, count) in columns {
            match column {
                Some(column) => starts.extend_from_slice(&column[..count]),
                None => starts.resize(starts.len() + count, 0),
            }
        }
    }
    let present = NullBuffer::from_iter(starts.iter().map(|start| *start != 0));
    TimestampMillisecondArray::new(starts.into(), Some(present)).with_timezone(UTC)
}

fn float_array(series: &[SeriesData], counts: &[(usize, usize)], row_count: usize) -> Float64Array {
    let mut values = Vec::with_capacity(row_count);
    let mut present = Vec::with_capacity(row_count);
    for (series, (floats, histograms)) in series.iter().zip(counts) {
        values.extend_from_slice(&series.floats.values[..*floats]);
        present.resize(values.len(), true);
        values.resize(values.len() + histograms, 0.0);
        present.resize(values.len(), false);
    }
    let nulls = present.contains(&false).then(|| NullBuffer::from(present));
    Float64Array::new(values.into(), nulls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_names_of_their_own() {
        let labels = BTreeSet::from(["Code", "code", "date", "label_date", "value", "zone"]);
        let columns: Vec<String> =
            name_columns(&labels).into_iter().map(|column| column.column).collect();
        assert_eq!(
            columns,
            ["Code", "label_code", "label_date", "label_label_date", "label_value", "zone"]
        );
        let named = name_columns(&BTreeSet::from([METRIC_NAME, "metric"]));
        assert_eq!(named[0].column, "metric");
        assert_eq!(named[1].column, "label_metric");
    }
}
