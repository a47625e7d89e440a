//! Parses the Prometheus text format 0.0.4, OpenMetrics 1.0 and the protobuf format.
//!
//! [`Parser`] yields an [`Entry`] per line, or a [`LineError`] after which it goes on with the next line: whether
//! one bad line spoils a scrape is for the caller to say. A [`Sample`] keeps its series as [`SeriesText`], which
//! is checked but not taken apart; a caller that knows the text already never builds its labels.
//! The rules are those of Prometheus' `model/textparse`.

mod custom;
mod document;
mod entry;
mod family;
mod fault;
mod float;
mod parser;
mod protobuf;
mod series;
mod writer;

pub use document::{
    BodyFault, BodyFormat, HistogramOptions, Visitor, visit_body, visit_known_body,
};
pub use entry::{Entry, Exemplar, Format, HistogramSample, Sample};
pub use family::{CurrentFamily, is_series_of};
pub use fault::{Fault, LineError};
pub use parser::Parser;
pub use protobuf::ProtobufFault;
pub use series::{Pairs, RepeatedLabel, SeriesText};

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
