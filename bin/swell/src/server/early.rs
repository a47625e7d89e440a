//! What the HTTP port answers while the server starts: queries over what is in blocks, and to all else that it is not ready.

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use swell_engine::Db;
use swell_env::Clock;
use swell_model::SampleSink;
use swell_telemetry::Registry;
use swell_tsdb_http::{
    ActiveQueries, Api, ApiConfig, ApiDeps, ConfigState, Lifecycle, Notices, Readiness,
    RemoteWrite, RemoteWriteConfig, TargetReport, TargetStatusSource, UnsupportedDiscovery,
};

/// Nothing is scraped yet.
struct NoTargets;

impl TargetStatusSource for NoTargets {
    fn targets(&self) -> Vec<TargetReport> {
        Vec::new()
    }

    fn unsupported(&self) -> Vec<UnsupportedDiscovery> {
        Vec::new()
    }
}

/// What of the server is there already.
pub(super) struct EarlyDeps<'s> {
    pub(super) db: &'s Arc<Db>,
    pub(super) clock: &'s Arc<dyn Clock>,
    pub(super) readiness: &'s Readiness,
    pub(super) in_force: &'s ConfigState,
    pub(super) notices: &'s Notices,
    pub(super) lifecycle: &'s Lifecycle,
    pub(super) active: &'s Arc<ActiveQueries>,
}

/// The routes. Their metrics are counted on a registry of their own, since the same ones come again.
pub(super) fn router(
    config: ApiConfig,
    write: RemoteWriteConfig,
    deps: &EarlyDeps<'_>,
) -> anyhow::Result<Router> {
    let registry = Registry::new();
    let api = Api::new(
        config,
        ApiDeps {
            db: deps.db.clone(),
            source: deps.db.clone(),
            own: deps.db.clone(),
            targets: Arc::new(NoTargets),
            clock: deps.clock.clone(),
            readiness: deps.readiness.clone(),
            registry: registry.clone(),
            in_force: deps.in_force.clone(),
            notices: deps.notices.clone(),
            lifecycle: deps.lifecycle.clone(),
            active: deps.active.clone(),
        },
    )
    .context("register the API's metrics")?;
    let sink: Arc<dyn SampleSink> = deps.db.clone();
    let receiver =
        RemoteWrite::new(write, sink, deps.clock.clone(), deps.readiness.clone(), &registry)
            .context("register the metrics of remote write")?;
    let readiness = deps.readiness.clone();
    Ok(Router::new()
        .merge(swell_tsdb_http::router(api))
        .merge(swell_tsdb_http::write_router(receiver))
        .fallback(async move || swell_tsdb_http::not_ready(&readiness)))
}
