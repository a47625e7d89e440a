//! Samples of a request by instant: the storage keeps the timestamps of samples that come together only once.

use rustc_hash::FxHashMap;
use swell_model::{Row, SeriesRef, TimestampMs};
use swell_wire::remote_write::Sample;

/// Position of a series in the request.
pub(crate) type SeriesNo = u32;

/// Float samples, collected.
#[derive(Debug, Default)]
pub(crate) struct Instants {
    instants: Vec<Instant>,
    by_time: FxHashMap<i64, usize>,
    last: usize,
}

/// Samples of one instant, as columns.
#[derive(Debug, Default)]
struct Instant {
    timestamp_ms: i64,
    series: Vec<SeriesNo>,
    values: Vec<f64>,
    /// Empty while all are 0.
    starts: Vec<i64>,
}

impl Instants {
    /// Adds a sample.
    #[inline]
    pub(crate) fn push(&mut self, series: SeriesNo, sample: &Sample) {
        let at = sample.timestamp_ms;
        if self.instants.get(self.last).is_none_or(|last| last.timestamp_ms != at) {
            self.last = *self.by_time.entry(at).or_insert_with(|| {
                self.instants.push(Instant { timestamp_ms: at, ..Instant::default() });
                self.instants.len() - 1
            });
        }
        let instant = &mut self.instants[self.last];
        if sample.start_ms != 0 || !instant.starts.is_empty() {
            instant.starts.resize(instant.series.len(), 0);
            instant.starts.push(sample.start_ms);
        }
        instant.series.push(series);
        instant.values.push(sample.value);
    }

    /// Rows in the order of time. Samples of series that `reference` does not know are left out.
    pub(crate) fn into_rows(
        mut self,
        reference: impl Fn(SeriesNo) -> Option<SeriesRef>,
    ) -> Vec<Row> {
        self.instants.sort_by_key(|instant| instant.timestamp_ms);
        self.instants.into_iter().map(|instant| instant.into_row(&reference)).collect()
    }

    /// Samples of value 0 at the start times, each series and time once.
    pub(crate) fn zeros_at_starts(
        &self,
        reference: impl Fn(SeriesNo) -> Option<SeriesRef>,
    ) -> Vec<Row> {
        let mut zeros: Vec<(i64, SeriesRef)> = Vec::new();
        for instant in &self.instants {
            for (series, start) in instant.series.iter().zip(&instant.starts) {
                if *start != 0
                    && *start < instant.timestamp_ms
                    && let Some(series) = reference(*series)
                {
                    zeros.push((*start, series));
                }
            }
        }
        zeros.sort_unstable();
        zeros.dedup();
        let mut rows: Vec<Row> = Vec::new();
        for (start, series) in zeros {
            if rows.last().is_none_or(|row| row.timestamp.0 != start) {
                rows.push(Row { timestamp: TimestampMs(start), ..Row::default() });
            }
            let row = rows.last_mut().expect("there is one");
            row.series.push(series);
            row.values.push(0.0);
        }
        rows
    }
}

impl Instant {
    fn into_row(self, reference: impl Fn(SeriesNo) -> Option<SeriesRef>) -> Row {
        let timestamp = TimestampMs(self.timestamp_ms);
        let series: Vec<Option<SeriesRef>> =
            self.series.iter().map(|series| reference(*series)).collect();
        if series.iter().all(Option::is_some) {
            let series = series.into_iter().flatten().collect();
            return Row { timestamp, series, values: self.values, starts: self.starts };
        }
        let mut row = Row { timestamp, ..Row::default() };
        for (idx, series) in series.into_iter().enumerate() {
            if let Some(series) = series {
                row.series.push(series);
                row.values.push(self.values[idx]);
                row.starts.extend(self.starts.get(idx));
            }
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(timestamp_ms: i64, value: f64, start_ms: i64) -> Sample {
        Sample { timestamp_ms, value, start_ms }
    }

    fn row(timestamp: i64, series: &[u64], values: &[f64], starts: &[i64]) -> Row {
        Row {
            timestamp: TimestampMs(timestamp),
            series: series.iter().copied().map(SeriesRef).collect(),
            values: values.to_vec(),
            starts: starts.to_vec(),
        }
    }

    fn known(series: SeriesNo) -> Option<SeriesRef> {
        Some(SeriesRef(u64::from(series) + 10))
    }

    #[test]
    fn samples_of_one_instant_share_a_row_and_rows_rise() {
        let mut instants = Instants::default();
        for (series, at, value) in [(0, 20, 1.0), (0, 10, 2.0), (1, 20, 3.0), (2, 10, 4.0)] {
            instants.push(series, &sample(at, value, 0));
        }
        assert_eq!(
            instants.into_rows(known),
            [row(10, &[10, 12], &[2.0, 4.0], &[]), row(20, &[10, 11], &[1.0, 3.0], &[])]
        );
    }

    #[test]
    fn starts_stand_beside_their_samples() {
        let mut instants = Instants::default();
        instants.push(0, &sample(10, 1.0, 0));
        instants.push(1, &sample(10, 2.0, 5));
        instants.push(2, &sample(10, 3.0, 0));
        assert_eq!(instants.zeros_at_starts(known), [row(5, &[11], &[0.0], &[])]);
        let odd = |series: SeriesNo| known(series).filter(|_| series > 0);
        assert_eq!(instants.into_rows(odd), [row(10, &[11, 12], &[2.0, 3.0], &[5, 0])]);
    }

    #[test]
    fn no_zero_is_put_at_or_behind_its_sample() {
        let mut instants = Instants::default();
        instants.push(0, &sample(10, 1.0, 10));
        instants.push(1, &sample(10, 1.0, 11));
        instants.push(2, &sample(10, 1.0, 9));
        instants.push(2, &sample(20, 1.0, 9));
        assert_eq!(instants.zeros_at_starts(known), [row(9, &[12], &[0.0], &[])]);
    }
}
