//! The Prometheus-compatible HTTP API over the engine and PromQL.
//!
//! A handler extracts a typed request, calls the engine on a bounded pool and writes the answer; it decides
//! nothing. What belongs to other directories (targets, rules) comes through small traits defined here
//! or as routers of their own.

mod active;
mod admin;
mod answer;
#[cfg(feature = "archive")]
mod arrow;
mod blocks;
mod damage;
mod descriptions;
mod edge;
mod encode;
mod error;
mod exemplars;
mod explain;
mod features;
mod federate;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod in_force;
mod labels;
mod lifecycle;
mod metrics;
mod notices;
mod operations;
mod pages;
mod params;
mod query;
mod remote_read;
mod search;
mod self_metrics;
mod service;
mod status;
mod targets;
#[cfg(feature = "testing")]
pub mod testing;
mod threads;
mod tree;
mod turns;
mod write;

pub use active::{ActiveQueries, ActiveQuery, LeftBehind, Origin};
pub use edge::Origins;
pub use health::{PROBE_INTERVAL, Readiness, refusal as not_ready};
pub use in_force::{ConfigState, InForce};
pub use lifecycle::{Lifecycle, LifecycleCommand, ReloadRefusal};
pub use notices::Notices;
pub use operations::operations;
pub use pages::{PageQueries, PageRefusal};
pub use service::{Api, ApiConfig, ApiDeps};
pub use targets::{
    DescribedTarget, RelabelStep, TargetHealth, TargetReport, TargetStatusSource,
    UnsupportedDiscovery,
};
pub use write::{Message, RemoteWrite, RemoteWriteConfig, write_router};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use std::sync::Arc;

/// All routes of the API, of health and of our own metrics.
pub fn router(api: Arc<Api>) -> Router {
    let prometheus = Router::new()
        .route("/api/v1/query", get(query::instant).post(query::instant))
        .route("/api/v1/query_range", get(query::range).post(query::range))
        .route("/api/v1/format_query", get(query::format).post(query::format))
        .route("/api/v1/parse_query", get(query::parse_query).post(query::parse_query))
        .route("/api/v1/query_exemplars", get(query::query_exemplars).post(query::query_exemplars))
        .route("/api/v1/series", get(labels::series).post(labels::series))
        .route("/api/v1/labels", get(labels::names).post(labels::names))
        .route("/api/v1/label/{name}/values", get(labels::values))
        .route("/api/v1/metadata", get(descriptions::metadata))
        .route("/api/v1/search/metric_names", get(search::metric_names).post(search::metric_names))
        .route("/api/v1/search/label_names", get(search::label_names).post(search::label_names))
        .route("/api/v1/search/label_values", get(search::label_values).post(search::label_values))
        .route("/api/v1/targets", get(targets::targets))
        .route("/api/v1/targets/metadata", get(descriptions::target_metadata))
        .route("/api/v1/targets/relabel_steps", get(targets::relabel_steps))
        .route("/api/v1/features", get(features::features))
        .route("/api/v1/scrape_pools", get(targets::scrape_pools))
        .route("/api/v1/scrape_pools/config", get(targets::scrape_pool_config))
        .route("/api/v1/status/buildinfo", get(status::build_info))
        .route("/api/v1/status/config", get(status::config))
        .route("/api/v1/status/flags", get(status::flags))
        .route("/api/v1/status/runtimeinfo", get(status::runtime_info))
        .route("/api/v1/status/self_metrics", get(self_metrics::self_metrics))
        .route("/api/v1/status/tsdb", get(status::tsdb))
        .route("/api/v1/status/tsdb/blocks", get(blocks::blocks))
        .route("/api/v1/status/walreplay", get(status::wal_replay))
        .route("/api/v1/notifications", get(notices::list))
        .route("/api/swell/v1/queries", get(active::list))
        .route("/api/swell/v1/explain", get(explain::explain).post(explain::explain))
        .route("/api/swell/v1/damage", get(damage::list))
        .route("/api/v1/{*path}", any(edge::unknown_path))
        .layer(from_fn_with_state(api.clone(), edge::when_ready))
        .layer(from_fn_with_state(api.clone(), edge::cross_origin));
    let federation = Router::new()
        .route("/federate", get(federate::federate))
        .layer(from_fn_with_state(api.clone(), edge::when_ready));
    // Not for pages of other origins: behind that layer.
    let admin = Router::new()
        .route(
            "/api/v1/admin/tsdb/delete_series",
            post(admin::delete_series).put(admin::delete_series),
        )
        .route(
            "/api/v1/admin/tsdb/clean_tombstones",
            post(admin::clean_tombstones).put(admin::clean_tombstones),
        )
        .route("/api/v1/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route("/api/swell/v1/tsdb/adopt", post(admin::adopt))
        .route("/api/swell/v1/damage/acknowledge", post(damage::acknowledge))
        .layer(from_fn_with_state(api.clone(), edge::when_ready));
    // Packed already, or a stream.
    let read = Router::new()
        .route("/api/v1/read", post(remote_read::read))
        .layer(from_fn_with_state(api.clone(), edge::when_ready));
    let router = prometheus
        .merge(admin)
        .merge(federation)
        .route("/metrics", get(status::metrics))
        .route("/version", get(status::version))
        .layer(edge::compression())
        .merge(read)
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/-/reload", post(lifecycle::reload).put(lifecycle::reload))
        .route("/-/quit", post(lifecycle::quit).put(lifecycle::quit))
        // A stream of small events: compressing would hold them back.
        .route("/api/v1/notifications/live", get(notices::live));
    // A stream of its own: compressing it would cost more than it saves on most networks.
    #[cfg(feature = "archive")]
    let router = router.merge(
        Router::new()
            .route("/api/swell/v1/arrow", get(arrow::stream).post(arrow::stream))
            .layer(from_fn_with_state(api.clone(), edge::when_ready)),
    );
    router.with_state(api)
}
