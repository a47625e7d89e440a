//! Summaries: count, sum and quantiles of what was observed in the last ten minutes. The client library has none.
//!
//! Values are counted in ranges whose bounds grow by two hundredths, so that a quantile is off by one hundredth at most,
//! and memory is bounded by how many orders of magnitude the values span.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType, Quantile, Summary as Message};
use swell_env::{Clock, Monotonic};

use crate::family::{family, labelled};

/// Quantiles are those of so many spans, the current one included: what is observed is forgotten after ten minutes, as
/// by Prometheus' own client library.
const SPANS: usize = 5;
const SPAN: Duration = Duration::from_secs(120);

/// Upper bounds of ranges are powers of it.
const GROWTH: f64 = 1.02;
/// The range of what has no logarithm: zero, and less.
const LOWEST: i32 = i32::MIN;

/// Summaries of one family, by the values of their labels. Cloning copies a pointer.
#[derive(Clone)]
pub struct SummaryVec(Arc<Family>);

struct Family {
    name: String,
    help: String,
    description: Desc,
    labels: &'static [&'static str],
    quantiles: &'static [f64],
    clock: Arc<dyn Clock>,
    summaries: Mutex<BTreeMap<Vec<String>, Summary>>,
}

impl fmt::Debug for SummaryVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SummaryVec").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// One summary. Cloning copies a pointer.
#[derive(Clone)]
pub struct Summary {
    observed: Arc<Mutex<Observed>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary").finish_non_exhaustive()
    }
}

impl SummaryVec {
    /// A family without summaries, which this registers. `quantiles` are between 0 and 1, in order.
    ///
    /// # Errors
    /// When the name is no name, or is taken.
    pub fn register(
        registry: &Registry,
        clock: &Arc<dyn Clock>,
        (name, help): (&str, &str),
        labels: &'static [&'static str],
        quantiles: &'static [f64],
    ) -> Result<Self, prometheus::Error> {
        let variable = labels.iter().map(|label| (*label).to_owned()).collect();
        let description = Desc::new(name.to_owned(), help.to_owned(), variable, HashMap::new())?;
        let family = Self(Arc::new(Family {
            name: name.to_owned(),
            help: help.to_owned(),
            description,
            labels,
            quantiles,
            clock: Arc::clone(clock),
            summaries: Mutex::default(),
        }));
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    /// The summary with these values of the labels, in their order; there from now on.
    #[must_use]
    pub fn with_label_values(&self, values: &[&str]) -> Summary {
        debug_assert_eq!(values.len(), self.0.labels.len(), "a value for each label");
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let mut summaries = self.0.summaries.lock();
        let summary = summaries.entry(values).or_insert_with(|| {
            let clock = Arc::clone(&self.0.clock);
            let observed = Observed::new(clock.monotonic());
            Summary { observed: Arc::new(Mutex::new(observed)), clock }
        });
        summary.clone()
    }

    /// Forgets the summary with these values, if there is one.
    pub fn remove_label_values(&self, values: &[&str]) {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        self.0.summaries.lock().remove(&values);
    }
}

impl Summary {
    /// Takes a value.
    pub fn observe(&self, value: f64) {
        let now = self.clock.monotonic();
        self.observed.lock().take(value, now);
    }
}

impl Collector for SummaryVec {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Family { name, help, labels, quantiles, clock, summaries, .. } = &*self.0;
        let now = clock.monotonic();
        let summaries = summaries.lock();
        let metrics = summaries.iter().map(|(values, summary)| {
            let values = values.iter().map(String::as_str);
            let mut pairs: Vec<(&str, &str)> = labels.iter().copied().zip(values).collect();
            pairs.sort_unstable();
            let mut metric = labelled(pairs);
            metric.set_summary(summary.observed.lock().message(quantiles, now));
            metric
        });
        vec![family(name, help, MetricType::SUMMARY, metrics.collect())]
    }
}

/// What one summary knows.
struct Observed {
    count: u64,
    sum: f64,
    /// How often each range was met, by span, the current one first.
    spans: VecDeque<BTreeMap<i32, u64>>,
    /// When the current span began.
    began: Monotonic,
}

impl Observed {
    fn new(now: Monotonic) -> Self {
        Self { count: 0, sum: 0.0, spans: VecDeque::from([BTreeMap::new()]), began: now }
    }

    /// Begins as many spans as have passed.
    fn turn(&mut self, now: Monotonic) {
        let passed = now.since(self.began).as_secs() / SPAN.as_secs();
        if passed == 0 {
            return;
        }
        for _ in 0..passed.min(SPANS as u64) {
            self.spans.push_front(BTreeMap::new());
        }
        self.spans.truncate(SPANS);
        self.began = self.began.after(Duration::from_secs(passed * SPAN.as_secs()));
    }

    fn take(&mut self, value: f64, now: Monotonic) {
        self.turn(now);
        self.count += 1;
        self.sum += value;
        if let Some(current) = self.spans.front_mut() {
            *current.entry(range_of(value)).or_default() += 1;
        }
    }

    fn message(&mut self, quantiles: &[f64], now: Monotonic) -> Message {
        self.turn(now);
        let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
        for (range, count) in self.spans.iter().flatten() {
            *counts.entry(*range).or_default() += count;
        }
        let shown = quantiles.iter().map(|quantile| {
            let mut shown = Quantile::default();
            shown.set_quantile(*quantile);
            shown.set_value(value_at(&counts, *quantile));
            shown
        });
        let mut message = Message::default();
        message.set_sample_count(self.count);
        message.set_sample_sum(self.sum);
        message.set_quantile(shown.collect());
        message
    }
}

/// The range that a value is in.
fn range_of(value: f64) -> i32 {
    if value > 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "of any float it is below 40,000")]
        let range = (value.ln() / GROWTH.ln()).ceil() as i32;
        range
    } else {
        LOWEST
    }
}

/// The middle of a range.
fn middle(range: i32) -> f64 {
    if range == LOWEST { 0.0 } else { GROWTH.powi(range) * 2.0 / (1.0 + GROWTH) }
}

/// The value below which this part of what was counted lies; no number where nothing was.
fn value_at(counts: &BTreeMap<i32, u64>, quantile: f64) -> f64 {
    let all: u64 = counts.values().sum();
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let rank = (all as f64 * quantile).ceil().max(1.0);
    let mut below = 0;
    for (range, count) in counts {
        below += count;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let reached = below as f64;
        if reached >= rank {
            return middle(*range);
        }
    }
    f64::NAN
}

#[cfg(test)]
mod tests {
    use swell_env::ManualClock;
    use swell_model::{DurationMs, TimestampMs};

    use super::*;

    const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

    fn summaries() -> (Registry, Arc<ManualClock>, SummaryVec) {
        let (registry, clock) = (Registry::new(), Arc::new(ManualClock::new(TimestampMs(0))));
        let shared: Arc<dyn Clock> = clock.clone();
        let named = ("things_seconds", "Things.");
        let made = SummaryVec::register(&registry, &shared, named, &["of"], &QUANTILES);
        (registry, clock, made.expect("a new name"))
    }

    /// Count, sum and quantiles of the only summary.
    fn read(registry: &Registry) -> (u64, f64, Vec<f64>) {
        let families = registry.gather();
        let message = families[0].get_metric()[0].get_summary();
        let values = message.get_quantile().iter().map(Quantile::value).collect();
        (message.sample_count(), message.sample_sum(), values)
    }

    #[test]
    fn quantiles_are_within_a_hundredth() {
        let (registry, _, summaries) = summaries();
        let summary = summaries.with_label_values(&["a"]);
        (1..=1000).for_each(|it| summary.observe(f64::from(it) / 1000.0));
        let (count, sum, values) = read(&registry);
        assert_eq!(count, 1000);
        assert!((sum - 500.5).abs() < 1e-6, "{sum}");
        for (value, expected) in values.iter().zip(QUANTILES) {
            assert!((value / expected - 1.0).abs() < 0.0101, "{value} for {expected}");
        }
    }

    #[test]
    fn what_is_old_counts_but_is_no_quantile() {
        let (registry, clock, summaries) = summaries();
        let summary = summaries.with_label_values(&["a"]);
        summary.observe(1.0);
        clock.advance(DurationMs::from_secs(599));
        summary.observe(100.0);
        let (_, _, values) = read(&registry);
        assert!((values[0] - 1.0).abs() < 0.02, "the older one is the median: {values:?}");
        clock.advance(DurationMs::from_secs(2));
        let (count, _, values) = read(&registry);
        assert_eq!(count, 2);
        assert!((values[0] - 100.0).abs() < 2.0, "{values:?}");
        clock.advance(DurationMs::from_secs(3600));
        let (count, sum, values) = read(&registry);
        assert_eq!(count, 2);
        assert!((sum - 101.0).abs() < 1e-9);
        assert!(values.iter().all(|value| value.is_nan()), "{values:?}");
    }

    #[test]
    fn nothing_and_less_are_values_too() {
        let (registry, _, summaries) = summaries();
        let summary = summaries.with_label_values(&["a"]);
        [0.0, 0.0, -1.0].into_iter().for_each(|value| summary.observe(value));
        let (count, _, values) = read(&registry);
        assert_eq!(count, 3);
        assert!(values.iter().all(|value| value.abs() < 1e-9), "{values:?}");
        summaries.remove_label_values(&["a"]);
        assert!(registry.gather().is_empty());
    }
}
