//! The archive's place in the process: sealed windows go out, queries reach back in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus::{IntCounter, IntGauge};
use swell_archive::{
    Archive, MergeReport, Store, UploadConfig, UploadError, UploadReport, Uploader,
};
use swell_engine::Db;
use swell_env::Clock;
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
/// Waits after failed runs: doubled each time, up to this.
const RETRY_LAST: Duration = Duration::from_secs(900);

struct Metrics {
    samples: IntCounter,
    bytes: IntCounter,
    merged: IntCounter,
    failures: IntCounter,
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
            failures: counter("swell_archive_failures_total", "Runs of the archive that failed")?,
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
    let archive = Arc::new(Archive::new(store, clock.clone(), config.query.samples_max));
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
    // An earlier process may have left something to merge.
    let mut may_merge = true;
    let mut wait = UPLOAD_INTERVAL;
    let mut beat = tokio::time::interval(UPLOAD_INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = beat.tick() => {}
        }
        let (db_here, now) = (db.clone(), clock.now());
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
        match outcome {
            Ok(Some((report, merged))) => {
                wait = UPLOAD_INTERVAL;
                may_merge = false;
                metrics.merged.inc_by(merged.source_count as u64);
                if merged.merged_count > 0 {
                    info!(?merged, "merged archived windows");
                }
                metrics.samples.inc_by(report.sample_count);
                metrics.bytes.inc_by(report.size_bytes);
                metrics.hold_from_seconds.set(report.hold_from.0.div_euclid(1000));
                if report.window_count > 0 {
                    info!(?report, "archived");
                }
            }
            Ok(None) => {}
            Err(failure) => {
                // Windows may have gone out before it.
                may_merge = true;
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

fn run(
    uploader: &mut Uploader,
    db: &Db,
    now: TimestampMs,
    may_merge: bool,
) -> Result<Option<(UploadReport, MergeReport)>, UploadError> {
    let (Some(local), Some(floor)) = (db.block_range(), db.head_floor()) else {
        // Nothing to archive, but what is archived must be known to readers.
        uploader.refresh()?;
        return Ok(None);
    };
    let report = uploader.run(db, local, floor, now)?;
    db.hold_from(report.hold_from);
    let merged = if may_merge || report.window_count > 0 {
        uploader.merge()?
    } else {
        MergeReport::default()
    };
    Ok(Some((report, merged)))
}
