//! An expression that is evaluated again and again over what is kept has, to the last bit, the value that it has over the
//! storage: with samples that come late, deletions, staleness markers, series that come and go, flushes, windows that reach
//! into blocks, and clocks that jump.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{HOUR, config, histogram_batch, labels, open};
use proptest::prelude::*;
use swell_engine::{Config, Db, WalSync};
use swell_env::MemDir;
use swell_model::{
    Batch, DurationMs, Labels, Matcher, Row, SampleSink as _, SeriesSource, TimeRange, TimestampMs,
    stale_nan,
};
use swell_promql::{Budget, EvalParams, Features, QueryOutput, Standing, evaluate};
use swell_promql_syntax::{Expr, parse};

/// Functions of a range, beside those with arguments of their own.
const FUNCTIONS: [&str; 24] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "sum_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "last_over_time",
    "first_over_time",
    "present_over_time",
    "absent_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "mad_over_time",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

const AGGREGATIONS: [&str; 8] = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];

/// An expression over windows of so many steps of that length.
fn any_expression(step_ms: i64) -> impl Strategy<Value = String> {
    let metric = (0usize..3).prop_map(|nr| format!("metric_{nr}"));
    let function = prop::sample::select(FUNCTIONS.to_vec());
    let window = prop_oneof![3 => 1i64..12, 2 => 12i64..60].prop_map(move |n| n * step_ms);
    let change = prop_oneof![
        6 => Just(String::new()),
        1 => (1i64..9).prop_map(move |steps| format!(" offset {}ms", steps * step_ms)),
        1 => Just(" offset -3ms".to_owned()),
        1 => (1i64..60).prop_map(move |steps| format!(" @ {}", 20 * 24 * 3600 + steps)),
    ];
    let call = (function, metric.clone(), window, change, 0u8..12).prop_map(
        |(function, metric, window, change, kind)| match kind {
            0 => format!("{metric}{change}"),
            1 => format!("quantile_over_time(0.7, {metric}[{window}ms]{change})"),
            2 => format!("predict_linear({metric}[{window}ms]{change}, 60)"),
            3 => format!("double_exponential_smoothing({metric}[{window}ms]{change}, 0.4, 0.3)"),
            4 => format!("{function}({metric}[{window}ms:{}ms]{change})", window / 5 + 1),
            5 => format!("absent({metric}{change})"),
            6 => format!("{metric}{{pod=~\"pod-[0-4]\"}}{change} > 3"),
            _ => format!("{function}({metric}[{window}ms]{change})"),
        },
    );
    let aggregated = (call.clone(), prop::sample::select(AGGREGATIONS.to_vec()), 0u8..5).prop_map(
        |(call, aggregation, kind)| match kind {
            0 => call,
            1 => format!("{aggregation}({call})"),
            2 => format!("{aggregation} by (pod) ({call} * 2)"),
            3 => format!("{aggregation} without (pod) (abs({call}))"),
            _ => format!("topk(2, {call})"),
        },
    );
    (aggregated.clone(), aggregated, 0u8..6).prop_map(|(one, other, kind)| match kind {
        0 => format!("({one}) / on () group_left () count({other})"),
        1 => format!("({one}) or ({other})"),
        2 => format!("({one}) and on (pod) ({one})"),
        _ => one,
    })
}

/// What happens between two evaluations.
#[derive(Clone, Debug)]
enum Event {
    /// Series of a target get a sample each.
    Scrape {
        target: usize,
        first: usize,
        count: usize,
        value: f64,
    },
    /// A sample from before.
    Late {
        series: usize,
        steps_back: i64,
        value: f64,
    },
    Stale {
        series: usize,
    },
    Histogram {
        series: usize,
    },
    Delete {
        metric: usize,
        steps_back: i64,
        steps: i64,
    },
    Upkeep,
    Jump {
        steps: i64,
    },
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0u32..200).prop_map(f64::from),
        3 => (0u32..100_000).prop_map(|value| f64::from(value) / 1000.0 - 30.0),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0), Just(1e300), Just(0.1)],
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let scrape = (0usize..2, 0usize..4, 1usize..8, any_value())
        .prop_map(|(target, first, count, value)| Event::Scrape { target, first, count, value });
    prop_oneof![
        40 => scrape,
        3 => (0usize..14, 0i64..40, any_value())
            .prop_map(|(series, steps_back, value)| Event::Late { series, steps_back, value }),
        2 => (0usize..14).prop_map(|series| Event::Stale { series }),
        1 => (0usize..14).prop_map(|series| Event::Histogram { series }),
        1 => (0usize..3, 0i64..60, 0i64..60)
            .prop_map(|(metric, steps_back, steps)| Event::Delete { metric, steps_back, steps }),
        4 => Just(Event::Upkeep),
        2 => prop_oneof![-30i64..-1, 2i64..30, Just(200)].prop_map(|steps| Event::Jump { steps }),
    ]
}

/// A database and the time.
struct Lab {
    db: Arc<Db>,
    now: i64,
    step_ms: i64,
}

impl Lab {
    fn append(&self, at_ms: i64, samples: &[(usize, f64)]) {
        let mut row = Row { timestamp: TimestampMs(at_ms), ..Row::default() };
        for (nr, value) in samples {
            row.series.push(self.db.resolve(&labels(*nr)).expect("resolves"));
            row.values.push(*value);
        }
        self.db.append(&Batch::of_rows(vec![row])).expect("appends");
    }

    fn meet(&mut self, event: &Event) {
        match *event {
            Event::Scrape { target, first, count, value } => {
                let values: Vec<(usize, f64)> = (first..first + count)
                    .zip([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
                    .map(|(nr, more)| (2 * (nr % 7) + target, value + more))
                    .collect();
                let jitter = i64::try_from(count % 3).expect("small");
                self.append(self.now - jitter, &values);
            }
            Event::Late { series, steps_back, value } => {
                self.append(self.now - steps_back * self.step_ms - 1, &[(series, value)]);
            }
            Event::Stale { series } => self.append(self.now, &[(series, stale_nan())]),
            Event::Histogram { series } => {
                let batch = histogram_batch(&self.db, self.now, &[(series, 3.0)]);
                self.db.append(&batch.expect("resolves")).expect("appends");
            }
            Event::Delete { metric, steps_back, steps } => {
                let matchers = [Matcher::equal("__name__", format!("metric_{metric}"))];
                let from = self.now - steps_back * self.step_ms;
                let range = TimeRange {
                    start_incl: TimestampMs(from),
                    end_incl: TimestampMs(from + steps * self.step_ms),
                };
                self.db.delete_series(&matchers, range).expect("deletes");
            }
            Event::Upkeep => {
                self.db.maintain(TimestampMs(self.now)).expect("maintains");
            }
            Event::Jump { steps } => self.now += steps * self.step_ms,
        }
    }
}

/// What an evaluation says, each float by its bits.
fn shown(output: Result<QueryOutput, swell_promql::EvalError>) -> String {
    use swell_model::SampleValue;
    use swell_promql::QueryValue;
    match output {
        Err(error) => error.to_string(),
        Ok(QueryOutput { value, warnings, infos, stats }) => {
            let value = match value {
                QueryValue::Vector(samples) => samples
                    .iter()
                    .map(|sample| match &sample.value {
                        // Which NaN comes out of arithmetic is the processor's business.
                        SampleValue::Float(value) if value.is_nan() => {
                            format!("{} NaN\n", sample.labels)
                        }
                        SampleValue::Float(value) => {
                            format!("{} {value} {:x}\n", sample.labels, value.to_bits())
                        }
                        SampleValue::Histogram(value) => format!("{} {value:?}\n", sample.labels),
                    })
                    .collect(),
                other => format!("{other:?}"),
            };
            format!("{value}{warnings:?} {infos:?} {}", stats.samples_total)
        }
    }
}

fn params(at_ms: i64) -> EvalParams {
    let features = Features { experimental_functions: true, ..Features::default() };
    EvalParams { features, ..EvalParams::instant(TimestampMs(at_ms)) }
}

fn run(step_ms: i64, queries: &[String], events: &[Vec<Event>]) -> (usize, usize) {
    let settings = Config { out_of_order_window: DurationMs(HOUR), ..config(WalSync::Never) };
    let db = Arc::new(open(Arc::new(MemDir::new()), settings).expect("opens"));
    let exprs: Vec<Expr> = queries.iter().map(|query| parse(query).expect(query)).collect();
    let standing = Standing::new(db.clone(), 1 << 20);
    let mut lab = Lab { db, now: 20 * 24 * HOUR, step_ms };
    let (mut kept, mut full) = (0, 0);
    for events in events {
        lab.now += step_ms;
        events.iter().for_each(|event| lab.meet(event));
        for (query, expr) in queries.iter().zip(&exprs) {
            let reader = standing.at(TimestampMs(lab.now));
            let found = shown(evaluate(expr, &reader, &params(lab.now), &Budget::default()));
            let source: &dyn SeriesSource = &*lab.db;
            let expected = shown(evaluate(expr, source, &params(lab.now), &Budget::default()));
            assert_eq!(found, expected, "{query} at {}", lab.now);
            (kept, full) = (kept + reader.reads().kept, full + reader.reads().full);
        }
    }
    (kept, full)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn each_second_it_is_what_a_full_evaluation_gives(
        queries in prop::collection::vec(any_expression(1000), 1..6),
        events in prop::collection::vec(prop::collection::vec(any_event(), 0..5), 20..140),
    ) {
        run(1000, &queries, &events);
    }

    #[test]
    fn with_windows_that_reach_into_blocks_as_well(
        queries in prop::collection::vec(any_expression(300_000), 1..6),
        events in prop::collection::vec(prop::collection::vec(any_event(), 0..5), 40..120),
    ) {
        run(300_000, &queries, &events);
    }
}

/// Without anything that ends it, all but the first evaluations are incremental: of rates, averages, extremes, instant
/// selectors and quantiles of histograms.
#[test]
fn what_arrives_in_order_is_all_that_is_read() {
    let db = Arc::new(open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opens"));
    let standing = Standing::new(db.clone(), 1 << 20);
    let queries = [
        "sum by (pod) (rate(requests_total[1m]))",
        "avg_over_time(requests_total[5m])",
        "max_over_time(requests_total[30s]) > 7",
        "requests_total > 3",
        "sum(requests_total)",
        "histogram_quantile(0.99, sum by (le) (rate(requests_total[1m])))",
        "rate(requests_total[1m]) / (rate(requests_total[1m] offset 10s) > 0)",
        "stddev_over_time(requests_total[20s])",
    ];
    let exprs: Vec<Expr> = queries.iter().map(|query| parse(query).expect(query)).collect();
    let series = |nr: u32| {
        let (pod, le) = (format!("pod-{}", nr / 3), ["0.1", "1", "+Inf"][nr as usize % 3]);
        Labels::from_pairs([("__name__", "requests_total"), ("pod", &pod), ("le", le)])
    };
    let start = 20 * 24 * HOUR;
    let mut incremental = vec![0; queries.len()];
    for second in 0..600_u32 {
        let at_ms = start + i64::from(second) * 1000;
        // Two scrapes of two targets, one of which is a little late.
        for (target, at_ms) in [(0, at_ms), (1, at_ms - 300)] {
            let mut row = Row { timestamp: TimestampMs(at_ms), ..Row::default() };
            for nr in 0..9 {
                row.series.push(db.resolve(&series(9 * target + nr)).expect("resolves"));
                row.values.push(f64::from(second % 100 * (nr + 1)) / 7.0);
            }
            db.append(&Batch::of_rows(vec![row])).expect("appends");
        }
        let now = at_ms + 120;
        for ((query, expr), incremental) in queries.iter().zip(&exprs).zip(&mut incremental) {
            let reader = standing.at(TimestampMs(now));
            let found = shown(evaluate(expr, &reader, &params(now), &Budget::default()));
            let expected = shown(evaluate(expr, &*db, &params(now), &Budget::default()));
            assert_eq!(found, expected, "{query} after {second} s");
            *incremental += usize::from(reader.reads().are_incremental());
        }
    }
    assert!(incremental.iter().all(|count| *count >= 599), "{incremental:?} of 600");
    let size = standing.size();
    assert!(
        size.selections == 6 && size.samples < 18 * 1200 + size.selections * 18 * 32,
        "{size:?}"
    );
}

/// Each of these makes what is kept void, and is noticed; afterwards it is kept again.
#[test]
fn what_is_kept_is_given_up_and_taken_up_again() {
    let calm = |steps: usize| {
        let one = Event::Scrape { target: 0, first: 0, count: 7, value: 5.0 };
        vec![vec![one]; steps]
    };
    let queries =
        ["rate(metric_0[10s])".to_owned(), "sum(max_over_time(metric_0[20s]))".to_owned()];
    let (kept, full) = run(1000, &queries, &calm(100));
    assert_eq!((kept, full), (2 * 99, 2));
    for event in [
        Event::Late { series: 0, steps_back: 3, value: 9.0 },
        Event::Histogram { series: 0 },
        Event::Delete { metric: 0, steps_back: 5, steps: 3 },
        Event::Jump { steps: -5 },
        Event::Jump { steps: 40 },
    ] {
        let mut events = calm(50);
        events.push(vec![event.clone()]);
        events.extend(calm(300));
        let (kept, _) = run(1000, &queries, &events);
        let is_for_good = matches!(event, Event::Histogram { .. } | Event::Delete { .. });
        assert!(kept >= if is_for_good { 2 * 48 } else { 2 * 300 }, "{kept} after {event:?}");
    }
}
