//! Deletion, retention, cuts and damage, of what is aggregated.

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_engine::{Config, Db, WalSync};
use swell_env::{Dir as _, Fault, FaultDir, MemDir, read_whole};
use swell_model::{
    Batch, DurationMs, HistogramSample, Matcher, Row, SampleSink as _, TimeRange, TimestampMs,
};

use super::common::{HOUR, histogram, labels, open};
use super::{
    DAY, MINUTES, ask, check_aligned, check_same, maintain, plain, range, samples, settings, store,
    stored,
};

#[test]
fn deletion_takes_whole_stretches_and_survives_the_rewriting() {
    let samples = samples(4, 60_000, 19);
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(1000)).expect("opens");
    store(&db, &samples);
    let deleted = TimeRange {
        start_incl: TimestampMs(DAY + 90 * MINUTES),
        end_incl: TimestampMs(DAY + 150 * MINUTES),
    };
    let count = |db: &Db, resolution_ms: i64| stored(db, resolution_ms)[&labels(3)].len();
    let before = [count(&db, 5 * MINUTES), count(&db, HOUR)];
    db.delete_series(&[Matcher::equal("pod", "pod-3")], deleted).expect("deletes");
    let mut left = samples.clone();
    let kept = |(at, _): &(i64, f64)| !deleted.contains(TimestampMs(*at));
    left.get_mut(&3).expect("five series").retain(kept);
    let reference = plain(&left);
    let check = |db: &Db, what: &str| {
        // What is left of a stretch's samples answers, not the aggregate that is gone.
        check_aligned(db, reference.source(), 0, 4, HOUR);
        check_aligned(db, reference.source(), 0, 4, 5 * MINUTES);
        let left = [count(db, 5 * MINUTES), count(db, HOUR)];
        assert_eq!([before[0] - left[0], before[1] - left[1]], [13, 2], "{what}");
        let of_others = stored(db, HOUR)[&labels(0)].len();
        assert_eq!(of_others, before[1] + 1, "{what}");
    };
    check(&db, "hidden");
    db.clean_tombstones().expect("cleans");
    check(&db, "written anew");
    drop(db);
    let db = open(Arc::new(disk), settings(1000)).expect("opens");
    check(&db, "opened again");
    assert_eq!(db.status().blocks.deleted_series_count, 0);
}

#[test]
fn a_rule_of_retention_holds_for_aggregates_too() {
    let samples = samples(10, 60_000, 23);
    let rule = swell_engine::RetentionRule {
        matchers: vec![Matcher::equal("pod", "pod-1")],
        time: DurationMs(4 * DAY),
    };
    let config = Config { retention_rules: vec![rule], ..settings(3) };
    let db = open(Arc::new(MemDir::new()), config).expect("opens");
    store(&db, &samples);
    let found = stored(&db, HOUR);
    assert!(found[&labels(0)][0].first_ms < DAY);
    let first = found[&labels(1)][0].first_ms;
    assert!((5 * DAY..7 * DAY).contains(&first), "{first}");
    // Between the general retention and the rule's, samples of the others are cut out of blocks that stay.
    let reference = plain(&samples.clone().into_iter().filter(|(nr, _)| *nr != 1).collect());
    for function in ["count_over_time", "increase", "max_over_time"] {
        let query = format!(r#"{function}({{__name__=~"metric.*",pod!="pod-1"}}[1d])"#);
        let params = range(DAY, 10 * DAY, HOUR);
        check_same(&ask(&db, &query, &params), &ask(reference.source(), &query, &params), &query);
    }
}

#[test]
fn samples_stay_until_they_are_aggregated() {
    let samples = samples(20, 600_000, 29);
    let dir = FaultDir::new();
    let without = Config { tiers: Vec::new(), ..settings(1000) };
    let db = open(Arc::new(dir.clone()), without).expect("opens");
    store(&db, &samples);
    drop(db);
    // Retention is due at once: what it would delete is aggregated first.
    let db = open(Arc::new(dir.clone()), settings(3)).expect("opens");
    maintain(&db);
    assert_eq!(db.status().blocks.range.expect("has blocks").start_incl.0, 16 * DAY);
    let hours: u64 = stored(&db, HOUR)[&labels(0)].iter().map(|it| it.count).sum();
    assert_eq!(hours, 19 * 144 + 1, "samples in aggregates: all but those of the last day");
}

/// More than a day, a sample each twenty minutes: few operations.
fn work(db: &Db) -> Result<i64, i64> {
    let step_ms = 1_200_000;
    for idx in 0..85 {
        let at = idx * step_ms;
        let Ok(series) = db.resolve(&labels(0)) else { return Err(idx) };
        let value = f64::from(i32::try_from(idx).expect("few"));
        let row = Row::new(TimestampMs(at), vec![series], vec![value]);
        let Ok(series) = db.resolve(&labels(1)) else { return Err(idx) };
        let (timestamp, value) = (TimestampMs(at), histogram(value));
        let sample = HistogramSample { series, timestamp, value, start_ms: 0 };
        let batch = Batch { histograms: vec![sample], ..Batch::of_rows(vec![row]) };
        if db.append(&batch).is_err() {
            return Err(idx);
        }
        if idx % 6 == 5 && db.maintain(TimestampMs(at)).is_err() {
            return Err(idx + 1);
        }
    }
    for _ in 0..6 {
        if db.maintain(TimestampMs(0)).is_err() {
            return Err(85);
        }
    }
    Ok(85)
}

#[test]
fn aggregating_may_be_cut_at_every_operation() {
    // Samples are to go after the day on which they are aggregated, so that retention is in it as well.
    let settings = || Config { wal_sync: WalSync::Always, ..settings(1) };
    let run_until = |op: u64| {
        let dir = FaultDir::new();
        dir.fail(op, u64::MAX, Fault::Io);
        let done = open(Arc::new(dir.clone()), settings()).map_or(Err(0), |db| work(&db));
        (dir, done)
    };
    let (dir, done) = run_until(u64::MAX);
    assert_eq!(done, Ok(85));
    let total = dir.op_count();
    let whole = {
        let db = open(Arc::new(dir.disk().after_kill()), settings()).expect("opens");
        maintain(&db);
        (stored(&db, HOUR), stored(&db, 5 * MINUTES))
    };
    assert_eq!(whole.0[&labels(0)].len(), 25, "{:?}", whole.0);
    for op in total / 2..total {
        let (dir, done) = run_until(op);
        let acknowledged = done.unwrap_or_else(|some| some);
        for disk in [dir.disk().after_kill(), dir.disk().after_power_cut(op)] {
            let db = open(Arc::new(disk), settings()).expect("opens");
            assert_eq!(db.status().damage, [], "cut at {op}");
            // What the aggregates have and what is left of the samples never overlap nor miss anything.
            let at = 24 * HOUR;
            let query = r#"count_over_time({pod=~"pod-[01]"}[25h])"#;
            let found = ask(&db, query, &range(at, at, HOUR));
            let found: Vec<f64> = found.into_values().collect();
            let expected = |batches: i64| {
                let count = f64::from(i32::try_from(batches.min(73)).expect("few"));
                vec![count; if batches == 0 { 0 } else { 2 }]
            };
            let is_all = found == expected(acknowledged) || found == expected(acknowledged + 1);
            assert!(is_all, "cut at {op}: {found:?} of {acknowledged}");
            maintain(&db);
            for (resolution_ms, expected) in [(HOUR, &whole.0), (5 * MINUTES, &whole.1)] {
                let found = stored(&db, resolution_ms);
                for (labels, all) in found {
                    assert_eq!(all[..], expected[&labels][..all.len()], "cut at {op}");
                }
            }
        }
    }
}

#[test]
fn a_flipped_byte_of_aggregates_is_noticed() {
    let samples = samples(2, 20 * MINUTES, 31);
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(1000)).expect("opens");
    store(&db, &samples);
    let whole = [stored(&db, HOUR), stored(&db, 5 * MINUTES)];
    drop(db);
    let blocks: Vec<String> = disk
        .list("blocks")
        .expect("lists")
        .into_iter()
        .map(|entry| format!("blocks/{}", entry.name))
        .filter(|name| name.ends_with(".blk"))
        // Version 4, which is that of aggregates.
        .filter(|name| read_whole(&disk, name, u64::MAX).expect("readable")[8] == 4)
        .collect();
    assert!(blocks.len() >= 4, "{blocks:?}");
    let mut noticed = 0;
    for name in &blocks {
        let len = read_whole(&disk, name, u64::MAX).expect("readable").len();
        for offset in (0..len).step_by(7) {
            let hurt = disk.after_kill();
            hurt.flip(name, offset, 0x10).expect("flips");
            let db = match open(Arc::new(hurt), settings(1000)) {
                Ok(db) => db,
                Err(error) => panic!("{name} at {offset}: {}", swell_telemetry::chain(&error)),
            };
            let mut is_noticed = !db.status().damage.is_empty();
            for (resolution_ms, whole) in [(HOUR, &whole[0]), (5 * MINUTES, &whole[1])] {
                let found: Result<Vec<_>, _> = match db.aggregates(DurationMs(resolution_ms)) {
                    Ok(all) => all.collect(),
                    Err(error) => Err(error),
                };
                match found {
                    Ok(all) if is_noticed => {
                        for series in all {
                            let known = &whole[&series.labels];
                            assert!(series.aggregates.iter().all(|it| {
                                known.iter().any(|known| format!("{known:?}") == format!("{it:?}"))
                            }));
                        }
                    }
                    Ok(all) => {
                        let all: BTreeMap<_, _> =
                            all.into_iter().map(|it| (it.labels, it.aggregates)).collect();
                        assert_eq!(format!("{all:?}"), format!("{whole:?}"), "{name} at {offset}");
                    }
                    Err(_) => is_noticed = true,
                }
            }
            noticed += usize::from(is_noticed);
            assert!(is_noticed, "{name} at {offset}");
        }
    }
    assert!(noticed > 200, "{noticed}");
}
