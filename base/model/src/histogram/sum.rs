//! Adding and subtracting histograms of different layouts.
//!
//! Two exponential histograms meet at the coarser schema and at a zero bucket wide enough for both; two with custom
//! bounds meet at the bounds they share. Exponential and custom buckets do not mix. Rules: Prometheus
//! `model/histogram/float_histogram.go`.

use super::buckets::{exponential_bound, indexed, packed};
use super::{CounterResetHint, KahanSum, NativeHistogram};

/// Exponential and custom buckets cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histograms with exponential and with custom buckets cannot be combined")]
pub struct IncompatibleSchema;

/// What happened while two histograms were combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CombineNotes {
    /// One says that a counter reset preceded, the other that none did.
    pub reset_collision: bool,
    /// Different custom bounds were reduced to the shared ones.
    pub bounds_reconciled: bool,
}

impl CombineNotes {
    /// Joins the notes of two steps.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            reset_collision: self.reset_collision || other.reset_collision,
            bounds_reconciled: self.bounds_reconciled || other.bounds_reconciled,
        }
    }
}

/// A running, compensated sum of histograms.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    schema: i32,
    reset_hint: CounterResetHint,
    zero_threshold: f64,
    zero_count: KahanSum,
    count: KahanSum,
    sum: KahanSum,
    positive: Vec<(i32, KahanSum)>,
    negative: Vec<(i32, KahanSum)>,
    custom_bounds: Vec<f64>,
}

impl HistogramSum {
    /// A sum that starts with one histogram.
    #[must_use]
    pub fn new(first: &NativeHistogram) -> Self {
        let side = |(index, count)| (index, KahanSum::new(count));
        Self {
            schema: first.schema,
            reset_hint: first.reset_hint,
            zero_threshold: first.zero_threshold,
            zero_count: KahanSum::new(first.zero_count),
            count: KahanSum::new(first.count),
            sum: KahanSum::new(first.sum),
            positive: indexed(&first.positive_spans, &first.positive_buckets).map(side).collect(),
            negative: indexed(&first.negative_spans, &first.negative_buckets).map(side).collect(),
            custom_bounds: first.custom_bounds.clone(),
        }
    }

    /// Adds a histogram.
    ///
    /// # Errors
    /// [`IncompatibleSchema`] when one has custom buckets and the other not; the sum is unchanged then.
    pub fn add(&mut self, other: &NativeHistogram) -> Result<CombineNotes, IncompatibleSchema> {
        self.combine(Self::new(other))
    }

    /// Subtracts a histogram. The reset hint follows the rules of addition.
    ///
    /// # Errors
    /// [`IncompatibleSchema`] as with [`HistogramSum::add`].
    pub fn subtract(
        &mut self,
        other: &NativeHistogram,
    ) -> Result<CombineNotes, IncompatibleSchema> {
        let mut other = Self::new(other);
        other.scale(-1.0);
        self.combine(other)
    }

    /// Adds another sum.
    ///
    /// # Errors
    /// [`IncompatibleSchema`] as with [`HistogramSum::add`].
    pub fn combine(&mut self, mut other: Self) -> Result<CombineNotes, IncompatibleSchema> {
        let custom = self.schema == NativeHistogram::CUSTOM_SCHEMA;
        if custom != (other.schema == NativeHistogram::CUSTOM_SCHEMA) {
            return Err(IncompatibleSchema);
        }
        let mut notes = CombineNotes {
            reset_collision: self.join_hint(other.reset_hint),
            ..CombineNotes::default()
        };
        if custom {
            if self.custom_bounds != other.custom_bounds {
                notes.bounds_reconciled = true;
                let shared = shared_bounds(&self.custom_bounds, &other.custom_bounds);
                self.reduce_bounds(&shared);
                other.reduce_bounds(&shared);
            }
        } else {
            self.reconcile_zero(&mut other);
            let schema = self.schema.min(other.schema);
            self.reduce_schema(schema);
            other.reduce_schema(schema);
        }
        self.count.merge(other.count);
        self.sum.merge(other.sum);
        self.zero_count.merge(other.zero_count);
        merge_side(&mut self.positive, &other.positive);
        merge_side(&mut self.negative, &other.negative);
        Ok(notes)
    }

    /// Joins reset hints; true when they contradict each other.
    fn join_hint(&mut self, other: CounterResetHint) -> bool {
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let (hint, collision) = match (self.reset_hint, other) {
            (one, two) if one == two => (one, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Reset, NotReset) | (NotReset, Reset) => (Unknown, true),
            _ => (Unknown, false),
        };
        self.reset_hint = hint;
        collision
    }

    /// Multiplies everything by a factor.
    pub fn scale(&mut self, factor: f64) {
        for figure in [&mut self.count, &mut self.sum, &mut self.zero_count] {
            figure.scale(factor);
        }
        for (_, count) in self.positive.iter_mut().chain(&mut self.negative) {
            count.scale(factor);
        }
    }

    /// Whether a figure has left the range of floats.
    #[must_use]
    pub fn has_overflow(&self) -> bool {
        let sides = self.positive.iter().chain(&self.negative).map(|(_, count)| count);
        [&self.count, &self.sum, &self.zero_count]
            .into_iter()
            .chain(sides)
            .any(|figure| figure.raw().is_infinite())
    }

    /// Buckets, empty ones included.
    #[must_use]
    pub(super) fn bucket_count(&self) -> usize {
        self.positive.len() + self.negative.len()
    }

    /// Whether the figures stay in the range of floats when a histogram is added; each of its buckets has at most its
    /// count.
    #[must_use]
    pub(super) fn has_room_for(&self, other: &NativeHistogram) -> bool {
        let figures = [(&self.count, other.count), (&self.sum, other.sum)];
        figures.iter().all(|(figure, more)| {
            let is_finite = figure.raw().is_finite() && more.is_finite();
            !is_finite || (figure.raw() + more).is_finite()
        })
    }

    /// Merges buckets down to a coarser schema.
    pub fn reduce_schema(&mut self, schema: i32) {
        let Ok(shift) = u32::try_from(self.schema - schema) else { return };
        if shift == 0 || self.schema == NativeHistogram::CUSTOM_SCHEMA {
            return;
        }
        for side in [&mut self.positive, &mut self.negative] {
            // Bucket i ends where bucket ceil(i / 2^shift) of the coarser schema ends or before.
            remap(side, |index| ((index - 1) >> shift) + 1);
        }
        self.schema = schema;
    }

    fn reduce_bounds(&mut self, shared: &[f64]) {
        let bounds = std::mem::take(&mut self.custom_bounds);
        remap(&mut self.positive, |index| {
            let upper = usize::try_from(index).ok().and_then(|at| bounds.get(at));
            let target =
                upper.map_or(shared.len(), |upper| shared.partition_point(|bound| bound < upper));
            i32::try_from(target).unwrap_or(i32::MAX)
        });
        self.custom_bounds = shared.to_vec();
    }

    /// Widens the zero buckets of both until they are equally wide and cut through no populated bucket.
    fn reconcile_zero(&mut self, other: &mut Self) {
        while self.zero_threshold.to_bits() != other.zero_threshold.to_bits() {
            if self.zero_threshold > other.zero_threshold {
                other.widen_zero(self.zero_threshold);
            } else if other.zero_threshold > self.zero_threshold {
                self.widen_zero(other.zero_threshold);
            } else {
                return;
            }
        }
    }

    /// Widens the zero bucket to `threshold`, or further to the end of a populated bucket that it would cut.
    fn widen_zero(&mut self, threshold: f64) {
        let schema = self.schema;
        let mut threshold = threshold;
        // A cut bucket on one side widens the zero bucket on the other side too, hence the loop.
        loop {
            let reach = [&self.positive, &self.negative]
                .into_iter()
                .flatten()
                .filter(|(index, count)| {
                    let lower = exponential_bound(index.saturating_sub(1), schema);
                    count.raw() != 0.0 && lower < threshold
                })
                .map(|(index, _)| exponential_bound(*index, schema))
                .fold(threshold, f64::max);
            if reach <= threshold {
                break;
            }
            threshold = reach;
        }
        for side in [&mut self.positive, &mut self.negative] {
            let inside = side.partition_point(|(index, _)| {
                exponential_bound(index.saturating_sub(1), schema) < threshold
            });
            for (_, count) in side.drain(..inside) {
                self.zero_count.merge(count);
            }
        }
        self.zero_threshold = threshold;
    }

    /// The sum as a histogram without empty buckets.
    #[must_use]
    pub fn total(&self) -> NativeHistogram {
        let side = |buckets: &[(i32, KahanSum)]| {
            packed(buckets.iter().map(|(index, count)| (*index, count.total())))
        };
        let (positive_spans, positive_buckets) = side(&self.positive);
        let (negative_spans, negative_buckets) = side(&self.negative);
        NativeHistogram {
            schema: self.schema,
            reset_hint: self.reset_hint,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.total(),
            count: self.count.total(),
            sum: self.sum.total(),
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            custom_bounds: self.custom_bounds.clone(),
        }
    }

    /// Whether any count is smaller than in `previous`, or a populated bucket of it is missing. Layouts must be equal.
    pub(super) fn any_count_below(&self, previous: &Self) -> bool {
        let below = |current: &[(i32, KahanSum)], previous: &[(i32, KahanSum)]| {
            let mut at = 0;
            previous.iter().any(|(index, before)| {
                while current.get(at).is_some_and(|(candidate, _)| candidate < index) {
                    at += 1;
                }
                match current.get(at) {
                    Some((candidate, now)) if candidate == index => now.raw() < before.raw(),
                    _ => before.raw() != 0.0,
                }
            })
        };
        self.zero_count.raw() < previous.zero_count.raw()
            || below(&self.positive, &previous.positive)
            || below(&self.negative, &previous.negative)
    }

    /// Brings `self`, an earlier histogram, to the layout of `later`; false when a populated bucket stands in the way.
    pub(super) fn match_layout(&mut self, later: &mut Self) -> bool {
        if self.schema == NativeHistogram::CUSTOM_SCHEMA {
            if self.custom_bounds != later.custom_bounds {
                let shared = shared_bounds(&self.custom_bounds, &later.custom_bounds);
                self.reduce_bounds(&shared);
                later.reduce_bounds(&shared);
            }
            return true;
        }
        if later.zero_threshold > self.zero_threshold {
            let wanted = later.zero_threshold;
            self.widen_zero(wanted);
            if self.zero_threshold > wanted {
                return false;
            }
        }
        self.reduce_schema(later.schema);
        true
    }
}

/// Bounds present in both lists.
fn shared_bounds(one: &[f64], two: &[f64]) -> Vec<f64> {
    one.iter().copied().filter(|bound| two.contains(bound)).collect()
}

/// Gives buckets new indexes, in the same order, and merges those that fall together.
fn remap(side: &mut Vec<(i32, KahanSum)>, index_of: impl Fn(i32) -> i32) {
    let mut merged: Vec<(i32, KahanSum)> = Vec::with_capacity(side.len());
    for (index, count) in side.drain(..) {
        let index = index_of(index);
        match merged.last_mut() {
            Some((last, sum)) if *last == index => sum.merge(count),
            _ => merged.push((index, count)),
        }
    }
    *side = merged;
}

fn merge_side(into: &mut Vec<(i32, KahanSum)>, from: &[(i32, KahanSum)]) {
    let same_layout =
        into.len() == from.len() && into.iter().zip(from).all(|((one, _), (two, _))| one == two);
    if same_layout {
        for ((_, sum), (_, count)) in into.iter_mut().zip(from) {
            sum.merge(*count);
        }
        return;
    }
    let mut merged = Vec::with_capacity(into.len() + from.len());
    let mut rest = from.iter().copied().peekable();
    for (index, mut sum) in into.drain(..) {
        while let Some(before) = rest.next_if(|(candidate, _)| *candidate < index) {
            merged.push(before);
        }
        if let Some((_, count)) = rest.next_if(|(candidate, _)| *candidate == index) {
            sum.merge(count);
        }
        merged.push((index, sum));
    }
    merged.extend(rest);
    *into = merged;
}
