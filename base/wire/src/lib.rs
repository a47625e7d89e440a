//! Shapes of model values on the wire: numbers and histogram buckets as the Prometheus API writes them, the formats of
//! expositions as they are written and chosen, and the messages of remote write and remote read. No logic beyond the formats' own rules.

mod accept;
mod exposition_openmetrics;
mod exposition_protobuf;
mod exposition_text;
mod float;
mod histogram_buckets;
mod protobuf;
pub mod remote_read;
pub mod remote_write;

pub use accept::ExpositionFormat;
pub use exposition_openmetrics::{OPENMETRICS_END, write_openmetrics_family};
pub use exposition_protobuf::{FamilyKind, FamilyMessage, FamilyValue};
pub use exposition_text::{write_help, write_sample, write_sample_of, write_type};
pub use float::{format_float, format_float_label, write_float, write_whole};
pub use histogram_buckets::{Bucket, buckets};
