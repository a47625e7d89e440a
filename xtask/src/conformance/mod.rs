//! Suites of cases from upstream projects, run on the real thing. Each prints passed and failed per file.

mod alertmanager;
mod autoscaling;
mod exposition;
mod promql;
mod remote_write;
mod rules;
mod suite;

use std::path::Path;

use clap::Subcommand;

/// The suites.
#[derive(Debug, Subcommand)]
pub(crate) enum Suite {
    /// Matchers, routing, configurations, templates and signatures of notifications.
    Alertmanager(alertmanager::AlertmanagerArgs),
    /// Scaling decisions, case by case.
    Autoscaling(autoscaling::AutoscalingArgs),
    /// Bodies of scrapes in the exposition formats.
    Exposition(exposition::ExpositionArgs),
    /// PromQL test scripts, on the storage engine.
    Promql(promql::PromqlArgs),
    /// Remote write requests, through the receiver into the storage engine.
    RemoteWrite(remote_write::RemoteWriteArgs),
    /// Rule files, and unit tests of rules by the binary, which is built for it.
    Rules(rules::RulesArgs),
}

impl Suite {
    /// Runs the suite; an error when a case fails.
    pub(crate) fn run(self, root: &Path) -> anyhow::Result<()> {
        match self {
            Self::Alertmanager(args) => alertmanager::run(root, &args),
            Self::Autoscaling(args) => autoscaling::run(root, &args),
            Self::Exposition(args) => exposition::run(root, &args),
            Self::Promql(args) => promql::run(root, &args),
            Self::RemoteWrite(args) => remote_write::run(root, &args),
            Self::Rules(args) => rules::run(root, &args),
        }
    }
}
