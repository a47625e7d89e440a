//! Series like those of a host's exporter: most constant, counters that rise by a little, gauges of few digits,
//! sums of measured durations, and one row of jittery times for all.

use swell_bench_gen::Numbers;

/// Series of one host and their samples, the same at each run.
#[derive(Clone, Debug)]
pub struct Host {
    /// Milliseconds since the epoch; one row each.
    pub timestamps: Vec<i64>,
    /// Values of each series, one for each row.
    pub series: Vec<Vec<f64>>,
}

impl Host {
    /// `series_count` series of `row_count` rows, a row each `step_ms` give or take 3 ms.
    #[must_use]
    pub fn new(seed: u64, series_count: usize, row_count: usize, step_ms: i64) -> Self {
        let mut numbers = Numbers(seed);
        let mut at = 1_780_000_000_000;
        let timestamps = (0..row_count)
            .map(|_| {
                at += step_ms;
                at + i64::from(numbers.below(7)) - 3
            })
            .collect();
        let series = (0..series_count).map(|nr| values(nr, row_count, &mut numbers)).collect();
        Self { timestamps, series }
    }
}

/// Of ten series six are constant, the others are of one kind each.
fn values(nr: usize, row_count: usize, numbers: &mut Numbers) -> Vec<f64> {
    let start = f64::from(numbers.below(1_000_000));
    let mut last = start;
    (0..row_count)
        .map(|_| {
            last = match nr % 10 {
                // A counter of bytes or packets: idle, then a burst.
                0 if numbers.below(4) == 0 => last + f64::from(numbers.below(2000)),
                // CPU seconds, in hundredths.
                1 => ((last * 100.0).round() + f64::from(numbers.below(30))) / 100.0,
                // Memory in pages.
                2 => (start + f64::from(numbers.below(512))) * 4096.0,
                // A sum of durations in seconds: not a short decimal.
                3 => last + f64::from(numbers.below(5000)) / 1e6,
                _ => last,
            };
            last
        })
        .collect()
}
