//! What metric families are, told from time to time: message 1.0 has no place for it beside samples.

use std::sync::Arc;

use bytes::Bytes;
use swell_engine::Db;
use swell_env::Clock;
use swell_telemetry::chain;
use swell_wire::remote_write::{Message, RequestV1};
use tracing::warn;

use crate::answer::{Verdict, judge};
use crate::config::{MetadataSending, QueueConfig};
use crate::metrics::QueueMetrics;
use crate::point::Counts;
use crate::transport::Transport;

/// Who tells it.
pub(crate) struct MetadataSender {
    pub(crate) db: Arc<Db>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Arc<QueueConfig>,
    pub(crate) transport: Arc<Transport>,
    pub(crate) metrics: QueueMetrics,
}

impl MetadataSender {
    /// Tells it at each interval, until it is dropped.
    pub(crate) async fn run(self, sending: MetadataSending) {
        let mut beat = tokio::time::interval(sending.interval);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick is at once, when little is known.
        beat.tick().await;
        loop {
            beat.tick().await;
            // Whatever was not told by the next beat is told anew then.
            let told = tokio::time::timeout(sending.interval, self.tell(sending.batch_max));
            if told.await.is_err() {
                warn!(queue = self.config.name, "metadata was not sent within its interval");
            }
        }
    }

    async fn tell(&self, batch_max: usize) {
        let families: Vec<_> = self.db.metadata().into_iter().collect();
        for batch in families.chunks(batch_max) {
            let mut request = RequestV1::default();
            batch.iter().for_each(|(name, metadata)| request.put_metadata(name, metadata));
            let packed = snap::raw::Encoder::new().compress_vec(&request.finish());
            let packed = packed.expect("a request is far below what snappy takes");
            self.send(packed.into(), batch.len() as u64).await;
        }
    }

    async fn send(&self, body: Bytes, count: u64) {
        let batching = &self.config.batching;
        let [sent, failed, retried] = &self.metrics.metadata;
        let mut backoff = batching.backoff_min;
        for attempt in 0.. {
            let answer = self.transport.send(body.clone(), attempt).await;
            let wait = match &answer {
                Ok(received) => {
                    let (answer, now) = (received.answer(), self.clock.now());
                    let message = Message::V1;
                    match judge(&answer, message, Counts::default(), batching.retry_on_429, now) {
                        Verdict::Retry(wait) => wait,
                        Verdict::Settled(settled) => {
                            sent.inc_by(count);
                            if let Some(refusal) = settled.refusal {
                                failed.inc_by(count);
                                let queue = &self.config.name;
                                warn!(queue, %refusal, answer = received.text, "metadata was not taken");
                            } else {
                                self.metrics.metadata_bytes.inc_by(body.len() as u64);
                            }
                            return;
                        }
                    }
                }
                Err(error) => {
                    // Told often enough by the queue itself.
                    tracing::debug!(error = chain(error), "sending metadata failed");
                    None
                }
            };
            retried.inc_by(count);
            tokio::time::sleep(wait.unwrap_or(backoff)).await;
            backoff = (backoff * 2).min(batching.backoff_max);
        }
    }
}
