//! Deletion: at once, exactly, durable, and in time out of the files.

mod common;

use std::sync::Arc;

use common::{
    Choices, HOUR, Model, append, config, histogram_batch, histogram_bits, labels, open, read,
    read_all,
};
use prometheus::Registry;
use swell_engine::{Config, Db, WalSync};
use swell_env::{Dir, Fault, FaultDir, ManualClock, MemDir, read_whole};
use swell_model::{DurationMs, Labels, MatchOp, Matcher, SampleSink, TimeRange, TimestampMs};

fn settings() -> Config {
    config(WalSync::Always)
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange { start_incl: TimestampMs(from), end_incl: TimestampMs(to) }
}

fn pod(nr: usize) -> Vec<Matcher> {
    vec![Matcher::equal("pod", format!("pod-{nr}"))]
}

/// Deletes in the model what the database is asked to delete.
fn forget(model: &mut Model, matchers: &[Matcher], range: TimeRange) {
    let matches = |labels: &Labels| {
        matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or("")))
    };
    for (_, samples) in model.iter_mut().filter(|(labels, _)| matches(labels)) {
        samples.retain(|at, _| !range.contains(TimestampMs(*at)));
    }
    model.retain(|_, samples| !samples.is_empty());
}

/// 29 hours of six series of floats and one of histograms: a day merged, blocks, and a log.
fn build(db: &Db) -> Model {
    let mut model = Model::new();
    for step in 0..(29 * 4) {
        let at = i64::from(step) * HOUR / 4;
        for nr in 0..6 {
            append(db, at, &[(nr, f64::from(step))]).expect("appends");
            model.entry(labels(nr)).or_default().insert(at, f64::from(step).to_bits());
        }
        let counts = [(7, f64::from(step))];
        db.append(&histogram_batch(db, at, &counts).expect("resolves")).expect("appends");
        model.entry(labels(7)).or_default().insert(at, histogram_bits(f64::from(step)));
        db.maintain(TimestampMs(at)).expect("maintains");
    }
    assert!(db.status().blocks.block_count >= 2, "{:?}", db.status().blocks);
    model
}

/// The rest of a long life: every answer stays what it is.
fn check_through_life(disk: &MemDir, db: Db, model: &Model) {
    assert_eq!(read_all(&db), *model, "at once");
    assert_eq!(db.status().damage, []);
    drop(db);
    let db = open(Arc::new(disk.after_kill()), settings()).expect("reopens");
    assert_eq!(read_all(&db), *model, "after a kill");
    let mut model = model.clone();
    for step in 29 * 4..(52 * 4) {
        let at = i64::from(step) * HOUR / 4;
        append(&db, at, &[(9, 1.0)]).expect("appends");
        model.entry(labels(9)).or_default().insert(at, 1f64.to_bits());
        db.maintain(TimestampMs(at)).expect("maintains");
    }
    assert_eq!(read_all(&db), model, "after flushes and merges");
    let report = db.clean_tombstones().expect("cleans");
    assert_eq!(db.status().blocks.deleted_series_count, 0, "{report:?}");
    assert_eq!(read_all(&db), model, "after cleaning");
    assert_eq!(db.status().damage, []);
}

#[test]
fn a_range_of_some_series_is_gone_from_head_and_blocks() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let mut model = build(&db);
    for (matchers, range) in [
        (pod(1), range(3 * HOUR, 28 * HOUR)),
        (pod(1), range(28 * HOUR, 28 * HOUR + 1)),
        (vec![Matcher::new("pod", MatchOp::Regex, "pod-[27]").expect("valid")], TimeRange::ALL),
        (pod(3), range(-HOUR, -1)),
        (vec![Matcher::equal("__name__", "metric_1")], range(27 * HOUR, i64::MAX)),
    ] {
        db.delete_series(&matchers, range).expect("deletes");
        forget(&mut model, &matchers, range);
        assert_eq!(read_all(&db), model);
        let again = db.delete_series(&matchers, range).expect("deletes nothing");
        assert_eq!(again.series_count, 0, "{matchers:?}");
    }
    let window = range(2 * HOUR, 4 * HOUR);
    let found = read(&db, &pod(1), window).expect("readable");
    assert_eq!(found[&labels(1)].keys().max(), Some(&(3 * HOUR - HOUR / 4)));
    check_through_life(&disk, db, &model);
}

#[test]
fn samples_that_come_after_a_deletion_are_kept() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let mut model = build(&db);
    let report = db.delete_series(&[], TimeRange::ALL).expect("deletes all");
    assert!(report.series_count >= 14 && report.block_count >= 2, "{report:?}");
    model.clear();
    assert_eq!(read_all(&db), model);
    append(&db, 29 * HOUR, &[(1, 7.0)]).expect("appends");
    model.entry(labels(1)).or_default().insert(29 * HOUR, 7f64.to_bits());
    check_through_life(&disk, db, &model);
}

/// Settings that take samples of a day ago.
fn late_settings() -> Config {
    Config { out_of_order_window: DurationMs(24 * HOUR), ..settings() }
}

#[test]
fn late_samples_that_come_after_a_deletion_are_kept() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), late_settings()).expect("opens");
    let mut model = build(&db);
    let put = |db: &Db, model: &mut Model, at: i64, value: f64| {
        let report = append(db, at, &[(1, value)]).expect("appends");
        assert_eq!((report.stored, report.dropped(), report.duplicates), (1, 0, 0), "at {at}");
        model.entry(labels(1)).or_default().insert(at, value.to_bits());
    };
    let last = 29 * HOUR - HOUR / 4;
    // Late ones are deleted like the others, and none stands against what comes then.
    put(&db, &mut model, 28 * HOUR + 1, 9.0);
    put(&db, &mut model, 20 * HOUR + 1, 9.0);
    for (round, value) in [9.0, 9.0, 3.0].into_iter().enumerate() {
        let report = db.delete_series(&pod(1), TimeRange::ALL).expect("deletes");
        assert!(report.series_count > 0, "round {round}");
        forget(&mut model, &pod(1), TimeRange::ALL);
        assert_eq!(read_all(&db), model, "round {round}");
        for at in [last, 28 * HOUR, 28 * HOUR + 1, 20 * HOUR + 1, 20 * HOUR + 2] {
            put(&db, &mut model, at, value);
        }
        assert_eq!(read_all(&db), model, "round {round}");
        let again = open(Arc::new(disk.after_kill()), late_settings()).expect("reopens");
        assert_eq!(read_all(&again), model, "round {round}, after a kill");
    }
    let counts = [(7, 5.0)];
    db.delete_series(&pod(7), TimeRange::ALL).expect("deletes");
    forget(&mut model, &pod(7), TimeRange::ALL);
    for at in [last, 28 * HOUR] {
        let batch = histogram_batch(&db, at, &counts).expect("resolves");
        assert_eq!(db.append(&batch).expect("appends").stored, 1);
        model.entry(labels(7)).or_default().insert(at, histogram_bits(5.0));
    }
    check_through_life(&disk, db, &model);
}

#[test]
fn late_samples_of_a_checkpoint_stay_deleted_and_later_ones_stay() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), late_settings()).expect("opens");
    let mut model = build(&db);
    append(&db, 28 * HOUR + 1, &[(1, 9.0)]).expect("appends");
    db.checkpoint().expect("writes a checkpoint");
    db.delete_series(&pod(1), TimeRange::ALL).expect("deletes");
    forget(&mut model, &pod(1), TimeRange::ALL);
    append(&db, 28 * HOUR + 1, &[(1, 2.0)]).expect("appends");
    model.entry(labels(1)).or_default().insert(28 * HOUR + 1, 2f64.to_bits());
    check_through_life(&disk, db, &model);
}

#[test]
fn a_block_of_which_all_is_deleted_goes() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    build(&db);
    db.delete_series(&[], range(i64::MIN, 24 * HOUR - 1)).expect("deletes");
    let report = db.maintain(TimestampMs(29 * HOUR)).expect("maintains");
    assert_eq!(report.rewritten_block_count, 1);
    let names: Vec<String> =
        disk.list("blocks").expect("lists").into_iter().map(|entry| entry.name).collect();
    let of_blocks = |name: &&String| name.ends_with(".tomb") && *name != "head.tomb";
    assert_eq!(names.iter().find(of_blocks), None, "{names:?}");
    let start = db.status().blocks.range.expect("blocks").start_incl;
    assert_eq!(start, TimestampMs(24 * HOUR));
}

/// Deletes pod 1 with every operation from number `op` of the deletion on failing.
fn delete_until(image: &MemDir, op: u64, fault: Fault) -> (FaultDir, bool) {
    let dir = FaultDir::over(image.after_kill());
    let db = open(Arc::new(dir.clone()), settings()).expect("opens");
    dir.fail(dir.op_count() + op, u64::MAX, fault);
    let done = db.delete_series(&pod(1), TimeRange::ALL).is_ok();
    (dir, done)
}

#[test]
fn an_acknowledged_deletion_survives_a_power_cut_and_others_harm_nothing() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let whole = build(&db);
    drop(db);
    let mut deleted = whole.clone();
    forget(&mut deleted, &pod(1), TimeRange::ALL);
    let mut op = 0;
    loop {
        let (dir, done) = delete_until(&disk, op, Fault::Io);
        for seed in 0..8 {
            let cut = dir.disk().after_power_cut(op * 31 + seed);
            let db = open(Arc::new(cut), settings()).expect("opens");
            let found = read_all(&db);
            assert_eq!(db.status().damage, [], "operation {op}");
            if done {
                assert_eq!(found, deleted, "operation {op}");
            }
            for (labels, samples) in &found {
                let stored = &whole[labels];
                assert!(samples.iter().all(|(at, bits)| stored.get(at) == Some(bits)));
                assert!(*labels == common::labels(1) || samples == stored, "operation {op}");
            }
            db.delete_series(&pod(1), TimeRange::ALL).expect("deletes the rest");
            assert_eq!(read_all(&db), deleted);
        }
        if done {
            break;
        }
        op += 1;
    }
    assert!(op > 10, "{op} operations");
}

#[test]
fn rewriting_may_be_cut_at_every_operation() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let mut model = build(&db);
    db.delete_series(&pod(1), range(HOUR, 28 * HOUR)).expect("deletes");
    forget(&mut model, &pod(1), range(HOUR, 28 * HOUR));
    drop(db);
    let mut op = 0;
    loop {
        let dir = FaultDir::over(disk.after_kill());
        let db = open(Arc::new(dir.clone()), settings()).expect("opens");
        dir.fail(dir.op_count() + op, u64::MAX, Fault::Io);
        let done = db.clean_tombstones().is_ok();
        assert_eq!(read_all(&db), model, "still serving, operation {op}");
        drop(db);
        for seed in 0..4 {
            let cut = dir.disk().after_power_cut(op * 17 + seed);
            let db = open(Arc::new(cut), settings()).expect("opens");
            assert_eq!(read_all(&db), model, "operation {op}");
            assert_eq!(db.status().damage, []);
        }
        if done {
            break;
        }
        op += 1;
    }
    assert!(op > 10, "{op} operations");
}

#[test]
fn a_deletion_holds_although_the_flush_before_it_found_no_room_for_its_mark() {
    let image = MemDir::new();
    let clock = Arc::new(ManualClock::new(TimestampMs(10_000 * 24 * HOUR)));
    let open_on = |dir: FaultDir, sync: WalSync| {
        Db::open(Arc::new(dir), config(sync), clock.clone(), &Registry::new()).expect("opens")
    };
    let db = open_on(FaultDir::over(image.clone()), WalSync::Always);
    for step in 0..16 {
        append(&db, step * HOUR / 4, &[(0, 1.0), (1, 2.0)]).expect("appends");
    }
    let mut expected = read_all(&db);
    forget(&mut expected, &pod(0), TimeRange::ALL);
    drop(db);
    let mut without_mark = 0;
    for sync in [WalSync::Always, WalSync::Never] {
        for op in 0.. {
            let dir = FaultDir::over(image.after_kill());
            let db = open_on(dir.clone(), sync);
            dir.fail(dir.op_count() + op, u64::MAX, Fault::DiskFull);
            let outcome = db.maintain(TimestampMs(0));
            let is_in_block = db.status().blocks.block_count > 0;
            if outcome.is_err() && is_in_block {
                db.delete_series(&pod(0), TimeRange::ALL).expect_err("the mark has no room yet");
                without_mark += 1;
            }
            dir.heal();
            match db.delete_series(&pod(0), TimeRange::ALL) {
                Ok(report) => assert!(report.series_count > 0),
                Err(error) => {
                    // A sync of the log that failed leaves it in doubt: a start is needed first.
                    assert!(db.status().read_only.is_some(), "{}", swell_telemetry::chain(&error));
                    assert!(sync == WalSync::Always || outcome.is_err());
                    continue;
                }
            }
            assert_eq!(read_all(&db), expected, "operation {op}");
            let images = [
                ("a kill", dir.disk().after_kill()),
                ("a power cut", dir.disk().after_power_cut(op)),
            ];
            for (end, disk) in images {
                let db = open(Arc::new(disk), config(sync)).expect("opens");
                assert_eq!(read_all(&db), expected, "{sync:?}, operation {op}, after {end}");
            }
            if outcome.is_ok() {
                break;
            }
        }
    }
    assert!(without_mark > 2, "{without_mark}");
}

#[test]
fn a_deletion_during_a_merge_is_not_undone_by_it() {
    // Every operation of the merge is a chance for the deletion to come between.
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let mut model = Model::new();
    for step in 0..26 * 4 {
        let at = i64::from(step) * HOUR / 4;
        append(&db, at, &[(0, 1.0), (1, f64::from(step))]).expect("appends");
        for (nr, value) in [(0, 1.0), (1, f64::from(step))] {
            model.entry(labels(nr)).or_default().insert(at, f64::to_bits(value));
        }
    }
    let db = Arc::new(db);
    std::thread::scope(|scope| {
        let merging = scope.spawn(|| {
            for _ in 0..20 {
                db.maintain(TimestampMs(0)).expect("maintains");
            }
        });
        for hour in 0..24 {
            let window = range(hour * HOUR, (hour + 1) * HOUR - 1);
            db.delete_series(&pod(1), window).expect("deletes");
            forget(&mut model, &pod(1), window);
            assert_eq!(read_all(&db), model, "hour {hour}");
        }
        merging.join().expect("no panic");
    });
    assert_eq!(read_all(&db), model);
    drop(db);
    let db = open(Arc::new(disk), settings()).expect("reopens");
    assert_eq!(read_all(&db), model);
}

#[test]
fn damaged_or_missing_tombstones_hide_their_block_and_are_named() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let mut model = build(&db);
    db.delete_series(&pod(1), range(HOUR, 2 * HOUR)).expect("deletes");
    forget(&mut model, &pod(1), range(HOUR, 2 * HOUR));
    drop(db);
    let names = disk.list("blocks").expect("lists");
    let tomb = names.iter().find(|entry| entry.name.ends_with(".tomb")).expect("written");
    let name = format!("blocks/{}", tomb.name);
    let len = read_whole(&disk, &name, u64::MAX).expect("readable").len();
    let mut choices = Choices(9);
    for trial in 0..60 {
        let hurt = disk.after_kill();
        match trial {
            0 => hurt.remove(&name).expect("removes"),
            1..10 => {
                let kept = usize::try_from(choices.below(len as u64)).expect("fits");
                hurt.lose_end(&name, kept).expect("cuts");
            }
            _ => {
                let offset = usize::try_from(choices.below(len as u64)).expect("fits");
                hurt.flip(&name, offset, 1 << choices.below(8)).expect("flips");
            }
        }
        let db = open(Arc::new(hurt), settings()).expect("opens");
        let error = read(&db, &[], range(0, 24 * HOUR)).expect_err("hidden");
        assert!(error.to_string().contains(&tomb.name), "trial {trial}: {error}");
        assert_eq!(db.warnings(range(0, 24 * HOUR)).len(), 1);
        let later = range(25 * HOUR, 40 * HOUR);
        assert_eq!(db.warnings(later).len(), 0);
        let mut expected = model.clone();
        forget(&mut expected, &[], range(i64::MIN, 25 * HOUR - 1));
        assert_eq!(read(&db, &[], later).expect("the rest works"), expected);
        db.maintain(TimestampMs(29 * HOUR)).expect("maintains");
    }
}

#[test]
fn the_head_s_tombstones_are_missed_and_warned_of() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    append(&db, 1000, &[(0, 1.0), (1, 2.0)]).expect("appends");
    db.delete_series(&pod(1), TimeRange::ALL).expect("deletes");
    drop(db);
    for hurt in ["missing", "flipped"] {
        let disk = disk.after_kill();
        if hurt == "missing" {
            disk.remove("blocks/head.tomb").expect("removes");
        } else {
            disk.flip("blocks/head.tomb", 21, 1).expect("flips");
        }
        let db = open(Arc::new(disk), settings()).expect("opens");
        let warnings = db.warnings(range(1000, 1000));
        assert_eq!(warnings.len(), 1, "{hurt}: {warnings:?}");
        assert!(warnings[0].contains("blocks/head.tomb"), "{hurt}: {warnings:?}");
        assert_eq!(db.warnings(range(0, 999)), Vec::<String>::new(), "{hurt}: before the head");
    }
}
