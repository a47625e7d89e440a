//! One target without a network, for measurements: bodies go in as a scrape's do.

use std::sync::Arc;

use swell_exposition::BodyFormat;
use swell_model::{Labels, SampleSink, TimestampMs};

use crate::claims::Claimed;
use crate::config::ScrapeConfig;
use crate::described::{Described, FamilyCatalog};
use crate::ingest::TargetSeries;

/// What is known of one target from body to body.
#[derive(Debug)]
pub struct Target {
    config: ScrapeConfig,
    series: TargetSeries,
}

impl Target {
    /// A target with these labels that was not scraped yet.
    #[must_use]
    pub fn new(labels: Labels, config: ScrapeConfig) -> Self {
        let described = Described::new(&Arc::new(FamilyCatalog::new()));
        Self { config, series: TargetSeries::new(labels, Claimed::alone(), described) }
    }

    /// Stores a body as a scrape at that time does; how many samples the storage took.
    ///
    /// # Errors
    /// Why nothing of it was stored, in words.
    pub fn ingest(
        &mut self,
        body: &[u8],
        format: BodyFormat,
        at: TimestampMs,
        sink: &dyn SampleSink,
    ) -> Result<usize, String> {
        let ingested = self.series.ingest(body, format, at, &self.config, sink);
        ingested.map(|it| it.report.stored).map_err(|error| swell_telemetry::chain(&error))
    }
}
