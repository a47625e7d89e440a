//! Selected series decoded one by one.

use swell_model::{SelectError, SelectHints, SeriesData, TimeRange};

use super::{Decoder, OnDamage, Selected};
use crate::coarse::{Choice, CoarseRead};

/// How selected series are decoded.
pub(crate) struct Reading {
    read: CoarseRead,
    /// Aggregates are wanted, and nothing else.
    aggregates_only: bool,
    newest_only: bool,
    on_damage: OnDamage,
    decoder: Decoder,
}

impl Reading {
    /// The head's samples before `head_from_ms` are in blocks.
    pub(crate) fn new(hints: &SelectHints, choice: Choice, head_from_ms: i64) -> Self {
        let (coarse, range) = (hints.coarse, hints.range);
        Self {
            read: CoarseRead { choice, coarse, range, head_from_ms },
            aggregates_only: false,
            newest_only: hints.newest_only,
            on_damage: OnDamage::of(hints),
            decoder: Decoder::default(),
        }
    }

    /// What is wanted of a series; `None` when it has nothing in the range.
    pub(crate) fn decode(
        &mut self,
        mut series: Selected,
    ) -> Result<Option<SeriesData>, SelectError> {
        loop {
            match self.try_decode(&mut series) {
                Err(_) if self.on_damage == OnDamage::PassOver && series.pass_over_damage() => {}
                done => return done,
            }
        }
    }

    fn try_decode(&mut self, series: &mut Selected) -> Result<Option<SeriesData>, SelectError> {
        let CoarseRead { range, head_from_ms, .. } = self.read;
        if let Some(folding) = self.read.folding()
            && let Some(aggregates) = self.decoder.folded(series, folding, range, head_from_ms)?
        {
            let labels = series.labels.clone();
            let data = SeriesData { labels, aggregates, ..SeriesData::default() };
            return Ok((!data.aggregates.is_empty()).then_some(data));
        }
        let data = if self.aggregates_only {
            self.decoder.aggregates(series)
        } else if !series.coarse.is_empty() {
            self.decoder.with_coarse(series, &self.read)
        } else if self.newest_only && !series.has_deletions() {
            // Of a series of which something is deleted all samples are read: the newest may be among it.
            self.decoder.newest(series, range, head_from_ms)
        } else {
            self.decoder.series(series, range, head_from_ms)
        }?;
        let is_empty = data.floats.timestamps.is_empty()
            && data.histograms.timestamps.is_empty()
            && data.aggregates.is_empty()
            && data.histogram_runs.is_empty();
        Ok((!is_empty).then_some(data))
    }
}

/// Decodes selected series one by one; series without samples in the range are passed over.
pub(crate) struct Columns {
    selected: std::vec::IntoIter<Selected>,
    reading: Reading,
    labels_only: bool,
    left: usize,
}

impl Columns {
    /// The head's samples before `head_from_ms` are in blocks.
    pub(crate) fn new(
        selected: Vec<Selected>,
        hints: &SelectHints,
        choice: Choice,
        head_from_ms: i64,
    ) -> Self {
        Self {
            selected: selected.into_iter(),
            reading: Reading::new(hints, choice, head_from_ms),
            labels_only: hints.labels_only,
            left: if hints.limit == 0 { usize::MAX } else { hints.limit },
        }
    }

    /// Goes on with other series; what was decoded so far stays known.
    pub(crate) fn refill(&mut self, selected: Vec<Selected>) {
        self.selected = selected.into_iter();
    }

    /// All samples of these times.
    pub(crate) fn samples(selected: Vec<Selected>, range: TimeRange) -> Self {
        Self::new(selected, &SelectHints::range(range), Choice::default(), i64::MIN)
    }

    /// All aggregates, as they are stored.
    pub(crate) fn aggregates(selected: Vec<Selected>) -> Self {
        let mut columns = Self::samples(selected, TimeRange::ALL);
        columns.reading.aggregates_only = true;
        columns
    }

    /// Times of which series had several values, so far.
    pub(crate) const fn conflict_count(&self) -> u64 {
        self.reading.decoder.conflict_count
    }
}

impl Iterator for Columns {
    type Item = Result<SeriesData, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        for series in self.selected.by_ref() {
            match self.reading.decode(series) {
                Ok(None) => {}
                Ok(Some(data)) => {
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
