//! One policy: what it remembers, and one evaluation of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus};
use k8s_openapi::api::core::v1::Pod;
use swell_api_types::{LabelSelector, SelectorError, pod_is_ready};
use swell_client::{Cache, Client, ClientError, EventRecorder, EventType, ObjectKey};
use swell_decide::{
    Decision, DecisionRecord, Direction, EventNote, MetricSource, ObjectName, Observation,
    PodFacts, Reading, ScaleHistory, ScaleState, Selector, decide,
};
use swell_env::Clock;
use swell_model::{DurationMs, TimestampMs};
use tokio::time::Instant;

use super::facts::pod_facts;
use super::observe::{newest_sample, read_metrics, selected_pods};
use super::status::{differs_in_substance, moved_visibly, status_after};
use super::translate::{ParsedPolicy, translate};
use crate::config::Config;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::source::PodMetricSource;

/// A status that differs in measurements alone is written this often (Kubernetes' own period).
const MEASUREMENT_WRITE_EVERY: DurationMs = DurationMs(15_000);
/// Or this often when a percentage moved visibly.
const VISIBLE_WRITE_EVERY: DurationMs = DurationMs(2000);
/// So many points are visible.
const VISIBLE_POINTS: i32 = 5;
/// The same warning is not repeated within this time.
const WARN_AGAIN_AFTER: DurationMs = DurationMs(60_000);
/// A new pod that is not ready after this is no longer waited for.
const START_PATIENCE: DurationMs = DurationMs(300_000);
/// Kind of the policies.
const KIND: &str = "HorizontalPodAutoscaler";

/// What caused an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    Sample,
    Object,
    Deadline,
}

impl Trigger {
    const fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Object => "object",
            Self::Deadline => "deadline",
        }
    }
}

/// What all evaluations share.
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) client: Client,
    pub(super) pods: Cache<Pod>,
    pub(super) source: Arc<dyn PodMetricSource>,
    pub(super) events: EventRecorder,
    pub(super) journal: Journal,
    pub(super) metrics: Metrics,
    pub(super) clock: Arc<dyn Clock>,
    /// Selectors of all policies as last read.
    pub(super) selectors: Vec<(ObjectKey, LabelSelector)>,
}

/// New pods of a scale-out that are waited for, to complete the record's times.
struct Start {
    record_id: u64,
    known: BTreeSet<Arc<str>>,
    since: TimestampMs,
    running: bool,
}

/// One policy.
pub(super) struct Policy {
    key: ObjectKey,
    hpa: Arc<HorizontalPodAutoscaler>,
    parsed: ParsedPolicy,
    history: ScaleHistory,
    pub(super) selector: Option<LabelSelector>,
    newest_sample: Option<TimestampMs>,
    last_scale: Option<ScaleState>,
    last: Option<DecisionRecord>,
    /// When to evaluate although nothing happens.
    pub(super) deadline: Option<Instant>,
    status: HorizontalPodAutoscalerStatus,
    status_written_at: TimestampMs,
    warned: Vec<(EventNote, TimestampMs)>,
    start: Option<Start>,
}

impl Policy {
    pub(super) fn new(key: ObjectKey, hpa: Arc<HorizontalPodAutoscaler>, config: &Config) -> Self {
        let parsed = translate(&hpa, config);
        let status = hpa.status.clone().unwrap_or_default();
        Self {
            key,
            hpa,
            parsed,
            history: ScaleHistory::default(),
            selector: None,
            newest_sample: None,
            last_scale: None,
            last: None,
            deadline: None,
            status,
            status_written_at: TimestampMs(0),
            warned: Vec::new(),
            start: None,
        }
    }

    /// Whether `hpa` is the same object and not one made anew under its name.
    pub(super) fn is_same(&self, hpa: &HorizontalPodAutoscaler) -> bool {
        self.hpa.metadata.uid == hpa.metadata.uid
    }

    /// Takes in the object as it is now; answers whether its specification or annotations changed.
    pub(super) fn update(&mut self, hpa: Arc<HorizontalPodAutoscaler>, config: &Config) -> bool {
        let changed = self.hpa.metadata.generation != hpa.metadata.generation
            || self.hpa.metadata.annotations != hpa.metadata.annotations;
        self.hpa = hpa;
        if changed {
            self.parsed = translate(&self.hpa, config);
            self.selector = None;
        }
        changed
    }

    pub(super) fn key(&self) -> &ObjectKey {
        &self.key
    }

    pub(super) fn waits_for_start(&self) -> bool {
        self.start.is_some()
    }

    /// Reads which pods the target has, where that is not known yet.
    pub(super) async fn learn_selector(&mut self, context: &Context) {
        // What keeps the target from being read is told by the evaluation that follows.
        if let Ok(scale) = self.read_scale(context).await {
            self.selector = labels_of(&scale).and_then(Result::ok);
        }
    }

    /// Looks, decides, acts, and says so.
    pub(super) async fn evaluate(&mut self, context: &Context, trigger: Trigger) {
        let started = context.clock.monotonic();
        self.deadline = None;
        let scale = self.read_scale(context).await;
        let now = context.clock.now();
        let (seen, pods) = self.observe(context, scale.as_ref().map_err(String::as_str), now);
        let newest = newest_sample(&seen.metrics);
        if trigger == Trigger::Sample && self.is_old_news(&seen, newest.map(|(at, _)| at)) {
            self.set_deadline(None, newest.map(|(_, until)| until), now);
            return;
        }
        self.newest_sample = newest.map(|(at, _)| at);
        self.last_scale = seen.scale.as_ref().ok().copied();
        let mut decision = decide(&self.parsed.spec, &seen, &mut self.history, now);
        let rescale = decision.is_rescale();
        let mut acted_at = None;
        if rescale {
            let written = self.write_scale(context, decision.replicas).await;
            let settled_at = context.clock.now();
            acted_at = written.is_ok().then_some(settled_at);
            let written = written.as_ref().map_err(String::as_str).copied();
            decision.settle(written, &self.parsed.spec, &mut self.history, settled_at);
        }
        self.keep_record(context, &decision, trigger, acted_at, &pods, now);
        self.say(context, &decision, now);
        self.set_deadline(decision.recheck_after, newest.map(|(_, until)| until), now);
        self.write_status(context, &decision, acted_at.is_some(), now).await;
        let spent = context.clock.monotonic().since(started);
        context.metrics.evaluation_seconds.observe(spent.as_secs_f64());
    }

    /// A sample that brings nothing new about this policy is not counted as a second proposal.
    fn is_old_news(&self, seen: &Observation, newest: Option<TimestampMs>) -> bool {
        let per_pod = seen.metrics.iter().all(|metric| {
            matches!(
                metric.spec.source,
                MetricSource::Resource(_)
                    | MetricSource::ContainerResource(..)
                    | MetricSource::Pods(_)
            )
        });
        let failed = seen.metrics.iter().any(|metric| matches!(metric.reading, Reading::Failed(_)));
        let same_scale = seen.scale.as_ref().ok() == self.last_scale.as_ref();
        per_pod && !failed && same_scale && newest.is_some() && newest == self.newest_sample
    }

    async fn read_scale(&self, context: &Context) -> Result<Scale, String> {
        let ObjectName { kind, namespace, name } = &self.parsed.target;
        let client = &context.client;
        let result = match kind.as_str() {
            "Deployment" => client.get_scale::<Deployment>(namespace, name).await,
            "ReplicaSet" => client.get_scale::<ReplicaSet>(namespace, name).await,
            other => {
                return Err(format!(
                    "no matches for kind \"{other}\": only a Deployment or a ReplicaSet can be scaled"
                ));
            }
        };
        result.map_err(|error| swell_telemetry::chain(&error))
    }

    async fn write_scale(&self, context: &Context, replicas: i32) -> Result<(), String> {
        let ObjectName { kind, namespace, name } = &self.parsed.target;
        let client = &context.client;
        let result = match kind.as_str() {
            "Deployment" => client.set_scale::<Deployment>(namespace, name, replicas).await,
            _ => client.set_scale::<ReplicaSet>(namespace, name, replicas).await,
        };
        result.map(|_| ()).map_err(|error| swell_telemetry::chain(&error))
    }

    fn observe(
        &mut self,
        context: &Context,
        scale: Result<&Scale, &str>,
        now: TimestampMs,
    ) -> (Observation, Vec<Arc<Pod>>) {
        let namespace = &self.parsed.target.namespace;
        let state = scale.map_err(str::to_owned).map(|scale| ScaleState {
            spec_replicas: scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0),
            status_replicas: scale.status.as_ref().map_or(0, |status| status.replicas),
        });
        let (mut selector, labels) = match scale.ok().and_then(labels_of) {
            None => (Selector::Missing, None),
            Some(Err(error)) => (Selector::Invalid(error.to_string()), None),
            Some(Ok(labels)) => (Selector::Usable, Some(labels)),
        };
        let pods = match &labels {
            Some(labels) => selected_pods(&context.pods, namespace, labels),
            None => Vec::new(),
        };
        if selector == Selector::Usable {
            let rivals = self.rivals(context, &pods);
            if !rivals.is_empty() {
                selector = Selector::Ambiguous(rivals.join(", "));
            }
        }
        self.selector = labels;
        let facts: Vec<PodFacts> = pods.iter().map(|pod| pod_facts(pod)).collect();
        let names: Vec<Arc<str>> = facts.iter().map(|pod| Arc::clone(&pod.name)).collect();
        let source = &*context.source;
        let metrics = if state.is_ok() && selector == Selector::Usable {
            read_metrics(source, namespace, &names, &self.parsed.metrics, now)
        } else {
            Vec::new()
        };
        let seen =
            Observation { scale: state, selector, pods: facts, metrics, count_surge_once: true };
        (seen, pods)
    }

    /// Other policies that select one of these pods.
    fn rivals(&self, context: &Context, pods: &[Arc<Pod>]) -> Vec<String> {
        let others = context.selectors.iter().filter(|(key, selector)| {
            key.namespace == self.key.namespace
                && *key != self.key
                && pods.iter().any(|pod| selector.matches(pod.metadata.labels.as_ref()))
        });
        others.map(|(key, _)| key.to_string()).collect()
    }

    fn set_deadline(
        &mut self,
        recheck_after: Option<DurationMs>,
        fresh_until: Option<TimestampMs>,
        now: TimestampMs,
    ) {
        // One millisecond beyond: the sample has stopped to count then.
        let stale_after = fresh_until.map(|until| until.since(now) + DurationMs(1));
        let wait = recheck_after.into_iter().chain(stale_after).min();
        self.deadline = wait.map(|wait| Instant::now() + wait.max(DurationMs(1)).to_std());
    }

    fn keep_record(
        &mut self,
        context: &Context,
        decision: &Decision,
        trigger: Trigger,
        acted_at: Option<TimestampMs>,
        pods: &[Arc<Pod>],
        now: TimestampMs,
    ) {
        let policy = ObjectName {
            kind: KIND.to_owned(),
            namespace: self.key.namespace.clone(),
            name: self.key.name.clone(),
        };
        let generation = self.hpa.metadata.generation.unwrap_or(0);
        let target = self.parsed.target.clone();
        let mut record =
            DecisionRecord::new(policy, generation, target, decision, trigger.name(), now);
        record.times.acted_ms = acted_at.map(|at| at.0);
        context.metrics.note(&self.key, &record);
        if let (Trigger::Sample, Some(sampled)) = (trigger, record.times.sampled_ms) {
            let lag = now.since(TimestampMs(sampled)).as_seconds();
            context.metrics.sample_to_decision_seconds.observe(lag.max(0.0));
        }
        if let Some(last) = &self.last
            && !record.is_news_after(last)
        {
            context.journal.repeat(last.id, &record);
            return;
        }
        tracing::info!(policy = %self.key, from = record.from, replicas = record.replicas,
            reason = record.reason.name(), "decided");
        record.id = context.journal.append(record.clone());
        if record.direction == Direction::Out && acted_at.is_some() {
            self.start = Some(Start {
                record_id: record.id,
                known: pods
                    .iter()
                    .filter_map(|pod| pod.metadata.name.as_deref().map(Arc::from))
                    .collect(),
                since: now,
                running: false,
            });
        }
        self.last = Some(record);
    }

    /// Completes the times of the last scale-out from what its new pods say.
    pub(super) fn follow_start(&mut self, context: &Context) {
        let (Some(start), Some(selector)) = (&mut self.start, &self.selector) else { return };
        let now = context.clock.now();
        let pods = selected_pods(&context.pods, &self.key.namespace, selector);
        let new = pods.iter().filter(|pod| {
            pod.metadata.name.as_deref().is_some_and(|name| !start.known.contains(name))
        });
        let (mut running, mut ready) = (false, false);
        for pod in new {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            running |= phase == Some("Running");
            ready |= pod_is_ready(pod);
        }
        let first_running = running && !start.running;
        start.running |= running;
        if first_running || ready {
            context.journal.set_times(start.record_id, |times| {
                if first_running {
                    times.running_ms = Some(now.0);
                }
                if ready {
                    times.ready_ms = Some(now.0);
                }
            });
        }
        if ready || now.since(start.since) > START_PATIENCE {
            self.start = None;
        }
    }

    /// Events, each warning once in a while.
    fn say(&mut self, context: &Context, decision: &Decision, now: TimestampMs) {
        self.warned.retain(|(_, at)| *at + WARN_AGAIN_AFTER > now);
        for fault in std::mem::take(&mut self.parsed.faults) {
            context.events.record(&*self.hpa, EventType::Warning, "InvalidAnnotation", fault);
        }
        for note in &decision.events {
            if note.warning {
                if self.warned.iter().any(|(known, _)| known == note) {
                    continue;
                }
                self.warned.push((note.clone(), now));
            }
            let event_type = if note.warning { EventType::Warning } else { EventType::Normal };
            context.events.record(&*self.hpa, event_type, note.reason.name(), note.message.clone());
        }
    }

    async fn write_status(
        &mut self,
        context: &Context,
        decision: &Decision,
        scaled: bool,
        now: TimestampMs,
    ) {
        let specs: Vec<_> = self.parsed.metrics.iter().map(|metric| &metric.spec).collect();
        let generation = self.hpa.metadata.generation;
        let status = status_after(&self.status, decision, &specs, generation, scaled, now);
        let age = now.since(self.status_written_at);
        let due = differs_in_substance(&self.status, &status)
            || (self.status != status && age >= MEASUREMENT_WRITE_EVERY)
            || (age >= VISIBLE_WRITE_EVERY && moved_visibly(&self.status, &status, VISIBLE_POINTS));
        if !due {
            return;
        }
        let mut hpa = (*self.hpa).clone();
        hpa.status = Some(status.clone());
        // The specification is not touched, so an older copy of it does no harm.
        hpa.metadata.resource_version = None;
        match context.client.replace_status(&hpa).await {
            Ok(_) => {
                self.status = status;
                self.status_written_at = now;
            }
            Err(ClientError::NotFound { .. }) => {}
            Err(error) => tracing::warn!(
                policy = %self.key,
                error = swell_telemetry::chain(&error),
                "the status of an autoscaler could not be written"
            ),
        }
    }
}

/// The selector of a target's pods; none where it has none.
fn labels_of(scale: &Scale) -> Option<Result<LabelSelector, SelectorError>> {
    let text = scale.status.as_ref()?.selector.as_deref().filter(|text| !text.is_empty())?;
    Some(LabelSelector::parse(text))
}
