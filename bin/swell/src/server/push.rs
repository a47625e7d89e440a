//! Ways in for senders that push.

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use swell_env::{Clock, Dir, FsDir};
use swell_model::SampleSink;
use swell_push::{
    InfluxReceiver, OtlpConfig, OtlpReceiver, PushMetrics, PushedGroups, influx_router,
    otlp_router, pushed_groups_router,
};
use swell_telemetry::Registry;

use super::{ServerConfig, settings};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::shutdown::Tasks;

/// What the receivers stand on.
pub(super) struct WaysDeps<'s> {
    pub(super) data_dir: &'s DataDir,
    pub(super) sink: Arc<dyn SampleSink>,
    pub(super) clock: &'s Arc<dyn Clock>,
    pub(super) registry: &'s Registry,
}

/// The receivers.
pub(super) struct Ways {
    otlp: Arc<OtlpReceiver>,
    influx: Arc<InfluxReceiver>,
    groups: Arc<PushedGroups>,
}

impl Ways {
    /// Receivers that store into `sink`.
    pub(super) fn start(
        server: &ServerConfig,
        asks_who: bool,
        deps: &WaysDeps<'_>,
        tasks: &Tasks,
    ) -> anyhow::Result<Self> {
        let (sink, clock, config) = (&deps.sink, deps.clock, &server.config);
        let metrics =
            PushMetrics::register(deps.registry).context("register the metrics of pushes")?;
        let otlp = OtlpReceiver::new(
            OtlpConfig {
                is_enabled: settings::is_open(server, config.otlp.enabled, asks_who),
                deltas: config.deltas,
            },
            config.otlp.translation.clone(),
            sink.clone(),
            clock.clone(),
            metrics.clone(),
        );
        let influx =
            InfluxReceiver::new(config.influx, sink.clone(), clock.clone(), metrics.clone());
        let kept: Option<Arc<dyn Dir>> = if config.pushgateway.enabled {
            let folder = deps.data_dir.join("pushed");
            let dir = FsDir::open(&folder).with_context(|| format!("open {}", folder.display()))?;
            Some(Arc::new(dir))
        } else {
            None
        };
        let type_labels = config.features.type_and_unit_labels;
        let groups = PushedGroups::open(kept, sink.clone(), clock.clone(), metrics, type_labels)
            .context("read what was pushed")?;
        if config.pushgateway.enabled {
            let sampling = groups.clone().sample(config.pushgateway.interval, tasks.stop_token());
            tasks.spawn("who samples what was pushed", sampling);
        }
        Ok(Self { otlp, influx, groups })
    }

    /// Their routes.
    pub(super) fn router(&self) -> Router {
        Router::new()
            .merge(otlp_router(self.otlp.clone()))
            .merge(influx_router(self.influx.clone()))
            .merge(pushed_groups_router(self.groups.clone()))
    }

    /// Takes over what of a configuration needs no restart.
    pub(super) fn reload(&self, config: &Config) {
        self.otlp.replace_settings(config.otlp.translation.clone());
    }
}
