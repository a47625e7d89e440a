//! Samples of one series and time within one batch: one of them counts, by the rule for those that come one after the other.
//! They are found before the batch is judged against what is stored, so that what is refused is not logged.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use swell_model::{AppendReport, Batch, DropReason, HistogramSample, Row, SeriesRef, TimestampMs};

use super::late;

/// A sample's place in the batch: of a row and its series, or of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Float(usize, usize),
    Histogram(usize),
}

/// The batch without those samples that another one of it stands against; they are counted. `takes_late` tells whether a
/// sample of a time may come in place of an earlier one; else the first counts.
pub(crate) fn without_repeats<'b>(
    batch: &'b Batch,
    takes_late: impl Fn(i64) -> bool,
    report: &mut AppendReport,
) -> Cow<'b, Batch> {
    if !has_repeats(batch) {
        return Cow::Borrowed(batch);
    }
    let mut counts: HashMap<(SeriesRef, TimestampMs), Place> = HashMap::new();
    let mut beaten: HashSet<Place> = HashSet::new();
    let mut meet = |series: SeriesRef, at: TimestampMs, place: Place| match counts
        .entry((series, at))
    {
        Entry::Vacant(first) => {
            first.insert(place);
        }
        Entry::Occupied(mut known) => {
            let meeting = Meeting { batch, known: *known.get(), new: place };
            if meeting.is_repeat() {
                report.duplicates += 1;
                beaten.insert(place);
                return;
            }
            let loser =
                if takes_late(at.0) && meeting.new_wins() { known.insert(place) } else { place };
            report.drop_sample(series, at, DropReason::Conflict);
            report.histograms_dropped += usize::from(matches!(loser, Place::Histogram(_)));
            beaten.insert(loser);
        }
    };
    for (row_nr, row) in batch.rows.iter().enumerate() {
        for (nr, series) in row.series.iter().enumerate() {
            meet(*series, row.timestamp, Place::Float(row_nr, nr));
        }
    }
    for (nr, sample) in batch.histograms.iter().enumerate() {
        meet(sample.series, sample.timestamp, Place::Histogram(nr));
    }
    Cow::Owned(without(batch, &beaten))
}

/// Two samples of one series and time.
struct Meeting<'b> {
    batch: &'b Batch,
    known: Place,
    new: Place,
}

impl Meeting<'_> {
    fn float(&self, row_nr: usize, nr: usize) -> f64 {
        self.batch.rows[row_nr].values[nr]
    }

    fn histogram(&self, nr: usize) -> &HistogramSample {
        &self.batch.histograms[nr]
    }

    fn is_repeat(&self) -> bool {
        match (self.known, self.new) {
            (Place::Float(row, nr), Place::Float(new_row, new_nr)) => {
                self.float(row, nr).to_bits() == self.float(new_row, new_nr).to_bits()
            }
            (Place::Histogram(known), Place::Histogram(new)) => {
                late::same_histogram(&self.histogram(known).value, &self.histogram(new).value)
            }
            _ => false,
        }
    }

    fn new_wins(&self) -> bool {
        match (self.known, self.new) {
            (Place::Float(row, nr), Place::Float(new_row, new_nr)) => {
                late::float_wins(self.float(new_row, new_nr), self.float(row, nr))
            }
            (Place::Histogram(known), Place::Histogram(new)) => {
                late::histogram_wins(&self.histogram(new).value, &self.histogram(known).value)
            }
            (Place::Float(..), Place::Histogram(_)) => true,
            (Place::Histogram(_), Place::Float(..)) => false,
        }
    }
}

/// Whether a series has two samples of one time. Most senders send their series in the order in which they came first, a row
/// for each time.
fn has_repeats(batch: &Batch) -> bool {
    let is_one_row_a_time = batch.rows.is_sorted_by(|before, row| before.timestamp < row.timestamp);
    let rows_repeat = if is_one_row_a_time {
        batch.rows.iter().any(|row| !rises(&row.series) && repeats(row.series.clone()))
    } else {
        let pairs = batch
            .rows
            .iter()
            .flat_map(|row| row.series.iter().map(|series| (row.timestamp, *series)));
        repeats(pairs.collect())
    };
    if rows_repeat || batch.histograms.is_empty() {
        return rows_repeat;
    }
    let pairs = batch.histograms.iter().map(|sample| (sample.timestamp, sample.series));
    let mut pairs: Vec<(TimestampMs, SeriesRef)> = pairs.collect();
    pairs.sort_unstable();
    let has = |at: TimestampMs, series: SeriesRef| pairs.binary_search(&(at, series)).is_ok();
    let in_row = |row: &Row| row.series.iter().any(|series| has(row.timestamp, *series));
    !pairs.is_sorted_by(|before, pair| before < pair) || batch.rows.iter().any(in_row)
}

fn rises(series: &[SeriesRef]) -> bool {
    series.is_sorted_by(|before, one| before < one)
}

fn repeats<T: Ord>(mut items: Vec<T>) -> bool {
    items.sort_unstable();
    !items.is_sorted_by(|before, item| before < item)
}

fn without(batch: &Batch, beaten: &HashSet<Place>) -> Batch {
    let histograms = batch.histograms.iter().enumerate();
    let histograms = histograms.filter(|(nr, _)| !beaten.contains(&Place::Histogram(*nr)));
    let rows = batch.rows.iter().enumerate().map(|(row_nr, row)| {
        let mut kept = Row { timestamp: row.timestamp, ..Row::default() };
        for (nr, (series, value)) in row.series.iter().zip(&row.values).enumerate() {
            if !beaten.contains(&Place::Float(row_nr, nr)) {
                kept.series.push(*series);
                kept.values.push(*value);
                kept.starts.extend(row.starts.get(nr));
            }
        }
        kept
    });
    Batch {
        rows: rows.filter(|row| !row.series.is_empty()).collect(),
        histograms: histograms.map(|(_, sample)| sample.clone()).collect(),
        exemplars: batch.exemplars.clone(),
        descriptions: batch.descriptions.clone(),
        is_whole: batch.is_whole,
        in_order_only: batch.in_order_only,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use swell_model::NativeHistogram;

    use super::*;

    fn row(at_ms: i64, samples: &[(u64, f64)]) -> Row {
        let series = samples.iter().map(|(series, _)| SeriesRef(*series)).collect();
        Row::new(TimestampMs(at_ms), series, samples.iter().map(|(_, value)| *value).collect())
    }

    fn histogram(at_ms: i64, series: u64, count: f64) -> HistogramSample {
        let value = Arc::new(NativeHistogram { count, ..NativeHistogram::default() });
        HistogramSample {
            series: SeriesRef(series),
            timestamp: TimestampMs(at_ms),
            value,
            start_ms: 0,
        }
    }

    /// What is left of floats and histograms as (time, series, value or count), and the numbers of duplicates and conflicts.
    fn left(batch: &Batch, takes_late: bool) -> (Vec<(i64, u64, f64)>, usize, usize) {
        let mut report = AppendReport::default();
        let kept = without_repeats(batch, |_| takes_late, &mut report);
        let floats = kept.rows.iter().flat_map(|row| {
            let samples = row.series.iter().zip(&row.values);
            samples.map(|(series, value)| (row.timestamp.0, series.0, *value))
        });
        let histograms =
            kept.histograms.iter().map(|it| (it.timestamp.0, it.series.0, it.value.count));
        (floats.chain(histograms).collect(), report.duplicates, report.conflicts)
    }

    #[test]
    fn of_two_samples_of_a_time_one_counts() {
        let batch = Batch::of_rows(vec![
            row(5, &[(2, 1.0), (1, 1.0), (2, 3.0), (1, 1.0)]),
            row(6, &[(1, 2.0)]),
            row(5, &[(2, 2.0), (3, 0.0)]),
        ]);
        let others = [(5, 1, 1.0), (6, 1, 2.0), (5, 3, 0.0)];
        let (late, duplicates, conflicts) = left(&batch, true);
        assert_eq!(
            (late, duplicates, conflicts),
            ([&others[..1], &[(5, 2, 3.0)], &others[1..]].concat(), 1, 2)
        );
        let (first, ..) = left(&batch, false);
        assert_eq!(first, [&[(5, 2, 1.0)], &others[..]].concat());
        let mixed = Batch {
            histograms: vec![histogram(5, 1, 7.0), histogram(5, 1, 9.0), histogram(6, 1, 1.0)],
            ..Batch::of_rows(vec![row(5, &[(1, 1.0)])])
        };
        assert_eq!(left(&mixed, true), (vec![(5, 1, 9.0), (6, 1, 1.0)], 0, 2));
        assert_eq!(left(&mixed, false), (vec![(5, 1, 1.0), (6, 1, 1.0)], 0, 2));
    }

    #[test]
    fn a_batch_without_repeats_is_taken_as_it_is() {
        let rows = vec![row(5, &[(2, 1.0), (1, 1.0)]), row(4, &[(2, 1.0)]), row(5, &[(3, 1.0)])];
        let batch = Batch { histograms: vec![histogram(4, 1, 7.0)], ..Batch::of_rows(rows) };
        let mut report = AppendReport::default();
        assert!(matches!(without_repeats(&batch, |_| true, &mut report), Cow::Borrowed(_)));
        assert_eq!(report, AppendReport::default());
    }
}
