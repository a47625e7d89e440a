//! Blocks are read while what was in memory is still being read back; nothing else is done before.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{Choices, HOUR, Model, append, config, labels, open, read, read_all};
use prometheus::Registry;
use swell_engine::{Config, Db, OpenError, WalSync};
use swell_env::{Dir as _, FaultDir, ManualClock, MemDir};
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

/// Bytes that a start reads, of how many of blocks and of the log there are.
fn start_after(hours: i64, step_ms: i64) -> (u64, u64, u64) {
    let disk = MemDir::new();
    let whole_log = || Config { checkpoint_log_bytes: 0, ..config(WalSync::Never) };
    let db = open(Arc::new(disk.clone()), whole_log()).expect("opens");
    let mut choices = Choices(5);
    let mut number = || f64::from(u32::try_from(choices.below(1 << 32)).expect("32 bits")) / 7.0;
    for step in 0..=hours * HOUR / step_ms {
        let samples: Vec<(usize, f64)> = (0..8).map(|nr| (nr, number())).collect();
        append(&db, step * step_ms, &samples).expect("appends");
        if step % 20 == 0 {
            db.maintain(TimestampMs(0)).expect("maintains");
        }
    }
    let in_blocks = db.status().blocks.bytes;
    drop(db);
    let log = disk.list("wal").expect("lists").iter().map(|entry| entry.len_bytes).sum();
    let dir = FaultDir::over(disk);
    drop(open(Arc::new(dir.clone()), whole_log()).expect("opens"));
    (dir.read_bytes(), in_blocks, log)
}

#[test]
fn what_a_start_reads_grows_with_the_log_and_not_with_the_data() {
    let (short, few_in_blocks, short_log) = start_after(27, HOUR / 60);
    let (long, many_in_blocks, same_log) = start_after(99, HOUR / 60);
    assert!(many_in_blocks > 3 * few_in_blocks, "{many_in_blocks} and {few_in_blocks}");
    assert!(short_log.abs_diff(same_log) < short_log / 4, "{short_log} and {same_log}");
    // Of each block its header and footer.
    assert!(long < short * 5 / 4, "{long} bytes with the longer history, {short} before");
    let (denser, _, longer_log) = start_after(27, HOUR / 240);
    assert!(longer_log > 3 * short_log, "{longer_log} and {short_log}");
    let least = short * longer_log / short_log;
    assert!(denser < least * 5 / 4, "{denser} bytes for a log of {longer_log}");
}
