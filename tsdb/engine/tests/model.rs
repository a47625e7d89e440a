//! The database answers as a plain map does, whatever is appended, flushed, merged and reopened in between.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{
    HOUR, Model, config, float_batch, histogram_batch, histogram_bits, labels, open, read, read_all,
};
use proptest::prelude::*;
use swell_engine::{Config, Db, WalSync};
use swell_env::MemDir;
use swell_model::{
    AppendReport, DurationMs, MatchOp, Matcher, SampleSink, SelectHints, SeriesSource, TimeRange,
    TimestampMs, stale_nan,
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

/// Samples of the model that are histograms: see `histogram_bits`.
const fn is_histogram(bits: u64) -> bool {
    bits & 0xffff_ffff == 0xdead_beef
}

/// Which of two samples of one time counts: the documented rule.
fn winner(a: u64, b: u64) -> u64 {
    let key = |bits: u64| {
        let histogram = is_histogram(bits);
        let value = f64::from_bits(if histogram { bits ^ 0xdead_beef } else { bits });
        (histogram, !value.is_nan(), value)
    };
    let (a_key, b_key) = (key(a), key(b));
    let order = (a_key.0, a_key.1).cmp(&(b_key.0, b_key.1));
    if order.then_with(|| a_key.2.total_cmp(&b_key.2)).is_ge() { a } else { b }
}

/// The database as it should be.
#[derive(Default)]
struct Expected {
    model: Model,
    /// Newest time of each series that came in order.
    last: BTreeMap<usize, i64>,
    newest: Option<i64>,
    window: i64,
}

impl Expected {
    /// Applies the rules of an append; gives whether the sample is taken. `floor` is the first time that is not in
    /// blocks.
    fn offer(&mut self, nr: usize, at: i64, bits: u64, floor: Option<i64>) -> bool {
        let last = self.last.get(&nr).copied();
        let is_in_head = floor.is_none_or(|floor| at >= floor);
        let in_order = is_in_head && last.is_none_or(|last| at > last);
        let in_window =
            self.window > 0 && self.newest.is_some_and(|newest| at >= newest - self.window);
        let same_time = last == Some(at);
        if in_order {
            self.last.insert(nr, at);
        }
        if !(in_order || in_window || same_time) {
            return false;
        }
        let known = self.model.get(&labels(nr)).and_then(|samples| samples.get(&at)).copied();
        if in_order || in_window || is_in_head {
            let kept = known.map_or(bits, |known| winner(known, bits));
            store(&mut self.model, nr, at, kept);
            self.newest = self.newest.max(Some(at));
            return true;
        }
        // A repeat of the newest sample is none of the sender's faults, however old.
        known == Some(bits)
    }
}

fn store(model: &mut Model, nr: usize, at: i64, bits: u64) {
    model.entry(labels(nr)).or_default().insert(at, bits);
}

fn check_report(got: AppendReport, taken: usize, offered: usize) {
    let accepted = got.stored + got.duplicates + got.conflicts;
    assert!(accepted >= taken, "{got:?}, {taken} of {offered}");
    assert_eq!(accepted + got.out_of_order + got.too_old, offered, "{got:?}");
    assert_eq!(got.dropped() > 0, got.example.is_some());
}

fn run(steps: &[Step], window: i64) {
    let settings = || Config { out_of_order_window: DurationMs(window), ..config(WalSync::Never) };
    let disk = MemDir::new();
    let mut db = open(Arc::new(disk.clone()), settings()).expect("opens");
    let mut expected = Expected { window, ..Expected::default() };
    let mut now = 0;
    for step in steps {
        let floor = db.head_floor().map(|floor| floor.0);
        match step {
            Step::Floats(span, samples) => {
                now += span;
                let batch = float_batch(&db, now, samples).expect("resolves");
                let taken = samples
                    .iter()
                    .filter(|(nr, value)| expected.offer(*nr, now, value.to_bits(), floor))
                    .count();
                check_report(db.append(&batch).expect("appends"), taken, samples.len());
            }
            Step::Late(back, nr, value) => {
                let at = now - back;
                let batch = float_batch(&db, at, &[(*nr, *value)]).expect("resolves");
                let taken = expected.offer(*nr, at, value.to_bits(), floor);
                check_report(db.append(&batch).expect("appends"), usize::from(taken), 1);
            }
            Step::Histograms(span, samples) => {
                now += span;
                let batch = histogram_batch(&db, now, samples).expect("resolves");
                let taken = samples
                    .iter()
                    .filter(|(nr, count)| expected.offer(*nr, now, histogram_bits(*count), floor))
                    .count();
                check_report(db.append(&batch).expect("appends"), taken, samples.len());
            }
            Step::Maintain => drop(db.maintain(TimestampMs(now)).expect("maintains")),
            Step::Reopen => {
                drop(db);
                db = open(Arc::new(disk.clone()), settings()).expect("reopens");
            }
            Step::Check { from, to, metric } => {
                check_window(&db, &expected.model, *from, *to, *metric);
            }
        }
    }
    let model = expected.model;
    assert_eq!(read_all(&db), model);
    db.maintain(TimestampMs(now)).expect("maintains");
    assert_eq!(read_all(&db), model, "after maintenance");
    drop(db);
    let db = open(Arc::new(disk), settings()).expect("reopens");
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
        run(&steps, HOUR);
    }

    #[test]
    fn late_samples_of_days_are_merged_into_blocks(steps in prop::collection::vec(any_step(), 1..120)) {
        run(&steps, 30 * HOUR);
    }

    #[test]
    fn without_a_window_late_samples_are_refused(steps in prop::collection::vec(any_step(), 1..80)) {
        run(&steps, 0);
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
