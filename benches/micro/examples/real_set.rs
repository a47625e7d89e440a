//! Stores a recorded set of series and tells what it takes; `benches/real_set.sh` makes its input and runs it:
//! `cargo run --release -p swell-bench-micro --example real_set -- SERIES.tsv SAMPLES.bin [EVERY_NTH_SCRAPE]`.
//!
//! `SERIES.tsv`: a line for each series, its number, then name and value of each label, separated by tabs.
//! `SAMPLES.bin`: for each sample 4 bytes series number, 8 bytes milliseconds, 8 bytes float, little-endian, sorted by time.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use swell_bench_micro::timing::{Timer, ratio};
use swell_chunk::{Cursor, FloatReader, FloatWriter};
use swell_engine::{Config, Db, WalSync};
use swell_env::{Clock, MemDir, SystemClock};
use swell_model::{
    Batch, Labels, Row, SampleSink, SelectHints, SeriesSource, TimeRange, TimestampMs,
};
use swell_telemetry::Registry;

const SAMPLE_LEN: usize = 20;
/// Of the times, so that all lie in one window of a block.
const WINDOW_MS: i64 = 7_200_000;
const DAY_MS: i64 = 86_400_000;
/// Values of one column in a block.
const COLUMN_LEN: usize = 2048;

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
        .map(|(at, row)| {
            let series = row.iter().map(|(nr, _)| refs[nr]).collect();
            let values = row.iter().map(|(_, value)| *value).collect();
            Batch::of_rows(vec![Row::new(TimestampMs(*at), series, values)])
        })
        .collect();

    let timer = Timer;
    decode_columns(&rows, &timer)?;
    timer.each("append", sample_count, || -> anyhow::Result<()> {
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
    timer.each("select from the head", sample_count, || read_all(&db))?;
    // A series hours later makes the window complete.
    let start_ms = batches[0].rows[0].timestamp.0;
    append_later(&db, start_ms + 3 * WINDOW_MS)?;
    timer.each("flush", sample_count, || db.maintain(clock.now()))?;
    let blocks = db.status().blocks;
    ensure!(blocks.block_count == 1, "one block: {blocks:?}");
    print_block("block", &db, sample_count, labels.len());
    timer.each("select from the block, first", sample_count, || read_all(&db))?;
    timer.each("select from the block", sample_count, || read_all(&db))?;
    verify(&db, &labels, &rows)?;
    // A day and more later the block is merged with what came after it.
    append_later(&db, start_ms + 3 * DAY_MS)?;
    append_later(&db, start_ms + 3 * DAY_MS + 3 * WINDOW_MS)?;
    timer.each("flush and merge", sample_count, || -> anyhow::Result<()> {
        for _ in 0..10 {
            if db.maintain(clock.now())?.compacted_block_count > 0 {
                return Ok(());
            }
        }
        bail!("the block is not merged: {:?}", db.status().blocks)
    })?;
    print_block("merged block", &db, sample_count, labels.len());
    timer.each("select from the merged block", sample_count, || read_all(&db))?;
    timer.each("select from the merged block", sample_count, || read_all(&db))?;
    verify(&db, &labels, &rows)
}

/// A sample of one more series.
fn append_later(db: &Db, at_ms: i64) -> anyhow::Result<()> {
    let series = db.resolve(&Labels::from_pairs([("__name__", "later")]))?;
    let row = Row::new(TimestampMs(at_ms), vec![series], vec![1.0]);
    db.append(&Batch::of_rows(vec![row]))?;
    Ok(())
}

fn print_block(what: &str, db: &Db, sample_count: usize, series_count: usize) {
    let blocks = db.status().blocks;
    println!(
        "{what}: {:.4} bytes per sample, of which index {:.4} ({:.1} bytes per series)",
        ratio(blocks.bytes, sample_count),
        ratio(blocks.index_bytes, sample_count),
        ratio(blocks.index_bytes, series_count)
    );
}

/// Encodes and decodes each series alone, without engine, file or checksum: the codecs' own speed.
fn decode_columns(rows: &[TimedRow], timer: &Timer) -> anyhow::Result<()> {
    let mut series: HashMap<i32, Vec<f64>> = HashMap::new();
    for (_, row) in rows {
        row.iter().for_each(|(nr, value)| series.entry(*nr).or_default().push(*value));
    }
    let is_varying =
        |values: &&Vec<f64>| values.iter().any(|value| value.to_bits() != values[0].to_bits());
    let varying: Vec<&Vec<f64>> = series.values().filter(is_varying).collect();
    for (what, columns) in [("all series", series.values().collect()), ("varying series", varying)]
    {
        let count: usize = columns.iter().map(|values| values.len()).sum();
        let encoded = timer.each(&format!("encode {what}"), count, || -> Vec<(usize, Vec<u8>)> {
            columns
                .iter()
                .flat_map(|values| values.chunks(COLUMN_LEN))
                .map(|values| {
                    let mut bytes = Vec::new();
                    FloatWriter::new(values).write_whole(&mut bytes);
                    (values.len(), bytes)
                })
                .collect()
        });
        let bytes: usize = encoded.iter().map(|(_, bytes)| bytes.len()).sum();
        println!("{what}: {:.4} bytes per sample, each alone", ratio(bytes as u64, count));
        let mut reader = FloatReader::new();
        let mut out = vec![0.0; COLUMN_LEN];
        for _ in 0..3 {
            timer.each(&format!("decode {what}"), count, || -> anyhow::Result<()> {
                for (len, bytes) in &encoded {
                    reader.read_whole(&mut Cursor::new(bytes), &mut out[..*len])?;
                    std::hint::black_box(&out);
                }
                Ok(())
            })?;
        }
    }
    Ok(())
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
