//! What receiving remote write costs, without sockets: `cargo run --release -p swell-bench-micro --example receive --
//! SERIES ROWS`. Requests of 5,000 samples go through the route into an engine on disk, one sample of each series after
//! the other; prints CPU nanoseconds per sample of the first row, whose series are new, and of the others.

#[path = "common/requests.rs"]
mod requests;

use std::sync::Arc;

use anyhow::Context as _;
use requests::{Requests, send};
use swell_bench_gen::{Cluster, Scale};
use swell_bench_micro::timing::process_cpu;
use swell_engine::{Config, Db};
use swell_env::{Clock as _, FsDir, SystemClock};
use swell_telemetry::Registry;
use swell_tsdb_http::{Readiness, RemoteWrite, RemoteWriteConfig, write_router};

const STEP_MS: i64 = 15_000;

/// CPU seconds of this process so far.
fn cpu_s() -> f64 {
    process_cpu().as_secs_f64()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let (Some(series_count), Some(row_count)) = (numbers.next(), numbers.next()) else {
        anyhow::bail!("usage: receive SERIES ROWS");
    };
    let (series_count, row_count) = (series_count?, row_count?);
    let clock = Arc::new(SystemClock::new());
    let span_ms = i64::try_from(row_count)? * STEP_MS;
    let mut requests = Requests::of(Cluster::new(Scale {
        series_count,
        start_ms: clock.now().0 - span_ms - 60_000,
        step_ms: STEP_MS,
        ..Scale::standard()
    }));
    let folder = tempfile::tempdir().context("make a folder")?;
    let registry = Registry::new();
    let dir = FsDir::open(folder.path()).context("open the folder")?;
    let db = Arc::new(Db::open(Arc::new(dir), Config::standard(), clock.clone(), &registry)?);
    let readiness = Readiness::default();
    readiness.ready();
    let config = RemoteWriteConfig::standard();
    let receiver = RemoteWrite::new(config, db.clone(), clock, readiness, &registry)?;
    let router = write_router(receiver);
    let (mut first, mut others) = ((0.0, 0), (0.0, 0));
    for row in 0..row_count {
        let (bodies, samples) = requests.next_row()?;
        let before = cpu_s();
        send(&router, bodies).await?;
        let spent = if row == 0 { &mut first } else { &mut others };
        *spent = (spent.0 + cpu_s() - before, spent.1 + samples);
    }
    let before = cpu_s();
    let report = db.maintain(swell_model::TimestampMs(0))?;
    let maintained = cpu_s() - before;
    let per_sample = |(seconds, samples): (f64, usize)| 1e9 * seconds / samples.max(1) as f64;
    let status = db.status();
    println!(
        "{} series: new {:.0} ns, known {:.0} ns a sample; upkeep {:.0} ns a sample ({} blocks); log {:.2} bytes a \
         sample",
        requests.series_count(),
        per_sample(first),
        per_sample(others),
        1e9 * maintained / (first.1 + others.1) as f64,
        report.flushed_block_count,
        status.wal.bytes as f64 / status.head.sample_count.max(1) as f64,
    );
    Ok(())
}
