//! What can be asked about targets while they are scraped.

use std::sync::Arc;

use parking_lot::Mutex;
use swell_model::{DurationMs, Labels, TimestampMs};

use crate::claims::Claimant;
use crate::described::{Described, Families};
use crate::target::Target;

/// How the last scrape of a target went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It was not scraped yet.
    #[default]
    Unknown,
    /// Samples came.
    Up,
    /// It failed.
    Down,
}

/// One target as it stands.
#[derive(Clone, Debug)]
pub struct TargetState {
    /// Job that it belongs to.
    pub job: String,
    /// Labels before relabelling.
    pub discovered: Labels,
    /// Labels of its series; empty for a target that is not scraped.
    pub labels: Labels,
    /// Where it is scraped; empty for a target that is not scraped.
    pub url: String,
    /// How the last scrape went.
    pub health: Health,
    /// Why the last scrape failed, or why there is none; empty when all is well.
    pub last_error: String,
    /// When the last scrape began.
    pub last_scrape: Option<TimestampMs>,
    /// How long it took.
    pub last_duration: std::time::Duration,
    /// Distance of scrapes.
    pub interval: DurationMs,
    /// Longest a scrape may take.
    pub timeout: DurationMs,
    /// How many of its series other targets give as well; of targets with equal labels `up` stands for all.
    pub shared_series: usize,
    /// Whether relabelling dropped it, or its labels make no target.
    pub dropped: bool,
}

/// What one target tells of its families.
#[derive(Clone, Debug)]
pub struct TargetFamilies {
    /// Labels of its series.
    pub labels: Labels,
    /// What it told in its last scrapes, in the order of names; targets that tell the same share the list.
    pub families: Families,
}

/// How the last scrape went, written by the target's loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastScrape {
    pub(crate) health: Health,
    pub(crate) error: String,
    pub(crate) at: Option<TimestampMs>,
    pub(crate) duration: std::time::Duration,
}

/// A target on the board.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) job: Arc<str>,
    pub(crate) target: Arc<Target>,
    pub(crate) last: Arc<Mutex<LastScrape>>,
    pub(crate) claimant: Arc<Claimant>,
    pub(crate) described: Arc<Described>,
}

impl Card {
    pub(crate) fn families(&self) -> TargetFamilies {
        let (labels, families) = (self.target.labels.clone(), self.described.families());
        TargetFamilies { labels, families }
    }

    pub(crate) fn state(&self) -> TargetState {
        let last = self.last.lock().clone();
        TargetState {
            job: self.job.to_string(),
            discovered: self.target.discovered.clone(),
            labels: self.target.labels.clone(),
            url: self.target.url.to_string(),
            health: last.health,
            last_error: last.error,
            last_scrape: last.at,
            last_duration: last.duration,
            interval: self.target.interval,
            timeout: self.target.timeout,
            shared_series: self.claimant.shared_count(),
            dropped: false,
        }
    }
}
