//! The newest sample of each series in a range: what an instant selector looks at. One series at a time, and many at
//! once in groups.

use std::sync::Arc;

use swell_chunk::DecodeError;
use swell_model::{
    FloatColumn, GroupedNewest, Grouping, HistogramColumn, Matcher, NativeHistogram, SelectError,
    SeriesData, TimeRange, is_stale_nan,
};

use crate::block::{BlockSeries, Loaded, ReadBlockError};
use crate::db::Db;
use crate::head::{HeadSeries, HistogramSamples, Newest, float_wins, histogram_wins};
use crate::select::{Decoder, Part, Selected, head_fault, head_histograms, positions, storage};

/// The newest samples met so far; of those at one time the one counts that wins by the rule of the head's late samples.
/// Parts come newest first, so that most need not be looked at.
#[derive(Debug, Default)]
struct Best {
    float: Option<(i64, f64)>,
    histogram: Option<(i64, Arc<NativeHistogram>)>,
}

impl Best {
    /// Whether a sample at that time may be newer than all met, or stand for the same time.
    fn may_take(&self, at_ms: i64) -> bool {
        self.float.is_none_or(|(best, _)| best <= at_ms)
            && self.histogram.as_ref().is_none_or(|(best, _)| *best <= at_ms)
    }

    fn take_float(&mut self, at_ms: i64, value: f64) {
        let is_newer = self.histogram.as_ref().is_none_or(|(best, _)| *best < at_ms);
        let wins = |(best_ms, best): (i64, f64)| {
            best_ms < at_ms || (best_ms == at_ms && float_wins(value, best))
        };
        if is_newer && self.float.is_none_or(wins) {
            self.float = Some((at_ms, value));
        }
    }

    fn take_histogram(&mut self, at_ms: i64, value: &Arc<NativeHistogram>) {
        let is_newer = self.float.is_none_or(|(best, _)| best <= at_ms);
        let wins = |(best_ms, best): &(i64, Arc<NativeHistogram>)| {
            *best_ms < at_ms || (*best_ms == at_ms && histogram_wins(value, best))
        };
        if is_newer && self.histogram.as_ref().is_none_or(wins) {
            // A float of the same time does not count.
            self.float = self.float.filter(|(best, _)| *best < at_ms);
            self.histogram = Some((at_ms, Arc::clone(value)));
        }
    }
}

impl Decoder {
    /// The newest sample of a series in the range, as columns of one. Columns stay empty without one.
    pub(crate) fn newest(
        &mut self,
        series: &Selected,
        range: TimeRange,
        head_from_ms: i64,
    ) -> Result<SeriesData, SelectError> {
        // Whether a counter was reset is told by the histogram before.
        let has_histograms = series.parts.iter().any(|part| match part {
            Part::Block(_, columns, ..) => columns.histograms.is_some(),
            Part::Head(columns) => columns.has_histograms(),
        });
        let is_known = series.parts.iter().any(|part| match part {
            Part::Block(..) => false,
            Part::Head(columns) => columns.newest.is_some(),
        });
        if has_histograms && !is_known {
            let mut data = self.series(series, range, head_from_ms)?;
            if data.floats.timestamps.last() > data.histograms.timestamps.last() {
                data.histograms = HistogramColumn::default();
            } else {
                data.floats = FloatColumn::default();
            }
            return Ok(data);
        }
        let mut best = Best::default();
        for part in series.parts.iter().rev() {
            match part {
                Part::Block(loaded, columns, _) => {
                    self.newest_in_block(loaded, columns, range, &mut best)
                        .map_err(|error| storage(&error))?;
                }
                Part::Head(columns) => {
                    let window = (range.start_incl.0.max(head_from_ms), range.end_incl.0);
                    self.newest_in_head(columns, window, &mut best).map_err(head_fault)?;
                }
            }
        }
        let floats = best.float.map(|(at_ms, value)| FloatColumn {
            timestamps: self.single(at_ms),
            values: Arc::from([value]),
            starts: None,
        });
        let histograms = best.histogram.map(|(at_ms, value)| HistogramColumn {
            timestamps: vec![at_ms],
            values: vec![value],
            starts: None,
        });
        Ok(SeriesData {
            labels: series.labels.clone(),
            floats: floats.unwrap_or_default(),
            histograms: histograms.unwrap_or_default(),
            ..SeriesData::default()
        })
    }

    /// A column of one time; series of one target share it.
    fn single(&mut self, at_ms: i64) -> Arc<[i64]> {
        match &self.single {
            Some(known) if known[0] == at_ms => Arc::clone(known),
            _ => Arc::clone(self.single.insert(Arc::from([at_ms]))),
        }
    }

    fn newest_in_block(
        &mut self,
        loaded: &Arc<Loaded>,
        columns: &BlockSeries,
        range: TimeRange,
        best: &mut Best,
    ) -> Result<(), ReadBlockError> {
        let window = (range.start_incl.0, range.end_incl.0);
        if let Some(floats) = &columns.floats
            && floats.times.first_ms <= window.1
            && floats.times.last_ms >= window.0
            && best.may_take(floats.times.last_ms.min(window.1))
        {
            let times = self.block_times(loaded, floats.times)?;
            let (from, to) = positions(times, window);
            if from < to {
                let at_ms = times[to - 1];
                self.values.clear();
                loaded.floats(
                    floats,
                    (to - 1, to),
                    &mut self.frames,
                    &mut self.reader,
                    &mut self.values,
                )?;
                best.take_float(at_ms, self.values[0]);
            }
        }
        if let Some(histograms) = &columns.histograms
            && histograms.times.first_ms <= window.1
            && histograms.times.last_ms >= window.0
            && best.may_take(histograms.times.last_ms.min(window.1))
        {
            let times = self.block_times(loaded, histograms.times)?;
            let (from, to) = positions(times, window);
            if from < to {
                let at_ms = times[to - 1];
                let mut values = Vec::with_capacity(1);
                loaded.histograms(histograms, (to - 1, to), &mut self.frames, &mut values)?;
                best.take_histogram(at_ms, &values[0]);
            }
        }
        Ok(())
    }

    fn newest_in_head(
        &mut self,
        columns: &HeadSeries,
        window: (i64, i64),
        best: &mut Best,
    ) -> Result<(), DecodeError> {
        if let Some((at_ms, value)) = columns.newest {
            best.take_float(at_ms, value);
            return Ok(());
        }
        let mut histograms = HistogramSamples::new();
        head_histograms(columns, window, &mut histograms)?;
        if let Some((at_ms, point)) = histograms.iter().max_by_key(|(at_ms, _)| *at_ms) {
            best.take_histogram(*at_ms, &point.value);
        }
        if let Some((at_ms, point)) = columns.late_histograms.last() {
            best.take_histogram(*at_ms, &point.value);
        }
        if let Some((at_ms, value, _)) = columns.late_floats.last() {
            best.take_float(*at_ms, *value);
        }
        if let Some(open) = &columns.open {
            let column = self.read_open(open)?;
            if let Some((at_ms, value)) = self.newest_in_column(column, window) {
                best.take_float(at_ms, value);
                return Ok(());
            }
        }
        for chunk in columns.chunks.iter().rev() {
            let column = self.read_sealed(chunk)?;
            if let Some((at_ms, value)) = self.newest_in_column(column, window) {
                best.take_float(at_ms, value);
                return Ok(());
            }
        }
        Ok(())
    }

    /// The newest sample in the window of the column just decoded.
    fn newest_in_column(&self, column: (usize, u32), window: (i64, i64)) -> Option<(i64, f64)> {
        let times = &self.times[&column];
        let mut end = self.column.values.len();
        for (first, len) in self.column.runs.iter().rev() {
            let (first, len) = (*first as usize, *len as usize);
            let (from, to) = positions(&times[first..first + len], window);
            end -= len;
            if from < to {
                return Some((times[first + to - 1], self.column.values[end + to - 1]));
            }
        }
        None
    }
}

impl Db {
    /// See [`swell_model::SeriesSource::newest_grouped`]: answered from the head alone.
    pub(crate) fn newest_in_groups(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        grouping: Grouping<'_>,
    ) -> Result<Option<GroupedNewest>, SelectError> {
        let (mut found, unread, window) = {
            let state = self.inner.state.read();
            let head = &state.head;
            let window = head.clipped(range);
            // What is in blocks, or deleted, would have to be matched with the head's by labels.
            if state.blocks.iter().any(|block| block.meta.range().overlaps(&range))
                || window.0 > window.1
                || !head.tombstones.is_empty()
            {
                return Ok(None);
            }
            let Ok(selected) = swell_index::select(&head.index, matchers);
            let grouped = self.inner.groupings.group(&head.index, matchers, grouping, selected);
            let mut found = GroupedNewest {
                groups: Arc::clone(&grouped.groups),
                samples: Vec::with_capacity(grouped.series.len()),
                series_count: 0,
            };
            let mut unread = Vec::new();
            for (idx, group) in grouped.series.iter().zip(&grouped.group_of) {
                match head.newest(*idx, window) {
                    Newest::Before => {}
                    Newest::Float(_, value) => take(&mut found, *group, value),
                    Newest::Histogram => return Ok(None),
                    Newest::Unknown => unread.push((*idx, *group)),
                }
            }
            let unread = head.unlabelled(unread, range);
            (found, unread, window)
        };
        let mut decoder = Decoder::default();
        for (columns, group) in &unread {
            let mut best = Best::default();
            decoder.newest_in_head(columns, window, &mut best).map_err(head_fault)?;
            match best {
                Best { histogram: Some(_), .. } => return Ok(None),
                Best { float: Some((_, value)), .. } => take(&mut found, *group, value),
                Best { .. } => {}
            }
        }
        Ok(Some(found))
    }
}

/// Takes the newest sample of a series into its group.
#[inline]
fn take(found: &mut GroupedNewest, group: u32, value: f64) {
    found.series_count += 1;
    if !is_stale_nan(value) {
        found.samples.push((group, value));
    }
}
