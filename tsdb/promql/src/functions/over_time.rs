//! Figures over the samples of a window.

use std::sync::Arc;

use swell_model::{CounterResetHint, HistogramSum, IncompatibleSchema, KahanSum, NativeHistogram};

use super::blocks::{Greatest, Smallest, fold};
use super::quantile::{quantile_of, quantile_of_sorted};
use super::window::WindowCall;
use crate::annotations::Annotations;
use crate::eval::{Point, WindowView, seconds};

/// Sum and mean of histograms, with what happened on the way.
pub(crate) struct HistogramTotal {
    sum: HistogramSum,
    count: f64,
    reset_seen: bool,
    not_reset_seen: bool,
    bounds_reconciled: bool,
    /// Set once the sum has left the range of floats: from then on the mean is updated instead.
    mean: Option<HistogramSum>,
}

impl HistogramTotal {
    pub(crate) fn new(first: &NativeHistogram) -> Self {
        Self::of_several(first, 1)
    }

    /// Starts with the sum of so many histograms.
    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    fn of_several(first: &NativeHistogram, count: u64) -> Self {
        let mut total = Self {
            sum: HistogramSum::new(first),
            count: count as f64,
            reset_seen: false,
            not_reset_seen: false,
            bounds_reconciled: false,
            mean: None,
        };
        total.track_hint(first);
        total
    }

    fn track_hint(&mut self, histogram: &NativeHistogram) {
        self.reset_seen |= histogram.reset_hint == CounterResetHint::Reset;
        self.not_reset_seen |= histogram.reset_hint == CounterResetHint::NotReset;
    }

    /// Adds a histogram to the sum.
    pub(crate) fn add(&mut self, next: &NativeHistogram) -> Result<(), IncompatibleSchema> {
        self.track_hint(next);
        self.count += 1.0;
        self.bounds_reconciled |= self.sum.add(next)?.bounds_reconciled;
        Ok(())
    }

    /// Adds the sum of so many histograms to the mean: like [`HistogramTotal::add`], but safe from overflow.
    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    pub(crate) fn average(
        &mut self,
        next: &NativeHistogram,
        count: u64,
    ) -> Result<(), IncompatibleSchema> {
        self.track_hint(next);
        let before_count = self.count;
        self.count += count as f64;
        if self.mean.is_none() {
            let before = self.sum.clone();
            self.bounds_reconciled |= self.sum.add(next)?.bounds_reconciled;
            if !self.sum.has_overflow() {
                return Ok(());
            }
            let mut mean = before;
            mean.scale(1.0 / before_count);
            self.mean = Some(mean);
        }
        if let Some(mean) = &mut self.mean {
            mean.scale(before_count / self.count);
            self.bounds_reconciled |= mean.add(&next.divided(self.count))?.bounds_reconciled;
        }
        Ok(())
    }

    pub(crate) fn total(&self) -> NativeHistogram {
        self.sum.total()
    }

    pub(crate) fn mean(&self) -> NativeHistogram {
        match &self.mean {
            Some(mean) => mean.total(),
            None => self.sum.total().divided(self.count),
        }
    }

    /// Says what happened while adding.
    pub(crate) fn annotate(&self, annotations: &mut Annotations, span: swell_promql_syntax::Span) {
        if self.reset_seen && self.not_reset_seen {
            annotations.warn(span, "conflicting counter resets during histogram aggregation");
        }
        if self.bounds_reconciled {
            annotations.info(span, "mismatched custom buckets were reconciled during aggregation");
        }
    }
}

fn histograms_total(
    view: &WindowView<'_>,
    call: &mut WindowCall<'_>,
    average: bool,
) -> Option<Point> {
    let (first, rest) = view.histogram_sums().split_first()?;
    let mut counts = view.histogram_counts();
    let mut total = HistogramTotal::of_several(first, counts.next()?);
    for (next, count) in rest.iter().zip(counts) {
        let added = if average { total.average(next, count) } else { total.add(next) };
        if added.is_err() {
            call.warn_mixed_schemas();
            return None;
        }
    }
    total.annotate(call.annotations, call.span);
    let value = if average { total.mean() } else { total.total() };
    Some(Point::Histogram(Arc::new(value)))
}

/// `true` when the window holds floats only; a mix is warned of.
fn only_floats(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<bool> {
    match (view.floats.is_empty(), view.histograms.is_empty()) {
        (false, false) => {
            call.warn_mixed();
            None
        }
        (floats_empty, _) => Some(!floats_empty),
    }
}

pub(super) fn sum(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    if !only_floats(view, call)? {
        return histograms_total(view, call, false);
    }
    Some(Point::Float(call.ahead.sum_of(view).value()))
}

pub(super) fn avg(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    if !only_floats(view, call)? {
        return histograms_total(view, call, true);
    }
    #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
    let count = view.floats.len() as f64;
    Some(Point::Float(call.ahead.sum_of(view).mean(count)))
}

#[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
pub(super) fn count(view: &WindowView<'_>, _call: &mut WindowCall<'_>) -> Option<Point> {
    Some(Point::Float((view.floats.len() as u64 + view.histogram_count()) as f64))
}

pub(super) fn present(_view: &WindowView<'_>, _call: &mut WindowCall<'_>) -> Option<Point> {
    Some(Point::Float(1.0))
}

pub(super) fn first(view: &WindowView<'_>, _call: &mut WindowCall<'_>) -> Option<Point> {
    let histogram_first = match (view.times.first(), view.histogram_times.first()) {
        (Some(float), Some(histogram)) => histogram <= float,
        (float, _) => float.is_none(),
    };
    if histogram_first {
        view.histograms.first().map(|value| Point::Histogram(Arc::clone(value)))
    } else {
        view.floats.first().map(|value| Point::Float(*value))
    }
}

pub(super) fn last(view: &WindowView<'_>, _call: &mut WindowCall<'_>) -> Option<Point> {
    let histogram_last = match (view.times.last(), view.histogram_times.last()) {
        (Some(float), Some(histogram)) => histogram >= float,
        (float, _) => float.is_none(),
    };
    if histogram_last {
        view.histograms.last().map(|value| Point::Histogram(Arc::clone(value)))
    } else {
        view.floats.last().map(|value| Point::Float(*value))
    }
}

pub(super) fn ts_of_first(view: &WindowView<'_>, _call: &mut WindowCall<'_>) -> Option<Point> {
    let first = view.times.first().into_iter().chain(view.histogram_times.first()).min()?;
    Some(Point::Float(seconds(*first)))
}

pub(super) fn ts_of_last(view: &WindowView<'_>, _call: &mut WindowCall<'_>) -> Option<Point> {
    let last = view.times.last().into_iter().chain(view.histogram_times.last()).max()?;
    Some(Point::Float(seconds(*last)))
}

/// Time of the float that wins against all others.
fn time_of_best(
    view: &WindowView<'_>,
    call: &mut WindowCall<'_>,
    wins: impl Fn(f64, f64) -> bool,
) -> Option<Point> {
    let mut best = (*view.floats.first()?, *view.times.first()?);
    call.note_ignored_histograms(view);
    for (value, at) in view.floats.iter().zip(view.times) {
        if wins(*value, best.0) || best.0.is_nan() {
            best = (*value, *at);
        }
    }
    Some(Point::Float(seconds(best.1)))
}

pub(super) fn max(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    view.floats.first()?;
    call.note_ignored_histograms(view);
    let Greatest(value) = fold(view, call.range_ms, call.ahead.greatest());
    Some(Point::Float(value))
}

pub(super) fn min(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    view.floats.first()?;
    call.note_ignored_histograms(view);
    let Smallest(value) = fold(view, call.range_ms, call.ahead.smallest());
    Some(Point::Float(value))
}

pub(super) fn ts_of_max(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    time_of_best(view, call, |value, best| value >= best)
}

pub(super) fn ts_of_min(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    time_of_best(view, call, |value, best| value <= best)
}

/// A running variance (Welford, compensated).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Variance {
    count: f64,
    mean: KahanSum,
    squares: KahanSum,
}

impl Variance {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - (self.mean.raw() + self.mean.lost());
        self.mean.add(delta / self.count);
        self.squares.add(delta * (value - (self.mean.raw() + self.mean.lost())));
    }

    pub(crate) fn variance(&self) -> f64 {
        (self.squares.raw() + self.squares.lost()) / self.count
    }
}

pub(super) fn stdvar(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    view.floats.first()?;
    call.note_ignored_histograms(view);
    let mut variance = Variance::default();
    for value in view.floats {
        variance.add(*value);
    }
    Some(Point::Float(variance.variance()))
}

pub(super) fn stddev(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    match stdvar(view, call)? {
        Point::Float(variance) => Some(Point::Float(variance.sqrt())),
        Point::Histogram(_) => None,
    }
}

pub(super) fn quantile(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    view.floats.first()?;
    let wanted = call.scalars[0];
    super::quantile::warn_if_no_quantile(call.annotations, call.span, wanted);
    call.note_ignored_histograms(view);
    let value = match call.sorted.as_mut() {
        Some((sorted, floats)) => quantile_of_sorted(wanted, sorted.at(view, floats)),
        None => quantile_of(wanted, &mut view.floats.to_vec()),
    };
    Some(Point::Float(value))
}

/// Median of the distances to the median.
pub(super) fn mad(view: &WindowView<'_>, call: &mut WindowCall<'_>) -> Option<Point> {
    view.floats.first()?;
    call.note_ignored_histograms(view);
    if view.floats.iter().any(|value| value.is_nan()) {
        return Some(Point::Float(f64::NAN));
    }
    let mut values = view.floats.to_vec();
    let median = quantile_of(0.5, &mut values);
    for value in &mut values {
        *value = (*value - median).abs();
    }
    Some(Point::Float(quantile_of(0.5, &mut values)))
}
