//! Blocks are read while what was in memory is still being read back; nothing else is done before.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{HOUR, Model, append, config, labels, open, read, read_all};
use prometheus::Registry;
use swell_engine::{Db, OpenError, WalSync};
use swell_env::{FaultDir, ManualClock, MemDir};
use swell_model::{AppendError, DurationMs, SampleSink as _, TimeRange, TimestampMs};

fn begin(dir: Arc<dyn swell_env::Dir>) -> Result<(Db, swell_engine::Replay), OpenError> {
    let clock = Arc::new(ManualClock::new(TimestampMs(10_000 * 24 * HOUR)));
    Db::begin(dir, config(WalSync::Never), clock, &Registry::new())
}

/// A disk with blocks and a log, and what is on it.
fn build() -> (MemDir, Model) {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    for step in 0..40 {
        let value = f64::from(i32::try_from(step).expect("few"));
        append(&db, step * HOUR / 4, &[(0, value), (1, -value)]).expect("appends");
        db.maintain(TimestampMs(step * HOUR / 4)).expect("maintains");
    }
    let model = read_all(&db);
    (disk, model)
}

#[test]
fn blocks_answer_with_a_warning_and_the_rest_follows() {
    let (disk, model) = build();
    let (db, replay) = begin(Arc::new(disk)).expect("begins");
    let blocks = db.block_range().expect("has blocks");
    let within = TimeRange { start_incl: TimestampMs(0), end_incl: blocks.end_incl };
    let found = read(&db, &[], within).expect("reads");
    let in_blocks = |samples: &std::collections::BTreeMap<i64, u64>| {
        samples.range(..=blocks.end_incl.0).map(|(at, bits)| (*at, *bits)).collect()
    };
    let expected: Model =
        model.iter().map(|(labels, samples)| (labels.clone(), in_blocks(samples))).collect();
    assert_eq!(found, expected);
    assert_ne!(found, model, "the log has more");
    assert!(db.status().wal.is_replaying);
    let warnings = db.warnings(within);
    assert!(
        warnings.iter().any(|warning| warning.contains("still being read back")),
        "{warnings:?}"
    );
    replay.run().expect("reads the log");
    assert_eq!(read_all(&db), model);
    assert!(!db.status().wal.is_replaying && db.warnings(within).is_empty());
    append(&db, 40 * HOUR / 4, &[(0, 1.0)]).expect("appends");
}

#[test]
fn nothing_is_written_before_the_log_is_read() {
    let (disk, model) = build();
    let dir = FaultDir::over(disk);
    let (db, replay) = begin(Arc::new(dir.clone())).expect("begins");
    let before = dir.op_count();
    let refused = db.resolve(&labels(0)).expect_err("waits");
    assert!(matches!(refused, AppendError::Paused { .. }), "{refused}");
    let refused = db.append(&swell_model::Batch::default()).expect_err("waits");
    assert!(matches!(refused, AppendError::Paused { .. }), "{refused}");
    assert!(db.delete_series(&[], TimeRange::ALL).is_err());
    assert!(db.clean_tombstones().is_err());
    assert!(db.snapshot("early", true).is_err());
    assert!(db.import(Vec::new()).is_err());
    let report = db.maintain(TimestampMs(100 * HOUR)).expect("does nothing");
    assert_eq!(report, swell_engine::MaintainReport::default());
    db.checkpoint().expect("does nothing");
    assert_eq!(dir.op_count(), before, "the disk is as it was");
    replay.run().expect("reads the log");
    assert_eq!(read_all(&db), model);
}

#[test]
fn what_cannot_be_read_back_leaves_the_database_as_it_was() {
    let (disk, model) = build();
    let dir = FaultDir::over(disk);
    let (db, replay) = begin(Arc::new(dir.clone())).expect("begins");
    dir.fail_reads(true);
    let error = replay.run().expect_err("fails");
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    dir.heal();
    assert!(db.status().wal.is_replaying);
    assert!(matches!(db.resolve(&labels(0)), Err(AppendError::Paused { .. })));
    drop(db);
    let db = open(Arc::new(dir), config(WalSync::Interval(DurationMs(1000)))).expect("opens");
    assert_eq!(read_all(&db), model);
}
