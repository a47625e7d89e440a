//! Putting the two tasks together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use swell_env::Clock;
use swell_model::TimestampMs;
use swell_receivers::Sender;
use swell_route::{Alert, AlertStore, Dispatcher};
use swell_rules::AlertState;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Dependencies, Notifier, NotifierError, RuleSettings};
use crate::flush::SendResources;
use crate::forward::{Forwarder, Forwarding};
use crate::group::Resources;
use crate::metrics::{GroupGauges, Metrics};
use crate::notification_log::Delivery;
use crate::notifier::{COMMANDS_MAX, Command, NotifierTask, read_log};
use crate::picture::{Facts, Snapshot};
use crate::rules_file::{self, SavedRules};
use crate::rules_task::{RELOADS_MAX, Reload, RulesTask, RulesTaskParts, Views, build_groups};
use crate::silences;
use crate::state_file::{self, StateFileError};
use crate::view::{ActiveAlert, GroupView};

/// Why there is no runner.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A metric is registered already.
    #[error("register the metrics of alerting")]
    Metrics(#[source] prometheus::Error),
    /// A file of an earlier run cannot be used.
    #[error(transparent)]
    State(#[from] StateFileError),
    /// The built-in notification configuration is broken.
    #[error(transparent)]
    Notifier(#[from] NotifierError),
}

/// The runner has ended.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("alerting is shutting down")]
pub struct ReloadError;

/// Rules and notifications, ready to run.
pub struct AlertRunner {
    rules: RulesTask,
    notifier: NotifierTask,
    shared: Arc<Shared>,
    send_shutdown: CancellationToken,
}

impl std::fmt::Debug for AlertRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlertRunner").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// What tasks and handles share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) views: Arc<Views>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) reloads: mpsc::Sender<Reload>,
    pub(crate) external_url: String,
    pub(crate) started_at: TimestampMs,
    pub(crate) forwarder: Arc<Forwarder>,
    /// Whether the notifier in force has a receiver that tells anybody.
    pub(crate) tells_somebody: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("external_url", &self.external_url).finish_non_exhaustive()
    }
}

/// A way to the running tasks: HTTP routes, reloads, what there is. Cloning copies a pointer.
#[derive(Clone, Debug)]
pub struct AlertingHandle {
    pub(crate) shared: Arc<Shared>,
}

impl AlertRunner {
    /// Prepares everything: registers metrics, reads states and log of an earlier run. Without `notifier`, alerts
    /// are shown and nobody is told.
    ///
    /// # Errors
    /// [`BuildError`] tells what to mend.
    pub fn build(
        config: Config,
        rules: RuleSettings,
        notifier: Option<Notifier>,
        dependencies: Dependencies,
    ) -> Result<Self, BuildError> {
        let metrics = Metrics::register(&dependencies.registry, &dependencies.clock)
            .map_err(BuildError::Metrics)?;
        let notifier = match notifier {
            Some(notifier) => notifier,
            None => Notifier::silent()?,
        };
        notifier.warn();
        let now = dependencies.clock.now();
        let mut groups = build_groups(&rules);
        if let Some(payload) =
            state_file::read(dependencies.dir.as_ref(), rules_file::FILE, rules_file::MAGIC)?
        {
            let saved: SavedRules =
                serde_json::from_slice(&payload).map_err(|error| StateFileError::Damaged {
                    file: format!("{}/{}", dependencies.dir.location(), rules_file::FILE),
                    why: error.to_string(),
                })?;
            saved.restore_into(&mut groups, now, &config.restore);
        }
        let log = read_log(dependencies.dir.as_ref(), now)?;
        let silences = silences::read(dependencies.dir.as_ref())?;
        metrics.log_entries.set(i64::try_from(log.len()).unwrap_or(i64::MAX));

        let forwarder = Forwarder::new(
            config.forward,
            Arc::clone(&dependencies.clock),
            &dependencies.registry,
            config.seed,
        );
        let forwarder = Arc::new(forwarder.map_err(BuildError::Metrics)?);
        let tells_somebody = AtomicBool::new(notifier.tells_somebody());
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let (reloads, reload_queue) = mpsc::channel(RELOADS_MAX);
        let views = Arc::new(Views::default());
        GroupGauges::register(&dependencies.registry, &views).map_err(BuildError::Metrics)?;
        let send_shutdown = CancellationToken::new();
        let rules = RulesTask::new(
            RulesTaskParts {
                resources: Resources {
                    clock: Arc::clone(&dependencies.clock),
                    evaluator: dependencies.evaluator,
                    sink: dependencies.sink,
                    metrics: metrics.clone(),
                    external_labels: rules.external_labels,
                    external_url: config.external_url.clone(),
                    side_turns: config.rules_at_once.map(|max| Arc::new(Semaphore::new(max))),
                },
                resend_delay: config.resend_delay,
                dir: Arc::clone(&dependencies.dir),
                views: Arc::clone(&views),
                alerts: commands.clone(),
                forwarder: Arc::clone(&forwarder),
                reloads: reload_queue,
            },
            groups,
        );
        let dispatcher = Dispatcher::new(Arc::new(notifier.config.route.clone()));
        let send = SendResources {
            clock: Arc::clone(&dependencies.clock),
            sender: Arc::new(Sender::new()),
            templates: notifier.templates.clone(),
            base_dir: notifier.base_dir.clone(),
            metrics,
            shutdown: send_shutdown.clone(),
        };
        let notifier = NotifierTask {
            config: Arc::new(notifier),
            external_url: config.external_url.clone(),
            log_retention: config.log_retention,
            seed: config.seed,
            commands: command_queue,
            dir: dependencies.dir,
            log,
            store: AlertStore::default(),
            dispatcher,
            send,
            silences,
            local: jiff::tz::TimeZone::system(),
        };
        let shared = Arc::new(Shared {
            clock: dependencies.clock,
            views,
            commands,
            reloads,
            external_url: config.external_url,
            started_at: now,
            forwarder,
            tells_somebody,
        });
        Ok(Self { rules, notifier, shared, send_shutdown })
    }

    /// A way to the tasks, once they run.
    #[must_use]
    pub fn handle(&self) -> AlertingHandle {
        AlertingHandle { shared: Arc::clone(&self.shared) }
    }

    /// Runs until `shutdown`. Then evaluations end and hand over their alerts, due notifications and what waits for
    /// Alertmanagers outside are sent (each is tried once), and states and log are written.
    pub async fn run(self, shutdown: CancellationToken) {
        let notifier_shutdown = CancellationToken::new();
        let rules = async {
            self.rules.run(shutdown).await;
            self.send_shutdown.cancel();
            notifier_shutdown.cancel();
            self.shared.forwarder.drain().await;
        };
        tokio::join!(rules, self.notifier.run(notifier_shutdown.clone()));
    }
}

impl AlertingHandle {
    /// Puts other rules in place. Rules that did not change keep their alerts.
    ///
    /// # Errors
    /// [`ReloadError`] when the runner has ended.
    pub async fn reload_rules(&self, rules: RuleSettings) -> Result<(), ReloadError> {
        let (done, wait) = oneshot::channel();
        self.shared.reloads.send(Reload { rules, done }).await.map_err(|_| ReloadError)?;
        wait.await.map_err(|_| ReloadError)
    }

    /// Puts another notification configuration in place.
    ///
    /// # Errors
    /// [`ReloadError`] when the runner has ended.
    pub async fn reload_notifier(&self, notifier: Notifier) -> Result<(), ReloadError> {
        notifier.warn();
        let tells_somebody = notifier.tells_somebody();
        let (done, wait) = oneshot::channel();
        let command = Command::Reload(Box::new(notifier), done);
        self.shared.commands.send(command).await.map_err(|_| ReloadError)?;
        wait.await.map_err(|_| ReloadError)?;
        self.shared.tells_somebody.store(tells_somebody, Ordering::Relaxed);
        Ok(())
    }

    /// Alerts of rules go to these Alertmanagers from now on, beside the notifier of this process. Called on the
    /// runtime that is to send them.
    pub fn forward_to(&self, forwarding: Forwarding) {
        self.shared.forwarder.replace(forwarding);
    }

    /// Hands alerts to the notifier, as the API does.
    ///
    /// # Errors
    /// [`ReloadError`] when the runner has ended.
    pub async fn post_alerts(&self, alerts: Vec<Alert>) -> Result<(), ReloadError> {
        self.shared.commands.send(Command::Alerts(alerts)).await.map_err(|_| ReloadError)
    }

    /// All groups after their last evaluation, by file and name.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<GroupView>> {
        self.shared.views.read().values().cloned().collect()
    }

    /// Pending and firing alerts of all rules.
    #[must_use]
    pub fn active_alerts(&self) -> Vec<ActiveAlert> {
        let groups = self.groups();
        let mut active = Vec::new();
        for group in &groups {
            for alert in group.rules.iter().flat_map(|rule| &rule.alerts) {
                if alert.state != AlertState::Inactive {
                    let group = (group.file.clone(), group.name.clone());
                    active.push(ActiveAlert { group, alert: alert.clone() });
                }
            }
        }
        active
    }

    /// The latest notifications, newest first.
    ///
    /// # Errors
    /// [`ReloadError`] when the runner has ended.
    pub async fn deliveries(&self) -> Result<Vec<Delivery>, ReloadError> {
        Ok(self.facts().await?.deliveries)
    }

    pub(crate) async fn facts(&self) -> Result<Facts, ReloadError> {
        let (reply, wait) = oneshot::channel();
        self.shared.commands.send(Command::Facts(reply)).await.map_err(|_| ReloadError)?;
        wait.await.map_err(|_| ReloadError)
    }

    pub(crate) async fn snapshot(&self) -> Result<Box<Snapshot>, ReloadError> {
        let (reply, wait) = oneshot::channel();
        self.shared.commands.send(Command::Snapshot(reply)).await.map_err(|_| ReloadError)?;
        wait.await.map_err(|_| ReloadError)
    }
}
