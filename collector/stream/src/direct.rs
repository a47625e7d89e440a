//! The short cut for an agent in the server's own process: the same interface, no network.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::Registry;
use swell_model::{PassDelta, SampleSink};
use swell_telemetry::chain;
use tracing::{error, warn};

use crate::link::DeltaSink;
use crate::metrics::ClientMetrics;
use crate::session::{ApplyError, Session};
use crate::spool::Spool;

/// Writes ticks straight into a storage. While the storage takes nothing they wait as they would for a server.
pub struct DirectLink {
    sink: Arc<dyn SampleSink>,
    metrics: ClientMetrics,
    state: Mutex<State>,
}

struct State {
    spool: Spool,
    session: Session,
    is_failing: bool,
}

impl DirectLink {
    /// A link into `sink`.
    ///
    /// # Errors
    /// When its metrics are registered already.
    pub fn new(
        sink: Arc<dyn SampleSink>,
        spool_bytes_max: usize,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let mut spool = Spool::new(spool_bytes_max);
        let session = Session::default();
        spool.welcome(session.acknowledged(), true);
        let state = Mutex::new(State { spool, session, is_failing: false });
        Ok(Self { sink, metrics: ClientMetrics::register(registry)?, state })
    }
}

impl DeltaSink for DirectLink {
    /// Stores the tick before it returns, which takes as long as the storage's log does.
    fn offer(&self, delta: PassDelta) {
        let mut state = self.state.lock();
        let State { spool, session, is_failing } = &mut *state;
        let dropped = spool.push(delta);
        self.metrics.dropped_batches.inc_by(dropped.batches);
        self.metrics.dropped_samples.inc_by(dropped.samples);
        while let Some(waiting) = spool.next_to_send() {
            let batch = waiting.to_wire();
            match session.apply(&batch, self.sink.as_ref()) {
                Ok(applied) => {
                    if applied.refused_samples > 0 && !applied.refusal.is_empty() {
                        warn!(refusal = applied.refusal, "the storage refused series");
                    }
                    self.metrics.refused_samples.inc_by(applied.refused_samples);
                    self.metrics.acknowledged_batches.inc();
                    spool.acknowledge(batch.sequence);
                    *is_failing = false;
                }
                Err(failure @ ApplyError::Storage { .. }) => {
                    if !std::mem::replace(is_failing, true) {
                        error!(error = chain(&failure), "the storage takes no samples");
                    }
                    // all that wait are sent again at the next tick
                    spool.welcome(session.acknowledged(), true);
                    break;
                }
                Err(broken @ ApplyError::Protocol { .. }) => {
                    unreachable!("spool and session are of one build: {broken}");
                }
            }
        }
        self.metrics.spooled_batches.set(i64::try_from(spool.len()).unwrap_or(i64::MAX));
    }
}

impl fmt::Debug for DirectLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectLink").finish_non_exhaustive()
    }
}
