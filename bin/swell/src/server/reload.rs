//! Reading the configuration again: on SIGHUP, on `/-/reload` and, where that is switched on, once its files have
//! changed. All of it is checked before any of it counts.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Gauge, IntGauge};
use swell_alert_runner::{AlertingHandle, Notifier};
use swell_engine::Db;
use swell_env::Clock;
use swell_remote_read::RemoteReaders;
use swell_remote_write::RemoteSender;
use swell_telemetry::{Registry, chain};
use swell_tsdb_http::{ConfigState, InForce, LifecycleCommand, Notices, ReloadRefusal};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::alerting;
use super::alertmanagers::Alertmanagers;
use super::push::Ways;
use super::settings;
use super::targets::Targets;
use crate::args::ServerArgs;
use crate::config::{Config, Fingerprint};

/// Prometheus' words, which clients show.
const FAILED: &str = "Configuration reload has failed.";
const NEEDS_RESTART: &str = "The configuration has changes that a restart puts in force";

/// Who reads the configuration again, and what it is put in force in.
pub(super) struct Reloader {
    /// Where it is read; none when the server was started without a command line of its own.
    pub(super) args: Option<ServerArgs>,
    /// What the files were like whose content is in force; none after a reload that failed.
    pub(super) seen: Option<Fingerprint>,
    /// What the server runs with.
    pub(super) config: Config,
    pub(super) alerting: AlertingHandle,
    pub(super) db: Arc<Db>,
    pub(super) alertmanagers: Alertmanagers,
    pub(super) targets: Arc<Targets>,
    pub(super) sender: Arc<RemoteSender>,
    pub(super) readers: Arc<RemoteReaders>,
    pub(super) ways: Ways,
    pub(super) in_force: ConfigState,
    pub(super) notices: Notices,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: ReloadMetrics,
    /// Cancelled to end the process.
    pub(super) quit: CancellationToken,
}

/// How the last attempt went. Prometheus' names, on which its mixin alerts, follow from these.
pub(super) struct ReloadMetrics {
    last_successful: IntGauge,
    last_success_seconds: Gauge,
}

impl ReloadMetrics {
    /// Registers them, for a configuration that has just been put in force.
    pub(super) fn register(
        registry: &Registry,
        clock: &dyn Clock,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            last_successful: IntGauge::new(
                "swell_config_last_reload_successful",
                "Whether the last attempt to read the configuration succeeded.",
            )?,
            last_success_seconds: Gauge::new(
                "swell_config_last_reload_success_timestamp_seconds",
                "When the configuration in force was read, in Unix seconds.",
            )?,
        };
        // Before anybody can ask: no failure is told that was none.
        metrics.succeeded(clock);
        registry.register(Box::new(metrics.last_successful.clone()))?;
        registry.register(Box::new(metrics.last_success_seconds.clone()))?;
        Ok(metrics)
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
    fn succeeded(&self, clock: &dyn Clock) {
        self.last_successful.set(1);
        self.last_success_seconds.set(clock.now().0 as f64 / 1000.0);
    }

    fn failed(&self) {
        self.last_successful.set(0);
    }
}

impl Reloader {
    /// Carries commands and signals out, one after the other, until `stop`.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<LifecycleCommand>,
        mut hangup: Option<Signal>,
        stop: CancellationToken,
    ) {
        let mut looks = self.looks();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = hung_up(hangup.as_mut()) => {
                    if self.file().is_some() {
                        // What went wrong is in the log, the notices and the metrics.
                        let _told = self.reload().await;
                    } else {
                        warn!("SIGHUP: the server runs without --config, there is no file to read again");
                    }
                }
                () = due(looks.as_mut()) => self.look().await,
                Some(command) = commands.recv() => match command {
                    LifecycleCommand::Reload(answer) => {
                        let outcome = self.reload().await;
                        if answer.send(outcome).is_err() {
                            info!("whoever asked for the reload has gone");
                        }
                    }
                    LifecycleCommand::Quit => {
                        info!("asked over HTTP to stop");
                        self.quit.cancel();
                    }
                },
            }
        }
    }

    /// The command line, where it names a file.
    fn file(&self) -> Option<&ServerArgs> {
        self.args.as_ref().filter(|args| args.config.is_some())
    }

    /// When the files are looked at, where that is switched on.
    fn looks(&self) -> Option<Interval> {
        let args = self.file().filter(|_| self.config.switches.auto_reload)?;
        let every: Duration = settings::auto_reload_interval(args).to_std();
        let mut looks = tokio::time::interval_at(Instant::now() + every, every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(looks)
    }

    /// Reads the configuration again if its files are not what is in force. One that was refused is tried again at each
    /// look, as in Prometheus: what it lacks may come without a change of these files, and they may become what they were.
    async fn look(&mut self) {
        let Some(path) = self.file().and_then(|args| args.config.clone()) else { return };
        match tokio::task::spawn_blocking(move || Fingerprint::read(&path)).await {
            Ok(Some(found)) if Some(found) == self.seen => return,
            // A file that cannot be read is told by the reload that fails for it.
            Ok(_) => info!("the configuration, or a file that it names, has changed"),
            Err(panic) => {
                error!(%panic, "the files of the configuration could not be looked at");
                return;
            }
        }
        // What went wrong is in the log, the notices and the metrics.
        let _told = self.reload().await;
    }

    async fn reload(&mut self) -> Result<(), ReloadRefusal> {
        let outcome = self.try_reload().await;
        match &outcome {
            Ok(()) => {
                self.notices.settle(FAILED);
                self.metrics.succeeded(self.clock.as_ref());
                info!("the configuration was read again");
            }
            Err(refusal) => {
                self.seen = None;
                self.notices.raise(FAILED, self.clock.now());
                self.in_force.refused();
                self.metrics.failed();
                error!(why = %refusal.why, "the configuration was not read again: what was in force is");
            }
        }
        outcome
    }

    async fn try_reload(&mut self) -> Result<(), ReloadRefusal> {
        let wrong = |why: String| ReloadRefusal { why, is_configuration: true };
        let broken = |why: String| ReloadRefusal { why, is_configuration: false };
        let Some(args) = self.file().cloned() else {
            return Err(wrong(
                "the server runs without --config: there is no file to read again".to_owned(),
            ));
        };
        let read = tokio::task::spawn_blocking(move || {
            let config = settings::settings(&args)?;
            let rules = alerting::rules(&config)?;
            let notifier = match alerting::notifier(&config)? {
                Some(notifier) => notifier,
                None => Notifier::silent()?,
            };
            anyhow::Ok((config, rules, notifier))
        });
        let (mut config, rules, notifier) = match read.await {
            Ok(Ok(read)) => read,
            Ok(Err(fault)) => return Err(wrong(format!("{fault:#}"))),
            Err(panic) => return Err(broken(panic.to_string())),
        };
        let waiting = self.config.needs_restart(&config);
        // Or some parts of the server would have other switches than the rest.
        config.keep_switches_of(&self.config);
        let alertmanagers = self.alertmanagers.prepare(&config.alerting);
        let alertmanagers = alertmanagers.map_err(|fault| wrong(format!("{fault:#}")))?;
        let queues = RemoteSender::prepare(config.receivers.clone());
        let queues = queues.map_err(|error| wrong(chain(&error)))?;
        let readers = RemoteReaders::prepare(config.remote_reads.clone());
        let readers = readers.map_err(|error| wrong(chain(&error)))?;
        // The scraper checks what only it can, such as certificates, before it changes anything.
        self.targets.reload(&config).await.map_err(|error| match error {
            swell_scrape::ScrapeError::Ended => broken(chain(&error)),
            error => wrong(chain(&error)),
        })?;
        let told = self.alertmanagers.reload(alertmanagers).await;
        told.map_err(|error| broken(format!("{error:#}")))?;
        let told = self.alerting.reload_rules(rules).await;
        told.map_err(|error| broken(chain(&error)))?;
        let told = self.alerting.reload_notifier(notifier).await;
        told.map_err(|error| broken(chain(&error)))?;
        self.sender.run_queues(queues).await.map_err(|error| broken(chain(&error)))?;
        self.readers.replace(readers);
        let settings = InForce::from(&config);
        self.seen = config.fingerprint;
        self.in_force.replace(settings, self.clock.now());
        self.db.tune(&config.storage);
        self.ways.reload(&config);
        settings::report_unsupported(&config);
        self.notices.settle(NEEDS_RESTART);
        if !waiting.is_empty() {
            let told = format!("{NEEDS_RESTART}: {}.", waiting.join(", "));
            warn!("{told}");
            self.notices.raise(&told, self.clock.now());
        }
        Ok(())
    }
}

/// Waits until the files are to be looked at; for ever where they are not.
async fn due(looks: Option<&mut Interval>) {
    match looks {
        Some(looks) => {
            looks.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Waits for the next SIGHUP; for ever where it is not listened to.
async fn hung_up(signal: Option<&mut Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// `15d`, or `15d or 1073741824B` where the size counts as well.
fn retention(storage: &swell_engine::Config) -> String {
    let time = storage.retention_time;
    storage
        .retention_size_bytes
        .map_or_else(|| time.to_string(), |size| format!("{time} or {size}B"))
}

impl From<&Config> for InForce {
    fn from(config: &Config) -> Self {
        Self {
            config_yaml: config.shown_yaml.clone(),
            external_labels: config.external_labels.clone(),
            subquery_step: config.evaluation_interval,
            retention: retention(&config.storage),
        }
    }
}
