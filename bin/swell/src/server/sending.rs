//! Sending by remote write.

use std::sync::Arc;

use anyhow::Context;
use swell_engine::Db;
use swell_env::{Clock, FsDir};
use swell_model::TimestampMs;
use swell_remote_write::{RemoteSender, SendMetrics, SenderDeps};
use swell_telemetry::Registry;
use tokio::sync::watch;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::shutdown::Tasks;

/// What sending stands on.
pub(super) struct SendingDeps<'s> {
    pub(super) data_dir: &'s DataDir,
    pub(super) db: &'s Arc<Db>,
    pub(super) clock: &'s Arc<dyn Clock>,
    pub(super) registry: &'s Registry,
    /// Wakes when something is stored.
    pub(super) stored: watch::Receiver<TimestampMs>,
}

/// Starts the queues of the configuration.
pub(super) async fn start(
    config: &Config,
    deps: &SendingDeps<'_>,
    tasks: &Tasks,
) -> anyhow::Result<Arc<RemoteSender>> {
    let queues = RemoteSender::prepare(config.receivers.clone())?;
    let folder = deps.data_dir.join("remote-write");
    let dir = FsDir::open(&folder).with_context(|| format!("open {}", folder.display()))?;
    let metrics =
        SendMetrics::register(deps.registry).context("register the metrics of sending")?;
    let sender = RemoteSender::new(SenderDeps {
        db: deps.db.clone(),
        dir: Arc::new(dir),
        clock: deps.clock.clone(),
        stored: deps.stored.clone(),
        metrics,
    });
    sender.run_queues(queues).await?;
    let (running, stop) = (sender.clone(), tasks.stop_token());
    tasks.spawn("who sends by remote write", async move { running.run(stop).await });
    Ok(sender)
}
