//! The storage engine's place in the process: opened, maintained and closed on blocking threads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use swell_engine::{Db, Replay};
use swell_env::{Clock, FsDir};
use swell_telemetry::{Registry, chain};
use swell_tsdb_http::{ActiveQueries, Api, PROBE_INTERVAL};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::shutdown::Tasks;

/// How often flush, compaction and retention are looked at.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(15);
/// How often columns are packed, and it is looked at whether the log has grown enough for a checkpoint: senders at full speed
/// fill both in seconds, and a start after a kill has to read that log.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// Groups of rules that may be evaluated at once, each with a query of its own.
const GROUP_QUERIES: usize = 16;

/// Opens the storage below the data directory: its blocks answer, the rest is for [`replay`].
pub(crate) async fn begin(
    config: &Config,
    data_dir: &DataDir,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> anyhow::Result<(Arc<Db>, Replay)> {
    let path = data_dir.join("tsdb");
    std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    let (settings, clock, registry) = (config.storage.clone(), clock.clone(), registry.clone());
    let (db, replay) = tokio::task::spawn_blocking(move || {
        let dir = FsDir::open(&path).with_context(|| format!("open {}", path.display()))?;
        Db::begin(Arc::new(dir), settings, clock, &registry)
            .with_context(|| format!("open the storage in {}", path.display()))
    })
    .await
    .context("open the storage")??;
    Ok((Arc::new(db), replay))
}

/// Where running queries are noted; those that ran when the last process ended are told.
pub(crate) fn active_queries(
    data_dir: &DataDir,
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Arc<ActiveQueries> {
    let path = data_dir.join("queries.active");
    let count_max = config.query.concurrency_max + GROUP_QUERIES + config.alerting.rules_at_once;
    match ActiveQueries::open(&path, count_max, clock.clone()) {
        Ok((queries, left)) => {
            for query in left {
                let (began_at_ms, origin) = (query.began_at.0, query.origin);
                warn!(
                    began_at_ms,
                    origin,
                    query = query.query,
                    "this query was running when the server ended last, and did not end itself"
                );
            }
            queries
        }
        Err(error) => {
            let file = path.display();
            warn!(%file, %error, "running queries are not noted: what runs when this process is killed is not told at the next start");
            ActiveQueries::in_memory(clock.clone())
        }
    }
}

/// Reads back what was in memory.
pub(crate) async fn replay(db: &Db, replay: Replay) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(|| replay.run())
        .await
        .context("read the log of the storage")?
        .context("read the log of the storage")?;
    for damage in &db.damage() {
        warn!(
            file = damage.file,
            offset = damage.offset,
            what = damage.what,
            "stored data is damaged and set aside"
        );
    }
    Ok(())
}

/// Keeps the storage in shape until shutdown.
pub(crate) fn maintain(db: &Arc<Db>, clock: &Arc<dyn Clock>, tasks: &Tasks) {
    let (db, clock, shutdown) = (db.clone(), clock.clone(), tasks.stop_token());
    tasks.spawn("storage maintenance", async move {
        let mut beat = tokio::time::interval(MAINTENANCE_INTERVAL);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut settling = tokio::time::interval(SETTLE_INTERVAL);
        settling.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = beat.tick() => {}
                _ = settling.tick() => {
                    settle(&db).await;
                    continue;
                }
            }
            let (db, now) = (db.clone(), clock.now());
            match tokio::task::spawn_blocking(move || db.maintain(now)).await {
                Ok(Ok(report)) if report == swell_engine::MaintainReport::default() => {}
                Ok(Ok(report)) => info!(?report, "storage maintained"),
                Ok(Err(failure)) => error!(error = chain(&failure), "storage maintenance failed"),
                Err(failure) => error!(%failure, "storage maintenance failed inside"),
            }
        }
    });
}

/// Packs what may be packed, and writes down what is in memory, if that is due.
async fn settle(db: &Arc<Db>) {
    let db = db.clone();
    match tokio::task::spawn_blocking(move || db.settle()).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => error!(error = chain(&failure), "writing a checkpoint failed"),
        Err(failure) => error!(%failure, "writing a checkpoint failed inside"),
    }
}

/// Probes the storage until shutdown, so that `/-/healthy` tells the truth.
pub(crate) fn watch(api: &Arc<Api>, tasks: &Tasks) {
    let (api, shutdown) = (api.clone(), tasks.stop_token());
    tasks.spawn("the watch over the storage", async move {
        let mut beat = tokio::time::interval(PROBE_INTERVAL);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(beat.tick()).await.is_some() {
            api.probe();
        }
    });
}

/// Closes the storage once nobody else holds it; what is logged is safe in any case.
pub(crate) async fn close(db: Arc<Db>) {
    let closed = tokio::task::spawn_blocking(move || match Arc::try_unwrap(db) {
        Ok(db) => db.close(),
        Err(shared) => shared.finish(),
    });
    match closed.await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => error!(error = chain(&failure), "closing the storage failed"),
        Err(failure) => error!(%failure, "closing the storage failed inside"),
    }
}
