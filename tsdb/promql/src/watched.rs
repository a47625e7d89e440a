//! Remembers which times a query read, to ask afterwards whether anything may be missing there.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use swell_model::{
    Arrivals, AtHand, GroupedNewest, Grouping, Matcher, SelectError, SelectHints, SelectedGroups,
    SeriesIter, SeriesSource, Split, TimeRange, TimestampMs, Tracked, Wanted,
};

/// A source that notes the times asked for.
pub struct Watched {
    source: Arc<dyn SeriesSource>,
    passes_over_damage: bool,
    first_ms: AtomicI64,
    last_ms: AtomicI64,
}

impl Watched {
    /// For readers that show what [`Watched::warnings_of_reads`] says: what is damaged is left out of answers.
    #[must_use]
    pub fn passing_over_damage(source: Arc<dyn SeriesSource>) -> Self {
        Self::new(source, true)
    }

    /// For readers that act on answers: reading what is damaged fails.
    #[must_use]
    pub fn strict(source: Arc<dyn SeriesSource>) -> Self {
        Self::new(source, false)
    }

    fn new(source: Arc<dyn SeriesSource>, passes_over_damage: bool) -> Self {
        let (first_ms, last_ms) = (AtomicI64::new(i64::MAX), AtomicI64::new(i64::MIN));
        Self { source, passes_over_damage, first_ms, last_ms }
    }

    fn hints(&self, hints: &SelectHints) -> SelectHints {
        let passes_over_damage = self.passes_over_damage || hints.passes_over_damage;
        SelectHints { passes_over_damage, ..*hints }
    }

    fn note(&self, range: TimeRange) {
        self.first_ms.fetch_min(range.start_incl.0, Ordering::Relaxed);
        self.last_ms.fetch_max(range.end_incl.0, Ordering::Relaxed);
    }

    /// What the source has to say about the times read so far.
    #[must_use]
    pub fn warnings_of_reads(&self) -> Vec<String> {
        let first = TimestampMs(self.first_ms.load(Ordering::Relaxed));
        let last = TimestampMs(self.last_ms.load(Ordering::Relaxed));
        if first > last {
            return Vec::new();
        }
        self.source.warnings(TimeRange { start_incl: first, end_incl: last })
    }
}

impl SeriesSource for Watched {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        self.note(hints.range);
        self.source.select(matchers, &self.hints(hints))
    }

    fn select_grouped<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        grouping: Grouping<'_>,
        split: Split,
    ) -> Result<Option<SelectedGroups<'a>>, SelectError> {
        self.note(hints.range);
        self.source.select_grouped(matchers, &self.hints(hints), grouping, split)
    }

    fn select_parts<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        split: Split,
    ) -> Result<Vec<SeriesIter<'a>>, SelectError> {
        self.note(hints.range);
        self.source.select_parts(matchers, &self.hints(hints), split)
    }

    fn newest_grouped(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        grouping: Grouping<'_>,
    ) -> Result<Option<GroupedNewest>, SelectError> {
        self.note(range);
        self.source.newest_grouped(matchers, range, grouping)
    }

    fn at_hand(
        &self,
        wanted: Wanted<'_>,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Option<AtHand> {
        self.source.at_hand(wanted, matchers, range)
    }

    fn arrivals(
        &self,
        matchers: &[Matcher],
        from: TimestampMs,
        samples_max: usize,
        tracked: &mut Tracked,
    ) -> Result<Option<Arrivals>, SelectError> {
        self.note(TimeRange { start_incl: from, end_incl: TimestampMs::MAX });
        self.source.arrivals(matchers, from, samples_max, tracked)
    }

    fn warnings(&self, range: TimeRange) -> Vec<String> {
        self.source.warnings(range)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        self.note(range);
        self.source.label_names(matchers, range)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        self.note(range);
        self.source.label_values(name, matchers, range)
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched")
            .field("passes_over_damage", &self.passes_over_damage)
            .finish_non_exhaustive()
    }
}
