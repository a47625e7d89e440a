//! Shapes of model values on the wire: numbers and histogram buckets as the Prometheus API writes them; no logic.

mod float;
mod histogram_buckets;

pub use float::{format_float, format_float_label, write_float};
pub use histogram_buckets::{Bucket, buckets};
