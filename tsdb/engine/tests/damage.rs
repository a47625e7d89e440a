//! Decay of every kind of file: never a panic, never a changed sample, never fewer samples without a word.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{
    Choices, HOUR, Model, append, config, float_batch, histogram_batch, histogram_bits, labels,
    open, read_all,
};
use prometheus::Registry;
use swell_engine::{Config, Db, OpenError, WalSync};
use swell_env::{Dir, ManualClock, MemDir, read_whole};
use swell_model::{
    Exemplar, ExemplarSample, Labels, Matcher, MetricDescription, MetricMetadata, SampleSink,
    SelectHints, SeriesSource as _, TimeRange, TimestampMs,
};

fn settings() -> Config {
    config(WalSync::Never)
}

/// Blocks of floats and histograms, merged and fresh, and a log of several segments.
fn build() -> (MemDir, Model) {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let mut model = Model::new();
    for step in 0..(29 * 12) {
        let at = i64::from(step) * HOUR / 12;
        let floats: Vec<(usize, f64)> = (0..6)
            .map(|nr| {
                (nr, f64::from(step * 7 % 13) / 10.0 * f64::from(u8::try_from(nr).expect("few")))
            })
            .collect();
        let mut batch = float_batch(&db, at, &floats).expect("resolves");
        batch.rows[0].starts = vec![at / HOUR; floats.len()];
        let series = batch.rows[0].series[0];
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("trace_id", step.to_string())]),
            value: 1.0,
            timestamp: TimestampMs(at),
        };
        batch.exemplars.push(ExemplarSample { series, exemplar });
        batch.descriptions.push(MetricDescription {
            metric_name: format!("metric_{}", step % 50),
            metadata: MetricMetadata { unit: "s".to_owned(), ..MetricMetadata::default() },
        });
        db.append(&batch).expect("appends");
        for (nr, value) in floats {
            model.entry(labels(nr)).or_default().insert(at, value.to_bits());
        }
        let counts = [(7, f64::from(step))];
        db.append(&histogram_batch(&db, at, &counts).expect("resolves")).expect("appends");
        model.entry(labels(7)).or_default().insert(at, histogram_bits(f64::from(step)));
        if step % 12 == 0 {
            db.maintain(TimestampMs(at)).expect("maintains");
        }
    }
    drop(db);
    (disk, model)
}

fn files(disk: &MemDir) -> Vec<String> {
    let mut names = vec!["metadata".to_owned()];
    for folder in ["blocks", "wal"] {
        for entry in disk.list(folder).expect("lists") {
            names.push(format!("{folder}/{}", entry.name));
        }
    }
    names
}

fn was_stored(found: &Model, model: &Model, what: &str) {
    for (labels, samples) in found {
        for (at, bits) in samples {
            let stored = model.get(labels).and_then(|samples| samples.get(at));
            assert_eq!(stored, Some(bits), "{what}: {labels} at {at} was never stored");
        }
    }
}

/// A reader that shows warnings is answered from what is left, and warned of what is not. Gives whether something was
/// left out.
fn check_passing_over(db: &Db, model: &Model, what: &str) -> bool {
    let all = SelectHints { passes_over_damage: true, ..SelectHints::range(TimeRange::ALL) };
    let found = common::read_with(db, &[], &all).expect(what);
    was_stored(&found, model, what);
    let newest = SelectHints { newest_only: true, ..all };
    was_stored(&common::read_with(db, &[], &newest).expect(what), model, what);
    let names = db.label_names(&[], TimeRange::ALL).expect(what);
    assert!(names.iter().all(|name| name == "__name__" || name == "pod"), "{what}: {names:?}");
    db.label_values("pod", &[Matcher::equal("pod", "pod-1")], TimeRange::ALL).expect(what);
    let is_whole = found == *model;
    let is_warned = !db.warnings(TimeRange::ALL).is_empty();
    let is_cut = db.status().wal.torn_bytes > 0;
    assert!(is_whole || is_warned || is_cut, "{what}: samples are missing without a warning");
    !is_whole
}

/// What the database says of a damaged disk is sound.
fn check(disk: MemDir, model: &Model, what: &str) {
    let db = match open(Arc::new(disk), settings()) {
        Ok(db) => db,
        // Refusing to start is allowed when it says why.
        Err(OpenError::Newer { what: reason, .. }) => {
            assert!(reason.contains("version"), "{what}: {reason}");
            return;
        }
        Err(error) => panic!("{what}: {}", swell_telemetry::chain(&error)),
    };
    let found = common::read(&db, &[], TimeRange::ALL);
    check_passing_over(&db, model, what);
    let status = db.status();
    let told = !status.damage.is_empty() || status.wal.torn_bytes > 0;
    match found {
        Ok(found) => {
            was_stored(&found, model, what);
            assert!(told || found == *model, "{what}: samples are missing without a word");
        }
        Err(error) => {
            assert!(told, "{what}: a failed read leaves its trace");
            assert!(error.to_string().contains("byte"), "{what}: {error} names the place");
        }
    }
    db.maintain(TimestampMs(29 * HOUR)).expect(what);
}

#[test]
fn flipped_bytes_never_change_an_answer() {
    let (disk, model) = build();
    check(disk.after_kill(), &model, "undamaged");
    let mut choices = Choices(1);
    let mut trials = 0;
    for name in files(&disk) {
        let len = read_whole(&disk, &name, u64::MAX).expect("readable").len();
        for _ in 0..80 {
            let hurt = disk.after_kill();
            let offset = usize::try_from(choices.below(len as u64)).expect("fits");
            let mask = u8::try_from(1u64 << choices.below(8)).expect("one bit");
            hurt.flip(&name, offset, mask).expect("flips");
            check(hurt, &model, &format!("{name}, byte {offset}, mask {mask}"));
            trials += 1;
        }
    }
    assert!(trials >= 500, "{trials} trials");
}

#[test]
fn bytes_flipped_while_serving_never_change_an_answer() {
    let (disk, model) = build();
    let mut choices = Choices(3);
    let mut trials = 0;
    for name in files(&disk) {
        let hurt = disk.after_kill();
        let len = read_whole(&hurt, &name, u64::MAX).expect("readable").len() as u64;
        let db = open(Arc::new(hurt.clone()), settings()).expect("opens");
        let (reads, failures, done) =
            (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let serve = || {
            while !done.load(Ordering::Relaxed) {
                if reads.load(Ordering::Relaxed) % 2 == 0 {
                    check_passing_over(&db, &model, &name);
                }
                match common::read(&db, &[], TimeRange::ALL) {
                    Ok(found) => assert!(found == model, "{name}: an answer has changed"),
                    Err(error) => {
                        assert!(error.to_string().contains("byte"), "{name}: {error}");
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
                reads.fetch_add(1, Ordering::Relaxed);
            }
        };
        std::thread::scope(|scope| {
            let readers = [scope.spawn(serve), scope.spawn(serve)];
            for _ in 0..60 {
                let offset = usize::try_from(choices.below(len)).expect("fits");
                let mask = u8::try_from(1u64 << choices.below(8)).expect("one bit");
                hurt.flip(&name, offset, mask).expect("flips");
                let before = reads.load(Ordering::Relaxed);
                // At least one whole read stands between the two flips.
                while reads.load(Ordering::Relaxed) < before + 3
                    && readers.iter().all(|reader| !reader.is_finished())
                {
                    std::thread::yield_now();
                }
                hurt.flip(&name, offset, mask).expect("flips back");
                trials += 1;
            }
            done.store(true, Ordering::Relaxed);
        });
        let is_told = !db.status().damage.is_empty();
        assert_eq!(failures.into_inner() > 0, is_told, "{name}: failed reads are told of");
    }
    assert!(trials >= 300, "{trials} trials");
}

#[test]
fn files_that_end_early_are_noticed() {
    let (disk, model) = build();
    let mut choices = Choices(2);
    for name in files(&disk) {
        let len = read_whole(&disk, &name, u64::MAX).expect("readable").len() as u64;
        for trial in 0..30 {
            // Of a log that ends between two records nobody can tell that there was more.
            let kept = if trial == 0 { len - 1 } else { choices.below(len) };
            let hurt = disk.after_kill();
            hurt.lose_end(&name, usize::try_from(kept).expect("fits")).expect("cuts");
            let db = open(Arc::new(hurt.after_kill()), settings()).expect("opens");
            let is_clean_cut = name.starts_with("wal")
                && db.status().damage.is_empty()
                && db.status().wal.torn_bytes == 0;
            drop(db);
            if !is_clean_cut {
                check(hurt, &model, &format!("{name} cut to {kept} of {len}"));
            }
        }
    }
}

#[test]
fn a_missing_block_is_named() {
    let (disk, model) = build();
    let blocks: Vec<String> =
        files(&disk).into_iter().filter(|name| name.ends_with(".blk")).collect();
    assert!(blocks.len() >= 2, "{blocks:?}");
    for name in blocks {
        let hurt = disk.after_kill();
        hurt.remove(&name).expect("removes");
        for start in ["first", "second"] {
            let db = open(Arc::new(hurt.clone()), settings()).expect("opens");
            let warnings = db.warnings(TimeRange::ALL);
            let file_name = name.trim_start_matches("blocks/");
            assert!(warnings.iter().any(|w| w.contains(file_name)), "{start} start: {warnings:?}");
            db.maintain(TimestampMs(29 * HOUR)).expect("maintains");
        }
        check(hurt, &model, &format!("{name} is missing"));
    }
}

#[test]
fn a_zeroed_page_is_noticed() {
    let (disk, model) = build();
    for name in files(&disk) {
        let bytes = read_whole(&disk, &name, u64::MAX).expect("readable");
        for start in (0..bytes.len()).step_by(512) {
            let hurt = disk.after_kill();
            let end = bytes.len().min(start + 512);
            for (offset, byte) in bytes[start..end].iter().enumerate() {
                hurt.flip(&name, start + offset, *byte).expect("zeroes");
            }
            check(hurt, &model, &format!("{name}, zeros from {start}"));
        }
    }
}

#[test]
fn damage_in_the_middle_of_the_log_costs_its_record_only() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    for step in 0..20 {
        append(&db, step * 1000, &[(0, 1.0), (1, 2.5)]).expect("appends");
    }
    drop(db);
    let name = "wal/00000001.wal";
    let len = read_whole(&disk, name, u64::MAX).expect("readable").len();
    disk.flip(name, len * 2 / 3, 0x10).expect("flips");
    let db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let found = read_all(&db);
    assert!(found.values().all(|samples| samples.len() == 19), "{found:?}");
    let status = db.status();
    assert_eq!(status.damage.len(), 1, "{:?}", status.damage);
    let damage = &status.damage[0];
    assert!(damage.what.contains(".damaged"), "{}", damage.what);
    let range = damage.range.expect("records around it tell the times");
    assert_eq!(range.end_incl.since(range.start_incl).0, 2000);
    assert!(
        db.warnings(TimeRange { start_incl: TimestampMs(0), end_incl: TimestampMs(1000) })
            .is_empty()
    );
    assert_eq!(db.warnings(range).len(), 1);
    let copies = disk.list("wal").expect("lists");
    assert!(copies.iter().any(|entry| entry.name.ends_with(".damaged") && entry.len_bytes > 20));
}

#[test]
fn damage_at_the_end_of_a_log_segment_casts_no_doubt_on_what_comes_after_the_start() {
    let disk = MemDir::new();
    let clock = Arc::new(ManualClock::new(TimestampMs(HOUR)));
    let open_at = |disk: &MemDir| {
        let dir = Arc::new(disk.clone());
        Db::open(dir, settings(), clock.clone(), &Registry::new()).expect("opens")
    };
    let db = open_at(&disk);
    for at in [1000, 2000, 3000] {
        append(&db, at, &[(0, 1.0)]).expect("appends");
    }
    drop(db);
    // Or the damage would be at the end of the log, and cut off as a record that was not finished.
    append(&open_at(&disk), 4000, &[(0, 1.0)]).expect("appends to the next segment");
    let first = "wal/00000001.wal";
    let len = read_whole(&disk, first, u64::MAX).expect("readable").len();
    disk.flip(first, len - 1, 1).expect("flips");
    let db = open_at(&disk);
    assert_eq!(read_all(&db)[&labels(0)].len(), 3);
    let at = |from_ms, to_ms| TimeRange {
        start_incl: TimestampMs(from_ms),
        end_incl: TimestampMs(to_ms),
    };
    assert_eq!(db.warnings(at(3000, 3000)).len(), 1);
    assert_eq!(db.warnings(at(0, 1999)), Vec::<String>::new());
    // No sample was taken that was more than ten minutes ahead.
    assert_eq!(db.warnings(at(2 * HOUR, i64::MAX)), Vec::<String>::new());
}

#[test]
fn files_with_the_greatest_of_all_numbers_stop_no_start() {
    let (disk, mut model) = build();
    for name in [
        "blocks/18446744073709551615.blk",
        "blocks/18446744073709551615.tomb",
        "wal/18446744073709551615.wal",
        "labels-18446744073709551615",
    ] {
        disk.create(name).expect("made").append(b"not ours").expect("written");
    }
    let whole = || Config { checkpoint_log_bytes: 1, ..settings() };
    for round in 0..3 {
        let at = 30 * HOUR + round;
        let db = open(Arc::new(disk.clone()), whole()).expect("opens");
        append(&db, at, &[(0, 1.0)]).expect("appends");
        model.entry(labels(0)).or_default().insert(at, 1f64.to_bits());
        for _ in 0..4 {
            db.maintain(TimestampMs(0)).expect("maintains");
        }
        assert_eq!(read_all(&db), model, "round {round}");
    }
}

#[test]
fn files_of_a_newer_version_are_refused_and_left_alone() {
    let (disk, _) = build();
    let names = files(&disk);
    let block = names.iter().find(|name| name.ends_with(".blk")).expect("a block");
    let segment = names.iter().find(|name| name.ends_with(".wal")).expect("a segment");
    for (name, header_len, checksum_at) in [(block, 16, 12), (segment, 24, 20)] {
        let newer = disk.after_kill();
        let version = read_whole(&newer, name, u64::MAX).expect("readable")[8];
        newer.flip(name, 8, version ^ 9).expect("the version becomes 9");
        let mut header = read_whole(&newer, name, u64::MAX).expect("readable");
        header.truncate(header_len);
        let checksum = crc32fast::hash(&header[..checksum_at]).to_le_bytes();
        for idx in 0..4 {
            newer
                .flip(name, checksum_at + idx, header[checksum_at + idx] ^ checksum[idx])
                .expect("set");
        }
        let before = read_whole(&newer, name, u64::MAX).expect("readable");
        let error = open(Arc::new(newer.clone()), settings()).expect_err("refused");
        let message = swell_telemetry::chain(&error);
        assert!(message.contains(name) && message.contains("version 9"), "{message}");
        assert_eq!(read_whole(&newer, name, u64::MAX).expect("readable"), before);
    }
}

#[test]
fn damage_costs_a_series_its_samples_in_that_block_and_is_told_with_its_times() {
    let (disk, model) = build();
    let name = files(&disk).into_iter().find(|name| name.ends_with(".blk")).expect("a block");
    let len = read_whole(&disk, &name, u64::MAX).expect("readable").len();
    for part in 1..8 {
        let hurt = disk.after_kill();
        // The frames of the columns stand first.
        hurt.flip(&name, len * part / 16, 0x04).expect("flips");
        let db = open(Arc::new(hurt), settings()).expect("opens");
        assert!(check_passing_over(&db, &model, "in a frame"));
        let all = SelectHints { passes_over_damage: true, ..SelectHints::range(TimeRange::ALL) };
        let found = common::read_with(&db, &[], &all).expect("passed over");
        let warnings = db.warnings(TimeRange::ALL);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let hurt = db.status().damage[0].range.expect("of the block");
        for word in [&name, "at byte", "samples from 1970-01-0"] {
            assert!(warnings[0].contains(word), "{word}: {}", warnings[0]);
        }
        for (labels, samples) in &model {
            let is_there = |at: &i64| found.get(labels).is_some_and(|it| it.contains_key(at));
            let missing = samples.keys().filter(|at| !is_there(at));
            assert!(missing.clone().all(|at| hurt.contains(TimestampMs(*at))), "{labels}");
            assert!(missing.count() < samples.len(), "{labels}: the other blocks are read");
        }
        common::read(&db, &[], TimeRange::ALL).expect_err("who acts on an answer gets none");
        let behind = TimeRange { start_incl: hurt.end_incl, end_incl: TimestampMs::MAX };
        let behind = TimeRange { start_incl: TimestampMs(behind.start_incl.0 + 1), ..behind };
        common::read(&db, &[], behind).expect("not touched");
        assert_eq!(db.warnings(behind), Vec::<String>::new());
    }
}
