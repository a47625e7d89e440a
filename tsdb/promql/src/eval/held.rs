//! What a query holds in memory, counted against its budget.

use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Series;
use crate::error::EvalError;
use crate::params::Budget;

/// Bytes of a sample: its time and its value.
const SAMPLE_BYTES: usize = 16;
/// Bytes of a series beside its labels and its column.
const SERIES_BYTES: usize = 128;

/// Samples, and an estimate of the bytes that they and what is around them take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) samples: usize,
    pub(crate) bytes: usize,
}

impl Held {
    /// Samples by themselves.
    pub(crate) const fn samples(samples: usize) -> Self {
        Self { samples, bytes: samples.saturating_mul(SAMPLE_BYTES) }
    }

    /// A series with a value, or room for one, at each step.
    pub(crate) fn series(series: &Series) -> Self {
        let samples = series.column.weight();
        let slots = series.column.len().saturating_mul(size_of::<f64>());
        // Room for floats is there already; what histograms take comes on top.
        let beyond = samples.saturating_sub(series.column.len()).saturating_mul(SAMPLE_BYTES);
        Self { samples, bytes: slots + beyond + series.labels.text_bytes() + SERIES_BYTES }
    }

    /// All of these series.
    pub(crate) fn all(series: &[Series]) -> Self {
        series.iter().map(Self::series).sum()
    }

    /// Less by so much, but nothing below nothing.
    pub(crate) const fn less(self, other: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(other.samples),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }

    /// Fails when this is more than the budget allows.
    pub(crate) fn check(self, budget: &Budget) -> Result<(), EvalError> {
        if self.samples > budget.samples_max {
            return Err(EvalError::TooManySamples { samples_max: budget.samples_max });
        }
        match budget.bytes_max {
            Some(bytes_max) if self.bytes > bytes_max => Err(EvalError::TooManyBytes { bytes_max }),
            _ => Ok(()),
        }
    }
}

impl Add for Held {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            samples: self.samples.saturating_add(other.samples),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Held {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// What is held over all lanes of a selection, and how many series they selected.
#[derive(Debug)]
pub(crate) struct Shared {
    samples: AtomicUsize,
    bytes: AtomicUsize,
    series: AtomicUsize,
}

impl Shared {
    pub(crate) const fn new(held: Held, series: usize) -> Self {
        Self {
            samples: AtomicUsize::new(held.samples),
            bytes: AtomicUsize::new(held.bytes),
            series: AtomicUsize::new(series),
        }
    }

    pub(crate) fn now(&self) -> Held {
        Held {
            samples: self.samples.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Counts more; what is held then.
    pub(crate) fn add(&self, more: Held) -> Held {
        let samples = self.samples.fetch_add(more.samples, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(more.bytes, Ordering::Relaxed);
        Held { samples, bytes } + more
    }

    /// Counts less. What is the same at all steps was counted once, so that there may be less than that.
    pub(crate) fn remove(&self, less: Held) {
        for (counter, less) in [(&self.samples, less.samples), (&self.bytes, less.bytes)] {
            let fewer = |held: usize| Some(held.saturating_sub(less));
            let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        }
    }

    /// Counts a series that was selected.
    pub(crate) fn select(&self, budget: &Budget) -> Result<(), EvalError> {
        budget.check_series(self.series.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
