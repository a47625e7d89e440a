//! Parquet files of a folder as a source of series, without the lists of uploads: for import.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::file::metadata::RowGroupMetaData;
use swell_model::{
    Matcher, SelectError, SelectHints, SeriesData, SeriesIter, SeriesSource, TimeRange, TimestampMs,
};
use swell_telemetry::chain;

use crate::decode::{DecodeError, FileFacts, Segments, Wanted};
use crate::layout;
use crate::rows::Collected;

/// Depth of folders that is looked into.
const DEPTH_MAX: usize = 8;
/// The last bytes of a file: length of the footer, and magic.
const TAIL_BYTES: u64 = 8;

/// Files cannot be used as samples.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The system's error.
    #[error("read {}", path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// It is no Parquet file, or its columns are not samples.
    #[error("{}, byte {offset}: {what}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

/// Parquet files, their footers read.
#[derive(Debug)]
pub struct ParquetFiles {
    files: Vec<SampleFile>,
}

#[derive(Debug)]
struct SampleFile {
    path: PathBuf,
    file: File,
    len: u64,
    footer: (u64, Bytes),
    facts: FileFacts,
    /// Of the folder, for files that do not say.
    metric: String,
}

/// The file at a path, or all files that end in `.parquet` in the folder at a path.
///
/// # Errors
/// [`FilesError`].
pub fn parquet_files(path: &Path) -> Result<ParquetFiles, FilesError> {
    let mut paths = Vec::new();
    find(path, DEPTH_MAX, &mut paths)?;
    paths.sort();
    if path.is_file() {
        paths = vec![path.to_owned()];
    }
    if paths.is_empty() {
        return Err(FilesError::Form {
            path: path.to_owned(),
            offset: 0,
            what: "there are no files that end in .parquet in it".to_owned(),
        });
    }
    let files = paths.into_iter().map(SampleFile::open).collect::<Result<_, _>>()?;
    Ok(ParquetFiles { files })
}

fn find(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), FilesError> {
    if !path.is_dir() || depth == 0 {
        return Ok(());
    }
    let fault = |source| FilesError::Read { path: path.to_owned(), source };
    for entry in fs::read_dir(path).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.is_dir() {
            find(&path, depth - 1, found)?;
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    Ok(())
}

impl SampleFile {
    fn open(path: PathBuf) -> Result<Self, FilesError> {
        let fault = |source| FilesError::Read { path: path.clone(), source };
        let file = File::open(&path).map_err(fault)?;
        let len = file.metadata().map_err(fault)?.len();
        let form =
            |offset: u64, what: String| FilesError::Form { path: path.clone(), offset, what };
        if len < TAIL_BYTES {
            return Err(form(0, "it is too short for a Parquet file".to_owned()));
        }
        let tail = read(&file, len - TAIL_BYTES, TAIL_BYTES).map_err(fault)?;
        let footer_len = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
        let footer_at = len
            .checked_sub(TAIL_BYTES + u64::from(footer_len))
            .filter(|_| &tail[4..] == b"PAR1")
            .ok_or_else(|| {
                form(len - TAIL_BYTES, "it does not end as a Parquet file".to_owned())
            })?;
        let footer = (footer_at, read(&file, footer_at, len - footer_at).map_err(fault)?);
        let facts = FileFacts::read(&Segments::new(len, vec![footer.clone()]))
            .map_err(|error| form(footer_at, chain(&error)))?;
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let metric = folder.and_then(layout::metric_of_folder).unwrap_or_default();
        Ok(Self { path, file, len, footer, facts, metric })
    }

    fn collect(&self, wanted: Wanted<'_>, into: &mut Collected) -> Result<(), FilesError> {
        for (idx, group) in self.facts.row_groups().iter().enumerate() {
            let overlaps = self.facts.times(group).is_none_or(|(first, last)| {
                first <= wanted.range.end_incl.0 && wanted.range.start_incl.0 <= last
            });
            if !overlaps || !self.facts.may_match(group, wanted.matchers) {
                continue;
            }
            let (start, end) = bytes_of(group).ok_or_else(|| FilesError::Form {
                path: self.path.clone(),
                offset: self.footer.0,
                what: format!("row group {idx} has a place or a length below zero"),
            })?;
            let form = |error: DecodeError| FilesError::Form {
                path: self.path.clone(),
                offset: start,
                what: chain(&error),
            };
            if end > self.len {
                let what = format!("a row group ends at byte {end}, behind the end of the file");
                return Err(form(DecodeError::Form { what }));
            }
            let bytes = read(&self.file, start, end - start)
                .map_err(|source| FilesError::Read { path: self.path.clone(), source })?;
            let segments = Segments::new(self.len, vec![self.footer.clone(), (start, bytes)]);
            self.facts.collect(&segments, idx, wanted, into).map_err(form)?;
        }
        Ok(())
    }
}

/// Where a row group starts and ends in its file; `None` when the footer says what no file has.
fn bytes_of(group: &RowGroupMetaData) -> Option<(u64, u64)> {
    let mut bytes = (u64::MAX, 0);
    for column in group.columns() {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let start = u64::try_from(start).ok()?;
        let len = u64::try_from(column.compressed_size()).ok()?;
        bytes = (bytes.0.min(start), bytes.1.max(start.checked_add(len)?));
    }
    (bytes.0 <= bytes.1).then_some(bytes)
}

fn read(file: &File, offset: u64, len: u64) -> io::Result<Bytes> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}

impl ParquetFiles {
    /// Times of all rows, as the files' statistics say; `None` when there are none, all of time when one does not say.
    #[must_use]
    pub fn range(&self) -> Option<TimeRange> {
        let groups = self
            .files
            .iter()
            .flat_map(|it| it.facts.row_groups().iter().map(|g| it.facts.times(g)));
        let ranges = groups.map(|times| {
            times.map_or(TimeRange::ALL, |(first, last)| TimeRange {
                start_incl: TimestampMs(first),
                end_incl: TimestampMs(last),
            })
        });
        ranges.reduce(|a, b| TimeRange {
            start_incl: a.start_incl.min(b.start_incl),
            end_incl: a.end_incl.max(b.end_incl),
        })
    }

    /// Rows of all files.
    #[must_use]
    pub fn sample_count(&self) -> u64 {
        let groups = self.files.iter().flat_map(|it| it.facts.row_groups());
        groups.map(|group| group.num_rows().max(0).unsigned_abs()).sum()
    }

    fn read(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        labels_only: bool,
    ) -> Result<Vec<SeriesData>, SelectError> {
        let mut collected = Collected::default();
        for file in &self.files {
            let wanted = Wanted { metric: &file.metric, matchers, range, labels_only };
            file.collect(wanted, &mut collected)
                .map_err(|error| SelectError::Storage { what: chain(&error) })?;
        }
        Ok(collected.into_series())
    }
}

impl SeriesSource for ParquetFiles {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let series = self.read(matchers, hints.range, hints.labels_only)?;
        let limit = if hints.limit == 0 { usize::MAX } else { hints.limit };
        Ok(Box::new(series.into_iter().take(limit).map(Ok)))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let series = self.read(matchers, range, true)?;
        let names: BTreeSet<&str> =
            series.iter().flat_map(|it| it.labels.iter().map(|(name, _)| name)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let series = self.read(matchers, range, true)?;
        let values: BTreeSet<&str> = series.iter().filter_map(|it| it.labels.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}
