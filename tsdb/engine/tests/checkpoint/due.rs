//! When a checkpoint is written, and its labels anew.

use std::sync::Arc;

use swell_engine::{Config, WalSync};
use swell_env::{Dir as _, Fault, FaultDir, MemDir};
use swell_model::{DurationMs, TimestampMs};

use super::common::{Model, append, config, open, read_all};
use super::{CHECKPOINT, add, labels_files, settings};

#[test]
fn labels_are_written_anew_once_many_series_came_and_all_are_known_after_a_start() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
    let mut model = Model::new();
    let mut file = String::new();
    let mut at = 0;
    // How many series there are, and whether they are enough for a new file.
    for (count, is_new) in [(3, true), (5, false), (900, false), (1100, true), (1101, false)] {
        let samples: Vec<(usize, f64)> = (0..count).map(|nr| (nr, nr as f64)).collect();
        at += 1000;
        append(&db, at, &samples).expect("appends");
        add(&mut model, at, &samples);
        db.checkpoint().expect("writes");
        let files = labels_files(&disk);
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(files[0] != file, is_new, "{count} series");
        file.clone_from(&files[0]);
        let back = open(Arc::new(disk.after_kill()), settings(WalSync::Never)).expect("opens");
        let wal = back.status().wal;
        assert!(wal.began_at_checkpoint && wal.replayed_record_count == 0, "{wal:?}");
        assert_eq!(back.status().head.series_count, count);
        assert_eq!(read_all(&back), model);
        // Series go on where they were.
        append(&back, at + 500, &samples).expect("appends");
        assert_eq!(back.status().head.series_count, count);
    }
}
#[test]
fn upkeep_writes_one_only_when_the_log_has_grown() {
    let disk = MemDir::new();
    let settings =
        Config { checkpoint_log_bytes: 2000, ..settings(WalSync::Interval(DurationMs(1000))) };
    let db = open(Arc::new(disk.clone()), settings).expect("opens");
    let mut sizes = Vec::new();
    for nr in 0..200 {
        append(&db, nr * 1000, &[(0, f64::from(i32::try_from(nr).expect("few")))])
            .expect("appends");
        db.maintain(TimestampMs(nr * 1000)).expect("maintains");
        let wal = db.status().wal;
        if wal.checkpoint_bytes > 0 && sizes.last() != Some(&wal.checkpoint_bytes) {
            sizes.push(wal.checkpoint_bytes);
        }
    }
    let logged = db.status().wal.bytes;
    assert!(
        sizes.len() as u64 <= logged / 2000 && !sizes.is_empty(),
        "{sizes:?} for {logged} bytes"
    );
}

#[test]
fn a_first_checkpoint_is_written_as_soon_as_the_log_is_long_enough_and_upkeep_need_not_run() {
    let disk = FaultDir::new();
    let settings = Config { checkpoint_log_bytes: 2000, ..config(WalSync::Never) };
    let db = open(Arc::new(disk.clone()), settings.clone()).expect("opens");
    let is_there = || disk.disk().open(CHECKPOINT).is_ok();
    let mut at = 0;
    while !is_there() {
        let before = disk.disk().open("wal/00000001.wal").map_or(0, |log| log.len().expect("len"));
        assert!(before < 4000, "it is due once the log has {before} bytes");
        at += 1000;
        append(&db, at, &[(0, 1.0), (1, at as f64)]).expect("appends");
        db.settle().expect("writes, if it is due");
    }
    let op_count = disk.op_count();
    db.settle().expect("is not due");
    assert_eq!(disk.op_count(), op_count, "nothing was written");
    let killed = open(Arc::new(disk.disk().after_kill()), settings.clone()).expect("opens");
    let wal = killed.status().wal;
    assert!(wal.began_at_checkpoint && wal.replayed_record_count == 0, "{wal:?}");
    assert_eq!(read_all(&killed), read_all(&db));
    // A failure is told, and the next looks wait.
    while !disk.disk().open("wal/00000001.wal").is_ok_and(|log| log.len().expect("len") > 9000) {
        at += 1000;
        append(&db, at, &[(0, 1.0), (1, at as f64)]).expect("appends");
    }
    // The sync of the log comes first.
    disk.fail(disk.op_count() + 1, u64::MAX, Fault::Io);
    db.settle().expect_err("the device fails");
    let op_count = disk.op_count();
    db.settle().expect("waits");
    assert_eq!(disk.op_count(), op_count);
}
