//! A start that begins at a checkpoint knows what one that reads all of the log knows, wherever either was cut short;
//! a checkpoint that is damaged, missing or out of date costs a longer start and nothing else.

mod common;

use std::sync::Arc;

use common::{
    Choices, HOUR, Model, append, config, float_batch, histogram_batch, histogram_bits, labels,
    open, read_all,
};
use swell_engine::{Config, Db, OpenError, WalSync};
use swell_env::{Dir, Fault, FaultDir, MemDir, read_whole};
use swell_model::{
    DurationMs, Exemplar, ExemplarSample, Labels, Matcher, MetricDescription, MetricMetadata,
    SampleSink, TimeRange, TimestampMs,
};

const CHECKPOINT: &str = "checkpoint";
const STEP_MS: i64 = HOUR / 4;

/// Names of the files with labels of series.
fn labels_files(disk: &MemDir) -> Vec<String> {
    let entries = disk.list("").expect("lists").into_iter();
    entries.map(|entry| entry.name).filter(|name| name.starts_with("labels-")).collect()
}

/// A checkpoint at each upkeep, if anything was logged.
fn settings(wal_sync: WalSync) -> Config {
    Config { checkpoint_log_bytes: 1, ..config(wal_sync) }
}

/// The same disk, read without its checkpoint.
fn whole_log(disk: &MemDir) -> Db {
    let settings = Config { checkpoint_log_bytes: 0, ..config(WalSync::Never) };
    open(Arc::new(disk.after_kill()), settings).expect("opens")
}

/// The samples of a step of a workload: floats and late floats by series, the count of a histogram of series 5.
struct Samples {
    floats: Vec<(usize, f64)>,
    late: [(usize, f64); 2],
    count: f64,
}

fn samples_of(nr: i64) -> Samples {
    let value = f64::from(i32::try_from(nr).expect("few"));
    let mut floats: Vec<(usize, f64)> = vec![(0, value), (1, value * 1.5), (2, 7.0)];
    floats.extend((nr % 9 < 4).then_some((3, value.sqrt())));
    Samples { floats, late: [(1, -value), (4, value)], count: value }
}

fn add(model: &mut Model, at: i64, samples: &[(usize, f64)]) {
    for (series, value) in samples {
        model.entry(labels(*series)).or_default().insert(at, value.to_bits());
    }
}

fn add_histogram(model: &mut Model, at: i64, count: f64) {
    model.entry(labels(5)).or_default().insert(at, histogram_bits(count));
}

/// Does a step, and adds to the model what was acknowledged; `false` when something failed. Series come and go, windows
/// are flushed.
fn step(db: &Db, nr: i64, model: &mut Model) -> bool {
    let at = nr * STEP_MS;
    let Samples { floats, late, count: value } = samples_of(nr);
    let Ok(mut batch) = float_batch(db, at, &floats) else { return false };
    batch.rows[0].starts = vec![at / 2; floats.len()];
    let exemplar = Exemplar {
        labels: Labels::from_pairs([("trace_id", nr.to_string())]),
        value,
        timestamp: TimestampMs(at),
    };
    batch.exemplars.push(ExemplarSample { series: batch.rows[0].series[0], exemplar });
    batch.descriptions.push(MetricDescription {
        metric_name: format!("metric_{}", nr % 7),
        metadata: MetricMetadata { unit: format!("u{nr}"), ..MetricMetadata::default() },
    });
    let Ok(late_batch) = float_batch(db, at - STEP_MS / 2, &late) else { return false };
    let Ok(histograms) = histogram_batch(db, at, &[(5, value)]) else { return false };
    if db.append(&batch).is_err() {
        return false;
    }
    add(model, at, &floats);
    if db.append(&histograms).is_err() {
        return false;
    }
    add_histogram(model, at, value);
    if db.append(&late_batch).is_err() {
        return false;
    }
    add(model, at - STEP_MS / 2, &late);
    nr % 5 != 4 || db.maintain(TimestampMs(at)).is_ok()
}

fn work(db: &Db, steps: std::ops::Range<i64>, model: &mut Model) {
    for nr in steps {
        assert!(step(db, nr, model), "step {nr}");
    }
}

/// What a start brings back beside samples.
fn state(db: &Db) -> String {
    let status = db.status();
    let head = (status.head.series_count, status.head.range, status.head.late_sample_count);
    format!("{head:?} {:?}", db.metadata())
}

/// Exemplars of the workload, oldest first.
fn exemplars(db: &Db) -> Vec<Exemplar> {
    let found = db.exemplars(&[], TimeRange::ALL);
    found.into_iter().flat_map(|series| series.exemplars).collect()
}

#[test]
fn a_checkpoint_and_the_log_behind_it_say_what_the_whole_log_says() {
    let disk = MemDir::new();
    let mut model = Model::new();
    let mut next = 0;
    let (mut began, mut replayed) = (0, 0);
    // Lives of different lengths: checkpoints are written after each fifth step, and by closing.
    for (life, steps) in [7, 13, 1, 30, 4, 18, 5, 22].into_iter().enumerate() {
        let whole = whole_log(&disk);
        let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
        assert_eq!(state(&db), state(&whole), "life {life}");
        // The log has them until its segments are deleted.
        let (kept, logged) = (exemplars(&db), exemplars(&whole));
        assert!(kept.ends_with(&logged), "life {life}: {kept:?}, logged {logged:?}");
        assert_eq!(db.status().wal.checkpoint_fault, None);
        began += i32::from(db.status().wal.began_at_checkpoint);
        replayed += db.status().wal.replayed_record_count;
        let found = read_all(&db);
        assert_eq!(found, read_all(&whole), "life {life}");
        assert_eq!(found, model, "life {life}");
        work(&db, next..next + steps, &mut model);
        next += steps;
        if life % 2 == 0 {
            drop(db);
        } else {
            db.close().expect("closes");
        }
    }
    assert!(began >= 6, "{began} lives began at a checkpoint");
    assert!(replayed > 20, "{replayed} records behind checkpoints");
}

#[test]
fn after_closing_no_record_is_read() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
    let mut model = Model::new();
    work(&db, 0..4, &mut model);
    db.close().expect("closes");
    let written = read_whole(&disk, CHECKPOINT, u64::MAX).expect("there");
    for _ in 0..2 {
        let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
        let wal = db.status().wal;
        assert!(wal.began_at_checkpoint && wal.replayed_record_count == 0, "{wal:?}");
        let labels = read_whole(&disk, &labels_files(&disk)[0], u64::MAX).expect("there");
        assert_eq!(wal.checkpoint_bytes, (written.len() + labels.len()) as u64);
        assert_eq!(read_all(&db), model);
        // Nothing was logged since.
        db.close().expect("closes");
        assert!(read_whole(&disk, CHECKPOINT, u64::MAX).expect("there") == written);
    }
}

/// Runs the workload with every operation from number `op` on failing; gives the disk and what was acknowledged, with
/// what may be there beside it.
fn run_until(op: u64, sync: WalSync) -> (FaultDir, Model, Model) {
    let dir = FaultDir::new();
    dir.fail(op, u64::MAX, Fault::Io);
    let (mut model, mut attempted) = (Model::new(), Model::new());
    for steps in [0..8, 8..19, 19..32] {
        let Ok(db) = open(Arc::new(dir.clone()), settings(sync)) else { break };
        let is_done = steps.clone().all(|nr| {
            let Samples { floats, late, count } = samples_of(nr);
            add(&mut attempted, nr * STEP_MS, &floats);
            add(&mut attempted, nr * STEP_MS - STEP_MS / 2, &late);
            add_histogram(&mut attempted, nr * STEP_MS, count);
            step(&db, nr, &mut model)
        });
        if !is_done || db.close().is_err() {
            break;
        }
    }
    (dir, model, attempted)
}

fn is_between(found: &Model, least: &Model, most: &Model) -> bool {
    let holds = |a: &Model, b: &Model| {
        b.iter().all(|(labels, samples)| {
            samples.iter().all(|(at, bits)| a.get(labels).and_then(|has| has.get(at)) == Some(bits))
        })
    };
    holds(found, least) && holds(most, found)
}

/// What is on the disk is what was acknowledged, and perhaps of the step after it.
fn check(disk: MemDir, (least, most): (&Model, &Model), what: &str) {
    let whole = whole_log(&disk);
    let db = open(Arc::new(disk), settings(WalSync::Always)).expect(what);
    let found = read_all(&db);
    assert!(is_between(&found, least, most), "{what}: {found:?}\nof {least:?}");
    assert_eq!(db.status().damage, [], "{what}");
    assert_eq!(db.status().wal.checkpoint_fault, None, "{what}");
    assert_eq!(read_all(&whole), found, "{what}: the log alone");
    // Upkeep and another start change nothing.
    db.maintain(TimestampMs(0)).expect(what);
    assert_eq!(read_all(&db), found, "{what}: after upkeep");
}

fn op_count(sync: WalSync) -> u64 {
    let (dir, ..) = run_until(u64::MAX, sync);
    dir.op_count()
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill_at_any_operation() {
    let total = op_count(WalSync::Never);
    assert!(total > 200, "{total} operations");
    for op in 0..total {
        let (dir, least, most) = run_until(op, WalSync::Never);
        let what = format!("killed at operation {op}");
        check(dir.disk().after_kill(), (&least, &most), &what);
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut_at_any_operation() {
    for op in 0..op_count(WalSync::Always) {
        let (dir, least, most) = run_until(op, WalSync::Always);
        for seed in 0..2 {
            let disk = dir.disk().after_power_cut(op * 31 + seed);
            check(disk, (&least, &most), &format!("power cut at operation {op}, seed {seed}"));
        }
    }
}

#[test]
fn without_sync_a_power_cut_leaves_no_hole_behind_a_checkpoint() {
    for op in (0..op_count(WalSync::Never)).step_by(3) {
        let (dir, _, most) = run_until(op, WalSync::Never);
        for seed in 0..3 {
            let disk = dir.disk().after_power_cut(op * 17 + seed);
            // What the checkpoint knows, the log knows: each start says the same.
            check(disk, (&Model::new(), &most), &format!("operation {op}, seed {seed}"));
        }
    }
}

/// A disk with a checkpoint and log behind it.
fn build() -> (MemDir, Model) {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
    let mut model = Model::new();
    work(&db, 0..28, &mut model);
    drop(db);
    (disk, model)
}

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
fn labels_are_written_anew_once_many_series_came_and_all_are_known_after_a_start() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
    let mut model = Model::new();
    let mut file = String::new();
    let mut at = 0;
    // How many series there are, and whether they are enough for a new file.
    for (count, is_new) in [(3, true), (5, false), (900, false), (1100, true), (1101, false)] {
        let samples: Vec<(usize, f64)> = (0..count).map(|nr| (nr, nr as f64)).collect();
        at += 1000;
        append(&db, at, &samples).expect("appends");
        add(&mut model, at, &samples);
        db.checkpoint().expect("writes");
        let files = labels_files(&disk);
        assert_eq!(files.len(), 1, "{files:?}");
        assert_eq!(files[0] != file, is_new, "{count} series");
        file.clone_from(&files[0]);
        let back = open(Arc::new(disk.after_kill()), settings(WalSync::Never)).expect("opens");
        let wal = back.status().wal;
        assert!(wal.began_at_checkpoint && wal.replayed_record_count == 0, "{wal:?}");
        assert_eq!(back.status().head.series_count, count);
        assert_eq!(read_all(&back), model);
        // Series go on where they were.
        append(&back, at + 500, &samples).expect("appends");
        assert_eq!(back.status().head.series_count, count);
    }
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

#[test]
fn a_full_disk_leaves_the_last_checkpoint_and_no_half_one() {
    let dir = FaultDir::new();
    let db = open(Arc::new(dir.clone()), settings(WalSync::Never)).expect("opens");
    let mut model = Model::new();
    work(&db, 0..4, &mut model);
    db.checkpoint().expect("writes");
    let mut before = read_whole(&dir, CHECKPOINT, u64::MAX).expect("there");
    append(&db, 10 * STEP_MS, &[(0, 5.0)]).expect("appends");
    // Or the log's own sync would be what fails.
    db.sync().expect("syncs");
    // Each operation of the next one fails once; removing the unfinished file after that does not.
    let (mut failures, mut replaced) = (0, 0);
    for nr in 0.. {
        let op = dir.op_count() + nr;
        dir.fail(op, 1, Fault::DiskFull);
        let result = db.checkpoint();
        if dir.op_count() <= op {
            result.expect("nothing failed");
            break;
        }
        if result.is_ok() {
            continue;
        }
        failures += 1;
        assert_eq!(db.status().read_only, None, "operation {nr}");
        let now = read_whole(&dir, CHECKPOINT, u64::MAX).expect("there");
        replaced += usize::from(now != before);
        before = now;
        assert!(dir.open("checkpoint.tmp").is_err(), "operation {nr}");
    }
    assert_eq!(replaced, 1, "where only the folder could not be synced the new one is there");
    assert!(failures > 2, "only {failures} operations failed");
}

#[test]
fn upkeep_writes_one_only_when_the_log_has_grown() {
    let disk = MemDir::new();
    let settings =
        Config { checkpoint_log_bytes: 2000, ..settings(WalSync::Interval(DurationMs(1000))) };
    let db = open(Arc::new(disk.clone()), settings).expect("opens");
    let mut sizes = Vec::new();
    for nr in 0..200 {
        append(&db, nr * 1000, &[(0, f64::from(i32::try_from(nr).expect("few")))])
            .expect("appends");
        db.maintain(TimestampMs(nr * 1000)).expect("maintains");
        let wal = db.status().wal;
        if wal.checkpoint_bytes > 0 && sizes.last() != Some(&wal.checkpoint_bytes) {
            sizes.push(wal.checkpoint_bytes);
        }
    }
    let logged = db.status().wal.bytes;
    assert!(
        sizes.len() as u64 <= logged / 2000 && !sizes.is_empty(),
        "{sizes:?} for {logged} bytes"
    );
}

#[test]
fn a_first_checkpoint_is_written_as_soon_as_the_log_is_long_enough_and_upkeep_need_not_run() {
    let disk = FaultDir::new();
    let settings = Config { checkpoint_log_bytes: 2000, ..config(WalSync::Never) };
    let db = open(Arc::new(disk.clone()), settings.clone()).expect("opens");
    let is_there = || disk.disk().open(CHECKPOINT).is_ok();
    let mut at = 0;
    while !is_there() {
        let before = disk.disk().open("wal/00000001.wal").map_or(0, |log| log.len().expect("len"));
        assert!(before < 4000, "it is due once the log has {before} bytes");
        at += 1000;
        append(&db, at, &[(0, 1.0), (1, at as f64)]).expect("appends");
        db.checkpoint_if_due().expect("writes, if it is due");
    }
    let op_count = disk.op_count();
    db.checkpoint_if_due().expect("is not due");
    assert_eq!(disk.op_count(), op_count, "nothing was written");
    let killed = open(Arc::new(disk.disk().after_kill()), settings.clone()).expect("opens");
    let wal = killed.status().wal;
    assert!(wal.began_at_checkpoint && wal.replayed_record_count == 0, "{wal:?}");
    assert_eq!(read_all(&killed), read_all(&db));
    // A failure is told, and the next looks wait.
    while !disk.disk().open("wal/00000001.wal").is_ok_and(|log| log.len().expect("len") > 9000) {
        at += 1000;
        append(&db, at, &[(0, 1.0), (1, at as f64)]).expect("appends");
    }
    // The sync of the log comes first.
    disk.fail(disk.op_count() + 1, u64::MAX, Fault::Io);
    db.checkpoint_if_due().expect_err("the device fails");
    let op_count = disk.op_count();
    db.checkpoint_if_due().expect("waits");
    assert_eq!(disk.op_count(), op_count);
}
