//! What rules and the autoscaler read: the same selections again and again, kept up to date between evaluations.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use swell_model::{SeriesSource, TimestampMs};
use swell_promql::{Standing, StandingReader};
use swell_telemetry::Registry;

/// Who evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    Rules,
    Autoscaler,
}

impl Asker {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Autoscaler => "autoscaler",
        }
    }
}

/// What is counted of those who ask the same again and again.
#[derive(Clone)]
pub(crate) struct StandingMetrics {
    evaluations: IntCounterVec,
    samples: IntGaugeVec,
}

impl StandingMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let evaluations = IntCounterVec::new(
            Opts::new(
                "swell_query_standing_evaluations_total",
                "Evaluations of rules and of the autoscaler: incremental ones read no more than what arrived since the one before.",
            ),
            &["asker", "how"],
        )?;
        let samples = IntGaugeVec::new(
            Opts::new(
                "swell_query_standing_samples",
                "Samples, of sixteen bytes, that are kept between evaluations of rules and of the autoscaler.",
            ),
            &["asker"],
        )?;
        registry.register(Box::new(evaluations.clone()))?;
        registry.register(Box::new(samples.clone()))?;
        Ok(Self { evaluations, samples })
    }
}

/// A storage as one of those sees it.
pub(crate) struct StandingQueries {
    standing: Arc<Standing>,
    incremental: IntCounter,
    full: IntCounter,
    samples: IntGauge,
}

impl StandingQueries {
    /// In front of a storage.
    pub(crate) fn new(
        source: Arc<dyn SeriesSource>,
        asker: Asker,
        metrics: &StandingMetrics,
    ) -> Self {
        let evaluations = |how| metrics.evaluations.with_label_values(&[asker.as_str(), how]);
        Self {
            standing: Standing::new(source, Standing::SAMPLES_MAX_DEFAULT),
            incremental: evaluations("incremental"),
            full: evaluations("full"),
            samples: metrics.samples.with_label_values(&[asker.as_str()]),
        }
    }

    /// The source of one evaluation at that time.
    pub(crate) fn at(&self, at: TimestampMs) -> StandingReader {
        self.standing.at(at)
    }

    /// Counts an evaluation that is done.
    pub(crate) fn count(&self, reader: &StandingReader) {
        let counter = if reader.reads().are_incremental() { &self.incremental } else { &self.full };
        counter.inc();
        self.samples.set(i64::try_from(self.standing.sample_count()).unwrap_or(i64::MAX));
    }
}
