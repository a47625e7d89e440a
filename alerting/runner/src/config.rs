//! What the runner is given.

use std::path::PathBuf;
use std::sync::Arc;

use swell_env::{Clock, Dir};
use swell_model::{DurationMs, Labels, SampleSink};
use swell_receivers::{TemplateFileError, Templates};
use swell_route::ConfigFault;
use swell_rules::{Finding, RestoreOptions, RuleFile, parse_rule_file};
use swell_telemetry::Registry;

use crate::evaluator::RuleEvaluator;
use crate::forward::ForwardLimits;

/// Settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where users reach this server, without a slash at the end.
    pub external_url: String,
    /// A firing alert is handed to the notifier again after so long.
    pub resend_delay: DurationMs,
    /// How outages are bridged.
    pub restore: RestoreOptions,
    /// Notification log entries are forgotten after so long.
    pub log_retention: DurationMs,
    /// Rules, over all groups, that may run beside others of their group that do not depend on them; none where the
    /// rules of a group run one after the other.
    pub rules_at_once: Option<usize>,
    /// Bounds of what is sent to Alertmanagers outside.
    pub forward: ForwardLimits,
    /// For the jitter of retries.
    pub seed: u64,
}

impl Config {
    /// Prometheus' and Alertmanager's defaults, for a server that users reach at `external_url`.
    #[must_use]
    pub fn new(external_url: impl Into<String>) -> Self {
        Self {
            external_url: external_url.into(),
            resend_delay: DurationMs::from_secs(60),
            restore: RestoreOptions::default(),
            log_retention: DurationMs::from_secs(120 * 3600),
            rules_at_once: None,
            forward: ForwardLimits::default(),
            seed: 0,
        }
    }
}

/// Rules and what the configuration says of all of them: what a reload replaces.
#[derive(Clone, Debug)]
pub struct RuleSettings {
    /// Rule files that were read and checked.
    pub sources: Vec<RuleSource>,
    /// Time between evaluations of groups that name none. More than zero.
    pub evaluation_interval: DurationMs,
    /// How much earlier than now queries look, for groups that do not say.
    pub query_offset: DurationMs,
    /// Labels of this server: for templates, and added to alerts where absent.
    pub external_labels: Labels,
}

/// What the runner works with.
#[derive(Clone)]
pub struct Dependencies {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The runner's own folder: alert states and notification log.
    pub dir: Arc<dyn Dir>,
    /// Queries.
    pub evaluator: Arc<dyn RuleEvaluator>,
    /// Where samples of rules go.
    pub sink: Arc<dyn SampleSink>,
    /// Where metrics are registered.
    pub registry: Registry,
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dependencies").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl RuleSettings {
    /// These rules with Prometheus' defaults.
    #[must_use]
    pub fn new(sources: Vec<RuleSource>) -> Self {
        Self {
            sources,
            evaluation_interval: DurationMs::from_secs(60),
            query_offset: DurationMs::ZERO,
            external_labels: Labels::empty(),
        }
    }
}

/// A rule file that was read and checked.
#[derive(Clone, Debug)]
pub struct RuleSource {
    /// Its path, as the API shows it.
    pub file: String,
    /// What is in it.
    pub rules: RuleFile,
}

/// A rule file with faults.
#[derive(Debug, thiserror::Error)]
#[error("rule file {file}: {}", findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct RuleSourceError {
    /// Its path.
    pub file: String,
    /// All faults.
    pub findings: Vec<Finding>,
}

/// Parses and checks a rule file's text.
///
/// # Errors
/// [`RuleSourceError`] with all faults.
pub fn load_rules(file: impl Into<String>, text: &str) -> Result<RuleSource, RuleSourceError> {
    let file = file.into();
    match parse_rule_file(text) {
        Ok(rules) => Ok(RuleSource { file, rules }),
        Err(findings) => Err(RuleSourceError { file, findings }),
    }
}

/// A checked notification configuration with what belongs to it.
#[derive(Clone, Debug)]
pub struct Notifier {
    /// Routes and receivers.
    pub config: swell_route::Config,
    /// Default templates and those of files.
    pub templates: Templates,
    /// Where relative paths of secret files start.
    pub base_dir: PathBuf,
}

/// Without a configuration alerts are kept and shown, and nobody is told.
const NO_RECEIVERS: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

impl Notifier {
    /// One that tells nobody: alerts are kept and shown.
    ///
    /// # Errors
    /// [`NotifierError`] when the built-in configuration is broken.
    pub fn silent() -> Result<Self, NotifierError> {
        load_notifier("built-in configuration", NO_RECEIVERS, &[], PathBuf::new())
    }

    /// Whether a receiver of it tells anybody.
    pub(crate) fn tells_somebody(&self) -> bool {
        self.config.receivers.iter().any(|receiver| !receiver.integrations.is_empty())
    }

    /// Logs what has no effect or is probably not meant.
    pub(crate) fn warn(&self) {
        for what in &self.config.unsupported {
            tracing::warn!(what = %what, "the notification configuration has a part that is not supported and has no effect");
        }
        for what in &self.config.warnings {
            tracing::warn!(what = %what, "the notification configuration has a part that is probably not meant");
        }
    }
}

/// A notification configuration with faults.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// The configuration.
    #[error("{file}: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config {
        /// Its path.
        file: String,
        /// All faults.
        faults: Vec<ConfigFault>,
    },
    /// A template file.
    #[error(transparent)]
    Template(#[from] TemplateFileError),
}

/// Parses and checks an Alertmanager configuration. `template_files` are the paths and texts of the files that its
/// `templates` name (the caller expands the globs); secret files are looked for relative to `base_dir`.
///
/// # Errors
/// [`NotifierError`] with all faults of the configuration, or the first broken template file.
pub fn load_notifier(
    file: impl Into<String>,
    text: &str,
    template_files: &[(String, String)],
    base_dir: PathBuf,
) -> Result<Notifier, NotifierError> {
    let config = swell_route::parse_config(text)
        .map_err(|faults| NotifierError::Config { file: file.into(), faults })?;
    let mut templates = Templates::new();
    for (path, text) in template_files {
        templates.add(path, text)?;
    }
    Ok(Notifier { config, templates, base_dir })
}
