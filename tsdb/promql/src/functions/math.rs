//! Functions of one float: histograms drop out.

use super::{EvalError, Evaluator, Grid, Node, Value};
use crate::eval::Series;

/// The mathematical function of this name.
pub(crate) fn float_function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "sgn" => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

/// Applies a function to the floats of a vector.
pub(super) fn map(
    ev: &mut Evaluator<'_>,
    node: &Node,
    arg: &Node,
    grid: &Grid,
    map: impl Fn(f64) -> f64,
) -> Result<Vec<Series>, EvalError> {
    let mut series = ev.vector(arg, grid)?;
    for one in &mut series {
        one.column.map_floats(&map);
    }
    series.retain(|one| !one.column.is_empty());
    ev.nameless(series, node)
}

/// Applies a function of the step's scalars to the floats of a vector; `None` leaves no sample.
fn map_steps(
    ev: &Evaluator<'_>,
    node: &Node,
    mut series: Vec<Series>,
    map: impl Fn(usize, f64) -> Option<f64>,
) -> Result<Vec<Series>, EvalError> {
    for one in &mut series {
        for step in 0..one.column.len() {
            match one.column.float(step).and_then(|value| map(step, value)) {
                Some(value) => one.column.set_float(step, value),
                None => one.column.clear(step),
            }
        }
    }
    series.retain(|one| !one.column.is_empty());
    ev.nameless(series, node)
}

/// `round(v, to)`: ties go up.
pub(super) fn round(
    ev: &mut Evaluator<'_>,
    node: &Node,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let series = ev.vector(&args[0], grid)?;
    let nearest = match args.get(1) {
        Some(arg) => ev.scalar(arg, grid)?,
        None => vec![1.0; grid.count],
    };
    map_steps(ev, node, series, |step, value| {
        // The inverse loses less than dividing by numbers like 0.1 would.
        let inverse = 1.0 / nearest[step];
        Some((value * inverse + 0.5).floor() / inverse)
    })
}

/// `clamp`, `clamp_min`, `clamp_max`.
pub(super) fn clamp(
    ev: &mut Evaluator<'_>,
    node: &Node,
    name: &str,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let series = ev.vector(&args[0], grid)?;
    let first = ev.scalar(&args[1], grid)?;
    let (lower, upper) = match name {
        "clamp_min" => (first, vec![f64::INFINITY; grid.count]),
        "clamp_max" => (vec![f64::NEG_INFINITY; grid.count], first),
        _ => (first, ev.scalar(&args[2], grid)?),
    };
    map_steps(ev, node, series, |step, value| {
        if upper[step] < lower[step] {
            return None;
        }
        Some(go_max(lower[step], go_min(upper[step], value)))
    })
}

/// `max_of`, `min_of`.
pub(super) fn pairwise(
    ev: &mut Evaluator<'_>,
    args: &[Node],
    grid: &Grid,
    join: fn(f64, f64) -> f64,
) -> Result<Value, EvalError> {
    let lhs = ev.scalar(&args[0], grid)?;
    let rhs = ev.scalar(&args[1], grid)?;
    Ok(Value::Scalar(lhs.into_iter().zip(rhs).map(|(a, b)| join(a, b)).collect()))
}

/// The greater of two, NaN if either is and none is +Inf.
pub(super) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// The smaller of two, NaN if either is and none is -Inf.
pub(super) fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}
