//! Selected series decoded one by one.

use swell_model::{SelectError, SelectHints, SeriesData, TimeRange};

use super::{Decoder, Selected};
use crate::coarse::{Choice, CoarseRead};

/// Decodes selected series one by one; series without samples in the range are passed over.
pub(crate) struct Columns {
    selected: std::vec::IntoIter<Selected>,
    read: CoarseRead,
    /// Aggregates are wanted, and nothing else.
    aggregates_only: bool,
    labels_only: bool,
    newest_only: bool,
    left: usize,
    decoder: Decoder,
}

impl Columns {
    /// The head's samples before `head_from_ms` are in blocks.
    pub(crate) fn new(
        selected: Vec<Selected>,
        hints: &SelectHints,
        choice: Choice,
        head_from_ms: i64,
    ) -> Self {
        let (coarse, range) = (hints.coarse, hints.range);
        Self {
            selected: selected.into_iter(),
            read: CoarseRead { choice, coarse, range, head_from_ms },
            aggregates_only: false,
            labels_only: hints.labels_only,
            newest_only: hints.newest_only,
            left: if hints.limit == 0 { usize::MAX } else { hints.limit },
            decoder: Decoder::default(),
        }
    }

    /// All samples of these times.
    pub(crate) fn samples(selected: Vec<Selected>, range: TimeRange) -> Self {
        Self::new(selected, &SelectHints::range(range), Choice::default(), i64::MIN)
    }

    /// All aggregates, as they are stored.
    pub(crate) fn aggregates(selected: Vec<Selected>) -> Self {
        Self { aggregates_only: true, ..Self::samples(selected, TimeRange::ALL) }
    }

    fn decode(&mut self, series: Selected) -> Result<SeriesData, SelectError> {
        let CoarseRead { range, head_from_ms, .. } = self.read;
        if self.aggregates_only {
            self.decoder.aggregates(series)
        } else if !series.coarse.is_empty() {
            self.decoder.with_coarse(series, &self.read)
        } else if self.newest_only && !series.has_deletions() {
            // Of a series of which something is deleted all samples are read: the newest may be among it.
            self.decoder.newest(series, range, head_from_ms)
        } else {
            self.decoder.series(series, range, head_from_ms)
        }
    }
}

impl Iterator for Columns {
    type Item = Result<SeriesData, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        while let Some(series) = self.selected.next() {
            match self.decode(series) {
                Ok(data)
                    if data.floats.timestamps.is_empty()
                        && data.histograms.timestamps.is_empty()
                        && data.aggregates.is_empty() => {}
                Ok(data) => {
                    self.left -= 1;
                    return Some(Ok(if self.labels_only {
                        SeriesData { labels: data.labels, ..SeriesData::default() }
                    } else {
                        data
                    }));
                }
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
