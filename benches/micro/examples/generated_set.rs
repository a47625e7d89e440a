//! Stores a day of generated series of a cluster and tells what it takes:
//! `cargo run --release -p swell-bench-micro --example generated_set -- [SERIES [HOURS [SEED]]]`, default 10000 24 1.

use std::sync::Arc;

use anyhow::{bail, ensure};
use swell_bench_gen::{Cluster, Scale};
use swell_bench_micro::timing::{Timer, ratio};
use swell_engine::{Config, Db, WalSync};
use swell_env::{ManualClock, MemDir};
use swell_model::{
    Batch, DurationMs, Labels, Row, SampleSink, SelectHints, SeriesRef, SeriesSource, TimeRange,
    TimestampMs,
};
use swell_telemetry::Registry;

const HOUR_MS: i64 = 3_600_000;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().map_or(Ok(default), |arg| arg.parse());
    let (series_count, hours, seed) = (number(10_000)?, number(24)?, number(1)?);
    let scale = Scale { series_count, seed: seed as u64, ..Scale::standard() };
    let mut cluster = Cluster::new(scale);
    let clock = Arc::new(ManualClock::new(TimestampMs(2_000_000_000_000)));
    let config = Config { wal_sync: WalSync::Never, ..Config::standard() };
    let config = Config { future_limit: DurationMs(i64::MAX / 4), ..config };
    let db = Db::open(Arc::new(MemDir::new()), config, clock, &Registry::new())?;
    let refs = cluster
        .targets
        .iter()
        .map(|target| target.labels.iter().map(|labels| Ok(db.resolve(labels)?)).collect())
        .collect::<anyhow::Result<Vec<Vec<SeriesRef>>>>()?;
    let series_count = cluster.series_count();
    let rows = usize::try_from(i64::try_from(hours)? * HOUR_MS / scale.step_ms)?;
    let sample_count = rows * series_count;
    println!("{series_count} series of {} targets, {sample_count} samples", cluster.targets.len());
    let timer = Timer;
    timer.each("generate, append and flush", sample_count, || -> anyhow::Result<()> {
        let rows_per_hour = usize::try_from(HOUR_MS / scale.step_ms)?;
        for row_idx in 0..rows {
            for (target, series) in cluster.targets.iter_mut().zip(&refs) {
                let (at_ms, values) = target.scrape();
                let row = Row::new(TimestampMs(at_ms), series.clone(), values.to_vec());
                let report = db.append(&Batch::of_rows(vec![row]))?;
                ensure!(report.stored == series.len(), "all are stored: {report:?}");
            }
            if row_idx % rows_per_hour == 0 {
                db.maintain(TimestampMs(0))?;
            }
        }
        Ok(())
    })?;
    print_blocks("blocks of two hours", &db, series_count);
    let later = db.resolve(&Labels::from_pairs([("__name__", "later")]))?;
    let at = TimestampMs(scale.start_ms + 3 * 24 * HOUR_MS);
    db.append(&Batch::of_rows(vec![Row::new(at, vec![later], vec![1.0])]))?;
    timer.each("flush the rest and merge", sample_count, || -> anyhow::Result<()> {
        for _ in 0..10 {
            if db.maintain(TimestampMs(0))?.compacted_block_count > 0 {
                return Ok(());
            }
        }
        bail!("the blocks are not merged: {:?}", db.status().blocks)
    })?;
    print_blocks("merged blocks", &db, series_count);
    for _ in 0..2 {
        timer.each("select everything", sample_count, || -> anyhow::Result<()> {
            for series in db.select(&[], &SelectHints::range(TimeRange::ALL))? {
                std::hint::black_box(series?);
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn print_blocks(what: &str, db: &Db, series_count: usize) {
    let blocks = db.status().blocks;
    let samples = usize::try_from(blocks.sample_count).unwrap_or(usize::MAX);
    println!(
        "{what}: {} with {samples} samples, {:.4} bytes per sample, of which index {:.4} ({:.1} bytes per series and block)",
        blocks.block_count,
        ratio(blocks.bytes, samples),
        ratio(blocks.index_bytes, samples),
        ratio(blocks.index_bytes, series_count * blocks.block_count)
    );
}
