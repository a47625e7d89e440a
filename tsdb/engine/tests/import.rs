//! Samples from elsewhere become blocks, retention waits for the archive.

use std::sync::Arc;

use prometheus::Registry;
use swell_engine::{Config, Db, ImportError};
use swell_env::{Dir, ManualClock, MemDir};
use swell_model::{
    Batch, DurationMs, FloatColumn, Labels, Row, SampleSink, SelectHints, SeriesData, SeriesSource,
    TimeRange, TimestampMs,
};

const DAY: i64 = 86_400_000;

fn open(dir: &Arc<MemDir>) -> Db {
    let dir: Arc<dyn Dir> = dir.clone();
    let clock = Arc::new(ManualClock::new(TimestampMs(100 * DAY)));
    Db::open(dir, Config::standard(), clock, &Registry::new()).expect("opens")
}

fn series(name: &str, times: &[i64]) -> SeriesData {
    SeriesData {
        labels: Labels::from_pairs([("__name__", name)]),
        floats: FloatColumn {
            timestamps: times.into(),
            values: times
                .iter()
                .map(|at| f64::from(i32::try_from(at % 1000).expect("small")))
                .collect(),
            starts: None,
        },
        ..SeriesData::default()
    }
}

fn times(db: &Db) -> Vec<(String, Vec<i64>)> {
    let mut found: Vec<(String, Vec<i64>)> = db
        .select(&[], &SelectHints::range(TimeRange::ALL))
        .expect("readable")
        .map(|it| {
            let it = it.expect("readable");
            (it.labels.to_string(), it.floats.timestamps.to_vec())
        })
        .collect();
    found.sort();
    found
}

fn append(db: &Db, name: &str, at: i64) {
    let series = db.resolve(&Labels::from_pairs([("__name__", name)])).expect("resolved");
    let row = Row::new(TimestampMs(at), vec![series], vec![1.0]);
    let report = db.append(&Batch::of_rows(vec![row])).expect("appended");
    assert_eq!(report.stored, 1);
}

#[test]
fn imported_samples_stand_beside_those_of_the_head() {
    let dir = Arc::new(MemDir::new());
    let db = open(&dir);
    append(&db, "a", 90 * DAY);
    assert_eq!(db.import_before(), TimestampMs(90 * DAY));
    let report = db.import(vec![series("b", &[5, 7]), series("a", &[1, DAY])]).expect("imported");
    assert_eq!((report.series_count, report.sample_count), (2, 4));
    assert!(report.block_bytes > 0);
    let refused = db.import(vec![series("a", &[90 * DAY])]).expect_err("the head has that time");
    assert!(matches!(refused, ImportError::Head { .. }), "{refused}");
    append(&db, "a", 90 * DAY + 1);
    let expected =
        [("a".to_owned(), vec![1, DAY, 90 * DAY, 90 * DAY + 1]), ("b".to_owned(), vec![5, 7])];
    assert_eq!(times(&db), expected);
    db.close().expect("closed");
    assert_eq!(times(&open(&dir)), expected, "after a restart");
}

#[test]
fn what_is_imported_into_an_empty_database_is_the_past() {
    let dir = Arc::new(MemDir::new());
    let db = open(&dir);
    assert_eq!(db.import_before(), TimestampMs::MAX);
    db.import(vec![series("a", &[10 * DAY, 10 * DAY + 9])]).expect("imported");
    assert_eq!(db.range(), db.block_range());
    append(&db, "a", 10 * DAY + 10);
    let expected = [("a".to_owned(), vec![10 * DAY, 10 * DAY + 9, 10 * DAY + 10])];
    assert_eq!(times(&db), expected);
    db.close().expect("closed");
    assert_eq!(times(&open(&dir)), expected, "after a restart");
    assert_eq!(open(&dir).import(Vec::new()).expect("nothing to do").sample_count, 0);
}

#[test]
fn labels_beyond_the_limits_are_refused_as_a_whole() {
    let db = open(&Arc::new(MemDir::new()));
    let long = SeriesData {
        labels: Labels::from_pairs([("__name__", "x".repeat(5000))]),
        ..series("x", &[1])
    };
    let refused = db.import(vec![series("a", &[1]), long]).expect_err("too long");
    assert!(matches!(refused, ImportError::Series(_)), "{refused}");
    assert!(times(&db).is_empty());
}

#[test]
fn retention_leaves_what_is_held() {
    let db = open(&Arc::new(MemDir::new()));
    for day in [1, 2, 5, 10, 15, 20, 25, 30] {
        db.import(vec![series("a", &[day * DAY])]).expect("imported");
    }
    db.hold_from(TimestampMs(2 * DAY));
    db.maintain(TimestampMs(30 * DAY)).expect("maintained");
    assert_eq!(db.block_range().expect("blocks").start_incl, TimestampMs(2 * DAY));
    db.hold_from(TimestampMs::MAX);
    db.maintain(TimestampMs(30 * DAY)).expect("maintained");
    let left = db.block_range().expect("blocks").start_incl;
    assert!(left > TimestampMs(2 * DAY), "{left:?}");
}

#[test]
fn the_part_without_gaps_is_told() {
    let db = open(&Arc::new(MemDir::new()));
    assert_eq!(db.unbroken_from(), None);
    for day in [1, 50] {
        db.import(vec![series("a", &[day * DAY, day * DAY + 5])]).expect("imported");
    }
    assert_eq!(db.unbroken_from(), Some(TimestampMs(50 * DAY)));
    append(&db, "a", 50 * DAY + 60_000);
    assert_eq!(db.unbroken_from(), Some(TimestampMs(50 * DAY)));
    append(&db, "a", 50 * DAY + DurationMs::from_secs(7200).0);
    assert_eq!(db.unbroken_from(), Some(TimestampMs(50 * DAY)));
}
