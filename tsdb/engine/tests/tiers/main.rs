//! Aggregates beside samples and after them: what a query gets of them is what the samples gave, or within the bounds
//! that `docs/storage.md` states.

#[expect(dead_code, reason = "each test file uses its part")]
#[path = "../common/mod.rs"]
mod common;
mod histograms;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Choices, HOUR, config, labels, open};
use proptest::prelude::*;
use swell_engine::{Config, Db, Tier, WalSync};
use swell_env::MemDir;
use swell_model::{
    Aggregate, Batch, DurationMs, Labels, Matcher, Row, SampleSink, SelectHints, SeriesSource,
    TimeRange, TimestampMs, by_stretch, is_stale_nan, stale_nan,
};
use swell_promql::testing::{LoadedSample, LoadedSeries, TestStorage, memory_storage};
use swell_promql::{Budget, EvalParams, Features, QueryValue, evaluate};
use swell_promql_syntax::parse;

const DAY: i64 = 24 * HOUR;
const MINUTES: i64 = 60_000;

fn settings(retention_d: i64) -> Config {
    let tier = |resolution_ms: i64, retention_d: i64| Tier {
        resolution: DurationMs(resolution_ms),
        retention: DurationMs(retention_d * DAY),
    };
    Config {
        retention_time: DurationMs(retention_d * DAY),
        tiers: vec![tier(5 * MINUTES, 10), tier(HOUR, 1000)],
        ..config(WalSync::Never)
    }
}

/// Samples by series number and time.
type Samples = BTreeMap<usize, Vec<(i64, f64)>>;

/// A counter that is reset now and then, a gauge with gaps, one that ends, one of fractions, one with odd values.
fn samples(days: i64, step_ms: i64, seed: u64) -> Samples {
    let mut choices = Choices(seed);
    let mut all = Samples::new();
    let mut counter = 0.0;
    for idx in 0..days * DAY / step_ms {
        let number = |bound: u64, choices: &mut Choices| {
            f64::from(u32::try_from(choices.below(bound)).expect("small"))
        };
        // The first is on the grid of stretches now and then, as a recording rule's samples are.
        let at = idx * step_ms;
        let scraped = at + 17 + i64::try_from(choices.below(400)).expect("small");
        counter = if choices.below(500) == 0 { 0.0 } else { counter + number(50, &mut choices) };
        all.entry(0).or_default().push((at, counter));
        if idx / 300 % 3 != 1 {
            all.entry(1).or_default().push((scraped, number(1000, &mut choices)));
        }
        if idx < days * DAY / step_ms / 2 {
            all.entry(2).or_default().push((scraped, number(10, &mut choices)));
        } else if idx == days * DAY / step_ms / 2 {
            all.entry(2).or_default().push((scraped, stale_nan()));
        }
        all.entry(3).or_default().push((scraped, number(100_000, &mut choices) / 1000.0));
        let odd = [f64::NAN, f64::INFINITY, -0.0, stale_nan(), 5.0, 5.0, -3.0];
        let pick = usize::try_from(choices.below(40)).expect("small").min(odd.len() - 1);
        all.entry(4).or_default().push((scraped, odd[pick]));
    }
    all
}

/// Appends row by row in the order of time, and does upkeep every hour.
fn store(db: &Db, samples: &Samples) {
    let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
    for (nr, samples) in samples {
        for (at, value) in samples {
            let row = rows.entry(*at).or_default();
            row.timestamp = TimestampMs(*at);
            row.series.push(db.resolve(&labels(*nr)).expect("resolves"));
            row.values.push(*value);
        }
    }
    let mut hour = 0;
    for (at, mut row) in rows {
        if at / HOUR != hour {
            hour = at / HOUR;
            db.maintain(TimestampMs(at)).expect("maintains");
            // Series that went away in between have another reference.
            let nrs =
                samples.iter().filter(|(_, of)| of.binary_search_by_key(&at, |it| it.0).is_ok());
            row.series = nrs.map(|(nr, _)| db.resolve(&labels(*nr)).expect("resolves")).collect();
        }
        if db.append(&Batch::of_rows(vec![row.clone()])).is_err() {
            let nrs =
                samples.iter().filter(|(_, of)| of.binary_search_by_key(&at, |it| it.0).is_ok());
            row.series = nrs.map(|(nr, _)| db.resolve(&labels(*nr)).expect("resolves")).collect();
            db.append(&Batch::of_rows(vec![row])).expect("appends");
        }
    }
    maintain(db);
}

fn maintain(db: &Db) {
    loop {
        let report = db.maintain(TimestampMs(0)).expect("maintains");
        let done = report.compacted_block_count
            + report.downsampled_block_count
            + report.rewritten_block_count
            + report.retired_block_count;
        if done == 0 {
            break;
        }
    }
}

/// All samples, in a storage without aggregates.
fn plain(samples: &Samples) -> Box<dyn TestStorage> {
    let storage = memory_storage().expect("memory is always there");
    let series = samples.iter().map(|(nr, samples)| LoadedSeries {
        labels: labels(*nr),
        samples: samples
            .iter()
            .map(|(at, value)| LoadedSample {
                timestamp: TimestampMs(*at),
                value: swell_model::SampleValue::Float(*value),
                start_ms: 0,
            })
            .collect(),
    });
    storage.append(&series.collect::<Vec<_>>()).expect("memory takes everything");
    storage
}

/// Values by labels and time.
fn ask(
    source: &dyn SeriesSource,
    query: &str,
    params: &EvalParams,
) -> BTreeMap<(String, i64), f64> {
    let expr = parse(query).expect("parses");
    let features = Features { start_timestamps: false, ..Features::all() };
    let params = EvalParams { features, ..*params };
    let output = evaluate(&expr, source, &params, &Budget::default()).expect("evaluates");
    let QueryValue::Matrix(matrix) = output.value else { panic!("a range query") };
    let points = matrix.iter().flat_map(|series| {
        let labels = series.labels.to_string();
        series.floats.iter().map(move |point| ((labels.clone(), point.timestamp.0), point.value))
    });
    points.collect()
}

fn range(from_ms: i64, to_ms: i64, step_ms: i64) -> EvalParams {
    EvalParams::range(TimestampMs(from_ms), TimestampMs(to_ms), DurationMs(step_ms))
}

const ALL: &str = r#"{__name__=~"metric.*"}"#;

const FUNCTIONS: [&str; 11] = [
    "count_over_time",
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "first_over_time",
    "last_over_time",
    "present_over_time",
    "increase",
    "rate",
    "resets",
];

/// Sums of fractions, and of what lies before resets, are rounded once a stretch.
fn check_same(
    found: &BTreeMap<(String, i64), f64>,
    expected: &BTreeMap<(String, i64), f64>,
    what: &str,
) {
    assert!(!expected.is_empty(), "{what}");
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (key, value) in found {
        let wanted = expected[key];
        let is_same = value.to_bits() == wanted.to_bits()
            || (value.is_nan() && wanted.is_nan())
            || (value - wanted).abs() <= 1e-12 * wanted.abs();
        assert!(is_same, "{what}: {key:?} is {value}, not {wanted}");
    }
}

fn check_aligned(db: &Db, reference: &dyn SeriesSource, from_d: i64, to_d: i64, step_ms: i64) {
    for function in FUNCTIONS {
        for range_ms in [step_ms, 24 * HOUR] {
            let query = format!("{function}({ALL}[{range_ms}ms])");
            let params = range(from_d * DAY + DAY, to_d * DAY, step_ms);
            let what = format!("{query} each {step_ms} ms, days {from_d} to {to_d}");
            check_same(&ask(db, &query, &params), &ask(reference, &query, &params), &what);
        }
    }
}

#[test]
fn windows_that_end_where_stretches_do_have_the_samples_answers() {
    let samples = samples(10, 60_000, 7);
    let reference = plain(&samples);
    // Samples for ever: aggregates are used although samples are there.
    let db = open(Arc::new(MemDir::new()), settings(1000)).expect("opens");
    store(&db, &samples);
    let status = db.status();
    assert_eq!(status.tiers.len(), 2, "{:?}", status.tiers);
    check_aligned(&db, reference.source(), 0, 10, HOUR);
    check_aligned(&db, reference.source(), 4, 10, 5 * MINUTES);
    // Windows that do not fit are answered from samples, exactly.
    let odd = range(DAY + 17, 9 * DAY, 7 * HOUR + 13);
    for function in FUNCTIONS.into_iter().chain(["stddev_over_time", "quantile_over_time"]) {
        let argument = if function == "quantile_over_time" { "0.9, " } else { "" };
        let query = format!("{function}({argument}{ALL}[100m])");
        check_same(&ask(&db, &query, &odd), &ask(reference.source(), &query, &odd), &query);
    }
    // So are plain selectors.
    check_same(&ask(&db, ALL, &odd), &ask(reference.source(), ALL, &odd), "a selector");
}

/// Twenty days, of which samples are left of the last four, stretches of five minutes of the eight before, and of
/// an hour of all.
fn aged(seed: u64) -> (Samples, Db) {
    let samples = samples(20, 2 * MINUTES, seed);
    let db = open(Arc::new(MemDir::new()), settings(3)).expect("opens");
    store(&db, &samples);
    let status = db.status();
    assert_eq!(status.blocks.range.expect("has blocks").start_incl.0, 16 * DAY);
    let from: Vec<i64> = status.tiers.iter().map(|tier| tier.range.start_incl.0).collect();
    assert_eq!(from, [8 * DAY, -HOUR]);
    (samples, db)
}

#[test]
fn aggregates_stand_for_samples_that_are_gone() {
    let (samples, db) = aged(11);
    let reference = plain(&samples);
    check_aligned(&db, reference.source(), 0, 20, HOUR);
    check_aligned(&db, reference.source(), 14, 20, 30 * MINUTES);
    check_aligned(&db, reference.source(), 9, 11, 5 * MINUTES);
}

/// What is known when windows end inside stretches: a stretch counts as a whole.
#[test]
fn windows_that_cut_stretches_are_off_by_one_stretch_at_each_end() {
    let (samples, db) = aged(13);
    let reference = plain(&samples);
    let odd = range(DAY + 17, 5 * DAY, 7 * HOUR + 1_234_567);
    let names = r#"{__name__=~"metric.*",pod=~"pod-0|pod-3"}"#;
    let mut differs = false;
    for (function, bound) in [
        // A window has six hours, of thirty samples each.
        ("count_over_time", 1.0 / 6.0),
        ("increase", 1.0 / 5.0),
        ("rate", 1.0 / 5.0),
        ("sum_over_time", 1.0 / 4.0),
        ("avg_over_time", 1.0 / 4.0),
    ] {
        let query = format!("{function}({names}[6h])");
        let found = ask(&db, &query, &odd);
        let expected = ask(reference.source(), &query, &odd);
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (key, value) in &found {
            let wanted = expected[key];
            assert!((value - wanted).abs() <= bound * wanted, "{query} {key:?}: {value}, {wanted}");
            differs |= value != &wanted;
        }
    }
    assert!(differs, "bounds are of use");
}

#[test]
fn selectors_find_the_newest_sample_of_each_stretch() {
    let (samples, db) = aged(17);
    let of_pod_3: &[(i64, f64)] = &samples[&3];
    // An hour's stretches are left of the second day, five minutes' of the tenth.
    for (day, stretch) in [(1, HOUR), (9, 5 * MINUTES)] {
        for minute in [0, 7, 31, 51] {
            let at = day * DAY + 5 * HOUR + minute * MINUTES + 30_000;
            // Of the stretch that ended last.
            let end = at.div_euclid(stretch) * stretch;
            let idx = of_pod_3.partition_point(|(at, _)| *at <= end);
            let found = ask(&db, r#"{pod="pod-3"}"#, &range(at, at, 1000));
            assert_eq!(found.into_values().collect::<Vec<_>>(), [of_pod_3[idx - 1].1]);
        }
    }
    // The series that ended is not there half a day later.
    let late = 10 * DAY + 14 * HOUR;
    assert_eq!(ask(&db, r#"{pod="pod-2"}"#, &range(late, late, 1000)), BTreeMap::new());
    // Functions that need samples get the newest of each stretch.
    let hourly = range(2 * DAY, 3 * DAY, HOUR);
    let query = r#"quantile_over_time(0.5, {pod="pod-3"}[6h]) >= 0"#;
    assert_eq!(ask(&db, query, &hourly).len(), 25);
    // Readers of samples get samples only.
    let all = SelectHints::range(TimeRange::ALL);
    for series in db.select(&[Matcher::equal("pod", "pod-3")], &all).expect("selects") {
        let series = series.expect("reads");
        assert!(series.floats.timestamps[0] >= 16 * DAY && series.aggregates.is_empty());
    }
    // Names and values of what is only known as aggregates are known.
    let day = TimeRange { start_incl: TimestampMs(DAY), end_incl: TimestampMs(2 * DAY) };
    assert!(db.label_values("pod", &[], day).expect("reads").contains(&"pod-2".to_owned()));
    let hints = SelectHints { labels_only: true, ..SelectHints::range(day) };
    assert_eq!(db.select(&[], &hints).expect("selects").count(), 5);
}

/// All stored aggregates of a resolution.
fn stored(db: &Db, resolution_ms: i64) -> BTreeMap<Labels, Vec<Aggregate>> {
    let all = db.aggregates(DurationMs(resolution_ms)).expect("selects");
    all.map(|series| series.map(|it| (it.labels, it.aggregates)).expect("reads")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn stored_aggregates_are_those_of_the_samples(seed in any::<u64>(), step_ms in 40_000i64..1_200_000, late in any::<bool>()) {
        let samples = samples(3, step_ms, seed);
        let disk = MemDir::new();
        let mut db = open(Arc::new(disk.clone()), settings(1000)).expect("opens");
        store(&db, &samples);
        let mut samples = samples;
        if late {
            // One hour's lateness is taken; it is in the head's window, or beside a block.
            let newest = samples[&0].last().expect("some").0;
            let at = newest - 50 * MINUTES + 1;
            let series = db.resolve(&labels(0)).expect("resolves");
            let row = Row::new(TimestampMs(at), vec![series], vec![77.0]);
            prop_assert_eq!(db.append(&Batch::of_rows(vec![row])).expect("appends").stored, 1);
            samples.entry(0).or_default().push((at, 77.0));
            samples.entry(0).or_default().sort_by_key(|it| it.0);
        }
        db = { drop(db); open(Arc::new(disk), settings(1000)).expect("opens") };
        for resolution_ms in [5 * MINUTES, HOUR] {
            let found = stored(&db, resolution_ms);
            for (nr, samples) in &samples {
                let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
                let mut expected = by_stretch(&times, &values, resolution_ms);
                // Of whole days that cannot change any more.
                let of_series = &found[&labels(*nr)];
                let upto = found[&labels(0)].last().expect("some").last_ms.div_euclid(DAY) * DAY + DAY;
                expected.retain(|it| it.last_ms <= upto.min(2 * DAY));
                expected.iter_mut().for_each(|it| it.sum_lost = 0.0);
                prop_assert_eq!(format!("{of_series:?}"), format!("{expected:?}"));
                prop_assert!(values.iter().all(|value| is_stale_nan(*value)) || !expected.is_empty());
            }
        }
    }
}
