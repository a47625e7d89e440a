//! Evaluates PromQL over columns. No clock, no IO: samples come from a [`swell_model::SeriesSource`], time and
//! limits are arguments.
//!
//! [`evaluate`] plans (checks switches, resolves durations and times, finds what each selector needs), selects each
//! series once, and evaluates node by node for all steps at a time with sliding windows. What the same asker evaluates
//! again and again reads through a [`Standing`], which keeps its windows up to date from arriving samples.

mod aggregate;
mod annotations;
mod at_hand;
mod binary;
mod error;
mod eval;
mod explain;
mod functions;
mod params;
mod plan;
mod standing;
#[cfg(feature = "testing")]
pub mod testing;
mod value;
mod watched;
mod workers;

pub use annotations::Annotation;
pub use at_hand::evaluate_at_hand;
pub use error::EvalError;
pub use eval::evaluate;
pub use explain::{Explained, Read, TEXT_CHARS_MAX, explain};
pub use params::{Budget, EvalParams, Features, QueryKind};
pub use standing::{KeptSize, Reads, Standing, StandingReader};
pub use value::{
    FloatPoint, HistogramPoint, MatrixSeries, QueryOutput, QueryStats, QueryValue, VectorSample,
};
pub use watched::Watched;
pub use workers::{Alone, Workers};
