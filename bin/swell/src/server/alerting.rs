//! Rules and notifications.

use std::sync::Arc;

use anyhow::Context;
use swell_alert_runner::{
    AlertRunner, AlertingHandle, Dependencies, Notifier, RuleSettings, load_notifier, load_rules,
};
use swell_env::{Clock, FsDir};
use swell_telemetry::Registry;
use swell_tsdb_http::{ActiveQueries, ConfigState};

use crate::adapters::{AnnouncingSink, PromqlEvaluator, StandingQueries};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::identity::fill_random;
use crate::shutdown::Tasks;

/// What alerting stands on.
pub(crate) struct AlertingDeps<'a> {
    pub(crate) data_dir: &'a DataDir,
    /// What rules read.
    pub(crate) queries: StandingQueries,
    pub(crate) sink: &'a Arc<AnnouncingSink>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) registry: &'a Registry,
    pub(crate) in_force: ConfigState,
    pub(crate) active: Arc<ActiveQueries>,
    pub(crate) external_url: String,
}

/// Reads rules and receivers and starts both.
pub(crate) fn start(
    config: &Config,
    deps: AlertingDeps<'_>,
    tasks: &Tasks,
) -> anyhow::Result<AlertingHandle> {
    let rules = rules(config)?;
    let notifier = notifier(config)?;
    let folder = deps.data_dir.join("alerting");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let dir = FsDir::open(&folder).with_context(|| format!("open {}", folder.display()))?;
    let mut seed = [0; 8];
    fill_random(&mut seed)?;
    let runner = AlertRunner::build(
        swell_alert_runner::Config {
            seed: u64::from_le_bytes(seed),
            resend_delay: config.alerting.resend_delay,
            restore: config.alerting.restore,
            rules_at_once: config
                .switches
                .concurrent_rules
                .then_some(config.alerting.rules_at_once),
            forward: config.alerting.limits,
            ..swell_alert_runner::Config::new(deps.external_url)
        },
        rules,
        notifier,
        Dependencies {
            clock: deps.clock.clone(),
            dir: Arc::new(dir),
            evaluator: Arc::new(PromqlEvaluator {
                queries: deps.queries,
                lookback: config.query.lookback,
                subquery_step: Box::new(move || deps.in_force.current().subquery_step),
                samples_max: config.query.samples_max,
                series_max: config.query.series_max,
                bytes_max: config.query.bytes_max,
                features: config.features,
                active: deps.active,
            }),
            sink: deps.sink.clone(),
            registry: deps.registry.clone(),
        },
    )
    .context("set up rules and notifications")?;
    let handle = runner.handle();
    tasks.spawn("the alert runner", runner.run(tasks.stop_token()));
    Ok(handle)
}

/// Reads and checks the rule files.
pub(super) fn rules(config: &Config) -> anyhow::Result<RuleSettings> {
    let mut sources = Vec::with_capacity(config.rule_files.len());
    for path in &config.rule_files {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("read the rule file {}", path.display()))?;
        sources.push(load_rules(path.display().to_string(), &text)?);
    }
    Ok(RuleSettings {
        sources,
        evaluation_interval: config.evaluation_interval,
        query_offset: config.rule_query_offset,
        external_labels: config.external_labels.clone(),
    })
}

/// Checks the notification configuration, if there is one.
pub(super) fn notifier(config: &Config) -> anyhow::Result<Option<Notifier>> {
    let Some((path, text)) = &config.alertmanager else { return Ok(None) };
    let folder = path.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
    let templates = crate::config::templates::read(text, &folder)?;
    Ok(Some(load_notifier(path.display().to_string(), text, &templates, folder)?))
}
