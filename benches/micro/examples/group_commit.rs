//! How many syncs a thousand requests take that come at once and are acknowledged only when they are durable:
//! `cargo run --release -p swell-bench-micro --example group_commit -- [REQUESTS [ROUNDS]]`. Each request is a thread
//! that appends one row of fifty series; all begin together, in a directory on disk.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use swell_bench_micro::timing::process_cpu;
use swell_engine::{Config, Db, WalSync};
use swell_env::{
    AppendFile, Clock as _, Dir, DirEntry, DirLock, FsDir, LockError, ReadFile, SystemClock,
};
use swell_model::{Batch, Labels, Row, SampleSink as _, SeriesRef, TimestampMs};
use swell_telemetry::Registry;

const SERIES_OF_REQUEST: usize = 50;

/// A directory that counts syncs of files.
#[derive(Debug)]
struct Counting {
    dir: FsDir,
    syncs: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn AppendFile>,
    syncs: Arc<AtomicU64>,
}

impl AppendFile for CountingFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync()
    }

    fn cut(&self, len_bytes: u64) -> io::Result<()> {
        self.file.cut(len_bytes)
    }
}

impl Dir for Counting {
    fn location(&self) -> &str {
        self.dir.location()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn AppendFile>> {
        let file = self.dir.create(name)?;
        Ok(Arc::new(CountingFile { file, syncs: Arc::clone(&self.syncs) }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        self.dir.open(name)
    }

    fn truncate(&self, name: &str, len_bytes: u64) -> io::Result<()> {
        self.dir.truncate(name, len_bytes)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>> {
        self.dir.list(folder)
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        self.dir.create_folder(name)
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        self.dir.remove_folder(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.dir.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.dir.link(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.dir.remove(name)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.dir.sync_dir(folder)
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DirLock>, LockError> {
        self.dir.lock(name)
    }
}

fn main() -> anyhow::Result<()> {
    let numbers: Vec<usize> =
        std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let request_count = numbers.first().copied().unwrap_or(1000);
    let round_count = numbers.get(1).copied().unwrap_or(10);
    let folder = tempfile::tempdir()?;
    let syncs = Arc::new(AtomicU64::new(0));
    let dir = Counting { dir: FsDir::open(folder.path())?, syncs: Arc::clone(&syncs) };
    let config = Config { wal_sync: WalSync::Always, ..Config::standard() };
    let clock = Arc::new(SystemClock::new());
    let db = Db::open(Arc::new(dir), config, clock.clone(), &Registry::new())?;
    let series: Vec<Vec<SeriesRef>> = (0..request_count)
        .map(|request| {
            let labels = |nr: usize| {
                let (pod, nr) = (format!("pod-{request}"), nr.to_string());
                Labels::from_pairs([("__name__", "m"), ("pod", &pod), ("nr", &nr)])
            };
            (0..SERIES_OF_REQUEST).map(|nr| db.resolve(&labels(nr))).collect()
        })
        .collect::<Result<_, _>>()?;
    let start_ms = clock.now().0;
    let (began_syncs, began, began_cpu) =
        (syncs.load(Ordering::Relaxed), clock.monotonic(), process_cpu());
    let together = Barrier::new(request_count);
    let failures: u64 = std::thread::scope(|scope| {
        let requests: Vec<_> = series
            .iter()
            .map(|series| {
                let (db, together) = (&db, &together);
                scope.spawn(move || {
                    let mut failures = 0;
                    for (at_ms, value) in (start_ms..).zip((0..round_count).map(|nr| nr as f64)) {
                        together.wait();
                        let values = vec![value; series.len()];
                        let row = Row::new(TimestampMs(at_ms), series.clone(), values);
                        failures += u64::from(db.append(&Batch::of_rows(vec![row])).is_err());
                    }
                    failures
                })
            })
            .collect();
        requests.into_iter().map(|request| request.join().unwrap_or(1)).sum()
    });
    anyhow::ensure!(failures == 0, "{failures} requests failed");
    let per_round = |amount: f64| amount / round_count as f64;
    println!(
        "{request_count} requests at once: {:.1} syncs, {:.1} ms until all are acknowledged, {:.1} ms of CPU",
        per_round((syncs.load(Ordering::Relaxed) - began_syncs) as f64),
        per_round(clock.monotonic().since(began).as_secs_f64() * 1e3),
        per_round((process_cpu() - began_cpu).as_secs_f64() * 1e3),
    );
    Ok(())
}
