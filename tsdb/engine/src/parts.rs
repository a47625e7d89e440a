//! Reads cut into parts that are decoded side by side, and reads whose series come in groups without labels.

use std::sync::Arc;

use swell_model::{
    FloatColumn, Grouping, Matcher, SelectError, SelectHints, SelectedGroups, SeriesData,
    SeriesIter, Split,
};

use crate::coarse::{self, Choice};
use crate::db::Db;
use crate::head::{HeadSeries, NewestSample};
use crate::select::{
    Columns, HeadInGroups, OnDamage, Part, Reading, Selected, load, merge, merge_in_groups,
};

impl Db {
    /// See [`swell_model::SeriesSource::select_parts`].
    pub(crate) fn parts<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        split: Split,
    ) -> Result<Vec<SeriesIter<'a>>, SelectError> {
        let range = hints.range;
        let (newest, mut head, blocks, coarse, choice, head_from_ms) = {
            let state = self.inner.state.read();
            let choice = state.coarse_choice(hints, &self.inner);
            let coarse = coarse::chosen(&state.coarse, choice, range);
            let head = &state.head;
            let Ok(found) = swell_index::select(&head.index, matchers);
            // What stands for older samples is put in front of all of the head's.
            let (newest, series) = if hints.newest_only && coarse.is_empty() {
                head.newest_snapshot(&found, range)
            } else {
                (Vec::new(), head.snapshot(&found, range))
            };
            let blocks = Arc::clone(&state.blocks);
            (newest, series, blocks, coarse, choice, head.clipped(range).0)
        };
        let now = self.inner.clock.monotonic();
        let on_damage = OnDamage::of(hints);
        let mut blocks = load(&blocks, range, now, on_damage)?;
        blocks.extend(load(&coarse, range, now, on_damage)?);
        // A part does not know how many series the others give.
        let split = if hints.limit == 0 { split } else { Split::WHOLE };
        if blocks.is_empty() && head.is_empty() && hints.limit == 0 && !hints.labels_only {
            let samples = |newest: Vec<NewestSample>| -> SeriesIter<'a> {
                Box::new(Samples { newest: newest.into_iter(), at: None })
            };
            return Ok(cut(newest, split).into_iter().map(samples).collect());
        }
        head.extend(newest.into_iter().map(HeadSeries::from));
        let selected = merge(&blocks, head, matchers, range, on_damage)?;
        let columns = |series: Vec<Selected>| -> SeriesIter<'a> {
            Box::new(Columns::new(series, hints, choice, head_from_ms))
        };
        Ok(cut(selected, split).into_iter().map(columns).collect())
    }

    /// See [`swell_model::SeriesSource::select_grouped`].
    pub(crate) fn grouped<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        grouping: Grouping<'_>,
        split: Split,
    ) -> Result<Option<SelectedGroups<'a>>, SelectError> {
        let range = hints.range;
        let (head, blocks, head_from_ms) = {
            let state = self.inner.state.read();
            let head = &state.head;
            // What is deleted of the head would have to be matched with it by labels.
            if state.coarse_choice(hints, &self.inner) != Choice::default()
                || !head.tombstones.is_empty()
                || hints.limit != 0
            {
                return Ok(None);
            }
            let Ok(selected) = swell_index::select(&head.index, matchers);
            let grouped = self.inner.groupings.group(&head.index, matchers, grouping, selected);
            let marked = grouped.series.iter().zip(&grouped.group_of);
            let series = head.unlabelled(marked.map(|(idx, group)| (*idx, (*idx, *group))), range);
            let meets_blocks = state.blocks.iter().any(|block| block.meta.range().overlaps(&range));
            let identity = |idx: u32| {
                let identity = meets_blocks.then(|| head.index.identity(idx)).flatten();
                identity.unwrap_or_default()
            };
            let series = series.into_iter();
            let series = series.map(|(series, (idx, group))| (series, identity(idx), group));
            let groups = Arc::clone(&grouped.groups);
            let in_groups = HeadInGroups { series: series.collect(), groups };
            let blocks = if meets_blocks { Arc::clone(&state.blocks) } else { Arc::default() };
            (in_groups, blocks, head.clipped(range).0)
        };
        let on_damage = OnDamage::of(hints);
        let blocks = load(&blocks, range, self.inner.clock.monotonic(), on_damage)?;
        let (series, groups) = if blocks.is_empty() {
            let in_head = |(series, _, group)| {
                (Selected { parts: vec![Part::Head(series)], ..Selected::default() }, group)
            };
            (head.series.into_iter().map(in_head).collect(), head.groups)
        } else {
            merge_in_groups(&blocks, head, (matchers, range, on_damage), grouping)?
        };
        let parts = cut(series, split).into_iter().map(|series| -> swell_model::GroupedIter<'a> {
            let reading = Reading::new(hints, Choice::default(), head_from_ms);
            Box::new(Grouped { series: series.into_iter(), reading })
        });
        Ok(Some(SelectedGroups { groups, parts: parts.collect() }))
    }
}

/// A list in parts of the same length but for the last; at least one part.
fn cut<T>(mut list: Vec<T>, split: Split) -> Vec<Vec<T>> {
    let part_len = split.part_len(list.len());
    let mut parts = Vec::with_capacity(list.len().div_ceil(part_len));
    while list.len() > part_len {
        let rest = list.split_off(part_len);
        parts.push(std::mem::replace(&mut list, rest));
    }
    parts.push(list);
    parts
}

/// Newest samples as columns of one.
struct Samples {
    newest: std::vec::IntoIter<NewestSample>,
    /// The last column of one time; series of one target share it.
    at: Option<Arc<[i64]>>,
}

impl Iterator for Samples {
    type Item = Result<SeriesData, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        let NewestSample { labels, at_ms, value } = self.newest.next()?;
        let timestamps = match self.at.take() {
            Some(at) if at[0] == at_ms => at,
            _ => Arc::from([at_ms]),
        };
        self.at = Some(Arc::clone(&timestamps));
        let floats = FloatColumn { timestamps, values: Arc::from([value]), starts: None };
        Some(Ok(SeriesData { labels, floats, ..SeriesData::default() }))
    }
}

/// Decodes series one by one, each with its group; those without samples in the range are passed over.
struct Grouped {
    series: std::vec::IntoIter<(Selected, u32)>,
    reading: Reading,
}

impl Iterator for Grouped {
    type Item = Result<(u32, SeriesData), SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        for (series, group) in self.series.by_ref() {
            match self.reading.decode(series) {
                Ok(None) => {}
                Ok(Some(data)) => return Some(Ok((group, data))),
                Err(error) => {
                    self.series = Vec::new().into_iter();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_list() {
        for (len, parts_max, series_min, expected) in [
            (0, 4, 10, &[0][..]),
            (9, 4, 10, &[9]),
            (40, 4, 10, &[10, 10, 10, 10]),
            (41, 4, 10, &[11, 11, 11, 8]),
            (100, 1, 10, &[100]),
            (19, 4, 10, &[19]),
            (25, 8, 10, &[13, 12]),
        ] {
            let parts = cut((0..len).collect(), Split { parts_max, series_min });
            assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{len}");
            assert!(parts.concat().into_iter().eq(0..len));
        }
    }
}
