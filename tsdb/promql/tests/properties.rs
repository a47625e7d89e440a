//! Properties of the evaluation on generated data and queries, and queries made to hurt.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use swell_model::{DurationMs, Labels, NativeHistogram, SampleValue, Span, TimestampMs, stale_nan};
use swell_promql::testing::{LoadedSample, LoadedSeries, TestStorage, memory_storage};
use swell_promql::{Budget, EvalError, EvalParams, Features, QueryOutput, QueryValue, evaluate};
use swell_promql_syntax::parse;

fn with_all_features(params: EvalParams) -> EvalParams {
    EvalParams { features: Features::all(), ..params }
}

fn run(
    storage: &dyn TestStorage,
    query: &str,
    params: EvalParams,
    budget: &Budget,
) -> Result<QueryOutput, EvalError> {
    let expr = parse(query).expect("the query parses");
    evaluate(&expr, storage.source(), &with_all_features(params), budget)
}

/// A sample out of a number, so that data shrink well: floats of all kinds, histograms, staleness markers.
fn sample(seed: u8) -> Option<SampleValue> {
    Some(match seed {
        0..=3 => return None,
        4 => SampleValue::Float(stale_nan()),
        5 => SampleValue::Float(f64::NAN),
        6 => SampleValue::Float(f64::INFINITY),
        7..=200 => SampleValue::Float(f64::from(seed)),
        _ => SampleValue::Histogram(Arc::new(NativeHistogram {
            count: f64::from(seed),
            sum: f64::from(seed) * 2.0,
            positive_spans: vec![Span { offset: i32::from(seed % 3), length: 2 }],
            positive_buckets: vec![f64::from(seed % 7), f64::from(seed) - f64::from(seed % 7)],
            ..NativeHistogram::default()
        })),
    })
}

/// Series `a` and `b` with labels `x` and `le`, a sample each 15 s.
fn data() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    prop::collection::vec((0..8_usize, prop::collection::vec(any::<u8>(), 1..40)), 1..6)
}

fn load(data: &[(usize, Vec<u8>)]) -> Box<dyn TestStorage> {
    let storage = memory_storage().expect("memory is always there");
    for (idx, seeds) in data {
        let name = if idx % 2 == 0 { "a" } else { "b" };
        let x = if idx % 4 < 2 { "1" } else { "2" };
        let le = if *idx < 4 { "1" } else { "+Inf" };
        let samples = seeds.iter().enumerate().filter_map(|(place, seed)| {
            let at = i64::try_from(place).expect("few samples") * 15_000;
            let value = sample(*seed)?;
            Some(LoadedSample { timestamp: TimestampMs(at), value, start_ms: 0 })
        });
        let labels = Labels::from_pairs([("__name__", name), ("x", x), ("le", le)]);
        let series = LoadedSeries { labels, samples: samples.collect() };
        storage.append(&[series]).expect("memory takes everything");
    }
    storage
}

const QUERIES: [&str; 44] = [
    "a",
    "a offset 30s",
    "a @ 60",
    "rate(a[1m])",
    "increase(a[2m] anchored)",
    "rate(a[1m] smoothed)",
    "a smoothed",
    "delta(b[90s])",
    "irate(a[1m])",
    "idelta(a[1m])",
    "resets(a[2m])",
    "changes(b[2m])",
    "sum_over_time(a[1m])",
    "avg_over_time(b[1m])",
    "max_over_time(a[1m])",
    "min_over_time(a[100s])",
    "stddev_over_time(a[2m])",
    "quantile_over_time(0.3, a[2m])",
    "last_over_time(a[1m])",
    "first_over_time(a[1m])",
    "count_over_time(a[1m])",
    "deriv(a[2m])",
    "predict_linear(a[2m], 60)",
    "absent_over_time(a[30s])",
    "absent(b{x=\"1\"})",
    "sum by (x) (a)",
    "avg without (x) (b)",
    "topk(1, a)",
    "quantile(0.5, a)",
    "count_values(\"v\", a)",
    "stddev(a)",
    "a + on(x, le) b",
    "a + on(x, le) fill(1) b",
    "a > bool 50",
    "a or b",
    "a unless on(x) b",
    "a * 2",
    "-a",
    "histogram_quantile(0.9, a)",
    "histogram_fraction(0, 2, a)",
    "histogram_count(rate(a[1m]))",
    "rate(sum(a)[1m:15s])",
    "max_over_time((a * 2)[45s:10s] offset 10s)",
    "label_replace(a, \"y\", \"$1\", \"x\", \"(.*)\") + time()",
];

/// The points of a result at a time, as text that tells floats and histograms apart.
fn points_at(output: &QueryOutput, at: TimestampMs) -> Vec<String> {
    let mut points: Vec<String> = match &output.value {
        QueryValue::Vector(vector) => {
            vector.iter().map(|sample| format!("{} {:?}", sample.labels, sample.value)).collect()
        }
        QueryValue::Matrix(matrix) => matrix
            .iter()
            .flat_map(|series| {
                let floats = series
                    .floats
                    .iter()
                    .map(|point| (point.timestamp, SampleValue::Float(point.value)));
                let histograms = series.histograms.iter().map(|point| {
                    (point.timestamp, SampleValue::Histogram(Arc::clone(&point.value)))
                });
                floats
                    .chain(histograms)
                    .filter(|(time, _)| *time == at)
                    .map(|(_, value)| format!("{} {value:?}", series.labels))
                    .collect::<Vec<_>>()
            })
            .collect(),
        other => vec![format!("{other:?}")],
    };
    points.sort();
    points
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_range_query_gives_what_instant_queries_give(
        data in data(),
        query in prop::sample::select(QUERIES.to_vec()),
        start in 0..200_000_i64,
        step in 1..90_000_i64,
        delayed_name_removal in any::<bool>(),
    ) {
        let storage = load(&data);
        let budget = Budget::default();
        let (start, step) = (TimestampMs(start), DurationMs(step));
        let end = start + DurationMs(step.0 * 6);
        let features = Features { delayed_name_removal, ..Features::all() };
        let expr = parse(query).expect("the query parses");
        let run = |params: EvalParams| {
            evaluate(&expr, storage.source(), &EvalParams { features, ..params }, &budget)
        };
        let range = run(EvalParams::range(start, end, step));
        let mut at = start;
        while at <= end {
            let instant = run(EvalParams::instant(at));
            match (&range, instant) {
                (Ok(range), Ok(instant)) => {
                    prop_assert_eq!(points_at(range, at), points_at(&instant, at), "{} at {:?}", query, at);
                }
                // A range query fails when any of its steps does.
                (Err(_), _) => {}
                (Ok(_), Err(error)) => prop_assert!(false, "{query} at {at:?}: {error}"),
            }
            at += step;
        }
    }

    #[test]
    fn equal_queries_give_equal_results(
        data in data(),
        query in prop::sample::select(QUERIES.to_vec()),
    ) {
        let storage = load(&data);
        let params = EvalParams::range(TimestampMs(0), TimestampMs(300_000), DurationMs(30_000));
        let once = run(storage.as_ref(), query, params, &Budget::default());
        let again = run(storage.as_ref(), query, params, &Budget::default());
        prop_assert_eq!(format!("{once:?}"), format!("{again:?}"));
    }
}

/// Ten series, each second a sample for an hour.
fn dense() -> Box<dyn TestStorage> {
    let storage = memory_storage().expect("memory is always there");
    let series: Vec<LoadedSeries> = (0..10)
        .map(|idx| LoadedSeries {
            labels: Labels::from_pairs([("__name__", "m".to_owned()), ("i", idx.to_string())]),
            samples: (0..3600)
                .map(|second| LoadedSample {
                    timestamp: TimestampMs(second * 1000),
                    value: SampleValue::Float(1.0),
                    start_ms: 0,
                })
                .collect(),
        })
        .collect();
    storage.append(&series).expect("memory takes everything");
    storage
}

#[test]
fn queries_made_to_hurt_are_stopped_by_the_budget() {
    let storage = dense();
    let budget = Budget::new(10_000, 11_000);
    let hour = EvalParams::instant(TimestampMs(3_600_000));
    for query in [
        "m[1h]",
        "sum_over_time(m[1h:1ms])",
        "sum_over_time(vector(1)[290y:1ms])",
        "max_over_time(sum_over_time(vector(1)[1y:1m])[1y:1m])",
        "last_over_time((m * 2)[1h:1s])",
    ] {
        let outcome = run(storage.as_ref(), query, hour, &budget);
        assert!(matches!(outcome, Err(EvalError::TooManySamples { .. })), "{query}: {outcome:?}");
    }
    let year = EvalParams::range(TimestampMs(0), TimestampMs(31_536_000_000), DurationMs(1));
    let outcome = run(storage.as_ref(), "m", year, &budget);
    assert!(matches!(outcome, Err(EvalError::TooManySteps { steps_max: 11_000 })), "{outcome:?}");
}

#[test]
fn impossible_ranges_and_times_are_refused_or_empty() {
    let storage = dense();
    let budget = Budget::default();
    let backwards = EvalParams::range(TimestampMs(1000), TimestampMs(0), DurationMs(1));
    let still = EvalParams::range(TimestampMs(0), TimestampMs(1000), DurationMs(0));
    for params in [backwards, still] {
        let outcome = run(storage.as_ref(), "m", params, &budget);
        assert!(matches!(outcome, Err(EvalError::BadRange(_))), "{outcome:?}");
    }
    for at in [TimestampMs::MIN, TimestampMs::MAX] {
        for query in
            ["m", "m offset 292y", "rate(m[290y])", "m @ -9223372036854", "time()", "hour()"]
        {
            let outcome = run(storage.as_ref(), query, EvalParams::instant(at), &budget);
            assert!(outcome.is_ok(), "{query} at {at:?}: {outcome:?}");
        }
    }
}

#[test]
fn a_cancelled_query_stops() {
    let storage = dense();
    let budget = Budget::default();
    budget.cancelled.store(true, Ordering::Relaxed);
    let outcome = run(storage.as_ref(), "m", EvalParams::instant(TimestampMs(0)), &budget);
    assert!(matches!(outcome, Err(EvalError::Cancelled)), "{outcome:?}");
}

#[test]
fn what_is_switched_off_is_refused_with_its_place() {
    let storage = dense();
    for (query, what) in [
        ("limitk(1, m)", "aggregation \"limitk\""),
        ("1 + mad_over_time(m[5m])", "function \"mad_over_time\""),
        ("m + fill(0) m", "binary operator fill modifiers"),
        ("rate(m[5m] smoothed)", "smoothed modifier"),
    ] {
        let expr = parse(query).expect("the query parses");
        let params = EvalParams::instant(TimestampMs(0));
        match evaluate(&expr, storage.source(), &params, &Budget::default()) {
            Err(EvalError::FeatureDisabled { what: got, span }) => {
                assert_eq!(got, what, "{query}");
                assert!(query.contains(span.text(query)), "{query}");
            }
            outcome => panic!("{query}: {outcome:?}"),
        }
    }
}

#[test]
fn remarks_on_quantiles_name_the_metric_only_where_names_are_kept() {
    let storage = memory_storage().expect("memory is always there");
    let series = [("1", 4.0), ("2", 3.0), ("+Inf", 5.0)].map(|(le, count)| LoadedSeries {
        labels: Labels::from_pairs([("__name__", "falling_bucket"), ("le", le)]),
        samples: vec![LoadedSample {
            timestamp: TimestampMs(0),
            value: SampleValue::Float(count),
            start_ms: 0,
        }],
    });
    storage.append(&series).expect("memory takes everything");
    let expr = parse("histogram_quantile(0.9, falling_bucket)").expect("the query parses");
    for (features, is_named) in [(Features::all(), true), (Features::default(), false)] {
        let params = EvalParams { features, ..EvalParams::instant(TimestampMs(0)) };
        let output =
            evaluate(&expr, storage.source(), &params, &Budget::default()).expect("a quantile");
        let remark = &output.infos.first().expect("counts that fall are remarked on").message;
        assert_eq!(remark.contains("falling_bucket"), is_named, "{remark}");
    }
}

#[test]
fn deep_queries_evaluate_on_a_small_stack() {
    let storage = dense();
    let chain = format!("m{}", " or m".repeat(240));
    let nested = format!("{}m{}", "abs(".repeat(90), ")".repeat(90));
    for query in [chain, nested] {
        let output =
            run(storage.as_ref(), &query, EvalParams::instant(TimestampMs(0)), &Budget::default())
                .expect("within limits");
        assert!(matches!(output.value, QueryValue::Vector(vector) if vector.len() == 10));
    }
}

#[test]
fn windows_folded_ahead_give_the_same_bits() {
    let storage = memory_storage().expect("memory is always there");
    let samples = (0..2000).map(|idx| LoadedSample {
        timestamp: TimestampMs(idx * 1000 + idx % 7),
        value: SampleValue::Float(match idx % 97 {
            0 => f64::NAN,
            1 => -1e17,
            n => f64::from(u8::try_from(n).expect("below 97")) * 0.1,
        }),
        start_ms: 0,
    });
    let labels = Labels::from_pairs([("__name__", "m")]);
    let series = LoadedSeries { labels, samples: samples.collect() };
    storage.append(&[series]).expect("memory takes everything");
    for function in ["sum", "avg", "min", "max"] {
        for window in ["20s", "95s", "7m"] {
            let query = format!("{function}_over_time(m[{window}])");
            let params =
                EvalParams::range(TimestampMs(0), TimestampMs(2_100_000), DurationMs(13_000));
            let range = run(storage.as_ref(), &query, params, &Budget::default());
            let range = range.expect("within limits");
            for step in 0..160 {
                let at = TimestampMs(step * 13_000);
                let instant =
                    run(storage.as_ref(), &query, EvalParams::instant(at), &Budget::default());
                let instant = instant.expect("within limits");
                assert_eq!(points_at(&range, at), points_at(&instant, at), "{query} at {at:?}");
            }
        }
    }
}

#[test]
fn statistics_count_what_was_looked_at() {
    let storage = dense();
    let at = EvalParams::instant(TimestampMs(3_599_000));
    let output = run(storage.as_ref(), "sum(rate(m[1m]))", at, &Budget::default());
    let stats = output.expect("within limits").stats;
    assert_eq!((stats.series_selected, stats.samples_total), (10, 600));
    // One series' window at a time, and a result per series.
    assert!((60..=70).contains(&stats.samples_peak), "{stats:?}");
    // Each sample of the window is read once, and so are those that the steps of a range share.
    assert_eq!(stats.samples_read, 600);
    let range = EvalParams::range(TimestampMs(3_590_000), TimestampMs(3_599_000), DurationMs(1000));
    let output = run(storage.as_ref(), "sum(rate(m[1m]))", range, &Budget::default());
    let stats = output.expect("within limits").stats;
    assert_eq!((stats.samples_total, stats.samples_read), (6000, 690));
}

/// Floats, histograms of the weight of twelve samples, and both, each 15 s.
fn mixed() -> Box<dyn TestStorage> {
    let storage = memory_storage().expect("memory is always there");
    let histogram = |seconds: i64| {
        let count = f64::from(u32::try_from(seconds).expect("small"));
        SampleValue::Histogram(Arc::new(NativeHistogram {
            count,
            sum: count,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![count / 2.0, count / 2.0],
            ..NativeHistogram::default()
        }))
    };
    let series = [("floats", 0), ("histograms", 1), ("both", 2)].map(|(kind, nr)| LoadedSeries {
        labels: Labels::from_pairs([("__name__", "m_total"), ("kind", kind)]),
        samples: (0..80)
            .map(|idx| LoadedSample {
                timestamp: TimestampMs(idx * 15_000),
                value: match nr {
                    1 => histogram(idx),
                    2 if idx % 2 == 1 => histogram(idx),
                    _ => SampleValue::Float(1.0),
                },
                start_ms: 0,
            })
            .collect(),
    });
    storage.append(&series).expect("memory takes everything");
    storage
}

#[test]
fn each_step_counts_the_samples_it_would_look_at_by_itself() {
    let storage = mixed();
    let step = DurationMs(50_000);
    let (start, end) = (TimestampMs(300_000), TimestampMs(1_300_000));
    for query in [
        "1",
        "m_total",
        "m_total offset 2m",
        "m_total @ 600",
        "sum(m_total{kind=\"floats\"})",
        "sum(rate(m_total{kind=\"floats\"}[2m])) * 2",
        "rate(m_total[2m] @ 600)",
        "predict_linear(m_total{kind=\"floats\"}[2m] @ 600, 60)",
        "stddev_over_time(m_total[2m])",
        "count_over_time(m_total[90s])",
        "histogram_count(rate(m_total{kind=\"histograms\"}[2m]))",
        "absent_over_time(m_total[1m])",
        "timestamp(m_total)",
        "max_over_time(sum(m_total{kind=\"floats\"})[5m:1m])",
        "topk(1, m_total) + on (kind) (m_total or m_total @ 300)",
    ] {
        let expr = parse(query).expect("the query parses");
        for features in [Features::default(), Features::all()] {
            let ask = |params: EvalParams| {
                let params = EvalParams { features, counts_steps: true, ..params };
                let budget = Budget::default();
                evaluate(&expr, storage.source(), &params, &budget).expect("evaluates").stats
            };
            let range = ask(EvalParams::range(start, end, step));
            let alone: Vec<u64> = (0..21)
                .map(|nr| {
                    let at = ask(EvalParams::instant(start + DurationMs(nr * step.0)));
                    assert_eq!(at.samples_by_step, [at.samples_total], "{query}");
                    at.samples_total
                })
                .collect();
            assert_eq!(range.samples_by_step, alone, "{query}");
            assert_eq!(range.samples_total, alone.iter().sum::<u64>(), "{query}");
        }
    }
}

#[test]
fn histograms_count_as_many_samples_as_their_size() {
    let storage = mixed();
    let stats = |query: &str, counts_steps: bool| {
        let params = EvalParams { counts_steps, ..EvalParams::instant(TimestampMs(600_000)) };
        run(storage.as_ref(), query, params, &Budget::default()).expect("within limits").stats
    };
    for (query, expected) in [
        ("m_total{kind=\"floats\"}", 1),
        ("m_total{kind=\"histograms\"}", 12),
        ("count_over_time(m_total{kind=\"histograms\"}[1m])", 48),
        ("count_over_time(m_total{kind=\"both\"}[1m])", 26),
        // Of a range in the answer itself each sample, of a subquery what it is computed from.
        ("m_total{kind=\"both\"}[1m]", 26),
        ("sum(m_total{kind=\"floats\"} + 1)[2m:1m]", 2),
        // A function looks at what a subquery gives.
        ("sum_over_time(sum(m_total{kind=\"floats\"} or vector(1))[2m:1m])", 2),
        ("count_over_time((m_total{kind=\"floats\"} + m_total{kind=\"floats\"})[2m:1m])", 2),
        ("1 + 1", 0),
    ] {
        let (plain, by_step) = (stats(query, false), stats(query, true));
        assert_eq!((plain.samples_total, plain.samples_by_step), (expected, vec![]), "{query}");
        assert_eq!(by_step.samples_by_step, [expected], "{query}");
    }
}

#[test]
fn series_and_memory_have_limits() {
    let storage = dense();
    let at = EvalParams::instant(TimestampMs(3_599_000));
    let range = EvalParams::range(TimestampMs(0), TimestampMs(3_599_000), DurationMs(1000));
    for query in [
        "m",
        "rate(m[1m])",
        "sum(m)",
        "sum(rate(m[1m]))",
        "m[1m]",
        "abs(m) + m",
        "max_over_time(m[5m:1m])",
    ] {
        for params in [at, range] {
            if params == range && query == "m[1m]" {
                continue;
            }
            let within = |budget: &Budget| run(storage.as_ref(), query, params, budget);
            let stats = within(&Budget::default()).expect("no limit").stats;
            // What is named twice is read once and looked at twice.
            let series = stats.series_selected;
            let enough = Budget {
                series_max: Some(series),
                bytes_max: Some(stats.bytes_peak),
                ..Budget::default()
            };
            assert!(within(&enough).is_ok(), "{query}: {stats:?}");
            let fewer = Budget { series_max: Some(series - 1), ..Budget::default() };
            assert!(matches!(within(&fewer), Err(EvalError::TooManySeries { .. })), "{query}");
            let less = Budget { bytes_max: Some(stats.bytes_peak - 1), ..Budget::default() };
            assert!(
                matches!(within(&less), Err(EvalError::TooManyBytes { .. })),
                "{query}: {stats:?}"
            );
        }
    }
    // Each step of each series takes eight bytes, whether there is a sample or not.
    let stats = run(storage.as_ref(), "m", range, &Budget::default()).expect("no limit").stats;
    assert!((10 * 3600 * 8..10 * 3600 * 8 + 10_000).contains(&stats.bytes_peak), "{stats:?}");
}
