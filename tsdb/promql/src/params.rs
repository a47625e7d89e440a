//! What a query is evaluated with: times, switches, limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use swell_model::{DurationMs, TimestampMs};

use crate::error::EvalError;
use crate::workers::{Alone, Workers};

/// Experimental parts of the language, off by default as in Prometheus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Functions and aggregations that are marked experimental.
    pub experimental_functions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
    /// A metric's name is dropped at the end of the evaluation instead of by each operation, so that
    /// `label_replace` and grouping still see it.
    pub delayed_name_removal: bool,
    /// `__type__` and `__unit__` are dropped where the name is, and `rate` looks at the type.
    pub type_and_unit_labels: bool,
    /// `rate`, `increase`, `irate` and `resets` use start timestamps.
    pub start_timestamps: bool,
}

impl Features {
    /// Everything on.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            delayed_name_removal: true,
            type_and_unit_labels: true,
            start_timestamps: true,
        }
    }
}

/// When and how an expression is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalParams {
    /// First step.
    pub start: TimestampMs,
    /// Last step belongs at or before this time.
    pub end: TimestampMs,
    /// Distance of steps. Not used when `start` equals `end`, which makes it an instant query.
    pub step: DurationMs,
    /// How far back a sample counts as current.
    pub lookback: DurationMs,
    /// Step of subqueries that name none.
    pub subquery_step: DurationMs,
    /// Switches.
    pub features: Features,
    /// Whether the result is a value at an instant (vector, string, window) or a matrix over the steps.
    pub kind: QueryKind,
    /// Whether the samples that are looked at are counted for each step, too.
    pub counts_steps: bool,
}

/// Instant or range query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// One evaluation at `start`.
    Instant,
    /// One evaluation per step.
    Range,
}

impl EvalParams {
    /// Prometheus' default of how far back a sample counts as current.
    pub const LOOKBACK_DEFAULT: DurationMs = DurationMs::from_secs(300);
    /// Prometheus' default step of subqueries that name none (its default evaluation interval).
    pub const SUBQUERY_STEP_DEFAULT: DurationMs = DurationMs::from_secs(60);

    /// An instant query with default lookback and no experimental features.
    #[must_use]
    pub const fn instant(at: TimestampMs) -> Self {
        Self {
            start: at,
            end: at,
            step: DurationMs(1),
            lookback: Self::LOOKBACK_DEFAULT,
            subquery_step: Self::SUBQUERY_STEP_DEFAULT,
            features: Features {
                experimental_functions: false,
                extended_range_selectors: false,
                fill_modifiers: false,
                delayed_name_removal: false,
                type_and_unit_labels: false,
                start_timestamps: false,
            },
            kind: QueryKind::Instant,
            counts_steps: false,
        }
    }

    /// A range query with default lookback and no experimental features.
    #[must_use]
    pub const fn range(start: TimestampMs, end: TimestampMs, step: DurationMs) -> Self {
        Self { start, end, step, kind: QueryKind::Range, ..Self::instant(start) }
    }
}

/// Limits of one query, and the flag that stops it.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Most samples in memory at once.
    pub samples_max: usize,
    /// Most series selected from storage; none for no limit.
    pub series_max: Option<usize>,
    /// Most bytes in memory at once, by an estimate; none for no limit.
    pub bytes_max: Option<usize>,
    /// Most steps of a range query.
    pub steps_max: usize,
    /// Set by whoever waits for the query when the answer is no longer wanted.
    pub cancelled: Arc<AtomicBool>,
    /// Who does the work: the answer is the same whoever it is.
    pub workers: Arc<dyn Workers>,
}

impl Budget {
    /// Prometheus' default of samples in memory.
    pub const SAMPLES_MAX_DEFAULT: usize = 50_000_000;
    /// The HTTP API's limit of points per series.
    pub const STEPS_MAX_DEFAULT: usize = 11_000;

    /// Limits without a way to cancel.
    #[must_use]
    pub fn new(samples_max: usize, steps_max: usize) -> Self {
        let workers = Arc::new(Alone);
        Self {
            samples_max,
            series_max: None,
            bytes_max: None,
            steps_max,
            cancelled: Arc::default(),
            workers,
        }
    }

    /// Refuses results whose columns alone would pass the budget, before they are allocated.
    pub(crate) fn check_columns(&self, series: usize, steps: usize) -> Result<(), EvalError> {
        // A column holds a slot per step, also where nothing is present: allow for sparse ones.
        const SPARSENESS: usize = 8;
        let slots_max = self.samples_max.saturating_mul(SPARSENESS);
        if series.saturating_mul(steps) > slots_max {
            return Err(EvalError::TooManySamples { samples_max: self.samples_max });
        }
        Ok(())
    }

    /// Fails when more series were selected than allowed.
    pub(crate) fn check_series(&self, series: usize) -> Result<(), EvalError> {
        match self.series_max {
            Some(series_max) if series > series_max => Err(EvalError::TooManySeries { series_max }),
            _ => Ok(()),
        }
    }

    /// Fails once the query was cancelled.
    pub(crate) fn check_cancelled(&self) -> Result<(), EvalError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(EvalError::Cancelled) } else { Ok(()) }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::SAMPLES_MAX_DEFAULT, Self::STEPS_MAX_DEFAULT)
    }
}
