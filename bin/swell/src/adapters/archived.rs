//! Local samples and archived ones as one source: whoever asks for times before the local retention reaches the archive.

use std::collections::HashMap;
use std::sync::Arc;

use swell_archive::{Archive, ReadError};
use swell_engine::Db;
use swell_model::{
    Coarse, FloatColumn, GroupedNewest, Grouping, HistogramColumn, Labels, Matcher, SelectError,
    SelectHints, SelectedGroups, SeriesData, SeriesIter, SeriesSource, Split, TimeRange,
    TimestampMs,
};
use swell_telemetry::chain;

/// The database in front of its archive.
pub(crate) struct ArchivedSource {
    db: Arc<Db>,
    archive: Arc<Archive>,
}

impl ArchivedSource {
    pub(crate) fn new(db: Arc<Db>, archive: Arc<Archive>) -> Self {
        Self { db, archive }
    }

    /// The part of a range that the database may not have; `None` when it has all.
    fn beyond(&self, range: TimeRange) -> Option<TimeRange> {
        let Some(local_from) = self.db.unbroken_from() else { return Some(range) };
        let last = TimestampMs(local_from.0.saturating_sub(1));
        (range.start_incl <= last).then_some(TimeRange {
            start_incl: range.start_incl,
            end_incl: range.end_incl.min(last),
        })
    }
}

/// What is read without the archive when it does not answer, or not in time: nothing. The archive notes it, and the reader is
/// warned.
fn or_nothing<T: Default>(read: Result<T, ReadError>) -> Result<T, SelectError> {
    match read {
        Ok(found) => Ok(found),
        Err(error) if error.is_passing() => {
            tracing::warn!(error = chain(&error), "a query is answered without the archive");
            Ok(T::default())
        }
        Err(error @ ReadError::TooMany { .. }) => Err(SelectError::Stopped { why: chain(&error) }),
        Err(error) => Err(SelectError::Storage { what: chain(&error) }),
    }
}

impl SeriesSource for ArchivedSource {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let Some(range) = self.beyond(hints.range) else {
            return self.db.select(matchers, hints);
        };
        let archived = or_nothing(self.archive.read(matchers, range, hints.labels_only))?;
        if archived.is_empty() {
            return self.db.select(matchers, hints);
        }
        let limit = if hints.limit == 0 { usize::MAX } else { hints.limit };
        // The archive has samples where the database has no more than aggregates of them.
        let local = self.db.select(matchers, &SelectHints { coarse: Coarse::Refused, ..*hints })?;
        let archived = archived.into_iter().map(|series| (series.labels.clone(), series)).collect();
        Ok(Box::new(Joined { archived, local: Some(local) }.take(limit)))
    }

    fn select_grouped<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        grouping: Grouping<'_>,
        split: Split,
    ) -> Result<Option<SelectedGroups<'a>>, SelectError> {
        match self.beyond(hints.range) {
            Some(_) => Ok(None),
            None => self.db.select_grouped(matchers, hints, grouping, split),
        }
    }

    fn select_parts<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        split: Split,
    ) -> Result<Vec<SeriesIter<'a>>, SelectError> {
        match self.beyond(hints.range) {
            Some(_) => Ok(vec![self.select(matchers, hints)?]),
            None => self.db.select_parts(matchers, hints, split),
        }
    }

    fn newest_grouped(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        grouping: Grouping<'_>,
    ) -> Result<Option<GroupedNewest>, SelectError> {
        match self.beyond(range) {
            Some(_) => Ok(None),
            None => self.db.newest_grouped(matchers, range, grouping),
        }
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let local = self.db.label_names(matchers, range)?;
        let Some(range) = self.beyond(range) else { return Ok(local) };
        Ok(united(local, or_nothing(self.archive.label_names(matchers, range))?))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let local = self.db.label_values(name, matchers, range)?;
        let Some(range) = self.beyond(range) else { return Ok(local) };
        let archived = or_nothing(self.archive.label_values(name, matchers, range))?;
        Ok(united(local, archived.unwrap_or_default()))
    }

    fn warnings(&self, range: TimeRange) -> Vec<String> {
        let mut warnings = SeriesSource::warnings(&*self.db, range);
        if let Some(range) = self.beyond(range) {
            warnings.extend(self.archive.warnings(range));
        }
        warnings
    }
}

fn united(mut some: Vec<String>, more: Vec<String>) -> Vec<String> {
    some.extend(more);
    some.sort_unstable();
    some.dedup();
    some
}

/// Local series, each with its archived samples in front, then the series that are only in the archive.
struct Joined<'a> {
    archived: HashMap<Labels, SeriesData>,
    local: Option<SeriesIter<'a>>,
}

impl Iterator for Joined<'_> {
    type Item = Result<SeriesData, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(local) = &mut self.local {
            match local.next() {
                Some(Ok(series)) => {
                    return Some(Ok(match self.archived.remove(&series.labels) {
                        Some(older) => joined(older, series),
                        None => series,
                    }));
                }
                Some(Err(error)) => return Some(Err(error)),
                None => self.local = None,
            }
        }
        let labels = self.archived.keys().next()?.clone();
        self.archived.remove(&labels).map(Ok)
    }
}

/// Samples of both; where they have the same time the local one counts.
fn joined(older: SeriesData, newer: SeriesData) -> SeriesData {
    let (old, new) = (&older.floats, &newer.floats);
    let (times, values) = joined_columns(
        old.timestamps.iter().copied().zip(old.values.iter().copied()),
        new.timestamps.iter().copied().zip(new.values.iter().copied()),
    );
    let floats = FloatColumn { timestamps: times.into(), values: values.into(), starts: None };
    let (timestamps, values) = joined_columns(
        older.histograms.timestamps.into_iter().zip(older.histograms.values),
        newer.histograms.timestamps.into_iter().zip(newer.histograms.values),
    );
    let histograms = HistogramColumn { timestamps, values, starts: None };
    SeriesData { labels: newer.labels, floats, histograms, ..SeriesData::default() }
}

fn joined_columns<T>(
    older: impl Iterator<Item = (i64, T)>,
    newer: impl Iterator<Item = (i64, T)>,
) -> (Vec<i64>, Vec<T>) {
    let (mut times, mut values): (Vec<i64>, Vec<T>) = older.unzip();
    let old_count = times.len();
    for (at, value) in newer {
        times.push(at);
        values.push(value);
    }
    let meets = old_count > 0 && times.get(old_count).is_some_and(|at| *at <= times[old_count - 1]);
    if !meets {
        return (times, values);
    }
    let by_time: std::collections::BTreeMap<i64, T> = times.into_iter().zip(values).collect();
    by_time.into_iter().unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_joined_by_time_and_the_local_sample_counts() {
        let older = [(1, 'a'), (2, 'b'), (5, 'c')];
        for (newer, times, values) in [
            (vec![(6, 'x')], vec![1, 2, 5, 6], vec!['a', 'b', 'c', 'x']),
            (vec![(2, 'x'), (3, 'y')], vec![1, 2, 3, 5], vec!['a', 'x', 'y', 'c']),
            (vec![], vec![1, 2, 5], vec!['a', 'b', 'c']),
        ] {
            let joined = joined_columns(older.into_iter(), newer.into_iter());
            assert_eq!(joined, (times, values));
        }
    }
}
