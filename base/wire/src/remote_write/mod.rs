//! Remote write, messages 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`): read in place, and
//! written.
//!
//! Nothing is copied and nothing is built that the reader does not ask for. A series' message starts with its labels, so
//! a reader that has seen the same bytes before skips them ([`SeriesMessage::parts`] starts where it is told to).
//! Unpacking (snappy) is the caller's, and so is what to do with labels that break a rule.

mod histogram;
mod histogram_writer;
mod metadata;
mod request;
mod request_writer;
mod series;
mod writer;

pub use crate::protobuf::WireError;
pub use histogram::{HistogramMessage, ReadHistogramError, WireHistogram};
pub(crate) use histogram_writer::{Counts, put_histogram};
pub use metadata::{Metadata, MetadataRefs};
pub use request::{Item, Message, items, read_symbols};
pub use request_writer::{RequestV1, RequestV2, SentHistogram, SeriesContent};
pub use series::{Exemplar, LabelRefs, Part, Parts, Sample, SeriesMessage};
pub(crate) use writer::put_samples;
pub use writer::{encode_labels, put_series};

#[cfg(test)]
mod tests;
