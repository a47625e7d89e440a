//! Reads that come again and again are kept up to date from arriving samples: a source in front of the storage that
//! remembers what was read for a question, takes what came since ([`SeriesSource::arrivals`]), and gives what the storage
//! would give, without index, labels and decoding. Whoever evaluates does not know of it, so that the answer is the same.
//!
//! What to keep is decided in `decide.rs` and `table.rs`; what is kept of a selection is in `selection.rs`, of a series in
//! `ring.rs`. Whether what is kept still holds is the storage's to say.

mod decide;
mod groups;
mod ring;
mod selection;
mod table;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swell_model::{
    Arrivals, GroupedNewest, Grouping, LabelsIter, Matcher, SelectError, SelectHints,
    SelectedGroups, SeriesIter, SeriesSource, Split, TimeRange, TimestampMs, Tracked,
};

use decide::Question;
use groups::Groups;
use selection::{InGroups, Labelled, Selection};
use table::{Table, Turn};

/// A storage, and what is kept of it for readers that ask the same again and again.
pub struct Standing {
    source: Arc<dyn SeriesSource>,
    samples_max: usize,
    /// Nothing else is locked under it.
    table: Mutex<Table>,
}

/// A selection, and its groups where these are wanted.
type UpToDate = (Arc<Selection>, Option<Arc<Groups>>);

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptSize {
    /// Selections.
    pub selections: usize,
    /// What they take, in samples of sixteen bytes.
    pub samples: usize,
}

/// How the reads of an evaluation were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// From what is kept, or from what the storage has at hand of newest samples.
    pub kept: usize,
    /// In full.
    pub full: usize,
}

impl Reads {
    /// Whether nothing was read that had not come since the evaluation before.
    #[must_use]
    pub const fn are_incremental(self) -> bool {
        self.kept > 0 && self.full == 0
    }
}

impl Standing {
    /// Samples that are kept unless told otherwise: 64 MiB.
    pub const SAMPLES_MAX_DEFAULT: usize = 4 << 20;

    /// In front of a storage; at most that many samples are kept, series and their labels included.
    #[must_use]
    pub fn new(source: Arc<dyn SeriesSource>, samples_max: usize) -> Arc<Self> {
        Arc::new(Self { source, samples_max, table: Mutex::default() })
    }

    /// The source of one evaluation at that time.
    #[must_use]
    pub fn at(self: &Arc<Self>, at: TimestampMs) -> StandingReader {
        let (kept, full) = (AtomicUsize::new(0), AtomicUsize::new(0));
        StandingReader { standing: Arc::clone(self), at, kept, full }
    }

    /// What is kept now.
    #[must_use]
    pub fn size(&self) -> KeptSize {
        let (selections, samples) = self.table().size();
        KeptSize { selections, samples }
    }

    /// What is kept now takes so much, in samples of sixteen bytes.
    #[must_use]
    pub fn sample_count(&self) -> usize {
        self.table().weight()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The selection of a question, brought up to date, and its groups where these are wanted; `None` where it is to be
    /// read in full.
    fn selection(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
        at: TimestampMs,
        grouping: Option<Grouping<'_>>,
    ) -> Result<Option<UpToDate>, SelectError> {
        let Some(question) = Question::of(matchers, hints, at) else { return Ok(None) };
        let turn = self.table().ask(&question, at);
        let mut kept = match turn {
            Turn::Full => return Ok(None),
            Turn::Begin => Arc::new(Selection::new(question.what())),
            Turn::Update(kept) => kept,
        };
        let lent = Lent { standing: self, question: &question };
        let Some(selection) = Arc::get_mut(&mut kept) else {
            // Another evaluation still reads it.
            let weight = kept.weight();
            lent.give_back(kept, weight);
            return Ok(None);
        };
        // Half of the room for one: where it is more, others would have to go for it again and again.
        let samples_max = self.samples_max / 2;
        let updated = selection.update(&*self.source, matchers, hints.range, samples_max);
        let weight = selection.weight();
        if !matches!(updated, Ok(true)) || weight > samples_max {
            return updated.map(|_| None);
        }
        let groups = grouping.map(|grouping| selection.groups(grouping));
        lent.give_back(Arc::clone(&kept), weight);
        Ok(Some((kept, groups)))
    }
}

/// The selection of a question, while it is out of the table. Unless it is given back the question rests: also after a
/// panic, which loses it.
struct Lent<'a> {
    standing: &'a Standing,
    question: &'a Question,
}

impl Lent<'_> {
    fn give_back(self, selection: Arc<Selection>, weight: usize) {
        let Standing { samples_max, .. } = self.standing;
        self.standing.table().keep(self.question, (selection, weight), *samples_max);
        std::mem::forget(self);
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.standing.table().rest(self.question);
    }
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (samples_max, size) = (self.samples_max, self.size());
        f.debug_struct("Standing")
            .field("samples_max", &samples_max)
            .field("size", &size)
            .finish_non_exhaustive()
    }
}

/// What an evaluation reads; see [`Standing::at`].
#[derive(Debug)]
pub struct StandingReader {
    standing: Arc<Standing>,
    at: TimestampMs,
    kept: AtomicUsize,
    full: AtomicUsize,
}

impl StandingReader {
    /// How the reads so far were answered.
    #[must_use]
    pub fn reads(&self) -> Reads {
        Reads { kept: self.kept.load(Ordering::Relaxed), full: self.full.load(Ordering::Relaxed) }
    }

    fn count(&self, is_kept: bool) {
        let counter = if is_kept { &self.kept } else { &self.full };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn labelled<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Option<SeriesIter<'a>>, SelectError> {
        let kept = self.standing.selection(matchers, hints, self.at, None)?;
        self.count(kept.is_some());
        Ok(kept.map(|(selection, _)| -> SeriesIter<'a> { Box::new(Labelled::new(selection)) }))
    }
}

impl SeriesSource for StandingReader {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        match self.labelled(matchers, hints)? {
            Some(series) => Ok(series),
            None => self.standing.source.select(matchers, hints),
        }
    }

    fn select_parts<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        split: Split,
    ) -> Result<Vec<SeriesIter<'a>>, SelectError> {
        match self.labelled(matchers, hints)? {
            Some(series) => Ok(vec![series]),
            None => self.standing.source.select_parts(matchers, hints, split),
        }
    }

    fn select_grouped<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
        grouping: Grouping<'_>,
        split: Split,
    ) -> Result<Option<SelectedGroups<'a>>, SelectError> {
        let kept = self.standing.selection(matchers, hints, self.at, Some(grouping))?;
        if let Some((selection, Some(groups))) = kept {
            self.count(true);
            let labels = Arc::clone(groups.labels());
            let parts = vec![Box::new(InGroups::new(selection, groups)) as _];
            return Ok(Some(SelectedGroups { groups: labels, parts }));
        }
        let selected = self.standing.source.select_grouped(matchers, hints, grouping, split)?;
        if selected.is_some() {
            self.count(false);
        }
        Ok(selected)
    }

    fn newest_grouped(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        grouping: Grouping<'_>,
    ) -> Result<Option<GroupedNewest>, SelectError> {
        let found = self.standing.source.newest_grouped(matchers, range, grouping)?;
        if found.is_some() {
            self.count(true);
        }
        Ok(found)
    }

    fn arrivals(
        &self,
        matchers: &[Matcher],
        from: TimestampMs,
        samples_max: usize,
        tracked: &mut Tracked,
    ) -> Result<Option<Arrivals>, SelectError> {
        self.standing.source.arrivals(matchers, from, samples_max, tracked)
    }

    fn warnings(&self, range: TimeRange) -> Vec<String> {
        self.standing.source.warnings(range)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        self.standing.source.label_names(matchers, range)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        self.standing.source.label_values(name, matchers, range)
    }
}
