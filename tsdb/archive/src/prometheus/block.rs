//! One block as a source of series.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use swell_chunk::prometheus::{self as chunk, Encoding, Samples};
use swell_model::{
    FloatColumn, HistogramColumn, Matcher, SelectError, SelectHints, SeriesData, SeriesIter,
    SeriesSource, TimeRange, TimestampMs,
};
use swell_telemetry::chain;

use super::PrometheusError;
use super::bytes::{Reader, crc32c};
use super::index::{self, ChunkPlace, Series};
use super::tombstones::{self, Tombstones};

const CHUNKS_MAGIC: u32 = 0x85bd_40dd;
const CHUNKS_VERSION: u8 = 1;
/// Read at once at the start of a chunk; most are shorter.
const CHUNK_GUESS_BYTES: usize = 1024;
/// A chunk has at most 65,535 samples; one longer than this is damage.
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// One block, its index in memory.
#[derive(Debug)]
pub struct PrometheusBlock {
    path: PathBuf,
    range: TimeRange,
    sample_count: u64,
    series: Vec<Series>,
    tombstones: Tombstones,
    files: Vec<ChunkFile>,
}

#[derive(Debug)]
struct ChunkFile {
    path: PathBuf,
    file: File,
    len: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    version: u32,
    min_time: i64,
    max_time: i64,
    #[serde(default)]
    stats: Stats,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stats {
    num_samples: u64,
}

const META: &str = "meta.json";

/// The block at a path, or all blocks in the folder at a path (a Prometheus data directory), oldest first. What such a
/// directory has besides (the log, the head's chunks) is not read.
///
/// # Errors
/// [`PrometheusError`].
pub fn prometheus_blocks(path: &Path) -> Result<Vec<PrometheusBlock>, PrometheusError> {
    if path.join(META).is_file() {
        return Ok(vec![PrometheusBlock::open(path)?]);
    }
    let fault = |source| PrometheusError::Read { path: path.to_owned(), source };
    let mut blocks = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        let folder = entry.map_err(fault)?.path();
        if folder.join(META).is_file() {
            blocks.push(PrometheusBlock::open(&folder)?);
        }
    }
    if blocks.is_empty() {
        return Err(PrometheusError::NoBlock { path: path.to_owned() });
    }
    blocks.sort_by_key(|block| (block.range.start_incl, block.range.end_incl));
    Ok(blocks)
}

impl PrometheusBlock {
    /// Opens a block: reads and checks its index and tombstones.
    ///
    /// # Errors
    /// [`PrometheusError`].
    pub fn open(path: &Path) -> Result<Self, PrometheusError> {
        let meta_path = path.join(META);
        let meta: Meta = serde_json::from_slice(&read_file(&meta_path)?).map_err(|error| {
            PrometheusError::Damaged {
                path: meta_path.clone(),
                offset: 0,
                what: format!("it is not a block's description: {error}"),
            }
        })?;
        if meta.version != 1 {
            let what = format!("a block of version {}", meta.version);
            return Err(PrometheusError::Unknown { path: meta_path, offset: 0, what });
        }
        let index_path = path.join("index");
        let series = index::read(&index_path, &read_file(&index_path)?)?;
        let stones_path = path.join("tombstones");
        let tombstones = if stones_path.exists() {
            tombstones::read(&stones_path, &read_file(&stones_path)?)?
        } else {
            Tombstones::new()
        };
        Ok(Self {
            path: path.to_owned(),
            range: TimeRange {
                start_incl: TimestampMs(meta.min_time),
                end_incl: TimestampMs(meta.max_time.saturating_sub(1)),
            },
            sample_count: meta.stats.num_samples,
            series,
            tombstones,
            files: chunk_files(&path.join("chunks"))?,
        })
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Times it covers.
    #[must_use]
    pub const fn range(&self) -> TimeRange {
        self.range
    }

    /// Samples it says to have, deleted ones included.
    #[must_use]
    pub const fn sample_count(&self) -> u64 {
        self.sample_count
    }

    fn samples(&self, series: &Series, range: TimeRange) -> Result<SeriesData, PrometheusError> {
        let (from_ms, to_ms) = (range.start_incl.0, range.end_incl.0);
        let mut found = Samples::within(usize::MAX);
        for place in &series.chunks {
            if place.first_ms <= to_ms && from_ms <= place.last_ms {
                self.read_chunk(*place, &mut found)?;
            }
        }
        let deleted = self.tombstones.get(&series.reference).map_or(&[][..], Vec::as_slice);
        let is_kept = |at: i64| {
            (from_ms..=to_ms).contains(&at)
                && !deleted.iter().any(|(first, last)| (*first..=*last).contains(&at))
        };
        let (times, values) = rising(found.floats, is_kept);
        let (timestamps, histograms) = rising(found.histograms, is_kept);
        Ok(SeriesData {
            labels: series.labels.clone(),
            floats: FloatColumn { timestamps: times.into(), values: values.into(), starts: None },
            histograms: HistogramColumn { timestamps, values: histograms, starts: None },
            ..SeriesData::default()
        })
    }

    fn read_chunk(&self, place: ChunkPlace, into: &mut Samples) -> Result<(), PrometheusError> {
        let Some(file) = self.files.get(place.file_idx) else {
            return Err(PrometheusError::Damaged {
                path: self.path.join("chunks"),
                offset: place.offset,
                what: format!("there is no file number {}", place.file_idx + 1),
            });
        };
        let damaged = |what: String| PrometheusError::Damaged {
            path: file.path.clone(),
            offset: place.offset,
            what,
        };
        let guess = file.read(place.offset, CHUNK_GUESS_BYTES)?;
        let mut reader = Reader::new(&guess, 0);
        let len = reader.uvarint().map_err(damaged)?;
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= CHUNK_BYTES_MAX)
            .ok_or_else(|| damaged(format!("a chunk of {len} bytes")))?;
        let head = reader.at();
        let total = head + 1 + len + 4;
        let bytes = if total <= guess.len() { guess } else { file.read(place.offset, total)? };
        let mut reader = Reader::new(&bytes, head);
        // The checksum is over the encoding and the samples.
        let content = reader.take(1 + len).map_err(damaged)?;
        let expected = reader.u32().map_err(damaged)?;
        let found = crc32c(content);
        if found != expected {
            return Err(damaged(format!("the checksum is {found:08x}, not {expected:08x}")));
        }
        let Some(encoding) = Encoding::of(content[0]) else {
            return Err(PrometheusError::Unknown {
                path: file.path.clone(),
                offset: place.offset,
                what: format!("a chunk of encoding {}", content[0]),
            });
        };
        chunk::decode(encoding, &content[1..], into).map_err(damaged)
    }
}

/// Samples that are kept, by rising times; of several at one time the last counts.
fn rising<T>(mut samples: Vec<(i64, T)>, is_kept: impl Fn(i64) -> bool) -> (Vec<i64>, Vec<T>) {
    samples.retain(|(at, _)| is_kept(*at));
    if !samples.is_sorted_by(|a, b| a.0 < b.0) {
        let by_time: std::collections::BTreeMap<i64, T> = samples.into_iter().collect();
        return by_time.into_iter().unzip();
    }
    samples.into_iter().unzip()
}

fn read_file(path: &Path) -> Result<Vec<u8>, PrometheusError> {
    fs::read(path).map_err(|source| PrometheusError::Read { path: path.to_owned(), source })
}

fn chunk_files(folder: &Path) -> Result<Vec<ChunkFile>, PrometheusError> {
    let fault = |source| PrometheusError::Read { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let is_number = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if is_number {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(ChunkFile::open).collect()
}

impl ChunkFile {
    fn open(path: PathBuf) -> Result<Self, PrometheusError> {
        let fault = |source| PrometheusError::Read { path: path.clone(), source };
        let file = File::open(&path).map_err(fault)?;
        let len = file.metadata().map_err(fault)?.len();
        let opened = Self { path, file, len };
        let header = opened.read(0, 8)?;
        let damaged =
            |what| PrometheusError::Damaged { path: opened.path.clone(), offset: 0, what };
        let mut reader = Reader::new(&header, 0);
        let magic = reader.u32().map_err(damaged)?;
        if magic != CHUNKS_MAGIC {
            return Err(damaged(format!("it starts with {magic:08x}, not as chunks do")));
        }
        let version = reader.u8().map_err(damaged)?;
        if version != CHUNKS_VERSION {
            let what = format!("a file of chunks of version {version}");
            return Err(PrometheusError::Unknown { path: opened.path, offset: 4, what });
        }
        Ok(opened)
    }

    /// Bytes from an offset, fewer where the file ends.
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, PrometheusError> {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(there)];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| PrometheusError::Read { path: self.path.clone(), source })?;
        Ok(bytes)
    }
}

fn matches(series: &Series, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|it| it.matches(series.labels.get(&it.name).unwrap_or("")))
}

fn touches(series: &Series, range: TimeRange) -> bool {
    let in_range = |place: &ChunkPlace| {
        place.first_ms <= range.end_incl.0 && range.start_incl.0 <= place.last_ms
    };
    series.chunks.iter().any(in_range)
}

impl SeriesSource for PrometheusBlock {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let (matchers, hints) = (matchers.to_vec(), *hints);
        let limit = if hints.limit == 0 { usize::MAX } else { hints.limit };
        let wanted =
            move |series: &&Series| matches(series, &matchers) && touches(series, hints.range);
        let read = move |series: &'a Series| match self.samples(series, hints.range) {
            Err(error) => Some(Err(SelectError::Storage { what: chain(&error) })),
            Ok(data)
                if data.floats.timestamps.is_empty() && data.histograms.timestamps.is_empty() =>
            {
                None
            }
            Ok(data) if hints.labels_only => {
                Some(Ok(SeriesData { labels: data.labels, ..SeriesData::default() }))
            }
            Ok(data) => Some(Ok(data)),
        };
        Ok(Box::new(self.series.iter().filter(wanted).filter_map(read).take(limit)))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let wanted = self.series.iter().filter(|it| matches(it, matchers) && touches(it, range));
        let names: BTreeSet<&str> =
            wanted.flat_map(|series| series.labels.iter().map(|(name, _)| name)).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let wanted = self.series.iter().filter(|it| matches(it, matchers) && touches(it, range));
        let values: BTreeSet<&str> = wanted.filter_map(|series| series.labels.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}
