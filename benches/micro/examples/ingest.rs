//! What a sample costs from the request until it is compact, without sockets and by phase:
//! `cargo run --release -p swell-bench-micro --example ingest -- SERIES ROWS STEP_S [beside]`.
//!
//! Requests of remote write go through the route into an engine on disk, upkeep looks after every [`UPKEEP_SAMPLES`], and for
//! a checkpoint after every [`LOOK_SAMPLES`], or, with `beside`, each second on a thread of its own as in a server, so that
//! series come while it is written; what a kill right behind the last request costs the next start is measured; then
//! a sample of now closes all windows, the database is closed, and a second one flushes and merges until nothing is left,
//! as `swell tsdb compact` does behind `benches/compare`. CPU is that of the process, without making the requests.

#[path = "common/requests.rs"]
mod requests;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use requests::{Requests, send};
use swell_bench_gen::{Cluster, Scale};
use swell_bench_micro::timing::process_cpu;
use swell_engine::{Config, Db};
use swell_env::{Clock as _, FsDir, SystemClock};
use swell_model::{Batch, Labels, LabelsBuilder, METRIC_NAME, Row, SampleSink as _, TimestampMs};
use swell_telemetry::Registry;
use swell_tsdb_http::{Readiness, RemoteWrite, RemoteWriteConfig, write_router};

/// A server that is pushed to at full speed gets so many in the 15 seconds between two runs of upkeep.
const UPKEEP_SAMPLES: usize = 20_000_000;
/// And so many in the second between two looks whether a checkpoint is due.
const LOOK_SAMPLES: usize = 2_500_000;
const TWO_HOURS_MS: i64 = 7_200_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let is_beside = args.pop_if(|last| last == "beside").is_some();
    let numbers: Vec<usize> = args.iter().map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let [series_count, row_count, step_s] = numbers[..] else {
        anyhow::bail!("usage: ingest SERIES ROWS STEP_S [beside]");
    };
    let folder = tempfile::tempdir()?;
    let mut phases = Phases { began_s: cpu_s(), samples: 0 };
    push(folder.path(), (series_count, row_count, step_s), is_beside, &mut phases).await?;
    let db = open(folder.path(), Config { background: None, ..Config::standard() })?;
    phases.end("open again");
    let mut merges = 0;
    loop {
        let report = db.maintain(TimestampMs(0))?;
        merges += report.compacted_block_count;
        if report.flushed_block_count > 0 {
            phases.end(&format!("flush of {} windows, and a merge", report.flushed_block_count));
        } else if report.compacted_block_count == 0 {
            break;
        }
    }
    phases.end(&format!("{merges} merges in all, the last ones"));
    let blocks = db.status().blocks;
    let each = |bytes: u64| bytes as f64 / phases.samples as f64;
    println!(
        "{} blocks: {:.4} bytes a sample, of which index {:.4}",
        blocks.block_count,
        each(blocks.bytes),
        each(blocks.index_bytes)
    );
    db.close()?;
    phases.end("close again");
    Ok(())
}

fn open(dir: &Path, config: Config) -> anyhow::Result<Db> {
    let (dir, clock) = (Arc::new(FsDir::open(dir)?), Arc::new(SystemClock::new()));
    Ok(Db::open(dir, config, clock, &Registry::new())?)
}

async fn push(
    folder: &Path,
    (series_count, row_count, step_s): (usize, usize, usize),
    is_beside: bool,
    phases: &mut Phases,
) -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock::new());
    let step_ms = i64::try_from(step_s)? * 1000;
    let span_ms = i64::try_from(row_count)? * step_ms;
    // As benches/compare places it: all is some hours old, and what fits into one window lies in one.
    let end_ms = clock.now().0 - 2 * TWO_HOURS_MS;
    let start_ms = if span_ms <= 7_000_000 {
        end_ms / TWO_HOURS_MS * TWO_HOURS_MS + 60_000
    } else {
        end_ms - span_ms
    };
    let scale = Scale { series_count, start_ms, step_ms, ..Scale::standard() };
    let mut requests = Requests::of(Cluster::new(scale));
    println!("{} series", requests.series_count());
    phases.skip();
    let registry = Registry::new();
    let dir = FsDir::open(folder)?;
    let db = Arc::new(Db::open(Arc::new(dir), Config::standard(), clock.clone(), &registry)?);
    let readiness = Readiness::default();
    readiness.ready();
    let config = RemoteWriteConfig::standard();
    let receiver = RemoteWrite::new(config, db.clone(), clock.clone(), readiness, &registry)?;
    let router = write_router(receiver);
    let (mut first_s, mut others_s, mut upkeep_s) = (0.0, 0.0, 0.0);
    let (mut kept_up_at, mut looked_at) = (0, 0);
    let looks = is_beside.then(|| Looks::start(Arc::clone(&db)));
    for row in 0..row_count {
        let (bodies, samples) = requests.next_row()?;
        phases.samples += samples;
        let before = cpu_s();
        send(&router, bodies).await?;
        let pushed = cpu_s();
        *(if row == 0 { &mut first_s } else { &mut others_s }) += pushed - before;
        if phases.samples - kept_up_at >= UPKEEP_SAMPLES {
            kept_up_at = phases.samples;
            db.maintain(TimestampMs(0))?;
        } else if !is_beside && phases.samples - looked_at >= LOOK_SAMPLES {
            looked_at = phases.samples;
            db.settle()?;
        }
        upkeep_s += cpu_s() - pushed;
    }
    drop(requests);
    looks.map_or(Ok(()), Looks::end)?;
    start_after_a_kill(folder, phases)?;
    let before = cpu_s();
    db.maintain(TimestampMs(0))?;
    upkeep_s += cpu_s() - before;
    phases.add("push, series new", first_s);
    phases.add("push, series known", others_s);
    phases.add("upkeep while pushing", upkeep_s);
    println!("resident: {} MiB", resident_bytes()? >> 20);
    let end: Labels = {
        let mut builder = LabelsBuilder::default();
        builder.set(METRIC_NAME, "ingest_end");
        builder.build()
    };
    let series = db.resolve(&end)?;
    db.append(&Batch::of_rows(vec![Row::new(clock.now(), vec![series], vec![0.0])]))?;
    phases.skip();
    drop(router);
    Arc::try_unwrap(db).map_err(|_| anyhow::anyhow!("the database is still held"))?.close()?;
    phases.end("close");
    Ok(())
}

/// Looks each second whether a checkpoint is due, at the pace of background work.
struct Looks {
    end: Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Looks {
    fn start(db: Arc<Db>) -> Self {
        let (end, ended) = channel();
        let look = move || {
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                db.settle()?;
            }
            Ok(())
        };
        Self { end, thread: std::thread::spawn(look) }
    }

    /// Waits for the checkpoint that is being written.
    fn end(self) -> anyhow::Result<()> {
        drop(self.end);
        self.thread.join().map_err(|_| anyhow::anyhow!("the thread for checkpoints panicked"))?
    }
}

/// What a start costs if the process were killed now.
fn start_after_a_kill(folder: &Path, phases: &mut Phases) -> anyhow::Result<()> {
    let copy = tempfile::tempdir()?;
    copy_tree(folder, copy.path())?;
    phases.skip();
    let db = open(copy.path(), Config::standard())?;
    let wal = db.status().wal;
    let from = if wal.began_at_checkpoint { "a checkpoint" } else { "the start of the log" };
    phases.end(&format!("start from {from}, {} records", wal.replayed_record_count));
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("labels-") || name.starts_with("checkpoint") {
            println!("{name}: {} bytes", entry.metadata()?.len());
        }
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Prints what each phase took.
struct Phases {
    began_s: f64,
    samples: usize,
}

impl Phases {
    /// What was done since the last phase is in none.
    fn skip(&mut self) {
        self.began_s = cpu_s();
    }

    fn end(&mut self, what: &str) {
        let now = cpu_s();
        self.add(what, now - self.began_s);
        self.began_s = cpu_s();
    }

    fn add(&self, what: &str, seconds: f64) {
        let each_ns = 1e9 * seconds / self.samples as f64;
        println!("{what}: {seconds:.2} s of CPU, {each_ns:.0} ns a sample");
    }
}

fn cpu_s() -> f64 {
    process_cpu().as_secs_f64()
}

fn resident_bytes() -> anyhow::Result<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split_whitespace().nth(1).unwrap_or_default().parse::<usize>()?;
    Ok(pages * 4096)
}
