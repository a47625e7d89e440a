//! The notifier task: owns alerts, groups and the notification log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use swell_env::Dir;
use swell_model::{DurationMs, TimestampMs};
use swell_receivers::Notification;
use swell_route::{
    Alert, AlertStore, Decision, Dispatcher, Fingerprint, Flush, LogEntry, SilenceDraft,
    SilenceFault, SilenceState, Silences, decide, inhibited_by,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::config::Notifier;
use crate::flush::{FlushDone, PlannedSend, SendResources, run_flush};
use crate::notification_log::{FILE, LogKey, MAGIC, NotificationLog};
use crate::picture::{Facts, GroupCopy, Snapshot, muted_by};
use crate::silences;
use crate::state_file;

/// Batches of alerts on their way to the notifier. A full queue refuses: rules hand their alerts over again at the
/// next evaluation, and the API answers 503.
pub(crate) const COMMANDS_MAX: usize = 64;
/// How long flushes in flight may take at shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// Silences that are over are kept for so long.
const SILENCE_RETENTION: DurationMs = DurationMs::from_secs(120 * 3600);
/// Alerts that are over and log entries whose time is up are dropped this often.
const TIDY_INTERVAL: Duration = Duration::from_secs(60);

/// What the notifier can be asked.
pub(crate) enum Command {
    /// Take these alerts.
    Alerts(Vec<Alert>),
    /// Show the configuration, silences and the latest notifications.
    Facts(oneshot::Sender<Facts>),
    /// Show all that a picture is made of.
    Snapshot(oneshot::Sender<Box<Snapshot>>),
    /// Go on with another configuration.
    Reload(Box<Notifier>, oneshot::Sender<()>),
    /// Take or change a silence.
    Silence(Box<SilenceDraft>, oneshot::Sender<Result<String, SilenceRefusal>>),
    /// End a silence.
    Expire(String, oneshot::Sender<Result<(), SilenceRefusal>>),
}

/// Why a silence was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SilenceRefusal {
    /// It cannot be.
    #[error(transparent)]
    Fault(#[from] SilenceFault),
    /// It could not be kept.
    #[error("silences cannot be written: {0}")]
    NotWritten(String),
}

enum Event {
    Command(Command),
    Due,
    Flushed(Box<FlushDone>),
    Tidy,
    Shutdown,
}

pub(crate) struct NotifierTask {
    pub(crate) config: Arc<Notifier>,
    pub(crate) external_url: String,
    pub(crate) log_retention: DurationMs,
    pub(crate) seed: u64,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) log: NotificationLog,
    pub(crate) store: AlertStore,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) send: SendResources,
    pub(crate) silences: Silences,
    /// Where the server is, for time intervals that say so.
    pub(crate) local: TimeZone,
}

impl NotifierTask {
    /// Runs until `shutdown`, then ends what is in flight.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut flushes = JoinSet::new();
        let mut tidy = tokio::time::interval(TIDY_INTERVAL);
        tidy.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            match self.select(&mut flushes, &mut tidy, &shutdown).await {
                Event::Command(command) => self.command(command).await,
                Event::Due => self.flush_due(&mut flushes),
                Event::Flushed(done) => self.flushed(*done).await,
                Event::Tidy => self.tidy().await,
                Event::Shutdown => break,
            }
        }
        self.drain(flushes).await;
    }

    async fn select(
        &mut self,
        flushes: &mut JoinSet<FlushDone>,
        tidy: &mut tokio::time::Interval,
        shutdown: &CancellationToken,
    ) -> Event {
        let now = self.send.clock.now();
        let wait = self.dispatcher.next_due(now).map(|due| due.since(now).to_std());
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Event::Shutdown,
            Some(done) = flushes.join_next() => Event::Flushed(Box::new(done.expect("a flush does not panic and is not aborted"))),
            Some(command) = self.commands.recv() => Event::Command(command),
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => Event::Due,
            _ = tidy.tick() => Event::Tidy,
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Alerts(alerts) => self.take(alerts),
            // Whoever asked may have gone meanwhile, which is theirs to know.
            Command::Facts(reply) => drop(reply.send(self.facts())),
            Command::Snapshot(reply) => drop(reply.send(Box::new(self.snapshot()))),
            Command::Reload(config, reply) => {
                self.reload(*config);
                if reply.send(()).is_err() {
                    tracing::debug!("whoever asked for the reload is gone");
                }
            }
            Command::Silence(draft, reply) => {
                let mut random = Backoff::new(self.seed);
                self.seed = self.seed.wrapping_add(1);
                let fresh_id = silences::uuid(random.random(), random.random());
                let done = self.change_silences(|all, now| all.put(*draft, now, fresh_id)).await;
                if reply.send(done).is_err() {
                    tracing::debug!("whoever asked for the silence is gone");
                }
            }
            Command::Expire(id, reply) => {
                let done = self.change_silences(|all, now| all.expire(&id, now)).await;
                if reply.send(done).is_err() {
                    tracing::debug!("whoever asked for the end of a silence is gone");
                }
            }
        }
    }

    /// Changes silences and keeps them: what is answered survives a crash.
    async fn change_silences<T>(
        &mut self,
        work: impl FnOnce(&mut Silences, TimestampMs) -> Result<T, SilenceFault>,
    ) -> Result<T, SilenceRefusal> {
        let mut changed = self.silences.clone();
        let done = work(&mut changed, self.send.clock.now())?;
        self.save_silences(&changed).await.map_err(SilenceRefusal::NotWritten)?;
        self.silences = changed;
        self.count_silences();
        Ok(done)
    }

    async fn save_silences(&self, silences: &Silences) -> Result<(), String> {
        let payload = silences::encode(silences).map_err(|error| error.to_string())?;
        if payload.len() > silences::BYTES_MAX {
            let (bytes, most) = (payload.len(), silences::BYTES_MAX);
            return Err(format!("they would have {bytes} bytes, and at most {most} are kept"));
        }
        let dir = Arc::clone(&self.dir);
        let written = tokio::task::spawn_blocking(move || {
            state_file::write(dir.as_ref(), silences::FILE, silences::MAGIC, &payload)
        });
        let outcome = match written.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => swell_telemetry::chain(&error),
            Err(error) => error.to_string(),
        };
        self.send.metrics.state_write_failures.inc();
        Err(outcome)
    }

    fn count_silences(&self) {
        let now = self.send.clock.now();
        for state in [SilenceState::Active, SilenceState::Pending, SilenceState::Expired] {
            let count = self.silences.iter().filter(|it| it.state(now) == state).count();
            let gauge = self.send.metrics.silences.with_label_values(&[state.as_str()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn take(&mut self, alerts: Vec<Alert>) {
        let now = self.send.clock.now();
        for report in alerts {
            let alert = self.store.put(report, now);
            self.dispatcher.ingest(&alert, now);
        }
        self.count_groups();
    }

    fn count_groups(&self) {
        let count = i64::try_from(self.dispatcher.groups().count()).unwrap_or(i64::MAX);
        self.send.metrics.groups_active.set(count);
    }

    /// Groups start over with the new routes; the log keeps anybody from being told twice.
    fn reload(&mut self, config: Notifier) {
        self.dispatcher = Dispatcher::new(Arc::new(config.config.route.clone()));
        self.send.templates = config.templates.clone();
        self.send.base_dir.clone_from(&config.base_dir);
        self.config = Arc::new(config);
        let now = self.send.clock.now();
        let alerts: Vec<Alert> = self.store.iter().cloned().collect();
        for alert in &alerts {
            self.dispatcher.ingest(alert, now);
        }
        self.count_groups();
    }

    fn flush_due(&mut self, flushes: &mut JoinSet<FlushDone>) {
        for flush in self.dispatcher.due(self.send.clock.now()) {
            let sends = self.plan(&flush);
            if sends.is_empty() {
                self.dispatcher.finish(&flush, true);
            } else {
                flushes.spawn(run_flush(flush, sends, self.send.clone()));
            }
        }
        self.count_groups();
    }

    /// Decides for each integration of the group's receiver whether it is told, and what.
    fn plan(&mut self, flush: &Flush) -> Vec<PlannedSend> {
        let tree = Arc::clone(self.dispatcher.tree());
        let route = tree.route(flush.id.route);
        let config = Arc::clone(&self.config);
        let Some(receiver) = config.config.receiver(&route.receiver) else { return Vec::new() };
        if !muted_by(&config.config, route, flush.at, &self.local).is_empty() {
            return Vec::new();
        }
        let sources = self.store.iter().filter(|alert| !alert.is_resolved(flush.at));
        let rules = &config.config.inhibit_rules;
        let alerts: Vec<Alert> = flush
            .alerts
            .iter()
            .filter(|alert| inhibited_by(rules, &alert.labels, sources.clone()).is_none())
            .filter(|alert| self.silences.muting(&alert.labels, flush.at).is_empty())
            .cloned()
            .collect();
        // That nothing is left to tell of is not that all is well.
        if alerts.is_empty() {
            return Vec::new();
        }
        let fingerprints = |resolved: bool| -> BTreeSet<Fingerprint> {
            let chosen = alerts.iter().filter(|alert| alert.is_resolved(flush.at) == resolved);
            chosen.map(Alert::fingerprint).collect()
        };
        let (firing, resolved) = (fingerprints(false), fingerprints(true));
        let keep = DurationMs(route.repeat_interval.0.saturating_mul(2)).min(self.log_retention);
        let mut sends = Vec::new();
        for (idx, integration) in receiver.integrations.iter().enumerate() {
            let key = LogKey {
                group_key: flush.key.clone(),
                receiver: receiver.name.clone(),
                integration: integration.kind(),
                idx,
            };
            let send_resolved = integration.send_resolved();
            let told = LogEntry {
                timestamp: flush.at,
                firing: firing.clone(),
                resolved: resolved.clone(),
            };
            let expires_at = flush.at + keep;
            let last = self.log.last(&key);
            match decide(&firing, &resolved, last, send_resolved, route.repeat_interval, flush.at) {
                Decision::Skip(_) => {}
                Decision::LogOnly(_) => self.log.tell(key, told, expires_at),
                Decision::Send(reason) => {
                    self.seed = self.seed.wrapping_add(1);
                    let told_of =
                        alerts.iter().filter(|alert| send_resolved || !alert.is_resolved(flush.at));
                    let notification = Notification {
                        group_key: flush.key.clone(),
                        receiver: receiver.name.clone(),
                        group_labels: flush.id.labels.clone(),
                        route_labels: route.labels.clone(),
                        alerts: told_of.cloned().collect(),
                        external_url: self.external_url.clone(),
                        reason: Some(reason),
                        at: flush.at,
                    };
                    let integration = integration.clone();
                    sends.push(PlannedSend {
                        key,
                        integration,
                        notification,
                        reason,
                        told,
                        expires_at,
                        seed: self.seed,
                    });
                }
            }
        }
        sends
    }

    /// Writes the log before the group may be told again: a crash in between tells once more, never once less.
    async fn flushed(&mut self, done: FlushDone) {
        let mut all_said = true;
        let mut told = false;
        for result in done.results {
            let delivered = result.delivery.error.is_none();
            let delivery = &result.delivery;
            if let Some(error) = &delivery.error {
                tracing::warn!(
                    receiver = %delivery.receiver, integration = delivery.integration, group = %delivery.group_key,
                    attempts = delivery.attempts, error = %error, "notification failed"
                );
                all_said = false;
            } else {
                tracing::info!(
                    receiver = %delivery.receiver, integration = delivery.integration, group = %delivery.group_key,
                    reason = delivery.reason.as_str(), firing = delivery.firing, resolved = delivery.resolved,
                    latency_ms = delivery.latency.0, "notification sent"
                );
            }
            self.log.note(result.delivery);
            if delivered {
                told = true;
                self.log.tell(result.key, result.told, result.expires_at);
            }
        }
        if told {
            self.save().await;
        }
        self.dispatcher.finish(&done.flush, all_said);
        self.count_groups();
    }

    async fn save(&self) {
        self.send.metrics.log_entries.set(i64::try_from(self.log.len()).unwrap_or(i64::MAX));
        let payload = match self.log.encode() {
            Ok(payload) => payload,
            Err(error) => {
                self.send.metrics.state_write_failures.inc();
                tracing::error!(error = %swell_telemetry::chain(&error), "notification log cannot be encoded");
                return;
            }
        };
        let dir = Arc::clone(&self.dir);
        let written = tokio::task::spawn_blocking(move || {
            state_file::write(dir.as_ref(), FILE, MAGIC, &payload)
        })
        .await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => swell_telemetry::chain(&error),
            Err(error) => error.to_string(),
        };
        self.send.metrics.state_write_failures.inc();
        tracing::error!(error = %error, "notification log cannot be written: a restart may notify twice");
    }

    async fn tidy(&mut self) {
        let now = self.send.clock.now();
        self.store.forget_resolved(now);
        self.log.expire(now);
        if self.silences.forget(now, SILENCE_RETENTION)
            && let Err(error) = self.save_silences(&self.silences).await
        {
            tracing::warn!(error, "silences that are over cannot be taken out of their file");
        }
        self.count_silences();
    }

    fn facts(&self) -> Facts {
        Facts {
            config: Arc::clone(&self.config),
            silences: self.silences.clone(),
            deliveries: self.log.deliveries().cloned().collect(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let at = self.send.clock.now();
        let is_open = |alert: &&Alert| !alert.is_resolved(at);
        let groups = self.dispatcher.groups().map(|group| GroupCopy {
            labels: group.id.labels.clone(),
            route: group.id.route,
            alerts: group
                .alerts
                .iter()
                .filter(|alert| !alert.is_resolved(at))
                .map(|alert| alert.fingerprint())
                .collect(),
        });
        Snapshot {
            at,
            config: Arc::clone(&self.config),
            alerts: self.store.iter().filter(is_open).cloned().collect(),
            groups: groups.collect(),
            silences: self.silences.clone(),
            local: self.local.clone(),
        }
    }

    /// Takes what was handed over last, and lets flushes end; retries end at once.
    async fn drain(mut self, mut flushes: JoinSet<FlushDone>) {
        while let Ok(command) = self.commands.try_recv() {
            self.command(command).await;
        }
        self.flush_due(&mut flushes);
        let deadline = tokio::time::Instant::now() + DRAIN_DEADLINE;
        loop {
            match tokio::time::timeout_at(deadline, flushes.join_next()).await {
                Ok(Some(Ok(done))) => self.flushed(done).await,
                Ok(Some(Err(error))) => {
                    tracing::error!(error = %error, "a notification ended badly")
                }
                Ok(None) => break,
                Err(_) => {
                    tracing::warn!(
                        count = flushes.len(),
                        "notifications in flight are given up at shutdown"
                    );
                    break;
                }
            }
        }
        self.save().await;
    }
}

/// The log as it was left, or an empty one.
pub(crate) fn read_log(
    dir: &dyn Dir,
    now: TimestampMs,
) -> Result<NotificationLog, state_file::StateFileError> {
    let Some(payload) = state_file::read(dir, FILE, MAGIC)? else {
        return Ok(NotificationLog::default());
    };
    let mut log =
        NotificationLog::decode(&payload).map_err(|error| state_file::StateFileError::Damaged {
            file: format!("{}/{FILE}", dir.location()),
            why: error.to_string(),
        })?;
    log.expire(now);
    Ok(log)
}
