//! Where samples come from by scraping.

use std::sync::Arc;

use swell_env::Clock;
use swell_telemetry::Registry;
use swell_tsdb_http::{TargetReport, TargetStatusSource, UnsupportedDiscovery};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adapters::AnnouncingSink;
use crate::config::Config;

struct Targets {
    unsupported: Vec<UnsupportedDiscovery>,
}

impl TargetStatusSource for Targets {
    fn targets(&self) -> Vec<TargetReport> {
        Vec::new()
    }

    fn unsupported(&self) -> Vec<UnsupportedDiscovery> {
        self.unsupported.clone()
    }
}

pub(super) fn start(
    config: &Config,
    _sink: &Arc<AnnouncingSink>,
    _clock: &Arc<dyn Clock>,
    _registry: &Registry,
    _tasks: &TaskTracker,
    _shutdown: &CancellationToken,
) -> anyhow::Result<Arc<dyn TargetStatusSource>> {
    let unsupported = config
        .unsupported_discoveries
        .iter()
        .map(|(job, kind)| UnsupportedDiscovery {
            scrape_pool: job.clone(),
            discovery: kind.clone(),
        })
        .collect();
    Ok(Arc::new(Targets { unsupported }))
}
