//! Failing disks, second openers, refused input, and readers beside writers.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{HOUR, append, config, float_batch, labels, open, read_all};
use prometheus::Registry;
use swell_engine::{Config, Db, OpenError, WalSync};
use swell_env::{Clock as _, Dir as _, Fault, FaultDir, FsDir, ManualClock, MemDir};
use swell_model::{
    AppendError, Batch, DropReason, DurationMs, Labels, MetricDescription, MetricKind,
    MetricMetadata, Row, SampleSink, SelectHints, SeriesRef, SeriesSource, TimeRange, TimestampMs,
};

#[test]
fn a_failed_write_or_sync_stops_writes_and_nothing_else() {
    // The second batch is one append to the log, then a sync in `Always`. A disk that is full at a sync leaves as
    // much in doubt as any other error there.
    for (fault, sync, skipped) in [
        (Fault::Io, WalSync::Always, 0),
        (Fault::Io, WalSync::Always, 1),
        (Fault::DiskFull, WalSync::Always, 1),
        (Fault::Io, WalSync::Never, 0),
    ] {
        let dir = FaultDir::new();
        let db = open(Arc::new(dir.clone()), config(sync)).expect("opens");
        append(&db, 1000, &[(0, 1.0)]).expect("appends");
        let batch = float_batch(&db, 2000, &[(0, 2.0)]).expect("resolves");
        dir.fail(dir.op_count() + skipped, 1, fault);
        let error = db.append(&batch).expect_err("the disk fails");
        assert!(matches!(error, AppendError::ReadOnly { .. }), "{error}");
        let error = db.append(&batch).expect_err("although the disk is well again");
        assert!(error.to_string().contains("until it is reopened"), "{error}");
        assert!(db.sync().is_err(), "what is not trusted is not synced");
        assert!(db.status().read_only.is_some());
        assert_eq!(read_all(&db)[&labels(0)][&1000], 1f64.to_bits(), "reads go on");
        drop(db);
        let db = open(Arc::new(dir), config(sync)).expect("reopens");
        append(&db, 3000, &[(0, 3.0)]).expect("writes go on");
        let times: Vec<i64> = read_all(&db)[&labels(0)].keys().copied().collect();
        assert!(times == [1000, 3000] || times == [1000, 2000, 3000], "{times:?}");
    }
}

/// Brings a batch at `at_ms` past a fault: refused while it lasts, taken without a new start once it is over.
fn refused_then_taken(db: &Db, clock: &ManualClock, at_ms: i64, heal: impl FnOnce()) {
    let batch = float_batch(db, at_ms, &[(0, 1.0), (1, 2.0)]).expect("known series");
    for attempt in ["the first", "one at once", "one a second later"] {
        let error = db.append(&batch).expect_err(attempt);
        assert!(matches!(error, AppendError::Paused { .. }), "{attempt}: {error}");
        assert!(!read_all(db).values().any(|samples| samples.contains_key(&at_ms)), "{attempt}");
        if attempt == "one at once" {
            clock.advance(DurationMs(1000));
        }
    }
    let refusal = db.refusal().expect("refused");
    assert!(refusal.is_passing && db.status().read_only == Some(refusal.reason), "told");
    heal();
    clock.advance(DurationMs(1000));
    assert_eq!(db.append(&batch).expect("room again").stored, 2);
    assert_eq!((db.refusal(), db.status().read_only), (None, None));
}

#[test]
fn writes_go_on_by_themselves_once_the_disk_has_room() {
    let dir = FaultDir::new();
    let clock = Arc::new(ManualClock::new(TimestampMs(10 * HOUR)));
    let settings = Config { reserve_bytes: 1000, ..config(WalSync::Always) };
    let open = || {
        Db::open(Arc::new(dir.clone()), settings.clone(), clock.clone(), &Registry::new())
            .expect("opens")
    };
    let db = open();
    db.maintain(clock.now()).expect("keeps space back");
    float_batch(&db, 1000, &[(0, 1.0), (1, 2.0)]).expect("resolves");
    for step in 1..=3 {
        // The first time there is no segment yet, later the open one ends in half a record.
        dir.fill(true);
        refused_then_taken(&db, &clock, step * 1000, || {
            db.sync().expect("what was written before is trusted");
            dir.fill(false);
        });
    }
    // What was kept back is gone: until it is there again no batch takes the space.
    dir.fill(true);
    dir.disk().remove("reserve").expect("there");
    refused_then_taken(&db, &clock, 4000, || dir.fill(false));
    assert!(dir.list("").expect("listed").iter().any(|entry| entry.name == "reserve"));
    let before = read_all(&db);
    assert_eq!(before[&labels(0)].len(), 4);
    drop(db);
    assert_eq!(
        read_all(&open()),
        before,
        "nothing acknowledged is lost, nothing refused comes back"
    );
    let copy = common::open(Arc::new(dir.disk().after_power_cut(1)), config(WalSync::Never));
    assert_eq!(read_all(&copy.expect("opens")), before);
}

#[test]
fn a_file_system_that_turns_read_only_or_opens_no_file_pauses_writes_and_nothing_else() {
    for fault in [Fault::ReadOnly, Fault::NoDescriptors] {
        // Every operation of the first batch: making a segment takes four, the record one.
        for skipped in 0..5 {
            let dir = FaultDir::new();
            let clock = Arc::new(ManualClock::new(TimestampMs(10 * HOUR)));
            let disk = Arc::new(dir.clone());
            let db = Db::open(disk, config(WalSync::Never), clock.clone(), &Registry::new());
            let db = db.expect("opens");
            float_batch(&db, 1000, &[(0, 1.0), (1, 2.0)]).expect("resolves");
            dir.fail(dir.op_count() + skipped, u64::MAX, fault);
            refused_then_taken(&db, &clock, 1000, || dir.heal());
            refused_again(&dir, fault, &db, &clock);
            let before = read_all(&db);
            drop(db);
            let db = open(Arc::new(dir), config(WalSync::Never)).expect("reopens");
            assert_eq!(read_all(&db), before, "{fault:?} at operation {skipped}");
        }
    }
}

#[test]
fn a_sync_that_fails_once_half_a_record_is_cut_off_stops_writes_for_good() {
    for (fault, skipped, passes) in
        [(Fault::ReadOnly, 0, true), (Fault::ReadOnly, 1, false), (Fault::NoDescriptors, 1, false)]
    {
        let dir = FaultDir::new();
        let clock = Arc::new(ManualClock::new(TimestampMs(10 * HOUR)));
        let disk = Arc::new(dir.clone());
        let db = Db::open(disk, config(WalSync::Never), clock.clone(), &Registry::new());
        let db = db.expect("opens");
        append(&db, 1000, &[(0, 1.0)]).expect("appends");
        let batch = float_batch(&db, 2000, &[(0, 2.0)]).expect("resolves");
        dir.fail(dir.op_count(), 1, Fault::DiskFull);
        db.append(&batch).expect_err("half a record is written");
        clock.advance(DurationMs(1000));
        // The next batch cuts the half, then syncs what is before it.
        dir.fail(dir.op_count() + skipped, 1, fault);
        let error = db.append(&batch).expect_err("the cut, or the sync");
        assert_eq!(matches!(error, AppendError::Paused { .. }), passes, "{fault:?}: {error}");
        clock.advance(DurationMs(1000));
        assert_eq!(db.append(&batch).is_ok(), passes, "{fault:?} at operation {skipped}");
    }
}

#[test]
fn a_segment_that_could_not_be_made_leaves_nothing_behind() {
    for skipped in 0..4 {
        let dir = FaultDir::new();
        let clock = Arc::new(ManualClock::new(TimestampMs(10 * HOUR)));
        let disk = Arc::new(dir.clone());
        let db = Db::open(disk, config(WalSync::Never), clock.clone(), &Registry::new());
        let db = db.expect("opens");
        let batch = float_batch(&db, 1000, &[(0, 1.0)]).expect("resolves");
        dir.fail(dir.op_count() + skipped, 1, Fault::DiskFull);
        db.append(&batch).expect_err("full");
        assert_eq!(dir.list("wal").expect("listed"), [], "operation {skipped}");
        clock.advance(DurationMs(1000));
        db.append(&batch).expect("room again");
        let left = dir.list("wal").expect("listed");
        assert_eq!(left.len(), 1, "operation {skipped}: {left:?}");
    }
}

/// A later batch meets the same fault; queries and upkeep are as they were.
fn refused_again(dir: &FaultDir, fault: Fault, db: &Db, clock: &ManualClock) {
    dir.fail(dir.op_count(), u64::MAX, fault);
    refused_then_taken(db, clock, 2000, || dir.heal());
    db.maintain(clock.now()).expect("upkeep goes on");
}

#[test]
fn a_failed_flush_is_tried_again_and_loses_nothing() {
    let dir = FaultDir::new();
    let clock = Arc::new(ManualClock::new(TimestampMs(10 * HOUR)));
    let db =
        Db::open(Arc::new(dir.clone()), config(WalSync::Never), clock.clone(), &Registry::new())
            .expect("opens");
    for step in 0..16 {
        append(&db, step * HOUR / 4, &[(0, 1.0), (1, 2.0)]).expect("appends");
    }
    let before = read_all(&db);
    let mut op = 0;
    let report = loop {
        dir.fail(dir.op_count() + op, u64::MAX, Fault::DiskFull);
        let outcome = db.maintain(clock.now());
        dir.heal();
        assert_eq!(read_all(&db), before, "operation {op}");
        match outcome {
            Ok(report) => break report,
            Err(error) => {
                let message = swell_telemetry::chain(&error);
                assert!(message.contains("blocks") || message.contains("log"), "{message}");
            }
        }
        let waiting = db.maintain(clock.now()).expect("a run that waits does nothing");
        assert_eq!(waiting.flushed_block_count, 0);
        clock.advance(DurationMs::from_secs(600));
        op += 1;
    };
    assert!(op > 5 && report.flushed_block_count <= 1, "{op} {report:?}");
    assert_eq!(db.status().blocks.block_count, 1);
    append(&db, 5 * HOUR, &[(0, 3.0)]).expect("writes were never stopped");
}

#[test]
fn checkpoints_that_fail_hold_up_no_upkeep() {
    let dir = FaultDir::new();
    let clock = Arc::new(ManualClock::new(TimestampMs(10 * HOUR)));
    let settings = Config { checkpoint_log_bytes: 1, ..config(WalSync::Never) };
    let db = Db::open(Arc::new(dir.clone()), settings, clock.clone(), &Registry::new());
    let db = db.expect("opens");
    let has_checkpoint = || {
        let entries = dir.list("").expect("listed");
        entries.iter().any(|entry| entry.name == "checkpoint")
    };
    for step in 0..16 {
        append(&db, step * HOUR / 4, &[(0, 1.0)]).expect("appends");
    }
    // Or the log's own sync would be what fails.
    db.sync().expect("syncs");
    dir.fail(dir.op_count(), u64::MAX, Fault::Io);
    db.settle().expect_err("not written");
    dir.heal();
    db.settle().expect("waits");
    let report = db.maintain(clock.now()).expect("runs");
    assert_eq!(report.flushed_block_count, 1, "upkeep does not wait");
    assert!(!has_checkpoint(), "checkpoints do");
    clock.advance(DurationMs(1000));
    db.settle().expect("written");
    assert!(has_checkpoint());

    // The other way round.
    for step in 16..24 {
        append(&db, step * HOUR / 4, &[(0, 1.0)]).expect("appends");
    }
    db.sync().expect("syncs");
    dir.fail(dir.op_count(), u64::MAX, Fault::Io);
    db.maintain(clock.now()).expect_err("no block is written");
    dir.heal();
    let written = dir.op_count();
    let waiting = db.maintain(clock.now()).expect("waits");
    assert_eq!((waiting.flushed_block_count, dir.op_count()), (0, written));
    db.settle().expect("written");
    assert!(dir.op_count() > written, "a checkpoint does not wait for upkeep");
}

#[test]
fn a_failed_read_is_an_error_and_passes() {
    let dir = FaultDir::new();
    let db = open(Arc::new(dir.clone()), config(WalSync::Never)).expect("opens");
    for step in 0..16 {
        append(&db, step * HOUR / 4, &[(0, f64::from(i32::try_from(step).expect("few")))])
            .expect("appends");
    }
    db.maintain(TimestampMs(0)).expect("flushes");
    let before = read_all(&db);
    drop(db);
    let db = open(Arc::new(dir.clone()), config(WalSync::Never)).expect("reopens");
    dir.fail_reads(true);
    let error = common::read(&db, &[], TimeRange::ALL).expect_err("fails");
    assert!(error.to_string().contains("blocks/"), "{error}");
    dir.fail_reads(false);
    assert_eq!(read_all(&db), before);
    dir.fail_reads(true);
    assert!(common::read(&db, &[], TimeRange::ALL).is_err(), "frames are read each time");
    assert_eq!(db.status().damage, [], "an error of the device is no damage");
}

#[test]
fn a_second_opener_is_refused_by_name() {
    let root = tempfile::tempdir().expect("temporary directory");
    let fs = |_| -> Arc<FsDir> { Arc::new(FsDir::open(root.path()).expect("made")) };
    let db = open(fs(1), config(WalSync::Never)).expect("opens");
    append(&db, 1000, &[(0, 1.0)]).expect("appends");
    let error = open(fs(2), config(WalSync::Never)).expect_err("locked");
    assert!(matches!(error, OpenError::Lock { .. }));
    let message = swell_telemetry::chain(&error);
    let holder = format!("process {}", std::process::id());
    assert!(message.contains(&holder) && message.contains("lock"), "{message}");
    append(&db, 2000, &[(0, 2.0)]).expect("the first one does not notice");
    drop(db);
    let db = open(fs(3), config(WalSync::Interval(DurationMs(10)))).expect("free again");
    assert_eq!(read_all(&db)[&labels(0)].len(), 2);
    append(&db, 3000, &[(0, 3.0)]).expect("appends");
    db.close().expect("closes");
    let db = open(fs(4), config(WalSync::Always)).expect("opens");
    assert_eq!(read_all(&db)[&labels(0)].len(), 3);
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_rule() {
    let limits = Config {
        head_series_max: 2,
        label_count_max: 3,
        label_name_max_bytes: 10,
        label_value_max_bytes: 10,
        ..config(WalSync::Never)
    };
    let clock = Arc::new(ManualClock::new(TimestampMs(HOUR)));
    let db = Db::open(Arc::new(MemDir::new()), limits, clock, &Registry::new()).expect("opens");
    let check = |pairs: &[(&str, &str)], expected: &str| {
        let error = db.resolve(&Labels::from_pairs(pairs.iter().copied())).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&[], "no labels");
    check(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")], "at most 3");
    check(&[("a", "12345678901")], "11 bytes, at most 10");
    check(&[("abcdefghijk", "1")], "label abcdefghijk has 11 bytes");
    let known = db.resolve(&labels(0)).expect("taken");
    db.resolve(&labels(1)).expect("taken");
    let error = db.resolve(&labels(2)).expect_err("full");
    assert!(error.to_string().contains("2 series are in memory"), "{error}");
    assert_eq!(db.resolve(&labels(0)).expect("known"), known);

    let row = |at: i64, series: SeriesRef| {
        Batch::of_rows(vec![Row::new(TimestampMs(at), vec![series], vec![1.0])])
    };
    let report = db.append(&row(HOUR + 600_001, known)).expect("dropped");
    assert_eq!((report.stored, report.too_new), (0, 1));
    assert_eq!(db.append(&row(HOUR + 600_000, known)).expect("stored").stored, 1);
    assert_eq!(db.append(&row(HOUR + 600_000, known)).expect("again").duplicates, 1);
    let report = db.append(&row(HOUR, known)).expect("late");
    assert_eq!((report.stored, report.stored_late), (1, 1));
    let report = db.append(&row(HOUR - 3_600_001, known)).expect("too late");
    assert_eq!(report.out_of_order, 1);
    let example = report.example.expect("an example");
    assert_eq!((example.series, example.reason), (known, DropReason::OutOfOrder));
    for stranger in [SeriesRef(77), SeriesRef(u64::MAX), SeriesRef(known.0 | 1 << 40)] {
        let error = db.append(&row(HOUR, stranger)).expect_err("unknown");
        assert!(matches!(error, AppendError::UnknownSeries(series) if series == stranger));
    }
    let mut uneven = row(HOUR, known);
    uneven.rows[0].values.push(2.0);
    assert!(matches!(db.append(&uneven), Err(AppendError::Refused { .. })));
}

#[test]
fn a_refused_batch_leaves_nothing() {
    let db = open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opens");
    let mut batch = float_batch(&db, 1000, &[(0, 1.0), (1, 2.0)]).expect("resolves");
    batch.rows.push(Row::new(TimestampMs(1000), vec![SeriesRef(99)], vec![1.0]));
    db.append(&batch).expect_err("one series is unknown");
    assert!(read_all(&db).is_empty());
}

#[test]
fn series_that_are_gone_are_forgotten_and_their_references_with_them() {
    let db = open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opens");
    let gone = db.resolve(&labels(7)).expect("resolves");
    append(&db, 0, &[(7, 1.0), (0, 1.0)]).expect("appends");
    for step in 1..=60 {
        append(&db, step * HOUR / 10, &[(0, 1.0)]).expect("appends");
    }
    let report = db.maintain(TimestampMs(0)).expect("maintains");
    assert_eq!(report.forgotten_series_count, 1);
    assert_eq!(db.status().head.series_count, 1);
    let mut batch = float_batch(&db, 7 * HOUR, &[(0, 2.0)]).expect("resolves");
    batch.rows[0].series.push(gone);
    batch.rows[0].values.push(1.0);
    assert!(matches!(db.append(&batch), Err(AppendError::UnknownSeries(series)) if series == gone));
    assert_ne!(db.resolve(&labels(7)).expect("resolves"), gone, "references are not reused");
    assert_eq!(read_all(&db)[&labels(7)].len(), 1, "its samples are in a block");
}

#[test]
fn readers_see_batches_as_a_whole() {
    const SERIES: usize = 50;
    let db = open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opens");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = || {
            let mut seen = 0;
            while !done.load(Ordering::Acquire) {
                let mut lens: Vec<usize> = db
                    .select(&[], &SelectHints::range(TimeRange::ALL))
                    .expect("selects")
                    .map(|series| series.expect("decodes").floats.timestamps.len())
                    .collect();
                lens.dedup();
                assert!(lens.len() <= 1, "series of one batch have as many samples: {lens:?}");
                seen = seen.max(lens.first().copied().unwrap_or_default());
            }
            seen
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        for step in 0..1500 {
            let samples: Vec<(usize, f64)> = (0..SERIES).map(|nr| (nr, 1.0)).collect();
            append(&db, i64::from(step) * 1000, &samples).expect("appends");
            if step % 200 == 0 {
                db.maintain(TimestampMs(0)).expect("maintains");
            }
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().expect("no panic") <= 1500);
        }
    });
}

#[test]
fn many_writers_share_syncs() {
    let dir = FaultDir::new();
    let db = open(Arc::new(dir.clone()), config(WalSync::Always)).expect("opens");
    std::thread::scope(|scope| {
        for writer in 0..4usize {
            let db = &db;
            scope.spawn(move || {
                for step in 1..=50 {
                    append(db, step * 1000, &[(writer, 1.0)]).expect("appends");
                }
            });
        }
    });
    let copy =
        open(Arc::new(dir.disk().after_power_cut(3)), config(WalSync::Never)).expect("opens");
    assert_eq!(read_all(&copy), read_all(&db));
    assert_eq!(read_all(&db).values().map(std::collections::BTreeMap::len).sum::<usize>(), 200);
}

#[test]
fn the_status_tells_who_makes_series_many() {
    let db = open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opens");
    let samples: Vec<(usize, f64)> = (0..10).map(|nr| (nr, 1.0)).collect();
    append(&db, 1000, &samples).expect("appends");
    append(&db, 2000, &samples).expect("appends");
    let status = db.status();
    assert_eq!((status.head.series_count, status.head.label_pair_count), (10, 13));
    assert_eq!((status.head.sample_count, status.samples_appended), (20, 20));
    assert_eq!(status.wal.segment_count, 1);
    assert!(status.bytes_per_sample > 0.0);
    let top = db.cardinality(2);
    assert_eq!(top.series_by_metric[0], ("metric_0".to_owned(), 4));
    assert_eq!(top.values_by_label, [("pod".to_owned(), 10), ("__name__".to_owned(), 3)]);
    assert_eq!(top.series_by_pair[0], ("__name__=metric_0".to_owned(), 4));
    let metadata =
        MetricMetadata { kind: MetricKind::Gauge, help: "a".to_owned(), unit: String::new() };
    let described =
        MetricDescription { metric_name: "metric_0".to_owned(), metadata: metadata.clone() };
    db.append(&Batch { descriptions: vec![described], ..Batch::default() }).expect("logged");
    assert_eq!(db.metadata()["metric_0"], metadata);
}
