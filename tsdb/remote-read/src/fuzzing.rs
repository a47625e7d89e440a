//! Decoders of this crate that take a server's bytes: for the fuzz targets.

use swell_model::TimeRange;

use crate::collect::Collector;

/// Samples that an answer has, in either form; none when it is refused.
#[must_use]
pub fn sample_count(message: &[u8], is_frame: bool, samples_max: usize) -> Option<usize> {
    let mut collector = Collector::new(samples_max);
    let added =
        if is_frame { collector.add_frame(message) } else { collector.add_samples(message) };
    added.ok()?;
    let series = collector.finish(TimeRange::ALL, &[], false);
    let count = |it: &swell_model::SeriesData| {
        assert!(it.floats.timestamps.is_sorted_by(|one, other| one < other));
        assert_eq!(it.floats.timestamps.len(), it.floats.values.len());
        it.floats.timestamps.len() + it.histograms.timestamps.len()
    };
    Some(series.iter().map(count).sum())
}
