//! Sending what was decided: all integrations of a group at once, each with retries until the flush's deadline.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use swell_env::Clock;
use swell_model::{DurationMs, TimestampMs};
use swell_receivers::{Attempt, Notification, Outcome, Sender, Templates, deliver};
use swell_route::{Flush, Integration, LogEntry, NotifyReason};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::metrics::Metrics;
use crate::notification_log::{Delivery, DeliveryState, LogKey};

/// An attempt that takes longer is given up and made again.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// What sending works with.
#[derive(Clone)]
pub(crate) struct SendResources {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) templates: Templates,
    pub(crate) base_dir: PathBuf,
    pub(crate) metrics: Metrics,
    /// Ends retries at shutdown.
    pub(crate) shutdown: CancellationToken,
}

/// One integration that is to be told.
pub(crate) struct PlannedSend {
    pub(crate) key: LogKey,
    pub(crate) integration: Integration,
    pub(crate) notification: Notification,
    pub(crate) reason: NotifyReason,
    /// What the log will say once it is told.
    pub(crate) told: LogEntry,
    /// Entry goes at.
    pub(crate) expires_at: TimestampMs,
    pub(crate) seed: u64,
}

/// One integration after its flush.
pub(crate) struct SendResult {
    pub(crate) key: LogKey,
    pub(crate) told: LogEntry,
    pub(crate) expires_at: TimestampMs,
    pub(crate) delivery: Delivery,
}

/// A flush that ended.
pub(crate) struct FlushDone {
    pub(crate) flush: Flush,
    pub(crate) results: Vec<SendResult>,
}

/// Tells all integrations of a flush.
pub(crate) async fn run_flush(
    flush: Flush,
    sends: Vec<PlannedSend>,
    resources: SendResources,
) -> FlushDone {
    let deadline = Instant::now() + flush.deadline.to_std();
    let mut tasks = tokio::task::JoinSet::new();
    for send in sends {
        let resources = resources.clone();
        let flush = flush.clone();
        tasks.spawn(async move { run_send(&flush, send, deadline, &resources).await });
    }
    let mut results = tasks.join_all().await;
    results.sort_by(|a, b| a.key.cmp(&b.key));
    FlushDone { flush, results }
}

async fn run_send(
    flush: &Flush,
    send: PlannedSend,
    deadline: Instant,
    resources: &SendResources,
) -> SendResult {
    let (attempts, error) = attempt_until(&send, deadline, resources).await;
    let kind = send.integration.kind();
    let latency = resources.clock.now().since(flush.at);
    let state = if error.is_none() { DeliveryState::Delivered } else { DeliveryState::Failed };
    resources.metrics.notifications.with_label_values(&[kind, state.as_str()]).inc();
    if error.is_none() {
        resources
            .metrics
            .notification_latency
            .with_label_values(&[kind])
            .observe(latency.as_seconds().max(0.0));
    }
    let delivery = Delivery {
        at: flush.at,
        receiver: send.key.receiver.clone(),
        integration: kind,
        integration_idx: send.key.idx,
        group_key: flush.key.clone(),
        group_labels: flush.id.labels.clone(),
        reason: send.reason,
        firing: send.told.firing.len(),
        resolved: send.told.resolved.len(),
        state,
        attempts,
        latency: DurationMs(latency.0.max(0)),
        error,
    };
    SendResult { key: send.key, told: send.told, expires_at: send.expires_at, delivery }
}

/// Attempts until it is delivered, rejected or the deadline is near; gives the number of attempts and the last error.
async fn attempt_until(
    send: &PlannedSend,
    deadline: Instant,
    resources: &SendResources,
) -> (u32, Option<String>) {
    let mut backoff = Backoff::new(send.seed);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let kind = send.integration.kind();
        resources.metrics.notification_attempts.with_label_values(&[kind]).inc();
        let left = deadline.saturating_duration_since(Instant::now());
        let own = send.integration.timeout().map_or(ATTEMPT_TIMEOUT, DurationMs::to_std);
        let result = deliver(
            &resources.sender,
            &send.integration,
            &send.notification,
            &resources.templates,
            &resources.base_dir,
            resources.clock.now(),
            own.min(left),
        )
        .await;
        let attempt = match result {
            Ok(attempt) => attempt,
            Err(error) => return (attempts, Some(swell_telemetry::chain(&error))),
        };
        if attempts == 1 {
            tell_faults(send, &attempt, resources);
        }
        let (why, after) = match attempt.outcome {
            Outcome::Delivered => return (attempts, None),
            Outcome::Rejected { why } => return (attempts, Some(why)),
            Outcome::Retry { why, after } => (why, after),
        };
        tracing::debug!(receiver = %send.key.receiver, integration = kind, attempts, error = %why, "notification is tried again");
        let wait = backoff.next_wait().max(after.map_or(Duration::ZERO, DurationMs::to_std));
        if Instant::now() + wait >= deadline {
            return (attempts, Some(format!("given up after {attempts} attempts: {why}")));
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = resources.shutdown.cancelled() => {
                return (attempts, Some(format!("given up at shutdown after {attempts} attempts: {why}")));
            }
        }
    }
}

/// Templates that fail are the reader's to mend; the notification went out without them.
fn tell_faults(send: &PlannedSend, attempt: &Attempt, resources: &SendResources) {
    let kind = send.integration.kind();
    let Some(first) = attempt.faults.first() else { return };
    let count = attempt.faults.len();
    resources.metrics.template_failures.with_label_values(&[kind]).inc_by(count as u64);
    tracing::warn!(receiver = %send.key.receiver, integration = kind, count, %first,
        "templates of a notification failed; it is sent in plain words");
}
