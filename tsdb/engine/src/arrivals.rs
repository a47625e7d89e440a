//! What came to a selection since it was read before: [`swell_model::SeriesSource::arrivals`], from memory alone.

use swell_model::{
    Arrivals, Matcher, SelectError, SelectHints, SeriesRef, TimeRange, TimestampMs, Tracked,
    TrackedSeries,
};

use crate::coarse::{Choice, may_have};
use crate::db::{Db, Inner};
use crate::head::{Head, HeadSeries, RowCopies, Since};
use crate::select::{Part, Reading, Selected};

/// What is to be decoded of a series once the lock is gone.
struct Unread {
    place: u32,
    columns: HeadSeries,
    /// Only samples after this time, which follow those that the reader has.
    after_ms: Option<i64>,
}

/// What was found under the lock.
struct Found {
    tracked: Tracked,
    arrivals: Arrivals,
    unread: Vec<Unread>,
}

impl Db {
    /// See [`swell_model::SeriesSource::arrivals`].
    pub(crate) fn arrived(
        &self,
        matchers: &[Matcher],
        from: TimestampMs,
        samples_max: usize,
        tracked: &mut Tracked,
    ) -> Result<Option<Arrivals>, SelectError> {
        let reach = TimeRange { start_incl: from, end_incl: TimestampMs::MAX };
        let Some(found) = self.inner.look(matchers, reach, std::mem::take(tracked)) else {
            return Ok(None);
        };
        let Found { tracked: now, mut arrivals, unread } = found;
        let mut reading = Reading::new(&SelectHints::range(reach), Choice::default(), i64::MIN);
        let mut read_count = 0;
        for Unread { place, columns, after_ms } in unread {
            let selected = Selected { parts: vec![Part::Head(columns)], ..Selected::default() };
            let floats = reading.decode(selected)?.unwrap_or_default().floats;
            read_count += floats.values.len();
            if read_count > samples_max {
                return Ok(None);
            }
            arrivals.has_starts |= floats.starts.is_some();
            match after_ms {
                None => arrivals.anew.push((place, floats)),
                Some(after_ms) => {
                    let from = floats.timestamps.partition_point(|at| *at <= after_ms);
                    let samples = floats.timestamps[from..].iter().zip(&floats.values[from..]);
                    arrivals.samples.extend(samples.map(|(at, value)| (place, *at, *value)));
                }
            }
        }
        *tracked = now;
        Ok(Some(arrivals))
    }
}

impl Inner {
    fn look(&self, matchers: &[Matcher], reach: TimeRange, before: Tracked) -> Option<Found> {
        let state = self.state.read();
        let head = &state.head;
        let is_elsewhere = state.blocks.iter().any(|block| block.meta.range().overlaps(&reach))
            || state.coarse.iter().any(|block| may_have(&block.meta, reach));
        if !self.is_replayed() || is_elsewhere || !head.has_all_from(reach.start_incl.0) {
            return None;
        }
        let (version, mut arrivals) = (head.index.change_count(), Arrivals::default());
        let mut series = before.series;
        if before.version != version {
            let Ok(selected) = swell_index::select(&head.index, matchers);
            let selected: Vec<SeriesRef> =
                selected.into_iter().map(|idx| head.reference(idx)).collect();
            if !selected.iter().eq(series.iter().map(|tracked| &tracked.series)) {
                let (all, moved) = moved(head, &selected, &series, &mut arrivals);
                (series, arrivals.moved) = (all, Some(moved));
            }
        }
        let moved = arrivals.moved.take();
        let is_new = |place: usize| moved.as_ref().is_some_and(|moved| moved[place].is_none());
        // As a rule, one of each.
        arrivals.samples.reserve(series.len());
        let (mut anew_rows, mut later_rows) = (RowCopies::default(), RowCopies::default());
        let mut unread = Vec::new();
        for (place, tracked) in series.iter_mut().enumerate() {
            let idx = head.idx_of(tracked.series).expect("series of this version are known");
            let known = (!is_new(place)).then_some(tracked.state);
            let (since, now) = head.since(idx, known);
            tracked.state = now;
            let place = u32::try_from(place).expect("no more places than series");
            arrivals.has_starts |= head.has_starts(idx);
            match since {
                Since::Nothing => {}
                Since::One(at_ms, value) => arrivals.samples.push((place, at_ms, value)),
                Since::After(after_ms) => {
                    let columns = head.columns(idx, reach, &mut later_rows).unwrap_or_default();
                    unread.push(Unread { place, columns, after_ms: Some(after_ms) });
                }
                Since::Anything => {
                    let columns = head.columns(idx, reach, &mut anew_rows).unwrap_or_default();
                    unread.push(Unread { place, columns, after_ms: None });
                }
                Since::Histograms => return None,
            }
        }
        arrivals.moved = moved;
        Some(Found { tracked: Tracked { version, series }, arrivals, unread })
    }
}

/// The series that are selected now, each with what is known of it, and the places that they had before; both lists are in
/// the order of the index.
fn moved(
    head: &Head,
    selected: &[SeriesRef],
    before: &[TrackedSeries],
    arrivals: &mut Arrivals,
) -> (Vec<TrackedSeries>, Vec<Option<u32>>) {
    let idx = |series: &SeriesRef| series.0 & u64::from(u32::MAX);
    let mut old = (0u32..).zip(before).peekable();
    let (mut all, mut places) = (Vec::new(), Vec::new());
    for (place, series) in (0u32..).zip(selected) {
        while old.next_if(|(_, known)| idx(&known.series) < idx(series)).is_some() {}
        match old.next_if(|(_, known)| known.series == *series) {
            Some((was, known)) => {
                all.push(*known);
                places.push(Some(was));
            }
            None => {
                all.push(TrackedSeries { series: *series, state: [0; 3] });
                places.push(None);
                arrivals.labels.push((place, head.labels(*series)));
            }
        }
    }
    (all, places)
}
