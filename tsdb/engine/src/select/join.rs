//! Samples of one series from several places made one column: in order of time, one of those at the same time.

use std::sync::Arc;

use swell_model::{FloatColumn, HistogramColumn, NativeHistogram};

use crate::head::{HistogramSamples, float_wins, histogram_wins};

/// A column of samples that may not rise, and of late ones: time, value, start. `starts` may be shorter than the column.
/// Counts times with several values, as its siblings do.
pub(super) fn with_late(
    timestamps: &[i64],
    values: &[f64],
    starts: &[i64],
    late: &[(i64, f64, i64)],
    conflicts: &mut u64,
) -> FloatColumn {
    let starts = starts.iter().copied().chain(std::iter::repeat(0));
    let stored = timestamps.iter().copied().zip(values.iter().copied()).zip(starts);
    let mut samples: Vec<(i64, f64, i64)> =
        stored.map(|((at, value), start)| (at, value, start)).collect();
    samples.extend_from_slice(late);
    samples.sort_by_key(|(at, ..)| *at);
    samples.dedup_by(|next, kept| {
        let is_same_time = next.0 == kept.0;
        *conflicts += u64::from(is_same_time && next.1.to_bits() != kept.1.to_bits());
        if is_same_time && float_wins(next.1, kept.1) {
            *kept = *next;
        }
        is_same_time
    });
    let starts: Vec<i64> = samples.iter().map(|(.., start)| *start).collect();
    FloatColumn {
        timestamps: samples.iter().map(|(at, ..)| *at).collect(),
        values: samples.iter().map(|(_, value, _)| *value).collect(),
        starts: some_starts(&starts),
    }
}

/// Start timestamps as a column has them: absent when there are none.
pub(super) fn some_starts(starts: &[i64]) -> Option<Arc<[i64]>> {
    starts.iter().any(|start| *start != 0).then(|| starts.into())
}

/// The floats at other times than these, which have a histogram each.
pub(super) fn without_times(
    floats: FloatColumn,
    times: &[i64],
    conflicts: &mut u64,
) -> FloatColumn {
    let is_kept = |at: &i64| times.binary_search(at).is_err();
    if floats.timestamps.iter().all(is_kept) {
        return floats;
    }
    let kept = || floats.timestamps.iter().map(is_kept);
    *conflicts += kept().filter(|kept| !kept).count() as u64;
    let pick = |values: &[i64]| -> Arc<[i64]> {
        values.iter().zip(kept()).filter(|(_, kept)| *kept).map(|(value, _)| *value).collect()
    };
    let values = floats.values.iter().zip(kept()).filter(|(_, kept)| *kept);
    FloatColumn {
        timestamps: pick(&floats.timestamps),
        values: values.map(|(value, _)| *value).collect(),
        starts: floats.starts.as_deref().map(pick),
    }
}

pub(super) fn histogram_column(
    mut samples: HistogramSamples,
    conflicts: &mut u64,
) -> HistogramColumn {
    if !samples.is_sorted_by(|a, b| a.0 < b.0) {
        samples.sort_by_key(|(at, _)| *at);
        samples.dedup_by(|next, kept| {
            let is_same_time = next.0 == kept.0;
            let wins = is_same_time && histogram_wins(&next.1.value, &kept.1.value);
            let loses = is_same_time && histogram_wins(&kept.1.value, &next.1.value);
            *conflicts += u64::from(wins || loses);
            if wins {
                *kept = next.clone();
            }
            is_same_time
        });
        // What is known of resets holds between neighbours, and these are others now.
        for idx in (1..samples.len()).rev() {
            let reset_hint = samples[idx].1.value.hint_after(Some(&samples[idx - 1].1.value));
            if reset_hint != samples[idx].1.value.reset_hint {
                let value = NativeHistogram::clone(&samples[idx].1.value);
                samples[idx].1.value = Arc::new(NativeHistogram { reset_hint, ..value });
            }
        }
    }
    let starts: Vec<i64> = samples.iter().map(|(_, point)| point.start_ms).collect();
    let (timestamps, values) = samples.into_iter().map(|(at, point)| (at, point.value)).unzip();
    let starts = starts.iter().any(|start| *start != 0).then_some(starts);
    HistogramColumn { timestamps, values, starts }
}

/// First position in the window, and the one after the last.
pub(crate) fn positions(times: &[i64], (from_ms, to_ms): (i64, i64)) -> (usize, usize) {
    (times.partition_point(|at| *at < from_ms), times.partition_point(|at| *at <= to_ms))
}
