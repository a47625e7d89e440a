//! Expressions that look at each series by itself: a selector or a range vector function, then functions of one float.
//! Such a series need not wait for the others: what comes of it is handed on, and its samples are forgotten.

use swell_model::{
    Coarse, Labels, METRIC_NAME, MatchOp, Matcher, SelectHints, SeriesData, is_stale_nan,
};
use swell_promql_syntax::Boundary;

use super::selector::newest;
use super::window::reached;
use super::{Column, Evaluator, Grid, Lane, RangeSeries, SampleTime, Value};
use crate::binary::{FloatFunction, float_function};
use crate::error::EvalError;
use crate::functions::{Carried, Sliding, float_map, sliding};
use crate::plan::{Node, NodeKind, Selector, WindowSource};

/// What is done with each series of one metric.
#[derive(Debug)]
pub(crate) struct Pipeline<'a> {
    pub(crate) matchers: &'a [Matcher],
    pub(crate) hints: SelectHints,
    /// The metric's name alone.
    name: Labels,
    grid: Grid,
    lookback_ms: i64,
    with_starts: bool,
    first: First<'a>,
    maps: Vec<Map>,
}

#[derive(Debug)]
enum First<'a> {
    Newest(&'a Selector),
    Window(Sliding<'a>),
}

#[derive(Debug)]
enum Map {
    Float(fn(f64) -> f64),
    /// An operation with the step's scalar.
    Scalar {
        function: FloatFunction,
        scalars: Vec<f64>,
        scalar_left: bool,
        meaning: Meaning,
    },
}

/// What comes of an operation.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// Its value.
    Value,
    /// The vector's value, where the comparison holds.
    Kept,
    /// Whether the comparison holds, as 1 or 0.
    Told,
}

impl<'a> Pipeline<'a> {
    /// `None` where the expression does not look at series one by one, or not at those of one metric.
    pub(crate) fn of(
        ev: &mut Evaluator<'_>,
        node: &'a Node,
        grid: &Grid,
    ) -> Result<Option<Self>, EvalError> {
        // What is the same at all steps is evaluated once, elsewhere.
        if node.invariant && grid.count > 1 {
            return Ok(None);
        }
        match &node.kind {
            NodeKind::Selector(selector) if selector.boundary == Boundary::Plain => {
                let range = ev.looked_back(selector, grid);
                let hints = SelectHints { coarse: Coarse::Newest, ..SelectHints::range(range) };
                let first = First::Newest(selector);
                Ok(Self::begin(ev, &selector.matchers, hints, grid, first))
            }
            NodeKind::Call { function, args } => {
                if let Some(map) = float_map(function.name) {
                    return Self::then(ev, &args[0], grid, |_| Ok(Map::Float(map)));
                }
                let Some((sliding, _)) = sliding(ev, node, function, args, grid)? else {
                    return Ok(None);
                };
                let WindowSource::Matchers { matchers, .. } = &sliding.window().source else {
                    return Ok(None);
                };
                let range = reached(sliding.window(), grid, ev.params.lookback.0);
                let coarse = sliding.coarse();
                let hints = SelectHints { coarse, ..SelectHints::range(range) };
                Ok(Self::begin(ev, matchers, hints, grid, First::Window(sliding)))
            }
            NodeKind::Plus(operand) => Self::of(ev, operand, grid),
            NodeKind::Negate(operand) => {
                Self::then(ev, operand, grid, |_| Ok(Map::Float(std::ops::Neg::neg)))
            }
            NodeKind::Binary(operation) => {
                use swell_promql_syntax::ValueType::Scalar;
                let (lhs, rhs) = (&operation.lhs, &operation.rhs);
                let scalar_left = lhs.value_type == Scalar;
                if scalar_left == (rhs.value_type == Scalar) {
                    return Ok(None);
                }
                let Some(function) = float_function(operation.op) else { return Ok(None) };
                let meaning = match operation.op.is_comparison() {
                    false => Meaning::Value,
                    true if operation.return_bool => Meaning::Told,
                    true => Meaning::Kept,
                };
                let (vector, scalar) = if scalar_left { (rhs, lhs) } else { (lhs, rhs) };
                Self::then(ev, vector, grid, |ev| {
                    let scalars = match ev.eval(scalar, grid)? {
                        Value::Scalar(scalars) => scalars,
                        Value::Vector(_) | Value::Text(_) => {
                            return Err(EvalError::query(scalar.span, "expected a scalar"));
                        }
                    };
                    Ok(Map::Scalar { function, scalars, scalar_left, meaning })
                })
            }
            _ => Ok(None),
        }
    }

    /// The pipeline of the operand, and one step more.
    fn then<'e>(
        ev: &mut Evaluator<'e>,
        operand: &'a Node,
        grid: &Grid,
        map: impl FnOnce(&mut Evaluator<'e>) -> Result<Map, EvalError>,
    ) -> Result<Option<Self>, EvalError> {
        let Some(mut pipeline) = Self::of(ev, operand, grid)? else { return Ok(None) };
        pipeline.maps.push(map(ev)?);
        Ok(Some(pipeline))
    }

    fn begin(
        ev: &Evaluator<'_>,
        matchers: &'a [Matcher],
        hints: SelectHints,
        grid: &Grid,
        first: First<'a>,
    ) -> Option<Self> {
        let mut names = matchers.iter().filter(|matcher| matcher.name == METRIC_NAME);
        let name = names.find(|matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty());
        let params = ev.params;
        if params.features.delayed_name_removal || params.features.type_and_unit_labels {
            return None;
        }
        Some(Self {
            matchers,
            hints,
            name: Labels::from_sorted([(METRIC_NAME, name?.value.as_str())]),
            grid: *grid,
            lookback_ms: params.lookback.0,
            with_starts: params.features.start_timestamps,
            first,
            maps: Vec::new(),
        })
    }

    /// Whether it looks at the newest sample of each series only.
    pub(crate) const fn is_newest(&self) -> bool {
        self.grid.count == 1 && matches!(self.first, First::Newest(_))
    }

    /// What comes of a newest sample, which is no staleness marker; the marker where nothing does.
    pub(crate) fn value_of(&self, newest: f64) -> f64 {
        let mut floats = [newest];
        self.maps.iter().for_each(|map| map.apply(&mut floats));
        floats[0]
    }

    /// Fills a column, which must have the grid's steps and nothing in them, with what comes of a series; `false` when
    /// there are histograms in it, which are not dealt with here.
    pub(crate) fn apply(
        &self,
        data: SeriesData,
        carried: &mut Carried,
        lane: &mut Lane<'_>,
        column: &mut Column,
    ) -> Result<bool, EvalError> {
        if !data.histograms.timestamps.is_empty() {
            return Ok(false);
        }
        match &self.first {
            First::Newest(selector) => {
                lane.budget.check_cancelled()?;
                lane.select()?;
                lane.look_at(data.floats.values.len())?;
                let what = SampleTime::Value;
                newest(&data, &selector.time, &self.grid, self.lookback_ms, what, column);
                lane.tally.column(column, column.float_count() as u64);
            }
            First::Window(sliding) => {
                let data = SeriesData { labels: self.name.clone(), ..data };
                let series = RangeSeries::from_storage(data, self.with_starts);
                lane.begin(&series)?;
                sliding.apply(&series, carried, lane, column)?;
            }
        }
        self.maps.iter().for_each(|map| map.apply(column.floats_mut()));
        Ok(true)
    }
}

impl Map {
    fn apply(&self, floats: &mut [f64]) {
        match self {
            Self::Float(map) => {
                for value in floats.iter_mut().filter(|value| !is_stale_nan(**value)) {
                    *value = map(*value);
                }
            }
            Self::Scalar { function, scalars, scalar_left, meaning } => {
                let present = floats.iter_mut().zip(scalars);
                for (value, scalar) in present.filter(|(value, _)| !is_stale_nan(**value)) {
                    let (lhs, rhs) =
                        if *scalar_left { (*scalar, *value) } else { (*value, *scalar) };
                    let (result, holds) = function(lhs, rhs);
                    *value = match meaning {
                        Meaning::Value => result,
                        Meaning::Told => f64::from(u8::from(holds)),
                        Meaning::Kept if holds => *value,
                        Meaning::Kept => swell_model::stale_nan(),
                    };
                }
            }
        }
    }
}
