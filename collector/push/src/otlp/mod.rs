//! The receiver of OTLP metrics.
//!
//! Over HTTP the answers are Prometheus' own: 200 without a body, 400 for whatever the sender must change. One differs:
//! while the storage takes nothing it is 503, since the standard lets a sender come again for that and not for 500. Over
//! gRPC, where Prometheus has nothing, they are the standard's: what is refused stands in `partial_success`.

mod grpc;
mod http;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use parking_lot::Mutex;
use swell_env::{Clock, Throttle};
use swell_http::{Intake, IntakeConfig};
use swell_model::{Labels, SampleSink};
use swell_otlp::{Accumulator, Deltas, Encoding, ReadError, Settings, read, translate};
use tracing::warn;

use crate::failure::Failure;
use crate::metrics::{PushMetrics, Way};
use crate::store::{Store, Stored};
use crate::unpack::{self, BODY_BYTES_MAX};

/// Bytes of bodies that may wait or be worked on.
const IN_FLIGHT_BYTES_MAX: usize = 128 << 20;
/// Requests that are worked on at once: a request may become some hundred MiB for a moment.
const SLOTS: usize = 2;
/// Refusals and failures are logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Where OTLP's call comes over gRPC.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// What the receiver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// Whether it takes anything; if not, it answers 404 and says how to switch it on.
    pub is_enabled: bool,
    /// What becomes of points of delta temporality.
    pub deltas: Deltas,
}

/// State of the receiver.
pub struct OtlpReceiver {
    config: OtlpConfig,
    settings: ArcSwap<Settings>,
    store: Store,
    clock: Arc<dyn Clock>,
    intake: Intake,
    /// Sums of points of delta temporality. The lock is held while such a request is stored: what is not stored is taken
    /// back before the next one is summed up.
    sums: Mutex<Accumulator>,
    metrics: PushMetrics,
    log: Throttle,
}

impl std::fmt::Debug for OtlpReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpReceiver").field("config", &self.config).finish_non_exhaustive()
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let code = match error {
            ReadError::Malformed(_) => StatusCode::BAD_REQUEST,
            ReadError::TooMany => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Self { code, text: error.to_string() }
    }
}

/// A body as it came.
#[derive(Clone, Copy, Debug)]
struct Content {
    encoding: Encoding,
    is_gzip: bool,
}

impl OtlpReceiver {
    /// A receiver that stores into `sink`.
    #[must_use]
    pub fn new(
        config: OtlpConfig,
        settings: Settings,
        sink: Arc<dyn SampleSink>,
        clock: Arc<dyn Clock>,
        metrics: PushMetrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            settings: ArcSwap::from_pointee(settings),
            store: Store::new(sink),
            clock,
            intake: Intake::new(IntakeConfig {
                body_bytes_max: BODY_BYTES_MAX,
                in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
                slots: SLOTS,
            }),
            sums: Mutex::default(),
            metrics,
            log: Throttle::new(LOG_INTERVAL),
        })
    }

    /// Translates by other settings from now on.
    pub fn replace_settings(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Unpacks, translates and stores; on a blocking thread.
    fn store(&self, bytes: &[u8], content: Content) -> Result<Stored, Failure> {
        let request = read(&unpack::content(bytes, content.is_gzip)?, content.encoding)?;
        let settings = self.settings.load_full();
        let translation = translate(&request, &settings, self.config.deltas);
        drop(request);
        let mut translation = translation.map_err(|error| Failure {
            code: StatusCode::PAYLOAD_TOO_LARGE,
            text: error.to_string(),
        })?;
        let mut stored = Stored { refused: translation.refused, ..Stored::default() };
        stored.add(self.store.store(&translation.cumulative)?);
        if translation.delta.sample_count() > 0 {
            let mut sums = self.sums.lock();
            let now = self.clock.now();
            let undo = sums.sum_up(&mut translation.delta, now, &mut stored.refused);
            match self.store.store(&translation.delta) {
                Ok(more) => {
                    let labels = |number: &u32| &translation.delta.series[*number as usize];
                    let lost: HashSet<&Labels> = more.refused_series.iter().map(labels).collect();
                    sums.undo_series(undo, &lost);
                    stored.add(more);
                }
                Err(error) => {
                    sums.undo(undo);
                    return Err(error.into());
                }
            }
        }
        Ok(stored)
    }

    /// Counts and logs what became of a request.
    fn note(&self, way: Way, outcome: &Result<Stored, Failure>) {
        let told = match outcome {
            Ok(stored) => {
                self.metrics.count(way, stored);
                (!stored.refused.is_empty()).then(|| told_refused(stored))
            }
            Err(failure) => {
                self.metrics.fail(way, failure.code.as_u16());
                Some(failure.text.clone())
            }
        };
        if let Some(reason) = told
            && let Some(unsaid_count) = self.log.pass(self.clock.monotonic())
        {
            warn!(unsaid_count, reason, "an OTLP request is not stored, or not all of it");
        }
    }
}

/// What of a request is not stored, for its sender.
fn told_refused(stored: &Stored) -> String {
    let (points, text) = (stored.refused.points(), stored.refused.text());
    format!("{points} points or samples refused, the others are stored: {text}")
}

/// The routes of the receiver.
pub fn otlp_router(receiver: Arc<OtlpReceiver>) -> Router {
    Router::new()
        .route("/api/v1/otlp/v1/metrics", post(http::export))
        .route(GRPC_PATH, post(grpc::export))
        .with_state(receiver)
}
