//! Whether the server lives and whether it is ready for work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::service::Api;

/// Anything but these two, zero at first, is starting.
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// Set by the composition root: ready once ingest, query and the Kubernetes-style API answer.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Everything answers.
    pub fn ready(&self) {
        self.0.store(READY, Ordering::SeqCst);
    }

    /// The server is going down.
    pub fn stopping(&self) {
        self.0.store(STOPPING, Ordering::SeqCst);
    }

    /// Whether everything answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::SeqCst) == READY
    }
}

/// 200 as long as the process can answer at all. Clients may compare the text: it is Prometheus' own.
pub(crate) async fn healthy() -> &'static str {
    "Prometheus Server is Healthy.\n"
}

/// 200 when ready, else 503 with a header that tells starting from stopping.
pub(crate) async fn ready(State(api): State<Arc<Api>>) -> Response {
    if api.readiness.is_ready() {
        return "Prometheus Server is Ready.\n".into_response();
    }
    refusal(&api.readiness)
}

/// The answer while the server is not ready, in Prometheus' form.
pub(crate) fn refusal(readiness: &Readiness) -> Response {
    let stopping = readiness.0.load(Ordering::SeqCst) == STOPPING;
    let header = (
        HeaderName::from_static("x-prometheus-stopping"),
        HeaderValue::from_static(if stopping { "true" } else { "false" }),
    );
    (StatusCode::SERVICE_UNAVAILABLE, [header], "Service Unavailable").into_response()
}
