//! Where samples come from by scraping.

use std::sync::Arc;

use anyhow::Context;
use parking_lot::RwLock;
use swell_env::Clock;
use swell_scrape::{Health, ScrapeError, ScrapeHandle, Scraper, TargetState};
use swell_telemetry::Registry;
use swell_tsdb_http::{TargetHealth, TargetReport, TargetStatusSource, UnsupportedDiscovery};

use crate::adapters::AnnouncingSink;
use crate::config::Config;
use crate::shutdown::Tasks;

/// The scraper's targets, for the API.
pub(super) struct Targets {
    scraper: ScrapeHandle,
    unsupported: RwLock<Vec<UnsupportedDiscovery>>,
}

impl Targets {
    /// Scrapes what another configuration names.
    pub(super) async fn reload(&self, config: &Config) -> Result<(), ScrapeError> {
        self.scraper.reload(config.jobs.clone()).await?;
        *self.unsupported.write() = unsupported(config);
        Ok(())
    }
}

impl TargetStatusSource for Targets {
    fn targets(&self) -> Vec<TargetReport> {
        self.scraper.targets().into_iter().map(report).collect()
    }

    fn unsupported(&self) -> Vec<UnsupportedDiscovery> {
        self.unsupported.read().clone()
    }
}

/// Starts scraping what the configuration names.
pub(super) fn start(
    config: &Config,
    sink: &Arc<AnnouncingSink>,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
    tasks: &Tasks,
) -> anyhow::Result<Arc<Targets>> {
    let scraper = Scraper::new(config.jobs.clone(), sink.clone(), clock.clone(), registry)
        .context("set up scraping")?;
    let unsupported = RwLock::new(unsupported(config));
    let targets = Targets { scraper: scraper.handle(), unsupported };
    tasks.spawn("the scraper", scraper.run(tasks.stop_token()));
    Ok(Arc::new(targets))
}

fn unsupported(config: &Config) -> Vec<UnsupportedDiscovery> {
    let found = config.unsupported_discoveries.iter();
    found
        .map(|(job, kind)| UnsupportedDiscovery {
            scrape_pool: job.clone(),
            discovery: kind.clone(),
        })
        .collect()
}

fn report(state: TargetState) -> TargetReport {
    TargetReport {
        scrape_pool: state.job,
        discovered_labels: state.discovered,
        labels: state.labels,
        scrape_url: state.url,
        health: match state.health {
            Health::Up => TargetHealth::Up,
            Health::Down => TargetHealth::Down,
            Health::Unknown => TargetHealth::Unknown,
        },
        last_error: state.last_error,
        last_scrape: state.last_scrape,
        last_scrape_seconds: state.last_duration.as_secs_f64(),
        scrape_interval: state.interval,
        scrape_timeout: state.timeout,
        dropped: state.dropped,
    }
}
