//! The archive's place in the process: sealed windows go out, queries reach back in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus::{IntCounter, IntGauge};
use swell_archive::{
    Archive, MergeError, MergeReport, Store, UploadConfig, UploadError, UploadReport, Uploader,
};
use swell_engine::Db;
use swell_env::{Clock, Monotonic};
use swell_model::{SeriesSource, TimestampMs};
use swell_telemetry::{Registry, chain};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::adapters::ArchivedSource;
use crate::config::{ArchiveSettings, Config};
use crate::shutdown::Tasks;

/// How often it is looked for windows that are due.
const UPLOAD_INTERVAL: Duration = Duration::from_secs(60);
/// Waits after failed uploads, and apart from them after failed merges: doubled each time, up to this.
const RETRY_LAST: Duration = Duration::from_secs(900);

struct Metrics {
    samples: IntCounter,
    bytes: IntCounter,
    merged: IntCounter,
    failures: IntCounter,
    merge_failures: IntCounter,
    hold_from_seconds: IntGauge,
}

impl Metrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<IntCounter, prometheus::Error>(counter)
        };
        let hold_from_seconds = IntGauge::new(
            "swell_archive_pending_from_seconds",
            "Unix time from which local samples are not archived yet; they stay although their retention is over",
        )?;
        registry.register(Box::new(hold_from_seconds.clone()))?;
        Ok(Self {
            samples: counter("swell_archive_uploaded_samples_total", "Samples archived")?,
            bytes: counter(
                "swell_archive_uploaded_bytes_total",
                "Bytes of Parquet files archived",
            )?,
            merged: counter(
                "swell_archive_merged_uploads_total",
                "Uploads of the archive that were merged into others or written anew",
            )?,
            failures: counter(
                "swell_archive_failures_total",
                "Uploads to the archive that failed; local samples stay until they succeed",
            )?,
            merge_failures: counter(
                "swell_archive_merge_failures_total",
                "Merges of archived uploads that failed; the uploads stay as they are",
            )?,
            hold_from_seconds,
        })
    }
}

/// What queries read: the database, or the database in front of its archive.
pub(super) fn start(
    config: &Config,
    db: &Arc<Db>,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
    tasks: &Tasks,
) -> anyhow::Result<Arc<dyn SeriesSource>> {
    let Some(settings) = &config.archive else { return Ok(db.clone()) };
    // Nothing goes before it is known what is archived.
    db.hold_from(TimestampMs::MIN);
    let store = Store::open(&settings.location).context("set up the archive")?;
    let archive = Archive::new(store, clock.clone(), config.query.samples_max)
        .with_answers_within(Duration::from_millis(config.query.timeout.0.unsigned_abs()));
    let archive = Arc::new(archive);
    let metrics = Metrics::register(registry).context("register the archive's metrics")?;
    let work = upload(
        archive.clone(),
        db.clone(),
        settings.clone(),
        clock.clone(),
        metrics,
        tasks.stop_token(),
    );
    tasks.spawn("archive", work);
    Ok(Arc::new(ArchivedSource::new(db.clone(), archive)))
}

/// When merges are due: after uploads, once at the start, and again after a failure, which does not hold uploads up.
struct MergeTurn {
    is_pending: bool,
    wait: Duration,
    not_before: Option<Monotonic>,
}

impl MergeTurn {
    /// An earlier process may have left something to merge.
    const fn new() -> Self {
        Self { is_pending: true, wait: UPLOAD_INTERVAL, not_before: None }
    }

    fn is_due(&self, now: Monotonic) -> bool {
        self.is_pending && self.not_before.is_none_or(|at| now >= at)
    }

    const fn done(&mut self) {
        *self = Self { is_pending: false, ..Self::new() };
    }

    fn failed(&mut self, now: Monotonic) {
        self.is_pending = true;
        self.wait = (self.wait * 2).min(RETRY_LAST);
        self.not_before = Some(now.after(self.wait));
    }
}

async fn upload(
    archive: Arc<Archive>,
    db: Arc<Db>,
    settings: ArchiveSettings,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let config = UploadConfig { after: settings.after, span: settings.window };
    let mut uploader = Uploader::new(archive, config);
    let mut turn = MergeTurn::new();
    let mut wait = UPLOAD_INTERVAL;
    let mut beat = tokio::time::interval(UPLOAD_INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = beat.tick() => {}
        }
        let (db_here, now, may_merge) = (db.clone(), clock.now(), turn.is_due(clock.monotonic()));
        let ran = tokio::task::spawn_blocking(move || {
            let outcome = run(&mut uploader, &db_here, now, may_merge);
            (uploader, outcome)
        })
        .await;
        let outcome = match ran {
            Ok((given_back, outcome)) => {
                uploader = given_back;
                outcome
            }
            Err(failure) => {
                error!(%failure, "archiving failed inside: no more until the next start");
                return;
            }
        };
        match outcome.merge {
            None => {}
            Some(Ok(merged)) => {
                turn.done();
                merged_into(&metrics, &merged);
            }
            Some(Err(failure)) => {
                turn.failed(clock.monotonic());
                metrics.merge_failures.inc_by(failure.failed_count as u64);
                merged_into(&metrics, &failure.report);
                error!(
                    error = chain(&failure),
                    retry_seconds = turn.wait.as_secs(),
                    "merging archived windows failed: they stay as they are, and readable"
                );
            }
        }
        match outcome.upload {
            Ok(report) => {
                wait = UPLOAD_INTERVAL;
                let Some(report) = report else { continue };
                metrics.samples.inc_by(report.sample_count);
                metrics.bytes.inc_by(report.size_bytes);
                metrics.hold_from_seconds.set(report.hold_from.0.div_euclid(1000));
                if report.window_count > 0 {
                    info!(?report, "archived");
                }
            }
            Err(failure) => {
                // Windows may have gone out before it.
                turn.is_pending = true;
                metrics.failures.inc();
                wait = (wait * 2).min(RETRY_LAST);
                error!(
                    error = chain(&failure),
                    retry_seconds = wait.as_secs(),
                    "archiving failed: local samples stay until it succeeds"
                );
                beat.reset_after(wait);
            }
        }
    }
}

fn merged_into(metrics: &Metrics, merged: &MergeReport) {
    metrics.merged.inc_by(merged.source_count as u64);
    if merged.merged_count > 0 {
        info!(?merged, "merged archived windows");
    }
}

/// What came of one run, its halves apart: a merge that fails takes nothing from what was uploaded.
struct Outcome {
    /// `None` when there is nothing local to upload.
    upload: Result<Option<UploadReport>, UploadError>,
    /// `None` when none was due.
    merge: Option<Result<MergeReport, MergeError>>,
}

fn run(uploader: &mut Uploader, db: &Db, now: TimestampMs, may_merge: bool) -> Outcome {
    let upload = upload_due(uploader, db, now);
    let is_due = match &upload {
        Ok(Some(report)) => may_merge || report.window_count > 0,
        Ok(None) | Err(_) => false,
    };
    let merge = is_due.then(|| uploader.merge());
    Outcome { upload, merge }
}

fn upload_due(
    uploader: &mut Uploader,
    db: &Db,
    now: TimestampMs,
) -> Result<Option<UploadReport>, UploadError> {
    let (Some(local), Some(floor)) = (db.block_range(), db.head_floor()) else {
        // Nothing to archive, but what is archived must be known to readers.
        uploader.refresh()?;
        return Ok(None);
    };
    let report = uploader.run(db, local, floor, now)?;
    db.hold_from(report.hold_from);
    Ok(Some(report))
}

#[cfg(test)]
mod tests {
    use swell_env::ManualClock;

    use super::*;

    #[test]
    fn failed_merges_wait_longer_each_time_and_a_merge_that_succeeds_ends_it() {
        let start = ManualClock::new(TimestampMs(0)).monotonic();
        let at = |secs| start.after(Duration::from_secs(secs));
        let mut turn = MergeTurn::new();
        assert!(turn.is_due(at(0)), "something may be left of an earlier process");
        turn.failed(at(0));
        assert!(!turn.is_due(at(119)) && turn.is_due(at(120)));
        turn.failed(at(120));
        assert!(!turn.is_due(at(359)) && turn.is_due(at(360)));
        for _ in 0..9 {
            turn.failed(at(360));
        }
        assert!(
            !turn.is_due(at(360 + 899)) && turn.is_due(at(360 + 900)),
            "at most a quarter hour"
        );
        turn.done();
        assert!(!turn.is_due(at(9999)));
        turn.is_pending = true;
        assert!(turn.is_due(at(9999)));
    }
}
