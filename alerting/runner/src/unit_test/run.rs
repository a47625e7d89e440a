//! Runs one test: samples as they fall due, groups at each evaluation, then what is asked of alerts and expressions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use swell_env::Clock;
use swell_model::{
    Batch, HistogramSample, Labels, NativeHistogram, Row, SampleSink, SampleValue, TimestampMs,
};
use swell_rules::{AlertState, InstantSample, RuleGroup};

use super::file::{AlertTest, ExpectedAlert, ExprTest, InputSeries, UnitTest, UnitTestFile};
use crate::evaluator::RuleEvaluator;
use crate::group::{GroupRuntime, Resources};
use crate::metrics::Metrics;

/// An empty storage with a query engine over it; each test gets its own.
#[derive(Clone)]
pub struct TestBench {
    /// Takes the samples of the test and those of the rules.
    pub sink: Arc<dyn SampleSink>,
    /// Evaluates over what was written; its default step of subqueries is the evaluation interval.
    pub evaluator: Arc<dyn RuleEvaluator>,
    /// Measures how long evaluations take.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for TestBench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestBench").finish_non_exhaustive()
    }
}

/// Runs `test` over the groups, which stand in the order of their evaluation; gives what failed.
pub(super) fn run_test(
    file: &UnitTestFile,
    test: &UnitTest,
    groups: &[RuleGroup],
    bench: TestBench,
    metrics: &Metrics,
) -> Vec<String> {
    let mut samples = match due_samples(test, bench.sink.as_ref()) {
        Ok(samples) => samples.into_iter().peekable(),
        Err(why) => return vec![why],
    };
    let resources = Resources {
        clock: bench.clock,
        evaluator: bench.evaluator,
        sink: bench.sink,
        metrics: metrics.clone(),
        external_labels: test.external_labels.clone(),
        external_url: test.external_url.clone(),
        side_turns: None,
    };
    let mut groups: Vec<GroupRuntime> = groups.iter().map(|group| runtime(group, file)).collect();
    let mut alert_tests: Vec<&AlertTest> = test.alerts.iter().collect();
    alert_tests.sort_by_key(|test| test.eval_time);
    let mut alert_tests = alert_tests.into_iter().peekable();
    let mut failures = Vec::new();
    let end = test.start + test.span();
    let mut now = test.start;
    while now <= end {
        let mut batch = Batch::default();
        while let Some((_, due)) = samples.next_if(|(at, _)| *at <= now) {
            batch.rows.extend(due.rows);
            batch.histograms.extend(due.histograms);
        }
        if let Err(error) = resources.sink.append(&batch) {
            failures.push(format!("append samples: {}", swell_telemetry::chain(&error)));
            return failures;
        }
        let mut broken = false;
        for group in &mut groups {
            for failure in group.evaluate(now, &resources).failures {
                let at = now.since(test.start);
                failures.push(format!("rule {}, time {at}: {}", failure.rule, failure.why));
                broken = true;
            }
        }
        if broken {
            return failures;
        }
        let next = now + file.evaluation_interval;
        while let Some(asked) = alert_tests.next_if(|asked| test.start + asked.eval_time < next) {
            failures.extend(check_alerts(asked, &groups));
        }
        now = next;
    }
    for asked in &test.exprs {
        let at = test.start + asked.eval_time;
        let verdict = match resources.evaluator.instant(&asked.expr, at) {
            Ok(value) => check_samples(asked, value.into_samples(), file.fuzzy),
            Err(why) => Some(format!("expr {:?}, time {}: {why}", asked.text, asked.eval_time)),
        };
        failures.extend(verdict);
    }
    failures
}

/// A group as tests run it: at the tests' own interval and without an offset.
fn runtime(group: &RuleGroup, file: &UnitTestFile) -> GroupRuntime {
    let group = RuleGroup { interval: None, query_offset: None, ..group.clone() };
    GroupRuntime::new("", &group, file.evaluation_interval, swell_model::DurationMs::ZERO)
}

/// The samples of all input series by time. Of several lines for one series the last counts.
fn due_samples(
    test: &UnitTest,
    sink: &dyn SampleSink,
) -> Result<BTreeMap<TimestampMs, Batch>, String> {
    let by_labels: BTreeMap<&Labels, &InputSeries> =
        test.series.iter().map(|series| (&series.labels, series)).collect();
    let mut due: BTreeMap<TimestampMs, Batch> = BTreeMap::new();
    for (labels, series) in by_labels {
        let reference =
            sink.resolve(labels).map_err(|error| swell_telemetry::chain(&error).to_string())?;
        for (position, value) in (0i64..).zip(&series.values) {
            let Some(value) = value else { continue };
            let timestamp = TimestampMs(test.start.0 + position * test.interval.0);
            let batch = due.entry(timestamp).or_default();
            match value {
                SampleValue::Float(value) => {
                    if batch.rows.is_empty() {
                        batch.rows.push(Row { timestamp, ..Row::default() });
                    }
                    batch.rows[0].series.push(reference);
                    batch.rows[0].values.push(*value);
                }
                SampleValue::Histogram(value) => batch.histograms.push(HistogramSample {
                    series: reference,
                    timestamp,
                    start_ms: 0,
                    value: Arc::clone(value),
                }),
            }
        }
    }
    Ok(due)
}

fn check_alerts(asked: &AlertTest, groups: &[GroupRuntime]) -> Option<String> {
    let rules = groups.iter().flat_map(|group| &group.rules);
    let named = rules.filter(|rule| rule.rule.name() == asked.alertname);
    let mut found: Vec<ExpectedAlert> = named
        .flat_map(|rule| rule.state.instances.values())
        .filter(|alert| alert.state == AlertState::Firing)
        .map(|alert| ExpectedAlert {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
        })
        .collect();
    let mut expected = asked.expected.clone();
    found.sort();
    expected.sort();
    if found == expected {
        return None;
    }
    let mut text = format!("alert {}, time {}:", asked.alertname, asked.eval_time);
    for (title, alerts) in [("expected", &expected), ("firing", &found)] {
        list(
            &mut text,
            title,
            alerts.iter().map(|alert| format!("{} {:?}", alert.labels, alert.annotations)),
        );
    }
    Some(text)
}

fn check_samples(asked: &ExprTest, found: Vec<InstantSample>, fuzzy: bool) -> Option<String> {
    let mut found: Vec<(Labels, SampleValue)> =
        found.into_iter().map(|sample| (sample.labels, sample.value)).collect();
    let mut expected = asked.expected.clone();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let same = found.len() == expected.len()
        && expected
            .iter()
            .zip(&found)
            .all(|(wanted, got)| wanted.0 == got.0 && values_equal(&wanted.1, &got.1, fuzzy));
    if same {
        return None;
    }
    let mut text = format!("expr {:?}, time {}:", asked.text, asked.eval_time);
    for (title, samples) in [("expected", &expected), ("result", &found)] {
        list(
            &mut text,
            title,
            samples.iter().map(|(labels, value)| format!("{labels} {}", shown(value))),
        );
    }
    Some(text)
}

fn list(text: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let before = text.len();
    for item in items {
        write!(text, "\n      {title}: {item}").expect("a string takes all");
    }
    if text.len() == before {
        write!(text, "\n      {title}: none").expect("a string takes all");
    }
}

fn shown(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(number) => swell_promql_syntax::format_float(*number),
        SampleValue::Histogram(histogram) => {
            swell_promql_syntax::format_histogram(&histogram.as_ref().clone().compacted())
        }
    }
}

fn values_equal(wanted: &SampleValue, got: &SampleValue, fuzzy: bool) -> bool {
    match (wanted, got) {
        (SampleValue::Float(a), SampleValue::Float(b)) => floats_equal(*a, *b, fuzzy),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => histograms_equal(a, b, fuzzy),
        _ => false,
    }
}

fn floats_equal(a: f64, b: f64, fuzzy: bool) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (fuzzy && (a.next_up() == b || a.next_down() == b))
}

fn histograms_equal(a: &NativeHistogram, b: &NativeHistogram, fuzzy: bool) -> bool {
    let (a, b) = (a.clone().compacted(), b.clone().compacted());
    let all = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| floats_equal(*a, *b, fuzzy))
    };
    let scalars = |h: &NativeHistogram| [h.sum, h.count, h.zero_count, h.zero_threshold];
    (a.schema, a.reset_hint) == (b.schema, b.reset_hint)
        && (&a.positive_spans, &a.negative_spans) == (&b.positive_spans, &b.negative_spans)
        && all(&scalars(&a), &scalars(&b))
        && all(&a.positive_buckets, &b.positive_buckets)
        && all(&a.negative_buckets, &b.negative_buckets)
        && all(&a.custom_bounds, &b.custom_bounds)
}
