//! Series become Parquet files.
//!
//! Series come metric by metric. A row group has the rows of one metric, or of several in the order of their names, so that
//! its statistics tell which; inside it rows are sorted by job, instance and labels: series of one target, whose times are
//! the same, stand together, timestamps are plain, and zstd finds the repetition. Where there is little of it, they
//! are delta-coded instead, whichever is estimated smaller. Values are plain under zstd. The measurements behind
//! this are in `benches/README.md`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use sha2::{Digest as _, Sha256};
use swell_model::{METRIC_NAME, SeriesData};

use crate::columns::{Columns, START, Samples, TIMESTAMP, VALUE};
use crate::layout::{self, Window};
use crate::manifest::{Part, RowGroup, Segment};

/// Rows after which a row group is closed: what a reader has to decode for one series. A series is never split.
const GROUP_ROWS: usize = 1 << 20;
/// Bytes of row groups after which a file is closed: what an upload holds in memory and tries again after a failure.
const FILE_BYTES: usize = 32 << 20;
/// Names of labels up to which every file has a column for each of a window, so that row groups with other labels
/// need no file of their own. A column without values takes a hundred bytes of a row group.
const SHARED_LABELS_MAX: usize = 64;
/// Large pages, so that zstd's window spans many series of one target.
const PAGE_BYTES: usize = 8 << 20;
/// Level 9 takes another tenth off the files; what it costs in time has not been measured since files hold many metrics.
const ZSTD_LEVEL: i32 = 3;
/// Key in the metadata of files of format 1: the metric's name.
pub(crate) const KEY_METRIC: &str = "swell.metric";
/// Key in a file's metadata: JSON object from a column's name to the label's.
pub(crate) const KEY_LABELS: &str = "swell.labels";
/// Key in a file's metadata: first and last millisecond of the window the file belongs to.
const KEY_RANGE: &str = "swell.range";

/// A series cannot be written as Parquet.
#[derive(Debug, thiserror::Error)]
#[error("write {path} as Parquet")]
pub struct WriteError {
    /// The file that was to be.
    pub path: String,
    /// What the writer says.
    #[source]
    pub source: ParquetError,
}

/// A finished file.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) part: Part,
    pub(crate) bytes: Bytes,
}

/// Collects the series of one window.
pub(crate) struct PartWriter {
    window: Window,
    /// Labels that every file has columns for.
    shared_labels: BTreeSet<String>,
    buffered: Vec<SeriesData>,
    buffered_rows: usize,
    open: Option<OpenFile>,
    file_count: usize,
}

struct OpenFile {
    writer: ArrowWriter<Vec<u8>>,
    columns: Columns,
    /// Samples by metric.
    metrics: BTreeMap<String, u64>,
    groups: Vec<GroupFacts>,
}

/// What is counted while a row group is made.
struct GroupFacts {
    series_count: u64,
    sample_count: u64,
    first_ms: i64,
    last_ms: i64,
}

impl PartWriter {
    /// A writer of series whose labels have these names, as far as is known.
    pub(crate) fn new(window: Window, label_names: Vec<String>) -> Self {
        let is_few = label_names.len() <= SHARED_LABELS_MAX;
        Self {
            window,
            shared_labels: if is_few { label_names.into_iter().collect() } else { BTreeSet::new() },
            buffered: Vec::new(),
            buffered_rows: 0,
            open: None,
            file_count: 0,
        }
    }

    /// Adds a series; those of one metric come one behind the other. Gives the files that this closed.
    pub(crate) fn add(&mut self, series: SeriesData) -> Result<Vec<Written>, WriteError> {
        self.buffered_rows += series.floats.timestamps.len() + series.histograms.timestamps.len();
        self.buffered.push(series);
        let mut closed = Vec::new();
        if self.buffered_rows >= GROUP_ROWS {
            closed.extend(self.write_group()?);
            if self.open.as_ref().is_some_and(|open| open.writer.bytes_written() >= FILE_BYTES) {
                closed.extend(self.close_file()?);
            }
        }
        Ok(closed)
    }

    /// The files that are left.
    pub(crate) fn finish(mut self) -> Result<Vec<Written>, WriteError> {
        let closed = self.write_group()?;
        let last = self.close_file()?;
        Ok(closed.into_iter().chain(last).collect())
    }

    fn fault(&self) -> impl Fn(ParquetError) -> WriteError + use<> {
        let path = layout::part(self.window, self.file_count);
        move |source| WriteError { path: path.clone(), source }
    }

    /// Writes what is buffered as a row group. Series with labels that the open file has no columns for close it.
    fn write_group(&mut self) -> Result<Option<Written>, WriteError> {
        let mut series = std::mem::take(&mut self.buffered);
        self.buffered_rows = 0;
        if series.is_empty() {
            return Ok(None);
        }
        series.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        let samples = Samples::of(&series);
        let fits = |open: &OpenFile| {
            open.columns.samples().have(samples)
                && series.iter().all(|it| open.columns.have(&it.labels))
        };
        let mut closed = None;
        if self.open.as_ref().is_some_and(|open| !fits(open)) {
            closed = self.close_file()?;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_file(&series, samples)?,
        };
        let fault = self.fault();
        let batch = open.columns.batch(&series).map_err(|error| fault(error.into()))?;
        open.writer.write(&batch).map_err(&fault)?;
        open.writer.flush().map_err(&fault)?;
        open.groups.push(GroupFacts::of(&series));
        for it in &series {
            let metric = it.labels.metric_name().unwrap_or("");
            match open.metrics.get_mut(metric) {
                Some(count) => *count += sample_count(it),
                None => drop(open.metrics.insert(metric.to_owned(), sample_count(it))),
            }
        }
        self.open = Some(open);
        Ok(closed)
    }

    fn open_file(&self, series: &[SeriesData], samples: Samples) -> Result<OpenFile, WriteError> {
        let mut labels: BTreeSet<&str> =
            series.iter().flat_map(|it| it.labels.iter().map(|(name, _)| name)).collect();
        labels.extend(self.shared_labels.iter().map(String::as_str));
        labels.insert(METRIC_NAME);
        let columns = Columns::new(&labels, samples);
        let properties = self.properties(&columns, series);
        let schema = std::sync::Arc::clone(columns.schema());
        let writer =
            ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(self.fault())?;
        Ok(OpenFile { writer, columns, metrics: BTreeMap::new(), groups: Vec::new() })
    }

    fn properties(&self, columns: &Columns, series: &[SeriesData]) -> WriterProperties {
        let names: serde_json::Map<String, serde_json::Value> = columns
            .labels()
            .iter()
            .map(|it| (it.column.clone(), it.label.clone().into()))
            .collect();
        let range = format!("{} {}", self.window.start.0, self.window.range().end_incl.0);
        let facts = vec![
            KeyValue::new(KEY_LABELS.to_owned(), serde_json::Value::Object(names).to_string()),
            KeyValue::new(KEY_RANGE.to_owned(), range),
        ];
        let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("a level that zstd has");
        WriterProperties::builder()
            .set_created_by(concat!("swell ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(level))
            .set_data_page_size_limit(PAGE_BYTES)
            .set_data_page_row_count_limit(usize::MAX)
            .set_max_row_group_row_count(None)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_column_dictionary_enabled(ColumnPath::from(TIMESTAMP), false)
            .set_column_encoding(ColumnPath::from(TIMESTAMP), times_encoding(series))
            .set_column_dictionary_enabled(ColumnPath::from(START), true)
            .set_column_dictionary_enabled(ColumnPath::from(VALUE), false)
            .set_column_encoding(ColumnPath::from(VALUE), Encoding::PLAIN)
            .set_key_value_metadata(Some(facts))
            .build()
    }

    fn close_file(&mut self) -> Result<Option<Written>, WriteError> {
        let Some(mut open) = self.open.take() else { return Ok(None) };
        let metadata = open.writer.finish().map_err(self.fault())?;
        let bytes: Bytes = std::mem::take(open.writer.inner_mut()).into();
        let path = layout::part(self.window, self.file_count);
        self.file_count += 1;
        let labels = open.columns.labels().iter().map(|it| it.label.clone());
        let labels = labels.filter(|label| label != METRIC_NAME).collect();
        let row_groups = row_groups(&metadata, &bytes, &open.groups);
        let digest = hex(&Sha256::digest(&bytes));
        let part = Part::new(path, (open.metrics, labels), (&bytes, digest), row_groups);
        Ok(Some(Written { part, bytes }))
    }
}

fn sample_count(series: &SeriesData) -> u64 {
    (series.floats.timestamps.len() + series.histograms.timestamps.len()) as u64
}

/// Job and instance first: they name the target, whose series share their times.
fn sort_key(series: &SeriesData) -> (Option<&str>, Option<&str>, &swell_model::Labels) {
    let labels = &series.labels;
    (labels.get("job"), labels.get("instance"), labels)
}

impl GroupFacts {
    fn of(series: &[SeriesData]) -> Self {
        let times = |it: &SeriesData| -> [Option<i64>; 4] {
            let (floats, histograms) = (&it.floats.timestamps, &it.histograms.timestamps);
            [
                floats.first().copied(),
                floats.last().copied(),
                histograms.first().copied(),
                histograms.last().copied(),
            ]
        };
        let all = || series.iter().flat_map(times).flatten();
        Self {
            series_count: series.len() as u64,
            sample_count: series.iter().map(sample_count).sum(),
            first_ms: all().min().unwrap_or(i64::MAX),
            last_ms: all().max().unwrap_or(i64::MIN),
        }
    }
}

fn row_groups(metadata: &ParquetMetaData, bytes: &Bytes, facts: &[GroupFacts]) -> Vec<RowGroup> {
    let group = |(metadata, facts): (&parquet::file::metadata::RowGroupMetaData, &GroupFacts)| {
        let ranges = || metadata.columns().iter().map(|column| column.byte_range());
        let start = ranges().map(|(start, _)| start).min().unwrap_or(0);
        let end = ranges().map(|(start, len)| start + len).max().unwrap_or(0);
        RowGroup {
            series_count: facts.series_count,
            sample_count: facts.sample_count,
            first_ms: facts.first_ms,
            last_ms: facts.last_ms,
            bytes: Segment::between(bytes, start, end),
        }
    };
    metadata.row_groups().iter().zip(facts).map(group).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let written = write!(out, "{byte:02x}");
        debug_assert!(written.is_ok());
        out
    })
}

/// Bytes that a plain timestamp takes under zstd where it does not repeat (jittered scrapes), and where it does.
const PLAIN_FRESH_BYTES: f64 = 2.0;
const PLAIN_REPEATED_BYTES: f64 = 0.02;
/// Values in a miniblock of DELTA_BINARY_PACKED; the writer makes blocks of four.
const MINIBLOCK: usize = 32;

/// The encoding that is estimated to take fewer bytes.
fn times_encoding(series: &[SeriesData]) -> Encoding {
    let (mut plain, mut delta) = (0.0, 0.0);
    let mut last: &[i64] = &[];
    for times in series.iter().map(|it| &it.floats.timestamps[..]) {
        let repeated = times.iter().zip(last).filter(|(a, b)| a == b).count();
        plain += bytes(times.len() - repeated, PLAIN_FRESH_BYTES);
        plain += bytes(repeated, PLAIN_REPEATED_BYTES);
        delta += delta_bytes(times);
        last = times;
    }
    if delta < plain { Encoding::DELTA_BINARY_PACKED } else { Encoding::PLAIN }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn bytes(count: usize, each: f64) -> f64 {
    count as f64 * each
}

fn delta_bytes(times: &[i64]) -> f64 {
    let deltas: Vec<i64> = times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let block_bits = |block: &[i64]| {
        let least = block.iter().copied().min().unwrap_or(0);
        let widths = block.chunks(MINIBLOCK).map(|miniblock| {
            let most = miniblock.iter().copied().max().unwrap_or(0);
            let spread = most.wrapping_sub(least).cast_unsigned();
            (64 - spread.leading_zeros()) as usize * MINIBLOCK
        });
        widths.sum::<usize>() + 40
    };
    bytes(deltas.chunks(4 * MINIBLOCK).map(block_bits).sum(), 0.125)
}

#[cfg(test)]
mod tests {
    use swell_model::{FloatColumn, Labels};

    use super::*;

    fn series(job: &str, times: &[i64]) -> SeriesData {
        SeriesData {
            labels: Labels::from_pairs([("__name__", "m"), ("job", job)]),
            floats: FloatColumn {
                timestamps: times.into(),
                values: vec![1.0; times.len()].into(),
                starts: None,
            },
            ..SeriesData::default()
        }
    }

    #[test]
    fn repeated_times_stay_plain_and_others_are_delta_coded() {
        let jitter = |seed: i64| -> Vec<i64> {
            (0..500).map(|at| at * 1000 + (at * at * seed) % 97).collect()
        };
        let shared: Vec<SeriesData> =
            ["a", "b", "c", "d", "e", "f"].map(|job| series(job, &jitter(7))).into();
        assert_eq!(times_encoding(&shared), Encoding::PLAIN);
        let alone: Vec<SeriesData> = ["a", "b", "c"]
            .into_iter()
            .zip(7..)
            .map(|(job, seed)| series(job, &jitter(seed)))
            .collect();
        assert_eq!(times_encoding(&alone), Encoding::DELTA_BINARY_PACKED);
        let aligned: Vec<i64> = (0..500).map(|at| at * 1000).collect();
        assert_eq!(times_encoding(&[series("a", &aligned)]), Encoding::DELTA_BINARY_PACKED);
    }
}
