//! `swell tsdb import`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use swell_archive::{Archive, Location, Store, parquet_files, prometheus_blocks};
use swell_cli::{Adopted, Adopter, CliError};
use swell_engine::Db;
use swell_env::SystemClock;
use swell_model::{
    Batch, DurationMs, HistogramSample, Row, SampleSink as _, SelectHints, SeriesData,
    SeriesSource, TimeRange, TimestampMs,
};

use super::openmetrics::TextSource;
use super::progress::Progress;
use super::staging::Staging;
use super::{DAY, parts};
use crate::args::{ImportFormat, OutputForm, TsdbImportArgs};
use crate::tsdb_tools::{open, tool_settings};

/// A day with fewer samples becomes one block; others are cut at hours until they have fewer.
const BLOCK_SAMPLES_MAX: u64 = 32_000_000;
/// Samples that are appended at once.
const BATCH_SAMPLES: usize = 50_000;

#[derive(Clone, Copy, Debug, Default)]
struct Imported {
    stored: u64,
    /// Of samples newer than the head's first one: there already, or a newer one is.
    dropped: u64,
    block_count: u64,
    block_bytes: u64,
    /// Of times that a running server has in memory.
    left_out: u64,
    /// Since when that is.
    memory_from_ms: Option<i64>,
    range: Option<TimeRange>,
    /// Blocks of aggregates that were made anew.
    aggregated_count: usize,
}

/// Something to import from.
struct Source {
    series: Box<dyn SeriesSource>,
    range: TimeRange,
    sample_count: u64,
}

/// Stores what the path has; `true` when it had something.
pub(crate) fn import(args: &TsdbImportArgs) -> anyhow::Result<bool> {
    let mut progress = Progress::new();
    // The source first: a directory is not made for one that cannot be read.
    let sources = sources(args.format, &args.path, &mut progress)?;
    let data_dir = &args.common.data_dir;
    let imported = match &args.server {
        Some(server) => {
            let server = Adopter::new(server.clone(), args.ca_file.clone());
            hand_over(&Staging::new(data_dir, server)?, &sources, &mut progress)?
        }
        None => into_files(data_dir, &sources, &mut progress)?,
    };
    progress.end();
    tell(args, &imported)?;
    Ok(imported.stored + imported.dropped > 0)
}

/// Stores what sources have in a data directory that no server uses.
fn into_files(
    data_dir: &Path,
    sources: &[Source],
    progress: &mut Progress,
) -> anyhow::Result<Imported> {
    let folder = data_dir.join("tsdb");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let db = open(data_dir, tool_settings())?;
    let mut imported = Imported::default();
    for source in sources {
        store(&db, source, &mut imported, progress)?;
    }
    if let Some(range) = imported.range {
        // Days that are aggregated already would not have what was imported into them.
        imported.aggregated_count =
            db.aggregate_anew(range).context("make the aggregates of the imported times anew")?;
    }
    db.close().context("close the storage")?;
    Ok(imported)
}

/// Hands what sources have to a running server, a block at a time.
fn hand_over(
    staging: &Staging,
    sources: &[Source],
    progress: &mut Progress,
) -> anyhow::Result<Imported> {
    let mut imported = Imported::default();
    for source in sources {
        for part in parts(source.range, span(source)) {
            let series = read(source, part, imported.stored, progress)?;
            if let Some(adopted) = staging.store(series)? {
                imported.add(&adopted);
            }
        }
    }
    Ok(imported)
}

impl Imported {
    /// Adds what a server took in.
    fn add(&mut self, adopted: &Adopted) {
        self.stored += adopted.sample_count;
        self.left_out += adopted.left_out;
        self.memory_from_ms = adopted.memory_from_ms.or(self.memory_from_ms);
        self.block_count += u64::from(adopted.block_bytes > 0);
        self.block_bytes += adopted.block_bytes;
        self.aggregated_count += adopted.aggregated_count;
        if let Some((first_ms, last_ms)) = adopted.ends_ms {
            self.reach(first_ms, last_ms);
        }
    }

    /// Notes that samples of these times were read.
    fn reach(&mut self, first_ms: i64, last_ms: i64) {
        let (first, last) = (TimestampMs(first_ms), TimestampMs(last_ms));
        let before = self.range.unwrap_or(TimeRange { start_incl: first, end_incl: last });
        self.range = Some(TimeRange {
            start_incl: before.start_incl.min(first),
            end_incl: before.end_incl.max(last),
        });
    }
}

fn sources(
    format: ImportFormat,
    path: &Path,
    progress: &mut Progress,
) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    match format {
        ImportFormat::Prometheus => {
            for block in prometheus_blocks(path)? {
                let (range, sample_count) = (block.range(), block.sample_count());
                sources.push(Source { series: Box::new(block), range, sample_count });
            }
        }
        ImportFormat::Openmetrics => {
            let text = TextSource::read(path, progress)?;
            if let Some(range) = text.range() {
                let sample_count = text.sample_count();
                sources.push(Source { series: Box::new(text), range, sample_count });
            }
        }
        ImportFormat::Parquet => {
            let path =
                std::path::absolute(path).with_context(|| format!("resolve {}", path.display()))?;
            anyhow::ensure!(path.exists(), "there is no {}", path.display());
            if path.join("_swell").is_dir() {
                let store = Store::open(&Location::Folder(path))?;
                let archive = Archive::new(store, Arc::new(SystemClock::new()), usize::MAX)
                    .without_deadline();
                archive.refresh()?;
                if let Some(range) = archive.range() {
                    let (sample_count, _) = archive.totals();
                    sources.push(Source { series: Box::new(archive), range, sample_count });
                }
            } else {
                let files = parquet_files(&path)?;
                if let Some(range) = files.range() {
                    let sample_count = files.sample_count();
                    sources.push(Source { series: Box::new(files), range, sample_count });
                }
            }
        }
    }
    Ok(sources)
}

/// Length of blocks, so that one has about as many samples as fit into memory.
fn span(source: &Source) -> DurationMs {
    let length = source.range.end_incl.since(source.range.start_incl).0.max(1);
    let per_day = u128::from(source.sample_count) * u128::from(DAY.0.unsigned_abs())
        / u128::from(length.max(DAY.0).unsigned_abs());
    let mut span = DAY.0;
    for hours in [12, 6, 2, 1] {
        let days = DAY.0 / span;
        if per_day / u128::from(days.unsigned_abs()) <= u128::from(BLOCK_SAMPLES_MAX) {
            break;
        }
        span = hours * 3_600_000;
    }
    DurationMs(span)
}

fn store(
    db: &Db,
    source: &Source,
    imported: &mut Imported,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    for part in parts(source.range, span(source)) {
        let before = db.import_before();
        let old = TimeRange {
            start_incl: part.start_incl,
            end_incl: part.end_incl.min(TimestampMs(before.0.saturating_sub(1))),
        };
        if old.start_incl <= old.end_incl {
            let series = read(source, old, imported.stored, progress)?;
            note_range(imported, &series);
            let report = db.import(series).context("store a block")?;
            imported.stored += report.sample_count;
            imported.block_bytes += report.block_bytes;
            imported.block_count += u64::from(report.block_bytes > 0);
        }
        let new = TimeRange { start_incl: part.start_incl.max(before), ..part };
        if new.start_incl <= new.end_incl {
            let series = read(source, new, imported.stored, progress)?;
            note_range(imported, &series);
            append(db, &series, imported).context("append to the head")?;
        }
    }
    Ok(())
}

fn read(
    source: &Source,
    range: TimeRange,
    stored: u64,
    progress: &mut Progress,
) -> anyhow::Result<Vec<SeriesData>> {
    let mut all = Vec::new();
    let mut sample_count = 0;
    for series in source.series.select(&[], &SelectHints::range(range))? {
        let series = series?;
        sample_count += series.floats.timestamps.len() + series.histograms.timestamps.len();
        all.push(series);
        progress.tell(|| format!("{stored} samples stored, {sample_count} of the next block read"));
    }
    Ok(all)
}

fn note_range(imported: &mut Imported, series: &[SeriesData]) {
    let firsts = series
        .iter()
        .flat_map(|it| [it.floats.timestamps.first(), it.histograms.timestamps.first()]);
    let lasts =
        series.iter().flat_map(|it| [it.floats.timestamps.last(), it.histograms.timestamps.last()]);
    if let Some((first, last)) = firsts.flatten().min().zip(lasts.flatten().max()) {
        imported.reach(*first, *last);
    }
}

/// Samples that the head may have newer ones of go the usual way, in order of time.
fn append(db: &Db, series: &[SeriesData], imported: &mut Imported) -> anyhow::Result<()> {
    let mut by_time: BTreeMap<i64, Batch> = BTreeMap::new();
    for it in series {
        let reference = db.resolve(&it.labels)?;
        for (at, value) in it.floats.timestamps.iter().zip(it.floats.values.iter()) {
            let batch = by_time.entry(*at).or_default();
            if batch.rows.is_empty() {
                batch.rows.push(Row { timestamp: TimestampMs(*at), ..Row::default() });
            }
            batch.rows[0].series.push(reference);
            batch.rows[0].values.push(*value);
        }
        for (at, value) in it.histograms.timestamps.iter().zip(&it.histograms.values) {
            let sample = HistogramSample {
                series: reference,
                timestamp: TimestampMs(*at),
                value: value.clone(),
                start_ms: 0,
            };
            by_time.entry(*at).or_default().histograms.push(sample);
        }
    }
    let mut waiting = Batch::default();
    let mut flush = |batch: &mut Batch| -> anyhow::Result<()> {
        let report = db.append(batch)?;
        imported.stored += report.stored as u64;
        imported.dropped += (batch.sample_count() - report.stored) as u64;
        *batch = Batch::default();
        Ok(())
    };
    for mut batch in by_time.into_values() {
        waiting.rows.append(&mut batch.rows);
        waiting.histograms.append(&mut batch.histograms);
        if waiting.sample_count() >= BATCH_SAMPLES {
            flush(&mut waiting)?;
        }
    }
    flush(&mut waiting)
}

fn tell(args: &TsdbImportArgs, done: &Imported) -> anyhow::Result<()> {
    let ends = done.range.map(|range| [range.start_incl.0, range.end_incl.0]);
    let line = match args.common.output {
        OutputForm::Json => json!({
            "samples": done.stored, "dropped": done.dropped, "blocks": done.block_count,
            "block_bytes": done.block_bytes, "range_ms": ends,
            "aggregate_blocks": done.aggregated_count, "left_out": done.left_out,
        })
        .to_string(),
        OutputForm::Text => format!(
            "{} samples stored in {} blocks of {} bytes, {} dropped as there already",
            done.stored, done.block_count, done.block_bytes, done.dropped
        ),
    };
    if let Some(from_ms) = done.memory_from_ms {
        eprintln!(
            "{} samples from {} on were left out: the server has that time in memory; send them by remote write, or import them again once it is in blocks, in some three hours",
            done.left_out,
            shown(from_ms)
        );
    }
    if done.aggregated_count > 0 {
        eprintln!("{} blocks of aggregates were made anew", done.aggregated_count);
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}").map_err(CliError::Write)?;
    if done.block_count > 0 {
        eprintln!(
            "samples older than storage.tsdb.retention.time are deleted while a server runs: raise it first if they are to stay"
        );
    }
    Ok(())
}

/// A time for people.
fn shown(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| at_ms.to_string(), |at| at.to_string())
}
