//! Snapshots while writing, and their way back.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::{HOUR, Model, append, config, labels, open, read_all};
use swell_engine::{Db, SnapshotError, WalSync, restore};
use swell_env::{Dir, Fault, FaultDir, MemDir, remove_tree};
use swell_model::{Matcher, TimeRange, TimestampMs};

const STEP_MS: i64 = HOUR / 4;

fn model_of(batches: i64) -> Model {
    let mut model = Model::new();
    for batch in 0..batches {
        for nr in 0..4 {
            let value = f64::from(i32::try_from(batch).expect("few"));
            model.entry(labels(nr)).or_default().insert(batch * STEP_MS, value.to_bits());
        }
    }
    model
}

fn write(db: &Db, batches: std::ops::Range<i64>) {
    for batch in batches {
        let value = f64::from(i32::try_from(batch).expect("few"));
        let samples: Vec<(usize, f64)> = (0..4).map(|nr| (nr, value)).collect();
        append(db, batch * STEP_MS, &samples).expect("appends");
        db.maintain(TimestampMs(batch * STEP_MS)).expect("maintains");
    }
}

/// A directory with the files of a snapshot at its root.
fn restored(disk: &MemDir, name: &str) -> MemDir {
    let target = MemDir::new();
    let source = MemDir::new();
    for folder in ["blocks", "wal"] {
        source.create_folder(folder).expect("made");
        for entry in disk.list(&format!("snapshots/{name}/{folder}")).expect("a folder") {
            let from = format!("snapshots/{name}/{folder}/{}", entry.name);
            let bytes = swell_env::read_whole(disk, &from, u64::MAX).expect("readable");
            let to = source.create(&format!("{folder}/{}", entry.name)).expect("made");
            to.append(&bytes).expect("written");
        }
    }
    restore(&source, &target).expect("restores");
    target
}

#[test]
fn a_snapshot_is_the_database_of_its_moment() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    write(&db, 0..110);
    db.delete_series(&[Matcher::equal("pod", "pod-1")], TimeRange::ALL).expect("deletes");
    let mut expected = model_of(110);
    expected.remove(&labels(1));
    let report = db.snapshot("first", true).expect("made");
    assert!(report.block_count >= 2 && report.segment_count >= 1, "{report:?}");
    let blocks_only = db.snapshot("blocks", false).expect("made");
    assert_eq!((blocks_only.block_count, blocks_only.segment_count), (report.block_count, 0));
    write(&db, 110..220);
    db.clean_tombstones().expect("cleans");
    let copy = restored(&disk, "first");
    let found = open(Arc::new(copy.clone()), config(WalSync::Never)).expect("opens");
    assert_eq!(read_all(&found), expected);
    assert_eq!(found.status().damage, []);
    write(&found, 110..140);
    let of_blocks = open(Arc::new(restored(&disk, "blocks")), config(WalSync::Never));
    let of_blocks = read_all(&of_blocks.expect("opens"));
    let end = of_blocks[&labels(0)].keys().max().copied().expect("samples");
    assert!(end < 110 * STEP_MS && end > 80 * STEP_MS, "{end}");
    let error = db.snapshot("first", true).expect_err("taken");
    assert!(matches!(error, SnapshotError::Exists { .. }), "{error}");
    let error = db.snapshot("../out", true).expect_err("no name");
    assert!(error.to_string().contains("../out"), "{error}");
}

#[test]
fn a_snapshot_beside_writers_has_what_was_acknowledged_before_and_nothing_that_came_after() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    let acknowledged = AtomicI64::new(0);
    let mut bounds = Vec::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for batch in 0..400 {
                write(&db, batch..batch + 1);
                acknowledged.store(batch + 1, Ordering::SeqCst);
            }
        });
        for nr in 0..12 {
            while acknowledged.load(Ordering::SeqCst) < nr * 30 {
                std::thread::yield_now();
            }
            let before = acknowledged.load(Ordering::SeqCst);
            db.snapshot(&format!("s{nr}"), true).expect("made");
            bounds.push((before, acknowledged.load(Ordering::SeqCst)));
        }
        writer.join().expect("no panic");
    });
    for (nr, (before, after)) in bounds.into_iter().enumerate() {
        let copy = restored(&disk, &format!("s{nr}"));
        let found = read_all(&open(Arc::new(copy), config(WalSync::Never)).expect("opens"));
        // The batch that was under way when it ended may be there.
        let exact = (before..=after + 1).find(|batches| model_of(*batches) == found);
        assert!(exact.is_some(), "snapshot {nr}, between {before} and {after} batches");
    }
}

#[test]
fn a_snapshot_cut_at_any_operation_is_whole_or_not_there() {
    let image = MemDir::new();
    let db = open(Arc::new(image.clone()), config(WalSync::Never)).expect("opens");
    write(&db, 0..60);
    db.delete_series(&[Matcher::equal("pod", "pod-1")], TimeRange::ALL).expect("deletes");
    drop(db);
    let mut expected = model_of(60);
    expected.remove(&labels(1));
    let mut op = 0;
    loop {
        let dir = FaultDir::over(image.after_kill());
        let db = open(Arc::new(dir.clone()), config(WalSync::Never)).expect("opens");
        dir.fail(dir.op_count() + op, u64::MAX, Fault::DiskFull);
        let done = db.snapshot("s", true).is_ok();
        assert_eq!(read_all(&db), expected, "the database does not notice");
        drop(db);
        for (seed, disk) in (0..4).map(|seed| (seed, dir.disk().after_power_cut(op * 13 + seed))) {
            let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
            assert_eq!(read_all(&db), expected);
            let names: Vec<String> = disk.list("snapshots").map_or_else(
                |_| Vec::new(),
                |entries| entries.into_iter().map(|entry| entry.name).collect(),
            );
            assert!(names.is_empty() || names == ["s"], "operation {op}, seed {seed}: {names:?}");
            assert!(!done || names == ["s"], "acknowledged, operation {op}");
            if names == ["s"] {
                let copy = restored(&disk, "s");
                let found = open(Arc::new(copy), config(WalSync::Never)).expect("opens");
                assert_eq!(read_all(&found), expected, "operation {op}, seed {seed}");
                assert_eq!(found.status().damage, []);
            }
        }
        if done {
            break;
        }
        op += 1;
    }
    assert!(op > 15, "{op} operations");
}

#[test]
fn a_restore_wants_a_snapshot_and_an_empty_place() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    write(&db, 0..5);
    db.snapshot("s", true).expect("made");
    let error = restore(&disk, &disk).expect_err("not empty");
    assert!(error.to_string().contains("new directory"), "{error}");
    let error = restore(&MemDir::new(), &MemDir::new()).expect_err("nothing there");
    assert!(matches!(error, SnapshotError::NoSnapshot { folder: "blocks", .. }), "{error}");
    remove_tree(&disk, "snapshots/s").expect("an operator may remove it");
    write(&db, 5..9);
    assert_eq!(read_all(&db), model_of(9));
}
