//! What a hint allows to be left out is never missed: a reader that asks for newest samples, in groups or one by one,
//! or in parts that are read side by side, gets what a reader of everything finds.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;
#[path = "common/plain.rs"]
mod plain;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{HOUR, config, float_batch, histogram_batch, open};
use plain::Plain;
use proptest::prelude::*;
use swell_engine::{Db, WalSync};
use swell_env::MemDir;
use swell_model::{
    DurationMs, Grouping, Labels, Matcher, SampleSink, SelectHints, SeriesData, SeriesSource,
    TimeRange, TimestampMs, is_stale_nan, stale_nan,
};
use swell_promql::{Budget, EvalParams, Workers, evaluate};
use swell_promql_syntax::parse;

#[derive(Clone, Debug)]
enum Step {
    /// Time since the last batch, and samples.
    Floats(i64, Vec<(usize, f64)>),
    Histograms(i64, Vec<(usize, f64)>),
    /// How long before now, and samples: taken or refused, the answers agree.
    Late(i64, Vec<(usize, f64)>),
    Maintain,
    Reopen,
    /// How far back from now.
    Look(i64),
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0i32..1000).prop_map(f64::from),
        4 => (0i32..100_000).prop_map(|v| f64::from(v) / 100.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        2 => Just(stale_nan()),
        1 => Just(f64::from_bits(0x7ff0_0000_0000_0003)),
        1 => Just(-0.0),
        1 => Just(0.0),
    ]
}

fn any_step(with_histograms: bool) -> impl Strategy<Value = Step> {
    let span = prop_oneof![8 => 1i64..30_000, 4 => Just(15_000), 1 => 0..3 * HOUR];
    let floats = || {
        prop::collection::btree_map(0usize..12, any_value(), 1..12)
            .prop_map(|samples| samples.into_iter().collect())
    };
    let counts = prop::collection::btree_map(8usize..14, (0i32..500).prop_map(f64::from), 1..4)
        .prop_map(|samples| samples.into_iter().collect());
    let back = prop_oneof![4 => Just(0), 4 => 0i64..60_000, 2 => 0..5 * HOUR];
    prop_oneof![
        12 => (span.clone(), floats()).prop_map(|(span, samples)| Step::Floats(span, samples)),
        3 => (0i64..4 * HOUR, floats()).prop_map(|(back, samples)| Step::Late(back, samples)),
        u32::from(with_histograms) =>
            (span, counts).prop_map(|(span, samples)| Step::Histograms(span, samples)),
        1 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
        4 => back.prop_map(Step::Look),
    ]
}

/// The same storage without its quicker ways.
fn plain(db: &Db) -> Plain<'_> {
    Plain { db, hints: |hints| SelectHints { newest_only: false, ..*hints } }
}

/// Time and value of the newest sample, as text; a histogram is known by its count.
fn newest(data: &SeriesData) -> (i64, String) {
    let float = data.floats.timestamps.last().map(|at| {
        let value = data.floats.values.last().expect("columns of one length");
        (*at, format!("{:x}", value.to_bits()))
    });
    let histogram = data.histograms.timestamps.last().map(|at| {
        let value = data.histograms.values.last().expect("columns of one length");
        (*at, format!("histogram {}", value.count))
    });
    float.into_iter().chain(histogram).max().expect("series without samples are not selected")
}

fn by_labels(
    db: &Db,
    matchers: &[Matcher],
    hints: &SelectHints,
) -> BTreeMap<Labels, (i64, String)> {
    let mut found = BTreeMap::new();
    for series in db.select(matchers, hints).expect("selects") {
        let series = series.expect("sound data is readable");
        assert!(found.insert(series.labels.clone(), newest(&series)).is_none());
    }
    found
}

const QUERIES: [&str; 12] = [
    "metric_1",
    "sum(metric_1)",
    "sum by (pod) (metric_0)",
    "avg by (pod, nothing) (metric_2)",
    "avg(metric_1)",
    "min without (pod) (metric_2)",
    r#"max by (__name__) ({__name__=~"metric.*"})"#,
    r#"count by (__name__) ({__name__=~".+"})"#,
    r#"group by (nothing) ({pod=~"pod-1.*"})"#,
    "sum(metric_0) / count(metric_0)",
    "stddev(metric_1) + on () topk(1, metric_1)",
    "metric_1 + on (pod) last_over_time(metric_1[5m])",
];

/// Over a range, where each series is folded into its group as soon as it is read.
const RANGE_QUERIES: [&str; 14] = [
    "metric_1",
    "rate(metric_1[1m])",
    "sum by (pod) (rate(metric_0[1m]))",
    "avg(increase(metric_1[5m]))",
    "max without (pod) (delta(metric_2[2m]))",
    "min by (pod) (max_over_time(metric_1[1m]) * 2 - 1)",
    "sum(abs(metric_0) > bool 300)",
    "group by (nothing) (1 - metric_2 < 0)",
    "sum(-stddev_over_time(metric_1[2m]))",
    "sum by (pod) (metric_1 offset 1m)",
    r#"sum(rate({__name__=~"metric_.*"}[1m]))"#,
    "sum(quantile_over_time(0.5, metric_0[2m])) / count(irate(metric_0[2m]))",
    "topk(2, rate(metric_1[1m]))",
    "max_over_time(sum(metric_1)[2m:15s]) + on () count(absent_over_time(metric_2[15s]))",
];

/// Threads for parts of a single series.
#[derive(Debug)]
struct Threads(usize);

impl Workers for Threads {
    fn width(&self) -> usize {
        self.0
    }

    fn series_min(&self) -> usize {
        1
    }

    fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            (0..count).for_each(|idx| drop(scope.spawn(move || work(idx))));
        });
    }
}

/// However many work on a query, and whichever ways the storage has, the answer is the same to the last bit.
fn range_queries(db: &Db, at: i64) {
    let (start, end) = (TimestampMs(at - 240_000), TimestampMs(at));
    let params = EvalParams::range(start, end, DurationMs(20_000));
    for query in RANGE_QUERIES {
        let expr = parse(query).expect("parses");
        let answer = |source: &dyn SeriesSource, workers: usize| {
            let budget = Budget { workers: Arc::new(Threads(workers)), ..Budget::default() };
            let answer = evaluate(&expr, source, &params, &budget);
            answer.map(|it| format!("{:?} {:?} {:?}", it.value, it.warnings, it.infos)).ok()
        };
        let expected = answer(&plain(db), 1);
        for workers in [1, 2, 8] {
            assert_eq!(answer(db, workers), expected, "{query} at {at} by {workers}");
        }
    }
}

fn look(db: &Db, at: i64) {
    range_queries(db, at);
    let matchers = [Matcher::equal("__name__", "metric_1")];
    for span in [1, 15_000, 300_000, 4 * HOUR] {
        let range = TimeRange { start_incl: TimestampMs(at - span + 1), end_incl: TimestampMs(at) };
        let all = by_labels(db, &matchers, &SelectHints::range(range));
        assert_eq!(by_labels(db, &matchers, &SelectHints::newest(range)), all);
        grouped(db, &matchers, range);
        grouped(db, &[], range);
    }
    let params = EvalParams::instant(TimestampMs(at));
    for query in QUERIES {
        let expr = parse(query).expect("parses");
        // Text, since a NaN is not equal to itself. What was held on the way may differ.
        let answer = |source: &dyn SeriesSource| {
            let answer = evaluate(&expr, source, &params, &Budget::default());
            answer.map(|it| format!("{:?} {:?} {:?}", it.value, it.warnings, it.infos))
        };
        assert_eq!(answer(db).ok(), answer(&plain(db)).ok(), "{query} at {at}");
    }
}

/// What the groups hold is what the series hold.
fn grouped(db: &Db, matchers: &[Matcher], range: TimeRange) {
    let all = by_labels(db, matchers, &SelectHints::range(range));
    for (names, without) in [(&["pod"][..], false), (&["pod"], true), (&[], false)] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let grouping = Grouping { names: &names, without };
        let Some(found) = db.newest_grouped(matchers, range, grouping).expect("readable") else {
            continue;
        };
        assert_eq!(found.series_count, all.len());
        let mut expected: BTreeMap<Labels, Vec<String>> = BTreeMap::new();
        for (labels, (_, value)) in &all {
            if *value != format!("{:x}", stale_nan().to_bits()) {
                let group = labels.filtered(|name| grouping.keeps(name));
                expected.entry(group).or_default().push(value.clone());
            }
        }
        let mut got: BTreeMap<Labels, Vec<String>> = BTreeMap::new();
        for (group, value) in &found.samples {
            assert!(!is_stale_nan(*value));
            let group = &found.groups[*group as usize];
            got.entry(group.clone()).or_default().push(format!("{:x}", value.to_bits()));
        }
        expected.values_mut().chain(got.values_mut()).for_each(|values| values.sort());
        assert_eq!(got, expected);
        let distinct: std::collections::BTreeSet<&Labels> = found.groups.iter().collect();
        assert_eq!(distinct.len(), found.groups.len(), "each group once");
    }
}

fn run(steps: &[Step]) {
    let disk = MemDir::new();
    let mut db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("opens");
    let mut now = 24 * HOUR;
    for step in steps {
        match step {
            Step::Floats(span, samples) => {
                now += span;
                let batch = float_batch(&db, now, samples).expect("resolves");
                db.append(&batch).expect("appends");
            }
            Step::Histograms(span, samples) => {
                now += span;
                let batch = histogram_batch(&db, now, samples).expect("resolves");
                db.append(&batch).expect("appends");
            }
            Step::Late(back, samples) => {
                let batch = float_batch(&db, now - back, samples).expect("resolves");
                db.append(&batch).expect("appends or counts");
            }
            Step::Maintain => drop(db.maintain(TimestampMs(now)).expect("maintains")),
            Step::Reopen => {
                drop(db);
                db = open(Arc::new(disk.clone()), config(WalSync::Never)).expect("reopens");
            }
            Step::Look(back) => look(&db, now - back),
        }
    }
    look(&db, now);
    look(&db, now + 60_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn hinted_reads_of_floats_answer_as_others(steps in prop::collection::vec(any_step(false), 1..60)) {
        run(&steps);
    }

    #[test]
    fn hinted_reads_of_everything_answer_as_others(steps in prop::collection::vec(any_step(true), 1..60)) {
        run(&steps);
    }
}

#[test]
fn floats_in_memory_are_grouped_without_reading_columns() {
    let db = open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opens");
    for row in 0..10 {
        common::append(&db, row * 1000, &[(0, 1.0), (3, 2.0), (6, stale_nan())]).expect("appends");
    }
    let matchers = [Matcher::equal("__name__", "metric_0")];
    let range =
        |start, end| TimeRange { start_incl: TimestampMs(start), end_incl: TimestampMs(end) };
    let all = Grouping { names: &[], without: false };
    for (start, end, expected) in
        [(0, 9000, 3), (9000, 20_000, 3), (0, 4500, 3), (9001, 20_000, 0), (-10, -1, 0)]
    {
        let found = db.newest_grouped(&matchers, range(start, end), all).expect("readable");
        let found = found.expect("nothing is in blocks");
        assert_eq!(found.series_count, expected, "{start}..={end}");
        assert_eq!(found.samples.len(), if expected == 0 { 0 } else { 2 });
    }
}

#[test]
fn a_query_holds_no_more_than_its_limit_however_many_work_on_it() {
    let db = open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opens");
    for row in 0..100 {
        let value = f64::from(row);
        let samples: Vec<(usize, f64)> = (0..12).map(|nr| (nr, value)).collect();
        common::append(&db, i64::from(row) * 1000, &samples).expect("appends");
    }
    let params =
        EvalParams::range(TimestampMs(50_000), TimestampMs(99_000), DurationMs::from_secs(1));
    // Four series of 50 steps each, of some 110 samples; folded, one of them at a time and 50 steps.
    for (query, samples_max, is_answered) in [
        ("rate(metric_0[1m])", 350, true),
        ("rate(metric_0[1m])", 190, false),
        ("sum(rate(metric_0[1m]))", 190, true),
        ("sum(rate(metric_0[1m]))", 90, false),
    ] {
        let expr = parse(query).expect("parses");
        for workers in [1, 2, 8] {
            let workers: Arc<dyn Workers> = Arc::new(Threads(workers));
            let budget = Budget { samples_max, workers, ..Budget::default() };
            let answer = evaluate(&expr, &db, &params, &budget).map(|output| output.stats);
            let refusal = answer.as_ref().err().map(ToString::to_string);
            let expected =
                "query processing would load too many samples into memory in query execution";
            assert_eq!(
                refusal.as_deref(),
                (!is_answered).then_some(expected),
                "{query} {answer:?}"
            );
            assert!(answer.is_err() || answer.expect("just seen").samples_peak <= samples_max);
        }
    }
}
