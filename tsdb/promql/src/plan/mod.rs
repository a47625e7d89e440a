//! From the tree as written to a tree that can be evaluated: switches checked, durations and fixed times resolved,
//! parentheses gone, and known for each node whether its value is the same at all steps.

mod duration;
mod reference;

use swell_model::{Grouping, Labels, Matcher};
use swell_promql_syntax::{
    Aggregate, AggregateOp, AtModifier, Binary, BinaryOp, Boundary, Call, DurationExpr, Expr,
    ExprKind, Function, Span, Subquery, UnaryOp, ValueType, VectorMatching, VectorSelector,
};

use crate::error::EvalError;
use crate::eval::is_metadata_label;
use crate::params::EvalParams;
pub(crate) use duration::DurationContext;
pub(crate) use reference::shared_time;

/// A planned expression.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where the expression stands.
    pub(crate) span: Span,
    /// Where it stands with the parentheses around it.
    pub(crate) outer: Span,
    /// What it is.
    pub(crate) kind: NodeKind,
    /// Type of its value.
    pub(crate) value_type: ValueType,
    /// Whether the value is the same at all steps, so that one evaluation is enough.
    pub(crate) invariant: bool,
    /// Whether nobody looks at the names of the series: they need not be dropped.
    pub(crate) names_unused: bool,
}

#[derive(Debug)]
pub(crate) enum NodeKind {
    Number(f64),
    Text(Vec<u8>),
    Selector(Selector),
    Window(Window),
    Call {
        function: &'static Function,
        args: Vec<Node>,
    },
    Aggregate(Box<AggregateNode>),
    Binary(Box<BinaryNode>),
    Negate(Box<Node>),
    /// A selector behind a plus sign: the same series, and no selector any more to those who look for one.
    Plus(Box<Node>),
}

/// Series by matchers, at a time relative to the step or fixed.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) time: TimeShift,
    pub(crate) boundary: Boundary,
    /// Of histograms only count and sum are looked at.
    pub(crate) figures_only: bool,
}

/// `offset` and `@`: which time a step looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeShift {
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
}

impl TimeShift {
    /// The time that the step at `step_ms` looks at.
    pub(crate) fn apply(&self, step_ms: i64) -> i64 {
        self.at_ms.unwrap_or(step_ms).saturating_sub(self.offset_ms)
    }
}

/// A range vector.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) source: WindowSource,
    pub(crate) range_ms: i64,
    pub(crate) time: TimeShift,
    pub(crate) boundary: Boundary,
}

#[derive(Debug)]
pub(crate) enum WindowSource {
    Matchers {
        matchers: Vec<Matcher>,
        /// Of histograms only count and sum are looked at.
        figures_only: bool,
    },
    Subquery {
        node: Box<Node>,
        step_ms: i64,
    },
}

#[derive(Debug)]
pub(crate) struct AggregateNode {
    pub(crate) op: AggregateOp,
    /// Where it stands.
    pub(crate) span: Span,
    pub(crate) param: Option<Node>,
    pub(crate) input: Node,
    /// Sorted.
    pub(crate) grouping: Vec<String>,
    pub(crate) without: bool,
}

impl AggregateNode {
    /// Which labels tell its groups apart.
    pub(crate) fn grouping(&self) -> Grouping<'_> {
        Grouping { names: &self.grouping, without: self.without }
    }
}

#[derive(Debug)]
pub(crate) struct BinaryNode {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: Node,
    pub(crate) rhs: Node,
    pub(crate) return_bool: bool,
    pub(crate) matching: Option<VectorMatching>,
}

/// Functions whose value depends on the evaluation time even when their arguments do not.
const TIME_DEPENDENT: [&str; 11] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
];

/// Functions that know what `anchored` and `smoothed` windows mean, by name.
const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// Functions that look at count and sum of a histogram only.
const FIGURES: [&str; 3] = ["histogram_count", "histogram_sum", "histogram_avg"];

/// Functions whose result's count and sum depend on no more than count and sum of the histograms they are given.
const FIGURES_THROUGH: [&str; 9] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "sum_over_time",
    "avg_over_time",
    "first_over_time",
    "last_over_time",
];

impl Node {
    /// Calls `visit` with the matchers of each selection from storage.
    pub(crate) fn each_selection<'a>(&'a self, visit: &mut impl FnMut(&'a [Matcher])) {
        match &self.kind {
            NodeKind::Number(_) | NodeKind::Text(_) => {}
            NodeKind::Selector(selector) => visit(&selector.matchers),
            NodeKind::Window(window) => match &window.source {
                WindowSource::Matchers { matchers, .. } => visit(matchers),
                WindowSource::Subquery { node, .. } => node.each_selection(visit),
            },
            NodeKind::Call { args, .. } => args.iter().for_each(|arg| arg.each_selection(visit)),
            NodeKind::Aggregate(aggregate) => {
                aggregate.param.iter().for_each(|param| param.each_selection(visit));
                aggregate.input.each_selection(visit);
            }
            NodeKind::Binary(binary) => {
                binary.lhs.each_selection(visit);
                binary.rhs.each_selection(visit);
            }
            NodeKind::Negate(operand) | NodeKind::Plus(operand) => operand.each_selection(visit),
        }
    }
}

/// Plans an expression.
pub(crate) fn plan(expr: &Expr, params: &EvalParams) -> Result<Node, EvalError> {
    Planner { params, durations: DurationContext::of(params) }.node(expr, false)
}

/// The label set that an `absent` of this argument has: labels that the selector fixes by exactly one equality.
pub(crate) fn labels_fixed_by(matchers: &[Matcher]) -> Labels {
    let mut builder = swell_model::LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name != swell_model::METRIC_NAME) {
        if matcher.op == swell_model::MatchOp::Equal && !seen.contains(&matcher.name.as_str()) {
            builder.set(&matcher.name, &matcher.value);
            seen.push(&matcher.name);
        } else {
            builder.remove(&matcher.name);
        }
    }
    builder.build()
}

struct Planner<'a> {
    params: &'a EvalParams,
    durations: DurationContext,
}

impl Planner<'_> {
    /// `figures_only` says that of histograms nothing but count and sum is wanted.
    fn node(&self, expr: &Expr, figures_only: bool) -> Result<Node, EvalError> {
        let inner = expr.without_parens();
        let (kind, invariant) = self.kind(inner, figures_only)?;
        Ok(Node {
            span: inner.span,
            outer: expr.span,
            kind,
            value_type: inner.value_type(),
            invariant,
            names_unused: false,
        })
    }

    fn kind(&self, expr: &Expr, figures_only: bool) -> Result<(NodeKind, bool), EvalError> {
        match &expr.kind {
            ExprKind::Number(number) => Ok((NodeKind::Number(number.value), true)),
            ExprKind::Text(text) => Ok((NodeKind::Text(text.bytes.clone()), true)),
            ExprKind::Vector(selector) => {
                self.check_boundary(selector.boundary, expr.span)?;
                let time = self.time(selector.offset.as_ref(), selector.at)?;
                let invariant = time.at_ms.is_some();
                let planned = Selector {
                    matchers: selector.matchers.clone(),
                    time,
                    boundary: selector.boundary,
                    figures_only,
                };
                Ok((NodeKind::Selector(planned), invariant))
            }
            ExprKind::Matrix(matrix) => {
                let window =
                    self.matrix(&matrix.selector, &matrix.range, expr.span, figures_only)?;
                let invariant = window.time.at_ms.is_some();
                Ok((NodeKind::Window(window), invariant))
            }
            ExprKind::Subquery(subquery) => {
                let window = self.subquery(subquery)?;
                let invariant = window.time.at_ms.is_some();
                Ok((NodeKind::Window(window), invariant))
            }
            ExprKind::Call(call) => self.call(call, expr.span, figures_only),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, figures_only),
            ExprKind::Binary(binary) => self.binary(binary, expr.span),
            ExprKind::Unary(unary) => {
                let operand = self.node(&unary.expr, figures_only)?;
                let invariant = operand.invariant;
                let kind = match (unary.op, operand.kind) {
                    (UnaryOp::Minus, kind) => NodeKind::Negate(Box::new(Node { kind, ..operand })),
                    (UnaryOp::Plus, kind @ NodeKind::Selector(_)) => {
                        NodeKind::Plus(Box::new(Node { kind, ..operand }))
                    }
                    (UnaryOp::Plus, kind) => kind,
                };
                Ok((kind, invariant))
            }
            ExprKind::Paren(inner) => self.kind(inner, figures_only),
        }
    }

    fn matrix(
        &self,
        selector: &VectorSelector,
        range: &DurationExpr,
        span: Span,
        figures_only: bool,
    ) -> Result<Window, EvalError> {
        self.check_boundary(selector.boundary, span)?;
        Ok(Window {
            source: WindowSource::Matchers { matchers: selector.matchers.clone(), figures_only },
            range_ms: self.durations.positive(range)?,
            time: self.time(selector.offset.as_ref(), selector.at)?,
            boundary: selector.boundary,
        })
    }

    fn subquery(&self, subquery: &Subquery) -> Result<Window, EvalError> {
        let step_ms = match &subquery.step {
            Some(step) => self.durations.positive(step)?,
            None => self.params.subquery_step.0.max(1),
        };
        Ok(Window {
            source: WindowSource::Subquery {
                node: Box::new(self.node(&subquery.expr, false)?),
                step_ms,
            },
            range_ms: self.durations.positive(&subquery.range)?,
            time: self.time(subquery.offset.as_ref(), subquery.at)?,
            boundary: Boundary::Plain,
        })
    }

    fn time(
        &self,
        offset: Option<&DurationExpr>,
        at: Option<AtModifier>,
    ) -> Result<TimeShift, EvalError> {
        let offset_ms = offset.map_or(Ok(0), |offset| self.durations.signed(offset))?;
        let at_ms = at.map(|at| match at {
            AtModifier::Timestamp(at) => at.0,
            AtModifier::Start => self.params.start.0,
            AtModifier::End => self.params.end.0,
        });
        Ok(TimeShift { offset_ms, at_ms })
    }

    fn call(
        &self,
        call: &Call,
        span: Span,
        figures_only: bool,
    ) -> Result<(NodeKind, bool), EvalError> {
        let function = call.function;
        if function.experimental && !self.params.features.experimental_functions {
            return Err(disabled(format!("function {:?}", function.name), span));
        }
        if let Some(seconds) = self.durations.query_constant(function.name) {
            return Ok((NodeKind::Number(seconds), true));
        }
        let figures_only = FIGURES.contains(&function.name)
            || (figures_only && FIGURES_THROUGH.contains(&function.name));
        let args = call
            .args
            .iter()
            .map(|arg| self.node(arg, figures_only))
            .collect::<Result<Vec<_>, _>>()?;
        for arg in &args {
            check_extended(function, arg)?;
        }
        let invariant = if function.name == "info" {
            // Info series are those of the time that the samples are of: the same at all steps only where that is fixed.
            args.first().is_some_and(|arg| {
                arg.invariant && shared_time(arg).is_some_and(|time| time.at_ms.is_some())
            })
        } else {
            !TIME_DEPENDENT.contains(&function.name) && args.iter().all(|arg| arg.invariant)
        };
        Ok((NodeKind::Call { function, args }, invariant))
    }

    fn aggregate(
        &self,
        aggregate: &Aggregate,
        span: Span,
        figures_only: bool,
    ) -> Result<(NodeKind, bool), EvalError> {
        if aggregate.op.is_experimental() && !self.params.features.experimental_functions {
            return Err(disabled(format!("aggregation {:?}", aggregate.op.as_str()), span));
        }
        let param = aggregate.param.as_ref().map(|param| self.node(param, false)).transpose()?;
        let figures_only =
            figures_only && matches!(aggregate.op, AggregateOp::Sum | AggregateOp::Avg);
        let mut input = self.node(&aggregate.expr, figures_only)?;
        input.names_unused = !aggregate.without
            && folds(aggregate.op)
            && !aggregate.grouping.iter().any(|name| is_metadata_label(name));
        let invariant = input.invariant && param.as_ref().is_none_or(|param| param.invariant);
        let mut grouping = aggregate.grouping.clone();
        grouping.sort_unstable();
        grouping.dedup();
        let (op, without) = (aggregate.op, aggregate.without);
        let node = AggregateNode { op, span, param, input, grouping, without };
        Ok((NodeKind::Aggregate(Box::new(node)), invariant))
    }

    fn binary(&self, binary: &Binary, span: Span) -> Result<(NodeKind, bool), EvalError> {
        let fills = binary
            .matching
            .as_ref()
            .is_some_and(|matching| matching.fill_left.is_some() || matching.fill_right.is_some());
        if fills && !self.params.features.fill_modifiers {
            return Err(disabled("binary operator fill modifiers".to_owned(), span));
        }
        let lhs = self.node(&binary.lhs, false)?;
        let rhs = self.node(&binary.rhs, false)?;
        let invariant = lhs.invariant && rhs.invariant;
        let node = BinaryNode {
            op: binary.op,
            lhs,
            rhs,
            return_bool: binary.return_bool,
            matching: binary.matching.clone(),
        };
        Ok((NodeKind::Binary(Box::new(node)), invariant))
    }

    fn check_boundary(&self, boundary: Boundary, span: Span) -> Result<(), EvalError> {
        if boundary == Boundary::Plain || self.params.features.extended_range_selectors {
            return Ok(());
        }
        let word = if boundary == Boundary::Anchored { "anchored" } else { "smoothed" };
        Err(disabled(format!("{word} modifier"), span))
    }
}

/// Refuses windows that a function would take for plain ones.
fn check_extended(function: &Function, arg: &Node) -> Result<(), EvalError> {
    let NodeKind::Window(window) = &arg.kind else { return Ok(()) };
    let (word, allowed): (&str, &[&str]) = match window.boundary {
        Boundary::Plain => return Ok(()),
        Boundary::Anchored => ("anchored", &ANCHORED),
        Boundary::Smoothed => ("smoothed", &SMOOTHED),
    };
    if allowed.contains(&function.name) {
        return Ok(());
    }
    let message = format!(
        "{word} modifier can only be used with: {} - not with {}",
        allowed.join(", "),
        function.name
    );
    Err(EvalError::query(arg.span, message))
}

/// Whether the operator makes one series of each group, with no label but those grouped by.
const fn folds(op: AggregateOp) -> bool {
    match op {
        AggregateOp::Sum
        | AggregateOp::Avg
        | AggregateOp::Count
        | AggregateOp::Group
        | AggregateOp::Min
        | AggregateOp::Max
        | AggregateOp::Stddev
        | AggregateOp::Stdvar
        | AggregateOp::Quantile => true,
        AggregateOp::TopK
        | AggregateOp::BottomK
        | AggregateOp::CountValues
        | AggregateOp::LimitK
        | AggregateOp::LimitRatio => false,
    }
}

fn disabled(what: String, span: Span) -> EvalError {
    EvalError::FeatureDisabled { what, span }
}
