//! The newest sample of each series, dense: sixteen bytes in sequence answer an instant selector, and no token is
//! decoded for it.

use super::{Head, NEVER};

/// Newest samples by series index.
#[derive(Debug, Default)]
pub(super) struct NewestSamples(Vec<Sample>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: i64,
    /// Of a float; a histogram has [`HISTOGRAM`] here.
    value: f64,
}

/// Stands for a histogram. A float may have the same bits: [`super::Series`] tells.
const HISTOGRAM: f64 = f64::from_bits(0x7ff0_0000_0000_0003);

const NOTHING: Sample = Sample { at_ms: NEVER, value: 0.0 };

impl NewestSamples {
    pub(super) fn reserve(&mut self, count: usize) {
        self.0.reserve_exact(count);
    }

    pub(super) fn push_series(&mut self) {
        self.0.push(NOTHING);
    }

    pub(super) fn forget(&mut self, idx: usize) {
        self.0[idx] = NOTHING;
    }

    /// The time of the newest sample, [`NEVER`] without one.
    #[inline]
    pub(super) fn at_ms(&self, idx: usize) -> i64 {
        self.0[idx].at_ms
    }

    /// The value of the newest sample, which is a float.
    #[inline]
    pub(super) fn float(&self, idx: usize) -> f64 {
        self.0[idx].value
    }

    #[inline]
    pub(super) fn set_float(&mut self, idx: usize, at_ms: i64, value: f64) {
        self.0[idx] = Sample { at_ms, value };
    }

    pub(super) fn set_histogram(&mut self, idx: usize, at_ms: i64) {
        self.0[idx] = Sample { at_ms, value: HISTOGRAM };
    }
}

/// The newest sample of a series, as seen from a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Newest {
    /// It lies before the window, or there is none.
    Before,
    /// Its time and value.
    Float(i64, f64),
    /// A histogram lies in the window.
    Histogram,
    /// It lies after the window, or some came late: what is newest in there has to be looked for.
    Unknown,
}

impl Head {
    /// The newest sample of a series, seen from a window with both its ends.
    #[inline]
    pub(crate) fn newest(&self, idx: u32, (from_ms, to_ms): (i64, i64)) -> Newest {
        let Sample { at_ms, value } = self.newest.0[idx as usize];
        if self.late_count() > 0 && self.has_late(idx) {
            return Newest::Unknown;
        }
        if at_ms < from_ms || at_ms == NEVER {
            Newest::Before
        } else if at_ms > to_ms {
            Newest::Unknown
        } else if value.to_bits() == HISTOGRAM.to_bits()
            && self.series[idx as usize].last_is_histogram
        {
            Newest::Histogram
        } else {
            Newest::Float(at_ms, value)
        }
    }
}
