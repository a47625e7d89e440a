//! A database beside a plain map of what it must hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::Registry;
use swell_engine::{Config, Db, OpenError, WalSync};
use swell_env::{Dir, ManualClock};
use swell_model::{
    AppendError, AppendReport, Batch, HistogramSample, Labels, Matcher, NativeHistogram, Row,
    SampleSink, SelectError, SelectHints, SeriesSource, TimeRange, TimestampMs,
};

pub(crate) const HOUR: i64 = 3_600_000;

/// Samples by labels and time, floats by their bits and histograms by their counts.
pub(crate) type Model = BTreeMap<Labels, BTreeMap<i64, u64>>;

pub(crate) fn config(wal_sync: WalSync) -> Config {
    // Nothing kept back or held back: tests count operations, and have no time.
    Config { wal_sync, background: None, reserve_bytes: 0, ..Config::standard() }
}

pub(crate) fn open(dir: Arc<dyn Dir>, config: Config) -> Result<Db, OpenError> {
    // Late enough that no sample of a test is ahead of the clock.
    let clock = Arc::new(ManualClock::new(TimestampMs(10_000 * 24 * HOUR)));
    Db::open(dir, config, clock, &Registry::new())
}

pub(crate) fn labels(nr: usize) -> Labels {
    let metric = format!("metric_{}", nr % 3);
    Labels::from_pairs([("__name__", metric.as_str()), ("pod", &format!("pod-{nr}"))])
}

/// A histogram that is known by one number.
pub(crate) fn histogram(count: f64) -> Arc<NativeHistogram> {
    Arc::new(NativeHistogram { count, sum: count * 2.0, ..NativeHistogram::default() })
}

/// One row of float samples, as (series number, value).
pub(crate) fn float_batch(
    db: &Db,
    at_ms: i64,
    samples: &[(usize, f64)],
) -> Result<Batch, AppendError> {
    let mut row = Row { timestamp: TimestampMs(at_ms), ..Row::default() };
    for (nr, value) in samples {
        row.series.push(db.resolve(&labels(*nr))?);
        row.values.push(*value);
    }
    Ok(Batch::of_rows(vec![row]))
}

pub(crate) fn histogram_batch(
    db: &Db,
    at_ms: i64,
    samples: &[(usize, f64)],
) -> Result<Batch, AppendError> {
    let histograms = samples
        .iter()
        .map(|(nr, count)| {
            Ok(HistogramSample {
                series: db.resolve(&labels(*nr))?,
                timestamp: TimestampMs(at_ms),
                value: histogram(*count),
                start_ms: 0,
            })
        })
        .collect::<Result<_, AppendError>>()?;
    Ok(Batch { histograms, ..Batch::default() })
}

pub(crate) fn append(
    db: &Db,
    at_ms: i64,
    samples: &[(usize, f64)],
) -> Result<AppendReport, AppendError> {
    db.append(&float_batch(db, at_ms, samples)?)
}

/// Everything the database answers for the matchers and range.
pub(crate) fn read(db: &Db, matchers: &[Matcher], range: TimeRange) -> Result<Model, SelectError> {
    read_with(db, matchers, &SelectHints::range(range))
}

/// As [`read`], with other hints.
pub(crate) fn read_with(
    db: &Db,
    matchers: &[Matcher],
    hints: &SelectHints,
) -> Result<Model, SelectError> {
    let mut model = Model::new();
    for series in db.select(matchers, hints)? {
        let series = series?;
        let mut samples: BTreeMap<i64, u64> = BTreeMap::new();
        assert_eq!(series.floats.timestamps.len(), series.floats.values.len());
        for (at, value) in series.floats.timestamps.iter().zip(series.floats.values.iter()) {
            assert_eq!(samples.insert(*at, value.to_bits()), None, "each time once");
        }
        for (at, value) in series.histograms.timestamps.iter().zip(&series.histograms.values) {
            assert_eq!(value.sum.to_bits(), (value.count * 2.0).to_bits());
            assert_eq!(samples.insert(*at, histogram_bits(value.count)), None, "each time once");
        }
        assert!(!samples.is_empty(), "series without samples are not selected");
        assert!(model.insert(series.labels, samples).is_none(), "each label set once");
    }
    Ok(model)
}

pub(crate) fn read_all(db: &Db) -> Model {
    read(db, &[], TimeRange::ALL).expect("sound data is readable")
}

/// Tells histograms from floats in a [`Model`].
pub(crate) fn histogram_bits(count: f64) -> u64 {
    count.to_bits() ^ 0xdead_beef
}

/// A generator of reproducible choices.
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
