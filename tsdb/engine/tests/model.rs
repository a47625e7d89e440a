//! The database answers as a plain map does, whatever is appended, flushed, merged and reopened in between.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{
    HOUR, Model, config, float_batch, histogram_batch, histogram_bits, labels, open, read, read_all,
};
use proptest::prelude::*;
use swell_engine::{Db, WalSync};
use swell_env::MemDir;
use swell_model::{
    AppendReport, MatchOp, Matcher, SampleSink, SelectHints, SeriesSource, TimeRange, TimestampMs,
    stale_nan,
};

#[derive(Clone, Debug)]
enum Step {
    /// Time since the last batch, and samples.
    Floats(i64, Vec<(usize, f64)>),
    Histograms(i64, Vec<(usize, f64)>),
    /// A row that may lie before what is there.
    Late(i64, usize, f64),
    Maintain,
    Reopen,
    Check {
        from: i64,
        to: i64,
        metric: usize,
    },
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0i32..1000).prop_map(f64::from),
        4 => Just(1.0),
        2 => (0i32..100_000).prop_map(|v| f64::from(v) / 100.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(stale_nan()),
        1 => Just(-0.0),
    ]
}

fn any_samples() -> impl Strategy<Value = Vec<(usize, f64)>> {
    prop::collection::btree_map(0usize..12, any_value(), 1..12)
        .prop_map(|samples| samples.into_iter().collect())
}

fn any_span() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1i64..30_000, 3 => Just(15_000), 2 => 0..3 * HOUR, 1 => 0..30 * HOUR]
}

fn any_step() -> impl Strategy<Value = Step> {
    let counts = prop::collection::btree_map(8usize..14, (0i32..500).prop_map(f64::from), 1..4)
        .prop_map(|samples| samples.into_iter().collect());
    prop_oneof![
        12 => (any_span(), any_samples()).prop_map(|(span, samples)| Step::Floats(span, samples)),
        3 => (any_span(), counts).prop_map(|(span, samples)| Step::Histograms(span, samples)),
        3 => (0..4 * HOUR, 0usize..12, any_value()).prop_map(|(back, nr, value)| Step::Late(back, nr, value)),
        2 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
        2 => (0..60 * HOUR, 0..20 * HOUR, 0usize..3)
            .prop_map(|(from, span, metric)| Step::Check { from, to: from + span, metric }),
    ]
}

/// What the rules of an append say of one sample; `floor` is the first time the head takes.
fn judge(
    model: &Model,
    nr: usize,
    at: i64,
    bits: u64,
    floor: Option<i64>,
    report: &mut AppendReport,
) -> bool {
    let last = model.get(&labels(nr)).and_then(|samples| samples.last_key_value());
    match last {
        Some((last_at, last_bits)) if at <= *last_at => {
            if at == *last_at && bits == *last_bits {
                report.duplicates += 1;
            } else {
                report.out_of_order += 1;
            }
            false
        }
        _ if floor.is_some_and(|floor| at < floor) => {
            report.too_old += 1;
            false
        }
        _ => {
            report.stored += 1;
            true
        }
    }
}

/// The rules again, but the head may have forgotten a series whose samples are all before the floor.
fn check_report(got: AppendReport, expected: AppendReport) {
    assert_eq!(got.stored, expected.stored);
    let dropped = |report: AppendReport| report.duplicates + report.out_of_order + report.too_old;
    assert_eq!(dropped(got), dropped(expected));
}

fn store(model: &mut Model, nr: usize, at: i64, bits: u64) {
    model.entry(labels(nr)).or_default().insert(at, bits);
}

fn run(steps: &[Step]) {
    let disk = MemDir::new();
    let mut db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    let mut model = Model::new();
    let mut now = 0;
    for step in steps {
        let floor = db.head_floor().map(|floor| floor.0);
        let mut expected = AppendReport::default();
        match step {
            Step::Floats(span, samples) => {
                now += span;
                let batch = float_batch(&db, now, samples).expect("resolves");
                for (nr, value) in samples {
                    if judge(&model, *nr, now, value.to_bits(), floor, &mut expected) {
                        store(&mut model, *nr, now, value.to_bits());
                    }
                }
                check_report(db.append(&batch).expect("appends"), expected);
            }
            Step::Late(back, nr, value) => {
                let at = now - back;
                let batch = float_batch(&db, at, &[(*nr, *value)]).expect("resolves");
                if judge(&model, *nr, at, value.to_bits(), floor, &mut expected) {
                    store(&mut model, *nr, at, value.to_bits());
                }
                check_report(db.append(&batch).expect("appends"), expected);
            }
            Step::Histograms(span, samples) => {
                now += span;
                let batch = histogram_batch(&db, now, samples).expect("resolves");
                for (nr, count) in samples {
                    let bits = histogram_bits(*count);
                    if judge(&model, *nr, now, bits, floor, &mut expected) {
                        store(&mut model, *nr, now, bits);
                    }
                }
                check_report(db.append(&batch).expect("appends"), expected);
            }
            Step::Maintain => drop(db.maintain(TimestampMs(now)).expect("maintains")),
            Step::Reopen => {
                drop(db);
                db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("reopens");
            }
            Step::Check { from, to, metric } => check_window(&db, &model, *from, *to, *metric),
        }
    }
    assert_eq!(read_all(&db), model);
    db.maintain(TimestampMs(now)).expect("maintains");
    assert_eq!(read_all(&db), model, "after maintenance");
    drop(db);
    let db = open(Arc::new(disk), config(WalSync::Never)).expect("reopens");
    assert_eq!(read_all(&db), model, "after reopening");
    let sample_count: usize = model.values().map(BTreeMap::len).sum();
    let status = db.status();
    assert_eq!(status.damage, []);
    assert!(status.head.sample_count + status.blocks.sample_count >= sample_count as u64);
    check_labels(&db, &model);
}

fn check_window(db: &Db, model: &Model, from: i64, to: i64, metric: usize) {
    let range = TimeRange { start_incl: TimestampMs(from), end_incl: TimestampMs(to) };
    let name = format!("metric_{metric}");
    let matcher = Matcher::equal("__name__", &name);
    let mut expected = Model::new();
    for (labels, samples) in model {
        let inside: BTreeMap<i64, u64> =
            samples.range(from..=to).map(|(at, v)| (*at, *v)).collect();
        if !inside.is_empty() && labels.metric_name() == Some(&name) {
            expected.insert(labels.clone(), inside);
        }
    }
    assert_eq!(read(db, &[matcher], range).expect("readable"), expected);
}

fn check_labels(db: &Db, model: &Model) {
    let names = db.label_names(&[], TimeRange::ALL).expect("readable");
    assert_eq!(names.is_empty(), model.is_empty());
    let pods: std::collections::BTreeSet<&str> =
        model.keys().filter_map(|l| l.get("pod")).collect();
    let known = db.label_values("pod", &[], TimeRange::ALL).expect("readable");
    assert!(pods.iter().all(|pod| known.iter().any(|value| value == pod)));
    let matcher = Matcher::new("pod", MatchOp::Regex, "pod-1.*").expect("valid");
    let hints = SelectHints { labels_only: true, ..SelectHints::range(TimeRange::ALL) };
    let matched: std::collections::BTreeSet<String> = db
        .select(std::slice::from_ref(&matcher), &hints)
        .expect("readable")
        .map(|series| series.expect("readable").labels.get("pod").expect("has it").to_owned())
        .collect();
    let expected: std::collections::BTreeSet<String> =
        pods.iter().filter(|pod| pod.starts_with("pod-1")).map(|pod| (*pod).to_owned()).collect();
    assert_eq!(matched, expected);
    let values = db.label_values("pod", &[matcher], TimeRange::ALL).expect("readable");
    assert!(expected.iter().all(|pod| values.contains(pod)));
    let two = SelectHints { limit: 2, ..SelectHints::range(TimeRange::ALL) };
    let limited = db.select(&[], &two).expect("readable").count();
    assert_eq!(limited, model.len().min(2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn the_database_is_a_map(steps in prop::collection::vec(any_step(), 1..120)) {
        run(&steps);
    }
}

#[test]
fn two_days_of_a_target_are_flushed_and_merged() {
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    let mut model = Model::new();
    let step_ms = 30_000;
    let count = 50 * HOUR / step_ms;
    for i in 0..count {
        let at = i * step_ms;
        let samples: Vec<(usize, f64)> = (0..20)
            .map(|nr| {
                let i = f64::from(i32::try_from(i).expect("few"));
                (nr, if nr % 2 == 0 { 5.0 } else { i * f64::from(u8::try_from(nr).expect("few")) })
            })
            .collect();
        common::append(&db, at, &samples).expect("appends");
        for (nr, value) in samples {
            store(&mut model, nr, at, value.to_bits());
        }
        if i % 100 == 0 {
            db.maintain(TimestampMs(at)).expect("maintains");
        }
    }
    let status = db.status();
    assert!(status.blocks.block_count <= 14, "{} blocks", status.blocks.block_count);
    assert!(status.wal.segment_count <= 5, "{} log segments", status.wal.segment_count);
    assert!(status.bytes_per_sample < 0.25, "{} bytes per sample", status.bytes_per_sample);
    assert_eq!(status.head.series_count, 20);
    assert_eq!(read_all(&db), model);
    drop(db);
    let db = open(Arc::new(disk), config(WalSync::Never)).expect("reopens");
    assert_eq!(read_all(&db), model);
}

#[test]
fn many_series_fill_groups_and_frames() {
    const SERIES: usize = 400;
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    let mut model = Model::new();
    let mut choices = common::Choices(5);
    for step in 0..100 {
        let at = step * HOUR / 20;
        // Every third series is noise, so that bodies fill many frames.
        let samples: Vec<(usize, f64)> = (0..SERIES)
            .map(|nr| (nr, if nr % 3 == 0 { f64::from_bits(choices.next() >> 2) } else { 1.0 }))
            .collect();
        common::append(&db, at, &samples).expect("appends");
        for (nr, value) in samples {
            store(&mut model, nr, at, value.to_bits());
        }
    }
    db.maintain(TimestampMs(0)).expect("flushes");
    assert!(db.status().blocks.bytes > 40_000, "several frames");
    assert_eq!(read_all(&db), model);
    for nr in (0..SERIES).step_by(7) {
        let one = [Matcher::equal("pod", format!("pod-{nr}"))];
        let found = read(&db, &one, TimeRange::ALL).expect("readable");
        assert_eq!(found.get(&labels(nr)), model.get(&labels(nr)));
        assert_eq!(found.len(), 1);
    }
    let some = [Matcher::new("pod", MatchOp::Regex, "pod-.*[05]").expect("valid")];
    let found = read(&db, &some, TimeRange::ALL).expect("readable");
    let expected: Model = model
        .iter()
        .filter(|(labels, _)| some[0].matches(labels.get("pod").unwrap_or_default()))
        .map(|(labels, samples)| (labels.clone(), samples.clone()))
        .collect();
    assert_eq!(found, expected);
}
