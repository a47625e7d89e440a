//! The database answers as a plain map does through deletions, merges, retention, restarts and restores.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{Choices, HOUR, Model, append, config, labels, open, read_all};
use prometheus::Registry;
use proptest::prelude::*;
use swell_engine::{Config, Db, RetentionRule, WalSync};
use swell_env::{Dir, MemDir, read_whole};
use swell_model::{DurationMs, Matcher, TimeRange, TimestampMs};

#[derive(Clone, Debug)]
enum Step {
    /// Time since the last batch, and samples.
    Append(i64, Vec<(usize, f64)>),
    /// Which pod, how long ago, and how long.
    Delete(usize, i64, i64),
    Maintain,
    Clean,
    Reopen,
    /// Goes on with a copy.
    Restore,
}

const SERIES: usize = 6;
const KEPT: DurationMs = DurationMs(40 * HOUR);
/// The series with a rule of its own.
const SHORT_LIVED: usize = 2;
const SHORT: DurationMs = DurationMs(10 * HOUR);

fn settings() -> Config {
    let matchers = vec![Matcher::equal("pod", format!("pod-{SHORT_LIVED}"))];
    Config {
        retention_time: KEPT,
        retention_rules: vec![RetentionRule { matchers, time: SHORT }],
        ..config(WalSync::Never)
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let samples = prop::collection::btree_map(0..SERIES, (0i32..50).prop_map(f64::from), 1..SERIES)
        .prop_map(|samples| samples.into_iter().collect());
    let span = prop_oneof![4 => 1..HOUR, 3 => Just(HOUR / 2), 1 => HOUR..9 * HOUR];
    prop_oneof![
        12 => (span, samples).prop_map(|(span, samples)| Step::Append(span, samples)),
        2 => (0..SERIES, 0..30 * HOUR, 0..20 * HOUR).prop_map(|(nr, back, len)| Step::Delete(nr, back, len)),
        5 => Just(Step::Maintain),
        1 => Just(Step::Clean),
        1 => Just(Step::Reopen),
        1 => Just(Step::Restore),
    ]
}

/// Ages are measured from here.
fn newest(db: &Db) -> Option<TimestampMs> {
    db.status().blocks.range.map(|range| range.end_incl)
}

/// What retention took is old enough, and nothing else is missing; the model follows.
fn check_retention(db: &Db, newest_before: Option<TimestampMs>, model: &mut Model) {
    let found = read_all(db);
    let newest = newest_before.max(newest(db));
    for (labels, samples) in model.iter() {
        let kept = if *labels == common::labels(SHORT_LIVED) { SHORT } else { KEPT };
        let left = found.get(labels);
        for (at, bits) in samples {
            if left.and_then(|left| left.get(at)) != Some(bits) {
                let age = newest.map(|newest| newest.since(TimestampMs(*at)));
                assert!(age > Some(kept), "{labels} at {at} of age {age:?} is missing");
            }
        }
    }
    for (labels, samples) in &found {
        let stored = &model[labels];
        assert!(samples.iter().all(|(at, bits)| stored.get(at) == Some(bits)), "{labels}");
    }
    *model = found;
}

fn restored(disk: &MemDir, name: &str) -> MemDir {
    let source = MemDir::new();
    for folder in ["blocks", "wal"] {
        source.create_folder(folder).expect("made");
        for entry in disk.list(&format!("snapshots/{name}/{folder}")).expect("a folder") {
            let from = format!("snapshots/{name}/{folder}/{}", entry.name);
            let bytes = read_whole(disk, &from, u64::MAX).expect("readable");
            let file = source.create(&format!("{folder}/{}", entry.name)).expect("made");
            file.append(&bytes).expect("written");
        }
    }
    let target = MemDir::new();
    swell_engine::restore(&source, &target).expect("restores");
    target
}

fn run(steps: &[Step]) {
    let mut disk = MemDir::new();
    let mut db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let mut model = Model::new();
    let mut now = 0;
    for (nr, step) in steps.iter().enumerate() {
        match step {
            Step::Append(span, samples) => {
                now += span;
                let report = append(&db, now, samples).expect("appends");
                assert_eq!(report.stored, samples.len());
                for (nr, value) in samples {
                    model.entry(labels(*nr)).or_default().insert(now, value.to_bits());
                }
            }
            Step::Delete(nr, back, len) => {
                let start = now - back;
                let range = TimeRange {
                    start_incl: TimestampMs(start),
                    end_incl: TimestampMs(start + len),
                };
                let matcher = Matcher::equal("pod", format!("pod-{nr}"));
                db.delete_series(&[matcher], range).expect("deletes");
                if let Some(samples) = model.get_mut(&labels(*nr)) {
                    samples.retain(|at, _| !range.contains(TimestampMs(*at)));
                }
                model.retain(|_, samples| !samples.is_empty());
                assert_eq!(read_all(&db), model, "step {nr}");
            }
            Step::Maintain => {
                let newest_before = newest(&db);
                db.maintain(TimestampMs(now)).expect("maintains");
                check_retention(&db, newest_before, &mut model);
            }
            Step::Clean => {
                db.clean_tombstones().expect("cleans");
                assert_eq!(read_all(&db), model);
            }
            Step::Reopen => {
                drop(db);
                db = open(Arc::new(disk.clone()), settings()).expect("reopens");
            }
            Step::Restore => {
                let name = format!("s{nr}");
                db.snapshot(&name, true).expect("made");
                drop(db);
                disk = restored(&disk, &name);
                db = open(Arc::new(disk.clone()), settings()).expect("opens the copy");
            }
        }
        assert_eq!(db.status().damage, [], "step {nr}: {step:?}");
    }
    assert_eq!(read_all(&db), model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn the_database_is_a_map_that_forgets_what_it_should(steps in prop::collection::vec(any_step(), 1..150)) {
        run(&steps);
    }
}

#[test]
fn rules_of_retention_take_their_series_and_no_others() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk), settings()).expect("opens");
    for step in 0..2 * 60 {
        let samples: Vec<(usize, f64)> = (0..4).map(|nr| (nr, 1.0)).collect();
        append(&db, i64::from(step) * HOUR / 2, &samples).expect("appends");
        db.maintain(TimestampMs(i64::from(step) * HOUR / 2)).expect("maintains");
    }
    db.maintain(TimestampMs(60 * HOUR)).expect("maintains");
    let found = read_all(&db);
    let age_of_oldest = |nr: usize| {
        let newest = db.status().blocks.range.expect("blocks").end_incl;
        newest.since(TimestampMs(*found[&labels(nr)].keys().next().expect("samples"))).0
    };
    assert!((SHORT.0 - HOUR..=SHORT.0 + HOUR).contains(&age_of_oldest(SHORT_LIVED)));
    assert!(age_of_oldest(1) > 24 * HOUR && age_of_oldest(1) <= KEPT.0 + 24 * HOUR);
    db.clean_tombstones().expect("cleans");
    assert_eq!(db.status().blocks.deleted_series_count, 0);
    assert_eq!(read_all(&db), found);
}

#[test]
fn a_jump_of_the_clock_deletes_nothing_and_raises_a_signal() {
    let disk = MemDir::new();
    let registry = prometheus::Registry::new();
    let clock = Arc::new(swell_env::ManualClock::new(TimestampMs(12 * HOUR)));
    let db = Db::open(Arc::new(disk), settings(), clock.clone(), &registry).expect("opens");
    let held_back = || {
        let families = registry.gather();
        let family = families.iter().find(|it| it.name() == "swell_tsdb_retention_held_back");
        family.expect("registered").get_metric()[0].get_gauge().get_value()
    };
    let write = |from: i64, hours: i64| {
        for step in 0..hours * 2 {
            append(&db, from + step * HOUR / 2, &[(0, 1.0)]).expect("appends");
            db.maintain(TimestampMs(from)).expect("maintains");
        }
    };
    write(0, 12);
    let before = read_all(&db)[&labels(0)].len();
    assert!(db.status().blocks.block_count >= 4 && held_back() == 0.0);
    // Ten years: senders and this machine are of one mind.
    let years = 10 * 365 * 24 * HOUR;
    clock.advance(DurationMs(years));
    write(years, 12);
    assert_eq!(read_all(&db)[&labels(0)].len(), before + 24, "nothing was deleted");
    assert!(held_back() == 1.0, "the signal");
    // And back: what is good is taken as before, nothing is deleted.
    clock.advance(DurationMs(-years));
    db.maintain(TimestampMs(0)).expect("maintains");
    assert_eq!(read_all(&db)[&labels(0)].len(), before + 24);
}

#[test]
fn what_happens_is_counted_under_prometheus_names() {
    let disk = MemDir::new();
    let clock = Arc::new(swell_env::ManualClock::new(TimestampMs(24 * HOUR)));
    let opened = |registry: &Registry| {
        let disk: Arc<dyn Dir> = Arc::new(disk.clone());
        Db::open(disk, settings(), clock.clone(), registry).expect("opens")
    };
    let metric = |registry: &Registry, name: &str| -> f64 {
        let families = registry.gather();
        let named = format!("prometheus_tsdb_{name}");
        let family = families.iter().find(|it| it.name() == named).expect("registered");
        let metrics = family.get_metric().iter();
        metrics.map(|it| it.get_counter().get_value() + it.get_gauge().get_value()).sum()
    };
    let check = |registry: &Registry, expected: &[(&str, f64)]| {
        for (name, expected) in expected {
            let found = metric(registry, name);
            assert!((found - expected).abs() < 0.1, "{name}: {found}");
        }
    };
    let registry = Registry::new();
    let db = opened(&registry);
    for step in 0..24 {
        append(&db, step * HOUR, &[(0, 1.0), (1, 2.0)]).expect("appends");
    }
    check(&registry, &[("head_samples_appended_total", 48.0), ("head_series_created_total", 2.0)]);
    db.maintain(TimestampMs(24 * HOUR)).expect("maintains");
    assert!(metric(&registry, "head_chunks") >= 2.0);
    check(
        &registry,
        &[
            ("head_series_removed_total", 0.0),
            ("head_max_time_seconds", 23.0 * 3600.0),
            ("lowest_timestamp_seconds", 0.0),
            ("reloads_total", 1.0),
            ("reloads_failures_total", 0.0),
            ("wal_truncations_total", 1.0),
            ("wal_truncations_failed_total", 0.0),
            ("checkpoint_creations_failed_total", 0.0),
            ("wal_corruptions_total", 0.0),
        ],
    );
    drop(db);
    let registry = Registry::new();
    let _db = opened(&registry);
    check(&registry, &[("head_samples_appended_total", 0.0), ("head_series_created_total", 2.0)]);
}

#[test]
fn retention_works_on_a_full_disk_out_of_the_reserve() {
    use swell_env::{Fault, FaultDir};
    const RESERVE: u64 = 100_000;
    let image = MemDir::new();
    let settings = |hours: i64| Config {
        retention_time: DurationMs(hours * HOUR),
        reserve_bytes: RESERVE,
        ..config(WalSync::Never)
    };
    let db = open(Arc::new(image.clone()), settings(40)).expect("opens");
    for step in 0..22 {
        append(&db, step * HOUR / 2, &[(0, 1.0)]).expect("appends");
        db.maintain(TimestampMs(0)).expect("maintains");
    }
    let count = db.status().blocks.block_count;
    drop(db);
    let reserve = |disk: &MemDir| {
        let entries = disk.list("").expect("lists");
        entries.iter().find(|entry| entry.name == "reserve").map(|entry| entry.len_bytes)
    };
    assert_eq!(reserve(&image), Some(RESERVE));
    // Each operation of the list's rewriting finds no room once.
    for op in 0..3 {
        let dir = FaultDir::over(image.after_kill());
        let db = open(Arc::new(dir.clone()), settings(4)).expect("opens");
        dir.fail(dir.op_count() + op, 1, Fault::DiskFull);
        let report = db.maintain(TimestampMs(0)).expect("the reserve has room");
        assert!(report.retired_block_count > 0, "operation {op}");
        assert!(db.status().blocks.block_count < count);
        assert_eq!(reserve(dir.disk()), Some(RESERVE), "made again, operation {op}");
        // Without room anywhere the run fails, says so, and reads go on.
        dir.fail(dir.op_count(), u64::MAX, Fault::DiskFull);
        let left = read_all(&db);
        let matcher = Matcher::equal("pod", "pod-0");
        let error =
            db.delete_series(std::slice::from_ref(&matcher), TimeRange::ALL).expect_err("no room");
        assert!(error.is_full(), "{error}");
        assert_eq!(read_all(&db), left);
        dir.heal();
        db.delete_series(&[matcher], TimeRange::ALL).expect("room again");
        assert!(read_all(&db).is_empty());
    }
}

#[test]
fn samples_that_have_served_their_time_are_aggregated_and_go_while_the_disk_is_full() {
    use swell_engine::Tier;
    use swell_env::{Clock as _, FaultDir, ManualClock};
    const DAY: i64 = 24 * HOUR;
    let dir = FaultDir::new();
    let clock = Arc::new(ManualClock::new(TimestampMs(10_000 * DAY)));
    let open_with = |retention_d: i64, tiers: Vec<Tier>| {
        let retention_time = DurationMs(retention_d * DAY);
        let settings =
            Config { retention_time, tiers, reserve_bytes: 30_000, ..config(WalSync::Never) };
        Db::open(Arc::new(dir.clone()), settings, clock.clone(), &Registry::new()).expect("opens")
    };
    let db = open_with(1000, Vec::new());
    let mut choices = Choices(7);
    for step in 0..20 * 24 * 30 {
        let value = f64::from(u32::try_from(choices.below(1 << 32)).expect("32 bits")) / 7.0;
        append(&db, step * HOUR / 30, &[(0, value), (1, value / 3.0)]).expect("appends");
        if step % 30 == 0 {
            db.maintain(clock.now()).expect("maintains");
        }
    }
    drop(db);
    let tier = Tier { resolution: DurationMs(HOUR), retention: DurationMs(1000 * DAY) };
    let db = open_with(3, vec![tier]);
    dir.set_room(Some(dir.disk().used_bytes()));
    let start = || db.status().blocks.range.expect("has blocks").start_incl.0;
    let mut failed = 0;
    while start() < 16 * DAY {
        // Days that are younger are aggregated once there is room, and are not waited for.
        if let Err(error) = db.maintain(clock.now()) {
            assert!(error.is_full(), "{}", swell_telemetry::chain(&error));
            failed += 1;
        }
        assert!(failed < 20, "{:?}", db.status().blocks);
        clock.advance(DurationMs::from_secs(5));
    }
    assert!(failed > 0, "the disk was full");
    for _ in 0..30 {
        db.maintain(clock.now()).expect("there is room again");
    }
    assert_eq!(start(), 16 * DAY);
    let reserve = dir.list("").expect("lists").into_iter().find(|entry| entry.name == "reserve");
    assert_eq!(reserve.expect("made again").len_bytes, 30_000);
    let tier = &db.status().tiers[0];
    // Two series, an aggregate an hour, and one for the very first sample.
    assert_eq!((tier.aggregate_count, tier.range.start_incl.0), (2 * (19 * 24 + 1), -HOUR));
}
