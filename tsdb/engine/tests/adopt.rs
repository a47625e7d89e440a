//! Blocks that another process made in a folder of the data directory are taken in while the storage is in use.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{HOUR, Model, append, config, labels, open, read_all};
use swell_engine::{AdoptError, AdoptReport, Db, WalSync};
use swell_env::{Dir, Fault, FaultDir, MemDir, read_whole};
use swell_model::{FloatColumn, SeriesData, TimeRange, TimestampMs};

const PLACE: &str = "incoming/new/blocks";
const FILE: &str = "00000001.blk";

type Samples<'a> = (usize, &'a [(i64, f64)]);

fn series((nr, samples): &Samples<'_>) -> SeriesData {
    let floats = FloatColumn {
        timestamps: samples.iter().map(|it| it.0).collect(),
        values: samples.iter().map(|it| it.1).collect(),
        starts: None,
    };
    SeriesData { labels: labels(*nr), floats, ..SeriesData::default() }
}

fn model(all: &[Samples<'_>]) -> Model {
    let of_one = |(nr, samples): &Samples<'_>| {
        let bits = samples.iter().map(|(at, value)| (*at, value.to_bits()));
        (labels(*nr), bits.collect::<BTreeMap<i64, u64>>())
    };
    all.iter().map(of_one).collect()
}

fn opened(dir: &MemDir) -> Db {
    open(Arc::new(dir.clone()), config(WalSync::Never)).expect("opens")
}

/// Makes a block in a storage of its own, and puts it where another process would.
fn stage(dir: &MemDir, all: &[Samples<'_>]) {
    let elsewhere = MemDir::new();
    let db = opened(&elsewhere);
    db.import(all.iter().map(series).collect()).expect("imported");
    db.close().expect("closes");
    let block = read_whole(&elsewhere, &format!("blocks/{FILE}"), u64::MAX).expect("a block");
    for folder in ["incoming", "incoming/new", PLACE] {
        dir.create_folder(folder).expect("made");
    }
    let file = dir.create(&format!("{PLACE}/{FILE}")).expect("made");
    file.append(&block).expect("written");
}

#[test]
fn a_block_is_taken_in_but_for_times_in_memory() {
    let dir = MemDir::new();
    let db = opened(&dir);
    append(&db, 50 * HOUR, &[(0, 1.0), (3, 2.0)]).expect("appended");
    let newer = (4, &[(7, 8.0), (50 * HOUR, 3.0), (51 * HOUR, 4.0)][..]);
    stage(&dir, &[(0, &[(5, 0.5), (30 * HOUR, 0.25)]), newer]);
    let report = db.adopt("new", FILE).expect("taken in");
    let ends = TimeRange { start_incl: TimestampMs(5), end_incl: TimestampMs(30 * HOUR) };
    assert!(report.block_bytes > 0);
    let expected = AdoptReport {
        series_count: 2,
        sample_count: 3,
        left_out: 2,
        memory_from: Some(TimestampMs(50 * HOUR)),
        block_bytes: report.block_bytes,
        range: Some(ends),
    };
    assert_eq!(report, expected);
    append(&db, 51 * HOUR, &[(4, 9.0)]).expect("appended");
    let expected = model(&[
        (0, &[(5, 0.5), (30 * HOUR, 0.25), (50 * HOUR, 1.0)]),
        (3, &[(50 * HOUR, 2.0)]),
        (4, &[(7, 8.0), (51 * HOUR, 9.0)]),
    ]);
    assert_eq!(read_all(&db), expected);
    // The same once more doubles nothing, and both blocks become one.
    assert_eq!(db.adopt("new", FILE).expect("taken in again").sample_count, 3);
    assert_eq!(read_all(&db), expected);
    db.maintain(TimestampMs(51 * HOUR)).expect("maintains");
    assert_eq!((read_all(&db), db.blocks().len()), (expected.clone(), 1));
    db.close().expect("closes");
    assert_eq!(read_all(&opened(&dir)), expected, "after a restart");
}

#[test]
fn a_block_of_nothing_but_times_in_memory_is_left_out() {
    let dir = MemDir::new();
    let db = opened(&dir);
    append(&db, HOUR, &[(0, 1.0)]).expect("appended");
    stage(&dir, &[(1, &[(HOUR, 2.0), (2 * HOUR, 3.0)])]);
    let report = db.adopt("new", FILE).expect("nothing to do");
    assert_eq!((report.sample_count, report.left_out, report.range), (0, 2, None));
    assert_eq!((report.block_bytes, db.blocks().len()), (0, 0));
}

#[test]
fn what_is_taken_into_an_empty_storage_is_the_past() {
    let dir = MemDir::new();
    let db = opened(&dir);
    stage(&dir, &[(1, &[(HOUR, 1.0), (2 * HOUR, 2.0)])]);
    let report = db.adopt("new", FILE).expect("taken in");
    assert_eq!((report.sample_count, report.left_out, report.memory_from), (2, 0, None));
    append(&db, 2 * HOUR + 1, &[(1, 3.0)]).expect("appended");
    let expected = model(&[(1, &[(HOUR, 1.0), (2 * HOUR, 2.0), (2 * HOUR + 1, 3.0)])]);
    assert_eq!(read_all(&db), expected);
    db.close().expect("closes");
    assert_eq!(read_all(&opened(&dir)), expected, "after a restart");
}

#[test]
fn a_block_that_is_ahead_of_the_clock_shuts_nothing_out() {
    let dir = MemDir::new();
    let db = opened(&dir);
    let now = 10_000 * 24 * HOUR;
    stage(&dir, &[(1, &[(now + 24 * HOUR, 1.0)])]);
    assert_eq!(db.adopt("new", FILE).expect("taken in").sample_count, 1);
    // Too old to be one that comes late.
    let report = append(&db, now - 3 * HOUR, &[(1, 2.0)]).expect("appended");
    assert_eq!((report.stored, report.stored_late), (1, 0));
    let expected = model(&[(1, &[(now - 3 * HOUR, 2.0), (now + 24 * HOUR, 1.0)])]);
    assert_eq!(read_all(&db), expected);
}

#[test]
fn names_lead_to_blocks_of_imports_and_nowhere_else() {
    let dir = MemDir::new();
    let db = opened(&dir);
    stage(&dir, &[(1, &[(HOUR, 1.0)])]);
    for (folder, file) in [
        ("new", "00000002.blk"),
        ("none", FILE),
        ("", FILE),
        ("..", FILE),
        ("new/blocks", FILE),
        ("new", "manifest"),
        ("new", "../blocks/00000001.blk"),
    ] {
        let refused = db.adopt(folder, file).expect_err("there is none");
        assert!(matches!(refused, AdoptError::Unknown { .. }), "{folder} {file}: {refused}");
    }
    dir.create(&format!("{PLACE}/00000001.tomb")).expect("made");
    let refused = db.adopt("new", FILE).expect_err("something is deleted there");
    assert!(matches!(refused, AdoptError::Foreign { .. }), "{refused}");
    assert!(read_all(&db).is_empty());
}

#[test]
fn a_damaged_block_is_not_taken_in() {
    let dir = MemDir::new();
    let db = opened(&dir);
    let samples: Vec<(i64, f64)> = (1..400).map(|at| (at * 1000, (at * at) as f64)).collect();
    stage(&dir, &[(1, &samples), (2, &samples[..100])]);
    let name = format!("{PLACE}/{FILE}");
    let len = read_whole(&dir, &name, u64::MAX).expect("readable").len();
    for offset in 0..len {
        dir.flip(&name, offset, 0x20).expect("flipped");
        assert!(db.adopt("new", FILE).is_err(), "byte {offset}");
        dir.flip(&name, offset, 0x20).expect("flipped back");
    }
    assert_eq!((db.blocks(), db.status().damage), (Vec::new(), Vec::new()));
    db.adopt("new", FILE).expect("whole again");
    assert_eq!(read_all(&db), model(&[(1, &samples), (2, &samples[..100])]));
}

#[test]
fn taking_in_may_be_cut_at_every_operation() {
    let dir = MemDir::new();
    let db = opened(&dir);
    append(&db, 50 * HOUR, &[(0, 1.0)]).expect("appended");
    stage(&dir, &[(0, &[(5, 0.5)]), (1, &[(6, 2.0), (HOUR, 3.0)])]);
    let before = read_all(&db);
    db.close().expect("closes");
    let image = dir.after_kill();
    let whole = {
        let db = opened(&image.after_kill());
        db.adopt("new", FILE).expect("taken in");
        read_all(&db)
    };
    let mut cut = 0;
    loop {
        let disk = FaultDir::over(image.after_kill());
        let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
        disk.fail(disk.op_count() + cut, u64::MAX, Fault::Io);
        let done = db.adopt("new", FILE).is_ok();
        drop(db);
        for image in [disk.disk().after_kill(), disk.disk().after_power_cut(cut)] {
            let db = opened(&image);
            assert_eq!(db.status().damage, [], "cut at operation {cut}");
            let found = read_all(&db);
            assert!(found == before || found == whole, "cut at operation {cut}: {found:?}");
            db.adopt("new", FILE).expect("tried again");
            assert_eq!(read_all(&db), whole, "cut at operation {cut}");
        }
        if done {
            break;
        }
        cut += 1;
    }
    assert!(cut > 5, "{cut} operations");
}
