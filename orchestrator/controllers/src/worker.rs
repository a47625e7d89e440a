//! Workers that take keys from a queue and have them reconciled.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use swell_client::WorkQueue;
use swell_env::Clock;
use tokio::task::JoinSet;

use crate::error::ReconcileError;
use crate::metrics::Metrics;

/// Reconciles one key of a kind.
pub(crate) trait Reconciler: Send + Sync + 'static {
    /// What is reconciled.
    type Key: Clone + Eq + Hash + Debug + Display + Send + Sync + 'static;
    /// Name in logs and metrics.
    const NAME: &'static str;

    /// Brings what `key` names to where it should be; answers when to look again although nothing changes.
    fn reconcile(
        &self,
        key: &Self::Key,
    ) -> impl Future<Output = Result<Option<Duration>, ReconcileError>> + Send;
}

/// Starts `count` workers; they end when the queue is closed.
pub(crate) fn start<R: Reconciler>(
    tasks: &mut JoinSet<()>,
    reconciler: R,
    queue: &WorkQueue<R::Key>,
    count: usize,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
) {
    let reconciler = Arc::new(reconciler);
    for _ in 0..count.max(1) {
        let worker = Worker {
            reconciler: Arc::clone(&reconciler),
            queue: queue.clone(),
            metrics: metrics.clone(),
            clock: Arc::clone(clock),
        };
        tasks.spawn(worker.run());
    }
}

struct Worker<R: Reconciler> {
    reconciler: Arc<R>,
    queue: WorkQueue<R::Key>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl<R: Reconciler> Worker<R> {
    async fn run(self) {
        let queue_len = self.metrics.queue_len.with_label_values(&[R::NAME]);
        let seconds = self.metrics.reconcile_seconds.with_label_values(&[R::NAME]);
        while let Some(item) = self.queue.next().await {
            queue_len.set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
            let start = self.clock.monotonic();
            let result = self.reconciler.reconcile(item.key()).await;
            seconds.observe(self.clock.monotonic().since(start).as_secs_f64());
            let outcome = match &result {
                Ok(_) => "done",
                Err(error) if error.is_stale() => "stale",
                Err(_) => "failed",
            };
            self.metrics.reconciles.with_label_values(&[R::NAME, outcome]).inc();
            match result {
                Ok(None) => item.done(),
                Ok(Some(wait)) => item.requeue_after(wait),
                Err(error) => {
                    if error.is_stale() {
                        tracing::debug!(controller = R::NAME, key = %item.key(), "looked at an old copy");
                    } else {
                        tracing::warn!(
                            controller = R::NAME,
                            key = %item.key(),
                            error = swell_telemetry::chain(&error),
                            "reconciling failed"
                        );
                    }
                    item.retry();
                }
            }
        }
    }
}
