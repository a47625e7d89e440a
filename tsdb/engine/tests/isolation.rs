//! A read goes on with what was there when it began: blocks that are merged, deleted or replaced meanwhile, and
//! samples that come, are nothing to it.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{HOUR, Model, append, config, open, read_all};
use prometheus::Registry;
use swell_engine::{Config, Db, WalSync};
use swell_env::{Dir as _, FsDir, ManualClock, MemDir};
use swell_model::{DurationMs, SelectHints, SeriesIter, SeriesSource as _, TimeRange, TimestampMs};

const SERIES: usize = 30;

fn fill(db: &Db, hours: std::ops::Range<i64>) {
    for step in hours.start * 20..hours.end * 20 {
        let value = f64::from(i32::try_from(step).expect("few"));
        let samples: Vec<(usize, f64)> = (0..SERIES).map(|nr| (nr, value)).collect();
        append(db, step * HOUR / 20, &samples).expect("appends");
    }
}

fn collected(series: SeriesIter<'_>) -> Model {
    let of_one = |series: swell_model::SeriesData| {
        let times = series.floats.timestamps.iter().copied();
        let samples = times.zip(series.floats.values.iter().map(|value| value.to_bits()));
        (series.labels, samples.collect())
    };
    series.map(|series| of_one(series.expect("the files are still readable"))).collect()
}

#[test]
fn blocks_that_are_merged_during_a_read_stay_readable() {
    let root = tempfile::tempdir().expect("temporary directory");
    let dir = Arc::new(FsDir::open(root.path()).expect("made"));
    let db = open(dir, config(WalSync::Never)).expect("opens");
    let mut reads: Vec<(SeriesIter<'_>, Model)> = Vec::new();
    let mut counts = Vec::new();
    for hour in 0..28 {
        fill(&db, hour..hour + 1);
        db.maintain(TimestampMs(0)).expect("maintains");
        counts.push(db.status().blocks.block_count);
        // Each read has begun, and read some, when the blocks change under it.
        let expected = read_all(&db);
        let mut read = db.select(&[], &SelectHints::range(TimeRange::ALL)).expect("selects");
        let first = collected(Box::new(read.by_ref().take(2)));
        assert!(first.iter().all(|(labels, samples)| expected.get(labels) == Some(samples)));
        reads.push((read, expected));
    }
    assert!(counts.iter().any(|count| *count > counts[27] + 2), "blocks were merged: {counts:?}");
    for (rest, mut expected) in reads {
        let rest = collected(rest);
        assert_eq!(rest.len(), SERIES - 2);
        expected.retain(|labels, _| rest.contains_key(labels));
        assert_eq!(rest, expected);
    }
}

#[test]
fn blocks_that_retention_deletes_during_a_read_stay_readable() {
    let root = tempfile::tempdir().expect("temporary directory");
    let dir = Arc::new(FsDir::open(root.path()).expect("made"));
    let limits = Config { retention_time: DurationMs(6 * HOUR), ..config(WalSync::Never) };
    let clock = Arc::new(ManualClock::new(TimestampMs(10_000 * 24 * HOUR)));
    let db = Db::open(dir, limits, clock, &Registry::new()).expect("opens");
    fill(&db, 0..6);
    db.maintain(TimestampMs(0)).expect("maintains");
    let before = read_all(&db);
    let read = db.select(&[], &SelectHints::range(TimeRange::ALL)).expect("selects");
    let mut retired = 0;
    for hour in 6..20 {
        fill(&db, hour..hour + 1);
        retired += db.maintain(TimestampMs(0)).expect("maintains").retired_block_count;
    }
    assert!(retired > 0, "blocks were deleted");
    assert_ne!(read_all(&db), before);
    assert_eq!(collected(read), before);
}

/// Files of blocks below a directory that this process has open: all, and those that are deleted.
fn open_blocks(root: &std::path::Path) -> (usize, usize) {
    let open = std::fs::read_dir("/proc/self/fd").expect("on Linux");
    let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let blocks: Vec<String> = targets
        .filter(|target| target.starts_with(root.join("blocks")))
        .map(|target| target.display().to_string())
        .collect();
    (blocks.len(), blocks.iter().filter(|name| name.ends_with("(deleted)")).count())
}

#[test]
fn the_space_of_a_block_comes_back_with_the_end_of_its_last_read() {
    let root = tempfile::tempdir().expect("temporary directory");
    let dir = Arc::new(FsDir::open(root.path()).expect("made"));
    let limits = Config { retention_time: DurationMs(12 * HOUR), ..config(WalSync::Never) };
    let clock = Arc::new(ManualClock::new(TimestampMs(10_000 * 24 * HOUR)));
    let db = Db::open(dir, limits, clock, &Registry::new()).expect("opens");
    fill(&db, 0..6);
    db.maintain(TimestampMs(0)).expect("maintains");
    let read = db.select(&[], &SelectHints::range(TimeRange::ALL)).expect("selects");
    let (mut retired, mut merged) = (0, 0);
    for hour in 6..30 {
        fill(&db, hour..hour + 1);
        let report = db.maintain(TimestampMs(0)).expect("maintains");
        (retired, merged) =
            (retired + report.retired_block_count, merged + report.compacted_block_count);
        read_all(&db);
    }
    assert!(retired > 0 && merged > 0, "{retired} blocks were deleted, {merged} made of others");
    assert!(open_blocks(root.path()).1 > 0, "a read that is under way has its files");
    drop(read);
    let listed = db.status().blocks.block_count;
    assert_eq!(open_blocks(root.path()), (listed, 0), "deleted files are closed");
    drop(db);
    assert_eq!(open_blocks(root.path()), (0, 0), "a storage that is closed has no file open");
}

#[test]
fn damage_of_a_block_that_goes_during_a_read_is_still_told() {
    let dir = Arc::new(MemDir::new());
    let limits = Config { retention_time: DurationMs(6 * HOUR), ..config(WalSync::Never) };
    let clock = Arc::new(ManualClock::new(TimestampMs(10_000 * 24 * HOUR)));
    let db = Db::open(dir.clone(), limits, clock.clone(), &Registry::new()).expect("opens");
    fill(&db, 0..6);
    db.maintain(TimestampMs(0)).expect("maintains");
    let before = read_all(&db);
    let blocks = dir.list("blocks").expect("lists").into_iter().map(|entry| entry.name);
    let oldest = blocks.filter(|name| name.ends_with(".blk")).min().expect("a block");
    let oldest = format!("blocks/{oldest}");
    let hints = SelectHints { passes_over_damage: true, ..SelectHints::range(TimeRange::ALL) };
    let read = db.select(&[], &hints).expect("selects");
    // Where its samples are: behind the header.
    (16..80).for_each(|offset| dir.flip(&oldest, offset, 1).expect("flips"));
    for hour in 6..20 {
        fill(&db, hour..hour + 1);
        db.maintain(TimestampMs(0)).expect("maintains");
    }
    assert!(dir.open(&oldest).is_err(), "retention has deleted the block");
    assert_ne!(collected(read), before, "samples are missing");
    let told = db.warnings(TimeRange::ALL);
    assert!(told.iter().any(|warning| warning.contains(&oldest)), "{told:?}");
    clock.advance(DurationMs(HOUR));
    assert_eq!(db.warnings(TimeRange::ALL), [""; 0], "no answer is of it any more");
}
