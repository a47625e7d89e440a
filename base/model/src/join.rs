//! Samples of one series from two sources.

use std::collections::BTreeMap;

use crate::{FloatColumn, HistogramColumn, SeriesData};

/// Samples of both, under the labels of the second; where they have the same time that of the second counts. Start timestamps,
/// and what stands for samples, are left out.
#[must_use]
pub fn join_samples(first: SeriesData, second: SeriesData) -> SeriesData {
    let (one, other) = (&first.floats, &second.floats);
    let (times, values) = joined_columns(
        one.timestamps.iter().copied().zip(one.values.iter().copied()),
        other.timestamps.iter().copied().zip(other.values.iter().copied()),
    );
    let floats = FloatColumn { timestamps: times.into(), values: values.into(), starts: None };
    let (timestamps, values) = joined_columns(
        first.histograms.timestamps.into_iter().zip(first.histograms.values),
        second.histograms.timestamps.into_iter().zip(second.histograms.values),
    );
    let histograms = HistogramColumn { timestamps, values, starts: None };
    SeriesData { labels: second.labels, floats, histograms, ..SeriesData::default() }
}

fn joined_columns<T>(
    first: impl Iterator<Item = (i64, T)>,
    second: impl Iterator<Item = (i64, T)>,
) -> (Vec<i64>, Vec<T>) {
    let (mut times, mut values): (Vec<i64>, Vec<T>) = first.unzip();
    let first_count = times.len();
    for (at, value) in second {
        times.push(at);
        values.push(value);
    }
    let meets =
        first_count > 0 && times.get(first_count).is_some_and(|at| *at <= times[first_count - 1]);
    if !meets {
        return (times, values);
    }
    let by_time: BTreeMap<i64, T> = times.into_iter().zip(values).collect();
    by_time.into_iter().unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_joined_by_time_and_the_second_sample_counts() {
        let first = [(1, 'a'), (2, 'b'), (5, 'c')];
        for (second, times, values) in [
            (vec![(6, 'x')], vec![1, 2, 5, 6], vec!['a', 'b', 'c', 'x']),
            (vec![(2, 'x'), (3, 'y')], vec![1, 2, 3, 5], vec!['a', 'x', 'y', 'c']),
            (vec![], vec![1, 2, 5], vec!['a', 'b', 'c']),
        ] {
            let joined = joined_columns(first.into_iter(), second.into_iter());
            assert_eq!(joined, (times, values));
        }
    }
}
