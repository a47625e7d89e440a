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

/// The line with the least squares through points that come one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Regression {
    count: f64,
    x: KahanSum,
    y: KahanSum,
    xy: KahanSum,
    xx: KahanSum,
}

impl Regression {
    #[inline]
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        self.x.add(x);
        self.y.add(y);
        self.xy.add(x * y);
        self.xx.add(x * x);
    }

    /// Its slope, and its value at 0.
    pub(super) fn line(&self) -> (f64, f64) {
        let sums = [self.x, self.y, self.xy, self.xx];
        let [x, y, xy, xx] = sums.map(|sum| sum.raw() + sum.lost());
        let slope = (xy - x * y / self.count) / (xx - x * x / self.count);
        (slope, y / self.count - slope * x / self.count)
    }
}

/// Slope and value of the line through values that are all the same.
pub(super) fn flat_line(values: &[f64]) -> Option<(f64, f64)> {
    let first = *values.first()?;
    let is_flat = values.iter().all(|value| *value == first);
    let line = if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    is_flat.then_some(line)
}

/// Slope per second, and the value at `at_ms`, of the line through the samples with the least squares.
fn linear_regression(view: &WindowView<'_>, at_ms: i64) -> (f64, f64) {
    if let Some(line) = flat_line(view.floats) {
        return line;
    }
    let mut regression = Regression::default();
    for (at, y) in view.times.iter().zip(view.floats) {
        regression.add(crate::eval::seconds(at - at_ms), *y);
    }
    regression.line()
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
