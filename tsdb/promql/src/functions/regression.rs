//! Trends: linear regression and double exponential smoothing.

use swell_model::KahanSum;

use super::window::WindowCall;
use crate::eval::{Point, WindowView};

/// Two floats at least; a single one among histograms is remarked on.
fn enough_floats(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<()> {
    if !view.floats.is_empty() {
        call.note_ignored_histograms(view);
    }
    (view.floats.len() >= 2).then_some(())
}

/// Slope per second, and the value at `at_ms`, of the line through the samples with the least squares.
fn linear_regression(view: &WindowView<'_>, at_ms: i64) -> (f64, f64) {
    let first = view.floats[0];
    if view.floats.iter().all(|value| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let mut count = 0.0;
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [KahanSum::default(); 4];
    for (at, y) in view.times.iter().zip(view.floats) {
        let x = crate::eval::seconds(at - at_ms);
        count += 1.0;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let [x, y, xy, xx] = [x_sum, y_sum, xy_sum, xx_sum].map(|sum| sum.raw() + sum.lost());
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}

pub(super) fn deriv(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    enough_floats(view, call)?;
    // Times near the samples keep the sums small.
    let (slope, _) = linear_regression(view, view.times[0]);
    Some(Point::Float(slope))
}

pub(super) fn predict_linear(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    enough_floats(view, call)?;
    let (slope, intercept) = linear_regression(view, call.step_ms);
    Some(Point::Float(slope * call.scalars[0] + intercept))
}

/// Holt's linear method: a smoothed value and a smoothed trend.
pub(super) fn double_exponential_smoothing(
    view: &WindowView<'_>,
    call: &mut WindowCall<'_>,
) -> Option<Point> {
    enough_floats(view, call)?;
    let [smoothing, trend_smoothing] = call.scalars;
    let mut value = view.floats[0];
    let mut trend = view.floats[1] - view.floats[0];
    for (idx, sample) in view.floats[1..].iter().enumerate() {
        let before = value;
        value = smoothing * sample + (1.0 - smoothing) * (before + trend);
        if idx + 2 < view.floats.len() {
            trend = trend_smoothing * (value - before) + (1.0 - trend_smoothing) * trend;
        }
    }
    Some(Point::Float(value))
}
