//! What is known about targets, for those who ask, and as metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use swell_telemetry::{family, gauge_metric};

use crate::status::{Card, TargetState};

const JOB_LABEL: &str = "scrape_job";
const TARGETS: (&str, &str) =
    ("prometheus_target_scrape_pool_targets", "Current number of targets in this scrape pool.");
const FAMILIES: (&str, &str) = (
    "prometheus_target_metadata_cache_entries",
    "Total number of metric families that the targets describe.",
);

/// What is known about targets.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// Names of the jobs, in the order of the configuration.
    pub(crate) jobs: Vec<String>,
    pub(crate) active: Vec<Card>,
    pub(crate) inactive: Vec<TargetState>,
    /// Targets that are not scraped, also those that are not remembered, by job.
    pub(crate) inactive_counts: BTreeMap<String, usize>,
}

/// Gives metrics of the board, read when they are gathered.
pub(crate) struct BoardMetrics {
    board: Arc<Mutex<Board>>,
    descriptions: Vec<Desc>,
}

impl BoardMetrics {
    pub(crate) fn new(board: Arc<Mutex<Board>>) -> Result<Self, prometheus::Error> {
        let described = |(name, help): (&str, &str)| {
            let labels = vec![JOB_LABEL.to_owned()];
            Desc::new(name.to_owned(), help.to_owned(), labels, Default::default())
        };
        let descriptions = [TARGETS, FAMILIES].map(described).into_iter();
        Ok(Self { board, descriptions: descriptions.collect::<Result<_, _>>()? })
    }
}

impl Collector for BoardMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let board = self.board.lock();
        let mut counts: BTreeMap<&str, (usize, usize)> =
            board.jobs.iter().map(|job| (job.as_str(), (0, 0))).collect();
        for card in &board.active {
            let (targets, families) = counts.entry(&*card.job).or_default();
            *targets += 1;
            *families += card.described.family_count();
        }
        let targets = counts.iter().map(|(job, (targets, _))| (*job, *targets));
        let families = counts.iter().map(|(job, (_, families))| (*job, *families));
        vec![by_job(TARGETS, targets), by_job(FAMILIES, families)]
    }
}

fn by_job<'a>(
    (name, help): (&str, &str),
    counts: impl Iterator<Item = (&'a str, usize)>,
) -> MetricFamily {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let metric = |(job, count): (&str, usize)| gauge_metric([(JOB_LABEL, job)], count as f64);
    family(name, help, MetricType::GAUGE, counts.map(metric).collect())
}
