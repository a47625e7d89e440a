//! Local samples and archived ones as one source: whoever asks for times before the local retention reaches the archive.

use std::sync::Arc;

use swell_archive::{Archive, ReadError};
use swell_engine::Db;
use swell_model::{
    Arrivals, AtHand, GroupedNewest, Grouping, Matcher, SelectError, SelectHints, SelectedGroups,
    SeriesIter, SeriesSource, Split, TimeRange, TimestampMs, Tracked, Wanted,
};
use swell_telemetry::chain;

use super::joined::joined;

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
        joined(archived, &*self.db, matchers, hints)
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

    fn at_hand(
        &self,
        wanted: Wanted<'_>,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Option<AtHand> {
        // Asked first, since it does not wait.
        let at_hand = self.db.at_hand(wanted, matchers, range)?;
        self.beyond(range).is_none().then_some(at_hand)
    }

    fn arrivals(
        &self,
        matchers: &[Matcher],
        from: TimestampMs,
        samples_max: usize,
        tracked: &mut Tracked,
    ) -> Result<Option<Arrivals>, SelectError> {
        match self.beyond(TimeRange { start_incl: from, end_incl: TimestampMs::MAX }) {
            Some(_) => {
                *tracked = Tracked::default();
                Ok(None)
            }
            None => self.db.arrivals(matchers, from, samples_max, tracked),
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
