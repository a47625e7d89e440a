//! Stores a recorded set of series and tells what it takes:
//! `cargo run --release -p swell-bench-micro --example real_set -- SERIES.tsv SAMPLES.bin [EVERY_NTH_SCRAPE]`.
//!
//! `SERIES.tsv`: a line for each series, its number, then name and value of each label, separated by tabs.
//! `SAMPLES.bin`: for each sample 4 bytes series number, 8 bytes milliseconds, 8 bytes float, little-endian, sorted by time.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use swell_engine::{Config, Db, WalSync};
use swell_env::{Clock, MemDir, SystemClock};
use swell_model::{
    Batch, Labels, Row, SampleSink, SelectHints, SeriesSource, TimeRange, TimestampMs,
};
use swell_telemetry::Registry;

const SAMPLE_LEN: usize = 20;
/// Of the times, so that all lie in one window of a block.
const WINDOW_MS: i64 = 7_200_000;

type Sample = (i32, i64, f64);

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let series = std::fs::read_to_string(args.next().context("name the series")?)?;
    let samples = std::fs::read(args.next().context("name the samples")?)?;
    let nth: i64 = args.next().map_or(Ok(1), |nth| nth.parse())?;
    let labels = read_series(&series)?;
    let rows = rows_of(&read_samples(&samples)?, &labels, nth)?;
    let sample_count: usize = rows.iter().map(|(_, row)| row.len()).sum();

    let clock = Arc::new(SystemClock::new());
    let config = Config { wal_sync: WalSync::Never, ..Config::standard() };
    let config = Config { future_limit: swell_model::DurationMs(i64::MAX / 4), ..config };
    let db = Db::open(Arc::new(MemDir::new()), config, clock.clone(), &Registry::new())?;
    let refs = labels
        .iter()
        .map(|(nr, labels)| Ok((*nr, db.resolve(labels)?)))
        .collect::<anyhow::Result<HashMap<i32, _>>>()?;
    let batches: Vec<Batch> = rows
        .iter()
        .map(|(at, row)| Batch {
            rows: vec![Row {
                timestamp: TimestampMs(*at),
                series: row.iter().map(|(nr, _)| refs[nr]).collect(),
                values: row.iter().map(|(_, value)| *value).collect(),
            }],
            histograms: Vec::new(),
        })
        .collect();

    let mut timer = Timer { clock: clock.clone(), samples: sample_count };
    timer.time("append", || -> anyhow::Result<()> {
        for batch in &batches {
            let report = db.append(batch)?;
            ensure!(report.stored == batch.sample_count(), "all are stored: {report:?}");
        }
        Ok(())
    })?;
    let head = db.status();
    println!("{sample_count} samples, {} series", head.head.series_count);
    println!("log: {:.3} bytes per sample", ratio(head.wal.bytes, sample_count));
    println!("head, as appended: {:.3} bytes per sample", ratio(head.head.bytes, sample_count));
    timer.time("select from the head", || read_all(&db))?;
    // A series hours later makes the window complete.
    let last = db.resolve(&Labels::from_pairs([("__name__", "later")]))?;
    let later = Row {
        timestamp: TimestampMs(batches[0].rows[0].timestamp.0 + 3 * WINDOW_MS),
        series: vec![last],
        values: vec![1.0],
    };
    db.append(&Batch { rows: vec![later], histograms: Vec::new() })?;
    timer.time("flush", || -> anyhow::Result<()> {
        db.maintain(clock.now())?;
        Ok(())
    })?;
    let status = db.status();
    ensure!(status.blocks.block_count == 1, "one block: {status:?}");
    let blocks = status.blocks;
    println!(
        "block: {:.4} bytes per sample, of which index {:.4} ({:.1} bytes per series)",
        ratio(blocks.bytes, sample_count),
        ratio(blocks.index_bytes, sample_count),
        ratio(blocks.index_bytes, labels.len())
    );
    timer.time("select from the block, first", || read_all(&db))?;
    timer.time("select from the block", || read_all(&db))?;
    verify(&db, &labels, &rows)
}

struct Timer {
    clock: Arc<SystemClock>,
    samples: usize,
}

impl Timer {
    fn time(
        &mut self,
        what: &str,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let start = self.clock.monotonic();
        work()?;
        let took = self.clock.monotonic().since(start);
        let nanos = ratio(u64::try_from(took.as_nanos())?, self.samples);
        println!("{what}: {nanos:.1} ns per sample, {took:.1?} in all");
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ratio(amount: u64, count: usize) -> f64 {
    amount as f64 / count as f64
}

fn read_series(text: &str) -> anyhow::Result<HashMap<i32, Labels>> {
    text.lines()
        .map(|line| {
            let (nr, labels) = line.split_once('\t').context("a line has a number and labels")?;
            let parts: Vec<&str> = labels.split('\t').collect();
            let pairs = parts.chunks_exact(2).map(|pair| (pair[0], pair[1]));
            Ok((nr.parse()?, Labels::from_pairs(pairs)))
        })
        .collect()
}

fn read_samples(bytes: &[u8]) -> anyhow::Result<Vec<Sample>> {
    ensure!(bytes.len().is_multiple_of(SAMPLE_LEN), "whole samples");
    bytes
        .chunks_exact(SAMPLE_LEN)
        .map(|sample| {
            Ok((
                i32::from_le_bytes(sample[..4].try_into()?),
                i64::from_le_bytes(sample[4..12].try_into()?),
                f64::from_le_bytes(sample[12..].try_into()?),
            ))
        })
        .collect()
}

type TimedRow = (i64, Vec<(i32, f64)>);

/// Samples of one target and instant together, every nth instant of each target, shifted to the start of a window.
fn rows_of(
    samples: &[Sample],
    labels: &HashMap<i32, Labels>,
    nth: i64,
) -> anyhow::Result<Vec<TimedRow>> {
    let first_ms = samples.first().context("there are samples")?.1;
    let mut seen: HashMap<&str, i64> = HashMap::new();
    let mut rows = Vec::new();
    for instant in samples.chunk_by(|a, b| a.1 == b.1) {
        let mut targets: HashMap<&str, Vec<(i32, f64)>> = HashMap::new();
        for (nr, _, value) in instant {
            let target = labels[nr].get("instance").unwrap_or_default();
            targets.entry(target).or_default().push((*nr, *value));
        }
        for (target, row) in targets {
            let scrape = seen.entry(target).or_insert(0);
            *scrape += 1;
            if (*scrape - 1) % nth == 0 {
                let shifted = instant[0].1 - first_ms + first_ms / WINDOW_MS * WINDOW_MS;
                rows.push((shifted, row));
            }
        }
    }
    Ok(rows)
}

fn read_all(db: &Db) -> anyhow::Result<()> {
    for series in db.select(&[], &SelectHints::range(TimeRange::ALL))? {
        std::hint::black_box(series?);
    }
    Ok(())
}

/// Every sample comes back bit for bit.
fn verify(db: &Db, labels: &HashMap<i32, Labels>, rows: &[TimedRow]) -> anyhow::Result<()> {
    let mut expected: HashMap<&Labels, Vec<(i64, u64)>> = HashMap::new();
    for (at, row) in rows {
        for (nr, value) in row {
            expected.entry(&labels[nr]).or_default().push((*at, value.to_bits()));
        }
    }
    let mut count = 0;
    for series in db.select(&[], &SelectHints::range(TimeRange::ALL))? {
        let series = series?;
        if let Some(expected) = expected.get(&series.labels) {
            let found = series.floats.timestamps.iter().zip(series.floats.values.iter());
            ensure!(
                found.map(|(at, v)| (*at, v.to_bits())).eq(expected.iter().copied()),
                "{}",
                series.labels
            );
            count += 1;
        }
    }
    ensure!(count == expected.len(), "{count} of {} series", expected.len());
    println!("every sample came back bit for bit");
    Ok(())
}
