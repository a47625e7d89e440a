//! Native histograms in float form: exponential buckets (schema −4…8) or custom bounds (schema −53).

mod arithmetic;
mod buckets;
mod check;
mod kahan;
mod runs;
mod sum;
#[cfg(test)]
mod tests;
mod trim;

pub use buckets::Bucket;
pub use check::InvalidHistogram;
pub use kahan::KahanSum;
pub use runs::{HistogramRun, histogram_runs};
pub use sum::{CombineNotes, HistogramSum, IncompatibleSchema};
pub use trim::Keep;

/// What is known about a counter reset before this histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CounterResetHint {
    /// Nothing is known.
    #[default]
    Unknown,
    /// A reset happened since the previous sample.
    Reset,
    /// No reset happened since the previous sample.
    NotReset,
    /// A gauge histogram: resets have no meaning.
    Gauge,
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Gap to the end of the previous span, or the first bucket's index for the first span.
    pub offset: i32,
    /// Number of buckets in the run.
    pub length: u32,
}

/// A native histogram with absolute float bucket counts (Prometheus `histogram.FloatHistogram`).
///
/// Invariant: the lengths in `positive_spans` sum to `positive_buckets.len()`, and so for the negative side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeHistogram {
    /// −4…8: bucket `i` covers (2^((i−1)·2^−schema), 2^(i·2^−schema)]; −53: custom bounds.
    pub schema: i32,
    /// Whether a counter reset preceded.
    pub reset_hint: CounterResetHint,
    /// Width of the zero bucket on either side of zero.
    pub zero_threshold: f64,
    /// Observations inside the zero bucket.
    pub zero_count: f64,
    /// Observations in all.
    pub count: f64,
    /// Sum of observations.
    pub sum: f64,
    /// Runs of buckets above zero.
    pub positive_spans: Vec<Span>,
    /// Absolute counts of the buckets in `positive_spans`.
    pub positive_buckets: Vec<f64>,
    /// Runs of buckets below zero.
    pub negative_spans: Vec<Span>,
    /// Absolute counts of the buckets in `negative_spans`.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds for schema −53, rising, without +Inf.
    pub custom_bounds: Vec<f64>,
}

impl NativeHistogram {
    /// Schema that marks custom bucket bounds.
    pub const CUSTOM_SCHEMA: i32 = -53;
}
