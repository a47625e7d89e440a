//! Samples that come late, twice, or from the future: what is taken, what is told, and that it stays so.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{HOUR, append, config, labels, open, read_all};
use prometheus::Registry;
use swell_engine::{Config, Db, WalSync};
use swell_env::{Clock as _, Fault, FaultDir, ManualClock, MemDir};
use swell_model::{
    Batch, DropReason, DurationMs, Exemplar, ExemplarSample, Labels, MetricDescription,
    MetricMetadata, Row, SampleSink, TimeRange, TimestampMs, stale_nan,
};

const MINUTE: i64 = 60_000;

fn settings(window_ms: i64) -> Config {
    Config { out_of_order_window: DurationMs(window_ms), ..config(WalSync::Never) }
}

/// Checks the values of series 0, then again after a restart, and after all is in blocks.
fn check(disk: &MemDir, db: Db, window_ms: i64, expected: &[(i64, f64)]) -> Db {
    let bits: Vec<(i64, u64)> = expected.iter().map(|(at, v)| (*at, v.to_bits())).collect();
    let found = |db: &Db| -> Vec<(i64, u64)> {
        read_all(db)[&labels(0)].iter().map(|(at, bits)| (*at, *bits)).collect()
    };
    assert_eq!(found(&db), bits, "in the head");
    drop(db);
    let db = open(Arc::new(disk.clone()), settings(window_ms)).expect("reopens");
    assert_eq!(found(&db), bits, "after a restart");
    append(&db, 40 * HOUR, &[(1, 1.0)]).expect("appends");
    for _ in 0..6 {
        db.maintain(TimestampMs(0)).expect("maintains");
        assert_eq!(found(&db), bits, "in blocks");
    }
    assert!(db.status().blocks.block_count > 0);
    drop(db);
    let db = open(Arc::new(disk.clone()), settings(window_ms)).expect("reopens");
    assert_eq!(found(&db), bits, "in blocks after a restart");
    db
}

#[test]
fn late_samples_are_sorted_in() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(HOUR)).expect("opens");
    for (at, value) in [(100, 1.0), (50, 2.0), (60, 3.0), (10, 4.0), (110, 5.0), (60, 3.0)] {
        append(&db, at * MINUTE, &[(0, value)]).expect("appends");
    }
    let times = [(50, 2.0), (60, 3.0), (100, 1.0), (110, 5.0)];
    let expected: Vec<(i64, f64)> = times.iter().map(|(at, v)| (at * MINUTE, *v)).collect();
    check(&disk, db, HOUR, &expected);
}

#[test]
fn what_is_to_be_in_order_does_not_come_late() {
    let db = open(Arc::new(MemDir::new()), settings(HOUR)).expect("opens");
    append(&db, 100 * MINUTE, &[(0, 1.0)]).expect("appends");
    let series = db.resolve(&labels(0)).expect("known");
    let marker = |minute: i64, in_order_only| {
        let row = Row::new(TimestampMs(minute * MINUTE), vec![series], vec![stale_nan()]);
        let report = db.append(&Batch { in_order_only, ..Batch::of_rows(vec![row]) });
        let report = report.expect("appends");
        (report.stored, report.stored_late, report.dropped())
    };
    assert_eq!(marker(90, true), (0, 0, 1), "one that comes late");
    assert_eq!(marker(100, true), (0, 0, 1), "one of the same time");
    assert_eq!(marker(90, false), (1, 1, 0), "others may come late");
    assert_eq!(marker(101, true), (1, 0, 0));
}

#[test]
fn what_is_older_than_the_window_is_refused_and_the_rest_is_stored() {
    let db = open(Arc::new(MemDir::new()), settings(HOUR)).expect("opens");
    append(&db, 100 * MINUTE, &[(0, 1.0), (1, 1.0)]).expect("appends");
    let (a, b) = (db.resolve(&labels(0)).expect("known"), db.resolve(&labels(1)).expect("known"));
    let row = |at: i64| Row::new(TimestampMs(at * MINUTE), vec![a, b], vec![7.0, 8.0]);
    let report = db.append(&Batch::of_rows(vec![row(39), row(120), row(70)])).expect("appends");
    assert_eq!((report.stored, report.stored_late, report.out_of_order), (4, 2, 2));
    let example = report.example.expect("an example");
    assert_eq!((example.series, example.timestamp), (a, TimestampMs(39 * MINUTE)));
    assert_eq!(example.reason, DropReason::OutOfOrder);
    assert_eq!(read_all(&db)[&labels(1)].len(), 3);
    assert_eq!(db.status().head.late_sample_count, 2);
}

#[test]
fn a_sample_from_the_future_does_not_shut_others_out() {
    let db = open(Arc::new(MemDir::new()), settings(HOUR)).expect("opens");
    let now = 10_000 * 24 * HOUR;
    assert_eq!(append(&db, now + 601_000, &[(0, 1.0)]).expect("refused").too_new, 1);
    assert_eq!(append(&db, now + 600_000, &[(0, 1.0)]).expect("taken").stored, 1);
    for minute in 0..10 {
        let report = append(&db, now + minute * MINUTE, &[(1, 1.0), (0, 1.0)]).expect("taken");
        assert_eq!(report.stored, 2, "minute {minute}: {report:?}");
        db.maintain(TimestampMs(now)).expect("maintains");
    }
}

#[test]
fn a_clock_set_back_refuses_no_good_sample_and_deletes_nothing() {
    for back_ms in [1000, HOUR, 3653 * 24 * HOUR] {
        let began = TimestampMs(10_000 * 24 * HOUR);
        let clock = Arc::new(ManualClock::new(began));
        let settings = Config { retention_time: DurationMs(HOUR), ..settings(HOUR) };
        let disk = Arc::new(MemDir::new());
        let db = Db::open(disk, settings, clock.clone(), &Registry::new()).expect("opens");
        append(&db, began.0, &[(0, 1.0), (1, 1.0)]).expect("appends");
        clock.jump(DurationMs(-back_ms));
        // Senders whose clocks are right, for the time of two windows.
        for minute in 1..=5 * 60 {
            clock.advance(DurationMs(MINUTE));
            let report = append(&db, began.0 + minute * MINUTE, &[(0, 1.0)]).expect("taken");
            assert_eq!((report.stored, report.too_new), (1, 0), "minute {minute} of {back_ms} ms");
            let ahead = began.0 + (minute + 10) * MINUTE + 1;
            assert_eq!(append(&db, ahead, &[(1, 1.0)]).expect("refused").too_new, 1);
            db.maintain(clock.now()).expect("maintains");
        }
        assert!(db.status().blocks.block_count > 0, "flushes go on by the samples' times");
        assert_eq!(read_all(&db)[&labels(0)].len(), 5 * 60 + 1, "what is there stays");
    }
}

#[test]
fn of_two_values_for_one_time_one_rule_decides_everywhere() {
    // With a window the same one counts whatever came first; without one the first stays, as in Prometheus.
    for (first, second, kept) in [
        (1.0, 2.0, 2.0),
        (2.0, 1.0, 2.0),
        (stale_nan(), -5.0, -5.0),
        (-5.0, stale_nan(), -5.0),
        (0.0, -0.0, 0.0),
        (-0.0, 0.0, 0.0),
        (f64::NEG_INFINITY, f64::INFINITY, f64::INFINITY),
    ] {
        for window_ms in [0, HOUR] {
            let disk = MemDir::new();
            let db = open(Arc::new(disk.clone()), settings(window_ms)).expect("opens");
            append(&db, MINUTE, &[(0, first)]).expect("appends");
            let report = append(&db, MINUTE, &[(0, second)]).expect("appends");
            assert_eq!((report.stored, report.conflicts), (0, 1), "{first} then {second}");
            assert_eq!(report.example.expect("told").reason, DropReason::Conflict);
            assert_eq!(append(&db, MINUTE, &[(0, first)]).expect("again").stored, 0);
            let kept = if window_ms == 0 { first } else { kept };
            check(&disk, db, window_ms, &[(MINUTE, kept)]);
        }
    }
}

#[test]
fn values_that_contradict_blocks_are_counted_when_they_are_merged() {
    let registry = Registry::new();
    let clock = Arc::new(ManualClock::new(TimestampMs(10_000 * 24 * HOUR)));
    let disk = Arc::new(MemDir::new());
    let db = Db::open(disk, settings(48 * HOUR), clock, &registry).expect("opens");
    let counted = || {
        let families = registry.gather();
        let name = "swell_tsdb_merge_conflicts_total";
        let family = families.iter().find(|family| family.name() == name).expect("registered");
        family.get_metric()[0].get_counter().get_value()
    };
    for step in 0..60 {
        append(&db, step * HOUR / 10, &[(0, 1.0)]).expect("appends");
        db.maintain(TimestampMs(0)).expect("maintains");
    }
    assert_eq!((db.status().blocks.block_count, counted()), (2, 0.0));
    // Into the blocks' times: five others, three repeats, two that win, all unknown to memory.
    for (step, value) in (0..10).zip([0.5, 1.0, 2.0, 0.5, 1.0, 0.5, 2.0, 0.5, 1.0, 0.5]) {
        assert_eq!(append(&db, step * HOUR / 10, &[(0, value)]).expect("taken").stored_late, 1);
    }
    append(&db, 40 * HOUR, &[(1, 1.0)]).expect("appends");
    for _ in 0..6 {
        db.maintain(TimestampMs(0)).expect("maintains");
    }
    assert_eq!(counted(), 7.0);
    let values = &read_all(&db)[&labels(0)];
    let greater = values.values().filter(|bits| **bits == 2f64.to_bits()).count();
    assert_eq!((values.len(), greater), (60, 2));
}

#[test]
fn exact_repeats_are_no_fault() {
    let db = open(Arc::new(MemDir::new()), settings(HOUR)).expect("opens");
    for step in 0..5 {
        append(&db, step * MINUTE, &[(0, 1.5)]).expect("appends");
    }
    for step in 0..5 {
        let report = append(&db, step * MINUTE, &[(0, 1.5)]).expect("appends");
        assert_eq!((report.dropped(), report.example), (0, None), "step {step}");
    }
    assert_eq!(read_all(&db)[&labels(0)].len(), 5);
}

#[test]
fn late_samples_of_hours_ago_reach_their_blocks() {
    let disk = MemDir::new();
    let window = 48 * HOUR;
    let db = open(Arc::new(disk.clone()), settings(window)).expect("opens");
    let mut expected = Vec::new();
    for step in 0..300 {
        let at = step * HOUR / 10;
        if step % 3 != 1 {
            append(&db, at, &[(0, 1.0)]).expect("appends");
        }
        expected.push((at, if step % 3 == 1 { 2.0 } else { 1.0 }));
        db.maintain(TimestampMs(at)).expect("maintains");
    }
    let blocks_before = db.status().blocks;
    for step in (0..300).filter(|step| step % 3 == 1) {
        append(&db, step * HOUR / 10, &[(0, 2.0)]).expect("taken");
    }
    assert_eq!(db.status().head.late_sample_count, 100);
    let db = check(&disk, db, window, &expected);
    let status = db.status();
    assert_eq!(status.head.late_sample_count, 0, "they are in blocks");
    assert!(status.blocks.sample_count >= blocks_before.sample_count + 100);
}

/// Kills the work at each operation on the disk; late samples that were acknowledged are there, once.
#[test]
fn late_samples_survive_a_kill_at_every_operation() {
    let window = 48 * HOUR;
    let sample = |step: i64| {
        // Every fourth comes nine hours late.
        let at = if step % 4 == 3 { (step - 3) * HOUR + 1 } else { (step + 9) * HOUR };
        (at, f64::from(i32::try_from(step).expect("few")))
    };
    let work = |db: &Db| -> i64 {
        for step in 0..24 {
            let (at, value) = sample(step);
            if append(db, at, &[(0, value)]).is_err() {
                return step;
            }
            if step % 3 == 2 && db.maintain(TimestampMs(0)).is_err() {
                return step + 1;
            }
        }
        24
    };
    let run = |op: u64| {
        let dir = FaultDir::new();
        dir.fail(op, u64::MAX, Fault::Io);
        let done = open(Arc::new(dir.clone()), settings(window)).map_or(0, |db| work(&db));
        (dir, done)
    };
    let (dir, done) = run(u64::MAX);
    assert_eq!(done, 24);
    for op in 0..dir.op_count() {
        let (dir, done) = run(op);
        let db = open(Arc::new(dir.disk().after_kill()), settings(window)).expect("opens");
        let found = read_all(&db);
        let found = found.get(&labels(0)).cloned().unwrap_or_default();
        for steps in [done, done + 1] {
            let expected = (0..steps).map(sample).map(|(at, v)| (at, v.to_bits())).collect();
            if found == expected {
                break;
            }
            assert_eq!(steps, done, "operation {op}: {found:?} after {done} batches");
        }
        assert_eq!(db.status().damage, [], "operation {op}");
    }
}

#[test]
fn start_times_exemplars_and_metadata_survive_a_restart_and_a_flush() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(HOUR)).expect("opens");
    let series = db.resolve(&labels(0)).expect("taken");
    let exemplar = |at: i64| Exemplar {
        labels: Labels::from_pairs([("trace_id", at.to_string())]),
        value: 0.5,
        timestamp: TimestampMs(at),
    };
    let metadata = MetricMetadata { help: "Help.".to_owned(), ..MetricMetadata::default() };
    for step in 0..40i64 {
        let at = step * HOUR / 10;
        let start_ms = if step < 20 { 0 } else { 77 };
        let row =
            Row { starts: vec![start_ms], ..Row::new(TimestampMs(at), vec![series], vec![1.0]) };
        let metric_name = format!("metric_{step}");
        let report = db.append(&Batch {
            rows: vec![row],
            exemplars: vec![ExemplarSample { series, exemplar: exemplar(at) }],
            descriptions: vec![MetricDescription { metric_name, metadata: metadata.clone() }],
            ..Batch::default()
        });
        assert_eq!(report.expect("appends").exemplars_stored, 1);
    }
    let starts = |db: &Db| -> Vec<i64> {
        use swell_model::{SelectHints, SeriesSource as _};
        let mut all = db.select(&[], &SelectHints::range(TimeRange::ALL)).expect("selects");
        let only = all.next().expect("one series").expect("decodes");
        only.floats.starts.expect("has some").to_vec()
    };
    let expected: Vec<i64> = [vec![0; 20], vec![77; 20]].concat();
    assert_eq!(starts(&db), expected);
    drop(db);
    let db = open(Arc::new(disk.clone()), settings(HOUR)).expect("reopens");
    assert_eq!(starts(&db), expected, "after a restart");
    assert_eq!(db.exemplars(&[], TimeRange::ALL)[0].exemplars.len(), 40);
    assert_eq!(db.metadata().len(), 40);
    for _ in 0..3 {
        db.maintain(TimestampMs(0)).expect("maintains");
    }
    assert_eq!(db.status().blocks.block_count, 1);
    assert_eq!(starts(&db), expected, "half in a block");
    for step in 0..80 {
        append(&db, 5 * HOUR + step * HOUR, &[(1, 1.0)]).expect("appends");
        db.maintain(TimestampMs(0)).expect("maintains");
    }
    assert!(db.status().wal.segment_count < 8, "old segments are deleted");
    drop(db);
    let db = open(Arc::new(disk), settings(HOUR)).expect("reopens");
    assert_eq!(db.metadata().len(), 40, "metadata outlives the log");
}
