//! Recording rules.

use std::collections::HashSet;

use swell_model::{Labels, METRIC_NAME, SampleValue};

use crate::rule::{InstantSample, RecordingRule};

/// A sample to write at the time of the evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedSample {
    /// Series.
    pub labels: Labels,
    /// Value.
    pub value: SampleValue,
}

/// A recording that failed; nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Two results have the same labels once the rule's labels are on.
    #[error("two results have the labels {labels} after the labels of the rule are applied")]
    DuplicateLabels {
        /// The labels.
        labels: String,
    },
    /// More series than the group allows.
    #[error("the limit of {limit} series is exceeded with {count}")]
    LimitExceeded {
        /// Series in the result.
        count: usize,
        /// The group's limit.
        limit: usize,
    },
}

/// The series that the result is recorded as.
///
/// # Errors
/// [`RecordError`] tells why nothing may be written.
pub fn record(
    rule: &RecordingRule,
    result: Vec<InstantSample>,
    limit: usize,
) -> Result<Vec<RecordedSample>, RecordError> {
    let mut seen = HashSet::with_capacity(result.len());
    let mut samples = Vec::with_capacity(result.len());
    for sample in result {
        let mut labels = sample.labels.to_builder();
        labels.set(METRIC_NAME, &rule.record);
        for (name, value) in &rule.labels {
            labels.set(name, value);
        }
        let labels = labels.build();
        if !seen.insert(labels.clone()) {
            return Err(RecordError::DuplicateLabels { labels: labels.to_string() });
        }
        samples.push(RecordedSample { labels, value: sample.value });
    }
    if limit > 0 && samples.len() > limit {
        return Err(RecordError::LimitExceeded { count: samples.len(), limit });
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Rule;

    fn rule(yaml: &str) -> RecordingRule {
        let text = format!("groups: [{{name: g, rules: [{yaml}]}}]");
        let file = crate::parse_rule_file(&text).expect("the rule is valid");
        match file.groups[0].rules[0].clone() {
            Rule::Recording(rule) => rule,
            Rule::Alerting(_) => panic!("not a recording rule"),
        }
    }

    fn sample(pairs: &[(&str, &str)], value: f64) -> InstantSample {
        let labels = Labels::from_pairs(pairs.iter().copied());
        InstantSample { labels, value: SampleValue::Float(value) }
    }

    #[test]
    fn results_are_renamed_and_labelled() {
        let rule = rule("{record: r, expr: m, labels: {sev: high, gone: ''}}");
        let result = vec![sample(&[("__name__", "m"), ("x", "1"), ("gone", "y")], 2.0)];
        let samples = record(&rule, result, 0).expect("no duplicates");
        assert_eq!(samples[0].labels.to_string(), r#"r{sev="high", x="1"}"#);
        assert_eq!(samples[0].value, SampleValue::Float(2.0));
    }

    #[test]
    fn duplicates_and_limits_fail_the_rule() {
        let rule = rule("{record: r, expr: m, labels: {x: same}}");
        let twice = vec![sample(&[("x", "1")], 1.0), sample(&[("x", "2")], 2.0)];
        assert!(matches!(record(&rule, twice, 0), Err(RecordError::DuplicateLabels { .. })));
        let rule = self::rule("{record: r, expr: m}");
        let twice = vec![sample(&[("x", "1")], 1.0), sample(&[("x", "2")], 2.0)];
        assert_eq!(record(&rule, twice, 1), Err(RecordError::LimitExceeded { count: 2, limit: 1 }));
    }
}
