//! The targets of one job: what its sources tell, relabelled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use swell_discovery::{Discovery, DiscoveryDeps, TargetGroup};
use swell_model::Labels;
use swell_telemetry::chain;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::config::ScrapeConfig;
use crate::failure_log::FailureLog;
use crate::fetch::Fetcher;
use crate::ingest::TargetSeries;
use crate::status::{Card, Health, TargetState};
use crate::target::{self, Identity, Outcome, Target};

/// A job, ready to be scraped.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) failure_log: Option<Arc<FailureLog>>,
}

impl Job {
    pub(crate) fn config(&self) -> &ScrapeConfig {
        self.fetcher.config()
    }
}

/// Targets of one job.
pub(crate) struct ScrapePool {
    pub(crate) job: Job,
    pub(crate) loops: BTreeMap<Identity, Running>,
    /// Targets that are not scraped, as many as are remembered.
    pub(crate) inactive: Vec<TargetState>,
    /// How many there are of them.
    pub(crate) inactive_count: usize,
    /// How many of these make no target as they were found.
    pub(crate) faulty_count: usize,
    discovery: Discovery,
    /// What the sources told when the targets were last brought in line; `None` before that.
    told: Option<Vec<Arc<Vec<TargetGroup>>>>,
}

/// A target that is scraped.
pub(crate) struct Running {
    pub(crate) card: Card,
    pub(crate) crowd: Option<(usize, usize)>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<TargetSeries>,
}

impl Running {
    /// Stops the loop; `None` when it had failed inside.
    pub(crate) async fn end(self) -> Option<TargetSeries> {
        self.stop.cancel();
        match self.task.await {
            Ok(series) => Some(series),
            Err(failure) => {
                error!(url = %self.card.target.url, error = chain(&failure), "a scrape loop failed inside");
                None
            }
        }
    }
}

impl ScrapePool {
    /// A pool without targets, whose sources do not run yet.
    pub(crate) fn new(job: Job, deps: DiscoveryDeps, changed: Arc<Notify>) -> Self {
        let discovery = Discovery::new(&job.config().job_name, deps, changed);
        Self {
            job,
            loops: BTreeMap::new(),
            inactive: Vec::new(),
            inactive_count: 0,
            faulty_count: 0,
            discovery,
            told: None,
        }
    }

    /// Goes on with another configuration of the same job.
    pub(crate) fn adopt(&mut self, job: Job) {
        self.job = job;
        self.told = None;
    }

    /// Runs the sources that the configuration names.
    pub(crate) fn discover(&mut self) {
        self.discovery.run(&self.job.config().discoveries);
    }

    /// Targets to scrape, when what the sources tell is not what it was; notes those that are not scraped.
    pub(crate) fn changed_targets(&mut self) -> Option<BTreeMap<Identity, Target>> {
        let told = self.discovery.groups();
        if let Some(before) = &self.told
            && before.len() == told.len()
            && before.iter().zip(&told).all(|(before, told)| Arc::ptr_eq(before, told))
        {
            return None;
        }
        let config = self.job.config();
        let mut wanted = BTreeMap::new();
        let mut inactive = Vec::new();
        let dropped_max = config.limits.dropped_targets_max.filter(|max| *max > 0);
        let dropped_max = dropped_max.unwrap_or(usize::MAX);
        let (mut inactive_count, mut faulty_count) = (0, 0);
        let groups = config.static_groups.iter().chain(told.iter().flat_map(|it| it.iter()));
        for outcome in groups.flat_map(|group| target::targets(config, group)) {
            let (labels, why) = match outcome {
                Outcome::Active(target) => {
                    wanted.insert(target.identity(), target);
                    continue;
                }
                Outcome::Dropped(labels) => (labels, String::new()),
                Outcome::Faulty(labels, why) => {
                    faulty_count += 1;
                    warn!(job = config.job_name, target = %labels, why, "a target cannot be scraped");
                    (labels, why)
                }
            };
            inactive_count += 1;
            if inactive.len() < dropped_max {
                inactive.push(not_scraped(config, labels, why));
            }
        }
        self.inactive = inactive;
        self.inactive_count = inactive_count;
        self.faulty_count = faulty_count;
        self.told = Some(told);
        Some(wanted)
    }
}

fn not_scraped(config: &ScrapeConfig, discovered: Labels, why: String) -> TargetState {
    TargetState {
        job: config.job_name.clone(),
        discovered,
        labels: Labels::empty(),
        url: String::new(),
        health: Health::Unknown,
        last_error: why,
        last_scrape: None,
        last_duration: Duration::ZERO,
        interval: config.interval,
        timeout: config.timeout,
        shared_series: 0,
        dropped: true,
    }
}
