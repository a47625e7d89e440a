//! Where samples come from by scraping.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::RwLock;
use serde_json::{Value, json};
use swell_client::Client;
use swell_discovery::DiscoveryDeps;
use swell_env::Clock;
use swell_model::Labels;
use swell_relabel::{Rule, RuleSpec};
use swell_scrape::{Health, ScrapeError, ScrapeHandle, Scraper, TargetFamilies, TargetState};
use swell_telemetry::Registry;
use swell_tsdb_http::{
    DescribedTarget, RelabelStep, TargetHealth, TargetReport, TargetStatusSource,
    UnsupportedDiscovery,
};

use crate::adapters::AnnouncingSink;
use crate::config::Config;
use crate::shutdown::Tasks;

/// The scraper's targets, for the API.
pub(super) struct Targets {
    scraper: ScrapeHandle,
    configured: RwLock<Configured>,
}

/// What of the configuration in force is asked for.
struct Configured {
    unsupported: Vec<UnsupportedDiscovery>,
    job_texts: BTreeMap<String, String>,
    /// Rules for targets, by job.
    relabel: BTreeMap<String, Vec<Rule>>,
}

impl From<&Config> for Configured {
    fn from(config: &Config) -> Self {
        let found = config.unsupported_discoveries.iter();
        let unsupported = found.map(|(job, kind)| UnsupportedDiscovery {
            scrape_pool: job.clone(),
            discovery: kind.clone(),
        });
        let jobs = config.jobs.iter();
        Self {
            unsupported: unsupported.collect(),
            job_texts: config.job_texts.clone(),
            relabel: jobs.map(|job| (job.job_name.clone(), job.relabel.clone())).collect(),
        }
    }
}

impl Targets {
    /// What discovery stands on, for whoever else finds something.
    pub(super) fn discovery_deps(&self) -> DiscoveryDeps {
        self.scraper.discovery_deps()
    }

    /// Scrapes what another configuration names.
    pub(super) async fn reload(&self, config: &Config) -> Result<(), ScrapeError> {
        self.scraper.reload(config.jobs.clone()).await?;
        *self.configured.write() = Configured::from(config);
        Ok(())
    }
}

impl TargetStatusSource for Targets {
    fn targets(&self) -> Vec<TargetReport> {
        self.scraper.targets().into_iter().map(report).collect()
    }

    fn described(&self) -> Vec<DescribedTarget> {
        let told = self.scraper.families().into_iter();
        told.map(|TargetFamilies { labels, families }| DescribedTarget { labels, families })
            .collect()
    }

    fn unsupported(&self) -> Vec<UnsupportedDiscovery> {
        self.configured.read().unsupported.clone()
    }

    fn dropped_counts(&self) -> BTreeMap<String, usize> {
        self.scraper.dropped_counts()
    }

    fn pool_configs(&self) -> BTreeMap<String, String> {
        self.configured.read().job_texts.clone()
    }

    fn relabel_steps(&self, pool: &str, labels: &Labels) -> Option<Vec<RelabelStep>> {
        let configured = self.configured.read();
        let rules = configured.relabel.get(pool)?;
        let mut builder = labels.to_builder();
        let mut keep = true;
        let step = |rule: &Rule| {
            keep = keep && rule.apply(&mut builder);
            let output = if keep { builder.clone().build() } else { Labels::empty() };
            RelabelStep { rule: shown(rule), output, keep }
        };
        Some(rules.iter().map(step).collect())
    }
}

/// A rule as the API shows it.
fn shown(rule: &Rule) -> BTreeMap<&'static str, Value> {
    let RuleSpec { source_labels, separator, regex, modulus, target_label, replacement, action } =
        rule.spec();
    let mut shown = BTreeMap::from([
        ("separator", json!(separator)),
        ("regex", json!(regex)),
        ("replacement", json!(replacement)),
        ("action", json!(action.name())),
    ]);
    if source_labels.as_ref().is_some_and(|labels| !labels.is_empty()) {
        shown.insert("source_labels", json!(source_labels));
    }
    if target_label.as_ref().is_some_and(|label| !label.is_empty()) {
        shown.insert("target_label", json!(target_label));
    }
    if let Some(modulus) = modulus {
        shown.insert("modulus", json!(modulus));
    }
    shown
}

/// Starts scraping what the configuration names.
pub(super) fn start(
    config: &Config,
    sink: &Arc<AnnouncingSink>,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
    own_cluster: Client,
    tasks: &Tasks,
) -> anyhow::Result<Arc<Targets>> {
    let (jobs, own_cluster) = (config.jobs.clone(), Some(own_cluster));
    let scraper = Scraper::new(jobs, sink.clone(), clock.clone(), registry, own_cluster)
        .context("set up scraping")?;
    let configured = RwLock::new(Configured::from(config));
    let targets = Targets { scraper: scraper.handle(), configured };
    tasks.spawn("the scraper", scraper.run(tasks.stop_token()));
    Ok(Arc::new(targets))
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
        shared_series: state.shared_series,
        dropped: state.dropped,
    }
}
