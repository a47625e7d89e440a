//! Native histograms: while they are there they answer, and where they are gone what is kept of each stretch does.

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_engine::Db;
use swell_env::{Dir as _, MemDir, read_whole};
use swell_model::{
    Batch, CounterResetHint, DurationMs, HistogramRun, HistogramSample, Labels, Matcher,
    NativeHistogram, SampleSink as _, SampleValue, SelectHints, SeriesSource, Span, TimeRange,
    TimestampMs, histogram_runs,
};
use swell_promql::testing::{LoadedSample, LoadedSeries, TestStorage, memory_storage};
use swell_promql::{Budget, EvalParams, Features, QueryValue, evaluate};
use swell_promql_syntax::parse;

use super::common::{Choices, HOUR, labels, open};
use super::{DAY, MINUTES, maintain, range, settings};

type Histograms = BTreeMap<usize, Vec<(i64, Arc<NativeHistogram>)>>;

/// A counter that is reset now and then and whose buckets come and go, a gauge, a counter with bounds of its own, one that
/// begins and ends.
fn histograms(days: i64, step_ms: i64, seed: u64) -> Histograms {
    let mut choices = Choices(seed);
    let mut all = Histograms::new();
    let mut buckets = [0.0; 6];
    let mut custom = [0.0; 3];
    for idx in 0..days * DAY / step_ms {
        let mut below = |bound: u64| u32::try_from(choices.below(bound)).expect("small");
        let at = idx * step_ms + 13;
        if below(60) == 0 {
            buckets = [0.0; 6];
        }
        buckets[below(6) as usize] += f64::from(below(9));
        custom[below(3) as usize] += f64::from(below(9));
        let gauge = [f64::from(below(100)), f64::from(below(100))];
        let length = |buckets: &[f64]| u32::try_from(buckets.len()).expect("few");
        let of = |offset: i32, buckets: &[f64]| NativeHistogram {
            schema: 2,
            count: buckets.iter().sum(),
            sum: buckets.iter().sum::<f64>() * 3.0,
            positive_spans: vec![Span { offset, length: length(buckets) }],
            positive_buckets: buckets.to_vec(),
            ..NativeHistogram::default()
        };
        // The first buckets are not there before they have anything.
        let from = buckets.iter().position(|it| *it > 0.0).unwrap_or(5);
        let counter = of(i32::try_from(from).expect("few"), &buckets[from..]);
        let gauge = NativeHistogram { reset_hint: CounterResetHint::Gauge, ..of(-3, &gauge) };
        let custom = NativeHistogram {
            schema: NativeHistogram::CUSTOM_SCHEMA,
            custom_bounds: vec![0.5, 1.0],
            ..of(0, &custom)
        };
        all.entry(0).or_default().push((at, Arc::new(counter.clone())));
        all.entry(1).or_default().push((at, Arc::new(gauge)));
        all.entry(2).or_default().push((at, Arc::new(custom)));
        if (days / 4..days / 2).contains(&(at / DAY)) {
            all.entry(3).or_default().push((at, Arc::new(counter)));
        }
    }
    all
}

/// Appends in the order of time, and does upkeep every two hours.
fn store(db: &Db, all: &Histograms) {
    let mut by_time: BTreeMap<i64, Vec<(usize, Arc<NativeHistogram>)>> = BTreeMap::new();
    for (nr, samples) in all {
        for (at, value) in samples {
            by_time.entry(*at).or_default().push((*nr, Arc::clone(value)));
        }
    }
    let mut hours = 0;
    for (at, samples) in by_time {
        if at / (2 * HOUR) != hours {
            hours = at / (2 * HOUR);
            db.maintain(TimestampMs(at)).expect("maintains");
        }
        let timestamp = TimestampMs(at);
        let histograms = samples.into_iter().map(|(nr, value)| {
            let series = db.resolve(&labels(nr)).expect("resolves");
            HistogramSample { series, timestamp, value, start_ms: 0 }
        });
        let batch = Batch { histograms: histograms.collect(), ..Batch::default() };
        db.append(&batch).expect("appends");
    }
    maintain(db);
}

/// All of them, in a storage without aggregates.
fn plain(all: &Histograms) -> Box<dyn TestStorage> {
    let storage = memory_storage().expect("memory is always there");
    let series = all.iter().map(|(nr, samples)| LoadedSeries {
        labels: labels(*nr),
        samples: samples
            .iter()
            .map(|(at, value)| LoadedSample {
                timestamp: TimestampMs(*at),
                value: SampleValue::Histogram(Arc::clone(value)),
                start_ms: 0,
            })
            .collect(),
    });
    storage.append(&series.collect::<Vec<_>>()).expect("memory takes everything");
    storage
}

/// Answers by labels and time, as text: floats with nine digits, histograms without what is said of resets.
fn ask(
    source: &dyn SeriesSource,
    query: &str,
    (from, to, step): (i64, i64, i64),
) -> BTreeMap<(String, i64), String> {
    let expr = parse(query).expect("parses");
    let features = Features { start_timestamps: false, ..Features::all() };
    let params = EvalParams { features, ..range(from, to, step) };
    let output = evaluate(&expr, source, &params, &Budget::default()).expect("evaluates");
    let QueryValue::Matrix(matrix) = output.value else { panic!("a range query") };
    let mut found = BTreeMap::new();
    for series in &matrix {
        let labels = series.labels.to_string();
        for point in &series.floats {
            found.insert((labels.clone(), point.timestamp.0), format!("{:.9e}", point.value));
        }
        for point in &series.histograms {
            let value = NativeHistogram::clone(&point.value);
            let mut shown = format!("schema {} {:?}", value.schema, value.custom_bounds);
            for bucket in value.buckets() {
                shown += &format!(" ({:e}]: {:.9e}", bucket.upper, bucket.count);
            }
            shown += &format!(" of {:.9e}, {:.9e}", value.count, value.sum);
            found.insert((labels.clone(), point.timestamp.0), shown);
        }
    }
    found
}

const QUERIES: [&str; 12] = [
    "count_over_time(X[W])",
    "sum_over_time(X[W])",
    "avg_over_time(X[W])",
    "first_over_time(X[W])",
    "last_over_time(X[W])",
    "present_over_time(X[W])",
    "increase(X[W])",
    "rate(X[W])",
    "delta(X[W])",
    "resets(X[W])",
    "histogram_quantile(0.9, sum by (pod) (rate(X[W])))",
    "histogram_count(increase(X[W])) + histogram_avg(sum_over_time(X[W]))",
];

fn check_aligned(
    db: &dyn SeriesSource,
    reference: &dyn SeriesSource,
    days: (i64, i64),
    step_ms: i64,
) {
    for query in QUERIES {
        for range_ms in [step_ms, DAY] {
            // What a gauge falls by is no reset; queries that take it for one have a warning.
            let is_of_counters =
                ["rate", "increase", "resets"].iter().any(|name| query.contains(name));
            let but = if is_of_counters { r#",pod!="pod-1""# } else { "" };
            let query = query.replace('X', &format!(r#"{{__name__=~"metric.*"{but}}}"#));
            let query = query.replace('W', &format!("{range_ms}ms"));
            let grid = (days.0 * DAY + DAY, days.1 * DAY, step_ms);
            let (found, wanted) = (ask(db, &query, grid), ask(reference, &query, grid));
            assert!(!wanted.is_empty(), "{query}");
            for (key, value) in &wanted {
                assert_eq!(found.get(key), Some(value), "{query} at {key:?}, days {days:?}");
            }
            assert_eq!(found.len(), wanted.len(), "{query}");
        }
    }
}

/// All that is kept of a resolution.
fn stored(db: &Db, resolution_ms: i64) -> BTreeMap<Labels, Vec<HistogramRun>> {
    let all = db.aggregates(DurationMs(resolution_ms)).expect("selects");
    all.map(|series| series.map(|it| (it.labels, it.histogram_runs)).expect("reads")).collect()
}

/// Twenty days, of which samples are left of the last four, stretches of five minutes of the eight before, and of an hour of
/// all.
fn aged(seed: u64) -> (Histograms, Db) {
    let all = histograms(20, 3 * MINUTES, seed);
    let db = open(Arc::new(MemDir::new()), settings(3)).expect("opens");
    store(&db, &all);
    let status = db.status();
    assert_eq!(status.blocks.range.expect("has blocks").start_incl.0, 16 * DAY + 13);
    let from: Vec<i64> = status.tiers.iter().map(|tier| tier.range.start_incl.0).collect();
    assert_eq!(from, [8 * DAY, 0]);
    (all, db)
}

#[test]
fn what_is_kept_of_histograms_answers_where_they_are_gone() {
    let (all, db) = aged(3);
    let reference = plain(&all);
    check_aligned(&db, reference.source(), (0, 20), 3 * HOUR);
    check_aligned(&db, reference.source(), (14, 16), HOUR);
    check_aligned(&db, reference.source(), (15, 17), 30 * MINUTES);
}

#[test]
fn histograms_that_are_there_answer_themselves() {
    let all = histograms(3, 5 * MINUTES, 5);
    let db = open(Arc::new(MemDir::new()), settings(1000)).expect("opens");
    store(&db, &all);
    assert!(!stored(&db, HOUR).is_empty());
    let reference = plain(&all);
    for grid in [(DAY, 3 * DAY, HOUR), (DAY + 17, 3 * DAY, 7 * MINUTES + 11)] {
        for query in QUERIES {
            let query = query.replace('X', r#"{pod=~"pod-.*"}"#).replace('W', "90m");
            assert_eq!(ask(&db, &query, grid), ask(reference.source(), &query, grid), "{query}");
        }
    }
}

#[test]
fn selectors_and_other_functions_find_the_newest_histogram_of_each_stretch() {
    let (all, db) = aged(7);
    let of_pod_0 = &all[&0];
    for (day, stretch) in [(1, HOUR), (10, 5 * MINUTES)] {
        for minute in [1, 7, 31, 51] {
            let at = day * DAY + 5 * HOUR + minute * MINUTES + 30_000;
            let end = at.div_euclid(stretch) * stretch;
            let idx = of_pod_0.partition_point(|(at, _)| *at <= end);
            let found = ask(&db, r#"histogram_count({pod="pod-0"})"#, (at, at, 1000));
            let wanted = format!("{:.9e}", of_pod_0[idx - 1].1.count);
            assert_eq!(found.into_values().collect::<Vec<_>>(), [wanted]);
        }
    }
    // What was lost at resets is known to functions that take no figures, if not what the counter had right before.
    let rose = ask(&db, r#"histogram_count(irate({pod="pod-0"}[3h]))"#, (DAY, 2 * DAY, HOUR));
    assert_eq!(rose.len(), 25);
    assert!(rose.values().all(|it| it.parse::<f64>().expect("a number") >= 0.0), "{rose:?}");
    // Readers of samples get samples only.
    let all = SelectHints::range(TimeRange::ALL);
    for series in db.select(&[Matcher::equal("pod", "pod-0")], &all).expect("selects") {
        let series = series.expect("reads");
        assert!(series.histograms.timestamps[0] >= 16 * DAY && series.histogram_runs.is_empty());
    }
}

#[test]
fn deletion_takes_whole_stretches_of_histograms() {
    let all = histograms(3, 10 * MINUTES, 11);
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(1000)).expect("opens");
    store(&db, &all);
    let ends = |db: &Db| -> Vec<i64> {
        let runs = &stored(db, HOUR)[&labels(0)];
        let mut ends: Vec<i64> =
            runs.iter().map(|run| swell_model::stretch_end(run.last_ms, HOUR)).collect();
        ends.dedup();
        ends
    };
    let before = ends(&db);
    // The last stretch that is known is among what is deleted.
    let last = *before.last().expect("some");
    let deleted = [(DAY + 90 * MINUTES, DAY + 150 * MINUTES), (last - 30 * MINUTES, last + HOUR)];
    for (from, to) in deleted {
        let times = TimeRange { start_incl: TimestampMs(from), end_incl: TimestampMs(to) };
        db.delete_series(&[Matcher::equal("pod", "pod-0")], times).expect("deletes");
    }
    let gone = [DAY + 2 * HOUR, DAY + 3 * HOUR, last];
    let left: Vec<i64> = before.iter().copied().filter(|end| !gone.contains(end)).collect();
    assert_eq!(left.len() + 3, before.len());
    assert_eq!(ends(&db), left, "hidden");
    db.clean_tombstones().expect("cleans");
    assert_eq!(ends(&db), left, "written anew");
    drop(db);
    let db = open(Arc::new(disk), settings(1000)).expect("opens");
    assert_eq!(ends(&db), left, "opened again");
    assert_eq!(db.status().blocks.deleted_series_count, 0);
}

#[test]
fn a_flipped_byte_of_what_is_kept_of_histograms_is_noticed() {
    let all = histograms(2, 30 * MINUTES, 13);
    let disk = MemDir::new();
    let db = open(Arc::new(disk.clone()), settings(1000)).expect("opens");
    store(&db, &all);
    let whole = [HOUR, 5 * MINUTES].map(|resolution_ms| stored(&db, resolution_ms));
    for (nr, samples) in &all {
        let (times, values): (Vec<i64>, Vec<_>) = samples.iter().cloned().unzip();
        let hours = &whole[0][&labels(*nr)];
        let expected = histogram_runs(&times, &values, HOUR, 4096);
        let shown = |runs: &[HistogramRun]| -> Vec<(i64, u64, f64, f64)> {
            runs.iter().map(|run| (run.last_ms, run.count, run.last.sum, run.sum.count)).collect()
        };
        assert_eq!(shown(hours), shown(&expected[..hours.len()]));
    }
    drop(db);
    let entries = disk.list("blocks").expect("lists").into_iter();
    let blocks: Vec<String> = entries
        .map(|entry| format!("blocks/{}", entry.name))
        .filter(|name| name.ends_with(".blk"))
        .filter(|name| read_whole(&disk, name, u64::MAX).expect("readable")[8] == 4)
        .collect();
    assert!(blocks.len() >= 2, "{blocks:?}");
    let mut noticed = 0;
    for name in &blocks {
        let len = read_whole(&disk, name, u64::MAX).expect("readable").len();
        for offset in (0..len).step_by(5) {
            let hurt = disk.after_kill();
            hurt.flip(name, offset, 0x10).expect("flips");
            let db = open(Arc::new(hurt), settings(1000)).expect("damage does not stop a start");
            let mut is_noticed = !db.status().damage.is_empty();
            for (resolution_ms, whole) in [HOUR, 5 * MINUTES].into_iter().zip(&whole) {
                let found: Result<Vec<_>, _> = match db.aggregates(DurationMs(resolution_ms)) {
                    Ok(all) => all.collect(),
                    Err(error) => Err(error),
                };
                let Ok(found) = found else {
                    is_noticed = true;
                    continue;
                };
                for series in found {
                    let known = &whole[&series.labels];
                    assert!(series.histogram_runs.iter().all(|run| known.contains(run)));
                    assert!(is_noticed || series.histogram_runs.len() == known.len());
                }
            }
            noticed += usize::from(is_noticed);
            assert!(is_noticed, "{name} at {offset}");
        }
    }
    assert!(noticed > 200, "{noticed}");
}
