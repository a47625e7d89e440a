//! One request of a shard, from points to an answer.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use swell_env::Clock;

use crate::config::QueueConfig;
use crate::encode::{Encoded, Encoding, Families, encode};
use crate::point::Point;
use crate::shards::Start;
use crate::transport::{Received, Transport, TransportError};

/// What a request is made of.
pub(super) struct Request {
    pub(super) start: Start<Point>,
    /// As it was sent before.
    pub(super) kept: Option<Encoded>,
    pub(super) transport: Arc<Transport>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Arc<QueueConfig>,
    pub(super) families: Arc<RwLock<Families>>,
}

/// What ended with a request.
pub(super) struct Sent {
    pub(super) shard: usize,
    pub(super) encoded: Encoded,
    pub(super) took: Duration,
    /// None when there was nothing to send.
    pub(super) answer: Option<Result<Received, TransportError>>,
}

impl Request {
    /// Makes the request, unless it was made before, and sends it.
    pub(super) async fn send(self) -> Box<Sent> {
        let Self { start, kept, transport, clock, config, families } = self;
        let Start { shard, batch, attempt } = start;
        let encoded = match kept {
            Some(kept) => kept,
            None => {
                let now = clock.now();
                let made = tokio::task::spawn_blocking(move || {
                    let oldest_ms = config
                        .batching
                        .sample_age_max
                        .map(|age| now.0 - i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
                    let families = families.read();
                    let message = config.message;
                    encode(&batch, &Encoding { message, oldest_ms, families: &families })
                });
                joined(made.await)
            }
        };
        let began = clock.monotonic();
        let answer = match encoded.body.is_empty() {
            true => None,
            false => Some(transport.send(encoded.body.clone(), attempt).await),
        };
        let took = clock.monotonic().since(began);
        Box::new(Sent { shard, encoded, took, answer })
    }
}

/// What a task gave; its panic is ours.
pub(super) fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> T {
    match outcome {
        Ok(done) => done,
        Err(failure) => match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("tasks are cancelled when nobody waits for them any more"),
        },
    }
}
