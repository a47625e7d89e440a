//! The series that tell how a scrape went.

use swell_model::{
    AppendError, Batch, DurationMs, Labels, METRIC_NAME, Row, SampleSink, SeriesRef, TimestampMs,
    stale_nan,
};

use crate::ingest::Ingested;

/// Names, in the order of [`ScrapeReport::values`].
const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
/// How many of them there always are.
const ORDINARY_COUNT: usize = 5;

/// A scrape as its own series tell it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScrapeReport {
    pub(crate) up: bool,
    pub(crate) duration_seconds: f64,
    pub(crate) ingested: Ingested,
    /// What is told where more is wanted.
    pub(crate) extra: Option<ExtraReport>,
}

/// Facts of a scrape that are told on demand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExtraReport {
    pub(crate) timeout: DurationMs,
    /// Zero for none.
    pub(crate) samples_max: usize,
    /// `None` for a body beyond its limit.
    pub(crate) body_bytes: Option<usize>,
}

impl ScrapeReport {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn values(&self) -> Vec<f64> {
        let Ingested { scraped, kept, added, .. } = self.ingested;
        let up = if self.up { 1.0 } else { 0.0 };
        let mut values = vec![up, self.duration_seconds, scraped as f64, kept as f64, added as f64];
        if let Some(extra) = self.extra {
            values.push(extra.timeout.to_std().as_secs_f64());
            values.push(extra.samples_max as f64);
            values.push(extra.body_bytes.map_or(-1.0, |bytes| bytes as f64));
        }
        values
    }
}

/// References of a target's report series, once they are asked for.
#[derive(Debug, Default)]
pub(crate) struct ReportSeries(Vec<SeriesRef>);

impl ReportSeries {
    /// The series `up`, once it is known.
    pub(crate) fn up(&self) -> Option<SeriesRef> {
        self.0.first().copied()
    }

    /// Stores a report; series that are told no more end.
    pub(crate) fn store(
        &mut self,
        target: &Labels,
        at: TimestampMs,
        report: &ScrapeReport,
        sink: &dyn SampleSink,
    ) -> Result<(), AppendError> {
        let values = report.values();
        match self.append(target, at, &values, sink) {
            Err(AppendError::UnknownSeries(_)) => {
                self.0.clear();
                self.append(target, at, &values, sink)
            }
            outcome => outcome,
        }
    }

    /// Ends the series: the target is gone.
    pub(crate) fn end(
        &mut self,
        at: TimestampMs,
        sink: &dyn SampleSink,
    ) -> Result<(), AppendError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let series = std::mem::take(&mut self.0);
        let values = vec![stale_nan(); series.len()];
        let rows = vec![Row::new(at, series, values)];
        sink.append(&Batch { in_order_only: true, ..Batch::of_rows(rows) }).map(drop)
    }

    fn append(
        &mut self,
        target: &Labels,
        at: TimestampMs,
        values: &[f64],
        sink: &dyn SampleSink,
    ) -> Result<(), AppendError> {
        for name in &NAMES[self.0.len()..values.len().max(self.0.len())] {
            let mut labels = target.to_builder();
            self.0.push(sink.resolve(&labels.set(METRIC_NAME, name).build())?);
        }
        let mut values = values.to_vec();
        let told = values.len();
        values.resize(self.0.len(), stale_nan());
        let row = Row::new(at, self.0.clone(), values);
        sink.append(&Batch::of_rows(vec![row]))?;
        self.0.truncate(told.max(ORDINARY_COUNT));
        Ok(())
    }
}
