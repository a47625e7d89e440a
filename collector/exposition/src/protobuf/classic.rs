//! Summaries and classic histograms: one series for each part.

use super::messages::{Histogram, Summary};
use super::{Lines, bound};
use crate::entry::Entry;

pub(super) fn summary<E>(
    summary: &Summary,
    lines: &mut Lines<'_>,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    lines.sample("_count", None, float_of(summary.sample_count), None, visit)?;
    lines.sample("_sum", None, summary.sample_sum, None, visit)?;
    for entry in &summary.quantiles {
        let quantile = bound(entry.quantile);
        lines.sample("", Some(("quantile", &quantile)), entry.value, None, visit)?;
    }
    Ok(())
}

pub(super) fn histogram<E>(
    histogram: &Histogram,
    lines: &mut Lines<'_>,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let count = count(histogram);
    lines.sample("_count", None, count, None, visit)?;
    lines.sample("_sum", None, histogram.sample_sum, None, visit)?;
    for bucket in &histogram.buckets {
        let le = bound(bucket.upper_bound);
        let inside = either(bucket.cumulative_count_float, bucket.cumulative_count);
        let exemplar = bucket.exemplar.as_ref();
        lines.sample("_bucket", Some(("le", &le)), inside, exemplar, visit)?;
        // What stands behind the last bucket there can be is none.
        if bucket.upper_bound == f64::INFINITY {
            return Ok(());
        }
    }
    lines.sample("_bucket", Some(("le", "+Inf")), count, None, visit)
}

/// Observations in all.
pub(super) fn count(histogram: &Histogram) -> f64 {
    either(histogram.sample_count_float, histogram.sample_count)
}

/// A count is given as a float or as an integer, the other is 0 then.
pub(super) fn either(float: f64, integer: u64) -> f64 {
    if float == 0.0 { float_of(integer) } else { float }
}

/// Counts beyond 2^53 lose their last digits, as sample values do everywhere.
#[expect(clippy::cast_precision_loss, reason = "stated above")]
pub(super) const fn float_of(count: u64) -> f64 {
    count as f64
}
