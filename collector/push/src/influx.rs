//! The receiver of InfluxDB's line protocol: `/write` as of version 1, `/api/v2/write` as of version 2, and `/ping`, by
//! which clients ask whether somebody is there. Answers are InfluxDB's: 204, or JSON that says what is wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use swell_env::{Clock, Throttle};
use swell_http::{Intake, IntakeConfig, plain_text};
use swell_influx::{Lines, Precision, read};
use swell_model::SampleSink;
use tracing::warn;

use crate::failure::Failure;
use crate::metrics::{PushMetrics, Way};
use crate::store::{Store, Stored};
use crate::unpack::{self, BODY_BYTES_MAX};

/// Bytes of bodies that may wait or be worked on.
const IN_FLIGHT_BYTES_MAX: usize = 128 << 20;
/// Requests that are worked on at once.
const SLOTS: usize = 2;
/// Refusals and failures are logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// The version that clients may rely on; they look at the first digit.
const VERSION: &str = "1.8.10-swell";

/// State of the receiver.
pub struct InfluxReceiver {
    is_enabled: bool,
    store: Store,
    clock: Arc<dyn Clock>,
    intake: Intake,
    metrics: PushMetrics,
    log: Throttle,
}

impl std::fmt::Debug for InfluxReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InfluxReceiver")
            .field("is_enabled", &self.is_enabled)
            .finish_non_exhaustive()
    }
}

impl InfluxReceiver {
    /// A receiver that stores into `sink`; one that is not enabled answers 404 and says how to switch it on.
    #[must_use]
    pub fn new(
        is_enabled: bool,
        sink: Arc<dyn SampleSink>,
        clock: Arc<dyn Clock>,
        metrics: PushMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            is_enabled,
            store: Store::new(sink),
            clock,
            intake: Intake::new(IntakeConfig {
                body_bytes_max: BODY_BYTES_MAX,
                in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
                slots: SLOTS,
            }),
            metrics,
            log: Throttle::new(LOG_INTERVAL),
        })
    }

    /// Unpacks, reads and stores; on a blocking thread.
    fn store(&self, bytes: &[u8], asked: &Asked) -> Result<Stored, Failure> {
        let bytes = unpack::content(bytes, asked.is_gzip)?;
        let lines = read(&bytes, asked.precision, &asked.database, self.clock.now())
            .map_err(|error| Failure::too_large(error.to_string()))?;
        let Lines { batch, faulty_lines, faults } = lines;
        let mut stored = self.store.store(&batch)?;
        if faulty_lines > 0 {
            stored.refused.add(faulty_lines, || faults.join("; "));
        }
        Ok(stored)
    }
}

/// What a request says of its body.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    precision: Precision,
    database: String,
    is_gzip: bool,
}

fn asked(uri: &Uri, headers: &HeaderMap) -> Result<Asked, Failure> {
    let is_gzip = unpack::is_gzip(headers)?;
    let mut asked = Asked { precision: Precision::default(), database: String::new(), is_gzip };
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match &*name {
            "precision" => {
                asked.precision = Precision::parse(&value).ok_or_else(|| {
                    Failure::bad(format!("precision {value:?} is none of ns, us, ms, s, m, h"))
                })?;
            }
            "db" => asked.database = value.into_owned(),
            _ => {}
        }
    }
    Ok(asked)
}

/// An error as clients of either version read it.
fn refused(code: StatusCode, text: &str) -> Response {
    let kind = match code {
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        StatusCode::INTERNAL_SERVER_ERROR => "internal error",
        StatusCode::NOT_FOUND => "not found",
        StatusCode::FORBIDDEN => "forbidden",
        _ => "invalid",
    };
    // Codes that come with headers of their own.
    let mut response = plain_text(code, "");
    let body = Json(json!({ "code": kind, "message": text, "error": text })).into_response();
    let (parts, body) = body.into_parts();
    response.headers_mut().extend(parts.headers);
    *response.body_mut() = body;
    response
}

async fn write(State(state): State<Arc<InfluxReceiver>>, request: Request) -> Response {
    if !state.is_enabled {
        let text = "the receiver of InfluxDB's line protocol is off: set swell.influx_receiver.enabled: true";
        return refused(StatusCode::NOT_FOUND, text);
    }
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(header::ORIGIN) {
        // A page in somebody's browser, and this changes state.
        return refused(StatusCode::FORBIDDEN, "samples are not taken from web pages");
    }
    let asked = match asked(&parts.uri, &parts.headers) {
        Ok(asked) => asked,
        Err(Failure { code, text }) => return refused(code, &text),
    };
    let receiver = state.clone();
    let outcome = async {
        let body = state.intake.take(body).await?;
        state.intake.work(body, move |bytes| receiver.store(bytes, &asked)).await?
    };
    let response = match outcome.await {
        Ok(stored) => {
            state.metrics.count(Way::Influx, &stored);
            if stored.refused.is_empty() {
                return StatusCode::NO_CONTENT.into_response();
            }
            let (count, text) = (stored.refused.points(), stored.refused.text());
            Failure::bad(format!("partial write: {text}: {count} dropped, the others are stored"))
        }
        Err(failure) => {
            state.metrics.fail(Way::Influx, failure.code.as_u16());
            failure
        }
    };
    if let Some(unsaid_count) = state.log.pass(state.clock.monotonic()) {
        let reason = &response.text;
        warn!(unsaid_count, reason, "lines for InfluxDB are not stored, or not all of them");
    }
    refused(response.code, &response.text)
}

async fn ping(State(state): State<Arc<InfluxReceiver>>) -> Response {
    if !state.is_enabled {
        return refused(StatusCode::NOT_FOUND, "set swell.influx_receiver.enabled: true");
    }
    ([("x-influxdb-version", VERSION)], StatusCode::NO_CONTENT).into_response()
}

/// The routes of the receiver.
pub fn influx_router(receiver: Arc<InfluxReceiver>) -> Router {
    Router::new()
        .route("/write", post(write))
        .route("/api/v2/write", post(write))
        .route("/ping", get(ping))
        .with_state(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_packing_are_told() {
        let ask = |uri: &str, encoding: &str| {
            let value = encoding.parse().expect("a header value");
            let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, value)]);
            asked(&uri.parse().expect("an address"), &headers)
        };
        let expected = Asked {
            precision: Precision::Seconds,
            database: "tele graf".to_owned(),
            is_gzip: true,
        };
        assert_eq!(ask("/write?db=tele+graf&precision=s&rp=x", "gzip").expect("good"), expected);
        assert!(ask("/write?precision=d", "").is_err_and(|it| it.text.contains("none of ns")));
        assert!(ask("/write", "snappy").is_err_and(|it| it.text.contains("\"snappy\"")));
    }
}
