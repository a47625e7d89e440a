//! What a scrape costs once its body is here: `cargo run --release -p swell-bench-micro --example scrape -- [SAMPLES
//! SCRAPES]`, 5,000 and 2,000 unless told. Bodies are as a node exporter's, in text format 0.0.4; each scrape has
//! other values. Prints CPU time of reading the body alone, with finding the series and building the batch, and with
//! the append into an engine on disk, its log included; the first scrape, whose series are new, stands apart.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use swell_bench_micro::timing::{Timer, process_cpu, quantile, ratio};
use swell_engine::{Config, Db};
use swell_env::{Clock as _, FsDir, SystemClock};
use swell_exposition::{BodyFormat, Entry, Format, Parser};
use swell_model::{AppendError, AppendReport, Batch, DurationMs, Labels, SampleSink, SeriesRef};
use swell_scrape::ScrapeConfig;
use swell_scrape::testing::Target;
use swell_telemetry::Registry;

/// Different bodies, taken in turn.
const BODY_COUNT: usize = 16;
const STEP_MS: i64 = 1_000;
const FORMAT: BodyFormat = BodyFormat::Text(Format::Text);

/// A body with the label lengths and value shapes of a node exporter's: counters with fractions, counters without,
/// and gauges that often stay.
fn body(series_count: usize, turn: usize) -> String {
    let mut text = String::new();
    for family in 0..series_count.div_ceil(10) {
        let kind = if family % 3 == 2 { "gauge" } else { "counter" };
        writeln!(text, "# HELP node_family_{family}_seconds_total Time spent in mode {family}.")
            .and_then(|()| writeln!(text, "# TYPE node_family_{family}_seconds_total {kind}"))
            .expect("strings take all");
        for idx in 0..10.min(series_count - family * 10) {
            let base = (family * 10 + idx + 1) as f64;
            let value = match family % 3 {
                0 => 12345.67 * base + turn as f64 * 0.25,
                1 => (base * 1000.0 + (turn * idx) as f64).floor(),
                _ => 4096.0 * base,
            };
            writeln!(
                text,
                "node_family_{family}_seconds_total{{cpu=\"{idx}\",device=\"eth{idx}\",mode=\"user\"}} {value}"
            )
            .expect("strings take all");
        }
    }
    text
}

/// Takes everything and keeps nothing; gives series numbers.
#[derive(Default)]
struct NoStorage(AtomicU64);

impl SampleSink for NoStorage {
    fn resolve(&self, _: &Labels) -> Result<SeriesRef, AppendError> {
        Ok(SeriesRef(self.0.fetch_add(1, Ordering::Relaxed)))
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        let stored = batch.rows.iter().map(|row| row.values.len()).sum();
        Ok(AppendReport { stored, ..AppendReport::default() })
    }
}

fn parse(text: &str) -> usize {
    Parser::new(text.as_bytes(), Format::Text)
        .filter(|entry| matches!(entry, Ok(Entry::Sample(_))))
        .count()
}

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let sample_count = numbers.next().transpose()?.unwrap_or(5_000);
    let scrape_count = numbers.next().transpose()?.unwrap_or(2_000);
    let bodies: Vec<String> = (0..BODY_COUNT).map(|turn| body(sample_count, turn)).collect();
    println!("{sample_count} samples, {} bytes a body", bodies[0].len());

    let mut took: Vec<Duration> = bodies
        .iter()
        .cycle()
        .take(scrape_count)
        .map(|body| {
            let (count, took) = Timer.measure(|| parse(body));
            assert_eq!(count, sample_count);
            took
        })
        .collect();
    let middle = quantile(&mut took, 0.5);
    let bytes = bodies[0].len() as f64 / middle.as_secs_f64() / 1e6;
    show("read the body", sample_count, &mut took);
    println!("    {bytes:.0} MB/s");

    let clock = Arc::new(SystemClock::new());
    let start = clock.now().0 - i64::try_from(scrape_count)? * STEP_MS - 60_000;
    measure("with series and batch", &bodies, scrape_count, start, &NoStorage::default())?;

    let folder = tempfile::tempdir().context("make a folder")?;
    let dir = FsDir::open(folder.path()).context("open the folder")?;
    let db = Db::open(Arc::new(dir), Config::standard(), clock, &Registry::new())?;
    let before = process_cpu();
    measure("with the append", &bodies, scrape_count, start, &db)?;
    let all = process_cpu().saturating_sub(before);
    println!("    whole process: {:.3} ms a scrape", all.as_secs_f64() * 1e3 / scrape_count as f64);
    Ok(())
}

fn measure(
    what: &str,
    bodies: &[String],
    scrape_count: usize,
    start_ms: i64,
    sink: &dyn SampleSink,
) -> anyhow::Result<()> {
    let second = DurationMs(STEP_MS);
    let labels = Labels::from_pairs([("instance", "10.0.0.1:9100"), ("job", "node")]);
    let mut target = Target::new(labels, ScrapeConfig::new("node", second, second));
    let mut took = Vec::with_capacity(scrape_count);
    for (nr, body) in bodies.iter().cycle().take(scrape_count).enumerate() {
        let at = swell_model::TimestampMs(start_ms + i64::try_from(nr)? * STEP_MS);
        let (stored, spent) = Timer.measure(|| target.ingest(body.as_bytes(), FORMAT, at, sink));
        let sample_count = parse(body);
        if stored.map_err(|error| anyhow!(error))? != sample_count {
            anyhow::bail!("scrape {nr} is not stored as a whole");
        }
        took.push(spent);
    }
    let sample_count = parse(&bodies[0]);
    println!("{what}: first scrape {:.2?}", took[0]);
    show("    known series", sample_count, &mut took[1..]);
    Ok(())
}

fn show(what: &str, sample_count: usize, took: &mut [Duration]) {
    let middle = quantile(took, 0.5);
    let late = quantile(took, 0.99);
    let nanos = ratio(u64::try_from(middle.as_nanos()).unwrap_or(u64::MAX), sample_count);
    println!("{what}: p50 {middle:.3?} ({nanos:.0} ns per sample), p99 {late:.3?}");
}
