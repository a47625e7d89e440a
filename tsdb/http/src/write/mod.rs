//! `POST /api/v1/write`: the receiver of remote write, versions 1.0 and 2.0.
//!
//! A body is read, unpacked and stored on the blocking pool, in one of a few slots. What waits to be stored is bounded
//! by a budget of bytes: beyond it senders are told to come again. Status codes and texts are Prometheus' own
//! (its `storage/remote/write_handler.go`), with one difference that the standard asks for: a 1.0 request whose series
//! break a rule is answered 400 although the others are stored.

mod catalog;
mod content;
mod gather;
mod labels;
mod metrics;
mod receive;
mod refusals;
mod rows;
mod source;
pub(crate) mod unpack;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use parking_lot::Mutex;
use swell_env::{Clock, Monotonic, Throttle};
use swell_http::{Intake, IntakeConfig, IntakeError, plain_text};
use swell_model::{AppendError, SampleSink};
use swell_telemetry::{Registry, chain};
pub use swell_wire::remote_write::Message;
use tracing::warn;

use crate::health::{Readiness, refusal};
use content::message_of;
use gather::GatherError;
use metrics::WriteMetrics;
use receive::{Receipt, ReceiveError, Receiver, Written};
use refusals::Why;
pub(crate) use unpack::unpack;
use unpack::{REQUEST_BYTES_MAX, UnpackError};

/// Bytes of bodies that may wait or be worked on; a request holds as much as of it has arrived.
const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;
/// Requests that are stored at once: appends take turns, so more would only hold memory.
const SLOTS: usize = 4;
/// Buffers for unpacking that are kept, and how large they may be.
const BUFFERS_KEPT_MAX: usize = SLOTS;
const BUFFER_KEPT_BYTES_MAX: usize = 4 << 20;
/// Series and descriptions that were not used for so long, and at most twice that, are forgotten.
const AGE_INTERVAL: Duration = Duration::from_secs(3600);
/// Refusals are logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What the receiver takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteWriteConfig {
    /// Whether it takes anything; if not, the endpoint answers 404 and says how to switch it on.
    pub is_enabled: bool,
    /// Messages it takes.
    pub accepted: Vec<Message>,
    /// Whether a sample with a start timestamp is preceded by a zero there (Prometheus' feature
    /// `created-timestamp-zero-ingestion`).
    pub zero_at_start: bool,
    /// Whether series of 2.0 are labelled with the type and the unit that come with them, as `__type__` and `__unit__`
    /// (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
}

impl RemoteWriteConfig {
    /// Takes both messages.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            is_enabled: true,
            accepted: Message::ALL.to_vec(),
            zero_at_start: false,
            type_and_unit_labels: false,
        }
    }
}

/// State of the receiver.
pub struct RemoteWrite {
    config: RemoteWriteConfig,
    receiver: Receiver,
    clock: Arc<dyn Clock>,
    readiness: Readiness,
    metrics: WriteMetrics,
    intake: Intake,
    buffers: Mutex<Vec<Vec<u8>>>,
    aged: Mutex<Monotonic>,
    /// Lines about requests that failed, and about parts that were refused.
    log: Throttle,
}

impl std::fmt::Debug for RemoteWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteWrite").field("config", &self.config).finish_non_exhaustive()
    }
}

impl RemoteWrite {
    /// A receiver that stores into `sink`.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(
        config: RemoteWriteConfig,
        sink: Arc<dyn SampleSink>,
        clock: Arc<dyn Clock>,
        readiness: Readiness,
        registry: &Registry,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let aged = Mutex::new(clock.monotonic());
        Ok(Arc::new(Self {
            receiver: Receiver::new(sink, config.zero_at_start, config.type_and_unit_labels),
            config,
            clock,
            readiness,
            metrics: WriteMetrics::register(registry)?,
            intake: Intake::new(IntakeConfig {
                body_bytes_max: REQUEST_BYTES_MAX,
                in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
                slots: SLOTS,
            }),
            buffers: Mutex::default(),
            aged,
            log: Throttle::new(LOG_INTERVAL),
        }))
    }

    /// Unpacks and stores; on a blocking thread.
    fn store(&self, packed: &[u8], message: Message) -> Result<Receipt, Failure> {
        self.age_when_due();
        let mut buffer = self.buffers.lock().pop().unwrap_or_default();
        let outcome = match unpack(packed, &mut buffer) {
            Ok(()) => self.receiver.receive(&buffer, message).map_err(Failure::from),
            Err(error) => Err(Failure::from(error)),
        };
        if buffer.capacity() <= BUFFER_KEPT_BYTES_MAX {
            let mut buffers = self.buffers.lock();
            if buffers.len() < BUFFERS_KEPT_MAX {
                buffers.push(buffer);
            }
        }
        outcome
    }

    fn age_when_due(&self) {
        let now = self.clock.monotonic();
        let mut aged = self.aged.lock();
        if now.since(*aged) >= AGE_INTERVAL {
            *aged = now;
            drop(aged);
            self.receiver.age();
        }
    }
}

/// The route of the receiver.
pub fn write_router(receiver: Arc<RemoteWrite>) -> Router {
    Router::new().route("/api/v1/write", post(write)).with_state(receiver)
}

/// Why a request is answered with an error, with everything refused.
#[derive(Debug)]
struct Failure {
    code: StatusCode,
    text: String,
    /// The counts are told: the message was read.
    was_read: bool,
}

impl Failure {
    fn new(code: StatusCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), was_read: false }
    }

    fn into_response(self, message: Message) -> Response {
        let mut response = plain_text(self.code, self.text);
        if self.was_read && message == Message::V2 {
            tell_written(response.headers_mut(), Written::default());
        }
        response
    }
}

impl From<IntakeError> for Failure {
    fn from(error: IntakeError) -> Self {
        let was_read = error == IntakeError::Fault;
        Self { was_read, ..Self::new(error.code(), error.to_string()) }
    }
}

impl From<UnpackError> for Failure {
    fn from(error: UnpackError) -> Self {
        let code = match error {
            UnpackError::Malformed(_) => StatusCode::BAD_REQUEST,
            UnpackError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Self {
        let text = chain(&error);
        match error {
            ReceiveError::Gather(GatherError::Malformed(_)) => {
                Self::new(StatusCode::BAD_REQUEST, text)
            }
            ReceiveError::Gather(GatherError::TooManyEntries) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, text)
            }
            ReceiveError::Storage(AppendError::Refused { .. }) => {
                Self { was_read: true, ..Self::new(StatusCode::BAD_REQUEST, text) }
            }
            ReceiveError::Storage(_) => {
                Self { was_read: true, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
            }
        }
    }
}

async fn write(State(state): State<Arc<RemoteWrite>>, request: Request) -> Response {
    if !state.config.is_enabled {
        let text = "the remote write receiver is off: start the server with \
                    --web.enable-remote-write-receiver, or set swell.remote_write_receiver.enabled\n";
        return plain_text(StatusCode::NOT_FOUND, text);
    }
    if !state.readiness.is_ready() {
        return refusal(&state.readiness);
    }
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(header::ORIGIN) {
        // A page in somebody's browser, and this changes state.
        return plain_text(StatusCode::FORBIDDEN, "samples are not taken from web pages");
    }
    let message = match message_of(&parts.headers, &state.config.accepted) {
        Ok(message) => message,
        Err(error) => return plain_text(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.to_string()),
    };
    match receive(&state, body, message).await {
        Ok(receipt) => answer(&state, &receipt, message),
        Err(failure) => {
            state.metrics.failed_total.with_label_values(&[failure.code.as_str()]).inc();
            if let Some(unsaid_count) = state.log.pass(state.clock.monotonic()) {
                let code = failure.code.as_u16();
                warn!(code, unsaid_count, reason = failure.text, "a remote write request failed");
            }
            failure.into_response(message)
        }
    }
}

async fn receive(
    state: &Arc<RemoteWrite>,
    body: Body,
    message: Message,
) -> Result<Receipt, Failure> {
    let body = state.intake.take(body).await?;
    let state = state.clone();
    let intake = state.intake.clone();
    intake.work(body, move |packed| state.store(packed, message)).await?
}

fn answer(state: &RemoteWrite, receipt: &Receipt, message: Message) -> Response {
    state.metrics.count(receipt, state.receiver.catalog.len());
    // 1.0 has no way to say that an exemplar was left out.
    let told = match message {
        Message::V1 => receipt.refusals.clone().without(Why::Exemplar),
        Message::V2 => receipt.refusals.clone(),
    };
    let mut response = if told.total() == 0 {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let rest = if receipt.is_rolled_back {
            "and with them the whole request"
        } else {
            "the others are stored"
        };
        let text = told.text(rest);
        if let Some(unsaid_count) = state.log.pass(state.clock.monotonic()) {
            let reason = text.trim_end();
            warn!(unsaid_count, reason, "parts of a remote write request are not stored");
        }
        plain_text(StatusCode::BAD_REQUEST, text)
    };
    if message == Message::V2 {
        tell_written(response.headers_mut(), receipt.written);
    }
    response
}

fn tell_written(headers: &mut HeaderMap, written: Written) {
    for (name, count) in [
        ("x-prometheus-remote-write-samples-written", written.samples),
        ("x-prometheus-remote-write-histograms-written", written.histograms),
        ("x-prometheus-remote-write-exemplars-written", written.exemplars),
    ] {
        headers.insert(name, HeaderValue::from(count));
    }
}
