//! As of which time the samples of an expression are.

use swell_promql_syntax::ValueType;

use super::{Node, NodeKind, TimeShift, WindowSource};

/// What is known of the time of an expression's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    /// It gives no samples of series.
    NoSeries,
    /// All are as of this time.
    As(TimeShift),
    /// They are as of different times, or of none that a selector names.
    Mixed,
}

impl Reference {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::NoSeries, one) | (one, Self::NoSeries) => one,
            (Self::As(one), Self::As(other)) if one == other => self,
            _ => Self::Mixed,
        }
    }
}

/// The time that all samples of an expression are of; `None` where they are of several, or of none that a selector names.
/// What only gives scalars does not matter.
pub(crate) fn shared_time(node: &Node) -> Option<TimeShift> {
    match reference(node, TimeShift { offset_ms: 0, at_ms: None }) {
        Reference::As(time) => Some(time),
        Reference::NoSeries | Reference::Mixed => None,
    }
}

/// `outer` is where the steps of the expression are, as seen from those of the whole.
fn reference(node: &Node, outer: TimeShift) -> Reference {
    if matches!(node.value_type, ValueType::Scalar | ValueType::Text) {
        return Reference::NoSeries;
    }
    match &node.kind {
        NodeKind::Number(_) | NodeKind::Text(_) => Reference::NoSeries,
        NodeKind::Selector(selector) => Reference::As(within(outer, selector.time)),
        NodeKind::Window(window) => match &window.source {
            WindowSource::Matchers { .. } => Reference::As(within(outer, window.time)),
            WindowSource::Subquery { node, .. } => reference(node, within(outer, window.time)),
        },
        NodeKind::Call { function, args } => {
            // The second argument of info() selects labels, not samples.
            let args = if function.name == "info" { args.get(..1) } else { args.get(..) };
            let all = args.unwrap_or_default().iter().map(|arg| reference(arg, outer));
            match all.fold(Reference::NoSeries, Reference::and) {
                // A vector that no selector stands behind is of the step itself.
                Reference::NoSeries => Reference::Mixed,
                found => found,
            }
        }
        NodeKind::Aggregate(aggregate) => reference(&aggregate.input, outer),
        NodeKind::Binary(binary) => {
            reference(&binary.lhs, outer).and(reference(&binary.rhs, outer))
        }
        NodeKind::Negate(operand) | NodeKind::Plus(operand) => reference(operand, outer),
    }
}

/// The time of a selector among steps that are shifted themselves. A fixed time has its offset taken off: what is of the
/// same time is equal.
fn within(outer: TimeShift, inner: TimeShift) -> TimeShift {
    let fixed = |at: i64| TimeShift { offset_ms: 0, at_ms: Some(at) };
    match (inner.at_ms, outer.at_ms) {
        (Some(at), _) => fixed(at.saturating_sub(inner.offset_ms)),
        (None, Some(at)) => {
            fixed(at.saturating_sub(outer.offset_ms).saturating_sub(inner.offset_ms))
        }
        (None, None) => {
            TimeShift { offset_ms: outer.offset_ms.saturating_add(inner.offset_ms), at_ms: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use swell_model::TimestampMs;
    use swell_promql_syntax::parse;

    use super::*;
    use crate::params::{EvalParams, Features};
    use crate::plan::plan;

    /// The time in seconds: a fixed one, or an offset.
    fn seconds(query: &str) -> Option<(Option<i64>, i64)> {
        let expr = parse(query).expect("the query parses");
        let params =
            EvalParams { features: Features::all(), ..EvalParams::instant(TimestampMs(1_000_000)) };
        let node = plan(&expr, &params).expect("the query can be planned");
        let time = shared_time(&node)?;
        Some((time.at_ms.map(|at| at / 1000), time.offset_ms / 1000))
    }

    #[test]
    fn samples_of_one_time_have_it() {
        for (query, expected) in [
            ("m", (None, 0)),
            ("m offset 1m", (None, 60)),
            ("m @ 120", (Some(120), 0)),
            ("m @ 180 offset 1m", (Some(120), 0)),
            ("m @ end()", (Some(1000), 0)),
            ("sum by (job) (rate(m[5m] offset 1m))", (None, 60)),
            ("max_over_time(m[5m:1m] offset 1m)", (None, 60)),
            ("max_over_time((m offset 1m)[5m:1m] @ 180)", (Some(120), 0)),
            ("max_over_time((m @ 60)[5m:1m] @ 180)", (Some(60), 0)),
            ("-(m @ 120) * 2", (Some(120), 0)),
            ("m @ 120 + n @ 180 offset 1m", (Some(120), 0)),
            ("scalar(n @ 60) * m", (None, 0)),
            ("m * scalar(n @ 60)", (None, 0)),
            ("topk(scalar(n @ 60), m offset 1m)", (None, 60)),
            ("info(m @ 60, {a=\"b\"} @ 180)", (Some(60), 0)),
        ] {
            assert_eq!(seconds(query), Some(expected), "{query}");
        }
    }

    #[test]
    fn samples_of_several_times_and_of_none_have_none() {
        for query in [
            "m @ 120 or n @ 480",
            "m or n offset 1m",
            "m @ 120 or vector(1)",
            "vector(1)",
            "vector(scalar(m @ 120))",
            "1",
            "max_over_time(vector(1)[5m:1m] @ 120)",
        ] {
            assert_eq!(seconds(query), None, "{query}");
        }
    }
}
