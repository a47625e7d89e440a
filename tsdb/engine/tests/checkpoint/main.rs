//! A start that begins at a checkpoint knows what one that reads all of the log knows, wherever either was cut short;
//! a checkpoint that is damaged, missing or out of date costs a longer start and nothing else.

#[path = "../common/mod.rs"]
mod common;
mod cuts;
mod damage;
mod due;

use std::sync::Arc;

use common::{
    HOUR, Model, config, float_batch, histogram_batch, histogram_bits, labels, open, read_all,
};
use swell_engine::{Config, Db, WalSync};
use swell_env::{Dir as _, MemDir, read_whole};
use swell_model::{
    Exemplar, ExemplarSample, Labels, MetricDescription, MetricMetadata, SampleSink, TimeRange,
    TimestampMs,
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

/// A disk with a checkpoint and log behind it.
fn build() -> (MemDir, Model) {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(WalSync::Never)).expect("opens");
    let mut model = Model::new();
    work(&db, 0..28, &mut model);
    drop(db);
    (disk, model)
}
