//! From Parquet bytes back to series.

use std::collections::HashMap;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, TimeUnit};
use bytes::{Buf as _, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;
use swell_model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, TimeRange};

use crate::columns::{HISTOGRAM, LabelColumn, START, TIMESTAMP, VALUE};
use crate::part::{KEY_LABELS, KEY_METRIC};
use crate::rows::{Collected, Rows, Text, runs};

/// Rows that are decoded at once: as many as a row group of ours has, whatever others' footers say.
const BATCH_ROWS: usize = 1 << 20;

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

pub(crate) fn form(what: impl Into<String>) -> DecodeError {
    DecodeError::Form { what: what.into() }
}

pub(crate) fn missing(name: &str) -> DecodeError {
    form(format!("column {name} is missing or of another type"))
}

/// What a file's footer tells.
#[derive(Clone, Debug)]
pub(crate) struct FileFacts {
    metadata: ArrowReaderMetadata,
    /// From the file's own metadata; `None` in files of others.
    pub(crate) metric: Option<String>,
    labels: Vec<LabelColumn>,
    /// Columns of samples that there are.
    samples: Vec<&'static str>,
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
        let (mut labels, mut samples) = (Vec::new(), Vec::new());
        for field in metadata.schema().fields() {
            match (field.name().as_str(), field.data_type()) {
                (TIMESTAMP, DataType::Timestamp(TimeUnit::Millisecond, _)) => {
                    samples.push(TIMESTAMP);
                }
                (TIMESTAMP, other) => {
                    return Err(form(format!(
                        "column {TIMESTAMP} is {other}, not a timestamp in milliseconds"
                    )));
                }
                (START, DataType::Timestamp(TimeUnit::Millisecond, _)) => samples.push(START),
                (VALUE, DataType::Float64) => samples.push(VALUE),
                (HISTOGRAM, DataType::Struct(_)) => samples.push(HISTOGRAM),
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
        let has = |name: &str| samples.contains(&name);
        if !has(TIMESTAMP) || !(has(VALUE) || has(HISTOGRAM)) {
            return Err(form(format!("it has no columns {TIMESTAMP} and {VALUE}")));
        }
        Ok(Self { metadata, metric, labels, samples })
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

    /// Adds the wanted samples of a row group. Of a group with many metrics only the rows of those that are asked for are
    /// decoded, and of these only the samples of series that match.
    pub(crate) fn collect(
        &self,
        file: &Segments,
        group_idx: usize,
        wanted: Wanted<'_>,
        into: &mut Collected,
    ) -> Result<(), DecodeError> {
        let group = &self.row_groups()[group_idx];
        let rows = usize::try_from(group.num_rows())
            .map_err(|_| form(format!("{} rows", group.num_rows())))?;
        let group = RowGroup { facts: self, file, idx: group_idx, rows };
        let labels: Vec<&LabelColumn> =
            self.labels.iter().filter(|it| !self.is_null(group_idx, it)).collect();
        let mut selected: Vec<Range<usize>> = std::iter::once(0..rows).collect();
        let by_metric: Vec<&Matcher> =
            wanted.matchers.iter().filter(|it| it.name == METRIC_NAME).collect();
        let metric = labels.iter().find(|it| it.label == METRIC_NAME);
        if let Some(metric) = metric.filter(|_| !by_metric.is_empty()) {
            let found = group.series(&[metric], &selected, |labels| {
                let metric = labels.get(METRIC_NAME).unwrap_or("");
                by_metric.iter().all(|it| it.matches(metric))
            })?;
            selected = found.into_iter().map(|(_, rows)| rows).collect();
        }
        let fixed = self.metric.as_deref().or(metric.is_none().then_some(wanted.metric));
        let found = group.series(&labels, &selected, |labels| {
            if let Some(fixed) = fixed {
                labels.set(METRIC_NAME, fixed);
            }
            wanted.matchers.iter().all(|it| it.matches(labels.get(&it.name).unwrap_or("")))
        })?;
        let is_inside = self.times(&self.row_groups()[group_idx]).is_some_and(|(first, last)| {
            wanted.range.start_incl.0 <= first && last <= wanted.range.end_incl.0
        });
        if wanted.labels_only && is_inside {
            found.into_iter().for_each(|(labels, _)| into.note(labels));
            return Ok(());
        }
        let columns = if wanted.labels_only { &[TIMESTAMP][..] } else { &self.samples[..] };
        let selected: Vec<Range<usize>> = found.iter().map(|(_, rows)| rows.clone()).collect();
        let mut waiting = found.into_iter().map(|(labels, rows)| (labels, rows.len()));
        let mut open: Option<(Labels, usize)> = None;
        for batch in group.read(columns, &selected)? {
            let batch = batch.map_err(ParquetError::from)?;
            let samples = Rows::new(&batch)?;
            let mut at = 0;
            while at < batch.num_rows() {
                let (labels, left) = open
                    .take()
                    .or_else(|| waiting.next())
                    .ok_or_else(|| form("it has more rows than its row group says".to_owned()))?;
                let end = batch.num_rows().min(at + left);
                samples.add(at..end, wanted, &labels, into)?;
                open = Some((labels, left - (end - at))).filter(|(_, left)| *left > 0);
                at = end;
            }
        }
        if open.is_some() || waiting.next().is_some() {
            return Err(form("it has fewer rows than its row group says".to_owned()));
        }
        Ok(())
    }

    /// Whether no row of a group has a value of a label, as its statistics tell.
    fn is_null(&self, group_idx: usize, label: &LabelColumn) -> bool {
        let group = &self.row_groups()[group_idx];
        let column = group.columns().iter().find(|it| it.column_path().string() == label.column);
        let nulls = column.and_then(|it| it.statistics()).and_then(Statistics::null_count_opt);
        nulls.is_some_and(|count| i64::try_from(count) == Ok(group.num_rows()))
    }
}

/// A row group that is read.
struct RowGroup<'f> {
    facts: &'f FileFacts,
    file: &'f Segments,
    idx: usize,
    rows: usize,
}

impl RowGroup<'_> {
    /// Reads columns of rows that are given in their order.
    fn read(
        &self,
        columns: &[&str],
        selected: &[Range<usize>],
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, arrow_schema::ArrowError>>>, DecodeError>
    {
        if selected.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        let metadata = self.facts.metadata.clone();
        let fields = metadata.schema().fields();
        let places =
            fields.iter().enumerate().filter(|(_, it)| columns.contains(&it.name().as_str()));
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), places);
        let rows: usize = selected.iter().map(Range::len).sum();
        let reader: ParquetRecordBatchReader = builder
            .with_row_groups(vec![self.idx])
            .with_projection(mask)
            .with_row_selection(RowSelection::from_consecutive_ranges(
                selected.iter().cloned(),
                self.rows,
            ))
            .with_batch_size(rows.clamp(1, BATCH_ROWS))
            .build()?;
        Ok(Box::new(reader))
    }

    /// Runs of selected rows with the same labels, where `is_wanted`, which may add to them.
    fn series(
        &self,
        columns: &[&LabelColumn],
        selected: &[Range<usize>],
        is_wanted: impl Fn(&mut LabelsBuilder) -> bool,
    ) -> Result<Vec<(Labels, Range<usize>)>, DecodeError> {
        let mut found = Vec::new();
        let mut take = |labels: &mut LabelsBuilder, rows: Range<usize>| {
            if is_wanted(labels) && !rows.is_empty() {
                found.push((labels.build(), rows));
            }
        };
        if columns.is_empty() {
            for rows in selected {
                take(&mut LabelsBuilder::default(), rows.clone());
            }
            return Ok(found);
        }
        let names: Vec<&str> = columns.iter().map(|it| it.column.as_str()).collect();
        // Rows of the batches, in their order, by the places that they have in the group.
        let mut places = selected.iter().cloned();
        let mut place = places.next().unwrap_or_default();
        for batch in self.read(&names, selected)? {
            let batch = batch.map_err(ParquetError::from)?;
            let texts = columns
                .iter()
                .map(|it| {
                    let column = batch.column_by_name(&it.column);
                    let text = column.and_then(|column| Text::new(column.as_ref()));
                    text.ok_or_else(|| missing(&it.column))
                })
                .collect::<Result<Vec<_>, DecodeError>>()?;
            for (first, end) in runs(&texts, batch.num_rows()) {
                let mut labels = LabelsBuilder::default();
                for (column, text) in columns.iter().zip(&texts) {
                    if let Some(value) = text.get(first) {
                        labels.set(&column.label, value);
                    }
                }
                let mut left = end - first;
                while left > 0 {
                    while place.is_empty() {
                        place = places.next().ok_or_else(|| {
                            form("it has more rows than its row group says".to_owned())
                        })?;
                    }
                    let len = left.min(place.len());
                    take(&mut labels, place.start..place.start + len);
                    place.start += len;
                    left -= len;
                }
            }
        }
        Ok(found)
    }
}
