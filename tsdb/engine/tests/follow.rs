//! Who follows the log meets every batch once and in order, whatever is flushed and deleted meanwhile; what it holds stays.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{HOUR, Model, append, config, histogram_batch, histogram_bits, open};
use proptest::prelude::*;
use swell_engine::{Config, Db, Followed, LogFollower, LogPosition, WalSync};
use swell_env::{Dir, MemDir};
use swell_model::{Labels, SampleSink as _, TimestampMs};

/// What a follower has met: samples by labels and time, with the series of the segment at hand.
#[derive(Default)]
struct Met {
    samples: Model,
    series: BTreeMap<u32, Labels>,
    at: Option<LogPosition>,
    lost: u64,
}

impl Met {
    fn read_on(&mut self, follower: &mut LogFollower) {
        while let Some(met) = follower.read_next().expect("readable") {
            match met {
                Followed::Batch(at, batch) => {
                    assert!(self.at.is_none_or(|before| before < at), "{at:?} after {:?}", self.at);
                    if self.at.is_none_or(|before| before.segment_nr != at.segment_nr) {
                        self.series.clear();
                    }
                    self.at = Some(at);
                    self.series.extend((batch.first_id..).zip(batch.defined));
                    for row in batch.rows {
                        for (series, value) in row.series.iter().zip(row.values) {
                            self.note(*series, row.timestamp, value.to_bits());
                        }
                    }
                    for it in batch.histograms {
                        self.note(it.series, it.timestamp, histogram_bits(it.value.count));
                    }
                }
                Followed::Lost(segments) => self.lost += segments,
                Followed::Damaged { file, bytes } => panic!("{bytes} bytes of {file}"),
            }
        }
    }

    fn note(&mut self, series: u32, at: TimestampMs, bits: u64) {
        let samples = self.samples.entry(self.series[&series].clone()).or_default();
        assert_eq!(samples.insert(at.0, bits), None, "each sample once");
    }
}

fn segments(disk: &MemDir) -> usize {
    disk.list("wal").expect("there").len()
}

/// A sample of one series each half an hour, from the `from`th on.
fn fill(db: &Db, range: std::ops::Range<i64>) {
    for nr in range {
        let value = f64::from(i32::try_from(nr).expect("few"));
        append(db, nr * HOUR / 2, &[(0, value)]).expect("taken");
    }
}

fn maintain(db: &Db) {
    db.maintain(TimestampMs(0)).expect("works");
}

#[test]
fn what_is_held_stays_and_what_is_released_goes() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    let (mut follower, mut met) = (db.follow_log(db.log_end().segment_nr), Met::default());
    fill(&db, 0..40);
    maintain(&db);
    let held = segments(&disk);
    assert!(held >= 10, "{held} segments");
    met.read_on(&mut follower);
    assert_eq!((met.samples[&common::labels(0)].len(), met.lost), (40, 0));
    maintain(&db);
    assert_eq!(segments(&disk), held, "reading alone releases nothing");
    follower.release(follower.segment_nr());
    maintain(&db);
    let needed = segments(&disk);
    assert!(needed < held / 2, "{needed} of {held} segments");
    drop(follower);
    maintain(&db);
    assert_eq!(segments(&disk), needed);
}

#[test]
fn what_lies_beyond_the_limit_is_given_up_and_told() {
    let disk = MemDir::new();
    let settings = Config { held_log_bytes_max: 200, ..config(WalSync::Never) };
    let db = open(Arc::new(disk.clone()), settings).expect("opens");
    let (mut follower, mut met) = (db.follow_log(0), Met::default());
    fill(&db, 0..40);
    maintain(&db);
    met.read_on(&mut follower);
    let samples = &met.samples[&common::labels(0)];
    assert!(met.lost > 5 && samples.len() < 30, "{} lost, {} met", met.lost, samples.len());
    let newest = *samples.keys().next_back().expect("some");
    assert_eq!(newest, 39 * HOUR / 2, "the newest are there");
    assert!(samples.keys().is_sorted_by(|a, b| **b - **a == HOUR / 2), "without a hole");
}

#[test]
fn a_follower_goes_on_after_a_start() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    fill(&db, 0..5);
    let end = db.log_end();
    drop(db);
    let disk = disk.after_kill();
    let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    let (mut follower, mut met) = (db.follow_log(end.segment_nr), Met::default());
    fill(&db, 5..9);
    met.read_on(&mut follower);
    assert_eq!(met.lost, 0);
    let times = met.samples[&common::labels(0)].keys().copied().collect::<Vec<_>>();
    assert!(times.ends_with(&[5, 6, 7, 8].map(|nr| nr * HOUR / 2)), "{times:?}");
    // A place that the log does not have, as after a power cut: what comes from now on is read.
    let mut follower = db.follow_log(9999);
    let mut met = Met::default();
    fill(&db, 9..10);
    met.read_on(&mut follower);
    assert_eq!(met.lost, 0);
    assert!(met.samples[&common::labels(0)].contains_key(&(9 * HOUR / 2)));
}

#[derive(Clone, Debug)]
enum Step {
    Floats(i64, Vec<(usize, f64)>),
    Histograms(i64, Vec<(usize, f64)>),
    Read,
    Maintain,
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    let samples = || {
        prop::collection::btree_map(0usize..5, (0i32..9).prop_map(f64::from), 1..5)
            .prop_map(|samples| samples.into_iter().collect::<Vec<_>>())
    };
    prop_oneof![
        6 => (1..HOUR, samples()).prop_map(|(span, samples)| Step::Floats(span, samples)),
        2 => (1..HOUR, samples()).prop_map(|(span, samples)| Step::Histograms(span, samples)),
        3 => Just(Step::Read),
        2 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn every_batch_is_met_once_and_in_order(steps in prop::collection::vec(any_step(), 1..40)) {
        let mut disk = MemDir::new();
        let mut db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
        let (mut follower, mut met) = (db.follow_log(0), Met::default());
        let (mut expected, mut at) = (Model::new(), 0);
        for step in steps {
            match step {
                Step::Floats(span, samples) => {
                    at += span;
                    append(&db, at, &samples).expect("taken");
                    for (nr, value) in samples {
                        let series = expected.entry(common::labels(nr)).or_default();
                        series.insert(at, value.to_bits());
                    }
                }
                Step::Histograms(span, samples) => {
                    at += span;
                    let batch = histogram_batch(&db, at, &samples).expect("resolves");
                    db.append(&batch).expect("taken");
                    for (nr, count) in samples {
                        let series = expected.entry(common::labels(nr)).or_default();
                        series.insert(at, histogram_bits(count));
                    }
                }
                Step::Read => {
                    met.read_on(&mut follower);
                    prop_assert_eq!(&met.samples, &expected);
                    follower.release(follower.segment_nr());
                }
                Step::Maintain => maintain(&db),
                Step::Reopen => {
                    // What was met is not met again: who follows remembers its place.
                    met.read_on(&mut follower);
                    drop(follower);
                    drop(db);
                    disk = disk.after_kill();
                    db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
                    follower = db.follow_log(db.log_end().segment_nr);
                }
            }
        }
        met.read_on(&mut follower);
        prop_assert_eq!(&met.samples, &expected);
        prop_assert_eq!(met.lost, 0);
    }
}
