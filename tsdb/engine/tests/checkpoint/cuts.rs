//! Cut short at any operation, killed or without power: what was acknowledged is there.

use std::sync::Arc;

use swell_engine::WalSync;
use swell_env::{Dir as _, Fault, FaultDir, MemDir, read_whole};
use swell_model::TimestampMs;

use super::common::{Model, append, open, read_all};
use super::{
    CHECKPOINT, STEP_MS, Samples, add, add_histogram, labels_files, samples_of, settings, step,
    whole_log, work,
};

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
    let db = open(Arc::new(disk.clone()), settings(WalSync::Always)).expect(what);
    assert!(labels_files(&disk).len() <= 1, "{what}: none stays that no checkpoint names");
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
