//! What every request needs.

use std::sync::Arc;

use swell_env::Clock;
use swell_store::Store;
use tokio_util::sync::CancellationToken;

use crate::addresses::ServiceAddresses;
use crate::agent_logs::AgentLogs;
use crate::auth::TokenUser;
use crate::metrics::Metrics;
use crate::usage::UsageSource;

/// The parts of a server, shared by its requests and its upkeep.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Vec<TokenUser>,
    pub(crate) addresses: ServiceAddresses,
    pub(crate) usage: Option<Arc<dyn UsageSource>>,
    pub(crate) agent_logs: AgentLogs,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
}

impl Shared {
    /// The time as objects carry it: whole seconds of UTC.
    pub(crate) fn now_text(&self) -> String {
        timestamp(self.clock.now()).to_string()
    }
}

/// A time rounded down to the second.
pub(crate) fn timestamp(at: swell_model::TimestampMs) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.0.div_euclid(1000)).unwrap_or_default()
}
