//! Series that come while a checkpoint's file of labels is written: most stand in that file all the same, and all are
//! known after a start, wherever the writing was cut short. Files that no checkpoint names go at a start.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};

use common::{Model, append, config, labels, open, read_all};
use parking_lot::Mutex;
use swell_engine::{Config, Db, WalSync};
use swell_env::{
    AppendFile, Dir, DirEntry, DirLock, Fault, FaultDir, LockError, MemDir, ReadFile, read_whole,
};
use swell_model::TimestampMs;

const CHECKPOINT: &str = "checkpoint";
const LABELS_PREFIX: &str = "labels-";
/// Series before the first checkpoint.
const FIRST: usize = 100;
/// Above what a file of so few series may lack.
const MANY: usize = 1200;

/// A disk on which series come as soon as the writing of a file of labels begins: so many for each file, in turn.
#[derive(Clone)]
struct Busy {
    disk: FaultDir,
    arrivals: Arc<Mutex<Arrivals>>,
}

/// What comes, and what came.
#[derive(Default)]
struct Arrivals {
    db: Weak<Db>,
    counts: VecDeque<usize>,
    /// With a file for which nothing is left the device dies.
    dies_behind: bool,
    next_series: usize,
    files: usize,
    acknowledged: Model,
    attempted: Model,
}

impl fmt::Debug for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Busy").field("disk", &self.disk).finish_non_exhaustive()
    }
}

fn add(model: &mut Model, at: i64, series: Range<usize>) {
    for nr in series {
        model.entry(labels(nr)).or_default().insert(at, (nr as f64).to_bits());
    }
}

impl Busy {
    fn over(disk: FaultDir, counts: &[usize]) -> Self {
        let counts = counts.iter().copied().collect();
        let arrivals = Arrivals { counts, ..Arrivals::default() };
        Self { disk, arrivals: Arc::new(Mutex::new(arrivals)) }
    }

    fn open(&self, sync: WalSync) -> Option<Arc<Db>> {
        let settings = Config { checkpoint_log_bytes: 1, ..config(sync) };
        let db = Arc::new(open(Arc::new(self.clone()), settings).ok()?);
        self.arrivals.lock().db = Arc::downgrade(&db);
        Some(db)
    }

    /// Appends a sample of each series; gives whether it was acknowledged.
    fn take(&self, db: &Db, at: i64, series: Range<usize>) -> bool {
        add(&mut self.arrivals.lock().attempted, at, series.clone());
        let samples: Vec<(usize, f64)> = series.clone().map(|nr| (nr, nr as f64)).collect();
        let is_taken = append(db, at, &samples).is_ok();
        let mut arrivals = self.arrivals.lock();
        arrivals.next_series = arrivals.next_series.max(series.end);
        if is_taken {
            add(&mut arrivals.acknowledged, at, series);
        }
        is_taken
    }

    /// The writing of a file of labels began.
    fn file_began(&self) {
        let (db, count, file, first) = {
            let mut arrivals = self.arrivals.lock();
            arrivals.files += 1;
            let count = arrivals.counts.pop_front();
            (arrivals.db.upgrade(), count, arrivals.files, arrivals.next_series)
        };
        match (db, count) {
            (Some(db), Some(count)) => {
                let at = i64::try_from(file).expect("few") * 1000;
                self.take(&db, at, first..first + count);
            }
            _ if self.arrivals.lock().dies_behind => {
                self.disk.fail(self.disk.op_count(), u64::MAX, Fault::Io);
            }
            _ => {}
        }
    }

    fn models(&self) -> (Model, Model) {
        let arrivals = self.arrivals.lock();
        (arrivals.acknowledged.clone(), arrivals.attempted.clone())
    }
}

/// A file of labels that is written.
#[derive(Debug)]
struct LabelsFile {
    busy: Busy,
    file: Arc<dyn AppendFile>,
    has_begun: Mutex<bool>,
}

impl AppendFile for LabelsFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)?;
        // Behind the header, so that the table was begun or is about to be: series that come now are not in it.
        let is_first = bytes.len() > 16 && !std::mem::replace(&mut *self.has_begun.lock(), true);
        if is_first {
            self.busy.file_began();
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn cut(&self, len_bytes: u64) -> io::Result<()> {
        self.file.cut(len_bytes)
    }
}

impl Dir for Busy {
    fn location(&self) -> &str {
        self.disk.location()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn AppendFile>> {
        let file = self.disk.create(name)?;
        if !name.starts_with(LABELS_PREFIX) {
            return Ok(file);
        }
        Ok(Arc::new(LabelsFile { busy: self.clone(), file, has_begun: Mutex::new(false) }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        self.disk.open(name)
    }

    fn truncate(&self, name: &str, len_bytes: u64) -> io::Result<()> {
        self.disk.truncate(name, len_bytes)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>> {
        self.disk.list(folder)
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        self.disk.create_folder(name)
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        self.disk.remove_folder(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.link(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_dir(folder)
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DirLock>, LockError> {
        self.disk.lock(name)
    }
}

fn labels_files(disk: &MemDir) -> Vec<String> {
    let entries = disk.list("").expect("lists").into_iter();
    entries.map(|entry| entry.name).filter(|name| name.starts_with(LABELS_PREFIX)).collect()
}

/// Series whose labels stand in the checkpoint itself: each has one text that no other has.
fn series_in_checkpoint(disk: &MemDir) -> usize {
    let bytes = read_whole(disk, CHECKPOINT, u64::MAX).expect("there");
    bytes.windows(4).filter(|window| *window == b"pod-").count()
}

fn open_quietly(disk: &MemDir, sync: WalSync) -> Db {
    // Nothing is written that a test did not ask for.
    let settings = Config { checkpoint_log_bytes: u64::MAX, ..config(sync) };
    open(Arc::new(disk.clone()), settings).expect("opens")
}

#[test]
fn series_that_came_meanwhile_stand_in_the_file_when_they_are_many() {
    // What comes with each file; files written, and series in the checkpoint.
    let cases: [(&[usize], usize, usize); 5] = [
        (&[], 1, 0),
        (&[500], 1, 500),
        (&[MANY], 2, 0),
        (&[MANY, 700], 2, 700),
        // Twice is enough.
        (&[MANY, MANY, MANY], 2, MANY),
    ];
    for (counts, files, left) in cases {
        let busy = Busy::over(FaultDir::new(), counts);
        let db = busy.open(WalSync::Never).expect("opens");
        assert!(busy.take(&db, 1, 0..FIRST));
        db.checkpoint().expect("writes");
        let disk = busy.disk.disk().after_kill();
        assert_eq!(busy.arrivals.lock().files, files, "{counts:?}");
        assert_eq!(labels_files(&disk), [format!("labels-{files:08}")], "{counts:?}");
        assert_eq!(series_in_checkpoint(&disk), left, "{counts:?}");
        let back = open_quietly(&disk, WalSync::Never);
        let wal = back.status().wal;
        assert!(wal.began_at_checkpoint && wal.replayed_record_count == 0, "{counts:?}: {wal:?}");
        let (model, _) = busy.models();
        assert_eq!(back.status().head.series_count, model.len(), "{counts:?}");
        assert_eq!(read_all(&back), model, "{counts:?}");
        // Series go on where they were, and are found by their labels.
        append(&back, 90_000, &[(0, 1.0), (model.len() - 1, 2.0)]).expect("appends");
        assert_eq!(back.status().head.series_count, model.len(), "{counts:?}");
        // The next checkpoint that finds many in itself puts them into a file.
        append(&db, 90_000, &[(0, 1.0)]).expect("appends");
        busy.arrivals.lock().counts.clear();
        db.checkpoint().expect("writes");
        let left = if left > 1000 { 0 } else { left };
        assert_eq!(series_in_checkpoint(busy.disk.disk()), left, "{counts:?}, the next");
    }
}

#[test]
fn when_a_full_disk_ends_the_second_writing_the_first_file_serves() {
    let prepare = || {
        let busy = Busy::over(FaultDir::new(), &[MANY]);
        let db = busy.open(WalSync::Never).expect("opens");
        assert!(busy.take(&db, 1, 0..FIRST));
        db.sync().expect("syncs");
        let before = busy.disk.op_count();
        (busy, db, before)
    };
    let (busy, db, before) = prepare();
    db.checkpoint().expect("writes");
    let op_count = busy.disk.op_count() - before;
    let mut served = [0; 3];
    for op in 0..op_count {
        let (busy, db, before) = prepare();
        busy.disk.fail(before + op, 1, Fault::DiskFull);
        let written = db.checkpoint();
        let (least, most) = busy.models();
        let disk = busy.disk.disk().after_kill();
        let back = open_quietly(&disk, WalSync::Never);
        let found = read_all(&back);
        assert!(found == least || found == most, "operation {op}");
        let wal = back.status().wal;
        assert_eq!(wal.checkpoint_fault, None, "operation {op}");
        let files = labels_files(&disk);
        if written.is_ok() {
            assert!(wal.began_at_checkpoint, "operation {op}");
            let [name] = &files[..] else { panic!("operation {op}: {files:?}") };
            let is_second = name == "labels-00000002";
            if is_second || series_in_checkpoint(&disk) == MANY {
                served[usize::from(is_second) + 1] += 1;
            }
        } else {
            served[0] += 1;
            assert!(files.len() <= usize::from(wal.began_at_checkpoint), "operation {op}");
        }
    }
    assert!(
        served.iter().all(|count| *count > 0),
        "failed, by the first, by the second: {served:?}"
    );
}

/// Two lives with a checkpoint each, the first of them with many series that come meanwhile; from operation number `op`
/// on the device fails.
fn run_until(op: u64, sync: WalSync) -> Busy {
    let disk = FaultDir::new();
    disk.fail(op, u64::MAX, Fault::Io);
    let busy = Busy::over(disk, &[MANY, 10]);
    let Some(db) = busy.open(sync) else { return busy };
    if !busy.take(&db, 1, 0..FIRST) || db.checkpoint().is_err() {
        return busy;
    }
    let is_taken = busy.take(&db, 5000, 0..FIRST);
    drop(db);
    if is_taken && let Some(db) = busy.open(sync) {
        drop(db.checkpoint());
    }
    busy
}

fn is_between(found: &Model, least: &Model, most: &Model) -> bool {
    let holds = |a: &Model, b: &Model| {
        b.iter().all(|(labels, samples)| {
            samples.iter().all(|(at, bits)| a.get(labels).and_then(|has| has.get(at)) == Some(bits))
        })
    };
    holds(found, least) && holds(most, found)
}

/// Gives how many files of labels were there that no start needed.
fn check(disk: &MemDir, sync: WalSync, (least, most): &(Model, Model), what: &str) -> usize {
    let before = labels_files(disk).len();
    let whole = {
        let settings = Config { checkpoint_log_bytes: 0, ..config(sync) };
        open(Arc::new(disk.after_kill()), settings).expect(what)
    };
    let db = open_quietly(disk, sync);
    assert_eq!(db.status().wal.checkpoint_fault, None, "{what}");
    let has_checkpoint = disk.open(CHECKPOINT).is_ok();
    let left = labels_files(disk).len();
    assert_eq!(left, usize::from(has_checkpoint), "{what}: the file that the checkpoint names");
    let found = read_all(&db);
    assert!(is_between(&found, least, most), "{what}: {} series", found.len());
    assert_eq!(found, read_all(&whole), "{what}: the log alone");
    drop(db);
    // What the start removed or left serves another one, also when the power goes now.
    for (again, disk) in [("a kill", disk.after_kill()), ("a power cut", disk.after_power_cut(3))] {
        let db = open_quietly(&disk, sync);
        let wal = db.status().wal;
        assert_eq!(wal.checkpoint_fault, None, "{what}, and {again}");
        // In a power cut what nobody synced may go, the checkpoint's name as well.
        if again == "a kill" {
            assert_eq!(wal.began_at_checkpoint, has_checkpoint, "{what}, and {again}");
        }
        if sync == WalSync::Always || again == "a kill" {
            assert_eq!(read_all(&db), found, "{what}, and {again}");
        }
    }
    before - left
}

#[test]
fn a_kill_at_any_operation_loses_nothing_and_leaves_no_file_behind_the_next_start() {
    let op_count = run_until(u64::MAX, WalSync::Never).disk.op_count();
    let mut removed = 0;
    for op in 0..op_count {
        let busy = run_until(op, WalSync::Never);
        let disk = busy.disk.disk().after_kill();
        let what = format!("killed at operation {op}");
        removed += check(&disk, WalSync::Never, &busy.models(), &what);
    }
    assert!(removed > 3, "{removed} files that no checkpoint named");
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_and_leaves_no_file_behind_the_next_start() {
    let op_count = run_until(u64::MAX, WalSync::Always).disk.op_count();
    let mut removed = 0;
    for op in 0..op_count {
        let busy = run_until(op, WalSync::Always);
        let disk = busy.disk.disk().after_power_cut(op * 31 + 2);
        let what = format!("power cut at operation {op}");
        removed += check(&disk, WalSync::Always, &busy.models(), &what);
    }
    assert!(removed > 3, "{removed} files that no checkpoint named");
}

#[test]
fn a_server_that_is_killed_in_each_first_checkpoint_keeps_one_file_and_not_one_more_each_time() {
    let mut disk = MemDir::new();
    for life in 0..6 {
        let busy = Busy::over(FaultDir::over(disk.clone()), &[]);
        busy.arrivals.lock().dies_behind = true;
        let db = busy.open(WalSync::Never).expect("opens");
        assert_eq!(labels_files(&disk), [""; 0], "life {life}");
        append(&db, life * 1000, &[(0, 1.0), (1, 2.0)]).expect("appends");
        db.maintain(TimestampMs(0)).expect_err("the device dies");
        disk = busy.disk.disk().after_kill();
        assert_eq!(labels_files(&disk).len(), 1, "life {life}");
    }
}
