//! Samples that are here and samples that other servers have, as one source.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use swell_engine::Db;
use swell_model::{
    Arrivals, AtHand, DurationMs, GroupedNewest, Grouping, Labels, LabelsIter, Matcher,
    SelectError, SelectHints, SelectedGroups, SeriesIter, SeriesSource, Split, TimeRange,
    TimestampMs, Tracked, Wanted,
};
use swell_remote_read::{Asked, RemoteReaders};
use swell_tsdb_http::ConfigState;

use super::joined::joined;

/// The first hours after the first sample count as not here, as in Prometheus: it may take a while until all is stored that is
/// to be stored.
const MARGIN: DurationMs = DurationMs::from_secs(4 * 3600);

/// The storage here, and behind it those that are read from.
#[derive(Clone)]
pub(crate) struct RemoteSource {
    /// What is here.
    pub(crate) here: Arc<dyn SeriesSource>,
    pub(crate) db: Arc<Db>,
    pub(crate) readers: Arc<RemoteReaders>,
    pub(crate) in_force: ConfigState,
    /// Samples that one server may answer with.
    pub(crate) samples_max: usize,
    /// Whether readers hear of servers that did not answer: rules go on with what there is, as in Prometheus.
    pub(crate) tells_failures: bool,
    /// Set when the one reader that this is for goes.
    pub(crate) cancelled: Option<Arc<AtomicBool>>,
}

impl RemoteSource {
    /// Does `work` with what is asked of others for a selection; `None` when nobody is asked.
    fn asked<T>(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        work: impl FnOnce(Asked<'_>) -> T,
    ) -> Option<T> {
        if self.readers.is_empty() {
            return None;
        }
        let local_from = self.db.unbroken_from();
        let local_from = local_from.map(|from| TimestampMs(from.0.saturating_add(MARGIN.0)));
        let in_force = self.in_force.current();
        let external: &Labels = &in_force.external_labels;
        let unwanted = self.cancelled.as_deref();
        let asked = Asked { matchers, range, local_from, external, labels_only: false, unwanted };
        self.readers.are_asked(asked).then(|| work(asked))
    }

    fn asks_others(&self, matchers: &[Matcher], range: TimeRange) -> bool {
        self.asked(matchers, range, |_| ()).is_some()
    }
}

impl SeriesSource for RemoteSource {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let labels_only = hints.labels_only;
        let read =
            |asked: Asked<'_>| self.readers.read(Asked { labels_only, ..asked }, self.samples_max);
        let elsewhere = self.asked(matchers, hints.range, read).unwrap_or_default();
        if self.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Ordering::Relaxed)) {
            return Err(SelectError::Stopped { why: "cancelled".to_owned() });
        }
        joined(elsewhere, &*self.here, matchers, hints)
    }

    fn select_grouped<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        grouping: Grouping<'_>,
        split: Split,
    ) -> Result<Option<SelectedGroups<'a>>, SelectError> {
        if self.asks_others(matchers, hints.range) {
            return Ok(None);
        }
        self.here.select_grouped(matchers, hints, grouping, split)
    }

    fn select_parts<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        split: Split,
    ) -> Result<Vec<SeriesIter<'a>>, SelectError> {
        if self.asks_others(matchers, hints.range) {
            return Ok(vec![self.select(matchers, hints)?]);
        }
        self.here.select_parts(matchers, hints, split)
    }

    fn newest_grouped(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        grouping: Grouping<'_>,
    ) -> Result<Option<GroupedNewest>, SelectError> {
        if self.asks_others(matchers, range) {
            return Ok(None);
        }
        self.here.newest_grouped(matchers, range, grouping)
    }

    fn at_hand(
        &self,
        wanted: Wanted<'_>,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Option<AtHand> {
        // Asked first, since it does not wait.
        let at_hand = self.here.at_hand(wanted, matchers, range)?;
        let is_here = wanted != Wanted::Samples || !self.asks_others(matchers, range);
        is_here.then_some(at_hand)
    }

    fn arrivals(
        &self,
        matchers: &[Matcher],
        from: TimestampMs,
        samples_max: usize,
        tracked: &mut Tracked,
    ) -> Result<Option<Arrivals>, SelectError> {
        if self.asks_others(matchers, TimeRange { start_incl: from, end_incl: TimestampMs::MAX }) {
            *tracked = Tracked::default();
            return Ok(None);
        }
        self.here.arrivals(matchers, from, samples_max, tracked)
    }

    /// Of what is here: the protocol has no question for names.
    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        self.here.label_names(matchers, range)
    }

    /// As [`SeriesSource::label_names`].
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        self.here.label_values(name, matchers, range)
    }

    fn until_cancelled(&self, cancelled: &Arc<AtomicBool>) -> Option<Arc<dyn SeriesSource>> {
        if self.readers.is_empty() {
            return None;
        }
        Some(Arc::new(Self { cancelled: Some(Arc::clone(cancelled)), ..self.clone() }))
    }

    fn warnings(&self, range: TimeRange) -> Vec<String> {
        let mut warnings = self.here.warnings(range);
        if self.tells_failures && !self.readers.is_empty() {
            warnings.extend(self.readers.warnings(range));
        }
        warnings
    }
}
