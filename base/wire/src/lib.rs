//! Shapes of model values on the wire: numbers and histogram buckets as the Prometheus API writes them, and the
//! messages of remote write as they are read. No logic beyond the formats' own rules.

mod float;
mod histogram_buckets;
pub mod remote_write;

pub use float::{format_float, format_float_label, write_float};
pub use histogram_buckets::{Bucket, buckets};
