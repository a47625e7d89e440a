//! Results of queries.

use std::sync::Arc;

use swell_model::{Labels, NativeHistogram, SampleValue, TimestampMs};

use crate::annotations::Annotation;

/// One sample of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// The series.
    pub labels: Labels,
    /// The evaluation time, or the sample's own.
    pub timestamp: TimestampMs,
    /// Its value.
    pub value: SampleValue,
}

/// A float at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FloatPoint {
    /// When.
    pub timestamp: TimestampMs,
    /// What.
    pub value: f64,
}

/// A histogram at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramPoint {
    /// When.
    pub timestamp: TimestampMs,
    /// What.
    pub value: Arc<NativeHistogram>,
}

/// One series of a matrix. A series may have floats at some steps and histograms at others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatrixSeries {
    /// The series.
    pub labels: Labels,
    /// Floats, by time.
    pub floats: Vec<FloatPoint>,
    /// Histograms, by time.
    pub histograms: Vec<HistogramPoint>,
}

/// What a query gives.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryValue {
    /// A single float.
    Scalar(FloatPoint),
    /// A text.
    String(TimestampMs, String),
    /// Samples at one instant. In the order of sorting functions, else by labels.
    Vector(Vec<VectorSample>),
    /// Samples over time, sorted by labels.
    Matrix(Vec<MatrixSeries>),
}

/// What evaluating cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples looked at: each once for each step that looked at it, a histogram as many as its size in samples.
    pub samples_total: u64,
    /// The same at each step; empty unless [`crate::EvalParams::counts_steps`].
    pub samples_by_step: Vec<u64>,
    /// Most samples held at once.
    pub samples_peak: usize,
    /// Samples read from storage, each once.
    pub samples_read: u64,
    /// Most bytes held at once, by an estimate.
    pub bytes_peak: usize,
    /// Series selected from storage.
    pub series_selected: usize,
}

/// A query's value and what is to be said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryOutput {
    /// The value.
    pub value: QueryValue,
    /// What is probably wrong, each once, sorted.
    pub warnings: Vec<Annotation>,
    /// What is worth knowing, each once, sorted.
    pub infos: Vec<Annotation>,
    /// Cost.
    pub stats: QueryStats,
}
