//! What aggregates beside samples take, and what they save: `cargo run --release -p swell-bench-micro --example tiers --
//! [SERIES [DAYS]]`, default 200 16. Half gauges of whole numbers, half counters of fractions, a sample each 30 s.

use std::sync::Arc;

use anyhow::ensure;
use swell_bench_micro::cluster::{Cluster, Kind, START_MS};
use swell_bench_micro::timing::{Timer, ratio};
use swell_engine::{Config, Db, Tier, WalSync};
use swell_env::{ManualClock, MemDir};
use swell_model::{DurationMs, TimestampMs};
use swell_promql::{Budget, EvalParams, evaluate};
use swell_promql_syntax::parse;
use swell_telemetry::Registry;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const STEP_MS: i64 = 30_000;

const QUERIES: [&str; 5] = [
    "avg_over_time(container_memory_working_set_bytes[24h])",
    "avg_over_time(container_cpu_usage_seconds_total[24h])",
    "max_over_time(container_memory_working_set_bytes[24h])",
    "increase(container_cpu_usage_seconds_total[24h])",
    "rate(container_cpu_usage_seconds_total[1h])",
];

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().map_or(Ok(default), |arg| arg.parse());
    let (series_count, days) = (number(200)?, i64::try_from(number(16)?)?);
    let tier = |resolution_ms: i64| Tier {
        resolution: DurationMs(resolution_ms),
        retention: DurationMs(i64::MAX),
    };
    let tiers = vec![tier(60_000), tier(300_000), tier(HOUR_MS)];
    let (without, _) = filled(series_count, days, Vec::new())?;
    let (with, sample_count) = filled(series_count, days, tiers)?;
    let status = with.status();
    println!("samples: {:.3} bytes each", ratio(status.blocks.bytes, sample_count));
    for tier in &status.tiers {
        println!(
            "{}: {:.1} bytes a stretch, {:.4} of the samples' bytes",
            tier.resolution,
            ratio(tier.bytes, usize::try_from(tier.aggregate_count)?),
            ratio(tier.bytes, usize::try_from(status.blocks.bytes)?),
        );
    }
    // From the second day to the last whole one.
    let first = START_MS.div_euclid(DAY_MS) * DAY_MS + 2 * DAY_MS;
    let last = START_MS.div_euclid(DAY_MS) * DAY_MS + (days - 2) * DAY_MS;
    for (what, step_ms) in [("one hour", HOUR_MS), ("one day", DAY_MS)] {
        let step = DurationMs(step_ms);
        let params = EvalParams::range(TimestampMs(first), TimestampMs(last), step);
        for query in QUERIES {
            let [plain, coarse] = [&without, &with].map(|db| measured(db, query, &params));
            let ((plain, plain_read), (coarse, coarse_read)) = (plain?, coarse?);
            println!(
                "{query}, a step of {what}: {plain:.1} ms from samples ({plain_read} looked at), {coarse:.1} ms with aggregates ({coarse_read})"
            );
        }
    }
    Ok(())
}

/// A database of so many days, everything in blocks but the newest hours; and its samples.
fn filled(series_count: usize, days: i64, tiers: Vec<Tier>) -> anyhow::Result<(Db, usize)> {
    let clock = Arc::new(ManualClock::new(TimestampMs(2_000_000_000_000)));
    let config = Config {
        wal_sync: WalSync::Never,
        background: None,
        retention_time: DurationMs(i64::MAX),
        tiers,
        ..Config::standard()
    };
    let db = Db::open(Arc::new(MemDir::new()), config, clock, &Registry::new())?;
    let rows = days * DAY_MS / STEP_MS;
    Cluster::new(3)
        .with_containers("container_memory_working_set_bytes", Kind::Bytes, series_count / 2)
        .with_containers("container_cpu_usage_seconds_total", Kind::CpuSeconds, series_count / 2)
        .append(&db, 0..rows, STEP_MS, |row| {
            if row % 120 == 0 {
                db.maintain(TimestampMs(0)).expect("maintains");
            }
        });
    loop {
        let report = db.maintain(TimestampMs(0))?;
        if report.compacted_block_count + report.downsampled_block_count == 0 {
            break;
        }
    }
    let blocks = db.status().blocks;
    ensure!(blocks.sample_count > 0, "blocks were written");
    Ok((db, usize::try_from(blocks.sample_count)?))
}

/// Milliseconds of CPU of the quickest of three runs, and the samples or aggregates looked at.
fn measured(db: &Db, query: &str, params: &EvalParams) -> anyhow::Result<(f64, u64)> {
    let expr = parse(query)?;
    let mut best = (f64::INFINITY, 0);
    for _ in 0..3 {
        let (output, took) = Timer.measure(|| evaluate(&expr, db, params, &Budget::default()));
        let millis = took.as_secs_f64() * 1000.0;
        if millis < best.0 {
            best = (millis, output?.stats.samples_total);
        }
    }
    Ok(best)
}
