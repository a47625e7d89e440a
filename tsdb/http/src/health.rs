//! Whether the server can do its work, and whether it is ready for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use parking_lot::Mutex;
use swell_env::Monotonic;

use crate::service::Api;

/// Anything but these, zero at first, is starting.
const READY: u8 = 1;
const STOPPING: u8 = 2;
/// Starting still, but what is stored in blocks can be read.
const READING: u8 = 3;
/// When a client should ask again that came while the server starts.
const RETRY_AFTER_SECONDS: &str = "1";

/// How often the storage is probed.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Reads or writes that have not come through for so long make the process unhealthy.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Set by the composition root: ready once ingest, query and the Kubernetes-style API answer.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// Everything answers.
    pub fn ready(&self) {
        self.0.store(READY, Ordering::SeqCst);
    }

    /// Queries are answered from blocks, while the rest of the server starts.
    pub fn reading(&self) {
        self.0.store(READING, Ordering::SeqCst);
    }

    /// Whether queries are answered.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.0.load(Ordering::SeqCst), READY | READING)
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

/// Whether reads and writes of the storage get through: for each the probe that is under way.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    reads: Arc<Probe>,
    writes: Arc<Probe>,
}

/// One kind of probe, one at a time.
#[derive(Debug, Default)]
struct Probe {
    began: Mutex<Option<Monotonic>>,
    /// Why the last one failed.
    failed: Mutex<Option<String>>,
}

impl Probe {
    /// Starts one, unless the last has not ended.
    fn begin(
        self: &Arc<Self>,
        now: Monotonic,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) {
        if self.began.lock().is_some() {
            return;
        }
        *self.began.lock() = Some(now);
        let probe = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let outcome = work();
            *probe.failed.lock() = outcome.err().map(|error| error.to_string());
            *probe.began.lock() = None;
        });
    }

    /// What is wrong, in words.
    fn fault(&self, part: &str, now: Monotonic) -> Option<String> {
        let waits = self.began.lock().map(|began| now.since(began));
        if let Some(waits) = waits.filter(|waits| *waits >= STUCK_AFTER) {
            return Some(format!("{part} have been stuck for {} s", waits.as_secs()));
        }
        self.failed.lock().as_ref().map(|reason| format!("{part} fail: {reason}"))
    }
}

impl Api {
    /// Looks whether reads and writes get through, on the pool; call it every [`PROBE_INTERVAL`].
    pub fn probe(&self) {
        let now = self.clock.monotonic();
        let (readable, writable) = (self.db.clone(), self.db.clone());
        self.watch.reads.begin(now, move || readable.probe_reads());
        self.watch.writes.begin(now, move || {
            writable.probe_writes();
            Ok(())
        });
    }

    /// What keeps this process from its work.
    fn faults(&self) -> Vec<String> {
        let now = self.clock.monotonic();
        let refused = self.db.refusal().and_then(|refusal| {
            let lasts = now.since(refusal.since);
            let counts = !refusal.is_passing || lasts >= STUCK_AFTER;
            let reason = refusal.reason;
            counts.then(|| format!("writes have been refused for {} s: {reason}", lasts.as_secs()))
        });
        let parts = [
            self.watch.reads.fault("reads of the storage", now),
            self.watch.writes.fault("writes of the storage", now),
            refused,
        ];
        parts.into_iter().flatten().collect()
    }
}

/// 200 when this process can do its work, else 503 with what is stuck. It waits for nothing itself. Clients may compare
/// the text: it is Prometheus' own.
pub(crate) async fn healthy(State(api): State<Arc<Api>>) -> Response {
    let faults = api.faults();
    if faults.is_empty() {
        return "Prometheus Server is Healthy.\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", faults.join("; "))).into_response()
}

/// 200 when ready, else 503 with a header that tells starting from stopping.
pub(crate) async fn ready(State(api): State<Arc<Api>>) -> Response {
    if api.readiness.is_ready() {
        return "Prometheus Server is Ready.\n".into_response();
    }
    refusal(&api.readiness)
}

/// The answer while the server is not ready, in Prometheus' form.
#[must_use]
pub fn refusal(readiness: &Readiness) -> Response {
    let stopping = readiness.0.load(Ordering::SeqCst) == STOPPING;
    let header = (
        HeaderName::from_static("x-prometheus-stopping"),
        HeaderValue::from_static(if stopping { "true" } else { "false" }),
    );
    let mut response =
        (StatusCode::SERVICE_UNAVAILABLE, [header], "Service Unavailable").into_response();
    if !stopping {
        let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}
