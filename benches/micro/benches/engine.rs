//! The engine over a directory in memory: `cargo bench -p swell-bench-micro --bench engine`. Items are samples.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use swell_bench_micro::node::Host;
use swell_engine::{Config, Db, WalSync};
use swell_env::{ManualClock, MemDir};
use swell_model::{
    Batch, Labels, Matcher, Row, SampleSink, SelectHints, SeriesRef, SeriesSource, TimeRange,
    TimestampMs,
};
use swell_telemetry::Registry;

const HOSTS: usize = 20;
const SERIES: usize = 500;
/// Four hours at 15 s: two are flushed, two stay in the head.
const ROWS: usize = 960;

fn main() {
    let world = World::new();
    let db = world.open();
    world.append(&db, 0..ROWS);
    let status = db.status();
    println!(
        "head: {} series, {} samples, {} bytes of columns; log: {} bytes",
        status.head.series_count, status.head.sample_count, status.head.bytes, status.wal.bytes
    );
    db.maintain(TimestampMs(0)).expect("flushes");
    let status = db.status();
    println!(
        "block: {} samples, {:.4} bytes per sample, of which index {:.4}",
        status.blocks.sample_count,
        status.bytes_per_sample,
        ratio(status.blocks.index_bytes, status.blocks.sample_count)
    );
    divan::main();
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ratio(bytes: u64, samples: u64) -> f64 {
    bytes as f64 / samples as f64
}

/// Hosts and the labels of their series.
struct World {
    hosts: Vec<Host>,
    labels: Vec<Vec<Labels>>,
}

impl World {
    fn new() -> Self {
        let hosts = (0..HOSTS).map(|nr| Host::new(nr as u64, SERIES, ROWS, 15_000)).collect();
        let labels = (0..HOSTS)
            .map(|host| {
                (0..SERIES)
                    .map(|nr| {
                        Labels::from_pairs([
                            ("__name__", format!("node_metric_{}_total", nr / 5).as_str()),
                            ("device", &format!("device{}", nr % 5)),
                            ("instance", &format!("10.0.0.{host}:9100")),
                            ("job", "node"),
                        ])
                    })
                    .collect()
            })
            .collect();
        Self { hosts, labels }
    }

    fn open(&self) -> Db {
        let clock = Arc::new(ManualClock::new(TimestampMs(2_000_000_000_000)));
        let config = Config { wal_sync: WalSync::Never, ..Config::standard() };
        Db::open(Arc::new(MemDir::new()), config, clock, &Registry::new()).expect("opens")
    }

    fn resolve(&self, db: &Db) -> Vec<Vec<SeriesRef>> {
        let of_host = |labels: &Vec<Labels>| -> Vec<SeriesRef> {
            labels.iter().map(|labels| db.resolve(labels).expect("resolves")).collect()
        };
        self.labels.iter().map(of_host).collect()
    }

    fn batch(&self, host: usize, row: usize, series: &[SeriesRef]) -> Batch {
        let host = &self.hosts[host];
        Batch::of_rows(vec![Row::new(
            TimestampMs(host.timestamps[row]),
            series.to_vec(),
            host.series.iter().map(|values| values[row]).collect(),
        )])
    }

    fn append(&self, db: &Db, rows: std::ops::Range<usize>) {
        let series = self.resolve(db);
        for row in rows {
            for (host, series) in series.iter().enumerate() {
                db.append(&self.batch(host, row, series)).expect("appends");
            }
        }
    }

    fn filled(&self, flushed: bool) -> Db {
        let db = self.open();
        self.append(&db, 0..ROWS);
        if flushed {
            db.maintain(TimestampMs(0)).expect("flushes");
        }
        db
    }
}

#[divan::bench(sample_count = 20)]
fn append_rows(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher
        .counter(ItemsCount::new(HOSTS * SERIES * 100))
        .with_inputs(|| {
            let db = world.open();
            let series = world.resolve(&db);
            let batches: Vec<Batch> = (0..100)
                .flat_map(|row| (0..HOSTS).map(move |host| (row, host)))
                .map(|(row, host)| world.batch(host, row, &series[host]))
                .collect();
            (db, batches)
        })
        .bench_local_values(|(db, batches)| {
            for batch in &batches {
                db.append(batch).expect("appends");
            }
            db
        });
}

/// Items are series.
#[divan::bench(sample_count = 20)]
fn resolve_known_series(bencher: Bencher<'_, '_>) {
    let world = World::new();
    let db = world.open();
    world.resolve(&db);
    bencher.counter(ItemsCount::new(HOSTS * SERIES)).bench_local(|| world.resolve(&db));
}

/// Items are series.
#[divan::bench(sample_count = 10)]
fn create_series(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher
        .counter(ItemsCount::new(HOSTS * SERIES))
        .with_inputs(|| world.open())
        .bench_local_values(|db| {
            world.resolve(&db);
            db
        });
}

fn read(db: &Db, matchers: &[Matcher], range: TimeRange) -> usize {
    db.select(matchers, &SelectHints::range(range))
        .expect("selects")
        .map(|series| black_box(series.expect("decodes")).floats.values.len())
        .sum()
}

/// One metric on all hosts, 100 series; the last minutes (head), everything, and what is in the block.
#[divan::bench(args = ["last 5 minutes", "all", "block"], sample_count = 50)]
fn select(bencher: Bencher<'_, '_>, what: &str) {
    let world = World::new();
    let db = world.filled(what != "last 5 minutes");
    let matchers = [Matcher::equal("__name__", "node_metric_42_total")];
    let last_ms = world.hosts[0].timestamps[ROWS - 1];
    let first_ms = world.hosts[0].timestamps[0];
    let (from, to) = match what {
        "last 5 minutes" => (last_ms - 300_000, last_ms),
        "block" => (first_ms, first_ms + 3_600_000),
        _ => (first_ms, last_ms),
    };
    let range = TimeRange { start_incl: TimestampMs(from), end_incl: TimestampMs(to) };
    let samples = read(&db, &matchers, range);
    bencher.counter(ItemsCount::new(samples)).bench_local(|| read(&db, &matchers, range));
}

#[divan::bench(sample_count = 10)]
fn flush(bencher: Bencher<'_, '_>) {
    let world = World::new();
    bencher
        .counter(ItemsCount::new(HOSTS * SERIES * 480))
        .with_inputs(|| world.filled(false))
        .bench_local_values(|db| {
            db.maintain(TimestampMs(0)).expect("flushes");
            db
        });
}
