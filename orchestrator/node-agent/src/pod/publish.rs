//! Sends the status to the API server: at once when nothing is under way, and only the latest one after that.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Value, json};
use swell_client::ClientError;
use swell_runtime::PodIdentity;

use crate::context::Context;

/// Pauses after a failure double from the first to the second.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What has been sent, and what is to be.
#[derive(Debug)]
pub(super) struct Publisher {
    /// What the server is known to have.
    accepted: PodStatus,
    wanted: Option<PodStatus>,
    in_flight: bool,
    failures: u32,
    /// A failure was a moment ago.
    paused: bool,
    /// The object is gone: there is nothing to tell any more.
    closed: bool,
}

impl Publisher {
    pub(super) fn new(accepted: PodStatus) -> Self {
        Self { accepted, wanted: None, in_flight: false, failures: 0, paused: false, closed: false }
    }

    /// The status as last accepted.
    pub(super) fn accepted(&self) -> &PodStatus {
        &self.accepted
    }

    /// Whether the server has what was wanted last.
    pub(super) fn is_settled(&self) -> bool {
        self.closed || (!self.in_flight && self.wanted.is_none())
    }

    /// Takes note of the status to be; an equal one is dropped.
    pub(super) fn want(&mut self, status: PodStatus) {
        self.wanted = (status != self.accepted || self.in_flight).then_some(status);
    }

    /// The status to send now, if any.
    pub(super) fn next(&mut self) -> Option<PodStatus> {
        if self.closed || self.in_flight || self.paused {
            return None;
        }
        let status = self.wanted.take().filter(|status| *status != self.accepted)?;
        self.in_flight = true;
        Some(status)
    }

    /// Notes how it went; the pause until it is tried again, if it failed.
    pub(super) fn sent(
        &mut self,
        status: PodStatus,
        outcome: Result<(), ClientError>,
    ) -> Option<Duration> {
        self.in_flight = false;
        match outcome {
            Ok(()) => {
                self.failures = 0;
                self.accepted = status;
                None
            }
            Err(ClientError::NotFound { .. }) => {
                self.closed = true;
                None
            }
            Err(error) => {
                tracing::warn!(error = %swell_telemetry::chain(&error), "a pod status was not accepted");
                self.wanted.get_or_insert(status);
                self.failures = self.failures.saturating_add(1);
                self.paused = true;
                let doubled = RETRY_MIN * 2_u32.saturating_pow(self.failures.min(16) - 1);
                Some(doubled.min(RETRY_MAX))
            }
        }
    }

    /// The pause after a failure is over.
    pub(super) fn retry(&mut self) {
        self.paused = false;
    }
}

/// Sends one status.
pub(super) async fn send(
    context: Arc<Context>,
    pod: PodIdentity,
    before: PodStatus,
    status: PodStatus,
) -> (PodStatus, Result<(), ClientError>) {
    let outcome = match patch(&pod, &before, &status) {
        Ok(patch) => context
            .client
            .patch_merge::<Pod>(Some(&pod.namespace), &pod.name, Some("status"), &patch)
            .await
            .map(drop),
        Err(source) => Err(ClientError::Encode { path: format!("status of pod {pod}"), source }),
    };
    let label = if outcome.is_ok() { "accepted" } else { "failed" };
    context.metrics.status_updates.with_label_values(&[label]).inc();
    (status, outcome)
}

/// A merge patch: the uid guards against a pod of the same name, and what is no longer there is taken away.
fn patch(
    pod: &PodIdentity,
    before: &PodStatus,
    status: &PodStatus,
) -> Result<Value, serde_json::Error> {
    let before = serde_json::to_value(before)?;
    let mut fields = serde_json::to_value(status)?;
    if let (Some(before), Some(fields)) = (before.as_object(), fields.as_object_mut()) {
        for name in before.keys() {
            fields.entry(name.clone()).or_insert(Value::Null);
        }
    }
    Ok(json!({"metadata": {"uid": pod.uid}, "status": fields}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: &str) -> PodStatus {
        PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() }
    }

    #[test]
    fn only_the_latest_of_what_piled_up_is_sent() {
        let mut publisher = Publisher::new(status("Pending"));
        publisher.want(status("Pending"));
        assert!(publisher.is_settled() && publisher.next().is_none(), "no news, no request");
        publisher.want(status("a"));
        assert_eq!(publisher.next(), Some(status("a")));
        publisher.want(status("b"));
        publisher.want(status("c"));
        assert_eq!(publisher.next(), None, "one at a time");
        assert_eq!(publisher.sent(status("a"), Ok(())), None);
        assert_eq!(publisher.next(), Some(status("c")));
        publisher.want(status("c"));
        assert_eq!(publisher.sent(status("c"), Ok(())), None);
        assert_eq!(publisher.next(), None);
    }

    #[test]
    fn a_change_back_while_one_is_sent_is_sent_too() {
        let mut publisher = Publisher::new(status("a"));
        publisher.want(status("b"));
        assert_eq!(publisher.next(), Some(status("b")));
        publisher.want(status("a"));
        assert_eq!(publisher.sent(status("b"), Ok(())), None);
        assert_eq!(publisher.next(), Some(status("a")));
    }

    #[test]
    fn failures_are_tried_again_later_and_a_missing_pod_is_not() {
        let away = || Err(ClientError::Timeout { path: String::new(), seconds: 1 });
        let mut publisher = Publisher::new(status("a"));
        publisher.want(status("b"));
        let first = publisher.next().unwrap();
        assert_eq!(publisher.sent(first, away()), Some(RETRY_MIN));
        assert_eq!(publisher.next(), None, "not before the pause is over");
        publisher.retry();
        let again = publisher.next().unwrap();
        assert_eq!(again, status("b"));
        assert_eq!(publisher.sent(again, away()), Some(2 * RETRY_MIN));
        publisher.retry();
        let again = publisher.next().unwrap();
        let gone = Err(ClientError::NotFound { message: String::new() });
        assert_eq!(publisher.sent(again, gone), None);
        publisher.want(status("c"));
        assert!(publisher.is_settled() && publisher.next().is_none());
    }

    #[test]
    fn fields_that_went_away_are_taken_away() {
        let pod = PodIdentity { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        let before = PodStatus { message: Some("why".into()), ..status("Pending") };
        let patch = patch(&pod, &before, &status("Running")).unwrap();
        assert_eq!(
            patch,
            json!({"metadata": {"uid": "u"}, "status": {"phase": "Running", "message": null}})
        );
    }
}
