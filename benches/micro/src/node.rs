//! Series like those of a host's exporter: most constant, counters that rise by a little, gauges of few digits,
//! sums of measured durations, and one row of jittery times for all.

/// Series of one host and their samples, the same at each run.
#[derive(Clone, Debug)]
pub struct Host {
    /// Milliseconds since the epoch; one row each.
    pub timestamps: Vec<i64>,
    /// Values of each series, one for each row.
    pub series: Vec<Vec<f64>>,
}

/// A small generator of reproducible numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number in `[0, bound)`.
    pub fn below(&mut self, bound: u32) -> u32 {
        let wide = (self.next_u64() >> 32) * u64::from(bound);
        u32::try_from(wide >> 32).expect("below a 32-bit bound")
    }
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
