//! What an evaluation each second costs in full, and with what it reads kept up to date: `cargo run --release -p
//! swell-bench-micro --example standing -- [SECONDS]`, default 200. Samples a second apart from twenty-five series a target,
//! in memory; CPU of one thread, the median over the seconds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use swell_bench_micro::cluster::{Cluster, Kind, START_MS};
use swell_bench_micro::timing::{Timer, quantile};
use swell_engine::{Config, Db, WalSync};
use swell_env::{ManualClock, MemDir};
use swell_model::{SeriesSource, TimestampMs};
use swell_promql::{Budget, EvalParams, QueryOutput, Standing, evaluate};
use swell_promql_syntax::{Expr, parse};
use swell_telemetry::Registry;

/// Seconds before the first evaluation: the longest window is full.
const BEFORE: i64 = 400;
const STEP_MS: i64 = 1000;

const QUERIES: [&str; 12] = [
    "sum by (pod) (rate(ten_total[1m]))",
    "sum by (pod) (rate(http_requests_total[1m]))",
    "sum by (pod) (rate(container_cpu_usage_seconds_total[1m]))",
    "sum by (namespace) (rate(container_cpu_usage_seconds_total[5m]))",
    "avg_over_time(container_memory_working_set_bytes[5m])",
    "avg by (namespace) (avg_over_time(container_cpu_usage_seconds_total[5m]))",
    "max_over_time(container_memory_working_set_bytes[5m]) > 1e15",
    "rate(container_cpu_usage_seconds_total[1m]) > 1e6",
    "http_requests_total > 1e12",
    "sum by (namespace) (container_memory_working_set_bytes)",
    "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[1m])))",
    "quantile_over_time(0.9, http_requests_total[1m]) > 1e12",
];

fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(200), |arg| arg.parse())?;
    let clock = Arc::new(ManualClock::new(TimestampMs(2_000_000_000_000)));
    let config = Config { wal_sync: WalSync::Never, ..Config::standard() };
    let db = Arc::new(Db::open(Arc::new(MemDir::new()), config, clock, &Registry::new())?);
    let mut cluster = Cluster::new(1)
        .with_containers("ten_total", Kind::Events, 10)
        .with_containers("http_requests_total", Kind::Events, 400)
        .with_containers("container_cpu_usage_seconds_total", Kind::CpuSeconds, 2_600)
        .with_containers("container_memory_working_set_bytes", Kind::Bytes, 2_600)
        .with_buckets("http_request_duration_seconds_bucket", 1_200);
    // All of these at once are more than is kept as a rule.
    let standing = Standing::new(db.clone(), 4 * Standing::SAMPLES_MAX_DEFAULT);
    let exprs = QUERIES.map(|query| parse(query).expect("it parses"));
    let mut took = [const { (Vec::new(), Vec::new(), 0) }; QUERIES.len()];
    cluster.append(&*db, 0..BEFORE + seconds, STEP_MS, |row| {
        if row % 64 == 0 {
            db.maintain(TimestampMs(0)).expect("it packs what is sealed");
        }
        if row < BEFORE {
            return;
        }
        let at = TimestampMs(START_MS + (row + 1) * STEP_MS);
        for (expr, (full, kept, incremental)) in exprs.iter().zip(&mut took) {
            let reader = standing.at(at);
            let [(expected, full_took), (found, kept_took)] =
                [&*db as &dyn SeriesSource, &reader].map(|source| timed(expr, source, at));
            assert_eq!(found.value, expected.value, "{expr}");
            *incremental += i64::from(reader.reads().are_incremental());
            full.push(full_took);
            kept.push(kept_took);
        }
    });
    println!("{:<88}{:>11}{:>11}{:>8}", "query", "full", "standing", "ratio");
    for (query, (mut full, mut kept, incremental)) in QUERIES.into_iter().zip(took) {
        ensure!(incremental >= seconds - 1, "{query}: {incremental} of {seconds} are incremental");
        let (full, kept) = (quantile(&mut full, 0.5), quantile(&mut kept, 0.5));
        let ratio = full.as_secs_f64() / kept.as_secs_f64();
        println!("{query:<88}{full:>11.1?}{kept:>11.1?}{ratio:>8.1}");
    }
    println!("kept: {:?}", standing.size());
    Ok(())
}

fn timed(expr: &Expr, source: &dyn SeriesSource, at: TimestampMs) -> (QueryOutput, Duration) {
    let params = EvalParams::instant(at);
    Timer.measure(|| evaluate(expr, source, &params, &Budget::default()).expect("it evaluates"))
}
