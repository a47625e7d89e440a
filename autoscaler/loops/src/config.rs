//! What an operator may set.

use std::path::PathBuf;

use swell_decide::{StartRules, Tolerance};
use swell_model::DurationMs;

/// How the autoscaler loops behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder of the decision journal; made if it is missing.
    pub journal_dir: PathBuf,
    /// How far from its target a metric may lie without a change, where a policy says nothing.
    pub tolerance: Tolerance,
    /// When a starting pod's CPU counts, where a policy's annotations say nothing.
    pub start: StartRules,
    /// Window of shrinking, where a policy says nothing.
    pub down_window: DurationMs,
}

impl Config {
    /// Kubernetes' defaults, with the journal in `journal_dir`.
    #[must_use]
    pub const fn new(journal_dir: PathBuf) -> Self {
        Self {
            journal_dir,
            tolerance: Tolerance::DEFAULT,
            start: StartRules::DEFAULT,
            down_window: DurationMs(300_000),
        }
    }
}
