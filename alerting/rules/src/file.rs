//! Rule files: strict YAML, checked to the last expression and template. All faults are reported, not the first.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde_saphyr::{Spanned, UserMessageFormatter};
use swell_model::{DurationMs, METRIC_NAME, first_document};

use self::raw::{RawFile, RawGroup, RawRule, Strict};
use crate::rule::{AlertingRule, RecordingRule, Rule, RuleFile, RuleGroup};
use crate::text::Text;

/// How a file is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// Names must be classic identifiers, as before Prometheus 3.
    pub legacy_names: bool,
    /// Fields that are not known are passed over instead of refused.
    pub ignore_unknown_fields: bool,
}

/// Line and column in a file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

/// One thing wrong with a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, if the parser can tell.
    pub location: Option<Location>,
    /// What, with group and rule.
    pub message: String,
}

impl Finding {
    /// The fault that a YAML parser met.
    #[must_use]
    pub fn from_yaml(error: &serde_saphyr::Error) -> Self {
        let location = error.location().map(|at| Location { line: at.line(), column: at.column() });
        // The first line says what is wrong and where; a picture of the source follows it.
        let text = error.without_snippet().render_with_formatter(&UserMessageFormatter);
        let line = text.lines().next().unwrap_or_default();
        let message = line.rsplit_once(" at line ").map_or(line, |(message, _)| message);
        Self { location, message: message.to_owned() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.location {
            write!(f, "line {}, column {}: ", at.line, at.column)?;
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong with a rule file; empty when it is valid.
#[must_use]
pub fn check_rules(text: &str) -> Vec<Finding> {
    parse_rule_file(text).err().unwrap_or_default()
}

/// Parses and checks a rule file.
///
/// # Errors
/// All faults, in the order of the file.
pub fn parse_rule_file(text: &str) -> Result<RuleFile, Vec<Finding>> {
    parse_rule_file_with(text, CheckOptions::default())
}

/// Parses and checks a rule file with options. Of several YAML documents the first one counts.
///
/// # Errors
/// All faults, in the order of the file.
pub fn parse_rule_file_with(text: &str, options: CheckOptions) -> Result<RuleFile, Vec<Finding>> {
    let text = first_document(text);
    let raw: Result<Option<RawFile>, serde_saphyr::Error> = if options.ignore_unknown_fields {
        serde_saphyr::from_str::<Option<raw::lenient::RawFile>>(text).map(Strict::strict)
    } else {
        serde_saphyr::from_str(text)
    };
    let raw = raw.map_err(|error| vec![Finding::from_yaml(&error)])?;
    let mut checker = Checker { options, findings: Vec::new() };
    let file = checker.file(raw.unwrap_or_default());
    if checker.findings.is_empty() { Ok(file) } else { Err(checker.findings) }
}

type RawLabels = BTreeMap<String, Spanned<String>>;

struct Checker {
    options: CheckOptions,
    findings: Vec<Finding>,
}

impl Checker {
    fn find(&mut self, at: serde_saphyr::Location, message: String) {
        let location = Location { line: at.line(), column: at.column() };
        self.findings.push(Finding { location: Some(location), message });
    }

    fn file(&mut self, raw: RawFile) -> RuleFile {
        let mut names = HashSet::new();
        let mut groups = Vec::new();
        for (idx, group) in raw.groups.unwrap_or_default().into_iter().enumerate() {
            let name = match &group.name {
                Some(name) if !name.value.is_empty() => name.value.clone(),
                _ => {
                    let message = format!("group {} has no name", idx + 1);
                    self.findings.push(Finding { location: None, message });
                    continue;
                }
            };
            if !names.insert(name.clone())
                && let Some(spanned) = &group.name
            {
                self.find(
                    spanned.referenced,
                    format!("group name {name:?} is used twice in this file"),
                );
            }
            groups.push(self.group(name, group));
        }
        RuleFile { groups }
    }

    fn group(&mut self, name: String, raw: RawGroup) -> RuleGroup {
        let context = format!("group {name:?}");
        // Zero is as if it was not given, here and below, as in Prometheus.
        let interval = self.duration(&context, "interval", raw.interval.as_ref());
        let interval = interval.filter(|interval| *interval > DurationMs::ZERO);
        let query_offset = self.duration(&context, "query_offset", raw.query_offset.as_ref());
        let labels = raw.labels.unwrap_or_default();
        self.label_names(&context, "label", &labels);
        let rules = raw
            .rules
            .unwrap_or_default()
            .into_iter()
            .enumerate()
            .filter_map(|(idx, rule)| self.rule(&name, idx, rule, &labels))
            .collect();
        let limit = raw.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0);
        RuleGroup { name, interval, query_offset, limit, rules }
    }

    fn rule(
        &mut self,
        group: &str,
        idx: usize,
        spanned: Spanned<RawRule>,
        group_labels: &RawLabels,
    ) -> Option<Rule> {
        let at = spanned.referenced;
        let mut raw = spanned.value;
        raw.record = raw.record.filter(|record| !record.value.is_empty());
        raw.alert = raw.alert.filter(|alert| !alert.value.is_empty());
        let context = match (&raw.record, &raw.alert) {
            (Some(record), None) => {
                format!("group {group:?}, rule {}, record {:?}", idx + 1, record.value)
            }
            (None, Some(alert)) => {
                format!("group {group:?}, rule {}, alert {:?}", idx + 1, alert.value)
            }
            (Some(_), Some(_)) => {
                self.find(
                    at,
                    format!(
                        "group {group:?}, rule {}: only one of record and alert may be set",
                        idx + 1
                    ),
                );
                return None;
            }
            (None, None) => {
                self.find(
                    at,
                    format!(
                        "group {group:?}, rule {}: one of record and alert must be set",
                        idx + 1
                    ),
                );
                return None;
            }
        };
        let expr = self.expr(&context, at, raw.expr.as_ref());
        let rule_labels = raw.labels.unwrap_or_default();
        self.label_names(&context, "label", &rule_labels);
        let mut labels = group_labels.clone();
        labels.extend(rule_labels);
        let for_ = self.duration(&context, "for", raw.for_.as_ref()).unwrap_or_default();
        let keep_firing_for = self
            .duration(&context, "keep_firing_for", raw.keep_firing_for.as_ref())
            .unwrap_or_default();
        if let Some(record) = raw.record {
            for (key, set) in [
                ("for", for_ > DurationMs::ZERO),
                ("keep_firing_for", keep_firing_for > DurationMs::ZERO),
                ("annotations", raw.annotations.is_some_and(|annotations| !annotations.is_empty())),
            ] {
                if set {
                    self.find(at, format!("{context}: {key} is for alerts only"));
                }
            }
            self.record_name(&context, &record);
            let (expr_text, expr) = expr?;
            let labels = labels.into_iter().map(|(name, value)| (name, value.value)).collect();
            return Some(Rule::Recording(RecordingRule {
                record: record.value,
                expr_text,
                expr,
                labels,
            }));
        }
        let alert = raw.alert?;
        let annotations = raw.annotations.unwrap_or_default();
        self.annotation_names(&context, &annotations);
        let labels = self.texts(&context, "label", labels);
        let annotations = self.texts(&context, "annotation", annotations);
        let (expr_text, expr) = expr?;
        let alert = alert.value;
        Some(Rule::Alerting(AlertingRule {
            alert,
            expr_text,
            expr,
            for_,
            keep_firing_for,
            labels,
            annotations,
        }))
    }

    fn expr(
        &mut self,
        context: &str,
        rule_at: serde_saphyr::Location,
        raw: Option<&Spanned<String>>,
    ) -> Option<(String, Arc<swell_promql_syntax::Expr>)> {
        let Some(text) = raw.filter(|text| !text.value.trim().is_empty()) else {
            self.find(rule_at, format!("{context}: expr is missing or empty"));
            return None;
        };
        match swell_promql_syntax::parse(&text.value) {
            Ok(expr) => Some((text.value.clone(), Arc::new(expr))),
            Err(error) => {
                self.find(text.referenced, format!("{context}: expr: {error}"));
                None
            }
        }
    }

    fn duration(
        &mut self,
        context: &str,
        key: &str,
        raw: Option<&Spanned<String>>,
    ) -> Option<DurationMs> {
        let spanned = raw?;
        match DurationMs::parse_prometheus(&spanned.value) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.find(spanned.referenced, format!("{context}: {key}: {error}"));
                None
            }
        }
    }

    fn record_name(&mut self, context: &str, record: &Spanned<String>) {
        let name = &record.value;
        if name.contains(['{', '}']) {
            let message =
                format!("{context}: a series name must not contain braces; labels go under labels");
            self.find(record.referenced, message);
        } else if self.options.legacy_names && !is_classic(name, true) {
            self.find(record.referenced, format!("{context}: {name:?} is no classic metric name"));
        }
    }

    fn label_names(&mut self, context: &str, what: &str, labels: &RawLabels) {
        for (name, value) in labels {
            let valid = !name.is_empty() && (!self.options.legacy_names || is_classic(name, false));
            if !valid || name == METRIC_NAME {
                self.find(
                    value.referenced,
                    format!("{context}: {name:?} cannot be used as the name of a {what}"),
                );
            }
        }
    }

    fn annotation_names(&mut self, context: &str, annotations: &RawLabels) {
        for (name, value) in annotations {
            if name.is_empty() || (self.options.legacy_names && !is_classic(name, false)) {
                self.find(
                    value.referenced,
                    format!("{context}: {name:?} cannot be used as the name of an annotation"),
                );
            }
        }
    }

    fn texts(&mut self, context: &str, what: &str, raw: RawLabels) -> BTreeMap<String, Text> {
        let mut texts = BTreeMap::new();
        for (name, spanned) in raw {
            match Text::parse(&spanned.value) {
                Ok(text) => {
                    texts.insert(name, text);
                }
                Err(error) => self.find(
                    spanned.referenced,
                    format!("{context}: template of {what} {name:?}: {error}"),
                ),
            }
        }
        texts
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, with colons where `colons`.
fn is_classic(name: &str, colons: bool) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':');
    name.bytes().all(allowed)
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
}

mod raw;
#[cfg(test)]
mod tests;
