//! Power cuts and kills at every operation on the disk: what was acknowledged is there, as a whole, once.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{HOUR, Model, append, config, labels, open, read_all};
use swell_engine::{Db, WalSync};
use swell_env::{Fault, FaultDir, MemDir};
use swell_model::TimestampMs;

/// Half an hour between batches: 27 hours take few operations and see flushes, a merge and log segments deleted.
const STEP_MS: i64 = HOUR / 2;
const BATCHES: i64 = 54;

fn samples(batch: i64) -> Vec<(usize, f64)> {
    let value = f64::from(i32::try_from(batch).expect("few"));
    // Series 3 stops early, series 4 comes late.
    let lives = |nr: usize| (nr != 3 || batch < 10) && (nr != 4 || batch > 20);
    (0..5)
        .filter(|nr| lives(*nr))
        .map(|nr| (nr, value * 1.5 + f64::from(u8::try_from(nr).expect("few"))))
        .collect()
}

fn add(model: &mut Model, batch: i64) {
    for (nr, value) in samples(batch) {
        model.entry(labels(nr)).or_default().insert(batch * STEP_MS, value.to_bits());
    }
}

fn model_of(batches: i64) -> Model {
    let mut model = Model::new();
    (0..batches).for_each(|batch| add(&mut model, batch));
    model
}

/// Appends until something fails; gives the number of acknowledged batches.
fn work(db: &Db) -> i64 {
    for batch in 0..BATCHES {
        if append(db, batch * STEP_MS, &samples(batch)).is_err() {
            return batch;
        }
        if batch % 3 == 2 && db.maintain(TimestampMs(batch * STEP_MS)).is_err() {
            return batch + 1;
        }
    }
    BATCHES
}

/// Runs the workload with every operation from number `op` on failing; gives the disk and what was acknowledged.
fn run_until(op: u64, sync: WalSync) -> (FaultDir, i64) {
    let dir = FaultDir::new();
    dir.fail(op, u64::MAX, Fault::Io);
    let acknowledged = match open(Arc::new(dir.clone()), config(sync)) {
        Ok(db) => work(&db),
        Err(_) => 0,
    };
    (dir, acknowledged)
}

fn op_count(sync: WalSync) -> u64 {
    let (dir, acknowledged) = run_until(u64::MAX, sync);
    assert_eq!(acknowledged, BATCHES);
    dir.op_count()
}

/// What is on the disk is all that was acknowledged, and perhaps the batch after it.
fn check(disk: MemDir, acknowledged: i64, what: &str) {
    let db = open(Arc::new(disk), config(WalSync::Always)).expect(what);
    let found = read_all(&db);
    let expected = model_of(acknowledged);
    if found != expected {
        assert_eq!(found, model_of(acknowledged + 1), "{what}");
    }
    assert_eq!(db.status().damage, [], "{what}");
}

#[test]
fn an_acknowledged_batch_survives_a_power_cut_at_every_operation() {
    let total = op_count(WalSync::Always);
    assert!(total > 200, "{total} operations");
    for op in 0..total {
        let (dir, acknowledged) = run_until(op, WalSync::Always);
        for seed in 0..3 {
            let disk = dir.disk().after_power_cut(op * 31 + seed);
            check(disk, acknowledged, &format!("power cut at operation {op}, seed {seed}"));
        }
    }
}

#[test]
fn an_acknowledged_batch_survives_a_kill_at_every_operation_in_every_mode() {
    for sync in [WalSync::Always, WalSync::Never] {
        for op in 0..op_count(sync) {
            let (dir, acknowledged) = run_until(op, sync);
            check(
                dir.disk().after_kill(),
                acknowledged,
                &format!("{sync:?}, killed at operation {op}"),
            );
        }
    }
}

#[test]
fn without_sync_a_power_cut_takes_the_newest_batches_and_no_others() {
    let mut lost_some = false;
    for op in (0..op_count(WalSync::Never)).step_by(3) {
        let (dir, acknowledged) = run_until(op, WalSync::Never);
        for seed in 0..4 {
            let disk = dir.disk().after_power_cut(op * 17 + seed);
            let db = open(Arc::new(disk), config(WalSync::Never)).expect("opens");
            let found = read_all(&db);
            let kept = (0..=acknowledged + 1).find(|batches| model_of(*batches) == found);
            let kept =
                kept.unwrap_or_else(|| panic!("operation {op}, seed {seed}: holes in {found:?}"));
            lost_some |= kept < acknowledged;
            assert_eq!(db.status().damage, []);
        }
    }
    assert!(lost_some, "the fault model took something");
}

#[test]
fn recovery_may_be_cut_at_every_operation_too() {
    for op in (5..op_count(WalSync::Always)).step_by(11) {
        let (dir, acknowledged) = run_until(op, WalSync::Always);
        let image = dir.disk().after_power_cut(op);
        let mut recovery_op = 0;
        loop {
            let again = FaultDir::over(image.after_kill());
            again.fail(recovery_op, u64::MAX, Fault::Io);
            let finished = open(Arc::new(again.clone()), config(WalSync::Always)).is_ok();
            let what = format!("cut at {op}, recovery at {recovery_op}");
            check(again.disk().after_power_cut(op + recovery_op), acknowledged, &what);
            if finished && again.op_count() <= recovery_op {
                break;
            }
            recovery_op += 1;
        }
    }
}

#[test]
fn an_explicit_sync_makes_everything_durable() {
    let dir = FaultDir::new();
    let db = open(Arc::new(dir.clone()), config(WalSync::Never)).expect("opens");
    for batch in 0..5 {
        append(&db, batch * STEP_MS, &samples(batch)).expect("appends");
    }
    db.sync().expect("syncs");
    for seed in 0..20 {
        check(dir.disk().after_power_cut(seed), 5, "after a sync");
    }
    append(&db, 5 * STEP_MS, &samples(5)).expect("appends");
    db.close().expect("closes");
    for seed in 0..20 {
        check(dir.disk().after_power_cut(seed), 6, "after closing");
    }
}
