//! Test files: strict YAML, checked before anything runs. The language is that of `promtool test rules`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;
use swell_model::{DurationMs, Labels, NativeHistogram, SampleValue, TimestampMs, first_document};
use swell_promql_syntax::{Expr, parse, parse_metric, parse_number, parse_series_values};
use swell_rules::{Finding, Location};

/// Time between evaluations where the file names none.
const INTERVAL_DEFAULT: DurationMs = DurationMs::from_secs(60);
/// Most evaluations that one test may ask for.
const EVALUATIONS_MAX: i64 = 10_000_000;

/// A checked test file.
#[derive(Clone, Debug)]
pub struct UnitTestFile {
    /// Globs of rule files, relative to the folder of the test file.
    pub rule_files: Vec<String>,
    pub(super) evaluation_interval: DurationMs,
    /// Names of groups in the order of their evaluation; a group that is not named counts as the first.
    pub(super) group_order: Vec<String>,
    /// Values may differ in the last bit.
    pub(super) fuzzy: bool,
    pub(super) tests: Vec<UnitTest>,
}

#[derive(Clone, Debug)]
pub(super) struct UnitTest {
    pub(super) name: String,
    pub(super) start: TimestampMs,
    pub(super) interval: DurationMs,
    pub(super) series: Vec<InputSeries>,
    pub(super) alerts: Vec<AlertTest>,
    pub(super) exprs: Vec<ExprTest>,
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
}

#[derive(Clone, Debug)]
pub(super) struct InputSeries {
    pub(super) labels: Labels,
    /// By position: the first stands at the start, the others an interval apart.
    pub(super) values: Vec<Option<SampleValue>>,
}

#[derive(Clone, Debug)]
pub(super) struct AlertTest {
    pub(super) eval_time: DurationMs,
    pub(super) alertname: String,
    pub(super) expected: Vec<ExpectedAlert>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ExpectedAlert {
    /// The name of the alert included.
    pub(super) labels: Labels,
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(super) struct ExprTest {
    pub(super) eval_time: DurationMs,
    pub(super) text: String,
    pub(super) expr: Arc<Expr>,
    pub(super) expected: Vec<(Labels, SampleValue)>,
}

impl UnitTest {
    /// From the start to the last evaluation that a test asks for.
    pub(super) fn span(&self) -> DurationMs {
        let alerts = self.alerts.iter().map(|test| test.eval_time);
        alerts.chain(self.exprs.iter().map(|test| test.eval_time)).max().unwrap_or_default()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    rule_files: Vec<String>,
    evaluation_interval: Option<Spanned<String>>,
    #[serde(default)]
    group_eval_order: Vec<String>,
    #[serde(default, deserialize_with = "or_zero")]
    fuzzy_compare: bool,
    #[serde(default)]
    tests: Vec<Spanned<RawTest>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTest {
    #[serde(default, deserialize_with = "or_zero")]
    name: String,
    interval: Option<Spanned<String>>,
    start_timestamp: Option<Spanned<String>>,
    #[serde(default)]
    input_series: Vec<RawSeries>,
    #[serde(default)]
    alert_rule_test: Vec<Spanned<RawAlertTest>>,
    #[serde(default)]
    promql_expr_test: Vec<Spanned<RawExprTest>>,
    #[serde(default, deserialize_with = "texts")]
    external_labels: BTreeMap<String, String>,
    external_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSeries {
    series: Spanned<String>,
    values: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAlertTest {
    eval_time: Option<Spanned<String>>,
    alertname: Option<String>,
    exp_alerts: Option<Vec<RawAlert>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAlert {
    #[serde(default, deserialize_with = "texts")]
    exp_labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "texts")]
    exp_annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExprTest {
    expr: Option<Spanned<String>>,
    eval_time: Option<Spanned<String>>,
    exp_samples: Option<Vec<RawSample>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSample {
    labels: Option<Spanned<String>>,
    value: Option<Spanned<String>>,
    histogram: Option<Spanned<String>>,
}

/// A value that is zero where YAML says null, as in promtool.
fn or_zero<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Texts by name; null is an empty one.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let texts: BTreeMap<String, Option<String>> = or_zero(deserializer)?;
    Ok(texts.into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect())
}

/// Parses and checks a test file. Of several YAML documents the first one counts.
///
/// # Errors
/// All faults, in the order of the file.
pub fn parse_unit_tests(text: &str) -> Result<UnitTestFile, Vec<Finding>> {
    let raw: RawFile = serde_saphyr::from_str(first_document(text))
        .map_err(|error| vec![Finding::from_yaml(&error)])?;
    let mut checker = Checker { findings: Vec::new() };
    let evaluation_interval = checker
        .interval("evaluation_interval", raw.evaluation_interval.as_ref())
        .unwrap_or(INTERVAL_DEFAULT);
    let tests = raw.tests.into_iter().map(|test| checker.test(test, evaluation_interval)).collect();
    let file = UnitTestFile {
        rule_files: raw.rule_files,
        evaluation_interval,
        group_order: raw.group_eval_order,
        fuzzy: raw.fuzzy_compare,
        tests,
    };
    if checker.findings.is_empty() { Ok(file) } else { Err(checker.findings) }
}

struct Checker {
    findings: Vec<Finding>,
}

impl Checker {
    fn find(&mut self, at: serde_saphyr::Location, message: String) {
        let location = Location { line: at.line(), column: at.column() };
        self.findings.push(Finding { location: Some(location), message });
    }

    fn test(&mut self, spanned: Spanned<RawTest>, evaluation_interval: DurationMs) -> UnitTest {
        let (at, raw) = (spanned.referenced, spanned.value);
        let start = raw.start_timestamp.as_ref().and_then(|text| self.start(text));
        let test = UnitTest {
            name: raw.name,
            start: start.unwrap_or_default(),
            interval: self
                .interval("interval", raw.interval.as_ref())
                .unwrap_or(evaluation_interval),
            series: raw.input_series.iter().filter_map(|series| self.series(series)).collect(),
            alerts: raw
                .alert_rule_test
                .into_iter()
                .filter_map(|test| self.alert_test(test))
                .collect(),
            exprs: raw
                .promql_expr_test
                .into_iter()
                .filter_map(|test| self.expr_test(test))
                .collect(),
            external_labels: Labels::from_pairs(raw.external_labels),
            external_url: raw.external_url.unwrap_or_default(),
        };
        let evaluation_count = test.span().0 / evaluation_interval.0;
        if evaluation_count > EVALUATIONS_MAX {
            self.find(
                at,
                format!(
                    "the last eval_time asks for {evaluation_count} evaluations, at most {EVALUATIONS_MAX}: lengthen evaluation_interval"
                ),
            );
        }
        test
    }

    /// Seconds since 1970, or a date.
    fn start(&mut self, text: &Spanned<String>) -> Option<TimestampMs> {
        let seconds = parse_number(&text.value).filter(|seconds| seconds.abs() < 1e12);
        let millis = match seconds {
            #[expect(clippy::cast_possible_truncation, reason = "below 1e15 milliseconds")]
            Some(seconds) => Some((seconds * 1000.0).round() as i64),
            None => text.value.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
        };
        if millis.is_none() {
            let message = format!(
                "start_timestamp {:?} is neither seconds since 1970 nor a date such as 2024-01-01T00:00:00Z",
                text.value
            );
            self.find(text.referenced, message);
        }
        millis.map(TimestampMs)
    }

    fn duration(&mut self, key: &str, text: &Spanned<String>) -> Option<DurationMs> {
        match DurationMs::parse_prometheus(&text.value) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.find(text.referenced, format!("{key}: {error}"));
                None
            }
        }
    }

    fn interval(&mut self, key: &str, text: Option<&Spanned<String>>) -> Option<DurationMs> {
        let text = text?;
        let interval = self.duration(key, text)?;
        if interval == DurationMs::ZERO {
            self.find(text.referenced, format!("{key} must be more than 0"));
            return None;
        }
        Some(interval)
    }

    fn series(&mut self, raw: &RawSeries) -> Option<InputSeries> {
        let labels = match parse_metric(&raw.series.value) {
            Ok(labels) => Some(labels),
            Err(error) => {
                self.find(raw.series.referenced, format!("series {:?}: {error}", raw.series.value));
                None
            }
        };
        let values = match parse_series_values(&raw.values.value) {
            Ok(values) => Some(values),
            Err(error) => {
                self.find(raw.values.referenced, format!("values: {error}"));
                None
            }
        };
        Some(InputSeries { labels: labels?, values: values? })
    }

    fn eval_time(&mut self, text: Option<&Spanned<String>>) -> DurationMs {
        text.and_then(|text| self.duration("eval_time", text)).unwrap_or_default()
    }

    fn alert_test(&mut self, spanned: Spanned<RawAlertTest>) -> Option<AlertTest> {
        let (at, raw) = (spanned.referenced, spanned.value);
        let eval_time = self.eval_time(raw.eval_time.as_ref());
        let Some(alertname) = raw.alertname.filter(|name| !name.is_empty()) else {
            self.find(at, "alertname is missing".to_owned());
            return None;
        };
        let expected = raw.exp_alerts.unwrap_or_default().into_iter().map(|alert| {
            let mut labels = alert.exp_labels;
            labels.insert("alertname".to_owned(), alertname.clone());
            ExpectedAlert { labels: Labels::from_pairs(labels), annotations: alert.exp_annotations }
        });
        Some(AlertTest { eval_time, expected: expected.collect(), alertname: alertname.clone() })
    }

    fn expr_test(&mut self, spanned: Spanned<RawExprTest>) -> Option<ExprTest> {
        let (at, raw) = (spanned.referenced, spanned.value);
        let eval_time = self.eval_time(raw.eval_time.as_ref());
        let expected = raw.exp_samples.unwrap_or_default();
        let expected: Vec<_> =
            expected.iter().filter_map(|sample| self.expected_sample(at, sample)).collect();
        let Some(text) = raw.expr else {
            self.find(at, "expr is missing".to_owned());
            return None;
        };
        match parse(&text.value) {
            Ok(expr) => {
                Some(ExprTest { eval_time, text: text.value, expr: Arc::new(expr), expected })
            }
            Err(error) => {
                self.find(text.referenced, format!("expr: {error}"));
                None
            }
        }
    }

    fn expected_sample(
        &mut self,
        at: serde_saphyr::Location,
        raw: &RawSample,
    ) -> Option<(Labels, SampleValue)> {
        let labels = match &raw.labels {
            Some(text) if !text.value.trim().is_empty() => match parse_metric(&text.value) {
                Ok(labels) => labels,
                Err(error) => {
                    self.find(text.referenced, format!("labels {:?}: {error}", text.value));
                    return None;
                }
            },
            _ => Labels::empty(),
        };
        let value = match (&raw.value, &raw.histogram) {
            (_, Some(text)) => match histogram(&text.value) {
                Ok(histogram) => SampleValue::Histogram(histogram),
                Err(error) => {
                    self.find(text.referenced, format!("histogram: {error}"));
                    return None;
                }
            },
            (Some(text), None) => match yaml_number(&text.value) {
                Some(number) => SampleValue::Float(number),
                None => {
                    self.find(text.referenced, format!("value {:?} is no number", text.value));
                    return None;
                }
            },
            (None, None) => {
                self.find(at, "an expected sample needs a value or a histogram".to_owned());
                return None;
            }
        };
        Some((labels, value))
    }
}

fn histogram(text: &str) -> Result<Arc<NativeHistogram>, String> {
    match &parse_series_values(text)?[..] {
        [Some(SampleValue::Histogram(histogram))] => Ok(Arc::clone(histogram)),
        _ => Err(format!("{text:?} is not one histogram")),
    }
}

/// A number as PromQL or YAML (`.inf`, `.nan`) writes it.
fn yaml_number(text: &str) -> Option<f64> {
    parse_number(text).or_else(|| {
        let (sign, size) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
        match size.trim_start_matches('+').to_ascii_lowercase().as_str() {
            ".inf" => Some(sign * f64::INFINITY),
            ".nan" => Some(f64::NAN),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_their_place() {
        for (text, expected) in [
            ("tests: [{interval: 0s}]", "line 1, column 20: interval must be more than 0"),
            ("evaluation_interval: soon", "line 1, column 22: evaluation_interval: "),
            ("tests:\n- alert_rule_test: [{eval_time: 1m}]", "alertname is missing"),
            ("tests:\n- promql_expr_test: [{eval_time: 1m}]", "expr is missing"),
            ("tests:\n- promql_expr_test: [{expr: sum(}]", "expr: 1:5"),
            ("tests:\n- input_series: [{series: a, values: 1q}]", "value \"1q\""),
            ("tests:\n- input_series: [{series: '{', values: '1'}]", "series \"{\""),
            ("tests:\n- start_timestamp: yesterday", "start_timestamp \"yesterday\""),
            (
                "tests:\n- promql_expr_test: [{expr: a, exp_samples: [{labels: a}]}]",
                "needs a value or a histogram",
            ),
            (
                "tests:\n- promql_expr_test: [{expr: a, eval_time: 9999d}]\nevaluation_interval: 1ms",
                "evaluations",
            ),
            ("test: []", "unknown field"),
        ] {
            let findings = parse_unit_tests(text).expect_err(text);
            let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
            assert!(shown.iter().any(|finding| finding.contains(expected)), "{text}: {shown:?}");
        }
    }

    #[test]
    fn what_says_nothing_is_zero() {
        let file = parse_unit_tests(
            "fuzzy_compare:\ntests:\n- name:\n  external_labels: {a: }\n  alert_rule_test:\n  - alertname: A\n    exp_alerts: [{exp_labels: , exp_annotations: {d: ~}}]\n---\nno more\n",
        )
        .expect("valid");
        assert!(!file.fuzzy);
        let test = &file.tests[0];
        assert_eq!((test.name.as_str(), test.external_labels.is_empty()), ("", true));
        let expected = &test.alerts[0].expected[0];
        assert_eq!(expected.labels, Labels::from_pairs([("alertname", "A")]));
        assert_eq!(expected.annotations["d"], "");
    }

    #[test]
    fn scalars_need_no_quotes() {
        let file = parse_unit_tests(
            "tests:\n- start_timestamp: 1609459200\n  input_series: [{series: up, values: 1}]\n  promql_expr_test: [{expr: 1, eval_time: 0, exp_samples: [{value: -.inf}]}]\n",
        )
        .expect("valid");
        let test = &file.tests[0];
        assert_eq!(test.start, TimestampMs(1_609_459_200_000));
        assert_eq!(test.series[0].values, [Some(SampleValue::Float(1.0))]);
        assert_eq!(test.exprs[0].expected[0].1, SampleValue::Float(f64::NEG_INFINITY));
    }
}
