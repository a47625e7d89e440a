//! `/status/…`, `/version` and `/metrics`: what the server tells about itself.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use swell_model::TimestampMs;
use swell_telemetry::{BUILD, PROMETHEUS_VERSION};
use swell_wire::ExpositionFormat;

use crate::answer::{response, success};
use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;

/// Entries of a list in `status/tsdb` unless asked otherwise.
const TSDB_ENTRIES_DEFAULT: usize = 10;
/// Entries of a list in `status/tsdb` at most.
const TSDB_ENTRIES_MAX: usize = 10_000;

/// Version, as Prometheus' clients expect it, and our own beside it.
pub(crate) async fn build_info() -> Response {
    success(&build())
}

/// The same without an envelope.
pub(crate) async fn version() -> Response {
    response(build().to_string())
}

fn build() -> Value {
    json!({
        "version": PROMETHEUS_VERSION,
        "revision": BUILD.revision,
        "branch": "",
        "buildUser": "",
        "buildDate": BUILD.date,
        "goVersion": "",
        "application": "swell",
        "swellVersion": BUILD.version,
    })
}

/// The configuration in force.
pub(crate) async fn config(State(api): State<Arc<Api>>) -> Response {
    success(&json!({"yaml": api.in_force.current().config_yaml}))
}

/// Flags by name.
pub(crate) async fn flags(State(api): State<Arc<Api>>) -> Response {
    success(&api.config.flags)
}

/// When and where the server runs.
pub(crate) async fn runtime_info(State(api): State<Arc<Api>>) -> Response {
    let status = api.db.status();
    let (loaded_at, last_succeeded) = api.in_force.last_load();
    success(&json!({
        "startTime": rfc3339(api.started_at),
        "hostname": api.config.hostname,
        "serverTime": rfc3339(api.clock.now()),
        "reloadConfigSuccess": last_succeeded,
        "lastConfigTime": rfc3339(loaded_at),
        "corruptionCount": status.damage.len(),
        "goroutineCount": 0,
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "storageRetention": api.in_force.current().retention,
    }))
}

/// Size and cardinality of the storage.
pub(crate) async fn tsdb(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let limit = match params.get("limit") {
        None => TSDB_ENTRIES_DEFAULT,
        Some(text) => {
            text.parse().ok().filter(|limit| (1..=TSDB_ENTRIES_MAX).contains(limit)).ok_or_else(
                || {
                    let told = format!("{text:?} is not a number from 1 to {TSDB_ENTRIES_MAX}");
                    ApiError::bad_param("limit", told)
                },
            )?
        }
    };
    let db = api.db.clone();
    let (status, cardinality) = api
        .run(params.client(), api.config.timeout, Arc::default(), move || {
            Ok((db.status(), db.cardinality(limit)))
        })
        .await?;
    let list = |entries: &[(String, usize)]| -> Vec<Value> {
        entries
            .iter()
            .take(limit)
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect()
    };
    let head = &status.head;
    Ok(success(&json!({
        "headStats": {
            "numSeries": head.series_count,
            "numLabelPairs": head.label_pair_count,
            "chunkCount": head.chunk_count,
            "minTime": head.range.map_or(0, |range| range.start_incl.0),
            "maxTime": head.range.map_or(0, |range| range.end_incl.0),
        },
        "seriesCountByMetricName": list(&cardinality.series_by_metric),
        "labelValueCountByLabelName": list(&cardinality.values_by_label),
        "memoryInBytesByLabelName": list(&cardinality.value_bytes_by_label),
        "seriesCountByLabelValuePair": list(&cardinality.series_by_pair),
        "swell": {
            "samplesAppended": status.samples_appended,
            "bytesPerSample": status.bytes_per_sample,
            "headSamples": head.sample_count,
            "headBytes": head.bytes,
            "blocks": status.blocks.block_count,
            "blockBytes": status.blocks.bytes,
            "readOnly": status.read_only,
        },
    })))
}

/// Progress of reading the log at start: it is done before this port opens.
pub(crate) async fn wal_replay(State(api): State<Arc<Api>>) -> Response {
    let segments = api.db.status().wal.segment_count.saturating_sub(1);
    success(&json!({"min": 0, "max": segments, "current": segments}))
}

/// Our own metrics, in the format that the reader likes best.
pub(crate) async fn metrics(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    const OFFERED: [ExpositionFormat; 3] =
        [ExpositionFormat::Text, ExpositionFormat::OpenMetrics, ExpositionFormat::Protobuf];
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = ExpositionFormat::best(accept.unwrap_or_default(), &OFFERED);
    let families = swell_telemetry::gather(&api.registry);
    match swell_telemetry::encode_metrics(&families, format) {
        Ok(body) => ([(header::CONTENT_TYPE, format.content_type())], body).into_response(),
        Err(error) => ApiError::internal(format!("render the metrics: {error}")).into_response(),
    }
}

fn rfc3339(at: TimestampMs) -> String {
    Timestamp::from_millisecond(at.0).map_or_else(|_| String::new(), |time| time.to_string())
}
