//! Checkpoints and labels that are damaged, missing, newer or out of date.

use std::sync::Arc;

use swell_engine::{Config, OpenError, WalSync};
use swell_env::{Dir as _, MemDir, read_whole};
use swell_model::{Matcher, TimeRange, TimestampMs};

use super::common::{Choices, HOUR, Model, append, config, labels, open, read_all};
use super::{CHECKPOINT, build, labels_files, settings, work};

#[test]
fn a_damaged_checkpoint_costs_time_and_nothing_else() {
    let (disk, model) = build();
    let bytes = read_whole(&disk, CHECKPOINT, u64::MAX).expect("there");
    let mut choices = Choices(5);
    let trials = (0..bytes.len()).step_by(3).map(|offset| (offset, choices.below(8)));
    for (offset, bit) in trials.collect::<Vec<_>>() {
        let hurt = disk.after_kill();
        hurt.flip(CHECKPOINT, offset, 1 << bit).expect("flips");
        let what = format!("byte {offset}, bit {bit}");
        let db = match open(Arc::new(hurt.clone()), settings(WalSync::Never)) {
            Ok(db) => db,
            Err(error) => panic!("{what}: {}", swell_telemetry::chain(&error)),
        };
        let wal = db.status().wal;
        assert!(!wal.began_at_checkpoint, "{what}");
        let fault = wal.checkpoint_fault.expect("told");
        assert!(fault.contains("checkpoint is damaged at byte"), "{what}: {fault}");
        assert!(db.verify_checkpoint().expect_err("told").starts_with(&fault), "{what}");
        assert_eq!(read_all(&db), model, "{what}");
        assert_eq!(db.status().damage, [], "{what}: nothing is lost");
        assert!(db.warnings(TimeRange::ALL).is_empty(), "{what}: nothing is lost");
        // Closing puts a sound one in its place.
        db.close().expect("closes");
        let db = open(Arc::new(hurt), settings(WalSync::Never)).expect("opens");
        assert!(db.status().wal.began_at_checkpoint, "{what}");
        assert_eq!(db.verify_checkpoint(), Ok(()), "{what}");
        assert_eq!(read_all(&db), model, "{what}");
    }
}

#[test]
fn a_checkpoint_that_ends_early_or_is_missing_is_done_without() {
    let (disk, model) = build();
    let len = read_whole(&disk, CHECKPOINT, u64::MAX).expect("there").len();
    for kept in (0..len).step_by(7) {
        let hurt = disk.after_kill();
        hurt.lose_end(CHECKPOINT, kept).expect("cuts");
        let db = open(Arc::new(hurt), settings(WalSync::Never)).expect("opens");
        assert!(!db.status().wal.began_at_checkpoint, "cut to {kept}");
        assert_eq!(read_all(&db), model, "cut to {kept}");
    }
    disk.remove(CHECKPOINT).expect("removes");
    let db = open(Arc::new(disk), settings(WalSync::Never)).expect("opens");
    assert_eq!(db.status().wal.checkpoint_fault, None);
    assert_eq!(read_all(&db), model);
}

/// The disk starts without its checkpoint, knows all, and closing puts a sound one there.
fn check_done_without(hurt: &MemDir, model: &Model, what: &str) {
    let db = open(Arc::new(hurt.clone()), settings(WalSync::Never)).expect(what);
    let wal = db.status().wal;
    assert!(!wal.began_at_checkpoint, "{what}");
    let fault = wal.checkpoint_fault.expect("told");
    assert!(fault.contains("labels-"), "{what}: {fault}");
    assert!(db.verify_checkpoint().expect_err("told").starts_with(&fault), "{what}");
    assert_eq!(read_all(&db), *model, "{what}");
    assert_eq!(db.status().damage, [], "{what}: nothing is lost");
    db.close().expect("closes");
    let db = open(Arc::new(hurt.clone()), settings(WalSync::Never)).expect("opens");
    assert!(db.status().wal.began_at_checkpoint, "{what}");
    assert_eq!(read_all(&db), *model, "{what}");
    assert_eq!(labels_files(hurt).len(), 1, "{what}: old ones are gone");
}

#[test]
fn damaged_or_missing_labels_cost_time_and_nothing_else() {
    let (disk, model) = build();
    let files = labels_files(&disk);
    let [file] = &files[..] else { panic!("{files:?}") };
    let bytes = read_whole(&disk, file, u64::MAX).expect("there");
    let mut choices = Choices(6);
    for offset in (0..bytes.len()).step_by(3) {
        let hurt = disk.after_kill();
        let bit = choices.below(8);
        hurt.flip(file, offset, 1 << bit).expect("flips");
        check_done_without(&hurt, &model, &format!("byte {offset}, bit {bit}"));
    }
    for kept in (0..bytes.len()).step_by(7) {
        let hurt = disk.after_kill();
        hurt.lose_end(file, kept).expect("cuts");
        check_done_without(&hurt, &model, &format!("cut to {kept}"));
    }
    let hurt = disk.after_kill();
    hurt.remove(file).expect("removes");
    check_done_without(&hurt, &model, "missing");
    // A sound one of other series, under the same name.
    let other = MemDir::new();
    let db = open(Arc::new(other.clone()), settings(WalSync::Never)).expect("opens");
    append(&db, 1000, &[(7, 1.0), (8, 1.0)]).expect("appends");
    db.close().expect("closes");
    let others = read_whole(&other, &labels_files(&other)[0], u64::MAX).expect("there");
    let put = |disk: &MemDir, name: &str, bytes: &[u8]| {
        disk.create(name).and_then(|new| new.append(bytes)).expect("writes");
    };
    let hurt = disk.after_kill();
    hurt.remove(file).expect("removes");
    put(&hurt, file, &others);
    check_done_without(&hurt, &model, "another");
}
#[test]
fn a_checkpoint_whose_segment_was_to_come_is_of_no_use_once_only_later_ones_are_there() {
    let disk = MemDir::new();
    let start = |at: i64| {
        let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
        append(&db, at, &[(0, 1.0), (1, 2.0)]).expect("appends");
        db
    };
    drop(start(1000));
    let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
    db.checkpoint().expect("written, between two segments");
    drop(db);
    drop(start(2000));
    drop(start(3000));
    let there = open(Arc::new(disk.after_kill()), settings(WalSync::Never)).expect("opens");
    assert!(there.status().wal.began_at_checkpoint, "its segment came");
    drop(there);
    disk.remove("wal/00000002.wal").expect("removes");
    let db = open(Arc::new(disk), settings(WalSync::Never)).expect("opens");
    let wal = db.status().wal;
    assert!(!wal.began_at_checkpoint, "what was logged behind it is gone");
    assert!(wal.checkpoint_fault.expect("told").contains("which is gone"));
    let times: Vec<i64> = read_all(&db)[&labels(0)].keys().copied().collect();
    assert_eq!(times, [1000, 3000], "as the log says");
}

#[test]
fn a_checkpoint_of_a_newer_version_is_refused_and_left_alone() {
    let (disk, _) = build();
    disk.flip(CHECKPOINT, 8, 2 ^ 3).expect("version 2 becomes 3");
    let header = read_whole(&disk, CHECKPOINT, u64::MAX).expect("there");
    let checksum = crc32fast::hash(&header[..12]).to_le_bytes();
    for (idx, byte) in checksum.into_iter().enumerate() {
        disk.flip(CHECKPOINT, 12 + idx, header[12 + idx] ^ byte).expect("sets");
    }
    let before = read_whole(&disk, CHECKPOINT, u64::MAX).expect("there");
    let error = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect_err("refused");
    assert!(matches!(error, OpenError::Newer { .. }), "{error:?}");
    let message = swell_telemetry::chain(&error);
    assert!(message.contains("checkpoint has format version 3"), "{message}");
    assert!(message.contains("delete the file"), "{message}");
    assert!(read_whole(&disk, CHECKPOINT, u64::MAX).expect("there") == before);
}

#[test]
fn damage_behind_a_checkpoint_is_still_told_after_the_next() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
    for at in 0..20 {
        append(&db, at * 1000, &[(0, 1.0), (1, 2.5)]).expect("appends");
    }
    drop(db);
    let name = "wal/00000001.wal";
    let len = read_whole(&disk, name, u64::MAX).expect("readable").len();
    disk.flip(name, len / 2, 0x10).expect("flips");
    let mut told = None;
    for start in 0..4 {
        let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
        assert_eq!(db.status().wal.began_at_checkpoint, start > 0);
        let damage = db.status().damage;
        assert_eq!(damage.len(), 1, "start {start}: {damage:?}");
        let first = told.get_or_insert_with(|| damage.clone());
        assert_eq!(&damage, first, "start {start}");
        assert_eq!(db.warnings(TimeRange::ALL).len(), 1);
        append(&db, (30 + start) * 1000, &[(0, 1.0)]).expect("appends");
        db.close().expect("closes");
    }
}

#[test]
fn what_was_deleted_from_blocks_does_not_come_back_with_an_old_checkpoint() {
    // Checkpoints are written once, and the log goes on for long.
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
    for hour in 0..3 {
        append(&db, hour * HOUR, &[(0, 1.0), (1, 2.0)]).expect("appends");
    }
    db.checkpoint().expect("writes");
    drop(db);
    for rare in [1 << 40, 0] {
        let disk = disk.after_kill();
        let rarely = Config { checkpoint_log_bytes: rare, ..config(WalSync::Never) };
        let db = open(Arc::new(disk.clone()), rarely.clone()).expect("opens");
        for hour in 3..30 {
            append(&db, hour * HOUR, &[(0, 1.0)]).expect("appends");
            db.maintain(TimestampMs(hour * HOUR)).expect("maintains");
        }
        assert!(disk.open("wal/00000001.wal").is_err(), "the first segment is gone");
        assert_eq!(disk.open(CHECKPOINT).is_ok(), rare > 0, "renewed, or removed");
        let of_second = Matcher::equal("pod", "pod-1");
        db.delete_series(&[of_second], TimeRange::ALL).expect("deletes");
        let expected = read_all(&db);
        assert_eq!(expected.len(), 1);
        drop(db);
        let db = open(Arc::new(disk.clone()), rarely).expect("opens");
        assert_eq!(read_all(&db), expected);
        db.maintain(TimestampMs(30 * HOUR)).expect("maintains");
        assert_eq!(read_all(&db), expected);
    }
}

#[test]
fn a_checkpoint_whose_segment_is_gone_is_not_used() {
    let (disk, model) = build();
    let wal = disk.list("wal").expect("lists");
    let old = disk.after_kill();
    let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
    let mut longer = model;
    work(&db, 28..80, &mut longer);
    drop(db);
    assert!(disk.open(&format!("wal/{}", wal[0].name)).is_err(), "the old log is gone");
    // Someone puts old files back.
    disk.remove(CHECKPOINT).expect("removes");
    for name in labels_files(&old).iter().map(String::as_str).chain([CHECKPOINT]) {
        let file = disk.create(name).expect("makes");
        file.append(&read_whole(&old, name, u64::MAX).expect("there")).expect("writes");
    }
    let db = open(Arc::new(disk), settings(WalSync::Never)).expect("opens");
    let fault = db.status().wal.checkpoint_fault.expect("told");
    assert!(fault.contains("gone"), "{fault}");
    assert_eq!(read_all(&db), longer);
}
