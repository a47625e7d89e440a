//! Who is read from by remote read, composed with what is here.

use std::sync::Arc;

use anyhow::Context;
use swell_engine::Db;
use swell_env::Clock;
use swell_model::SeriesSource;
use swell_remote_read::RemoteReaders;
use swell_telemetry::Registry;
use swell_tsdb_http::ConfigState;
use tokio::runtime::Handle;

use crate::adapters::RemoteSource;
use crate::config::Config;

/// Who reads of a source, and so hears of servers that do not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Those who are warned: people and their dashboards.
    People,
    /// Rules, which go on with what there is, as in Prometheus.
    Rules,
}

/// Those who are read from, as the configuration says.
pub(super) fn start(
    config: &Config,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> anyhow::Result<Arc<RemoteReaders>> {
    // A failure is told to whoever reads while it may still be part of an answer.
    let told = config.query.timeout.to_std();
    let readers = RemoteReaders::new(Handle::current(), clock.clone(), told, registry)
        .context("register the metrics of remote read")?;
    let prepared = RemoteReaders::prepare(config.remote_reads.clone());
    readers.replace(prepared.context("set up remote_read")?);
    Ok(Arc::new(readers))
}

/// What is here, and behind it what others have.
pub(super) fn source(
    here: Arc<dyn SeriesSource>,
    db: &Arc<Db>,
    readers: &Arc<RemoteReaders>,
    in_force: &ConfigState,
    config: &Config,
    reader: Reader,
) -> Arc<dyn SeriesSource> {
    Arc::new(RemoteSource {
        here,
        db: db.clone(),
        readers: readers.clone(),
        in_force: in_force.clone(),
        samples_max: config.query.samples_max,
        tells_failures: reader == Reader::People,
        cancelled: None,
    })
}
