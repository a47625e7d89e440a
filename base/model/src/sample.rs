//! Sample values and the staleness marker.

use std::sync::Arc;

use crate::NativeHistogram;

/// Bits of the NaN that marks a series as gone (Prometheus `model/value/value.go`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The staleness marker as a float.
#[must_use]
pub const fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the staleness marker and not just any NaN.
#[must_use]
pub const fn is_stale_nan(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// One sample's value.
#[derive(Clone, Debug, PartialEq)]
pub enum SampleValue {
    /// A float; the staleness marker is one too.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<NativeHistogram>),
}
