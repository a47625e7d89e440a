//! Checked rules, as they are evaluated.

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_model::{DurationMs, Labels, SampleValue};
use swell_promql_syntax::Expr;

use crate::text::Text;

/// All groups of one file.
#[derive(Clone, Debug, Default)]
pub struct RuleFile {
    /// Groups in the order of the file; names are unique.
    pub groups: Vec<RuleGroup>,
}

/// Rules that run one after the other at the same time.
#[derive(Clone, Debug)]
pub struct RuleGroup {
    /// Unique in the file.
    pub name: String,
    /// Time between evaluations; the global one when absent. More than zero.
    pub interval: Option<DurationMs>,
    /// How much earlier than now the queries look; the global one when absent.
    pub query_offset: Option<DurationMs>,
    /// At most so many series or alerts per rule; 0 is no limit.
    pub limit: usize,
    /// In order of evaluation.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Writes the result as new series.
    Recording(RecordingRule),
    /// Watches the result.
    Alerting(AlertingRule),
}

/// `record: …`
#[derive(Clone, Debug)]
pub struct RecordingRule {
    /// Name of the series written.
    pub record: String,
    /// The query as written.
    pub expr_text: String,
    /// The query.
    pub expr: Arc<Expr>,
    /// Labels set on the series, those of the group included; an empty value removes the label.
    pub labels: BTreeMap<String, String>,
}

/// `alert: …`
#[derive(Clone, Debug)]
pub struct AlertingRule {
    /// Name, which becomes the label `alertname`.
    pub alert: String,
    /// The query as written.
    pub expr_text: String,
    /// The query.
    pub expr: Arc<Expr>,
    /// How long the result must be there before the alert fires.
    pub for_: DurationMs,
    /// How long it goes on firing without result.
    pub keep_firing_for: DurationMs,
    /// Templates of the labels, those of the group included.
    pub labels: BTreeMap<String, Text>,
    /// Templates of the annotations.
    pub annotations: BTreeMap<String, Text>,
}

impl Rule {
    /// The name of the alert or of the series.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Recording(rule) => &rule.record,
            Self::Alerting(rule) => &rule.alert,
        }
    }

    /// The query.
    #[must_use]
    pub const fn expr(&self) -> &Arc<Expr> {
        match self {
            Self::Recording(rule) => &rule.expr,
            Self::Alerting(rule) => &rule.expr,
        }
    }

    /// The query as written.
    #[must_use]
    pub fn expr_text(&self) -> &str {
        match self {
            Self::Recording(rule) => &rule.expr_text,
            Self::Alerting(rule) => &rule.expr_text,
        }
    }

    /// Labels as written, templates included.
    #[must_use]
    pub fn label_texts(&self) -> BTreeMap<String, String> {
        match self {
            Self::Recording(rule) => rule.labels.clone(),
            Self::Alerting(rule) => sources(&rule.labels),
        }
    }

    /// What makes a rule the same one after a reload: kind, name, query and labels. `for` and annotations may
    /// change without the alerts starting over.
    #[must_use]
    pub fn identity(&self) -> String {
        let kind = match self {
            Self::Recording(_) => "record",
            Self::Alerting(_) => "alert",
        };
        format!("{kind}\u{0}{}\u{0}{}\u{0}{:?}", self.name(), self.expr_text(), self.label_texts())
    }
}

impl AlertingRule {
    /// Annotations as written.
    #[must_use]
    pub fn annotation_texts(&self) -> BTreeMap<String, String> {
        sources(&self.annotations)
    }
}

fn sources(texts: &BTreeMap<String, Text>) -> BTreeMap<String, String> {
    texts.iter().map(|(name, text)| (name.clone(), text.source().to_owned())).collect()
}

/// One element of a query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct InstantSample {
    /// Labels, the metric's name included.
    pub labels: Labels,
    /// Value.
    pub value: SampleValue,
}

/// The result of a query at one instant, as rules can use it.
#[derive(Clone, Debug, PartialEq)]
pub enum InstantValue {
    /// At most one sample per series.
    Vector(Vec<InstantSample>),
    /// One number.
    Scalar(f64),
}

impl InstantValue {
    /// The samples; a scalar gives one without labels.
    #[must_use]
    pub fn into_samples(self) -> Vec<InstantSample> {
        match self {
            Self::Vector(samples) => samples,
            Self::Scalar(number) => {
                vec![InstantSample { labels: Labels::empty(), value: SampleValue::Float(number) }]
            }
        }
    }
}
