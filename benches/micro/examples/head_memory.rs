//! What a series takes in memory, a sample in the log, and a restart:
//! `cargo run --release -p swell-bench-micro --example head_memory -- fill DIR [SERIES [ROWS]]`, then `... open DIR`,
//! which begins at the checkpoint that filling wrote last; without the file `DIR/checkpoint` it reads all of the log.
//! Series and samples are those of a generated cluster; memory is what the process has resident beyond the generator.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use swell_bench_gen::{Cluster, Scale};
use swell_bench_micro::timing::ratio;
use swell_engine::{Config, Db, WalSync};
use swell_env::{Clock as _, FsDir, SystemClock};
use swell_model::{Batch, DurationMs, Row, SampleSink as _, SeriesRef, TimestampMs};
use swell_telemetry::Registry;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |idx: usize, default: usize| args.get(idx).map_or(Ok(default), |arg| arg.parse());
    let dir = args.get(1).context("name a directory")?;
    match args.first().map(String::as_str) {
        Some("fill") => fill(Path::new(dir), arg(2, 100_000)?, arg(3, 240)?),
        Some("open") => reopen(Path::new(dir)),
        _ => bail!("say fill or open"),
    }
}

fn open(dir: &Path) -> anyhow::Result<Db> {
    let config = Config {
        wal_sync: WalSync::Never,
        future_limit: DurationMs(i64::MAX / 4),
        ..Config::standard()
    };
    let (dir, clock) = (Arc::new(FsDir::open(dir)?), Arc::new(SystemClock::new()));
    Ok(Db::open(dir, config, clock, &Registry::new())?)
}

fn fill(dir: &Path, series_count: usize, rows: usize) -> anyhow::Result<()> {
    let mut cluster = Cluster::new(Scale { series_count, ..Scale::standard() });
    let series_count = cluster.series_count();
    let db = open(dir)?;
    let label_bytes: usize =
        cluster.targets.iter().flat_map(|t| &t.labels).map(|labels| labels.text_bytes()).sum();
    println!(
        "{series_count} series, {:.0} bytes of label text each",
        ratio(label_bytes as u64, series_count)
    );
    let before = Usage::now()?;
    let refs: Vec<Vec<SeriesRef>> = cluster
        .targets
        .iter()
        .map(|target| target.labels.iter().map(|labels| db.resolve(labels)).collect())
        .collect::<Result<_, _>>()?;
    let resolved = Usage::now()?;
    let ref_bytes = series_count * size_of::<SeriesRef>();
    resolved.print("made", &before, series_count, ref_bytes);
    let clock = SystemClock::new();
    let (mut append_ns, mut sample_count) = (0, 0);
    for _ in 0..rows {
        for (target, series) in cluster.targets.iter_mut().zip(&refs) {
            let (at_ms, values) = target.scrape();
            let row = Row::new(TimestampMs(at_ms), series.clone(), values.to_vec());
            let batch = Batch::of_rows(vec![row]);
            let began = clock.monotonic();
            let report = db.append(&batch)?;
            append_ns += clock.monotonic().since(began).as_nanos();
            ensure!(report.stored == series.len(), "all are stored: {report:?}");
            sample_count += series.len();
        }
    }
    Usage::now()?.print("with samples", &before, series_count, ref_bytes);
    db.maintain(TimestampMs(0))?;
    Usage::now()?.print("with samples, packed", &before, series_count, ref_bytes);
    let status = db.status();
    println!("{sample_count} samples, {} ns each to append", append_ns / sample_count as u128);
    println!(
        "log: {:.3} bytes per sample, in memory {} bytes a series; checkpoint {:.1} bytes a series",
        ratio(status.wal.bytes, sample_count),
        status.wal.memory_bytes / series_count,
        ratio(status.wal.checkpoint_bytes, series_count)
    );
    println!("columns: {:.0} bytes a series", ratio(status.head.bytes, series_count));
    Ok(())
}

fn reopen(dir: &Path) -> anyhow::Result<()> {
    let before = Usage::now()?;
    let db = open(dir)?;
    let after = Usage::now()?;
    let status = db.status();
    println!(
        "{} series, {} samples, {}, {} records of the log: {:.2} s of CPU",
        status.head.series_count,
        status.head.sample_count,
        if status.wal.began_at_checkpoint { "from a checkpoint" } else { "without a checkpoint" },
        status.wal.replayed_record_count,
        after.cpu_seconds - before.cpu_seconds
    );
    after.print("opened", &before, status.head.series_count, 0);
    Ok(())
}

/// What this process uses.
struct Usage {
    resident_bytes: usize,
    cpu_seconds: f64,
}

impl Usage {
    fn now() -> anyhow::Result<Self> {
        let pages = std::fs::read_to_string("/proc/self/statm")?;
        let pages: usize = pages.split_whitespace().nth(1).context("resident pages")?.parse()?;
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let after_name = stat.rsplit_once(')').context("a name")?.1;
        let ticks: Vec<f64> = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { resident_bytes: pages * 4096, cpu_seconds: ticks.iter().sum::<f64>() / 100.0 })
    }

    fn print(&self, what: &str, before: &Self, series_count: usize, own_bytes: usize) {
        let bytes = self.resident_bytes.saturating_sub(before.resident_bytes + own_bytes);
        println!(
            "{what}: {:.0} bytes a series resident ({} MiB)",
            ratio(bytes as u64, series_count),
            bytes >> 20
        );
    }
}
