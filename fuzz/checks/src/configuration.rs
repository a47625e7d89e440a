//! What people write: queries, rules, configurations, templates.

use swell_model::{
    DurationMs, MatchOp, Matcher, Quantity, SelectError, SelectHints, SeriesIter, SeriesSource,
    TimeRange, TimestampMs,
};
use swell_promql::{Budget, EvalParams, evaluate};
use swell_promql_syntax::parse;
use swell_template::{Limits, NoFunctions, Set, Value};

/// Any text: the parser answers, what it prints parses to the same tree, and evaluating it on no data ends.
pub(crate) fn promql(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(expr) = parse(text) else { return false };
    let printed = expr.to_string();
    let again = parse(&printed).expect("what is printed parses");
    assert_eq!(printed, again.to_string());
    let budget = Budget::new(10_000, 100);
    // A fault of evaluation is an answer too.
    drop(evaluate(&expr, &Nothing, &EvalParams::instant(TimestampMs(1_000_000)), &budget));
    true
}

struct Nothing;

impl SeriesSource for Nothing {
    fn select<'a>(&'a self, _: &[Matcher], _: &SelectHints) -> Result<SeriesIter<'a>, SelectError> {
        Ok(Box::new(std::iter::empty()))
    }

    fn label_names(&self, _: &[Matcher], _: TimeRange) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _: &str,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }
}

/// Any text as a rule file: checked rules or findings, never a panic.
pub(crate) fn rules(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match swell_rules::parse_rule_file(text) {
        Ok(_) => {
            assert!(swell_rules::check_rules(text).is_empty());
            true
        }
        Err(findings) => {
            assert!(!findings.is_empty());
            false
        }
    }
}

/// Any text as a notification configuration: a checked one or faults, never a panic.
pub(crate) fn alertmanager(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match swell_route::parse_config(text) {
        Ok(_) => true,
        Err(faults) => {
            assert!(!faults.is_empty());
            false
        }
    }
}

/// Any text as a duration, a quantity, a regular expression: a value or an error.
pub(crate) fn scalars(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut is_taken = false;
    if let Ok(span) = DurationMs::parse_prometheus(text) {
        is_taken = true;
        let printed = span.to_string();
        assert_eq!(DurationMs::parse_prometheus(&printed), Ok(span), "{printed}");
    }
    if let Ok(quantity) = Quantity::parse(text) {
        is_taken = true;
        assert_eq!(Quantity::parse(&quantity.to_string()), Ok(quantity));
    }
    if let Ok(matcher) = Matcher::new("a", MatchOp::Regex, text) {
        is_taken = true;
        let negated = Matcher::new("a", MatchOp::NotRegex, text).expect("the same pattern");
        assert_ne!(matcher.matches(text), negated.matches(text));
    }
    is_taken
}

/// Any text as a template: it is rendered or refused, within limits.
pub(crate) fn template(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let limits = Limits { depth_max: 8, steps_max: 2000, output_bytes_max: 1 << 14 };
    let mut set = Set::new();
    if set.add("t", text, &["$labels"], &NoFunctions).is_err() {
        return false;
    }
    let (dot, labels) = (Value::from("dot"), Value::from("labels"));
    let rendered = set.render("t", &dot, &[("$labels", labels)], &NoFunctions, &limits);
    rendered.is_ok_and(|out| {
        assert!(out.len() <= limits.output_bytes_max);
        true
    })
}
