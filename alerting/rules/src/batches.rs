//! Which rules of a group may be evaluated side by side: those of which none reads or writes what another writes. The
//! order of the file decides all else, so that each rule sees what it would see if they ran one after the other.

use swell_model::{METRIC_NAME, Matcher};
use swell_promql_syntax::{Expr, ExprKind};

use crate::rule::Rule;

/// Series that an alerting rule writes.
const ALERT_SERIES: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];
const ALERT_NAME: &str = "alertname";

/// Positions of rules, batch by batch: those of one batch may run at once, each batch after the one before.
#[must_use]
pub fn batches(rules: &[Rule]) -> Vec<Vec<usize>> {
    let reads: Vec<Reads<'_>> = rules.iter().map(Reads::of).collect();
    let mut levels: Vec<usize> = Vec::with_capacity(rules.len());
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for (idx, rule) in rules.iter().enumerate() {
        let depends = |earlier: &usize| {
            let other = &rules[*earlier];
            // On what is written before it; and what it has read must not be written before.
            reads[idx].meet(other) || reads[*earlier].meet(rule) || write_the_same(rule, other)
        };
        let level = (0..idx).filter(depends).map(|earlier| levels[earlier] + 1).max().unwrap_or(0);
        levels.push(level);
        if batches.len() <= level {
            batches.push(Vec::new());
        }
        batches[level].push(idx);
    }
    batches
}

/// What a rule reads.
enum Reads<'a> {
    /// It cannot be told.
    Anything,
    Selected(Vec<&'a [Matcher]>),
}

impl<'a> Reads<'a> {
    fn of(rule: &'a Rule) -> Self {
        // A template may ask a query that is put together there.
        let asks = |text: &crate::text::Text| text.source().contains("query");
        if let Rule::Alerting(alerting) = rule
            && alerting.labels.values().chain(alerting.annotations.values()).any(asks)
        {
            return Self::Anything;
        }
        let mut selected = Vec::new();
        let mut is_known = true;
        rule.expr().walk(&mut |node: &Expr| match &node.kind {
            ExprKind::Vector(selector) => selected.push(selector.matchers.as_slice()),
            ExprKind::Matrix(matrix) => selected.push(matrix.selector.matchers.as_slice()),
            // It reads series that stand nowhere in the expression.
            ExprKind::Call(call) if call.function.name == "info" => is_known = false,
            _ => {}
        });
        if is_known { Self::Selected(selected) } else { Self::Anything }
    }

    /// Whether what the other rule writes may be among it.
    fn meet(&self, writer: &Rule) -> bool {
        match self {
            Self::Anything => true,
            Self::Selected(selected) => selected.iter().any(|matchers| may_match(matchers, writer)),
        }
    }
}

fn may_match(matchers: &[Matcher], writer: &Rule) -> bool {
    let admit = |label: &str, value: &str| {
        matchers.iter().filter(|it| it.name == label).all(|it| it.matches(value))
    };
    match writer {
        Rule::Recording(rule) => admit(METRIC_NAME, &rule.record),
        Rule::Alerting(rule) => {
            ALERT_SERIES.iter().any(|series| admit(METRIC_NAME, series))
                && admit(ALERT_NAME, &rule.alert)
        }
    }
}

fn write_the_same(one: &Rule, other: &Rule) -> bool {
    match (one, other) {
        (Rule::Recording(one), Rule::Recording(other)) => one.record == other.record,
        (Rule::Alerting(one), Rule::Alerting(other)) => one.alert == other.alert,
        (Rule::Recording(recording), Rule::Alerting(_))
        | (Rule::Alerting(_), Rule::Recording(recording)) => {
            ALERT_SERIES.contains(&recording.record.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &str, expected: &[&[usize]]) {
        let file = crate::parse_rule_file(&format!("groups: [{{name: g, rules: [{rules}]}}]"));
        let file = file.expect("the rules are valid");
        assert_eq!(batches(&file.groups[0].rules), expected, "{rules}");
    }

    #[test]
    fn rules_wait_for_what_they_read_and_for_those_who_read_them() {
        check("", &[]);
        check("{record: a, expr: x}, {record: b, expr: y}, {alert: C, expr: z}", &[&[0, 1, 2]]);
        check("{record: a, expr: x}, {record: b, expr: a}, {record: c, expr: y}", &[&[0, 2], &[1]]);
        // The first one reads what the second wrote the time before.
        check("{record: a, expr: b}, {record: b, expr: y}", &[&[0], &[1]]);
        check(
            "{record: a, expr: x}, {record: b, expr: 'rate(a[5m])'}, {record: c, expr: b + a}",
            &[&[0], &[1], &[2]],
        );
        check("{record: a, expr: x, labels: {k: v}}, {record: a, expr: y}", &[&[0], &[1]]);
    }

    #[test]
    fn what_may_be_read_counts_as_read() {
        check(r#"{record: a, expr: x}, {record: b, expr: '{job="j"}'}"#, &[&[0], &[1]]);
        check(
            r#"{record: "r:a", expr: x}, {record: b, expr: '{__name__=~"r:.*"}'}"#,
            &[&[0], &[1]],
        );
        check(
            r#"{record: "r:a", expr: x}, {record: b, expr: '{__name__!~"r:.*",job="j"}'}"#,
            &[&[0, 1]],
        );
        check("{alert: A, expr: x}, {record: b, expr: ALERTS}", &[&[0], &[1]]);
        check(r#"{alert: A, expr: x}, {record: b, expr: 'ALERTS{alertname="B"}'}"#, &[&[0, 1]]);
        check("{alert: A, expr: x}, {alert: A, expr: y}", &[&[0], &[1]]);
        check(
            "{record: a, expr: x}, {alert: A, expr: y, annotations: {s: '{{ query \"a\" }}'}}",
            &[&[0], &[1]],
        );
    }
}
