//! Samples into the head. What a batch may bring is judged first ([`Head::admit`]), so that the log holds what was
//! taken and nothing else; taking it ([`Head::apply`]) then drops nothing but repeats, and does the same again when
//! the log is read back.

use std::borrow::Cow;
use std::sync::Arc;

use swell_model::{
    AppendReport, Batch, CounterResetHint, DropReason, HistogramSample, NativeHistogram, Row,
    SeriesRef, TimestampMs,
};

use super::histograms::start_as_float;
use super::late::{self, Inserted};
use super::{Head, HistogramPoint, NEVER, NONE, Series};
use crate::wal::Position;

/// How far from the clock, and from the newest sample, a sample may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Newest time that is taken.
    pub(crate) newest: TimestampMs,
    /// How far behind the newest sample of all series a late one may be; 0 for not at all.
    pub(crate) late_window_ms: i64,
    /// The earliest time that it may be: samples that are ahead of it shut no others out.
    pub(crate) earliest: TimestampMs,
}

/// What is to be done with a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Store,
    Duplicate,
    /// Another value is there for the same time, and this one does not win against it.
    Conflict,
    Drop(DropReason),
}

impl Admission {
    fn count(self, series: SeriesRef, at: TimestampMs, report: &mut AppendReport) -> bool {
        match self {
            Self::Store => return true,
            Self::Duplicate => report.duplicates += 1,
            Self::Conflict => report.drop_sample(series, at, DropReason::Conflict),
            Self::Drop(reason) => report.drop_sample(series, at, reason),
        }
        false
    }
}

impl Head {
    /// The part of a batch of known series that is taken; the rest is counted. Rows come out in the order of their
    /// times.
    pub(crate) fn admit<'b>(
        &self,
        batch: &'b Batch,
        limits: &Limits,
        report: &mut AppendReport,
    ) -> Cow<'b, Batch> {
        let before = (report.duplicates, report.dropped());
        let mut admitted = Vec::new();
        for row in &batch.rows {
            for (series, value) in row.series.iter().zip(&row.values) {
                let admission = self.judge(*series, row.timestamp.0, limits, |known| {
                    float_admission(known, *value)
                });
                admitted.push(admission.count(*series, row.timestamp, report));
            }
        }
        let dropped_floats = report.dropped();
        for sample in &batch.histograms {
            let admission = self.judge(sample.series, sample.timestamp.0, limits, |known| {
                histogram_admission(known, &sample.value)
            });
            admitted.push(admission.count(sample.series, sample.timestamp, report));
        }
        report.histograms_dropped += report.dropped() - dropped_floats;
        let rises = batch.rows.is_sorted_by_key(|row| row.timestamp)
            && batch.histograms.is_sorted_by_key(|sample| sample.timestamp);
        if before == (report.duplicates, report.dropped()) && rises {
            return Cow::Borrowed(batch);
        }
        let mut admitted = admitted.into_iter();
        let mut is_admitted = || admitted.next().expect("one verdict a sample");
        let mut kept = Batch {
            rows: batch.rows.iter().map(|row| filtered(row, &mut is_admitted)).collect(),
            histograms: batch.histograms.clone(),
            exemplars: batch.exemplars.clone(),
            descriptions: batch.descriptions.clone(),
            is_whole: batch.is_whole,
            in_order_only: batch.in_order_only,
        };
        kept.rows.retain(|row| !row.series.is_empty());
        kept.rows.sort_by_key(|row| row.timestamp);
        kept.histograms.retain(|_| is_admitted());
        kept.histograms.sort_by_key(|sample| sample.timestamp);
        Cow::Owned(kept)
    }

    /// The rule for one sample of a known series; `same_time` judges when there is one of that time.
    fn judge(
        &self,
        series: SeriesRef,
        at_ms: i64,
        limits: &Limits,
        same_time: impl FnOnce(&Series) -> Admission,
    ) -> Admission {
        let last_ms = self.newest.at_ms(raw_idx(series));
        if at_ms > limits.newest.0 {
            return Admission::Drop(DropReason::TooNew);
        }
        if at_ms > last_ms && at_ms >= self.accept_floor_ms {
            return Admission::Store;
        }
        let is_in_window = self.takes_late(at_ms, limits);
        if at_ms == NEVER {
            Admission::Drop(DropReason::TooOld)
        } else if at_ms == last_ms && !(is_in_window && self.is_deleted(series, at_ms)) {
            match same_time(&self.series[raw_idx(series)]) {
                // Without a window nothing comes late, also not in place of another.
                Admission::Store if !is_in_window => Admission::Conflict,
                admission => admission,
            }
        } else if is_in_window {
            Admission::Store
        } else if at_ms <= last_ms {
            Admission::Drop(DropReason::OutOfOrder)
        } else {
            Admission::Drop(DropReason::TooOld)
        }
    }

    /// Whether a sample of that time may come late, or in place of another.
    pub(crate) fn takes_late(&self, at_ms: i64, limits: &Limits) -> bool {
        limits.late_window_ms > 0
            && self
                .max_ms
                .map(|max_ms| max_ms.min(limits.earliest.0))
                .is_some_and(|max_ms| at_ms >= max_ms.saturating_sub(limits.late_window_ms))
    }

    /// Takes a batch of known series, logged at that place.
    pub(crate) fn apply(&mut self, batch: &Batch, position: Position, report: &mut AppendReport) {
        for row in &batch.rows {
            self.append_row(row, position, report);
        }
        let floats_stored = report.stored;
        for sample in &batch.histograms {
            self.append_histogram(sample, position, report);
        }
        report.histograms_stored += report.stored - floats_stored;
    }

    fn is_in_order(&self, idx: usize, at_ms: i64) -> bool {
        at_ms > self.newest.at_ms(idx) && at_ms >= self.accept_floor_ms
    }

    fn append_row(&mut self, row: &Row, position: Position, report: &mut AppendReport) {
        let at_ms = row.timestamp.0;
        let mut home = self.home_of(row);
        let mut touched = Vec::new();
        // Group and row that the sample before went to: most series of a row share them.
        let mut place = (NONE, 0);
        for (nr, (series, value)) in row.series.iter().zip(&row.values).enumerate() {
            let idx = raw_idx(*series);
            let start_ms = row.start_ms(nr);
            if !self.is_in_order(idx, at_ms) {
                let sample = late::LateFloat { at_ms, value: *value, start_ms, position };
                self.insert_late_float(*series, sample, report);
                continue;
            }
            let group = self.series[idx].group;
            if group == NONE || group != place.0 {
                place = self.place(idx, at_ms, &mut home, &mut touched);
            }
            let row_idx = place.1;
            let series = &mut self.series[idx];
            series.tail.push(row_idx, *value);
            series.last_is_histogram = false;
            self.newest.set_float(idx, at_ms, *value);
            if start_ms != 0 {
                let extra = series.extra.get_or_insert_default();
                extra.starts.push(row_idx, start_as_float(start_ms));
            }
            report.stored += 1;
        }
        if !touched.is_empty() {
            self.max_ms = self.max_ms.max(Some(at_ms));
        }
        for group in touched {
            if self.is_full(group) {
                self.seal(group);
            }
        }
    }

    /// The group of a series, and the row of that time in it. One that has none, or lags behind its own, goes to `home`.
    fn place(
        &mut self,
        idx: usize,
        at_ms: i64,
        home: &mut u32,
        touched: &mut Vec<u32>,
    ) -> (u32, u32) {
        let mut group = self.series[idx].group;
        if group != NONE && !self.takes(group, at_ms) {
            self.leave(u32::try_from(idx).expect("an index"));
            group = NONE;
        }
        if group == NONE {
            if *home == NONE {
                *home = self.new_group(at_ms);
            }
            group = *home;
            self.series[idx].group = group;
            let members = &mut self.groups[group as usize].members;
            members.push(u32::try_from(idx).expect("an index"));
        }
        let times = &mut self.groups[group as usize].times;
        if times.last_ms() != Some(at_ms) {
            times.push(at_ms);
            touched.push(group);
        }
        (group, times.count() - 1)
    }

    /// The group that new series of the row join: that of the first one that has one.
    fn home_of(&self, row: &Row) -> u32 {
        let groups = row.series.iter().map(|series| self.series[raw_idx(*series)].group);
        let mut fit = groups.filter(|group| *group != NONE && self.takes(*group, row.timestamp.0));
        fit.next().unwrap_or(NONE)
    }

    fn append_histogram(
        &mut self,
        sample: &HistogramSample,
        position: Position,
        report: &mut AppendReport,
    ) {
        let at_ms = sample.timestamp.0;
        let idx = raw_idx(sample.series);
        let (value, start_ms) = (&sample.value, sample.start_ms);
        if !self.is_in_order(idx, at_ms) {
            // Between which samples it will stand is not known yet.
            let value = hinted(value, value.hint_after(None));
            let point = HistogramPoint { value, start_ms };
            let sample_late = late::LateHistogram { at_ms, point, position };
            let dropped_before = report.dropped();
            self.insert_late_histogram(sample.series, sample_late, report);
            report.histograms_dropped += report.dropped() - dropped_before;
            return;
        }
        let series = &mut self.series[idx];
        let extra = series.extra.get_or_insert_default();
        let histograms = &mut extra.histograms;
        let before = histograms.last.as_deref().filter(|_| series.last_is_histogram);
        let value = hinted(value, value.hint_after(before));
        histograms.last = Some(value.clone());
        histograms.open.push((at_ms, HistogramPoint { value, start_ms }));
        series.last_is_histogram = true;
        self.newest.set_histogram(idx, at_ms);
        self.max_ms = self.max_ms.max(Some(at_ms));
        let from_ms = self.histograms_from_ms;
        self.histograms_from_ms = Some(from_ms.map_or(at_ms, |from| from.min(at_ms)));
        report.stored += 1;
    }

    fn insert_late_float(
        &mut self,
        series: SeriesRef,
        sample: late::LateFloat,
        report: &mut AppendReport,
    ) {
        let at_ms = sample.at_ms;
        if self.tombstones.hides_late(|| self.labels(series), at_ms, sample.position) {
            // The log is read back.
            return;
        }
        // What is deleted stands against nothing.
        let is_newest_time =
            at_ms == self.newest.at_ms(raw_idx(series)) && !self.is_deleted(series, at_ms);
        let known = &mut self.series[raw_idx(series)];
        let mut is_conflict = false;
        if is_newest_time {
            match float_admission(known, sample.value) {
                Admission::Duplicate => {
                    report.duplicates += 1;
                    return;
                }
                Admission::Store => is_conflict = true,
                Admission::Conflict | Admission::Drop(_) => {
                    report.drop_sample(series, TimestampMs(at_ms), DropReason::Conflict);
                    return;
                }
            }
        }
        let extra = known.extra.get_or_insert_default();
        let inserted = extra.late.insert_float(sample);
        if inserted != Inserted::Duplicate {
            self.late_changes += 1;
            extra.late_changed = self.late_changes;
        }
        self.count_late(series, at_ms, is_conflict, inserted, report);
    }

    fn insert_late_histogram(
        &mut self,
        series: SeriesRef,
        sample: late::LateHistogram,
        report: &mut AppendReport,
    ) {
        let at_ms = sample.at_ms;
        if self.tombstones.hides_late(|| self.labels(series), at_ms, sample.position) {
            // The log is read back.
            return;
        }
        // What is deleted stands against nothing.
        let is_newest_time =
            at_ms == self.newest.at_ms(raw_idx(series)) && !self.is_deleted(series, at_ms);
        let known = &mut self.series[raw_idx(series)];
        let mut is_conflict = false;
        if is_newest_time {
            match histogram_admission(known, &sample.point.value) {
                Admission::Duplicate => {
                    report.duplicates += 1;
                    return;
                }
                Admission::Store => is_conflict = true,
                Admission::Conflict | Admission::Drop(_) => {
                    report.drop_sample(series, TimestampMs(at_ms), DropReason::Conflict);
                    return;
                }
            }
        }
        let extra = known.extra.get_or_insert_default();
        let inserted = extra.late.insert_histogram(sample);
        if inserted != Inserted::Duplicate {
            self.late_changes += 1;
            extra.late_changed = self.late_changes;
        }
        self.count_late(series, at_ms, is_conflict, inserted, report);
    }

    fn count_late(
        &mut self,
        series: SeriesRef,
        at_ms: i64,
        is_conflict: bool,
        inserted: Inserted,
        report: &mut AppendReport,
    ) {
        self.late_count += usize::from(inserted == Inserted::New);
        match inserted {
            Inserted::New if is_conflict => {
                report.drop_sample(series, TimestampMs(at_ms), DropReason::Conflict);
            }
            Inserted::New => {
                report.stored += 1;
                report.stored_late += 1;
                self.max_ms = self.max_ms.max(Some(at_ms));
            }
            Inserted::Duplicate => report.duplicates += 1,
            Inserted::Conflict => {
                report.drop_sample(series, TimestampMs(at_ms), DropReason::Conflict);
            }
        }
    }
}

/// The index in a reference that is known.
fn raw_idx(series: SeriesRef) -> usize {
    usize::try_from(series.0 & u64::from(u32::MAX)).expect("32 bits")
}

fn filtered(row: &Row, is_admitted: &mut impl FnMut() -> bool) -> Row {
    let mut kept = Row { timestamp: row.timestamp, ..Row::default() };
    for (nr, (series, value)) in row.series.iter().zip(&row.values).enumerate() {
        if is_admitted() {
            kept.series.push(*series);
            kept.values.push(*value);
            if !row.starts.is_empty() {
                kept.starts.push(row.start_ms(nr));
            }
        }
    }
    kept
}

/// A float for the time of the series' newest sample: stored when it wins against that.
fn float_admission(known: &Series, value: f64) -> Admission {
    let last = known.tail.last_value();
    if known.last_is_histogram {
        Admission::Conflict
    } else if last.to_bits() == value.to_bits() {
        Admission::Duplicate
    } else if late::float_wins(value, last) {
        Admission::Store
    } else {
        Admission::Conflict
    }
}

/// The same for a histogram; against a float it wins.
fn histogram_admission(known: &Series, value: &NativeHistogram) -> Admission {
    let last = known.extra.as_ref().and_then(|extra| extra.histograms.last.as_deref());
    match last.filter(|_| known.last_is_histogram) {
        None => Admission::Store,
        Some(last) if late::same_histogram(last, value) => Admission::Duplicate,
        Some(last) if late::histogram_wins(value, last) => Admission::Store,
        Some(_) => Admission::Conflict,
    }
}

/// The histogram with that hint, shared where it has it.
fn hinted(value: &Arc<NativeHistogram>, reset_hint: CounterResetHint) -> Arc<NativeHistogram> {
    if value.reset_hint == reset_hint {
        return Arc::clone(value);
    }
    Arc::new(NativeHistogram { reset_hint, ..NativeHistogram::clone(value) })
}
