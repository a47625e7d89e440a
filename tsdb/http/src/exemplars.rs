//! From an expression to the exemplars of its series, and these as JSON.

use std::collections::BTreeMap;

use swell_engine::SeriesExemplars;
use swell_model::{Exemplar, Labels, Matcher};
use swell_promql_syntax::{Expr, ExprKind};

use crate::encode::{comma, labels, string, timestamp};

/// The matchers of each selector in the expression.
pub(crate) fn selectors(expr: &Expr) -> Vec<Vec<Matcher>> {
    let mut found = Vec::new();
    expr.walk(&mut |node: &Expr| match &node.kind {
        ExprKind::Vector(selector) => found.push(selector.matchers.clone()),
        ExprKind::Matrix(matrix) => found.push(matrix.selector.matchers.clone()),
        _ => {}
    });
    found
}

/// The exemplars of all selectors, each series once.
pub(crate) fn found(
    selectors: &[Vec<Matcher>],
    select: impl Fn(&[Matcher]) -> Vec<SeriesExemplars>,
) -> BTreeMap<Labels, Vec<Exemplar>> {
    let series = selectors.iter().flat_map(|matchers| select(matchers));
    series.map(|series| (series.labels, series.exemplars)).collect()
}

/// The `data` of the answer.
pub(crate) fn data(found: &BTreeMap<Labels, Vec<Exemplar>>) -> String {
    let mut out = "[".to_owned();
    for (idx, (series, exemplars)) in found.iter().enumerate() {
        comma(&mut out, idx);
        out.push_str(r#"{"seriesLabels":"#);
        labels(&mut out, series);
        out.push_str(r#","exemplars":["#);
        for (idx, exemplar) in exemplars.iter().enumerate() {
            comma(&mut out, idx);
            out.push_str(r#"{"labels":"#);
            labels(&mut out, &exemplar.labels);
            out.push_str(r#","value":"#);
            let mut value = String::new();
            swell_wire::write_float(&mut value, exemplar.value).expect("writing to a string");
            string(&mut out, &value);
            out.push_str(r#","timestamp":"#);
            timestamp(&mut out, exemplar.timestamp);
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use swell_model::TimestampMs;
    use swell_promql_syntax::parse;

    use super::*;

    #[test]
    fn every_selector_of_an_expression_counts_and_every_series_once() {
        let expr =
            parse("sum(rate(a_bucket[5m])) / sum(b{x=\"1\"} offset 1m) + 1").expect("parses");
        let selectors = selectors(&expr);
        assert_eq!(selectors.len(), 2);
        let series = Labels::from_pairs([("__name__", "a_bucket")]);
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("trace_id", "x\"y")]),
            value: 0.25,
            timestamp: TimestampMs(1500),
        };
        let all = SeriesExemplars { labels: series, exemplars: vec![exemplar] };
        let found = found(&selectors, |_| vec![all.clone()]);
        assert_eq!(
            data(&found),
            r#"[{"seriesLabels":{"__name__":"a_bucket"},"exemplars":[{"labels":{"trace_id":"x\"y"},"value":"0.25","timestamp":1.500}]}]"#
        );
        assert_eq!(data(&BTreeMap::new()), "[]");
    }
}
