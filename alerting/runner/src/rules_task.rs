//! The rules task: owns all groups, has the due ones evaluated, hands their alerts on and keeps their states on disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use swell_env::Dir;
use swell_model::{DurationMs, Labels, TimestampMs};
use swell_route::Alert;
use swell_rules::{AlertInstance, AlertState, Rule, ends_at};
use swell_template::functions::query_escape;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::RuleSettings;
use crate::forward::Forwarder;
use crate::group::{Evaluated, GroupRuntime, Resources};
use crate::notifier::Command;
use crate::rules_file;
use crate::state_file;
use crate::view::GroupView;
use crate::writer::SeriesWriter;

/// Groups that are evaluated at once: queries are CPU work, and more would only compete.
const EVALUATIONS_MAX: usize = 4;
/// Requests to reload that may wait; each is answered.
pub(crate) const RELOADS_MAX: usize = 4;
/// While nothing changes, states are written this often, so that an outage is measured well enough.
const SAVE_INTERVAL: DurationMs = DurationMs::from_secs(60);

/// File and name of a group.
pub(crate) type GroupKey = (String, String);

/// The groups as others see them. The lock guards the map only: a view is replaced, never changed.
pub(crate) type Views = RwLock<BTreeMap<GroupKey, Arc<GroupView>>>;

/// Another set of rules.
pub(crate) struct Reload {
    pub(crate) rules: RuleSettings,
    pub(crate) done: oneshot::Sender<()>,
}

struct Slot {
    /// `None` while it is evaluated.
    group: Option<GroupRuntime>,
    schedule: crate::schedule::Schedule,
    last: Option<TimestampMs>,
    next: TimestampMs,
}

enum Event {
    Due,
    Evaluated(Box<(GroupRuntime, Evaluated)>),
    Reload(Reload),
    Shutdown,
}

pub(crate) struct RulesTask {
    pub(crate) resources: Resources,
    pub(crate) resend_delay: DurationMs,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) views: Arc<Views>,
    pub(crate) alerts: mpsc::Sender<Command>,
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) reloads: mpsc::Receiver<Reload>,
    pub(crate) pool: Arc<Semaphore>,
    slots: BTreeMap<GroupKey, Slot>,
    saved_at: TimestampMs,
    saved_anything: bool,
}

/// What a task is made of.
pub(crate) struct RulesTaskParts {
    pub(crate) resources: Resources,
    pub(crate) resend_delay: DurationMs,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) views: Arc<Views>,
    pub(crate) alerts: mpsc::Sender<Command>,
    pub(crate) forwarder: Arc<Forwarder>,
    pub(crate) reloads: mpsc::Receiver<Reload>,
}

impl RulesTask {
    pub(crate) fn new(parts: RulesTaskParts, groups: Vec<GroupRuntime>) -> Self {
        let now = parts.resources.clock.now();
        let mut task = Self {
            resources: parts.resources,
            resend_delay: parts.resend_delay,
            dir: parts.dir,
            views: parts.views,
            alerts: parts.alerts,
            forwarder: parts.forwarder,
            reloads: parts.reloads,
            pool: Arc::new(Semaphore::new(EVALUATIONS_MAX)),
            slots: BTreeMap::new(),
            saved_at: now,
            // A file from before may hold alerts: it is written even when there are none any more.
            saved_anything: true,
        };
        task.place(groups);
        task
    }

    /// Makes these the groups, from the next evaluation time of each on.
    fn place(&mut self, groups: Vec<GroupRuntime>) {
        let now = self.resources.clock.now();
        self.slots.clear();
        let mut views = BTreeMap::new();
        for group in groups {
            let key = (group.file.clone(), group.name.clone());
            views.insert(key.clone(), Arc::new(group.view()));
            // Counted from the start, as in Prometheus.
            self.resources.metrics.by_group.of(&group.file, &group.name);
            let schedule = group.schedule;
            let next = schedule.next(schedule.slot(now));
            self.slots.insert(key, Slot { group: Some(group), schedule, last: None, next });
        }
        *self.views.write() = views;
    }

    /// Runs until `shutdown`, then lets evaluations end and writes the states.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut running = JoinSet::new();
        loop {
            match self.select(&mut running, &shutdown).await {
                Event::Due => self.start_due(&mut running),
                Event::Evaluated(done) => self.evaluated(*done).await,
                Event::Reload(reload) => self.reload(reload, &mut running).await,
                Event::Shutdown => break,
            }
        }
        self.finish_running(&mut running).await;
        self.save().await;
    }

    async fn select(
        &mut self,
        running: &mut JoinSet<(GroupRuntime, Evaluated)>,
        shutdown: &CancellationToken,
    ) -> Event {
        let now = self.resources.clock.now();
        for slot in self.slots.values_mut() {
            slot.next = slot.schedule.due_at(slot.next, now);
        }
        let next = self.slots.values().map(|slot| slot.next).min();
        let wait = next.map(|next| next.since(now).to_std());
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Event::Shutdown,
            Some(done) = running.join_next() => Event::Evaluated(Box::new(done.expect("an evaluation does not panic and is not aborted"))),
            Some(reload) = self.reloads.recv() => Event::Reload(reload),
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => Event::Due,
        }
    }

    fn start_due(&mut self, running: &mut JoinSet<(GroupRuntime, Evaluated)>) {
        let now = self.resources.clock.now();
        for ((file, name), slot) in &mut self.slots {
            if slot.next > now {
                continue;
            }
            let at = slot.schedule.slot(now);
            slot.next = slot.schedule.next(at);
            let metrics = &self.resources.metrics;
            let counted = metrics.by_group.of(file, name);
            // Each evaluation time counts once, also one at which the group was still being evaluated.
            let passed = slot.last.replace(at).map_or(0, |last| slot.schedule.missed(last, at));
            let group = slot.group.take();
            let missed = passed + u64::from(group.is_none());
            counted.iterations.inc_by(passed + 1);
            metrics.iterations_missed.inc_by(missed);
            counted.iterations_missed.inc_by(missed);
            let Some(mut group) = group else { continue };
            let (pool, resources) = (Arc::clone(&self.pool), self.resources.clone());
            running.spawn(async move {
                let permit = pool.acquire_owned().await.expect("the pool is never closed");
                let evaluation = tokio::task::spawn_blocking(move || {
                    let evaluated = group.evaluate(at, &resources);
                    drop(permit);
                    (group, evaluated)
                });
                evaluation.await.expect("an evaluation does not panic")
            });
        }
    }

    async fn evaluated(&mut self, (mut group, evaluated): (GroupRuntime, Evaluated)) {
        for failure in &evaluated.failures {
            if failure.again {
                tracing::debug!(group = %group.name, rule = %failure.rule, error = %failure.why, "rule fails still");
            } else {
                tracing::warn!(group = %group.name, rule = %failure.rule, error = %failure.why, "rule failed");
            }
        }
        for change in &evaluated.transitions {
            let state = |state: Option<AlertState>| state.map_or("none", AlertState::as_str);
            tracing::info!(alert = %change.labels, from = state(change.from), to = state(change.to), "alert changed");
        }
        self.hand_over(&mut group);
        let key = (group.file.clone(), group.name.clone());
        let view = Arc::new(group.view());
        self.views.write().insert(key.clone(), view);
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.group = Some(group);
        }
        self.count_alerts();
        let now = self.resources.clock.now();
        if !evaluated.transitions.is_empty() || now.since(self.saved_at).0.abs() >= SAVE_INTERVAL.0
        {
            self.save().await;
        }
    }

    /// Hands alerts to the notifier and to the Alertmanagers outside. When the notifier has no room they stay unsent
    /// and come again at the next evaluation.
    fn hand_over(&self, group: &mut GroupRuntime) {
        let Some(at) = group.evaluated_at() else { return };
        let alerts: Vec<Alert> = group
            .alerts_to_send(at, self.resend_delay)
            .map(|(rule, alert)| {
                self.report(rule, alert, at, ends_at(alert, at, group.interval, self.resend_delay))
            })
            .collect();
        if alerts.is_empty() {
            return;
        }
        self.forwarder.forward(&alerts);
        match self.alerts.try_send(Command::Alerts(alerts)) {
            Ok(()) => group.note_sent(at, self.resend_delay),
            Err(error) => {
                self.resources.metrics.alerts_refused.inc();
                tracing::warn!(group = %group.name, error = %error, "alerts wait for the next evaluation");
            }
        }
    }

    fn report(
        &self,
        rule: &Rule,
        alert: &AlertInstance,
        at: TimestampMs,
        ends_at: TimestampMs,
    ) -> Alert {
        let mut labels = alert.labels.to_builder();
        for (name, value) in self.resources.external_labels.iter() {
            if alert.labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        let expr = query_escape(rule.expr_text());
        Alert {
            labels: labels.build(),
            annotations: alert.annotations.clone(),
            starts_at: alert.fired_at.unwrap_or(alert.active_at),
            ends_at,
            updated_at: at,
            generator_url: format!("{}/graph?g0.expr={expr}&g0.tab=1", self.resources.external_url),
            timeout: false,
        }
    }

    fn count_alerts(&self) {
        let views = self.views.read();
        let alerts = || views.values().flat_map(|group| &group.rules).flat_map(|rule| &rule.alerts);
        for state in [AlertState::Pending, AlertState::Firing] {
            let count = alerts().filter(|alert| alert.state == state).count();
            let gauge = self.resources.metrics.alerts.with_label_values(&[state.as_str()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    async fn finish_running(&mut self, running: &mut JoinSet<(GroupRuntime, Evaluated)>) {
        while let Some(done) = running.join_next().await {
            match done {
                Ok(done) => self.evaluated(done).await,
                Err(error) => tracing::error!(error = %error, "an evaluation ended badly"),
            }
        }
    }

    /// Puts other rules in place once no evaluation is running. Rules that did not change keep their alerts.
    async fn reload(&mut self, reload: Reload, running: &mut JoinSet<(GroupRuntime, Evaluated)>) {
        self.finish_running(running).await;
        let mut earlier: BTreeMap<GroupKey, GroupRuntime> = std::mem::take(&mut self.slots)
            .into_iter()
            .filter_map(|(key, slot)| slot.group.map(|group| (key, group)))
            .collect();
        let mut groups = build_groups(&reload.rules);
        self.resources.external_labels = reload.rules.external_labels;
        for group in &mut groups {
            if let Some(old) = earlier.remove(&(group.file.clone(), group.name.clone())) {
                group.take_over(old);
            }
        }
        self.place(groups);
        earlier.keys().for_each(|key| self.resources.metrics.by_group.forget(key));
        let gone: Vec<Labels> = earlier.into_values().flat_map(GroupRuntime::into_series).collect();
        self.mark_gone(gone).await;
        self.count_alerts();
        self.save().await;
        if reload.done.send(()).is_err() {
            tracing::debug!("whoever asked for the reload is gone");
        }
    }

    /// Series of groups that are no more get their staleness marker now.
    async fn mark_gone(&self, series: Vec<Labels>) {
        if series.is_empty() {
            return;
        }
        let (sink, now) = (Arc::clone(&self.resources.sink), self.resources.clock.now());
        let marked = tokio::task::spawn_blocking(move || {
            SeriesWriter::default().write(sink.as_ref(), now, &[], &series)
        });
        let error = match marked.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => swell_telemetry::chain(&error),
            Err(error) => error.to_string(),
        };
        tracing::warn!(error = %error, "series of removed groups are not marked as gone");
    }

    async fn save(&mut self) {
        let now = self.resources.clock.now();
        self.saved_at = now;
        let views: Vec<Arc<GroupView>> = self.views.read().values().cloned().collect();
        let saved = rules_file::save(views.iter().map(Arc::as_ref), now);
        if saved.is_empty() && !self.saved_anything {
            return;
        }
        self.saved_anything = !saved.is_empty();
        let dir = Arc::clone(&self.dir);
        let written = tokio::task::spawn_blocking(move || {
            let payload =
                serde_json::to_vec(&saved).map_err(|error| swell_telemetry::chain(&error))?;
            state_file::write(dir.as_ref(), rules_file::FILE, rules_file::MAGIC, &payload)
                .map_err(|error| swell_telemetry::chain(&error))
        });
        let error = match written.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(error) => error.to_string(),
        };
        self.resources.metrics.state_write_failures.inc();
        tracing::error!(error = %error, "states of alerts cannot be written: after a restart alerts start over");
    }
}

/// Groups of all files, never evaluated.
pub(crate) fn build_groups(rules: &RuleSettings) -> Vec<GroupRuntime> {
    let RuleSettings { evaluation_interval, query_offset, .. } = *rules;
    rules
        .sources
        .iter()
        .flat_map(|source| {
            let groups = source.rules.groups.iter();
            groups.map(move |group| {
                GroupRuntime::new(&source.file, group, evaluation_interval, query_offset)
            })
        })
        .collect()
}
