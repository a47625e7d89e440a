//! From Parquet bytes back to series.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, TimestampMillisecondType};
use arrow_array::{Array, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, TimeUnit};
use bytes::{Buf as _, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;
use swell_model::{
    FloatColumn, HistogramColumn, Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher,
    NativeHistogram, SeriesData, TimeRange,
};

use crate::columns::{HISTOGRAM, LabelColumn, TIMESTAMP, VALUE};
use crate::histograms;
use crate::part::{KEY_LABELS, KEY_METRIC};

/// Stretches of a file at their offsets: what a read needs, and no more.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    len: u64,
    parts: Vec<(u64, Bytes)>,
}

impl Segments {
    pub(crate) fn new(len: u64, parts: Vec<(u64, Bytes)>) -> Self {
        Self { len, parts }
    }

    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let part = |(offset, bytes): &(u64, Bytes)| {
            let skipped = usize::try_from(start.checked_sub(*offset)?).ok()?;
            (skipped < bytes.len()).then(|| bytes.slice(skipped..))
        };
        self.parts.iter().find_map(part).ok_or_else(|| {
            ParquetError::General(format!("byte {start} is in no part of the file that was read"))
        })
    }
}

impl Length for Segments {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Segments {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes from byte {start}")));
        }
        Ok(bytes.slice(..length))
    }
}

/// A file cannot be read as samples.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("it is not readable as Parquet")]
    Parquet(#[from] ParquetError),
    #[error("{what}")]
    Form { what: String },
}

fn form(what: impl Into<String>) -> DecodeError {
    DecodeError::Form { what: what.into() }
}

/// What a file's footer tells.
#[derive(Clone, Debug)]
pub(crate) struct FileFacts {
    metadata: ArrowReaderMetadata,
    /// From the file's own metadata; `None` in files of others.
    pub(crate) metric: Option<String>,
    labels: Vec<LabelColumn>,
    has_values: bool,
    has_histograms: bool,
}

/// Collects samples of series in the order of the files.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    series: HashMap<Labels, Columns>,
    pub(crate) sample_count: usize,
}

#[derive(Debug, Default)]
struct Columns {
    times: Vec<i64>,
    values: Vec<f64>,
    histogram_times: Vec<i64>,
    histograms: Vec<Arc<NativeHistogram>>,
}

/// What is wanted of a row group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'w> {
    pub(crate) metric: &'w str,
    pub(crate) matchers: &'w [Matcher],
    pub(crate) range: TimeRange,
    pub(crate) labels_only: bool,
}

impl FileFacts {
    /// Reads the footer.
    pub(crate) fn read(file: &Segments) -> Result<Self, DecodeError> {
        let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
        let pairs = metadata.metadata().file_metadata().key_value_metadata();
        let value = |key: &str| {
            pairs?.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone())
        };
        let names: HashMap<String, String> = match value(KEY_LABELS) {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| form(format!("its {KEY_LABELS} is no JSON object: {error}")))?,
            None => HashMap::new(),
        };
        let metric = value(KEY_METRIC);
        let (mut labels, mut has_values, mut has_histograms, mut has_times) =
            (Vec::new(), false, false, false);
        for field in metadata.schema().fields() {
            match (field.name().as_str(), field.data_type()) {
                (TIMESTAMP, DataType::Timestamp(TimeUnit::Millisecond, _)) => has_times = true,
                (TIMESTAMP, other) => {
                    return Err(form(format!(
                        "column {TIMESTAMP} is {other}, not a timestamp in milliseconds"
                    )));
                }
                (VALUE, DataType::Float64) => has_values = true,
                (HISTOGRAM, DataType::Struct(_)) => has_histograms = true,
                (name, DataType::Utf8 | DataType::Dictionary(_, _)) => {
                    let label = names.get(name).cloned().unwrap_or_else(|| match name {
                        crate::columns::METRIC if metric.is_none() => METRIC_NAME.to_owned(),
                        other => other.to_owned(),
                    });
                    labels.push(LabelColumn { label, column: name.to_owned() });
                }
                (name, other) => {
                    return Err(form(format!("column {name} is {other}, which no label is")));
                }
            }
        }
        if !has_times || !(has_values || has_histograms) {
            return Err(form(format!("it has no columns {TIMESTAMP} and {VALUE}")));
        }
        Ok(Self { metadata, metric, labels, has_values, has_histograms })
    }

    pub(crate) fn row_groups(&self) -> &[RowGroupMetaData] {
        self.metadata.metadata().row_groups()
    }

    /// First and last time of a row group, as its statistics say.
    pub(crate) fn times(&self, group: &RowGroupMetaData) -> Option<(i64, i64)> {
        let column = group.columns().iter().find(|it| it.column_path().string() == TIMESTAMP)?;
        match column.statistics()? {
            Statistics::Int64(statistics) => Some((*statistics.min_opt()?, *statistics.max_opt()?)),
            _ => None,
        }
    }

    /// Whether a row group may have series that satisfy the matchers, as far as its statistics tell.
    pub(crate) fn may_match(&self, group: &RowGroupMetaData, matchers: &[Matcher]) -> bool {
        matchers.iter().filter(|it| it.op == MatchOp::Equal && !it.value.is_empty()).all(|it| {
            if it.name == METRIC_NAME && self.metric.is_some() {
                return true;
            }
            let Some(label) = self.labels.iter().find(|label| label.label == it.name) else {
                return false;
            };
            let column =
                group.columns().iter().find(|column| column.column_path().string() == label.column);
            let Some(Statistics::ByteArray(statistics)) =
                column.and_then(|column| column.statistics())
            else {
                return true;
            };
            // Both ends may be cut, the lower one down and the upper one up.
            let wanted = it.value.as_bytes();
            statistics.min_bytes_opt().is_none_or(|min| min <= wanted)
                && statistics.max_bytes_opt().is_none_or(|max| wanted <= max)
        })
    }

    /// Adds the wanted samples of a row group.
    pub(crate) fn collect(
        &self,
        file: Segments,
        group_idx: usize,
        wanted: Wanted<'_>,
        into: &mut Collected,
    ) -> Result<(), DecodeError> {
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let schema = builder.parquet_schema();
        let mask = if wanted.labels_only {
            let columns = self.labels.iter().map(|it| it.column.as_str()).chain([TIMESTAMP]);
            ProjectionMask::columns(schema, columns)
        } else {
            ProjectionMask::all()
        };
        let rows = self.row_groups()[group_idx].num_rows();
        let rows = usize::try_from(rows).map_err(|_| form(format!("{rows} rows")))?;
        let reader = builder
            .with_row_groups(vec![group_idx])
            .with_projection(mask)
            .with_batch_size(rows.max(1))
            .build()?;
        for batch in reader {
            let batch = batch.map_err(ParquetError::from)?;
            self.collect_batch(&batch, wanted, into)?;
        }
        Ok(())
    }

    fn collect_batch(
        &self,
        batch: &RecordBatch,
        wanted: Wanted<'_>,
        into: &mut Collected,
    ) -> Result<(), DecodeError> {
        let missing = |name: &str| form(format!("column {name} is missing or of another type"));
        let times: &TimestampMillisecondArray = batch
            .column_by_name(TIMESTAMP)
            .and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>())
            .ok_or_else(|| missing(TIMESTAMP))?;
        let columns = self
            .labels
            .iter()
            .map(|it| {
                let column = batch.column_by_name(&it.column);
                let text = column.and_then(|column| Text::new(column.as_ref()));
                text.map(|text| (it.label.as_str(), text)).ok_or_else(|| missing(&it.column))
            })
            .collect::<Result<Vec<_>, DecodeError>>()?;
        let samples = Rows {
            times: times.values(),
            values: self
                .has_values
                .then(|| batch.column_by_name(VALUE).and_then(|it| it.as_primitive_opt()))
                .flatten(),
            histograms: self
                .has_histograms
                .then(|| batch.column_by_name(HISTOGRAM).and_then(|it| it.as_struct_opt()))
                .flatten()
                .map(|column| histograms::Reader::new(column).ok_or_else(|| missing(HISTOGRAM)))
                .transpose()?,
        };
        for (first, end) in runs(&columns, batch.num_rows()) {
            let mut labels = LabelsBuilder::default();
            if let Some(metric) = &self.metric {
                labels.set(METRIC_NAME, metric);
            } else {
                labels.set(METRIC_NAME, wanted.metric);
            }
            for (label, text) in &columns {
                if let Some(value) = text.get(first) {
                    labels.set(label, value);
                }
            }
            let matches = |it: &Matcher| it.matches(labels.get(&it.name).unwrap_or(""));
            if wanted.matchers.iter().all(matches) {
                samples.add(first..end, wanted, labels.build(), into)?;
            }
        }
        Ok(())
    }
}

/// The columns of samples of a batch.
struct Rows<'a> {
    times: &'a [i64],
    values: Option<&'a Float64Array>,
    histograms: Option<histograms::Reader<'a>>,
}

impl Rows<'_> {
    /// Adds the rows of one series that lie in the range.
    fn add(
        &self,
        rows: std::ops::Range<usize>,
        wanted: Wanted<'_>,
        labels: Labels,
        into: &mut Collected,
    ) -> Result<(), DecodeError> {
        let (from_ms, to_ms) = (wanted.range.start_incl.0, wanted.range.end_incl.0);
        let is_wanted = |row: &usize| (from_ms..=to_ms).contains(&self.times[*row]);
        if wanted.labels_only {
            if rows.clone().any(|row| is_wanted(&row)) {
                into.series.entry(labels).or_default();
            }
            return Ok(());
        }
        let mut found = Columns::default();
        for row in rows.filter(is_wanted) {
            if let Some(values) = self.values.filter(|values| values.is_valid(row)) {
                found.times.push(self.times[row]);
                found.values.push(values.value(row));
            } else if let Some(histograms) = self.histograms.as_ref().filter(|it| it.has(row)) {
                let histogram = histograms.get(row).ok_or_else(|| {
                    form(format!("the histogram of {labels} at {} is not whole", self.times[row]))
                })?;
                found.histogram_times.push(self.times[row]);
                found.histograms.push(Arc::new(histogram));
            }
        }
        let count = found.times.len() + found.histogram_times.len();
        if count > 0 {
            into.sample_count += count;
            into.series.entry(labels).or_default().append(found);
        }
        Ok(())
    }
}

/// A column of label values.
enum Text<'a> {
    Dictionary(&'a arrow_array::Int32Array, &'a StringArray),
    Plain(&'a StringArray),
}

impl<'a> Text<'a> {
    fn new(column: &'a dyn Array) -> Option<Self> {
        if let Some(dictionary) = column.as_dictionary_opt::<Int32Type>() {
            let values = dictionary.values().as_string_opt()?;
            return Some(Self::Dictionary(dictionary.keys(), values));
        }
        column.as_string_opt().map(Self::Plain)
    }

    /// The value of a row; NULL and the empty text are both "no label".
    fn get(&self, row: usize) -> Option<&str> {
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
fn runs(columns: &[(&str, Text<'_>)], row_count: usize) -> Vec<(usize, usize)> {
    let mut changes = vec![false; row_count];
    columns.iter().for_each(|(_, text)| text.mark_changes(&mut changes));
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
    /// The series, sorted by labels, their times rising; of several samples at one time the last counts.
    pub(crate) fn into_series(self) -> Vec<SeriesData> {
        let mut series: Vec<SeriesData> = self
            .series
            .into_iter()
            .map(|(labels, columns)| {
                let (times, values) = rising(columns.times, columns.values);
                let (timestamps, histograms) = rising(columns.histogram_times, columns.histograms);
                SeriesData {
                    labels,
                    floats: FloatColumn {
                        timestamps: times.into(),
                        values: values.into(),
                        starts: None,
                    },
                    histograms: HistogramColumn { timestamps, values: histograms, starts: None },
                    ..SeriesData::default()
                }
            })
            .collect();
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        series
    }
}

fn rising<T>(times: Vec<i64>, values: Vec<T>) -> (Vec<i64>, Vec<T>) {
    if times.is_sorted_by(|a, b| a < b) {
        return (times, values);
    }
    let by_time: std::collections::BTreeMap<i64, T> = times.into_iter().zip(values).collect();
    by_time.into_iter().unzip()
}
