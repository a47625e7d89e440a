//! One task per target: wait, fetch, store, report.

use std::sync::Arc;
use std::time::Duration;

use swell_env::{Clock, Monotonic};
use swell_model::{SampleSink, TimestampMs};
use swell_telemetry::chain;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::claims::Claims;
use crate::described::FamilyCatalog;
use crate::failure_log::FailureLog;
use crate::fetch::{FetchError, Fetcher, Page};
use crate::ingest::{IngestError, Ingested, TargetSeries};
use crate::limits;
use crate::metrics::ScrapeMetrics;
use crate::report::{ExtraReport, ScrapeReport};
use crate::schedule;
use crate::status::{Card, Health, LastScrape};

/// Bodies that are taken apart at once: the work is short and bound by the processor.
const INGESTS_MAX: usize = 4;

/// What all loops share.
pub(crate) struct Shared {
    pub(crate) sink: Arc<dyn SampleSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: ScrapeMetrics,
    pub(crate) claims: Arc<Claims>,
    pub(crate) families: Arc<FamilyCatalog>,
    ingest_slots: Semaphore,
}

impl Shared {
    pub(crate) fn new(
        sink: Arc<dyn SampleSink>,
        clock: Arc<dyn Clock>,
        metrics: ScrapeMetrics,
    ) -> Self {
        let claims = Arc::new(Claims::new(metrics.shared_series.clone()));
        let families = Arc::new(FamilyCatalog::new());
        let ingest_slots = Semaphore::new(INGESTS_MAX);
        Self { sink, clock, metrics, claims, families, ingest_slots }
    }
}

/// Scrapes one target until stopped.
pub(crate) struct ScrapeLoop {
    pub(crate) shared: Arc<Shared>,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) card: Card,
    pub(crate) series: TargetSeries,
    /// Targets of the job, when they are more than allowed: all scrapes fail then.
    pub(crate) crowd: Option<(usize, usize)>,
    /// Where failed scrapes are written, if anywhere.
    pub(crate) failure_log: Option<Arc<FailureLog>>,
}

/// How a scrape ended.
enum Outcome {
    Stored(Ingested),
    NotFetched(FetchError),
    NotStored(IngestError),
}

impl Outcome {
    const fn result(&self) -> &'static str {
        match self {
            Self::Stored(_) => "success",
            Self::NotFetched(FetchError::Deadline(_)) => "deadline",
            Self::NotFetched(FetchError::TooLarge(_) | FetchError::TargetLimit { .. })
            | Self::NotStored(IngestError::SampleLimit { .. } | IngestError::LabelLimit { .. }) => {
                "limit"
            }
            Self::NotFetched(_) => "fetch",
            Self::NotStored(IngestError::Append(_)) => "storage",
            Self::NotStored(_) => "format",
        }
    }

    fn error(&self) -> Option<String> {
        match self {
            Self::Stored(_) => None,
            Self::NotFetched(error) => Some(chain(error)),
            Self::NotStored(error) => Some(chain(error)),
        }
    }
}

impl ScrapeLoop {
    /// Runs until `stop`; hands back what is known of the target's series, for whoever goes on with it or ends it.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> TargetSeries {
        let interval = self.card.target.interval;
        let spread = self.card.target.spread();
        let lengths = self.shared.metrics.theirs.intervals(interval);
        let mut began_before: Option<Monotonic> = None;
        let mut last = None;
        loop {
            let now = self.shared.clock.now();
            let planned = schedule::next(now, interval, spread, last);
            tokio::select! {
                () = stop.cancelled() => return self.series,
                () = tokio::time::sleep(planned.since(now).to_std()) => {}
            }
            last = Some(planned);
            let at = schedule::timestamp(self.shared.clock.now(), planned, interval);
            let began = self.shared.clock.monotonic();
            if let Some(before) = began_before.replace(began) {
                lengths.observe(began.since(before).as_secs_f64());
            }
            let page = tokio::select! {
                () = stop.cancelled() => return self.series,
                page = self.fetch() => page,
            };
            let took = self.shared.clock.monotonic().since(began);
            self = self.store(page, at, took).await;
        }
    }

    async fn fetch(&self) -> Result<Page, FetchError> {
        if let Some((count, limit)) = self.crowd {
            return Err(FetchError::TargetLimit { count, limit });
        }
        self.fetcher.fetch(&self.card.target).await
    }

    /// Stores on a blocking thread: the storage may wait for a disk.
    async fn store(
        mut self,
        page: Result<Page, FetchError>,
        at: TimestampMs,
        took: Duration,
    ) -> Self {
        let shared = Arc::clone(&self.shared);
        let slot = shared.ingest_slots.acquire().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            self.store_blocking(page, at, took);
            self
        })
        .await;
        drop(slot);
        match done {
            Ok(this) => this,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn store_blocking(&mut self, page: Result<Page, FetchError>, at: TimestampMs, took: Duration) {
        let sink = self.shared.sink.as_ref();
        let config = self.fetcher.config();
        let body_bytes = match &page {
            Ok(page) => Some(page.body.len()),
            Err(FetchError::TooLarge(_)) => None,
            Err(_) => Some(0),
        };
        let outcome = match page {
            Err(error) => Outcome::NotFetched(error),
            Ok(page) => match self.series.ingest(&page.body, page.format, at, config, sink) {
                Ok(ingested) => Outcome::Stored(ingested),
                Err(error) => Outcome::NotStored(error),
            },
        };
        let metrics = &self.shared.metrics;
        metrics.scrapes_total.with_label_values(&[outcome.result()]).inc();
        match &outcome {
            Outcome::NotFetched(FetchError::TooLarge(_)) => {
                metrics.theirs.exceeded_body_size_limit.inc();
            }
            Outcome::NotStored(IngestError::SampleLimit { .. }) => {
                metrics.theirs.exceeded_sample_limit.inc();
            }
            Outcome::NotStored(IngestError::LabelLimit { .. }) => {
                metrics.theirs.exceeded_label_limits.inc();
            }
            Outcome::Stored(_) | Outcome::NotFetched(_) | Outcome::NotStored(_) => {}
        }
        let target = &self.card.target;
        let mut report = ScrapeReport {
            up: false,
            duration_seconds: took.as_secs_f64(),
            ingested: Ingested::default(),
            extra: config.extra_metrics.then_some(ExtraReport {
                timeout: target.timeout,
                samples_max: limits::given(config.limits.samples_max).unwrap_or(0),
                body_bytes,
            }),
        };
        match &outcome {
            Outcome::Stored(ingested) => {
                metrics.count(ingested);
                if let Some(reason) = self.series.take_shed_reason() {
                    let (url, shed) = (&target.url, ingested.shed);
                    warn!(%url, shed, reason, "the storage has no room for new series of a target");
                }
                report.up = true;
                report.ingested = *ingested;
            }
            Outcome::NotFetched(_) | Outcome::NotStored(_) => {
                if let Err(error) = self.series.end_all(at, sink) {
                    warn!(url = %target.url, error = chain(&error), "the series of a failed scrape could not be ended");
                }
            }
        }
        if let Outcome::NotStored(IngestError::SampleLimit { scraped, count, .. }) = &outcome {
            report.ingested.scraped = *scraped;
            report.ingested.kept = *count;
        }
        if let Err(error) = self.series.report(at, &report, sink) {
            warn!(url = %target.url, error = chain(&error), "the outcome of a scrape could not be stored");
        }
        let error = outcome.error().unwrap_or_default();
        if !error.is_empty() {
            debug!(job = %self.card.job, url = %target.url, error, "scrape failed");
            self.note_failure(at, &error);
        }
        *self.card.last.lock() = LastScrape {
            health: if report.up { Health::Up } else { Health::Down },
            error,
            at: Some(at),
            duration: took,
        };
    }

    fn note_failure(&self, at: TimestampMs, why: &str) {
        let Some(log) = &self.failure_log else { return };
        if let Err(error) = log.note(at, &self.card.job, self.card.target.url.as_str(), why) {
            self.shared.metrics.failure_log_errors_total.inc();
            let path = log.path().display().to_string();
            debug!(path, error = chain(&error), "a failed scrape could not be written to its log");
        }
    }
}
