//! Settings that change while the database is open.

use std::sync::Arc;

use swell_engine::{Config, Db, WalSync};
use swell_env::{Clock as _, ManualClock, MemDir};
use swell_model::{Batch, DurationMs, Labels, Row, SampleSink as _, TimestampMs};
use swell_telemetry::Registry;

const HOUR_MS: i64 = 3_600_000;
const START: TimestampMs = TimestampMs(480_000 * HOUR_MS);

fn settings() -> Config {
    // The clock stands still while blocks are merged: there is no waiting for it.
    Config { wal_sync: WalSync::Never, background: None, reserve_bytes: 0, ..Config::standard() }
}

/// A database with a sample an hour for two days, flushed as far as windows are over.
fn two_days() -> (Db, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let dir = Arc::new(MemDir::new());
    let db = Db::open(dir, settings(), clock.clone(), &Registry::new()).expect("opened");
    for _ in 0..48 {
        clock.advance(DurationMs(HOUR_MS));
        append(&db, clock.now());
    }
    for _ in 0..30 {
        db.maintain(clock.now()).expect("maintained");
    }
    (db, clock)
}

fn append(db: &Db, at: TimestampMs) -> usize {
    let series = db.resolve(&Labels::from_pairs([("__name__", "up")])).expect("good labels");
    let batch = Batch::of_rows(vec![Row::new(at, vec![series], vec![1.0])]);
    db.append(&batch).expect("stored").stored
}

#[test]
fn blocks_go_once_the_time_or_size_is_less() {
    let (db, clock) = two_days();
    let oldest = |db: &Db| db.blocks().first().expect("a block").range.start_incl;
    assert_eq!(oldest(&db), START + DurationMs(HOUR_MS));
    db.maintain(clock.now()).expect("maintained");
    assert_eq!(oldest(&db), START + DurationMs(HOUR_MS), "fifteen days are not over");

    db.tune(&Config { retention_time: DurationMs(12 * HOUR_MS), ..settings() });
    db.maintain(clock.now()).expect("maintained");
    let left = oldest(&db);
    assert!(left > START + DurationMs(20 * HOUR_MS), "{left:?}");

    db.tune(&Config { retention_size_bytes: Some(1), ..settings() });
    // Some blocks go in each run, and the newest never does.
    for _ in 0..10 {
        db.maintain(clock.now()).expect("maintained");
    }
    assert_eq!(db.blocks().len(), 1, "{:?}", db.blocks());
}

#[test]
fn late_samples_are_taken_as_the_window_says() {
    let (db, clock) = two_days();
    let late = |hours: i64| clock.now() - DurationMs(hours * HOUR_MS + 60_000);
    assert_eq!(append(&db, late(3)), 0, "an hour is the limit");
    db.tune(&Config { out_of_order_window: DurationMs(10 * HOUR_MS), ..settings() });
    assert_eq!(append(&db, late(3)), 1);
    db.tune(&Config { out_of_order_window: DurationMs::ZERO, ..settings() });
    assert_eq!(append(&db, late(4)), 0);
}

#[test]
fn what_needs_a_new_start_is_told_apart() {
    let now = settings();
    let tuned = Config { retention_time: DurationMs(1), exemplars_max: 7, ..settings() };
    assert!(now.differs_only_as_tuned(&now) && now.differs_only_as_tuned(&tuned));
    let other = Config { head_series_max: 7, ..tuned };
    assert!(!now.differs_only_as_tuned(&other));
}
