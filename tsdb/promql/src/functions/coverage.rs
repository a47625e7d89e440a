//! How far the samples of a window reach, and by what their change is multiplied to stand for the whole window.

use super::rate::Change;
use crate::eval::seconds;

/// Times of the samples in a window that extrapolation looks at, in seconds.
pub(super) struct Coverage {
    pub(super) sampled_s: f64,
    pub(super) to_start_s: f64,
    to_end_s: f64,
    between_s: f64,
}

impl Coverage {
    /// Of the times that lie in a window, which does not hold its start.
    #[inline]
    pub(super) fn of(bounds_ms: (i64, i64), times: &[i64]) -> Self {
        let ends = (times[0], times[times.len() - 1]);
        Self::between(bounds_ms, ends, times.len() as u64)
    }

    /// Of that many times, the first and last of which are given.
    #[inline]
    pub(super) fn between(
        (start_ms, end_ms): (i64, i64),
        (first, last): (i64, i64),
        count: u64,
    ) -> Self {
        let sampled_s = seconds(last - first);
        #[expect(clippy::cast_precision_loss, reason = "no window holds 2^53 samples")]
        let gaps = (count - 1) as f64;
        Self {
            sampled_s,
            to_start_s: seconds(first - start_ms),
            to_end_s: seconds(end_ms - last),
            between_s: if gaps > 0.0 { sampled_s / gaps } else { 0.0 },
        }
    }

    /// The first sample's start time stands for a sample of zero at that time.
    pub(super) fn begin_at(&mut self, start_ms: i64, last_ms: i64) {
        self.to_start_s = 0.0;
        self.sampled_s = seconds(last_ms - start_ms);
    }

    /// How much the change must be multiplied to stand for the whole window.
    ///
    /// A window's end that is nearer than 110 % of the distance between samples is taken as covered, else the series
    /// is taken to begin or end half a distance away. A counter cannot have begun before it was zero:
    /// `to_zero` is the part of the sampled time in which it rose from zero to its first value.
    #[inline]
    pub(super) fn factor(&mut self, to_zero: Option<f64>, kind: Change, range_ms: i64) -> f64 {
        let threshold = self.between_s * 1.1;
        if self.to_start_s >= threshold && self.to_start_s > 0.0 {
            self.to_start_s = self.between_s / 2.0;
        }
        if let Some(share) = to_zero {
            self.to_start_s = self.to_start_s.min(self.sampled_s * share);
        }
        if self.to_end_s >= threshold {
            self.to_end_s = self.between_s / 2.0;
        }
        let mut factor = 1.0;
        if self.sampled_s != 0.0 {
            factor = (self.sampled_s + self.to_start_s + self.to_end_s) / self.sampled_s;
        }
        if kind.per_second { factor / seconds(range_ms) } else { factor }
    }
}
