//! Series that ended, and whose staleness markers the storage did not take yet.

use std::collections::BTreeSet;

use swell_model::{LabelledBatch, Labels, TimestampMs, stale_nan};

use super::batch_at;
use super::limits::series_bytes;

/// Markers that are still to be stored. In memory only: after a restart such series end as those of any sender that is
/// gone, when their last sample is too old for queries.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    series: BTreeSet<Labels>,
    bytes: usize,
}

impl Ended {
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// A series ended.
    pub(crate) fn add(&mut self, labels: Labels) {
        let bytes = series_bytes(labels.iter());
        if self.series.insert(labels) {
            self.bytes += bytes;
        }
    }

    /// A series is there again, and needs no marker.
    pub(crate) fn remove(&mut self, labels: &Labels) {
        if self.series.remove(labels) {
            self.bytes -= series_bytes(labels.iter());
        }
    }

    /// All are stored.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The markers.
    pub(crate) fn batch(&self, now: TimestampMs) -> LabelledBatch {
        batch_at(now, self.series.iter().map(|labels| (labels.clone(), stale_nan())))
    }

    /// Gives up markers until the others have at most so many bytes; how many are given up.
    pub(crate) fn trim(&mut self, bytes_max: usize) -> usize {
        let mut trimmed = 0;
        while self.bytes > bytes_max {
            let Some(labels) = self.series.pop_last() else { break };
            self.bytes -= series_bytes(labels.iter());
            trimmed += 1;
        }
        trimmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_wait_up_to_so_many_bytes() {
        let labels = |n: usize| Labels::from_pairs([("__name__", format!("m{n}"))]);
        let mut ended = Ended::default();
        (0..10).chain(0..10).for_each(|n| ended.add(labels(n)));
        assert_eq!((ended.batch(TimestampMs(1)).floats.len(), ended.trim(ended.bytes)), (10, 0));
        let bytes_each = ended.bytes / 10;
        assert_eq!(ended.trim(ended.bytes - bytes_each - 1), 2);
        (0..8).for_each(|n| ended.remove(&labels(n)));
        ended.remove(&labels(9));
        assert_eq!((ended.is_empty(), ended.bytes), (true, 0));
    }
}
