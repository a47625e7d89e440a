//! One Alertmanager: its queue, and the task that sends what is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use parking_lot::Mutex;
use swell_env::Clock;
use swell_http_client::{HttpClient, HttpRequest};
use swell_model::DurationMs;
use swell_route::Alert;
use tokio::sync::Notify;
use url::Url;

use super::metrics::PeerMetrics;
use super::outbox::{InFlight, Outbox};
use super::plan::{self, Verdict};
use super::{AlertRelabel, ForwardLimits, shown};
use crate::backoff::Backoff;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Characters of a refusal that are told.
const TOLD_CHARS: usize = 1000;

/// How an Alertmanager is asked; a reload replaces it.
#[derive(Clone)]
pub(super) struct PeerSettings {
    pub(super) client: Arc<HttpClient>,
    pub(super) timeout: DurationMs,
    pub(super) relabel: AlertRelabel,
}

pub(super) struct Peer {
    url: Url,
    name: String,
    settings: Mutex<PeerSettings>,
    limits: ForwardLimits,
    clock: Arc<dyn Clock>,
    metrics: PeerMetrics,
    seed: u64,
    outbox: Mutex<Outbox>,
    /// Rung when alerts come and when the end comes.
    bell: Notify,
    is_draining: AtomicBool,
}

/// What came of an attempt.
enum Outcome {
    Taken,
    Refused(String),
    Failed { why: String, wait_min: Option<DurationMs> },
}

impl Peer {
    pub(super) fn new(
        url: Url,
        settings: PeerSettings,
        limits: ForwardLimits,
        clock: Arc<dyn Clock>,
        metrics: PeerMetrics,
        seed: u64,
    ) -> Self {
        Self {
            name: shown(&url),
            url,
            settings: Mutex::new(settings),
            outbox: Mutex::new(Outbox::new(limits.queue_len_max)),
            limits,
            clock,
            metrics,
            seed,
            bell: Notify::new(),
            is_draining: AtomicBool::new(false),
        }
    }

    /// The address as it may be shown.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// From the next request on it is asked this way.
    pub(super) fn set(&self, settings: PeerSettings) {
        *self.settings.lock() = settings;
    }

    /// Puts alerts into the queue.
    pub(super) fn take(&self, alerts: &[Alert]) {
        let relabel = Arc::clone(&self.settings.lock().relabel);
        let alerts = plan::relabelled(alerts, &*relabel);
        if alerts.is_empty() {
            return;
        }
        let shed = self.change(|outbox| outbox.take(alerts));
        if shed > 0 {
            tracing::warn!(
                alertmanager = self.name,
                count = shed,
                "the oldest alerts for an Alertmanager are dropped: too many wait"
            );
        }
        self.bell.notify_one();
    }

    /// Changes the queue by something that says how many alerts went unsent, and counts them.
    fn change(&self, work: impl FnOnce(&mut Outbox) -> usize) -> usize {
        let mut outbox = self.outbox.lock();
        let dropped = work(&mut outbox);
        self.metrics.queue_length.set(i64::try_from(outbox.len()).unwrap_or(i64::MAX));
        self.metrics.dropped.inc_by(dropped as u64);
        dropped
    }

    /// Sends what waits, and ends: each batch is tried once more.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    /// Drops what waits; the task has ended or is being ended.
    pub(super) fn give_up(&self) {
        self.change(Outbox::clear);
    }

    /// The Alertmanager is no more: what was counted of it goes.
    pub(super) fn forget(&self) {
        self.metrics.forget();
    }

    /// Sends batches as long as there are any, and waits for more.
    pub(super) async fn run(self: Arc<Self>) {
        let mut backoff = Backoff::new(self.seed);
        let mut failing = false;
        loop {
            let mut batch = InFlight::default();
            self.change(|outbox| {
                let (next, stale) = outbox.next_batch(self.limits.batch_len_max, self.clock.now());
                batch = next;
                stale
            });
            if batch.len() == 0 {
                if self.is_draining.load(Ordering::Acquire) {
                    return;
                }
                self.bell.notified().await;
                continue;
            }
            match self.attempt(&batch).await {
                Outcome::Taken => {
                    if failing {
                        tracing::info!(
                            alertmanager = self.name,
                            "an Alertmanager takes alerts again"
                        );
                    }
                    failing = false;
                    backoff = Backoff::new(self.seed);
                }
                Outcome::Refused(why) => {
                    self.metrics.dropped.inc_by(batch.len() as u64);
                    tracing::error!(
                        alertmanager = self.name,
                        count = batch.len(),
                        why,
                        "an Alertmanager refuses alerts for good: they are dropped"
                    );
                }
                Outcome::Failed { why, wait_min } => {
                    if !failing {
                        tracing::warn!(
                            alertmanager = self.name,
                            count = batch.len(),
                            why,
                            "alerts could not be sent: they are sent again"
                        );
                    }
                    failing = true;
                    if self.is_draining.load(Ordering::Acquire) {
                        self.metrics.dropped.inc_by(batch.len() as u64);
                        continue;
                    }
                    self.change(|outbox| outbox.give_back(batch));
                    let wait_min = wait_min.map_or(Duration::ZERO, DurationMs::to_std);
                    self.pause(backoff.next_wait().max(wait_min)).await;
                }
            }
        }
    }

    /// Waits, but for the end no longer: what waits is tried once more then.
    async fn pause(&self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                // New alerts ring as well, and do not shorten the wait.
                () = self.bell.notified() => {
                    if self.is_draining.load(Ordering::Acquire) {
                        return;
                    }
                }
            }
        }
    }

    async fn attempt(&self, batch: &InFlight) -> Outcome {
        let settings = self.settings.lock().clone();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = HttpRequest {
            method: http::Method::POST,
            url: self.url.clone(),
            headers,
            body: Bytes::from(plan::body(batch.alerts())),
        };
        let began = self.clock.monotonic();
        let timeout = settings.timeout;
        let asked = tokio::time::timeout(timeout.to_std(), post(&settings.client, &request)).await;
        let outcome = asked.unwrap_or_else(|_| Outcome::Failed {
            why: format!("no answer within {timeout}"),
            wait_min: None,
        });
        self.metrics.latency.observe(self.clock.monotonic().since(began).as_secs_f64());
        self.metrics.sent.inc_by(batch.len() as u64);
        if !matches!(outcome, Outcome::Taken) {
            self.metrics.errors.inc_by(batch.len() as u64);
        }
        outcome
    }
}

async fn post(client: &HttpClient, request: &HttpRequest) -> Outcome {
    let response = match client.send(request).await {
        Ok(response) => response,
        Err(error) => {
            return Outcome::Failed { why: swell_telemetry::chain(&error), wait_min: None };
        }
    };
    let status = response.status();
    let verdict = plan::verdict(status.as_u16());
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait_min = plan::retry_after(header);
    // Read to the end also where nothing is told, so that the connection can be used again.
    let body = swell_http_client::read_body(response, ANSWER_BYTES_MAX).await;
    let why = || {
        let text = body.map(|body| {
            String::from_utf8_lossy(&body).trim().chars().take(TOLD_CHARS).collect::<String>()
        });
        format!("{status}: {}", text.unwrap_or_else(|error| swell_telemetry::chain(&error)))
    };
    match verdict {
        Verdict::Taken => Outcome::Taken,
        Verdict::Refused => Outcome::Refused(why()),
        Verdict::Later => Outcome::Failed { why: why(), wait_min },
    }
}
